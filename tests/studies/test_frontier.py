"""R² by number of terms, and its figure."""

from __future__ import annotations

import pytest
import torch

from captum_andor import LogicalModel
from captum_andor.studies import frontier, plot_frontier


def test_the_frontier_is_what_models_of_each_size_reach() -> None:
    v = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = frontier(LogicalModel.from_values(v), 8)
    curves = {name: rows.set_index("terms")["r2"] for name, rows in table.groupby("method")}
    for kinds, name in ((("and", "or"), "AND and OR"), ("and", "AND only")):
        for k in (1, 4, 8):
            model = LogicalModel.from_values(v, max_patterns=8, exact_ends=False, kinds=kinds)  # type: ignore[arg-type]
            assert curves[name][k] == pytest.approx(float(model.r2_path[k]), abs=1e-9)
    members = (torch.arange(32)[:, None] >> torch.arange(5) & 1).double()
    pairs = torch.stack([members[:, i] * members[:, j] for i in range(5) for j in range(i)], 1)
    design = torch.cat([torch.ones(32, 1).double(), members, pairs], 1)
    left = v - design @ torch.linalg.lstsq(design, v[:, None]).solution[:, 0]
    assert curves["order 2"].index.tolist() == [15]
    assert curves["order 2"].iloc[0] == pytest.approx(1 - float(left.var() / v.var()))
    assert (curves["L1 split"].diff().dropna() > -1e-12).all() and curves["L1 split"].iloc[-1] <= 1
    with pytest.raises(ValueError, match="needs all 2\\^n = 32 values; this result has 20"):
        rows = torch.cat([torch.zeros(1, 5), torch.ones(1, 5), members[1:19]]).bool()
        frontier(LogicalModel.from_values(rows.double().sum(1), rows, max_patterns=2))


def test_the_figure_has_a_line_for_each_method_and_a_cross_for_each_order() -> None:
    model = LogicalModel.from_values(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
    axis = plot_frontier(model[0], max_patterns=6, title="one game", use_pyplot=False)[1]
    assert axis.get_title() == "one game" and axis.get_xscale() == "log"
    labels = [line.get_label() for line in axis.lines]
    assert labels[:3] == ["AND and OR", "AND only", "L1 split"] and len(labels) == 6
    with pytest.raises(ValueError, match="of one output"):
        plot_frontier(model, use_pyplot=False)
