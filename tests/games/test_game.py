"""How the model is called: which rows, how many, how often, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions


class Recorder:
    """A weighted sum that remembers every batch it saw."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.batches.append(x)
        return (x * torch.arange(1, x.shape[1] + 1)).sum(1)


@pytest.mark.parametrize("per_eval", [1, 2, 3, 7, 8, 1000, None, np.int64(3)])
@pytest.mark.parametrize("n_examples", [1, 2])
def test_each_coalition_is_evaluated_once_in_perturbation_major_rows(per_eval: Any, n_examples: int) -> None:
    model = Recorder()
    x = torch.arange(1.0, 1 + 3 * n_examples).view(n_examples, 3)
    attributions = AndOrInteractions(model, check_repeats=False).attribute(x, perturbations_per_eval=per_eval)
    rows = torch.cat(model.batches)
    members = (torch.arange(8)[:, None] >> torch.arange(3)) & 1
    assert torch.equal(rows, (members[:, None] * x).flatten(0, 1))
    assert max(map(len, model.batches)) <= n_examples * (per_eval or 8)
    torch.testing.assert_close(attributions, x * torch.arange(1, 4))


def test_memory_holds_one_batch_and_the_batch_depends_on_shapes_only() -> None:
    sizes = []
    for _ in range(2):
        model = Recorder()
        AndOrInteractions(model).attribute(torch.rand(1, 12, 1000).flatten(1), feature_mask=torch.arange(12000) // 1000)
        sizes.append([len(batch) for batch in model.batches])
    assert sizes[0] == sizes[1]
    assert max(sizes[0]) < 64


def test_additional_arguments_are_tiled_with_the_rows_and_others_passed_on() -> None:
    seen = []

    def model(x: Tensor, scale: Tensor, name: str, zero: Tensor, none: None) -> Tensor:
        seen.append((len(scale), name, zero.ndim, none))
        return x.sum(1) * scale

    x = torch.ones(2, 3)
    arguments = (torch.tensor([1.0, 10.0]), "name", torch.tensor(5.0), None)
    result = AndOrInteractions(model, check_repeats=False).attribute(
        x, additional_forward_args=arguments, perturbations_per_eval=3
    )
    assert seen == [(2, "name", 0, None), (6, "name", 0, None), (6, "name", 0, None), (2, "name", 0, None)]
    assert result.tolist() == [[1, 1, 1], [10, 10, 10]]


def test_an_argument_that_cannot_be_tiled_is_named_with_the_way_round() -> None:
    method = AndOrInteractions(lambda x, w: x @ w)
    w = torch.ones(3)
    with pytest.raises(ValueError, match=r"additional_forward_args\[0\] of shape \(3,\).*closure"):
        method.attribute(torch.ones(1, 3), additional_forward_args=w)
    result = method.attribute(torch.ones(1, 3), additional_forward_args=w, perturbations_per_eval=1)
    assert result.tolist() == [[1.0, 1.0, 1.0]]


def fixed_outputs() -> list[Any]:
    return [
        (lambda x: x.sum(), (1,)),
        (lambda x: float(x.sum()), (1,)),
        (lambda x: np.float64(x.sum()), (1,)),
        (lambda x: x.sum().reshape(1), (1,)),
        (lambda x: torch.stack([x.sum(), 2 * x.sum()]), (2,)),
        (lambda x: x.sum().expand(4), (4,)),
        (lambda x: x.sum().expand(4, 3), (4, 3)),
    ]


@pytest.mark.parametrize("n_examples", [1, 2, 3])
@pytest.mark.parametrize(("model", "leading"), fixed_outputs())
def test_outputs_for_the_whole_batch(model: Any, leading: tuple[int, ...], n_examples: int) -> None:
    method = AndOrInteractions(model)
    x = torch.ones(n_examples, 2, dtype=torch.float64)
    for per_eval in (1, None):
        result = method.attribute(x, perturbations_per_eval=per_eval)
        assert result.shape == (*leading, 2)
        assert result.flatten()[0] == n_examples
    for per_eval in (2, 3, 4):
        with pytest.raises(ValueError, match="perturbations_per_eval"):
            method.attribute(x, perturbations_per_eval=per_eval)
        method.attribute(x, perturbations_per_eval=1)


def test_per_example_masks_need_per_example_outputs() -> None:
    with pytest.raises(ValueError, match="feature_mask differs between examples"):
        AndOrInteractions(lambda x: x.sum()).attribute(torch.ones(2, 2), feature_mask=torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="feature_mask differs between examples"):
        AndOrInteractions(lambda x: x.sum().expand(2)).attribute(
            torch.ones(2, 2), feature_mask=torch.tensor([[0, 1], [1, 0]])
        )


@pytest.mark.parametrize(("value", "error"), [(True, TypeError), (0, ValueError), (-2, ValueError), (1.0, TypeError)])
def test_perturbations_per_eval_must_be_a_positive_int(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"perturbations_per_eval must be None or an int ≥ 1"):
        AndOrInteractions(Recorder()).attribute(torch.ones(1, 2), perturbations_per_eval=value)


def test_a_score_that_is_not_finite_names_its_coalition() -> None:
    mask = torch.tensor([10, 20, 30])

    def model(x: Tensor) -> Tensor:
        return torch.where((x[:, 0] == 1) & (x[:, 1] == 0) & (x[:, 2] == 1), torch.nan, x.sum(1))

    with pytest.raises(ValueError, match=r"score is nan on coalition \[10, 30\]"):
        AndOrInteractions(model).attribute(torch.ones(2, 3), feature_mask=mask)


@pytest.mark.parametrize("output", [None, "text", (torch.ones(1),), {"scores": torch.ones(1)}])
def test_the_model_must_return_a_tensor_or_a_number(output: Any) -> None:
    with pytest.raises(TypeError, match="forward_func must return a tensor or a number"):
        AndOrInteractions(lambda x: output).attribute(torch.ones(1, 2))


def test_progress_has_a_true_total_and_ends_at_100_percent(capsys: pytest.CaptureFixture[str]) -> None:
    AndOrInteractions(Recorder()).attribute(torch.ones(1, 4), show_progress=True)
    captured = capsys.readouterr()
    assert "And Or Interactions attribution: 100%" in captured.err
    assert "16/16" in captured.err
    assert captured.out == ""


def test_progress_is_closed_on_error(capsys: pytest.CaptureFixture[str]) -> None:
    from tqdm.auto import tqdm

    def model(x: Tensor) -> Tensor:
        if x.any():
            raise RuntimeError("model broke")
        return x.sum(1)

    with pytest.raises(RuntimeError, match="model broke"):
        AndOrInteractions(model).attribute(torch.ones(1, 4), show_progress=True)
    assert not list(getattr(tqdm, "_instances", []))
    assert "attribution" in capsys.readouterr().err


def rows_of_batches(wrap: bool, width: int, n_examples: int = 1) -> list[int]:
    seen = []

    class Wide(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return self.inner(x).sum(1)

    model = Wide()
    model.inner = torch.nn.Linear(12, width)
    AndOrInteractions((lambda x: model(x)) if wrap else model, check_repeats=False).attribute(
        torch.rand(n_examples, 12)
    )
    return seen


@pytest.mark.parametrize("wrap", [False, True])
def test_the_batch_follows_the_widest_activation_inside_functions_too(wrap: bool) -> None:
    a_megabyte = 1 << 18  # of float32
    assert rows_of_batches(wrap, a_megabyte // 16)[1] == 12 * 16
    assert rows_of_batches(wrap, a_megabyte // 16, n_examples=3)[1] == 12 * 16
    assert rows_of_batches(wrap, a_megabyte // 64)[1] == 12 * 64
    assert rows_of_batches(wrap, 2)[1] == 4095  # all that are left
    assert not torch.nn.modules.module._global_forward_hooks


def test_outputs_of_every_pixel_are_refused_after_the_first_coalition() -> None:
    """All passes were spent before an allocator error."""
    calls = []

    def segmentation(z: Tensor) -> Tensor:
        calls.append(len(z))
        return z[:, :1].expand(-1, 21, -1, -1) * torch.arange(21.0).view(1, 21, 1, 1)

    x, mask = torch.rand(1, 3, 48, 48), torch.arange(4).repeat_interleave(12).view(1, 1, 1, 48)
    for call in ("attribute", "interactions", "logical_model", "estimate"):
        with pytest.raises(ValueError, match=r"target=12 leaves \(48, 48\) values .* a tuple \(class, row, column\)"):
            getattr(AndOrInteractions(segmentation), call)(x, target=12, feature_mask=mask)
    assert calls == [1] * 4
    assert AndOrInteractions(segmentation).attribute(x, target=(12, 3, 4), feature_mask=mask).shape == x.shape
    summed = AndOrInteractions(segmentation, score=lambda output: output.sum((2, 3)))
    assert summed.attribute(x, target=12, feature_mask=mask).shape == x.shape


@pytest.mark.parametrize("per_eval", [None, 1])
def test_outputs_whose_number_varies_are_told_to_be_reduced(per_eval: int | None) -> None:
    """They were told to pass perturbations_per_eval=1, which was passed."""

    def boxes(z: Tensor) -> Tensor:
        return torch.ones(1 + int((z > 0.5).sum()), 6)

    with pytest.raises(ValueError, match="return a fixed number, e.g. the sum of the scores of one class") as error:
        AndOrInteractions(boxes).attribute(torch.ones(1, 4), perturbations_per_eval=per_eval)
    assert per_eval is None or "perturbations_per_eval=1" not in str(error.value)


def test_models_of_one_row_are_asked_row_by_row() -> None:
    def one_row(z: Tensor) -> Tensor:
        if len(z) != 1:
            raise RuntimeError("expected a batch of one")
        return z.prod(1)

    assert AndOrInteractions(one_row).attribute(torch.full((1, 3), 2.0)).tolist() == [[pytest.approx(8 / 3)] * 3]

    def broken(z: Tensor) -> Tensor:
        if not z[:, 0].any():
            return z.sum(1)
        raise RuntimeError("on this input")

    with pytest.raises(RuntimeError, match="on this input"):
        AndOrInteractions(broken).attribute(torch.ones(1, 3))


@pytest.mark.parametrize("target", [1, torch.tensor([1, 1]), [1, 1], np.array([1, 1])])
@pytest.mark.parametrize(
    "loss",
    [
        torch.nn.CrossEntropyLoss(reduction="none"),
        lambda out, y: torch.nn.functional.nll_loss(out, y, reduction="none"),
    ],
)
def test_losses_are_scores_in_every_form_of_target(loss: Any, target: Any) -> None:
    """An int was a TypeError."""
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(3, 4).double(), torch.rand(2, 3, dtype=torch.float64)
    found = AndOrInteractions(linear, score=loss).attribute(x, target=target)
    expected = AndOrInteractions(lambda z: loss(linear(z).double(), torch.ones(len(z), dtype=torch.long))).attribute(x)
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-5, rtol=1e-4)


def test_inputs_with_an_empty_axis_are_taken_as_captum_takes_them() -> None:
    """Categorical (N, 0) beside numerical inputs."""
    a, b = torch.rand(2, 0), torch.rand(2, 3)
    model = lambda a, b: a.sum(1) + b.prod(1)  # noqa: E731
    for mask in (None, (torch.zeros(1, 0, dtype=torch.long), torch.tensor([[0, 1, 1]]))):
        empty, found = AndOrInteractions(model).attribute((a, b), feature_mask=mask)
        assert empty.shape == (2, 0)
        only = None if mask is None else mask[1]
        torch.testing.assert_close(found, AndOrInteractions(lambda b: b.prod(1)).attribute(b, feature_mask=only))


def test_compiled_models_warn_of_nothing() -> None:
    model = torch.compile(torch.nn.Linear(3, 2), backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AndOrInteractions(model).attribute(torch.rand(1, 3), target=0)


def test_what_thousands_of_players_would_cost_is_said_at_once() -> None:
    """With 15 000 the message itself exceeded the limit of digits."""
    with pytest.raises(ValueError, match=r"2\^15000 forward passes .* pass a budget"):
        AndOrInteractions(lambda x: x.flatten(1).sum(1)).attribute(torch.rand(1, 15_000))
