"""A score of one's own on right-padded batches of masked texts: encoders, classifiers, choices, translators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from captum_andor.llm.model_call import ModelCall
from captum_andor.llm.prompts import Prompt

_TOKENS = {"cpu": 2048}
_TOKENS_ACCELERATOR = 16384


class ScoreEvaluation:
    """A function of the model, a batch and the target, on many prompts.

    Args:
        call: The model.
        score: ``score(model, batch, target)``: a number ``(B,)`` or several ``(B, K)`` for each row.
        target: Passed along.
        pad_id: Token in the place of padding, which the attention mask hides.
        tokens_per_batch: Most tokens in a pass; None chooses by the device.

    Attributes:
        way: ``"padded"``, or ``"one by one"`` where a row moves with its padding.
        n_tokens: How many tokens have gone through the model.
    """

    def __init__(
        self,
        call: ModelCall,
        score: Callable[..., Any],
        target: Any,
        pad_id: int = 0,
        tokens_per_batch: int | None = None,
    ) -> None:
        self.call = call
        self.score = score
        self.target = target
        self.pad_id = pad_id
        self.tokens_per_batch = tokens_per_batch or _TOKENS.get(call.device.type, _TOKENS_ACCELERATOR)
        self.n_tokens = 0
        self.way = "padded"

    def __call__(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], Tensor]]:
        """Scores of prompts, each once: which, and theirs, float64 ``(k, K)``, as soon as they are known."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
        if any(prompt.further for prompt in prompts):
            self.way = "one by one"
        at, checked = 0, False
        while at < len(order):
            count = max(1, self.tokens_per_batch // len(prompts[order[at]])) if self.way == "padded" else 1
            rows = order[at : at + count]
            found = self._scores([prompts[i] for i in rows])
            if len(rows) > 1 and not checked:
                checked = True
                alone = self._scores([prompts[rows[-1]]])  # the shortest: it has the most padding
                if not torch.allclose(found[-1:], alone, rtol=1e-4, atol=self._allowed(alone)):
                    self.way = "one by one"
                    continue
            at += len(rows)
            yield rows, found

    def _allowed(self, scores: Tensor) -> float:
        exact = self.call.dtype in (torch.float32, torch.float64)
        return 1e-4 if exact else 0.05 * max(float(scores.abs().max()), 1.0)

    def _scores(self, prompts: Sequence[Prompt]) -> Tensor:
        scores = self.score(self.call.model, self._batch(prompts), self.target)
        scores = torch.as_tensor(scores).detach().cpu().double()
        if scores.ndim not in (1, 2) or len(scores) != len(prompts):
            raise ValueError(
                "score must return a number (B,) or numbers (B, K) for each row of the batch; got shape "
                f"{tuple(scores.shape)} for {len(prompts)} rows."
            )
        return scores if scores.ndim == 2 else scores[:, None]

    def _batch(self, prompts: Sequence[Prompt]) -> Mapping[str, Any]:
        longest = max(map(len, prompts))
        ids, mask = [], []
        for prompt in prompts:
            seen = prompt.seen or (True,) * len(prompt)
            empty = longest - len(prompt)
            ids.append([*prompt.ids, *(self.pad_id,) * empty])
            mask.append([*map(int, seen), *(0,) * empty])
        self.n_tokens += sum(map(len, prompts))
        tensors = {"input_ids": self.call.tensor(ids), "attention_mask": self.call.tensor(mask)}
        return {**(prompts[0].further if len(prompts) == 1 else {}), **tensors}
