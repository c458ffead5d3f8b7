"""``FactorialResult``: shares of variance by grid, cut and part; contrasts between scores; verdict, figure, file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from captum_andor._utils.caching import computed_once
from captum_andor._utils.checks import constrained
from captum_andor._utils.statistics import Array, ranks
from captum_andor._utils.storage import read_arrays, write_arrays
from captum_andor.studies.factorial.grids import GRIDS, GridNetwork, cells_of_grid
from captum_andor.studies.factorial.instability import share_of_instability
from captum_andor.studies.factorial.network_tables import NetworkTable
from captum_andor.studies.factorial.variance_shares import (
    CellProducts,
    Instability,
    Shares,
    grouped_products,
    jackknifed,
    standardised,
)
from captum_andor.visualization import Canvas, panels, text_colour

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMAT = "captum_andor.study.factorial"
_VALUES = "values"  # the name under which v over masks stands beside scores
_COLUMNS = ("margin", "loss")
_COLOURS = {"low": "#D55E00", "high": "#0072B2", "order": "#CC79A7", "rest": "#BBBBBB"}
_COPIES_OF = {"moved": "initialisation", "moved both": "trained both"}
_COPIES = 3  # the fewest that a variance and its jackknife can be had from
_STEPS = np.iinfo(np.int16).max  # of mean products that are kept: shares of eight levels move by 1e-4 at most
_MOST = 0.5  # of what differs and is no instability: what decides more than this determines


@dataclass(frozen=True)
class FactorialVerdict:
    """Verdict on the claim that the randomness of low-layer parameters determines the confusing samples.

    Attributes:
        outcome: ``"supported"``: at some cut initial low layers decide more than half of what differs and is no
            instability; ``"not supported"``: at every cut they decide less; ``"cannot be judged"``: neither is clear.
        text: The verdict in words, with its numbers.
    """

    outcome: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class FactorialResult:
    """Result of :meth:`FactorialStudy.run`.

    Attributes:
        members (tuple of GridNetwork): The networks, in the order of all arrays.
        arrays (dict): By score ``score/<name>``, ``(K, V, N)`` for K networks, V views and N samples; by column
            ``column/<name>``, ``(K, N)``; ``values``, v on some coalitions, ``(K, V, N, m)``.
        of_networks (dict): By column of :attr:`networks`, a number a network.
        scores (tuple of str): Scores of confusion, the primary first.
        parameters (dict): By cut, the share of the parameters below it.
        products (dict): Mean products of networks over samples, of the scores that are kept as these alone.
    """

    members: tuple[GridNetwork, ...]
    arrays: Mapping[str, npt.NDArray[Any]]
    of_networks: Mapping[str, Array]
    scores: tuple[str, ...]
    parameters: Mapping[str, float]
    products: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def _of_tables(
        cls,
        tables: Mapping[GridNetwork, NetworkTable],
        values: Mapping[GridNetwork, npt.NDArray[np.float32]],
        moved: Mapping[GridNetwork, Mapping[str, float]],
        scores: Sequence[str],
        parameters: Mapping[str, float],
    ) -> FactorialResult:
        """Gather the tables of all networks."""
        several = list(tables.values())
        columns = [name for name in several[0].columns if name not in ("n_active", "ink")]
        arrays: dict[str, npt.NDArray[Any]] = {
            f"score/{name}": np.stack([table.scores[name] for table in several]).astype(np.float32) for name in scores
        }
        arrays |= {
            f"column/{name}": np.stack([t.columns[name] for t in several]).astype(np.float32) for name in columns
        }
        arrays[_VALUES] = np.stack([values[network] for network in tables])
        numbers = {
            "accuracy": [table.accuracy for table in several],
            "loss": [float(np.mean(table.columns["loss"])) for table in several],
            "test_accuracy": [table.test_accuracy for table in several],
            "low_moved": [moved[network]["low"] for network in tables],
            "high_moved": [moved[network]["high"] for network in tables],
        }
        of_networks = {name: np.array(column, dtype=np.float64) for name, column in numbers.items()}
        return cls(tuple(tables), arrays, of_networks, tuple(scores), dict(parameters))

    @property
    def networks(self) -> pd.DataFrame:
        """One row per network: name, grid, cut, levels, accuracies, mean loss, how far each part was moved."""
        import pandas as pd

        rows = [{"network": n.name, **{k: v for k, v in asdict(n).items() if k != "levels"}} for n in self.members]
        return pd.DataFrame(rows).assign(**self.of_networks)

    @property
    def levels(self) -> int:
        """Number M of levels of each part."""
        return self.members[0].levels

    @property
    def cuts(self) -> list[tuple[str, str]]:
        """Grids and cuts of the study, each with its cells."""
        found = dict.fromkeys((n.kind, n.layer) for n in self.members if n.kind in GRIDS and n.layer is not None)
        return sorted(found, key=lambda cut: (GRIDS.index(cut[0]), self.parameters[cut[1]]))

    @constrained()
    def shares(
        self, score: str | None = None, confidence: float = 0.95, of: Literal["all", "stable"] = "all"
    ) -> pd.DataFrame:
        """Of what differs between networks for a sample, the share that each part decides, at every cut.

        Copies of one network whose initial weights are moved by next to nothing differ, too: that is instability, and
        no part decides it. So the share of a part of all that differs cannot pass 1 less the share of instability, its
        ceiling.

        Args:
            score (str, optional): A score, a column such as ``"margin"``, or ``"values"``, v over masks. Default: None
                (the primary)
            confidence (float, optional): Of each interval. Default: 0.95
            of (str, optional): ``"all"`` that differs, or ``"stable"``: what is not instability, the variance between
                the copies that were moved least, mean over the cells that they are of, taken off the rest and off the
                whole; intervals hold that both are estimated. It is of the grids that copies are of: the
                initialisation grid, and that of two trained parts. Default: "all"

        Returns:
            - **shares** (*pandas.DataFrame*): ``grid``, ``layer``, ``parameters`` below the cut, ``factor`` (``low``,
              ``high``, ``order``, ``rest``), ``share`` with ``lower`` and ``upper``.

        Raises:
            ValueError: If there is no such score, ``of`` is another word, or there are no three copies, or copies
                differ as much as all networks do.
        """
        import pandas as pd

        name = self._checked(score)
        if of not in ("all", "stable"):
            raise ValueError(f'of must be "all" or "stable"; got {of!r}.')
        cuts = [cut for cut in self.cuts if of == "all" or len(self._least_moved(cut[0])) >= _COPIES]
        if not cuts:
            raise ValueError(
                f'of="stable" needs {_COPIES} copies of a network that were moved a little; this study has fewer. Run '
                "it with perturbations=[1e-6]."
            )
        parts = [self._framed(cut, self._shares(cut, name, is_stable=of == "stable").table(confidence)) for cut in cuts]
        return pd.concat(parts, ignore_index=True)

    def _least_moved(self, grid: str) -> list[int]:
        """Places of the copies of a grid's cells that were moved least; of none but two grids there are some."""
        kind = next((kind for kind, own in _COPIES_OF.items() if own == grid), None)
        sizes = [n.size for n in self.members if n.kind == kind]
        return [i for i, n in enumerate(self.members) if n.kind == kind and n.size == min(sizes)]

    @constrained()
    def contrast(self, other: str = "margin", score: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
        """Shares of a score less those of another, by the same jackknife: is it about confusion?

        Where one of them has a single view, as the margin has, each view of the other counts by itself: what two
        baselines agree on is not compared with all that differs.

        Args:
            other (str, optional): As ``score``. Default: "margin"
            score (str, optional): As in :meth:`shares`. Default: None (the primary)
            confidence (float, optional): Of each interval. Default: 0.95

        Returns:
            - **contrast** (*pandas.DataFrame*): As :meth:`shares`, of the differences.

        Raises:
            ValueError: If there is no such score.
        """
        import pandas as pd

        one, two = self._checked(score), self._checked(other)
        across = min(self._views(one), self._views(two)) > 1
        parts = [
            self._framed(cut, (self._shares(cut, one, across) - self._shares(cut, two, across)).table(confidence))
            for cut in self.cuts
        ]
        return pd.concat(parts, ignore_index=True)

    def low_less_high(self, score: str | None = None) -> pd.DataFrame:
        """Share of the low part less that of the high part at every cut, with ``lower`` and ``upper``."""
        import pandas as pd

        name = self._checked(score)
        rows = []
        for grid, layer in self.cuts:
            value, lower, upper = self._shares((grid, layer), name).low_less_high()
            rows.append({"grid": grid, "layer": layer, "share": value, "lower": lower, "upper": upper})
        return pd.DataFrame(rows)

    @constrained()
    def instability(self, score: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
        """What copies of one network differ by when its weights at the start are moved a little.

        Args:
            score (str, optional): As in :meth:`shares`. Default: None (the primary)
            confidence (float, optional): Of each interval. Default: 0.95

        Returns:
            - **instability** (*pandas.DataFrame*): ``grid``, that of the copied cells, or the first of a study without
              it; ``size``, by how much; ``cells``, of how many the copies are; ``share``: the variance between copies
              of a cell, of that between all networks of the grid at its first cut, with ``lower`` and ``upper``, ends
              of a jackknife over cells (or copies, where all are of one), levels and samples.
        """
        import pandas as pd

        name, rows = self._checked(score), []
        across = self._views(name) > 1
        for kind, grid in _COPIES_OF.items():
            copies = [n for n in self.members if n.kind == kind]
            if not copies:
                continue
            first = next((cut for cut in self.cuts if cut[0] == grid), self.cuts[0])
            for size in sorted({n.size for n in copies}):
                share, lower, upper = share_of_instability(
                    self._instability(kind, size, name, across), self._cells(first, name, across), confidence
                )
                cells = len({n.high for n in copies if n.size == size})
                rows.append(
                    {"grid": first[0], "size": size, "cells": cells, "share": share, "lower": lower, "upper": upper}
                )
        return pd.DataFrame(rows, columns=["grid", "size", "cells", "share", "lower", "upper"])

    def retest(self) -> pd.DataFrame:
        """How far each score repeats under another baseline or mask of the same network.

        Returns:
            - **retest** (*pandas.DataFrame*): One row per score: ``retest``, rank correlation of the samples between
              two views of a network, mean over networks and pairs of views; ``of_differences``, the same of what a
              network differs from the mean of all: the part of the differences that several baselines agree on, which
              is what shares are of; ``of_mean``, how far differences of the mean over all views would repeat, k ρ / (1
              + (k − 1) ρ) for k views (Spearman 1910, Brown 1910). NaN with one view.
        """
        import pandas as pd

        rows = []
        for name in (name for name in self.scores if f"score/{name}" in self.arrays):
            y = self._standard(range(len(self.members)), name)
            differ = _across(y - y.mean(1, keepdims=True))
            of_mean = len(y) * differ / (1 + (len(y) - 1) * differ)
            rows.append({"score": name, "retest": _across(y), "of_differences": differ, "of_mean": of_mean})
        return pd.DataFrame(rows)

    def verdict(self, score: str | None = None) -> FactorialVerdict:
        """Whether the randomness of low-layer parameters determines the confusing samples.

        *Determines* is read as: decides more than half of what differs between networks and is no instability, which
        no part decides; of a study without moved copies, of all that differs. Supported, if at some cut of the
        initialisation grid the interval of the low share lies above .5; not supported, if at every cut it lies below;
        else it cannot be judged. Cuts are several chances to be wrong, and so are scores: what is claimed of some cut
        has to hold at 1 − .05 / k (Bonferroni), k the cuts, times the scores unless it is the primary, which was named
        first; that low shares exceed those of the margin, at all grids and cuts likewise.

        Args:
            score (str, optional): As in :meth:`shares`. Default: None (the primary)

        Returns:
            - **verdict** (*FactorialVerdict*): ``outcome`` and ``text``; it prints itself.

        Raises:
            ValueError: If there is no such score, or no initialisation grid.
        """
        name = self._checked(score)
        if not any(grid == "initialisation" for grid, _ in self.cuts):
            raise ValueError("verdict() needs the grid 'initialisation', which this study lacks.")
        scores = 1 if name == self.scores[0] else len(self.scores)
        outcome, text = self._judged(name, scores)
        for grid, words in (("trained low", "Trained low layers"), ("trained high", "Trained high layers")):
            shares = self.shares(name)
            rows = shares[(shares["grid"] == grid) & (shares["factor"] == grid.removeprefix("trained "))]
            if not rows.empty:
                most = rows.loc[rows["share"].idxmax()]
                text += f" {words} carry over up to {_shown(most)} of all that differs, cut at {most.layer}."
        if any(grid == "trained both" for grid, _ in self.cuts):
            text += f" {self._of_parameters(name)}"
        if name not in _COLUMNS and {"margin", "column/margin"} & {*self.arrays, *self._as_products()}:
            text += f" {self._specific(name, scores)}"
        return FactorialVerdict(outcome, text)

    def _judged(self, name: str, scores: int) -> tuple[str, str]:
        """The outcome, and what initial low layers decide."""
        of: Literal["all", "stable"] = "stable" if len(self._least_moved("initialisation")) >= _COPIES else "all"
        every = self._initial_low(name, 0.95, "all")
        if of == "stable":
            unstable = self.instability(name).iloc[0]
            ceiling = (
                f"copies moved by {unstable['size']:.0e} differ by {_shown(unstable)} of it, so that no part can "
                f"decide more than {1 - unstable['share']:.0%}"
            )
            try:
                own = self._initial_low(name, 0.95, of)
            except ValueError:
                return "cannot be judged", f"Cannot be judged: by {name}, {ceiling}: there is nothing to share out."
        else:
            own, ceiling = every, "instability was not measured"
        top = own.loc[own["share"].idxmax()]
        decide = f"by {name}, the largest share of initial low layers is {_shown(top)}"
        if of == "stable":
            decide += (
                f" of what is no instability, cut at {top.layer}, and {_shown(every.loc[top.name])} of all that differs"
            )
        else:
            decide += f" of all that differs, cut at {top.layer}"
        decide += f" ({ceiling})"
        if (self._initial_low(name, 1 - 0.05 / (len(own) * scores), of)["lower"] > _MOST).any():
            return "supported", f"Supported: {decide}."
        if (self._initial_low(name, 1 - 0.05 / scores, of)["upper"] < _MOST).all():
            return "not supported", f"Not supported: {decide}."
        return "cannot be judged", f"Cannot be judged: {decide}."

    def _of_parameters(self, name: str) -> str:
        """What trained low and high parts decide where both are copied and trained on together."""
        is_stable = len(self._least_moved("trained both")) >= _COPIES
        table = self.shares(name, of="stable" if is_stable else "all").query("grid == 'trained both'")
        parts = []
        for factor in ("low", "high"):
            rows = table[table["factor"] == factor]
            most = rows.loc[rows["share"].idxmax()]
            parts.append(f"{factor} ones decide up to {_shown(most)}, cut at {most.layer}")
        of = "what is no instability" if is_stable else "all that differs"
        return f"With trained parts crossed, {parts[0]}, {parts[1]}, of {of}."

    def _initial_low(self, name: str, confidence: float, of: Literal["all", "stable"]) -> pd.DataFrame:
        shares = self.shares(name, confidence, of)
        return shares[(shares["factor"] == "low") & (shares["grid"] == "initialisation")]

    def _specific(self, name: str, scores: int) -> str:
        """Whether low shares are larger than those of the margin, at all grids and cuts together."""
        low = self.contrast("margin", name, 1 - 0.05 / (len(self.cuts) * scores)).query("factor == 'low'")
        above = low[low["lower"] > 0]
        if above.empty:
            return "Nowhere is the low share of the score seen to exceed that of the margin."
        most = above.loc[above["share"].idxmax()]
        return (
            f"The low share exceeds that of the margin in {len(above)} of {len(low)} grids and cuts, at most by "
            f"{most.share:+.2f} [{most.lower:+.2f}, {most.upper:+.2f}] ({most.grid}, {most.layer})."
        )

    @panels
    def plot(self, canvas: Canvas, score: str | None = None) -> tuple[Figure, list[Axes]]:
        """Draw shares over cuts, stacked, with the interval of the low part, a panel for each grid.

        Args:
            score (str, optional): As in :meth:`shares`. Default: None (the primary)

        Returns:
            - **fig, axes** (*tuple*): The figure and its axes.
        """
        table = self.shares(score)
        grids = list(dict.fromkeys(table["grid"]))
        n_cuts = table["layer"].nunique()
        fig = canvas.figure((1.6 + len(grids) * (1.1 + 0.55 * n_cuts), 3.4), "constrained")
        axes = list(np.atleast_1d(fig.subplots(1, len(grids), sharey=True)))
        for axis, grid in zip(axes, grids, strict=True):
            own = table[table["grid"] == grid]
            layers = list(dict.fromkeys(own["layer"]))
            base = np.zeros(len(layers))
            for factor in dict.fromkeys(own["factor"]):
                rows = own[own["factor"] == factor]
                heights = rows["share"].clip(lower=0).to_numpy()
                axis.bar(range(len(layers)), heights, bottom=base, color=_COLOURS[factor], label=factor, width=0.7)
                if factor == "low":
                    ends = np.abs(rows[["lower", "upper"]].to_numpy().T - rows["share"].to_numpy())
                    axis.errorbar(
                        range(len(layers)), rows["share"], ends, color=text_colour(), capsize=3, linestyle="none"
                    )
                base = base + heights
            axis.set_xticks(range(len(layers)), layers, rotation=40, ha="right", fontsize=8)
            axis.set_title(grid, fontsize=10)
        axes[0].set_ylabel("share of what differs")
        axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        return fig, axes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every per-network table to a file, so that anyone can recompute the shares.

        Args:
            path (str or PathLike): Where to write; an existing file is replaced.
        """
        header = {
            "members": [asdict(network) for network in self.members],
            "scores": list(self.scores),
            "parameters": dict(self.parameters),
        }
        further = {f"network/{name}": column for name, column in self.of_networks.items()}
        further |= {f"products/{name}": array for name, array in self.products.items()}
        write_arrays(path, _FORMAT, header, {**self.arrays, **further})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FactorialResult:
        """Read a result that :meth:`save` wrote.

        Args:
            path (str or PathLike): The file.

        Returns:
            - **result** (*FactorialResult*): Equal to the one saved.

        Raises:
            OSError: If the file cannot be opened.
            ValueError: If it is no such result, or damaged.
        """
        header, arrays = read_arrays(path, _FORMAT, "FactorialResult.save")
        numbers, products = (
            {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}
            for kind in ("network/", "products/")
        )
        several = {name: a for name, a in arrays.items() if not name.startswith(("network/", "products/"))}
        if any(len(array) != len(header["members"]) for array in (*several.values(), *numbers.values())):
            raise ValueError(f"{path} is damaged: its arrays are not of its networks.")
        if any(name.endswith("/mean") and array.dtype != np.int16 for name, array in products.items()):
            raise ValueError(f"{path} is damaged: its mean products are no 16-bit integers.")
        members = tuple(GridNetwork(**member) for member in header["members"])
        return cls(members, several, numbers, tuple(header["scores"]), header["parameters"], products)

    @constrained()
    def in_sets(self, fraction: float = 0.1) -> FactorialResult:
        """The result with 1 for each network's most suspicious samples, and 0 for others, in the place of scores.

        Shares are of what differs between *sets* then, not between whole rankings.

        Args:
            fraction (float, optional): Of the samples that make the set, above 0 and below 1. Samples that are tied at
                its edge count as the part of them that belongs into it. Default: 0.1

        Returns:
            - **result** (*FactorialResult*): Of all scores and columns; v over masks has no sets and is dropped, and so
              is what is kept as products.

        Raises:
            ValueError: If ``fraction`` is not between 0 and 1, or the set would hold no sample, or all.
        """

        def members(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            size = round(fraction * array.shape[-1])
            if not 0 < size < array.shape[-1]:
                raise ValueError(
                    f"fraction={fraction} of {array.shape[-1]} samples makes a set of {size}; take another fraction."
                )
            edge = np.partition(array, -size, axis=-1)[..., -size, None]
            above, tied = array > edge, array == edge
            room = size - above.sum(-1, keepdims=True)
            found: npt.NDArray[np.float32] = np.where(tied, room / tied.sum(-1, keepdims=True), above).astype(
                np.float32
            )
            return found

        kept = {name: members(array) for name, array in self.arrays.items() if name != _VALUES}
        return FactorialResult(self.members, kept, self.of_networks, self.scores, self.parameters)

    def in_products(self, *names: str) -> FactorialResult:
        """The result with mean products of networks over samples in the place of some scores of every network.

        Shares, contrasts, instability and verdicts are made of products and stay what they are; v over masks, which
        takes most of a file's space, takes little then. Figures of single samples and ``retest()`` need the scores.

        Args:
            *names (str): Scores, columns, or ``"values"``, v over masks.

        Returns:
            - **result** (*FactorialResult*): Without the scores named.

        Raises:
            ValueError: If there is no such score.
        """
        found = dict(self.products)
        for name in (self._checked(name) for name in names):
            for across in (True, False) if self._views(name) > 1 else (False,):
                for cut in self.cuts:
                    cells = self._cells(cut, name, across)
                    key = _key(name, across, *cut)
                    upper = cells.mean[np.triu_indices(len(cells.mean))]  # correlations, in [-1, 1]
                    found[f"{key}/mean"] = (upper * _STEPS).round().astype(np.int16)
                    found[f"{key}/groups"] = cells.of_groups
                for kind, size in dict.fromkeys((n.kind, n.size) for n in self.members if n.is_copy):
                    copies, key = self._instability(kind, size, name, across), _key(name, across, kind, f"{size:g}")
                    found[f"{key}/whole"] = np.array([copies.whole])
                    found[f"{key}/copies"], found[f"{key}/groups"] = copies.without_copies, copies.without_group
        dropped = {f"{kind}{name}" for name in names for kind in ("score/", "column/", "")}
        kept = {name: array for name, array in self.arrays.items() if name not in dropped}
        return FactorialResult(self.members, kept, self.of_networks, self.scores, self.parameters, found)

    def in_ranks(self) -> FactorialResult:
        """The result with twice the rank of a sample in each network in the place of scores and columns, as integers.

        Shares, contrasts and verdicts are made of ranks alone and stay what they are; a file takes half of the space.
        """

        def doubled(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            flat = np.stack([ranks(row) for row in array.reshape(-1, array.shape[-1]).astype(np.float64)])
            kind = np.uint16 if 2 * array.shape[-1] <= np.iinfo(np.uint16).max else np.uint32
            return (2 * flat).round().astype(kind).reshape(array.shape)

        kept = {name: array if name == _VALUES else doubled(array) for name, array in self.arrays.items()}
        return FactorialResult(self.members, kept, self.of_networks, self.scores, self.parameters, self.products)

    def _checked(self, score: str | None) -> str:
        name = self.scores[0] if score is None else score
        columns = [n.removeprefix("column/") for n in self.arrays if n.startswith("column/")]
        known = list(dict.fromkeys([*self.scores, *columns, *self._as_products()]))
        known += [_VALUES] if _VALUES in self.arrays else []
        if name not in known:
            raise ValueError(f"score must be one of {known}; got {score!r}.")
        return name

    def _framed(self, cut: tuple[str, str], table: pd.DataFrame) -> pd.DataFrame:
        grid, layer = cut
        framed = table.rename_axis("factor").reset_index()
        framed.insert(0, "parameters", self.parameters[layer])
        framed.insert(0, "layer", layer)
        framed.insert(0, "grid", grid)
        return framed

    @computed_once
    def _shares(
        self, cut: tuple[str, str], name: str, across_views: bool | None = None, is_stable: bool = False
    ) -> Shares:
        across = self._views(name) > 1 if across_views is None else across_views
        unstable = None
        if is_stable:
            least = self.members[self._least_moved(cut[0])[0]]
            unstable = self._instability(least.kind, least.size, name, across)
        return jackknifed(self._cells(cut, name, across), unstable)

    def _cells(self, cut: tuple[str, str], name: str, across: bool) -> CellProducts:
        """Mean products of the cells of a grid at one cut, kept or computed."""
        m, key = self.levels, _key(name, across, *cut)
        if f"{key}/mean" in self.products:
            upper, mean = np.triu_indices(m * m), np.empty((m * m, m * m))
            mean[upper] = mean[upper[::-1]] = self.products[f"{key}/mean"] / _STEPS
            return CellProducts(mean, self.products[f"{key}/groups"], (m, m), "latin")
        place = {network: i for i, network in enumerate(self.members)}
        y = self._standard([place[network] for network in cells_of_grid(*cut, m)], name)
        return CellProducts.of(
            y.reshape(len(y), m, m, -1), "latin", self._sample_of_entries(name, y.shape[-1]), across_views=across
        )

    def _instability(self, kind: str, size: float, name: str, across: bool) -> Instability:
        """Variance between copies, kept or computed."""
        key = _key(name, across, kind, f"{size:g}")
        if f"{key}/whole" in self.products:
            whole, copies, groups = (self.products[f"{key}/{part}"] for part in ("whole", "copies", "groups"))
            return Instability(float(whole[0]), copies, groups)
        places = [i for i, n in enumerate(self.members) if n.kind == kind and n.size == size]
        copies = self._standard(places, name)
        cells = np.array([self.members[i].high for i in places])
        products = grouped_products(copies, self._sample_of_entries(name, copies.shape[-1]), across_views=across)
        return Instability.of(products, cells)

    def _as_products(self) -> dict[str, int]:
        """Scores that are kept as mean products, with their number of views: one, or more."""
        kept = [key.split("/")[:2] for key in self.products]
        return {name: 1 + any(own == name and views == "across" for own, views in kept) for name, _ in kept}

    def _sample_of_entries(self, name: str, entries: int) -> npt.NDArray[np.int64]:
        """The sample that each entry is of; v over masks has several for each."""
        samples = self.arrays[_VALUES].shape[2] if name == _VALUES else entries
        return np.repeat(np.arange(samples), entries // samples)

    def _views(self, name: str) -> int:
        """Number of views of a score or column; of one that is kept as products, two for several."""
        if name in self._as_products():
            return self._as_products()[name]
        if name == _VALUES:
            return int(self.arrays[_VALUES].shape[1])
        return int(self.arrays[f"score/{name}"].shape[1]) if f"score/{name}" in self.arrays else 1

    def _standard(self, places: Sequence[int], name: str) -> Array:
        """Standardised scores of some networks: ``(V, K, samples)``; v over masks has a sample for each mask."""
        if name == _VALUES:
            v = self.arrays[_VALUES][list(places)].astype(np.float64).swapaxes(0, 1)  # (V, K, N, m)
            found: Array = standardised(v, False).reshape(*v.shape[:2], -1)
            return found
        if f"score/{name}" in self.arrays:
            return standardised(self.arrays[f"score/{name}"][list(places)].astype(np.float64).swapaxes(0, 1), True)
        column = self.arrays[f"column/{name}"][list(places)].astype(np.float64)
        return standardised(column[None], True)


def _key(name: str, across: bool, *of: str) -> str:
    """Under which mean products of a score are kept: of different views, or of each by itself."""
    return "/".join((name, "across" if across else "own", *of))


def _shown(row: pd.Series) -> str:
    return f"{row.share:.0%} [{row.lower:.0%}, {row.upper:.0%}]"


def _across(views: Array) -> float:
    """Correlation of ``(V, K, N)`` between views, from products over networks and samples; NaN with one view."""
    if len(views) < 2:
        return float("nan")
    own = float(np.square(views).sum())
    between = float(np.square(views.sum(0)).sum()) - own
    return between / (len(views) - 1) / own
