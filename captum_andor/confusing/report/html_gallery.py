"""The most and the least confusing samples of a page: each input with its patterns outlined on it, or as bars."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.statistics import top
from captum_andor.confusing.report.sample_figures import (
    absent_of_sample,
    explained,
    lost_of_sample,
    names_of_players,
    picture,
    player_map,
)
from captum_andor.confusing.scores.scoring import Scoring

_LONGEST_SIDE = 96  # pixels of a picture on the page
_LONGEST = 40  # characters of a pattern's players


def gallery(scoring: Scoring, name: str, column: str, k: int, n_patterns: int) -> dict[str, Any]:
    """A figure for each of the k most and the k least confusing samples, most confusing first."""
    suspicion, columns = scoring.suspicion(name, column), scoring.columns(name)
    k = min(k, len(scoring))
    chosen = [*top(suspicion, k, name).tolist(), *top(-suspicion, k, name).tolist()[::-1]]
    figures = []
    for place, index in enumerate(chosen):
        label, predicted = columns["label"][index], columns["predicted"][index]
        head = f"{'most' if place < k else 'least'} confusing: #{scoring.numbers[index]}, label {label}, "
        figures.append({"caption": f"{head}predicted {predicted}", **_sample(scoring, name, index, n_patterns)})
    legend = (
        "Bright: the players of a pattern, dark: the others. Solid outline: AND, all of them together; dashed: OR, any "
        "one of them. Green and +: for the label; orange and −: against it."
        if scoring.can_explain
        else "What v loses without each player, by colour: green, the score falls; orange, it rises."
    )
    absent = absent_of_sample(scoring, chosen[0], scoring.views[0]) if chosen else ""
    return {"legend": f"{legend} Absent: {absent}." if absent else legend, "figures": figures}


def _sample(scoring: Scoring, name: str, index: int, n_patterns: int) -> dict[str, Any]:
    image = picture(scoring.evaluation.samples, index)
    view = scoring.views[0]
    players = None if image is None else player_map(scoring, index, view, image.shape[:2])
    called = names_of_players(scoring, index, view)
    if scoring.can_explain:
        found = explained(scoring, name, index, view, n_patterns)._findings(n_patterns)
        parts: list[tuple[str, tuple[int, ...], float]] = [(p.kind, tuple(p.players), float(p.value)) for p in found]
    else:
        lost, ids = lost_of_sample(scoring, name, index, view)
        parts = [("lost", (player,), float(value)) for player, value in zip(ids, lost, strict=True)]
    largest = max((abs(value) for *_, value in parts), default=0.0) or 1.0
    if image is None or players is None:
        return {
            "bars": [
                {
                    "text": f"{_kind(kind, members)}{_names(members, called)} {value:+.2f}",
                    "sign": _sign(value),
                    "width": f"{abs(value) / largest:.0%}",
                }
                for kind, members, value in parts
            ]
        }
    panels: list[dict[str, Any]] = [{"description": f"sample {scoring.numbers[index]}", "title": "input"}]
    if scoring.can_explain:
        for kind, members, value in parts:
            inside = np.isin(players, members)
            title = f"{_kind(kind, members)}{value:+.2f}"
            edge = {"kind": f"edge {kind} {_sign(value)}", "line": _outline(inside)}
            paths = [{"kind": "shade", "line": _area(~inside)}, edge]
            description = f"{title}, players {_names(members, called)}"
            panels.append({"description": description, "title": title, "paths": paths})
    else:
        paths = [
            {
                "kind": f"area {_sign(value)}",
                "opacity": f"{abs(value) / largest * 0.8:.2f}",
                "line": _area(np.isin(players, members)),
            }
            for _, members, value in parts
        ]
        panels.append({"description": "what v loses without each player", "title": "v lost", "paths": paths})
    height, width = players.shape
    return {"panels": panels, "source": png_source(image), "width": width, "height": height}


def _kind(kind: str, members: tuple[int, ...]) -> str:
    """The kind before a pattern of several players; a single player is called by its name."""
    return "" if kind != "lost" and len(members) == 1 else f"{kind.upper()} "


def _sign(value: float) -> str:
    return "plus" if value > 0 else "minus"


def _names(members: tuple[int, ...], called: Mapping[int, str]) -> str:
    text = ", ".join(called.get(player, str(player)) for player in members)
    return f"{{{text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}}}"


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _area(inside: npt.NDArray[np.bool_]) -> str:
    """SVG path that fills a region: a rectangle for each run of pixels in rows that are alike."""
    path, start = [], 0
    for y in range(1, len(inside) + 1):
        if y == len(inside) or (inside[y] != inside[start]).any():
            path += [f"M{a} {start}h{b - a}v{y - start}h{a - b}z" for a, b in _runs(inside[start])]
            start = y
    return "".join(path)


def _outline(inside: npt.NDArray[np.bool_]) -> str:
    """SVG path along the edges between a region and the rest; the border of the picture counts as rest."""
    padded = np.pad(inside, 1)
    path = []
    for y in range(inside.shape[0] + 1):
        path += [f"M{a} {y}h{b - a}" for a, b in _runs(padded[y, 1:-1] != padded[y + 1, 1:-1])]
    for x in range(inside.shape[1] + 1):
        path += [f"M{x} {a}v{b - a}" for a, b in _runs(padded[1:-1, x] != padded[1:-1, x + 1])]
    return "".join(path)


def png_source(image: npt.NDArray[Any]) -> str:
    """A picture in [0, 1], ``(H, W)`` or ``(H, W, 3)``, made small, as the source of an image."""
    from PIL import Image

    step = max(1, max(image.shape[:2]) // _LONGEST_SIDE)
    pixels = (np.nan_to_num(image[::step, ::step]).clip(0, 1) * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
