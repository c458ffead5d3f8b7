"""Names with characters that matplotlib reads as formulas, and files whose numbers contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torch import nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer, GameEstimate
from captum_andor._utils.storage import read_arrays, write_arrays

NAMES = ["price_$", r"$\frac{", "cost $5", "$x_1$"]


@pytest.mark.parametrize("own_axis", [False, True])
def test_names_with_dollars_are_drawn_as_they_are(own_axis: bool) -> None:
    """They were read as formulas, and what is none raised an error."""
    method = AndOrInteractions(lambda x: x.prod(1) + 2 * x[:, 1] - x[:, 2])
    results = [
        method.logical_model(torch.ones(1, 4), player_names=NAMES)[0],
        method.interactions(torch.ones(1, 4), player_names=NAMES)[0],
        method.estimate(torch.ones(1, 4), budget=14, player_names=NAMES)[0],
    ]
    for result in results:
        kinds = ["bars", "waterfall", "graph"] if not isinstance(result, GameEstimate) else [None]
        for kind in kinds:
            given: dict[str, Any] = {"use_pyplot": False}
            if own_axis:
                fig, axis = plt.subplots(layout="constrained")
                given = {"plt_fig_axis": (fig, axis)}
            drawn, _ = result.plot(**given) if kind is None else result.plot(kind, **given)
            drawn.canvas.draw()
            texts = [text.get_text() for text in drawn.findobj(Text)]
            assert any("$" in text for text in texts), kind
            plt.close("all")


def test_models_with_dollars_in_their_names_have_pages(tmp_path: Path) -> None:
    made = ConfusingSampleAnalyzer(scores=("net_order",))
    for name in ("$a", r"$\frac{$"):
        made.add_model(name, nn.Linear(4, 2).eval())
    report = made.evaluate((torch.rand(20, 4), torch.arange(20) % 2))
    report.plot_overlap(use_pyplot=False)[0].canvas.draw()
    report.to_html(tmp_path / "page.html")
    assert "$a" in (tmp_path / "page.html").read_text()


def damaged(path: Path, kind: str, **changes: Any) -> None:
    header, arrays = read_arrays(path, kind, "")
    for name, change in changes.items():
        arrays[name] = change(np.array(arrays[name]))
    write_arrays(path, kind, {k: v for k, v in header.items() if k not in ("format", "version")}, arrays)
