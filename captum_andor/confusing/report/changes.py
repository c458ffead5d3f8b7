"""What has changed from one model to another, sample by sample: the prediction, v, and which patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from captum_andor.confusing.report.sample_figures import players_of_all
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.explain import complete_model
from captum_andor.results import ResultPlayers
from captum_andor.search import Options

if TYPE_CHECKING:
    import pandas as pd


def changes(scoring: Scoring, old: str, new: str, n_patterns: int) -> pd.DataFrame:
    """A row for each sample.

    Args:
        scoring: Of the models, v on all coalitions.
        old: A model; v is of its label.
        new: The other.
        n_patterns: How many patterns of the difference are told.
    """
    import pandas as pd

    before, after = (scoring.logits(name).argmax(1) for name in (old, new))
    moved, spreads, first = [], [], None
    for view in scoring.views:
        v_old, v_new = (scoring.values(name, view, label_of=old) for name in (old, new))
        difference = v_new - v_old
        moved.append(difference[:, -1])
        spreads.append(_spread(difference, v_old))
        first = difference if first is None else first
    assert first is not None
    return pd.DataFrame(
        {
            **scoring.sample_columns,
            "same_prediction": (before == after).numpy(),
            "predicted_old": before.numpy(),
            "predicted_new": after.numpy(),
            "change": torch.stack(moved).mean(0).numpy(),
            "spread": np.stack([part.numpy() for part in spreads]).mean(0),
            "patterns": _patterns(first, n_patterns, players_of_all(scoring)),
        }
    )


def _spread(difference: Tensor, v: Tensor) -> Tensor:
    """Standard deviation of the difference over the masked inputs, by that of v: ``(N,)``; NaN where v is constant."""
    size = v.std(1, unbiased=False)
    return torch.where(size > 0, difference.std(1, unbiased=False) / torch.where(size > 0, size, 1.0), torch.nan)


def _patterns(difference: Tensor, count: int, players: ResultPlayers) -> list[str]:
    """The strongest patterns of each difference, in words."""
    model = complete_model(difference, Options(max_patterns=count, exact_ends=False), players)
    told: list[list[str]] = [[] for _ in range(len(difference))]
    for pattern in model.patterns:
        kind = "" if pattern.order == 1 else f"{pattern.kind.upper()} "
        label = ", ".join(map(str, pattern.names or pattern.players))
        told[pattern.index[0]].append(f"{kind}{{{label}}} {pattern.value:+.3g}")
    return ["; ".join(some) for some in told]
