"""Base class of both results with figures and the notebook representation."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from captum_andor._utils.checks import constrained
from captum_andor.process import Posterior, pattern_effects
from captum_andor.results import Interaction, PatternEffect, PatternTable, Result
from captum_andor.visualization import KINDS, plot_image_interactions, result_html

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-9  # of the larger end, below which the other one is 0


class Explained(Result):
    """A result that draws itself, and measures what the players of its patterns do."""

    @abstractmethod
    def _strongest(self, k: int | None) -> PatternTable:
        """The k strongest patterns of each output; None for all that comparisons count."""

    @abstractmethod
    def _posterior(self, output: int) -> Posterior:
        """What is known of v of one of the flattened outputs."""

    def _weight_errors(self, k: int | None) -> Tensor | None:
        """Standard errors of the weights of :meth:`_strongest`; None where all 2^n values are known."""
        return None

    def _listed(self, k: int | None) -> PatternTable:
        """Of :meth:`_strongest`, what prints and figures of a single output list."""
        return self._strongest(k)

    @constrained()
    def top(self, k: int = 10) -> list[Interaction]:
        """The k strongest patterns of each output, strongest first.

        Args:
            k (int, optional): How many for each output; fewer where there are fewer. Default: 10

        Returns:
            - **patterns** (*list of Interaction*): All outputs in order; ``.index`` tells which.

        Raises:
            ValueError: If k < 1.
        """
        return list(self._strongest(k).interactions(self.axes, self.players.key))

    @constrained()
    def effects(self, k: int | None = None) -> pd.DataFrame:
        """What the players of each pattern do to v, measured: each alone, and all of them together.

        A pattern's weight is what it adds beside all other patterns. Its effects are differences of v itself, means
        over all contexts S ⊆ N∖T of the pattern's players T, each context as likely: of player i alone
        E v(S ∪ {i}) − v(S), of all together E v(S ∪ T) − v(S). They are exact where all 2^n values are known; from a
        budget they are means of the posterior of v, with standard errors.

        Args:
            k (int, optional): The k strongest patterns of each output. Default: None (all patterns of a logical model,
                the salient interactions of a split)

        Returns:
            - **effects** (*pandas.DataFrame*): A row for each pattern, strongest first within each output. Columns
              ``sample`` and ``output`` (as many as there are leading axes), ``kind``, ``players``, ``names`` where
              players have some, ``weight``, ``alone`` (a tuple, players in their order; of a single player what
              ``together`` is) and ``together``, all in the unit of v; from a budget also ``weight_se`` (of a regression
              on the patterns), ``alone_se`` and ``together_se``.

        Raises:
            ValueError: If k < 1.

        Examples::

            >>> from captum_andor import LogicalModel
            >>> lm = LogicalModel.from_values([0.0, 5.0, 2.0, 9.0])  # a, b, and two more for both
            >>> lm.effects()[["players", "weight", "alone", "together"]].values.tolist()
            [[(0,), 5.0, (6.0,), 6.0], [(1,), 2.0, (3.0,), 3.0], [(0, 1), 2.0, (5.0, 2.0), 9.0]]
        """
        table = self._strongest(k)
        frame = table.to_dataframe(self.axes, self.players.key).drop(columns="order")
        frame = frame.rename(columns={"value": "weight"})
        found: list[PatternEffect] = []
        for output in sorted(set(table.output.tolist())):
            members = table.members[table.output == output]
            found += pattern_effects(self._posterior(output), members)
        errors = self._weight_errors(k)
        if errors is not None:
            frame["weight_se"] = errors.cpu().numpy()
        frame["alone"] = [effect.alone for effect in found]
        if errors is not None:
            frame["alone_se"] = [effect.alone_se for effect in found]
        frame["together"] = [effect.together for effect in found]
        if errors is not None:
            frame["together_se"] = [effect.together_se for effect in found]
        return frame

    def _findings(self, k: int | None = None) -> list[Interaction]:
        return list(self._listed(k).interactions(self.axes, self.players.key))

    def _measured(self, k: int | None = None) -> list[tuple[Interaction, PatternEffect]]:
        return list(zip(self._findings(k), pattern_effects(self._posterior(0), self._listed(k).members), strict=True))

    def _legend(self) -> list[str]:
        return [
            "weight: what a pattern adds beside the others. alone, together: what the score changes by when one,",
            "when all of its players come in, measured: the mean over contexts without them.",
        ]

    def _said_of_ends(self) -> str:
        unit = self.players.question.unit
        ends = self._ends()
        rounding = _ROUNDING * max(map(abs, ends))
        start, end = (f"{value if abs(value) > rounding else 0.0:.4g}".replace("-", "−") for value in ends)
        less = ", less the reference's," if self.players.question.compared else ""
        return f"score{less} with everything removed {start}, with everything present {end}{f' ({unit})' * bool(unit)}"

    def plot(self, kind: str = "bars", *arguments: Any, **options: Any) -> Any:
        """Draw a figure of :mod:`captum_andor.visualization`.

        Args:
            kind (str, optional): Of one output: ``"bars"``, ``"waterfall"``, ``"graph"``, ``"matching"``, ``"tokens"``,
                ``"image"`` (a panel a pattern) or ``"overview"`` (all on one) with the picture; of one or many:
                ``"orders"``, ``"beeswarm"``, ``"heatmap"`` (patterns × outputs), ``"attributions"`` (players ×
                outputs). Default: "bars"
            *arguments: Further ones of the figure, e.g. the picture.
            **options: Likewise: k, title, fig_size, plt_fig_axis, use_pyplot, …

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis or axes.

        Raises:
            TypeError: If the figure lacks an argument, or has no such one.
            ValueError: If there is no such kind, and as the figures.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {sorted(KINDS)}; got {kind!r}.")
        figure = KINDS[kind]
        try:
            inspect.signature(figure).bind(self, *arguments, **options)
        except TypeError as error:
            raise TypeError(f'plot("{kind}", …): {error}. It takes {_arguments(figure)}.') from error
        return figure(self, *arguments, **options)

    def _repr_html_(self) -> str:
        return result_html(self)

    def plot_image(self, image: Any, **options: Any) -> Any:
        """Draw the strongest patterns on the image; see :func:`captum_andor.visualization.plot_image_interactions`."""
        return plot_image_interactions(self, image, **options)


def _arguments(figure: Callable[..., Any]) -> str:
    """What a figure takes beside the result: what it needs, then what it may have."""
    parameters = list(inspect.signature(figure).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty]
    optional = [p.name for p in parameters if p.default is not p.empty]
    return f"{', '.join(needed)}{' and, ' if needed else ''}optionally, {', '.join(optional)}"
