"""Evaluate every model on every masked sample, in batches.

Before anything long is computed, models are checked: evaluation mode, repeatable answers, labels in range.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples, cast_columns
from captum_andor._utils.progress import Progress, progress_bar
from captum_andor._utils.running import Model, own_first
from captum_andor._utils.storage import storable
from captum_andor._utils.user_warnings import warn
from captum_andor.confusing.evaluation.attribution_methods import Attributer
from captum_andor.confusing.evaluation.views import View, Views, place_of
from captum_andor.confusing.scores.score_formulas import scored_coalitions
from captum_andor.games import Game, OutputField, Players, are_probabilities, by_name, picked_output
from captum_andor.games.transforms import coalition_members

_SAME = 1e-4  # of the largest output: above what float32 outputs differ by between batches
CHECKED_SAMPLES = 8  # rows that are asked twice: a dropout of 10 % moves one of them almost surely
_REPEATS_WITHIN = 1e-3  # of the largest output: above what one batch and another of the same rows differ by


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
        self, samples: Samples, show_progress: bool | None, description: str, stored: StoredOutputs | None = None
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
            fixed = self.batch_size if self.perturbations_per_eval == 1 else None  # engines take one number of rows
            found[name] = check_model(name, model, samples, self.reads_logits, self.output_field, fixed)
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
        place = place_of(self.models[name], samples)
        if all(x is y for x, y in zip(place.put(players.inputs), players.inputs, strict=True)):
            return players
        return self.views.players(samples, start, stop, view, self.max_players, place)

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
        return values.transpose(1, 2).cpu().to(dtype).contiguous()


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


def check_mode(name: str, model: Model) -> None:
    """Raise where a module is in training mode."""
    if not isinstance(model, nn.Module):
        return
    training = [part or "the model" for part, module in model.named_modules() if getattr(module, "training", False)]
    if training and not _is_exported(model):
        raise ValueError(
            f"model {name!r} is in training mode ({training[0]}), where dropout and batch norm change its answers; "
            "call model.eval() first."
        )


def _is_exported(model: nn.Module) -> bool:
    """Whether it came from ``torch.export``: its flag says nothing, and its ``eval()`` raises."""
    return isinstance(model, torch.fx.GraphModule) and "train" in vars(model)


def check_model(
    name: str, model: Model, samples: Samples, reads_logits: bool, field: OutputField = None, rows: int | None = None
) -> Any:
    """What a model returns for the first samples, once it is seen to repeat that, in a batch and alone.

    Of at most so many rows, where that is given.
    """
    check_mode(name, model)
    dtype = place_of(model, samples).dtype
    if dtype is not None and samples.columns is not None:
        cast_columns(samples.inputs[0], dtype, samples.columns, "dataset")
    count = min(len(samples), CHECKED_SAMPLES, rows or CHECKED_SAMPLES)
    once = _answers(model, samples, 0, count, field, name)
    again = _answers(model, samples, 0, count, field)
    if not _are_alike(once, again):
        raise ValueError(
            f"model {name!r} answers differently when called twice with the same inputs; switch off what is "
            "random in it."
        )
    if isinstance(once, Tensor) and once.ndim and len(once) == count > 1:
        _check_alone(name, model, samples, once, field)
    if reads_logits and isinstance(once, Tensor) and once.ndim == 2 and are_probabilities(once):
        warn_of_probabilities(name, "and add up to 1 " if once.shape[1] > 1 else "")
    return once


def answers_changed(answers: Any, kept: Tensor) -> bool:
    """Whether outputs ``(N, C)`` that were kept of the first samples are others than a model returns for these now."""
    if not isinstance(answers, Tensor) or answers.ndim not in (1, 2):
        return False  # reported where outputs are computed
    now = answers.detach().cpu().double().reshape(len(answers), -1)
    if now.shape[1] == 1:
        now = torch.cat([torch.zeros_like(now), now], dim=1)  # the log-odds of class 1 against class 0
    rows = min(len(now), len(kept))
    return not _are_alike(kept[:rows].double(), now[:rows])


def warn_of_probabilities(name: str, clause: str = "") -> None:
    """Warn that scores would be those of other numbers than meant."""
    warn(
        f"model {name!r} seems to return probabilities: its outputs lie in [0, 1] {clause}and are read as logits. "
        'Leave out the last sigmoid or softmax; score="output" explains such numbers themselves.'
    )


def _check_alone(name: str, model: Model, samples: Samples, once: Tensor, field: OutputField) -> None:
    last = len(once) - 1
    try:
        alone = _answers(model, samples, last, last + 1, field)
    except Exception:  # a model may want a batch of a fixed size
        return
    if isinstance(alone, Tensor) and alone.shape[1:] == once.shape[1:] and not _are_alike(once[last:], alone, once):
        moved = float((_numbers(once[last:]) - _numbers(alone)).abs().amax())
        raise ValueError(
            f"model {name!r} answers sample {last} differently alone and among {len(once)}: an output moves by "
            f"{moved:.3g}. It mixes the rows of a batch, as batch norm in training mode does, or depends on their "
            "number or padding; call model.eval() inside the function, or switch that off."
        )


def _numbers(answers: Tensor) -> Tensor:
    return answers.detach().cpu().double()  # in this order: not every device holds float64


def _are_alike(a: Any, b: Any, of: Any = None) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return True  # what is no tensor is reported where it is read
    if a.shape != b.shape:
        return False
    x, y = _numbers(a).nan_to_num(), _numbers(b).nan_to_num()
    size = (x if of is None else _numbers(of).nan_to_num()).abs().amax() if a.numel() else x.new_zeros(())
    return bool(((x - y).abs() <= _REPEATS_WITHIN * size.clamp(min=1e-30)).all())


def check_labels(name: str, output: Any, samples: Samples) -> None:
    """Before anything long is computed; outputs of a wrong shape are reported where they are computed."""
    labels = samples.labels
    if labels is None or not isinstance(output, Tensor) or output.ndim not in (1, 2):
        return
    classes = 2 if output.ndim == 1 else max(output.shape[1], 2)
    if samples.class_names and len(samples.class_names) != classes:
        raise ValueError(
            f"labels of the dataset are {len(samples.class_names)} names, {list(samples.class_names)[:6]}, and model "
            f"{name!r} has {classes} classes: which output each stands for is not known. Pass indices."
        )
    outside = ((labels < 0) | (labels >= classes)).nonzero().flatten().tolist()
    if outside:
        number = outside[0] if samples.numbers is None else samples.numbers[outside[0]]
        raise ValueError(
            f"label {int(labels[outside[0]])} of sample {number} is outside the {classes} classes of model "
            f"{name!r}; labels must be 0 to {classes - 1}."
        )


@torch.no_grad()
def _answers(model: Model, samples: Samples, start: int, stop: int, field: OutputField, name: str = "") -> Any:
    """Outputs for some samples."""
    place = place_of(model, samples)
    try:
        returned = by_name(model, samples.names)(*place.put(samples.rows(start, stop)))
    except (RuntimeError, NotImplementedError) as error:
        own = next((p.dtype for p in model.parameters()), None) if isinstance(model, nn.Module) else None
        given = [x.dtype for x in samples.inputs]
        if own is None or own in given or not any(dtype.is_floating_point or dtype == torch.uint8 for dtype in given):
            raise
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in given)
        kind = str(own).removeprefix("torch.")
        raise TypeError(
            f"model {name!r} has parameters of {kind}, and its inputs are {kinds}: it cannot take them ({error}). "
            f"Convert the inputs, e.g. x.to(torch.{kind})."
        ) from error
    return picked_output(returned, field)
