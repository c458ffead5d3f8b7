"""Frames and arrays as inputs, masks that are chosen by themselves, and what is said of inputs that mean something else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.games.masks import image_grid

FRAME = pd.DataFrame({"age": [39.0, 22.0], "hours": [40, 20], "married": [True, False]}, index=[7, 3])


def linear(columns: int = 3, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(columns, 2).to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_frame_is_its_numbers_in_the_dtype_of_the_model(dtype) -> None:
    method = AndOrInteractions(linear(dtype=dtype))
    numbers = torch.tensor(FRAME.to_numpy(dtype=np.float64), dtype=dtype)
    found, wanted = method.attribute(FRAME, target=1), method.attribute(numbers, target=1)
    assert found.dtype == dtype and torch.equal(found, wanted)


def test_columns_are_names_and_a_single_row_has_values() -> None:
    method = AndOrInteractions(linear())
    assert method.logical_model(FRAME, target=0).player_names == ("age", "hours", "married")
    one = method.logical_model(FRAME.iloc[[0]], target=0)
    assert one.player_names == ("age = 39", "hours = 40", "married = 1")
    assert "  age = 39" in str(one)
    assert method.interactions(FRAME.iloc[[0]], target=0).player_names == one.player_names
    assert method.estimate(FRAME.iloc[[0]], target=0, budget=8).player_names == one.player_names
    assert method.logical_model(FRAME, target=0, player_names=["a", "b", "c"]).player_names == ("a", "b", "c")


def test_columns_that_are_one_player_share_its_name() -> None:
    mask = torch.tensor([[0, 1, 1]])
    model = AndOrInteractions(linear()).logical_model(FRAME, target=0, feature_mask=mask)
    assert model.player_names == ("age", "hours & married")
    one = AndOrInteractions(linear()).logical_model(FRAME, target=0, feature_mask=torch.zeros(1, 1, dtype=torch.long))
    assert one.player_names == ("age & hours & married",)


def test_baselines_may_be_frames_and_series_in_any_order() -> None:
    method = AndOrInteractions(linear())
    means = torch.tensor([[30.5, 30.0, 0.5]])
    wanted = method.attribute(FRAME, baselines=means, target=0)
    assert torch.allclose(method.attribute(FRAME, baselines=FRAME.mean()[::-1], target=0), wanted)
    frame = FRAME.mean().to_frame().T[["married", "age", "hours"]]
    assert torch.allclose(method.attribute(FRAME, baselines=frame, target=0), wanted)
    with pytest.raises(ValueError, match=r"baselines must have the columns of inputs; they lack \['age'\]"):
        method.attribute(FRAME, baselines=FRAME.drop(columns="age").mean(), target=0)


def test_arrays_are_inputs() -> None:
    method = AndOrInteractions(linear())
    array = FRAME.to_numpy(dtype=np.float64)[:, ::-1]  # of negative strides, too
    wanted = method.attribute(torch.tensor(array.copy(), dtype=torch.float32), target=0)
    assert torch.equal(method.attribute(array, target=0), wanted)
    both = AndOrInteractions(lambda a, b: a.sum(1) * b.sum(1).float())
    first, second = both.attribute((array, np.array([[1, 2], [3, 4]])))
    assert first.shape == (2, 3) and second.shape == (2, 2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (pd.DataFrame({"age": [1.0], "job": ["nurse"]}), r"columns \['job'\] hold no numbers"),
        (FRAME.iloc[0], "inputs is a Series; pass a frame of one row"),
        (np.array([["a", "b"]]), "inputs must hold numbers; got an array of <U1"),
        ("a text", "inputs must be a tensor, an array, a frame"),
    ],
)
def test_inputs_without_numbers(inputs, message) -> None:
    with pytest.raises(TypeError, match=message):
        AndOrInteractions(linear()).attribute(inputs, target=0)


def test_columns_of_one_name_are_refused() -> None:
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["age", "age", "hours"])
    with pytest.raises(ValueError, match="inputs: two columns are called 'age'"):
        AndOrInteractions(linear()).attribute(frame, target=0)


def test_an_automatic_mask_of_images_is_a_grid(tmp_path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 2)).eval()
    image = torch.rand(1, 3, 12, 20)
    method = AndOrInteractions(model)
    found = method.attribute(image, target=0, feature_mask="auto")
    assert torch.equal(found, method.attribute(image, target=0, feature_mask=image_grid(12, 20, 4, 4)))
    said = 'players: a 4 x 4 grid of patches over 12 x 20 pixels, numbered row by row (feature_mask="auto")'
    model = method.logical_model(image, target=0, feature_mask="auto")
    assert str(model).splitlines()[1] == said and str(model[0]).splitlines()[1] == said
    model.save(tmp_path / "model.npz")
    assert str(LogicalModel.load(tmp_path / "model.npz")).splitlines()[1] == said
    assert said in str(method.interactions(image, target=0, feature_mask="auto", split="even"))
    assert said in str(method.estimate(image, target=0, feature_mask="auto", budget=64))


@pytest.mark.parametrize(
    ("inputs", "players", "sentence"),
    [
        (torch.rand(2, 30), 30, "30 columns"),
        (torch.randint(9, (2, 20)), 20, "20 tokens or steps"),
        (torch.randint(9, (2, 100)), 16, "16 runs of neighbours among 100 tokens"),
        (torch.rand(2, 12, 5), 12, "12 tokens or steps"),
    ],
)
def test_automatic_masks_of_other_inputs(inputs, players, sentence) -> None:
    method = AndOrInteractions(lambda x: x.double().flatten(1).sum(1))
    estimate = method.estimate(inputs, feature_mask="auto", budget=128)
    assert estimate.shapley_values().shape == (2, players) and f"players: {sentence}" in str(estimate)


def test_automatic_masks_of_several_inputs_share_no_player() -> None:
    method = AndOrInteractions(lambda a, b: a.sum(1) + b.flatten(1).sum(1))
    model = method.logical_model((torch.rand(1, 2), torch.rand(1, 4, 3)), feature_mask="auto")
    assert model.feature_ids == (0, 1, 2, 3, 4, 5) and "players: 2 columns; 4 tokens or steps (" in str(model)


def test_an_automatic_mask_of_inputs_by_name() -> None:
    def model(input_ids, attention_mask):
        return (input_ids * attention_mask).double().sum(1)

    ids = torch.randint(1, 9, (1, 12))
    named = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    found = AndOrInteractions(model).logical_model(named, baselines={"input_ids": 0}, feature_mask="auto", budget=64)
    assert "players: 12 tokens or steps" in str(found) and found.n_players == 12
    attributions = AndOrInteractions(model).attribute(named, baselines={"input_ids": 0}, feature_mask="auto")
    assert torch.allclose(attributions["input_ids"], ids.double())


def test_what_an_automatic_mask_cannot_be() -> None:
    method = AndOrInteractions(lambda x: x.flatten(1).sum(1))
    with pytest.raises(ValueError, match='feature_mask="auto" knows images'):
        method.attribute(torch.rand(1, 2, 3, 3, 3), feature_mask="auto")
    with pytest.raises(ValueError, match="feature_mask must be integer ids, None or \"auto\"; got 'grid'"):
        method.attribute(torch.rand(1, 2), feature_mask="grid")


@pytest.mark.parametrize("call", ["logical_model", "estimate"])
def test_images_and_tokens_without_a_mask_get_a_proposal(call) -> None:
    method = AndOrInteractions(lambda x: x.double().flatten(1).sum(1))
    with pytest.raises(ValueError, match=r'150,528 elements.*feature_mask="auto", a 4 x 4 grid.*image_grid\(224, 224'):
        getattr(method, call)(torch.rand(1, 3, 224, 224))
    with pytest.raises(ValueError, match="5,000 elements.*runs of neighbouring tokens"):
        getattr(method, call)(torch.randint(9, (1, 5000)))


@pytest.mark.parametrize("call", ["attribute", "interactions"])
def test_exact_calls_name_the_passes_and_the_proposal(call) -> None:
    method = AndOrInteractions(lambda x: x.double().flatten(1).sum(1))
    with pytest.raises(
        ValueError, match=r'leaving out feature_mask gives 150528 .* 2\^150528 forward.*="auto", a 4 x 4'
    ):
        getattr(method, call)(torch.rand(1, 3, 224, 224))


def test_a_budget_does_not_make_150_000_pixels_players() -> None:
    with pytest.raises(ValueError, match="150,528 elements"):
        AndOrInteractions(lambda x: x.flatten(1).sum(1)).attribute(torch.rand(1, 3, 224, 224), budget=64)


def test_a_row_that_is_taken_for_a_batch_is_named() -> None:
    model = AndOrInteractions(lambda x: x).logical_model(torch.rand(6))
    assert "One player: inputs are examples of one number each. A single row of numbers is inputs[None]" in str(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_v_that_masking_does_not_change_is_no_explanation(dtype) -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 3).to(dtype).eval()
    found = AndOrInteractions(model).logical_model(torch.ones(1, 6, dtype=dtype), baselines=1.0, target=0)
    assert str(found).splitlines()[1].startswith("Nothing to explain: v is the same on every masked input")


def test_patterns_that_do_not_explain_say_so_first() -> None:
    v = torch.randn(2**8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    poor, rich = (LogicalModel.from_values(v, max_patterns=k, effort="stable") for k in (3, 200))
    assert str(poor).splitlines()[1].startswith("Does not explain this model: the patterns leave over half")
    assert "explain this model" not in str(rich)


def test_a_mask_with_a_batch_dimension_that_the_image_lacks() -> None:
    with pytest.raises(ValueError, match=r"Do inputs lack their batch dimension\? Pass inputs\[None\]"):
        AndOrInteractions(lambda x: x.sum()).attribute(
            torch.rand(3, 8, 8), feature_mask=image_grid(8, 8, 2, 2)[None, 0]
        )


def test_a_background_of_rows_is_told_apart() -> None:
    with pytest.raises(ValueError, match=r"games.Background\(rows\)"):
        AndOrInteractions(linear()).attribute(torch.rand(1, 3), baselines=torch.rand(20, 3), target=0)
