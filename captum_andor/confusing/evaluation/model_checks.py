"""Checks of a model before anything long is computed: evaluation mode, repeatable answers, labels in range."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.devices import Model, device_of
from captum_andor._utils.user_warnings import warn
from captum_andor.games import OutputField, are_probabilities, by_name, picked_output

CHECKED_SAMPLES = 8  # rows that are asked twice: a dropout of 10 % moves one of them almost surely
_REPEATS_WITHIN = 1e-3  # of the largest output: above what one batch and another of the same rows differ by


def check_mode(name: str, model: Model) -> None:
    """Raise where a module is in training mode."""
    if not isinstance(model, nn.Module):
        return
    training = [part or "the model" for part, module in model.named_modules() if getattr(module, "training", False)]
    if training and not _is_exported(model):
        raise ValueError(
            f"model {name!r} is in training mode ({training[0]}), where dropout and batch norm change its answers; "
            "call model.eval() first."
        )


def _is_exported(model: nn.Module) -> bool:
    """Whether it came from ``torch.export``: its flag says nothing, and its ``eval()`` raises."""
    return isinstance(model, torch.fx.GraphModule) and "train" in vars(model)


def check_model(name: str, model: Model, samples: Samples, reads_logits: bool, field: OutputField = None) -> Any:
    """What a model returns for the first samples, once it is seen to repeat that, in a batch and alone."""
    check_mode(name, model)
    count = min(len(samples), CHECKED_SAMPLES)
    once = _answers(model, samples, 0, count, field, name)
    again = _answers(model, samples, 0, count, field)
    if not _are_alike(once, again):
        raise ValueError(
            f"model {name!r} answers differently when called twice with the same inputs; switch off what is "
            "random in it."
        )
    if isinstance(once, Tensor) and once.ndim and len(once) == count > 1:
        _check_alone(name, model, samples, once, field)
    if reads_logits and isinstance(once, Tensor) and once.ndim == 2 and are_probabilities(once):
        warn_of_probabilities(name, "and add up to 1 ")
    return once


def answers_changed(answers: Any, kept: Tensor) -> bool:
    """Whether outputs ``(N, C)`` that were kept of the first samples are others than a model returns for these now."""
    if not isinstance(answers, Tensor) or answers.ndim not in (1, 2):
        return False  # reported where outputs are computed
    now = answers.detach().cpu().double().reshape(len(answers), -1)
    if now.shape[1] == 1:
        now = torch.cat([torch.zeros_like(now), now], dim=1)  # the log-odds of class 1 against class 0
    rows = min(len(now), len(kept))
    return not _are_alike(kept[:rows].double(), now[:rows])


def warn_of_probabilities(name: str, clause: str = "") -> None:
    """Warn that scores would be those of other numbers than meant."""
    warn(
        f"model {name!r} seems to return probabilities: its outputs lie in [0, 1] {clause}and are read as logits. "
        'Leave out the last sigmoid or softmax; score="output" explains such numbers themselves.'
    )


def _check_alone(name: str, model: Model, samples: Samples, once: Tensor, field: OutputField) -> None:
    last = len(once) - 1
    try:
        alone = _answers(model, samples, last, last + 1, field)
    except Exception:  # a model may want a batch of a fixed size
        return
    if isinstance(alone, Tensor) and alone.shape[1:] == once.shape[1:] and not _are_alike(once[last:], alone, once):
        moved = float((once[last:].double() - alone.double()).abs().amax())
        raise ValueError(
            f"model {name!r} answers sample {last} differently alone and among {len(once)}: an output moves by "
            f"{moved:.3g}. It mixes the rows of a batch, as batch norm in training mode does, or depends on their "
            "number or padding; call model.eval() inside the function, or switch that off."
        )


def _are_alike(a: Any, b: Any, of: Any = None) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return True  # what is no tensor is reported where it is read
    if a.shape != b.shape:
        return False
    x, y = a.double().nan_to_num(), b.double().nan_to_num()
    size = (x if of is None else of.double().nan_to_num()).abs().amax() if a.numel() else x.new_zeros(())
    return bool(((x - y).abs() <= _REPEATS_WITHIN * size.clamp(min=1e-30)).all())


def check_labels(name: str, output: Any, samples: Samples) -> None:
    """Before anything long is computed; outputs of a wrong shape are reported where they are computed."""
    labels = samples.labels
    if labels is None or not isinstance(output, Tensor) or output.ndim not in (1, 2):
        return
    classes = 2 if output.ndim == 1 else max(output.shape[1], 2)
    if samples.class_names and len(samples.class_names) != classes:
        raise ValueError(
            f"labels of the dataset are {len(samples.class_names)} names, {list(samples.class_names)[:6]}, and model "
            f"{name!r} has {classes} classes: which output each stands for is not known. Pass indices."
        )
    outside = ((labels < 0) | (labels >= classes)).nonzero().flatten().tolist()
    if outside:
        number = outside[0] if samples.numbers is None else samples.numbers[outside[0]]
        raise ValueError(
            f"label {int(labels[outside[0]])} of sample {number} is outside the {classes} classes of model "
            f"{name!r}; labels must be 0 to {classes - 1}."
        )


@torch.no_grad()
def _answers(model: Model, samples: Samples, start: int, stop: int, field: OutputField, name: str = "") -> Any:
    """Outputs for some samples."""
    device = device_of(model)
    try:
        returned = by_name(model, samples.names)(
            *(x if device is None else x.to(device) for x in samples.rows(start, stop))
        )
    except (RuntimeError, NotImplementedError) as error:
        own = next((p.dtype for p in model.parameters()), None) if isinstance(model, nn.Module) else None
        given = [x.dtype for x in samples.inputs]
        if own is None or own in given or not any(dtype.is_floating_point or dtype == torch.uint8 for dtype in given):
            raise
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in given)
        kind = str(own).removeprefix("torch.")
        raise TypeError(
            f"model {name!r} has parameters of {kind}, and its inputs are {kinds}: it cannot take them ({error}). "
            f"Convert the inputs, e.g. x.to(torch.{kind})."
        ) from error
    return picked_output(returned, field)
