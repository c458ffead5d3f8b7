"""AND-OR interactions for Captum: which input variables act together, and which stand in for each other."""

from captum_andor._moved import keep_old_paths
from captum_andor._version import __version__
from captum_andor.confusing import ConfusingReport, ConfusingSampleAnalyzer
from captum_andor.explain import AndOrExplanation, AndOrInteractions, GameEstimate, LogicalModel, MaskedOutputs
from captum_andor.patterns import Interaction
from captum_andor.study import LayerSwapResult, LayerSwapStudy

__all__ = [
    "AndOrExplanation",
    "AndOrInteractions",
    "ConfusingReport",
    "ConfusingSampleAnalyzer",
    "GameEstimate",
    "Interaction",
    "LayerSwapResult",
    "LayerSwapStudy",
    "LogicalModel",
    "MaskedOutputs",
    "__version__",
]

keep_old_paths(__name__)
