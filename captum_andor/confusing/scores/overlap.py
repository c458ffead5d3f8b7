"""Do two models agree on their confusing samples, and is it more than chance, loss or another grid would give?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import check_arguments
from captum_andor._utils.statistics import (
    Array,
    auc,
    auc_of_ranks,
    chance_iou,
    disattenuated,
    iou,
    iou_interval,
    partial_spearman,
    pearson,
    ranks,
    residuals,
    share_tied,
    spearman,
    spearman_brown,
    spearman_interval,
    spearman_intervals,
    top,
)
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.scores.score_formulas import REFERENCE_SCORES, SPLIT_SCORES
from captum_andor.confusing.scores.scoring import Scoring

if TYPE_CHECKING:
    import pandas as pd

Members = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SetRule:
    """Which samples a set takes: the most suspicious share, or all whose score reaches a threshold.

    Attributes:
        fraction: The share.
        threshold: On the score itself (a mean over views); None for the share.
        seed: Of the order of ties, which is random and another one for each model.
    """

    fraction: float = 0.1
    threshold: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_arguments(vars(self))

    def order(self, scoring: Scoring, name: str, column: str) -> npt.NDArray[np.int64]:
        """The set of a model by a score, most suspicious first."""
        order = top(scoring.suspicion(name, column), len(scoring), name, self.seed)
        if self.threshold is None:
            return order[: self.count(len(scoring))]
        return order[scoring.as_suspicion(name, column)[order] >= self.threshold]

    def tied(self, scoring: Scoring, name: str, column: str) -> float:
        """Share of the set that was drawn among samples of equal scores."""
        if self.threshold is not None:
            return 0.0
        count = self.count(len(scoring))
        return scoring.memoised(
            ("tied", self, name, column), lambda: share_tied(scoring.suspicion(name, column), count)
        )

    def members(self, scoring: Scoring, name: str, column: str) -> Members:
        """The set as a mask, shape ``(N,)``."""
        return scoring.memoised(
            ("members", self, name, column), lambda: _mask(self.order(scoring, name, column), len(scoring))
        )

    def share_of(self, suspicion: Array, label: str) -> Members:
        """The most suspicious share, whatever the scores are called; ties are broken by the label of whose they are."""
        return _mask(top(suspicion, self.count(len(suspicion)), label, self.seed), len(suspicion))

    def agreement(self, first: Array, second: Array) -> float:
        """IoU of the most suspicious shares by two scores, ties broken independently."""
        return iou(self.share_of(first, "first"), self.share_of(second, "second"))

    def count(self, n_samples: int) -> int:
        """How many samples the share holds: at least one."""
        return max(1, round(self.fraction * n_samples))


def _mask(positions: npt.NDArray[np.int64], size: int) -> Members:
    members = np.zeros(size, dtype=bool)
    members[positions] = True
    return members


def pairs_of_views(scoring: Scoring, changed: str) -> list[tuple[View, View]]:
    """Pairs of views that differ in the ``"baseline"`` alone, the ``"mask"`` alone, or in ``"any"`` way."""
    pairs = list(combinations(scoring.views, 2))
    if changed == "baseline":
        return [(a, b) for a, b in pairs if a.mask == b.mask]
    if changed == "mask":
        return [(a, b) for a, b in pairs if a.baseline == b.baseline]
    return pairs


def mean_retest(scoring: Scoring, name: str, column: str, changed: str, rule: SetRule | None = None) -> float:
    """Mean agreement of a score with itself under other views of the same model; NaN without such views.

    Agreement is rank correlation or, with a rule, the IoU of the sets that it makes.
    """
    if column not in scoring.wanted:  # it knows no views
        return float("nan")
    statistic = spearman if rule is None else rule.agreement

    def mean() -> float:
        return mean_known(
            [
                statistic(scoring.suspicion(name, column, (a,)), scoring.suspicion(name, column, (b,)))
                for a, b in pairs_of_views(scoring, changed)
            ]
        )

    return scoring.memoised(("mean_retest", name, column, changed, rule), mean)


def reliability(scoring: Scoring) -> pd.DataFrame:
    """Test-retest agreement of every score of every model."""
    import pandas as pd

    rows = []
    for name in scoring.names:
        for score in scoring.wanted:
            retest = mean_retest(scoring, name, score, "any")
            rows.append(
                {
                    "model": name,
                    "score": score,
                    "retest": retest,
                    "retest_baseline": mean_retest(scoring, name, score, "baseline"),
                    "retest_mask": mean_retest(scoring, name, score, "mask"),
                    "reliability": spearman_brown(retest, len(scoring.views)),
                }
            )
    return pd.DataFrame(rows)


def overlap(
    scoring: Scoring,
    column: str,
    rule: SetRule,
    controls: Sequence[Any],
    noise_bound: float | None,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """One row per pair of models; see :meth:`ConfusingReport.overlap`. It is computed once for the same arguments."""
    import pandas as pd

    controls = [c if isinstance(c, str) else np.asarray(c, dtype=np.float64) for c in controls]

    def table() -> pd.DataFrame:
        intervals = _intervals(scoring, column, n_resamples, seed)
        rows = []
        for a, b in combinations(scoring.names, 2):
            pair = ModelPair(scoring, a, b, column, rule)
            beside = pair.beside(controls)
            rows.append(
                {
                    "pair": (a, b),
                    "model_a": a,
                    "model_b": b,
                    "score": column,
                    **pair.agreement(intervals[a, b], beside.pop("partial_spearman")),
                    **pair.corrected(),
                    **pair.ceilings(noise_bound),
                    **beside,
                }
            )
        return pd.DataFrame(rows)

    if not all(isinstance(control, str) for control in controls):
        return table()
    key = ("overlap", column, rule, tuple(controls), noise_bound, n_resamples, seed)
    return scoring.memoised(key, table).copy()


def _intervals(
    scoring: Scoring, column: str, n_resamples: int, seed: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Interval of the rank correlation of every two models, all resampled together where every score is known."""
    found = np.stack([scoring.suspicion(name, column) for name in scoring.names])
    pairs = list(combinations(range(len(found)), 2))
    if np.isnan(found).any():
        ends = [spearman_interval(found[i], found[j], n_resamples, seed) for i, j in pairs]
    else:
        low, high = spearman_intervals(np.stack([ranks(row) for row in found]), n_resamples, seed)
        ends = [(float(low[i, j]), float(high[i, j])) for i, j in pairs]
    return {(scoring.names[i], scoring.names[j]): end for (i, j), end in zip(pairs, ends, strict=True)}


@dataclass(frozen=True)
class ModelPair:
    """Two models of an evaluation, compared by one score.

    Attributes:
        scoring: The evaluation.
        a: Name of the first model.
        b: Name of the second model.
        column: The score or column of the table that ranks the samples.
        rule: Which samples a set takes.
    """

    scoring: Scoring
    a: str
    b: str
    column: str
    rule: SetRule

    @property
    def names(self) -> tuple[str, str]:
        """Names of both models."""
        return self.a, self.b

    def suspicions(self, column: str | None = None, views: tuple[View, ...] | None = None) -> tuple[Array, Array]:
        """How suspicious each sample is to either model, by the pair's own column or another one."""
        a, b = (self.scoring.suspicion(name, column or self.column, views) for name in self.names)
        return a, b

    def agreement(self, spearman_ends: tuple[float, float], partial: float) -> dict[str, Any]:
        """Overlap of the two sets beside chance, and rank correlation, both with 95 % intervals over samples."""
        set_a, set_b = (self.rule.members(self.scoring, name, self.column) for name in self.names)
        n = len(self.scoring)
        iou_low, iou_high = iou_interval(int(set_a.sum()), int(set_b.sum()), int((set_a & set_b).sum()), n)
        low, high = spearman_ends
        tied_a, tied_b = (self.rule.tied(self.scoring, name, self.column) for name in self.names)
        return {
            "n_a": int(set_a.sum()),
            "n_b": int(set_b.sum()),
            "tied_a": tied_a,
            "tied_b": tied_b,
            "iou": iou(set_a, set_b),
            "iou_low": iou_low,
            "iou_high": iou_high,
            "chance": chance_iou(int(set_a.sum()), int(set_b.sum()), n),
            "spearman": self._spearman(self.column),
            "spearman_low": low,
            "spearman_high": high,
            "partial_spearman": partial,
            "auc_a_for_b": self._auc(self.a, set_b),
            "auc_b_for_a": self._auc(self.b, set_a),
        }

    def _ranks(self, name: str, column: str) -> Array:
        """Ranks of the samples of one model, computed once; NaN stays."""
        return self.scoring.memoised(("ranks", name, column), lambda: ranks(self.scoring.suspicion(name, column)))

    def _spearman(self, column: str) -> float:
        x, y = (self._ranks(name, column) for name in self.names)
        return spearman(x, y) if np.isnan(x).any() or np.isnan(y).any() else pearson(x, y)

    def _auc(self, name: str, inside: Members) -> float:
        rank = self._ranks(name, self.column)
        return auc(rank, inside) if np.isnan(rank).any() else auc_of_ranks(rank, inside)

    def _shares(self, rule: SetRule, column: str, views: tuple[View, ...] | None = None) -> float:
        """IoU of both models' most suspicious shares, whatever the rule's threshold; ties are broken independently."""
        sets = []
        for name, label in zip(self.names, ("first", "second"), strict=True):
            suspicion = self.scoring.suspicion(name, column, views)
            make = functools.partial(rule.share_of, suspicion, label)
            sets.append(self.scoring.memoised(("share", rule, name, column, views, label), make))
        return iou(*sets)

    def _ranks_of_control(self, control: Array) -> Array:
        """Ranks of a control, computed once for columns of the table, which stay the same objects."""
        kept = self.scoring.memoised(("ranks of controls",), dict[int, tuple[Array, Array]])
        if id(control) not in kept:
            kept[id(control)] = control, ranks(control)
        return kept[id(control)][1]

    def partial(self, columns: Sequence[str], given: Sequence[Array]) -> list[float]:
        """Rank correlation of both models by each column, given others."""
        ranked = [self._ranks(name, column) for column in columns for name in self.names]
        if np.isnan(np.sum([*ranked, *given], axis=0)).any():
            return [partial_spearman(*self.suspicions(column), given) for column in columns]
        left = residuals(np.stack(ranked), [self._ranks_of_control(control) for control in given])
        return [pearson(x, y) for x, y in zip(left[::2], left[1::2], strict=True)]

    def corrected(self) -> dict[str, float]:
        """Rank correlation divided by the reliability of both scores; NaN with a single view."""
        views = len(self.scoring.views)
        of_a, of_b = (spearman_brown(mean_retest(self.scoring, name, self.column, "any"), views) for name in self.names)
        corrected = disattenuated(self._spearman(self.column), of_a, of_b)
        return {"reliability_a": of_a, "reliability_b": of_b, "spearman_corrected": corrected}

    def ceilings(self, noise_bound: float | None) -> dict[str, float]:
        """Overlap of a model's set with its own set under another mask, baseline or noise bound; mean of both models.

        Beside them the overlap of the two models' sets under one and the same view, which is what they compare with.
        """
        scoring, column = self.scoring, self.column

        def mean_of_both(statistic: Callable[[str], float]) -> float:
            return mean_known([statistic(name) for name in self.names])

        result = {
            "ceiling_mask": mean_of_both(lambda name: mean_retest(scoring, name, column, "mask", self.rule)),
            "ceiling_baseline": mean_of_both(lambda name: mean_retest(scoring, name, column, "baseline", self.rule)),
            "ceiling_noise": float("nan"),
            "iou_one_view": float("nan"),
        }
        if noise_bound is not None and column in (*SPLIT_SCORES, *REFERENCE_SCORES):
            bound = float(noise_bound)
            result["ceiling_noise"] = mean_of_both(
                lambda name: _noise_ceiling(scoring, name, column, bound, self.rule.agreement)
            )
        if column in scoring.wanted:
            result["iou_one_view"] = mean_known([self._shares(self.rule, column, (view,)) for view in scoring.views])
        return result

    def beside(self, controls: Sequence[Any]) -> dict[str, float]:
        """Agreement given the controls; that of the two models by loss and by margin; and given these, too."""
        share = SetRule(self.rule.fraction, seed=self.rule.seed)
        given = controls_of(self.scoring, self.names, controls)
        partial, by_loss, by_margin = self.partial([self.column, "loss", "margin"], given)
        result = {"partial_spearman": partial}
        for other, of_other in (("loss", by_loss), ("margin", by_margin)):
            result[f"{other}_iou"] = self._shares(share, other)
            result[f"{other}_spearman"] = self._spearman(other)
            result[f"{other}_partial_spearman"] = of_other
        both = controls_of(self.scoring, self.names, [*controls, "loss", "margin"])
        result["spearman_given_loss"] = self.partial([self.column], both)[0]
        return result


def _noise_ceiling(
    scoring: Scoring, name: str, column: str, noise_bound: float, statistic: Callable[[Array, Array], float]
) -> float:
    return mean_known(
        [
            statistic(scoring.view_scores(name, view)[column], scoring.view_scores(name, view, noise_bound)[column])
            for view in scoring.views
        ]
    )


def controls_of(scoring: Scoring, names: Sequence[str], controls: Sequence[Any]) -> list[Array]:
    """The control columns of a partial correlation: those named, of each model, and arrays; duplicates are dropped."""
    found: list[Array] = []
    for control in controls:
        columns = [scoring.as_suspicion(name, control) for name in names] if isinstance(control, str) else [control]
        for column in columns:
            numbers = np.asarray(column, dtype=np.float64)
            if numbers.shape != (len(scoring),):
                raise ValueError(
                    f"controls must be columns of the scores or hold one number for each of {len(scoring)} samples; "
                    f"got an array of shape {numbers.shape}."
                )
            if not any(np.array_equal(numbers, other, equal_nan=True) for other in found):
                found.append(numbers)
    return found


def mean_known(found: Sequence[float]) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
