"""Logical models of games whose 2^n values are all known, so that R² is exact."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

from captum_andor.games.transforms import coalition_members, count_players, walsh
from captum_andor.search.agreeing_signs import agreeing
from captum_andor.search.dictionary import Columns, complete_columns
from captum_andor.search.drop_and_regrow import shortest
from captum_andor.search.least_squares import Ends, GameBatch, Models, fit
from captum_andor.search.options import Options
from captum_andor.search.pursuit import EXACT, Problem, placed, select

_DEGREE_ROUNDING = 1e-11  # share of the variance above a degree that float32 models leave by rounding
_END_SHARE = 1 / 8  # weight of ∅ and of N beside 1 for all coalitions: of 1/128 to 1/4 the best on eight sets of games
_LEAST_END_SHARE = 1e-9  # columns that differ at an end alone keep a variance above rounding
_CONSTANT = 1e-12  # variance of a column that is the same wherever weights are not 0
_INACTIVE = 1e-12  # a difference, in games of size 1, that is but rounding
_CHUNK = 1 << 22  # values of games that are worked on at once


def complete_models(values: Tensor, options: Options) -> Models:
    """Logical models of B games.

    Args:
        values: float64, shape ``(B, 2^n)``.
        options: What the models may look like.
    """
    n, device = count_players(values), values.device
    shares = options.size_shares(n)
    if options.exact_ends and n:  # no error is left there, and columns that differ there alone must be told from 0
        shares = (max(shares[0], _LEAST_END_SHARE), *shares[1:-1], max(shares[-1], _LEAST_END_SHARE))
    weights = tuple(share / comb(n, size) for size, share in enumerate(shares))
    report = complete_columns(n, weights, device)
    search = complete_columns(n, _search_weights(weights, options), device)
    chosen = torch.full((len(values), 0), -1, device=device)
    unit, base, scale = _scaled(values, values[:, :1])
    degree = _degrees(unit)
    for rows in _groups(degree, max(_CHUNK >> n, 1)):
        problem = _problem(search, report, unit[rows], options)
        allowed = allowed_columns(search, options, int(degree[rows[0]]))
        mine = select(problem, allowed, options)
        if options.shortens(n):
            mine = shortened(problem, allowed, mine, options.seed)
        mine = agreeing(problem, mine, allowed, options.min_r2)
        chosen = placed(chosen, rows, mine)
    return _models(_problem(search, report, unit, options), chosen, base, scale)


def _problem(search: Columns, report: Columns, unit: Tensor, options: Options) -> Problem:
    active = _active_players(unit)
    code = torch.arange(unit.shape[1], device=unit.device)
    idle = ((code & ~active[:, None]) != 0).repeat(1, 2)
    games = GameBatch(report, unit, idle)
    searched = games if search is report else GameBatch(search, unit, idle)
    if not options.exact_ends:
        return Problem(searched, games, None, torch.empty(len(unit), 0, dtype=torch.long, device=unit.device))
    return Problem(searched, games, Ends(unit[:, 0], unit[:, -1]), _closing(active, count_players(unit), options))


def _active_players(unit: Tensor) -> Tensor:
    """Players that change a value of each game, as bit codes, shape ``(B,)``."""
    n = count_players(unit)
    code = torch.zeros(len(unit), dtype=torch.long, device=unit.device)
    for player in range(n):
        without, present = unit.reshape(len(unit), 1 << (n - player - 1), 2, 1 << player).unbind(2)
        code += (((present - without).abs().amax((1, 2)) > _INACTIVE) * (1 << player)).long()
    return code


def _closing(active: Tensor, n: int, options: Options) -> Tensor:
    """Columns of the AND and the OR of each game's active players, as far as allowed; see :class:`Problem`."""
    if n < 2 or (options.max_order or n) < n:
        return active[:, None][:, :0]
    columns = [active + (1 << n) * (kind == "or") for kind in options.kinds]
    if len(columns) == 2:
        bits = 1 << torch.arange(n, device=active.device)
        columns.append(active - (active[:, None] & bits).amax(1))  # whichever it is: one coalition tells it from N
    return torch.stack(columns, dim=1)


def _scaled(values: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values less their base, of largest size 1, the base and the scale ``(B, 1)``; what is but rounding becomes 0."""
    largest = values.abs().amax(-1, keepdim=True)
    half = values / 2 - base / 2  # in halves: differences of huge numbers overflow
    scale = half.abs().amax(-1, keepdim=True)
    constant = scale <= 4 * torch.finfo(values.dtype).eps * largest
    unit = torch.where(constant, 0.0, half / torch.where(constant, 1.0, scale))
    return unit, base, torch.where(constant, 0.0, 2 * scale)


def _search_weights(weights: tuple[float, ...], options: Options) -> tuple[float, ...]:
    """Weights of the search; where models will be held at the ends, a share of everything on each of these.

    The stable effort closes the ends afterwards, so that its patterns are those of the free model.
    """
    if not options.exact_ends or len(weights) < 2 or options.is_stable:
        return weights
    return (weights[0] + _END_SHARE, *weights[1:-1], weights[-1] + _END_SHARE)


def allowed_columns(columns: Columns, options: Options, degree: int) -> Tensor:
    """Mask of the columns that a model may use: bool, shape ``(2 * 2^n,)``; single players count as AND."""
    most = min(degree, options.max_order or degree)
    single = columns.order == 1
    wanted = torch.where(columns.is_or, "or" in options.kinds, "and" in options.kinds)
    shaped = (columns.order >= 1) & (columns.order <= most) & (columns.norm > _CONSTANT)
    return shaped & torch.where(single, ~columns.is_or, wanted)


def _degrees(unit: Tensor) -> Tensor:
    """Degree of each game: no pattern of a higher order is needed to write it. Shape ``(B,)``.

    Degrees above n/2 count as n: they narrow the search little, and games of one degree are searched together.
    """
    n = count_players(unit)
    energy = walsh(unit).square()
    energy[:, 0] = 0.0
    size = torch.arange(n + 1, device=unit.device)
    by_degree = energy.new_zeros(len(energy), n + 1)
    by_degree.index_add_(1, _sizes(n, unit.device), energy)
    above = by_degree.flip(1).cumsum(1).flip(1)  # of degree k and more
    needed = above > _DEGREE_ROUNDING * by_degree.sum(1, keepdim=True)
    degree = (needed * size).amax(1)
    return torch.where(2 * degree > n, n, degree)


def _sizes(n: int, device: torch.device) -> Tensor:
    return complete_columns(n, (1.0,) * (n + 1), device).order[: 1 << n]


def _groups(degree: Tensor, most: int) -> list[Tensor]:
    """Games of equal degree, at most so many together; constant games need no patterns."""
    return [rows for d in sorted(set(degree.tolist())) if d > 0 for rows in (degree == d).nonzero()[:, 0].split(most)]


def shortened(problem: Problem, allowed: Tensor, chosen: Tensor, seed: int) -> Tensor:
    """The shortest exact models that a longer search finds, where models are exact already."""
    for row in (problem.path(chosen)[:, -1] >= EXACT).nonzero()[:, 0].tolist():
        mine = chosen[row, chosen[row] >= 0]
        better = shortest(problem.select(torch.tensor([row], device=chosen.device)), allowed, mine, seed)
        chosen[row] = -1
        chosen[row, : len(better)] = better
    return chosen


def _models(problem: Problem, chosen: Tensor, base: Tensor, scale: Tensor) -> Models:
    """Fit chosen columns and write the models in columns, in the units of the games."""
    fitted = fit(problem.report, chosen, problem.ends)
    game, place = (chosen >= 0).nonzero().T
    column = chosen[game, place]
    is_or = problem.search.columns.is_or
    half = len(is_or) // 2
    return Models(
        game=game,
        is_or=is_or[column],
        members=coalition_members(column & (half - 1), half.bit_length() - 1),
        value=fitted.coefficients[game, place] * scale[game, 0],
        t=fitted.t[game, place],
        constant=fitted.constant * scale[:, 0] + base[:, 0],
        r2=fitted.r2,
        r2_path=fitted.r2_path,
        r2_interval=fitted.r2[:, None].expand(-1, 2).clone(),
    )
