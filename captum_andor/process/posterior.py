"""What a budget tells of one game: exact values, a few patterns that explain all of them, or a Gaussian process.

All three answer the same questions with a mean and a standard deviation. The patterns stand where a search finds few
that explain every coalition given, those included that it did not see; else the process, unless all 2^n values are
known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from captum_andor.games import indices
from captum_andor.games.transforms import all_coalitions, coalition_codes, count_players, shapley_values
from captum_andor.process.coalition_process import CoalitionProcess, fit_process, fit_processes
from captum_andor.process.linear_functionals import (
    banzhaf_of_process,
    completed,
    functionals_of_process,
    shapley_means_of_process,
    shapley_of_process,
)
from captum_andor.results import PatternTable
from captum_andor.sampling import is_inner

Kind: TypeAlias = Literal["complete", "patterns", "process"]
Estimated: TypeAlias = tuple[Tensor, Tensor]
# The posterior takes its hyperparameters for known, but they are fitted. Without the factor 95 % intervals of Shapley
# values cover .85 to .98 of them, by family of games (`python -m benchmarks.budget shapley`), with it .89 to .99.
_FITTED_HYPERPARAMETERS = 1.15
_FEWEST_PAIRS = 8  # of coalitions, whose halves tell anything
_NODES_OF_HALVES = 12  # of the quadrature, for a ratio of two errors
_ROUNDING = 1e-14  # of the variance of v: smaller differences of variances are rounding


class Posterior(Protocol):
    """The distribution of a game of n players given its values on some coalitions."""

    @property
    def kind(self) -> Kind:
        """How the game is known."""

    def predict(self, coalitions: Tensor) -> Estimated:
        """Mean and standard deviation of v on bool coalitions ``(k, n)``: shape ``(k,)`` each."""

    def shapley_values(self) -> Estimated:
        """Mean and standard deviation of the Shapley values: shape ``(n,)`` each."""

    def shapley_means(self) -> Tensor:
        """The means alone, in less time: shape ``(n,)``."""

    def banzhaf_values(self) -> Estimated:
        """Mean and standard deviation of the Banzhaf values: shape ``(n,)`` each."""

    def all_values(self) -> Tensor:
        """Mean of v on all 2^n coalitions, known values as they are: shape ``(2^n,)``; for few players."""

    def functionals(self, weights: Tensor) -> Estimated:
        """Mean and standard deviation of Σ_S a(S) v(S) for weights ``(k, 2^n)``: shape ``(k,)`` each."""


@dataclass(frozen=True)
class CompleteGame:
    """A game all of whose values are known, in the order of the bit codes: shape ``(2^n,)``."""

    values: Tensor

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "complete"

    def predict(self, coalitions: Tensor) -> Estimated:
        """The values themselves."""
        return _exact(self.values[coalition_codes(coalitions)])

    def shapley_values(self) -> Estimated:
        """Exact Shapley values."""
        return _exact(self.shapley_means())

    def shapley_means(self) -> Tensor:
        """Exact Shapley values."""
        return shapley_values(self.values)

    def banzhaf_values(self) -> Estimated:
        """Exact Banzhaf values."""
        return _exact(indices.banzhaf_values(self.values))

    def all_values(self) -> Tensor:
        """The values."""
        return self.values

    def functionals(self, weights: Tensor) -> Estimated:
        """Exact sums."""
        return _exact(weights @ self.values)

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return count_players(self.values)


@dataclass(frozen=True)
class SparseGame:
    """A game that few patterns explain exactly: on every coalition given and hence, it is taken, on all.

    Attributes:
        constant: v(∅), shape ``()``.
        table: The patterns, of one output.
    """

    constant: Tensor
    table: PatternTable

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "patterns"

    def predict(self, coalitions: Tensor) -> Estimated:
        """Sums of the patterns."""
        return _exact(self.table.predict(coalitions, 1)[0] + self.constant)

    def shapley_values(self) -> Estimated:
        """Each pattern shared equally among its players."""
        return _exact(self.shapley_means())

    def shapley_means(self) -> Tensor:
        """Each pattern shared equally among its players."""
        return self.table.shapley_values(1)[0]

    def banzhaf_values(self) -> Estimated:
        """Each pattern of k players gives 2^(1 - k) of its weight to every one of them."""
        share = self.table.value * 2.0 ** (1 - self.table.members.sum(1).double())
        return _exact(share @ self.table.members.double())

    def all_values(self) -> Tensor:
        """Sums of the patterns on all coalitions."""
        n = self.table.members.shape[1]
        return self.predict(all_coalitions(n, self.constant.device))[0]

    def functionals(self, weights: Tensor) -> Estimated:
        """Sums over all coalitions."""
        return _exact(weights @ self.all_values())


@dataclass(frozen=True)
class ProcessPosterior:
    """The Gaussian process of a game.

    Attributes:
        process: Given the values below.
        coalitions: bool, shape ``(m, n)``.
        values: v on them, shape ``(m,)``.
    """

    process: CoalitionProcess
    coalitions: Tensor
    values: Tensor

    @classmethod
    def of(cls, coalitions: Tensor, values: Tensor, seed: int = 0, theta: Tensor | None = None) -> ProcessPosterior:
        """Fit the process of a game to its values on bool coalitions ``(m, n)``, each once."""
        return cls(fit_process(coalitions, values, seed, theta), coalitions, values)

    @classmethod
    def of_games(cls, coalitions: Tensor, values: Tensor, seed: int = 0) -> list[ProcessPosterior]:
        """The same for games of values ``(B, m)``, in less time than one by one."""
        fitted = fit_processes(coalitions, values, seed)
        return [cls(process, coalitions, v) for process, v in zip(fitted, values, strict=True)]

    @cached_property
    def widening(self) -> float:
        """What standard deviations are multiplied by, 1 or more.

        Where the process errs more than it thinks on coalitions that it does not see, or Shapley values from half of
        the coalitions are farther from those of all than they should be, its other errors are larger, too.
        """
        error, deviation = self.process.left_out()
        ratio = (error / deviation)[is_inner(self.coalitions) & (deviation > 0)]
        squares = [float(ratio.square().mean())] if len(ratio) else []
        return math.sqrt(max(1.0, *squares, self._moved_by_halves())) * _FITTED_HYPERPARAMETERS

    def _moved_by_halves(self) -> float:
        """Mean square of how far the Shapley values of either half of the pairs are off, in standard deviations."""
        inner = is_inner(self.coalitions)
        pairs = torch.split(inner.nonzero()[:, 0], 2)
        if len(pairs) < _FEWEST_PAIRS or not bool(self.process.scale > 0):
            return 0.0
        mean, std = shapley_of_process(self.process, _NODES_OF_HALVES)
        squares = []
        for start in (0, 1):
            rows = torch.cat([(~inner).nonzero()[:, 0], *pairs[start::2]])
            half = fit_process(self.coalitions[rows], self.values[rows], theta=self.process.theta)
            moved, spread = shapley_of_process(half, _NODES_OF_HALVES)
            expected = (spread / half.scale * self.process.scale).square() - std.square()
            squares.append(((moved - mean).square() / expected)[expected > _ROUNDING * self.process.scale**2])
        found = torch.cat(squares)
        return float(found.mean()) if len(found) else 0.0

    @property
    def kind(self) -> Kind:
        """How the game is known."""
        return "process"

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return self.coalitions.shape[1]

    def predict(self, coalitions: Tensor) -> Estimated:
        """Posterior mean and standard deviation; a coalition that was given has its value."""
        parts = [self.process.predict_with_std(some.double()) for some in torch.split(coalitions, 4096)]
        mean, std = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean, std * self.widening

    def shapley_values(self) -> Estimated:
        """By quadrature; the means add up to v(N) − v(∅) exactly where both were given."""
        mean, std = shapley_of_process(self.process)
        return self._efficient(mean), std * self.widening

    def shapley_means(self) -> Tensor:
        """By quadrature."""
        return self._efficient(shapley_means_of_process(self.process))

    def _efficient(self, mean: Tensor) -> Tensor:
        size = self.coalitions.sum(1)
        empty, full = (size == 0).nonzero(), (size == self.n_players).nonzero()
        if len(empty) and len(full):
            missing = self.values[int(full[0])] - self.values[int(empty[0])] - mean.sum()
            mean = mean + missing / self.n_players
        return mean

    def banzhaf_values(self) -> Estimated:
        """In closed form."""
        mean, std = banzhaf_of_process(self.process)
        return mean, std * self.widening

    def all_values(self) -> Tensor:
        """The completed game."""
        codes = coalition_codes(self.coalitions)
        weights = self.values.new_zeros(1, 1 << self.n_players)
        weights[0, codes] = self.process.alpha
        mean = completed(self.process, weights)[0] * self.process.scale + self.process.offset
        mean[codes] = self.values
        return mean

    def functionals(self, weights: Tensor) -> Estimated:
        """By the kernel of all coalitions."""
        mean, std = functionals_of_process(self.process, weights)
        return mean, std * self.widening


def _exact(mean: Tensor) -> Estimated:
    return mean, torch.zeros_like(mean)
