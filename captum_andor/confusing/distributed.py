"""Evaluation as a map over batches, for Ray, Spark and their like, and the report from what the map returned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor.confusing.evaluation import Evaluation, Evaluator
from captum_andor.confusing.folder_manifest import digests_of
from captum_andor.confusing.views import View

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["empty_table", "evaluation_of", "samples_of_batch", "table_of"]

_KEYS = ["model", "baseline", "mask"]
_COLUMNS = {
    "sample": "int64",
    "model": "object",
    "baseline": "int64",
    "mask": "int64",
    "ink": "float64",
    "fingerprint": "object",
    "classes": "int64",
    "outputs": "object",
}


def samples_of_batch(batch: Any) -> tuple[Samples, Tensor] | None:
    """Samples of a batch of columns, and their indices in the data set; None of a batch without rows.

    Raises:
        TypeError: If it has no columns.
        ValueError: If ``sample`` or ``input`` is missing, or inputs do not form one array.
    """
    if hasattr(batch, "column_names") and hasattr(batch, "to_pandas"):  # a table of Arrow
        batch = batch.to_pandas()
    if not isinstance(batch, Mapping) and not hasattr(batch, "columns"):
        raise TypeError(
            f"batch must be a dict of arrays, a pandas.DataFrame or an Arrow table; got {type(batch).__name__}."
        )
    names = list(batch.columns) if hasattr(batch, "columns") else list(batch)
    inputs = ["input"] if "input" in names else sorted(n for n in names if str(n).startswith("input_"))
    if "sample" not in names or not inputs:
        raise ValueError(
            'batch needs a column "sample", the index in the data set, and "input" (or "input_0", "input_1", … for '
            f"models of several inputs); it has {names}."
        )
    if not any(len(batch[name]) for name in ("sample", *inputs)):
        return None
    tensors = tuple(_tensor(name, batch[name]) for name in inputs)
    rows = torch.as_tensor(np.asarray(batch["sample"], dtype=np.int64), device="cpu")
    sizes = {len(rows), *(len(x) for x in tensors)}
    if len(sizes) > 1:
        raise ValueError(f"the columns of batch must be of equal length; got {sorted(sizes)}.")
    labels = None
    if "label" in names:
        labels = torch.as_tensor(np.asarray(batch["label"], dtype=np.int64), device="cpu")
    return Samples(tensors, labels, inputs != ["input"]), rows


def _tensor(name: str, column: Any) -> Tensor:
    try:
        if isinstance(column, Tensor):
            return column.detach()
        rows = [_nested(row) for row in column]
        tensor = torch.as_tensor(np.stack([np.asarray(row) for row in rows]), device="cpu")
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {name!r} of batch must hold an array of one shape in every row: {error}") from error
    plain = isinstance(rows[0], (list, float)) and tensor.is_floating_point()
    return tensor.to(torch.get_default_dtype()) if plain else tensor  # as torch.tensor reads Python's numbers


def _nested(row: Any) -> Any:
    """Rows that frames hold as arrays of arrays, as plain lists."""
    return [_nested(part) for part in row] if isinstance(row, np.ndarray) and row.dtype == object else row


def empty_table() -> pd.DataFrame:
    """The table of a batch without rows, as some workers are given."""
    import pandas as pd

    return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in _COLUMNS.items()})


def table_of(evaluator: Evaluator, samples: Samples, rows: Tensor) -> pd.DataFrame:
    """Outputs of all models on some samples, masked: a row per sample, model, baseline and mask."""
    import pandas as pd

    digests = digests_of(evaluator.checked_models(samples, identify=True))
    fingerprints = evaluator.fingerprints(samples, digests)
    ink, blocks = {}, []
    for key, part in evaluator.chunk(samples):
        if key[0] == "ink":
            ink[key[1]] = part
        elif key[0] == "outputs":
            _, name, view = key
            outputs = np.empty(len(part), dtype=object)
            outputs[:] = list(part.flatten(1).numpy())
            blocks.append(
                pd.DataFrame(
                    {
                        "sample": rows.numpy(),
                        "model": name,
                        "baseline": view.baseline,
                        "mask": view.mask,
                        "ink": ink[view].numpy(),
                        "fingerprint": fingerprints[name, view],
                        "classes": part.shape[2],
                        "outputs": outputs,
                    }
                )
            )
    return pd.concat(blocks, ignore_index=True)


def evaluation_of(tables: Any, evaluator: Evaluator, samples: Samples) -> Evaluation:
    """The evaluation of a data set from the tables of its batches, in whatever order they came.

    Raises:
        TypeError: If they are no tables.
        ValueError: If a row is missing, there twice, or of another model, baseline or mask.
    """
    import pandas as pd

    digests = digests_of(evaluator.checked_models(samples, identify=True))
    frames = [tables] if isinstance(tables, pd.DataFrame) else list(tables) if isinstance(tables, Iterable) else None
    if not frames or not all(isinstance(frame, pd.DataFrame) for frame in frames):
        raise TypeError("tables must be a pandas.DataFrame that explain_batch returned, or several of these.")
    full = [frame for frame in frames if len(frame)]
    table = pd.concat(full, ignore_index=True) if full else empty_table()
    lacking = [column for column in _COLUMNS if column not in table.columns]
    if lacking:
        raise ValueError(f"tables lack the columns {lacking}; pass what explain_batch returned, whole.")
    fingerprints = evaluator.fingerprints(samples, digests)
    groups = {(name, View(b, m)): rows for (name, b, m), rows in table.groupby(_KEYS, sort=False)}
    wanted = [(name, view) for name in evaluator.models for view in evaluator.views]
    unknown = [key for key in groups if key not in wanted]
    if unknown:
        raise ValueError(f"tables hold rows of {unknown[0]}, which this analyzer does not have; use the same settings.")
    outputs, ink = {}, {}
    for key in wanted:
        rows = groups.get(key)
        found = np.array([], dtype=np.int64) if rows is None else np.sort(rows["sample"].to_numpy())
        if rows is None or not np.array_equal(found, np.arange(len(samples))):
            missing = sorted(set(range(len(samples))) - set(found.tolist()))
            detail = f"sample {missing[0]} is missing" if missing else "some are there twice or beyond the data set"
            raise ValueError(
                f"tables must hold each of the {len(samples)} samples once for model {key[0]!r}, baseline "
                f"{key[1].baseline}, mask {key[1].mask}; {detail}."
            )
        rows = rows.sort_values("sample")
        other = rows["fingerprint"].to_numpy() != np.array(fingerprints[key])
        if other.any():
            raise ValueError(
                f"tables are of another evaluation: for model {key[0]!r}, baseline {key[1].baseline}, mask "
                f"{key[1].mask}, sample {int(other.argmax())} was explained with other weights, another baseline, mask "
                "or input than this analyzer and data set have. Run explain_batch with these."
            )
        flat = torch.from_numpy(np.stack([np.asarray(row) for row in rows["outputs"]]))
        outputs[key] = flat.view(len(samples), -1, int(rows["classes"].iloc[0]))
        ink[key[1]] = torch.from_numpy(rows["ink"].to_numpy(dtype=np.float64))
    return Evaluation(samples, evaluator.views, outputs, ink, {})
