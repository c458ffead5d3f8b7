"""Feature masks for images, superpixels, vision transformers, words and table columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.datasets import shown_value
from captum_andor._utils.user_warnings import warn
from captum_andor.games.joined_regions import joined_regions

__all__ = ["column_groups", "image_grid", "superpixels", "vit_patches", "vit_tokens", "words"]

_PIECES, _LEAST_PIECES = 16, 200  # of SLIC: for each region, and at all
_LEAST_PIECE = 0.2  # of the mean size of a piece: SLIC gives smaller ones to a neighbour


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


def vit_patches(height: int, width: int, patch_size: int, merge: int = 1) -> Tensor:
    """Feature mask of the patches of a vision transformer, ids row by row.

    Args:
        height (int): Of the image, in pixels.
        width (int): Of the image, in pixels.
        patch_size (int): Side of a patch of the model, in pixels.
        merge (int, optional): Side of a player, in patches: 4 makes 14 x 14 patches 4 x 4 players. Default: 1

    Returns:
        - **mask** (*Tensor*): int64, shape ``(1, 1, height, width)``.

    Raises:
        ValueError: If a number is below 1, or patches do not fill the image.

    Examples::

        >>> vit_patches(224, 224, 16, merge=4).unique().numel()
        16
    """
    if min(height, width, patch_size, merge) < 1:
        raise ValueError(f"sizes must be at least 1; got {height}, {width}, patch_size {patch_size}, merge {merge}.")
    if height % patch_size or width % patch_size:
        raise ValueError(f"patches of {patch_size} pixels do not fill {height} x {width}; resize as the model does.")
    side = patch_size * merge
    row, column = (torch.arange(size, device="cpu") // side for size in (height, width))
    return (row[:, None] * (int(column[-1]) + 1) + column)[None, None]


def vit_tokens(height: int, width: int, patch_size: int, merge: int = 1, special: int = 1) -> Tensor:
    """Feature mask of a vision transformer's attention mask: absent patches are hidden from attention, not painted.

    For models that take an ``attention_mask`` over ``special + patches`` tokens, as those of transformers 5 do:
    ``attribute({"pixel_values": x, "attention_mask": ones}, feature_mask={"attention_mask": vit_tokens(…)})``.

    Args:
        height (int): Of the image, in pixels.
        width (int): Of the image, in pixels.
        patch_size (int): Side of a patch of the model, in pixels.
        merge (int, optional): Side of a player, in patches. Default: 1
        special (int, optional): Tokens before those of the patches, such as the class token, that are no player and are
            always seen. Default: 1

    Returns:
        - **mask** (*Tensor*): int64, shape ``(1, special + patches)``, -1 for the special ones.

    Raises:
        ValueError: As :func:`vit_patches`, and if special is negative.

    Examples::

        >>> vit_tokens(4, 4, 1, merge=2)
        tensor([[-1,  0,  0,  1,  1,  0,  0,  1,  1,  2,  2,  3,  3,  2,  2,  3,  3]])
    """
    if special < 0:
        raise ValueError(f"special must be at least 0; got {special}.")
    of_pixels = vit_patches(height, width, patch_size, merge)[0, 0]
    of_patches = of_pixels[::patch_size, ::patch_size].flatten()
    return torch.cat([torch.full((special,), -1), of_patches])[None]


def superpixels(image: Tensor, n_segments: int = 12, compactness: float = 10.0) -> Tensor:
    """Feature mask of connected regions of like colour, none larger than twice its share of the picture.

    Many small regions are found by SLIC; then the two neighbours are joined that differ least, by Ward's distance of
    their mean colours, until as many are left as were asked for.

    Args:
        image (Tensor): Shape ``(C, H, W)`` or ``(1, C, H, W)`` with 1 or 3 channels, or ``(H, W)``; any scale.
        n_segments (int, optional): How many regions, give or take one; a warning says where it has to be more.
            Default: 12
        compactness (float, optional): Of SLIC, higher for squarer regions. Default: 10.0

    Returns:
        - **mask** (*Tensor*): int64, shape ``(1, 1, H, W)``, ids 0, 1, … without gaps, numbered row by row.

    Raises:
        ImportError: If scikit-image is not installed.
        ValueError: If the image has another shape, is not finite, or a number is out of its range.

    Source: SLIC: Achanta et al. 2012, scikit-image's; Ward 1963.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise ImportError("superpixels() needs scikit-image: pip install scikit-image") from error
    pixels = image.detach().cpu().double()
    pixels = pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or not bool(pixels.isfinite().all()):
        raise ValueError(
            f"image must be one finite picture of shape (C, H, W) with 1 or 3 channels; got {tuple(image.shape)}."
        )
    size = pixels[0].numel()
    if not 1 <= n_segments <= size or compactness <= 0:
        raise ValueError(
            f"n_segments must be 1 to {size}, the number of pixels, and compactness positive; got {n_segments} and "
            f"{compactness}."
        )
    span = (pixels.amax() - pixels.amin()).clamp(min=1e-12)
    unit = ((pixels - pixels.amin()) / span).permute(1, 2, 0).numpy()
    grey = pixels.shape[0] == 1
    labels = slic(
        unit[..., 0] if grey else unit,
        n_segments=min(max(_PIECES * n_segments, _LEAST_PIECES), size),
        compactness=compactness / 100
        if grey
        else compactness,  # SLIC compares lightness of 0 to 100, or grey of 0 to 1
        start_label=0,
        min_size_factor=_LEAST_PIECE,
        max_size_factor=1.0,
        channel_axis=None if grey else -1,
    )
    joined = joined_regions(labels.astype(np.int64), unit, n_segments)
    _, first, numbered = np.unique(joined, return_index=True, return_inverse=True)
    found = len(first)
    if abs(found - n_segments) > 1:
        warn(
            f"superpixels: {found} regions instead of {n_segments}: any two neighbours together would hold more than "
            "twice their share of the picture."
        )
    place = np.argsort(np.argsort(first))
    mask: Tensor = torch.from_numpy(place[numbered].reshape(labels.shape))[None, None]
    return mask


def words(word_ids: Sequence[int | None]) -> Tensor:
    """Feature mask of a tokenized sentence, one player a word.

    Args:
        word_ids (sequence): The word of each token, as ``BatchEncoding.word_ids()`` of Hugging Face gives it; None for
            special tokens and padding, which are no players and keep their values: id -1.

    Returns:
        - **mask** (*Tensor*): int64, shape ``(1, tokens)``, ids in the order of the words.

    Raises:
        TypeError: If it is a text.
        ValueError: If there is no word.

    Examples::

        >>> words([None, 0, 0, 1, None])
        tensor([[-1,  0,  0,  1, -1]])
    """
    if isinstance(word_ids, str):
        raise TypeError(
            "word_ids must be the word of each token, as tokenizer(text).word_ids() gives it; got the text itself. "
            "Words of a text without tokens are players of captum.attr.TextTokenInput."
        )
    known = sorted({word for word in word_ids if word is not None})
    if not known:
        raise ValueError("word_ids holds no word.")
    place = {word: i for i, word in enumerate(known)}
    return torch.tensor([[-1 if word is None else place[word] for word in word_ids]], device="cpu")


def column_groups(
    groups: Mapping[str, Sequence[int | str]], n_columns: int | Sequence[str], row: Any = None
) -> tuple[Tensor, list[str]]:
    """Feature mask of a table with some columns that are one variable, e.g. one-hot codes, and the players' names.

    Args:
        groups (mapping): Name of each variable, and its columns, by position or by name. Every column must be in one.
        n_columns (int or sequence of str): Number of columns, or their names, e.g. ``frame.columns``.
        row (Series, array or Tensor, optional): The row to explain, whose values the names then tell: ``"age = 31"``,
            of a one-hot code the column that is 1, ``"island = Biscoe"``. Default: None

    Returns:
        - **mask** (*Tensor*): int64, shape ``(1, n_columns)``.
        - **names** (*list of str*): As ``player_names`` takes them.

    Raises:
        TypeError: If columns are given by name, and ``n_columns`` is a number.
        ValueError: If a column is in none or in several groups, there is no such column, or row has another length.

    Examples::

        >>> mask, names = column_groups({"age": [0], "colour": [1, 2, 3]}, 4)
        >>> mask, names
        (tensor([[0, 1, 1, 1]]), ['age', 'colour'])
        >>> column_groups({"colour": ["red", "blue"], "age": ["age"]}, ["age", "red", "blue"])[0]
        tensor([[1, 0, 0]])
        >>> columns = ["age", "island_Biscoe", "island_Dream"]
        >>> column_groups({"age": ["age"], "island": columns[1:]}, columns, row=[31, 0, 1])[1]
        ['age = 31', 'island = Dream']
    """
    called = None if is_int(n_columns) else list(map(str, n_columns))  # type: ignore[arg-type]
    n_columns = int(n_columns) if called is None else len(called)  # type: ignore[arg-type]
    mask = torch.full((1, n_columns), -1, device="cpu")
    for i, (name, columns) in enumerate(groups.items()):
        for given in [columns] if isinstance(columns, str) else columns:
            column: Any = given
            if isinstance(given, str):
                if called is None:
                    raise TypeError(
                        f"groups[{name!r}] has the column {given!r} by name: pass the names in the place of n_columns, "
                        "e.g. column_groups(groups, frame.columns)."
                    )
                if given not in called:
                    raise ValueError(f"groups[{name!r}] has column {given!r}; there are {called[:12]}.")
                column = called.index(given)
            if not 0 <= column < n_columns:
                raise ValueError(f"groups[{name!r}] has column {column}; there are 0 to {n_columns - 1}.")
            if mask[0, column] >= 0:
                raise ValueError(f"column {column} is in several groups, {name!r} among them.")
            mask[0, column] = i
    without = (mask[0] < 0).nonzero().flatten().tolist()
    if without:
        raise ValueError(f"columns {without} are in no group; give each one of its own or leave it to another.")
    if row is None:
        return mask, list(groups)
    values = torch.as_tensor(np.asarray(row, dtype=np.float64)).flatten()
    if len(values) != n_columns:
        raise ValueError(f"row must hold a value for each of the {n_columns} columns; got {len(values)}.")
    return mask, [_with_value(name, mask[0] == i, values, called) for i, name in enumerate(groups)]


def _with_value(name: str, members: Tensor, values: Tensor, called: list[str] | None) -> str:
    """The name of a variable with its value in a row: a number, or the column of a one-hot code that is 1."""
    own = values[members]
    if len(own) == 1:
        return shown_value(name, float(own))
    if called is None or not (bool(((own == 0) | (own == 1)).all()) and int(own.sum()) == 1):
        return name
    column = called[int(members.nonzero().flatten()[own.argmax()])]
    shorter = column.removeprefix(name).lstrip("_ =:-.")
    return f"{name} = {shorter or column}"
