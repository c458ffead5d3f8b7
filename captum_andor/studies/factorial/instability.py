"""How much copies of networks differ whose starts were moved a little, of what unrelated networks differ by."""

from __future__ import annotations

import math

import numpy as np

from captum_andor._utils.statistics import Array
from captum_andor.studies.factorial.variance_shares import (
    CellProducts,
    Instability,
    half_interval,
    jackknifed_variance,
)


def share_of_instability(
    instability: Instability, cells: CellProducts, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Variance between copies over that between the networks of a crossed design, with its interval.

    The interval is a jackknife over copies, low and high levels, and groups of samples; of the logarithm, which is
    nearer to normal, where the share is clearly not 0.

    Args:
        instability: Variance between copies.
        cells: Mean products of the design, data orders in a Latin square.
        confidence: Of the interval.

    Returns:
        - **share, lower, upper** (*tuple of float*).
    """
    rows, columns = cells.levels
    low, high = np.divmod(np.arange(rows * columns), columns)
    v, w = instability.whole, cells.components().sum()
    share = float(v / w)
    left = np.array([found.sum() for found in cells.components_without_groups()])
    parts = [
        instability.without_copies / w,
        np.array([v / cells.components(low != i).sum() for i in range(rows)]),
        np.array([v / cells.components(high != j).sum() for j in range(columns)]),
        instability.without_group / left,
    ]
    least = min(len(instability.without_copies), rows, columns) - 1
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
