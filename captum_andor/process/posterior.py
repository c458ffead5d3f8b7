r"""What a budget tells of one game: exact values, a few patterns that explain all of them, or a Gaussian process.

All three answer the same questions with a mean and a standard deviation. The patterns stand where a search finds few
that explain every coalition given, those included that it did not see, and the coalitions tell each from every other;
else the process, unless all 2^n values are known.

Shapley and Banzhaf values, and any index linear in v, are normal under the posterior of the process. For Shapley values
the prior covariance with v(T) is Owen's integral of a product over players,

.. math::
    \int_0^1[k_i(1,t_i)-k_i(0,t_i)]\prod_{j\neq i}[x\,k_j(1,t_j)+(1-x)\,k_j(0,t_j)]\,dx,

whose integrand is a polynomial of degree n − 1 in x: Gauss-Legendre quadrature is exact with ⌈n/2⌉ nodes. The Banzhaf
value is the integrand at x = ½. The mean of v over coalitions that hold player j with probability p_j, each for itself,
has as covariance with v(T) the product of p_j k_j(1, t_j) + (1 − p_j) k_j(0, t_j).

Source: Owen 1972 (multilinear extension).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.statistics import root_mean_square
from captum_andor._utils.storage import storable
from captum_andor.games import indices
from captum_andor.games.transforms import all_coalitions, coalition_codes, count_players, shapley_values
from captum_andor.process.coalition_process import CoalitionProcess, fit_process, fit_processes
from captum_andor.results import PatternTable
from captum_andor.sampling import Regime, in_pairs, is_inner

Kind: TypeAlias = Literal["complete", "patterns", "process"]
Estimated: TypeAlias = tuple[Tensor, Tensor]
# The posterior takes its hyperparameters for known, but they are fitted. Without the factor 95 % intervals of Shapley
# values cover .85 to .98 of them, by family of games (`python -m benchmarks.budget shapley`), with it .89 to .99.
FITTED_HYPERPARAMETERS = 1.15
_FEWEST_PAIRS = 4  # of coalitions, parts of which tell anything
_NODES_OF_HALVES = 12  # of the quadrature, for a ratio of two errors
_FOLDS = 4
_PROMISING = 1.2  # times the error of the process, both left out
_END = 3.84  # standardised square of an end's error that one game in twenty exceeds
_NORMAL = 1.96  # standard errors that a 95 % interval reaches to either side
# Without it 95 % intervals of Shapley values hold .53 of those of decisions [w·x > c] at 64 of 1 024 coalitions
# (`python -m benchmarks.intervals`).
_UNPREDICTED = 1.8
_ROUNDING = 1e-14  # of the variance of v: smaller differences of variances are rounding
Nodes = npt.NDArray[np.float64]
_MOST_NODES = 48  # the integrand is smooth: 48 nodes give 1e-12 of 250, which n = 500 would ask for


class Posterior(Protocol):
    """The distribution of a game of n players given its values on some coalitions."""

    @property
    def kind(self) -> Kind:
        """How the game is known."""

    def predict(self, coalitions: Tensor) -> Estimated:
        """Mean and standard deviation of v on bool coalitions ``(k, n)``: shape ``(k,)`` each."""

    def predict_means(self, coalitions: Tensor) -> Tensor:
        """The means alone, in less time: shape ``(k,)``."""

    def shapley_values(self) -> Estimated:
        """Mean and standard deviation of the Shapley values: shape ``(n,)`` each."""

    def shapley_means(self) -> Tensor:
        """The means alone, in less time: shape ``(n,)``."""

    def banzhaf_values(self) -> Estimated:
        """Mean and standard deviation of the Banzhaf values: shape ``(n,)`` each."""

    def differences(self, having: Tensor, lacking: Tensor) -> Estimated:
        """Mean and standard deviation of E v(S) − E v(S′), S and S′ drawn independently player by player.

        Args:
            having (Tensor): Probability of each player to be in S, float64, shape ``(k, n)``.
            lacking (Tensor): In S′, same shape.

        Returns:
            - **mean, deviation** (*tuple of Tensors*): Shape ``(k,)`` each.
        """

    def all_values(self) -> Tensor:
        """Mean of v on all 2^n coalitions, known values as they are: shape ``(2^n,)``; for few players."""

    def functionals(self, weights: Tensor) -> Estimated:
        """Mean and standard deviation of Σ_S a(S) v(S) for weights ``(k, 2^n)``: shape ``(k,)`` each."""


@dataclass(frozen=True)
class CompleteGame:
    """A game all of whose values are known, in the order of the bit codes: shape ``(2^n,)``."""

    values: Tensor

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "complete"

    def predict(self, coalitions: Tensor) -> Estimated:
        """The values themselves."""
        return _exact(self.predict_means(coalitions))

    def predict_means(self, coalitions: Tensor) -> Tensor:
        """The values themselves."""
        return self.values[coalition_codes(coalitions)]

    def shapley_values(self) -> Estimated:
        """Exact Shapley values."""
        return _exact(self.shapley_means())

    def shapley_means(self) -> Tensor:
        """Exact Shapley values."""
        return shapley_values(self.values)

    def banzhaf_values(self) -> Estimated:
        """Exact Banzhaf values."""
        return _exact(indices.banzhaf_values(self.values))

    def differences(self, having: Tensor, lacking: Tensor) -> Estimated:
        """Exact sums."""
        return _exact(
            torch.stack([self._expected(p) - self._expected(q) for p, q in zip(having, lacking, strict=True)])
        )

    def _expected(self, probabilities: Tensor) -> Tensor:
        mean = self.values
        for p in probabilities:  # the last axis is the first player
            pairs = mean.view(-1, 2)
            mean = pairs[:, 0] * (1 - p) + pairs[:, 1] * p
        return mean[0]

    def all_values(self) -> Tensor:
        """The values."""
        return self.values

    def functionals(self, weights: Tensor) -> Estimated:
        """Exact sums."""
        return _exact(weights @ self.values)

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return count_players(self.values)


@storable
@dataclass(frozen=True)
class SparseGame:
    """A game that few patterns explain exactly: on every coalition given, which tell these patterns from all others.

    Attributes:
        constant: v(∅), shape ``()``.
        table: The patterns, of one output.
    """

    constant: Tensor
    table: PatternTable

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "patterns"

    def predict(self, coalitions: Tensor) -> Estimated:
        """Sums of the patterns."""
        return _exact(self.predict_means(coalitions))

    def predict_means(self, coalitions: Tensor) -> Tensor:
        """Sums of the patterns."""
        return self.table.predict(coalitions, 1)[0] + self.constant

    def shapley_values(self) -> Estimated:
        """Each pattern shared equally among its players."""
        return _exact(self.shapley_means())

    def shapley_means(self) -> Tensor:
        """Each pattern shared equally among its players."""
        return self.table.shapley_values(1)[0]

    def banzhaf_values(self) -> Estimated:
        """Each pattern of k players gives 2^(1 - k) of its weight to every one of them."""
        share = self.table.value * 2.0 ** (1 - self.table.members.sum(1).double())
        return _exact(share @ self.table.members.double())

    def differences(self, having: Tensor, lacking: Tensor) -> Estimated:
        """Probabilities that each pattern holds, times its weight."""
        return _exact(
            torch.stack([self._expected(p) - self._expected(q) for p, q in zip(having, lacking, strict=True)])
        )

    def _expected(self, probabilities: Tensor) -> Tensor:
        members, is_or = self.table.members, self.table.is_or
        all_of_them = torch.where(members, torch.where(is_or[:, None], 1 - probabilities, probabilities), 1.0).prod(1)
        return self.table.value @ torch.where(is_or, 1 - all_of_them, all_of_them)

    def all_values(self) -> Tensor:
        """Sums of the patterns on all coalitions."""
        n = self.table.members.shape[1]
        return self.predict(all_coalitions(n, self.constant.device))[0]

    def functionals(self, weights: Tensor) -> Estimated:
        """Sums over all coalitions."""
        return _exact(weights @ self.all_values())


@dataclass(frozen=True)
class ProcessPosterior:
    """The Gaussian process of a game.

    Attributes:
        process: Given the values below.
        coalitions: bool, shape ``(m, n)``.
        values: v on them, shape ``(m,)``.
        seed: Of the folds.
        searched: Root mean square of the error of a search for few patterns on coalitions that it did not see; infinite
            where none was done.
        unidentified: Patterns, each with whether it is an OR, of a sum that explains every value given, but which these
            coalitions do not tell from other patterns.
        known_noise: Standard deviation of v where the game is random and was asked again, shape ``()``.
    """

    process: CoalitionProcess
    coalitions: Tensor
    values: Tensor
    seed: int = 0
    searched: float = math.inf
    unidentified: tuple[tuple[bool, tuple[int, ...]], ...] = ()
    known_noise: Tensor | None = None

    @classmethod
    def of(cls, coalitions: Tensor, values: Tensor, seed: int = 0, theta: Tensor | None = None) -> ProcessPosterior:
        """Fit the process of a game to its values on bool coalitions ``(m, n)``, each once."""
        return cls(fit_process(coalitions, values, seed, theta), coalitions, values, seed)

    @classmethod
    def of_games(
        cls, coalitions: Tensor, values: Tensor, seed: int = 0, noise: Tensor | None = None
    ) -> list[ProcessPosterior]:
        """The same for games of values ``(B, m)``, in less time than one by one; with noise ``(B,)`` that is known."""
        fitted = fit_processes(coalitions, values, seed, noise=noise)
        each = [None] * len(fitted) if noise is None else list(noise)
        return [
            cls(process, coalitions, v, seed, known_noise=known)
            for process, v, known in zip(fitted, values, each, strict=True)
        ]

    @cached_property
    def folds(self) -> list[Fold]:
        """The game without each quarter of the coalitions; pairs stay together, ∅ and N are in none."""
        pairs = in_pairs(self.coalitions)
        order = np.random.default_rng(self.seed).permutation(len(pairs))
        return [Fold.of(self, rows) for rows in _quarters(pairs, order)]

    @cached_property
    def unit(self) -> ProcessPosterior:
        """The same game less its mean and of largest size 1, whose squares neither vanish nor overflow."""
        offset, size = self.process.offset, (self.values - self.process.offset).abs().amax()
        size = torch.where(size > 0, size, 1.0)
        if bool((offset == 0) & (size == 1)):
            return self
        process = replace(self.process, offset=torch.zeros_like(offset), scale=self.process.scale / size)
        process.__dict__["precision"] = self.process.precision  # of standardised values: the same
        noise = None if self.known_noise is None else self.known_noise / size
        searched = self.searched / float(size)
        return replace(
            self, process=process, values=(self.values - offset) / size, searched=searched, known_noise=noise
        )

    @cached_property
    def refits(self) -> Refits:
        """What parts of the coalitions say, each with hyperparameters of its own as far as these are unsure."""
        return Refits.of(self) if self.unit is self else self.unit.refits

    @cached_property
    def widening(self) -> float:
        """What standard deviations are multiplied by, 1 or more.

        Where the process errs more than it thinks on coalitions that it does not see, or Shapley values from half of
        the coalitions are farther from those of all than they should be, its other errors are larger, too.
        """
        error, deviation = self.unit.process.left_out()
        told = deviation > 0
        squares = (error / deviation).square()
        inner = is_inner(self.coalitions)
        known = [float(squares[inner & told].mean())] if bool((inner & told).any()) else []
        ends = [float(squares[~inner & told].amax()) / _END] if bool((~inner & told).any()) else []
        expected = float(deviation[inner].square().mean()) if bool(inner.any()) else 0.0
        folds = [self.refits.error**2 / expected] if expected > 0 else []
        return max(
            math.sqrt(max(1.0, *known, *ends, self.refits.moved_known)) * FITTED_HYPERPARAMETERS,
            math.sqrt(max([1.0, self.refits.moved, *folds])),
        )

    @cached_property
    def least_error(self) -> float:
        """Least standard error of a player's value, whatever the process thinks.

        As large a share of v as parts of the coalitions do not predict of each other is unknown, and each player has
        a part of it; the less, the better the rest is predicted.
        """
        spread = float(self.unit.values.std(unbiased=False))
        missed = self.refits.error
        if not spread > 0:
            return 0.0
        size = float((self.values - self.process.offset).abs().amax())
        return float(_UNPREDICTED * missed / math.sqrt(self.n_players) * min(missed / spread, 1.0) * size)

    @property
    def _largest(self) -> Tensor:
        """Largest standard error that says anything: a player's value is no larger than the range of v."""
        return (self.values.amax() - self.values.amin()) / _NORMAL

    def player_errors(self, std: Tensor) -> Tensor:
        """Standard errors of values of players, from their posterior standard deviations."""
        return self._bounded(std, self.least_error)

    def _bounded(self, std: Tensor, least: float = 0.0) -> Tensor:
        return (std * self.widening).clamp(min=least).minimum(self._largest)

    @cached_property
    def left_out_error(self) -> float:
        """Root mean square of the error of predicting each value but v(∅) and v(N) from all others."""
        error, _ = self.process.left_out()
        inner = error[is_inner(self.coalitions)]
        return root_mean_square(inner) if len(inner) else math.inf

    @property
    def least_unexplained(self) -> float:
        """Share of the variance of the values given that the process, or the search, leaves on those left out."""
        game = self.unit
        spread = float(game.values.std(unbiased=False))
        return (min(game.left_out_error, game.searched) / spread) ** 2 if spread > 0 else 0.0

    @property
    def is_promising(self) -> bool:
        """Whether a search for few patterns came so near to the process that one for a model is worth its time."""
        return self.searched <= _PROMISING * self.left_out_error

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "process"

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return self.coalitions.shape[1]

    def predict(self, coalitions: Tensor) -> Estimated:
        """Posterior mean and standard deviation; a coalition that was given has its value."""
        parts = [self.process.predict_with_std(some.double()) for some in torch.split(coalitions, 4096)]
        mean, std = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean, self._bounded(std)

    def predict_means(self, coalitions: Tensor) -> Tensor:
        """Posterior mean."""
        return torch.cat([self.process.predict(some.double()) for some in torch.split(coalitions, 4096)])

    def shapley_values(self) -> Estimated:
        """By quadrature; the means add up to v(N) − v(∅) exactly where both were given."""
        mean, std = shapley_of_process(self.process)
        return self.efficient(mean), self.player_errors(std)

    def shapley_means(self) -> Tensor:
        """By quadrature."""
        return self.efficient(shapley_means_of_process(self.process))

    def efficient(self, mean: Tensor) -> Tensor:
        """Values of players moved equally, so that they add up to v(N) − v(∅) where both were given."""
        size = self.coalitions.sum(1)
        empty, full = (size == 0).nonzero(), (size == self.n_players).nonzero()
        if len(empty) and len(full):
            missing = self.values[int(full[0])] - self.values[int(empty[0])] - mean.sum()
            mean = mean + missing / self.n_players
        return mean

    def banzhaf_values(self) -> Estimated:
        """In closed form."""
        mean, std = banzhaf_of_process(self.process)
        return mean, self.player_errors(std)

    def differences(self, having: Tensor, lacking: Tensor) -> Estimated:
        """In closed form."""
        mean, std = differences_of_process(self.process, having, lacking)
        return mean, self.player_errors(std)

    def all_values(self) -> Tensor:
        """The completed game."""
        mean = completed_values(self.process)
        mean[coalition_codes(self.coalitions)] = self.values
        return mean

    def functionals(self, weights: Tensor) -> Estimated:
        """By the kernel of all coalitions."""
        mean, std = functionals_of_process(self.process, weights)
        return mean, (std * self.widening).minimum(self._largest * weights.abs().sum(1) / 2)


@dataclass(frozen=True)
class Fold:
    """A game as the process has it without some of the coalitions given.

    Attributes:
        rows: Positions of these.
        mean: What is predicted there.
        deviation: With which standard deviation.
        process: Of the others; its factor is not theirs.
    """

    rows: Tensor
    mean: Tensor
    deviation: Tensor
    process: CoalitionProcess

    @classmethod
    def of(cls, posterior: ProcessPosterior, rows: Tensor) -> Fold:
        """Under the same hyperparameters, by the inverse of the covariance."""
        process, precision = posterior.process, posterior.process.precision
        block = precision[rows][:, rows]
        left_out = torch.linalg.solve(block, process.alpha[rows])
        alpha = process.alpha - precision[:, rows] @ left_out
        alpha[rows] = 0.0
        variance = torch.linalg.inv(block).diagonal() - process.kernel.noise
        return cls(
            rows,
            posterior.values[rows] - left_out * process.scale,
            variance.clamp(min=0.0).sqrt() * process.scale,
            replace(process, alpha=alpha),
        )

    def predict(self, coalitions: Tensor) -> Tensor:
        """Mean of v on bool coalitions ``(k, n)``: shape ``(k,)``."""
        return self.process.predict(coalitions.double())

    def all_values(self, coalitions: Tensor, values: Tensor) -> Tensor:
        """The completed game, with the values on the coalitions that are kept: shape ``(2^n,)``."""
        mean = completed_values(self.process)
        kept = _others(self.rows, len(values))
        mean[coalition_codes(coalitions[kept])] = values[kept]
        return mean


@dataclass(frozen=True)
class Refits:
    """What parts of the coalitions say of the others.

    Hyperparameters that are fitted to few coalitions are unsure themselves. So up to 256 coalitions those of each part
    are fitted anew.

    Attributes:
        error: Root mean square of the error on each quarter of the coalitions, predicted from the others; in the unit
            of v.
        moved: Mean square of how far the Shapley values of two halves are apart, by the variance that this should have.
        moved_known: The same of a half and all, under the hyperparameters of all.
    """

    error: float
    moved: float
    moved_known: float

    @classmethod
    def of(cls, posterior: ProcessPosterior) -> Refits:
        """Of the game of a posterior in its unit."""
        game, pairs = posterior, in_pairs(posterior.coalitions)
        ends = (~is_inner(game.coalitions)).nonzero()[:, 0]
        if len(pairs) < _FEWEST_PAIRS or not bool(game.process.scale > 0):
            return cls(root_mean_square(game.values - game.values.mean()), 0.0, 0.0)  # nothing is predicted
        order = np.random.default_rng(game.seed).permutation(len(pairs))
        halves = [torch.cat([ends, *(pairs[i] for i in sorted(order[start::2]))]) for start in (0, 1)]
        if not Regime.of(game.n_players, len(game.values)).refits:
            moved = _moved_by_halves(game, halves)
            return cls(game.left_out_error, moved, moved)
        left_out = _quarters(pairs, order)
        kept = [_others(rows, len(game.values)) for rows in left_out]
        fitted = _fitted_to_parts(game, halves + kept)
        errors = [
            game.values[rows] - process.predict(game.coalitions[rows].double())
            for rows, process in zip(left_out, fitted[2:], strict=True)
        ]
        (first, of_first), (second, of_second) = (shapley_of_process(half, _NODES_OF_HALVES) for half in fitted[:2])
        expected = of_first.square() + of_second.square()
        told = expected > _ROUNDING
        apart = ((first - second).square() / expected)[told]
        return cls(
            root_mean_square(torch.cat(errors)),
            float(apart.mean()) if len(apart) else 0.0,
            _moved_by_halves(game, halves),
        )


def _quarters(pairs: list[Tensor], order: npt.NDArray[np.int64]) -> list[Tensor]:
    """Positions of the coalitions in each quarter of the pairs, taken in an order."""
    return [torch.cat([pairs[i] for i in sorted(part)]) for part in np.array_split(order, _FOLDS) if len(part)]


def _others(rows: Tensor, count: int) -> Tensor:
    """Positions but some of so many."""
    kept = torch.ones(count, dtype=torch.bool, device=rows.device)
    kept[rows] = False
    return kept.nonzero()[:, 0]


def _fitted_to_parts(game: ProcessPosterior, parts: list[Tensor]) -> list[CoalitionProcess]:
    """Processes of parts of the coalitions, those of equal size at once."""
    found: dict[int, CoalitionProcess] = {}
    for size in {len(rows) for rows in parts}:
        places = [i for i, rows in enumerate(parts) if len(rows) == size]
        rows = torch.stack([parts[i] for i in places])
        noise = None if game.known_noise is None else game.known_noise.expand(len(places))
        found.update(
            zip(
                places,
                fit_processes(game.coalitions[rows], game.values[rows], game.seed, noise=noise, is_rough=True),
                strict=True,
            )
        )
    return [found[i] for i in range(len(parts))]


def _moved_by_halves(game: ProcessPosterior, halves: list[Tensor]) -> float:
    """Mean square of how far the Shapley values of either half are off, in standard deviations, by known parameters."""
    mean, std = shapley_of_process(game.process, _NODES_OF_HALVES)
    squares = []
    for rows in halves:
        half = fit_process(game.coalitions[rows], game.values[rows], theta=game.process.theta)
        moved, spread = shapley_of_process(half, _NODES_OF_HALVES)
        expected = (spread / half.scale * game.process.scale).square() - std.square()
        squares.append(((moved - mean).square() / expected)[expected > _ROUNDING * game.process.scale**2])
    found = torch.cat(squares)
    return float(found.mean()) if len(found) else 0.0


def completed_values(process: CoalitionProcess) -> Tensor:
    """Posterior mean of v on all 2^n coalitions, in the order of their codes."""
    weights = process.alpha.new_zeros(1, 1 << process.coalitions.shape[1])
    weights[0].index_add_(0, coalition_codes(process.coalitions > 0), process.alpha)
    return completed(process, weights)[0] * process.scale + process.offset


def _exact(mean: Tensor) -> Estimated:
    return mean, torch.zeros_like(mean)


def shapley_of_process(process: CoalitionProcess, most_nodes: int = _MOST_NODES) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of the Shapley values: shape ``(n,)`` each, in units of v."""
    return _values(process, *_nodes(process, most_nodes))


def shapley_means_of_process(process: CoalitionProcess) -> Tensor:
    """Posterior mean of the Shapley values, in less time: shape ``(n,)``, in units of v."""
    return process.alpha @ _cross_covariance(process, *_nodes(process, _MOST_NODES)) * process.scale


def banzhaf_of_process(process: CoalitionProcess) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of the Banzhaf values: shape ``(n,)`` each, in units of v."""
    return _values(process, np.array([0.5]), np.array([1.0]))


def differences_of_process(process: CoalitionProcess, having: Tensor, lacking: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of differences of means; see :meth:`Posterior.differences`."""
    z, kernel = process.coalitions, process.kernel
    rows = ((having - lacking) * 2 * kernel.linear) @ (2 * z - 1).T
    prior = (4 * kernel.linear * (having - lacking).square()).sum(1)
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        for sign, p in ((1, having), (-1, lacking)):
            present, absent = p * both + (1 - p) * one, p * one + (1 - p) * neither
            rows += sign * tau * (absent.log().sum(1, keepdim=True) + (present / absent).log() @ z.T).exp()
        for factor, p, q in ((1, having, having), (1, lacking, lacking), (-2, having, lacking)):
            met = p * q * both + (p + q - 2 * p * q) * one + (1 - p) * (1 - q) * neither
            prior = prior + factor * tau * met.prod(1)
    mean, explained = process.covariance(rows)
    return mean, (prior - explained).clamp(min=0.0).sqrt() * process.scale


def _nodes(process: CoalitionProcess, most: int) -> tuple[Nodes, Nodes]:
    """Nodes and weights of quadrature on [0, 1]."""
    n = process.coalitions.shape[1]
    x, w = np.polynomial.legendre.leggauss(min(ceil(n / 2) + 1, most))
    return (x + 1) / 2, w / 2


def _values(process: CoalitionProcess, nodes: Nodes, weights: Nodes) -> tuple[Tensor, Tensor]:
    rows = _cross_covariance(process, nodes, weights)
    mean, explained = process.covariance(rows.T)
    variance = (_prior_variance(process, nodes, weights) - explained).clamp(min=0.0)
    return mean, variance.sqrt() * process.scale


def _cross_covariance(process: CoalitionProcess, nodes: Nodes, weights: Nodes) -> Tensor:
    """Prior covariances of v on each coalition given with the values of each player: ``(m, n)``."""
    z, kernel = process.coalitions, process.kernel
    x, w = (torch.from_numpy(part).to(z.device)[:, None] for part in (nodes, weights))
    total = 2 * kernel.linear * (2 * z - 1)
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        # A player's factor at each node, by whether T has it; shape (nodes, n).
        absent, present = neither + x * (one - neither), one + x * (both - one)
        product = (absent.log().sum(1) + z @ (present.log() - absent.log()).T).exp() * (w[:, 0] * tau)
        without, having = product @ ((one - neither) / absent), product @ ((both - one) / present)
        total += torch.where(z > 0, having, without)
    return total


def _prior_variance(process: CoalitionProcess, nodes: Nodes, weights: Nodes) -> Tensor:
    """Prior variances of the values of the players: shape ``(n,)``."""
    kernel = process.kernel
    x, w = (torch.from_numpy(part).to(kernel.tau.device) for part in (nodes, weights))
    first, second = torch.triu_indices(len(x), len(x), device=x.device)  # the integrand is symmetric
    a, b = x[first, None], x[second, None]
    pairs = w[first] * w[second] * torch.where(first == second, 1.0, 2.0)
    total = 4 * kernel.linear
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        mean = (a * b) * both + (a + b - 2 * a * b) * one + ((1 - a) * (1 - b)) * neither
        products = mean.log().sum(1).exp() * pairs
        total = total + tau * (products @ (1 / mean)) * (both - 2 * one + neither)
    return total


def completed(process: CoalitionProcess, vectors: Tensor) -> Tensor:
    """The kernel of all coalitions times vectors over all coalitions, without the 2^n × 2^n matrix: O(n 2^n).

    Args:
        process: n players.
        vectors: float64, shape ``(k, 2^n)``.

    Returns:
        - **products** (*Tensor*): Shape ``(k, 2^n)``.
    """
    kernel, n = process.kernel, process.coalitions.shape[1]
    signs = 2 * all_coalitions(n, vectors.device).to(torch.float64) - 1
    total = ((vectors @ signs) * kernel.linear) @ signs.T + kernel.constant * vectors.sum(1, keepdim=True)
    for tau, both, one, neither in zip(kernel.tau, *kernel.factors(), strict=True):
        part = vectors
        for i in range(n):
            pairs = part.reshape(len(part), 1 << (n - i - 1), 2, 1 << i)
            without, having = pairs[:, :, 0], pairs[:, :, 1]
            part = torch.stack([neither[i] * without + one[i] * having, one[i] * without + both[i] * having], dim=2)
        total += tau * part.reshape(vectors.shape)
    return total


def functionals_of_process(process: CoalitionProcess, functionals: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of linear functionals of v, each Σ_S a(S) v(S).

    Args:
        process: n players, up to 20.
        functionals: The weights a on all coalitions in the order of their codes, float64, shape ``(k, 2^n)``.
    """
    spread = completed(process, functionals)
    rows = spread[:, coalition_codes(process.coalitions > 0)]
    mean, explained = process.covariance(rows)
    prior = (functionals * spread).sum(1)
    variance = torch.where(prior - explained > 0, prior - explained, 0.0)
    return mean + functionals.sum(1) * process.offset, variance.sqrt() * process.scale
