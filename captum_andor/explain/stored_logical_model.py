"""Read the file of a ``LogicalModel`` and check that its arrays are consistent."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor

from captum_andor._utils.storage import read_arrays
from captum_andor.results import PatternTable, restored_fields
from captum_andor.search import Options

FORMAT = "captum_andor.logical_model"
COLUMNS = ("output", "is_or", "members", "value")
_ROUNDING = 1e-9
TENSORS = ("t", "constant", "r2", "r2_interval", "r2_path", "values")


def read_logical_model(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Keyword arguments of the logical model that a file holds."""
    header, arrays = read_arrays(path, FORMAT, "LogicalModel.save")
    try:
        fields = restored_fields(header, arrays, arrays["constant"].shape)
        options = header["options"]
        if not isinstance(options["weights"], str):
            options["weights"] = tuple(options["weights"])
        names = (*COLUMNS, *TENSORS, *(("coalitions",) if "coalitions" in arrays else ()))
        tensors = {name: torch.from_numpy(arrays[name]) for name in names}
        _check_tensors(tensors, fields["players"].n_players, tuple(fields["axes"].shape))
        return {
            "table": PatternTable(**{name: tensors[name] for name in COLUMNS}),
            **{name: tensors[name] for name in TENSORS},
            "options": Options(**options),
            "coalitions": tensors.get("coalitions"),
            **fields,
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} does not hold a logical model ({error}); it is damaged.") from error


def _check_tensors(tensors: dict[str, Tensor], n: int, shape: tuple[int, ...]) -> None:
    """Raise ValueError where shapes or dtypes do not fit n players and outputs of a shape."""
    patterns, coalitions = len(tensors["t"]), tensors.get("coalitions")
    rows = 1 << n if coalitions is None else len(coalitions)
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        "output": (torch.int64, (patterns,)),
        "is_or": (torch.bool, (patterns,)),
        "members": (torch.bool, (patterns, n)),
        "value": (torch.float64, (patterns,)),
        "t": (torch.float64, (patterns,)),
        "constant": (torch.float64, shape),
        "r2": (torch.float64, shape),
        "r2_interval": (torch.float64, (*shape, 2)),
        "r2_path": (torch.float64, (*shape, tensors["r2_path"].shape[-1])),
        "values": (torch.float64, (*shape, rows)),
    }
    if coalitions is not None:
        expected["coalitions"] = (torch.bool, (len(coalitions), n))
    for name, (dtype, size) in expected.items():
        if tensors[name].dtype != dtype or tuple(tensors[name].shape) != size:
            raise ValueError(f"{name} is {tensors[name].dtype} {tuple(tensors[name].shape)}, not {dtype} {size}")
    for name in ("value", "constant", "values"):
        if not bool(tensors[name].isfinite().all()):
            raise ValueError(f"{name} is not finite")
    r2, interval, path = tensors["r2"], tensors["r2_interval"], tensors["r2_path"]
    unknown = r2.isnan()
    if bool((unknown != interval.isnan().all(-1)).any()) or bool((interval.isnan().any(-1) & ~unknown).any()):
        raise ValueError("r2 and r2_interval do not say the same of what is unknown")
    low, high = interval.nan_to_num().unbind(-1)
    inside = (low <= r2 + _ROUNDING) & (r2 <= high + _ROUNDING) & (high <= 1 + _ROUNDING)
    if not bool((inside | unknown).all()):
        raise ValueError("r2 lies outside r2_interval, or above 1")
    if bool(((path > 1 + _ROUNDING) | path.isinf()).any()) or bool((tensors["t"] < 0).any()):
        raise ValueError("r2_path or t is out of range")
    if coalitions is not None and len(torch.unique(coalitions, dim=0)) != rows:
        raise ValueError("coalitions holds one twice")
    output = tensors["output"]
    if patterns and not 0 <= int(output.min()) <= int(output.max()) < math.prod(shape):
        raise ValueError("output is out of range")
