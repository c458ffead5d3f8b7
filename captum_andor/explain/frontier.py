"""R² against the number of terms, for several kinds of terms: how short an explanation can be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from captum_andor.games.transforms import all_coalitions, count_players, orders, walsh
from captum_andor.search import Options, complete_models
from captum_andor.split import split_game

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frontier"]


def frontier(values: Tensor, max_patterns: int) -> pd.DataFrame:
    """R² of one game by number of terms.

    Args:
        values (Tensor): v, float64, shape ``(2^n,)``.
        max_patterns (int): Most terms.

    Returns:
        - **frontier** (*pandas.DataFrame*): ``method``, ``terms``, ``r2``: ``"AND and OR"`` and ``"AND only"``, logical
          models; ``"L1 split"``, the strongest interactions of the sparse split, refitted; ``"order 1"``, ``"order
          2"``, ``"order 3"``, least squares on all sets of up to so many players, one row each.
    """
    import pandas as pd

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
