"""Shapley values with error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from captum_andor._utils.checks import constrained
from captum_andor.visualization.canvas import NEGATIVE, POSITIVE, text_colour
from captum_andor.visualization.drawing import Canvas, figure

if TYPE_CHECKING:
    pass


@figure
@constrained()
def plot_shapley_values(
    canvas: Canvas, values: Sequence[float], errors: Sequence[float], names: Sequence[str], k: int = 15
) -> None:
    """Draw Shapley values as bars, largest first, with intervals of 1.96 standard errors.

    Args:
        values (sequence of float): One number per player.
        errors (sequence of float): Their standard errors.
        names (sequence of str): What the players are called.
        k (int, optional): Most players shown. Default: 15

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis.

    Raises:
        ValueError: If k < 1.
    """
    order = sorted(range(len(values)), key=lambda i: -abs(values[i]))[:k]
    rows = list(range(len(order)))[::-1]
    axis = canvas.axis((5.0, 0.9 + 0.28 * len(order)))
    colours = [POSITIVE if values[i] > 0 else NEGATIVE for i in order]
    axis.barh(rows, [values[i] for i in order], color=colours, height=0.7)
    axis.errorbar(
        [values[i] for i in order], rows, xerr=[1.96 * errors[i] for i in order],
        fmt="none", ecolor=text_colour(), elinewidth=1.2, capsize=2.5,
    )  # fmt: skip
    axis.axvline(0.0, color="0.5", linewidth=0.8)
    axis.set_yticks(rows, [names[i].replace("$", r"\$") for i in order])
    axis.set_xlabel(
        "Shapley value" if len(order) == len(values) else f"Shapley value, {len(order)} of {len(values)} players"
    )
    axis.spines[["top", "right"]].set_visible(False)
