"""From an interpretable input and a target to the game of what a model says of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from captum.attr import InterpretableInput
from torch import Tensor

from captum_andor._utils.checks import is_int
from captum_andor._utils.user_warnings import warn
from captum_andor.llm.evaluation import TargetEvaluation
from captum_andor.llm.model_call import ModelCall
from captum_andor.llm.prompts import Prompt, read_prompts
from captum_andor.llm.remote import RemoteEvaluation
from captum_andor.llm.scored_batches import ScoreEvaluation
from captum_andor.llm.target_game import AttrTarget, TargetGame, sum_and_each, target_values
from captum_andor.llm.targets import TargetText, target_text

_FAR_BELOW = math.log(100)  # of the likelihood of a model's own choices
_LARGEST_EXPONENT = 700.0
# Captum's
_GENERATION: dict[str, Any] = {"max_new_tokens": 25, "do_sample": False, "temperature": None, "top_p": None}


@dataclass(frozen=True)
class Settings:
    """How a model is asked: the arguments of :class:`captum_andor.llm.AndOrLLMAttribution` that games depend on."""

    model: Any
    tokenizer: Any
    device: torch.device
    attr_target: AttrTarget
    score: Callable[..., Any] | None
    provider: Any
    tokens_per_batch: int | None
    parallel_requests: int
    retries: int


def make_target_game(
    settings: Settings,
    inp: Any,
    target: Any,
    gen_args: dict[str, Any] | None,
    skip_tokens: Sequence[Any] | None,
    use_cache: bool,
    in_tokens: bool,
    last: TargetGame | None,
) -> TargetGame:
    """The game of an input and a target: the last one, where that is the same and answers as it did."""
    if not isinstance(inp, InterpretableInput):
        raise TypeError(
            "inp must be an interpretable input: ContextInput, MaskedTokenInput, or one of Captum's, e.g. "
            f"TextTemplateInput; got {type(inp).__name__}."
        )
    if target is not None and gen_args is not None:
        raise ValueError("gen_args are of the generation of a target, and target was given: pass one of them.")
    own = settings.score is not None
    key = None if own else target_key(target), repr(gen_args), repr(skip_tokens), use_cache, in_tokens
    is_last = last is not None and last.inp is inp and last.key == key and (not own or last.given is target)
    if last is not None and is_last and last.is_unchanged():
        return last
    read = _reader(settings, inp)
    text, cut = None, ""
    if settings.score is None:
        ids, cut = _generated(settings, inp, read, gen_args) if target is None else (target, "")
        text = target_text(ids, settings.tokenizer, skip_tokens, ModelCall(settings.model, settings.device).vocabulary)
        if isinstance(target, str) and skip_tokens is None:
            warn_if_tokenised_differently(inp, target, text, settings.tokenizer)
    evaluation = _evaluation(settings, text, target, use_cache, in_tokens)
    values = target_values(settings.attr_target) if settings.score is None else sum_and_each
    game = TargetGame(inp, key, target, text, _limited(settings, read, text), evaluation, values)
    if text is not None:
        game.score = settings.attr_target
        game.doubts = cache(lambda: (*filter(None, (cut, _unlikely(settings, game))),))
    return game


def _unlikely(settings: Settings, game: TargetGame) -> str:
    """A sentence where a model would not give the target with everything present; empty where it would."""
    if settings.provider is not None or game.target is None or game.evaluation.way == "token by token":
        return ""
    (prompt,) = game.prompts(torch.ones(1, game.inputs.shape[1], dtype=torch.bool))
    call = ModelCall(settings.model, settings.device)
    with torch.no_grad():
        given = call.alone(prompt, game.target.ids, False)[:, 0]
        best, ids = call.preferred(prompt, game.target.ids)
    gap = best - given
    if float(gap.sum()) < _FAR_BELOW:
        return ""
    at = int(gap.argmax())
    own, ratio = str(settings.tokenizer.decode(ids[at : at + 1])).strip(), min(float(gap[at]), _LARGEST_EXPONENT)
    return (
        f"The model itself would not give this answer: with everything present p = {math.exp(float(given.sum())):.1g}, "
        f"and in the place of {game.target.tokens[at]!r} it prefers {own!r}, {math.exp(ratio):.2g} times as likely."
    )


def _reader(settings: Settings, inp: Any) -> Callable[[list[Any]], Sequence[Any]]:
    """Turns what the input returns into prompts: texts for a server, token ids for a model."""
    special = bool(getattr(inp, "add_special_tokens", True))
    if settings.provider is None:
        return lambda given: read_prompts(given, settings.tokenizer, special)

    def texts(given: list[Any]) -> list[str]:
        return [
            one if isinstance(one, str) else str(settings.tokenizer.decode(torch.tensor(prompt.ids)))
            for one, prompt in zip(given, read_prompts(given, settings.tokenizer, special), strict=True)
        ]

    return texts


def _limited(settings: Settings, read: Callable[[list[Any]], Sequence[Any]], text: TargetText | None) -> Any:
    """The reader, with an error where a prompt and the target do not fit into the model's window."""
    window = None if settings.provider is not None else ModelCall(settings.model, settings.device).window
    behind = 0 if text is None else len(text.ids)

    def limited(given: list[Any]) -> Sequence[Any]:
        prompts = read(given)
        longest = max((len(prompt) for prompt in prompts), default=0) + behind
        if window is not None and longest > window:
            raise ValueError(
                f"inp gives a prompt that takes {longest} tokens with the target, and the model's window is "
                f"{window}: shorten what inp holds, or leave a part of it out."
            )
        return prompts

    return limited


def _evaluation(settings: Settings, text: TargetText | None, target: Any, use_cache: bool, in_tokens: bool) -> Any:
    if settings.provider is not None:
        assert text is not None
        return RemoteEvaluation(
            settings.provider, settings.tokenizer, settings.tokenizer.decode(torch.tensor(text.ids)), len(text.ids),
            settings.parallel_requests, settings.retries,
        )  # fmt: skip
    call = ModelCall(settings.model, settings.device)
    if settings.score is not None:
        pad = getattr(settings.tokenizer, "pad_token_id", None)
        return ScoreEvaluation(call, settings.score, target, 0 if pad is None else int(pad), settings.tokens_per_batch)
    assert text is not None
    return TargetEvaluation(
        call, text.ids, settings.attr_target == "log_odds", settings.tokens_per_batch, use_cache, in_tokens
    )


@torch.no_grad()
def _generated(
    settings: Settings, inp: Any, read: Callable[[list[Any]], Sequence[Any]], gen_args: dict[str, Any] | None
) -> tuple[Any, str]:
    """What is said to the whole prompt, and a sentence where it was cut."""
    given = dict(gen_args or _GENERATION)
    prompt = read([inp.to_model_input()])[0]
    if settings.provider is not None:
        return settings.provider.generate(prompt, **given), ""
    generate = getattr(settings.model, "generate", None)
    if not callable(generate) or getattr(getattr(settings.model, "config", None), "is_encoder_decoder", False):
        raise ValueError("target must be given: the model cannot continue a prompt (it has no generate()).")
    assert isinstance(prompt, Prompt)
    call = ModelCall(settings.model, settings.device)
    seen = prompt.seen or (True,) * len(prompt)
    inputs = {"input_ids": call.tensor([prompt.ids]), "attention_mask": call.tensor([list(map(int, seen))])}
    written = generate(**prompt.further, **inputs, **given)[0][len(prompt) :]
    if not len(written):
        raise ValueError("target is empty: the model generated nothing from the whole prompt. Pass a target.")
    ends = getattr(getattr(settings.model, "generation_config", None), "eos_token_id", None)
    most = given.get("max_new_tokens")
    if len(written) != most or int(written[-1]) in (ends if isinstance(ends, (list, tuple)) else (ends,)):
        return written, ""
    return written, f"The answer was cut after {most} tokens: gen_args={{'max_new_tokens': …}} makes room for more."


def target_key(target: Any) -> Any:
    """A target by its content; None with a score of one's own is compared as it is."""
    if isinstance(target, (Tensor, np.ndarray)):
        target = target.flatten().tolist()
    if isinstance(target, str) or not isinstance(target, Sequence):
        return target
    return tuple((is_int(i), i) for i in target)  # 3.0 equals 3, and is no id


def warn_if_tokenised_differently(inp: Any, target: str, text: TargetText, tokenizer: Any) -> None:
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
