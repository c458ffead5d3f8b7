"""From coarse players to finer ones: which are split, what they are called, and what is known of them already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_andor.explain.estimate import GameEstimate
from captum_andor.explain.evaluation import Known
from captum_andor.explain.groups import groups_of_players
from captum_andor.games import NO_PLAYER, Players
from captum_andor.games.transforms import all_coalitions
from captum_andor.results import standard_names


@dataclass(frozen=True)
class Refinement:
    """Players of which the strongest are split, in terms of the finer ones.

    Attributes:
        feature_mask: In the form of the inputs: finer ids where a player is split, the smallest of them elsewhere.
        groups: By number, the players that were one; those that stay whole are alone.
        names: What the players are called, by id.
        known: What the estimate evaluated, as coalitions of these players.
    """

    feature_mask: Any
    groups: list[list[int]]
    names: dict[int, str]
    known: Known

    @classmethod
    def of(cls, estimate: GameEstimate, finer: Players, top: int, player_names: Any) -> Refinement:
        """Of an estimate of coarse players, and all finer ones."""
        coarse, layout = estimate.players.layout, finer.layout
        if coarse is None:
            raise ValueError("estimate must be of inputs; this one was made from values.")
        if estimate.drawn is not None:
            raise ValueError(
                "estimate is beside a Background, of which refine() cannot keep the passes: pass a baseline."
            )
        if coarse.shapes != layout.shapes:
            raise ValueError(f"estimate is of inputs of shapes {coarse.shapes}; these have {layout.shapes}.")
        parts = groups_of_players(layout, coarse, "feature_mask must be finer than that of the estimate: it")
        if len(parts) != coarse.n_players:
            raise ValueError(
                f"feature_mask must be finer than that of the estimate: {coarse.n_players - len(parts)} of its players "
                "have no finer ones."
            )
        split = _strongest(estimate, parts, top)
        number = torch.full((layout.n_players,), NO_PLAYER, dtype=torch.int64, device="cpu")
        names: dict[int, str] = {}
        owner: list[int] = []
        own = standard_names(player_names, layout.feature_ids) or finer.names
        whole_names = estimate.player_names or tuple(map(str, estimate.feature_ids))
        pieces = [(part, [p]) for part, mine in enumerate(parts) for p in mine if part in split]
        pieces += [(part, mine) for part, mine in enumerate(parts) if part not in split]
        pieces.sort(key=lambda piece: piece[1][0])  # players are numbered by their ids
        for count, (part, mine) in enumerate(pieces):
            number[mine] = count
            label = layout.feature_ids[mine[0]]
            place = parts[part].index(mine[0]) + 1
            names[label] = own[mine[0]] if own and part in split else whole_names[part]
            names[label] += f" ({place})" if part in split and not own else ""
            owner.append(part)
        groups = [[i for i, part in enumerate(owner) if part == one] for one in range(len(parts))]
        ids = torch.tensor([layout.feature_ids[mine[0]] for _, mine in pieces], device="cpu")
        masks = tuple(_mask(index, number, ids) for index in layout.indices)
        rows = all_coalitions(len(parts), "cpu") if estimate.coalitions is None else estimate.coalitions.cpu()
        known = Known(rows[:, owner], None, estimate.values)
        mask = dict(zip(layout.names, masks, strict=True)) if layout.names else masks if layout.is_tuple else masks[0]
        return cls(mask, groups, names, known)


def _strongest(estimate: GameEstimate, parts: list[list[int]], top: int) -> set[int]:
    """The players of the largest values, on average over outputs, that have finer ones."""
    size = torch.as_tensor(estimate.shapley_values()).abs().flatten(0, -2).mean(0)
    divisible = [i for i in size.argsort(descending=True, stable=True).tolist() if len(parts[i]) > 1]
    if not divisible:
        raise ValueError("feature_mask must be finer than that of the estimate: it splits none of its players.")
    return set(divisible[:top])


def _mask(index: Tensor, number: Tensor, ids: Tensor) -> Tensor:
    owned = index.cpu()
    return torch.where(owned == NO_PLAYER, -1, ids[number[owned.clamp(min=0)]]).to(index.device)
