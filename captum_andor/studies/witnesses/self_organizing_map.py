"""A self-organizing map trained in batches: two matrix products an epoch, on any device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_andor._utils.devices import as_float64

_NARROWEST = 0.5  # width of the neighbourhood at the end, in units of the grid
_BLOCK_BYTES = 1 << 26  # of distances at once


@dataclass
class SelfOrganizingMap:
    """A grid of units whose weights follow the data and whose neighbours are alike (Kohonen 2013, batch rule).

    Weights start on the plane of the two first principal components, so that nothing is drawn at random. In every epoch
    each unit becomes the mean of the data, weighted by a Gaussian of the grid distance to their best-matching units,
    whose width shrinks geometrically from half the grid to half a unit.

    Args:
        grid (tuple of int, optional): Rows and columns. Default: (20, 20)
        epochs (int, optional): Passes over the data. Default: 20

    Attributes:
        weights (Tensor): After ``fit``: float64, shape ``(units, features)``; units row by row.

    Examples::

        >>> line = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
        >>> units = SelfOrganizingMap((1, 10)).fit(line).transform(line)
        >>> bool((units.diff() >= 0).all() or (units.diff() <= 0).all())
        True

    Source: T. Kohonen, Essentials of the self-organizing map, Neural Networks 37 (2013). The code
    is this package's, since MiniSom's batch rule loops over samples in Python and stops at a wide neighbourhood
    (``benchmarks/som.py``).
    """

    grid: tuple[int, int] = (20, 20)
    epochs: int = 20
    weights: Tensor | None = None

    def fit(self, data: Tensor) -> SelfOrganizingMap:
        """Learn the weights of the units.

        Args:
            data (Tensor): Shape ``(N, features)``, N ≥ 2.

        Returns:
            - **map** (*SelfOrganizingMap*): This one.

        Raises:
            ValueError: If the data are of another shape or not finite.
        """
        data = _checked(data)
        if len(data) < 2:
            raise ValueError(f"data must hold two samples at least; got shape {tuple(data.shape)}.")
        distances = self._grid_distances(data.device).square()
        self.weights = self._start(data)
        widest = max(max(self.grid) / 2, _NARROWEST)
        for epoch in range(self.epochs):
            width = widest * (_NARROWEST / widest) ** (epoch / max(self.epochs - 1, 1))
            units = self.transform(data)
            sums = torch.zeros_like(self.weights).index_add_(0, units, data)
            counts = torch.bincount(units, minlength=len(self.weights)).to(data)
            near = torch.exp(-distances / (2 * width**2))
            reached = near @ counts
            means = near @ sums / reached.clamp(min=1e-300)[:, None]
            self.weights = torch.where(reached[:, None] > 1e-12, means, self.weights)
        return self

    def _start(self, data: Tensor) -> Tensor:
        rows, columns = self.grid
        mean = data.mean(0)
        _, sizes, directions = torch.linalg.svd(data - mean, full_matrices=False)
        spread = sizes / math.sqrt(len(data))
        first, second = (torch.linspace(-1, 1, k).to(data) if k > 1 else data.new_zeros(1) for k in (rows, columns))
        if columns > rows:  # the longer side of the grid along the longer side of the data
            plane = second.repeat(rows)[:, None], first.repeat_interleave(columns)[:, None]
        else:
            plane = first.repeat_interleave(columns)[:, None], second.repeat(rows)[:, None]
        weights = mean.expand(rows * columns, -1).clone()
        for along, size, direction in zip(plane, spread, _signed(directions), strict=False):
            weights = weights + along * size * direction
        return weights

    def transform(self, data: Tensor) -> Tensor:
        """Best-matching unit of each sample: int64, shape ``(N,)``, ``row · columns + column``."""
        return self._nearest(_checked(data), 1)[1][:, 0]

    def quantization_error(self, data: Tensor) -> float:
        """Mean distance to the best-matching unit."""
        return float(self._nearest(_checked(data), 1)[0].mean())

    def topographic_error(self, data: Tensor) -> float:
        """Share of samples whose two best-matching units are no neighbours, diagonally included; 0 for one unit."""
        if self.grid == (1, 1):
            return 0.0
        first, second = self._nearest(_checked(data), 2)[1].T
        columns = self.grid[1]
        apart = torch.maximum((first // columns - second // columns).abs(), (first % columns - second % columns).abs())
        return float((apart > 1).double().mean())

    def _grid_distances(self, device: torch.device | None = None) -> Tensor:
        """Distances between units on the grid, shape ``(units, units)``."""
        rows, columns = (torch.arange(k, dtype=torch.float64, device=device or "cpu") for k in self.grid)
        places = torch.cartesian_prod(rows, columns)
        return torch.cdist(places, places)

    def _nearest(self, data: Tensor, count: int) -> tuple[Tensor, Tensor]:
        if self.weights is None:
            raise RuntimeError("this map is not fitted yet; call fit(data) first.")
        if data.shape[1] != self.weights.shape[1]:
            raise ValueError(
                f"data must have the {self.weights.shape[1]} features of the data the map was fitted to; got shape "
                f"{tuple(data.shape)}."
            )
        rows = max(_BLOCK_BYTES // (8 * len(self.weights)), 1)
        weights = self.weights.to(data.device)
        parts = (data[start : start + rows] for start in range(0, len(data), rows))
        found = [torch.cdist(part, weights).topk(count, largest=False) for part in parts]
        return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _checked(data: Tensor) -> Tensor:
    if data.ndim != 2:
        raise ValueError(f"data must be of shape (N, features); got {tuple(data.shape)}.")
    if not bool(data.isfinite().all()):
        raise ValueError(f"data must be finite; row {int((~data.isfinite()).any(1).nonzero()[0])} is not.")
    return as_float64(data)


def _signed(directions: Tensor) -> Tensor:
    """Principal directions whose largest element is positive: their sign is arbitrary, and differs between machines."""
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * torch.where(largest < 0, -1.0, 1.0)
