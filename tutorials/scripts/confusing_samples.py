"""What do scores of confusion find? Fashion-MNIST with 10 % wrong labels, three seeds trained until they fit them all.

    python -m tutorials.scripts.confusing_samples [--out outputs] [--images 3000] [--seeds 3]

Prints, for every score: how well it finds the wrong labels (AUC), and what it knows of them beyond loss, margin, active
players and ink (partial rank correlation), under a zero and under a mean baseline; what it adds to loss, margin and
activity; and how far the seeds agree on their confusing samples. Writes the report as one page and two figures. Ten
minutes on two cores. Any pair of tensors (inputs, labels) takes the place of Fashion-MNIST: for CIFAR-10,

    data = torchvision.datasets.CIFAR10("data", download=True, transform=torchvision.transforms.ToTensor())
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor import ConfusingReport, ConfusingSampleAnalyzer
from captum_andor._utils.statistics import auc, partial_spearman
from tutorials.datasets.fashion import fashion_mnist
from tutorials.datasets.mnist import accuracy

WRONG_SHARE, EARLY_EPOCHS, EPOCHS, SLOW_EPOCHS = 0.1, 5, 70, 15
SPLIT_SCORES = ("offset", "mean_order", "cancellation")
V_SCORES = ("net_order", "flip_rate", "masked_margin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the page and the figures")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    images, true_labels = fashion_mnist(train=True)
    images, true_labels = smaller(images[: options.images]), true_labels[: options.images]
    test_images, test_labels = fashion_mnist(train=False)
    labels, wrong = with_wrong_labels(true_labels)

    analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], scores=(*V_SCORES, *SPLIT_SCORES))
    early_losses = []
    for seed in range(options.seeds):
        model, early_loss = train(images, labels, seed)
        early_losses.append(early_loss)
        fits, test = accuracy(model, images, labels), accuracy(model, smaller(test_images), test_labels)
        print(f"seed {seed}: fits {fits:.1%} of the labels, test accuracy {test:.1%}")
        analyzer.add_model(f"seed {seed}", model)
    print(f"trained in {time.perf_counter() - start:.0f} s")

    start = time.perf_counter()
    report = analyzer.evaluate((images, labels), show_progress=True)
    print(
        f"evaluated in {time.perf_counter() - start:.0f} s: {len(images)} images, {options.seeds} seeds, 2 baselines\n"
    )
    print_what_finds_wrong_labels(report, wrong, early_losses)
    print_what_scores_add(report, wrong, early_losses)
    if options.seeds > 1:
        print_agreement(report)

    first = report.rank("seed 0").iloc[0]
    print(f"Look at first, seed 0: #{first['sample']}: {first.reasons}\n")
    report.plot_gallery("seed 0", use_pyplot=False)[0].savefig(options.out / "confusing_gallery.png", dpi=90)
    report.plot_order_profile("seed 0", use_pyplot=False)[0].savefig(options.out / "confusing_orders.png", dpi=110)
    report.to_html(options.out / "confusing.html", title="Fashion-MNIST, 10 % wrong labels: confusing samples")
    print(f"saved {options.out / 'confusing.html'} and two figures")


def smaller(images: Tensor) -> Tensor:
    """Means of 2 x 2 pixels: 14 x 14."""
    return nn.functional.avg_pool2d(images, 2)


def with_wrong_labels(labels: Tensor) -> tuple[Tensor, np.ndarray]:
    """The labels, a tenth of them replaced by another class at random; and which."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(labels), generator=generator)[: round(WRONG_SHARE * len(labels))]
    shift = torch.randint(1, 10, (len(chosen),), generator=generator)
    changed = labels.clone()
    changed[chosen] = (labels[chosen] + shift) % 10
    return changed, (changed != labels).numpy()


def small_network() -> nn.Sequential:
    """Two convolutions and two linear layers for 14 x 14 images, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip


def train(images: Tensor, labels: Tensor, seed: int) -> tuple[nn.Module, np.ndarray]:
    """A small CNN trained until it fits the wrong labels, too; its loss after five epochs."""
    torch.manual_seed(seed)
    model = small_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [EPOCHS - SLOW_EPOCHS])
    early_loss = np.zeros(len(images))
    for epoch in range(1, EPOCHS + 1):
        for rows in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch == EARLY_EPOCHS:
            with torch.no_grad():
                early_loss = nn.functional.cross_entropy(model(images), labels, reduction="none").numpy()
        schedule.step()
    return model.eval(), early_loss


def print_what_finds_wrong_labels(report: ConfusingReport, wrong: np.ndarray, early_losses: list[np.ndarray]) -> None:
    """AUC and partial rank correlation for wrong labels, means over seeds, by baseline."""
    print("Finding wrong labels: AUC, and partial ρ given loss, margin, active players and ink; means over seeds")
    print(f"{'':26}{'zero baseline':>17}{'mean baseline':>17}{'ranks summed':>17}")
    scores = report.scores
    per_view = report.view_scores

    def line(name: str, columns: list[list[np.ndarray]]) -> None:
        cells = []
        for by_seed in columns:
            found = [
                (auc(c, wrong), partial_spearman(c, wrong, controls(scores, m)))
                for c, m in zip(by_seed, report.models, strict=True)
            ]
            area, partial = np.mean(found, axis=0)
            cells.append(f"{area:>9.2f} / {partial:5.2f}")
        print(f"{name:26}" + "".join(cells))

    def column(model: str, score: str, baseline: int) -> np.ndarray:
        rows = per_view[(per_view.model == model) & (per_view.baseline == baseline)]
        return rows[score].to_numpy()

    def suspicion(model: str, score: str) -> np.ndarray:
        return -report.rank(model, score).set_index("sample")["rank"].sort_index().to_numpy()

    for score in (*V_SCORES, *SPLIT_SCORES):
        by_baseline = [[column(m, score, b) for m in report.models] for b in (0, 1)]
        line(score, [*by_baseline, [suspicion(m, score) for m in report.models]])
    loss = [np.mean([auc(scores[scores.model == m].loss, wrong) for m in report.models])]
    early = [
        (auc(c, wrong), partial_spearman(c, wrong, controls(scores, m)))
        for c, m in zip(early_losses, report.models, strict=True)
    ]
    print(f"{'loss at the end':26}{loss[0]:9.2f}")
    print(
        f"{f'loss after {EARLY_EPOCHS} epochs':26}{np.mean(early, axis=0)[0]:9.2f} / {np.mean(early, axis=0)[1]:5.2f}\n"
    )


def controls(scores: object, model: str) -> list[np.ndarray]:
    """What partial correlations hold fixed."""
    rows = scores[scores.model == model]  # type: ignore[index]
    return [rows[name].to_numpy() for name in ("loss", "margin", "n_active", "ink")]


def print_what_scores_add(report: ConfusingReport, wrong: np.ndarray, early_losses: list[np.ndarray]) -> None:
    """Cross-validated AUC of loss, margin and activity with each score added."""
    table = report.label_noise(wrong, "seed 0", columns={f"loss after {EARLY_EPOCHS} epochs": early_losses[0]})
    print("What each adds to loss, margin and active players (seed 0): cross-validated AUC, 95 % interval of the gain")
    print(f"{'':26}{'AUC':>6}{'P@k':>7}{'base':>7}{'with':>7}{'gain':>8}")
    for row in table.itertuples():
        gain = "" if np.isnan(row.added) else f"{row.added:+8.3f} [{row.added_low:+.3f}, {row.added_high:+.3f}]"
        with_it = "" if np.isnan(row.added) else f"{row.auc_base:7.3f}{row.auc_with:7.3f}"
        print(f"{row.score:26}{row.auc:6.2f}{row.precision_at_k:7.2f}{with_it}{gain}")
    print()


def print_agreement(report: ConfusingReport) -> None:
    """Overlap of the seeds' confusing sets, beside chance, loss and the same model under the other baseline."""
    print("Agreement of seeds on the top 10 %: IoU (chance .053), means over pairs")
    print(f"{'':26}{'IoU':>6}{'one baseline':>14}{'own, other baseline':>21}{'ρ':>7}{'ρ given loss':>14}")
    for score in (*V_SCORES, *SPLIT_SCORES, "loss"):
        mean = report.overlap(score, n_resamples=1).mean(numeric_only=True)
        print(
            f"{score:26}{mean.iou:6.2f}{mean.iou_one_view:14.2f}{mean.ceiling_baseline:21.2f}{mean.spearman:7.2f}"
            f"{mean.spearman_given_loss:14.2f}"
        )
    print()
    groups = report.similarity(by_group=True).groupby("group", sort=False).mean(numeric_only=True)
    print("How alike seeds decide a sample: confusing for either, and the others")
    for name in ("attribution_cosine", "interaction_jaccard", "cross_r2", "own_r2"):
        ceiling = f"{name}_ceiling"
        own = "" if ceiling not in groups else f" (own, other baseline: {groups[ceiling].mean():.2f})"
        print(f"{name:26}{groups[name]['confusing']:6.2f}{groups[name]['ordinary']:7.2f}{own}")
    print()


if __name__ == "__main__":
    main()
