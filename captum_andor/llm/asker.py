"""From an interpretable input and a target to the game of what a model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from captum.attr import InterpretableInput

from captum_andor.llm.asked import Asked, key_of, sum_and_each, warn_of_joining
from captum_andor.llm.evaluation import TargetEvaluation
from captum_andor.llm.model_call import ModelCall
from captum_andor.llm.prompt_game import AttrTarget, PromptGame, target_values
from captum_andor.llm.prompts import Prompt, read_prompts
from captum_andor.llm.remote import RemoteEvaluation
from captum_andor.llm.scored_batches import ScoreEvaluation
from captum_andor.llm.targets import TargetText, target_text

# Captum's
_GENERATION: dict[str, Any] = {"max_new_tokens": 25, "do_sample": False, "temperature": None, "top_p": None}


@dataclass
class Asker:
    """A model and how it is asked; its arguments are those of :class:`captum_andor.llm.AndOrLLMAttribution`.

    Attributes:
        last: The last game, whose answers a further call for the same goes on with.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    attr_target: AttrTarget
    score: Callable[..., Any] | None
    provider: Any
    tokens_per_batch: int | None
    parallel_requests: int
    retries: int
    last: Asked | None = field(default=None)

    def __call__(
        self,
        inp: Any,
        target: Any,
        gen_args: dict[str, Any] | None,
        skip_tokens: Sequence[Any] | None,
        use_cache: bool = True,
        in_tokens: bool = True,
    ) -> Asked:
        """The game of an input and a target: the last one, where that is the same and answers as it did."""
        if not isinstance(inp, InterpretableInput):
            raise TypeError(
                "inp must be an interpretable input: ContextInput, MaskedTokenInput, or one of Captum's, e.g. "
                f"TextTemplateInput; got {type(inp).__name__}."
            )
        if target is not None and gen_args is not None:
            raise ValueError("gen_args are of the generation of a target, and target was given: pass one of them.")
        key = (
            None if self.score is not None else key_of(target),
            repr(gen_args),
            repr(skip_tokens),
            use_cache,
            in_tokens,
        )
        last = self.last
        if last is not None and last.is_of(inp, key, self.score, target) and last.answers_as_before():
            return last
        read = self._reader(inp)
        text = None
        if self.score is None:
            ids = self._generated(inp, read, gen_args) if target is None else target
            text = target_text(ids, self.tokenizer, skip_tokens, ModelCall(self.model, self.device).vocabulary)
            if isinstance(target, str) and skip_tokens is None:
                warn_of_joining(inp, target, text, self.tokenizer)
        evaluation = self._evaluation(text, target, use_cache, in_tokens)
        values = target_values(self.attr_target) if self.score is None else sum_and_each
        game = PromptGame(inp, self._limited(read, text), evaluation, values)
        self.last = Asked(inp, key, self.score, target, text, evaluation, game)
        return self.last

    def _reader(self, inp: Any) -> Callable[[list[Any]], Sequence[Any]]:
        """Turns what the input returns into prompts: texts for a server, token ids for a model."""
        special = bool(getattr(inp, "add_special_tokens", True))
        if self.provider is None:
            return lambda given: read_prompts(given, self.tokenizer, special)

        def texts(given: list[Any]) -> list[str]:
            return [
                one if isinstance(one, str) else str(self.tokenizer.decode(torch.tensor(prompt.ids)))
                for one, prompt in zip(given, read_prompts(given, self.tokenizer, special), strict=True)
            ]

        return texts

    def _limited(self, read: Callable[[list[Any]], Sequence[Any]], text: TargetText | None) -> Any:
        """The reader, with an error where a prompt and the target do not fit into the model's window."""
        window = None if self.provider is not None else ModelCall(self.model, self.device).window
        behind = 0 if text is None else len(text.ids)

        def limited(given: list[Any]) -> Sequence[Any]:
            prompts = read(given)
            longest = max((len(prompt) for prompt in prompts), default=0) + behind
            if window is not None and longest > window:
                raise ValueError(
                    f"inp gives a prompt that takes {longest} tokens with the target, and the model's window is "
                    f"{window}: leave sources out or shorten them."
                )
            return prompts

        return limited

    def _evaluation(self, text: TargetText | None, target: Any, use_cache: bool, in_tokens: bool) -> Any:
        if self.provider is not None:
            assert text is not None
            return RemoteEvaluation(
                self.provider, self.tokenizer, self.tokenizer.decode(torch.tensor(text.ids)), len(text.ids),
                self.parallel_requests, self.retries,
            )  # fmt: skip
        call = ModelCall(self.model, self.device)
        if self.score is not None:
            pad = getattr(self.tokenizer, "pad_token_id", None)
            return ScoreEvaluation(call, self.score, target, 0 if pad is None else int(pad), self.tokens_per_batch)
        assert text is not None
        return TargetEvaluation(
            call, text.ids, self.attr_target == "log_odds", self.tokens_per_batch, use_cache, in_tokens
        )

    @torch.no_grad()
    def _generated(self, inp: Any, read: Callable[[list[Any]], Sequence[Any]], gen_args: dict[str, Any] | None) -> Any:
        """What is said to the whole prompt."""
        given = dict(gen_args or _GENERATION)
        prompt = read([inp.to_model_input()])[0]
        if self.provider is not None:
            return self.provider.generate(prompt, **given)
        generate = getattr(self.model, "generate", None)
        if not callable(generate) or getattr(getattr(self.model, "config", None), "is_encoder_decoder", False):
            raise ValueError("target must be given: the model cannot continue a prompt (it has no generate()).")
        assert isinstance(prompt, Prompt)
        call = ModelCall(self.model, self.device)
        seen = prompt.seen or (True,) * len(prompt)
        inputs = {"input_ids": call.tensor([prompt.ids]), "attention_mask": call.tensor([list(map(int, seen))])}
        written = generate(**prompt.further, **inputs, **given)[0][len(prompt) :]
        if not len(written):
            raise ValueError("target is empty: the model generated nothing from the whole prompt. Pass a target.")
        return written
