"""Captum's ``InterpretableInput`` as players: text templates, image masks, and whatever users derive from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

_LONGEST_NAME = 60  # characters: a passage is called by how it begins


class InterpretableModel:
    """A model of one of Captum's interpretable inputs, as a function of which of its features are there.

    Give it to :class:`captum_andor.AndOrInteractions` in the model's place, with :attr:`inputs` as the inputs: features
    are the players, the baseline of 0 removes one as the interpretable input defines it.

    Args:
        forward_func (Callable): Takes what ``interpretable_input.to_model_input`` returns, e.g. a string, and returns
            the model's output: a number, or a tensor with a batch dimension of 1 or without one.
        interpretable_input (captum.attr.InterpretableInput): E.g. ``TextTemplateInput``, ``TextTokenInput``,
            ``ImageMaskInput``.
        in_batches (bool, optional): Give ``forward_func`` a list of such inputs and expect a tensor with one row for
            each, so that it can batch them. Default: False

    Attributes:
        inputs (Tensor): All features present: ones, shape ``(1, n)``.
        player_names (list of str): What the features are called, with numbers where names repeat.

    Raises:
        TypeError: If the input has no ``to_model_input``, or ``forward_func`` cannot be called.

    Examples::

        >>> from captum.attr import TextTemplateInput
        >>> from captum_andor import AndOrInteractions
        >>> text = TextTemplateInput("{} {} {}", values=["not", "a", "bad"])
        >>> game = InterpretableModel(lambda s: float("not" in s and "bad" in s), text)
        >>> model = AndOrInteractions(game).logical_model(game.inputs, player_names=game.player_names)
        >>> print(model.top(1)[0])
        AND {not, bad} +1
    """

    def __init__(self, forward_func: Callable[..., Any], interpretable_input: Any, in_batches: bool = False) -> None:
        if not callable(forward_func):
            raise TypeError(f"forward_func must be callable; got {type(forward_func).__name__}.")
        for name in ("to_tensor", "to_model_input", "n_itp_features"):
            if not hasattr(interpretable_input, name):
                raise TypeError(
                    "interpretable_input must be one of Captum's, e.g. captum.attr.TextTemplateInput; "
                    f"{type(interpretable_input).__name__} has no {name}."
                )
        self.forward_func = forward_func
        self.interpretable_input = interpretable_input
        self.in_batches = in_batches
        self.inputs = torch.ones(1, int(interpretable_input.n_itp_features))
        self.player_names = feature_names(interpretable_input)
        self.absent_in_words = absent_feature(interpretable_input)

    def __call__(self, present: Tensor) -> Tensor:
        """Outputs for some sets of features, ``(B, n)`` ones and zeros: shape ``(B, …)``."""
        original = self.interpretable_input.to_tensor()
        rows = [
            self.interpretable_input.to_model_input((original * row.to(original.device)).to(original.dtype))
            for row in present
        ]
        if self.in_batches:
            outputs = self.forward_func(rows)
            if not isinstance(outputs, Tensor) or len(outputs) != len(rows):
                got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
                raise ValueError(
                    f"forward_func must return a tensor with a row for each of {len(rows)} inputs; got {got}."
                )
            return outputs
        found = [torch.as_tensor(self.forward_func(row)) for row in rows]
        single = [output if output.ndim and len(output) == 1 else output[None] for output in found]
        return torch.cat(single)


def absent_feature(interpretable_input: Any) -> str:
    """What becomes of a feature that is absent, for prints and titles."""
    own = getattr(interpretable_input, "absent_in_words", None)
    baselines = getattr(interpretable_input, "baselines", None)
    if own is None and isinstance(baselines, (list, tuple)) and not any(map(bool, baselines)):
        return "left out of the text"
    return str(own or f"removed as {type(interpretable_input).__name__} does it")


def feature_names(interpretable_input: Any) -> list[str]:
    """What the features of one of Captum's interpretable inputs are called: each once, a group by its members."""
    count = int(interpretable_input.n_itp_features)
    values = [str(value) for value in getattr(interpretable_input, "values", None) or []]
    groups = getattr(interpretable_input, "formatted_mask", None)
    if groups is not None and len(groups) == len(values):
        values = [
            " … ".join(value for value, group in zip(values, groups, strict=True) if group == i) for i in range(count)
        ]
    if len(values) != count:
        values = [f"feature {i}" for i in range(count)]
    return numbered_names([shorten(value, _LONGEST_NAME, placeholder="…") or repr(value) for value in values])


def numbered_names(names: list[str]) -> list[str]:
    """Names of which those that repeat get a number: a (1), a (2)."""
    total, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return result
