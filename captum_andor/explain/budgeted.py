"""Evaluate a game on a budget of coalitions in pairs and estimate it; continue from what an earlier result evaluated.

An automatic budget grows until the estimate is as sure as is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.running import Progress, progress_bar
from captum_andor.explain.estimate import GameEstimate, estimate_of
from captum_andor.explain.logical_model import LogicalModel
from captum_andor.games import Game, Players
from captum_andor.games.transforms import coalition_codes
from captum_andor.results import ResultPlayers
from captum_andor.sampling import design, paired_design
from captum_andor.search import Known, Options

EstimateBudget: TypeAlias = "int | str"
_LEAST_BUDGET = 2  # ∅ and N
_FIRST, _MOST, _GROWTH = 64, 4096, 2  # coalitions of an automatic budget: at least 2n + 2 at first, then twice as many
_SAME = 1e-3  # of the size of v: v(∅) and v(N) of the same inputs differ by less, in whatever precision


@dataclass(frozen=True)
class _Evaluation:
    """Values on the first coalitions of the sequence of a seed."""

    game: Game
    leverage: float
    seed: int
    bar: Progress

    def up_to(self, budget: int, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """Coalitions ``(m, n)`` and values ``(…, m)`` of the first ``budget``; fewer after Ctrl-C."""
        n = self.game.players.n_players
        rows = torch.from_numpy(paired_design(n, budget, self.leverage, self.seed))
        start = 0 if known is None else known.shape[-1]
        if known is not None and start >= len(rows):
            return rows, known[..., : len(rows)]
        fresh = self.game.evaluate(rows[start:], self.bar)
        values = fresh if known is None else torch.cat([known.to(fresh.device), fresh], dim=-1)
        return rows[: values.shape[-1]].to(values.device), values


def evaluated_estimate(
    game: Game,
    budget: EstimateBudget,
    leverage: float,
    seed: int,
    max_players: int,
    tolerance: float,
    previous: GameEstimate | LogicalModel | None,
    names: Any,
    show_progress: bool,
    description: str,
    missing: Callable[[GameEstimate], float],
    first: int = _FIRST,
    continued: Callable[[int | str, GameEstimate], GameEstimate] | None = None,
) -> GameEstimate:
    """Evaluate a game as far as a budget goes and estimate it.

    ``leverage`` is the share of the pairs that is spread evenly over the sizes. An automatic budget begins with
    ``first`` coalitions and stops where ``missing`` is at most the tolerance. ``continued`` makes the estimate of a
    larger budget.
    """
    n = game.players.n_players
    automatic = isinstance(budget, str)
    total = _checked(budget, n, max_players, first)
    known = _known(game, previous, leverage, seed)

    def estimated(rows: Tensor, values: Tensor) -> GameEstimate:
        players = ResultPlayers.of_inputs(game.players.layout, game.output_dtype, names, game.players.question)
        found = estimate_of(values, rows, seed, players)
        if continued is None:
            return found
        return replace(found, continued=lambda more: continued(more, found))

    with progress_bar(show_progress, None if automatic else total, description) as bar:
        evaluation = _Evaluation(game, leverage, seed, bar)
        rows, values = evaluation.up_to(total, known)
        while automatic and len(rows) == total and total < min(_MOST, 1 << n):
            if missing(estimated(rows, values)) <= tolerance:
                break
            total = min(total * _GROWTH, _MOST, 1 << n)
            rows, values = evaluation.up_to(total, values)
    if len(rows) < _LEAST_BUDGET:
        raise KeyboardInterrupt("after one coalition, too few for a model or an estimate")
    return estimated(rows, values)


def shapley_error(estimate: GameEstimate) -> float:
    """Largest root mean square of the standard errors of the Shapley values, relative to the values themselves."""
    mean, std = estimate.shapley_values(return_std=True)
    size = mean.square().mean(-1).sqrt()
    error = std.square().mean(-1).sqrt()
    return float(torch.where(error > 0, error / size.clamp(min=1e-300), 0.0).max())


def model_error(options: Options) -> Callable[[GameEstimate], float]:
    """What an automatic budget for logical models brings below a tolerance.

    It is 1 less the lower end of the interval of R², of the model or, where more coalitions would not make that a
    better one, of the estimate itself; the largest of all outputs.
    """

    def error(estimate: GameEstimate) -> float:
        of_model, of_estimate = (
            1 - interval[..., 0].nan_to_num(nan=0.0)
            for interval in (estimate._modelled(options).r2_interval, estimate.r2_interval)
        )
        return float(torch.minimum(of_model, of_estimate).max())

    return error


def _checked(budget: Any, n: int, max_players: int, first: int) -> int:
    """How many coalitions to evaluate at first."""
    everything = 1 << n
    if isinstance(budget, str):
        if budget != "auto":
            raise ValueError(f'budget must be an int or "auto"; got {budget!r}.')
        return min(max(first, 2 * n + 2), _MOST, everything)
    if not is_int(budget):
        raise TypeError(f'budget must be an int or "auto"; got {budget!r}.')
    if budget < min(_LEAST_BUDGET, everything):
        raise ValueError(f"budget must be at least {_LEAST_BUDGET}, for ∅ and N; got {budget}.")
    if budget >= everything and n > max_players:
        raise ValueError(
            f"budget={budget} asks for all 2^{n} coalitions, and max_players is {max_players}. Pass a smaller budget, "
            "or allow it with AndOrInteractions(..., max_players=…)."
        )
    return min(int(budget), everything)


def _known(game: Game, previous: Any, leverage: float, seed: int) -> Tensor | None:
    """Values of an earlier estimate, once it is seen to be of the same game: v(∅) and v(N) are asked again."""
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
    rows = torch.from_numpy(paired_design(n, previous.n_evaluations, leverage, seed))
    if previous.coalitions is None:
        values = values[..., coalition_codes(rows).to(values.device)]
    elif not torch.equal(rows, previous.coalitions.cpu()):
        raise ValueError(
            "previous took other coalitions than these options give: pass the seed, weights and densities that it was "
            "made with, and one that was not interrupted."
        )
    check_same_ends(game, values[..., :2], "previous")
    return values


def check_same_ends(game: Game, ends: Tensor, name: str) -> None:
    """Raise unless v(∅) and v(N) are what they were.

    Args:
        game: Asked for both.
        ends: What they were, shape ``(…, 2)``.
        name: The argument that they came from.
    """
    n = game.players.n_players
    both = torch.tensor([[False] * n, [True] * n])
    with progress_bar(False, None, "") as silent:
        now = game.evaluate(both, silent)
    if now.shape != ends.shape:
        raise ValueError(
            f"{name} has outputs of shape {tuple(ends.shape[:-1])}, these inputs give {tuple(now.shape[:-1])}: it must "
            "be of the same inputs and target."
        )
    moved = float((now - ends.to(now.device)).abs().max())
    if not moved <= _SAME * max(float(ends.abs().max()), 1e-300):
        raise ValueError(
            f"{name} is of another game: v(∅) and v(N) were {_pair(ends)}, and are {_pair(now)}. It must be of the "
            "same inputs, baselines, target and model."
        )


def _pair(ends: Tensor) -> str:
    return ", ".join(f"{x:.4g}" for x in ends.reshape(math.prod(ends.shape[:-1]), 2)[0].tolist())


def ends_of(known: Known) -> Tensor:
    """v(∅) and v(N) among known values: shape ``(…, 2)``."""
    if known.coalitions is None:
        return known.values[..., [0, -1]]
    return known.values[..., :2]  # a sampling sequence begins with them


def known_by(previous: Any, players: Players, options: Options) -> Known | None:
    """Reuse the coalitions of ``previous``, if they are a prefix of the sampling sequence of these options."""
    if previous is None:
        return None
    if not isinstance(previous, LogicalModel):
        raise TypeError(f"previous must be a LogicalModel or None; got {type(previous).__name__}.")
    if previous.feature_ids != players.layout.feature_ids:
        raise ValueError(
            f"previous has feature ids {previous.feature_ids}, these inputs {players.layout.feature_ids}: it must be "
            "of the same inputs and feature_mask."
        )
    if previous.coalitions is not None:
        n, m = previous.n_players, previous.n_evaluations
        plan = design(n, m, options.size_shares(n), options.is_uniform, options.densities, options.seed)
        if not np.array_equal(plan.coalitions, previous.coalitions.cpu().numpy()):
            raise ValueError(
                "previous took other coalitions than these options give: pass the seed, weights and densities that it "
                "was made with, and one that was not interrupted."
            )
    return Known(previous.values, previous.coalitions)
