"""One AND or OR term of a prediction, and the columnar table of many that all results share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.storage import storable
from captum_andor.games.transforms import all_coalitions
from captum_andor.results.result_players import Axes, PlayerKey

if TYPE_CHECKING:
    import pandas as pd

_SALIENT_SHARE = 0.05  # of the strongest interaction: Chen et al. 2024, arXiv 2401.16318


@dataclass(frozen=True)
class Interaction:
    """One interaction of one explained output.

    Attributes:
        index: Position in the leading shape, e.g. ``(sample,)`` or ``(sample, output)``; ``()`` for a single game.
            Parts of a result keep the positions of the whole: of ``result[3]`` it is ``(3,)``.
        kind: ``"and"`` or ``"or"``.
        players: Feature ids of its players.
        value: Its effect on v, signed.
        names: Names of its players, where the result has some; else empty.
    """

    index: tuple[int, ...]
    kind: Literal["and", "or"]
    players: tuple[int, ...]
    value: float
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def order(self) -> int:
        """Number of players."""
        return len(self.players)

    def __str__(self) -> str:
        return f"{self.kind.upper():3} {{{', '.join(map(str, self.names or self.players))}}} {self.value:+.4g}"


@storable
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

    @classmethod
    def strongest(cls, values: Tensor, counts: Tensor) -> PatternTable:
        """The strongest interactions of complete games.

        Args:
            values (Tensor): AND interactions and, behind them, OR interactions, shape ``(B, 2 * 2^n)``.
            counts (Tensor): How many of each game to keep, int64, shape ``(B,)``.
        """
        half = values.shape[1] // 2
        order = values.abs().argsort(dim=-1, descending=True, stable=True)
        kept = torch.arange(values.shape[1], device=values.device) < counts[:, None]
        column = order[kept]
        output = torch.repeat_interleave(torch.arange(len(values), device=values.device), counts)
        everything = all_coalitions(half.bit_length() - 1, values.device)
        members = everything.index_select(0, column & (half - 1))
        return cls(output, column >= half, members, values[output, column])

    def __len__(self) -> int:
        return len(self.value)

    def rows(self, kept: Tensor) -> PatternTable:
        """Some rows, by mask or positions."""
        return PatternTable(self.output[kept], self.is_or[kept], self.members[kept], self.value[kept])

    def interactions(self, axes: Axes, key: PlayerKey) -> Interactions:
        """The rows as a sequence of :class:`Interaction`, in their order."""
        return Interactions(self, axes, key)

    def to_dataframe(self, axes: Axes, key: PlayerKey) -> pd.DataFrame:
        """One row a pattern: its position along each axis, ``kind``, ``players``, ``order``, ``value``.

        With names of players also ``names``.
        """
        import pandas as pd

        columns: dict[str, Any] = dict(axes.columns(self.output.cpu().numpy()))
        columns["kind"] = _KINDS[self.is_or.cpu().numpy().astype(np.int64)]
        columns["players"] = key.players(self.members)
        if key.names is not None:
            columns["names"] = key.named(self.members)
        columns["order"] = self.members.sum(1).cpu().numpy()
        columns["value"] = self.value.cpu().numpy()
        return pd.DataFrame(columns, copy=False)

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
        members = self.members.double()  # counts of players; autocast leaves float64 alone
        met = coalitions.double() @ members.T
        return torch.where(self.is_or, met > 0, met == members.sum(1))


class Interactions(Sequence[Interaction]):
    """A list of interactions that makes each :class:`Interaction` when it is looked at; equal to a list of the same."""

    def __init__(self, table: PatternTable, axes: Axes, key: PlayerKey) -> None:
        self._table = table
        self._axes = axes
        self._key = key

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Interaction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Interaction]: ...
    def __getitem__(self, index: int | slice) -> Interaction | list[Interaction]:
        if isinstance(index, slice):
            kept = torch.as_tensor(range(len(self))[index], dtype=torch.int64, device=self._table.value.device)
            return list(self._made(self._table.rows(kept)))
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} interactions.")
        return self[index : index + 1 or None][0]

    def __iter__(self) -> Iterator[Interaction]:
        return self._made(self._table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Sequence[Interaction]) -> list[Interaction]:
        return [*self, *other]

    def __radd__(self, other: Sequence[Interaction]) -> list[Interaction]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(list(self))

    def _made(self, table: PatternTable) -> Iterator[Interaction]:
        places = self._axes.places(table.output.cpu().numpy())
        positions = zip(*(place.tolist() for place in places), strict=True) if places else [()] * len(table)
        kinds = _KINDS[table.is_or.cpu().numpy().astype(np.int64)]
        rows = zip(
            positions,
            kinds.tolist(),
            self._key.players(table.members),
            table.value.tolist(),
            self._key.named(table.members),
            strict=True,
        )
        return (Interaction(*row) for row in rows)


_KINDS = np.array(["and", "or"], dtype=object)


def _equal(one: Interaction, other: object) -> bool:
    return one == other


def salience_threshold(strength: Tensor) -> Tensor:
    """Default threshold of salience from strengths ``(…, 2^n)``: 0.05 of the strongest, shape ``(…, 1)``."""
    return _SALIENT_SHARE * strength.amax(-1, keepdim=True)
