"""Two kinds of absence, side by side: grey patches, and patches that a vision transformer does not get at all.

    python -m tutorials.scripts.removed_patches        # 4 minutes; writes docs/_static/removed_patches.png

A small ViT (torchvision, 140 000 parameters) learns Fashion-MNIST; for your own model and pictures replace ``vit`` and
``test``. How often is it right with half of the patches absent? What does it say of nothing at all? How well do ten
patterns reproduce it, and how alike are the Shapley values? The figure has three pictures with both.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from captum.attr import visualization as viz
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from captum_andor import AndOrInteractions
from captum_andor.games import RemovedPatches
from captum_andor.games.masks import image_grid
from tutorials.datasets.fashion import fashion_mnist

mpl.use("Agg")
FIGURE = Path(__file__).resolve().parents[2] / "docs" / "_static" / "removed_patches.png"
NAMES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "trainer", "bag", "boot")
PATCHES = image_grid(28, 28, 4, 4)  # what the ViT sees
PLAYERS = image_grid(28, 28, 4, 2)  # two patches each: 256 coalitions
EPOCHS, EXPLAINED = 4, 100


def trained(images: Tensor, labels: Tensor) -> nn.Module:
    torch.manual_seed(0)
    vit = VisionTransformer(28, 7, 4, 4, 64, 128, num_classes=10)
    optimizer = torch.optim.AdamW(vit.parameters(), lr=1e-3)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(256):
            loss = nn.functional.cross_entropy(vit(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1} of {EPOCHS}, loss {loss.item():.2f}", flush=True)
    return vit.eval()


def normalised(images: Tensor) -> Tensor:
    """Three equal channels of mean 0 and variance 1, so that 0 is the mean grey."""
    return ((images - 0.286) / 0.353).expand(-1, 3, -1, -1)


@torch.no_grad()
def half_absent(model: nn.Module, test: Tensor, labels: Tensor, absent: float) -> float:
    generator = torch.Generator().manual_seed(0)
    gone = torch.rand(len(test), 16, generator=generator).argsort(1) < 8
    masked = torch.where(gone[:, PATCHES.flatten()].view(len(test), 1, 28, 28), absent, test)
    return float((model(masked).argmax(1) == labels).float().mean())


def main() -> None:
    images, labels = fashion_mnist(train=True)
    test_images, truth = fashion_mnist(train=False)
    vit = trained(normalised(images), labels)
    test = normalised(test_images)
    removing = RemovedPatches(vit)
    with torch.no_grad():
        print(f"test accuracy {float((vit(test).argmax(1) == truth).float().mean()):.1%}")
        target = vit(test[:EXPLAINED]).argmax(1)
    kinds = {"grey patches": (vit, 0.0), "patches left out": (removing, torch.nan)}
    values = {}
    print(f"{'absent':<18}  right, half absent  largest probability of nothing  R² of ten patterns  of |v(N) − v(∅)|")
    for name, (model, absent) in kinds.items():
        right = half_absent(model, test[:2000], truth[:2000], absent)
        with torch.no_grad():
            nothing = model(torch.full((1, 3, 28, 28), absent)).softmax(1).max()
        method = AndOrInteractions(model, score="log_odds")
        found = method.logical_model(test[:EXPLAINED], absent, target, feature_mask=PLAYERS)
        values[name] = method.interactions(test[:EXPLAINED], absent, target, feature_mask=PLAYERS, split="and")
        v = values[name].values
        print(
            f"{name:<18}  {right:>18.1%}  {float(nothing):>30.1%}  {float(found.r2.mean()):>18.3f}  "
            f"{float((v[:, -1] - v[:, 0]).abs().mean()):>16.2f}"
        )
    both = [explanation.shapley_values() for explanation in values.values()]
    alike = nn.functional.cosine_similarity(*both, dim=1)
    print(
        f"cosine of both Shapley values: mean {float(alike.mean()):.2f}, lowest tenth {float(alike.quantile(0.1)):.2f}"
    )
    draw(test_images, values, target, alike)


def draw(pictures: Tensor, values: dict, target: Tensor, alike: Tensor) -> None:
    """The pictures whose values differ most, one of each of three classes."""
    import matplotlib.pyplot as plt

    chosen: list[int] = []
    for i in alike.argsort().tolist():
        if all(target[i] != target[j] for j in chosen):
            chosen.append(i)
    chosen = chosen[:3]
    fig, axes = plt.subplots(3, 3, figsize=(6.2, 6.4), layout="constrained")
    for row, i in zip(axes, chosen, strict=True):
        picture = pictures[i, 0][..., None].numpy()
        row[0].imshow(picture, cmap="gray")
        row[0].axis("off")
        row[0].set_title(NAMES[int(target[i])])
        for axis, (name, explanation) in zip(row[1:], values.items(), strict=True):
            attributions = explanation.attributions()[i].mean(0)[..., None].numpy()
            viz.visualize_image_attr(
                attributions, picture, "blended_heat_map", "all", plt_fig_axis=(fig, axis), title=name, use_pyplot=False
            )
    fig.savefig(FIGURE, dpi=120)
    print(f"written: {FIGURE.relative_to(FIGURE.parents[2])}")


if __name__ == "__main__":
    main()
