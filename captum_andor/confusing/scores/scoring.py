"""Values, splits and scores of every model under every view, each computed once and when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.caching import computed_once
from captum_andor._utils.checks import check_arguments
from captum_andor._utils.statistics import Array, ranks, top
from captum_andor._utils.storage import storable
from captum_andor.confusing.evaluation.evaluator import Evaluation, Evaluator
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.scores.score_formulas import (
    REFERENCE_SCORES,
    SCORES,
    SPLIT_SCORES,
    VALUE_SCORES,
    Labels,
    check_flips,
    check_label_kind,
    check_scores,
    effect,
    high_order,
    n_active,
    n_players,
    primary_score,
    reference_scores,
    salient,
    scored_codes,
    split_scores,
    value_scores,
    wanted_scores,
)
from captum_andor.games import Score, check_score, margin, score_output
from captum_andor.games.transforms import count_players
from captum_andor.results import Names
from captum_andor.split import SplitResult, split_game

if TYPE_CHECKING:
    import pandas as pd

Kept = TypeVar("Kept")

_REVERSED = ("margin", "confidence")  # columns that are low where a sample is suspicious
_SMALL_EFFECT = 0.1  # of the mean |v(N) − v(∅)|
_ROWS = 1 << 16  # outputs scored at once
_MOST_IN_A_FIGURE, _MOST_PLAYERS = 12, 20  # players of which all masked inputs are run without being asked; at all
_OF_VALUES = ("_values", "_split")  # what a report of the same v takes over, without a second copy


@storable
@dataclass(frozen=True)
class Scoring:
    """Scores and table columns of every sample of an evaluation.

    Attributes:
        evaluation: What the models returned.
        names: The models.
        references: By model, the references that its interactions are compared with.
        score: What v is.
        given: Labels of the data set, or None.
        predicted: Whether each model explains its own prediction instead of the given label.
        wanted: Names of the scores of confusion.
        primary: The one among them that ranks.
        first_high: Lowest order that counts as high; None for the first above half of the players.
        tolerance: Duality gap of the splits.
        added: By model, columns that were brought from elsewhere, larger = more suspicious.
        player_names: What figures call the players; None for the columns of a frame, or ids.
        evaluator: Runs the models on the coalitions that were left out, when patterns are asked for; None cannot.
    """

    _unstored = ("evaluator", "_cache")  # models, and what is computed

    evaluation: Evaluation
    names: tuple[str, ...]
    references: dict[str, tuple[str, ...]]
    score: Score
    given: Tensor | None
    predicted: bool
    wanted: tuple[str, ...]
    primary: str
    first_high: int | None
    tolerance: float
    added: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    evaluator: Evaluator | None = field(default=None, repr=False)
    player_names: Names = None
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.evaluation.samples)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Index in the data set of every sample, ascending: 0, 1, … where the report is about all."""
        numbers = self.evaluation.samples.numbers
        return np.arange(len(self)) if numbers is None else numbers

    @property
    def views(self) -> list[View]:
        """The baselines and masks."""
        return list(self.evaluation.views)

    def model_named(self, model: str | None) -> str:
        """The model of a name; None names the only one."""
        if model is None:
            if len(self.names) == 1:
                return self.names[0]
            raise ValueError(f"model must be one of {list(self.names)}, as there are several; got None.")
        if model not in self.names:
            raise ValueError(f"model must be one of {list(self.names)}; got {model!r}.")
        return model

    def column_named(self, score: str | None) -> str:
        """The score or column of a name; None names the primary score."""
        if score is None:
            return self.primary
        if score not in self.columns(self.names[0]):
            if score in SCORES:
                raise ValueError(f"{score} was not computed; report.rescore(scores=[{score!r}]) computes it.")
            known = [*self.wanted, "loss", "margin", "confidence", "n_active", "ink"]
            raise ValueError(f"score must be one of {known}; got {score!r}.")
        return score

    def with_options(
        self,
        score: Score | None,
        labels: Labels | None,
        primary: str | None,
        scores: Sequence[str] | None,
        high_order: int | None,
    ) -> Scoring:
        """Scores of the same evaluation under other options; see :meth:`ConfusingReport.rescore`."""
        score = self.score if score is None else score
        if primary is None:
            named = None if scores is None else check_scores(scores, primary_score(None, scores), score)
            primary = self.primary if named is None or self.primary in named else primary_score(None, scores)
        check_score(score)
        check_label_kind(labels or "given")
        chosen = check_scores(scores, primary, score)
        check_flips(score, (primary, *(chosen or ())))
        possible = wanted_scores(score, all(self.references.values()))
        missing = sorted({*(chosen or ()), primary} - set(possible))
        if missing:
            raise ValueError(f"{missing} need references; add some with add_reference(name, model) and evaluate again.")
        predicted = self.predicted if labels is None else labels == "predicted"
        if not predicted and self.given is None:
            raise ValueError('the data set has no labels; pass labels="predicted".')
        check_arguments({"high_order": high_order})
        if self.evaluation.values is not None and (score != self.score or predicted != self.predicted):
            raise ValueError(
                f'tables of keep="scores" hold v of score={self.score!r} and of one label; run explain_batch with the '
                "others."
            )
        if chosen is None:
            chosen = tuple(name for name in possible if name in (*self.wanted, primary, *VALUE_SCORES))
        of = self if set(chosen) <= set(VALUE_SCORES) else self.complete()
        same_values = score == self.score and predicted == self.predicted
        return replace(
            of,
            score=score,
            predicted=predicted,
            primary=primary,
            wanted=chosen,
            first_high=self.first_high if high_order is None else high_order,
            added=self.added,
            _cache={key: kept for key, kept in of._cache.items() if same_values and key[0] in _OF_VALUES},
        )

    def logits(self, name: str) -> Tensor:
        """Outputs on the whole inputs: float64, shape ``(N, C)``."""
        return self.evaluation.outputs[name, self.views[0]][:, -1].double()

    def labels(self, name: str) -> Tensor:
        """The class that v of a model is about: int64, shape ``(N,)``."""
        if self.predicted:
            return self.logits(name).argmax(1)
        if self.given is None:  # read_samples has seen to it
            raise ValueError('dataset has no labels; pass labels="predicted".')
        return self.given

    def values(self, name: str, view: View, label_of: str | None = None) -> Tensor:
        """Values v for the model's own label, or, with ``label_of``, for the label that another model predicts.

        Returns:
            - **values** (*Tensor*): float64, shape ``(N, 2^n)``.
        """
        return self._values(name, view, self._label_owner(name, label_of))

    def _label_owner(self, name: str, label_of: str | None) -> str | None:
        """Whose prediction v is about; None where that is the given label, the same for all models."""
        return (label_of or name) if self.predicted else None

    @computed_once
    def _values(self, name: str, view: View, label_owner: str | None) -> Tensor:
        if self.evaluation.values is not None:
            return self.evaluation.values[name, view].double()
        outputs = self.evaluation.outputs[name, view]
        labels = self.labels(label_owner or name)
        size = outputs.shape[1]
        step = max(_ROWS // size, 1)
        parts = [
            score_output(some.flatten(0, 1), target.repeat_interleave(size), self.score)
            for some, target in zip(torch.split(outputs, step), torch.split(labels, step), strict=True)
        ]
        for part in parts:
            if part.ndim != 1 or len(part) % size:
                raise ValueError(f"score must give one number per row of output; it gave {tuple(part.shape)}.")
        values = torch.cat(parts).view(-1, size)
        if not bool(values.isfinite().all()):
            sample = int((~values.isfinite()).any(1).nonzero()[0])
            raise ValueError(f"score is not finite for model {name!r} on a masked input of sample {sample}.")
        return values

    def scale(self, name: str, view: View, label_of: str | None = None) -> float:
        """Mean of |v(N) − v(∅)| over the samples."""
        return float(effect(self.values(name, view, label_of)).abs().mean())

    def split(self, name: str, view: View, label_of: str | None = None, noise_bound: float = 0.0) -> SplitResult:
        """Sparse split of v, with arguments as for :meth:`values`."""
        return self._split(name, view, self._label_owner(name, label_of), noise_bound)

    @property
    def knows_patterns(self) -> bool:
        """Whether v is known on all coalitions, not on those alone that scores of v read."""
        return all(scored_codes(self.values(self.names[0], view)) is None for view in self.views)

    @property
    def can_explain(self) -> bool:
        """Whether patterns of single samples can be had, without more passes than a figure is worth."""
        return self.knows_patterns or (self.evaluator is not None and self._most_players() <= _MOST_IN_A_FIGURE)

    def _most_players(self) -> int:
        return max(n_players(self.values(self.names[0], view)) for view in self.views)

    @computed_once
    def complete(self) -> Scoring:
        """The same with v on all coalitions: models are run on those that were left out."""
        if self.knows_patterns:
            return self
        outputs = self._models_at_hand().on_all_coalitions(
            self.evaluation.samples, self.evaluation.outputs, 0, len(self)
        )
        return replace(self, evaluation=replace(self.evaluation, outputs=outputs), _cache={})

    @computed_once
    def values_of_sample(self, name: str, view: View, index: int) -> Tensor:
        """Values v of one sample on all coalitions: float64, shape ``(1, 2^n)``."""
        if self.knows_patterns:
            return self.values(name, view)[index : index + 1]
        outputs = self._models_at_hand().on_all_coalitions(
            self.evaluation.samples, self.evaluation.outputs, index, index + 1
        )[name, view]
        return score_output(outputs[0], self.labels(name)[index].expand(len(outputs[0])), self.score)[None]

    def _models_at_hand(self) -> Evaluator:
        if self.evaluator is None:
            raise RuntimeError(
                f"patterns need v on all masked inputs, scores={list(self.wanted)} read it near the full input, and "
                'the models are not at hand. Evaluate with ConfusingSampleAnalyzer(…, coalitions="all").'
            )
        if self._most_players() > _MOST_PLAYERS:
            raise RuntimeError(
                f"patterns need v on all 2^{self._most_players()} masked inputs of a sample, too many to run; take a "
                f"mask of {_MOST_PLAYERS} players or fewer."
            )
        return self.evaluator

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "evaluator": None, "_cache": {}}  # a report can be sent without its models

    @computed_once
    def _split(self, name: str, view: View, label_owner: str | None, noise_bound: float) -> SplitResult:
        if not self.knows_patterns:
            return self.complete()._split(name, view, label_owner, noise_bound)
        return split_game(self._values(name, view, label_owner), "sparse", noise_bound, self.tolerance)

    def salient(self, name: str, view: View, label_of: str | None = None, noise_bound: float = 0.0) -> Tensor:
        """Salient interactions of the split, AND and OR: shape ``(N, 2, 2^n)``."""
        split = self.split(name, view, label_of, noise_bound)
        return salient(split, self.scale(name, view, label_of))

    @computed_once
    def view_scores(self, name: str, view: View, noise_bound: float = 0.0) -> dict[str, Array]:
        """The wanted scores under one view, shape ``(N,)`` each."""
        values, scale = self.values(name, view), self.scale(name, view)
        found: dict[str, Tensor] = {}
        if set(self.wanted) & set(VALUE_SCORES):
            found |= value_scores(values, scale)
        if set(self.wanted) & {*SPLIT_SCORES, *REFERENCE_SCORES}:
            interactions = self.salient(name, view, noise_bound=noise_bound)
            first_high = self.first_high or high_order(count_players(values))
            found |= split_scores(interactions, scale, first_high)
            if set(self.wanted) & set(REFERENCE_SCORES):
                others = [self.salient(r, view, name, noise_bound) for r in self.references[name]]
                found |= reference_scores(interactions, others)
        return {score: found[score].numpy() for score in self.wanted}

    def memoised(self, key: Any, compute: Callable[[], Kept]) -> Kept:
        """What a function of this object returns, kept under a key of its own."""
        if key not in self._cache:
            self._cache[key] = compute()
        found: Kept = self._cache[key]
        return found

    @computed_once
    def suspicion(self, name: str, column: str, views: tuple[View, ...] | None = None) -> Array:
        """How suspicious each sample is by a score or column, larger = more so, to rank by.

        Ranks are summed over views, where there are several: their scales differ.
        """
        views = tuple(self.views) if views is None else views
        if column in self.wanted:
            each = [self.view_scores(name, view)[column] for view in views]
            return each[0] if len(each) == 1 else np.sum([ranks(scores) for scores in each], axis=0)
        return self.as_suspicion(name, column)

    @computed_once
    def as_suspicion(self, name: str, column: str) -> Array:
        """A column of the table as numbers, larger = more suspicious (margin and confidence change their sign)."""
        columns = self.columns(name)
        if column not in columns:
            raise ValueError(f"score must be a column of the scores, {list(columns)}; got {column!r}.")
        plain = np.asarray(columns[column], dtype=np.float64)
        return -plain if column in _REVERSED else plain

    def columns(self, name: str) -> dict[str, Any]:
        """Columns of the table of scores for one model, shape ``(N,)`` each; scores are means over the views."""
        return {**self._columns(name), **self.added.get(name, {})}

    @computed_once
    def _columns(self, name: str) -> dict[str, Any]:
        logits, labels, views = self.logits(name), self.labels(name), self.views
        values = [self.values(name, view) for view in views]
        effects = torch.stack([effect(v) for v in values])
        scales = torch.tensor([self.scale(name, view) for view in views], dtype=torch.float64, device="cpu")[:, None]
        prediction = logits.argmax(1)
        each = [self.view_scores(name, view) for view in views]
        columns: dict[str, Any] = {
            "label": labels.numpy() if self.given is None else self.given.numpy(),
            "predicted": prediction.numpy(),
            "correct": np.full(len(labels), np.nan) if self.given is None else (prediction == self.given).numpy(),
            **{score: np.mean([scores[score] for scores in each], axis=0) for score in self.wanted},
            "loss": -logits.log_softmax(1).gather(1, labels[:, None])[:, 0].numpy(),
            "margin": margin(logits, labels).numpy(),
            "confidence": logits.softmax(1).amax(1).numpy(),
            "value": torch.stack([v[:, -1] for v in values]).mean(0).numpy(),
            "effect": effects.abs().mean(0).numpy(),
            "small_effect": (effects.abs() < _SMALL_EFFECT * scales).any(0).numpy(),
            "trusted": (effects > 0).all(0).numpy(),
            "n_active": torch.stack([n_active(v).double() for v in values]).mean(0).numpy(),
            "ink": torch.stack([self.evaluation.ink[view] for view in views]).mean(0).numpy(),
        }
        if len(views) == 1:
            columns["n_active"] = columns["n_active"].astype(np.int64)
        return columns

    @property
    def sample_columns(self) -> dict[str, Any]:
        """What tables call the samples: ``sample`` and, of a frame with an index of its own, ``index``."""
        index = self.evaluation.samples.index
        return {"sample": self.numbers, **({} if index is None else {"index": list(index)})}

    def table(self) -> pd.DataFrame:
        """One row per sample and model."""
        import pandas as pd

        blocks = []
        for name in self.names:
            columns = {**self.sample_columns, "model": name, **self.columns(name)}
            columns["rank"] = rank_positions(self.suspicion(name, self.primary), name)
            blocks.append(pd.DataFrame(columns))
        return pd.concat(blocks, ignore_index=True)

    def view_table(self) -> pd.DataFrame:
        """One row per sample, model and view: the scores under each."""
        import pandas as pd

        blocks = [
            pd.DataFrame(
                {
                    "sample": self.numbers,
                    "model": name,
                    "baseline": view.baseline,
                    "mask": view.mask,
                    **self.view_scores(name, view),
                    "value": self.values(name, view)[:, -1].numpy(),
                    "value_empty": self.values(name, view)[:, 0].numpy(),
                    "n_active": n_active(self.values(name, view)).numpy(),
                    "ink": self.evaluation.ink[view].numpy(),
                }
            )
            for name in self.names
            for view in self.views
        ]
        return pd.concat(blocks, ignore_index=True)


def rank_positions(suspicion: Array, name: str) -> npt.NDArray[np.int64]:
    """1 for the most suspicious; ties in random order, another one for each model."""
    result = np.empty(len(suspicion), dtype=np.int64)
    result[top(suspicion, len(suspicion), name)] = 1 + np.arange(len(suspicion))
    return result
