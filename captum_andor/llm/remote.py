"""Log-probabilities of a target from a server: requests in parallel, asked again where they fail."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import torch
from torch import Tensor

_FIRST_WAIT = 0.5  # seconds before the first repetition, twice as long before each further one


class RemoteEvaluation:
    """Log-probabilities of one target after prompts, from a provider of Captum's.

    Attributes:
        way: ``"remote"``.
    """

    way = "remote"

    def __init__(
        self, provider: Any, tokenizer: Any, target: str, n_tokens_of_target: int, parallel_requests: int, retries: int
    ) -> None:
        self.provider = provider
        self.tokenizer = tokenizer
        self.target = target
        self.count = n_tokens_of_target
        self.parallel_requests = parallel_requests
        self.retries = retries

    def __call__(self, prompts: Sequence[str]) -> Iterator[tuple[list[int], Tensor]]:
        """Evaluate prompts, each once: which, and theirs, float64 ``(1, T, 2)``, as soon as they are known."""
        pool = ThreadPoolExecutor(self.parallel_requests)
        pending: dict[Future[list[float]], int] = {}
        waiting = iter(range(len(prompts)))
        failure: BaseException | None = None
        try:
            while True:
                while failure is None and len(pending) < self.parallel_requests:
                    place = next(waiting, None)
                    if place is None:
                        break
                    pending[pool.submit(self._asked, prompts[place])] = place
                if not pending:
                    break
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for request in done:
                    place = pending.pop(request)
                    if request.exception() is not None:
                        failure = failure or request.exception()
                    else:
                        yield [place], self._row(request.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for no answer
        if failure is not None:
            raise failure

    def _asked(self, prompt: str) -> list[float]:
        for attempt in range(self.retries + 1):
            try:
                return list(
                    self.provider.get_logprobs(input_prompt=prompt, target_str=self.target, tokenizer=self.tokenizer)
                )
            except Exception as error:  # noqa: PERF203  # a request takes far longer
                if attempt == self.retries:
                    raise RuntimeError(
                        f"the provider failed {attempt + 1} times on a prompt of {len(prompt)} characters "
                        f"({type(error).__name__}: {error}). What it has answered is kept: call again to go on."
                    ) from error
                time.sleep(_FIRST_WAIT * 2**attempt)
        raise AssertionError("unreachable")

    def _row(self, answer: list[float]) -> Tensor:
        if len(answer) != self.count:
            raise ValueError(
                f"the provider returned {len(answer)} log-probabilities for a target of {self.count} tokens: its "
                "tokenizer splits the target otherwise than the one that was given."
            )
        present = torch.tensor(answer, dtype=torch.float64)
        absent = torch.where(present < 0, torch.log(-torch.expm1(present)), -torch.inf)
        return torch.stack([present, absent], dim=-1)[None]
