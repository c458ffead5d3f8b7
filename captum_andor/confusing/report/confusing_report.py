"""``ConfusingReport``: tables, sets, comparisons and pages of an evaluation.

Source: this package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import check_count
from captum_andor._utils.printed_text import printed
from captum_andor.confusing.report.html_page import page
from captum_andor.confusing.report.report_comparisons import ReportComparisons
from captum_andor.confusing.report.report_file import read_scoring, write_scoring
from captum_andor.confusing.report.text_page import summary
from captum_andor.confusing.scores.label_noise import cleanlab_frame, known_samples, label_noise, user_columns
from captum_andor.confusing.scores.overlap import SetRule
from captum_andor.confusing.scores.ranking import ranking
from captum_andor.confusing.scores.score_names import Labels
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.games import Score

if TYPE_CHECKING:
    import pandas as pd

    from captum_andor._utils.statistics import Array

_ROWS = 20  # of all models together, that a notebook shows of a report


class ConfusingReport(ReportComparisons):
    r"""Result of :meth:`ConfusingSampleAnalyzer.evaluate`: tables, sets, comparisons, figures, a page.

    With several baselines or masks, the scores in tables are means over these, while whatever ranks or compares samples
    goes by the sum of their ranks under each. Larger scores are more confusing; ``margin`` and ``confidence`` rank the
    other way round.

    Attributes:
        models (tuple of str): Names of the models.
        n_samples (int): Number of samples.
        samples (array): Their indices in the data set, ascending: 0, 1, … unless
            :meth:`ConfusingSampleAnalyzer.collect` took some of them.
        scores (pandas.DataFrame): One row per sample and model. Columns: ``sample``, ``model``, ``label``,
            ``predicted``, ``correct`` (NaN without labels); each score; of the whole input ``loss`` (cross-entropy of
            the label, in nats), ``margin`` (its logit less the largest other), ``confidence`` (the largest
            probability); ``value``, v(N); ``effect``, \|v(N) - v(∅)\|; ``small_effect``, whether that is below 0.1 of
            its mean; ``trusted``, whether v(N) > v(∅) under every baseline and mask (where not, ``net_order`` turns
            around); ``n_active``, players that change v at all; ``ink``, share of the input that differs from the
            baseline; columns that were added; ``rank`` by the primary score, 1 for the most confusing.

    Examples::

        >>> import torch
        >>> from captum_andor import ConfusingSampleAnalyzer
        >>> analyzer = ConfusingSampleAnalyzer().add_model("linear", torch.nn.Linear(4, 3).eval())
        >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
        >>> len(report.scores), len(report.confusing_sets(fraction=0.25)["linear"])
        (20, 5)
    """

    def __init__(self, scoring: Scoring) -> None:
        super().__init__(scoring)
        self.scores: pd.DataFrame = scoring.table()

    @property
    def view_scores(self) -> pd.DataFrame:
        """The scores under each baseline and mask: one row per sample, model and pair of these, by position."""
        return self.scoring.view_table()

    def rescore(
        self,
        score: Score | None = None,
        labels: Labels | None = None,
        primary: str | None = None,
        scores: Sequence[str] | None = None,
        high_order: int | None = None,
    ) -> ConfusingReport:
        """Compute a report with other scores or labels from the same outputs, without a forward pass.

        Where scores of v alone were asked for before, scores of patterns need the masks that were left out: naming some
        here runs the models on these.

        Added columns stay as they were.

        Args:
            score (str or Callable, optional): What v is. Default: None (as it was)
            labels (str, optional): ``"given"`` or ``"predicted"``. Default: None (as it was)
            primary (str, optional): The score that ranks. Default: None (as it was)
            scores (sequence of str, optional): Which scores to compute; ``"all"`` is all that need no references.
                Default: None (those of before, those of v, and the primary)
            high_order (int, optional): Lowest number of players that counts as high order. Default: None (as it was)

        Returns:
            - **report** (*ConfusingReport*): A new one.

        Raises:
            ValueError: If a score is unknown or cannot be computed, or there are no labels.

        Examples::

            >>> import torch
            >>> from captum_andor import ConfusingSampleAnalyzer
            >>> analyzer = ConfusingSampleAnalyzer().add_model("linear", torch.nn.Linear(4, 3).eval())
            >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
            >>> bool(report.rescore(labels="predicted").scores["margin"].min() >= 0)
            True
        """
        return ConfusingReport(self.scoring.read_otherwise(score, labels, primary, scores, high_order))

    def add_column(
        self, name: str, values: npt.ArrayLike | Mapping[str, npt.ArrayLike], model: str | None = None
    ) -> ConfusingReport:
        """Put numbers of one's own beside the scores: loss under other networks, difficulty, early loss.

        They are then a column like any other: to rank by, to compare models by, to hold fixed (``controls`` of
        :meth:`overlap`).

        Args:
            name (str): Of the column.
            values (array or dict): One finite number per sample, larger = more suspicious; a dict of arrays by model
                where they differ.
            model (str, optional): Of whose table it is a column, where ``values`` is an array. Default: None (of all)

        Returns:
            - **report** (*ConfusingReport*): This one.

        Raises:
            ValueError: If there is such a column already, a model is unknown or left out, or there is not one finite
                number per sample.

        Examples::

            >>> import torch
            >>> from captum_andor import ConfusingSampleAnalyzer
            >>> analyzer = ConfusingSampleAnalyzer().add_model("linear", torch.nn.Linear(4, 3).eval())
            >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
            >>> int(report.add_column("age", range(20)).rank(score="age")["sample"][0])
            19
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"name must be a string that is not empty; got {name!r}.")
        if name in self.scores.columns:
            raise ValueError(f"the report has a column {name!r} already; choose another name.")
        chosen = self.models if model is None else (self.model_named(model),)
        given = values if isinstance(values, Mapping) else dict.fromkeys(chosen, values)
        if set(given) != set(chosen):
            raise ValueError(
                f"values must be an array, or a dict of one for each of {list(chosen)}; got {list(given)}."
            )
        own = {}
        for each, numbers in given.items():
            column = np.asarray(numbers, dtype=np.float64)
            if column.shape != (self.n_samples,) or not np.isfinite(column).all():
                raise ValueError(
                    f"values must be one finite number for each of the {self.n_samples} samples; got shape "
                    f"{column.shape}" + ("" if np.isfinite(column).all() else ", some NaN or infinite") + "."
                )
            own[each] = column
        return self.with_columns({each: {name: column} for each, column in own.items()})

    def with_columns(self, columns: Mapping[str, Mapping[str, Array]]) -> ConfusingReport:
        """Add columns by model, larger = more suspicious; NaN where a sample has no number."""
        added = {name: {**self.scoring.added.get(name, {}), **dict(columns.get(name, {}))} for name in self.models}
        self.scoring = replace(self.scoring, added=added)
        self.scores = self.scoring.table()
        return self

    def rank(self, model: str | None = None, score: str | None = None) -> pd.DataFrame:
        """Rank the samples, most confusing first, with the reasons.

        Args:
            model (str, optional): Which model's. Default: None (the only one)
            score (str, optional): A score or any column of :attr:`scores` to rank by. Default: None (the primary)

        Returns:
            - **ranking** (*pandas.DataFrame*): A row per sample, most confusing first; ``reasons`` says why in words,
              ``loss_rank`` where loss alone would put it, ``rank_sum``, with several baselines or masks, what it is
              ranked by. Samples that are not ``trusted`` are marked, not moved.

        Raises:
            ValueError: If there is no such model or score.
        """
        return ranking(self.scoring, self.model_named(model), self.column_named(score))

    def confusing_sets(
        self, fraction: float = 0.1, threshold: float | None = None, score: str | None = None, seed: int = 0
    ) -> dict[str, list[int]]:
        """The confusing samples of every model.

        Args:
            fraction (float, optional): Share of the samples. Default: 0.1
            threshold (float, optional): Take instead all samples whose score is at least this, one threshold for all
                models; sets then differ in size. ``margin`` and ``confidence`` count negative. Default: None
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            seed (int, optional): Of the order of samples with equal scores, which is random and another one for each
                model. :attr:`scores` and :meth:`rank` have that of 0. Default: 0

        Returns:
            - **sets** (*dict*): For each model the indices of its samples, most confusing first.

        Raises:
            ValueError: If there is no such score, or a number is out of its range.
        """
        rule, column = SetRule(fraction, threshold, seed), self.column_named(score)
        return {name: self.samples[rule.order(self.scoring, name, column)].tolist() for name in self.models}

    def label_noise(
        self,
        known: npt.ArrayLike,
        model: str | None = None,
        columns: Mapping[str, npt.ArrayLike] | None = None,
        pred_probs: npt.ArrayLike | None = None,
        k: int | None = None,
        n_resamples: int = 500,
        seed: int = 0,
    ) -> pd.DataFrame:
        """How well each score finds labels known to be wrong, beside loss and what you bring.

        Loss after a few epochs finds them better than any of these scores (see the documentation); pass it in
        ``columns`` to see by how much.

        Args:
            known (array): The samples with wrong labels: a bool per sample, or their indices.
            model (str, optional): Which model's scores. Default: None (all)
            columns (dict, optional): Further columns by name, one number per sample, larger = more suspicious: early
                loss, forgetting counts, minus the area under the margin. Default: None
            pred_probs (array, optional): Out-of-sample probabilities ``(N, C)``, as cleanlab takes them. Default: None
            k (int, optional): How many samples ``precision_at_k`` looks at. Default: None (as many as are known)
            n_resamples (int, optional): Bootstrap samples of each interval. Default: 500
            seed (int, optional): Of folds and bootstrap. Default: 0

        Returns:
            - **table** (*pandas.DataFrame*): One row per model and score or column: ``auc`` with its 95 % interval,
              ``precision_at_k``; ``auc_base`` of loss, margin and n_active together, ``auc_with`` the score added, each
              by five-fold cross-validated logistic regression on ranks, and ``added``, the difference, with interval.

        Raises:
            ValueError: If known is not a part of the samples, there are no labels, or a column does not fit.
        """
        if self.scoring.given is None:
            raise ValueError("label_noise is about labels, and the data set has none.")
        import pandas as pd

        members = known_samples(known, self.n_samples, numbers=self._numbers)
        for name, count in (("n_resamples", n_resamples), *((("k", k),) if k is not None else ())):
            check_count(name, count)
        extra = user_columns(columns, pred_probs, self.scoring.given.numpy(), list(self.scores.columns))
        names = self.models if model is None else (self.model_named(model),)
        tables = [label_noise(self.scoring, name, members, extra, k, n_resamples, seed) for name in names]
        return pd.concat(tables, ignore_index=True)

    def to_cleanlab(
        self, model: str | None = None, scores: Sequence[str] | None = None, fraction: float = 0.1
    ) -> pd.DataFrame:
        """The scores in the form of cleanlab's ``Datalab.issues``, to be joined to it.

        Args:
            model (str, optional): Which model's. Default: None (the only one)
            scores (sequence of str, optional): Which scores or columns. Default: None (the primary)
            fraction (float, optional): Share of the samples that is an issue. Default: 0.1

        Returns:
            - **issues** (*pandas.DataFrame*): A row per sample; for each score ``is_<score>_issue`` (bool) and
              ``<score>_score`` in (0, 1), low for the most confusing: one minus its rank's share.

        Raises:
            ValueError: If there is no such model or score.
        """
        columns = [self.column_named(score) for score in scores] if scores is not None else [self.scoring.primary]
        return cleanlab_frame(self.scoring, self.model_named(model), columns, SetRule(fraction))

    def summary(self) -> str:
        """Print a page: models, scores and their reliability, overlap, and what to look at first.

        Returns:
            - **text** (*str*): The page, to write or send.
        """
        return printed(summary(self.scoring))

    def to_html(self, path: str | os.PathLike[str], title: str = "Confusing samples", k: int = 6) -> None:
        """Write one self-contained page: summary, figures, and a table of all samples that can be sorted.

        Args:
            path (str or PathLike): The file; an existing one is replaced.
            title (str, optional): Of the page. Default: "Confusing samples"
            k (int, optional): Samples in each gallery, most and least confusing. Default: 6

        Raises:
            FileNotFoundError: If the folder of the path does not exist.
            ValueError: If k is not positive.
        """
        check_count("k", k)
        folder = Path(path).resolve().parent
        if not folder.is_dir():  # before the figures are drawn
            raise FileNotFoundError(f"path lies in a folder that does not exist, {folder}; make it first.")
        text = page(self.scoring, title, k)
        Path(path).write_text(text, encoding="utf-8")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report to a file, atomically: inputs, labels, what the models returned, and the settings.

        The file is a compressed NumPy archive (``.npz``) that loads without pickle. The models are not in it.

        Args:
            path (str or PathLike): Where to write; an existing file is replaced. No suffix is added.

        Raises:
            TypeError: If ``score`` is a function, which the file cannot hold.

        Examples::

            >>> import os, tempfile, torch
            >>> from captum_andor import ConfusingReport, ConfusingSampleAnalyzer
            >>> analyzer = ConfusingSampleAnalyzer().add_model("linear", torch.nn.Linear(4, 3).eval())
            >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
            >>> path = os.path.join(tempfile.mkdtemp(), "report.npz")
            >>> report.save(path)
            >>> ConfusingReport.load(path).scores.equals(report.scores)
            True
        """
        write_scoring(path, self.scoring)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ConfusingReport:
        """Read a report that :meth:`save` wrote.

        It does all that the saved one did without its models: where ``scores`` are of v alone, patterns need
        ``coalitions="all"`` before.

        Args:
            path (str or PathLike): The file.

        Returns:
            - **report** (*ConfusingReport*): Equal to the one saved.

        Raises:
            OSError: If the file cannot be opened, e.g. FileNotFoundError.
            ValueError: If the file is not a report, damaged, or of a newer version.
        """
        return cls(read_scoring(path))

    def __len__(self) -> int:
        return self.n_samples

    def _repr_html_(self) -> str:
        primary = self.scoring.primary
        columns = ["model", "rank", "sample", "label", "predicted", primary, "loss", "margin"]
        count = max(1, _ROWS // len(self.models))
        first = self.scores[self.scores["rank"] <= count].sort_values(["model", "rank"])[columns]
        table = first.dropna(axis=1, how="all").to_html(index=False, float_format="{:.3g}".format)
        return f"<p>{escape(repr(self))}; the first {count} of each by {escape(primary)}:</p>{table}"

    def __repr__(self) -> str:
        models = ", ".join(self.models)
        return f"ConfusingReport of {self.n_samples} samples, {len(self.models)} model(s): {models}"
