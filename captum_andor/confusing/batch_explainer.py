"""An evaluation as a map over batches and a collection of the tables that come of it."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_andor._utils.checks import check_count
from captum_andor._utils.datasets import read_samples
from captum_andor.confusing.evaluation.attribution_methods import Attributer
from captum_andor.confusing.evaluation.evaluator import Evaluation, Evaluator
from captum_andor.confusing.report.confusing_report import ConfusingReport
from captum_andor.confusing.scores.score_names import Labels
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.confusing.store.collected import (
    Wanted,
    chosen_samples,
    evaluation_of,
    missing_samples,
    samples_of_labels,
)
from captum_andor.confusing.store.distributed import (
    COLUMNS,
    Keep,
    arrow_schema,
    check_keep,
    empty_table,
    samples_of_batch,
    table_of,
)
from captum_andor.confusing.store.parts_folder import PartsFolder
from captum_andor.games import Score

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 64  # samples in one batch, where patterns are asked of a report that was collected


class BatchExplainer:
    """What :class:`ConfusingSampleAnalyzer` does batch by batch, wherever the batches are."""

    score: Score
    _report: ConfusingReport | None

    @property
    @abstractmethod
    def only_scored(self) -> bool:
        """Whether models are run only on the masked copies that scores of v read."""

    @property
    @abstractmethod
    def _wanted(self) -> tuple[str, ...]: ...

    @abstractmethod
    def _check_models(self, labels: str) -> None: ...

    @abstractmethod
    def _fingerprint(self, keep: Keep, labels: str) -> str: ...

    @abstractmethod
    def _evaluator(
        self, batch_size: int, perturbations_per_eval: int | None, folder: Path | None, attributer: Attributer | None
    ) -> Evaluator: ...

    @abstractmethod
    def _scoring(self, evaluation: Evaluation, predicted: bool, evaluator: Evaluator) -> Scoring: ...

    def explain_batch(
        self,
        batch: Any,
        perturbations_per_eval: int | None = None,
        keep: Keep = "outputs",
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
            folder (str or PathLike, optional): Where to write the table, too: a Parquet file for each batch, whole or
                not at all, beside a ``manifest.json`` of models and settings. A batch whose file is there is read, not
                evaluated, so that whatever is started again goes on where it was, on any engine. Default: None

        Returns:
            - **table** (*pandas.DataFrame*): One row per sample, model, baseline and mask: ``sample``, ``model``,
              ``baseline``, ``mask``, ``ink``, ``fingerprint`` (of model, input, baseline and mask), ``settings`` (of
              models and analyzer); then ``classes`` and ``outputs``, a flat array of coalitions · classes numbers, or
              ``label``, ``logits`` of the whole input and ``values``, v. :meth:`arrow_schema` has the types.

        Raises:
            TypeError, ValueError: If a column is missing or does not fit, and as :meth:`evaluate`.
            ValueError: If the folder is of other models or settings.

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
        kept = check_keep(keep, self.only_scored, self._wanted)
        read = samples_of_batch(batch)
        if read is None:
            return empty_table(kept)
        samples, rows = read
        evaluator = self._evaluator(len(samples), perturbations_per_eval, None, None)
        settings = self._fingerprint(kept, labels)

        def explained() -> pd.DataFrame:
            return table_of(evaluator, samples, rows, settings, self.score, kept, labels == "predicted")

        if folder is None:
            return explained()
        parts = PartsFolder(Path(folder), settings, kept, list(evaluator.models))
        return parts.table(samples, rows, explained)

    def arrow_schema(self, keep: Keep = "outputs") -> Any:
        """Types of the columns of :meth:`explain_batch`, for engines that want them beforehand.

        Args:
            keep (str, optional): As in :meth:`explain_batch`. Default: "outputs"

        Returns:
            - **schema** (*pyarrow.Schema*): Spark's is ``pyspark.sql.pandas.types.from_arrow_schema`` of it.

        Raises:
            ValueError: If there is no such ``keep``, or the scores need more.
            ImportError: If pyarrow is not installed.
        """
        return arrow_schema(check_keep(keep, self.only_scored, self._wanted))

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
        check_count("n_samples", n_samples)
        settings = {keep: self._fingerprint(keep, labels) for keep in COLUMNS}
        return missing_samples(Path(folder), self._evaluator(_ROWS, None, None, None), n_samples, settings)

    def collect(
        self, tables: Any, dataset: Any, labels: Labels = "given", samples: Wanted = None, seed: int = 0
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
                the data set. Default: None (all, each of which must be there)
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
        evaluator = self._evaluator(_ROWS, None, None, None)
        settings = {keep: self._fingerprint(keep, labels) for keep in COLUMNS}
        predicted, finished = labels == "predicted", isinstance(samples, str)
        evaluation, keep = evaluation_of(tables, evaluator, chosen, len(whole), settings, predicted, finished)
        scoring = self._scoring(evaluation, predicted, evaluator)
        if known is not None or keep == "scores":
            scoring = replace(scoring, evaluator=None)  # patterns cannot be had without inputs
        self._report = ConfusingReport(scoring)
        return self._report
