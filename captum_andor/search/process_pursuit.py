"""Patterns of games of many players, chosen on predicted values.

Above 16 players a game cannot be completed. Its posterior predicts a random sample of coalitions instead, of which a
budget could not have paid for as many. Candidates are all players alone, the ANDs and the ORs of pairs of leading
players that explain the most beside these, and each pattern taken with one leading player more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from captum_andor.search.agreeing_signs import agreeing
from captum_andor.search.beam_search import Pattern
from captum_andor.search.dictionary import WrittenColumns
from captum_andor.search.least_squares import Ends, GameBatch
from captum_andor.search.options import Options
from captum_andor.search.pursuit import EXACT, Problem, best_of, select
from captum_andor.search.sampled_games import closing_patterns, pattern_columns, written_columns

_PAIRED_PLAYERS = 64  # of the largest Shapley values, whose pairs are looked at: 4 032 columns
_SINGLE_PLAYERS = 512  # of the largest Shapley values, that are candidates alone
_PAIRS = 768  # of these, that are candidates: with all of them a search takes four times as long
_GROWN = 256  # patterns of one player more in each round, that are candidates
_LARGEST_ORDER = 4  # of a pattern that grows from a pair; the search on the coalitions evaluated finds larger ones


def pursued_patterns(
    values: Tensor, coalitions: Tensor, size: Tensor, count: int, options: Options
) -> list[list[Pattern]]:
    """Patterns of games that are alike, as one and the same without some coalitions, most useful first.

    Args:
        values: float64, shape ``(G, k)``; the candidates are those of the first.
        coalitions: Where, bool, shape ``(k, n)``; with exact ends ∅ and N among them.
        size: Of the effect of each player, shape ``(n,)``: the largest lead.
        count: Most patterns of a game.
        options: Kinds, orders, ends and effort.
    """
    n = coalitions.shape[1]
    order = size.abs().argsort(descending=True, stable=True)
    leading = sorted(order[:_PAIRED_PLAYERS].tolist())
    largest = min(options.max_order or _LARGEST_ORDER, _LARGEST_ORDER, n)
    kinds = [kind == "or" for kind in ("and", "or") if kind in options.kinds]
    ends = [coalitions.sum(1) == end for end in (0, n)] if options.exact_ends else None
    base = values.mean(1, keepdim=True) if ends is None else values[:, ends[0]]
    unit = values - base
    unit = unit / unit.abs().amax(1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    candidates: list[Pattern] = [(False, (player,)) for player in sorted(order[:_SINGLE_PLAYERS].tolist())]
    if largest > 1:
        pairs: list[Pattern] = [(is_or, pair) for is_or in kinds for pair in combinations(leading, 2)]
        candidates += _useful(unit[0], coalitions, candidates, pairs, _PAIRS)
    closing = closing_patterns(n, options) if ends is not None else []
    known = {*candidates, *closing}
    found: list[list[Pattern]] = []
    for last in [False] * (largest - 1) + [True]:  # each round takes patterns of one player more
        pool = _Pool(
            written_columns(coalitions, candidates + closing),
            unit,
            None if ends is None else Ends(*(unit[:, end][:, 0] for end in ends)),
            len(closing),
        )
        found = [[(candidates + closing)[i] for i in row if i >= 0] for row in pool.chosen(count, options).tolist()]
        grown = {
            (is_or, tuple(sorted((*players, other))))
            for is_or, players in {pattern for patterns in found for pattern in patterns}
            if 2 <= len(players) < largest
            for other in leading
            if other not in players
        }
        fresh = _useful(unit[0], coalitions, candidates, sorted(grown - known), _GROWN)
        if last or not fresh:
            break
        candidates += fresh
        known |= grown
    return found


def _useful(
    y: Tensor, coalitions: Tensor, candidates: list[Pattern], further: list[Pattern], most: int
) -> list[Pattern]:
    """Those of further patterns that explain the most of what single players leave of values ``(k,)``."""
    if len(further) <= most:
        return further
    alone = pattern_columns(coalitions, [pattern for pattern in candidates if len(pattern[1]) == 1])
    basis, _ = torch.linalg.qr(torch.cat([torch.ones_like(y)[:, None], alone], dim=1))
    left = y - basis @ (basis.T @ y)
    columns = pattern_columns(coalitions, further)
    columns = columns - columns.mean(0)
    gain = (left @ columns).square() / columns.square().sum(0).clamp(min=1e-9)
    return [further[i] for i in gain.argsort(descending=True, stable=True)[:most].sort().values.tolist()]


@dataclass(frozen=True)
class _Pool:
    """Candidates as columns, the last ``n_closing`` of which only hold the ends, and the games ``(G, k)``."""

    columns: WrittenColumns
    unit: Tensor
    ends: Ends | None
    n_closing: int

    def chosen(self, count: int, options: Options) -> Tensor:
        """Columns of each game, -1 for none: ``(G, ≤ count)``."""
        wanted = replace(options, max_patterns=count, min_r2=None)
        games, total = GameBatch(self.columns, self.unit), len(self.columns.order)
        place = torch.arange(total, device=self.unit.device)
        allowed = place < total - self.n_closing
        problem = Problem(games, games, self.ends, place[~allowed].expand(len(self.unit), -1))
        free = select(problem, allowed, wanted)
        if self.ends is not None and count > 1:
            free = best_of(problem, [free, self._bound(allowed, wanted)], count, EXACT)
        return agreeing(problem, free, allowed)

    def _bound(self, allowed: Tensor, wanted: Options) -> Tensor:
        """Columns chosen with the ends in view.

        The weights add up to v(N) − v(∅): one column has what the others leave of it, so that these count by their
        difference to it.
        """
        assert self.ends is not None and wanted.max_patterns is not None
        columns, span = self.columns, (self.ends.full - self.ends.empty)[:, None]
        gain = 2 * span[0] * (self.unit[0] @ columns.written) - span[0].square() * columns.written.sum(0)
        first = int(torch.where(allowed, gain, -torch.inf).argmax())
        held = columns.written[:, first]
        others = WrittenColumns(
            columns.written - held[:, None], columns.is_or, columns.order, columns.rival, is_centred=False
        )
        games = GameBatch(others, self.unit - span * held)
        none = torch.empty(len(self.unit), 0, dtype=torch.long, device=self.unit.device)
        allowed = allowed.clone()
        allowed[[first, int(columns.rival[first])]] = False
        effort = "accurate" if wanted.is_stable else wanted.effort
        chosen = select(
            Problem(games, games, None, none),
            allowed,
            replace(wanted, max_patterns=wanted.max_patterns - 1, effort=effort),
        )
        return torch.cat([torch.full_like(chosen[:, :1], first), chosen], dim=1)
