"""The basis that block-diagonalises tensor powers, and the projection built on it, against dense algebra."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from captum_andor.split.constraint import Matching, matching
from captum_andor.split.schur_weyl import schur_basis, tensor_power

CPU = torch.device("cpu")


@pytest.mark.parametrize("n", range(9))
def test_the_basis_is_orthogonal_and_its_blocks_fill_it(n: int) -> None:
    basis, blocks = schur_basis(n)
    assert np.abs(basis.T @ basis - np.eye(2**n)).max() < 1e-13
    assert sum(size * copies for size, copies in blocks) == 2**n
    assert [size for size, _ in blocks] == list(range(n + 1, 0, -2))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_every_tensor_power_has_equal_blocks_in_it(n: int) -> None:
    basis, blocks = schur_basis(n)
    factor = np.random.default_rng(n).normal(size=(2, 2))
    turned = basis.T @ tensor_power(factor, n) @ basis
    left = turned.copy()
    start = 0
    for size, copies in blocks:
        first = turned[start : start + size, start : start + size]
        for _ in range(copies):
            assert np.abs(turned[start : start + size, start : start + size] - first).max() < 1e-12
            left[start : start + size, start : start + size] = 0
            start += size
    assert np.abs(left).max() < 1e-12


def dense(n: int, noisy: bool) -> torch.Tensor:
    """The map (a, b, q) ↦ Za − Kb − q as a matrix, from its definition."""
    everything = sorted(oracles.subsets(range(n)), key=oracles.code)
    everyone = frozenset(range(n))
    z = torch.tensor([[float(t <= s) for t in everything] for s in everything])
    k = torch.tensor([[float(t <= everyone - s) for t in everything] for s in everything])
    parts = [z, -k, -torch.eye(2**n)] if noisy else [z, -k]
    return torch.cat(parts, dim=1).double()


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_map_its_adjoint_and_its_inverse(n: int, noisy: bool) -> None:
    generator = torch.Generator().manual_seed(n)
    found = matching(n, noisy, torch.float64, CPU)
    count = 3
    x = torch.randn(found.n_parts, count, 2**n, dtype=torch.float64, generator=generator)
    arranged = torch.stack([found.arranged(part) for part in x])
    matrix = dense(n, noisy)
    rows = x.movedim(0, 1).reshape(count, -1) @ matrix.T
    assert torch.allclose(found.forward(arranged), found.rotate(rows), atol=1e-12)
    y = torch.randn(found.high, count, found.low, dtype=torch.float64, generator=generator)
    back = torch.stack([found.games(part) for part in found.adjoint(y)], dim=1).reshape(count, -1)
    assert torch.allclose(back, found.unrotate(y) @ matrix, atol=1e-11)
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    solved = found.inverse(count, sigma if noisy else None)(y)
    for game in range(count):
        gram = dense(n, False) @ dense(n, False).T + (float(sigma[game]) if noisy else 0) * torch.eye(2**n).double()
        assert torch.allclose(gram @ found.unrotate(solved)[game], dual_rows(found, y)[game], atol=1e-9)


def dual_rows(found: Matching, rows: torch.Tensor) -> torch.Tensor:
    """Rows v whose rotation is given: rotate(v) = rows."""
    basis = torch.stack([found.rotate(unit[None])[:, 0].flatten() for unit in torch.eye(2**found.n).double()], dim=1)
    flat = rows.movedim(1, 0).reshape(rows.shape[1], -1)
    return torch.linalg.solve(basis, flat.T).T
