"""Codes and barriers as witnesses in the confusing-sample report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.datasets import read_samples
from captum_andor._utils.statistics import partial_spearman
from captum_andor.studies import add_witnesses, witness_agreement
from captum_andor.studies.witnesses.codes import LayerCodes
from captum_andor.studies.witnesses.connectivity import connectivity_score
from captum_andor.studies.witnesses.witness_columns import last_before_head

N = 60


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % 3
    x = torch.rand(N, 1, 6, 6, generator=generator) * 0.5
    for c in range(3):
        x[labels == c, :, c * 2 : c * 2 + 2] += 0.7
    return x, labels


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 3)
    )
    return model.eval()


def analyzer() -> ConfusingSampleAnalyzer:
    return ConfusingSampleAnalyzer(feature_mask=None, scores=("net_order", "masked_margin"))


def test_columns_are_those_of_the_tools() -> None:
    model = network()
    report = add_witnesses(analyzer().add_model("net", model).evaluate(data()), ("codes", "connectivity"))
    x, y = data()
    codes = LayerCodes(model, ["4"], grid=(3, 3))
    units = codes.fit_transform((x, y))
    assert report.scores["code_rarity"].to_numpy() == pytest.approx(1 - codes._homogeneity(units)[:, 0].numpy())
    expected = codes.other_labels(units, y, trained=True)[:, 0].numpy()
    assert report.scores["code_other_labels"].to_numpy() == pytest.approx(expected, nan_ok=True)
    barriers = connectivity_score(model, (x, y), (x, y), n_references=3, n_points=25)["barrier"]
    assert report.scores["barrier"].to_numpy() == pytest.approx(barriers.to_numpy(), rel=1e-5)


def test_the_table_of_agreement() -> None:
    report = add_witnesses(
        analyzer().add_model("a", network()).add_model("b", network(1)).evaluate(data()), "connectivity"
    )
    table = witness_agreement(report, n_resamples=50)
    assert list(table["model"]) == ["a", "a", "b", "b"] and set(table["witness"]) == {"barrier"}
    first = table.iloc[0]
    rows = report.scores[report.scores["model"] == "a"]
    by_hand = partial_spearman(rows[first["score"]], rows["barrier"], [rows["loss"], rows["margin"]])
    assert first["given_loss_and_margin"] == pytest.approx(by_hand)
    assert (table["adds"] == ((table["low"] > 0) | (table["high"] < 0))).all()


def test_witnesses_rank_like_any_column_and_stay_in_other_readings() -> None:
    report = add_witnesses(analyzer().add_model("net", network()).evaluate(data()), ("codes", "connectivity"))
    highest = report.rank("net", "barrier")["sample"].iloc[0]
    assert highest == report.scores["barrier"].argmax()
    rarest = report.rank("net", "code_rarity")["sample"].iloc[0]
    assert report.scores["code_rarity"][rarest] == report.scores["code_rarity"].max()
    assert "barrier" in report.rescore(score="output").scores
    assert report.scores.columns.tolist()[-1] == "rank"


def test_settings_are_passed_on(tmp_path: Path) -> None:
    x, y = data()
    settings = {
        "codes": {"layer": "1", "grid": (2, 2)},
        "connectivity": {"references": (x[30:], y[30:]), "n_points": 5},
    }
    report = add_witnesses(analyzer().add_model("net", network()).evaluate((x, y), checkpoint_dir=tmp_path), settings)
    expected = connectivity_score(network(), (x, y), (x[30:], y[30:]), n_references=3, n_points=5)["barrier"]
    assert report.scores["barrier"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)
    assert report.scores["code_rarity"].nunique() <= 4


def test_the_last_layer_before_the_head_is_found() -> None:
    assert last_before_head(network(), read_samples(data(), labelled=True)) == "4"


def test_planted_strangers_stand_far_from_their_class() -> None:
    x, y = data()
    wrong = torch.zeros(N, dtype=torch.bool)
    wrong[:6] = True
    y = torch.where(wrong, (y + 1) % 3, y)
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(x[6:]), y[6:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = add_witnesses(analyzer().add_model("net", model).evaluate((x, y)), ("codes", "connectivity")).scores
    assert scores["barrier"][:6].min() > scores["barrier"][6:].max()
    assert np.nanmean(scores["code_other_labels"][:6]) > np.nanmean(scores["code_other_labels"][6:])


def test_one_logit_is_that_of_class_1_against_class_0() -> None:
    torch.manual_seed(0)
    head = nn.Linear(36, 1)
    one = nn.Sequential(nn.Flatten(), head).eval()
    two = nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).eval()
    with torch.no_grad():
        two[1].weight.copy_(torch.cat([torch.zeros_like(head.weight), head.weight]))
        two[1].bias.copy_(torch.cat([torch.zeros_like(head.bias), head.bias]))
    x, y = data()[0], torch.arange(N) % 2
    barriers = [
        add_witnesses(analyzer().add_model("net", m).evaluate((x, y)), "connectivity").scores["barrier"]
        for m in (one, two)
    ]
    assert barriers[0].to_numpy() == pytest.approx(barriers[1].to_numpy(), rel=1e-5)


def test_a_report_without_models_cannot_have_witnesses(tmp_path: Path) -> None:
    report = analyzer().add_model("net", network()).evaluate(data())
    report.save(tmp_path / "report.npz")
    with pytest.raises(RuntimeError, match="report has no models"):
        add_witnesses(type(report).load(tmp_path / "report.npz"))


def test_bad_input() -> None:
    report = analyzer().add_model("net", network()).evaluate(data())
    with pytest.raises(RuntimeError, match="no columns of witnesses"):
        witness_agreement(report)
    one = analyzer().add_model("net", network())
    with pytest.raises(ValueError, match=r"witnesses must be among \['codes', 'connectivity'\]; got 'som'"):
        add_witnesses(one.evaluate(data()), ("som",))
    with pytest.raises(TypeError, match="must be a dict"):
        add_witnesses(one.evaluate(data()), {"codes": "4"})
    with pytest.raises(ValueError, match="witnesses for model 'net': layers must name modules"):
        add_witnesses(one.evaluate(data()), {"codes": {"layer": "nowhere"}})
    with pytest.raises(ValueError, match="witnesses for model 'net': class 0 has 0 references"):
        x, y = data()
        add_witnesses(one.evaluate((x, y)), {"connectivity": {"references": (x[:3], y[:3])}})
    function = analyzer().add_model("f", lambda x: x.flatten(1)[:, :3])
    with pytest.raises(TypeError, match="needs a torch.nn.Module"):
        add_witnesses(function.evaluate(data()), "codes")
