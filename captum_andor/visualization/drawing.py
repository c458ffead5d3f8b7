"""Figures in Captum's manner: ``(fig, axis)``, on a given axis or a new figure, with or without a display."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OPTIONS = {
    "plt_fig_axis": "plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)",
    "fig_size": "fig_size (tuple, optional): Size of a new figure in inches. Default: None (by what is drawn)",
    "title": "title (str, optional): Title. Default: None (what is drawn, where that is known)",
    "use_pyplot": "use_pyplot (bool, optional): Make and show a new figure with pyplot; False works without a\n"
    "        display. Default: True",
}


@dataclass
class Canvas:
    """What a figure is drawn on.

    Attributes:
        plt_fig_axis: Figure and axis that were given.
        fig_size: Size that was given for a new figure.
        title: Title that was given, or that the drawing function sets.
        use_pyplot: Whether pyplot makes and shows a new figure.
    """

    plt_fig_axis: tuple[Figure, Any] | None = None
    fig_size: tuple[float, float] | None = None
    title: str | None = None
    use_pyplot: bool = False
    drawn: tuple[Figure, Any] = field(init=False)
    titled: bool = field(default=False, init=False)  # by the drawing function itself

    def axis(self, size: tuple[float, float]) -> Axes:
        """The axis to draw on: the given one, or one of a new figure of this size."""
        if self.plt_fig_axis is not None:
            self.drawn = self.plt_fig_axis
        else:
            fig = self.figure(size, "constrained")
            self.drawn = fig, fig.add_subplot()
        found: Axes = self.drawn[1]
        return found

    def figure(self, size: tuple[float, float], layout: Literal["constrained"] | None = None) -> Figure:
        """A new figure, of this size unless another one was asked for."""
        return new_figure(self.fig_size or size, self.use_pyplot, layout)

    def finish(self, axes: Any) -> tuple[Figure, Any]:
        """Set the title and show a new figure; in axes that were given, names are drawn as they are, too."""
        if axes is not None:
            self.drawn = axes
        every = list(np.atleast_1d(np.asarray(self.drawn[1], dtype=object)).ravel())
        if self.title is not None and not self.titled:
            if len(every) == 1:
                every[0].set_title(self.title, fontsize=10, wrap=True)
            else:
                self.drawn[0].suptitle(self.title)
        if self.plt_fig_axis is not None:
            from captum_andor.visualization.plain_text_figure import without_formulas

            for axis in every:
                without_formulas(axis)
        else:
            shown(self.use_pyplot)
        return self.drawn


def figure(draw: Callable[..., Any]) -> Callable[..., tuple[Figure, Any]]:
    """Make a figure of a function that draws on a :class:`Canvas`, its parameter ``canvas``.

    The figure takes ``plt_fig_axis``, ``fig_size``, ``title`` and ``use_pyplot`` behind the function's own arguments,
    and returns figure and axis. A function that draws on several axes returns ``(fig, axes)`` itself.
    """
    return _decorated(draw, tuple(_OPTIONS))


def panels(draw: Callable[..., Any]) -> Callable[..., tuple[Figure, Any]]:
    """As :func:`figure`, of several axes that cannot be given, without ``plt_fig_axis``."""
    return _decorated(draw, tuple(_OPTIONS)[1:])


def _decorated(draw: Callable[..., Any], options: tuple[str, ...]) -> Callable[..., tuple[Figure, Any]]:
    own = [p for p in inspect.signature(draw).parameters.values() if p.name != "canvas"]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    further = [inspect.Parameter(name, kind, default=name == "use_pyplot" or None) for name in options]
    signature = inspect.Signature([*own, *further])

    @functools.wraps(draw)
    def plot(*arguments: Any, **given: Any) -> tuple[Figure, Any]:
        try:
            bound = signature.bind(*arguments, **given)
        except TypeError as error:
            raise TypeError(f"{draw.__name__}(): {error}.") from None
        bound.apply_defaults()
        canvas = Canvas(**{name: bound.arguments.pop(name) for name in options})
        return canvas.finish(draw(**bound.arguments, canvas=canvas))

    plot.__signature__ = signature  # type: ignore[attr-defined]
    head, returns, rest = inspect.cleandoc(draw.__doc__ or "").partition("\n\nReturns:")
    heading = "" if "\nArgs:\n" in head else "\n\nArgs:"
    plot.__doc__ = head + heading + "".join(f"\n    {_OPTIONS[name]}" for name in options) + returns + rest
    return plot


def new_figure(fig_size: tuple[float, float], use_pyplot: bool, layout: Literal["constrained"] | None = None) -> Figure:
    """An empty figure, of pyplot or, which works without a display, of its own; its texts hold no formulas."""
    from captum_andor.visualization.plain_text_figure import PlainTextFigure

    if use_pyplot:
        from matplotlib import pyplot

        fig: Figure = pyplot.figure(figsize=fig_size, layout=layout, FigureClass=PlainTextFigure)
        return fig
    return PlainTextFigure(figsize=fig_size, layout=layout)


def shown(use_pyplot: bool) -> None:
    """Show the new figure, where pyplot made it."""
    if use_pyplot:
        from matplotlib import pyplot

        pyplot.show()
