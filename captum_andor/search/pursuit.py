"""Forward selection of AND and OR columns, pruning and best swaps, many games at once.

Orthogonal least squares (Chen, Billings and Luo 1989): each step takes the column that explains the most of what is
left once it is made orthogonal to those chosen before. Covariances come from the dictionary, so no step passes over the
coalitions. Small dictionaries are searched whole; of large ones a shortlist is taken by correlation with the true
residual, and renewed after a few steps.

A set of players has one pattern. Its AND and its OR together would read as "only together" and as "any one of" at once,
and say neither: x_i + x_j = AND_ij + OR_ij are two players, each for itself.

The efforts "stable", "accurate" and "high" combine these, on complete games and on samples alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_andor.search.dictionary import Columns, Shortlist
from captum_andor.search.least_squares import Ends, GameBatch, independent, path
from captum_andor.search.options import Options

# Mean R² of ten patterns on eight digits of twelve players, printed by `python -m benchmarks.constants`, in brackets.
_SHORTLIST = 1024  # columns of largest gain that a block of steps sees (512 .940, 1 024 .946, 2 048 .945)
_STEPS = 5  # patterns before the shortlist is renewed (2 .946, 5 .946, 10 .942)
_EXHAUSTED = 1e-13  # share of the variance below which nothing is left to explain
_SWAP_SHORTLIST, _SWAP_RENEWED = 1024, 3  # halved or doubled, R² changes by .0001 at most
_SWAP_GAIN, _SWAP_INDEPENDENCE = 1e-5, 1e-4  # shares of the variance; halved or doubled, R² stays the same
_STABLE_SHARE = 0.1  # of what is left over; half of it gains .003 of R², and fewer patterns are found again after noise
_MOST_SWAPS = 6  # one to six are found (3 .9521, 6 .9524, 12 .9524)
EXACT = 1 - 1e-9  # R² from which a model counts as exact
# A pattern of order k must explain 1 + 0.3 (k - 1) times what a single player would. Half of it reaches the same R²,
# twice of it costs .011 (`python -m benchmarks.constants`).
_PREFERENCE = 0.3
_PORTFOLIO = (0.0, 0.1, 0.3, 1.0)  # of effort "high": additive games want 1, games of high orders 0
_TIE = 1e-9  # share of a gain within which AND is taken before OR: rounding
_BLOCK = 10  # patterns between two looks at R², where R² decides how many


def grow(games: GameBatch, k: int, discount: Tensor, chosen: Tensor | None = None) -> Tensor:
    """Choose columns one after another.

    Args:
        games: What to explain.
        k: How many columns.
        discount: What a column's gain is multiplied by before they are compared; 0 is never chosen.
            Shape ``(2 * 2^n,)``.
        chosen: Columns to begin with, ``(B, j)``. Default: None (none)

    Returns:
        - **chosen** (*Tensor*): int64, shape ``(B, k)``, in the order of choice; -1 from where nothing was left.
    """
    result = torch.full((len(games), k), -1, device=games.centred.device)
    width = 0
    if chosen is not None:
        width = chosen.shape[1]
        result[:, :width] = chosen
    going = (games.variance > 0).nonzero()[:, 0]
    steps = k if games.columns.is_small else _STEPS
    while width < k and len(going):
        steps = max(steps, width // 2)  # a factorisation for each block: blocks grow with what has to be factorised
        block = _grow_block(games.select(going), result[going, :width], min(steps, k - width), discount)
        result[going, width : width + block.shape[1]] = block
        width += block.shape[1]
        going = going[block[:, -1] >= 0]
    return result


def _grow_block(games: GameBatch, chosen: Tensor, steps: int, discount: Tensor) -> Tensor:
    """Up to ``steps`` further columns from the whole dictionary or from one shortlist."""
    columns, width = games.columns, chosen.shape[1]
    residual, correlations = games.centred, games.correlations
    if width:
        factor = games.factor(chosen)
        residual = games.residual(chosen, factor)
        correlations = columns.correlations(residual)
    shortlist = _shortlist(columns, correlations, chosen, discount, max(_SHORTLIST, 4 * steps))
    ids = shortlist.ids.expand(len(games), -1)
    score, norm = correlations.gather(1, ids), columns.norm[ids]
    weight, least_norm = discount[shortlist.ids], norm * columns.independence
    norm = norm.masked_fill(barred(games, chosen).gather(1, ids), 0.0)
    basis = norm.new_empty(len(games), width + steps, norm.shape[1])
    if width:
        basis[:, :width] = torch.linalg.solve_triangular(factor, shortlist.covariance(chosen), upper=False)
        norm -= basis[:, :width].square().sum(1)
    left, least = columns.variance(residual), _EXHAUSTED * games.variance
    going = left > least
    picks = torch.full((len(games), steps), -1, device=ids.device)
    for step in range(steps):
        gain = (score * score).div_(norm).mul_(weight).masked_fill_(norm <= least_norm, -1.0)
        best, place = gain.max(1, keepdim=True)
        going &= best[:, 0] > 0
        pick = ids.gather(1, place)
        row = shortlist.covariance(pick)[:, 0]
        before = basis[:, : width + step]
        if width + step:
            row = row - (before.gather(2, place[..., None].expand(-1, width + step, 1)).mT @ before)[:, 0]
        length = norm.gather(1, place).clamp_(min=1e-300).rsqrt_() * going[:, None]
        row = row * length
        gained = score.gather(1, place) * length
        basis[:, width + step] = row
        norm.addcmul_(row, row, value=-1).masked_fill_(ids == columns.rival[pick], 0.0)
        score.addcmul_(row, gained, value=-1)
        left = left - gained.square()[:, 0]
        picks[:, step] = torch.where(going, pick[:, 0], -1)
        going &= left > least
        if not bool(going.any()):
            # pad with -1 so that the caller sees that every game in this block has stopped
            return torch.nn.functional.pad(picks[:, : step + 1], (0, 1), value=-1) if step + 1 < steps else picks
    return picks


def _shortlist(columns: Columns, correlations: Tensor, chosen: Tensor, discount: Tensor, length: int) -> Shortlist:
    if columns.is_small:
        return columns.shortlist(None)
    gain = correlations.square().mul_(discount * columns.inverse_norm)
    gain.masked_fill_(_taken(columns, chosen), -1.0)
    return columns.shortlist(gain.topk(min(length, gain.shape[1]), sorted=False).indices)


def barred(games: GameBatch, chosen: Tensor) -> Tensor:
    """Columns that cannot join those chosen ``(B, k)``: of the same players as one of these, and idle ones."""
    taken = _taken(games.columns, chosen)
    return taken if games.idle is None else taken | games.idle


def _taken(columns: Columns, chosen: Tensor) -> Tensor:
    found = torch.zeros(len(chosen), len(columns.rival), dtype=torch.bool, device=chosen.device)
    return found.scatter_(1, chosen, True).scatter_(1, columns.rival[chosen], True)


def rank(games: GameBatch, chosen: Tensor, keep: int = 0) -> Tensor:
    """Order columns by backward elimination: the first k are what is left when the least useful went one by one.

    Args:
        games: What is explained.
        chosen: Columns, ``(B, k)``; -1 stands for none and goes last.
        keep: Stop the elimination at so many, which stay in the order they came in, and return these only.
            Default: 0 (order all, return all)
    """
    covariance, target = _normal_equations(games, chosen)
    inverse = torch.linalg.inv(covariance)
    removed = torch.zeros_like(chosen, dtype=torch.bool)
    worst_first = []
    for _ in range(chosen.shape[1] - keep):
        # The row of a removed column is 0 from then on, and so is its coefficient.
        diagonal = inverse.diagonal(dim1=1, dim2=2)
        loss = (inverse @ target[..., None])[..., 0].square() / diagonal
        worst = loss.masked_fill(chosen < 0, -1.0).masked_fill(removed, torch.inf).argmin(1, keepdim=True)
        worst_first.append(worst)
        removed.scatter_(1, worst, True)
        row = inverse.gather(1, worst[..., None].expand(-1, -1, inverse.shape[2]))
        inverse = torch.baddbmm(inverse, row.mT / diagonal.gather(1, worst)[..., None], row, alpha=-1)
    if keep:
        return chosen[~removed].view(len(chosen), -1)
    return chosen.gather(1, torch.cat(worst_first[::-1], dim=1)) if worst_first else chosen


def _normal_equations(games: GameBatch, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance of the chosen columns and their inner products with the games; -1 is a column of its own."""
    present = chosen >= 0
    ids = chosen.clamp(min=0)
    covariance = games.columns.covariance(ids, ids)
    unit = torch.eye(chosen.shape[1], dtype=covariance.dtype, device=chosen.device)
    covariance = torch.where(present[:, :, None] & present[:, None, :], covariance, unit)
    return covariance, games.correlations.gather(1, ids) * present


def swap(
    games: GameBatch, chosen: Tensor, allowed: Tensor, least_gain: float = _SWAP_GAIN, least_share: float = 0.0
) -> Tensor:
    """Exchange one column for another, the best pair of all, as long as that explains more.

    Args:
        games: What is explained.
        chosen: Columns ``(B, k)``; games that hold -1 stay as they are.
        allowed: Which columns may come in, bool, or what gains are multiplied by, shape ``(2 * 2^n,)``.
        least_gain: Share of the variance that a swap must gain.
        least_share: Share of what is left over that it must gain, too.

    Returns:
        - **chosen** (*Tensor*): Shape ``(B, k)``.
    """
    chosen = chosen.clone()
    going = ((chosen >= 0).all(1) & (games.variance > 0)).nonzero()[:, 0] if chosen.shape[1] else chosen[:0, 0]
    shortlist: Shortlist | None = None
    for attempt in range(_MOST_SWAPS):
        if not len(going):
            break
        some, mine = games.select(going), chosen[going]
        if shortlist is None or attempt % _SWAP_RENEWED == 0:
            correlations = some.columns.correlations(some.residual(mine))
            shortlist = _shortlist(games.columns, correlations, mine, allowed.double(), _SWAP_SHORTLIST)
        better, improved = _best_swap(some, mine, shortlist, allowed, least_gain, least_share)
        chosen[going] = better
        going = going[improved]
        if len(shortlist.ids) > 1:
            shortlist = games.columns.shortlist(shortlist.ids[improved])
    return chosen


def _best_swap(
    games: GameBatch, chosen: Tensor, shortlist: Shortlist, allowed: Tensor, least_gain: float, least_share: float
) -> tuple[Tensor, Tensor]:
    columns = games.columns
    ids = shortlist.ids.expand(len(games), -1)
    covariance, target = _normal_equations(games, chosen)
    inverse = torch.linalg.inv(covariance)
    coefficients = inverse @ target[..., None]
    crossed = shortlist.covariance(chosen)
    projected = inverse @ crossed
    score = games.correlations.gather(1, ids) - (coefficients.mT @ crossed)[:, 0]
    norm = columns.norm[ids] - (crossed * projected).sum(1)
    spread = inverse.diagonal(dim1=1, dim2=2).sqrt()[..., None]
    direction, loss = projected.div_(spread), coefficients / spread
    # With column i out, an incoming column j regains what i alone held of it.
    norm_without = torch.addcmul(norm[:, None], direction, direction)
    gain = torch.addcmul(score[:, None], direction, loss).square_().div_(norm_without)
    # This also excludes columns that are already chosen: their residual variance is 0.
    least = torch.where(allowed[shortlist.ids] > 0, _SWAP_INDEPENDENCE * columns.norm[shortlist.ids], torch.inf)
    gain = gain.masked_fill_(norm_without < least[:, None], -1.0)
    rivals = columns.rival[chosen][:, :, None] == ids[:, None]
    apart = rivals.any(1, keepdim=True) & ~rivals  # a column replaces its rival or stays out
    if games.idle is not None:
        apart |= games.idle.gather(1, ids)[:, None]
    gain.masked_fill_(apart, -1.0)
    weight, held = allowed[shortlist.ids][:, None], allowed[chosen][..., None]
    gain.mul_(weight).sub_(loss.square() * torch.where(held > 0, held, 1))
    best, place = gain.flatten(1).max(1)
    left = games.variance - (target * coefficients[..., 0]).sum(1)
    improved = best > torch.maximum(least_gain * games.variance, least_share * left)
    out, into = place // ids.shape[1], ids.gather(1, (place % ids.shape[1])[:, None])[:, 0]
    better = chosen.scatter(1, out[:, None], into[:, None])
    return torch.where(improved[:, None], better, chosen), improved


@dataclass(frozen=True)
class Problem:
    """Games and what their models must keep to.

    Attributes:
        search: The games under the weights of the search.
        report: The same games under the weights of R².
        ends: Values that models take on ∅ and N, or None.
        closing: For each game, columns that make its ends exact at little cost, ``(B, 0 to 3)``: the AND and the OR of
            its active players as far as allowed and, where both are, the AND without one of these, which joins the OR.
    """

    search: GameBatch
    report: GameBatch
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
            chosen = best_of(problem, _closed(problem, chosen, limit), limit, goal)
    elif options.effort == "accurate":
        chosen = _accurate(problem, allowed, limit, goal, _PREFERENCE)
    else:
        chosen = _portfolio(problem, allowed, limit, goal)
    return _tidied(problem, cut(problem, chosen, goal or EXACT)[0])


def _tidied(problem: Problem, chosen: Tensor) -> Tensor:
    """Remove patterns that forward selection added but that an exact model does not need."""
    exact = (problem.path(chosen)[:, -1] >= EXACT).nonzero()[:, 0]
    if not len(exact) or not chosen.shape[1]:
        return chosen
    some = problem.select(exact)
    shorter = cut(some, rank(some.search, chosen[exact]), EXACT)[0]
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
    """Forward selection and the swaps that gain the most; those that gain little would not be found again."""
    chosen = _selected(problem, allowed, limit, goal, preference)
    weight = discount(problem.search.columns, allowed, preference)
    for rows, some in _by_count(chosen):
        mine = problem.search.select(rows)
        better = swap(mine, some, weight, least_share=_STABLE_SHARE)
        moved = (better != some).any(1).nonzero()[:, 0]
        better[moved] = rank(mine.select(moved), better[moved])
        chosen[rows, : some.shape[1]] = better
    return chosen


def _selected(problem: Problem, allowed: Tensor, limit: int, goal: float | None, preference: float) -> Tensor:
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
        chosen = _selected(problem, allowed, limit, goal, preference)
        result = chosen[:, :0]
        for rows, some in _by_count(chosen):
            width = min(2 * some.shape[1] + (0 if start is None else start.shape[1]), most)
            mine = games.select(rows)
            wide = grow(mine, width, weight, None if start is None else start[rows])
            better = cut(problem.select(rows), rank(mine, wide), goal)[0][:, :limit]
            if better.shape[1] > some.shape[1]:  # elimination did worse than selection for one of them
                better = some
            result = placed(result, rows, better)
        chosen = result
    for rows, some in _by_count(chosen):
        mine = problem.search.select(rows)
        chosen[rows, : some.shape[1]] = rank(mine, swap(mine, some, allowed))
    return chosen


def _portfolio(problem: Problem, allowed: Tensor, limit: int, goal: float | None) -> Tensor:
    """The best of several preferences, and of beginning with all single players."""
    starts = [*((preference, False) for preference in _PORTFOLIO), (_PREFERENCE, True)]
    return best_of(problem, [_accurate(problem, allowed, limit, goal, *start) for start in starts], limit, goal)


def _closed(problem: Problem, chosen: Tensor, limit: int) -> list[Tensor]:
    """The chosen columns; and fewer of them, with one of the closing columns or all.

    The AND of all players changes the prediction on the full coalition only, and the OR on the empty one only, so they
    can fix h(N) and h(∅) without disturbing the rest of the fit.
    """
    closing = problem.closing
    candidates = [chosen]
    for places in [[0], [1], [1, 2]][: closing.shape[1]]:
        first = closing[:, places]
        held = torch.cat([first, problem.search.columns.rival[first]], dim=1)
        others = torch.where((chosen[:, :, None] == held[:, None]).any(2), -1, chosen)
        joined = torch.cat([first, others], dim=1)
        # -1 goes last, and the order of the others stays.
        joined = joined.gather(1, (joined < 0).to(torch.int8).argsort(dim=1, stable=True))
        joined = joined[:, :limit]
        candidates.append(torch.where(independent(problem.report, joined)[:, None], joined, -1))
    return candidates


def best_of(problem: Problem, candidates: list[Tensor], limit: int, goal: float | None) -> Tensor:
    """For each game the candidate of most R² or, where a goal is reached, of fewest patterns."""
    goal = goal or EXACT
    best = torch.empty(len(problem.report), 0, dtype=torch.long, device=problem.closing.device)
    best_score = torch.full((len(best),), -torch.inf, dtype=torch.float64, device=best.device)
    for candidate in candidates:
        chosen, r2 = cut(problem, candidate, goal)
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


def cut(problem: Problem, chosen: Tensor, goal: float) -> tuple[Tensor, Tensor]:
    """Leave out what comes after a game's goal is reached; columns that no game uses go. With the R² that remains."""
    along = path(problem.report, chosen, problem.ends)
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
