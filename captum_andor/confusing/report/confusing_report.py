"""``ConfusingReport``: tables, sets, comparisons, figures and pages of an evaluation."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import COUNT, constrained, is_int, optional
from captum_andor._utils.printed_text import printed
from captum_andor._utils.storage import Stored
from captum_andor.confusing.report.changes import changes
from captum_andor.confusing.report.html_page import page
from captum_andor.confusing.report.report_figures import (
    compare,
    gallery,
    order_profiles,
    overlap_matrix,
    score_against_score,
)
from captum_andor.confusing.report.text_page import summary
from captum_andor.confusing.scores.label_noise import cleanlab_frame, known_samples, label_noise, user_columns
from captum_andor.confusing.scores.overlap import SetRule, overlap, reliability
from captum_andor.confusing.scores.ranking import ranking
from captum_andor.confusing.scores.score_formulas import Labels
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.confusing.scores.similarity import Similarity
from captum_andor.games import Score
from captum_andor.visualization import Canvas, figure, shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from captum_andor._utils.statistics import Array

_CONTROLS = ("n_active", "ink")
_ROWS = 20  # of all models together, that a notebook shows of a report


class ConfusingReport(Stored):
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
        self.scoring = scoring
        self.models = scoring.names
        self.n_samples = len(scoring)
        self.samples: npt.NDArray[np.int64] = scoring.numbers
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
            primary (str, optional): The score that ranks. Default: None (as it was, if it is among ``scores``; else the
                first of these)
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
        return ConfusingReport(self.scoring.with_options(score, labels, primary, scores, high_order))

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
        chosen = self.models if model is None else (self.scoring.model_named(model),)
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
        return self._with_columns({each: {name: column} for each, column in own.items()})

    def _with_columns(self, columns: Mapping[str, Mapping[str, Array]]) -> ConfusingReport:
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
        return ranking(self.scoring, self.scoring.model_named(model), self.scoring.column_named(score))

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
            - **sets** (*dict*): For each model the numbers of its samples, most confusing first: positions in the data
              set, ``frame.iloc[sets["model"]]``, also where :attr:`scores` has the index of a frame beside them.

        Raises:
            ValueError: If there is no such score, or a number is out of its range.
        """
        rule, column = SetRule(fraction, threshold, seed), self.scoring.column_named(score)
        return {name: self.samples[rule.order(self.scoring, name, column)].tolist() for name in self.models}

    @constrained(k=optional(COUNT))
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

        members = known_samples(known, self.n_samples, numbers=self.scoring.evaluation.samples.numbers)
        extra = user_columns(columns, pred_probs, self.scoring.given.numpy(), list(self.scores.columns))
        names = self.models if model is None else (self.scoring.model_named(model),)
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
            - **issues** (*pandas.DataFrame*): A row per sample, by its number, as cleanlab has them; for each score
              ``is_<score>_issue`` (bool) and ``<score>_score`` in (0, 1), low for the most confusing: one minus its
              rank's share.

        Raises:
            ValueError: If there is no such model or score.
        """
        scoring = self.scoring
        columns = [scoring.column_named(score) for score in scores] if scores is not None else [scoring.primary]
        return cleanlab_frame(scoring, scoring.model_named(model), columns, SetRule(fraction))

    @constrained()
    def overlap(
        self,
        score: str | None = None,
        fraction: float = 0.1,
        threshold: float | None = None,
        controls: Sequence[str | npt.ArrayLike] = _CONTROLS,
        noise_bound: float | None = None,
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Do two models agree on their confusing samples, and on more than chance, loss or another grid would give?

        Args:
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            fraction (float, optional): As in :meth:`confusing_sets`. Default: 0.1
            threshold (float, optional): As in :meth:`confusing_sets`. Default: None
            controls (sequence of str or array, optional): What ``partial_spearman`` holds fixed: columns of
                :attr:`scores`, of both models, or arrays of one number per sample. Default: ("n_active", "ink")
            noise_bound (float, optional): For split scores: ``ceiling_noise`` compares with splits of this noise bound.
                Default: None (not computed)
            n_resamples (int, optional): Bootstrap samples of each interval. Default: 1000
            seed (int, optional): Of the bootstrap, and of the order of samples with equal scores. Default: 0

        Returns:
            - **overlap** (*pandas.DataFrame*): One row per pair of models: ``pair``, ``model_a``, ``model_b``,
              ``score``; ``n_a``, ``n_b``, sizes of the sets, and ``tied_a``, ``tied_b``, the share of each that was
              drawn among equal scores; ``iou`` with its 95 % interval over samples and ``chance``, what independent
              sets of these sizes have, r / (2 − r) for a share r; ``spearman`` of the scores with interval,
              ``partial_spearman``; ``auc_a_for_b``, how well a's score finds b's set; ``reliability_a``,
              ``reliability_b``, ``spearman_corrected`` for these (NaN without several views); ``ceiling_mask``,
              ``ceiling_baseline``, ``ceiling_noise``, IoU of a model's set with its own under another mask, baseline or
              noise bound, to be compared with ``iou_one_view``; ``loss_iou``, ``loss_spearman``,
              ``loss_partial_spearman`` and the same by margin; ``spearman_given_loss``, with both models' loss and
              margin held fixed, too.

        Raises:
            ValueError: If there is one model only, no such column, or a number is out of its range.

        Source: The correction for reliability is Spearman's (1904).
        """
        if len(self.models) < 2:
            raise ValueError(f"overlap compares models; there is only {self.models[0]!r}.")
        rule, column = SetRule(fraction, threshold, seed), self.scoring.column_named(score)
        return overlap(self.scoring, column, rule, tuple(controls), noise_bound, n_resamples, seed)

    def reliability(self) -> pd.DataFrame:
        """Test-retest correlation of each score under another baseline or mask of the same model.

        Returns:
            - **reliability** (*pandas.DataFrame*): One row per model and score: ``retest``, mean rank correlation over
              all pairs of views; ``retest_baseline`` and ``retest_mask``, over those that differ in this alone;
              ``reliability`` of the summed ranks (Spearman–Brown). NaN where there are no such views.
        """
        return reliability(self.scoring)

    def similarity(self, by_group: bool = False, fraction: float = 0.1) -> pd.DataFrame:
        """How alike two models decide each sample: attributions, interactions, and how patterns carry over.

        Args:
            by_group (bool, optional): Average over samples that are confusing for either model, and over the others,
                instead of a row per sample. Default: False
            fraction (float, optional): Share of the samples that is confusing. Default: 0.1

        Returns:
            - **similarity** (*pandas.DataFrame*): One row per sample and pair of models, or per pair and ``group``:
              ``value_correlation``, of v over all masked inputs; ``attribution_cosine``, ``attribution_spearman`` of
              Shapley values; ``interaction_jaccard``, weighted, of
              equal players, kind and sign, in all and by order (``interaction_jaccard_1``, …); ``cross_r2``, how much
              of one model's v the ten patterns of the other explain after one scale ≥ 0 and shift, in both directions
              and their mean, and ``own_r2``, of the model's own v. Each has a ``…_ceiling``: the same between two
              baselines or masks of one model, players of different masks matched by the elements they share (NaN
              without several). For attributions that :meth:`ConfusingSampleAnalyzer.evaluate` was given:
              ``<name>_cosine`` and ``<name>_spearman``.

        Raises:
            ValueError: If there is one model only.
        """
        table = self._similarity.table()
        return self._by_group(table, fraction) if by_group else table

    @functools.cached_property
    def _similarity(self) -> Similarity:
        return Similarity(self.scoring.complete())

    def value_similarity(self, by_group: bool = False, fraction: float = 0.1) -> pd.DataFrame:
        """How alike v is under two models, over the masked inputs that were evaluated; no patterns are needed.

        Args:
            by_group (bool, optional): As in :meth:`similarity`. Default: False
            fraction (float, optional): As in :meth:`similarity`. Default: 0.1

        Returns:
            - **similarity** (*pandas.DataFrame*): As :meth:`similarity`, with ``value_correlation`` and
              ``value_correlation_ceiling``.

        Raises:
            ValueError: If there is one model only.
        """
        table = Similarity(self.scoring, of_values=True).table()
        return self._by_group(table, fraction) if by_group else table

    @constrained()
    def changes(self, old: str, new: str, n_patterns: int = 3) -> pd.DataFrame:
        """What a new version of a model does differently from an old one, sample by sample.

        v is of the label, or of what the old model predicts with ``labels="predicted"``; differences are v of the new
        model less v of the old. It tells why a decision has moved, not which will: where versions will disagree, the
        margins of both say far better (see the tutorial on model versions).

        Args:
            old (str): A model.
            new (str): Another one, e.g. after quantization, pruning or fine-tuning.
            n_patterns (int, optional): How many patterns of the difference are told. Default: 3

        Returns:
            - **changes** (*pandas.DataFrame*): One row per sample: ``same_prediction``, ``predicted_old``,
              ``predicted_new``; ``change``, of v(N); ``spread``, standard deviation of the difference over all masked
              inputs by that of the old v, 0 where all has moved alike (both means over baselines and masks; NaN where
              the old v is constant); ``patterns``, the strongest of the difference, under the first baseline and mask.

        Raises:
            RuntimeError: If v is not known on all masked inputs and the models are not at hand.
            ValueError: If there is no such model, both are the same, or ``n_patterns`` < 1.

        Examples::

            >>> import torch
            >>> from captum_andor import ConfusingSampleAnalyzer
            >>> old, new = torch.nn.Linear(4, 3).eval(), torch.nn.Linear(4, 3).eval()
            >>> analyzer = ConfusingSampleAnalyzer().add_model("old", old).add_model("new", new)
            >>> report = analyzer.evaluate((torch.rand(20, 4), torch.arange(20) % 3))
            >>> len(report.changes("old", "new"))
            20
        """
        names = [self.scoring.model_named(name) for name in (old, new)]
        if names[0] == names[1]:
            raise ValueError(f"old and new must be two models; both are {old!r}.")
        return changes(self.scoring.complete(), names[0], names[1], n_patterns)

    def _by_group(self, table: pd.DataFrame, fraction: float) -> pd.DataFrame:
        rule = SetRule(fraction)
        members = {name: rule.members(self.scoring, name, self.scoring.primary) for name in self.models}
        pairs = dict.fromkeys(table["pair"])  # each with a row per sample, in their order
        of_pair = np.concatenate([members[a] | members[b] for a, b in pairs])
        table["group"] = np.where(of_pair, "confusing", "ordinary")
        by = ["model_a", "model_b", "group"]
        averaged = table.sort_values("group", kind="stable").drop(columns=["sample", "pair"]).groupby(by, sort=False)
        return averaged.mean().assign(n=averaged.size()).reset_index()

    @constrained()
    def compare(
        self, index: int, models: Sequence[str] | None = None, n_patterns: int = 4, use_pyplot: bool = True
    ) -> tuple[Figure, npt.NDArray[Any]]:
        """Draw one sample as every model sees it: the input, attribution maps, the strongest patterns.

        Args:
            index (int): The sample.
            models (sequence of str, optional): Which models. Default: None (all)
            n_patterns (int, optional): Patterns of each logical model. Default: 4
            use_pyplot (bool, optional): Make and show the figure with pyplot; False works without a display.
                Default: True

        Returns:
            - **fig, axes** (*tuple*): A row of axes for each model. Maps and patterns are under the first baseline and
              mask. Inputs that are no images have bars.

        Raises:
            IndexError: If there is no such sample.
            ValueError: If there is no such model.
        """
        if not is_int(index) or index not in self.samples:
            some = "" if self.samples[-1] == self.n_samples - 1 else f"one of {self.n_samples} "
            raise IndexError(f"index must be a sample, {some}{self.samples[0]} to {self.samples[-1]}; got {index!r}.")
        names = self.models if models is None else tuple(self.scoring.model_named(name) for name in models)
        fig, axes = compare(self.scoring, int(np.searchsorted(self.samples, index)), names, n_patterns, use_pyplot)
        shown(use_pyplot)
        return fig, axes

    @figure
    def plot_order_profile(
        self,
        canvas: Canvas,
        model: str | None = None,
        fraction: float = 0.1,
        score: str | None = None,
        against: Literal["rest", "least"] = "rest",
    ) -> None:
        """Draw the mean strength of interactions by order, of confusing against ordinary samples, or of hard and easy.

        Args:
            model (str, optional): Which model's. Default: None (the only one)
            fraction (float, optional): Share of the samples that is confusing. Default: 0.1
            score (str, optional): A score or a column of :attr:`scores` to divide by, e.g. ``"loss"`` for hard and easy
                samples. Default: None (the primary)
            against (str, optional): ``"rest"``: the share that has most of it against all others; ``"least"``: against
                the share that has least. Default: "rest"

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.

        Raises:
            ValueError: If there is no such column, or ``against`` is another word.
        """
        name, rule = self.scoring.model_named(model), SetRule(fraction)
        if against not in ("rest", "least"):
            raise ValueError(f'against must be "rest" or "least"; got {against!r}.')
        column = None if score is None else self.scoring.column_named(score)
        axis = canvas.axis((4.5, 3.4))
        order_profiles(self.scoring, name, axis, rule, column, against)

    @figure
    def plot_overlap(self, canvas: Canvas, score: str | None = None, fraction: float = 0.1) -> None:
        """Draw the overlap of every two models' sets, with chance and, on the diagonal, the ceiling marked.

        Args:
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            fraction (float, optional): As in :meth:`confusing_sets`. Default: 0.1

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        size = 2.6 + 0.55 * len(self.models)
        axis = canvas.axis((size + 0.8, size))
        overlap_matrix(self.scoring, axis, self.scoring.column_named(score), SetRule(fraction))

    @figure
    def plot_scores(
        self, canvas: Canvas, model_a: str, model_b: str, score: str | None = None, fraction: float = 0.1
    ) -> None:
        """Draw the ranks of the samples under two models against each other, both confusing sets marked.

        Args:
            model_a (str): On the horizontal axis.
            model_b (str): On the vertical axis.
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            fraction (float, optional): As in :meth:`confusing_sets`. Default: 0.1

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        a, b = (self.scoring.model_named(model) for model in (model_a, model_b))
        column, rule = self.scoring.column_named(score), SetRule(fraction)
        score_against_score(self.scoring, canvas.axis((6.0, 3.8)), a, b, column, rule)

    @constrained()
    def plot_gallery(
        self,
        model: str | None = None,
        score: str | None = None,
        k: int = 4,
        n_patterns: int = 5,
        use_pyplot: bool = True,
    ) -> tuple[Figure, npt.NDArray[Any]]:
        """Draw the k most and the k least confusing samples with their patterns, a row each.

        Args:
            model (str, optional): Which model's. Default: None (the only one)
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            k (int, optional): How many of each. Default: 4
            n_patterns (int, optional): Patterns of each logical model. Default: 5
            use_pyplot (bool, optional): As in :meth:`compare`. Default: True

        Returns:
            - **fig, axes** (*tuple*): The figure and its axes, ``(2k, 1 + n_patterns)``.
        """
        name, column = self.scoring.model_named(model), self.scoring.column_named(score)
        fig, axes = gallery(self.scoring, name, column, k, n_patterns, use_pyplot)
        shown(use_pyplot)
        return fig, axes

    def summary(self) -> str:
        """Print a page: models, scores and their reliability, overlap, and what to look at first.

        Returns:
            - **text** (*str*): The page, to write or send.
        """
        return printed(summary(self.scoring))

    @constrained()
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
        folder = Path(path).resolve().parent
        if not folder.is_dir():  # before the figures are drawn
            raise FileNotFoundError(f"path lies in a folder that does not exist, {folder}; make it first.")
        text = page(self.scoring, title, k)
        Path(path).write_text(text, encoding="utf-8")

    def _state(self) -> dict[str, Any]:
        """Inputs, labels, what the models returned, and settings; the models are not in it.

        Functions among the baselines and masks are called for every sample.
        """
        if callable(self.scoring.score):
            raise TypeError(
                "score is a function, which a file does not hold: save report.rescore(score=…) of a score with a name, "
                "or pickle the report."
            )
        evaluation = self.scoring.evaluation
        views = evaluation.views.as_tensors(evaluation.samples)
        return {"scoring": replace(self.scoring, evaluation=replace(evaluation, views=views))}

    def __len__(self) -> int:
        return self.n_samples

    def _repr_html_(self) -> str:
        primary = self.scoring.primary
        wanted = ["model", "rank", "sample", "index", "label", "predicted", primary, "loss", "margin"]
        columns = [column for column in wanted if column in self.scores]
        count = max(1, _ROWS // len(self.models))
        first = self.scores[self.scores["rank"] <= count].sort_values(["model", "rank"])[columns]
        table = first.dropna(axis=1, how="all").to_html(index=False, float_format="{:.3g}".format)
        return f"<p>{escape(repr(self))}; the first {count} of each by {escape(primary)}:</p>{table}"

    def __repr__(self) -> str:
        models = ", ".join(self.models)
        return f"ConfusingReport of {self.n_samples} samples, {len(self.models)} model(s): {models}"
