"""What a study's folder is of, so that other settings in it are refused."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captum_andor.confusing.analyzer import ConfusingSampleAnalyzer
from captum_andor.confusing.dataset import Samples

__all__ = ["check_manifest", "fingerprint"]

_FORMAT, _VERSION = "captum_andor.study", 1


def check_manifest(path: Path, settings: dict[str, Any]) -> None:
    """Write settings, or raise if those that are there are others.

    Raises:
        ValueError: If they are, or the file is damaged.
    """
    wanted = {"format": _FORMAT, "version": _VERSION, **settings}
    if path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); delete it if the folder is of this study.") from error
        differing = [key for key in {**wanted, **kept} if kept.get(key) != wanted.get(key)]
        if differing:
            shown = "; ".join(f"{key}: {kept.get(key)!r}, now {wanted.get(key)!r}" for key in differing)
            raise ValueError(f"folder {path.parent} holds a study of other settings ({shown}); take another folder.")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".captum_andor_", suffix=".tmp")
    with open(handle, "w", encoding="utf-8") as file:
        json.dump(wanted, file, indent=1)
    os.replace(temporary, path)


def fingerprint(analyzer: ConfusingSampleAnalyzer, samples: Samples, test: Samples | None) -> str:
    """Hash of samples and of all settings that scores depend on; functions count by name."""
    digest = hashlib.sha256()
    for some in (samples, test):
        if some is not None:
            _add(digest, some.inputs)
            _add(digest, some.labels)
    for value in (
        analyzer.score, analyzer.scores, analyzer.primary, analyzer.views.baselines, analyzer.views.masks,
        analyzer.high_order, analyzer.tolerance,
    ):  # fmt: skip
        _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}(".encode())
        for part in value:
            _add(digest, part)
    elif callable(value):
        digest.update(getattr(value, "__qualname__", type(value).__qualname__).encode())
    else:
        digest.update(repr(value).encode())
