"""Agreement of the two networks of every pair, cell by cell, and linear contrasts between cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from captum_andor._utils.caching import computed_once
from captum_andor._utils.statistics import Array, disattenuated, ranks, share_tied, spearman_brown
from captum_andor.confusing import SetRule
from captum_andor.study.cells import NEW, Cell, Network
from captum_andor.study.estimates import Measured, correlation, overlap_of_sets, residuals
from captum_andor.study.network_tables import NetworkTable

__all__ = ["MEASURES", "Agreement"]

# spearman: raw rank correlation. given_shared: partial, controlling for the mean rank in the other pairs' networks.
# given_loss: also controlling for both networks' loss and margin. Not for how alike their v over masks are: scores are
# functions of v, so that holding v fixed holds the thing itself fixed.
MEASURES = ("spearman", "given_shared", "given_loss")


@dataclass(frozen=True)
class Agreement:
    """Agreement between the first and the second network of each pair.

    Attributes:
        tables: Of every network.
        similarity: Of v over masks, between the second network and the first of its pair: shape ``(N,)``.
        cells: The cells to compare.
        n_pairs: Number of pairs.
        fraction: Share of the samples in a confusing set.
    """

    tables: Mapping[Network, NetworkTable]
    similarity: Mapping[Network, Array]
    cells: Sequence[Cell]
    n_pairs: int
    fraction: float = 0.1
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def n_samples(self) -> int:
        """Number N of samples of the study."""
        return len(next(iter(self.tables.values())).columns["loss"])

    @computed_once
    def of(self, cell: Cell, column: str, measure: str) -> Measured:
        """Agreement by a score or column in one cell.

        Args:
            cell: The cell.
            column: A score, or a column of the tables.
            measure: ``"spearman"``; ``"given_shared"``, partial rank correlation given the mean rank of the other
                pairs' first and new networks, both networks' active players, and ink; ``"given_loss"``, besides given
                both networks' loss and margin and the other networks' mean rank of loss; ``"iou"`` of the most
                suspicious share; ``"values"``, mean over samples of the correlation of v over masks.
        """
        pairs = range(self.n_pairs)
        if measure == "values":
            rows = np.stack([self.similarity[Network(pair, cell)] for pair in pairs])
            rows = np.where(np.isnan(rows), np.nanmean(rows, axis=1, keepdims=True), rows)
            means = rows.mean(1)
            return Measured(means, rows - means[:, None])
        networks = [[Network(pair, of) for pair in pairs] for of in (None, cell)]
        a, b = ([self.ranks(network, column) for network in side] for side in networks)
        if measure == "iou":
            return overlap_of_sets(*([self._members(self.ranks(n, column), n.name) for n in side] for side in networks))
        given = [self._given(pair, cell, column, measure) for pair in pairs]
        return correlation(*([residuals(x, c) for x, c in zip(side, given, strict=True)] for side in (a, b)))

    def tied(self, cell: Cell, column: str) -> float:
        """Share of both networks' confusing sets that was drawn among samples of equal scores, mean over pairs."""
        networks = [Network(pair, of) for pair in range(self.n_pairs) for of in (None, cell)]
        count = SetRule(self.fraction).count(self.n_samples)
        return float(np.mean([share_tied(self.ranks(network, column), count) for network in networks]))

    def _members(self, scores: Array, label: str) -> Array:
        return SetRule(self.fraction).share_of(scores, label).astype(np.float64)

    def _given(self, pair: int, cell: Cell, column: str, measure: str, view: int | None = None) -> list[Array]:
        """The ranks that a partial correlation holds fixed; of the scores, those of one view or of the sum of all."""
        if measure == "spearman":
            return []
        both = [Network(pair), Network(pair, cell)]
        given = [
            self.shared(pair, column, view),
            *(self.ranks(n, "n_active") for n in both),
            self.ranks(both[0], "ink"),
        ]
        if measure == "given_loss":
            given += [self.ranks(n, name) for n in both for name in ("loss", "margin")]
            given.append(self.shared(pair, "loss"))
        return given

    @computed_once
    def ranks(self, network: Network, column: str, view: int | None = None) -> Array:
        """Ranks of the samples by a score or column, of one view or summed over views."""
        return ranks(self.tables[network].suspicion(column, view))

    @computed_once
    def shared(self, pair: int, column: str, view: int | None = None) -> Array:
        """Ranks of the mean rank in first and new networks of all other pairs, the same controls for every cell."""
        others = [p for p in range(self.n_pairs) if p != pair]
        networks = [Network(p, cell) for p in others for cell in (None, NEW)]
        return ranks(np.mean([self.ranks(n, column, view) for n in networks], axis=0))

    def contrast(self, weights: Mapping[Cell, float], column: str, measure: str) -> Measured:
        """A weighted sum of cells."""
        parts = [self.of(cell, column, measure) * weight for cell, weight in weights.items()]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def corrected(self, cell: Cell, column: str, measure: str) -> float:
        """Mean agreement divided by the reliability of both networks' scores; NaN without several views."""
        between = self.of(cell, column, measure).values
        found = []
        for pair in range(self.n_pairs):
            a, b = (self.reliability(Network(pair, of), column, measure) for of in (None, cell))
            found.append(disattenuated(float(between[pair]), a, b))
        return float(np.mean(found))

    @computed_once
    def reliability(self, network: Network, column: str, measure: str) -> float:
        """Test-retest correlation of a network's score over views, given the same controls; NaN with a single view."""
        table = self.tables[network]
        views = len(table.scores[column]) if column in table.scores else 1
        if views < 2:
            return float("nan")
        cell = NEW if network.cell is None else network.cell
        # Each view less what the other networks have in common under this view: a mean over all views would leave half
        # of the difference of their common parts, with opposite signs.
        left = [
            residuals(self.ranks(network, column, view), self._given(network.pair, cell, column, measure, view))
            for view in range(views)
        ]
        between = [float((left[i] * left[j]).mean()) for i in range(views) for j in range(i)]
        return spearman_brown(float(np.mean(between)), views)

    def own_iou(self, column: str) -> float:
        """Overlap of a network's set with its own under another view: the ceiling of what two networks can show."""
        found = []
        for network, table in self.tables.items():
            if network.cell is None and column in table.scores:
                sets = [
                    self._members(table.suspicion(column, view), str(view)) for view in range(len(table.scores[column]))
                ]
                found += [float((x * y).sum() / np.maximum(x, y).sum()) for i, x in enumerate(sets) for y in sets[:i]]
        return float(np.mean(found)) if found else float("nan")
