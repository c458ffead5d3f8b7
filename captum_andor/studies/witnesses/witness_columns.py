"""Columns of a report that use no interactions: codes of a layer, and loss barriers to the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.checks import constrained
from captum_andor._utils.datasets import Samples
from captum_andor._utils.running import Model, device_of
from captum_andor._utils.statistics import Array, bootstrap, partial_spearman, spearman
from captum_andor.confusing import ConfusingReport
from captum_andor.studies.witnesses.codes import LayerCodes
from captum_andor.studies.witnesses.connectivity import connectivity_score

if TYPE_CHECKING:
    import pandas as pd

WITNESSES = ("codes", "connectivity")
COLUMNS = ("code_rarity", "code_other_labels", "barrier")
_PER_UNIT = 5  # training samples on a unit, about


def add_witnesses(
    report: ConfusingReport,
    witnesses: Sequence[str] | Mapping[str, Mapping[str, Any]] = WITNESSES,
    batch_size: int = 64,
) -> ConfusingReport:
    """Put evidence that uses no interactions beside the scores of a report, as columns to rank and compare by.

    Args:
        report (ConfusingReport): Of :meth:`ConfusingSampleAnalyzer.evaluate`, whose models are run again.
        witnesses (sequence of str or dict, optional): ``"codes"`` (:class:`LayerCodes`: columns ``code_rarity``, one
            less the share of the samples on its unit, and ``code_other_labels``) and ``"connectivity"``
            (:func:`connectivity_score`: column ``barrier``), or settings of these by name, e.g. ``{"codes": {"layer":
            "features.7"}}`` or ``{"connectivity": {"references": (x, y)}}``. The layer is by default the last before
            the last linear one; training samples and references are those of the report. Default: both
        batch_size (int, optional): Samples in one batch. Default: 64

    Returns:
        - **report** (*ConfusingReport*): The same; :func:`witness_agreement` tells what the columns add.

    Raises:
        TypeError: If witnesses are no names, settings are no mapping, or a model has no layers with names.
        ValueError: If a witness is unknown, and as the witnesses do, with the model's name.
        RuntimeError: If the report has no models, as one that was loaded or collected.

    Examples::

        >>> import torch
        >>> from captum_andor import ConfusingSampleAnalyzer
        >>> analyzer = ConfusingSampleAnalyzer().add_model("linear", torch.nn.Linear(4, 3).eval())
        >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
        >>> "barrier" in add_witnesses(report, "connectivity").scores
        True
    """
    chosen = _checked(witnesses)
    scoring = report.scoring
    if scoring.evaluator is None:
        raise RuntimeError("report has no models, as it was loaded or collected; evaluate again, or call LayerCodes.")
    samples, labels = scoring.evaluation.samples, "predicted" if scoring.predicted else "given"
    columns: dict[str, dict[str, Array]] = {}
    for name in report.models:
        model = scoring.evaluator.models[name]
        columns[name] = {}
        try:
            if "codes" in chosen:
                columns[name] |= _of_codes(model, samples, batch_size, **chosen["codes"])
            if "connectivity" in chosen:
                columns[name] |= _of_connectivity(model, samples, labels, batch_size, **chosen["connectivity"])
        except (TypeError, ValueError) as error:
            raise type(error)(f"witnesses for model {name!r}: {error}") from error
    return report._with_columns(columns)


def _checked(witnesses: Any) -> dict[str, dict[str, Any]]:
    """Settings of each witness by its name."""
    if isinstance(witnesses, str):
        witnesses = (witnesses,)
    if not isinstance(witnesses, (Mapping, Sequence)):
        raise TypeError(f"witnesses must be names or a dict of settings by name; got {type(witnesses).__name__}.")
    chosen = dict(witnesses) if isinstance(witnesses, Mapping) else {name: {} for name in witnesses}
    for name, options in chosen.items():
        if name not in WITNESSES:
            raise ValueError(f"witnesses must be among {list(WITNESSES)}; got {name!r}.")
        if not isinstance(options, Mapping):
            raise TypeError(f"settings of witness {name!r} must be a dict; got {type(options).__name__}.")
    return {name: dict(options) for name, options in chosen.items()}


def _of_codes(
    model: Model, samples: Samples, batch_size: int, layer: str | None = None, **options: Any
) -> dict[str, Array]:
    if not isinstance(model, nn.Module):
        raise TypeError(f'"codes" needs a torch.nn.Module, whose layers have names; this is a {type(model).__name__}.')
    if samples.labels is None:
        raise ValueError('"codes" needs labels: pass items (input, label).')
    layer = last_before_head(model, samples) if layer is None else layer
    side = min(max(round((len(samples) / _PER_UNIT) ** 0.5), 2), 20)
    codes = LayerCodes(model, [layer], **{"grid": (side, side), "batch_size": batch_size, **options})
    units = codes.fit_transform(samples.pair)
    return {
        "code_rarity": 1.0 - codes._homogeneity(units)[:, 0].numpy(),
        "code_other_labels": codes.other_labels(units, samples.labels, trained=True)[:, 0].numpy(),
    }


def last_before_head(model: nn.Module, samples: Samples) -> str:
    """Name of the module without parts that is called last before the last linear layer."""
    order: list[str] = []
    handles = [
        module.register_forward_hook(lambda module, arguments, output, name=name: order.append(name))
        for name, module in model.named_modules()
        if name and not any(True for _ in module.children())
    ]
    try:
        with torch.no_grad():
            device = device_of(model)
            model(*(x if device is None else x.to(device) for x in samples.rows(0, 1)))
    finally:
        for handle in handles:
            handle.remove()
    modules = dict(model.named_modules())
    heads = [i for i, name in enumerate(order) if isinstance(modules[name], nn.Linear)]
    shapeless = (nn.Flatten, nn.Dropout, nn.Identity)
    before = [n for n in order[: heads[-1]] if not isinstance(modules[n], shapeless)] if heads else []
    if not before:
        raise ValueError('no layer stands before a last linear one; pass {"codes": {"layer": name}}.')
    return before[-1]


def _of_connectivity(
    model: Model, samples: Samples, labels: str, batch_size: int, references: Any = None, **options: Any
) -> dict[str, Array]:
    known = samples.pair if references is None else references
    settings = {"n_references": 3, "n_points": 25, "batch_size": max(batch_size, 256), **options}
    table = connectivity_score(_ClassScores(model).eval(), samples.pair, known, labels, **settings)
    return {"barrier": table["barrier"].to_numpy()}


class _ClassScores(nn.Module):
    """A model whose one logit, if it returns one, is that of class 1 against class 0, as the analyzer reads it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Class scores ``(N, C)``."""
        output: Tensor = self.model(x)
        output = output[:, None] if output.ndim == 1 else output
        return torch.cat([torch.zeros_like(output), output], dim=1) if output.shape[1] == 1 else output


@constrained()
def witness_agreement(report: ConfusingReport, n_resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """Agreement of the scores with evidence that uses no interactions, given loss and margin.

    Args:
        report (ConfusingReport): With the columns of :func:`add_witnesses`.
        n_resamples (int, optional): Of the bootstrap over samples. Default: 500
        seed (int, optional): Of the bootstrap. Default: 0

    Returns:
        - **table** (*pandas.DataFrame*): A row per model, witness (``code_rarity``, ``code_other_labels``,
          ``barrier``) and score: ``n`` samples where the witness has a number, ``spearman`` correlation of suspicion,
          ``given_loss_and_margin`` with the ``low`` and ``high`` end of its 95 % interval, and ``adds``, whether that
          leaves out 0.

    Raises:
        RuntimeError: If the report has no columns of witnesses.
    """
    import pandas as pd

    scoring = report.scoring
    rows = []
    for name in scoring.names:
        columns = scoring.columns(name)
        controls = [np.asarray(columns[c], dtype=np.float64) for c in ("loss", "margin")]
        for witness in (c for c in COLUMNS if c in columns):
            column = scoring.as_suspicion(name, witness)
            for score in scoring.wanted:
                suspicion = scoring.suspicion(name, score)
                known = ~(np.isnan(column) | np.isnan(suspicion))

                def partial(
                    chosen: Any,
                    a: Array = suspicion[known],
                    b: Array = column[known],
                    given: Sequence[Array] = [c[known] for c in controls],
                ) -> float:
                    return partial_spearman(a[chosen], b[chosen], [c[chosen] for c in given])

                low, high = bootstrap(partial, int(known.sum()), n_resamples, seed)
                rows.append(
                    {
                        "model": name,
                        "score": score,
                        "witness": witness,
                        "n": int(known.sum()),
                        "spearman": spearman(suspicion, column),
                        "given_loss_and_margin": partial(np.arange(int(known.sum()))),
                        "low": low,
                        "high": high,
                        "adds": bool(low > 0 or high < 0),
                    }
                )
    if not rows:
        raise RuntimeError("report has no columns of witnesses; call add_witnesses(report).")
    return pd.DataFrame(rows)
