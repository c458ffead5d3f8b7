"""The ranking of samples, with the numbers and a sentence that explain each rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from captum_andor.confusing.scores.score_formulas import BOUNDED, lost_by_one, n_flips, n_players
from captum_andor.confusing.scores.scoring import Scoring, rank_positions

if TYPE_CHECKING:
    import pandas as pd


def ranking(scoring: Scoring, name: str, column: str, first: int | None = None) -> pd.DataFrame:
    """Samples of one model, most suspicious first, or the first of them; see :meth:`ConfusingReport.rank`."""
    import pandas as pd

    columns = scoring.columns(name)
    place = rank_positions(scoring.suspicion(name, column), name)
    loss_place = rank_positions(scoring.suspicion(name, "loss"), name)
    order = np.argsort(place)[:first]
    shown = ("trusted", "label", "predicted", "correct", "loss", "margin", "n_active", "small_effect")
    table: dict[str, Any] = {"rank": place, **scoring.sample_columns, column: columns[column]}
    if len(scoring.views) > 1 and column in scoring.wanted:  # by which it ranks; the score beside it is a mean
        table["rank_sum"] = scoring.suspicion(name, column)
    table |= {key: columns[key] for key in shown if key != column}
    table["loss_rank"] = loss_place
    found = pd.DataFrame(table).iloc[order].reset_index(drop=True)
    found["reasons"] = _reasons(scoring, name, column, loss_place, order)
    return found


def _reasons(scoring: Scoring, name: str, column: str, loss_place: Any, samples: Any) -> list[str]:
    """Why each of some samples is where it is."""
    columns = scoring.columns(name)
    values = [scoring.values(name, view) for view in scoring.views]
    lost = np.mean([lost_by_one(v).numpy() for v in values], axis=0)
    empty = np.mean([v[:, 0].numpy() for v in values], axis=0)
    flips = np.sum([n_flips(v).numpy() for v in values], axis=0)
    masks = sum(n_players(v) * (n_players(v) - 1) // 2 for v in values)
    unit = "log-odds" if scoring.score == "log_odds" else "of its score"
    result = []
    for i in samples:
        parts = []
        if column == "net_order" and not columns["trusted"][i]:
            v, v_empty = columns["value"][i], empty[i]
            where = "for at least one baseline or mask, " if len(scoring.views) > 1 else ""
            means = ", means over these:" if where else ":"
            warning = f"net_order is unreliable: {where}v(N) is not above v(∅){means} {v:.2g} and {v_empty:.2g}"
            parts.append(warning)
        if scoring.given is not None and not columns["correct"][i]:
            parts.append(f"predicted as {columns['predicted'][i]}, labelled {columns['label'][i]}")
        if lost[i] > 0 and columns["value"][i] > 0:
            kept = columns["value"][i]
            change = f"from {kept:.1f} to {kept - lost[i]:.1f}"
            parts.append(f"loses {lost[i]:.1f} {unit} on average when one player goes, {change}")
        elif lost[i] > 0:
            parts.append(f"loses {lost[i]:.1f} {unit} on average when one player goes")
        else:
            parts.append(f"gains {-lost[i]:.1f} {unit} on average when one player goes")
        if masks and scoring.score not in BOUNDED:
            parts.append(f"decision flips on {flips[i]} of {masks} masks with two players gone")
        if "offset" in columns:
            parts.append(f"{columns['offset'][i]:.0%} of its strength is of high order and offset by the other sign")
        if "non_generalizable_share" in columns:
            parts.append(f"{columns['non_generalizable_share'][i]:.0%} of its strength is in no reference")
        if columns["small_effect"][i]:
            parts.append(f"all players together move v by {columns['effect'][i]:.2g} only")
        if column != "loss":
            parts.append(f"loss alone would rank it {_ordinal(int(loss_place[i]))}")
        result.append("; ".join(parts))
    return result


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
