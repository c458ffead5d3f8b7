"""Calls at random: equal to brute force, or an error that names the argument. No third outcome.

Inputs are tensors, arrays, frames or a dict, of any dtype; the model is on a device of one's choosing, a method of a
module or a function, and answers there, on the CPU or as an array.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import pandas as pd
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions

NAMES = r"inputs|baselines|target|feature_mask|score|perturbations_per_eval|additional_forward_args|max_players|forward_func"
DTYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.bool)


CPU = torch.device("cpu")


class Weights(nn.Module):
    """Parameters that say where the model is and how precise it is."""

    def __init__(self, forward: Callable[..., Any], dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=dtype, device="cpu").to(device))
        self.answer = forward

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """What the function answers."""
        return self.answer(*inputs, **named)


class Call:
    """One call of ``attribute``, drawn from a seed; about a third of them are wrong somewhere.

    Args:
        seed: Of everything.
        device: That holds inputs and model.
        holds_float64: Whether it does; else inputs and the model's arithmetic are single.
    """

    def __init__(self, seed: int, device: torch.device = CPU, holds_float64: bool = True) -> None:
        self.random = random.Random(seed)
        self.device, self.holds_float64 = device, holds_float64
        self.generator = torch.Generator().manual_seed(seed)
        self.n_examples = self.random.randint(1, 3)
        self.is_tuple = self.random.random() < 0.3
        shapes = [(self.random.randint(1, 3),) * self.random.randint(1, 2) for _ in range(2 if self.is_tuple else 1)]
        self.inputs = tuple(self.values((self.n_examples, *shape)) for shape in shapes)
        self.baselines = tuple(self.baseline(x) for x in self.inputs)
        self.masks = (
            tuple(self.mask(x, start) for start, x in enumerate(self.inputs)) if self.random.random() < 0.8 else None
        )
        self.n_outputs = self.random.choice([None, 1, 3])
        self.target = self.draw_target()
        self.score = self.random.choice(["output", "output", "log_odds", "prob"])
        self.perturbations = self.random.choice([None, None, 1, 2, 7])
        self.weights = [
            torch.randn(x[0].numel(), self.n_outputs or 1, generator=self.generator).double() for x in self.inputs
        ]
        self.kind = self.random.choice(["tensor", "tensor", "array", "frame", "dict"])
        if self.kind == "frame" and (self.is_tuple or self.inputs[0].ndim != 2):
            self.kind = "array"
        self.is_module = device != CPU or self.random.random() < 0.3
        self.answers = self.random.choice(["there", "there", "on the CPU", "as an array"])
        self.budget = self.random.choice([None, None, 64])  # of all coalitions, or nearly
        self.beside = self.random.choice([CPU, device])  # where baselines, targets and masks are
        self.is_single = self.is_module and not (holds_float64 and self.random.random() < 0.5)
        self.inputs = tuple(map(self.as_the_model_sees, self.inputs))
        if self.random.random() < 0.3:
            self.spoil()

    def as_the_model_sees(self, x: Tensor) -> Tensor:
        """What an input is in the model: columns of a frame float, and what floats has the dtype of parameters."""
        if self.kind != "frame" and not x.is_floating_point():
            return x
        if self.is_module:
            return x.to(torch.float32 if self.is_single else torch.float64)
        return x.double() if self.kind == "frame" else x

    def values(self, shape: tuple[int, ...]) -> Tensor:
        dtype = self.random.choice(DTYPES)
        single = dtype == torch.float64 and not self.holds_float64
        return (3 * torch.randn(shape, generator=self.generator)).to(torch.float32 if single else dtype)

    def baseline(self, x: Tensor) -> Any:
        kind = self.random.choice(["none", "number", "row", "whole", "array"])
        if kind == "none":
            return None
        if kind == "number":
            return self.random.choice([0, 1, -2, True])
        part = x[:1] if kind != "whole" else x
        tensor = torch.randint(-2, 3, part.shape, generator=self.generator).to(x.dtype)
        return tensor.numpy() if kind == "array" else tensor

    def mask(self, x: Tensor, start: int) -> Tensor:
        rows = self.random.choice([1, self.n_examples])
        ids = torch.randint(0, 3, (rows, *x.shape[1:]), generator=self.generator)
        return ids - 7 * start if self.random.random() < 0.5 else ids

    def draw_target(self) -> Any:
        if self.n_outputs is None:
            return None
        one = self.random.randrange(self.n_outputs)
        return self.random.choice(
            [one, None, [one] * self.n_examples, torch.full((self.n_examples,), one), (one,), np.int64(one)]
        )

    def spoil(self) -> None:
        what = self.random.randrange(6)
        if what == 0:
            self.baselines = (0.5, *self.baselines[1:])
        elif what == 1:
            self.target = self.random.choice([9, "a", 1.5, (None,), [0] * (self.n_examples + 1), (0, 0, 0, 0)])
        elif what == 2:
            self.masks = (torch.zeros(1, 5, 5, 5, dtype=torch.int64), *(self.masks or self.inputs)[1:])
        elif what == 3:
            self.perturbations = self.random.choice([0, -1, 1.5, True])
        elif what == 4:
            self.baselines = (torch.zeros(7, 7), *self.baselines[1:])
        else:
            self.score = self.random.choice(["bogus", lambda out: out.sum(), lambda out: "a"])

    def model(self, *inputs: Tensor) -> Tensor:
        parts = [x.reshape(len(x), -1).double() @ w for x, w in zip(inputs, self.weights, strict=True)]
        output = torch.tanh(sum(parts)) + 0.1 * sum(parts) ** 2
        return output[:, 0] if self.n_outputs is None else output

    def answer(self, *inputs: Tensor, **named: Tensor) -> Any:
        """The model's answer, from inputs that must be where it is."""
        inputs += tuple(named.values())
        for x in inputs:
            assert x.device.type == self.device.type, "the model got inputs on another device"
        output = self.model(*(x.cpu() for x in inputs))
        if self.answers == "as an array":
            return output.numpy()
        return output if self.answers == "on the CPU" else output.to(self.dtype_there).to(self.device)

    @property
    def dtype_there(self) -> torch.dtype:
        return torch.float64 if self.holds_float64 else torch.float32

    def handed(self, x: Tensor) -> Any:
        """A part of the inputs as a user may have it."""
        if self.kind == "array":
            return x.numpy()
        return pd.DataFrame(x.numpy()) if self.kind == "frame" else x.to(self.device)

    def run(self) -> Any:
        names = [f"part_{i}" for i in range(len(self.inputs))]

        def wrap(parts: Any, by_name: bool = False) -> Any:
            if by_name and self.kind == "dict":
                return dict(zip(names, parts, strict=True))
            return parts if self.is_tuple else parts[0]

        dtype = torch.float32 if self.is_single else torch.float64
        model = Weights(self.answer, dtype, self.device) if self.is_module else self.answer

        def there(parts: Any) -> Any:
            if isinstance(parts, tuple):
                return tuple(map(there, parts))
            single = isinstance(parts, Tensor) and parts.dtype == torch.float64 and not self.holds_float64
            return (parts.float() if single else parts).to(self.beside) if isinstance(parts, Tensor) else parts

        method = AndOrInteractions(model, score=self.score)
        # A dict names the parts that hold players: all of them, here.
        by_name = self.kind == "dict"
        masks = self.masks or (self.own_players() if by_name else None)
        return method.attribute(
            wrap(tuple(map(self.handed, self.inputs)), True), wrap(there(self.baselines), by_name), there(self.target),
            None, None if masks is None else wrap(there(masks), by_name), perturbations_per_eval=self.perturbations,
            budget=self.budget,
        )  # fmt: skip

    def expected(self) -> tuple[Tensor, ...]:
        """Shapley values by the definition, from masked inputs made one element at a time."""
        masks = self.masks or self.own_players()
        masks = tuple(m.expand(self.n_examples, *x.shape[1:]) for m, x in zip(masks, self.inputs, strict=True))
        ids = sorted({int(i) for m in masks for i in m.flatten() if i >= 0})  # a negative id is no player
        outputs = []
        for code in range(2 ** len(ids)):
            kept = torch.tensor([ids[i] for i in range(len(ids)) if code >> i & 1])
            outputs.append(
                self.scored(
                    self.model(
                        *(
                            self.masked(x, b, m, kept)
                            for x, b, m in zip(self.inputs, self.baselines, masks, strict=True)
                        )
                    )
                )
            )
        values = torch.stack(outputs, dim=-1)
        shapley = torch.stack([oracles.shapley_values(v) for v in values.reshape(-1, values.shape[-1])])
        shapley = shapley.view(*values.shape[:-1], len(ids))
        shapley = torch.cat([shapley, torch.zeros_like(shapley[..., :1])], dim=-1)
        places = [
            torch.tensor([ids.index(int(i)) if i >= 0 else len(ids) for i in m.flatten()]).view(m.shape) for m in masks
        ]
        return tuple(
            torch.stack(
                [
                    shapley[i][..., place[i].flatten()].view(*shapley.shape[1:-1], *place.shape[1:])
                    for i in range(self.n_examples)
                ]
            )
            for place in places
        )

    def own_players(self) -> tuple[Tensor, ...]:
        sizes = [x[0].numel() for x in self.inputs]
        starts = np.cumsum([0, *sizes])
        return tuple(
            torch.arange(s, s + k).view(1, *x.shape[1:]) for s, k, x in zip(starts, sizes, self.inputs, strict=False)
        )

    @staticmethod
    def masked(x: Tensor, baseline: Any, mask: Tensor, kept: Tensor) -> Tensor:
        given = torch.zeros((), dtype=x.dtype) if baseline is None else torch.as_tensor(baseline).to(x.dtype)
        return torch.where(torch.isin(mask, kept) | (mask < 0), x, given.expand(x.shape))

    def scored(self, output: Tensor) -> Tensor:
        shape = output.shape
        one_logit = self.score != "output" and (output.ndim == 1 or shape[1] == 1)
        if one_logit:  # of class 1 against class 0
            output = torch.stack([torch.zeros_like(output.flatten()), output.flatten()], dim=1)
        if self.score == "prob":
            output = output.softmax(1)
        elif self.score == "log_odds":
            others = [
                torch.cat([output[:, :c], output[:, c + 1 :]], dim=1).logsumexp(1) for c in range(output.shape[1])
            ]
            output = output - torch.stack(others, dim=1)
        if self.target is None:
            return output[:, 1].view(shape) if one_logit else output
        target = self.target[0] if isinstance(self.target, (tuple, list)) else self.target
        target = int(target[0]) if isinstance(target, Tensor) and target.ndim else int(target)
        return output[:, target]


def check(seed: int, device: torch.device = CPU, holds_float64: bool = True) -> bool:
    """Whether a call gave a result."""
    call = Call(seed, device, holds_float64)
    n_players = (
        len({int(i) for m in call.masks or () for i in m.flatten() if i >= 0})
        if call.masks
        else sum(x[0].numel() for x in call.inputs)
    )
    if n_players > 6:  # brute force over all orders of arrival
        return False
    found, message = None, ""
    try:
        found = call.run()
    except (TypeError, ValueError) as error:
        message = str(error)
    if found is None:
        assert re.search(NAMES, message), f"seed {seed}: {message}"
        return False
    if call.kind == "dict":
        found = tuple(found.values())
    parts = found if isinstance(found, tuple) else (found,)
    for part, expected in zip(parts, call.expected(), strict=True):
        assert part.shape == expected.shape and part.device.type == device.type, f"seed {seed}"
        part, rtol, atol = part.cpu(), *((1e-6, 1e-9) if holds_float64 else (1e-4, 1e-4))
        assert torch.allclose(part.double(), expected, rtol=rtol, atol=atol), f"seed {seed}"
    return True
