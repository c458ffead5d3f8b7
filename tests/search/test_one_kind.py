"""A set of players has one pattern, and of equal models the one whose signs say what the patterns do is taken."""

from __future__ import annotations

from collections import Counter

import pattern_oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.results import Interaction


def assert_one_kind(patterns: list[Interaction]) -> None:
    sets = Counter((p.index, p.players) for p in patterns)
    assert max(sets.values(), default=1) == 1, sets.most_common(3)


def effect_of_all(v: Tensor, players: tuple[int, ...]) -> float:
    """Mean of v(S ∪ T) − v(S) over S without any of T, by enumeration."""
    codes = torch.arange(len(v))
    code = sum(1 << player for player in players)
    without = codes[(codes & code) == 0]
    return float((v[without | code] - v[without]).mean())


@given(seed=st.integers(0, 1000), n=st.integers(2, 6), ends=st.booleans())
@pytest.mark.parametrize("effort", ["auto", "stable", "accurate", "high"])
@settings(max_examples=20, deadline=None)
def test_no_set_has_two_patterns_whatever_the_effort(effort: str, seed: int, n: int, ends: bool) -> None:
    v = torch.randn(2, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert_one_kind(LogicalModel.from_values(v, max_patterns=2 * n, effort=effort, exact_ends=ends).patterns)


@pytest.mark.parametrize("kind", ["random", "and and or of one set"])
def test_an_exact_model_is_still_found_for_every_game(kind: str) -> None:
    v = torch.randn(64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if kind != "random":
        both = {(False, (0, 1, 2)): 1.0, (True, (0, 1, 2)): 1.0}
        v = torch.from_numpy(pattern_oracles.values(both, pattern_oracles.rows(11)))
    lm = LogicalModel.from_values(v, max_patterns=None, min_r2=1.0)
    assert float(lm.r2) > 1 - 1e-9
    assert_one_kind(lm.patterns)


def test_two_players_each_for_itself_are_no_and_beside_an_or() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = all_coalitions(8).double()
    noise = 0.2 * torch.randn(256, dtype=torch.float64, generator=generator)
    v = 5 * rows[:, 0] + 5 * rows[:, 1] + rows[:, 2:] @ torch.arange(1, 7).double() / 3 + noise
    found = {(p.kind, p.players) for p in LogicalModel.from_values(v, exact_ends=False).patterns}
    assert {("and", (0,)), ("and", (1,))} <= found and ("or", (0, 1)) not in found


@pytest.mark.parametrize("n", [12, 18, 30])
def test_models_from_a_budget_have_one_kind(n: int) -> None:
    torch.manual_seed(n)
    net = torch.nn.Sequential(torch.nn.Linear(n, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    method = AndOrInteractions(lambda x: net(x)[:, 0])
    lm = method.logical_model(3 * torch.ones(2, n, dtype=torch.float64), budget=256, max_patterns=20)
    assert_one_kind(lm.patterns)


def test_a_conjunction_is_told_by_patterns_that_raise_what_they_raise() -> None:
    # a and b, and c beside them: a + b − OR{a, b} says the same and would read as if b lowered v.
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        rows = all_coalitions(5).double()
        weight = 1 + torch.rand(4, dtype=torch.float64, generator=generator)
        v = weight[0] * rows[:, 0] + weight[1] * rows[:, 1] + 2 * rows[:, 0] * rows[:, 1] + rows[:, 2:4] @ weight[2:]
        lm = LogicalModel.from_values(v)
        assert all(p.value * effect_of_all(v, p.players) > 0 for p in lm.patterns), lm
        assert lm.r2 == pytest.approx(1.0)


def test_signs_are_paid_for_with_no_more_than_two_thousandths_and_with_no_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = all_coalitions(7).double()
    v = torch.stack(
        [(rows @ torch.randn(7, 8, dtype=torch.float64, generator=generator)).tanh().sum(1) for _ in range(40)]
    )

    def models() -> LogicalModel:
        return LogicalModel.from_values(v, max_patterns=8, exact_ends=False)

    def wrong(lm: LogicalModel) -> int:
        return sum(p.value * effect_of_all(v[p.index[0]], p.players) < 0 for p in lm.patterns)

    after = models()
    with monkeypatch.context() as patch:
        patch.setattr("captum_andor.search.complete_games.agreeing", lambda problem, chosen, allowed, goal: chosen)
        before = models()
    assert bool((after.r2 >= before.r2 - 0.002).all()) and wrong(after) < wrong(before)
    for one, r2 in zip(v, before.r2.tolist(), strict=True):
        goal = r2 - 1e-6
        assert float(LogicalModel.from_values(one, max_patterns=8, min_r2=goal, exact_ends=False).r2) >= goal
