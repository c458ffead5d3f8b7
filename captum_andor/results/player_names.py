"""Names of players: checked, in the order of their feature ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Names: TypeAlias = Sequence[str] | Mapping[int, str] | None


def standard_names(given: Any, feature_ids: tuple[int, ...]) -> tuple[str, ...] | None:
    """Names of players in the order of their ids, from a sequence in this order or a mapping of ids."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        unknown, without = set(given) - set(feature_ids), [i for i in feature_ids if i not in given]
        if unknown or without:
            raise ValueError(
                f"player_names must name every feature id: it lacks {without} and has {sorted(unknown, key=str)}, "
                "which are none."
            )
        names = [given[i] for i in feature_ids]
    elif (isinstance(given, Sequence) or hasattr(given, "tolist")) and not isinstance(given, str):
        names = list(given.tolist() if hasattr(given, "tolist") else given)  # an array, an Index, a Series
        if len(names) != len(feature_ids):
            raise ValueError(
                f"player_names has {len(names)} names for {len(feature_ids)} players (feature ids {feature_ids})."
            )
    else:
        raise TypeError(f"player_names must be a sequence or a mapping of ids to names; got {type(given).__name__}.")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"player_names must hold strings; got {names!r}.")
    return tuple(names)
