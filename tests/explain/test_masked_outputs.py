"""All outputs of one pass, explained for several targets and scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions, MaskedOutputs

TARGETS: list[Any] = [None, 1, torch.tensor([2, 0, 1]), [2, 0, 1], (1,), [(0,), (1,), (2,)]]


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
        self.rows = 0

    def forward(self, x: Tensor) -> Any:
        self.rows += len(x)
        return self.net(x)


X = torch.rand(3, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("score", ["output", "log_odds", "prob", lambda z: z**2, nn.CrossEntropyLoss(reduction="none")])
@pytest.mark.parametrize("target", TARGETS)
def test_any_target_and_score_is_that_of_a_pass_of_its_own(score: Any, target: Any) -> None:
    if isinstance(score, nn.Module):
        target = torch.tensor([2, 0, 1])
    model = Counted()
    kept = AndOrInteractions(model, score=score, check_repeats=False).outputs(X, baselines=0.5)
    assert model.rows == 3 * 32
    alone = AndOrInteractions(model.net, score=score).interactions(X, 0.5, target)
    ex = kept.interactions(target)
    for name in ("values", "and_values", "or_values"):
        torch.testing.assert_close(getattr(ex, name), getattr(alone, name), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(kept.attribute(target), alone.attributions())
    assert kept.logical_model(target).shape == alone.shape and model.rows == 3 * 32
    torch.testing.assert_close(ex.attributions(), alone.attributions())


def test_a_call_may_take_another_score() -> None:
    kept = AndOrInteractions(Counted(), score="log_odds").outputs(X)
    assert torch.equal(kept.values(1), kept.values(1, "log_odds")) and not torch.equal(
        kept.values(1), kept.values(1, "prob")
    )
    assert repr(kept) == "MaskedOutputs of 3 × 3 outputs, 5 players, score='log_odds'"
    assert isinstance(kept, MaskedOutputs) and kept.feature_ids == (0, 1, 2, 3, 4)


def test_many_rows_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = AndOrInteractions(Counted()).outputs(X)
    whole = kept.values([2, 0, 1], "log_prob")
    monkeypatch.setattr("captum_andor.explain.masked_outputs._ROWS", 7)
    assert torch.equal(kept.values([2, 0, 1], "log_prob"), whole)


@pytest.mark.parametrize("form", [lambda z: z.sum(), lambda z: z.sum(0)])
def test_values_of_the_whole_batch(form: Any) -> None:
    net = Counted().net
    method = AndOrInteractions(lambda x: form(net(x)), score=lambda z: 2 * z)
    torch.testing.assert_close(method.outputs(X).attribute(), method.attribute(X))


def test_bad_calls_are_named() -> None:
    kept = AndOrInteractions(Counted()).outputs(X)
    with pytest.raises(ValueError, match="target 3 is out of range"):
        kept.interactions(3)
    with pytest.raises(ValueError, match="target has 2 entries for 3 examples"):
        kept.attribute([0, 1])
    with pytest.raises(ValueError, match="score must be one of"):
        kept.values(score="bogus")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='"auto"'):
        kept.interactions(0, noise_bound="auto")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="score is not finite"):
        kept.values(score=lambda z: z / 0)
    with pytest.raises(ValueError, match="max_patterns"):
        kept.logical_model(0, max_patterns=0)
