"""From values on some coalitions to the posterior of each game: which of the three kinds it is, by evidence."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor.games.transforms import coalition_codes
from captum_andor.process import CompleteGame, Posterior, Prior, ProcessPosterior, SparseGame
from captum_andor.sampling import DICTIONARY_PLAYERS, held_out_at_random, size_strata
from captum_andor.search.options import Options
from captum_andor.search.sampled_fits import fitted_patterns
from captum_andor.search.sampled_games import choose

_MOST_PATTERNS = 40  # of a game that counts as sparse; more would need more coalitions than most budgets have
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the largest deviation of v: the rounding of a float32 model
_FEWEST_ROWS = 32  # with fewer coalitions a search explains anything


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


def game_posteriors(coalitions: Tensor, values: Tensor, seed: int) -> list[Posterior]:
    """The posteriors of games whose values are known on the same coalitions, shape ``(B, m)``."""
    exact = [_complete(coalitions, v) or sparse_game(coalitions, v, seed) for v in values]
    others = [i for i, found in enumerate(exact) if found is None]
    fitted = iter(ProcessPosterior.of_games(coalitions, values[others], seed) if others else ())
    return [found or next(fitted) for found in exact]


def _complete(coalitions: Tensor, values: Tensor) -> CompleteGame | None:
    m, n = coalitions.shape
    if n <= DICTIONARY_PLAYERS and m == 1 << n:
        return CompleteGame(values[coalition_codes(coalitions).argsort()])
    return None


def unfitted_game(coalitions: Tensor, values: Tensor, seed: int) -> Posterior:
    """The posterior under the hyperparameters of the prior: at once, with larger errors."""
    return estimated_game(coalitions, values, seed, Prior.of(coalitions.shape[1], values.device).mean)


def sparse_game(coalitions: Tensor, values: Tensor, seed: int) -> SparseGame | None:
    """The game as few patterns, if a search that sees some of the coalitions finds some that explain all of them.

    Values that were not seen must be explained, too, and must differ: a game that is constant but for its ends says
    nothing of its patterns. Above 20 players the search takes seconds on games that are not sparse, and is left to
    logical models.
    """
    m, n = coalitions.shape
    most = max(min(_MOST_PATTERNS, m // 8), min(n, m // 2))
    if m < _FEWEST_ROWS or most < 1 or n > DICTIONARY_PLAYERS:
        return None
    rows = coalitions.cpu().numpy()
    held_out = torch.from_numpy(held_out_at_random(rows, seed)).to(values.device)
    unseen, rounding = values[held_out], _ROUNDING * (values - values.mean()).abs().amax()
    if not bool((unseen - unseen[0]).abs().amax() > rounding):
        return None
    strata = torch.from_numpy(size_strata(rows)).to(values.device)
    options = Options(most, exact_ends=False, seed=seed)
    seen = ~held_out
    patterns = choose(values[None, seen], coalitions[seen], strata[seen], options, [most])[0]
    constant, table = fitted_patterns(values[seen], coalitions[seen], patterns)
    error = table.predict(coalitions, 1)[0] + constant - values
    if not bool(error.abs().amax() <= rounding):
        return None
    constant, table = fitted_patterns(values, coalitions, patterns)
    kept = table.value.abs() > rounding  # the search adds terms until it explains the rounding of a float32 model
    return SparseGame(constant, table.rows(kept))
