"""From a model's output to the scalar v(S): the field of the output, the target, the score.

Outputs may have fields and inputs may be dictionaries of tensors, as libraries write them. Scores are computed in
float64 from logits; class scores read dimension 1 of the output as the class axis.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor._utils.checks import is_int
from captum_andor._utils.devices import as_float64
from captum_andor.games.background import Background

ScoreName: TypeAlias = Literal["output", "log_odds", "log_prob", "prob"]
Score: TypeAlias = ScoreName | Callable[..., Tensor]
Target: TypeAlias = int | tuple[Any, ...] | Tensor | list[int] | list[tuple[Any, ...]] | np.ndarray[Any, Any] | None
MANY_ROWS = 64  # logits of one class that lie in [0, 1] by chance are rarely so many
OutputField: TypeAlias = "str | int | None"


def log_odds(logits: Tensor) -> Tensor:
    """Log-odds log p/(1-p) of every class: its logit less the log-sum-exp of all others.

    Args:
        logits (Tensor): Shape ``(N, K, …)`` with K ≥ 2 classes.

    Returns:
        - **scores** (*Tensor*): Same shape.

    Source: Chen et al. 2024, arXiv 2401.16318.
    """
    log_p = logits.log_softmax(1)
    # 1 - p cancels only where p > 1/2, that is at most at the largest class; there the others are summed directly.
    best = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, best, float("-inf")).logsumexp(1, keepdim=True)
    complement = torch.log(-torch.expm1(log_p))
    return (log_p - complement).scatter(1, best, logits.gather(1, best) - others)


_CLASS_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "log_odds": log_odds,
    "log_prob": lambda logits: logits.log_softmax(1),
    "prob": lambda logits: logits.softmax(1),
}


def check_score(score: Score) -> None:
    """Raise unless ``score`` is one of the named scores or a callable."""
    if callable(score):
        return
    names = ["output", *_CLASS_SCORES]
    if score not in names:
        raise ValueError(f"score must be one of {names} or a callable; got {score!r}.")


def standard_target(target: Target, n_examples: int) -> Target:
    """Bring a target to one of None, int, tuple, 1-D int64 tensor of N, or list of N tuples."""
    if target is None:
        return target
    if isinstance(target, tuple):
        _check_entries(target)
        return target
    if isinstance(target, list) and target and all(isinstance(entry, tuple) for entry in target):
        _check_length(len(target), n_examples)
        for entry in cast(list[tuple[Any, ...]], target):
            _check_entries(entry)
        return target
    if isinstance(target, (bool, np.bool_, str, float)):
        raise TypeError(f"target must be an integer class index; got {target!r}.")
    try:
        indices = target if isinstance(target, Tensor) else torch.as_tensor(target, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            "target must be None, an int, a tuple, a 1-D tensor or list of one int per example, or a list of tuples; "
            f"got {target!r}."
        ) from error
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise TypeError(f"target must hold integer class indices; got dtype {indices.dtype}. Use target.long().")
    if indices.numel() == 1:
        return int(indices)
    if indices.ndim != 1:
        raise ValueError(
            f"target must be one index or a 1-D tensor with one index per example ({n_examples}); got shape "
            f"{tuple(indices.shape)}. For outputs of more dimensions pass a tuple, or a list of tuples."
        )
    _check_length(len(indices), n_examples)
    return indices.long()


def repeat_target(target: Target, times: int) -> Target:
    """Tile a per-example target for ``times`` perturbations; a shared target stays as it is."""
    if isinstance(target, Tensor):
        return target.repeat(times)
    return target * times if isinstance(target, list) else target


def score_output(output: Tensor, target: Target, score: Score, classes_last: bool = False) -> Tensor:
    """Score a model output.

    Args:
        output (Tensor): Shape ``(N,)`` or ``(N, K, …)``, or 0-d for a model that returns one number per batch.
        target (optional): As :func:`standard_target` returns it.
        score: One of the named scores, or a callable ``f(output)``, whose result is then selected by ``target``, or
            ``f(output, target)``, whose result is v itself.
        classes_last (bool, optional): Whether the classes are the last axis, as of token classifiers, instead of
            dimension 1. Default: False

    Returns:
        - **v** (*Tensor*): float64, shape ``(N,)``, or ``(N, …)`` where the target leaves output axes.
    """
    output = as_float64(output)
    if callable(score):
        if _takes_target(score):
            values = _scored_with_target(score, output, target)
            if output.ndim and (values.ndim == 0 or len(values) != len(output)):
                raise ValueError(
                    f"score must return one value per row of the output, {len(output)} here; it returned shape "
                    f'{tuple(values.shape)}. A loss needs reduction="none".'
                )
            return values
        values = _scored(score, output)
        if values.ndim == 0 < output.ndim or values.shape[:1] != output.shape[:1]:
            raise ValueError(
                f"score must keep the rows of the output, of shape {tuple(output.shape)}; it returned shape "
                f"{tuple(values.shape)}."
            )
        return _select(values, target)
    if score == "output":
        return _select(output, target)
    if output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1):
        return _score_of_one_logit(output, target, score)
    if output.ndim < 2 or output.shape[1] < 2:
        raise ValueError(
            f"score={score!r} needs logits of at least two classes in dimension 1 of the output, or one logit a row; "
            f'got output shape {tuple(output.shape)}. For anything else use score="output".'
        )
    if classes_last:
        return _select(_CLASS_SCORES[score](output.movedim(-1, 1)).movedim(1, -1), target)
    return _select(_CLASS_SCORES[score](output), target)


def _score_of_one_logit(output: Tensor, target: Target, score: str) -> Tensor:
    """Of class 1 against class 0; without a target of class 1, in the shape of the output."""
    logits = torch.stack([torch.zeros_like(output.flatten()), output.flatten()], dim=1)
    if score == "log_odds":  # the logit itself, without the rounding of a sum over classes
        scores = torch.stack([-logits[:, 1], logits[:, 1]], dim=1)
    else:
        scores = _CLASS_SCORES[score](logits)
    return scores[:, 1].view(output.shape) if target is None else _select(scores, target)


def are_probabilities(output: Tensor) -> bool:
    """Whether class scores ``(N, C)`` look like probabilities: all in [0, 1], and rows of several that add up to 1.

    One column of few rows says nothing.
    """
    if not output.is_floating_point() or not bool(((output >= 0) & (output <= 1)).all()):
        return False
    if output.shape[1] == 1:
        return len(output) >= MANY_ROWS
    rounding = max(1e-5, 4 * torch.finfo(output.dtype).eps)
    return output.shape[1] > 1 and bool(((output.double().sum(1) - 1).abs() < rounding).all())


def _scored_with_target(score: Callable[..., Tensor], output: Tensor, target: Target) -> Tensor:
    """As given or, where a loss wants one class per row, an int repeated."""
    if isinstance(target, Tensor):
        return _scored(score, output, target.to(output.device))
    if not isinstance(target, int):
        return _scored(score, output, target)
    try:
        return _scored(score, output, target)
    except TypeError:
        if not output.ndim:
            raise
        return _scored(score, output, torch.full((len(output),), target, device=output.device))


def _scored(score: Callable[..., Tensor], *arguments: Any) -> Tensor:
    values = score(*arguments)
    if not isinstance(values, Tensor):
        raise TypeError(f"score must return a tensor; {score!r} returned {type(values).__name__}.")
    if values.is_complex():
        raise TypeError(f"score must return real values; {score!r} returned {values.dtype}. Take its .abs() or .real.")
    return values.double()


def _takes_target(score: Callable[..., Tensor]) -> bool:
    if isinstance(score, nn.Module):  # whose __call__ takes anything
        score = score.forward
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):  # builtins such as torch.sigmoid publish no signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
    return len(required) >= 2


def _check_entries(target: tuple[Any, ...]) -> None:
    """Entries of a tuple: integers, or slices, which keep an axis."""
    for entry in target:
        is_index = is_int(entry)
        is_one_number = isinstance(entry, Tensor) and entry.numel() == 1 and not entry.is_floating_point()
        if not (is_index or isinstance(entry, slice) or (is_one_number and entry.dtype != torch.bool)):
            raise TypeError(f"target must hold integers or slices, one per output axis; got {entry!r} in {target!r}.")


def _check_length(given: int, n_examples: int) -> None:
    if given != n_examples:
        raise ValueError(
            f"target has {given} entries for {n_examples} examples (rows of output); "
            "pass one entry per example, or one for all."
        )


def _select(output: Tensor, target: Target) -> Tensor:
    if target is None:
        return output
    rows = torch.arange(len(output), device=output.device) if output.ndim else None
    if isinstance(target, (Tensor, list)):
        _check_length(len(target), len(output) if output.ndim else 0)
    if isinstance(target, Tensor):
        _check_indices(output, [target])
        return output[rows, target.to(output.device)]
    if not isinstance(target, list):
        index = target if isinstance(target, tuple) else (target,)
        _check_indices(output, index)
        return output[(slice(None), *index)]
    entries = cast(list[tuple[Any, ...]], target)
    for entry in entries:
        _check_indices(output, entry)
    chosen = [output[(row, *entry)] for row, entry in enumerate(entries)]
    shapes = {tuple(part.shape) for part in chosen}
    if len(shapes) > 1:
        raise ValueError(f"target's slices must take equally much of every example's output; got {sorted(shapes)}.")
    return torch.stack(chosen)


def _check_indices(output: Tensor, index: Sequence[Any]) -> None:
    if len(index) > output.ndim - 1:
        raise ValueError(
            f"target has {len(index)} index(es), but the model's output of shape {tuple(output.shape)} has only "
            f"{max(output.ndim - 1, 0)} axes after the batch. Pass a shorter target, or target=None."
        )
    for axis, position in enumerate(index, start=1):
        if isinstance(position, slice):
            continue
        size = output.shape[axis]
        positions = position if isinstance(position, Tensor) else torch.as_tensor(position, device="cpu")
        if positions.numel() and not bool(((positions >= -size) & (positions < size)).all()):
            raise ValueError(
                f"target {position if positions.ndim == 0 else positions.tolist()} is out of range for axis {axis} "
                f"of the model's output, which has size {size} (shape {tuple(output.shape)})."
            )


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the largest other one: shape ``(N,)``."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def check_output_field(output: Any) -> None:
    """Raise unless it is None, the name of a field or a position."""
    if output is not None and (isinstance(output, bool) or not isinstance(output, (str, int))):
        raise TypeError(f"output must be None, the name of a field or its position in a tuple; got {output!r}.")


def picked_output(returned: Any, field: OutputField) -> Any:
    """What a model is explained by: its tensor, the field that was named, or ``logits`` where there are some.

    Arrays of numbers become tensors.
    """
    part = _part(returned, field)
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        return torch.from_numpy(np.array(part.astype(part.dtype.newbyteorder("="))))
    return part


def _part(returned: Any, field: OutputField) -> Any:
    if field is None:
        logits = returned.get("logits") if isinstance(returned, Mapping) else getattr(returned, "logits", None)
        if isinstance(logits, (Tensor, np.ndarray)) and not isinstance(returned, Tensor):
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


def method_to_pass(model: Any) -> str:
    """What to pass in the place of an estimator that cannot be called; empty where that is not known."""
    for method in ("predict_proba", "decision_function", "predict"):
        if callable(getattr(model, method, None)):
            return f" Pass its method, e.g. {type(model).__name__.lower()}.{method}."
    return ""


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
    baselines: Any
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
    whole = [part for part, value in given.items() if not isinstance(value, (Mapping, Background))]
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


def _in_order(part: Any, names: tuple[str, ...]) -> Any:
    if part is None:
        return None
    if isinstance(part, Background):
        return Background(part.parts)
    return tuple(part.get(name) for name in names) if isinstance(part, Mapping) else (part,)


def _masks(part: Any, names: tuple[str, ...], inputs: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """A tensor without a mask of its own beside others with one: a player for each of its elements."""
    masks: tuple[Any, ...] | None = _in_order(part, names)
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
