"""Inputs, baselines and masks: what is accepted, what it means, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions
from captum_andor.games.players import Players

X = torch.arange(1.0, 13.0).view(2, 2, 3)


def masked(x: Any, coalition: list[bool], baselines: Any = None, feature_mask: Any = None) -> Any:
    return Players(x, baselines, feature_mask).masked(torch.tensor([coalition]))


@pytest.mark.parametrize(
    ("mask", "ids"),
    [
        (torch.tensor([[0, 0, 5], [5, 0, 9]]), (0, 5, 9)),
        (torch.tensor([-3, 0, 7]), (0, 7)),  # elements of negative ids are no player
        (torch.tensor([1, 0]).view(2, 1).expand(2, 3), (0, 1)),
        (torch.arange(6).view(3, 2).T, (0, 1, 2, 3, 4, 5)),
        (torch.tensor(4), (4,)),
        (torch.tensor([0, 1, 200], dtype=torch.uint8), (0, 1, 200)),
        (torch.tensor([True, False, True]), (0, 1)),
        (torch.tensor([0.0, 2.0, 2.0]), (0, 2)),
        (torch.arange(12).view(2, 2, 3), tuple(range(12))),
        (None, tuple(range(6))),
    ],
)
def test_players_are_the_sorted_ids_of_the_mask(mask: Tensor | None, ids: tuple[int, ...]) -> None:
    players = Players(X, feature_mask=mask)
    assert players.layout.feature_ids == ids
    for player, own in enumerate(ids):
        only = torch.zeros(1, len(ids), dtype=torch.bool)
        only[0, player] = True
        kept = players.masked(only)[0] != 0
        expected = (torch.arange(6).view(2, 3) == own) if mask is None else (mask == own) | (mask.long() < 0)
        assert torch.equal(kept, expected.expand(2, 2, 3))


def test_elements_of_negative_ids_keep_their_value_and_get_nothing() -> None:
    """For BOS tokens, templates and padding."""
    x = torch.arange(1.0, 7.0).view(2, 3)
    mask = torch.tensor([[0, -1, 4], [-1, 4, 0]])  # an own mask for each example
    method = AndOrInteractions(lambda z: z.prod(1))
    found = method.attribute(x, feature_mask=mask)
    assert found[0].tolist() == pytest.approx([3.0, 0, 3.0]) and found[1].tolist() == pytest.approx([0, 60, 60.0])
    lm = method.logical_model(x[:1], feature_mask=mask[:1])
    assert [(p.kind, p.players, p.value) for p in lm[0].patterns] == [("and", (0, 4), pytest.approx(6.0))]
    assert lm.attributions()[0].tolist() == pytest.approx([3.0, 0, 3.0])
    with pytest.raises(ValueError, match="every id is negative"):
        method.attribute(x, feature_mask=torch.tensor([-1, -2, -1]))


def test_equal_ids_in_several_inputs_are_one_player() -> None:
    words, image = torch.tensor([[7, 8]]), torch.ones(1, 2)
    mask = (torch.tensor([[0, 1]]), torch.tensor([[1, 2]]))
    first, second = masked((words, image), [False, True, False], feature_mask=mask)
    assert first.tolist() == [[0, 8]]
    assert second.tolist() == [[1.0, 0.0]]
    assert first.dtype == torch.int64


def test_without_a_mask_elements_are_numbered_across_inputs() -> None:
    assert Players((torch.ones(1, 2), torch.ones(1))).layout.feature_ids == (0, 1, 2)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.half, torch.bfloat16, torch.double])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    (result,) = masked(torch.ones(1, 2, dtype=dtype), [True, False], baselines=0)
    assert result.dtype == dtype
    assert result.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    "baseline",
    [0, 2, 1.5, torch.tensor(3.0), torch.ones(1, 1), torch.ones(1, 2, 3), torch.rand(2, 2, 3), torch.rand(3),
     torch.rand(2, 1), float("nan"), float("inf"), torch.full((1, 2, 3), 2, dtype=torch.int64)],
)  # fmt: skip
def test_absent_players_take_the_baseline(baseline: Any) -> None:
    mask = torch.tensor([0, 0, 1])
    (result,) = masked(X, [False, True], baseline, mask)
    expected = torch.as_tensor(baseline).to(X.dtype).expand(X.shape)
    torch.testing.assert_close(result[..., :2], expected[..., :2], equal_nan=True)
    assert torch.equal(result[..., 2], X[..., 2])


def test_present_inf_and_nan_inputs_survive_and_absent_ones_vanish() -> None:
    x = torch.tensor([[float("nan"), float("inf")]])
    (result,) = masked(x, [False, True])
    assert result.tolist() == [[0.0, float("inf")]]


def test_float64_baselines_are_not_rounded_to_float32() -> None:
    (result,) = masked(torch.ones(1, 1, dtype=torch.float64), [False], 0.1)
    assert result.item() == 0.1


def test_rows_are_perturbation_major() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    (result,) = Players(x).masked(torch.tensor([[True, False], [False, True]]))
    assert result.tolist() == [[1, 0], [3, 0], [0, 2], [0, 4]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0],), TypeError, "inputs must be a tensor"),
        (((),), TypeError, "inputs must be"),
        ((torch.tensor(1.0),), ValueError, "batch dimension"),
        (((torch.ones(2, 1), torch.ones(3, 1)),), ValueError, r"one batch size.*\[2, 3\]"),
        ((torch.ones(0, 1),), ValueError, "batch size"),
        ((torch.ones(1, 0),), ValueError, "no elements"),
        ((X, (0, 0)), ValueError, "baselines must have one entry per input: got 2 for 1"),
        (((X, X), 0), ValueError, "baselines must have one entry"),
        ((X, "zero"), TypeError, "baselines must be"),
        ((X, torch.ones(4)), ValueError, r"baselines of shape \(4,\) does not broadcast"),
        ((X, torch.ones(2, 2, 2, 3)), ValueError, "does not broadcast"),
        ((X.long(), 0.5), TypeError, "baselines holds values"),
        ((X.long(), torch.tensor(float("nan"))), TypeError, "baselines holds"),
        ((X.to(torch.uint8), 300), TypeError, "baselines holds"),
        ((X.to(torch.uint8), -1), TypeError, "baselines holds"),
        ((X > 3, 2), TypeError, "baselines holds"),
        ((X.half(), 1e6), TypeError, "baselines holds"),
        ((X, None, torch.tensor([0.5, 1, 2])), TypeError, "feature_mask must hold integer"),
        ((X, None, torch.tensor([float("nan"), 1, 2])), TypeError, "feature_mask must hold integer"),
        ((X, None, torch.tensor([float("inf"), 1, 2])), TypeError, "feature_mask must hold finite"),
        ((X, None, torch.zeros(4, dtype=torch.long)), ValueError, r"feature_mask of shape \(4,\)"),
        (((X, X), None, (torch.zeros(3, dtype=torch.long),)), ValueError, "feature_mask must have one entry"),
        (((X, X), None, torch.zeros(3, dtype=torch.long)), ValueError, "feature_mask must have one entry"),
        ((X, None, [0, 1, 2]), TypeError, "feature_mask must be an integer tensor"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Players(*arguments)
