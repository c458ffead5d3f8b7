"""Shares of variance in a crossed design: equal to the analysis of variance, unbiased, covered, about stable parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from captum_andor.studies import seed_shares
from captum_andor.studies.factorial.variance_shares import shares_of, standardised


def world(rng, m, n, low, high, order, views=1, noise=0.0):
    """Scores of which low, high, order and rest have given shares, smooth over samples as scores are."""
    basis = rng.normal(size=(30, n)) / np.sqrt(30)

    def effect(*shape):
        return rng.normal(size=(*shape, 30)) @ basis

    k = (np.arange(m)[:, None] + np.arange(m)[None]) % m
    y = 1.2 * rng.normal(size=n) + np.sqrt(low) * effect(m)[:, None] + np.sqrt(high) * effect(m)[None]
    y = y + np.sqrt(order) * effect(m)[k] + np.sqrt(1 - low - high - order) * effect(m, m)
    return np.stack([y + noise * rng.normal(size=y.shape) for _ in range(views)])


def analysis_of_variance(a, b):
    """Straight from the definition: mean squares of a Latin square, per sample, then averaged; products of two views."""
    m = len(a)
    k = (np.arange(m)[:, None] + np.arange(m)[None]) % m

    def effects(y):
        grand = y.mean((0, 1))
        low, high = y.mean(1) - grand, y.mean(0) - grand
        order = np.stack([y[k == level].mean(0) for level in range(m)]) - grand
        return low, high, order, y - grand - low[:, None] - high[None] - order[k]

    *main, rest = (x * y for x, y in zip(effects(a), effects(b), strict=True))
    of_rest = rest.sum((0, 1)) / ((m - 1) * (m - 2))
    found = [((m * e.sum(0) / (m - 1)) - of_rest) / m for e in main]
    parts = np.array([*(part.mean() for part in found), of_rest.mean()])
    return parts / parts.sum()


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("m", [3, 5, 8])
def test_equal_to_the_analysis_of_variance(m, views) -> None:
    scores = world(np.random.default_rng(0), m, 200, 0.3, 0.1, 0.1, views, noise=0.3)
    found = seed_shares(scores)
    assert list(found.index) == ["low", "high", "order", "rest"] and list(found.columns) == ["share", "lower", "upper"]
    np.testing.assert_allclose(found["share"], analysis_of_variance(*standardised(scores, True)[[0, -1]]), atol=1e-12)
    assert found["share"].sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("low", "high", "order"), [(0.0, 0.0, 0.0), (0.1, 0.03, 0.0), (0.5, 0.1, 0.1)])
def test_shares_are_unbiased_and_covered(low, high, order) -> None:
    wanted = np.array([low, high, order, 1 - low - high - order])
    found, inside, above = [], [], []
    for seed in range(60):
        shares = shares_of(world(np.random.default_rng(seed), 8, 250, low, high, order), "latin", ranked=False)
        table = shares.table()
        found.append(table["share"].to_numpy())
        inside.append((table["lower"] <= wanted) & (wanted <= table["upper"]))
        difference = shares.low_less_high()
        above.append(difference[1] > 0)
        assert difference[0] == pytest.approx(table.loc["low", "share"] - table.loc["high", "share"])
    np.testing.assert_allclose(np.mean(found, 0), wanted, atol=0.02)
    assert (np.mean(inside, 0)[[0, 1, 3]] >= 0.88).all()  # 60 worlds: .88 is two standard errors below .95
    if low == high:
        assert np.mean(above) <= 0.07


def test_only_what_views_agree_on_counts() -> None:
    rng = np.random.default_rng(1)
    noisy = world(rng, 8, 400, 0.4, 0.1, 0.0, views=2, noise=1.0)
    one, both = seed_shares(noisy[:1], ranked=False), seed_shares(noisy, ranked=False)
    assert one.loc["low", "share"] < 0.3  # the views' own noise is taken for the rest
    assert both.loc["low", "share"] == pytest.approx(0.4, abs=0.12)
    more = seed_shares(world(rng, 8, 400, 0.4, 0.1, 0.0, views=4, noise=1.0), ranked=False)
    assert more.loc["low", "share"] == pytest.approx(0.4, abs=0.12)


def test_without_orders_their_share_is_in_the_rest() -> None:
    scores = world(np.random.default_rng(2), 6, 300, 0.3, 0.1, 0.2)
    with_orders, without = seed_shares(scores), seed_shares(scores, order=None)
    assert list(without.index) == ["low", "high", "rest"]
    assert without.loc["rest", "share"] == pytest.approx(with_orders.loc[["order", "rest"], "share"].sum(), abs=0.1)
    assert seed_shares(scores[:, :, :4], order=None).shape == (3, 3)  # parts need not have equally many levels


def test_differences_of_scores_by_the_same_jackknife() -> None:
    rng = np.random.default_rng(3)
    score = world(rng, 8, 300, 0.4, 0.1, 0.0)
    other = score + 0.5 * world(rng, 8, 300, 0.0, 0.0, 0.0)
    a, b = shares_of(score, "latin"), shares_of(other, "latin")
    difference = (a - b).table()
    np.testing.assert_allclose(difference["share"], a.table()["share"] - b.table()["share"])
    width = difference["upper"] - difference["lower"]
    apart = np.hypot(*(s.table()["upper"] - s.table()["lower"] for s in (a, b)))
    assert width["low"] < apart["low"]  # the same networks and samples: their luck cancels
    assert (np.abs((a - a).table().to_numpy()) < 1e-12).all()


def test_ranks_tensors_and_three_axes() -> None:
    scores = world(np.random.default_rng(4), 5, 100, 0.3, 0.1, 0.0)
    pd.testing.assert_frame_equal(seed_shares(scores), seed_shares(np.exp(scores)))
    pd.testing.assert_frame_equal(seed_shares(scores), seed_shares(torch.from_numpy(scores[0])))


@pytest.mark.parametrize(
    ("scores", "options", "error", "message"),
    [
        (np.zeros((2, 4, 5, 20)), {}, ValueError, "of 4 low and 5 high levels"),
        (np.zeros((2, 2, 20)), {}, ValueError, "at least 3 levels"),
        (np.full((4, 4, 20), np.nan), {}, ValueError, "must be finite"),
        (np.zeros((4, 4, 20)), {}, ValueError, "do not differ between networks"),
        (np.ones((4, 4, 5)), {"groups": 9}, ValueError, "groups must be 2 to 5"),
        (np.ones((4, 4, 20)), {"order": "random"}, ValueError, "order must be"),
        (np.array([[["a"]]]), {}, TypeError, "real numbers"),
    ],
)
def test_bad_scores(scores, options, error, message) -> None:
    with pytest.raises(error, match=message):
        seed_shares(scores, **options)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_shares_know_no_scale(scale: float) -> None:
    y = np.random.default_rng(0).normal(size=(4, 4, 50))
    columns = ["share", "lower", "upper"]
    expected, found = (seed_shares(z, ranked=False)[columns] for z in (y, scale * y))
    np.testing.assert_allclose(found, expected, atol=1e-12)
