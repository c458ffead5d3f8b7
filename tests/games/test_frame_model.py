"""Models of frames: every row comes back as it was, and answers are those of frames masked by hand."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import FeatureAblation
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from captum_andor import AndOrInteractions
from captum_andor.explain import averaged_interactions
from captum_andor.games import FrameModel
from captum_andor.games.masks import column_groups


def mixed(rows: int = 30, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    text = generator.choice(["Lyon", "Paris", "Nice"], rows).astype(object)
    text[3] = None
    return pd.DataFrame(
        {
            "city": text,
            "rooms": generator.integers(1, 6, rows),
            "area": np.where(generator.random(rows) < 0.2, np.nan, generator.normal(60, 20, rows)),
            "lift": generator.random(rows) < 0.5,
            "heating": pd.Categorical(generator.choice(["gas", "oil"], rows), categories=["gas", "oil", "wood"]),
            "built": pd.to_datetime("2000-01-01") + pd.to_timedelta(generator.integers(0, 9000, rows), unit="D"),
            "floor": pd.array(
                np.where(generator.random(rows) < 0.2, None, generator.integers(0, 9, rows)), dtype="Int64"
            ),
        },
        index=range(100, 100 + rows),
    )


def price(frame: pd.DataFrame) -> np.ndarray:
    """Reads every column in its own dtype."""
    assert list(map(str, frame.dtypes)) == list(map(str, mixed().dtypes))
    paris = (frame["city"] == "Paris").to_numpy()
    area = frame["area"].fillna(50).to_numpy()
    old = (datetime.datetime(2026, 1, 1) - frame["built"]).dt.days.to_numpy() / 365
    floor = frame["floor"].fillna(2).to_numpy(dtype=float)
    warm = frame["heating"].cat.codes.to_numpy()
    return area * (1 + paris) + 5 * frame["rooms"].to_numpy() - old * warm + 3 * floor * frame["lift"].to_numpy()


def test_rows_come_back_as_they_were() -> None:
    frame = mixed()
    model = FrameModel(price)
    rows = model.encode(frame)
    assert rows.dtype == torch.float64 and rows.shape == (30, 7)
    pd.testing.assert_frame_equal(model.decode(rows), frame.reset_index(drop=True))
    pd.testing.assert_frame_equal(model.decode(rows[[4, 2]]), frame.iloc[[4, 2]].reset_index(drop=True))
    np.testing.assert_array_equal(model(rows), price(frame))


def test_answers_are_those_of_frames_masked_by_hand() -> None:
    frame = mixed()
    x, base = frame.iloc[[0]], frame.iloc[[7]]
    values = AndOrInteractions(FrameModel(price)).interactions(x, base, split="and").values[0]
    for code in range(128):
        row = base.reset_index(drop=True).copy()
        for i, column in enumerate(frame.columns):
            if code >> i & 1:
                row[column] = x[column].to_numpy() if column not in ("heating", "floor") else x[column].array
        assert float(values[code]) == pytest.approx(float(price(row)[0]), rel=1e-12)


def test_batches_series_and_groups() -> None:
    frame = mixed()
    method = AndOrInteractions(FrameModel(price))
    one = [method.attribute(frame.iloc[[i]], frame.iloc[[7]]) for i in (0, 1, 2)]
    torch.testing.assert_close(method.attribute(frame.iloc[:3], frame.iloc[[7]]), torch.cat(one))
    torch.testing.assert_close(method.attribute(frame.iloc[[0]], frame.iloc[7]), one[0])  # a Series: objects
    own = method.attribute(frame.iloc[:3], frame.iloc[7:10])
    torch.testing.assert_close(own[1:2], method.attribute(frame.iloc[[1]], frame.iloc[[8]]))
    mask, _ = column_groups(
        {"place": ["city", "floor"], "rest": ["rooms", "area", "lift", "heating", "built"]}, list(frame.columns)
    )
    grouped = method.logical_model(frame.iloc[[0]], frame.iloc[[7]], feature_mask=mask)
    assert grouped.player_names is not None and grouped.player_names[0].startswith("city = ")
    assert " & floor" in grouped.player_names[0]
    estimate = method.estimate(frame.iloc[[0]], frame.iloc[[7]], budget=64)
    assert float(estimate.shapley_values().sum()) == pytest.approx(float(one[0].sum()), rel=1e-9)
    mean = averaged_interactions(method, frame.iloc[[0]], frame.iloc[7:11], split="and")
    each = [method.interactions(frame.iloc[[0]], frame.iloc[[i]], split="and").values for i in range(7, 11)]
    torch.testing.assert_close(mean.values, torch.stack(each).mean(0))


def test_names_show_values() -> None:
    frame = mixed()
    names = AndOrInteractions(FrameModel(price)).logical_model(frame.iloc[[3]], frame.iloc[[7]]).player_names
    assert names is not None and names[0] == "city missing" and names[3] == f"lift = {frame['lift'].iloc[3]}"
    assert names[1] == f"rooms = {frame['rooms'].iloc[3]}" and names[4] == f"heating = {frame['heating'].iloc[3]}"


def test_a_pipeline_on_mixed_columns_and_captums_methods() -> None:
    frame = mixed(200)[["city", "rooms", "lift"]].fillna({"city": "none"})
    label = ((frame["city"] == "Paris") & (frame["rooms"] > 2)).astype(int)
    columns = make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["rooms", "lift"]))
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, label)
    model = FrameModel(pipeline.predict_log_proba)
    x, base = frame.iloc[[0]], frame.iloc[[1]]
    found = AndOrInteractions(model, score="log_odds").attribute(x, base, target=1)
    raw = pipeline.decision_function(pd.concat([base, x]))
    assert float(found.sum()) == pytest.approx(raw[1] - raw[0], rel=1e-9)
    ablated = FeatureAblation(model_of_tensors(model)).attribute(
        model.encode(x), baselines=model.encode(base), target=1
    )
    full, without = (
        pipeline.predict_log_proba(x)[0, 1],
        pipeline.predict_log_proba(x.assign(rooms=base["rooms"].iloc[0])),
    )
    assert float(ablated[0, 1]) == pytest.approx(full - without[0, 1], rel=1e-6)
    torch.testing.assert_close(
        AndOrInteractions(model, score="log_odds").attribute(model.encode(x), model.encode(base), target=1), found
    )


def model_of_tensors(model: FrameModel) -> Any:
    return lambda rows: torch.as_tensor(model(rows))


def test_two_models_of_frames_are_compared() -> None:
    frame = mixed()
    method = AndOrInteractions(FrameModel(price), reference=FrameModel(lambda f: f["rooms"] * 5.0))
    found = method.attribute(frame.iloc[[0]], frame.iloc[[7]])
    apart = AndOrInteractions(FrameModel(lambda f: price(f) - f["rooms"] * 5.0)).attribute(
        frame.iloc[[0]], frame.iloc[[7]]
    )
    torch.testing.assert_close(found, apart)


def refused(frame: pd.DataFrame, base: Any) -> tuple[type[Exception], str]:
    with pytest.raises((TypeError, ValueError)) as error:
        AndOrInteractions(FrameModel(price)).attribute(frame.iloc[[0]], base)
    return error.type, str(error.value)


def test_what_cannot_be_is_named() -> None:
    frame = mixed()
    base = frame.iloc[[7]]
    assert "baselines must be a row of a frame" in refused(frame, None)[1]
    assert "baselines must be a row of a frame" in refused(frame, 0)[1]
    assert "it lacks ['city']" in refused(frame, base.drop(columns="city"))[1]
    assert "column 'rooms' is of float64, and of int64" in refused(frame, base.astype({"rooms": float}))[1]
    unseen = base.assign(heating=pd.Categorical(["coal"]))
    assert "column 'heating' has other categories than the frame before, ['coal']" in refused(frame, unseen)[1]
    assert (
        "'coal' of column 'heating' is no value"
        in refused(frame, base.iloc[0].replace({base["heating"].iloc[0]: "coal"}))[1]
    )
    huge = frame.assign(rooms=frame["rooms"] + (1 << 60))
    assert "column 'rooms' has integers beyond 2^53" in refused(huge, base)[1]
    assert "column 'city' holds list, no single value" in refused(frame.assign(city=[["a"]] * 30), base)[1]
    twice = pd.concat([frame, frame[["city"]]], axis=1)
    assert "two columns are called 'city'" in refused(twice, base)[1]
    with pytest.raises(TypeError, match=r"got Pipeline. Pass its method, e.g. pipeline.predict_proba"):
        FrameModel(make_pipeline(StandardScaler(), LogisticRegression()))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="function must return numbers; got ndarray of <U2, .*'no'"):
        AndOrInteractions(FrameModel(lambda f: np.array(["no"] * len(f)))).attribute(frame.iloc[[0]], base)
    with pytest.raises(ValueError, match="has seen no frame yet"):
        FrameModel(price)(torch.zeros(1, 7))
    model = FrameModel(price)
    model.encode(frame)
    with pytest.raises(ValueError, match=r"rows must have shape \(N, 7\)"):
        model(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="column 'city' holds values, and a number of the rows stands for none"):
        model(torch.full((1, 7), 0.5))
