"""How much copies of one network differ whose start was moved a little, of what unrelated networks differ by."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from captum_andor._utils.statistics import Array
from captum_andor.studies.factorial.variance_shares import (
    Instability,
    grouped_products,
    half_interval,
    jackknifed_variance,
    uncrossed_variance,
)


def variance_between_copies(
    copies: Array, grid: Array, of_sample: npt.NDArray[np.int64], groups: int = 10, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Variance between copies over that between the networks of a crossed design, with its interval.

    The interval is a jackknife over copies, low and high levels, and groups of samples; of the logarithm, which is
    nearer to normal, where the share is clearly not 0.

    Args:
        copies: Standardised scores ``(V, K, E)`` of three copies or more.
        grid: Those of the design, ``(V, M, M, E)``, data orders in a Latin square.
        of_sample: Number of the sample that each entry is of.
        groups: Groups of samples that are left out one at a time.
        confidence: Of the interval.

    Returns:
        - **share, lower, upper** (*tuple of float*).
    """
    within, between = (grouped_products(y, of_sample, groups) for y in (copies, grid))
    n, (rows, columns) = copies.shape[1], grid.shape[1:3]
    low, high = np.divmod(np.arange(rows * columns), columns)

    def of_grid(gram: Array, kept: npt.NDArray[np.bool_]) -> float:
        return uncrossed_variance(gram, (rows, columns), kept)

    all_cells, found = np.ones(rows * columns, dtype=bool), Instability.of(within)
    v, w = found.whole, of_grid(between.mean(0), all_cells)
    share = v / w
    left = (between.sum(0) - between) / (groups - 1)
    parts = [
        found.without_copy / w,
        np.array([v / of_grid(between.mean(0), low != i) for i in range(rows)]),
        np.array([v / of_grid(between.mean(0), high != j) for j in range(columns)]),
        np.array([u / of_grid(y, all_cells) for u, y in zip(found.without_group, left, strict=True)]),
    ]
    least = min(n, rows, columns) - 1
    half = _half(parts, least, confidence)
    if share - half <= 0:
        return share, share - half, share + half
    factor = math.exp(_half([np.log(part) for part in parts], least, confidence))
    return share, share / factor, share * factor


def _half(parts: list[Array], least: int, confidence: float) -> float:
    """Half of an interval from what the statistic is without each unit of each kind."""
    variances = [jackknifed_variance(part) for part in parts]
    uncertain = sum(s**2 / (len(part) - 1) for s, part in zip(variances, parts, strict=True))
    return half_interval(sum(variances), uncertain, least, confidence)
