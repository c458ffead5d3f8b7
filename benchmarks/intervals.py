"""Coverage of 95 % intervals from a budget: Shapley values, R² of the estimate and of ten patterns, by family of games.

    python -m benchmarks.intervals            # some 10 minutes; writes benchmarks/results/budget/intervals.txt
    python -m benchmarks.intervals sigmoid    # families whose name begins so
    python -m benchmarks.intervals others     # Banzhaf values, predictions and interactions of pairs instead

Games of 10 and 12 players, synthetic, 24 a cell, asked through ``AndOrInteractions.estimate``. Width: mean half width of
the Shapley intervals by the mean |φ|; error: the same of the errors. One thread.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import math
import sys
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.budget_games import ROOT, exact_shapley
from benchmarks.logical_model import enumerated
from captum_andor import AndOrInteractions
from captum_andor.explain import GameEstimate
from captum_andor.games.indices import banzhaf_values, interaction_index
from captum_andor.games.transforms import all_coalitions, coalition_codes

FILE = ROOT / "benchmarks" / "results" / "budget" / "intervals.txt"
CELLS = ((10, 32), (10, 64), (10, 128), (12, 64), (12, 128), (12, 256), (12, 512))
GAMES = 24
Rows = np.ndarray


def sigmoid(z: Rows, generator: np.random.Generator) -> Rows:
    score = z @ generator.normal(size=z.shape[1])
    return 1 / (1 + np.exp(-4 * (score - score.mean())))


def decision(z: Rows, generator: np.random.Generator) -> Rows:
    score = z @ generator.normal(size=z.shape[1])
    return (score > np.median(score)).astype(float)


def maximum(z: Rows, generator: np.random.Generator) -> Rows:
    return (z * np.abs(generator.normal(size=z.shape[1]))).max(1)


def conjunction(z: Rows, generator: np.random.Generator) -> Rows:
    """An AND of half of the players, and two smaller terms."""
    n = z.shape[1]
    some = generator.permutation(n)[: n // 2]
    return z[:, -1] + 0.5 * z[:, -2] * z[:, -3] + 3 * z[:, some].prod(1)


def products(z: Rows, generator: np.random.Generator) -> Rows:
    """Five products of two to four players."""
    n = z.shape[1]
    return sum(
        generator.normal() * z[:, generator.permutation(n)[: generator.integers(2, 5)]].prod(1) for _ in range(5)
    )


def network(z: Rows, generator: np.random.Generator) -> Rows:
    n = z.shape[1]
    return np.tanh(2 * z @ (generator.normal(size=(n, 16)) / math.sqrt(n))) @ generator.normal(size=16)


def patterns(z: Rows, generator: np.random.Generator) -> Rows:
    """Twelve ANDs and ORs of up to four players."""
    n, v = z.shape[1], np.zeros(len(z))
    for _ in range(12):
        some = z[:, generator.permutation(n)[: generator.integers(1, 5)]]
        v += generator.normal() * (some.all(1) if generator.random() < 0.5 else some.any(1))
    return v


def trees(z: Rows, generator: np.random.Generator) -> Rows:
    """Twelve random trees of depth three."""
    v = np.zeros(len(z))
    for _ in range(12):
        split = generator.integers(z.shape[1], size=7)
        leaf = np.zeros(len(z), dtype=int)
        for _ in range(3):
            leaf = 2 * leaf + 1 + z[np.arange(len(z)), split[np.minimum(leaf, 6)]].astype(int)
        v += generator.normal(size=8)[leaf - 7]
    return v


FAMILIES: dict[str, Callable[[Rows, np.random.Generator], Rows]] = {
    f.__name__: f for f in (sigmoid, decision, maximum, conjunction, products, network, patterns, trees)
}


def measured(v: Tensor, n: int, budget: int, seed: int) -> list[float]:
    method = AndOrInteractions(lambda x: v[coalition_codes(x > 0)], check_repeats=False)
    estimate = method.estimate(torch.ones(1, n, dtype=torch.float64), budget=budget, seed=seed)
    exact = exact_shapley(v.numpy())
    mean, std = (part[0].numpy() for part in estimate.shapley_values(return_std=True))
    error, size, rounding = np.abs(mean - exact), np.abs(exact).mean(), 1e-6 * np.abs(exact).max()
    inside = float((error <= 1.96 * std + rounding).mean())
    found = [inside, 1.96 * std.mean() / size, error.mean() / size, float(estimate.kinds[0] == "patterns")]
    everything = all_coalitions(n)
    for h, r2, (low, high) in (
        (estimate.predict(everything), estimate.r2, estimate.r2_interval[0].tolist()),
        *((m.predict(everything), m.r2, m.r2_interval[0].tolist()) for m in [estimate.logical_model()] if budget > 32),
    ):
        true = 1 - float((v - h[0]).square().mean() / v.var(unbiased=False))
        unknown = math.isnan(float(r2))
        found += [math.nan if unknown else float(low - 1e-6 <= true <= high + 1e-6), true, float(r2), high - low]
    return found + [math.nan] * (12 - len(found))


def others() -> None:
    """Coverage of what else an estimate says: 10 players, 16 games a cell."""
    everything = all_coalitions(10)
    pairs = everything.sum(1) == 2
    print("family        passes | covered: Banzhaf values  v on all coalitions  pairs (k-SII)  effects of ten patterns")
    for name, family in FAMILIES.items():
        for budget in (64, 128):
            rows = []
            for seed in range(16):
                v = torch.from_numpy(family(everything.numpy().astype(float), np.random.default_rng([seed, 10])))
                method = AndOrInteractions(lambda x, v=v: v[coalition_codes(x > 0)], check_repeats=False)
                estimate = method.estimate(torch.ones(1, 10, dtype=torch.float64), budget=budget, seed=seed)
                mean, std = (part[0, pairs] for part in estimate.interaction_index("k-SII", 2, return_std=True))
                asked = [
                    (*(part[0] for part in estimate.banzhaf_values(return_std=True)), banzhaf_values(v)),
                    (*(part[0] for part in estimate.predict(everything, return_std=True)), v),
                    (mean, std, interaction_index(v, "k-SII", 2)[pairs]),
                    _effects(estimate, v),
                ]
                rounding = 1e-6 * v.abs().max()
                rows.append([float(((m - t).abs() <= 1.96 * s + rounding).double().mean()) for m, s, t in asked])
            print(f"{name:<12} {budget:>7} | " + "  ".join(f"{x:.2f}" for x in np.mean(rows, axis=0)), flush=True)


def _effects(estimate: GameEstimate, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means, errors and true values of the effects of the patterns of an estimate, alone and together."""
    rows = []
    for row in estimate.effects().itertuples():
        alone, together = enumerated(v, row.players)
        rows += zip([*row.alone, row.together], [*row.alone_se, row.together_se], [*alone, together], strict=True)
    mean, std, truth = torch.tensor(rows, dtype=torch.float64).T
    return mean, std, truth


def main(begin: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    head = "family        n passes | Shapley: covered  width  error  exact | R² of the estimate: covered  true  stated  width | of ten patterns: the same"
    lines = [head]
    print(head)
    for name, family in FAMILIES.items():
        if not name.startswith(begin):
            continue
        for n, budget in CELLS:
            z = all_coalitions(n).numpy().astype(float)
            rows = []
            for seed in range(GAMES):
                v = torch.from_numpy(family(z, np.random.default_rng([seed, n])))
                if float(v.std()) > 0:
                    rows.append(measured(v, n, budget, seed))
            mean, middle = np.nanmean(rows, axis=0), np.nanmedian(rows, axis=0)
            lines.append(
                f"{name:<12} {n:>2} {budget:>6} | {mean[0]:.2f}  {middle[1]:.2f}  {mean[2]:.2f}  {mean[3]:.2f} | "
                f"{mean[4]:.2f}  {mean[5]:.3f}  {mean[6]:.3f}  {middle[7]:.3f}"
                + (f" | {mean[8]:.2f}  {mean[9]:.3f}  {mean[10]:.3f}  {middle[11]:.3f}" if budget > 32 else "")
            )
            print(lines[-1], flush=True)
    if not begin:
        FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["others"]:
        others()
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
