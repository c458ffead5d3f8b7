"""The design of a factorial study: crossed low and high parts, their donors, and copies moved a little."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from captum_andor._utils.checks import check_choices

Grid: TypeAlias = Literal["initialisation", "trained low", "trained high", "trained both"]

GRIDS: tuple[Grid, ...] = get_args(Grid)
DEFAULT_GRIDS = GRIDS[:3]
# Added to the study's seed, so that no two parts, donors or orders have one: there are fewer than a thousand donors.
LOW_SEED, HIGH_SEED, DONOR_SEED, COPY_SEED, _ORDER, _DONOR_ORDER = 0, 1_000, 2_000, 3_000, 1_000_000, 1_001_000
MOST_LEVELS = 500
COPIES = 4  # of a cell; of cells, not of one alone, since one may be more unstable than another


@dataclass(frozen=True)
class GridNetwork:
    """One network of a factorial study.

    Attributes:
        kind: A grid; ``"donor"``, a network whose trained parts others take; ``"moved"``, a copy of a cell (i, i) of
            the initialisation grid whose weights at the start are moved a little; ``"moved both"``, one of the grid of
            two trained parts.
        layer: The first module of the high part; None of donors.
        low: Level of the low part; of a donor or a copy its number.
        high: Level of the high part; of a copy the level i of both parts.
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
        if self.is_copy:
            return f"{self.kind.replace(' ', '_')}-{self.layer}-{self.size:g}-{self.high:03d}-{self.low:03d}"
        return f"{self.kind.replace(' ', '_')}-{self.layer}-{self.low:03d}-{self.high:03d}"

    @property
    def is_copy(self) -> bool:
        """Whether its weights at the start are those of another, moved a little."""
        return self.kind in ("moved", "moved both")

    def order_seed(self, base: int) -> int:
        """Seed of the data order: that of cell (i, j) is (i + j) modulo the number of levels, a Latin square."""
        if self.kind == "donor":
            return base + _DONOR_ORDER + self.low
        low = self.high if self.is_copy else self.low
        return base + _ORDER + (low + self.high) % self.levels


def cells_of_grid(grid: str, layer: str, levels: int) -> list[GridNetwork]:
    """The cells of one grid at one cut, row by row."""
    return [GridNetwork(grid, layer, i, j, levels) for i in range(levels) for j in range(levels)]


def networks_of(
    grids: Sequence[str], layers: Sequence[str], levels: int, perturbations: Sequence[float]
) -> Iterator[GridNetwork]:
    """All networks of a study, in the order in which they are trained."""
    if any(grid != "initialisation" for grid in grids):
        donors = 2 * levels if "trained both" in grids else levels
        yield from (GridNetwork("donor", None, i, 0, levels) for i in range(donors))
    for grid in grids:
        for layer in layers:
            yield from cells_of_grid(grid, layer, levels)
    kinds = [*(["moved"] if set(grids) != {"trained both"} else []), *(["moved both"] * ("trained both" in grids))]
    for kind in kinds:
        for size in perturbations:
            for cell, copy in itertools.product(range(levels), range(COPIES)):
                yield GridNetwork(kind, layers[0], copy, cell, levels, size)


def check_grids(grids: Any) -> tuple[Grid, ...]:
    """The grids, in their order."""
    return check_choices("grids", grids, GRIDS)
