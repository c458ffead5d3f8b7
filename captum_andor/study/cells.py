"""The cells of a layer-swap study: what the second network of a pair shares with the first, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from captum_andor._utils.checks import check_choices

Part: TypeAlias = Literal["none", "low", "high", "all"]
Variant: TypeAlias = Literal["trainable", "frozen", "initialisation"]

__all__ = [
    "NEW",
    "OTHER_NEW",
    "OTHER_ORDER",
    "VARIANTS",
    "Cell",
    "Network",
    "Part",
    "Variant",
    "cells_of",
    "check_variants",
]

VARIANTS: tuple[Variant, ...] = get_args(Variant)
_ORDER = 1_000_000  # added to seeds of data orders: they are never those of initialisations


@dataclass(frozen=True)
class Cell:
    """The part and the state that the second network of a pair takes over from the first.

    Attributes:
        part: Which part, ``"low"`` or ``"high"``; ``"none"`` of it, or ``"all"``.
        variant: ``"trainable"``: trained values to start from; ``"frozen"``: trained values that stay;
            ``"initialisation"``: the values that the first network started from.
        layer: The first module of the high part; None where nothing is cut.
        other: Whether the upper part has another architecture.
    """

    part: Part = "none"
    variant: Variant | None = None
    layer: str | None = None
    other: bool = False

    @property
    def name(self) -> str:
        """Name of the cell in tables."""
        if self.part == "none":
            text = "both new"
        elif self.part == "all":
            text = "other order"
        else:
            text = f"same {self.part}, {self.variant}, cut at {self.layer}"
        return f"{text}, other architecture" if self.other else text


NEW = Cell()
OTHER_ORDER = Cell("all", "initialisation")
OTHER_NEW = Cell(other=True)


@dataclass(frozen=True)
class Network:
    """One network of a study.

    Attributes:
        pair: Number of its pair.
        cell: Its cell; None for the first network of the pair, with which all others are compared.
    """

    pair: int
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """Name of the network, also that of its files."""
        if self.cell is None:
            kind = "first"
        else:
            cell = self.cell
            parts = [cell.part, cell.variant, cell.layer, "other" if cell.other else None]
            kind = "-".join(part for part in parts if part)
        return f"pair{self.pair:03d}-{kind}"

    def initial_seed(self, base: int) -> int:
        """Seed of the initialisation of what is new in it."""
        own = self.cell is not None and self.cell.part != "all"
        return base + 2 * self.pair + own

    def order_seed(self, base: int) -> int:
        """Seed of its data order: one for the first networks of pairs, one for all others of the pair."""
        return _ORDER + base + 2 * self.pair + (self.cell is not None)


def cells_of(layers: Sequence[str], variants: Sequence[Variant], other_layers: Sequence[str] | None) -> Iterator[Cell]:
    """All cells: both new, same everything in another order, and each part at each layer in each way.

    Args:
        layers: Where to cut.
        variants: How a part is shared.
        other_layers: Where the other architecture has the same low part; None without one.
    """
    yield NEW
    yield OTHER_ORDER
    for layer in layers:
        for variant in variants:
            yield Cell("low", variant, layer)
            yield Cell("high", variant, layer)
    if other_layers is not None:
        yield OTHER_NEW
        for layer in other_layers:
            for variant in variants:
                yield Cell("low", variant, layer, other=True)


def check_variants(variants: Any) -> tuple[Variant, ...]:
    """The ways of sharing, in their order.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    return check_choices("variants", variants, VARIANTS)
