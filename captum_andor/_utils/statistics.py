"""Statistics of scores and sets over samples: ranks, agreement with its chance level, partial correlation, AUC."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array: TypeAlias = npt.NDArray[np.float64]

_COUNTED = 3.0  # times the effective count: with it intervals cover .89 to 1 (`python -m benchmarks.overlap_coverage`)
_LARGEST_CORRELATION = 0.999
_ROUNDING = 1e-12  # of the largest variance: a smaller one is that of a constant column


def ranks(scores: npt.ArrayLike) -> Array:
    """Ranks from 1 (smallest), ties at their mean; NaN stays NaN and takes no rank."""
    from scipy.stats import rankdata

    result: Array = rankdata(np.asarray(scores, dtype=np.float64), nan_policy="omit")
    return result


def top(scores: npt.ArrayLike, count: int, label: str, seed: int = 0) -> npt.NDArray[np.int64]:
    """Positions of the largest scores, largest first; ties in random order, NaN last.

    Args:
        scores: Shape ``(N,)``.
        count: How many.
        label: Of whom the scores are. Ties of one label come in one order, those of different labels independently:
            in the order of their positions two models with many ties would agree.
        seed: Of the order of ties.
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.random.default_rng([seed, *label.encode()]).permutation(len(values))
    return order[np.argsort(np.where(np.isnan(values), np.inf, -values)[order], kind="stable")[:count]]


def share_tied(scores: npt.ArrayLike, count: int) -> float:
    """Share of the ``count`` largest scores that was drawn among equal ones, of which others stayed outside."""
    values = np.asarray(scores, dtype=np.float64)
    values = np.where(np.isnan(values), -np.inf, values)
    if not 0 < count < len(values):
        return 0.0
    cut = np.sort(values)[-count]
    inside = count - int((values > cut).sum())
    return inside / count if int((values == cut).sum()) > inside else 0.0


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


_NEARLY_DEPENDENT = 1e-8  # least eigenvalue of the products of columns, relative, that is trusted


def residual(column: Array, given: Sequence[Array]) -> Array:
    """A column less the least-squares fit of others and a constant; zeros where they determine it."""
    found: Array = residuals(np.asarray(column, dtype=np.float64)[None], given)[0]
    return found


def residuals(columns: Array, given: Sequence[Array]) -> Array:
    """Columns ``(m, N)`` less the least-squares fits of others and a constant; zeros where these determine one."""
    left = _residuals_by_products(columns, given)
    if left is None:
        design = np.stack([np.ones(columns.shape[1]), *given], axis=1)
        left = columns - (design @ np.linalg.lstsq(design, columns.T, rcond=None)[0]).T
    # A column that the others determine has a residual of rounding error, which counts as 0.
    size = np.square(columns - columns.mean(1, keepdims=True)).sum(1)
    exhausted = np.square(left).sum(1) <= 1e-18 * np.maximum(size, 1e-300)
    found: Array = np.where(exhausted[:, None], 0.0, left)
    return found


def _residuals_by_products(columns: Array, given: Sequence[Array]) -> Array | None:
    """The residuals from products of columns; None where these are nearly dependent or not finite.

    A decomposition of N × k is worth a thread to BLAS and its result to the next one: 1 000 × 10 on two threads takes
    a hundred times as long as on one. Products of columns are k × k; a second step makes up for their rounding.
    """
    y: Array = columns - columns.mean(1, keepdims=True)
    if not len(given):
        return y
    x = np.asarray(given, dtype=np.float64)
    x = x - x.mean(1, keepdims=True)
    size = np.sqrt(np.square(x).sum(1))
    x = x[size > 0] / size[size > 0, None]
    if not len(x) or not np.isfinite(x).all() or not np.isfinite(y).all():
        return y if not len(x) and np.isfinite(y).all() else None
    values, vectors = np.linalg.eigh(x @ x.T)
    if values[0] < _NEARLY_DEPENDENT * values[-1]:
        return None
    for _ in range(2):
        y = y - (((y @ x.T) @ vectors) / values) @ vectors.T @ x
    return y


def auc_of_ranks(rank: Array, inside: npt.NDArray[np.bool_]) -> float:
    """:func:`auc` from ranks of scores that are all known."""
    n_in, n_out = int(inside.sum()), int((~inside).sum())
    if not n_in or not n_out:
        return float("nan")
    return float((rank[inside].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))


def auc(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """Probability that a member scores above a non-member, ties counting half; NaN without either kind."""
    values, inside = np.asarray(scores, dtype=np.float64), np.asarray(members, dtype=bool)
    known = ~np.isnan(values)
    return auc_of_ranks(ranks(values[known]), inside[known])


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


def iou_interval(size_a: int, size_b: int, common: int, n_samples: int) -> tuple[float, float]:
    """95 % interval of the IoU of two sets of these sizes that have so many samples in common.

    The share 2c / (a + b) of members that are common is taken for a binomial share of (a + b) / 2 draws (Wilson 1927);
    IoU is p / (2 − p). The bootstrap of fixed sets would give [0, 0] wherever nothing is common.
    """
    total = size_a + size_b
    if not total:
        return float("nan"), float("nan")
    draws, share, z = total / 2, 2 * common / total, 1.959964
    centre = (share + z * z / (2 * draws)) / (1 + z * z / draws)
    half = z / (1 + z * z / draws) * float(np.sqrt(share * (1 - share) / draws + z * z / (4 * draws * draws)))
    least, most = max(total - n_samples, 0), min(size_a, size_b)  # that can be common
    bottom = centre - half if common else 0.0  # which is 0, but for rounding
    ends = (max(bottom, 2 * least / total), min(centre + half, 2 * most / total))
    low, high = (end / (2 - end) for end in ends)
    return low, high


def spearman_interval(a: npt.ArrayLike, b: npt.ArrayLike, n_resamples: int, seed: int) -> tuple[float, float]:
    """95 % interval of the rank correlation: the bootstrap over samples and Fisher's z, whichever reaches farther.

    Where most samples are tied, the bootstrap sees too few of the others and Fisher's z too many: it counts the samples
    that the variance of the ranks rests on. Source: Bonett and Wright 2000 (standard error of z); the count: ours.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = ranks(x[known]), ranks(y[known])
    r = pearson(x, y)
    if np.isnan(r):
        return float("nan"), float("nan")
    low, high = bootstrap(lambda rows: pearson(x[rows], y[rows]), len(x), n_resamples, seed)
    count = min(len(x), _COUNTED * min(_rank_count(x), _rank_count(y)))
    bounded = float(np.clip(r, -_LARGEST_CORRELATION, _LARGEST_CORRELATION))
    error = np.sqrt((1 + bounded**2 / 2) / max(count - 3, 0.5))
    z = np.arctanh(bounded)
    return min(low, float(np.tanh(z - 1.96 * error))), max(high, float(np.tanh(z + 1.96 * error)))


def spearman_intervals(ranked: Array, n_resamples: int, seed: int) -> tuple[Array, Array]:
    """:func:`spearman_interval` of every two of K columns of ranks without NaN, ``(K, N)``: both ends, ``(K, K)``.

    All pairs are resampled together: a resample's correlations are products of columns weighted by how often each row
    was drawn.
    """
    x = ranked - ranked.mean(1, keepdims=True)
    k, n = x.shape
    drawn = np.empty((n_resamples, k, k))
    generator = np.random.default_rng(seed)
    for i in range(n_resamples):
        weight = np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64)
        weighted = x * weight
        mean = weighted.sum(1) / n
        drawn[i] = _correlations(weighted @ x.T / n - np.outer(mean, mean))
    r = _correlations(x @ x.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns that are constant in every resample
        low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    counts = np.array([_rank_count(column) for column in ranked])
    count = np.minimum(n, _COUNTED * np.minimum(counts[:, None], counts))
    bounded = np.clip(r, -_LARGEST_CORRELATION, _LARGEST_CORRELATION)
    half = 1.96 * np.sqrt((1 + bounded**2 / 2) / np.maximum(count - 3, 0.5))
    z = np.arctanh(bounded)
    known = ~np.isnan(r)
    return (
        np.where(known, np.minimum(low, np.tanh(z - half)), np.nan),
        np.where(known, np.maximum(high, np.tanh(z + half)), np.nan),
    )


def _correlations(products: Array) -> Array:
    """Correlations from a matrix of centred products; NaN for columns that are constant but for rounding."""
    size = np.diag(products)
    known = size > _ROUNDING * max(float(size.max()), 1e-300)
    scale = np.sqrt(np.where(known, size, 1.0))
    found: Array = np.where(known[:, None] & known, products / np.outer(scale, scale), np.nan)
    return found


def root_mean_square(x: Tensor) -> float:
    """√(mean x²), also of numbers whose squares vanish or overflow."""
    size = x.abs().amax()
    return float(size * (x / size).square().mean().sqrt()) if bool(size > 0) else 0.0


def effective_count(contributions: Array | Tensor) -> float:
    """How many terms a sum c₁ + c₂ + … rests on, (Σc)² / Σc²: n for equal ones, 0 where all are 0."""
    squares = float((contributions * contributions).sum())
    return float(contributions.sum()) ** 2 / squares if squares > 0 else 0.0


def _rank_count(ranked: Array) -> float:
    """How many samples the variance of ranks rests on: n for two values, 0.56 n without ties."""
    return effective_count(np.square(ranked - ranked.mean()))


def shared_and_joint(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of a weighted Jaccard index, elementwise: numbers of unequal sign share nothing."""
    same = a * b > 0
    a, b = a.abs(), b.abs()
    return torch.where(same, torch.minimum(a, b), 0.0), torch.where(same, torch.maximum(a, b), a + b)


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
