"""Shapley values with error bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import constrained
from captum_andor.visualization.canvas import NEGATIVE, POSITIVE, text_colour
from captum_andor.visualization.drawing import Canvas, figure

_MARKED = 24  # points up to which each is marked


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


@figure
def plot_deletion_curve(
    canvas: Canvas,
    shares: npt.NDArray[np.float64],
    deletion: npt.NDArray[np.float64],
    insertion: npt.NDArray[np.float64],
    unit: str = "",
) -> None:
    """Draw v as the strongest players leave and as they enter; of several examples the means over thin lines.

    Args:
        shares (array): Share of the players that have left or entered, shape ``(steps + 1,)``.
        deletion (array): v as they leave, shape ``(N, steps + 1)``.
        insertion (array): v as they enter, same shape.
        unit (str, optional): Of v. Default: "" (none)

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis.

    Raises:
        ValueError: If shapes do not fit.
    """
    shares, deletion, insertion = np.asarray(shares), np.atleast_2d(deletion), np.atleast_2d(insertion)
    if shares.ndim != 1 or deletion.shape != insertion.shape or deletion.shape[1] != len(shares):
        raise ValueError(
            f"deletion and insertion must be (N, {shares.size}), as many as shares; got {deletion.shape} and "
            f"{insertion.shape}."
        )
    axis = canvas.axis((4.8, 3.2))
    several = len(deletion) > 1
    for curves, colour, name in ((insertion, POSITIVE, "insertion"), (deletion, NEGATIVE, "deletion")):
        if several:
            axis.plot(shares, curves.T, color=colour, linewidth=0.6, alpha=0.25)
        mean = curves.mean(0)
        area = float((np.diff(shares) * (mean[1:] + mean[:-1])).sum() / 2)
        marker = "o" if len(shares) <= _MARKED else None
        axis.plot(shares, mean, color=colour, linewidth=1.8, marker=marker, markersize=3.5, label=f"{name}, {area:.3g}")
    axis.set_xlabel("share of players removed, or there, the strongest first")
    axis.set_ylabel(f"v ({unit})" if unit else "v")
    axis.legend(title="mean of v along" + (f", {len(deletion)} examples" if several else ""), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
