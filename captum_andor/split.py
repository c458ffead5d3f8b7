r"""Split a game into an AND and an OR part, v + q = v_and + v_or.

The sparse split is a linear program. With every interaction kept and the constant in the (free) empty sets,

    minimise ‖a‖₁ + ‖b‖₁ over T ≠ ∅   subject to   |Za − Kb − v| ≤ ε,

where Z sums over subsets and K over subsets of the complement. Its dual is

    maximise ⟨y, v⟩ − ε‖y‖₁   subject to   |Zᵀy|, |Kᵀy| ≤ 1 for T ≠ ∅ and Σy = 0.

Any y is made feasible by choosing y(∅) and scaling; the duality gap of that point certifies the split.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from captum_andor.transforms import (
    count_players,
    mobius,
    or_mobius,
    or_zeta,
    orders,
    zeta,
    zeta_adjoint,
)

Split: TypeAlias = Literal["sparse", "and", "or", "even"]

__all__ = ["Split", "SplitResult", "check_split", "split_game"]

_LINEAR_PROGRAM_PLAYERS = 8  # up to here scipy's exact solver takes about a tenth of a second a game
_COARSE = 1e-2  # from this tolerance on the first-order method serves fewer players, too: a thirtieth of the time
_LINEAR_PROGRAM_PLAYERS_WITH_NOISE = 10
_SPARSE_PLAYERS = 16
# Of the steps .02 to .4 and relaxations 1 to 1.8 these needed the fewest iterations on digit classifiers.
_STEP, _RELAXATION = 0.1, 1.5
_CHECK_EVERY = 25
_MOST_ITERATIONS = 20_000
_RESIDUAL = 1e-12


class SplitResult(NamedTuple):
    """A split of games with leading shape ``(…)``; see :class:`captum_andor.AndOrExplanation` for the meaning."""

    and_values: Tensor
    or_values: Tensor
    noise: Tensor
    l1: Tensor
    duality_gap: Tensor


def check_split(split: str, noise_bound: float, tolerance: float, n_players: int) -> None:
    """Raise unless a split of this kind can be computed for so many players.

    Raises:
        ValueError: If the split is unknown, a number is out of its range, or the players are too many.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {list(get_args(Split))}; got {split!r}.")
    if not (_is_real(noise_bound) and 0 <= noise_bound < math.inf):
        raise ValueError(f"noise_bound must be a finite number ≥ 0; got {noise_bound!r}.")
    if not (_is_real(tolerance) and 0 < tolerance < 1):
        raise ValueError(f"tolerance must lie in (0, 1); got {tolerance!r}.")
    if split != "sparse":
        if noise_bound:
            raise ValueError(f'noise_bound={noise_bound} needs split="sparse"; split={split!r} has no noise.')
        return
    most = _LINEAR_PROGRAM_PLAYERS_WITH_NOISE if noise_bound else _SPARSE_PLAYERS
    if n_players > most:
        raise ValueError(
            f'split="sparse" with noise_bound={noise_bound} handles up to {most} players; got {n_players}. '
            "Use a coarser feature_mask, noise_bound=0 (up to 16 players), or split='even', 'and' or 'or'."
        )


def _is_real(number: object) -> bool:
    return isinstance(number, Real) and not isinstance(number, bool)


def split_game(
    values: Tensor, split: Split = "sparse", noise_bound: float = 0.0, tolerance: float = 1e-3
) -> SplitResult:
    r"""Split games into AND and OR interactions.

    Interactions of order 1 are the same function under AND and OR; they are reported under AND.

    Args:
        values (Tensor): Game values, float64, shape ``(…, 2^n)``.
        split (str): ``"sparse"``, ``"and"``, ``"or"`` or ``"even"``.
        noise_bound (float): Largest \|q(S)\|, relative to \|v(N) - v(∅)\| of each game.
        tolerance (float): Relative duality gap at which a sparse split is accepted.

    Returns:
        - **result** (*SplitResult*): ``duality_gap`` is NaN where no optimum was sought.
    """
    check_split(split, noise_bound, tolerance, count_players(values))
    if split == "sparse":
        return _sparse(values, noise_bound, tolerance)
    share = {"and": 1.0, "or": 0.0, "even": 0.5}[split]
    and_values = mobius(values * share)
    or_values = or_mobius(values * (1 - share))
    and_values[..., 0] = values[..., 0]
    return _result(and_values, or_values, torch.zeros_like(values), None)


def _sparse(values: Tensor, noise_bound: float, tolerance: float) -> SplitResult:
    n = count_players(values)
    if n == 0 or not values.numel():  # nothing to solve, and nothing to improve
        free = torch.zeros_like(values)
        return SplitResult(values.clone(), free, free.clone(), free[..., 0].clone(), free[..., 0].clone())
    games = values.reshape(-1, values.shape[-1])
    offset = games[:, :1]
    # Solvers see v(∅) = 0 and max|v| = 1, so that their tolerances mean the same on every scale.
    scale = (games - offset).abs().amax(-1, keepdim=True)
    unit = (games - offset) / torch.where(scale > 0, scale, 1.0)
    epsilon = noise_bound * (unit[:, -1] - unit[:, 0]).abs()
    if noise_bound or (n <= _LINEAR_PROGRAM_PLAYERS and tolerance < _COARSE):
        a, b, q, y = _solve_linear_programs(unit, epsilon)
    else:
        a, b, y = _douglas_rachford(unit, tolerance)
        q = torch.zeros_like(unit)
    gap = _duality_gap(a, b, y, unit, epsilon)
    missed = (gap > tolerance).nonzero().flatten().tolist()
    if missed:
        warnings.warn(
            f"the sparse split of game(s) {missed} missed tolerance={tolerance}: duality gap up to "
            f"{float(gap.max()):.2g}. The gaps are honest; raise the tolerance to silence this.",
            stacklevel=2,
        )
    and_values, or_values = a * scale, b * scale
    and_values[:, :1] = offset
    shape = values.shape
    return _result(and_values.view(shape), or_values.view(shape), (q * scale).view(shape), gap.view(shape[:-1]))


def _result(and_values: Tensor, or_values: Tensor, noise: Tensor, gap: Tensor | None) -> SplitResult:
    and_values, or_values = _merge_single_players(and_values, or_values)
    l1 = and_values[..., 1:].abs().sum(-1) + or_values[..., 1:].abs().sum(-1)
    return SplitResult(and_values, or_values, noise, l1, torch.full_like(l1, math.nan) if gap is None else gap)


def _merge_single_players(and_values: Tensor, or_values: Tensor) -> tuple[Tensor, Tensor]:
    single = orders(count_players(and_values), and_values.device) == 1
    return torch.where(single, and_values + or_values, and_values), torch.where(single, 0.0, or_values)


def _duality_gap(a: Tensor, b: Tensor, y: Tensor, unit: Tensor, epsilon: Tensor) -> Tensor:
    """Relative gap (primal − dual) / primal between a feasible split and the feasible point made from y."""
    a, b = _merge_single_players(a, b)
    primal = a[:, 1:].abs().sum(-1) + b[:, 1:].abs().sum(-1)
    y = y.clone()
    y[:, 0] -= y.sum(-1)
    violation = torch.maximum(zeta_adjoint(y)[:, 1:].abs().amax(-1), zeta_adjoint(y.flip(-1))[:, 1:].abs().amax(-1))
    y = y / violation.clamp(min=1.0)[:, None]
    dual = (y * unit).sum(-1) - epsilon * y[:, 1:].abs().sum(-1)
    dual = dual.clamp(min=0.0)  # y = 0 is feasible and has value 0
    return torch.where(primal > 0, (primal - dual).clamp(min=0.0) / torch.where(primal > 0, primal, 1.0), 0.0)


def _solve_linear_programs(unit: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    solved = [
        _solve_linear_program(game, bound) for game, bound in zip(unit.cpu().numpy(), epsilon.tolist(), strict=True)
    ]
    a, b, q, y = (torch.from_numpy(np.stack(part)).to(unit.device) for part in zip(*solved, strict=True))
    # The noise takes what it can of the solver's residual; AND terms take the rest, so that matching is exact.
    residual = unit - zeta(a) - or_zeta(b) + q
    room = epsilon[:, None] * torch.ones_like(q)
    room[:, 0] = 0.0
    noise = (q - residual).clamp(-room, room)
    residual = residual + noise - q
    rest = mobius(residual)
    rest[:, 0] = 0.0
    a = torch.where(residual.abs().amax(-1, keepdim=True) > _RESIDUAL, a + rest, a)
    return a, b, noise, y


def _solve_linear_program(
    game: np.ndarray[Any, Any], epsilon: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Solve one game exactly: a, b, q (with Za − Kb + c − q = v) and the dual point y."""
    from scipy import sparse
    from scipy.optimize import linprog

    size = len(game)
    n = size.bit_length() - 1
    if not np.any(game) or n == 0:
        return np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    subset, multiple = _program_columns(n)
    noise = -sparse.identity(size, format="csc")[:, 1:] if epsilon else sparse.csc_matrix((size, 0))
    matrix = sparse.hstack([subset, -subset, -multiple, multiple, sparse.csc_matrix(np.ones((size, 1))), noise])
    n_and, n_or = subset.shape[1], multiple.shape[1]
    n_terms = 2 * (n_and + n_or)
    cost = np.concatenate([np.ones(n_terms), np.zeros(1 + noise.shape[1])])
    bounds = [(0, None)] * n_terms + [(None, None)] + [(-epsilon, epsilon)] * noise.shape[1]
    result = linprog(cost, A_eq=matrix, b_eq=game, bounds=bounds, method="highs")
    if result.x is None:
        raise RuntimeError(f"scipy's linear program solver failed on a game of {n} players: {result.message}")
    parts = np.split(result.x, np.cumsum([n_and, n_and, n_or, n_or, 1]))
    a, b, q = np.zeros(size), np.zeros(size), np.zeros(size)
    a[1:] = parts[0] - parts[1]
    b[orders(n).numpy() >= 2] = parts[2] - parts[3]
    if epsilon:
        q[1:] = parts[5]
    return a, b, q, np.asarray(result.eqlin.marginals)


@lru_cache(maxsize=4)
def _program_columns(n: int) -> tuple[Any, Any]:
    """Columns of Z over T ≠ ∅ and of K over |T| ≥ 2 (order 1 is the same function in both)."""
    from scipy import sparse

    columns, mirrored = sparse.identity(1, format="csc"), sparse.identity(1, format="csc")
    for _ in range(n):
        columns = sparse.kron([[1, 0], [1, 1]], columns, format="csc")
        mirrored = sparse.kron([[1, 1], [1, 0]], mirrored, format="csc")
    return columns[:, 1:], mirrored[:, orders(n).numpy() >= 2]


def _douglas_rachford(unit: Tensor, tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
    """First-order method for noise bound 0; games leave the batch once their gap is within the tolerance."""
    projection = _MatchingProjection(unit)
    a, b, y = mobius(unit), torch.zeros_like(unit), torch.zeros_like(unit)  # the AND split, until there is better
    best = torch.full_like(unit[:, 0], math.inf)
    active = torch.arange(len(unit), device=unit.device)
    state = projection(torch.zeros(len(unit), 2, unit.shape[-1], dtype=unit.dtype, device=unit.device))[0]
    step = state.abs().amax((1, 2), keepdim=True).clamp(min=1e-30) * _STEP
    for iteration in range(1, _MOST_ITERATIONS + 1):
        proximal = torch.nn.functional.softshrink(state / step, 1.0) * step
        proximal[..., 0] = state[..., 0]
        matched, multiplier = projection(2 * proximal - state)
        state = state + _RELAXATION * (matched - proximal)
        if iteration % _CHECK_EVERY:
            continue
        candidate_a, candidate_b = _exactly_matched(matched, projection.unit)
        candidate_y = -multiplier / step[:, 0]
        epsilon = torch.zeros_like(projection.unit[:, 0])
        gap = _duality_gap(candidate_a, candidate_b, candidate_y, projection.unit, epsilon)
        better = gap < best[active]
        rows = active[better]
        a[rows], b[rows], y[rows] = candidate_a[better], candidate_b[better], candidate_y[better]
        best[rows] = gap[better]
        going = best[active] > tolerance
        if not bool(going.any()):
            break
        active, state, step = active[going], state[going], step[going]
        projection.keep(going)
    return a, b, y


def _exactly_matched(matched: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Absorb rounding of the projection in the AND part."""
    b = matched[:, 1].clone()
    b[:, 0] = 0.0
    a = mobius(unit - or_zeta(b))
    a[:, 0] = 0.0
    return a, b


class _MatchingProjection:
    """Projection onto {(a, b): Za − Kb = v}, exact in O(n 2^n).

    One 2 x 2 congruence W with WᵀKKᵀW = I and WᵀZZᵀW = diag(λ) diagonalises the Gram matrix ZZᵀ + KKᵀ of all n players
    at once, since both terms are Kronecker powers.
    """

    def __init__(self, unit: Tensor) -> None:
        self.unit = unit
        n = count_players(unit)
        z = np.array([[1.0, 0.0], [1.0, 1.0]])
        k = np.array([[1.0, 1.0], [1.0, 0.0]])
        from scipy.linalg import eigh

        eigenvalues, w = eigh(z @ z.T, k @ k.T)
        self._n = n
        self._and = _kernels(w.T @ z, n, unit)
        self._or = _kernels(w.T @ k, n, unit)
        self._and_adjoint = _kernels(z.T @ w, n, unit)
        self._or_adjoint = _kernels(k.T @ w, n, unit)
        self._w = _kernels(w, n, unit)
        self._target = _kronecker(unit, _kernels(w.T, n, unit))
        diagonal = unit.new_ones(1)
        for _ in range(n):
            diagonal = torch.kron(unit.new_tensor(eigenvalues), diagonal)
        self._inverse = 1.0 / (diagonal + 1.0)

    def keep(self, rows: Tensor) -> None:
        self.unit, self._target = self.unit[rows], self._target[rows]

    def __call__(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Return the projection of (a, b), shape ``(B, 2, 2^n)``, and its multiplier, shape ``(B, 2^n)``."""
        residual = _kronecker(pair[:, 0], self._and) - _kronecker(pair[:, 1], self._or) - self._target
        multiplier = residual * self._inverse
        shift = torch.stack(
            [-_kronecker(multiplier, self._and_adjoint), _kronecker(multiplier, self._or_adjoint)], dim=1
        )
        return pair + shift, _kronecker(multiplier, self._w)


def _kernels(factor: np.ndarray[Any, Any], n: int, like: Tensor) -> list[Tensor]:
    """Kronecker powers of a 2 x 2 factor that together cover n bits, lowest first."""
    kernels = []
    groups = math.ceil(n / 6) or 1
    for group in range(groups):
        bits = n // groups + (group < n % groups)
        kernel = np.ones((1, 1))
        for _ in range(bits):
            kernel = np.kron(factor, kernel)
        kernels.append(like.new_tensor(kernel))
    return kernels


def _kronecker(x: Tensor, kernels: list[Tensor]) -> Tensor:
    shape = x.shape
    low = 1
    for kernel in kernels:
        size = len(kernel)
        if low == 1:
            x = x.reshape(-1, size) @ kernel.T
        else:
            x = kernel @ x.reshape(-1, size, low)
        low *= size
    return x.reshape(shape)
