"""The Gaussian process of one game: hyperparameters by marginal likelihood, and the posterior of v given some values.

The vector of hyperparameters is whitened by its prior, so that L-BFGS starts at the prior mean with unit steps. Most of
the iterations see few coalitions, since their cost grows with the cube of the number; the last one factorises all.

Source: this package; Rasmussen and Williams 2006, chapters 2 and 5 (posterior, marginal likelihood, leave-one-out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor.sampling.given_coalitions import is_inner
from captum_andor.sampling.kernel import Kernel, Prior

__all__ = ["CoalitionProcess", "fit_process"]

_JITTER = 1e-9  # of the variance of v, added to every diagonal; grows tenfold until the factorisation succeeds
_LARGEST_JITTER = 1e-1
# Coalitions, and iterations of L-BFGS on so many at most: a third stage on 512 doubles the time and changes no error by
# more than chance (digits, 512 coalitions: squared Shapley error 1.04e-5 with it, 1.05e-5 without).
_STAGES = ((128, 20), (256, 8))
_BOUND = 4.0  # prior standard deviations that a hyperparameter may move: farther, the likelihood is flat
_TOLERANCE = 1e-4  # relative gain of an iteration below which a stage ends
_ROUNDING = 1e-13  # of the largest |v|: a game that varies less is constant
_LOST = 1e10  # loss where a matrix is not positive definite: the line search turns back


@dataclass(frozen=True)
class CoalitionProcess:
    """Posterior of a game given its values on some coalitions; values are standardised.

    Attributes:
        theta: Logarithms of the hyperparameters.
        kernel: The prior covariance.
        coalitions: 0/1, float64, shape ``(m, n)``.
        offset: Mean of the values given.
        scale: Their standard deviation; 0 for a constant game.
        factor: Cholesky factor of the covariance of the values, ``(m, m)``.
        alpha: Its inverse times the standardised values, ``(m,)``.
    """

    theta: Tensor
    kernel: Kernel
    coalitions: Tensor
    offset: Tensor
    scale: Tensor
    factor: Tensor
    alpha: Tensor

    @property
    def noise(self) -> Tensor:
        """Standard deviation of what no kernel explains, in units of v."""
        return self.kernel.noise.sqrt() * self.scale

    def covariance(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean weights of linear functionals of v.

        Args:
            rows: Prior covariances of k functionals with the values given, ``(k, m)``.

        Returns:
            - **mean** (*Tensor*): Without the offset, in units of v, shape ``(k,)``.
            - **explained** (*Tensor*): What the values take off their prior variances, standardised, shape ``(k,)``.
        """
        half = torch.linalg.solve_triangular(self.factor, rows.T, upper=False)
        return rows @ self.alpha * self.scale, half.square().sum(0)

    def predict(self, coalitions: Tensor) -> Tensor:
        """Posterior mean of v on 0/1 coalitions ``(k, n)``: shape ``(k,)``."""
        return self.kernel.matrix(coalitions, self.coalitions) @ self.alpha * self.scale + self.offset

    def predict_with_std(self, coalitions: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and standard deviation of v on 0/1 coalitions ``(k, n)``: shape ``(k,)`` each."""
        mean, explained = self.covariance(self.kernel.matrix(coalitions, self.coalitions))
        variance = (self.kernel.diagonal(coalitions) - explained).clamp(min=0.0)
        return mean + self.offset, variance.sqrt() * self.scale

    def left_out(self) -> tuple[Tensor, Tensor]:
        """Error of predicting each value from all others, and its standard deviation: shape ``(m,)``, in units of v."""
        precision = torch.cholesky_inverse(self.factor).diagonal()
        return self.alpha / precision * self.scale, precision.rsqrt() * self.scale


def fit_process(coalitions: Tensor, values: Tensor, seed: int = 0, theta: Tensor | None = None) -> CoalitionProcess:
    """Fit the hyperparameters of a game and its posterior.

    Args:
        coalitions (Tensor): bool, shape ``(m, n)``, each once.
        values (Tensor): v on them, float64, shape ``(m,)``.
        seed (int, optional): Of the choice of coalitions that the hyperparameters are fitted on. Default: 0
        theta (Tensor, optional): Hyperparameters that are known, see :class:`Prior`. Default: None (fitted)
    """
    z = coalitions.to(torch.float64)
    n = z.shape[1]
    ends = ~is_inner(coalitions)
    offset = values.mean()
    largest = (values - offset).abs().amax()
    varies = bool(largest > _ROUNDING * values.abs().amax())
    scale = torch.ones_like(largest)
    if varies:  # in two steps: squares of values of size 1e-200 would vanish
        scale = largest * ((values - offset) / largest).square().mean().sqrt()
    y = (values - offset) / scale
    if theta is None:
        theta = _hyperparameters(z, y, ends, seed) if varies else Prior.of(n, z.device).mean
    kernel = Kernel.of(theta, n)
    matrix = kernel.matrix(z, z)
    factor = _factorised(matrix, torch.where(ends, 0.0, kernel.noise))
    alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
    # Of a constant game nothing is left to vary: its standard deviations are 0.
    return CoalitionProcess(theta, kernel, z, offset, scale if varies else torch.zeros_like(scale), factor, alpha)


def _factorised(matrix: Tensor, noise: Tensor) -> Tensor:
    """Cholesky factor of a covariance with noise, with as much jitter as it takes."""
    jitter = _JITTER
    while jitter <= _LARGEST_JITTER:
        factor, info = torch.linalg.cholesky_ex(matrix + torch.diag(noise + jitter))
        if not int(info) and bool(factor.isfinite().all()):
            found: Tensor = factor
            return found
        jitter *= 10
    raise ValueError("v cannot be modelled: its covariance is not positive definite. Please report the game.")


def _hyperparameters(z: Tensor, y: Tensor, ends: Tensor, seed: int) -> Tensor:
    """θ of largest posterior density, on growing numbers of coalitions."""
    from scipy.optimize import minimize

    m, n = z.shape
    prior = Prior.of(n, z.device)
    u: npt.NDArray[np.float64] = np.zeros(len(prior.mean))
    order = _in_pairs(ends.cpu().numpy(), seed)
    for rows, iterations in _stages(m):
        some = torch.from_numpy(np.sort(order[:rows])).to(z.device)
        loss = _Loss(z[some], y[some], ends[some], prior)
        u = minimize(
            loss, u, jac=True, method="L-BFGS-B", bounds=[(-_BOUND, _BOUND)] * len(u),
            options={"maxiter": iterations, "ftol": _TOLERANCE, "maxcor": 20},
        ).x  # fmt: skip
    return prior.mean + prior.width * torch.from_numpy(u).to(z.device)


def _stages(m: int) -> Sequence[tuple[int, int]]:
    """Numbers of coalitions and of iterations: the stages that are smaller than m, then one with all or the most."""
    stages = [(rows, iterations) for rows, iterations in _STAGES if rows < m]
    last = next((iterations for rows, iterations in _STAGES if rows >= m), None)
    return stages if last is None else [*stages, (m, last)]


def _in_pairs(ends: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """Positions with ∅ and N first, then the others in random order, neighbours (of one pair) together."""
    first = np.flatnonzero(ends)
    others = np.flatnonzero(~ends)
    pairs = [others[i : i + 2] for i in range(0, len(others), 2)]
    order = np.random.default_rng(seed).permutation(len(pairs))
    return np.concatenate([first, *(pairs[i] for i in order)]) if pairs else first


class _Loss:
    """Negative logarithm of the posterior density of θ, as a function of the whitened u, with its gradient."""

    def __init__(self, z: Tensor, y: Tensor, ends: Tensor, prior: Prior) -> None:
        self.z, self.y, self.prior = z, y, prior
        self.noisy = (~ends).to(torch.float64)

    def __call__(self, u: npt.NDArray[np.float64]) -> tuple[float, Any]:
        whitened = torch.from_numpy(u).to(self.z.device)
        kernel = Kernel.of(self.prior.mean + self.prior.width * whitened, self.z.shape[1])
        products = kernel.components(self.z, self.z)
        matrix = kernel.linear_part(self.z, self.z)
        for tau, product in zip(kernel.tau, products, strict=True):
            matrix.add_(product * tau)
        matrix.diagonal().add_(self.noisy * kernel.noise + _JITTER)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info):
            return _LOST, np.zeros_like(u)
        inverse = torch.cholesky_inverse(factor)
        alpha = inverse @ self.y
        value = 0.5 * (self.y @ alpha) + factor.diagonal().log().sum() + 0.5 * whitened.square().sum()
        weights = torch.addr(inverse, alpha, alpha, alpha=-1.0).mul_(0.5)
        slope = kernel.gradient(self.z, products, weights, (weights.diagonal() * self.noisy).sum())
        return float(value), (slope * self.prior.width + whitened).cpu().numpy()
