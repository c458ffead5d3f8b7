"""Statistics against scipy, scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from benchmarks import overlap_coverage
from captum_andor._utils import statistics as ours

columns = st.lists(st.integers(-5, 5), min_size=4, max_size=40)


@settings(max_examples=50, deadline=None)
@given(columns)
def test_ranks_are_scipys(values: list[int]) -> None:
    assert ours.ranks(values).tolist() == stats.rankdata(values).tolist()


def test_the_unknown_takes_no_rank() -> None:
    assert ours.ranks([3.0, np.nan, 1.0]).tolist() == pytest.approx([2.0, np.nan, 1.0], nan_ok=True)
    first, *tied = ours.top([3.0, np.nan, 5.0, 3.0], 3, "a").tolist()
    assert first == 2 and sorted(tied) == [0, 3]


def test_ties_are_broken_at_random_by_label_and_seed() -> None:
    """In the order of their positions they would agree in every model."""
    scores = np.zeros(200)
    scores[:5] = 1.0
    sets = {
        (label, seed): set(ours.top(scores, 40, label, seed).tolist()) for label in ("a", "b") for seed in range(20)
    }
    assert all(set(range(5)) <= found for found in sets.values())
    assert sets["a", 0] == set(ours.top(scores, 40, "a").tolist()) != sets["a", 1] != sets["b", 1]
    common = np.mean([len(sets["a", seed] & sets["b", seed]) for seed in range(20)])
    assert common == pytest.approx(5 + 35 * 35 / 195, abs=1.5)


@pytest.mark.parametrize(
    ("scores", "count", "share"),
    [([1, 2, 3, 4], 2, 0.0), ([1, 1, 1, 4], 2, 0.5), ([1, 1, 1, 1], 2, 1.0), ([1, 3, 3, 4], 3, 0.0), ([1, 1], 2, 0.0)],
)
def test_the_share_tied_is_what_the_draw_decided(scores: list[float], count: int, share: float) -> None:
    assert ours.share_tied(scores, count) == share


def test_the_interval_of_iou_is_wilsons_of_the_common_share_and_stays_within_what_is_possible() -> None:
    interval = stats.binomtest(12, 30).proportion_ci(method="wilson")
    low, high = ours.iou_interval(30, 30, 12, 1000)
    assert (low, high) == pytest.approx((interval.low / (2 - interval.low), interval.high / (2 - interval.high)))
    low, high = ours.iou_interval(10, 10, 0, 100)
    assert low == pytest.approx(0, abs=1e-12) and ours.chance_iou(10, 10, 100) < high
    assert all(ours.iou_interval(k, k, 0, 1000)[0] == 0 for k in range(1, 60))  # exactly
    assert ours.iou_interval(10, 10, 10, 10) == pytest.approx((1.0, 1.0))  # both sets are everything
    assert ours.iou_interval(5, 20, 5, 100)[1] == pytest.approx(0.25)
    assert np.isnan(ours.iou_interval(0, 0, 0, 10)).all()


@pytest.mark.parametrize("n", [40, 200])
@pytest.mark.parametrize("tied", [0.0, 0.5, 0.96])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_intervals_cover_the_truth(n: int, tied: float, correlation: float) -> None:
    """Independent models lay below chance in 62 % of runs at N = 50; with ties above it in 24 of 24."""
    rows = overlap_coverage.coverage(n, tied, correlation, runs=80, n_resamples=100)
    least = stats.binom.ppf(0.001, 80, 0.86) / 80  # the benchmark finds .86 to 1 in 400 runs of these cells
    assert rows["iou"] >= least and rows["spearman"] >= least


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


@pytest.mark.parametrize("kind", ["plain", "none", "constant", "dependent", "nearly", "ranks"])
def test_residuals_are_those_of_least_squares(kind: str) -> None:
    draw = np.random.default_rng(0)
    y, columns = draw.normal(size=300), [*draw.normal(size=(4, 300))]
    if kind == "none":
        columns = []
    if kind == "constant":
        columns.append(np.ones(300))
    if kind == "dependent":
        columns.append(columns[0] + columns[1])
    if kind == "nearly":
        columns.append(columns[0] + 1e-6 * draw.normal(size=300))
    if kind == "ranks":
        y, columns = y.argsort().argsort() * 1.0, [x.argsort().argsort() * 1.0 for x in columns]
    design = np.stack([np.ones(300), *columns], axis=1)
    wanted = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(ours.residual(y, columns), wanted, atol=1e-9 * np.abs(y).max())
