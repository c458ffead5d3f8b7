"""``AndOrExplanation``: all 2^n AND and OR interactions of one or many predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor.explain.explained import Explained
from captum_andor.explain.logical_model import LogicalModel, complete_model
from captum_andor.games import active_players, flat_games, game_values
from captum_andor.games.transforms import (
    coalition_codes,
    coalition_members,
    count_players,
    or_zeta,
    orders,
    shapley_values,
    zeta,
)
from captum_andor.process import CompleteGame, Posterior
from captum_andor.results import (
    Axes,
    Interactions,
    Names,
    PatternTable,
    Picks,
    ResultPlayers,
    from_shapiq,
    salience_threshold,
    shown_patterns,
    take,
)
from captum_andor.search import ModelOptions, Options
from captum_andor.split import INTERIOR_PLAYERS, Certainty, Split, certainty_of, split_game

if TYPE_CHECKING:
    import pandas as pd
    import shapiq
    from typing_extensions import Unpack

_ROUNDING = 8  # times the rounding of the largest v: below, a player changes nothing
_TENSORS = ("values", "and_values", "or_values", "noise", "l1", "duality_gap", "dual", "noise_limit")


@dataclass(frozen=True, repr=False, eq=False)
class AndOrExplanation(Explained):
    r"""AND and OR interactions of one or many predictions.

    The surrogate :math:`h(S)=v(∅)+\sum_{∅\neq T\subseteq S}I_{and}(T)+\sum_{T\cap S\neq∅}I_{or}(T)` equals
    :math:`v(S)+q(S)` on every coalition S (universal matching). Coalitions are bit codes: bit i of the position on the
    last axis is player i, the i-th of ``feature_ids``. The leading shape ``(…)`` is that of the explained outputs.
    Order-1 interactions, the same function under AND and OR, stand under AND.

    Attributes:
        values (Tensor): v, float64, shape ``(…, 2^n)``.
        and_values (Tensor): AND interactions, same shape; position 0 is v(∅).
        or_values (Tensor): OR interactions, same shape; position 0 is 0.
        noise (Tensor): q, same shape; 0 unless a noise bound was given.
        l1 (Tensor): Sum of \|I(T)\| over T ≠ ∅, AND and OR together, shape ``(…)``.
        duality_gap (Tensor): Certificate of a sparse split: the optimal l1 is at least ``(1 - duality_gap) * l1``.
            NaN for the other splits, which seek no optimum. Shape ``(…)``.
        dual (Tensor): The dual point that proves it, in units of 1, shape ``(…, 2^n)``; NaN for the other splits.
        noise_limit (Tensor): Bound on \|q\|, in the units of v, shape ``(…)``.
        split (str): Which split was taken.

    Examples::

        >>> ex = AndOrExplanation.from_values(torch.tensor([0.0, 1.0, 1.0, 1.0]))
        >>> ex.top(1)
        [Interaction(index=(), kind='or', players=(0, 1), value=1.0)]

    Source: Chen et al. 2024, arXiv 2401.16318, Theorem 2.1; the split and its certificate: this package.
    """

    values: Tensor
    and_values: Tensor
    or_values: Tensor
    noise: Tensor
    l1: Tensor
    duality_gap: Tensor
    dual: Tensor
    noise_limit: Tensor
    split: str
    axes: Axes
    players: ResultPlayers

    @classmethod
    def from_values(
        cls,
        v: Tensor | np.ndarray[Any, Any] | list[Any],
        split: Split = "sparse",
        noise_bound: float = 0.0,
        tolerance: float = 1e-3,
        *,
        player_names: Names = None,
    ) -> AndOrExplanation:
        r"""Explain games from their values; no model needed.

        Args:
            v (Tensor, array or list): Values of all coalitions, last axis ``2^n`` in the order of the bit codes.
            split (str, optional): ``"sparse"``, ``"and"``, ``"or"`` or ``"even"``. Default: "sparse"
            noise_bound (float, optional): Largest \|q(S)\| relative to \|v(N) - v(∅)\|. Default: 0.0
            tolerance (float, optional): Duality gap at which a sparse split is accepted. Default: 1e-3
            player_names (sequence or mapping, optional): What prints and tables call the players: a string for
                each, in their order or by id. Default: None

        Returns:
            - **explanation** (*AndOrExplanation*): Leading shape ``v.shape[:-1]``.

        Raises:
            ValueError: If the last axis is not a power of two, a value is not finite, or an option is out of range.
            TypeError: If v is not real.

        Examples::

            >>> AndOrExplanation.from_values([0.0, 0.0, 0.0, 2.0]).top(1)[0].kind
            'and'
        """
        values = game_values(v)
        players = ResultPlayers.numbered(count_players(values, name="v"), player_names)
        return split_explanation(values, split, noise_bound, tolerance, players)

    @classmethod
    def from_shapiq(
        cls, interactions: shapiq.InteractionValues, split: Split = "sparse", tolerance: float = 1e-3
    ) -> AndOrExplanation:
        """Split what shapiq computed with ``index="Moebius"``, by any of its methods.

        Args:
            interactions (shapiq.InteractionValues): Of index "Moebius", at most 20 players; sets that it lacks are 0.
            split (str, optional): As in :meth:`from_values`. Default: "sparse"
            tolerance (float, optional): As in :meth:`from_values`. Default: 1e-3

        Returns:
            - **explanation** (*AndOrExplanation*): Of one game.

        Raises:
            TypeError: If these are no interaction values.
            ValueError: If they are of another index or of too many players, or an option is out of range.
        """
        return cls.from_values(from_shapiq(interactions), split, tolerance=tolerance)

    def shapley_values(self) -> Tensor:
        r"""Shapley values of v, :math:`\phi_i=\sum_{T\ni i}(I_{and}(T)+I_{or}(T))/|T|` of a split without noise.

        With noise they stay those of v; q is never attributed.

        Returns:
            - **shapley** (*Tensor*): float64, shape ``(…, n)``; they sum to v(N) - v(∅).

        Examples::

            >>> AndOrExplanation.from_values([0.0, 1.0, 2.0, 5.0]).shapley_values()
            tensor([2., 3.], dtype=torch.float64)
        """
        return shapley_values(self.values)

    def predict(self, coalitions: Tensor) -> Tensor:
        """Surrogate h(S) on given coalitions.

        Args:
            coalitions (Tensor): bool, shape ``(m, n)`` for all outputs or ``(…, m, n)`` for each; True keeps a player.

        Returns:
            - **predictions** (*Tensor*): float64, shape ``(…, m)``; equal to v + q there.

        Raises:
            TypeError: If the coalitions are not a bool tensor.
            ValueError: If their shape does not match.

        Examples::

            >>> ex = AndOrExplanation.from_values([0.0, 1.0, 2.0, 5.0])
            >>> ex.predict(torch.tensor([[True, False], [True, True]]))
            tensor([1., 5.], dtype=torch.float64)
        """
        self._check_coalitions(coalitions)
        codes = coalition_codes(coalitions.to(self.values.device))
        return self._surrogate().gather(-1, codes.expand(*self.shape, -1))

    def fidelity(self) -> Tensor:
        r"""Error of universal matching: the largest \|h(S) - v(S) - q(S)\| over all coalitions.

        Returns:
            - **error** (*Tensor*): float64, shape ``(…)``, in the units of v; rounding error only, for every split.

        Examples::

            >>> float(AndOrExplanation.from_values([0.0, 1.0, 2.0, 5.0]).fidelity()) < 1e-12
            True
        """
        return (self._surrogate() - self.values - self.noise).abs().amax(-1)

    @property
    def active_players(self) -> Tensor:
        """Which players change v in some coalition by more than rounding in the dtype of :meth:`attributions`.

        The others are dummies: no interaction of a sparse split holds them.

        Returns:
            - **active** (*Tensor*): bool, shape ``(…, n)``, players in the order of ``feature_ids``.

        Examples::

            >>> AndOrExplanation.from_values([0.0, 0.0, 2.0, 2.0]).active_players
            tensor([False,  True])
        """
        rounding = _ROUNDING * torch.finfo(self.players.attribution_dtype).eps
        return active_players(self.values, rounding * self.values.abs().amax(-1))

    def order_strength(self, threshold: float | Tensor | None = 0.0) -> Tensor:
        """Sums of positive and of negative interactions by order, AND and OR together.

        Args:
            threshold (float or Tensor, optional): Count salient interactions alone, as in :meth:`salient`.
                Default: 0.0 (all)

        Returns:
            - **strength** (*Tensor*): float64, shape ``(…, 2, n + 1)``: ``[…, 0, k]`` is J⁺(k) ≥ 0 and ``[…, 1, k]`` is
              J⁻(k) ≤ 0. Order 0, the constant, is 0.

        Raises:
            ValueError: As :meth:`salient`.

        Examples::

            >>> AndOrExplanation.from_values([0.0, 1.0, -2.0, 5.0], split="and").order_strength()
            tensor([[ 0.,  1.,  6.],
                    [ 0., -2.,  0.]], dtype=torch.float64)
        """
        stacked = torch.where(self.is_salient(threshold), self._stacked(), 0.0)
        signed = torch.stack([stacked.clamp(min=0).sum(-2), stacked.clamp(max=0).sum(-2)], dim=-2)
        result = signed.new_zeros(*signed.shape[:-1], self.n_players + 1)
        return result.index_add(-1, orders(self.n_players, signed.device), signed)

    def is_salient(self, threshold: float | Tensor | None = None) -> Tensor:
        r"""Which interactions reach a threshold, as a mask.

        Args:
            threshold (float or Tensor, optional): As in :meth:`salient`. Default: None

        Returns:
            - **mask** (*Tensor*): bool, shape ``(…, 2, 2^n)``: AND, then OR, True where \|I(T)\| ≥ threshold, I(T) ≠ 0
              and T ≠ ∅.

        Raises:
            ValueError: As :meth:`salient`.

        Examples::

            >>> AndOrExplanation.from_values([0.0, 1.0, 1.0, 4.0], split="and").is_salient(2.0)[0]
            tensor([False, False, False,  True])
        """
        strength = self._stacked().abs()
        return (strength >= self._cut(threshold)[..., None, None]) & (strength > 0)

    def salient(self, threshold: float | Tensor | None = None) -> Interactions:
        r"""Interactions with \|I(T)\| ≥ threshold, strongest first within each output.

        Args:
            threshold (float or Tensor, optional): In the units of v; a tensor of the leading shape gives each output
                its own. None takes 0.05 of the strongest interaction of each output (Chen et al. 2024).
                Compare samples or models only at one common threshold. Default: None

        Returns:
            - **interactions** (*sequence of Interaction*): Those over T ≠ ∅ that are not zero. Each is made when it is
              looked at, so that millions cost little.

        Raises:
            ValueError: If the threshold is negative or NaN, or neither a number nor of the leading shape.

        Examples::

            >>> [str(i) for i in AndOrExplanation.from_values([0.0, 1.0, 1.0, 4.0], split="and").salient(2.0)]
            ['AND {0, 1} +2']
        """
        return self._salient_table(threshold).interactions(self.axes, self.players.key)

    def certainty(self, threshold: float | Tensor | None = None) -> Certainty:
        r"""Bounds on every interaction over all optimal splits: the least l1 is unique, the interactions need not be.

        Args:
            threshold (float or Tensor, optional): Strength below which an interaction counts as absent, as in
                :meth:`salient`. Default: None (0.05 of the strongest of each output)

        Returns:
            - **certainty** (*Certainty*): For AND and OR, shape ``(…, 2, 2^n)`` each: ``status``, -1 where \|I(T)\| is
              below the threshold in every optimal split, 1 where it is at or above it in every one with the sign that
              it has here, 0 where this is not decided; ``lower`` and ``upper``, between which I(T) lies in every
              optimal split; ``sign_certain``, whether it reaches the threshold with one sign at most; and
              ``multiplicity``, shape ``(…)``, the share of the salient strength that is not proven
              present, which bounds how far the salient parts of two optimal splits can differ. The smaller the duality
              gap, the more is decided: solve to ``tolerance=1e-6``.

        Raises:
            ValueError: If the split is not sparse, has more than 12 players, or was loaded without its dual point.

        Examples::

            >>> ex = AndOrExplanation.from_values([0.0, 0.0, 0.0, 2.0])
            >>> ex.certainty().status[0].tolist()  # AND: of ∅, {0}, {1}, {0, 1}
            [-1, -1, -1, 1]
        """
        if self.split != "sparse" or bool(self.dual.isnan().any()):
            raise ValueError(
                f"certainty() needs a sparse split with its dual point; this one is {self.split!r}. Make it with "
                'split="sparse".'
            )
        if self.n_players > INTERIOR_PLAYERS:
            raise ValueError(f"certainty() takes up to {INTERIOR_PLAYERS} players; this split has {self.n_players}.")
        and_values, or_values, dual = (flat_games(part) for part in (self.and_values, self.or_values, self.dual))
        l1, gap, limit = (part.reshape(-1) for part in (self.l1, self.duality_gap, self.noise_limit))
        found = certainty_of(and_values, or_values, dual, l1, gap, limit, self._cut(threshold).reshape(-1))
        return Certainty(*(part.reshape(self.shape + part.shape[1:]) for part in found))

    def _posterior(self, output: int) -> Posterior:
        return CompleteGame(flat_games(self.values)[output])

    def _strongest(self, k: int | None) -> PatternTable:
        if k is None:
            return self._salient_table(None)
        games = self._flat()
        strength, columns = games.abs().topk(min(int(k), games.shape[1]), sorted=False)
        kept = torch.zeros_like(games, dtype=torch.bool).scatter_(1, columns, strength > 0)
        output, column = kept.nonzero().T
        half = games.shape[1] // 2
        members = coalition_members(column % half, self.n_players)
        table, _ = PatternTable.ordered(output, column >= half, members, games[kept])
        return table

    def to_dataframe(self, threshold: float | Tensor = 0.0, certainty: bool = False) -> pd.DataFrame:
        """Interactions as a pandas table, one row each, strongest first within each output.

        Args:
            threshold (float or Tensor, optional): As in :meth:`salient`; 0 keeps all that are not zero. Default: 0.0
            certainty (bool, optional): Add ``certain``, whether an interaction is "present" or "absent" in every
                optimal split or "undecided", with ``sign_certain``, ``lower`` and ``upper``, see :meth:`certainty`.
                Default: False

        Returns:
            - **table** (*pandas.DataFrame*): Columns ``sample`` and ``output`` (as many as there are leading axes;
              further ones ``output_1``, …), ``kind``, ``players``, ``order``, ``value``; ``names`` where players
              have some. Parts of a result keep the columns and positions of the whole, so that their tables can be
              concatenated.
        """
        rows = self._salient_table(threshold)
        table = rows.to_dataframe(self.axes, self.players.key)
        if certainty:
            found = self.certainty()
            codes = (rows.members.long() << torch.arange(self.n_players, device=rows.members.device)).sum(1)
            at = (rows.output, rows.is_or.long(), codes)
            status, lower, upper, sign = (part.reshape(-1, 2, part.shape[-1])[at].cpu().numpy() for part in found[:4])
            table["certain"] = np.array(["absent", "undecided", "present"], dtype=object)[status + 1]
            table["sign_certain"], table["lower"], table["upper"] = sign, lower, upper
        return table

    def logical_model(self, *, seed: int = 0, **options: Unpack[ModelOptions]) -> LogicalModel:
        """A few patterns that reproduce v, chosen anew; no further evaluation of the model.

        The strongest interactions of a split are not these: they reproduce v together with all the others only.

        Args:
            seed (int, optional): Default: 0
            **options: ``max_patterns``, ``min_r2``, ``max_order``, ``effort``, ``exact_ends``, ``kinds``, ``weights``,
                as in :meth:`LogicalModel.from_values`.

        Returns:
            - **model** (*LogicalModel*): Of the same outputs; its R² is exact.

        Raises:
            TypeError: If there is no such option.
            ValueError: If an option is out of range.

        Examples::

            >>> float(AndOrExplanation.from_values([0.0, 1.0, 1.0, 1.0]).logical_model(max_patterns=1).r2)
            1.0
        """
        model = complete_model(self.values, Options.of("logical_model", options, seed), self.players)
        return replace(model, axes=self.axes)

    def _select(self, picks: Picks) -> AndOrExplanation:
        parts: dict[str, Any] = {name: take(getattr(self, name), picks) for name in _TENSORS}
        return replace(self, **parts, axes=self.axes.pick(picks), players=self.players.pick(picks))

    def _ends(self) -> tuple[float, float]:
        """Values h(∅) and h(N) of the surrogate, for a result of a single output."""
        h = self._surrogate().flatten()
        return float(h[0]), float(h[-1])

    def _compared_patterns(self) -> Interactions:
        """The patterns that comparisons count: the salient interactions."""
        return self.salient()

    def _refit_with_noise(self, noise: float, generator: torch.Generator) -> AndOrExplanation:
        """Refit the result after adding normal noise to v, its standard deviation relative to |v(N) - v(∅)|."""
        effect = (self.values[..., -1:] - self.values[..., :1]).abs()
        draw = torch.randn(self.values.shape, generator=generator, dtype=torch.float64, device="cpu")
        bound = torch.where(effect > 0, self.noise_limit[..., None] / torch.where(effect > 0, effect, 1.0), 0.0)
        values = self.values + noise * effect * draw.to(self.values.device)
        again = split_explanation(values, self.split, bound[..., 0], 1e-3, self.players)  # type: ignore[arg-type]
        return replace(again, axes=self.axes)

    def _all_values(self) -> Tensor:
        return self.values

    def _surrogate_values(self) -> Tensor:
        return self._surrogate()

    def _surrogate(self) -> Tensor:
        return zeta(self.and_values) + or_zeta(self.or_values)

    def _stacked(self) -> Tensor:
        """AND and OR interactions, shape ``(…, 2, 2^n)``; empty sets are 0."""
        stacked = torch.stack([self.and_values, self.or_values], dim=-2)
        stacked[..., 0] = 0.0
        return stacked

    def _flat(self) -> Tensor:
        """AND and OR interactions with a row per output: ``(B, 2 * 2^n)``."""
        stacked = self._stacked()
        return stacked.view(-1, 2 * stacked.shape[-1])

    def _cut(self, threshold: float | Tensor | None) -> Tensor:
        """Threshold of salience of each output: shape ``(…)``."""
        if threshold is None:
            return salience_threshold(self._stacked().flatten(-2).abs())[..., 0]
        cut = torch.as_tensor(threshold, dtype=torch.float64, device=self.values.device)
        if not bool((cut >= 0).all()):
            raise ValueError(f"threshold must be ≥ 0; got {threshold}.")
        if tuple(cut.shape) not in ((), self.shape):
            raise ValueError(f"threshold must be a number or of shape {self.shape}; got shape {tuple(cut.shape)}.")
        return cut.expand(self.shape)

    def _salient_table(self, threshold: float | Tensor | None) -> PatternTable:
        counts = self.is_salient(threshold).sum((-2, -1)).reshape(-1)
        return PatternTable.strongest(self._flat(), counts)

    def _headline(self) -> str:
        return f"{self.n_players} players, split={self.split!r}"

    def _table(self, rows: int = 5) -> list[str]:
        gap = float(self.duality_gap.squeeze())
        proof = "" if math.isnan(gap) else f", duality gap {gap:.1e}"
        lines = [f"l1={float(self.l1.squeeze()):.4g}{proof}", self._said_of_ends()]
        strongest = self._measured(rows)
        lines += shown_patterns(strongest, None, self.n_players) if strongest else []
        n_salient = int(self.is_salient().sum())
        if n_salient > len(strongest):
            lines.append(f"  … {n_salient} salient in all")
        return lines


def split_explanation(
    values: Tensor,
    split: Split,
    noise_bound: float | Tensor,
    tolerance: float,
    players: ResultPlayers,
    on_done: Callable[[int], object] = lambda done: None,
) -> AndOrExplanation:
    """The result of splitting games of values ``(…, 2^n)``; see :func:`captum_andor.split.split_game`."""
    result = split_game(values, split, noise_bound, tolerance, on_done)
    return AndOrExplanation(
        values=values,
        and_values=result.and_values,
        or_values=result.or_values,
        noise=result.noise,
        l1=result.l1,
        duality_gap=result.duality_gap,
        dual=result.dual,
        noise_limit=result.noise_limit,
        split=split,
        axes=Axes.of(values.shape[:-1]),
        players=players,
    )
