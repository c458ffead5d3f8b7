"""``ConfusingReport``: what one can ask of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from captum_andor.confusing.scoring import Scoring
from captum_andor.confusing.statistics import top

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ConfusingReport"]


class ConfusingReport:
    """Report."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self.scores: pd.DataFrame = scoring.table()

    def confusing_sets(
        self, fraction: float = 0.1, threshold: float | None = None, score: str | None = None
    ) -> dict[str, list[int]]:
        """Sets."""
        count = max(1, round(fraction * len(self._scoring)))
        return {
            name: top(self._scoring.suspicion(name, score or self._scoring.primary), count).tolist()
            for name in self._scoring.names
        }

    def summary(self) -> None:
        """Print a page."""
        print(self.scores.groupby("model").mean(numeric_only=True))
        np.zeros(1)
