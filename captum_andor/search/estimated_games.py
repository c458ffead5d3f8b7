"""From values on some coalitions to the posterior of each game: which of the three kinds it is, by evidence.

Logical models of such games: up to 16 players the process completes the game in O(n 2^n), and patterns are chosen as
from all values. Four further
models see the game as the process has it without a quarter of the coalitions: what these miss on that quarter tells how
many patterns pay, and how much of v the model returned explains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from captum_andor.games.transforms import all_coalitions, coalition_codes, orders
from captum_andor.process import (
    CompleteGame,
    Fidelity,
    Posterior,
    Prior,
    ProcessPosterior,
    SparseGame,
    Unseen,
    fidelity_of,
)
from captum_andor.results import PatternTable
from captum_andor.sampling import DICTIONARY_PLAYERS, held_out_at_random, is_inner, size_strata
from captum_andor.search.complete_games import complete_models
from captum_andor.search.least_squares import Models, game_models, path_errors
from captum_andor.search.options import Options
from captum_andor.search.sampled_games import (
    choose,
    chosen_patterns,
    fitted_patterns,
    model_of_patterns,
    searched_patterns,
    t_values,
)

_MOST_PATTERNS = 40  # of a game that counts as sparse; more would need more coalitions than most budgets have
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the largest deviation of v: the rounding of a float32 model
_FEWEST_ROWS = 32  # with fewer coalitions a search explains anything
COMPLETED_PLAYERS = 16  # 65 536 values; the search on them takes a tenth of a second, and sixteen times that at 20
Judged: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]  # rows, mean and deviation of the process, h of a model
_FOLDS = 4
_MOST_COUNTED = 240  # where their number is chosen: photos with 12 patches want up to 204 at 1 024 coalitions
_FITTED_ROWS = 8192  # of the completed game, for the errors after 1, 2, … patterns
_WEAK = 16 * torch.finfo(torch.float32).eps  # of the largest deviation of v: weaker patterns are rounding


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


@dataclass(frozen=True)
class _Fold:
    """A quarter of the coalitions, and the game without them.

    Attributes:
        rows: Positions of the coalitions left out.
        mean: What the process without them predicts there.
        deviation: With which standard deviation.
        completed: The game as that process completes it, shape ``(2^n,)``.
    """

    rows: Tensor
    mean: Tensor
    deviation: Tensor
    completed: Tensor

    @classmethod
    def of(cls, posterior: ProcessPosterior, rows: Tensor) -> _Fold:
        kept = torch.ones(len(posterior.values), dtype=torch.bool, device=rows.device)
        kept[rows] = False
        without = ProcessPosterior.of(posterior.coalitions[kept], posterior.values[kept], theta=posterior.process.theta)
        mean, deviation = without.process.predict_with_std(posterior.coalitions[rows].double())
        return cls(rows, mean, deviation, without.all_values())


def model_of_estimate(posterior: Posterior, options: Options) -> Models:
    """Choose and fit the patterns of one game."""
    whole = posterior.all_values()[None]
    if not isinstance(posterior, ProcessPosterior):
        return complete_models(whole, options)
    folds = [_Fold.of(posterior, rows) for rows in _fold_rows(posterior, options.seed)]
    counted = options
    if options.max_patterns is None or options.min_r2 is not None:
        counted = replace(options, max_patterns=_count(posterior, folds, options), min_r2=None)
    found = complete_models(torch.cat([whole, *(fold.completed[None] for fold in folds)]), counted)
    models = _merged(_of_game(found, 0), posterior.coalitions)
    judged = [
        (fold.rows, fold.mean, fold.deviation, _predicted(found, 1 + i, posterior.coalitions[fold.rows]))
        for i, fold in enumerate(folds)
    ]
    searched = _searched(posterior, judged[0], options) if folds else None
    if searched is not None:
        models, judged = searched
    fidelity = _fidelity(posterior, whole[0], models, judged, options)
    r2 = whole.new_tensor([fidelity.r2])
    return models._replace(
        t=t_values(posterior.values, posterior.coalitions, models.is_or, models.members, models.value),
        r2=r2,
        r2_interval=whole.new_tensor([[fidelity.low, fidelity.high]]),
    )


def _fold_rows(posterior: ProcessPosterior, seed: int) -> list[Tensor]:
    """Positions of each fold: pairs stay together, ∅ and N are in none."""
    pairs = torch.split(is_inner(posterior.coalitions).nonzero()[:, 0], 2)
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [torch.cat([pairs[i] for i in sorted(some)]) for some in np.array_split(order, _FOLDS) if len(some)]


def _of_game(models: Models, game: int) -> Models:
    """The model of one game of several, without patterns at the level of rounding."""
    model = game_models(models, game)
    strong = model.value.abs() > _WEAK * model.value.abs().amax() if len(model.value) else model.is_or
    return model._replace(**{name: getattr(model, name)[strong] for name in ("game", "is_or", "members", "value", "t")})


def _merged(models: Models, coalitions: Tensor) -> Models:
    """A model in which patterns that no coalition given tells apart are one, the shortest of them.

    Where OR{a, b} and OR{a, b, c} hold on the same coalitions, the process is unsure which it is and spreads the
    strength over both; what was seen is reproduced by either. A pattern of all players is not merged: it stands for ∅
    or N alone.
    """
    table = PatternTable(models.game, models.is_or, models.members, models.value)
    columns, sizes, n = table.holds(coalitions), models.members.sum(1), models.members.shape[1]
    value, kept = models.value.clone(), torch.ones(len(table), dtype=torch.bool, device=models.value.device)
    shortest_first = sizes.argsort(stable=True).tolist()
    for longer in reversed(shortest_first):
        for shorter in shortest_first if sizes[longer] < n else ():
            alike = models.is_or[longer] == models.is_or[shorter] and torch.equal(
                columns[:, longer], columns[:, shorter]
            )
            inside = bool((models.members[shorter] <= models.members[longer]).all())
            if sizes[shorter] < sizes[longer] and inside and alike:
                value[shorter] += value[longer]
                kept[longer] = False
                break
    merged = models._replace(value=value)
    return merged._replace(**{name: getattr(merged, name)[kept] for name in ("game", "is_or", "members", "value", "t")})


def _predicted(models: Models, game: int, coalitions: Tensor) -> Tensor:
    """Values h of one game's model on bool coalitions ``(k, n)``."""
    mine = models.game == game
    table = PatternTable(
        torch.zeros_like(models.game[mine]), models.is_or[mine], models.members[mine], models.value[mine]
    )
    return table.predict(coalitions, 1)[0] + models.constant[game]


def _searched(posterior: ProcessPosterior, judged: Judged, options: Options) -> tuple[Models, list[Judged]] | None:
    """The direct search's model, if it predicts the held-out quarter better than the process; None otherwise.

    It does in sparse games with noise, and in those of more patterns than a search finds exactly.
    """
    rows, mean, deviation, of_process = judged
    v, coalitions = posterior.values, posterior.coalitions
    held_out = torch.zeros(len(v), dtype=torch.bool, device=v.device)
    held_out[rows] = True
    size = coalitions[~held_out].sum(1)
    if options.exact_ends and not bool((size == 0).any() and (size == posterior.n_players).any()):
        return None
    strata = torch.from_numpy(size_strata(coalitions.cpu().numpy())).to(v.device)
    ascending = rows.sort().values
    predicted, patterns = searched_patterns(v, coalitions, held_out, strata, options)
    weights = Unseen.of(coalitions, options.size_shares(posterior.n_players)).weights
    errors = [
        float(weights[where] @ (v[where] - h).square()) for where, h in ((ascending, predicted), (rows, of_process))
    ]
    if not errors[0] < errors[1]:
        return None
    place = torch.searchsorted(ascending, rows)
    patterns = chosen_patterns(v, coalitions, strata, len(patterns), options)
    return model_of_patterns(v, coalitions, patterns, options), [(rows, mean, deviation, predicted[place])]


def _fidelity(
    posterior: ProcessPosterior, whole: Tensor, models: Models, judged: list[Judged], options: Options
) -> Fidelity:
    n = posterior.n_players
    shares = options.size_shares(n)
    everything = all_coalitions(n, whole.device)
    each = whole.new_tensor([share / math.comb(n, size) for size, share in enumerate(shares)])
    squares = float(each[orders(n, whole.device)] @ (whole - _predicted(models, 0, everything)).square())
    return fidelity_of(posterior, shares, squares, judged)


def _count(posterior: ProcessPosterior, folds: list[_Fold], options: Options) -> int:
    """How many patterns pay: by one standard error of the error left out, or the fewest that reach ``min_r2``."""
    m = len(posterior.values)
    most = max(m // 4, min(posterior.n_players, m // 2), 1)
    limit = min(options.max_patterns or _MOST_COUNTED, most)
    search = replace(options, max_patterns=limit, min_r2=None, effort="stable", exact_ends=False)
    found = complete_models(torch.stack([fold.completed for fold in folds]), search)
    errors = torch.zeros(m, limit + 1, dtype=torch.float64, device=posterior.values.device)
    for i, fold in enumerate(folds):
        errors[fold.rows] = _path_errors(posterior, fold, found, i, limit)
    shares = options.size_shares(posterior.n_players)
    unseen = Unseen.of(posterior.coalitions, shares)
    weights = unseen.weights / unseen.weights.sum().clamp(min=1e-300)
    mean = weights @ errors
    if options.min_r2 is not None:
        centre = float(weights @ posterior.values)
        variance = float(weights @ (posterior.values - centre).square())
        reached = mean <= (1 - options.min_r2) * variance
        return max(int(reached.int().argmax()), 1) if bool(reached.any()) else limit
    best = int(mean.argmin())
    spread = float((weights.square() @ (errors[:, best] - mean[best]).square()).sqrt())
    return max(int((mean <= mean[best] + spread).int().argmax()), 1)


def _path_errors(posterior: ProcessPosterior, fold: _Fold, found: Models, game: int, limit: int) -> Tensor:
    """Squared errors on the coalitions left out after 0, 1, … patterns, fitted to the completed game."""
    mine = found.game == game
    table = PatternTable(torch.zeros_like(found.game[mine]), found.is_or[mine], found.members[mine], found.value[mine])
    size = len(fold.completed)
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(size, generator=generator)[:_FITTED_ROWS].to(fold.completed.device)
    everything = all_coalitions(posterior.n_players, fold.completed.device)
    columns, y = table.holds(everything[some]).double(), fold.completed[some]
    test = table.holds(posterior.coalitions[fold.rows]).double()
    errors = path_errors(columns, y, test, posterior.values[fold.rows])
    missing = max(limit + 1 - errors.shape[1], 0)  # after the last pattern nothing changes
    return torch.nn.functional.pad(errors[None], (0, missing), mode="replicate")[0]
