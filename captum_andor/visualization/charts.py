"""Charts of results: strength by order, bars, waterfall, beeswarm, heat map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import constrained
from captum_andor.results import Result, several_results, strength_table
from captum_andor.visualization.canvas import (
    NEGATIVE,
    POSITIVE,
    SERIES,
    absent_title,
    check_single,
    colour_of,
    hatch_of,
    label_of,
    title_of,
)
from captum_andor.visualization.drawing import Canvas, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Axis = tuple[Figure, Axes] | None

_LETTER = 0.045  # width of a digit, by the range of the bars beside long names
_REST = "#999999"
_VALUES = "viridis"  # from the least value of a player to its largest
_SIGNED_CELLS = 400  # of a heat map, in which a sign can be read


@figure
def plot_orders(canvas: Canvas, results: Result | Mapping[str, Result]) -> None:
    """Draw positive and negative strength by order, the mean over outputs with its spread.

    Args:
        results (LogicalModel, AndOrExplanation or mapping): One result, or several by name, e.g. of several models.

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis: J⁺ above, J⁻ below 0; bands are one standard deviation.
    """
    several = {"": results} if isinstance(results, Result) else dict(results)
    several_results(several.values())
    axis = canvas.axis((5.0, 3.4))
    for number, (name, result) in enumerate(several.items()):
        colour = SERIES[number % len(SERIES)]
        strength = result.order_strength().reshape(-1, 2, result.n_players + 1).cpu().numpy()[..., 1:]
        order = np.arange(1, strength.shape[-1] + 1)
        for sign in range(2):
            mean, spread = strength[:, sign].mean(0), strength[:, sign].std(0)
            label = (name or None) if sign == 0 else None
            axis.plot(order, mean, "o-", markersize=3, color=colour, label=label)
            if len(strength) > 1:
                axis.fill_between(order, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
    axis.axhline(0, color="gray", linewidth=0.8)
    axis.set_xlabel("order: players in a pattern")
    axis.set_ylabel("strength, + above, − below")
    axis.locator_params(axis="x", integer=True)
    if len(several) > 1:
        axis.legend(frameon=False, fontsize=8)
    canvas.title = absent_title(results, canvas.title)


@figure
@constrained()
def plot_bars(canvas: Canvas, result: Result, k: int = 10) -> None:
    """Draw the k strongest patterns of one prediction as bars with the names of their players.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output.
        k (int, optional): Most patterns. Default: 10

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis: ``&`` joins AND, ``|`` OR patterns; OR bars are hatched.

    Raises:
        ValueError: If the result holds several outputs, or k < 1.
    """
    check_single(result)
    patterns = result._findings(k)
    axis = canvas.axis((5.4, 1.0 + 0.28 * len(patterns)))
    for row, pattern in enumerate(patterns):
        axis.barh(row, pattern.value, color=colour_of(pattern.value), edgecolor="white", hatch=hatch_of(pattern))
    axis.set_yticks(range(len(patterns)), [label_of(p, result.n_players) for p in patterns], fontsize=8)
    axis.invert_yaxis()
    axis.axvline(0, color="gray", linewidth=0.8)
    axis.set_xlabel("weight; hatched: OR")
    canvas.title = title_of(result, canvas.title, len(patterns))


@figure
@constrained()
def plot_waterfall(canvas: Canvas, result: Result, k: int = 8) -> None:
    """Draw the way from v(∅) to v(N), pattern by pattern, the strongest first.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output.
        k (int, optional): Most patterns; further ones are one step. Default: 8

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis. Where a logical model does not hold the ends, its h stands
          for v.

    Raises:
        ValueError: If the result holds several outputs, or k < 1.
    """
    check_single(result)
    patterns = result._findings(k)
    start, end = result._ends()
    steps = [(label_of(p, result.n_players), p.value, colour_of(p.value), hatch_of(p)) for p in patterns]
    left = end - start - math.fsum(p.value for p in patterns)
    if abs(left) > 1e-9 * max(abs(start), abs(end), 1e-300):
        steps.append(("all others", left, _REST, None))
    axis = canvas.axis((5.6, 1.4 + 0.3 * len(steps)))
    reach = -math.inf  # right ends of the numbers beside bars
    levels = start + np.cumsum([0.0, *(value for _, value, *_ in steps)])
    span = float(np.ptp(levels)) or 1.0
    for row, (_, value, colour, hatch) in enumerate(steps):
        at = float(levels[row])
        axis.barh(row, value, left=at, color=colour, height=0.7, edgecolor="white", hatch=hatch)
        below = row + (1.35 if row + 1 < len(steps) else 0.35)
        axis.plot([at + value] * 2, [row - 0.35, below], color="gray", linewidth=0.6)
        inside = abs(value) > 0.12 * span
        x = at + value / 2 if inside else max(at, at + value) + 0.015 * span
        behind = {"facecolor": colour, "edgecolor": "none", "pad": 0.8} if hatch and inside else None
        align = "center" if inside else "left"
        number = f"{value:+.3g}"
        axis.text(x, row, number, ha=align, va="center", fontsize=7, bbox=behind)
        reach = reach if inside else max(reach, x + _LETTER * len(number) * span)
    for x in (start, end):
        axis.axvline(x, color="gray", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(steps)), [label for label, *_ in steps], fontsize=8)
    for text, x, y in ((f"nothing: {start:.3g}", start, -0.9), (f"everything: {end:.3g}", end, len(steps) + 0.1)):
        axis.annotate(text, (x, y), ha="left" if x < levels.min() + span / 2 else "right", fontsize=8)
    axis.set_ylim(len(steps) + 0.4, -1.6)
    axis.set_xlim(float(levels.min()) - 0.15 * span, max(float(levels.max()) + 0.15 * span, reach))
    axis.set_xlabel("score v; hatched: OR")
    canvas.title = title_of(result, canvas.title, len(patterns))


@figure
@constrained()
def plot_beeswarm(canvas: Canvas, results: Result | Iterable[Result], k: int = 8, data: Any = None) -> None:
    """Draw the strength of patterns over many samples or models: a row for each pattern, a dot for each output.

    Args:
        results (LogicalModel, AndOrExplanation or iterable of these): Of the same players; each output is a dot.
        k (int, optional): Patterns, those of most strength in all. Default: 8
        data (frame or array, optional): Value of each player in each output, shape ``(outputs, n)``, columns in the
            order of the players: patterns of one player are coloured from its least value to its largest, strings and
            categories by their order; others are grey. Default: None (by sign)

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis: right of 0 and green where the pattern raises the score,
          left and orange where it lowers it; outputs without it are one grey dot at 0. The row says in how many it is.

    Raises:
        TypeError, ValueError: If there are no results, their players differ, k < 1, or data have another shape.
    """
    patterns, strengths = strength_table(results)
    patterns, strengths = patterns[:k], strengths[:k]
    axis = canvas.axis((6.0, 1.1 + 0.42 * len(patterns)))
    span = float(np.abs(strengths).max()) if strengths.size else 1.0
    shades = None if data is None else _shades(data, results, strengths.shape[1])  # by feature id
    for row, (pattern, values) in enumerate(zip(patterns, strengths, strict=True)):
        there, without = values[values != 0], values[values == 0]
        colours: list[Any] = [colour_of(v) for v in there]
        if shades is not None:
            colours = [_REST] * len(there)
            if pattern.order == 1:
                colours = list(shades[pattern.players[0]][values != 0])
        axis.scatter(there, row + _swarm(there / (span or 1.0)), s=14, c=colours, linewidths=0)
        axis.scatter(without, np.full(len(without), row), s=4, c=_REST, linewidths=0, zorder=1)  # on each other
    labels = [f"{label_of(p)}  ({int((v != 0).sum())})" for p, v in zip(patterns, strengths, strict=True)]
    axis.set_yticks(range(len(patterns)), labels, fontsize=8)
    axis.set_ylim(len(patterns) - 0.5, -0.5)
    axis.axvline(0, color="gray", linewidth=0.8, zorder=0)
    axis.set_xlabel(f"weight in each output (in brackets: in how many of {strengths.shape[1]})", fontsize=9)
    if shades is not None:
        from matplotlib.cm import ScalarMappable

        bar = axis.figure.colorbar(ScalarMappable(cmap=_VALUES), ax=axis, ticks=(0, 1), pad=0.02, aspect=30)
        bar.ax.set_yticklabels(["least", "largest"], fontsize=8)
        bar.set_label("value of the player", fontsize=8, labelpad=-20)
        bar.outline.set_visible(False)
    canvas.title = absent_title(results, canvas.title)


def _shades(data: Any, results: Result | Iterable[Result], count: int) -> dict[int, npt.NDArray[np.float64]]:
    """Colours of each player's values in every output, by feature id, from the least value to the largest."""
    import matplotlib
    import pandas as pd

    frame = data if hasattr(data, "iloc") else pd.DataFrame(np.asarray(data))
    ids = several_results(results)[0].feature_ids
    if frame.shape != (count, len(ids)):
        raise ValueError(
            f"data must have a row for each of the {count} outputs and a column for each of the {len(ids)} players; "
            f"got {tuple(frame.shape)}."
        )
    found = {}
    for player, column in zip(ids, (frame.iloc[:, i] for i in range(len(ids))), strict=True):
        is_number = pd.api.types.is_numeric_dtype(column)
        numbers = (column if is_number else pd.Categorical(column).codes).astype(float)
        place = np.asarray(pd.Series(numbers).rank(pct=True).fillna(0.5), dtype=np.float64)
        found[player] = matplotlib.colormaps[_VALUES](place)
    return found


def _swarm(values: np.ndarray) -> np.ndarray:
    """Offsets within ±0.38 that keep dots of like value apart, without chance."""
    bins = np.round(values * 40)
    offsets = np.zeros(len(values))
    for each in np.unique(bins):
        members = np.flatnonzero(bins == each)
        steps = (np.arange(len(members)) + 1) // 2 * np.where(np.arange(len(members)) % 2, 1, -1)
        offsets[members] = steps * min(0.09, 0.76 / max(len(members), 1))
    return offsets


@figure
@constrained()
def plot_heatmap(
    canvas: Canvas, results: Result | Iterable[Result], k: int = 15, labels: Iterable[str] | None = None
) -> None:
    """Draw patterns × outputs (samples, models) as a heat map of strength.

    Args:
        results (LogicalModel, AndOrExplanation or iterable of these): Of the same players.
        k (int, optional): Patterns, those of most strength in all. Default: 15
        labels (iterable of str, optional): Of the outputs. Default: None (their names or, without these, numbers)

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis: green and + raise the score, orange and − lower it, white:
          not there. Signs are left out where cells are many.

    Raises:
        TypeError, ValueError: If there are no results, their players differ, k < 1, or labels are of another number.
    """
    from matplotlib.colors import LinearSegmentedColormap

    patterns, strengths = strength_table(results)
    patterns, strengths = patterns[:k], strengths[:k]
    names = list(labels) if labels is not None else _output_labels(results)
    if names is not None and len(names) != strengths.shape[1]:
        raise ValueError(f"labels must be of {strengths.shape[1]} outputs; got {len(names)}.")
    axis = canvas.axis((2.8 + min(0.32 * strengths.shape[1], 8.0), 1.4 + 0.28 * len(patterns)))
    span = float(np.abs(strengths).max()) if strengths.size else 0.0
    image = axis.imshow(
        strengths if strengths.size else np.zeros((1, 1)),
        cmap=LinearSegmentedColormap.from_list("strength", [NEGATIVE, "white", POSITIVE]),
        vmin=-(span or 1),
        vmax=span or 1,
        aspect="auto",
    )
    if strengths.size <= _SIGNED_CELLS:
        for (row, column), value in np.ndenumerate(strengths):
            if value:
                axis.text(column, row, "+" if value > 0 else "−", ha="center", va="center", fontsize=7)
    axis.set_yticks(range(len(patterns)), [label_of(p) for p in patterns], fontsize=8)
    if names is not None:
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    else:
        count = max(strengths.shape[1], 1)
        axis.set_xticks(range(0, count, math.ceil(count / 10)))
        axis.set_xlabel("output")
    axis.figure.colorbar(image, ax=axis, label="weight")
    canvas.title = absent_title(results, canvas.title)


def _output_labels(results: Result | Iterable[Result]) -> list[str] | None:
    """What the outputs of a single result are called."""
    return results.axes.output_labels() if isinstance(results, Result) else None
