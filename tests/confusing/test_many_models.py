"""Overlaps of many models at once are those of two at a time, and computed once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.statistics import (
    auc,
    auc_of_ranks,
    ranks,
    residual,
    residuals,
    spearman_interval,
    spearman_intervals,
)

X = torch.rand(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


def report(names, **options):
    analyzer = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"), baselines=[0, 0.5], **options)
    for name in names:
        torch.manual_seed(ord(name))
        analyzer.add_model(name, nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
    return analyzer.evaluate((X, Y))


@pytest.mark.parametrize("score", ["net_order", "flip_rate"])
@pytest.mark.parametrize("options", [{}, {"threshold": 0.3}, {"fraction": 0.3, "controls": (np.arange(60.0), "loss")}])
def test_pairs_are_as_they_are_alone(score, options) -> None:
    together = report("abcd").overlap(score=score, **options)
    for row, pair in enumerate(("ab", "ac", "ad", "bc", "bd", "cd")):
        alone = report(pair).overlap(score=score, **options)
        pd.testing.assert_frame_equal(together.iloc[[row]].reset_index(drop=True), alone, rtol=1e-9, atol=1e-9)


def test_all_pairs_are_resampled_as_each_is() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=80), rng.normal(size=80), np.repeat([0.0, 1.0], [76, 4]), np.full(80, 2.0)]
    columns.append(columns[0] + rng.normal(size=80))
    low, high = spearman_intervals(np.stack([ranks(c) for c in columns]), 300, 5)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            np.testing.assert_allclose((low[i, j], high[i, j]), spearman_interval(a, b, 300, 5), atol=1e-9)


def test_residuals_together_and_alone() -> None:
    rng = np.random.default_rng(0)
    given = [rng.normal(size=50), rng.normal(size=50)]
    columns = np.stack([rng.normal(size=50), 2 * given[0] - given[1] + 3, np.ones(50)])
    found = residuals(columns, given)
    np.testing.assert_allclose(found, np.stack([residual(c, given) for c in columns]), atol=1e-12)
    assert not found[1:].any()
    design = np.stack([np.ones(50), *given], axis=1)
    fitted = design @ np.linalg.lstsq(design, columns[0], rcond=None)[0]
    np.testing.assert_allclose(found[0], columns[0] - fitted, atol=1e-12)
    scores, inside = rng.normal(size=50).round(), rng.random(50) < 0.3
    assert auc_of_ranks(ranks(scores), inside) == auc(scores, inside)


def test_a_table_is_computed_once_and_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = report("abc")
    first = made.overlap()
    monkeypatch.setattr("captum_andor.confusing.scores.overlap.ModelPair", None)
    first["iou"] = -1.0
    assert (made.overlap()["iou"] >= 0).all()
    with pytest.raises(TypeError):
        made.overlap(n_resamples=10)


def test_a_report_of_other_scores_shares_values_and_splits() -> None:
    made = report("ab")
    view = made.scoring.views[0]
    values, split = made.scoring.values("a", view), made.scoring.split("a", view)
    other = made.rescore(primary="flip_rate")
    assert other.scoring.values("a", view) is values
    full = made.rescore(scores=["offset"], primary="offset", high_order=3)
    again = full.rescore(high_order=2)
    assert again.scoring.split("a", view) is full.scoring.split("a", view)
    assert torch.equal(full.scoring.split("a", view).and_values, split.and_values)
    assert made.rescore(labels="predicted").scoring.values("a", view) is not values
