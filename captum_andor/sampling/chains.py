"""Which coalition each pass of a budget sees, and which row of a background.

Chains: the players enter one by one in a random order, all on one row; the reverse order follows on the next row. Rows
come in random order, each as often as the others; the second time a row sees the reverse of what it saw the first time.
Shapley values err less than where a row sees both orders at once, or a new order the second time.

Source: antithetic permutations (Mitchell, Cooper, Frank and Holmes 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from captum_andor._utils.storage import storable

_IDLE = 64  # chains without a pass that is new, after which those that are left are listed
Passes = tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]


@storable
@dataclass(frozen=True)
class DrawnRows:
    """Which row of a background each pass saw.

    Attributes:
        rows: int64, shape ``(m,)``; None where every coalition saw every row, and values are means over them.
        n_rows: How many rows the background has.
    """

    rows: Tensor | None
    n_rows: int

    def in_words(self, count: int) -> str:
        """So many passes."""
        return f"{count:,} forward passes, each on one of {self.n_rows} rows"


def n_passes(n_players: int, n_rows: int) -> int:
    """How many different passes there are: N, and every other coalition on every row, or once without a background."""
    return ((1 << n_players) - 1) * max(n_rows, 1) + 1


def chained_design(n_players: int, n_rows: int, budget: int, seed: int = 0) -> Passes:
    """The first passes of the sequence of a seed.

    Args:
        n_players: n ≥ 1.
        n_rows: B ≥ 1.
        budget: How many passes, B + 1 at least; all there are where these are no more.
        seed: Of orders and rows.

    Returns:
        - **coalitions** (*ndarray*): bool, ``(m, n)``: N, then ∅ for each row, then the chains; no pass comes twice.
        - **rows** (*ndarray*): int64, ``(m,)``; 0 for N, which sees none.
    """
    n = n_players
    generator = np.random.default_rng(seed)
    coalitions = [np.ones((1, n), dtype=bool), np.zeros((n_rows, n), dtype=bool)]
    rows = [np.zeros(1, dtype=np.int64), np.arange(n_rows)]
    if budget >= n_passes(n, n_rows):
        some = (np.arange(1, 2**n - 1)[:, None] >> np.arange(n) & 1).astype(bool)
        coalitions, rows = [*coalitions, some.repeat(n_rows, 0)], [*rows, np.tile(np.arange(n_rows), len(some))]
        return np.concatenate(coalitions), np.concatenate(rows)
    wanted = budget - n_rows - 1
    seen: set[tuple[int, bytes]] = set()
    idle = 0
    for row, players in _orders(n, n_rows, generator):
        if len(seen) == wanted or idle == _IDLE:
            break
        chain = _chain(players)
        keys = [(row, key.tobytes()) for key in np.packbits(chain, axis=1)]
        new = [i for i, key in enumerate(keys) if key not in seen][: wanted - len(seen)]
        seen.update(keys[i] for i in new)
        idle = 0 if new else idle + 1
        coalitions.append(chain[new])
        rows.append(np.full(len(new), row))
    if len(seen) < wanted:  # few are left, and chance finds them late
        for code in range(1, 2**n - 1):
            some = (code >> np.arange(n) & 1).astype(bool)[None]
            key = np.packbits(some, axis=1)[0].tobytes()
            left = [row for row in range(n_rows) if (row, key) not in seen][: wanted - len(seen)]
            seen.update((row, key) for row in left)
            coalitions.append(some.repeat(len(left), 0))
            rows.append(np.array(left, dtype=np.int64))
    return np.concatenate(coalitions), np.concatenate(rows)


def _orders(n: int, n_rows: int, generator: np.random.Generator) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Rows and orders of players, without end."""
    while True:
        rows = generator.permutation(n_rows).tolist()
        pairs = [(rows[i : i + 2], generator.permutation(n)) for i in range(0, n_rows, 2)]
        again = [pairs[i] for i in generator.permutation(len(pairs))]
        for turn, some in ((1, pairs), (-1, again)):
            for two, players in some:
                for row, way in zip(two, (turn, -turn), strict=False):
                    yield row, players[::way]


def _chain(players: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The coalitions of the first 1, 2, … n − 1 of the players."""
    n = len(players)
    place = np.empty(n, dtype=np.int64)
    place[players] = np.arange(n)
    found: npt.NDArray[np.bool_] = place[None, :] < np.arange(1, n)[:, None]
    return found
