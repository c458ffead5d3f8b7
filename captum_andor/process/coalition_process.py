r"""The Gaussian process of one game: hyperparameters by marginal likelihood, and the posterior of v given some values.

The vector of hyperparameters is whitened by its prior, so that L-BFGS starts at the prior mean with unit steps. Most of
the iterations see few coalitions, since their cost grows with the cube of the number; the last one factorises all.

The covariance of v between two coalitions holds every AND, every OR and every parity at once:

.. math::
    k(S,T) = \tau_1\prod_{i:\,[i\in S]\neq[i\in T]}e^{-\gamma_{1i}}
           + \tau_2\prod_{i\notin S\cap T}e^{-\gamma_{2i}}
           + \tau_3\prod_{i\in S\cup T}e^{-\gamma_{3i}}
           + \sum_i\lambda_i s_it_i + c, \qquad s_i=\pm1.

The second product is :math:`\sum_A\rho_A[A\subseteq S][A\subseteq T]` over all AND patterns, with prior variances
:math:`\rho_A\propto\prod_{i\in A}(e^{\gamma_{2i}}-1)`; the third is the same for NOR patterns and hence for OR; the
first holds all Walsh functions (parities). The relevance of player i is shared between the components up to a factor of
its own: :math:`\gamma_{qi}=\gamma_ic_q\omega_{qi}` and :math:`\lambda_i=\lambda\gamma_i`. Every product over players is
one matrix product and one exponential.

The likelihoods of many games are maximised at once, by limited-memory BFGS within a box with one evaluation of all of
them per step. Each has a step length, a history and an end of its own, so its path does not depend on the others; those
that are done leave the batch. SciPy's L-BFGS-B does the same for one function.

Source: Rasmussen and Williams 2006, chapters 2 and 5 (posterior, marginal likelihood, leave-one-out); Nocedal and
Wright 2006, chapter 7; Byrd, Nocedal and Schnabel 1994, theorem 2.2 (compact form).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import log
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor.sampling import in_pairs, is_inner

COMPONENTS = 3  # parities, AND, NOR
LARGEST_GAMMA = 100.0  # e^-100 is nothing, and products of few such factors are still no 0 to divide by
_CONSTANT = 100.0  # prior variance of the mean in units of the variance of v: as good as unknown
JITTER = 1e-9  # of the variance of v, added to every diagonal; grows tenfold until the factorisation succeeds
_LARGEST_JITTER = 1e-1
# Coalitions that the hyperparameters are fitted on, and iterations of L-BFGS. More of the second stage pay where there
# are more coalitions: 8, 16, 30 iterations give squared Shapley errors of 3.8, 3.4, 3.3 e-5 at 512 coalitions and 7.2,
# 5.0, 3.9 e-6 at 1024 (geometric means over the games of benchmarks/budget.py). 512 rows cost more than they gain.
_FIRST_STAGE, _SECOND_STAGE = (128, 20), 256
_ROUGH = (128, 20)  # of parts that only tell how sure the whole is
_FEWEST_ITERATIONS, _MOST_ITERATIONS, _COALITIONS_PER_ITERATION = 8, 32, 32
_PLAYERS, _LEAST_ITERATIONS = 512, 3  # of more players an iteration takes longer, in proportion; there are fewer
_KNOWN_NOISE = 0.25  # prior width of the logarithm of a variance that 32 repetitions told
BOUND = 4.0  # prior standard deviations that a hyperparameter may move: farther, the likelihood is flat
TOLERANCE = 1e-4  # relative gain of an iteration below which a stage ends
_ROUNDING = 1e-13  # of the largest |v|: a game that varies less is constant
_NUMBERS = (1 << 18, 1 << 27)  # of the matrices of games that are fitted at once: what caches hold, what GPUs hold
LOST = 1e10  # loss where a matrix is not positive definite: the line search turns back
_MEMORY = 20  # steps, and the changes of the gradient that they made, that are kept
_ARMIJO = 1e-4  # share of the gain that the gradient promises with which a step is accepted
_SHORTEST, _LONGEST = 0.1, 0.5  # a step that is refused is shortened to between these shares of it
_EVALUATIONS = 2  # per iteration, 10 more in all: above that, values and gradients contradict each other
_CURVATURE = 1e-10  # least cosine of a step and its change: less would make the inverse Hessian indefinite
Objective: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Prior:
    """Normal priors of the logarithms of the hyperparameters, in the order of the vector θ that holds them all.

    θ holds log γ (n), log c (3), log τ (3), log λ, log noise, log ω (3n). The widths are wide, a factor of 3 to 20 to
    either side, but for ω: it lets a player matter more to one component than to another by a factor of two.

    Attributes:
        mean: Shape ``(4n + 8,)``, or ``(B, 4n + 8)`` of games of their own.
        width: Standard deviations, same shape.
    """

    mean: Tensor
    width: Tensor

    @classmethod
    def of(cls, n_players: int, device: torch.device | str = "cpu") -> Prior:
        """The prior for n players; an average pattern has a few players whatever n is, so γ falls as 1/n."""
        n = n_players
        parts = [
            (n, [log(1 / n)], 1.5),
            (COMPONENTS, [log(2.0), log(4.0), log(4.0)], 1.2),
            (COMPONENTS, [log(0.3)], 1.5),
            (1, [log(0.3 * n)], 2.0),
            (1, [log(1e-3)], 3.0),
            (COMPONENTS * n, [0.0], 0.8),
        ]
        mean = torch.cat([torch.tensor(m, dtype=torch.float64, device="cpu").expand(k) for k, m, _ in parts])
        width = torch.cat([torch.full((k,), w, dtype=torch.float64, device="cpu") for k, _, w in parts])
        return cls(mean.to(device), width.to(device))

    def with_noise(self, variance: Tensor) -> Prior:
        """Priors of games whose noise is known, shape ``(B,)`` in units of the variance of v: ``(B, 4n + 8)``."""
        place = (len(self.mean) - 8) // 4 + 2 * COMPONENTS + 1
        mean, width = (part.repeat(len(variance), 1) for part in (self.mean, self.width))
        is_noisy = variance > 0
        mean[is_noisy, place] = variance[is_noisy].log()
        width[is_noisy, place] = _KNOWN_NOISE
        return Prior(mean, width)


@dataclass(frozen=True)
class Kernel:
    """The covariance for given hyperparameters; any number of leading axes, one kernel for each.

    Attributes:
        gamma: Shape ``(…, q, n)``: of parities, of AND, of NOR; more components are of NOR, too.
        tau: Prior variance of each component, shape ``(…, q)``.
        linear: λ_i, shape ``(…, n)``.
        noise: Variance of what no product kernel explains, e.g. of a random model; shape ``(…)``.
        constant: Prior variance of the mean.
    """

    gamma: Tensor
    tau: Tensor
    linear: Tensor
    noise: Tensor
    constant: float = _CONSTANT

    @classmethod
    def of(cls, theta: Tensor, n_players: int) -> Kernel:
        """The kernels of vectors θ of logarithms, shape ``(…, 4n + 8)``; see :class:`Prior`."""
        n, q = n_players, COMPONENTS
        shared, scale, tau, linear, noise, own = torch.split(theta.exp(), [n, q, q, 1, 1, q * n], dim=-1)
        each = own.view(*own.shape[:-1], q, n)
        gamma = (shared[..., None, :] * scale[..., None] * each).clamp(max=LARGEST_GAMMA)
        return cls(gamma, tau, linear * shared, noise[..., 0])

    def products(self, left: Tensor, right: Tensor) -> Iterator[Tensor]:
        """Each product times τ between 0/1 coalitions ``(…, m, n)`` and ``(…, k, n)``: ``(…, m, k)`` each."""
        for component in range(self.gamma.shape[-2]):
            gamma = self.gamma[..., component, :]
            level = self.tau[..., component, None].log()
            exponent = (left * gamma[..., None, :]) @ right.mT
            if component == 1:
                exponent.add_((level - gamma.sum(-1, keepdim=True))[..., None])
            else:
                if component == 0:
                    exponent.mul_(2)
                lost, other = ((side @ gamma[..., None])[..., 0] for side in (left, right))
                exponent.add_((level - lost)[..., None]).sub_(other[..., None, :])
            yield exponent.exp_()

    def linear_part(self, left: Tensor, right: Tensor) -> Tensor:
        """The covariance of single players and of the constant: ``(…, m, k)``."""
        return ((2 * left - 1) * self.linear[..., None, :]) @ (2 * right - 1).mT + self.constant

    def matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """Covariances between 0/1 coalitions, float64: ``(m, n)`` and ``(k, n)`` to ``(…, m, k)``."""
        total = self.linear_part(left, right)
        for product in self.products(left, right):
            total.add_(product)
        return total

    def diagonal(self, coalitions: Tensor) -> Tensor:
        """Prior variance of v on 0/1 coalitions ``(m, n)``: shape ``(m,)``."""
        alone = self.tau[0] + self.linear.sum() + self.constant
        absent = 1 - coalitions
        return (
            alone
            + self.tau[1] * (-(absent @ self.gamma[1])).exp()
            + (-(coalitions @ self.gamma[2:].T)).exp() @ self.tau[2:]
        )

    def factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Each product's factor of one player, where both, one and neither of S and T hold it: ``(q, n)`` each."""
        small, one = (-self.gamma).exp(), torch.ones_like(self.gamma)
        both = torch.cat([one[:2], small[2:]])
        neither = torch.cat([one[:1], small[1:2], one[2:]])
        return both, small, neither

    def gradient(self, coalitions: Tensor, products: list[Tensor], weights: Tensor, noise_weight: Tensor) -> Tensor:
        """Gradient with respect to θ of a function of the kernel matrix of some coalitions.

        Args:
            coalitions: 0/1, float64, shape ``(m, n)`` or ``(…, m, n)``.
            products: As :meth:`products` gives them for these; overwritten.
            weights: The derivative by each entry of the matrix, symmetric, shape ``(…, m, m)``.
            noise_weight: The derivative by the noise, shape ``(…)``.

        Returns:
            - **gradient** (*Tensor*): In the order of θ, shape ``(…, 4n + 8)``.
        """
        z, n = coalitions, coalitions.shape[-1]
        with_one = torch.cat([z, torch.ones_like(z[..., :1])], dim=-1)
        by_gamma, by_tau = [], []
        for component, product in enumerate(products):
            sums = product.mul_(weights) @ with_one
            rows = sums[..., n]
            both = (z * sums[..., :n]).sum(-2)
            one_side = (rows[..., None, :] @ z)[..., 0, :]
            total = rows.sum(-1)
            by_tau.append(total)
            if component == 0:
                slope = 2 * both - 2 * one_side
            elif component == 1:
                slope = both - total[..., None]
            else:
                slope = both - 2 * one_side
            by_gamma.append(slope * self.gamma[..., component, :])
        own = torch.stack(by_gamma, dim=-2)
        signs = 2 * z - 1
        by_linear = (signs * (weights @ signs)).sum(-2) * self.linear
        return torch.cat(
            [
                own.sum(-2) + by_linear,
                own.sum(-1),
                torch.stack(by_tau, dim=-1),
                by_linear.sum(-1, keepdim=True),
                (noise_weight * self.noise)[..., None],
                own.flatten(-2),
            ],
            dim=-1,
        )


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

    @cached_property
    def precision(self) -> Tensor:
        """Inverse of the covariance of the values given: shape ``(m, m)``."""
        return torch.cholesky_inverse(self.factor)

    def left_out(self) -> tuple[Tensor, Tensor]:
        """Error of predicting each value from all others, and its standard deviation: shape ``(m,)``, in units of v."""
        precision = self.precision.diagonal()
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
    coalitions: Tensor,
    values: Tensor,
    seed: int = 0,
    theta: Tensor | None = None,
    noise: Tensor | None = None,
    is_rough: bool = False,
) -> list[CoalitionProcess]:
    """Fit games whose values are known on as many coalitions: as :func:`fit_process` does each, in less time.

    Args:
        coalitions (Tensor): bool, shape ``(m, n)``, each once; or those of each game, ``(B, m, n)``.
        values (Tensor): v on them, float64, shape ``(B, m)``.
        seed (int, optional): Of the choice of coalitions that the hyperparameters are fitted on. Default: 0
        theta (Tensor, optional): Hyperparameters that are known, shape ``(B, 4n + 8)``. Default: None (fitted)
        noise (Tensor, optional): Standard deviations of random games that are known within a quarter, in the unit of
            the values, shape ``(B,)``. Default: None
        is_rough (bool, optional): Fit the hyperparameters to few coalitions alone. Default: False
    """
    z = coalitions.to(torch.float64)
    ends = ~is_inner(coalitions)
    y, offset, scale, varies = standardised(values)
    if theta is None:
        theta = Prior.of(z.shape[-1], z.device).mean.repeat(len(y), 1)
        if bool(varies.any()):
            z_varies, ends_varies = (part[varies] if z.ndim > 2 else part for part in (z, ends))
            prior = Prior.of(z.shape[-1], z.device)
            if noise is not None:
                prior = prior.with_noise((noise[varies] / scale[varies]).square())
            theta[varies] = _hyperparameters(z_varies, y[varies], ends_varies, seed, prior, is_rough)
    each = zip(z.expand(len(y), -1, -1), ends.expand(len(y), -1), strict=True)
    games = zip(y, theta, offset, scale, strict=True)
    return [_posterior(rows, *game, end) for (rows, end), game in zip(each, games, strict=True)]


def standardised(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Games ``(B, m)`` at mean 0 and variance 1, their means and standard deviations ``(B,)``, and whether they vary.

    A constant game has the standard deviation 0.
    """
    offset = values.mean(1)
    centred = values - offset[:, None]
    largest = centred.abs().amax(1)
    varies = largest > _ROUNDING * values.abs().amax(1)
    # In two steps: squares of values of size 1e-200 would vanish.
    size = torch.where(varies, largest, 1.0)
    scale = torch.where(varies, size * (centred / size[:, None]).square().mean(1).sqrt(), 1.0)
    return centred / scale[:, None], offset, torch.where(varies, scale, 0.0), varies


def _posterior(z: Tensor, y: Tensor, theta: Tensor, offset: Tensor, scale: Tensor, ends: Tensor) -> CoalitionProcess:
    kernel = Kernel.of(theta, z.shape[1])
    factor = factorised(kernel.matrix(z, z), torch.where(ends, 0.0, kernel.noise))
    alpha = torch.cholesky_solve(y[:, None], factor)[:, 0]
    return CoalitionProcess(theta, kernel, z, offset, scale, factor, alpha)


def factorised(matrix: Tensor, noise: Tensor) -> Tensor:
    """Cholesky factor of a covariance with noise, with as much jitter as it takes."""
    jitter = JITTER
    while jitter <= _LARGEST_JITTER:
        factor, info = torch.linalg.cholesky_ex(matrix + torch.diag(noise + jitter))
        if not int(info) and bool(factor.isfinite().all()):
            found: Tensor = factor
            return found
        jitter *= 10
    raise ValueError("v cannot be modelled: its covariance is not positive definite. Please report the game.")


def _hyperparameters(z: Tensor, y: Tensor, ends: Tensor, seed: int, prior: Prior, is_rough: bool = False) -> Tensor:
    """θ of largest posterior density for each row of y, on growing numbers of coalitions.

    Coalitions are those of all games, ``(m, n)``, or of each, ``(B, m, n)``; ``ends`` of these.
    """
    m, n = z.shape[-2:]
    u = torch.zeros(len(y), prior.mean.shape[-1], dtype=torch.float64, device=z.device)
    order = [_shuffled_pairs(part > 0, seed) for part in z.reshape(-1, m, n)]
    for rows, iterations in [(min(m, _ROUGH[0]), _ROUGH[1])] if is_rough else _stages(m, n):
        some = torch.from_numpy(np.stack([np.sort(part[:rows]) for part in order])).to(z.device)
        mine = some.expand(len(y), -1)
        if z.ndim > 2:
            z_some, ends_some = z.gather(1, some[..., None].expand(-1, -1, n)), ends.gather(1, some)
        else:
            z_some, ends_some = z[some[0]], ends[some[0]]
        together = max(_NUMBERS[z.is_cuda] // rows**2, 1)
        for games in torch.split(torch.arange(len(y), device=z.device), together):
            z_mine, ends_mine = (part[games] if z.ndim > 2 else part for part in (z_some, ends_some))
            own = prior if prior.mean.ndim == 1 else Prior(prior.mean[games], prior.width[games])
            loss = _Loss(z_mine, y[games].gather(1, mine[games]), ends_mine, own)
            u[games] = minimised(loss, u[games], BOUND, iterations, TOLERANCE)
    return prior.mean + prior.width * u


def _stages(m: int, n: int) -> Sequence[tuple[int, int]]:
    """Numbers of coalitions and of iterations of each stage."""
    rows, iterations = _FIRST_STAGE
    if m <= rows:
        return [(m, iterations)]
    more = min(max(m // _COALITIONS_PER_ITERATION, _FEWEST_ITERATIONS), _MOST_ITERATIONS)
    return [_FIRST_STAGE, (min(m, _SECOND_STAGE), max(more * _PLAYERS // max(n, _PLAYERS), _LEAST_ITERATIONS))]


def _shuffled_pairs(coalitions: Tensor, seed: int) -> npt.NDArray[np.int64]:
    """Positions with ∅ and N first, then the others in random order, each beside its complement."""
    pairs = in_pairs(coalitions)
    order = np.random.default_rng(seed).permutation(len(pairs))
    return torch.cat([(~is_inner(coalitions)).nonzero()[:, 0], *(pairs[i] for i in order)]).cpu().numpy()


class _Loss:
    """Negative logarithm of the posterior density of θ, as a function of the whitened u, with its gradient."""

    def __init__(self, z: Tensor, y: Tensor, ends: Tensor, prior: Prior) -> None:
        self.z, self.y, self.prior = z, y, prior
        self.noisy = (~ends).to(torch.float64)

    def __call__(self, u: Tensor, games: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(b,)`` and gradients ``(b, d)`` at points ``(b, d)`` for these rows of y."""
        z, noisy = (part if self.z.ndim == 2 else part[games] for part in (self.z, self.noisy))
        mean, width = self.prior.mean, self.prior.width
        if mean.ndim > 1:
            mean, width = mean[games], width[games]
        kernel = Kernel.of(mean + width * u, z.shape[-1])
        products = list(kernel.products(z, z))
        matrix = kernel.linear_part(z, z)
        for product in products:
            matrix.add_(product)
        matrix.diagonal(dim1=1, dim2=2).add_(noisy * kernel.noise[:, None] + JITTER)
        factor, info = torch.linalg.cholesky_ex(matrix)
        lost = info != 0
        if bool(lost.any()):
            factor = torch.where(lost[:, None, None], torch.eye(z.shape[-2], dtype=u.dtype, device=u.device), factor)
        inverse = torch.cholesky_inverse(factor)
        y = self.y[games][:, :, None]
        alpha = inverse @ y
        log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        value = 0.5 * (y * alpha).sum((1, 2)) + log_determinant + 0.5 * u.square().sum(1)
        weights = inverse.baddbmm_(alpha, alpha.mT, alpha=-1.0).mul_(0.5)
        noise_weight = (weights.diagonal(dim1=1, dim2=2) * noisy).sum(1)
        slope = kernel.gradient(z, products, weights, noise_weight) * width + u
        return torch.where(lost, LOST, value), torch.where(lost[:, None], 0.0, slope)


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
