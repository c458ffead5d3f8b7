"""Tiny language models of transformers with random weights, and a tokenizer of words; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

transformers = pytest.importorskip("transformers")

WORDS = ["<pad>", "<unk>", "<s>", ".", "a", "b", "c", "d", "e", "f", "g", "yes", "no", "who", "won", "the", "prize"]
CHAT = "{% for m in messages %}<s> {{ m.role }} . {{ m.content }} . {% endfor %}{% if add_generation_prompt %}<s> {% endif %}"


def word_tokenizer(begins: bool = True, chat: bool = False, pad: bool = True) -> Any:
    """A fast tokenizer whose tokens are words, with or without a token that begins every text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if begins:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    special = {"unk_token": "<unk>", "bos_token": "<s>", **({"pad_token": "<pad>"} if pad else {})}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **special)
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def tiny(kind: str = "llama", seed: int = 0, **settings: Any) -> Any:
    """A causal language model of two layers, weights large enough that words matter."""
    sizes: dict[str, Any] = {"vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 2}
    common = {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 128,
    }  # fmt: skip
    makers = {
        "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **common, **settings)),
        "mistral": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**sizes, **common, **settings)),
        "gemma2": lambda: transformers.Gemma2ForCausalLM(
            transformers.Gemma2Config(**sizes, **common, head_dim=8, final_logit_softcapping=3.0, **settings)
        ),
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(**sizes, n_embd=16, n_layer=2, n_head=2, n_positions=128, **settings)
        ),
        "bloom": lambda: transformers.BloomForCausalLM(
            transformers.BloomConfig(**sizes, hidden_size=16, n_layer=2, n_head=2, **settings)
        ),
        "opt": lambda: transformers.OPTForCausalLM(
            transformers.OPTConfig(
                **sizes, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2,
                max_position_embeddings=128, word_embed_proj_dim=16, **settings,
            )
        ),
    }  # fmt: skip
    with torch.device("cpu"):
        model = makers[kind]().eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            scale = 1.5 if "embed" in name or "wte" in name else 1.5 / parameter.shape[-1] ** 0.5
            parameter.data = scale * torch.randn(parameter.shape, generator=generator, device="cpu")
    return model


class PlantedAnswers(nn.Module):
    """A causal model that answers "yes" where "a" or "b" has been said, and "no" where "c" and "d" both have.

    Logits are exact, so that patterns of log-odds between words are known; masks are obeyed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        said = [((input_ids == WORDS.index(w)) & (seen > 0)).cumsum(1) > 0 for w in "abcd"]
        logits = torch.zeros(*input_ids.shape, len(WORDS))
        logits[..., WORDS.index("yes")] = 3.0 * (said[0] | said[1])
        logits[..., WORDS.index("no")] = 2.0 * (said[2] & said[3])
        return transformers.modeling_outputs.CausalLMOutput(logits=logits + self.anchor)
