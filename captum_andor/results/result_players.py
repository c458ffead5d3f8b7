"""Players of a result: their ids and names, where they sit in the inputs, and how a file holds them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor.games import NOBODY, Inputs, PlayerLayout, Question
from captum_andor.results.interactions import PlayerKey
from captum_andor.results.leading_axes import Picks, take
from captum_andor.results.player_names import Names, standard_names

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


@dataclass(frozen=True)
class ResultPlayers:
    """Ids, names and input positions of the players of a result.

    Attributes:
        feature_ids: Id of each player, as in the feature mask, sorted.
        names: Name of each player in the same order; None where none were given.
        layout: Where the players sit in the inputs; None for results made from values.
        attribution_dtype: Dtype of attributions.
        question: What the call asked.
    """

    feature_ids: tuple[int, ...]
    names: tuple[str, ...] | None = None
    layout: PlayerLayout | None = None
    attribution_dtype: torch.dtype = torch.float64
    question: Question = field(default_factory=Question)

    @classmethod
    def numbered(cls, n: int, names: Names = None) -> ResultPlayers:
        """Players 0 to n − 1 of a game that was given by its values."""
        ids = tuple(range(n))
        return cls(ids, standard_names(names, ids))

    @classmethod
    def of_inputs(
        cls, layout: PlayerLayout, output_dtype: torch.dtype, names: Names = None, question: Question | None = None
    ) -> ResultPlayers:
        """Players of a model's inputs; attributions get the dtype of its output, at least float32."""
        names = standard_names(names, layout.feature_ids)
        return cls(
            layout.feature_ids, names, layout, torch.promote_types(output_dtype, torch.float32), question or Question()
        )

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.feature_ids)

    @property
    def key(self) -> PlayerKey:
        """Ids and names of the players, for tables and prints."""
        return PlayerKey(self.feature_ids, self.names)

    def scatter(self, per_player: Tensor) -> Inputs:
        """One number per player, shape ``(…, n)``, spread over the elements of the inputs that each player is."""
        if self.layout is None:
            raise ValueError(
                "attributions() needs inputs, but this result was made from game values. "
                "Use shapley_values(), one number per player."
            )
        return self.layout.scatter(per_player.to(self.attribution_dtype))

    def pick(self, picks: Picks) -> ResultPlayers:
        """The players of some examples; masks of each example follow the index, shared ones stay."""
        if self.layout is None or not picks:
            return self
        first = picks[0]
        rows = first if isinstance(first, slice) else slice(first, first + 1 or None)
        indices = tuple(player if len(player) == 1 else take(player, (rows,)) for player in self.layout.indices)
        layout = replace(self.layout, indices=indices)
        return replace(self, layout=layout, question=self.question.of_examples(rows))

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Entries of a file's header and arrays, from which :meth:`restored` makes the players again."""
        layout = self.layout
        header = {
            "feature_ids": list(self.feature_ids),
            "player_names": None if self.names is None else list(self.names),
            "attribution_dtype": str(self.attribution_dtype).removeprefix("torch."),
            "input_shapes": None if layout is None else [list(shape) for shape in layout.shapes],
            "is_tuple": layout is not None and layout.is_tuple,
            "note": self.question.note,
            "targets": list(self.question.targets),
            "score": self.question.score,
            "input_names": None if layout is None or layout.names is None else list(layout.names),
        }
        return header, {f"players_{i}": x.cpu().numpy() for i, x in enumerate(layout.indices if layout else ())}

    @classmethod
    def restored(
        cls, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], shape: tuple[int, ...]
    ) -> ResultPlayers:
        """The players that a file holds; ``shape`` is the leading one of its result."""
        feature_ids = stored_ids(header)
        layout = None
        if header["input_shapes"] is not None:
            shapes = _stored_shapes(header["input_shapes"])
            indices = tuple(torch.from_numpy(arrays[f"players_{i}"]) for i in range(len(shapes)))
            for i, (index, wanted) in enumerate(zip(indices, shapes, strict=True)):
                _check_player_map(f"players_{i}", index, wanted, len(feature_ids), shape)
            if header["is_tuple"] not in (True, False) or (len(shapes) != 1 and not header["is_tuple"]):
                raise ValueError("is_tuple does not fit the inputs")
            given = header.get("input_names")
            if given is not None and (len(given) != len(shapes) or not all(isinstance(name, str) for name in given)):
                raise ValueError("input_names do not fit the inputs")
            layout = PlayerLayout(
                feature_ids, indices, shapes, header["is_tuple"], None if given is None else tuple(given)
            )
        if header["attribution_dtype"] not in _DTYPES:
            raise ValueError(f"attribution_dtype is {header['attribution_dtype']!r}")
        names = standard_names(header.get("player_names"), feature_ids)
        return cls(feature_ids, names, layout, _DTYPES[header["attribution_dtype"]], _stored_question(header))


def _stored_question(header: dict[str, Any]) -> Question:
    """What the call asked; files of earlier versions do not say it."""
    targets = header.get("targets", [])
    if not isinstance(targets, list) or not all(map(is_int, targets)):
        raise ValueError(f"its targets are {targets!r}")
    return Question(str(header.get("note", "")), tuple(targets), str(header.get("score", "")))


def stored_ids(header: dict[str, Any]) -> tuple[int, ...]:
    """Feature ids of a stored result: whole numbers in rising order."""
    ids = header["feature_ids"]
    if not isinstance(ids, list) or not all(map(is_int, ids)):
        raise ValueError("feature_ids are no whole numbers")
    if any(a >= b for a, b in pairwise(ids)):
        raise ValueError("feature_ids are not in rising order")
    return tuple(ids)


def _stored_shapes(given: Any) -> tuple[tuple[int, ...], ...]:
    sizes = [size for shape in given for size in shape]
    if not given or not all(is_int(size) and size > 0 for size in sizes):
        raise ValueError("input_shapes are no shapes")
    return tuple(tuple(shape) for shape in given)


def _check_player_map(name: str, index: Tensor, wanted: tuple[int, ...], n: int, shape: tuple[int, ...]) -> None:
    """Players of one input's elements, for all examples or each."""
    if index.dtype != torch.int64 or index.ndim != 1 + len(wanted) or len(index) not in (1, *shape[:1]):
        raise ValueError(f"{name} has dtype {index.dtype} and shape {tuple(index.shape)}")
    if any(have not in (1, size) for have, size in zip(index.shape[1:], wanted, strict=True)):
        raise ValueError(f"{name} of shape {tuple(index.shape)} does not fit an input of shape {wanted}")
    if index.numel() and not NOBODY <= int(index.min()) <= int(index.max()) < n:
        raise ValueError(f"{name} names players that there are not")
