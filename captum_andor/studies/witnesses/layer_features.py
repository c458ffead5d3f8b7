"""Outputs of named layers, pooled to one vector a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.running import device_of

Pooling: TypeAlias = str | Callable[[Tensor], Tensor]

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.flatten(2).mean(2) if x.ndim > 2 else x,
    "max": lambda x: x.flatten(2).amax(2) if x.ndim > 2 else x,
    "tokens": lambda x: x.mean(1) if x.ndim > 2 else x,
    "flatten": lambda x: x.flatten(1),
}


@torch.no_grad()
def layer_features(
    model: nn.Module, layers: Sequence[str], pooling: Pooling, samples: Samples, batch_size: int
) -> dict[str, Tensor]:
    """Pooled outputs of every layer for all samples: float64 ``(N, features)``, on the CPU."""
    if model.training:
        raise ValueError("model is in training mode, where codes depend on the batch; call model.eval() first.")
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    modules, device = dict(model.named_modules()), device_of(model)
    with ExitStack() as stack:
        for layer in layers:
            if layer not in modules:
                raise ValueError(f"untrained must have the layers of the model; it has no {layer!r}.")
            handle = modules[layer].register_forward_hook(_keeper(layer, pooling, found[layer]))
            stack.callback(handle.remove)
        for calls, start in enumerate(range(0, len(samples), batch_size), 1):
            rows = samples.rows(start, start + batch_size)
            model(*(x if device is None else x.to(device) for x in rows))
            for layer, parts in found.items():
                _check_called(layer, parts, calls, len(rows[0]))
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def _keeper(layer: str, pooling: Pooling, parts: list[Tensor]) -> Callable[..., None]:
    pool = pooling if callable(pooling) else POOLINGS[pooling]

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        output = output[0] if isinstance(output, (tuple, list)) else output
        if not isinstance(output, Tensor):
            raise TypeError(f"layer {layer!r} returns {type(output).__name__}; choose one that returns a tensor.")
        pooled = pool(output)
        if pooled.ndim != 2:
            raise ValueError(
                f"layer {layer!r} returns shape {tuple(output.shape)}, which pooling={pooling!r} makes "
                f"{tuple(pooled.shape)}; it must become (N, features)."
            )
        parts.append(pooled.detach().cpu().double())

    return keep


def _check_called(layer: str, parts: list[Tensor], calls: int, rows: int) -> None:
    if len(parts) != calls or len(parts[-1]) != rows:
        times = "never" if len(parts) < calls else "several times"
        reason = f"is called {times} in a pass" if len(parts) != calls else f"returns {len(parts[-1])} rows for {rows}"
        raise ValueError(f"layer {layer!r} {reason}; choose one that each sample goes through once.")
