"""Scores of v read N, ∅, and one and two players gone: from these masks alone they are what they are from all."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.confusing.scores.score_formulas import n_active, scored_coalitions, value_scores
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialStudy


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


IMAGES = torch.rand(24, 1, 6, 6, generator=torch.Generator().manual_seed(1))
IMAGE_LABELS = torch.arange(24) % 3


def image_report(coalitions="auto", n_models=2, **options):
    """A report of scores of v, and how many rows each of its models was asked for."""
    rows = []

    class Counted(nn.Sequential):
        def forward(self, x):
            rows.append(len(x))
            return super().forward(x)

    settings = {"baselines": [0, 0.5], "scores": ("net_order", "flip_rate", "masked_margin"), **options}
    made = ConfusingSampleAnalyzer(coalitions=coalitions, **settings)
    for seed in range(n_models):
        torch.manual_seed(seed)
        made.add_model(f"seed {seed}", Counted(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
    return made.evaluate((IMAGES, IMAGE_LABELS)), sum(rows) / n_models


def test_scores_decide_what_the_analyzer_evaluates() -> None:
    few, few_rows = image_report()
    full, all_rows = image_report("all")
    assert few_rows < 0.11 * all_rows  # 47 of 512
    own = full.scores.drop(columns="n_active")
    pd.testing.assert_frame_equal(few.scores[own.columns], own, rtol=1e-4, atol=1e-5)
    assert few.overlap()["iou"].tolist() == full.overlap()["iou"].tolist()
    assert few.rank("seed 0")["reasons"].tolist() == full.rank("seed 0")["reasons"].tolist()
    assert few.confusing_sets() == full.confusing_sets()
    assert few.reliability().equals(full.reliability())
    assert list(few.rescore(labels="predicted").scores["net_order"]) == pytest.approx(
        list(full.rescore(labels="predicted").scores["net_order"]), abs=1e-4
    )


def test_similarity_of_values_is_that_over_the_masks_that_were_evaluated() -> None:
    few, full = image_report()[0], image_report("all")[0]
    view = few.scoring.views[0]
    codes = scored_coalitions(9)
    a, b = (full.scoring.values(name, view)[:, codes] for name in ("seed 0", "seed 1"))
    wanted = [np.corrcoef(x, y)[0, 1] for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    found = few.value_similarity()
    means = np.mean([wanted, few_of(few, 1)], axis=0)
    assert found["value_correlation"].to_numpy() == pytest.approx(means, abs=1e-4)
    assert found["value_correlation_ceiling"].notna().all()
    whole = full.similarity()
    pd.testing.assert_frame_equal(full.value_similarity(), whole[found.columns])
    pd.testing.assert_frame_equal(few.similarity(), whole, rtol=1e-3, atol=1e-3)


def few_of(report, view_number):
    view = report.scoring.views[view_number]
    a, b = (report.scoring.values(name, view).numpy() for name in ("seed 0", "seed 1"))
    return [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]


def test_players_of_moved_masks_are_matched_on_these_masks() -> None:
    masks = [
        image_grid(6, 6, 3, 3),
        torch.arange(9).flip(0).reshape(3, 3).repeat_interleave(2, 0).repeat_interleave(2, 1),
    ]
    report, _ = image_report(feature_mask=masks, baselines=None)
    assert report.value_similarity()["value_correlation_ceiling"].to_numpy() == pytest.approx(1.0, abs=1e-4)


def test_patterns_are_evaluated_when_they_are_asked_for(tmp_path) -> None:
    few, rows = image_report()[0], []
    full = image_report("all")[0]
    for name in few.models:  # a figure of one sample evaluates that sample
        few.scoring.evaluator.models[name].register_forward_hook(lambda m, x, y: rows.append(len(y)))
    assert few.compare(0, use_pyplot=False)[1].shape == (2, 6)
    assert sum(rows) <= 2 * 2 * 2 * 520
    view = few.scoring.views[0]
    torch.testing.assert_close(
        few.scoring.values_of_sample("seed 0", view, 3), full.scoring.values("seed 0", view)[3:4], atol=1e-4, rtol=0
    )
    lines = [report.plot_order_profile("seed 0", use_pyplot=False)[1].lines[0].get_ydata() for report in (few, full)]
    np.testing.assert_allclose(*lines, atol=1e-2)
    other = few.rescore(scores=["offset"], primary="offset")
    assert other.scores["offset"].to_numpy() == pytest.approx(
        full.rescore(scores=["offset"], primary="offset").scores["offset"].to_numpy(), abs=0.02
    )
    few.to_html(tmp_path / "page.html", k=2)
    assert "known on the 47 masks" in (tmp_path / "page.html").read_text()
    assert few.plot_gallery("seed 0", k=2, use_pyplot=False)[1].shape == (4, 6)
    with pytest.raises(ValueError, match="coalitions must be"):
        ConfusingSampleAnalyzer(coalitions="some")


def test_without_models_at_hand_the_figure_shows_what_is_known() -> None:
    report = pickle.loads(pickle.dumps(image_report()[0]))
    _, axes = report.plot_gallery("seed 0", k=2, use_pyplot=False)
    assert axes.shape == (4, 2) and axes[0, 1].get_title() == "v lost without each"
    assert report.compare(0, use_pyplot=False)[1].shape == (2, 2)
    with pytest.raises(RuntimeError, match='coalitions="all"'):
        report.similarity()


def test_a_model_that_has_changed_since_is_refused() -> None:
    report, _ = image_report()
    with torch.no_grad():
        report.scoring.evaluator.models["seed 1"][3].bias[0] += 1.0
    with pytest.raises(RuntimeError, match="'seed 1' answers otherwise"):
        report.similarity()


def test_kept_outputs_of_other_masks_are_not_taken(tmp_path) -> None:
    made = {}
    for coalitions in ("auto", "all"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
        analyzer = ConfusingSampleAnalyzer(scores=("net_order",), coalitions=coalitions).add_model("m", model)
        made[coalitions] = analyzer.evaluate((IMAGES, IMAGE_LABELS), checkpoint_dir=tmp_path)
        batches = [{"sample": np.arange(i, i + 12), "input": IMAGES[i : i + 12].numpy()} for i in (0, 12)]
        tables = [analyzer.explain_batch(batch) for batch in batches]
        assert len(tables[0]["outputs"][0]) == (47 if coalitions == "auto" else 512) * 3
        assert analyzer.collect(tables, (IMAGES, IMAGE_LABELS)).scores.equals(made[coalitions].scores)
    torch.testing.assert_close(
        torch.tensor(made["auto"].scores["net_order"].to_numpy()),
        torch.tensor(made["all"].scores["net_order"].to_numpy()),
        atol=1e-4,
        rtol=1e-4,
    )


def test_many_players_are_scored_and_never_run_on_all_masks(tmp_path) -> None:
    """24 players: 302 masks for the scores; a page must not ask for 2^24."""
    inputs, labels = torch.rand(8, 24, generator=torch.Generator().manual_seed(2)), torch.arange(8) % 3
    made = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"), max_players=24)
    report = made.add_model("m", nn.Linear(24, 3).eval()).evaluate((inputs, labels))
    assert report.scoring.values("m", report.scoring.views[0]).shape == (8, 302)
    report.to_html(tmp_path / "page.html", k=1)
    assert "LOST {23}" in (tmp_path / "page.html").read_text()
    with pytest.raises(RuntimeError, match=r"2\^24 masked inputs"):
        report.plot_order_profile(use_pyplot=False)
