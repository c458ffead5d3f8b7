"""What holds for all tests: one thread for torch and for BLAS, and hypothesis without deadlines."""

from __future__ import annotations

import os

# Tests are many small tensors. With two threads of torch and two of BLAS on two busy cores they wait for each other:
# the suite has taken ten times as long. Set before numpy is imported; processes that tests start inherit it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
