"""Evaluate every model on every masked sample, in batches."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from captum_andor._utils.datasets import Samples
from captum_andor._utils.devices import Model, device_of, own_first
from captum_andor._utils.progress import Progress, progress_bar
from captum_andor._utils.storage import storable
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.evaluation.attribution_methods import Attributer
from captum_andor.confusing.evaluation.model_checks import check_labels, check_model, warn_of_probabilities
from captum_andor.confusing.evaluation.views import View, Views
from captum_andor.confusing.scores.score_formulas import scored_coalitions
from captum_andor.games import Game, OutputField, Players, are_probabilities, by_name
from captum_andor.games.transforms import coalition_members

_SAME = 1e-4  # of the largest output: above what float32 outputs differ by between batches


@storable
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


class StoredOutputs(Protocol):
    """Outputs that are kept somewhere, and computed where they are not."""

    def check(self, samples: Samples, answers: dict[str, Any]) -> None:
        """Raise if what is kept is of models that answer the first samples otherwise."""

    def outputs(self, samples: Samples, start: int, stop: int, bar: Progress) -> dict[tuple[str, View], Tensor]:
        """Outputs of all models on some masked samples, by model and view."""


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
    attribute: Attributer | None = None
    output_field: OutputField = None
    only_scored: bool = False
    _asked: set[str] = field(default_factory=set, repr=False)  # models of whose answers a few were asked for again

    def evaluate(
        self, samples: Samples, show_progress: bool, description: str, stored: StoredOutputs | None = None
    ) -> Evaluation:
        """Evaluate all samples, or, after Ctrl-C, as many as were done."""
        answers = self.checked_answers(samples)
        if stored is not None:
            stored.check(samples, answers)
        starts = range(0, len(samples), self.batch_size)
        found: dict[int, list[tuple[Any, Any]]] = {}
        total = len(samples) * len(self.models) * len(self.views)
        with progress_bar(show_progress, total, description, "sample") as bar:
            try:
                for start in starts if stored is None else own_first(starts):
                    stop = min(start + self.batch_size, len(samples))
                    found[start] = list(self._chunk(samples, start, stop, stored, bar))
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

    def checked_answers(self, samples: Samples) -> dict[str, Any]:
        """What the models return for the first samples, once they are seen to answer as they should."""
        found = {}
        for name, model in self.models.items():
            found[name] = check_model(name, model, samples, self.reads_logits, self.output_field)
            check_labels(name, found[name], samples)
        return found

    def on_all_coalitions(
        self, samples: Samples, known: dict[tuple[str, View], Tensor], start: int, stop: int
    ) -> dict[tuple[str, View], Tensor]:
        """Outputs of all models on all coalitions of some samples, of which the scored ones are known."""
        every = replace(self, only_scored=False, attribute=None, _asked=set())
        found: dict[tuple[str, View], list[Tensor]] = {}
        with progress_bar(False, None, "") as bar:
            for first in range(start, stop, self.batch_size):
                for key, part in every.outputs(samples, first, min(first + self.batch_size, stop), bar).items():
                    found.setdefault(key, []).append(part)
        outputs = {key: _joined(("outputs", *key), parts) for key, parts in found.items()}
        for key, whole in outputs.items():
            before = known[key][start:stop]
            now = whole[:, scored_coalitions(whole.shape[1].bit_length() - 1)]
            if not torch.allclose(now, before, rtol=0, atol=_SAME * float(before.abs().max())):
                raise RuntimeError(f"model {key[0]!r} answers otherwise than when it was evaluated; evaluate again.")
        return outputs

    def _chunk(
        self, samples: Samples, start: int, stop: int, stored: StoredOutputs | None, bar: Progress
    ) -> Iterator[tuple[Any, Any]]:
        """Everything about some samples: all models see the same ones, however early it ends."""
        found = (stored or self).outputs(samples, start, stop, bar)
        for view in self.views:
            players = self.views.players(samples, start, stop, view, self.max_players)
            yield ("ink", view), ink_of(players)
            for name in self.models:
                yield ("outputs", name, view), found[name, view]
                if self.attribute is not None and name in self.attribute.models:
                    own = self.on_device(name, players, samples, start, stop, view)
                    for method, maps in self.attribute(name, own, found[name, view], start, view).items():
                        yield ("attributions", name, method, view), maps

    def outputs(self, samples: Samples, start: int, stop: int, bar: Progress) -> dict[tuple[str, View], Tensor]:
        """Outputs of all models on some masked samples, by model and view."""
        found = {}
        for view in self.views:
            players = self.views.players(samples, start, stop, view, self.max_players)
            for name in self.models:
                found[name, view] = self.run(name, self.on_device(name, players, samples, start, stop, view))
                bar.update(stop - start)
        return found

    def on_device(self, name: str, players: Players, samples: Samples, start: int, stop: int, view: View) -> Players:
        """Some samples under a view, on the device of a model."""
        device = device_of(self.models[name])
        if device is None or all(x.device == device for x in players.inputs):
            return players
        return self.views.players(samples, start, stop, view, self.max_players, device)

    @torch.no_grad()
    def run(self, name: str, players: Players) -> Tensor:
        """Outputs of one model on all coalitions of some samples, or on those that scores of v read: ``(N, m, C)``."""
        first = name not in self._asked
        self._asked.add(name)
        game = Game(
            by_name(self.models[name], players.layout.names),
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


def _end(starts: range, found: Container[int]) -> int:
    """Number of leading samples whose batches are all done."""
    return next((start for start in starts if start not in found), starts.stop)


def ink_of(players: Players) -> Tensor:
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
