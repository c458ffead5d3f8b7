"""The main job in one run: train a CNN on MNIST, explain test images at n = 12, draw the result.

python tutorials/demo.py [--out outputs]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from captum.attr import IntegratedGradients, KernelShap
from captum.attr import visualization as viz
from matplotlib import pyplot as plt
from mnist import accuracy, grid_mask, mnist, train

from captum_andor import AndOrExplanation, AndOrInteractions

N_IMAGES, N_PATTERNS = 4, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figure and the explanation")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    images, labels = mnist(train=True)
    test_images, test_labels = mnist(train=False)
    model = train(images[:20_000], labels[:20_000])
    print(f"test accuracy: {accuracy(model, test_images, test_labels):.2%}")

    x, y = test_images[:N_IMAGES], test_labels[:N_IMAGES]
    mask = grid_mask(4, 3)
    method = AndOrInteractions(model, score="log_odds")
    forward_seconds = time_forward_passes(model, x)
    start = time.perf_counter()
    method.attribute(x, target=y, feature_mask=mask)
    attribute_seconds = time.perf_counter() - start
    start = time.perf_counter()
    ex = method.interactions(x, target=y, feature_mask=mask, show_progress=True)
    all_seconds = time.perf_counter() - start

    print(
        f"\n{N_IMAGES} test images of {ex.n_players} patches: 2^{ex.n_players} = {2**ex.n_players} masked images each"
    )
    print(f"{'forward passes alone':32} {forward_seconds:6.2f} s")
    print(f"{'attribute()':32} {attribute_seconds:6.2f} s")
    print(f"{'interactions(), sparse split':32} {all_seconds:6.2f} s")
    print(f"universal matching: largest error {ex.fidelity().max():.1e}, largest |v| {ex.values.abs().max():.1f}")
    print(f"duality gap of the splits: at most {ex.duality_gap.max():.1e}\n")
    for label, one in zip(y.tolist(), ex, strict=True):
        print(f"digit {label}: {one}\n")

    ex.save(out / "demo.npz")
    figure = draw(model, x, y, mask, method, ex)
    figure.savefig(out / "demo.png", dpi=110)
    print(f"saved {out / 'demo.png'} and {out / 'demo.npz'} (AndOrExplanation.load reads it)")


@torch.no_grad()
def time_forward_passes(model: torch.nn.Module, x: torch.Tensor, rows: int = 256) -> float:
    """Seconds for as many forward passes as the exact explanation takes, nothing else."""
    batch = x.repeat(rows // len(x), 1, 1, 1)
    model(batch)
    start = time.perf_counter()
    for _ in range(len(x) * 2**12 // rows):
        model(batch)
    return time.perf_counter() - start


def draw(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    mask: torch.Tensor,
    method: AndOrInteractions,
    ex: AndOrExplanation,
) -> plt.Figure:
    """One row an image: the picture, two Captum attributions, ours, and the strongest patterns."""

    def log_odds(inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        logits = model(inputs)
        own = logits.gather(1, target[:, None])
        return (own - logits.scatter(1, target[:, None], -torch.inf).logsumexp(1, keepdim=True))[:, 0]

    ours = method.attribute(x, target=y, feature_mask=mask)
    gradients = IntegratedGradients(log_odds).attribute(x, additional_forward_args=y)
    torch.manual_seed(0)  # KernelShap draws its coalitions from the global generator
    kernel = torch.cat(
        [
            KernelShap(lambda inputs, label=label: log_odds(inputs, label.expand(len(inputs)))).attribute(
                image[None], feature_mask=mask, n_samples=1000, perturbations_per_eval=64
            )
            for image, label in zip(x, y, strict=True)
        ]
    )
    fig, axes = plt.subplots(
        len(x), 4 + N_PATTERNS, figsize=(1.75 * (4 + N_PATTERNS), 2.05 * len(x)), layout="constrained"
    )
    names = ("IntegratedGradients", "KernelShap", "AndOrInteractions")
    for row, picture in enumerate(x[:, 0].numpy()):
        axes[row, 0].imshow(picture, cmap="gray")
        axes[row, 0].set_title(f"digit {int(y[row])}", fontsize=9)
        axes[row, 0].set_axis_off()
        for column, (name, attribution) in enumerate(zip(names, (gradients, kernel, ours), strict=True), start=1):
            viz.visualize_image_attr(
                np.asarray(attribution[row, 0].detach())[..., None],
                np.repeat(picture[..., None], 3, axis=2),
                method="blended_heat_map",
                sign="all",
                plt_fig_axis=(fig, axes[row, column]),
                use_pyplot=False,
            )
            axes[row, column].set_title(name if row == 0 else "", fontsize=9)
        ex[row].plot_image(picture, k=N_PATTERNS, plt_fig_axis=(fig, axes[row, 4:]))
    return fig


if __name__ == "__main__":
    main()
