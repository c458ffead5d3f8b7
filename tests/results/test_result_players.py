"""Parts of a result: their positions, tables and names are those of the whole; they share no memory with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from captum_andor import AndOrExplanation, AndOrInteractions, Interaction, LogicalModel
from captum_andor.results.result_players import Axes

RESULTS = {
    "explanation": lambda v: AndOrExplanation.from_values(v, split="even"),
    "logical model": lambda v: LogicalModel.from_values(v, max_patterns=3),
}
WHOLE = np.arange(24).reshape(2, 3, 4)
INDICES = [
    0, -1, np.int64(1), (0, 2), (1, -3, 3), slice(1, None), slice(None, None, -1), (slice(None), 1), ..., (..., 2),
    (1, ..., slice(None, None, -2)), (slice(0, 0), 1), (0, slice(2, 0, -1), slice(1, 9, 2)), (),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES)
def test_axes_follow_numpy(index: Any) -> None:
    from captum_andor.results.result_players import standard_index, take

    picks = standard_index(index, (2, 3, 4))
    part = WHOLE[index]
    assert np.array_equal(take(torch.from_numpy(WHOLE), picks).numpy(), part)
    axes = Axes.of((2, 3, 4)).pick(picks)
    assert axes.shape == np.shape(part)
    places = axes.places(np.arange(np.size(part)))
    assert np.array_equal(WHOLE[tuple(places)], np.ravel(part))


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("index", INDICES)
def test_a_part_holds_the_patterns_of_the_whole(kind: str, index: Any) -> None:
    whole = RESULTS[kind](torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(0)))
    part = whole[index]
    kept = {tuple(np.argwhere(number == WHOLE)[0]) for number in np.ravel(WHOLE[index])}
    assert part.shape == np.shape(WHOLE[index])
    assert sorted(map(repr, part.top(2))) == sorted(repr(i) for i in whole.top(2) if i.index in kept)


@pytest.mark.parametrize("kind", RESULTS)
def test_tables_of_parts_concatenate_to_that_of_the_whole(kind: str, tmp_path: Path) -> None:
    whole = RESULTS[kind](torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)))
    parts = [whole[0], whole[1, 2:], whole[1:, :2]]
    together = pd.concat([part.to_dataframe() for part in parts]).sort_values(
        ["sample", "output", "value"], ignore_index=True
    )
    expected = whole.to_dataframe().sort_values(["sample", "output", "value"], ignore_index=True)
    pd.testing.assert_frame_equal(together, expected)
    parts[1].save(tmp_path / "part")
    assert type(whole).load(tmp_path / "part").axes == parts[1].axes
    assert whole[1][2].top(1)[0].index == (1, 2)


@pytest.mark.parametrize("index", [..., 0, slice(1), slice(None)])
@pytest.mark.parametrize("kind", RESULTS)
def test_writing_into_a_part_leaves_the_whole_alone(kind: str, index: Any) -> None:
    whole = RESULTS[kind](torch.randn(2, 8, generator=torch.Generator().manual_seed(0)))
    before = whole.shapley_values(), whole.values.clone()
    part = whole[index]
    for name in ("values", "and_values", "constant", "r2"):
        if hasattr(part, name):
            getattr(part, name).fill_(7.0)
    assert torch.equal(whole.shapley_values(), before[0]) and torch.equal(whole.values, before[1])


def test_masks_of_examples_follow_a_reversed_slice() -> None:
    mask = torch.tensor([[0, 0, 1], [0, 1, 1]])
    ex = AndOrInteractions(lambda x: x.prod(1)).interactions(torch.tensor([[1.0, 2, 3], [4, 5, 6]]), feature_mask=mask)
    assert torch.equal(ex[::-1].attributions(), ex.attributions().flip(0))


NAMES = ("ear", "eye", "nose")


@pytest.mark.parametrize("names", [NAMES, {7: "eye", 3: "ear", 9: "nose"}])
def test_names_of_players_are_printed_and_tabled(names: Any, tmp_path: Path) -> None:
    mask = torch.tensor([[3, 7, 9]])
    method = AndOrInteractions(lambda x: x[:, 0] * x[:, 1] + x[:, 2])
    ex = method.interactions(torch.ones(1, 3), feature_mask=mask, player_names=names)
    lm = method.logical_model(torch.ones(1, 3), feature_mask=mask, player_names=names)
    for result in (ex, lm, ex.logical_model(), ex[0], lm[0]):
        assert result.player_names == NAMES
        assert "{ear, eye}" in repr(result) and "AND" in repr(result)
        table = result.to_dataframe()
        assert dict(zip(table["players"], table["names"], strict=True)) == {(3, 7): ("ear", "eye"), (9,): ("nose",)}
        result.save(tmp_path / "named")
        assert type(result).load(tmp_path / "named").player_names == NAMES
    assert str(ex.top(1)[0]) in ("AND {ear, eye} +1", "AND {nose} +1")


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        (("a", "b"), ValueError, "2 names for 3 players"),
        ({0: "a", 1: "b", 5: "c"}, ValueError, r"lacks \[2\] and has \[5\]"),
        ("abc", TypeError, "must be a sequence or a mapping"),
        (("a", "b", 3), TypeError, "must hold strings"),
    ],
)
@pytest.mark.parametrize("made", [AndOrExplanation.from_values, LogicalModel.from_values])
def test_wrong_names_are_errors(made: Any, names: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        made([0.0] * 7 + [1.0], player_names=names)


def test_coalitions_are_named_by_ids() -> None:
    ex = AndOrInteractions(lambda x: x @ torch.tensor([1.0, 10, 100])).interactions(
        torch.ones(1, 3), feature_mask=torch.tensor([[9, 3, 7]])
    )
    given = ex.coalitions_of([(), {9}, [3, 7]])
    assert given.tolist() == [[False] * 3, [False, False, True], [True, True, False]]
    assert ex.predict(given)[0].tolist() == pytest.approx([0.0, 1.0, 110.0], abs=1e-9)
    for wrong in (3, [3], {3}):
        with pytest.raises(TypeError, match="players must be a sequence of sets of feature ids"):
            ex.coalitions_of(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"players has 4, which is none of the feature ids \(3, 7, 9\)"):
        ex.coalitions_of([[4]])


def test_salient_is_a_sequence_equal_to_a_list() -> None:
    ex = AndOrExplanation.from_values([[0.0, 1.0, 2.0, 9.0], [0.0, 3.0, 0.0, 0.0]], split="and")
    found = ex.salient(0.0)
    listed = [
        Interaction((0,), "and", (0, 1), 6.0),
        Interaction((0,), "and", (1,), 2.0),
        Interaction((0,), "and", (0,), 1.0),
        Interaction((1,), "and", (0,), 3.0),
        Interaction((1,), "and", (0, 1), -3.0),
    ]
    assert found == listed and listed == found and found != listed[:-1] and repr(found) == repr(listed)
    assert len(found) == 5 and found[-1] == listed[-1] and found[1:4] == listed[1:4] and found[::-1] == listed[::-1]
    assert listed[2] in found and found + listed == listed + found
    with pytest.raises(IndexError, match="out of range for 5"):
        found[5]


def test_the_mask_of_salience_is_that_of_the_list() -> None:
    ex = AndOrExplanation.from_values(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)), split="even")
    for threshold in (None, 0.0, 0.5, torch.tensor([0.1, 9.0])):
        mask = ex.is_salient(threshold)
        assert mask.shape == (2, 2, 16) and int(mask.sum()) == len(ex.salient(threshold))
        profile = torch.zeros(2, 2, 5, dtype=torch.float64)
        for i in ex.salient(threshold):
            profile[i.index[0], int(i.value < 0), i.order] += i.value
        torch.testing.assert_close(ex.order_strength(threshold), profile)
