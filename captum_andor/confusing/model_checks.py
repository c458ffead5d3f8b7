"""Checks of a model before anything long is computed: evaluation mode, repeatable answers, labels in range."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.devices import Model, device_of

__all__ = ["check_labels", "check_model"]

_CHECKED_SAMPLES = 8  # rows that are asked twice: a dropout of 10 % moves one of them almost surely


_REPEATS_WITHIN = 1e-3  # of the largest output: above what one batch and another of the same rows differ by


def check_model(name: str, model: Model, samples: Samples) -> Any:
    """Outputs of a model for the first samples, once it is seen to repeat them."""
    if isinstance(model, nn.Module):
        training = [part or "the model" for part, module in model.named_modules() if module.training]
        if training:
            raise ValueError(
                f"model {name!r} is in training mode ({training[0]}), where dropout and batch norm change its answers; "
                "call model.eval() first."
            )
    once, again = _answers(model, samples), _answers(model, samples)
    if isinstance(once, Tensor) and isinstance(again, Tensor):
        a, b = once.double().nan_to_num(), again.double().nan_to_num()
        if a.shape != b.shape or not bool(((a - b).abs() <= _REPEATS_WITHIN * a.abs().amax().clamp(min=1e-30)).all()):
            raise ValueError(
                f"model {name!r} answers differently when called twice with the same inputs; switch off what is "
                "random in it."
            )
    return once


def check_labels(name: str, output: Any, labels: Tensor | None) -> None:
    """Before anything long is computed; outputs of a wrong shape are reported where they are computed."""
    if labels is None or not isinstance(output, Tensor) or output.ndim not in (1, 2):
        return
    classes = 2 if output.ndim == 1 else max(output.shape[1], 2)
    outside = ((labels < 0) | (labels >= classes)).nonzero().flatten().tolist()
    if outside:
        raise ValueError(
            f"label {int(labels[outside[0]])} of sample {outside[0]} is outside the {classes} classes of model "
            f"{name!r}; labels must be 0 to {classes - 1}."
        )


@torch.no_grad()
def _answers(model: Model, samples: Samples) -> Any:
    """Outputs for the first samples."""
    device = device_of(model)
    rows = samples.rows(0, min(len(samples), _CHECKED_SAMPLES))
    return model(*(x if device is None else x.to(device) for x in rows))
