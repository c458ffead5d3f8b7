"""Patterns drawn on the image, one panel for each or all in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from captum_andor._utils.checks import constrained
from captum_andor.visualization.canvas import LINE_STYLES, SERIES, check_single, colour_of, kind_of, label_of, title_of
from captum_andor.visualization.drawing import Canvas, figure, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from captum_andor.results import Interaction, Result

_OVERVIEW = (5.4, 3.4)  # inches
_PANEL, _TITLE = 2.3, 4.6  # inches: of a panel; of the narrowest figure that has room for a title
_COLUMNS = 3  # panels beside each other, 240 pixels each on a page of 720
_BESIDE = 26  # characters of a legend that leaves the picture room beside it
_NUMBERED = 40  # players whose numbers fit on a picture
# Mean and standard deviation by channel with which photos are normalised: a half, which leaves −1 to 1; ImageNet's.
_NORMALISED = (((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
_ROUNDING = 0.02  # of values in [0, 1], from resizing
_LONGEST_NAME = 10  # characters
_COMPACT = 0.9  # share of the box around a player that it fills: a rectangle, numbered in its middle


@figure
@constrained()
def plot_image_interactions(
    canvas: Canvas, explanation: Result, image: npt.ArrayLike | Tensor, k: int = 4, input_index: int = 0
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Draw the k strongest patterns of one prediction, a panel each, as outlined player groups on the image.

    Green patterns raise the score, orange ones lower it; AND patterns have a solid outline, OR patterns a dashed one.
    Kind and signed strength stand above each panel.

    Args:
        explanation (AndOrExplanation or LogicalModel): Of a single output; index a batch first.
        image (numpy.ndarray or Tensor): The picture, ``(H, W)``, ``(H, W, C)``, or as models take it, ``(C, H, W)`` or
            ``(1, C, H, W)``; uint8, floats in [0, 1], or normalised: those of ImageNet's or of half's mean and standard
            deviation are drawn as they were before, others stretched from their least to their largest value.
        k (int, optional): Number of patterns, and of panels. Default: 4
        input_index (int, optional): Which input the picture is, for models of several. Default: 0

    Returns:
        - **fig, axes** (*tuple*): The figure and an array of its axes; panels without a pattern are blank.

    Raises:
        ValueError: If the explanation holds several outputs or no inputs, k < 1, there are fewer axes than k, or the
            picture does not fit the feature mask.
    """
    picture, players = _checked(explanation, image, input_index)
    patterns = explanation._findings(k)
    fig, axes = _panels(canvas, k)
    for axis in axes:
        axis.set_axis_off()
    for axis, pattern in zip(axes, patterns, strict=False):
        _draw_pattern(axis, picture, np.isin(players, pattern.players), pattern)
    heading = title_of(explanation, canvas.title, len(patterns)) if canvas.plt_fig_axis is None else canvas.title
    if heading is not None:
        fig.suptitle(heading, fontsize=None if canvas.title else 9)
    canvas.titled = True
    return fig, axes


@figure
@constrained()
def plot_image_overview(
    canvas: Canvas, explanation: Result, image: npt.ArrayLike | Tensor, k: int = 5, input_index: int = 0
) -> tuple[Figure, Axes]:
    """Draw the k strongest patterns of one prediction on one image, an outline of its own colour each, with a legend.

    Args:
        explanation (AndOrExplanation or LogicalModel): Of a single output; index a batch first.
        image (numpy.ndarray or Tensor): As :func:`plot_image_interactions`.
        k (int, optional): Number of patterns, at most seven. Default: 5
        input_index (int, optional): Which input the picture is, for models of several. Default: 0

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis; solid outlines are AND, dashed ones OR; players have their
          names or numbers, and the legend has kind, strength and players. Where patterns share players, so that
          outlines cross, a new figure has a panel for each pattern below.

    Raises:
        ValueError: As :func:`plot_image_interactions`, and if k > 7.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    if k > len(SERIES):
        raise ValueError(f"k must be at most {len(SERIES)}, as many colours can be told apart; got {k}.")
    picture, players = _checked(explanation, image, input_index)
    patterns = explanation._findings(k)
    coincide = len({player for p in patterns for player in p.players}) < sum(p.order for p in patterns)
    labels = [f"{kind_of(pattern)}{pattern.value:+.2f}  {label_of(pattern)}" for pattern in patterns]
    new, beneath = canvas.plt_fig_axis is None, max(map(len, labels), default=0) > _BESIDE
    size = _OVERVIEW[0], _OVERVIEW[1] + 0.2 * len(labels) * beneath
    apart = new and coincide
    if apart:
        fig, axis = _with_panels(picture, players, patterns, canvas, size)
    else:
        axis = canvas.axis(size)
        fig = canvas.drawn[0]
    axis.imshow(picture, cmap="gray" if picture.ndim == 2 or picture.shape[2] == 1 else None, alpha=0.75)
    axis.set_axis_off()
    entries, inner = [], min(players.shape) / 90  # outlines inside each other, so that shared edges show all
    for number, pattern in enumerate(patterns):
        members, colour = np.isin(players, pattern.players), SERIES[number]
        style = LINE_STYLES[pattern.kind]
        lines = [[_towards(p, members, inner * number) for p in edge] for edge in _outline(members)]
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=2.0, linestyles=[style]))
        entries.append(Line2D([], [], color=colour, linewidth=2.0, linestyle=style, label=labels[number]))
    if entries and new and not apart:  # whose layout makes room for it
        place = "outside lower center" if beneath else "outside right center"
        fig.legend(handles=entries, loc=place, frameon=False, fontsize=8)
    elif entries and new and beneath:
        axis.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.5, -0.02), frameon=False, fontsize=8)
    elif entries:
        axis.legend(handles=entries, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8)
    if len(explanation.feature_ids) <= _NUMBERED:
        names = dict(zip(explanation.feature_ids, explanation.player_names or explanation.feature_ids, strict=True))
        _name_players(axis, players, {player: str(names[player]) for p in patterns for player in p.players})
    axis.set_title(title_of(explanation, canvas.title, len(patterns)) or "", fontsize=10, wrap=True)
    canvas.titled = True
    return fig, axis


def _with_panels(
    picture: npt.NDArray[Any],
    players: npt.NDArray[np.int64],
    patterns: Sequence[Interaction],
    canvas: Canvas,
    size: tuple[float, float],
) -> tuple[Figure, Axes]:
    """A figure with an axis above and, below, a panel for each pattern: outlines of one place hide each other."""
    width, height = canvas.fig_size or size
    below = min(_PANEL, width / len(patterns)) + 0.2
    fig = new_figure((width, height + below), canvas.use_pyplot, "constrained")
    rows = fig.add_gridspec(2, 1, height_ratios=(height, below))
    row = rows[1].subgridspec(1, len(patterns))
    for column, pattern in enumerate(patterns):
        panel = fig.add_subplot(row[column])
        panel.set_axis_off()
        _draw_pattern(panel, picture, np.isin(players, pattern.players), pattern)
        panel.title.set_fontsize(8)
    return fig, fig.add_subplot(rows[0].subgridspec(1, 1)[0])  # its legend leaves the panels their width


def _name_players(axis: Axes, players: npt.NDArray[np.int64], names: dict[int, str]) -> None:
    """The name or id of each player on the pixel of it that is nearest to its middle."""
    for player, name in names.items():
        rows, columns = np.nonzero(players == player)
        if not len(rows):
            continue
        nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
        box_size = int(rows.max() - rows.min() + 1) * int(columns.max() - columns.min() + 1)
        inside = len(rows) > _COMPACT * box_size
        x, y = (columns.mean(), rows.mean()) if inside else (columns[nearest], rows[nearest])
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        text = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        axis.text(x, y, text, ha="center", va="center", fontsize=7, color="black", bbox=box)


def _towards(point: tuple[float, float], members: npt.NDArray[np.bool_], distance: float) -> tuple[float, float]:
    """A point of an outline moved a little towards the middle of its group."""
    rows, columns = np.nonzero(members)
    x, y = columns.mean() - point[0], rows.mean() - point[1]
    return point[0] + distance * float(np.sign(x)), point[1] + distance * float(np.sign(y))


def _checked(
    explanation: Result, image: npt.ArrayLike | Tensor, input_index: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The picture, and the feature id of each of its pixels."""
    check_single(explanation)
    players = _player_map(explanation, input_index)
    picture = _channels_last(image, players.shape)
    if picture.ndim not in (2, 3) or picture.shape[:2] != players.shape:
        height, width = players.shape
        raise ValueError(
            f"image must be one picture of the size of the input, ({height}, {width}), ({height}, {width}, C) or "
            f"(C, {height}, {width}); got {tuple(picture.shape)}."
        )
    return picture, players


def _channels_last(image: npt.ArrayLike | Tensor, size: tuple[int, ...]) -> npt.NDArray[Any]:
    """The picture, turned where it is as models take it, ``(C, H, W)`` or ``(1, C, H, W)``."""
    picture = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if picture.ndim == 4 and len(picture) == 1:
        picture = picture[0]
    if picture.ndim == 3 and picture.shape[:2] != size and picture.shape[1:] == size:
        picture = np.moveaxis(picture, 0, -1)
    return _shown(picture[..., 0] if picture.ndim == 3 and picture.shape[-1] == 1 else picture)


def _shown(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The picture in [0, 1]: one that was normalised for a model as it was before."""
    if picture.dtype.kind != "f" or not picture.size or not np.isfinite(picture).all():
        return picture
    if picture.ndim != 3 or picture.shape[-1] != len(_NORMALISED[0][0]):
        return picture if picture.ndim == 2 else _stretched(picture)
    if _inside(picture):
        return picture
    for mean, std in _NORMALISED:
        before = picture * np.array(std, dtype=picture.dtype) + np.array(mean, dtype=picture.dtype)
        if _inside(before):
            found: npt.NDArray[Any] = before.clip(0, 1)
            return found
    return _stretched(picture)


def _inside(picture: npt.NDArray[Any]) -> bool:
    return bool(picture.min() >= -_ROUNDING and picture.max() <= 1 + _ROUNDING)


def _stretched(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The picture from its least to its largest value, if it is not in [0, 1]."""
    if _inside(picture):
        return picture
    found: npt.NDArray[Any] = (picture - picture.min()) / max(float(np.ptp(picture)), 1e-12)
    return found


def _player_map(explanation: Result, input_index: int) -> npt.NDArray[np.int64]:
    """Feature id of every pixel, shape (H, W)."""
    layout = explanation.players.layout
    if layout is None:
        raise ValueError("explanation must come from a method of AndOrInteractions; this one has no inputs to draw on.")
    if not 0 <= input_index < len(layout.shapes):
        raise ValueError(f"input_index must lie in 0..{len(layout.shapes) - 1}; got {input_index}.")
    shape = layout.shapes[input_index]
    index = layout.indices[input_index]
    if len(shape) not in (2, 3) or len(index) != 1:
        raise ValueError(f"input {input_index} must be an image (C, H, W) or (H, W); it has shape {shape}.")
    channels = index[0].cpu().expand(shape).reshape(-1, *shape[-2:])
    if bool((channels != channels[0]).any()):
        raise ValueError("feature_mask must be the same in all channels to be drawn on the image.")
    feature_ids: npt.NDArray[np.int64] = np.asarray(explanation.feature_ids, dtype=np.int64)
    return np.take(np.append(feature_ids, -1), channels[0].numpy())  # -1 in both for elements of no player


def _panels(canvas: Canvas, k: int) -> tuple[Figure, npt.NDArray[np.object_]]:
    if canvas.plt_fig_axis is not None:
        axes = np.atleast_1d(np.asarray(canvas.plt_fig_axis[1], dtype=object)).ravel()
        if len(axes) < k:
            raise ValueError(f"plt_fig_axis must hold at least k={k} axes; got {len(axes)}.")
        return canvas.plt_fig_axis[0], axes
    columns = 2 if k in (2, 4) else min(k, _COLUMNS)
    rows = -(-k // columns)
    fig = canvas.figure((max(_PANEL * columns, _TITLE), _PANEL * rows + 0.5), "constrained")
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[k:]:
        axis.remove()
    return fig, axes[:k]


def _draw_pattern(axis: Axes, picture: npt.NDArray[Any], members: npt.NDArray[np.bool_], pattern: Interaction) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    colour = colour_of(pattern.value)
    axis.imshow(picture, cmap="gray" if picture.ndim == 2 or picture.shape[2] == 1 else None)
    axis.imshow(np.where(members[..., None], to_rgba(colour, 0.35), (0.5, 0.5, 0.5, 0.55)))
    lines = LineCollection(_outline(members), colors=colour, linewidths=2.2, linestyles=[LINE_STYLES[pattern.kind]])
    lines.set_capstyle("butt")
    axis.add_collection(lines)
    axis.set_title(f"{kind_of(pattern)}{pattern.value:+.2f}", fontsize=9)


def _outline(members: npt.NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Borders between members and the rest, as closed lines along pixel edges in image coordinates.

    Edges that follow each other are one line, so that dashes run on.
    """
    padded = np.pad(members, 1)
    after: dict[tuple[int, int], list[tuple[int, int]]] = {}  # corners (row, column), members on the right-hand side

    def edges(where: npt.NDArray[np.bool_], start: tuple[int, int], end: tuple[int, int]) -> None:
        for row, column in np.argwhere(where).tolist():
            after.setdefault((row + start[0], column + start[1]), []).append((row + end[0], column + end[1]))

    inside = padded[1:-1, 1:-1]
    edges(inside & ~padded[:-2, 1:-1], (0, 0), (0, 1))
    edges(inside & ~padded[1:-1, 2:], (0, 1), (1, 1))
    edges(inside & ~padded[2:, 1:-1], (1, 1), (1, 0))
    edges(inside & ~padded[1:-1, :-2], (1, 0), (0, 0))
    lines = []
    while after:
        corner = next(iter(after))
        line = [corner]
        while corner in after:
            ends = after[corner]
            following = ends.pop()
            if not ends:
                del after[corner]
            line.append(following)
            corner = following
        lines.append([(column - 0.5, row - 0.5) for row, column in _corners(line)])
    return lines


def _corners(line: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The line without points on straight stretches."""
    kept = line[:1]
    for before, point, behind in zip(line, line[1:], line[2:], strict=False):
        if (point[0] - before[0], point[1] - before[1]) != (behind[0] - point[0], behind[1] - point[1]):
            kept.append(point)
    return [*kept, line[-1]]
