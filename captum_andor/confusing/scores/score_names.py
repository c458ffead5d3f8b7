"""Names of the scores of confusion, and which of them an evaluation can give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from captum_andor.confusing.scores.score_formulas import REFERENCE_SCORES, SPLIT_SCORES, VALUE_SCORES
from captum_andor.games import Score

Labels = Literal["given", "predicted"]


BOUNDED = ("prob", "log_prob")  # scores v whose sign says nothing about the decision


SCORES = (*VALUE_SCORES, *SPLIT_SCORES, *REFERENCE_SCORES)


def check_scores(scores: Any, primary: Any, score: Score) -> tuple[str, ...] | None:
    """The names of the scores to compute, the primary among them; None stays, for those that are computed unasked."""
    names = () if scores is None else (scores,) if isinstance(scores, str) else tuple(scores)
    if names == ("all",):
        names = wanted_scores(score, False)
    for argument, name in (("primary", primary), *(("scores", name) for name in names)):
        if name not in SCORES:
            raise ValueError(f"{argument} must be among {list(SCORES)}; got {name!r}.")
    return None if scores is None else tuple(name for name in SCORES if name in (*names, primary))


def check_flips(score: Score, names: Sequence[str]) -> None:
    """Raise if ``flip_rate`` is wanted of a score whose sign does not show the decision."""
    if score in BOUNDED and "flip_rate" in names:
        raise ValueError(
            f'flip_rate takes v < 0 for another decision, which score={score!r} cannot tell; use score="log_odds".'
        )


def check_label_kind(labels: Any) -> None:
    """Raise unless it says which labels v is about."""
    if not isinstance(labels, str):
        raise TypeError(
            f'labels must be "given" or "predicted"; got {type(labels).__name__}. Inputs and their labels are one '
            "argument, a pair: evaluate((inputs, labels))."
        )
    if labels not in get_args(Labels):
        raise ValueError(f"labels must be one of {list(get_args(Labels))}; got {labels!r}.")


def default_scores(score: Score, primary: str, have_references: bool) -> tuple[str, ...]:
    """Scores that are computed unasked: those of v, the primary, and those of references where there are some.

    The others need a split for every sample, which takes longer than all passes.
    """
    unasked = (*VALUE_SCORES, primary, *(REFERENCE_SCORES if have_references else ()))
    return tuple(name for name in wanted_scores(score, True) if name in unasked)


def wanted_scores(score: Score, have_references: bool) -> tuple[str, ...]:
    """All scores that can be computed."""
    without = (*(() if have_references else REFERENCE_SCORES), *(("flip_rate",) if score in BOUNDED else ()))
    return tuple(name for name in SCORES if name not in without)
