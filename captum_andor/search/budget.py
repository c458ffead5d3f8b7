"""Evaluate a game on a budget of coalitions, decide when to stop, and fit the logical models."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from captum_andor._utils.running import Progress, progress_bar
from captum_andor._utils.user_warnings import warn
from captum_andor.games import Game, flat_games
from captum_andor.games.transforms import coalition_codes, coalition_members
from captum_andor.sampling import DICTIONARY_PLAYERS, Design, design, held_out_at_random, size_strata
from captum_andor.search.complete_games import complete_models
from captum_andor.search.least_squares import Models
from captum_andor.search.options import Options
from captum_andor.search.process_pursuit import budgeted_models
from captum_andor.search.sampled_games import check_budget, check_sample_size, sampled_models

Budget: TypeAlias = int | Literal["auto"] | None

_MOST = 4096  # coalitions of an automatic budget
_GROWTH, _LATER_GROWTH = 1.25, 1.6  # up to _PLATEAU_FROM, and above
# An automatic budget stops where two growths in a row leave more than 0.95 of the best error so far.
_PLATEAU, _PLATEAU_FROM, _PLATEAU_GROWTHS = 0.95, 1024, 2


class Known(NamedTuple):
    """Values that need not be evaluated again, and their coalitions, as in :class:`Evaluated`."""

    values: Tensor
    coalitions: Tensor | None


class Evaluated(NamedTuple):
    """Result of a budgeted evaluation: values, coalitions and fitted models.

    Attributes:
        values: v, float64, shape ``(*outputs, m)``.
        coalitions: The coalitions, bool, shape ``(m, n)``; None for all 2^n in the order of their bit codes.
        models: Of the flattened outputs.
    """

    values: Tensor
    coalitions: Tensor | None
    models: Models


def spend(
    game: Game,
    options: Options,
    budget: Budget,
    max_players: int,
    tolerance: float,
    known: Known | None,
    show_progress: bool,
    description: str,
) -> Evaluated:
    """Evaluate a game as far as a budget goes, and model it."""
    first = check_budget(budget, game.players.n_players, max_players, options)
    if known is not None and known.coalitions is None:
        return _modelled(known.values, None, options)
    automatic = isinstance(budget, str)
    total = first if first is not None else 1 << game.players.n_players
    with progress_bar(show_progress, None if automatic and first is not None else total, description) as bar:
        spender = Spender(game, options, bar)
        if first is None:
            return spender.everything(known)
        return spender.automatic(first, tolerance, known) if automatic else spender.sample(first, known)


@dataclass(frozen=True)
class Spender:
    """Evaluates a game as far as a budget goes.

    Attributes:
        game: What to evaluate.
        options: What models may look like.
        bar: Told how many coalitions are done.
    """

    game: Game
    options: Options
    bar: Progress

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return self.game.players.n_players

    def everything(self, known: Known | None = None) -> Evaluated:
        """All 2^n coalitions: those known, ∅ and N, then the others at random, so that a part of them is a sample."""
        n = self.n_players
        order = torch.randperm(1 << n, generator=torch.Generator().manual_seed(self.options.seed), device="cpu")
        order = torch.cat([torch.tensor([0, (1 << n) - 1], device="cpu"), order])
        if known is not None and known.coalitions is not None:
            order = torch.cat([coalition_codes(known.coalitions.cpu()), order])
        # Each code once, where it first comes.
        first = torch.full((1 << n,), len(order), device="cpu").scatter_reduce(
            0, order, torch.arange(len(order), device="cpu"), "amin"
        )
        codes = first.argsort()
        coalitions = coalition_members(codes, n)
        values = self._continued(coalitions, None if known is None else known.values)
        if values.shape[-1] == len(codes):
            return _modelled(values[..., codes.argsort().to(values.device)], None, self.options)
        return self._interrupted(values, coalitions)

    def sample(self, budget: int, known: Known | None) -> Evaluated:
        """The first coalitions of the design, those known already left out."""
        values, plan = self._values(budget, None if known is None else known.values)
        if values.shape[-1] < budget:
            return self._interrupted(values, torch.from_numpy(plan.coalitions))
        return _modelled(values, plan, self.options)

    def automatic(self, first: int, tolerance: float, known: Known | None) -> Evaluated:
        """More and more coalitions, until a model predicts fresh ones or stops getting better at it."""
        everything = 1 << self.n_players
        # While it grows, a search above 20 players ends by itself: cross-validation waits for the last model.
        draft = self
        if self.n_players > DICTIONARY_PLAYERS and self.options.max_patterns is None and self.options.min_r2 is None:
            draft = replace(self, options=replace(self.options, max_patterns=_MOST // 5))
        found = draft.sample(first, known)
        best, growths, m = math.inf, 0, found.values.shape[-1]
        while m >= first:
            # The held-out coalitions are fresh to the search that the model comes from.
            missed = 1 - float(found.models.r2.min())
            growths = growths + 1 if missed > _PLATEAU * best else 0
            best = min(best, missed)
            larger = min(8 * math.ceil(m * (_GROWTH if m < _PLATEAU_FROM else _LATER_GROWTH) / 8), _MOST)
            on_plateau = m >= _PLATEAU_FROM and growths >= _PLATEAU_GROWTHS
            if missed <= tolerance or on_plateau or larger <= m:
                break
            spent = Known(found.values, found.coalitions)
            if 2 * larger > everything:
                return self.everything(spent)
            found = draft.sample(larger, spent)
            if found.values.shape[-1] < larger:
                return found
            m = larger
        return found if draft is self else self.sample(m, Known(found.values, found.coalitions))

    def _values(self, budget: int, known: Tensor | None) -> tuple[Tensor, Design]:
        options, n = self.options, self.n_players
        plan = design(n, budget, options.size_shares(n), options.is_uniform, options.densities, options.seed)
        return self._continued(torch.from_numpy(plan.coalitions), known), plan

    def _continued(self, coalitions: Tensor, known: Tensor | None) -> Tensor:
        """Values on coalitions of which the first are known."""
        if known is None:
            return self.game.evaluate(coalitions, self.bar)
        if known.shape[-1] >= len(coalitions):
            return known[..., : len(coalitions)]
        fresh = self.game.evaluate(coalitions[known.shape[-1] :], self.bar)
        if known.shape[:-1] != fresh.shape[:-1]:
            raise ValueError(
                f"previous has outputs of shape {tuple(known.shape[:-1])}, these inputs give "
                f"{tuple(fresh.shape[:-1])}: it must be of the same inputs and target."
            )
        return torch.cat([known.to(fresh.device), fresh], dim=-1)

    def _interrupted(self, values: Tensor, coalitions: Tensor) -> Evaluated:
        """The model of what was evaluated before Ctrl-C, if that was enough."""
        m = values.shape[-1]
        try:
            check_sample_size("Ctrl-C", m, self.options)
        except ValueError as error:
            raise KeyboardInterrupt(f"after {m} coalitions, too few for a model") from error
        some = coalitions[:m].numpy()
        plan = Design(some, held_out_at_random(some, self.options.seed), size_strata(some))
        return _modelled(values, plan, self.options)


def _modelled(values: Tensor, plan: Design | None, options: Options) -> Evaluated:
    games = flat_games(values)
    if plan is None:
        try:
            models = complete_models(games, options)
        except KeyboardInterrupt:
            models = complete_models(games, _single_players(games, options))
        return Evaluated(values, None, models)
    try:
        models = searched_models(games, plan, options)
    except KeyboardInterrupt:
        models = single_player_models(games, plan, options)
    return Evaluated(values, torch.from_numpy(plan.coalitions).to(values.device), models)


def searched_models(games: Tensor, plan: Design, options: Options) -> Models:
    """Logical models of games ``(B, m)`` by search on the coalitions of a design."""
    coalitions, held_out, strata = (torch.from_numpy(x).to(games.device) for x in plan)
    return budgeted_models(games, coalitions, held_out, strata, options)


def single_player_models(games: Tensor, plan: Design, options: Options) -> Models:
    """What is left after Ctrl-C during a search: models of single players, at once, with a warning.

    The evaluations, which took the time, are kept with the model.
    """
    coalitions, held_out, strata = (torch.from_numpy(x).to(games.device) for x in plan)
    return sampled_models(games, coalitions, held_out, strata, _single_players(games, options))


def _single_players(games: Tensor, options: Options) -> Options:
    warn(
        f"interrupted during the search: the model is of single players, from all {games.shape[1]:,} coalitions that "
        "were evaluated. Pass it as previous= to search again without evaluating them again."
    )
    most = options.max_patterns or max(games.shape[1] // 8, 1)
    return replace(options, max_order=1, effort="stable", max_patterns=most, min_r2=None)
