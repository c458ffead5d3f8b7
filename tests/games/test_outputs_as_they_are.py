"""What models return, as it is: arrays, probabilities of one class, logits of tokens; tokens that are no players."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer
from captum_andor.games.masks import words


@dataclass
class Answer:
    """As transformers return it."""

    logits: Tensor


def network(x: Tensor) -> Tensor:
    return 3 * (x[:, 0] * x[:, 1] - x[:, 2:].sum(1)).tanh()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.dtype(">f8"), np.int64])
def test_arrays_are_answers(dtype: np.dtype) -> None:
    x = torch.ones(2, 5, dtype=torch.float64)
    answers = AndOrInteractions(lambda z: (10 * network(z).numpy()).astype(dtype)).attribute(x)
    expected = AndOrInteractions(
        lambda z: torch.from_numpy((10 * network(z).numpy()).astype(dtype).astype(float))
    ).attribute(x)
    torch.testing.assert_close(answers.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("score", ["log_odds", "log_prob", "prob"])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("budget", [None, 64])
def test_a_sigmoid_read_as_a_logit_is_warned_of(score: str, column: bool, budget: int | None) -> None:
    x = torch.ones(1, 7, dtype=torch.float64)

    def sigmoid(z: Tensor) -> Tensor:
        p = network(z).sigmoid()
        return p[:, None] if column else p

    method = AndOrInteractions(sigmoid, score=score)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="seems to return probabilities of one class.*Leave out the last sigmoid"):
        method.attribute(x, budget=budget)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AndOrInteractions(network, score=score).attribute(x, budget=budget)  # type: ignore[arg-type]
        AndOrInteractions(sigmoid).attribute(x, budget=budget)
        AndOrInteractions(lambda z: torch.full((len(z),), 0.5), score=score).attribute(x)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", ["log_odds", "log_prob", "prob"])
def test_classes_of_tokens_are_the_last_axis(score: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)  # four inputs, five tokens, three classes

    def logits(z: Tensor) -> Tensor:
        return torch.einsum("bi,itc->btc", z.double(), weights).tanh()

    x = torch.ones(1, 4)
    found = AndOrInteractions(lambda z: Answer(logits(z)), score=score).attribute(x, target=(2, 1))  # type: ignore[arg-type]
    expected = AndOrInteractions(lambda z: logits(z)[:, 2], score=score).attribute(x, target=1)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)
    every = AndOrInteractions(lambda z: Answer(logits(z)), score=score).interactions(x, split="and")  # type: ignore[arg-type]
    assert every.shape == (1, 5, 3)


def test_special_tokens_and_padding_are_no_players() -> None:
    mask = words([None, 0, 0, 1, None, None])
    tokens = torch.tensor([[101, 7, 8, 9, 102, 0]])
    seen = []
    method = AndOrInteractions(lambda z: seen.append(z) or z.double().sum(1))
    found = method.logical_model(tokens, baselines=103, feature_mask=mask)
    assert found.feature_ids == (0, 1)
    assert {(int(row[0]), int(row[4]), int(row[5])) for batch in seen for row in batch} == {(101, 102, 0)}


@pytest.mark.filterwarnings("ignore:dataset has names")
def test_the_analyzer_checks_arrays_as_it_checks_tensors() -> None:
    x = torch.rand(6, 3)
    four = torch.rand(3, 4)

    def arrays(z: Tensor) -> np.ndarray:
        return (z @ four).numpy()

    def random_ones(z: Tensor) -> np.ndarray:
        return torch.rand(len(z), 2).numpy()

    analyzer = ConfusingSampleAnalyzer().add_model("m", arrays)
    with pytest.raises(ValueError, match=r"2 names, \['a', 'b'\], and model 'm' has 4 classes"):
        analyzer.evaluate((x, ["a", "b"] * 3))
    with pytest.raises(ValueError, match="label 4 of sample 0 is outside the 4 classes"):
        analyzer.evaluate((x, [4] * 6))
    with pytest.raises((ValueError, RuntimeError), match="'r'"):
        ConfusingSampleAnalyzer().add_model("r", random_ones).evaluate((x, [0, 1] * 3))
