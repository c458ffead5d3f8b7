"""Evaluate a game on a budget of coalitions and estimate it; continue from what an earlier result evaluated.

An automatic budget grows until the estimate, or a logical model of it, is as sure as is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.progress import Progress, progress_bar
from captum_andor.explain.estimate import GameEstimate, estimate_of
from captum_andor.explain.logical_model import LogicalModel
from captum_andor.games import Game, flat_games
from captum_andor.games.transforms import all_coalitions
from captum_andor.process import ProcessPosterior
from captum_andor.results import Names, ResultPlayers, standard_names
from captum_andor.sampling import (
    DrawnRows,
    Regime,
    chained_design,
    is_inner,
    n_passes,
    nested_design,
    paired_design,
    row_keys,
)
from captum_andor.search import FoundPatterns, Options, find_patterns, untold_neighbours

_LEAST_BUDGET = 2  # ∅ and N
_FIRST, _MOST, _GROWTH = 64, 4096, 1.5  # coalitions of an automatic budget: at least 2n + 2 at first, then half more
_SAME = 1e-3  # of v(N) − v(∅): what is asked again differs by less
_DIGITS, _MOST_ROUNDING = 64, 0.01  # beside that, in units of the last digit of v; of its size, for half precision
_OF_SEQUENCE = 0.8  # share of an earlier result that its sequence holds; the other coalitions told patterns apart
_ASKED_AGAIN = 32  # coalitions of a model that answers differently: its noise is known to an eighth


@dataclass(frozen=True)
class Goal:
    """When an automatic budget ends.

    Attributes:
        missing: What an estimate leaves open, to be brought below the tolerance.
        tolerance: Of it.
        first: Coalitions to begin with.
    """

    missing: Callable[[GameEstimate], float]
    tolerance: float
    first: int = _FIRST


@dataclass(frozen=True)
class Known:
    """What an earlier result evaluated: coalitions ``(m, n)``, which rows of a background they saw, and v."""

    coalitions: Tensor
    drawn: Tensor | None
    values: Tensor


def _pass_keys(coalitions: Tensor, drawn: Tensor | None) -> list[bytes]:
    """What tells each pass from all others."""
    keys = row_keys(coalitions)
    if drawn is None:
        return keys
    return [key + int(row).to_bytes(8, "big") for key, row in zip(keys, drawn.tolist(), strict=True)]


@dataclass(frozen=True)
class Design:
    """Which coalitions a budget evaluates.

    Attributes:
        n_players: n.
        leverage: Share of the pairs that is spread evenly over the sizes.
        seed: Of the draws.
        groups: The players of each group, where coalitions are to be of whole groups but for one; or None.
    """

    n_players: int
    leverage: float
    seed: int
    groups: list[list[int]] | None = None

    def first(self, count: int) -> Tensor:
        """The first of the sequence: bool, shape ``(count, n)``."""
        if self.groups is not None:
            return torch.from_numpy(nested_design(self.groups, count, self.seed))
        return torch.from_numpy(paired_design(self.n_players, count, self.leverage, self.seed))


class _Evaluation:
    """Values of a game on more and more coalitions, each once; with a background, each once on a row."""

    def __init__(self, game: Game, bar: Progress, known: Known | None) -> None:
        self.game, self.bar = game, bar
        n = game.players.n_players
        self.rows = torch.zeros(0, n, dtype=torch.bool, device="cpu")
        self.drawn = torch.zeros(0, dtype=torch.int64, device="cpu") if game.players.n_rows else None
        self.values: Tensor | None = None
        self.place: set[bytes] = set()
        self.known, self.known_place = known, {}
        if known is not None:
            self.known_place = {key: i for i, key in enumerate(_pass_keys(known.coalitions, known.drawn))}
        self.is_interrupted = False
        self.noise: Tensor | None = None  # of a model that answers differently when asked again, of each output
        self.is_asked_again = False
        self.found: list[FoundPatterns | None] | None = None  # by searches on a part of the coalitions, of each output

    def extend(self, rows: Tensor, drawn: Tensor | None = None) -> None:
        """Evaluate coalitions ``(k, n)`` that are new; those that are known from before are looked up."""
        keys = _pass_keys(rows, drawn)
        new = [i for i, key in enumerate(keys) if key not in self.place]
        if self.is_interrupted or not new:
            return
        rows, keys = rows[new], [keys[i] for i in new]
        drawn = None if drawn is None else drawn[new]
        asked = [i for i, key in enumerate(keys) if key not in self.known_place]
        fresh = self.game.evaluate(rows[asked], self.bar, None if drawn is None else drawn[asked]) if asked else None
        done = len(keys)
        if fresh is not None and fresh.shape[-1] < len(asked):
            self.is_interrupted = True
            done = asked[fresh.shape[-1]]
        values = fresh
        if self.known is not None:
            source = self.known.values if fresh is None else self.known.values.to(fresh.device)
            values = source.new_empty(*source.shape[:-1], done)
            if fresh is not None:
                values[..., [i for i in asked if i < done]] = fresh
            looked_up = [i for i, key in enumerate(keys[:done]) if key in self.known_place]
            values[..., looked_up] = source[..., [self.known_place[keys[i]] for i in looked_up]]
        assert values is not None
        self.place.update(keys[:done])
        self.rows = torch.cat([self.rows, rows[:done]])
        if self.drawn is not None and drawn is not None:
            self.drawn = torch.cat([self.drawn, drawn[:done]])
        self.values = values if self.values is None else torch.cat([self.values.to(values.device), values], dim=-1)

    def ask_again(self) -> None:
        """Warn of a model that answers differently, and measure by how much; once."""
        if self.is_asked_again or self.values is None:
            return
        self.is_asked_again = True
        if self.game.warn_of_change() and not self.is_interrupted and self.drawn is None:
            some = is_inner(self.rows).nonzero()[:_ASKED_AGAIN, 0]
            self.noise = self.game.repeat_error(self.rows[some], self.values[..., some.to(self.values.device)])


@torch.no_grad()
def evaluated_estimate(
    game: Game,
    budget: int | str,
    leverage: float,
    seed: int,
    goal: Goal,
    previous: GameEstimate | LogicalModel | None,
    names: Names,
    max_players: int,
    show_progress: bool | None,
    description: str,
    groups: list[list[int]] | None = None,
    base: Known | None = None,
) -> GameEstimate:
    """Evaluate a game as far as a budget goes and estimate it.

    ``leverage`` is the share of the pairs that is spread evenly over the sizes; with ``groups`` coalitions are of whole
    groups but for one. ``base`` is what was evaluated with coarser players.
    """
    n, n_rows = game.players.n_players, game.players.n_rows
    everything = n_passes(n, n_rows)
    _check_budget(budget, n, n_rows, max_players)
    names = standard_names(names, game.players.layout.feature_ids) or game.players.names
    automatic = isinstance(budget, str)
    most = min(_MOST + n_rows, everything)
    total = min(max(goal.first, 2 * n + 2) + n_rows, most) if isinstance(budget, str) else min(budget, everything)
    design = Design(n, leverage, seed, groups)
    known = _known(game, previous, design, base)
    if known is None and base is not None:
        _check_same_game(game, base, "estimate")
        known = base

    def estimated(evaluation: _Evaluation) -> GameEstimate:
        values = evaluation.values
        if values is None or values.shape[-1] < max(_LEAST_BUDGET, n_rows + 1):
            done = 0 if values is None else values.shape[-1]
            raise KeyboardInterrupt(f"after {done} forward passes, too few for a model or an estimate")
        evaluation.ask_again()
        players = ResultPlayers.of_inputs(game.players.layout, game.output_dtype, names, game.players.question)
        rows = evaluation.rows.to(values.device)
        drawn = None if evaluation.drawn is None else DrawnRows(evaluation.drawn.to(values.device), n_rows)
        found = estimate_of(values, rows, seed, players, found=evaluation.found, noise=evaluation.noise, drawn=drawn)

        def continued(more: int | str) -> GameEstimate:
            return evaluated_estimate(
                game, more, leverage, seed, goal, found, names, max_players, show_progress, description, groups, base
            )

        return replace(found, continued=continued)

    with progress_bar(show_progress, None if automatic else total, description) as bar:
        evaluation = _Evaluation(game, bar, known)
        while True:
            if base is not None:
                evaluation.extend(base.coalitions)
            _evaluate(evaluation, total, design)
            found = estimated(evaluation)
            if not automatic or evaluation.is_interrupted or total >= most or goal.missing(found) <= goal.tolerance:
                return found
            total = min(2 * round(total * _GROWTH / 2), most)
            if 2 * total > everything == most:  # all of them are near, and cost no fit
                total = most


def _evaluate(evaluation: _Evaluation, total: int, design: Design) -> None:
    """Bring an evaluation to so many coalitions.

    They are the first of the sequence of the seed but for those that tell the patterns apart which a search finds on
    all but a tenth of them.
    """
    n, seed = design.n_players, design.seed
    evaluation.found = None
    if evaluation.drawn is not None:
        _evaluate_on_rows(evaluation, total, seed)
        return
    if total >= 1 << n:
        first = design.first(min(total, _MOST))
        evaluation.extend(first)
        if total > len(first):  # the others at random, so that a part of them is a sample
            order = torch.randperm(1 << n, generator=torch.Generator().manual_seed(seed), device="cpu")
            evaluation.extend(all_coalitions(n, "cpu")[order])
        return
    sequence = design.first(total)
    if design.groups is not None:
        new = [key not in evaluation.place for key in row_keys(sequence)]
        evaluation.extend(sequence[torch.tensor(new, device="cpu")][: max(total - len(evaluation.rows), 0)])
        return
    spare = Regime.of(n, total).n_telling
    evaluation.extend(sequence[: total - spare])
    if spare and not evaluation.is_interrupted and evaluation.values is not None:
        try:
            evaluation.found = found = _searched(evaluation.rows, evaluation.values, seed)
        except KeyboardInterrupt:  # the evaluations are not to be lost
            evaluation.found, evaluation.is_interrupted = [None] * len(flat_games(evaluation.values)), True
            return
        evaluation.extend(_telling(found, evaluation.rows)[: total - len(evaluation.rows)])
    rest = sequence[total - spare :]
    left = [key not in evaluation.place for key in row_keys(rest)]
    evaluation.extend(rest[torch.tensor(left, dtype=torch.bool, device="cpu")][: total - len(evaluation.rows)])


def _evaluate_on_rows(evaluation: _Evaluation, total: int, seed: int) -> None:
    """Bring an evaluation to so many passes, each on a row of a background; those of ∅ are shared by all examples."""
    n, n_rows = evaluation.game.players.n_players, evaluation.game.players.n_rows
    rows, drawn = (torch.from_numpy(part) for part in chained_design(n, n_rows, total, seed))
    for part in (slice(0, 1), slice(1, n_rows + 1), slice(n_rows + 1, None)):
        evaluation.extend(rows[part], drawn[part])


def _searched(rows: Tensor, values: Tensor, seed: int) -> list[FoundPatterns | None]:
    """What a search for few patterns finds in each output."""
    rows = rows.to(values.device)
    return [find_patterns(rows, v, seed) for v in flat_games(values)]


def _telling(found: list[FoundPatterns | None], rows: Tensor) -> Tensor:
    """Coalitions that tell the patterns found from others, where these ``(m, n)`` do not; the most telling first."""
    exact = [search for search in found if search is not None and search.is_exact]
    telling = [more.cpu() for search in exact for _, more in untold_neighbours(search.patterns, rows)]
    return torch.cat([rows[:0], *(more[:1] for more in telling), *(more[1:] for more in telling)])


def shapley_error(estimate: GameEstimate) -> float:
    """Largest root mean square of the standard errors of the Shapley values, relative to the values themselves."""
    mean, std = estimate.shapley_values(return_std=True)
    size = mean.square().mean(-1).sqrt()
    error = std.square().mean(-1).sqrt()
    return float(torch.where(error > 0, error / size.clamp(min=1e-300), 0.0).max())


def model_error(options: Options, tolerance: float) -> Callable[[GameEstimate], float]:
    """What an automatic budget for logical models brings below a tolerance.

    It is 1 less the lower end of the interval of R², of the model or, where more coalitions would not make that a
    better one, of the estimate itself; the largest of all outputs. Patterns that are chosen on what an estimate says
    are no better than this, and a search was tried, so that none are chosen where both are beyond the tolerance.
    """

    def error(estimate: GameEstimate) -> float:
        of_estimate = 1 - estimate.r2_interval[..., 0].nan_to_num(nan=0.0)
        processes = [p for p in estimate.posteriors if isinstance(p, ProcessPosterior)]
        if any(p.least_unexplained > tolerance for p in processes):
            return float(of_estimate.max())
        of_model = 1 - estimate._modelled(options).r2_interval[..., 0].nan_to_num(nan=0.0)
        return float(torch.minimum(of_model, of_estimate).max())

    return error


def _check_budget(budget: Any, n: int, n_rows: int, max_players: int) -> None:
    """Raise unless an estimate can be made with the budget."""
    everything = n_passes(n, n_rows)
    if isinstance(budget, str):
        if budget != "auto":
            raise ValueError(f'budget must be an int or "auto"; got {budget!r}.')
        return
    if not is_int(budget):
        raise TypeError(f'budget must be an int or "auto"; got {budget!r}.')
    if n_rows and budget < min(n_rows + n + 1, everything):
        raise ValueError(
            f"budget={budget} is too small for a background of {n_rows} rows, each of which takes a pass of its own: "
            f"pass at least {min(n_rows + n + 1, everything)}, better a few hundred more, or fewer rows."
        )
    if budget < min(_LEAST_BUDGET, everything):
        raise ValueError(f"budget must be at least {_LEAST_BUDGET}, for ∅ and N; got {budget}.")
    if budget >= everything and n > max_players:
        raise ValueError(
            f"budget={budget} asks for all 2^{n} coalitions, and max_players is {max_players}. Pass a smaller budget, "
            "or allow it with AndOrInteractions(..., max_players=…)."
        )


def _known(game: Game, previous: Any, design: Design, base: Known | None) -> Known | None:
    """Coalitions and values of an earlier result, once it is seen to be of the same game."""
    if previous is None:
        return None
    if not isinstance(previous, (GameEstimate, LogicalModel)):
        raise TypeError(f"previous must be a GameEstimate, a LogicalModel or None; got {type(previous).__name__}.")
    layout = game.players.layout
    if previous.feature_ids != layout.feature_ids:
        raise ValueError(
            f"previous has feature ids {previous.feature_ids}, these inputs {layout.feature_ids}: it must be of the "
            "same inputs and feature_mask."
        )
    n, values = previous.n_players, previous.values
    n_rows = game.players.n_rows
    drawn = previous.drawn
    had = 0 if drawn is None else drawn.n_rows
    if had != n_rows:
        raise ValueError(
            f"previous has a background of {had or 'no'} rows, this call one of {n_rows or 'no'}: it must be of the "
            "same baselines."
        )
    if drawn is not None:
        return _known_passes(game, previous, drawn, design.seed)
    rows = all_coalitions(n, "cpu") if previous.coalitions is None else previous.coalitions.cpu()
    if previous.coalitions is not None:
        sequence = design.first(len(rows))
        expected = set(row_keys(sequence)) | set(row_keys(base.coalitions) if base is not None else ())
        of_sequence = expected & set(row_keys(rows))
        has_ends = set(row_keys(sequence[:2])) <= of_sequence
        if len(of_sequence) < _OF_SEQUENCE * len(rows) or not has_ends:
            raise ValueError(
                "previous took other coalitions than these options give: pass the seed that it was made with."
            )
    _check_same_game(game, Known(rows, None, values))
    return Known(rows, None, values)


def _known_passes(game: Game, previous: GameEstimate | LogicalModel, drawn: DrawnRows, seed: int) -> Known | None:
    """The passes of an earlier result with a background, which are the first of the sequence of the seed."""
    if previous.coalitions is None or drawn.rows is None:  # complete: the mean over rows is all that was kept
        return None
    rows, seen = previous.coalitions.cpu(), drawn.rows.cpu()
    design = chained_design(game.players.n_players, drawn.n_rows, len(rows), seed)
    if _pass_keys(rows, seen) != _pass_keys(*map(torch.from_numpy, design)):
        raise ValueError(
            "previous took other coalitions and rows than these options give: pass the seed that it was made with."
        )
    known = Known(rows, seen, previous.values)
    _check_same_game(game, known)
    return known


def _check_same_game(game: Game, known: Known, name: str = "previous") -> None:
    """Raise unless v(∅), v(N) and v of one coalition between are what they were, for every output."""
    n = game.players.n_players
    rows, values = known.coalitions, known.values
    size = rows.sum(1)
    places = [int((size == 0).nonzero()[0]), int((size == n).nonzero()[0])]
    inner = ((size > 0) & (size < n)).nonzero()[:, 0]
    if len(inner):
        middle = (size[inner] - n / 2).abs().argmin()
        places.append(int(inner[middle]))
    with progress_bar(False, None, "") as silent:
        now = game.evaluate(rows[places], silent, None if known.drawn is None else known.drawn[places])
    before = values[..., places].to(now.device)
    if now.shape != before.shape:
        raise ValueError(
            f"{name} has outputs of shape {tuple(before.shape[:-1])}, these inputs give {tuple(now.shape[:-1])}: it "
            "must be of the same inputs and target."
        )
    effect = (before[..., 1] - before[..., 0]).abs()
    rounding = min(_DIGITS * torch.finfo(game.output_dtype).eps, _MOST_ROUNDING)
    allowed = _SAME * effect + rounding * before.abs().amax(-1)
    moved = (now - before).abs().amax(-1)
    if not bool((moved <= allowed.clamp(min=1e-300)).all()):
        worst = int((moved - allowed).flatten().argmax())
        old, new = (x.flatten(0, -2)[worst] for x in (before, now))
        which = f" of output {worst} of {math.prod(before.shape[:-1])}" if math.prod(before.shape[:-1]) > 1 else ""
        raise ValueError(
            f"{name} is of another game: v(∅) and v(N){which} were {_listed(old[:2])}, and are {_listed(new[:2])}"
            + (f"; v of one coalition between was {_listed(old[2:])}, and is {_listed(new[2:])}" * (len(places) > 2))
            + ". It must be of the same inputs, baselines, target and model."
        )


def _listed(numbers: Tensor) -> str:
    return ", ".join(f"{x:.4g}" for x in numbers.tolist())
