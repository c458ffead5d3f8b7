"""Games from a budget of masked inputs: errors of Shapley values, R², patterns, intervals and times, beside peers.

    python -m benchmarks.budget shapley      # squared error beside shapiq's (peers.csv), Captum's, today's search
    python -m benchmarks.budget fidelity     # R² of the estimate and of models, stated and true, coverage
    python -m benchmarks.budget few          # 26 and 64 passes beside ShaplEIG (shapleig.csv)
    python -m benchmarks.budget pages        # the tables of the docs from the result files
    python -m benchmarks.budget report       # the tables of shapley and of the coverage of its intervals again
    python -m benchmarks.budget time         # seconds beside the passes, alone and in batches of 16

One thread. Games: benchmarks/budget_games.py; peers: benchmarks/budget_peers.py, in an environment of their own. Results are
written to benchmarks/results/budget.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from captum.attr import KernelShap, ShapleyValueSampling
from torch import Tensor

from benchmarks.budget_games import ROOT, budget_games, evaluate, exact_shapley, n_players
from captum_andor import AndOrInteractions, GameEstimate, LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.sampling import PATTERNS, SHAPLEY, paired_design

torch.set_num_threads(1)
BUDGETS, SEEDS = (128, 256, 512, 1024), range(5)
EXACT = 1e-10  # smaller squared errors count as this: the rounding of games that are known exactly
FOLDER = ROOT / "benchmarks" / "results" / "budget"


def sample(game: np.ndarray, budget: int, leverage: float, seed: int) -> tuple[Tensor, Tensor]:
    rows = paired_design(n_players(game), budget, leverage, seed)
    return torch.from_numpy(evaluate(game, rows)), torch.from_numpy(rows)


def cells() -> list[tuple[str, np.ndarray, int]]:
    return [
        (name, game, budget)
        for name, game in budget_games().items()
        for budget in BUDGETS
        if n_players(game) > 13 or budget < 2 ** n_players(game)
    ]


def shapley() -> None:
    """Squared relative error ‖φ̂ − φ‖² / ‖φ‖², geometric means over seeds and samples."""
    rows: list[dict[str, Any]] = []
    for name, game, budget in cells():
        exact = exact_shapley(game)
        for seed in SEEDS:
            for leverage, method in ((SHAPLEY, "estimate, leverage pairs"), (PATTERNS, "estimate, half and half")):
                mean, std = GameEstimate.from_values(*sample(game, budget, leverage, seed), seed=seed).shapley_values(
                    True
                )
                error = ((mean.numpy() - exact) ** 2).sum() / (exact**2).sum()
                inside = float((np.abs(mean.numpy() - exact) <= 1.96 * std.numpy() + 1e-9 * np.abs(exact).max()).mean())
                rows.append(
                    {"game": name, "budget": budget, "seed": seed, "method": method, "error": error, "inside": inside}
                )
        for seed in (0, 1):
            for method, error in captums(game, budget, seed, exact).items():
                rows.append({"game": name, "budget": budget, "seed": seed, "method": method, "error": error})
        print(f"{name} {budget}", flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(FOLDER / "shapley.csv", index=False, float_format="%.4g")
    report(table)


def captums(game: np.ndarray, budget: int, seed: int, exact: np.ndarray) -> dict[str, float]:
    n = n_players(game)
    model = lambda x: torch.from_numpy(evaluate(game, x.numpy() > 0.5))  # noqa: E731
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the generator that Captum draws from
    x = torch.ones(1, n, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "Captum KernelShap": KernelShap(model).attribute(x, n_samples=budget),
            "Captum ShapleyValueSampling": ShapleyValueSampling(model).attribute(x, n_samples=max(budget // n, 1)),
        }
    return {k: float(((v[0].numpy() - exact) ** 2).sum() / (exact**2).sum()) for k, v in found.items()}


def few() -> None:
    """Squared relative error at 26 and 64 passes beside ShaplEIG, which fits a process after each pass."""
    peer = pd.read_csv(FOLDER / "shapleig.csv").set_index(["game", "budget"])
    print(f"{'game':<12} {'passes':>6} {'ours':>9} {'seconds':>8} {'ShaplEIG':>9} {'seconds':>8}")
    ratios: dict[int, list[float]] = defaultdict(list)
    for (name, budget), row in peer.iterrows():
        game = budget_games()[name]
        exact, errors = exact_shapley(game), []
        start = time.perf_counter()
        for seed in SEEDS:
            mean = GameEstimate.from_values(*sample(game, budget, SHAPLEY, seed), seed=seed).shapley_values().numpy()
            errors.append(((mean - exact) ** 2).sum() / (exact**2).sum())
        ours, seconds = float(np.exp(np.mean(np.log(errors)))), (time.perf_counter() - start) / len(errors)
        ratios[budget].append(ours / row["error"])
        print(f"{name:<12} {budget:>6} {ours:>9.1e} {seconds:>8.2f} {row['error']:>9.1e} {row['seconds']:>8.0f}")
    for budget, ratio in ratios.items():
        print(f"ours by ShaplEIG's, {budget} passes: geometric mean {np.exp(np.mean(np.log(ratio))):.2f}")


def report(table: pd.DataFrame) -> None:
    peers = FOLDER / "peers.csv"
    if peers.exists():
        table = pd.concat([table, pd.read_csv(peers)], ignore_index=True)
    table["family"] = table["game"].str.split(":").str[0]
    table["log"] = np.log(table["error"].clip(lower=EXACT))
    means = np.exp(table.groupby(["family", "budget", "method"])["log"].mean()).unstack("method")
    print(means.to_string(float_format=lambda x: f"{x:.1e}"))
    ours, others = "estimate, leverage pairs", [c for c in means.columns if not c.startswith("estimate")]
    best = means[others].min(axis=1)
    networks = [family for family in means.index.get_level_values("family").unique() if not family.startswith("trees")]
    of_networks = means.loc[networks].groupby(level="budget").agg(lambda errors: np.exp(np.log(errors).mean()))
    print("\nnetworks alone, geometric mean: ours, the best peer of each cell")
    for budget, row in of_networks.iterrows():
        peer = np.exp(np.log(best.loc[networks].xs(budget, level="budget")).mean())
        print(f"{budget:5}  {row[ours]:.1e}  {peer:.1e}")
    print("\nratio to the best peer, by cell; geometric mean over games, worst")
    for method in (ours, "estimate, half and half"):
        ratio = means[method] / best
        for budget, part in ratio.groupby(level="budget"):
            worst = part.idxmax()[0]
            print(f"{method:26} {budget:5}  {np.exp(np.log(part).mean()):.2f}   {part.max():.2f} ({worst})")
    inside = table.groupby(["family", "method"])["inside"].mean().unstack("method").dropna(axis=1, how="all")
    print("\ncoverage of 95 % intervals")
    print(inside.to_string(float_format=lambda x: f"{x:.3f}"))


def fidelity() -> None:
    """R² of the estimate, of twenty patterns and of as many as pay; stated and true; coverage of the intervals."""
    rows: list[dict[str, Any]] = []
    for name, game, budget in cells():
        if game.ndim != 1:
            continue
        v = torch.from_numpy(game)
        everything = all_coalitions(n_players(game))

        def true(h: Tensor, v: Tensor = v) -> float:
            return float(1 - (v - h).square().mean() / v.var(unbiased=False))

        best = {k: float(LogicalModel.from_values(v, max_patterns=k, exact_ends=False).r2) for k in (10, 20)}
        for seed in SEEDS:
            estimate = GameEstimate.from_values(*sample(game, budget, PATTERNS, seed), seed=seed)
            h = estimate.posteriors[0].all_values()
            row = {
                "game": name,
                "budget": budget,
                "seed": seed,
                "estimate": true(h),
                "estimate stated": float(estimate.r2),
            }
            row["estimate inside"] = float(estimate.r2_interval[0]) <= row["estimate"] <= float(estimate.r2_interval[1])
            for k in (10, 20, None):
                if k is not None and 2 * k + 2 > 0.75 * budget:
                    continue
                model = estimate.logical_model(max_patterns=k, exact_ends=False)
                title = f"{k or 'free'}"
                row[title] = true(model.predict(everything))
                row[f"{title} stated"] = float(model.r2)
                low, high = model.r2_interval.tolist()
                row[f"{title} inside"] = low <= row[title] <= high
                if k:
                    row[f"{title} of all"] = best[k]
            rows.append(row)
        print(f"{name} {budget}", flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(FOLDER / "fidelity.csv", index=False, float_format="%.5g")
    table["family"] = table["game"].str.split(":").str[0]
    for title in ("estimate", "10", "20", "free"):
        table[f"{title} bias"] = table[f"{title} stated"] - table[title]
    wanted = [c for c in table.columns if c not in ("game", "seed", "family", "budget") and "stated" not in c]
    print(table.groupby(["family", "budget"])[wanted].mean().astype(float).to_string(float_format=lambda x: f"{x:.3f}"))


def times() -> None:
    """Seconds beside the passes, median of five: a sample alone, and each of a batch of 16."""
    generator = torch.Generator().manual_seed(0)
    for n in (12, 16, 64, 500):
        weights = torch.randn(n, 32, generator=generator, dtype=torch.float64) / n**0.5
        model = lambda x, weights=weights: torch.tanh(x @ weights).sum(1)  # noqa: E731
        method = AndOrInteractions(model, check_repeats=False)
        for budget in (256, 512, 1024):
            once = partial(method.attribute, budget=budget)
            model_once = partial(method.logical_model, budget=budget)
            seconds: dict[str, list[float]] = defaultdict(list)
            for repeat in range(5 if n < 500 else 2):
                x = 2 * torch.randn(1, n, generator=torch.Generator().manual_seed(repeat), dtype=torch.float64)
                seconds["attribute"].append(clock(once, x))
                if n <= 64:
                    seconds["logical_model"].append(clock(model_once, x))
            batch = 2 * torch.randn(16, n, generator=generator, dtype=torch.float64)
            if n < 500:
                seconds["attribute, of 16"].append(clock(once, batch) / 16)
            print(
                f"n {n:4} budget {budget:5}  " + "   ".join(f"{k} {np.median(v):.2f} s" for k, v in seconds.items()),
                flush=True,
            )


OURS = {"estimate, leverage pairs": "this package", "estimate, half and half": "this package, half and half"}
METHODS, PAGE = ROOT / "docs" / "estimates_methods.rst", ROOT / "docs" / "estimates_results.rst"


def all_errors() -> pd.DataFrame:
    """Errors of ours and of peers, with the family of each game."""
    table = pd.concat([pd.read_csv(FOLDER / "shapley.csv"), pd.read_csv(FOLDER / "peers.csv")], ignore_index=True)
    table["family"] = table["game"].str.split(":").str[0]
    table["method"] = table["method"].replace(OURS)
    table["log"] = np.log(table["error"].clip(lower=EXACT))
    return table


def pages() -> None:
    """Write the tables of the page on estimates from the result files."""
    table = all_errors()
    by_family = table.groupby(["family", "budget", "method"])["log"].mean()
    means = np.exp(by_family.groupby(["method", "budget"]).mean()).unstack("budget")
    order = [
        *OURS.values(),
        *sorted((m for m in means.index if m not in OURS.values()), key=lambda m: means.loc[m, 512]),
    ]
    rows = [
        [m, *(f"{means.loc[m, b]:.1e}" for b in BUDGETS)]
        for m in order
        if m != "PolySHAP 3"  # it was not run above 16 players, so that its mean is of other games
    ]
    methods = rst_table(["method", *(f"{b:,} passes" for b in BUDGETS)], rows)
    METHODS.write_text("\n".join(methods) + "\n", encoding="utf-8")
    families = np.exp(by_family).unstack("method")
    others = [m for m in families.columns if m not in OURS.values()]
    lines = [
        "Squared relative error of the Shapley values (less than 1e-10 counts as that), geometric mean over two samples and seeds, beside the best of six estimators of shapiq 1.8 and two of",
        "Captum at equal passes; coverage of the 95 % intervals (``python -m benchmarks.budget shapley``, then ``pages``):",
        "",
        *rst_table(
            ["game", "passes", "leverage pairs", "half and half", "best peer", "which", "covered"],
            [
                [family, f"{budget:,}", *(f"{row[m]:.1e}" for m in OURS.values()), f"{row[others].min():.1e}", str(row[others].idxmin()),
                 f"{table.loc[(table['family'] == family) & (table['budget'] == budget), 'inside'].mean():.2f}"]
                for (family, budget), row in families.iterrows()
            ],
        ),
    ]  # fmt: skip
    fidelity_file = FOLDER / "fidelity.csv"
    if fidelity_file.exists():
        found = pd.read_csv(fidelity_file)
        found["family"] = found["game"].str.split(":").str[0]
        means = found.drop(columns=["game"]).groupby(["family", "budget"]).mean()
        lines += [
            "",
            "R² over all 2^n coalitions, mean over two samples and five seeds: of the estimate, of ten and twenty patterns (in brackets: chosen from all values),",
            "of as many patterns as pay; the mean of the stated R² less the true one, and how often the 95 % interval holds it, for twenty patterns",
            "(``python -m benchmarks.budget fidelity``):",
            "",
            *rst_table(
                ["game", "passes", "estimate", "10", "20", "free", "stated − true", "covered"],
                [
                    [family, f"{budget:,}", f"{row['estimate']:.4f}", f"{row['10']:.3f} [{row['10 of all']:.3f}]",
                     f"{row['20']:.3f} [{row['20 of all']:.3f}]", f"{row['free']:.4f}", f"{row['20 stated'] - row['20']:+.3f}",
                     f"{row['20 inside']:.2f}"]
                    for (family, budget), row in means.iterrows()
                ],
            ),
        ]  # fmt: skip
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rst_table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        *(("   * - " if not i else "     - ") + cell for row in [head, *rows] for i, cell in enumerate(row)),
    ]


def clock(call: Callable[[Tensor], Any], x: Tensor) -> float:
    start = time.perf_counter()
    call(x)
    return time.perf_counter() - start


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], None]] = {
        "shapley": shapley,
        "fidelity": fidelity,
        "time": times,
        "pages": pages,
        "few": few,
    }
    parts["report"] = lambda: report(pd.read_csv(FOLDER / "shapley.csv"))
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked not in parts:
        sys.exit(f"which part? {' | '.join(parts)}")
    parts[asked]()
