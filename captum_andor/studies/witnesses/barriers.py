"""The loss on straight lines between inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from captum_andor._utils.checks import constrained
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.running import device_of
from captum_andor.studies.witnesses.path_results import Barriers

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@constrained()
def barrier(
    model: Callable[[Tensor], Tensor],
    a: Tensor,
    b: Tensor,
    target: int | Tensor,
    n_points: int = 101,
    loss: Loss | None = None,
    batch_size: int = 256,
    show_progress: bool | None = None,
) -> Barriers:
    """The loss on the straight line between two inputs of one class, for many pairs.

    Args:
        model (Callable or torch.nn.Module): In evaluation mode; inputs to class scores ``(N, C)``.
        a (Tensor): One end of each pair, floating point, shape ``(pairs, …)``.
        b (Tensor): The other end, of the same shape.
        target (int or Tensor): The class whose loss it is; one for all, or int64 ``(pairs,)``.
        n_points (int, optional): Points on a line, ends included, ≥ 2. Default: 101
        loss (Callable, optional): ``loss(output, target)`` returns one number per row. Default: None (cross-entropy)
        batch_size (int, optional): Rows in one forward pass. Default: 256
        show_progress (bool, optional): Show a tqdm bar over rows. None: one line on stderr where it takes more than ten
            seconds; False: nothing. Default: None

    Returns:
        - **barriers** (*Barriers*): Maximum, gap, area, argmax, the curves.

    Raises:
        TypeError: If an end is no floating-point tensor.
        ValueError: If shapes or targets do not fit, the model is in training mode, or a loss is not finite.

    Examples::

        >>> import torch
        >>> linear = torch.nn.Linear(2, 2).eval()  # its cross-entropy is convex: an end is the worst point
        >>> found = barrier(linear, torch.zeros(3, 2), torch.ones(3, 2), target=0)
        >>> found.gap.abs().max().item() < 1e-9
        True

    Source: Vrabel et al., Input space mode connectivity in deep neural networks, ICLR 2025, arXiv 2409.05800.
    """
    a, b, target = check_pairs(model, a, b, target)
    if n_points < 2:
        raise ValueError(f"n_points must be at least 2, for the ends; got {n_points}.")
    alphas = torch.linspace(0, 1, n_points, dtype=torch.float64, device="cpu")
    with progress_bar(show_progress, len(a) * n_points, "Barriers", "row") as bar:
        losses = _on_lines(model, a, b, target, alphas, loss, batch_size, bar)
    return Barriers(alphas, losses)


def _on_lines(
    model: Any, a: Tensor, b: Tensor, target: Tensor, alphas: Tensor, loss: Loss | None, batch_size: int, bar: Any
) -> Tensor:
    """Losses on lines, float64 ``(pairs, points)`` on the CPU; never all rows at once."""
    found, points = [], len(alphas)
    weight = alphas.to(a)
    with torch.no_grad():
        for start in range(0, len(a) * points, batch_size):
            rows = torch.arange(start, min(start + batch_size, len(a) * points), device=a.device)
            pair, at = rows // points, weight[rows % points].view(-1, *[1] * (a.ndim - 1))
            inputs = torch.where(at == 0, a[pair], torch.where(at == 1, b[pair], (1 - at) * a[pair] + at * b[pair]))
            found.append(losses_of(model, inputs, target[pair], loss).cpu().double())
            bar.update(len(rows))
    return torch.cat(found).view(len(a), points)


def losses_of(model: Any, inputs: Tensor, target: Tensor, loss: Loss | None = None) -> Tensor:
    """Loss of every row."""
    output = model(inputs)
    if loss is None:
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(inputs):
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"model must return class scores (N, C) for {len(inputs)} inputs; got {got}.")
        outside = target[(target < 0) | (target >= output.shape[1])]
        if len(outside):
            raise ValueError(f"target must lie within the {output.shape[1]} classes; got {int(outside[0])}.")
        values = nn.functional.cross_entropy(output, target, reduction="none")
    else:
        values = loss(output, target)
        if not isinstance(values, Tensor) or values.shape != (len(inputs),):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"loss must return one number for each of {len(inputs)} rows; got {got}.")
    if not bool(values.isfinite().all()):
        raise ValueError(
            f"loss of row {int((~values.isfinite()).nonzero()[0])} is {float(values[~values.isfinite()][0])}; barriers "
            "need finite losses: check the model on mixtures of two inputs."
        )
    return values


def check_pairs(model: Any, a: Any, b: Any, target: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Ends and targets of pairs on the model's device."""
    for name, end in (("a", a), ("b", b)):
        if not isinstance(end, Tensor) or not end.is_floating_point():
            got = end.dtype if isinstance(end, Tensor) else type(end).__name__
            raise TypeError(f"{name} must be a floating-point tensor of inputs (pairs, …); got {got}.")
    if a.shape != b.shape or a.ndim < 2 or not len(a):
        raise ValueError(f"a and b must be of one shape (pairs, …); got {tuple(a.shape)} and {tuple(b.shape)}.")
    try:
        classes = torch.as_tensor(target, device="cpu") if not isinstance(target, Tensor) else target
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"target must be a class index or one per pair; got {target!r}.") from error
    if classes.is_floating_point() or classes.dtype == torch.bool or classes.shape not in ((), (len(a),)):
        raise ValueError(
            f"target must be a class index or one per pair, ({len(a)},); got {classes.dtype} of shape "
            f"{tuple(classes.shape)}."
        )
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("model is in training mode, where rows depend on each other; call model.eval() first.")
    device = device_of(model) or a.device
    return a.detach().to(device), b.detach().to(device), classes.long().expand(len(a)).to(device)
