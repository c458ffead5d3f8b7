"""Patterns: one AND or OR term of a prediction, and the columnar table of many that both results share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Interaction", "PatternTable", "check_count", "salience_threshold"]

_SALIENT_SHARE = 0.05  # of the strongest interaction: Chen et al. 2024, arXiv 2401.16318


@dataclass(frozen=True)
class Interaction:
    """One interaction of one explained output.

    Attributes:
        index: Position in the leading shape, e.g. ``(sample,)`` or ``(sample, output)``; ``()`` for a single game.
        kind: ``"and"`` or ``"or"``.
        players: Feature ids of its players.
        value: Its effect on v, signed.
    """

    index: tuple[int, ...]
    kind: Literal["and", "or"]
    players: tuple[int, ...]
    value: float

    @property
    def order(self) -> int:
        """Number of players."""
        return len(self.players)

    def __str__(self) -> str:
        return f"{self.kind.upper():3} {{{', '.join(map(str, self.players))}}} {self.value:+.4g}"


@dataclass(frozen=True, eq=False)
class PatternTable:
    """Patterns of one or many outputs, a row each, grouped by output and strongest first within it.

    Attributes:
        output: Position in the flattened leading shape, int64, shape ``(P,)``.
        is_or: Kind, bool, shape ``(P,)``.
        members: Its players, bool, shape ``(P, n)``.
        value: Signed effect on v, float64, shape ``(P,)``.
    """

    output: Tensor
    is_or: Tensor
    members: Tensor
    value: Tensor

    @classmethod
    def ordered(cls, output: Tensor, is_or: Tensor, members: Tensor, value: Tensor) -> tuple[PatternTable, Tensor]:
        """Sort rows into a table; returns it and the order taken, for further columns."""
        by_strength = value.abs().argsort(descending=True, stable=True)
        order = by_strength[output[by_strength].argsort(stable=True)]
        return cls(output[order], is_or[order], members[order], value[order]), order

    def __len__(self) -> int:
        return len(self.value)

    def rows(self, kept: Tensor) -> PatternTable:
        """Some rows, by mask or positions."""
        return PatternTable(self.output[kept], self.is_or[kept], self.members[kept], self.value[kept])

    def interactions(self, shape: tuple[int, ...], feature_ids: tuple[int, ...]) -> list[Interaction]:
        """The rows as :class:`Interaction`, in their order."""
        ids = np.asarray(feature_ids, dtype=object)
        positions = [np.unravel_index(o, shape) if shape else () for o in self.output.tolist()]
        return [
            Interaction(tuple(int(i) for i in position), "or" if is_or else "and", tuple(ids[members]), value)
            for position, is_or, members, value in zip(
                positions, self.is_or.tolist(), self.members.cpu().numpy(), self.value.tolist(), strict=True
            )
        ]

    def to_dataframe(self, shape: tuple[int, ...], feature_ids: tuple[int, ...]) -> pd.DataFrame:
        """One row a pattern: its position in the leading shape, ``kind``, ``players``, ``order``, ``value``."""
        import pandas as pd

        names = ["sample", "output", *(f"output_{i}" for i in range(1, len(shape)))][: len(shape)]
        rows = [(*i.index, i.kind, i.players, i.order, i.value) for i in self.interactions(shape, feature_ids)]
        return pd.DataFrame(rows, columns=[*names, "kind", "players", "order", "value"])

    def order_strength(self, n_outputs: int) -> Tensor:
        """Sums of positive and of negative values by order: float64, shape ``(n_outputs, 2, n + 1)``."""
        n = self.members.shape[1]
        flat = (2 * self.output + (self.value < 0)) * (n + 1) + self.members.sum(1)
        strength = self.value.new_zeros(n_outputs * 2 * (n + 1)).index_add(0, flat, self.value)
        return strength.view(n_outputs, 2, n + 1)

    def shapley_values(self, n_outputs: int) -> Tensor:
        """Each value shared equally among its players: float64, shape ``(n_outputs, n)``."""
        shares = self.members * (self.value / self.members.sum(1))[:, None]
        return shares.new_zeros(n_outputs, self.members.shape[1]).index_add(0, self.output, shares)

    def predict(self, coalitions: Tensor, n_outputs: int) -> Tensor:
        """Sum of the values of the patterns that hold on each coalition.

        Args:
            coalitions (Tensor): bool, shape ``(m, n)`` for all outputs or ``(n_outputs, m, n)``.
            n_outputs (int): Number of outputs.

        Returns:
            - **sums** (*Tensor*): float64, shape ``(n_outputs, m)``.
        """
        result = self.value.new_zeros(n_outputs, coalitions.shape[-2])
        for output in range(n_outputs):
            mine = self.rows(self.output == output)
            if len(mine):
                present = coalitions[output] if coalitions.ndim == 3 else coalitions
                result[output] = mine.holds(present).double() @ mine.value
        return result

    def holds(self, coalitions: Tensor) -> Tensor:
        """Whether each pattern holds on each coalition: bool, shape ``(m, P)`` for coalitions ``(m, n)``."""
        members = self.members.float()  # counts of players, exact in float32
        met = coalitions.float() @ members.T
        return torch.where(self.is_or, met > 0, met == members.sum(1))


def salience_threshold(strength: Tensor) -> Tensor:
    """Default threshold of salience from strengths ``(…, 2^n)``: 0.05 of the strongest, shape ``(…, 1)``."""
    return _SALIENT_SHARE * strength.amax(-1, keepdim=True)


def check_count(name: str, count: Any) -> None:
    """Raise unless an argument is a whole number of at least 1.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise ValueError(f"{name} must be an int ≥ 1; got {count!r}.")
