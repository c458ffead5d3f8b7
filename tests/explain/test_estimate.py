"""``GameEstimate`` and budgets of ``attribute``: right where the truth is known, honest where it is not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, KernelShap, NoiseTunnel, ShapleyValueSampling
from captum.metrics import infidelity
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from captum_andor import AndOrInteractions, GameEstimate
from captum_andor.games.indices import interaction_index
from captum_andor.games.transforms import all_coalitions, coalition_codes, shapley_values
from captum_andor.sampling.coalitions import paired_design


def network(n: int, outputs: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(n, 24), nn.Tanh(), nn.Linear(24, outputs)).double().eval()


def inputs(count: int, n: int) -> Tensor:
    return 2 * torch.randn(count, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def sampled(v: Tensor, budget: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rows = torch.from_numpy(paired_design(int(math.log2(v.shape[-1])), budget, seed=seed))
    return v[..., coalition_codes(rows)], rows


def games(n: int, count: int) -> Tensor:
    method = AndOrInteractions(network(n, count))
    return method.interactions(inputs(1, n), split="even").values[0]


def test_all_coalitions_are_exact_in_any_order() -> None:
    v = games(6, 2)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    whole = GameEstimate.from_values(v)
    shuffled = GameEstimate.from_values(v[:, order], all_coalitions(6)[order])
    for estimate in (whole, shuffled):
        mean, std = estimate.shapley_values(return_std=True)
        torch.testing.assert_close(mean, shapley_values(v))
        assert estimate.is_exact and float(std.abs().max()) == 0 and estimate.r2.tolist() == [1.0, 1.0]
        torch.testing.assert_close(estimate.predict(all_coalitions(6)), v)


@settings(max_examples=20)
@given(seed=st.integers(0, 999), budget=st.integers(2, 130))
def test_values_add_up_and_given_ones_stay(seed: int, budget: int) -> None:
    v = torch.randn(2, 128, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).cumsum(-1)
    y, rows = sampled(v, budget)
    estimate = GameEstimate.from_values(y, rows)
    mean, std = estimate.shapley_values(return_std=True)
    torch.testing.assert_close(mean.sum(-1), v[:, -1] - v[:, 0])
    assert bool((std >= 0).all())
    torch.testing.assert_close(estimate.predict(rows[:2]), y[:, :2], atol=1e-4, rtol=1e-4)


def test_shapley_values_from_a_quarter_of_the_coalitions_and_their_intervals() -> None:
    v = games(10, 6)
    exact = shapley_values(v)
    inside = []
    for seed in range(3):
        mean, std = GameEstimate.from_values(*sampled(v, 256, seed), seed=seed).shapley_values(return_std=True)
        assert float(((mean - exact) ** 2).sum() / exact.square().sum()) < 1e-3
        inside.append(((mean - exact).abs() < 1.96 * std).double().mean())
    assert 0.85 < float(torch.stack(inside).mean()) <= 1.0


def test_r2_is_that_of_the_unseen_coalitions_and_its_interval_holds_it() -> None:
    v = games(10, 6)
    v = v + 0.2 * v.std() * torch.randn(v.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    estimate = GameEstimate.from_values(*sampled(v, 256))
    h = estimate.predict(all_coalitions(10))
    seen = coalition_codes(estimate.coalitions)  # type: ignore[arg-type]
    h[:, seen] = v[:, seen]
    true = 1 - (v - h).square().mean(-1) / v.var(-1, unbiased=False)
    assert float((estimate.r2 - true).abs().mean()) < 0.02
    low, high = estimate.r2_interval.unbind(-1)
    assert int(((low <= true) & (true <= high)).sum()) >= 5


def test_a_sparse_game_is_found_and_is_exact() -> None:
    z = all_coalitions(12)
    v = (2.0 * (z[:, 0] & z[:, 3] & z[:, 7]) - 1.5 * (z[:, 2] | z[:, 5]) + 0.5 * z[:, 9]).double()
    estimate = GameEstimate.from_values(*sampled(v, 128))
    assert estimate.kinds == ["patterns"]
    mean, std = estimate.shapley_values(return_std=True)
    torch.testing.assert_close(mean, shapley_values(v), atol=1e-9, rtol=1e-9)
    assert float(std.max()) == 0
    torch.testing.assert_close(estimate.predict(z), v, atol=1e-9, rtol=1e-9)


def test_what_was_never_seen_is_not_claimed() -> None:
    """An AND of 8 of 16 players is 0 on every coalition of the budget but N (faults.md, 1)."""
    model = lambda x: (x[:, :8] != 0).all(1).double()  # noqa: E731
    for seed in range(3):
        estimate = AndOrInteractions(model).estimate(torch.ones(1, 16), budget=256, seed=seed)
        assert bool(estimate.r2.isnan().all()) and "R² unknown" in repr(estimate)


def test_indices_have_errors_that_hold_them() -> None:
    v = games(8, 2)
    estimate = GameEstimate.from_values(*sampled(v, 128))
    for index in ("SII", "k-SII", "BII"):
        mean, std = estimate.interaction_index(index, 2, return_std=True)
        exact = interaction_index(v, index, 2)
        asked = std > 0
        assert int(asked.sum()) >= 2 * 36
        assert float(((mean - exact).abs() < 2.5 * std)[asked].double().mean()) > 0.85
    banzhaf, std = estimate.banzhaf_values(return_std=True)
    assert banzhaf.shape == std.shape == (2, 8)


def test_attribute_from_a_budget_is_scattered_efficient_and_tells_its_error() -> None:
    model, x = network(20), inputs(2, 20)
    method = AndOrInteractions(model)
    mask = torch.arange(20)[None] // 2
    found, error = method.attribute(x, target=1, feature_mask=mask, budget=128, return_standard_error=True)
    exact = method.attribute(x, target=1, feature_mask=mask)
    assert found.shape == error.shape == x.shape
    assert float((found - exact).abs().max()) < 4 * float(error.max())
    full, empty = model(x)[:, 1], model(torch.zeros_like(x))[:, 1]
    torch.testing.assert_close(found[:, ::2].sum(1), full - empty)
    exact_again, none = method.attribute(x, target=1, feature_mask=mask, return_standard_error=True)
    assert torch.equal(exact_again, exact) and float(none.abs().max()) == 0


def test_any_number_of_players() -> None:
    weights = torch.linspace(0, 1, 300, dtype=torch.float64)
    found = AndOrInteractions(lambda x: x @ weights).attribute(torch.ones(1, 300, dtype=torch.float64), budget=700)
    torch.testing.assert_close(found[0], weights, atol=1e-4, rtol=1e-4)


def test_each_sample_is_its_own_whoever_else_is_in_the_batch() -> None:
    model, x = network(12), inputs(3, 12)
    method = AndOrInteractions(model)
    together = method.estimate(x, target=0, budget=128)
    for i in range(3):
        alone = method.estimate(x[i : i + 1], target=0, budget=128)
        torch.testing.assert_close(together[i].shapley_values(), alone[0].shapley_values(), atol=1e-9, rtol=1e-9)


def test_more_continues_and_previous_is_checked() -> None:
    calls = []

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return torch.tanh(x).sum(1) + x[:, 0] * x[:, 1]

    method = AndOrInteractions(model, check_repeats=False)
    x = inputs(1, 12)
    small = method.estimate(x, budget=64)
    before = sum(calls)
    large = small.more(128)
    assert large.n_evaluations == 128 and sum(calls) - before == 64 + 3  # v(∅), v(N), one between
    torch.testing.assert_close(large.shapley_values(), method.estimate(x, budget=128).shapley_values())
    with pytest.raises(ValueError, match="previous is of another game"):
        method.estimate(x + 1, budget=128, previous=small)
    with pytest.raises(ValueError, match="needs the model"):
        GameEstimate.from_values(*sampled(games(6, 1)[0], 16)).more(32)


def test_an_automatic_budget_stops_when_it_is_sure() -> None:
    model, x = network(14), inputs(2, 14)
    method = AndOrInteractions(model)
    counts = [method.estimate(x, target=0, budget="auto", error_tolerance=t).n_evaluations for t in (0.2, 0.02)]
    assert 32 <= counts[0] < counts[1] <= 4096
    exact = method.attribute(x, target=0)
    found = method.attribute(x, target=0, budget="auto", error_tolerance=0.02)
    assert float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 0.05


def test_ctrl_c_gives_the_estimate_of_what_was_evaluated() -> None:
    calls = 0

    def model(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise KeyboardInterrupt
        return x.sum(1)

    estimate = AndOrInteractions(model, check_repeats=False).estimate(
        torch.ones(1, 12), budget=512, perturbations_per_eval=16
    )
    assert 2 < estimate.n_evaluations < 512


def test_files_hold_it(tmp_path: Path) -> None:
    method = AndOrInteractions(network(12))
    estimate = method.estimate(inputs(2, 12), budget=96, player_names=[f"p{i}" for i in range(12)])
    estimate[:, 0].save(tmp_path / "estimate.npz")
    loaded = GameEstimate.load(tmp_path / "estimate.npz")
    torch.testing.assert_close(loaded.shapley_values(), estimate[:, 0].shapley_values())
    torch.testing.assert_close(loaded.attributions(), estimate[:, 0].attributions())
    assert repr(loaded) == repr(estimate[:, 0])
    frame = loaded.to_dataframe()
    assert list(frame.columns) == ["sample", "output", "player", "name", "value", "std"] and len(frame) == 24
    with np.load(tmp_path / "estimate.npz") as archive:
        arrays = dict(archive)
    arrays["theta.0"] = arrays["theta.0"][:-1]
    np.savez(tmp_path / "damaged.npz", **arrays)
    with pytest.raises(ValueError, match="damaged"):
        GameEstimate.load(tmp_path / "damaged.npz")


def test_the_figure_has_a_bar_and_an_interval_for_each_player() -> None:
    estimate = GameEstimate.from_values(*sampled(games(8, 1)[0], 64), player_names=list("abcdefgh"))
    _, axis = estimate.plot(use_pyplot=False)
    assert axis.get_yticklabels()[0].get_text() in "abcdefgh"
    assert len(axis.patches) == 8 and "64 of 2^8" in axis.get_title()
    with pytest.raises(ValueError, match="one output"):
        GameEstimate.from_values(*sampled(games(6, 2), 20)).plot()


@pytest.mark.parametrize(
    ("budget", "kind", "message"),
    [
        (1, ValueError, "budget must be at least 2"),
        (2.5, TypeError, 'budget must be an int or "auto"'),
        (True, TypeError, "budget must be"),
        ("all", ValueError, "budget must be"),
        (2**21, ValueError, "max_players is 20"),
    ],
)
def test_budgets_that_cannot_be(budget: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(1, 21), budget=budget)  # type: ignore[arg-type]


def test_the_error_above_max_players_names_the_budget() -> None:
    with pytest.raises(ValueError, match='budget="auto"'):
        AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(1, 30))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_players(n: int) -> None:
    found = AndOrInteractions(lambda x: x.prod(1)).attribute(torch.ones(1, n), budget=4)
    assert float(found.sum()) == pytest.approx(1.0)


def test_repeated_coalitions_are_averaged_and_two_are_needed() -> None:
    rows = torch.tensor([[False, False], [True, True], [True, True]])
    estimate = GameEstimate.from_values([0.0, 1.0, 3.0], rows)
    torch.testing.assert_close(estimate.shapley_values(), torch.tensor([1.0, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="at least two"):
        GameEstimate.from_values([1.0], rows[:1])


def test_captums_tools_take_it_in_place_of_kernel_shap() -> None:
    model, x = network(8).float(), inputs(2, 8).float()
    ours = AndOrInteractions(model)
    exact = ours.attribute(x, target=1)
    errors = {}
    for name, found in {
        "ours": ours.attribute(x, target=1, budget=100),
        "kernel": KernelShap(model).attribute(x, target=1, n_samples=100),
        "sampling": ShapleyValueSampling(model).attribute(x, target=1, n_samples=12),
    }.items():
        errors[name] = float((found - exact).square().mean())
    assert errors["ours"] < 0.1 * min(errors["kernel"], errors["sampling"])
    smoothed = NoiseTunnel(ours).attribute(x, nt_samples=3, stdevs=0.01, target=1, budget=64)
    assert smoothed.shape == x.shape
    assert FeatureAblation(model).attribute(x, target=1).shape == smoothed.shape
    torch.manual_seed(0)
    score = infidelity(
        model, lambda x: (0.1 * torch.ones_like(x), x - 0.1), x, ours.attribute(x, target=1, budget=64), target=1
    )
    assert bool(score.isfinite().all())


def test_ctrl_c_while_fitting_loses_no_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    from captum_andor.explain import estimate as estimate_module
    from captum_andor.process import coalition_process as process

    fitted = []

    def interrupted(*arguments: object) -> None:
        if len(fitted) == 1:  # the second game; afterwards nobody presses keys
            fitted.append(arguments)
            raise KeyboardInterrupt
        fitted.append(arguments)
        return original(*arguments)

    original = process._hyperparameters
    monkeypatch.setattr(process, "_hyperparameters", interrupted)
    monkeypatch.setattr(estimate_module, "_GAMES_AT_ONCE", 1)
    v = games(9, 3)
    y, rows = sampled(v, 128)
    with pytest.warns(UserWarning, match="interrupted: the estimates of 2 of 3 outputs"):
        estimate = GameEstimate.from_values(y, rows)
    mean, std = estimate.shapley_values(return_std=True)
    assert estimate.n_evaluations == 128 and bool(((mean - shapley_values(v)).abs() < 5 * std + 1e-3).all())


def test_a_constant_game_has_no_error_and_a_random_one_tells_its_noise() -> None:
    rows = torch.from_numpy(paired_design(9, 100))
    constant = GameEstimate.from_values(torch.full((100,), 7.0), rows)
    mean, std = constant.shapley_values(return_std=True)
    assert float(mean.abs().max()) < 1e-9 and float(std.max()) == 0 and float(constant.r2) == 1.0
    noise = 0.3 * torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noisy = GameEstimate.from_values(rows.double().sum(1) + noise, rows)
    assert 0.15 < float(noisy.noise) < 0.45


def test_outputs_of_any_scale_stand_side_by_side() -> None:
    v = games(8, 1)
    y, rows = sampled(v, 100)
    scales = torch.tensor([1e-30, 1.0, 1e30], dtype=torch.float64)
    estimate = GameEstimate.from_values(y * scales[:, None], rows)
    mean, std = estimate.shapley_values(return_std=True)
    for k in (0, 2):
        torch.testing.assert_close(mean[k] / scales[k], mean[1], rtol=1e-6, atol=0.0)
        torch.testing.assert_close(std[k] / scales[k], std[1], rtol=1e-4, atol=0.0)


@settings(max_examples=25)
@given(
    n=st.integers(2, 40), budget=st.integers(4, 120), kind=st.sampled_from(["and", "or", "majority", "step", "tiny"])
)
def test_games_of_steps_give_finite_answers_that_add_up(n: int, budget: int, kind: str) -> None:
    rows = torch.from_numpy(paired_design(n, budget))
    some = rows[:, : max(n // 2, 1)]
    v = {
        "and": some.all(1).double(),
        "or": some.any(1).double(),
        "majority": (some.double().mean(1) > 0.5).double(),
        "step": (rows.sum(1) >= n - 1).double(),
        "tiny": 1e-7 * rows[:, 0].double() + 1e3,
    }[kind]
    estimate = GameEstimate.from_values(v, rows)
    mean, std = estimate.shapley_values(return_std=True)
    assert bool(mean.isfinite().all()) and bool(std.isfinite().all()) and bool((std >= 0).all())
    assert float(mean.sum()) == pytest.approx(float(v[1] - v[0]), abs=1e-9)
    predicted, deviation = estimate.predict(rows, return_std=True)
    assert bool(predicted.isfinite().all()) and bool(deviation.isfinite().all())
    assert repr(estimate)


def test_an_image_without_a_mask_has_thousands_of_players_and_seconds_suffice() -> None:
    """Numbers of coalitions beyond floats, and quadrature over thousands of players."""
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    method = AndOrInteractions(lambda z: z.flatten(1).double().sum(1))
    found, error = method.attribute(x, budget=128, return_standard_error=True, perturbations_per_eval=64)
    assert float(found.sum()) == pytest.approx(float(x.double().sum()), rel=1e-6)
    assert bool((error > 0).all()) and float(((found - x).abs() / error).median()) < 3
    values, _ = method.estimate(x, budget=64).shapley_values(return_std=True)
    torch.testing.assert_close(values, method.estimate(x, budget=64).shapley_values())
