"""``LayerSwapResult``: tables, contrasts, verdict and figures of a layer-swap study.

Source: this package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_andor._utils.printed_text import printed
from captum_andor.study.cell_agreement import MEASURES, Agreement
from captum_andor.study.cells import NEW, Cell, Network, Variant
from captum_andor.study.contrasts import (
    By,
    Verdict,
    Weights,
    at_cut,
    at_equal_shares,
    confidence_of,
    judged,
    less,
    too_wide,
)
from captum_andor.study.estimates import Estimate
from captum_andor.study.study_figures import agreement_over_shares, contrast_intervals
from captum_andor.visualization import shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LayerSwapResult"]


class LayerSwapResult:
    """Result of :meth:`LayerSwapStudy.run`: tables, contrasts, a verdict, figures.

    Attributes:
        n_pairs (int): Number of pairs of networks.
        n_samples (int): Number of samples.
        scores (tuple of str): Scores of confusion, the primary first.
        columns (tuple of str): What stands beside them: loss, margin, and what training returned.
        variants (tuple of str): How parts were shared.
        layers (tuple of str): Where networks were cut.
        networks (pandas.DataFrame): One row per network: ``network``, ``pair``, ``cell``, ``accuracy`` and mean
            ``loss`` on the samples, ``test_accuracy``.
    """

    def __init__(
        self,
        agreement: Agreement,
        shares: Mapping[By, Mapping[Cell, float]],
        scores: Sequence[str],
        accuracy_within: float,
        loss_within: float | None,
    ) -> None:
        import pandas as pd

        self._agreement = agreement
        self._shares = shares
        self._accuracy_within, self._loss_within = accuracy_within, loss_within
        self.n_pairs, self.n_samples = agreement.n_pairs, agreement.n_samples
        self.scores = tuple(scores)
        first = agreement.tables[Network(0)]
        self.columns = tuple(name for name in first.columns if name not in ("n_active", "ink"))
        cut = [cell for cell in agreement.cells if cell.layer is not None]
        self.variants: tuple[Variant, ...] = tuple(dict.fromkeys(c.variant for c in cut if c.variant is not None))
        self.layers = tuple(dict.fromkeys(c.layer for c in cut if c.layer is not None))
        self.networks: pd.DataFrame = pd.DataFrame(
            [
                {
                    "network": network.name,
                    "pair": network.pair,
                    "cell": "first" if network.cell is None else network.cell.name,
                    "accuracy": table.accuracy,
                    "loss": table.loss,
                    "test_accuracy": table.test_accuracy,
                }
                for network, table in agreement.tables.items()
            ]
        )
        self._means = self.networks.groupby("cell")[["accuracy", "loss", "test_accuracy"]].mean()
        self._matched = {cell: self._matches(cell) for cell in agreement.cells}

    def _matches(self, cell: Cell) -> bool:
        """Whether accuracy and loss of a cell are those of the first and the new networks."""
        control, own = self._means.loc[["first", NEW.name]].mean(), self._means.loc[cell.name]
        if abs(own["accuracy"] - control["accuracy"]) > self._accuracy_within:
            return False
        test = abs(own["test_accuracy"] - control["test_accuracy"])
        if not np.isnan(test) and test > self._accuracy_within:
            return False
        if self._loss_within is None:
            return True
        smaller, larger = sorted((own["loss"], control["loss"]))
        return bool(larger <= self._loss_within * smaller or larger < 1e-12)

    def cells(self, score: str | None = None) -> pd.DataFrame:
        """Mean agreement of the two networks of a pair in each cell.

        Args:
            score (str, optional): A score or column. Default: None (the primary)

        Returns:
            - **cells** (*pandas.DataFrame*): One row per cell: ``cell``, ``part``, ``variant``, ``layer``, ``other``;
              ``parameters`` and ``layers``, the share of the network in common; ``accuracy``, ``loss``,
              ``test_accuracy``, means of its networks; ``matched``, whether these are those of networks that share
              nothing (only then is the cell compared); ``iou`` of the confusing sets, ``spearman``, ``given_shared``,
              partial given what all networks share, and ``given_loss``, each with ``_low`` and ``_high``, its 95 %
              interval over pairs and samples, the first with ``iou_chance`` and ``tied``, the share of the confusing
              sets that was drawn among equal scores; ``spearman_corrected`` and
              ``given_shared_corrected`` for reliability (NaN without several baselines or masks); ``values``,
              similarity of v over masks; ``<column>_given_shared``, the same agreement by loss, margin and what
              training returned.

        Raises:
            ValueError: If there is no such score.
        """
        import pandas as pd

        column = self._column(score)
        return pd.DataFrame([self._row(cell, column) for cell in self._agreement.cells])

    def _row(self, cell: Cell, column: str) -> dict[str, Any]:
        agreement = self._agreement
        row: dict[str, Any] = {
            "cell": cell.name,
            "part": cell.part,
            "variant": cell.variant,
            "layer": cell.layer,
            "other": cell.other,
            "parameters": self._shares["parameters"].get(cell, np.nan),
            "layers": self._shares["layers"].get(cell, np.nan),
            **self._means.loc[cell.name].to_dict(),
            "matched": self._matched[cell],
        }
        for measure in ("iou", "spearman", "given_shared", "given_loss"):
            row |= _columns(measure, agreement.of(cell, column, measure).estimate())
        row["iou_chance"] = agreement.fraction / (2 - agreement.fraction)
        row["tied"] = agreement.tied(cell, column)
        for measure in ("spearman", "given_shared"):
            row[f"{measure}_corrected"] = agreement.corrected(cell, column, measure)
        row |= _columns("values", agreement.of(cell, column, "values").estimate())
        for beside in self.columns:
            row[f"{beside}_given_shared"] = float(agreement.of(cell, beside, "given_shared").values.mean())
        return row

    def pairs(self, score: str | None = None) -> pd.DataFrame:
        """Agreement of every pair in every cell, from which means and intervals over pairs can be recomputed.

        Args:
            score (str, optional): A score or column. Default: None (the primary)

        Returns:
            - **pairs** (*pandas.DataFrame*): One row per pair and cell: ``score``, ``pair``, ``cell``, ``spearman``,
              ``given_shared``, ``given_loss``, ``iou``, ``values``.

        Raises:
            ValueError: If there is no such score.
        """
        import pandas as pd

        column = self._column(score)
        rows = []
        for cell in self._agreement.cells:
            kinds = (*MEASURES, "iou", "values")
            found = {kind: self._agreement.of(cell, column, kind).values for kind in kinds}
            for pair in range(self.n_pairs):
                each = {kind: float(values[pair]) for kind, values in found.items()}
                rows.append({"score": column, "pair": pair, "cell": cell.name, **each})
        return pd.DataFrame(rows)

    def ceilings(self) -> pd.DataFrame:
        """Largest agreement that each score can reach, given its reliability.

        Returns:
            - **ceilings** (*pandas.DataFrame*): One row per score: ``reliability`` over baselines and masks and
              ``reliability_given_shared``, of what is beyond all networks; ``own_iou``, overlap of a network's set
              with its own under another baseline or mask (all NaN without several); ``other_order`` and
              ``other_order_given_shared``, agreement of networks that differ in the order of their data alone.
        """
        import pandas as pd

        agreement, rows = self._agreement, []
        order = next(cell for cell in agreement.cells if cell.part == "all")
        for score in self.scores:
            kinds = ("spearman", "given_shared")
            plain, beyond = (
                np.mean([agreement.reliability(Network(p), score, kind) for p in range(self.n_pairs)]) for kind in kinds
            )
            own, own_beyond = (float(agreement.of(order, score, kind).values.mean()) for kind in kinds)
            rows.append(
                {
                    "score": score,
                    "reliability": float(plain),
                    "reliability_given_shared": float(beyond),
                    "own_iou": agreement.own_iou(score),
                    "other_order": own,
                    "other_order_given_shared": own_beyond,
                }
            )
        return pd.DataFrame(rows)

    def contrasts(self, score: str | None = None, smallest_effect: float = 0.1) -> pd.DataFrame:
        """Same low less same high part: which decides more?

        Args:
            score (str, optional): A score or column. Default: None (the primary)
            smallest_effect (float, optional): The difference that ``pairs_needed`` is about. Default: 0.1

        Returns:
            - **contrasts** (*pandas.DataFrame*): One row per variant, comparison and measure. ``compared``:
              ``"cut at <layer>"``, both sides of one cut; ``"equal shares of parameters"`` and ``"equal shares of
              layers"``, as much of the network shared on either side, mean over shares. ``measure``: ``"spearman"``,
              plain; ``"given_shared"``, given what all networks share; ``"given_loss"``, also given both networks'
              loss and margin.
              ``difference`` with its 95 % interval ``low``, ``high`` over pairs and samples; ``pairs_needed`` for 80 %
              power; ``note``, why there is no number, or how wide a gap between cuts was interpolated across.

        Raises:
            ValueError: If there is no such score.
        """
        import pandas as pd

        column, rows = self._column(score), []
        for variant in self.variants:
            for compared, (weights, note) in self._comparisons(variant).items():
                for measure in MEASURES:
                    row: dict[str, Any] = {
                        "score": column,
                        "variant": variant,
                        "compared": compared,
                        "measure": measure,
                    }
                    if weights is not None:
                        found = self._agreement.contrast(weights, column, measure).estimate()
                        row |= {"difference": found.mean, "low": found.low, "high": found.high}
                        row["pairs_needed"] = found.pairs_needed(smallest_effect)
                    rows.append({**row, "note": note})
        names = ["score", "variant", "compared", "measure", "difference", "low", "high", "pairs_needed", "note"]
        return pd.DataFrame(rows, columns=names)

    def _comparisons(self, variant: Variant) -> dict[str, tuple[Weights | None, str]]:
        """Weights of each comparison, None where it is refused, and a note on it."""
        found: dict[str, tuple[Weights | None, str]] = {}
        for layer in self.layers:
            weights = at_cut(layer, variant)
            bad = [cell.name for cell in weights if not self._matched[cell]]
            note = f"not compared: accuracy or loss of {', '.join(bad)} is another"
            found[f"cut at {layer}"] = (None, note) if bad else (weights, "")
        for by, shares in self._shares.items():
            sides = at_equal_shares(shares, self._comparable(), variant)
            if sides is None:
                found[f"equal shares of {by}"] = None, _NO_SIDES
                continue
            low, high, gap = sides
            refused = too_wide(gap)
            if refused is not None:
                found[f"equal shares of {by}"] = None, f"not compared: {refused}"
                continue
            note = f"interpolated across a gap of {gap:.2f}" if gap > 0 else ""
            found[f"equal shares of {by}"] = less(low, high), note
        return found

    def _comparable(self) -> list[Cell]:
        return [cell for cell in self._agreement.cells if self._matched[cell]]

    def verdict(
        self,
        score: str | None = None,
        variant: Variant | None = None,
        by: By = "parameters",
        smallest_effect: float = 0.1,
    ) -> Verdict:
        """Do low layers decide which samples are confusing? By a rule that is stated here.

        With D the agreement (partial rank correlation given what all networks share) of networks that share the low
        part less that of networks that share as much of the high part, at equal shares, and δ the smallest effect that
        matters:

        - *supported* if the 95 % interval of D lies above 0 and reaches δ, and that of same low less both new lies
          above 0.
        - *not supported* if the interval of D lies below δ: the high part decides if it lies below 0, else neither
          decides by as much as δ more.
        - *cannot be judged* otherwise, where no cells are left whose accuracy and loss match, and where equal shares
          would be interpolated across more than .3 of the network.

        Whether a difference is special to confusion this design cannot tell: scores are functions of v, so that
        holding the similarity of v fixed holds the thing itself fixed. :class:`FactorialStudy` compares shares instead.

        Where both parts decide alike, "supported" has a chance of 2.5 %; where low layers decide by δ more, "not
        supported" has. That is so of the primary score, which was named first; of k scores any other one is judged by
        intervals of 1 − .05 / k (Bonferroni), so that the chance holds of them together.

        Args:
            score (str, optional): A score or column. Default: None (the primary)
            variant (str, optional): How parts are shared. Default: None ("trainable" if there, else the first)
            by (str, optional): Equal shares of ``"parameters"`` or of ``"layers"``. Default: "parameters"
            smallest_effect (float, optional): δ. Default: 0.1

        Returns:
            - **verdict** (*Verdict*): Prints as a sentence.

        Raises:
            ValueError: If there is no such score or variant, or δ is not positive.
        """
        column = self._column(score)
        variant = self.variants[0] if variant is None else variant
        if variant not in self.variants:
            raise ValueError(f"variant must be one of {list(self.variants)}; got {variant!r}.")
        if by not in self._shares:
            raise ValueError(f'by must be "parameters" or "layers"; got {by!r}.')
        if not smallest_effect > 0:
            raise ValueError(f"smallest_effect must be positive; got {smallest_effect!r}.")
        sides = at_equal_shares(self._shares[by], self._comparable(), variant)
        if sides is None or not self._matched[NEW]:
            return Verdict("cannot be judged", None, f"Cannot be judged: {_NO_SIDES}.")
        low, high, gap = sides
        refused = too_wide(gap)
        if refused is not None:
            return Verdict("cannot be judged", None, f"Cannot be judged: {refused}.")
        confidence = confidence_of(column, self.scores)
        contrast = self._agreement.contrast(less(low, high), column, "given_shared").estimate(confidence)
        beyond = self._agreement.contrast(less(low, {NEW: 1.0}), column, "given_shared").estimate(confidence)
        return judged(contrast, beyond, smallest_effect, column, confidence)

    def plot_agreement(
        self,
        score: str | None = None,
        measure: str = "given_shared",
        by: By = "parameters",
        plt_fig_axis: tuple[Figure, Axes] | None = None,
        fig_size: tuple[float, float] = (6.0, 3.8),
        use_pyplot: bool = True,
    ) -> tuple[Figure, Axes]:
        """Draw agreement over the share of the network in common, low against high part, with intervals.

        Args:
            score (str, optional): A score or column. Default: None (the primary)
            measure (str, optional): ``"given_shared"``, ``"given_loss"``, ``"spearman"``, ``"iou"`` or ``"values"``.
                Default: "given_shared"
            by (str, optional): Share of ``"parameters"`` or of ``"layers"``. Default: "parameters"
            plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)
            fig_size (tuple, optional): Size of a new figure in inches. Default: (6.0, 3.8)
            use_pyplot (bool, optional): False works without a display. Default: True

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis. Cells that do not match are hollow.
        """
        fig, axis = agreement_over_shares(
            self._agreement,
            self._shares[by],
            self._matched,
            self._column(score),
            measure,
            by,
            plt_fig_axis,
            fig_size,
            use_pyplot,
        )
        shown(plt_fig_axis is None, use_pyplot, axis)
        return fig, axis

    def plot_contrasts(
        self,
        variant: Variant | None = None,
        compared: str = "equal shares of parameters",
        smallest_effect: float = 0.1,
        plt_fig_axis: tuple[Figure, Axes] | None = None,
        fig_size: tuple[float, float] = (6.0, 3.8),
        use_pyplot: bool = True,
    ) -> tuple[Figure, Axes]:
        """Draw same low less same high for every score and column, plain and under all controls, with intervals.

        Args:
            variant (str, optional): How parts are shared. Default: None ("trainable" if there, else the first)
            compared (str, optional): As in :meth:`contrasts`. Default: "equal shares of parameters"
            smallest_effect (float, optional): Marked beside 0. Default: 0.1
            plt_fig_axis (tuple, optional): Figure and axis to draw on. Default: None (a new figure)
            fig_size (tuple, optional): Size of a new figure in inches. Default: (6.0, 3.8)
            use_pyplot (bool, optional): False works without a display. Default: True

        Returns:
            - **fig, axis** (*tuple*): The figure and its axis.
        """
        import pandas as pd

        variant = self.variants[0] if variant is None else variant
        table = pd.concat([self.contrasts(name) for name in (*self.scores, *self.columns)])
        table = table[(table["variant"] == variant) & (table["compared"] == compared)]
        fig, axis = contrast_intervals(table, smallest_effect, plt_fig_axis, fig_size, use_pyplot)
        shown(plt_fig_axis is None, use_pyplot, axis)
        return fig, axis

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all tables as CSV, a row for each pair included, and the verdicts as text.

        Args:
            folder (str or PathLike): Made if it is not there; files of these names are replaced.
        """
        import pandas as pd

        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        names = (*self.scores, *self.columns)
        tables = {
            "networks": self.networks,
            "ceilings": self.ceilings(),
            "cells": pd.concat([self.cells(name).assign(score=name) for name in names]),
            "contrasts": pd.concat([self.contrasts(name) for name in names]),
            "pairs": pd.concat([self.pairs(name) for name in names]),
        }
        for name, table in tables.items():
            table.to_csv(path / f"{name}.csv", index=False, float_format="%.5g")
        (path / "verdicts.txt").write_text(self._verdicts(), encoding="utf-8")

    def _verdicts(self) -> str:
        lines = []
        for variant in self.variants:
            lines.append(f"# {variant}, equal shares of parameters")
            lines += [str(self.verdict(score, variant)) for score in self.scores]
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """Print the verdict, the cells, the contrasts and the ceilings of the primary score.

        Returns:
            - **text** (*str*): The same.
        """
        return printed(str(self))

    def __str__(self) -> str:
        cells = self.cells()
        shown_columns = [
            "cell",
            "parameters",
            "accuracy",
            "loss",
            "matched",
            "iou",
            "spearman",
            "given_shared",
            "values",
        ]
        contrasts = self.contrasts()
        contrasts = contrasts[contrasts["measure"].isin(["given_shared", "given_loss"])].drop(columns="score")
        verdicts = "\n".join(f"{variant}: {self.verdict(variant=variant)}" for variant in self.variants)
        return "\n\n".join(
            (
                f"{self!r}\n{verdicts}",
                f"Agreement of pairs by {self.scores[0]}\n{_printed(cells[shown_columns])}",
                f"Same low less same high part\n{_printed(contrasts)}",
                f"Ceilings\n{_printed(self.ceilings())}",
            )
        )

    def __repr__(self) -> str:
        return (
            f"LayerSwapResult of {len(self.networks)} networks in {self.n_pairs} pairs, {self.n_samples} samples, cut "
            f"at {', '.join(self.layers)}"
        )

    def _column(self, score: str | None) -> str:
        if score is None:
            return self.scores[0]
        if score not in (*self.scores, *self.columns):
            raise ValueError(f"score must be one of {[*self.scores, *self.columns]}; got {score!r}.")
        return score


_NO_SIDES = "accuracy and loss match in no cell of one part, so that low and high are not compared"


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _printed(table: pd.DataFrame) -> str:
    text: str = table.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="–")
    return text
