"""The design in pairs: nested, each coalition once, small sizes whole, shares by size."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from captum_andor.sampling.coalitions import PATTERNS, SHAPLEY, in_pairs, orders_seen, paired_design, size_strata


@settings(max_examples=60)
@given(n=st.integers(1, 9), budget=st.integers(2, 600), leverage=st.floats(0, 1), seed=st.integers(0, 99))
def test_pairs_each_once_nested_and_no_more_than_there_are(n: int, budget: int, leverage: float, seed: int) -> None:
    rows = paired_design(n, budget, leverage, seed)
    assert rows.shape == (min(budget, 2**n), n)
    assert not rows[0].any() and rows[1].all()
    assert len(np.unique(rows, axis=0)) == len(rows)
    whole = rows[: len(rows) // 2 * 2]
    assert (whole[2::2] == ~whole[3::2]).all()
    smaller = paired_design(n, max(2, budget // 2), leverage, seed)
    assert (rows[: len(smaller)] == smaller).all()


def test_small_sizes_are_whole_and_the_rest_is_even() -> None:
    sizes = np.bincount(paired_design(12, 256, SHAPLEY).sum(1), minlength=13)
    assert sizes[0] == sizes[12] == 1 and sizes[1] == sizes[11] == 12
    assert sizes[2:11].max() - sizes[2:11].min() <= 1 + sizes[6] // 2  # of size n/2 a pair counts once for two


def test_half_and_half_lies_between_even_sizes_and_the_number_of_coalitions() -> None:
    count = {share: np.bincount(paired_design(16, 512, share).sum(1), minlength=17) for share in (1.0, PATTERNS, 0.0)}
    assert count[1.0][8] < count[PATTERNS][8] < count[0.0][8]
    expected = 512 * comb(16, 8) / 2**16
    assert count[0.0][8] == pytest.approx(expected, rel=0.15)


def test_many_players_and_all_coalitions() -> None:
    assert len(np.unique(paired_design(500, 300), axis=0)) == 300
    assert len(np.unique(paired_design(5, 1000), axis=0)) == 32
    assert paired_design(1, 10).tolist() == [[False], [True]]


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


def test_pairs_are_found_wherever_they_stand() -> None:
    rows = torch.from_numpy(paired_design(9, 40))
    assert [pair.tolist() for pair in in_pairs(rows)] == [[i, i + 1] for i in range(2, 40, 2)]
    mixed = torch.cat([rows[:11], torch.eye(9, dtype=torch.bool)[:1] | rows[3:4], rows[11:]])
    pairs = in_pairs(torch.unique(mixed, dim=0))
    assert sum(map(len, pairs)) == len(torch.unique(mixed, dim=0)) - 2
    for pair in pairs:
        some = torch.unique(mixed, dim=0)[pair]
        assert len(pair) == 1 or bool((some[0] ^ some[1]).all())
