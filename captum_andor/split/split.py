r"""Split games into an AND and an OR part, v + q = v_and + v_or.

The sparse split is a linear program. With every interaction kept and the constant in the (free) empty sets,

    minimise ‖a‖₁ + ‖b‖₁ over T ≠ ∅   subject to   |Za − Kb − v| ≤ ε,

where Z sums over subsets and K over subsets of the complement. Its optimum is unique in value only: x_i + x_j costs the
same as AND{i, j} + OR{i, j}. Among splits that are proven short enough, the one of least order is returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from captum_andor._utils.checks import constrained, is_real, one_of
from captum_andor._utils.user_warnings import warn
from captum_andor.games import Subgames, active_players
from captum_andor.games.transforms import count_players, mobius, or_mobius
from captum_andor.split.candidates import Candidate, Supported, fixed_splits, on_support, shortest_of
from captum_andor.split.certificate import dual_bound, merge_singles, order_costs, strength
from captum_andor.split.douglas_rachford import Solution, first_order, matched_exactly
from captum_andor.split.interior_point import INTERIOR_PLAYERS, interior_point

NoiseBound: TypeAlias = float | Literal["auto"]
Split: TypeAlias = Literal["sparse", "and", "or", "even"]

_SPARSE_PLAYERS = 16  # about a minute for a game with noise; each player more takes more than twice as long
_PREFERENCE = 0.03  # cost of an order-k interaction is 1 + 0.03 (k − 1) in the first phase, which looks for low order
_TIGHT_PREFERENCE = 30.0  # times the tolerance, where that is tight: l1 grows by some hundredth of the preference
_LOOSER = 10.0  # times the tolerance: how far the search for low order goes before the proof takes over
_FINE, _COARSE, _FEW_PLAYERS = 1e-3, 1e-2, 8  # where an interior point takes over, in general and for few players
_EXACT_PLAYERS, _EXACT = 6, 1e-6  # so few players cost a millisecond
_SPREAD = 1e-4  # of max|v|: what a few terms may leave, e.g. by float32 rounding, to be spread over the others
_SHARP, _SHARP_ITERATIONS = 1e-7, 3000  # gap at which the few terms of a sparse game are told from rounding
_MOST_ITERATIONS = 20_000  # a bound on the time of games that do not converge; then a warning
_CHUNK = 1 << 18  # values in a batch: some 200 MB for the arrays of the search


class SplitResult(NamedTuple):
    """A split of games with leading shape ``(…)``; see :class:`captum_andor.AndOrExplanation` for the meaning.

    ``dual`` is the point that proves it, NaN for splits that seek no optimum; ``noise_limit`` the bound on |q| in the
    units of v.
    """

    and_values: Tensor
    or_values: Tensor
    noise: Tensor
    l1: Tensor
    duality_gap: Tensor
    dual: Tensor
    noise_limit: Tensor


@constrained(split=one_of(get_args(Split)))
def check_split(split: str, noise_bound: float | str, tolerance: float, n_players: int) -> None:
    """Raise unless a split of this kind can be computed for so many players."""
    if not (is_real(noise_bound) and 0 <= float(noise_bound) < math.inf):
        raise ValueError(
            f'noise_bound must be a finite number ≥ 0; got {noise_bound!r}. With a model to ask, "auto" works too.'
        )
    if split != "sparse":
        if noise_bound:
            raise ValueError(f'noise_bound={noise_bound} needs split="sparse"; split={split!r} has no noise.')
        return
    if n_players > _SPARSE_PLAYERS:
        raise ValueError(
            f'split="sparse" handles up to {_SPARSE_PLAYERS} players; got {n_players}. Use a coarser feature_mask, or '
            "split='even', 'and' or 'or'."
        )


def split_game(
    values: Tensor,
    split: Split = "sparse",
    noise_bound: float | Tensor = 0.0,
    tolerance: float = 1e-3,
    on_done: Callable[[int], object] = lambda done: None,
) -> SplitResult:
    r"""Split games into AND and OR interactions.

    Interactions of order 1 are the same function under AND and OR; they are reported under AND.

    Args:
        values (Tensor): Game values, float64, shape ``(…, 2^n)``.
        split (str): ``"sparse"``, ``"and"``, ``"or"`` or ``"even"``.
        noise_bound (float or Tensor): Largest \|q(S)\|, relative to \|v(N) - v(∅)\| of each game; a tensor has the
            leading shape.
        tolerance (float): Relative duality gap at which a sparse split is accepted.
        on_done (callable, optional): Called with the number of games that have just been split, e.g. ``bar.update``.

    Returns:
        - **result** (*SplitResult*): ``duality_gap`` is NaN where no optimum was sought.
    """
    check_split(split, 0.0 if isinstance(noise_bound, Tensor) else noise_bound, tolerance, count_players(values))
    if split == "sparse":
        return _sparse(values, noise_bound, tolerance, on_done)
    share = {"and": 1.0, "or": 0.0, "even": 0.5}[split]
    and_values = mobius(values * share)
    or_values = or_mobius(values * (1 - share))
    and_values[..., 0] = values[..., 0]
    and_values, or_values = merge_singles(and_values, or_values)
    l1 = strength(and_values, or_values)
    on_done(l1.numel())
    nothing = torch.full_like(values, math.nan)
    no_gap = torch.full_like(l1, math.nan)
    return SplitResult(and_values, or_values, torch.zeros_like(values), l1, no_gap, nothing, torch.zeros_like(l1))


def _sparse(
    values: Tensor, noise_bound: float | Tensor, tolerance: float, on_done: Callable[[int], object]
) -> SplitResult:
    n = count_players(values)
    if n == 0 or not values.numel():  # nothing to solve, and nothing to improve
        free = torch.zeros_like(values)
        none = free[..., 0].clone()
        return SplitResult(values.clone(), free, free.clone(), none, none.clone(), free.clone(), none.clone())
    games = values.reshape(-1, values.shape[-1])
    offset = games[:, :1]
    # Solvers see v(∅) = 0 and max|v| = 1, so that their tolerances mean the same on every scale.
    scale = (games - offset).abs().amax(-1, keepdim=True)
    unit = (games - offset) / torch.where(scale > 0, scale, 1.0)
    relative = noise_bound.reshape(-1) if isinstance(noise_bound, Tensor) else noise_bound
    epsilon = relative * (unit[:, -1] - unit[:, 0]).abs()
    # Rounding error of v in float64, on that scale.
    rounding = 8 * torch.finfo(torch.float64).eps * games.abs().amax(-1) / torch.where(scale > 0, scale, 1.0)[:, 0]
    found, interrupted = _solve_all(unit, epsilon, rounding, tolerance, on_done)
    missed = (~(found.gap <= tolerance)).nonzero().flatten().tolist()
    if missed:
        how = "was interrupted and " if interrupted else ""
        warn(
            f"the sparse split of game(s) {missed} {how}missed tolerance={tolerance}: duality gap up to "
            f"{float(found.gap.max()):.2g}. The gaps are honest; raise the tolerance to silence this."
        )
    and_values, or_values, noise = (part * scale for part in found[:3])
    and_values[:, :1] = offset
    l1 = strength(and_values, or_values)
    shape = values.shape
    return SplitResult(
        and_values.view(shape),
        or_values.view(shape),
        noise.view(shape),
        l1.view(shape[:-1]),
        found.gap.view(shape[:-1]),
        found.dual.view(shape),
        (epsilon * scale[:, 0]).view(shape[:-1]),
    )


def _solve_all(
    unit: Tensor, epsilon: Tensor, rounding: Tensor, tolerance: float, on_done: Callable[[int], object]
) -> tuple[Solution, bool]:
    """Splits of games with v(∅) = 0 and max|v| ≤ 1, with their proofs, and whether Ctrl-C left some unsolved.

    Games that the noise bound alone explains need no interactions; the others are solved for their active players only.
    """
    explained = unit.abs().amax(-1) <= epsilon
    found = _by_noise_alone(torch.where(explained[:, None], unit, 0.0))
    on_done(int(explained.sum()))
    rows = (~explained).nonzero()[:, 0]
    interrupted = False
    for group in Subgames.of(active_players(unit[rows], rounding[rows]), unit.shape[1], rows):
        games, limits, exactness = group.within(unit), epsilon[group.rows], rounding[group.rows]
        step = max(_CHUNK // games.shape[1], 1)
        solved = []
        for start in range(0, len(games), step):
            some = slice(start, start + step)
            try:
                if not interrupted:
                    solved.append(_search(games[some], limits[some], exactness[some], tolerance, on_done))
                    continue
            except KeyboardInterrupt:  # v has cost forward passes: it is not to be lost
                interrupted = True
            solved.append(_unsolved(games[some]))
        smaller = Solution(*(torch.cat(parts) for parts in zip(*solved, strict=True)))
        group.fill(found.and_values, smaller.and_values)
        group.fill(found.or_values, smaller.or_values)
        group.fill(found.dual, smaller.dual)
        group.spread(found.noise, smaller.noise)
        found.primal[group.rows], found.bound[group.rows] = smaller.primal, smaller.bound
    return found, interrupted


def _unsolved(unit: Tensor) -> Solution:
    """The shortest fixed split of each game, with nothing proven."""
    nothing = torch.zeros_like(unit)
    found = shortest_of(fixed_splits(unit), nothing[:, 0], 0.5, 0.0)
    return Solution(*found, nothing, strength(found.and_values, found.or_values), nothing[:, 0].clone())


def _by_noise_alone(unit: Tensor) -> Solution:
    """No interactions: noise takes all of v."""
    zero = torch.zeros_like(unit)
    return Solution(zero, zero.clone(), -unit, zero.clone(), zero[:, 0].clone(), zero[:, 0].clone())


def _search(
    unit: Tensor, epsilon: Tensor, rounding: Tensor, tolerance: float, on_done: Callable[[int], object]
) -> Solution:
    """First towards low order, then, from there, for the proof; of what was found the best."""
    n = count_players(unit)
    if n <= _EXACT_PLAYERS and tolerance < _COARSE:
        tolerance = min(tolerance, _EXACT)
    tight = n <= INTERIOR_PLAYERS and tolerance < _FINE
    coarse = (_COARSE if n <= _FEW_PLAYERS else _FINE) if tight else tolerance
    low, position = first_order(unit, epsilon, min(_LOOSER * coarse, 0.5), _PREFERENCE, _MOST_ITERATIONS)
    short, _ = first_order(
        unit, epsilon, coarse, 0.0, _MOST_ITERATIONS, position, (lambda done: None) if tight else on_done
    )
    costs = order_costs(n, 0.0, unit.device)
    short = _with_bound(short, low.dual, unit, epsilon, costs)
    if tight:
        # With costs ≥ 1 a bound of l1 holds, too.
        preference = min(_PREFERENCE, _TIGHT_PREFERENCE * tolerance)
        tilted = order_costs(n, preference, unit.device)
        cost = ((low.and_values.abs() + low.or_values.abs()) * tilted).sum(-1)
        start = low._replace(dual=short.dual, primal=cost, bound=short.bound)
        low = interior_point(unit, epsilon, 0.5 * tolerance, start, preference)
        short = _with_bound(short, low.dual, unit, epsilon, costs)
        length = strength(*low[:2])
        better = length < short.primal
        and_values, or_values, noise = (
            torch.where(better[:, None], x, y) for x, y in zip(low[:3], short[:3], strict=True)
        )
        primal = torch.where(better, length, short.primal)
        short = Solution(and_values, or_values, noise, short.dual, primal, short.bound)
        short = interior_point(unit, epsilon, tolerance, short)
        on_done(len(unit))
    bound, dual = short.bound, short.dual
    found = [Candidate(*low[:3]), Candidate(*short[:3])]
    fixed = fixed_splits(unit)
    exact = [
        _on_supports(unit, epsilon, rounding, candidate, sharpen=i == 0)
        for i, candidate in enumerate((found[1], *fixed[:2]))
    ]
    chosen = shortest_of([*fixed, *found, *exact], bound, tolerance, _PREFERENCE)
    return Solution(*chosen, dual, strength(*chosen[:2]), bound)


def _with_bound(solution: Solution, y: Tensor, unit: Tensor, epsilon: Tensor, costs: Tensor) -> Solution:
    """A solution with the better of its own bound and that of another dual point."""
    bound, dual = dual_bound(y, unit, epsilon, costs)
    better = bound > solution.bound
    return solution._replace(
        bound=torch.where(better, bound, solution.bound), dual=torch.where(better[:, None], dual, solution.dual)
    )


def _on_supports(unit: Tensor, epsilon: Tensor, rounding: Tensor, candidate: Candidate, sharpen: bool) -> Candidate:
    """Each split by its strongest terms alone, where these explain the game or nearly do; the others as they are."""
    result = Candidate(*(part.clone() for part in candidate))
    near = []
    for game in (epsilon == 0).nonzero()[:, 0].tolist():
        found = on_support(unit[game], result.and_values[game], result.or_values[game], float(rounding[game]))
        if not _take(result, game, found, unit[game]) and sharpen and found.is_near:
            near.append(game)
    if near:  # a sparse game with terms that are weaker than the tolerance
        some = torch.tensor(near, device=unit.device)
        sharper, _ = first_order(unit[some], epsilon[some], _SHARP, 0.0, _SHARP_ITERATIONS)
        for game, v, a, b in zip(near, unit[some], *sharper[:2], strict=True):
            _take(result, game, on_support(v, a, b, float(rounding[game])), v)
    return result


def _take(result: Candidate, game: int, found: Supported, v: Tensor) -> bool:
    """Use what a support gives, if it explains the game to rounding, or nearly: the rest is spread over all terms."""
    if found.is_exact:
        result.and_values[game], result.or_values[game] = found.and_values, found.or_values
    elif found.left <= _SPREAD:
        ands = found.and_values.clone()
        ands[0] = found.or_values.sum()
        a, b = matched_exactly(v[None], ands[None], found.or_values[None])
        result.and_values[game], result.or_values[game] = a[0], b[0]
    return found.is_exact
