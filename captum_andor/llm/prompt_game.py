"""The game of a prompt: log-probabilities of a target on coalitions, each asked once, none forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from captum_andor._utils.progress import Progress, progress_bar

AttrTarget: TypeAlias = Literal["log_prob", "prob", "log_odds"]
Outputs: TypeAlias = Literal["sum", "tokens", "both"]


class PromptGame:
    """What a model says of a target when some of a prompt's players are left out.

    Args:
        inp: One of Captum's interpretable inputs, or ours.
        read: Turns what the input returns for coalitions into prompts that can be compared.
        evaluate: Evaluates prompts, each once, and hands out which and theirs, ``(k, T, …)``, as soon as it knows.
        values: Turns these into v of the target and of each token: ``(k, T, …)`` into ``(k, 1 + T)``.
        on_answer: Called with a prompt and its row of v, as soon as it is known.

    Attributes:
        answers: By coalition, as bytes, what has been evaluated.
        outputs: Which columns of v are returned.
    """

    def __init__(
        self,
        inp: Any,
        read: Callable[[list[Any]], Sequence[Any]],
        evaluate: Callable[[Sequence[Any]], Iterable[tuple[list[int], Tensor]]],
        values: Callable[[Tensor], Tensor],
        on_answer: Callable[[Any, Tensor], None] | None = None,
    ) -> None:
        self.inp = inp
        self.read = read
        self.evaluate = evaluate
        self.values = values
        self.on_answer = on_answer
        self.outputs: Outputs = "sum"
        self.answers: dict[bytes, Tensor] = {}
        self.inputs = torch.ones(1, int(inp.n_itp_features))
        self._bar: Progress | None = None

    def __call__(self, present: Tensor) -> Tensor:
        """V on coalitions, ``(B, n)`` ones and zeros: float64, ``(B,)`` for the sum, else ``(B, K)``."""
        both = self.values(self.ask(present != 0))
        if self.outputs == "sum":
            return both[:, 0]
        return both[:, 1:] if self.outputs == "tokens" else both

    def ask(self, coalitions: Tensor) -> Tensor:
        """Answers on coalitions, bool ``(B, n)``: ``(B, T, …)``; those that are known are not asked again."""
        keys = [row.numpy().tobytes() for row in coalitions.cpu()]
        places = {key: place for place, key in enumerate(keys) if key not in self.answers}
        if places:
            missing = list(places)
            prompts = self.prompts(coalitions[list(places.values())])
            first: dict[Any, int] = {}
            twins: dict[int, list[bytes]] = {}  # coalitions that make the same prompt
            different: list[Any] = []
            for key, prompt in zip(missing, prompts, strict=True):
                number = first.setdefault(prompt, len(different)) if _comparable(prompt) else len(different)
                if number == len(different):
                    different.append(prompt)
                twins.setdefault(number, []).append(key)
            with torch.no_grad():
                for numbers, rows in self.evaluate(different):
                    for number, row in zip(numbers, rows, strict=True):
                        for key in twins[number]:
                            self.answers[key] = row
                        self._tell(different[number], row, len(twins[number]))
        return torch.stack([self.answers[key] for key in keys])

    def prompts(self, coalitions: Tensor) -> Sequence[Any]:
        """The prompts of coalitions, bool ``(B, n)``."""
        original = self.inp.to_tensor()
        kept = coalitions.to(original.device)
        return self.read([self.inp.to_model_input((original * row[None]).to(original.dtype)) for row in kept])

    def answered(self) -> tuple[Tensor, Tensor]:
        """What has been evaluated: coalitions, bool ``(m, n)``, and v, ``(m, 1 + T)``."""
        n = self.inputs.shape[1]
        rows = [torch.frombuffer(bytearray(key), dtype=torch.bool) for key in self.answers]
        if not rows:
            return torch.zeros(0, n, dtype=torch.bool), torch.zeros(0, 1, dtype=torch.float64)
        return torch.stack(rows), self.values(torch.stack(list(self.answers.values())))

    @contextmanager
    def progress(self, show: bool, description: str, total: int | None = None) -> Iterator[None]:
        """Show a bar over what is evaluated, which what is known already shortens."""
        left = None if total is None else max(total - len(self.answers), 0)
        with progress_bar(show, left, description, unit="prompt") as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def _tell(self, prompt: Any, row: Tensor, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)
        if self.on_answer is not None:
            self.on_answer(prompt, self.values(row[None])[0])


def _comparable(prompt: Any) -> bool:
    """Whether equal prompts have equal answers: not where an image or the like stands beside the tokens."""
    return not getattr(prompt, "further", None)


def target_values(attr_target: AttrTarget) -> Callable[[Tensor], Tensor]:
    """V of a target and of each of its tokens, from log p and log(1 - p) of these.

    Args:
        attr_target: ``"log_prob"``, ``"prob"`` or ``"log_odds"``, of the tokens one after the other.

    Returns:
        - **values** (*Callable*): ``(k, T, 2)`` into ``(k, 1 + T)``, float64.
    """
    if attr_target not in get_args(AttrTarget):
        raise ValueError(f"attr_target must be one of {list(get_args(AttrTarget))}; got {attr_target!r}.")

    def values(answers: Tensor) -> Tensor:
        present, absent = answers.unbind(-1)
        whole = present.sum(-1, keepdim=True)
        if attr_target == "log_odds":
            # the target is missed at the first token that is: no cancellation where p is near 1
            before = present.cumsum(-1) - present
            return torch.cat([whole - (before + absent).logsumexp(-1, keepdim=True), present - absent], dim=-1)
        both = torch.cat([whole, present], dim=-1)
        return both.exp() if attr_target == "prob" else both

    return values
