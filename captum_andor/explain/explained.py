"""Base class of both results with figures and the notebook representation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from captum_andor.results import Result
from captum_andor.visualization import KINDS, plot_image_interactions, result_html


class Explained(Result):
    """A result that draws itself."""

    def plot(self, kind: str = "bars", *arguments: Any, **options: Any) -> Any:
        """Draw a figure of :mod:`captum_andor.visualization`.

        Args:
            kind (str, optional): Of one output: ``"bars"``, ``"waterfall"``, ``"graph"``, ``"matching"``, ``"tokens"``,
                ``"image"`` (a panel a pattern) or ``"overview"`` (all on one) with the picture; of one or many:
                ``"orders"``, ``"beeswarm"``, ``"heatmap"`` (patterns × outputs), ``"attributions"`` (players ×
                outputs). Default: "bars"
            *arguments: Further ones of the figure, e.g. the picture.
            **options: Likewise: k, title, fig_size, plt_fig_axis, use_pyplot, …

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis or axes.

        Raises:
            TypeError: If the figure lacks an argument, or has no such one.
            ValueError: If there is no such kind, and as the figures.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {sorted(KINDS)}; got {kind!r}.")
        figure = KINDS[kind]
        try:
            inspect.signature(figure).bind(self, *arguments, **options)
        except TypeError as error:
            raise TypeError(f'plot("{kind}", …): {error}. It takes {_arguments(figure)}.') from error
        return figure(self, *arguments, **options)

    def _repr_html_(self) -> str:
        return result_html(self)

    def plot_image(self, image: Any, **options: Any) -> Any:
        """Draw the strongest patterns on the image; see :func:`captum_andor.visualization.plot_image_interactions`."""
        return plot_image_interactions(self, image, **options)


def _arguments(figure: Callable[..., Any]) -> str:
    """What a figure takes beside the result: what it needs, then what it may have."""
    parameters = list(inspect.signature(figure).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty]
    optional = [p.name for p in parameters if p.default is not p.empty]
    return f"{', '.join(needed)}{' and, ' if needed else ''}optionally, {', '.join(optional)}"
