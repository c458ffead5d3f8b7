r"""Douglas–Rachford splitting for the sparse split of a batch of games, at any noise bound.

It alternates between shrinking (a, b, q) towards 0, within the noise box for q, and projecting exactly onto
Za − Kb − q = v. Averages over a window of iterations give both sides of the certificate: a split that is exactly
feasible, and a dual point. Steps adapt to each game, and games leave the batch once they are proven. The scheme is
that of this package, the method that of Douglas and Rachford (1956) in the form of Lions and Mercier (1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from captum_andor.games.transforms import count_players, mobius, or_zeta
from captum_andor.split.certificate import dual_bound, merge_singles, order_costs, relative_gap
from captum_andor.split.constraint import matching

# Iterations to a gap of 1e-3 on twenty digits, without noise / with a bound of 0.04, are counted by
# `python -m benchmarks.constants`; these settings take 1 350 / 2 244.
RELAXATION = 1.95  # below 2; 1.0 takes 2 398 / 4 572, 1.5 1 736 / 2 870, 1.99 1 518 / 2 445
NOISE_STEP = 3.0  # times the noise bound; half of it 2 268 with noise, twice 2 889
_FIRST_CHECK, _WINDOW_GROWTH = (
    50,
    0.4,
)  # halved 1 304 / 2 394 and 1 400 / 2 468, doubled 1 800 / 2 508 and 1 488 / 2 598
_BALANCED = 1.25  # steps change where primal and dual parts differ by more; 1.1 1 350 / 2 361, 1.5 1 400 / 2 361
_MOST_CHANGE = 5.0  # of a step at once, against a jump after a first window; 2.5 and 10 change nothing there
# With noise, iterations in float32 are twice as fast; for more players or tighter gaps their rounding is too coarse.
_SINGLE_PRECISION_PLAYERS, _SINGLE_PRECISION_TOLERANCE = 12, 5e-4


class Solution(NamedTuple):
    """Splits with their proof; games with v(∅) = 0, shapes ``(B, 2^n)`` and ``(B,)``.

    Attributes:
        and_values: a; position 0 is 0.
        or_values: b; likewise.
        noise: q.
        dual: A feasible dual point.
        primal: Cost of the split: its l1, where the preference for low order is 0.
        bound: What no split costs less than.
    """

    and_values: Tensor
    or_values: Tensor
    noise: Tensor
    dual: Tensor
    primal: Tensor
    bound: Tensor

    @property
    def gap(self) -> Tensor:
        """Relative duality gap, shape ``(B,)``."""
        return relative_gap(self.primal, self.bound)


class Position(NamedTuple):
    """Final iterates of a run, used to warm-start a run with other costs.

    Attributes:
        state: ``(2 or 3, hi, B, lo)``.
        step_size: Of each game, ``(B,)``.
    """

    state: Tensor
    step_size: Tensor


def first_order(
    unit: Tensor,
    epsilon: Tensor,
    tolerance: float,
    preference: float,
    most_iterations: int,
    start: Position | None = None,
    on_done: Callable[[int], object] = lambda done: None,
) -> tuple[Solution, Position]:
    """Solve games to a relative gap of cost, or as far as the iterations go.

    Args:
        unit (Tensor): v with v(∅) = 0 and max|v| about 1, float64, shape ``(B, 2^n)``.
        epsilon (Tensor): Absolute noise bounds, shape ``(B,)``.
        tolerance (float): Gap at which a game is done.
        preference (float): For low order, see :func:`captum_andor.split.certificate.order_costs`.
        most_iterations (int): Where to stop.
        start (Position, optional): Where to begin.
        on_done (callable, optional): Called with the number of games that have just been solved, e.g. ``bar.update``.
    """
    search = _Search(unit, epsilon, preference, tolerance, start)

    def all_proven() -> bool:
        before = len(search.active)
        going = search.check(tolerance)
        on_done(before - going)
        return not going

    iterate(search.step, all_proven, most_iterations)
    search.leave(torch.ones(len(search.active), dtype=torch.bool, device=unit.device))
    return search.best, search.ended


def iterate(step: Callable[[], None], is_done: Callable[[], bool], most_iterations: int) -> None:
    """Take steps and, at the end of windows that grow with their number, ask whether that was enough.

    Args:
        step: One iteration.
        is_done: Evaluates the averages of the window and begins a new one; True ends the loop.
        most_iterations: Where to stop in any case, after a last question.
    """
    next_check = _FIRST_CHECK
    for iteration in range(1, most_iterations + 1):
        step()
        if iteration < next_check and iteration < most_iterations:
            continue
        next_check = iteration + max(_FIRST_CHECK, int(_WINDOW_GROWTH * iteration))
        if is_done():
            return


def balanced(ratio: Tensor) -> Tensor:
    """Factor by which steps change, from the ratio of primal to dual parts: 1 where they are near each other."""
    factor = ratio.clamp(1 / _MOST_CHANGE, _MOST_CHANGE)
    return torch.where((factor > _BALANCED) | (factor < 1 / _BALANCED), factor, 1.0)


class _Search:
    """Iterates of the games that are not proven yet, and the best found of all."""

    def __init__(
        self, unit: Tensor, epsilon: Tensor, preference: float, tolerance: float, start: Position | None
    ) -> None:
        self.n = count_players(unit)
        self.noisy = bool((epsilon > 0).any())
        single = self.noisy and self.n <= _SINGLE_PRECISION_PLAYERS and tolerance >= _SINGLE_PRECISION_TOLERANCE
        dtype = torch.float32 if single else torch.float64
        self.map = matching(self.n, self.noisy, dtype, unit.device)
        self.exact = matching(self.n, False, torch.float64, unit.device)
        self.dtype = dtype
        self.costs = order_costs(self.n, preference, unit.device)
        self.cost = self.map.arranged(self.costs[None]).to(dtype)
        self.active = torch.arange(len(unit), device=unit.device)
        self.unit, self.epsilon = unit, epsilon
        self.best = _nothing_proven(unit)
        if start is None:
            start = self._first_position(unit)
        self.state, self.step_size = start.state.to(dtype).clone(), start.step_size.to(dtype).clone()
        self.ended = Position(self.state.double(), self.step_size.double())
        self._restart()

    def _first_position(self, unit: Tensor) -> Position:
        """The (a, b) of least norm that matches v."""
        least = self.exact.adjoint(self.exact.inverse(len(unit))(self.exact.rotate(unit)))
        step_size = (_norm(least) / math.sqrt(2 * unit.shape[1] - 2)).clamp(min=1e-30)
        return Position(torch.cat([least, torch.zeros_like(least[:1])]) if self.noisy else least, step_size)

    def _restart(self) -> None:
        """After a change of games or steps: what depends on them, and an empty window."""
        self.target = self.map.rotate(self.unit)
        self.limit = (self.cost * self.step_size[:, None]).expand(2, -1, -1, -1).contiguous()
        if self.noisy:
            box = self.epsilon.to(self.dtype)[None, :, None].repeat(self.map.high, 1, self.map.low)
            box[0, :, 0] = 0.0
            self.sigma = NOISE_STEP * self.epsilon.clamp(min=1e-12) / self.step_size.double()
            self.inverse = self.map.inverse(len(self.unit), self.sigma)
            self.limit = torch.cat([self.limit, box[None]])
        else:
            self.inverse = self.map.inverse(len(self.unit))
        self.floor = -self.limit
        self._open_window()

    def _open_window(self) -> None:
        self.sums = torch.zeros_like(self.state)
        self.multiplier_sums = torch.zeros_like(self.target)
        self.count = 0

    def step(self) -> None:
        """One iteration: shrink, reflect, project, relax."""
        # Moreau's decomposition: prox(z) = z − clipped. The noise's prox is the clipping itself, so its rest is kept.
        clipped = torch.clamp(self.state, self.floor, self.limit)
        if self.noisy:
            torch.sub(self.state[2], clipped[2], out=clipped[2])
        # 2 prox(z) − z is projected onto the constraint; the multipliers of the projection are the dual iterate.
        reflected = torch.add(self.state, clipped, alpha=-2)
        multiplier = self.inverse(self.map.forward(reflected).sub_(self.target))
        shift = self.map.adjoint(multiplier)
        if self.noisy:
            shift[2] *= self.sigma.to(self.dtype)[None, :, None]
        self.sums += reflected
        self.sums -= shift
        self.multiplier_sums += multiplier
        self.count += 1
        # z + λ (projection − prox(z)) = z − λ (shift + clipped); any λ < 2 converges (Eckstein and Bertsekas 1992).
        self.state.sub_(shift.add_(clipped), alpha=RELAXATION)

    def check(self, tolerance: float) -> int:
        """Prove what the window gives, adapt the steps, let proven games go; how many are left."""
        self._record(*self._split(self.sums / self.count))
        multiplier = self.map.unrotate(self.multiplier_sums / self.count)
        self._record_bound(-multiplier / self.step_size.double()[:, None])
        going = ~(self.best.gap[self.active] <= tolerance)
        if not bool(going.any()):
            return 0
        changed = self._balance()
        if not bool(going.all()):
            self.leave(~going)
            self.active, self.unit, self.epsilon = self.active[going], self.unit[going], self.epsilon[going]
            self.state, self.step_size = self.state[:, :, going].contiguous(), self.step_size[going]
            changed = True
        if changed:
            self._restart()
        else:
            self._open_window()
        return len(self.active)

    def leave(self, rows: Tensor) -> None:
        """Keep where some games ended."""
        self.ended.state[:, :, self.active[rows]] = self.state[:, :, rows].double()
        self.ended.step_size[self.active[rows]] = self.step_size[rows].double()

    def _split(self, parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A feasible split near an average: q inside its box, b projected, a from what b leaves."""
        parts = parts.double()
        noise = torch.zeros_like(self.unit)
        if self.noisy:  # averages of projections may leave the box
            bound = self.epsilon[:, None]
            noise = torch.minimum(torch.maximum(self.map.games(parts[2]), -bound), bound)
            noise[:, 0] = 0.0
        and_values, or_values = (self.map.games(part) for part in parts[:2])
        return *matched_exactly(self.unit + noise, and_values, or_values), noise

    def _record(self, and_values: Tensor, or_values: Tensor, noise: Tensor) -> None:
        cost = ((and_values.abs() + or_values.abs()) * self.costs).sum(-1)
        better = cost < self.best.primal[self.active]
        rows = self.active[better]
        self.best.primal[rows] = cost[better]
        for kept, found in zip(self.best[:3], (and_values, or_values, noise), strict=True):
            kept[rows] = found[better]

    def _record_bound(self, y: Tensor) -> None:
        bound, y = dual_bound(y, self.unit, self.epsilon, self.costs)
        better = bound > self.best.bound[self.active]
        rows = self.active[better]
        self.best.bound[rows], self.best.dual[rows] = bound[better], y[better]

    def _balance(self) -> bool:
        """Scale the steps of a and b so that their primal and dual parts have one norm; whether any changed."""
        clipped = torch.clamp(self.state[:2], self.floor[:2], self.limit[:2])
        primal = self.state[:2] - clipped
        free = primal.clone()
        free[:, 0, :, 0] = 0.0
        factor = balanced(_norm(free) / _norm(clipped).clamp(min=1e-300))
        if not bool((factor != 1).any()):
            return False
        # The dual part is in units of the step: it is scaled along, so that the multipliers stay as they are.
        self.state[:2] = primal + clipped * factor[None, None, :, None]
        self.step_size = self.step_size * factor
        return True


def matched_exactly(values: Tensor, and_values: Tensor, or_values: Tensor) -> tuple[Tensor, Tensor]:
    """The split nearest to (a, b) that matches games ``(B, 2^n)``; rounding is left to the AND terms.

    In Za − Kb an OR term counts −1 where it does not hold: the constant that this needs stands in a(∅).
    """
    exact = matching(count_players(values), False, torch.float64, values.device)
    parts = torch.stack([exact.arranged(and_values), exact.arranged(or_values)])
    residual = exact.forward(parts) - exact.rotate(values)
    correction = exact.adjoint(exact.inverse(len(values))(residual))
    # Only b takes the correction; a follows by the Möbius transform, so that the constraint holds to rounding.
    or_values = or_values - exact.games(correction[1])
    or_values[:, 0] = 0.0
    and_values = mobius(values - or_zeta(or_values))
    and_values[:, 0] = 0.0
    return merge_singles(and_values, or_values)


def _norm(parts: Tensor) -> Tensor:
    """Norm of each game's part: shape ``(B,)``."""
    return parts.square().sum((0, 1, 3)).sqrt()


def _nothing_proven(unit: Tensor) -> Solution:
    zero = torch.zeros_like(unit)
    infinite = torch.full_like(unit[:, 0], math.inf)
    return Solution(zero, zero.clone(), zero.clone(), zero.clone(), infinite, torch.zeros_like(infinite))
