"""The dictionary against the same columns written out."""

from __future__ import annotations

import numpy as np
import pattern_oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st

from captum_andor.search.dictionary import Columns, CompleteColumns, SampledColumns, WrittenColumns, complete_columns

CPU = torch.device("cpu")
WEIGHTS = {
    "uniform": lambda n: (1.0,) * (n + 1),
    "ends": lambda n: (5.0, *(1.0,) * (n - 1), 5.0),
    "asymmetric": lambda n: tuple(1.5**s for s in range(n + 1)),
    "zero ends": lambda n: (0.0, *(1.0,) * (n - 1), 0.0),
}


def assert_same(columns: Columns, matrix: np.ndarray, weights: np.ndarray, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    covariance = pattern_oracles.covariance(matrix, weights)
    np.testing.assert_allclose(columns.mean, weights @ matrix, atol=1e-12)
    np.testing.assert_allclose(columns.norm, covariance.diagonal(), atol=1e-12)
    left = torch.randint(len(columns.order), (2, 3), generator=generator)
    right = torch.randint(len(columns.order), (2, 5), generator=generator)
    for b in range(2):
        np.testing.assert_allclose(
            columns.covariance(left, right)[b], covariance[np.ix_(left[b], right[b])], atol=1e-12
        )
        np.testing.assert_allclose(
            columns.shortlist(right).covariance(left)[b], covariance[np.ix_(left[b], right[b])], atol=1e-12
        )
        np.testing.assert_allclose(columns.shortlist(None).covariance(left)[b], covariance[left[b]], atol=1e-12)
    v = torch.randn(2, columns.n_rows, dtype=torch.float64, generator=generator)
    centred, mean = columns.centred(v)
    np.testing.assert_allclose(mean[:, 0], v.numpy() @ weights)
    np.testing.assert_allclose(columns.variance(centred), (v - mean).square().numpy() @ weights)
    np.testing.assert_allclose(columns.correlations(centred), (centred.numpy() * weights) @ matrix, atol=1e-12)
    w = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    for b in range(2):
        np.testing.assert_allclose(columns.combine(left, w)[b], matrix[:, left[b]] @ w[b].numpy(), atol=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_closed_forms_are_those_of_the_columns(n: int, weights: str) -> None:
    by_size = WEIGHTS[weights](n)
    if not any(by_size):
        return
    columns = CompleteColumns(n, by_size, CPU)
    assert_same(
        columns,
        pattern_oracles.matrix(pattern_oracles.rows(n))[:, : 2 ** (n + 1)],
        pattern_oracles.weighted(n, by_size),
    )


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 4), seed=st.integers(0, 1000))
def test_closed_forms_hold_for_any_weights_by_size(n: int, seed: int) -> None:
    by_size = tuple(np.random.default_rng(seed).uniform(0.01, 1, n + 1).tolist())
    assert_same(
        CompleteColumns(n, by_size, CPU),
        pattern_oracles.matrix(pattern_oracles.rows(n)),
        pattern_oracles.weighted(n, by_size),
        seed,
    )


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 5), share=st.floats(0.3, 0.9), seed=st.integers(0, 1000))
def test_sampled_columns_are_those_rows(n: int, share: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes = np.sort(generator.permutation(2**n)[: max(2, int(share * 2**n))])
    weights = generator.uniform(0.1, 1, len(codes))
    columns = SampledColumns(n, torch.from_numpy(codes), torch.from_numpy(weights))
    assert_same(columns, pattern_oracles.matrix(pattern_oracles.rows(n))[codes], weights / weights.sum(), seed)


def test_written_columns_are_themselves() -> None:
    generator = torch.Generator().manual_seed(0)
    written = (torch.rand(12, 4, generator=generator) < 0.5).double()
    is_or = torch.tensor([False, True, False, True])
    columns = WrittenColumns(written, is_or, torch.tensor([1, 2, 2, 3]), torch.tensor([0, 2, 1, 3]))
    assert_same(columns, written.numpy(), np.full(12, 1 / 12))


@pytest.mark.parametrize("n", [3, 4])
def test_kinds_and_orders_stand_beside_the_columns(n: int) -> None:
    complete = CompleteColumns(n, (1.0,) * (n + 1), CPU)
    sampled = SampledColumns(n, torch.arange(2**n - 1), torch.ones(2**n - 1, dtype=torch.float64))
    for columns in (complete, sampled):
        assert columns.is_or.tolist() == [False] * 2**n + [True] * 2**n
        assert columns.order.tolist() == 2 * [bin(code).count("1") for code in range(2**n)]


def test_the_dictionary_of_as_many_players_is_made_once() -> None:
    assert complete_columns(4, (1.0,) * 5, CPU) is complete_columns(4, (1.0,) * 5, CPU)
