"""What scores of confusion cost beside the model's own forward passes, and whether the default batch is a good one.

    python -m benchmarks.confusing cost batch held_out

``cost``: n = 9, 64 samples in a batch, a small CNN on MNIST; the clock runs inside the model for the forward passes and
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
from captum_andor.studies import held_out_losses
from tutorials.datasets.fashion import fashion_mnist
from tutorials.datasets.mnist import mnist, train
from tutorials.scripts.confusing_samples import smaller, train as train_small, with_wrong_labels

V_SCORES = ("net_order", "flip_rate", "masked_margin")
SPLIT_SCORES = (*V_SCORES, "offset", "offset_strength", "mean_order", "high_order_share", "cancellation")
REPEATS = 7
HELD_OUT_IMAGES = 1000
FEW, MANY = 1, 8  # networks that judge a sample without having seen it


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

    analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], scores=V_SCORES)
    for seed in range(3):
        analyzer.add_model(f"seed {seed}", fit(images, labels, 1000 + seed))
    report = analyzer.evaluate((images, labels))
    few = held_out_losses(fit, (images, labels), folds=5, repeats=FEW)
    report.add_column("held_out_few", few["held_out_loss"])
    report.add_column("held_out", held_out_losses(fit, (images, labels), folds=5, repeats=MANY)["held_out_loss"])
    judged = held_out_losses(fit, (images, labels), folds=5, repeats=4, seed=500)  # other networks: memorization
    print(f"\n{len(images)} images, {wrong.sum()} wrong labels; three networks, means; five folds")
    print(
        "AUC of wrong labels, rank correlation with held-out loss; partial rank correlation with wrong labels and, of"
    )
    print("right labels, with memorization under other networks: given loss, margin, active players and ink (fit), and")
    print(f"given held-out loss of {FEW} and of {MANY} networks a sample beside these")
    heads = ("AUC", "rho", "wrong|fit", f"|held {FEW}", f"|held {MANY}", "mem.|fit", f"|held {FEW}", f"|held {MANY}")
    print(f"{'':16}" + "".join(f"{head:>11}" for head in heads))
    clean = ~wrong
    targets = ((wrong, slice(None)), (judged["memorization"].to_numpy(), clean))
    for column in (*V_SCORES, "loss", "held_out_few", "held_out"):
        found = []
        for name in report.models:
            of = {c: report.scoring.suspicion(name, c) for c in ("loss", "margin", "n_active", "ink", column)}
            out = {c: report.scoring.suspicion(name, c) for c in ("held_out_few", "held_out")}
            fitted = [of[c] for c in ("loss", "margin", "n_active", "ink") if c != column]
            row = [auc(of[column], wrong), spearman(of[column], out["held_out"])]
            for target, rows in targets:
                for given in ([], ["held_out_few"], ["held_out"]):
                    held = [g[rows] for g in (*fitted, *(out[c] for c in given))]
                    known = column.startswith("held") and given
                    row.append(np.nan if known else partial_spearman(of[column][rows], target[rows], held))
            found.append(row)
        mean = np.mean(found, 0)
        print(f"{column:16}" + "".join(f"{x:11.2f}" if np.isfinite(x) else f"{'–':>11}" for x in mean), flush=True)
    spread = held_out_losses(fit, (images, labels), folds=5, repeats=1, seed=900)["held_out_loss"]
    print(f"held-out loss of one network a sample with that of {MANY}: rho {spearman(spread, out['held_out']):.2f}")


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
