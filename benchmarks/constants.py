"""What the constants of the algorithms do when they are halved or doubled.

    python -m benchmarks.constants          # 3 minutes on one core

Splits: digits in 10 patches (20 samples) to a gap of 1e-3, without noise and with a noise bound of 0.04: iterations of
Douglas-Rachford splitting until every sample is proven. Patterns: digits in 12 patches (8 samples), mean R² of ten.
Many players: planted games of 20 patterns among 64 players from 512 coalitions, how many of five are found exactly.
Seconds are those of one run on a shared machine and say little; the other numbers repeat exactly.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

from benchmarks.real_games import digits
from captum_andor import LogicalModel
from captum_andor.search import beam_search, pursuit
from captum_andor.split import douglas_rachford, split_game
from tests.support import pattern_oracles

torch.set_num_threads(1)
GAMES = digits()


def iterations() -> str:
    """Iterations until all samples are proven, without and with noise."""
    counts = []
    for noise_bound in (0.0, 0.04):
        steps = 0
        step = douglas_rachford._Search.step

        def counted(self: Any, step: Callable[[Any], None] = step) -> None:
            nonlocal steps
            steps += 1
            step(self)

        douglas_rachford._Search.step = counted  # type: ignore[method-assign]
        try:
            split_game(GAMES["digits10"], "sparse", noise_bound, 1e-3)
        finally:
            douglas_rachford._Search.step = step  # type: ignore[method-assign]
        counts.append(str(steps))
    return " / ".join(counts)


def r2(effort: str) -> str:
    models = LogicalModel.from_values(GAMES["digits12"], max_patterns=10, effort=effort)  # type: ignore[arg-type]
    return f"R² {float(models.r2.mean()):.4f}"


def found() -> str:
    exact = 0
    for seed in range(5):
        generator = np.random.default_rng(seed)
        terms: dict[tuple[bool, tuple[int, ...]], float] = {}
        while len(terms) < 20:
            order = int(generator.integers(1, 7))
            players = tuple(sorted(int(i) for i in generator.choice(64, order, replace=False)))
            terms.setdefault((bool(order > 1 and generator.random() < 0.4), players), float(generator.uniform(0.5, 2)))
        rows = generator.random((512, 64)) < generator.uniform(0.25, 0.75, (512, 1))
        v = torch.from_numpy(pattern_oracles.values(terms, rows))
        model = LogicalModel.from_values(v, torch.from_numpy(rows), max_patterns=None, exact_ends=False)
        mine = {(p.kind == "or", p.players) for p in model.patterns}
        exact += pattern_oracles.canonical(mine) == pattern_oracles.canonical(set(terms))
    return f"{exact} of 5"


CASES: list[tuple[ModuleType, str, Callable[[], str], tuple[Any, ...]]] = [
    (douglas_rachford, "RELAXATION", iterations, (1.0, 1.5, 1.8, 1.95, 1.99)),
    (douglas_rachford, "NOISE_STEP", iterations, (1.5, 3.0, 6.0)),
    (douglas_rachford, "_FIRST_CHECK", iterations, (25, 50, 100)),
    (douglas_rachford, "_WINDOW_GROWTH", iterations, (0.2, 0.4, 0.8)),
    (douglas_rachford, "_BALANCED", iterations, (1.1, 1.25, 1.5)),
    (douglas_rachford, "_MOST_CHANGE", iterations, (2.5, 5.0, 10.0)),
    (pursuit, "_PREFERENCE", lambda: r2("stable"), (0.15, 0.3, 0.6)),
    (pursuit, "_SHORTLIST", lambda: r2("stable"), (512, 1024, 2048)),
    (pursuit, "_STEPS", lambda: r2("stable"), (2, 5, 10)),
    (pursuit, "_SWAP_SHORTLIST", lambda: r2("accurate"), (512, 1024, 2048)),
    (pursuit, "_SWAP_RENEWED", lambda: r2("accurate"), (1, 3, 6)),
    (pursuit, "_SWAP_GAIN", lambda: r2("accurate"), (5e-6, 1e-5, 2e-5)),
    (pursuit, "_MOST_SWAPS", lambda: r2("accurate"), (3, 6, 12)),
    (beam_search, "_BEAM", found, (24, 48, 96)),
    (beam_search, "_FINALISTS", found, (20, 40, 80)),
    (beam_search, "_SINGLES", found, (4, 8, 16)),
    (beam_search, "_RENEWED", found, (2, 5, 10)),
    (beam_search, "_MOST_CLIMBS", found, (4, 8, 16)),
]


def main() -> None:
    for module, name, measure, variants in CASES:
        stands = getattr(module, name)
        for value in variants:
            setattr(module, name, value)
            start = time.perf_counter()
            try:
                result = measure()
            except ValueError as error:
                result = f"error: {error}"
            seconds = time.perf_counter() - start
            mark = "*" if value == stands else " "
            print(
                f"{module.__name__.split('.', 1)[1]:24} {name:16} {value!s:>8}{mark} {result:16} {seconds:6.2f} s",
                flush=True,
            )
        setattr(module, name, stands)


if __name__ == "__main__":
    main()
