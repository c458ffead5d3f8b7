"""Which samples does a model decide for reasons that do not generalize?"""

from captum_andor.confusing.analyzer import ConfusingSampleAnalyzer
from captum_andor.confusing.report import ConfusingReport

__all__ = ["ConfusingReport", "ConfusingSampleAnalyzer"]
