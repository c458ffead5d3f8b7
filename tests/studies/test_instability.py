"""Variance between copies of one network: equal to its definition, intervals that hold in simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest

from captum_andor.studies.factorial.instability import variance_between_copies
from captum_andor.studies.factorial.variance_shares import (
    grouped_products,
    seed_shares,
    shares_of,
    standardised,
    uncrossed_variance,
)


def world(rng, levels=8, copies=8, samples=200, directions=20, share=0.4, views=2):
    """Scores of a grid and of copies whose variance is a share of the grid's, and noise of each view."""
    load = rng.normal(size=(directions, samples)) / np.sqrt(directions)

    def luck(*shape):
        return rng.normal(size=(*shape, directions)) @ load

    common = rng.normal(size=samples)
    low, rest = luck(levels) * np.sqrt(0.2), luck(levels, levels) * np.sqrt(0.8)
    grid = common + low[:, None] + rest
    one = common + low[0] + luck() * np.sqrt(0.8 - share)
    moved = one + luck(copies) * np.sqrt(share)

    def seen(scores):
        return np.stack([scores + 0.5 * rng.normal(size=scores.shape) for _ in range(views)])

    return standardised(seen(moved), False), standardised(seen(grid), False)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_the_share_is_the_ratio_of_both_variances(views) -> None:
    copies, grid = world(np.random.default_rng(0), levels=4, copies=5, samples=40, views=views)
    pairs = [(a, b) for a in range(views) for b in range(views) if a != b or views == 1]
    within = np.mean([np.cov(copies[a, :, x], copies[b, :, x])[0, 1] for a, b in pairs for x in range(40)])
    total = []
    for a, b in pairs:
        for i in range(4):
            for j in range(4):
                alone = [(k, m) for k in range(4) for m in range(4) if k != i and m != j and (k + m) % 4 != (i + j) % 4]
                others = np.mean([grid[b, k, m] for k, m in alone], 0)
                total.append(grid[a, i, j] @ (grid[b, i, j] - others) / 40)
    share, lower, upper = variance_between_copies(copies, grid, np.arange(40))
    assert share == pytest.approx(within / np.mean(total), rel=1e-9)
    assert lower < share < upper


def test_what_differs_is_that_of_which_seed_shares_are() -> None:
    _, grid = world(np.random.default_rng(1), levels=5)
    gram = grouped_products(grid, np.arange(200)).mean(0)
    assert uncrossed_variance(gram, (5, 5), np.ones(25, dtype=bool)) == pytest.approx(
        shares_of(grid, "latin", ranked=False).variance
    )
    assert seed_shares(grid, ranked=False)["share"].sum() == pytest.approx(1)


def test_intervals_hold_in_simulated_worlds() -> None:
    rng, held, found = np.random.default_rng(2), 0, []
    for _ in range(60):
        share, lower, upper = variance_between_copies(*world(rng), np.arange(200))
        held += lower <= 0.4 <= upper
        found.append(share)
    assert held >= 53, held  # of 60; a nominal 57
    assert np.mean(found) == pytest.approx(0.4, abs=0.03)


def test_copies_that_do_not_differ_are_seldom_said_to() -> None:
    rng = np.random.default_rng(4)
    said = sum(variance_between_copies(*world(rng, share=0.0), np.arange(200))[1] > 0 for _ in range(60))
    assert said <= 5, said  # of 60; a nominal 1 or 2


def test_fewer_samples_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="groups must be 2 to 8"):
        variance_between_copies(*world(np.random.default_rng(0), samples=8), np.arange(8))


def test_a_wider_confidence_is_a_wider_interval() -> None:
    made = world(np.random.default_rng(3))
    narrow, wide = (variance_between_copies(*made, np.arange(200), confidence=c) for c in (0.8, 0.99))
    assert wide[1] < narrow[1] < narrow[0] == wide[0] < narrow[2] < wide[2]
