r"""The joint split of several models on one sample, whose AND and OR interactions coincide where possible.

    minimise Σ_T max_m \|I_m(T)\| + α Σ_T Σ_m \|I_m(T)\|   subject to   \|Z a_m − K b_m + c_m − v_m\| ≤ ε_m  for each m.

The first sum is paid once however many models have the interaction; α decides how much each pays for its own strength.
Solved as the split of one model is, by Douglas–Rachford splitting, only that shrinkage acts on all models at once; the
dual bounds Σ_m (\|s_m(T)\| − α)₊ ≤ 1 prove the gap.

Source: After the shared sparse extraction of L. Chen et al. 2024, arXiv 2401.16318.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from captum_andor._utils.checks import NON_NEGATIVE, constrained
from captum_andor._utils.user_warnings import warn
from captum_andor.games.transforms import count_players, zeta_adjoint
from captum_andor.split.certificate import relative_gap
from captum_andor.split.constraint import matching
from captum_andor.split.douglas_rachford import NOISE_STEP, RELAXATION, balanced, iterate, matched_exactly

_PLAYERS = 16  # as for the split of one model
_MOST_ITERATIONS = 20_000  # as for the split of one model


class JointSplit(NamedTuple):
    """A joint split of M models with leading shape ``(…)``.

    Attributes:
        and_values: AND interactions, float64, shape ``(M, …, 2^n)``; position 0 is v(∅).
        or_values: OR interactions, same shape.
        noise: q, same shape.
        cost: The objective, shape ``(…)``.
        duality_gap: The least cost is at least ``(1 − duality_gap) · cost``; shape ``(…)``.
    """

    and_values: Tensor
    or_values: Tensor
    noise: Tensor
    cost: Tensor
    duality_gap: Tensor


@torch.no_grad()
@constrained(alpha=NON_NEGATIVE, noise_bound=NON_NEGATIVE)
def joint_split(values: Tensor, alpha: float = 0.1, noise_bound: float = 0.0, tolerance: float = 1e-3) -> JointSplit:
    r"""Split the games of several models together.

    Args:
        values (Tensor): v of each model on the same coalitions, shape ``(M, …, 2^n)`` with M ≥ 2 and n ≤ 16.
        alpha (float, optional): Price of each model's own strength. Default: 0.1
        noise_bound (float, optional): Largest \|q(S)\| relative to \|v(N) - v(∅)\| of each model. Default: 0.0
        tolerance (float, optional): Relative duality gap at which it is accepted. Default: 1e-3

    Returns:
        - **split** (*JointSplit*): Exact on every coalition for every model; a warning says where the gap missed.

    Raises:
        ValueError: If there are fewer than two models or too many players, or a number is out of its range.

    Examples::

        >>> both = torch.tensor([[0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 3.0]])
        >>> found = joint_split(both)
        >>> [round(float(x), 2) for x in found.and_values[:, 3]], round(float(found.cost), 2)
        ([2.0, 3.0], 3.5)
    """
    n = _checked(values)
    games = values.double().reshape(len(values), -1, values.shape[-1])
    offset = games[..., :1]
    scale = (games - offset).abs().amax((0, 2))[None, :, None]
    unit = (games - offset) / torch.where(scale > 0, scale, 1.0)
    epsilon = noise_bound * (unit[..., -1] - unit[..., 0]).abs()
    search = _JointSearch(unit, epsilon, float(alpha), n)
    search.run(tolerance)
    gap = search.gap()
    if bool((gap > tolerance).any()):
        warn(
            f"the joint split missed tolerance={tolerance}: duality gap up to {float(gap.max()):.2g}. The gaps are "
            "honest; raise the tolerance to silence this."
        )
    and_values, or_values, noise = (part * scale for part in search.best)
    and_values[..., :1] = offset
    shape = values.shape
    cost = search.cost * scale[0, :, 0]
    return JointSplit(
        and_values.view(shape), or_values.view(shape), noise.view(shape), cost.view(shape[1:-1]), gap.view(shape[1:-1])
    )


def _checked(values: Tensor) -> int:
    if values.ndim < 2 or len(values) < 2:
        raise ValueError(f"values must be of two or more models, shape (M, …, 2^n); got {tuple(values.shape)}.")
    n = count_players(values)
    if not 1 <= n <= _PLAYERS:
        raise ValueError(f"a joint split handles 1 to {_PLAYERS} players; got {n}.")
    return n


class _JointSearch:
    """Iterates of all models and samples; games are ordered by model, then by sample."""

    def __init__(self, unit: Tensor, epsilon: Tensor, alpha: float, n: int) -> None:
        self.n_models, self.count, size = unit.shape
        self.alpha = alpha
        self.unit, self.epsilon = unit.reshape(-1, size), epsilon.reshape(-1)
        self.noisy = bool((epsilon > 0).any())
        self.map = matching(n, self.noisy, torch.float64, unit.device)
        self.exact = matching(n, False, torch.float64, unit.device)
        self.target = self.map.rotate(self.unit)
        least = self.exact.adjoint(self.exact.inverse(len(self.unit))(self.exact.rotate(self.unit)))
        self.step_size = (self._norm(least) / math.sqrt(2 * self.n_models * size) * self.n_models).clamp(min=1e-30)
        self.state = torch.cat([least, torch.zeros_like(least[:1])]) if self.noisy else least
        self.free = torch.zeros(1, 2, self.map.high, 1, self.map.low, dtype=torch.bool, device=unit.device)
        self.free[0, :, 0, :, 0] = True
        zero = torch.zeros_like(unit)
        self.best = [zero, zero.clone(), zero.clone()]
        self.cost = torch.full((self.count,), math.inf, dtype=torch.float64, device=unit.device)
        self.bound = torch.zeros_like(self.cost)
        self._restart()

    def _norm(self, parts: Tensor) -> Tensor:
        """Norm over all models of each sample: shape ``(B,)``."""
        return self._by_model(parts).square().sum((0, 1, 2, 4)).sqrt()

    def _by_model(self, parts: Tensor) -> Tensor:
        """``(k, hi, M·B, lo)`` as ``(M, k, hi, B, lo)``."""
        k, high, _, low = parts.shape
        return parts.view(k, high, self.n_models, self.count, low).movedim(2, 0)

    def _restart(self) -> None:
        step = self.step_size.repeat(self.n_models)
        self.sigma = NOISE_STEP * self.epsilon.clamp(min=1e-12) / step
        self.inverse = self.map.inverse(len(self.unit), self.sigma if self.noisy else None)
        self.sums, self.multipliers, self.window = torch.zeros_like(self.state), torch.zeros_like(self.target), 0

    def run(self, tolerance: float) -> None:
        """Iterate until all samples are proven."""

        def all_proven() -> bool:
            self._check()
            if bool((self.gap() <= tolerance).all()):
                return True
            self._balance()
            self._restart()
            return False

        iterate(self._step, all_proven, _MOST_ITERATIONS)

    def _clipped(self) -> Tensor:
        """The part of the state that shrinkage takes away."""
        taken = _in_dual_ball(self._by_model(self.state[:2]), self.step_size[:, None], self.alpha)
        taken = taken.masked_fill(self.free, 0.0).movedim(0, 2).reshape_as(self.state[:2])
        if not self.noisy:
            return taken
        box = self.epsilon[None, :, None].repeat(self.map.high, 1, self.map.low)
        box[0, :, 0] = 0.0
        return torch.cat([taken, (self.state[2] - self.state[2].clamp(-box, box))[None]])

    def _step(self) -> None:
        clipped = self._clipped()
        reflected = self.state - 2 * clipped
        multiplier = self.inverse(self.map.forward(reflected) - self.target)
        shift = self.map.adjoint(multiplier)
        if self.noisy:
            shift[2] *= self.sigma[None, :, None]
        self.sums += reflected - shift
        self.multipliers += multiplier
        self.window += 1
        self.state = self.state - RELAXATION * (clipped + shift)

    def _check(self) -> None:
        """Both sides of the certificate, from averages over the window."""
        parts = self.sums / self.window
        noise = torch.zeros_like(self.unit)
        if self.noisy:
            room = self.epsilon[:, None]
            noise = torch.minimum(torch.maximum(self.map.games(parts[2]), -room), room)
            noise[:, 0] = 0.0
        found = (*matched_exactly(self.unit + noise, *(self.map.games(part) for part in parts[:2])), noise)
        split = [part.view(self.n_models, self.count, -1) for part in found]
        sizes = torch.stack(split[:2]).abs()
        cost = (sizes.amax(1) + self.alpha * sizes.sum(1)).sum((0, 2)).nan_to_num(nan=math.inf)
        better = cost < self.cost
        self.cost = torch.where(better, cost, self.cost)
        for kept, new in zip(self.best, split, strict=True):
            kept[:, better] = new[:, better]
        y = -self.map.unrotate(self.multipliers / self.window) / self.step_size.repeat(self.n_models)[:, None]
        bound = self._dual_bound(y.nan_to_num())
        self.bound = torch.maximum(self.bound, bound.nan_to_num())

    def _dual_bound(self, y: Tensor) -> Tensor:
        """Lower bound that a dual point proves once it is scaled to be feasible."""
        y = torch.cat([-y[:, 1:].sum(1, keepdim=True), y[:, 1:]], dim=1)
        sums = torch.stack([zeta_adjoint(y), zeta_adjoint(y.flip(-1))]).view(2, self.n_models, self.count, -1)
        largest = _gauge(sums[..., 1:].movedim(1, 0), self.alpha).amax((0, 2)).clamp(min=1.0)
        y = y / largest.repeat(self.n_models)[:, None]
        each = (y * self.unit).sum(1) - self.epsilon * y[:, 1:].abs().sum(1)
        return each.view(self.n_models, self.count).sum(0)

    def _balance(self) -> None:
        clipped = self._clipped()[:2]
        primal = self.state[:2] - clipped
        bound = self._norm(primal.masked_fill(self.free[0], 0.0)) / self._norm(clipped).clamp(min=1e-300)
        factor = balanced(bound)
        self.state[:2] = primal + clipped * factor.repeat(self.n_models)[None, None, :, None]
        self.step_size = self.step_size * factor

    def gap(self) -> Tensor:
        """Relative duality gap of each sample."""
        return relative_gap(self.cost, self.bound)


def _in_dual_ball(x: Tensor, radius: Tensor, alpha: float) -> Tensor:
    """Projection over dimension 0 onto radius · (α B∞ + B₁), the dual ball of max + α · sum."""
    soft = x - x.clamp(-alpha * radius, alpha * radius)
    return x - soft + _in_l1_ball(soft, radius)


def _in_l1_ball(x: Tensor, radius: Tensor) -> Tensor:
    """Projection over dimension 0 onto the l1 ball of a radius that broadcasts."""
    sizes = x.abs()
    ordered = sizes.sort(dim=0, descending=True).values
    sums = ordered.cumsum(0)
    rank = torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device).view(-1, *(1,) * (x.ndim - 1))
    support = ((ordered - (sums - radius) / rank) > 0).sum(0, keepdim=True).clamp(min=1)
    threshold = ((sums.gather(0, support - 1) - radius) / support).clamp(min=0)
    return x.sign() * (sizes - torch.where(sums[-1:] <= radius, 0.0, threshold)).clamp(min=0)


def _gauge(sums: Tensor, alpha: float) -> Tensor:
    """Least λ with Σ_m (|s_m| − αλ)₊ ≤ λ over dimension 0."""
    partial = sums.abs().sort(dim=0, descending=True).values.cumsum(0)
    rank = torch.arange(1, len(sums) + 1, dtype=sums.dtype, device=sums.device).view(-1, *(1,) * (sums.ndim - 1))
    return (partial / (1 + alpha * rank)).amax(0)
