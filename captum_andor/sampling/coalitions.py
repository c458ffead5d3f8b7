"""Which coalitions a budget evaluates: two sequences, and checks of coalitions that a caller chose.

Both begin with ∅ and N, and no coalition comes twice; a larger budget continues a smaller one.

*Pairs* S, N∖S serve estimates: Shapley values, R² and patterns alike. Each pair has the size that is most behind its
share: a share ``leverage`` of the pairs is spread evenly over the sizes (where Shapley values are decided), the rest
follows the number of coalitions of each size (which R² weighs). Within a size coalitions are drawn at random.

*Designs* serve the search above 16 players. Held-out coalitions (every 4th of the first 64, then every 16th) are drawn
from the distribution under which R² is defined, the others to search for patterns: with up to 20 players their sizes
are proportional to the number of coalitions of each size, as evenly as whole numbers allow. With more players nearly
all coalitions have about n/2 players and carry little information about larger patterns, so that sizes are even between
a quarter and three quarters of n, in three strata.

Source: pairs and even sizes as in leverage score sampling (Musco and Witter 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

DICTIONARY_PLAYERS = 20  # up to so many players all patterns are listed, and the design is proportional
_HELD_OUT_EVERY = 16  # 64 of 1 024 coalitions judge the model, the others find it
_FIRST, _EVERY_AT_FIRST = 64, 4  # a few dozen coalitions must leave enough to judge by
# Sizes above 20 players, as shares of n: of planted games among 64 players, 512 coalitions of these sizes find ten of
# ten, coalitions of about n/2 players four.
_SMALLEST, _LARGEST, STRATA = 0.25, 0.75, 3
_LEAST_COUNT = 14  # coalitions: with 15 a search found four patterns of order 8 in 5 games of 5, with 13 in 3
_MOST_DRAWS = 1000  # for one fresh coalition, times n: then densities leave too few different ones
SHAPLEY, PATTERNS = 1.0, 0.5  # leverage where Shapley values alone are read, and where R² and patterns are
_LISTED = 20_000  # sizes of up to so many coalitions are listed and shuffled; of larger ones draws hardly ever repeat
Members = npt.NDArray[np.bool_]


class Design(NamedTuple):
    """Coalitions in the order of their evaluation.

    Attributes:
        coalitions: bool, shape ``(m, n)``; the first two are ∅ and N.
        held_out: Which of them are for R² alone, bool, shape ``(m,)``.
        strata: Groups of like size, int64 from 0, shape ``(m,)``.
    """

    coalitions: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.bool_]
    strata: npt.NDArray[np.int64]


def design(
    n_players: int,
    budget: int,
    size_shares: Sequence[float],
    uniform: bool,
    densities: Sequence[float] | None,
    seed: int,
) -> Design:
    """The first ``budget`` coalitions of the sequence of a seed.

    Args:
        n_players: n ≥ 2.
        budget: How many, between 3 and 2^n.
        size_shares: Weight in R² of all coalitions of each size together, n + 1 numbers.
        uniform: Whether these are equal.
        densities: Shares of players that the coalitions of the search keep, a stratum each. None: as above.
        seed: Of the sequence.
    """
    draws = _Draws(n_players, size_shares, uniform, densities, np.random.default_rng(seed))
    coalitions = np.zeros((budget, n_players), dtype=bool)
    held_out = np.zeros(budget, dtype=bool)
    strata = np.zeros(budget, dtype=np.int64)
    for place in range(budget):
        held_out[place] = _is_held_out(place)
        coalitions[place], strata[place] = draws.next(place, bool(held_out[place]))
    return Design(coalitions, held_out, strata)


def n_held_out(budget: int) -> int:
    """How many of so many coalitions are held out."""
    return sum(map(_is_held_out, range(budget)))


def _is_held_out(place: int) -> bool:
    return place > 1 and (place - 1) % (_HELD_OUT_EVERY if place >= _FIRST else _EVERY_AT_FIRST) == 0


class _Draws:
    """Draws coalitions one after another, each once."""

    def __init__(
        self,
        n: int,
        size_shares: Sequence[float],
        uniform: bool,
        densities: Sequence[float] | None,
        generator: np.random.Generator,
    ) -> None:
        self.n, self.uniform, self.densities, self.generator = n, uniform, densities, generator
        self.shares = np.array(size_shares)
        self.allotted = np.zeros(n + 1)
        self.seen: set[bytes] = set()
        self.left = [comb(n, s) for s in range(n + 1)]

    def next(self, place: int, held_out: bool) -> tuple[npt.NDArray[np.bool_], int]:
        """The coalition at a place of the sequence, and its stratum."""
        if place < 2:
            return self._take(np.full(self.n, place == 1)), 0
        if not held_out and self.densities is not None:
            stratum = place % len(self.densities)
            density = self.densities[stratum]
            return self._fresh(lambda: self.generator.random(self.n) < density), stratum
        if self.n > DICTIONARY_PLAYERS and self.uniform:
            if held_out:
                return self._fresh(lambda: self.generator.random(self.n) < 0.5), 0
            low, high = round(_SMALLEST * self.n), round(_LARGEST * self.n)
            size = int(self.generator.integers(low, high + 1))
            return self._of_size(size), min((size - low) * STRATA // (high - low), STRATA - 1)
        return self._of_size(self._proportional_size(held_out)), 0

    def _proportional_size(self, held_out: bool) -> int:
        """A size by chance for held-out coalitions, else the one that is most behind its share."""
        open_sizes = np.array([left > 0 for left in self.left])
        shares = np.where(open_sizes, self.shares, 0.0)
        if not shares.any():
            shares = open_sizes.astype(np.float64)
        if held_out:
            return int(self.generator.choice(self.n + 1, p=shares / shares.sum()))
        behind = np.where(shares > 0, self.shares * (self.allotted.sum() + 1) - self.allotted, -np.inf)
        size: int = int(behind.argmax())
        self.allotted[size] += 1
        return size

    def _of_size(self, size: int) -> npt.NDArray[np.bool_]:
        def draw() -> npt.NDArray[np.bool_]:
            members = np.zeros(self.n, dtype=bool)
            members[self.generator.permutation(self.n)[:size]] = True
            return members

        return self._fresh(draw)

    def _fresh(self, draw: Callable[[], npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
        for _ in range(_MOST_DRAWS * self.n):
            members = draw()
            if np.packbits(members).tobytes() not in self.seen:
                return self._take(members)
        raise ValueError(
            f"densities={list(self.densities or ())} and weights leave too few different coalitions of {self.n} "
            "players for this budget. Lower budget, or add densities."
        )

    def _take(self, members: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        self.seen.add(np.packbits(members).tobytes())
        self.left[int(members.sum())] -= 1
        return members


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
    """Whether each of bool coalitions ``(m, n)`` is neither ∅ nor N: shape ``(m,)``."""
    return coalitions.any(1) & ~coalitions.all(1)


def held_out_at_random(coalitions: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.bool_]:
    """Some of given coalitions to hold out, as many as a design does, never ∅ or N: bool, shape ``(m,)``."""
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
