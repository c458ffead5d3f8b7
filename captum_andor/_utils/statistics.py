"""Statistics of scores and sets over samples: ranks, agreement with its chance level, partial correlation, AUC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

__all__ = [
    "Array",
    "auc",
    "bootstrap",
    "chance_iou",
    "cross_validated_scores",
    "disattenuated",
    "iou",
    "partial_spearman",
    "pearson",
    "ranks",
    "residual",
    "spearman",
    "spearman_brown",
    "top",
]


def ranks(scores: npt.ArrayLike) -> Array:
    """Ranks from 1 (smallest), ties at their mean; NaN stays NaN and takes no rank."""
    from scipy.stats import rankdata

    result: Array = rankdata(np.asarray(scores, dtype=np.float64), nan_policy="omit")
    return result


def top(scores: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """Positions of the largest scores, largest first; ties in the order of their positions, NaN last."""
    values = np.asarray(scores, dtype=np.float64)
    return np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")[:count]


def pearson(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Correlation over the samples where both are known; NaN where one of them is constant."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < 2:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt(np.square(x).sum() * np.square(y).sum())
    return float(x @ y / size) if size > 0 else float("nan")


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Rank correlation; NaN where one of them is constant."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    known = ~(np.isnan(x) | np.isnan(y))
    return pearson(ranks(x[known]), ranks(y[known]))


def partial_spearman(a: npt.ArrayLike, b: npt.ArrayLike, given: Sequence[npt.ArrayLike]) -> float:
    """Rank correlation of what the ranks of the given columns leave of both; NaN where they leave nothing."""
    columns = [np.asarray(c, dtype=np.float64) for c in (a, b, *given)]
    known = ~np.isnan(np.stack(columns)).any(0)
    x, y, *controls = (ranks(c[known]) for c in columns)
    return pearson(residual(x, controls), residual(y, controls))


def residual(column: Array, given: Sequence[Array]) -> Array:
    """A column less the least-squares fit of others and a constant; zeros where they determine it."""
    design = np.stack([np.ones_like(column), *given], axis=1)
    left: Array = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
    # A column that the others determine has a residual of rounding error, which counts as 0.
    exhausted = np.square(left).sum() <= 1e-18 * max(np.square(column - column.mean()).sum(), 1e-300)
    return np.zeros_like(left) if exhausted else left


def auc(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """Probability that a member scores above a non-member, ties counting half; NaN without either kind."""
    values, inside = np.asarray(scores, dtype=np.float64), np.asarray(members, dtype=bool)
    known = ~np.isnan(values)
    rank, inside = ranks(values[known]), inside[known]
    n_in, n_out = int(inside.sum()), int((~inside).sum())
    if not n_in or not n_out:
        return float("nan")
    return float((rank[inside].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))


def iou(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Intersection over union of two sets, given as masks of membership; NaN where both are empty."""
    x, y = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    union = int((x | y).sum())
    return float((x & y).sum() / union) if union else float("nan")


def chance_iou(size_a: int, size_b: int, n_samples: int) -> float:
    """Expected IoU of two independent random sets of these sizes: r / (2 − r) for two sets of a share r."""
    common = size_a * size_b / n_samples
    union = size_a + size_b - common
    return common / union if union else float("nan")


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], float], n_samples: int, n_resamples: int, seed: int
) -> tuple[float, float]:
    """95 % interval of a statistic of rows, which are drawn anew with replacement; NaN where it is never known."""
    generator = np.random.default_rng(seed)
    drawn = np.array([statistic(generator.integers(0, n_samples, n_samples)) for _ in range(n_resamples)])
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def spearman_brown(correlation: float, count: float) -> float:
    """Reliability of the sum of so many measurements that correlate so much with each other."""
    if np.isnan(correlation) or correlation <= 0:
        return correlation
    return count * correlation / (1 + (count - 1) * correlation)


def disattenuated(correlation: float, reliability_a: float, reliability_b: float) -> float:
    """A correlation corrected for the reliability of both sides; NaN where one of these is unknown or not above 0."""
    product = reliability_a * reliability_b
    if np.isnan(product) or reliability_a <= 0 or reliability_b <= 0:
        return float("nan")
    return float(correlation / np.sqrt(product))


def cross_validated_scores(columns: Sequence[npt.ArrayLike], members: npt.ArrayLike, folds: int, seed: int) -> Array:
    """Log-odds of membership by logistic regression on ranks, each sample's by a fit without its fold.

    Ranks are scaled to unit variance and held by a ridge of 1, so that a column tells by its order alone and separable
    classes do no harm. Folds hold equal shares of members.
    """
    inside = np.asarray(members, dtype=bool)
    features = np.stack([_standardised(column) for column in columns], axis=1)
    features = np.column_stack([np.ones(len(features)), features])
    generator = np.random.default_rng(seed)
    fold = np.empty(len(inside), dtype=np.int64)
    for group in (inside, ~inside):
        fold[group] = generator.permutation(np.arange(group.sum()) % folds)
    predicted = np.empty(len(inside))
    for k in range(folds):
        coefficients = _logistic(features[fold != k], inside[fold != k])
        predicted[fold == k] = features[fold == k] @ coefficients
    return predicted


def _standardised(column: npt.ArrayLike) -> Array:
    """Ranks at mean 0 and variance 1; the unknown at 0."""
    rank = ranks(column)
    rank = np.where(np.isnan(rank), np.nanmean(rank) if (~np.isnan(rank)).any() else 0.0, rank)
    spread = rank.std()
    centred: Array = rank - rank.mean()
    return centred / spread if spread > 0 else centred


def _logistic(features: Array, members: npt.NDArray[np.bool_]) -> Array:
    """Ridge logistic regression by Newton's method; the first column, the constant, is free."""
    penalty = np.ones(features.shape[1])
    penalty[0] = 1e-8
    coefficients = np.zeros(features.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(features @ coefficients, -40, 40)))
        gradient = features.T @ (p - members) + penalty * coefficients
        hessian: Any = (features * (p * (1 - p))[:, None]).T @ features + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients - step
        if np.abs(step).max() < 1e-9:
            break
    return coefficients
