"""Scores of confusion, their statistics across models, and the analyzer that reports them."""

from captum_andor._utils.statistics import auc, bootstrap, partial_spearman, spearman
from captum_andor.confusing.analyzer import ConfusingSampleAnalyzer
from captum_andor.confusing.report.confusing_report import ConfusingReport
from captum_andor.confusing.scores.label_noise import known_samples as known_samples
from captum_andor.confusing.scores.overlap import SetRule as SetRule
from captum_andor.confusing.scores.score_formulas import (
    VALUE_SCORES as VALUE_SCORES,
    high_order as high_order,
    offsetting_strength as offsetting_strength,
    order_profile as order_profile,
)
from captum_andor.confusing.scores.scoring import Scoring as Scoring
from captum_andor.confusing.scores.similarity import jaccard as jaccard

__all__ = ["ConfusingReport", "ConfusingSampleAnalyzer", "auc", "bootstrap", "partial_spearman", "spearman"]
