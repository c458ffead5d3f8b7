"""Columns that the user brings stand beside the scores, to rank by and to hold fixed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.statistics import partial_spearman

X = torch.rand(40, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3
OWN = np.random.default_rng(0).normal(size=40)


def report(**options):
    analyzer = ConfusingSampleAnalyzer(scores=("net_order", "masked_margin"), **options)
    for name in "ab":
        torch.manual_seed(ord(name))
        analyzer.add_model(name, nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
    return analyzer.evaluate((X, Y))


def test_a_column_is_one_like_any_other() -> None:
    made = report()
    split = made.scoring.split("a", made.scoring.views[0])
    assert made.add_column("own", OWN) is made
    assert made.scores.query("model == 'b'")["own"].to_numpy() == pytest.approx(OWN)
    assert made.rank("a", "own")["sample"].tolist() == np.argsort(-OWN).tolist()
    assert made.confusing_sets(score="own")["a"] == np.argsort(-OWN)[:4].tolist()
    assert made.overlap(score="own")["iou"].item() == 1.0
    assert made.scoring.split("a", made.scoring.views[0]) is split  # nothing is computed anew
    a, b = (made.scores.query("model == @name")["net_order"].to_numpy() for name in "ab")
    given = made.overlap(controls=("own",))["partial_spearman"].item()
    assert given == pytest.approx(partial_spearman(a, b, [OWN, OWN]), abs=1e-6)
    assert "own" in made.rescore(labels="predicted").scores
    assert "own" in made.rescore(scores=["mean_order"], primary="mean_order").scores


def test_a_column_of_each_model() -> None:
    made = report().add_column("own", {"a": OWN, "b": -OWN}).add_column("only a", OWN, model="a")
    assert made.rank("b", "own")["sample"].tolist() == np.argsort(OWN).tolist()
    assert made.overlap(score="own")["spearman"].item() == pytest.approx(-1.0)
    assert made.scores.query("model == 'b'")["only a"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("loss", OWN), "has a column 'loss'"),
        (("", OWN), "name must be"),
        (("own", OWN[:3]), r"each of the 40 samples; got shape \(3,\)"),
        (("own", np.full(40, np.nan)), "NaN"),
        (("own", {"a": OWN}), "one for each of"),
        (("own", OWN, "c"), "model must be"),
    ],
)
def test_bad_columns(arguments, match) -> None:
    with pytest.raises(ValueError, match=match):
        report().add_column(*arguments)
