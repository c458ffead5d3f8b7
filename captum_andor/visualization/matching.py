"""Universal matching as a picture: what a surrogate says of every masked input beside what the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from captum_andor.games.transforms import all_coalitions
from captum_andor.visualization.canvas import SERIES, check_single, one_axis, shown, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 4096  # drawn, evenly among the sorted masked inputs


def plot_matching(
    result: Any,
    plt_fig_axis: tuple[Figure, Axes] | None = None,
    fig_size: tuple[float, float] = (6.0, 3.4),
    title: str | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, Axes]:
    """Draw h(S) beside v(S) over the masked inputs that were evaluated, sorted by v.

    The dots of an explanation lie on the line, but for its noise q; those of a logical model scatter about it.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output.
        plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)
        fig_size (tuple, optional): Size of a new figure in inches. Default: (6.0, 3.4)
        title (str, optional): Title of the axis. Default: None (R², for a logical model)
        use_pyplot (bool, optional): Make and show a new figure with pyplot; False works without a display. Default:
            True

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
    fig, axis = one_axis(plt_fig_axis, fig_size, use_pyplot)
    place = range(len(kept))
    axis.plot(place, predicted[kept], ".", color=SERIES[1], markersize=3, alpha=0.6, label="h(S), the patterns")
    axis.plot(place, values[kept], color=SERIES[0], linewidth=1.2, label="v(S), the model")
    axis.set_xlabel(f"{len(kept):,} masked inputs, sorted by v")
    axis.set_ylabel("score")
    axis.legend(fontsize=8, frameon=False)
    axis.set_title(title_of(result, title) or "", fontsize=10)
    shown(plt_fig_axis is None, use_pyplot, axis)
    return fig, axis
