"""Players × outputs: the Shapley value of every source for every token of an answer."""

from __future__ import annotations

import math
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_andor.visualization.canvas import NEGATIVE, POSITIVE, absent_title
from captum_andor.visualization.drawing import Canvas, figure

if TYPE_CHECKING:
    from captum_andor.results import IndexedResult

_LONGEST = 24  # characters of a name beside an axis
_NUMBERED = 240  # cells up to which each holds its number


@figure
def plot_attributions(canvas: Canvas, result: IndexedResult, labels: Any = None) -> None:
    """Draw the Shapley value of every player for every output as a heat map, e.g. sources × tokens of an answer.

    Args:
        result (LogicalModel, AndOrExplanation or GameEstimate): Of one or many outputs.
        labels (iterable of str, optional): Of the outputs. Default: None (their names, or their numbers)

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis; rows are outputs, columns players, green raises the score.

    Raises:
        ValueError: If labels are of another number.
    """
    from matplotlib.colors import LinearSegmentedColormap

    count = math.prod(result.shape)
    values = result.shapley_values().reshape(count, result.n_players).cpu().numpy()  # type: ignore[attr-defined]
    rows = list(map(str, labels if labels is not None else result.axes.output_labels() or range(count)))
    if len(rows) != count:
        raise ValueError(f"labels must be of {count} outputs; got {len(rows)}.")
    columns = list(result.player_names or map(str, result.feature_ids))
    size = (2.4 + min(0.62 * len(columns), 14.0), 1.5 + min(0.34 * count, 12.0))
    axis = canvas.axis(size)
    span = float(np.abs(values).max()) or 1.0
    digits = max(0, 1 - math.floor(math.log10(span)))  # two of the largest
    colours = LinearSegmentedColormap.from_list("andor", [NEGATIVE, "white", POSITIVE])
    image = axis.imshow(values, cmap=colours, vmin=-span, vmax=span, aspect="auto")
    axis.set_xticks(range(len(columns)), [_short(name) for name in columns], rotation=40, ha="left", fontsize=8)
    axis.xaxis.tick_top()
    axis.set_yticks(range(count), [_short(name) for name in rows], fontsize=8)
    if values.size <= _NUMBERED:
        for i, j in np.ndindex(*values.shape):
            text = f"{values[i, j]:+.{digits}f}"
            dark = abs(values[i, j]) > 0.75 * span
            axis.text(
                j, i, text if float(text) else "0", ha="center", va="center", fontsize=7,
                color="white" if dark else "black",
            )  # fmt: skip
    axis.figure.colorbar(image, ax=axis, label="Shapley value")
    canvas.title = absent_title(result, canvas.title)


def _short(name: str) -> str:
    return shorten(name, _LONGEST, placeholder="…") or name[:_LONGEST]
