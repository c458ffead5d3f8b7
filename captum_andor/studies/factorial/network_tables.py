"""Scores, losses and values v of one network on the samples, kept in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.hashing import hash_of
from captum_andor._utils.statistics import Array
from captum_andor._utils.storage import read_arrays, write_arrays
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing import ConfusingSampleAnalyzer
from captum_andor.studies.factorial.grids import GridNetwork
from captum_andor.studies.networks.surgery import accuracy

_FORMAT = "captum_andor.study.table"
_ROWS = 500  # in a pass that only counts what is right
_PLAIN = ("loss", "margin", "ink")


@dataclass(frozen=True)
class NetworkTable:
    """Scores and columns of one network.

    Attributes:
        scores: By name, ``(V, N)`` for V views of N samples, larger = more confusing.
        columns: By name, ``(N,)``, larger = more suspicious: ``loss``, ``margin`` (its sign changed), ``n_active``,
            ``ink``, and what training returned, e.g. early loss.
        accuracy: Share of the samples that it gets right.
        test_accuracy: That of the test samples; NaN without these.
        values: v on all masked inputs, float32, one ``(N, 2^n)`` for each view.
    """

    scores: dict[str, Array]
    columns: dict[str, Array]
    accuracy: float
    test_accuracy: float
    values: list[npt.NDArray[np.float32]]

    def _without_values(self) -> NetworkTable:
        """The table without the values v, which take most of the memory."""
        return replace(self, values=[])


@dataclass(frozen=True)
class Tables:
    """Evaluates networks and keeps what came out.

    Attributes:
        analyzer: Its settings: score, baselines, masks, scores.
        samples: The samples.
        test: Held-out samples for the accuracy; None without.
        folder: Where tables are kept.
        batch_size: Samples in a batch.
        evaluated_as: Makes of a network what is evaluated in its place; None for itself.
    """

    analyzer: ConfusingSampleAnalyzer
    samples: Samples
    test: Samples | None
    folder: Path
    batch_size: int
    evaluated_as: Callable[[nn.Module], nn.Module] | None = None

    def get(self, network: GridNetwork, model: nn.Module, columns: dict[str, Array]) -> NetworkTable:
        """The table of a network, from its file if that is of the same weights."""
        path, digest = self.folder / f"{network.name}.npz", hash_of(model)
        if path.exists():
            try:
                header, arrays = read_arrays(path, _FORMAT, "FactorialStudy.run")
                if header["network"] == digest and len(arrays["column/loss"]) == len(self.samples):
                    return _table(header, arrays, columns)
            except ValueError as error:
                warn(f"{error} It is computed again.")
        header, arrays = self._evaluated(model)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_arrays(path, _FORMAT, {**header, "network": digest}, arrays)
        return _table(header, arrays, columns)

    def _evaluated(self, model: nn.Module) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        model = model if self.evaluated_as is None else self.evaluated_as(model)
        analyzer = self.analyzer.clone().add_model("network", model)
        evaluated = analyzer.evaluate(self.samples.pair, batch_size=self.batch_size, show_progress=False)
        scoring = evaluated.scoring
        views = scoring.views
        columns = scoring.columns("network")
        arrays: dict[str, npt.NDArray[Any]] = {
            f"score/{name}": np.stack([scoring.view_scores("network", view)[name] for view in views])
            for name in scoring.wanted
        }
        arrays |= {f"column/{name}": scoring.as_suspicion("network", name) for name in (*_PLAIN, "n_active")}
        arrays |= {f"values/{i}": scoring.values("network", view).float().numpy() for i, view in enumerate(views)}
        test = float("nan") if self.test is None else accuracy(model, _batches(self.test))
        return {"accuracy": float(np.mean(columns["correct"])), "test_accuracy": test}, arrays


def _table(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], columns: dict[str, Array]) -> NetworkTable:
    def part(kind: str) -> dict[str, npt.NDArray[Any]]:
        return {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}

    values = part("values/")
    known = part("column/")
    n_samples = len(known["loss"])
    for name, column in columns.items():
        if len(column) != n_samples:
            raise ValueError(
                f"train returned {len(column)} numbers in column {name!r}; the study has {n_samples} samples."
            )
    return NetworkTable(
        part("score/"),
        {**known, **columns},
        float(header["accuracy"]),
        float(header["test_accuracy"]),
        [values[str(i)] for i in range(len(values))],
    )


def _batches(samples: Samples) -> Iterator[Any]:
    for start in range(0, len(samples), _ROWS):
        part = slice(start, start + _ROWS)
        yield samples.rows(part.start, part.stop), samples.labels[part] if samples.labels is not None else None
