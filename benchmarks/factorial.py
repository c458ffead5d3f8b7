"""What share of what differs between networks do their low layers decide? The factorial study on Fashion-MNIST.

    python -m benchmarks.factorial mlp mlp-noisy            # ten minutes each on two cores, with torchrun
    python -m benchmarks.factorial plain                    # hours; goes on where it was
    python -m benchmarks.factorial mlp resnet --crossed     # trained low parts × trained high parts: 1 and 10 minutes
    python -m benchmarks.factorial --report benchmarks/results/factorial
    python -m benchmarks.factorial --masks                  # 47 masks against all 512: equal scores, time

Settings: {settings}. Networks are trained to an equal loss of the training images. Named before any run: the primary score is
{primary}, the primary contrast that of the low share less the low share of the margin. ``torchrun --nproc-per-node 2 -m
benchmarks.factorial …`` shares a study. Writes every per-network table (``tables.npz``, ``FactorialResult.load``), shares,
contrasts and the verdict as CSV and text, and a figure; of held-out images mean products.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.fx.experimental.optimization import fuse

from benchmarks.factorial_settings import Setting, data, losses_of, six_convolutions, small_resnet
from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialResult, FactorialStudy
from captum_andor.studies.factorial.grids import DEFAULT_GRIDS

PRIMARY = "net_order"
SETS = "top tenth by net_order"
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
        least(held_out).save(folder / "held_out.npz")
        minutes = (time.perf_counter() - start) / 60
        print(f"## {name}: {setting}, {levels} levels, {len(study.networks)} networks, {minutes:.0f} minutes")
        if not is_crossed:
            print(trained.verdict())


def small(result: FactorialResult) -> FactorialResult:
    """The result with ranks of the primary score alone, and mean products of all others."""
    others = {*result.scores, "margin", *({"values"} & {*result.arrays})} - {PRIMARY, *result._as_products()}
    found = result.in_products(*sorted(others)).in_ranks()
    kept = {name: array for name, array in found.arrays.items() if name == f"score/{PRIMARY}"}
    return FactorialResult(found.members, kept, found.of_networks, found.scores, found.parameters, found.products)


def least(result: FactorialResult) -> FactorialResult:
    """Mean products of the primary score and the margin alone, and of the primary score's top tenths."""
    sets, names = result.in_sets().in_products(PRIMARY), [PRIMARY, "margin"]
    found = result.in_products(*(name for name in names if name not in result._as_products()))
    kept = {key: array for key, array in found.products.items() if key.split("/")[0] in names}
    kept |= {f"{SETS}/{key.partition('/')[2]}": array for key, array in sets.products.items()}
    return FactorialResult(result.members, {}, result.of_networks, (PRIMARY,), result.parameters, kept)


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
    result.plot(use_pyplot=False)[0].savefig(folder.parent / "shares.png", dpi=110)
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


def summarise_crossed(folder: Path) -> dict[str, FactorialResult]:
    """Write ``crossed.csv`` from the tables of studies of two trained parts, and print what they say."""
    rows, results = [], {}
    for name in (name for name in SETTINGS if (folder / name / "tables.npz").exists()):
        results[name] = result = FactorialResult.load(folder / name / "tables.npz")
        print(f"## {name}, both parts trained\n")
        print_crossed(result)
        tables = {of: result.shares(of=of).set_index(["layer", "factor"]) for of in ("all", "stable")}  # type: ignore[arg-type]
        margin = result.shares("margin").set_index(["layer", "factor"])
        less = result.low_less_high().set_index("layer")
        for _, layer in result.cuts:
            row = {"network": name, "cut": layer, "parameters below": f"{result.parameters[layer]:.0%}"}
            for of, words in (("all", "of all"), ("stable", "of what is no instability")):
                row |= {f"{part}, {words}": shown(tables[of].loc[(layer, part)]) for part in ("low", "high")}
            row |= {"low less high": shown(less.loc[layer]), "margin: low": shown(margin.loc[(layer, "low")])}
            rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "crossed.csv", index=False)
    return results


def write_held_out(folders: list[Path], out: Path) -> None:
    """Write ``held_out.csv``: low and high shares of training images beside those of held-out ones, by cut."""
    rows = []
    for folder in folders:
        name = folder.name
        seen, unseen = (FactorialResult.load(folder / file) for file in ("tables.npz", "held_out.npz"))
        keyed = {
            words: result.shares(score).set_index(["grid", "layer", "factor"])
            for words, result, score in (
                ("training", seen, PRIMARY), ("held out", unseen, PRIMARY),
                ("training, top tenth", seen.in_sets(), PRIMARY), ("held out, top tenth", unseen, SETS),
            )
        }  # fmt: skip
        for cut in seen.cuts:
            row = {"network": name, "grid": cut[0], "cut": cut[1]}
            for part in ("low", "high"):
                row |= {f"{part}, {words}": shown(table.loc[(*cut, part)]) for words, table in keyed.items()}
            rows.append(row)
    pd.DataFrame(rows).to_csv(out / "held_out.csv", index=False)


QUESTIONS = {  # of the parameters that differ: grid and part of low and of high layers, and of what shares are
    "initial × initial": (("initialisation", "low"), ("initialisation", "high"), "stable"),
    "trained × fresh": (("trained low", "low"), ("trained high", "high"), "all"),
    "trained × trained": (("trained both", "low"), ("trained both", "high"), "stable"),
}


def answers(results: dict[str, FactorialResult]) -> pd.DataFrame:
    """For each question and setting the largest shares of low and high parts over cuts, the ceiling, the verdict."""
    rows = []
    for parameters, (low, high, of) in QUESTIONS.items():
        for name, result in results.items():
            if not any(grid == low[0] for grid, _ in result.cuts):
                continue
            row = {"parameters": parameters, "network": name.removesuffix("-crossed"), "of": of}
            table = result.shares(of=of)  # type: ignore[arg-type]
            for part, (grid, factor) in (("low", low), ("high", high)):
                own = table[(table["grid"] == grid) & (table["factor"] == factor)]
                best = own.loc[own["share"].idxmax()]
                row |= {part: best["share"], f"{part} lower": best["lower"], f"{part} upper": best["upper"]}
                row[f"{part} cut"] = best["layer"]
            unstable = result.instability().query("grid == @low[0]")
            row["ceiling"] = 1 - unstable["share"].iloc[0] if len(unstable) else float("nan")
            row["verdict"] = judged(result, low[0], of)
            rows.append(row)
    return pd.DataFrame(rows)


def judged(result: FactorialResult, grid: str, of: str) -> str:
    """Do low parts determine? More than half at some cut, all cuts counted; less at every cut; or neither is clear."""
    if grid == "initialisation":
        return result.verdict().outcome

    def low(confidence: float) -> pd.DataFrame:
        table = result.shares(of=of, confidence=confidence)  # type: ignore[arg-type]
        return table[(table["grid"] == grid) & (table["factor"] == "low")]

    if (low(1 - 0.05 / len(low(0.95)))["lower"] > 0.5).any():
        return "supported"
    return "not supported" if (low(0.95)["upper"] < 0.5).all() else "cannot be judged"


def answer(results: dict[str, FactorialResult], out: Path) -> None:
    """Write ``answer.csv``, the first table of the docs, and the picture of it."""
    found = answers(results)
    shown_rows = []
    for _, row in found.iterrows():
        entry = {"parameters": row["parameters"], "network": row["network"]}
        for part in ("low", "high"):
            ends = pd.Series({"share": row[part], "lower": row[f"{part} lower"], "upper": row[f"{part} upper"]})
            entry[part] = f"{shown(ends)} ({row[f'{part} cut']})"
        entry["ceiling of all"] = "" if np.isnan(row["ceiling"]) else f"{row['ceiling']:.2f}".removeprefix("0")
        shown_rows.append({**entry, "low layers determine?": row["verdict"]})
    pd.DataFrame(shown_rows).to_csv(out / "answer.csv", index=False)
    picture(found).savefig(Path("docs/_static/factorial_answer.png"), dpi=110)


def picture(found: pd.DataFrame) -> Figure:
    """Largest shares of low and high parts with their intervals, a panel for each question."""
    names = list(dict.fromkeys(found["network"]))
    fig, axes = plt.subplots(1, 3, figsize=(9.6, 0.42 * len(names) + 1.6), sharey=True, layout="constrained")
    for axis, (parameters, (*_, of)) in zip(axes, QUESTIONS.items(), strict=True):
        own = found[found["parameters"] == parameters]
        place = np.array([names.index(name) for name in own["network"]])
        for part, colour, shift in (("low", "#D55E00", -0.14), ("high", "#0072B2", 0.14)):
            ends = [own[part] - own[f"{part} lower"], own[f"{part} upper"] - own[part]]
            axis.errorbar(own[part], place + shift, xerr=ends, fmt="o", color=colour, capsize=3, label=f"{part} layers")
        for y, verdict in zip(place, own["verdict"], strict=True):
            axis.text(1.62, y, verdict, ha="right", va="center", fontsize=8)
        axis.axvline(0.5, color="#888888", linewidth=1, linestyle="--")
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set(
            xlim=(-0.25, 1.65),
            xticks=(0, 0.5, 1),
            title=f"{parameters.capitalize()}",
            yticks=range(len(names)),
            yticklabels=names,
        )
        axis.set_xlabel("share of all that differs" if of == "all" else "share of what is no instability")
        axis.title.set_fontsize(10)
    axes[0].invert_yaxis()
    fig.legend(*axes[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=2, frameon=False)
    return fig


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


def summarise(results: dict[str, FactorialResult], out: Path) -> None:
    """Write ``summary.csv``: shares of every grid and cut of all settings, beside those of the margin and of v."""
    rows = []
    for name, result in results.items():
        tables = {"": result.shares(), "margin": result.shares("margin"), "values": of_values(result, out / name)}
        tables["stable"] = result.shares(of="stable")
        keyed = {kind: table.set_index(["grid", "layer", "factor"]) for kind, table in tables.items()}
        for cut in result.cuts:
            row = {
                "network": name,
                "grid": cut[0],
                "cut": cut[1],
                "parameters below": f"{result.parameters[cut[1]]:.0%}",
            }
            row |= {factor: shown(keyed[""].loc[(*cut, factor)]) for factor in ("low", "high")}
            is_copied = cut[0] == "initialisation"
            row["low, of what is no instability"] = shown(keyed["stable"].loc[(*cut, "low")]) if is_copied else ""
            row |= {
                f"{words}: low": shown(keyed[kind].loc[(*cut, "low")])
                for kind, words in (("margin", "margin"), ("values", "v over masks"))
            }
            rows.append(row)
    pd.DataFrame(rows).to_csv(out / "summary.csv", index=False)


def of_values(result: FactorialResult, folder: Path) -> pd.DataFrame:
    """Shares of v over masks: from mean products, or, of studies that were run before these were kept, from a table."""
    return result.shares("values") if "values" in result._as_products() else pd.read_csv(folder / "shares_values.csv")


def report(out: Path) -> None:
    """Print shares, contrasts and verdicts of all settings from the per-network tables, and write their summaries."""
    names = [name for name in SETTINGS if (out / name / "tables.npz").exists()]
    results = {name: FactorialResult.load(out / name / "tables.npz") for name in names}
    for name, result in results.items():
        write_judged(result, out / name)
    summarise(results, out)
    beside = out.parent / f"{out.name}-crossed"
    crossed = summarise_crossed(beside)
    folders = [folder / name for folder in (out, beside) for name in SETTINGS]
    unseen = [folder for folder in folders if (folder / "held_out.npz").exists()]
    write_held_out(unseen, out)
    answer({**results, **{f"{name}-crossed": result for name, result in crossed.items()}}, out)
    for name, result in results.items():
        kept = result.networks.groupby("kind")[["accuracy", "loss", "test_accuracy", "low_moved", "high_moved"]].mean()
        print(f"## {name}\n{result.verdict()}\n")
        for score in (PRIMARY, "margin", "values"):
            table = of_values(result, out / name) if score == "values" else result.shares(score)
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
        retest = pd.read_csv(out / name / "retest.csv")
        print(f"repeats under the other baseline\n{retest.round(2).to_string(index=False)}\n")
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
    parser.add_argument("--report", type=Path, help="only print what the tables in this folder say")
    options = parser.parse_args()
    if options.masks:
        masks()
        return
    if options.report:
        report(options.report)
        return
    for name in options.settings:
        run(name, SETTINGS[name], options.levels, options.out, options.crossed)


if __name__ == "__main__":
    main()
