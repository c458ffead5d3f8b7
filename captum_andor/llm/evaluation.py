"""Log-probabilities of a target after many prompts, in as few tokens as the model allows.

Three ways, from the cheapest: prompts as a tree of tokens; prompts of like length in right-padded batches behind the
cache of what they begin with in common; one prompt at a time. A way is trusted once a prompt of its batches, asked
again alone, gives the same; else the next one is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Tensor

from captum_andor.llm.model_call import ModelCall, target_log_probabilities
from captum_andor.llm.prompts import Prompt
from captum_andor.llm.token_tree import TreePart, tree_parts

Found: TypeAlias = "tuple[list[int], Tensor]"  # which prompts, and theirs: float64, (k, T, 2)
_log = logging.getLogger("captum_andor.llm")

# The mask of attention grows with the square of a part: parts of 192 to 768 tokens took about as long on
# one CPU thread, of 1 024 a fifth longer. For accelerators, which want more at once, nothing has been measured yet.
_TREE_TOKENS = {"cpu": 512}
_TREE_TOKENS_ACCELERATOR = 4096
_PADDED_TOKENS = {"cpu": 2048}
_PADDED_TOKENS_ACCELERATOR = 16384
_FEWEST_TOKENS = 16  # in a pass, where memory is short
_LOGIT_BYTES = 1 << 28  # of one softmax
_ALLOWED = {torch.float64: 1e-6, torch.float32: 1e-4}  # how far log p may move, relative to max(1, |log p|)
_ALLOWED_HALF = 0.5  # bfloat16 moves v by .1 as root mean square (python -m benchmarks.llm precision)
_OF_MODELS = (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError, IndexError, AssertionError)


class TargetEvaluation:
    """Log-probabilities of one target after prompts.

    Attributes:
        way: How prompts are evaluated now: ``"tree"``, ``"padded"``, ``"one by one"`` or ``"token by token"``.
        n_tokens: How many tokens have gone through the model.
    """

    def __init__(
        self,
        call: ModelCall,
        target: Sequence[int],
        complement: bool = False,
        tokens_per_batch: int | None = None,
        use_cache: bool = True,
        in_tokens: bool = True,
    ) -> None:
        self.call = call
        self.target = list(target)
        self.complement = complement
        self.tokens_per_batch = tokens_per_batch
        self.use_cache = use_cache
        self.n_tokens = 0
        self.in_tokens = in_tokens
        self._causal: bool | None = None
        self._beside_tokens = False  # whether the last prompts had more than tokens, which no batch holds
        self._ways = ["tree", "padded", "one by one"]
        if not self._takes_trees():
            self._ways.remove("tree")

    @property
    def way(self) -> str:
        """How prompts are evaluated now."""
        if self._causal is False:
            return "token by token" if self.in_tokens else "one by one"
        return self._ways[-1] if self._beside_tokens else self._ways[0]

    def __call__(self, prompts: Sequence[Prompt]) -> Iterator[Found]:
        """Evaluate prompts, each once; yields what is known as soon as it is."""
        if self._causal is None and len(self.target) == 1 and self.in_tokens:
            self._causal = True
        if self._causal is None and prompts:
            whole = self._whole_if_causal(prompts[0])
            self._causal = whole is not None
            if whole is not None and len(prompts) == 1:
                yield [0], whole[None]
                return
        self._beside_tokens = any(prompt.further for prompt in prompts)
        if not self._causal or len(prompts) == 1 or self._beside_tokens:
            yield from self._one_by_one(prompts)
            return
        ways = [way for way in self._ways if way != "tree" or not self._exceeds_attention(prompts)]
        left = list(range(len(prompts)))
        while left:
            way, last = ways[0], len(ways) == 1
            done: set[int] = set()
            try:
                for places, values in self._checked(way, [prompts[i] for i in left], last):
                    done.update(places)
                    yield [left[i] for i in places], values
            except torch.OutOfMemoryError:
                if last or self._most_tokens(way) <= _FEWEST_TOKENS:
                    raise
                self.tokens_per_batch = self._most_tokens(way) // 2
            except _WayFailedError as failure:
                _log.warning("prompts were evaluated as %s: %s; they are now evaluated as %s.", way, failure, ways[1])
                self._ways.remove(ways.pop(0))
            left = [i for place, i in enumerate(left) if place not in done]

    def _most_tokens(self, way: str) -> int:
        """In a pass."""
        device = self.call.device.type
        usual = (
            _TREE_TOKENS.get(device, _TREE_TOKENS_ACCELERATOR)
            if way == "tree"
            else _PADDED_TOKENS.get(device, _PADDED_TOKENS_ACCELERATOR)
        )
        return self.tokens_per_batch or usual

    def _checked(self, way: str, prompts: Sequence[Prompt], last: bool) -> Iterator[Found]:
        """The parts of one way, once a prompt of the second, or of the only one, has been asked again alone."""
        if last:
            yield from self._one_by_one(prompts)
            return
        parts = iter(self._tree(prompts) if way == "tree" else self._padded(prompts))
        try:
            # the second part is behind the cache of the first, so that its prompts test both
            first = list(islice(parts, 2))
            self._check(prompts, *first[-1])
            yield from first
            while (found := next(parts, None)) is not None:
                yield found
        except torch.OutOfMemoryError:
            raise
        except _OF_MODELS as error:
            raise _WayFailedError(f"{type(error).__name__}: {error!s:.200}") from error

    def _check(self, prompts: Sequence[Prompt], places: list[int], values: Tensor) -> None:
        """Ask a prompt of a part again alone: the one of most hidden tokens or, of these, of most padding."""

        def trial(row: int) -> tuple[int, int]:
            prompt = prompts[places[row]]
            return len(prompt.visible) - len(prompt), len(prompt)

        row = min(range(len(places)), key=trial)
        prompt, found = prompts[places[row]], values[row]
        alone = self.call.alone(prompt, self.target, self.complement)
        self.n_tokens += len(prompt) + len(self.target) - 1
        moved = float((found[:, 0] - alone[:, 0]).abs().max())
        if not self._is_same(found, alone):
            raise _WayFailedError(
                f"log p of a token of the target moved by {moved:.3g} when its prompt was asked alone"
            )

    def _is_same(self, one: Tensor, other: Tensor) -> bool:
        allowed = _ALLOWED.get(self.call.dtype, _ALLOWED_HALF)
        scale = other[:, 0].abs().clamp(min=1.0)
        return bool(((one[:, 0] - other[:, 0]).abs() <= allowed * scale).all())

    def _whole_if_causal(self, prompt: Prompt) -> Tensor | None:
        """A prompt alone, if what follows a token does not move its prediction: then one pass serves a whole target."""
        whole = self.call.alone(prompt, self.target, self.complement, whole=not self.in_tokens)
        self.n_tokens += len(prompt) + len(self.target) - 1
        first = self.call.alone(prompt, self.target[:1], False)
        self.n_tokens += len(prompt)
        return whole if self._is_same(whole[:1], first) else None

    def _one_by_one(self, prompts: Sequence[Prompt]) -> Iterator[Found]:
        for place, prompt in enumerate(prompts):
            self.n_tokens += len(prompt) + len(self.target) - 1
            if self._causal is False and self.in_tokens:
                found = self.call.token_by_token(prompt, self.target, self.complement)
            else:
                found = self.call.alone(prompt, self.target, self.complement, whole=self._causal is False)
            yield [place], found[None]

    def _takes_trees(self) -> bool:
        """Whether the model names what a tree needs: a mask, positions and a cache of one kind for all layers."""
        needed = ("attention_mask", "position_ids", "use_cache", "logits_to_keep")
        return self.use_cache and self.call.cache_name is not None and all(map(self.call.names, needed))

    def _exceeds_attention(self, prompts: Sequence[Prompt]) -> bool:
        """Whether a layer's attention ends within a prompt, which the mask of a tree would override."""
        window = self.call.attention_window
        return window is not None and max(map(len, prompts)) + len(self.target) > window

    def _tree(self, prompts: Sequence[Prompt]) -> Iterator[Found]:
        most = self._most_tokens("tree")
        cached: _Layers = []
        for part in tree_parts(prompts, self.target, most):
            cache = _cache_of([(k[:, :, part.kept], v[:, :, part.kept]) for k, v in cached])
            logits = self._part_logits(part, cache)
            self.n_tokens += len(part.ids)
            cached = _layers(cache)
            yield part.prompts, logits

    def _part_logits(self, part: TreePart, cache: Any) -> Tensor:
        call = self.call
        mask = torch.zeros(part.attends.shape, dtype=call.dtype, device=call.device)
        mask.masked_fill_(~torch.from_numpy(part.attends).to(call.device), torch.finfo(call.dtype).min)
        inputs = {
            "input_ids": call.tensor([part.ids]),
            "attention_mask": mask[None, None],
            "position_ids": call.tensor([part.positions]),
            str(call.cache_name): cache,
            "use_cache": True,
        }
        predictors = call.tensor(part.predictors)  # (k, T)
        logits = call.logits(inputs, predictors.flatten())[0]
        return self._log_probabilities(logits.view(*predictors.shape, -1))

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """Of logits ``(k, T, V)``, a few prompts at a time."""
        step = max(1, _LOGIT_BYTES // (4 * logits[0].numel()))
        target = self.call.tensor(self.target)
        return torch.cat(
            [target_log_probabilities(some, target, self.complement) for some in torch.split(logits, step)]
        )

    def _padded(self, prompts: Sequence[Prompt]) -> Iterator[Found]:
        """Prompts by length, padded on the right, behind the cache of what all of them begin with."""
        common = self._common_prefix(prompts)
        cached = self._prefix_layers(prompts[0], common)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
        most = self._most_tokens("padded")
        at = 0
        while at < len(order):
            longest = len(prompts[order[at]]) + len(self.target) - 1 - common
            rows = order[at : at + max(1, most // longest)]
            at += len(rows)
            yield rows, self._padded_log_probabilities([prompts[i] for i in rows], common, cached)

    def _padded_log_probabilities(self, prompts: Sequence[Prompt], common: int, cached: _Layers) -> Tensor:
        call, behind = self.call, self.target[:-1]
        longest = max(map(len, prompts)) + len(behind)
        ids, mask = [], []
        for prompt in prompts:
            seen = prompt.seen or (True,) * len(prompt)
            empty = longest - len(prompt) - len(behind)
            ids.append([*prompt.ids[common:], *behind, *(0,) * empty])
            mask.append([*map(int, seen), *(1,) * len(behind), *(0,) * empty])
        inputs: dict[str, Any] = {"input_ids": call.tensor(ids), "attention_mask": call.tensor(mask)}
        if cached:
            rows = len(prompts)
            inputs[str(call.cache_name)] = _cache_of(
                [(k.expand(rows, *k.shape[1:]), v.expand(rows, *v.shape[1:])) for k, v in cached]
            )
        inputs["use_cache"] = bool(cached)
        self.n_tokens += sum(len(prompt) + len(behind) - common for prompt in prompts)
        wanted = call.tensor(
            [[p.last_visible - common, *range(len(p) - common, len(p) - common + len(behind))] for p in prompts]
        )
        positions, place = torch.unique(wanted, return_inverse=True)
        logits = call.logits(inputs, positions)
        picked = [row[at.to(row.device)] for row, at in zip(logits, place, strict=True)]
        return self._log_probabilities(torch.stack(picked))

    def _common_prefix(self, prompts: Sequence[Prompt]) -> int:
        """How many tokens all prompts begin with that can be cached; one that is seen is left to each."""
        if not self.use_cache or self.call.cache_name is None or not self.call.names("use_cache"):
            return 0
        first, most = prompts[0], min(prompt.last_visible for prompt in prompts)
        for count in range(most):
            here = (first.ids[count], first.seen is None or first.seen[count])
            if any((p.ids[count], p.seen is None or p.seen[count]) != here for p in prompts[1:]):
                return count
        return most

    def _prefix_layers(self, prompt: Prompt, common: int) -> _Layers:
        if not common:
            return []
        call, cache = self.call, _cache_of([])
        seen = (prompt.seen or (True,) * len(prompt))[:common]
        inputs = {
            "input_ids": call.tensor([prompt.ids[:common]]),
            "attention_mask": call.tensor([list(map(int, seen))]),
            str(call.cache_name): cache,
            "use_cache": True,
        }
        call.logits(inputs, call.tensor([common - 1]))
        self.n_tokens += common
        return _layers(cache)


class _WayFailedError(Exception):
    """A way of evaluating many prompts at once does not suit the model."""


_Layers: TypeAlias = "list[tuple[Tensor, Tensor]]"  # keys and values, (rows, heads, tokens, …)


def _cache_of(layers: _Layers) -> Any:
    """A cache of transformers that holds these keys and values."""
    try:
        from transformers import DynamicCache
    except ImportError as error:
        raise ImportError(
            'the cache of a language model needs transformers: pip install "captum_andor[llm]"; or pass '
            "use_cached_outputs=False to attribute()."
        ) from error

    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache


def _layers(cache: Any) -> _Layers:
    """Keys and values of a cache, of transformers 4 and 5."""
    if hasattr(cache, "layers"):
        return [(layer.keys, layer.values) for layer in cache.layers]
    return list(zip(cache.key_cache, cache.value_cache, strict=True))
