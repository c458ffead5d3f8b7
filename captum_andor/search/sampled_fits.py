"""Fits of given patterns to some coalitions of a game, written as logical models, and R² on coalitions held out."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor._utils.statistics import effective_count
from captum_andor.results import PatternTable
from captum_andor.search.beam_search import Pattern
from captum_andor.search.dictionary import WrittenColumns
from captum_andor.search.least_squares import Ends, Fit, Models, fit
from captum_andor.search.options import Options
from captum_andor.search.pursuit import Games

_RESAMPLES, _INTERVAL = 1000, (0.025, 0.975)  # the ends of a 95 % interval rest on 25 draws each
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the largest |v|: weaker patterns are the rounding of a model
_FEWEST_EFFECTIVE = 3.0  # held-out values that the variance of v rests on: with fewer R² is chance


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
    """|value| of given patterns over the standard errors that least squares on the coalitions given has: ``(P,)``."""
    patterns = [(bool(kind), tuple(row.nonzero()[:, 0].tolist())) for kind, row in zip(is_or, members, strict=True)]
    if not patterns or len(coalitions) < len(patterns) + 2:
        return torch.full_like(value, torch.nan)
    unit, _, scale = scaled(v, coalitions, bound=False)
    found = fitted(unit, coalitions, patterns, bound=False)
    error = found.coefficients[0].abs() * scale / found.t[0]
    return torch.where(value == 0, 0.0, value.abs() / error)


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
    return fit(Games(written_columns(coalitions, patterns), unit[None]), every, ends)


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
    for place, (is_or, players) in enumerate(patterns):
        some = coalitions[:, list(players)]
        columns[:, place] = some.any(1) if is_or else some.all(1)
    return columns


def written_columns(coalitions: Tensor, patterns: list[Pattern]) -> WrittenColumns:
    """The columns of :func:`pattern_columns` as a dictionary of their own."""
    is_or = torch.tensor([is_or for is_or, _ in patterns], dtype=torch.bool, device=coalitions.device)
    order = torch.tensor([len(players) for _, players in patterns], dtype=torch.int64, device=coalitions.device)
    return WrittenColumns(pattern_columns(coalitions, patterns), is_or, order)
