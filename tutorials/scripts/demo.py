"""The main job in one run: train a CNN on MNIST, reproduce four predictions with eight patterns each, draw them.

python -m tutorials.scripts.demo [--out outputs]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from captum.attr import visualization as viz
from matplotlib import pyplot as plt

from captum_andor import AndOrInteractions, LogicalModel
from tutorials.datasets.mnist import accuracy, grid_mask, mnist, train

N_IMAGES, N_PATTERNS, BUDGET = 4, 8, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figure and the models")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    images, labels = mnist(train=True)
    test_images, test_labels = mnist(train=False)
    model = train(images[:20_000], labels[:20_000])
    print(f"test accuracy: {accuracy(model, test_images, test_labels):.2%}")

    x, y = test_images[:N_IMAGES], test_labels[:N_IMAGES]
    mask = grid_mask(4, 3)
    method = AndOrInteractions(model, score="log_odds")
    start = time.perf_counter()
    exact = method.logical_model(
        x, target=y, feature_mask=mask, max_patterns=N_PATTERNS, budget=2**12, show_progress=True
    )
    exact_seconds = time.perf_counter() - start
    start = time.perf_counter()
    budgeted = method.logical_model(x, target=y, feature_mask=mask, max_patterns=N_PATTERNS, budget=BUDGET)
    budgeted_seconds = time.perf_counter() - start

    truth = true_r2(budgeted, exact)
    print(f"\n{N_IMAGES} test images of {exact.n_players} patches, {N_PATTERNS} patterns each")
    print(f"{'':24}{'masked images':>14}{'seconds':>9}   R² over all 4 096 masked images")
    for name, seconds, count, r2 in (
        ("all coalitions", exact_seconds, exact.n_evaluations, exact.r2),
        ("a budget", budgeted_seconds, budgeted.n_evaluations, truth),
    ):
        print(f"{name:24}{count:14}{seconds:9.2f}   {'  '.join(f'{v:.3f}' for v in r2.tolist())}")
    print(f"{'its own estimate':47}   {'  '.join(f'{v:.3f}' for v in budgeted.r2.tolist())}\n")
    for label, one in zip(y.tolist(), exact, strict=True):
        print(f"digit {label}: {one}\n")

    exact.save(out / "demo.npz")
    draw(x, y, exact, budgeted, truth).savefig(out / "demo.png", dpi=110)
    print(f"saved {out / 'demo.png'} and {out / 'demo.npz'} (LogicalModel.load reads it)")


def true_r2(model: LogicalModel, complete: LogicalModel) -> torch.Tensor:
    """R² of a model from a budget over all coalitions, which another evaluated."""
    everything = (torch.arange(complete.n_evaluations)[:, None] >> torch.arange(complete.n_players)) & 1 > 0
    v, h = complete.values, model.predict(everything)
    return 1 - (v - h).square().sum(-1) / (v - v.mean(-1, keepdim=True)).square().sum(-1)


def draw(
    x: torch.Tensor, y: torch.Tensor, exact: LogicalModel, budgeted: LogicalModel, truth: torch.Tensor
) -> plt.Figure:
    """Two rows an image, all coalitions and a budget: the picture, the attributions, the patterns."""
    fig, axes = plt.subplots(
        2 * len(x), 2 + N_PATTERNS, figsize=(1.15 * (2 + N_PATTERNS), 2.9 * len(x)), layout="constrained"
    )
    for row, picture in enumerate(x[:, 0].numpy()):
        for below, (lm, r2) in enumerate(((exact, exact.r2), (budgeted, truth))):
            line = axes[2 * row + below]
            line[0].imshow(picture, cmap="gray")
            line[0].set_title(f"digit {int(y[row])}" if not below else "", fontsize=9)
            line[0].set_axis_off()
            viz.visualize_image_attr(
                np.asarray(lm.attributions()[row, 0])[..., None],
                np.repeat(picture[..., None], 3, axis=2),
                method="blended_heat_map",
                sign="all",
                plt_fig_axis=(fig, line[1]),
                use_pyplot=False,
            )
            line[1].set_title(f"{lm.n_evaluations} passes\nR² {float(r2[row]):.3f}", fontsize=8)
            lm[row].plot_image(picture, k=N_PATTERNS, plt_fig_axis=(fig, line[2:]))
    return fig


if __name__ == "__main__":
    main()
