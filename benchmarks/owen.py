"""Owen values from a budget beside nested permutations: squared error, coverage, time.

    python -m benchmarks.owen        # a minute once benchmarks.real_games has run; writes benchmarks/results/owen.txt

Networks on digits and photos in twelve patches, four groups each (the rows of a grid of 4 x 3; four parts of a photo,
of two and four patches), all 4 096 values as the truth. Permutations: whole groups in random order, players within, each order and its
reverse; a coalition that comes again is not counted. Four seeds each, ours with ``attribute``'s design. One thread.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.real_games import real_games
from captum_andor import GameEstimate
from captum_andor.sampling import nested_design

FILE = Path(__file__).resolve().parent / "results" / "owen.txt"
BUDGETS, SEEDS, GAMES = (64, 96, 128), 4, 6
GROUPS = {
    "digits12": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "photo12": [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3],
}


def permutations(v: Tensor, ids: list[int], budget: int, seed: int) -> Tensor:
    generator, total, count = np.random.default_rng(seed), torch.zeros(len(ids), dtype=torch.float64), 0
    members = [[i for i, one in enumerate(ids) if one == its] for its in sorted(set(ids))]
    seen: set[int] = {0}
    while True:
        order = [i for g in generator.permutation(len(members)) for i in generator.permutation(members[g])]
        for way in (order, order[::-1]):
            codes = np.cumsum([1 << int(i) for i in way]).tolist()
            if len(seen | set(codes)) > budget and count:
                return total / count
            seen |= set(codes)
            total[torch.tensor([int(i) for i in way])] += torch.diff(v[[0, *codes]])
            count += 1


def main() -> None:
    every = real_games()
    lines = ["games     passes  error    permutations  ratio  covered  seconds"]
    for name, ids in GROUPS.items():
        games = torch.cat([v for key, v in every.items() if key.startswith(name)])[:GAMES]
        groups = [[i for i, one in enumerate(ids) if one == its] for its in sorted(set(ids))]
        for budget in BUDGETS:
            ours, theirs, covered, seconds = [], [], [], []
            for v in games:
                truth = torch.as_tensor(GameEstimate.from_values(v).owen_values(ids))
                size = float(truth.square().sum())
                for seed in range(SEEDS):
                    rows = torch.from_numpy(nested_design(groups, budget, seed))
                    start = time.perf_counter()
                    estimate = GameEstimate.from_values(v[(rows.long() << torch.arange(12)).sum(1)], rows, seed=seed)
                    mean, std = estimate.owen_values(ids, return_std=True)
                    seconds.append(time.perf_counter() - start)
                    ours.append(float((mean - truth).square().sum()) / size)
                    covered.append(float(((mean - truth).abs() <= 1.96 * std).double().mean()))
                    other = permutations(v, ids, budget, seed)
                    theirs.append(float((other - truth).square().sum()) / size)
            lines.append(
                f"{name:<8}  {budget:>6}  {np.mean(ours):.1e}  {np.mean(theirs):<12.1e}  "
                f"{np.mean(ours) / np.mean(theirs):>5.2f}  {np.mean(covered):>7.2f}  {np.median(seconds):>7.2f}"
            )
            print(lines[-1], flush=True)
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
