"""Frames of pandas and polars as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_SHOWN = 6  # columns that an error names


def is_frame(given: Any) -> bool:
    """Whether it has named columns and is none of Python's mappings."""
    return hasattr(given, "columns") and hasattr(given, "to_numpy")


def is_series(given: Any) -> bool:
    """Whether it is one named column, or one row."""
    return hasattr(given, "to_numpy") and not hasattr(given, "columns")


def frame_numbers(frame: Any, name: str, dtype: torch.dtype) -> Tensor:
    """The numbers of a frame, shape ``(rows, columns)``."""
    called = list(map(str, frame.columns))
    if len(set(called)) < len(called):
        twice = next(column for column in called if called.count(column) > 1)
        raise ValueError(f"{name}: two columns are called {twice!r}; give each a name of its own.")
    columns = {str(column): np.asarray(frame[column]) for column in frame.columns}
    words = [column for column, numbers in columns.items() if numbers.dtype.kind not in "biuf"]
    if words:
        raise TypeError(
            f"{name}: columns {words[:_SHOWN]} hold no numbers; pass the frame as the model takes it, encoded "
            "(games.masks.column_groups makes one player of the columns of a one-hot code)."
        )
    return torch.from_numpy(np.stack(list(columns.values()), axis=1).astype(np.float64)).to(dtype)


def shown_value(name: str, value: float) -> str:
    """A column beside its value."""
    return f"{name} = {value:.4g}"
