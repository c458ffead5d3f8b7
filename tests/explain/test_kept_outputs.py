"""All outputs of one pass, explained for several targets and scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions

TARGETS: list[Any] = [None, 1, torch.tensor([2, 0, 1]), [2, 0, 1], (1,), [(0,), (1,), (2,)]]


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        self.rows = 0

    def forward(self, x: Tensor) -> Any:
        self.rows += len(x)
        return self.net(x)


X = torch.rand(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("score", ["output", "log_odds", "prob", lambda z: z**2, nn.CrossEntropyLoss(reduction="none")])
@pytest.mark.parametrize("target", TARGETS)
def test_any_target_and_score_is_that_of_a_pass_of_its_own(score: Any, target: Any) -> None:
    if isinstance(score, nn.Module):
        target = torch.tensor([2, 0, 1])
    model = Counted()
    kept = AndOrInteractions(model, check_repeats=False).outputs(X, baselines=0.5)
    assert model.rows == 3 * 32
    own = AndOrInteractions(kept.forward_func, score=score)
    alone = AndOrInteractions(model.net, score=score).interactions(X, 0.5, target)
    ex = own.interactions(X, 0.5, target)
    for name in ("values", "and_values", "or_values"):
        torch.testing.assert_close(getattr(ex, name), getattr(alone, name), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own.attribute(X, 0.5, target), alone.attributions())
    assert own.logical_model(X, 0.5, target).shape == alone.shape and model.rows == 3 * 32


def test_the_method_has_the_score_and_the_part_of_the_output_of_its_maker() -> None:
    net = Counted().net
    method = AndOrInteractions(lambda x: {"other": x, "scores": net(x)}, score="log_odds", output="scores")
    kept = method.outputs(X)
    torch.testing.assert_close(kept.attribute(X, target=1), method.attribute(X, target=1))
    estimate = kept.estimate(X, target=1, budget=32)  # any coalition is there
    torch.testing.assert_close(estimate.attributions(), method.attribute(X, target=1))


def test_named_inputs_and_further_arguments_are_looked_up_too() -> None:
    def model(tokens: Tensor, mask: Tensor) -> Tensor:
        return (tokens * mask).float().cumsum(1)

    inputs = {"tokens": torch.tensor([[1, 2, 3]]), "mask": torch.ones(1, 3, dtype=torch.long)}
    by_name = {"feature_mask": {"tokens": torch.arange(3)[None]}}
    method = AndOrInteractions(model)
    kept = method.outputs(inputs, **by_name)
    found, expected = (m.attribute(inputs, target=2, **by_name) for m in (kept, method))
    torch.testing.assert_close(found["tokens"], expected["tokens"])


def test_what_was_not_kept_is_an_error_and_not_a_pass() -> None:
    kept = AndOrInteractions(Counted()).outputs(X)
    for call in (lambda: kept.attribute(X + 1), lambda: kept.attribute(X, baselines=0.5)):
        with pytest.raises(ValueError, match="masked inputs were not kept"):
            call()
    with pytest.raises(ValueError, match="target 3 is out of range"):
        kept.interactions(X, target=3)
    with pytest.raises(ValueError, match="one for the whole batch"):
        AndOrInteractions(lambda x: x.sum()).outputs(X)
