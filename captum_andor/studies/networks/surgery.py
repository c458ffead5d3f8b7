"""Surgery on networks: cut in two at a layer; copy, re-initialise or rewind a part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from captum_andor._utils.running import device_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cut", "copy_part", "criticality", "reinitialise", "split_at"]


class Cut(NamedTuple):
    """Names of parameters and buffers on both sides of a cut, as in ``state_dict``."""

    low: tuple[str, ...]
    high: tuple[str, ...]


def split_at(model: nn.Module, layer: str) -> Cut:
    """Cut a model in two before a layer.

    Args:
        model (torch.nn.Module): Its modules must be registered in the order in which they are used, as those of
            ``nn.Sequential`` and of torchvision's ResNet, VGG and ViT are.
        layer (str): Name of the first module of the high part, as in ``named_modules``.

    Returns:
        - **cut** (*Cut*): What is registered before the layer, and the layer with all behind it.

    Raises:
        ValueError: If there is no such module, a part is without parameters, or a tensor stands on both sides.

    Examples::

        >>> split_at(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), "2").low
        ('0.weight', '0.bias')
    """
    modules = [name for name, _ in model.named_modules() if name]
    if layer not in modules:
        raise ValueError(f"layer {layer!r} is no module of the model; it has {modules}.")
    names = list(_tensors(model))
    behind = set(modules[modules.index(layer) :])
    first = next((i for i, name in enumerate(names) if name.rpartition(".")[0] in behind), len(names))
    cut = Cut(tuple(names[:first]), tuple(names[first:]))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for side, part in zip(("below", "from"), cut, strict=True):
        if not any(name in parameters for name in part):
            raise ValueError(f"there are no parameters {side} layer {layer!r}; cut elsewhere.")
    tensors = _tensors(model)
    low = {id(tensors[name]): name for name in cut.low}
    tied = [(low[id(tensors[name])], name) for name in cut.high if id(tensors[name]) in low]
    if tied:
        raise ValueError(
            f"layer {layer!r} cuts through tied weights or statistics {tied}; cut where both are on one side."
        )
    return cut


def copy_part(source: nn.Module, target: nn.Module, names: Iterable[str]) -> None:
    """Copy some parameters and buffers from one model into another, and nothing else.

    Args:
        source (torch.nn.Module): Where they come from.
        target (torch.nn.Module): Where they go, in place.
        names (iterable of str): Which, as :func:`split_at` names them.

    Raises:
        ValueError: If a name lacks in a model, or shapes or dtypes differ.
        RuntimeError: If something else changed with them, e.g. a tied weight.

    Examples::

        >>> a, b = (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) for _ in range(2))
        >>> copy_part(a, b, split_at(a, "1").low)
        >>> torch.equal(a[0].weight, b[0].weight), torch.equal(a[1].weight, b[1].weight)
        (True, False)
    """
    names = list(names)
    ours, theirs = _tensors(target), _tensors(source)
    for name in names:
        if name not in ours or name not in theirs:
            where = "target" if name not in ours else "source"
            raise ValueError(f"{name!r} is no parameter or buffer of the {where}.")
        have, given = ours[name], theirs[name]
        if have.shape != given.shape or have.dtype != given.dtype:
            raise ValueError(
                f"{name!r} is {given.dtype} {tuple(given.shape)} in the source and {have.dtype} {tuple(have.shape)} in "
                "the target."
            )
    others = {name: tensor.detach().clone() for name, tensor in ours.items() if name not in set(names)}
    with torch.no_grad():
        for name in names:
            ours[name].copy_(theirs[name])
    changed = [name for name, before in others.items() if not _same(before, ours[name])]
    if changed:
        raise RuntimeError(f"with what was copied {changed} changed, too: they share memory with it.")


def reinitialise(model: nn.Module, names: Iterable[str], make_model: Callable[[int], nn.Module], seed: int) -> None:
    """Give a part of a model the values that a new model of some seed starts with.

    Args:
        model (torch.nn.Module): Changed in place.
        names (iterable of str): Which parameters and buffers, as :func:`split_at` names them.
        make_model (Callable): Makes a model of the same shapes from a seed.
        seed (int): Of the new values. The global generators are put back afterwards.

    Raises:
        ValueError: As :func:`copy_part`.

    Examples::

        >>> model = nn.Linear(2, 3)
        >>> reinitialise(model, ["bias"], lambda seed: nn.Linear(2, 3), seed=1)
        >>> before = model.bias.clone()
        >>> reinitialise(model, ["bias"], lambda seed: nn.Linear(2, 3), seed=1)
        >>> torch.equal(model.bias, before)
        True
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh = make_model(seed)
    copy_part(fresh, model, names)


def criticality(
    model: nn.Module,
    initial: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    parts: dict[str, Sequence[str]] | None = None,
    recalibrate: bool = True,
) -> pd.DataFrame:
    """Accuracy after each part alone is rewound to its initialisation, without training.

    Args:
        model (torch.nn.Module): The trained model; it is not changed.
        initial (torch.nn.Module): The same model before training.
        loader (iterable): Batches ``(inputs, labels)``, read several times.
        parts (dict, optional): Names of parameters and buffers by name of the part. Default: None (every module that
            has parameters of its own)
        recalibrate (bool, optional): Estimate the statistics of batch norms anew on the loader's inputs. Default: True

    Returns:
        - **table** (*pandas.DataFrame*): ``part``, ``parameters`` (their number), ``accuracy`` and ``drop`` against
          the trained model, which is the first row.

    Raises:
        ValueError: As :func:`copy_part`, and if the loader is empty.

    Examples::

        >>> start, trained = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> inputs = torch.rand(8, 2)
        >>> criticality(trained, start, [(inputs, trained(inputs).argmax(1))])["accuracy"].iloc[0].item()
        1.0

    Source: Zhang, Bengio and Singer 2019, arXiv 1902.01996; the recalibration is of this package.
    """
    import pandas as pd

    if parts is None:
        parts = {
            name or "the model": [_joined(name, own) for own in _own(module)]
            for name, module in model.named_modules()
            if next(module.parameters(recurse=False), None) is not None
        }
    sizes = {name: p.numel() for name, p in model.named_parameters(remove_duplicate=False)}
    trained = accuracy(model, loader)
    rows: list[tuple[str, int, float]] = [("trained", sum(p.numel() for p in model.parameters()), trained)]
    for part, names in parts.items():
        rewound = copy.deepcopy(model)
        copy_part(initial, rewound, names)
        if recalibrate:
            _recalibrate(rewound, loader)
        rows.append((part, sum(sizes.get(name, 0) for name in names), accuracy(rewound, loader)))
    table = pd.DataFrame(rows, columns=["part", "parameters", "accuracy"])
    return table.assign(drop=trained - table["accuracy"])


@torch.no_grad()
def accuracy(model: nn.Module, loader: Iterable[tuple[Any, Tensor]]) -> float:
    """Share of samples whose largest output is their label; inputs go to the model's device."""
    model = copy.deepcopy(model).eval()
    right, count = 0, 0
    for inputs, labels in loader:
        right += int((model(*_on_device(model, inputs)).argmax(1).cpu() == labels.cpu()).sum())
        count += len(labels)
    if not count:
        raise ValueError("loader has no samples; it must be read several times, so pass a list or a DataLoader.")
    return right / count


@torch.no_grad()
def _recalibrate(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Statistics of batch norms as means over the batches of the loader."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return
    model.eval()
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
        module.train()
    for inputs, _ in loader:
        model(*_on_device(model, inputs))
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
        module.eval()


def _on_device(model: nn.Module, inputs: Any) -> list[Tensor]:
    device = device_of(model)
    return [x if device is None else x.to(device) for x in (inputs if isinstance(inputs, (tuple, list)) else (inputs,))]


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, in the order of modules."""
    found = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if isinstance(tensor, Tensor)}
    lazy = [name for name, tensor in found.items() if is_lazy(tensor)]
    if lazy:
        raise ValueError(f"{lazy} have no shape before the first call of the model; call it once on a batch.")
    return found


def _own(module: nn.Module) -> list[str]:
    """Names of the parameters and buffers of a module itself."""
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return [name for name, _ in tensors]


def _joined(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())
