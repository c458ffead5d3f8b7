"""A forward function that looks up what a model has returned."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from captum_andor.games import OutputField, picked_output


class KeptOutputs(nn.Module):
    """Runs a model and keeps its answer for every row until :meth:`finish`; then it answers from what it has kept."""

    def __init__(self, forward_func: Callable[..., Any], field: OutputField) -> None:
        super().__init__()
        self.model, self.field = forward_func, field
        self.is_recording = True
        self._place: dict[bytes, int] = {}
        self._kept: list[Tensor] = []

    def finish(self) -> None:
        """Run the model no more."""
        self.is_recording = False

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Outputs of the rows of a batch, ``(N, …)``."""
        tensors = [x.detach() for x in (*inputs, *named.values()) if isinstance(x, Tensor) and x.ndim]
        parts = [x.cpu().reshape(len(x), -1).contiguous().view(torch.uint8).numpy() for x in tensors]
        keys = [hashlib.sha256(b"|".join(part[i].tobytes() for part in parts)).digest() for i in range(len(parts[0]))]
        if self.is_recording:
            returned = picked_output(self.model(*inputs, **named), self.field)
            if not isinstance(returned, Tensor) or returned.ndim == 0 or len(returned) != len(keys):
                raise ValueError("outputs(…) keeps an answer for each row; this model returns one for the whole batch.")
            for key, row in zip(keys, returned, strict=True):
                self._place.setdefault(key, len(self._kept))
                self._kept += [row.detach().clone()] if self._place[key] == len(self._kept) else []
            return returned
        if any(key not in self._place for key in keys):
            raise ValueError(
                "masked inputs were not kept: ask with the inputs, baselines, feature_mask and further arguments that "
                "outputs(…) was given."
            )
        return torch.stack([self._kept[self._place[key]] for key in keys])
