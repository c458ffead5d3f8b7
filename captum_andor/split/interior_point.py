r"""Interior-point method for the sparse split: from a duality gap of a percent to one of a millionth.

Mehrotra's predictor-corrector method on x = (a, b) = x⁺ − x⁻ with slacks z± = 1 ∓ Aᵀy of the dual, so that the dual
stays feasible, and with noise on the box |q| ≤ ε, whose multipliers are w±. The entries of the normal matrix A D Aᵀ are
looked up: Σ_T d_a(T)[T ⊆ S ∩ S′] + Σ_T d_b(T)[T meets S and S′]. A warm start can stall; it is then tried again from
further inside, and at last from afar. The use for the split is of this package; S. Mehrotra, SIAM J. Optim. 1992.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from captum_andor.games.transforms import count_players, mobius, or_zeta, or_zeta_adjoint, orders, zeta, zeta_adjoint
from captum_andor.split.certificate import dual_bound, merge_singles, order_costs
from captum_andor.split.constraint import matching
from captum_andor.split.douglas_rachford import Solution

INTERIOR_PLAYERS = 12  # the normal matrix of 2^n rows takes 128 MB at 12 players, 2 GB at 14
# Distance of the warm start from the boundary, in multiples of the duality gap; None: Mehrotra's cold start. Twelve to
# eighteen iterations from there, four to eight from a warm start that works.
_LADDER = (0.3, 30.0, None)
_MOST_ITERATIONS = 60  # three times the most that any start has needed
_STALLED = 4  # iterations without a tenth of progress
_STEP = 0.999  # of the way to the boundary
_MATRIX_BYTES = 1 << 28  # of the normal matrices that are factored at once: two games of 12 players


def interior_point(
    unit: Tensor, epsilon: Tensor, tolerance: float, start: Solution, preference: float = 0.0
) -> Solution:
    """Better splits and bounds of games, where these miss the tolerance.

    Args:
        unit (Tensor): v with v(∅) = 0, shape ``(B, 2^n)``, n ≤ 12.
        epsilon (Tensor): Absolute noise bounds, shape ``(B,)``.
        tolerance (float): Relative gap of cost at which a game is done.
        start (Solution): Where to begin; also what is returned where nothing better is found.
        preference (float): For low order, see :func:`captum_andor.split.certificate.order_costs`.
    """
    result = Solution(*(part.clone() for part in start))
    rows = max(_MATRIX_BYTES // (8 * unit.shape[1] ** 2), 1)
    for inside in _LADDER:
        missing = (~(result.gap <= tolerance)).nonzero()[:, 0]
        if not len(missing):
            break
        for some in torch.split(missing, rows):
            began = None if inside is None else Solution(*(part[some] for part in start))
            found = _Path(unit[some], epsilon[some], began, inside, preference).follow(tolerance)
            _improve(result, some, found)
    return result


def _improve(result: Solution, rows: Tensor, found: Solution) -> None:
    """Take over the split, the bound or both, where they are better."""
    shorter = found.primal < result.primal[rows]
    for kept, new in zip((*result[:3], result.primal), (*found[:3], found.primal), strict=True):
        kept[rows[shorter]] = new[shorter]
    higher = found.bound > result.bound[rows]
    for kept, new in ((result.dual, found.dual), (result.bound, found.bound)):
        kept[rows[higher]] = new[higher]


@lru_cache(maxsize=4)
def _lookups(n: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of S ∩ S′ and of the complement of S ∪ S′, for S, S′ ≠ ∅; and which terms there are, ``(2, 2^n)``."""
    codes = torch.arange(1, 1 << n, device=device)
    common = (codes[:, None] & codes).flatten()
    outside = ((1 << n) - 1 - (codes[:, None] | codes)).flatten()
    order = orders(n, device)
    return common, outside, torch.stack([order >= 1, order >= 2]).double()


def normal_matrix(weights: Tensor) -> Tensor:
    """A D Aᵀ for S, S′ ≠ ∅, from the diagonal D ``(B, 2, 2^n)``: ``(B, 2^n − 1, 2^n − 1)``.

    A holds the AND terms over T ≠ ∅ and the OR terms over |T| ≥ 2; weights are 0 elsewhere.
    """
    common, outside, _ = _lookups(count_players(weights), weights.device)
    size = weights.shape[-1] - 1
    sums = zeta(weights)
    matrix = torch.empty(len(weights), size, size, dtype=torch.float64, device=weights.device)
    looked_up = torch.empty(size * size, dtype=torch.float64, device=weights.device)
    # OR terms that meet S and S′ are all, less those that miss S, less those that miss S′, plus those that miss both.
    missed = 0.5 * sums[:, 1, -1:] - sums[:, 1].flip(-1)[:, 1:]
    one = torch.ones_like(missed)
    left, right = torch.stack([missed, one], dim=-1), torch.stack([one, missed], dim=-2)
    for game in range(len(weights)):
        flat = matrix[game].view(-1)
        torch.index_select(sums[game, 0], 0, common, out=flat)
        torch.index_select(sums[game, 1], 0, outside, out=looked_up)
        flat.add_(looked_up)
        matrix[game].addmm_(left[game], right[game])
    return matrix


def applied(x: Tensor) -> Tensor:
    """Ax: ``(B, 2, 2^n)`` to rows ``(B, 2^n)``, 0 at ∅."""
    rows = zeta(x[:, 0]) + or_zeta(x[:, 1])
    rows[:, 0] = 0.0
    return rows


def adjoint(y: Tensor) -> Tensor:
    """Aᵀy: rows, 0 at ∅, to ``(B, 2, 2^n)``, 0 where there is no term."""
    terms = _lookups(count_players(y), y.device)[2]
    return torch.stack([zeta_adjoint(y), or_zeta_adjoint(y)], dim=1) * terms


@dataclass
class _Point:
    """Primal and dual variables of games that are still on their way.

    Attributes:
        positive, negative: x⁺ and x⁻, shape ``(B, 2, 2^n)``, 1 where there is no term.
        y: Multipliers of the rows, ``(B, 2^n)``, 0 at ∅.
        q: Noise, ``(B, 2^n)``.
        upper, lower: Multipliers w⁺ and w⁻ of q ≤ ε and q ≥ −ε.
    """

    positive: Tensor
    negative: Tensor
    y: Tensor
    q: Tensor
    upper: Tensor
    lower: Tensor

    def rows(self, kept: Tensor) -> _Point:
        return _Point(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


@dataclass
class _Move:
    """A step of all variables, before its length is chosen."""

    positive: Tensor
    negative: Tensor
    y: Tensor
    sums: Tensor
    q: Tensor
    upper: Tensor
    lower: Tensor


class _Path:
    """One run of the method on a batch of games."""

    def __init__(
        self, unit: Tensor, epsilon: Tensor, start: Solution | None, inside: float | None, preference: float
    ) -> None:
        self.n = count_players(unit)
        self.terms = _lookups(self.n, unit.device)[2]
        self.n_terms = float(self.terms.sum())
        self.exact = matching(self.n, False, torch.float64, unit.device)
        self.costs = order_costs(self.n, preference, unit.device)
        self.limits = torch.where(self.terms > 0, self.costs, 1.0)
        self.active = torch.arange(len(unit), device=unit.device)
        self.unit, self.epsilon = unit, epsilon
        self.box = (epsilon > 0).double()[:, None].repeat(1, unit.shape[1])  # where there is room for noise
        self.box[:, 0] = 0.0
        zero = torch.zeros_like(unit)
        infinite = torch.full_like(epsilon, math.inf)
        self.best = Solution(zero, zero.clone(), zero.clone(), zero.clone(), infinite, torch.zeros_like(epsilon))
        self.point = self._from_afar() if start is None or inside is None else self._warm(start, inside)

    def _from_afar(self) -> _Point:
        """Mehrotra's start: the least-norm split, moved inside."""
        identity = self.terms.expand(len(self.unit), -1, -1).contiguous()
        factor = torch.linalg.cholesky(normal_matrix(identity))
        y = torch.zeros_like(self.unit)
        y[:, 1:] = torch.cholesky_solve(self.unit[:, 1:, None], factor)[..., 0]
        x = adjoint(y)
        size = (x.abs().sum((1, 2)) / self.n_terms).clamp(min=1e-300)[:, None, None]
        room = self.epsilon[:, None].clamp(min=1e-300)
        multiplier = torch.where(self.box > 0, size[:, :, 0] / room, 1.0)
        positive = torch.where(self.terms > 0, x.clamp(min=0) + size, 1.0)
        negative = torch.where(self.terms > 0, (-x).clamp(min=0) + size, 1.0)
        zero = torch.zeros_like(self.unit)
        return _Point(positive, negative, zero, zero.clone(), multiplier, multiplier.clone())

    def _warm(self, start: Solution, inside: float) -> _Point:
        """A known split and dual point, taken off the boundary by some multiple of their gap."""
        gap = torch.maximum(start.primal - start.bound, 1e-4 * start.primal)
        mu = (inside * gap / (2 * self.n_terms))[:, None, None]
        x = torch.stack([start.and_values, start.or_values], dim=1) * self.terms
        mean = (x.abs().sum((1, 2), keepdim=True) / self.n_terms).clamp(min=1e-300)
        y = start.dual.clone()
        y[:, 0] = 0.0
        y = y * (1 - (mu / mean).clamp(1e-6, 0.3)[:, :, 0])
        sums = adjoint(y)
        # Products of variables and slacks are about mu: near the central path, where long steps are possible.
        to_upper, to_lower = mu / (self.limits - sums), mu / (self.limits + sums)
        positive = torch.where(x >= 0, x + to_lower, to_upper)
        negative = torch.where(x >= 0, to_lower, to_upper - x)
        lift = torch.maximum((0.3 * to_upper - positive).clamp(min=0), (0.3 * to_lower - negative).clamp(min=0))
        positive = torch.where(self.terms > 0, positive + lift, 1.0)
        negative = torch.where(self.terms > 0, negative + lift, 1.0)
        bound, small = self.epsilon[:, None], mu[:, :, 0]
        room = torch.minimum(small / (y.abs().mean(-1, keepdim=True) + 1e-30), 0.3 * bound)
        q = torch.minimum(torch.maximum(start.noise, room - bound), bound - room) * self.box
        above, below = (bound - q).clamp(min=1e-300), (bound + q).clamp(min=1e-300)
        upper = torch.where(y <= 0, small / below - y, small / above)
        lower = torch.where(y <= 0, small / below, small / above + y)
        ones = torch.ones_like(q)
        return _Point(
            positive, negative, y, q, torch.where(self.box > 0, upper, ones), torch.where(self.box > 0, lower, ones)
        )

    def follow(self, tolerance: float) -> Solution:
        """Steps until all games are proven or stall; the best split and bound of each."""
        stalled = torch.zeros_like(self.active)
        for _ in range(_MOST_ITERATIONS):
            before = self.best.gap[self.active]
            residual = self._record()
            gap = self.best.gap[self.active]
            stalled = torch.where(gap < 0.9 * before, 0, stalled + 1)
            going = ~(gap <= tolerance) & (stalled < _STALLED)
            if not bool(going.any()):
                break
            if not bool(going.all()):
                self.active, self.unit, self.epsilon = self.active[going], self.unit[going], self.epsilon[going]
                self.point, self.box = self.point.rows(going), self.box[going]
                residual, stalled = residual[going], stalled[going]
            self._advance(residual)
        return self.best

    def _record(self) -> Tensor:
        """Keep the split and the bound of this point where they are the best; returns what is left of v."""
        point = self.point
        x = (point.positive - point.negative) * self.terms
        residual = self.unit + point.q - applied(x)
        # Least-norm correction: Möbius would magnify the residual by 2^|T|.
        correction = self.exact.adjoint(self.exact.inverse(len(residual))(self.exact.rotate(residual)))
        noise = torch.minimum(torch.maximum(point.q, -self.epsilon[:, None]), self.epsilon[:, None])
        or_values = x[:, 1] + self.exact.games(correction[1])
        or_values[:, 0] = 0.0
        and_values = mobius(self.unit + noise - or_zeta(or_values))
        and_values[:, 0] = 0.0
        and_values, or_values = merge_singles(and_values, or_values)
        primal = ((and_values.abs() + or_values.abs()) * self.costs).sum(-1).nan_to_num(nan=math.inf)
        bound, dual = dual_bound(point.y, self.unit, self.epsilon, self.costs)
        _improve(self.best, self.active, Solution(and_values, or_values, noise, dual, primal, bound))
        return residual

    def _advance(self, residual: Tensor) -> None:
        """One predictor and one corrector step."""
        point = self.point
        sums = adjoint(point.y)
        step = _Newton(self, point, sums, residual)
        predicted = step.towards(
            -point.positive * step.upper_slack,
            -point.negative * step.lower_slack,
            -point.upper * step.above,
            -point.lower * step.below,
        )
        primal, dual = step.lengths(predicted)
        mu = step.mean_product(None, primal, dual)
        after = step.mean_product(predicted, primal.clamp(max=1.0), dual.clamp(max=1.0))
        # Mehrotra 1992: little centring where the predictor alone came far, and its second-order terms taken off.
        target = (after / mu).clamp(min=0) ** 3 * mu
        both, one = target[:, None, None], target[:, None]
        corrected = step.towards(
            both - point.positive * step.upper_slack + predicted.positive * predicted.sums,
            both - point.negative * step.lower_slack - predicted.negative * predicted.sums,
            one - point.upper * step.above + predicted.upper * predicted.q,
            one - point.lower * step.below - predicted.lower * predicted.q,
        )
        primal, dual = ((_STEP * length).clamp(max=1.0) for length in step.lengths(corrected))
        along, across = primal[:, None, None], dual[:, None]
        terms, box = self.terms > 0, self.box > 0
        self.point = _Point(
            torch.where(terms, point.positive + along * corrected.positive, 1.0),
            torch.where(terms, point.negative + along * corrected.negative, 1.0),
            point.y + across * corrected.y,
            point.q + along[:, 0] * corrected.q,
            torch.where(box, point.upper + across * corrected.upper, 1.0),
            torch.where(box, point.lower + across * corrected.lower, 1.0),
        )


class _Newton:
    """The linear system at one point, factored once for both directions."""

    def __init__(self, path: _Path, point: _Point, sums: Tensor, residual: Tensor) -> None:
        self.path, self.point, self.residual = path, point, residual
        self.terms, self.box = path.terms, path.box
        self.upper_slack, self.lower_slack = path.limits - sums, path.limits + sums
        bound = path.epsilon[:, None]
        self.above = torch.where(self.box > 0, bound - point.q, 1.0)
        self.below = torch.where(self.box > 0, bound + point.q, 1.0)
        self.weights = (point.positive / self.upper_slack + point.negative / self.lower_slack) * self.terms
        stiffness = point.upper / self.above + point.lower / self.below
        self.give = torch.where(self.box > 0, 1 / stiffness, 0.0)
        self.force = -(point.y + point.upper - point.lower) * self.box
        matrix = normal_matrix(self.weights)
        matrix.diagonal(dim1=1, dim2=2).add_(self.give[:, 1:])
        self.factor = self._factored(matrix)

    @staticmethod
    def _factored(matrix: Tensor) -> Tensor:
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(matrix)
        ridge = 1e-13  # relative: near the optimum weights span many orders, and rounding makes pivots negative
        while bool((failed > 0).any()) and ridge < 1e-5:
            matrix.diagonal(dim1=1, dim2=2).mul_(1 + ridge)
            factor, failed = torch.linalg.cholesky_ex(matrix)
            ridge *= 100
        return factor

    def _solved(self, rows: Tensor) -> Tensor:
        """The normal system's solution, refined once."""
        solution = self._through_factor(rows)
        left = rows - applied(self.weights * adjoint(solution)) - self.give * solution
        return solution + self._through_factor(left)

    def _through_factor(self, rows: Tensor) -> Tensor:
        half: Tensor = torch.linalg.solve_triangular(self.factor, rows[:, 1:, None], upper=False)
        whole: Tensor = torch.linalg.solve_triangular(self.factor.mT, half, upper=True)[..., 0]
        padded: Tensor = torch.cat([torch.zeros_like(whole[:, :1]), whole], dim=1)
        return padded

    def towards(self, positive: Tensor, negative: Tensor, upper: Tensor, lower: Tensor) -> _Move:
        """The move that makes the products of variables and slacks grow by so much."""
        gained = (positive / self.upper_slack - negative / self.lower_slack) * self.terms
        pushed = self.force - upper / self.above + lower / self.below
        y = self._solved(self.residual - applied(gained) + pushed * self.give)
        sums = adjoint(y)
        q = (pushed - y) * self.give
        return _Move(
            (positive + self.point.positive * sums) / self.upper_slack * self.terms,
            (negative - self.point.negative * sums) / self.lower_slack * self.terms,
            y,
            sums,
            q,
            (upper + self.point.upper * q) / self.above * self.box,
            (lower - self.point.lower * q) / self.below * self.box,
        )

    def lengths(self, move: _Move) -> tuple[Tensor, Tensor]:
        """Largest step lengths before a primal or a dual variable leaves its range."""
        point = self.point
        primal = [(point.positive, move.positive), (point.negative, move.negative)]
        primal += [(self.above, -move.q * self.box), (self.below, move.q * self.box)]
        dual = [(self.upper_slack, -move.sums), (self.lower_slack, move.sums)]
        dual += [(point.upper, move.upper), (point.lower, move.lower)]
        return _least_ratio(primal), _least_ratio(dual)

    def mean_product(self, move: _Move | None, primal: Tensor, dual: Tensor) -> Tensor:
        """Mean product of variables and slacks, here or after a move."""
        point = self.point
        positive, negative, upper, lower = point.positive, point.negative, point.upper, point.lower
        upper_slack, lower_slack, above, below = self.upper_slack, self.lower_slack, self.above, self.below
        if move is not None:
            along, across = primal[:, None, None], dual[:, None]
            positive, negative = positive + along * move.positive, negative + along * move.negative
            upper_slack = upper_slack - across[:, None] * move.sums
            lower_slack = lower_slack + across[:, None] * move.sums
            upper, lower = upper + across * move.upper, lower + across * move.lower
            above, below = above - along[:, 0] * move.q, below + along[:, 0] * move.q
        products = ((positive * upper_slack + negative * lower_slack) * self.terms).sum((1, 2))
        products = products + ((upper * above + lower * below) * self.box).sum(-1)
        return products / (2 * self.path.n_terms + 2 * self.box.sum(-1))


def _least_ratio(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    ratios = [torch.where(change < 0, -value / change, math.inf).flatten(1).amin(-1) for value, change in pairs]
    return torch.stack(ratios).amin(0)
