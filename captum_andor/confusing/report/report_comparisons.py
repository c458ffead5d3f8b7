"""Comparisons in a report: of models, of baselines and masks.

Source: this package.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import check_count
from captum_andor.confusing.report.report_plots import ReportPlots
from captum_andor.confusing.scores.overlap import SetRule, overlap, reliability
from captum_andor.confusing.scores.similarity import Similarity

if TYPE_CHECKING:
    import pandas as pd

_CONTROLS = ("n_active", "ink")


class ReportComparisons(ReportPlots):
    """How far rankings and decisions agree: across models, across baselines and masks, with other evidence."""

    def overlap(
        self,
        score: str | None = None,
        fraction: float = 0.1,
        threshold: float | None = None,
        controls: Sequence[str | npt.ArrayLike] = _CONTROLS,
        noise_bound: float | None = None,
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Do two models agree on their confusing samples, and on more than chance, loss or another grid would give?

        Args:
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            fraction (float, optional): As in :meth:`confusing_sets`. Default: 0.1
            threshold (float, optional): As in :meth:`confusing_sets`. Default: None
            controls (sequence of str or array, optional): What ``partial_spearman`` holds fixed: columns of
                :attr:`scores`, of both models, or arrays of one number per sample. Default: ("n_active", "ink")
            noise_bound (float, optional): For split scores: ``ceiling_noise`` compares with splits of this noise bound.
                Default: None (not computed)
            n_resamples (int, optional): Bootstrap samples of each interval. Default: 1000
            seed (int, optional): Of the bootstrap, and of the order of samples with equal scores. Default: 0

        Returns:
            - **overlap** (*pandas.DataFrame*): One row per pair of models: ``pair``, ``model_a``, ``model_b``,
              ``score``; ``n_a``, ``n_b``, sizes of the sets, and ``tied_a``, ``tied_b``, the share of each that was
              drawn among equal scores; ``iou`` with its 95 % interval over samples and ``chance``, what independent
              sets of these sizes have, r / (2 − r) for a share r; ``spearman`` of the scores with interval,
              ``partial_spearman``; ``auc_a_for_b``, how well a's score finds b's set; ``reliability_a``,
              ``reliability_b``, ``spearman_corrected`` for these (NaN without several views); ``ceiling_mask``,
              ``ceiling_baseline``, ``ceiling_noise``, IoU of a model's set with its own under another mask, baseline or
              noise bound, to be compared with ``iou_one_view``; ``loss_iou``, ``loss_spearman``,
              ``loss_partial_spearman`` and the same by margin; ``spearman_given_loss``, with both models' loss and
              margin held fixed, too.

        Raises:
            ValueError: If there is one model only, no such column, or a number is out of its range.

        Source: this package; the correction for reliability is Spearman's (1904).
        """
        if len(self.models) < 2:
            raise ValueError(f"overlap compares models; there is only {self.models[0]!r}.")
        check_count("n_resamples", n_resamples)
        rule, column = SetRule(fraction, threshold, seed), self.column_named(score)
        return overlap(self.scoring, column, rule, tuple(controls), noise_bound, n_resamples, seed)

    def reliability(self) -> pd.DataFrame:
        """Test-retest correlation of each score under another baseline or mask of the same model.

        Returns:
            - **reliability** (*pandas.DataFrame*): One row per model and score: ``retest``, mean rank correlation over
              all pairs of views; ``retest_baseline`` and ``retest_mask``, over those that differ in this alone;
              ``reliability`` of the summed ranks (Spearman–Brown). NaN where there are no such views.
        """
        return reliability(self.scoring)

    def similarity(self, by_group: bool = False, fraction: float = 0.1) -> pd.DataFrame:
        """How alike two models decide each sample: attributions, interactions, and how patterns carry over.

        Args:
            by_group (bool, optional): Average over samples that are confusing for either model, and over the others,
                instead of a row per sample. Default: False
            fraction (float, optional): Share of the samples that is confusing. Default: 0.1

        Returns:
            - **similarity** (*pandas.DataFrame*): One row per sample and pair of models, or per pair and ``group``:
              ``value_correlation``, of v over all masked inputs; ``attribution_cosine``, ``attribution_spearman`` of
              Shapley values; ``interaction_jaccard``, weighted, of
              equal players, kind and sign, in all and by order (``interaction_jaccard_1``, …); ``cross_r2``, how much
              of one model's v the ten patterns of the other explain after one scale ≥ 0 and shift, in both directions
              and their mean, and ``own_r2``, of the model's own v. Each has a ``…_ceiling``: the same between two
              baselines or masks of one model, players of different masks matched by the elements they share (NaN
              without several). For attributions that :meth:`ConfusingSampleAnalyzer.evaluate` was given:
              ``<name>_cosine`` and ``<name>_spearman``.

        Raises:
            ValueError: If there is one model only.
        """
        table = self._similarity.table()
        return self._by_group(table, fraction) if by_group else table

    @functools.cached_property
    def _similarity(self) -> Similarity:
        return Similarity(self.scoring.complete())

    def value_similarity(self, by_group: bool = False, fraction: float = 0.1) -> pd.DataFrame:
        """How alike v is under two models, over the masked inputs that were evaluated; no patterns are needed.

        Args:
            by_group (bool, optional): As in :meth:`similarity`. Default: False
            fraction (float, optional): As in :meth:`similarity`. Default: 0.1

        Returns:
            - **similarity** (*pandas.DataFrame*): As :meth:`similarity`, with ``value_correlation`` and
              ``value_correlation_ceiling``.

        Raises:
            ValueError: If there is one model only.
        """
        table = Similarity(self.scoring, of_values=True).table()
        return self._by_group(table, fraction) if by_group else table

    def _by_group(self, table: pd.DataFrame, fraction: float) -> pd.DataFrame:
        rule = SetRule(fraction)
        members = {name: rule.members(self.scoring, name, self.scoring.primary) for name in self.models}
        pairs = dict.fromkeys(table["pair"])  # each with a row per sample, in their order
        of_pair = np.concatenate([members[a] | members[b] for a, b in pairs])
        table["group"] = np.where(of_pair, "confusing", "ordinary")
        by = ["model_a", "model_b", "group"]
        averaged = table.sort_values("group", kind="stable").drop(columns=["sample", "pair"]).groupby(by, sort=False)
        return averaged.mean().assign(n=averaged.size()).reset_index()
