"""Masks of image patches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from captum_andor.masks import image_grid


@given(st.integers(1, 5), st.integers(1, 5), st.integers(5, 12), st.integers(5, 12))
def test_patches_are_rectangles_in_reading_order(rows: int, columns: int, height: int, width: int) -> None:
    mask = image_grid(height, width, rows, columns)
    assert mask.shape == (1, 1, height, width) and mask.dtype == torch.int64
    sizes = []
    for patch in range(rows * columns):
        where = (mask[0, 0] == patch).nonzero()
        tall, wide = (where.amax(0) - where.amin(0) + 1).tolist()
        assert tall * wide == len(where)
        assert int(where[0, 0]) // max(height // rows, 1) >= patch // columns
        sizes.append((tall, wide))
    assert max(t for t, _ in sizes) - min(t for t, _ in sizes) <= 1
    assert max(w for _, w in sizes) - min(w for _, w in sizes) <= 1


def test_an_offset_moves_the_inner_lines() -> None:
    plain, moved = image_grid(9, 9)[0, 0], image_grid(9, 9, offset=(1, -1))[0, 0]
    assert moved[:, 0].tolist() == [0, 0, 0, 0, 3, 3, 3, 6, 6]
    assert moved[0].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert plain[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 7}, "rows=7"),
        ({"columns": 0}, "columns and width"),
        ({"offset": (3, 0)}, "rows=3 with an offset of 3"),
        ({"offset": (0, -2)}, "columns=3 with an offset of -2"),
    ],
)
def test_a_patch_without_pixels_is_an_error(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_grid(6, 6, **arguments)  # type: ignore[arg-type]
