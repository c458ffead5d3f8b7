"""What scores of confusion cost beside the model's own forward passes, and whether the default batch is a good one.

    python -m benchmarks.confusing cost batch held_out

``cost``: n = 9, 64 samples in a batch, the demo's network; the clock runs inside the model for the forward passes and
around the call for the total, all in one run. ``batch``: seconds of whole evaluations by rows per forward pass.
``held_out``: what scores of one network know beside the loss under networks not trained on a sample (ten minutes).
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from torch import nn

from benchmarks.overhead import TimedModel
from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.statistics import auc, partial_spearman, spearman
from captum_andor.study import held_out_losses
from tutorials.datasets.fashion import fashion_mnist
from tutorials.datasets.mnist import mnist, train
from tutorials.scripts.confusing_samples import smaller, train as train_small, with_wrong_labels

V_SCORES = ("net_order", "flip_rate", "masked_margin")
SPLIT_SCORES = (*V_SCORES, "offset", "offset_strength", "mean_order", "high_order_share", "cancellation")
REPEATS = 7
HELD_OUT_IMAGES = 2000


def cost() -> None:
    """Total over forward passes, for scores of v alone and with the split."""
    images, labels = mnist(train=True)
    model = TimedModel(train(images[:20_000], labels[:20_000]))
    x, y = (t[:64] for t in mnist(train=False))
    print(f"n = 9, 64 samples, {torch.get_num_threads()} thread(s), median of {REPEATS}")
    print(f"{'scores':26}{'passes, ms a sample':>20}{'total over passes':>19}")
    for name, scores in (("v alone", V_SCORES), ("with the split, 1e-2", SPLIT_SCORES)):
        analyzer = ConfusingSampleAnalyzer(scores=scores).add_model("model", model)
        forward, ratios = [], []
        for _ in range(REPEATS):
            model.seconds = 0.0
            start = time.perf_counter()
            analyzer.evaluate((x, y))
            total = time.perf_counter() - start
            forward.append(model.seconds / 64 * 1e3)
            ratios.append(total / model.seconds)
        print(f"{name:26}{statistics.median(forward):20.1f}{statistics.median(ratios):19.3f}", flush=True)


def batch() -> None:
    """Time of whole evaluations by the number of rows in a forward pass, relative to the fastest."""
    torch.manual_seed(0)
    models: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "CNN, 1x14x14": (cnn(1, 14), (1, 14, 14)),
        "CNN, 1x14x14, channels_last": (cnn(1, 14).to(memory_format=torch.channels_last), (1, 14, 14)),
        "CNN, 1x28x28": (cnn(1, 28), (1, 28, 28)),
        "CNN, 1x28x28, channels_last": (cnn(1, 28).to(memory_format=torch.channels_last), (1, 28, 28)),
        "CNN, 3x32x32, channels_last": (cnn(3, 32).to(memory_format=torch.channels_last), (3, 32, 32)),
    }
    sizes = (64, 128, 256, 512, 1024, 2048)
    print(f"\n{torch.get_num_threads()} thread(s), median of 5; time relative to the fastest of the row")
    print(f"{'model (untrained)':30}" + "".join(f"{rows:>8}" for rows in sizes) + f"{'default':>9}{'ms a sample':>13}")
    for name, (model, shape) in models.items():
        x, y = torch.rand(64, *shape), torch.zeros(64, dtype=torch.long)
        analyzer = ConfusingSampleAnalyzer(scores=V_SCORES).add_model("model", model)
        rows_each: list[int | None] = [*(rows // 64 for rows in sizes), None]
        times: list[list[float]] = [[] for _ in rows_each]
        for _ in range(5):  # in turn, so that a slow moment of the machine meets all alike
            for perturbations, found in zip(rows_each, times, strict=True):
                start = time.perf_counter()
                analyzer.evaluate((x, y), perturbations_per_eval=perturbations)
                found.append(time.perf_counter() - start)
        seconds = [statistics.median(found) for found in times]
        line = "".join(f"{s / min(seconds):8.2f}" for s in seconds[:-1])
        print(f"{name:30}{line}{seconds[-1] / min(seconds):9.2f}{seconds[-1] / 64 * 1e3:13.1f}", flush=True)


def held_out() -> None:
    """Scores of three networks against held-out loss: how far they estimate it, and what they know beside it."""
    images, true_labels = fashion_mnist(train=True)
    images, true_labels = smaller(images[:HELD_OUT_IMAGES]), true_labels[:HELD_OUT_IMAGES]
    labels, wrong = with_wrong_labels(true_labels)

    def fit(x: torch.Tensor, y: torch.Tensor, seed: int) -> nn.Module:
        return train_small(x, y, seed)[0]

    networks = {f"seed {seed}": fit(images, labels, 100 + seed) for seed in range(3)}
    analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], scores=V_SCORES)
    for name, model in networks.items():
        analyzer.add_model(name, model)
    report = analyzer.evaluate((images, labels))
    table = held_out_losses(fit, (images, labels), folds=5, repeats=2)
    judged = held_out_losses(fit, (images, labels), folds=5, repeats=2, seed=50)  # by other networks, for memorization
    report.add_column("held_out_loss", table["held_out_loss"])
    memorized = judged["memorization"].to_numpy()
    clean = ~wrong
    print(f"\n{len(images)} images, {wrong.sum()} wrong labels; three networks, means; 5 folds twice")
    print(
        "AUC of wrong labels; rank correlation with held-out loss; partial rank correlation with wrong labels, and, of"
    )
    print("right labels, with memorization under other networks: given loss, margin, active players and ink, and given")
    print("held-out loss beside these [least, largest of three networks]")
    print(
        f"{'':16}{'AUC':>5}{'ρ held-out':>12}{'wrong | fit':>20}{'| held-out':>20}{'memorized | fit':>20}{'| held-out':>20}"
    )
    for column in (*V_SCORES, "loss", "held_out_loss"):
        found = []
        for name in report.models:
            own = report.scoring.suspicion(name, column)
            out = report.scoring.suspicion(name, "held_out_loss")
            fitted = [report.scoring.suspicion(name, c) for c in ("loss", "margin", "n_active", "ink") if c != column]
            row = [auc(own, wrong), spearman(own, out)]
            for target, rows in ((wrong, slice(None)), (memorized, clean)):
                for given in (fitted, [*fitted, out]):
                    known = column == "held_out_loss" and given is not fitted
                    partial = partial_spearman(own[rows], target[rows], [g[rows] for g in given])
                    row.append(float("nan") if known else partial)
            found.append(row)
        mean, least, most = np.mean(found, 0), np.min(found, 0), np.max(found, 0)
        cells = [
            f"{m:8.2f} [{low:5.2f},{high:5.2f}]" if np.isfinite(m) else f"{'–':>20}"
            for m, low, high in zip(mean[2:], least[2:], most[2:], strict=True)
        ]
        print(f"{column:16}{mean[0]:5.2f}{mean[1]:12.2f}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def cnn(channels: int, size: int) -> nn.Module:
    """Six convolutions with batch norm and global pooling, 40 000 parameters: that of the study."""
    widths = (channels, 16, 16, 32, 32, 48, 48)
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), nn.BatchNorm2d(widths[i + 1]), nn.ReLU()]
        if i in (1, 3):
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)).eval()


if __name__ == "__main__":
    parts = {"cost": cost, "batch": batch, "held_out": held_out}
    for part in sys.argv[1:] or parts:
        parts[part]()
