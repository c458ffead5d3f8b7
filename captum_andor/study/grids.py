"""The networks of a factorial study: crossed low and high parts, their donors, and copies moved a little.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import nn

from captum_andor._utils.checks import check_choices
from captum_andor.study.networks import Networks, fresh
from captum_andor.study.surgery import copy_part, reinitialise

Grid: TypeAlias = Literal["initialisation", "trained low", "trained high"]

__all__ = ["GRIDS", "Grid", "GridNetwork", "GridNetworks", "cells_of_grid", "check_grids", "networks_of"]

GRIDS: tuple[Grid, ...] = get_args(Grid)
# Added to the study's seed, so that no two parts, donors or orders have one: levels are fewer than a thousand.
_LOW, _HIGH, _DONOR, _COPY, _ORDER, _DONOR_ORDER = 0, 1_000, 2_000, 3_000, 1_000_000, 1_001_000
MOST_LEVELS = 1_000


@dataclass(frozen=True)
class GridNetwork:
    """One network of a factorial study.

    Attributes:
        kind: A grid; ``"donor"``, a network whose trained parts others take; ``"moved"``, a copy of the first cell
            whose initial weights are moved a little.
        layer: The first module of the high part; None of donors.
        low: Level of the low part; of a donor or a copy its number.
        high: Level of the high part.
        levels: How many there are.
        size: Of a copy, by how much its weights are moved, relative.
    """

    kind: str
    layer: str | None
    low: int
    high: int
    levels: int
    size: float = 0.0

    @property
    def name(self) -> str:
        """Name of the network, also that of its files."""
        if self.kind == "donor":
            return f"donor-{self.low:03d}"
        if self.kind == "moved":
            return f"moved-{self.layer}-{self.size:g}-{self.low:03d}"
        return f"{self.kind.replace(' ', '_')}-{self.layer}-{self.low:03d}-{self.high:03d}"

    def order_seed(self, base: int) -> int:
        """Seed of the data order: that of cell (i, j) is (i + j) modulo the number of levels, a Latin square."""
        if self.kind == "donor":
            return base + _DONOR_ORDER + self.low
        return base + _ORDER + (0 if self.kind == "moved" else (self.low + self.high) % self.levels)


def cells_of_grid(grid: str, layer: str, levels: int) -> list[GridNetwork]:
    """The cells of one grid at one cut, row by row."""
    return [GridNetwork(grid, layer, i, j, levels) for i in range(levels) for j in range(levels)]


def networks_of(
    grids: Sequence[str], layers: Sequence[str], levels: int, perturbations: Sequence[float]
) -> Iterator[GridNetwork]:
    """All networks of a study, in the order in which they are trained."""
    if any(grid != "initialisation" for grid in grids):
        yield from (GridNetwork("donor", None, i, 0, levels) for i in range(levels))
    for grid in grids:
        for layer in layers:
            yield from cells_of_grid(grid, layer, levels)
    for size in perturbations:
        yield from (GridNetwork("moved", layers[0], i, 0, levels, size) for i in range(levels))


class GridNetworks(Networks):
    """Makes, trains, keeps and loads the networks of a factorial study."""

    def _new(self, network: Any) -> nn.Module:
        """The network before training, whose high part is its own."""
        start = _DONOR + network.low if network.kind == "donor" else _HIGH + network.high
        return fresh(self.make_model, self.seed + start)

    def _prepared(self, network: Any) -> tuple[nn.Module, tuple[str, ...], bool]:
        return self.start(network), (), False

    def start(self, network: GridNetwork) -> nn.Module:
        """The network as its training begins: both parts put together."""
        model = self._new(network)
        if network.layer is None:
            return model
        cut = self.cut(network.layer)
        if network.kind == "trained low":
            copy_part(self.donor(network.low, network.levels), model, cut.low)
            return model
        low = 0 if network.kind == "moved" else network.low
        reinitialise(model, cut.low, self.make_model, self.seed + _LOW + low)
        if network.kind == "trained high":
            copy_part(self.donor(network.high, network.levels), model, cut.high)
        if network.kind == "moved":
            _move(model, network.size, self.seed + _COPY + network.low)
        return model

    def donor(self, number: int, levels: int) -> nn.Module:
        """A network whose trained parts others take."""
        return self.get(GridNetwork("donor", None, number, 0, levels))[0]

    def moved(self, network: GridNetwork, model: nn.Module) -> dict[str, float]:
        """How far training has moved the low and the high part, relative to their size when it began."""
        if network.layer is None:
            return {"low": float("nan"), "high": float("nan")}
        before, after, cut = self.start(network).state_dict(), model.state_dict(), self.cut(network.layer)
        return {"low": _distance(before, after, cut.low), "high": _distance(before, after, cut.high)}


def _distance(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], names: Sequence[str]) -> float:
    both = [
        (before[name].double().flatten(), after[name].detach().cpu().double().flatten())
        for name in names
        if before[name].is_floating_point()
    ]
    size = sum(float(a.square().sum()) for a, _ in both)
    moved = sum(float((b - a).square().sum()) for a, b in both)
    return (moved / size) ** 0.5 if size > 0 else float("nan")


def _move(model: nn.Module, size: float, seed: int) -> None:
    """Multiply every parameter by 1 + size · normal."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            draw = torch.randn(parameter.shape, generator=generator, device="cpu")
            parameter.mul_(1 + size * draw.to(parameter.device, parameter.dtype))


def check_grids(grids: Any) -> tuple[Grid, ...]:
    """The grids, in their order.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    return check_choices("grids", grids, GRIDS)
