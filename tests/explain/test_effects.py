"""Measured effects of patterns against enumeration over contexts, and sentences against the effects."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pattern_oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from captum_andor.explain import GameEstimate, averaged_interactions
from captum_andor.games.indices import banzhaf_values
from captum_andor.games.transforms import all_coalitions
from captum_andor.process import ProcessPosterior, pattern_effects


def effects_of(v: Tensor, players: tuple[int, ...]) -> tuple[list[float], float]:
    """Of each player alone and of all together, by enumeration of the contexts."""
    codes = torch.arange(len(v))
    code = sum(1 << player for player in players)
    context = codes[(codes & code) == 0]
    alone = [float((v[context | 1 << player] - v[context]).mean()) for player in players]
    return alone, float((v[context | code] - v[context]).mean())


def network(n: int, seed: int = 0) -> AndOrInteractions:
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(n, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)).double().eval()
    return AndOrInteractions(net)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 7), seed=st.integers(0, 1000), shape=st.sampled_from([(), (2,), (2, 3)]))
def test_effects_of_complete_games_are_means_over_contexts(n: int, seed: int, shape: tuple[int, ...]) -> None:
    v = torch.randn(*shape, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for result in (LogicalModel.from_values(v, max_patterns=6), AndOrExplanation.from_values(v, split="even")):
        table = result.effects()
        assert not [name for name in table if name.endswith("_se")]
        for _, row in table.iterrows():
            place = tuple(row[name] for name in ("sample", "output")[: len(shape)])
            alone, together = effects_of(v[place], row["players"])
            assert row["alone"] == pytest.approx(alone, abs=1e-9)
            assert row["together"] == pytest.approx(together, abs=1e-9)


def test_rows_are_the_patterns_in_their_order() -> None:
    model = network(6).logical_model(torch.ones(2, 6).double(), player_names=list("abcdef"), max_patterns=4)
    table = model.effects()
    assert list(table) == ["sample", "output", "kind", "players", "names", "weight", "alone", "together"]
    assert [(r.kind, r.players, r.weight) for r in table.itertuples()] == [
        (p.kind, p.players, p.value) for p in model.patterns
    ]
    assert len(model.effects(2)) == 2 * 4 and model[1, 0].effects(1)["sample"].tolist() == [1]
    with pytest.raises(ValueError, match="k must be"):
        model.effects(0)


def test_the_effect_of_a_single_player_is_its_banzhaf_value() -> None:
    v = torch.randn(64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = LogicalModel.from_values(v, max_order=1).effects()
    expected = banzhaf_values(v)
    for row in table.itertuples():
        assert row.alone == (row.together,)
        assert row.together == pytest.approx(float(expected[row.players[0]]))


@pytest.mark.parametrize("n", [8, 12])
def test_the_posterior_of_effects_is_that_of_their_sums_over_coalitions(n: int) -> None:
    rows = all_coalitions(n)
    generator = torch.Generator().manual_seed(0)
    some = rows[torch.randperm(2**n, generator=generator)[:100]]
    v = torch.tanh(some.double() @ torch.randn(n, 3, dtype=torch.float64, generator=generator)).sum(1)
    posterior = ProcessPosterior.of(some, v)
    members = torch.zeros(3, n, dtype=torch.bool)
    members[0, [0, 3]], members[1, 5], members[2, [1, 2, 6]] = True, True, True
    for row, effect in zip(members, pattern_effects(posterior, members), strict=True):
        without = ~(rows & row).any(1)
        present = (rows | ~row).all(1) & ~without if row.any() else without
        weights = present.double() / present.sum() - without.double() / without.sum()
        mean, std = posterior.functionals(weights[None])
        assert effect.together == pytest.approx(float(mean), rel=1e-6, abs=1e-9)
        # the errors of effects are as wide as those of players' values
        assert effect.together_se >= float(std) * (1 - 1e-6)
        assert effect.together_se == pytest.approx(max(float(std), posterior.least_error), rel=1e-4)


@pytest.mark.parametrize("n", [9, 12, 24])
def test_effects_from_a_budget_have_errors_that_hold_the_truth(n: int) -> None:
    method, x = network(n), 2 * torch.ones(1, n).double()
    budgeted = method.logical_model(x, target=0, budget=256)
    table = budgeted.effects()
    assert {"weight_se", "alone_se", "together_se"} <= set(table)
    everything = [] if n == 24 else method.interactions(x, target=0, split="even").values[0]
    inside = []
    for row in table.itertuples():
        assert len(row.alone) == len(row.alone_se) == len(row.players)
        if n < 24:
            alone, together = effects_of(everything, row.players)
            pairs = zip([*row.alone, row.together], [*row.alone_se, row.together_se], [*alone, together], strict=True)
            inside += [abs(mean - truth) <= 3 * error + 1e-9 for mean, error, truth in pairs]
    assert n == 24 or sum(inside) >= 0.9 * len(inside)


def test_what_is_few_patterns_has_exact_effects() -> None:
    method = AndOrInteractions(lambda x: 3 * x[:, 0] * x[:, 1] + 2 * x[:, 2:5].amax(1))
    model = method.logical_model(torch.ones(1, 30).double(), budget=256)
    table = model.effects().set_index("players")
    assert table.loc[[(0, 1)], "alone"].item() == pytest.approx((0.0, 0.0), abs=1e-9)
    assert table.loc[[(2, 3, 4)], "alone"].item() == pytest.approx((2.0, 2.0, 2.0))
    assert table["together_se"].tolist() == [0.0, 0.0]
    rules = model[0].rules()
    assert rules[:2] == ["0 and 1 only together: +3", "any one of 2, 3, 4: +2"]


def test_estimates_and_loaded_models_have_effects(tmp_path: Path) -> None:
    estimate = network(9).estimate(torch.ones(1, 9).double(), target=0, budget=128)
    model = estimate.logical_model(max_patterns=5)
    table = estimate.effects(max_patterns=5)
    assert table["together"].tolist() == model.effects()["together"].tolist()
    model.save(tmp_path / "model.npz")
    again = LogicalModel.load(tmp_path / "model.npz").effects()
    assert again["together"].tolist() == pytest.approx(table["together"].tolist(), rel=1e-6)
    fresh = GameEstimate.from_values(estimate.values, estimate.coalitions).effects(max_patterns=5)
    assert fresh["together"].tolist() == pytest.approx(table["together"].tolist(), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 7), seed=st.integers(0, 1000))
def test_sentences_are_borne_out_by_enumeration(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    terms = pattern_oracles.planted(n, min(n, 4), seed)[0]
    v = torch.from_numpy(pattern_oracles.values(terms, pattern_oracles.rows(n)))
    v = v + 0.01 * torch.randn(2**n, dtype=torch.float64, generator=generator)
    model = LogicalModel.from_values(v, max_patterns=6, player_names=[f"p{i}" for i in range(n)])
    sentences = model.rules()
    for pattern, sentence in zip(model.patterns, sentences, strict=False):
        alone, together = effects_of(v, pattern.players)
        if "only together" in sentence:
            assert max(map(abs, alone)) <= 0.1 * abs(together) + 1e-9
            assert abs(together - pattern.value) <= 0.1 * abs(together) + 1e-9
        elif "any one of" in sentence:
            assert all(abs(one - together) <= 0.1 * abs(together) + 1e-9 for one in alone)
        elif pattern.order == 2:
            shown = [
                float(x)
                for x in re.findall(
                    r"[+-]?\d+\.?\d*(?:e-?\d+)?", sentence.replace("−", "-").split("(")[0].replace("p", "p_")
                )
            ]
            assert shown[-1] == pytest.approx(together, rel=0.01, abs=1e-3 * float(v.abs().max()))


def test_prints_say_what_absent_means_and_leave_out_what_noise_reaches() -> None:
    method = network(12)
    x = 2 * torch.ones(1, 12).double()
    model = method.logical_model(x, target=0, budget=64, max_patterns=8)
    text = str(model)
    assert "absent: 0, Captum's default" in text and "everything removed" in text
    below = int((model.t < model.noise_t).sum())
    assert below and f"{below} weaker pattern" in text and f"{below} weaker pattern" in "\n".join(model[0].rules())
    assert len(model._findings()) == len(model.patterns) - below
    exact = str(network(6).logical_model(torch.ones(1, 6).double(), 0.5, target=0))
    assert "absent: 0.5" in exact and "|t|" not in exact


@pytest.mark.parametrize(
    ("baselines", "absent"),
    [
        (None, "0, Captum's default"),
        ((0.5, 0.5), "0.5"),
        ((0, torch.full((1, 2), 1.5)), "0; 1.5"),
        ((torch.tensor([[0.0, 1.0]]), 0), "the baseline given; 0"),
        ((torch.tensor([[0.0, 1.0], [2.0, 3.0]]), 0), "a baseline given for each example; 0"),
    ],
)
def test_what_absent_means_is_said_of_every_form_of_baselines(baselines: object, absent: str) -> None:
    method = AndOrInteractions(lambda a, b: a.sum(1) + b.prod(1))
    x = torch.ones(2, 2)
    for result in (
        method.logical_model((x, x), baselines),
        method.interactions((x, x), baselines),
        method.estimate((x, x), baselines, budget=16),
    ):
        assert str(result).splitlines()[-1] == f"absent: {absent}"
    assert str(averaged_interactions(method, (x, x), [(0.0, 0.0), (0.5, 0.5)])).endswith(
        "absent: the mean over 2 baselines"
    )


def test_models_from_a_budget_are_pickled_with_their_effects() -> None:
    model = network(9).logical_model(torch.ones(1, 9).double(), target=0, budget=64, max_patterns=4)
    again = pickle.loads(pickle.dumps(model))
    assert again.effects().equals(model.effects()) and again.rules() == model.rules()
    assert copy.deepcopy(model.estimate).shapley_values().equal(model.estimate.shapley_values())


def test_a_single_player_is_called_by_its_name() -> None:
    model = LogicalModel.from_values([0.0, 1.0, 2.0, 3.0], player_names=["a", "b"])
    assert "AND" not in str(model) and model.rules()[:2] == ["b: +2", "a: +1"]
    assert model.patterns[0].kind == "and"
