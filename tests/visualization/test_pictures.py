"""Pictures as models take them are drawn as they were; classes are called by their names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from captum_andor import AndOrInteractions
from captum_andor.games.masks import image_grid

PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
MEAN, STD = (torch.tensor(x)[None, :, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
NAMES = ["cat", "dog", "owl"]


def method(**options):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)).eval()
    return AndOrInteractions(model, score="log_odds", **options)


def drawn(kind: str, given) -> np.ndarray:
    lm = method().logical_model(PICTURE, target=1, feature_mask=image_grid(8, 8, 2, 2))
    fig, _ = lm.plot(kind, given, use_pyplot=False)
    return np.asarray(next(axis for axis in fig.axes if axis.images).images[0].get_array())


@pytest.mark.parametrize("kind", ["image", "overview"])
@pytest.mark.parametrize(("mean", "std"), [(MEAN, STD), (0.5, 0.5), (0.0, 1.0)])
def test_normalised_pictures_are_drawn_as_they_were(kind, mean, std) -> None:
    before = PICTURE[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(drawn(kind, (PICTURE - mean) / std), before, atol=1e-6)


def test_others_are_stretched_and_bytes_stay() -> None:
    found = drawn("image", PICTURE * 40 - 7)
    assert found.min() == 0 and found.max() == pytest.approx(1)
    bytes_ = (PICTURE[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    np.testing.assert_array_equal(drawn("image", bytes_), bytes_)


def test_classes_are_called_by_their_names() -> None:
    named = method(class_names=NAMES)
    lm = named.logical_model(
        PICTURE.repeat(2, 1, 1, 1), target=torch.tensor([2, 0]), feature_mask=image_grid(8, 8, 2, 2)
    )
    assert "[0] owl: " in repr(lm) and "[1] cat: " in repr(lm) and "\ncat: " in repr(lm[1])
    fig, _ = lm[0].plot("overview", PICTURE, use_pyplot=False)
    assert any("owl (p = " in axis.get_title() for axis in fig.axes)
    with pytest.raises(ValueError, match="target 3 has no name: class_names has 3, of classes 0 to 2"):
        AndOrInteractions(torch.nn.Linear(4, 5), class_names=NAMES).attribute(torch.rand(1, 4), target=3)
    with pytest.raises(TypeError, match="class_names must be a sequence of texts"):
        method(class_names="cat")


def test_names_are_kept_in_files(tmp_path) -> None:
    lm = method(class_names=NAMES).logical_model(PICTURE, target=2, feature_mask=image_grid(8, 8, 2, 2))
    lm.save(tmp_path / "lm.npz")
    assert repr(type(lm).load(tmp_path / "lm.npz")) == repr(lm)
