"""The players of a call: frames become tensors, columns names, a mask is proposed, too many players are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_frame, is_series
from captum_andor._utils.datasets import cast_columns, frame_numbers, shown_value
from captum_andor._utils.running import device_of, dtype_of
from captum_andor.games.background import Background
from captum_andor.games.frame_model import FrameModel
from captum_andor.games.masks import image_grid
from captum_andor.games.players import Baselines, Players, Question
from captum_andor.games.text_model import TextModel

_GRID = 4  # rows and columns of patches
_ONE_BY_ONE, _STRETCHES = 20, 16  # tokens or steps that are a player each; runs of them where there are more
_MOST_ELEMENTS = 4096  # that are players of their own if nobody says otherwise: above, no run ends soon
_IMAGE = 4  # dimensions of a batch of pictures
_CODE_MARKS = ("_", "=", ".", ":", "-")  # between a variable and its value in the name of a one-hot column
_LISTED_BASELINES = 3  # of several inputs, that are named one by one
_WRITTEN_OUT = 64  # players whose 2^n is written as a number, too


@dataclass(frozen=True)
class GivenInputs:
    """Inputs and baselines as tensors.

    Attributes:
        inputs: A tensor or a tuple, or what was given where that is checked elsewhere.
        baselines: Likewise.
        columns: Names of the columns of a frame, for each element of a row; None otherwise.
        shown: These beside the values of a single row, where the numbers do not show them.
    """

    inputs: Any
    baselines: Any
    columns: tuple[str, ...] | None = None
    shown: tuple[str, ...] | None = None


def column_names(
    columns: Sequence[str], rows: Tensor, index: Tensor, n_players: int, values: Sequence[str] | None = None
) -> tuple[str, ...] | None:
    """Names of players that are columns of a frame and, of a single row, their values.

    Args:
        columns: Of the frame.
        rows: Its numbers, shape ``(N, columns)``.
        index: Number of each column's player, broadcastable to them.
        n_players: Number of players.
        values: Columns beside their values, where these are not the numbers. Default: None
    """
    if len(index) > 1:
        return None
    shown = list(columns)
    if len(rows) == 1 and values is not None:
        shown = list(values)
    elif len(rows) == 1:
        shown = [shown_value(name, value) for name, value in zip(shown, rows[0].tolist(), strict=True)]
    of_column = index[0].expand(len(shown)).tolist()
    names = []
    for i in range(n_players):
        mine = [place for place, player in enumerate(of_column) if player == i]
        code = [columns[place] for place in mine], [rows[0, place].item() for place in mine]
        one_hot = _one_hot(*code) if len(rows) == 1 and values is None else None
        names.append(one_hot or " & ".join(shown[place] for place in mine))
    return tuple(names)


def _one_hot(columns: Sequence[str], values: Sequence[float]) -> str | None:
    """``island = Biscoe`` of the columns ``island_Biscoe``, ``island_Dream``, … of which one is 1; else None."""
    if len(columns) < 2 or sorted(values) != [0.0] * (len(values) - 1) + [1.0]:
        return None
    starts = [columns[0][: i + 1] for i, letter in enumerate(columns[0]) if i and letter in _CODE_MARKS]
    shared = [start for start in starts if all(c.startswith(start) and len(c) > len(start) for c in columns)]
    if not shared:
        return None
    own = columns[list(values).index(1.0)]
    return f"{shared[-1][:-1].rstrip()} = {own[len(shared[-1]) :].strip()}"


def read_inputs(inputs: Any, baselines: Any, forward_func: Any) -> GivenInputs:
    """Frames and arrays as tensors beside the parameters of the model, in their dtype; everything else as it is.

    Where no parameter says otherwise, doubles stay doubles.
    """
    if isinstance(forward_func, TextModel):
        return _text(inputs, baselines, forward_func)
    if isinstance(inputs, str):
        raise TypeError(
            f"inputs must be a tensor, an array, a frame or a tuple of these; got the text {inputs!r:.40}. For a "
            "function of texts, whose words are players, take AndOrInteractions(TextModel(function))."
        )
    if isinstance(baselines, Background):
        return _with_background(inputs, baselines, forward_func)
    if isinstance(forward_func, FrameModel):
        return _frames(inputs, baselines, forward_func)
    dtype, device = dtype_of(forward_func), device_of(forward_func)
    if is_frame(inputs):
        columns = tuple(map(str, inputs.columns))
        numbers, row = frame_numbers(inputs, "inputs"), baseline_row(baselines, list(inputs.columns))
        beside = row if isinstance(row, Tensor) else torch.zeros_like(numbers[:1])
        cast = numbers if dtype is None else cast_columns(numbers, dtype, columns, "inputs", beside)
        return GivenInputs(cast.to(device), row, columns)
    if is_series(inputs):
        raise TypeError("inputs is a Series; pass a frame of one row, e.g. frame.iloc[[0]].")
    baselines = _numbers(baselines)
    if isinstance(inputs, np.ndarray):
        return GivenInputs(_of_array(inputs, "inputs", dtype).to(device), baselines)
    if isinstance(inputs, tuple) and any(isinstance(x, np.ndarray) for x in inputs):
        names = [f"inputs[{i}]" for i in range(len(inputs))]
        parts = (
            _of_array(x, name, dtype).to(device) if isinstance(x, np.ndarray) else x
            for x, name in zip(inputs, names, strict=True)
        )
        return GivenInputs(tuple(parts), baselines)
    return GivenInputs(inputs, baselines)


def _with_background(inputs: Any, background: Background, forward_func: Any) -> GivenInputs:
    """Inputs as they are without one, and the rows of a background as tensors."""
    if is_frame(inputs):  # the frame of all rows is checked as a baseline is
        first = next((part for part in background.parts if is_frame(part)), None)
        if first is None or len(background.parts) > 1:
            raise TypeError("baselines: of a frame the background is a frame, too, Background(frame).")
        given = read_inputs(inputs, first, forward_func)
        return replace(given, baselines=Background(given.baselines))
    given = read_inputs(inputs, None, forward_func)
    encode = forward_func.encode if isinstance(forward_func, FrameModel) else frame_numbers
    parts = tuple(encode(part, "baselines") if is_frame(part) else part for part in background.parts)
    return replace(given, baselines=Background(parts if isinstance(background.rows, tuple) else parts[0]))


def _frames(inputs: Any, baselines: Any, model: FrameModel) -> GivenInputs:
    """Frames of any dtypes as the tensors that a model of frames takes."""
    if not is_frame(inputs):  # what was encoded before, as Captum's own methods take it
        return GivenInputs(inputs, model.encode(baselines, "baselines") if is_frame(baselines) else baselines)
    rows = model.encode(inputs, "inputs")
    if not (is_frame(baselines) or is_series(baselines) or isinstance(baselines, Tensor)):
        given = "none was given" if baselines is None else f"got {baselines!r:.40}"
        raise TypeError(
            f"baselines must be a row of a frame, such as frame.iloc[[0]], for a FrameModel: 0 is no value of a column "
            f"of strings; {given}."
        )
    row = baselines if isinstance(baselines, Tensor) else model.encode(baselines, "baselines")
    shown = tuple(model.shown(rows[0])) if len(rows) == 1 else None
    return GivenInputs(rows, row, tuple(map(str, inputs.columns)), shown)


def _text(inputs: Any, baselines: Any, model: TextModel) -> GivenInputs:
    """A text as the tensor that a model of texts takes; absent words are left out."""
    row = model.absent if baselines is None else baselines
    if isinstance(row, str):
        raise TypeError(f"baselines: absent words are left out of a text, nothing takes their place; got {row!r:.40}.")
    if isinstance(inputs, Tensor):  # what was encoded before, as Captum's own methods take it
        return GivenInputs(inputs, row)
    rows = model.encode(inputs)
    words = tuple(model.shown(rows[0]))
    return GivenInputs(rows, row, words, words)


def baseline_row(baselines: Any, columns: Sequence[Any]) -> Any:
    """Frames and Series as tensors, in the order of the columns of a frame; everything else as it is."""
    if is_frame(baselines):
        _check_columns(baselines.columns, columns)
        return frame_numbers(baselines[list(columns)], "baselines")
    if is_series(baselines):
        _check_columns(baselines.index, columns)
        return torch.tensor([[float(baselines[column]) for column in columns]], dtype=torch.float64, device="cpu")
    return baselines


def _numbers(baselines: Any) -> Any:
    """Frames and Series beside tensors, whose columns have no names, in their own order."""
    if isinstance(baselines, tuple):
        return tuple(map(_numbers, baselines))
    if is_series(baselines):
        baselines = baselines.to_frame().T
    return frame_numbers(baselines, "baselines") if is_frame(baselines) else baselines


def _check_columns(given: Any, wanted: Any) -> None:
    lacking, further = set(map(str, wanted)) - set(map(str, given)), set(map(str, given)) - set(map(str, wanted))
    if lacking or further:
        raise ValueError(
            f"baselines must have the columns of inputs; they lack {sorted(lacking)[:6]}, others are "
            f"{sorted(further)[:6]}."
        )


def _of_array(array: np.ndarray[Any, Any], name: str, dtype: torch.dtype | None) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} must hold numbers; got an array of {array.dtype}.")
    tensor = torch.from_numpy(np.array(array.astype(array.dtype.newbyteorder("="), copy=True)))
    if dtype is None or not tensor.is_floating_point() or tensor.ndim != 2:
        return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)
    columns = [str(i) for i in range(tensor.shape[1])]
    return cast_columns(tensor, dtype, columns, name, torch.zeros_like(tensor[:1]))


def automatic_mask(inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], str]:
    """A feature mask of few players for common inputs, and a sentence that says which.

    Images get a grid of patches, columns of a table are a player each, tokens and steps are one each or, where they are
    many, runs of neighbours.
    """
    masks, sentences, start = [], [], 0
    for x in inputs:
        mask, sentence = _mask_of(x)
        masks.append(mask.to(x.device) + start)
        start = int(masks[-1].max()) + 1
        sentences.append(sentence)
    return tuple(masks), "; ".join(sentences)


def _mask_of(x: Tensor) -> tuple[Tensor, str]:
    shape = tuple(x.shape[1:])
    if len(shape) == 3 and min(shape[1:]) >= _GRID:
        mask = image_grid(shape[1], shape[2], _GRID, _GRID)
        return mask, f"a {_GRID} x {_GRID} grid of patches over {shape[1]} x {shape[2]} pixels, numbered row by row"
    if len(shape) == 1 and x.is_floating_point():
        return torch.arange(shape[0], device="cpu")[None], f"{shape[0]} columns"
    if len(shape) in (1, 2):
        steps = torch.arange(shape[0], device="cpu")
        text = f"{shape[0]} tokens or steps"
        if shape[0] > _ONE_BY_ONE:
            steps, text = steps * _STRETCHES // shape[0], f"{_STRETCHES} runs of neighbours among {text}"
        return steps.view(1, -1, *(1,) * (len(shape) - 1)), text
    raise ValueError(
        f'feature_mask="auto" knows images (N, C, H, W), tables (N, columns), tokens (N, T) and series (N, T, D); an '
        f"input has shape {tuple(x.shape)}. Pass a mask of integer ids that broadcasts to it."
    )


def players_of(
    inputs: Any,
    baselines: Baselines,
    feature_mask: Tensor | tuple[Tensor, ...] | str | None,
    forward_func: Callable[..., Any],
    names: tuple[str, ...] | None,
) -> Players:
    """The players of inputs that may be frames or arrays, under a mask that may be ``"auto"``.

    Frames and arrays get the dtype of the model; ``names`` are those of inputs that came as a dict.
    """
    given = read_inputs(inputs, baselines, forward_func)
    mask, note = _automatic(feature_mask, given.inputs) if isinstance(feature_mask, str) else (feature_mask, "")
    players = Players(given.inputs, given.baselines, mask, names)
    players.question = Question(note, absent=absent_in_words(baselines))
    if given.columns is not None:
        index = players.layout.indices[0]
        players.names = column_names(given.columns, given.inputs, index, players.n_players, given.shown)
    return players


def said_of_absent(forward_func: Any, players: Players) -> str:
    """What absent means in this call: by the model's own words, if it removes players or the baselines mark them."""
    own, mark = getattr(forward_func, "absent_in_words", ""), getattr(forward_func, "absent", None)
    is_marked = mark is None or all(bool((b.isnan() | (b == mark)).all()) for b in players.baselines)
    return own if own and is_marked else players.question.absent


def absent_in_words(baselines: Any) -> str:
    """What players outside a coalition are replaced by, for prints and titles."""
    if baselines is None:
        return "0, Captum's default"
    if isinstance(baselines, tuple):
        parts = list(dict.fromkeys(map(absent_in_words, baselines)))
        return "; ".join(parts) if len(parts) <= _LISTED_BASELINES else "the baselines given"
    if isinstance(baselines, Background):
        return f"drawn from the background, the mean over its {len(baselines)} rows"
    if is_frame(baselines) or is_series(baselines):
        return "the row given as baseline"
    values: Any = baselines if isinstance(baselines, Tensor) else np.asarray(baselines)
    first = values.reshape(-1)[:1]
    if len(first) and bool((values == first).all()):
        return f"{first.item():g}"
    return "the baseline given" if values.ndim < 2 or len(values) == 1 else "a baseline given for each example"


def check_number(players: Players, most: int | None, without_mask: bool) -> None:
    """Raise if there are too many players."""
    n = players.n_players
    if most is not None and n > most:
        passes = f"2^{n} = {1 << n:,}" if n <= _WRITTEN_OUT else f"2^{n}"
        given = "leaving out feature_mask gives" if without_mask else "feature_mask gives"
        proposal = _proposal(players) if without_mask else "a coarser feature_mask (8 to 16 players)"
        raise ValueError(
            f"{given} {n} players: exact interactions need {passes} forward passes per example, and max_players is "
            f'{most}. Pass {proposal}, pass a budget: attribute(..., budget="auto"), logical_model(..., budget=1024), '
            f"or allow it with AndOrInteractions(..., max_players={n})."
        )
    if without_mask and n > _MOST_ELEMENTS:
        raise ValueError(
            f"inputs have {n:,} elements, each a player without feature_mask: too many to tell apart. Pass "
            f"{_proposal(players)}."
        )


def _automatic(feature_mask: str, inputs: Any) -> tuple[tuple[Tensor, ...] | Tensor | None, str]:
    """The mask that ``"auto"`` stands for, and what it is."""
    if feature_mask != "auto":
        raise ValueError(f'feature_mask must be integer ids, None or "auto"; got {feature_mask!r}.')
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    if not tensors or not all(isinstance(x, Tensor) and x.ndim for x in tensors):
        return None, ""  # what is wrong with inputs is told where they are checked
    masks, sentence = automatic_mask(tensors)
    return (masks if isinstance(inputs, tuple) else masks[0]), f'{sentence} (feature_mask="auto")'


def _proposal(players: Players) -> str:
    """What to pass instead of too many players that nobody has chosen."""
    for x in players.inputs:
        if x.ndim == _IMAGE:
            height, width = x.shape[2:]
            return (
                'feature_mask="auto", a 4 x 4 grid of patches, or one of games.masks, e.g. '
                f"image_grid({height}, {width}, 3, 4) or superpixels(image, 12)"
            )
    if any(not x.is_floating_point() for x in players.inputs):
        return (
            'feature_mask="auto", runs of neighbouring tokens, or games.masks.words(encoding.word_ids()), or ids that '
            "are equal where tokens belong together"
        )
    return 'feature_mask="auto", or integer ids that are equal where elements belong together (8 to 16 players)'
