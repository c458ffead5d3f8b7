"""Read the file of an ``AndOrExplanation`` and check that its arrays are consistent."""

from __future__ import annotations

import os
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.storage import Spec, read_arrays
from captum_andor.games.transforms import or_zeta, zeta
from captum_andor.results import restored_fields, stored_ids
from captum_andor.split import Split

FORMAT = "captum_andor.explanation"
TENSORS = ("values", "and_values", "or_values", "noise", "l1", "duality_gap", "dual", "noise_limit")
_STORED_ERROR = 1e-6  # of the largest value: far above the rounding of float64, far below what damage does


def read_explanation(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Keyword arguments of the explanation that a file holds."""
    header, arrays = read_arrays(path, FORMAT, "AndOrExplanation.save", _check_header)
    if "dual" not in arrays:  # written before splits kept their dual point
        arrays["dual"] = np.full_like(arrays["values"], np.nan)
        arrays["noise_limit"] = np.zeros_like(arrays["l1"])
    try:
        tensors = {name: torch.from_numpy(arrays[name]) for name in TENSORS}
        fields = restored_fields(header, arrays, arrays["l1"].shape)
        _check_tensors(tensors)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} does not hold an explanation ({error}); it is damaged.") from error
    return {**tensors, "split": header["split"], **fields}


def _check_header(header: dict[str, Any], specs: dict[str, Spec]) -> None:
    """Raise ValueError unless the arrays that a file announces are those of an explanation."""
    n = len(stored_ids(header))
    if header["split"] not in get_args(Split):
        raise ValueError(f"its split is {header['split']!r}")
    shape = specs["l1"].shape
    game = (*shape, 1 << n)
    optional = {"dual": game, "noise_limit": shape}
    wanted = dict.fromkeys(("values", "and_values", "or_values", "noise"), game) | {"l1": shape, "duality_gap": shape}
    for name, expected in {**wanted, **{name: s for name, s in optional.items() if name in specs}}.items():
        if specs[name] != Spec(expected, np.dtype(np.float64)):
            raise ValueError(f"its {name} has shape {specs[name].shape} and dtype {specs[name].dtype}")
    inputs = range(len(header["input_shapes"] or ()))
    if set(specs) - set(wanted) - set(optional) != {f"players_{i}" for i in inputs}:
        raise ValueError("its arrays are not those of an explanation")


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    """Raise ValueError where the interactions of a file do not give its values, or its l1 is another one."""
    for name in ("values", "and_values", "or_values", "noise", "l1"):
        if not bool(tensors[name].isfinite().all()):
            raise ValueError(f"{name} holds numbers that are not finite")
    values, and_values, or_values = (tensors[name] for name in ("values", "and_values", "or_values"))
    if not values.numel():
        return
    allowed = _STORED_ERROR * float(values.abs().amax().clamp(min=1e-300))
    mismatch = zeta(and_values) + or_zeta(or_values) - values - tensors["noise"]
    if float(mismatch.abs().amax()) > allowed:
        raise ValueError("its interactions do not give its values")
    l1 = and_values[..., 1:].abs().sum(-1) + or_values[..., 1:].abs().sum(-1)
    if not torch.allclose(l1, tensors["l1"], rtol=_STORED_ERROR, atol=allowed):
        raise ValueError("its l1 is not that of its interactions")
