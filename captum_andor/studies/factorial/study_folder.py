"""The manifest of a study's folder: a folder of other settings is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from captum_andor._utils.datasets import Samples
from captum_andor._utils.hashing import add_value
from captum_andor._utils.storage import read_manifest, write_manifest
from captum_andor.confusing import ConfusingSampleAnalyzer

_FORMAT = "captum_andor.study"


def check_manifest(path: Path, settings: dict[str, Any], write: bool) -> None:
    """Raise if a folder holds other settings; write these, if asked to and there are none."""
    kept = read_manifest(path, _FORMAT)
    if kept is None:
        if write:
            write_manifest(path, _FORMAT, settings)
        return
    differing = [key for key in settings if kept.get(key) != settings[key]]
    if differing:
        shown = "; ".join(f"{key}: {kept.get(key)!r}, now {settings[key]!r}" for key in differing)
        raise ValueError(f"folder {path.parent} holds a study of other settings ({shown}); take another folder.")


def fingerprint(analyzer: ConfusingSampleAnalyzer, samples: Samples, test: Samples | None, *further: Any) -> str:
    """Hash of samples and of all settings that scores depend on; functions count by code and closure."""
    digest = hashlib.sha256()
    for some in (samples, test):
        if some is not None:
            add_value(digest, some.inputs)
            add_value(digest, some.labels)
    for value in (
        analyzer.score, analyzer.scores, analyzer.primary, analyzer.views.baselines, analyzer.views.masks,
        analyzer.high_order, analyzer.tolerance, *(each for each in further if each is not None),
    ):  # fmt: skip
        add_value(digest, value)
    return digest.hexdigest()
