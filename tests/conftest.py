"""What holds for all tests: one thread for torch and for BLAS, and hypothesis without deadlines."""

from __future__ import annotations

import os

# Tests are many small tensors. With two threads of torch and two of BLAS on two busy cores they wait for each other:
# the suite has taken ten times as long. Set before numpy is imported; processes that tests start inherit it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import importlib.util
import re

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip by name the doctests that import a package which is not there: ``[test]`` does not bring them all."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            sources = "".join(example.source for example in item.dtest.examples)
            packages = re.findall(r"^(?:from|import) (\w+)", sources, re.MULTILINE)
            missing = [name for name in packages if importlib.util.find_spec(name) is None]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"could not import {missing[0]!r}"))
