"""The players of a call: inputs of any form, a mask that is chosen where it is asked for, and how many are too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from captum_andor.games import Baselines, Players, Question, automatic_mask, column_names, read_inputs

_MOST_ELEMENTS = 4096  # that are players of their own if nobody says otherwise: above, no run ends soon
_IMAGE = 4  # dimensions of a batch of pictures
_WRITTEN_OUT = 64  # players whose 2^n is written as a number, too


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
    players.question = Question(note)
    if given.columns is not None:
        players.names = column_names(given.columns, given.inputs, players.layout.indices[0], players.n_players)
    return players


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
