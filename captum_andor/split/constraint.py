r"""The constraint of a split, Za − Kb − q = v, and the exact projection onto it.

Z = ⊗ⁿ[[1,0],[1,1]] sums over subsets, K = ⊗ⁿ[[1,1],[1,0]] over subsets of the complement. The Gram matrix
ZZᵀ + KKᵀ + σI of the constraint is a sum of three tensor powers. Without noise one congruence diagonalises both; with
noise the Schur–Weyl basis of either half of the bits leaves blocks of at most 81 (n = 16), whose eigenvectors serve
every σ, so that each game of a batch can have its own.

Arrays of games are ``(hi, B, lo)``: the high bits, the game, the low bits; a, b and q are stacked in front.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from captum_andor.split.schur_weyl import Matrix, schur_basis, tensor_power

_SUBSETS, _COMPLEMENTS, _IDENTITY = np.array([[1.0, 0], [1, 1]]), np.array([[1.0, 1], [1, 0]]), np.eye(2)
_SIGNS = (1.0, -1.0, -1.0)


class Matching:
    """The map (a, b, q) ↦ Za − Kb − q in a basis of its rows where its Gram matrix is simple.

    Args:
        n: Number of players.
        noisy: Whether there is a q.
        dtype: Of the arrays.
        device: Of the arrays.
    """

    def __init__(self, n: int, noisy: bool, dtype: torch.dtype, device: torch.device) -> None:
        self.n, self.n_parts = n, 3 if noisy else 2
        self._like = torch.empty(0, dtype=dtype, device=device)
        low, high = n // 2, n - n // 2
        self.low, self.high = 1 << low, 1 << high
        if noisy:
            (low_basis, low_blocks), (high_basis, high_blocks) = schur_basis(low), schur_basis(high)
        else:
            congruence, eigenvalues = _congruence()
            low_basis, high_basis = tensor_power(congruence, low), tensor_power(congruence, high)
            diagonal = tensor_power(eigenvalues[:, None], n)[:, 0] + 1
            self._inverse = self._tensor(1 / diagonal).view(self.high, 1, self.low)
        self._low_basis, self._high_basis = self._double(low_basis), self._double(high_basis)
        factors = (_SUBSETS, _COMPLEMENTS, _IDENTITY)[: self.n_parts]
        lows = [s * low_basis.T @ tensor_power(f, low) for s, f in zip(_SIGNS, factors, strict=False)]
        highs = [high_basis.T @ tensor_power(f, high) for f in factors]
        self._low_forward = self._tensor(np.stack([m.T for m in lows]))
        self._low_adjoint = self._tensor(np.stack(lows))
        self._high_forward = self._tensor(np.concatenate(highs, axis=1))
        self._high_adjoint = self._tensor(np.concatenate([m.T for m in highs]))
        if noisy:
            self._blocks = self._diagonalised(lows, highs, low_blocks, high_blocks)

    def _double(self, matrix: Matrix) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(matrix)).to(self._like.device)

    def _tensor(self, matrix: Matrix) -> Tensor:
        return self._double(matrix).to(self._like.dtype)

    def _diagonalised(
        self, lows: list[Matrix], highs: list[Matrix], low_blocks: tuple[tuple[int, int], ...],
        high_blocks: tuple[tuple[int, int], ...],
    ) -> list[tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
        """For each pair of spins: rows of its copies ``(copies, size)``, eigenvectors and eigenvalues of its block."""
        low_grams, high_grams = ([m @ m.T for m in part[:2]] for part in (lows, highs))
        rows = np.arange(self.high * self.low).reshape(self.high, self.low)
        found = []
        top = 0
        for high_size, high_copies in high_blocks:
            left = 0
            for low_size, low_copies in low_blocks:
                gram: Matrix = np.sum(
                    [
                        np.kron(
                            h[top : top + high_size, top : top + high_size],
                            w[left : left + low_size, left : left + low_size],
                        )
                        for h, w in zip(high_grams, low_grams, strict=True)
                    ],
                    axis=0,
                )
                eigenvalues, vectors = np.linalg.eigh((gram + gram.T) / 2)
                mine = rows[top : top + high_size * high_copies, left : left + low_size * low_copies]
                copies = mine.reshape(high_copies, high_size, low_copies, low_size).transpose(0, 2, 1, 3)
                index = torch.from_numpy(copies.reshape(-1, high_size * low_size).copy()).to(self._like.device)
                found.append((index, self._tensor(vectors), self._double(eigenvalues)))
                left += low_size * low_copies
            top += high_size * high_copies
        return found

    def arranged(self, games: Tensor) -> Tensor:
        """``(B, 2^n)`` as ``(hi, B, lo)``."""
        return games.view(len(games), self.high, self.low).transpose(0, 1).contiguous()

    def games(self, arranged: Tensor) -> Tensor:
        """``(hi, B, lo)`` as float64 ``(B, 2^n)``."""
        return arranged.double().transpose(0, 1).reshape(arranged.shape[1], -1)

    def rotate(self, games: Tensor) -> Tensor:
        """Rows ``(B, 2^n)`` in the simple basis ``(hi, B, lo)``."""
        turned = self._high_basis.T @ (self.arranged(games).double() @ self._low_basis).view(self.high, -1)
        return turned.view(self.high, len(games), self.low).to(self._like.dtype)

    def unrotate(self, rows: Tensor) -> Tensor:
        """Multipliers of the rows as they were: float64 ``(B, 2^n)``."""
        turned = (self._high_basis @ rows.double().reshape(self.high, -1)).view(rows.shape)
        return self.games(turned @ self._low_basis.T)

    def forward(self, parts: Tensor) -> Tensor:
        """Za − Kb − q of parts ``(2 or 3, hi, B, lo)``, in the simple basis."""
        k, high, count, low = parts.shape
        lowered = torch.bmm(parts.view(k, high * count, low), self._low_forward[:k])
        return (self._high_forward[:, : k * high] @ lowered.view(k * high, count * low)).view(high, count, low)

    def adjoint(self, rows: Tensor) -> Tensor:
        """The transposed map: ``(2 or 3, hi, B, lo)``."""
        high, count, low = rows.shape
        raised = self._high_adjoint @ rows.reshape(high, count * low)
        return torch.bmm(raised.view(self.n_parts, high * count, low), self._low_adjoint).view(
            self.n_parts, high, count, low
        )

    def inverse(self, count: int, sigma: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """The inverse of ZZᵀ + KKᵀ + σI for so many games, as a function of rows.

        Args:
            count: Number of games.
            sigma: float64 ``(B,)``; None without noise.
        """
        if sigma is None:
            inverse = self._inverse
            return lambda rows: rows * inverse
        take, reciprocals = [], []
        for index, _, eigenvalues in self._blocks:
            high, low = index // self.low, index % self.low
            games = torch.arange(count, device=index.device)[None, :, None]
            take.append(((high[:, None] * count + games) * self.low + low[:, None]).flatten())
            each = 1 / (eigenvalues[None] + sigma[:, None])
            reciprocals.append(each.expand(len(index), *each.shape).flatten())
        order = torch.cat(take)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        reciprocal = torch.cat(reciprocals).to(self._like.dtype)
        return lambda rows: self._solved(rows, order, back, reciprocal)

    def _solved(self, rows: Tensor, order: Tensor, back: Tensor, reciprocal: Tensor) -> Tensor:
        """Rows through the eigenvectors of their blocks, divided, and back."""
        grouped = rows.reshape(-1).index_select(0, order)
        result = torch.empty_like(grouped)
        start = 0
        spans = []
        for index, vectors, _ in self._blocks:
            stop = start + index.numel() * rows.shape[1]
            spans.append((start, stop, vectors))
            size = len(vectors)
            torch.mm(grouped[start:stop].view(-1, size), vectors, out=result[start:stop].view(-1, size))
            start = stop
        result *= reciprocal
        for start, stop, vectors in spans:
            size = len(vectors)
            torch.mm(result[start:stop].view(-1, size), vectors.T, out=grouped[start:stop].view(-1, size))
        return grouped.index_select(0, back).view(rows.shape)


@lru_cache(maxsize=1)
def _congruence() -> tuple[Matrix, Matrix]:
    """W with Wᵀ(KKᵀ)W = I and Wᵀ(ZZᵀ)W diagonal, for one player; and that diagonal."""
    from scipy.linalg import eigh

    eigenvalues, vectors = eigh(_SUBSETS @ _SUBSETS.T, _COMPLEMENTS @ _COMPLEMENTS.T)
    return vectors, eigenvalues


@lru_cache(maxsize=8)
def matching(n: int, noisy: bool, dtype: torch.dtype, device: torch.device) -> Matching:
    """The map for so many players, made once."""
    return Matching(n, noisy, dtype, device)
