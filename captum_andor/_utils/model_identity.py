"""What a model is, by content: parameters, buffers, plain attributes, code and closures, part by part.

A part that changes when the model is called, such as a counter, is none of its identity; what cannot be hashed is
named, so that whoever compares can say what the comparison does not cover.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.hashing import add_tensor

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, np.generic, range)
_SIMPLE = (*_PLAIN, Tensor, types.FunctionType, types.BuiltinFunctionType, tuple, list, dict)
_OWN_FIELDS = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class ModelIdentity:
    """Hashes of the parts of a model.

    Attributes:
        parts: By path, such as ``"0.weight"`` or ``"head.temperature"``.
        unhashed: Paths of what cannot be hashed.
    """

    parts: dict[str, str] = field(default_factory=dict)
    unhashed: tuple[str, ...] = ()

    def lasting(self, later: ModelIdentity) -> ModelIdentity:
        """Only the parts that are the same later."""
        kept = {path: digest for path, digest in self.parts.items() if later.parts.get(path) == digest}
        return ModelIdentity(kept, self.unhashed)

    @property
    def digest(self) -> bytes:
        """One hash of all parts."""
        whole = hashlib.sha256()
        for path in sorted(self.parts):
            whole.update(f"{path}={self.parts[path]}\n".encode())
        return whole.digest()


def model_identity(model: Any) -> ModelIdentity:
    """Hash a module, a function or any other callable."""
    found = _Parts()
    found.add("", model)
    return ModelIdentity(found.parts, tuple(found.unhashed))


def digest_of_model(model: Any) -> str:
    """One hash of a model."""
    return model_identity(model).digest.hex()[:32]


def add_value(digest: Any, value: Any) -> None:
    """Add a setting to a hash: tensors and arrays by content, collections by parts, functions as models."""
    if isinstance(value, Tensor):
        add_tensor(digest, value)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value.tolist()).encode())
    elif isinstance(value, Mapping):
        digest.update(f"{len(value)}{{".encode())
        for key, part in value.items():
            digest.update(f"{key!r}:".encode())
            add_value(digest, part)
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}(".encode())
        for part in value:
            add_value(digest, part)
    elif callable(value):
        digest.update(digest_of_model(value).encode())
    else:
        digest.update(repr(value).encode())


class _Parts:
    """Walks through a model; what was met before is not entered again."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.unhashed: list[str] = []
        self._met: dict[int, tuple[str, Any]] = {}

    def _put(self, path: str, content: bytes) -> None:
        self.parts[path or "model"] = hashlib.sha256(content).hexdigest()[:16]

    def add(self, path: str, value: Any) -> None:
        """Add a value under a path."""
        if isinstance(value, _PLAIN):
            self._put(path, f"{type(value).__qualname__} {value!r}".encode())
            return
        if id(value) in self._met:
            self._put(path, f"as {self._met[id(value)][0]}".encode())
            return
        self._met[id(value)] = (path, value)  # held, so that its id stays its own
        if isinstance(value, (Tensor, np.ndarray)):
            self._add_tensor(path, value)
        elif isinstance(value, nn.Module):
            self._add_module(path, value)
        elif isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
            self._put(path, _name(value).encode())
        elif isinstance(value, types.MethodType):
            self.add(f"{path}.__self__", value.__self__)
            self.add(f"{path}.__func__", value.__func__)
        elif isinstance(value, types.FunctionType):
            self._add_function(path, value)
        elif isinstance(value, functools.partial):
            self.add(path, (value.func, value.args, value.keywords))
        elif isinstance(value, Mapping):
            self._put(path, f"{type(value).__qualname__} {len(value)}".encode())
            for key, part in value.items():
                self.add(f"{path}[{key!r}]", part)
        elif isinstance(value, (tuple, list, set, frozenset)):
            self._put(path, f"{type(value).__qualname__} {len(value)}".encode())
            ordered = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            for i, part in enumerate(ordered):
                self.add(f"{path}[{i}]", part)
        else:
            self._add_object(path, value)

    def _add_tensor(self, path: str, value: Any) -> None:
        digest = hashlib.sha256()
        try:
            tensor = torch.as_tensor(value).detach()
            add_tensor(digest, tensor.to_dense() if tensor.layout != torch.strided else tensor)
        except (TypeError, ValueError, RuntimeError, NotImplementedError):  # quantized, lazy, of objects
            self.unhashed.append(path)
            return
        self.parts[path or "model"] = digest.hexdigest()[:16]

    def _add_module(self, path: str, module: nn.Module) -> None:
        prefix = f"{path}." if path else ""
        is_graph = isinstance(module, (torch.jit.ScriptModule, torch.fx.GraphModule))
        is_torchs = type(module).__module__.startswith("torch.")
        self._put(path, _name(type(module)).encode())
        if is_graph:
            self._add_graph(prefix, module)
        elif not is_torchs:
            self.add(f"{prefix}forward", inspect.unwrap(type(module).forward))
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            self.add(prefix + name, tensor)
        for name, child in module.named_children():
            if not (is_graph and name.startswith("_")):
                self.add(prefix + name, child)
        if isinstance(module, torch.jit.ScriptModule):
            return
        for name, value in vars(module).items():
            if name in ("_forward_hooks", "_forward_pre_hooks") and not is_graph:
                self.add(prefix + name, list(value.values()))
            elif name not in _OWN_FIELDS and not (is_torchs and (is_graph or not _is_setting(name, value))):
                self.add(prefix + name, value)

    def _add_graph(self, prefix: str, module: Any) -> None:
        try:
            if isinstance(module, torch.jit.ScriptModule):
                code, constants = module.code_with_constants
                self.add(f"{prefix}constants", dict(constants.const_mapping))
            else:
                code = module.code
            self.add(f"{prefix}code", str(code))
        except (RuntimeError, AttributeError):
            self.unhashed.append(f"{prefix}code")

    def _add_function(self, path: str, function: types.FunctionType) -> None:
        code = function.__code__
        self._put(path, _code(code))
        try:
            closure = inspect.getclosurevars(function).nonlocals
        except ValueError:  # a variable that has no value yet
            self.unhashed.append(f"{path}.__closure__".lstrip("."))
            closure = {}
        for name, value in closure.items():
            self.add(f"{path}<{name}>", value)
        if not _is_installed(function):
            for name in _names(code):
                if name in function.__globals__:
                    self.add(f"{path}<{name}>", function.__globals__[name])
        self.add(f"{path}.__defaults__", (function.__defaults__, function.__kwdefaults__))

    def _add_object(self, path: str, value: Any) -> None:
        own = getattr(value, "__dict__", None)
        if own and not _is_library(type(value)):
            self._put(path, _name(type(value)).encode())
            if callable(value):
                self.add(f"{path}.__call__", type(value).__call__)
            for name, part in own.items():
                self.add(f"{path}.{name}".lstrip("."), part)
            return
        try:
            self._put(path, pickle.dumps(value, protocol=4))
        except Exception:  # whatever an object raises that cannot be pickled
            self.unhashed.append(path or "model")


def _is_setting(name: str, value: Any) -> bool:
    """Whether an attribute of one of torch's own modules is a setting, not what it derives or compiles."""
    return name[0] != "_" and name != "forward" and isinstance(value, _SIMPLE)


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
