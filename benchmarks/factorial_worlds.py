"""Simulated worlds of known shares: how often the intervals of a factorial study hold. CSV, minutes each.

python -m benchmarks.factorial_worlds shares > benchmarks/results/factorial/coverage.csv
python -m benchmarks.factorial_worlds copies > benchmarks/results/factorial/coverage_copies.csv   # of instability()
python -m benchmarks.factorial_worlds stable > benchmarks/results/factorial/coverage_stable.csv   # of="stable"
python -m benchmarks.factorial_worlds sets > benchmarks/results/factorial/coverage_sets.csv   # of top tenths
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from captum_andor.studies.factorial.instability import share_of_instability
from captum_andor.studies.factorial.variance_shares import (
    CellProducts,
    Instability,
    grouped_products,
    shares_of,
    standardised,
)

CORRECTED = 1 - 0.05 / 18  # for six cuts and three scores


@dataclass(frozen=True)
class World:
    """Scores of a crossed design of which the parts decide known shares.

    Attributes:
        levels: M.
        samples: N.
        views: Each adds noise of its own where there are several.
        ties: Whether scores are rounded to about eight values.
        shares: Of low, high and order.
        directions: In how many directions over the samples everything that differs lies.
        tails: Of the levels: ``normal``, or ``t3``, Student's t with three degrees of freedom.
        interaction: Whether half of the rest is of products of row and column, not of each cell by itself.
        noise: Of each view, in standard deviations of what differs; 1.3 as in the study, where views agree on .37.
    """

    levels: int = 8
    samples: int = 250
    views: int = 1
    ties: bool = False
    shares: tuple[float, float, float] = (0.5, 0.1, 0.0)
    directions: int = 30
    tails: str = "normal"
    interaction: bool = False
    noise: float = 0.5

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """Scores ``(views, M, M, samples)``."""
        m, (low, high, order) = self.levels, self.shares
        basis = rng.normal(size=(self.directions, self.samples)) / self.directions**0.5

        def levels(*shape: int) -> np.ndarray:
            size = (*shape, self.directions)
            return rng.normal(size=size) if self.tails == "normal" else rng.standard_t(3, size=size) / 3**0.5

        k = (np.arange(m)[:, None] + np.arange(m)) % m
        rest = 1 - low - high - order
        y = 1.2 * rng.normal(size=self.samples) + np.sqrt(low) * (levels(m, 1) @ basis)
        y = y + np.sqrt(high) * (levels(1, m) @ basis) + np.sqrt(order) * (levels(m) @ basis)[k]
        if self.interaction:
            y = y + np.sqrt(rest / 2) * ((levels(m, 1) * levels(1, m)) @ basis)
            rest = rest / 2
        y = y + np.sqrt(rest) * (rng.normal(size=(m, m, self.directions)) @ basis)
        y = np.stack([y + self.noise * rng.normal(size=y.shape) if self.views > 1 else y for _ in range(self.views)])
        return np.round(2 * y) if self.ties else y


def coverage(worlds: int = 200) -> None:
    """Print as CSV: mean shares, how often intervals hold the true ones, how often low is claimed to exceed high."""
    small, large = (0.1, 0.03, 0.0), (0.5, 0.1, 0.0)
    settings = [
        World(levels, shares=shares)
        for levels in (6, 8)
        for shares in ((0.0, 0.0, 0.0), (0.05, 0.05, 0.0), small, (0.2, 0.1, 0.1), large)
    ]
    settings += [World(views=2, shares=(0.1, 0.03, 0.05)), World(views=2)]
    settings += [World(samples=40, shares=(0.1, 0.1, 0.0)), World(samples=40, views=2)]
    settings += [World(ties=True, shares=small), World(ties=True)]
    several = World(views=2)
    for shares in (small, large):
        settings += [replace(several, shares=shares, directions=n) for n in (2, 5)]
        settings += [replace(several, shares=shares, directions=n, tails="t3") for n in (2, 5, 30)]
        settings += [replace(several, shares=shares, directions=5, interaction=True)]
        settings += [replace(several, shares=shares, directions=5, noise=1.3)]
        settings += [replace(several, shares=shares, directions=5, tails="t3", interaction=True, noise=1.3)]
    rows = []
    for setting in settings:
        design = {**asdict(setting), "ties": "yes" if setting.ties else "no"}
        design["interaction"] = "yes" if setting.interaction else "no"
        design |= dict(zip(("low", "high", "order"), design.pop("shares"), strict=True))
        drawn = [simulated(seed, setting) for seed in range(worlds)]
        rows.append({**design, **{name: f"{x:.3f}" for name, x in pd.DataFrame(drawn).mean().items()}})
    print(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"), end="")


def simulated(seed: int, setting: World) -> dict[str, float]:
    """Of one world: estimates, and whether intervals at 95 % and at the corrected confidence hold the truth."""
    rng = np.random.default_rng((seed, setting.levels))
    y, other = (setting.scores(rng) for _ in range(2))
    one = shares_of(y, "latin")
    table, strict, (_, lower, upper) = one.table(), one.table(CORRECTED), one.low_less_high()
    apart = one - shares_of(other, "latin")  # of a score with the same shares
    shares = setting.shares
    truth = {**dict(zip(("low", "high", "order"), shares, strict=True)), "rest": 1 - sum(shares)}

    def holds(row: pd.Series, value: float) -> float:
        return float(row["lower"] <= value <= row["upper"])

    return {
        **{f"mean {factor}": table.loc[factor, "share"] for factor in ("low", "high")},
        **{f"held: {factor}": holds(table.loc[factor], value) for factor, value in truth.items()},
        "below the truth": float(table.loc["low", "upper"] < truth["low"]),
        "low − high": float(lower <= truth["low"] - truth["high"] <= upper),
        "another score": holds(apart.table().loc["low"], 0.0),
        "claimed": float(lower > 0),
        "corrected: low": holds(strict.loc["low"], truth["low"]),
        "corrected: another score": holds(apart.table(CORRECTED).loc["low"], 0.0),
    }


def top_tenths(scores: np.ndarray) -> np.ndarray:
    """1 for the tenth of the samples with the largest scores of each network, 0 for others."""
    edge = np.sort(scores, axis=-1)[..., -(scores.shape[-1] // 10), None]
    return (scores >= edge).astype(np.float64)


def coverage_of_sets(worlds: int = 200) -> None:
    """How often intervals hold the low share of what differs between *sets*; the true one is that of 32 levels."""
    print("samples,low share of scores,true share of sets,mean,held,below the truth")
    for samples, low in itertools.product((100, 500), (0.0, 0.1, 0.5)):
        setting = World(samples=samples, views=2, shares=(low, 0.1, 0.0), directions=5)
        numbers = np.arange(samples)
        large = []
        for seed in range(20):
            sets = top_tenths(replace(setting, levels=32).scores(np.random.default_rng((1, seed))))
            found = CellProducts.of(standardised(sets, False), "latin", numbers).components()
            large.append(found[0] / found.sum())
        true, tables = float(np.mean(large)), []
        for seed in range(worlds):
            sets = top_tenths(setting.scores(np.random.default_rng((2, seed))))
            tables.append(shares_of(sets, "latin", False).table().loc["low"])
        held = np.mean([row["lower"] <= true <= row["upper"] for row in tables])
        below = np.mean([row["upper"] < true for row in tables])
        mean = np.mean([row["share"] for row in tables])
        print(f"{samples},{low},{true:.3f},{mean:.3f},{held:.3f},{below:.3f}", flush=True)


def coverage_of_copies(worlds: int = 200) -> None:
    """Print as CSV: mean share of what copies differ by, and how often its interval holds the true one."""
    rows = []
    for levels, samples, directions, share, ties in (
        (8, 500, 30, 0.4, False), (8, 500, 5, 0.4, False), (8, 500, 2, 0.4, False), (8, 200, 20, 0.0, False),
        (8, 200, 20, 0.01, False), (8, 200, 20, 0.1, False),
        (8, 200, 20, 0.7, False), (8, 200, 20, 0.4, True), (4, 60, 10, 0.4, False),
    ):  # fmt: skip
        rng, found = np.random.default_rng(levels * samples), []
        for _ in range(worlds):
            scores = world_of_copies(rng, levels, samples, directions, share)
            copies, grid = (standardised(np.round(2 * y) if ties else y, True) for y in scores)
            numbers = np.arange(samples)
            instability = Instability.of(grouped_products(copies, numbers), np.zeros(levels, dtype=int))
            estimate, lower, upper = share_of_instability(instability, CellProducts.of(grid, "latin", numbers))
            found.append({"mean": estimate, "held": lower <= share <= upper})
        design = {"levels": levels, "samples": samples, "directions": directions, "ties": "yes" if ties else "no"}
        mean = {name: f"{x:.3f}" for name, x in pd.DataFrame(found).mean().items()}
        rows.append({**design, "share": share, **mean})
    print(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"), end="")


def world_of_copies(
    rng: np.random.Generator, levels: int, samples: int, directions: int, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of copies and of a grid, two views each: what differs lies in a few directions over the samples."""
    load = rng.normal(size=(directions, samples)) / np.sqrt(directions)

    def luck(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, directions)) @ load

    common = rng.normal(size=samples)
    low, rest = luck(levels) * np.sqrt(0.2), luck(levels, levels) * np.sqrt(0.8)
    copies = low[0] + luck() * np.sqrt(0.8 - share) + luck(levels) * np.sqrt(share)
    return tuple(  # type: ignore[return-value]
        np.stack([common + y + 0.5 * rng.normal(size=y.shape) for _ in range(2)]) for y in (copies, low[:, None] + rest)
    )


def coverage_of_stable(worlds: int = 200) -> None:
    """How often 95 % intervals of shares of what is no instability hold: eight levels; 32 copies, or eight of one cell.

    Copies differ by as much wherever in the grid they start (``alike``), or by a variance of the start's own, drawn
    from a gamma distribution of shape 4 (``unlike``).
    """
    print("low,instability,cells,copies of a cell,copies,directions,mean share,true,held,supported wrongly")
    for (low, unstable), (cells, number), kind, directions in itertools.product(
        itertools.product((0.0, 0.1, 0.2), (0.3, 0.55)), ((8, 4), (1, 8)), ("alike", "unlike"), (5, 30)
    ):
        true, shares, held, wrong = low / (1 - unstable), [], 0, 0
        of_cell, numbers = np.repeat(np.arange(cells), number), np.arange(200)
        for seed in range(worlds):
            rng = np.random.default_rng(seed)
            basis = rng.normal(size=(directions, 200)) / np.sqrt(directions)
            each = lambda *shape: rng.normal(size=(1, *shape, directions)) @ basis  # noqa: B023, E731
            sizes = rng.gamma(4.0, 0.25, size=(8, 8)) if kind == "unlike" else np.ones((8, 8))
            own = np.sqrt(unstable * sizes)
            rest = np.sqrt(1 - low - unstable) * each(8, 8) + own[None, ..., None] * each(8, 8)
            copies = own.diagonal()[of_cell][None, :, None] * each(cells * number)
            instability = Instability.of(grouped_products(copies, numbers), of_cell)
            try:
                table = shares_of(
                    np.sqrt(low) * each(8, 1) + rest, "latin", False, of_sample=numbers, instability=instability
                ).table()
            except ValueError:  # copies differ as much as all do: nothing is claimed
                held += 1
                continue
            share, lower, upper = table.loc["low", ["share", "lower", "upper"]]
            shares.append(share)
            held += lower <= true <= upper
            wrong += lower > 0.5
        print(
            f"{low},{unstable},{cells},{number},{kind},{directions},{np.mean(shares):.2f},{true:.2f},"
            f"{held / worlds:.2f},{wrong / worlds:.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"shares": coverage, "copies": coverage_of_copies, "stable": coverage_of_stable, "sets": coverage_of_sets}
    parser.add_argument("what", choices=list(kinds))
    kinds[parser.parse_args().what]()


if __name__ == "__main__":
    main()
