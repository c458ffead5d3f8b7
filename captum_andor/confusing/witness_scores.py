"""Evidence besides the scores of confusion: codes of a layer, and loss barriers to the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.devices import Model, device_of
from captum_andor._utils.statistics import Array, bootstrap, partial_spearman, spearman
from captum_andor.confusing.scoring import Scoring
from captum_andor.witnesses import LayerCodes, connectivity_score

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "WITNESSES",
    "agreement_sentences",
    "agreement_table",
    "check_witnesses",
    "last_before_head",
    "witness_columns",
]

WITNESSES = ("codes", "connectivity")
COLUMNS = ("code_homogeneity", "code_other_labels", "barrier")
_PER_UNIT = 5  # training samples on a unit, about


def check_witnesses(witnesses: Any) -> dict[str, dict[str, Any]]:
    """Check which witnesses are wanted, and return the settings of each by its name.

    Raises:
        TypeError: If they are no names, or settings are no mapping.
        ValueError: If one is unknown.
    """
    if witnesses is None:
        return {}
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


def witness_columns(
    model: Model, name: str, samples: Samples, labels: str, witnesses: Mapping[str, Mapping[str, Any]], batch_size: int
) -> dict[str, Array]:
    """Compute the columns of the witnesses for one model, shape ``(N,)`` each.

    Raises:
        TypeError, ValueError: As the witnesses do, with the model's name.
    """
    columns: dict[str, Array] = {}
    try:
        if "codes" in witnesses:
            columns |= _of_codes(model, samples, batch_size, **witnesses["codes"])
        if "connectivity" in witnesses:
            columns |= _of_connectivity(model, samples, labels, batch_size, **witnesses["connectivity"])
    except (TypeError, ValueError) as error:
        raise type(error)(f"witnesses for model {name!r}: {error}") from error
    return columns


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
        "code_homogeneity": codes.homogeneity(units)[:, 0].numpy(),
        "code_other_labels": codes.other_labels(units, samples.labels, trained=True)[:, 0].numpy(),
    }


def last_before_head(model: nn.Module, samples: Samples) -> str:
    """Name of the module without parts that is called last before the last linear layer.

    Raises:
        ValueError: If there is none.
    """
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
        raise ValueError('no layer stands before a last linear one; pass witnesses={"codes": {"layer": name}}.')
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


def agreement_table(scoring: Scoring, n_resamples: int, seed: int) -> pd.DataFrame:
    """Agreement of every score with every witness; see :meth:`captum_andor.ConfusingReport.witnesses`."""
    import pandas as pd

    rows = []
    for name in scoring.names:
        columns = scoring.columns(name)
        controls = [np.asarray(columns[c], dtype=np.float64) for c in ("loss", "margin")]
        for witness in (c for c in COLUMNS if c in columns):
            column = scoring.oriented(name, witness)
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
    return pd.DataFrame(rows)


def agreement_sentences(table: pd.DataFrame, primary: str) -> list[str]:
    """A sentence per model and witness about the primary score."""
    lines = []
    for row in table[table["score"] == primary].itertuples():
        verdict = "agrees" if row.low > 0 else "disagrees" if row.high < 0 else "adds nothing that can be seen"
        number = f"{row.given_loss_and_margin:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
        lines.append(f"{row.model}: {row.witness} {verdict}: {number} with {primary} given loss and margin")
    return lines
