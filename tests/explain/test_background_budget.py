"""Backgrounds from a budget: one row a pass, against means over all rows, dense Gaussian processes and counted passes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.games import Background
from captum_andor.games.transforms import all_coalitions, shapley_values
from captum_andor.process import BackgroundPosterior
from captum_andor.sampling import chained_design, n_passes

torch.manual_seed(0)
NET = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).eval()
X = torch.randn(3, 8)
ROWS = torch.randn(20, 8)
MOST = n_passes(8, 20)


class Counted:
    """The network, and how many rows it was asked for."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, z: Tensor) -> Tensor:
        self.rows += len(z)
        return NET(z)


def exact(x: Tensor = X) -> Tensor:
    return AndOrInteractions(NET).interactions(x, Background(ROWS), target=1, split="and").values


def test_a_budget_is_the_number_of_passes() -> None:
    model = Counted()
    method = AndOrInteractions(model, check_repeats=False)
    estimate = method.estimate(X[:1], Background(ROWS), target=1, budget=150)
    assert estimate.n_evaluations == model.rows == 150
    assert "150 forward passes, each on one of 20 rows" in str(estimate)
    assert str(estimate).endswith("absent: drawn from the background, the mean over its 20 rows")


def test_a_batch_shares_the_passes_of_the_rows() -> None:
    model = Counted()
    AndOrInteractions(model, check_repeats=False).estimate(X, Background(ROWS), target=1, budget=150)
    assert model.rows == 3 * 130 + 20
    kept = Counted()  # an element that nobody removes makes ∅ a question of the example
    mask = torch.tensor([[0, 1, 2, 3, 4, 5, 6, -1]])
    method = AndOrInteractions(kept, check_repeats=False)
    found = method.estimate(X, Background(ROWS), target=1, feature_mask=mask, budget=150)
    assert kept.rows == 3 * 150
    alone = method.estimate(X[1:2], Background(ROWS), target=1, feature_mask=mask, budget=150)
    torch.testing.assert_close(found.values[1], alone.values[0], rtol=1e-5, atol=1e-6)


def test_all_passes_are_exact() -> None:
    for budget in (MOST, 10 * MOST):
        estimate = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=budget)
        assert estimate.is_exact and estimate.n_evaluations == MOST
        torch.testing.assert_close(estimate.values, exact(), rtol=1e-5, atol=1e-6)
    model = AndOrInteractions(NET).logical_model(X, Background(ROWS), target=1)
    assert model.is_exact and model.n_evaluations == MOST
    torch.testing.assert_close(model.values, exact(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [200, 600])
def test_errors_are_what_the_standard_errors_say(budget: int) -> None:
    truth = exact()
    squares = []
    for seed in range(3):
        estimate = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=budget, seed=seed)
        mean, std = estimate.shapley_values(return_std=True)
        squares.append(((mean - shapley_values(truth)) / std).square())
        torch.testing.assert_close(mean.sum(1), truth[:, -1] - truth[:, 0], rtol=1e-5, atol=1e-6)
        predicted, error = estimate.predict(all_coalitions(8), return_std=True)
        squares.append(((predicted - truth) / error.clamp(min=1e-6)).square()[:, 1:-1])
        torch.testing.assert_close(predicted[:, [0, -1]], truth[:, [0, -1]], rtol=1e-5, atol=1e-5)
    assert 0.1 < float(torch.cat([part.flatten() for part in squares]).mean()) < 2.0


@pytest.mark.parametrize("passes", [100, 600])  # some rows once; all of them often
def test_less_error_than_permutations_of_as_many_passes(passes: int) -> None:
    truth = shapley_values(exact())
    ours, theirs = [], []
    for seed in range(4):
        estimate = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=passes + 21, seed=seed)
        ours.append(torch.as_tensor(estimate.shapley_values()) - truth)
        theirs.append(permutations(passes, seed) - truth)
    assert torch.stack(ours).square().mean() < 0.6 * torch.stack(theirs).square().mean()


def permutations(passes: int, seed: int) -> Tensor:
    """Antithetic permutations, each pair on a row of its own; the ends are not counted."""
    generator = np.random.default_rng(seed)
    total, count = torch.zeros(len(X), 8, dtype=torch.float64), passes // 7
    order = np.concatenate([generator.permutation(len(ROWS)) for _ in range(count)])
    players = generator.permutation(8)
    for step in range(count):
        players = players[::-1].copy() if step % 2 else generator.permutation(8)
        present = torch.zeros(8, dtype=torch.bool)
        before = NET(ROWS[order[step // 2]][None]).expand(len(X), -1)[:, 1]
        for player in players:
            present[player] = True
            after = NET(torch.where(present, X, ROWS[order[step // 2]]))[:, 1].double()
            total[:, player] += after - before
            before = after
    ends = exact()
    found = total.detach() / count
    return found + ((ends[:, -1] - ends[:, 0]) - found.sum(1))[:, None] / 8


def dense(posterior: BackgroundPosterior) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the mean game on all coalitions, entry by entry from the hyperparameters."""
    n, z = posterior.n_players, posterior.coalitions.double()
    theta, everything = posterior.process.theta.exp(), all_coalitions(posterior.n_players).double()
    shared, scale, tau = theta[:n], theta[n : n + 3], theta[n + 3 : n + 6]
    gamma = shared * scale[:, None] * theta[n + 8 : 4 * n + 8].view(3, n)
    own = theta[4 * n + 8 :]
    a, linear = shared * own[3:] * own[0], shared * own[3:] * own[2]

    def shared_part(s: Tensor, t: Tensor) -> Tensor:
        s, t = s[:, None], t[None]
        differ, both, either = (s != t).double(), s * t, torch.maximum(s, t)
        products = [
            tau[0] * (-(differ * gamma[0]).sum(-1)).exp(),
            tau[1] * (-((1 - both) * gamma[1]).sum(-1)).exp(),
            tau[2] * (-(either * gamma[2]).sum(-1)).exp(),
        ]
        return sum(products) + ((2 * s - 1) * (2 * t - 1) * theta[n + 6] * shared).sum(-1) + 100.0

    def own_part(s: Tensor, t: Tensor) -> Tensor:
        s, t = s[:, None], t[None]
        either = torch.maximum(s, t)
        product = own[1] * ((-(either * a).sum(-1)).exp() - (-a.sum()).exp())
        return product + ((1 - s) * (1 - t) * linear).sum(-1)

    same = (posterior.rows[:, None] == posterior.rows).double()
    inner = posterior.coalitions.any(1) & ~posterior.coalitions.all(1)
    observed = shared_part(z, z) + same * own_part(z, z) + torch.diag(inner * theta[n + 7] + 1e-9)
    cross = shared_part(everything, z) + own_part(everything, z) / posterior.n_rows
    prior = shared_part(everything, everything) + own_part(everything, everything) / posterior.n_rows
    y = (posterior.values - posterior.process.offset) / posterior.process.scale
    mean = cross @ torch.linalg.solve(observed, y) * posterior.process.scale + posterior.process.offset
    covariance = prior - cross @ torch.linalg.solve(observed, cross.T)
    return mean, covariance * posterior.process.scale**2


def test_functionals_are_those_of_the_dense_process() -> None:
    rows, drawn = (torch.from_numpy(part) for part in chained_design(6, 9, 60, 1))
    values = torch.randn(1, 60, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values[:, :12] += rows[:12].sum(1)
    posterior = BackgroundPosterior.of_games(rows, drawn, values, 9)[0]
    mean, covariance = dense(posterior)
    unit = torch.eye(64, dtype=torch.float64)
    inner = all_coalitions(6).any(1) & ~all_coalitions(6).all(1)
    close = {"rtol": 1e-4, "atol": 1e-5}
    found, std = posterior.predict(all_coalitions(6))
    torch.testing.assert_close(found[inner], mean[inner], **close)
    torch.testing.assert_close(
        std[inner], covariance.diagonal().sqrt()[inner] * posterior.widening, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(posterior.all_values()[inner], mean[inner], **close)
    weights = torch.stack([shapley_values(row) for row in unit]).T
    found, std = posterior.shapley_values()
    torch.testing.assert_close(found, weights @ mean, **close)
    expected = (weights @ covariance @ weights.T).diagonal().sqrt() * posterior.widening
    torch.testing.assert_close(std, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(posterior.functionals(weights)[0], weights @ mean, **close)
    half = torch.full((1, 6), 0.5, dtype=torch.float64)
    first = torch.cat([torch.ones(1, 1), torch.full((1, 5), 0.5)], 1).double()
    has = all_coalitions(6)[:, 0]
    found, std = posterior.differences(first, half)
    torch.testing.assert_close(found[0], mean[has].mean() - mean.mean(), **close)


def test_r2_of_models_holds_the_truth() -> None:
    truth = exact()
    estimate = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=500)
    for options in ({"max_patterns": 5}, {"max_patterns": None}, {"max_patterns": None, "min_r2": 0.9}):
        model = estimate.logical_model(**options)  # type: ignore[arg-type]
        left = (truth - model.predict(all_coalitions(8))).square().mean(1)
        r2 = 1 - left / truth.var(1, unbiased=False)
        low, high = model.r2_interval.T
        assert bool((low - 0.02 <= r2).all()) and bool((r2 <= high + 0.02).all())
        ends = model.predict(all_coalitions(8)[[0, -1]])
        torch.testing.assert_close(ends, truth[:, [0, -1]], rtol=1e-5, atol=1e-5)
    assert bool((estimate.r2 > 0.95).all())
    assert bool((model.effects()["together_se"] > 0).all())


def test_what_was_evaluated_is_kept() -> None:
    model = Counted()
    method = AndOrInteractions(model, check_repeats=False)
    small = method.estimate(X[:1], Background(ROWS), target=1, budget=100)
    model.rows = 0
    large = small.more(180)
    assert model.rows == 80 + 3 and large.n_evaluations == 180
    model.rows = 0
    again = method.estimate(X[:1], Background(ROWS), target=1, budget=180, previous=small)
    assert model.rows == 80 + 3
    torch.testing.assert_close(again.values, large.values)
    torch.testing.assert_close(again.shapley_values(), large.shapley_values())
    everything = large.more(MOST)
    assert everything.is_exact
    torch.testing.assert_close(everything.values, exact(X[:1]), rtol=1e-5, atol=1e-6)


def test_files_and_copies(tmp_path: Path) -> None:
    estimate = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=120)
    model = estimate.logical_model(max_patterns=4)
    estimate.save(tmp_path / "estimate")
    model.save(tmp_path / "model")
    for copy in (GameEstimate.load(tmp_path / "estimate"), pickle.loads(pickle.dumps(estimate))):
        torch.testing.assert_close(copy.shapley_values(), estimate.shapley_values())
        assert copy.n_evaluations == 120 and str(copy[0]) == str(estimate[0])
    loaded = LogicalModel.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.effects(), model.effects())
    exact_one = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=MOST)
    exact_one.save(tmp_path / "exact")
    assert GameEstimate.load(tmp_path / "exact").n_evaluations == MOST


def test_frames_tuples_and_automatic_budgets() -> None:
    frame, rows = (pd.DataFrame(part.numpy(), columns=list("abcdefgh")) for part in (X, ROWS))
    by_frame = AndOrInteractions(NET).estimate(frame, Background(rows), target=1, budget=130)
    by_tensor = AndOrInteractions(NET).estimate(X, Background(ROWS), target=1, budget=130)
    torch.testing.assert_close(by_frame.values, by_tensor.values)

    def two(a: Tensor, b: Tensor) -> Tensor:
        return NET(torch.cat([a, b], 1))

    parts = Background((ROWS[:, :3], ROWS[:, 3:]))
    found = AndOrInteractions(two).estimate((X[:, :3], X[:, 3:]), parts, target=1, budget=130)
    torch.testing.assert_close(found.values, by_tensor.values, rtol=1e-5, atol=1e-6)
    method = AndOrInteractions(NET)
    attributions = method.attribute(X, Background(ROWS), target=1, budget="auto", error_tolerance=0.2)
    truth = shapley_values(exact())
    assert float((attributions - truth).square().sum() / truth.square().sum()) < 0.05
    model = method.logical_model(X, Background(ROWS), target=1, budget="auto", r2_tolerance=0.1)
    assert bool((model.r2_interval[:, 0] > 0.9).all())


def test_one_pattern_and_constant_games() -> None:
    flat = AndOrInteractions(lambda z: z[:, 0] * 0 + 2).estimate(X[:1], Background(ROWS), budget=60)
    assert torch.as_tensor(flat.shapley_values()).abs().max() == 0
    one = AndOrInteractions(lambda z: z[:, 0]).estimate(X[:1, :1], Background(ROWS[:, :1]), budget=21)
    torch.testing.assert_close(float(one.shapley_values()), float(X[0, 0] - ROWS[:, 0].mean()))


def test_random_models_are_told() -> None:
    method = AndOrInteractions(lambda z: NET(z) + 0.1 * torch.randn(len(z), 3))
    with pytest.warns(UserWarning, match="answered differently"):
        method.estimate(X[:1], Background(ROWS), target=1, budget=100)


def test_interrupts() -> None:
    class Interrupted(Counted):
        def __call__(self, z: Tensor) -> Tensor:
            if self.rows > self.most:
                raise KeyboardInterrupt
            return super().__call__(z)

        most = 5

    model = Interrupted()
    method = AndOrInteractions(model, check_repeats=False)
    with pytest.raises(KeyboardInterrupt, match="too few"):
        method.estimate(X[:1], Background(ROWS), target=1, budget=150, perturbations_per_eval=4)
    model.rows, model.most = 0, 60
    found = method.estimate(X[:1], Background(ROWS), target=1, budget=150, perturbations_per_eval=4)
    assert 50 < found.n_evaluations < 70
    assert torch.as_tensor(found.shapley_values()).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 28}, "budget=28 is too small for a background of 20 rows.*at least 29"),
        ({"budget": 100, "seed": 1}, "pass the seed"),
        ({"budget": 100, "baselines": None}, "previous has a background of 20 rows, this call one of no"),
        ({"budget": 100, "baselines": Background(ROWS[:5])}, "background of 20 rows, this call one of 5"),
        ({"budget": 100, "baselines": Background(ROWS.flip(0))}, "previous is of another game"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], message: str) -> None:
    method = AndOrInteractions(NET)
    before = method.estimate(X[:1], Background(ROWS), target=1, budget=60)
    with pytest.raises(ValueError, match=message):
        method.estimate(X[:1], **{"baselines": Background(ROWS), "target": 1, "previous": before, **options})
    with pytest.raises(ValueError, match="one row of a background"):
        before.logical_model(max_patterns=3).stability()
