"""The Captum attribution class, its results, and comparisons of several results."""

from captum_andor.explain.attribution import AndOrInteractions
from captum_andor.explain.averaging import averaged_interactions
from captum_andor.explain.comparison import Comparison, common_patterns, compare, similarity
from captum_andor.explain.deletion import DeletionCurve, deletion_curve
from captum_andor.explain.estimate import GameEstimate
from captum_andor.explain.explanation import AndOrExplanation
from captum_andor.explain.logical_model import LogicalModel, complete_model as complete_model

__all__ = [
    "AndOrExplanation",
    "AndOrInteractions",
    "Comparison",
    "DeletionCurve",
    "GameEstimate",
    "LogicalModel",
    "averaged_interactions",
    "common_patterns",
    "compare",
    "deletion_curve",
    "similarity",
]
