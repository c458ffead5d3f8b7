"""A report as one self-contained page: what the template ``page.html.jinja`` shows."""

from __future__ import annotations

import base64
import io
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_andor.confusing.report.changes import changes
from captum_andor.confusing.report.html_gallery import gallery, png_source
from captum_andor.confusing.report.page_words import GLOSSARY, asked, found, look_first, models
from captum_andor.confusing.report.report_figures import order_profiles, overlap_matrix, score_against_score
from captum_andor.confusing.report.sample_figures import picture
from captum_andor.confusing.report.text_page import facts
from captum_andor.confusing.scores.overlap import SetRule, overlap, reliability
from captum_andor.confusing.scores.ranking import ranking
from captum_andor.confusing.scores.score_formulas import VALUE_SCORES
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.visualization import Canvas

if TYPE_CHECKING:
    import pandas as pd

_PATTERNS = 5  # of each sample in the gallery
_CHANGED = 20  # samples whose change is told
_ROWS = 200  # of each model's table; with its thumbnails a page stays some megabytes
_RESAMPLES = 500  # two digits of an interval; 1 000, the default of overlap(), take twice as long
_OVERLAP_COLUMNS = {
    "model_a": "model",
    "model_b": "and",
    "iou": "IoU",
    "iou_low": "from",
    "iou_high": "to",
    "tied_a": "drawn among ties",
    "tied_b": "and",
    "chance": "chance",
    "iou_one_view": "IoU, one view",
    "ceiling_baseline": "same model, other baseline",
    "ceiling_mask": "same model, other mask",
    "loss_iou": "IoU by loss",
    "margin_iou": "IoU by margin",
    "spearman": "ρ",
    "partial_spearman": "ρ given activity, ink",
    "spearman_given_loss": "ρ given loss, too",
    "spearman_corrected": "ρ corrected for reliability",
}


def page(scoring: Scoring, title: str, k: int) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader

    several = [_agreement] * (len(scoring.names) > 1) + [_reliability] * (len(scoring.views) > 1)
    several += [_changes] * (len(scoring.names) == 2 and scoring.knows_patterns)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    text: str = environment.get_template("page.html.jinja").render(
        title=title,
        asked=asked(scoring),
        found=found(scoring),
        look_first=look_first(scoring),
        facts=facts(scoring),
        summary=models(scoring),
        sections=[section(scoring) for section in several],
        models=[_model(scoring, name, k, i) for i, name in enumerate(scoring.names)],
        glossary=GLOSSARY,
    )
    return text


def _agreement(scoring: Scoring) -> dict[str, Any]:
    table = overlap(scoring, scoring.primary, SetRule(), ("n_active", "ink"), None, _RESAMPLES, 0)
    canvas, size = Canvas(), 0.55 * len(scoring.names)
    overlap_matrix(scoring, canvas.axis((3.4 + size, 2.6 + size)), scoring.primary, SetRule())
    images = [_image(canvas, "Overlap of confusing sets")]
    for a, b in list(combinations(scoring.names, 2))[:3]:
        score_against_score(scoring, canvas.axis((6.0, 3.8)), a, b, scoring.primary, SetRule())
        images.append(_image(canvas, f"{a} against {b}"))
    shown = {key: heading for key, heading in _OVERLAP_COLUMNS.items() if not table[key].isna().all()}
    rows = [[_cell(row[key]) for key in shown] for _, row in table.iterrows()]
    return {
        "heading": "Do the models agree?",
        "text": f"Sets are the most confusing 10 % by {scoring.primary}. Agreement means something above chance, above "
        "what loss gives, and beside what the same model gives under another baseline or mask.",
        "table": _table(list(shown.values()), rows, words=2, name="Agreement of models"),
        "images": images,
    }


def _reliability(scoring: Scoring) -> dict[str, Any]:
    table = reliability(scoring).groupby("score", sort=False)[["retest_baseline", "retest_mask", "reliability"]].mean()
    rows = [[_cell(score), *map(_cell, values)] for score, values in zip(table.index, table.to_numpy(), strict=True)]
    return {
        "heading": "How far do the scores repeat?",
        "text": "Rank correlation of a score with itself, same model, under another baseline or mask; and the "
        "reliability of the summed ranks. Means over models.",
        "table": _table(["score", "other baseline", "other mask", "summed"], rows, 1, "Reliability of scores"),
    }


def _changes(scoring: Scoring) -> dict[str, Any]:
    old, new = scoring.names
    table = changes(scoring, old, new, 3)
    other = int((~table["same_prediction"]).sum())
    first = table.assign(size=table["change"].abs()).sort_values("size", ascending=False).head(_CHANGED)
    columns = ["sample", "same_prediction", "predicted_old", "predicted_new", "change", "spread", "patterns"]
    rows = [
        [{**_cell(row[c]), **({"text": f"#{row[c]}"} if c == "sample" else {})} for c in columns]
        for _, row in first.iterrows()
    ]
    return {
        "heading": f"What has changed from {old} to {new}?",
        "text": f"{other} of {len(table)} inputs are decided otherwise. Below are those whose v(N) has moved most. "
        "Spread: how unequally v has moved over the masked inputs, by how far it varies. Patterns: the strongest of "
        f"the difference, {new} less {old}. They say why a decision has moved, not which will.",
        "table": _table([c.replace("_", " ") for c in columns], rows, 1, "Changes of v"),
        "images": [],
    }


def _model(scoring: Scoring, name: str, k: int, number: int) -> dict[str, Any]:
    images = []
    if set(scoring.wanted) - set(VALUE_SCORES):  # a split was solved for them
        canvas = Canvas()
        order_profiles(scoring, name, canvas.axis((4.5, 3.4)), SetRule())
        images = [_image(canvas, f"Strength of interactions by order, {name}")]
    ranked = ranking(scoring, name, scoring.primary, _ROWS)
    count = len(ranked)
    return {
        "name": name,
        "note": f"The {count} most confusing of {len(scoring)} samples"
        if count < len(scoring)
        else f"All {count} samples",
        "table": _samples(scoring, ranked, f"rows-{number}", f"Samples of {name}"),
        "gallery": gallery(scoring, name, scoring.primary, k, _PATTERNS),
        "images": images,
    }


def _samples(scoring: Scoring, ranked: pd.DataFrame, identity: str, name: str) -> dict[str, Any]:
    columns = [c for c in ranked.columns if c not in ("trusted", "small_effect", "reasons")]
    pictures = picture(scoring.evaluation.samples, 0) is not None
    front = [c for c in columns if c in ("rank", "sample", "index")]
    behind = [c for c in columns if c not in front]
    headings = [*(["input"] if pictures else []), *front, "why", *(c.replace("_", " ") for c in behind)]
    rows, marks = [], []
    for _, row in ranked.iterrows():
        cells = [_thumbnail(scoring, int(row["sample"]))] if pictures else []
        cells += [{**_cell(row[c]), **({"text": f"#{row[c]}"} if c == "sample" else {})} for c in front]
        rows.append([*cells, _cell(row["reasons"]), *(_cell(row[c]) for c in behind)])
        marks.append("" if row["trusted"] else "untrusted")
    return _table(headings, rows, 0, name, marks, identity)


def _table(
    headings: list[str],
    rows: list[list[dict[str, str]]],
    words: int,
    name: str,
    marks: list[str] | None = None,
    identity: str = "",
) -> dict[str, Any]:
    """A table that sorts by the key of each cell; the first so many columns are words.

    One with an identity is of samples: tall, its rows can be filtered, and on a phone each is a card.
    """
    kinds = {"why": "words long", "input": "picture"}
    heads = [
        {"text": heading, "hint": GLOSSARY.get(heading, ""), "kind": kinds.get(heading, "words" if i < words else "")}
        for i, heading in enumerate(headings)
    ]
    marked = zip(rows, marks or [""] * len(rows), strict=True)
    body = [{"cells": row, "mark": mark} for row, mark in marked]
    return {"headings": heads, "rows": body, "name": name, "identity": identity}


def _cell(value: Any) -> dict[str, str]:
    """Text of a cell and its sort key, which is empty for a missing value, that sorts last."""
    if isinstance(value, (bool, np.bool_)):
        return {"text": "yes" if value else "no", "key": str(int(value))}
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return {"text": "–", "key": ""}
        return {"text": f"{value:.3g}" if abs(float(value)) < 1000 else f"{value:.0f}", "key": repr(float(value))}
    return {"text": str(value), "key": str(value)}


def _image(canvas: Canvas, text: str) -> dict[str, str]:
    buffer = io.BytesIO()
    canvas.drawn[0].savefig(buffer, format="png", dpi=110, facecolor="white")
    return {"text": text, "source": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"}


def _thumbnail(scoring: Scoring, number: int) -> dict[str, str]:
    image = picture(scoring.evaluation.samples, int(np.searchsorted(scoring.numbers, number)))
    return {"text": f"sample {number}", "key": str(number), "picture": "" if image is None else png_source(image)}
