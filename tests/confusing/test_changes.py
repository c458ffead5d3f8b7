"""What a new version changes: against the difference of two models explained by itself."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer

torch.manual_seed(0)
OLD = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3)).double().eval()
NEW = copy.deepcopy(OLD)
with torch.no_grad():
    NEW[0].weight[:, 1] *= 0.3
X = torch.rand(30, 5, dtype=torch.float64)
Y = torch.arange(30) % 3


def analyzer(**options: object) -> ConfusingSampleAnalyzer:
    found = ConfusingSampleAnalyzer(coalitions="all", **options)  # type: ignore[arg-type]
    return found.add_model("old", OLD).add_model("new", NEW)


def test_changes_are_those_of_the_difference() -> None:
    table = analyzer().evaluate((X, Y)).changes("old", "new")
    explained = AndOrInteractions(NEW, reference=OLD, score="log_odds").interactions(X, target=Y, split="and")
    old = AndOrInteractions(OLD, score="log_odds").interactions(X, target=Y, split="and").values
    np.testing.assert_allclose(table["change"], explained.values[:, -1])
    np.testing.assert_allclose(table["spread"], explained.values.std(1, correction=0) / old.std(1, correction=0))
    before, after = (model(X).argmax(1).numpy() for model in (OLD, NEW))
    assert table["predicted_old"].tolist() == before.tolist() and table["predicted_new"].tolist() == after.tolist()
    assert table["same_prediction"].tolist() == (before == after).tolist()
    models = AndOrInteractions(NEW, reference=OLD, score="log_odds").logical_model(
        X, target=Y, max_patterns=3, exact_ends=False
    )
    first = [f"{p.value:+.3g}" for p in models[0].patterns]
    assert [part.rsplit(" ", 1)[1] for part in table["patterns"][0].split("; ")] == first
    assert table["patterns"].str.contains("{1}", regex=False).mean() > 0.5  # what was changed


def test_names_of_frames_several_baselines_and_predicted_labels() -> None:
    frame = pd.DataFrame(X.numpy(), columns=list("abcde"), index=[f"row {i}" for i in range(30)])
    report = analyzer(baselines=[0.0, 0.5]).evaluate(frame, labels="predicted")
    table = report.changes("old", "new", n_patterns=1)
    assert list(table["index"])[:2] == ["row 0", "row 1"]
    assert table["patterns"].str.contains("b").mean() > 0.5 and not table["patterns"].str.contains(";").any()
    target = OLD(X).argmax(1)
    each = [
        AndOrInteractions(NEW, reference=OLD, score="log_odds").interactions(X, base, target, split="and").values[:, -1]
        for base in (0.0, 0.5)
    ]
    np.testing.assert_allclose(table["change"], torch.stack(each).mean(0))
    back = report.changes("new", "old")
    assert back["predicted_old"].tolist() == table["predicted_new"].tolist()


def test_equal_models_have_not_changed() -> None:
    both = ConfusingSampleAnalyzer(coalitions="all").add_model("a", OLD).add_model("b", copy.deepcopy(OLD))
    table = both.evaluate((X, Y)).changes("a", "b")
    assert table["same_prediction"].all() and (table["change"] == 0).all() and (table["spread"] == 0).all()
    assert (table["patterns"] == "").all()


def test_the_page_tells_of_two_models(tmp_path: Path) -> None:
    report = analyzer().evaluate((X, Y))
    report.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What has changed from old to new?" in text and "They say why a decision has moved, not which will." in text


def test_values_near_the_whole_input_are_completed() -> None:
    short = ConfusingSampleAnalyzer(scores=["net_order"]).add_model("old", OLD).add_model("new", NEW)
    found, expected = short.evaluate((X, Y)).changes("old", "new"), analyzer().evaluate((X, Y)).changes("old", "new")
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("names", "message"),
    [(("old", "old"), "must be two models; both are 'old'"), (("old", "newer"), "newer")],
)
def test_what_cannot_be(names: tuple[str, str], message: str) -> None:
    report = analyzer().evaluate((X, Y))
    with pytest.raises(ValueError, match=message):
        report.changes(*names)
    with pytest.raises(ValueError, match="n_patterns"):
        report.changes("old", "new", 0)
