"""What Captum tests of its own ``LLMAttribution``, on a model that is not causal and a tokenizer of its own kind.

The cases are those of Captum's tests/attr/test_llm_attr.py that concern perturbation methods; expected numbers are not
copied but computed by Captum's class, token by token and without its cache.
"""

from __future__ import annotations

import warnings
from collections import UserDict
from typing import Any, NamedTuple

import captum.attr
import pytest
import torch
from captum.attr import (
    FeatureAblation,
    KernelShap,
    Lime,
    LLMAttribution,
    ShapleyValues,
    ShapleyValueSampling,
    TextTemplateInput,
    TextTokenInput,
)
from torch import Tensor, nn

from captum_andor.llm import AndOrLLMAttribution

if not hasattr(captum.attr, "ImageMaskInput"):
    pytest.skip("the oracle, Captum's LLMAttribution, is older than 0.9", allow_module_level=True)


class Letters:
    """A tokenizer of single letters parted by spaces, which begins texts with a token of its own."""

    def encode(self, text: str, add_special_tokens: bool = True, return_tensors: str | None = None) -> Any:
        ids = [0] * add_special_tokens + [ord(word[0]) if len(word) == 1 else 1 for word in text.split(" ")]
        return torch.tensor([ids]) if return_tensors else ids

    def decode(self, ids: Tensor) -> str:
        words = self.convert_ids_to_tokens(ids.tolist() if ids.ndim else [int(ids)])
        return " ".join(words)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [{0: "<s>", 1: "<unk>"}.get(i, chr(i)) for i in ids]

    def __call__(self, text: str, add_special_tokens: bool = True, return_offsets_mapping: bool = False) -> Any:
        result: Any = UserDict({"input_ids": self.encode(text, add_special_tokens)})
        places, at = [(0, 0)] * add_special_tokens, 0
        for word in text.split(" "):
            places.append((max(at - 1, 0), at + len(word)))
            at += len(word) + 1
        result["offset_mapping"] = places
        return result


class Output(NamedTuple):
    logits: Tensor


class EveryWay(nn.Module):
    """An encoder: every token attends to every other one, also to later ones; masks are ignored."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(256, 10)
        self.layer = nn.TransformerEncoderLayer(10, 2, batch_first=True)
        self.head = nn.Linear(10, 256)

    def forward(self, input_ids: Tensor, **further: Any) -> Output:
        return Output(self.head(self.layer(self.embedding(input_ids))))

    def generate(self, input_ids: Tensor, said: str = "", **further: Any) -> Tensor:
        return torch.cat([input_ids, torch.tensor([Letters().encode(said, False)])], dim=1)


TEMPLATE = ("{} b {} {} e {}", ["a", "c", "d", "f"])
quiet = pytest.mark.filterwarnings("ignore")  # Captum's methods warn of what they do with one row


@pytest.fixture
def model() -> EveryWay:
    return EveryWay().eval()


def both(method: Any, model: EveryWay, inp: Any, **options: Any) -> tuple[Any, Any]:
    results = []
    for kind, own in ((AndOrLLMAttribution, {}), (LLMAttribution, {"use_cached_outputs": False})):
        torch.manual_seed(0)
        results.append(kind(method(model), Letters()).attribute(inp, "m n o p q", **own, **options))
    return results[0], results[1]


@quiet
@pytest.mark.parametrize(
    ("method", "options"), [(FeatureAblation, {}), (ShapleyValueSampling, {"n_samples": 20}), (ShapleyValues, {})]
)
def test_methods_with_a_row_for_each_token(model, method, options) -> None:
    ours, captums = both(method, model, TextTemplateInput(*TEMPLATE), **options)
    assert ours.seq_attr.shape == (4,) and ours.token_attr.shape == (5, 4)
    assert ours.input_tokens == ["a", "c", "d", "f"] and ours.output_tokens == list("mnopq")
    torch.testing.assert_close(ours.seq_attr, captums.seq_attr, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.token_attr, captums.token_attr, atol=1e-4, rtol=1e-4)


@quiet
@pytest.mark.parametrize("method", [Lime, KernelShap])
def test_methods_of_the_whole_target_alone(model, method) -> None:
    pytest.importorskip("sklearn")
    ours, captums = both(method, model, TextTemplateInput(*TEMPLATE), n_samples=40)
    assert ours.token_attr is None and ours.output_tokens == list("mnopq")
    torch.testing.assert_close(ours.seq_attr, captums.seq_attr, atol=1e-4, rtol=1e-4)


@quiet
def test_a_generated_target(model) -> None:
    method = AndOrLLMAttribution(FeatureAblation(model), Letters())
    result = method.attribute(TextTemplateInput(*TEMPLATE), gen_args={"said": "x y z"})
    assert result.output_tokens == ["x", "y", "z"] and result.token_attr.shape == (3, 4)


@quiet
def test_log_probabilities_of_the_tokens_add_up(model) -> None:
    result = AndOrLLMAttribution(FeatureAblation(model), Letters()).attribute(TextTemplateInput(*TEMPLATE), "m n o p q")
    torch.testing.assert_close(result.seq_attr, result.token_attr.sum(0))


@quiet
@pytest.mark.parametrize(("skip", "n_players"), [(None, 4), ([0], 3)])
def test_tokens_as_players(model, skip, n_players) -> None:
    ours, captums = both(FeatureAblation, model, TextTokenInput("a b c", Letters(), skip_tokens=skip))
    assert ours.seq_attr.shape == (n_players,) and ours.input_tokens == captums.input_tokens
    torch.testing.assert_close(ours.token_attr, captums.token_attr, atol=1e-4, rtol=1e-4)


def test_futures_are_not_implemented(model) -> None:
    with pytest.raises(NotImplementedError):
        AndOrLLMAttribution(FeatureAblation(model), Letters()).attribute_future()


def test_the_same_in_one_pass_where_that_is_asked_for(model) -> None:
    inp = TextTemplateInput(*TEMPLATE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, captums = both(FeatureAblation, model, inp, forward_in_tokens=False)
    torch.testing.assert_close(ours.token_attr, captums.token_attr, atol=1e-4, rtol=1e-4)
