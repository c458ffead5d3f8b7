"""A first explanation, beside what Captum gives: four attribution methods, and the patterns they cannot show.

    python tutorials/beside_captum.py [--out outputs]

A small CNN on MNIST, six patches as players. About a minute on two cores. For your own classifier, replace ``train``
and the picture; for CIFAR-10,

    images, labels = cifar10(train=True)  # tutorials/cifar10.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from captum.attr import FeatureAblation, IntegratedGradients, KernelShap, ShapleyValues
from matplotlib import pyplot as plt
from mnist import grid_mask, mnist, train
from torch import Tensor, nn

from captum_andor import AndOrInteractions

ROWS, COLUMNS = 3, 2


class LogOdds(nn.Module):
    """The log-odds of each class, so that all methods explain one and the same number."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += len(x)
        p = self.model(x).log_softmax(1)
        return p - torch.log1p(-p.exp().clamp(max=1 - 1e-6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figure")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    images, labels = mnist(train=True)
    model = LogOdds(train(images[:10000], labels[:10000])).eval()
    test_images, test_labels = mnist(train=False)
    x, target = test_images[:1], int(test_labels[0])
    mask = grid_mask(ROWS, COLUMNS)
    masked = {"feature_mask": mask, "target": target}

    torch.manual_seed(0)
    runs = {
        "IntegratedGradients": lambda: IntegratedGradients(model).attribute(x, target=target),
        "FeatureAblation": lambda: FeatureAblation(model).attribute(x, **masked),
        "KernelShap": lambda: KernelShap(model).attribute(x, n_samples=64, **masked),
        "ShapleyValues": lambda: ShapleyValues(model).attribute(x, **masked),
        "attribute": lambda: AndOrInteractions(model, check_repeats=False).attribute(x, **masked),
    }
    maps, passes = {}, {}
    for name, run in runs.items():
        model.passes = 0
        maps[name], passes[name] = run().detach(), model.passes
    exact = by_player(maps["ShapleyValues"], mask)
    print(f"{'method':22}{'passes':>8}   per patch, row by row")
    for name, values in maps.items():
        print(f"{name:22}{passes[name]:8}   " + " ".join(f"{v:+6.2f}" for v in by_player(values, mask).tolist()))
    difference = (by_player(maps["attribute"], mask) - exact).abs().max()
    print(f"\nlargest difference of attribute and ShapleyValues: {float(difference):.1e}")

    names = [f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "right")]
    lm = AndOrInteractions(model).logical_model(x, max_patterns=6, player_names=names, **masked)
    print(f"\nWhat no number per patch can say: what acts together, and what stands in for what\n{lm}")
    draw(x, maps, lm).savefig(out / "beside_captum.png", dpi=100)
    print(f"saved {out / 'beside_captum.png'}")


def by_player(attribution: Tensor, mask: Tensor) -> Tensor:
    """One number per patch: what each pixel of it carries or, where pixels have their own, their sum."""
    values = []
    for player in range(ROWS * COLUMNS):
        mine = attribution[mask.expand_as(attribution) == player]
        values.append(mine[0] if bool((mine == mine[0]).all()) else mine.sum())
    return torch.stack(values).double()


def draw(x: Tensor, maps: dict[str, Tensor], lm: object) -> plt.Figure:
    """The digit and the maps above, the patterns below."""
    fig, axes = plt.subplots(2, len(maps) + 1, figsize=(2.0 * (len(maps) + 1), 4.4), layout="constrained")
    axes[0, 0].imshow(x[0, 0], cmap="gray")
    axes[0, 0].set_title("the digit", fontsize=9)
    for axis, (name, values) in zip(axes[0, 1:], maps.items(), strict=True):
        size = float(values.abs().max())
        axis.imshow(values[0, 0], cmap="PuOr_r", vmin=-size, vmax=size)
        axis.set_title(name, fontsize=9)
    for axis in axes[0]:
        axis.set_axis_off()
    lm[0].plot_image(x[0, 0].numpy(), k=len(maps) + 1, plt_fig_axis=(fig, axes[1]))  # type: ignore[index]
    return fig


if __name__ == "__main__":
    main()
