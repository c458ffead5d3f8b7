"""A versioned file of arrays under a JSON header, written atomically and checked before it is read, without pickle."""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import is_int

_VERSION = 1  # raised when an older reader would misread a file
_LARGEST_HEADER = 1 << 20  # bytes; real headers have some hundred
# All that zipfile, zlib, NumPy and json were seen to raise on damaged files.
_MALFORMED = (
    KeyError, TypeError, AttributeError, ValueError, EOFError, IndexError, zipfile.BadZipFile, zlib.error, struct.error,
    NotImplementedError, RuntimeError, RecursionError, OverflowError, MemoryError, SyntaxError,
    OSError,  # of a seek to where damaged offsets point: the file itself is open by then
)  # fmt: skip


class Spec(NamedTuple):
    """Shape and dtype of an array in a file, known before its data are read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def write_arrays(
    path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
) -> None:
    """Write arrays and a header of one kind of file; an interrupted write leaves what was there before.

    A symbolic link is followed: what it points to is replaced.
    """
    text = json.dumps({"format": kind, "version": _VERSION, **header})
    with written_whole(path) as file:
        np.savez_compressed(file, header=np.array(text), **arrays)  # type: ignore[arg-type]


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


def read_arrays(
    path: str | os.PathLike[str],
    kind: str,
    writer: str,
    check: Callable[[dict[str, Any], dict[str, Spec]], None] = lambda header, specs: None,
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read what :func:`write_arrays` wrote.

    Args:
        path: The file.
        kind: As it was written.
        writer: The method that errors name.
        check: Raises ValueError where the header and what the arrays will be do not fit together; called before any
            data are read.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                header, specs = _header(archive, kind), _specs(archive)
                version = header["version"]
                if version > _VERSION:
                    raise _NewerError
                check(header, specs)
                arrays = {name: _array(archive, name) for name in specs}
        except _NewerError:
            raise ValueError(
                f"{path} has format version {version}; this captum_andor reads up to {_VERSION}. Upgrade captum_andor."
            ) from None
        except _MALFORMED as error:
            raise ValueError(f"{path} is not a file that {writer} wrote, or it is damaged ({error}).") from error
    return header, arrays


class _NewerError(Exception):
    """The file is of a newer version."""


def _header(archive: zipfile.ZipFile, kind: str) -> dict[str, Any]:
    if archive.getinfo("header.npy").file_size > _LARGEST_HEADER:
        raise ValueError("its header is too large")
    header = json.loads(str(_array(archive, "header")))
    if not isinstance(header, dict) or header["format"] != kind:
        raise ValueError("its format is another")
    version = header["version"]
    if not is_int(version) or version < 1:
        raise ValueError(f"its version is {version!r}")
    return header


def _specs(archive: zipfile.ZipFile) -> dict[str, Spec]:
    """Shape and dtype of every array but the header, once its size is seen to fit."""
    found: dict[str, Spec] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        with archive.open(info) as member:
            spec = _spec(member)
            size = member.tell() + math.prod(spec.shape) * spec.dtype.itemsize
        if spec.dtype.hasobject or info.file_size != size or name in found:
            raise ValueError(f"its array {name!r} does not have the size that it claims")
        if name != "header":
            found[name] = spec
    return found


def _spec(member: IO[bytes]) -> Spec:
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its arrays are of version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    return Spec(tuple(shape), dtype)


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


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
