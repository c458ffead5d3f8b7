"""Variance components of a crossed design: low part, high part, data order, residual.

Cell (i, j) is a network with low part i and high part j, its data order k = (i + j) mod M. For a sample x a score is
y = common + L_i + H_j + O_k + rest; the mean product of two cells' scores is V_L where they share the row, V_H where
they share the column, V_O where they share the order, and nothing beside what all have in common where they share none.
Differences of these means are the components without bias, equal to those of the analysis of variance where no cell is
missing, and defined where some are: so they serve the jackknife, too.

Source: Variance components: Searle, Casella and McCulloch 1992; the crossed jackknife after Owen 2007.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from captum_andor._utils.checks import COUNT, constrained
from captum_andor._utils.statistics import Array, ranks

if TYPE_CHECKING:
    import pandas as pd

Factors: TypeAlias = "tuple[str, ...]"
_GROUPS = 10  # of samples, left out one at a time
_LEAST_LEVELS = 3
_SAME, _LOW, _HIGH, _ORDER, _NONE = range(5)  # what two cells have in common


def seed_shares(
    scores: Any, order: str | None = "latin", *, ranked: bool = True, groups: int = _GROUPS
) -> pd.DataFrame:
    """Of what differs between networks for a sample, the share that each part decides.

    Args:
        scores (array or Tensor): Shape ``(views, M, M, samples)`` or ``(M, M, samples)``: entry ``[v, i, j]`` is of the
            network with low part i and high part j, under view v, such as a baseline. With several views only what
            these agree on counts: every square is a product of two of them.
        order (str, optional): ``"latin"``, the data order of cell (i, j) is (i + j) mod M, and has a share; None, data
            orders are the cells' own, part of the rest. Default: "latin"
        ranked (bool, optional): Rank the samples within each network first. Default: True
        groups (int, optional): Groups of samples that the jackknife leaves out. Default: 10

    Returns:
        - **shares** (*pandas.DataFrame*): Rows ``low``, ``high``, ``order`` (with a Latin square) and ``rest``: what no
          part decides alone. Columns ``share`` (they add up to 1; an estimate may be negative), ``lower`` and
          ``upper``, the ends of its 95 % interval over low levels, high levels and samples.

    Raises:
        TypeError: If scores are no numbers.
        ValueError: If the shape is another, there are fewer than 3 levels, scores are not finite, or no network differs
            from another.

    Examples::

        >>> rng = np.random.default_rng(0)
        >>> low, rest = rng.normal(size=(8, 1, 400)), rng.normal(size=(8, 8, 400))
        >>> shares = seed_shares(low + rest)  # half of what differs is the low part's
        >>> float(round(shares.loc["low", "share"], 1)), list(shares.index)
        (0.5, ['low', 'high', 'order', 'rest'])
    """
    return shares_of(_checked(scores, order), order, ranked, groups).table()


@dataclass(frozen=True)
class Shares:
    """Shares and what they become when levels or samples are left out.

    Attributes:
        factors: What the shares are of.
        whole: The shares, shape ``(F,)``.
        without_low: Without each low level, ``(M, F)``.
        without_high: Without each high level, ``(M, F)``.
        without_both: Without one of each, ``(M, M, F)``.
        without_group: Without each group of samples, ``(G, F)``.
        variance: Of what differs between networks, in units of the variance of a network's scores; in shares of what is
            no instability, less that between copies.
        without_copies: Without the copies of each cell, or each copy where all are of one, ``(U, F)``, in shares of
            what is no instability; else None.
    """

    factors: Factors
    whole: Array
    without_low: Array
    without_high: Array
    without_both: Array
    without_group: Array
    variance: float
    without_copies: Array | None = None

    def __sub__(self, other: Shares) -> Shares:
        """Differences of shares, e.g. of a score less those of the margin, with the same jackknife."""
        return Shares(
            self.factors,
            self.whole - other.whole,
            self.without_low - other.without_low,
            self.without_high - other.without_high,
            self.without_both - other.without_both,
            self.without_group - other.without_group,
            math.nan,
            None
            if self.without_copies is None or other.without_copies is None
            else self.without_copies - other.without_copies,
        )

    def low_less_high(self) -> tuple[float, float, float]:
        """Share of the low part less that of the high part, with its interval."""
        weights = np.array([{"low": 1.0, "high": -1.0}.get(factor, 0.0) for factor in self.factors])
        whole, half = self.whole @ weights, self._half(weights)
        return float(whole), float(whole - half), float(whole + half)

    def table(self, confidence: float = 0.95) -> pd.DataFrame:
        """Shares with their intervals, a row each."""
        import pandas as pd

        half = np.array([self._half(weights, confidence) for weights in np.eye(len(self.factors))])
        return pd.DataFrame(
            {"share": self.whole, "lower": self.whole - half, "upper": self.whole + half}, index=list(self.factors)
        )

    def _half(self, weights: Array, confidence: float = 0.95) -> float:
        """Half of the interval of a weighted sum of shares."""
        low, high, both, group = (
            part @ weights for part in (self.without_low, self.without_high, self.without_both, self.without_group)
        )
        of_low, of_high, of_samples = map(jackknifed_variance, (low, high, group))
        crossed = both - low[:, None] - high[None] + self.whole @ weights
        of_both = (len(low) - 1) * (len(high) - 1) / crossed.size * float(np.square(crossed - crossed.mean()).sum())
        variance = max(of_low + of_high + of_samples - 2 * of_both, of_low, of_high, of_samples)
        uncertain = of_low**2 / (len(low) - 1) + of_high**2 / (len(high) - 1) + of_samples**2 / (len(group) - 1)
        least = min(len(low), len(high))
        # Copies are drawn apart from the cells. What is deleted twice is not taken off: of a ratio it is known worse.
        if self.without_copies is not None:
            of_copies, count = jackknifed_variance(self.without_copies @ weights), len(self.without_copies)
            variance, uncertain = of_low + of_high + of_samples + of_copies, uncertain + of_copies**2 / (count - 1)
            least = min(least, count)
        return half_interval(variance, uncertain, least - 1, confidence)


@dataclass(frozen=True)
class Instability:
    """Variance between copies of one network, mean over networks, and what it becomes when some are left out.

    Attributes:
        whole: Of all copies.
        without_copies: Without those of each network, or without each copy where all are of one, ``(U,)``.
        without_group: Without each group of samples, ``(G,)``.
    """

    whole: float
    without_copies: Array
    without_group: Array

    @classmethod
    def of(cls, products: Array, cells: npt.NDArray[np.int64]) -> Instability:
        """From mean products of every two copies over each group of samples, ``(G, K, K)``, and the cell of each."""
        mean = products.mean(0)
        left = (products.sum(0) - products) / (len(products) - 1)
        each = [cells == cell for cell in dict.fromkeys(cells.tolist())]

        def variance(gram: Array) -> Array:
            return np.array([_between(gram[np.ix_(own, own)]) for own in each])

        if len(each) > 1:
            of_cells = variance(mean)
            without = (of_cells.sum() - of_cells) / (len(each) - 1)
        else:
            without = np.array([_between(np.delete(np.delete(mean, i, 0), i, 1)) for i in range(len(mean))])
        return cls(float(variance(mean).mean()), without, np.array([float(variance(gram).mean()) for gram in left]))


@dataclass(frozen=True)
class CellProducts:
    """Mean products of every two cells' scores over samples: all that shares and their jackknife are made of.

    Attributes:
        mean: Over all samples, ``(C, C)`` for C cells in the order of rows.
        of_groups: Over each group of samples, the means of the pairs that have equal things in common, ``(G, 5)``: the
            cell, the row, the column, the order, nothing.
        levels: Numbers of rows and columns.
        order: As :func:`seed_shares`.
    """

    mean: Array
    of_groups: Array
    levels: tuple[int, int]
    order: str | None

    @classmethod
    def of(
        cls, y: Array, order: str | None, of_sample: npt.NDArray[np.int64], groups: int = _GROUPS,
        across_views: bool = True,
    ) -> CellProducts:  # fmt: skip
        """Of standardised scores ``(V, M, M', E)``."""
        products, levels = grouped_products(y, of_sample, groups, across_views), (y.shape[1], y.shape[2])
        relation = _relations(*levels, order)
        return cls(products.mean(0), np.stack([_means(gram, relation) for gram in products]), levels, order)

    @property
    def relation(self) -> npt.NDArray[np.int64]:
        """What every two cells have in common: ``(C, C)``."""
        return _relations(*self.levels, self.order)

    def components(self, kept: npt.NDArray[np.bool_] | None = None) -> Array:
        """Variance components of low part, high part, order and rest, of all cells or of those that are kept."""
        if kept is None:
            return _components(_means(self.mean, self.relation), bool(self.order))
        both = np.ix_(kept, kept)
        return _components(_means(self.mean[both], self.relation[both]), bool(self.order))

    def components_without_groups(self) -> list[Array]:
        """The same of all cells, without each group of samples."""
        left = (self.of_groups.sum(0) - self.of_groups) / (len(self.of_groups) - 1)
        return [_components(means, bool(self.order)) for means in left]


def _between(gram: Array) -> float:
    """Variance between networks from their mean products: equal squares less what two have in common."""
    count = len(gram)
    return float((np.trace(gram) - (gram.sum() - np.trace(gram)) / (count - 1)) / count)


def half_interval(variance: float, uncertain: float, least: int, confidence: float) -> float:
    """Half of an interval by Student's t: a sum of variances, Satterthwaite's degrees of freedom, at least so many."""
    from scipy.stats import t

    if not variance > 0:
        return 0.0
    freedom = max(variance**2 / uncertain, least)
    return float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)


def jackknifed_variance(without: Array) -> float:
    """Variance of a statistic from its values without each unit."""
    return (len(without) - 1) / len(without) * float(np.square(without - without.mean()).sum())


def _checked(scores: Any, order: str | None) -> Array:
    """Scores as float64 ``(views, M, M', samples)``."""
    given = scores.detach().cpu().numpy() if isinstance(scores, torch.Tensor) else np.asarray(scores)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"scores must be real numbers; got an array of {given.dtype}.")
    found = given.astype(np.float64)
    found = found[None] if found.ndim == 3 else found
    if order not in ("latin", None):
        raise ValueError(f'order must be "latin" or None; got {order!r}.')
    if found.ndim != 4:
        raise ValueError(
            f"scores must have the shape (views, M, M, samples) or (M, M, samples); got {tuple(given.shape)}."
        )
    if order == "latin" and found.shape[1] != found.shape[2]:
        raise ValueError(
            f"scores are of {found.shape[1]} low and {found.shape[2]} high levels; a Latin square of data orders has "
            "as many of each. Pass order=None, which counts data orders to the rest, or leave levels out."
        )
    if min(found.shape[1:3]) < _LEAST_LEVELS:
        raise ValueError(f"scores must be of at least {_LEAST_LEVELS} levels of each part; got {found.shape[1:3]}.")
    if not np.isfinite(found).all():
        raise ValueError("scores must be finite.")
    return found


def standardised(scores: Array, ranked: bool) -> Array:
    """Scores at mean 0 and variance 1 over the samples of each network, their ranks if so wished; 0 where constant."""
    flat = scores.reshape(-1, scores.shape[-1])
    values = np.stack([ranks(row) for row in flat]) if ranked else flat
    largest = np.abs(values).max(-1, keepdims=True)
    values = values / np.where(largest > 0, largest, 1.0)  # whose squares are numbers, however large scores are
    values = values - values.mean(-1, keepdims=True)
    size = values.std(-1, keepdims=True)
    found: Array = np.where(size > 0, values / np.where(size > 0, size, 1.0), 0.0).reshape(scores.shape)
    return found


def shares_of(
    scores: Array,
    order: str | None,
    ranked: bool = True,
    groups: int = _GROUPS,
    of_sample: npt.NDArray[np.int64] | None = None,
    across_views: bool = True,
    instability: Instability | None = None,
) -> Shares:
    """Shares of scores ``(views, M, M', entries)`` with their jackknife.

    Args:
        scores: Of samples or, with ``of_sample``, of several entries for each, such as masks; standardised then.
        order: As :func:`seed_shares`.
        ranked: As :func:`seed_shares`.
        groups: As :func:`seed_shares`.
        of_sample: Number of the sample that each entry is of; the entries of a sample stay together.
        across_views: Whether squares are products of different views; else the mean of each view's own.
        instability: As :func:`jackknifed`.
    """
    number = np.arange(scores.shape[-1]) if of_sample is None else of_sample
    y = standardised(scores, ranked) if of_sample is None else scores
    return jackknifed(CellProducts.of(y, order, number, groups, across_views), instability)


@constrained(groups=COUNT)
def grouped_products(
    y: Array, of_sample: npt.NDArray[np.int64], groups: int = _GROUPS, across_views: bool = True
) -> Array:
    """Mean products of every two cells over each group of samples, ``(G, C, C)``, for scores ``(V, …, E)``."""
    samples = int(of_sample.max()) + 1
    if not 2 <= groups <= samples:
        raise ValueError(f"groups must be 2 to {samples}, the number of samples; got {groups}.")
    group = of_sample % groups
    return np.stack([_products(y[..., group == g], across_views) for g in range(groups)])


def jackknifed(products: CellProducts, instability: Instability | None = None) -> Shares:
    """Shares from mean products of cells, over groups of samples of equal size or nearly so.

    Args:
        products: Of the cells.
        instability: Variance between copies, which is taken off the rest and off what differs.
    """
    rows, columns = products.levels
    low, high = np.divmod(np.arange(rows * columns), columns)
    factors = ("low", "high", *(("order",) if products.order else ()), "rest")
    unstable = 0.0 if instability is None else instability.whole

    def shares(found: Array, unstable: float = unstable) -> Array:
        stable = found - unstable * np.eye(len(found))[-1]
        scaled: Array = stable / stable.sum()
        return scaled

    everything = products.components()
    total = float(everything.sum()) - unstable
    if not total > 0:
        what = "beyond chance" if instability is None else "by more than copies of one network do"
        raise ValueError(f"scores do not differ between networks {what}: there is nothing to share out.")
    of_groups = np.full(len(products.of_groups), 0.0) if instability is None else instability.without_group
    return Shares(
        factors,
        shares(everything),
        np.stack([shares(products.components(low != i)) for i in range(rows)]),
        np.stack([shares(products.components(high != j)) for j in range(columns)]),
        np.stack(
            [[shares(products.components((low != i) & (high != j))) for j in range(columns)] for i in range(rows)]
        ),
        np.stack([shares(*each) for each in zip(products.components_without_groups(), of_groups, strict=True)]),
        total,
        None if instability is None else np.stack([shares(everything, u) for u in instability.without_copies]),
    )


def _products(y: Array, across_views: bool) -> Array:
    """Mean products of every two cells over samples, of different views where there are several: ``(C, C)``."""
    views = y.reshape(len(y), -1, y.shape[-1])
    own: Array = np.einsum("vcn,vdn->cd", views, views)
    if len(views) == 1 or not across_views:
        return own / (len(views) * views.shape[-1])
    total = views.sum(0)
    both: Array = total @ total.T - own
    return both / (len(views) * (len(views) - 1) * views.shape[-1])


def _relations(rows: int, columns: int, order: str | None) -> npt.NDArray[np.int64]:
    """What every two cells have in common: ``(C, C)``."""
    low, high = np.divmod(np.arange(rows * columns), columns)
    relation = np.full((rows * columns,) * 2, _NONE)
    if order:
        k = (low + high) % rows
        relation[k[:, None] == k[None]] = _ORDER
    relation[low[:, None] == low[None]] = _LOW
    relation[high[:, None] == high[None]] = _HIGH
    np.fill_diagonal(relation, _SAME)
    return relation


def _means(gram: Array, relation: npt.NDArray[np.int64]) -> Array:
    """Mean products of the pairs of each relation, ``(5,)``; NaN where there are none."""
    return np.array([gram[relation == kind].mean() if (relation == kind).any() else np.nan for kind in range(5)])


def _components(means: Array, has_order: bool) -> Array:
    """Variance components of low part, high part, order and rest, from mean products by relation."""
    named = [means[_LOW] - means[_NONE], means[_HIGH] - means[_NONE]]
    if has_order:
        named.append(means[_ORDER] - means[_NONE])
    return np.array([*named, means[_SAME] - means[_NONE] - sum(named)])
