"""Whether a model answers the same when it is asked again: a handful of coalitions, alone instead of in their batches.

A model that is random, keeps state, mixes the rows of a batch or depends on their place or number has no single game.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

_SAME_DIGITS = 4.0  # times the root of the output's rounding: about half of its digits
_IDS_SHOWN = 6

Evaluate: TypeAlias = Callable[[Tensor], Tensor]
EvaluateExample: TypeAlias = Callable[[Tensor, int], Tensor | None]


@dataclass
class Repeats:
    """Coalitions as they were first evaluated: ∅, N, and the middle and end of the first and the last batch.

    Attributes:
        kept: By place, the coalition, shape ``(n,)``, and v on it, shape ``(*outputs)``.
    """

    kept: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def keep(self, coalitions: Tensor, values: Tensor) -> None:
        """Record a batch: bool ``(k, n)`` and v ``(*outputs, k)``."""
        sizes = coalitions.sum(1)
        for place, size in (("∅", 0), ("N", coalitions.shape[1])):
            here = (sizes == size).nonzero()
            if place not in self.kept and len(here):
                self._take(place, coalitions, values, int(here[0]))
        if len(coalitions) > 1:
            which = "last" if "end of the first batch" in self.kept else "first"
            self._take(f"middle of the {which} batch", coalitions, values, len(coalitions) // 2)
            self._take(f"end of the {which} batch", coalitions, values, len(coalitions) - 1)

    def _take(self, place: str, coalitions: Tensor, values: Tensor, position: int) -> None:
        self.kept[place] = coalitions[position].clone(), values[..., position].clone()

    def change(
        self, evaluate: Evaluate, evaluate_example: EvaluateExample | None, digits: float, feature_ids: tuple[int, ...]
    ) -> str | None:
        """How far v moves when asked again, in words; None where it does not.

        Args:
            evaluate: v of one coalition ``(1, n)`` in a pass of its own: ``(*outputs, 1)``.
            evaluate_example: The same for one example alone, shape ``(1, …, 1)``, or None where that cannot be asked;
                None where there is one example.
            digits: Rounding of the model's output, relative.
            feature_ids: Of the players.
        """
        scale = max((float(v.abs().amax()) for _, v in self.kept.values() if v.numel()), default=0.0)
        allowed = _SAME_DIGITS * digits**0.5 * scale
        found: list[tuple[float, str]] = []
        asked: list[Tensor] = []
        for place, (coalition, before) in self.kept.items():
            if any(torch.equal(coalition, other) for other in asked) or not before.numel():
                continue
            asked.append(coalition)
            moved = float((evaluate(coalition[None])[..., 0] - before).abs().amax())
            found.append((moved, f"v({_named(coalition, feature_ids)}), {_where(place)}"))
        for place, last in (("N", False), ("end of the first batch", True)):
            if evaluate_example is None or place not in self.kept:
                continue
            coalition, before = self.kept[place]
            example = len(before) - 1 if last else len(before) // 2
            again = evaluate_example(coalition[None], example)
            if again is not None and again.shape[1:-1] == before.shape[1:]:
                moved = float((again[0, ..., 0] - before[example]).abs().amax())
                found.append((moved, f"v({_named(coalition, feature_ids)}) of example {example} without the others"))
        largest = max(found, default=(0.0, ""))
        if not largest[0] > allowed:
            return None
        return f"{largest[1]}, moved by {largest[0]:.3g}, where v is of size {scale:.3g}"


def _where(place: str) -> str:
    return f"from the {place}, asked alone" if "batch" in place else "asked again alone"


def _named(coalition: Tensor, feature_ids: tuple[int, ...]) -> str:
    members = coalition.nonzero().flatten().tolist()
    if not members:
        return "∅"
    if len(members) == len(coalition):
        return "N"
    shown = ", ".join(str(feature_ids[i]) for i in members[:_IDS_SHOWN])
    return f"{{{shown}{', …' if len(members) > _IDS_SHOWN else ''}}}"
