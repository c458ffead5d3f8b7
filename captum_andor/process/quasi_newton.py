"""Minimise many functions at once: limited-memory BFGS within a box, one evaluation of all of them per step.

Each function has a step length, a history and an end of its own, so its path does not depend on the others; those that
are done leave the batch. SciPy's L-BFGS-B does the same for one function.

Source: Nocedal and Wright 2006, chapter 7; Byrd, Nocedal and Schnabel 1994, theorem 2.2 (compact form).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

import torch
from torch import Tensor

_MEMORY = 20  # steps, and the changes of the gradient that they made, that are kept
_ARMIJO = 1e-4  # share of the gain that the gradient promises with which a step is accepted
_SHORTEST, _LONGEST = 0.1, 0.5  # a step that is refused is shortened to between these shares of it
_EVALUATIONS = 2  # per iteration, 10 more in all: above that, values and gradients contradict each other
_CURVATURE = 1e-10  # least cosine of a step and its change: less would make the inverse Hessian indefinite

Objective: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def minimised(objective: Objective, start: Tensor, bound: float, iterations: int, tolerance: float) -> Tensor:
    """Minima of B functions of d variables, each variable within ``[-bound, bound]``.

    Args:
        objective (callable): Takes points ``(b, d)`` and the numbers of their functions, int64 ``(b,)``; returns values
            ``(b,)`` and gradients ``(b, d)``.
        start (Tensor): float64, shape ``(B, d)``.
        bound (float): Largest size of a variable.
        iterations (int): Most steps of a function.
        tolerance (float): A function is done when a step gains less than this, relative to its value.

    Returns:
        - **points** (*Tensor*): Shape ``(B, d)``.
    """
    found = start.clone()
    active = torch.arange(len(start), device=start.device)
    state = _Searches.at(start, *objective(start, active), bound)
    for _ in range(10 + _EVALUATIONS * iterations):
        state.advance(*objective(state.trial, active), tolerance)
        found[active] = state.point
        going = ~state.converged & (state.steps < iterations)
        if not bool(going.any()):
            break
        if not bool(going.all()):
            state, active = state.rows(going), active[going]
        state.aim(bound)
    return found


@dataclass
class _Searches:
    """Where b searches stand; a row for each."""

    point: Tensor  # (b, d), and so are slope, direction and trial
    value: Tensor  # (b,), and so are length, steps, accepted and converged
    slope: Tensor
    direction: Tensor
    trial: Tensor
    moves: Tensor  # (b, k, d), oldest first; rows of zeros where a search has none
    turns: Tensor  # changes of the slope, the same
    length: Tensor
    steps: Tensor
    accepted: Tensor
    converged: Tensor

    @classmethod
    def at(cls, point: Tensor, value: Tensor, slope: Tensor, bound: float) -> _Searches:
        """The start; the first steps go down the gradients, by 1 at most."""
        length = (1 / slope.norm(dim=1)).clamp(max=1.0)
        trial = (point - length[:, None] * slope).clamp(-bound, bound)
        none = point.new_zeros(len(point), 0, point.shape[1])
        no = torch.zeros_like(value, dtype=torch.bool)
        return cls(point, value, slope, -slope, trial, none, none, length, no.long(), no, no)

    def rows(self, which: Tensor) -> _Searches:
        """Some of the searches."""
        return _Searches(*(getattr(self, field.name)[which] for field in fields(self)))

    def advance(self, value: Tensor, slope: Tensor, tolerance: float) -> None:
        """Move to the trial points that gain enough; shorten the other steps."""
        move = self.trial - self.point
        promised = -(self.slope * move).sum(1)
        gain = self.value - value
        self.accepted = (promised > 0) & (gain >= _ARMIJO * promised)
        size = torch.maximum(self.value.abs(), value.abs()).clamp(min=1.0)
        self.converged = (self.accepted & (gain <= tolerance * size)) | (promised <= 0)
        # Where the parabola through both values and the slope has its minimum.
        shorter = (promised / (2 * (promised - gain))).nan_to_num(_SHORTEST).clamp(_SHORTEST, _LONGEST)
        self.length = torch.where(self.accepted, 1.0, self.length * shorter)
        yes = self.accepted[:, None]
        self._remember(torch.where(yes, move, 0.0), torch.where(yes, slope - self.slope, 0.0))
        self.point = torch.where(yes, self.trial, self.point)
        self.slope = torch.where(yes, slope, self.slope)
        self.value = torch.where(self.accepted, value, self.value)
        self.steps = self.steps + self.accepted

    def aim(self, bound: float) -> None:
        """The next trial points: quasi-Newton steps of the variables that are not held at the bound."""
        held = (self.point.abs() >= bound) & (self.point * self.slope < 0)
        free = torch.where(held, 0.0, self.slope)
        turned = torch.where(held, 0.0, -self._newton_step(free))
        self.direction = torch.where(self.accepted[:, None], turned, self.direction)
        self.trial = (self.point + self.length[:, None] * self.direction).clamp(-bound, bound)

    def _remember(self, move: Tensor, turn: Tensor) -> None:
        curved = (move * turn).sum(1) > _CURVATURE * move.norm(dim=1) * turn.norm(dim=1)
        keep = curved[:, None, None]
        # A search that has nothing to add keeps what it had, with a row of zeros in front.
        older_moves, older_turns = self.moves, self.turns
        zeros = torch.zeros_like(move)[:, None]
        self.moves = torch.where(keep, torch.cat([older_moves, move[:, None]], 1), torch.cat([zeros, older_moves], 1))[
            :, -_MEMORY:
        ]
        self.turns = torch.where(keep, torch.cat([older_turns, turn[:, None]], 1), torch.cat([zeros, older_turns], 1))[
            :, -_MEMORY:
        ]

    def _newton_step(self, slope: Tensor) -> Tensor:
        """The inverse Hessians of the histories times the slopes."""
        s, y, g = self.moves, self.turns, slope[:, :, None]
        products = s @ y.mT
        curvature = products.diagonal(dim1=1, dim2=2)
        upper = products.triu() + torch.diag_embed((curvature == 0).to(s.dtype))
        newest = curvature[:, -1], y[:, -1].square().sum(1)
        scale = torch.where(newest[0] > 0, newest[0] / newest[1].clamp(min=1e-300), 1.0)[:, None, None]
        a = torch.linalg.solve_triangular(upper, s @ g, upper=True)
        inner = curvature[:, :, None] * a + scale * (y @ (y.mT @ a - g))
        b = torch.linalg.solve_triangular(upper.mT, inner, upper=False)
        step: Tensor = (scale * g + s.mT @ b - scale * (y.mT @ a))[:, :, 0]
        return step
