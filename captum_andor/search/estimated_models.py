"""Logical models of estimated games: patterns chosen on what the posterior says of all coalitions, and their R².

Up to 16 players the posterior completes the game, and patterns are chosen as from all values; above on a random sample
of coalitions. Four further models see the game as the process has it without a quarter of the coalitions: what these
miss on that quarter tells how many patterns pay, and how much of v the model returned explains. Where a search on the
coalitions evaluated predicts a quarter that it did not see better than the process does, its patterns stand instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from captum_andor.games.transforms import all_coalitions, orders
from captum_andor.process import (
    JUDGED,
    BackgroundPosterior,
    CompleteGame,
    Fold,
    Posterior,
    ProcessPosterior,
    SparseGame,
    Unseen,
    drawn_coalitions,
    fidelity_of,
)
from captum_andor.results import PatternTable
from captum_andor.sampling import PREDICTED, Regime, is_inner, size_strata
from captum_andor.search.complete_games import complete_models
from captum_andor.search.least_squares import Models, game_models, joined_models, path_errors
from captum_andor.search.options import Options
from captum_andor.search.process_pursuit import pursued_patterns
from captum_andor.search.sampled_games import (
    chosen_patterns,
    held_out_r2,
    model_like,
    model_of_patterns,
    searched_patterns,
    t_values,
)

_MOST_COUNTED = 240  # where their number is chosen: photos with 12 patches want up to 204 at 1 024 coalitions
_MOST_PURSUED = 64  # the same above 16 players: a pursuit of more takes longer than all the rest
_FITTED_ROWS = 8192  # of the completed game, for the errors after 1, 2, … patterns
_WEAK = 16 * torch.finfo(torch.float32).eps  # of the largest deviation of v: weaker patterns are rounding
Judged: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]  # rows, mean and deviation of the process, h of a model


@dataclass(frozen=True)
class _Support:
    """The coalitions on which a model is chosen: all 2^n in the order of their codes, or ∅, N and a random sample.

    Attributes:
        rows: bool, shape ``(k, n)``.
        weights: Of each in R², shape ``(k,)``.
        is_complete: Whether they are all.
    """

    rows: Tensor
    weights: Tensor
    is_complete: bool

    @classmethod
    def of(cls, coalitions: Tensor, options: Options) -> _Support:
        n, shares = coalitions.shape[1], options.size_shares(coalitions.shape[1])
        if Regime.of(n, len(coalitions)).model == "completed":
            each = torch.tensor(
                [share / math.comb(n, size) for size, share in enumerate(shares)],
                dtype=torch.float64,
                device=coalitions.device,
            )
            return cls(all_coalitions(n, coalitions.device), each[orders(n, coalitions.device)], True)
        sample, _ = drawn_coalitions(coalitions, shares, PREDICTED)
        rows = torch.cat([coalitions[~is_inner(coalitions)], sample[is_inner(sample)]])
        inner = is_inner(rows).double()
        return cls(rows, inner / inner.sum(), False)

    def values(self, posterior: Posterior, coalitions: Tensor, v: Tensor) -> Tensor:
        """The game as its posterior has it."""
        if self.is_complete:
            return posterior.all_values()
        ends = ~is_inner(coalitions)
        return torch.cat([v[ends], posterior.predict_means(self.rows[int(ends.sum()) :])])

    def values_without(self, fold: Fold, coalitions: Tensor, v: Tensor) -> Tensor:
        """The game as the process has it without a fold."""
        if self.is_complete:
            return fold.all_values(coalitions, v)
        ends = ~is_inner(coalitions)
        return torch.cat([v[ends], fold.predict(self.rows[int(ends.sum()) :])])


@dataclass(frozen=True)
class _Game:
    """One game: where it was evaluated, its posterior, and the folds of a process."""

    posterior: Posterior
    coalitions: Tensor
    v: Tensor
    options: Options
    support: _Support

    @property
    def folds(self) -> list[Fold]:
        return self.posterior.folds if isinstance(self.posterior, ProcessPosterior) else []

    def values(self) -> Tensor:
        """What the posterior says on the support and, below, each fold: ``(1 + folds, k)``."""
        whole = self.support.values(self.posterior, self.coalitions, self.v)
        without = [self.support.values_without(fold, self.coalitions, self.v) for fold in self.folds]
        return torch.stack([whole, *without])

    def models(self, values: Tensor, count: int) -> Models:
        """Models of values ``(G, k)`` on the support, of so many patterns."""
        options = replace(self.options, max_patterns=count, min_r2=None)
        if self.support.is_complete:
            return complete_models(values, options)
        found = pursued_patterns(values, self.support.rows, self.posterior.shapley_means(), count, options)
        return joined_models(
            [
                model_like(y, self.support.rows, patterns, self.v, self.coalitions, options)
                for y, patterns in zip(values, found, strict=True)
            ]
        )


def models_of_estimates(
    posteriors: Sequence[Posterior], coalitions: Tensor, values: Tensor, options: Options
) -> Models:
    """Choose and fit the patterns of games whose values ``(B, m)`` are known on the same coalitions.

    Where these are all 2^n, they stand in the order of their codes.
    """
    if not posteriors:
        none = complete_models(values.new_zeros(0, 2), options)
        return none._replace(members=none.members.new_zeros(0, coalitions.shape[1]))
    if all(isinstance(posterior, CompleteGame) for posterior in posteriors):
        return complete_models(values, options)
    of_means = [posterior for posterior in posteriors if isinstance(posterior, BackgroundPosterior)]
    if of_means:
        return joined_models([_model_of_mean(posterior, options) for posterior in of_means])
    support = _Support.of(coalitions, options)
    sparse = {
        i: _sparse_model(_Game(posterior, coalitions, v, options, support), posterior)
        for i, (posterior, v) in enumerate(zip(posteriors, values, strict=True))
        if isinstance(posterior, SparseGame)
    }
    units = [posterior.unit for posterior in posteriors if isinstance(posterior, ProcessPosterior)]
    games = [_Game(unit, coalitions, unit.values, options, support) for unit in units]
    each = [game.values() for game in games]
    if support.is_complete and options.max_patterns is not None and options.min_r2 is None and games:
        # All games and their folds at once.
        of_all, first = games[0].models(torch.cat(each), options.max_patterns), 0
        together = []
        for part in each:
            together.append(game_models(of_all, first, len(part)))
            first += len(part)
    else:
        together = [_models_of_values(game, part) for game, part in zip(games, each, strict=True)]
    found = iter([_model(*parts) for parts in zip(games, each, together, strict=True)])
    parts = []
    for i, (posterior, v) in enumerate(zip(posteriors, values, strict=True)):
        if i in sparse:
            parts.append(sparse[i])
            continue
        assert isinstance(posterior, ProcessPosterior)
        offset, size = posterior.process.offset, (v - posterior.process.offset).abs().amax()
        size = torch.where(size > 0, size, 1.0)
        model = next(found)
        parts.append(model._replace(value=model.value * size, constant=model.constant * size + offset))
    return joined_models(parts)


def _model_of_mean(posterior: BackgroundPosterior, options: Options) -> Models:
    """The model of a game that is a mean over the rows of a background, chosen on what the posterior says of it."""
    unit, coalitions = posterior.unit, posterior.coalitions
    ends = torch.stack([torch.zeros_like(coalitions[0]), torch.ones_like(coalitions[0])])
    support = _Support.of(ends, options)
    game = _Game(unit, ends, torch.stack(unit.ends), options, support)
    values = support.values(unit, ends, game.v)[None]
    rows, _ = drawn_coalitions(coalitions, options.size_shares(posterior.n_players), JUDGED)
    mean, draws = unit.drawn(rows)
    count = options.max_patterns
    if count is None or options.min_r2 is not None:
        # As many as pay: until what the model leaves of the mean is less than what is unknown of it.
        limit = options.max_patterns or (_MOST_COUNTED if support.is_complete else _MOST_PURSUED)
        left = (1 - game.models(values, limit).r2_path[0]) * mean.var(unbiased=False)
        unknown = (draws - mean).square().mean()
        allowed = unknown if options.min_r2 is None else (1 - options.min_r2) * draws.var(1).mean() - unknown
        enough = left <= allowed
        count = max(int(enough.int().argmax()), 1) if bool(enough.any()) else limit
    found = _merged(_of_game(game.models(values, count), 0), coalitions)
    fidelity = unit.fidelity(options.size_shares(posterior.n_players), lambda some: _predicted(found, 0, some))
    columns = torch.cat([_table(found, 0).holds(rows).double(), torch.ones_like(rows[:, :1], dtype=torch.float64)], 1)
    weights = torch.linalg.lstsq(columns, (draws - mean).T, driver="gelsd").solution[:-1]
    error = weights.square().mean(1).sqrt()
    offset, size = posterior.process.offset, posterior.size
    return found._replace(
        value=found.value * size,
        constant=found.constant * size + offset,
        t=torch.where(error > 0, found.value.abs() / error, torch.inf),
        r2=values.new_tensor([fidelity.r2]),
        r2_interval=values.new_tensor([[fidelity.low, fidelity.high]]),
    )


def _models_of_values(game: _Game, values: Tensor) -> Models:
    """Models of one game and its folds; where their number is open, of as many patterns as pay."""
    count = game.options.max_patterns
    if count is None or game.options.min_r2 is not None:
        count = _count(game, values[1:])
    return game.models(values, count)


def _model(game: _Game, values: Tensor, found: Models) -> Models:
    """The model of one game in its unit, from those of it and of its folds."""
    posterior, options = game.posterior, game.options
    assert isinstance(posterior, ProcessPosterior)
    models = _merged(_of_game(found, 0), game.coalitions)
    judged = [
        (fold.rows, fold.mean, fold.deviation, _predicted(found, 1 + i, game.coalitions[fold.rows]))
        for i, fold in enumerate(game.folds)
    ]
    searched = _searched(posterior, judged[0], options) if judged else None
    if searched is not None:
        models, judged = searched
    squares = float(game.support.weights @ (values[0] - _predicted(models, 0, game.support.rows)).square())
    fidelity = fidelity_of(posterior, options.size_shares(posterior.n_players), squares, judged)
    return models._replace(
        t=t_values(posterior.values, posterior.coalitions, models.is_or, models.members, models.value),
        r2=values.new_tensor([fidelity.r2]),
        r2_interval=values.new_tensor([[fidelity.low, fidelity.high]]),
    )


def _sparse_model(game: _Game, sparse: SparseGame) -> Models:
    """The patterns of the game themselves, where they are few enough; else as many as asked for."""
    options, table = game.options, sparse.table
    if game.support.is_complete:
        return complete_models(sparse.all_values()[None], options)
    limit = options.max_patterns or len(table)
    size = table.members.sum(1)
    allowed = torch.where(table.is_or, "or" in options.kinds, "and" in options.kinds) | (size == 1)
    allowed &= size <= (options.max_order or len(game.coalitions[0]))
    if options.min_r2 is None and bool(allowed.all()) and len(table) <= limit:
        patterns = [
            (bool(kind), tuple(row.nonzero()[:, 0].tolist()))
            for kind, row in zip(table.is_or, table.members, strict=True)
        ]
        models = model_of_patterns(game.v, game.coalitions, patterns, options)
        one = torch.ones_like(models.r2)
        return models._replace(r2=one, r2_interval=one[:, None].expand(-1, 2).clone())
    values = game.values()
    models = _of_game(game.models(values, limit), 0)
    if options.min_r2 is not None:
        reached = models.r2_path[0] >= options.min_r2
        limit = max(int(reached.int().argmax()), 1) if bool(reached.any()) else limit
        models = _of_game(game.models(values, limit), 0)
    inner = game.support.weights > 0
    truth, error = values[0, inner], (values[0] - _predicted(models, 0, game.support.rows))[inner]
    scale = (truth - truth.mean()).abs().amax().clamp(min=torch.finfo(truth.dtype).tiny)
    r2, interval = held_out_r2((truth - truth.mean()) / scale, error / scale, options.seed, False)
    return models._replace(r2=r2[None], r2_interval=interval[None])


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
    return _table(models, game).predict(coalitions, 1)[0] + models.constant[game]


def _searched(posterior: ProcessPosterior, judged: Judged, options: Options) -> tuple[Models, list[Judged]] | None:
    """The direct search's model, if it predicts the held-out quarter better than the process; None otherwise.

    It does in sparse games with noise, and in those of more patterns than a search finds exactly.
    """
    if not posterior.is_promising:
        return None
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


def _count(game: _Game, without: Tensor) -> int:
    """How many patterns pay: by one standard error of the error left out, or the fewest that reach ``min_r2``."""
    options, (m, n) = game.options, game.coalitions.shape
    most = max(m // 4, min(n, m // 2), 1)
    limit = min(options.max_patterns or (_MOST_COUNTED if game.support.is_complete else _MOST_PURSUED), most)
    search = replace(game, options=replace(options, min_r2=None, effort="stable", exact_ends=False))
    found = search.models(without, limit)
    errors = torch.zeros(m, limit + 1, dtype=torch.float64, device=game.v.device)
    for i, fold in enumerate(game.folds):
        errors[fold.rows] = _path_errors(game, fold, _table(found, i), without[i], limit)
    unseen = Unseen.of(game.coalitions, options.size_shares(n))
    weights = unseen.weights / unseen.weights.sum().clamp(min=1e-300)
    mean = weights @ errors
    if options.min_r2 is not None:
        centre = float(weights @ game.v)
        variance = float(weights @ (game.v - centre).square())
        reached = mean <= (1 - options.min_r2) * variance
        return max(int(reached.int().argmax()), 1) if bool(reached.any()) else limit
    best = int(mean.argmin())
    spread = float((weights.square() @ (errors[:, best] - mean[best]).square()).sqrt())
    return max(int((mean <= mean[best] + spread).int().argmax()), 1)


def _path_errors(game: _Game, fold: Fold, table: PatternTable, y: Tensor, limit: int) -> Tensor:
    """Squared errors on the coalitions left out after 0, 1, … patterns, fitted to the game without them."""
    some = torch.randperm(len(y), generator=torch.Generator().manual_seed(0), device="cpu")[:_FITTED_ROWS].to(y.device)
    columns = table.holds(game.support.rows[some]).double()
    test = table.holds(game.coalitions[fold.rows]).double()
    errors = path_errors(columns, y[some], test, game.v[fold.rows])
    missing = max(limit + 1 - errors.shape[1], 0)  # after the last pattern nothing changes
    return torch.nn.functional.pad(errors[None], (0, missing), mode="replicate")[0]


def _table(models: Models, game: int) -> PatternTable:
    mine = models.game == game
    return PatternTable(
        torch.zeros_like(models.game[mine]), models.is_or[mine], models.members[mine], models.value[mine]
    )
