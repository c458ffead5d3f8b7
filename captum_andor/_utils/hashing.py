"""Hashes of tensors and settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["add_tensor", "add_value"]


def add_tensor(digest: Any, tensor: Tensor, key: str = "") -> None:
    """Add a tensor's dtype, shape and content to a hash, under a name."""
    digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


def add_value(digest: Any, value: Any) -> None:
    """Add a setting to a hash: tensors by content, tuples and lists by parts, functions by name, else its repr."""
    if isinstance(value, Tensor):
        add_tensor(digest, value)
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}(".encode())
        for part in value:
            add_value(digest, part)
    elif callable(value):
        digest.update(getattr(value, "__qualname__", type(value).__qualname__).encode())
    else:
        digest.update(repr(value).encode())
