"""Universal matching as a picture: what a surrogate says of every masked input beside what the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from captum_andor.games.transforms import all_coalitions
from captum_andor.visualization.canvas import SERIES, check_single, title_of
from captum_andor.visualization.drawing import Canvas, figure

if TYPE_CHECKING:
    pass

_MOST_POINTS = 4096  # drawn, evenly among the sorted masked inputs


@figure
def plot_matching(canvas: Canvas, result: Any) -> None:
    """Draw h(S) beside v(S) over the masked inputs that were evaluated, sorted by v.

    The dots of an explanation lie on the line, but for its noise q; those of a logical model scatter about it.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output.

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis: v as a line, h as dots.

    Raises:
        ValueError: If the result holds several outputs.

    Source: the figure of universal matching in Zhang et al. 2025, arXiv 2502.08625.
    """
    check_single(result)
    values = result.values.flatten().cpu()
    coalitions = getattr(result, "coalitions", None)
    rows = all_coalitions(result.n_players) if coalitions is None else coalitions.cpu()
    predicted = result.predict(rows.to(result.values.device)).flatten().cpu()
    order = values.argsort()
    kept = order[torch.linspace(0, len(order) - 1, min(len(order), _MOST_POINTS)).round().long()]
    axis = canvas.axis((6.0, 3.4))
    place = range(len(kept))
    axis.plot(place, predicted[kept], ".", color=SERIES[1], markersize=3, alpha=0.6, label="h(S), the patterns")
    axis.plot(place, values[kept], color=SERIES[0], linewidth=1.2, label="v(S), the model")
    axis.set_xlabel(f"{len(kept):,} masked inputs, sorted by v")
    axis.set_ylabel("score")
    axis.legend(fontsize=8, frameon=False)
    canvas.title = title_of(result, canvas.title)
