"""Measured effects of sets of players: means of v over contexts, exact or from the posterior of a game."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor.process.posterior import Posterior
from captum_andor.results import PatternEffect

_NUMBERS = 1 << 20  # probabilities that are held at once
_ALL = -1  # in the place of a player: all of the pattern


def pattern_effects(posterior: Posterior, members: Tensor) -> list[PatternEffect]:
    """Effects of the players of each pattern, alone and together.

    Args:
        posterior (Posterior): Of one game.
        members (Tensor): The players of each pattern, bool, shape ``(P, n)``, each with one at least.
    """
    players = [row.nonzero()[:, 0].tolist() for row in members]
    # Of one player, alone is together.
    asked = [(i, p) for i, mine in enumerate(players) for p in ([*mine, _ALL] if len(mine) > 1 else [_ALL])]
    mean, std = _effects(posterior, members, asked)
    found: list[PatternEffect] = []
    stop = 0
    for mine in players:
        start, stop = stop, stop + (len(mine) + 1 if len(mine) > 1 else 1)
        alone = slice(start, start + len(mine))
        found.append(PatternEffect(tuple(mean[alone]), mean[stop - 1], tuple(std[alone]), std[stop - 1]))
    return found


def _effects(posterior: Posterior, members: Tensor, asked: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Means and standard deviations of the effect of a player, or of all, of a pattern by its number."""
    mean: list[float] = []
    std: list[float] = []
    if not asked:
        return mean, std
    patterns, players = torch.tensor(asked, dtype=torch.int64, device=members.device).T
    block = max(_NUMBERS // members.shape[1], 1)
    for pattern, player in zip(torch.split(patterns, block), torch.split(players, block), strict=True):
        own = members[pattern]
        context = torch.where(own, 0.0, 0.5).to(torch.float64)
        enters = own & (player == _ALL)[:, None]
        single = (player != _ALL).nonzero()[:, 0]
        enters[single, player[single]] = True
        part = posterior.differences(torch.where(enters, 1.0, context), context)
        mean += part[0].tolist()
        std += part[1].tolist()
    return mean, std
