"""Measured effects of sets of players: means of v over contexts, exact or from the posterior of a game."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from captum_andor.process.posterior import Estimated, Posterior
from captum_andor.results import PatternEffect

_NUMBERS = 1 << 22  # probabilities that are held at once


def pattern_effects(posterior: Posterior, members: Tensor) -> list[PatternEffect]:
    """Effects of the players of each pattern, alone and together.

    Args:
        posterior (Posterior): Of one game.
        members (Tensor): The players of each pattern, bool, shape ``(P, n)``, each with one at least.
    """
    found: list[PatternEffect] = []
    if not len(members):
        return found
    together = max(_NUMBERS // (int(members.sum(1).amax() + 1) * members.shape[1]), 1)
    for some in torch.split(members, together):
        mean, std = (part.tolist() for part in _effects(posterior, some))
        stop = 0
        for size in some.sum(1).tolist():
            alone = slice(stop, stop + (size if size > 1 else 1))  # of one player, alone is together
            stop += size + 1 if size > 1 else 1
            found.append(PatternEffect(tuple(mean[alone]), mean[stop - 1], tuple(std[alone]), std[stop - 1]))
    return found


def _effects(posterior: Posterior, members: Tensor) -> Estimated:
    """Of each pattern in turn the effects of its players alone, if they are several, and of all together."""
    contexts, present = [], []
    for row in members:
        context = torch.where(row, 0.0, 0.5).to(torch.float64)
        for players in _each_and_all(row):
            contexts.append(context)
            present.append(torch.where(players, 1.0, context))
    return posterior.differences(torch.stack(present), torch.stack(contexts))


def _each_and_all(row: Tensor) -> Iterator[Tensor]:
    players = row.nonzero()[:, 0]
    if len(players) > 1:
        yield from torch.nn.functional.one_hot(players, len(row)).bool()
    yield row
