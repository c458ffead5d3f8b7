"""Which coalitions a budget evaluates, and checks of coalitions that a caller chose.

A sequence begins with ∅ and N, no coalition comes twice, and a larger budget continues a smaller one. Coalitions come
in pairs S, N∖S. Each pair has the size that is most behind its share: a share ``leverage`` of the pairs is spread
evenly over the sizes (where Shapley values are decided), the rest follows the number of coalitions of each size (which
R² weighs). Within a size coalitions are drawn at random.

Source: pairs and even sizes as in leverage score sampling (Musco and Witter 2025).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_HELD_OUT_EVERY = 16  # 64 of 1 024 coalitions judge the model, the others find it
_FIRST, _EVERY_AT_FIRST = 64, 4  # a few dozen coalitions must leave enough to judge by
STRATA = 3  # groups of coalitions of like size
_LEAST_COUNT = 14  # coalitions: with 15 a search found four patterns of order 8 in 5 games of 5, with 13 in 3
SHAPLEY, PATTERNS = 1.0, 0.5  # leverage where Shapley values alone are read, and where R² and patterns are
_LISTED = 20_000  # sizes of up to so many coalitions are listed and shuffled; of larger ones draws hardly ever repeat
Members = npt.NDArray[np.bool_]


def n_held_out(budget: int) -> int:
    """How many of so many coalitions are held out."""
    return sum(map(_is_held_out, range(budget)))


def _is_held_out(place: int) -> bool:
    return place > 1 and (place - 1) % (_HELD_OUT_EVERY if place >= _FIRST else _EVERY_AT_FIRST) == 0


def orders_seen(coalitions: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Largest order of AND and of OR patterns that a sample tells from none.

    An AND of k players shows where all k are kept, an OR where all k are absent: in fourteen coalitions at least, on
    average over the choice of players.
    """
    n: int = coalitions.shape[1]
    sizes = coalitions.sum(1)

    def largest(kept: npt.NDArray[np.int64]) -> int:
        share: npt.NDArray[np.float64] = np.ones(len(kept))
        for order in range(1, n + 1):
            share = share * np.maximum(kept - order + 1, 0) / (n - order + 1)
            if share.sum() < _LEAST_COUNT:
                return order - 1
        return n

    return largest(sizes), largest(n - sizes)


def checked_coalitions(coalitions: Any, values: Tensor) -> Tensor:
    """Coalitions as a bool tensor ``(m, n)`` that fits the values."""
    rows = torch.from_numpy(coalitions) if isinstance(coalitions, np.ndarray) else coalitions
    if not isinstance(rows, Tensor) or rows.dtype != torch.bool:
        got = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
        raise TypeError(f"coalitions must be a bool tensor or array, True where a player is kept; got {got}.")
    if rows.ndim != 2 or rows.shape[1] < 1 or values.ndim < 1 or values.shape[-1] != len(rows):
        raise ValueError(
            f"coalitions must have shape (m, n) with m the last axis of v; got {tuple(rows.shape)} for v of shape "
            f"{tuple(values.shape)}."
        )
    return rows.to(values.device)


def each_once(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Different coalitions in the order of their first appearance, and the mean of the values of each."""
    _, position = np.unique(rows.cpu().numpy(), axis=0, return_inverse=True)
    place = torch.from_numpy(position.reshape(-1)).to(values.device)
    count = torch.bincount(place)
    if len(count) == len(rows):
        return rows, values
    first = torch.full_like(count, len(rows)).scatter_reduce(
        0, place, torch.arange(len(rows), device=rows.device), "amin"
    )
    sums = values.new_zeros(*values.shape[:-1], len(count)).index_add(-1, place, values)
    order = first.argsort()
    return rows[first[order]], (sums / count)[..., order]


def is_inner(coalitions: Tensor) -> Tensor:
    """Whether each of bool coalitions ``(…, m, n)`` is neither ∅ nor N: shape ``(…, m)``."""
    return coalitions.any(-1) & ~coalitions.all(-1)


def row_keys(coalitions: Tensor) -> list[bytes]:
    """What tells each of bool coalitions ``(m, n)`` from all others."""
    return [row.tobytes() for row in np.packbits(coalitions.cpu().numpy(), axis=1)]


def in_pairs(coalitions: Tensor) -> list[Tensor]:
    """Positions of S and N∖S together, alone where one of them is missing; ∅ and N are in none."""
    place = {key: i for i, key in enumerate(row_keys(coalitions))}
    inner = is_inner(coalitions).tolist()
    pairs: list[list[int]] = []
    for i, key in enumerate(row_keys(~coalitions)):
        other = place.get(key, i)
        if inner[i] and i <= other:
            pairs.append([i] if i == other else [i, other])
    return [torch.tensor(pair, device=coalitions.device) for pair in pairs]


def held_out_at_random(coalitions: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.bool_]:
    """Some of given coalitions to hold out, never ∅ or N: bool, shape ``(m,)``."""
    inner = np.flatnonzero(coalitions.any(1) & ~coalitions.all(1))
    held_out = np.zeros(len(coalitions), dtype=bool)
    held_out[np.random.default_rng(seed).permutation(inner)[: n_held_out(len(coalitions))]] = True
    return held_out


def size_strata(coalitions: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Three groups of given coalitions by size, about even: int64, shape ``(m,)``."""
    sizes = coalitions.sum(1)
    cuts = np.quantile(sizes, [share / STRATA for share in range(1, STRATA)])
    return np.unique(np.searchsorted(cuts, sizes, side="left"), return_inverse=True)[1].astype(np.int64)


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
