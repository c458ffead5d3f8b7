"""Import paths that README and docs showed before the package had rooms; they go with the version after the next."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "keep_old_paths"]

# Old module → the public module that holds its names today. Only paths that README or the docs have shown.
MOVED = {
    "baselines": "explain",
    "certainty": "split",
    "codes": "witnesses",
    "comparison": "explain",
    "confusing.statistics": "confusing",
    "connectivity": "witnesses",
    "detection": "witnesses",
    "indices": "games.indices",
    "interpretable": "games",
    "joint": "split",
    "masks": "games.masks",
    "paths": "witnesses",
    "som": "witnesses",
    "surgery": "study.surgery",
    "transforms": "games.transforms",
}


class _MovedModule(ModuleType):
    """A module that warns and takes each name from where it is now."""

    def __init__(self, name: str, new_name: str) -> None:
        super().__init__(name, f"Moved to :mod:`{new_name}`.")
        self._new_name = new_name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for these itself
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(self._new_name), name)
        warnings.warn(
            f"{self.__name__}.{name} has moved: import it from {self._new_name}. The old path will go with the next "
            "version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return found


def keep_old_paths(package: str) -> None:
    """Let ``import`` find the old modules of a package."""
    for old, new in MOVED.items():
        name = f"{package}.{old}"
        module = sys.modules.setdefault(name, _MovedModule(name, f"{package}.{new}"))
        parent, _, attribute = name.rpartition(".")
        vars(sys.modules[parent]).setdefault(attribute, module)
