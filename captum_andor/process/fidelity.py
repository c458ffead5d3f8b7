"""R² of an estimate and of a model, over all coalitions, from those that a budget saw; with a 95 % interval.

R² weighs coalitions by size. Within a size the coalitions given are a random sample of all, so that what holds of them
on average holds of the unseen ones: errors are averaged by size, and sizes of which all coalitions are known have no
unseen error. Values that were used to make a prediction do not judge it: the process predicts each coalition from the
others (leave one out), and a model is judged by models made without a part of the coalitions (four folds). What such a
model misses is compared with what the process expects it to miss, so that only the difference is estimated from the
sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from captum_andor._utils.statistics import effective_count
from captum_andor.games.transforms import orders
from captum_andor.process.posterior import ProcessPosterior
from captum_andor.sampling import is_inner

_QUANTILE = 0.975  # of Student's t: the upper end of a 95 % interval
_LISTED_PLAYERS = 16  # up to so many the completed game is averaged, above a sample of it
_DRAWN, _OF_VARIANCE = 1024, 384  # coalitions over which means of v and variances are averaged: within some percent
_FEWEST_EFFECTIVE = 5.0  # with fewer a variance is known to less than a factor of two
# Errors at neighbouring coalitions go together and their squares have long tails, so that a mean of them varies more
# than that of as many independent ones. Chosen so that 95 % intervals cover (benchmarks/budget.py coverage).
_DEPENDENCE = 2.5
_NOTHING = 1e-12  # share of v² below which a variance is rounding
# The correction of the variance is itself an estimate: it may take at most three quarters of what the process expects.
_LEAST_VARIANCE = 0.25
_LEAST_UNEXPLAINED = 1e-15  # share of the variance, so that the logarithm of an exact model's error is finite
_LARGEST_EXPONENT = 50.0  # e^50 times the error: an interval that says nothing, and no overflow


# All four chosen so that 95 % intervals cover (`python -m benchmarks.intervals`).
_FEWEST_PAIRS = 8.0  # degrees of freedom: with fewer intervals say nothing
_LOWER, _UPPER = 0.5, 2.0  # powers of how much worse parts predict each other, at the ends of the interval
_OF_PARTS = 1.5  # times the error on parts of the coalitions: less than the lower end of R² is not below it
_UNSEEN = 3.7  # over a number of draws: share of the coalitions that none of these shows in one case of forty


@dataclass(frozen=True)
class Fidelity:
    """R² and its 95 % interval; NaN where no coalition given tells."""

    r2: float
    low: float
    high: float


UNKNOWN = Fidelity(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Unseen:
    """Averages over the coalitions that were not given, from those that were, size by size.

    Attributes:
        weights: Weight of each coalition given, shape ``(m,)``: Σ_j weight_j x_j estimates the sum over unseen
            coalitions of x times their weight in R².
        covered: Weight in R² of the sizes of which a coalition was given.
    """

    weights: Tensor
    covered: float

    @classmethod
    def of(cls, coalitions: Tensor, shares: tuple[float, ...]) -> Unseen:
        """For bool coalitions ``(m, n)`` and the weight in R² of all coalitions of each size, n + 1 numbers."""
        n = coalitions.shape[1]
        size = coalitions.sum(1)
        count = torch.bincount(size, minlength=n + 1).tolist()
        unseen = [
            share * (1 - seen / comb(n, s)) if seen else 0.0
            for s, (share, seen) in enumerate(zip(shares, count, strict=True))
        ]
        each = [u / max(seen, 1) for u, seen in zip(unseen, count, strict=True)]
        weights = torch.tensor(each, dtype=torch.float64, device=coalitions.device)[size]
        return cls(weights, sum(share for share, seen in zip(shares, count, strict=True) if seen))

    def judged_by(self, rows: Tensor) -> Unseen:
        """The same total weight on some of the coalitions."""
        kept = torch.zeros_like(self.weights)
        kept[rows] = self.weights[rows]
        total = float(kept.sum())
        return Unseen(kept * (float(self.weights.sum()) / total), self.covered) if total > 0 else self

    def total(self, x: Tensor) -> float:
        """The sum over unseen coalitions of x, given on those that were seen."""
        return float(self.weights @ x)

    def effective_count(self, values: Tensor) -> float:
        """How many coalitions the variance of v rests on: (Σc)² / Σc² of their contributions c."""
        total = float(self.weights.sum())
        if total <= 0:
            return float("inf")
        centre = float(self.weights @ values) / total
        return effective_count(self.weights * (values - centre).square())

    def error(self, x: Tensor) -> float:
        """Standard error of :meth:`total`; pairs S, N∖S count as one."""
        part = self.weights * x
        used = self.weights > 0
        count = int(used.sum())
        if count < 2:
            return float("inf")
        centred = part - self.weights * (float(part.sum()) / float(self.weights.sum()))
        squares = float(centred[used].square().sum()) * count / (count - 1)
        return math.sqrt(squares)


def estimate_fidelity(posterior: ProcessPosterior, shares: tuple[float, ...]) -> Fidelity:
    """R² of the process itself."""
    posterior = posterior.unit
    error, deviation = posterior.process.left_out()
    unseen = Unseen.of(posterior.coalitions, shares)
    predicted = posterior.values - error
    centre, spread = _moments(posterior, shares, _mean_variance(posterior, shares))
    told = (deviation.square() - posterior.process.noise.square()).clamp(min=0.0)  # v varies by its noise, too
    variance_errors = (posterior.values - centre).square() - (predicted - centre).square() - told
    return _fidelity(posterior, unseen, error.square(), variance_errors, unseen.total(error.square()), spread)


def fidelity_of(
    posterior: ProcessPosterior,
    shares: tuple[float, ...],
    squares: float,
    folds: list[tuple[Tensor, Tensor, Tensor, Tensor]],
) -> Fidelity:
    """R² of a model.

    Args:
        posterior: Of the game, in its unit.
        shares: Weight in R² of all coalitions of each size.
        squares: Weighted mean of (completed v − h)² over all coalitions.
        folds: For each fold the positions of its coalitions, what the process without them predicts there and with
            which standard deviation, and what a model made from that process predicts.
    """
    unseen = Unseen.of(posterior.coalitions, shares)
    left = _mean_variance(posterior, shares)
    centre, spread = _moments(posterior, shares, left)
    missed = torch.zeros_like(posterior.values)
    variance_errors = torch.zeros_like(posterior.values)
    unseen = unseen.judged_by(torch.cat([rows for rows, *_ in folds])) if folds else unseen
    for rows, mean, deviation, model in folds:
        v = posterior.values[rows]
        missed[rows] = (v - model).square() - (mean - model).square() - deviation.square()
        variance_errors[rows] = (v - centre).square() - (mean - centre).square() - deviation.square()
    expected = squares + left
    return _fidelity(posterior, unseen, missed, variance_errors, expected + unseen.total(missed), spread)


def _fidelity(
    posterior: ProcessPosterior,
    unseen: Unseen,
    missed: Tensor,
    variance_errors: Tensor,
    unexplained: float,
    spread: float,
) -> Fidelity:
    inner = posterior.values[is_inner(posterior.coalitions)]
    largest = float((posterior.values - posterior.values.mean()).square().amax())
    if not bool(posterior.process.scale > 0):
        return Fidelity(1.0, 1.0, 1.0)  # constant as far as was seen: no error anywhere
    if not len(inner) or float((inner - inner.mean()).square().amax()) <= _NOTHING * largest:
        return UNKNOWN  # constant but for its ends: nothing tells which patterns there are
    if unseen.effective_count(posterior.values) < _FEWEST_EFFECTIVE:
        return UNKNOWN  # v differs on a few coalitions only: others like them may be missing
    total = max(spread + unseen.total(variance_errors), _NOTHING * largest, _LEAST_VARIANCE * spread)
    left = max(unexplained, _LEAST_UNEXPLAINED * spread)
    ratio = left / total
    if unseen.covered >= 1 and not float(unseen.weights.abs().sum()) > 0:
        return Fidelity(1 - ratio, 1 - ratio, 1 - ratio)
    error = _DEPENDENCE * unseen.error(missed - ratio * variance_errors) / total
    # As many squares of errors as the mean rests on, in pairs: those of sparse games are a few large ones.
    pairs = max(
        min(effective_count(unseen.weights * missed.abs()), float((unseen.weights > 0).sum())) / 2, _FEWEST_PAIRS
    )
    from scipy.special import stdtrit  # quantiles of Student's t

    # The interval is one of the logarithm of 1 - R², which is positive and whose error is relative.
    relative = float(stdtrit(pairs, _QUANTILE)) * error / max(ratio, 1e-300)
    factor = math.exp(min(relative, _LARGEST_EXPONENT))
    # Hyperparameters of their own predict parts of the coalitions worse than those of all, known, predict each.
    left_out = posterior.left_out_error
    unsure = max(posterior.refits.moved, 1.0) ** 0.5
    worse = max(posterior.refits.error / left_out if left_out > 0 else 1.0, unsure**0.5)
    # And an end that the others do not predict tells of something that no other coalition shows.
    hidden, likely = 0.0, 0.0
    if bool((~is_inner(posterior.coalitions)).any()):
        error_of_ends = posterior.process.left_out()[0][~is_inner(posterior.coalitions)]
        surprise = float(error_of_ends.square().amax()) / total
        share = min(_UNSEEN / len(posterior.values), 0.5)
        hidden = share * (1 - share) * surprise
        likely = surprise / (len(posterior.values) + 2) if posterior.unidentified else 0.0
    outside = max(1 - unseen.covered, 0.0)  # of these sizes nothing was seen: the lower end takes all of their variance
    of_parts = posterior.refits.error**2 / total
    most = max(ratio * factor * worse**_LOWER, _OF_PARTS * of_parts * (1 + of_parts)) + hidden + outside
    # No error is larger than the range of v.
    most = min(most, float(posterior.values.amax() - posterior.values.amin()) ** 2 / total)
    return Fidelity(1 - ratio - likely, 1 - max(most, ratio + likely), 1 - ratio / factor / (worse**_UPPER * unsure))


def _moments(posterior: ProcessPosterior, shares: tuple[float, ...], left: float) -> tuple[float, float]:
    """Weighted mean of v over all coalitions and its variance, by the process, which is left with a variance."""
    n = posterior.n_players
    if n > _LISTED_PLAYERS:
        sample, weights = drawn_coalitions(posterior.coalitions, shares)
        mean = posterior.process.predict(sample.double())
    else:
        mean = posterior.all_values()
        each = mean.new_tensor([share / comb(n, size) for size, share in enumerate(shares)])
        weights = each[orders(n, mean.device)]
    centre = float(weights @ mean)
    return centre, float(weights @ (mean - centre).square()) + left


def _mean_variance(posterior: ProcessPosterior, shares: tuple[float, ...]) -> float:
    """Weighted mean of the variance of v that the process is left with."""
    sample, weights = drawn_coalitions(posterior.coalitions, shares, _OF_VARIANCE)
    return float(weights @ posterior.process.predict_with_std(sample.double())[1].square())


def drawn_coalitions(coalitions: Tensor, shares: tuple[float, ...], count: int = _DRAWN) -> tuple[Tensor, Tensor]:
    """Random coalitions of the same players, and weights with which their mean is that over all by the weights in R².

    The same seed each time; bool, shape ``(count, n)``, on the device of the coalitions given.
    """
    n = coalitions.shape[1]
    generator = torch.Generator().manual_seed(0)
    chances = torch.tensor(shares, dtype=torch.float64, device="cpu")
    sizes = torch.multinomial(chances, count, replacement=True, generator=generator)
    ranks = torch.rand(count, n, generator=generator, dtype=torch.float64, device="cpu").argsort(1).argsort(1)
    sample = (ranks < sizes[:, None]).to(coalitions.device)
    return sample, torch.full((count,), 1 / count, dtype=torch.float64, device=coalitions.device)
