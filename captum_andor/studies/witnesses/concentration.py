"""Do few samples hold most of the high-order interactions that offset each other?

Source: the statement is that of Zhang et al. 2025, arXiv 2502.08625.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import constrained
from captum_andor._utils.statistics import Array
from captum_andor.confusing import (
    ConfusingReport,
    Scoring,
    SetRule,
    high_order,
    known_samples,
    offsetting_strength,
    order_profile,
)
from captum_andor.games.transforms import count_players
from captum_andor.visualization import Canvas, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_OFFSETTING, _ALL, _GROUP = "#D55E00", "#0072B2", "black"
_ENDS = (2.5, 97.5)  # percentiles of random sets


@constrained()
def concentration(
    report: ConfusingReport,
    model: str | None = None,
    fraction: float = 0.1,
    groups: Mapping[str, Any] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Do few samples hold most of the high-order interactions that offset each other?

    Args:
        report (ConfusingReport): Whose scores of patterns are known.
        model (str, optional): Which model's. Default: None (the only one)
        fraction (float, optional): Share of the samples that is looked at, those that have most. Default: 0.1
        groups (dict, optional): Further sets by name, e.g. wrong labels: a bool per sample, or indices. Default:
            None
        n_resamples (int, optional): Random sets behind each interval of chance. Default: 1000
        seed (int, optional): Of the random sets. Default: 0

    Returns:
        - **table** (*pandas.DataFrame*): One row per ``strength`` (offsetting and of high order; of all orders, for
          comparison) and ``set`` (``"most of it"``, then the groups): ``n`` samples; the ``share`` of the strength
          that they hold, ``chance``, what a random set of that size holds, with its 95 % interval ``chance_low``,
          ``chance_high``; ``share_other_view``, what the set that holds most under one baseline or mask holds under
          another (NaN without several), as the largest of noisy numbers are large by chance, too.

    Raises:
        ValueError: If there is no such model, or a group is no part of the samples.

    Source: the statement is that of Zhang et al. 2025, arXiv 2502.08625.
    """
    strengths = _strengths_of(report.scoring, report.scoring.model_named(model))
    numbers = report.scoring.evaluation.samples.numbers
    return _table(strengths, SetRule(fraction), groups or {}, n_resamples, seed, numbers)


@figure
def plot_concentration(
    canvas: Canvas, report: ConfusingReport, model: str | None = None, groups: Mapping[str, Any] | None = None
) -> None:
    """Draw which share of the samples holds which share of the offsetting high-order strength (a Lorenz curve).

    Args:
        report (ConfusingReport): As in :func:`concentration`.
        model (str, optional): Which model's. Default: None (the only one)
        groups (dict, optional): As in :func:`concentration`: a point each, beside the interval of chance. Default:
            None

    Returns:
        - **fig, axis** (*tuple*): The figure and its axis.
    """
    name = report.scoring.model_named(model)
    strengths = _strengths_of(report.scoring, name)
    table = _table(strengths, SetRule(), groups or {}, 1000, 0, report.scoring.evaluation.samples.numbers)
    axis = canvas.axis((4.8, 3.8))
    _lorenz_curves(axis, strengths, table, name)


@dataclass(frozen=True)
class Strengths:
    """Strength of the salient interactions of each sample under each view, shape ``(V, N)``.

    Attributes:
        offsetting: Of high order and offset by the other sign, Σ_{k high} 2 min(E_k, F_k).
        total: Of all orders, Σ_k (E_k + F_k).
    """

    offsetting: Array
    total: Array


def _strengths_of(scoring: Scoring, name: str) -> Strengths:
    """Strengths of one model, in units of the mean effect of each view, so that views count alike."""
    offsetting, total = [], []
    for view in scoring.views:
        interactions, scale = scoring.salient(name, view), scoring.scale(name, view)
        profile = order_profile(interactions)
        first_high = scoring.first_high or high_order(count_players(interactions))
        offsetting.append((offsetting_strength(profile, first_high) / scale).numpy())
        total.append((profile.sum((1, 2)) / scale).numpy())
    return Strengths(np.stack(offsetting), np.stack(total))


def _table(
    strengths: Strengths,
    rule: SetRule,
    groups: Mapping[str, Any],
    n_resamples: int,
    seed: int,
    numbers: npt.NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """One row per kind of strength and set."""
    import pandas as pd

    rows = []
    n = strengths.total.shape[1]
    rng = np.random.default_rng(seed)
    members = {group: known_samples(known, n, f"group {group!r}", numbers) for group, known in groups.items()}
    for kind, by_view in (("offsetting, high order", strengths.offsetting), ("all orders", strengths.total)):
        mean = by_view.mean(0)
        top = rule.share_of(mean, "strength")
        for set_name, inside in {"most of it": top, **members}.items():
            size = int(inside.sum())
            draws = [_held(mean, rng.permutation(n)[:size]) for _ in range(n_resamples)]
            low, high = np.percentile(draws, _ENDS) if np.isfinite(draws).all() else (np.nan, np.nan)
            row = {"strength": kind, "set": set_name, "n": size, "chance": size / n, "chance_low": low}
            row |= {"chance_high": high, "share": _held(mean, inside), "share_other_view": np.nan}
            if set_name == "most of it" and len(by_view) > 1:
                row["share_other_view"] = _held_elsewhere(by_view, rule)
            rows.append(row)
    return pd.DataFrame(rows)


def _held(strength: Array, inside: npt.NDArray[Any]) -> float:
    """Share of the strength that some samples hold; NaN where there is none."""
    whole = float(strength.sum())
    return float(strength[inside].sum()) / whole if whole > 0 else float("nan")


def _held_elsewhere(by_view: Array, rule: SetRule) -> float:
    """What the samples that hold most under one view hold under another, mean over pairs of views."""
    found = [
        _held(other, rule.share_of(own, "strength"))
        for i, own in enumerate(by_view)
        for j, other in enumerate(by_view)
        if i != j
    ]
    return float(np.mean(found))


def _lorenz_curves(axis: Axes, strengths: Strengths, table: pd.DataFrame, title: str) -> None:
    """Share of the strength held by the samples with most of it, over their share; groups as points with chance."""
    for by_view, label, colour, line in (
        (strengths.offsetting, "offsetting, of high order", _OFFSETTING, "-"),
        (strengths.total, "of all orders", _ALL, "--"),
    ):
        mean = np.sort(by_view.mean(0))[::-1]
        if mean.sum() > 0:
            held = np.concatenate([[0.0], np.cumsum(mean) / mean.sum()])
            axis.plot(np.linspace(0, 1, len(held)), held, line, color=colour, label=label)
    axis.plot([0, 1], [0, 1], ":", color="gray", label="equal strengths")
    groups = table[(table["strength"] == "offsetting, high order") & (table["set"] != "most of it")]
    for marker, row in zip("osD^v" * len(groups), groups.itertuples(), strict=False):
        ends = [[row.chance - row.chance_low], [row.chance_high - row.chance]]
        axis.errorbar([row.chance], [row.chance], ends, color="gray", capsize=3, linewidth=1)
        axis.plot([row.chance], [row.share], marker, color=_GROUP, markersize=6, label=f"{row.set}: {row.share:.2f}")
    axis.set_xlabel("share of the samples, those with most of it first")
    axis.set_ylabel("share of the strength")
    axis.set_title(title, fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
