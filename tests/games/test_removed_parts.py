"""Removed patches and tokens: equal to a loop over single rows, to what attention without them gives, for many models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum.attr import FeatureAblation, KernelShap, ShapleyValues
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.games import RemovedPatches, RemovedTokens
from captum_andor.games.masks import image_grid

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
IMAGE = {"image_size": 32, "patch_size": 8, "num_labels": 3}
X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
MASK = image_grid(32, 32, 2, 2)


def moved(model: nn.Module) -> nn.Module:
    """In evaluation mode, with weights of which none is zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def torchvision_vit() -> nn.Module:
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    torch.manual_seed(0)
    return moved(models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3))


def of_transformers(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        transformers = pytest.importorskip("transformers")
        sizes = {key: value for key, value in SIZE.items() if "Dino" not in name or key != "intermediate_size"}
        config = getattr(transformers, f"{name}Config")(**sizes, **IMAGE)
        torch.manual_seed(0)
        return moved(getattr(transformers, f"{name}ForImageClassification")(config))

    return make


def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        timm = pytest.importorskip("timm")
        torch.manual_seed(0)
        return moved(timm.create_model(name, img_size=32, patch_size=8, num_classes=3, depth=2, **options))

    return make


MODELS = {
    "torchvision": torchvision_vit,
    "ViT": of_transformers("ViT"),
    "DeiT": of_transformers("DeiT"),
    "DINOv2": of_transformers("Dinov2"),
    "DINOv2 with registers": of_transformers("Dinov2WithRegisters"),
    "timm": of_timm("vit_tiny_patch16_224"),
    "timm, mean of tokens": of_timm("vit_tiny_patch16_224", global_pool="avg"),
    "timm, two class tokens": of_timm("deit_tiny_distilled_patch16_224"),
}


def logits(model: nn.Module, x: Tensor) -> Tensor:
    returned = model(x)
    found: Tensor = getattr(returned, "logits", returned)
    return found


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
@torch.no_grad()
def test_rows_of_any_numbers_are_those_of_single_rows(make: Callable[[], nn.Module]) -> None:
    vit = make()
    model = RemovedPatches(vit)
    torch.testing.assert_close(model(X), logits(vit, X))
    masked = X.clone()
    masked[0, :, :8, 8:24] = torch.nan
    masked[1, :, 16:] = model.absent
    together = model(masked)
    torch.testing.assert_close(together, torch.cat([model(row[None]) for row in masked]))
    torch.testing.assert_close(together[2], logits(vit, X)[2])
    assert (together[:2] - logits(vit, X)[:2]).abs().amax() > 1e-4
    other = X.clone()  # what is removed does not matter
    other[:2] += 5 * torch.where(masked[:2].isnan() | (masked[:2] == model.absent), 1.0, 0.0)
    other = torch.where(masked.isnan(), torch.nan, other)
    other[1, :, 16:] = torch.nan
    torch.testing.assert_close(model(other), together)


@torch.no_grad()
def test_they_are_what_attention_without_them_gives() -> None:
    """torchvision's blocks, by hand: keys of removed patches get no attention."""
    vit: Any = torchvision_vit()
    masked = X[:1].clone()
    masked[:, :, 8:24, :16] = torch.nan
    gone = torch.zeros(4, 4, dtype=torch.bool)
    gone[1:3, :2] = True
    tokens = torch.cat([vit.class_token, vit._process_input(X[:1])], 1) + vit.encoder.pos_embedding
    barred = torch.cat([torch.zeros(1, dtype=torch.bool), gone.flatten()])[None]
    for layer in vit.encoder.layers:
        normed = layer.ln_1(tokens)
        attended, _ = layer.self_attention(normed, normed, normed, key_padding_mask=barred, need_weights=False)
        tokens = tokens + attended
        tokens = tokens + layer.mlp(layer.ln_2(tokens))
    expected = vit.heads(vit.encoder.ln(tokens)[:, 0])
    torch.testing.assert_close(RemovedPatches(vit)(masked), expected)


def test_sequences_are_shorter() -> None:
    vit: Any = torchvision_vit()
    lengths = []
    vit.encoder.layers.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    masked = X.clone()
    masked[:2, :, :16] = torch.nan
    RemovedPatches(vit)(masked)
    assert lengths == [9, 17]
    assert not vit.encoder.dropout._forward_hooks


def test_explanations_and_captums_own_methods() -> None:
    model = RemovedPatches(torchvision_vit())
    ours = AndOrInteractions(model).attribute(X, torch.nan, target=1, feature_mask=MASK)
    theirs = ShapleyValues(model).attribute(X, model.absent, target=1, feature_mask=MASK)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    found = AndOrInteractions(model).logical_model(X[:1], torch.nan, target=1, feature_mask=MASK)
    assert str(found).endswith("absent: left out of the sequence of patches")
    grey = AndOrInteractions(model).logical_model(X[:1], 0.5, target=1, feature_mask=MASK)
    assert str(grey).endswith("absent: 0.5")
    ablated = FeatureAblation(model).attribute(X, model.absent, target=1, feature_mask=MASK)
    first = torch.where(MASK == 0, torch.nan, X)
    torch.testing.assert_close(ablated[:, 0, 0, 0], model(X)[:, 1] - model(first)[:, 1])
    with pytest.warns(UserWarning, match="pass baselines=RemovedPatches.absent there"):
        FeatureAblation(model).attribute(X, torch.nan, target=1, feature_mask=MASK)
    assert KernelShap(model).attribute(X[:1], model.absent, target=1, feature_mask=MASK, n_samples=20).isfinite().all()


@pytest.mark.parametrize("make", [of_transformers("Dinov2"), MODELS["timm, mean of tokens"]])
def test_means_over_no_patch(make: Callable[[], nn.Module]) -> None:
    method = AndOrInteractions(RemovedPatches(make()))
    with pytest.raises(ValueError, match="no patch is left.*negative id"):
        method.attribute(X, torch.nan, target=0, feature_mask=MASK)
    kept = torch.where(MASK == 3, -1, MASK)
    assert method.attribute(X, torch.nan, target=0, feature_mask=kept).isfinite().all()


def test_what_cannot_be() -> None:
    model = RemovedPatches(torchvision_vit())
    part = X.clone()
    part[1, :, 8:12, 16:20] = torch.nan
    with pytest.raises(ValueError, match="row 1, column 2 of picture 1 is absent in part.*8 x 8"):
        model(part)
    channel = X.clone()
    channel[:, 0, :8, :8] = torch.nan
    with pytest.raises(ValueError, match="absent in part.*all channels"):
        model(channel)
    with pytest.raises(ValueError, match="whole patches of 8 x 8; got"):
        model(torch.rand(1, 3, 30, 32))
    for wrong, kind in ((nn.Linear(2, 2), "Linear"), (lambda x: x, "function")):
        with pytest.raises(TypeError, match=kind):
            RemovedPatches(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Swin", "Beit"])
def test_other_transformers_are_refused(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {"depths": [1, 1], "num_heads": [1, 2], "embed_dim": 8, "window_size": 4, "patch_size": 4}
    sizes = {**IMAGE, **sizes} if name == "Swin" else {**SIZE, **IMAGE, "use_relative_position_bias": True}
    config = getattr(transformers, f"{name}Config")(**sizes)
    with pytest.raises(TypeError, match="no vision transformer that RemovedPatches knows"):
        RemovedPatches(getattr(transformers, f"{name}ForImageClassification")(config))


TOKENS = torch.tensor([[0, 17, 23, 8, 31, 2], [0, 9, 11, 2, 1, 1]])
PADDING = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def text_encoder(name: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32} if name == "DistilBert" else SIZE
    config = getattr(transformers, f"{name}Config")(
        vocab_size=50, max_position_embeddings=32, pad_token_id=1, num_labels=3, **sizes
    )
    torch.manual_seed(0)
    return moved(getattr(transformers, f"{name}ForSequenceClassification")(config))


@pytest.mark.parametrize("name", ["Bert", "Roberta", "DistilBert"])
@torch.no_grad()
def test_tokens_are_as_if_attention_left_them_out(name: str) -> None:
    encoder = text_encoder(name)
    model = RemovedTokens(encoder)
    torch.testing.assert_close(model(TOKENS[:1]), logits_of(encoder, TOKENS[:1], PADDING[:1]))
    torch.testing.assert_close(model(TOKENS, PADDING), logits_of(encoder, TOKENS, PADDING))
    masked = TOKENS.clone()
    masked[0, [1, 4]] = -1
    seen = PADDING.clone()
    seen[0, [1, 4]] = 0
    together = model(masked, PADDING)
    torch.testing.assert_close(together, logits_of(encoder, TOKENS, seen))
    torch.testing.assert_close(together[:1], model(masked[:1]))


def logits_of(encoder: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    found: Tensor = encoder(input_ids=ids, attention_mask=mask).logits
    return found


def test_explanations_of_tokens() -> None:
    model = RemovedTokens(text_encoder("Bert"))
    mask = torch.tensor([[-1, 0, 1, 1, 2, -1]])
    ours = AndOrInteractions(model).attribute(TOKENS[:1], -1, target=1, feature_mask=mask)
    inner = mask[:, 1:-1]

    def whole(ids: Tensor) -> Tensor:
        return model(torch.cat([TOKENS[:1, :1].expand(len(ids), 1), ids, TOKENS[:1, -1:].expand(len(ids), 1)], 1))

    theirs = ShapleyValues(whole).attribute(TOKENS[:1, 1:-1], -1, target=1, feature_mask=inner)
    torch.testing.assert_close(ours[:, 1:-1], theirs, rtol=1e-3, atol=1e-5)
    found = AndOrInteractions(model).logical_model(TOKENS[:1], -1, target=1, feature_mask=mask)
    assert str(found).endswith("absent: left out of the text")
    with pytest.raises(ValueError, match="no token is left of a row"):
        AndOrInteractions(model).attribute(TOKENS[:1], -1, target=1)
    with pytest.raises(TypeError, match="encoder must be a module"):
        RemovedTokens(lambda ids: ids)  # type: ignore[arg-type]
