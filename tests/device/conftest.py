"""Tests on the emulated accelerator run where they are asked for: it is registered with a whole process."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folder out of other runs than ``make test-device``."""
    return None if config.getoption("markexpr", default="") == "device" else True
