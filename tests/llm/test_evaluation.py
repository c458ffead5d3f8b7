"""Log-probabilities from trees and padded batches equal those of one prompt at a time, whatever the architecture."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

from language_models import WORDS, PlantedAnswers, tiny

from captum_andor.llm.evaluation import TargetEvaluation, _cache_of
from captum_andor.llm.model_call import ModelCall, target_log_probabilities
from captum_andor.llm.prompts import Prompt

TARGET = [11, 4, 12]
CPU = torch.device("cpu")


def some_prompts(count: int = 24, holes: bool = False, longest: int = 14) -> list[Prompt]:
    generator = torch.Generator().manual_seed(1)
    prompts = []
    for _ in range(count):
        length = int(torch.randint(3, longest, (), generator=generator))
        ids = [2, 13, 14, *torch.randint(3, len(WORDS), (length,), generator=generator).tolist()]
        seen = [True, *(torch.rand(len(ids) - 1, generator=generator) < 0.7).tolist()]
        prompts.append(Prompt(tuple(ids), tuple(seen) if holes and not all(seen) else None))
    return prompts


def evaluated(evaluation: TargetEvaluation, prompts: list[Prompt]) -> torch.Tensor:
    found = torch.full((len(prompts), len(evaluation.target), 2), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        for places, values in evaluation(prompts):
            found[places] = values
    return found


def alone(model: nn.Module, prompts: list[Prompt], target: list[int] = TARGET) -> torch.Tensor:
    """Straight from the definition: a pass a prompt, a softmax of all logits."""
    rows = []
    for prompt in prompts:
        ids = torch.tensor([[*prompt.ids, *target[:-1]]])
        seen = [*(prompt.seen or (True,) * len(prompt)), *(True,) * (len(target) - 1)]
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.tensor([seen]).long()).logits[0].double()
        places = [prompt.last_visible, *range(len(prompt), len(prompt) + len(target) - 1)]
        p = logits[places].softmax(-1)[range(len(target)), target]
        rows.append(torch.stack([p.log(), (1 - p).log()], -1))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2", "gpt2", "bloom", "opt"])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("tokens", [None, 40])
def test_batches_equal_prompts_alone(kind: str, holes: bool, tokens: int | None) -> None:
    model, prompts = tiny(kind), some_prompts(holes=holes)
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, True, tokens)
    torch.testing.assert_close(evaluated(evaluation, prompts), alone(model, prompts), atol=1e-4, rtol=1e-4)
    # BLOOM takes no positions; OPT counts them over the tokens that are seen: a hidden token moves those behind it
    assert evaluation.way == ("padded" if kind == "bloom" or (kind == "opt" and holes) else "tree")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("use_cache", [False, True])
def test_padded_batches_equal_prompts_alone(kind: str, use_cache: bool) -> None:
    model, prompts = tiny(kind), some_prompts(holes=True)
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, True, 60, use_cache)
    evaluation._ways = ["padded", "one by one"]
    torch.testing.assert_close(evaluated(evaluation, prompts), alone(model, prompts), atol=1e-4, rtol=1e-4)
    assert evaluation.way == "padded"
    plain = sum(len(p) + len(TARGET) - 1 for p in prompts)
    extra = evaluation.n_tokens - plain  # two prompts asked again, the test of causality
    assert (extra < 40) if use_cache else (extra > 0)


def test_a_sliding_window_is_not_overridden_by_the_mask_of_a_tree() -> None:
    model, prompts = tiny("mistral", sliding_window=5), some_prompts()
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, True)
    torch.testing.assert_close(evaluated(evaluation, prompts), alone(model, prompts), atol=1e-4, rtol=1e-4)
    short = [Prompt((2, i)) for i in range(3, 8)]
    longer = TargetEvaluation(ModelCall(model, CPU), TARGET[:1], True)
    torch.testing.assert_close(evaluated(longer, short), alone(model, short, TARGET[:1]), atol=1e-4, rtol=1e-4)


class IgnoresMasks(nn.Module):
    """A causal network of one layer that mixes in whatever stands in the sequence, seen or not."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(WORDS), 8)
        self.head = nn.Linear(8, len(WORDS))
        self.causal = causal

    def forward(self, input_ids: torch.Tensor, **further: Any) -> torch.Tensor:
        x = 3 * self.embedding(input_ids)
        mixed = x.cumsum(1) if self.causal else x.mean(1, keepdim=True) + x
        # the length of the whole sequence leaks in: padding is seen
        return self.head(mixed + (0 if not self.causal else 0.3 * input_ids.shape[1]))


def test_a_model_that_sees_its_padding_is_asked_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    model, prompts = IgnoresMasks(causal=True).eval(), some_prompts()
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET[:1], True)
    found = evaluated(evaluation, prompts)
    assert evaluation.way == "one by one" and "moved by" in caplog.text
    for prompt, row in zip(prompts, found, strict=True):
        logits = model(torch.tensor([prompt.ids]))[0, -1].double()
        torch.testing.assert_close(row[0, 0], logits.log_softmax(-1)[TARGET[0]], atol=1e-5, rtol=1e-5)


def test_a_model_that_is_not_causal_is_asked_token_by_token() -> None:
    model, prompts = IgnoresMasks(causal=False).eval(), some_prompts(4)
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, False)
    found = evaluated(evaluation, prompts)
    assert evaluation.way == "token by token"
    for prompt, row in zip(prompts, found, strict=True):
        for i, token in enumerate(TARGET):
            logits = model(torch.tensor([[*prompt.ids, *TARGET[:i]]]))[0, -1].double()
            torch.testing.assert_close(row[i, 0], logits.log_softmax(-1)[token], atol=1e-5, rtol=1e-5)


def test_one_pass_where_the_target_is_asked_as_a_sequence() -> None:
    model, prompts = IgnoresMasks(causal=False).eval(), some_prompts(4)
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, False, in_tokens=False)
    evaluated(evaluation, prompts)
    assert evaluation.way == "one by one"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model, prompts = tiny("llama").to(dtype), some_prompts()
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, True)
    found, wanted = evaluated(evaluation, prompts), alone(model, prompts)
    assert evaluation.way == "tree"
    tolerance = 0.5 if dtype == torch.bfloat16 else 1e-8
    assert float((found - wanted)[..., 0].abs().max()) < tolerance


def test_transformers_is_named_where_it_is_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"captum_andor\[llm\]"):
        _cache_of([])


def test_log_odds_of_a_near_certain_token() -> None:
    logits = torch.tensor([[[30.0, 0.0, 0.0]]])
    present, absent = target_log_probabilities(logits, torch.tensor([0]), True)[0, 0].tolist()
    assert present == pytest.approx(0.0, abs=1e-9)
    assert absent == pytest.approx(-30 + torch.tensor(2.0).log().item(), abs=1e-5)


def test_the_last_token_that_is_seen_predicts_the_target() -> None:
    model = PlantedAnswers()
    hidden = Prompt((2, WORDS.index("c"), WORDS.index("a")), (True, True, False))
    found = evaluated(TargetEvaluation(ModelCall(model, CPU), [11]), [hidden, Prompt((2, 7))])
    assert float(found[0, 0, 0]) == pytest.approx(-torch.tensor(float(len(WORDS))).log().item(), abs=1e-5)


def test_fewer_tokens_than_one_by_one() -> None:
    model = tiny("llama")
    prompts = [Prompt((2, *range(3, 11), *bits)) for bits in [(4, 5, 6), (4, 5, 7), (4, 6, 7), (5, 6, 7)]]
    evaluation = TargetEvaluation(ModelCall(model, CPU), [11])
    evaluated(evaluation, prompts)
    assert evaluation.n_tokens == (9 + 1 + 1 + 2 * 1 + 2 + 3) + 12  # a tree, and one prompt asked again


def test_smaller_batches_where_memory_is_short() -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny("llama")
            self.config = self.inner.config

        def forward(
            self, input_ids=None, attention_mask=None, position_ids=None, cache=None, use_cache=None, logits_to_keep=0
        ):
            if input_ids.numel() > 40:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.inner(
                input_ids, attention_mask, position_ids, cache, use_cache=use_cache, logits_to_keep=logits_to_keep
            )

    model, prompts = Small(), some_prompts()
    evaluation = TargetEvaluation(ModelCall(model, CPU), TARGET, True)
    torch.testing.assert_close(evaluated(evaluation, prompts), alone(model.inner, prompts), atol=1e-4, rtol=1e-4)
    assert evaluation.way == "tree" and evaluation.tokens_per_batch <= 40
