"""A page of texts with the patterns between them: which source stands where, and what it does with which others."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from captum_andor._utils.checks import constrained
from captum_andor.results import Interaction, Result, rule_of
from captum_andor.visualization.canvas import check_single

# Both themes, by the reader's system or by the switch of a documentation page; colours of Okabe and Ito, darker on
# white and lighter on black, so that text in them keeps a contrast of 4.5.
_LIGHT = "--ink:#1b1f24;--quiet:#59636e;--line:#d1d9e0;--band:#f6f8fa;--up:#00704f;--down:#b34700"
_DARK = "--ink:#e6edf3;--quiet:#9198a1;--line:#3d444d;--band:#161b22;--up:#3fcf9f;--down:#ff9a57"
_STYLE = (
    f".andor-sources{{{_LIGHT};color:var(--ink);font-family:system-ui,sans-serif;font-size:15px;line-height:1.45;"
    "max-width:46rem}"
    f"@media (prefers-color-scheme:dark){{body:not([data-theme=light]) .andor-sources{{{_DARK}}}}}"
    f"body[data-theme=dark] .andor-sources{{{_DARK}}}"
    ".andor-sources p{margin:.4em 0}.andor-sources ul{margin:.5em 0;padding:0;list-style:none}"
    ".andor-sources li{margin:.25em 0;color:var(--ink)}"
    ".andor-sources .quiet{color:var(--quiet)}"
    ".andor-sources .mark{display:inline-block;padding:0 .45em;margin-right:.35em;border:2px solid;font-size:.85em;"
    "font-weight:600;white-space:nowrap}"
    ".andor-sources .and{border-style:solid;border-radius:2px}.andor-sources .or{border-style:dashed;border-radius:1em}"
    ".andor-sources .up{color:var(--up);border-color:var(--up)}"
    ".andor-sources .down{color:var(--down);border-color:var(--down)}"
    ".andor-sources .source{border-left:4px solid var(--line);background:var(--band);padding:.4em .8em;margin:.5em 0;"
    "white-space:pre-wrap;overflow-wrap:anywhere}"
    ".andor-sources .source b{margin-right:.6em}"
)


class Html(str):
    """A piece of HTML that notebooks and documentation pages show instead of print."""

    def _repr_html_(self) -> str:
        return str(self)


@constrained()
def sources_html(result: Result, sources: Sequence[str], k: int = 5, title: str | None = None) -> Html:
    """Write the texts of a prompt with the k strongest patterns between them as HTML, all text escaped.

    Each pattern has a letter, which stands beside every source that is in it, unless all are: in a box with a solid
    frame for AND, with a round dashed one for OR; green raises the score, orange lowers it. Beside it stands what its
    sources do, measured. Light and dark follow the reader's theme.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output; players are the sources.
        sources (sequence of str): The text of each player, in the order of ``feature_ids``, e.g. ``inp.sources``.
        k (int, optional): Most patterns. Default: 5
        title (str, optional): A line above. Default: None (what the output is called, where it has a name)

    Returns:
        - **html** (*Html*): A string that notebooks show; write it to a file for a page.

    Raises:
        ValueError: If the result holds several outputs, sources are not one a player, or k < 1.

    Examples::

        >>> from captum_andor import LogicalModel
        >>> lm = LogicalModel.from_values([0.0, 2.0, 2.0, 2.0], player_names=["d1", "d2"])
        >>> page = sources_html(lm, ["It was <b>Ann</b>.", "Ann, they say."])
        >>> "&lt;b&gt;Ann&lt;/b&gt;" in page, "any one of" in page
        (True, True)
    """
    check_single(result)
    texts = list(sources)
    if isinstance(sources, str) or len(texts) != result.n_players:
        raise ValueError(f"sources must be one text for each of {result.n_players} players; got {len(texts)}.")
    measured = result._measured(k)
    patterns = [pattern for pattern, _ in measured]
    marks = {id(pattern): _mark(pattern, _letter(i)) for i, pattern in enumerate(patterns)}
    names = list(result.player_names or map(str, result.feature_ids))
    labels = result.axes.output_labels()
    heading = title if title is not None else (labels[0] if labels else None)
    parts = [] if heading is None else [f"<p><b>{escape(heading)}</b></p>"]
    parts += [f"<p>{escape(doubt)}</p>" for doubt in result.players.question.doubts]
    parts += [
        "<ul>",
        *(f"<li>{marks[id(p)]}{escape(rule_of(p, effect, names))}</li>" for p, effect in measured),
        "</ul>",
        f'<p class="quiet">{escape(_quality(result, len(patterns)))}</p>',
    ]
    for player, name, text in zip(result.feature_ids, names, texts, strict=True):
        mine = "".join(marks[id(p)] for p in patterns if player in p.players and p.order < result.n_players)
        parts.append(f'<div class="source"><b>{escape(name)}</b>{mine}{escape(text)}</div>')
    return Html(f'<div class="andor-sources"><style>{_STYLE}</style>{"".join(parts)}</div>')


def _letter(number: int) -> str:
    """The letters A to Z, then AA, AB and so on."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _mark(pattern: Interaction, letter: str) -> str:
    sign = "up" if pattern.value >= 0 else "down"
    label = f"{letter} {pattern.kind.upper()}" if pattern.order > 1 else letter
    return f'<span class="mark {pattern.kind} {sign}">{label}</span>'


def _quality(result: Result, shown: int) -> str:
    """How many patterns of how many are shown, and what they reproduce."""
    r2 = getattr(result, "r2", None)
    count, noise = len(list(result._compared_patterns())), result._within_noise()
    quality = "" if r2 is None else f", R² {float(r2.squeeze()):.3f}"
    within, absent = f" ({noise} within noise)" if noise else "", result.players.question.absent
    unit = result.players.question.unit
    notes = [f"{shown} of {count} patterns{within}{quality}", unit and f"in {unit}", absent and f"absent: {absent}"]
    return "; ".join(filter(None, notes))
