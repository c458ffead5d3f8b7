"""Paths between inputs: the loss on the straight line, and bypasses round its worst point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor.callers import warn
from captum_andor.game import progress_bar
from captum_andor.paths import Barriers, Paths
from captum_andor.patterns import check_count

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

__all__ = ["Barriers", "Loss", "Paths", "barrier", "check_pairs", "connect", "losses_of"]

_ADAM = (0.9, 0.999, 1e-8)


def barrier(
    model: Callable[[Tensor], Tensor],
    a: Tensor,
    b: Tensor,
    target: int | Tensor,
    n_points: int = 101,
    loss: Loss | None = None,
    batch_size: int = 256,
    show_progress: bool = False,
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
        show_progress (bool, optional): Show a tqdm bar over rows. Default: False

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
    check_count("n_points", n_points)
    check_count("batch_size", batch_size)
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
            found.append(losses_of(model, inputs, target[pair], loss).double().cpu())
            bar.update(len(rows))
    return torch.cat(found).view(len(a), points)


def losses_of(model: Any, inputs: Tensor, target: Tensor, loss: Loss | None = None) -> Tensor:
    """Loss of every row.

    Raises:
        ValueError: If it has another shape or is not finite.
    """
    output = model(inputs)
    if loss is None:
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(inputs):
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"model must return class scores (N, C) for {len(inputs)} inputs; got {got}.")
        if int(target.max()) >= output.shape[1] or int(target.min()) < 0:
            raise ValueError(f"target must lie within the {output.shape[1]} classes; got {int(target.max())}.")
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
    """Ends and targets of pairs on the model's device.

    Raises:
        TypeError: If an end is no floating-point tensor.
        ValueError: If shapes or targets do not fit, or the model is in training mode.
    """
    for name, end in (("a", a), ("b", b)):
        if not isinstance(end, Tensor) or not end.is_floating_point():
            got = end.dtype if isinstance(end, Tensor) else type(end).__name__
            raise TypeError(f"{name} must be a floating-point tensor of inputs (pairs, …); got {got}.")
    if a.shape != b.shape or a.ndim < 2 or not len(a):
        raise ValueError(f"a and b must be of one shape (pairs, …); got {tuple(a.shape)} and {tuple(b.shape)}.")
    classes = torch.as_tensor(target, device="cpu") if not isinstance(target, Tensor) else target
    if classes.is_floating_point() or classes.dtype == torch.bool or classes.shape not in ((), (len(a),)):
        raise ValueError(
            f"target must be a class index or one per pair, ({len(a)},); got {classes.dtype} of shape "
            f"{tuple(classes.shape)}."
        )
    device = a.device
    if isinstance(model, nn.Module):
        if model.training:
            raise ValueError("model is in training mode, where rows depend on each other; call model.eval() first.")
        device = next((t.device for t in (*model.parameters(), *model.buffers())), device)
    return a.detach().to(device), b.detach().to(device), classes.long().expand(len(a)).to(device)


def connect(
    model: Callable[[Tensor], Tensor],
    a: Tensor,
    b: Tensor,
    target: int | Tensor,
    steps: int = 1024,
    lr: float = 5e-3,
    closeness: float = 0.1,
    smoothness: float = 1e-8,
    max_depth: int = 2,
    tolerance: float = 0.1,
    n_points: int = 101,
    loss: Loss | None = None,
    batch_size: int = 256,
    show_progress: bool = False,
) -> Paths:
    r"""Paths of low loss between two inputs of one class: go round the worst point of the line, then recurse.

    The worst point B of a piece from A to C is moved by Adam to where loss + ``closeness`` · mean((x − B)²) +
    ``smoothness`` · TV(x − B) is small, inside the hyperplane through B orthogonal to C − A: the *update* is projected,
    not only the gradient, since Adam's scaling brings a parallel part back. Then the pieces from A to it and from it to
    C are treated alike, where a barrier is left. All pieces of all pairs move together.

    Args:
        model (Callable or torch.nn.Module): As in :func:`barrier`, and differentiable.
        a (Tensor): One end of each pair, floating point, shape ``(pairs, …)``.
        b (Tensor): The other end, of the same shape.
        target (int or Tensor): As in :func:`barrier`.
        steps (int, optional): Of Adam, for each bypass. Default: 1024
        lr (float, optional): Step size. Default: 5e-3
        closeness (float, optional): Weight of the mean squared change. Default: 0.1
        smoothness (float, optional): Weight of the total variation of the change, for pictures. Default: 1e-8
        max_depth (int, optional): How often pieces are divided: up to 2^depth − 1 bypasses. Default: 2
        tolerance (float, optional): In nats; pieces whose maximum lies at most so far above the worse of the pair's
            ends are left alone. Default: 0.1
        n_points (int, optional): Points on a piece, ends included. Default: 101
        loss (Callable, optional): As in :func:`barrier`; its sum over rows is what goes down. Default: None
            (cross-entropy)
        batch_size (int, optional): Rows in one forward pass. Default: 256
        show_progress (bool, optional): Show a tqdm bar over steps. Default: False

    Returns:
        - **paths** (*Paths*): The lowest found for each pair, at whatever depth; never worse than the line. After
          Ctrl-C, those found so far, with a warning.

    Raises:
        TypeError, ValueError: As :func:`barrier`, and if a number is out of its range.

    Examples::

        >>> import torch
        >>> def hill(x):  # two classes; class 0 is unlikely near the origin
        ...     height = 6 * torch.exp(-x.square().sum(1))
        ...     return torch.stack([-height, torch.full_like(height, -3.0)], dim=1)
        >>> a, b = torch.tensor([[-3.0, 0.01]]), torch.tensor([[3.0, 0.0]])
        >>> paths = connect(hill, a, b, target=0, steps=300, lr=0.05, closeness=1e-3)
        >>> bool(paths.straight.maximum > 3), bool(paths.maximum < 0.5)
        (True, True)

    Source: Vrabel et al. 2025, arXiv 2409.05800; the batched recursion is ours.
    """
    a, b, target = check_pairs(model, a, b, target)
    for name, count in (("steps", steps), ("max_depth", max_depth)):
        check_count(name, count)
    for name, number in (("lr", lr), ("tolerance", tolerance + 1e-300)):
        if not number > 0:
            raise ValueError(f"{name} must be a positive number; got {number!r}.")
    straight = barrier(model, a, b, target, n_points, loss, batch_size)
    span = float(torch.maximum(a.max(), b.max()) - torch.minimum(a.min(), b.min())) or 1.0
    limit = torch.maximum(straight.losses[:, 0], straight.losses[:, -1]) + tolerance
    points = [torch.stack([x, y]) for x, y in zip(a, b, strict=True)]
    curves = list(straight.losses)
    best = [(float(curve.max()), path, curve, 0.0) for curve, path in zip(curves, points, strict=True)]
    moved: list[list[float]] = [[] for _ in points]
    try:
        with progress_bar(show_progress, max_depth * steps, "Bypasses", "step") as bar:
            for _ in range(max_depth):
                pieces = _bad_pieces(points, curves, limit, n_points)
                if not pieces:
                    bar.update(steps)
                    continue
                places = {place: k for k, place in enumerate(pieces)}
                ends = [torch.stack([points[i][j + side] for i, j in places]) for side in (0, 1)]
                alphas = straight.alphas[list(pieces.values())].to(a).view(-1, *[1] * (a.ndim - 1))
                worst = torch.lerp(ends[0], ends[1], alphas)
                classes = target[[i for i, _ in places]]
                options = (steps, lr, closeness, smoothness)
                found = _bypassed(model, worst, ends[1] - ends[0], classes, loss, options, batch_size, bar)
                change = (found - worst).abs().flatten(1).mean(1).double().cpu() / span
                touched = {i for i, _ in places}
                for (i, _), amount in zip(places, change.tolist(), strict=True):
                    moved[i].append(amount)
                for i in touched:
                    points[i] = _inserted(points[i], {j: found[k] for (of, j), k in places.items() if of == i})
                    curves[i] = _along(model, points[i], target[i], straight.alphas, loss, batch_size)
                    height = float(curves[i].max())
                    if height < best[i][0]:
                        best[i] = (height, points[i], curves[i], float(np.mean(moved[i])))
    except KeyboardInterrupt:
        warn("interrupted; these are the paths so far.")
    return Paths(
        [path.cpu() for _, path, _, _ in best],
        straight,
        [curve for _, _, curve, _ in best],
        torch.tensor([change for *_, change in best], dtype=torch.float64, device="cpu"),
    )


def _bad_pieces(points: list[Tensor], curves: list[Tensor], limit: Tensor, n_points: int) -> dict[tuple[int, int], int]:
    """Pieces whose maximum lies above the limit, by pair and position: the index of their worst inner point."""
    found = {}
    for i, (path, curve) in enumerate(zip(points, curves, strict=True)):
        for j in range(len(path) - 1):
            inner = curve[j * (n_points - 1) + 1 : (j + 1) * (n_points - 1)]
            if len(inner) and float(inner.max()) > float(limit[i]):
                found[i, j] = int(inner.argmax()) + 1
    return found


def _inserted(path: Tensor, after: dict[int, Tensor]) -> Tensor:
    """A path with further points, each after one of its own."""
    rows: list[Tensor] = []
    for j, point in enumerate(path):
        rows.append(point)
        if j in after:
            rows.append(after[j])
    return torch.stack(rows)


def _along(model: Any, path: Tensor, target: Tensor, alphas: Tensor, loss: Loss | None, batch_size: int) -> Tensor:
    """Losses along a path, the points that two pieces share once."""
    pieces = len(path) - 1
    losses = barrier(model, path[:-1], path[1:], target.expand(pieces), len(alphas), loss, batch_size).losses
    return torch.cat([losses[0, :1], losses[:, 1:].reshape(-1)])


def _bypassed(
    model: Any,
    worst: Tensor,
    direction: Tensor,
    target: Tensor,
    loss: Loss | None,
    options: tuple[int, float, float, float],
    batch_size: int,
    bar: Any,
) -> Tensor:
    """Points near the worst ones with a lower loss, each in its hyperplane orthogonal to its direction."""
    steps, lr, closeness, smoothness = options
    parts = []
    for rows in _chunks(len(worst), batch_size):
        start, target_rows = worst[rows], target[rows]
        flat = direction[rows].flatten(1)
        unit = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-30)
        x = start.clone()
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, steps + 1):
            x.requires_grad_()
            change = x - start
            objective = losses_of(model, x, target_rows, loss).sum()
            objective = objective + closeness * change.square().flatten(1).mean(1).sum()
            objective = objective + smoothness * _total_variation(change)
            (gradient,) = torch.autograd.grad(objective, x)
            with torch.no_grad():
                first = _ADAM[0] * first + (1 - _ADAM[0]) * gradient
                second = _ADAM[1] * second + (1 - _ADAM[1]) * gradient.square()
                size = (second / (1 - _ADAM[1] ** step)).sqrt() + _ADAM[2]
                update = (lr * first / (1 - _ADAM[0] ** step) / size).flatten(1)
                update = update - (update * unit).sum(1, keepdim=True) * unit
                x = x.detach() - update.view_as(x)
            if rows.start == 0:
                bar.update(1)
        parts.append(x)
    return torch.cat(parts)


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _total_variation(change: Tensor) -> Tensor:
    """Sum of absolute differences between neighbouring pixels; 0 for what is no picture."""
    if change.ndim < 4:
        return change.new_zeros(())
    return change.diff(dim=-1).abs().sum() + change.diff(dim=-2).abs().sum()
