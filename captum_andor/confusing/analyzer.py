"""``ConfusingSampleAnalyzer``: models and data in, report out."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from captum.log import log_usage

from captum_andor._utils.checks import constrained, one_of
from captum_andor._utils.datasets import read_samples
from captum_andor._utils.hashing import hash_of
from captum_andor._utils.progress import progress_bar
from captum_andor._utils.running import Model
from captum_andor.confusing.evaluation.attribution_methods import Attributer
from captum_andor.confusing.evaluation.batch_rows import BatchRows
from captum_andor.confusing.evaluation.collected import (
    SampleSelection,
    chosen_samples,
    evaluation_of,
    missing_samples,
    samples_of_labels,
)
from captum_andor.confusing.evaluation.evaluator import Evaluation, Evaluator
from captum_andor.confusing.evaluation.views import Views
from captum_andor.confusing.report.confusing_report import ConfusingReport
from captum_andor.confusing.scores.score_formulas import (
    REFERENCE_SCORES,
    VALUE_SCORES,
    Labels,
    check_flips,
    check_label_kind,
    check_scores,
    default_scores,
    primary_score,
)
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.confusing.store.batch_table import (
    COLUMNS,
    TableContent,
    arrow_schema,
    check_keep,
    empty_table,
    samples_of_batch,
)
from captum_andor.confusing.store.parts_folder import PartsFolder
from captum_andor.games import Score, check_output_field, check_score, method_to_pass
from captum_andor.results import Names, standard_names

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 64  # samples in one batch, where patterns are asked of a report that was collected


class ConfusingSampleAnalyzer:
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
        primary (str, optional): The score that ranks. Default: None (the first of ``scores``; without these
            ``masked_margin``, which finds wrong labels best, repeats best under another baseline and has few ties)
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

    Source: Confusing samples are those of Zhang et al. 2025, arXiv 2502.08625.
    """

    @constrained(coalitions=one_of(("auto", "all")))
    def __init__(
        self,
        score: Score = "log_odds",
        feature_mask: Any = None,
        baselines: Any = None,
        primary: str | None = None,
        scores: Sequence[str] | None = None,
        max_players: int = 12,
        high_order: int | None = None,
        tolerance: float = 1e-2,
        output: str | int | None = None,
        coalitions: Literal["auto", "all"] = "auto",
        player_names: Names = None,
    ) -> None:
        check_score(score)
        primary = primary_score(primary, scores)
        self.scores = check_scores(scores, primary, score)
        check_flips(score, (primary, *(self.scores or ())))
        self.score = score
        self.views = Views.of(baselines, feature_mask)
        self.primary = primary
        self.max_players = max_players
        self.high_order = high_order
        self.tolerance = tolerance
        check_output_field(output)
        self.output = output
        self.coalitions = coalitions
        self.player_names = player_names
        self._models: dict[str, Model] = {}
        self._references: dict[str, tuple[Model, tuple[str, ...] | None]] = {}
        self._report: ConfusingReport | None = None

    @property
    def _only_scored(self) -> bool:
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
            raise TypeError(
                f"model must be callable, e.g. a torch.nn.Module; got {type(model).__name__}.{method_to_pass(model)}"
            )

    @log_usage()  # type: ignore[untyped-decorator]
    @constrained()
    def evaluate(
        self,
        dataset: Any,
        labels: Labels = "given",
        attributions: Mapping[str, Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        perturbations_per_eval: int | None = None,
        show_progress: bool | None = None,
    ) -> ConfusingReport:
        """Run all models on all masked samples and report.

        Memory holds the inputs and, for each model, baseline and mask, 4 · 2^n · C bytes a sample for C classes
        (20 KB at n = 9 and ten classes; 2 KB where only scores of v are asked for), so that further scores and labels
        cost no forward pass.

        Args:
            dataset (data set, DataLoader, tuple or dict): Items ``(input, label)``; a loader of batches of these, which
                must yield all samples in their order; or a pair ``(inputs, labels)`` of tensors, arrays or a frame
                and a column. Figures show the column names of a frame; its doubles stay doubles unless a model's
                parameters ask for less; an index of its own stands beside ``sample``, the number of the row, as
                ``index``: ``frame.loc[report.rank(…)["index"]]``. An input is a tensor,
                a tuple of tensors or a dict of them, with which the model is called by name and whose tensors without
                an entry in ``feature_mask`` are passed along; an item that is a dict holds its label as ``"label"`` or
                ``"labels"``. Labels are class indices.
            labels (str, optional): ``"given"``: v is about the data set's label. ``"predicted"``: about what each model
                predicts; then inputs need no labels. Default: "given"
            attributions (dict, optional): Captum methods to compare across models, by name: a class such as
                ``IntegratedGradients`` or any function of the model that returns an object with ``attribute``.
                Default: None
            checkpoint_dir (str or PathLike, optional): Folder where outputs are kept as they come, a Parquet file for
                each batch, as ``folder`` of :meth:`explain_batch` keeps them: an interrupted evaluation goes on where
                it was, in batches of any size; a damaged file is computed again, with a warning. Further models and
                samples are welcome; other baselines, masks or samples are refused, and a model with other parameters,
                buffers, code or answers for the first samples. Processes that ``torchrun`` starts share the batches by
                way of one folder, on one machine or several: each computes its share first, then what others have not
                done, and all return the same report. Default: None
            batch_size (int, optional): Samples in one batch. Default: 64
            perturbations_per_eval (int, optional): Coalitions of each sample in one forward pass; 1 for engines that
                take ``batch_size`` rows and no others. Default: None (chosen by the size of the inputs)
            show_progress (bool, optional): Show a tqdm bar over samples, models, baselines and masks. None: one line on
                stderr where it takes more than ten seconds; False: nothing. Default: None

        Returns:
            - **report** (*ConfusingReport*): After Ctrl-C, of the batches that all models have seen, with a warning.

        Raises:
            TypeError: If the data set, an input or a label is of the wrong kind.
            ValueError: If there is no model, labels lack or lie outside the classes, a model is in training mode or
                answers differently twice, a loader leaves samples out, there are too many players, or the folder is of
                another evaluation.
            ImportError: If there is a ``checkpoint_dir`` and pyarrow is not installed.
        """
        self._check_models(labels)
        samples = read_samples(dataset, labelled=labels == "given")
        attributer = None
        if attributions:
            attributer = Attributer(attributions, self._models, samples.labels if labels == "given" else None)
        evaluator = self._evaluator(batch_size, perturbations_per_eval, attributer)
        if self.player_names is not None:  # names that do not fit cost nothing
            first = self.views.players(samples, 0, 1, next(iter(self.views)), self.max_players)
            standard_names(self.player_names, first.layout.feature_ids)
        stored = None
        if checkpoint_dir is not None:
            stored = self._batch_rows(evaluator, "outputs", labels, checkpoint_dir, "checkpoint_dir")
        evaluation = evaluator.evaluate(samples, show_progress, "Confusing Sample Analyzer", stored)
        self._report = ConfusingReport(self._scoring(evaluation, labels == "predicted", evaluator))
        return self._report

    def explain_batch(
        self,
        batch: Any,
        perturbations_per_eval: int | None = None,
        keep: TableContent = "outputs",
        labels: Labels = "given",
        folder: str | os.PathLike[str] | None = None,
    ) -> pd.DataFrame:
        """Run all models on the masked samples of one batch: the map of a distributed evaluation.

        For ``ray.data.Dataset.map_batches`` and Spark's ``mapInPandas``; it can be pickled as the models can. What
        depends on all samples together is left to :meth:`collect`.

        Args:
            batch (dict, pandas.DataFrame or Arrow table): Columns ``sample``, the index in the data set; ``input``, one
                array a row, or ``input_0``, ``input_1``, … for models of several inputs; nested lists of numbers become
                torch's default dtype. Baselines and masks must be shared by all samples, or functions of an input.
            perturbations_per_eval (int, optional): As in :meth:`evaluate`. Default: None
            keep (str, optional): ``"outputs"``: of all classes on all masked inputs that were evaluated, so that other
                scores and labels cost no pass. ``"scores"``: what scores of v read, under 1 KB a row, for an analyzer
                whose ``scores`` names these alone; ``batch`` then needs a column ``label``. Default: "outputs"
            labels (str, optional): With ``keep="scores"``, what v is about, as in :meth:`evaluate`. Default: "given"
            folder (str or PathLike, optional): Where to keep the rows, too: a Parquet file for each batch, whole or
                not at all, beside a ``manifest.json`` of models and settings. Rows that are there are read, not
                evaluated, so that whatever is started again goes on where it was, on any engine and in batches of any
                size. :meth:`evaluate` keeps the same files. Default: None

        Returns:
            - **table** (*pandas.DataFrame*): One row per sample, model, baseline and mask: ``sample``, ``model``,
              ``baseline``, ``mask``, ``ink``, ``fingerprint`` (of model, input, baseline and mask), ``settings`` (of
              models and analyzer); then ``classes`` and ``outputs``, a flat array of coalitions · classes numbers, or
              ``label``, ``logits`` of the whole input and ``values``, v. :meth:`arrow_schema` has the types.

        Raises:
            TypeError, ValueError: If a column is missing or does not fit, and as :meth:`evaluate`.
            ValueError: If the folder is of other models, samples or settings.
            ImportError: If there is a folder and pyarrow is not installed.

        Examples::

            >>> import torch
            >>> from captum_andor import ConfusingSampleAnalyzer
            >>> analyzer = ConfusingSampleAnalyzer(scores=("net_order",))
            >>> _ = analyzer.add_model("linear", torch.nn.Linear(4, 3).eval())
            >>> x, y = torch.rand(20, 4), torch.arange(20) % 3
            >>> batches = [{"sample": rows.numpy(), "input": x[rows].numpy()} for rows in torch.arange(20).split(8)]
            >>> report = analyzer.collect([analyzer.explain_batch(batch) for batch in batches], (x, y))
            >>> report.scores["net_order"].equals(analyzer.evaluate((x, y), batch_size=8).scores["net_order"])
            True
        """
        self._check_models(labels)
        kept = check_keep(keep, self._only_scored, self._wanted)
        read = samples_of_batch(batch)
        if read is None:
            return empty_table(kept)
        samples, _ = read
        if kept == "scores" and labels == "given" and samples.labels is None:
            raise ValueError('keep="scores" needs a column "label" in batch, or labels="predicted".')
        evaluator = self._evaluator(len(samples), perturbations_per_eval, None)
        batch_rows = self._batch_rows(evaluator, kept, labels, folder, "folder")
        batch_rows.check(samples, evaluator.checked_answers(samples))
        with progress_bar(False, None, "") as silent:
            return batch_rows.rows(samples, 0, len(samples), silent)

    def arrow_schema(self, keep: TableContent = "outputs") -> Any:
        """Types of the columns of :meth:`explain_batch`, for engines that want them beforehand.

        Args:
            keep (str, optional): As in :meth:`explain_batch`. Default: "outputs"

        Returns:
            - **schema** (*pyarrow.Schema*): Spark's is ``pyspark.sql.pandas.types.from_arrow_schema`` of it.

        Raises:
            ValueError: If there is no such ``keep``, or the scores need more.
            ImportError: If pyarrow is not installed.
        """
        return arrow_schema(check_keep(keep, self._only_scored, self._wanted))

    @constrained()
    def missing(self, folder: str | os.PathLike[str], n_samples: int, labels: Labels = "given") -> list[int]:
        """Which samples a folder of Parquet tables does not hold yet, so that an evaluation can go on where it was.

        Args:
            folder (str or PathLike): Where an engine writes the tables of :meth:`explain_batch`; it need not exist.
            n_samples (int): Number of samples of the data set.
            labels (str, optional): As in :meth:`explain_batch`. Default: "given"

        Returns:
            - **samples** (*list of int*): Indices, ascending, of samples that lack a row of a model, baseline or mask.
              A file that was broken off counts as missing, with a warning: delete it.

        Raises:
            ValueError: If rows are of other models or settings, or of samples beyond ``n_samples``.

        Examples::

            >>> import torch
            >>> from captum_andor import ConfusingSampleAnalyzer
            >>> analyzer = ConfusingSampleAnalyzer(scores=("net_order",))
            >>> _ = analyzer.add_model("linear", torch.nn.Linear(4, 3).eval())
            >>> analyzer.missing("no_such_folder", 3)
            [0, 1, 2]
        """
        self._check_models(labels)
        settings = {keep: self._row_settings(keep, labels) for keep in COLUMNS}
        return missing_samples(Path(folder), self._evaluator(_ROWS, None, None), n_samples, settings)

    def collect(
        self, tables: Any, dataset: Any, labels: Labels = "given", samples: SampleSelection = None, seed: int = 0
    ) -> ConfusingReport:
        """The report from what :meth:`explain_batch` returned for the batches of a data set.

        Args:
            tables (pandas.DataFrame, Arrow table, str, PathLike or iterable): All rows of all batches, in any order: a
                frame, a table, a Parquet file or a folder of these, or an iterable of any.
            dataset (data set, DataLoader, tuple or array): As in :meth:`evaluate`: where labels and pictures come from,
                and what rows are checked against. Or the labels alone, an array of class indices: then no inputs are
                held, rows are checked to be of these models and settings, and figures have no pictures.
            labels (str, optional): As in :meth:`evaluate`. Default: "given"
            samples (int, sequence of int or str, optional): What the report is about: so many samples, drawn at random;
                those of these indices; or ``"finished"``, all that have their rows. Of millions a draw of 100 000 is
                enough: the intervals of :meth:`ConfusingReport.overlap` state its error. Samples keep their indices in
                the data set. Ranks are those among the samples chosen, and ``net_order`` differs somewhat from that of
                all samples: its denominator has a tenth of the mean size of v(N) − v(∅) over the samples of the report.
                Default: None (all, each of which must be there)
            seed (int, optional): Of the draw. Default: 0

        Returns:
            - **report** (*ConfusingReport*): That of :meth:`evaluate`.

        Raises:
            TypeError: If the tables or the data set are of the wrong kind.
            ValueError: If a sample is missing or there twice, or rows are of other models, weights, inputs, baselines
                or masks.
        """
        self._check_models(labels)
        known = samples_of_labels(dataset)
        whole = read_samples(dataset, labelled=labels == "given") if known is None else known
        chosen = chosen_samples(samples, whole, seed)
        evaluator = self._evaluator(_ROWS, None, None)
        settings = {keep: self._row_settings(keep, labels) for keep in COLUMNS}
        predicted, finished = labels == "predicted", isinstance(samples, str)
        evaluation, keep = evaluation_of(
            tables, self._batch_rows(evaluator, "outputs", labels), chosen, len(whole), settings, finished
        )
        scoring = self._scoring(evaluation, predicted, evaluator)
        if known is not None or keep == "scores":
            scoring = replace(scoring, evaluator=None)  # patterns cannot be had without inputs
        self._report = ConfusingReport(scoring)
        return self._report

    def _batch_rows(
        self,
        evaluator: Evaluator,
        keep: TableContent,
        labels: str,
        folder: str | os.PathLike[str] | None = None,
        argument: str = "",
    ) -> BatchRows:
        """Rows of batches, kept in a folder where there is one."""
        models, settings = self._digests(), self._row_settings(keep, labels)
        parts = None
        if folder is not None:
            parts = PartsFolder(Path(folder), argument, keep, self._settings(keep, labels), models)
        return BatchRows(evaluator, keep, models, settings, self.score, labels == "predicted", parts)

    def _digests(self) -> dict[str, str]:
        """Hash of each model, of which its name is a part."""
        return {name: hash_of(name, model) for name, model in self._evaluator(1, None, None).models.items()}

    def _settings(self, keep: TableContent, labels: str) -> dict[str, str]:
        """Hashes of what all rows depend on beside the models, by what it is."""
        found = {"baselines and masks": hash_of(self.views.baselines, self.views.masks), "output": hash_of(self.output)}
        return found if keep == "outputs" else {**found, "score or labels": hash_of(self.score, labels)}

    def _row_settings(self, keep: TableContent, labels: str) -> dict[str, str]:
        """Hash of a model and of all settings, by its name."""
        shared = hash_of(list(self._settings(keep, labels).values()), self._only_scored, keep)
        return {name: hash_of(model, shared) for name, model in self._digests().items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_report": None}  # workers need the models, not the last report

    def _evaluator(
        self, batch_size: int, perturbations_per_eval: int | None, attributer: Attributer | None
    ) -> Evaluator:
        return Evaluator(
            models={**self._models, **{name: model for name, (model, _) in self._references.items()}},
            views=self.views,
            max_players=self.max_players,
            reads_logits=self.score != "output",
            batch_size=batch_size,
            perturbations_per_eval=perturbations_per_eval,
            attribute=attributer,
            output_field=self.output,
            only_scored=self._only_scored,
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
