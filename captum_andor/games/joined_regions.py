"""Regions of a picture joined by colour, none of them large: the second half of superpixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_FLAT = 1e-4  # squared distance of colours in [0, 1] that is none: regions of one colour are joined by their sizes


def joined_regions(
    labels: npt.NDArray[np.int64], colours: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.int64]:
    """Labels of regions with neighbours joined until so many are left, none above twice its share of the picture.

    Args:
        labels: Of pixels, ``(H, W)``; the parts of a region that do not touch count as several.
        colours: Of pixels, ``(H, W, C)``.
        count: How many regions; there are more where any two neighbours together would pass twice their share.

    Returns:
        - **labels** (*int64, (H, W)*): A number for each region.

    Source: Ward 1963, Hierarchical grouping to optimize an objective function.
    """
    labels = _connected(_cut(labels, labels.size / count / 2))
    n = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=n).astype(np.float64)
    means = (
        np.stack([np.bincount(labels.ravel(), c.ravel(), n) for c in np.moveaxis(colours, -1, 0)], -1) / sizes[:, None]
    )
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for one, two in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        for a, b in np.unique(np.stack([one[one != two], two[one != two]], 1), axis=0).tolist():
            neighbours[a].add(b)
            neighbours[b].add(a)
    owner, most = np.arange(n), 2 * labels.size / count

    def distance(a: int, b: int) -> float:
        if sizes[a] + sizes[b] > most:
            return math.inf
        return float(sizes[a] * sizes[b] / (sizes[a] + sizes[b]) * (_FLAT + np.square(means[a] - means[b]).sum()))

    pairs = {(a, b): distance(a, b) for a in range(n) for b in neighbours[a] if a < b}
    for _ in range(n - count):
        (a, b), least = min(pairs.items(), key=lambda pair: pair[1], default=((0, 0), math.inf))
        if math.isinf(least):
            break
        means[a] = (sizes[a] * means[a] + sizes[b] * means[b]) / (sizes[a] + sizes[b])
        sizes[a] += sizes[b]
        owner[owner == b] = a
        for other in neighbours[b] | neighbours[a]:
            pairs.pop((min(a, other), max(a, other)), None)
            pairs.pop((min(b, other), max(b, other)), None)
            neighbours[other].discard(b)
        neighbours[a] = (neighbours[a] | neighbours[b]) - {a, b}
        for other in neighbours[a]:
            neighbours[other].add(a)
            pairs[min(a, other), max(a, other)] = distance(a, other)
    return owner[labels]


def _cut(labels: npt.NDArray[np.int64], most: float) -> npt.NDArray[np.int64]:
    """Labels with regions above a size cut by a grid of squares: SLIC makes one region of what is as fine as noise."""
    height, width = labels.shape
    side = max(int(math.sqrt(most / 2)), 1)
    squares = np.add.outer(np.arange(height) // side * width, np.arange(width) // side)
    is_large = np.bincount(labels.ravel())[labels] > most
    return np.where(is_large, labels.max() + 1 + squares, labels)


def _connected(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A number for each part of a region that hangs together by edges of pixels."""
    from scipy import ndimage

    found, count = np.zeros_like(labels), 0
    for one in np.unique(labels):
        parts, several = ndimage.label(labels == one)
        found += np.where(parts > 0, parts + count - 1, 0)
        count += several
    return found
