"""From values on some coalitions to the posterior of each game: which of the three kinds it is, by evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from captum_andor.games.transforms import coalition_codes
from captum_andor.process import CompleteGame, Posterior, Prior, ProcessPosterior
from captum_andor.sampling import DICTIONARY_PLAYERS
from captum_andor.search.sparse_games import FoundPatterns, confirmed, find_patterns


def estimated_game(coalitions: Tensor, values: Tensor, seed: int, theta: Tensor | None = None) -> Posterior:
    """The posterior of one game.

    Args:
        coalitions: bool, shape ``(m, n)``, each once.
        values: v on them, float64, shape ``(m,)``.
        seed: Of everything random.
        theta: Hyperparameters of the process that are known. Default: None (fitted)
    """
    if theta is None:
        return game_posteriors(coalitions, values[None], seed)[0]
    return _complete(coalitions, values) or ProcessPosterior.of(coalitions, values, seed, theta)


def game_posteriors(
    coalitions: Tensor,
    values: Tensor,
    seed: int,
    found: Sequence[FoundPatterns | None] | None = None,
    noise: Tensor | None = None,
) -> list[Posterior]:
    """The posteriors of games whose values are known on the same coalitions, shape ``(B, m)``.

    ``found`` is what searches on a part of the coalitions found. Where this explains the others and is identified, the
    game is these patterns; where it does not and yet came near, all coalitions are searched. ``noise`` is the standard
    deviation of v of random games, shape ``(B,)``.
    """
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


def unfitted_game(coalitions: Tensor, values: Tensor, seed: int) -> Posterior:
    """The posterior under the hyperparameters of the prior: at once, with larger errors."""
    return estimated_game(coalitions, values, seed, Prior.of(coalitions.shape[1], values.device).mean)
