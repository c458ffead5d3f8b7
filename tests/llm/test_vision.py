"""Vision transformers of transformers as they come; patches hidden from attention equal patches that are not there."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch

transformers = pytest.importorskip("transformers")

from captum.attr import ShapleyValues

from captum_andor import AndOrInteractions
from captum_andor.games.masks import vit_patches, vit_tokens


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=16, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        num_labels=3, initializer_range=0.4,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config).eval()


def image() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_image_models_as_they_come(model) -> None:
    mask = vit_patches(16, 16, 4, merge=2)
    found = AndOrInteractions(model).attribute(image(), target=1, feature_mask=mask)
    wanted = ShapleyValues(lambda x: model(x).logits).attribute(image(), target=1, feature_mask=mask)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_hidden_patches_are_as_patches_that_are_not_there(model) -> None:
    if "attention_mask" not in inspect.signature(model.forward).parameters:
        pytest.skip("this ViT takes no attention_mask")
    x, mask = image(), vit_tokens(16, 16, 4, merge=2)
    inputs = {"pixel_values": x, "attention_mask": torch.ones(2, 17)}
    found = AndOrInteractions(model).interactions(inputs, feature_mask={"attention_mask": mask}, split="even")
    embed = model.vit.embeddings.forward
    for code, bits in enumerate(itertools.product([0, 1], repeat=4)):
        kept = torch.tensor([i for i, player in enumerate(mask[0].tolist()) if player < 0 or bits[3 - player]])
        model.vit.embeddings.forward = lambda *a, kept=kept, **k: embed(*a, **k)[:, kept]
        with torch.no_grad():
            logits = model(pixel_values=x).logits.double()
        torch.testing.assert_close(found.values[..., code], logits, atol=1e-4, rtol=1e-4)
    assert found.attributions()["attention_mask"].shape == (2, 3, 17)


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="special must be"):
        vit_tokens(16, 16, 4, special=-1)
    with pytest.raises(ValueError, match="do not fill"):
        vit_tokens(16, 18, 4)
