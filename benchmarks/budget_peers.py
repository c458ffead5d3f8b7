"""Peers of the benchmark of budgets: the estimators of shapiq 1.8, in an environment of their own (Python ≥ 3.12).

    python3.12 -m venv .venv-peers && .venv-peers/bin/pip install shapiq==1.8.0 lightgbm xgboost
    .venv-peers/bin/python -m benchmarks.budget_peers      # writes benchmarks/results/budget/peers.csv
    .venv-peers/bin/pip install "shapiq[shapleig]==1.8.0"
    .venv-peers/bin/python -m benchmarks.budget_peers shapleig    # few passes, 12 players: …/shapleig.csv

Squared relative error of the Shapley values of each game, budget and seed. ShaplEIG asks one coalition after another and
fits its process anew after each, so that it takes up to minutes a game: it is run on games of 12 players at 26 and 64
passes.
"""

from __future__ import annotations

import csv
import os
import sys
import time
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from shapiq import approximator as peers

from benchmarks.budget_games import ROOT, budget_games, evaluate, exact_shapley, n_players

BUDGETS, SEEDS, FEW = (128, 256, 512, 1024), (0, 1), (26, 64)
RESULTS = ROOT / "benchmarks" / "results" / "budget" / "peers.csv"


def estimators(n: int, seed: int) -> dict[str, object]:
    found = {
        "KernelSHAP": lambda: peers.KernelSHAP(n, pairing_trick=True, random_state=seed),
        "LeverageSHAP": lambda: peers.LeverageSHAP(n, random_state=seed),
        "OddSHAP": lambda: peers.OddSHAP(n, random_state=seed),
        "RegressionMSR": lambda: peers.RegressionMSR(n, "SV", random_state=seed),
        "ProxySHAP": lambda: peers.ProxySHAP(n, index="SV", max_order=1, adjustment=True, random_state=seed),
    }
    if n <= 16:
        found["PolySHAP 3"] = lambda: peers.PolySHAP(n, max_order=3, pairing_trick=True, random_state=seed)
    return found


def shapleig() -> None:
    """ShaplEIG (Rundel et al. 2026), the nearest relative: a process with a weighted Hamming kernel."""
    from shapiq.approximator.shapleig import ShaplEIG

    warnings.simplefilter("ignore")
    with RESULTS.with_name("shapleig.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["game", "n", "budget", "seed", "method", "error", "seconds"])
        for budget in FEW:
            for name, game in budget_games().items():
                n = n_players(game)
                if n != 12:
                    continue
                exact, start = exact_shapley(game), time.perf_counter()
                method = ShaplEIG(n, random_state=0, show_progress=False)
                found = method.approximate(budget, lambda rows, game=game: evaluate(game, np.asarray(rows, bool)))
                error = float(((values_of(found, n) - exact) ** 2).sum() / (exact**2).sum())
                seconds = time.perf_counter() - start
                writer.writerow([name, n, budget, 0, "ShaplEIG", f"{error:.4g}", f"{seconds:.2f}"])
                file.flush()
                print(name, budget, f"{error:.2e} {seconds:.0f} s", flush=True)


def values_of(interactions: object, n: int) -> np.ndarray:
    return np.array([interactions[(i,)] for i in range(n)])  # type: ignore[index]


def main() -> None:
    warnings.simplefilter("ignore")
    wanted = sys.argv[1].split(",") if len(sys.argv) > 1 else None
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["game", "n", "budget", "seed", "method", "error", "seconds"])
        for name, game in budget_games().items():
            if wanted and name.split(":")[0] not in wanted:
                continue
            n, exact = n_players(game), exact_shapley(game)
            for budget in BUDGETS:
                if n < 14 and budget >= 2**n:
                    continue
                for seed in SEEDS:
                    for method, make in estimators(n, seed).items():
                        start = time.perf_counter()
                        try:
                            found = make().approximate(
                                budget, lambda rows, game=game: evaluate(game, np.asarray(rows, bool))
                            )  # type: ignore[operator]
                            error = float(((values_of(found, n) - exact) ** 2).sum() / (exact**2).sum())
                        except Exception as problem:
                            print(name, budget, method, type(problem).__name__, str(problem)[:100], flush=True)
                            continue
                        seconds = time.perf_counter() - start
                        writer.writerow([name, n, budget, seed, method, f"{error:.4g}", f"{seconds:.2f}"])
                        file.flush()
            print(name, flush=True)


if __name__ == "__main__":
    shapleig() if sys.argv[1:] == ["shapleig"] else main()
