"""Measures of the codes of a layer: diversity, and information about the labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from captum_andor.studies.witnesses.self_organizing_map import SelfOrganizingMap

OF_LABELS = ("label_vote", "mutual_information", "compactness")


def _entropy(units: Tensor) -> float:
    shares = torch.unique(units, return_counts=True)[1].double() / len(units)
    return float(torch.special.entr(shares).sum())


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


def votes_by_unit(units: Tensor, labels: Tensor, n_units: int, n_classes: int = 1) -> Tensor:
    """Samples of each class on each unit: float64, shape ``(units, classes)``, of ``n_classes`` at least."""
    votes = torch.zeros(n_units, max(n_classes, int(labels.max()) + 1), dtype=torch.float64, device=units.device)
    return votes.index_put_((units, labels), votes.new_ones(len(units)), accumulate=True)


def unit_labels(units: Tensor, labels: Tensor, distances: Tensor) -> Tensor:
    """Most frequent training label of every unit, the smaller of equal ones; empty units take the nearest one's.

    Args:
        units: Best-matching unit of each training sample, int64 ``(N,)``.
        labels: Their labels, int64 ``(N,)``, ≥ 0.
        distances: Between units on the grid, ``(units, units)``.
    """
    votes = votes_by_unit(units, labels, len(distances))
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
    counts = votes_by_unit(units, labels, len(distances)).T
    within = float((counts @ distances * counts).sum())
    sizes = counts.sum(1)
    pairs_within = float((sizes * (sizes - 1)).sum())
    everything = counts.sum(0)
    overall = float(everything @ distances @ everything)
    pairs = len(units) * (len(units) - 1)
    if not pairs_within or overall <= 0:
        return float("nan")
    return within / pairs_within / (overall / pairs)


def channel_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each channel; 1 for constant ones, which then count nothing."""
    mean, spread = features.mean(0), features.std(0, unbiased=False)
    return mean, torch.where(spread > 1e-12 * features.abs().amax().clamp(min=1e-300), spread, 1.0)


def shuffled_labels(labels: Tensor, count: int, seed: int) -> list[Tensor]:
    """The labels in ``count`` random orders."""
    generator = torch.Generator().manual_seed(seed)
    return [labels[torch.randperm(len(labels), generator=generator, device="cpu")] for _ in range(count)]


def measured(
    features: Tensor,
    labels: Tensor,
    shuffles: Sequence[Tensor],
    parts: tuple[Tensor, Tensor],
    grid: tuple[int, int],
    epochs: int,
) -> dict[str, float]:
    """All measures of one layer; maps are made from the first part of the samples, the second is held out."""
    rest, out = parts
    mean, spread = channel_scale(features[rest])
    standard = (features - mean) / spread
    som = SelfOrganizingMap(grid, epochs).fit(standard[rest])
    units, distances = som.transform(standard), som._grid_distances()
    size = float(standard[rest].square().sum(1).mean().sqrt()) or 1.0

    def of_labels(labels: Tensor) -> dict[str, float]:
        votes = unit_labels(units[rest], labels[rest], distances)
        return {
            "label_vote": label_vote(units[out], labels[out], votes),
            "mutual_information": mutual_information(units, labels),
            "compactness": class_compactness(units, labels, distances),
        }

    shuffled = [of_labels(labels) for labels in shuffles]
    return {
        "bmu_entropy": normalised_entropy(units, len(distances)),
        "effective_units": effective_units(units),
        "cosine_distance": cosine_distance(features),
        "participation_ratio": participation_ratio(features),
        **of_labels(labels),
        **{f"{name}_shuffled": float(np.mean([s[name] for s in shuffled])) for name in OF_LABELS},
        "quantization_error": som.quantization_error(standard[out]) / size,
        "quantization_error_train": som.quantization_error(standard[rest]) / size,
        "topographic_error": som.topographic_error(standard[out]),
        "topographic_error_train": som.topographic_error(standard[rest]),
    }
