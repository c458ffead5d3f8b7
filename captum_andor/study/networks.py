"""The networks of a study: each trained once, kept on disk, and taken up again after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.statistics import Array
from captum_andor._utils.storage import written_whole
from captum_andor._utils.user_warnings import warn
from captum_andor.study.cells import Network
from captum_andor.study.surgery import Cut, copy_part, freeze, reinitialise, split_at


class AnyNetwork(Protocol):
    """A network of a study: its name, and the seed of its data order given that of the study."""

    @property
    def name(self) -> str:
        """Name of the network, also that of its files."""

    def order_seed(self, base: int) -> int:
        """Seed of its data order."""


MakeModel: TypeAlias = Callable[[int], nn.Module]
Train: TypeAlias = Callable[[nn.Module, int, tuple[str, ...]], Any]

__all__ = ["AnyNetwork", "MakeModel", "Networks", "Train", "fresh"]

_FORMAT = "captum_andor.study.network"


def fresh(make_model: MakeModel, seed: int) -> nn.Module:
    """A new model of a seed; torch's global generators are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make_model(seed)
    if not isinstance(model, nn.Module):
        raise TypeError(f"make_model must return a torch.nn.Module; got {type(model).__name__}.")
    return model


@dataclass(frozen=True)
class Networks:
    """Makes, trains, keeps and loads the networks of a study.

    Attributes:
        make_model: Makes a model of a seed.
        train: Trains it: ``train(model, seed_order, frozen)``.
        make_other: Makes a model of the other architecture; None without one.
        folder: Where finished networks are kept.
        seed: Of the first network.
    """

    make_model: MakeModel
    train: Train
    make_other: MakeModel | None
    folder: Path
    seed: int

    def path(self, network: AnyNetwork) -> Path:
        """Path of the file that keeps the network."""
        return self.folder / "networks" / f"{network.name}.pt"

    def cut(self, layer: str) -> Cut:
        """Names of what lies below and above a layer."""
        return split_at(fresh(self.make_model, self.seed), layer)

    def get(self, network: AnyNetwork) -> tuple[nn.Module, dict[str, Array]]:
        """A finished network in evaluation mode, and the columns that came with it; it is trained if it is not there.

        Raises:
            RuntimeError: If training changed what was frozen.
        """
        found = self._read(network)
        if found is not None:
            return found
        model, columns = self._trained(network)
        self.keep(network, model, columns)
        return model, columns

    def check(self, network: AnyNetwork, model: nn.Module) -> None:
        """Raise unless a model has the parameters and buffers of a network.

        Raises:
            ValueError: If it has others.
        """
        wanted, given = ({n: t.shape for n, t in m.state_dict().items()} for m in (self._new(network), model))
        if wanted != given:
            differing = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
            raise ValueError(f"model must have the parameters and buffers of {network.name}; {differing} differ.")

    def keep(self, network: AnyNetwork, model: nn.Module, columns: Mapping[str, Any]) -> None:
        """Write a finished network, whole or not at all."""
        path = self.path(network)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "format": _FORMAT,
            "network": network.name,
            "state": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
            "columns": {name: _column(name, column) for name, column in columns.items()},
        }
        with written_whole(path) as file:
            torch.save(content, file)

    def _read(self, network: AnyNetwork) -> tuple[nn.Module, dict[str, Array]] | None:
        path = self.path(network)
        if not path.exists():
            return None
        model = self._new(network)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["format"] != _FORMAT:
                raise ValueError("its format is another")
            if content.get("network", network.name) != network.name:
                raise ValueError(f"it is network {content['network']}")
            model.load_state_dict(content["state"])
            columns = {name: column.numpy() for name, column in content["columns"].items()}
        except Exception as error:  # whatever unpickling a damaged file raises
            lines = str(error).strip().splitlines()
            warn(f"{path.name} is damaged or of another model ({lines[0] if lines else error!r}); it is trained again.")
            return None
        return model.eval(), columns

    def _new(self, network: Any) -> nn.Module:
        """The network before training, nothing shared yet."""
        other = network.cell is not None and network.cell.other
        make = self.make_other if other and self.make_other is not None else self.make_model
        return fresh(make, network.initial_seed(self.seed))

    def _prepared(self, network: Any) -> tuple[nn.Module, tuple[str, ...], bool]:
        """A network ready to be trained, the names of what it shares with another one, and whether that stays."""
        model, shared, frozen = self._new(network), (), False
        cell = network.cell
        if cell is not None and cell.layer is not None:
            shared = getattr(self.cut(cell.layer), cell.part)
            frozen = cell.variant == "frozen"
            first = Network(network.pair)
            if cell.variant == "initialisation":
                reinitialise(model, shared, self.make_model, first.initial_seed(self.seed))
            else:
                copy_part(self.get(first)[0], model, shared)
        return model, tuple(shared), frozen

    def _trained(self, network: AnyNetwork) -> tuple[nn.Module, dict[str, Array]]:
        model, shared, frozen = self._prepared(network)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in set(shared)}
        held = freeze(model, shared) if frozen else None
        order = network.order_seed(self.seed)
        with torch.random.fork_rng():
            torch.manual_seed(order)
            returned = self.train(model, order, tuple(shared) if frozen else ())
        trained, columns = returned if isinstance(returned, tuple) else (returned, {})
        if not isinstance(trained, nn.Module) or not isinstance(columns, Mapping):
            raise TypeError(
                "train must return the trained torch.nn.Module, or a pair of it and a dict of columns; got "
                f"{type(returned).__name__}."
            )
        if held is not None:
            held.thaw()
            _check_unchanged(network, trained, before)
        return trained.eval(), {name: _column(name, column).numpy() for name, column in columns.items()}


def _column(name: str, column: Any) -> Tensor:
    tensor = torch.as_tensor(np.asarray(column, dtype=np.float64), device="cpu")
    if tensor.ndim != 1:
        raise ValueError(f"train returned a column {name!r} of shape {tuple(tensor.shape)}; one number per sample.")
    return tensor


def _check_unchanged(network: AnyNetwork, model: nn.Module, before: dict[str, Tensor]) -> None:
    after = model.state_dict()
    changed = [name for name, tensor in before.items() if name not in after or not _equal(after[name], tensor)]
    if changed:
        raise RuntimeError(
            f"train changed {changed} of {network.name}, which are frozen; give the optimizer only parameters that "
            "require gradients, and no weight decay on others."
        )


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.cpu(), b.cpu())
