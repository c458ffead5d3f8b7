"""Passes with a background: each once, a larger budget continues a smaller one, rows come evenly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from captum_andor.sampling import chained_design, n_passes


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 6), rows=st.integers(1, 8), share=st.floats(0, 1), seed=st.integers(0, 5))
def test_laws(n: int, rows: int, share: float, seed: int) -> None:
    most = n_passes(n, rows)
    budget = rows + 1 + int(share * (most - rows - 1))
    coalitions, seen = chained_design(n, rows, budget, seed)
    assert coalitions.shape == (budget, n) and seen.shape == (budget,)
    assert coalitions[0].all() and not coalitions[1 : rows + 1].any()
    assert seen[1 : rows + 1].tolist() == list(range(rows))
    inner = coalitions[rows + 1 :]
    assert (inner.any(1) & ~inner.all(1)).all()
    passes = {(row, *some) for row, some in zip(seen.tolist(), coalitions.tolist(), strict=True)}
    assert len(passes) == budget
    if budget < most:
        smaller = (budget + rows + 1) // 2
        first, of_first = chained_design(n, rows, smaller, seed)
        np.testing.assert_array_equal(first, coalitions[:smaller])
        np.testing.assert_array_equal(of_first, seen[:smaller])


def test_rows_come_evenly_and_orders_are_reversed() -> None:
    n, rows = 9, 10
    coalitions, seen = chained_design(n, rows, 1 + rows + 10 * (n - 1), 3)
    chains = coalitions[rows + 1 :].reshape(10, n - 1, n)
    of_chains = seen[rows + 1 :].reshape(10, n - 1)
    assert (of_chains == of_chains[:, :1]).all()
    assert np.bincount(of_chains[:, 0]).tolist() == [1] * rows
    assert (chains[0::2] == ~chains[1::2, ::-1]).all()
    assert (np.diff(chains.sum(2), axis=1) == 1).all()
