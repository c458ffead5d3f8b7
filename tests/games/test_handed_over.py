"""What people hand over: estimators, Series as baselines, one-hot columns, models of one row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer
from captum_andor.games.masks import column_groups


def table(rows: int = 30) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(generator.random((rows, 3)), columns=["a", "b", "c"])


def test_an_estimator_is_told_by_the_method_to_pass() -> None:
    x = table()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(x.to_numpy(), (x["a"] > x["b"]).astype(int))
    for make in (AndOrInteractions, lambda model: ConfusingSampleAnalyzer().add_model("p", model)):
        with pytest.raises(TypeError, match=r"got Pipeline. Pass its method, e.g. pipeline.predict_proba"):
            make(pipeline)
    values = AndOrInteractions(pipeline.predict_proba).attribute(x.iloc[[0]], x.mean(), target=1)
    whole = pipeline.predict_proba(np.stack([x.mean().to_numpy(), x.iloc[0].to_numpy()]))[:, 1]
    assert float(values.sum()) == pytest.approx(whole[1] - whole[0])


def test_the_analyzer_takes_a_series_as_baseline() -> None:
    x = table()
    labels = (x["a"] > x["b"]).astype(int)

    def logits(z: Tensor) -> Tensor:
        return 5 * (z[:, 0] - z[:, 1]) + z[:, 2]

    means = x.mean()
    expected = ConfusingSampleAnalyzer(baselines=torch.tensor(means.to_numpy(copy=True))[None]).add_model("f", logits)
    for baseline in (means, means[["c", "a", "b"]], means.to_frame().T, [means]):
        analyzer = ConfusingSampleAnalyzer(baselines=baseline).add_model("f", logits)
        pd.testing.assert_frame_equal(analyzer.evaluate((x, labels)).scores, expected.evaluate((x, labels)).scores)
    with pytest.raises(ValueError, match="baselines must have the columns of inputs"):
        ConfusingSampleAnalyzer(baselines=means[["a", "b"]]).add_model("f", logits).evaluate((x, labels))


def test_groups_of_columns_by_name_and_one_hot_names() -> None:
    columns = ["size", "island_Biscoe", "island_Dream", "island_Torgersen"]
    mask, names = column_groups({"size": ["size"], "island": columns[1:]}, columns)
    assert mask.tolist() == [[0, 1, 1, 1]] and names == ["size", "island"]
    frame = pd.DataFrame([[2.0, 1.0, 0.0, 0.0]], columns=columns)
    model = AndOrInteractions(lambda x: x.sum(1)).logical_model(frame, feature_mask=mask)
    assert model.player_names == ("size = 2", "island = Biscoe")
    with pytest.raises(TypeError, match=r"by name: pass the names in the place of n_columns.*frame.columns"):
        column_groups({"size": ["size"]}, 1)
    with pytest.raises(ValueError, match="has column 'weight'; there are"):
        column_groups({"size": ["weight"]}, columns)


@pytest.mark.parametrize("rows", [1, 3])
def test_engines_of_a_fixed_number_of_rows(rows: int) -> None:
    seen = set()

    def engine(x: Tensor) -> Tensor:
        seen.add(len(x))
        assert len(x) == rows, f"this engine takes {rows} row(s)"
        return torch.stack([x.prod(1), x.sum(1)], 1)

    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    method = AndOrInteractions(engine)
    some = x[:rows]
    expected = AndOrInteractions(lambda z: torch.stack([z.prod(1), z.sum(1)], 1)).attribute(some, target=0)
    torch.testing.assert_close(method.attribute(some, target=0, perturbations_per_eval=1), expected)
    assert method.estimate(some, target=0, budget=12, perturbations_per_eval=1).shape == (rows,)
    report = (
        ConfusingSampleAnalyzer()
        .add_model("engine", engine)
        .evaluate((x, torch.arange(6) % 2), batch_size=rows, perturbations_per_eval=1)
    )
    # one row alone is tried, to see whether rows depend on each other; an engine that refuses is believed
    assert len(report.scores) == 6 and seen <= {1, rows}
