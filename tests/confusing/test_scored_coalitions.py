"""Scores of v read N, ∅, and one and two players gone: from these masks alone they are what they are from all."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.confusing.score_formulas import n_active, scored_coalitions, value_scores
from captum_andor.study import FactorialStudy


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 9])
def test_scores_are_equal_from_the_masks_that_they_read(n) -> None:
    values = torch.randn(20, 1 << n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    codes = scored_coalitions(n)
    assert len(codes) == min(1 << n, 2 + n + n * (n - 1) // 2) and codes[0] == 0 and codes[-1] == (1 << n) - 1
    all_scores, few = value_scores(values, 1.3), value_scores(values[:, codes], 1.3)
    for name, scores in all_scores.items():
        torch.testing.assert_close(few[name], scores, equal_nan=True)


def test_active_players_on_these_masks() -> None:
    z = (torch.arange(64)[:, None] >> torch.arange(6) & 1).double()
    v = (z[:, 0] + 2 * z[:, 1] * z[:, 2])[None]
    codes = scored_coalitions(6)
    assert n_active(v).tolist() == n_active(v[:, codes]).tolist() == [3]


def test_other_numbers_of_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="neither all nor those"):
        value_scores(torch.zeros(2, 13, dtype=torch.float64), 1.0)


def test_a_study_of_scores_of_v_evaluates_no_other_masks(tmp_path) -> None:
    inputs = torch.rand(30, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 2
    rows = []

    class Counted(nn.Sequential):
        def forward(self, x):
            rows.append(len(x))
            return super().forward(x)

    def make_model(seed):
        return Counted(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))

    def run(folder, scores):
        rows.clear()
        study = FactorialStudy(
            make_model, lambda m, s, f: m, ["2"], folder, levels=4, grids=["initialisation"], perturbations=()
        )
        return study.run((inputs, labels), ConfusingSampleAnalyzer(scores=scores)), sum(rows)

    few, few_rows = run(tmp_path / "few", ("net_order", "flip_rate"))
    everything, all_rows = run(tmp_path / "all", ("net_order", "flip_rate", "offset"))
    for name in ("score/net_order", "score/flip_rate", "column/margin"):
        torch.testing.assert_close(torch.from_numpy(few.arrays[name]), torch.from_numpy(everything.arrays[name]))
    assert few_rows < 0.55 * all_rows  # 23 of 64 masks, and what is asked again
    assert few.arrays["values"].shape[-1] == 23
