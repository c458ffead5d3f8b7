"""Summary of an evaluation as plain text."""

from __future__ import annotations

import numpy as np

from captum_andor.confusing.scores.overlap import SetRule, overlap, reliability
from captum_andor.confusing.scores.ranking import ranking
from captum_andor.confusing.scores.score_formulas import n_players
from captum_andor.confusing.scores.scoring import Scoring

_FIRST = 3  # samples shown of each model
_RESAMPLES = 200  # a summary is printed at once; its intervals have two digits
_MUCH_TIED = 0.2  # share of a set drawn among equal scores that is worth a sentence


def facts(scoring: Scoring) -> list[str]:
    """Lines that state the samples, models, baselines, masks and scores of an evaluation."""
    views = scoring.evaluation.views
    values = [scoring.values(scoring.names[0], view) for view in scoring.views]
    n = {n_players(v) for v in values}
    about = "what each model predicts" if scoring.predicted else "the given label"
    score = scoring.score if isinstance(scoring.score, str) else getattr(scoring.score, "__name__", "a function")
    return [
        f"{len(scoring)} samples, {len(scoring.names)} model(s), {len(views.baselines)} baseline(s), "
        f"{len(views.masks)} mask(s), {' or '.join(map(str, sorted(n)))} players",
        f"v is {score} of {about}; samples are ranked by {scoring.primary}"
        + (", its ranks summed over baselines and masks" if len(views) > 1 else ""),
        *([] if scoring.knows_patterns else [f"v is known on the {values[0].shape[1]} masks that its scores read"]),
    ]


def summary(scoring: Scoring) -> str:
    """Write the summary: models, scores and their reliability, overlap, and the samples to look at first."""
    lines = ["Confusing samples", *facts(scoring), ""]
    lines += [f"{'model':20}{'accuracy':>10}{'mean loss':>11}{'trusted':>9}{'small effect':>14}"]
    for name in scoring.names:
        columns = scoring.columns(name)
        accuracy = np.asarray(columns["correct"], dtype=np.float64).mean()
        lines.append(
            f"{name[:19]:20}{accuracy:10.1%}{columns['loss'].mean():11.3f}{columns['trusted'].mean():9.1%}"
            f"{columns['small_effect'].mean():14.1%}"
        )
    if len(scoring.views) > 1:
        lines += ["", "Rank correlation of scores with themselves under another baseline or mask:"]
        means = reliability(scoring).groupby("score", sort=False)[["retest_baseline", "retest_mask"]].mean()
        lines.append(f"{'score':26}{'baseline':>10}{'mask':>10}")
        for score, row in means.iterrows():
            lines.append(f"{score:26}{row['retest_baseline']:10.2f}{row['retest_mask']:10.2f}")
    if len(scoring.names) > 1:
        lines += ["", *_overlaps(scoring)]
    for name in scoring.names:
        lines += ["", f"Look at first, {name}:"]
        first = ranking(scoring, name, scoring.primary, _FIRST)
        lines += [f"  #{row.sample}: {row.reasons}" for row in first.itertuples()]
    return "\n".join(lines)


def _overlaps(scoring: Scoring) -> list[str]:
    table = overlap(scoring, scoring.primary, SetRule(), ("n_active", "ink"), None, _RESAMPLES, 0)
    lines = [
        f"Overlap of the top 10 % by {scoring.primary} (IoU; chance {table['chance'].mean():.3f}):",
        f"{'models':34}{'IoU':>6}{'interval':>14}{'by loss':>9}{'ρ':>7}{'given loss':>12}{'ceiling':>9}",
    ]
    for row in table.itertuples():
        ceiling = np.nanmax([row.ceiling_mask, row.ceiling_baseline, -1.0])
        lines.append(
            f"{f'{row.model_a}, {row.model_b}'[:33]:34}{row.iou:6.2f}{f'[{row.iou_low:.2f}, {row.iou_high:.2f}]':>14}"
            f"{row.loss_iou:9.2f}{row.spearman:7.2f}{row.spearman_given_loss:12.2f}"
            + (f"{ceiling:9.2f}" if ceiling >= 0 else f"{'–':>9}")
        )
    tied = float(np.maximum(table["tied_a"], table["tied_b"]).max())
    if tied > _MUCH_TIED:
        lines.append(f"Up to {tied:.0%} of a set was drawn at random among samples of equal scores.")
    return lines
