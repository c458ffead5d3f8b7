"""The file of one batch of an evaluation: outputs of all its models under all baselines and masks, found by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.storage import Spec, read_arrays, write_arrays
from captum_andor._utils.user_warnings import warn

_FORMAT = "captum_andor.batch"
_DIMENSIONS = 3  # samples, coalitions, classes


class BatchFile:
    """Outputs of one batch by fingerprint of model, inputs, baseline and mask.

    A file that is damaged or another than its name says is computed again, with a warning. What is new is written whole
    or not at all, beside what was there.

    Args:
        folder: Where it lies.
        name: What it is of.
        n_samples: Number of samples in the batch.
    """

    def __init__(self, folder: Path, name: str, n_samples: int) -> None:
        self.path = folder / f"{name}.npz"
        self.name, self.n_samples = name, n_samples
        self.is_new = False
        self.arrays = self._read()

    def _read(self) -> dict[str, npt.NDArray[Any]]:
        if not self.path.exists():
            return {}
        try:
            return read_arrays(self.path, _FORMAT, "ConfusingSampleAnalyzer.evaluate", self._check)[1]
        except ValueError as error:
            warn(f"checkpoint_dir: {error} It is computed again.")
            return {}

    def _check(self, header: dict[str, Any], specs: dict[str, Spec]) -> None:
        if header["batch"] != self.name:
            raise ValueError("it is of other inputs or of another model than its name says")
        for spec in specs.values():
            if len(spec.shape) != _DIMENSIONS or spec.shape[0] != self.n_samples:
                raise ValueError(f"its outputs have shape {spec.shape}")
            if spec.dtype not in (np.float32, np.float64):
                raise ValueError(f"its outputs are of dtype {spec.dtype}")

    def get(self, fingerprint: str, n_coalitions: int) -> Tensor | None:
        """Outputs that are there, ``(N, m, C)``."""
        found = self.arrays.get(fingerprint)
        return None if found is None or found.shape[1] != n_coalitions else torch.from_numpy(found)

    def put(self, fingerprint: str, outputs: Tensor) -> None:
        """Keep outputs until :meth:`write`."""
        self.arrays[fingerprint] = outputs.numpy()
        self.is_new = True

    def write(self) -> None:
        """Write the file if anything in it is new."""
        if self.is_new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(self.path, _FORMAT, {"batch": self.name}, self.arrays)
            self.is_new = False
