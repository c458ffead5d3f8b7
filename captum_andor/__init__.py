"""AND-OR interactions for Captum: which input variables act together, and which stand in for each other."""

from captum_andor.attribution import AndOrInteractions
from captum_andor.explanation import AndOrExplanation, Interaction

__all__ = ["AndOrExplanation", "AndOrInteractions", "Interaction"]
__version__ = "0.1.0"
