"""The joint split of several models, against an independent linear program."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from captum_andor.split.joint import _gauge, _in_dual_ball, joint_split
from captum_andor.split.split import split_game


def least_cost(values: Tensor, alpha: float, noise_bound: float) -> float:
    """min Σ_T u_T + α Σ |x_mT| with u_T ≥ |x_mT|, each model matched within its bound."""
    n = oracles.n_players(values[0])
    everything = oracles.subsets(range(n))
    terms = [t for t in everything if t]
    columns = np.array([[t <= s for t in terms] + [bool(t & s) for t in terms] for s in everything], dtype=float)
    n_models, k = len(values), columns.shape[1]
    width = 2 * k * n_models + k
    a_ub, b_ub = [], []
    for m, v in enumerate(values):
        game = np.array([float(v[oracles.code(s)]) - float(v[0]) for s in everything])
        room = np.full(len(game), noise_bound * abs(float(v[-1]) - float(v[0])))
        room[0] = 0
        block = np.zeros((len(game), width))
        block[:, 2 * k * m : 2 * k * (m + 1)] = np.hstack([columns, -columns])
        a_ub += [block, -block]
        b_ub += [game + room, room - game]
        below = np.zeros((k, width))
        below[:, 2 * k * m : 2 * k * (m + 1)] = np.hstack([np.eye(k), np.eye(k)])
        below[:, -k:] = -np.eye(k)
        a_ub.append(below)
        b_ub.append(np.zeros(k))
    cost = np.concatenate([np.full(2 * k * n_models, alpha), np.ones(k)])
    result = linprog(cost, A_ub=np.vstack(a_ub), b_ub=np.concatenate(b_ub), method="highs")
    assert result.status == 0
    return float(result.fun)


def models(count: int, n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(2**n, dtype=torch.float64, generator=generator)
    return shared + 0.5 * torch.randn(count, 2**n, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize(("count", "n"), [(2, 1), (2, 3), (3, 3), (2, 4)])
def test_cost_is_that_of_the_linear_program(count: int, n: int, alpha: float, noise_bound: float) -> None:
    v = models(count, n, seed=n)
    found = joint_split(v, alpha, noise_bound, tolerance=1e-4)
    optimum = least_cost(v, alpha, noise_bound)
    assert float(found.duality_gap) <= 1e-4
    assert optimum * (1 - 1e-8) <= float(found.cost) <= optimum / (1 - 1.01e-4)
    for m in range(count):
        left = oracles.surrogate(found.and_values[m], found.or_values[m]) - v[m] - found.noise[m]
        assert float(left.abs().max()) < 1e-9
        assert float(found.noise[m].abs().max()) <= noise_bound * abs(float(v[m, -1] - v[m, 0])) * (1 + 1e-9)


def test_models_share_what_they_can() -> None:
    """Two models of equal games cost what one does, and one of them twice its price."""
    v = models(1, 5)[0]
    alone = float(split_game(v, tolerance=1e-6).l1)
    both = joint_split(torch.stack([v, v]), alpha=0.1, tolerance=1e-4)
    assert float(both.cost) == pytest.approx(1.2 * alone, rel=2e-4)
    assert torch.allclose(both.and_values[0], both.and_values[1], atol=1e-3)


def test_samples_are_a_batch_and_scales_do_not_matter() -> None:
    v = torch.stack([models(2, 4, seed) for seed in range(3)], dim=1)
    v[:, 1] *= 1e6
    v[:, 2] = 7.0
    together = joint_split(v)
    assert together.cost.shape == together.duality_gap.shape == (3,)
    assert float(together.cost[2]) == 0 and float(together.duality_gap[2]) == 0
    for i in range(2):
        alone = joint_split(v[:, i])
        assert float(together.cost[i]) == pytest.approx(float(alone.cost), rel=2e-3)


def test_projection_and_gauge_are_dual() -> None:
    """x − P(x) is where x − p = P(x) supports the norm: ⟨P, p⟩ = radius · (max|p| + α Σ|p|), gauge(P) ≤ radius."""
    x = torch.randn(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    radius, alpha = torch.tensor(0.7, dtype=torch.float64), 0.3
    inside = _in_dual_ball(x, radius, alpha)
    left = x - inside
    norm = left.abs().amax(0) + alpha * left.abs().sum(0)
    assert torch.allclose((inside * left).sum(0), radius * norm, atol=1e-12)
    assert float(_gauge(inside / radius, alpha).max()) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(1, 8),), "two or more models"),
        ((torch.zeros(8),), "two or more models"),
        ((torch.zeros(2, 1),), "1 to 16 players"),
        ((torch.zeros(2, 8), -1.0), "alpha"),
        ((torch.zeros(2, 8), 0.1, float("nan")), "noise_bound"),
        ((torch.zeros(2, 8), 0.1, 0.0, 0.0), "tolerance"),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        joint_split(*arguments)  # type: ignore[arg-type]
