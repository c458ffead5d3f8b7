"""The factorial study with the paper's own words as scores, of training images and of held-out ones, and of sets.

    python -m benchmarks.factorial mlp; python -m benchmarks.factorial mlp --crossed     # the networks
    python -m benchmarks.factorial_scores mlp                                           # half an hour on two cores

Eight baselines × four grids of patches, dense networks cut before ``layer3``, all 512 masked copies and a sparse split for
each. Scores: those of v; ``offset``, high-order interactions that offset each other; ``unrecurring``, the share of a
sample's strength that does not recur on held-out samples of its class: an interaction counts by the share of these samples
on which it is salient with the same sign. Goes on where it was.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import multiprocessing
import sys
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.factorial import PRIMARY, SETTINGS, shown, study_of
from benchmarks.factorial_settings import Setting, data
from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialResult
from captum_andor.studies.factorial.grids import GridNetwork, cells_of_grid

LAYER, CELLS_COPIED = "layer3", 4
SAMPLES = 100  # training images, and as many held-out ones
SCORES = (PRIMARY, "flip_rate", "masked_margin", "offset")
OFFSETS = ((0, 0), (2, 2), (1, 3), (3, 1))


def baselines_of(images: Tensor) -> list[float | Tensor]:
    """Four grey values, and four pictures that belong to no image."""
    mean = images.mean(0)
    blurred = nn.functional.avg_pool2d(mean[None], 5, stride=1, padding=2, count_include_pad=False)[0]
    return [0.0, 0.25, 0.5, 0.75, mean, blurred, images.median(0).values, images.quantile(0.75, dim=0)]


def unrecurring(interactions: Tensor, labels: Tensor, is_reference: Tensor) -> npt.NDArray[np.float64]:
    """Share of each sample's strength that does not recur on reference samples of its class, its own left out."""
    sign = interactions.sign()
    found = torch.zeros(len(sign), dtype=torch.float64)
    for sample in range(len(sign)):
        others = is_reference & (labels == labels[sample])
        others[sample] = False
        strength = interactions[sample].abs()
        recurs = (sign[others] == sign[sample]).double().mean(0)
        found[sample] = 1 - (strength * recurs).sum() / strength.sum().clamp(min=1e-300)
    return found.numpy()


def evaluate(network: GridNetwork, name: str, setting: Setting, out: Path) -> None:
    """Scores of one network under all views, kept in a file."""
    path = out / "scores" / name / f"{network.name}.npz"
    if path.exists():
        return
    torch.set_num_threads(1)
    images, labels, test_images, test_labels = data(setting)
    study = study_of(name, setting, 8, out, is_crossed=network.kind in ("trained both", "moved both"))
    inputs = torch.cat([images[:SAMPLES], test_images[:SAMPLES]])
    targets = torch.cat([labels[:SAMPLES], test_labels[:SAMPLES]])
    analyzer = ConfusingSampleAnalyzer(
        baselines=baselines_of(images),
        feature_mask=[image_grid(*images.shape[2:], 3, 3, offset=offset) for offset in OFFSETS],
        scores=SCORES,
        coalitions="all",
    ).add_model("network", study.network(network.name))
    scoring = analyzer.evaluate((inputs, targets)).scoring
    is_held_out = torch.arange(2 * SAMPLES) >= SAMPLES
    found: dict[str, list[npt.NDArray[np.float64]]] = {score: [] for score in (*SCORES, "unrecurring")}
    for view in scoring.views:
        for score, values in scoring.view_scores("network", view).items():
            found[score].append(values)
        found["unrecurring"].append(unrecurring(scoring.salient("network", view), targets, is_held_out))
    path.parent.mkdir(parents=True, exist_ok=True)
    partly = path.with_suffix(".part.npz")
    arrays = {score: np.stack(several).astype(np.float32) for score, several in found.items()}
    np.savez_compressed(partly, margin=scoring.as_suspicion("network", "margin"), **arrays)
    partly.replace(path)


def result_of(networks: list[GridNetwork], folder: Path, samples: slice) -> FactorialResult:
    """The networks' scores as the result of a study."""
    files = [np.load(folder / f"{network.name}.npz") for network in networks]
    arrays = {
        f"score/{score}": np.stack([file[score][:, samples] for file in files]) for score in (*SCORES, "unrecurring")
    }
    arrays["column/margin"] = np.stack([file["margin"][samples] for file in files]).astype(np.float32)
    return FactorialResult(tuple(networks), arrays, {}, (*SCORES, "unrecurring"), {LAYER: float("nan")})


def table_of(result: FactorialResult, samples: str) -> pd.DataFrame:
    """A row for each score: how far it repeats, and shares of initial and of trained parts, of rankings and of sets."""
    retest, rows = result.retest().set_index("score"), []
    tables = {"all": result.shares, "sets": result.in_sets().shares, "stable": partial(result.shares, of="stable")}

    def share(of: str, score: str, grid: str, part: str) -> str:
        table = tables[of](score)
        return shown(table[(table["grid"] == grid) & (table["factor"] == part)].iloc[0])

    for score in (*result.scores, "margin"):
        row = {"images": samples, "score": score, "repeats": "", "mean of 32 repeats": ""}
        if score in retest.index:
            row |= {"repeats": f"{retest.loc[score, 'of_differences']:.2f}".removeprefix("0")}
            row |= {"mean of 32 repeats": f"{retest.loc[score, 'of_mean']:.2f}".removeprefix("0")}
        for grid, words in (("initialisation", "initial"), ("trained both", "trained")):
            row |= {f"{words} {part}": share("all", score, grid, part) for part in ("low", "high")}
        row["initial low, of what is no instability"] = share("stable", score, "initialisation", "low")
        row["top tenth: initial low"] = share("sets", score, "initialisation", "low")
        row["top tenth: trained low"] = share("sets", score, "trained both", "low")
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=["mlp", "mlp-noisy"])
    parser.add_argument("--out", type=Path, default=Path("outputs/factorial"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/factorial-scores"))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    networks = [
        *cells_of_grid("initialisation", LAYER, 8),
        *cells_of_grid("trained both", LAYER, 8),
        *(GridNetwork("moved", "layer2", copy, cell, 8, 1e-6) for cell in range(CELLS_COPIED) for copy in range(4)),
    ]
    work = partial(evaluate, name=options.setting, setting=SETTINGS[options.setting], out=options.out)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for number, _ in enumerate(pool.imap(work, networks), 1):
            print(f"{number} of {len(networks)} networks", end="\r", file=sys.stderr, flush=True)
    folder = options.out / "scores" / options.setting
    parts = {"training": slice(0, SAMPLES), "held out": slice(SAMPLES, 2 * SAMPLES)}
    results = {words: result_of(networks, folder, part) for words, part in parts.items()}
    options.results.mkdir(parents=True, exist_ok=True)
    for words, result in results.items():
        small = result.in_products(*result.scores, "margin")  # from which shares can be computed again
        small.save(options.results / f"{options.setting}-{words.replace(' ', '_')}.npz")
    table = pd.concat([table_of(result, words) for words, result in results.items()])
    table.to_csv(options.results / f"{options.setting}.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
