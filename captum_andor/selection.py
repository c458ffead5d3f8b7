"""Which patterns, and how many: the efforts "stable", "accurate" and "high", on complete games or on a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from captum_andor.columns import Columns
from captum_andor.fitting import Ends, Fit, fit
from captum_andor.pursuit import Games, grow, rank, swap

Effort: TypeAlias = Literal["stable", "accurate", "high"]
Weights: TypeAlias = Literal["uniform", "size", "shapley"] | Sequence[float]

__all__ = ["EXACT", "Effort", "Options", "Problem", "Weights", "cut", "placed", "select"]

EXACT = 1 - 1e-9  # R² from which a model counts as exact
_PREFERENCE = 0.3  # a pattern of order k must explain 1 + 0.3 (k - 1) times what a single player would
_PORTFOLIO = (0.0, 0.1, 0.3, 1.0)
_BLOCK = 10  # patterns between two looks at R², where R² decides how many


@dataclass(frozen=True)
class Options:
    """What a logical model may look like; see :meth:`captum_andor.LogicalModel.from_values`."""

    max_patterns: int | None = 10
    min_r2: float | None = None
    max_order: int | None = None
    effort: Effort = "stable"
    exact_ends: bool = True
    seed: int = 0
    kinds: str | Sequence[str] = ("and", "or")
    weights: Weights = "uniform"

    def __post_init__(self) -> None:
        for name in ("max_patterns", "max_order"):
            given = getattr(self, name)
            if given is not None and (not _is_int(given) or given < 1):
                raise ValueError(f"{name} must be None or an int ≥ 1; got {given!r}.")
        if self.min_r2 is not None and not (_is_real(self.min_r2) and 0 < self.min_r2 <= 1):
            raise ValueError(f"min_r2 must be None or lie in (0, 1]; got {self.min_r2!r}.")
        if self.effort not in get_args(Effort):
            raise ValueError(f"effort must be one of {list(get_args(Effort))}; got {self.effort!r}.")
        if not isinstance(self.exact_ends, (bool, np.bool_)):
            raise TypeError(f"exact_ends must be a bool; got {self.exact_ends!r}.")
        if not _is_int(self.seed) or self.seed < 0:
            raise ValueError(f"seed must be an int ≥ 0; got {self.seed!r}.")
        kinds = (self.kinds,) if isinstance(self.kinds, str) else tuple(self.kinds)
        if not kinds or not set(kinds) <= {"and", "or"}:
            raise ValueError(f'kinds must hold "and", "or" or both; got {self.kinds!r}.')
        object.__setattr__(self, "kinds", kinds)
        if not isinstance(self.weights, str):
            object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))

    @property
    def end_share(self) -> float:
        """Weight of ∅ and of N in a search for a model that is exact there, beside 1 for all coalitions.

        Measured on eight sets of real games: forward selection alone does better with little, and with much where
        swaps can mend what it took early.
        """
        return 1 / 32 if self.effort == "stable" else 1 / 8

    def size_weights(self, n_players: int) -> tuple[float, ...]:
        """Weight of one coalition of each size, n + 1 numbers; over all coalitions they sum to 1.

        Raises:
            ValueError: If ``weights`` is unknown or does not fit the number of players.
        """
        n = n_players
        if isinstance(self.weights, str):
            if self.weights not in ("uniform", "size", "shapley"):
                raise ValueError(
                    f'weights must be "uniform", "size", "shapley" or n + 1 numbers; got {self.weights!r}.'
                )
            shares = [1.0] * (n + 1)  # of each size, all of its coalitions together
            if self.weights == "uniform":
                shares = [float(math.comb(n, s)) for s in range(n + 1)]
            elif self.weights == "shapley" and n > 1:
                shares = [1 / (s * (n - s)) if 0 < s < n else 0.0 for s in range(n + 1)]
        else:
            given = list(self.weights)
            if len(given) != n + 1 or not all(0 <= w < math.inf for w in given) or not any(given):
                raise ValueError(
                    f"weights must be {n + 1} finite numbers ≥ 0, not all 0, one for each size of a coalition of "
                    f"{n} players; got {list(self.weights)}."
                )
            shares = [w * math.comb(n, s) for s, w in enumerate(given)]
        total = sum(shares)
        return tuple(share / total / math.comb(n, s) for s, share in enumerate(shares))


def _is_int(number: object) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def _is_real(number: object) -> bool:
    return isinstance(number, Real) and not isinstance(number, bool)


@dataclass(frozen=True)
class Problem:
    """Games on the rows of a dictionary.

    Attributes:
        search: The dictionary with the weights of the search; exact ends weigh more in it.
        report: The dictionary with the weights of R².
        values: float64, shape ``(B, rows)``.
        ends: Values that models must take on ∅ and N, or None.
    """

    search: Columns
    report: Columns
    values: Tensor
    ends: Ends | None

    def games(self) -> Games:
        """The games as the search sees them."""
        return Games(self.search, self.values)

    def fit(self, chosen: Tensor) -> Fit:
        """Fitted models on chosen columns ``(B, k)``."""
        return fit(self.report, self.values, chosen, self.ends)

    def select(self, rows: Tensor) -> Problem:
        """Some of the games."""
        ends = None if self.ends is None else Ends(self.ends.empty[rows], self.ends.full[rows])
        return Problem(self.search, self.report, self.values[rows], ends)


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
    if options.effort == "stable":
        chosen = _stable(problem, allowed, limit, goal, _PREFERENCE)
    elif options.effort == "accurate":
        chosen = _accurate(problem, allowed, limit, goal, _PREFERENCE)
    else:
        chosen = _portfolio(problem, allowed, limit, goal)
    return cut(problem, chosen, goal or EXACT)


def _discount(columns: Columns, allowed: Tensor, preference: float) -> Tensor:
    """What a column's gain is multiplied by: less for high orders, 0 where it is not allowed."""
    return allowed / (1 + preference * (columns.order - 1).clamp(min=0).double())


def _stable(problem: Problem, allowed: Tensor, limit: int, goal: float | None, preference: float) -> Tensor:
    """Forward selection of ``limit`` patterns, or until R² reaches the goal."""
    games, discount = problem.games(), _discount(problem.search, allowed, preference)
    if goal is None:
        return grow(games, limit, discount)
    k = min(_BLOCK, limit)
    chosen = grow(games, k, discount)
    while k < limit:
        short = (problem.fit(chosen).r2 < goal) & (chosen[:, -1] >= 0)
        if not bool(short.any()):
            break
        k, rows = min(2 * k, limit), short.nonzero()[:, 0]
        chosen = placed(chosen, rows, grow(games.select(rows), k, discount, chosen[rows]))
    return chosen


def _accurate(
    problem: Problem, allowed: Tensor, limit: int, goal: float | None, preference: float, singles: bool = False
) -> Tensor:
    """Grow to twice the number, prune, swap; with a goal, the fewest patterns that reach it."""
    games, discount = problem.games(), _discount(problem.search, allowed, preference)
    start = None
    if singles:
        alone = (allowed & (problem.search.order == 1)).nonzero()[:, 0]
        start = alone.expand(len(games), -1)
    most = int(allowed.sum())
    if goal is None:
        width = min(max(2 * limit, limit + (0 if start is None else start.shape[1])), most)
        chosen = rank(games, grow(games, width, discount, start), keep=limit)
    else:
        chosen = _stable(problem, allowed, limit, goal, preference)
        result = chosen[:, :0]
        for rows, some in _by_count(chosen):
            width = min(2 * some.shape[1] + (0 if start is None else start.shape[1]), most)
            mine = games.select(rows)
            wide = grow(mine, width, discount, None if start is None else start[rows])
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
    """The best of several preferences: of most R², or, where a goal is reached, of fewest patterns."""
    best = torch.empty(len(problem.values), 0, dtype=torch.long, device=problem.values.device)
    best_score = torch.full((len(best),), -torch.inf, dtype=torch.float64, device=best.device)
    for preference, singles in [*((p, False) for p in _PORTFOLIO), (_PREFERENCE, True)]:
        chosen = cut(problem, _accurate(problem, allowed, limit, goal, preference, singles), goal or EXACT)
        r2, count = problem.fit(chosen).r2, (chosen >= 0).sum(1)
        # Any model at the goal beats all that miss it, and a shorter one a longer one.
        score = torch.where(r2 >= (goal or EXACT), 2.0 + limit - count, r2)
        better = (score > best_score).nonzero()[:, 0]
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
    path = problem.fit(chosen).r2_path
    reached = path >= goal
    count = torch.where(reached.any(1), reached.int().argmax(1), path.shape[1] - 1)
    step = torch.arange(chosen.shape[1], device=chosen.device)
    shorter = torch.where(step < count[:, None], chosen, -1)
    return shorter[:, : int((shorter >= 0).sum(1).max())] if shorter.numel() else shorter


def placed(chosen: Tensor, rows: Tensor, mine: Tensor) -> Tensor:
    """Write some games' patterns into the array of all, widened as need be."""
    missing = mine.shape[1] - chosen.shape[1]
    if missing > 0:
        chosen = torch.nn.functional.pad(chosen, (0, missing), value=-1)
    chosen[rows, : mine.shape[1]] = mine
    return chosen
