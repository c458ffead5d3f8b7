"""Held-out losses: each sample is judged by the networks that were not trained on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from captum_andor.studies import held_out_losses

INPUTS = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(30) % 3


class Counts(nn.Module):
    """A network that knows which samples it was trained on: certain of those, indifferent of the others."""

    def __init__(self, inputs, labels):
        super().__init__()
        self.known = {tuple(x.tolist()): int(y) for x, y in zip(inputs, labels, strict=True)}

    def forward(self, x):
        logits = torch.zeros(len(x), 3)
        for row, sample in enumerate(x):
            label = self.known.get(tuple(sample.tolist()))
            if label is not None:
                logits[row, label] = 5.0
        return logits


def fit(inputs, labels, seed):
    return Counts(inputs, labels).eval()


@pytest.mark.parametrize("repeats", [1, 3])
def test_each_sample_is_left_out_once_a_repeat(repeats) -> None:
    sizes = []

    def counted(inputs, labels, seed):
        sizes.append((len(inputs), seed))
        return fit(inputs, labels, seed)

    table = held_out_losses(counted, (INPUTS, LABELS), folds=4, repeats=repeats)
    sure = np.exp(5) / (np.exp(5) + 2)
    assert table["held_out_loss"].to_numpy() == pytest.approx(np.log(3))
    assert table["fitted_loss"].to_numpy() == pytest.approx(-np.log(sure))
    assert table["memorization"].to_numpy() == pytest.approx(sure - 1 / 3)
    assert sorted(size for size, _ in sizes) == sorted([22, 22, 23, 23] * repeats)
    assert [seed for _, seed in sizes] == list(range(4 * repeats))


def test_the_seed_divides_the_data() -> None:
    def of_mean(inputs, labels, seed):
        model = nn.Linear(2, 3).eval()
        with torch.no_grad():
            model.weight.zero_()
            model.bias.copy_(torch.bincount(labels, minlength=3).float())
        return model

    one, two, three = (held_out_losses(of_mean, (INPUTS, LABELS), folds=4, seed=seed) for seed in (0, 0, 1))
    assert one.equals(two) and not one.equals(three)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"folds": 1}, ValueError, "folds must be 2 to 30"),
        ({"folds": 31}, ValueError, "folds must be 2 to 30"),
        ({"repeats": 0}, ValueError, "repeats"),
        ({"fit": lambda x, y, s: "no"}, TypeError, "fit must return"),
        ({"fit": lambda x, y, s: nn.Linear(2, 3)}, ValueError, "evaluation mode"),
        ({"fit": lambda x, y, s: nn.Linear(2, 2).eval()}, ValueError, r"logits \(N, C\)"),
    ],
)
def test_bad_input(options, error, match) -> None:
    settings = {"fit": fit, "dataset": (INPUTS, LABELS), **options}
    with pytest.raises(error, match=match):
        held_out_losses(**settings)
