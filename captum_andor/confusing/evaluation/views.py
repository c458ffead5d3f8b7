"""Views of a sample: one baseline and one mask each, as Captum takes them, for any rows of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from captum_andor._utils.checks import is_frame, is_series
from captum_andor._utils.datasets import Samples
from captum_andor._utils.running import Model, device_of, dtype_of
from captum_andor._utils.storage import storable
from captum_andor.games import NO_PLAYER, Background, Baselines, Inputs, Players, baseline_row
from captum_andor.games.masks import image_grid

OneBaseline: TypeAlias = Baselines | Callable[[Any], Baselines]
OneMask: TypeAlias = Inputs | Callable[[Any], Inputs] | None


@storable
class View(NamedTuple):
    """Positions of a baseline and of a mask among those given."""

    baseline: int
    mask: int


@dataclass(frozen=True)
class Place:
    """Where a model takes its inputs, and in which dtype those that came as a frame; None for as they are."""

    device: torch.device | None
    dtype: torch.dtype | None

    def put(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Inputs as the model takes them."""
        return tuple(
            x.to(device=self.device or x.device, dtype=(self.dtype if x.is_floating_point() else None) or x.dtype)
            for x in inputs
        )


def place_of(model: Model, samples: Samples) -> Place:
    """The place of a model for samples; tensors keep the dtype in which they were given."""
    return Place(device_of(model), dtype_of(model) if samples.columns is not None else None)


@storable
@dataclass(frozen=True)
class Views:
    """All pairs of a baseline and a mask.

    Attributes:
        baselines: One or several of Captum's forms, or callables of an input of batch size 1.
        masks: Likewise; None is a grid of 3 x 3 patches for images, else one player per element.
    """

    baselines: tuple[OneBaseline, ...]
    masks: tuple[OneMask, ...]

    @classmethod
    def of(cls, baselines: Any, feature_mask: Any) -> Views:
        """Make the views of an argument: a list holds several, anything else is one."""
        several = []
        for name, given in (("baselines", baselines), ("feature_mask", feature_mask)):
            entries = tuple(given) if isinstance(given, list) else (given,)
            if not entries:
                raise ValueError(f"{name} is an empty list; pass one or several, or None.")
            if any(isinstance(entry, Background) for entry in entries):
                raise ValueError(
                    f"{name} cannot be a Background here: outputs are kept, and scores of their mean are not means of "
                    "scores. Pass a list of single rows, e.g. list(rows.split(1)), or explain single samples with "
                    "AndOrInteractions."
                )
            several.append(entries)
        return cls(several[0], several[1])

    def __iter__(self) -> Iterator[View]:
        return (View(b, m) for b in range(len(self.baselines)) for m in range(len(self.masks)))

    def __len__(self) -> int:
        return len(self.baselines) * len(self.masks)

    def as_tensors(self, samples: Samples) -> Views:
        """The same views with functions called for every sample, so that nothing but tensors and numbers is left."""
        whole = 0, len(samples)
        return Views(
            tuple(
                self._baselines(samples, *whole, i) if callable(b) or is_frame(b) or is_series(b) else b
                for i, b in enumerate(self.baselines)
            ),
            tuple(self._mask(samples, *whole, i) if callable(m) else m for i, m in enumerate(self.masks)),
        )

    def players(
        self,
        samples: Samples,
        start: int,
        stop: int,
        view: View,
        max_players: int | None = None,
        place: Place | None = None,
    ) -> Players:
        """Some rows of a data set, checked and paired with the baseline and the mask of a view."""
        baselines = self._baselines(samples, start, stop, view.baseline)
        mask = self._mask(samples, start, stop, view.mask)
        rows = samples.rows(start, stop)
        inputs = rows if place is None else place.put(rows)
        players = Players(inputs, baselines, mask, samples.names)
        n = players.n_players
        if max_players is not None and n > max_players:
            raise ValueError(
                f"feature_mask makes {n} players, and each sample takes 2^{n} = {1 << n:,} forward passes; the limit "
                f"is max_players={max_players}. Pass a coarser feature_mask, or raise max_players."
            )
        return players

    def player_maps(self, samples: Samples, view: View) -> Iterator[tuple[Tensor, ...]]:
        """The player of every element, for each input its shape; once if all samples share a mask, else for each."""
        for i in range(len(samples)):
            layout = self.players(samples, i, i + 1, view).layout
            yield tuple(index[0].expand(shape) for index, shape in zip(layout.indices, layout.shapes, strict=True))
            if self._is_shared(samples, view.mask):
                return

    def _is_shared(self, samples: Samples, position: int) -> bool:
        given = self.masks[position]
        return given is None or (not callable(given) and not _is_per_example(given, samples))

    def _baselines(self, samples: Samples, start: int, stop: int, position: int) -> Any:
        given = self.baselines[position]
        if isinstance(given, Mapping):
            given = tuple(given.get(name) for name in _names(given, samples, "baselines"))
        if not callable(given):
            given = baseline_row(given, samples.columns) if samples.columns is not None else given
            return _rows_of(given, samples, start, stop)
        return _called(given, samples, start, stop, "baselines", _broadcast_baseline)

    def _mask(self, samples: Samples, start: int, stop: int, position: int) -> Any:
        given = self.masks[position]
        if given is None:
            return _default_mask(samples)
        if isinstance(given, Mapping):
            names = _names(given, samples, "feature_mask")
            given = tuple(
                given[name] if name in given else torch.full((1,) * x.ndim, NO_PLAYER, device=x.device)
                for name, x in zip(names, samples.inputs, strict=True)
            )
        if callable(given):
            masks = _called(given, samples, start, stop, "feature_mask", _broadcast_mask)
        else:
            masks = _rows_of(given, samples, start, stop)
            if not _is_per_example(given, samples):
                return masks
            Players(samples.rows(start, stop), None, masks)  # its checks, before ids are counted
            parts = masks if isinstance(masks, tuple) else (masks,)
            masks = tuple(m.expand(stop - start, *x.shape[1:]) for m, x in zip(parts, samples.inputs, strict=True))
        return _numbered(masks, start)


def _is_per_example(mask: Any, samples: Samples) -> bool:
    parts = mask if isinstance(mask, tuple) else (mask,)
    return any(
        isinstance(part, Tensor) and part.ndim == x.ndim and len(part) > 1
        for part, x in zip(parts, samples.inputs, strict=False)
    )


def _rows_of(given: Any, samples: Samples, start: int, stop: int) -> Any:
    """Rows of what has one entry per sample; the rest as it is."""
    parts = given if isinstance(given, tuple) else (given,)
    sizes = [x.ndim for x in samples.inputs] if len(parts) == len(samples.inputs) else [-1] * len(parts)
    chosen = tuple(
        part[start:stop]
        if isinstance(part, Tensor) and part.ndim == ndim and len(part) == len(samples) and len(part) > 1
        else part
        for part, ndim in zip(parts, sizes, strict=True)
    )
    return chosen if isinstance(given, tuple) else chosen[0]


def _called(
    function: Callable[[Any], Any],
    samples: Samples,
    start: int,
    stop: int,
    name: str,
    broadcast: Callable[[Any, Tensor, str], Tensor],
) -> tuple[Tensor, ...]:
    """Call a function of one input for each of some samples and concatenate what it returns."""
    results = []
    for i in range(start, stop):
        one = samples.rows(i, i + 1)
        named = None if samples.names is None else dict(zip(samples.names, one, strict=True))
        given = function(named or (one if samples.is_tuple else one[0]))
        if named is not None and isinstance(given, Mapping):
            given = tuple(given.get(key) for key in named)
        parts = given if isinstance(given, tuple) else (given,)
        if len(parts) != len(one):
            raise ValueError(
                f"{name}: the function gave {len(parts)} part(s) for sample {i}, which has {len(one)} input(s)."
            )
        results.append([broadcast(p, x, f"{name} of sample {i}") for p, x in zip(parts, one, strict=True)])
    return tuple(torch.cat(column) for column in zip(*results, strict=True))


def _broadcast_baseline(given: Any, x: Tensor, name: str) -> Tensor:
    try:
        return Players((x,), (given,)).baselines[0].expand(x.shape)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def _broadcast_mask(given: Any, x: Tensor, name: str) -> Tensor:
    try:
        Players((x,), None, (given,))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    mask: Tensor = given
    return mask.to(x.device).expand(x.shape)


def _numbered(masks: tuple[Tensor, ...], start: int) -> tuple[Tensor, ...]:
    """Renumber the ids of each sample from 0, in rising order, so that equal numbers mean the same player."""
    flat = [mask.flatten(1) for mask in masks]
    numbered, counts = [], []
    for row in zip(*flat, strict=True):
        ids, inverse = torch.unique(torch.cat(row), return_inverse=True)
        nobody = int((ids < 0).sum())  # elements of negative ids are no player
        numbered.append((inverse - nobody).clamp(min=NO_PLAYER))
        counts.append(len(ids) - nobody)
    if len(set(counts)) > 1:
        other = next(i for i, count in enumerate(counts) if count != counts[0])
        raise ValueError(
            f"feature_mask gives sample {start + other} {counts[other]} players and sample {start} {counts[0]}; scores "
            "compare samples with equally many. Merge or split regions to one number."
        )
    widths = [part.shape[1] for part in flat]
    parts = torch.split(torch.stack(numbered), widths, dim=1)
    return tuple(part.view(mask.shape) for part, mask in zip(parts, masks, strict=True))


def _names(given: Mapping[str, Any], samples: Samples, argument: str) -> tuple[str, ...]:
    """Names of the inputs, once those of a baseline or mask are seen to be among them."""
    if samples.names is None:
        raise ValueError(f"{argument} is a dict, but the inputs of the dataset have no names; pass a tuple.")
    unknown = [name for name in given if name not in samples.names]
    if unknown or not given:
        raise ValueError(f"{argument} names {unknown}; the inputs of the dataset are {list(samples.names)}.")
    return samples.names


def _default_mask(samples: Samples) -> Tensor | None:
    if samples.names is not None and len(samples.names) > 1:
        raise ValueError(
            f"the inputs of the dataset are {list(samples.names)}: name those that hold players by feature_mask="
            f"{{{samples.names[0]!r}: mask}}; the others are passed along."
        )
    if len(samples.inputs) == 1 and samples.inputs[0].ndim == 4:
        height, width = samples.inputs[0].shape[2:]
        return image_grid(height, width, min(3, height), min(3, width))
    return None
