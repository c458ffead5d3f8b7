"""Figures of explanations, in the manner of ``captum.attr.visualization``: ``(fig, axis)``, with or without a display.

Every figure takes a :class:`~captum_andor.LogicalModel` or an :class:`~captum_andor.AndOrExplanation`;
``result.plot(kind, …)`` reaches them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from captum_andor.visualization.attributions import plot_attributions
from captum_andor.visualization.canvas import NEGATIVE, POSITIVE, SERIES as SERIES, text_colour as text_colour
from captum_andor.visualization.charts import plot_bars, plot_beeswarm, plot_heatmap, plot_orders, plot_waterfall
from captum_andor.visualization.drawing import (
    Canvas as Canvas,
    figure as figure,
    new_figure as new_figure,
    panels as panels,
    shown as shown,
)
from captum_andor.visualization.estimates import plot_deletion_curve, plot_shapley_values
from captum_andor.visualization.graph import plot_graph
from captum_andor.visualization.images import plot_image_interactions, plot_image_overview
from captum_andor.visualization.matching import plot_matching
from captum_andor.visualization.sources import Html as Html, sources_html
from captum_andor.visualization.tokens import plot_tokens, result_html, tokens_html

__all__ = [
    "KINDS",
    "NEGATIVE",
    "POSITIVE",
    "plot_attributions",
    "plot_bars",
    "plot_beeswarm",
    "plot_deletion_curve",
    "plot_graph",
    "plot_heatmap",
    "plot_image_interactions",
    "plot_image_overview",
    "plot_matching",
    "plot_orders",
    "plot_shapley_values",
    "plot_tokens",
    "plot_waterfall",
    "result_html",
    "sources_html",
    "tokens_html",
]

KINDS: dict[str, Callable[..., Any]] = {
    "attributions": plot_attributions,
    "bars": plot_bars,
    "beeswarm": plot_beeswarm,
    "graph": plot_graph,
    "heatmap": plot_heatmap,
    "image": plot_image_interactions,
    "matching": plot_matching,
    "overview": plot_image_overview,
    "orders": plot_orders,
    "tokens": plot_tokens,
    "waterfall": plot_waterfall,
}
