"""A figure that draws names as they are: a ``$`` in the name of a player or a model starts no formula.

In a module of its own, as matplotlib is imported with the first figure only.
"""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.text import Text


def without_formulas(artist: Artist) -> None:
    """Read no formulas in the texts of an artist and its parts."""
    for text in artist.findobj(Text):
        text.set_parse_math(False)


class PlainTextFigure(Figure):
    """A figure without formulas."""

    def draw(self, renderer: Any) -> None:
        """As any figure; texts that axes made by themselves are there by now."""
        without_formulas(self)
        super().draw(renderer)

    def get_tightbbox(self, *arguments: Any, **options: Any) -> Any:
        """As any figure."""
        without_formulas(self)
        return super().get_tightbbox(*arguments, **options)
