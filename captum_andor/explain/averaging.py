"""Games averaged over many baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from captum_andor._utils.checks import is_frame, is_series
from captum_andor._utils.progress import progress_bar
from captum_andor.explain.attribution import AndOrInteractions
from captum_andor.explain.explanation import AndOrExplanation, split_explanation
from captum_andor.split import Split

if TYPE_CHECKING:
    import pandas as pd


def averaged_interactions(
    method: AndOrInteractions,
    inputs: Tensor | tuple[Tensor, ...],
    baselines: Sequence[Any] | pd.DataFrame,
    split: Split = "sparse",
    tolerance: float = 1e-3,
    show_progress: bool | None = None,
    **options: Any,
) -> AndOrExplanation:
    """Interactions of the mean of v over several baselines, e.g. samples of the data: absent players are drawn.

    Args:
        method (AndOrInteractions): The method.
        inputs (Tensor or tuple of Tensors): As in :meth:`AndOrInteractions.interactions`.
        baselines (sequence or frame): Several of Captum's forms; each row of a frame.
        split (str, optional): As there. Default: "sparse"
        tolerance (float, optional): As there. Default: 1e-3
        show_progress (bool, optional): Show a tqdm bar over baselines. None: one line on stderr where it takes more
            than ten seconds; False: nothing. Default: None
        **options: As there: target, feature_mask, additional_forward_args, player_names, …

    Returns:
        - **explanation** (*AndOrExplanation*): Its ``logical_model()`` is that of the averaged game, too.

    Raises:
        ValueError: If there are no baselines, and as :meth:`AndOrInteractions.interactions`.

    Examples::

        >>> import torch
        >>> method = AndOrInteractions(lambda x: x[:, 0] * x[:, 1])
        >>> averaged_interactions(method, torch.ones(1, 2), [0.0, 0.5]).values
        tensor([[0.1250, 0.2500, 0.2500, 1.0000]], dtype=torch.float64)

    Source: The interventional game of SHAP, whose absent features are drawn from the data.
    """
    given: Any = baselines
    baselines = [given.iloc[[i]] for i in range(len(given))] if is_frame(given) else baselines
    if isinstance(given, (str, Tensor)) or is_series(given) or not hasattr(given, "__len__") or not len(given):
        shown = tuple(given.shape) if isinstance(given, Tensor) or is_series(given) else repr(given)
        raise ValueError(
            "baselines must be a sequence of one or several baselines or a frame, a row each; got "
            f"{type(given).__name__} {shown!s:.60}. Of the rows of a tensor: background.split(1)."
        )
    total: Tensor | None = None
    with progress_bar(show_progress, len(baselines), "Averaged interactions", "baseline") as bar:
        for baseline in baselines:
            found = method.interactions(inputs, baselines=baseline, split="and", **options)
            total = found.values if total is None else total + found.values
            bar.update(1)
    mean = (total if total is not None else found.values) / len(baselines)
    absent = f"the mean over {len(baselines)} baselines"
    players = replace(found.players, question=replace(found.players.question, absent=absent))
    averaged = split_explanation(mean, split, 0.0, tolerance, players)
    return replace(averaged, axes=found.axes)
