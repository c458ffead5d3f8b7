"""The networks of a study: each trained once, kept on disk, and taken up again after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.datasets import Samples
from captum_andor._utils.running import device_of
from captum_andor._utils.statistics import Array
from captum_andor._utils.storage import written_whole
from captum_andor._utils.user_warnings import warn
from captum_andor.games import by_name
from captum_andor.studies.factorial.grids import COPY_SEED, DONOR_SEED, HIGH_SEED, LOW_SEED, GridNetwork
from captum_andor.studies.networks.surgery import Cut, copy_part, reinitialise, split_at

MakeModel: TypeAlias = Callable[[int], nn.Module]
Train: TypeAlias = Callable[[nn.Module, int, tuple[str, ...]], Any]

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
        folder: Where finished networks are kept.
        seed: Of the first network.
    """

    make_model: MakeModel
    train: Train
    folder: Path
    seed: int

    def path(self, network: GridNetwork) -> Path:
        """Path of the file that keeps the network."""
        return self.folder / "networks" / f"{network.name}.pt"

    def cut(self, layer: str) -> Cut:
        """Names of what lies below and above a layer."""
        return split_at(fresh(self.make_model, self.seed), layer)

    def check_cut(self, layer: str, samples: Samples) -> None:
        """Raise if a module that is registered below a layer runs after one that is registered above."""
        model = fresh(self.make_model, self.seed).eval()
        cut = self.cut(layer)
        ran: list[str] = []
        side: dict[str, str] = {}
        for name, module in model.named_modules():
            own = {f"{name}.{p}" if name else p for p, _ in module.named_parameters(recurse=False)}
            if own:
                side[name] = "low" if own <= set(cut.low) else "high"
                module.register_forward_hook(lambda *_, name=name: ran.append(name))
        with torch.no_grad():
            by_name(model, samples.names)(*(x.to(device_of(model)) for x in samples.rows(0, 1)))
        first = next((i for i, name in enumerate(ran) if side[name] == "high"), len(ran))
        late = next((name for name in ran[first:] if side[name] == "low"), None)
        if late is not None:
            raise ValueError(
                f"layer {layer!r} does not part the network: {late!r} is registered below it and runs after "
                f"{ran[first]!r}, which is above. Register modules in the order in which they run, or cut elsewhere."
            )

    def get(self, network: GridNetwork) -> tuple[nn.Module, dict[str, Array]]:
        """A finished network in evaluation mode and the columns that came with it; trained if it is not there."""
        found = self._read(network)
        if found is not None:
            return found
        model, columns = self._trained(network)
        self.keep(network, model, columns)
        return model, columns

    def check(self, network: GridNetwork, model: nn.Module) -> None:
        """Raise unless a model has the parameters and buffers of a network."""
        wanted, given = ({n: t.shape for n, t in m.state_dict().items()} for m in (self._new(network), model))
        if wanted != given:
            differing = [name for name in {**wanted, **given} if wanted.get(name) != given.get(name)]
            raise ValueError(f"model must have the parameters and buffers of {network.name}; {differing} differ.")

    def keep(self, network: GridNetwork, model: nn.Module, columns: Mapping[str, Any]) -> None:
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

    def _read(self, network: GridNetwork) -> tuple[nn.Module, dict[str, Array]] | None:
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

    def _new(self, network: GridNetwork) -> nn.Module:
        """The network before training, whose high part is its own."""
        start = DONOR_SEED + network.low if network.kind == "donor" else HIGH_SEED + network.high
        return fresh(self.make_model, self.seed + start)

    def start(self, network: GridNetwork) -> nn.Module:
        """The network as its training begins: both parts put together."""
        model = self._new(network)
        if network.layer is None:
            return model
        cut = self.cut(network.layer)
        if network.kind == "trained low":
            copy_part(self.donor(network.low, network.levels), model, cut.low)
            return model
        low = network.high if network.is_copy else network.low
        if network.kind in ("trained both", "moved both"):  # of different donors, also on the diagonal
            copy_part(self.donor(low, network.levels), model, cut.low)
            copy_part(self.donor(network.levels + network.high, network.levels), model, cut.high)
            if network.is_copy:
                self._move(model, network)
            return model
        reinitialise(model, cut.low, self.make_model, self.seed + LOW_SEED + low)
        if network.kind == "trained high":
            copy_part(self.donor(network.high, network.levels), model, cut.high)
        if network.kind == "moved":
            self._move(model, network)
        return model

    def _move(self, model: nn.Module, copy: GridNetwork) -> None:
        """Multiply every parameter by 1 + size · normal."""
        generator = torch.Generator().manual_seed(self.seed + COPY_SEED + copy.levels * copy.high + copy.low)
        with torch.no_grad():
            for parameter in model.parameters():
                draw = torch.randn(parameter.shape, generator=generator, device="cpu")
                parameter.mul_(1 + copy.size * draw.to(parameter.device, parameter.dtype))

    def donor(self, number: int, levels: int) -> nn.Module:
        """A network whose trained parts others take."""
        return self.get(GridNetwork("donor", None, number, 0, levels))[0]

    def moved(self, network: GridNetwork, model: nn.Module) -> dict[str, float]:
        """How far training has moved the low and the high part, relative to their size when it began."""
        if network.layer is None:
            return {"low": float("nan"), "high": float("nan")}
        before, after, cut = self.start(network).state_dict(), model.state_dict(), self.cut(network.layer)
        return {"low": _distance(before, after, cut.low), "high": _distance(before, after, cut.high)}

    def _trained(self, network: GridNetwork) -> tuple[nn.Module, dict[str, Array]]:
        model = self.start(network)
        order = network.order_seed(self.seed)
        with torch.random.fork_rng():
            torch.manual_seed(order)
            returned = self.train(model, order, ())
        trained, columns = returned if isinstance(returned, tuple) else (returned, {})
        if not isinstance(trained, nn.Module) or not isinstance(columns, Mapping):
            raise TypeError(
                "train must return the trained torch.nn.Module, or a pair of it and a dict of columns; got "
                f"{type(returned).__name__}."
            )
        return trained.eval(), {name: _column(name, column).numpy() for name, column in columns.items()}


def _column(name: str, column: Any) -> Tensor:
    tensor = torch.as_tensor(np.asarray(column, dtype=np.float64), device="cpu")
    if tensor.ndim != 1:
        raise ValueError(f"train returned a column {name!r} of shape {tuple(tensor.shape)}; one number per sample.")
    return tensor


def _distance(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], names: Sequence[str]) -> float:
    both = [
        (before[name].detach().cpu().double().flatten(), after[name].detach().cpu().double().flatten())
        for name in names
        if before[name].is_floating_point()
    ]
    size = sum(float(a.square().sum()) for a, _ in both)
    moved = sum(float((b - a).square().sum()) for a, b in both)
    return (moved / size) ** 0.5 if size > 0 else float("nan")
