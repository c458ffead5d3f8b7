r"""The Gaussian process of a game that is a mean over rows of a background, each pass having seen one of them.

One process stands for coalition and row:

.. math::
    v_b(S) = \mu(S) + \delta_b(S), \qquad
    \mathrm{Cov}[v_b(S),v_{b'}(T)] = k(S,T) + [b=b']\,k_\delta(S,T),

k as for other games, and what is a row's own depends on the players that are absent from both,

.. math::
    k_\delta(S,T) = \sum_{q=1}^{2}\tau_q\Bigl(\prod_{i\in S\cup T}e^{-a_{qi}} - \prod_i e^{-a_{qi}}\Bigr),

which vanishes at N, where no row is seen; the second of these has small :math:`a_{2i}`, so that it is linear in the
players that are absent from both. The mean over all B rows has with the pass (T, b) the covariance
:math:`\bar k(S,T) = k(S,T) + k_\delta(S,T)/B`, whatever b is, and the prior covariance :math:`\bar k`. This is a kernel
of the same form with two more products, so that everything that is linear in v is read off as for other games.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import log

import numpy as np
import torch
from torch import Tensor

from captum_andor.process.coalition_process import (
    BOUND,
    JITTER,
    LARGEST_GAMMA,
    LOST,
    TOLERANCE,
    CoalitionProcess,
    Kernel,
    Prior,
    factorised,
    minimised,
    standardised,
)
from captum_andor.process.fidelity import Fidelity, drawn_coalitions
from captum_andor.process.posterior import (
    FITTED_HYPERPARAMETERS,
    Estimated,
    Kind,
    banzhaf_of_process,
    completed_values,
    differences_of_process,
    functionals_of_process,
    shapley_means_of_process,
    shapley_of_process,
)
from captum_andor.sampling import is_inner

_SMALL = 1e-5  # exponents of the product that is linear
_STAGES = ((128, 16), (320, 16), (512, 12))  # passes that the hyperparameters are fitted on, and iterations
# Of the errors that the posterior thinks it makes, at the lower end, middle and upper end of an interval of R². With 1
# in all three what is left is too large by half, and a third of 120 intervals lie below the truth; they were chosen on
# the games of benchmarks/background.py, and what that prints of R² is no test of them.
_SCALES = (1.1, 0.8, 0.55)
JUDGED, _DRAWS = 512, 400  # coalitions that R² is judged on, and games drawn from the posterior


@dataclass(frozen=True)
class _RowKernel:
    """k_δ for given hyperparameters, a kernel for each leading axis.

    Attributes:
        exponents: a of the first product, shape ``(…, n)``.
        tau: Its prior variance, shape ``(…)``.
        linear: Prior variance of each absent player, shape ``(…, n)``.
    """

    exponents: Tensor
    tau: Tensor
    linear: Tensor

    @classmethod
    def of(cls, theta: Tensor, n_players: int) -> _RowKernel:
        """Of vectors θ: those of :class:`Prior`, then log c, log τ, log λ and log ω of each player."""
        n = n_players
        shared, own = theta[..., :n].exp(), theta[..., 4 * n + 8 :].exp()
        scale, tau, linear = own[..., 0], own[..., 1], own[..., 2]
        each = shared * own[..., 3:]
        return cls((each * scale[..., None]).clamp(max=LARGEST_GAMMA), tau, each * linear[..., None])

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """The first product between 0/1 coalitions ``(…, m, n)`` and ``(…, k, n)``, times τ: ``(…, m, k)``."""
        a = self.exponents
        exponent = ((1 - left) * a[..., None, :]) @ (1 - right).mT - a.sum(-1)[..., None, None]
        return self.tau[..., None, None] * exponent.exp()

    def matrix(self, left: Tensor, right: Tensor, product: Tensor) -> Tensor:
        """The covariance, from the product."""
        nothing = self.tau * (-self.exponents.sum(-1)).exp()
        return product - nothing[..., None, None] + ((1 - left) * self.linear[..., None, :]) @ (1 - right).mT

    def gradient(self, coalitions: Tensor, product: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of a function by its derivative by each entry, 0 between different rows.

        Returns:
            - **shared** (*Tensor*): By log γ, ``(…, n)``.
            - **own** (*Tensor*): By log c, log τ, log λ and log ω, ``(…, n + 3)``.
        """
        absent = 1 - coalitions
        nothing = self.tau * (-self.exponents.sum(-1)).exp()
        total, weighted = weights.sum((-1, -2)), product * weights
        # The product holds e^-a for every player that S or T has: all but those absent from both.
        both_absent = (absent * (weighted @ absent)).sum(-2)
        all_pairs = weighted.sum((-1, -2))
        by_exponent = self.exponents * (both_absent - all_pairs[..., None] + (nothing * total)[..., None])
        by_linear = self.linear * (absent * (weights @ absent)).sum(-2)
        by_tau = all_pairs - nothing * total
        by_player = by_exponent + by_linear
        own = torch.cat(
            [by_exponent.sum(-1)[..., None], by_tau[..., None], by_linear.sum(-1)[..., None], by_player], dim=-1
        )
        return by_player, own

    def beside(self, kernel: Kernel, n_rows: int) -> Kernel:
        """The kernel of the mean over the rows, one kernel without leading axes."""
        small = _SMALL * self.linear / self.linear.amax().clamp(min=1e-300)
        level = self.linear.amax() / _SMALL
        tau = torch.stack([self.tau, level]) / n_rows
        gamma = torch.stack([self.exponents, small])
        nothing = float((tau * (-gamma.sum(-1)).exp()).sum())
        return replace(
            kernel,
            gamma=torch.cat([kernel.gamma, gamma]),
            tau=torch.cat([kernel.tau, tau]),
            constant=kernel.constant - nothing,
        )


def _prior(n: int, device: torch.device) -> Prior:
    """Of the hyperparameters of k, then of those of k_δ."""
    shared = Prior.of(n, device)
    mean = torch.tensor([log(4.0), log(0.5), log(0.3), *[0.0] * n], dtype=torch.float64, device="cpu").to(device)
    width = torch.tensor([1.2, 1.5, 2.0, *[0.8] * n], dtype=torch.float64, device="cpu").to(device)
    return Prior(torch.cat([shared.mean, mean]), torch.cat([shared.width, width]))


class _Loss:
    """Negative logarithm of the posterior density of θ of games of values ``(B, m)``, with its gradient."""

    def __init__(self, coalitions: Tensor, rows: Tensor, values: Tensor, prior: Prior) -> None:
        self.z, self.y, self.prior = coalitions.double(), values, prior
        self.same = (rows[:, None] == rows).double()
        self.noisy = is_inner(coalitions).double()

    def __call__(self, u: Tensor, games: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(b,)`` and gradients ``(b, d)`` at points ``(b, d)`` for these games."""
        z, n = self.z, self.z.shape[1]
        theta = self.prior.mean + self.prior.width * u
        kernel, of_row = Kernel.of(theta[:, : 4 * n + 8], n), _RowKernel.of(theta, n)
        products = list(kernel.products(z, z))
        product = of_row.product(z, z)
        matrix = of_row.matrix(z, z, product).mul_(self.same).add_(kernel.linear_part(z, z))
        for each in products:
            matrix.add_(each)
        matrix.diagonal(dim1=1, dim2=2).add_(self.noisy * kernel.noise[:, None] + JITTER)
        factor, info = torch.linalg.cholesky_ex(matrix)
        lost = info != 0
        if bool(lost.any()):
            factor = torch.where(lost[:, None, None], torch.eye(len(z), dtype=u.dtype, device=u.device), factor)
        inverse = torch.cholesky_inverse(factor)
        y = self.y[games][:, :, None]
        alpha = inverse @ y
        log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        value = 0.5 * (y * alpha).sum((1, 2)) + log_determinant + 0.5 * u.square().sum(1)
        weights = inverse.baddbmm_(alpha, alpha.mT, alpha=-1.0).mul_(0.5)
        noise_weight = (weights.diagonal(dim1=1, dim2=2) * self.noisy).sum(1)
        shared, own = of_row.gradient(z, product, weights * self.same)
        slope = kernel.gradient(z, products, weights, noise_weight)
        slope[:, :n] += shared
        slope = torch.cat([slope, own], dim=1) * self.prior.width + u
        return torch.where(lost, LOST, value), torch.where(lost[:, None], 0.0, slope)


def fit_background(
    coalitions: Tensor, rows: Tensor, values: Tensor, n_rows: int, seed: int = 0, theta: Tensor | None = None
) -> list[CoalitionProcess]:
    """Fit games that are means over rows: the process of the mean of each.

    Args:
        coalitions (Tensor): bool, shape ``(m, n)``, the players present in each pass.
        rows (Tensor): Which row the others came from, int64, shape ``(m,)``.
        values (Tensor): What the model said, float64, shape ``(B, m)``.
        n_rows (int): How many rows the background has.
        seed (int, optional): Of the choice of rows whose passes the hyperparameters are fitted on. Default: 0
        theta (Tensor, optional): Hyperparameters that are known, shape ``(B, 5n + 11)``. Default: None (fitted)
    """
    n = coalitions.shape[1]
    y, offset, scale, varies = standardised(values)
    if theta is None:
        prior = _prior(n, values.device)
        theta = prior.mean.repeat(len(y), 1)
        if bool(varies.any()):
            theta[varies] = _hyperparameters(coalitions, rows, y[varies], seed, prior)
    return [_process(coalitions, rows, *each, n_rows) for each in zip(y, theta, offset, scale, strict=True)]


def _hyperparameters(coalitions: Tensor, rows: Tensor, y: Tensor, seed: int, prior: Prior) -> Tensor:
    """θ of largest posterior density for each game, on the passes of growing numbers of rows."""
    u = torch.zeros(len(y), len(prior.mean), dtype=torch.float64, device=y.device)
    order = _by_row(coalitions, rows, seed)
    for count, iterations in _STAGES:
        some = order[:count].sort().values
        loss = _Loss(coalitions[some], rows[some], y[:, some], prior)
        u = minimised(loss, u, BOUND, iterations, TOLERANCE)
        if count >= len(order):
            break
    return prior.mean + prior.width * u


def _by_row(coalitions: Tensor, rows: Tensor, seed: int) -> Tensor:
    """Positions of all passes: N first, then the passes of one row after another, rows in random order.

    Rows that were seen with no coalition but ∅ come last.
    """
    count = int(rows.max()) + 1
    place = torch.from_numpy(np.random.default_rng(seed).permutation(count)).to(rows.device)
    inner = torch.bincount(rows[is_inner(coalitions)], minlength=count)
    key = place[rows] + count * (inner[rows] == 0)
    key = torch.where(coalitions.all(1), -1, key)
    return key.argsort(stable=True)


def _process(
    coalitions: Tensor, rows: Tensor, y: Tensor, theta: Tensor, offset: Tensor, scale: Tensor, n_rows: int
) -> CoalitionProcess:
    z, n = coalitions.double(), coalitions.shape[1]
    kernel, of_row = Kernel.of(theta[: 4 * n + 8], n), _RowKernel.of(theta, n)
    covariance = kernel.matrix(z, z) + of_row.matrix(z, z, of_row.product(z, z)) * (rows[:, None] == rows)
    factor = factorised(covariance, is_inner(coalitions) * kernel.noise)
    alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
    return CoalitionProcess(theta, of_row.beside(kernel, n_rows), z, offset, scale, factor, alpha)


@dataclass(frozen=True)
class BackgroundPosterior:
    """The distribution of a game that is a mean over rows, from passes that saw one row each.

    Attributes:
        process: Of the mean, given the values below.
        coalitions: bool, shape ``(m, n)``, the players present in each pass; N and, for every row, ∅ are among them.
        rows: Which row the others came from, int64, shape ``(m,)``.
        values: What the model said, shape ``(m,)``.
        n_rows: How many rows the background has.
    """

    process: CoalitionProcess
    coalitions: Tensor
    rows: Tensor
    values: Tensor
    n_rows: int

    @classmethod
    def of_games(
        cls,
        coalitions: Tensor,
        rows: Tensor,
        values: Tensor,
        n_rows: int,
        seed: int = 0,
        theta: Tensor | None = None,
    ) -> list[BackgroundPosterior]:
        """Of games of values ``(B, m)``; see :func:`fit_background`."""
        fitted = fit_background(coalitions, rows, values, n_rows, seed, theta)
        return [cls(process, coalitions, rows, v, n_rows) for process, v in zip(fitted, values, strict=True)]

    @classmethod
    def unfitted(cls, coalitions: Tensor, rows: Tensor, values: Tensor, n_rows: int) -> BackgroundPosterior:
        """Of one game of values ``(m,)``, under the hyperparameters of the prior."""
        theta = _prior(coalitions.shape[1], values.device).mean[None]
        return cls.of_games(coalitions, rows, values[None], n_rows, theta=theta)[0]

    @cached_property
    def unit(self) -> BackgroundPosterior:
        """The same game less its mean and of largest size 1, whose squares neither vanish nor overflow."""
        offset, size = self.process.offset, self.size
        process = replace(self.process, offset=torch.zeros_like(offset), scale=self.process.scale / size)
        return replace(self, process=process, values=(self.values - offset) / size)

    @property
    def size(self) -> Tensor:
        """Largest deviation of the values from their mean; 1 of a constant game."""
        size = (self.values - self.process.offset).abs().amax()
        return torch.where(size > 0, size, 1.0)

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "process"

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return self.coalitions.shape[1]

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor]:
        """v(∅), the mean over all rows, and v(N), shape ``()`` each; known exactly."""
        return self.values[~self.coalitions.any(1)].mean(), self.values[self.coalitions.all(1)].mean()

    @cached_property
    def widening(self) -> float:
        """What standard deviations are multiplied by: more where passes surprise the process more than it expects."""
        error, deviation = self.process.left_out()
        told = (deviation > 0) & is_inner(self.coalitions)
        squares = (error[told] / deviation[told]).square()
        surprise = float(squares.mean()) if len(squares) else 1.0
        return math.sqrt(max(surprise, 1.0)) * FITTED_HYPERPARAMETERS

    def _known(self, coalitions: Tensor, mean: Tensor) -> Tensor:
        empty, whole = self.ends
        mean = torch.where(coalitions.any(1), mean, empty)
        return torch.where(coalitions.all(1), whole, mean)

    def predict(self, coalitions: Tensor) -> Estimated:
        """Posterior mean and standard deviation; ∅ and N have their values."""
        parts = [self.process.predict_with_std(some.double()) for some in torch.split(coalitions, 4096)]
        mean, std = (torch.cat(part) for part in zip(*parts, strict=True))
        return self._known(coalitions, mean), torch.where(is_inner(coalitions), std * self.widening, 0.0)

    def predict_means(self, coalitions: Tensor) -> Tensor:
        """Posterior mean."""
        parts = [self.process.predict(some.double()) for some in torch.split(coalitions, 4096)]
        return self._known(coalitions, torch.cat(parts))

    def shapley_values(self) -> Estimated:
        """By quadrature; the means add up to v(N) − v(∅) exactly."""
        mean, std = shapley_of_process(self.process)
        return self.efficient(mean), self.player_errors(std)

    def shapley_means(self) -> Tensor:
        """By quadrature."""
        return self.efficient(shapley_means_of_process(self.process))

    def player_errors(self, std: Tensor) -> Tensor:
        """Standard errors of values of players, from their posterior standard deviations."""
        return std * self.widening

    def efficient(self, mean: Tensor) -> Tensor:
        """Values of players moved equally, so that they add up to v(N) − v(∅)."""
        empty, whole = self.ends
        return mean + (whole - empty - mean.sum()) / self.n_players

    def banzhaf_values(self) -> Estimated:
        """In closed form."""
        mean, std = banzhaf_of_process(self.process)
        return mean, std * self.widening

    def differences(self, having: Tensor, lacking: Tensor) -> Estimated:
        """In closed form."""
        mean, std = differences_of_process(self.process, having, lacking)
        return mean, std * self.widening

    def all_values(self) -> Tensor:
        """The completed game."""
        mean = completed_values(self.process)
        mean[0], mean[-1] = self.ends
        return mean

    def functionals(self, weights: Tensor) -> Estimated:
        """By the kernel of all coalitions."""
        mean, std = functionals_of_process(self.process, weights)
        return mean, std * self.widening

    def fidelity(self, shares: tuple[float, ...], predict: Callable[[Tensor], Tensor] | None = None) -> Fidelity:
        """R² over all coalitions with a 95 % interval, of the posterior mean or of a model of it.

        The game is drawn from its posterior at a random sample of coalitions; what is predicted there is compared with
        each draw.

        Args:
            shares: Weight in R² of all coalitions of each size.
            predict: What a model, of the game in its unit, says of bool coalitions ``(k, n)``.
        """
        if not bool(self.process.scale > 0):
            return Fidelity(1.0, 1.0, 1.0)
        rows, _ = drawn_coalitions(self.coalitions, shares, JUDGED)
        mean, draws = self.unit.drawn(rows)
        predicted = mean if predict is None else predict(rows)
        r2 = []
        for scale in _SCALES:
            games = mean + scale * (draws - mean)
            spread = games.var(1, unbiased=False)
            if not bool((spread > 0).all()):
                return Fidelity(float("nan"), float("nan"), float("nan"))
            r2.append(1 - (games - predicted).square().mean(1) / spread)
        low, middle, high = float(r2[0].quantile(0.025)), float(r2[1].mean()), float(r2[2].quantile(0.975))
        return Fidelity(middle, min(low, middle), max(high, middle))

    def drawn(self, coalitions: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean on coalitions ``(k, n)``, and games drawn from the posterior, ``(draws, k)``."""
        z, process = coalitions.double(), self.process
        cross = process.kernel.matrix(z, process.coalitions)
        half = torch.linalg.solve_triangular(process.factor, cross.T, upper=False)
        covariance = process.kernel.matrix(z, z) - half.T @ half
        mean = self._known(coalitions, cross @ process.alpha * process.scale + process.offset)
        values, vectors = torch.linalg.eigh(covariance)
        noise = torch.randn(
            _DRAWS, len(z), dtype=torch.float64, generator=torch.Generator().manual_seed(0), device="cpu"
        )
        moved = (noise.to(z.device) * values.clamp(min=0.0).sqrt()) @ vectors.T
        moved = torch.where(is_inner(coalitions), moved, 0.0)
        return mean, mean + moved * process.scale * self.widening
