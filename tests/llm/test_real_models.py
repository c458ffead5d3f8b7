"""On models that come inside packages: SmolLM2 finds which sources stand in for each other, MiniLM which words count."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum.attr import LLMAttribution, ShapleyValues

transformers = pytest.importorskip("transformers")

from captum_andor import AndOrInteractions
from captum_andor.llm import AndOrLLMAttribution, ContextInput, MaskedTokenInput
from tutorials.datasets import language_models

SOURCES = [
    "The museum opens at nine.",
    "Dr. Elena Marsh won the Halden Prize in 2019.",
    "Tickets cost twelve euros.",
    "In 2019 the Halden Prize went to Elena Marsh.",
    "Karl Voss won the Tarn Medal in 2019.",
]


@pytest.fixture(scope="module")
def smollm2():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return language_models.smollm2()
    except ImportError as error:
        pytest.skip(str(error))


def retrieval(tokenizer) -> ContextInput:
    return ContextInput(
        SOURCES,
        "Who won the Halden Prize in 2019?",
        template="Context: {context}\nQuestion: {query} Answer in a few words, from the context only.",
        separator=" ",
        tokenizer=tokenizer,
    )


def test_either_source_would_do(smollm2) -> None:
    model, tokenizer = smollm2
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    found = method.logical_model(retrieval(tokenizer), "Elena Marsh", outputs="both", max_patterns=3)
    first = found[0].patterns[0]
    assert (first.kind, first.names) == ("or", ("d2", "d4")) and first.value > 10 and found[0].r2 > 0.97
    assert found[0].rules()[0].startswith("any one of d2, d4: about +1")
    assert set(found[0].minimal_sources()["names"]) == {("d2",), ("d4",)}
    assert method.way == "tree" and found.shape == (5,)


def test_equal_to_captum_on_a_real_model(smollm2) -> None:
    model, tokenizer = smollm2
    inp = ContextInput(SOURCES[1:4], "Who won the Halden Prize in 2019?", tokenizer=tokenizer)
    ours = AndOrLLMAttribution(AndOrInteractions(model), tokenizer).attribute(inp, "Elena Marsh")
    captums = LLMAttribution(ShapleyValues(model), tokenizer).attribute(
        inp, "Elena Marsh", use_cached_outputs=False, forward_in_tokens=False
    )
    torch.testing.assert_close(ours.seq_attr, captums.seq_attr, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.token_attr, captums.token_attr, atol=1e-4, rtol=1e-4)


def test_words_of_a_sentence_for_an_encoder() -> None:
    try:
        model, tokenizer = language_models.minilm()
    except ImportError as error:
        pytest.skip(str(error))

    def embedding(model, batch):
        seen = batch["attention_mask"][..., None].float()
        return (model(**batch).last_hidden_state * seen).sum(1) / seen.sum(1)

    def similarity(model, batch, target):
        return torch.nn.functional.cosine_similarity(embedding(model, batch), target)

    with torch.no_grad():
        target = embedding(model, tokenizer("A dog runs.", return_tensors="pt"))
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=similarity)
    inp = MaskedTokenInput("The quick puppy sleeps in the garden", tokenizer)
    result = method.attribute(inp, target)
    assert inp.values[int(result.seq_attr.argmax())] == "puppy"
    with torch.no_grad():
        whole = similarity(model, inp.to_model_input(), target) - similarity(
            model, inp.to_model_input(torch.zeros(1, 7)), target
        )
    torch.testing.assert_close(result.seq_attr.sum(), whole[0], atol=1e-4, rtol=1e-4)
