"""A sentence with its strongest patterns marked under the words; patterns as HTML for notebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import takewhile
from typing import Any

from captum_andor._utils.checks import constrained
from captum_andor.results import Result, effect_cells, named, signed
from captum_andor.visualization.canvas import LINE_STYLES, check_single, colour_of, kind_of, title_of
from captum_andor.visualization.drawing import Canvas, figure
from captum_andor.visualization.sources import Html

_WIDTH = 64  # letters in a line of the figure
_LANE = 0.62  # height of a pattern's mark, by that of a line of text


def _texts(result: Result, tokens: Sequence[str] | None) -> list[str]:
    """Text of each player."""
    check_single(result)
    texts = list(tokens if tokens is not None else result.player_names or map(str, result.feature_ids))
    if len(texts) != result.n_players:
        raise ValueError(f"tokens must be one for each of {result.n_players} players; got {len(texts)}.")
    return texts


@figure
@constrained()
def plot_tokens(canvas: Canvas, result: Result, tokens: Sequence[str] | None = None, k: int = 5) -> tuple[Any, Any]:
    """Draw a sentence with the k strongest patterns of one prediction as marked lanes under their words.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output; players are words or tokens.
        tokens (sequence of str, optional): The text of each player, in the order of ``feature_ids``. Default: None (the
            names of the players)
        k (int, optional): Most patterns. Default: 5

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis: a lane for each pattern, solid for AND, dashed for OR; in a
          text of several lines a pattern has the same letter on each.

    Raises:
        ValueError: If the result holds several outputs, tokens are not one a player, or k < 1.
    """
    texts = _texts(result, tokens)
    patterns = result._findings(k)
    spans: list[tuple[int, float, float]] = []  # line, start and end of each word, in letters
    line, at = 0, 0.0
    for text in texts:
        if at and at + len(text) > _WIDTH:
            line, at = line + 1, 0.0
        spans.append((line, at, at + max(len(text), 1)))
        at += len(text) + 1.5
    width = max((end for _, _, end in spans), default=1.0)
    position = {player: i for i, player in enumerate(result.feature_ids)}
    places = [[spans[position[player]] for player in pattern.players] for pattern in patterns]
    lanes = [[i for i, own in enumerate(places) if any(r == row for r, _, _ in own)] for row in range(line + 1)]
    tops = [0.0]  # of each line of the text, and of what would come below
    for here in lanes:
        tops.append(tops[-1] - _LANE * len(here) - 1.6)
    if canvas.plt_fig_axis is None:
        fig = canvas.figure((max(3.5, 0.105 * (width + 9)), 0.5 - 0.3 * tops[-1]))
        axis = fig.add_axes((0.01, 0.01, 0.98, 0.84))
    else:
        fig, axis = canvas.plt_fig_axis
    for text, (row, start, end) in zip(texts, spans, strict=True):
        axis.text((start + end) / 2, tops[row], text, ha="center", va="bottom", fontsize=9, family="monospace")
    for number, (pattern, own) in enumerate(zip(patterns, places, strict=True)):
        colour = colour_of(pattern.value)
        for row in sorted({r for r, _, _ in own}):
            y = tops[row] - 0.35 - _LANE * lanes[row].index(number)
            mine = [(start, end) for r, start, end in own if r == row]
            reach = [min(s for s, _ in mine), max(e for _, e in mine)]
            axis.plot(reach, [y, y], color=colour, linewidth=0.9, linestyle=LINE_STYLES[pattern.kind])
            for start, end in mine:
                axis.plot([start, end], [y, y], color=colour, linewidth=4, solid_capstyle="butt")
            letter = f"{chr(ord('A') + number % 26)}  " if line else ""  # the same on every line that a pattern is on
            text = f"{letter}{kind_of(pattern)}{pattern.value:+.2g}"
            axis.text(width + 1, y, text, fontsize=7, va="center")
    axis.set_xlim(-0.5, width + 9)
    axis.set_ylim(tops[-1] + 0.5, 1.4)
    axis.set_axis_off()
    title = title_of(result, canvas.title, len(patterns))
    canvas.title = title and title.replace("\n", "; ")  # the axis leaves room for one line
    return fig, axis


@constrained()
def tokens_html(result: Result, tokens: Sequence[str] | None = None, k: int = 5) -> Html:
    """Write the marked sentence as HTML, all text escaped.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output.
        tokens (sequence of str, optional): As in :func:`plot_tokens`. Default: None
        k (int, optional): Most patterns. Default: 5

    Returns:
        - **html** (*Html*): A string that notebooks show: the words, and a row for each pattern with its words marked.

    Raises:
        ValueError: As :func:`plot_tokens`.

    Examples::

        >>> from captum_andor import LogicalModel
        >>> lm = LogicalModel.from_values([0.0, 0.0, 0.0, 1.0], player_names=["<b>", "good"])
        >>> "&lt;b&gt;" in tokens_html(lm)
        True
    """
    texts = _texts(result, tokens)
    cell = 'style="padding:1px 5px;text-align:center;border:none"'
    head = "".join(f"<td {cell}>{escape(text)}</td>" for text in texts)
    rows = []
    for pattern in result._findings(k):
        style = "solid" if pattern.kind == "and" else "dashed"
        bar = f'style="padding:1px 5px;border:none;border-bottom:3px {style} {colour_of(pattern.value)}"'
        marks = "".join(f"<td {bar if i in pattern.players else cell}></td>" for i in result.feature_ids)
        rows.append(f"<tr>{marks}<td {cell}>{kind_of(pattern)}{pattern.value:+.3g}</td></tr>")
    absent = result.players.question.absent
    note = f'<caption style="caption-side:bottom">absent: {escape(absent)}</caption>' if absent else ""
    return Html(f'<table style="border-collapse:collapse">{note}<tr>{head}<td {cell}></td></tr>{"".join(rows)}</table>')


def result_html(result: Result) -> str:
    """Notebook representation of a result: the headline and a table of the strongest patterns, all text escaped."""
    first, *rest = repr(result).splitlines()
    if math.prod(result.shape) != 1:
        return f"<p>{escape(first)}</p><pre>{escape(chr(10).join(rest))}</pre>"
    measured = result._measured(10)
    strongest = max((abs(p.value) for p, _ in measured), default=0.0) or 1.0
    rows = []
    for pattern, effect in measured:
        size = f"width:{round(120 * abs(pattern.value) / strongest)}px;height:10px"
        bar = f'<div style="{size};background:{colour_of(pattern.value)}"></div>'
        cells = (signed(pattern.value), bar, *effect_cells(effect), escape(named(pattern, result.n_players)))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "<tr><th>weight</th><th></th><th>alone</th><th>together</th><th>pattern</th></tr>"
    before = list(takewhile(lambda line: not line.startswith("  "), rest))
    behind = [line for line in rest[len(before) :] if not line.startswith(("  ", "|t|"))]
    above, below = ("".join(f"<p>{escape(line)}</p>" for line in lines) for lines in ((first, *before), behind))
    return f"{above}<table>{head}{''.join(rows)}</table>{below}"
