"""Figures: what is drawn, where, and what is refused."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.collections import LineCollection

from captum_andor import AndOrExplanation, AndOrInteractions
from captum_andor.visualization import plot_image_interactions

MASK = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])[None, None]


def corners_model(x: torch.Tensor) -> torch.Tensor:
    """2 for the left column of patches together, -1 for any of the right column."""
    player = [x[:, 0, r, c] for r, c in ((0, 0), (0, 2), (2, 0), (2, 2))]
    return 2 * player[0] * player[2] - torch.maximum(player[1], player[3])


@pytest.fixture
def explanation() -> AndOrExplanation:
    return AndOrInteractions(corners_model).interactions(torch.ones(1, 1, 4, 4), feature_mask=MASK)


def outlines(axis: pyplot.Axes) -> LineCollection:
    (collection,) = [c for c in axis.collections if isinstance(c, LineCollection)]
    return collection


def test_each_pattern_has_a_panel_that_outlines_its_players(explanation: AndOrExplanation) -> None:
    fig, axes = explanation.plot_image(np.ones((4, 4)), k=3, use_pyplot=False)
    assert len(fig.axes) == len(axes) == 3
    assert [axis.get_title() for axis in axes] == ["AND +2.00", "OR -1.00", ""]
    corners = np.concatenate(outlines(axes[0]).get_segments())
    assert corners.min(0).tolist() == [-0.5, -0.5] and corners.max(0).tolist() == [1.5, 3.5]
    corners = np.concatenate(outlines(axes[1]).get_segments())
    assert corners.min(0).tolist() == [1.5, -0.5] and corners.max(0).tolist() == [3.5, 3.5]


@pytest.mark.parametrize(("k", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (7, 3)])
def test_at_most_three_panels_stand_beside_each_other(explanation: AndOrExplanation, k: int, columns: int) -> None:
    """On a page of 720 pixels each has 240."""
    fig, axes = explanation.plot_image(np.ones((4, 4)), k=k, use_pyplot=False)
    assert len(axes) == len(fig.axes) == k
    assert len({round(axis.get_position().x0, 3) for axis in axes}) == columns
    fig.draw_without_rendering()
    for axis in axes:
        assert axis.get_window_extent().width / fig.dpi > 2


def test_kind_and_sign_can_be_told_apart_without_the_title(explanation: AndOrExplanation) -> None:
    _, axes = explanation.plot_image(np.ones((4, 4)), k=2, use_pyplot=False)
    both = [outlines(axis) for axis in axes]
    assert both[0].get_linestyle() != both[1].get_linestyle()
    assert not np.allclose(both[0].get_edgecolor(), both[1].get_edgecolor())


def test_draws_on_given_axes_and_leaves_pyplot_alone(explanation: AndOrExplanation) -> None:
    fig, axes = pyplot.subplots(2, 2)
    returned, _ = explanation.plot_image(np.ones((4, 4, 3)), k=4, plt_fig_axis=(fig, axes), title="left and right")
    assert returned is fig and axes[0, 0].get_title() == "AND +2.00"
    pyplot.close(fig)
    explanation.plot_image(np.ones((4, 4)), use_pyplot=False)
    assert not pyplot.get_fignums()


def test_a_constant_model_draws_blank_panels() -> None:
    flat = AndOrInteractions(lambda x: x.flatten(1).sum(1) * 0).interactions(torch.ones(1, 1, 4, 4), feature_mask=MASK)
    _, axes = flat.plot_image(np.zeros((4, 4)), k=2, use_pyplot=False)
    assert [axis.get_title() for axis in axes] == ["", ""]


def test_a_batch_and_its_rows_draw_the_same(explanation: AndOrExplanation) -> None:
    _, axes = plot_image_interactions(explanation[0], np.ones((4, 4)), k=1, use_pyplot=False)
    assert axes[0].get_title() == "AND +2.00"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": np.ones((5, 4))}, "image must be one picture of the size of the input, .4, 4."),
        ({"k": 0}, "k must be"),
        ({"input_index": 1}, "input_index"),
        ({"k": 3, "plt_fig_axis": (None, [None])}, "plt_fig_axis must hold at least k=3"),
    ],
)
def test_bad_arguments_are_named(explanation: AndOrExplanation, options: dict[str, object], message: str) -> None:
    options = {"image": np.ones((4, 4)), "use_pyplot": False} | options
    with pytest.raises(ValueError, match=message):
        plot_image_interactions(explanation, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["image", "overview"])
def test_pictures_are_taken_as_models_take_them(explanation: AndOrExplanation, kind: str) -> None:
    grey, coloured = torch.rand(4, 4), torch.rand(3, 4, 4)
    for last, given in (
        (grey, [grey[None], grey[None, None], grey[None].requires_grad_()]),
        (coloured.permute(1, 2, 0), [coloured, coloured[None], coloured.numpy()]),
    ):
        for image in (last.numpy(), *given):
            _, axes = explanation.plot(kind, image, use_pyplot=False)
            drawn = (axes if kind == "overview" else axes[0]).images[0].get_array()
            assert np.array_equal(np.asarray(drawn), last.detach().numpy())
    with pytest.raises(ValueError, match="got .2, 3, 4, 4."):
        explanation.plot(kind, coloured.expand(2, 3, 4, 4), use_pyplot=False)


def test_needs_one_output_with_inputs_and_one_mask_for_all_channels() -> None:
    with pytest.raises(ValueError, match="no inputs"):
        AndOrExplanation.from_values(torch.rand(4)).plot_image(np.ones((4, 4)), use_pyplot=False)
    batch = AndOrInteractions(corners_model).interactions(torch.ones(2, 1, 4, 4), feature_mask=MASK)
    with pytest.raises(ValueError, match="one output"):
        batch.plot_image(np.ones((4, 4)), use_pyplot=False)
    channels = torch.tensor([0, 1])[None, :, None, None]
    coloured = AndOrInteractions(lambda x: x.flatten(1).sum(1)).interactions(
        torch.ones(1, 2, 4, 4), feature_mask=channels
    )
    with pytest.raises(ValueError, match="same in all channels"):
        coloured.plot_image(np.ones((4, 4)), use_pyplot=False)
