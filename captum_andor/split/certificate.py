r"""The dual of the linear program of a split: its feasible points bound the least l1 from below.

The program is: minimise ‖a‖₁ + ‖b‖₁ over T ≠ ∅ subject to Za − Kb + c − q = v, |q| ≤ ε, q(∅) = 0. Its dual: maximise
⟨y, v⟩ − ε‖y‖₁ subject to |Zᵀy|, |Kᵀy| ≤ 1 for T ≠ ∅ and Σy = 0. Order 1 stands under AND.
"""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor.games.transforms import count_players, orders, zeta_adjoint


def merge_singles(and_values: Tensor, or_values: Tensor) -> tuple[Tensor, Tensor]:
    """Order 1 is the same function under AND and OR: all of it under AND."""
    single = orders(count_players(and_values), and_values.device) == 1
    return torch.where(single, and_values + or_values, and_values), torch.where(single, 0.0, or_values)


def strength(and_values: Tensor, or_values: Tensor) -> Tensor:
    """l1 over T ≠ ∅ of games ``(…, 2^n)``: shape ``(…)``."""
    return and_values[..., 1:].abs().sum(-1) + or_values[..., 1:].abs().sum(-1)


def order_costs(n: int, preference: float, device: torch.device) -> Tensor:
    r"""Cost of an interaction by its players, 1 + preference · (\|T\| − 1): float64, shape ``(2^n,)``; 0 for ∅."""
    costs = 1 + preference * (orders(n, device).double() - 1)
    costs[0] = 0.0
    return costs


def dual_bound(y: Tensor, values: Tensor, epsilon: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
    """The bound that a dual point gives once it is made feasible; and that feasible point.

    Any y becomes feasible by setting y(∅) so that Σy = 0 and dividing by the largest violation. A point that is not
    finite bounds nothing: its bound is that of y = 0, which is 0.

    Args:
        y (Tensor): Multipliers, shape ``(B, 2^n)``.
        values (Tensor): v with v(∅) = 0, shape ``(B, 2^n)``.
        epsilon (Tensor): Absolute noise bounds, shape ``(B,)``.
        costs (Tensor): Of an interaction by its players, shape ``(2^n,)``; 1 for l1.

    Returns:
        - **bound** (*Tensor*): No split costs less than this, shape ``(B,)``.
        - **y** (*Tensor*): Shape ``(B, 2^n)``.
    """
    y = torch.where(y.isfinite().all(-1, keepdim=True), y, 0.0)
    y = torch.cat([-y[:, 1:].sum(-1, keepdim=True), y[:, 1:]], dim=1)
    sums = torch.maximum(zeta_adjoint(y).abs(), zeta_adjoint(y.flip(-1)).abs())
    largest = (sums[:, 1:] / costs[1:]).amax(-1)
    y = y / largest.clamp(min=1.0)[:, None]
    bound = (y * values).sum(-1) - epsilon * y[:, 1:].abs().sum(-1)
    useless = ~(bound > 0)
    return torch.where(useless, 0.0, bound), torch.where(useless[:, None], 0.0, y)


def relative_gap(primal: Tensor, dual: Tensor) -> Tensor:
    """(primal − dual) / primal, in [0, 1]; 0 where there is nothing to explain, infinite where primal is no number."""
    gap = (primal - dual).clamp(min=0) / torch.where(primal > 0, primal, 1.0)
    return torch.where(primal.isfinite(), torch.where(primal > 0, gap, 0.0), torch.inf)
