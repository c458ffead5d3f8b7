"""Do low layers decide which samples confuse a network? The layer-swap study on real data.

    python -m benchmarks.layer_swap [setting ...] [--size small|large] [--pairs 6] [--samples 250] [--device cpu]

Settings: {settings}. ``small`` is for two cores (hours a setting: see the table of sizes in the docs), ``large`` is the
decisive experiment for a GPU: 30 pairs, 1 000 samples, two grids x two baselines, every boundary, trainable and frozen.
A study that was stopped goes on where it was; ``torchrun --nproc-per-node 2 -m benchmarks.layer_swap …`` shares it.
Writes tables as CSV, verdicts as text and two figures a setting.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer, LayerSwapStudy
from captum_andor.games.masks import image_grid
from captum_andor.study.surgery import criticality
from tutorials.datasets.cifar10 import cifar10
from tutorials.datasets.fashion import fashion_mnist
from tutorials.datasets.mnist import mnist


@dataclass(frozen=True)
class Setting:
    """One study."""

    dataset: str = "fashion"
    network: str = "six"  # "six": six convolutions and global pooling; "dense": the same with a dense head; "resnet"
    norm: bool = True
    other: bool = False  # also the low part under another upper architecture
    wrong_labels: float = 0.0
    variants: tuple[str, ...] = ("trainable",)
    images: int = 2000
    samples: int = 250
    pairs: int = 6
    grids: int = 1
    train_loss: float = 0.05  # mean loss of the training images in evaluation mode at which training stops
    max_epochs: int = 120

    every_boundary: bool = False

    @property
    def layers(self) -> tuple[str, ...]:
        """Where to cut; not every boundary leaves out those with less than a tenth of the parameters on one side."""
        if self.network == "resnet":
            return ("stage1", "stage2", "stage3", "head") if self.every_boundary else ("stage2", "stage3")
        return ("block2", "block3", "block4", "block5", "block6")[0 if self.every_boundary else 1 :]


SETTINGS = {
    "plain": Setting(other=True),
    "frozen": Setting(variants=("frozen",)),
    "dense": Setting(network="dense"),
    "no-norm": Setting(norm=False),
    "noisy": Setting(wrong_labels=0.1),
    "mnist": Setting(dataset="mnist"),
    "resnet": Setting(dataset="cifar10", network="resnet", images=1000, samples=100, pairs=3),
}
EARLY_EPOCHS = 3
NUMBER = r"[+-]\d\.\d\d"
LARGE = {
    "images": 3000,
    "pairs": 30,
    "samples": 1000,
    "grids": 2,
    "every_boundary": True,
    "variants": ("trainable", "frozen"),
}


def main() -> None:
    description = (__doc__ or "").format(settings=", ".join(SETTINGS))
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="setting", help="which; all without")
    parser.add_argument("--size", choices=["small", "large"], default="small")
    parser.add_argument("--pairs", type=int, help="instead of the size's")
    parser.add_argument("--samples", type=int, help="instead of the size's")
    parser.add_argument("--out", type=Path, default=Path("outputs/layer_swap"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of each process")
    parser.add_argument("--report", type=Path, help="only print the tables of the results in this folder")
    options = parser.parse_args()
    if options.report:
        report(options.report)
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    unknown = [name for name in options.settings if name not in SETTINGS]
    if unknown:
        parser.error(f"no such setting: {unknown}; choose from {list(SETTINGS)}")
    for name in options.settings or SETTINGS:
        setting = SETTINGS[name]
        if options.size == "large":
            setting = replace(setting, **LARGE)
        if options.pairs:
            setting = replace(setting, pairs=options.pairs)
        if options.samples:
            setting = replace(setting, samples=options.samples)
        run(name, setting, options.out / options.size / name, options.device)


def run(name: str, setting: Setting, folder: Path, device: str) -> None:
    """Train, evaluate, print and write one study."""
    start = time.perf_counter()
    images, labels, test_images, test_labels = data(setting)
    mean = images.mean(0)
    height, width = images.shape[2:]
    grids = [image_grid(height, width, 3, 3, offset=(i, i)) for i in range(setting.grids)]
    analyzer = ConfusingSampleAnalyzer(
        baselines=[0, mean],
        feature_mask=grids,
        scores=("net_order", "flip_rate", "masked_margin", "offset", "mean_order", "cancellation"),
    )
    kept = {key: value for key, value in asdict(setting).items() if key not in ("pairs", "variants")}
    study = LayerSwapStudy(
        maker(setting, images.shape[1], device),
        trainer(setting, images, labels, device),
        setting.layers,
        folder,
        n_pairs=setting.pairs,
        variants=setting.variants,
        make_other=maker(setting, images.shape[1], device, other=True) if setting.other else None,
        settings=kept,
    )
    samples = (images[: setting.samples], labels[: setting.samples])
    result = study.run(samples, analyzer, (test_images, test_labels), show_progress=sys.stderr.isatty())
    print(f"## {name}: {setting}\n{(time.perf_counter() - start) / 60:.0f} minutes\n")
    print(result)
    print(
        f"\nAccuracy after rewinding each part to its initialisation\n{critical(setting, study, samples, images, device)}\n"
    )
    result.save(folder / "results")
    result.plot_agreement(use_pyplot=False)[0].savefig(folder / "results" / "agreement.png", dpi=110)
    result.plot_contrasts(use_pyplot=False)[0].savefig(folder / "results" / "contrasts.png", dpi=110)
    print(f"saved {folder / 'results'}\n", flush=True)


def data(setting: Setting) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and their labels, some of them wrong where asked; test images and labels."""
    load = {"fashion": fashion_mnist, "mnist": mnist, "cifar10": cifar10}[setting.dataset]
    images, true_labels = load(train=True)
    images, true_labels = images[: setting.images], true_labels[: setting.images]
    test_images, test_labels = load(train=False)
    test_images, test_labels = test_images[:2000], test_labels[:2000]
    if setting.dataset != "cifar10":
        images, test_images = (nn.functional.avg_pool2d(x, 2) for x in (images, test_images))
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(len(images), generator=generator) < setting.wrong_labels
    shift = torch.randint(1, 10, (len(images),), generator=generator)
    labels = torch.where(wrong, (true_labels + shift) % 10, true_labels)
    return images, labels, test_images, test_labels


def maker(setting: Setting, channels: int, device: str, other: bool = False) -> Callable[[int], nn.Module]:
    """Makes networks; the other architecture is a third wider from the fourth block or the third stage on."""

    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        if setting.network == "resnet":
            return small_resnet(channels, (16, 32, 48 if other else 64)).to(device)
        wide = 44 if other else 32
        widths = (16, 16, 32, wide, wide, wide)
        return six_convolutions(channels, widths, setting.norm, setting.network == "dense").to(device)

    return make


def six_convolutions(channels: int, widths: tuple[int, ...], norm: bool, dense: bool) -> nn.Sequential:
    """Six blocks of 3 x 3 convolutions, pooled after the second and the fourth, and a head."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before = channels
    for number, width in enumerate(widths, 1):
        layers: list[nn.Module] = [nn.Conv2d(before, width, 3, padding=1)]
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers += [nn.ReLU()] + ([nn.MaxPool2d(2)] if number in (2, 4) else [])
        parts[f"block{number}"] = nn.Sequential(*layers)
        before = width
    if dense:
        head: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(9 * before, 256), nn.ReLU(), nn.Linear(256, 10))
    else:
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))
    parts["head"] = head
    return nn.Sequential(parts)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = (
            nn.Conv2d(before, width, 1, stride, bias=False) if (before, stride) != (width, 1) else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


def small_resnet(channels: int, widths: tuple[int, int, int]) -> nn.Sequential:
    """ResNet-8: a stem, three residual blocks, a head."""
    first, second, third = widths
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(channels, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()),
            stage1=Residual(first, first, 1),
            stage2=Residual(first, second, 2),
            stage3=Residual(second, third, 2),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(third, 10)),
        )
    )


def trainer(
    setting: Setting, images: Tensor, labels: Tensor, device: str
) -> Callable[..., tuple[nn.Module, dict[str, np.ndarray]]]:
    """Adam at a falling rate until the training loss is reached; early loss as a column."""
    images, labels = images.to(device), labels.to(device)

    def train(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> tuple[nn.Module, dict[str, np.ndarray]]:
        generator = torch.Generator().manual_seed(seed_order)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
        slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
        early = None
        for half in range(2 * setting.max_epochs):  # half epochs, so that training stops near the loss
            if half % 2 == 0:
                batches = torch.randperm(len(images), generator=generator).split(64)
            model.train()
            for rows in batches[half % 2 :: 2]:
                loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses = losses_of(model, images, labels)
            if half == 2 * EARLY_EPOCHS - 1:
                early = losses[: setting.samples].double().cpu().numpy()
            if early is not None and losses.mean() <= setting.train_loss:
                break
            if half % 2:
                slower.step()
        return model, {"early_loss": early}

    return train


@torch.no_grad()
def losses_of(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Loss of every image, in evaluation mode."""
    model.eval()
    parts = zip(images.split(500), labels.split(500), strict=True)
    return torch.cat([nn.functional.cross_entropy(model(x), y, reduction="none") for x, y in parts])


def critical(
    setting: Setting, study: LayerSwapStudy, samples: tuple[Tensor, Tensor], images: Tensor, device: str
) -> str:
    """Accuracy of the first network after each of its parts alone is rewound, and after all below each boundary."""
    from captum_andor.study.surgery import split_at

    make = maker(setting, images.shape[1], device)
    model, initial = study.network(study.networks[0]), make(0)
    parts = {f"below {layer}": split_at(model, layer).low for layer in setting.layers}
    parts |= {f"from {layer}": split_at(model, layer).high for layer in setting.layers}
    loader = [(samples[0].to(device), samples[1].to(device))]
    return criticality(model, initial, loader, parts).to_string(index=False, float_format=lambda x: f"{x:.3f}")


def report(out: Path) -> None:
    """Print what all settings found and write it as the tables of the docs: verdicts, cuts, reliability."""
    folders = [out / name for name in SETTINGS if (out / name / "contrasts.csv").exists()]
    for name, of_setting in (("verdicts", verdict_rows), ("cuts", cut_rows), ("reliability", reliability_rows)):
        table = pd.DataFrame([row for folder in folders for row in of_setting(folder)]).fillna("")
        table.to_csv(out / f"{name}.csv", index=False)
        print(f"{name}\n{table.to_string(index=False)}\n")


def verdict_rows(folder: Path) -> list[dict[str, str]]:
    """Same low less same high at equal shares of parameters: a row for each score or column."""
    table = pd.read_csv(folder / "contrasts.csv").query("compared == 'equal shares of parameters'")
    verdicts = (folder / "verdicts.txt").read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, str]] = []
    refused = table["note"].astype(str).str.startswith("not compared")
    if refused.all():
        return [{"setting": folder.name, "score": "all", "verdict": "Not compared: a gap of more than .3"}]
    for score in dict.fromkeys(table["score"]):
        by = table[table["score"] == score].set_index("measure")
        said = next((line for line in verdicts if f"by {score}," in line), "")
        judging = re.search(rf"{NUMBER} \[{NUMBER}, {NUMBER}\]", said)  # of the confidence that judges the score
        rows.append(
            {
                "setting": folder.name,
                "score": score,
                "given what all share": interval(by.loc["given_shared"]),
                "of all scores": judging[0] if judging else "–",
                "and given loss": interval(by.loc["given_loss"]),
                "verdict": said.split(":")[0],
            }
        )
    return rows


def cut_rows(folder: Path) -> list[dict[str, str]]:
    """Agreement by the primary score beyond what all networks share, cut by cut."""
    contrasts = pd.read_csv(folder / "contrasts.csv").query("measure == 'given_shared'")
    cells = pd.read_csv(folder / "cells.csv")
    primary = cells["score"].iloc[0]
    cells = cells[(cells["score"] == primary) & ~cells["other"]].set_index(["part", "layer"])
    found = contrasts[contrasts["score"] == primary].set_index("compared")
    rows = [
        {
            "setting": folder.name,
            "compared": compared,
            "parameters below": f"{cells.loc[('low', layer), 'parameters']:.2f}" if layer else "",
            "same low": f"{cells.loc[('low', layer), 'given_shared']:+.2f}" if layer else "",
            "same high": f"{cells.loc[('high', layer), 'given_shared']:+.2f}" if layer else "",
            "low − high": interval(row),
        }
        for compared, row in found.iterrows()
        for layer in [str(compared).removeprefix("cut at ") if str(compared).startswith("cut at ") else None]
    ]
    for part, name in (("none", "both new"), ("all", "other data order alone")):
        cell = cells[cells.index.get_level_values("part") == part].iloc[0]
        value = f"{cell['given_shared']:+.2f} [{cell['given_shared_low']:+.2f}, {cell['given_shared_high']:+.2f}]"
        rows.append({"setting": folder.name, "compared": f"{name}: {value}"})
    return [{key: row.get(key, "") for key in rows[0]} for row in rows]


def reliability_rows(folder: Path) -> list[dict[str, str]]:
    """How far each score, and its part beyond what all networks share, repeats under the other baseline."""
    table = pd.read_csv(folder / "ceilings.csv")
    names = {
        "reliability": "reliability",
        "reliability_given_shared": "beyond what all share",
        "own_iou": "own tenth, IoU",
    }
    return [
        {"setting": folder.name, "score": row["score"], **{name: f"{row[key]:.2f}" for key, name in names.items()}}
        for _, row in table.iterrows()
    ]


def interval(row: pd.Series) -> str:
    """A difference with its interval."""
    if np.isnan(row["difference"]):
        return "not compared" if str(row["note"]).startswith("not compared") else "–"
    return f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"


if __name__ == "__main__":
    main()
