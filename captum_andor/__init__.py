"""AND-OR interactions for Captum: which input variables act together, and which stand in for each other."""

from captum_andor._version import __version__
from captum_andor.attribution import AndOrInteractions
from captum_andor.confusing import ConfusingReport, ConfusingSampleAnalyzer
from captum_andor.explanation import AndOrExplanation
from captum_andor.logical_model import LogicalModel
from captum_andor.outputs import MaskedOutputs
from captum_andor.patterns import Interaction
from captum_andor.study import LayerSwapResult, LayerSwapStudy

__all__ = [
    "AndOrExplanation",
    "AndOrInteractions",
    "ConfusingReport",
    "ConfusingSampleAnalyzer",
    "Interaction",
    "LayerSwapResult",
    "LayerSwapStudy",
    "LogicalModel",
    "MaskedOutputs",
    "__version__",
]
