"""Contrasts between cells that share the low and the high part, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from captum_andor.study.cells import NEW, Cell, Variant
from captum_andor.study.estimates import Estimate

By: TypeAlias = Literal["parameters", "layers"]
Weights: TypeAlias = dict[Cell, float]

WIDEST_GAP = 0.3  # of the network: across a wider gap, that agreement grows evenly is an assumption

__all__ = ["By", "Verdict", "Weights", "at_cut", "at_equal_shares", "confidence_of", "judged", "less", "too_wide"]


def at_cut(layer: str, variant: Variant) -> Weights:
    """Low less high part of one and the same cut."""
    return {Cell("low", variant, layer): 1.0, Cell("high", variant, layer): -1.0}


def at_equal_shares(
    shares: Mapping[Cell, float], cells: Sequence[Cell], variant: Variant
) -> tuple[Weights, Weights, float] | None:
    """Same low and same high part at equal shares of the network, mean over the shares at which one was cut.

    Agreement is interpolated linearly between cuts, from both new at share 0; beyond the largest share that both parts
    reach nothing is compared.

    Args:
        shares: Share of the network that a cell has in common, by parameters or by layers.
        cells: The cells that may be compared.
        variant: How the part is shared.

    Returns:
        - **low, high, gap** (*tuple*): Weights of cells on both sides, and the widest gap between neighbouring cuts of
          a side that was interpolated across; None if a side has no cell.
    """
    sides = []
    for part in ("low", "high"):
        own = [cell for cell in cells if cell.part == part and cell.variant == variant and not cell.other]
        if not own:
            return None
        sides.append(sorted(own, key=lambda cell: shares[cell]))
    end = min(shares[side[-1]] for side in sides)
    at = sorted({round(shares[cell], 12) for side in sides for cell in side if shares[cell] <= end + 1e-12})
    low, high = (_mean_of([_interpolated(share, side, shares) for share in at]) for side in sides)
    gap = max(_gap(share, [0.0, *(shares[cell] for cell in side)]) for side in sides for share in at)
    return low, high, gap


def _gap(share: float, x: Sequence[float]) -> float:
    """Distance between the cuts on both sides of a share of parameters; 0 at a cut."""
    if any(abs(share - at) < 1e-9 for at in x):
        return 0.0
    return min(at for at in x if at > share) - max(at for at in x if at < share)


def _interpolated(share: float, side: Sequence[Cell], shares: Mapping[Cell, float]) -> Weights:
    points = [NEW, *side]
    x = [0.0, *(shares[cell] for cell in side)]
    right = int(np.clip(np.searchsorted(x, share), 1, len(x) - 1))
    width = x[right] - x[right - 1]
    weight = 1.0 if width <= 0 else min((share - x[right - 1]) / width, 1.0)
    return {points[right - 1]: 1.0 - weight, points[right]: weight}


def _mean_of(several: Sequence[Weights]) -> Weights:
    """Mean of the weights of several cells."""
    total: Weights = {}
    for weights in several:
        for cell, weight in weights.items():
            total[cell] = total.get(cell, 0.0) + weight / len(several)
    return total


def less(a: Weights, b: Weights) -> Weights:
    """Difference of the weights of two contrasts."""
    return {cell: a.get(cell, 0.0) - b.get(cell, 0.0) for cell in {**a, **b}}


@dataclass(frozen=True)
class Verdict:
    """Verdict on the claim that low layers decide the confusing samples.

    Attributes:
        outcome: ``"supported"``, ``"not supported"`` or ``"cannot be judged"``.
        decides: The part that does: ``"low"``, ``"high"``, ``"neither"``; None where it cannot be judged.
        text: The verdict in words, with its numbers.
        contrast: Same low less same high.
        beyond_new: Same low less both new.
        pairs_needed: Pairs with which a difference of ``smallest_effect`` would be seen with 80 % power, by intervals
            of the confidence that judges the score.
    """

    outcome: Literal["supported", "not supported", "cannot be judged"]
    decides: Literal["low", "high", "neither"] | None
    text: str
    contrast: Estimate | None = None
    beyond_new: Estimate | None = None
    pairs_needed: float = float("nan")

    def __str__(self) -> str:
        return self.text


def confidence_of(score: str, scores: Sequence[str]) -> float:
    """Confidence of the intervals that judge a score: 95 % for the primary, the first; the others share 5 %."""
    return 0.95 if score == scores[0] else 1 - 0.05 / max(len(scores), 1)


def judged(
    contrast: Estimate, beyond_new: Estimate, smallest_effect: float, score: str, confidence: float = 0.95
) -> Verdict:
    """The verdict by the stated rule; see :meth:`LayerSwapResult.verdict`."""
    needed = contrast.pairs_needed(smallest_effect, confidence=confidence)
    d, size = _shown(contrast) + ("" if confidence == 0.95 else f" ({confidence:.1%})"), f"{smallest_effect:.2f}"
    if np.isnan(contrast.low):
        return Verdict("cannot be judged", None, f"Cannot be judged: {score} has no interval here.")
    outcome: Literal["supported", "not supported", "cannot be judged"]
    decides: Literal["low", "high", "neither"] | None
    if contrast.low > 0 and contrast.high >= smallest_effect and beyond_new.low > 0:
        outcome, decides = "supported", "low"
        text = (
            f"Supported: by {score}, two networks that share the low part agree more than two that share as much of "
            f"the high part, {d}, and more than two that share nothing, {_shown(beyond_new)}. Whether this is special "
            "to confusion, FactorialStudy tells: shares of the score less those of the margin."
        )
    elif contrast.high < 0:
        outcome, decides = "not supported", "high"
        text = f"Not supported: by {score}, the high part decides more than the low part, low less high {d}."
        if contrast.low > -smallest_effect:
            text += f" The difference may be smaller than {size}."
    elif contrast.high < smallest_effect:
        outcome, decides = "not supported", "neither"
        text = f"Not supported: by {score}, the low part decides by less than {size} more than the high part, {d}."
    else:
        outcome, decides = "cannot be judged", None
        why = f"the interval holds both 0 and {size}"
        if contrast.low > 0:
            why = f"sharing the low part is not seen to differ from sharing nothing, {_shown(beyond_new)}"
            needed = max(needed, beyond_new.pairs_needed(smallest_effect, confidence=confidence))
        text = (
            f"Cannot be judged at this size: by {score}, low less high is {d}; {why}. {_more(needed, contrast, size)}"
        )
    return Verdict(outcome, decides, text, contrast, beyond_new, needed)


def too_wide(gap: float) -> str | None:
    """Why equal shares are not compared, where a gap between neighbouring cuts is too wide to interpolate across."""
    if gap <= WIDEST_GAP:
        return None
    return (
        f"equal shares would be interpolated across a gap of {gap:.2f} of the network, more than {WIDEST_GAP}; cut it "
        "there, too"
    )


def _more(needed: float, contrast: Estimate, size: str) -> str:
    if np.isinf(needed):
        return f"More pairs would not tell a difference of {size}; take more samples."
    return f"To see a difference of {size} with 80 % power takes {needed:.0f} pairs; there are {contrast.n_pairs}."


def _shown(e: Estimate) -> str:
    return f"{e.mean:+.2f} [{e.low:+.2f}, {e.high:+.2f}]"
