"""From values on some coalitions to the posterior of each game: which of the three kinds it is, by evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from captum_andor._utils.storage import storable
from captum_andor.games.transforms import coalition_codes
from captum_andor.process import BackgroundPosterior, CompleteGame, Posterior, Prior, ProcessPosterior, SparseGame
from captum_andor.sampling import DICTIONARY_PLAYERS, DrawnRows
from captum_andor.search.beam_search import Pattern
from captum_andor.search.sparse_games import FoundPatterns, confirmed, find_patterns


@storable
@dataclass(frozen=True)
class BesideProcess:
    """What is known of a game beside the hyperparameters of its process; see :class:`ProcessPosterior`."""

    searched: float
    unidentified: tuple[Pattern, ...]
    known_noise: Tensor | None


def kept_part(posterior: Posterior) -> SparseGame | BesideProcess | None:
    """What a file holds of a posterior beside values and hyperparameters; None where the values are all."""
    if isinstance(posterior, ProcessPosterior):
        return BesideProcess(posterior.searched, posterior.unidentified, posterior.known_noise)
    return posterior if isinstance(posterior, SparseGame) else None


def stored_parts(posteriors: Sequence[Posterior]) -> dict[str, list[Any]]:
    """What a file holds of posteriors: the hyperparameters of processes, and :func:`kept_part`."""
    return {
        "theta": [
            p.process.theta if isinstance(p, (ProcessPosterior, BackgroundPosterior)) else None for p in posteriors
        ],
        "kept": [kept_part(posterior) for posterior in posteriors],
    }


def restored_games(
    coalitions: Tensor,
    values: Tensor,
    theta: Sequence[Tensor | None],
    kept: Sequence[SparseGame | BesideProcess | None],
    seed: int,
    drawn: DrawnRows | None = None,
) -> list[Posterior]:
    """The posteriors of games of values ``(B, m)`` of which a file held :func:`stored_parts`."""
    if drawn is not None and drawn.rows is not None:
        known = torch.stack([each for each in theta if each is not None])
        return [*BackgroundPosterior.of_games(coalitions, drawn.rows, values, drawn.n_rows, seed, known)]
    return [restored_game(coalitions, *parts, seed) for parts in zip(values, theta, kept, strict=True)]


def restored_game(
    coalitions: Tensor, values: Tensor, theta: Tensor | None, kept: SparseGame | BesideProcess | None, seed: int
) -> Posterior:
    """The posterior of which a file held hyperparameters and what :func:`kept_part` gives."""
    if isinstance(kept, SparseGame):
        return kept
    if theta is None or kept is None:
        return game_posteriors(coalitions, values[None], seed)[0]
    posterior = ProcessPosterior.of(coalitions, values, seed, theta)
    return replace(posterior, searched=kept.searched, unidentified=kept.unidentified, known_noise=kept.known_noise)


def game_posteriors(
    coalitions: Tensor,
    values: Tensor,
    seed: int,
    found: Sequence[FoundPatterns | None] | None = None,
    noise: Tensor | None = None,
    drawn: DrawnRows | None = None,
) -> list[Posterior]:
    """The posteriors of games whose values are known on the same coalitions, shape ``(B, m)``.

    ``found`` is what searches on a part of the coalitions found. Where this explains the others and is identified, the
    game is these patterns; where it does not and yet came near, all coalitions are searched. ``noise`` is the standard
    deviation of v of random games, shape ``(B,)``; ``drawn`` which row of a background each value was seen with.
    """
    if drawn is not None and drawn.rows is not None:
        return [*BackgroundPosterior.of_games(coalitions, drawn.rows, values, drawn.n_rows, seed)]
    exact: list[Posterior | None] = [_complete(coalitions, v) for v in values]
    if all(exact):
        return [posterior for posterior in exact if posterior is not None]
    searches = [find_patterns(coalitions, v, seed) for v in values] if found is None else list(found)
    for i, search in enumerate(searches):
        if search is not None and search.is_exact:
            again = confirmed(search, coalitions, values[i]) if found is not None else search
            searches[i] = again or find_patterns(coalitions, values[i], seed)
    games = [_sparse(search, coalitions) for search in searches]
    others = [i for i, game in enumerate(games) if game is None]
    known_noise = None if noise is None else noise.to(values.device)[others]
    fitted = ProcessPosterior.of_games(coalitions, values[others], seed, known_noise) if others else []
    for i, posterior in zip(others, fitted, strict=True):
        search = searches[i]
        if (
            found is not None
            and search is not None
            and not search.is_exact
            and search.error <= posterior.left_out_error
        ):
            search = find_patterns(coalitions, values[i], seed)
            games[i] = _sparse(search, coalitions)
        if games[i] is None:
            games[i] = posterior if search is None else _process(posterior, search)
    return [game for game in games if game is not None]


def _sparse(search: FoundPatterns | None, coalitions: Tensor) -> Posterior | None:
    """The game of the patterns found, where they are identified."""
    if search is None or not search.is_exact or search.unidentified(coalitions):
        return None
    return search.game()


def _process(posterior: ProcessPosterior, search: FoundPatterns) -> ProcessPosterior:
    """A process that knows what a search found beside it."""
    unidentified = tuple(search.unidentified(posterior.coalitions)) if search.is_exact else ()
    return replace(posterior, searched=search.error, unidentified=unidentified)


def _complete(coalitions: Tensor, values: Tensor) -> CompleteGame | None:
    m, n = coalitions.shape
    if n <= DICTIONARY_PLAYERS and m == 1 << n:
        return CompleteGame(values[coalition_codes(coalitions).argsort()])
    return None


def unfitted_game(coalitions: Tensor, values: Tensor, seed: int, drawn: DrawnRows | None = None) -> Posterior:
    """The posterior under the hyperparameters of the prior: at once, with larger errors."""
    if drawn is not None and drawn.rows is not None:
        return BackgroundPosterior.unfitted(coalitions, drawn.rows, values, drawn.n_rows)
    theta = Prior.of(coalitions.shape[1], values.device).mean
    return _complete(coalitions, values) or ProcessPosterior.of(coalitions, values, seed, theta)
