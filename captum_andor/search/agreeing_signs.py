"""Of models that explain as much, the one whose weights have the signs of what their patterns do.

A conjunction of a and (b or c) is a + OR{b, c} − OR{a, b, c}, and it is AND{a, b} + AND{a, c} − AND{a, b, c}. In the
first "any one of a, b, c" has a negative weight, though v is larger where any of them is there. Such a pattern is
exchanged for one that moves v to the side that its weight says, where R² stays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor.search.least_squares import GameBatch
from captum_andor.search.pursuit import EXACT, Problem, barred

_EQUAL = 0.002  # of R²: models nearer to each other count as equal
_ROUNDING = 1e-12  # of R², that an exact model may lose
_MOST_READ = 40  # patterns: models of more are left as they are, since nobody reads them one by one
_SHORTLIST = 256  # columns of largest gain beside those kept, whose gain is computed exactly


def agreeing(problem: Problem, chosen: Tensor, allowed: Tensor, goal: float | None = None) -> Tensor:
    """Exchange patterns of the wrong sign, one after another, as long as R² stays within .002 of the start.

    Args:
        problem: The games.
        chosen: Their columns, most useful first, ``(B, k)``; -1 behind a game's last.
        allowed: Which columns may come in, bool, shape ``(columns,)``.
        goal: R² that a model which reaches it keeps. Default: None

    Returns:
        - **chosen** (*Tensor*): Shape ``(B, k)``.
    """
    chosen = chosen.clone()
    count = (chosen >= 0).sum(1)
    for k in sorted(set(count.tolist()) & set(range(1, _MOST_READ + 1))):
        rows = (count == k).nonzero()[:, 0]
        some = problem.select(rows)
        r2 = some.path(chosen[rows, :k])[:, -1]
        least = torch.where(r2 >= EXACT, r2 - _ROUNDING, r2 - _EQUAL)
        if goal is not None:
            least = torch.where(r2 >= goal, least.clamp(min=min(goal, EXACT)), least)
        chosen[rows, :k] = _agreeing(some, chosen[rows, :k], allowed, least)
    return chosen


def _agreeing(problem: Problem, chosen: Tensor, allowed: Tensor, least: Tensor) -> Tensor:
    games, k = problem.search, chosen.shape[1]
    wrong = _wrong(games, chosen)
    for place in range(k - 1, -1, -1):  # the least useful are exchanged at the least loss
        rows = wrong[:, place].nonzero()[:, 0]
        if not len(rows):
            continue
        some = problem.select(rows)
        other = chosen[rows].clone()
        kept = torch.cat([other[:, :place], other[:, place + 1 :]], dim=1)
        other[:, place] = _best_of_its_sign(some.search, kept, allowed)
        other = torch.where((other[:, place] >= 0)[:, None], other, chosen[rows])
        mine = _wrong(some.search, other)
        fewer = mine.sum(1) < wrong[rows].sum(1)
        better = (fewer & (some.path(other)[:, -1] >= least[rows])).nonzero()[:, 0]
        chosen[rows[better]], wrong[rows[better]] = other[better], mine[better]
    return chosen


def _wrong(games: GameBatch, chosen: Tensor) -> Tensor:
    """Columns ``(B, k)`` whose coefficient has not the sign of their covariance with v."""
    correlations = games.correlations.gather(1, chosen)
    coefficients = torch.cholesky_solve(correlations[..., None], games.factor(chosen))[..., 0]
    return coefficients * correlations < 0


def _best_of_its_sign(games: GameBatch, kept: Tensor, allowed: Tensor) -> Tensor:
    """The column of most gain beside ``(B, k)`` others whose coefficient agrees, shape ``(B,)``; -1 where none does."""
    columns = games.columns
    factor = games.factor(kept)
    correlations = columns.correlations(games.residual(kept, factor))
    agrees = (correlations * games.correlations > 0) & (allowed > 0) & ~barred(games, kept)
    bound = torch.where(agrees, correlations.square() * columns.inverse_norm, -1.0)
    top, ids = bound.topk(min(_SHORTLIST, bound.shape[1]))
    shortlist = columns.shortlist(ids)
    crossed = torch.linalg.solve_triangular(factor, shortlist.covariance(kept), upper=False)
    norm = columns.norm[ids] - crossed.square().sum(1)
    fits = (top > 0) & (norm > columns.independence * columns.norm[ids])
    gain = torch.where(fits, correlations.gather(1, ids).square() / norm, -1.0)
    best, place = gain.max(1, keepdim=True)
    return torch.where(best > 0, ids.gather(1, place), -1)[:, 0]
