"""Logical models from some coalitions of a game: chosen on most of them, R² from held-out ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from captum_andor.games.transforms import coalition_codes
from captum_andor.sampling import DICTIONARY_PLAYERS, n_held_out, orders_seen
from captum_andor.search.beam_search import Pattern, Sample, Search
from captum_andor.search.complete_games import allowed_columns, shortened
from captum_andor.search.dictionary import SampledColumns
from captum_andor.search.efforts import EXACT, Problem, placed, select
from captum_andor.search.least_squares import Models, joined_models, path_errors
from captum_andor.search.options import Options
from captum_andor.search.pursuit import Games, rank
from captum_andor.search.sampled_fits import (
    finished_model,
    fitted,
    pattern_columns,
    predicted_by_patterns,
    scaled,
    written_columns,
)

_LEAST_COALITIONS = 16  # four held out: an interval of R² from fewer says nothing
_LEAST_SHARE = 0.02  # of coalitions that tell a pattern from none
_FOLDS, _MOST_BY_CROSS_VALIDATION = 4, 240  # photos with 12 patches want up to 204 patterns at 1 024 coalitions
_ADDITIVE = 1 - 1e-11  # R² of single players from which a game counts as additive: rounding of float64
_SEARCHED_PLAYERS = 1024  # that a search looks at: of 12 288 it would compare 75 million pairs at every step
_ROWS_TIMES_COLUMNS = 1 << 25  # numbers in the written shortlists of the games that are worked on at once


def sampled_models(values: Tensor, coalitions: Tensor, held_out: Tensor, strata: Tensor, options: Options) -> Models:
    """Logical models of B games.

    Args:
        values: float64, shape ``(B, m)``.
        coalitions: Each once, bool, shape ``(m, n)``; with exact ends ∅ and N among them.
        held_out: Which of them are for R² alone, bool, shape ``(m,)``.
        strata: Groups of like size, int64 from 0, shape ``(m,)``.
        options: What the models may look like.

    Returns:
        - **models** (*Models*): R² and its interval are those of held-out coalitions, which then join the final fit.
    """
    chosen = _chosen_and_counted(values, coalitions, held_out, strata, options)
    if options.exact_ends:
        known = ~held_out
        rows = coalitions[known]
        chosen = [_closed(v, rows, mine, options) for v, mine in zip(values[:, known], chosen, strict=True)]
    parts = [
        finished_model(game, v, coalitions, held_out, patterns, options)
        for game, (v, patterns) in enumerate(zip(values, chosen, strict=True))
    ]
    return joined_models(parts)


def check_sample_size(name: str, n_coalitions: int, options: Options) -> None:
    """Raise unless so many coalitions, less those held out, are enough for the patterns asked for."""
    most = options.max_patterns or 1
    least = _LEAST_COALITIONS
    while least - n_held_out(least) < 2 * most + 2:
        least += 1
    if n_coalitions < least:
        raise ValueError(
            f"{name} gives {n_coalitions} coalitions: too few for max_patterns={options.max_patterns}, which needs "
            f"{least} (some are held out, and the rest must be twice as many as the patterns). Give more, lower "
            "max_patterns, or evaluate all 2^n."
        )


def check_sample(rows: Tensor, options: Options, any_weights: bool = False) -> None:
    """Raise unless a model can be fitted to a sample of different coalitions."""
    check_sample_size("coalitions", len(rows), options)
    if not options.is_uniform and not any_weights:
        raise ValueError(
            f"weights={options.weights!r} needs the values of all 2^n coalitions; a sample is taken as it is. "
            'Pass weights="uniform", and coalitions drawn with the weights that R² should have.'
        )
    sizes = rows.sum(1)
    has_ends = bool((sizes == 0).any()) and bool((sizes == rows.shape[1]).any())
    if options.exact_ends and not has_ends:
        raise ValueError(
            "coalitions must hold the empty and the full coalition for exact_ends=True. "
            "Add them, or pass exact_ends=False."
        )


def choose(
    values: Tensor, coalitions: Tensor, strata: Tensor, options: Options, counts: list[int], restarts: int = 4
) -> list[list[Pattern]]:
    """The patterns that a search takes for each game, at most its count, most useful first."""
    if coalitions.shape[1] <= DICTIONARY_PLAYERS:
        return _from_dictionary(values, coalitions, options, counts)
    if coalitions.shape[1] > _SEARCHED_PLAYERS:
        return [
            _among_leading(v, coalitions, strata, options, k, restarts) for v, k in zip(values, counts, strict=True)
        ]
    rows = coalitions.cpu().numpy()
    largest = max(2, *orders_seen(rows))
    sample = Sample(rows, strata.cpu().numpy(), min(options.max_order or largest, largest), tuple(options.kinds))
    additive = _are_additive(coalitions, values - values.mean(1, keepdim=True)).tolist()
    alone: list[Pattern] = [(False, (player,)) for player in range(coalitions.shape[1])]
    found = [
        # Room to take more than k: what was taken early may prove needless when the rest is there.
        alone if is_additive else Search(sample, v).run(max(k, min(2 * k + 10, len(rows) // 4)), restarts)
        for v, k, is_additive in zip(values.cpu().numpy(), counts, additive, strict=True)
    ]
    return [_ranked(v, coalitions, some)[:k] for v, some, k in zip(values, found, counts, strict=True)]


def _among_leading(
    v: Tensor, coalitions: Tensor, strata: Tensor, options: Options, count: int, restarts: int
) -> list[Pattern]:
    """The patterns of one game among the players that correlate most with it: a search grows with their square."""
    present = coalitions.to(v.dtype)
    centred = present - present.mean(0)
    correlation = (centred.T @ (v - v.mean())).abs() / centred.square().sum(0).sqrt().clamp(min=1e-12)
    leading = correlation.argsort(descending=True, stable=True)[:_SEARCHED_PLAYERS].sort().values
    found = choose(v[None], coalitions[:, leading], strata, options, [count], restarts)[0]
    ids = leading.tolist()
    return [(is_or, tuple(ids[player] for player in players)) for is_or, players in found]


def _chosen_and_counted(
    values: Tensor, coalitions: Tensor, held_out: Tensor, strata: Tensor, options: Options
) -> list[list[Pattern]]:
    """Patterns of each game, in the number that the options, held-out R² or cross-validation ask for."""
    known = ~held_out
    rows, y, groups = coalitions[known], values[:, known], strata[known]
    most = max(len(rows) // 5, min(rows.shape[1], len(rows) // 2), 1)
    if options.max_patterns is not None and options.min_r2 is None:
        return choose(y, rows, groups, options, [options.max_patterns] * len(y))
    limit = min(options.max_patterns or most, most)
    if options.min_r2 is None:
        limit = min(limit, _MOST_BY_CROSS_VALIDATION)
        if rows.shape[1] <= DICTIONARY_PLAYERS:
            return choose(y, rows, groups, options, _cross_validated(y, rows, groups, options, limit))
        chosen = choose(y, rows, groups, options, [limit] * len(y))
        # Of an exact model nothing is left to choose; each game by itself, whoever else is in the batch.
        open_games = [i for i, (v, some) in enumerate(zip(y, chosen, strict=True)) if not _is_exact(v, rows, some)]
        if open_games:
            counts = _cross_validated(y[open_games], rows, groups, options, limit)
            for i, k in zip(open_games, counts, strict=True):
                chosen[i] = chosen[i][:k]
        return chosen
    chosen = choose(y, rows, groups, replace(options, effort="stable"), [limit] * len(y))
    goal = min(options.min_r2, EXACT)
    test, truth = coalitions[held_out], values[:, held_out]
    counts = []
    for v, w, patterns in zip(y, truth, chosen, strict=True):
        squares = _path_errors(rows, v, test, w, patterns).sum(0)
        reached = squares <= (1 - goal) * (w - w.mean()).square().sum()
        counts.append(int(reached.int().argmax()) if bool(reached.any()) else len(patterns))
    if options.is_stable or rows.shape[1] > DICTIONARY_PLAYERS:
        return [patterns[:k] for patterns, k in zip(chosen, counts, strict=True)]
    return choose(y, rows, groups, options, counts)


def _is_exact(v: Tensor, rows: Tensor, patterns: list[Pattern]) -> bool:
    return bool(fitted(scaled(v, rows, bound=False)[0], rows, patterns, bound=False).r2 >= EXACT)


def _cross_validated(y: Tensor, rows: Tensor, strata: Tensor, options: Options, limit: int) -> list[int]:
    """Number of patterns by cross-validation with the one-standard-error rule."""
    m = len(rows)
    options = replace(options, effort="stable")
    order = torch.randperm(m, generator=torch.Generator().manual_seed(options.seed), device="cpu").to(rows.device)
    errors = torch.full((len(y), m, limit + 1), torch.nan, dtype=torch.float64, device=y.device)
    for fold in range(_FOLDS):
        test = order[fold::_FOLDS]
        train = torch.ones(m, dtype=torch.bool, device=rows.device)
        train[test] = False
        chosen = choose(y[:, train], rows[train], strata[train], options, [limit] * len(y), restarts=0)
        for game, patterns in enumerate(chosen):
            squares = _path_errors(rows[train], y[game, train], rows[test], y[game, test], patterns)
            errors[game, test, : squares.shape[1]] = squares
            errors[game, test, squares.shape[1] :] = squares[:, -1:]  # the search ended: more would add nothing
    mean = errors.mean(1)
    best = mean.argmin(1)
    spread = errors[torch.arange(len(y), device="cpu"), :, best].std(1) / m**0.5
    counts: list[int] = (mean <= (mean.amin(1) + spread)[:, None]).int().argmax(1).tolist()
    return counts


def _path_errors(rows: Tensor, y: Tensor, test: Tensor, truth: Tensor, patterns: list[Pattern]) -> Tensor:
    return path_errors(pattern_columns(rows, patterns), y, pattern_columns(test, patterns), truth)


def chosen_patterns(v: Tensor, coalitions: Tensor, strata: Tensor, count: int, options: Options) -> list[Pattern]:
    """So many patterns by a search that sees all coalitions; arguments as for :func:`searched_patterns`."""
    patterns = choose(v[None], coalitions, strata, options, [count])[0]
    return _closed(v, coalitions, patterns, options) if options.exact_ends else patterns


def _from_dictionary(values: Tensor, coalitions: Tensor, options: Options, counts: list[int]) -> list[list[Pattern]]:
    """Patterns from the list of all, for up to 20 players."""
    m, n = coalitions.shape
    codes = coalition_codes(coalitions)
    columns = SampledColumns(n, codes, torch.ones(m, dtype=torch.float64, device=values.device))
    share = columns.mean
    told = (share >= _LEAST_SHARE) & (share <= 1 - _LEAST_SHARE)
    base = values.mean(1, keepdim=True)
    scale = (values - base).abs().amax(1, keepdim=True)
    constant = scale[:, 0] <= 4 * torch.finfo(values.dtype).eps * values.abs().amax(1)
    unit = (values - base) / torch.where(constant, 1.0, scale[:, 0])[:, None]
    degree = torch.where(_are_additive(coalitions, unit), 1, n)
    wanted = torch.tensor(counts, device=values.device)
    chosen = torch.empty(len(values), 0, dtype=torch.long, device=values.device)
    for key in sorted(set(zip(degree.tolist(), counts, strict=True))):
        mine = ((degree == key[0]) & (wanted == key[1]) & ~constant).nonzero()[:, 0]
        allowed = allowed_columns(columns, options, key[0]) & told
        if not key[1] or not len(mine) or not bool(allowed.any()):
            continue
        for some in mine.split(max(_ROWS_TIMES_COLUMNS // (m << 10), 1)):
            games = Games(columns, unit[some])
            problem = Problem(games, games, None, some[:, None][:, :0])
            picked = select(problem, allowed, replace(options, max_patterns=key[1], min_r2=None))
            if options.effort == "high" and key[1] < m // 2:
                picked = shortened(problem, allowed, picked, options.seed)
            chosen = placed(chosen, some, picked)
    half = columns.n_coalitions
    return [[(j >= half, tuple(i for i in range(n) if j >> i & 1)) for j in row if j >= 0] for row in chosen.tolist()]


def _are_additive(coalitions: Tensor, unit: Tensor) -> Tensor:
    """Whether single players explain each game exactly: bool, shape ``(B,)``."""
    m, n = coalitions.shape
    if m < n + 2:
        return torch.zeros(len(unit), dtype=torch.bool, device=unit.device)
    basis, _ = torch.linalg.qr(torch.cat([torch.ones_like(unit[:1]).T, coalitions.to(unit.dtype)], dim=1))
    left = unit - (unit @ basis) @ basis.T
    centred = unit - unit.mean(1, keepdim=True)
    unexplained: Tensor = left.square().sum(1)
    return (centred != 0).any(1) & (unexplained <= (1 - _ADDITIVE) * centred.square().sum(1))


def _ranked(v: Tensor, coalitions: Tensor, patterns: list[Pattern]) -> list[Pattern]:
    """Patterns by backward elimination, most useful first."""
    if not patterns:
        return patterns
    order = rank(
        Games(written_columns(coalitions, patterns), v[None]), torch.arange(len(patterns), device=v.device)[None]
    )
    return [patterns[i] for i in order[0].tolist()]


def _closed(v: Tensor, coalitions: Tensor, patterns: list[Pattern], options: Options) -> list[Pattern]:
    """The patterns or, where exact ends then cost less, fewer of them with the AND or OR of all players, or both."""
    n = coalitions.shape[1]
    everyone = tuple(range(n))
    if n < 2 or (options.max_order or n) < n:
        return patterns
    closing: list[Pattern] = [(kind == "or", everyone) for kind in options.kinds]
    limit = options.max_patterns or max(len(patterns), len(closing))
    candidates = [patterns]
    for some in [[c] for c in closing] + ([closing] if len(closing) == 2 else []):
        kept = [p for p in patterns if p not in some]
        candidates.append((some + kept)[:limit])
    unit, _, _ = scaled(v, coalitions, bound=True)
    return max(candidates, key=lambda some: float(fitted(unit, coalitions, some, bound=True).r2))


def searched_patterns(
    v: Tensor, coalitions: Tensor, held_out: Tensor, strata: Tensor, options: Options
) -> tuple[Tensor, list[Pattern]]:
    """What a search that does not see some coalitions predicts there, and the patterns that it found.

    Args:
        v: Values of one game, float64, shape ``(m,)``.
        coalitions: Each once, bool, shape ``(m, n)``.
        held_out: Which of them are not seen, bool, shape ``(m,)``.
        strata: Groups of like size, int64 from 0, shape ``(m,)``.
        options: What the model may look like.

    Returns:
        - **predicted** (*Tensor*): Values on the coalitions held out.
        - **patterns** (*list*): In the order of their use.
    """
    known = ~held_out
    patterns = _chosen_and_counted(v[None], coalitions, held_out, strata, options)[0]
    if options.exact_ends:
        patterns = _closed(v[known], coalitions[known], patterns, options)
    return predicted_by_patterns(v[known], coalitions[known], patterns, coalitions[held_out], options), patterns
