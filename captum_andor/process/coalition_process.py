"""The Gaussian process of one game: hyperparameters by marginal likelihood, and the posterior of v given some values.

The vector of hyperparameters is whitened by its prior, so that L-BFGS starts at the prior mean with unit steps. Most of
the iterations see few coalitions, since their cost grows with the cube of the number; the last one factorises all.

Source: Rasmussen and Williams 2006, chapters 2 and 5 (posterior, marginal likelihood, leave-one-out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor.process.kernel import Kernel, Prior
from captum_andor.process.quasi_newton import minimised
from captum_andor.sampling import is_inner

_JITTER = 1e-9  # of the variance of v, added to every diagonal; grows tenfold until the factorisation succeeds
_LARGEST_JITTER = 1e-1
# Coalitions that the hyperparameters are fitted on, and iterations of L-BFGS. More of the second stage pay where there
# are more coalitions: 8, 16, 30 iterations give squared Shapley errors of 3.8, 3.4, 3.3 e-5 at 512 coalitions and 7.2,
# 5.0, 3.9 e-6 at 1024 (geometric means over the games of benchmarks/budget.py). 512 rows cost more than they gain.
_FIRST_STAGE, _SECOND_STAGE = (128, 20), 256
_FEWEST_ITERATIONS, _MOST_ITERATIONS, _COALITIONS_PER_ITERATION = 8, 32, 32
_PLAYERS, _LEAST_ITERATIONS = 512, 3  # of more players an iteration takes longer, in proportion; there are fewer
_BOUND = 4.0  # prior standard deviations that a hyperparameter may move: farther, the likelihood is flat
_TOLERANCE = 1e-4  # relative gain of an iteration below which a stage ends
_ROUNDING = 1e-13  # of the largest |v|: a game that varies less is constant
_NUMBERS = (1 << 18, 1 << 27)  # of the matrices of games that are fitted at once: what caches hold, what GPUs hold
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
    return fit_processes(coalitions, values[None], seed, None if theta is None else theta[None])[0]


def fit_processes(
    coalitions: Tensor, values: Tensor, seed: int = 0, theta: Tensor | None = None
) -> list[CoalitionProcess]:
    """Fit games whose values are known on the same coalitions: as :func:`fit_process` does each, in less time.

    Args:
        coalitions (Tensor): bool, shape ``(m, n)``, each once.
        values (Tensor): v on them, float64, shape ``(B, m)``.
        seed (int, optional): Of the choice of coalitions that the hyperparameters are fitted on. Default: 0
        theta (Tensor, optional): Hyperparameters that are known, shape ``(B, 4n + 8)``. Default: None (fitted)
    """
    z = coalitions.to(torch.float64)
    ends = ~is_inner(coalitions)
    offset = values.mean(1)
    centred = values - offset[:, None]
    largest = centred.abs().amax(1)
    varies = largest > _ROUNDING * values.abs().amax(1)
    # In two steps: squares of values of size 1e-200 would vanish.
    size = torch.where(varies, largest, 1.0)
    scale = torch.where(varies, size * (centred / size[:, None]).square().mean(1).sqrt(), 1.0)
    y = centred / scale[:, None]
    if theta is None:
        theta = Prior.of(z.shape[1], z.device).mean.repeat(len(y), 1)
        if bool(varies.any()):
            theta[varies] = _hyperparameters(z, y[varies], ends, seed)
    return [_posterior(z, *game, ends) for game in zip(y, theta, offset, torch.where(varies, scale, 0.0), strict=True)]


def _posterior(z: Tensor, y: Tensor, theta: Tensor, offset: Tensor, scale: Tensor, ends: Tensor) -> CoalitionProcess:
    kernel = Kernel.of(theta, z.shape[1])
    factor = _factorised(kernel.matrix(z, z), torch.where(ends, 0.0, kernel.noise))
    alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
    return CoalitionProcess(theta, kernel, z, offset, scale, factor, alpha)


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
    """θ of largest posterior density for each row of y, on growing numbers of coalitions."""
    m, n = z.shape
    prior = Prior.of(n, z.device)
    u = torch.zeros(len(y), len(prior.mean), dtype=torch.float64, device=z.device)
    order = _in_pairs(ends.cpu().numpy(), seed)
    for rows, iterations in _stages(m, n):
        some = torch.from_numpy(np.sort(order[:rows])).to(z.device)
        together = max(_NUMBERS[z.is_cuda] // rows**2, 1)
        for games in torch.split(torch.arange(len(y), device=z.device), together):
            loss = _Loss(z[some], y[games][:, some], ends[some], prior)
            u[games] = minimised(loss, u[games], _BOUND, iterations, _TOLERANCE)
    return prior.mean + prior.width * u


def _stages(m: int, n: int) -> Sequence[tuple[int, int]]:
    """Numbers of coalitions and of iterations of each stage."""
    rows, iterations = _FIRST_STAGE
    if m <= rows:
        return [(m, iterations)]
    more = min(max(m // _COALITIONS_PER_ITERATION, _FEWEST_ITERATIONS), _MOST_ITERATIONS)
    return [_FIRST_STAGE, (min(m, _SECOND_STAGE), max(more * _PLAYERS // max(n, _PLAYERS), _LEAST_ITERATIONS))]


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

    def __call__(self, u: Tensor, games: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(b,)`` and gradients ``(b, d)`` at points ``(b, d)`` for these rows of y."""
        kernel = Kernel.of(self.prior.mean + self.prior.width * u, self.z.shape[1])
        products = list(kernel.products(self.z, self.z))
        matrix = kernel.linear_part(self.z, self.z)
        for product in products:
            matrix.add_(product)
        matrix.diagonal(dim1=1, dim2=2).add_(self.noisy * kernel.noise[:, None] + _JITTER)
        factor, info = torch.linalg.cholesky_ex(matrix)
        lost = info != 0
        if bool(lost.any()):
            factor = torch.where(lost[:, None, None], torch.eye(len(self.z), dtype=u.dtype, device=u.device), factor)
        inverse = torch.cholesky_inverse(factor)
        y = self.y[games][:, :, None]
        alpha = inverse @ y
        log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        value = 0.5 * (y * alpha).sum((1, 2)) + log_determinant + 0.5 * u.square().sum(1)
        weights = inverse.baddbmm_(alpha, alpha.mT, alpha=-1.0).mul_(0.5)
        noise_weight = weights.diagonal(dim1=1, dim2=2) @ self.noisy
        slope = kernel.gradient(self.z, products, weights, noise_weight) * self.prior.width + u
        return torch.where(lost, _LOST, value), torch.where(lost[:, None], 0.0, slope)
