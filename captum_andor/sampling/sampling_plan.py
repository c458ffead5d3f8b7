"""The sequence of coalitions that a budget evaluates; every prefix of it is a balanced sample.

It begins with ∅ and N. Held-out coalitions (every 4th of the first 64, then every 16th) are drawn from the distribution
under which R² is defined. The remaining coalitions are used to search for patterns. With up to 20 players their sizes
are proportional to the number of coalitions of each size, as evenly as whole numbers allow. With more players nearly
all coalitions have about n/2 players and carry little information about larger patterns, so that sizes are even between
a quarter and three quarters of n, in three strata. No coalition comes twice. A larger budget continues the same
sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DICTIONARY_PLAYERS = 20  # up to so many players all patterns are listed, and the design is proportional
_HELD_OUT_EVERY = 16  # 64 of 1 024 coalitions judge the model, the others find it
_FIRST, _EVERY_AT_FIRST = 64, 4  # a few dozen coalitions must leave enough to judge by
# Sizes above 20 players, as shares of n: of planted games among 64 players, 512 coalitions of these sizes find ten of
# ten, coalitions of about n/2 players four.
_SMALLEST, _LARGEST, STRATA = 0.25, 0.75, 3
_LEAST_COUNT = 14  # coalitions: with 15 a search found four patterns of order 8 in 5 games of 5, with 13 in 3
_MOST_DRAWS = 1000  # for one fresh coalition, times n: then densities leave too few different ones


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
