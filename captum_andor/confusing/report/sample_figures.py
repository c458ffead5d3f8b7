"""Figures of one sample: its picture, its attribution map, its patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.scores.score_formulas import lost_by_each, n_players
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.explain import LogicalModel, complete_model
from captum_andor.games import PlayerLayout, Question, absent_in_words, column_names
from captum_andor.results import ResultPlayers
from captum_andor.search import Options
from captum_andor.visualization import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NO_ATTRIBUTION = 1e-9  # a map whose largest value is smaller is drawn as zero
_LONGEST = 44  # characters of a pattern's players
_BARS = 6  # patterns of a sample that is no picture


def explained(scoring: Scoring, name: str, index: int, view: View, max_patterns: int) -> LogicalModel:
    """The logical model of one sample under one view, which knows its inputs and so can be drawn."""
    values = scoring.values_of_sample(name, view, index)
    return complete_model(values, Options(max_patterns), _players_of(scoring, index, view))[0]


def _players_of(scoring: Scoring, index: int, view: View) -> ResultPlayers:
    evaluation = scoring.evaluation
    players = evaluation.views.players(evaluation.samples, index, index + 1, view)
    layout = players.layout
    names = scoring.player_names
    if names is None and evaluation.samples.columns is not None:
        row = evaluation.samples.inputs[0][index : index + 1]
        names = column_names(evaluation.samples.columns, row, layout.indices[0], layout.n_players)
    return ResultPlayers.of_inputs(layout, torch.float64, names, Question(absent=absent_in_words(players.baselines)))


def players_of_all(scoring: Scoring) -> ResultPlayers:
    """The players of the first view by the names that all samples share."""
    samples, view = scoring.evaluation.samples, scoring.views[0]
    if not samples.inputs[0].numel():  # only labels are known, and players by number
        return ResultPlayers.numbered(n_players(scoring.values(scoring.names[0], view)))
    layout = scoring.evaluation.views.players(samples, 0, min(len(scoring), 2), view).layout
    names = scoring.player_names
    if names is None and samples.columns is not None:
        names = column_names(samples.columns, samples.inputs[0][:2], layout.indices[0], layout.n_players)
    return ResultPlayers.of_inputs(layout, torch.float64, names)


def absent_of_sample(scoring: Scoring, index: int, view: View) -> str:
    """What players of a sample are replaced by; empty where inputs are not known."""
    known = bool(scoring.evaluation.samples.inputs[0].numel())
    return _players_of(scoring, index, view).question.absent if known else ""


def lost_of_sample(scoring: Scoring, name: str, index: int, view: View) -> tuple[Tensor, tuple[int, ...]]:
    """What v of one sample loses without each player, and the ids of these."""
    lost = lost_by_each(scoring.values(name, view)[index : index + 1])[0]
    if not scoring.evaluation.samples.inputs[0].numel():  # only labels are known, and players by number
        return lost, tuple(range(len(lost)))
    return lost, _players_of(scoring, index, view).feature_ids


def names_of_players(scoring: Scoring, index: int, view: View) -> dict[int, str]:
    """What each player of a sample is called, by its id."""
    if not scoring.evaluation.samples.inputs[0].numel():
        return {}
    players = _players_of(scoring, index, view)
    return dict(zip(players.feature_ids, players.names or map(str, players.feature_ids), strict=True))


def player_map(scoring: Scoring, index: int, view: View, shape: tuple[int, ...]) -> npt.NDArray[np.int64] | None:
    """Id of the player of every pixel, ``(H, W)``; None where the channels of a pixel are of several."""
    players = _players_of(scoring, index, view)
    layout = players.layout
    if layout is None or not _one_player_a_pixel(layout, shape):
        return None
    ids = np.array([*players.feature_ids, -1])  # the last stands for what is no player
    found: npt.NDArray[np.int64] = ids[layout.indices[0][0].expand(layout.shapes[0])[0].cpu().numpy()]
    return found


def picture(samples: Samples, index: int) -> npt.NDArray[Any] | None:
    """The input of one sample as ``(H, W)`` or ``(H, W, 3)`` in [0, 1]; None if it is no image.

    Values outside [0, 1], of normalised inputs, are brought there by the sample's own range.
    """
    x = samples.inputs[0]
    if len(samples.inputs) != 1 or x.ndim != 4 or x.shape[1] not in (1, 3):
        return None
    image = x[index].detach().cpu().double().permute(1, 2, 0).numpy()
    if not x.dtype.is_floating_point:
        image = image / 255 if image.max() > 1 else image
    low, high = float(np.nanmin(image)), float(np.nanmax(image))
    if low < 0 or high > 1:
        image = (image - low) / max(high - low, 1e-12)
    result: npt.NDArray[Any] = image[..., 0] if image.shape[2] == 1 else image
    return result


def draw_input(axis: Axes, image: npt.NDArray[Any], title: str) -> None:
    """Draw the input as a picture, without attributions."""
    axis.imshow(image, cmap="gray" if image.ndim == 2 else None)
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()


def draw_attributions(fig: Figure, axis: Axes, maps: Tensor, image: npt.NDArray[Any], title: str) -> None:
    """Attributions ``(C, H, W)`` over the picture, by Captum's own figure."""
    from captum.attr import visualization

    heat = maps.detach().cpu().double().permute(1, 2, 0).numpy()
    original = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    largest = float(np.abs(heat).max())
    if largest < _NO_ATTRIBUTION:  # which Captum's figure cannot scale
        axis.imshow(original)
    else:
        visualization.visualize_image_attr(
            heat / largest, original, "blended_heat_map", "all", plt_fig_axis=(fig, axis), use_pyplot=False
        )
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()


def shapley_map(model: LogicalModel) -> Tensor:
    """Shapley values of a prediction scattered over its only input."""
    maps = model.attributions()
    return maps[0] if isinstance(maps, tuple) else maps


def draw_patterns(fig: Figure, axes: npt.NDArray[Any], model: LogicalModel, image: npt.NDArray[Any] | None) -> None:
    """The strongest patterns of one prediction: one an axis on the picture, or as bars on the first axis."""
    if image is not None and _fits(model, image):
        model.plot_image(image, k=len(axes), plt_fig_axis=(fig, axes))
        for axis in axes:
            axis.title.set_fontsize(8)
        return
    for axis in axes[1:]:
        axis.set_axis_off()
    patterns = model._findings(max(len(axes) * 2, _BARS))[::-1]
    names = [f"{p.kind.upper()} " * (p.order > 1) + _short(p.names or p.players) for p in patterns]
    colours = [POSITIVE if p.value > 0 else NEGATIVE for p in patterns]
    axes[0].barh(range(len(patterns)), [p.value for p in patterns], color=colours)
    axes[0].set_yticks(range(len(patterns)), names, fontsize=7)
    axes[0].axvline(0, color="gray", linewidth=0.8)
    axes[0].set_title(f"patterns, R² {float(model.r2):.2f}", fontsize=8)


def draw_shapley(axis: Axes, model: LogicalModel, title: str) -> None:
    """Attributions of the players as bars."""
    _bars(axis, model.shapley_values().numpy(), model.player_names or list(map(str, model.feature_ids)), title)


def draw_lost(
    fig: Figure,
    axes: npt.NDArray[Any],
    scoring: Scoring,
    name: str,
    index: int,
    image: npt.NDArray[Any] | None,
    title: str,
) -> None:
    """The input and what v loses without each player: a map over a picture, else bars."""
    view = scoring.views[0]
    lost, ids = lost_of_sample(scoring, name, index, view)
    caption = "v lost without each"
    if image is None:
        axes[0].text(0, 0.5, title, fontsize=8, va="center")
        axes[0].set_axis_off()
        names = names_of_players(scoring, index, view)
        _bars(axes[1], lost.numpy(), [names.get(i, str(i)) for i in ids], caption)
        return
    draw_input(axes[0], image, title)
    maps = _players_of(scoring, index, view).scatter(lost)
    draw_attributions(fig, axes[1], maps[0] if isinstance(maps, tuple) else maps, image, caption)


def _bars(axis: Axes, attributions: npt.NDArray[Any], names: Sequence[str], title: str) -> None:
    axis.barh(range(len(attributions)), attributions, color=[POSITIVE if a > 0 else NEGATIVE for a in attributions])
    axis.set_yticks(range(len(attributions)), list(names), fontsize=7)
    axis.invert_yaxis()
    axis.axvline(0, color="gray", linewidth=0.8)
    axis.set_title(title, fontsize=8)


def _fits(model: LogicalModel, image: npt.NDArray[Any]) -> bool:
    """Whether all channels of a pixel are of one player."""
    layout = model.players.layout
    return layout is not None and _one_player_a_pixel(layout, image.shape[:2])


def _one_player_a_pixel(layout: PlayerLayout, shape: tuple[int, ...]) -> bool:
    if len(layout.shapes) != 1:
        return False
    channels = layout.indices[0][0].expand(layout.shapes[0])
    return bool((channels == channels[:1]).all()) and tuple(channels.shape[1:]) == tuple(shape)


def _short(players: tuple[Any, ...]) -> str:
    text = ", ".join(map(str, players))
    return f"{{{text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}}}"
