"""The page of sources and the heat map of players × outputs: what they say, that they escape, and bad arguments."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from captum_andor import GameEstimate, LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.results import Axes
from captum_andor.visualization import KINDS, plot_attributions, sources_html, tokens_html

Z = all_coalitions(4).double()
V = 3 * Z[:, [0, 2]].amax(1) - 2 * Z[:, 1] * Z[:, 3]
TEXTS = ["<script>alert(1)</script>", "b & c", "third", "fourth"]


def model() -> LogicalModel:
    return LogicalModel.from_values(V, player_names=["d1", "d2", "d<3>", "d4"])


def test_patterns_stand_beside_their_sources_and_all_text_is_escaped() -> None:
    page = sources_html(model(), TEXTS, title="who & why")
    assert "<script>" not in page and "&lt;script&gt;" in page and "b &amp; c" in page and "d&lt;3&gt;" in page
    assert "any one of d1, d&lt;3&gt;: +3" in page and "d2 and d4 only together: −2" in page and "who &amp; why" in page
    either, both = '<span class="mark or up">A OR</span>', '<span class="mark and down">B AND</span>'
    blocks = page.split('<div class="source">')[1:]
    assert [(either in block, both in block) for block in blocks] == [(True, False), (False, True)] * 2
    assert "2 of 2 patterns, R² 1.000" in page
    assert page._repr_html_() == str(page) and tokens_html(model())._repr_html_().startswith("<table")


def test_a_pattern_of_all_sources_is_listed_and_marked_nowhere() -> None:
    page = sources_html(LogicalModel.from_values(Z.amax(1)), TEXTS)
    assert "any one of all 4: +1" in page and "mark or" not in page.split('<div class="source">', 1)[1]


def test_the_page_names_its_output_and_light_and_dark_are_told() -> None:
    named = replace(LogicalModel.from_values(V[None]), axes=Axes.labelled(("the answer",)))
    page = sources_html(named, TEXTS, k=1)
    assert "the answer" in page and "1 of 2 patterns" in page and "prefers-color-scheme:dark" in page


def test_bad_sources() -> None:
    with pytest.raises(ValueError, match="one text for each of 4 players; got 1"):
        sources_html(model(), ["a"])
    with pytest.raises(ValueError, match="got 4"):
        sources_html(LogicalModel.from_values(torch.rand(8)), TEXTS)
    with pytest.raises(ValueError, match="k"):
        sources_html(model(), TEXTS, k=0)
    with pytest.raises(ValueError, match="Index it first"):
        sources_html(LogicalModel.from_values(torch.rand(2, 16)), TEXTS)


@pytest.mark.parametrize("of", [LogicalModel.from_values, GameEstimate.from_values])
def test_players_by_outputs(of) -> None:
    result = replace(of(torch.stack([V, -2 * V])), axes=Axes.labelled(("yes", "no")))
    fig, axis = plot_attributions(result, use_pyplot=False)
    assert [t.get_text() for t in axis.get_yticklabels()] == ["yes", "no"]
    shown = axis.images[0].get_array()
    torch.testing.assert_close(torch.tensor(shown.data), result.shapley_values())
    assert axis.texts[0].get_text() == "+1.5" and fig is axis.figure
    _, given = plot_attributions(result, labels=["a", "b"], use_pyplot=False, title="t")
    assert [t.get_text() for t in given.get_yticklabels()] == ["a", "b"] and given.get_title() == "t"
    with pytest.raises(ValueError, match="labels must be of 2 outputs"):
        plot_attributions(result, labels=["a"], use_pyplot=False)


def test_heat_maps_take_the_names_of_outputs() -> None:
    result = replace(LogicalModel.from_values(torch.stack([V, -2 * V])), axes=Axes.labelled(("yes", "no")))
    _, axis = KINDS["heatmap"](result, use_pyplot=False)
    assert [t.get_text() for t in axis.get_xticklabels()] == ["yes", "no"]
    assert KINDS["attributions"] is plot_attributions


def test_all_zero_attributions_are_drawn() -> None:
    _, axis = plot_attributions(LogicalModel.from_values(torch.zeros(2, 8)), use_pyplot=False)
    assert {t.get_text() for t in axis.texts} == {"0"}


def test_matching_shows_what_patterns_say_of_every_masked_input() -> None:
    from captum_andor import AndOrExplanation

    exact = AndOrExplanation.from_values(V)
    _, axis = KINDS["matching"](exact, use_pyplot=False)
    dots, line = (torch.as_tensor(drawn.get_ydata()) for drawn in axis.get_lines())
    torch.testing.assert_close(dots, line)
    assert torch.equal(line, V.sort().values) and "16 masked inputs" in axis.get_xlabel()
    rows = all_coalitions(5)[:24]
    few = LogicalModel.from_values(rows.double().sum(1), rows, max_patterns=1, exact_ends=False)
    _, axis = KINDS["matching"](few, use_pyplot=False, title="few")
    assert len(axis.get_lines()[0].get_ydata()) == 24 and axis.get_title() == "few"
    with pytest.raises(ValueError, match="Index it first"):
        KINDS["matching"](LogicalModel.from_values(torch.rand(2, 8)), use_pyplot=False)
