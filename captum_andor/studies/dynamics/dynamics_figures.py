"""Figures of training dynamics, in the manner of ``captum.attr.visualization``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_andor.visualization import Canvas, text_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLOURS = {"low": "#D55E00", "high": "#0072B2"}


def gap_and_orders(table: Any, boundary: int | None, canvas: Canvas) -> tuple[Figure, Any]:
    """Losses with the boundary of phases; strength by order of the training samples, + above, − below."""
    fig = canvas.figure((9.0, 3.6), "constrained")
    left, right = fig.subplots(1, 2)
    for name, colour in (("train", _COLOURS["high"]), ("test", _COLOURS["low"])):
        rows = table[table["set"] == name]
        if len(rows):
            left.plot(rows["step"], rows["loss"], "o-", markersize=3, color=colour, label=f"{name} loss")
    rows = table[table["set"] == "train"]
    if rows["gap"].notna().any():
        left.errorbar(
            rows["step"], rows["gap"], 2 * rows["gap_error"], fmt="s--", markersize=3, color="#555555", label="gap"
        )
    left.set_ylabel("loss in nats")
    n = sum(column.startswith("positive_") for column in table.columns)
    for order in range(1, n + 1):
        colour = _sequential(order, n)
        right.plot(rows["step"], rows[f"positive_{order}"], color=colour, label=f"{order}")
        right.plot(rows["step"], -rows[f"negative_{order}"], color=colour)
    right.axhline(0, color="gray", linewidth=0.8)
    right.set_ylabel("mean strength, + above, − below")
    right.legend(title="order", frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    for axis in (left, right):
        _mark(axis, boundary)
    left.legend(frameon=False, fontsize=8)
    return fig, (left, right)


def similarity_by_order(table: Any, boundary: int | None, canvas: Canvas) -> tuple[Figure, Any]:
    """Similarity between train and test, and within each, a line for each order."""
    fig = canvas.figure((9.0, 3.4), "constrained")
    axes = fig.subplots(1, 2, sharey=True)
    orders = sorted(set(table["order"]))
    for axis, column, title in zip(
        axes, ("between", "within"), ("between train and test", "within each: the ceiling"), strict=True
    ):
        for order in orders:
            rows = table[table["order"] == order]
            axis.plot(rows["step"], rows[column], color=_sequential(order, len(orders)), label=f"{order}")
        axis.set_title(title, fontsize=10)
        _mark(axis, boundary)
    axes[0].set_ylabel("weighted Jaccard index")
    axes[1].legend(title="order", frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return fig, tuple(axes)


def profiles_at(table: Any, steps: Sequence[int], canvas: Canvas) -> tuple[Figure, Any]:
    """Mean strength by order at some steps, + above, − below; training samples as bars, test samples as lines."""
    fig = canvas.figure((3.2 * len(steps), 3.2), "constrained")
    axes = fig.subplots(1, len(steps), sharey=True, squeeze=False)[0]
    n = sum(column.startswith("positive_") for column in table.columns)
    orders = np.arange(1, n + 1)
    for axis, step in zip(axes, steps, strict=True):
        for name, rows in table[table["step"] == step].groupby("set", sort=False):
            up, down = (rows[[f"{sign}_{k}" for k in orders]].to_numpy()[0] for sign in ("positive", "negative"))
            for height in (up, -down):
                if name == "train":
                    axis.bar(orders, height, color=_COLOURS["high"], label="train" if height is up else None)
                else:
                    axis.plot(orders, height, "o-", color=_COLOURS["low"], label=name if height is up else None)
        axis.axhline(0, color="gray", linewidth=0.8)
        axis.set_title(f"step {step}", fontsize=10)
        axis.set_xlabel("order: players in an interaction")
    axes[0].set_ylabel("mean strength, + above, − below")
    axes[0].legend(frameon=False, fontsize=8)
    return fig, tuple(axes)


def _mark(axis: Axes, boundary: int | None) -> None:
    axis.set_xlabel("step")
    if boundary is not None:
        axis.axvline(boundary, color=text_colour(), linewidth=0.8, linestyle=":", label="second phase begins")


def _sequential(order: int, n: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.92 * (order - 1) / max(n - 1, 1))
