"""Figures of explanations, in the manner of ``captum.attr.visualization``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from captum_andor.patterns import Interaction
    from captum_andor.results import Result

__all__ = ["NEGATIVE", "POSITIVE", "new_figure", "plot_image_interactions", "shown"]

# Captum's green and red, in the shades of Okabe and Ito that colour-blind readers tell apart.
POSITIVE, NEGATIVE = "#009E73", "#D55E00"
_LINE_STYLES = {"and": "solid", "or": (0, (2, 1.2))}


def plot_image_interactions(
    explanation: Result,
    image: npt.ArrayLike,
    k: int = 4,
    input_index: int = 0,
    plt_fig_axis: tuple[Figure, Any] | None = None,
    fig_size: tuple[float, float] | None = None,
    title: str | None = None,
    use_pyplot: bool = True,
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Draw the k strongest patterns of one prediction, a panel each, as outlined player groups on the image.

    Green patterns raise the score, red ones lower it; AND patterns have a solid outline, OR patterns a dashed one. Kind
    and signed strength stand above each panel.

    Args:
        explanation (AndOrExplanation or LogicalModel): Of a single output; index a batch first.
        image (numpy.ndarray): The picture, ``(H, W)`` or ``(H, W, C)``, floats in [0, 1] or uint8.
        k (int, optional): Number of patterns, and of panels. Default: 4
        input_index (int, optional): Which input the picture is, for models of several. Default: 0
        plt_fig_axis (tuple, optional): Figure and at least k axes to draw on. Default: None (a new figure)
        fig_size (tuple, optional): Size of a new figure in inches. Default: None (1.8 x 2.1 a panel)
        title (str, optional): Title of the figure. Default: None
        use_pyplot (bool, optional): Make and show a new figure with pyplot; False works without a display.
            Default: True

    Returns:
        - **fig, axes** (*tuple*): The figure and an array of its axes; panels without a pattern are blank.

    Raises:
        ValueError: If the explanation holds several outputs or no inputs, k < 1, there are fewer axes than k, or the
            picture does not fit the feature mask.

    Source: ours.
    """
    if int(np.prod(explanation.shape)) != 1:
        raise ValueError(f"explanation must be of one output; it has {explanation.shape}. Index it first, e.g. ex[0].")
    players = _player_map(explanation, input_index)
    picture = np.asarray(image)
    if picture.ndim not in (2, 3) or picture.shape[:2] != players.shape:
        raise ValueError(
            f"image must have shape (H, W) or (H, W, C) with H, W = {players.shape}; got {picture.shape}. "
            "Move channels last, e.g. tensor.permute(1, 2, 0)."
        )
    patterns = explanation.top(k)
    fig, axes = _panels(plt_fig_axis, k, fig_size or (1.8 * k, 2.1), use_pyplot)
    for axis in axes:
        axis.set_axis_off()
    for axis, pattern in zip(axes, patterns, strict=False):
        _draw_pattern(axis, picture, np.isin(players, pattern.players), pattern)
    if title is not None:
        fig.suptitle(title)
    shown(plt_fig_axis is None, use_pyplot)
    return fig, axes


def new_figure(fig_size: tuple[float, float], use_pyplot: bool, layout: Literal["constrained"] | None = None) -> Figure:
    """An empty figure, of pyplot or, which works without a display, of its own."""
    if use_pyplot:
        from matplotlib import pyplot

        fig: Figure = pyplot.figure(figsize=fig_size, layout=layout)
        return fig
    from matplotlib.figure import Figure as Bare

    return Bare(figsize=fig_size, layout=layout)


def shown(is_new: bool, use_pyplot: bool) -> None:
    """Show a new figure, where pyplot made it."""
    if is_new and use_pyplot:
        from matplotlib import pyplot

        pyplot.show()


def _player_map(explanation: Result, input_index: int) -> npt.NDArray[np.int64]:
    """Feature id of every pixel, shape (H, W)."""
    layout = explanation.layout
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
    return np.take(feature_ids, channels[0].numpy())


def _panels(
    plt_fig_axis: tuple[Figure, Any] | None, k: int, fig_size: tuple[float, float], use_pyplot: bool
) -> tuple[Figure, npt.NDArray[np.object_]]:
    if plt_fig_axis is not None:
        axes = np.atleast_1d(np.asarray(plt_fig_axis[1], dtype=object)).ravel()
        if len(axes) < k:
            raise ValueError(f"plt_fig_axis must hold at least k={k} axes; got {len(axes)}.")
        return plt_fig_axis[0], axes
    fig = new_figure(fig_size, use_pyplot)
    return fig, fig.subplots(1, k, squeeze=False)[0]


def _draw_pattern(axis: Axes, picture: npt.NDArray[Any], members: npt.NDArray[np.bool_], pattern: Interaction) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    colour = POSITIVE if pattern.value > 0 else NEGATIVE
    axis.imshow(picture, cmap="gray" if picture.ndim == 2 or picture.shape[2] == 1 else None)
    axis.imshow(np.where(members[..., None], to_rgba(colour, 0.35), (0.5, 0.5, 0.5, 0.55)))
    lines = LineCollection(_outline(members), colors=colour, linewidths=2.2, linestyles=[_LINE_STYLES[pattern.kind]])
    lines.set_capstyle("butt")
    axis.add_collection(lines)
    axis.set_title(f"{pattern.kind.upper()} {pattern.value:+.2f}", fontsize=9)


def _outline(members: npt.NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Pixel edges between members and the rest, as line segments in image coordinates."""
    padded = np.pad(members, 1)
    below = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    beside = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    across = [[(c - 0.5, r - 0.5), (c + 0.5, r - 0.5)] for r, c in below]
    down = [[(c - 0.5, r - 0.5), (c - 0.5, r + 0.5)] for r, c in beside]
    return _joined(across, axis=0) + _joined(down, axis=1)


def _joined(edges: list[list[tuple[float, float]]], axis: int) -> list[list[tuple[float, float]]]:
    """Join edges that continue each other, so that dashes run on."""
    joined: list[list[tuple[float, float]]] = []
    for edge in sorted(edges, key=lambda e: (e[0][1 - axis], e[0][axis])):
        if joined and joined[-1][1] == edge[0]:
            joined[-1][1] = edge[1]
        else:
            joined.append(edge)
    return joined
