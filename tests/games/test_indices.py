"""Other indices, against shapiq's exact computer and against their definitions."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from captum_andor import AndOrExplanation, LogicalModel
from captum_andor.games.indices import Index, banzhaf_values, interaction_index, multi_order_interaction
from captum_andor.games.transforms import shapley_values

shapiq = pytest.importorskip("shapiq")


def games(n: int, shape: tuple[int, ...] = (), seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, 1 << n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(v: torch.Tensor) -> object:
    n = len(v).bit_length() - 1
    bits = 1 << np.arange(n)

    def game(coalitions: np.ndarray) -> np.ndarray:
        return v.numpy()[coalitions.astype(int) @ bits]

    return shapiq.ExactComputer(game, n_players=n)


@pytest.mark.parametrize("index", ["SII", "k-SII", "BII", "STII", "FSII"])
@pytest.mark.parametrize(("n", "order"), [(2, 1), (4, 2), (5, 3), (5, 5)])
def test_indices_are_those_of_shapiq(index: Index, n: int, order: int) -> None:
    v = games(n, seed=n)
    found = interaction_index(v, index, order)
    expected = exact(v)(index, order=order)  # type: ignore[operator]
    for s in range(1, order + 1):
        for players in combinations(range(n), s):
            code = sum(1 << i for i in players)
            assert float(found[code]) == pytest.approx(float(expected[players]), abs=1e-8 if index == "FSII" else 1e-9)
    assert float(found[0]) == 0


@pytest.mark.parametrize(("n", "order"), [(4, 2), (5, 3)])
def test_faith_shap_is_the_regression_that_defines_it(n: int, order: int) -> None:
    """Least squares with Shapley's weights, exact at ∅ and N; shapiq's own solution is off by a few 1e-9."""
    v = games(n, seed=n).numpy()
    sets = [players for s in range(order + 1) for players in combinations(range(n), s)]
    design = np.array([[all(code >> i & 1 for i in players) for players in sets] for code in range(1 << n)], float)
    sizes = [code.bit_count() for code in range(1 << n)]
    weights = np.diag([0 if s in (0, n) else 1 / (comb(n, s) * s * (n - s)) for s in sizes])
    ends = design[[0, -1]]
    system = np.block([[design.T @ weights @ design, ends.T], [ends, np.zeros((2, 2))]])
    solved = np.linalg.lstsq(system, np.concatenate([design.T @ weights @ v, v[[0, -1]]]), rcond=None)[0]
    found = interaction_index(torch.from_numpy(v), "FSII", order)
    for players, expected in zip(sets[1:], solved[1:], strict=False):
        assert float(found[sum(1 << i for i in players)]) == pytest.approx(expected, abs=1e-10)


def test_values_are_those_of_shapiq() -> None:
    v = games(6)
    computer = exact(v)
    banzhaf, shapley = (computer(name, order=1) for name in ("BV", "SV"))  # type: ignore[operator]
    assert banzhaf_values(v).tolist() == pytest.approx([float(banzhaf[(i,)]) for i in range(6)], abs=1e-9)
    found = interaction_index(v, "SII", 1)[[1 << i for i in range(6)]]
    assert found.tolist() == pytest.approx([float(shapley[(i,)]) for i in range(6)], abs=1e-9)
    assert torch.allclose(banzhaf_values(games(1)), games(1)[1:] - games(1)[:1])


def test_multi_order_interaction_is_the_mean_over_contexts() -> None:
    n, v = 5, games(5, (2,))
    found = multi_order_interaction(v)
    assert found.shape == (2, 4, 5, 5)
    for i, j in combinations(range(n), 2):
        others = [p for p in range(n) if p not in (i, j)]
        for m in range(n - 1):
            total = torch.zeros(2, dtype=torch.float64)
            for context in combinations(others, m):
                s = sum(1 << p for p in context)
                total += v[:, s | 1 << i | 1 << j] - v[:, s | 1 << i] - v[:, s | 1 << j] + v[:, s]
            assert torch.allclose(found[:, m, i, j], total / comb(n - 2, m), atol=1e-12)
    pairs = interaction_index(v, "SII", 2)
    assert torch.allclose(found.mean(1)[:, 1, 3], pairs[:, 0b01010])
    with pytest.raises(ValueError, match="two players or more"):
        multi_order_interaction(games(1))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(1, 6), st.sampled_from(["k-SII", "STII", "FSII"]), st.integers(0, 1000))
def test_efficient_indices_add_up_to_what_all_players_do(n: int, order: int, index: Index, seed: int) -> None:
    v = games(n, (2,), seed)
    total = interaction_index(v, index, min(order, n)).sum(-1)
    assert torch.allclose(total, v[:, -1] - v[:, 0], atol=1e-9)


def test_results_have_them() -> None:
    v = games(4, (3,))
    explanation = AndOrExplanation.from_values(v)
    assert torch.equal(explanation.interaction_index("STII", 2), interaction_index(v, "STII", 2))
    assert torch.equal(explanation.banzhaf_values(), banzhaf_values(v))
    assert torch.equal(explanation.multi_order_interaction(), multi_order_interaction(v))
    model = LogicalModel.from_values(v[0], max_patterns=4)
    everything = (torch.arange(16)[:, None] >> torch.arange(4) & 1).bool()
    h = model.predict(everything)
    assert torch.allclose(model.interaction_index("k-SII", 2), interaction_index(h, "k-SII", 2))
    assert torch.allclose(interaction_index(h, "SII", 1)[[1, 2, 4, 8]], model.shapley_values())
    assert torch.allclose(shapley_values(h), model.shapley_values())


def test_bad_indices_are_named() -> None:
    with pytest.raises(ValueError, match="index must be one of"):
        interaction_index(games(3), "SI")  # type: ignore[arg-type]
    for order in (0, 4, True, 1.5):
        with pytest.raises(ValueError, match="order must be an int from 1 to the number of players, 3"):
            interaction_index(games(3), "SII", order)  # type: ignore[arg-type]
    many = torch.rand(60, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    model = LogicalModel.from_values(many.double().sum(1), many, exact_ends=False)
    with pytest.raises(ValueError, match="20 players"):
        model.interaction_index()


def test_a_matrix_of_pairs_has_rows_that_are_shapley_values() -> None:
    v = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = AndOrExplanation.from_values(v, split="even")
    for index in ("SII", "k-SII", "BII"):
        pairs = result.pair_interactions(index)  # type: ignore[arg-type]
        assert pairs.shape == (2, 4, 4) and torch.equal(pairs, pairs.mT)
        assert torch.allclose(pairs.sum(-1), result.shapley_values())
        by_code = result.interaction_index(index, 2)  # type: ignore[arg-type]
        assert torch.allclose(2 * pairs[:, 3, 1], by_code[:, 0b1010])
    assert torch.allclose(result.pair_interactions().sum((-1, -2)), v[:, -1] - v[:, 0])
    assert AndOrExplanation.from_values([1.0, 3.0], split="and").pair_interactions().tolist() == [[2.0]]
