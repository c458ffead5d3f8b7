"""The difference of two models: every answer is that of the difference of their scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from captum_andor.llm import AndOrLLMAttribution


def network(seed: int, inputs: int = 6, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype).eval()


NEW, OLD = network(0), network(1)
X = torch.rand(2, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def log_odds(logits: Tensor, target: int) -> Tensor:
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], 1)
    return logits[:, target] - others.logsumexp(1)


@pytest.mark.parametrize("score", ["log_odds", "output"])
def test_the_difference_of_scores_is_explained(score: str) -> None:
    method = AndOrInteractions(NEW, score=score, reference=OLD)  # type: ignore[arg-type]
    read: Callable[[Tensor], Tensor] = (lambda z: log_odds(z, 1)) if score == "log_odds" else (lambda z: z[:, 1])
    alone = AndOrInteractions(lambda z: read(NEW(z)) - read(OLD(z)))
    torch.testing.assert_close(method.attribute(X, target=1).double(), alone.attribute(X).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(method.interactions(X, target=1).values, alone.interactions(X).values)
    torch.testing.assert_close(method.estimate(X, target=1, budget=32).values, alone.estimate(X, budget=32).values)
    model, other = method.logical_model(X[:1], target=1), alone.logical_model(X[:1])
    assert [(p.kind, p.players) for p in model.patterns] == [(p.kind, p.players) for p in other.patterns]
    apart = [AndOrInteractions(m, score=score).attribute(X, target=1) for m in (NEW, OLD)]  # type: ignore[arg-type]
    torch.testing.assert_close(method.attribute(X, target=1), apart[0] - apart[1], atol=1e-6, rtol=0)


def test_the_print_and_the_file_say_so(tmp_path: Any) -> None:
    model = AndOrInteractions(NEW, score="log_odds", reference=OLD).logical_model(X[:1], target=1)
    assert "score, less the reference's, with everything removed" in str(model)
    model.save(tmp_path / "model.npz")
    assert str(LogicalModel.load(tmp_path / "model.npz")) == str(model)
    assert "less the reference" not in str(AndOrInteractions(NEW, score="log_odds").logical_model(X[:1], target=1))
    explanation = AndOrInteractions(NEW, reference=OLD).interactions(X[:1], target=1)
    explanation.save(tmp_path / "explanation.npz")
    assert "less the reference" in str(AndOrExplanation.load(tmp_path / "explanation.npz"))


def test_two_equal_models_differ_in_nothing() -> None:
    found = AndOrInteractions(NEW, score="log_odds", reference=NEW).attribute(X, target=0)
    assert not found.any()


def test_frames_dicts_batches_and_values_of_the_batch() -> None:
    frame = pd.DataFrame(X.numpy(), columns=list("abcdef"))
    method = AndOrInteractions(NEW, reference=OLD)
    expected = method.attribute(X, target=1)
    torch.testing.assert_close(method.attribute(frame, target=1), expected)
    torch.testing.assert_close(method.attribute(X, target=1, perturbations_per_eval=1), expected)
    named = AndOrInteractions(lambda x: NEW(x), reference=lambda x: OLD(x)).attribute({"x": X}, target=1)
    torch.testing.assert_close(named["x"], expected)
    whole = AndOrInteractions(lambda z: NEW(z)[:, 1].sum(), reference=lambda z: OLD(z)[:, 1].sum())
    torch.testing.assert_close(whole.attribute(X).sum(0), expected.sum(0), atol=1e-5, rtol=0)
    arrays = AndOrInteractions(lambda z: NEW(z).detach().numpy(), reference=lambda z: np.asarray(OLD(z).detach()))
    torch.testing.assert_close(arrays.attribute(X, target=1), expected)


def test_references_that_cannot_be_are_named() -> None:
    with pytest.raises(TypeError, match="reference must be callable, e.g. a torch.nn.Module; got str"):
        AndOrInteractions(NEW, reference="old")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reference must answer like forward_func: its scores have shape"):
        AndOrInteractions(NEW, reference=nn.Linear(6, 2).double()).attribute(X)
    with pytest.raises(ValueError, match="of the reference: target has 1 index"):
        AndOrInteractions(NEW, reference=lambda z: OLD(z).sum()).attribute(X, target=1)
    with pytest.raises(TypeError, match="reference must return a tensor or a number; got str"):
        AndOrInteractions(NEW, reference=lambda z: "old").attribute(X, target=1)
    with pytest.raises(ValueError, match="keeps the answers of one model"):
        AndOrInteractions(NEW, reference=OLD).outputs(X)
    with pytest.raises(ValueError, match="attr_method has a reference"):
        AndOrLLMAttribution(AndOrInteractions(NEW, reference=OLD), object())


def test_a_random_reference_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="answered differently when asked again"):
        AndOrInteractions(NEW, reference=lambda z: OLD(z) + torch.rand(len(z), 3)).attribute(X, target=1)
