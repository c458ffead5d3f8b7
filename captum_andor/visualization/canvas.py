"""What all figures share: colours, names of patterns, titles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captum_andor.results import Interaction, Result

# Captum's green and red, in the shades of Okabe and Ito that colour-blind readers tell apart.
POSITIVE, NEGATIVE = "#009E73", "#D55E00"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
LINE_STYLES = {"and": "solid", "or": (0, (2, 1.2))}
_LONGEST = 44  # characters of a label that a figure of six inches has room for
_LISTED = 8  # players that a label names one by one


def text_colour() -> str:
    """The colour of texts in the style that is in use, for what has to stand out from the background."""
    from matplotlib import rcParams

    return str(rcParams["text.color"])


def check_single(result: Result) -> None:
    """Raise unless a result is of one output."""
    if math.prod(result.shape) != 1:
        raise ValueError(f"explanation must be of one output; it has {result.shape}. Index it first, e.g. ex[0].")


def title_of(result: Result, title: str | None, drawn: int | None = None) -> str | None:
    """The title that was given; else where a result was taken from, R² of a logical model, and what absent means.

    How many patterns there are is said where fewer are drawn.
    """
    if title is not None:
        return title
    r2, absent = getattr(result, "r2", None), result.players.question.absent
    lines = [f"absent: {absent}"] if absent else []
    if r2 is not None:
        count, noise = len(list(result._compared_patterns())), result._within_noise()
        some = f", {drawn} of {count} patterns drawn" if drawn is not None and drawn < count else ""
        some += f", {noise} within noise" if some and noise else ""
        where = ", ".join(part for part in (result.axes.place(), _asked(result)) if part)
        fidelity = f"R² {float(r2):.2f}{some}"
        apart = len(where) + len(fidelity) > _LONGEST
        heads = [where, fidelity] if where and apart else [f"{where}{': ' if where else ''}{fidelity}"]
        lines = [*heads, *lines]
    return "\n".join(lines) or None


def absent_title(results: Any, title: str | None) -> str | None:
    """The title that was given, else what absent means, where a figure is of one result."""
    absent = results.players.question.absent if title is None and hasattr(results, "players") else ""
    return f"absent: {absent}" if absent else title


def _asked(result: Result) -> str:
    """The class or output that v is of, with its probability where v tells it."""
    question = result.players.question
    if len(question.targets) != 1:
        return ""
    called = question.called[0] if question.called else ""
    target, v = question.targets[0], result._ends()[1]
    p = {"log_odds": (1 + math.tanh(v / 2)) / 2, "log_prob": math.exp(min(v, 0.0)), "prob": v}.get(question.score)
    if p is None or question.compared:
        return called or f"output {target}"
    return f"{called or f'class {target}'} (p = {p:.2g})"


def colour_of(value: float) -> str:
    """Green for what raises the score, orange for what lowers it."""
    return POSITIVE if value >= 0 else NEGATIVE


def hatch_of(pattern: Interaction) -> str | None:
    """OR of several players is hatched."""
    return "///" if pattern.kind == "or" and pattern.order > 1 else None


def kind_of(pattern: Interaction) -> str:
    """The kind before a number; a single player has none."""
    return f"{pattern.kind.upper()} " if pattern.order > 1 else ""


def label_of(pattern: Interaction, n_players: int | None = None) -> str:
    """Label of a pattern: ``a & b`` for AND, ``a | b`` for OR; long ones are cut, and all of many players named so."""
    if n_players is not None and pattern.order == n_players > _LISTED:
        return f"{'all' if pattern.kind == 'and' else 'any'} of the {n_players} players"
    text = (" & " if pattern.kind == "and" else " | ").join(map(str, pattern.names or pattern.players))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
