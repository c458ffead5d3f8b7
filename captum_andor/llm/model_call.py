"""A causal language model as it is called here: what it takes, where it is, and what it predicts of a target."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captum_andor.games import picked_output
from captum_andor.llm.prompts import Prompt

_CACHE_NAMES = ("cache", "past_key_values")  # the first since transformers 5.24


class ModelCall:
    """A model and the names of the arguments that it takes.

    Args:
        model: Called by name, e.g. one of transformers; returns logits ``(B, L, V)``, or what has some.
        device: Where its inputs go.
    """

    def __init__(self, model: Callable[..., Any], device: torch.device) -> None:
        self.model = model
        self.device = device
        self._names, self._takes_any = _argument_names(model)
        self.cache_name = next((name for name in _CACHE_NAMES if name in self._names), None)

    @property
    def _is_spread(self) -> bool:
        """Whether layers are on several devices, so that the last one may not be where the inputs are."""
        return len(set((getattr(self.model, "hf_device_map", None) or {}).values())) > 1

    def names(self, argument: str) -> bool:
        """Whether the model names this argument."""
        return argument in self._names

    @property
    def window(self) -> int | None:
        """Most tokens that the model has positions for; None where its configuration does not tell."""
        config = self.text_config
        for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
            value = getattr(config, name, None)
            if isinstance(value, int) and value > 0:
                return value
        return None

    @property
    def vocabulary(self) -> int | None:
        """How many tokens the model knows; None where its configuration does not tell."""
        size = getattr(self.text_config, "vocab_size", None)
        return size if isinstance(size, int) else None

    @property
    def attention_window(self) -> int | None:
        """How many tokens back a layer attends, where that is bounded; None where it is not."""
        config = self.text_config
        if getattr(config, "use_sliding_window", True) is False:
            return None
        windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
        return min((w for w in windows if isinstance(w, int)), default=None)

    @property
    def text_config(self) -> Any:
        """The configuration of the language model, in a model of several kinds of inputs, too."""
        config = getattr(self.model, "config", None)
        return getattr(config, "text_config", None) or config

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's parameters, as far as they are floating point."""
        if isinstance(self.model, nn.Module):
            for parameter in self.model.parameters():
                if parameter.is_floating_point():
                    return parameter.dtype
        return torch.float32

    def tensor(self, values: Any) -> Tensor:
        """Integers as a tensor beside the model."""
        return torch.tensor(values, dtype=torch.long, device=self.device)

    def logits(self, inputs: Mapping[str, Any], positions: Tensor) -> Tensor:
        """Logits at some positions of every row: ``(B, len(positions), V)``."""
        given = {name: value for name, value in inputs.items() if self._takes_any or name in self._names}
        keeps = "logits_to_keep" in self._names
        if keeps:
            given["logits_to_keep"] = positions.cpu() if self._is_spread else positions
        logits = picked_output(self.model(**given), None)
        if not isinstance(logits, Tensor):
            raise TypeError(f"the model must return logits, or an output with logits; got {type(logits).__name__}.")
        if logits.ndim == 4 and logits.shape[1] == 1:  # Llama 4
            logits = logits[:, 0]
        if logits.ndim != 3:
            raise ValueError(f"the model must return logits of shape (B, L, V); got {tuple(logits.shape)}.")
        return logits if keeps and logits.shape[1] == len(positions) else logits[:, positions.to(logits.device)]

    def alone(self, prompt: Prompt, target: Sequence[int], complement: bool, whole: bool = False) -> Tensor:
        """Log-probabilities of a target after a prompt in a pass of its own, on the whole sequence at once.

        Args:
            prompt: The prompt.
            target: Ids, at least one.
            complement: Whether the log-probabilities of all other tokens are wanted.
            whole: Whether the last token of the target is passed, too, which nothing is asked of.

        Returns:
            - **log_probabilities** (*Tensor*): float64, shape ``(T, 2)``.
        """
        return target_log_probabilities(self._predicting(prompt, target, whole), self.tensor(target), complement)[0]

    def preferred(self, prompt: Prompt, target: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the model would say in the place of each token of a target, the tokens before it given.

        Returns:
            - **log_probabilities** (*Tensor*): Of its own choices, float64, shape ``(T,)``.
            - **ids** (*Tensor*): These, int64, shape ``(T,)``.
        """
        logits = self._predicting(prompt, target, False)[0]
        best, ids = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1).max(-1)
        return best.cpu().double(), ids.cpu()

    def _predicting(self, prompt: Prompt, target: Sequence[int], whole: bool) -> Tensor:
        """Logits that predict the tokens of a target after a prompt: ``(1, T, V)``."""
        behind = list(target if whole else target[:-1])
        seen = prompt.seen or (True,) * len(prompt)
        inputs = {
            **prompt.further,
            "input_ids": self.tensor([[*prompt.ids, *behind]]),
            "attention_mask": self.tensor([[*map(int, seen), *(1,) * len(behind)]]),
            "use_cache": False,
        }
        positions = self.tensor([prompt.last_visible, *range(len(prompt), len(prompt) + len(target) - 1)])
        return self.logits(inputs, positions)

    def token_by_token(self, prompt: Prompt, target: Sequence[int], complement: bool) -> Tensor:
        """The same, each token of the target from a pass that ends before it, as for models that are not causal."""
        rows = []
        for i, token in enumerate(target):
            seen = None if prompt.seen is None else (*prompt.seen, *(True,) * i)
            longer = Prompt((*prompt.ids, *target[:i]), seen, prompt.further)
            rows.append(self.alone(longer, [token], complement))
        return torch.cat(rows)


def target_log_probabilities(logits: Tensor, target: Tensor, complement: bool) -> Tensor:
    """Log p of each token of a target, and log(1 - p), from the logits that predict them.

    Args:
        logits (Tensor): Shape ``(B, T, V)``; the softmax is taken in float32 at least.
        target (Tensor): Ids, shape ``(T,)``.
        complement (bool): Whether log(1 - p) is wanted; NaN otherwise.

    Returns:
        - **log_probabilities** (*Tensor*): float64 on the CPU, shape ``(B, T, 2)``.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    index = target.to(logits.device)[None, :, None].expand(len(logits), -1, 1)
    whole = logits.logsumexp(-1)
    present = logits.gather(2, index)[..., 0] - whole
    absent = torch.full_like(present, torch.nan)
    if complement:
        absent = logits.scatter(2, index, -torch.inf).logsumexp(-1) - whole
    return torch.stack([present, absent], dim=-1).cpu().double()


def _argument_names(model: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """The names of a model's arguments, and whether it takes any others; those of a wrapped model, too."""
    inner = getattr(model, "get_base_model", None)  # peft
    layers = [model, inner()] if callable(inner) else [model]
    names: set[str] = set()
    takes_any = False
    for layer in layers:
        try:
            parameters = inspect.signature(getattr(layer, "forward", layer)).parameters.values()
        except (TypeError, ValueError):
            return frozenset(), True
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        takes_any |= any(p.kind == p.VAR_KEYWORD for p in parameters)
    return frozenset(names), takes_any
