"""Scores of confusion against their definitions by subsets."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from oracles import code, subsets
from torch import Tensor

from captum_andor.confusing.scores.score_formulas import (
    effect,
    high_order,
    n_active,
    order_profile,
    reference_scores,
    salient,
    split_scores,
    value_scores,
)
from captum_andor.split.split import split_game


def games(count: int, n: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean_effect(values: Tensor) -> float:
    return float((values[:, -1] - values[:, 0]).abs().mean())


@pytest.mark.parametrize("n", [2, 3, 5])
def test_value_scores_are_their_definitions(n: int) -> None:
    values = games(6, n)
    scale = mean_effect(values)
    found = value_scores(values, scale)
    everyone = frozenset(range(n))
    for row, v in enumerate(values.tolist()):
        full, empty = v[code(everyone)], v[0]
        alone = [v[code(everyone - {i})] for i in everyone]
        pairs = [v[code(everyone - {i, j})] for i, j in combinations(everyone, 2)]
        expected = {
            "net_order": (full - sum(alone) / n) / (abs(full - empty) + 0.1 * scale),
            "flip_rate": sum(p < 0 for p in pairs) / len(pairs),
            "masked_margin": -sum(alone) / n,
        }
        assert {name: float(scores[row]) for name, scores in found.items()} == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_net_order_is_the_signed_mean_order_of_the_and_split(n: int, seed: int) -> None:
    values = games(3, n, seed)
    scale = mean_effect(values)
    terms = split_game(values, "and").and_values
    sizes = torch.tensor([len(t) for t in sorted(subsets(range(n)), key=code)], dtype=torch.float64)
    expected = (terms @ sizes) / n / (effect(values).abs() + 0.1 * scale)
    assert torch.allclose(value_scores(values, scale)["net_order"], expected, atol=1e-9, rtol=1e-9)


def test_flip_rate_needs_two_players() -> None:
    assert value_scores(games(2, 1), 1.0)["flip_rate"].isnan().all()


def test_active_players_are_those_whose_presence_changes_v() -> None:
    everything = sorted(subsets(range(5)), key=code)
    v = torch.tensor([[2.0 * (0 in s) + 3.0 * ({1, 3} <= s) for s in everything], [7.0 for _ in everything]])
    assert n_active(v.double()).tolist() == [3, 0]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_split_scores_are_their_definitions(n: int) -> None:
    values = games(5, n)
    scale = mean_effect(values)
    split = split_game(values, tolerance=1e-6)
    kept = salient(split, scale)
    first_high = high_order(n)
    found = split_scores(kept, scale, first_high)
    assert first_high > n / 2 >= first_high - 1
    for row in range(len(values)):
        terms = [
            (len(t), float(table[row, code(t)]))
            for table in (split.and_values, split.or_values)
            for t in subsets(range(n))
            if t
        ]
        terms = [(order, value) for order, value in terms if abs(value) >= 0.03 * scale]
        positive = [sum(value for order, value in terms if order == k and value > 0) for k in range(n + 1)]
        negative = [-sum(value for order, value in terms if order == k and value < 0) for k in range(n + 1)]
        total = sum(positive) + sum(negative)
        offsetting = sum(2 * min(positive[k], negative[k]) for k in range(first_high, n + 1))
        expected = {
            "offset": offsetting / total,
            "offset_strength": offsetting / scale,
            "mean_order": sum(k * (positive[k] + negative[k]) for k in range(n + 1)) / total,
            "high_order_share": sum(positive[first_high:] + negative[first_high:]) / total,
            "cancellation": 1 - abs(sum(value for _, value in terms)) / total,
        }
        assert {name: float(scores[row]) for name, scores in found.items()} == pytest.approx(expected, abs=1e-9)
        assert order_profile(kept)[row].tolist() == [pytest.approx(positive), pytest.approx(negative)]


def test_split_scores_of_nothing_are_zero() -> None:
    found = split_scores(torch.zeros(2, 2, 8, dtype=torch.float64), 0.0, 2)
    assert all(scores.tolist() == [0, 0] for scores in found.values())


def test_reference_scores_tell_what_is_repeated() -> None:
    """AND {0}: 4 and 3 (shared 3); AND {1}: 2 and −2 (sign); OR {0, 1}: −1 and −5 (shared −1); AND {0, 1}: 3 alone."""
    mine, other = torch.zeros(2, 1, 2, 4, dtype=torch.float64)
    mine[0, 0] = torch.tensor([0.0, 4, 2, 3])
    mine[0, 1] = torch.tensor([0.0, 0, 0, -1])
    other[0, 0] = torch.tensor([0.0, 3, -2, 0])
    other[0, 1] = torch.tensor([0.0, 0, 0, -5])
    found = reference_scores(mine, [other])
    assert float(found["non_generalizable_share"]) == pytest.approx((2 + 3) / 10)
    assert float(found["unshared_effect"]) == pytest.approx(-(3 - 1))
    both = reference_scores(mine, [other, torch.zeros_like(mine)])
    assert float(both["non_generalizable_share"]) == pytest.approx(0.5)
    assert float(both["unshared_effect"]) == pytest.approx(-1)
    itself = reference_scores(mine, [mine])
    assert float(itself["non_generalizable_share"]) == 0
