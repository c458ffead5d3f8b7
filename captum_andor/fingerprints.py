"""Hashes of tensors, models and settings, and manifests that say what a folder is of."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["add_tensor", "add_value", "digest_of_state", "read_manifest", "write_manifest"]


def add_tensor(digest: Any, tensor: Tensor, key: str = "") -> None:
    """Add a tensor's dtype, shape and content to a hash, under a name."""
    digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


def add_value(digest: Any, value: Any) -> None:
    """Add a setting to a hash: tensors by content, tuples and lists by parts, functions by name, else its repr."""
    if isinstance(value, Tensor):
        add_tensor(digest, value)
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}(".encode())
        for part in value:
            add_value(digest, part)
    elif callable(value):
        digest.update(getattr(value, "__qualname__", type(value).__qualname__).encode())
    else:
        digest.update(repr(value).encode())


def digest_of_state(model: nn.Module) -> str:
    """Hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            add_tensor(digest, tensor, name)
    return digest.hexdigest()[:32]


def write_manifest(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a JSON file of one kind, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".captum_andor_", suffix=".tmp")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump({"format": kind, "version": 1, **content}, file, indent=1)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_manifest(path: Path, kind: str) -> dict[str, Any] | None:
    """What was written, or None if nothing was.

    Raises:
        ValueError: If the file is damaged, of another kind or of a newer version.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); delete it, or take another folder.") from error
    if not isinstance(content, dict) or content.get("format") != kind or content.get("version") != 1:
        raise ValueError(f"{path} is not of the kind {kind!r}, version 1; take another folder.")
    return content
