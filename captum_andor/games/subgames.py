"""Active players: those whose presence changes v in some coalition. Games without the others are smaller."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_andor.games.transforms import count_players


def largest_effects(values: Tensor) -> Tensor:
    r"""Largest change that each player's presence makes, :math:`\max_S|v(S\cup i)-v(S)|`.

    Args:
        values (Tensor): Shape ``(…, 2^n)``, floating.

    Returns:
        - **effects** (*Tensor*): Shape ``(…, n)``.

    Examples::

        >>> largest_effects(torch.tensor([0.0, 1.0, 0.0, -3.0]))
        tensor([3., 4.])
    """
    n = count_players(values)
    effects = []
    for player in range(n):
        pairs = values.reshape(*values.shape[:-1], 1 << (n - player - 1), 2, 1 << player)
        effects.append((pairs[..., 1, :] - pairs[..., 0, :]).abs().amax((-2, -1)))
    return torch.stack(effects, dim=-1) if effects else values.new_zeros(*values.shape[:-1], 0)


def active_players(values: Tensor, slack: Tensor) -> Tensor:
    """Players that change v by more than ``slack`` in some coalition.

    Args:
        values (Tensor): Shape ``(…, 2^n)``, floating.
        slack (Tensor): Rounding error of v, shape ``(…)``.

    Returns:
        - **active** (*Tensor*): bool, shape ``(…, n)``.
    """
    return largest_effects(values) > slack[..., None]


@dataclass(frozen=True)
class Subgames:
    """Games of the same active players, without the others.

    A split of the game without dummy players is also a split of the whole game, with the same l1. The dual certificate
    carries over: extend the dual point with zeros on coalitions that contain dummies.

    Attributes:
        rows: Which games, int64, shape ``(b,)``.
        codes: Coalitions of the whole game that hold active players only, shape ``(2^k,)``.
        size: 2^n of the whole game.
    """

    rows: Tensor
    codes: Tensor
    size: int

    @classmethod
    def of(cls, active: Tensor, size: int, rows: Tensor) -> list[Subgames]:
        """Games ``rows`` grouped by their active players, bool, ``(len(rows), n)``; those with none keep one."""
        if not len(rows):
            return []
        active = active.clone()
        active[:, 0] |= ~active.any(1)
        sets, group = torch.unique(active, dim=0, return_inverse=True)
        bits = [1 << i for i in range(active.shape[1])]
        found = []
        for i, players in enumerate(sets.tolist()):
            codes = [0]
            for bit in (bit for bit, kept in zip(bits, players, strict=True) if kept):
                codes += [code + bit for code in codes]
            found.append(cls(rows[group == i], torch.tensor(codes, device=active.device), size))
        return found

    def within(self, values: Tensor) -> Tensor:
        """The smaller games, of ``(B, 2^n)``: ``(b, 2^k)``."""
        return values[self.rows][:, self.codes] if len(self.codes) < self.size else values[self.rows]

    def fill(self, whole: Tensor, part: Tensor) -> None:
        """Write interactions or dual points of the smaller games, ``(b, 2^k)``, into those of the whole, else 0."""
        whole[self.rows[:, None], self.codes] = part

    def spread(self, whole: Tensor, part: Tensor) -> None:
        """Write a function of coalitions likewise: dummies change nothing of it."""
        everything = torch.arange(self.size, device=part.device)
        kept = everything & int(self.codes[-1])
        whole[self.rows] = part[:, torch.searchsorted(self.codes, kept)]
