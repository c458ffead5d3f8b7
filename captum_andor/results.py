"""What the two results, explanation and logical model, have in common: leading shape, attributions, printing, files."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice, pairwise, product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor.patterns import Interaction
from captum_andor.players import Inputs, PlayerLayout

__all__ = ["Result", "flat_games", "game_values"]

_LARGEST = 1e305
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}
_SHOWN = 3  # outputs that a print shows
ResultT = TypeVar("ResultT", bound="Result")


class Result(ABC):
    """A result for outputs of some leading shape ``(…)``, over players with ids.

    Attributes:
        feature_ids: Id of each player, as in the feature mask, sorted.
        layout: Where the players sit in the inputs; None for results made from values.
        attribution_dtype: Dtype of :meth:`attributions`.
    """

    feature_ids: tuple[int, ...]
    layout: PlayerLayout | None
    attribution_dtype: torch.dtype

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Leading shape: that of the explained outputs."""

    @abstractmethod
    def shapley_values(self) -> Tensor:
        """One number per player, float64, shape ``(…, n)``."""

    @abstractmethod
    def top(self, k: int = 10) -> list[Interaction]:
        """The k strongest patterns of each output, strongest first."""

    @abstractmethod
    def _select(self: ResultT, index: tuple[Any, ...]) -> ResultT:
        """The result of some outputs, by integers and slices."""

    @abstractmethod
    def _headline(self) -> str:
        """First line of the print, less the class and the number of outputs."""

    @abstractmethod
    def _table(self) -> list[str]:
        """Lines of the print for a single output."""

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.feature_ids)

    def attributions(self) -> Inputs:
        """Shapley values scattered over the inputs, as ``AndOrInteractions.attribute`` returns them.

        Returns:
            - **attributions** (*Tensor or tuple of Tensors*): Each ``(*outputs, *input.shape[1:])``; every element
              carries its player's value. A tuple if the inputs were one.

        Raises:
            ValueError: If the result was made from values, without inputs.
        """
        if self.layout is None:
            raise ValueError(
                "attributions() needs inputs, but this result was made from game values. "
                "Use shapley_values(), one number per player."
            )
        return self.layout.scatter(self.shapley_values().to(self.attribution_dtype))

    def plot_image(self, image: Any, **options: Any) -> Any:
        """Draw the strongest patterns on the image; see :func:`captum_andor.visualization.plot_image_interactions`."""
        from captum_andor.visualization import plot_image_interactions

        return plot_image_interactions(self, image, **options)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"this {type(self).__name__} is of a single game and has no length.")
        return self.shape[0]

    def __getitem__(self: ResultT, index: Any) -> ResultT:
        """The result of some outputs: integers and slices over the leading shape."""
        index = index if isinstance(index, tuple) else (index,)
        allowed = all(isinstance(i, (int, slice, np.integer)) and not isinstance(i, bool) for i in index)
        if len(index) > len(self.shape) or not allowed:
            raise IndexError(f"index {index} must be integers or slices over the leading shape {self.shape}.")
        return self._select(index) if index else self

    def __iter__(self: ResultT) -> Iterator[ResultT]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        outputs = "×".join(map(str, self.shape)) or "one"
        lines = [f"{type(self).__name__} of {outputs} output(s), {self._headline()}"]
        count = math.prod(self.shape)
        for index in islice(product(*map(range, self.shape)), _SHOWN):
            name = f"{list(index)} " if count > 1 else ""
            first, *rest = self[index]._table()
            lines += [name + first, *rest]
        if count > _SHOWN:
            lines.append(f"… and {count - _SHOWN} more; index the result to see them.")
        return "\n".join(lines)

    def _check_coalitions(self, coalitions: Tensor) -> None:
        if not isinstance(coalitions, Tensor) or coalitions.dtype != torch.bool:
            got = coalitions.dtype if isinstance(coalitions, Tensor) else type(coalitions).__name__
            raise TypeError(f"coalitions must be a bool tensor, True where a player is kept; got {got}.")
        leading = tuple(coalitions.shape[:-2])
        if coalitions.ndim < 2 or coalitions.shape[-1] != self.n_players or leading not in ((), self.shape):
            raise ValueError(
                f"coalitions must have shape (m, {self.n_players}) or (*{self.shape}, m, {self.n_players}); "
                f"got {tuple(coalitions.shape)}."
            )

    def _select_layout(self, index: tuple[Any, ...]) -> PlayerLayout | None:
        """The layout of some examples; per-example masks follow the index, shared ones stay."""
        if self.layout is None:
            return None
        first = index[0]
        rows = first if isinstance(first, slice) else slice(first, first + 1 or None)
        indices = tuple(player if len(player) == 1 else player[rows] for player in self.layout.indices)
        return PlayerLayout(self.feature_ids, indices, self.layout.shapes, self.layout.is_tuple)

    def _stored_players(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Header entries and arrays from which :meth:`_restored_players` makes the players again."""
        layout = self.layout
        header = {
            "feature_ids": list(self.feature_ids),
            "attribution_dtype": str(self.attribution_dtype).removeprefix("torch."),
            "input_shapes": None if layout is None else [list(shape) for shape in layout.shapes],
            "is_tuple": layout is not None and layout.is_tuple,
        }
        return header, {f"players_{i}": x.cpu().numpy() for i, x in enumerate(layout.indices if layout else ())}

    @staticmethod
    def _restored_players(
        header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], shape: tuple[int, ...]
    ) -> dict[str, Any]:
        """Keyword arguments for the fields that every result has; ``shape`` is the leading one.

        Raises:
            ValueError: If the players do not fit together.
        """
        feature_ids = stored_ids(header)
        layout = None
        if header["input_shapes"] is not None:
            shapes = _stored_shapes(header["input_shapes"])
            indices = tuple(torch.from_numpy(arrays[f"players_{i}"]) for i in range(len(shapes)))
            for i, (index, wanted) in enumerate(zip(indices, shapes, strict=True)):
                _check_player_map(f"players_{i}", index, wanted, len(feature_ids), shape)
            if header["is_tuple"] not in (True, False) or (len(shapes) != 1 and not header["is_tuple"]):
                raise ValueError("is_tuple does not fit the inputs")
            layout = PlayerLayout(feature_ids, indices, shapes, header["is_tuple"])
        if header["attribution_dtype"] not in _DTYPES:
            raise ValueError(f"attribution_dtype is {header['attribution_dtype']!r}")
        dtype = _DTYPES[header["attribution_dtype"]]
        return {"feature_ids": feature_ids, "layout": layout, "attribution_dtype": dtype}


def stored_ids(header: dict[str, Any]) -> tuple[int, ...]:
    """Feature ids of a stored result: whole numbers in rising order.

    Raises:
        ValueError: If they are not.
    """
    ids = header["feature_ids"]
    if not isinstance(ids, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
        raise ValueError("feature_ids are no whole numbers")
    if any(a >= b for a, b in pairwise(ids)):
        raise ValueError("feature_ids are not in rising order")
    return tuple(ids)


def _stored_shapes(given: Any) -> tuple[tuple[int, ...], ...]:
    sizes = [size for shape in given for size in shape]
    if not given or not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise ValueError("input_shapes are no shapes")
    return tuple(tuple(shape) for shape in given)


def _check_player_map(name: str, index: Tensor, wanted: tuple[int, ...], n: int, shape: tuple[int, ...]) -> None:
    """Players of one input's elements, for all examples or each."""
    if index.dtype != torch.int64 or index.ndim != 1 + len(wanted) or len(index) not in (1, *shape[:1]):
        raise ValueError(f"{name} has dtype {index.dtype} and shape {tuple(index.shape)}")
    if any(have not in (1, size) for have, size in zip(index.shape[1:], wanted, strict=True)):
        raise ValueError(f"{name} of shape {tuple(index.shape)} does not fit an input of shape {wanted}")
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < n:
        raise ValueError(f"{name} names players that there are not")


def flat_games(values: Tensor) -> Tensor:
    """Values ``(…, m)`` with one leading axis: ``(B, m)``."""
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1])


def game_values(v: Any) -> Tensor:
    """Values of games as a float64 copy.

    Raises:
        TypeError: If v is not an array of real numbers.
        ValueError: If a value is not finite.
    """
    try:
        if not isinstance(v, Tensor):
            array = np.array(v)  # a copy: of native byte order and positive strides
            v = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
        values = torch.as_tensor(v, device=v.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"v must be a tensor, array or list of real numbers; got {type(v).__name__} ({error})."
        ) from error
    if values.is_complex():
        raise TypeError(f"v must be real; got {values.dtype}.")
    if values.layout != torch.strided:
        raise TypeError(f"v is sparse ({values.layout}); pass its .to_dense().")
    values = values.detach().to(torch.float64, copy=True)
    if not bool(values.isfinite().all()):
        where = (~values.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"v must be finite; got {float(values[tuple(where)])} at position {tuple(where)}.")
    if bool((values.abs() > _LARGEST).any()):
        raise ValueError(f"v must not exceed {_LARGEST:.0e} in size, as sums of it would overflow; scale it down.")
    return values
