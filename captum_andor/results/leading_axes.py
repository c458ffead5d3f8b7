"""Names and original positions of a result's leading axes; indexing a result keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.storage import storable

Picks = tuple[slice | int, ...]  # one entry per axis


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
