"""Versioned files of arrays under a JSON header, written whole or not at all, read without pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_VERSION = 1  # raised when an older reader would misread a file
_STORABLE: dict[str, type] = {}
Arrays = dict[str, npt.NDArray[Any]]
AnyT = TypeVar("AnyT", bound=type)
StoredT = TypeVar("StoredT", bound="Stored")


def storable(kind: AnyT) -> AnyT:
    """Let a dataclass or named tuple be a part of what :class:`Stored` writes."""
    _STORABLE[kind.__name__] = kind
    return kind


class Stored:
    """A dataclass of tensors, arrays, plain values and storable parts that writes itself to a file."""

    _unstored: ClassVar[tuple[str, ...]] = ()  # fields that no file holds; they have defaults

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this to a file, whole or not at all.

        The file is a compressed NumPy archive (``.npz``) that loads without pickle; the documentation has a page on the
        file format.

        Args:
            path (str or PathLike): Where to write; an existing file is replaced. No suffix is added.

        Raises:
            TypeError: If a part, such as a function, cannot be written.
        """
        arrays: Arrays = {}
        header = {name: _described(value, name, arrays) for name, value in self._state().items()}
        write_arrays(path, f"captum_andor.{type(self).__name__}", header, arrays)

    @classmethod
    def load(cls: type[StoredT], path: str | os.PathLike[str]) -> StoredT:
        """Read what :meth:`save` wrote; tensors are on the CPU.

        Args:
            path (str or PathLike): The file.

        Returns:
            - **loaded** (*the same class*): Equal to what was saved.

        Raises:
            OSError: If the file cannot be opened, e.g. FileNotFoundError.
            ValueError: If the file is of another kind, damaged, or of a newer version.
        """
        writer = f"{cls.__name__}.save"
        header, arrays = read_arrays(path, f"captum_andor.{cls.__name__}", writer)
        try:
            return cls._of_state({name: _restored(part, arrays) for name, part in header.items()})
        except Exception as error:  # whatever a part raises that another program wrote
            raise ValueError(f"{path} is not a file that {writer} wrote, or it is damaged ({error}).") from error

    def _state(self) -> dict[str, Any]:
        """What to write, by name: the fields, or what makes them."""
        return _fields(self)

    @classmethod
    def _of_state(cls: type[StoredT], state: dict[str, Any]) -> StoredT:
        """Inverse of :meth:`_state`."""
        return cls(**state)


def _fields(part: Any) -> dict[str, Any]:
    if not is_dataclass(part):
        return dict(part._asdict())
    left_out = getattr(part, "_unstored", ())
    return {f.name: getattr(part, f.name) for f in fields(part) if f.init and f.name not in left_out}


def _described(value: Any, name: str, arrays: Arrays) -> Any:
    """A value as JSON; tensors and arrays are put aside, by the name of their place."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        kept = value.detach().cpu()
        arrays[name] = (kept.float() if kept.dtype == torch.bfloat16 else kept).numpy()  # NumPy has no bfloat16
        of_torch = str(value.dtype).removeprefix("torch.")
        return {"tensor": name, "dtype": of_torch, **_shape_of(arrays[name])}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name, **_shape_of(value)}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    kind = type(value).__name__
    if _STORABLE.get(kind) is type(value):
        parts = {field: _described(part, f"{name}.{field}", arrays) for field, part in _fields(value).items()}
        return {"of": kind, "fields": parts}
    if isinstance(value, (tuple, list)):
        return {kind: [_described(part, f"{name}.{i}", arrays) for i, part in enumerate(value)]}
    if isinstance(value, Mapping):
        entries = enumerate(value.items())
        return {"dict": [[_described(pair, f"{name}.{i}.{j}", arrays) for j, pair in enumerate(e)] for i, e in entries]}
    raise TypeError(f"{name} is a {kind}, which a file does not hold; pickle the whole instead.")


def _dtype_of(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name} is no dtype")
    return found


def _shape_of(array: npt.NDArray[Any]) -> dict[str, Any]:
    return {"shape": list(array.shape), "kind": str(array.dtype)}


def _restored(described: Any, arrays: Arrays) -> Any:
    if not isinstance(described, dict):
        return described
    if "tensor" in described or "array" in described:
        name = str(described.get("tensor", described.get("array")))
        found, expected = _shape_of(arrays[name]), {key: described[key] for key in ("shape", "kind")}
        if found != expected:
            raise ValueError(f"{name} is {found}, not {expected}")
        if "array" in described:
            return arrays[name]
        return torch.from_numpy(arrays[name]).to(_dtype_of(described["dtype"]))
    if "dtype" in described:
        return _dtype_of(described["dtype"])
    if "range" in described:
        return range(*described["range"])
    if "of" in described:
        return _STORABLE[described["of"]](**{n: _restored(part, arrays) for n, part in described["fields"].items()})
    if "dict" in described:
        return {_restored(key, arrays): _restored(part, arrays) for key, part in described["dict"]}
    kind, parts = next(iter(described.items()))
    return {"tuple": tuple, "list": list}[kind](_restored(part, arrays) for part in parts)


def write_arrays(path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: Arrays) -> None:
    """Write arrays and a header of one kind of file; an interrupted write leaves what was there before.

    A symbolic link is followed: what it points to is replaced.
    """
    text = json.dumps({"format": kind, "version": _VERSION, **header})
    with written_whole(path) as file:
        np.savez_compressed(file, header=np.array(text), **arrays)  # type: ignore[arg-type]


def read_arrays(path: str | os.PathLike[str], kind: str, writer: str) -> tuple[dict[str, Any], Arrays]:
    """Header, less format and version, and arrays that :func:`write_arrays` wrote; ``writer`` is what errors name."""
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
            header = json.loads(str(arrays.pop("header")))
            found, version = header.pop("format"), header.pop("version")
            if found != kind or type(version) is not int or version < 1:
                raise ValueError(f"its format is {found!r}, version {version!r}")
        except Exception as error:  # whatever NumPy, zipfile, zlib and json raise on damaged files
            raise ValueError(f"{path} is not a file that {writer} wrote, or it is damaged ({error}).") from error
    if version > _VERSION:
        raise ValueError(
            f"{path} has format version {version}; this captum_andor reads up to {_VERSION}. Upgrade captum_andor."
        )
    return header, arrays


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write that takes its place when all is written; until then, what was there before stays."""
    target = Path(os.path.realpath(path))
    # A name of its own for every write, short enough for any file name.
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".captum_andor_", suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            yield file
        os.chmod(temporary, _permissions(target))
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _permissions(target: Path) -> int:
    """File mode of the file that is replaced, or the default one of a new file."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def write_manifest(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a JSON file of one kind, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(json.dumps({"format": kind, "version": _VERSION, **content}, indent=1).encode())


def read_manifest(path: Path, kind: str) -> dict[str, Any] | None:
    """The content of a manifest, or None if the file does not exist."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); delete it, or take another folder.") from error
    if not isinstance(content, dict) or content.get("format") != kind or content.get("version") != _VERSION:
        raise ValueError(f"{path} is not of the kind {kind!r}, version {_VERSION}; take another folder.")
    return content
