"""Two independent witnesses on real data: the claims about codes and about paths between inputs, each as it comes out.

    python -m benchmarks.witnesses [codes attack paths detect report photos]   # default: all; within ten minutes

the small CNN on MNIST; EfficientNet-Lite0 on crops of photos. Where a claim has a direction, the table says whether it
came out. One seed each; tables are printed, nothing is saved but what ``--out`` names.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import torch
from captum.robust import PGD
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.statistics import auc, bootstrap, spearman
from captum_andor.studies import (
    Detection,
    LayerCodes,
    add_witnesses,
    attack_beside_references,
    connect,
    connectivity_score,
    visualize_class,
    witness_agreement,
)
from tutorials.datasets.mnist import grid_mask, mnist, small_cnn, train
from tutorials.datasets.photos import CROPPED, crops, efficientnet_lite0

LAYERS = {"1": "conv 1", "4": "conv 2", "8": "dense", "9": "logits"}
RADIUS = 0.15
warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")  # Captum's, at every step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="which; all without")
    parser.add_argument("--out", type=Path, help="folder for figures")
    options = parser.parse_args()
    parts: dict[str, Callable[..., None]] = {
        "codes": codes,
        "attack": attack,
        "paths": paths,
        "detect": detection,
        "report": report,
        "photos": photos,
    }
    unknown = [part for part in options.parts if part not in parts]
    if unknown:
        parser.error(f"no such part: {unknown}; choose from {list(parts)}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    pd.set_option("display.width", 200, "display.max_columns", 30, "display.float_format", lambda x: f"{x:.3f}")
    images, labels = mnist(train=True)
    model = train(images[:20_000], labels[:20_000])
    for name in options.parts or parts:
        start = time.perf_counter()
        print(f"\n## {name}\n")
        parts[name](model, images, labels, options.out)
        print(f"({time.perf_counter() - start:.0f} s)")


def pgd(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Captum's PGD in the maximum norm."""
    method = PGD(model, nn.CrossEntropyLoss(reduction="none"), lower_bound=0.0, upper_bound=1.0)

    def attack(x: Tensor, y: Tensor) -> Tensor:
        return method.perturb(x, radius=RADIUS, step_size=RADIUS / 8, step_num=20, target=y)

    return attack


def codes(model: nn.Module, images: Tensor, labels: Tensor, out: Path | None) -> None:
    """Diversity and label information over depth, beside an untrained network and shuffled labels."""
    torch.manual_seed(1)
    untrained = small_cnn().eval()
    layers = LayerCodes(model, list(LAYERS))
    data = images[:4000], labels[:4000]
    table = layers.measures(data, untrained=untrained)
    table["layer"] = table["layer"].map(LAYERS)
    print(table.drop(columns=[c for c in table if c.endswith("_train")]).to_string(index=False))
    trained = table[table["network"] == "trained"]
    print("\nClaim: grows with depth (rank correlation with depth; hidden layers and logits)")
    for name in ("bmu_entropy", "effective_units", "cosine_distance", "participation_ratio", "label_vote"):
        values = {network: rows[name].to_numpy() for network, rows in table.groupby("network", sort=False)}
        line = "   ".join(
            f"{n}: {v[0]:.3f} → {v[-1]:.3f}, ρ {spearman(range(len(v)), v):+.1f}" for n, v in values.items()
        )
        print(f"  {name:22}{line}")
    apart = trained["label_vote"].to_numpy() - table[table["network"] == "untrained"]["label_vote"].to_numpy()
    print(f"  label vote, trained less untrained, by layer: {np.round(apart, 3)}")
    if out:
        layers.fit((images[:4000], labels[:4000])).plot_maps(data, use_pyplot=False)[0].savefig(out / "codes_maps.png")
        LayerCodes.plot_measures(table, use_pyplot=False)[0].savefig(out / "codes_measures.png", dpi=90)


def attack(model: nn.Module, images: Tensor, labels: Tensor, out: Path | None) -> None:
    """Do attacks move deep codes and random noise does not; are common codes easier to attack?"""
    layers = LayerCodes(model, list(LAYERS)).fit((images[:4000], labels[:4000]))
    test_images, test_labels = mnist(train=False)
    table = layers.attack((test_images[:1000], test_labels[:1000]), pgd(model))
    table["layer"] = table["layer"].map(LAYERS)
    print(f"PGD, radius {RADIUS}: turns {table.attrs['success']:.0%} of right decisions, noise of equal norm ", end="")
    print(f"{table.attrs['success_noise']:.0%}\n{table.to_string(index=False)}")


def pairs_of_one_class(labels: Tensor, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Indices of pairs of samples of one class, no sample twice."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    first, second = [], []
    for label in range(10):
        rows = order[labels[order] == label][: 2 * (count // 10)]
        first.append(rows[0::2])
        second.append(rows[1::2])
    return torch.cat(first), torch.cat(second)


def row(name: str, table: pd.DataFrame) -> str:
    """Medians and means of a table of paths."""
    share = (table["gap"] <= 0.1).mean()
    return (
        f"{name:44}{table['before'].mean():9.2f}{table['before'].median():9.2f}{table['after'].mean():9.2f}"
        f"{table['after'].median():9.2f}{table['bypasses'].mean():8.1f}{share:9.0%}{table['change'].mean():9.1%}"
    )


def paths(model: nn.Module, images: Tensor, labels: Tensor, out: Path | None) -> None:
    """Barriers of pairs before and after bypasses, with the controls."""
    test_images, test_labels = mnist(train=False)
    x, y = test_images[:2000], test_labels[:2000]
    right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    a, b = pairs_of_one_class(y, 60)
    ends, classes = (x[a], x[b]), y[a]
    attacked = pgd(model)(x, y)
    taken_for = model(attacked).argmax(1)
    fooled = (taken_for != y).nonzero()[:, 0][:60]
    same = torch.stack([((y == taken_for[i]) & (torch.arange(len(y)) != i)).nonzero()[0, 0] for i in fooled])
    other = torch.stack([(y != c).nonzero()[7, 0] for c in classes])
    offset = torch.randn(ends[0].shape, generator=torch.Generator().manual_seed(0))
    offset = offset * ((ends[1] - ends[0]).flatten(1).norm(dim=1) / offset.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    settings = {"steps": 200, "lr": 0.02, "max_depth": 2, "n_points": 41}
    head = ("line, mean", "median", "path", "median", "byp.", "gap≤.1", "change")
    print(f"{'pairs (loss of the class of a, nats)':44}" + "".join(f"{h:>9}" for h in head))
    real = connect(model, *ends, classes, **settings)
    print(row("real–real, one class", real.to_dataframe()))
    adversarial = connect(model, attacked[fooled], x[same], taken_for[fooled], **settings)
    print(row("adversarial–real of the class it is taken for", adversarial.to_dataframe()))
    print(row("real–real, different classes", connect(model, x[a], x[other], classes, **settings).to_dataframe()))
    print(
        row("real–random offset of equal norm", connect(model, x[a], x[a] + offset, classes, **settings).to_dataframe())
    )
    torch.manual_seed(1)
    untrained = small_cnn().eval()
    start = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    found = visualize_class(untrained, start, 3, steps=400, lr=0.2)
    print(
        row(
            "untrained network, inputs made for a class",
            connect(untrained, found[:20], found[20:], 3, **settings).to_dataframe(),
        )
    )
    heights = np.concatenate([real.straight.maximum, adversarial.straight.maximum])
    members = np.arange(len(heights)) >= len(a)
    low, high = bootstrap(lambda r: auc(heights[r], members[r]), len(heights), 1000, 0)
    print(
        f"adversarial against real pairs by the line's maximum: AUC {auc(heights, members):.2f} [{low:.2f}, {high:.2f}]"
    )
    if out:
        real.plot_strip(int(real.straight.gap.argmax()), use_pyplot=False)[0].savefig(out / "paths_strip.png", dpi=90)
        real.plot(int(real.straight.gap.argmax()), use_pyplot=False)[0].savefig(out / "paths_curve.png", dpi=90)


def detection(model: nn.Module, images: Tensor, labels: Tensor, out: Path | None) -> None:
    """Adversarial inputs by their barrier, and by loss alone; and the attack that lowers the barrier, too."""
    references = images[20_000:24_000], labels[20_000:24_000]
    x, y = (part[:300] for part in mnist(train=False))
    right = model(x).argmax(1) == y
    x, y = x[right][:200], y[right][:200]
    target = (y + 1 + torch.arange(len(y)) % 9) % 10
    losses = nn.functional.cross_entropy(model(references[0]), references[1], reduction="none").detach()
    best = torch.stack([torch.where(references[1] == t, losses, torch.inf).argmin() for t in target])
    print(f"targeted attacks, radius {RADIUS} and {2 * RADIUS}; AUC against 200 clean digits [95 % interval]")
    print(f"{'attack':34}{'success':>9}{'AUC barrier':>24}{'AUC gap':>24}{'AUC loss':>24}")
    settings = {"references": references, "labels": "predicted", "n_references": 3, "n_points": 25}
    clean = connectivity_score(model, x, **settings)
    for radius in (RADIUS, 2 * RADIUS):
        for name, weight in (("plain", 0.0), ("lowers the barrier, weight 1", 1.0), ("weight 10", 10.0)):
            found = attack_beside_references(model, x, target, references[0][best], radius, weight=weight)
            success = model(found).argmax(1) == target
            suspect = connectivity_score(model, found[success], **settings)
            cells = []
            for column in ("barrier", "gap", "loss"):
                detected = Detection(clean[column].to_numpy(), suspect[column].to_numpy())
                low, high = detected.interval(300)
                cells.append(f"{detected.auc:.2f} [{low:.2f}, {high:.2f}]")
            print(
                f"{name + f', {radius}':34}{float(success.double().mean()):9.0%}" + "".join(f"{c:>24}" for c in cells)
            )
            if out and name == "plain":
                detected = Detection(clean["barrier"].to_numpy(), suspect["barrier"].to_numpy())
                detected.plot(use_pyplot=False)[0].savefig(out / f"roc_{radius}.png", dpi=90)


def report(model: nn.Module, images: Tensor, labels: Tensor, out: Path | None) -> None:
    """Do the witnesses agree with the scores of confusion, beyond loss and margin?"""
    x, y = images[:600], labels[:600]
    analyzer = ConfusingSampleAnalyzer(baselines=[0, images[:2000].mean(0)], feature_mask=grid_mask(3, 3), scores="all")
    torch.manual_seed(0)
    found = add_witnesses(analyzer.add_model("net", model).evaluate((x, y)))
    table = witness_agreement(found)
    print(table.drop(columns="model").to_string(index=False))
    wrong = labels[:600].clone()
    chosen = torch.randperm(600, generator=torch.Generator().manual_seed(0))[:60]
    wrong[chosen] = (wrong[chosen] + 1 + torch.arange(60) % 9) % 10
    marked = np.isin(np.arange(600), chosen.numpy())
    barriers = connectivity_score(model, (x, wrong), (x, wrong), n_references=3, n_points=25)
    print(
        f"\nTold apart: 60 wrong labels that the network has not seen. AUC barrier {auc(barriers['barrier'], marked):.3f}, ",
        end="",
    )
    print(f"loss {auc(barriers['loss'], marked):.3f}")


def photos(model: nn.Module, images: Tensor, labels: Tensor, out: Path | None) -> None:
    """EfficientNet-Lite0 on random crops of eight photos; the label of a crop is its photo."""
    x, y = crops(60)
    network = efficientnet_lite0()
    blocks = [f"_blocks.{i}" for i in (0, 2, 5, 9, 15)]
    torch.manual_seed(0)
    from efficientnet_lite_pytorch import EfficientNet

    untrained = EfficientNet.from_name("efficientnet-lite0").eval()
    table = LayerCodes(network, [*blocks, "_fc"], grid=(10, 10), batch_size=32).measures((x, y), untrained=untrained)
    print(table.drop(columns=[c for c in table if c.endswith("_train")]).to_string(index=False))
    with torch.no_grad():
        predicted = torch.cat([network(part).argmax(1) for part in x.split(32)])
    first, second = [], []
    for photo in range(len(CROPPED)):
        rows = (y == photo).nonzero()[:, 0]
        top = int(predicted[rows].mode().values)
        rows = rows[predicted[rows] == top][:4]
        first += rows[0 : len(rows) // 2 * 2 : 2].tolist()
        second += rows[1 : len(rows) // 2 * 2 : 2].tolist()
    settings = {"steps": 60, "lr": 0.02, "max_depth": 1, "n_points": 21, "batch_size": 32}
    found = connect(network, x[first], x[second], predicted[first], **settings)
    print(
        f"\n{len(first)} pairs of crops of one photo that the network takes for one class\n{found.to_dataframe().mean().to_string()}"
    )
    if out:
        found.plot_strip(0, use_pyplot=False)[0].savefig(out / "photo_strip.png", dpi=90)


if __name__ == "__main__":
    main()
