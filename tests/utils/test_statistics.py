"""Statistics against scipy, scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from captum_andor._utils import statistics as ours

columns = st.lists(st.integers(-5, 5), min_size=4, max_size=40)


@settings(max_examples=50, deadline=None)
@given(columns)
def test_ranks_are_scipys(values: list[int]) -> None:
    assert ours.ranks(values).tolist() == stats.rankdata(values).tolist()


def test_the_unknown_takes_no_rank() -> None:
    assert ours.ranks([3.0, np.nan, 1.0]).tolist() == pytest.approx([2.0, np.nan, 1.0], nan_ok=True)
    assert ours.top([3.0, np.nan, 5.0, 3.0], 3).tolist() == [2, 0, 3]


@settings(max_examples=50, deadline=None)
@given(columns, st.integers(0, 10**6))
def test_spearman_is_scipys(values: list[int], seed: int) -> None:
    other = np.random.default_rng(seed).integers(-3, 4, len(values))
    if len(set(values)) > 1 and len(set(other.tolist())) > 1:
        assert ours.spearman(values, other) == pytest.approx(stats.spearmanr(values, other).statistic, abs=1e-12)
    else:
        assert np.isnan(ours.spearman(values, other))


def test_partial_spearman_with_one_control_is_the_closed_form() -> None:
    a, b, c = np.random.default_rng(0).normal(size=(3, 60))
    a, b = a + c, b + c
    ab, ac, bc = (stats.spearmanr(x, y).statistic for x, y in ((a, b), (a, c), (b, c)))
    expected = (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))
    assert ours.partial_spearman(a, b, [c]) == pytest.approx(expected, abs=1e-12)
    assert ours.partial_spearman(a, b, [c, 2 * c]) == pytest.approx(expected, abs=1e-9)  # collinear controls
    assert np.isnan(ours.partial_spearman(a, b, [a]))  # nothing is left of a
    assert ours.partial_spearman(a, b, []) == pytest.approx(ab)


@settings(max_examples=50, deadline=None)
@given(columns, st.integers(0, 10**6))
def test_auc_is_the_share_of_ordered_pairs(values: list[int], seed: int) -> None:
    members = np.random.default_rng(seed).random(len(values)) < 0.4
    inside, outside = np.array(values)[members], np.array(values)[~members]
    if not len(inside) or not len(outside):
        assert np.isnan(ours.auc(values, members))
        return
    wins = (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
    assert ours.auc(values, members) == pytest.approx(wins)


@pytest.mark.parametrize(("share", "expected"), [(0.05, 0.0256), (0.1, 0.0526), (0.2, 0.1111)])
def test_chance_is_r_over_2_minus_r(share: float, expected: float) -> None:
    assert ours.chance_iou(int(1000 * share), int(1000 * share), 1000) == pytest.approx(share / (2 - share))
    assert ours.chance_iou(int(1000 * share), int(1000 * share), 1000) == pytest.approx(expected, abs=1e-4)


def test_iou() -> None:
    assert ours.iou([1, 1, 0, 0], [0, 1, 1, 0]) == pytest.approx(1 / 3)
    assert np.isnan(ours.iou([0, 0], [0, 0]))


def test_the_bootstrap_covers_a_mean() -> None:
    covered = 0
    for seed in range(60):
        data = np.random.default_rng(seed).normal(size=50)
        low, high = ours.bootstrap(lambda rows, data=data: float(data[rows].mean()), 50, 200, seed)
        covered += low <= 0 <= high
    assert 50 <= covered <= 60


def test_reliability_of_sums_and_its_correction() -> None:
    """True scores of variance 1 and noise of variance 1: one measurement 1/2, the sum of four 4/5."""
    assert ours.spearman_brown(0.5, 4) == pytest.approx(0.8)
    assert ours.disattenuated(0.4, 0.8, 0.8) == pytest.approx(0.5)
    assert np.isnan(ours.disattenuated(0.4, np.nan, 0.8))
    assert np.isnan(ours.disattenuated(0.4, -0.1, 0.8))


def test_logistic_regression_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    y = generator.random(200) < 1 / (1 + np.exp(-x[:, 0] + x[:, 1]))
    features = np.column_stack([np.ones(200), x])
    theirs = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(x, y)
    found = ours._logistic(features, y)
    assert found.tolist() == pytest.approx([float(theirs.intercept_[0]), *theirs.coef_[0].tolist()], abs=1e-4)


def test_cross_validated_scores_find_what_is_there_and_no_more() -> None:
    generator = np.random.default_rng(0)
    y = generator.random(1000) < 0.2
    telling, noise = y + generator.normal(size=1000), generator.normal(size=1000)
    assert ours.auc(ours.cross_validated_scores([telling, noise], y, 5, 0), y) == pytest.approx(
        ours.auc(telling, y), abs=0.02
    )
    assert ours.auc(ours.cross_validated_scores([noise], y, 5, 0), y) < 0.6
    perfect = ours.cross_validated_scores([y, np.full(1000, np.nan)], y, 5, 0)
    assert ours.auc(perfect, y) == 1.0
