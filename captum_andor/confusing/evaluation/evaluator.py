"""Evaluate every model on every masked sample, in batches, with finished batches kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor._utils.devices import Model, device_of, process_of
from captum_andor._utils.hashing import add_tensor
from captum_andor._utils.model_identity import add_value
from captum_andor._utils.progress import Progress, progress_bar
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.evaluation.attribution_methods import Attributer
from captum_andor.confusing.evaluation.model_checks import Checked, check_labels, check_model, warn_of_probabilities
from captum_andor.confusing.evaluation.views import View, Views
from captum_andor.confusing.scores.score_formulas import scored_coalitions
from captum_andor.confusing.store.batch_file import BatchFile
from captum_andor.confusing.store.folder_manifest import (
    digests_of,
    merged_manifest,
    model_entry,
    write_folder_manifest,
)
from captum_andor.games import Game, OutputField, Players, are_probabilities, by_name
from captum_andor.games.transforms import coalition_members

_SAME = 1e-4  # of the largest output: above what float32 outputs differ by between batches


@dataclass(frozen=True)
class Evaluation:
    """Outputs of all models on all masked samples.

    Attributes:
        samples: The samples.
        views: The baselines and masks.
        outputs: By name of the model and view, its outputs on all coalitions: ``(N, 2^n, C)``, C ≥ 2 classes.
        ink: By view, the share of each input that differs from the baseline: float64, shape ``(N,)``.
        attributions: By name of the model, name of the method and view: for each input ``(N, …)``.
        values: Where only these were kept, v of one label by name of the model and view, ``(N, m)`` for the m scored
            coalitions; outputs are then of the whole inputs alone, ``(N, 1, C)``.
    """

    samples: Samples
    views: Views
    outputs: dict[tuple[str, View], Tensor]
    ink: dict[View, Tensor]
    attributions: dict[tuple[str, str, View], tuple[Tensor, ...]]
    values: dict[tuple[str, View], Tensor] | None = None


@dataclass(frozen=True)
class Evaluator:
    """Runs models on masked samples.

    Attributes:
        models: By name.
        views: The baselines and masks.
        max_players: Most players of a mask.
        reads_logits: Whether outputs are logits, of which one alone can stand for two classes.
        batch_size: Samples in a batch.
        perturbations_per_eval: Coalitions of each in one forward pass; None chooses.
        checkpoint_dir: Where outputs are kept; None keeps none.
        attribute: Makes attributions of a batch; None makes none.
        output_field: Which part of what the models return holds the class scores.
        only_scored: Whether to evaluate only the coalitions that scores of v read, and no others.
    """

    models: dict[str, Model]
    views: Views
    max_players: int
    reads_logits: bool
    batch_size: int
    perturbations_per_eval: int | None
    checkpoint_dir: Path | None
    attribute: Attributer | None = None
    output_field: OutputField = None
    only_scored: bool = False
    _manifest: dict[str, Any] = field(default_factory=dict, repr=False)
    _asked: set[str] = field(default_factory=set, repr=False)  # models of whose answers a few were asked for again

    def evaluate(self, samples: Samples, show_progress: bool, description: str) -> Evaluation:
        """Evaluate all samples, or, after Ctrl-C, as many as were done."""
        checked = self.checked_models(samples, identify=self.checkpoint_dir is not None)
        digests: dict[str, bytes] = {}
        if self.checkpoint_dir is not None:
            digests = digests_of(checked)
            self._check_folder(self.checkpoint_dir, samples, checked)
        starts = range(0, len(samples), self.batch_size)
        found: dict[int, list[tuple[Any, Any]]] = {}
        total = len(samples) * len(self.models) * len(self.views)
        with progress_bar(show_progress, total, description, "sample") as bar:
            try:
                for start in self._own_first(starts):
                    stop = min(start + self.batch_size, len(samples))
                    found[start] = list(self._chunk(samples, start, stop, digests, bar))
            except KeyboardInterrupt:
                if 0 not in found:
                    raise
                done = _end(starts, found)
                warn(f"interrupted: the report is of the first {done} of {len(samples)} samples.")
        done = _end(starts, found)
        kept: dict[Any, list[Any]] = {}
        for start in range(0, done, self.batch_size):
            for key, part in found[start]:
                kept.setdefault(key, []).append(part)
        outputs = {key[1:]: _joined(key, parts) for key, parts in kept.items() if key[0] == "outputs"}
        ink = {key[1]: torch.cat(parts) for key, parts in kept.items() if key[0] == "ink"}
        attributions = {
            key[1:]: tuple(torch.cat(column) for column in zip(*parts, strict=True))
            for key, parts in kept.items()
            if key[0] == "attributions"
        }
        return Evaluation(samples.first(done), self.views, outputs, ink, attributions)

    @property
    def _which(self) -> bytes:
        """Of which coalitions outputs are, for fingerprints."""
        return b"scored" if self.only_scored else b""

    def _n_coalitions(self, n_players: int) -> int:
        return len(scored_coalitions(n_players)) if self.only_scored else 1 << n_players

    def on_all_coalitions(
        self, samples: Samples, known: dict[tuple[str, View], Tensor], start: int, stop: int
    ) -> dict[tuple[str, View], Tensor]:
        """Outputs of all models on all coalitions of some samples, of which the scored ones are known."""
        every = replace(self, only_scored=False, checkpoint_dir=None, attribute=None, _manifest={}, _asked=set())
        found: dict[tuple[str, View], list[Tensor]] = {}
        with progress_bar(False, None, "") as bar:
            for first in range(start, stop, self.batch_size):
                last = min(first + self.batch_size, stop)
                for key, part in every._chunk(samples, first, last, {}, bar):
                    if key[0] == "outputs":
                        found.setdefault(key[1:], []).append(part)
        outputs = {key: _joined(("outputs", *key), parts) for key, parts in found.items()}
        for key, whole in outputs.items():
            before = known[key][start:stop]
            now = whole[:, scored_coalitions(whole.shape[1].bit_length() - 1)]
            if not torch.allclose(now, before, rtol=0, atol=_SAME * float(before.abs().max())):
                raise RuntimeError(f"model {key[0]!r} answers otherwise than when it was evaluated; evaluate again.")
        return outputs

    def chunk(self, samples: Samples) -> list[tuple[Any, Any]]:
        """Everything about some samples at once, kept nowhere."""
        with progress_bar(False, None, "") as bar:
            return list(self._chunk(samples, 0, len(samples), {}, bar))

    def checked_models(self, samples: Samples, identify: bool) -> dict[str, Checked]:
        """All models, once they are seen to answer as they should; with what they are, if asked to."""
        found = {}
        for name, model in self.models.items():
            found[name] = check_model(name, model, samples, self.reads_logits, identify, self.output_field)
            check_labels(name, found[name].output, samples)
        return found

    def fingerprints(
        self, samples: Samples, digests: dict[str, bytes], batch_size: int = 64
    ) -> dict[tuple[str, View], list[str]]:
        """Hash of all that the outputs of a model on each sample depend on, by name and view."""
        found: dict[tuple[str, View], list[str]] = {}
        for view in self.views:
            for start in range(0, len(samples), batch_size):
                stop = min(start + batch_size, len(samples))
                players = self.views.players(samples, start, stop, view, self.max_players)
                for i in range(stop - start):
                    own = fingerprint_of_players(players.of_example(i)) + self._which
                    for name, digest in digests.items():
                        found.setdefault((name, view), []).append(hashlib.sha256(digest + own).hexdigest()[:32])
        return found

    def _check_folder(self, folder: Path, samples: Samples, checked: dict[str, Checked]) -> None:
        """See that a folder is of these settings; of which it is, is written into it with the first outputs.

        Further models and further samples behind those that are there are welcome.
        """
        views = hashlib.sha256()
        add_value(views, (self.views.baselines, self.views.masks))
        content = merged_manifest(
            folder,
            {"baselines and masks": views.hexdigest()[:32], "batch_size": self.batch_size},
            {name: model_entry(name, model) for name, model in checked.items()},
            [_digest_of_sample(samples, i) for i in range(len(samples))],
        )
        if content is not None:
            self._manifest.update(content)  # written with the first outputs: what fails before leaves no trace

    def _own_first(self, starts: range) -> list[int]:
        """The batches in the order to take them.

        Of several processes that torchrun started, each begins with every so many-th batch and then looks what the
        others have put into the folder. What they have not done by then it computes: no process waits for
        another, and the batches of a process that died are computed by the rest.
        """
        rank, processes = (0, 1) if self.checkpoint_dir is None else process_of()
        own = starts[rank::processes]
        return [*own, *(start for start in starts if start not in own)]

    def _chunk(
        self, samples: Samples, start: int, stop: int, digests: dict[str, bytes], bar: Progress
    ) -> Iterator[tuple[Any, Any]]:
        """Everything about some samples: all models see the same ones, however early it ends."""
        kept = None
        if self.checkpoint_dir is not None and digests:
            inputs = hashlib.sha256(self._which)
            for x in samples.rows(start, stop):
                add_tensor(inputs, x)
            kept = BatchFile(self.checkpoint_dir, f"{start:08d}-{inputs.hexdigest()[:16]}", stop - start)
        try:
            for view in self.views:
                players = self.views.players(samples, start, stop, view, self.max_players)
                yield ("ink", view), _ink(players)
                for name, model in self.models.items():
                    device = device_of(model)
                    own = players
                    if device is not None and any(x.device != device for x in players.inputs):
                        own = self.views.players(samples, start, stop, view, self.max_players, device)
                    outputs = self._outputs(name, model, own, digests.get(name), kept)
                    yield ("outputs", name, view), outputs
                    if self.attribute is not None and name in self.attribute.models:
                        for method, maps in self.attribute(name, own, outputs, start, view).items():
                            yield ("attributions", name, method, view), maps
                    bar.update(stop - start)
        finally:  # after Ctrl-C or an error, what some models have said
            if kept is not None and kept.is_new:
                self._write_manifest(kept.path.parent)
                kept.write()

    def _write_manifest(self, folder: Path) -> None:
        if self._manifest:
            folder.mkdir(parents=True, exist_ok=True)
            write_folder_manifest(folder, self._manifest)
            self._manifest.clear()

    def _outputs(
        self, name: str, model: Model, players: Players, digest: bytes | None, kept: BatchFile | None
    ) -> Tensor:
        if kept is None or digest is None:
            return self._run(name, model, players)
        fingerprint = hashlib.sha256(digest + fingerprint_of_players(players) + self._which).hexdigest()[:32]
        found = kept.get(fingerprint, self._n_coalitions(players.n_players))
        if found is None:
            found = self._run(name, model, players)
            kept.put(fingerprint, found)
        return found

    @torch.no_grad()
    def _run(self, name: str, model: Model, players: Players) -> Tensor:
        first = name not in self._asked
        self._asked.add(name)
        game = Game(
            by_name(model, players.layout.names),
            players,
            "output",
            None,
            (),
            self.perturbations_per_eval,
            first,
            self.output_field,
        )
        try:
            if self.only_scored:
                codes = scored_coalitions(players.n_players)
                with progress_bar(False, None, "") as silent:
                    values = game.evaluate(coalition_members(codes, players.n_players), silent)
            else:
                values = game.values()
            change = game.change()
        except (ValueError, TypeError) as error:
            raise type(error)(f"model {name!r}: {error}") from error
        if change is not None:
            raise ValueError(
                f"model {name!r} answers differently when asked again: {change}. Switch off what is random in it, or "
                "changes with the batch, the number of rows or padding."
            )
        if values.ndim == 2:  # one logit, (N, 2^n)
            values = values[:, None]
        if values.ndim != 3 or len(values) != players.n_examples:
            raise ValueError(
                f"model {name!r} must return class scores (N, C), or one logit (N,) or (N, 1), for N inputs; got "
                f"outputs of shape {tuple(values.shape[:-1])} for {players.n_examples}."
            )
        dtype = torch.float64 if game.output_dtype == torch.float64 else torch.float32
        if values.shape[1] == 1:  # the log-odds of class 1 against class 0
            if not self.reads_logits:
                raise ValueError(
                    f'model {name!r} returns one logit; use score="log_odds", which reads it as that of class 1 '
                    "against class 0."
                )
            if first and are_probabilities(values.flatten()[:, None]):
                warn_of_probabilities(name)
            values = torch.cat([torch.zeros_like(values), values], dim=1)
        return values.transpose(1, 2).to("cpu", dtype).contiguous()


def _digest_of_sample(samples: Samples, index: int) -> str:
    digest = hashlib.sha256()
    for x in samples.rows(index, index + 1):
        add_tensor(digest, x)
    return digest.hexdigest()[:8]


def _end(starts: range, found: Container[int]) -> int:
    """Index behind the last sample before which no batch is missing."""
    return next((start for start in starts if start not in found), starts.stop)


def _ink(players: Players) -> Tensor:
    """Share of each example's elements that differ from the baseline."""
    differing = sum(
        (x != baseline).reshape(len(x), -1).sum(1)
        for x, baseline in zip(players.inputs, players.baselines, strict=True)
    )
    count = sum(x[0].numel() for x in players.inputs)
    return torch.as_tensor(differing, device="cpu").double() / count


def _joined(key: Any, parts: list[Tensor]) -> Tensor:
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"model {key[1]!r} returned different shapes for different samples: {sorted(shapes)}.")
    return torch.cat(parts)


def fingerprint_of_players(players: Players) -> bytes:
    """Hash of the inputs, baselines and masks."""
    digest = hashlib.sha256()
    for x, baseline, index in zip(players.inputs, players.baselines, players.layout.indices, strict=True):
        for part, tensor in (("input", x), ("baseline", baseline), ("players", index)):
            add_tensor(digest, tensor, part)
    return digest.digest()


def checkpoint_folder(path: str | os.PathLike[str] | None) -> Path | None:
    """The folder of kept outputs, checked before anything is computed."""
    if path is None:
        return None
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"checkpoint_dir must be a folder; {folder} is a file.")
    return folder
