"""The main job in one run: four predictions of a CNN on MNIST as Shapley values with error bars and as eight patterns.

From 512 of 4 096 masked images, beside the exact ones.

python -m tutorials.scripts.demo [--out outputs]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from captum.attr import visualization as viz
from matplotlib import pyplot as plt

from captum_andor import AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.games.transforms import shapley_values
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
    exact, exact_seconds = timed(
        lambda: method.logical_model(x, target=y, feature_mask=mask, max_patterns=N_PATTERNS, budget=2**12)
    )
    estimate, seconds = timed(
        lambda: method.estimate(x, target=y, feature_mask=mask, budget=BUDGET, show_progress=True)
    )
    budgeted, further = timed(lambda: estimate.logical_model(max_patterns=N_PATTERNS))

    print(f"\n{N_IMAGES} test images of {exact.n_players} patches\n")
    truth = shapley_values(exact.values)
    print_shapley(estimate, truth)
    true = true_r2(budgeted, exact)
    print(f"\n{N_PATTERNS} patterns each")
    print(f"{'':24}{'masked images':>14}{'seconds':>9}   R² over all 4 096 masked images")
    for name, spent, count, r2 in (
        ("all coalitions", exact_seconds, exact.n_evaluations, exact.r2),
        ("a budget", seconds + further, budgeted.n_evaluations, true),
    ):
        print(f"{name:24}{count:14}{spent:9.2f}   {'  '.join(f'{v:.3f}' for v in r2.tolist())}")
    low, high = budgeted.r2_interval.unbind(-1)
    print(f"{'  as it states':47}   {'  '.join(f'{v:.3f}' for v in budgeted.r2.tolist())}")
    print(f"{'  95 % from':47}   {'  '.join(f'{v:.3f}' for v in low.tolist())}")
    print(f"{'  to':47}   {'  '.join(f'{v:.3f}' for v in high.tolist())}\n")
    for label, one in zip(y.tolist(), budgeted, strict=True):
        print(f"digit {label}: {one}\n")

    exact.save(out / "demo.npz")
    draw(x, y, exact, estimate, budgeted, true).savefig(out / "demo.png", dpi=110)
    print(f"saved {out / 'demo.png'} and {out / 'demo.npz'} (LogicalModel.load reads it)")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and how long it took."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def print_shapley(estimate: GameEstimate, truth: torch.Tensor) -> None:
    """The Shapley values of the last image, and how far all are off."""
    mean, std = estimate.shapley_values(return_std=True)
    print(f"Shapley values of the last image from {BUDGET} masked images, ± one standard error, and from all")
    for player in truth[-1].abs().argsort(descending=True).tolist()[:6]:
        print(f"  patch {player:2}  {mean[-1, player]:+.3f} ± {std[-1, player]:.3f}   {truth[-1, player]:+.3f}")
    error = (mean - truth).square().sum() / truth.square().sum()
    inside = ((mean - truth).abs() <= 1.96 * std + 1e-9).double().mean()
    print(
        f"all images: squared error {error:.1e} of the values, {inside:.0%} of the 95 % intervals hold the exact ones"
    )


def true_r2(model: LogicalModel, complete: LogicalModel) -> torch.Tensor:
    """R² of a model from a budget over all coalitions, which another evaluated."""
    everything = (torch.arange(complete.n_evaluations)[:, None] >> torch.arange(complete.n_players)) & 1 > 0
    v, h = complete.values, model.predict(everything)
    return 1 - (v - h).square().sum(-1) / (v - v.mean(-1, keepdim=True)).square().sum(-1)


def draw(
    x: torch.Tensor,
    y: torch.Tensor,
    exact: LogicalModel,
    estimate: GameEstimate,
    budgeted: LogicalModel,
    truth: torch.Tensor,
) -> plt.Figure:
    """Two rows an image: the picture and the patterns from all; Shapley values and patterns from the budget."""
    fig, axes = plt.subplots(
        2 * len(x), 2 + N_PATTERNS, figsize=(1.15 * (2 + N_PATTERNS), 2.9 * len(x)), layout="constrained"
    )
    values = shapley_values(exact.values)
    for row, picture in enumerate(x[:, 0].numpy()):
        above, below = axes[2 * row], axes[2 * row + 1]
        above[0].imshow(picture, cmap="gray")
        above[0].set_title(f"digit {int(y[row])}", fontsize=9)
        above[0].set_axis_off()
        for line, lm, r2 in ((above, exact, exact.r2), (below, budgeted, truth)):
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
        draw_intervals(below[0], *(part[row] for part in estimate.shapley_values(return_std=True)), values[row])
    return fig


def draw_intervals(axis: plt.Axes, mean: torch.Tensor, std: torch.Tensor, truth: torch.Tensor) -> None:
    """Shapley values with 95 % intervals, the exact ones as bars behind them."""
    order = truth.abs().argsort(descending=True)
    places = list(range(len(order)))[::-1]
    axis.barh(places, truth[order], color="0.8", height=0.8)
    axis.errorbar(mean[order], places, xerr=1.96 * std[order], fmt=".", color="#0072b2", markersize=3, elinewidth=1)
    axis.axvline(0, color="0.6", linewidth=0.6)
    axis.set_yticks(places, [str(int(i)) for i in order], fontsize=5)
    axis.tick_params(axis="x", labelsize=6)
    axis.set_title(f"Shapley values\n{BUDGET} passes", fontsize=8)


if __name__ == "__main__":
    main()
