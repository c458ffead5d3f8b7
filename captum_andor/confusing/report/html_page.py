"""A report as one self-contained page: pictures inside, no network, a table that sorts, light and dark."""

from __future__ import annotations

import base64
import html
import io
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_andor.confusing.report.html_gallery import GALLERY_STYLE, gallery_html, png_source
from captum_andor.confusing.report.page_words import asked_and_found, glossary, hint, models
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
    from matplotlib.figure import Figure

_PATTERNS = 5  # of each sample in the gallery
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

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --quiet: #59636e; --line: #d1d9e0; --band: #f6f8fa;
  --mark: #0969da; --warn: #9a3412; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --quiet: #9198a1; --line: #30363d;
  --band: #161b22; --mark: #58a6ff; --warn: #f0883e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { max-width: 75ch; } .quiet { color: var(--quiet); font-size: .9rem; }
nav a { color: var(--mark); margin-right: 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.figures img { background: #fff; border: 1px solid var(--line); border-radius: 8px; max-width: min(100%, 35rem);
  height: auto; }
dl.words-list { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; max-width: 75ch;
  font-size: .9rem; }
dl.words-list dt { font-weight: 600; } dl.words-list dd { margin: 0; }
th button[title] { text-decoration: underline dotted; text-underline-offset: .2em; }
.filter { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: .4rem 0; font-size: .9rem; }
.filter input { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--quiet);
  border-radius: 6px; padding: .2rem .5rem; width: min(20rem, 100%); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
.tall { max-height: 36rem; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.words, th.words { text-align: left; } td.long { min-width: 22rem; }
thead th { position: sticky; top: 0; background: var(--band); vertical-align: bottom; }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid var(--mark); }
th[aria-sort=ascending] button::after { content: " ↑"; } th[aria-sort=descending] button::after { content: " ↓"; }
td img { display: block; width: 44px; height: 44px; object-fit: contain; image-rendering: pixelated; }
tr.untrusted td { color: var(--warn); }
@media (max-width: 640px) {
  dl.words-list { grid-template-columns: 1fr; gap: .1rem; } dl.words-list dd { margin-bottom: .5rem; }
  table.rows thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table.rows tr { display: grid; grid-template-columns: 1fr 1fr; padding: .5rem; border-bottom: 2px solid var(--line); }
  table.rows td { border: 0; text-align: left; padding: .1rem .3rem; min-width: 0; }
  table.rows td::before { content: attr(data-name) " "; color: var(--quiet); }
  table.rows td.long { grid-column: 1 / -1; } table.rows td.picture::before { content: none; }
}
@media print {
  :root { --ink: #000; --paper: #fff; --quiet: #444; --line: #bbb; --band: #eee; --warn: #7a2c0e; color-scheme: light; }
  .scroll, .tall { overflow: visible; max-height: none; border: 0; } .filter, nav { display: none; }
  tr, figure { break-inside: avoid; } body { max-width: none; padding: 0; }
}
"""

_SCRIPT = """
document.querySelectorAll("table.sorts").forEach(table => {
  const body = table.tBodies[0];
  table.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => {
    const head = button.closest("th"), column = head.cellIndex;
    const down = head.getAttribute("aria-sort") !== "descending";
    table.querySelectorAll("th").forEach(th => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.key;
    const rows = [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    });
    body.append(...rows);
  }));
});
document.querySelectorAll(".filter").forEach(filter => {
  const rows = [...document.getElementById(filter.dataset.table).tBodies[0].rows];
  const label = document.createElement("label"), input = document.createElement("input");
  const count = document.createElement("span");
  input.type = "search";
  input.placeholder = "labelled 3, unreliable, #17 …";
  count.setAttribute("role", "status");
  label.append("Rows with ", input);
  filter.append(label, count);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(" ").filter(word => word);
    let shown = 0;
    rows.forEach(row => {
      row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
      shown += !row.hidden;
    });
    count.textContent = words.length ? shown + " of " + rows.length + " rows" : "";
  });
});
"""


def page(scoring: Scoring, title: str, k: int) -> str:
    """The page as text."""
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        *asked_and_found(scoring),
        *(f'<p class="quiet">{html.escape(line)}.</p>' for line in facts(scoring)),
    ]
    links = [f'<a href="#model-{i}">{html.escape(name)}</a>' for i, name in enumerate(scoring.names)]
    parts.append(
        f'<nav aria-label="Parts of this page">{"".join(links)}<a href="#model-words">What the words mean</a></nav>'
    )
    parts += ["<h2>The models</h2>", models(scoring)]
    if len(scoring.names) > 1:
        parts += _agreement(scoring)
    if len(scoring.views) > 1:
        parts += _reliability(scoring)
    for i, name in enumerate(scoring.names):
        parts += [f'<h2 id="model-{i}">{html.escape(name)}</h2>', *_model(scoring, name, k, i)]
    parts.append(glossary())
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{GALLERY_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _agreement(scoring: Scoring) -> list[str]:
    table = overlap(scoring, scoring.primary, SetRule(), ("n_active", "ink"), None, _RESAMPLES, 0)
    canvas, size = Canvas(), 0.55 * len(scoring.names)
    overlap_matrix(scoring, canvas.axis((3.4 + size, 2.6 + size)), scoring.primary, SetRule())
    images = [_image(canvas.drawn[0], "Overlap of confusing sets")]
    for a, b in list(combinations(scoring.names, 2))[:3]:
        score_against_score(scoring, canvas.axis((6.0, 3.8)), a, b, scoring.primary, SetRule())
        images.append(_image(canvas.drawn[0], f"{a} against {b}"))
    shown = {key: heading for key, heading in _OVERLAP_COLUMNS.items() if not table[key].isna().all()}
    rows = [[(_text(row[key]), _key(row[key])) for key in shown] for _, row in table.iterrows()]
    return [
        "<h2>Do the models agree?</h2>",
        f"<p>Sets are the most confusing 10 % by {html.escape(scoring.primary)}. Agreement means something above "
        "chance, above what loss gives, and beside what the same model gives under another baseline or mask.</p>",
        _table(list(shown.values()), rows, words=2, name="Agreement of models"),
        f'<p></p><div class="figures">{"".join(images)}</div>',
    ]


def _reliability(scoring: Scoring) -> list[str]:
    table = reliability(scoring).groupby("score", sort=False)[["retest_baseline", "retest_mask", "reliability"]].mean()
    rows = [
        [(score, score), *((_text(value), _key(value)) for value in values)]
        for score, values in zip(table.index, table.to_numpy(), strict=True)
    ]
    return [
        "<h2>How far do the scores repeat?</h2>",
        "<p>Rank correlation of a score with itself, same model, under another baseline or mask; and the reliability "
        "of the summed ranks. Means over models.</p>",
        _table(["score", "other baseline", "other mask", "summed"], rows, words=1, name="Reliability of scores"),
    ]


def _model(scoring: Scoring, name: str, k: int, number: int) -> list[str]:
    profile = ""
    if set(scoring.wanted) - set(VALUE_SCORES):  # a split was solved for them
        canvas = Canvas()
        order_profiles(scoring, name, canvas.axis((4.5, 3.4)), SetRule())
        image = _image(canvas.drawn[0], f"Strength of interactions by order, {name}")
        profile = f'<div class="figures">{image}</div>'
    ranked = ranking(scoring, name, scoring.primary, _ROWS)
    count = len(ranked)
    note = f"The {count} most confusing of {len(scoring)} samples" if count < len(scoring) else f"All {count} samples"
    return [
        f'<p class="quiet">{note}; orange rows: the full input does not score above the baseline, so net_order is '
        "unreliable for them.</p>",
        f'<div class="filter" data-table="rows-{number}"></div>',
        _samples(scoring, ranked, f"rows-{number}", f"Samples of {name}"),
        f"<h3>Most and least confusing samples, {html.escape(name)}</h3>",
        gallery_html(scoring, name, scoring.primary, k, _PATTERNS),
        profile,
    ]


def _samples(scoring: Scoring, ranked: pd.DataFrame, identity: str, name: str) -> str:
    columns = [c for c in ranked.columns if c not in ("trusted", "small_effect", "reasons")]
    pictures = picture(scoring.evaluation.samples, 0) is not None
    front = [c for c in columns if c in ("rank", "sample")]
    behind = [c for c in columns if c not in front]
    headings = [*(["input"] if pictures else []), *front, "why", *(c.replace("_", " ") for c in behind)]
    rows, classes = [], []
    for _, row in ranked.iterrows():
        cells: list[tuple[Any, str]] = []
        if pictures:
            cells.append((_Markup(_thumbnail(scoring, int(row["sample"]))), str(row["sample"])))
        cells += [(f"#{row[c]}" if c == "sample" else _text(row[c]), _key(row[c])) for c in front]
        rows.append([*cells, (row["reasons"], row["reasons"]), *((_text(row[c]), _key(row[c])) for c in behind)])
        classes.append("" if row["trusted"] else "untrusted")
    return _table(headings, rows, words=0, name=name, classes=classes, identity=identity)


class _Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _escaped(text: Any) -> str:
    return text if isinstance(text, _Markup) else html.escape(str(text))


def _table(
    headings: list[str],
    rows: list[list[tuple[Any, str]]],
    words: int,
    name: str,
    classes: list[str] | None = None,
    identity: str = "",
) -> str:
    """A table that sorts by the key of each cell; the first so many columns are words.

    One with an identity is of samples: tall, its rows can be filtered, and on a phone each is a card.
    """

    def kind(position: int) -> str:
        heading = headings[position]
        if heading == "why":
            return ' class="words long"'
        return ' class="picture"' if heading == "input" else ' class="words"' if position < words else ""

    def cell(position: int, text: Any, key: str) -> str:
        label = f' data-name="{html.escape(headings[position])}"' if identity else ""
        return f'<td{kind(position)}{label} data-key="{html.escape(key)}">{_escaped(text)}</td>'

    def head(position: int, heading: str) -> str:
        said = hint(heading)
        title = f' title="{html.escape(said)}"' if said else ""
        return f'<th scope="col"{kind(position)}><button type="button"{title}>{html.escape(heading)}</button></th>'

    top = "".join(head(i, heading) for i, heading in enumerate(headings))
    lines = []
    for number, row in enumerate(rows):
        mark = f' class="{classes[number]}"' if classes and classes[number] else ""
        lines.append(f"<tr{mark}>{''.join(cell(i, text, key) for i, (text, key) in enumerate(row))}</tr>")
    body = "\n".join(lines)
    shape, own = ("scroll tall", f' id="{identity}"') if identity else ("scroll", "")
    table = "sorts rows" if identity else "sorts"
    return (
        f'<div class="{shape}" tabindex="0" role="region" aria-label="{html.escape(name)}">'
        f'<table class="{table}"{own}><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )


def _text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return "–" if np.isnan(value) else f"{value:.3g}" if abs(float(value)) < 1000 else f"{value:.0f}"
    return str(value)


def _key(value: Any) -> str:
    """Sort key of a cell; the empty string for a missing value, which sorts last."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)


def _image(fig: Figure, description: str) -> str:
    return f'<img alt="{html.escape(description)}" src="{_png(fig)}">'


def _png(fig: Figure) -> str:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, facecolor="white")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _thumbnail(scoring: Scoring, number: int) -> str:
    image = picture(scoring.evaluation.samples, int(np.searchsorted(scoring.numbers, number)))
    return "" if image is None else f'<img alt="sample {number}" src="{png_source(image)}">'
