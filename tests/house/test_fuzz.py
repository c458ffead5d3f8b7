"""Calls at random, over kinds of inputs, dtypes and models: equal to brute force, or an error that names the argument."""

from __future__ import annotations

import pytest
from random_calls import check


def test_calls_at_random_are_right_or_named() -> None:
    results = [check(seed) for seed in range(1000)]
    assert 300 < sum(results) < 900


@pytest.mark.slow
def test_many_calls_at_random_are_right_or_named() -> None:
    for seed in range(1000, 5000):
        check(seed)
