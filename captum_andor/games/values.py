"""Values of games that a caller gives: checked, copied, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LARGEST = 1e305  # sums of 2^n values of this size would overflow


def flat_games(values: Tensor) -> Tensor:
    """Values ``(…, m)`` with one leading axis: ``(B, m)``."""
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1])


def game_values(v: Any) -> Tensor:
    """Values of games as a float64 copy."""
    try:
        if not isinstance(v, Tensor):
            array = np.array(v)  # a copy: of native byte order and positive strides
            v = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        values = torch.as_tensor(v, device=v.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"v must be a tensor, array or list of real numbers; got {type(v).__name__} ({error})."
        ) from error
    if values.is_complex():
        raise TypeError(f"v must be real; got {values.dtype}.")
    if values.layout != torch.strided:
        raise TypeError(f"v is sparse ({values.layout}); pass its .to_dense().")
    values = values.detach().to(torch.float64, copy=True)
    if not bool(values.isfinite().all()):
        where = (~values.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"v must be finite; got {float(values[tuple(where)])} at position {tuple(where)}.")
    if bool((values.abs() > _LARGEST).any()):
        raise ValueError(f"v must not exceed {_LARGEST:.0e} in size, as sums of it would overflow; scale it down.")
    return values
