"""Figures in a dark style of Matplotlib: texts and marks stand out from what is behind them."""

from __future__ import annotations

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text

from captum_andor import LogicalModel
from captum_andor.visualization import KINDS

ON_PICTURES = ("image", "overview", "heatmap", "attributions", "waterfall")  # texts there lie on a colour of their own


def luminance(colour) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b) -> float:
    """Contrast as WCAG 2 defines it."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(ON_PICTURES)))
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_and_lines_are_seen_in_light_and_dark_styles(kind, style) -> None:
    v = torch.tensor([0, 1, 0, 3, -1, 0, 2, 2], dtype=torch.float64)
    result = LogicalModel.from_values(torch.stack([v, v.flip(0)]))
    of = result if kind in ("beeswarm", "orders") else result[0]
    with plt.style.context(style):
        fig, _ = of.plot(kind, use_pyplot=False)
        behind = fig.get_facecolor()
        for text in fig.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().strip()):
            patch = text.get_bbox_patch()
            assert contrast(text.get_color(), behind if patch is None else patch.get_facecolor()) > 4.5, text
        for line in fig.findobj(Line2D):
            if line.get_linestyle() != "None" or line.get_marker() not in ("None", None, ""):
                assert contrast(line.get_color(), behind) > 2, line
