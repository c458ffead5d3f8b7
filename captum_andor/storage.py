"""A versioned file of arrays under a JSON header, written atomically and read without pickle."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_arrays", "write_arrays"]

_VERSION = 1
_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def write_arrays(
    path: str | os.PathLike[str], kind: str, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
) -> None:
    """Write arrays and a header of one kind of file; an interrupted write leaves what was there before."""
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    text = json.dumps({"format": kind, "version": _VERSION, **header})
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, header=np.array(text), **arrays)  # type: ignore[arg-type]
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_arrays(
    path: str | os.PathLike[str], kind: str, writer: str
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read what :func:`write_arrays` wrote; ``writer`` is the method that errors name.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged, of another kind or of a newer version.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            if header["format"] != kind:
                raise ValueError(f"its format is {header['format']!r}")
            version = int(header["version"])
            arrays = {name: archive[name] for name in archive.files if name != "header"} if version <= _VERSION else {}
    except _MALFORMED as error:
        raise ValueError(f"{path} is not a file that {writer} wrote, or it is damaged ({error}).") from error
    if version > _VERSION:
        raise ValueError(
            f"{path} has format version {version}; this captum_andor reads up to {_VERSION}. Upgrade captum_andor."
        )
    return header, arrays
