"""Shorten an exact model: drop patterns that overlap, search again from the rest, keep whatever became shorter."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_andor.search.pursuit import EXACT, Problem, cut, discount, grow, rank, swap

_ROUNDS, _RESTARTS_PER_ROUND = 8, 8  # 64 restarts; forty found all of thirty planted games in 0.3 s each
_PREFERENCES = (0.0, 0.3, 1.0)  # for low order, in turn: no single one finds all planted games
_SAME = 1e-6  # of the range: closer values count as one, so that rounding makes none
_REPAIR_GAIN = 1e-12  # share of the variance: an exact model may still gain by rounding only


def shortest(problem: Problem, allowed: Tensor, chosen: Tensor, seed: int) -> Tensor:
    """Shorten an exact model of one game.

    Args:
        problem: A single game.
        allowed: Which columns may be chosen.
        chosen: Columns of an exact model, shape ``(k,)``.
        seed: Of the random choice of what is dropped.

    Returns:
        - **chosen** (*Tensor*): Fewest patterns found, of those least total order, shape ``(j,)`` with j ≤ k.
    """
    if len(chosen) <= fewest_patterns(problem.report.centred[0]) == _length(problem, chosen)[1]:
        return chosen  # of single players alone, and no fewer can do
    generator = torch.Generator().manual_seed(seed)
    best = _shrunk(problem, allowed, chosen)
    restarts = problem.select(torch.zeros(_RESTARTS_PER_ROUND, dtype=torch.long, device=chosen.device))
    games = restarts.search
    for round_ in range(_ROUNDS):
        if len(best) < 3:
            break
        share = 0.2 + 0.4 * float(torch.rand((), generator=generator, device="cpu"))
        n_dropped = max(2, int(len(best) * share))
        kept = torch.stack([_kept(problem, best, n_dropped, generator) for _ in range(_RESTARTS_PER_ROUND)])
        preference = _PREFERENCES[round_ % len(_PREFERENCES)]
        weight = discount(games.columns, allowed, preference)
        grown = cut(restarts, rank(games, grow(games, len(best) + 6, weight, kept)), EXACT)[0]
        exact = restarts.path(grown)[:, -1] >= EXACT
        for other in grown[exact]:
            other = other[other >= 0]
            if _length(problem, other) <= _length(problem, best):
                best = other
        best = _shrunk(problem, allowed, best)
    return best


def fewest_patterns(values: Tensor) -> int:
    """How many patterns an exact model has at least: k of them, each there or not, give 2^k values at most."""
    ordered = values.sort().values
    distinct = 1 + int((ordered.diff() > _SAME * (ordered[-1] - ordered[0])).sum())
    return (distinct - 1).bit_length()


def _kept(problem: Problem, best: Tensor, n_dropped: int, generator: torch.Generator) -> Tensor:
    """All but those patterns that share the most players with one of them, picked at random."""
    search = problem.search.columns
    pattern = best & (len(search.is_or) // 2 - 1)
    centre = pattern[int(torch.randint(len(best), (), generator=generator, device="cpu"))]
    overlap = search.order[pattern & centre].double() / search.order[pattern | centre]
    overlap += 0.3 * torch.rand(len(best), generator=generator, dtype=torch.float64, device="cpu").to(best.device)
    return best[overlap.argsort()[: len(best) - n_dropped]]


def _shrunk(problem: Problem, allowed: Tensor, chosen: Tensor) -> Tensor:
    """Drop the least useful pattern and repair by swaps, as long as the model stays exact."""
    games = problem.search
    best = cut(problem, rank(games, chosen[None]), EXACT)[0][0]
    best = best[best >= 0]
    while len(best) > 1:
        fewer = rank(games, best[None])[:, :-1]
        if not _is_exact(problem, fewer):
            fewer = swap(games, fewer, allowed, _REPAIR_GAIN)
        if not _is_exact(problem, fewer):
            break
        best = fewer[0]
    return best


def _is_exact(problem: Problem, chosen: Tensor) -> bool:
    return bool(problem.path(chosen)[0, -1] >= EXACT)


def _length(problem: Problem, chosen: Tensor) -> tuple[int, int]:
    return len(chosen), int(problem.search.columns.order[chosen].sum())
