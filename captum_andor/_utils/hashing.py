"""Hashes of tensors, settings and models, by content; the same in every process.

A module counts by its parameters, its buffers and the code of its classes; a function by its code, what it closes over
and the globals that it names. Plain attributes of modules do not count, since calls change counters and caches: whoever
compares models compares their answers, too.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import sys
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, np.generic, range)


def add_tensor(digest: Any, tensor: Tensor, key: str = "") -> None:
    """Add a tensor's dtype, shape and content to a hash, under a name."""
    digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


def hash_of(*values: Any) -> str:
    """One hash of models or settings, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    add_value(digest, values)
    return digest.hexdigest()[:32]


def add_value(digest: Any, value: Any, met: dict[int, tuple[int, Any]] | None = None) -> None:
    """Add a value to a hash; what was met before is not entered again."""
    met = {} if met is None else met
    if isinstance(value, _PLAIN):
        digest.update(f"{type(value).__qualname__} {value!r};".encode())
        return
    if id(value) in met:
        digest.update(f"value {met[id(value)][0]};".encode())
        return
    met[id(value)] = len(met), value  # held, so that its id stays its own
    if isinstance(value, (Tensor, np.ndarray)):
        _add_array(digest, value)
    elif isinstance(value, nn.Module):
        _add_module(digest, value)
    elif isinstance(value, types.FunctionType):
        _add_function(digest, value, met)
    elif isinstance(value, types.MethodType):
        add_value(digest, (value.__self__, value.__func__), met)
    elif isinstance(value, functools.partial):
        add_value(digest, (value.func, value.args, value.keywords), met)
    elif isinstance(value, (Mapping, tuple, list, set, frozenset)):
        parts = list(value.items()) if isinstance(value, Mapping) else list(value)
        ordered = sorted(parts, key=repr) if isinstance(value, (set, frozenset)) else parts
        digest.update(f"{type(value).__qualname__} {len(ordered)};".encode())
        for part in ordered:
            add_value(digest, part, met)
    elif isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
        digest.update(_name(value).encode())
    else:
        _add_object(digest, value, met)


def _add_array(digest: Any, value: Any) -> None:
    try:
        tensor = torch.as_tensor(value).detach()
        add_tensor(digest, tensor.to_dense() if tensor.layout != torch.strided else tensor)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):  # quantized, lazy, of objects
        digest.update(f"{type(value).__qualname__} {value.shape}".encode())


def _add_module(digest: Any, module: nn.Module) -> None:
    for name, part in module.named_modules():
        digest.update(f"{name} {_name(type(part))};".encode())
        if isinstance(part, (torch.jit.ScriptModule, torch.fx.GraphModule)):
            try:
                digest.update(str(part.code).encode())
            except (RuntimeError, AttributeError):  # a scripted part without a method of its own
                digest.update(b"no code")
        else:
            _add_class(digest, type(part))
    tensors = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    for name, tensor in tensors:
        digest.update(name.encode())
        _add_array(digest, tensor)


def _add_class(digest: Any, kind: type) -> None:
    """The code of the methods that a class does not have from a library."""
    for base in kind.__mro__:
        if not _is_library(base):
            for name, member in sorted(vars(base).items()):
                if isinstance(member, types.FunctionType):
                    digest.update(name.encode() + _code(member.__code__))


def _add_function(digest: Any, function: types.FunctionType, met: dict[int, tuple[int, Any]]) -> None:
    digest.update(_code(function.__code__))
    try:
        named = dict(inspect.getclosurevars(function).nonlocals)
    except ValueError:  # a variable that has no value yet
        named = {}
    if not _is_installed(function):
        named |= {
            name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__
        }
    add_value(digest, (named, function.__defaults__, function.__kwdefaults__), met)


def _add_object(digest: Any, value: Any, met: dict[int, tuple[int, Any]]) -> None:
    digest.update(_name(type(value)).encode())
    own = getattr(value, "__dict__", None)
    if own and not _is_library(type(value)):
        _add_class(digest, type(value))
        add_value(digest, own, met)
        return
    try:
        digest.update(pickle.dumps(value, protocol=4))
    except Exception:  # whatever an object raises that cannot be pickled: the answers of the model tell
        digest.update(b"unknown")


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"


def _root(value: Any) -> str:
    return str(getattr(value, "__module__", "") or "").partition(".")[0]


def _is_library(kind: type) -> bool:
    """Whether a type is of torch, NumPy or Python itself: its objects pickle, and refer to much that is no setting."""
    return _root(kind) in ("torch", "numpy") or _root(kind) in sys.stdlib_module_names


def _is_installed(function: types.FunctionType) -> bool:
    """Whether a function is of an installed package, whose globals (loggers, registries) are none of a model."""
    return _root(function) in sys.stdlib_module_names or any(
        folder in function.__code__.co_filename for folder in ("site-packages", "dist-packages")
    )


def _code(code: types.CodeType) -> bytes:
    """Instructions, names and constants, those of inner functions included."""
    return b"|".join([code.co_code, repr(code.co_names).encode(), *map(_constant, code.co_consts)])


def _constant(value: Any) -> bytes:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # whose order is another one in every process
        return repr(sorted(map(repr, value))).encode()
    return repr(value).encode()


def _names(code: types.CodeType) -> list[str]:
    """Names that a function and its inner functions look up."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _names(c)]
    return sorted({*code.co_names, *inner})
