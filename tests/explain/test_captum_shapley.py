"""The cases of Captum's own tests/attr/test_shapley.py (its inputs and numbers; BSD-3), with our class in its place.

Each with a model that returns tensors and, where Captum has one, with one that returns futures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.futures import Future

from captum_andor import AndOrInteractions

models = pytest.importorskip("captum.testing.helpers.basic_models")  # in Captum 0.9 and above


class Case(NamedTuple):
    inputs: Any
    expected: Any
    options: dict[str, Any]
    model: str = "BasicModel_MultiLayer"
    per_eval: tuple[int, ...] = (1, 2, 3)


def t(*rows: list[Any]) -> Tensor:
    return torch.tensor(list(rows))


ONE = t([20.0, 50.0, 30.0])
TWO = t([2.0, 10.0, 3.0], [20.0, 50.0, 30.0])
FIRST_TWO = t([0, 0, 1])
SEVERAL = "BasicModel_MultiLayer_MultiInput"
WITHOUT_MASK = (t([23.0, 0, 0], [20.0, 50, 30]), t([20.0, 0, 50], [0.0, 100, 0]), t([0.0, 100, 10], [0.0, 10, 0]))
WITH_MASK = (t([23.0, 100, 0], [20.0, 50, 30]), t([20.0, 50, 30], [0.0, 100, 0]), t([0.0, 100, 10], [2.0, 10, 3]))
MASKS = (t([1, 1, 1], [0, 1, 0]), t([0, 1, 2]), t([0, 1, 2], [0, 0, 0]))

CASES = {
    "simple": Case(ONE, [[76.66666, 196.66666, 116.66666]], {}),
    "mask": Case(ONE, [[275.0, 275.0, 115.0]], {"feature_mask": FIRST_TWO}),
    "boolean": Case(t([True, False, True]), [[35.0, 35.0, 35.0]], {"feature_mask": FIRST_TWO}, "BasicModelBoolInput"),
    "boolean with baseline": Case(
        t([True, False, True]), [[-40.0, -40.0, 0.0]], {"feature_mask": FIRST_TWO, "baselines": True}, "BasicModelBoolInput"
    ),
    "baselines": Case(ONE, [[248.0, 248.0, 104.0]], {"feature_mask": FIRST_TWO, "baselines": 4}),
    "samples": Case(TWO, [[7.0, 32.5, 10.5], [76.66666, 196.66666, 116.66666]], {}),
    "samples with masks": Case(
        TWO, [[39.5, 39.5, 10.5], [275.0, 275.0, 115.0]], {"feature_mask": t([0, 0, 1], [1, 1, 0])}
    ),
    "inputs": Case(
        WITHOUT_MASK,
        ([[90, 0, 0], [78.0, 198, 118]], [[78, 0, 198], [0.0, 398, 0]], [[0, 398, 38], [0.0, 38, 0]]),
        {"additional_forward_args": (1,)},
        SEVERAL,
        (1,),
    ),
    "inputs with masks": Case(
        WITH_MASK,
        (
            [[1088.6666, 1088.6666, 1088.6666], [255.0, 595, 255]],
            [[76.6666, 1088.6666, 156.6666], [255.0, 595, 0]],
            [[76.6666, 1088.6666, 156.6666], [255.0, 255, 255]],
        ),
        {"additional_forward_args": (1,), "feature_mask": MASKS},
        SEVERAL,
        (1,),
    ),
    "inputs with masks and baselines": Case(
        WITH_MASK,
        (
            [[1040, 1040, 1040], [184, 580.0, 184]],
            [[52, 1040, 132], [184, 580.0, -12]],
            [[52, 1040, 132], [184.0, 184, 184]],
        ),
        {"additional_forward_args": (1,), "feature_mask": MASKS, "baselines": (2, 3.0, 4)},
        SEVERAL,
    ),
}  # fmt: skip


def as_tensors(found: Any) -> list[Tensor]:
    return [x.double() for x in (found if isinstance(found, tuple) else (found,))]


def assert_expected(found: Any, expected: Any) -> None:
    wanted = expected if isinstance(expected, tuple) else (expected,)
    for x, y in zip(as_tensors(found), wanted, strict=True):
        torch.testing.assert_close(x, torch.tensor(y, dtype=torch.float64), rtol=0, atol=1e-3)


@pytest.mark.parametrize("future", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_shapley_values_are_captums(name: str, future: bool) -> None:
    case = CASES[name]
    model = getattr(models, case.model + ("_with_Future" if future else ""))()
    for per_eval in case.per_eval:
        options = {"target": 0, "perturbations_per_eval": per_eval, **case.options}
        method = AndOrInteractions(model)
        if future:
            promised = method.attribute_future(case.inputs, **options)
            assert isinstance(promised, Future)
            assert_expected(promised.wait(), case.expected)
        else:
            assert_expected(method.attribute(case.inputs, **options), case.expected)


KERNEL_SHAP = {
    "linear": Case(ONE, [[40.0, 120.0, 80.0]], {"baselines": t([10.0, 20.0, 10.0])}),
    "inputs without mask": Case(
        (t([23.0, 0, 0]), t([20.0, 0, 50]), t([0.0, 100, 10])),
        ([[90, 0, 0]], [[78, 0, 198]], [[0, 398, 38]]),
        {"additional_forward_args": (1,)},
        SEVERAL,
    ),
    "inputs with mask": Case(
        (ONE, t([0.0, 100.0, 0.0]), t([2.0, 10.0, 3.0])),
        ([[255.0, 595.0, 255.0]], [[255.0, 595.0, 0.0]], [[255.0, 255.0, 255.0]]),
        {"additional_forward_args": (1,), "feature_mask": (t([0, 1, 0]), t([0, 1, 2]), t([0, 0, 0]))},
        SEVERAL,
    ),
}


@pytest.mark.parametrize("budget", [100, 500])
@pytest.mark.parametrize("name", [*CASES, *KERNEL_SHAP])
def test_budgets_give_what_captums_sampling_methods_give(name: str, budget: int) -> None:
    """Inputs, numbers and tolerance of tests/attr/test_kernel_shap.py and test_shapley.py, ``n_samples`` as the budget.

    ``KernelShap`` fits one explanation to a whole batch of inputs; those cases of its file have no counterpart here.
    """
    case = {**CASES, **KERNEL_SHAP}[name]
    method = AndOrInteractions(getattr(models, case.model)())
    for per_eval in case.per_eval:
        found = method.attribute(case.inputs, target=0, perturbations_per_eval=per_eval, budget=budget, **case.options)
        wanted = case.expected if isinstance(case.expected, tuple) else (case.expected,)
        for x, y in zip(as_tensors(found), wanted, strict=True):
            torch.testing.assert_close(x, torch.tensor(y, dtype=torch.float64), rtol=0, atol=1.0)


@pytest.mark.parametrize("future", [False, True])
@pytest.mark.parametrize(
    ("inputs", "mask", "expected"),
    [
        (ONE, None, [[[76.66666, 196.66666, 116.66666]] * 2 + [[0.0] * 3]]),
        (
            torch.cat([ONE, ONE]),
            t([1, 1, 0], [0, 1, 1]),
            [[[275.0, 275.0, 115.0]] * 2 + [[0.0] * 3], [[75.0, 315.0, 315.0]] * 2 + [[0.0] * 3]],
        ),
    ],
)
def test_all_outputs_at_once(inputs: Tensor, mask: Tensor | None, expected: Any, future: bool) -> None:
    net = models.BasicModel_MultiLayer()

    def with_constant(x: Tensor) -> Any:
        output = torch.cat([net(x), torch.ones(len(x), 1)], dim=-1)
        if not future:
            return output
        result: Future[Tensor] = Future()
        result.set_result(output)
        return result

    for per_eval in (1, 2, 3):
        options: dict[str, Any] = {"feature_mask": mask, "perturbations_per_eval": per_eval}
        method = AndOrInteractions(with_constant)
        found = method.attribute_future(inputs, **options).wait() if future else method.attribute(inputs, **options)
        assert_expected(found, expected)


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "float": lambda output: torch.sum(output).item(),
    "0-d": torch.sum,
    "1-d": lambda output: torch.sum(output).reshape(1),
    "int": lambda output: int(torch.sum(output).item()),
}


@pytest.mark.parametrize("form", FORMS)
def test_models_that_return_one_number_per_batch(form: str) -> None:
    one, several = models.BasicModel_MultiLayer(), models.BasicModel_MultiLayer_MultiInput()
    cases: list[tuple[Any, Any, dict[str, Any], Any]] = [
        (one, TWO[:1], {"feature_mask": FIRST_TWO}, [[79.0, 79.0, 21.0]]),
        (one, TWO, {"feature_mask": FIRST_TWO}, [[629.0, 629.0, 251.0]]),
        (lambda x: one(x.float()), TWO.long(), {"feature_mask": FIRST_TWO}, [[629.0, 629.0, 251.0]]),
        (
            several,
            (*WITH_MASK[:2], t([0.0, 100, 10], [20.0, 10, 13])),
            {"additional_forward_args": (1,), "feature_mask": (t([1, 1, 1]), t([0, 1, 2]), t([0, 1, 2]))},
            ([[3850.6666] * 3], [[306.6666, 3850.6666, 410.6666]], [[306.6666, 3850.6666, 410.6666]]),
        ),
    ]
    for net, inputs, options, expected in cases:
        method = AndOrInteractions(lambda *x, net=net: FORMS[form](net(*x)))
        assert_expected(method.attribute(inputs, perturbations_per_eval=1, **options), expected)


def test_a_future_of_something_else_is_an_error() -> None:
    def model(x: Tensor) -> Any:
        result: Future[Any] = Future()
        result.set_result("no tensor")
        return result

    with pytest.raises(TypeError, match="forward_func must return a tensor or a number; got str"):
        AndOrInteractions(model).attribute_future(ONE)


def test_progress_reaches_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    for per_eval in (1, 2, 3):
        AndOrInteractions(models.BasicModel_MultiLayer()).attribute(
            ONE, target=0, perturbations_per_eval=per_eval, show_progress=True
        )
        assert "And Or Interactions attribution: 100%" in capsys.readouterr().err
