"""What has been asked of a model about one prompt and one target, for the calls that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from captum_andor._utils.user_warnings import warn
from captum_andor.explain import AndOrExplanation, GameEstimate, LogicalModel
from captum_andor.llm.prompt_game import Outputs, PromptGame
from captum_andor.llm.prompts import read_prompts
from captum_andor.llm.targets import TargetText
from captum_andor.results import Axes

ResultT = TypeVar("ResultT", LogicalModel, AndOrExplanation, GameEstimate)

_SAME = 0.01  # of max(1, |v|): v(N) of the same input and model differs by less when it is asked again


@dataclass
class Asked:
    """A game with its answers, and what it was made of.

    Attributes:
        inp: The prompt.
        key: What tells targets and options apart.
        score: Of the user's own, or None.
        given: The target as it was given.
        target: The target as tokens; None with a score.
        evaluation: What asks the model.
        game: The game.
    """

    inp: Any
    key: Any
    score: Callable[..., Any] | None
    given: Any
    target: TargetText | None
    evaluation: Any
    game: PromptGame

    def is_of(self, inp: Any, key: Any, score: Any, given: Any) -> bool:
        """Whether it is about the same input, target and options."""
        return self.inp is inp and self.key == key and self.score is score and (score is None or self.given is given)

    @torch.no_grad()
    def answers_as_before(self) -> bool:
        """Ask v(N) once more: whether it is what it was, so that neither input nor model have changed.

        Where N has not been asked yet, the largest coalition that has.
        """
        if not self.game.answers:
            return True
        rows, _ = self.game.answered()
        row = rows[int(rows.sum(1).argmax())]
        before = self.game.answers[row.numpy().tobytes()]
        (_, now), *_ = self.evaluation(self.game.prompts(row[None]))
        if now[0].shape != before.shape:
            return False
        known = before.isfinite()
        moved = (now[0] - before)[known].abs()
        return bool((moved <= _SAME * before[known].abs().clamp(min=1.0)).all())

    def tokens(self, count: int) -> list[str]:
        """What the outputs beside the sum are called."""
        if self.target is not None:
            return list(self.target.tokens)
        return [f"output {i}" for i in range(count)]

    @property
    def whole(self) -> str:
        """What the sum is called."""
        if self.target is not None:
            return self.target.text or "target"
        return self.given if isinstance(self.given, str) else "score"


class Evaluate:
    """V of outputs on coalitions, from the answers that are known and from the model.

    Args:
        game: The game.
        outputs: Which.
    """

    def __init__(self, game: PromptGame, outputs: Outputs) -> None:
        self._game, self._outputs = game, outputs

    def __call__(self, coalitions: Tensor) -> Tensor:
        """V on coalitions, bool ``(m, n)``: float64, ``(K, m)``."""
        both = self._game.values(self._game.ask(coalitions))
        return {"sum": both[:, :1], "tokens": both[:, 1:], "both": both}[self._outputs].T


def key_of(target: Any) -> Any:
    """What tells targets apart."""
    if isinstance(target, (Tensor, np.ndarray)):
        return tuple(target.flatten().tolist())
    return tuple(target) if isinstance(target, Sequence) and not isinstance(target, str) else target


def labelled(result: ResultT, asked: Asked, outputs: Outputs) -> ResultT:
    """A result of one axis, whose outputs are called as the target and its tokens."""
    (count,) = result.shape
    tokens: list[str] = asked.tokens(count - (outputs == "both"))
    names = {"sum": [asked.whole], "tokens": tokens, "both": [asked.whole, *tokens]}[outputs]
    axes = Axes.labelled(tuple(names))
    named: Any = replace(result, axes=axes)
    estimate = getattr(named, "estimate", None)
    if isinstance(named, LogicalModel) and isinstance(estimate, GameEstimate):
        own = estimate if outputs == "sum" else estimate[0]
        named = replace(named, estimate=replace(own, axes=axes, continued=None))
    result = named
    return result


def sum_and_each(scores: Tensor) -> Tensor:
    """Scores of one's own ``(k, K)`` behind their sum: ``(k, 1 + K)``."""
    return torch.cat([scores.sum(-1, keepdim=True), scores], dim=-1)


def warn_of_joining(inp: Any, target: str, text: TargetText, tokenizer: Any) -> None:
    """Warn where the tokenizer splits prompt and target together otherwise than one after the other.

    With a space between them or without, since some tokenizers count the space to the word behind it.
    """
    prompt = inp.to_model_input()
    if not isinstance(prompt, str) or not getattr(tokenizer, "is_fast", False):
        return
    special = bool(getattr(inp, "add_special_tokens", True))
    texts = [prompt, prompt + target, f"{prompt} {target}"]
    alone, *joined = (p.ids for p in read_prompts(texts, tokenizer, special))
    if special and len(tokenizer("")["input_ids"]) and all(ids[-1] == alone[-1] for ids in joined):
        return  # the tokenizer ends every text with a token of its own: nothing is joined
    if (*alone, *text.ids) not in joined:
        own, behind = list(text.ids)[:6], list(joined[0][len(alone) - 1 :])[:6]
        warn(
            f"target={target!r:.50} is split otherwise behind the prompt ({behind}…) than alone ({own}…): a model "
            "would hardly write these tokens. Begin the target with a space, end the prompt with one, or pass the ids."
        )
