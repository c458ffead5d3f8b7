"""Feature masks that people want."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["image_grid"]


def image_grid(height: int, width: int, rows: int = 3, columns: int = 3, offset: tuple[int, int] = (0, 0)) -> Tensor:
    """Feature mask of a grid of patches, ids row by row.

    Args:
        height (int): Of the image, in pixels.
        width (int): Of the image, in pixels.
        rows (int, optional): Patches from top to bottom. Default: 3
        columns (int, optional): Patches from left to right. Default: 3
        offset (tuple of two ints, optional): Pixels by which the inner lines move down and to the right (negative: up,
            left); the patches at the border grow or shrink. Default: (0, 0)

    Returns:
        - **mask** (*Tensor*): int64, shape ``(1, 1, height, width)``: one mask for all channels and examples.

    Raises:
        ValueError: If a size is below 1, or a patch would have no pixel.

    Examples::

        >>> image_grid(4, 4, 2, 2)[0, 0]
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1],
                [2, 2, 3, 3],
                [2, 2, 3, 3]])

    Source: ours.
    """
    row = _bands("rows", rows, "height", height, offset[0])
    column = _bands("columns", columns, "width", width, offset[1])
    return (row[:, None] * columns + column)[None, None]


def _bands(name: str, count: int, size_name: str, size: int, offset: int) -> Tensor:
    """The band of every pixel along one axis."""
    if count < 1 or size < 1:
        raise ValueError(f"{name} and {size_name} must be at least 1; got {count} and {size}.")
    bands = ((torch.arange(size, device="cpu") - offset) * count).div(size, rounding_mode="floor").clamp(0, count - 1)
    if len(torch.unique(bands)) < count:
        raise ValueError(
            f"{name}={count} with an offset of {offset} leaves a patch without pixels in {size_name}={size}. "
            f"Pass fewer {name} or a smaller offset."
        )
    return bands
