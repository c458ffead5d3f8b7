"""The main job in one run: what an ImageNet network sees in a photo, as patterns and as Shapley values with error bars.

python -m tutorials.scripts.demo [--out outputs]

The photo comes with Matplotlib (Grace Hopper, U.S. Navy, public domain), the network with its own package: nothing is
downloaded. Half a minute on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import cbook, pyplot as plt
from PIL import Image

from captum_andor import AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.games.masks import image_grid
from tutorials.datasets.photos import SIZE, class_names, efficientnet_lite0, normalised

ROWS, COLUMNS, N_PATTERNS, BUDGET = 4, 4, 5, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figure and the model")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    picture, model, names = portrait(), efficientnet_lite0(), class_names()
    x = normalised(picture)
    with torch.no_grad():
        probability, target = model(x).softmax(1)[0].max(0)
    print(f"EfficientNet-Lite0 sees: {names[int(target)]} (p = {float(probability):.2f})\n")

    # Sixteen patches are sixteen players; an absent one is mid-grey, which the network sees as 0.
    method = AndOrInteractions(model, score="log_odds", class_names=names)
    mask = image_grid(SIZE, SIZE, ROWS, COLUMNS)
    start = time.perf_counter()
    estimate = method.estimate(x, target=int(target), feature_mask=mask, budget=BUDGET)[0]
    lm = estimate.logical_model(max_patterns=10)
    seconds = time.perf_counter() - start
    print(f"{lm}\n\nIn words:")
    print("\n".join(f"  {rule}" for rule in lm.rules()))

    lm.save(out / "demo.npz")
    draw(picture, lm, estimate).savefig(out / "demo.png", dpi=110)
    story(picture, lm).savefig(out / "story.png", dpi=110)
    print(
        f"\n{BUDGET} of {2 ** (ROWS * COLUMNS):,} masked photos, {seconds:.0f} s. Saved {out / 'demo.png'}, and "
        f"{out / 'demo.npz'} for LogicalModel.load."
    )


def portrait() -> torch.Tensor:
    """The upper square of the photo that Matplotlib brings along: ``(1, 3, 224, 224)`` in [0, 1]."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photo = Image.open(file).convert("RGB")
    side = min(photo.size)
    square = photo.crop((0, 0, side, side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255


def draw(picture: torch.Tensor, lm: LogicalModel, estimate: GameEstimate) -> plt.Figure:
    """The photo with its patches numbered, a panel for each of the strongest patterns, and Shapley values."""
    fig = plt.figure(figsize=(11, 5.6), layout="constrained")
    grid = fig.add_gridspec(2, 5, width_ratios=(1, 1, 1, 0.05, 1.3))
    whole, *panels = (fig.add_subplot(grid[i // 3, i % 3]) for i in range(1 + N_PATTERNS))
    whole.imshow(picture[0].permute(1, 2, 0))
    whole.set_title("the patches")
    whole.set_axis_off()
    for player in range(ROWS * COLUMNS):
        row, column = divmod(player, COLUMNS)
        x, y = (column + 0.5) * SIZE / COLUMNS, (row + 0.5) * SIZE / ROWS
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0}
        whole.text(x, y, str(player), ha="center", va="center", fontsize=9, bbox=box)
    lm.plot("image", picture, k=N_PATTERNS, plt_fig_axis=(fig, np.array(panels)))
    estimate.plot(plt_fig_axis=(fig, fig.add_subplot(grid[:, 4])), title=f"Shapley values, {BUDGET} masked photos")
    called, r2 = lm.players.question.called[0], float(lm.r2)
    fig.suptitle(f"Why “{called}”: ten patterns predict masked photos with R² {r2:.2f}; the {N_PATTERNS} strongest")
    return fig


def story(picture: torch.Tensor, lm: LogicalModel) -> plt.Figure:
    """Four panels that can be read on a telephone: the photo, and the strongest pattern of each kind, as measured."""
    effects = lm.effects()
    order = effects["players"].map(len)
    single, either, both = (
        effects[own].iloc[0]
        for own in (order == 1, (effects["kind"] == "or") & (order > 1), (effects["kind"] == "and") & (order == 2))
    )
    said = {
        f"this patch {single.together:+.1f}": single,
        f"any {min(either.alone):+.1f} to {max(either.alone):+.1f}, all {either.together:+.1f}": either,
        f"alone {both.alone[0]:+.1f}, {both.alone[1]:+.1f}, both {both.together:+.1f}": both,
    }
    fig, axes = plt.subplots(2, 2, figsize=(6, 6.6), layout="constrained")
    photo, mask = picture[0].permute(1, 2, 0).numpy(), image_grid(SIZE, SIZE, ROWS, COLUMNS)[0, 0].numpy()
    axes[0, 0].imshow(photo)
    axes[0, 0].set_title(lm.players.question.called[0], fontsize=15)
    for (words, pattern), axis in zip(said.items(), axes.ravel()[1:], strict=True):
        inside = np.isin(mask, pattern.players)
        axis.imshow(photo * np.where(inside, 1.0, 0.35)[..., None])
        style = "dashed" if pattern.kind == "or" else "solid"
        axis.contour(inside, levels=[0.5], colors="#00E0A0", linewidths=4, linestyles=style)
        axis.set_title(words, fontsize=15)
    for axis in axes.flat:
        axis.set_axis_off()
    return fig


if __name__ == "__main__":
    main()
