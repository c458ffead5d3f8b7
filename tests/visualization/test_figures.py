"""Figures say what the result says, on whatever result, with or without a display."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from captum_andor.visualization import KINDS, plot_heatmap, plot_orders, tokens_html
from captum_andor.visualization.images import _outline

IMAGE = np.linspace(0, 1, 36).reshape(6, 6)
MASK = torch.arange(4).view(2, 2).repeat_interleave(3, 0).repeat_interleave(3, 1)[None, None]
NAMES = ["nose & <mouth>", "left ear", "right ear", "tail"]


def model(x: Tensor) -> Tensor:
    """AND of two corners, OR of the others."""
    a, b, c, d = (x[:, 0, i, j] > 0 for i, j in ((0, 0), (0, 5), (5, 0), (5, 5)))
    return 2.0 * (a & b) - 1.0 * (c | d) + 0.5 * a


@pytest.fixture(scope="module", params=["logical model", "explanation"])
def result(request: pytest.FixtureRequest) -> LogicalModel | AndOrExplanation:
    method, x = AndOrInteractions(model), torch.ones(3, 1, 6, 6)
    explain = method.logical_model if request.param == "logical model" else method.interactions
    return explain(x, feature_mask=MASK, player_names=NAMES)  # type: ignore[operator, no-any-return]


def arguments(kind: str) -> list[object]:
    return [IMAGE] if kind in ("image", "overview") else []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_all_kinds_are_drawn_by_one_door(result: LogicalModel | AndOrExplanation, kind: str) -> None:
    fig, axes = result[0].plot(kind, *arguments(kind), use_pyplot=False)
    assert isinstance(fig, Figure) and axes is not None
    fig.canvas.draw()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"image"}))
def test_figures_go_on_a_given_axis_with_a_given_title(result: LogicalModel | AndOrExplanation, kind: str) -> None:
    fig = Figure()
    axis = fig.add_subplot()
    drawn = result[0].plot(kind, *arguments(kind), plt_fig_axis=(fig, axis), title="what it is")
    assert drawn == (fig, axis) and axis.get_title() == "what it is"
    fig.canvas.draw()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("explain", ["logical_model", "interactions"])
def test_a_constant_model_and_a_single_player_are_drawn_too(kind: str, explain: str) -> None:
    x = torch.ones(1, 1, 6, 6)
    for function, mask in ((lambda z: torch.zeros(len(z)), MASK), (model, torch.zeros(1, 1, 6, 6, dtype=torch.long))):
        single = getattr(AndOrInteractions(function), explain)(x, feature_mask=mask)[0]
        fig, _ = single.plot(kind, *arguments(kind), use_pyplot=False)
        fig.canvas.draw()


def test_bars_have_the_names_and_strengths_of_the_patterns(result: LogicalModel | AndOrExplanation) -> None:
    _, axis = result[0].plot("bars", k=3, use_pyplot=False)
    assert [t.get_text() for t in axis.get_yticklabels()] == [
        "nose & <mouth> & left ear",
        "right ear | tail",
        "nose & <mouth>",
    ]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([2.0, -1.0, 0.5])
    assert [bool(bar.get_hatch()) for bar in axis.patches] == [False, True, False]


def test_the_waterfall_leads_from_nothing_to_everything(result: LogicalModel | AndOrExplanation) -> None:
    _, axis = result[0].plot("waterfall", k=2, use_pyplot=False)
    bars = axis.patches
    assert [t.get_text() for t in axis.get_yticklabels()][:3] == [
        "nose & <mouth> & left ear",
        "right ear | tail",
        "all others",
    ]
    assert bars[0].get_x() == pytest.approx(0.0) and bars[-1].get_x() + bars[-1].get_width() == pytest.approx(1.5)
    for before, after in itertools.pairwise(bars):
        assert before.get_x() + before.get_width() == pytest.approx(after.get_x())
    assert {"nothing: 0", "everything: 1.5"} <= {t.get_text() for t in axis.texts}


def test_order_strengths_are_means_with_their_spread(result: LogicalModel | AndOrExplanation) -> None:
    _, axis = plot_orders({"a": result, "b": result[0]}, use_pyplot=False)
    strength = result.order_strength().mean(0)
    lines = [line for line in axis.lines if len(line.get_xdata()) == 4]
    assert lines[0].get_ydata().tolist() == pytest.approx(strength[0, 1:].tolist())
    assert lines[1].get_ydata().tolist() == pytest.approx(strength[1, 1:].tolist())
    assert len(axis.collections) == 2 and [t.get_text() for t in axis.get_legend().get_texts()] == ["a", "b"]


def test_the_heat_map_has_a_row_a_pattern_and_a_column_an_output(result: LogicalModel | AndOrExplanation) -> None:
    _, axis = plot_heatmap([result, result[0]], k=3, labels=list("abcd"), use_pyplot=False)
    shown = np.asarray(axis.images[0].get_array())
    assert shown.shape == (3, 4) and shown[:, 0].tolist() == pytest.approx([2.0, -1.0, 0.5])
    with pytest.raises(ValueError, match="labels must be of 4 outputs; got 1"):
        plot_heatmap([result, result[0]], labels=["a"], use_pyplot=False)


def test_a_beeswarm_shows_the_values_of_players() -> None:
    """Dots of one player go from dark to light with its value; patterns of several are grey; strings have an order."""
    import pandas as pd

    values = torch.linspace(-1, 1, 7, dtype=torch.float64)
    lm = LogicalModel.from_values(torch.stack([torch.zeros(7), values, values * 0, values + 2], -1).double())
    frame = pd.DataFrame({"x": values.tolist(), "y": list("abcabca")})
    fig, axis = lm.plot("beeswarm", data=frame, use_pyplot=False)
    assert len(fig.axes) == 2 and [t.get_text() for t in fig.axes[1].get_yticklabels()] == ["least", "largest"]
    rows = {t.get_text().split("  ")[0]: i for i, t in enumerate(axis.get_yticklabels())}
    dots = next(c for c in axis.collections[::2] if len(c.get_offsets()) and round(c.get_offsets()[0][1]) == rows["0"])
    order = np.argsort(np.asarray(dots.get_offsets())[:, 0])
    greens = dots.get_facecolors()[order, 1]
    assert (np.diff(greens) > 0).all()
    with pytest.raises(
        ValueError, match="data must have a row for each of the 7 outputs and a column for each of the 2"
    ):
        lm.plot("beeswarm", data=frame.iloc[:3], use_pyplot=False)


def test_a_beeswarm_has_a_dot_for_every_output(result: LogicalModel | AndOrExplanation) -> None:
    lower = LogicalModel.from_values(torch.tensor([[0.0, 1, 0, 1], [0.0, 0, 0, -2], [0.0, 0, 0, 0]]), max_patterns=2)
    _, axis = lower.plot("beeswarm", use_pyplot=False)
    assert sum(len(dots.get_offsets()) for dots in axis.collections) == 3 * 2
    assert {t.get_text() for t in axis.get_yticklabels()} == {"0  (1)", "0 & 1  (1)"}


def test_marked_words_are_those_of_the_patterns(result: LogicalModel | AndOrExplanation) -> None:
    _fig, axis = result[0].plot("tokens", ["not", "bad", "or", "worse"], k=2, use_pyplot=False)
    assert [t.get_text() for t in axis.texts] == ["not", "bad", "or", "worse", "AND +2", "OR -1"]
    thick = [line for line in axis.lines if line.get_linewidth() == 4]
    assert len(thick) == 4 and thick[0].get_color() != thick[2].get_color()
    many = LogicalModel.from_values(torch.arange(1024.0), player_names=["word" * 5] * 10)
    assert len({round(t.get_position()[1], 3) for t in many.plot("tokens", k=1, use_pyplot=False)[1].texts}) > 3


def test_lines_of_a_text_without_patterns_take_no_room_for_them() -> None:
    v = torch.zeros(1024)
    v[1 << 9 :] = 1.0  # the last word alone
    lm = LogicalModel.from_values(v, player_names=["word" * 5] * 9 + ["last"])
    axis = lm.plot("tokens", use_pyplot=False)[1]
    rows = sorted({round(t.get_position()[1], 3) for t in axis.texts if t.get_text() != "A  +1"}, reverse=True)
    assert len(rows) == 4 and np.allclose(np.diff(rows), -1.6)


def test_numbers_beside_the_bars_of_a_waterfall_stay_inside() -> None:
    names = ["a column with a name of some forty letters", "another one"]  # which leave the bars little room
    lm = LogicalModel.from_values(1e-6 * torch.tensor([0.0, 9.234, 1.012, 10.246]), player_names=names)
    fig, axis = lm.plot("waterfall", use_pyplot=False)
    fig.draw_without_rendering()
    right = max(t.get_window_extent().x1 for t in axis.texts)
    assert right < axis.get_window_extent().x1


def test_a_legend_of_long_names_stands_below_the_picture() -> None:
    def pairs(x: Tensor) -> Tensor:
        return 3 * x[:, 0, 0, 0] * x[:, 0, 0, 5] - x[:, 0, 5, 0] * x[:, 0, 5, 5]

    names = [f"a name of some length {i}" for i in range(4)]
    lm = AndOrInteractions(pairs).logical_model(torch.ones(1, 1, 6, 6), feature_mask=MASK, player_names=names)[0]
    fig, axis = lm.plot("overview", IMAGE, use_pyplot=False)
    fig.draw_without_rendering()
    legend, picture = fig.legends[0].get_window_extent(), axis.get_window_extent()
    assert legend.y1 < picture.y0 and legend.x1 < fig.bbox.x1 and picture.width > 2.5 * fig.dpi
    given = fig.axes[0].title.get_window_extent()
    assert given.x0 >= 0 and given.x1 <= fig.bbox.x1


def test_html_is_escaped_and_has_every_pattern(result: LogicalModel | AndOrExplanation) -> None:
    for html in (tokens_html(result[0]), result[0]._repr_html_()):
        assert "nose &amp; &lt;mouth&gt;" in html and "<mouth>" not in html and "OR" in html
    assert "3 outputs" in result._repr_html_() and "<mouth>" not in result._repr_html_()


def test_an_overview_has_panels_where_patterns_share_players() -> None:
    def both(x: Tensor) -> Tensor:
        a, b, c = x[:, 0, 0, 0], x[:, 0, 0, 5], x[:, 0, 5, 0]
        return 3 * a * b * c + 2 * torch.maximum(a, torch.maximum(b, c)) - x[:, 0, 5, 5]

    coincide = AndOrInteractions(both).interactions(torch.ones(1, 1, 6, 6), feature_mask=MASK)[0]
    fig, axis = coincide.plot("overview", IMAGE, k=3, use_pyplot=False)
    titles = [panel.get_title() for panel in fig.axes if panel is not axis]
    assert titles == ["AND +3.00", "OR +2.00", "-1.00"] and axis.get_title() == "absent: 0, Captum's default"
    crossing = AndOrInteractions(lambda x: x[:, 0, 0, 0] * (x[:, 0, 0, 5] + 2 * x[:, 0, 5, 0]))
    assert (
        len(
            crossing.interactions(torch.ones(1, 1, 6, 6), feature_mask=MASK)
            .plot("overview", IMAGE, use_pyplot=False)[0]
            .axes
        )
        > 1
    )
    apart = AndOrInteractions(lambda x: x[:, 0, 0, 0] * x[:, 0, 0, 5] - 2 * x[:, 0, 5, 0])
    found = apart.logical_model(torch.ones(1, 1, 6, 6), feature_mask=MASK)
    assert len(found.plot("overview", IMAGE, use_pyplot=False)[0].axes) == 1


@pytest.mark.parametrize("score", ["log_odds", "log_prob", "prob", "output"])
def test_titles_say_sample_class_and_probability(score: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    x, classes = torch.rand(4, 5), [0, 1, 2, 1]
    p = net(x).softmax(1).detach()
    result = AndOrInteractions(net, score=score).logical_model(x, target=classes)  # type: ignore[arg-type]
    result.save(tmp_path / "model.npz")
    for found in (result, LogicalModel.load(tmp_path / "model.npz"), result[1:]):
        i = 2 if len(found) == 4 else 1
        title = found[i].plot(use_pyplot=False)[1].get_title()
        which = f"class 2 (p = {float(p[2, 2]):.2g})" if score != "output" else "output 2"
        assert title.startswith(f"sample 2, {which}: R² ")
    one = AndOrInteractions(net, score=score).logical_model(x[:1], target=1)  # type: ignore[arg-type]
    assert ("class 1 (p" in one.plot(use_pyplot=False)[1].get_title()) == (score != "output")
    every = AndOrInteractions(net, score=score).logical_model(x)  # type: ignore[arg-type]
    assert every[3, 1].plot(use_pyplot=False)[1].get_title().startswith("sample 3, output 1: R² ")


def test_outlines_are_closed_lines_around_the_members() -> None:
    members = np.zeros((5, 6), dtype=bool)
    members[1:3, 1:4] = True
    members[4, 5] = True
    lines = _outline(members)
    assert len(lines) == 2 and all(line[0] == line[-1] for line in lines)
    assert sorted(set(lines[0])) == [(0.5, 0.5), (0.5, 2.5), (3.5, 0.5), (3.5, 2.5)]
    ring = np.ones((3, 3), dtype=bool)
    ring[1, 1] = False
    assert len(_outline(ring)) == 2 and _outline(np.zeros((2, 2), dtype=bool)) == []


def test_bad_questions_are_named(result: LogicalModel | AndOrExplanation) -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        result.plot("pie")
    for kind in ("bars", "waterfall", "graph", "tokens"):
        with pytest.raises(ValueError, match="of one output"):
            result.plot(kind)
    for kind in ("bars", "waterfall", "graph", "beeswarm", "heatmap", "tokens"):
        with pytest.raises(ValueError, match="k must be an int ≥ 1; got 0"):
            result[0].plot(kind, k=0)
    with pytest.raises(ValueError, match="k must be at most 7"):
        result[0].plot("overview", IMAGE, k=8)
    with pytest.raises(ValueError, match="tokens must be one for each of 4 players; got 1"):
        result[0].plot("tokens", ["a"])
