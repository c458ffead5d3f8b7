"""``manifest.json`` of a folder of outputs: of which settings, models and samples it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from captum_andor._utils.storage import read_manifest, write_manifest
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.evaluation.model_checks import Checked

_MANIFEST, _NAME = "captum_andor.evaluation", "manifest.json"
_SAME_ANSWERS = 1e-3  # of the largest: above what machines and numbers of threads differ by
_ANSWERS = 64  # numbers of the output that are kept
_SHOWN = 3  # parts of a model that an error names
Entry = dict[str, Any]


def digests_of(checked: dict[str, Checked]) -> dict[str, bytes]:
    """Hash of what each model is, under its name."""
    return {
        name: hashlib.sha256(name.encode() + b"\n" + model.identity.digest).digest()
        for name, model in checked.items()
        if model.identity is not None
    }


def model_entry(name: str, checked: Checked) -> Entry:
    """What a manifest says of a model: its parts, and its answers for the first samples."""
    identity, output = checked.identity, checked.output
    if identity is None:
        raise RuntimeError("the model was not identified.")
    if identity.unhashed:
        shown = ", ".join(identity.unhashed[:_SHOWN])
        warn(
            f"checkpoint_dir: {shown} of model {name!r} cannot be hashed. Where only that changes, and not the "
            "answers for the first samples, kept outputs are taken for those of the new model."
        )
    rows = output.detach().double().cpu().reshape(len(output), -1).tolist() if _has_rows(output) else []
    return {"parts": identity.parts, "answers": [row[: max(_ANSWERS // len(rows), 1)] for row in rows]}


def _has_rows(output: Any) -> bool:
    return isinstance(output, Tensor) and output.ndim > 0 and not output.is_complex()


def merged_manifest(
    folder: Path, settings: dict[str, Any], models: dict[str, Entry], samples: list[str]
) -> dict[str, Any] | None:
    """The content that a folder's manifest should have; None if it has that."""
    path = folder / _NAME
    kept = read_manifest(path, _MANIFEST)
    kept = {**settings, "models": {}, "samples": []} if kept is None else _checked(path, kept, settings)
    differing = [f"{key} {kept[key]}, now {settings[key]}" for key in settings if kept[key] != settings[key]]
    for name, entry in models.items():
        if name in kept["models"]:
            differing += _changes(name, kept["models"][name], entry)
    other = next((i for i, (a, b) in enumerate(zip(kept["samples"], samples, strict=False)) if a != b), None)
    differing += [] if other is None else [f"another sample {other}"]
    if differing:
        raise ValueError(
            f"checkpoint_dir {folder} is of another evaluation ({'; '.join(differing)}); take another folder, or "
            "the settings, samples and names of models as they were."
        )
    content = {
        **settings,
        "models": {**models, **kept["models"]},
        "samples": samples if len(samples) > len(kept["samples"]) else kept["samples"],
    }
    return None if path.exists() and all(kept[key] == content[key] for key in content) else content


def _checked(path: Path, kept: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key in (*settings, "models", "samples") if key not in kept]
    models, samples = kept.get("models"), kept.get("samples")
    entries = list(models.values()) if isinstance(models, dict) else [None]
    fits = (
        isinstance(samples, list)
        and all(isinstance(s, str) for s in samples)
        and all(isinstance(e, dict) and isinstance(e.get("parts"), dict) for e in entries)
        and all(isinstance(e.get("answers"), list) for e in entries if isinstance(e, dict))
    )
    if missing or not fits:
        fault = f"it lacks {missing}" if missing else "its models or samples are of another form"
        raise ValueError(f"{path} is damaged ({fault}); delete it, or take another folder.")
    return kept


def _changes(name: str, kept: Entry, now: Entry) -> list[str]:
    """What differs between a model and the one of the same name that the folder is of."""
    before, after = kept["parts"], now["parts"]
    parts = [path for path in (*after, *before) if before.get(path) != after.get(path)]
    if parts:
        unique = list(dict.fromkeys(parts))
        more = f" and {len(unique) - _SHOWN} more parts" if len(unique) > _SHOWN else ""
        return [f"another model {name!r}, which differs in {', '.join(unique[:_SHOWN])}{more}"]
    pairs = list(zip(kept["answers"], now["answers"], strict=False))
    if any(len(a) != len(b) for a, b in pairs):
        return [f"model {name!r} returns another number of outputs"]
    if pairs:
        a, b = (np.array([row[i] for row in pairs], dtype=np.float64) for i in (0, 1))
        if not np.allclose(a, b, rtol=0, atol=_SAME_ANSWERS * float(np.abs(a).max(initial=1e-300)), equal_nan=True):
            return [f"model {name!r} answers the first samples differently"]
    return []


def write_folder_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write it, whole or not at all."""
    write_manifest(folder / _NAME, _MANIFEST, content)
