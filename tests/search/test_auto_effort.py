"""The default effort: stable patterns, and the shortest exact ones where a game is small and exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.search.drop_and_regrow import fewest_patterns


@pytest.mark.parametrize("weight", [-1.0, -1.2, -1.5, -1.9, 0.7])
def test_not_bad_is_two_patterns_whatever_bad_weighs(weight: float) -> None:
    def score(words: torch.Tensor) -> torch.Tensor:
        no, bad, _ = words.T
        return 2 * no * bad + weight * bad

    found = AndOrInteractions(score).logical_model(torch.ones(1, 3))
    assert {(p.kind, p.players, round(p.value, 6)) for p in found.patterns} == {
        ("and", (0, 1), 2.0),
        ("and", (1,), weight),
    }


def test_games_that_are_not_exact_and_large_ones_are_those_of_stable() -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (4, 8, 10):
        v = torch.randn(3, 2**n, generator=generator, dtype=torch.float64)
        auto, stable = (LogicalModel.from_values(v, max_patterns=6, effort=effort) for effort in ("auto", "stable"))
        assert auto.patterns == stable.patterns


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.integers(1, 4))
def test_no_exact_model_is_longer_than_that_of_stable(n: int, seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    members = all_coalitions(n)
    v = torch.zeros(2**n, dtype=torch.float64)
    for _ in range(count):
        chosen = torch.randint(0, 2, (n,), generator=generator).bool()
        inside = members[:, chosen] if chosen.any() else members
        indicator = inside.all(1) if torch.rand((), generator=generator) < 0.5 else inside.any(1)
        v += torch.randint(1, 9, (), generator=generator) * indicator.double()
    auto, stable = (LogicalModel.from_values(v, max_patterns=10, effort=effort) for effort in ("auto", "stable"))
    assert len(auto.patterns) <= len(stable.patterns) and float(auto.r2) >= float(stable.r2) - 1e-9
    assert fewest_patterns(v) <= len(auto.patterns) or float(auto.r2) < 1 - 1e-9


def test_an_additive_game_needs_a_pattern_a_player() -> None:
    members = all_coalitions(5).double()
    assert fewest_patterns(members @ torch.tensor([1.0, 2.3, -0.7, 5.1, 0.11]).double()) == 5
    assert fewest_patterns(torch.zeros(8)) == 0 and fewest_patterns(torch.tensor([0.0, 1.0])) == 1
