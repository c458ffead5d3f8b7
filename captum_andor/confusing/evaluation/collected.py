"""The evaluation of a data set from tables of its batches, whatever order and file they come in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import check_arguments, is_int
from captum_andor._utils.datasets import Samples
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.evaluation.batch_rows import BatchRows
from captum_andor.confusing.evaluation.evaluator import (
    CHECKED_SAMPLES,
    Evaluation,
    Evaluator,
    answers_changed,
    check_labels,
)
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.store.batch_table import COLUMNS, TableContent, outputs_in
from captum_andor.confusing.store.parts_folder import KEY, whole_table

if TYPE_CHECKING:
    import pandas as pd

SampleSelection: TypeAlias = 'int | Sequence[int] | Literal["finished"] | None'
RowSettings: TypeAlias = dict[TableContent, dict[str, str]]  # by what rows hold and model
_SHOWN = 5  # missing samples that an error names
_MARKER_COLUMN = {"outputs": "outputs", "scores": "values"}  # the column that tells what a table keeps


def samples_of_labels(labels: Any) -> Samples | None:
    """Samples of which only the labels are known; None if it is no column of labels."""
    if isinstance(labels, (list, range)) and not all(isinstance(label, (int, np.integer)) for label in labels):
        return None
    is_column = isinstance(labels, (np.ndarray, Tensor, list, range)) or (
        hasattr(labels, "to_numpy") and not hasattr(labels, "columns")
    )
    given = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels) if is_column else None
    if given is None or given.ndim != 1 or given.dtype.kind not in "iu":
        return None
    column = torch.as_tensor(given.astype(np.int64), device="cpu")
    return Samples((torch.empty(len(column), 0),), column, False)


def chosen_samples(wanted: SampleSelection, samples: Samples, seed: int) -> Samples:
    """Those that a report is to be about: all for None and, until tables were read, for ``"finished"``."""
    n = len(samples)
    if wanted is None or (isinstance(wanted, str) and wanted == "finished"):
        return samples
    if isinstance(wanted, (int, np.integer)) and is_int(wanted):
        check_arguments({"seed": seed})
        if not 1 <= wanted <= n:
            raise ValueError(f"samples must be 1 to {n:,}, the number of samples; got {wanted}.")
        drawn = np.random.default_rng(seed).choice(n, int(wanted), replace=False)
        return samples.chosen(np.sort(drawn).astype(np.int64))
    given = np.asarray(wanted)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not len(given):
        raise TypeError(f'samples must be a number of samples, a list of indices, "finished" or None; got {wanted!r}.')
    numbers = np.unique(given.astype(np.int64))
    if len(numbers) < len(given):
        raise ValueError("samples must name each sample once.")
    if numbers[0] < 0 or numbers[-1] >= n:
        outside = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise ValueError(f"samples names sample {outside}; the data set has 0 to {n - 1}.")
    return samples.chosen(numbers)


def tables_of(tables: Any) -> Iterator[pd.DataFrame]:
    """The frames of what was given: a frame, an Arrow table, a folder or file of Parquet, or several of these."""
    if hasattr(tables, "columns") and hasattr(tables, "iterrows"):
        yield tables
    elif hasattr(tables, "column_names") and hasattr(tables, "to_pandas"):
        yield tables.to_pandas()
    elif isinstance(tables, (str, os.PathLike)):
        yield from _parquet(Path(tables))
    elif isinstance(tables, Iterable) and not isinstance(tables, Mapping):
        for table in tables:
            yield from tables_of(table)
    else:
        raise TypeError(
            "tables must be a pandas.DataFrame that explain_batch returned, an Arrow table, a Parquet file or folder, "
            f"or several of these; got {type(tables).__name__}."
        )


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    files = _files(path)
    if not files:
        raise ValueError(f"tables: folder {path} holds no file *.parquet.")
    for file in files:
        yield whole_table(file, "tables: ")


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.exists() else []


def missing_samples(folder: Path, evaluator: Evaluator, n_samples: int, settings: RowSettings) -> list[int]:
    """Samples that the Parquet files of a folder do not hold for every model, baseline and mask."""
    keys = [(name, view) for name in evaluator.models for view in evaluator.views]
    seen = {key: np.zeros(n_samples, dtype=bool) for key in keys}
    for file in _files(folder):
        try:
            table = whole_table(file)
        except ValueError as error:
            warn(str(error))
            continue
        if not len(table):
            continue
        keep = _kept(table, None)
        for key, rows in _groups(table, seen):
            places = _in_range(rows, key, n_samples)
            _check_origin(rows, key, places, settings[keep][key[0]], None)
            seen[key][places] = True
    return [int(i) for i in np.flatnonzero(~np.all(list(seen.values()), axis=0))]


def _groups(table: pd.DataFrame, known: Mapping[tuple[str, View], Any]) -> Iterator[tuple[tuple[str, View], Any]]:
    """Rows of each model and view, all of which are known."""
    for (name, baseline, mask), rows in table.groupby(KEY, sort=False):
        key = (str(name), View(int(baseline), int(mask)))
        if key not in known:
            raise ValueError(f"tables hold rows of {key}, which this analyzer does not have; use the same settings.")
        yield key, rows


class _Rows:
    """Rows of one model and view, put in their places as they come."""

    def __init__(self, n_samples: int) -> None:
        self.seen = np.zeros(n_samples, dtype=np.int64)
        self.columns: dict[str, Any] = {}
        self.fingerprints = np.full(n_samples, "", dtype=object)

    def is_known(self, places: np.ndarray[Any, Any], fingerprints: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which rows were put before; the others are remembered."""
        first = np.zeros(len(places), dtype=bool)
        first[np.unique(places, return_index=True)[1]] = True
        known: np.ndarray[Any, Any] = (self.fingerprints[places] == fingerprints) | ~first
        self.fingerprints[places] = fingerprints
        return known

    def put(self, places: np.ndarray[Any, Any], name: str, numbers: np.ndarray[Any, Any]) -> None:
        if name not in self.columns:
            self.columns[name] = np.zeros((len(self.seen), *numbers.shape[1:]), dtype=numbers.dtype)
        kept = self.columns[name]
        if kept.shape[1:] != numbers.shape[1:]:
            raise ValueError(
                f"tables hold rows of different lengths in column {name!r}: {kept.shape[1:]} and {numbers.shape[1:]}."
            )
        if numbers.dtype.itemsize > kept.dtype.itemsize:
            kept = self.columns[name] = kept.astype(numbers.dtype)
        kept[places] = numbers


def evaluation_of(
    tables: Any, batch: BatchRows, samples: Samples, n_all: int, settings: RowSettings, finished: bool
) -> tuple[Evaluation, TableContent]:
    """The evaluation of samples from the tables of batches, in whatever order they came.

    Rows of those of the ``n_all`` samples of the data set that are not among these are passed over, and with
    ``finished`` samples that lack rows are left out.
    """
    evaluator, with_inputs = batch.evaluator, samples.inputs[0].numel() > 0
    in_parts = isinstance(tables, (str, os.PathLike)) and Path(tables).is_dir()
    fingerprints: dict[tuple[str, View], Any] = {}
    if with_inputs:
        answers = evaluator.checked_answers(samples)
        fingerprints = batch.fingerprints(samples, 0, len(samples))
    wanted = [(name, view) for name in evaluator.models for view in evaluator.views]
    gathered = {key: _Rows(len(samples)) for key in wanted}
    keep: TableContent | None = None
    n_tables = 0
    for table in tables_of(tables):
        n_tables += 1
        if not len(table):
            continue
        keep = _kept(table, keep)
        for key, rows in _groups(table, gathered):
            places = _in_range(rows, key, n_all)
            if samples.numbers is not None:
                inside = np.isin(places, samples.numbers)
                rows, places = rows[inside], np.searchsorted(samples.numbers, places[inside])
            found = gathered[key]
            _check_origin(rows, key, places, settings[keep][key[0]], fingerprints.get(key))
            if in_parts:  # processes that worked on one batch at once have both kept it
                once = ~found.is_known(places, rows["fingerprint"].to_numpy())
                rows, places = rows[once], places[once]
            if not len(rows):
                continue
            np.add.at(found.seen, places, 1)
            _gather(rows, places, found, keep, samples, batch.predicted)
    if not n_tables:
        raise TypeError("tables must be a pandas.DataFrame that explain_batch returned, or several of these; got none.")
    if finished:
        samples = _only_finished(gathered, samples)
    for key, found in gathered.items():
        _check_whole(key, found, samples.numbers)
    evaluation = _joined(gathered, evaluator, samples, keep or "outputs")
    for name in evaluator.models:
        for view in evaluator.views:
            whole = evaluation.outputs[name, view][:CHECKED_SAMPLES, -1]
            if with_inputs and not finished and answers_changed(answers[name], whole):
                raise ValueError(
                    f"tables are of another evaluation: model {name!r} answers the first samples differently than "
                    "their rows say. Run explain_batch with this model."
                )
        check_labels(name, evaluation.outputs[name, next(iter(evaluator.views))][:, -1], samples)
    return evaluation, keep or "outputs"


def _only_finished(gathered: dict[tuple[str, View], _Rows], samples: Samples) -> Samples:
    """Drop the samples that lack a row."""
    places = np.flatnonzero(np.all([found.seen > 0 for found in gathered.values()], axis=0))
    if not len(places):
        raise ValueError('samples="finished", but tables hold no sample for every model, baseline and mask yet.')
    for found in gathered.values():
        found.seen = found.seen[places]
        found.columns = {name: column[places] for name, column in found.columns.items()}
    return samples.chosen(places)


def _kept(table: pd.DataFrame, before: TableContent | None) -> TableContent:
    """What a table keeps: the same as those before."""
    keep: TableContent = "scores" if _MARKER_COLUMN["scores"] in table.columns else "outputs"
    lacking = [column for column in COLUMNS[keep] if column not in table.columns]
    if lacking:
        raise ValueError(f"tables lack the columns {lacking}; pass what explain_batch returned, whole.")
    if before is not None and keep != before:
        raise ValueError('tables hold rows of keep="outputs" and of keep="scores"; take those of one call.')
    return keep


def _in_range(rows: pd.DataFrame, key: tuple[str, View], n_samples: int) -> np.ndarray[Any, Any]:
    places: np.ndarray[Any, Any] = rows["sample"].to_numpy(dtype=np.int64)
    outside = places[(places < 0) | (places >= n_samples)]
    if len(outside):
        raise ValueError(
            f"tables hold sample {int(outside[0])} of model {key[0]!r}, but the data set has {n_samples:,} samples."
        )
    return places


def _check_origin(
    rows: pd.DataFrame, key: tuple[str, View], places: np.ndarray[Any, Any], settings: str, wanted: Any
) -> None:
    """Raise where rows are of another model, other settings, or other inputs."""
    where = f"model {key[0]!r}, baseline {key[1].baseline}, mask {key[1].mask}"
    if wanted is not None:
        other = rows["fingerprint"].to_numpy() != wanted[places]
        if other.any():
            raise ValueError(
                f"tables are of another evaluation: for {where}, sample {_sample(rows, other.argmax())} was explained "
                "with other weights, another baseline, mask or input than this analyzer and data set have. Run "
                "explain_batch with these."
            )
    # v in rows of scores is of one score and one label, which the fingerprint of inputs and weights does not tell
    if (wanted is None or _MARKER_COLUMN["scores"] in rows.columns) and (rows["settings"].to_numpy() != settings).any():
        raise ValueError(
            f"tables are of another analyzer: for {where}, sample {_sample(rows, 0)} was explained by models of other "
            "weights or code, other baselines, masks or scores. Collect with the analyzer that made them."
        )


def _sample(rows: pd.DataFrame, position: Any) -> int:
    return int(rows["sample"].iloc[int(position)])


def _gather(
    rows: pd.DataFrame,
    places: np.ndarray[Any, Any],
    found: _Rows,
    keep: TableContent,
    samples: Samples,
    predicted: bool,
) -> None:
    found.put(places, "ink", rows["ink"].to_numpy(dtype=np.float64))
    if keep == "outputs":
        found.put(places, "outputs", outputs_in(rows).numpy())
        return
    labels = rows["label"].to_numpy(dtype=np.int64)
    if not predicted and samples.labels is not None:
        other = labels != samples.labels.numpy()[places]
        if other.any():
            first = int(other.argmax())
            raise ValueError(
                f"tables hold v of label {labels[first]} for sample {_sample(rows, first)}, which is labelled "
                f"{int(samples.labels[int(places[first])])}; collect with the labels that explain_batch was given."
            )
    for column in ("logits", "values"):
        found.put(places, column, np.stack([np.asarray(row, dtype=np.float64) for row in rows[column]]))


def _check_whole(key: tuple[str, View], found: _Rows, numbers: np.ndarray[Any, Any] | None) -> None:
    if (found.seen == 1).all():
        return
    numbers = np.arange(len(found.seen)) if numbers is None else numbers
    missing = numbers[found.seen == 0]
    shown = ", ".join(map(str, missing[:_SHOWN])) + (", …" if len(missing) > _SHOWN else "")
    detail = (
        f"sample {shown} is missing ({len(missing):,} in all)"
        if len(missing)
        else f"sample {int(numbers[np.argmax(found.seen > 1)])} is there twice"
    )
    raise ValueError(
        f"tables must hold each of the {len(found.seen):,} samples once for model {key[0]!r}, baseline "
        f"{key[1].baseline}, mask {key[1].mask}; {detail}."
        + (' Take samples="finished" for a report of those that are there.' if len(missing) else "")
    )


def _joined(
    gathered: dict[tuple[str, View], _Rows], evaluator: Evaluator, samples: Samples, keep: TableContent
) -> Evaluation:
    ink = {view: torch.from_numpy(found.columns["ink"]) for (_, view), found in gathered.items()}
    if keep == "outputs":
        outputs = {key: torch.from_numpy(found.columns["outputs"]) for key, found in gathered.items()}
        return Evaluation(samples, evaluator.views, outputs, ink, {})
    logits = {key: torch.from_numpy(found.columns["logits"])[:, None] for key, found in gathered.items()}
    values = {key: torch.from_numpy(found.columns["values"]) for key, found in gathered.items()}
    return Evaluation(samples, evaluator.views, logits, ink, {}, values)
