"""R² against the number of terms, for several kinds of terms: how short an explanation can be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captum_andor.games.transforms import all_coalitions, count_players, orders, walsh
from captum_andor.results import Result
from captum_andor.search import Options, complete_models
from captum_andor.split import split_game
from captum_andor.visualization import SERIES, Canvas, figure, text_colour

if TYPE_CHECKING:
    import pandas as pd

_TICKS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_LINES = ("o-", "s--", "^:")  # told apart without colours


def frontier(result: Result, max_patterns: int = 20) -> pd.DataFrame:
    """R² of one prediction by number of terms: how short can an explanation of it be?

    Args:
        result (LogicalModel or AndOrExplanation): Of one output, with all 2^n values.
        max_patterns (int, optional): Most terms. Default: 20

    Returns:
        - **frontier** (*pandas.DataFrame*): ``method``, ``terms``, ``r2``: ``"AND and OR"`` and ``"AND only"``, logical
          models without exact ends; ``"L1 split"``, the strongest interactions of the sparse split, refitted; ``"order
          1"`` to ``"order 3"``, least squares on all sets of up to so many players, one row each.

    Raises:
        ValueError: If the result holds several outputs, or not the values of all 2^n coalitions.

    Examples::

        >>> from captum_andor import LogicalModel
        >>> model = LogicalModel.from_values(torch.tensor([0.0, 1.0, 1.0, 3.0]))
        >>> frontier(model, 2).query("method == 'order 2'")["r2"].tolist()
        [1.0]
    """
    import pandas as pd

    values = _whole_game(result)
    n = count_players(values)
    rows: list[tuple[str, int, float]] = []
    for method, kinds in (("AND and OR", ("and", "or")), ("AND only", ("and",))):
        models = complete_models(values[None], Options(max_patterns, exact_ends=False, kinds=kinds))
        rows += [(method, k, float(r2)) for k, r2 in enumerate(models.r2_path[0])]
    rows += [("L1 split", k, r2) for k, r2 in enumerate(_refitted(values, max_patterns))]
    energy = walsh(values).square()
    by_order = energy.new_zeros(n + 1).index_add(0, orders(n, values.device), energy)
    total = float(by_order[1:].sum())
    for order in range(1, min(3, n) + 1):
        terms = sum(math.comb(n, k) for k in range(1, order + 1))
        rows.append((f"order {order}", terms, float(by_order[1 : order + 1].sum()) / total if total > 0 else 1.0))
    return pd.DataFrame(rows, columns=["method", "terms", "r2"])


def _whole_game(result: Any) -> Tensor:
    if math.prod(result.shape) != 1:
        raise ValueError(f"frontier(result) is of one output; this has {result.shape}. Index it first.")
    values: Tensor = result.values.flatten()
    whole = 1 << result.n_players
    if len(values) != whole or getattr(result, "coalitions", None) is not None:
        raise ValueError(
            f"frontier(result) needs all 2^n = {whole:,} values; this result has {len(values):,}. Explain with "
            f"budget={whole}, or fewer players."
        )
    return values


def _refitted(values: Tensor, count: int) -> list[float]:
    """R² of the least-squares fit of the 0, 1, … strongest interactions of the sparse split."""
    n = count_players(values)
    split = split_game(values[None], "sparse", 0.0, 1e-3)
    both = torch.cat([split.and_values[0], split.or_values[0]])
    both[0] = both[1 << n] = 0.0
    chosen = both.abs().argsort(descending=True, stable=True)[:count]
    chosen = chosen[both[chosen] != 0]
    everything = all_coalitions(n, values.device)
    members = everything[chosen % (1 << n)].double()
    met = everything.double() @ members.T
    holds = torch.where(chosen >= 1 << n, met > 0, met == members.sum(1)).double()
    centred = (holds - holds.mean(0)).cpu().numpy()
    y = (values - values.mean()).cpu().numpy()
    total = float(y @ y)
    basis, triangle = np.linalg.qr(centred)
    new = np.abs(np.diag(triangle)) > 1e-9 * math.sqrt(len(y))  # terms that the ones before do not make up
    captured = np.concatenate([[0.0], np.cumsum(np.where(new, np.square(basis.T @ y), 0.0))])
    return [float(c) / total if total > 0 else 1.0 for c in captured]


@figure
def plot_frontier(canvas: Canvas, result: Result, max_patterns: int = 20) -> None:
    """Draw how much of one prediction a number of terms explains: R² of AND and OR, AND only, L1 split, least squares.

    Args:
        result (LogicalModel or AndOrExplanation): Of one output, with all 2^n values.
        max_patterns (int, optional): Most terms. Default: 20

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis. Least squares on all sets of up to one, two, three players
          are crosses at their number of terms, on a logarithmic axis.

    Raises:
        ValueError: If the result holds several outputs, or a budget of coalitions.
    """
    table = frontier(result, max_patterns)
    axis = canvas.axis((5.4, 3.6))
    most = max(int(table["terms"].max()), 2)
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        if not str(method).startswith("order"):
            rows = rows[rows["terms"] > 0]  # which a logarithm has no place for; their R² is 0
            axis.plot(rows["terms"], rows["r2"], _LINES[number], markersize=3.5, color=SERIES[number], label=method)
            continue
        terms, r2 = int(rows["terms"].iloc[0]), float(rows["r2"].iloc[0])
        label = (
            f"all of order {'1' if terms == result.n_players else '≤ ' + str(method)[-1]}: {terms} terms, R² {r2:.2f}"
        )
        marker = {"order 1": "x", "order 2": "+", "order 3": "1"}[str(method)]
        axis.plot(
            terms, r2, marker, color=text_colour(), markersize=7, clip_on=False, zorder=3, linestyle="none", label=label
        )
    axis.set_xscale("log")
    ticks = [count for count in _TICKS if count <= most]
    axis.set_xticks(ticks, list(map(str, ticks)))
    axis.minorticks_off()
    axis.set_xlim(0.9, most * 1.15)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("terms (logarithmic)")
    axis.set_ylabel("R² over all masked inputs")
    axis.legend(frameon=False, fontsize=8, loc="lower right")
