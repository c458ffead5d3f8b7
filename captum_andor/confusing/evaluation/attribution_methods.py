"""Attributions by any Captum method, of many models alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from captum_andor.confusing.evaluation.views import View
from captum_andor.games import NO_PLAYER, Players


@dataclass(frozen=True)
class Attributer:
    """Runs attribution methods on batches of samples.

    Attributes:
        factories: By name, a function of the model, e.g. a class of ``captum.attr``, that returns an object with
            ``attribute``.
        models: By name.
        labels: Labels of all samples; None for what each model predicts.
    """

    factories: Mapping[str, Callable[..., Any]]
    models: Mapping[str, Callable[..., Any]]
    labels: Tensor | None
    _methods: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name, factory in self.factories.items():
            if not callable(factory):
                raise TypeError(
                    f"attributions[{name!r}] must be a class of captum.attr, or a function of the model that returns "
                    f"an object with attribute(); got {type(factory).__name__}."
                )

    def __call__(
        self, model: str, players: Players, outputs: Tensor, start: int, view: View
    ) -> dict[str, tuple[Tensor, ...]]:
        """Attributions of some samples, each input's on the CPU, by every method that this view concerns."""
        labels = outputs[:, -1].argmax(1) if self.labels is None else self.labels[start : start + len(outputs)]
        found = {}
        for name in self.factories:
            takes = self._takes(name, model)
            repeats_mask = view.mask > 0 and "feature_mask" not in takes
            repeats_baseline = view.baseline > 0 and "baselines" not in takes
            if not repeats_mask and not repeats_baseline:
                found[name] = self._attribute(name, model, players, labels)
        return found

    def _takes(self, name: str, model: str) -> set[str]:
        """Names of the arguments of a method."""
        return set(inspect.signature(self._method(name, model).attribute).parameters)

    def _method(self, name: str, model: str) -> Any:
        if (name, model) not in self._methods:
            method = self.factories[name](self.models[model])
            if not callable(getattr(method, "attribute", None)):
                raise TypeError(
                    f"attributions[{name!r}] must return an object with attribute(), such as a class of captum.attr "
                    f"does; got {type(method).__name__}."
                )
            self._methods[name, model] = method
        return self._methods[name, model]

    def _attribute(self, name: str, model: str, players: Players, labels: Tensor) -> tuple[Tensor, ...]:
        arguments: dict[str, Any] = {}
        if players.layout.names is not None:
            raise ValueError(
                f"attributions[{name!r}]: Captum's methods call models by position, and the inputs of this dataset "
                "have names. Pass a dataset of tuples and a model that takes them."
            )
        takes = self._takes(name, model)
        is_tuple = players.layout.is_tuple
        if "baselines" in takes:
            parts = tuple(b.expand(x.shape) for b, x in zip(players.baselines, players.inputs, strict=True))
            arguments["baselines"] = parts if is_tuple else parts[0]
        if "feature_mask" in takes:
            layout = players.layout
            # Captum knows no elements without a player: those are one more.
            indices = (torch.where(i == NO_PLAYER, layout.n_players, i) for i in layout.indices)
            masks = tuple(i.expand(-1, *shape) for i, shape in zip(indices, layout.shapes, strict=True))
            arguments["feature_mask"] = masks if is_tuple else masks[0]
        if "target" in takes:
            arguments["target"] = self._target(model, players, labels)
        inputs = tuple(x.detach().clone() for x in players.inputs)
        try:
            found = self._method(name, model).attribute(inputs if is_tuple else inputs[0], **arguments)
        except Exception as error:
            raise RuntimeError(f"attributions[{name!r}] of model {model!r} failed: {error}") from error
        maps = found if isinstance(found, tuple) else (found,)
        return tuple(part.detach().cpu() for part in maps)

    def _target(self, model: str, players: Players, labels: Tensor) -> Any:
        """The label; of a model of one logit, that logit."""
        with torch.no_grad():
            output = self.models[model](*(x[:1] for x in players.inputs))
        if output.ndim < 2:
            return None
        return 0 if output.shape[1] == 1 else labels.to(output.device)
