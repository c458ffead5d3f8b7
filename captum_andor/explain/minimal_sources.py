"""The smallest sets of players that keep a prediction, by a logical model, and each asked of the model itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captum_andor.results import Interaction

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 1 << 14  # coalitions predicted together
_MOST_TRIED = 1 << 20  # sets of one size
_ROUNDING = 1e-9  # of sums of strengths, relative


def minimal_sources(model: Any, missing_share: float, max_sets: int) -> pd.DataFrame:
    """Sets of players that suffice and hold no smaller one that does, the smallest first; see ``LogicalModel``."""
    import pandas as pd

    n = model.n_players
    ends = torch.tensor([[False] * n, [True] * n])
    nothing, everything = model.predict(ends).flatten().tolist()
    known = None if model.evaluate is None else _asked(model, ends)
    effect = everything - nothing
    used = _used(model.patterns, model.feature_ids)
    # Where patterns cancel, v(N) - v(∅) is rounding of their weights.
    scale = max([abs(nothing), abs(everything), *(abs(pattern.value) for pattern in model.patterns)])
    sets: list[tuple[int, ...]] = []
    predicted: list[float] = []
    for size in range(len(used) + 1):
        for some in _batches(combinations(used, size)):
            fresh = [members for members in some if not any(set(smaller) <= set(members) for smaller in sets)]
            if not fresh:
                continue
            rows = torch.zeros(len(fresh), n, dtype=torch.bool)
            for row, members in zip(rows, fresh, strict=True):
                row[list(members)] = True
            values = model.predict(rows).flatten()
            suffices = _keeps(values, nothing, everything, missing_share, scale)
            for i in suffices.nonzero().flatten().tolist():
                sets.append(fresh[i])
                predicted.append(float(values[i]))
        if len(sets) >= max_sets:
            break
    order = sorted(range(len(sets)), key=lambda i: (len(sets[i]), -predicted[i] if effect >= 0 else predicted[i]))[
        :max_sets
    ]
    rows = torch.zeros(len(order), n, dtype=torch.bool)
    for row, i in zip(rows, order, strict=True):
        row[list(sets[i])] = True
    table: dict[str, Any] = {
        "players": [tuple(model.feature_ids[j] for j in sets[i]) for i in order],
        "names": [tuple((model.player_names or model.feature_ids)[j] for j in sets[i]) for i in order],
        "size": [len(sets[i]) for i in order],
        "predicted": [predicted[i] for i in order],
    }
    if known is not None:
        empty, whole = known.tolist()
        found = _asked(model, rows)
        table["v"] = found.tolist()
        table["kept"] = _keeps(found, empty, whole, missing_share, max(abs(empty), abs(whole))).tolist()
    return pd.DataFrame(table)


def _keeps(values: Tensor, nothing: float, everything: float, missing_share: float, scale: float) -> Tensor:
    """Where at most a share of what all players do together is missing, up to rounding of numbers of this scale."""
    effect = everything - nothing
    missing = (everything - values) * (1.0 if effect >= 0 else -1.0)
    return missing <= missing_share * abs(effect) + _ROUNDING * scale


def _asked(model: Any, rows: Tensor) -> Tensor:
    """Values v of the model's one output on coalitions."""
    assert model.evaluate is not None
    if not len(rows):
        return torch.zeros(0, dtype=torch.float64)
    last = model.axes.positions[-1]
    place = last.start if isinstance(last, range) else last
    found: Tensor = model.evaluate(rows)[place]
    return found


def _used(patterns: Sequence[Interaction], feature_ids: tuple[int, ...]) -> list[int]:
    """Positions of the players of any pattern: no other moves what a model predicts."""
    players = {player for pattern in patterns for player in pattern.players}
    return [i for i, player in enumerate(feature_ids) if player in players]


def _batches(sets: Iterator[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    limited = islice(sets, _MOST_TRIED)
    while some := list(islice(limited, _AT_ONCE)):
        yield some
