"""Choose the final split among candidates: smallest l1 within the tolerance, then lowest order.

It is refitted exactly on its few largest terms if these explain the game.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from captum_andor.games.transforms import count_players, mobius, or_mobius, or_zeta, zeta
from captum_andor.split.certificate import merge_singles, order_costs, strength

_SUPPORTS = 4  # that are tried: those that end at the largest drops of strength
_MOST_TERMS, _LEAST_SPARE = 256, 4  # a support of more terms, or of more than 2^n / 4, is not sparse
_EXACT = 1e-10  # of max|v|: what a support may leave unexplained
_NEAR = 1e-2  # of max|v|: a support whose first fit misses no more is fitted exactly
_ALL_ROWS = 1024  # a first fit sees so many coalitions; all of them where there are no more
_CLEAR_DROP = 20.0  # so is one that ends where the next term is weaker by this factor
_DROP = 4.0  # a support ends where the next term is weaker by this factor; dense games have no such place
_TIE = 1e-9  # relative l1 within which the split of lower order is taken: rounding of the sums


class Candidate(NamedTuple):
    """Splits of games: a, b and the noise q they leave, shape ``(B, 2^n)`` each."""

    and_values: Tensor
    or_values: Tensor
    noise: Tensor


def fixed_splits(values: Tensor) -> list[Candidate]:
    """The AND, the OR and the even split of games ``(B, 2^n)`` with v(∅) = 0."""
    ands, ors = mobius(values), or_mobius(values)
    zero = torch.zeros_like(values)
    return [Candidate(*merge_singles(a, b), zero) for a, b in ((ands, zero), (zero, ors), (ands / 2, ors / 2))]


class Supported(NamedTuple):
    """A split of one game by a few of its terms.

    Attributes:
        and_values: a.
        or_values: b.
        left: The largest value that it leaves unexplained.
        drop: The largest factor between the strengths of one term and the next.
        rounding: Rounding error of the game's values in float64.
    """

    and_values: Tensor
    or_values: Tensor
    left: float
    drop: float
    rounding: float

    @property
    def is_exact(self) -> bool:
        """Whether the terms explain the game, to rounding."""
        return self.left <= max(_EXACT, self.rounding)

    @property
    def is_near(self) -> bool:
        """Whether a more exact split may have few terms: some of these are too weak to be seen yet."""
        return self.left <= _NEAR or self.drop >= _CLEAR_DROP


def on_support(values: Tensor, and_values: Tensor, or_values: Tensor, rounding: float) -> Supported:
    """The sparsest exact split of one game by its strongest terms alone; or the one that leaves least.

    Args:
        values (Tensor): v with v(∅) = 0 and max|v| about 1, shape ``(2^n,)``.
        and_values (Tensor): A split near the optimum, shape ``(2^n,)``.
        or_values (Tensor): Likewise.
        rounding (float): Rounding error of the values in float64.
    """
    size = len(values)
    both = torch.cat([and_values, or_values])
    sorted_strength, order = both.abs().sort(descending=True)
    most = min(_MOST_TERMS, size // _LEAST_SPARE + 1)
    drops = sorted_strength[:most] / sorted_strength[1 : most + 1].clamp(min=1e-14)
    largest = drops.topk(min(_SUPPORTS, most))
    best = Supported(and_values, or_values, torch.inf, float(largest.values[0]), rounding)
    for count in sorted(largest.indices[largest.values >= _DROP].tolist()):
        chosen = order[: count + 1]
        fitted = _fitted(values, chosen)
        result = torch.zeros_like(both)
        result[chosen] = fitted
        left = float((values - zeta(result[:size]) - or_zeta(result[size:])).abs().max())
        if left < best.left:
            best = best._replace(and_values=result[:size], or_values=result[size:], left=left)
        if best.is_exact:
            break
    ands, ors = merge_singles(best.and_values, best.or_values)
    return best._replace(and_values=ands, or_values=ors)


def _fitted(values: Tensor, chosen: Tensor) -> Tensor:
    """Strengths of terms by least squares over some coalitions, exact where the terms explain the game.

    Over all of few; of many over those that tell the terms apart (the players of one, and all the others) and a sample.
    """
    size = len(values)
    terms = chosen % size
    coalitions = torch.arange(size, device=values.device)
    if size > _ALL_ROWS:
        count = _ALL_ROWS + 4 * len(chosen)
        sample = torch.randint(size, (count,), generator=torch.Generator().manual_seed(0), device="cpu").to(
            values.device
        )
        coalitions = torch.unique(torch.cat([terms, size - 1 - terms, sample]))
    common = coalitions[:, None] & terms
    columns = torch.where(chosen >= size, common > 0, common == terms).double()
    # On the CPU: columns may depend on each other, which the solver of GPUs takes for impossible.
    solution: Tensor = torch.linalg.lstsq(columns.cpu(), values[coalitions, None].cpu(), driver="gelsy").solution
    return solution[:, 0].to(values.device)


def shortest_of(candidates: list[Candidate], bound: Tensor, tolerance: float, preference: float) -> Candidate:
    """For each game, of the candidates proven short enough the one of least order, sparse ones before others.

    A candidate is short enough if its l1 is within the tolerance of the bound, and no fixed split (the first three
    candidates) is shorter; or else if none is shorter at all.

    Args:
        candidates: Splits of the games, ``(B, 2^n)`` each.
        bound (Tensor): No l1 is below this, shape ``(B,)``.
        tolerance (float): Relative gap that is accepted.
        preference (float): For low order.
    """
    ands, ors, noises = (torch.stack(parts) for parts in zip(*candidates, strict=True))
    length = strength(ands, ors)
    length = torch.where(length.isfinite(), length, torch.inf)
    allowed = torch.minimum(bound / (1 - tolerance), length[:3].amin(0))
    allowed = torch.maximum(allowed, length.amin(0)) * (1 + _TIE)
    costs = order_costs(count_players(ands), preference, ands.device)
    cost = ((ands.abs() + ors.abs()) * costs).sum(-1)
    terms = ((ands != 0).sum(-1) + (ors != 0).sum(-1)).double()
    admitted = length <= allowed
    sparse = admitted & (terms <= ands.shape[-1] // _LEAST_SPARE)
    cost = torch.where(torch.where(sparse.any(0), sparse, admitted), cost, torch.inf)
    near = cost <= cost.amin(0) * (1 + _TIE)
    chosen = torch.where(near, terms, torch.inf).argmin(0)
    games = torch.arange(ands.shape[1], device=ands.device)
    return Candidate(ands[chosen, games], ors[chosen, games], noises[chosen, games])
