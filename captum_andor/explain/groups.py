"""Groups of players: which group each player of some inputs is in, and what a group is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor.games import NO_PLAYER, PlayerLayout, Players
from captum_andor.results import ResultPlayers


def groups_of_players(players: PlayerLayout, groups: PlayerLayout, name: str = "groups") -> list[list[int]]:
    """The players of each group, by number, in the order of the groups' ids.

    Raises:
        ValueError: If a group cuts a player, or a player is in none.
    """
    place = torch.full((players.n_players,), NO_PLAYER, dtype=torch.int64, device="cpu")
    for own, other in zip(players.indices, groups.indices, strict=True):
        shape = np.broadcast_shapes(own.shape, other.shape)
        owner, group = own.cpu().expand(shape), other.cpu().expand(shape)
        pairs = torch.unique(torch.stack([owner[owner != NO_PLAYER], group[owner != NO_PLAYER]], 1), dim=0)
        for player, its in pairs.tolist():
            label = players.feature_ids[player]
            if its == NO_PLAYER:
                raise ValueError(f"{name} must hold every player; elements of player {label} are in none.")
            if place[player] not in (NO_PLAYER, its):
                ids = sorted((groups.feature_ids[int(place[player])], groups.feature_ids[its]))
                raise ValueError(
                    f"{name} must not cut a player: elements of player {label} are in {ids[0]} and in {ids[1]}."
                )
            place[player] = its
    found: list[list[int]] = [[] for _ in groups.feature_ids]
    for player, its in enumerate(place.tolist()):
        found[its].append(player)
    return [group for group in found if group]


def standard_groups(given: Any, players: ResultPlayers) -> list[list[int]]:
    """The players of each group of a result, from a mask like that of the inputs or an id for each player.

    Raises:
        TypeError: If groups are of another kind.
        ValueError: If shapes do not fit, or a group cuts a player.
    """
    n, layout = players.n_players, players.layout
    if isinstance(given, Sequence) and not isinstance(given, (str, tuple)):
        if len(given) != n or not all(map(is_int, given)):
            raise ValueError(f"groups must hold an id, an int, for each of {n} players; got {given!r:.80}.")
        return _by_id(torch.tensor(list(map(int, given)), device="cpu"))
    parts = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(part, Tensor) and not part.is_floating_point() for part in parts):
        raise TypeError(
            "groups must be an integer tensor like the feature mask, one for each input, or a list with an id for each "
            f"player; got {type(given).__name__}."
        )
    if layout is None or (len(parts) == 1 and tuple(parts[0].shape) == (n,) and not _broadcasts(parts[0], layout)):
        if len(parts) != 1 or parts[0].numel() != n:
            raise ValueError(f"groups must hold an id for each of {n} players; got shape {tuple(parts[0].shape)}.")
        return _by_id(parts[0].flatten().cpu())
    if len(parts) != len(layout.shapes):
        raise ValueError(f"groups must have one tensor for each of {len(layout.shapes)} inputs; got {len(parts)}.")
    examples = max(len(index) for index in layout.indices)
    examples = max([examples, *(len(p) for p, shape in zip(parts, layout.shapes, strict=True) if p.ndim > len(shape))])
    empty = tuple(torch.zeros(1, dtype=torch.bool, device="cpu").expand(examples, *shape) for shape in layout.shapes)
    return groups_of_players(layout, Players(empty, None, parts).layout)


def _broadcasts(mask: Tensor, layout: PlayerLayout) -> bool:
    try:
        return np.broadcast_shapes(tuple(mask.shape), layout.shapes[0]) == layout.shapes[0]
    except ValueError:
        return False


def _by_id(ids: Tensor) -> list[list[int]]:
    return [(ids == one).nonzero()[:, 0].tolist() for one in sorted(set(ids.tolist()))]
