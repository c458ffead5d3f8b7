"""``LogicalModel``: a few AND and OR patterns that reproduce a prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import constrained
from captum_andor.explain.explained import Explained
from captum_andor.explain.minimal_sources import minimal_sources
from captum_andor.explain.pattern_stability import share_found_again
from captum_andor.games import flat_games, game_values
from captum_andor.games.transforms import all_coalitions, coalition_codes, count_players
from captum_andor.process import CompleteGame, Posterior
from captum_andor.results import (
    Axes,
    IndexedResult,
    Interaction,
    Names,
    PatternTable,
    Picks,
    ResultPlayers,
    rule_of,
    shown_patterns,
    take,
)
from captum_andor.sampling import (
    COMPLETED_PLAYERS,
    DICTIONARY_PLAYERS,
    DrawnRows,
    checked_coalitions,
    each_once,
    n_passes,
    orders_seen,
)
from captum_andor.search import (
    Effort,
    Models,
    Options,
    Weights,
    check_sample,
    game_posteriors,
    models_of_estimates,
    restored_games,
    single_player_models,
    stored_parts,
    unfitted_game,
)

if TYPE_CHECKING:
    import pandas as pd

_EXPLAINS = 0.5  # R² below which a print says first that the patterns do not explain the model
_ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}  # of its size: v that differs by less is a constant
_TABLED_PLAYERS = 20  # 2^20 predictions take 8 MB
_OF_OUTPUTS = ("constant", "r2", "r2_interval", "r2_path", "values")  # tensors of the leading shape


@dataclass(frozen=True, repr=False, eq=False)
class LogicalModel(Explained):
    r"""Few AND and OR patterns, chosen and fitted together to explain the most of v over masked inputs.

    :math:`h(S)=c+\sum_k w_k[T_k\subseteq S]+\sum_k w_k[T_k\cap S\neq∅]`: an AND pattern counts when all of its players
    are kept, an OR pattern when any is. ``r2`` says how much of v over the coalitions h reproduces: exactly where all
    2^n are known, from held-out ones otherwise. The leading shape ``(…)`` is that of the explained outputs.

    Attributes:
        constant (Tensor): h(∅), float64, shape ``(…)``.
        r2 (Tensor): R² of h, float64, shape ``(…)``.
        r2_interval (Tensor): 95 % interval of R², shape ``(…, 2)``; both equal to R² where that is exact.
        r2_path (Tensor): R² over the coalitions fitted, with the patterns taken in one by one in the order of their
            use, shape ``(…, k + 1)``; the first is 0, entries behind an output's last pattern repeat it.
        values (Tensor): v on the coalitions evaluated, float64, shape ``(…, m)``.
        coalitions (Tensor): These, bool, shape ``(m, n)``; None for all 2^n in the order of their bit codes.
        estimate (GameEstimate): The estimate of the game that the model was made from; None for models of values.
        posteriors (tuple of Posterior): What is known of v of each output; None after Ctrl-C, and for all 2^n values.
        drawn (DrawnRows): Which row of a :class:`~captum_andor.games.Background` each pass saw; values and coalitions
            are those of the passes. None for other baselines.
        evaluate (Callable): What asks the explained model for v on coalitions ``(m, n)``, ``(K, m)`` for the outputs
            that it was made for; of models of prompts alone, else None. No file holds it.

    Examples::

        >>> lm = LogicalModel.from_values([0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 4.0])
        >>> [str(pattern) for pattern in lm.patterns]
        ['AND {0, 1, 2} +3', 'OR  {0, 1} +1']
        >>> float(lm.r2)
        1.0

    Source: Forward selection after Chen, Billings and Luo 1989.
    """

    table: PatternTable
    t: Tensor
    constant: Tensor
    r2: Tensor
    r2_interval: Tensor
    r2_path: Tensor
    values: Tensor
    options: Options
    axes: Axes
    players: ResultPlayers
    coalitions: Tensor | None = field(default=None)
    estimate: IndexedResult | None = field(default=None)
    evaluate: Callable[[Tensor], Tensor] | None = field(default=None)
    posteriors: tuple[Posterior, ...] | None = field(default=None)
    drawn: DrawnRows | None = field(default=None)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: everything but the explained model."""
        return {**self.__dict__, "evaluate": None}

    @classmethod
    def from_values(
        cls,
        v: Tensor | np.ndarray[Any, Any] | list[Any],
        coalitions: Tensor | None = None,
        max_patterns: int | None = 10,
        min_r2: float | None = None,
        max_order: int | None = None,
        effort: Effort = "auto",
        exact_ends: bool = True,
        seed: int = 0,
        *,
        kinds: str | Sequence[str] = ("and", "or"),
        weights: Weights = "uniform",
        player_names: Names = None,
    ) -> LogicalModel:
        r"""Build logical models of games from their values; no model needed.

        Args:
            v (Tensor, array or list): Values, last axis the coalitions: all ``2^n`` in the order of the bit codes, or
                those of ``coalitions``.
            coalitions (Tensor, optional): The coalitions that were evaluated, bool, shape ``(m, n)``, True where a
                player is kept; repeated ones are averaged. All 2^n of them in any order give an exact model.
                Default: None (all 2^n in order)
            max_patterns (int, optional): At most so many patterns. None takes as many as ``min_r2`` needs or, without
                it, as an exact model needs or, from a sample, as cross-validation supports (one standard error).
                Default: 10
            min_r2 (float, optional): Stop an output as soon as R² reaches this; for a sample, on held-out coalitions.
                1 means 1 - 1e-9. Default: None
            max_order (int, optional): Largest number of players in a pattern. Default: None (any)
            effort (str, optional): ``"stable"``, forward selection that prefers few players; ``"accurate"``, grow to
                twice the number, prune, swap; ``"high"``, the best of several such searches and, where a model is
                exact, the shortest exact one that drop-and-regrow finds; ``"auto"``, ``"stable"`` and, where that is
                exact from all values of up to 8 players, the shortest exact one, too. Default: "auto"
            exact_ends (bool, optional): Hold h(∅) = v(∅) and h(N) = v(N), so that attributions add up. Default: True
            seed (int, optional): Of everything random. Default: 0
            kinds (str or sequence of str, optional): ``"and"``, ``"or"`` or both; single players are of either kind and
                stand under AND. Default: ("and", "or")
            weights (str or sequence of float, optional): What R² weighs: ``"uniform"``, all coalitions alike;
                ``"size"``, all sizes alike; ``"shapley"``, the Shapley kernel; or n + 1 numbers, the weight of one
                coalition of each size. Default: "uniform"
            player_names (sequence or mapping, optional): What prints and tables call the players: a string for
                each, in their order or by id. Default: None

        Returns:
            - **model** (*LogicalModel*): Leading shape ``v.shape[:-1]``.

        Raises:
            ValueError: If shapes do not fit, a value is not finite, coalitions are too few, or an option is out of
                range.
            TypeError: If v is not real or coalitions are not bool.

        Examples::

            >>> v = torch.arange(8.0)  # x0 + 2 x1 + 4 x2
            >>> [str(pattern) for pattern in LogicalModel.from_values(v).patterns]
            ['AND {2} +4', 'AND {1} +2', 'AND {0} +1']
        """
        values = game_values(v)
        options = Options(max_patterns, min_r2, max_order, effort, exact_ends, seed, kinds, weights)
        if coalitions is None:
            players = ResultPlayers.numbered(count_players(values, name="v"), player_names)
            return complete_model(values, options, players)
        rows = checked_coalitions(coalitions, values)
        players = ResultPlayers.numbered(rows.shape[1], player_names)
        rows, values = each_once(rows, values)
        if rows.shape[1] <= DICTIONARY_PLAYERS and len(rows) == 1 << rows.shape[1]:
            codes = coalition_codes(rows)
            return complete_model(values[..., codes.argsort()], options, players)
        return sampled_model(values, rows, options, players)

    @property
    def patterns(self) -> list[Interaction]:
        """The patterns of all outputs, in their order, strongest first within each; ``.index`` tells the output."""
        return list(self.table.interactions(self.axes, self.players.key))

    @property
    def n_evaluations(self) -> int:
        """How many coalitions were evaluated; with a background, how many forward passes there were."""
        if self.drawn is not None and self.coalitions is None:
            return n_passes(self.n_players, self.drawn.n_rows)
        return self.values.shape[-1]

    @property
    def is_exact(self) -> bool:
        """Whether all 2^n coalitions were evaluated: R² is exact then, else it comes from held-out ones."""
        return self.coalitions is None

    @property
    def noise_t(self) -> float:
        r"""The \|t\| that the best of all candidate patterns reaches on pure noise, about √(2 ln of their number).

        Patterns are chosen for their \|t\|, so that the 1.96 of a regression with given terms does not apply.
        """
        n = self.n_players
        largest = min(self.options.max_order or n, n)
        count = 2 * sum(math.comb(n, k) for k in range(1, largest + 1))
        return math.sqrt(2 * math.log(max(count, 2)))

    @constrained()
    def stability(self, n_resamples: int = 20) -> Tensor:
        """How often each pattern is found again when the search sees a random half of the coalitions.

        No further evaluation of the model. Of complete games at most 4 096 coalitions are drawn for a half.

        Args:
            n_resamples (int, optional): Number of halves. Default: 20

        Returns:
            - **share** (*Tensor*): float64 in [0, 1], shape ``(number of patterns,)``, in the order of ``patterns``.

        Raises:
            ValueError: If n_resamples < 1, or half of the coalitions are too few for as many patterns.

        Examples::

            >>> lm = LogicalModel.from_values(torch.arange(64.0))
            >>> lm.stability(5)
            tensor([1., 1., 1., 1., 1., 1.], dtype=torch.float64)
        """
        if self.drawn is not None and self.coalitions is not None:
            raise ValueError(
                "stability() draws halves of coalitions, and each pass of this model saw one row of a background: the "
                "standard errors in to_dataframe() and effects() say how sure its patterns are."
            )
        return share_found_again(self.table, self.values, self.coalitions, self.options, n_resamples)

    def _strongest(self, k: int | None) -> PatternTable:
        return self.table if k is None else self.table.rows(self._is_strongest(k))

    def _is_strongest(self, k: int | None) -> Tensor:
        place = torch.arange(len(self.table), device=self.t.device)
        first = torch.searchsorted(self.table.output, self.table.output)
        return place - first < (len(place) if k is None else k)

    def _weight_errors(self, k: int | None) -> Tensor | None:
        if self.is_exact:
            return None
        kept = self._is_strongest(k)
        return self.table.value[kept].abs() / self.t[kept]

    @property
    def _stands_out(self) -> Tensor:
        """Patterns that noise alone does not reach, bool, shape ``(P,)``."""
        return torch.ones_like(self.table.is_or) if self.is_exact else ~(self.t < self.noise_t)

    def _within_noise(self) -> int:
        return int((~self._stands_out).sum())

    def _listed(self, k: int | None) -> PatternTable:
        found = self.table.rows(self._stands_out)
        return found if k is None else found.rows(torch.arange(len(found), device=found.value.device) < k)

    def _posterior(self, output: int) -> Posterior:
        if self.posteriors is not None:
            return self.posteriors[output]
        v = flat_games(self.values)[output]
        return (
            CompleteGame(v)
            if self.coalitions is None
            else unfitted_game(self.coalitions, v, self.options.seed, self.drawn)
        )

    def _state(self) -> dict[str, Any]:
        return super()._state() | ({} if self.posteriors is None else stored_parts(self.posteriors))

    @classmethod
    def _of_state(cls, state: dict[str, Any]) -> LogicalModel:
        theta, kept = state.pop("theta", None), state.pop("kept", None)
        model = super()._of_state(state)
        if theta is None or kept is None or model.coalitions is None:
            return model
        found = restored_games(model.coalitions, flat_games(model.values), theta, kept, model.options.seed, model.drawn)
        return replace(model, posteriors=tuple(found))

    def predict(self, coalitions: Tensor) -> Tensor:
        """h(S) on given coalitions.

        Args:
            coalitions (Tensor): bool, shape ``(m, n)`` for all outputs or ``(…, m, n)`` for each; True keeps a player.

        Returns:
            - **predictions** (*Tensor*): float64, shape ``(…, m)``.

        Raises:
            TypeError: If the coalitions are not a bool tensor.
            ValueError: If their shape does not match.

        Examples::

            >>> lm = LogicalModel.from_values([0.0, 1.0, 2.0, 5.0])
            >>> lm.predict(torch.tensor([[True, False], [True, True]]))
            tensor([1., 5.], dtype=torch.float64)
        """
        self._check_coalitions(coalitions)
        coalitions = coalitions.to(self.constant.device)
        if coalitions.ndim > 2:
            coalitions = coalitions.flatten(0, -3)
        sums = self.table.predict(coalitions, math.prod(self.shape))
        return sums.view(*self.shape, sums.shape[1]) + self.constant[..., None]

    def shapley_values(self) -> Tensor:
        r"""Shapley values of h: each pattern's strength shared, :math:`\phi_i=\sum_{T_k\ni i}w_k/|T_k|`.

        Returns:
            - **shapley** (*Tensor*): float64, shape ``(…, n)``; they sum to h(N) - h(∅), which is v(N) - v(∅) where
              the ends are exact.

        Examples::

            >>> LogicalModel.from_values([0.0, 1.0, 2.0, 5.0]).shapley_values()
            tensor([2., 3.], dtype=torch.float64)
        """
        return self.table.shapley_values(math.prod(self.shape)).view(*self.shape, self.n_players)

    def order_strength(self) -> Tensor:
        """Sums of positive and of negative strengths by order, AND and OR together.

        Returns:
            - **strength** (*Tensor*): float64, shape ``(…, 2, n + 1)``: ``[…, 0, k]`` ≥ 0 and ``[…, 1, k]`` ≤ 0.

        Examples::

            >>> LogicalModel.from_values([0.0, 1.0, -2.0, -1.0]).order_strength()
            tensor([[ 0.,  1.,  0.],
                    [ 0., -2.,  0.]], dtype=torch.float64)
        """
        return self.table.order_strength(math.prod(self.shape)).view(*self.shape, 2, self.n_players + 1)

    def to_dataframe(self) -> pd.DataFrame:
        r"""Patterns as a pandas table, one row each, strongest first within each output.

        Returns:
            - **table** (*pandas.DataFrame*): Columns ``sample`` and ``output`` (as many as there are leading axes;
              further ones ``output_1``, …), ``kind``, ``players``, ``order``, ``value`` and ``t``: \|value\| over its
              standard error in a regression on the chosen patterns (see :attr:`noise_t`), ``names`` where players have
              some. Patterns of large t are those that stay when the values move a little.
        """
        return self.table.to_dataframe(self.axes, self.players.key).assign(t=self.t.cpu().numpy())

    def rules(self) -> list[str]:
        """The model in sentences: what presence does, as :meth:`effects` measure it; the ends, and what is left over.

        Strongest patterns first; those that noise alone would reach are counted, not told. A sentence says "only
        together" where no player of a pattern does anything alone, and "any one of" where each alone does what all do,
        within standard errors and a tenth ("about"); else it gives the effects.

        Returns:
            - **rules** (*list of str*): Of several outputs all in order, each sentence behind the name of its output.

        Examples::

            >>> v = [0.0, 5.0, 2.0, 9.0, 1.0, 6.0, 3.0, 10.0]
            >>> for rule in LogicalModel.from_values(v, player_names=["a", "b", "c"]).rules():
            ...     print(rule)
            a: +6
            a alone +5, b alone +2, both +9 (+2 more together)
            b: +3
            c: +1
            score with everything removed 0, with everything present 10
            left over: 0.0% of the variance
            >>> print(LogicalModel.from_values([0.0, 2.0, 2.0, 2.0], player_names=["a", "b"]).rules()[0])
            any one of all 2: +2
        """
        if math.prod(self.shape) != 1:
            names = self.axes.output_labels() or [str(list(i)) for i in np.ndindex(*self.shape)]
            each = (self[tuple(map(int, place))] for place in np.ndindex(*self.shape))
            return [f"{name}: {rule}" for name, one in zip(names, each, strict=True) for rule in one.rules()]
        r2 = float(self.r2.squeeze())
        left = "unknown, v differs on too few prompts" if math.isnan(r2) else f"{max(1 - r2, 0.0):.1%} of the variance"
        names = list(self.player_names or map(str, self.feature_ids))
        absent = self.players.question.absent
        return [
            *self.players.question.doubts,
            *(rule_of(pattern, effect, names) for pattern, effect in self._measured()),
            *self._left_out(),
            self._said_of_ends(),
            *([f"absent: {absent}"] if absent else []),
            f"left over: {left}",
        ]

    def _left_out(self) -> list[str]:
        count = self._within_noise()
        some = f"{count} weaker pattern{'s' * (count != 1)}"
        return [f"{some} left out: noise alone has candidates up to |t| {self.noise_t:.1f}"] if count else []

    @constrained()
    def minimal_sources(self, missing_share: float = 0.1, max_sets: int = 10) -> pd.DataFrame:
        """The smallest sets of players that keep the prediction, by this model, each asked of the explained one.

        A set keeps it where v(S) lacks at most ``missing_share`` of what all players do together, v(N) - v(∅). Sets
        that hold a smaller one of these are left out.

        Args:
            missing_share (float, optional): Of v(N) - v(∅). Default: 0.1
            max_sets (int, optional): Most sets, the smallest first. Default: 10

        Returns:
            - **sets** (*pandas.DataFrame*): ``players``, ``names``, ``size``, ``predicted``: h(S); of models of prompts
              ``v``: what the explained model says, in a pass for each that was not asked before, and ``kept``.

        Raises:
            ValueError: If the model is of several outputs, ``missing_share`` is not in [0, 1), or ``max_sets`` < 1.

        Examples::

            >>> lm = LogicalModel.from_values([0.0, 2.0, 2.0, 2.0, 0.0, 2.0, 2.0, 2.0])
            >>> lm.minimal_sources()["players"].tolist()
            [(0,), (1,)]
        """
        if math.prod(self.shape) != 1:
            raise ValueError(f"minimal_sources() is of one output; this has {self.shape}. Index it first.")
        return minimal_sources(self, float(missing_share), int(max_sets))

    _is_sparse = True
    _unstored = ("estimate", "evaluate", "posteriors")

    def _headline(self) -> str:
        """The players, and what R² is from."""
        if self.coalitions is None:
            return f"{self.n_players} players, exact R² over all {self.values.shape[-1]:,} coalitions"
        n = self.n_players
        if self.drawn is not None:
            return f"{n} players, R² estimated from {self.drawn.in_words(self.n_evaluations)}"
        if n <= COMPLETED_PLAYERS:
            sizes = sorted(set(self.coalitions.sum(1).tolist()) - {0, n}) or [0]
            gap = f", none of {sizes[-1] + 1} to {n - 1} players" if sizes[-1] < n - 1 else ""
            gap = f", none of 1 to {sizes[0] - 1} players" * (sizes[0] > 1) + gap
            return f"{n} players, R² estimated from {self.n_evaluations:,} of 2^{n} coalitions{gap}"
        seen = "AND up to order {}, OR up to order {}".format(*orders_seen(self.coalitions.cpu().numpy()))
        return f"{n} players, held-out R² from {self.n_evaluations:,} of 2^{n} coalitions, enough to see {seen}"

    def _table(self, rows: int = 10) -> list[str]:
        """Doubts, R², and the strongest patterns of a result of a single output, a line each."""
        r2 = float(self.r2.squeeze())
        low, high = self.r2_interval.reshape(2).tolist()
        interval = "" if self.is_exact else f" [{low:.3f}, {high:.3f}]"
        count = len(self.table)
        quality = f"R² {r2:.4f}{interval}, left over {1 - r2:.2%} of the variance"
        if r2 < 0:
            quality = f"R² {r2:.4f}{interval}, worse than the mean of v"
        if math.isnan(r2):
            quality = "R² unknown: v differs on too few of these coalitions to tell what it is on others"
        lines = [*self._doubts(r2, low), f"{count} pattern{'s' * (count != 1)}, {quality}", self._said_of_ends()]
        measured = self._measured(rows)
        if not measured:
            return [*lines, *self._left_out()]
        lines += shown_patterns(measured, self._shown_t(), self.n_players)
        hidden = int(self._stands_out.sum()) - len(measured)
        if hidden:
            lines.append(f"  … {hidden} more in patterns")
        return [*lines, *self._left_out()]

    def _legend(self) -> list[str]:
        t = f"|t|: weight over its standard error; noise alone has candidates up to {self.noise_t:.1f}."
        return [*super()._legend(), *([] if self._shown_t() is None else [t])]

    def _shown_t(self) -> list[float] | None:
        """|t| of the patterns that are listed; None where all values, or all patterns, are known exactly."""
        t = self.t[self._stands_out]
        return None if self.is_exact or bool(t.isinf().all()) else t.tolist()

    def _doubts(self, r2: float, low: float) -> list[str]:
        """What a reader has to know before the patterns, for a result of a single output."""
        if self.players.layout is not None and self.players.layout.shapes == ((),) and self.n_players == 1:
            return ["One player: inputs are examples of one number each. A single row of numbers is inputs[None]."]
        unknown = [*self.players.question.doubts, *([] if self.estimate is None else self.estimate._caveats())]
        rounding = _ROUNDING.get(self.players.attribution_dtype, _ROUNDING[torch.float64])
        if float(self.values.max() - self.values.min()) <= rounding * float(self.values.abs().max()):
            return ["Nothing to explain: v is the same on every masked input. Check the baseline and the target."]
        if r2 < _EXPLAINS:
            more = "more patterns (max_patterns=), fewer players" + ("" if self.is_exact else " or a larger budget")
            doubt = f"Does not explain this model: the patterns leave over half of the variance of v. Try {more}."
            return [doubt, *unknown]
        if not self.is_exact and low < _EXPLAINS and (self.estimate is None or not self.estimate._caveats()):
            doubt = "May not explain this model: the interval of R² reaches below one half. Try a larger budget."
            return [doubt, *unknown]
        return unknown

    def _ends(self) -> tuple[float, float]:
        """Values h(∅) and h(N) of the surrogate, for a result of a single output."""
        start = float(self.constant.flatten()[0])
        return start, start + float(self.table.value.sum())

    def _compared_patterns(self) -> list[Interaction]:
        """The patterns that comparisons count: all of them."""
        return self.patterns

    def _refit_with_noise(self, noise: float, generator: torch.Generator) -> LogicalModel:
        """Refit the result after adding normal noise to v, its standard deviation relative to |v(N) - v(∅)|."""
        size = self._effect()[..., None]
        draw = torch.randn(self.values.shape, generator=generator, dtype=torch.float64, device="cpu")
        values = self.values + noise * size * draw.to(self.values.device)
        if self.drawn is not None and self.coalitions is not None:
            raise ValueError("a model from a budget beside a Background cannot be refitted with noise.")
        if self.coalitions is None:
            again = complete_model(values, self.options, self.players)
        else:
            again = self.from_values(values, self.coalitions, **asdict(self.options))
        return replace(again, axes=self.axes, players=self.players)

    def _effect(self) -> Tensor:
        """Size of what all players do together; where ∅ or N was not evaluated, the range of v: shape ``(…)``."""
        if self.coalitions is None:
            return (self.values[..., -1] - self.values[..., 0]).abs()
        sizes = self.coalitions.sum(1)
        empty, whole = (sizes == 0).nonzero(), (sizes == self.n_players).nonzero()
        if len(empty) and len(whole):  # with a background ∅ was seen on every row
            return (self.values[..., whole[0, 0]] - self.values[..., empty[:, 0]].mean(-1)).abs()
        return self.values.amax(-1) - self.values.amin(-1)

    def _all_values(self) -> Tensor:
        n = self.n_players
        if n > _TABLED_PLAYERS:
            raise ValueError(
                f"indices of all sets need the 2^n coalitions of at most {_TABLED_PLAYERS} players; this has {n}. "
                "Its patterns and shapley_values() need no table."
            )
        return self.predict(all_coalitions(n, self.values.device))

    def _select(self, picks: Picks) -> LogicalModel:
        places = take(torch.arange(math.prod(self.shape), device=self.t.device).view(self.shape), picks)
        posteriors = self.posteriors and tuple(self.posteriors[i] for i in places.flatten().tolist())
        position = torch.full((math.prod(self.shape),), -1, device=places.device)
        position[places.flatten()] = torch.arange(places.numel(), device=places.device)
        output = position[self.table.output]
        kept = output >= 0
        rows = self.table.rows(kept)
        parts: dict[str, Any] = {name: take(getattr(self, name), picks) for name in _OF_OUTPUTS}
        table, order = PatternTable.ordered(output[kept], rows.is_or, rows.members, rows.value)
        return replace(
            self,
            table=table,
            t=self.t[kept][order],
            axes=self.axes.pick(picks),
            coalitions=None if self.coalitions is None else self.coalitions.clone(),
            estimate=None if self.estimate is None else self.estimate._select(picks),
            posteriors=posteriors,
            players=self.players.pick(picks),
            **parts,
        )


def complete_model(values: Tensor, options: Options, players: ResultPlayers) -> LogicalModel:
    """Choose and fit the logical model of games whose values on all coalitions are known.

    Args:
        values (Tensor): v, float64, shape ``(…, 2^n)``.
        options (Options): Number and kind of patterns, effort, weights.
        players (ResultPlayers): The n players.
    """
    posteriors = [CompleteGame(v) for v in flat_games(values)]
    return sampled_model(values, None, options, players, posteriors)


def sampled_model(
    values: Tensor,
    coalitions: Tensor | None,
    options: Options,
    players: ResultPlayers,
    posteriors: Sequence[Posterior] | None = None,
    drawn: DrawnRows | None = None,
) -> LogicalModel:
    """Choose and fit the logical model of games of which v is known on coalitions ``(m, n)``, each once; None for all.

    The posterior of each game says what v is on the others. ``drawn`` is which row of a background each pass saw.
    """
    games = flat_games(values)
    rows = all_coalitions(players.n_players, values.device) if coalitions is None else coalitions
    if coalitions is not None:
        check_sample(rows, options)
    try:
        if posteriors is None:
            posteriors = game_posteriors(rows, games, options.seed, drawn=drawn)
        models = models_of_estimates(posteriors, rows, games, options)
    except KeyboardInterrupt:  # the evaluations, which took the time, are kept with the model
        models, posteriors = single_player_models(games, rows, options), None
    model = replace(fitted_model(models, values, coalitions, options, players), drawn=drawn)
    return model if coalitions is None or posteriors is None else replace(model, posteriors=tuple(posteriors))


def fitted_model(
    models: Models, values: Tensor, coalitions: Tensor | None, options: Options, players: ResultPlayers
) -> LogicalModel:
    """Make the result from patterns that a search has chosen and fitted, those of the flattened outputs.

    Coalitions are those on which v is given; None for all 2^n in the order of their bit codes.
    """
    shape = tuple(values.shape[:-1])
    table, order = PatternTable.ordered(models.game, models.is_or, models.members, models.value)
    return LogicalModel(
        table=table,
        t=models.t[order],
        constant=models.constant.view(shape),
        r2=models.r2.view(shape),
        r2_interval=models.r2_interval.view(*shape, 2),
        r2_path=models.r2_path.view(*shape, models.r2_path.shape[1]),
        values=values,
        options=options,
        axes=Axes.of(shape),
        players=players,
        coalitions=coalitions,
    )
