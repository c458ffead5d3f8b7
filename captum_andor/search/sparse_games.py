"""Games that are few patterns: the search for them, and which of its patterns the coalitions given tell from others.

A game is taken for few patterns where a search that sees some of the coalitions explains all of them. That is no proof:
an AND that holds on N alone has the same column there as many others, and the first of these is taken. A pattern is
*identified* where the coalitions given tell it from every other one of its kind: for an AND of T, for each player j
outside T some coalition holds T and lacks j, and for each j in T some coalition holds T∖j and lacks j; for an OR the
same of the players that are absent. Any other set then has another column, too: a set that is not inside T holds such
a player from outside, and one inside T lacks a player of T. A few passes on T itself, or on N∖T, tell the most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from captum_andor._utils.statistics import root_mean_square
from captum_andor.process import ProcessPosterior, SparseGame
from captum_andor.results import PatternTable
from captum_andor.sampling import DICTIONARY_PLAYERS, FEWEST_SEARCHED, held_out_at_random, is_inner, size_strata
from captum_andor.search.beam_search import Pattern
from captum_andor.search.options import Options
from captum_andor.search.process_pursuit import pursued_patterns
from captum_andor.search.sampled_games import choose, fitted_patterns, pattern_columns

_MOST_PATTERNS = 40  # of a game that counts as sparse; more would need more coalitions than most budgets have
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the largest deviation of v: the rounding of a float32 model
_MOST_PURSUED = 64  # above 20 players, by the pursuit that comes first: trees are found by it
_ROWS_OF_HOPE, _HOPELESS = 256, 3.0  # times the error of a process: digits of 64 pixels have 3.2, planted games to 2
_CERTAIN = 1e-6  # share of a value that the others tell, below which they tell nothing
_PROCESS_PLAYERS = 4096  # above, the search takes a minute


@dataclass(frozen=True)
class FoundPatterns:
    """Patterns that a search found in one game, and how well they explain what it did not see.

    Attributes:
        patterns: In the order of their use.
        constant: v(∅) by them, shape ``()``.
        table: The same patterns with their weights.
        error: Root mean square of the error on the coalitions that the search did not see.
        is_exact: Whether they explain every value given.
        n_unseen: How many values the search did not see.
    """

    patterns: list[Pattern]
    constant: Tensor
    table: PatternTable
    error: float
    is_exact: bool
    n_unseen: int

    def game(self) -> SparseGame:
        """The game of these patterns."""
        return SparseGame(self.constant, self.table)

    def unidentified(self, coalitions: Tensor) -> list[Pattern]:
        """Patterns that coalitions ``(m, n)`` do not tell from others.

        All of several players, where as many were chosen as values were left to check them with; else those whose
        weight rests on a single value, and those that have a neighbour on the same coalitions.
        """
        several = [pattern for pattern in self.patterns if len(pattern[1]) > 1]
        if len(several) >= self.n_unseen:
            return several
        untold = [pattern for pattern, _ in untold_neighbours(self.patterns, coalitions)]
        resting = _resting_on_one_value(self.patterns, coalitions)
        return [pattern for pattern in self.patterns if pattern in untold or pattern in resting]


def find_patterns(coalitions: Tensor, values: Tensor, seed: int) -> FoundPatterns | None:
    """Search one game for few patterns; None where there is nothing to find them by.

    Values that were not seen must differ: a game that is constant but for its ends says nothing of its patterns.
    """
    m, n = coalitions.shape
    most = max(min(_MOST_PATTERNS, m // 8), min(n, m // 2))
    if m < FEWEST_SEARCHED or most < 1:
        return None
    rows = coalitions.cpu().numpy()
    held_out = torch.from_numpy(held_out_at_random(rows, seed)).to(values.device)
    unseen, rounding = values[held_out], _ROUNDING * (values - values.mean()).abs().amax()
    if not bool((unseen - unseen[0]).abs().amax() > rounding):
        return None
    seen = ~held_out
    options = Options(most, exact_ends=False, seed=seed)
    if n > DICTIONARY_PLAYERS:
        size = (coalitions.double() - 0.5).T @ (values - values.mean())
        few = pursued_patterns(values[None, seen], coalitions[seen], size, min(_MOST_PURSUED, m // 4), options)[0]
        found = _explained(few, coalitions, values, held_out, rounding)
        if found.is_exact or n > _PROCESS_PLAYERS:
            return found
    strata = torch.from_numpy(size_strata(rows)).to(values.device)
    patterns = choose(
        values[None, seen], coalitions[seen], strata[seen], options, [most], _Hopes(coalitions, values, held_out)
    )[0]
    return _explained(patterns, coalitions, values, held_out, rounding)


class _Hopes:
    """Whether a search may still find the game: not if it misses much more than a process does.

    Dense games are such. They would keep the search busy many times as long as a process takes.
    """

    def __init__(self, coalitions: Tensor, values: Tensor, held_out: Tensor) -> None:
        self.coalitions, self.values, self.held_out = coalitions, values, held_out

    @cached_property
    def error(self) -> float:
        """Root mean square of the error of a process of some coalitions, each left out."""
        some = slice(0, _ROWS_OF_HOPE)
        return ProcessPosterior.of(self.coalitions[some], self.values[some]).left_out_error

    def __call__(self, patterns: list[Pattern]) -> bool:
        """Whether there is none."""
        seen = ~self.held_out
        constant, table = fitted_patterns(self.values[seen], self.coalitions[seen], patterns)
        missed = table.predict(self.coalitions[self.held_out], 1)[0] + constant - self.values[self.held_out]
        return root_mean_square(missed) > _HOPELESS * self.error


def _explained(
    patterns: list[Pattern], coalitions: Tensor, values: Tensor, held_out: Tensor, rounding: Tensor
) -> FoundPatterns:
    """Patterns with their weights, and whether they explain every value."""
    seen = ~held_out
    constant, table = fitted_patterns(values[seen], coalitions[seen], patterns)
    error = table.predict(coalitions, 1)[0] + constant - values
    is_exact = bool(error.abs().amax() <= rounding)
    missed = root_mean_square(error[held_out]) if bool(held_out.any()) else 0.0
    if is_exact:
        constant, table = fitted_patterns(values, coalitions, patterns)
        strong = table.value.abs() > rounding  # a search adds terms until it explains the rounding of a float32 model
        table = table.rows(strong)
        patterns = [
            (bool(kind), tuple(row.nonzero()[:, 0].tolist()))
            for kind, row in zip(table.is_or, table.members, strict=True)
        ]
    return FoundPatterns(patterns, constant, table, missed, is_exact, int(held_out.sum()))


def confirmed(found: FoundPatterns, coalitions: Tensor, values: Tensor) -> FoundPatterns | None:
    """Patterns found on a part of coalitions ``(m, n)``, if they explain the others, too."""
    rounding = _ROUNDING * (values - values.mean()).abs().amax()
    error = found.game().predict_means(coalitions) - values
    if not bool(error.abs().amax() <= 4 * rounding):
        return None
    nobody = torch.zeros(len(values), dtype=torch.bool, device=values.device)
    return replace(_explained(found.patterns, coalitions, values, nobody, 4 * rounding), n_unseen=found.n_unseen)


def _resting_on_one_value(patterns: list[Pattern], coalitions: Tensor) -> list[Pattern]:
    """Patterns whose weights depend on a value that the regression passes through whatever it is: nothing checks it.

    v(∅) and v(N) may be such: a pattern of all players shows on N alone.
    """
    columns = pattern_columns(coalitions, patterns)
    columns = torch.cat([torch.ones_like(columns[:, :1]), columns], dim=1)
    solved = torch.linalg.pinv(columns)
    leverage = (columns * solved.T).sum(1)
    unchecked = (leverage > 1 - _CERTAIN) & is_inner(coalitions)
    rests = (solved[1:, unchecked].abs() > _CERTAIN).any(1).tolist()
    return [pattern for pattern, on_one in zip(patterns, rests, strict=True) if on_one]


def untold_neighbours(patterns: list[Pattern], coalitions: Tensor) -> list[tuple[Pattern, Tensor]]:
    """Patterns that coalitions ``(m, n)`` do not tell from others, each with coalitions ``(k, n)`` that would."""
    found = []
    # A player that is present, or absent, on all coalitions given is none of the game that these are of.
    varies = coalitions.any(0) & ~coalitions.all(0)
    for is_or, players in patterns:
        present = ~coalitions if is_or else coalitions
        inside = torch.zeros(coalitions.shape[1], dtype=torch.bool, device=coalitions.device)
        inside[list(players)] = True
        lacking = (~present[:, inside]).sum(1)
        holds = present[lacking == 0]
        telling = []
        if not bool((~holds).any(0)[~inside & varies].all()):
            telling.append(inside)
        nearly = present[lacking == 1]
        for player in players:
            if varies[player] and not bool((~nearly[:, player]).any()):
                without = inside.clone()
                without[player] = False
                telling.append(without)
        if telling:
            rows = torch.stack(telling)
            found.append(((is_or, players), ~rows if is_or else rows))
    return found
