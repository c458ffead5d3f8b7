"""How a logical model prints: what R² is from, what has to be known first, and a table of patterns."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from captum_andor.explain.explained import Explained
from captum_andor.results import Axes, Interaction, PatternTable, ResultPlayers
from captum_andor.sampling import orders_seen
from captum_andor.search import COMPLETED_PLAYERS, Options

_EXPLAINS = 0.5  # R² below which a print says first that the patterns do not explain the model
_ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}  # of its size: v that differs by less is a constant
_LISTED_PLAYERS = 8  # a pattern of all players is named so above this number


class PrintedLogicalModel(Explained):
    """The print of :class:`LogicalModel`, which has these attributes."""

    table: PatternTable
    t: Tensor
    constant: Tensor
    r2: Tensor
    r2_interval: Tensor
    values: Tensor
    coalitions: Tensor | None
    options: Options
    axes: Axes
    players: ResultPlayers

    @property
    def patterns(self) -> list[Interaction]:
        """The patterns of all outputs, in their order, strongest first within each; ``.index`` tells the output."""
        return list(self.table.interactions(self.axes, self.players.key))

    @property
    def n_evaluations(self) -> int:
        """How many coalitions were evaluated."""
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

    def _headline(self) -> str:
        """The players, and what R² is from."""
        if self.coalitions is None:
            return f"{self.n_players} players, exact R² over all {self.n_evaluations:,} coalitions"
        n = self.n_players
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
        count, empty = len(self.table), float(self.constant.squeeze())
        quality = f"R² {r2:.4f}{interval}, left over {1 - r2:.2%} of the variance"
        if r2 < 0:
            quality = f"R² {r2:.4f}{interval}, worse than the mean of v"
        if math.isnan(r2):
            quality = "R² unknown: v differs on too few of these coalitions to tell what it is on others"
        lines = [
            *self._doubts(r2, low),
            f"{count} pattern{'s' * (count != 1)}, {quality}; "
            f"h(∅)={empty:.4g}  h(N)={empty + float(self.table.value.sum()):.4g}",
        ]
        if count:
            noise = "" if self.is_exact else f"   (noise alone reaches |t| {self.noise_t:.1f})"
            lines.append(f"  {'strength':>9}  {'|t|':>7}  kind players{noise}")
        for pattern, t in zip(self.patterns[:rows], self.t.tolist(), strict=False):
            players = ", ".join(map(str, pattern.names or pattern.players))
            if pattern.order == self.n_players > _LISTED_PLAYERS:
                players = f"all {self.n_players} players"
            lines.append(f"  {pattern.value:>+9.4g}  {t:>7.3g}  {pattern.kind.upper():4} {{{players}}}")
        if count > rows:
            lines.append(f"  … {count - rows} more in patterns")
        return lines

    def _doubts(self, r2: float, low: float) -> list[str]:
        """What a reader has to know before the patterns, for a result of a single output."""
        if self.players.layout is not None and self.players.layout.shapes == ((),) and self.n_players == 1:
            return ["One player: inputs are examples of one number each. A single row of numbers is inputs[None]."]
        rounding = _ROUNDING.get(self.players.attribution_dtype, _ROUNDING[torch.float64])
        if float(self.values.max() - self.values.min()) <= rounding * float(self.values.abs().max()):
            return ["Nothing to explain: v is the same on every masked input. Check the baseline and the target."]
        if r2 < _EXPLAINS:
            more = "more patterns (max_patterns=), fewer players" + ("" if self.is_exact else " or a larger budget")
            return [f"Does not explain this model: the patterns leave over half of the variance of v. Try {more}."]
        if not self.is_exact and low < _EXPLAINS:
            return ["May not explain this model: the interval of R² reaches below one half. Try a larger budget."]
        return []
