"""Do two models agree on their confusing samples, and is it more than chance, loss or another grid would give?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import check_seed, check_share, is_real
from captum_andor._utils.statistics import (
    Array,
    auc,
    chance_iou,
    disattenuated,
    iou,
    iou_interval,
    partial_spearman,
    share_tied,
    spearman,
    spearman_brown,
    spearman_interval,
    top,
)
from captum_andor.confusing.score_formulas import REFERENCE_SCORES, SPLIT_SCORES
from captum_andor.confusing.scoring import Scoring
from captum_andor.confusing.views import View

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SetRule", "controls_of", "mean_known", "mean_retest", "overlap", "pairs_of_views", "reliability"]

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
        check_share("fraction", self.fraction)
        check_seed(self.seed)
        if self.threshold is not None and (not is_real(self.threshold) or np.isnan(self.threshold)):
            raise ValueError(f"threshold must be None or a number; got {self.threshold!r}.")

    def order(self, scoring: Scoring, name: str, column: str) -> npt.NDArray[np.int64]:
        """The set of a model by a score, most suspicious first."""
        order = top(scoring.suspicion(name, column), len(scoring), name, self.seed)
        if self.threshold is None:
            return order[: self.count(len(scoring))]
        return order[scoring.oriented(name, column)[order] >= self.threshold]

    def tied(self, scoring: Scoring, name: str, column: str) -> float:
        """Share of the set that was drawn among samples of equal scores."""
        if self.threshold is not None:
            return 0.0
        return share_tied(scoring.suspicion(name, column), self.count(len(scoring)))

    def members(self, scoring: Scoring, name: str, column: str) -> Members:
        """The set as a mask, shape ``(N,)``."""
        return _mask(self.order(scoring, name, column), len(scoring))

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


def mean_retest(
    scoring: Scoring, name: str, column: str, changed: str, statistic: Callable[[Array, Array], float]
) -> float:
    """Mean agreement of a score with itself under other views of the same model; NaN without such views."""
    if column not in scoring.wanted:  # it knows no views
        return float("nan")
    found = [
        statistic(scoring.suspicion(name, column, [a]), scoring.suspicion(name, column, [b]))
        for a, b in pairs_of_views(scoring, changed)
    ]
    return mean_known(found)


def reliability(scoring: Scoring) -> pd.DataFrame:
    """Test-retest agreement of every score of every model."""
    import pandas as pd

    rows = []
    for name in scoring.names:
        for score in scoring.wanted:
            retest = mean_retest(scoring, name, score, "any", spearman)
            rows.append(
                {
                    "model": name,
                    "score": score,
                    "retest": retest,
                    "retest_baseline": mean_retest(scoring, name, score, "baseline", spearman),
                    "retest_mask": mean_retest(scoring, name, score, "mask", spearman),
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
    """One row per pair of models; see :meth:`ConfusingReport.overlap`."""
    import pandas as pd

    rows = []
    for a, b in combinations(scoring.names, 2):
        pair = ModelPair(scoring, a, b, column, rule)
        rows.append(
            {
                "pair": (a, b),
                "model_a": a,
                "model_b": b,
                "score": column,
                **pair.agreement(controls, n_resamples, seed),
                **pair.corrected(),
                **pair.ceilings(noise_bound),
                **pair.beside(controls),
            }
        )
    return pd.DataFrame(rows)


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

    def suspicions(self, column: str | None = None, views: Sequence[View] | None = None) -> tuple[Array, Array]:
        """How suspicious each sample is to either model, by the pair's own column or another one."""
        a, b = (self.scoring.suspicion(name, column or self.column, views) for name in self.names)
        return a, b

    def agreement(self, controls: Sequence[Any], n_resamples: int, seed: int) -> dict[str, Any]:
        """Overlap of the two sets beside chance, and rank correlation, both with 95 % intervals over samples."""
        set_a, set_b = (self.rule.members(self.scoring, name, self.column) for name in self.names)
        score_a, score_b = self.suspicions()
        n = len(self.scoring)
        iou_low, iou_high = iou_interval(int(set_a.sum()), int(set_b.sum()), int((set_a & set_b).sum()), n)
        low, high = spearman_interval(score_a, score_b, n_resamples, seed)
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
            "spearman": spearman(score_a, score_b),
            "spearman_low": low,
            "spearman_high": high,
            "partial_spearman": partial_spearman(score_a, score_b, controls_of(self.scoring, self.names, controls)),
            "auc_a_for_b": auc(score_a, set_b),
            "auc_b_for_a": auc(score_b, set_a),
        }

    def corrected(self) -> dict[str, float]:
        """Rank correlation divided by the reliability of both scores; NaN with a single view."""
        views = len(self.scoring.views)
        of_a, of_b = (
            spearman_brown(mean_retest(self.scoring, name, self.column, "any", spearman), views) for name in self.names
        )
        corrected = disattenuated(spearman(*self.suspicions()), of_a, of_b)
        return {"reliability_a": of_a, "reliability_b": of_b, "spearman_corrected": corrected}

    def ceilings(self, noise_bound: float | None) -> dict[str, float]:
        """Overlap of a model's set with its own set under another mask, baseline or noise bound; mean of both models.

        Beside them the overlap of the two models' sets under one and the same view, which is what they compare with.
        """
        scoring, column = self.scoring, self.column

        def mean_of_both(statistic: Callable[[str], float]) -> float:
            return mean_known([statistic(name) for name in self.names])

        result = {
            "ceiling_mask": mean_of_both(lambda name: mean_retest(scoring, name, column, "mask", self.rule.agreement)),
            "ceiling_baseline": mean_of_both(
                lambda name: mean_retest(scoring, name, column, "baseline", self.rule.agreement)
            ),
            "ceiling_noise": float("nan"),
            "iou_one_view": float("nan"),
        }
        if noise_bound is not None and column in (*SPLIT_SCORES, *REFERENCE_SCORES):
            bound = float(noise_bound)
            result["ceiling_noise"] = mean_of_both(
                lambda name: _noise_ceiling(scoring, name, column, bound, self.rule.agreement)
            )
        if column in scoring.wanted:
            result["iou_one_view"] = mean_known(
                [self.rule.agreement(*self.suspicions(views=[view])) for view in scoring.views]
            )
        return result

    def beside(self, controls: Sequence[Any]) -> dict[str, float]:
        """Agreement of the two models by loss and by margin, and of the scores given both models' loss and margin."""
        result = {}
        share = SetRule(self.rule.fraction, seed=self.rule.seed)
        for other in ("loss", "margin"):
            x, y = self.suspicions(other)
            result[f"{other}_iou"] = share.agreement(x, y)
            result[f"{other}_spearman"] = spearman(x, y)
            given = controls_of(self.scoring, self.names, controls)
            result[f"{other}_partial_spearman"] = partial_spearman(x, y, given)
        both = controls_of(self.scoring, self.names, [*controls, "loss", "margin"])
        result["spearman_given_loss"] = partial_spearman(*self.suspicions(), both)
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
    """The control columns of a partial correlation: those named, of each model, and arrays; duplicates are dropped.

    Raises:
        ValueError: If a name is no column, or an array does not have one number per sample.
    """
    found: list[Array] = []
    for control in controls:
        columns = [scoring.oriented(name, control) for name in names] if isinstance(control, str) else [control]
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
