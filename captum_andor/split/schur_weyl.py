r"""The Schur–Weyl basis: one orthogonal change of basis that block-diagonalises every n-fold tensor power at once.

Tensor powers M ⊗ … ⊗ M of 2 x 2 matrices commute with permutations of the n bits. Read as n spins ½, the 2^n states
fall into spins j = n/2, n/2 − 1, …, each in several equal copies, and a tensor power acts on each copy of spin j by one
and the same block of size 2j + 1.

Source: the addition of spins (Clebsch and Gordan); its use for the split: this package.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]


@lru_cache(maxsize=16)
def schur_basis(n: int) -> tuple[Matrix, tuple[tuple[int, int], ...]]:
    """Basis of the states of n bits, bit codes in rows.

    Returns:
        - **basis** (*array*): Orthogonal, ``(2^n, 2^n)``; columns by block, then by copy, then within the block.
        - **blocks** (*tuple*): Size of a block and its number of copies, for each spin.
    """
    spins: dict[int, list[Matrix]] = {0: [np.ones((1, 1))]}  # twice the spin -> copies, (2^k, 2j + 1)
    for _ in range(n):
        spins = _with_one_more_bit(spins)
    ordered = sorted(spins, reverse=True)
    basis = np.concatenate([copy for twice in ordered for copy in spins[twice]], axis=1)
    return basis, tuple((twice + 1, len(spins[twice])) for twice in ordered)


def _with_one_more_bit(spins: dict[int, list[Matrix]]) -> dict[int, list[Matrix]]:
    """Each copy of spin j gives one of spin j + ½ and, above 0, one of spin j − ½."""
    larger: dict[int, list[Matrix]] = {}
    for twice, copies in spins.items():
        for copy in copies:
            for new in [twice + 1, twice - 1] if twice else [1]:
                larger.setdefault(new, []).append(_added(copy, twice, new))
    return larger


def _added(copy: Matrix, twice: int, new: int) -> Matrix:
    """Columns M = J, J − 1, …, −J of spin J = new/2 from those of spin j = twice/2 and one bit, the highest."""
    size = len(copy)
    result = np.zeros((2 * size, new + 1))
    for column in range(new + 1):
        # Clebsch–Gordan coefficients, with 2M kept whole.
        twice_m = new - 2 * column
        up = math.sqrt(max(twice + 1 + twice_m, 0) / (2 * (twice + 1)))
        down = math.sqrt(max(twice + 1 - twice_m, 0) / (2 * (twice + 1)))
        if new < twice:
            up, down = -down, up
        from_up, from_down = (twice - (twice_m - 1)) // 2, (twice - (twice_m + 1)) // 2
        if 0 <= from_up <= twice:
            result[:size, column] += up * copy[:, from_up]
        if 0 <= from_down <= twice:
            result[size:, column] += down * copy[:, from_down]
    return result


def tensor_power(factor: npt.ArrayLike, n: int) -> Matrix:
    """The n-fold Kronecker power of a matrix."""
    power: Matrix = np.ones((1, 1))
    for _ in range(n):
        power = np.asarray(np.kron(np.asarray(factor, dtype=np.float64), power), dtype=np.float64)
    return power
