"""The game of a prompt and a target: what a model says of the target when parts of the prompt are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import torch
from torch import Tensor

from captum_andor._utils.progress import Progress, progress_bar
from captum_andor.explain import AndOrExplanation, GameEstimate, LogicalModel
from captum_andor.games import absent_feature
from captum_andor.llm.targets import TargetText
from captum_andor.results import Axes

AttrTarget: TypeAlias = Literal["log_prob", "prob", "log_odds"]
Outputs: TypeAlias = str | tuple[int, int]  # one of those below, or a span of tokens
_NAMED = ("sum", "tokens", "both")
ResultT = TypeVar("ResultT", LogicalModel, AndOrExplanation, GameEstimate)

_COMPARED = 32  # prompts that are compared with those of before
_SAME = 0.01  # of max(1, |v|): v(N) of the same input and model differs by less when it is asked again


@dataclass
class TargetGame:
    """A game with its answers: each prompt is evaluated once, and none is forgotten.

    Attributes:
        inp: One of Captum's interpretable inputs, or ours.
        key: What tells this game from another one of the same input: target, score and options.
        given: The target or what stands for it, as it was given.
        target: The target as tokens; None with a score.
        read: Turns what the input returns for coalitions into prompts that can be compared.
        evaluation: Evaluates prompts, each once, and yields which and theirs, ``(k, T, …)``, as soon as it knows.
        values: Turns these into v of the target and of each token: ``(k, T, …)`` into ``(k, 1 + T)``.
        on_answer: Called with a prompt and its row of v, as soon as it is known.
        outputs: Which columns of v are returned.
        answers: By coalition, as bytes, what has been evaluated.
        score: What v is, as prints name it: ``"log_prob"``, ``"prob"``, ``"log_odds"``, or empty.
        doubts: What a reader has to know of the target, found when it is asked for.
    """

    inp: Any
    key: Any
    given: Any
    target: TargetText | None
    read: Callable[[list[Any]], Sequence[Any]]
    evaluation: Any
    values: Callable[[Tensor], Tensor]
    on_answer: Callable[[Any, Tensor], None] | None = None
    outputs: Outputs = "sum"
    answers: dict[bytes, Tensor] = field(default_factory=dict)
    score: str = ""
    doubts: Callable[[], tuple[str, ...]] = tuple
    _bar: Progress | None = None
    _asked: dict[bytes, Any] = field(default_factory=dict)  # some coalitions and the prompts that they made

    @property
    def absent_in_words(self) -> str:
        """What becomes of a player that is absent."""
        return absent_feature(self.inp)

    @property
    def inputs(self) -> Tensor:
        """All players present, ``(1, n)``."""
        return torch.ones(1, int(self.inp.n_itp_features))

    def __call__(self, present: Tensor) -> Tensor:
        """Values v on coalitions, ``(B, n)`` ones and zeros: float64, ``(B,)`` for the sum, else ``(B, K)``."""
        found = self.values_on(present != 0, self.outputs).T
        return found[:, 0] if is_single(self.outputs) else found

    def values_on(self, coalitions: Tensor, outputs: Outputs) -> Tensor:
        """Values v of outputs on coalitions, bool ``(m, n)``: float64, ``(K, m)``."""
        return self.columns(self.ask(coalitions), outputs).T

    def columns(self, answers: Tensor, outputs: Outputs) -> Tensor:
        """Of answers ``(m, T, …)`` the values v that are asked for: of a span of tokens as if it were the target."""
        if isinstance(outputs, tuple):
            return self.values(answers[:, slice(*outputs)])[:, :1]
        both = self.values(answers)
        return {"sum": both[:, :1], "tokens": both[:, 1:], "both": both}[outputs]

    def checked(self, outputs: Any) -> Outputs:
        """The outputs as one of the three names, or as a span ``(start, end)`` of the target's tokens."""
        if isinstance(outputs, str) and outputs in _NAMED:
            return outputs
        if self.target is None:
            raise ValueError(f'outputs must be "sum", "tokens" or "both" with a score of your own; got {outputs!r}.')
        tokens = list(self.target.tokens)
        if isinstance(outputs, str):
            text, ends = "".join(tokens), [len("".join(tokens[: i + 1])) for i in range(len(tokens))]
            place, count = text.find(outputs), text.count(outputs) if outputs else 0
            if count != 1:
                raise ValueError(
                    f'outputs must be "sum", "tokens", "both", a span (start, end) of tokens, or a part of the target '
                    f"{self.whole!r} that is there once; got {outputs!r}, which is there {count} times."
                )
            start = next(i for i, end in enumerate(ends) if end > place)
            return start, 1 + next(i for i, end in enumerate(ends) if end >= place + len(outputs))
        try:
            start, end = outputs
            inside = 0 <= start < end <= len(tokens) and all(isinstance(place, int) for place in (start, end))
        except (TypeError, ValueError):
            inside = False
        if not inside:
            raise ValueError(
                f"outputs must be a span (start, end) of the {len(tokens)} tokens of the target, 0 ≤ start < end; got "
                f"{outputs!r}."
            )
        return int(start), int(end)

    def ask(self, coalitions: Tensor) -> Tensor:
        """Answers on coalitions, bool ``(B, n)``: ``(B, T, …)``; those that are known are not asked again."""
        keys = [row.numpy().tobytes() for row in coalitions.cpu()]
        places = {key: place for place, key in enumerate(keys) if key not in self.answers}
        if places:
            missing = list(places)
            prompts = self.prompts(coalitions[list(places.values())])
            room = max(_COMPARED - len(self._asked), 0)
            self._asked.update(list(zip(missing, prompts, strict=True))[:room])
            first: dict[Any, int] = {}
            twins: dict[int, list[bytes]] = {}  # coalitions that make the same prompt
            different: list[Any] = []
            for key, prompt in zip(missing, prompts, strict=True):
                number = first.setdefault(prompt, len(different)) if _comparable(prompt) else len(different)
                if number == len(different):
                    different.append(prompt)
                twins.setdefault(number, []).append(key)
            with torch.no_grad():
                for numbers, rows in self.evaluation(different):
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
        """What has been evaluated: coalitions, bool ``(m, n)``, and answers, ``(m, T, …)``."""
        n = self.inputs.shape[1]
        rows = [torch.frombuffer(bytearray(key), dtype=torch.bool) for key in self.answers]
        if not rows:
            return torch.zeros(0, n, dtype=torch.bool), torch.zeros(0, 1, dtype=torch.float64)
        return torch.stack(rows), torch.stack(list(self.answers.values()))

    @contextmanager
    def progress(self, show: bool | None, description: str, total: int | None = None) -> Iterator[None]:
        """Progress bar over prompts not in the cache."""
        left = None if total is None else max(total - len(self.answers), 0)
        with progress_bar(show, left, description, unit="prompt") as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    @torch.no_grad()
    def is_unchanged(self) -> bool:
        """Whether coalitions make the prompts that they made, and the model says of v(N) what it said.

        Where N has not been asked yet, of the largest coalition that has.
        """
        if not self.answers:
            return True
        keys = list(self._asked)
        again = self.prompts(torch.stack([torch.frombuffer(bytearray(key), dtype=torch.bool) for key in keys]))
        if any(_comparable(old) and old != new for old, new in zip(self._asked.values(), again, strict=True)):
            return False
        rows, _ = self.answered()
        row = rows[int(rows.sum(1).argmax())]
        before = self.answers[row.numpy().tobytes()]
        (_, now), *_ = self.evaluation(self.prompts(row[None]))
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

    def _tell(self, prompt: Any, row: Tensor, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)
        if self.on_answer is not None:
            self.on_answer(prompt, self.values(row[None])[0])


def _comparable(prompt: Any) -> bool:
    """Whether equal prompts have equal answers: not where an image or the like stands beside the tokens."""
    return not getattr(prompt, "further", None)


def target_values(attr_target: AttrTarget) -> Callable[[Tensor], Tensor]:
    """Values v of a target and of each of its tokens, from log p and log(1 - p) of these.

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


def is_single(outputs: Outputs) -> bool:
    """Whether one number is asked for: of the whole target, or of a span of it."""
    return outputs == "sum" or isinstance(outputs, tuple)


def labelled(result: ResultT, game: TargetGame, outputs: Outputs) -> ResultT:
    """A result of one axis, whose outputs are called as the target and its tokens."""
    (count,) = result.shape
    tokens: list[str] = game.tokens(count - (outputs == "both"))
    if isinstance(outputs, tuple):
        names = ["".join(game.tokens(0)[slice(*outputs)]).strip()]
    else:
        names = {"sum": [game.whole], "tokens": tokens, "both": [game.whole, *tokens]}[outputs]
    axes = Axes.labelled(tuple(names))
    question = replace(result.players.question, score=game.score, doubts=game.doubts())
    players = replace(result.players, question=question)
    named: Any = replace(result, axes=axes, players=players)
    estimate = getattr(named, "estimate", None)
    if isinstance(named, LogicalModel) and isinstance(estimate, GameEstimate):
        own = estimate if is_single(outputs) else estimate[0]
        named = replace(named, estimate=replace(own, axes=axes, players=players, continued=None))
    result = named
    return result


def sum_and_each(scores: Tensor) -> Tensor:
    """Scores of one's own ``(k, K)`` behind their sum: ``(k, 1 + K)``."""
    return torch.cat([scores.sum(-1, keepdim=True), scores], dim=-1)
