"""Shapley values against a background of 100 rows, from a budget: squared error, coverage, time.

    python -m benchmarks.background        # some 6 minutes; writes benchmarks/results/background.txt

Ten games of three data sets of scikit-learn (breast cancer, twelve columns; wine, thirteen; digits, sixteen patches),
log-odds of small networks, all 2^n coalitions on all rows as the truth. Passes are counted beside v(N) and the pass that
each row takes by itself, which every method is given: antithetic permutations (each pair on a row, rows evenly, 20
seeds), LeverageSHAP where every coalition sees all rows, and ``AndOrInteractions.estimate`` (4 seeds). One thread.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.games import Background
from captum_andor.games.transforms import all_coalitions, shapley_values
from captum_andor.sampling import SHAPLEY, paired_design

FILE = Path(__file__).resolve().parent / "results" / "background.txt"
BUDGETS, ROWS, SEEDS, PEER_SEEDS = (250, 500, 1000, 2000), 100, 4, 20
COLUMNS = [0, 1, 4, 6, 7, 10, 13, 20, 21, 24, 27, 28]


@dataclass
class Game:
    """One sample of a data set, its network, and the rows that it is compared with."""

    name: str
    model: nn.Module
    x: Tensor
    target: int
    rows: Tensor
    mask: Tensor

    def log_odds(self, present: Tensor, row: Tensor) -> Tensor:
        """On coalitions ``(k, n)``, each at a row: float64, ``(k,)``."""
        found = []
        for some, which in zip(present.split(50_000), row.split(50_000), strict=True):
            z = self.model(torch.where(some[:, self.mask], self.x, self.rows[which])).double()
            others = torch.cat([z[:, : self.target], z[:, self.target + 1 :]], 1).logsumexp(1)
            found.append(z[:, self.target] - others)
        return torch.cat(found)

    @property
    def n_players(self) -> int:
        return int(self.mask.max()) + 1


def games() -> Iterator[Game]:
    cancer, wine, digits = load_breast_cancer(), load_wine(), load_digits()
    place = np.arange(64)
    patches = torch.from_numpy((place // 8 // 2) * 4 + place % 8 // 2)
    for name, data, mask, count in (
        ("cancer", cancer.data[:, COLUMNS], torch.arange(12), 4),
        ("wine", wine.data, torch.arange(13), 3),
        ("digits", digits.data, patches, 3),
    ):
        y = torch.from_numpy({"cancer": cancer, "wine": wine, "digits": digits}[name].target)
        standard = (data - data.mean(0)) / np.where(data.std(0) > 0, data.std(0), 1)
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
        x, y = torch.from_numpy(standard).float()[order], y[order]
        model = trained(x[:-count], y[:-count])
        for i in range(count):
            yield Game(f"{name} {i}", model, x[-1 - i], int(y[-1 - i]), x[:ROWS], mask)


def trained(x: Tensor, y: Tensor) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, int(y.max()) + 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


def truth(game: Game) -> Tensor:
    """The mean game on all coalitions."""
    coalitions = all_coalitions(game.n_players)
    total = torch.zeros(len(coalitions), dtype=torch.float64)
    for row in range(ROWS):
        total += game.log_odds(coalitions, torch.full((len(coalitions),), row))
    return total / ROWS


def permutations(game: Game, v: Tensor, passes: int, seed: int) -> Tensor:
    generator, n = np.random.default_rng(seed), game.n_players
    count = passes // (n - 1)
    rows = np.concatenate([generator.permutation(ROWS) for _ in range(count // ROWS + 1)])
    first = [generator.permutation(n) for _ in range((count + 1) // 2)]
    orders = [p for players in first for p in (players, players[::-1])][:count]
    chains = np.zeros((count, n + 1, n), dtype=bool)
    for chain, players in zip(chains, orders, strict=True):
        for size, player in enumerate(players):
            chain[size + 1 :, player] = True
    row = torch.from_numpy(np.repeat(rows[np.arange(count) // 2], n + 1))
    values = game.log_odds(torch.from_numpy(chains.reshape(-1, n)), row).view(count, n + 1)
    total = torch.zeros(n, dtype=torch.float64)
    for players, steps in zip(orders, values.diff(dim=1), strict=True):
        total[torch.from_numpy(players.copy())] += steps
    return efficient(total / count, v)


def leverage(game: Game, v: Tensor, passes: int, seed: int) -> Tensor | None:
    """Least squares with the weights of the Shapley kernel on coalitions that see all rows."""
    n, count = game.n_players, passes // ROWS
    if count < n + 2:
        return None
    coalitions = torch.from_numpy(paired_design(n, count, SHAPLEY, seed))[2:]
    code = (coalitions.long() << torch.arange(n)).sum(1)
    sizes = coalitions.sum(1)
    seen = torch.bincount(sizes, minlength=n + 1)
    weight = torch.tensor([1 / (int(s) * (n - int(s)) * int(seen[s])) for s in sizes], dtype=torch.float64)
    z = coalitions.double()
    a, y = z[:, :-1] - z[:, -1:], v[code] - v[0] - z[:, -1] * (v[-1] - v[0])
    root = weight.sqrt()
    phi = torch.linalg.lstsq(a * root[:, None], (y * root)[:, None], driver="gelsd").solution[:, 0]
    return torch.cat([phi, (v[-1] - v[0] - phi.sum())[None]])


def efficient(phi: Tensor, v: Tensor) -> Tensor:
    return phi + (v[-1] - v[0] - phi.sum()) / len(phi)


def inside(low: Tensor, high: Tensor, value: Tensor) -> float:
    return float(((low <= value) & (value <= high)).double().mean())


@torch.no_grad()
def compared(game: Game) -> dict[int, list[float]]:
    """By passes: our error, those of permutations and LeverageSHAP, coverage of φ, of R² of ten patterns, seconds."""
    v = truth(game)
    phi, everything = shapley_values(v), all_coalitions(game.n_players)
    size = float(phi.square().sum())
    found = {}
    for passes in BUDGETS:
        ours, covers, of_r2, seconds = [], [], [], []
        for seed in range(SEEDS):
            method = AndOrInteractions(game.model, score="log_odds")
            start = time.perf_counter()
            estimate = method.estimate(
                game.x[None], Background(game.rows), game.target, feature_mask=game.mask[None],
                budget=passes + ROWS + 1, seed=seed,
            )[0]  # fmt: skip
            mean, std = estimate.shapley_values(return_std=True)
            seconds.append(time.perf_counter() - start)
            ours.append(float((mean - phi).square().sum()) / size)
            covers.append(inside(mean - 1.96 * std, mean + 1.96 * std, phi))
            model = estimate.logical_model(max_patterns=10)
            r2 = 1 - (v - model.predict(everything)).square().mean() / v.var(unbiased=False)
            of_r2.append(inside(*model.r2_interval.unbind(-1), r2))
        theirs = [float((permutations(game, v, passes, s) - phi).square().sum()) / size for s in range(PEER_SEEDS)]
        peers = [leverage(game, v, passes, s) for s in range(PEER_SEEDS)]
        squares = [float((peer - phi).square().sum()) / size for peer in peers if peer is not None]
        found[passes] = [
            float(np.mean(part)) if part else float("nan")
            for part in (ours, theirs, squares, covers, of_r2, [float(np.median(seconds))])
        ]
    return found


def main() -> None:
    lines = ["game      passes  error    permutations  LeverageSHAP  covered  of R²  seconds"]
    ratios: dict[int, list[list[float]]] = {passes: [] for passes in BUDGETS}
    print(lines[0])
    for game in games():
        for passes, (ours, theirs, peer, covered, of_r2, seconds) in compared(game).items():
            ratios[passes].append([ours / theirs, ours / peer, covered, of_r2, seconds])
            lines.append(
                f"{game.name:<9} {passes:>6}  {ours:.1e}  {theirs:<12.1e}  {peer:<12.1e}  {covered:>7.2f}  {of_r2:>5.2f}"
                f"  {seconds:>7.2f}"
            )
            print(lines[-1], flush=True)
    lines = [line.replace("nan", "  –") for line in lines]  # too few passes for a regression
    lines.append(
        "\npasses  error by permutations  by LeverageSHAP  covered  of R²  seconds   (geometric, mean, median)"
    )
    for passes, rows in ratios.items():
        table = np.array(rows)
        first, second = np.exp(np.log(table[:, :2]).mean(0))
        of_leverage = "–" if np.isnan(second) else f"{second:.3f}"
        lines.append(
            f"{passes:>6}  {first:>21.2f}  {of_leverage:>15}  {table[:, 2].mean():>7.3f}  {table[:, 3].mean():>5.2f}  "
            f"{np.median(table[:, 4]):>7.2f}"
        )
    print("\n".join(lines[-len(BUDGETS) - 1 :]))
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
