"""Players: which input elements belong to which player, and inputs masked down to a coalition."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.devices import holds_float64
from captum_andor._utils.storage import storable
from captum_andor.games.background import Background

Inputs: TypeAlias = Tensor | tuple[Tensor, ...]
InputsT = TypeVar("InputsT", Tensor, tuple[Tensor, ...])
Baseline: TypeAlias = int | float | bool | Tensor | None
Baselines: TypeAlias = Baseline | tuple[Baseline, ...] | Background

NO_PLAYER = -1  # in the place of a player's number: the element is kept in every coalition
_EXACT_IDS = 2**53  # above, float64 merges neighbouring ids


@storable
@dataclass(frozen=True)
class PlayerLayout:
    """Player of each input element, enough to scatter one number per player back over the inputs.

    Attributes:
        feature_ids: The sorted ids of the feature mask; position i is player i.
        indices: Per input, the player of each element: int64, broadcastable to the input, first dim 1 or N; -1 where
            it belongs to none and is always kept.
        shapes: Per input, its shape without the batch dimension.
        is_tuple: Whether the inputs came as a tuple.
        names: Of the inputs, where they came as a dict.
    """

    feature_ids: tuple[int, ...]
    indices: tuple[Tensor, ...]
    shapes: tuple[tuple[int, ...], ...]
    is_tuple: bool
    names: tuple[str, ...] | None = None

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.feature_ids)

    @property
    def per_example(self) -> bool:
        """Whether examples have feature masks of their own."""
        return any(len(index) > 1 for index in self.indices)

    def scatter(self, player_values: Tensor) -> Inputs:
        """Spread values of shape ``(*outputs, n)`` over the inputs: each ``(*outputs, *input.shape[1:])``."""
        spread = tuple(
            _scatter(_beside(player_values, index), index, shape)
            for index, shape in zip(self.indices, self.shapes, strict=True)
        )
        if self.names is not None:
            return dict(zip(self.names, spread, strict=True))  # type: ignore[return-value]
        return spread if self.is_tuple else spread[0]


@storable
@dataclass(frozen=True)
class Question:
    """What a call asked, for prints and titles.

    Attributes:
        note: What the players are, where a mask was chosen for the user.
        targets: The class that v is of, one for all examples or one for each; empty where there is none.
        score: What v is: one of the named scores, or empty.
        compared: Whether the score of another model is taken off.
        absent: What players outside a coalition are replaced by, in words.
        doubts: What a reader has to know before the patterns.
        called: Names of the classes in ``targets``; empty where they have none.
    """

    note: str = ""
    targets: tuple[int, ...] = ()
    score: str = ""
    compared: bool = False
    absent: str = ""
    doubts: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of v, where the score has one."""
        return {"log_odds": "log-odds", "log_prob": "nats of log-probability", "prob": "probability"}.get(
            self.score, ""
        )

    def of_examples(self, rows: slice) -> Question:
        """The same of some examples."""
        if len(self.targets) < 2:
            return self
        return replace(self, targets=self.targets[rows], called=self.called[rows])


class Players:
    """The inputs of one call, checked and paired with baselines and feature masks.

    Args:
        inputs: Tensor or tuple of tensors, dimension 0 the batch in each.
        baselines: As Captum's: None (zeros), a number, a tensor that broadcasts to the input, or a tuple of these; or
            a background of tensors.
        feature_mask: As Captum's: None (every element a player), or integer tensors that broadcast to the inputs.
        names: Of the inputs, where they came as a dict.
    """

    def __init__(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        feature_mask: Inputs | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        self.inputs = _check_inputs(inputs)
        self.names: tuple[str, ...] | None = None  # of the players, where inputs had named columns
        self.question = Question()
        self.n_examples = len(self.inputs[0])
        self.background = _background_of(baselines, self.inputs) if isinstance(baselines, Background) else None
        if isinstance(baselines, Background):
            baselines = tuple(rows[:1] for rows in self.background or ())
            baselines = baselines if isinstance(inputs, tuple) else baselines[0]
        self.baselines = tuple(
            _standard_baseline(baseline, x, name)
            for baseline, x, name in zip(
                _pair("baselines", baselines, len(self.inputs)),
                self.inputs,
                _names("baselines", len(self.inputs)),
                strict=True,
            )
        )
        ids = _standard_masks(feature_mask, self.inputs)
        unique = torch.unique(torch.cat([mask.flatten().cpu() for mask in ids]))
        unique = unique[unique >= 0]
        if not len(unique):
            raise ValueError("feature_mask has no player: every id is negative, which keeps an element as it is.")
        self.layout = PlayerLayout(
            feature_ids=tuple(unique.tolist()),
            indices=tuple(
                _numbered(mask, unique.to(mask.device)) if feature_mask is not None else mask for mask in ids
            ),
            shapes=tuple(tuple(x.shape[1:]) for x in self.inputs),
            is_tuple=isinstance(inputs, tuple),
            names=names,
        )

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return self.layout.n_players

    @property
    def row_bytes(self) -> int:
        """Size in bytes of one example over all inputs."""
        return sum(x[0].numel() * x.element_size() for x in self.inputs)

    @property
    def n_rows(self) -> int:
        """Number of rows of the background; 0 where baselines are single."""
        return len(self.background[0]) if self.background is not None else 0

    def at_rows(self, rows: Tensor) -> Players:
        """The same with a row of the background for each coalition as baselines; int64, shape ``(k,)`` or ``(1,)``."""
        own = copy.copy(self)
        own.baselines = tuple(each[rows.to(each.device)][:, None] for each in self.background or ())
        own.background = None
        return own

    @property
    def keeps_nothing(self) -> bool:
        """Whether every element belongs to a player, so that nothing of an example is left in ∅."""
        return not any(bool((index == NO_PLAYER).any()) for index in self.layout.indices)

    def of_examples(self, rows: slice | Tensor) -> Players:
        """The players of some examples of the batch."""
        n = self.n_examples
        own = copy.copy(self)
        own.inputs = tuple(x[rows] for x in self.inputs)
        own.n_examples = len(own.inputs[0])
        own.baselines = tuple(
            b[rows] if b.ndim == x.ndim and len(b) == n else b for x, b in zip(self.inputs, self.baselines, strict=True)
        )
        indices = tuple(index[rows] if len(index) == n else index for index in self.layout.indices)
        own.layout = replace(self.layout, indices=indices)
        return own

    def masked(self, coalitions: Tensor) -> tuple[Tensor, ...]:
        """Inputs in which the players outside the coalition take the baseline.

        Args:
            coalitions (Tensor): bool, shape ``(k, n)``.

        Returns:
            - **masked** (*tuple of Tensors*): Each ``(k * N, …)``, perturbation-major, in the input's dtype.
        """
        return tuple(
            _mask(x, baseline, index, coalitions)
            for x, baseline, index in zip(self.inputs, self.baselines, self.layout.indices, strict=True)
        )


def _numbered(mask: Tensor, ids: Tensor) -> Tensor:
    """The number of each element's player; NO_PLAYER where the id is negative."""
    return torch.where(mask < 0, NO_PLAYER, torch.searchsorted(ids, mask.contiguous()))


def present_elements(coalitions: Tensor, index: Tensor) -> Tensor:
    """Whether each element keeps its value: bool, shape ``(k, *index.shape)``; those of nobody always do."""
    if bool((index == NO_PLAYER).any()):
        coalitions = torch.cat([coalitions, torch.ones_like(coalitions[:, :1])], dim=1)
    return coalitions[:, index.flatten()].view(len(coalitions), *index.shape)


def _mask(x: Tensor, baseline: Tensor, index: Tensor, coalitions: Tensor) -> Tensor:
    present = present_elements(coalitions.to(x.device), index.to(x.device))
    # where, not arithmetic: NaN and inf in inputs or baselines, and integer dtypes, must survive.
    return torch.where(present, x, baseline.to(x.device)).flatten(0, 1)


def _beside(values: Tensor, index: Tensor) -> Tensor:
    """Values on the device of an input; in float32 where that holds no float64."""
    if values.dtype == torch.float64 and not holds_float64(index.device):
        values = values.float()
    return values.to(index.device)


def _scatter(player_values: Tensor, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    leading = player_values.shape[:-1]
    if bool((index == NO_PLAYER).any()):
        player_values = torch.cat([player_values, torch.zeros_like(player_values[..., :1])], dim=-1)
        index = torch.where(index == NO_PLAYER, player_values.shape[-1] - 1, index)
    if len(index) == 1:
        spread = player_values[..., index.flatten()].view(*leading, *index.shape[1:])
    else:
        flat = index.reshape(len(index), -1)
        flat = flat.view(len(flat), *(1,) * (len(leading) - 1), flat.shape[1]).expand(*leading, flat.shape[1])
        spread = player_values.gather(-1, flat).view(*leading, *index.shape[1:])
    return spread.expand(*leading, *shape).contiguous()


def _names(argument: str, count: int) -> list[str]:
    return [argument] if count == 1 else [f"{argument}[{i}]" for i in range(count)]


def _check_inputs(inputs: Any) -> tuple[Tensor, ...]:
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    if not tensors or not all(isinstance(x, Tensor) for x in tensors):
        kinds = [type(x).__name__ for x in tensors]
        raise TypeError(
            "inputs must be a tensor, an array, a frame (a column is a player), or a non-empty tuple of tensors or "
            f"arrays; got {kinds}."
        )
    for x, name in zip(tensors, _names("inputs", len(tensors)), strict=True):
        if x.layout != torch.strided:
            raise TypeError(f"{name} is sparse ({x.layout}); pass its .to_dense().")
        if x.ndim == 0:
            raise ValueError(f"{name} must have a batch dimension; got a 0-d tensor. Use unsqueeze(0).")
    sizes = [len(x) for x in tensors]
    if len(set(sizes)) > 1 or sizes[0] == 0:
        raise ValueError(f"inputs must share one batch size ≥ 1 in dimension 0; got {sizes}.")
    return tensors


def _pair(argument: str, given: Any, count: int) -> Sequence[Any]:
    """One entry per input, from a single entry (for one input), None (for all) or a tuple."""
    if given is None:
        return [None] * count
    entries = given if isinstance(given, tuple) else (given,)
    if len(entries) != count:
        raise ValueError(
            f"{argument} must have one entry per input: got {len(entries)} for {count} input(s). "
            f"Pass a tuple of {count}."
        )
    return entries


def _standard_baseline(baseline: Any, x: Tensor, name: str) -> Tensor:
    """The baseline as a tensor of the input's dtype and device that broadcasts to the input."""
    if baseline is None:
        return torch.zeros((), dtype=x.dtype, device=x.device)
    if not isinstance(baseline, (Tensor, bool, int, float, np.generic, np.ndarray)):
        raise TypeError(
            f"{name} must be None, a number, a tensor or an array; got {type(baseline).__name__}. A mean is "
            "X.mean(0, keepdim=True), a blurred image torchvision.transforms.functional.gaussian_blur(x, 51)."
        )
    given = baseline if isinstance(baseline, Tensor) else _as_tensor(baseline, name)
    if given.layout != torch.strided:
        raise TypeError(f"{name} is sparse ({given.layout}); pass its .to_dense().")
    if isinstance(baseline, float):
        given = torch.tensor(baseline, dtype=torch.float64, device="cpu")  # as_tensor would round to float32
    try:
        fits = np.broadcast_shapes(given.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} of shape {tuple(given.shape)} does not broadcast to its input of shape {tuple(x.shape)}. "
            f"Pass a number, the input's shape, or a first dimension of 1.{_further_hint(given, x)}"
        )
    return _cast_exactly(given.detach(), x.dtype, name).to(x.device)  # not every device holds a float64 baseline


def _background_of(background: Background, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The rows for each input, in its dtype and on its device."""
    if len(background.parts) != len(inputs):
        raise ValueError(
            f"baselines: the background has rows of {len(background.parts)} inputs, and there are {len(inputs)}."
        )
    found = []
    for rows, x, name in zip(background.parts, inputs, _names("baselines", len(inputs)), strict=True):
        given = rows if isinstance(rows, Tensor) else _as_tensor(rows, name)
        if given.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"{name}: rows of the background have shape {tuple(given.shape[1:])}, those of its input "
                f"{tuple(x.shape[1:])}; they must be the same."
            )
        found.append(_standard_baseline(given[:, None], x[:1, None].expand(len(given), 1, *x.shape[1:]), name)[:, 0])
    return tuple(found)


def _further_hint(given: Tensor, x: Tensor) -> str:
    if given.shape[1:] == x.shape[1:] and len(given) > 1:
        return " To average over the rows of a background, pass games.Background(rows)."
    return _batch_hint(given, x)


def _batch_hint(given: Tensor, x: Tensor) -> str:
    """A word where the input seems to be a single example."""
    return " Do inputs lack their batch dimension? Pass inputs[None]." if given.ndim == x.ndim + 1 else ""


def _as_tensor(given: Any, name: str) -> Tensor:
    """A number or an array as a tensor of its own, on the CPU."""
    try:
        array = np.array(given)  # a copy: of native byte order and positive strides
        return (
            torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
            if array.ndim
            else torch.as_tensor(given, device="cpu")
        )
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name} must hold numbers that a tensor can hold; got {given!r:.80} ({error}).") from error


def _cast_exactly(given: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    if given.is_complex() and not dtype.is_complex:
        raise TypeError(f"{name} is complex, its input is {dtype}; pass a real baseline.")
    cast = given.to(dtype)
    if dtype.is_floating_point or dtype.is_complex:
        exact = not bool((cast.isfinite() != given.isfinite()).any())
    elif given.is_floating_point() and not bool(given.isfinite().all()):
        exact = False
    else:
        exact = bool((cast.to(given.dtype) == given).all())
    if not exact:
        raise TypeError(
            f"{name} holds values that an input of dtype {dtype} cannot hold (e.g. a fraction, NaN or an overflow for "
            f"an integer input); they would be changed silently. Pass a baseline of {dtype}, or convert the input."
        )
    return cast


def _standard_masks(feature_mask: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Int64 ids per input, as many dimensions as the input, first dimension 1 or N, broadcastable to it."""
    if feature_mask is None:
        return _one_player_per_element(inputs)
    masks = _pair("feature_mask", feature_mask, len(inputs))
    names = _names("feature_mask", len(inputs))
    return tuple(_standard_mask(mask, x, name) for mask, x, name in zip(masks, inputs, names, strict=True))


def _one_player_per_element(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    masks = []
    start = 0
    for x in inputs:
        count = x[0].numel()
        masks.append(torch.arange(start, start + count, device=x.device).view(1, *x.shape[1:]))
        start += count
    if start == 0:
        raise ValueError(f"inputs hold no elements to explain: shapes {[tuple(x.shape) for x in inputs]}.")
    return tuple(masks)


def _standard_mask(mask: Any, x: Tensor, name: str) -> Tensor:
    if isinstance(mask, np.ndarray):
        mask = _as_tensor(mask, name)
    if not isinstance(mask, Tensor):
        raise TypeError(
            f"{name} must be an integer tensor or array; got {type(mask).__name__}. "
            "Pass one mask per input, or feature_mask=None for one player per element."
        )
    if mask.layout != torch.strided:
        raise TypeError(f"{name} is sparse ({mask.layout}); pass its .to_dense().")
    if mask.is_complex() or (mask.is_floating_point() and not bool((mask == mask.round()).all())):
        raise TypeError(f"{name} must hold integer player ids; got {mask.dtype} with fractions or NaN.")
    if mask.is_floating_point() and not bool(mask.isfinite().all()):
        raise TypeError(f"{name} must hold finite player ids; got inf.")
    if mask.is_floating_point() and bool((mask.abs() > _EXACT_IDS).any()):
        raise TypeError(f"{name} holds ids above 2^53, which {mask.dtype} cannot tell apart; use an integer tensor.")
    if mask.dtype == torch.uint64 and bool((mask.view(torch.int64) < 0).any()):
        raise TypeError(f"{name} holds ids of 2^63 and more; use smaller ones.")
    try:
        fits = (mask.numel() > 0 or x.numel() == 0) and np.broadcast_shapes(mask.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} of shape {tuple(mask.shape)} does not broadcast to its input of shape {tuple(x.shape)}. "
            "Pass one mask for all examples (first dimension 1) or one per example (first dimension N)."
            f"{_batch_hint(mask, x)}"
        )
    ids = mask.detach().to(x.device, torch.int64)
    return ids.reshape((1,) * (x.ndim - ids.ndim) + ids.shape)
