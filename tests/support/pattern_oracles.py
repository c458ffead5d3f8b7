"""Replicas of the dictionary of patterns, straight from the definition: every column written out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def rows(n: int) -> NDArray[np.bool_]:
    """All coalitions in the order of their bit codes."""
    return np.array([[code >> i & 1 for i in range(n)] for code in range(2**n)], dtype=bool).reshape(2**n, n)


def matrix(coalitions: NDArray[np.bool_]) -> Array:
    """Every AND column, then every OR column, on given coalitions: (m, 2 * 2^n)."""
    n = coalitions.shape[1]
    columns = []
    for is_or in (False, True):
        for code in range(2**n):
            members = [i for i in range(n) if code >> i & 1]
            some = coalitions[:, members]
            columns.append(some.any(1) if is_or else some.all(1))
    return np.stack(columns, axis=1).astype(float)


def weighted(n: int, by_size: tuple[float, ...]) -> Array:
    """Weights of all coalitions from weights by size, normalised."""
    weights = np.array([by_size[int(row.sum())] for row in rows(n)])
    return weights / weights.sum()


def covariance(columns: Array, weights: Array) -> Array:
    centred = columns - weights @ columns
    return (centred * weights[:, None]).T @ centred


def least_squares(columns: Array, v: Array, weights: Array, ends: tuple[Array, float, float] | None = None) -> Array:
    """Weighted least squares with a constant, which comes first; or through v(∅) with weights that sum to a total."""
    root = np.sqrt(weights)[:, None]
    if ends is None:
        design = np.hstack([np.ones((len(v), 1)), columns])
        return np.linalg.lstsq(root * design, root[:, 0] * v, rcond=None)[0]
    _, empty, full = ends
    k = columns.shape[1]
    gram = (columns * weights[:, None]).T @ columns
    kkt = np.block([[gram, np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    side = np.append((columns * weights[:, None]).T @ (v - empty), full - empty)
    return np.append(empty, np.linalg.lstsq(kkt, side, rcond=None)[0][:k])


def r2(v: Array, predicted: Array, weights: Array) -> float:
    mean = weights @ v
    return 1 - float(weights @ (v - predicted) ** 2 / (weights @ (v - mean) ** 2))


def code_of(members: Tensor, is_or: Tensor) -> list[int]:
    """Column numbers of patterns given by members."""
    n = members.shape[1]
    return ((members.long() * (1 << torch.arange(n))).sum(1) + is_or.long() * (1 << n)).tolist()


def planted(
    n: int, n_patterns: int, seed: int, largest: int = 6
) -> tuple[dict[tuple[bool, tuple[int, ...]], float], Array]:
    """A game of random AND and OR patterns, and its values on all coalitions."""
    generator = np.random.default_rng(seed)
    terms: dict[tuple[bool, tuple[int, ...]], float] = {}
    while len(terms) < n_patterns:
        order = int(generator.integers(1, min(largest, n) + 1))
        players = tuple(sorted(int(i) for i in generator.choice(n, order, replace=False)))
        kind = bool(order > 1 and generator.random() < 0.4)
        terms.setdefault((kind, players), float(generator.uniform(0.5, 2) * generator.choice([-1, 1])))
    return terms, values(terms, rows(n))


def values(terms: dict[tuple[bool, tuple[int, ...]], float], coalitions: NDArray[np.bool_]) -> Array:
    v = np.zeros(len(coalitions))
    for (is_or, players), weight in terms.items():
        some = coalitions[:, list(players)]
        v += weight * (some.any(1) if is_or else some.all(1))
    return v


def canonical(patterns: set[tuple[bool, tuple[int, ...]]]) -> set[tuple[bool, tuple[int, ...]]]:
    """Up to x_i + x_j = AND_ij + OR_ij: any three of these four stand for the players and their AND."""
    result = set(patterns)
    for pair in {players for _, players in patterns if len(players) == 2}:
        four = {(False, pair), (True, pair), (False, pair[:1]), (False, pair[1:])}
        if len(four & result) >= 3:
            result = (result - four) | {(False, pair), (False, pair[:1]), (False, pair[1:])}
    return result
