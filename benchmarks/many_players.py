"""Logical models of more than 16 players: R² stated and true, seconds.

    python -m benchmarks.many_players            # minutes; writes benchmarks/results/budget/many_players.txt
    python -m benchmarks.many_players coverage   # minutes; of intervals, on random networks: …_coverage.txt

Games: a network of scikit-learn on the 64 pixels of digits, and gradient-boosted trees (benchmarks/budget_games.py). True R²
is that over 8 192 fresh coalitions. One thread.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks.budget_games import ROOT, budget_games, evaluate, n_players
from captum_andor import AndOrInteractions

FILE = ROOT / "benchmarks" / "results" / "budget" / "many_players.txt"
Rows = np.ndarray


def digit_game(sample: int) -> Callable[[Rows], np.ndarray]:
    """The output for the true digit of one image; pixels that are absent have their mean."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    pixels, digits = load_digits(return_X_y=True)
    pixels = pixels / 16
    network = MLPClassifier((64, 32), random_state=0, max_iter=300).fit(pixels[:1500], digits[:1500])

    def game(rows: Rows) -> np.ndarray:
        activation = np.where(rows, pixels[1500 + sample], pixels.mean(0))
        for layer, (weight, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            activation = activation @ weight + bias
            if layer < len(network.coefs_) - 1:
                activation = np.maximum(activation, 0)
        return activation[:, digits[1500 + sample]]

    return game


def games() -> Iterator[tuple[str, int, Callable[[Rows], np.ndarray]]]:
    for sample in range(2):
        yield f"digits network {sample}", 64, digit_game(sample)
    for name in ("trees30:0", "trees64:0"):
        rules = budget_games()[name]
        yield name, n_players(rules), lambda rows, rules=rules: evaluate(rules, rows)


def coverage() -> None:
    """How often 95 % intervals hold the true R², and stated less true R²: 40 tanh networks, n = 24."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    n, count = 24, 40
    fresh = torch.rand(6000, n, generator=torch.Generator().manual_seed(5)) < 0.5
    lines = [
        "passes | estimate: true R²  stated − true  covered | ten patterns: the same   (means of 40 tanh networks, 24 players)"
    ]
    print(lines[0])
    for budget in (64, 128, 256, 512):
        found = []
        for seed in range(count):
            generator = torch.Generator().manual_seed(1000 + seed)
            first = torch.randn(n, 16, generator=generator) / n**0.5 * (1 + seed % 3)
            second = torch.randn(16, generator=generator)
            method = AndOrInteractions(lambda z, a=first, b=second: torch.tanh(z.float() @ a) @ b, check_repeats=False)
            model = method.logical_model(torch.ones(1, n), budget=budget, seed=seed)
            truth = (torch.tanh(fresh.float() @ first) @ second).double()
            row = []
            for part in (model.estimate, model):
                true = float(1 - (part.predict(fresh)[0] - truth).square().mean() / truth.var())
                low, high = part.r2_interval.flatten().tolist()
                row += [true, float(part.r2) - true, low <= true <= high]
            found.append(row)
        mean = np.nanmean(np.array(found, dtype=float), axis=0)
        lines.append(
            f"{budget:>6} | {mean[0]:.3f}  {mean[1]:+.3f}  {mean[2]:.2f} | {mean[3]:.3f}  {mean[4]:+.3f}  {mean[5]:.2f}"
        )
        print(lines[-1], flush=True)
    FILE.with_name("many_players_coverage.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines = [f"{'game':<18} {'players':>7} {'passes':>6} {'patterns':>8}  true R²  stated                 seconds"]
    for name, n, game in games():
        fresh = np.random.default_rng(9).random((8192, n)) < 0.5
        truth = torch.from_numpy(game(fresh))
        method = AndOrInteractions(lambda z, game=game: torch.from_numpy(game(z.numpy() > 0.5)))

        def row(budget: int, count: int) -> tuple[float, float, tuple[float, float], float]:
            start = time.perf_counter()
            model = method.logical_model(torch.ones(1, n), budget=budget, max_patterns=count)  # noqa: B023
            seconds = time.perf_counter() - start
            error = (model.predict(torch.from_numpy(fresh))[0] - truth).square().mean()  # noqa: B023
            low, high = model.r2_interval.flatten().tolist()
            return float(1 - error / truth.var()), float(model.r2), (low, high), seconds  # noqa: B023

        for budget in (256, 512):
            for count in (10, 20):
                true, stated, (low, high), seconds = row(budget, count)
                lines.append(
                    f"{name:<18} {n:>7} {budget:>6} {count:>8}  {true:>7.3f}  "
                    f"{stated:.3f} [{low:.3f}, {high:.3f}]  {seconds:.1f}"
                )
                print(lines[-1], flush=True)
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    coverage() if sys.argv[1:] == ["coverage"] else main()
