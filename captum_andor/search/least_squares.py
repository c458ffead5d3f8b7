r"""Weights of chosen patterns: least squares, with the ends held exactly if asked, and R² after each pattern.

With the base v(∅) taken off, the model is Σ w_j X_j and the ends are exact if Σ w_j = v(N) - v(∅), since every pattern
is 0 on ∅ and 1 on N. With the factor LLᵀ of the second moments, z = L⁻¹b and u = L⁻¹1, the residual after j patterns is
E(v-v(∅))² - Σz² + (Σuz - s)²/Σu²: running sums give the whole path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from captum_andor.search.dictionary import Columns

_DEPENDENT = 1e-10  # share of its variance that a column must add to be told from a sum of others
_REPEATED = 1e-9  # root mean square of what a column adds to the others, below which it is one of them
_ROUNDING = 1e-24  # share of the variance below which a residual is rounding error


class GameBatch:
    """Values of games on the rows of a dictionary, centred, with their inner products.

    Args:
        columns: The dictionary.
        values: float64, shape ``(B, rows)``.
        idle: Columns that no model of a game may hold, bool, shape ``(B, columns)``. Default: None (none)
    """

    def __init__(self, columns: Columns, values: Tensor, idle: Tensor | None = None) -> None:
        self.columns, self.idle = columns, idle
        self.centred, self.mean = columns.centred(values)
        self.variance = columns.variance(self.centred)
        self.correlations = columns.correlations(self.centred)

    def __len__(self) -> int:
        return len(self.centred)

    def select(self, rows: Tensor) -> GameBatch:
        """Some of the games."""
        some = object.__new__(GameBatch)
        some.columns, some.idle = self.columns, None if self.idle is None else self.idle[rows]
        some.centred, some.mean = self.centred[rows], self.mean[rows]
        some.variance, some.correlations = self.variance[rows], self.correlations[rows]
        return some

    def factor(self, chosen: Tensor) -> Tensor:
        """Cholesky factor of the covariance of columns ``(B, k)``."""
        factor: Tensor = torch.linalg.cholesky(self.columns.covariance(chosen, chosen))
        return factor

    def residual(self, chosen: Tensor, factor: Tensor | None = None) -> Tensor:
        """Residual of least squares on columns ``(B, k)``: ``(B, rows)``."""
        factor = self.factor(chosen) if factor is None else factor
        coefficients = torch.cholesky_solve(self.correlations.gather(1, chosen)[..., None], factor)[..., 0]
        return self.centred - self.columns.centred(self.columns.combine(chosen, coefficients))[0]


class Ends(NamedTuple):
    """v(∅) and v(N) of each game, shape ``(B,)``."""

    empty: Tensor
    full: Tensor


class Fit(NamedTuple):
    """Fitted models of B games with up to k patterns.

    Attributes:
        constant: h(∅), shape ``(B,)``.
        coefficients: Shape ``(B, k)``; 0 where there is no pattern.
        t: Coefficients over their standard errors, absolute, shape ``(B, k)``.
        r2: Shape ``(B,)``.
        r2_path: R² with the first j patterns, refitted, shape ``(B, k + 1)``; 0 without patterns.
    """

    constant: Tensor
    coefficients: Tensor
    t: Tensor
    r2: Tensor
    r2_path: Tensor


class Models(NamedTuple):
    """Logical models of B games over n players, in columns: a row for each pattern of each game.

    Attributes:
        game: Which game, int64, shape ``(P,)``.
        is_or: Kind, bool, shape ``(P,)``.
        members: Players of the pattern, bool, shape ``(P, n)``.
        value: Its weight, float64, shape ``(P,)``.
        t: Its weight over its standard error, absolute, shape ``(P,)``.
        constant: h(∅) of each game, shape ``(B,)``.
        r2: R² of each game, shape ``(B,)``.
        r2_path: R² with the first j patterns, shape ``(B, k + 1)``.
        r2_interval: 95 % interval of R², shape ``(B, 2)``; both R² where it is exact.
    """

    game: Tensor
    is_or: Tensor
    members: Tensor
    value: Tensor
    t: Tensor
    constant: Tensor
    r2: Tensor
    r2_path: Tensor
    r2_interval: Tensor


def joined_models(parts: Sequence[Models]) -> Models:
    """Models of several games, whose numbers go on from one to the next, as one; paths end with their last R²."""
    width = max((part.r2_path.shape[1] for part in parts), default=1)
    paths = [torch.nn.functional.pad(p.r2_path, (0, width - p.r2_path.shape[1]), mode="replicate") for p in parts]
    numbered = [p._replace(game=torch.full_like(p.game, i), r2_path=p.r2) for i, p in enumerate(parts)]
    return Models(*(torch.cat(column) for column in zip(*numbered, strict=True)))._replace(r2_path=torch.cat(paths))


def game_models(models: Models, game: int, count: int = 1) -> Models:
    """The models of one game of several, or of so many that follow, numbered from 0."""
    mine = (models.game >= game) & (models.game < game + count)
    some = slice(game, game + count)
    of_patterns = {name: getattr(models, name)[mine] for name in ("is_or", "members", "value", "t")}
    of_games = {name: getattr(models, name)[some] for name in ("constant", "r2", "r2_path", "r2_interval")}
    return Models(game=models.game[mine] - game, **of_patterns, **of_games)


def path(games: GameBatch, chosen: Tensor, ends: Ends | None) -> Tensor:
    """R² with the first 0, 1, … of the chosen columns, without a pass over the rows: shape ``(B, k + 1)``.

    Args:
        games: The games under the weights of R².
        chosen: Columns ``(B, k)``; -1 stands for none and comes last.
        ends: Values that the model takes on ∅ and N; None leaves them free.
    """
    equations = _Equations(games.columns, chosen, bound=ends is not None)
    base = games.mean[:, 0] if ends is None else ends.empty
    total = None if ends is None else ends.full - ends.empty
    _, left = equations.solve(games.correlations, games.variance, games.mean[:, 0] - base, total)
    return torch.cat([torch.zeros_like(base)[:, None], _share(left, games.variance[:, None])], dim=1)


def fit(games: GameBatch, chosen: Tensor, ends: Ends | None) -> Fit:
    """Fit chosen columns; arguments as for :func:`path`."""
    columns = games.columns
    equations = _Equations(columns, chosen, bound=ends is not None)
    base = games.mean[:, 0] if ends is None else ends.empty
    total = None if ends is None else ends.full - ends.empty
    coefficients, left = equations.solve(games.correlations, games.variance, games.mean[:, 0] - base, total)
    # One step of refinement: forming second moments costs digits.
    values = games.centred + games.mean
    centred, mean = columns.centred(values - base[:, None] - columns.combine(equations.ids, coefficients))
    total = None if total is None else total - coefficients.sum(1)
    correction, _ = equations.solve(columns.correlations(centred), columns.variance(centred), mean[:, 0], total)
    coefficients = coefficients + correction

    constant = base if ends is not None else base - (coefficients * equations.mean).sum(1)
    residual = values - constant[:, None] - columns.combine(equations.ids, coefficients)
    unexplained = residual.square() @ columns.row_weights
    r2 = _share(unexplained, games.variance)
    r2_path = torch.cat([torch.zeros_like(r2)[:, None], _share(left, games.variance[:, None])], dim=1)
    step = torch.arange(r2_path.shape[1], device=r2_path.device)
    r2_path = torch.where(step >= equations.count[:, None], r2[:, None], r2_path)
    parameters = equations.count + (1 if ends is None else -1)
    noise = unexplained * (unexplained > _ROUNDING * games.variance) / (columns.n_rows - parameters).clamp(min=1)
    error = (noise[:, None] * equations.spread()).sqrt()
    t = torch.where(coefficients == 0, 0.0, coefficients.abs() / error)
    return Fit(constant, coefficients, t, r2, r2_path)


def independent(games: GameBatch, chosen: Tensor) -> Tensor:
    """Whether no chosen column is a sum of a constant and others: bool, shape ``(B,)``; -1 stands for none."""
    equations = _Equations(games.columns, chosen, bound=False)
    pivots = equations.factor.diagonal(dim1=1, dim2=2).square()
    least = torch.where(equations.present, _DEPENDENT * games.columns.norm[equations.ids], 0.0)
    told: Tensor = (pivots > least).all(1)
    return told


def _share(unexplained: Tensor, variance: Tensor) -> Tensor:
    """R²; 1 for a game without variance."""
    return torch.where(variance > 0, 1 - unexplained / variance, 1.0)


class _Equations:
    """Normal equations of chosen columns, factored; where ends are bound, of second moments instead of covariances."""

    def __init__(self, columns: Columns, chosen: Tensor, bound: bool) -> None:
        self.columns, self.bound = columns, bound
        self.present, self.ids = chosen >= 0, chosen.clamp(min=0)
        self.count = self.present.sum(1)
        self.mean = columns.mean[self.ids] * self.present
        moments = columns.covariance(self.ids, self.ids)
        if bound:
            moments = moments + self.mean[:, :, None] * self.mean[:, None, :]
        self.unit = torch.eye(chosen.shape[1], dtype=moments.dtype, device=moments.device)
        pairs = self.present[:, :, None] & self.present[:, None, :]
        # Dependent columns leave pivots of 0 or NaN, which is for independent() to find.
        self.factor, _ = torch.linalg.cholesky_ex(torch.where(pairs, moments, self.unit))
        self.u = self._lower(self.present.to(moments.dtype)[..., None])[..., 0]
        self.held = self.u.square().cumsum(1).clamp(min=1e-300)

    def solve(
        self, correlations: Tensor, variance: Tensor, mean: Tensor, total: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Coefficients for values above a base, and what the first 1, 2, … columns leave of their square.

        Args:
            correlations: Of the values with all columns, ``(B, columns)``.
            variance: Of the values, ``(B,)``.
            mean: Of the values, above the base, ``(B,)``.
            total: What the coefficients must add up to, ``(B,)``, or None.
        """
        target, square = correlations.gather(1, self.ids) * self.present, variance
        if self.bound:
            target, square = target + self.mean * mean[:, None], square + mean.square()
        z = self._lower(target[..., None])[..., 0]
        left = square[:, None] - z.square().cumsum(1)
        if total is not None:
            excess = (self.u * z).cumsum(1) - total[:, None]
            left = left + excess.square() / self.held
            z = z - excess[:, -1:] / self.held[:, -1:] * self.u
        coefficients = torch.linalg.solve_triangular(self.factor.mT, z[..., None], upper=True)[..., 0]
        return coefficients * self.present, left

    def spread(self) -> Tensor:
        """Variance of each coefficient for noise of variance 1."""
        inverse = self._lower(self.unit.expand_as(self.factor))
        spread = inverse.square().sum(1)
        if self.bound:
            spread = spread - (inverse * self.u[..., None]).sum(1).square() / self.held[:, -1:]
        return spread.clamp(min=0.0)

    def _lower(self, sides: Tensor) -> Tensor:
        solved: Tensor = torch.linalg.solve_triangular(self.factor, sides, upper=False)
        return solved


def path_errors(columns: Tensor, y: Tensor, test_columns: Tensor, truth: Tensor) -> Tensor:
    """Squared errors on test rows of least squares with the first 0, 1, … columns: shape ``(test, k + 1)``.

    By the QR decomposition of the centred columns one triangular solve serves all numbers of columns.
    """
    mean, offset = columns.mean(0), y.mean()
    basis, upper = torch.linalg.qr(columns - mean)
    independent = upper.diagonal().abs() > _REPEATED * len(columns) ** 0.5
    inner = torch.where(independent, basis.T @ (y - offset), 0.0)
    upper = upper + torch.diag((~independent).to(upper.dtype))  # a column that others give gets no weight
    turned = torch.linalg.solve_triangular(upper, test_columns - mean, upper=True, left=False)
    path = torch.cat([torch.zeros_like(truth)[:, None], (turned * inner).cumsum(1)], dim=1) + offset
    return (truth[:, None] - path).square()
