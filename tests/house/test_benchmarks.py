"""Benchmarks print the numbers of README and docs: each can be started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:  # a peer that tests do not install
        if (error.name or "").startswith(("captum_andor", "benchmarks", "tutorials")):
            raise
from benchmarks import constants
for module, name, _, _ in constants.CASES:
    getattr(module, name)
"""


def test_every_benchmark_can_be_imported() -> None:
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *names], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
