"""What tables of all interactions cost: n = 16, 64 games, against an object for every row.

python -m benchmarks.tables [players] [games]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pandas as pd
import torch

from captum_andor import AndOrExplanation, Interaction


def main() -> None:
    n, games = (int(given) for given in (sys.argv[1:] + ["16", "64"][len(sys.argv) - 1 :]))
    values = torch.randn(games, 1 << n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ex = AndOrExplanation.from_values(values, split="even")
    some = ex[: max(games // 16, 1)]  # objects take too long for all
    share = len(ex) / len(some)
    print(f"n = {n}, {games} random games, one run; objects measured on {len(some)} games and scaled")
    print(f"{'':16}{'rows':>10}{'seconds':>10}{'objects':>10}{'ratio':>8}")
    for name, ours, theirs in (
        ("salient()", lambda: ex.salient(), lambda: objects(some, None)),
        ("to_dataframe()", lambda: ex.to_dataframe(), lambda: frame(objects(some, 0.0))),
    ):
        rows, seconds = timed(ours)
        _, slow = timed(theirs)
        print(f"{name:16}{rows:10,}{seconds:10.2f}{slow * share:10.1f}{slow * share / seconds:8.0f}", flush=True)
    one = ex[0]
    one.to_shapiq()  # imports
    print(f"{'to_shapiq()':16}{1 << n:10,}{timed(lambda: one.to_shapiq().values)[1]:10.2f}")
    print(
        f"{'repr()':16}{'':10}{timed(lambda: repr(ex))[1]:10.3f}  of {games} games, {timed(lambda: repr(one))[1]:.3f} of one"
    )


def objects(ex: AndOrExplanation, threshold: float | None) -> list[Interaction]:
    """Every interaction an object, made by a loop over all."""
    found = []
    for game, (mask, parts) in enumerate(
        zip(ex.is_salient(threshold), zip(ex.and_values, ex.or_values, strict=True), strict=True)
    ):
        mine = []
        for kind, kept, part in zip(("and", "or"), mask, parts, strict=True):
            for code in kept.nonzero()[:, 0].tolist():
                players = tuple(i for i in range(ex.n_players) if code >> i & 1)
                mine.append(Interaction((game,), kind, players, float(part[code])))
        found += sorted(mine, key=lambda i: -abs(i.value))
    return found


def frame(found: list[Interaction]) -> pd.DataFrame:
    """A table from objects."""
    rows = [(*i.index, i.kind, i.players, i.order, i.value) for i in found]
    return pd.DataFrame(rows, columns=["sample", "kind", "players", "order", "value"])


def timed(call: Callable[[], object]) -> tuple[int, float]:
    start = time.perf_counter()
    result = call()
    return len(result), time.perf_counter() - start  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
