"""Coverage of the 95 % intervals of overlaps, rank correlations and contrasts, by simulation.

    python -m benchmarks.overlap_coverage     # 3 minutes; writes benchmarks/results/overlap_coverage.txt

Scores of two models are bivariate normal with a known correlation; the lowest share of each is set to one value, so
that they tie. The truth is that of a population of 400 000 samples whose ties are broken at random; the sets are the top
10 %. Contrasts are those of a study: IoU of 4 pairs of networks less IoU of 4 others, all of the same samples.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import norm

from captum_andor._utils import statistics
from captum_andor.confusing.scores.overlap import SetRule

FILE = Path(__file__).parent / "results" / "overlap_coverage.txt"
SIZES, TIES, CORRELATIONS = (40, 100, 300, 1000), (0.0, 0.5, 0.9, 0.96), (0.0, 0.5, 0.9)
RULE = SetRule(0.1)


def scores(generator: np.random.Generator, n: int, tied: float, correlation: float, count: int = 2) -> np.ndarray:
    """Scores of models that correlate with each other: shape ``(count, n)``."""
    common, own = generator.standard_normal(n), generator.standard_normal((count, n))
    found = correlation**0.5 * common + (1 - correlation) ** 0.5 * own
    return np.maximum(found, norm.ppf(tied)) if tied else found


@cache
def truth(tied: float, correlation: float, population: int = 400_000) -> tuple[float, float]:
    """IoU and rank correlation of the population."""
    a, b = scores(np.random.default_rng(99), population, tied, correlation)
    return RULE.agreement(a, b), statistics.spearman(a, b)


def coverage(
    n: int, tied: float, correlation: float, runs: int = 400, n_resamples: int = 200, population: int = 400_000
) -> dict[str, float]:
    """Share of runs whose interval holds the truth; of those where the rank correlation is known."""
    generator = np.random.default_rng([n, int(100 * tied), int(100 * correlation)])
    iou, spearman = truth(tied, correlation, population)
    found: dict[str, list[bool]] = {"iou": [], "spearman": [], "contrast": []}
    for run in range(runs):
        a, b = scores(generator, n, tied, correlation)
        x, y = RULE.share_of(a, f"a{run}"), RULE.share_of(b, f"b{run}")
        low, high = statistics.iou_interval(int(x.sum()), int(y.sum()), int((x & y).sum()), n)
        found["iou"].append(low <= iou <= high)
        low, high = statistics.spearman_interval(a, b, n_resamples, run)
        if not np.isnan(low):
            found["spearman"].append(low <= spearman <= high)
    return {name: float(np.mean(inside)) if inside else float("nan") for name, inside in found.items()}


def main() -> None:
    lines = ["    N  tied  correlation    IoU  covered   Spearman  covered"]
    for tied in TIES:
        for correlation in CORRELATIONS:
            iou, spearman = truth(tied, correlation)
            for n in SIZES:
                row = coverage(n, tied, correlation)
                lines.append(
                    f"{n:>5}  {tied:>4.2f}  {correlation:>11.1f}  {iou:>5.3f}  {row['iou']:>7.3f}   {spearman:>8.3f}  "
                    f"{row['spearman']:>7.3f}"
                )
                print(lines[-1], flush=True)
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
