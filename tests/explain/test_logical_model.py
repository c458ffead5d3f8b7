"""``LogicalModel`` from values: what it says, and that it is right."""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from pathlib import Path

import numpy as np
import oracles
import pattern_oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from captum_andor import AndOrExplanation, AndOrInteractions, Interaction, LogicalModel
from captum_andor.sampling.coalitions import held_out_at_random
from captum_andor.search.options import Options
from captum_andor.search.sampled_games import single_player_models

SHAPES = [(), (3,), (2, 3)]
EFFORTS = ["stable", "accurate", "high"]


def random_values(shape: tuple[int, ...] = (), n: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(*shape, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sample(n: int, m: int, seed: int = 0) -> Tensor:
    """Coin flips, with ∅ and N, each once."""
    rows = torch.rand(4 * m, n, generator=torch.Generator().manual_seed(seed)) < 0.5
    ends = torch.tensor([[False] * n, [True] * n])
    rows = torch.from_numpy(np.unique(rows.numpy(), axis=0))
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    return torch.cat([ends, rows[~(rows.all(1) | ~rows.any(1))]])[:m]


def found(lm: LogicalModel) -> set[tuple[bool, tuple[int, ...]]]:
    return {(p.kind == "or", p.players) for p in lm.patterns}


def everything(n: int) -> Tensor:
    return torch.from_numpy(pattern_oracles.rows(n))


def test_two_patterns_that_make_a_game_are_found_with_their_strengths() -> None:
    v = pattern_oracles.values({(False, (0, 2)): 3.0, (True, (1, 3)): -2.0}, pattern_oracles.rows(4))
    lm = LogicalModel.from_values(v + 0.5)
    assert lm.patterns == [
        Interaction((), "and", (0, 2), pytest.approx(3.0)),
        Interaction((), "or", (1, 3), pytest.approx(-2.0)),
    ]
    assert float(lm.r2) == 1.0 and float(lm.constant) == pytest.approx(0.5) and lm.is_exact


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("exact_ends", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_r2_and_path_are_those_of_the_predictions(shape: tuple[int, ...], exact_ends: bool, effort: str) -> None:
    v = random_values(shape)
    lm = LogicalModel.from_values(v, max_patterns=5, effort=effort, exact_ends=exact_ends)
    assert lm.shape == shape and lm.constant.shape == lm.r2.shape == shape
    assert lm.r2_interval.shape == (*shape, 2) and lm.values.shape == (*shape, 16)
    h = lm.predict(everything(4))
    mean = v.mean(-1, keepdim=True)
    torch.testing.assert_close(lm.r2, 1 - (v - h).square().sum(-1) / (v - mean).square().sum(-1))
    torch.testing.assert_close(lm.r2_path[..., -1], lm.r2)
    assert not bool(lm.r2_path[..., 0].any())
    assert bool((lm.r2_path.diff(dim=-1)[..., 1:] > -1e-9).all())
    counts = [sum(p.index == index for p in lm.patterns) for index in product(*map(range, shape))]
    assert all(0 < count <= 5 for count in counts)
    for index in product(*map(range, shape)):
        mine = [abs(p.value) for p in lm.patterns if p.index == index]
        assert mine == sorted(mine, reverse=True)
    if exact_ends:
        torch.testing.assert_close(h[..., [0, -1]], v[..., [0, -1]])
        torch.testing.assert_close(lm.shapley_values().sum(-1), v[..., -1] - v[..., 0])


@pytest.mark.parametrize("effort", EFFORTS)
def test_more_effort_explains_no_less(effort: str) -> None:
    v = random_values((6,), n=6)
    for exact_ends in (True, False):
        r2 = [
            LogicalModel.from_values(v, max_patterns=6, effort=e, exact_ends=exact_ends).r2.mean()
            for e in ("stable", effort)
        ]
        assert r2[1] >= r2[0] - 1e-9


def test_exact_ends_cost_r2_on_average() -> None:
    v = random_values((12,), n=5)
    bound, free = (LogicalModel.from_values(v, effort="high", exact_ends=ends) for ends in (True, False))
    assert bound.r2.mean() <= free.r2.mean() < bound.r2.mean() + 0.1


@pytest.mark.parametrize("n", range(1, 17))
@pytest.mark.parametrize("effort", EFFORTS)
def test_additive_games_come_back_as_their_players(n: int, effort: str) -> None:
    weights = np.random.default_rng(n).uniform(0.5, 2, n) * np.random.default_rng(n + 1).choice([-1, 1], n)
    lm = LogicalModel.from_values(pattern_oracles.rows(n) @ weights, max_patterns=None, effort=effort)
    assert {p.players[0]: p.value for p in lm.patterns} == pytest.approx(dict(enumerate(weights)))
    assert all(p.order == 1 and p.kind == "and" for p in lm.patterns) and float(lm.r2) == 1.0


@pytest.mark.parametrize("kind", ["additive and pairs", "patterns"])
@pytest.mark.parametrize("n", [8, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_high_effort_finds_the_shortest_exact_model(n: int, seed: int, kind: str) -> None:
    if kind == "patterns":
        terms, v = pattern_oracles.planted(n, 14 + seed * 5, seed)
    else:
        generator = np.random.default_rng(seed)
        terms = {(False, (i,)): float(generator.uniform(0.5, 2)) for i in range(n)}
        terms |= {(bool(i % 2), (i, i + 2)): float(generator.uniform(0.5, 2)) for i in range(3)}
        v = pattern_oracles.values(terms, pattern_oracles.rows(n))
    lm = LogicalModel.from_values(v, max_patterns=None, min_r2=1.0, effort="high")
    assert pattern_oracles.canonical(found(lm)) == pattern_oracles.canonical(set(terms))
    assert float(lm.r2) >= 1 - 1e-9


@pytest.mark.parametrize("effort", EFFORTS)
def test_min_r2_stops_each_output_as_soon_as_it_is_reached(effort: str) -> None:
    easy = torch.from_numpy(
        pattern_oracles.values({(False, (0, 1)): 1.0, (True, (2, 4)): 2.0}, pattern_oracles.rows(5))
    )
    v = torch.stack([easy, random_values(n=5), torch.zeros(32, dtype=torch.float64)])
    lm = LogicalModel.from_values(v, max_patterns=None, min_r2=0.9, effort=effort)
    assert bool((lm.r2 >= 0.9).all())
    counts = [sum(p.index == (i,) for p in lm.patterns) for i in range(3)]
    assert counts[0] <= 2 < counts[1] and counts[2] == 0
    if effort == "stable":
        assert float(lm.r2_path[1, counts[1] - 1]) < 0.9
    few = LogicalModel.from_values(v, max_patterns=3, min_r2=0.999, effort=effort)
    assert sum(p.index == (1,) for p in few.patterns) == 3


def test_without_any_limit_a_model_is_exact() -> None:
    v = random_values((2,), n=4)
    lm = LogicalModel.from_values(v, max_patterns=None)
    assert bool((lm.r2 >= 1 - 1e-9).all())
    torch.testing.assert_close(lm.predict(everything(4)), v, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kinds", ["and", "or", ("and",), ["or"], ("and", "or")])
def test_kinds_and_orders_are_kept(kinds: object) -> None:
    lm = LogicalModel.from_values(random_values((4,), n=5), kinds=kinds, max_order=3)
    allowed = (kinds,) if isinstance(kinds, str) else kinds
    assert all(p.order <= 3 and (p.kind in allowed or p.order == 1) for p in lm.patterns)


@pytest.mark.parametrize("weights", ["size", "shapley", (0.0, 1.0, 2.0, 4.0, 1.0), [1, 1, 1, 1, 1]])
@pytest.mark.parametrize("exact_ends", [True, False])
def test_r2_is_that_of_the_weights(weights: object, exact_ends: bool) -> None:
    v = random_values(n=4)
    lm = LogicalModel.from_values(v, max_patterns=4, weights=weights, exact_ends=exact_ends, effort="accurate")
    by_size = {
        "size": tuple(1 / math.comb(4, s) for s in range(5)),
        "shapley": (0.0, *(1 / (math.comb(4, s) * s * (4 - s)) for s in range(1, 4)), 0.0),
    }.get(weights if isinstance(weights, str) else "", weights)
    expected = pattern_oracles.r2(v.numpy(), lm.predict(everything(4)).numpy(), pattern_oracles.weighted(4, by_size))
    assert float(lm.r2) == pytest.approx(expected)
    uniform = LogicalModel.from_values(v, max_patterns=4, exact_ends=exact_ends, effort="accurate")
    assert (
        float(lm.r2)
        >= pattern_oracles.r2(v.numpy(), uniform.predict(everything(4)).numpy(), pattern_oracles.weighted(4, by_size))
        - 0.05
    )


def test_shapley_values_are_those_of_the_surrogate() -> None:
    lm = LogicalModel.from_values(random_values((2,)), max_patterns=6, exact_ends=False)
    h = lm.predict(everything(4))
    for row in range(2):
        torch.testing.assert_close(lm.shapley_values()[row], oracles.shapley_values(h[row]))


def test_order_strength_sums_by_order_and_sign() -> None:
    lm = LogicalModel.from_values(random_values((2,)), max_patterns=6)
    strength = torch.zeros(2, 2, 5, dtype=torch.float64)
    for p in lm.patterns:
        strength[p.index[0], int(p.value < 0), p.order] += p.value
    torch.testing.assert_close(lm.order_strength(), strength)


def test_the_table_has_a_row_for_each_pattern_with_its_t() -> None:
    lm = LogicalModel.from_values(random_values((2, 3)), max_patterns=3)
    table = lm.to_dataframe()
    assert list(table.columns) == ["sample", "output", "kind", "players", "order", "value", "t"]
    assert table["players"].tolist() == [p.players for p in lm.patterns] and (table["t"] > 0).all()
    assert list(zip(table["sample"], table["output"], strict=True)) == [p.index for p in lm.patterns]


def test_patterns_of_large_t_are_those_that_survive_noise() -> None:
    v = pattern_oracles.planted(8, 12, 3)[1]
    lm = LogicalModel.from_values(v + 0.2 * np.random.default_rng(0).standard_normal(256), max_patterns=20)
    true = set(pattern_oracles.planted(8, 12, 3)[0])
    t = dict(zip([(p.kind == "or", p.players) for p in lm.patterns], lm.t.tolist(), strict=True))
    assert min(t[p] for p in t if p in true) > np.median([t[p] for p in t if p not in true])


@pytest.mark.parametrize("k", [1, 3, 50])
def test_top_takes_the_strongest_of_each_output(k: int) -> None:
    lm = LogicalModel.from_values(random_values((2,)), max_patterns=5)
    for i in range(2):
        assert [p for p in lm.top(k) if p.index == (i,)] == [p for p in lm.patterns if p.index == (i,)][:k]


@pytest.mark.parametrize("index", [0, -1, slice(1, None), (0, 2), (slice(None), 1), (1, slice(0, 2))])
def test_indexing_is_the_model_of_these_outputs(index: object) -> None:
    v = random_values((2, 3))
    lm = LogicalModel.from_values(v, max_patterns=3)
    alone = LogicalModel.from_values(v[index], max_patterns=3)
    part = lm[index]
    assert part.shape == alone.shape and list(map(str, part.patterns)) == list(map(str, alone.patterns))
    torch.testing.assert_close(part.r2, alone.r2)
    torch.testing.assert_close(part.t, alone.t, rtol=1e-6, atol=0)
    torch.testing.assert_close(part.predict(everything(4)), alone.predict(everything(4)))
    assert len(list(lm)) == len(lm) == 2


def test_the_print_is_a_short_table() -> None:
    v = pattern_oracles.values({(False, (0, 2)): 3.0, (True, (1, 3)): -2.0}, pattern_oracles.rows(4)) + 0.5
    v[5] += 0.1  # AND of 0 and 2 alone
    header, summary, ends, head, *rows = repr(LogicalModel.from_values(v, max_patterns=2)).splitlines()
    assert header == "LogicalModel of one output, 4 players, exact R² over all 16 coalitions"
    assert summary.startswith("2 patterns, R² 0.99") and summary.endswith("% of the variance")
    assert ends == "score with everything removed 0.5, with everything present 1.5"
    assert head.split() == ["weight", "alone", "together", "pattern"]
    assert rows[0].split() == ["+3.01", "0,", "0", "+3.02", "AND", "{0,", "2}"]
    assert rows[1].split() == ["-2.01", "-2.02,", "-2.02", "-2.02", "OR", "{1,", "3}"] and rows[2].startswith(
        "weight: what a"
    )
    many = repr(LogicalModel.from_values(random_values((5,), n=6), max_patterns=20))
    assert "… 10 more in patterns" in many and "… and 2 more; index the result to see them." in many


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), scale=st.sampled_from([1e-300, 1e-8, 1e8, 1e300]), shift=st.sampled_from([0.0, 1.0]))
def test_scale_changes_nothing_but_the_strengths(seed: int, scale: float, shift: float) -> None:
    v = random_values((2,), n=6, seed=seed)  # few patterns of many: equal gains, which rounding decides, are rare
    one, other = (LogicalModel.from_values(x, max_patterns=6) for x in (v, (v + shift) * scale))
    assert [p.players for p in one.patterns] == [p.players for p in other.patterns]
    torch.testing.assert_close(other.r2, one.r2)
    torch.testing.assert_close(other.table.value / scale, one.table.value)
    torch.testing.assert_close(other.t, one.t, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other.predict(everything(6)) / scale - shift, one.predict(everything(6)))


@pytest.mark.parametrize("constant", [0.0, 3.7, 1e8, -1e-8])
def test_a_constant_game_has_r2_1_and_no_pattern(constant: float) -> None:
    v = torch.full((2, 16), constant, dtype=torch.float64)
    v[0, 3] += abs(constant) * 1e-16  # rounding is not a pattern
    for effort in EFFORTS:
        lm = LogicalModel.from_values(v, effort=effort)
        assert lm.patterns == [] and lm.r2.tolist() == [1.0, 1.0] and lm.constant.tolist() == [constant] * 2
        assert lm.predict(everything(4)).unique().tolist() == [constant] and "0 patterns" in repr(lm)
        assert lm.shapley_values().tolist() == [[0.0] * 4] * 2 and lm.to_dataframe().empty


def test_none_and_one_player() -> None:
    nobody, one = LogicalModel.from_values([3.0]), LogicalModel.from_values([[1.0, 3.0], [2.0, 2.0]])
    assert nobody.n_players == 0 and float(nobody.r2) == 1.0 and float(nobody.constant) == 3.0
    assert [str(p) for p in one.patterns] == ["AND {0} +2"] and one.r2.tolist() == [1.0, 1.0]


def test_inactive_players_are_in_no_pattern() -> None:
    v = random_values((4,), n=3)[..., torch.tensor([code & 0b11 | (code >> 1 & 0b100) for code in range(16)])]
    lm = LogicalModel.from_values(v, max_patterns=4)
    assert all(2 not in p.players for p in lm.patterns)


# ------------------------------------------------------------------------------------------------ samples


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("n", [6, 12, 30])
def test_planted_patterns_come_back_from_a_sample(n: int, effort: str) -> None:
    terms = pattern_oracles.planted(min(n, 8), 5, 0, largest=3)[0]
    rows = sample(n, 60 if n == 6 else 300)
    v = torch.from_numpy(pattern_oracles.values(terms, rows.numpy())) - 4
    lm = LogicalModel.from_values(v, rows, max_patterns=None, effort=effort)
    assert not lm.is_exact and lm.n_evaluations == len(rows) and float(lm.r2) == pytest.approx(1.0)
    fresh = sample(n, 50, seed=9)
    truth = torch.from_numpy(pattern_oracles.values(terms, fresh.numpy())) - 4
    torch.testing.assert_close(lm.predict(fresh), truth, atol=1e-3, rtol=0)
    if effort == "high" or n == 30:
        assert pattern_oracles.canonical(found(lm)) == pattern_oracles.canonical(set(terms))


def test_all_coalitions_in_any_order_are_a_complete_game() -> None:
    v = random_values((2,), n=5)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    one, other = LogicalModel.from_values(v), LogicalModel.from_values(v[:, order], everything(5)[order])
    assert other.is_exact and repr(one) == repr(other)
    assert repr(LogicalModel.from_values(v[:, order].numpy(), everything(5)[order].numpy())) == repr(one)


def test_repeated_coalitions_are_averaged() -> None:
    rows = sample(6, 40)
    v = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    twice = LogicalModel.from_values(torch.cat([v + noise, v - noise]), torch.cat([rows, rows]))
    once = LogicalModel.from_values(v, rows)
    assert [p.players for p in twice.patterns] == [p.players for p in once.patterns]
    torch.testing.assert_close(twice.table.value, once.table.value)


def test_held_out_r2_and_its_interval_tell_the_truth() -> None:
    inside, errors = [], []
    for seed in range(20):
        v = pattern_oracles.planted(10, 25, seed)[1]
        rows = sample(10, 400, seed)
        codes = (rows * (1 << torch.arange(10))).sum(1)
        lm = LogicalModel.from_values(torch.from_numpy(v)[codes], rows, exact_ends=False, seed=seed)
        truth = pattern_oracles.r2(v, lm.predict(everything(10)).numpy(), np.full(1024, 1 / 1024))
        low, high = lm.r2_interval.tolist()
        inside.append(low - 0.01 <= truth <= high + 0.01)
        errors.append(float(lm.r2) - truth)
    assert (
        np.mean(inside) >= 0.8 and -0.06 < np.mean(errors) < 0.02
    )  # the last fit has more coalitions: if anything, too low


def test_players_that_never_change_get_no_pattern() -> None:
    rows = sample(8, 100)
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.bool)], dim=1)
    v = rows[:, 0].double() + 2.0 * rows[:, 1] * rows[:, 8]
    lm = LogicalModel.from_values(v, rows, exact_ends=False)
    assert {p.players for p in lm.patterns} == {(0,), (1,)} and float(lm.r2) == pytest.approx(1.0)


def test_a_constant_sample_has_no_pattern() -> None:
    rows = sample(8, 100)
    lm = LogicalModel.from_values(torch.full((2, 100), 5.0), rows)
    assert lm.patterns == [] and lm.r2.tolist() == [1.0, 1.0] and lm.constant.tolist() == [5.0, 5.0]
    many = LogicalModel.from_values(torch.full((100,), 5.0), sample(30, 100))
    assert many.patterns == [] and float(many.r2) == 1.0


def test_min_r2_on_a_sample_is_that_of_held_out_coalitions() -> None:
    v = pattern_oracles.planted(10, 25, 0)[1]
    rows = sample(10, 500)
    codes = (rows * (1 << torch.arange(10))).sum(1)
    for effort in ("stable", "accurate"):
        lm = LogicalModel.from_values(torch.from_numpy(v)[codes], rows, max_patterns=None, min_r2=0.8, effort=effort)
        assert 0.75 <= float(lm.r2) <= 0.95


def test_cross_validation_stops_where_noise_begins() -> None:
    v = pattern_oracles.planted(10, 6, 1, largest=3)[1]
    rows = sample(10, 400)
    codes = (rows * (1 << torch.arange(10))).sum(1)
    noisy = torch.from_numpy(v + 0.3 * np.random.default_rng(0).standard_normal(1024))[codes]
    lm = LogicalModel.from_values(noisy, rows, max_patterns=None, exact_ends=False)
    assert 4 <= len(lm.patterns) <= 10


def test_stability_is_high_for_planted_and_low_for_noise_patterns() -> None:
    terms, v = pattern_oracles.planted(8, 4, 2, largest=2)
    for noise, rows in ((0.05, None), (0.05, sample(8, 200))):
        noisy = torch.from_numpy(v + noise * np.random.default_rng(0).standard_normal(256))
        if rows is not None:
            noisy = noisy[(rows * (1 << torch.arange(8))).sum(1)]
        lm = LogicalModel.from_values(noisy, rows, max_patterns=8, exact_ends=False)
        share = lm.stability(10)
        assert share.shape == (len(lm.patterns),) and torch.equal(share, lm.stability(10))
        planted = torch.tensor([(p.kind == "or", p.players) in terms for p in lm.patterns])
        assert float(share[planted].mean()) > 0.9 and float(share[~planted].mean()) < 0.6


def test_stability_of_many_players() -> None:
    terms = {(False, (0, 3)): 1.0, (True, (5, 7, 9)): 2.0}
    rows = sample(40, 300)
    lm = LogicalModel.from_values(torch.from_numpy(pattern_oracles.values(terms, rows.numpy())), rows)
    assert lm.stability(3).tolist() == [1.0, 1.0]


# ---------------------------------------------------------------------------------------------- files, inputs


@pytest.mark.parametrize("kind", ["game", "batch", "sample", "model", "tuple"])
def test_load_returns_what_was_saved(tmp_path: Path, kind: str) -> None:
    if kind == "model":
        lm = AndOrInteractions(lambda x: x.prod(1)).logical_model(torch.ones(2, 3))
    elif kind == "tuple":
        lm = AndOrInteractions(lambda x, y: x.prod(1) + y.sum(1)).logical_model((torch.ones(2, 3), torch.ones(2, 2)))
    elif kind == "sample":
        lm = LogicalModel.from_values(random_values((2,), n=6)[:, :50], everything(6)[:50], exact_ends=False)
    else:
        lm = LogicalModel.from_values(random_values((2, 3) if kind == "batch" else ()), weights=[1, 1, 2, 1, 1])
    lm.save(tmp_path / "model")
    again = LogicalModel.load(tmp_path / "model")
    assert repr(again) == repr(lm) and again.options == lm.options and again.patterns == lm.patterns
    for field in dataclasses.fields(lm):
        one, other = getattr(lm, field.name), getattr(again, field.name)
        assert torch.equal(one, other) if isinstance(one, Tensor) else True
    if kind in ("model", "tuple"):
        torch.testing.assert_close(again.attributions(), lm.attributions(), rtol=0, atol=0)
        assert isinstance(again.attributions(), tuple) == (kind == "tuple")


def test_files_of_explanations_are_not_models(tmp_path: Path) -> None:
    AndOrExplanation.from_values(random_values()).save(tmp_path / "ex.npz")
    with pytest.raises(ValueError, match=r"ex\.npz is not a file that LogicalModel\.save wrote"):
        LogicalModel.load(tmp_path / "ex.npz")


def test_an_explanation_gives_the_model_of_its_values() -> None:
    ex = AndOrInteractions(lambda x: x.prod(1) + x[:, 0]).interactions(torch.ones(2, 3), split="and")
    lm = ex.logical_model(max_patterns=4, effort="accurate")
    again = repr(LogicalModel.from_values(ex.values, max_patterns=4, effort="accurate"))
    assert repr(lm) == again + "\nabsent: 0, Captum's default"
    torch.testing.assert_close(lm.attributions(), ex.attributions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_patterns": 0}, "max_patterns"),
        ({"max_patterns": 2.5}, "max_patterns"),
        ({"max_patterns": True}, "max_patterns"),
        ({"min_r2": 0.0}, "min_r2"),
        ({"min_r2": 1.5}, "min_r2"),
        ({"min_r2": math.nan}, "min_r2"),
        ({"max_order": 0}, "max_order"),
        ({"effort": "best"}, "effort"),
        ({"kinds": "xor"}, "kinds"),
        ({"kinds": ()}, "kinds"),
        ({"kinds": None}, "kinds"),
        ({"weights": None}, "weights"),
        ({"weights": ["a"] * 5}, "weights"),
        ({"weights": "none"}, "weights"),
        ({"weights": [1.0, 2.0]}, "weights"),
        ({"weights": [0.0] * 5}, "weights"),
        ({"weights": [1.0, 1.0, -1.0, 1.0, 1.0]}, "weights"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        LogicalModel.from_values(random_values(), **options)


def test_ends_must_be_a_bool() -> None:
    with pytest.raises(TypeError, match="exact_ends"):
        LogicalModel.from_values(random_values(), exact_ends="yes")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_must_be_finite(bad: float) -> None:
    with pytest.raises(ValueError, match=r"v must be finite.*position \(2,\)"):
        LogicalModel.from_values([0.0, 1.0, bad, 1.0])


@pytest.mark.parametrize(
    ("coalitions", "error", "message"),
    [
        (torch.ones(40, 6), TypeError, "coalitions must be a bool tensor"),
        ([[True] * 6] * 40, TypeError, "coalitions must be a bool tensor"),
        (torch.ones(39, 6, dtype=torch.bool), ValueError, "coalitions must have shape"),
        (torch.ones(40, dtype=torch.bool), ValueError, "coalitions must have shape"),
        (torch.ones(40, 6, dtype=torch.bool), ValueError, "coalitions gives 1 coalitions: too few"),
        (sample(6, 42)[2:], ValueError, "coalitions must hold the empty and the full coalition"),
    ],
)
def test_bad_coalitions_are_named(coalitions: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LogicalModel.from_values(torch.randn(40, generator=torch.Generator().manual_seed(0)), coalitions)


def test_a_sample_must_be_enough_for_its_patterns_and_takes_any_weights() -> None:
    rows = sample(6, 40)
    v = torch.randn(40, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"coalitions gives 40.*max_patterns=20, which needs 55"):
        LogicalModel.from_values(v, rows, max_patterns=20)
    LogicalModel.from_values(v, rows, weights="size")  # the process knows every size
    LogicalModel.from_values(torch.randn(60), sample(20, 60), weights="size")


def test_from_values_keeps_a_copy() -> None:
    v = np.array([0.0, 1.0, 2.0, 5.0])
    lm = LogicalModel.from_values(v)
    v[:] = 9.0
    assert lm.values.tolist() == [0.0, 1.0, 2.0, 5.0]


@pytest.mark.parametrize("n", [16, 30, 60])
def test_additive_games_come_back_from_a_sample(n: int) -> None:
    rows = sample(n, 3 * n)
    for weights in (np.ones(n), np.random.default_rng(n).uniform(-2, 2, n)):
        lm = LogicalModel.from_values(rows.numpy() @ weights, rows, max_patterns=None)
        assert {p.players[0]: p.value for p in lm.patterns} == pytest.approx(dict(enumerate(weights)))
        assert float(lm.r2) == pytest.approx(1.0)


def test_a_sample_of_which_nothing_can_be_said_is_closed_at_its_ends() -> None:
    rows = sample(40, 60)
    v = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lm = LogicalModel.from_values(v, rows)
    torch.testing.assert_close(lm.predict(rows[:2])[0], v[0])
    torch.testing.assert_close(lm.predict(rows[:2])[1], v[1])
    assert float(lm.r2) < 0.5 and float(lm.r2_interval[0]) < 0.0


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_games_at_all_are_a_model_of_none(shape: tuple[int, ...]) -> None:
    lm = LogicalModel.from_values(torch.zeros(*shape, 8))
    assert lm.shape == lm.r2.shape == shape and lm.patterns == [] and lm.shapley_values().shape == (*shape, 3)


def test_values_must_be_numbers() -> None:
    for v in (None, "abc", [[1.0, 2.0], [3.0]], {"v": 1}):
        with pytest.raises(TypeError, match="v must be a tensor, array or list of real numbers"):
            LogicalModel.from_values(v)
    assert LogicalModel.from_values([0, 0.1]).values.tolist() == [0.0, 0.1]


@pytest.mark.parametrize("effort", EFFORTS)
def test_exact_models_hold_no_pattern_that_they_do_not_need(effort: str) -> None:
    for seed in range(4):
        v = pattern_oracles.planted(8, 8, seed)[1]
        lm = LogicalModel.from_values(v, max_patterns=None, effort=effort)
        assert float(lm.r2) >= 1 - 1e-9 and float(lm.table.value.abs().min()) > 0.01


def test_held_out_coalitions_are_not_seen_by_the_fit_that_they_judge() -> None:
    rows = sample(12, 120)
    v = torch.randn(120, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + rows[:, 0]
    held_out = torch.from_numpy(held_out_at_random(rows.numpy(), 0))
    with pytest.warns(UserWarning, match="single players"):
        models = single_player_models(v[None], rows, Options(8, exact_ends=False))
    met = rows.double() @ models.members.double().T
    columns = torch.where(models.is_or, met > 0, met == models.members.sum(1)).double().numpy()
    known, test = (~held_out).numpy(), held_out.numpy()
    fitted = pattern_oracles.least_squares(columns[known], v.numpy()[known], np.ones(known.sum()))
    predicted = fitted[0] + columns[test] @ fitted[1:]
    assert float(models.r2) == pytest.approx(
        pattern_oracles.r2(v.numpy()[test], predicted, np.full(test.sum(), 1 / test.sum()))
    )
    low, high = models.r2_interval[0].tolist()
    assert low < float(models.r2) < high
