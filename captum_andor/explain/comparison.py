"""Compare results of two models, baselines or splits; find the patterns that many results share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from captum_andor._utils.statistics import shared_and_joint, spearman
from captum_andor.explain.attribution import AndOrInteractions
from captum_andor.games import Score
from captum_andor.results import Interaction, Result, Strengths, several_results, strengths_of

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = ("jaccard", "weighted_jaccard", "cosine", "spearman")


def similarity(
    a: Result, b: Result, by_order: bool = False, noise: float = 1e-3, n_draws: int = 3, seed: int = 0
) -> pd.DataFrame:
    r"""How alike two results are, output by output, each number beside its ceiling.

    Args:
        a (LogicalModel or AndOrExplanation): One result.
        b (LogicalModel or AndOrExplanation): Another of the same players and leading shape. Of an explanation its
            salient interactions count.
        by_order (bool, optional): Also a row for the patterns of each order. Default: False
        noise (float, optional): The ceiling: each result is made again from v plus noise of this standard deviation,
            relative to \|v(N) - v(∅)\|, and compared with itself. 1e-9 shows what another equally good split or
            choice of patterns alone would do; 0 leaves the ceilings out. Default: 1e-3
        n_draws (int, optional): Noise draws for each. Default: 3
        seed (int, optional): Of the noise. Default: 0

    Returns:
        - **similarity** (*pandas.DataFrame*): One row per output and, by order, ``order`` (``"all"`` first):
          ``jaccard`` of the sets of patterns, equal in players, kind and sign; ``weighted_jaccard``,
          Σ min(\|a\|, \|b\|) / Σ max(\|a\|, \|b\|) of strengths as shares of their sum, unequal signs sharing nothing;
          ``cosine`` of the signed strengths and ``spearman`` of the sizes, over all patterns of either, 0 where one
          lacks it. Each with ``…_ceiling``, the mean over draws and both results. NaN where there is nothing to
          compare.

    Raises:
        TypeError: If one is no result.
        ValueError: If players or leading shapes differ, or a number is out of its range.

    Examples::

        >>> from captum_andor import LogicalModel
        >>> a, b = (LogicalModel.from_values([0.0, 1.0, 1.0, top]) for top in (4.0, 5.0))
        >>> similarity(a, b, noise=0).round(3)[["jaccard", "cosine"]].values.tolist()
        [[1.0, 0.985]]
    """
    for name, result in (("a", a), ("b", b)):
        if not isinstance(result, Result):
            raise TypeError(f"{name} must be a LogicalModel or an AndOrExplanation; got {type(result).__name__}.")
    if a.feature_ids != b.feature_ids or a.shape != b.shape:
        raise ValueError(
            f"a and b must be of the same players and leading shape; got {a.feature_ids}, {a.shape} and "
            f"{b.feature_ids}, {b.shape}."
        )
    if noise < 0 or n_draws < 1:
        raise ValueError(f"noise must be at least 0 and n_draws at least 1; got {noise!r} and {n_draws!r}.")
    import pandas as pd

    generator = torch.Generator().manual_seed(seed)
    mine, other = strengths_of(a), strengths_of(b)
    again = [
        (strengths_of(r), strengths_of(r._refit_with_noise(noise, generator)))
        for r in (a, b)
        for _ in range(n_draws)
        if noise
    ]
    orders: list[int | str] = ["all", *range(1, a.n_players + 1)] if by_order else ["all"]
    rows = []
    for at in range(math.prod(a.shape)):
        place = dict(zip(a.axes.names, (int(p[0]) for p in a.axes.places(np.array([at]))), strict=True))
        for order in orders:
            row: dict[str, Any] = {**place, **({"order": order} if by_order else {})}
            found = _alike(_of_order(mine[at], order), _of_order(other[at], order))
            ceilings = [_alike(_of_order(x[at], order), _of_order(y[at], order)) for x, y in again]
            for i, measure in enumerate(_MEASURES):
                row[measure] = found[i]
                known = [c[i] for c in ceilings if not math.isnan(c[i])]
                row[f"{measure}_ceiling"] = float(np.mean(known)) if known else math.nan
            rows.append(row)
    return pd.DataFrame(rows)


def _of_order(strengths: Strengths, order: int | str) -> Strengths:
    return {key: value for key, value in strengths.items() if order in ("all", len(key[1]))}


def _alike(a: Strengths, b: Strengths) -> tuple[float, float, float, float]:
    """Compute the four similarity measures of two strength tables."""
    keys = sorted({*a, *b})
    if not keys:
        return (math.nan,) * 4
    x, y = (np.array([strengths.get(key, 0.0) for key in keys]) for strengths in (a, b))
    same = (x * y > 0).sum()
    jaccard = float(same / ((x != 0) | (y != 0)).sum()) if (x != 0).any() or (y != 0).any() else math.nan
    p, q = (torch.from_numpy(z / max(np.abs(z).sum(), 1e-300)) for z in (x, y))
    shared, joint = (float(part.sum()) for part in shared_and_joint(p, q))
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return (
        jaccard,
        shared / joint if joint > 0 else math.nan,
        float(x @ y) / size if size > 0 else math.nan,
        spearman(np.abs(x), np.abs(y)),
    )


def common_patterns(results: Result | Iterable[Result]) -> pd.DataFrame:
    """Patterns that many samples or models have, and how often.

    Args:
        results (LogicalModel, AndOrExplanation or iterable of these): Each output of each is one vote.

    Returns:
        - **patterns** (*pandas.DataFrame*): One row per pattern and sign, the most frequent first: ``kind``,
          ``players``, ``names`` where there are some, ``order``, ``sign``, ``count`` and ``share`` of the outputs that
          have it, ``mean`` and ``spread`` (standard deviation) of its strength where it is.

    Raises:
        TypeError: If one is no result.
        ValueError: If there are none, or their players differ.

    Examples::

        >>> from captum_andor import LogicalModel
        >>> models = LogicalModel.from_values([[0.0, 1.0, 1.0, 4.0], [0.0, 0.0, 1.0, 2.0]])
        >>> common_patterns(models)["count"].max().item()
        2
    """
    import pandas as pd

    several = several_results(results)
    found: dict[tuple[str, tuple[int, ...], int], list[Interaction]] = {}
    for result in several:
        for pattern in result._compared_patterns():
            key = (pattern.kind, pattern.players, 1 if pattern.value > 0 else -1)
            found.setdefault(key, []).append(pattern)
    total = sum(math.prod(result.shape) for result in several)
    named = any(result.player_names is not None for result in several)
    rows = [
        {
            "kind": kind,
            "players": players,
            **({"names": next((p.names for p in patterns if p.names), ())} if named else {}),
            "order": len(players),
            "sign": sign,
            "count": len(patterns),
            "share": len(patterns) / total,
            "mean": float(np.mean([p.value for p in patterns])),
            "spread": float(np.std([p.value for p in patterns])),
        }
        for (kind, players, sign), patterns in found.items()
    ]
    names = ["kind", "players", *(["names"] if named else []), "order", "sign", "count", "share", "mean", "spread"]
    table = pd.DataFrame(rows, columns=names)
    by_strength = table.assign(size=table["count"] * table["mean"].abs())
    order = by_strength.sort_values(["count", "size"], ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


@dataclass(frozen=True, repr=False)
class Comparison:
    """One input as several models see it.

    Attributes:
        results (dict): The logical model of each, by name.
        table (pandas.DataFrame): One row per pattern, strongest first: ``kind``, ``players``, ``names``, the strength
            in each model (0 where it lacks it), ``models``, in how many it is with one sign.
        similarity (pandas.DataFrame): As :func:`similarity`, a row for every two models.
    """

    results: dict[str, Result]
    table: pd.DataFrame
    similarity: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self._headline()}\n\n{self.table.to_string(index=False)}\n\n{self.similarity.to_string(index=False)}"

    def _repr_html_(self) -> str:
        tables = (table.to_html(index=False, float_format="{:.3g}".format) for table in (self.table, self.similarity))
        return f"<p>{escape(self._headline())}</p>{''.join(tables)}"

    def _headline(self) -> str:
        r2 = (f"{name} {float(result.r2):.2f}" for name, result in self.results.items())  # type: ignore[attr-defined]
        return f"R²: {', '.join(r2)}"


def compare(
    models: Mapping[str, Any], inputs: Any, score: Score = "output", noise: float = 1e-3, **options: Any
) -> Comparison:
    """Explain one input by several models and set their patterns side by side.

    Args:
        models (mapping): Forward functions by name.
        inputs (Tensor or tuple of Tensors): One example, batch size 1.
        score (str or Callable, optional): As in :class:`AndOrInteractions`. Default: "output"
        noise (float, optional): As in :func:`similarity`. Default: 1e-3
        **options: Passed to :meth:`AndOrInteractions.logical_model`: target, baselines, feature_mask, max_patterns, …

    Returns:
        - **comparison** (*Comparison*): Results, one table, similarities.

    Raises:
        TypeError, ValueError: As :meth:`AndOrInteractions.logical_model`; if there are fewer than two models, or
            several outputs.
    """
    import pandas as pd

    if len(models) < 2:
        raise ValueError(f"models must be two or more, by name; got {list(models)}.")
    results: dict[str, Result] = {}
    for name, model in models.items():
        result = AndOrInteractions(model, score=score).logical_model(inputs, **options)
        if math.prod(result.shape) != 1:
            raise ValueError(f"inputs must be one example and target one output; model {name!r} has {result.shape}.")
        results[name] = result
    strengths = {name: strengths_of(result)[0] for name, result in results.items()}
    keys = sorted(
        {key for mine in strengths.values() for key in mine},
        key=lambda key: -sum(abs(mine.get(key, 0.0)) for mine in strengths.values()),
    )
    names = {p.players: p.names for result in results.values() for p in result._compared_patterns()}
    rows = []
    for key in keys:
        values = [mine.get(key, 0.0) for mine in strengths.values()]
        agreeing = max(sum(v > 0 for v in values), sum(v < 0 for v in values))
        row = {"kind": key[0], "players": key[1], "names": names.get(key[1], ())}
        rows.append({**row, **dict(zip(strengths, values, strict=True)), "models": agreeing})
    pairs: Sequence[tuple[str, str]] = list(combinations(results, 2))
    alike = [similarity(results[a], results[b], noise=noise).assign(model_a=a, model_b=b) for a, b in pairs]
    columns = ["kind", "players", "names", *strengths, "models"]
    return Comparison(results, pd.DataFrame(rows, columns=columns), pd.concat(alike, ignore_index=True))
