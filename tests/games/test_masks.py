"""Masks of image patches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st
from scipy import ndimage

from captum_andor.games.masks import column_groups, image_grid, superpixels, vit_patches, words


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


def test_patches_of_a_transformer_are_merged_into_squares() -> None:
    mask = vit_patches(8, 12, 2, merge=3)
    assert mask.shape == (1, 1, 8, 12) and mask.unique().tolist() == [0, 1, 2, 3]
    assert mask[0, 0, :6, :6].unique().tolist() == [0] and mask[0, 0, 6:, 6:].unique().tolist() == [3]
    assert torch.equal(vit_patches(4, 4, 2), image_grid(4, 4, 2, 2))
    with pytest.raises(ValueError, match="do not fill 8 x 9"):
        vit_patches(8, 9, 2)
    with pytest.raises(ValueError, match="at least 1"):
        vit_patches(8, 8, 2, merge=0)


@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 3, 24, 24), (1, 24, 24), (24, 24)])
def test_superpixels_follow_the_colours(shape: tuple[int, ...]) -> None:
    pytest.importorskip("skimage")
    image = torch.zeros(shape)
    image[..., :12] = 5.0
    mask = superpixels(image, 4)
    assert mask.shape == (1, 1, 24, 24) and mask.dtype == torch.int64
    ids = mask.unique().tolist()
    assert ids == list(range(len(ids))) and 3 <= len(ids) <= 5
    assert not set(mask[..., :12].unique().tolist()) & set(mask[..., 12:].unique().tolist())


@pytest.mark.parametrize("count", [1, 5, 12, 20, 40])
@pytest.mark.parametrize("kind", ["photo", "noise", "flat", "half"])
def test_as_many_superpixels_as_asked_none_above_twice_its_share(kind: str, count: int) -> None:
    """Of scikit-image's SLIC alone twelve were three to seven regions, one of them three quarters of a photo."""
    data = pytest.importorskip("skimage.data")
    if kind == "photo":
        image = torch.from_numpy(data.coffee()[::4, ::4].copy()).permute(2, 0, 1).double()
    else:
        image = torch.zeros(3, 60, 80)
        image[:, :, 30:] = torch.rand(3, 60, 50, generator=torch.Generator().manual_seed(0)) * (kind == "noise")
        image[:, :, 40:] += float(kind == "half")
    mask = superpixels(image, count)
    sizes = torch.bincount(mask.flatten())
    assert abs(len(sizes) - count) <= 1 and int(sizes.max()) <= 2 * mask.numel() / count
    for one in range(len(sizes)):  # each hangs together
        assert ndimage.label((mask[0, 0] == one).numpy())[1] == 1
    first = [int((mask.flatten() == one).nonzero()[0]) for one in range(len(sizes))]
    assert first == sorted(first)


def test_superpixels_want_a_picture() -> None:
    pytest.importorskip("skimage")
    for image in (torch.zeros(2, 3, 4, 4), torch.zeros(4, 5, 5), torch.full((3, 4, 4), torch.nan)):
        with pytest.raises(ValueError, match="image must be one finite picture"):
            superpixels(image)
    for count in (0, 65):
        with pytest.raises(ValueError, match="n_segments must be 1 to 64, the number of pixels"):
            superpixels(torch.zeros(3, 8, 8), count)


def test_tokens_of_a_word_are_one_player_and_special_ones_another() -> None:
    assert words([None, 4, 4, 7, None, None]).tolist() == [[-1, 0, 0, 1, -1, -1]]
    assert words([0, 1]).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="no word"):
        words([None])


def test_names_of_a_row_tell_its_values() -> None:
    columns = ["age", "island_Biscoe", "island_Dream", "x", "y"]
    groups = {"age": ["age"], "island": columns[1:3], "place": ["x", "y"]}
    for row in ([31.5, 1, 0, 2, 3], torch.tensor([31.5, 1, 0, 2, 3])):
        assert column_groups(groups, columns, row)[1] == ["age = 31.5", "island = Biscoe", "place"]
    assert column_groups({"a": [0, 1]}, 2, [0, 1])[1] == ["a"]  # whose columns have no names
    with pytest.raises(ValueError, match="row must hold a value for each of the 5 columns; got 2"):
        column_groups(groups, columns, [1, 2])


def test_columns_of_one_variable_are_one_player() -> None:
    mask, names = column_groups({"b": [2, 0], "a": [1]}, 3)
    assert mask.tolist() == [[0, 1, 0]] and names == ["b", "a"]
    for groups, message in (
        ({"a": [0]}, r"columns \[1, 2\] are in no group"),
        ({"a": [0, 1, 2, 3]}, "column 3; there are 0 to 2"),
        ({"a": [0, 1], "b": [1, 2]}, "column 1 is in several"),
    ):
        with pytest.raises(ValueError, match=message):
            column_groups(groups, 3)
