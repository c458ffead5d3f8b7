"""Variance between copies of one network: equal to its definition, intervals that hold in simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest

from captum_andor.studies.factorial.instability import share_of_instability
from captum_andor.studies.factorial.variance_shares import (
    CellProducts,
    Instability,
    grouped_products,
    seed_shares,
    shares_of,
    standardised,
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


def found_of(copies, grid, cells=None, groups=10):
    """Share of instability and its interval, from standardised scores."""
    number = np.arange(grid.shape[-1])
    cells = np.zeros(copies.shape[1], dtype=int) if cells is None else cells
    instability = Instability.of(grouped_products(copies, number, groups), cells)
    return share_of_instability(instability, CellProducts.of(grid, "latin", number, groups))


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
    share, lower, upper = found_of(copies, grid)
    assert share == pytest.approx(within / np.mean(total), rel=1e-9)
    assert lower < share < upper


def test_what_differs_is_that_of_which_seed_shares_are() -> None:
    _, grid = world(np.random.default_rng(1), levels=5)
    cells = CellProducts.of(grid, "latin", np.arange(200))
    assert cells.components().sum() == pytest.approx(shares_of(grid, "latin", ranked=False).variance)
    assert seed_shares(grid, ranked=False)["share"].sum() == pytest.approx(1)


def test_intervals_hold_in_simulated_worlds() -> None:
    rng, held, found = np.random.default_rng(2), 0, []
    for _ in range(60):
        share, lower, upper = found_of(*world(rng))
        held += lower <= 0.4 <= upper
        found.append(share)
    assert held >= 53, held  # of 60; a nominal 57
    assert np.mean(found) == pytest.approx(0.4, abs=0.03)


def test_copies_that_do_not_differ_are_seldom_said_to() -> None:
    rng = np.random.default_rng(4)
    said = sum(found_of(*world(rng, share=0.0))[1] > 0 for _ in range(60))
    assert said <= 5, said  # of 60; a nominal 1 or 2


def test_fewer_samples_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="groups must be 2 to 8"):
        found_of(*world(np.random.default_rng(0), samples=8))


def test_a_wider_confidence_is_a_wider_interval() -> None:
    made = world(np.random.default_rng(3))
    instability = Instability.of(grouped_products(made[0], np.arange(200)), np.zeros(8, dtype=int))
    cells = CellProducts.of(made[1], "latin", np.arange(200))
    narrow, wide = (share_of_instability(instability, cells, c) for c in (0.8, 0.99))
    assert wide[1] < narrow[1] < narrow[0] == wide[0] < narrow[2] < wide[2]


def test_copies_of_several_networks_count_by_network() -> None:
    """The mean of what copies of each differ by; left out network by network, so that these may be unlike."""
    rng = np.random.default_rng(5)
    sizes, cells = np.array([0.1, 0.4, 0.9, 0.2]), np.repeat(np.arange(4), 3)
    copies = rng.normal(size=(1, 4, 1, 300)) + np.sqrt(sizes)[None, :, None, None] * rng.normal(size=(1, 4, 3, 300))
    found = Instability.of(grouped_products(copies.reshape(1, 12, 300), np.arange(300)), cells)
    each = np.var(copies[0], axis=1, ddof=1).mean(-1)
    assert found.whole == pytest.approx(each.mean())
    np.testing.assert_allclose(found.without_copies, [np.delete(each, i).mean() for i in range(4)])
