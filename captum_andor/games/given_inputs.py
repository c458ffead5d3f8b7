"""Inputs as people hold them: frames and arrays become tensors, columns become names, a mask is proposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.frames import frame_numbers, is_frame, is_series, shown_value
from captum_andor.games.masks import image_grid

_GRID = 4  # rows and columns of patches
_ONE_BY_ONE, _STRETCHES = 20, 16  # tokens or steps that are a player each; runs of them where there are more


@dataclass(frozen=True)
class GivenInputs:
    """Inputs and baselines as tensors.

    Attributes:
        inputs: A tensor or a tuple, or what was given where that is checked elsewhere.
        baselines: Likewise.
        columns: Names of the columns of a frame, for each element of a row; None otherwise.
    """

    inputs: Any
    baselines: Any
    columns: tuple[str, ...] | None = None


def column_names(columns: Sequence[str], rows: Tensor, index: Tensor, n_players: int) -> tuple[str, ...] | None:
    """Names of players that are columns of a frame and, of a single row, their values.

    Args:
        columns: Of the frame.
        rows: Its numbers, shape ``(N, columns)``.
        index: Number of each column's player, broadcastable to them.
        n_players: Number of players.
    """
    if len(index) > 1:
        return None
    shown = list(columns)
    if len(rows) == 1:
        shown = [shown_value(name, value) for name, value in zip(shown, rows[0].tolist(), strict=True)]
    of_column = index[0].expand(len(shown)).tolist()
    return tuple(
        " & ".join(name for name, player in zip(shown, of_column, strict=True) if player == i) for i in range(n_players)
    )


def read_inputs(inputs: Any, baselines: Any, forward_func: Any) -> GivenInputs:
    """Frames and arrays as tensors, of the dtype of the model's parameters; everything else as it is."""
    dtype = _dtype_of(forward_func)
    if is_frame(inputs):
        columns = tuple(map(str, inputs.columns))
        return GivenInputs(frame_numbers(inputs, "inputs", dtype), _row(baselines, inputs, dtype), columns)
    if is_series(inputs):
        raise TypeError("inputs is a Series; pass a frame of one row, e.g. frame.iloc[[0]].")
    if isinstance(inputs, np.ndarray):
        return GivenInputs(_of_array(inputs, "inputs", dtype), baselines)
    if isinstance(inputs, tuple) and any(isinstance(x, np.ndarray) for x in inputs):
        names = [f"inputs[{i}]" for i in range(len(inputs))]
        parts = (_of_array(x, n, dtype) if isinstance(x, np.ndarray) else x for x, n in zip(inputs, names, strict=True))
        return GivenInputs(tuple(parts), baselines)
    return GivenInputs(inputs, baselines)


def _dtype_of(forward_func: Any) -> torch.dtype:
    """Of the first floating parameter of a model, else torch's default."""
    parameters = forward_func.parameters() if isinstance(forward_func, nn.Module) else ()
    return next((p.dtype for p in parameters if p.is_floating_point()), torch.get_default_dtype())


def _row(baselines: Any, frame: Any, dtype: torch.dtype) -> Any:
    """Baselines in the order of a frame's columns."""
    if is_frame(baselines):
        _check_columns(baselines.columns, frame.columns)
        return frame_numbers(baselines[list(frame.columns)], "baselines", dtype)
    if is_series(baselines):
        _check_columns(baselines.index, frame.columns)
        return torch.tensor([[float(baselines[column]) for column in frame.columns]], dtype=dtype)
    return baselines


def _check_columns(given: Any, wanted: Any) -> None:
    lacking, further = set(map(str, wanted)) - set(map(str, given)), set(map(str, given)) - set(map(str, wanted))
    if lacking or further:
        raise ValueError(
            f"baselines must have the columns of inputs; they lack {sorted(lacking)[:6]}, others are "
            f"{sorted(further)[:6]}."
        )


def _of_array(array: np.ndarray[Any, Any], name: str, dtype: torch.dtype) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} must hold numbers; got an array of {array.dtype}.")
    tensor = torch.from_numpy(np.array(array.astype(array.dtype.newbyteorder("="), copy=True)))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def automatic_mask(inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], str]:
    """A feature mask of few players for common inputs, and a sentence that says which.

    Images get a grid of patches, columns of a table are a player each, tokens and steps are one each or, where they are
    many, runs of neighbours.
    """
    masks, sentences, start = [], [], 0
    for x in inputs:
        mask, sentence = _mask_of(x)
        masks.append(mask.to(x.device) + start)
        start = int(masks[-1].max()) + 1
        sentences.append(sentence)
    return tuple(masks), "; ".join(sentences)


def _mask_of(x: Tensor) -> tuple[Tensor, str]:
    shape = tuple(x.shape[1:])
    if len(shape) == 3 and min(shape[1:]) >= _GRID:
        mask = image_grid(shape[1], shape[2], _GRID, _GRID)
        return mask, f"a {_GRID} x {_GRID} grid of patches over {shape[1]} x {shape[2]} pixels, numbered row by row"
    if len(shape) == 1 and x.is_floating_point():
        return torch.arange(shape[0], device="cpu")[None], f"{shape[0]} columns"
    if len(shape) in (1, 2):
        steps = torch.arange(shape[0], device="cpu")
        text = f"{shape[0]} tokens or steps"
        if shape[0] > _ONE_BY_ONE:
            steps, text = steps * _STRETCHES // shape[0], f"{_STRETCHES} runs of neighbours among {text}"
        return steps.view(1, -1, *(1,) * (len(shape) - 1)), text
    raise ValueError(
        f'feature_mask="auto" knows images (N, C, H, W), tables (N, columns), tokens (N, T) and series (N, T, D); an '
        f"input has shape {tuple(x.shape)}. Pass a mask of integer ids that broadcasts to it."
    )
