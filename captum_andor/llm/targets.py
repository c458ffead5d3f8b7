"""The target: ids of the tokens whose probability is explained, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.checks import is_int


@dataclass(frozen=True)
class TargetText:
    """A target.

    Attributes:
        ids: Its tokens, at least one.
        tokens: Their texts, without white space at the ends, as Captum's results show them.
        text: The whole.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    text: str


def target_text(
    target: Any, tokenizer: Any, skip_tokens: Sequence[Any] | None = None, vocabulary: int | None = None
) -> TargetText:
    """A target from a string or ids.

    Args:
        target: A string, which the tokenizer splits without special tokens; or ids, a tensor or a sequence.
        tokenizer: Of the model.
        skip_tokens: Tokens, by id or text, that are left out of it.
        vocabulary: How many ids the model has; None where that is not known.
    """
    if isinstance(target, str):
        ids = [int(i) for i in torch.as_tensor(tokenizer.encode(target, add_special_tokens=False)).flatten()]
    elif isinstance(target, (Tensor, np.ndarray)):
        target = torch.as_tensor(target)
        if target.is_floating_point() or target.ndim > 2 or (target.ndim == 2 and len(target) != 1):
            raise TypeError(
                f"target must be a string or token ids of shape (T,); got {target.dtype} of {tuple(target.shape)}."
            )
        ids = [int(i) for i in target.flatten()]
    elif isinstance(target, Sequence) and all(map(is_int, target)):
        ids = [int(i) for i in target]
    else:
        raise TypeError(f"target must be a string, token ids or None; got {target!r:.60}.")
    skipped = {_token_id(token, tokenizer) for token in skip_tokens or ()}
    ids = [i for i in ids if i not in skipped]
    if not ids:
        raise ValueError(f"target has no token (got {target!r:.60}): nothing to explain.")
    if min(ids) < 0 or (vocabulary is not None and max(ids) >= vocabulary):
        raise ValueError(f"target holds ids that the model does not have: {min(ids)} to {max(ids)} of {vocabulary}.")
    tokens = tuple(_shown(str(tokenizer.decode(torch.tensor([i])))) for i in ids)
    return TargetText(tuple(ids), tokens, str(tokenizer.decode(torch.tensor(ids))).strip())


def _token_id(token: Any, tokenizer: Any) -> int:
    """The id of a token that is left out, from its text or id."""
    if is_int(token):
        return int(token)
    if not isinstance(token, str):
        raise TypeError(f"skip_tokens must hold tokens, by text or id; got {token!r} among them.")
    found = tokenizer.convert_tokens_to_ids(token)
    if found is None or (found == getattr(tokenizer, "unk_token_id", None) and token != tokenizer.unk_token):
        raise ValueError(
            f"skip_tokens holds {token!r}, which is no token of the tokenizer; pass one by its text or id."
        )
    return int(found)


def _shown(token: str) -> str:
    return token.replace("\n", "\\n").strip() or repr(token)[1:-1]
