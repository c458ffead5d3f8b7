"""When do samples turn confusing? One training on Fashion-MNIST with 10 % wrong labels, seen at eight checkpoints.

    python -m tutorials.scripts.dynamics [--out outputs]

Prints losses, the gap, the boundary of phases, when the final confusing samples turned so, and how alike the
interactions of train and test samples are; writes two figures. About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.studies import trace_training
from tutorials.datasets.fashion import fashion_mnist
from tutorials.scripts.confusing_samples import small_network, smaller, with_wrong_labels

EPOCHS = (0, 1, 2, 5, 10, 20, 40, 60)
IMAGES, SAMPLES = 3000, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    images, true_labels = fashion_mnist(train=True)
    images, true_labels = smaller(images[:IMAGES]), true_labels[:IMAGES]
    test_images, test_labels = fashion_mnist(train=False)
    labels, wrong = with_wrong_labels(true_labels)

    dynamics = trace_training(
        checkpoints(images, labels),
        (images[:SAMPLES], labels[:SAMPLES]),
        (smaller(test_images[:SAMPLES]), test_labels[:SAMPLES]),
        ConfusingSampleAnalyzer(baselines=[images.mean(0)], scores=("net_order", "masked_margin")),
        show_progress=True,
    )
    print(dynamics)
    confusing = dynamics.samples.query("confusing")
    since = confusing.groupby(["set", "turned"]).size().to_string()
    print(f"\nSince when the final confusing samples have been so\n{since}")
    train = confusing[confusing["set"] == "train"]
    print(f"\nof {len(train)} confusing training samples {int(wrong[train['sample']].sum())} have wrong labels")
    by_order = dynamics.similarity.pivot(index="step", columns="order", values="between").round(2)
    within = dynamics.similarity.pivot(index="step", columns="order", values="within").round(2)
    print(f"\nSimilarity of interactions by order, train and test\n{by_order}\n\nWithin either, the ceiling\n{within}")
    dynamics.plot(use_pyplot=False)[0].savefig(out / "dynamics.png", dpi=100)
    dynamics.plot_similarity(use_pyplot=False)[0].savefig(out / "dynamics_similarity.png", dpi=100)
    print(f"saved two figures in {out}")


def checkpoints(images: Tensor, labels: Tensor) -> dict[int, nn.Module]:
    """A small CNN before training and after some epochs."""
    torch.manual_seed(0)
    model = small_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    found: dict[int, nn.Module] = {0: copy.deepcopy(model).eval()}
    for epoch in range(1, max(EPOCHS) + 1):
        for rows in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch in EPOCHS:
            found[epoch] = copy.deepcopy(model).eval()
    return found


if __name__ == "__main__":
    main()
