"""A game of 4 096 coalitions from a budget: the picture of the page on estimates.

python -m tutorials.scripts.estimates [--out docs/_static/estimate.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib import pyplot as plt

from captum_andor import AndOrInteractions
from captum_andor.games.transforms import all_coalitions
from tutorials.datasets.mnist import grid_mask, mnist, train

BUDGETS = (64, 256, 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/estimate.png"))
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    images, labels = mnist(train=True)
    model = train(images[:20_000], labels[:20_000])
    test_images, test_labels = mnist(train=False)
    inkiest = int(test_images[:100].flatten(1).sum(1).argmax())  # most patches matter
    x, y = test_images[inkiest : inkiest + 1], test_labels[inkiest : inkiest + 1]
    method = AndOrInteractions(model, score="log_odds")
    mask = grid_mask(4, 3)
    v = method.interactions(x, target=y, feature_mask=mask, split="even").values[0]
    exact = method.attribute(x, target=y, feature_mask=mask, return_standard_error=False)
    estimates = {b: method.estimate(x, target=y, feature_mask=mask, budget=b)[0] for b in BUDGETS}
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    draw_values(left, estimates[256], v)
    draw_shapley(right, estimates, [float(exact[0, mask[0] == i][0]) for i in range(12)])
    fig.savefig(out, dpi=110)
    for budget, estimate in estimates.items():
        r2, (low, high) = float(estimate.r2), estimate.r2_interval.tolist()
        h = estimate.predict(all_coalitions(12))
        true = 1 - float((v - h).square().mean() / v.var(unbiased=False))
        print(f"{budget:5} of 4 096: R² {r2:.4f} [{low:.4f}, {high:.4f}], true {true:.4f}")
    print(f"saved {out}")


def draw_values(axis: plt.Axes, estimate: object, v: torch.Tensor) -> None:
    """Estimates against truth, on coalitions that were not evaluated."""
    z = all_coalitions(12)
    seen = {tuple(row) for row in estimate.coalitions.tolist()}
    unseen = torch.tensor([tuple(row) not in seen for row in z.tolist()])
    mean, std = estimate.predict(z[unseen], return_std=True)
    truth = v[unseen]
    some = torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))[:400]
    axis.errorbar(
        truth[some],
        mean[some],
        yerr=1.96 * std[some],
        fmt=".",
        color="#0072b2",
        ecolor="#9ecae1",
        markersize=3,
        elinewidth=0.7,
    )
    span = [float(v.min()), float(v.max())]
    axis.plot(span, span, color="0.3", linewidth=0.8)
    inside = float(((mean - truth).abs() < 1.96 * std).double().mean())
    axis.set(xlabel="v, by the model", ylabel="estimate from 256 coalitions")
    axis.set_title(f"unseen coalitions (400 of {len(truth):,}); {inside:.0%} of intervals hold v", fontsize=10)


def draw_shapley(axis: plt.Axes, estimates: dict[int, object], exact: list[float]) -> None:
    """Shapley values by budget."""
    order = sorted(range(len(exact)), key=lambda i: -abs(exact[i]))
    for shift, (budget, estimate), colour in zip(
        (-0.22, 0.0, 0.22), estimates.items(), ("#cc79a7", "#0072b2", "#009e73"), strict=True
    ):
        mean, std = estimate.shapley_values(return_std=True)
        places = [k + shift for k in range(len(order))]
        axis.errorbar(
            places,
            mean[order],
            yerr=1.96 * std[order],
            fmt=".",
            color=colour,
            label=f"{budget:,} coalitions",
            capsize=2,
        )
    axis.scatter(range(len(order)), [exact[i] for i in order], marker="_", s=260, color="0.2", label="exact", zorder=0)
    axis.axhline(0, color="0.7", linewidth=0.8)
    axis.set_xticks(range(len(order)), [str(i) for i in order])
    axis.set(xlabel="patch", ylabel="Shapley value")
    axis.legend(fontsize=8, frameon=False)
    axis.set_title("Shapley values ± 95 %", fontsize=10)


if __name__ == "__main__":
    main()
