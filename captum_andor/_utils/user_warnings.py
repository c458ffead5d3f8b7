"""Raise warnings with the stack level set to the first frame outside this package."""

from __future__ import annotations

import sys
import warnings

# Packages whose frames stand between the user's line and ours: Captum's and torch's wrappers of methods.
_BETWEEN = ("captum_andor", "captum", "torch")


def warn(message: str) -> None:
    """Warn at the innermost line outside this package."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        frame = frame.f_back
        level += 1
    warnings.warn(message, stacklevel=level)
