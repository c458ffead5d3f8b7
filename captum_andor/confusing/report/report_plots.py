"""Figures of a report: a sample under several models, order profiles, overlaps, ranks, a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from captum_andor._utils.checks import check_count, is_int
from captum_andor.confusing.report.report_figures import (
    compare,
    gallery,
    order_profiles,
    overlap_matrix,
    score_against_score,
)
from captum_andor.confusing.scores.overlap import SetRule
from captum_andor.confusing.scores.score_names import SCORES
from captum_andor.confusing.scores.scoring import Scoring
from captum_andor.visualization import one_axis, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ReportPlots:
    """Models and samples of an evaluation by name, and figures of them.

    Attributes:
        scoring: Values, splits and scores of the evaluation.
        models: Names of the models.
        n_samples: Number of samples.
        samples: Their indices in the data set.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.models = scoring.names
        self.n_samples = len(scoring)
        self.samples: npt.NDArray[np.int64] = scoring.numbers

    @property
    def _numbers(self) -> npt.NDArray[np.int64] | None:
        """Of the samples, where they are some of a data set."""
        return self.scoring.evaluation.samples.numbers

    def model_named(self, model: str | None) -> str:
        """The model of a name; None names the only one.

        Raises:
            ValueError: If there is none of that name, or several and no name was given.
        """
        if model is None:
            if len(self.models) == 1:
                return self.models[0]
            raise ValueError(f"model must be one of {list(self.models)}, as there are several; got None.")
        if model not in self.models:
            raise ValueError(f"model must be one of {list(self.models)}; got {model!r}.")
        return model

    def column_named(self, score: str | None) -> str:
        """The score or column of a name; None names the primary score.

        Raises:
            ValueError: If there is no such column.
        """
        if score is None:
            return self.scoring.primary
        if score not in self.scoring.columns(self.models[0]):
            if score in SCORES:
                raise ValueError(f"{score} was not computed; report.rescore(scores=[{score!r}]) computes it.")
            known = [*self.scoring.wanted, "loss", "margin", "confidence", "n_active", "ink"]
            raise ValueError(f"score must be one of {known}; got {score!r}.")
        return score

    def plot(self, kind: str = "overlap", *arguments: Any, **options: Any) -> Any:
        """Draw a figure of the report.

        Args:
            kind (str, optional): ``"overlap"``, ``"scores"``, ``"gallery"`` or ``"order_profile"``, as the
                method ``plot_<kind>``, or ``"sample"``, as :meth:`compare`.
                Default: "overlap"
            *arguments: Of the figure.
            **options: Likewise.

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis or axes.

        Raises:
            ValueError: If there is no such kind, and as the figures.
        """
        kinds = {name.removeprefix("plot_"): name for name in dir(type(self)) if name.startswith("plot_")}
        kinds["sample"] = "compare"
        if kind not in kinds:
            raise ValueError(f"kind must be one of {sorted(kinds)}; got {kind!r}.")
        return getattr(self, kinds[kind])(*arguments, **options)

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
        check_count("n_patterns", n_patterns)
        names = self.models if models is None else tuple(self.model_named(name) for name in models)
        fig, axes = compare(self.scoring, int(np.searchsorted(self.samples, index)), names, n_patterns, use_pyplot)
        shown(True, use_pyplot)
        return fig, axes

    def plot_order_profile(
        self,
        model: str | None = None,
        fraction: float = 0.1,
        plt_fig_axis: tuple[Figure, Axes] | None = None,
        fig_size: tuple[float, float] = (4.5, 3.4),
        use_pyplot: bool = True,
        score: str | None = None,
        against: Literal["rest", "least"] = "rest",
    ) -> tuple[Figure, Axes]:
        """Draw the mean strength of interactions by order, of confusing against ordinary samples, or of hard and easy.

        Args:
            model (str, optional): Which model's. Default: None (the only one)
            fraction (float, optional): Share of the samples that is confusing. Default: 0.1
            plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)
            fig_size (tuple, optional): Size of a new figure in inches. Default: (4.5, 3.4)
            use_pyplot (bool, optional): As in :meth:`compare`. Default: True
            score (str, optional): A score or a column of :attr:`scores` to divide by, e.g. ``"loss"`` for hard and easy
                samples. Default: None (the primary)
            against (str, optional): ``"rest"``: the share that has most of it against all others; ``"least"``: against
                the share that has least. Default: "rest"

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.

        Raises:
            ValueError: If there is no such column, or ``against`` is another word.
        """
        name, rule = self.model_named(model), SetRule(fraction)
        if against not in ("rest", "least"):
            raise ValueError(f'against must be "rest" or "least"; got {against!r}.')
        column = None if score is None else self.column_named(score)
        fig, axis = one_axis(plt_fig_axis, fig_size, use_pyplot)
        order_profiles(self.scoring, name, axis, rule, column, against)
        shown(plt_fig_axis is None, use_pyplot, axis)
        return fig, axis

    def plot_overlap(
        self,
        score: str | None = None,
        fraction: float = 0.1,
        plt_fig_axis: tuple[Figure, Axes] | None = None,
        fig_size: tuple[float, float] | None = None,
        use_pyplot: bool = True,
    ) -> tuple[Figure, Axes]:
        """Draw the overlap of every two models' sets, with chance and, on the diagonal, the ceiling marked.

        Args:
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            fraction (float, optional): As in :meth:`confusing_sets`. Default: 0.1
            plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)
            fig_size (tuple, optional): Size of a new figure in inches. Default: None (by the number of models)
            use_pyplot (bool, optional): As in :meth:`compare`. Default: True

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        size = 2.6 + 0.55 * len(self.models)
        fig, axis = one_axis(plt_fig_axis, fig_size or (size + 0.8, size), use_pyplot)
        overlap_matrix(self.scoring, fig, axis, self.column_named(score), SetRule(fraction))
        shown(plt_fig_axis is None, use_pyplot, axis)
        return fig, axis

    def plot_scores(
        self,
        model_a: str,
        model_b: str,
        score: str | None = None,
        fraction: float = 0.1,
        plt_fig_axis: tuple[Figure, Axes] | None = None,
        fig_size: tuple[float, float] = (6.0, 3.8),
        use_pyplot: bool = True,
    ) -> tuple[Figure, Axes]:
        """Draw the ranks of the samples under two models against each other, both confusing sets marked.

        Args:
            model_a (str): On the horizontal axis.
            model_b (str): On the vertical axis.
            score (str, optional): A score or a column of :attr:`scores`. Default: None (the primary)
            fraction (float, optional): As in :meth:`confusing_sets`. Default: 0.1
            plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)
            fig_size (tuple, optional): Size of a new figure in inches. Default: (6.0, 3.8)
            use_pyplot (bool, optional): As in :meth:`compare`. Default: True

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        a, b, column = self.model_named(model_a), self.model_named(model_b), self.column_named(score)
        rule = SetRule(fraction)
        fig, axis = one_axis(plt_fig_axis, fig_size, use_pyplot)
        score_against_score(self.scoring, axis, a, b, column, rule)
        shown(plt_fig_axis is None, use_pyplot, axis)
        return fig, axis

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
        check_count("k", k)
        check_count("n_patterns", n_patterns)
        name, column = self.model_named(model), self.column_named(score)
        fig, axes = gallery(self.scoring, name, column, k, n_patterns, use_pyplot)
        shown(True, use_pyplot)
        return fig, axes
