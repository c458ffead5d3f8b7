"""The columns of a batch: what comes in from Ray, Spark and their like, and the table that goes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor.confusing.evaluation.views import View
from captum_andor.games import Score, score_output

if TYPE_CHECKING:
    import pandas as pd

TableContent: TypeAlias = Literal["outputs", "scores"]

_EVERY = {
    "sample": "int64",
    "model": "string",
    "baseline": "int64",
    "mask": "int64",
    "ink": "float64",
    "fingerprint": "string",
    "settings": "string",
}
# Column types by Arrow's names; what Spark and pandas call them follows.
COLUMNS: dict[TableContent, dict[str, str]] = {
    "outputs": {**_EVERY, "classes": "int64", "outputs": "list<double>"},
    "scores": {**_EVERY, "label": "int64", "logits": "list<double>", "values": "list<double>"},
}
_PANDAS = {"string": "object", "list<double>": "object"}


def check_keep(keep: Any, only_scored: bool, scores: Any) -> TableContent:
    """What the rows of a table hold."""
    if keep not in COLUMNS:
        raise ValueError(f"keep must be one of {list(COLUMNS)}; got {keep!r}.")
    if keep == "scores" and not only_scored:
        raise ValueError(
            'keep="scores" keeps v near the full input, for an analyzer whose scores= names net_order, flip_rate and '
            f"masked_margin alone; its scores are {list(scores)}."
        )
    found: TableContent = keep
    return found


def arrow_schema(keep: TableContent) -> Any:
    """Schema of the tables, for engines that want it beforehand."""
    import pyarrow as pa

    types = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    types["list<double>"] = pa.list_(pa.float64())
    return pa.schema([(name, types[kind]) for name, kind in COLUMNS[keep].items()])


def samples_of_batch(batch: Any) -> tuple[Samples, Tensor] | None:
    """Samples of a batch of columns, and their indices in the data set; None of a batch without rows."""
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
    rows = _indices("sample", batch["sample"])
    sizes = {len(rows), *(len(x) for x in tensors)}
    if len(sizes) > 1:
        raise ValueError(f"the columns of batch must be of equal length; got {sorted(sizes)}.")
    labels = None
    if "label" in names:
        labels = _indices("label", batch["label"])
    return Samples(tensors, labels, inputs != ["input"], numbers=rows.numpy()), rows


def _indices(name: str, column: Any) -> Tensor:
    """A column of whole numbers, whatever type an engine gave them."""
    given = np.asarray(column.cpu() if isinstance(column, Tensor) else column)
    if given.ndim != 1 or given.dtype.kind not in "iuf" or not np.array_equal(given, np.floor(given)):
        shown = f"{given.dtype} of shape {given.shape}" + (f", such as {given[0]!r}" if given.ndim == 1 else "")
        raise ValueError(f"column {name!r} of batch must hold one whole number a row; got {shown}.")
    return torch.as_tensor(given.astype(np.int64), device="cpu")


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


def empty_table(keep: TableContent = "outputs") -> pd.DataFrame:
    """The table of a batch without rows, as some workers are given."""
    import pandas as pd

    return pd.DataFrame({column: pd.Series(dtype=_PANDAS.get(kind, kind)) for column, kind in COLUMNS[keep].items()})


def in_columns(table: pd.DataFrame, keep: TableContent) -> pd.DataFrame:
    """A table that was read, in the types of a new one."""
    return table.astype({column: _PANDAS.get(kind, kind) for column, kind in COLUMNS[keep].items()})


def block_of(
    numbers: npt.NDArray[np.int64],
    key: tuple[str, View],
    ink: Tensor,
    fingerprints: npt.NDArray[Any],
    settings: str,
    held: dict[str, Any],
) -> pd.DataFrame:
    """Rows of some samples for one model, baseline and mask."""
    import pandas as pd

    name, view = key
    return pd.DataFrame(
        {
            "sample": numbers,
            "model": _strings([name] * len(numbers)),
            "baseline": view.baseline,
            "mask": view.mask,
            "ink": ink.numpy(),
            "fingerprint": _strings(list(fingerprints)),
            "settings": _strings([settings] * len(numbers)),
            **held,
        }
    )


def held_outputs(part: Tensor) -> dict[str, Any]:
    """Columns of outputs ``(N, m, C)``."""
    return {"classes": part.shape[2], "outputs": _lists(part.flatten(1))}


def held_scores(part: Tensor, given: Tensor | None, score: Score) -> dict[str, Any]:
    """Columns of v of the given or else predicted label, and the logits of the whole inputs."""
    logits = part[:, -1]
    labels = logits.argmax(1) if given is None else given
    size = part.shape[1]
    values = score_output(part.flatten(0, 1), labels.repeat_interleave(size), score).view(-1, size)
    return {"label": labels.numpy(), "logits": _lists(logits.double()), "values": _lists(values)}


def _strings(texts: list[str]) -> Any:
    """A column of Python's strings: Spark takes no strings of Arrow's, which pandas 3 would make of them."""
    import pandas as pd

    return pd.Series(texts, dtype=object)


def _lists(rows: Tensor) -> Any:
    """A column that holds an array in each row."""
    column = np.empty(len(rows), dtype=object)
    column[:] = list(rows.numpy())
    return column


def outputs_in(rows: pd.DataFrame) -> Tensor:
    """Outputs ``(N, m, C)`` of rows of one model, baseline and mask, in single precision where they had that."""
    flat = np.stack([np.asarray(row) for row in rows["outputs"]])
    single = flat.astype(np.float32)
    exact = flat.dtype == np.float32 or np.array_equal(single.astype(np.float64), flat, equal_nan=True)
    return torch.from_numpy(single if exact else flat).view(len(rows), -1, int(rows["classes"].iloc[0]))


def whole_input_of(rows: pd.DataFrame) -> Tensor:
    """Outputs ``(N, C)`` for the whole inputs, of rows of one model, baseline and mask."""
    if "logits" in rows.columns:
        return torch.from_numpy(np.stack([np.asarray(row, dtype=np.float64) for row in rows["logits"]]))
    return outputs_in(rows)[:, -1]
