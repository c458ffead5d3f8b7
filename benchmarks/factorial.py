"""What share of what differs between networks do their low layers decide? The factorial study on Fashion-MNIST.

    python -m benchmarks.factorial mlp mlp-noisy            # a quarter of an hour each on two cores, with torchrun
    python -m benchmarks.factorial plain                    # hours; goes on where it was
    python -m benchmarks.factorial --report benchmarks/results/factorial
    python -m benchmarks.factorial --masks                  # 47 masks against all 512: equal scores, time
    python -m benchmarks.factorial --coverage > benchmarks/results/factorial/coverage.csv   # simulated worlds, minutes
    python -m benchmarks.factorial --copies > benchmarks/results/factorial/coverage_copies.csv   # of instability()

Settings: {settings}. Networks are trained to an equal loss of the training images. Named before any run: the primary score is
{primary}, the primary contrast that of the low share less the low share of the margin. ``torchrun --nproc-per-node 2 -m
benchmarks.factorial …`` shares a study. Writes every per-network table (``tables.npz``, ``FactorialResult.load``), shares,
contrasts and the verdict as CSV and text, and a figure.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import itertools
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from benchmarks.factorial_settings import Setting, data, losses_of, six_convolutions, small_resnet
from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialResult, FactorialStudy
from captum_andor.studies.factorial.grids import DEFAULT_GRIDS
from captum_andor.studies.factorial.instability import share_of_instability
from captum_andor.studies.factorial.variance_shares import (
    CellProducts,
    Instability,
    grouped_products,
    shares_of,
    standardised,
)

PRIMARY = "net_order"
SCORES = (PRIMARY, "flip_rate", "masked_margin")
MLP = Setting(network="mlp", samples=200, train_loss=0.1, max_epochs=150)
CONVOLUTIONS = Setting()
SETTINGS = {
    "mlp": MLP,
    "mlp-noisy": replace(MLP, wrong_labels=0.1, train_loss=0.15),
    "plain": CONVOLUTIONS,
    "plain-noisy": replace(CONVOLUTIONS, wrong_labels=0.1, train_loss=0.1),
    "resnet": replace(CONVOLUTIONS, network="resnet"),
    "resnet-noisy": replace(CONVOLUTIONS, network="resnet", wrong_labels=0.1, train_loss=0.1),
}
RESNET_WIDTHS = (8, 16, 32)
CORRECTED = 1 - 0.05 / 18  # for six cuts and three scores
NEAR = 2.5  # times the loss to reach: that of batches in training mode at which all images are looked at


def maker_of(setting: Setting, channels: int) -> Callable[[int], nn.Module]:
    """Makes networks: four dense layers, six convolutions, or a ResNet-8."""
    if setting.network != "mlp":
        return convolutions_of(setting, channels)

    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        sizes = (196, 64, 64, 64, 10)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(4):
            dense = [nn.Linear(sizes[i], sizes[i + 1])]
            parts[f"layer{i + 1}"] = nn.Sequential(
                *([nn.Flatten()] if i == 0 else []), *dense, *([nn.ReLU()] if i < 3 else [])
            )
        return nn.Sequential(parts)

    return make


def convolutions_of(setting: Setting, channels: int) -> Callable[[int], nn.Module]:
    """Makes convolutional networks in channels-last memory, the faster one on CPUs."""

    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = small_resnet(channels, RESNET_WIDTHS) if setting.network == "resnet" else six_convolutions(channels)
        return model.to(memory_format=torch.channels_last)

    return make


def trainer_of(setting: Setting, images: torch.Tensor, labels: torch.Tensor) -> Callable[..., nn.Module]:
    """Trains to the loss of the setting: dense networks at a constant rate, the others at a falling one."""
    if setting.network != "mlp":
        return convolution_trainer(setting, images, labels)

    def train(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> nn.Module:
        generator = torch.Generator().manual_seed(seed_order)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        for _ in range(setting.max_epochs):
            for rows in torch.randperm(len(images), generator=generator).split(50):
                loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                if nn.functional.cross_entropy(model(images), labels) <= setting.train_loss:
                    break
        return model

    return train


def convolution_trainer(setting: Setting, images: torch.Tensor, labels: torch.Tensor) -> Callable[..., nn.Module]:
    """Adam at a falling rate; the loss of all images is looked at every half epoch once that of the batches is near."""
    images = images.contiguous(memory_format=torch.channels_last)

    def train(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> nn.Module:
        generator = torch.Generator().manual_seed(seed_order)
        optimizer = torch.optim.Adam(model.parameters(), lr=4e-3, fused=True)
        for half in range(2 * setting.max_epochs):
            if half % 2 == 0:
                batches = torch.randperm(len(images), generator=generator).split(64)
            model.train()
            losses = []
            for rows in batches[half % 2 :: 2]:
                loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            near = np.mean(losses) <= NEAR * setting.train_loss
            if near and losses_of(model, images, labels).mean() <= setting.train_loss:
                break
            if half % 2:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.95
        return model

    return train


def folded(model: nn.Module) -> nn.Module:
    """The same function with batch normalisation folded into the convolutions."""
    return fuse(model).to(memory_format=torch.channels_last).eval()


def study_of(name: str, setting: Setting, levels: int, out: Path, is_crossed: bool) -> FactorialStudy:
    """The study of a setting, its networks in a folder."""
    images, labels, *_ = data(setting)
    return FactorialStudy(
        maker_of(setting, images.shape[1]),
        trainer_of(setting, images, labels),
        setting.layers,
        out / (f"{name}-crossed" if is_crossed else name),
        levels=levels,
        grids=["trained both"] if is_crossed else DEFAULT_GRIDS,
        settings={**asdict(setting), "primary": PRIMARY},
    )


def run(name: str, setting: Setting, levels: int, out: Path, is_crossed: bool = False) -> None:
    start = time.perf_counter()
    torch.set_num_threads(1)
    images, labels, test_images, test_labels = data(setting)
    analyzer = ConfusingSampleAnalyzer(
        baselines=[0, images.mean(0)],
        feature_mask=image_grid(*images.shape[2:], 3, 3),
        scores=SCORES,
        primary=PRIMARY,
    )
    study = study_of(name, setting, levels, out, is_crossed)
    trained, held_out = (
        study.run(
            (inputs[: setting.samples], own[: setting.samples]), analyzer, (test_images, test_labels),
            show_progress=sys.stderr.isatty(), evaluated_as=None if setting.network == "mlp" else folded,
        )
        for inputs, own in ((images, labels), (test_images, test_labels))
    )  # fmt: skip
    if os.environ.get("RANK", "0") == "0":
        folder = study.folder / "results"
        (write_crossed if is_crossed else write)(trained, folder)
        small(held_out).save(folder / "held_out.npz")
        minutes = (time.perf_counter() - start) / 60
        print(f"## {name}: {setting}, {levels} levels, {len(study.networks)} networks, {minutes:.0f} minutes")
        if not is_crossed:
            print(trained.verdict())


def small(result: FactorialResult) -> FactorialResult:
    """The result with ranks of the primary score and the margin alone, and mean products of all others."""
    kept = [
        name for name in (*result.scores, "loss", "values") if name != PRIMARY and name not in result._as_products()
    ]
    return result.in_products(*kept).in_ranks()


def of_sets(result: FactorialResult) -> pd.DataFrame:
    """Shares of what differs between top tenths, by score."""
    sets = result.in_sets()
    tables = [sets.shares(score).assign(score=score) for score in (*result.scores, "margin")]
    return pd.concat(tables).round(4)


def write(result: FactorialResult, folder: Path) -> None:
    """Tables, figure and verdicts."""
    folder.mkdir(parents=True, exist_ok=True)
    small(result).save(folder / "tables.npz")
    names = [*result.scores, "margin", "loss", "values"]
    for kind, table in (("shares", result.shares), ("low_less_high", result.low_less_high)):
        for score in names:
            table(score).round(4).to_csv(folder / f"{kind}_{score}.csv", index=False)
    for other in ("margin", "values"):
        result.contrast(other).round(4).to_csv(folder / f"contrast_{PRIMARY}_less_{other}.csv", index=False)
    of_sets(result).to_csv(folder / "shares_sets.csv", index=False)
    result.retest().round(4).to_csv(folder / "retest.csv", index=False)
    result.networks.round(4).to_csv(folder / "networks.csv", index=False)
    result.plot(use_pyplot=False)[0].savefig(folder / "shares.png", dpi=110)
    write_judged(result, folder)


def write_judged(result: FactorialResult, folder: Path) -> None:
    """Shares of what is no instability, and the verdicts that rest on them; from ranks alone."""
    for score in (*result.scores, "margin"):
        result.shares(score, of="stable").round(4).to_csv(folder / f"shares_stable_{score}.csv", index=False)
    result.instability().to_csv(folder / "instability.csv", index=False, float_format="%.4g")
    (folder / "verdicts.txt").write_text("".join(f"{result.verdict(score)}\n" for score in result.scores))


def write_crossed(result: FactorialResult, folder: Path) -> None:
    """Tables of a study of two trained parts, and what is printed of them."""
    folder.mkdir(parents=True, exist_ok=True)
    small(result).save(folder / "tables.npz")
    of_sets(result).to_csv(folder / "shares_sets.csv", index=False)
    result.networks.round(4).to_csv(folder / "networks.csv", index=False)
    print_crossed(result)


def print_crossed(result: FactorialResult) -> None:
    """Shares of trained low and high parts that are trained on together, of all that differs and of what is stable."""
    for score in (PRIMARY, "margin"):
        for of in ("all", "stable"):
            table = result.shares(score, of=of)  # type: ignore[arg-type]
            table["interval"] = [shown(row) for _, row in table.iterrows()]
            wide = table.pivot(index="layer", columns="factor", values="interval")
            print(f"{score}, of {of}\n{wide[['low', 'high', 'order', 'rest']].to_string()}\n")
    low = result.contrast("margin").query("factor == 'low'")
    for words, table in (("low less high", result.low_less_high()), ("low less that of the margin", low)):
        each = (f"{row['layer']} {shown(row)}" for _, row in table.iterrows())
        print(f"{PRIMARY}, {words}: {', '.join(each)}")
    print(result.networks.groupby("kind")[["loss", "test_accuracy", "low_moved", "high_moved"]].mean().round(3), "\n")


def summarise_crossed(folder: Path) -> None:
    """Write ``crossed.csv`` from the tables of studies of two trained parts, and print what they say."""
    rows = []
    for file in sorted(folder.glob("*/tables.npz")):
        result = FactorialResult.load(file)
        print(f"## {file.parent.name}, both parts trained\n")
        print_crossed(result)
        tables = {of: result.shares(of=of).set_index(["layer", "factor"]) for of in ("all", "stable")}  # type: ignore[arg-type]
        for layer in dict.fromkeys(layer for layer, _ in tables["all"].index):
            row = {"network": file.parent.name, "cut": layer}
            for of, words in (("all", "of all"), ("stable", "of what is no instability")):
                row |= {f"{part}, {words}": shown(tables[of].loc[(layer, part)]) for part in ("low", "high")}
            margin = result.shares("margin").set_index(["layer", "factor"])
            row["margin: low"] = shown(margin.loc[(layer, "low")])
            rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "crossed.csv", index=False)


def answer(results: dict[str, FactorialResult], out: Path) -> None:
    """Write ``answer.csv``: for each setting the largest shares of initial and trained low and high parts over cuts."""
    rows = []
    for name, result in results.items():
        unstable = result.instability().iloc[0]
        row = {"network": name, "all that no part decides": shown(unstable)}
        for of, words in (("all", "of all"), ("stable", "of what is no instability")):
            table = result.shares(of=of)
            for grid, part in (
                ("initialisation", "low"), ("initialisation", "high"), ("trained low", "low"), ("trained high", "high"),
            ):  # fmt: skip
                if of == "stable" and grid != "initialisation":
                    continue
                own = table[(table["grid"] == grid) & (table["factor"] == part)]
                best = own.loc[own["share"].idxmax()]
                kind = "initial" if grid == "initialisation" else "trained"
                row[f"{kind} {part}, {words}"] = f"{shown(best)} ({best['layer']})"
        row["initial low layers determine?"] = result.verdict().outcome
        rows.append(row)
    pd.DataFrame(rows).to_csv(out / "answer.csv", index=False)


def bounds(results: dict[str, FactorialResult]) -> str:
    """What holds of all cuts of a setting at once: intervals at 1 - .05 / k for its k cuts of a grid (Bonferroni)."""
    lines = ["all cuts of a grid at once, 95 %: largest upper, and largest lower end"]
    for name, result in results.items():
        found = []
        for grid, part in (("initialisation", "low"), ("trained low", "low"), ("trained high", "high")):
            cuts = sum(own == grid for own, _ in result.cuts)
            table = result.shares(confidence=1 - 0.05 / cuts)
            own = table[(table["grid"] == grid) & (table["factor"] == part)]
            found.append(f"{grid}, {part}: {own['upper'].max():.2f}, {own['lower'].max():+.2f}")
        lines.append(f"{name:<13} {'; '.join(found)}")
    return "\n".join(lines)


def shown(row: pd.Series) -> str:
    text = f"{row['share']:.2f} [{row['lower']:.2f}, {row['upper']:.2f}]"
    return text.replace("-", "−").replace("0.", ".")


def summarise(out: Path) -> None:
    """Write ``summary.csv``, the table of the docs, from the tables of shares of all settings."""
    rows = []
    for name in (name for name in SETTINGS if (out / name / f"shares_{PRIMARY}.csv").exists()):
        tables = {score: pd.read_csv(out / name / f"shares_{score}.csv") for score in (PRIMARY, "margin", "values")}
        keyed = {score: table.set_index(["grid", "layer", "factor"]) for score, table in tables.items()}
        for grid, layer in dict.fromkeys(zip(tables[PRIMARY]["grid"], tables[PRIMARY]["layer"], strict=True)):

            def of_table(score: str, factor: str, cut: tuple[str, str] = (grid, layer)) -> str:
                return shown(keyed[score].loc[(*cut, factor)])  # noqa: B023

            stable = pd.read_csv(out / name / f"shares_stable_{PRIMARY}.csv")
            own = stable[(stable["grid"] == grid) & (stable["layer"] == layer) & (stable["factor"] == "low")]
            of_stable = shown(own.iloc[0]) if len(own) else ""
            row = {"network": name, "grid": grid, "cut": layer}
            row |= {factor: of_table(PRIMARY, factor) for factor in ("low", "high")}
            row |= {"low, of what is no instability": of_stable}
            row |= {"margin: low": of_table("margin", "low"), "v over masks: low": of_table("values", "low")}
            rows.append(row)
    pd.DataFrame(rows).to_csv(out / "summary.csv", index=False)


def report(out: Path) -> None:
    """Print shares, contrasts and verdicts of all settings from the per-network tables, and write their summary."""
    results = {file.parent.name: FactorialResult.load(file) for file in sorted(out.glob("*/tables.npz"))}
    for name, result in results.items():
        write_judged(result, out / name)
    answer(results, out)
    summarise(out)
    summarise_crossed(out.parent / f"{out.name}-crossed")
    for name, result in results.items():
        kept = result.networks.groupby("kind")[["accuracy", "loss", "test_accuracy", "low_moved", "high_moved"]].mean()
        print(f"## {name}\n{result.verdict()}\n")
        for score in (PRIMARY, "margin", "values"):
            kept_shares = out / name / f"shares_{score}.csv"
            table = pd.read_csv(kept_shares) if score == "values" else result.shares(score)
            table["interval"] = [
                f"{s:+.3f} [{a:+.3f}, {b:+.3f}]"
                for s, a, b in table[["share", "lower", "upper"]].itertuples(index=False)
            ]
            wide = table.pivot(index=["grid", "layer"], columns="factor", values="interval")
            print(f"{score}\n{wide[['low', 'high', 'order', 'rest']].to_string()}\n")
        low = result.contrast("margin").query("factor == 'low'")
        print(
            f"low share of {PRIMARY} less that of the margin\n{low.drop(columns='factor').round(3).to_string(index=False)}"
        )
        print(
            f"\ninstability\n{result.instability().to_string(index=False, float_format='{:.3g}'.format)}\n\n{kept.round(3).to_string()}\n"
        )
        print(f"repeats under the other baseline\n{result.retest().round(2).to_string(index=False)}\n")
    if results:
        print(special_to_confusion(list(results.values())))
        print(f"\n{bounds(results)}")


def special_to_confusion(results: list[FactorialResult]) -> str:
    """In how many cuts of the initialisation grid the low share differs from that of the margin, by itself and counted."""

    def low(confidence: float) -> pd.DataFrame:
        tables = [result.contrast("margin", confidence=confidence) for result in results]
        return pd.concat(tables).query("grid == 'initialisation' and factor == 'low'")

    alone = low(0.95)
    counted = low(1 - 0.05 / len(alone))
    apart, still = (int(((t["lower"] > 0) | (t["upper"] < 0)).sum()) for t in (alone, counted))
    return (
        f"initial low parts, share of {PRIMARY} less that of the margin, over {len(alone)} cuts of {len(results)} settings: "
        f"{alone['share'].min():+.3f} to {alone['share'].max():+.3f}, {int((alone['share'] > 0).sum())} positive; {apart} "
        f"intervals leave out 0 at .95, {still} at 1 - .05 / {len(alone)}"
    )


def world(rng: np.random.Generator, levels: int, samples: int, low: float, high: float, order: float, views: int):
    """Scores ``(views, M, M, samples)`` of which the parts decide known shares; with several views each adds noise."""
    basis = rng.normal(size=(30, samples)) / 30**0.5
    k = (np.arange(levels)[:, None] + np.arange(levels)) % levels
    y = 1.2 * rng.normal(size=samples) + np.sqrt(low) * (rng.normal(size=(levels, 1, 30)) @ basis)
    y = y + np.sqrt(high) * (rng.normal(size=(1, levels, 30)) @ basis)
    y = y + np.sqrt(order) * (rng.normal(size=(levels, 30)) @ basis)[k]
    y = y + np.sqrt(1 - low - high - order) * (rng.normal(size=(levels, levels, 30)) @ basis)
    return np.stack([y + 0.5 * rng.normal(size=y.shape) if views > 1 else y for _ in range(views)])


def coverage(worlds: int = 200) -> None:
    """Print as CSV: mean shares, how often intervals hold the true ones, how often low is claimed to exceed high."""
    settings = [
        (levels, 250, 1, False, shares)
        for levels in (6, 8)
        for shares in ((0.0, 0.0, 0.0), (0.05, 0.05, 0.0), (0.1, 0.03, 0.0), (0.2, 0.1, 0.1), (0.5, 0.1, 0.0))
    ]
    settings += [(8, 250, 2, False, (0.1, 0.03, 0.05)), (8, 250, 2, False, (0.5, 0.1, 0.0))]
    settings += [(8, 40, 1, False, (0.1, 0.1, 0.0)), (8, 40, 2, False, (0.5, 0.1, 0.0))]
    settings += [(8, 250, 1, True, (0.1, 0.03, 0.0)), (8, 250, 1, True, (0.5, 0.1, 0.0))]
    rows = []
    for levels, samples, views, ties, shares in settings:
        design = {"levels": levels, "samples": samples, "views": views, "ties": "yes" if ties else "no"}
        drawn = [simulated(seed, levels, samples, views, ties, shares) for seed in range(worlds)]
        mean = {name: f"{x:.3f}" for name, x in pd.DataFrame(drawn).mean().items()}
        rows.append({**design, **dict(zip(("low", "high", "order"), shares, strict=True)), **mean})
    print(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"), end="")


def simulated(
    seed: int, levels: int, samples: int, views: int, ties: bool, shares: tuple[float, float, float]
) -> dict[str, float]:
    """Of one world: estimates, and whether intervals at 95 % and at the corrected confidence hold the truth."""
    rng = np.random.default_rng((seed, levels))
    y, other = (world(rng, levels, samples, *shares, views) for _ in range(2))
    if ties:
        y, other = np.round(2 * y), np.round(2 * other)
    one = shares_of(y, "latin")
    table, strict, (_, lower, upper) = one.table(), one.table(CORRECTED), one.low_less_high()
    apart = one - shares_of(other, "latin")  # of a score with the same shares
    truth = {**dict(zip(("low", "high", "order"), shares, strict=True)), "rest": 1 - sum(shares)}

    def holds(row: pd.Series, value: float) -> float:
        return float(row["lower"] <= value <= row["upper"])

    return {
        **{f"mean {factor}": table.loc[factor, "share"] for factor in ("low", "high", "order")},
        **{f"held: {factor}": holds(table.loc[factor], value) for factor, value in truth.items()},
        "low − high": float(lower <= truth["low"] - truth["high"] <= upper),
        "another score": holds(apart.table().loc["low"], 0.0),
        "claimed": float(lower > 0),
        "corrected: low": holds(strict.loc["low"], truth["low"]),
        "corrected: another score": holds(apart.table(CORRECTED).loc["low"], 0.0),
    }


def coverage_of_copies(worlds: int = 200) -> None:
    """Print as CSV: mean share of what copies differ by, and how often its interval holds the true one."""
    rows = []
    for levels, samples, directions, share, ties in (
        (8, 500, 30, 0.4, False), (8, 500, 5, 0.4, False), (8, 500, 2, 0.4, False), (8, 200, 20, 0.0, False),
        (8, 200, 20, 0.01, False), (8, 200, 20, 0.1, False),
        (8, 200, 20, 0.7, False), (8, 200, 20, 0.4, True), (4, 60, 10, 0.4, False),
    ):  # fmt: skip
        rng, found = np.random.default_rng(levels * samples), []
        for _ in range(worlds):
            scores = world_of_copies(rng, levels, samples, directions, share)
            copies, grid = (standardised(np.round(2 * y) if ties else y, True) for y in scores)
            numbers = np.arange(samples)
            instability = Instability.of(grouped_products(copies, numbers), np.zeros(levels, dtype=int))
            estimate, lower, upper = share_of_instability(instability, CellProducts.of(grid, "latin", numbers))
            found.append({"mean": estimate, "held": lower <= share <= upper})
        design = {"levels": levels, "samples": samples, "directions": directions, "ties": "yes" if ties else "no"}
        mean = {name: f"{x:.3f}" for name, x in pd.DataFrame(found).mean().items()}
        rows.append({**design, "share": share, **mean})
    print(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"), end="")


def world_of_copies(
    rng: np.random.Generator, levels: int, samples: int, directions: int, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of copies and of a grid, two views each: what differs lies in a few directions over the samples."""
    load = rng.normal(size=(directions, samples)) / np.sqrt(directions)

    def luck(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, directions)) @ load

    common = rng.normal(size=samples)
    low, rest = luck(levels) * np.sqrt(0.2), luck(levels, levels) * np.sqrt(0.8)
    copies = low[0] + luck() * np.sqrt(0.8 - share) + luck(levels) * np.sqrt(share)
    return tuple(  # type: ignore[return-value]
        np.stack([common + y + 0.5 * rng.normal(size=y.shape) for _ in range(2)]) for y in (copies, low[:, None] + rest)
    )


def coverage_of_stable(worlds: int = 200) -> None:
    """How often 95 % intervals of shares of what is no instability hold: eight levels, eight copies of one network.

    Copies differ by as much wherever in the grid they start (``alike``), or by a variance of the start's own, drawn
    from a gamma distribution of shape 4, as those of one base cell do not tell (``unlike``).
    """
    print("low,instability,copies,directions,mean share,true,held,supported wrongly")
    for low, unstable, kind, directions in itertools.product(
        (0.0, 0.1, 0.2), (0.3, 0.55), ("alike", "unlike"), (5, 30)
    ):
        true, shares, held, wrong = low / (1 - unstable), [], 0, 0
        for seed in range(worlds):
            rng = np.random.default_rng(seed)
            basis = rng.normal(size=(directions, 200)) / np.sqrt(directions)
            each = lambda *shape: rng.normal(size=(1, *shape, directions)) @ basis  # noqa: B023, E731
            sizes = rng.gamma(4.0, 0.25, size=(1, 9, 9, 1)) if kind == "unlike" else np.ones((1, 9, 9, 1))
            rest = np.sqrt(1 - low - unstable) * each(8, 8) + np.sqrt(unstable * sizes[:, :8, :8]) * each(8, 8)
            copies = np.sqrt(unstable * sizes[:, 8, 8]) * each(8)
            numbers = np.arange(200)
            instability = Instability.of(grouped_products(copies, numbers), np.zeros(8, dtype=int))
            try:
                table = shares_of(
                    np.sqrt(low) * each(8, 1) + rest, "latin", False, of_sample=numbers, instability=instability
                ).table()
            except ValueError:  # copies differ as much as all do: nothing is claimed
                held += 1
                continue
            share, lower, upper = table.loc["low", ["share", "lower", "upper"]]
            shares.append(share)
            held += lower <= true <= upper
            wrong += lower > 0.5
        print(
            f"{low},{unstable},{kind},{directions},{np.mean(shares):.2f},{true:.2f},{held / worlds:.2f},"
            f"{wrong / worlds:.2f}",
            flush=True,
        )


def masks() -> None:
    """Scores of v from the masks that they read and from all: largest difference, seconds, ratio; one thread."""
    torch.set_num_threads(1)
    for name in ("mlp", "plain", "resnet"):
        setting = SETTINGS[name]
        images, labels, *_ = data(setting)
        model = maker_of(setting, images.shape[1])(0).eval()
        samples, found, seconds = (images[:100], labels[:100]), {}, {}
        for only_scored in (False, True):
            analyzer = ConfusingSampleAnalyzer(
                baselines=[0, images.mean(0)],
                feature_mask=image_grid(*images.shape[2:], 3, 3),
                scores=SCORES,
                coalitions="auto" if only_scored else "all",
            ).add_model("network", model)
            start = time.perf_counter()
            scoring = analyzer.evaluate(samples).scoring
            found[only_scored] = {score: scoring.columns("network")[score] for score in SCORES}
            seconds[only_scored] = time.perf_counter() - start
        moved = max(float(np.abs(found[True][score] - found[False][score]).max()) for score in SCORES)
        print(
            f"{name:8} 512 masks {seconds[False]:.2f} s, 47 masks {seconds[True]:.2f} s "
            f"({seconds[False] / seconds[True]:.1f} times), scores differ by {moved:.1e}"
        )


def main() -> None:
    description = (__doc__ or "").format(settings=", ".join(SETTINGS), primary=PRIMARY)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="setting")
    parser.add_argument("--levels", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("outputs/factorial"))
    parser.add_argument("--crossed", action="store_true", help="trained low parts x trained high parts, nothing else")
    parser.add_argument("--masks", action="store_true", help="only compare 47 masks with 512")
    parser.add_argument("--coverage", action="store_true", help="only simulate")
    parser.add_argument("--copies", action="store_true", help="only simulate copies")
    parser.add_argument("--stable", action="store_true", help="only simulate shares of what is no instability")
    parser.add_argument("--report", type=Path, help="only print what the tables in this folder say")
    options = parser.parse_args()
    if options.masks:
        masks()
        return
    if options.coverage:
        coverage()
        return
    if options.copies:
        coverage_of_copies()
        return
    if options.stable:
        coverage_of_stable()
        return
    if options.report:
        report(options.report)
        return
    for name in options.settings:
        run(name, SETTINGS[name], options.levels, options.out, options.crossed)


if __name__ == "__main__":
    main()
