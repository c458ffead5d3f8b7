"""Logical models from some coalitions of a game: chosen on most of them, R² from held-out ones."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from captum_andor.games.transforms import coalition_codes
from captum_andor.patterns import PatternTable
from captum_andor.sampling import DICTIONARY_PLAYERS, n_held_out, orders_seen
from captum_andor.search.beam_search import Pattern, Sample, Search
from captum_andor.search.complete_games import allowed_columns, shortened
from captum_andor.search.dictionary import SampledColumns, WrittenColumns
from captum_andor.search.efforts import EXACT, Problem, placed, select
from captum_andor.search.least_squares import Ends, Fit, Models, fit, joined_models
from captum_andor.search.options import Options
from captum_andor.search.pursuit import Games, rank

__all__ = [
    "check_sample",
    "check_sample_size",
    "choose",
    "fitted_patterns",
    "model_like",
    "model_of_patterns",
    "sampled_models",
    "searched_patterns",
    "t_values",
]

_LEAST_COALITIONS = 16  # four held out: an interval of R² from fewer says nothing
_LEAST_SHARE = 0.02  # of coalitions that tell a pattern from none
_FOLDS, _MOST_BY_CROSS_VALIDATION = 4, 240  # photos with 12 patches want up to 204 patterns at 1 024 coalitions
_RESAMPLES, _INTERVAL = 1000, (0.025, 0.975)  # the ends of a 95 % interval rest on 25 draws each
_ADDITIVE = 1 - 1e-11  # R² of single players from which a game counts as additive: rounding of float64
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the largest |v|: weaker patterns are the rounding of a model
_FEWEST_EFFECTIVE = 3.0  # held-out values that the variance of v rests on: with fewer R² is chance
# Of intervals of a model that replaces another, on the scale of log(1 − R²): it was chosen by the coalitions that judge
# it. Without the factor 95 % intervals cover .87 and .92 at 128 and 256 (`python -m benchmarks.many_players coverage`).
_CHOSEN = 1.3
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
        _finished(game, v, coalitions, held_out, patterns, options)
        for game, (v, patterns) in enumerate(zip(values, chosen, strict=True))
    ]
    return joined_models(parts)


def check_sample_size(name: str, n_coalitions: int, options: Options) -> None:
    """Raise unless so many coalitions, less those held out, are enough for the patterns asked for.

    Raises:
        ValueError: If they are not; ``name`` is the argument to blame.
    """
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
    if options.effort == "stable" or rows.shape[1] > DICTIONARY_PLAYERS:
        return [patterns[:k] for patterns, k in zip(chosen, counts, strict=True)]
    return choose(y, rows, groups, options, counts)


def _is_exact(v: Tensor, rows: Tensor, patterns: list[Pattern]) -> bool:
    return bool(_fitted(_scaled(v, rows, bound=False)[0], rows, patterns, bound=False).r2 >= EXACT)


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
    """Squared errors on test rows after 0, 1, … patterns, fitted on the others: shape ``(test, k + 1)``."""
    columns, test_columns = _columns(rows, patterns), _columns(test, patterns)
    mean = columns.mean(0)
    basis, upper = torch.linalg.qr(columns - mean)
    independent = upper.diagonal().abs() > 1e-9 * len(rows) ** 0.5
    inner = torch.where(independent, basis.T @ (y - y.mean()), 0.0)
    upper = upper + torch.diag((~independent).to(upper.dtype))
    turned = torch.linalg.solve_triangular(upper, test_columns - mean, upper=True, left=False)
    predicted = torch.cat([torch.zeros_like(truth)[:, None], (turned * inner).cumsum(1)], dim=1) + y.mean()
    return (truth[:, None] - predicted).square()


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
    order = rank(Games(_written(coalitions, patterns), v[None]), torch.arange(len(patterns), device=v.device)[None])
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
    unit, _, _ = _scaled(v, coalitions, bound=True)
    return max(candidates, key=lambda some: float(_fitted(unit, coalitions, some, bound=True).r2))


def _finished(
    game: int, v: Tensor, coalitions: Tensor, held_out: Tensor, patterns: list[Pattern], options: Options
) -> Models:
    """The model of one game: R² of a fit without the held-out coalitions, then a fit with all."""
    unit, offset, scale = _scaled(v, coalitions, options.exact_ends)
    trial = _fitted(unit[~held_out], coalitions[~held_out], patterns, options.exact_ends)
    predicted = trial.constant + _columns(coalitions[held_out], patterns) @ trial.coefficients[0]
    is_constant = bool((v - v[0]).abs().amax() <= 1e-12 * v.abs().amax())
    r2, interval = _held_out_r2(unit[held_out], unit[held_out] - predicted, options.seed, is_constant)
    final, patterns = _without_rounding(unit, coalitions, patterns, options)
    return _as_models(game, v, coalitions, patterns, final, (offset, scale), (r2, interval))


def _without_rounding(
    unit: Tensor, coalitions: Tensor, patterns: list[Pattern], options: Options
) -> tuple[Fit, list[Pattern]]:
    """A fit, without the terms that the search added to explain rounding."""
    final = _fitted(unit, coalitions, patterns, options.exact_ends)
    strong = final.coefficients[0].abs() > _ROUNDING
    if not bool(strong.all()):
        patterns = [pattern for pattern, kept in zip(patterns, strong.tolist(), strict=True) if kept]
        final = _fitted(unit, coalitions, patterns, options.exact_ends)
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


def model_like(
    v: Tensor,
    coalitions: Tensor,
    held_out: Tensor,
    rows: Tensor,
    trial: tuple[Tensor, list[Pattern]],
    final: tuple[Tensor, list[Pattern]],
    options: Options,
) -> Models:
    """The model of one game fitted to predicted values; R² is that of a trial on coalitions held out.

    Args:
        v: Values, float64, shape ``(m,)``.
        coalitions: bool, shape ``(m, n)``.
        held_out: Which of them the trial did not see, bool, shape ``(m,)``.
        rows: Coalitions of which values are predicted, bool, shape ``(k, n)``.
        trial: Values predicted without those held out, shape ``(k,)``, and the patterns chosen on them.
        final: The same from all.
        options: Of the model.
    """
    predicted, patterns = trial
    unit, offset, scale = _scaled(predicted, rows, options.exact_ends)
    tried = _fitted(unit, rows, patterns, options.exact_ends)
    h = tried.constant + _columns(coalitions[held_out], patterns) @ tried.coefficients[0]
    truth = (v[held_out] - offset) / scale
    r2, interval = _held_out_r2(truth, truth - h, options.seed, False)
    left = (1 - r2).clamp(min=torch.finfo(r2.dtype).tiny)
    fidelity = r2, 1 - left * ((1 - interval) / left) ** _CHOSEN
    unit, offset, scale = _scaled(final[0], rows, options.exact_ends)
    fitted, patterns = _without_rounding(unit, rows, final[1], options)
    models = _as_models(0, v, coalitions, patterns, fitted, (offset, scale), fidelity)
    return models._replace(t=t_values(v, coalitions, models.is_or, models.members, models.value))


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
    unit, offset, scale = _scaled(v, coalitions, options.exact_ends)
    trial = _fitted(unit[known], coalitions[known], patterns, options.exact_ends)
    predicted = trial.constant + _columns(coalitions[held_out], patterns) @ trial.coefficients[0]
    return predicted * scale + offset, patterns


def model_of_patterns(v: Tensor, coalitions: Tensor, patterns: list[Pattern], options: Options) -> Models:
    """Least squares on given patterns as a model of one game; its R² is that of the fit."""
    nobody = torch.zeros(len(v), dtype=torch.bool, device=v.device)
    return _finished(0, v, coalitions, nobody, patterns, options)


def fitted_patterns(v: Tensor, coalitions: Tensor, patterns: list[Pattern]) -> tuple[Tensor, PatternTable]:
    """Least squares on given patterns: the constant, and a table of one output."""
    unit, offset, scale = _scaled(v, coalitions, bound=False)
    found = _fitted(unit, coalitions, patterns, bound=False)
    table, _ = PatternTable.ordered(*_columns_of_table(patterns, coalitions, found.coefficients[0] * scale))
    return found.constant[0] * scale + offset, table


def t_values(v: Tensor, coalitions: Tensor, is_or: Tensor, members: Tensor, value: Tensor) -> Tensor:
    """|value| of given patterns over the standard errors that least squares on the coalitions given has: ``(P,)``."""
    patterns = [(bool(kind), tuple(row.nonzero()[:, 0].tolist())) for kind, row in zip(is_or, members, strict=True)]
    if not patterns or len(coalitions) < len(patterns) + 2:
        return torch.full_like(value, torch.nan)
    unit, _, scale = _scaled(v, coalitions, bound=False)
    found = _fitted(unit, coalitions, patterns, bound=False)
    error = found.coefficients[0].abs() * scale / found.t[0]
    return torch.where(value == 0, 0.0, value.abs() / error)


def _columns_of_table(patterns: list[Pattern], coalitions: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """Columns of a table of patterns of one output: output, is_or, members, value."""
    members = torch.zeros(len(patterns), coalitions.shape[1], dtype=torch.bool, device="cpu")
    for row, (_, players) in enumerate(patterns):
        members[row, list(players)] = True
    is_or = torch.tensor([is_or for is_or, _ in patterns], dtype=torch.bool, device=value.device)
    return torch.zeros(len(patterns), dtype=torch.int64, device=value.device), is_or, members.to(value.device), value


def _scaled(v: Tensor, coalitions: Tensor, bound: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values of largest size 1, less v(∅) if the ends are bound, else less their mean; the offset and the scale."""
    offset = v[coalitions.sum(1) == 0][0] if bound else v.mean()
    scale = (v - offset).abs().max().clamp(min=torch.finfo(v.dtype).tiny)
    return (v - offset) / scale, offset, scale


def _fitted(unit: Tensor, coalitions: Tensor, patterns: list[Pattern], bound: bool) -> Fit:
    """Least squares on given patterns."""
    size = coalitions.sum(1)
    ends = Ends(unit[size == 0], unit[size == coalitions.shape[1]]) if bound else None
    every = torch.arange(len(patterns), device=unit.device)[None]
    return fit(Games(_written(coalitions, patterns), unit[None]), every, ends)


def _held_out_r2(truth: Tensor, error: Tensor, seed: int, is_constant: bool) -> tuple[Tensor, Tensor]:
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
    if not bool(variance[0] > 1e-24) or _effective_count(truth) < _FEWEST_EFFECTIVE:
        # Held-out values that are (nearly) all the same tell nothing of a game that is not constant.
        unknown = torch.full_like(r2[0], 1.0 if is_constant else torch.nan)
        return unknown, unknown.expand(2)
    return r2[0], torch.nanquantile(r2[1:], r2.new_tensor(_INTERVAL))


def _effective_count(values: Tensor) -> float:
    """How many values their variance rests on."""
    squares = (values - values.mean()).square()
    total = float(squares.square().sum())
    return float(squares.sum()) ** 2 / total if total > 0 else 0.0


def _columns(coalitions: Tensor, patterns: list[Pattern]) -> Tensor:
    """Whether each pattern holds on each coalition, as numbers: float64, shape ``(m, k)``."""
    columns = torch.empty(len(coalitions), len(patterns), dtype=torch.float64, device=coalitions.device)
    for place, (is_or, players) in enumerate(patterns):
        some = coalitions[:, list(players)]
        columns[:, place] = some.any(1) if is_or else some.all(1)
    return columns


def _written(coalitions: Tensor, patterns: list[Pattern]) -> WrittenColumns:
    is_or = torch.tensor([is_or for is_or, _ in patterns], dtype=torch.bool, device=coalitions.device)
    order = torch.tensor([len(players) for _, players in patterns], dtype=torch.int64, device=coalitions.device)
    return WrittenColumns(_columns(coalitions, patterns), is_or, order)
