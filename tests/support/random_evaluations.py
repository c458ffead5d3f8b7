"""Evaluations of the analyzer, drawn from a seed: right by an independent computation, or an error that names the argument."""

from __future__ import annotations

import copy
import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from random_calls import CPU
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from captum_andor import ConfusingSampleAnalyzer


class Drawn:
    """A call, drawn from a seed; about a third are spoilt."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.spoilt = self.random.random() < 0.3

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def one_of(self, *options: Any) -> Any:
        return self.random.choice(options)


def outcome(call: Callable[[], Any], names: str, seed: int) -> Any:
    """What a call returns; None for an error, which must name an argument."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except (TypeError, ValueError) as error:
        message = str(error)
    assert re.search(names, message), f"seed {seed}: {message}"
    return None


def analyzer_call(seed: int, device: torch.device = CPU, holds_float64: bool = True) -> bool:
    """Labels, losses, margins and v(N) of every form of data set and model, on a device."""
    drawn = Drawn(seed)
    n, features, classes = drawn.random.randint(4, 12), drawn.random.randint(2, 4), drawn.random.randint(2, 4)
    x, y = drawn.normal(n, features), torch.randint(0, classes, (n,), generator=drawn.generator)
    dtype = drawn.one_of(torch.float32, torch.float64) if holds_float64 else torch.float32
    linear = nn.Linear(features, classes, device="cpu", dtype=dtype).eval()
    x = x.to(dtype)
    with torch.no_grad():
        linear.weight.copy_(drawn.normal(classes, features))
        linear.bias.copy_(drawn.normal(classes))
    labels: Any = drawn.one_of(y, y.numpy(), y.tolist(), tuple(y.tolist()), y[:, None], pd.Series(y.numpy()), y.int())
    pairs, frame = TensorDataset(x, y), pd.DataFrame(x.numpy()).rename(columns=str)
    data: Any = drawn.one_of(
        (x, labels), (x.to(device), labels), (x.numpy(), labels), (frame, labels), [frame, labels], pairs, list(pairs),
        DataLoader(pairs, batch_size=3),
    )  # fmt: skip
    there = copy.deepcopy(linear).to(device)
    model: Any = drawn.one_of(
        there, there, lambda z: linear(z.cpu().to(dtype)), lambda z: {"logits": linear(z.cpu().to(dtype))}
    )
    if model is not there and drawn.one_of(False, True):
        model = lambda z: np.asarray(linear(z.cpu().to(dtype)).detach())  # noqa: E731
    options: dict[str, Any] = {"baselines": drawn.one_of(None, 0.5, [0, 1], x[:1])}
    if drawn.spoilt:
        what = drawn.random.randrange(6)
        if what == 0:
            data = DataLoader(TensorDataset(x, y), batch_size=3, sampler=range(1))
        elif what == 1:
            data = (x, drawn.one_of(y + classes, y[:-1], y.float(), ["a"] * n, nn.functional.one_hot(y, classes)))
        elif what == 2:
            options["baselines"] = drawn.one_of("a", torch.zeros(7, 7), [])
        elif what == 3:
            model = drawn.one_of(
                copy.deepcopy(there).train(),
                lambda z: torch.rand(len(z), classes, device="cpu"),
                lambda z: z[:, None, None],
            )
        elif what == 4:
            options |= drawn.one_of({"scores": ("bogus",)}, {"max_players": 0}, {"tolerance": 2}, {"output": 1.5})
        else:
            data = drawn.one_of((x, y, y), 3, [], (x[:0], y[:0]), [(x[0], y[0], y[0])])

    def call() -> Any:
        made = ConfusingSampleAnalyzer(**{"scores": ("net_order", "flip_rate"), **options})
        return made.add_model("m", model).evaluate(data, batch_size=drawn.one_of(2, 64))

    names = r"dataset|label|baselines|model|scores?\b|max_players|tolerance|output|inputs|loader"
    report = outcome(call, names, seed)
    if report is None:
        return False
    logits = linear(x).detach().double()
    scores = report.scores
    assert scores["label"].tolist() == y.tolist(), f"seed {seed}"
    own = logits.gather(1, y[:, None])[:, 0]
    others = torch.stack([torch.cat([row[:k], row[k + 1 :]]) for row, k in zip(logits, y, strict=True)])
    expected = {
        "loss": logits.logsumexp(1) - own,
        "margin": own - others.amax(1),
        "value": own - others.logsumexp(1),
        "confidence": logits.softmax(1).amax(1),
    }
    for name, column in expected.items():
        np.testing.assert_allclose(scores[name], column, rtol=1e-4, atol=1e-4, err_msg=f"seed {seed}")
    return True
