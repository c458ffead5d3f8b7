"""Means over pairs of networks and over samples, with intervals over both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from captum_andor._utils.statistics import Array, residual

_MOST_PAIRS = 2000  # more are no study

__all__ = ["Estimate", "Measured", "correlation", "overlap_of_sets", "residuals"]


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs of networks, with its interval over pairs and samples.

    Attributes:
        mean: The mean.
        low: Lower end of the interval, of 95 % unless another was asked for.
        high: Upper end.
        spread: Standard deviation of one pair, the part that more pairs average out.
        floor: Variance that stays however many pairs there are: that of the samples.
        n_pairs: Number of pairs.
    """

    mean: float
    low: float
    high: float
    spread: float
    floor: float
    n_pairs: int

    def pairs_needed(self, difference: float, power: float = 0.8, confidence: float = 0.95) -> float:
        """Pairs with which an interval sees a difference of this size with this power; inf if samples forbid it."""
        from scipy.stats import t

        if math.isnan(self.mean):
            return math.nan
        pairs = np.arange(2, _MOST_PAIRS + 1)
        wanted = t.ppf((1 + confidence) / 2, pairs - 1) + t.ppf(power, pairs - 1)
        seen = wanted * np.sqrt(self.spread**2 / pairs + self.floor) <= difference
        return float(pairs[seen.argmax()]) if seen.any() else math.inf


@dataclass(frozen=True)
class Measured:
    """A statistic of every pair, and how far each sample moves it.

    Attributes:
        values: Shape ``(P,)``.
        influence: Influence function of the statistic at every sample, mean 0 in every row: shape ``(P, N)``.
        least: Variance that the statistic of a pair has at least, whatever was seen: shape ``(P,)``. Sets that nowhere
            have a sample in common would else be disjoint for certain.
    """

    values: Array
    influence: Array
    least: Array | float = 0.0

    def __add__(self, other: Measured) -> Measured:
        least = np.asarray(self.least) + np.asarray(other.least)
        return Measured(self.values + other.values, self.influence + other.influence, least)

    def __sub__(self, other: Measured) -> Measured:
        return self + other * -1.0

    def __mul__(self, factor: float) -> Measured:
        return Measured(self.values * factor, self.influence * factor, np.asarray(self.least) * factor**2)

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """Mean and interval.

        The variance of the mean is that of a table of pairs × samples with both at random: mean squares of pairs and
        of samples less that of their interaction, which both contain. Student's t with Satterthwaite's degrees of
        freedom. Source: the method of moments of the two-way random-effects model; its use here is of this package.
        """
        from scipy.stats import t

        pairs, samples = self.influence.shape
        mean = float(self.values.mean())
        if pairs < 2 or not np.isfinite(self.values).all():
            return Estimate(mean, math.nan, math.nan, math.nan, math.nan, pairs)
        of_pairs = float(self.values.var(ddof=1)) / pairs
        by_sample = self.influence.mean(0)
        of_samples = float(np.square(by_sample).sum()) / (samples * (samples - 1))
        left = float(np.square(self.influence - by_sample).sum()) / ((pairs - 1) * (samples - 1))
        of_both = left / (pairs * samples)
        floor = max(of_samples - of_both, 0.0)
        variance = max(of_pairs + floor, of_samples)
        least = float(np.mean(self.least)) / pairs
        if max(variance, least) <= 0:
            return Estimate(mean, mean, mean, 0.0, 0.0, pairs)
        uncertain = of_pairs**2 / (pairs - 1) + of_samples**2 / (samples - 1)
        freedom = variance**2 / uncertain if variance > least else samples - 1
        variance = max(variance, least)
        half = float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)
        return Estimate(mean, mean - half, mean + half, math.sqrt(of_pairs * pairs), floor, pairs)


def residuals(y: Array, given: Sequence[Array]) -> Array:
    """A column less what others tell of it, at mean 0 and variance 1: shape ``(N,)``; of ranks, for rank correlations.

    Zeros where nothing is left.
    """
    left = residual(y, given)
    size = float(np.sqrt(np.square(left).mean()))
    return left / size if size > 0 else left


def correlation(a: Sequence[Array], b: Sequence[Array]) -> Measured:
    """Correlation of standardised columns, a pair in each entry."""
    values, influence = [], []
    for x, y in zip(a, b, strict=True):
        known = bool(x.any() and y.any())
        r = float((x * y).mean()) if known else math.nan
        values.append(r)
        influence.append(x * y - r / 2 * (np.square(x) + np.square(y)))
    return Measured(np.array(values), np.stack(influence))


def overlap_of_sets(a: Sequence[Array], b: Sequence[Array]) -> Measured:
    """Intersection over union of masks of membership, a pair in each entry."""
    values, influence, least = [], [], []
    for x, y in zip(a, b, strict=True):
        both, either = (x * y), np.maximum(x, y)
        value = float(both.sum() / either.sum())
        values.append(value)
        influence.append((both - value * either) / either.mean())
        # The binomial variance of Dice's share 2c / (a + b), two draws and two hits added (Agresti and Coull 1998),
        # through the slope of p / (2 - p).
        draws = (x.sum() + y.sum()) / 2
        share = (both.sum() + 2) / (draws + 4)
        least.append(share * (1 - share) / (draws + 4) * (2 / (2 - share) ** 2) ** 2)
    return Measured(np.array(values), np.stack(influence), np.array(least))
