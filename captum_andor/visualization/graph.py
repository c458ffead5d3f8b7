"""The AND-OR graph: players at the bottom, patterns above them, the output on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from captum_andor._utils.checks import constrained
from captum_andor.results import Result
from captum_andor.visualization.canvas import LINE_STYLES, check_single, colour_of, title_of
from captum_andor.visualization.drawing import Canvas, figure

if TYPE_CHECKING:
    pass


@figure
@constrained()
def plot_graph(canvas: Canvas, result: Result, k: int = 8) -> None:
    """Draw the k strongest patterns of one prediction as a graph of logic gates.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output.
        k (int, optional): Most patterns. Default: 8

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis. Square: AND, round: OR; a pattern's colour is its sign, the
          width of its line to the output its strength. Players of no pattern are left out.

    Raises:
        ValueError: If the result holds several outputs, or k < 1.
    """
    check_single(result)
    patterns = result._findings(k)
    used = [i for i, player in enumerate(result.feature_ids) if any(player in p.players for p in patterns)]
    names = result.player_names or tuple(map(str, result.feature_ids))
    place = {result.feature_ids[i]: float(x) for x, i in enumerate(used)}
    # a pattern stands above the middle of its players; neighbours are kept a step apart
    wanted = sorted(patterns, key=lambda p: sum(place[i] for i in p.players) / max(p.order, 1))
    step = max(len(used) - 1, 1) / max(len(wanted) - 1, 1)
    at = {id(p): step * x if len(wanted) > 1 else max(len(used) - 1, 0) / 2 for x, p in enumerate(wanted)}
    middle = max(len(used) - 1, 0) / 2
    axis = canvas.axis((max(4.0, 0.62 * max(len(used), len(patterns)) + 1.0), 3.8))
    strongest = max((abs(p.value) for p in patterns), default=1.0) or 1.0
    for pattern in wanted:
        x, colour = at[id(pattern)], colour_of(pattern.value)
        style = LINE_STYLES[pattern.kind]
        for player in pattern.players:
            axis.plot([place[player], x], [0, 1], color=colour, linewidth=0.9, linestyle=style, zorder=1)
        axis.plot([x, middle], [1, 2], color=colour, linewidth=0.6 + 4 * abs(pattern.value) / strongest, zorder=1)
        box = {
            "boxstyle": "square" if pattern.kind == "and" else "round,rounding_size=0.7",
            "fc": "white",
            "ec": colour,
        }
        kind = f"{pattern.kind.upper()}\n" if pattern.order > 1 else ""
        text = f"{kind}{pattern.value:+.2g}"
        axis.text(x, 1, text, ha="center", va="center", fontsize=7, color="black", bbox=box, zorder=2)
    for i in used:
        box = {"boxstyle": "round", "fc": "#EEEEEE", "ec": "gray"}
        long = len(names[i]) > 5
        axis.text(
            place[result.feature_ids[i]], 0, names[i], ha="right" if long else "center", va="top" if long else "center",
            rotation=35 if long else 0, rotation_mode="anchor", fontsize=8, color="black", bbox=box, zorder=2,
        )  # fmt: skip
    box = {"boxstyle": "round", "fc": "#DDDDDD", "ec": "black"}
    whole = f"{result._ends()[1]:.3g}"
    axis.text(middle, 2, whole, ha="center", va="center", fontsize=9, color="black", bbox=box, zorder=2)
    axis.set_xlim(-0.8, max(len(used) - 1, 0) + 0.8)
    axis.set_ylim(-0.75, 2.3)
    axis.set_axis_off()
    canvas.title = title_of(result, canvas.title, len(patterns))
