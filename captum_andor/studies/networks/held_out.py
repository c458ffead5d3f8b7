"""Loss of every sample under networks that were not trained on it.

Source: cross-fitting; memorization as Feldman and Zhang 2020, arXiv 2008.03703, define it, here from folds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.checks import constrained
from captum_andor._utils.datasets import read_samples
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.running import device_of

if TYPE_CHECKING:
    import pandas as pd

Fit: TypeAlias = Callable[[Tensor, Tensor, int], nn.Module]
_ROWS = 500  # in a pass that only computes losses


@constrained()
def held_out_losses(
    fit: Fit, dataset: Any, folds: int = 5, repeats: int = 1, seed: int = 0, show_progress: bool | None = None
) -> pd.DataFrame:
    r"""Train a network without each fold of the data, and say how it judges what it has not seen.

    The loss of a sample under networks not trained on it is what scores of confusion estimate from one network. Put it
    beside them with :meth:`ConfusingReport.add_column`.

    Args:
        fit (Callable): ``fit(inputs, labels, seed)`` returns a network trained on these samples, in evaluation mode,
            that returns logits ``(N, C)``.
        dataset (data set, DataLoader, or tuple): Labelled samples of one input tensor, as in
            :meth:`ConfusingSampleAnalyzer.evaluate`.
        folds (int, optional): Parts that are left out in turn, 2 or more. Default: 5
        repeats (int, optional): How often to divide the data anew. Default: 1
        seed (int, optional): Of the division; the networks are seeded ``seed``, ``seed + 1``, … Default: 0
        show_progress (bool, optional): Show a tqdm bar over networks. None: one line on stderr where it takes more than
            ten seconds; False: nothing. Default: None

    Returns:
        - **table** (*pandas.DataFrame*): One row per sample: ``held_out_loss``, mean cross-entropy of its label under
          the ``repeats`` networks that have not seen it, in nats; ``fitted_loss``, under those that have;
          ``memorization``, mean probability of the label under those that have, less that under the others.

    Raises:
        TypeError: If ``fit`` returns no module.
        ValueError: If there are fewer samples than folds, fewer than two folds, a network is in training mode, or does
            not return ``(N, C)``.

    Examples::

        >>> import torch
        >>> from torch import nn
        >>> inputs = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
        >>> labels = (inputs[:, 0] > 0.5).long()
        >>> def fit(inputs, labels, seed):  # a stand-in for training
        ...     torch.manual_seed(seed)
        ...     return nn.Linear(3, 2).eval()
        >>> list(held_out_losses(fit, (inputs, labels), folds=4).columns)
        ['held_out_loss', 'fitted_loss', 'memorization']

    Source: Memorization is that of Feldman and Zhang 2020, arXiv 2008.03703, with folds for random subsets.
    """
    import pandas as pd

    samples = read_samples(dataset, labelled=True)
    inputs, labels = samples.single("held_out_losses"), samples.labels
    if labels is None:  # read_samples has seen to it
        raise ValueError("dataset has no labels.")
    if not 2 <= folds <= len(labels):
        raise ValueError(f"folds must be 2 to {len(labels)}, the number of samples; got {folds}.")
    losses = np.zeros((2, len(labels)))  # without the sample, with it
    probabilities = np.zeros_like(losses)
    rng = np.random.default_rng(seed)
    with progress_bar(show_progress, folds * repeats, "Held-out losses", "network") as bar:
        for repeat in range(repeats):
            fold = rng.permutation(len(labels)) % folds
            for number in range(folds):
                inside = torch.from_numpy(fold != number)
                model = fit(inputs[inside], labels[inside], seed + repeat * folds + number)
                loss = _losses(model, inputs, labels)
                seen = inside.numpy().astype(int)
                weight = np.where(seen == 1, 1 / (repeats * (folds - 1)), 1 / repeats)
                losses[seen, np.arange(len(labels))] += weight * loss
                probabilities[seen, np.arange(len(labels))] += weight * np.exp(-loss)
                bar.update(1)
    return pd.DataFrame(
        {"held_out_loss": losses[0], "fitted_loss": losses[1], "memorization": probabilities[1] - probabilities[0]}
    )


@torch.no_grad()
def _losses(model: Any, inputs: Tensor, labels: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit must return the trained torch.nn.Module; got {type(model).__name__}.")
    if model.training:
        raise ValueError("fit must return a network in evaluation mode; call model.eval() at its end.")
    device = device_of(model)
    found = []
    for x, y in zip(torch.split(inputs, _ROWS), torch.split(labels, _ROWS), strict=True):
        logits = model(x if device is None else x.to(device)).cpu()
        if logits.ndim != 2 or len(logits) != len(y) or logits.shape[1] <= int(labels.max()):
            raise ValueError(
                f"the network must return logits (N, C), C > {int(labels.max())}, for N inputs; got "
                f"{tuple(logits.shape)} for {len(y)}."
            )
        found.append(nn.functional.cross_entropy(logits.double(), y, reduction="none"))
    return torch.cat(found).numpy()
