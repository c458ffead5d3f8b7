"""Models as libraries write them: outputs with fields, and inputs that are dictionaries of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

OutputField: TypeAlias = "str | int | None"


def check_output_field(output: Any) -> None:
    """Raise unless it is None, the name of a field or a position."""
    if output is not None and (isinstance(output, bool) or not isinstance(output, (str, int))):
        raise TypeError(f"output must be None, the name of a field or its position in a tuple; got {output!r}.")


def picked_output(returned: Any, field: OutputField) -> Any:
    """What a model is explained by: its tensor, the field that was named, or ``logits`` where there are some."""
    if field is None:
        logits = returned.get("logits") if isinstance(returned, Mapping) else getattr(returned, "logits", None)
        if isinstance(logits, Tensor) and not isinstance(returned, Tensor):
            return logits
        if isinstance(returned, (Mapping, tuple, list)):
            raise TypeError(
                f"forward_func must return a tensor or a number; got {_shown(returned)}. Say which part to "
                "explain by output=, a name or a position, or wrap the model, e.g. lambda x: model(x).logits."
            )
        return returned
    try:
        if isinstance(field, int):
            return returned[field]
        return returned[field] if isinstance(returned, Mapping) else getattr(returned, field)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"output={field!r} is no part of what forward_func returned: {_shown(returned)}.") from error


def _shown(returned: Any) -> str:
    kind = type(returned).__name__
    if isinstance(returned, Mapping):
        return f"{kind} with the fields {list(returned)}"
    if isinstance(returned, (tuple, list)):
        return f"{kind} of {len(returned)} parts ({', '.join(type(part).__name__ for part in returned[:4])})"
    return kind


def by_name(model: Callable[..., Any], names: tuple[str, ...] | None) -> Callable[..., Any]:
    """A model that takes its inputs by name, called by position; the model itself where there are no names."""
    if names is None:
        return model
    return lambda *inputs: model(**dict(zip(names, inputs, strict=True)))


class NamedCall(NamedTuple):
    """A call by name turned into one by position.

    Attributes:
        names: Of the tensors that hold players.
        inputs: These tensors.
        baselines: Theirs; None for zeros.
        feature_mask: Theirs; None for a player per element.
        further: What else is passed along.
        forward_func: Takes the inputs, then the further arguments.
    """

    names: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    baselines: tuple[Any, ...] | None
    feature_mask: tuple[Any, ...] | None
    further: tuple[Any, ...]
    forward_func: Callable[..., Any]


def named_call(
    forward_func: Callable[..., Any], inputs: Mapping[str, Any], baselines: Any, feature_mask: Any
) -> NamedCall:
    """Inputs by name, as tokenizers give them: players are in the tensors that a mask or a baseline names."""
    both = (("baselines", baselines), ("feature_mask", feature_mask))
    given = {name: part for name, part in both if part is not None}
    tensors = [name for name, value in inputs.items() if isinstance(value, Tensor)]
    named = [name for part in given.values() if isinstance(part, Mapping) for name in part]
    unknown = [name for name in named if name not in inputs]
    if unknown:
        raise ValueError(f"{' and '.join(given)} name {unknown}, but inputs has {list(inputs)}.")
    if not named and len(tensors) != 1:
        raise ValueError(
            f"inputs is a dict of the tensors {tensors}: name those that hold players, e.g. "
            f"feature_mask={{{(tensors or ['input_ids'])[0]!r}: mask}} or baselines={{…}}; the others are passed along."
        )
    names = tuple(name for name in inputs if name in named) or tuple(tensors)
    wrong = [name for name in names if name not in tensors]
    if wrong:
        raise TypeError(f"inputs[{wrong[0]!r}] must be a tensor; got {type(inputs[wrong[0]]).__name__}.")
    whole = [part for part, value in given.items() if not isinstance(value, Mapping)]
    if whole and len(names) > 1:
        raise ValueError(f"{whole[0]} must be a dict like inputs, with entries for {list(names)}.")
    rest = tuple(name for name in inputs if name not in names)
    return NamedCall(
        names,
        tuple(inputs[name] for name in names),
        _in_order(baselines, names),
        _masks(feature_mask, names, inputs),
        tuple(inputs[name] for name in rest),
        by_name(forward_func, (*names, *rest)),
    )


def _in_order(part: Any, names: tuple[str, ...]) -> tuple[Any, ...] | None:
    if part is None:
        return None
    return tuple(part.get(name) for name in names) if isinstance(part, Mapping) else (part,)


def _masks(part: Any, names: tuple[str, ...], inputs: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """A tensor without a mask of its own beside others with one: a player for each of its elements."""
    masks = _in_order(part, names)
    if masks is None or all(mask is not None for mask in masks):
        return masks
    start = 1 + max(int(torch.as_tensor(mask).max()) for mask in masks if mask is not None)
    found = []
    for name, mask in zip(names, masks, strict=True):
        if mask is None:
            count = inputs[name][0].numel()
            mask = torch.arange(start, start + count).view(1, *inputs[name].shape[1:])
            start += count
        found.append(mask)
    return tuple(found)
