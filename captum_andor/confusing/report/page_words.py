"""Words of a page for a reader who has met none of it: what was asked, what came out, what the words mean."""

from __future__ import annotations

import numpy as np

from captum_andor.confusing.scores.overlap import SetRule, overlap
from captum_andor.confusing.scores.ranking import ranking
from captum_andor.confusing.scores.score_formulas import n_players
from captum_andor.confusing.scores.scoring import Scoring

_FIRST = 3  # samples named at the top
GLOSSARY = {
    "player": (
        "A part of the input, such as a patch of an image, a column or a word, that is kept or removed as a whole."
    ),
    "baseline": "What a removed player is replaced by, such as black, a mean image or a typical row.",
    "v": (
        "The score of one input, with some players removed: by default the log-odds of the label, ln p/(1 − p). "
        "v(N): nothing is removed; v(∅): everything is."
    ),
    "confusing sample": (
        "An input that a model decides for reasons that do not generalize: one of the most suspicious tenth by "
        "the score that ranks."
    ),
    "net order": (
        "How much of v is lost when one player is removed, on average, as a share of what all players together "
        "bring: one n-th where n players simply add up, 1 where removing any one takes everything, more where it "
        "takes more than that."
    ),
    "flip rate": "Share of the inputs with two players removed that the model decides otherwise.",
    "masked margin": "Minus the mean v with one player removed: positive where the decision no longer stands.",
    "offset": "Share of the strength of interactions that is between many players and cancelled by the other sign.",
    "loss": "Cross-entropy of the label, in nats: large where the model is wrong or unsure.",
    "margin": "Logit of the label less the largest other one; negative where the model is wrong.",
    "n active": "Players whose removal changes v at all; a mean over baselines, so that it need not be whole.",
    "ink": "Share of the input that differs from the baseline.",
    "loss rank": "Where loss alone would put the sample; 1 is the largest loss.",
    "rank": (
        "1 is the most suspicious. With several baselines or masks, ranks under each are added up, while the "
        "column of the score shows its mean: the two need not run alike."
    ),
    "rank sum": (
        "Ranks under each baseline and mask, added up, the most suspicious sample of each counting most: what "
        "samples are ranked by."
    ),
    "trusted": "Whether v(N) is above v(∅) under every baseline. Where not, net order is unreliable.",
    "IoU": (
        "Intersection over union of the confusing sets of two models; from and to are the ends of its 95 % interval."
    ),
    "chance": "What independent sets of the same sizes would overlap by.",
    "ρ": (
        "Rank correlation of the scores of all samples under two models (Spearman). “Given”: what is left of it "
        "once these are held fixed."
    ),
    "same model, other baseline": (
        "How far the set of one model repeats under another baseline. Where this is small, a small overlap of two "
        "models says nothing about the models. Compare it with “IoU, one view”."
    ),
    "AND": "A pattern that acts only where all of its players are there. Solid outline.",
    "OR": "A pattern that acts as soon as one of its players is there. Dashed outline.",
}


def asked(scoring: Scoring) -> str:
    """What was asked, for the top of a page."""
    names, views = scoring.names, scoring.evaluation.views
    n = sorted({n_players(scoring.values(names[0], view)) for view in scoring.views})
    models = f"{len(names)} models" if len(names) > 1 else "a model"
    about = "what the model predicts" if scoring.predicted else "the label that it was given"
    ways = "" if len(views.baselines) == 1 else f", {len(views.baselines)} of them in turn"
    parts = " or ".join(map(str, n))
    return (
        f"{models.capitalize()} saw {len(scoring):,} inputs, each whole and with some of its {parts} players (parts) "
        f"replaced by a baseline{ways}. How much of the evidence for {about} is lost with one or two players gone? By "
        f"{scoring.primary.replace('_', ' ')} the inputs are ranked: on top are those that a model decides for fragile "
        "reasons, whether it is right or wrong. They are for a person to look at; they are not proven mistakes."
    )


def found(scoring: Scoring) -> list[str]:
    """What came out, in sentences."""
    sentences = []
    correct = {name: np.asarray(scoring.columns(name)["correct"], dtype=np.float64).mean() for name in scoring.names}
    if not any(np.isnan(list(correct.values()))):
        each = "; ".join(f"{name} {share:.1%}" for name, share in list(correct.items())[:_FIRST])
        more = f"; {len(correct) - _FIRST} more below" if len(correct) > _FIRST else ""
        sentences.append(f"Decided as labelled: {each}{more}.")
    if len(scoring.names) > 1:
        table = overlap(scoring, scoring.primary, SetRule(), ("n_active", "ink"), None, 500, 0)
        best, worst = table["iou"].max(), table["iou"].min()
        spread = f"{worst:.2f}" if len(table) == 1 else f"{worst:.2f} to {best:.2f}"
        which = "the two" if len(table) == 1 else "two"
        sentences.append(
            f"The most suspicious tenths of {which} models overlap by {spread} (intersection over union; independent "
            f"sets by {table['chance'].mean():.2f}, the tenths of largest loss by {table['loss_iou'].mean():.2f})."
        )
        ceiling = table[["ceiling_baseline", "ceiling_mask"]].mean(axis=None)
        if np.isfinite(ceiling):
            sentences.append(f"One model overlaps with itself, under another baseline or mask, by {ceiling:.2f}.")
        shared = set.intersection(*(_first(scoring, name, 10) for name in scoring.names))
        if shared:
            among = ", ".join(f"#{i}" for i in sorted(shared)[:_FIRST])
            sentences.append(f"Among the first ten of every model: {among}.")
    untrusted = np.mean([1 - scoring.columns(name)["trusted"].mean() for name in scoring.names])
    if untrusted > 0:
        sentences.append(
            f"For {untrusted:.0%} of the inputs the whole input scores no higher than the baseline: these ranks are "
            "unreliable and marked."
        )
    return sentences


def look_first(scoring: Scoring) -> list[str]:
    """The most suspicious sample of each model, and why."""
    sentences = []
    for name in scoring.names[:_FIRST]:
        row = ranking(scoring, name, scoring.primary, 1).iloc[0]
        sentences.append(f"#{row['sample']} ({name}): {row['reasons']}.")
    return sentences


def _first(scoring: Scoring, name: str, count: int) -> set[int]:
    return set(ranking(scoring, name, scoring.primary, count)["sample"].tolist())


def models(scoring: Scoring) -> list[str]:
    """A list of the models, how often each is right and how often its ranks can be trusted."""
    entries = []
    for name in scoring.names:
        columns = scoring.columns(name)
        right = float(np.asarray(columns["correct"], dtype=np.float64).mean())
        facts = [] if np.isnan(right) else [f"{right:.1%} decided as labelled"]
        facts += [f"mean loss {columns['loss'].mean():.3g}", f"{columns['trusted'].mean():.1%} of the ranks trusted"]
        entries.append(f"{name}: {', '.join(facts)}")
    return entries
