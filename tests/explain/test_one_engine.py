"""``logical_model(budget)`` is ``estimate(budget).logical_model()``, and what an estimate says of its own errors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions, GameEstimate
from captum_andor.sampling import Regime, paired_design

NETWORK = torch.randn(40, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(x: Tensor) -> Tensor:
    return torch.tanh(x.double() @ NETWORK[: x.shape[1]] / x.shape[1] ** 0.5).sum(1)


def ones(n: int) -> Tensor:
    return torch.ones(1, n, dtype=torch.float64)


@pytest.mark.parametrize(("n", "budget"), [(6, 64), (8, 100), (13, 200), (18, 200), (30, 200)])
def test_a_logical_model_is_that_of_the_estimate(n: int, budget: int) -> None:
    method = AndOrInteractions(network)
    model = method.logical_model(ones(n), budget=budget, max_patterns=6)
    estimate = method.estimate(ones(n), budget=budget)
    of_estimate = estimate.logical_model(max_patterns=6)
    assert repr(model) == repr(of_estimate)
    torch.testing.assert_close(model.r2_interval, of_estimate.r2_interval)
    assert isinstance(model.estimate, GameEstimate) and torch.equal(model.estimate.values, estimate.values)
    assert model[0].estimate.shape == ()


@pytest.mark.parametrize("n", [13, 24])
def test_previous_takes_either(n: int) -> None:
    method = AndOrInteractions(network, check_repeats=False)
    small = method.logical_model(ones(n), budget=100, max_patterns=5)
    fresh = method.estimate(ones(n), budget=200)
    for previous in (small, small.estimate):
        torch.testing.assert_close(method.estimate(ones(n), budget=200, previous=previous).values, fresh.values)
        again = method.logical_model(ones(n), budget=200, max_patterns=5, previous=previous)
        assert repr(again) == repr(fresh.logical_model(max_patterns=5))


def test_previous_of_one_output_that_is_another_is_refused() -> None:
    """Values of size 1e4 that differ by 1: the tolerance was a thousandth of the size."""
    w = torch.randn(3, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    small = AndOrInteractions(lambda x: 1e4 + x @ w[:2].T).estimate(ones(12), budget=64)
    with pytest.raises(ValueError, match="previous is of another game: .* of output 1 of 2"):
        AndOrInteractions(lambda x: 1e4 + x @ w[[0, 2]].T).estimate(ones(12), budget=128, previous=small)


def test_previous_with_the_same_ends_is_told_by_a_coalition_between() -> None:
    small = AndOrInteractions(lambda x: x[:, 0] * x[:, 1] + x[:, 2]).estimate(ones(12), budget=64)
    with pytest.raises(ValueError, match="one coalition between"):
        AndOrInteractions(lambda x: 2 * x.prod(1)).estimate(ones(12), budget=128, previous=small)


@pytest.mark.parametrize("scale", [1e-170, 1e-85, 1e80, 1e160])
def test_r2_knows_no_scale(scale: float) -> None:
    first, other = (
        AndOrInteractions(lambda x, s=s: s * network(x), check_repeats=False).estimate(ones(8), budget=64)
        for s in (1.0, scale)
    )
    for a, b in ((first, other), (first.logical_model(), other.logical_model())):
        torch.testing.assert_close(a.r2, b.r2, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(a.r2_interval, b.r2_interval, atol=1e-5, rtol=1e-5)


def test_noise_is_what_the_model_answers_differently() -> None:
    generator = torch.Generator().manual_seed(0)

    def model(x: Tensor) -> Tensor:
        return network(x) + 0.3 * torch.randn(len(x), generator=generator, dtype=torch.float64)

    found = []
    for seed in range(4):
        with pytest.warns(UserWarning, match="answered differently"):
            found.append(float(AndOrInteractions(model).estimate(ones(12), budget=256, seed=seed).noise))
    assert all(0.2 < noise < 0.4 for noise in found)
    with pytest.warns(UserWarning, match="answered differently"):
        silent = AndOrInteractions(lambda x: model(0 * x)).estimate(ones(12), budget=256)
    assert 0.2 < float(silent.noise) < 0.4 and float(silent.r2) < 0.5


def test_t_of_patterns_that_are_told_is_that_of_least_squares_and_0_of_others() -> None:
    lm = AndOrInteractions(lambda x: x.prod(1) + x[:, 0]).estimate(ones(12), budget=64).logical_model()
    t = {pattern.players: float(t) for pattern, t in zip(lm.patterns, lm.t, strict=True)}
    assert t[(0,)] > 1e3 or math.isinf(t[(0,)])
    assert not any(math.isnan(value) for value in t.values())


def test_errors_are_no_larger_than_the_range_of_v() -> None:
    model = lambda x: x[:, -1] + 0.5 * x[:, -2] * x[:, -3] + 3 * x[:, :12].prod(1)  # noqa: E731
    estimate = AndOrInteractions(model, check_repeats=False).estimate(ones(20), budget=256)
    spread = float(estimate.values.max() - estimate.values.min())
    _, std = estimate.shapley_values(return_std=True)
    assert float(std.max()) * 1.96 <= spread * (1 + 1e-9)


def test_a_file_holds_what_the_estimate_knew(tmp_path: Path) -> None:
    """Of patterns that are known, of those that are not told apart, of noise: what is loaded prints the same."""
    rows = torch.from_numpy(paired_design(14, 64))
    rare = rows[:, -1] + 0.5 * rows[:, -2] * rows[:, -3] + 3 * rows[:, :7].all(1).double()
    known = AndOrInteractions(lambda x: 2 * x[:, 0] * x[:, 1] - x[:, 2], check_repeats=False)
    dense = AndOrInteractions(network, check_repeats=False)
    for number, estimate in enumerate(
        (
            GameEstimate.from_values(rare, rows),
            known.estimate(ones(24), budget=300),
            dense.estimate(ones(24), budget=200),
        )
    ):
        estimate.save(tmp_path / f"{number}.npz")
        loaded = GameEstimate.load(tmp_path / f"{number}.npz")
        assert loaded.kinds == estimate.kinds and repr(loaded) == repr(estimate)
        assert repr(loaded.logical_model(max_patterns=5)) == repr(estimate.logical_model(max_patterns=5))


def test_an_automatic_budget_asks_again_once() -> None:
    calls: list[int] = []

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return network(x)

    found = AndOrInteractions(model).estimate(ones(14), budget="auto", error_tolerance=0.02)
    assert found.n_evaluations > 64 and sum(calls) <= found.n_evaluations + 8


def test_half_precision_is_the_same_game() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).bfloat16().eval()
    method = AndOrInteractions(lambda x: model(x.bfloat16())[:, 0] + 3)
    small = method.estimate(ones(12).float(), budget=64)
    assert small.more(128).n_evaluations == 128


def test_no_games_are_an_estimate_of_none() -> None:
    estimate = GameEstimate.from_values(torch.zeros(0, 64), torch.from_numpy(paired_design(12, 64)))
    assert estimate.shape == (0,) and "0 outputs" in repr(estimate)


def test_intervals_of_decisions_and_probabilities_hold() -> None:
    """They held .2 to .6 of the Shapley values at 64 of 1 024 coalitions."""
    from captum_andor.games.transforms import all_coalitions, coalition_codes, shapley_values

    for game in ("sigmoid", "decision"):
        inside = []
        for seed in range(8):
            score = all_coalitions(10).double() @ torch.randn(
                10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
            )
            v = torch.sigmoid(4 * (score - score.mean())) if game == "sigmoid" else (score > score.median()).double()
            method = AndOrInteractions(lambda x, v=v: v[coalition_codes(x > 0)], check_repeats=False)
            mean, std = method.estimate(ones(10), budget=64, seed=seed).shapley_values(return_std=True)
            inside.append(((mean[0] - shapley_values(v)).abs() <= 1.96 * std[0]).double().mean())
        assert float(torch.stack(inside).mean()) > 0.8


def test_the_regime_says_what_is_done() -> None:
    assert Regime.of(8, 256).is_complete and Regime.of(12, 256).refits and not Regime.of(12, 257).refits
    assert Regime.of(16, 512).model == "completed" and Regime.of(17, 512).model == "sample"
    assert Regime.of(20, 512).search == "all patterns" and Regime.of(21, 512).search == "beams"


def test_ctrl_c_during_the_first_search_keeps_what_was_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    from captum_andor.explain import evaluation

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "find_patterns", interrupted)
    estimate = AndOrInteractions(network, check_repeats=False).estimate(ones(12), budget=100)
    assert estimate.n_evaluations == 90 and estimate.kinds == ["process"]


def test_budgets_too_small_name_the_least() -> None:
    method = AndOrInteractions(network)
    with pytest.raises(ValueError, match="at least 2, for ∅ and N; got 1"):
        method.estimate(ones(12), budget=1)
    with pytest.raises(ValueError, match="at least 16"):
        method.logical_model(ones(12), budget=8)
