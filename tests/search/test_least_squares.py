"""Fits with and without exact ends against dense solvers."""

from __future__ import annotations

import numpy as np
import pattern_oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from captum_andor.search.dictionary import complete_columns
from captum_andor.search.least_squares import Ends, GameBatch, fit, independent, path

CPU = torch.device("cpu")
N = 4


def random_games(seed: int, by_size: tuple[float, ...] = (1.0,) * (N + 1)) -> tuple[GameBatch, Tensor, Ends]:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(2, 2**N, dtype=torch.float64, generator=generator)
    games = GameBatch(complete_columns(N, by_size, CPU), v)
    columns = torch.tensor([j for j in range(1, 2 ** (N + 1)) if j not in {16, 17, 18, 20, 24}])
    chosen = torch.stack([columns[torch.randperm(len(columns), generator=generator)[:4]] for _ in range(2)])
    return games, chosen, Ends(v[:, 0], v[:, -1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 500), bound=st.booleans(), lopsided=st.booleans())
def test_fit_is_weighted_least_squares(seed: int, bound: bool, lopsided: bool) -> None:
    by_size = (1.0, 3.0, 2.0, 0.5, 1.0) if lopsided else (1.0,) * 5
    games, chosen, ends = random_games(seed, by_size)
    if not bool(independent(games, chosen).all()):
        return
    fitted = fit(games, chosen, ends if bound else None)
    along = path(games, chosen, ends if bound else None)
    weights, values = games.columns.row_weights.numpy(), (games.centred + games.mean).numpy()
    for row in range(2):
        v = values[row]
        for k in range(1, 5):
            columns = pattern_oracles.matrix(pattern_oracles.rows(N))[:, chosen[row, :k].tolist()]
            expected = pattern_oracles.least_squares(columns, v, weights, (v, v[0], v[-1]) if bound else None)
            r2 = pattern_oracles.r2(v, expected[0] + columns @ expected[1:], weights)
            assert float(along[row, k]) == pytest.approx(r2, abs=1e-8)
        assert fitted.constant[row].item() == pytest.approx(expected[0], abs=1e-8)
        np.testing.assert_allclose(fitted.coefficients[row], expected[1:], atol=1e-7)
        assert fitted.r2[row].item() == pytest.approx(r2, abs=1e-10)
        if bound:
            assert fitted.coefficients[row].sum().item() == pytest.approx(v[-1] - v[0], abs=1e-10)
    assert torch.equal(fitted.r2_path[:, 0], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(fitted.r2_path[:, -1], fitted.r2)


def test_t_is_that_of_a_regression() -> None:
    games, chosen, _ = random_games(3)
    fitted = fit(games, chosen, None)
    for row in range(2):
        v = (games.centred + games.mean)[row].numpy()
        design = np.hstack([np.ones((16, 1)), pattern_oracles.matrix(pattern_oracles.rows(N))[:, chosen[row].tolist()]])
        coefficients, squares, *_ = np.linalg.lstsq(design, v, rcond=None)
        errors = np.sqrt(squares[0] / (16 - 5) * np.linalg.inv(design.T @ design).diagonal())
        np.testing.assert_allclose(fitted.t[row], np.abs(coefficients / errors)[1:])


def test_t_with_exact_ends_is_what_leaving_a_pattern_out_would_cost() -> None:
    games, chosen, ends = random_games(5)
    fitted = fit(games, chosen, ends)
    for i in range(4):
        without = fit(games, chosen[:, [j for j in range(4) if j != i]], ends)
        lost = (fitted.r2 - without.r2) / (1 - fitted.r2)  # F = t² for one parameter, of 16 rows and 3 free ones
        torch.testing.assert_close(fitted.t[:, i].square(), lost * (16 - 3))


def test_missing_columns_have_no_weight_and_repeat_r2() -> None:
    games, chosen, ends = random_games(1)
    fitted = fit(games, torch.nn.functional.pad(chosen, (0, 2), value=-1), ends)
    shorter = fit(games, chosen, ends)
    torch.testing.assert_close(fitted.coefficients[:, :4], shorter.coefficients)
    assert not bool(fitted.coefficients[:, 4:].any()) and not bool(fitted.t[:, 4:].any())
    torch.testing.assert_close(fitted.r2_path[:, 4:], shorter.r2[:, None].expand(-1, 3))


def test_no_columns_at_all_leave_a_constant() -> None:
    games, chosen, _ = random_games(2)
    fitted = fit(games, chosen[:, :0], None)
    torch.testing.assert_close(fitted.constant, games.mean[:, 0])
    assert fitted.coefficients.shape == (2, 0) and fitted.r2_path.shape == (2, 1)
    torch.testing.assert_close(fitted.r2, torch.zeros(2, dtype=torch.float64))


def test_sums_of_others_are_told() -> None:
    games, _, _ = random_games(0)
    pair = torch.tensor([[1, 2, 3, 16 + 3], [1, 2, 3, 4]])  # x0 + x1 = AND + OR
    assert independent(games, pair).tolist() == [False, True]
