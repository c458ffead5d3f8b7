"""The figures of the paper on confusing samples, each by one call, on Fashion-MNIST with 10 % wrong labels.

    python -m tutorials.scripts.paper_figures [--out outputs]

Prints the numbers of docs/paper.rst and writes the figures. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialResult, concentration, plot_concentration, trace_training
from captum_andor.visualization import plot_matching
from tutorials.datasets.fashion import fashion_mnist
from tutorials.scripts.confusing_samples import smaller, train, with_wrong_labels
from tutorials.scripts.dynamics import checkpoints

IMAGES, SAMPLES, SEEDS = 2000, 300, 3
SHARES = Path(__file__).parents[2] / "benchmarks" / "results" / "factorial"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    images, true_labels = fashion_mnist(train=True)
    images, true_labels = smaller(images[:IMAGES]), true_labels[:IMAGES]
    labels, wrong = with_wrong_labels(true_labels)
    held_out, held_out_labels = fashion_mnist(train=False)
    test = smaller(held_out[:SAMPLES]), held_out_labels[:SAMPLES]
    models = {f"seed {seed}": train(images, labels, seed)[0] for seed in range(SEEDS)}

    matching(models["seed 0"], images, labels, out)
    across(models, images, labels, wrong, out)
    over_training(images, labels, wrong, test, out)
    by_layer()
    print(f"saved the figures in {out}")


def matching(model: nn.Module, images: Tensor, labels: Tensor, out: Path) -> None:
    """Universal matching: what patterns say of every masked input beside what the model says."""
    method = AndOrInteractions(model, score="log_odds")
    mask = image_grid(14, 14, 3, 3)
    some, targets = images[:50], labels[:50]
    explained = method.interactions(some, baselines=images.mean(0, keepdim=True), target=targets, feature_mask=mask)
    surrogate = method.logical_model(some, baselines=images.mean(0, keepdim=True), target=targets, feature_mask=mask)
    size = explained.values.abs().amax(-1)
    print("1 universal matching, 50 images, 512 masks each")
    print(f"  all interactions: largest |h - v| / max |v| {float((explained.fidelity() / size).max()):.1e}")
    print(f"  ten patterns: R2 {surrogate.r2.median():.2f} (median), {surrogate.r2.min():.2f} (least)\n")
    plot_matching(surrogate[0], use_pyplot=False)[0].savefig(out / "paper_matching.png", dpi=110)


def across(models: dict[str, nn.Module], images: Tensor, labels: Tensor, wrong: np.ndarray, out: Path) -> None:
    """Concentration over samples, hard against easy samples, overlap of networks."""
    analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], primary="net_order", scores="all")
    for name, model in models.items():
        analyzer.add_model(name, model)
    report = analyzer.evaluate((images[:SAMPLES], labels[:SAMPLES]))
    groups = {"wrong labels": wrong[:SAMPLES]}
    print(f"2 concentration, {SAMPLES} training images, by network")
    for name in models:
        table = concentration(report, name, groups=groups).round(2)
        print(f"{name}\n{table.to_string(index=False)}")
    print("\n5 hard and easy: share of high order in the strength, tenth of largest and of least loss, mean [networks]")
    shares = []
    for _, rows in report.scores.sort_values("loss").groupby("model", sort=False):
        share = rows["high_order_share"].to_numpy()
        shares.append((share[-SAMPLES // 10 :].mean(), share[: SAMPLES // 10].mean()))
    hard, easy = np.transpose(shares)
    print(f"  hard {hard.mean():.2f} {hard.round(2)}, easy {easy.mean():.2f} {easy.round(2)}")
    overlap = report.overlap()
    columns = ["pair", "iou", "iou_low", "iou_high", "chance", "iou_one_view", "ceiling_baseline", "loss_iou"]
    print(f"\n6 overlap of the most confusing tenths by {report.scoring.primary}")
    print(overlap[columns].round(2).to_string(index=False), "\n")
    for name, figure in (
        ("concentration", plot_concentration(report, "seed 0", groups, use_pyplot=False)[0]),
        ("hard_easy", report.plot_order_profile("seed 0", score="loss", against="least", use_pyplot=False)[0]),
        ("overlap", report.plot_overlap(use_pyplot=False)[0]),
    ):
        figure.savefig(out / f"paper_{name}.png", dpi=110)


def over_training(images: Tensor, labels: Tensor, wrong: np.ndarray, test: tuple[Tensor, Tensor], out: Path) -> None:
    """Losses and gap, strength by order at two checkpoints, similarity of train and test samples by order."""
    kept = checkpoints(images, labels)
    dynamics = trace_training(
        kept,
        (images[:SAMPLES], labels[:SAMPLES]),
        test,
        ConfusingSampleAnalyzer(baselines=[images.mean(0)], scores=("net_order", "high_order_share")),
        clean=~wrong[:SAMPLES],
    )
    naive = gaps_of_all(kept, images[:SAMPLES], labels[:SAMPLES], test)
    table = dynamics.table.query("set == 'train'").set_index("step")
    print(f"4 gap of losses, clean training rows and all rows; second phase begins at {dynamics.boundary}")
    for step in dynamics.steps:
        row = table.loc[step]
        print(
            f"  epoch {step:3}: train {row['loss']:.2f}, gap on clean rows {row['gap']:+.2f} ± {row['gap_error']:.2f}, "
            f"on all {naive[step]:+.2f}; high-order share {row['high_order_share']:.2f}"
        )
    last = dynamics.similarity.query("step == @dynamics.steps[-1]")
    print("\n3 similarity of train and test samples by order at the end: between, ceiling within")
    print(last[["order", "between", "within"]].round(2).to_string(index=False), "\n")
    for name, figure in (
        ("phases", dynamics.plot(use_pyplot=False)[0]),
        ("profiles", dynamics.plot_profiles(use_pyplot=False)[0]),
        ("similarity", dynamics.plot_similarity(use_pyplot=False)[0]),
    ):
        figure.savefig(out / f"paper_{name}.png", dpi=110)


@torch.no_grad()
def gaps_of_all(
    kept: dict[int, nn.Module], images: Tensor, labels: Tensor, test: tuple[Tensor, Tensor]
) -> dict[int, float]:
    """Test loss less the loss of all training rows, wrong labels included."""
    loss = nn.functional.cross_entropy
    return {step: float(loss(model(test[0]), test[1]) - loss(model(images), labels)) for step, model in kept.items()}


def by_layer() -> None:
    """Shares of variance by layer, from the tables of the factorial study."""
    print("7 low share by cut, initialisation grid, net_order")
    for file in sorted(SHARES.glob("*/tables.npz")):
        shares = FactorialResult.load(file).shares().query("grid == 'initialisation' and factor == 'low'")
        cells = [f"{r.layer} {r.share:.2f} [{r.lower:.2f}, {r.upper:.2f}]" for r in shares.itertuples()]
        print(f"  {file.parent.name:14} " + "; ".join(cells))


if __name__ == "__main__":
    main()
