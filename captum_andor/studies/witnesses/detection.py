"""Detection of adversarial inputs by the loss barrier to the predicted class, and an attack on the detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import COUNT, constrained
from captum_andor._utils.statistics import Array, auc, bootstrap
from captum_andor.studies.witnesses.barriers import Loss, check_pairs, losses_of
from captum_andor.studies.witnesses.connectivity import connectivity_score
from captum_andor.visualization import SERIES, Canvas, figure

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Detection:
    """How well a score tells two sets of inputs apart.

    Attributes:
        clean (Array): Scores of the ordinary inputs.
        suspect (Array): Scores of the others, which should be larger.
    """

    clean: Array
    suspect: Array

    @property
    def auc(self) -> float:
        """Probability that a suspect input scores above an ordinary one."""
        scores = np.concatenate([self.clean, self.suspect])
        return auc(scores, np.arange(len(scores)) >= len(self.clean))

    def interval(self, n_resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """95 % interval of :attr:`auc`, by a bootstrap over the inputs of both kinds."""
        scores = np.concatenate([self.clean, self.suspect])
        members = np.arange(len(scores)) >= len(self.clean)
        return bootstrap(lambda rows: auc(scores[rows], members[rows]), len(scores), n_resamples, seed)

    def roc(self) -> pd.DataFrame:
        """The curve: ``threshold``, ``false_positives``, ``true_positives``, from none to all."""
        import pandas as pd

        thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([self.clean, self.suspect]))[::-1]])
        shares = [[float((scores >= t).mean()) for t in thresholds] for scores in (self.clean, self.suspect)]
        return pd.DataFrame({"threshold": thresholds, "false_positives": shares[0], "true_positives": shares[1]})

    @figure
    def plot(self, canvas: Canvas) -> None:
        """Draw the ROC curve.

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        axis = canvas.axis((3.6, 3.4))
        curve = self.roc()
        axis.plot(curve["false_positives"], curve["true_positives"], color=SERIES[0])
        axis.plot([0, 1], [0, 1], ":", color="grey")
        axis.set(xlabel="false positives", ylabel="true positives")
        canvas.title = canvas.title or f"AUC {self.auc:.2f}"
        axis.set_aspect("equal")


def detect(
    model: Callable[[Tensor], Tensor],
    clean: Tensor,
    suspect: Tensor,
    references: Any,
    column: str = "barrier",
    **options: Any,
) -> Detection:
    """Adversarial inputs by the height of their barrier to the class that the model takes them for.

    Args:
        model (Callable or torch.nn.Module): As in :func:`connectivity_score`.
        clean (Tensor): Ordinary inputs, ``(N, …)``.
        suspect (Tensor): Others, e.g. attacked ones, ``(M, …)``.
        references (data set, DataLoader, or tuple): Labelled samples, none of them among the inputs.
        column (str, optional): Which column of :func:`connectivity_score` is the score: ``"barrier"``, ``"lowest"``,
            ``"gap"`` or ``"loss"``. Default: "barrier"
        **options: Of :func:`connectivity_score`.

    Returns:
        - **detection** (*Detection*): Scores, AUC, ROC.

    Raises:
        TypeError, ValueError: As :func:`connectivity_score`, and if there is no such column.

    Source: the idea is that of Vrabel et al. 2025, arXiv 2409.05800.
    """
    if column not in ("barrier", "lowest", "gap", "loss"):
        raise ValueError(f'column must be "barrier", "lowest", "gap" or "loss"; got {column!r}.')
    tables = (connectivity_score(model, x, references, "predicted", **options) for x in (clean, suspect))
    return Detection(*(table[column].to_numpy() for table in tables))


@constrained(steps=COUNT)
def attack_beside_references(
    model: Callable[[Tensor], Tensor],
    inputs: Tensor,
    target: int | Tensor,
    references: Tensor,
    radius: float,
    steps: int = 40,
    step_size: float | None = None,
    weight: float = 1.0,
    n_points: int = 8,
) -> Tensor:
    """Attack the model and the detector at once: lower the loss barrier as well as the margin.

    Projected gradient descent in the maximum norm towards ``target``, on the loss of the input plus ``weight`` times
    the largest loss on the line from it to its reference. With ``weight=0``: the ordinary targeted attack.

    Args:
        model (Callable or torch.nn.Module): In evaluation mode, differentiable.
        inputs (Tensor): Ordinary inputs, ``(N, …)``.
        target (int or Tensor): The class to be taken for, one or ``(N,)``.
        references (Tensor): An input of the target class for each, ``(N, …)``.
        radius (float): Largest change of an element.
        steps (int, optional): Gradient steps. Default: 40
        step_size (float, optional): Default: None (2.5 · radius / steps)
        weight (float, optional): Of the barrier beside the loss. Default: 1.0
        n_points (int, optional): Points on the line that are looked at. Default: 8

    Returns:
        - **attacked** (*Tensor*): ``(N, …)``, detached, on the inputs' device; not clipped to the range of pictures.

    Raises:
        TypeError, ValueError: As :func:`captum_andor.studies.barrier`, and if a number is out of its range.
    """
    for name, number, least in (("radius", radius, 0.0), ("weight", weight, -1e-300)):
        if not number > least:
            raise ValueError(f"{name} must be {'positive' if least == 0 else 'at least 0'}; got {number!r}.")
    x, reference, classes = check_pairs(model, inputs, references, target)
    size = 2.5 * radius / steps if step_size is None else step_size
    change = torch.zeros_like(x)
    alphas = torch.linspace(0, 1, n_points + 2, dtype=x.dtype, device=x.device)[1:-1]
    for _ in range(steps):
        change.requires_grad_()
        attacked = x + change
        objective = losses_of(model, attacked, classes).sum()
        if weight:
            on_line = torch.cat([torch.lerp(attacked, reference, float(alpha)) for alpha in alphas])
            losses = losses_of(model, on_line, classes.repeat(n_points)).view(n_points, -1)
            objective = objective + weight * losses.amax(0).sum()
        (gradient,) = torch.autograd.grad(objective, change)
        change = (change.detach() - size * gradient.sign()).clamp(-radius, radius)
    return (x + change).detach().to(inputs.device)


@constrained(steps=COUNT)
def visualize_class(
    model: Callable[[Tensor], Tensor],
    start: Tensor,
    target: int | Tensor,
    steps: int = 200,
    lr: float = 0.05,
    loss: Loss | None = None,
) -> Tensor:
    """Inputs that a model is sure of, found by Adam from given ones: feature visualisation without a prior.

    Also for untrained networks, whose inputs of low loss are connected as well (Vrabel et al. 2025).

    Args:
        model (Callable or torch.nn.Module): In evaluation mode, differentiable.
        start (Tensor): Where to begin, e.g. noise: ``(N, …)``.
        target (int or Tensor): The class, one or ``(N,)``.
        steps (int, optional): Of Adam. Default: 200
        lr (float, optional): Its step size. Default: 0.05
        loss (Callable, optional): As in :func:`captum_andor.studies.barrier`. Default: None (cross-entropy)

    Returns:
        - **inputs** (*Tensor*): ``(N, …)``, detached.

    Raises:
        TypeError, ValueError: As :func:`captum_andor.studies.barrier`.
    """
    x, _, classes = check_pairs(model, start, start, target)
    x = x.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=lr)
    for _ in range(steps):
        (x.grad,) = torch.autograd.grad(losses_of(model, x, classes, loss).sum(), x)
        optimizer.step()
    return x.detach().to(start.device)
