"""Players, names and layout of a result as a file holds them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from captum_andor._utils.checks import is_int

__all__ = ["stored_ids"]

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def stored_ids(header: dict[str, Any]) -> tuple[int, ...]:
    """Feature ids of a stored result: whole numbers in rising order.

    Raises:
        ValueError: If they are not.
    """
    ids = header["feature_ids"]
    if not isinstance(ids, list) or not all(is_int(i) for i in ids):
        raise ValueError("feature_ids are no whole numbers")
    if any(a >= b for a, b in pairwise(ids)):
        raise ValueError("feature_ids are not in rising order")
    return tuple(ids)


def _stored_shapes(given: Any) -> tuple[tuple[int, ...], ...]:
    sizes = [size for shape in given for size in shape]
    if not given or not all(is_int(size) and size > 0 for size in sizes):
        raise ValueError("input_shapes are no shapes")
    return tuple(tuple(shape) for shape in given)


def _check_player_map(name: str, index: Tensor, wanted: tuple[int, ...], n: int, shape: tuple[int, ...]) -> None:
    """Players of one input's elements, for all examples or each."""
    if index.dtype != torch.int64 or index.ndim != 1 + len(wanted) or len(index) not in (1, *shape[:1]):
        raise ValueError(f"{name} has dtype {index.dtype} and shape {tuple(index.shape)}")
    if any(have not in (1, size) for have, size in zip(index.shape[1:], wanted, strict=True)):
        raise ValueError(f"{name} of shape {tuple(index.shape)} does not fit an input of shape {wanted}")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < n:
        raise ValueError(f"{name} names players that there are not")
