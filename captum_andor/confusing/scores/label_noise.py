"""How well scores find wrong labels, compared with the loss; and a table for users of cleanlab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from captum_andor._utils.statistics import Array, auc, bootstrap, cross_validated_scores, ranks, top
from captum_andor.confusing.scores.overlap import SetRule
from captum_andor.confusing.scores.scoring import Scoring

if TYPE_CHECKING:
    import pandas as pd

_BASE = ("loss", "margin", "n_active")
_FOLDS = 5  # of cross-validated scores: four fifths of the known labels train each


def known_samples(
    known: Any, n_samples: int, name: str = "known", numbers: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.bool_]:
    """A mask of samples, from a mask or from their indices (or numbers, if not all are there).

    Errors call it by its name.
    """
    given = np.asarray(known)
    if given.dtype == bool and given.shape == (n_samples,):
        mask = given
    elif given.ndim == 1 and np.issubdtype(given.dtype, np.integer) and numbers is not None:
        outside = given[~np.isin(given, numbers)]
        if len(outside):
            raise ValueError(f"{name} names sample {int(outside[0])}, which the report is not about.")
        mask = np.isin(numbers, given)
    elif given.ndim == 1 and np.issubdtype(given.dtype, np.integer):
        outside = given[(given < 0) | (given >= n_samples)]
        if len(outside):
            raise ValueError(f"{name} names sample {int(outside[0])}; the samples are 0 to {n_samples - 1}.")
        mask = np.zeros(n_samples, dtype=bool)
        mask[given] = True
    else:
        raise ValueError(
            f"{name} must be {n_samples} bools, one per sample, or a list of sample indices; got an array of "
            f"{given.dtype} of shape {given.shape}."
        )
    if not 0 < mask.sum() < n_samples:
        raise ValueError(f"{name} must name some of the {n_samples} samples, not none or all; it names {mask.sum()}.")
    return mask


def user_columns(
    columns: Mapping[str, Any] | None, pred_probs: Any, labels: npt.NDArray[np.int64], taken: Sequence[str]
) -> dict[str, Array]:
    """Columns given by the caller, one number per sample, larger = more suspicious."""
    n = len(labels)
    found: dict[str, Array] = {}
    for name, given in (columns or {}).items():
        if name in taken:
            raise ValueError(f"columns has {name!r}, which the report has itself; give it another name.")
        column = np.asarray(given, dtype=np.float64)
        if column.shape != (n,):
            raise ValueError(f"columns[{name!r}] must hold one number for each of {n} samples; got {column.shape}.")
        found[name] = column
    if pred_probs is not None:
        probabilities = np.asarray(pred_probs, dtype=np.float64)
        if probabilities.ndim != 2 or len(probabilities) != n or labels.max() >= probabilities.shape[1]:
            raise ValueError(
                f"pred_probs must have shape ({n}, C) with C above the largest label {labels.max()}; got "
                f"{probabilities.shape}."
            )
        own = probabilities[np.arange(n), labels]
        others = probabilities.copy()
        others[np.arange(n), labels] = -np.inf
        found["pred_probs self-confidence"] = -own
        found["pred_probs margin"] = others.max(1) - own
    return found


def label_noise(
    scoring: Scoring,
    name: str,
    known: npt.NDArray[np.bool_],
    extra: Mapping[str, Array],
    k: int | None,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """One row per score or column of one model; see :meth:`ConfusingReport.label_noise`."""
    import pandas as pd

    own = [*scoring.wanted, "loss", "margin", "confidence", "n_active"]
    columns = {column: scoring.suspicion(name, column) for column in own} | dict(extra)
    base = [columns[column] for column in _BASE]
    folds = min(_FOLDS, int(known.sum()), int((~known).sum()))
    with_base = cross_validated_scores(base, known, folds, seed) if folds > 1 else None
    rows = []
    for column, suspicion in columns.items():
        count = int(known.sum()) if k is None else k
        low, high = _auc_interval(suspicion, known, n_resamples, seed)
        row = {
            "model": name,
            "score": column,
            "auc": auc(suspicion, known),
            "auc_low": low,
            "auc_high": high,
            "k": count,
            "precision_at_k": float(known[top(suspicion, count, f"{name} {column}", seed)].mean()),
        }
        if with_base is None or column in _BASE:
            row |= dict.fromkeys(("auc_base", "auc_with", "added", "added_low", "added_high"), float("nan"))
        else:
            joined = cross_validated_scores([*base, suspicion], known, folds, seed)
            row |= _added(with_base, joined, known, n_resamples, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def _auc_interval(suspicion: Array, known: npt.NDArray[np.bool_], n_resamples: int, seed: int) -> tuple[float, float]:
    rank = ranks(suspicion)
    return bootstrap(lambda rows: auc(rank[rows], known[rows]), len(known), n_resamples, seed)


def _added(base: Array, joined: Array, known: npt.NDArray[np.bool_], n_resamples: int, seed: int) -> dict[str, float]:
    """Cross-validated AUC without and with a column, and their difference over resampled samples."""

    def difference(rows: npt.NDArray[np.int64]) -> float:
        return auc(joined[rows], known[rows]) - auc(base[rows], known[rows])

    low, high = bootstrap(difference, len(known), n_resamples, seed)
    without, with_it = auc(base, known), auc(joined, known)
    return {"auc_base": without, "auc_with": with_it, "added": with_it - without, "added_low": low, "added_high": high}


def cleanlab_frame(scoring: Scoring, name: str, columns: Sequence[str], rule: SetRule) -> pd.DataFrame:
    """``is_<score>_issue`` and ``<score>_score`` of every sample, the latter in [0, 1], low where it is suspicious."""
    import pandas as pd

    found: dict[str, Any] = {}
    for column in columns:
        rank = ranks(scoring.suspicion(name, column))
        found[f"is_{column}_issue"] = rule.members(scoring, name, column)
        found[f"{column}_score"] = 1 - (rank - 0.5) / len(rank)
    return pd.DataFrame(found, index=pd.Index(scoring.numbers, name="sample"))
