"""Attacked inputs beside inputs with random noise of the same size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.running import device_of


def perturbed(
    model: nn.Module, samples: Samples, attack: Any, batch_size: int, seed: int, show_progress: bool | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, attacked inputs, and inputs with noise of the same elements in random order and sign."""
    assert samples.labels is not None
    device = device_of(model)
    generator = torch.Generator().manual_seed(seed)
    x, attacked = samples.single("dataset").cpu(), []
    with progress_bar(show_progress, len(x), "Attack", "sample") as bar:
        for start in range(0, len(x), batch_size):
            rows = x[start : start + batch_size].to(device or "cpu")
            found = attack(rows, samples.labels[start : start + batch_size].to(rows.device))
            if not isinstance(found, Tensor) or found.shape != rows.shape:
                got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise ValueError(f"attack must return inputs of shape {tuple(rows.shape)}; got {got}.")
            if not bool(found.isfinite().all()):
                raise ValueError("attack returned inputs that are not finite.")
            attacked.append(found.detach().cpu())
            bar.update(len(rows))
    after = torch.cat(attacked)
    change = (after - x).flatten(1)
    order = torch.rand(change.shape, generator=generator, device="cpu").argsort(1)
    sign = torch.randint(0, 2, change.shape, generator=generator, device="cpu").to(change) * 2 - 1
    return x, after, x + (change.gather(1, order) * sign).view_as(x)


@torch.no_grad()
def class_scores(model: Any, x: Tensor, batch_size: int) -> Tensor:
    """Outputs ``(N, C)`` for all inputs: float64, on the CPU."""
    device = device_of(model)
    parts = torch.split(x, batch_size)
    return torch.cat([model(part if device is None else part.to(device)).cpu().double() for part in parts])
