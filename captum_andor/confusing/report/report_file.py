"""A report in a file: inputs, labels, what the models returned and the settings of the scores, without pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor._utils.storage import read_arrays, write_arrays
from captum_andor.confusing.evaluation.evaluator import Evaluation
from captum_andor.confusing.evaluation.views import View, Views
from captum_andor.confusing.scores.scoring import Scoring

Arrays = dict[str, npt.NDArray[Any]]

_FORMAT = "captum_andor.report"
_WRITER = "ConfusingReport.save"
_LEFT_OUT = ("evaluator", "evaluation", "_cache")  # of a Scoring: models, what has a part of its own, what is computed


def write_scoring(path: str | os.PathLike[str], scoring: Scoring) -> None:
    """Write what a report is made of; functions among the baselines and masks are called for every sample."""
    if callable(scoring.score):
        raise TypeError(
            "score is a function, which a file does not hold: save report.rescore(score=…) of a score with a name, or "
            "pickle the report."
        )
    evaluation = scoring.evaluation
    views = evaluation.views.as_tensors(evaluation.samples)
    parts = {
        "samples": _fields(evaluation.samples),
        "views": _fields(views),
        "evaluation": {k: v for k, v in _fields(evaluation).items() if k not in ("samples", "views")},
        "scoring": {k: v for k, v in _fields(scoring).items() if k not in _LEFT_OUT},
    }
    arrays: Arrays = {}
    header = {name: _described(part, name, arrays) for name, part in parts.items()}
    write_arrays(path, _FORMAT, header, arrays)


def read_scoring(path: str | os.PathLike[str]) -> Scoring:
    """Read what :func:`write_scoring` wrote; there are no models to run."""
    header, arrays = read_arrays(path, _FORMAT, _WRITER)
    try:
        parts = {name: _restored(header[name], arrays) for name in ("samples", "views", "evaluation", "scoring")}
        evaluation = Evaluation(
            samples=Samples(**parts["samples"]), views=Views(**parts["views"]), **parts["evaluation"]
        )
        return Scoring(evaluation, **parts["scoring"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is not a file that {_WRITER} wrote, or it is damaged ({error}).") from error


def _fields(thing: Any) -> dict[str, Any]:
    """Values of the fields of a dataclass, as they are."""
    return {field.name: getattr(thing, field.name) for field in fields(thing)}


def _described(value: Any, name: str, arrays: Arrays) -> Any:
    """A value as JSON; tensors and arrays are put aside, and named."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        kept = value.detach().cpu()
        exact = kept.float() if kept.dtype == torch.bfloat16 else kept  # NumPy has no bfloat16
        return {"tensor": _put(exact.numpy(), arrays), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        return {"array": _put(value, arrays)}
    if isinstance(value, View):
        return {"view": list(value)}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_described(entry, name, arrays) for entry in value]}
    if isinstance(value, Mapping):
        return {
            "dict": [[_described(key, name, arrays), _described(entry, name, arrays)] for key, entry in value.items()]
        }
    raise TypeError(f"the {name} of the report has a {type(value).__name__}, which a file does not hold; pickle it.")


def _put(array: npt.NDArray[Any], arrays: Arrays) -> str:
    name = f"array_{len(arrays)}"
    arrays[name] = array
    return name


def _restored(described: Any, arrays: Arrays) -> Any:
    if not isinstance(described, dict):
        return described
    if "tensor" in described:
        return torch.from_numpy(arrays[described["tensor"]]).to(getattr(torch, described["dtype"]))
    if "array" in described:
        return arrays[described["array"]]
    if "view" in described:
        return View(*described["view"])
    if "tuple" in described:
        return tuple(_restored(entry, arrays) for entry in described["tuple"])
    if "list" in described:
        return [_restored(entry, arrays) for entry in described["list"]]
    return {_restored(key, arrays): _restored(entry, arrays) for key, entry in described["dict"]}
