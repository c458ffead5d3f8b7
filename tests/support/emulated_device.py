"""An emulated accelerator, ``torch.device("emulated")``: compiled once, registered once a process.

CPU memory, CUDA's rules of which devices may meet, and a switch that refuses float64 as Apple's GPUs do.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from captum_andor._utils.devices import _holds_float64

NAME = "emulated"
SOURCE = Path(__file__).with_name("emulated_device.cpp")


@cache
def emulated_device() -> torch.device:
    """Register the device, compiled first where the cache lacks it; skips the test where that cannot be."""
    library = _compiled()
    torch.ops.load_library(str(library))
    functions = ctypes.CDLL(str(library))
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _module(functions))
    torch.utils.generate_methods_for_privateuse1_backend(for_tensor=True, for_module=True, for_storage=True)
    return torch.device(NAME, 0)


@contextmanager
def without_float64() -> Iterator[None]:
    """The device as one of Apple's: float64 raises what MPS raises."""
    emulated_device()
    functions = ctypes.CDLL(str(_compiled()))
    functions.vdev_no_double(1)
    _holds_float64.cache_clear()
    try:
        yield
    finally:
        functions.vdev_no_double(0)
        _holds_float64.cache_clear()


def _compiled() -> Path:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the emulated device needs a C++ compiler on Linux")
    root = Path(torch.__file__).parent
    key = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode() + sys.version.encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "captum_andor_tests"
    library = folder / f"emulated_device_{key}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as there:
        fresh = Path(there) / library.name
        command = [
            compiler, "-O1", "-std=c++20", "-fPIC", "-shared", "-w", str(SOURCE), "-o", str(fresh),
            f"-I{root / 'include'}", f"-I{root / 'include/torch/csrc/api/include'}", f"-L{root / 'lib'}",
            "-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{root / 'lib'}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the emulated device does not compile with torch {torch.__version__}: {done.stderr[-300:]}")
        fresh.replace(library)  # in one step: other workers may compile it, too
    return library


def _module(functions: Any) -> types.ModuleType:
    """What torch asks of ``torch.emulated``."""
    module: Any = types.ModuleType(f"torch.{NAME}")
    generators: dict[int, torch.Generator] = {}

    def index_of(device: Any) -> int:
        return device if isinstance(device, int) else torch.device(device).index or 0

    def generator(device: Any) -> torch.Generator:
        index = index_of(device)
        return generators.setdefault(index, torch.Generator(device=f"{NAME}:{index}"))

    class Device:
        def __init__(self, device: Any) -> None:
            self.index = index_of(device)

        def __enter__(self) -> None:
            self.before = functions.vdev_get_device()
            functions.vdev_set_device(self.index)

        def __exit__(self, *error: object) -> None:
            functions.vdev_set_device(self.before)

    module.device = Device
    module.is_available = module.is_initialized = lambda: True
    module._initialized = True
    module._is_in_bad_fork = lambda: False
    module.device_count = lambda: 2
    module.current_device = functions.vdev_get_device
    module.set_device = lambda device: functions.vdev_set_device(index_of(device))
    module.init = module._lazy_init = module.empty_cache = lambda: None
    module.synchronize = lambda *_: None
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    module.manual_seed = lambda seed: generator(functions.vdev_get_device()).manual_seed(seed)
    module.manual_seed_all = lambda seed: [generator(i).manual_seed(seed) for i in range(2)]
    module.get_rng_state = lambda device=0: generator(device).get_state()
    module.set_rng_state = lambda state, device=0: generator(device).set_state(state)
    sys.modules[f"torch.{NAME}"] = module
    return module
