"""The logical model on real networks and planted games, beside its peers: R², patterns, passes, seconds.

    .venv/bin/pip install -c constraints.txt -e ".[benchmarks]"
    .venv/bin/python -m benchmarks.logical_model [effort time noise sentences planted many orders peers budget]   # default: all; about 40 minutes

One thread, one run; medians of seconds. R² is over all 2^n coalitions, equal weight. Peers are those of shapiq, asked for
the Möbius transform of full order (Faith-Banzhaf); least squares get the ridge that suits them best, chosen on all
coalitions, which no user could.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.real_games import real_games
from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.games.transforms import coalition_members
from tests.support import pattern_oracles

SEEDS = 5
REAL = {"digits12": 2, "photo12": 3, "census12": 2, "news14": 2, "mnist16": 2}  # samples that peers are run on
Patterns = dict[tuple[bool, tuple[int, ...]], float]


def everything(n: int) -> Tensor:
    return coalition_members(torch.arange(1 << n), n)


def r2(v: Tensor, h: Tensor) -> float:
    return float(1 - (v - h).square().sum() / (v - v.mean()).square().sum())


def timed(call: Callable[[], Any], repeats: int = 1) -> tuple[Any, float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def effort() -> None:
    print("\n# R² from all coalitions, mean over samples: free ends / exact ends")
    print(f"{'games':10} {'effort':9}" + "".join(f"{'k = ' + str(k):>17}" for k in (5, 10, 20, 40)))
    for name, v in real_games().items():
        for level in ("stable", "accurate", "high"):
            cells = []
            for k in (5, 10, 20, 40):
                pair = [
                    LogicalModel.from_values(v, max_patterns=k, effort=level, exact_ends=ends).r2.mean()
                    for ends in (False, True)
                ]
                cells.append(f"{pair[0]:.3f} / {pair[1]:.3f}")
            print(f"{name:10} {level:9}" + "".join(f"{cell:>17}" for cell in cells), flush=True)


def seconds() -> None:
    print("\n# Milliseconds a sample beside the passes, k = 20, free ends (exact ends), median of 9 (high: 3)")
    print(f"{'games':10} {'together':>9} {'stable':>16} {'accurate':>16} {'high':>16}")
    for name in ("digits8", "digits10", "digits12", "mnist16"):
        games = real_games()[name]
        for together in (1, 100 if len(games) == 20 else len(games)):
            cells = []
            for level in ("stable", "accurate", "high"):
                pair = []
                for ends in (False, True):
                    v = games.repeat(5, 1)[:together]
                    options: dict[str, Any] = {"max_patterns": 20, "effort": level, "exact_ends": ends}
                    LogicalModel.from_values(v, **options)
                    _, took = timed(
                        lambda v=v, o=options: LogicalModel.from_values(v, **o), 3 if level == "high" else 9
                    )
                    pair.append(1e3 * took / together)
                cells.append(f"{pair[0]:.2f} ({pair[1]:.2f})")
            print(f"{name:10} {together:9}" + "".join(f"{cell:>17}" for cell in cells), flush=True)


def model_of(v: Tensor, budget: int, seed: int, **options: Any) -> LogicalModel:
    """What ``method.logical_model`` makes of a game whose values are looked up."""
    n = len(v).bit_length() - 1
    bits = 1 << torch.arange(n)
    method = AndOrInteractions(lambda z: v[(z.long() * bits).sum(1)])
    options = {"exact_ends": False, **options}
    return method.logical_model(torch.ones(1, n), budget=budget, seed=seed, perturbations_per_eval=4096, **options)


def least_squares(v: Tensor, budget: int, order: int, seed: int) -> tuple[float, int]:
    """Best R² over ridges of Walsh polynomials of some degree, and their number of terms."""
    n = len(v).bit_length() - 1
    signs = 2.0 * everything(n).double() - 1
    size = everything(n).sum(1)
    terms = everything(n)[(size >= 1) & (size <= order)]
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(1 << n)[:budget])
    columns = torch.stack([signs[:, t].prod(1) for t in terms], 1)
    x, y = columns[rows], v[rows]
    mean, level = x.mean(0), y.mean()
    left, spread, right = torch.linalg.svd(x - mean, full_matrices=False)
    best = -np.inf
    for ridge in (1e-6, 1e-4, 1e-3, 1e-2, 1e-1):
        weights = right.T @ (spread / (spread.square() + ridge * budget) * (left.T @ (y - level)))
        best = max(best, r2(v, level + (columns - mean) @ weights))
    return best, len(terms)


def peer(name: str, v: Tensor, budget: int, seed: int) -> tuple[float, int]:
    """R² of a shapiq approximator, and its number of terms."""
    import shapiq.approximator

    n = len(v).bit_length() - 1
    values = v.numpy()
    options: dict[str, Any] = {"index": "FBII", "max_order": n}
    if name == "KernelSHAPIQ":
        options = {"index": "k-SII", "max_order": 2}
    approximator = getattr(shapiq.approximator, name)(n=n, random_state=seed, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = approximator.approximate(budget, lambda x: values[x.astype(int) @ (1 << np.arange(n))])
    everyone = everything(n)
    h = torch.zeros(1 << n, dtype=torch.float64)
    count = 0
    for players, weight in result.dict_values.items():
        h += weight * everyone[:, [int(i) for i in players]].all(1)
        count += len(players) > 0 and abs(weight) > 1e-12
    return r2(v, h - h.mean() + v.mean()), int(count)  # the constant fitted, in its favour


def budget() -> None:
    import shapiq.approximator  # noqa: F401

    print(f"\n# From a budget: R² over all coalitions, mean of {SEEDS} seeds [lowest], terms, seconds")
    _, cold = timed(lambda: peer("SPEX", real_games()["digits12"][0], 512, 0))
    print(f"SPEX, first call of a process (it compiles): {cold:.1f} s; below it is warm")
    everyone = everything(16)
    for name, samples in REAL.items():
        for sample in range(samples):
            v = real_games()[name][sample]
            n = len(v).bit_length() - 1
            for m in (512, 1024):
                print(f"\n{name}[{sample}], n = {n}, {m} passes", flush=True)
                sizes: dict[str, int] = {}
                took: dict[str, float] = {}
                for kind in ("ProxySPEX", "SPEX", "KernelSHAPIQ", "least squares 2", "least squares 3"):
                    run = (
                        partial(least_squares, v, m, int(kind[-1])) if "squares" in kind else partial(peer, kind, v, m)
                    )
                    try:
                        runs = [timed(partial(run, seed)) for seed in range(SEEDS)]
                    except ValueError as error:  # SPEX has a least budget
                        print(f"  {kind:24} {error}")
                        continue
                    sizes[kind] = round(statistics.mean(run[0][1] for run in runs))
                    took[kind] = report(kind, [run[0] for run in runs], [run[1] for run in runs])
                for kind, options in (
                    ("ours, size of ProxySPEX", {"max_patterns": sizes["ProxySPEX"]}),
                    ("ours, size of SPEX", {"max_patterns": min(sizes.get("SPEX", 20), m // 3)}),
                    ("ours, k = 20", {"max_patterns": 20}),
                    ("ours, cross-validated", {"max_patterns": None}),
                ):
                    effort = "stable" if options["max_patterns"] is None else "accurate"
                    runs = [timed(partial(model_of, v, m, s, effort=effort, **options)) for s in range(SEEDS)]
                    models = [run[0] for run in runs]
                    scores = [(r2(v, lm.predict(everyone[: 1 << n, :n])[0]), len(lm.patterns)) for lm in models]
                    report(kind, scores, [run[1] for run in runs], took["ProxySPEX"])


def report(kind: str, scores: list[tuple[float, int]], took: list[float], against: float | None = None) -> float:
    values, sizes = [s[0] for s in scores], [s[1] for s in scores]
    median = statistics.median(took)
    ratio = "" if against is None else f"   1/{against / median:.0f} of ProxySPEX"
    terms = f"{min(sizes)}-{max(sizes)}"
    print(
        f"  {kind:24} {statistics.mean(values):7.4f} [{min(values):7.4f}] {terms:>9} {median:8.3f}{ratio}", flush=True
    )
    return median


def complete_planted() -> None:
    print("\n# Planted games from all coalitions, ten seeds: found (up to x_i + x_j = AND_ij + OR_ij), seconds")
    for n in (8, 10, 12, 14):
        for kind in ("additive", "additive and pairs", "14-20 patterns"):
            for level in ("stable", "accurate", "high"):
                found, took = 0, []
                for seed in range(10):
                    terms = planted_complete(n, kind, seed)
                    v = pattern_oracles.values(terms, pattern_oracles.rows(n))
                    lm, seconds_ = timed(
                        lambda v=v, e=level: LogicalModel.from_values(v, max_patterns=None, min_r2=1.0, effort=e)
                    )
                    mine = {(p.kind == "or", p.players) for p in lm.patterns}
                    found += pattern_oracles.canonical(mine) == pattern_oracles.canonical(set(terms))
                    took.append(seconds_)
                print(f"n = {n:2}  {kind:20} {level:9} {found:3}/10 {statistics.median(took):8.3f} s", flush=True)


def planted_complete(n: int, kind: str, seed: int) -> Patterns:
    generator = np.random.default_rng(seed)

    def weight() -> float:
        return float(generator.uniform(0.5, 2) * generator.choice([-1, 1]))

    if kind == "14-20 patterns":
        return pattern_oracles.planted(n, int(generator.integers(14, 21)), seed)[0]
    terms: Patterns = {(False, (i,)): weight() for i in range(n)}
    while kind == "additive and pairs" and len(terms) < n + 3:
        pair = tuple(sorted(int(i) for i in generator.choice(n, 2, replace=False)))
        if not {(False, pair), (True, pair)} & set(terms):
            terms[bool(generator.random() < 0.5), pair] = weight()
    return terms


def planted_many(n: int, count: int, seed: int, largest: int = 6) -> Patterns:
    """Patterns of orders 1 to 6, where ``largest`` is above, four of that order among them."""
    generator = np.random.default_rng(seed)
    terms: Patterns = {}
    while len(terms) < count:
        order = largest if largest > 6 and len(terms) < 4 else int(generator.integers(1, 7))
        players = tuple(sorted(int(i) for i in generator.choice(n, order, replace=False)))
        terms.setdefault((bool(order > 1 and generator.random() < 0.5), players), float(generator.uniform(0.5, 2)))
    return terms


def many() -> None:
    print("\n# Planted games of many players, AND and OR of orders 1 to 6, ten seeds")
    print(
        f"{'n':>4} {'patterns':>9} {'passes':>14} {'noise':>6} {'exact':>6} {'recall':>7} {'precision':>9} {'seconds':>14}"
    )
    rows: list[tuple[int, int, int | str, float, dict[str, Any]]] = [
        *((n, 20, 768, 0.0, {}) for n in (32, 64, 128, 196)),
        (500, 20, 1024, 0.0, {}),
        *((n, 20, "auto", 0.0, {"r2_tolerance": 1e-6}) for n in (32, 64, 128, 196, 500)),
        (64, 20, 1024, 0.01, {}),
        (64, 20, 1024, 0.1, {}),
        (64, 40, 1024, 0.0, {}),
        (64, 40, 1536, 0.0, {}),
    ]
    for row in rows:
        many_row(*row)


def orders() -> None:
    print("\n# Four patterns of order 8 among twenty, ten seeds; 1 024 passes are enough to see order 8, 768 are not")
    many_row(64, 20, 1024, 0.0, {}, largest=8)


def many_row(n: int, count: int, passes: int | str, noise: float, options: dict[str, Any], largest: int = 6) -> None:
    scores, took, spent = [], [], []
    for seed in range(10):
        terms = planted_many(n, count, seed, largest)
        method = AndOrInteractions(NoisyGame(terms, n, noise, seed))
        lm, seconds_ = timed(
            lambda m=method, s=seed: m.logical_model(
                torch.ones(1, n), budget=passes, max_patterns=None, seed=s, perturbations_per_eval=4096, **options
            )
        )
        mine = pattern_oracles.canonical({(p.kind == "or", p.players) for p in lm.patterns})
        true = pattern_oracles.canonical(set(terms))
        scores.append((mine == true, len(mine & true) / len(true), len(mine & true) / max(len(mine), 1)))
        took.append(seconds_)
        spent.append(lm.n_evaluations)
    exact, recall, precision = (statistics.mean(s[i] for s in scores) for i in range(3))
    name = f"auto, {statistics.mean(spent):.0f}" if passes == "auto" else str(passes)
    print(
        f"{n:4} {count:9} {name:>14} {noise:6.2f} {10 * exact:3.0f}/10 {recall:7.3f} {precision:9.3f} "
        f"{statistics.median(took):6.2f} ≤ {max(took):.2f}",
        flush=True,
    )


class NoisyGame:
    """A planted game with output noise relative to the standard deviation of its values."""

    def __init__(self, terms: Patterns, n: int, noise: float, seed: int) -> None:
        self.terms = terms
        self.generator = np.random.default_rng(seed)
        coins = self.generator.random((4096, n)) < 0.5
        self.sigma = noise * float(pattern_oracles.values(terms, coins).std())

    def __call__(self, z: Tensor) -> Tensor:
        v = pattern_oracles.values(self.terms, z.numpy() > 0)
        return torch.from_numpy(v + self.sigma * self.generator.standard_normal(len(v)))


def many_peers() -> None:
    print(
        "\n# The same games, n = 64, two seeds, peers: R² on 4 096 coin flips, recall of the AND form, terms, seconds"
    )
    import shapiq.approximator

    for name, passes in (("ProxySPEX", 768), ("SPEX", 768), ("SPEX", 3456), ("KernelSHAPIQ", 3456)):
        for seed in range(2):
            terms = planted_many(64, 20, seed)
            options: dict[str, Any] = {"index": "FBII", "max_order": 6}
            if name == "KernelSHAPIQ":
                options = {"index": "k-SII", "max_order": 2}
            coins = np.random.default_rng(seed).random((4096, 64)) < 0.5
            truth = torch.from_numpy(pattern_oracles.values(terms, coins))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                approximator = getattr(shapiq.approximator, name)(n=64, random_state=seed, **options)
                result, took = timed(
                    lambda a=approximator, p=passes, t=terms: a.approximate(
                        p, lambda x: pattern_oracles.values(t, x.astype(bool))
                    )
                )
            h = torch.zeros(4096, dtype=torch.float64)
            present = torch.from_numpy(coins)
            large = set()
            for players, weight in result.dict_values.items():
                h += weight * present[:, [int(i) for i in players]].all(1)
                if abs(weight) > 0.05:
                    large.add(tuple(sorted(int(i) for i in players)))
            singles_and = {players for is_or, players in terms if not is_or}
            recall = len(singles_and & large) / len(singles_and)
            score = r2(truth, h - h.mean() + truth.mean())
            print(f"{name:13} {passes:5} passes  {score:7.3f} {recall:6.2f} {len(large):6} {took:8.1f} s", flush=True)


def noise() -> None:
    print("\n# Patterns that stay (IoU) under output noise relative to |v(N) - v(∅)|, stable, exact ends, ten draws")
    for name in ("digits8", "digits10", "digits12", "photo12", "census12"):
        v = real_games()[name]
        cells = [f"{stays(v, k, level):.2f}" for k in (5, 10, 20) for level in (0.01, 0.03)]
        print(
            f"{name:10} k = 5: {cells[0]}/{cells[1]}   10: {cells[2]}/{cells[3]}   20: {cells[4]}/{cells[5]}",
            flush=True,
        )


def stays(v: Tensor, k: int, level: float) -> float:
    def sets(values: Tensor) -> list[set[Any]]:
        lm = LogicalModel.from_values(values, max_patterns=k)
        return [{(p.kind, p.players) for p in one.patterns} for one in lm]

    generator = torch.Generator().manual_seed(0)
    span = (v[:, -1:] - v[:, :1]).abs()
    before, shares = sets(v), []
    for _ in range(10):
        after = sets(v + level * span * torch.randn(v.shape, generator=generator, dtype=v.dtype))
        shares += [len(a & b) / len(a | b) for a, b in zip(before, after, strict=True)]
    return statistics.mean(shares)


def sentences() -> None:
    """How patterns read: pairs told both ways, signs, and ten sentences beside effects by enumeration."""
    print(
        "\n# Ten patterns: games that tell a pair as AND and as OR of one sign; weights against what their players do"
    )
    for name in FAMILIES:
        v = real_games()[name]
        models = list(LogicalModel.from_values(v))
        both = sum(map(_tells_both, models))
        patterns = [(i, p) for i, lm in enumerate(models) for p in lm.patterns]
        wrong = sum(p.value * enumerated(v[i], p.players)[1] < 0 for i, p in patterns)
        print(f"{name:10} both ways {both:2}/{len(v):<2}   other sign {wrong:2}/{len(patterns)}", flush=True)
    print("\n# Sentences, each above the effects by enumeration of all contexts")
    for name in FAMILIES:
        lm = LogicalModel.from_values(real_games()[name][0])
        several = [place for place, p in enumerate(lm.patterns) if p.order > 1][:2]
        for place in several:
            alone, together = enumerated(real_games()[name][0], lm.patterns[place].players)
            print(f"{name:10} {lm.rules()[place]}")
            print(f"{'':10} " + ", ".join(f"{x:+.4f}" for x in alone) + f"; {together:+.4f}", flush=True)


FAMILIES = ("digits8", "digits10", "digits12", "photo8", "photo12", "census12", "news14")


def _tells_both(lm: LogicalModel) -> bool:
    weights = {(p.kind, p.players): p.value for p in lm.patterns if p.order > 1}
    return any(kind == "and" and weights.get(("or", players), 0.0) * w > 0 for (kind, players), w in weights.items())


def enumerated(v: Tensor, players: tuple[int, ...]) -> tuple[list[float], float]:
    """Effects of each player alone and of all together, a mean over all contexts one by one."""
    codes = torch.arange(len(v))
    code = sum(1 << player for player in players)
    contexts = codes[(codes & code) == 0]
    alone = [float((v[contexts | 1 << player] - v[contexts]).mean()) for player in players]
    return alone, float((v[contexts | code] - v[contexts]).mean())


def main() -> None:
    torch.set_num_threads(1)
    parts: dict[str, list[Callable[[], None]]] = {
        "effort": [effort],
        "time": [seconds],
        "noise": [noise],
        "sentences": [sentences],
        "planted": [complete_planted],
        "many": [many],
        "orders": [orders],
        "peers": [many_peers],
        "budget": [budget],
    }
    for part in sys.argv[1:] or list(parts):
        for run in parts[part]:
            run()


if __name__ == "__main__":
    main()
