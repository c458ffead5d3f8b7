"""Which coalitions a budget buys."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from captum_andor.sampling.coalitions import Design, design, orders_seen, size_strata
from captum_andor.search.options import Options


def plan(n: int, budget: int, seed: int = 0, **options: object) -> Design:
    chosen = Options(seed=seed, **options)
    return design(n, budget, chosen.size_shares(n), chosen.is_uniform, chosen.densities, seed)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(5, 80), budget=st.integers(16, 120), seed=st.integers(0, 9), by_size=st.booleans())
def test_a_budget_is_spent_on_different_coalitions_and_a_larger_one_goes_on(
    n: int, budget: int, seed: int, by_size: bool
) -> None:
    budget = min(budget, 2**n - 1)
    weights = "size" if by_size else "uniform"
    large, small = plan(n, budget, seed, weights=weights), plan(n, budget // 2, seed, weights=weights)
    assert len(np.unique(large.coalitions, axis=0)) == budget
    assert not large.coalitions[0].any() and large.coalitions[1].all()
    for whole, part in zip(large, small, strict=True):
        assert np.array_equal(whole[: budget // 2], part)
    places = [p for p in range(2, budget) if p % 4 == 1 and (p < 64 or p % 16 == 1)]
    assert np.flatnonzero(large.held_out).tolist() == places


def test_seeds_differ_and_repeat() -> None:
    assert np.array_equal(plan(12, 50).coalitions, plan(12, 50).coalitions)
    assert not np.array_equal(plan(12, 50).coalitions, plan(12, 50, seed=1).coalitions)


@pytest.mark.parametrize("budget", [100, 333])
def test_up_to_twenty_players_sizes_come_in_proportion(budget: int) -> None:
    sample = plan(12, budget)
    searched = sample.coalitions[~sample.held_out][2:].sum(1)
    expected = np.array([comb(12, s) / 2**12 for s in range(13)]) * len(searched)
    assert np.abs(np.bincount(searched, minlength=13) - expected).max() <= 1.5


def test_above_twenty_sizes_are_even_in_the_middle_half_and_held_out_ones_are_coin_flips() -> None:
    sample = plan(40, 2000)
    searched = sample.coalitions[~sample.held_out][2:].sum(1)
    assert searched.min() == 10 and searched.max() == 30
    counts = np.bincount(searched)[10:]
    assert counts.min() > 0.5 * counts.mean()
    assert [set(searched[sample.strata[~sample.held_out][2:] == s]) for s in range(3)] == [
        set(range(10, 17)),
        set(range(17, 24)),
        set(range(24, 31)),
    ]
    held = sample.coalitions[sample.held_out]
    assert abs(held.mean() - 0.5) < 0.02 and np.std(held.sum(1)) == pytest.approx(40**0.5 / 2, rel=0.2)


def test_weights_are_those_of_the_coalitions_drawn() -> None:
    sample = plan(30, 1200, weights="size")
    counts = np.bincount(sample.coalitions[2:].sum(1), minlength=31)[2:29]
    assert counts.min() > 0.5 * counts.mean() and counts.max() < 1.6 * counts.mean()


def test_densities_are_shares_of_players_kept() -> None:
    sample = plan(64, 1000, densities=(0.2, 0.8))
    searched = sample.coalitions[~sample.held_out][2:]
    strata = sample.strata[~sample.held_out][2:]
    assert searched[strata == 0].mean() == pytest.approx(0.2, abs=0.02)
    assert searched[strata == 1].mean() == pytest.approx(0.8, abs=0.02)


def test_densities_that_repeat_themselves_are_an_error() -> None:
    with pytest.raises(ValueError, match="densities=.*too few different coalitions"):
        plan(5, 31, densities=(0.0001,))


def test_orders_seen_counts_coalitions_that_hold_a_random_set() -> None:
    coalitions = np.random.default_rng(0).random((120, 7)) < 0.6

    def mean_count(rows: np.ndarray, order: int) -> float:
        return float(np.mean([rows[:, list(t)].all(1).sum() for t in combinations(range(7), order)]))

    for rows, seen in zip((coalitions, ~coalitions), orders_seen(coalitions), strict=True):
        assert mean_count(rows, seen) >= 14 and (seen == 7 or mean_count(rows, seen + 1) < 14)


def test_strata_are_about_even_and_ordered_by_size() -> None:
    coalitions = np.random.default_rng(0).random((300, 50)) < 0.5
    strata = size_strata(coalitions)
    sizes = coalitions.sum(1)
    assert np.bincount(strata).min() > 50
    assert sizes[strata == 0].max() <= sizes[strata == 1].min() <= sizes[strata == 2].min()
    assert size_strata(np.ones((5, 3), dtype=bool)).tolist() == [0] * 5
