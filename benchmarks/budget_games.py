"""Games of the benchmark of budgets: real networks with all values, and trees whose Shapley values are known exactly.

    python -m benchmarks.budget_games        # a minute, once real_games has its file; writes data/budget_games.npz

Networks: ``NAME:i`` holds v on all 2^n coalitions of sample i. Trees: gradient boosting with one baseline, written as
rules: v(S) = Σ value·[required ⊆ S][forbidden ∩ S = ∅], one rule per leaf that some coalition reaches; Shapley values of
a rule are those of a unanimity game with dummies removed, as TreeSHAP with one baseline gives them.
"""

from __future__ import annotations

from math import factorial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "data" / "budget_games.npz"
SAMPLES = 2


def leaf_rules(tree: Any, x: np.ndarray, baseline: np.ndarray) -> list[tuple[float, frozenset[int], frozenset[int]]]:
    """Leaves of a tree of scikit-learn as value, features that must be of x, features that must be of the baseline."""
    found: list[tuple[float, frozenset[int], frozenset[int]]] = []

    def walk(node: int, required: frozenset[int], forbidden: frozenset[int]) -> None:
        if tree.children_left[node] < 0:
            found.append((float(tree.value[node].ravel()[0]), required, forbidden))
            return
        feature, threshold = int(tree.feature[node]), tree.threshold[node]
        ways = [bool(np.float32(z[feature]) <= threshold) for z in (x, baseline)]
        for left, child in ((True, tree.children_left[node]), (False, tree.children_right[node])):
            of_x, of_baseline = ways[0] == left, ways[1] == left
            if of_x and of_baseline:
                walk(child, required, forbidden)
            elif of_x and feature not in forbidden:
                walk(child, required | {feature}, forbidden)
            elif of_baseline and feature not in required:
                walk(child, required, forbidden | {feature})

    walk(0, frozenset(), frozenset())
    return found


def shapley_of_rules(rules: list[tuple[float, frozenset[int], frozenset[int]]], n: int) -> np.ndarray:
    """Exact Shapley values of a sum of rules."""
    phi = np.zeros(n)
    for value, required, forbidden in rules:
        a, b = len(required), len(forbidden)
        for i in required:
            phi[i] += value * factorial(a - 1) * factorial(b) / factorial(a + b)
        for i in forbidden:
            phi[i] -= value * factorial(a) * factorial(b - 1) / factorial(a + b)
    return phi


def tree_games() -> dict[str, np.ndarray]:
    """Gradient boosting on breast cancer (30), digits (64) and digits with differences of neighbours (128)."""
    from sklearn.datasets import load_breast_cancer, load_digits
    from sklearn.ensemble import GradientBoostingRegressor

    cancer, digits = load_breast_cancer(), load_digits()
    pixels = digits.data / 16
    moved = np.roll(digits.images, 1, axis=2).reshape(len(pixels), 64) / 16
    tables = {
        "trees30": (cancer.data, cancer.target.astype(float)),
        "trees64": (pixels, (digits.target % 2).astype(float)),
        "trees128": (np.hstack([pixels, pixels - moved]), (digits.target % 2).astype(float)),
    }
    games: dict[str, np.ndarray] = {}
    for name, (x, y) in tables.items():
        model = GradientBoostingRegressor(n_estimators=60, max_depth=4, random_state=0).fit(x[:-50], y[:-50])
        baseline = x[:-50].mean(0)
        for i in range(SAMPLES):
            rules = [
                (model.learning_rate * value, required, forbidden)
                for (tree,) in model.estimators_
                for value, required, forbidden in leaf_rules(tree.tree_, x[-1 - i], baseline)
            ]
            n = x.shape[1]
            rows = np.zeros((len(rules), 2 * n + 1))
            for row, (value, required, forbidden) in zip(rows, rules, strict=True):
                row[0] = value
                row[[1 + j for j in required]] = 1
                row[[1 + n + j for j in forbidden]] = 1
            games[f"{name}:{i}"] = rows
    return games


def budget_games() -> dict[str, np.ndarray]:
    """All games by name: one axis for values of all coalitions, two for rules."""
    if not CACHE.exists():
        from benchmarks.real_games import real_games  # needs torch, which the environment of the peers lacks

        games = {
            f"{name}:{i}": v[i].numpy() for name, v in real_games().items() for i in range(min(SAMPLES, len(v)))
        } | tree_games()
        np.savez_compressed(CACHE, **games)
    with np.load(CACHE) as stored:
        return {name: stored[name] for name in stored.files}


def n_players(game: np.ndarray) -> int:
    return len(game).bit_length() - 1 if game.ndim == 1 else (game.shape[1] - 1) // 2


def evaluate(game: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """v on bool coalitions ``(m, n)``."""
    n = n_players(game)
    if game.ndim == 1:
        return game[(rows.astype(np.int64) << np.arange(n)).sum(1)]
    values, required, forbidden = game[:, 0], game[:, 1 : n + 1], game[:, n + 1 :]
    present = rows.astype(float)
    holds = (present @ required.T == required.sum(1)) & (present @ forbidden.T == 0)
    return holds @ values


def exact_shapley(game: np.ndarray) -> np.ndarray:
    n = n_players(game)
    if game.ndim == 2:
        sets = [
            (row[0], frozenset(np.flatnonzero(row[1 : n + 1])), frozenset(np.flatnonzero(row[n + 1 :]))) for row in game
        ]
        return shapley_of_rules(sets, n)
    sizes = ((np.arange(len(game))[:, None] >> np.arange(n)) & 1).sum(1)
    phi = np.zeros(n)
    for i in range(n):
        without = np.flatnonzero((np.arange(len(game)) >> i & 1) == 0)
        s = sizes[without]
        weights = np.array([factorial(k) * factorial(n - k - 1) / factorial(n) for k in range(n)])[s]
        phi[i] = (weights * (game[without | 1 << i] - game[without])).sum()
    return phi


if __name__ == "__main__":
    for name, game in budget_games().items():
        print(f"{name:12} {n_players(game):4} players, {len(game)} {'values' if game.ndim == 1 else 'rules'}")
    print(f"in {CACHE.relative_to(Path.cwd()) if CACHE.is_relative_to(Path.cwd()) else CACHE.name}")
