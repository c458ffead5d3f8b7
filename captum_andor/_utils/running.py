"""Where work runs: devices, and the share of this process among several."""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

Model: TypeAlias = Callable[..., Any]
TaskT = TypeVar("TaskT")
_DEPTH = 3  # functions within functions that are looked into


def device_of(model: Model) -> torch.device | None:
    """Device of a module's first parameter or buffer; None for a function, which takes the data as it is."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return None


def dtype_of(model: Model) -> torch.dtype | None:
    """Dtype of the first floating parameter of a module, or of one that a function holds; None where there is none."""
    for module in _modules(model, _DEPTH):
        for parameter in module.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
    return None


def _modules(value: Any, depth: int) -> Iterator[nn.Module]:
    """Modules that a callable holds: in its closure, its globals, its arguments, its object."""
    if isinstance(value, nn.Module):
        yield value
    elif depth and callable(value):
        for part in _parts(value):
            yield from _modules(part, depth - 1)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if inspect.ismethod(value):
        return [value.__self__, value.__func__, *getattr(value.__self__, "__dict__", {}).values()]
    if isinstance(value, types.FunctionType):
        cells = [cell for cell in value.__closure__ or () if _is_filled(cell)]
        names = [name for name in value.__code__.co_names if name in value.__globals__]
        given = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return [*(cell.cell_contents for cell in cells), *given, *(value.__globals__[name] for name in names)]
    return list(getattr(value, "__dict__", {}).values())


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # a variable that has no value yet raises
    except ValueError:
        return False
    return True


def _process() -> tuple[int, int]:
    """Number of this process among those that torchrun started, and how many these are."""
    given = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (given[0].isdigit() and given[1].isdigit() and int(given[0]) < int(given[1])):
        raise ValueError(f"the environment has RANK={given[0]} and WORLD_SIZE={given[1]}, which torchrun does not set.")
    return int(given[0]), int(given[1])


def own_first(tasks: Sequence[TaskT]) -> list[TaskT]:
    """Tasks in the order in which this process takes them: every `world_size`-th, then the others from the end.

    A process of several looks after its own share what the others have put into the common folder and does what is
    missing: none waits for another, and the tasks of one that died are done by the rest.
    """
    rank, processes = _process()
    own = range(rank, len(tasks), processes)
    return [tasks[i] for i in (*own, *(i for i in reversed(range(len(tasks))) if i not in own))]
