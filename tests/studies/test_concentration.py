"""Concentration of strength over samples: chance of random sets, what another view repeats, and the curve."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.confusing.scores.overlap import SetRule
from captum_andor.studies import concentration, plot_concentration
from captum_andor.studies.witnesses.concentration import Strengths, _table

X = torch.rand(50, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(50) % 3


@pytest.fixture(scope="module")
def report():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    return ConfusingSampleAnalyzer(baselines=[0, 0.5], scores="all").add_model("m", model).evaluate((X, Y))


def test_strengths_are_those_of_the_scores(report) -> None:
    table = concentration(report, fraction=0.2).set_index(["strength", "set"])
    own = report.scores["offset_strength"].to_numpy()
    held = np.sort(own)[::-1][:10].sum() / own.sum()
    row = table.loc["offsetting, high order", "most of it"]
    assert row["n"] == 10 and row["chance"] == 0.2
    assert row["share"] == pytest.approx(held)
    assert row["share_other_view"] <= row["share"] + 1e-9
    assert table.loc["all orders", "most of it"]["share"] < 1


def test_chance_is_what_random_sets_hold() -> None:
    rng = np.random.default_rng(0)
    strengths = Strengths(rng.exponential(size=(1, 400)), rng.exponential(size=(1, 400)))
    inside = []
    for seed in range(60):
        random = np.random.default_rng((1, seed)).permutation(400)[:40]
        row = _table(strengths, SetRule(), {"random": random}, 300, seed).query("set == 'random'").iloc[0]
        assert row["chance"] == 0.1 and np.isnan(row["share_other_view"])
        inside.append(row["chance_low"] <= row["share"] <= row["chance_high"])
    assert np.mean(inside) >= 0.88
    own = np.argsort(strengths.offsetting[0])[-40:]
    row = _table(strengths, SetRule(), {"own": own}, 300, 0).query("set == 'own'").iloc[0]
    assert row["share"] > row["chance_high"]


def test_samples_that_hold_most_by_chance_hold_their_share_in_another_view() -> None:
    rng = np.random.default_rng(0)
    noise = rng.exponential(size=(2, 20_000))
    row = _table(Strengths(noise, noise), SetRule(), {}, 10, 0).iloc[0]
    assert row["share_other_view"] == pytest.approx(0.1, abs=0.01) and row["share"] > 0.2


def test_no_strength_at_all_is_no_share() -> None:
    nothing = np.zeros((1, 20))
    table = _table(Strengths(nothing, nothing), SetRule(), {"some": [1, 2]}, 10, 0)
    assert table["share"].isna().all() and table["chance_low"].isna().all()


def test_the_curve_and_its_points(report) -> None:
    fig, axis = plot_concentration(report, groups={"first": np.arange(50) < 5}, use_pyplot=False)
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert any(label.startswith("first: ") for label in labels)
    curve = axis.lines[0].get_ydata()
    assert curve[0] == 0 and curve[-1] == pytest.approx(1) and (np.diff(curve, 2) <= 1e-9).all()
    plt.close(fig)
    with pytest.raises(ValueError, match="group 'none' must name some"):
        concentration(report, groups={"none": np.zeros(50, dtype=bool)})


def test_hard_against_easy_samples(report) -> None:
    _, axis = report.plot_order_profile(score="loss", against="least", fraction=0.2, use_pyplot=False)
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["most 20% by loss (10)", "least 20% (10)"]
    loss = report.scores["loss"].to_numpy()
    profiles = [report.scoring.salient("m", view).clamp(min=0).sum((1, 2)).numpy() for view in report.scoring.views]
    strength = np.mean(profiles, axis=0)
    for line, chosen in ((axis.lines[0], np.argsort(-loss)[:10]), (axis.lines[2], np.argsort(loss)[:10])):
        assert line.get_ydata().sum() == pytest.approx(strength[chosen].mean())
    with pytest.raises(ValueError, match="against must be"):
        report.plot_order_profile(against="most", use_pyplot=False)
    with pytest.raises(ValueError, match="score must be one of"):
        report.plot_order_profile(score="height", use_pyplot=False)
