"""Logical models from some coalitions of a game: chosen on most of them, R² from held-out ones.

The model returned is fitted to all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.statistics import effective_count
from captum_andor._utils.user_warnings import warn
from captum_andor.games.transforms import coalition_codes
from captum_andor.results import PatternTable
from captum_andor.sampling import DICTIONARY_PLAYERS, held_out_at_random, n_held_out, n_passes, orders_seen
from captum_andor.search.beam_search import CoalitionSample, Pattern, Search
from captum_andor.search.complete_games import allowed_columns, shortened
from captum_andor.search.dictionary import SampledColumns, WrittenColumns
from captum_andor.search.least_squares import Ends, Fit, GameBatch, Models, fit, joined_models, path_errors
from captum_andor.search.options import Options
from captum_andor.search.pursuit import EXACT, Problem, placed, rank, select

_LEAST_COALITIONS = 16  # four held out: an interval of R² from fewer says nothing
_ENUMERATED_PLAYERS = 10  # all 1 024 coalitions cost what the default budget costs
_DEFAULT_BUDGET = 1024  # of 256, 512, 1 024 and 2 048 the first that came near the R² of all coalitions
_FIRST = 256  # coalitions that an automatic budget begins with
_LEAST_SHARE = 0.02  # of coalitions that tell a pattern from none
_FOLDS, _MOST_BY_CROSS_VALIDATION = 4, 240  # photos with 12 patches want up to 204 patterns at 1 024 coalitions
_ADDITIVE = 1 - 1e-11  # R² of single players from which a game counts as additive: rounding of float64
_SEARCHED_PLAYERS = 1024  # that a search looks at: of 12 288 it would compare 75 million pairs at every step
_ROWS_TIMES_COLUMNS = 1 << 25  # numbers in the written shortlists of the games that are worked on at once
_RESAMPLES, _INTERVAL = 1000, (0.025, 0.975)  # the ends of a 95 % interval rest on 25 draws each
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the largest |v|: weaker patterns are the rounding of a model
_DEPENDENT = 1e-9  # share of the largest singular value below which columns are sums of others
_FEWEST_EFFECTIVE = 3.0  # held-out values that the variance of v rests on: with fewer R² is chance


def single_player_models(values: Tensor, coalitions: Tensor, options: Options) -> Models:
    """What is left after Ctrl-C during a search: models of single players, at once, with a warning.

    Args:
        values: float64, shape ``(B, m)``.
        coalitions: Each once, bool, shape ``(m, n)``; with exact ends ∅ and N among them.
        options: What the models may look like.
    """
    m = len(coalitions)
    warn(
        f"interrupted during the search: the model is of single players, from all {m:,} coalitions that were "
        "evaluated. Pass it as previous= to search again without evaluating them again."
    )
    most = options.max_patterns or max(m // 8, 1)
    options = replace(options, max_order=1, effort="stable", max_patterns=most, min_r2=None)
    rows = coalitions.cpu().numpy()
    held_out = torch.from_numpy(held_out_at_random(rows, options.seed)).to(values.device)
    seen = ~held_out
    strata = torch.zeros(int(seen.sum()), dtype=torch.int64, device=values.device)
    chosen = choose(values[:, seen], coalitions[seen], strata, options, [most] * len(values))
    return joined_models(
        [
            finished_model(game, v, coalitions, held_out, patterns, options)
            for game, (v, patterns) in enumerate(zip(values, chosen, strict=True))
        ]
    )


def check_budget(budget: Any, n_players: int, max_players: int, options: Options, n_rows: int = 0) -> int | None:
    """How many coalitions to evaluate at the start, or passes on a background of so many rows; None for all."""
    everything = n_passes(n_players, n_rows)
    if budget is None and n_rows and n_players > _ENUMERATED_PLAYERS:
        return _DEFAULT_BUDGET + n_rows
    if budget is None:
        return None if n_players <= _ENUMERATED_PLAYERS else _enough(_DEFAULT_BUDGET, everything, options)
    if isinstance(budget, str):
        if budget != "auto":
            raise ValueError(f'budget must be None, an int or "auto"; got {budget!r}.')
        return _enough(_FIRST, everything, options) if everything > _FIRST else None
    if not is_int(budget):
        raise TypeError(f'budget must be None, an int or "auto"; got {budget!r}.')
    if budget >= everything:
        if n_players > max_players:
            raise ValueError(
                f"budget={budget} asks for all 2^{n_players} coalitions, and max_players is {max_players}. Pass a "
                "smaller budget, or allow it with AndOrInteractions(..., max_players=…)."
            )
        return None
    if budget < _LEAST_COALITIONS:
        raise ValueError(f"budget must be at least {_LEAST_COALITIONS}, or None; got {budget}.")
    check_sample_size("budget", int(budget), options)
    return int(budget)


def _enough(budget: int, everything: int, options: Options) -> int | None:
    """The default budget, raised where the options ask for more patterns than it could fit."""
    budget = max(budget, 4 * (options.max_patterns or 0))
    return budget if budget < everything else None


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


def check_sample(rows: Tensor, options: Options) -> None:
    """Raise unless a model can be fitted to a sample of different coalitions."""
    check_sample_size("coalitions", len(rows), options)
    sizes = rows.sum(1)
    has_ends = bool((sizes == 0).any()) and bool((sizes == rows.shape[1]).any())
    if options.exact_ends and not has_ends:
        raise ValueError(
            "coalitions must hold the empty and the full coalition for exact_ends=True. "
            "Add them, or pass exact_ends=False."
        )


def choose(
    values: Tensor,
    coalitions: Tensor,
    strata: Tensor,
    options: Options,
    counts: list[int],
    is_hopeless: Callable[[list[Pattern]], bool] | None = None,
    restarts: int = 4,
) -> list[list[Pattern]]:
    """The patterns that a search takes for each game, at most its count, most useful first.

    Above 20 players ``is_hopeless`` may end the search early.
    """
    if coalitions.shape[1] <= DICTIONARY_PLAYERS:
        return _from_dictionary(values, coalitions, options, counts)
    if coalitions.shape[1] > _SEARCHED_PLAYERS:
        return [
            _among_leading(v, coalitions, strata, options, k, restarts) for v, k in zip(values, counts, strict=True)
        ]
    rows = coalitions.cpu().numpy()
    largest = max(2, *orders_seen(rows))
    sample = CoalitionSample(
        rows, strata.cpu().numpy(), min(options.max_order or largest, largest), tuple(options.kinds)
    )
    additive = _are_additive(coalitions, values - values.mean(1, keepdim=True)).tolist()
    alone: list[Pattern] = [(False, (player,)) for player in range(coalitions.shape[1])]
    found = [
        # Room to take more than k: what was taken early may prove needless when the rest is there.
        alone if is_additive else Search(sample, v).run(max(k, min(2 * k + 10, len(rows) // 4)), restarts, is_hopeless)
        for v, k, is_additive in zip(values.cpu().numpy(), counts, additive, strict=True)
    ]
    return [_ranked(v, coalitions, some)[:k] for v, some, k in zip(values, found, counts, strict=True)]


def _among_leading(
    v: Tensor,
    coalitions: Tensor,
    strata: Tensor,
    options: Options,
    count: int,
    restarts: int,
) -> list[Pattern]:
    """The patterns of one game among the players that correlate most with it: a search grows with their square."""
    present = coalitions.to(v.dtype)
    centred = present - present.mean(0)
    correlation = (centred.T @ (v - v.mean())).abs() / centred.square().sum(0).sqrt().clamp(min=1e-12)
    leading = correlation.argsort(descending=True, stable=True)[:_SEARCHED_PLAYERS].sort().values
    found = choose(v[None], coalitions[:, leading], strata, options, [count], None, restarts)[0]
    ids = leading.tolist()
    return [(is_or, tuple(ids[player] for player in players)) for is_or, players in found]


def _chosen_and_counted(
    v: Tensor, coalitions: Tensor, held_out: Tensor, strata: Tensor, options: Options
) -> list[Pattern]:
    """Patterns of one game, in the number that the options, held-out R² or cross-validation ask for."""
    known = ~held_out
    rows, y, groups = coalitions[known], v[known], strata[known]

    def chosen(count: int, options: Options) -> list[Pattern]:
        return choose(y[None], rows, groups, options, [count])[0]

    if options.max_patterns is not None and options.min_r2 is None:
        return chosen(options.max_patterns, options)
    most = max(len(rows) // 5, min(rows.shape[1], len(rows) // 2), 1)
    limit = min(options.max_patterns or most, most)
    is_listed = rows.shape[1] <= DICTIONARY_PLAYERS
    if options.min_r2 is None:
        limit = min(limit, _MOST_BY_CROSS_VALIDATION)
        if is_listed:
            return chosen(_cross_validated(y, rows, groups, options, limit), options)
        patterns = chosen(limit, options)
        # Of an exact model nothing is left to choose.
        if _is_exact(y, rows, patterns):
            return patterns
        return patterns[: _cross_validated(y, rows, groups, options, limit)]
    patterns = chosen(limit, replace(options, effort="stable"))
    test, truth = coalitions[held_out], v[held_out]
    squares = _path_errors(rows, y, test, truth, patterns).sum(0)
    reached = squares <= (1 - min(options.min_r2, EXACT)) * (truth - truth.mean()).square().sum()
    count = int(reached.int().argmax()) if bool(reached.any()) else len(patterns)
    return patterns[:count] if options.is_stable or not is_listed else chosen(count, options)


def _is_exact(v: Tensor, rows: Tensor, patterns: list[Pattern]) -> bool:
    return bool(fitted(scaled(v, rows, bound=False)[0], rows, patterns, bound=False).r2 >= EXACT)


def _cross_validated(y: Tensor, rows: Tensor, strata: Tensor, options: Options, limit: int) -> int:
    """Number of patterns by cross-validation with the one-standard-error rule."""
    m = len(rows)
    options = replace(options, effort="stable")
    order = torch.randperm(m, generator=torch.Generator().manual_seed(options.seed), device="cpu").to(rows.device)
    errors = torch.full((m, limit + 1), torch.nan, dtype=torch.float64, device=y.device)
    for fold in range(_FOLDS):
        test = order[fold::_FOLDS]
        train = torch.ones(m, dtype=torch.bool, device=rows.device)
        train[test] = False
        patterns = choose(y[None, train], rows[train], strata[train], options, [limit], restarts=0)[0]
        squares = _path_errors(rows[train], y[train], rows[test], y[test], patterns)
        errors[test, : squares.shape[1]] = squares
        errors[test, squares.shape[1] :] = squares[:, -1:]  # the search ended: more would add nothing
    mean = errors.mean(0)
    spread = errors[:, mean.argmin()].std() / m**0.5
    return int((mean <= mean.amin() + spread).int().argmax())


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
            games = GameBatch(columns, unit[some])
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
        GameBatch(written_columns(coalitions, patterns), v[None]), torch.arange(len(patterns), device=v.device)[None]
    )
    return [patterns[i] for i in order[0].tolist()]


def _closed(v: Tensor, coalitions: Tensor, patterns: list[Pattern], options: Options) -> list[Pattern]:
    """The patterns or, where exact ends then cost less, fewer of them with the AND or OR of all players, or such."""
    closing = closing_patterns(coalitions.shape[1], options)
    limit = options.max_patterns or max(len(patterns), len(closing))
    candidates = [patterns]
    for some in [closing[:1], closing[1:2], closing[1:]][: len(closing)]:
        players = {members for _, members in some}
        candidates.append((some + [pattern for pattern in patterns if pattern[1] not in players])[:limit])
    unit, _, _ = scaled(v, coalitions, bound=True)
    return max(candidates, key=lambda some: float(fitted(unit, coalitions, some, bound=True).r2))


def closing_patterns(n: int, options: Options) -> list[Pattern]:
    """What holds the ends without disturbing the rest: see :class:`~captum_andor.search.pursuit.Problem`."""
    if n < 2 or (options.max_order or n) < n:
        return []
    everyone = tuple(range(n))
    closing: list[Pattern] = [(kind == "or", everyone) for kind in options.kinds]
    return closing if len(closing) < 2 else [*closing, (False, everyone[:-1])]


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
    patterns = _chosen_and_counted(v, coalitions, held_out, strata, options)
    if options.exact_ends:
        patterns = _closed(v[known], coalitions[known], patterns, options)
    return predicted_by_patterns(v[known], coalitions[known], patterns, coalitions[held_out], options), patterns


def finished_model(
    game: int, v: Tensor, coalitions: Tensor, held_out: Tensor, patterns: list[Pattern], options: Options
) -> Models:
    """The model of one game: R² of a fit without the held-out coalitions, then a fit with all."""
    unit, offset, scale = scaled(v, coalitions, options.exact_ends)
    trial = fitted(unit[~held_out], coalitions[~held_out], patterns, options.exact_ends)
    predicted = trial.constant + pattern_columns(coalitions[held_out], patterns) @ trial.coefficients[0]
    is_constant = bool((v - v[0]).abs().amax() <= 1e-12 * v.abs().amax())
    r2, interval = held_out_r2(unit[held_out], unit[held_out] - predicted, options.seed, is_constant)
    final, patterns = _without_rounding(unit, coalitions, patterns, options)
    return _as_models(game, v, coalitions, patterns, final, (offset, scale), (r2, interval))


def model_of_patterns(v: Tensor, coalitions: Tensor, patterns: list[Pattern], options: Options) -> Models:
    """Least squares on given patterns as a model of one game; its R² is that of the fit."""
    nobody = torch.zeros(len(v), dtype=torch.bool, device=v.device)
    return finished_model(0, v, coalitions, nobody, patterns, options)


def model_like(
    predicted: Tensor, rows: Tensor, patterns: list[Pattern], v: Tensor, coalitions: Tensor, options: Options
) -> Models:
    """The model of one game fitted to predicted values; its R² is still unknown.

    Args:
        predicted: Values, float64, shape ``(k,)``.
        rows: Coalitions of which they are predicted, bool, shape ``(k, n)``.
        patterns: Chosen on them.
        v: Values that were seen, for |t|, shape ``(m,)``.
        coalitions: Where, bool, shape ``(m, n)``.
        options: Of the model.
    """
    unit, offset, scale = scaled(predicted, rows, options.exact_ends)
    final, patterns = _without_rounding(unit, rows, patterns, options)
    unknown = v.new_full((), torch.nan)
    models = _as_models(0, v, coalitions, patterns, final, (offset, scale), (unknown, unknown.expand(2)))
    return models._replace(t=t_values(v, coalitions, models.is_or, models.members, models.value))


def predicted_by_patterns(
    v: Tensor, rows: Tensor, patterns: list[Pattern], coalitions: Tensor, options: Options
) -> Tensor:
    """What least squares on values v on some rows predicts on coalitions ``(k, n)``: shape ``(k,)``."""
    unit, offset, scale = scaled(v, rows, options.exact_ends)
    found = fitted(unit, rows, patterns, options.exact_ends)
    h: Tensor = (found.constant + pattern_columns(coalitions, patterns) @ found.coefficients[0]) * scale + offset
    return h


def fitted_patterns(v: Tensor, coalitions: Tensor, patterns: list[Pattern]) -> tuple[Tensor, PatternTable]:
    """Least squares on given patterns: the constant, and a table of one output."""
    unit, offset, scale = scaled(v, coalitions, bound=False)
    found = fitted(unit, coalitions, patterns, bound=False)
    table, _ = PatternTable.ordered(*_columns_of_table(patterns, coalitions, found.coefficients[0] * scale))
    return found.constant[0] * scale + offset, table


def t_values(v: Tensor, coalitions: Tensor, is_or: Tensor, members: Tensor, value: Tensor) -> Tensor:
    """|value| of given patterns over the standard errors that least squares on the coalitions given has: ``(P,)``.

    0 where the coalitions do not tell a pattern from the others.
    """
    patterns = [(bool(kind), tuple(row.nonzero()[:, 0].tolist())) for kind, row in zip(is_or, members, strict=True)]
    if not patterns or len(coalitions) < len(patterns) + 2:
        return torch.full_like(value, torch.nan)
    unit, _, scale = scaled(v, coalitions, bound=False)
    columns = pattern_columns(coalitions, patterns)
    basis, size, turn = torch.linalg.svd(columns - columns.mean(0), full_matrices=False)
    seen = size > _DEPENDENT * size[0]
    left = unit - unit.mean()
    left = left - basis[:, seen] @ (basis[:, seen].T @ left)
    noise = left.square().sum() / max(len(unit) - int(seen.sum()) - 1, 1)
    noise = torch.where(left.abs().amax() > _ROUNDING, noise, 0.0)
    spread = (turn[seen] / size[seen, None]).square().sum(0)
    is_told = turn[~seen].square().sum(0) < _DEPENDENT
    return torch.where(is_told & (value != 0), value.abs() / (noise * spread).sqrt() / scale, 0.0)


def _without_rounding(
    unit: Tensor, coalitions: Tensor, patterns: list[Pattern], options: Options
) -> tuple[Fit, list[Pattern]]:
    """A fit, without the terms that the search added to explain rounding."""
    final = fitted(unit, coalitions, patterns, options.exact_ends)
    strong = final.coefficients[0].abs() > _ROUNDING
    if not bool(strong.all()):
        patterns = [pattern for pattern, kept in zip(patterns, strong.tolist(), strict=True) if kept]
        final = fitted(unit, coalitions, patterns, options.exact_ends)
    return final, patterns


def _as_models(
    game: int,
    v: Tensor,
    coalitions: Tensor,
    patterns: list[Pattern],
    final: Fit,
    unit: tuple[Tensor, Tensor],
    fidelity: tuple[Tensor, Tensor],
) -> Models:
    """The model of one game from a fit to values in a unit."""
    offset, scale = unit
    r2, interval = fidelity
    members = torch.zeros(len(patterns), coalitions.shape[1], dtype=torch.bool, device="cpu")
    for row, (_, players) in enumerate(patterns):
        members[row, list(players)] = True
    return Models(
        game=torch.full((len(patterns),), game, device=v.device),
        is_or=torch.tensor([is_or for is_or, _ in patterns], dtype=torch.bool, device=v.device),
        members=members.to(v.device),
        value=final.coefficients[0] * scale,
        t=final.t[0],
        constant=final.constant * scale + offset,
        r2=r2[None],
        r2_path=final.r2_path,
        r2_interval=interval[None],
    )


def _columns_of_table(patterns: list[Pattern], coalitions: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """Columns of a table of patterns of one output: output, is_or, members, value."""
    members = torch.zeros(len(patterns), coalitions.shape[1], dtype=torch.bool, device="cpu")
    for row, (_, players) in enumerate(patterns):
        members[row, list(players)] = True
    is_or = torch.tensor([is_or for is_or, _ in patterns], dtype=torch.bool, device=value.device)
    return torch.zeros(len(patterns), dtype=torch.int64, device=value.device), is_or, members.to(value.device), value


def scaled(v: Tensor, coalitions: Tensor, bound: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values of largest size 1, less v(∅) if the ends are bound, else less their mean; the offset and the scale."""
    offset = v[coalitions.sum(1) == 0][0] if bound else v.mean()
    scale = (v - offset).abs().max().clamp(min=torch.finfo(v.dtype).tiny)
    return (v - offset) / scale, offset, scale


def fitted(unit: Tensor, coalitions: Tensor, patterns: list[Pattern], bound: bool) -> Fit:
    """Least squares on given patterns."""
    size = coalitions.sum(1)
    ends = Ends(unit[size == 0], unit[size == coalitions.shape[1]]) if bound else None
    every = torch.arange(len(patterns), device=unit.device)[None]
    return fit(GameBatch(written_columns(coalitions, patterns), unit[None]), every, ends)


def held_out_r2(truth: Tensor, error: Tensor, seed: int, is_constant: bool) -> tuple[Tensor, Tensor]:
    """R² on held-out coalitions, and its 95 % interval by resampling them."""
    if not len(truth):
        unknown = error.new_full((), torch.nan)
        return unknown, unknown.expand(2)
    draws = torch.randint(
        len(truth), (_RESAMPLES, len(truth)), generator=torch.Generator().manual_seed(seed), device="cpu"
    )
    draws = torch.cat([torch.arange(len(truth), device="cpu")[None], draws]).to(truth.device)
    drawn, missed = truth[draws], error[draws]
    variance = (drawn - drawn.mean(1, keepdim=True)).square().sum(1)
    r2 = torch.where(variance > 1e-24, 1 - missed.square().sum(1) / variance.clamp(min=1e-24), torch.nan)
    if not bool(variance[0] > 1e-24) or effective_count((truth - truth.mean()).square()) < _FEWEST_EFFECTIVE:
        # Held-out values that are (nearly) all the same tell nothing of a game that is not constant.
        unknown = torch.full_like(r2[0], 1.0 if is_constant else torch.nan)
        return unknown, unknown.expand(2)
    return r2[0], torch.nanquantile(r2[1:], r2.new_tensor(_INTERVAL))


def pattern_columns(coalitions: Tensor, patterns: list[Pattern]) -> Tensor:
    """Whether each pattern holds on each coalition, as numbers: float64, shape ``(m, k)``."""
    columns = torch.empty(len(coalitions), len(patterns), dtype=torch.float64, device=coalitions.device)
    shapes: dict[tuple[bool, int], list[int]] = {}
    for place, (is_or, players) in enumerate(patterns):
        shapes.setdefault((is_or, len(players)), []).append(place)
    for (is_or, _), places in shapes.items():
        members = torch.tensor([patterns[place][1] for place in places], device=coalitions.device)
        some = coalitions[:, members]
        columns[:, places] = (some.any(2) if is_or else some.all(2)).double()
    return columns


def written_columns(coalitions: Tensor, patterns: list[Pattern]) -> WrittenColumns:
    """The columns of :func:`pattern_columns` as a dictionary of their own."""
    is_or = torch.tensor([is_or for is_or, _ in patterns], dtype=torch.bool, device=coalitions.device)
    order = torch.tensor([len(players) for _, players in patterns], dtype=torch.int64, device=coalitions.device)
    place = {pattern: i for i, pattern in enumerate(patterns)}
    rivals = [place.get((not kind, players), i) for i, (kind, players) in enumerate(patterns)]
    rival = torch.tensor(rivals, dtype=torch.int64, device=coalitions.device)
    return WrittenColumns(pattern_columns(coalitions, patterns), is_or, order, rival)
