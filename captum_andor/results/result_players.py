"""What a result is of: its players, their names and places in the inputs; its outputs, their names and positions.

Indexing a result keeps both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.storage import storable
from captum_andor.games import Inputs, PlayerLayout, Question

_TABLED_PLAYERS = 20  # up to which the sets of players are looked up in a table of all of them

Picks = tuple[slice | int, ...]  # one entry per axis
Names: TypeAlias = Sequence[str] | Mapping[int, str] | None


@storable
@dataclass(frozen=True)
class Axes:
    """The axes of a result's leading shape, and which positions of the result it was taken from are left.

    Attributes:
        positions: For each axis that there was before any indexing, the positions left of it or, where an integer took
            the axis away, the one position.
        labels: What the positions of the last axis are called, where a result names its outputs.
    """

    positions: tuple[range | int, ...]
    labels: tuple[str, ...] | None = None

    @classmethod
    def of(cls, shape: Sequence[int]) -> Axes:
        """Axes of a whole leading shape, before any indexing."""
        return cls(tuple(map(range, shape)))

    @classmethod
    def labelled(cls, labels: tuple[str, ...]) -> Axes:
        """A single axis of outputs with names."""
        return cls((range(len(labels)),), labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Leading shape: the axes that are left."""
        return tuple(len(p) for p in self.positions if isinstance(p, range))

    @property
    def names(self) -> list[str]:
        """Column names of the axes, including axes that an integer index removed."""
        names = ["sample", "output", *(f"output_{i}" for i in range(1, len(self.positions)))]
        return ["output"] if self.labels is not None and len(self.positions) == 1 else names[: len(self.positions)]

    def pick(self, picks: Picks) -> Axes:
        """The axes after indexing by one integer or slice per axis left."""
        remaining = iter(picks)
        return Axes(tuple(p[next(remaining)] if isinstance(p, range) else p for p in self.positions), self.labels)

    def places(self, outputs: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        """Positions along every axis, those taken away included, of outputs numbered through the leading shape."""
        left = iter(np.unravel_index(outputs, self.shape) if self.shape else ())
        return [
            p.start + p.step * np.asarray(next(left), dtype=np.int64)
            if isinstance(p, range)
            else np.full(len(outputs), p)
            for p in self.positions
        ]

    def columns(self, outputs: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """Table columns of the positions, by the names of the axes; of the last one its labels, where it has some."""
        found: dict[str, npt.NDArray[Any]] = dict(zip(self.names, self.places(outputs), strict=True))
        if self.labels is not None:
            found[self.names[-1]] = np.array(self.labels, dtype=object)[found[self.names[-1]]]
        return found

    def output_labels(self) -> list[str] | None:
        """What the outputs are called, in the flattened leading shape; None where they have no names."""
        if self.labels is None:
            return None
        last = self.places(np.arange(math.prod(self.shape)))[-1]
        return [self.labels[i] for i in last.tolist()]

    def place(self) -> str:
        """Which sample and output a result was taken from by index, e.g. ``"sample 3, output 7"``; else nothing."""
        taken = [(name, p) for name, p in zip(self.names, self.positions, strict=True) if isinstance(p, int)]
        shown = [repr(self.labels[p]) if self.labels and name == self.names[-1] else f"{name} {p}" for name, p in taken]
        return ", ".join(shown)


def standard_index(index: Any, shape: tuple[int, ...]) -> Picks:
    """One integer or slice per axis, from what stood in the brackets."""
    entries = index if isinstance(index, tuple) else (index,)
    ellipses = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    given = len(entries) - len(ellipses)
    allowed = all(isinstance(i, slice) or is_int(i) for i in entries if i is not Ellipsis)
    if len(ellipses) > 1 or given > len(shape) or not allowed:
        raise IndexError(f"index {index!r} must be integers, slices or an ellipsis over the leading shape {shape}.")
    at = ellipses[0] if ellipses else len(entries)
    filling = (slice(None),) * (len(shape) - given)
    picks = (*entries[:at], *filling, *entries[at + 1 :])
    for axis, (pick, size) in enumerate(zip(picks, shape, strict=True)):
        if not isinstance(pick, slice) and not -size <= pick < size:
            raise IndexError(f"index {int(pick)} is out of range for axis {axis} of the leading shape {shape}.")
    return tuple(pick if isinstance(pick, slice) else int(pick) for pick in picks)


def take(tensor: Tensor, picks: Picks) -> Tensor:
    """A part of a tensor whose first axes are a leading shape, as a copy: what is written into it stays there."""
    axis = 0
    for pick in picks:
        if isinstance(pick, int):
            tensor = tensor.select(axis, pick)
            continue
        kept = range(tensor.shape[axis])[pick]
        tensor = tensor.index_select(axis, torch.tensor(list(kept), dtype=torch.int64, device=tensor.device))
        axis += 1
    return tensor.clone()


@dataclass(frozen=True)
class PlayerKey:
    """Ids and names of players, for tables and prints.

    Attributes:
        ids: Feature id of each player, sorted.
        names: Name of each player in the same order; None where they have none.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def players(self, members: Tensor) -> npt.NDArray[np.object_]:
        """Tuples of ids, an object per row of bool members ``(P, n)``; rows of equal members share one."""
        return _tuples_of_labels(members, self.ids)

    def named(self, members: Tensor) -> npt.NDArray[np.object_]:
        """Tuples of names likewise; empty ones where there are none."""
        return _tuples_of_labels(members, self.names or ())


@storable
@dataclass(frozen=True)
class ResultPlayers:
    """Ids, names and input positions of the players of a result.

    Attributes:
        feature_ids: Id of each player, as in the feature mask, sorted.
        names: Name of each player in the same order; None where none were given.
        layout: Where the players sit in the inputs; None for results made from values.
        attribution_dtype: Dtype of attributions.
        question: What the call asked.
    """

    feature_ids: tuple[int, ...]
    names: tuple[str, ...] | None = None
    layout: PlayerLayout | None = None
    attribution_dtype: torch.dtype = torch.float64
    question: Question = field(default_factory=Question)

    @classmethod
    def numbered(cls, n: int, names: Names = None) -> ResultPlayers:
        """Players 0 to n − 1 of a game that was given by its values."""
        ids = tuple(range(n))
        return cls(ids, standard_names(names, ids))

    @classmethod
    def of_inputs(
        cls, layout: PlayerLayout, output_dtype: torch.dtype, names: Names = None, question: Question | None = None
    ) -> ResultPlayers:
        """Players of a model's inputs; attributions get the dtype of its output, at least float32."""
        names = standard_names(names, layout.feature_ids)
        return cls(
            layout.feature_ids, names, layout, torch.promote_types(output_dtype, torch.float32), question or Question()
        )

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.feature_ids)

    @property
    def key(self) -> PlayerKey:
        """Ids and names of the players, for tables and prints."""
        return PlayerKey(self.feature_ids, self.names)

    def scatter(self, per_player: Tensor) -> Inputs:
        """One number per player, shape ``(…, n)``, spread over the elements of the inputs that each player is."""
        if self.layout is None:
            raise ValueError(
                "attributions() needs inputs, but this result was made from game values. "
                "Use shapley_values(), one number per player."
            )
        return self.layout.scatter(per_player.to(self.attribution_dtype))

    def pick(self, picks: Picks) -> ResultPlayers:
        """The players of some examples; masks of each example follow the index, shared ones stay."""
        if self.layout is None or not picks:
            return self
        first = picks[0]
        rows = first if isinstance(first, slice) else slice(first, first + 1 or None)
        indices = tuple(player if len(player) == 1 else take(player, (rows,)) for player in self.layout.indices)
        layout = replace(self.layout, indices=indices)
        return replace(self, layout=layout, question=self.question.of_examples(rows))


def standard_names(given: Any, feature_ids: tuple[int, ...]) -> tuple[str, ...] | None:
    """Names of players in the order of their ids, from a sequence in this order or a mapping of ids."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        unknown, without = set(given) - set(feature_ids), [i for i in feature_ids if i not in given]
        if unknown or without:
            raise ValueError(
                f"player_names must name every feature id: it lacks {without} and has {sorted(unknown, key=str)}, "
                "which are none."
            )
        names = [given[i] for i in feature_ids]
    elif (isinstance(given, Sequence) or hasattr(given, "tolist")) and not isinstance(given, str):
        names = list(given.tolist() if hasattr(given, "tolist") else given)  # an array, an Index, a Series
        if len(names) != len(feature_ids):
            raise ValueError(
                f"player_names has {len(names)} names for {len(feature_ids)} players (feature ids {feature_ids})."
            )
    else:
        raise TypeError(f"player_names must be a sequence or a mapping of ids to names; got {type(given).__name__}.")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"player_names must hold strings; got {names!r}.")
    return tuple(names)


def _tuples_of_labels(members: Tensor, labels: tuple[Any, ...]) -> npt.NDArray[np.object_]:
    """For each row of members ``(P, n)`` the tuple of the labels of its players; equal rows share one."""
    result = np.empty(len(members), dtype=object)
    if not labels:
        result.fill(())
        return result
    flags = members.cpu().numpy()
    n = flags.shape[1]
    if n <= _TABLED_PLAYERS and len(flags) > 1 << n >> 3:
        packed = np.zeros((len(flags), 4), dtype=np.uint8)
        bits = np.packbits(flags, axis=1, bitorder="little")
        packed[:, : bits.shape[1]] = bits
        result[:] = _all_tuples(labels)[packed.view("<u4")[:, 0]]
        return result
    names = np.asarray(labels, dtype=object)
    for row, mine in enumerate(flags):
        result[row] = tuple(names[mine])
    return result


@lru_cache(maxsize=4)
def _all_tuples(labels: tuple[Any, ...]) -> npt.NDArray[np.object_]:
    """The tuples of all sets of players, in the order of their bit codes."""
    sets: list[tuple[Any, ...]] = [()]
    for name in labels:
        sets += [(*smaller, name) for smaller in sets]
    result = np.empty(len(sets), dtype=object)
    result[:] = sets
    return result
