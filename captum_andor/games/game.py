"""The game v(S): the model's score on every coalition, streamed in batches.

A model that is random, keeps state, mixes the rows of a batch or depends on their place or number has no single game:
at the end a handful of coalitions are asked again, alone instead of in their batches.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.futures import Future
from torch.nn.modules.module import register_module_forward_hook

from captum_andor._utils.checks import is_int
from captum_andor._utils.devices import holds_float64
from captum_andor._utils.progress import Progress, progress_bar
from captum_andor._utils.running import device_of
from captum_andor._utils.user_warnings import warn
from captum_andor.games.players import Players
from captum_andor.games.scores import (
    MANY_ROWS,
    OutputField,
    Score,
    Target,
    are_probabilities,
    picked_output,
    repeat_target,
    score_output,
)
from captum_andor.games.transforms import coalition_members

# Measured by benchmarks/batch.py and confusing.py: on a CPU batches are fastest whose widest activation takes about a
# dozen megabytes (above some 16 the allocator asks the system for fresh pages in every layer), and, where no module
# tells its activations, those that hold half a megabyte to a megabyte of inputs; on a GPU they are larger. The choice
# depends on shapes only, never on a clock, so that results repeat exactly.
_ACTIVATION_BYTES = {"cpu": 12 << 20}
_BATCH_BYTES = {"cpu": 3 << 18}
_BATCH_BYTES_ACCELERATOR = 1 << 26
_MOST_OUTPUTS = 2000  # of one example with axes behind the classes: more are pixels or tokens
_MOST_BYTES = 8 << 30  # of the values v of one call
_OF_MODELS = (RuntimeError, AssertionError, IndexError, NotImplementedError)  # what models raise for a batch
_ASKED_AGAIN = 64  # coalitions, to measure the noise of v
_FEWEST_ROWS, _MOST_ROWS = 16, 4096
_SAME_DIGITS = 4.0  # times the root of the output's rounding: about half of its digits
_IDS_SHOWN = 6
Evaluate: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]
EvaluateExample: TypeAlias = Callable[[Tensor, int, Tensor | None], Tensor | None]


class _OutputDoesNotGrowError(ValueError):
    """The model returned as many rows for k perturbations as for one."""


class Game:
    """A model's score on coalitions of players.

    Args:
        forward_func: The model, called as ``forward_func(*masked_inputs, *additional_forward_args)``.
        players: The checked inputs.
        score: See :class:`captum_andor.AndOrInteractions`.
        target: In the form of :func:`captum_andor.games.scores.standard_target`.
        additional_forward_args: Further arguments; tensors are tiled along dimension 0.
        perturbations_per_eval: Coalitions per forward pass; None chooses by the size of the input.
        check_repeats: Ask for a handful of coalitions once more at the end of a call, each alone; see :meth:`change`.
        output_field: Which part of what the model returns; see :func:`captum_andor.games.scores.picked_output`.
        reference: Another model, whose score is taken off; None for v of the model itself.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        players: Players,
        score: Score,
        target: Target,
        additional_forward_args: tuple[Any, ...],
        perturbations_per_eval: int | None,
        check_repeats: bool = False,
        output_field: OutputField = None,
        reference: Callable[..., Any] | None = None,
    ) -> None:
        _check_perturbations(perturbations_per_eval)
        self.forward_func = forward_func
        self.players = players
        self.score = score
        self.target = target
        self.additional_forward_args = additional_forward_args
        self.perturbations_per_eval = perturbations_per_eval
        self.output_field = output_field
        self._repeats = Repeats() if check_repeats else None
        self.output_dtype = torch.float64
        self.aggregates = False
        self._activation_bytes = 0  # of one row, the widest
        self._trailing: torch.Size | None = None
        self._logits = _SingleLogits()
        self._classes_last = False
        self._name, self._reference = "forward_func", None
        if reference is not None:
            self._reference = Game(
                reference, players, score, target, additional_forward_args, perturbations_per_eval,
                output_field=output_field,
            )  # fmt: skip
            self._reference._name = "reference"

    def values(self, show_progress: bool | None = None, description: str = "") -> Tensor:
        """Evaluate v on all 2^n coalitions, each once, in the order of their bit codes.

        Returns:
            - **values** (*Tensor*): float64, shape ``(*outputs, 2^n)``.
        """
        n = self.players.n_players
        total = 1 << n
        with progress_bar(show_progress, total, description) as bar:
            return self._stream(
                lambda start, stop: coalition_members(torch.arange(start, stop, device="cpu"), n), total, bar, False
            )

    def noise(self, values: Tensor) -> Tensor:
        """Largest change of v between the batched evaluation and a re-evaluation with one coalition per forward pass.

        At least the rounding of the largest v in the dtype of the model's output.

        Args:
            values (Tensor): v on all coalitions, as :meth:`values` returns it.

        Returns:
            - **noise** (*Tensor*): float64, shape ``(*outputs)``; from at most 64 coalitions.
        """
        n = self.players.n_players
        codes = torch.unique(torch.linspace(0, (1 << n) - 1, _ASKED_AGAIN, device="cpu").long())
        again = torch.cat([self._evaluate(coalition_members(code[None], n)) for code in codes], dim=-1)
        moved = (again - values[..., codes.to(values.device)]).abs().amax(-1)
        return torch.maximum(moved, torch.finfo(self.output_dtype).eps * values.abs().amax(-1))

    def change(self) -> str | None:
        """Ask the model again, in eight passes at most: how far v moved and where, or None where it is the same.

        None, too, without ``check_repeats``.
        """
        if self._repeats is None:
            return None
        alone = None if self.aggregates or self.players.n_examples == 1 else self._evaluate_example
        digits = torch.finfo(self.output_dtype).eps
        try:
            return self._repeats.change(self._evaluate, alone, digits, self.players.layout.feature_ids)
        except KeyboardInterrupt:  # what was asked for is computed by now
            return None

    def repeat_error(self, coalitions: Tensor, values: Tensor) -> Tensor:
        """Standard deviation of what the model answers to one and the same question, by asking again.

        Args:
            coalitions (Tensor): bool, shape ``(k, n)``, asked again in batches.
            values (Tensor): v on them as it was before, shape ``(*outputs, k)``.

        Returns:
            - **std** (*Tensor*): float64, shape ``(*outputs)``.
        """
        with progress_bar(False, None, "") as silent:
            again = self.evaluate(coalitions, silent)
        moved = again - values[..., : again.shape[-1]].to(again.device)
        return (moved.square().mean(-1) / 2).sqrt()

    def warn_of_change(self) -> bool:
        """Warn where :meth:`change` finds one, and say whether: such a model has no single game to explain.

        Warn of a sigmoid, too, whose outputs are read as logits.
        """
        self._warn_of_sigmoid()
        if self._reference is not None:
            self._reference._warn_of_sigmoid()
        change = self.change()
        if change is not None:
            warn(
                f"{self._name} answered differently when asked again: {change}. What is explained mixes its answers. "
                "Call model.eval(), or switch off what is random in it, or changes with the batch, with the number of "
                "rows or with padding; AndOrInteractions(..., check_repeats=False) asks only once."
            )
        return change is not None

    def _warn_of_sigmoid(self) -> None:
        if self._logits.are_probabilities:
            warn(
                f"{self._name} seems to return probabilities of one class: its {self._logits.count:,} outputs lie in "
                f"[{self._logits.low:.3g}, {self._logits.high:.3g}]. score={self.score!r} reads them as logits. Leave "
                'out the last sigmoid, pass their logit, or explain them with score="output".'
            )

    def _evaluate_example(self, coalition: Tensor, example: int, row: Tensor | None) -> Tensor | None:
        """V of one example without the others; None where an argument belongs to the batch, or the model refuses."""
        n = self.players.n_examples
        arguments = []
        for argument in self.additional_forward_args:
            if isinstance(argument, Tensor) and argument.ndim > 0:
                if len(argument) != n:
                    return None
                argument = argument[example : example + 1]
            arguments.append(argument)
        target = self.target[example : example + 1] if isinstance(self.target, (Tensor, list)) else self.target
        game = Game(
            self.forward_func,
            self.players.of_examples(slice(example, example + 1)),
            self.score,
            target,
            tuple(arguments),
            1,
            output_field=self.output_field,
            reference=None if self._reference is None else self._reference.forward_func,
        )
        try:
            found = game._evaluate(coalition, row)
            return None if game.aggregates else found
        except Exception:  # a model may want a batch of a fixed size
            return None

    def evaluate(self, coalitions: Tensor, bar: Progress, rows: Tensor | None = None) -> Tensor:
        """Evaluate v on given coalitions; an interrupt keeps what is done.

        Args:
            coalitions (Tensor): bool, shape ``(m, n)``.
            bar: Progress bar, advanced by the number of coalitions evaluated.
            rows: Of a background, the one that each coalition sees, int64, shape ``(m,)``; None for all.

        Returns:
            - **values** (*Tensor*): float64, shape ``(*outputs, m)``, or fewer than m if Ctrl-C came after the first.
        """
        return self._stream(lambda start, stop: coalitions[start:stop], len(coalitions), bar, True, rows)

    def _stream(
        self,
        coalitions: Callable[[int, int], Tensor],
        total: int,
        bar: Progress,
        keeps_when_interrupted: bool,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Values on ``coalitions(0, total)``, in batches.

        The first coalition goes alone: it tells whether the output grows with the batch (one value per example) or
        not (one value per batch), which later batches, of any size, could leave in doubt.
        """
        with _widest_activation() as widest:
            first = self._evaluate(coalitions(0, 1), rows if rows is None else rows[:1])
        self._check_size(first, total)
        self._activation_bytes = widest.bytes // self.players.n_examples
        values = first.new_empty(*first.shape[:-1], total)
        values[..., :1] = first
        self._keep(coalitions(0, 1), first, rows if rows is None else rows[:1])
        uncounted = 1  # goes with the first batch: alone it would tell a wrong time for those to come
        if self.perturbations_per_eval == 1 and self.players.layout.per_example:
            self._check_rows(coalitions(0, 1))
        step = self._coalitions_per_eval()
        start = 1
        while start < total:
            some = coalitions(start, min(start + step, total))
            seen = rows if rows is None else rows[start : start + len(some)]
            try:
                found = self._evaluate(some, seen)
                values[..., start : start + len(some)] = found
                self._keep(some, found, seen)
            except _OutputDoesNotGrowError as error:
                if self.perturbations_per_eval is not None:
                    raise ValueError(str(error)) from None
                self._take_output_as_aggregate(torch.Size((self.players.n_examples, *(self._trailing or ()))))
                step = 1
                continue
            except _OF_MODELS:
                # One coalition went well alone: the model may take batches of one size only.
                if start > 1 or len(some) == 1 or self.perturbations_per_eval is not None:
                    raise
                step = 1
                continue
            except KeyboardInterrupt:
                if not keeps_when_interrupted:
                    raise
                return values[..., :start]
            start += len(some)
            bar.update(len(some) + uncounted)
            uncounted = 0
        bar.update(uncounted)
        return values

    def _check_size(self, first: Tensor, total: int) -> None:
        """After the first coalition: raise where the values of every pixel or token would be explained."""
        each = first[..., 0].numel() // self.players.n_examples
        if first.ndim > 3 and each > _MOST_OUTPUTS:
            raise ValueError(
                f"target={self.target!r} leaves {tuple(first.shape[1:-1])} values of the model's output, {each:,} of "
                f"each example, and each would be explained by itself. Pass a target of one value, e.g. a tuple "
                "(class, row, column), or let score reduce them, e.g. score=lambda output: output.sum((2, 3))."
            )
        size = 8 * first[..., 0].numel() * total
        if size > _MOST_BYTES:
            raise ValueError(
                f"{first[..., 0].numel():,} outputs (target={self.target!r}) on {total:,} coalitions take "
                f"{size / 2**30:.0f} GiB. Pass a target, fewer examples at once, a coarser feature_mask, or a budget."
            )

    def _keep(self, coalitions: Tensor, values: Tensor, rows: Tensor | None) -> None:
        if self._repeats is not None:
            self._repeats.keep(coalitions, values, rows)

    def _check_rows(self, coalition: Tensor) -> None:
        """One pass over two coalitions, where masks differ between examples: N values could be those of the batch.

        One coalition at a time would never tell. Arguments that cannot be tiled rule the pass out.
        """
        tensors = [a for a in self.additional_forward_args if isinstance(a, Tensor) and a.ndim > 0]
        if self.aggregates or any(len(a) != self.players.n_examples for a in tensors):
            return
        try:
            self._evaluate(coalition.repeat(2, 1))
        except _OutputDoesNotGrowError:
            self._take_output_as_aggregate(torch.Size((self.players.n_examples, *(self._trailing or ()))))

    def _coalitions_per_eval(self) -> int:
        if self.perturbations_per_eval is None:
            if self.aggregates:
                return 1
            device = self.players.inputs[0].device.type
            rows = _BATCH_BYTES.get(device, _BATCH_BYTES_ACCELERATOR) // max(self.players.row_bytes, 1)
            if device in _ACTIVATION_BYTES and self._activation_bytes:
                rows = _ACTIVATION_BYTES[device] // max(self._activation_bytes, self.players.row_bytes)
            return max(min(max(rows, _FEWEST_ROWS), _MOST_ROWS) // self.players.n_examples, 1)
        if self.aggregates and self.perturbations_per_eval > 1:
            raise ValueError(
                f"perturbations_per_eval={self.perturbations_per_eval} needs a model whose output grows with the "
                "batch, but this one returns a fixed number of values for the whole batch. "
                "Pass perturbations_per_eval=1 or None."
            )
        return self.perturbations_per_eval

    def _evaluate(self, coalitions: Tensor, rows: Tensor | None = None) -> Tensor:
        """Score k coalitions, each at a row of a background or averaged over them: float64, ``(*outputs, k)``."""
        players = self.players
        if not players.n_rows:
            return self._scored(coalitions, players)
        if rows is not None:
            return self._scored(coalitions, players.at_rows(rows))
        each = torch.arange(players.n_rows, device="cpu")[:, None]
        total = self._scored(coalitions, players.at_rows(each[0]))
        for row in each[1:]:
            total = total + self._scored(coalitions, players.at_rows(row))
        return total / players.n_rows

    def _scored(self, coalitions: Tensor, players: Players) -> Tensor:
        """Score k coalitions of players with single baselines: float64, shape ``(*outputs, k)``."""
        k = len(coalitions)
        is_shared = self._is_shared(coalitions, players)
        asked = players.of_examples(slice(0, 1)) if is_shared else players
        arguments = _repeat_arguments(self.additional_forward_args, k, asked.n_examples)
        try:
            returned = self.forward_func(*asked.masked(coalitions), *arguments)
        except RuntimeError as error:
            self._check_devices(error)
            raise
        output = self._as_tensor(returned)
        if is_shared and output.ndim:
            output = output.repeat_interleave(players.n_examples, 0)
        if self._trailing is None:
            self._learn_output_form(output)
        else:
            self._check_output_form(output, k)
        self._logits.update(output, self.score)
        values = score_output(output, repeat_target(self.target, k), self.score, self._classes_last)
        if self.aggregates:
            values = values.reshape(*(values.shape or (1,)), 1)
        else:
            values = values.reshape(k, self.players.n_examples, *values.shape[1:]).movedim(0, -1)
        if not bool(values.isfinite().all()):
            self._raise_not_finite(values, coalitions)
        if self._reference is None:
            return values
        return self._less_reference(values, coalitions, players, self._reference)

    def _is_shared(self, coalitions: Tensor, players: Players) -> bool:
        """Whether all examples ask the same: a row of the background with nothing of their own."""
        of_examples = any(isinstance(a, Tensor) and a.ndim > 0 for a in self.additional_forward_args)
        is_known = self._trailing is not None and not self.aggregates
        asks_rows = self.players.n_rows > 0 and not bool(coalitions.any())
        return players.n_examples > 1 and is_known and asks_rows and not of_examples and players.keeps_nothing

    def _less_reference(self, values: Tensor, coalitions: Tensor, players: Players, reference: Game) -> Tensor:
        try:
            of_reference = reference._scored(coalitions, players)
        except ValueError as error:
            raise ValueError(f"of the reference: {error}") from None
        if of_reference.shape != values.shape or reference.aggregates != self.aggregates:
            raise ValueError(
                f"reference must answer like forward_func: its scores have shape {tuple(of_reference.shape[:-1])}, "
                f"those of forward_func {tuple(values.shape[:-1])}. Pass a target, or a score that reduces outputs."
            )
        if torch.finfo(reference.output_dtype).eps > torch.finfo(self.output_dtype).eps:
            self.output_dtype = reference.output_dtype  # the rounding of v is that of the coarser
        return values - of_reference.to(values.device)

    def _check_devices(self, error: RuntimeError) -> None:
        """Raise what names both, where the model and the inputs are on different devices."""
        model, inputs = device_of(self.forward_func), [x.device for x in self.players.inputs]
        if model is not None and any(device != model for device in inputs):
            places = ", ".join(dict.fromkeys(map(str, inputs)))
            raise ValueError(
                f"the model is on {model}, inputs are on {places}: move one of them, e.g. inputs.to({str(model)!r})."
            ) from error

    def _as_tensor(self, output: Any) -> Tensor:
        if isinstance(output, Future):
            output = output.wait()
        if isinstance(output, (bool, int, float, np.generic)):
            try:
                return torch.tensor(float(output), dtype=torch.float64, device="cpu")
            except OverflowError as error:
                raise ValueError(f"{self._name} returned a number that float64 cannot hold.") from error
        returned = output
        output = picked_output(returned, self.output_field)
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{self._name} must return a tensor or a number; got {type(output).__name__}. Wrap the model, e.g. "
                "lambda x: model(x).logits."
            )
        # Outputs of transformers with logits (N, T, C) of tokens have their classes last.
        is_part = output is not returned and not isinstance(returned, np.ndarray)
        self._classes_last = is_part and self.output_field is None and output.ndim == 3
        if output.is_complex():
            raise TypeError(f"{self._name} returned a complex tensor; return real scores, e.g. its .abs().")
        # float64 does not exist on Apple's GPUs.
        return output.detach() if holds_float64(output.device) else output.detach().cpu()

    def _learn_output_form(self, output: Tensor) -> None:
        self.output_dtype = output.dtype if output.is_floating_point() else torch.float64
        reads_logits = isinstance(self.score, str) and self.score != "output"
        if reads_logits and output.ndim == 2 and are_probabilities(output):
            sums = " and add up to 1" if output.shape[1] > 1 else ""
            warn(
                f"{self._name} seems to return probabilities: its outputs lie in [0, 1]{sums}. "
                f"score={self.score!r} reads them as logits. Leave out the last softmax, pass their logarithm, or "
                'explain them with score="output".'
            )
        if output.ndim and len(output) == self.players.n_examples:
            self._trailing = output.shape[1:]
        else:
            self._take_output_as_aggregate(output.shape)

    def _take_output_as_aggregate(self, shape: torch.Size) -> None:
        """Treat the output as values of the whole batch, whatever its number of rows."""
        self.aggregates, self._trailing = True, shape
        if self.players.layout.per_example:
            raise ValueError(
                f"feature_mask differs between examples, but the model returns shape {tuple(shape)} for any batch: "
                "values for the batch as a whole. Pass one mask for all examples."
            )

    def _check_output_form(self, output: Tensor, k: int) -> None:
        rows = () if self.aggregates else (k * self.players.n_examples,)
        expected = (*rows, *(self._trailing or ()))
        if tuple(output.shape) == expected:
            return
        if not self.aggregates and tuple(output.shape) == (self.players.n_examples, *(self._trailing or ())):
            raise _OutputDoesNotGrowError(
                f"{self._name} returned shape {tuple(output.shape)} for a batch of {k * self.players.n_examples} "
                f"rows as for {self.players.n_examples}: its output does not grow with the batch. "
                "Pass perturbations_per_eval=1."
            )
        remedy = (
            "where their number depends on the input, as that of detected boxes does, return a fixed number, e.g. the "
            "sum of the scores of one class"
            + ("; for values per batch pass perturbations_per_eval=1." if k > 1 else ".")
        )
        raise ValueError(
            f"{self._name} returned shape {tuple(output.shape)} for a batch of {k * self.players.n_examples} rows; "
            f"expected {expected}. Its output must have one row per example; {remedy}"
        )

    def _raise_not_finite(self, values: Tensor, coalitions: Tensor) -> None:
        position = (~values.isfinite()).nonzero()[0].tolist()
        ids = self.players.layout.feature_ids
        members = [ids[i] for i in coalitions[position[-1]].nonzero().flatten().tolist()]
        rows = [~part.flatten(1).isfinite().all(1) for part in self.players.background or ()]
        odd = torch.stack([row.cpu() for row in rows]).any(0).nonzero()[:, 0].tolist() if rows else []
        hint = f" Row {odd[0]} of the background holds NaN or infinity." if odd else ""
        raise ValueError(
            f"score is {float(values[tuple(position)])} on coalition {members} (feature ids that keep their value) "
            f"at output index {tuple(position[:-1])}. Interactions need finite scores: check the baseline, the model "
            f'on this masked input, or use score="log_odds" on logits instead of probabilities of 0 or 1.{hint}'
        )


class _SingleLogits:
    """Whether the single logits of a model have all been in [0, 1], as the outputs of a sigmoid are."""

    def __init__(self) -> None:
        self.count, self.low, self.high = 0, math.inf, -math.inf

    def update(self, output: Tensor, score: Score) -> None:
        """Take further outputs into account, where a score reads them as one logit a row."""
        if not isinstance(score, str) or score == "output" or not output.is_floating_point():
            return
        if output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1):
            self.count += len(output)
            self.low = min(self.low, float(output.amin()))
            self.high = max(self.high, float(output.amax()))

    @property
    def are_probabilities(self) -> bool:
        """Whether there are many, they differ, and none is outside."""
        return self.count >= MANY_ROWS and 0 <= self.low < self.high <= 1


class _Widest:
    """Bytes of the largest tensor that any module returned."""

    bytes = 0

    def __call__(self, module: nn.Module, arguments: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.layout == torch.strided:
            self.bytes = max(self.bytes, output.numel() * output.element_size())


@contextmanager
def _widest_activation() -> Iterator[_Widest]:
    """Watches the modules that are called, inside functions, too."""
    widest = _Widest()
    handle = register_module_forward_hook(widest)
    try:
        with warnings.catch_warnings():  # compiled modules are wary of such hooks; this one reads sizes
            warnings.filterwarnings("ignore", r"Using `torch.compile\(module\)` when there are global hooks")
            yield widest
    finally:
        handle.remove()


def _check_perturbations(perturbations_per_eval: Any) -> None:
    if perturbations_per_eval is None:
        return
    if not is_int(perturbations_per_eval):
        raise TypeError(f"perturbations_per_eval must be None or an int ≥ 1; got {perturbations_per_eval!r}.")
    if perturbations_per_eval < 1:
        raise ValueError(f"perturbations_per_eval must be None or an int ≥ 1; got {perturbations_per_eval}.")


def _repeat_arguments(arguments: tuple[Any, ...], times: int, n_examples: int) -> tuple[Any, ...]:
    if times == 1:
        return arguments
    return tuple(
        _repeat(argument, times, n_examples, position)
        if isinstance(argument, Tensor) and argument.ndim > 0
        else argument
        for position, argument in enumerate(arguments)
    )


def _repeat(argument: Tensor, times: int, n_examples: int, position: int) -> Tensor:
    if len(argument) != n_examples:
        raise ValueError(
            f"additional_forward_args[{position}] of shape {tuple(argument.shape)} cannot be tiled: its first "
            f"dimension is not the batch size {n_examples}. Bind it in a closure, e.g. "
            "lambda x: model(x, weights), or pass perturbations_per_eval=1."
        )
    return torch.cat([argument] * times)


@dataclass
class Repeats:
    """Coalitions as they were first evaluated: ∅, N, and the middle and end of the first and the last batch.

    Attributes:
        kept: By place, the coalition, shape ``(n,)``, and v on it, shape ``(*outputs)``.
    """

    kept: dict[str, tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=dict)

    def keep(self, coalitions: Tensor, values: Tensor, rows: Tensor | None = None) -> None:
        """Record a batch: bool ``(k, n)``, v ``(*outputs, k)`` and which rows of a background it saw."""
        sizes = coalitions.sum(1)
        for place, size in (("∅", 0), ("N", coalitions.shape[1])):
            here = (sizes == size).nonzero()
            if place not in self.kept and len(here):
                self._take(place, coalitions, values, rows, int(here[0]))
        if len(coalitions) > 1:
            which = "last" if "end of the first batch" in self.kept else "first"
            self._take(f"middle of the {which} batch", coalitions, values, rows, len(coalitions) // 2)
            self._take(f"end of the {which} batch", coalitions, values, rows, len(coalitions) - 1)

    def _take(self, place: str, coalitions: Tensor, values: Tensor, rows: Tensor | None, position: int) -> None:
        row = None if rows is None else rows[position : position + 1].clone()
        self.kept[place] = coalitions[position].clone(), values[..., position].clone(), row

    def change(
        self, evaluate: Evaluate, evaluate_example: EvaluateExample | None, digits: float, feature_ids: tuple[int, ...]
    ) -> str | None:
        """How far v moves when asked again, in words; None where it does not.

        Args:
            evaluate: v of one coalition ``(1, n)``, and which row it saw, in a pass of its own: ``(*outputs, 1)``.
            evaluate_example: The same for one example alone, shape ``(1, …, 1)``, or None where that cannot be asked;
                None where there is one example.
            digits: Rounding of the model's output, relative.
            feature_ids: Of the players.
        """
        scale = max((float(v.abs().amax()) for _, v, _ in self.kept.values() if v.numel()), default=0.0)
        allowed = _SAME_DIGITS * digits**0.5 * scale
        found: list[tuple[float, str]] = []
        asked: list[Tensor] = []
        for place, (coalition, before, row) in self.kept.items():
            if any(torch.equal(coalition, other) for other in asked) or not before.numel():
                continue
            asked.append(coalition)
            moved = float((evaluate(coalition[None], row)[..., 0] - before).abs().amax())
            found.append((moved, f"v({_named(coalition, feature_ids)}), {_where(place)}"))
        for place, last in (("N", False), ("end of the first batch", True)):
            if evaluate_example is None or place not in self.kept:
                continue
            coalition, before, row = self.kept[place]
            example = len(before) - 1 if last else len(before) // 2
            again = evaluate_example(coalition[None], example, row)
            if again is not None and again.shape[1:-1] == before.shape[1:]:
                moved = float((again[0, ..., 0] - before[example]).abs().amax())
                found.append((moved, f"v({_named(coalition, feature_ids)}) of example {example} without the others"))
        largest = max(found, default=(0.0, ""))
        if not largest[0] > allowed:
            return None
        return f"{largest[1]}, moved by {largest[0]:.3g}, where v is of size {scale:.3g}"


def _where(place: str) -> str:
    return f"from the {place}, asked alone" if "batch" in place else "asked again alone"


def _named(coalition: Tensor, feature_ids: tuple[int, ...]) -> str:
    members = coalition.nonzero().flatten().tolist()
    if not members:
        return "∅"
    if len(members) == len(coalition):
        return "N"
    shown = ", ".join(str(feature_ids[i]) for i in members[:_IDS_SHOWN])
    return f"{{{shown}{', …' if len(members) > _IDS_SHOWN else ''}}}"
