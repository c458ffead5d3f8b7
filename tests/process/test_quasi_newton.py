"""The batched L-BFGS against SciPy's, one function at a time."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize, rosen, rosen_der
from torch import Tensor

from captum_andor.process.coalition_process import minimised


def rosenbrock(points: Tensor, functions: Tensor) -> tuple[Tensor, Tensor]:
    """Functions 0, 1, 2, …: Rosenbrock's plus that many times the squared distance from 0."""
    each = [p.numpy() for p in points]
    weight = functions.double()
    values = torch.tensor([rosen(p) for p in each]) + weight * points.square().sum(1)
    return values, torch.from_numpy(np.stack([rosen_der(p) for p in each])) + 2 * weight[:, None] * points


def test_minima_are_those_of_scipy() -> None:
    start = torch.linspace(-1.2, 1.5, 20, dtype=torch.float64).view(4, 5)
    found = minimised(rosenbrock, start, bound=3.0, iterations=200, tolerance=1e-14)
    for i, point in enumerate(found):
        best = minimize(lambda p, i=i: rosen(p) + i * (p**2).sum(), start[i], tol=1e-12).x
        np.testing.assert_allclose(point, best, atol=1e-4)


def test_variables_stay_within_the_bound_and_end_there_where_they_should() -> None:
    target = torch.tensor([[5.0, 0.5, -7.0], [0.1, -0.2, 9.0]], dtype=torch.float64)
    tilt = torch.tensor([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 3.0]], dtype=torch.float64)

    def quadratic(points: Tensor, functions: Tensor) -> tuple[Tensor, Tensor]:
        off = points - target[functions]
        return (off @ tilt * off).sum(1) / 2, off @ tilt

    found = minimised(quadratic, torch.zeros_like(target), bound=2.0, iterations=100, tolerance=1e-15)
    for i, point in enumerate(found):
        t, a = target[i].numpy(), tilt.numpy()
        best = minimize(
            lambda p, t=t, a=a: ((p - t) @ a @ (p - t) / 2, a @ (p - t)), np.zeros(3), jac=True,
            bounds=[(-2, 2)] * 3, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10},
        ).x  # fmt: skip
        np.testing.assert_allclose(point, best, atol=1e-6)


def test_the_path_of_a_function_does_not_depend_on_the_others() -> None:
    start = torch.linspace(-1.0, 1.0, 15, dtype=torch.float64).view(3, 5)
    together = minimised(rosenbrock, start, 3.0, 12, 1e-3)

    def alone(points: Tensor, functions: Tensor) -> tuple[Tensor, Tensor]:
        return rosenbrock(points, functions + 2)

    torch.testing.assert_close(together[2:], minimised(alone, start[2:], 3.0, 12, 1e-3))


def test_a_minimum_at_the_start_and_a_function_that_cannot_be_evaluated_end() -> None:
    def flat(points: Tensor, functions: Tensor) -> tuple[Tensor, Tensor]:
        return points.square().sum(1) * 0 + 1, points * 0

    assert minimised(flat, torch.ones(2, 3, dtype=torch.float64), 3.0, 10, 1e-4).tolist() == [[1.0] * 3] * 2

    def broken(points: Tensor, functions: Tensor) -> tuple[Tensor, Tensor]:
        lost = points.abs().amax(1) > 0
        return torch.where(lost, 1e10, 0.0).double(), torch.ones_like(points)

    assert minimised(broken, torch.zeros(1, 2, dtype=torch.float64), 3.0, 10, 1e-4).tolist() == [[0.0, 0.0]]
