"""Coalitions that a caller chose: checked, each once, some held out, grouped by size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor.sampling.sampling_plan import STRATA, n_held_out


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
