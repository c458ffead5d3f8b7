"""The scores of docs/language_models.rst do what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

from language_models import WORDS, tiny, word_tokenizer

from captum_andor import AndOrInteractions
from captum_andor.llm import AndOrLLMAttribution, MaskedTokenInput

PAGE = Path(__file__).parents[2] / "docs" / "language_models.rst"


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    block = re.search(r"\n   def class_logit.*?(?=\n   AndOrLLM)", PAGE.read_text(), re.DOTALL)
    assert block is not None
    found: dict[str, Any] = {"torch": torch}
    exec("\n".join(line[3:] for line in block[0].splitlines()), found)
    return found


def test_a_choice_between_answers(recipes) -> None:
    model, tokenizer = tiny("llama"), word_tokenizer()
    inp = MaskedTokenInput("a b c who", tokenizer, absent="delete", skip_tokens=["who"])
    found = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=recipes["choice"]).interactions(
        inp, [11, 12, 13]
    )
    for code in range(8):
        bits = torch.tensor([[code >> i & 1 for i in range(3)]])
        with torch.no_grad():
            logits = model(**inp.to_model_input(bits)).logits[0, -1].double()
        wanted = logits[11] - logits[[12, 13]].logsumexp(0)
        assert float(found.values[0, code]) == pytest.approx(float(wanted), abs=1e-4)


def test_sequence_to_sequence(recipes) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, pad_token_id=0, eos_token_id=3,
        decoder_start_token_id=0,
    )  # fmt: skip
    model, tokenizer = transformers.T5ForConditionalGeneration(config).eval(), word_tokenizer()
    for parameter in model.parameters():
        parameter.data *= 3
    inp, target = MaskedTokenInput("a b c who", tokenizer, absent="delete"), torch.tensor([[11, 12]])
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=recipes["translation"])
    found = method.interactions(inp, target, outputs="both")
    assert found.shape == (3,) and method.way == "padded"
    for code in (0, 5, 15):
        bits = torch.tensor([[code >> i & 1 for i in range(4)]])
        with torch.no_grad():
            p = model(**inp.to_model_input(bits), labels=target).logits[0].double().log_softmax(-1)
        wanted = torch.stack([p[0, 11], p[1, 12]])
        torch.testing.assert_close(found.values[1:, code], wanted, atol=1e-4, rtol=1e-4)
        assert float(found.values[0, code]) == pytest.approx(float(wanted.sum()), abs=1e-4)


def test_a_classifier(recipes) -> None:
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(
        vocab_size=len(WORDS), dim=16, n_layers=2, n_heads=2, hidden_dim=24, num_labels=3, pad_token_id=0
    )
    model, tokenizer = transformers.DistilBertForSequenceClassification(config).eval(), word_tokenizer()
    inp = MaskedTokenInput("a b c", tokenizer)
    found = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=recipes["class_logit"]).interactions(inp, 2)
    with torch.no_grad():
        whole = model(**inp.to_model_input()).logits[0, 2]
    assert float(found.values[0, -1]) == pytest.approx(float(whole), abs=1e-4)
