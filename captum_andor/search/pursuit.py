"""Forward selection of AND and OR columns, pruning and best swaps, many games at once.

Orthogonal least squares (Chen, Billings and Luo 1989): each step takes the column that explains the most of what is
left once it is made orthogonal to those chosen before. Covariances come from the dictionary, so no step passes over the
coalitions. Small dictionaries are searched whole; of large ones a shortlist is taken by correlation with the true
residual, and renewed after a few steps. Weights, batches, shortlists and swaps: this package.
"""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor.search.dictionary import Columns, Shortlist

# Mean R² of ten patterns on eight digits of twelve players, printed by `python -m benchmarks.constants`, in brackets.
_SHORTLIST = 1024  # columns of largest gain that a block of steps sees (512 .940, 1 024 .946, 2 048 .945)
_STEPS = 5  # patterns before the shortlist is renewed (2 .946, 5 .946, 10 .942)
_EXHAUSTED = 1e-13  # share of the variance below which nothing is left to explain
_SWAP_SHORTLIST, _SWAP_RENEWED = 1024, 3  # halved or doubled, R² changes by .0001 at most
_SWAP_GAIN, _SWAP_INDEPENDENCE = 1e-5, 1e-4  # shares of the variance; halved or doubled, R² stays the same
_MOST_SWAPS = 6  # one to six are found (3 .9521, 6 .9524, 12 .9524)


class Games:
    """Values of games on the rows of a dictionary, centred, with their inner products.

    Args:
        columns: The dictionary.
        values: float64, shape ``(B, rows)``.
    """

    def __init__(self, columns: Columns, values: Tensor) -> None:
        self.columns = columns
        self.centred, self.mean = columns.centred(values)
        self.variance = columns.variance(self.centred)
        self.correlations = columns.correlations(self.centred)

    def __len__(self) -> int:
        return len(self.centred)

    def select(self, rows: Tensor) -> Games:
        """Some of the games."""
        some = object.__new__(Games)
        some.columns = self.columns
        some.centred, some.mean = self.centred[rows], self.mean[rows]
        some.variance, some.correlations = self.variance[rows], self.correlations[rows]
        return some

    def factor(self, chosen: Tensor) -> Tensor:
        """Cholesky factor of the covariance of columns ``(B, k)``."""
        factor: Tensor = torch.linalg.cholesky(self.columns.covariance(chosen, chosen))
        return factor

    def residual(self, chosen: Tensor, factor: Tensor | None = None) -> Tensor:
        """Residual of least squares on columns ``(B, k)``: ``(B, rows)``."""
        factor = self.factor(chosen) if factor is None else factor
        coefficients = torch.cholesky_solve(self.correlations.gather(1, chosen)[..., None], factor)[..., 0]
        return self.centred - self.columns.centred(self.columns.combine(chosen, coefficients))[0]


def grow(games: Games, k: int, discount: Tensor, chosen: Tensor | None = None) -> Tensor:
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


def _grow_block(games: Games, chosen: Tensor, steps: int, discount: Tensor) -> Tensor:
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
    basis = norm.new_empty(len(games), width + steps, norm.shape[1])
    if width:
        basis[:, :width] = torch.linalg.solve_triangular(factor, shortlist.covariance(chosen), upper=False)
        norm = norm - basis[:, :width].square().sum(1)
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
        norm.addcmul_(row, row, value=-1)
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
    gain = correlations.square().mul_(discount * columns.inverse_norm).scatter_(1, chosen, -1.0)
    return columns.shortlist(gain.topk(min(length, gain.shape[1]), sorted=False).indices)


def rank(games: Games, chosen: Tensor, keep: int = 0) -> Tensor:
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


def _normal_equations(games: Games, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance of the chosen columns and their inner products with the games; -1 is a column of its own."""
    present = chosen >= 0
    ids = chosen.clamp(min=0)
    covariance = games.columns.covariance(ids, ids)
    unit = torch.eye(chosen.shape[1], dtype=covariance.dtype, device=chosen.device)
    covariance = torch.where(present[:, :, None] & present[:, None, :], covariance, unit)
    return covariance, games.correlations.gather(1, ids) * present


def swap(games: Games, chosen: Tensor, allowed: Tensor, least_gain: float = _SWAP_GAIN) -> Tensor:
    """Exchange one column for another, the best pair of all, as long as that explains more.

    Args:
        games: What is explained.
        chosen: Columns ``(B, k)``; games that hold -1 stay as they are.
        allowed: Which columns may come in, bool or weights, shape ``(2 * 2^n,)``.
        least_gain: Share of the variance that a swap must gain.

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
        better, improved = _best_swap(some, mine, shortlist, allowed, least_gain)
        chosen[going] = better
        going = going[improved]
        if len(shortlist.ids) > 1:
            shortlist = games.columns.shortlist(shortlist.ids[improved])
    return chosen


def _best_swap(
    games: Games, chosen: Tensor, shortlist: Shortlist, allowed: Tensor, least_gain: float
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
    gain = gain.masked_fill_(norm_without < least[:, None], -1.0).sub_(loss.square())
    best, place = gain.flatten(1).max(1)
    improved = best > least_gain * games.variance
    out, into = place // ids.shape[1], ids.gather(1, (place % ids.shape[1])[:, None])[:, 0]
    better = chosen.scatter(1, out[:, None], into[:, None])
    return torch.where(improved[:, None], better, chosen), improved
