"""Figures of a report, in the manner of ``captum.attr.visualization``: ``(fig, axes)``, with or without pyplot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.statistics import chance_iou, iou, ranks, spearman, top
from captum_andor.confusing.report.sample_figures import (
    draw_attributions,
    draw_input,
    draw_lost,
    draw_patterns,
    draw_shapley,
    explained,
    picture,
    shapley_map,
)
from captum_andor.confusing.scores.overlap import SetRule, mean_known, mean_retest
from captum_andor.confusing.scores.score_formulas import n_players, order_profile
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.visualization import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
_TABLE_WIDTH = 9.0  # inches of a row of bars and their names
_CONFUSING, _ORDINARY, _BOTH = "#D55E00", "#0072B2", "#CC79A7"


def order_profiles(
    scoring: Scoring, name: str, axis: Axes, rule: SetRule, column: str | None = None, against: str = "rest"
) -> None:
    """Mean strength by order, positive above and negative below, of two sets of samples.

    The first is the most suspicious share by a column, the primary score where it is None; the second the rest, or the
    least suspicious share.
    """
    by = scoring.primary if column is None else column
    members = rule.members(scoring, name, by)
    others = ~members if against == "rest" else rule.share_of(-scoring.suspicion(name, by), name)
    share = f"{rule.fraction:.0%}"
    first, second = ("confusing", "ordinary") if column is None else (f"most {share} by {by}", "the rest")
    second = second if against == "rest" else f"least {share}" + ("" if column is not None else f" by {by}")
    profiles = [order_profile(scoring.salient(name, view)).numpy() for view in scoring.views]
    profile = np.mean(profiles, axis=0) if len({p.shape for p in profiles}) == 1 else profiles[0]
    for mask, label, colour, line in ((members, first, _CONFUSING, "-"), (others, second, _ORDINARY, "--")):
        if not mask.any():
            continue
        positive, negative = profile[mask].mean(0)
        order = np.arange(len(positive))[1:]
        axis.plot(order, positive[1:], line, color=colour, marker="o", markersize=3, label=f"{label} ({mask.sum()})")
        axis.plot(order, -negative[1:], line, color=colour, marker="o", markersize=3)
    axis.axhline(0, color="gray", linewidth=0.8)
    axis.set_xlabel("order: players in an interaction")
    axis.set_ylabel("mean strength, + above, − below")
    axis.set_title(name)
    axis.legend(frameon=False, fontsize=8)


def overlap_matrix(scoring: Scoring, axis: Axes, column: str, rule: SetRule) -> None:
    """IoU of the sets of every two models; on the diagonal each model's own under other views, the ceiling."""
    names = scoring.names
    sets = [rule.members(scoring, name, column) for name in names]
    matrix = np.array([[iou(a, b) for b in sets] for a in sets])
    share = SetRule(rule.fraction)
    for i, name in enumerate(names):
        matrix[i, i] = mean_retest(scoring, name, column, "any", share)
    sizes = [int(members.sum()) for members in sets]
    chance = mean_known([chance_iou(a, b, len(scoring)) for a in sizes for b in sizes])
    image = axis.imshow(matrix, cmap="viridis", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(matrix):
        text = "–" if np.isnan(value) else f"{value:.2f}"
        dark_on_light = np.isnan(value) or value > 0.6
        axis.text(j, i, text, ha="center", va="center", fontsize=8, color="black" if dark_on_light else "white")
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_title(f"IoU by {column}; chance {chance:.2f} (red)\ndiagonal: same model, other view", fontsize=9)
    bar = axis.figure.colorbar(image, ax=axis, fraction=0.046)
    bar.ax.axhline(chance, color="red", linewidth=2)


def score_against_score(scoring: Scoring, axis: Axes, a: str, b: str, column: str, rule: SetRule) -> None:
    """Ranks of the samples by one score under two models, with both sets marked."""
    x, y = (ranks(scoring.suspicion(name, column)) for name in (a, b))
    set_a, set_b = (rule.members(scoring, name, column) for name in (a, b))
    groups = (
        (~set_a & ~set_b, "ordinary", "#999999", 8),
        (set_a & ~set_b, f"confusing for {a}", _CONFUSING, 16),
        (set_b & ~set_a, f"confusing for {b}", _ORDINARY, 16),
        (set_a & set_b, "for both", _BOTH, 22),
    )
    for mask, label, colour, size in groups:
        axis.scatter(x[mask], y[mask], s=size, color=colour, label=f"{label} ({int(mask.sum())})", linewidths=0)
    axis.set_xlabel(f"rank by {column}, {a}")
    axis.set_ylabel(f"rank by {column}, {b}")
    axis.set_title(
        f"IoU {iou(set_a, set_b):.2f}, chance {chance_iou(int(set_a.sum()), int(set_b.sum()), len(scoring)):.2f}; "
        f"ρ {spearman(x, y):.2f}",
        fontsize=9,
    )
    axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))


def gallery(
    scoring: Scoring, name: str, column: str, k: int, n_patterns: int, use_pyplot: bool
) -> tuple[Figure, npt.NDArray[Any]]:
    """The k most and the k least confusing samples, a row each: the input and its patterns.

    Where v is known near the full input only, and no model is at hand, what it loses without each player stands in the
    place of patterns.
    """
    suspicion = scoring.suspicion(name, column)
    k = min(k, len(scoring))
    of_pictures = picture(scoring.evaluation.samples, 0) is not None
    n_bars = n_patterns
    n_patterns = n_patterns if scoring.can_explain and of_pictures else 1  # bars, or a map of what each player loses
    chosen = [*top(suspicion, k, name).tolist(), *top(-suspicion, k, name).tolist()[::-1]]
    size = (1.35 * (1 + n_patterns), 1.65) if of_pictures else (_TABLE_WIDTH, _table_height(scoring))
    fig = new_figure((size[0], size[1] * len(chosen)), use_pyplot, "constrained")
    axes = fig.subplots(len(chosen), 1 + n_patterns, squeeze=False)
    columns = scoring.columns(name)
    for row, index in enumerate(chosen):
        title = f"{'most' if row < k else 'least'}: #{scoring.numbers[index]}, label {columns['label'][index]}"
        image = picture(scoring.evaluation.samples, index)
        if not scoring.can_explain:
            draw_lost(fig, axes[row], scoring, name, index, image, title)
            continue
        model = explained(scoring, name, index, scoring.views[0], n_bars)
        if image is None:
            draw_shapley(axes[row, 0], model, title)
        else:
            draw_input(axes[row, 0], image, title)
        draw_patterns(fig, axes[row, 1:], model, image)
    return fig, axes


def _table_height(scoring: Scoring) -> float:
    """Inches of a row of bars, a bar for each player."""
    return 0.8 + 0.2 * max(n_players(scoring.values(scoring.names[0], view)) for view in scoring.views)


def compare(
    scoring: Scoring, index: int, names: Sequence[str], n_patterns: int, use_pyplot: bool
) -> tuple[Figure, npt.NDArray[Any]]:
    """One sample, a row for each model: the input, every attribution map, the patterns."""
    view = scoring.views[0]
    image = picture(scoring.evaluation.samples, index)
    maps = scoring.evaluation.attributions
    methods = list(dict.fromkeys(method for _, method, at in maps if at == view)) if image is not None else []
    n_bars = n_patterns
    n_patterns = 0 if not scoring.can_explain else n_patterns if image is not None else 1
    width = 2 + len(methods) + n_patterns
    size = (1.45 * width, 1.9) if image is not None else (_TABLE_WIDTH, _table_height(scoring))
    fig = new_figure((size[0], size[1] * len(names)), use_pyplot, "constrained")
    axes = fig.subplots(len(names), width, squeeze=False)
    for row, name in enumerate(names):
        columns = scoring.columns(name)
        head = f"{name}\nlabel {columns['label'][index]}, predicts {columns['predicted'][index]}"
        model = explained(scoring, name, index, view, n_bars) if scoring.can_explain else None
        if model is None:
            draw_lost(fig, axes[row], scoring, name, index, image, head)
        elif image is None:
            axes[row, 0].text(0, 0.5, head, fontsize=8, va="center")
            axes[row, 0].set_axis_off()
            draw_shapley(axes[row, 1], model, "attributions")
        else:
            draw_input(axes[row, 0], image, head)
            draw_attributions(fig, axes[row, 1], shapley_map(model), image, f"Shapley\nv(N) {model.values[-1]:.2f}")
        for offset, method in enumerate(methods):
            draw_attributions(fig, axes[row, 2 + offset], maps[name, method, view][0][index], image, method)  # type: ignore[arg-type]
        if model is not None:
            draw_patterns(fig, axes[row, 2 + len(methods) :], model, image)
    return fig, axes
