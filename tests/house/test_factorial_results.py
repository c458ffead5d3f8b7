"""The committed factorial study, computed again by a second estimator that shares no code with the first."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

from captum_andor.studies import FactorialResult

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
TABLES = sorted(RESULTS.glob("factorial*/*/tables.npz"))
pytestmark = pytest.mark.skipif(not TABLES, reason="benchmarks/results is not in this copy")
Array = npt.NDArray[np.float64]


def shares_by_sums(y: Array, kept: npt.NDArray[np.bool_], samples: npt.NDArray[np.bool_]) -> Array:
    """Shares of low, high, order and rest from squares of sums of what is kept, views ``(2, M, M, N)`` multiplied."""
    m = y.shape[1]
    order = np.add.outer(np.arange(m), np.arange(m)) % m
    y = np.where(kept[None, ..., None], y[..., samples], 0.0)
    of_order = np.stack([[view[order == k].sum(0) for k in range(m)] for view in y])
    sums = [y, y.sum(2), y.sum(1), of_order, y.sum((1, 2))]  # cells, rows, columns, orders, all
    squares = [float((a * b).sum()) for a, b in sums]
    numbers = np.array([kept.sum(), *(np.square(c).sum() for c in _counts(kept, order)), kept.sum() ** 2], dtype=float)
    pairs = [(squares[k] - squares[0]) / (numbers[k] - numbers[0]) for k in (1, 2, 3)]
    alone = squares[4] - sum(squares[1:4]) + 2 * squares[0]
    nothing = alone / (numbers[4] - numbers[1:4].sum() + 2 * numbers[0])
    named = np.array(pairs) - nothing
    found = np.append(named, squares[0] / numbers[0] - nothing - named.sum())
    return found / found.sum()


def _counts(kept: npt.NDArray[np.bool_], order: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [kept.sum(1), kept.sum(0), np.bincount(order[kept], minlength=len(kept))]


def second_estimate(y: Array) -> Array:
    """Shares with the ends of their intervals, ``(4, 3)``: the crossed jackknife, written out."""
    _, m, _, n = y.shape
    i, j = np.indices((m, m))
    everything, every_sample = np.ones((m, m), dtype=bool), np.ones(n, dtype=bool)
    whole = shares_by_sums(y, everything, every_sample)
    rows = np.stack([shares_by_sums(y, i != a, every_sample) for a in range(m)])
    columns = np.stack([shares_by_sums(y, j != b, every_sample) for b in range(m)])
    both = np.stack([[shares_by_sums(y, (i != a) & (j != b), every_sample) for b in range(m)] for a in range(m)])
    groups = np.stack([shares_by_sums(y, everything, np.arange(n) % 10 != g) for g in range(10)])
    of_rows, of_columns, of_samples = ((len(x) - 1) * x.var(0) for x in (rows, columns, groups))
    crossed = (both - rows[:, None] - columns[None] + whole).reshape(m * m, -1)
    variance = of_rows + of_columns + of_samples - 2 * (m - 1) ** 2 * crossed.var(0)
    variance = np.max([variance, of_rows, of_columns, of_samples], axis=0)
    freedom = variance**2 / (of_rows**2 / (m - 1) + of_columns**2 / (m - 1) + of_samples**2 / 9)
    half = stats.t.ppf(0.975, np.maximum(freedom, m - 1)) * np.sqrt(variance)
    return np.stack([whole, whole - half, whole + half], axis=1)


def standard_ranks(scores: npt.NDArray[np.uint16]) -> Array:
    ranked = stats.rankdata(scores, axis=-1)
    return (ranked - ranked.mean(-1, keepdims=True)) / ranked.std(-1, keepdims=True)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_shares_are_those_of_a_second_estimator(path: Path) -> None:
    """Sums of squares instead of products of pairs; scores read from the file, ranked by scipy."""
    result = FactorialResult.load(path)
    with np.load(path, allow_pickle=False) as file:
        scores = file["score/net_order"]
    table = result.shares("net_order").set_index(["grid", "layer"])
    m = result.levels
    cuts = result.cuts if len(result.cuts) <= 4 else result.cuts[:: len(result.cuts) // 3]
    for grid, layer in cuts:
        place = {(n.low, n.high): k for k, n in enumerate(result.members) if (n.kind, n.layer) == (grid, layer)}
        cells = [place[a, b] for a in range(m) for b in range(m)]
        y = standard_ranks(scores[cells]).swapaxes(0, 1).reshape(2, m, m, -1)
        found = table.loc[(grid, layer)].set_index("factor")[["share", "lower", "upper"]]
        np.testing.assert_allclose(found, second_estimate(y), atol=1e-6)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_committed_tables_are_what_the_file_gives(path: Path) -> None:
    result = FactorialResult.load(path)
    kept = path.parent / "shares_net_order.csv"
    if kept.exists():
        pd.testing.assert_frame_equal(pd.read_csv(kept), result.shares("net_order").round(4), atol=2e-4)
        stable = pd.read_csv(path.parent / "shares_stable_net_order.csv")
        pd.testing.assert_frame_equal(stable, result.shares("net_order", of="stable").round(4), atol=2e-4)


INTERVAL = re.compile(r"[−+]?\d?\.\d\d \[[−+]?\d?\.\d\d, [−+]?\d?\.\d\d\]")


def committed_intervals() -> set[str]:
    """Every share with its interval in the tables of the study, as pages write it."""
    found: set[str] = set()
    for path in RESULTS.glob("factorial*/**/*.csv"):
        text = path.read_text(encoding="utf-8")
        found |= {interval.replace("+", "") for interval in INTERVAL.findall(text)}
        table = pd.read_csv(path)
        if {"share", "lower", "upper"} <= set(table):
            numbers = table[["share", "lower", "upper"]].to_numpy()
            found |= {shown(*row) for row in numbers}
    return found


def shown(share: float, lower: float, upper: float) -> str:
    texts = (f"{number:.2f}".replace("-", "−").replace("0.", ".") for number in (share, lower, upper))
    return "{} [{}, {}]".format(*texts)


@pytest.mark.parametrize("page", ["docs/factorial.rst", "docs/measured_factorial.rst", "docs/paper.rst", "README.md"])
def test_every_interval_of_the_pages_is_in_a_table(page: str) -> None:
    """A number that was copied once and changed since is found here."""
    text = (RESULTS.parents[1] / page).read_text(encoding="utf-8")
    if page == "docs/measured_factorial.rst":
        text = text[: text.index("Pairs of networks")]  # of an earlier study, whose tables are in the history
    if page == "README.md":
        text = text[text.index("The paper on confusing samples") : text.index("## Limits")]
    given = {interval.replace("+", "") for interval in INTERVAL.findall(text)}
    assert given, page
    assert given <= committed_intervals(), sorted(given - committed_intervals())
