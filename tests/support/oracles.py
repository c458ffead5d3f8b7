"""Brute force, straight from the definitions: subsets as frozensets, no bit tricks, no transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, combinations, permutations
from math import factorial

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

Coalition = frozenset[int]


def code(coalition: Iterable[int]) -> int:
    return sum(2**player for player in coalition)


def subsets(players: Iterable[int]) -> list[Coalition]:
    players = sorted(players)
    return [frozenset(c) for c in chain.from_iterable(combinations(players, k) for k in range(len(players) + 1))]


def set_function(n: int, rule: Callable[[Coalition], float]) -> Tensor:
    """The values of a rule on every coalition, in the order of the bit codes."""
    values = torch.zeros(2**n, dtype=torch.float64)
    for coalition in subsets(range(n)):
        values[code(coalition)] = rule(coalition)
    return values


def n_players(v: Tensor) -> int:
    return {2**n: n for n in range(30)}[len(v)]


def mobius(v: Tensor) -> Tensor:
    return set_function(n_players(v), lambda t: sum((-1) ** (len(t) - len(s)) * float(v[code(s)]) for s in subsets(t)))


def zeta(a: Tensor) -> Tensor:
    return set_function(n_players(a), lambda s: sum(float(a[code(t)]) for t in subsets(s)))


def or_mobius(v: Tensor) -> Tensor:
    everyone = frozenset(range(n_players(v)))

    def rule(t: Coalition) -> float:
        return -sum((-1) ** (len(t) - len(s)) * float(v[code(everyone - s)]) for s in subsets(t)) if t else 0.0

    return set_function(len(everyone), rule)


def or_zeta(b: Tensor) -> Tensor:
    everything = subsets(range(n_players(b)))
    return set_function(n_players(b), lambda s: sum(float(b[code(t)]) for t in everything if t & s))


def mobius_adjoint(x: Tensor) -> Tensor:
    everything = subsets(range(n_players(x)))
    return set_function(
        n_players(x),
        lambda s: sum((-1) ** (len(t) - len(s)) * float(x[code(t)]) for t in everything if s <= t),
    )


def zeta_adjoint(x: Tensor) -> Tensor:
    everything = subsets(range(n_players(x)))
    return set_function(n_players(x), lambda t: sum(float(x[code(s)]) for s in everything if t <= s))


def or_mobius_adjoint(x: Tensor) -> Tensor:
    """Transpose of or_mobius: the coefficient of v(S) in b(T) is -(-1)^(|T|-|N∖S|) where N∖S ⊆ T ≠ ∅."""
    everyone = frozenset(range(n_players(x)))
    terms = [t for t in subsets(everyone) if t]

    def rule(s: Coalition) -> float:
        rest = everyone - s
        return -sum((-1) ** (len(t) - len(rest)) * float(x[code(t)]) for t in terms if rest <= t)

    return set_function(len(everyone), rule)


def or_zeta_adjoint(x: Tensor) -> Tensor:
    return or_zeta(x)  # "S meets T" is symmetric


def player_sums(x: Tensor) -> Tensor:
    n = n_players(x)
    sums = [sum(float(x[code(s)]) for s in subsets(range(n)) if i in s) for i in range(n)]
    return torch.tensor(sums, dtype=torch.float64)


def shapley_values(v: Tensor) -> Tensor:
    """Mean marginal contribution over all orders of arrival."""
    n = n_players(v)
    result = torch.zeros(n, dtype=torch.float64)
    for arrival in permutations(range(n)):
        for place, player in enumerate(arrival):
            before = arrival[:place]
            result[player] += (v[code((*before, player))] - v[code(before)]) / factorial(n)
    return result


def surrogate(and_values: Tensor, or_values: Tensor) -> Tensor:
    """h(S) = v(∅) + sum of AND terms inside S + sum of OR terms that S meets."""
    n = n_players(and_values)
    terms = [t for t in subsets(range(n)) if t]

    def rule(s: Coalition) -> float:
        inside = sum(float(and_values[code(t)]) for t in terms if t <= s)
        met = sum(float(or_values[code(t)]) for t in terms if t & s)
        return float(and_values[0]) + inside + met

    return set_function(n, rule)


def least_l1(v: Tensor, noise_bound: float = 0.0) -> float:
    """Least ‖a‖₁ + ‖b‖₁ with |h(S) - v(S)| ≤ noise_bound·|v(N) - v(∅)| and h(∅) = v(∅), by a dense program."""
    everything = subsets(range(n_players(v)))
    terms = [t for t in everything if t]
    if not terms:
        return 0.0
    game = np.array([float(v[code(s)]) - float(v[0]) for s in everything])
    size = np.abs(game).max() or 1.0
    contains = np.array([[t <= s for t in terms] for s in everything], dtype=float)
    meets = np.array([[bool(t & s) for t in terms] for s in everything], dtype=float)
    matrix = np.hstack([contains, -contains, meets, -meets])
    room = np.full(len(game), noise_bound * abs(float(v[-1]) - float(v[0])) / size)
    room[0] = 0.0
    result = linprog(
        np.ones(matrix.shape[1]),
        A_ub=np.vstack([matrix, -matrix]),
        b_ub=np.concatenate([game / size + room, -game / size + room]),
        method="highs",
    )
    assert result.status == 0, result.message
    return float(result.fun) * size


def planted_game(n: int, n_terms: int, seed: int) -> tuple[Tensor, float]:
    """A game of a few AND and OR terms, and the L1 that it was built with."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(n_terms):
        members = torch.randperm(n, generator=generator)[: int(torch.randint(1, n, (), generator=generator))]
        is_or = bool(torch.randint(2, (), generator=generator))
        found.append((frozenset(members.tolist()), is_or, float(torch.randn((), generator=generator))))

    def rule(s: frozenset[int]) -> float:
        return sum(weight * bool(term & s if is_or else term <= s) for term, is_or, weight in found)

    return set_function(n, rule), sum(abs(weight) for *_, weight in found)
