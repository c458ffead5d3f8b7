"""How far a sample stands from its class, adversarial inputs by that distance, and the attack that knows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor.confusing.dataset import Samples, read_samples
from captum_andor.confusing.evaluation import device_of
from captum_andor.confusing.statistics import Array, auc, bootstrap
from captum_andor.connectivity import Loss, barrier, check_pairs, losses_of
from captum_andor.patterns import check_count
from captum_andor.visualization.canvas import SERIES, one_axis, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Detection", "attack_beside_references", "connectivity_score", "detect", "visualize_class"]


def connectivity_score(
    model: Callable[[Tensor], Tensor],
    samples: Any,
    references: Any,
    labels: str = "given",
    n_references: int = 5,
    n_points: int = 51,
    loss: Loss | None = None,
    batch_size: int = 256,
    show_progress: bool = False,
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
        loss (Callable, optional): As in :func:`captum_andor.connectivity.barrier`. Default: None (cross-entropy)
        batch_size (int, optional): Rows in one forward pass. Default: 256
        show_progress (bool, optional): Show a tqdm bar over rows. Default: False

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

    Source: the barrier is that of Vrabel et al. 2025, arXiv 2409.05800; the score is ours.
    """
    import pandas as pd

    if labels not in ("given", "predicted"):
        raise ValueError(f'labels must be "given" or "predicted"; got {labels!r}.')
    check_count("n_references", n_references)
    asked, known = read_samples(samples, labelled=labels == "given"), read_samples(references, labelled=True)
    inputs, others = _single(asked, "samples"), _single(known, "references")
    if inputs.shape[1:] != others.shape[1:]:
        raise ValueError(f"samples have shape {tuple(inputs.shape[1:])}, references {tuple(others.shape[1:])}.")
    assert known.labels is not None
    classes = asked.labels if labels == "given" else _predicted(model, inputs, batch_size)
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


def _single(samples: Samples, name: str) -> Tensor:
    if len(samples.inputs) > 1:
        raise ValueError(f"{name} must have inputs of one tensor; these have {len(samples.inputs)}.")
    return samples.inputs[0]


@torch.no_grad()
def _predicted(model: Any, inputs: Tensor, batch_size: int) -> Tensor:
    device = device_of(model)
    parts = (inputs[i : i + batch_size] for i in range(0, len(inputs), batch_size))
    return torch.cat([model(part if device is None else part.to(device)).argmax(1).cpu() for part in parts])


@torch.no_grad()
def _losses(model: Any, inputs: Tensor, classes: Tensor, loss: Loss | None, batch_size: int) -> Tensor:
    x, _, target = check_pairs(model, inputs, inputs, classes)
    found = []
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        found.append(losses_of(model, x[rows], target[rows], loss).double().cpu())
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
        candidates = candidates[loss_of_others[candidates].argsort(stable=True)][: count + 1]
        for i in (classes == label).nonzero()[:, 0].tolist():
            usable = [j for j in candidates.tolist() if not torch.equal(others[j], inputs[i])][:count]
            if len(usable) < count:
                raise ValueError(
                    f"class {label} has {len(usable)} references for sample {i}, beside itself; n_references={count} "
                    "asks for more. Pass more references or a smaller n_references."
                )
            rows[i] = torch.tensor(usable)
    return rows


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

    def plot(
        self,
        title: str | None = None,
        fig_size: tuple[float, float] = (3.6, 3.4),
        plt_fig_axis: tuple[Any, Any] | None = None,
        use_pyplot: bool = True,
    ) -> tuple[Any, Any]:
        """Draw the ROC curve.

        Args:
            title (str, optional): Default: None (the AUC)
            fig_size (tuple, optional): In inches. Default: (3.6, 3.4)
            plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (new ones)
            use_pyplot (bool, optional): Whether pyplot makes and shows a new figure. Default: True

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        fig, axis = one_axis(plt_fig_axis, fig_size, use_pyplot)
        curve = self.roc()
        axis.plot(curve["false_positives"], curve["true_positives"], color=SERIES[0])
        axis.plot([0, 1], [0, 1], ":", color="grey")
        axis.set(xlabel="false positives", ylabel="true positives", title=title or f"AUC {self.auc:.2f}")
        axis.set_aspect("equal")
        shown(plt_fig_axis is None, use_pyplot)
        return fig, axis


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
    """The attack that lowers the barrier, too: what a detector by barriers has to stand.

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
        TypeError, ValueError: As :func:`captum_andor.connectivity.barrier`, and if a number is out of its range.

    Source: ours.
    """
    for name, number, least in (("radius", radius, 0.0), ("weight", weight, -1e-300)):
        if not number > least:
            raise ValueError(f"{name} must be {'positive' if least == 0 else 'at least 0'}; got {number!r}.")
    check_count("steps", steps)
    check_count("n_points", n_points)
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
        loss (Callable, optional): As in :func:`captum_andor.connectivity.barrier`. Default: None (cross-entropy)

    Returns:
        - **inputs** (*Tensor*): ``(N, …)``, detached.

    Raises:
        TypeError, ValueError: As :func:`captum_andor.connectivity.barrier`.
    """
    check_count("steps", steps)
    x, _, classes = check_pairs(model, start, start, target)
    x = x.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=lr)
    for _ in range(steps):
        (x.grad,) = torch.autograd.grad(losses_of(model, x, classes, loss).sum(), x)
        optimizer.step()
    return x.detach().to(start.device)
