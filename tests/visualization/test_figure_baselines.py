"""Every kind of figure beside a picture of it that somebody has looked at.

``python tests/visualization/test_figure_baselines.py`` draws the pictures anew; look at them before you commit. They are
compared where Matplotlib is the version that drew them: fonts and ticks differ between versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.testing.compare import compare_images

from captum_andor import AndOrInteractions
from captum_andor.games.masks import image_grid
from captum_andor.visualization import KINDS

BASELINES = Path(__file__).parent / "baselines"
VERSION = BASELINES / "matplotlib.txt"
TOLERANCE = 4.0  # root mean square of grey levels: anti-aliasing
WORDS = ["the", "film", "is", "not", "bad", "at", "all", "lovely"]


def drawn(kind: str, path: Path) -> None:
    """Draw a kind for a game of eight players, or for three of them."""
    x = torch.ones(3, 1, 8, 8)
    x[1], x[2] = 0.6, 0.3
    corners = (0, 0), (0, 3), (0, 6), (4, 0), (4, 3), (4, 6), (7, 0), (7, 6)

    def model(x: torch.Tensor) -> torch.Tensor:
        a, b, c, d, e, f, g, h = (x[:, 0, i, j] for i, j in corners)
        return 3 * a * b - 2 * torch.maximum(c, d) + 1.5 * e * f * g - a + 0.4 * h - 1

    mask = image_grid(8, 8, 3, 3)
    mask = torch.where(mask == 8, 7, mask)
    result = AndOrInteractions(model).logical_model(x, feature_mask=mask, player_names=WORDS, max_patterns=6)
    arguments: list[Any] = [np.linspace(0.2, 0.9, 64).reshape(8, 8)] if kind in ("image", "overview") else []
    of = result if kind in ("beeswarm", "heatmap", "attributions", "orders") else result[0]
    fig, _ = of.plot(kind, *arguments, use_pyplot=False)
    fig.savefig(path, dpi=50)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_figure_is_as_it_was_looked_at(kind: str, tmp_path: Path) -> None:
    if VERSION.read_text(encoding="utf-8").strip() != matplotlib.__version__:
        pytest.skip(f"baselines are of Matplotlib {VERSION.read_text().strip()}; this is {matplotlib.__version__}")
    drawn(kind, tmp_path / f"{kind}.png")
    difference = compare_images(str(BASELINES / f"{kind}.png"), str(tmp_path / f"{kind}.png"), TOLERANCE)
    assert difference is None, difference


if __name__ == "__main__":
    BASELINES.mkdir(exist_ok=True)
    for each in sorted(KINDS):
        drawn(each, BASELINES / f"{each}.png")
    VERSION.write_text(f"{matplotlib.__version__}\n", encoding="utf-8")
