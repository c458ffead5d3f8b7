"""Data as people hand it over: inputs and labels of every sample, in the order that sample indices mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from captum_andor._utils.checks import is_frame
from captum_andor._utils.storage import storable
from captum_andor._utils.user_warnings import warn

_ROUNDING = 1e-6  # of the spread of a column: a larger change is warned of
_NAMES_SHOWN = 6
_BATCH_SIZE = 64  # of a loader whose batch sampler tells none
_READ_TWICE = 3  # samples of a map-style data set that are read again, to see whether it changes them
_SHOWN = 6  # columns that an error names


@storable
@dataclass(frozen=True)
class Samples:
    """Inputs and labels of a data set.

    Attributes:
        inputs: One tensor per model input, dimension 0 the samples.
        labels: int64, shape ``(N,)``; None where there are none.
        is_tuple: Whether an input is a tuple of tensors.
        names: Of the model's inputs, where an input is a dict.
        class_names: In the order of the labels, where labels are names whose order was taken to be alphabetical.
        columns: Names of the columns of the inputs, where these came as a frame.
        numbers: Index of each sample in the data set that they are some of, ascending; None where they are all.
        index: Labels of the rows of a frame, strings or numbers; None where these are 0, 1, … or there is none.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    is_tuple: bool
    names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] = ()
    numbers: npt.NDArray[np.int64] | None = None
    columns: tuple[str, ...] | None = None
    index: tuple[str | int | float, ...] | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])

    def rows(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """Inputs of some samples."""
        return tuple(x[start:stop] for x in self.inputs)

    @property
    def pair(self) -> tuple[Any, Tensor | None]:
        """Inputs and labels in the form in which :func:`read_samples` takes them."""
        if self.names is not None:
            return dict(zip(self.names, self.inputs, strict=True)), self.labels
        return self.inputs if self.is_tuple else self.inputs[0], self.labels

    def single(self, name: str) -> Tensor:
        """The inputs of a model that takes one tensor."""
        if len(self.inputs) > 1:
            raise ValueError(f"{name} must have inputs of one tensor; these have {len(self.inputs)}.")
        return self.inputs[0]

    def first(self, count: int) -> Samples:
        """Only the first samples."""
        labels = None if self.labels is None else self.labels[:count]
        index = None if self.index is None else self.index[:count]
        return replace(self, inputs=self.rows(0, count), labels=labels, index=index)

    def chosen(self, numbers: npt.NDArray[np.int64]) -> Samples:
        """Some samples of a whole data set, which keep their numbers."""
        rows = torch.from_numpy(numbers)
        labels = None if self.labels is None else self.labels[rows]
        inputs = tuple(x[rows.to(x.device)] for x in self.inputs)
        index = None if self.index is None else tuple(self.index[i] for i in numbers.tolist())
        return replace(self, inputs=inputs, labels=labels, numbers=numbers, index=index)


def read_samples(data: Any, labelled: bool) -> Samples:
    """Read a pair of tensors, a loader, or a data set of items ``(input, label)``.

    Args:
        data: See :meth:`captum_andor.ConfusingSampleAnalyzer.evaluate`.
        labelled: Whether labels are needed; without, items may be inputs alone.
    """
    classes = _ClassNames(data.dataset if isinstance(data, DataLoader) else data)
    if isinstance(data, (Tensor, np.ndarray)):
        samples = _whole(data, None, classes)
    elif is_frame(data):
        samples = _of_frame(data, None, classes)
    elif isinstance(data, tuple) and len(data) == 2 and is_frame(data[0]):
        samples = _of_frame(*data, classes)
    elif isinstance(data, tuple) and len(data) == 2 and _is_column(data[1]):
        samples = _whole(*data, classes)
    elif isinstance(data, Mapping):
        samples = _whole(*_pair(data, "dataset"), classes)
    elif isinstance(data, DataLoader):
        samples = _joined([_batch(batch, i, classes) for i, batch in enumerate(_in_order(data, classes))])
        _check_first_batch(data, samples, classes)
    elif isinstance(data, Iterable) or hasattr(data, "__getitem__"):
        _check_repeats(data, classes)
        samples = _stacked([_item(item, i, classes) for i, item in enumerate(_items(data))])
    else:
        raise TypeError(
            "dataset must be a pair of tensors (inputs, labels), a DataLoader, or a data set of items (input, label); "
            f"got {type(data).__name__}."
        )
    samples = classes.in_order(samples)
    if labelled and samples.labels is None:
        raise ValueError(
            'dataset has no labels: pass items (input, label) or a pair (inputs, labels), or labels="predicted".'
        )
    return samples


def _is_column(labels: Any) -> bool:
    """Whether it is one label for each of many samples."""
    if isinstance(labels, (Tensor, np.ndarray)):
        return labels.ndim >= 1
    if hasattr(labels, "to_numpy"):  # a Series of pandas or polars
        return True
    return isinstance(labels, (list, tuple, range)) and all(_is_label(y) for y in labels)


def _is_label(label: Any) -> bool:
    if isinstance(label, (Tensor, np.ndarray)):
        return label.ndim == 0
    return isinstance(label, (int, np.integer, str))


def _is_map(data: Any) -> bool:
    """Whether samples are found by their numbers."""
    return hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, IterableDataset)


def _items(data: Any) -> Iterator[Any]:
    return (data[i] for i in range(len(data))) if _is_map(data) else iter(data)


def _of_frame(frame: Any, labels: Any, classes: _ClassNames) -> Samples:
    """A table: its columns have names."""
    numbers = frame_numbers(frame, "dataset")
    samples = replace(_whole(numbers, labels, classes), columns=tuple(map(str, frame.columns)))
    rows = list(getattr(frame, "index", range(len(numbers))))
    if rows == list(range(len(numbers))):
        return samples
    plain = (row.item() if isinstance(row, np.generic) else row for row in rows)
    return replace(samples, index=tuple(row if isinstance(row, (str, int, float)) else str(row) for row in plain))


def _whole(inputs: Any, labels: Any, classes: _ClassNames) -> Samples:
    tensors, is_tuple, names = _tensors(inputs, "dataset")
    sizes = [len(x) if x.ndim else 0 for x in tensors]
    if len(set(sizes)) > 1 or not sizes[0]:
        raise ValueError(f"dataset's inputs must share one number of samples ≥ 1 in dimension 0; got {sizes}.")
    column = None if labels is None else _labels(labels, "dataset's labels", classes)
    if column is not None and len(column) != sizes[0]:
        raise ValueError(f"dataset has {sizes[0]} inputs and {len(column)} labels; pass one label per input.")
    return Samples(tensors, column, is_tuple, names)


def _batch(batch: Any, position: int, classes: _ClassNames) -> Samples:
    inputs, labels = _pair(batch, f"batch {position} of the loader")
    if _is_label(labels):  # batch_size=None: the loader gives single samples
        return _item(batch, position, classes)
    return _whole(inputs, labels, classes)


def _item(item: Any, position: int, classes: _ClassNames) -> Samples:
    inputs, label = _pair(item, f"item {position} of the dataset")
    tensors, is_tuple, names = _tensors(inputs, f"item {position} of the dataset")
    column = None if label is None else _labels(label, f"the label of item {position}", classes).reshape(-1)
    if column is not None and len(column) != 1:
        raise TypeError(f"the label of item {position} must be one class index; got {len(column)} numbers.")
    return Samples(tuple(x[None] for x in tensors), column, is_tuple, names)


def _pair(item: Any, name: str) -> tuple[Any, Any]:
    if isinstance(item, (Tensor, np.ndarray)):
        return item, None
    if isinstance(item, Mapping):
        inputs = dict(item)
        labels = [inputs.pop(key) for key in ("label", "labels") if key in inputs]
        return inputs, labels[0] if labels else None
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 2:
        return item[0], item[1] if len(item) == 2 else None
    size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
    raise TypeError(f"{name} must be (input, label); got {type(item).__name__}{size}.")


def _tensors(inputs: Any, name: str) -> tuple[tuple[Tensor, ...], bool, tuple[str, ...] | None]:
    """The tensors of an input, whether it is a tuple, and their names, where it is a dict."""
    names = None
    if isinstance(inputs, Mapping):
        names = tuple(inputs)
        inputs = tuple(np.asarray(x) if isinstance(x, (list, int, float)) else x for x in inputs.values())
    is_tuple = isinstance(inputs, (tuple, list))
    parts = tuple(inputs) if is_tuple else (inputs,)
    if not parts or not all(isinstance(x, (Tensor, np.ndarray)) for x in parts):
        kinds = ", ".join(type(x).__name__ for x in parts)
        raise TypeError(
            f"the input of {name} must be a tensor, an array or a tuple of these; got {kinds or 'nothing'}. "
            "Convert pictures first, e.g. with transform=torchvision.transforms.ToTensor()."
        )
    tensors = tuple((x if isinstance(x, Tensor) else torch.as_tensor(x, device="cpu")).detach() for x in parts)
    return tensors, is_tuple, names


def _labels(labels: Any, name: str, classes: _ClassNames) -> Tensor:
    """Class indices from numbers or from names."""
    if isinstance(labels if isinstance(labels, str) else _first(labels), str):
        every = [labels] if isinstance(labels, str) else list(np.asarray(labels, dtype=object).reshape(-1))
        indices = classes.indices(every, name)
        labels = indices[0] if isinstance(labels, str) else indices
    try:
        column = labels.detach() if isinstance(labels, Tensor) else _as_column(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be integer class indices; got {type(labels).__name__}.") from error
    if column.is_floating_point() or column.is_complex() or column.dtype == torch.bool:
        raise TypeError(f"{name} must be integer class indices; got {column.dtype}. Use .long().")
    if column.ndim == 2 and column.shape[1] == 1:  # as frames and some loaders give them
        column = column[:, 0]
    if column.ndim > 1:
        raise ValueError(
            f"{name} must be one class index per sample; got shape {tuple(column.shape)}. For one-hot labels use "
            ".argmax(1)."
        )
    return column.cpu().long()


def _as_column(labels: Any) -> Tensor:
    if isinstance(labels, (list, tuple)) and labels and all(isinstance(y, (Tensor, np.ndarray)) for y in labels):
        return torch.stack([torch.as_tensor(y, device="cpu") for y in labels])
    numbers = np.asarray(labels.to_numpy() if hasattr(labels, "to_numpy") else labels)
    if numbers.dtype == np.uint64 or numbers.dtype.kind not in "iu":
        return torch.as_tensor(numbers, device="cpu")
    return torch.from_numpy(numbers.astype(np.int64))


def _first(labels: Any) -> Any:
    """The first of some labels; None of a tensor, or where there are none."""
    if isinstance(labels, Tensor) or not hasattr(labels, "__len__") or not len(labels):
        return None
    return np.asarray(labels, dtype=object).reshape(-1)[0]


class _ClassNames:
    """Names of classes among the labels of one data set.

    A data set that has ``class_to_idx`` says which class each is; otherwise their alphabetical order is taken, as
    scikit-learn and torchvision number classes, and said.
    """

    def __init__(self, source: Any) -> None:
        known = getattr(source, "class_to_idx", None)
        self._known: dict[str, int] | None = known if isinstance(known, dict) else None
        self._seen: dict[str, int] = {}

    def indices(self, names: list[Any], where: str) -> list[int]:
        """The class of each name or, until all names are known, the number under which it was first seen."""
        other = next((name for name in names if not isinstance(name, str)), None)
        if other is not None:
            raise TypeError(f"{where} must all be names of classes or all be integers; got {other!r} among names.")
        if self._known is None:
            return [self._seen.setdefault(name, len(self._seen)) for name in names]
        unknown = next((name for name in names if name not in self._known), None)
        if unknown is not None:
            raise ValueError(f"{where}: {unknown!r} is not among the classes of the dataset, {list(self._known)}.")
        return [self._known[name] for name in names]

    def in_order(self, samples: Samples) -> Samples:
        """The samples with their labels in the alphabetical order of the names, if these were numbered as they came."""
        if not self._seen or samples.labels is None:
            return samples
        names = sorted(self._seen)
        place = torch.tensor([names.index(name) for name in self._seen])
        shown = ", ".join(f"{name!r} = {i}" for i, name in enumerate(names[:_NAMES_SHOWN]))
        warn(
            f"dataset has names of classes as labels, which are taken for outputs in alphabetical order: {shown}"
            f"{', …' if len(names) > _NAMES_SHOWN else ''}. If the model's outputs are in another order, pass indices, "
            "e.g. [classes.index(name) for name in labels]."
        )
        return replace(samples, labels=place[samples.labels], class_names=tuple(names))


def _stacked(items: list[Samples]) -> Samples:
    if not items:
        raise ValueError("dataset is empty.")
    shapes = [[tuple(x.shape[1:]) for x in item.inputs] for item in items]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"inputs must have one shape; sample {i} has {shape}, sample 0 {shapes[0]}. Resize, crop or pad them."
            )
    return _joined(items)


def _joined(parts: list[Samples]) -> Samples:
    if not parts:
        raise ValueError("dataset is empty.")
    labelled = [part.labels is not None for part in parts]
    if any(labelled) != all(labelled):
        raise ValueError(f"some samples have labels, others none, e.g. part {labelled.index(False)} of the dataset.")
    try:
        inputs = tuple(torch.cat(x) for x in zip(*(part.inputs for part in parts), strict=True))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"inputs of the dataset do not fit together: {error}") from error
    columns = [part.labels for part in parts if part.labels is not None]
    if len({part.names for part in parts}) > 1:
        raise ValueError(f"inputs of the dataset have different names, e.g. {parts[0].names} and others.")
    return Samples(inputs, torch.cat(columns) if columns else None, parts[0].is_tuple, parts[0].names)


def _in_order(loader: DataLoader[Any], classes: _ClassNames) -> DataLoader[Any]:
    """A loader of samples 0, 1, 2, … of a map-style data set, batched and collated as given; others as they are."""
    data, batches = loader.dataset, loader.batch_sampler
    if not _is_map(data):
        return loader
    _check_repeats(data, classes)
    sampler: Any = getattr(batches, "sampler", loader.sampler)
    size = len(cast(Sized, data))
    if len(sampler) != size:
        raise ValueError(
            f"dataset is a loader whose sampler gives {len(sampler)} of {size} samples, so that sample indices would "
            "mean nothing; pass the data set itself (with checkpoint_dir the processes that torchrun started share its "
            "batches without a DistributedSampler), or torch.utils.data.Subset(data, indices)."
        )
    return DataLoader(
        data,
        batch_size=None if batches is None else getattr(batches, "batch_size", _BATCH_SIZE),
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
    )


def _check_first_batch(loader: DataLoader[Any], samples: Samples, classes: _ClassNames) -> None:
    """Raise where an iterable data set gives other inputs when it is read again; one that is spent tells nothing."""
    if not isinstance(loader.dataset, IterableDataset):
        return
    batch = next(iter(loader), None)
    if batch is not None:
        _check_equal(_batch(batch, 0, classes).inputs, samples.inputs, 0)


def _check_repeats(data: Any, classes: _ClassNames) -> None:
    if not _is_map(data):
        return
    for i in range(min(len(data), _READ_TWICE)):
        once, again = _item(data[i], i, classes), _item(data[i], i, classes)
        _check_equal(once.inputs, again.inputs, i)


def _check_equal(once: tuple[Tensor, ...], again: tuple[Tensor, ...], sample: int) -> None:
    if not all(_same(a, b[: len(a)]) for a, b in zip(once, again, strict=True)):
        raise ValueError(
            f"dataset gives another input for sample {sample} when read again: it shuffles, or its transforms are "
            "random. Pass it without random transforms."
        )


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


def frame_numbers(frame: Any, name: str) -> Tensor:
    """The numbers of a frame as they are, shape ``(rows, columns)``: float64, or float32 where no column has more."""
    called = list(map(str, frame.columns))
    if len(set(called)) < len(called):
        twice = next(column for column in called if called.count(column) > 1)
        raise ValueError(f"{name}: two columns are called {twice!r}; give each a name of its own.")
    columns = {str(column): np.asarray(frame[column]) for column in frame.columns}
    words = [column for column, numbers in columns.items() if numbers.dtype.kind not in "biuf"]
    if words:
        raise TypeError(
            f"{name}: columns {words[:_SHOWN]} hold no numbers; pass the frame as the model takes it, encoded "
            "(games.masks.column_groups makes one player of the columns of a one-hot code)."
        )
    dtype = np.result_type(np.float32, *(numbers.dtype for numbers in columns.values()))
    return torch.from_numpy(np.stack([numbers.astype(dtype) for numbers in columns.values()], axis=1).astype(dtype))


def cast_columns(numbers: Tensor, dtype: torch.dtype, columns: Sequence[str], name: str, beside: Any = None) -> Tensor:
    """Numbers of a frame, ``(rows, columns)``, in the dtype of a model; a warning where that changes them.

    Args:
        numbers: As :func:`frame_numbers` gives them.
        dtype: Of the model's parameters.
        columns: What the columns are called.
        name: Of the argument.
        beside: Further rows that say how far a column spreads, e.g. a baseline. Default: None
    """
    cast = numbers.to(dtype)
    if cast.dtype == numbers.dtype or not len(numbers):
        return cast
    moved = (cast.to(numbers.dtype) - numbers).abs().nan_to_num().amax(0)
    every = numbers if beside is None else torch.cat([numbers, beside.to(numbers)])
    every = torch.where(every.isfinite(), every, every.nanmean(0))
    spread = (every.amax(0) - every.amin(0)).nan_to_num()
    lost = (moved > _ROUNDING * spread) & (spread > 0)
    if bool(lost.any()):
        i = int(lost.nonzero()[0, 0])
        kind = str(dtype).removeprefix("torch.")
        warn(
            f"{name}: column {columns[i]!r} changes by up to {float(moved[i]):.3g} in {kind}, the dtype of the model, "
            f"and spreads over {float(spread[i]):.3g}. Subtract its mean first, or use a model of float64."
        )
    return cast


def shown_value(name: str, value: float) -> str:
    """A column beside its value."""
    return f"{name} = {value:.4g}"
