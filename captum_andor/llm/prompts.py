"""Prompts as the tokens that a language model sees, from whatever an interpretable input returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prompt:
    """One masked prompt.

    Attributes:
        ids: Its token ids; a token's position in the sequence is its place here.
        seen: Whether the model may attend to each token; None where it may to all.
        further: What the model takes beside tokens, e.g. the pixels of an image.
    """

    ids: tuple[int, ...]
    seen: tuple[bool, ...] | None = None
    further: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def visible(self) -> list[int]:
        """Positions of the tokens that are seen."""
        return [i for i in range(len(self.ids)) if self.seen is None or self.seen[i]]

    @property
    def last_visible(self) -> int:
        """Position of the last token that is seen: the one that predicts the first token of the target."""
        return self.visible[-1]

    def __len__(self) -> int:
        return len(self.ids)


def read_prompts(model_inputs: Sequence[Any], tokenizer: Any, add_special_tokens: bool) -> list[Prompt]:
    """Turn texts, token ids or what a processor returns into prompts.

    Args:
        model_inputs: Each a string, a tensor of ids ``(L,)`` or ``(1, L)``, or a mapping with ``input_ids``.
        tokenizer: Of the model.
        add_special_tokens: Whether the tokenizer adds its special tokens to strings; a chat template has put them in.
    """
    texts = [text for text in model_inputs if isinstance(text, str)]
    encoded = iter(_encoded(texts, tokenizer, add_special_tokens))
    prompts = []
    for given in model_inputs:
        prompt = Prompt(tuple(next(encoded))) if isinstance(given, str) else _prompt_of(given)
        if not prompt.visible:
            shown = f" ({given!r:.60})" if isinstance(given, str) else ""
            raise ValueError(
                f"inp gives an empty prompt where players are left out{shown}: a language model predicts "
                "nothing from no token. Keep something in its template, or use a tokenizer that begins with a special "
                "token."
            )
        prompts.append(prompt)
    return prompts


def _encoded(texts: list[str], tokenizer: Any, add_special_tokens: bool) -> list[list[int]]:
    if not texts:
        return []
    if getattr(tokenizer, "is_fast", False):
        return list(tokenizer(texts, add_special_tokens=add_special_tokens)["input_ids"])
    if add_special_tokens:
        return [_as_ids(tokenizer.encode(text)) for text in texts]
    return [_as_ids(tokenizer.encode(text, add_special_tokens=False)) for text in texts]


def _prompt_of(given: Any) -> Prompt:
    if isinstance(given, Tensor):
        return Prompt(tuple(_as_ids(given)))
    if not isinstance(given, Mapping) or "input_ids" not in given:
        raise TypeError(
            "inp must turn into a string, a tensor of token ids or a mapping with input_ids; got "
            f"{type(given).__name__}."
        )
    ids = tuple(_as_ids(given["input_ids"]))
    mask = given.get("attention_mask")
    seen = None if mask is None else tuple(bool(x) for x in _as_ids(mask))
    if seen is not None and len(seen) != len(ids):
        raise ValueError(f"attention_mask has {len(seen)} entries for {len(ids)} input_ids.")
    further = {name: value for name, value in given.items() if name not in ("input_ids", "attention_mask")}
    return Prompt(ids, None if seen is None or all(seen) else seen, further)


def _as_ids(given: Any) -> list[int]:
    ids = torch.as_tensor(given)
    if ids.ndim > 2 or (ids.ndim == 2 and len(ids) != 1):
        raise ValueError(f"token ids must have the shape (L,) or (1, L), one prompt at a time; got {tuple(ids.shape)}.")
    return [int(i) for i in ids.flatten()]
