from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor

from captum_andor import AndOrExplanation, AndOrInteractions, Interaction, LogicalModel
from captum_andor.results import named

SHAPES = [(), (3,), (2, 3)]
TENSORS = ("values", "and_values", "or_values", "noise", "l1", "duality_gap")


def explain(shape: tuple[int, ...] = (), n: int = 3, seed: int = 0, **options: object) -> AndOrExplanation:
    v = torch.randn(*shape, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return AndOrExplanation.from_values(v, **options)


def flat(x: Tensor, n_axes: int = 1) -> Tensor:
    return x.reshape(-1, *x.shape[-n_axes:])


def from_model(is_tuple: bool = False) -> AndOrExplanation:
    """Two examples, each with its own feature mask."""
    x = torch.arange(8.0).reshape(2, 4) + 1
    mask = torch.tensor([[2, 2, 5, 7], [2, 5, 7, 7]])
    if not is_tuple:
        return AndOrInteractions(lambda a: a.prod(1) + a[:, 0]).interactions(x, feature_mask=mask)
    method = AndOrInteractions(lambda a, b: a.prod(1) + b.sum((1, 2)))
    second = torch.full((1, 2, 3), 2)
    return method.interactions((x, torch.ones(2, 2, 3)), feature_mask=(mask, second))


@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_carry_the_leading_shape(shape: tuple[int, ...]) -> None:
    ex = explain(shape)
    assert ex.shape == shape and ex.n_players == 3 and ex.feature_ids == (0, 1, 2)
    assert all(getattr(ex, name).shape == (*shape, 8) for name in TENSORS[:4])
    assert ex.l1.shape == ex.duality_gap.shape == ex.fidelity().shape == shape
    assert ex.shapley_values().shape == (*shape, 3)
    assert ex.order_strength().shape == (*shape, 2, 4)
    assert all(getattr(ex, name).dtype == torch.float64 for name in TENSORS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise_bound", [0.0, 0.3])
def test_shapley_values_are_those_of_v(shape: tuple[int, ...], noise_bound: float) -> None:
    ex = explain(shape, noise_bound=noise_bound)
    for v, shapley in zip(flat(ex.values), flat(ex.shapley_values()), strict=True):
        torch.testing.assert_close(shapley, oracles.shapley_values(v))


@pytest.mark.parametrize("split", ["sparse", "and", "or", "even"])
def test_shapley_values_share_the_interactions_of_every_split(split: str) -> None:
    ex = explain(n=4, split=split)
    shared = torch.zeros(4, dtype=torch.float64)
    for t in oracles.subsets(range(4)):
        for player in t:
            shared[player] += (ex.and_values + ex.or_values)[oracles.code(t)] / len(t)
    torch.testing.assert_close(ex.shapley_values(), shared)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise_bound", [0.0, 0.3])
def test_predict_is_the_surrogate_and_matches_v_plus_noise(shape: tuple[int, ...], noise_bound: float) -> None:
    ex = explain(shape, noise_bound=noise_bound)
    everything = sorted(oracles.subsets(range(3)), key=oracles.code)
    coalitions = torch.tensor([[i in s for i in range(3)] for s in everything])
    h = ex.predict(coalitions)
    for a, b, row in zip(flat(ex.and_values), flat(ex.or_values), flat(h), strict=True):
        torch.testing.assert_close(row, oracles.surrogate(a, b))
    torch.testing.assert_close(h, ex.values + ex.noise)
    assert torch.equal(ex.predict(coalitions.expand(*shape, 8, 3)), h)
    assert ex.predict(coalitions[:2]).shape == (*shape, 2)
    assert float(ex.fidelity().max()) < 1e-12


def test_predict_takes_coalitions_of_each_output() -> None:
    ex = explain((2,))
    coalitions = torch.tensor([[[True, False, False]], [[False, True, True]]])
    torch.testing.assert_close(ex.predict(coalitions), torch.stack([ex.values[0, [1]], ex.values[1, [6]]]))


@pytest.mark.parametrize("coalitions", [torch.ones(2, 3), [[True] * 3], torch.ones(2, 3, dtype=torch.int64)])
def test_predict_wants_bool(coalitions: object) -> None:
    with pytest.raises(TypeError, match="must be a bool tensor"):
        explain().predict(coalitions)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (5, 2, 3)])
def test_predict_wants_the_players_and_the_leading_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"coalitions must have shape \(m, 3\)"):
        explain((3,)).predict(torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("shape", SHAPES)
def test_order_strength_sums_each_sign_by_order(shape: tuple[int, ...]) -> None:
    ex = explain(shape)
    for a, b, strength in zip(flat(ex.and_values), flat(ex.or_values), flat(ex.order_strength(), 2), strict=True):
        expected = torch.zeros(2, 4, dtype=torch.float64)
        for t in oracles.subsets(range(3))[1:]:
            for value in (float(a[oracles.code(t)]), float(b[oracles.code(t)])):
                expected[int(value < 0), len(t)] += value
        torch.testing.assert_close(strength, expected)
    torch.testing.assert_close(ex.order_strength().abs().sum((-2, -1)), ex.l1)


def strengths(ex: AndOrExplanation) -> list[Interaction]:
    """Every non-zero interaction of one game, strongest first, by brute force."""
    found = [
        Interaction((), kind, tuple(sorted(t)), float(values[oracles.code(t)]))
        for kind, values in (("and", ex.and_values), ("or", ex.or_values))
        for t in oracles.subsets(range(ex.n_players))[1:]
        if float(values[oracles.code(t)])
    ]
    return sorted(found, key=lambda i: -abs(i.value))


@pytest.mark.parametrize("threshold", [None, 0.0, 0.3, torch.tensor(0.3)])
def test_salient_keeps_what_reaches_the_threshold(threshold: float | Tensor | None) -> None:
    ex = explain(n=4, split="even")
    everything = strengths(ex)
    cut = 0.05 * abs(everything[0].value) if threshold is None else float(threshold)
    assert ex.salient(threshold) == [i for i in everything if abs(i.value) >= cut]


def test_salient_by_default_cuts_each_output_at_a_twentieth_of_its_own_strongest() -> None:
    v = torch.zeros(2, 4, dtype=torch.float64)
    v[0] = torch.tensor([0.0, 1.0, 0.05, 1.05])
    v[1] = torch.tensor([0.0, 100.0, 4.9, 104.9])
    found = AndOrExplanation.from_values(v, split="and").salient()
    assert [(i.index, i.players) for i in found] == [((0,), (0,)), ((0,), (1,)), ((1,), (0,))]


def test_salient_takes_one_threshold_for_each_output() -> None:
    ex = explain((2, 3), split="even")
    cut = torch.tensor([[0.1, 0.2, 99.0], [0.5, 0.0, 1.0]], dtype=torch.float64)
    expected = [
        dataclasses.replace(i, index=(row, column))
        for row in range(2)
        for column in range(3)
        for i in ex[row, column].salient(float(cut[row, column]))
    ]
    assert ex.salient(cut) == expected and all(i.index != (0, 2) for i in expected)


@pytest.mark.parametrize("threshold", [-1.0, math.nan])
def test_salient_rejects_a_threshold_that_is_no_strength(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be ≥ 0"):
        explain().salient(threshold)


def test_a_constant_game_has_nothing_salient() -> None:
    ex = AndOrExplanation.from_values([2.0] * 8)
    assert ex.salient() == ex.salient(0.0) == ex.top() == []


@pytest.mark.parametrize("k", [1, 4, 1000])
def test_top_is_the_strongest_first(k: int) -> None:
    ex = explain(n=4, split="even")
    assert ex.top(k) == strengths(ex)[:k]


def test_top_counts_for_each_output() -> None:
    assert [i.index for i in explain((2, 2), split="even").top(2)] == [(0, 0)] * 2 + [(0, 1)] * 2 + [(1, 0)] * 2 + [
        (1, 1)
    ] * 2


@pytest.mark.parametrize("k", [0, -1, 2.0, True])
def test_top_wants_a_positive_int(k: object) -> None:
    with pytest.raises(ValueError, match="k must be an int ≥ 1"):
        explain().top(k)


def test_an_interaction_prints_itself_and_knows_its_order() -> None:
    interaction = Interaction((0,), "or", (2, 7), -0.5)
    assert interaction.order == 2 and str(interaction) == "OR  {2, 7} -0.5"


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((), []),
        ((2,), ["sample"]),
        ((2, 3), ["sample", "output"]),
        ((1, 2, 2), ["sample", "output", "output_1"]),
    ],
)
def test_dataframe_has_one_row_for_each_interaction(shape: tuple[int, ...], names: list[str]) -> None:
    ex = explain(shape, split="even")
    table = ex.to_dataframe()
    assert list(table.columns) == [*names, "kind", "players", "order", "value"]
    assert len(table) == len(ex.salient(0.0))
    rows = [(*i.index, i.kind, i.players, i.order, i.value) for i in ex.salient(0.0)]
    assert list(table.itertuples(index=False, name=None)) == rows
    assert len(ex.to_dataframe(0.5)) == len(ex.salient(0.5)) < len(table)


@pytest.mark.parametrize("shape", [*SHAPES, (50,)])
def test_repr_is_short_and_names_the_strongest(shape: tuple[int, ...]) -> None:
    text = repr(explain(shape, n=4))
    assert "4 players, split='sparse'" in text and "l1=" in text and "duality gap" in text
    first = explain(shape, n=4)[(0,) * len(shape)]
    assert f"  {first._measured(1)[0][1].together:+.3g}  {named(first.top(1)[0])}" in text
    assert len(text.splitlines()) <= 31 and max(map(len, text.splitlines())) <= 100


def test_repr_shows_no_gap_where_none_was_sought() -> None:
    assert "gap" not in repr(explain(split="even"))


@pytest.mark.parametrize("index", [0, -1, np.int64(1), slice(0, 1), (0, 2), (slice(None), 1), (1, slice(0, 2))])
def test_indexing_indexes_every_tensor(index: object) -> None:
    ex = explain((2, 3))
    for name in TENSORS:
        assert torch.equal(getattr(ex[index], name), getattr(ex, name)[index])


def test_iteration_yields_each_output() -> None:
    ex = explain((3,))
    assert len(ex) == 3
    assert [float(one.l1) for one in ex] == ex.l1.tolist()


def test_a_single_game_has_no_length() -> None:
    with pytest.raises(TypeError, match="no length"):
        len(explain())


@pytest.mark.parametrize("index", [(0, 0), "a", None, (..., ...), [0], 7, -4, (0, ..., 0), 1.0])
def test_bad_index_is_an_error(index: object) -> None:
    with pytest.raises(IndexError):
        explain((3,))[index]


def test_indexing_keeps_the_mask_of_each_example() -> None:
    ex = from_model()
    whole = ex.attributions()
    for i in (0, 1, -1):
        assert torch.equal(ex[i].attributions().reshape(4), whole[i])


def test_attributions_need_inputs() -> None:
    with pytest.raises(ValueError, match="needs inputs"):
        explain().attributions()


def assert_same(one: AndOrExplanation, other: AndOrExplanation) -> None:
    for name in TENSORS:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)
    for name in ("feature_ids", "split", "shape"):
        assert getattr(one, name) == getattr(other, name)
    assert repr(one) == repr(other)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("split", ["sparse", "or"])
def test_load_returns_what_was_saved(tmp_path: Path, shape: tuple[int, ...], split: str) -> None:
    ex = explain(shape, split=split)
    ex.save(tmp_path / "explanation")
    assert [p.name for p in tmp_path.iterdir()] == ["explanation"]
    assert_same(AndOrExplanation.load(tmp_path / "explanation"), ex)
    assert_same(AndOrExplanation.load(str(tmp_path / "explanation")), ex)


@pytest.mark.parametrize("is_tuple", [False, True])
def test_load_keeps_masks_of_each_example_and_tuples_of_inputs(tmp_path: Path, is_tuple: bool) -> None:
    ex = from_model(is_tuple)
    assert ex.feature_ids == (2, 5, 7) and ex.players.layout is not None and ex.players.layout.per_example
    ex.save(tmp_path / "ex.npz")
    loaded = AndOrExplanation.load(tmp_path / "ex.npz")
    assert_same(loaded, ex)
    torch.testing.assert_close(loaded.attributions(), ex.attributions(), rtol=0, atol=0)
    assert isinstance(loaded.attributions(), tuple) == is_tuple


def test_the_file_holds_no_pickle(tmp_path: Path) -> None:
    from_model().save(tmp_path / "ex.npz")
    with np.load(tmp_path / "ex.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def wrong_file(kind: str, folder: Path) -> bytes:
    buffer = io.BytesIO()
    if kind == "other archive":
        np.savez(buffer, x=np.zeros(3))
    elif kind == "other header":
        np.savez(buffer, header=np.array(json.dumps({"format": "other"})))
    elif kind == "header is no json":
        np.savez(buffer, header=np.array("hello"))
    elif kind == "single array":
        np.save(buffer, np.zeros(3))
    elif kind == "truncated":
        explain().save(folder / "whole")
        buffer.write((folder / "whole").read_bytes()[:-40])
    elif kind == "damaged":
        explain().save(folder / "whole")
        whole = (folder / "whole").read_bytes()
        buffer.write(whole[:80] + bytes(60) + whole[140:])
    elif kind == "text":
        buffer.write(b"hello, world")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "text",
        "single array",
        "other archive",
        "other header",
        "header is no json",
        "truncated",
        "damaged",
    ],
)
def test_loading_another_file_is_an_error_that_names_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "wrong.npz"
    path.write_bytes(wrong_file(kind, tmp_path))
    with pytest.raises(ValueError, match=r"wrong\.npz is not a file that AndOrExplanation.save wrote"):
        AndOrExplanation.load(path)


def test_loading_no_file_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AndOrExplanation.load(tmp_path / "nothing")


def test_loading_a_newer_version_says_so(tmp_path: Path) -> None:
    header = {"format": "captum_andor.AndOrExplanation", "version": 99}
    np.savez(tmp_path / "new.npz", header=np.array(json.dumps(header)))
    with pytest.raises(ValueError, match=r"format version 99.*Upgrade"):
        AndOrExplanation.load(tmp_path / "new.npz")


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ex.npz"
    old = explain(seed=1)
    old.save(path)

    def fail(file: io.BufferedWriter, **arrays: object) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(np, "savez_compressed", fail)
        explain(seed=2).save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["ex.npz"]
    assert_same(AndOrExplanation.load(path), old)


@pytest.mark.parametrize("split", ["sparse", "and", "or", "even"])
def test_to_shapiq_equals_the_moebius_transform_of_shapiq(split: str) -> None:
    shapiq = pytest.importorskip("shapiq")
    ex = explain(n=4, split=split)

    def game(coalitions: np.ndarray) -> np.ndarray:
        return ex.values.numpy()[coalitions.astype(int) @ (1 << np.arange(4))]

    theirs = shapiq.ExactComputer(game=game, n_players=4)("Moebius")
    ours = ex.to_shapiq()
    for t in oracles.subsets(range(4))[1:]:
        assert ours[tuple(sorted(t))] == pytest.approx(theirs[tuple(sorted(t))], abs=1e-10)
    assert ours.index == "Moebius" and ours.n_players == 4
    assert ours.baseline_value == pytest.approx(float(ex.values[0]))


def test_or_terms_are_minus_the_moebius_transform_of_the_dual_game_of_shapiq() -> None:
    shapiq = pytest.importorskip("shapiq")
    ex = explain(n=4, split="or")

    def dual(coalitions: np.ndarray) -> np.ndarray:
        return ex.values.numpy()[(~coalitions.astype(bool)).astype(int) @ (1 << np.arange(4))]

    theirs = shapiq.ExactComputer(game=dual, n_players=4)("Moebius")
    for t in oracles.subsets(range(4))[1:]:
        ours = float((ex.or_values if len(t) > 1 else ex.and_values)[oracles.code(t)])
        assert ours == pytest.approx(-theirs[tuple(sorted(t))], abs=1e-10)


def test_of_several_outputs_shapiq_gets_a_list() -> None:
    pytest.importorskip("shapiq")
    assert explain((1,)).to_shapiq().n_players == 3
    batch = explain((2, 3))
    several = batch.to_shapiq()
    assert len(several) == 6 and several[4][(0, 2)] == pytest.approx(batch[1, 1].to_shapiq()[(0, 2)], rel=1e-12)


def test_what_shapiq_computed_comes_back_as_the_same_game() -> None:
    shapiq = pytest.importorskip("shapiq")
    ex = explain(n=4)
    back = AndOrExplanation.from_shapiq(ex.to_shapiq())
    assert torch.allclose(back.values, ex.values, atol=1e-12)
    assert torch.allclose(back.l1, ex.l1, rtol=2e-3)
    with pytest.raises(ValueError, match="of index 'k-SII'"):
        AndOrExplanation.from_shapiq(shapiq.ExactComputer(lambda c: c.sum(1), n_players=3)("k-SII", order=2))
    with pytest.raises(TypeError, match="must be a shapiq.InteractionValues; got dict"):
        AndOrExplanation.from_shapiq({})


def test_a_logical_model_gives_shapiq_its_few_terms() -> None:
    pytest.importorskip("shapiq")
    model = explain(n=4).logical_model(max_patterns=3)
    ours = model.to_shapiq()
    assert torch.allclose(AndOrExplanation.from_shapiq(ours).values, model._surrogate_values(), atol=1e-9)
    few = LogicalModel.from_values(torch.tensor([0.0, 1, 0, 1, 0, 1, 0, 3]), max_patterns=5).to_shapiq()
    assert set(few.interaction_lookup) == {(), (0,), (0, 1, 2)}


@pytest.mark.parametrize("kind", ["list", "array", "float32 tensor", "int array", "tensor with grad"])
def test_from_values_takes_any_real_numbers(kind: str) -> None:
    v: object = [0, 1, 2, 5]
    if kind == "float32 tensor":
        v = torch.tensor(v, dtype=torch.float32)
    elif kind == "tensor with grad":
        v = torch.tensor(v, dtype=torch.float64, requires_grad=True)
    elif kind != "list":
        v = np.array(v, dtype=float if kind == "array" else int)
    ex = AndOrExplanation.from_values(v)
    assert ex.values.tolist() == [0.0, 1.0, 2.0, 5.0] and not ex.values.requires_grad
    assert ex.l1.item() == pytest.approx(5.0)


def test_from_values_keeps_a_copy() -> None:
    v = np.array([0.0, 1.0, 2.0, 5.0])
    ex = AndOrExplanation.from_values(v, split="and")
    v[:] = 9.0
    assert ex.values.tolist() == [0.0, 1.0, 2.0, 5.0]


def test_from_values_of_no_players_is_a_constant() -> None:
    ex = AndOrExplanation.from_values([3.0])
    assert ex.n_players == 0 and ex.top() == ex.salient() == []
    assert ex.predict(torch.ones(2, 0, dtype=torch.bool)).tolist() == [3.0, 3.0]
    assert ex.shapley_values().shape == (0,) and ex.order_strength().tolist() == [[0.0], [0.0]]
    assert "0 players" in repr(ex)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_from_values_names_the_value_that_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match=r"v must be finite; got (nan|inf) at position \(1, 2\)"):
        AndOrExplanation.from_values([[0.0, 1.0, 2.0, 5.0], [0.0, 1.0, bad, 5.0]])


@pytest.mark.parametrize("v", [[1.0, 2.0, 3.0], [], 3.0])
def test_from_values_wants_two_to_the_n_values(v: object) -> None:
    with pytest.raises(ValueError, match=r"last axis of length 2\^n"):
        AndOrExplanation.from_values(v)


def test_from_values_wants_real_numbers() -> None:
    with pytest.raises(TypeError, match="v must be real"):
        AndOrExplanation.from_values(torch.zeros(4, dtype=torch.complex64))


def test_from_values_checks_its_options() -> None:
    for options in ({"split": "best"}, {"noise_bound": -1.0}, {"tolerance": 2.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            AndOrExplanation.from_values([0.0, 1.0], **options)


@pytest.mark.parametrize("index", ["SII", "k-SII", "STII"])
def test_to_shapiq_of_another_index_and_order(index: str) -> None:
    pytest.importorskip("shapiq")
    v = torch.rand(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ex = AndOrExplanation.from_values(v)
    ours, wanted = ex.to_shapiq(index=index, max_order=3), ex.interaction_index(index, 3)
    assert ours.index == index and ours.max_order == 3
    for players in ((0,), (1, 3), (0, 2, 3)):
        assert ours[players] == pytest.approx(float(wanted[sum(1 << i for i in players)]), abs=1e-12)
    short = ex.to_shapiq(max_order=1)
    assert short[(2,)] == pytest.approx(float(v[4] - v[0])) and (0, 1) not in short.interaction_lookup
    with pytest.raises(ValueError, match="max_order must be 1 to the number of players, 4; got 5"):
        ex.to_shapiq(max_order=5)


def test_to_shap_holds_shapley_values_and_what_they_start_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """shap is not among the packages of the tests: a stand-in keeps what its Explanation is given."""
    made = types.SimpleNamespace(Explanation=lambda **given: types.SimpleNamespace(**given))
    monkeypatch.setitem(sys.modules, "shap", made)
    v = torch.rand(2, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ex = AndOrExplanation.from_values(v, player_names=["a", "b", "c"])
    found = ex.to_shap(data=[1.0, 2.0, 3.0])
    assert found.values.shape == (2, 3) and found.feature_names == ["a", "b", "c"]
    assert (found.base_values + found.values.sum(1)).tolist() == pytest.approx(v[:, -1].tolist())
    one = ex[0].to_shap()
    assert one.values.shape == (3,) and one.base_values == pytest.approx(float(v[0, 0])) and one.data is None
    with pytest.raises(ValueError, match=r"data must have the shape \(2, 3\) or \(3,\)"):
        ex.to_shap(data=[1.0])
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match="to_shap.* needs shap"):
        ex.to_shap()
