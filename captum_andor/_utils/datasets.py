"""Read a data set once: inputs and labels of every sample, in the order that sample indices mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

__all__ = ["Samples", "read_samples"]

_READ_TWICE = 3  # samples of a map-style data set that are read again, to see whether it changes them


@dataclass(frozen=True)
class Samples:
    """Inputs and labels of a data set.

    Attributes:
        inputs: One tensor per model input, dimension 0 the samples.
        labels: int64, shape ``(N,)``; None where there are none.
        is_tuple: Whether an input is a tuple of tensors.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    is_tuple: bool

    def __len__(self) -> int:
        return len(self.inputs[0])

    def rows(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """Inputs of some samples."""
        return tuple(x[start:stop] for x in self.inputs)

    @property
    def pair(self) -> tuple[Any, Tensor | None]:
        """Inputs and labels in the form in which :func:`read_samples` takes them."""
        return self.inputs if self.is_tuple else self.inputs[0], self.labels

    def single(self, name: str) -> Tensor:
        """The inputs of a model that takes one tensor.

        Raises:
            ValueError: If there are several; ``name`` says of what.
        """
        if len(self.inputs) > 1:
            raise ValueError(f"{name} must have inputs of one tensor; these have {len(self.inputs)}.")
        return self.inputs[0]

    def first(self, count: int) -> Samples:
        """Only the first samples."""
        return Samples(self.rows(0, count), None if self.labels is None else self.labels[:count], self.is_tuple)


def read_samples(data: Any, labelled: bool) -> Samples:
    """Read a pair of tensors, a loader, or a data set of items ``(input, label)``.

    Args:
        data: See :meth:`captum_andor.ConfusingSampleAnalyzer.evaluate`.
        labelled: Whether labels are needed; without, items may be inputs alone.

    Raises:
        TypeError: If it is none of these, or an input or label is of the wrong kind.
        ValueError: If labels lack or do not match the inputs, shapes differ, or it shuffles or changes its samples.
    """
    if isinstance(data, (Tensor, np.ndarray)):
        samples = _whole(data, None)
    elif isinstance(data, tuple) and len(data) == 2 and _is_column(data[1]):
        samples = _whole(*data)
    elif isinstance(data, DataLoader):
        _check_order(data)
        samples = _joined([_batch(batch, i) for i, batch in enumerate(data)])
    elif isinstance(data, Iterable) or hasattr(data, "__getitem__"):
        _check_repeats(data)
        samples = _stacked([_item(item, i) for i, item in enumerate(_items(data))])
    else:
        raise TypeError(
            "dataset must be a pair of tensors (inputs, labels), a DataLoader, or a data set of items (input, label); "
            f"got {type(data).__name__}."
        )
    if labelled and samples.labels is None:
        raise ValueError(
            'dataset has no labels: pass items (input, label) or a pair (inputs, labels), or labels="predicted".'
        )
    return samples


def _is_column(labels: Any) -> bool:
    """Whether it is one label for each of many samples."""
    if isinstance(labels, (Tensor, np.ndarray)):
        return labels.ndim >= 1
    return isinstance(labels, (list, range)) and all(isinstance(y, (int, np.integer)) for y in labels)


def _items(data: Any) -> Iterator[Any]:
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[i] for i in range(len(data)))
    return iter(data)


def _whole(inputs: Any, labels: Any) -> Samples:
    tensors, is_tuple = _tensors(inputs, "dataset")
    sizes = [len(x) if x.ndim else 0 for x in tensors]
    if len(set(sizes)) > 1 or not sizes[0]:
        raise ValueError(f"dataset's inputs must share one number of samples ≥ 1 in dimension 0; got {sizes}.")
    column = None if labels is None else _labels(labels, "dataset's labels")
    if column is not None and len(column) != sizes[0]:
        raise ValueError(f"dataset has {sizes[0]} inputs and {len(column)} labels; pass one label per input.")
    return Samples(tensors, column, is_tuple)


def _batch(batch: Any, position: int) -> Samples:
    inputs, labels = _pair(batch, f"batch {position} of the loader")
    return _whole(inputs, labels)


def _item(item: Any, position: int) -> Samples:
    inputs, label = _pair(item, f"item {position} of the dataset")
    tensors, is_tuple = _tensors(inputs, f"item {position} of the dataset")
    column = None if label is None else _labels(label, f"the label of item {position}").reshape(-1)
    if column is not None and len(column) != 1:
        raise TypeError(f"the label of item {position} must be one class index; got {len(column)} numbers.")
    return Samples(tuple(x[None] for x in tensors), column, is_tuple)


def _pair(item: Any, name: str) -> tuple[Any, Any]:
    if isinstance(item, (Tensor, np.ndarray)):
        return item, None
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 2:
        return item[0], item[1] if len(item) == 2 else None
    size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
    raise TypeError(f"{name} must be (input, label); got {type(item).__name__}{size}.")


def _tensors(inputs: Any, name: str) -> tuple[tuple[Tensor, ...], bool]:
    is_tuple = isinstance(inputs, (tuple, list))
    parts = tuple(inputs) if is_tuple else (inputs,)
    if not parts or not all(isinstance(x, (Tensor, np.ndarray)) for x in parts):
        kinds = ", ".join(type(x).__name__ for x in parts)
        raise TypeError(
            f"the input of {name} must be a tensor, an array or a tuple of these; got {kinds or 'nothing'}. "
            "Convert pictures first, e.g. with transform=torchvision.transforms.ToTensor()."
        )
    return tuple((x if isinstance(x, Tensor) else torch.as_tensor(x, device="cpu")).detach() for x in parts), is_tuple


def _labels(labels: Any, name: str) -> Tensor:
    try:
        column = labels if isinstance(labels, Tensor) else torch.as_tensor(labels, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be integer class indices; got {type(labels).__name__}.") from error
    if column.is_floating_point() or column.is_complex() or column.dtype == torch.bool:
        raise TypeError(f"{name} must be integer class indices; got {column.dtype}. Use .long().")
    if column.ndim > 1:
        raise ValueError(
            f"{name} must be one class index per sample; got shape {tuple(column.shape)}. For one-hot labels use "
            ".argmax(1)."
        )
    return column.detach().cpu().long()


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
    return Samples(inputs, torch.cat(columns) if columns else None, parts[0].is_tuple)


def _check_order(loader: DataLoader[Any]) -> None:
    samplers = [loader.sampler, getattr(loader.batch_sampler, "sampler", None)]
    if any(isinstance(s, (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)) for s in samplers):
        raise ValueError(
            "dataset is a loader that shuffles, so that sample indices would mean nothing; pass "
            "DataLoader(..., shuffle=False), or the data set itself."
        )


def _check_repeats(data: Any) -> None:
    if not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return
    for i in range(min(len(data), _READ_TWICE)):
        once, again = _item(data[i], i), _item(data[i], i)
        if not all(torch.equal(a, b) or _both_nan(a, b) for a, b in zip(once.inputs, again.inputs, strict=True)):
            raise ValueError(
                f"dataset gives another input for sample {i} when read again: it shuffles, or its transforms are "
                "random. Pass it without random transforms."
            )


def _both_nan(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
