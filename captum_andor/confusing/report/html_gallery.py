"""The most and the least confusing samples as HTML: each input with its patterns outlined on it, or as bars."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.statistics import top
from captum_andor.confusing.report.sample_figures import (
    explained,
    lost_of_sample,
    names_of_players,
    picture,
    player_map,
)
from captum_andor.confusing.scores.scoring import Scoring

_LONGEST_SIDE = 96  # pixels of a picture on the page
_LONGEST = 40  # characters of a pattern's players

GALLERY_STYLE = """
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: .8rem; }
.gallery figure { margin: 0; padding: .5rem .6rem; border: 1px solid var(--line); border-radius: 8px; }
.gallery figcaption { font-size: .85rem; margin-bottom: .3rem; }
.panels { display: flex; flex-wrap: wrap; gap: .5rem; }
.panel { width: 5rem; font-size: .75rem; color: var(--quiet); text-align: center; }
.panel i { display: block; position: relative; width: 5rem; height: 5rem; border: 1px solid var(--line); }
.panel img, .panel svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.panel img { image-rendering: pixelated; }
.shade { fill: #000; fill-opacity: .45; } .edge { fill: none; stroke-width: 3; vector-effect: non-scaling-stroke; }
.or { stroke-dasharray: 5 3; } .edge.plus { stroke: #00c08b; } .edge.minus { stroke: #ff7a1a; }
.area.plus { fill: #00c08b; } .area.minus { fill: #ff7a1a; }
.bars { list-style: none; margin: 0; padding: 0; font-size: .8rem; width: 100%; }
.bars li { display: grid; grid-template-columns: minmax(8rem, 40%) 1fr; gap: .5rem; align-items: center; }
.bars b { display: block; height: .7rem; } .bars b.plus { background: #009e73; } .bars b.minus { background: #d55e00; }
"""


def gallery_html(scoring: Scoring, name: str, column: str, k: int, n_patterns: int) -> str:
    """A figure for each of the k most and the k least confusing samples, most confusing first."""
    suspicion, columns = scoring.suspicion(name, column), scoring.columns(name)
    k = min(k, len(scoring))
    chosen = [*top(suspicion, k, name).tolist(), *top(-suspicion, k, name).tolist()[::-1]]
    figures = []
    for place, index in enumerate(chosen):
        label, predicted = columns["label"][index], columns["predicted"][index]
        head = f"{'most' if place < k else 'least'} confusing: #{scoring.numbers[index]}, label {label}, "
        figures.append(_sample(scoring, name, index, f"{head}predicted {predicted}", n_patterns))
    legend = (
        "Bright: the players of a pattern, dark: the others. Solid outline: AND, all of them together; dashed: OR, any "
        "one of them. Green and +: for the label; orange and −: against it."
        if scoring.can_explain
        else "What v loses without each player, by colour: green, the score falls; orange, it rises."
    )
    return f'<p class="quiet">{legend}</p>\n<div class="gallery">{"".join(figures)}</div>'


def _sample(scoring: Scoring, name: str, index: int, head: str, n_patterns: int) -> str:
    image = picture(scoring.evaluation.samples, index)
    view = scoring.views[0]
    players = None if image is None else player_map(scoring, index, view, image.shape[:2])
    called = names_of_players(scoring, index, view)
    if scoring.can_explain:
        found = explained(scoring, name, index, view, n_patterns).top(n_patterns)
        parts: list[tuple[str, tuple[int, ...], float]] = [(p.kind, tuple(p.players), float(p.value)) for p in found]
    else:
        lost, ids = lost_of_sample(scoring, name, index, view)
        parts = [("lost", (player,), float(value)) for player, value in zip(ids, lost, strict=True)]
    caption = f"<figcaption>{html.escape(head)}</figcaption>"
    if image is None or players is None:
        return f"<figure>{caption}{_bars(parts, called)}</figure>"
    source = png_source(image)
    panels = [_panel(source, "", f"sample {scoring.numbers[index]}", "input")]
    if scoring.can_explain:
        for kind, members, value in parts:
            inside = np.isin(players, members)
            title = f"{kind.upper()} {value:+.2f}"
            drawn = (
                f'<path class="shade" d="{_area(~inside)}"/>'
                f'<path class="edge {kind} {_sign(value)}" d="{_outline(inside)}"/>'
            )
            panels.append(
                _panel(source, _svg(drawn, players.shape), f"{title}, players {_names(members, called)}", title)
            )
    else:
        largest = max((abs(value) for *_, value in parts), default=0.0) or 1.0
        drawn = "".join(
            f'<path class="area {_sign(value)}" fill-opacity="{abs(value) / largest * 0.8:.2f}" '
            f'd="{_area(np.isin(players, members))}"/>'
            for _, members, value in parts
        )
        panels.append(_panel(source, _svg(drawn, players.shape), "what v loses without each player", "v lost"))
    return f'<figure>{caption}<div class="panels">{"".join(panels)}</div></figure>'


def _panel(source: str, drawn: str, description: str, title: str) -> str:
    picture = f'<img alt="{html.escape(description)}" src="{source}">'
    return f'<span class="panel"><i>{picture}{drawn}</i>{html.escape(title)}</span>'


def _svg(drawn: str, shape: tuple[int, ...]) -> str:
    return f'<svg viewBox="0 0 {shape[1]} {shape[0]}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def _bars(parts: Sequence[tuple[str, tuple[int, ...], float]], called: Mapping[int, str]) -> str:
    largest = max((abs(value) for *_, value in parts), default=0.0) or 1.0
    items = [
        f"<li><span>{html.escape(f'{kind.upper()} {_names(members, called)} {value:+.2f}')}</span>"
        f'<b class="{_sign(value)}" style="width:{abs(value) / largest:.0%}"></b></li>'
        for kind, members, value in parts
    ]
    return f'<ul class="bars">{"".join(items)}</ul>'


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
