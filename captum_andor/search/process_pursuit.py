"""Logical models of games of many players: patterns chosen on what a Gaussian process predicts, where that is better.

Above 16 players a game cannot be completed. The process predicts a random sample of coalitions instead, of which a
budget could not have paid for as many; orthogonal matching pursuit chooses patterns there, and least squares on the
sample gives their weights. The search on the coalitions evaluated stays where it predicts those held out better: games
of few patterns are such.

Source: Orthogonal matching pursuit: Pati, Rezaiifar and Krishnaprasad 1993.
"""

from __future__ import annotations

from itertools import combinations, permutations

import torch
from torch import Tensor

from captum_andor.process import ProcessPosterior, drawn_coalitions
from captum_andor.sampling import is_inner
from captum_andor.search.beam_search import Pattern
from captum_andor.search.estimated_games import COMPLETED_PLAYERS
from captum_andor.search.least_squares import Models, game_models, joined_models
from captum_andor.search.options import Options
from captum_andor.search.sampled_games import held_out_r2, model_like, predicted_by_patterns, sampled_models

_PREDICTED = 2048  # coalitions: 40 patterns have 50 each, and the products take a second
_PAIRED_PLAYERS = 64  # of the largest Shapley values, whose pairs are candidates: 4 096 columns
_LARGEST_ORDER = 4  # of a pattern that grows from a pair; the search on the coalitions evaluated finds larger ones
_EXPLAINED = 1 - 1e-9  # R² of a search that leaves nothing to improve: the rounding of a float32 model
_ALIKE = 1e-3  # share of a column that others do not explain, below which it is one of them
_MOST_PATTERNS = 40  # with more the pursuit takes longer than the search, which is as good there
_PROCESS_PLAYERS = 4096  # above, two fits and two pursuits take a minute
_SWEEPS = 3  # over the patterns taken, exchanging each for a better one
# Of the interval of R², on the scale of log(1 − R²): resampling does not see that the coalitions held out chose the
# model. Without it 95 % intervals cover .90, .97, .92 at 128, 256, 512 (`python -m benchmarks.many_players coverage`).
_CHOSEN = 1.15
_GAIN = 1.001  # by which an exchange must be better, against endless ones


def budgeted_models(values: Tensor, coalitions: Tensor, held_out: Tensor, strata: Tensor, options: Options) -> Models:
    """Logical models of B games; arguments and returns as for :func:`sampled_models`.

    Each game has the model of the search or that of the process, whichever predicts the coalitions held out better.
    """
    found = sampled_models(values, coalitions, held_out, strata, options)
    if coalitions.shape[1] <= COMPLETED_PLAYERS or options.densities is not None or not bool(held_out.any()):
        return found
    parts = [game_models(found, game) for game in range(len(values))]
    for game, (part, v) in enumerate(zip(parts, values, strict=True)):
        count = options.max_patterns if options.min_r2 is None else None
        count = len(part.value) if count is None else count
        few = 0 < count <= _MOST_PATTERNS and coalitions.shape[1] <= _PROCESS_PLAYERS
        if float(part.r2) < _EXPLAINED and few:
            parts[game] = _better(part, v, coalitions, held_out, count, options)
    return joined_models(parts)


def _better(of_search: Models, v: Tensor, coalitions: Tensor, held_out: Tensor, count: int, options: Options) -> Models:
    """The model of the search or that of the process, whichever predicts the coalitions held out better.

    The smaller of two errors flatters. So R² takes, for each half of the coalitions held out, the error of the model
    that the other half prefers.
    """
    known = ~held_out
    kinds = zip(of_search.is_or.tolist(), of_search.members, strict=True)
    patterns = [(is_or, tuple(row.nonzero()[:, 0].tolist())) for is_or, row in kinds]
    by_search = predicted_by_patterns(v[known], coalitions[known], patterns, coalitions[held_out], options)
    of_process, by_process = _process_model(v, coalitions, held_out, count, options)
    truth = v[held_out]
    offset, scale = truth.mean(), (v - v.mean()).abs().amax()
    errors = (truth - torch.stack([by_search, by_process])) / scale
    squares = errors.square()
    order = torch.randperm(len(truth), generator=torch.Generator().manual_seed(options.seed), device="cpu")
    judged = torch.empty_like(truth)
    for mine, other in permutations(half.to(v.device) for half in order.tensor_split(2)):
        judged[mine] = errors[squares[:, other].sum(1).argmin(), mine]
    r2, interval = held_out_r2((truth - offset) / scale, judged, options.seed, False)
    left = (1 - r2).clamp(min=torch.finfo(r2.dtype).tiny)
    interval = 1 - left * ((1 - interval) / left) ** _CHOSEN
    better = (of_search, of_process)[int(squares.sum(1).argmin())]
    return better._replace(r2=r2[None], r2_interval=interval[None])


def _process_model(
    v: Tensor, coalitions: Tensor, held_out: Tensor, count: int, options: Options
) -> tuple[Models, Tensor]:
    """The model by the process of one game, and what one made without the coalitions held out predicts there."""
    known = ~held_out
    without = ProcessPosterior.of(coalitions[known], v[known], options.seed)
    whole = ProcessPosterior.of(coalitions, v, options.seed, without.process.theta)
    sample, _ = drawn_coalitions(coalitions, options.size_shares(coalitions.shape[1]), _PREDICTED)
    ends = ~is_inner(coalitions)
    rows = torch.cat([coalitions[ends], sample[is_inner(sample)]])

    def chosen(posterior: ProcessPosterior) -> tuple[Tensor, list[Pattern]]:
        predicted = torch.cat([v[ends], posterior.process.predict(rows[int(ends.sum()) :].double())])
        return predicted, pursued_patterns(predicted, rows, _leading(posterior), count, options)

    predicted, patterns = chosen(without)
    by_trial = predicted_by_patterns(predicted, rows, patterns, coalitions[held_out], options)
    predicted, patterns = chosen(whole)
    return model_like(predicted, rows, patterns, v, coalitions, options), by_trial


def _leading(posterior: ProcessPosterior) -> list[int]:
    """The players of the largest Shapley values, in ascending order."""
    size = posterior.shapley_values()[0].abs()
    return sorted(size.argsort(descending=True, stable=True)[:_PAIRED_PLAYERS].tolist())


def pursued_patterns(v: Tensor, coalitions: Tensor, leading: list[int], count: int, options: Options) -> list[Pattern]:
    """Up to ``count`` patterns by orthogonal matching pursuit, each then exchanged for a better one where there is one.

    Candidates are all players alone, the AND and the OR of each pair of leading players, and each pattern taken with
    one leading player more.
    """
    largest = min(options.max_order or _LARGEST_ORDER, _LARGEST_ORDER, coalitions.shape[1])
    kinds = [kind == "or" for kind in ("and", "or") if kind in options.kinds]
    candidates: list[Pattern] = [(False, (player,)) for player in range(coalitions.shape[1])]
    if largest > 1:
        candidates += [(is_or, pair) for is_or in kinds for pair in combinations(leading, 2)]
    size = coalitions.sum(1)
    offset = v[size == 0][0] if options.exact_ends else v.mean()
    scale = (v - offset).abs().amax().clamp(min=torch.finfo(v.dtype).tiny)
    y = ((v - offset) / scale).float()
    total = float(y[size == coalitions.shape[1]][0]) if options.exact_ends else None
    pool = _Pool(coalitions, y, candidates, leading, largest, total)
    pool.take(min(count, len(coalitions) // 2))
    pool.exchange()
    return [pool.patterns[place] for place in pool.taken]


class _Pool:
    """Candidates as columns, and the places of those taken.

    Where the ends are bound the weights add up to a total: the first pattern taken has what is left of it, so that the
    others count by their difference to it. Else columns and values are centred.
    """

    def __init__(
        self,
        coalitions: Tensor,
        y: Tensor,
        candidates: list[Pattern],
        leading: list[int],
        largest: int,
        total: float | None,
    ) -> None:
        self.coalitions, self.y, self.leading, self.largest, self.total = coalitions, y, leading, largest, total
        self.patterns: list[Pattern] = []
        self.known: set[Pattern] = set()
        self.columns = y.new_empty(len(y), 0)
        self.squares = y.new_empty(0)
        self.taken: list[int] = []
        self._add(candidates)

    def _add(self, candidates: list[Pattern]) -> None:
        fresh = [candidate for candidate in candidates if candidate not in self.known]
        if not fresh:
            return
        self.known.update(fresh)
        self.patterns += fresh
        columns = self.y.new_empty(len(self.y), len(fresh))
        for order in {len(players) for _, players in fresh}:
            for is_or in (False, True):
                places = [i for i, (kind, players) in enumerate(fresh) if kind == is_or and len(players) == order]
                if places:
                    members = torch.tensor([fresh[i][1] for i in places], device=self.y.device)
                    present = self.coalitions[:, members]
                    columns[:, places] = (present.any(2) if is_or else present.all(2)).to(columns.dtype)
        if self.total is None:
            columns -= columns.mean(0)
        self.columns = torch.cat([self.columns, columns], dim=1)
        self.squares = torch.cat([self.squares, columns.square().sum(0)])

    def _gains(self, places: list[int]) -> Tensor:
        """Squared error that each candidate saves beside others; below 0 only where it is the first of a total."""
        rest, squares, total = self.y, self.squares, self.total
        if total is not None and not places:
            return 2 * total * (self.columns.T @ rest) - total**2 * squares
        if total is not None:
            first, *places = places
            base = self.columns[:, first]
            rest = rest - total * base
            cross = self.columns.T @ base
            squares = squares - 2 * cross + base.square().sum()
            span = self.columns[:, places] - base[:, None]
        else:
            base, span = torch.zeros_like(rest), self.columns[:, places]
        basis = torch.linalg.qr(span)[0]
        rest = rest - basis @ (basis.T @ rest)
        spanned = basis.T @ self.columns - (basis.T @ base)[:, None]
        left = squares - spanned.square().sum(0)
        gains = (self.columns.T @ rest - base @ rest).square() / left.clamp(min=1e-9)
        return torch.where(left > _ALIKE * self.squares.clamp(min=1e-9), gains, 0.0)

    def take(self, count: int) -> None:
        """Take candidates one at a time, those first that save the most."""
        while len(self.taken) < count:
            gains = self._gains(self.taken)
            best = int(gains.argmax())
            if self.taken and not bool(gains[best] > 0):
                return
            self.taken.append(best)
            self._extend(best)

    def _extend(self, place: int) -> None:
        """Add the candidates with one player more than a pattern of several."""
        is_or, players = self.patterns[place]
        if 2 <= len(players) < self.largest:
            others = sorted(set(self.leading) - set(players))
            self._add([(is_or, tuple(sorted((*players, other)))) for other in others])

    def exchange(self) -> None:
        """Exchange each candidate taken for one that saves more beside the rest, until none does."""
        for _ in range(_SWEEPS):
            before = list(self.taken)
            for place, current in enumerate(before):
                gains = self._gains([other for i, other in enumerate(self.taken) if i != place])
                best = int(gains.argmax())
                if bool(gains[best] > _GAIN * gains[current]):
                    self.taken[place] = best
                    self._extend(best)
            if self.taken == before:
                return
