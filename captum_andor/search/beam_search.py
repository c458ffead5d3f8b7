"""Search for AND and OR patterns among too many players to list: beams, climbing, exchange, pruning.

Each step scores all single players and all pairs by their inner product with the residual, extends the best pairs
player by player in beams, climbs from the best of these by adding, dropping or replacing one player, and keeps the
winner. Every few steps each pattern may be exchanged for a better one with all the others held, and a pattern is
dropped if its description-length gain, m ln(1 + loss / residual), is smaller than the cost of encoding its players (a
BIC-like penalty). Coalitions are grouped into strata of similar size, and every column is centred within its stratum,
which removes the trend with size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import lgamma, log
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pattern: TypeAlias = tuple[bool, tuple[int, ...]]  # whether it is an OR, and its players in ascending order
Array: TypeAlias = npt.NDArray[np.float64]

# Planted games of twenty patterns among 64 players from 512 coalitions: three of five are found exactly, and three or
# four with half or twice any of these, which is chance (`python -m benchmarks.constants`).
_BEAM, _FINALISTS, _SINGLES = 48, 40, 8  # patterns kept at each order; true gains computed; single players extended
_LEAST_COUNT = 4  # coalitions that tell a pattern from none
_INDEPENDENCE = 1e-3  # share of its norm that a column must add to those chosen
_BEHIND = 4  # orders of a beam without a better pattern, after which it ends
_ASKED = 20  # patterns between two looks at whether the search is hopeless
_RENEWED = 5  # patterns between two rounds of exchange and pruning
_MOST_CLIMBS, _MOST_ROUNDS = 8, 3  # steps from one pattern to a better neighbour; rounds of exchange
_EXHAUSTED = 1e-10  # share of the variance below which the residual is rounding


class CoalitionSample:
    """Coalitions in strata, and what of them does not depend on the game.

    Args:
        coalitions: bool, shape ``(m, n)``.
        strata: Stratum of each, int from 0, shape ``(m,)``.
        max_order: Largest number of players of a pattern.
        kinds: ``"and"``, ``"or"`` or both.
    """

    def __init__(
        self, coalitions: npt.NDArray[np.bool_], strata: npt.NDArray[np.int64], max_order: int, kinds: tuple[str, ...]
    ) -> None:
        self.m, self.n = coalitions.shape
        self.max_order = min(max_order, self.n)
        self.place = np.argsort(strata, kind="stable")  # strata one after another: sums over slices
        self.coalitions = coalitions[self.place]
        ends = np.concatenate([[0], np.cumsum(np.bincount(strata))])
        self.slices = [slice(a, b) for a, b in pairwise(ends) if b > a]
        present = self.coalitions.astype(np.float32)
        # OR_T = 1 - NOR_T, and NOR is AND of absences: one search serves both.
        self.literals = {False: present, True: 1 - present}
        self.by_player = {kind: np.ascontiguousarray(columns.T) for kind, columns in self.literals.items()}
        self.kinds = [is_or for is_or in (False, True) if ("or" if is_or else "and") in kinds]
        self.pairs = {is_or: self.norms(self.literals[is_or], self.literals[is_or]) for is_or in {False, *self.kinds}}
        self.cost = np.array([0.0, *(2 * (_log_choose(self.n, k) + log(2) * (k > 1)) for k in range(1, self.n + 1))])
        self.least_evidence = log(self.m)

    def centred(self, columns: npt.NDArray[np.floating]) -> Array:
        """Columns ``(m, …)`` less their mean in each stratum."""
        result = np.array(columns, dtype=np.float64)
        for rows in self.slices:
            result[rows] -= result[rows].mean(0)
        return result

    def norms(self, left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> tuple[Array, Array]:
        """Squared norm, centred in strata, of each product of a left and a right column; and how often it is 1."""
        norm = total = np.zeros((left.shape[1], right.shape[1]))
        for rows in self.slices:
            count = (left[rows].T @ right[rows]).astype(np.float64)
            norm = norm + count - count * count / (rows.stop - rows.start)
            total = total + count
        return norm, total

    def column(self, pattern: Pattern) -> npt.NDArray[np.float32]:
        """AND or NOR of a pattern's players on every row."""
        is_or, players = pattern
        product: npt.NDArray[np.float32] = self.literals[is_or][:, list(players)].prod(1)
        return product

    def scores(self, gain: Array, residual: float, order: npt.NDArray[np.int64] | int) -> Array:
        """Evidence for patterns that would take so much off the residual, less the length of their names."""
        share = np.minimum(gain / residual, 1 - 1e-9)
        evidence: Array = -self.m * np.log1p(-share) - self.cost[order]
        return evidence


@dataclass
class _Found:
    score: float
    pattern: Pattern


class Search:
    """The search for one game.

    Args:
        sample: The coalitions.
        values: v on them, in the order they were given in, shape ``(m,)``.
    """

    def __init__(self, sample: CoalitionSample, values: Array) -> None:
        self.sample = sample
        centred = values - values.mean()
        unit = centred / max(float(np.abs(centred).max()), np.finfo(np.float64).tiny)  # squares of 1e-160 would vanish
        self.target = sample.centred(unit[sample.place])
        self.total = float(self.target @ self.target)
        self.patterns: list[Pattern] = []
        self._is_hopeless: Callable[[list[Pattern]], bool] | None = None
        self._refit()

    def run(
        self, limit: int, restarts: int = 4, is_hopeless: Callable[[list[Pattern]], bool] | None = None
    ) -> list[Pattern]:
        """Patterns of the game, at most ``limit``; fewer where a further one would not pay for its description.

        ``is_hopeless`` is asked every twenty patterns and before a restart whether to stop there.
        """
        self._is_hopeless = is_hopeless
        self._grow(limit)
        for _ in range(restarts):
            if len(self.patterns) == limit or self._is_exhausted() or len(self.patterns) < 4:
                break
            if is_hopeless is not None and is_hopeless(self.patterns):
                break
            # Early wrong choices can block better patterns: drop the weaker half and search for it again.
            before, length = list(self.patterns), self._length()
            self.patterns = [before[i] for i in np.argsort(-self.losses)[: len(before) // 2]]
            self._refit()
            self._grow(limit)
            if self._length() >= length:
                self.patterns = before
                self._refit()
                break
        self._rewrite_pairs()
        return self.patterns

    def _is_exhausted(self) -> bool:
        return self.residual <= _EXHAUSTED * self.total

    def _length(self) -> float:
        """Description length of the game: of the residual and of the patterns' names."""
        names = sum(float(self.sample.cost[len(p)]) + self.sample.least_evidence for _, p in self.patterns)
        return float(self.sample.m) * log(max(self.residual, 1e-12 * self.total, 1e-300)) + names

    def _grow(self, limit: int) -> None:
        """Take patterns one after another until the limit, or until none pays."""
        while len(self.patterns) < limit and not self._is_exhausted():
            found = self._climb(self._propose(), self.left, None, _with_rivals(self.patterns))
            if found.score < self.sample.least_evidence:
                if not self._tidy():
                    break
                continue
            self.patterns.append(found.pattern)
            self._refit()
            if self._is_hopeless is not None and len(self.patterns) % _ASKED == 0 and self._is_hopeless(self.patterns):
                return
            if len(self.patterns) % _RENEWED == 0:
                self._tidy()
        for _ in range(_MOST_ROUNDS):
            if not self._tidy():
                break

    def _refit(self) -> None:
        """Least squares on the patterns: a basis of their span, the residual, and what each pattern alone explains."""
        sample = self.sample
        columns = sample.centred(np.stack([sample.column(p) for p in self.patterns], 1)) if self.patterns else None
        if columns is None:
            columns = np.zeros((sample.m, 0))
        self.basis, upper = np.linalg.qr(columns)
        self.left = self.target - self.basis @ (self.basis.T @ self.target)
        self.left -= self.basis @ (self.basis.T @ self.left)  # what rounding left in the span: twice is enough
        self.residual = float(self.left @ self.left)
        inverse = np.linalg.pinv(upper)
        spread = np.maximum((inverse * inverse).sum(1), 1e-300)
        self.coefficients = inverse @ (self.basis.T @ self.target)
        self.losses = self.coefficients * self.coefficients / spread
        self.errors = np.sqrt(spread * self.residual / max(sample.m - len(self.patterns) - len(sample.slices), 1))
        # Row i: the direction that pattern i alone adds to the span of the others.
        self.directions = (inverse / np.sqrt(spread)[:, None]) @ self.basis.T

    def _tidy(self) -> bool:
        """Let each pattern move with the others held, then leave out what does not pay; whether anything changed."""
        before = list(self.patterns)
        for place in range(len(self.patterns)):
            others = _with_rivals(self.patterns[:place] + self.patterns[place + 1 :])
            direction = self.directions[place]
            # The residual without this pattern: what it explains beside the others comes back.
            left = self.left + direction * (direction @ self.target)
            moved = self._climb(self.patterns[place], left, direction, others).pattern
            if moved != self.patterns[place]:
                self.patterns[place] = moved
                self._refit()
        while len(self.patterns) > 1:
            floor = max(self.residual, 1e-12 * self.total)
            evidence = self.sample.m * np.log1p(self.losses / floor)
            cost = self.sample.cost[[len(players) for _, players in self.patterns]] + self.sample.least_evidence
            worst = int((evidence - cost).argmin())
            if evidence[worst] > cost[worst]:
                break
            del self.patterns[worst]
            self._refit()
        return self.patterns != before

    def _rewrite_pairs(self) -> None:
        """Write each pair beside its players as AND or as OR, where fewer terms say the same."""
        for pair in sorted({players for _, players in self.patterns if len(players) == 2}):
            names: list[Pattern] = [(False, pair[:1]), (False, pair[1:]), (False, pair), (True, pair)]
            places = {name: self.patterns.index(name) for name in names if name in self.patterns}
            if len(places) < 3 or len(self.sample.kinds) < 2:
                continue
            size = max(1e-6 * np.abs(self.coefficients).max(), 4 * self.errors[list(places.values())].max())
            one, other, both, neither = (self.coefficients[places[name]] if name in places else 0.0 for name in names)
            total = both + neither  # the coefficient of a NOR is minus that of the OR, and x_i + x_j = AND_ij + OR_ij
            choices = [
                np.array([one - neither, other - neither, total, 0]),
                np.array([one + both, other + both, 0, total]),
            ]
            best = min(choices, key=lambda terms: int((np.abs(terms) > size).sum()))
            kept = [name for name, term in zip(names, best, strict=True) if abs(term) > size]
            self.patterns = [p for p in self.patterns if p not in places] + kept
            self._refit()

    def _found(self, patterns: list[Pattern], left: Array, released: Array | None) -> _Found:
        """The best of some patterns by what they would take off the residual ``left``.

        ``released`` is the direction of a pattern that is to be replaced: the span of the others is without it.
        """
        sample = self.sample
        columns = sample.centred(np.stack([sample.column(p) for p in patterns], 1))
        norm = (columns * columns).sum(0)
        beside = columns - self.basis @ (self.basis.T @ columns)
        if released is not None:
            beside += released[:, None] * (released @ columns)
        remaining = (beside * beside).sum(0)
        fits = (remaining > _INDEPENDENCE * norm) & (norm > 0.5)
        gain = np.where(fits, (left @ beside) ** 2 / np.maximum(remaining, 1e-9), 0.0)
        order = np.array([len(players) for _, players in patterns])
        score = sample.scores(gain, float(left @ left), order)
        best = int(score.argmax())
        return _Found(float(score[best]), patterns[best])

    def _propose(self) -> Pattern:
        """The best pattern that beams find for the residual."""
        sample, left = self.sample, self.left.astype(np.float32)
        taken = _with_rivals(self.patterns)
        present = sample.literals[False]
        single = (present.T @ left).astype(np.float64)
        weighted = (present.T @ (left[:, None] * present)).astype(np.float64)
        score = sample.scores(self._share(single, np.diag(sample.pairs[False][0])), self.residual, 1)
        candidates: list[tuple[float, Pattern]] = [
            (float(score[i]), (False, (int(i),))) for i in np.argsort(-score)[:_SINGLES]
        ]
        first, second = np.triu_indices(sample.n, 1)
        for is_or in sample.kinds if sample.max_order > 1 else []:
            # The residual has mean 0 in each stratum, so the inner product with 1 is 0.
            inner = weighted - single[:, None] - single[None] if is_or else weighted
            norm, count = (x[first, second] for x in sample.pairs[is_or])
            gain = self._share(inner[first, second], norm, count)
            score = sample.scores(gain, self.residual, 2)
            top = np.argsort(-score)[:_BEAM]
            beam: dict[tuple[int, ...], float] = {(int(first[t]), int(second[t])): float(score[t]) for t in top}
            candidates += [(value, (is_or, players)) for players, value in beam.items()]
            best, behind = max(beam.values(), default=0.0), 0
            for order in range(3, sample.max_order + 1):
                beam = self._extended(is_or, list(beam), left, order, _BEAM)
                candidates += [(value, (is_or, players)) for players, value in beam.items()]
                value = max(beam.values(), default=-np.inf)
                behind = 0 if value > best else behind + 1
                best = max(best, value)
                if behind == _BEHIND:  # longer patterns have been worse for so many orders
                    break
        fresh = [c for c in candidates if c[1] not in taken]
        finalists = [pattern for _, pattern in sorted(fresh, key=lambda c: -c[0])[:_FINALISTS]]
        return self._found(finalists, self.left, None).pattern

    @staticmethod
    def _share(inner: Array, norm: Array, count: Array | None = None) -> Array:
        """Decrease of the squared residual by a column of given inner product and norm; 0 where too few rows differ."""
        seen = norm > 1 if count is None else (norm > 1) & (count >= _LEAST_COUNT)
        gain: Array = np.where(seen, inner * inner / np.maximum(norm, 1e-9), 0.0)
        return gain

    def _extensions(
        self, is_or: bool, cores: list[tuple[int, ...]], left: npt.NDArray[np.float32], order: npt.NDArray[np.int64]
    ) -> Array:
        """Score of every core with every further player: ``(cores, n)``; -inf for players it has."""
        sample, literals = self.sample, self.sample.literals[is_or]
        lengths = np.array([len(core) for core in cores])
        products = np.ones((len(cores), sample.m), dtype=np.float32)
        for length in set(lengths.tolist()) - {0}:
            mine = np.flatnonzero(lengths == length)
            players = np.array([cores[i] for i in mine])
            products[mine] = sample.by_player[is_or][players].prod(1)
        products = products.T
        inner = ((left[:, None] * products).T @ literals).astype(np.float64)
        gain = self._share(inner, *sample.norms(products, literals))
        score = sample.scores(gain, float(left @ left), order[:, None])
        for place, core in enumerate(cores):
            score[place, list(core)] = -np.inf
        return np.where(gain > 0, score, -np.inf)

    def _extended(
        self, is_or: bool, cores: list[tuple[int, ...]], left: npt.NDArray[np.float32], order: int, width: int
    ) -> dict[tuple[int, ...], float]:
        """The best patterns of one more player, each once."""
        if not cores:
            return {}
        score = self._extensions(is_or, cores, left, np.full(len(cores), order)).ravel()
        # One set of players comes from several cores: four times the width holds enough different ones.
        best = np.argpartition(-score, min(4 * width, len(score) - 1))[: 4 * width]
        beam: dict[tuple[int, ...], float] = {}
        for place in best[np.argsort(-score[best])]:
            if score[place] == -np.inf or len(beam) == width:
                break
            core, player = divmod(int(place), self.sample.n)
            beam.setdefault(tuple(sorted((*cores[core], player))), float(score[place]))
        return beam

    def _climb(self, start: Pattern, left: Array, released: Array | None, taken: set[Pattern]) -> _Found:
        """Add, drop or replace one player as long as that is better."""
        current = self._found([start], left, released)
        single_precision = left.astype(np.float32)
        for _ in range(_MOST_CLIMBS):
            options = self._neighbours(current.pattern, single_precision) - taken - {current.pattern}
            if not options:
                break
            best = self._found(sorted(options), left, released)
            if best.score <= current.score + 1e-6:
                break
            current = best
        return current

    def _neighbours(self, pattern: Pattern, left: npt.NDArray[np.float32], each: int = 3) -> set[Pattern]:
        """Patterns one player away: all with one less, the most promising with one more or another."""
        is_or, players = pattern
        fewer = [players[:i] + players[i + 1 :] for i in range(len(players))] if len(players) > 1 else []
        cores = ([players] if len(players) < self.sample.max_order else []) + fewer
        neighbours: set[Pattern] = {(is_or and len(core) > 1, core) for core in fewer}
        for kind in self.sample.kinds if len(players) == 1 else [is_or]:
            if not cores:
                continue
            score = self._extensions(kind, cores, left, np.array([len(core) + 1 for core in cores]))
            for core, row in zip(cores, score, strict=True):
                for player in np.argsort(-row)[:each]:
                    if row[player] > -np.inf:
                        neighbours.add((kind, tuple(sorted((*core, int(player))))))
        return neighbours


def _with_rivals(patterns: list[Pattern]) -> set[Pattern]:
    """These patterns and those of the same players and the other kind: a set of players has one."""
    return {(kind, players) for _, players in patterns for kind in (False, True)}


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
