"""The Gaussian process against dense algebra, finite differences and brute force over all coalitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from captum_andor.games.indices import banzhaf_values
from captum_andor.games.transforms import all_coalitions, coalition_codes, shapley_values
from captum_andor.process.coalition_process import CoalitionProcess, Kernel, Prior, _Loss, fit_process, fit_processes
from captum_andor.process.posterior import (
    banzhaf_of_process,
    completed,
    functionals_of_process,
    shapley_of_process,
)
from captum_andor.sampling.coalitions import paired_design

N = 6


def kernel(seed: int = 0) -> Kernel:
    prior = Prior.of(N)
    noise = torch.randn(len(prior.mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Kernel.of(prior.mean + 0.7 * prior.width * noise, N)


def game(seed: int = 0) -> Tensor:
    z = all_coalitions(N)
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.tanh(z.double() @ torch.randn(N, 4, generator=generator, dtype=torch.float64)).sum(1)
    return smooth + 2.0 * (z[:, 0] & z[:, 2]) - 1.5 * (z[:, 1] | z[:, 4])


def process(budget: int = 40, seed: int = 0) -> tuple[CoalitionProcess, Tensor]:
    rows = torch.from_numpy(paired_design(N, budget, seed=seed))
    v = game(seed)
    return fit_process(rows, v[coalition_codes(rows)]), v


def test_the_kernel_is_its_definition_entry_by_entry() -> None:
    k, z = kernel(), all_coalitions(N)
    matrix = k.matrix(z.double(), z.double())
    for a, b in [(0, 0), (5, 9), (63, 63), (17, 46), (0, 63)]:
        s, t = set(np.flatnonzero(z[a])), set(np.flatnonzero(z[b]))
        g = k.gamma.numpy()
        expected = (
            float(k.tau[0]) * np.exp(-sum(g[0, i] for i in s ^ t))
            + float(k.tau[1]) * np.exp(-sum(g[1, i] for i in set(range(N)) - (s & t)))
            + float(k.tau[2]) * np.exp(-sum(g[2, i] for i in s | t))
            + sum(float(k.linear[i]) * (1 if (i in s) == (i in t) else -1) for i in range(N))
            + 100.0
        )
        assert float(matrix[a, b]) == pytest.approx(expected, rel=1e-12)
    assert torch.allclose(k.diagonal(z.double()), matrix.diagonal())
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-9


def test_the_gradient_is_that_of_finite_differences() -> None:
    rows = torch.from_numpy(paired_design(N, 24))
    z, size = rows.double(), rows.sum(1)
    y = torch.randn(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = _Loss(z, torch.stack([y, y.flip(0)]), (size == 0) | (size == N), Prior.of(N))
    d, games = 4 * N + 8, torch.arange(2)
    u = 0.4 * torch.randn(2, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    steps = 1e-5 * torch.eye(d, dtype=torch.float64)
    numeric = torch.stack([(loss(u + e, games)[0] - loss(u - e, games)[0]) / 2e-5 for e in steps], dim=1)
    torch.testing.assert_close(loss(u, games)[1], numeric, atol=1e-5, rtol=1e-5)


def test_games_fitted_together_are_those_fitted_alone() -> None:
    rows = torch.from_numpy(paired_design(N, 40))
    games = torch.stack([game(seed)[coalition_codes(rows)] for seed in range(3)])
    games = torch.stack([games[0], 1e20 * games[1], torch.full_like(games[0], 3.0), games[2]])
    for one, v in zip(fit_processes(rows, games), games, strict=True):
        alone = fit_process(rows, v)
        torch.testing.assert_close(one.theta, alone.theta, atol=1e-6, rtol=1e-6)
        for found, expected in zip(shapley_of_process(one), shapley_of_process(alone), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(one.scale))


def test_the_posterior_is_dense_algebra() -> None:
    fitted, v = process()
    z = all_coalitions(N).double()
    k, rows = fitted.kernel, fitted.coalitions
    noise = torch.where((rows.sum(1) == 0) | (rows.sum(1) == N), 0.0, k.noise) + 1e-9
    inverse = torch.linalg.inv(k.matrix(rows, rows) + torch.diag(noise))
    cross = k.matrix(z, rows)
    y = v[coalition_codes(rows > 0)]
    mean = cross @ inverse @ ((y - y.mean()) / fitted.scale) * fitted.scale + y.mean()
    variance = (k.matrix(z, z) - cross @ inverse @ cross.T).diagonal().clamp(min=0)
    found, std = fitted.predict_with_std(z)
    torch.testing.assert_close(found, mean, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(std, variance.sqrt() * fitted.scale, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(fitted.predict(z), found)


def test_left_out_errors_are_those_of_leaving_out() -> None:
    fitted, v = process()
    k, rows = fitted.kernel, fitted.coalitions
    y = (v[coalition_codes(rows > 0)] - fitted.offset) / fitted.scale
    noise = torch.where((rows.sum(1) == 0) | (rows.sum(1) == N), 0.0, k.noise) + 1e-9
    matrix = k.matrix(rows, rows) + torch.diag(noise)
    error, _ = fitted.left_out()
    for out in (2, 7, 30):
        kept = torch.arange(len(rows)) != out
        predicted = matrix[out, kept] @ torch.linalg.solve(matrix[kept][:, kept], y[kept])
        assert float(error[out]) == pytest.approx(float((y[out] - predicted) * fitted.scale), rel=1e-5, abs=1e-7)


def test_shapley_and_banzhaf_values_are_those_of_the_completed_game_with_their_errors() -> None:
    fitted, _ = process()
    h = fitted.predict(all_coalitions(N).double())
    unit = torch.eye(2**N, dtype=torch.float64)
    for quadrature, index in ((shapley_of_process, shapley_values), (banzhaf_of_process, banzhaf_values)):
        mean, std = quadrature(fitted)
        torch.testing.assert_close(mean, index(h), atol=1e-9, rtol=1e-9)
        expected, errors = functionals_of_process(fitted, index(unit).T.contiguous())
        torch.testing.assert_close(mean, expected, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(std, errors, atol=1e-6, rtol=1e-5)


def test_the_kernel_of_all_coalitions_is_applied_without_writing_it() -> None:
    fitted, _ = process()
    z = all_coalitions(N).double()
    vectors = torch.randn(3, 2**N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(completed(fitted, vectors), vectors @ fitted.kernel.matrix(z, z))


def test_five_hundred_players_need_no_more_nodes() -> None:
    """The integrand is smooth: with 251 nodes, which are exact, nothing changes."""
    rows = torch.from_numpy(paired_design(120, 64))
    weights = torch.randn(120, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fitted = fit_process(rows, torch.tanh(rows.double() @ weights * 0.2))
    from captum_andor.process.posterior import _values

    x, w = np.polynomial.legendre.leggauss(61)
    exact = _values(fitted, (x + 1) / 2, w / 2)
    for found, expected in zip(shapley_of_process(fitted), exact, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_units_of_v_change_nothing_else(scale: float) -> None:
    rows = torch.from_numpy(paired_design(N, 40))
    v = game()[coalition_codes(rows)]
    one, other = fit_process(rows, v), fit_process(rows, v * scale)
    torch.testing.assert_close(shapley_of_process(one)[0] * scale, shapley_of_process(other)[0], rtol=1e-6, atol=0.0)


def test_a_constant_game_and_a_noisy_one() -> None:
    rows = torch.from_numpy(paired_design(N, 40))
    constant = fit_process(rows, torch.full((40,), 3.0, dtype=torch.float64))
    assert float((constant.predict(all_coalitions(N).double()) - 3).abs().max()) < 1e-9
    noise = 0.5 * torch.randn(40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    noisy = fit_process(rows, rows.double() @ torch.arange(6.0).double() + noise)
    assert 0.2 < float(noisy.noise) < 0.9


def test_a_player_that_decides_everything_is_no_division_by_zero() -> None:
    """Relevances grow without bound where a player's absence changes all; e^-γ must not become 0."""
    prior = Prior.of(N)
    theta = prior.mean + 4 * prior.width
    assert float(Kernel.of(theta, N).gamma.max()) <= 100
    rows = torch.from_numpy(paired_design(N, 40))
    v = rows.all(1).double() + rows[:, 0].double()
    for hyperparameters in (None, theta):
        for values in shapley_of_process(fit_process(rows, v, theta=hyperparameters)):
            assert bool(values.isfinite().all())


@pytest.mark.parametrize("n", [24, 64])
def test_conjunctions_of_all_players_are_finite(n: int) -> None:
    rows = torch.from_numpy(paired_design(n, 128))
    mean, std = shapley_of_process(fit_process(rows, rows.all(1).double() + rows[:, 0].double()))
    assert bool(mean.isfinite().all()) and bool(std.isfinite().all())
    assert float(mean[0]) == pytest.approx(1, abs=0.3)
