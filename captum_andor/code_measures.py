"""How diverse the codes of a layer are, and how much they know of the labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "class_compactness",
    "cosine_distance",
    "effective_units",
    "label_vote",
    "mutual_information",
    "normalised_entropy",
    "participation_ratio",
    "unit_labels",
]


def _shares(units: Tensor) -> Tensor:
    counts: Tensor = torch.unique(units, return_counts=True)[1].double()
    return counts / len(units)


def _entropy(units: Tensor) -> float:
    shares = _shares(units)
    return float(-(shares * shares.log()).sum())


def normalised_entropy(units: Tensor, n_units: int) -> float:
    """Entropy of the best-matching units over its largest possible value, log min(N, units): 0 to 1."""
    most = math.log(min(len(units), n_units))
    return _entropy(units) / most if most > 0 else 0.0


def effective_units(units: Tensor) -> float:
    """Exp of the entropy: how many units, used alike, would be as diverse."""
    return math.exp(_entropy(units))


def cosine_distance(features: Tensor) -> float:
    """Mean of 1 − cosine over all pairs of samples; NaN for fewer than two that are not zero."""
    rows = features.double()
    sizes = rows.norm(dim=1)
    rows = rows[sizes > 0] / sizes[sizes > 0, None]
    count = len(rows)
    if count < 2:
        return float("nan")
    return 1 - (float(rows.sum(0).square().sum()) - count) / (count * (count - 1))


def participation_ratio(features: Tensor) -> float:
    """(Σλ)² / Σλ² of the covariance's eigenvalues: over how many dimensions the variance spreads; NaN for constants."""
    centred = features.double() - features.double().mean(0)
    variances = torch.linalg.svdvals(centred).square()
    total = float(variances.sum())
    return total**2 / float(variances.square().sum()) if total > 0 else float("nan")


def unit_labels(units: Tensor, labels: Tensor, distances: Tensor) -> Tensor:
    """Most frequent training label of every unit, the smaller of equal ones; empty units take the nearest one's.

    Args:
        units: Best-matching unit of each training sample, int64 ``(N,)``.
        labels: Their labels, int64 ``(N,)``, ≥ 0.
        distances: Between units on the grid, ``(units, units)``.
    """
    votes = torch.zeros(len(distances), int(labels.max()) + 1, dtype=torch.int64, device=units.device)
    votes.index_put_((units, labels), torch.ones_like(units), accumulate=True)
    empty = votes.sum(1) == 0
    nearest = distances.masked_fill(empty[None], math.inf).argmin(1)
    return votes.argmax(1)[nearest]


def label_vote(units: Tensor, labels: Tensor, of_unit: Tensor) -> float:
    """Share of samples whose unit votes for their label."""
    return float((of_unit[units] == labels).double().mean())


def mutual_information(units: Tensor, labels: Tensor) -> float:
    """I(unit; label) / H(label), by counting: 0 to 1, and above 0 for shuffled labels, too, where units are many."""
    entropy = _entropy(labels)
    if entropy <= 0:
        return float("nan")
    joint = units * (int(labels.max()) + 1) + labels
    return (_entropy(units) + entropy - _entropy(joint)) / entropy


def class_compactness(units: Tensor, labels: Tensor, distances: Tensor) -> float:
    """Mean grid distance of two samples of one class over that of any two samples: below 1 where classes keep together.

    NaN where no class has two samples, or all samples share one unit.
    """
    n_units, n_classes = len(distances), int(labels.max()) + 1
    counts = torch.zeros(n_classes, n_units, dtype=torch.float64, device=units.device)
    counts.index_put_((labels, units), counts.new_ones(len(units)), accumulate=True)
    within = float((counts @ distances * counts).sum())
    sizes = counts.sum(1)
    pairs_within = float((sizes * (sizes - 1)).sum())
    everything = counts.sum(0)
    overall = float(everything @ distances @ everything)
    pairs = len(units) * (len(units) - 1)
    if not pairs_within or overall <= 0:
        return float("nan")
    return within / pairs_within / (overall / pairs)
