"""The rows of a batch: read where a folder has them, else computed and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor._utils.hashing import add_tensor
from captum_andor._utils.progress import Progress
from captum_andor.confusing.evaluation.evaluator import CHECKED_SAMPLES, Evaluator, answers_changed, ink_of
from captum_andor.confusing.evaluation.views import View
from captum_andor.confusing.store.batch_table import (
    TableContent,
    block_of,
    empty_table,
    held_outputs,
    held_scores,
    outputs_in,
    whole_input_of,
)
from captum_andor.confusing.store.parts_folder import KEY, PartsFolder
from captum_andor.games import Players, Score

if TYPE_CHECKING:
    import pandas as pd

Fingerprints = Mapping[tuple[str, View], npt.NDArray[Any]]


@dataclass(frozen=True)
class BatchRows:
    """Rows of an evaluation, a batch at a time.

    Attributes:
        evaluator: Runs the models.
        keep: What rows hold.
        models: Hash of each model, which with the inputs makes the fingerprint of a row.
        settings: Hash of a model and all settings that its rows depend on, by its name.
        score: What v is, for rows of scores.
        predicted: Whether v is of what each model predicts.
        folder: Where rows are kept; None keeps none.
    """

    evaluator: Evaluator
    keep: TableContent
    models: dict[str, str]
    settings: dict[str, str]
    score: Score
    predicted: bool
    folder: PartsFolder | None

    def check(self, samples: Samples, answers: dict[str, Any]) -> None:
        """Raise if the folder belongs to other settings or models, or to models that answered otherwise."""
        if self.folder is None:
            return
        self.folder.check()
        stop = min(CHECKED_SAMPLES, len(samples))
        rows = self.folder.rows(_numbers(samples, 0, stop), self.fingerprints(samples, 0, stop), self.settings)
        for (name, *_), some in rows.groupby(KEY, sort=False):
            at = np.searchsorted(_numbers(samples, 0, stop), some["sample"])
            if isinstance(answers[str(name)], Tensor) and answers[str(name)].ndim:
                now = answers[str(name)][torch.from_numpy(at).to(answers[str(name)].device)]
                if answers_changed(now, whole_input_of(some)):
                    raise self.folder.refusal(f"model {str(name)!r} answers the first samples differently")

    def outputs(self, samples: Samples, start: int, stop: int, bar: Progress) -> dict[tuple[str, View], Tensor]:
        """Outputs of all models on some masked samples, by model and view."""
        found = {}
        for (name, baseline, mask), rows in self.rows(samples, start, stop, bar).groupby(KEY, sort=False):
            found[str(name), View(int(baseline), int(mask))] = outputs_in(rows.sort_values("sample"))
        return found

    def rows(self, samples: Samples, start: int, stop: int, bar: Progress) -> pd.DataFrame:
        """What all models say of some samples, masked: a row for each sample, model, baseline and mask."""
        import pandas as pd

        numbers, fingerprints = _numbers(samples, start, stop), self.fingerprints(samples, start, stop)
        known = empty_table(self.keep)
        if self.folder is not None:
            order = np.argsort(numbers)
            ascending = {key: column[order] for key, column in fingerprints.items()}
            known = self.folder.rows(numbers[order], ascending, self.settings)
        there = {
            (str(name), View(int(baseline), int(mask))): some["sample"].to_numpy()
            for (name, baseline, mask), some in known.groupby(KEY, sort=False)
        }
        fresh: list[pd.DataFrame] = []
        try:
            for view in self.evaluator.views:
                players = self.evaluator.views.players(samples, start, stop, view, self.evaluator.max_players)
                for name in self.evaluator.models:
                    lacking = np.flatnonzero(~np.isin(numbers, there.get((name, view), ())))
                    if len(lacking):
                        own = self.evaluator.on_device(name, players, samples, start, stop, view)
                        own = own if len(lacking) == len(numbers) else own.of_examples(torch.from_numpy(lacking))
                        fresh.append(self._block(name, view, own, samples, start, lacking, numbers, fingerprints))
                    bar.update(stop - start)
        finally:  # after Ctrl-C or an error, what some models have said
            if fresh and self.folder is not None:
                self.folder.write(pd.concat(fresh, ignore_index=True))
        return pd.concat([part for part in (known, *fresh) if len(part)], ignore_index=True)

    def _block(
        self,
        name: str,
        view: View,
        players: Players,
        samples: Samples,
        start: int,
        places: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64],
        fingerprints: Fingerprints,
    ) -> pd.DataFrame:
        part = self.evaluator.run(name, players)
        if self.keep == "outputs":
            held = held_outputs(part)
        else:
            given = (
                None if self.predicted or samples.labels is None else samples.labels[start + torch.from_numpy(places)]
            )
            held = held_scores(part, given, self.score)
        key = name, view
        return block_of(numbers[places], key, ink_of(players), fingerprints[key][places], self.settings[name], held)

    def fingerprints(self, samples: Samples, start: int, stop: int) -> dict[tuple[str, View], npt.NDArray[Any]]:
        """Hash of all that the row of each sample depends on, by model and view."""
        found: dict[tuple[str, View], list[str]] = {}
        for view in self.evaluator.views:
            players = self.evaluator.views.players(samples, start, stop, view, self.evaluator.max_players)
            for i in range(stop - start):
                own = _content(players.of_examples(slice(i, i + 1)))
                for name, model in self.models.items():
                    digest = hashlib.sha256(f"{model}{self.evaluator.only_scored}".encode() + own).hexdigest()[:32]
                    found.setdefault((name, view), []).append(digest)
        return {key: np.array(digests, dtype=object) for key, digests in found.items()}


def _numbers(samples: Samples, start: int, stop: int) -> npt.NDArray[np.int64]:
    return np.arange(start, stop) if samples.numbers is None else samples.numbers[start:stop]


def _content(players: Players) -> bytes:
    """Hash of the inputs, baselines and masks."""
    digest = hashlib.sha256()
    for x, baseline, index in zip(players.inputs, players.baselines, players.layout.indices, strict=True):
        for part, tensor in (("input", x), ("baseline", baseline), ("players", index)):
            add_tensor(digest, tensor, part)
    return digest.digest()
