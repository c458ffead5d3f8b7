"""Paths of low loss between inputs, and the loss barrier between a sample and its class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import COUNT, NON_NEGATIVE, POSITIVE, constrained
from captum_andor._utils.datasets import read_samples
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.user_warnings import warn
from captum_andor.studies.witnesses.barriers import Loss, barrier, check_pairs, losses_of
from captum_andor.studies.witnesses.path_results import Paths
from captum_andor.studies.witnesses.perturbed_inputs import class_scores

if TYPE_CHECKING:
    import pandas as pd


@constrained(steps=COUNT, max_depth=COUNT, lr=POSITIVE, loss_tolerance=NON_NEGATIVE)
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
    loss_tolerance: float = 0.1,
    n_points: int = 101,
    loss: Loss | None = None,
    batch_size: int = 256,
    show_progress: bool | None = None,
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
        loss_tolerance (float, optional): In nats; pieces whose maximum lies at most so far above the worse of the
            pair's ends are left alone. Default: 0.1
        n_points (int, optional): Points on a piece, ends included. Default: 101
        loss (Callable, optional): As in :func:`barrier`; its sum over rows is what goes down. Default: None
            (cross-entropy)
        batch_size (int, optional): Rows in one forward pass. Default: 256
        show_progress (bool, optional): Show a tqdm bar over steps. None: one line on stderr where it takes more than
            ten seconds; False: nothing. Default: None

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

    Source: Vrabel et al. 2025, arXiv 2409.05800; the batched recursion is of this package.
    """
    a, b, target = check_pairs(model, a, b, target)
    straight = barrier(model, a, b, target, n_points, loss, batch_size)
    span = float(torch.maximum(a.max(), b.max()) - torch.minimum(a.min(), b.min())) or 1.0
    limit = torch.maximum(straight.losses[:, 0], straight.losses[:, -1]) + loss_tolerance
    paths = [_Path.straight(torch.stack(ends), curve) for *ends, curve in zip(a, b, straight.losses, strict=True)]
    options = (steps, lr, closeness, smoothness)
    try:
        with progress_bar(show_progress, max_depth * steps, "Bypasses", "step") as bar:
            for _ in range(max_depth):
                pieces = [(i, j, k) for i, path in enumerate(paths) for j, k in path.bad_pieces(limit[i], n_points)]
                if not pieces:
                    bar.update(steps)
                    continue
                starts, ends = (torch.stack([paths[i].points[j + side] for i, j, _ in pieces]) for side in (0, 1))
                alphas = straight.alphas[[k for *_, k in pieces]].to(a).view(-1, *[1] * (a.ndim - 1))
                worst = torch.lerp(starts, ends, alphas)
                classes = target[[i for i, *_ in pieces]]
                found = _bypassed(model, worst, ends - starts, classes, loss, options, batch_size, bar)
                changes = ((found - worst).abs().flatten(1).mean(1).double() / span).tolist()
                for i in sorted({i for i, *_ in pieces}):
                    own = {j: k for k, (of, j, _) in enumerate(pieces) if of == i}
                    points = paths[i].with_bypasses({j: found[k] for j, k in own.items()})
                    curve = _along(model, points, target[i], straight.alphas, loss, batch_size)
                    paths[i].take(points, curve, [changes[k] for k in own.values()])
    except KeyboardInterrupt:
        warn("interrupted; these are the paths so far.")
    best = [path.best for path in paths]
    change = torch.tensor([change for *_, change in best], dtype=torch.float64, device="cpu")
    return Paths([points.cpu() for points, *_ in best], straight, [curve for _, curve, _ in best], change)


@dataclass
class _Path:
    """A path that grows, and the lowest that it has been: its points, losses along it, mean change of its bypasses."""

    points: Tensor
    curve: Tensor
    changes: list[float]
    best: tuple[Tensor, Tensor, float]

    @classmethod
    def straight(cls, points: Tensor, curve: Tensor) -> _Path:
        return cls(points, curve, [], (points, curve, 0.0))

    def bad_pieces(self, limit: Tensor, n_points: int) -> Iterator[tuple[int, int]]:
        """Pieces whose maximum lies above the limit: position, and index of the worst inner point."""
        for j in range(len(self.points) - 1):
            inner = self.curve[j * (n_points - 1) + 1 : (j + 1) * (n_points - 1)]
            if len(inner) and float(inner.max()) > float(limit):
                yield j, int(inner.argmax()) + 1

    def with_bypasses(self, after: dict[int, Tensor]) -> Tensor:
        """Insert further points into a path, each after one of its points."""
        rows: list[Tensor] = []
        for j, point in enumerate(self.points):
            rows += [point, after[j]] if j in after else [point]
        return torch.stack(rows)

    def take(self, points: Tensor, curve: Tensor, changes: list[float]) -> None:
        """Go on with further points."""
        self.points, self.curve = points, curve
        self.changes += changes
        if float(curve.max()) < float(self.best[1].max()):
            self.best = (points, curve, float(np.mean(self.changes)))


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
    parts: list[Tensor] = []
    for start, along, classes in zip(*(torch.split(t, batch_size) for t in (worst, direction, target)), strict=True):
        unit = along.flatten(1) / along.flatten(1).norm(dim=1, keepdim=True).clamp(min=1e-30)
        x = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=lr)
        for _ in range(steps):
            change = x - start
            objective = losses_of(model, x, classes, loss).sum()
            objective = objective + closeness * change.square().flatten(1).mean(1).sum()
            objective = objective + smoothness * _total_variation(change)
            (x.grad,) = torch.autograd.grad(objective, x)
            optimizer.step()
            with torch.no_grad():  # what is projected is the update: Adam's scaling brings a parallel part back
                change = (x - start).flatten(1)
                x -= ((change * unit).sum(1, keepdim=True) * unit).view_as(x)
            if not parts:
                bar.update(1)
        parts.append(x.detach())
    return torch.cat(parts)


def _total_variation(change: Tensor) -> Tensor:
    """Sum of absolute differences between neighbouring pixels; 0 for what is no picture."""
    if change.ndim < 4:
        return change.new_zeros(())
    return change.diff(dim=-1).abs().sum() + change.diff(dim=-2).abs().sum()


@constrained()
def connectivity_score(
    model: Callable[[Tensor], Tensor],
    samples: Any,
    references: Any,
    labels: str = "given",
    n_references: int = 5,
    n_points: int = 51,
    loss: Loss | None = None,
    batch_size: int = 256,
    show_progress: bool | None = None,
) -> pd.DataFrame:
    """How high the barrier is from each sample to samples of its class that the model is sure of.

    Args:
        model (Callable or torch.nn.Module): In evaluation mode; inputs to class scores ``(N, C)``.
        samples (data set, DataLoader, tuple or Tensor): What is asked about, as in
            :meth:`captum_andor.ConfusingSampleAnalyzer.evaluate`; inputs of one tensor.
        references (data set, DataLoader, or tuple): Labelled samples; of each class those of least loss are taken. A
            sample that is among them is not its own reference.
        labels (str, optional): The class of a sample: ``"given"``, its label, or ``"predicted"``. Default: "given"
        n_references (int, optional): References of each class. Default: 5
        n_points (int, optional): Points on each line. Default: 51
        loss (Callable, optional): As in :func:`captum_andor.studies.barrier`. Default: None (cross-entropy)
        batch_size (int, optional): Rows in one forward pass. Default: 256
        show_progress (bool, optional): Show a tqdm bar over rows. None: one line on stderr where it takes more than ten
            seconds; False: nothing. Default: None

    Returns:
        - **table** (*pandas.DataFrame*): A row per sample: ``sample``, ``label`` (its class), ``loss``, and of the
          lines to its references ``barrier`` (mean of the maxima), ``lowest`` (least of them), ``gap`` (mean of
          the maxima above the worse end).

    Raises:
        TypeError, ValueError: If the data are of the wrong kind, a class has no reference, or a loss is not finite.

    Examples::

        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> x, y = torch.rand(12, 2, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
        >>> connectivity_score(model, (x[:4], y[:4]), (x[4:], y[4:]), n_references=2).shape
        (4, 6)

    Source: the barrier is that of Vrabel et al. 2025, arXiv 2409.05800; the score is of this package.
    """
    import pandas as pd

    if labels not in ("given", "predicted"):
        raise ValueError(f'labels must be "given" or "predicted"; got {labels!r}.')
    asked, known = read_samples(samples, labelled=labels == "given"), read_samples(references, labelled=True)
    inputs, others = asked.single("samples"), known.single("references")
    if labels == "given" and asked.class_names != known.class_names:
        raise ValueError(
            f"samples have labels {asked.class_names or 'by number'}, references {known.class_names or 'by number'}: "
            "which are the same classes is not known. Pass indices in both."
        )
    if inputs.shape[1:] != others.shape[1:]:
        raise ValueError(f"samples have shape {tuple(inputs.shape[1:])}, references {tuple(others.shape[1:])}.")
    assert known.labels is not None
    classes = asked.labels if labels == "given" else class_scores(model, inputs, batch_size).argmax(1)
    assert classes is not None
    own_loss = _losses(model, inputs, classes, loss, batch_size)
    chosen = _references(model, inputs, classes, others, known.labels, n_references, loss, batch_size)
    count = chosen.shape[1]
    lines = barrier(
        model,
        inputs.repeat_interleave(count, dim=0),
        others[chosen.flatten()],
        classes.repeat_interleave(count),
        n_points,
        loss,
        batch_size,
        show_progress,
    )
    maxima, gaps = (column.view(len(inputs), count) for column in (lines.maximum, lines.gap))
    return pd.DataFrame(
        {
            "sample": np.arange(len(inputs)),
            "label": classes.numpy(),
            "loss": own_loss.numpy(),
            "barrier": maxima.mean(1).numpy(),
            "lowest": maxima.amin(1).numpy(),
            "gap": gaps.mean(1).numpy(),
        }
    )


@torch.no_grad()
def _losses(model: Any, inputs: Tensor, classes: Tensor, loss: Loss | None, batch_size: int) -> Tensor:
    x, _, target = check_pairs(model, inputs, inputs, classes)
    found = []
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        found.append(losses_of(model, x[rows], target[rows], loss).cpu().double())
    return torch.cat(found)


def _references(
    model: Any,
    inputs: Tensor,
    classes: Tensor,
    others: Tensor,
    known: Tensor,
    count: int,
    loss: Loss | None,
    batch_size: int,
) -> Tensor:
    """Indices of the references of each sample: those of its class of least loss, never itself; ``(N, count)``."""
    loss_of_others = _losses(model, others, known, loss, batch_size)
    rows = torch.empty(len(inputs), count, dtype=torch.int64, device="cpu")
    for label in sorted(set(classes.tolist())):
        candidates = (known == label).nonzero()[:, 0]
        candidates = candidates[loss_of_others[candidates].argsort(stable=True)]
        for i in (classes == label).nonzero()[:, 0].tolist():
            others_than_itself = (j for j in candidates.tolist() if not torch.equal(others[j], inputs[i]))
            usable = list(islice(others_than_itself, count))
            if len(usable) < count:
                raise ValueError(
                    f"class {label} has {len(usable)} references for sample {i}, beside itself; n_references={count} "
                    "asks for more. Pass more references or a smaller n_references."
                )
            rows[i] = torch.tensor(usable)
    return rows
