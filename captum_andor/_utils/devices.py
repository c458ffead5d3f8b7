"""What devices hold: float64 is not on all of them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def _holds_float64(kind: str) -> bool:
    try:
        torch.empty(1, dtype=torch.float64, device=kind)
    except (TypeError, RuntimeError):
        return False
    return True


def holds_float64(device: torch.device) -> bool:
    """Whether tensors of float64 can be on a device: not on Apple's GPUs."""
    return device.type in ("cpu", "cuda") or (device.type != "mps" and _holds_float64(device.type))


def as_float64(x: Tensor) -> Tensor:
    """A tensor of float64, on the CPU where its device cannot hold it."""
    return (x if holds_float64(x.device) else x.cpu()).double()
