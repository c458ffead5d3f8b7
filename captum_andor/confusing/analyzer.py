"""``ConfusingSampleAnalyzer``: models and data in, report out."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from captum.log import log_usage

from captum_andor._utils.checks import check_count, check_share
from captum_andor._utils.datasets import read_samples
from captum_andor._utils.devices import Model
from captum_andor._utils.model_identity import add_value
from captum_andor.confusing.batch_explainer import BatchExplainer
from captum_andor.confusing.evaluation.attribution_methods import Attributer
from captum_andor.confusing.evaluation.evaluator import Evaluation, Evaluator, checkpoint_folder
from captum_andor.confusing.evaluation.views import Views
from captum_andor.confusing.report.confusing_report import ConfusingReport
from captum_andor.confusing.scores.score_formulas import REFERENCE_SCORES, VALUE_SCORES
from captum_andor.confusing.scores.score_names import (
    Labels,
    check_flips,
    check_label_kind,
    check_scores,
    default_scores,
)
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.confusing.store.distributed import Keep
from captum_andor.games import Score, check_output_field, check_score
from captum_andor.results import Names, standard_names


class ConfusingSampleAnalyzer(BatchExplainer):
    """Finds the samples that models decide for reasons that do not generalize, and compares models by them.

    Every model is run on masked copies of every sample: of n patches (or other players) some keep their value, the
    others take that of a baseline, in all 2^n ways or, for scores of v alone, in those that these read.
    From the scores v on these come *scores of confusion*: how fragile the decision is near the full input
    (``net_order``, ``flip_rate``, ``masked_margin``), and how far it rests on high-order interactions that offset each
    other (``offset`` and its like). The formulas are those of this package: the paper that names confusing samples
    gives none in any copy we could read. What each score finds, and what loss alone finds better, is measured in the
    documentation.

    Args:
        score (str or Callable, optional): What v is: as in :class:`AndOrInteractions`. Default: "log_odds"
        feature_mask (Tensor, tuple, Callable or list, optional): Players, in one of Captum's forms, or a function of an
            input of batch size 1 that returns one; a list of these gives several masks, e.g. a grid and the same grid
            moved (:func:`captum_andor.games.masks.image_grid`). Default: None (a grid of 3 x 3 patches for images,
            else one player per element)
        baselines (scalar, Tensor, tuple, Callable or list, optional): What removed players are replaced by, in one of
            Captum's forms, or a function of an input of batch size 1 that returns one; a **list** of these gives
            several baselines, while a tuple keeps Captum's meaning, one per input. With several baselines or masks each
            pair is evaluated and their ranks are summed. Default: None (zeros)
        primary (str, optional): The score that ranks. Default: "net_order"
        scores (sequence of str, optional): Which scores to compute; ``net_order``, ``flip_rate`` and
            ``masked_margin`` need no split, the others one for every sample; ``"all"`` is all that need no references.
            Default: None (those three and the primary; and those that need references, where there are some)
        max_players (int, optional): More players in a mask are an error, as 2^n passes a sample would not end.
            Default: 12
        high_order (int, optional): Lowest number of players that counts as high order. Default: None (above n / 2)
        tolerance (float, optional): Duality gap of the sparse splits. Default: 1e-2
        output (str or int, optional): Which part of what the models return holds the class scores, as in
            :class:`AndOrInteractions`. Default: None (the tensor itself, or ``logits`` where there are some)
        coalitions (str, optional): ``"auto"``: where ``scores`` names ``net_order``, ``flip_rate`` and
            ``masked_margin`` alone, models are run only on the masked copies that these read, n (n + 1) / 2 + 2 of
            2^n: with none, one, two or all players removed (47 of 512 with nine players); on the others when patterns
            of a sample, or of all, are first asked for. ``"all"``: on all at once. Default: "auto"
        player_names (sequence or mapping, optional): What figures and pages call the players: a string for each, in the
            order of the sorted feature ids, or a mapping of ids. Default: None (the columns of a frame, with the values
            of each sample; else ids)

    Raises:
        ValueError: If a score is unknown or a number out of its range.

    Examples::

        >>> import torch
        >>> analyzer = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"))
        >>> _ = analyzer.add_model("linear", torch.nn.Linear(4, 3).eval())
        >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
        >>> {name: len(samples) for name, samples in report.confusing_sets(fraction=0.1).items()}
        {'linear': 2}

    Source: this package; confusing samples are those of Zhang et al. 2025, arXiv 2502.08625.
    """

    def __init__(
        self,
        score: Score = "log_odds",
        feature_mask: Any = None,
        baselines: Any = None,
        primary: str = "net_order",
        scores: Sequence[str] | None = None,
        max_players: int = 12,
        high_order: int | None = None,
        tolerance: float = 1e-2,
        output: str | int | None = None,
        coalitions: Literal["auto", "all"] = "auto",
        player_names: Names = None,
    ) -> None:
        check_score(score)
        self.scores = check_scores(scores, primary, score)
        check_flips(score, (primary, *(self.scores or ())))
        self.score = score
        self.views = Views.of(baselines, feature_mask)
        self.primary = primary
        for name, count in (("max_players", max_players), ("high_order", 1 if high_order is None else high_order)):
            check_count(name, count)
        check_share("tolerance", tolerance)
        self.max_players = max_players
        self.high_order = high_order
        self.tolerance = tolerance
        check_output_field(output)
        self.output = output
        if coalitions not in ("auto", "all"):
            raise ValueError(f'coalitions must be "auto" or "all"; got {coalitions!r}.')
        self.coalitions = coalitions
        self.player_names = player_names
        self._models: dict[str, Model] = {}
        self._references: dict[str, tuple[Model, tuple[str, ...] | None]] = {}
        self._report: ConfusingReport | None = None

    @property
    def only_scored(self) -> bool:
        """Whether models are run only on the masked copies that scores of v read."""
        return self.coalitions == "auto" and set(self._wanted) <= set(VALUE_SCORES)

    @property
    def _wanted(self) -> tuple[str, ...]:
        """Names of the scores to compute."""
        references = bool(self._models) and all(self._references_of(name) for name in self._models)
        return self.scores or default_scores(self.score, self.primary, references)

    def clone(self) -> ConfusingSampleAnalyzer:
        """A new analyzer of the same settings, without models.

        Returns:
            - **analyzer** (*ConfusingSampleAnalyzer*): The new one.

        Examples::

            >>> ConfusingSampleAnalyzer(primary="flip_rate").clone().primary
            'flip_rate'
        """
        new = copy.copy(self)
        new._models, new._references, new._report = {}, {}, None
        return new

    def add_model(self, name: str, model: Model | None = None) -> ConfusingSampleAnalyzer:
        """Add a model to compare.

        Args:
            name (str): Under which the report shows it.
            model (Callable or torch.nn.Module): Takes a batch of inputs and returns class scores (logits) ``(N, C)``,
                or one logit ``(N,)`` or ``(N, 1)`` for class 1 against class 0. It may be on any device.

        Returns:
            - **analyzer** (*ConfusingSampleAnalyzer*): This one, so that calls can be chained.

        Raises:
            RuntimeError: If the name is taken.
            TypeError: If the name or the model is missing, or the model is not callable.
        """
        if model is None:
            raise TypeError(f'add_model takes a name, too: add_model("net", model); got a {type(name).__name__} alone.')
        self._check_new(name, model)
        self._models[name] = model
        return self

    def add_reference(self, name: str, model: Model, of: str | Sequence[str] | None = None) -> ConfusingSampleAnalyzer:
        """Add a model that others are measured against, e.g. one trained on other data or an early checkpoint.

        Its interactions tell which ones of a model generalize: ``non_generalizable_share`` and ``unshared_effect``.

        Args:
            name (str): Under which errors name it.
            model (Callable or torch.nn.Module): As in :meth:`add_model`.
            of (str or sequence of str, optional): The models that it is a reference of. Default: None (all)

        Returns:
            - **analyzer** (*ConfusingSampleAnalyzer*): This one.

        Raises:
            RuntimeError: If the name is taken.
            TypeError: If the model is not callable.
        """
        self._check_new(name, model)
        self._references[name] = (model, None if of is None else (of,) if isinstance(of, str) else tuple(of))
        return self

    def _check_new(self, name: Any, model: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string; got {type(name).__name__}. The order is add_model(name, model).")
        if name in self._models or name in self._references:
            raise RuntimeError(f"a model named {name!r} was added already; give each a name of its own.")
        if not callable(model):
            raise TypeError(f"model must be callable, e.g. a torch.nn.Module; got {type(model).__name__}.")

    @log_usage()  # type: ignore[untyped-decorator]
    def evaluate(
        self,
        dataset: Any,
        labels: Labels = "given",
        attributions: Mapping[str, Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
    ) -> ConfusingReport:
        """Run all models on all masked samples and report.

        Memory holds the inputs and, for each model, baseline and mask, 4 · 2^n · C bytes a sample for C classes
        (20 KB at n = 9 and ten classes; 2 KB where only scores of v are asked for), so that further scores and labels
        cost no forward pass.

        Args:
            dataset (data set, DataLoader, tuple or dict): Items ``(input, label)``; a loader of batches of these, which
                must yield all samples in their order; or a pair ``(inputs, labels)`` of tensors, arrays or a frame
                and a column, whose column names figures show. An input is a tensor,
                a tuple of tensors or a dict of them, with which the model is called by name and whose tensors without
                an entry in ``feature_mask`` are passed along; an item that is a dict holds its label as ``"label"`` or
                ``"labels"``. Labels are class indices.
            labels (str, optional): ``"given"``: v is about the data set's label. ``"predicted"``: about what each model
                predicts; then inputs need no labels. Default: "given"
            attributions (dict, optional): Captum methods to compare across models, by name: a class such as
                ``IntegratedGradients`` or any function of the model that returns an object with ``attribute``.
                Default: None
            checkpoint_dir (str or PathLike, optional): Folder where outputs are kept as they come, a file for each
                batch, whose number and size ``batch_size`` decides, found again by the content of model, inputs,
                baseline and mask: an interrupted evaluation goes on where it was; a damaged file is computed again,
                with a warning. Further models and samples are welcome; other settings, samples, or a model with other
                parameters, buffers, attributes, code, closures or answers for the first samples are refused, by
                ``manifest.json``. Processes that ``torchrun`` starts share the batches by way of one folder, on one
                machine or several: each computes its share first, then what others have not done, and all return the
                same report. Default: None
            batch_size (int, optional): Samples in one batch. Default: 64
            perturbations_per_eval (int, optional): Coalitions of each sample in one forward pass. Default: None
                (chosen by the size of the inputs)
            show_progress (bool, optional): Show a tqdm bar over samples, models, baselines and masks. Default: False

        Returns:
            - **report** (*ConfusingReport*): After Ctrl-C, of the batches that all models have seen, with a warning.

        Raises:
            TypeError: If the data set, an input or a label is of the wrong kind.
            ValueError: If there is no model, labels lack or lie outside the classes, a model is in training mode or
                answers differently twice, a loader shuffles, there are too many players, or the folder is of another
                evaluation.
        """
        self._check_models(labels)
        check_count("batch_size", batch_size)
        folder = checkpoint_folder(checkpoint_dir)
        samples = read_samples(dataset, labelled=labels == "given")
        attributer = None
        if attributions:
            attributer = Attributer(attributions, self._models, samples.labels if labels == "given" else None)
        evaluator = self._evaluator(batch_size, perturbations_per_eval, folder, attributer)
        if self.player_names is not None:  # names that do not fit cost nothing
            first = self.views.players(samples, 0, 1, next(iter(self.views)), self.max_players)
            standard_names(self.player_names, first.layout.feature_ids)
        evaluation = evaluator.evaluate(samples, show_progress, "Confusing Sample Analyzer")
        self._report = ConfusingReport(self._scoring(evaluation, labels == "predicted", evaluator))
        return self._report

    def _fingerprint(self, keep: Keep, labels: str) -> str:
        """Hash of models and settings, without samples."""
        digest = hashlib.sha256()
        for name, model in self._models.items():
            add_value(digest, (name, model))
        for name, (model, of) in self._references.items():
            add_value(digest, (name, model, of))
        add_value(digest, (self.views.baselines, self.views.masks, self.output, self.only_scored, keep))
        if keep == "scores":
            add_value(digest, (self.score, labels))
        return digest.hexdigest()[:32]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_report": None}  # workers need the models, not the last report

    def _evaluator(
        self, batch_size: int, perturbations_per_eval: int | None, folder: Path | None, attributer: Attributer | None
    ) -> Evaluator:
        return Evaluator(
            models={**self._models, **{name: model for name, (model, _) in self._references.items()}},
            views=self.views,
            max_players=self.max_players,
            reads_logits=self.score != "output",
            batch_size=batch_size,
            perturbations_per_eval=perturbations_per_eval,
            checkpoint_dir=folder,
            attribute=attributer,
            output_field=self.output,
            only_scored=self.only_scored,
        )

    def _check_models(self, labels: str) -> None:
        check_label_kind(labels)
        if not self._models:
            raise ValueError("there is no model to evaluate; call add_model(name, model) first.")
        for name, (_, of) in self._references.items():
            unknown = [model for model in of or () if model not in self._models]
            if unknown:
                raise ValueError(f"reference {name!r} is of {unknown}, but the models are {list(self._models)}.")
        without = [name for name in self._models if not self._references_of(name)]
        wanted = [score for score in REFERENCE_SCORES if score in (self.primary, *(self.scores or ()))]
        if wanted and without:
            raise ValueError(f"{wanted} need references; add some for {without} with add_reference(name, model).")

    def _references_of(self, model: str) -> tuple[str, ...]:
        return tuple(name for name, (_, of) in self._references.items() if of is None or model in of)

    def _scoring(self, evaluation: Evaluation, predicted: bool, evaluator: Evaluator) -> Scoring:
        references = {name: self._references_of(name) for name in self._models}
        return Scoring(
            evaluation=evaluation,
            names=tuple(self._models),
            references=references,
            score=self.score,
            given=evaluation.samples.labels,
            predicted=predicted,
            wanted=self._wanted,
            primary=self.primary,
            first_high=self.high_order,
            tolerance=self.tolerance,
            evaluator=evaluator,
            player_names=self.player_names,
        )

    def summary(self) -> str:
        """Print a page about the last evaluation.

        Returns:
            - **text** (*str*): The page.

        Raises:
            RuntimeError: If there was none.
        """
        if self._report is None:
            raise RuntimeError("nothing was evaluated yet; call evaluate(dataset) first.")
        return self._report.summary()

    def reset(self) -> None:
        """Forget the last report; the models stay, as in ``captum.robust.AttackComparator``."""
        self._report = None
