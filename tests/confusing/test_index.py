"""A frame's own index stays beside the numbers of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.confusing import ConfusingReport


def logits(x: Tensor) -> Tensor:
    return 4 * (x[:, 0] - x[:, 1] * x[:, 2])


@pytest.mark.parametrize("kind", ["shuffled", "strings", "dates"])
def test_rows_of_a_split_frame_are_found_again(kind: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    whole = pd.DataFrame(generator.random((40, 3)), columns=list("abc"))
    if kind == "strings":
        whole.index = [f"patient {i}" for i in range(40)]
    elif kind == "dates":
        whole.index = pd.date_range("2026-01-01", periods=40).astype(str)
    some = whole.sample(20, random_state=1)
    labels = (some["a"] > some["b"]).astype(int)
    report = ConfusingSampleAnalyzer().add_model("f", logits).evaluate((some, labels))
    first = report.rank().iloc[0]
    assert some.index[first["sample"]] == first["index"]
    pd.testing.assert_series_equal(whole.loc[first["index"]], some.iloc[first["sample"]])
    assert report.scores["index"].tolist() == some.index.tolist()
    assert str(first["index"]) in report._repr_html_() and ">index<" in report._repr_html_()
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert all(str(label) in page for label in some.index)
    assert report.to_cleanlab().index.tolist() == list(range(20))
    assert some.iloc[report.confusing_sets(0.05)["f"]].index.tolist() == [first["index"]]
    report.save(tmp_path / "report.zip")
    assert ConfusingReport.load(tmp_path / "report.zip").scores["index"].tolist() == some.index.tolist()


def test_a_plain_index_is_the_number() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((8, 3)), columns=list("abc"))
    report = ConfusingSampleAnalyzer().add_model("f", logits).evaluate((frame, torch.arange(8) % 2))
    assert "index" not in report.scores and "index" not in report.rank()
