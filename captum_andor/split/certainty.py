r"""Bounds on interactions over all optimal sparse splits: the least l1 is unique, the interactions need not be.

A dual point y with s = Aᵀy, \|s\| ≤ 1, and a bound D ≤ l1* ≤ P hold for every optimal split x:
Σ_T \|x_T\| (1 − s_T sign x_T) + Σ_S (ε\|y_S\| + y_S q_S) ≤ P − D. That bounds each term from both sides. And the
difference Δ of two optima, for which AΔ = Δq, has Σ_T c_T \|Δ_T\| + Σ_S \|y_S\| \|Δq_S\| ≤ 2 (P − D), c = 1 − \|s\|,
beside Σ_T \|Δ_T\| ≤ 2P and \|Δq_S\| ≤ 2ε. For any λ, Δ_T = Σ_j (e_T − Aᵀλ)_j Δ_j + Σ_S λ_S Δq_S; terms of large c or
\|y\| are bounded by the first, the others by the second. λ is chosen by weighted least squares.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from captum_andor.split.interior_point import adjoint, applied, normal_matrix

_LEAST_COST = 1e-7  # a dual slack below it is rounding: no bound follows
_ROUNDING = 1e-10  # of l1: rounding error of the duality gap in float64


class Certainty(NamedTuple):
    """Bounds on interactions over all optimal splits; see :meth:`captum_andor.AndOrExplanation.certainty`."""

    status: Tensor
    lower: Tensor
    upper: Tensor
    sign_certain: Tensor
    multiplicity: Tensor


class Bounds(NamedTuple):
    """Bounds on the interactions of every optimal split, AND and OR: ``(B, 2, 2^n)``; 0 where there is no term."""

    lower: Tensor
    upper: Tensor


def bounds(y: Tensor, excess: Tensor) -> Bounds:
    """Bounds that a dual point implies for every optimal split.

    Args:
        y (Tensor): A feasible dual point, shape ``(B, 2^n)``.
        excess (Tensor): Primal minus dual, in the units of v, shape ``(B,)``.
    """
    sums = adjoint(y).clamp(-1.0, 1.0)
    terms = _terms(y)
    room = excess[:, None, None]
    upper = torch.where(terms, room / (1 - sums).clamp(min=1e-300), 0.0)
    lower = torch.where(terms, -room / (1 + sums).clamp(min=1e-300), 0.0)
    return Bounds(lower, upper)


def _terms(y: Tensor) -> Tensor:
    r"""Which terms there are: AND over T ≠ ∅, OR over \|T\| ≥ 2."""
    count = torch.zeros_like(y[:1])
    count[0, 1:] = 1.0
    return adjoint(count)[0] > 0


def largest_differences(y: Tensor, primal: float, excess: float, epsilon: float, chosen: Tensor) -> Tensor:
    """Largest difference between two optimal splits of one game in given interactions.

    Args:
        y (Tensor): A feasible dual point, shape ``(2^n,)``.
        primal (float): l1 of a split, in the units of v.
        excess (float): Primal minus dual, in the units of v.
        epsilon (float): Absolute noise bound.
        chosen (Tensor): Positions among the AND and OR terms in a row, 0 to 2·2^n − 1, shape ``(k,)``.

    Returns:
        - **differences** (*Tensor*): An upper bound of each, shape ``(k,)``.
    """
    size = len(y)
    terms = _terms(y[None])
    cost = (1 - adjoint(y[None])[0].abs()).clamp(min=_LEAST_COST)
    weights = torch.where(terms, 1 / cost.square(), 0.0)
    scale = weights.max()
    matrix = normal_matrix((weights / scale)[None])[0]
    noise_cost = y.abs().clamp(min=_LEAST_COST)[1:]
    if epsilon > 0:
        matrix.diagonal().add_(1 / noise_cost.square() / scale)
    matrix.diagonal().mul_(1 + 1e-13)
    factor = torch.linalg.cholesky_ex(matrix)[0]
    units = torch.zeros(len(chosen), 2 * size, dtype=torch.float64, device=y.device)
    units[torch.arange(len(chosen), device=y.device), chosen] = 1.0
    columns = applied(units.view(-1, 2, size) * weights / scale)
    rows = torch.cholesky_solve(columns[:, 1:].T, factor).T
    rows = torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=1)
    left = (units.view(-1, 2, size) - adjoint(rows)).abs()
    left = torch.where(terms, left, 0.0)
    dear = cost > _LEAST_COST
    found = 2 * excess * torch.where(dear, left / cost, 0.0).amax((1, 2))
    found = found + 2 * primal * torch.where(dear, 0.0, left).amax((1, 2))
    if epsilon > 0:
        dear = noise_cost > _LEAST_COST
        multiplier = rows[:, 1:].abs()
        found = torch.maximum(found, 2 * excess * torch.where(dear, multiplier / noise_cost, 0.0).amax(1))
        found = found + 2 * epsilon * torch.where(dear, 0.0, multiplier).sum(1)
    return found.nan_to_num(nan=torch.inf)


def certainty_of(
    and_values: Tensor, or_values: Tensor, dual: Tensor, l1: Tensor, gap: Tensor, noise_limit: Tensor, threshold: Tensor
) -> Certainty:
    """Which interactions every optimal split has, which none.

    Args:
        and_values (Tensor): a, shape ``(B, 2^n)``, and so ``or_values`` and ``dual``.
        or_values (Tensor): b.
        dual (Tensor): A feasible dual point.
        l1 (Tensor): Shape ``(B,)``, and so the others.
        gap (Tensor): Relative duality gap.
        noise_limit (Tensor): Bound on |q|.
        threshold (Tensor): Strength below which an interaction counts as absent.
    """
    values = torch.stack([and_values, or_values], dim=1)
    values[..., 0] = 0.0
    excess = l1 * (gap + _ROUNDING)
    lower, upper = bounds(dual, excess)
    cut = threshold[:, None, None]
    salient = (values.abs() >= cut) & (values != 0)
    for game in salient.flatten(1).any(1).nonzero()[:, 0].tolist():
        chosen = salient[game].flatten().nonzero()[:, 0]
        differ = largest_differences(dual[game], float(l1[game]), float(excess[game]), float(noise_limit[game]), chosen)
        for bound, sign in ((lower, -1.0), (upper, 1.0)):
            flat = bound[game].flatten()
            nearer = values[game].flatten()[chosen] + sign * differ
            flat[chosen] = torch.maximum(flat[chosen], nearer) if sign < 0 else torch.minimum(flat[chosen], nearer)
            bound[game] = flat.view(2, -1)
    absent = (upper < cut) & (-lower < cut)
    present = salient & torch.where(values > 0, lower >= cut, -upper >= cut)
    strength = torch.where(salient, values.abs(), 0.0)
    proven = torch.where(present, strength, 0.0).sum((1, 2))
    whole = strength.sum((1, 2))
    multiplicity = torch.where(whole > 0, 1 - proven / torch.where(whole > 0, whole, 1.0), 0.0)
    status = present.to(torch.int8) - absent.to(torch.int8)
    return Certainty(status, lower, upper, (upper < cut) | (-lower < cut), multiplicity)
