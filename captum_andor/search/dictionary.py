r"""The dictionary of a logical model: one 0/1 column per AND and OR pattern, over the coalitions that are known.

Column j < 2^n is AND_j, \[j ⊆ S\]; column 2^n + j is OR_j, \[j ∩ S ≠ ∅\]. The dictionary is never written out. What the
pursuit asks of it are means, variances, inner products of a residual with all columns at once (two subset transforms),
and covariances of a few columns with some others. :class:`Columns` names these questions; three classes answer them:
:class:`CompleteColumns` in closed form, where all coalitions are known and their weights depend on size alone;
:class:`SampledColumns` from the columns themselves, where coalitions are a sample; :class:`WrittenColumns` for a few
patterns that are given.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import comb
from typing import Any, Protocol

import torch
from torch import Tensor

from captum_andor.games.transforms import or_zeta, orders, zeta, zeta_adjoint

_WHOLE_PLAYERS = 10  # all pairs of 2^11 columns are 32 MB; of 2^12 they are four times that, and a shortlist is faster


class Shortlist(Protocol):
    """Some columns ``(B, L)`` or ``(1, L)``, made ready for covariances with one column after another."""

    ids: Tensor

    def covariance(self, left: Tensor) -> Tensor:
        """Covariances of columns ``(…, k)`` with the shortlist ``(…, L)``: ``(…, k, L)``."""


class Columns(Protocol):
    """0/1 columns over the coalitions that are known, each coalition with a weight.

    Attributes:
        row_weights: Weight of each coalition, they sum to 1, shape ``(rows,)``.
        order: Number of players of each column's pattern, int64, shape ``(columns,)``.
        is_or: Whether the pattern is an OR, bool, same shape.
        mean: Weighted mean of each column, same shape.
        norm: Weighted variance of each column, same shape.
        rival: The column of the same players and the other kind, its own where there is none, int64, same shape.
        independence: Least share of its variance that a further column must add to the chosen ones.
    """

    row_weights: Tensor
    order: Tensor
    is_or: Tensor
    mean: Tensor
    norm: Tensor
    rival: Tensor
    independence: float

    @property
    def is_small(self) -> bool:
        """Whether searches go through all columns instead of a shortlist."""

    def correlations(self, centred: Tensor) -> Tensor:
        """Weighted inner products of centred values ``(B, rows)`` with every column: ``(B, columns)``."""

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Covariances of columns ``(…, k)`` with columns ``(…, L)``: ``(…, k, L)``."""

    def shortlist(self, ids: Tensor | None) -> Shortlist:
        """Some columns ``(B, L)``, or all of them, made ready for many covariances."""

    def combine(self, chosen: Tensor, coefficients: Tensor) -> Tensor:
        """Sum of chosen columns ``(B, k)`` times coefficients ``(B, k)`` over all rows: ``(B, rows)``."""

    @property
    def n_rows(self) -> int:
        """Number of coalitions known."""

    @property
    def inverse_norm(self) -> Tensor:
        """One over the norm of each column; 0 for constant ones."""

    def centred(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(B, rows)`` less their weighted mean, and the mean ``(B, 1)``."""

    def variance(self, centred: Tensor) -> Tensor:
        """Weighted sum of squares of ``(B, rows)``: shape ``(B,)``."""


class _WeightedRows:
    """Methods that need the weights of the rows and the norms of the columns alone."""

    row_weights: Tensor
    norm: Tensor

    @property
    def n_rows(self) -> int:
        return len(self.row_weights)

    @cached_property
    def inverse_norm(self) -> Tensor:
        return torch.where(self.norm > 0, 1 / self.norm, 0.0)

    def centred(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = (values * self.row_weights).sum(-1, keepdim=True)
        return values - mean, mean

    def variance(self, centred: Tensor) -> Tensor:
        return (centred * centred) @ self.row_weights


class CompleteColumns(_WeightedRows):
    """All AND and OR columns over all 2^n coalitions, with weights that depend on a coalition's size."""

    independence = 1e-6  # covariances are closed forms: what a column adds is known to 1e-12 of its variance

    def __init__(self, n_players: int, size_weights: tuple[float, ...], device: torch.device) -> None:
        self.n_players = n = n_players
        scale = sum(w * comb(n, s) for s, w in enumerate(size_weights))
        weights = [w / scale for w in size_weights]

        def total(free: int, shift: int) -> float:
            """Weight of the coalitions that hold ``shift`` given players and any of ``free`` others."""
            return sum(weights[shift + s] * comb(free, s) for s in range(free + 1))

        def table(numbers: list[Any]) -> Tensor:
            return torch.tensor(numbers, dtype=torch.float64, device=device)

        size = orders(n, device)
        all_present = table([total(n - a, a) for a in range(n + 1)])[size]
        all_absent = table([total(n - a, 0) for a in range(n + 1)])[size]
        self.present_absent = table(
            [[total(n - a - b, a) if a + b <= n else 0.0 for b in range(n + 1)] for a in range(n + 1)]
        )
        self.is_symmetric = bool(torch.allclose(all_present, all_absent, rtol=1e-14, atol=0.0))
        self.all_present, self.all_absent = all_present, all_absent
        self.share = torch.cat([all_present, all_absent])  # of the AND and NOR columns
        self.row_weights = table(weights)[size]
        self.order = size.repeat(2)
        self.is_or = _second_half(len(self.order), device)
        self.rival = _other_half(len(self.order), device)
        self.mean = torch.cat([all_present, 1 - all_absent])
        self.norm = self.mean * (1 - self.mean)

    @property
    def is_small(self) -> bool:
        """Whether searches go through all columns instead of a shortlist."""
        return self.n_players <= _WHOLE_PLAYERS

    @property
    def n_coalitions(self) -> int:
        """2^n, the number of columns of each kind."""
        return len(self.order) // 2

    def correlations(self, centred: Tensor) -> Tensor:
        """Weighted inner products of centred values ``(B, rows)`` with every column."""
        return _inner_products(centred * self.row_weights)

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Covariances of columns ``(…, k)`` with columns ``(…, L)``."""
        return _ClosedFormShortlist(self, right).covariance(left)

    def shortlist(self, ids: Tensor | None) -> Shortlist:
        """Some columns, or all of them, made ready for many covariances."""
        return _ClosedFormShortlist(self, ids) if ids is not None else _WholeDictionary(self)

    @cached_property
    def gram(self) -> Tensor:
        """Covariances of all columns with all, for small n."""
        everything = torch.arange(len(self.order), device=self.order.device)
        return self.covariance(everything, everything)

    def combine(self, chosen: Tensor, coefficients: Tensor) -> Tensor:
        """Sum of chosen columns times their coefficients over all rows."""
        half = self.n_coalitions
        terms = coefficients.new_zeros(len(chosen), 2 * half).scatter_add(1, chosen, coefficients)
        return zeta(terms[:, :half]) + or_zeta(terms[:, half:])


class _ClosedFormShortlist:
    """Some columns of a complete dictionary.

    An OR column is 1 less a NOR column, whose covariances differ in sign alone; NOR and AND meet only where their
    players are disjoint.
    """

    def __init__(self, columns: CompleteColumns, ids: Tensor) -> None:
        self.columns, self.ids = columns, ids
        self._is_or = ids >= columns.n_coalitions
        self._players = ids & (columns.n_coalitions - 1)
        self._order = columns.order[ids]
        self._share = columns.share[ids]

    def covariance(self, left: Tensor) -> Tensor:
        columns = self.columns
        is_or = (left >= columns.n_coalitions)[..., None]
        players, order = (left & (columns.n_coalitions - 1))[..., None], columns.order[left][..., None]
        right_order = self._order[..., None, :]
        union, disjoint = players | self._players[..., None, :], (players & self._players[..., None, :]) == 0
        both = columns.all_present[union]
        either = columns.present_absent[order, right_order]
        if not columns.is_symmetric:
            both = torch.where(is_or, columns.all_absent[union], both)
            either = torch.where(is_or, columns.present_absent[right_order, order], either)
        same = is_or == self._is_or[..., None, :]
        joint = torch.where(same, both, either.mul_(disjoint))
        joint.addcmul_(columns.share[left][..., None], self._share[..., None, :], value=-1)
        return joint.mul_(same * 2.0 - 1.0)


class _WholeDictionary:
    """All columns of a complete game, with their Gram matrix at hand."""

    def __init__(self, columns: CompleteColumns) -> None:
        self.columns = columns
        self.ids = torch.arange(len(columns.order), device=columns.order.device)[None]

    def covariance(self, left: Tensor) -> Tensor:
        return self.columns.gram[left]


@lru_cache(maxsize=8)
def complete_columns(n_players: int, size_weights: tuple[float, ...], device: torch.device) -> CompleteColumns:
    """The columns over all coalitions; kept, since the next game of as many players asks for the same."""
    return CompleteColumns(n_players, size_weights, device)


class SampledColumns(_WeightedRows):
    """AND and OR columns over some of the coalitions.

    Args:
        n_players: n.
        codes: The coalitions as bit codes, each once, shape ``(m,)``.
        row_weights: Weight of each, shape ``(m,)``.
    """

    independence = 1e-2  # covariances carry the error of the sample: near-dependent columns would be fitted to it

    def __init__(self, n_players: int, codes: Tensor, row_weights: Tensor) -> None:
        self.n_players = n_players
        self.n_coalitions = 1 << n_players
        self.codes = codes
        self.row_weights = row_weights / row_weights.sum()
        self.order = orders(n_players, codes.device).repeat(2)
        self.is_or = _second_half(len(self.order), codes.device)
        self.rival = _other_half(len(self.order), codes.device)
        self.mean = self.correlations(torch.ones_like(self.row_weights)[None])[0]
        self.norm = (self.mean * (1 - self.mean)).clamp(min=0.0)

    @property
    def is_small(self) -> bool:
        """Whether searches go through all columns instead of a shortlist."""
        return self.n_players <= _WHOLE_PLAYERS

    def correlations(self, centred: Tensor) -> Tensor:
        """Weighted inner products of centred values ``(B, rows)`` with every column."""
        everywhere = centred.new_zeros(len(centred), self.n_coalitions)
        everywhere[:, self.codes] = centred * self.row_weights
        return _inner_products(everywhere)

    def columns(self, ids: Tensor) -> Tensor:
        """The columns themselves, float64: ``(…, L)`` to ``(…, m, L)``."""
        half = self.n_coalitions
        pattern = (ids & (half - 1))[..., None, :]
        met = self.codes[:, None] & pattern
        return torch.where((ids >= half)[..., None, :], met != 0, met == pattern).double()

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Covariances of columns ``(…, k)`` with columns ``(…, L)``."""
        return self.weighted(left) @ self.columns(right)

    def weighted(self, ids: Tensor) -> Tensor:
        """Centred columns times row weights, transposed: ``(…, k, m)``."""
        return ((self.columns(ids) - self.mean[ids][..., None, :]) * self.row_weights[:, None]).mT

    def shortlist(self, ids: Tensor | None) -> Shortlist:
        """Some columns, or all of them, made ready for many covariances."""
        if ids is None:
            ids = torch.arange(len(self.order), device=self.order.device)[None]
        return _WrittenShortlist(self, ids)

    def combine(self, chosen: Tensor, coefficients: Tensor) -> Tensor:
        """Sum of chosen columns times their coefficients over all rows."""
        return (self.columns(chosen) @ coefficients[..., None])[..., 0]


class WrittenColumns(_WeightedRows):
    """Columns of given patterns, written out.

    Args:
        written: The columns, float64, shape ``(m, k)``.
        is_or: Whether each pattern is an OR, bool, shape ``(k,)``.
        order: Number of players of each, int64, shape ``(k,)``.
        rival: The place of the same players' other kind, its own where it is not among them, int64, shape ``(k,)``.
        centred: Whether values and columns are taken less their means; else a fit goes through the origin.
            Default: True
    """

    independence = SampledColumns.independence
    is_small = True

    def __init__(self, written: Tensor, is_or: Tensor, order: Tensor, rival: Tensor, is_centred: bool = True) -> None:
        self.written, self.is_or, self.order, self.rival, self.is_centred = written, is_or, order, rival, is_centred
        self.row_weights = written.new_full((len(written),), 1 / len(written))
        self.mean = self.row_weights @ written if is_centred else torch.zeros_like(written[0])
        self.norm = (self.row_weights @ written.square() - self.mean.square()).clamp(min=0.0)

    def centred(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(B, rows)`` less their mean, and the mean ``(B, 1)``; as they are for a fit through the origin."""
        mean = values.mean(-1, keepdim=True) if self.is_centred else torch.zeros_like(values[:, :1])
        return values - mean, mean

    def columns(self, ids: Tensor) -> Tensor:
        """Some of the columns: ``(…, L)`` to ``(…, m, L)``."""
        return self.written[:, ids].movedim(0, -2)

    def correlations(self, centred: Tensor) -> Tensor:
        """Weighted inner products of centred values ``(B, rows)`` with every column."""
        return (centred * self.row_weights) @ self.written

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Covariances of columns ``(…, k)`` with columns ``(…, L)``."""
        return self.weighted(left) @ (self.columns(right) - self.mean[right][..., None, :])

    def weighted(self, ids: Tensor) -> Tensor:
        """Centred columns times row weights, transposed: ``(…, k, m)``."""
        return (self.columns(ids) - self.mean[ids][..., None, :]).mT * self.row_weights

    def shortlist(self, ids: Tensor | None) -> Shortlist:
        """Some columns, or all of them, made ready for many covariances."""
        if ids is None:
            ids = torch.arange(len(self.order), device=self.order.device)[None]
        return _WrittenShortlist(self, ids)

    def combine(self, chosen: Tensor, coefficients: Tensor) -> Tensor:
        """Sum of chosen columns times their coefficients over all rows."""
        return torch.einsum("mbk,bk->bm", self.written[:, chosen], coefficients)


class _WrittenShortlist:
    """Some columns, written out once."""

    def __init__(self, columns: SampledColumns | WrittenColumns, ids: Tensor) -> None:
        self.ids = ids
        self._source = columns
        self._written = columns.columns(ids)

    def covariance(self, left: Tensor) -> Tensor:
        return self._source.weighted(left) @ self._written


def _second_half(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device) >= count // 2


def _other_half(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device).roll(count // 2)


def _inner_products(weighted: Tensor) -> Tensor:
    """Σ_S q(S) X_j(S) for q on all coalitions, ``(B, 2^n)``; NOR columns are AND columns of the complements."""
    sums = zeta_adjoint(torch.stack([weighted, weighted.flip(-1)], dim=-2))
    sums[..., 1, :] = weighted.sum(-1, keepdim=True) - sums[..., 1, :]
    return sums.flatten(-2)
