"""Hashes of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def add_tensor(digest: Any, tensor: Tensor, key: str = "") -> None:
    """Add a tensor's dtype, shape and content to a hash, under a name."""
    digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
