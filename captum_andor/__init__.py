"""AND-OR interactions for Captum: which input variables act together, and which stand in for each other."""

from typing import Any

from captum_andor._version import __version__
from captum_andor.confusing import ConfusingReport, ConfusingSampleAnalyzer
from captum_andor.explain import AndOrExplanation, AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.results import Interaction

__all__ = [
    "AndOrExplanation",
    "AndOrInteractions",
    "ConfusingReport",
    "ConfusingSampleAnalyzer",
    "GameEstimate",
    "Interaction",
    "LogicalModel",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Subpackages that the rest does not import, as ``captum_andor.llm`` and ``captum_andor.studies``."""
    if name in ("llm", "studies"):
        from importlib import import_module

        return import_module(f"captum_andor.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
