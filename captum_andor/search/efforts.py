"""Selection of patterns by the efforts "stable", "accurate" and "high", on complete games or on a sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_andor.search.dictionary import Columns
from captum_andor.search.least_squares import Ends, independent, path
from captum_andor.search.options import Options
from captum_andor.search.pursuit import Games, grow, rank, swap

EXACT = 1 - 1e-9  # R² from which a model counts as exact
# A pattern of order k must explain 1 + 0.3 (k - 1) times what a single player would. Half of it reaches the same R²,
# twice of it costs .011 (`python -m benchmarks.constants`).
_PREFERENCE = 0.3
_PORTFOLIO = (0.0, 0.1, 0.3, 1.0)  # of effort "high": additive games want 1, games of high orders 0
_TIE = 1e-9  # share of a gain within which AND is taken before OR: rounding
_BLOCK = 10  # patterns between two looks at R², where R² decides how many


@dataclass(frozen=True)
class Problem:
    """Games and what their models must keep to.

    Attributes:
        search: The games under the weights of the search.
        report: The same games under the weights of R².
        ends: Values that models take on ∅ and N, or None.
        closing: For each game, columns that make its ends exact at little cost, ``(B, 0 to 2)``.
    """

    search: Games
    report: Games
    ends: Ends | None
    closing: Tensor

    def path(self, chosen: Tensor) -> Tensor:
        """R² of models on the first 0, 1, … of chosen columns ``(B, k)``: shape ``(B, k + 1)``."""
        return path(self.report, chosen, self.ends)

    def select(self, rows: Tensor) -> Problem:
        """Some of the games."""
        search = self.search.select(rows)
        report = search if self.report is self.search else self.report.select(rows)
        ends = None if self.ends is None else Ends(self.ends.empty[rows], self.ends.full[rows])
        return Problem(search, report, ends, self.closing[rows])


def select(problem: Problem, allowed: Tensor, options: Options) -> Tensor:
    """Choose the patterns of each game.

    Args:
        problem: The games.
        allowed: Which columns may be chosen, bool, shape ``(2 * 2^n,)``.
        options: How many, and with which effort.

    Returns:
        - **chosen** (*Tensor*): int64, shape ``(B, k)``, in the order of their use; -1 behind a game's last.
    """
    most = int(allowed.sum())
    limit = most if options.max_patterns is None else min(options.max_patterns, most)
    goal = options.min_r2 if options.max_patterns is not None else (options.min_r2 or 1.0)
    goal = None if goal is None else min(goal, EXACT)
    if options.is_stable:
        chosen = _stable(problem, allowed, limit, goal, _PREFERENCE)
        if problem.closing.shape[1]:
            chosen = _best(problem, _closed(problem, chosen, limit), limit, goal)
    elif options.effort == "accurate":
        chosen = _accurate(problem, allowed, limit, goal, _PREFERENCE)
    else:
        chosen = _portfolio(problem, allowed, limit, goal)
    return _tidied(problem, cut(problem, chosen, goal or EXACT))


def _tidied(problem: Problem, chosen: Tensor) -> Tensor:
    """Remove patterns that forward selection added but that an exact model does not need."""
    exact = (problem.path(chosen)[:, -1] >= EXACT).nonzero()[:, 0]
    if not len(exact) or not chosen.shape[1]:
        return chosen
    some = problem.select(exact)
    shorter = cut(some, rank(some.search, chosen[exact]), EXACT)
    chosen[exact] = -1
    return placed(chosen, exact, shorter)


def discount(columns: Columns, allowed: Tensor, preference: float) -> Tensor:
    """Factor on each column's gain: smaller for high orders, 0 where a column is not allowed.

    Once all smaller patterns of a set are chosen, its AND and its OR explain exactly the same: AND is taken.
    """
    weight = allowed / (1 + preference * (columns.order - 1).clamp(min=0).double())
    weight[columns.is_or] *= 1 - _TIE
    return weight


def _stable(problem: Problem, allowed: Tensor, limit: int, goal: float | None, preference: float) -> Tensor:
    """Forward selection of ``limit`` patterns, or until R² reaches the goal."""
    games, weight = problem.search, discount(problem.search.columns, allowed, preference)
    if goal is None:
        return grow(games, limit, weight)
    k = min(_BLOCK, limit)
    chosen = grow(games, k, weight)
    while k < limit:
        short = (problem.path(chosen)[:, -1] < goal) & (chosen[:, -1] >= 0)
        if not bool(short.any()):
            break
        k, rows = min(2 * k, limit), short.nonzero()[:, 0]
        chosen = placed(chosen, rows, grow(games.select(rows), k, weight, chosen[rows]))
    return chosen


def _accurate(
    problem: Problem, allowed: Tensor, limit: int, goal: float | None, preference: float, singles: bool = False
) -> Tensor:
    """Grow to twice the number, prune, swap; with a goal, the fewest patterns that reach it."""
    games, weight = problem.search, discount(problem.search.columns, allowed, preference)
    start = None
    if singles:
        alone = (allowed & (games.columns.order == 1)).nonzero()[:, 0]
        start = alone.expand(len(games), -1)
    most = int(allowed.sum())
    if goal is None:
        width = min(max(2 * limit, limit + (0 if start is None else start.shape[1])), most)
        chosen = rank(games, grow(games, width, weight, start), keep=limit)
    else:
        chosen = _stable(problem, allowed, limit, goal, preference)
        result = chosen[:, :0]
        for rows, some in _by_count(chosen):
            width = min(2 * some.shape[1] + (0 if start is None else start.shape[1]), most)
            mine = games.select(rows)
            wide = grow(mine, width, weight, None if start is None else start[rows])
            better = cut(problem.select(rows), rank(mine, wide), goal)[:, :limit]
            if better.shape[1] > some.shape[1]:  # elimination did worse than selection for one of them
                better = some
            result = placed(result, rows, better)
        chosen = result
    for rows, some in _by_count(chosen):
        mine = games.select(rows)
        chosen[rows, : some.shape[1]] = rank(mine, swap(mine, some, allowed))
    return chosen


def _portfolio(problem: Problem, allowed: Tensor, limit: int, goal: float | None) -> Tensor:
    """The best of several preferences, and of beginning with all single players."""
    starts = [*((preference, False) for preference in _PORTFOLIO), (_PREFERENCE, True)]
    return _best(problem, [_accurate(problem, allowed, limit, goal, *start) for start in starts], limit, goal)


def _closed(problem: Problem, chosen: Tensor, limit: int) -> list[Tensor]:
    """The chosen columns; and fewer of them, with one of the closing columns or all.

    The AND of all players changes the prediction on the full coalition only, and the OR on the empty one only, so they
    can fix h(N) and h(∅) without disturbing the rest of the fit.
    """
    closing = problem.closing
    candidates = [chosen]
    for first in [closing] if closing.shape[1] == 1 else [closing[:, :1], closing[:, 1:], closing]:
        others = torch.where((chosen[:, :, None] == first[:, None]).any(2), -1, chosen)
        joined = torch.cat([first, others], dim=1)
        # -1 goes last, and the order of the others stays.
        joined = joined.gather(1, (joined < 0).to(torch.int8).argsort(dim=1, stable=True))
        joined = joined[:, :limit]
        candidates.append(torch.where(independent(problem.report, joined)[:, None], joined, -1))
    return candidates


def _best(problem: Problem, candidates: list[Tensor], limit: int, goal: float | None) -> Tensor:
    """For each game the candidate of most R² or, where a goal is reached, of fewest patterns."""
    goal = goal or EXACT
    best = torch.empty(len(problem.report), 0, dtype=torch.long, device=problem.closing.device)
    best_score = torch.full((len(best),), -torch.inf, dtype=torch.float64, device=best.device)
    for candidate in candidates:
        chosen, r2 = _cut(problem, candidate, goal)
        # Any model at the goal beats all that miss it, and a shorter one a longer one.
        score = torch.where(r2 >= goal, 2.0 + limit - (chosen >= 0).sum(1), r2)
        better = (score > best_score + _TIE).nonzero()[:, 0]
        best[better] = -1
        best = placed(best, better, chosen[better])
        best_score[better] = score[better]
    return best


def _by_count(chosen: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Games grouped by their number of patterns: rows, and the patterns without -1."""
    count = (chosen >= 0).sum(1)
    groups = []
    for k in sorted(set(count.tolist())):
        rows = (count == k).nonzero()[:, 0]
        if k:
            groups.append((rows, chosen[rows, :k]))
    return groups


def cut(problem: Problem, chosen: Tensor, goal: float) -> Tensor:
    """Leave out what comes after a game's goal is reached; columns that no game uses go."""
    return _cut(problem, chosen, goal)[0]


def _cut(problem: Problem, chosen: Tensor, goal: float) -> tuple[Tensor, Tensor]:
    """Cut as :func:`cut` does, and return the R² that remains."""
    along = problem.path(chosen)
    reached = along >= goal
    count = torch.where(reached.any(1), reached.int().argmax(1), (chosen >= 0).sum(1))
    step = torch.arange(chosen.shape[1], device=chosen.device)
    shorter = torch.where(step < count[:, None], chosen, -1)
    width = int(count.max()) if len(count) else 0
    return shorter[:, :width], along.gather(1, count[:, None])[:, 0]


def placed(chosen: Tensor, rows: Tensor, mine: Tensor) -> Tensor:
    """Write some games' patterns into the array of all, widened as need be."""
    missing = mine.shape[1] - chosen.shape[1]
    if missing > 0:
        chosen = torch.nn.functional.pad(chosen, (0, missing), value=-1)
    chosen[rows, : mine.shape[1]] = mine
    return chosen
