"""Coalitions in pairs S, N∖S: the sequence that a budget evaluates for Shapley values, R² and patterns alike.

The sequence begins with ∅ and N. Each further pair has the size that is most behind its share: a share ``leverage`` of
the pairs is spread evenly over the sizes (where Shapley values are decided), the rest follows the number of coalitions
of each size (which R² weighs). Within a size coalitions are drawn at random, each once, until the size is whole. The
first 2k coalitions of a sequence are the design of the budget 2k, so that a larger budget continues a smaller one.

Source: pairs and even sizes as in leverage score sampling (Musco and Witter 2025); the mixture: this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

SHAPLEY, PATTERNS = 1.0, 0.5  # leverage where Shapley values alone are read, and where R² and patterns are
_LISTED = 20_000  # sizes of up to so many coalitions are listed and shuffled; of larger ones draws hardly ever repeat

Members = npt.NDArray[np.bool_]


def paired_design(n_players: int, budget: int, leverage: float = PATTERNS, seed: int = 0) -> Members:
    """The first coalitions of the sequence of a seed.

    Args:
        n_players: n ≥ 1.
        budget: How many, at least 2; all 2^n where there are no more. An odd budget leaves out the last complement.
        leverage: Share of the pairs that is spread evenly over the sizes, 0 to 1.
        seed: Of the draws within sizes.

    Returns:
        - **coalitions** (*ndarray*): bool, shape ``(min(budget, 2^n), n)``: ∅, N, then pairs.
    """
    n = n_players
    rows: list[Members] = [np.zeros(n, dtype=bool), np.ones(n, dtype=bool)]
    sizes = np.arange(1, n // 2 + 1)
    room = [_pairs_of_size(n, int(s)) for s in sizes]
    generators = np.random.default_rng(seed).spawn(len(sizes))
    draws = [_coalitions(n, int(s), generator) for s, generator in zip(sizes, generators, strict=True)]
    even = leverage / max(len(sizes), 1)
    total = sum(room)
    share = np.array([even + (1 - leverage) * (count / max(total, 1)) for count in room])  # counts may exceed floats
    most = np.array([min(count, budget) for count in room], dtype=float)
    taken = np.zeros(len(sizes))
    while len(rows) < budget and len(sizes):
        open_sizes = taken < most
        if not open_sizes.any():
            break
        # The next pair goes where the one after it would still be least ahead of its share; ties to the smaller size.
        size = int(np.where(open_sizes & (share > 0), (taken + 1) / np.where(share > 0, share, 1.0), np.inf).argmin())
        taken[size] += 1
        some = next(draws[size])
        rows += [some, ~some]
    return np.array(rows[: max(budget, 2)]).reshape(-1, n) if n else np.zeros((1, 0), dtype=bool)


def _pairs_of_size(n: int, size: int) -> int:
    """Number of pairs S, N∖S of which one has this size, 1 ≤ size ≤ n/2."""
    return comb(n, size) // 2 if 2 * size == n else comb(n, size)


def _coalitions(n: int, size: int, generator: np.random.Generator) -> Iterator[Members]:
    """Coalitions of a size in random order, each once; of size n/2 only one of each pair."""
    halves = 2 * size == n
    if comb(n, size) <= _LISTED:
        listed = [c for c in combinations(range(n), size) if not halves or c[0] == 0]
        for place in generator.permutation(len(listed)):
            yield _flipped(_members(n, listed[place]), halves, generator)
        return
    seen: set[bytes] = set()
    while True:
        some = _members(n, generator.permutation(n)[:size])
        if halves and not some[0]:
            some = ~some
        key = np.packbits(some).tobytes()
        if key not in seen:
            seen.add(key)
            yield _flipped(some, halves, generator)


def _members(n: int, players: object) -> Members:
    some = np.zeros(n, dtype=bool)
    some[np.asarray(players, dtype=np.int64)] = True
    return some


def _flipped(some: Members, either: bool, generator: np.random.Generator) -> Members:
    """The coalition or, by chance, its complement, where both are of one size."""
    return ~some if either and generator.random() < 0.5 else some
