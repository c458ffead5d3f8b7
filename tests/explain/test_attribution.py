"""AndOrInteractions against Captum and brute force, over the forms its arguments take."""

from __future__ import annotations

import copy
from typing import Any

import oracles
import pytest
import torch
from captum.attr import ShapleyValues
from torch import Tensor, nn

from captum_andor import AndOrInteractions

SPLITS = ["sparse", "and", "or", "even"]


def network(inputs: int, outputs: int, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs)).double()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def inputs(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def brute_force(model: Any, x: Tensor, mask: Tensor, baseline: Tensor | float, n: int) -> Tensor:
    """Shapley values (N, n) of a model with outputs (N,), each coalition masked by hand."""
    v = torch.zeros(len(x), 2**n, dtype=torch.float64)
    for coalition in oracles.subsets(range(n)):
        keep = torch.zeros(mask.shape, dtype=torch.bool)
        for player in coalition:
            keep |= mask == player
        v[:, oracles.code(coalition)] = model(torch.where(keep, x, baseline))
    return torch.stack([oracles.shapley_values(game) for game in v])


@pytest.mark.parametrize("n", [1, 2, 4, 6])
@pytest.mark.parametrize("split", SPLITS)
def test_equals_brute_force_and_captum_for_every_split(n: int, split: Any) -> None:
    model, x = network(n, 3), inputs(2, n)
    method = AndOrInteractions(model)
    ours = method.attribute(x, target=1)
    expected = brute_force(lambda rows: model(rows)[:, 1], x, torch.arange(n), 0.0, n)
    torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)
    explanation = method.interactions(x, target=1, split=split)
    torch.testing.assert_close(explanation.attributions(), expected, atol=1e-9, rtol=0)
    implied = torch.zeros_like(expected)
    for row in range(2):
        for i in explanation[row].salient(0.0):
            implied[row, list(i.players)] += i.value / i.order
    torch.testing.assert_close(implied, expected, atol=1e-9, rtol=0)
    theirs = ShapleyValues(model).attribute(x, target=1)  # accumulated in float32
    torch.testing.assert_close(ours.float(), theirs, atol=1e-4, rtol=1e-5)


def test_equals_captum_exactly_where_captums_float32_is_exact() -> None:
    weights = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)

    def model(x: Tensor) -> Tensor:
        return x @ weights + 4 * x[:, 0] * x[:, 1] - 8 * x[:, 2] * x[:, 3]

    x = torch.ones(2, 4, dtype=torch.float64)
    difference = AndOrInteractions(model).attribute(x) - ShapleyValues(model).attribute(x).double()
    assert difference.abs().max() <= 1e-9


@pytest.mark.parametrize("n", [8, 10])
def test_values_of_many_players_are_those_of_every_masked_input(n: int) -> None:
    model, x = network(n, 1), inputs(2, n)
    explanation = AndOrInteractions(model).interactions(x, target=0, baselines=0.5, split="even")
    codes = torch.arange(2**n)
    keep = (codes[:, None] >> torch.arange(n)) & 1 > 0
    with torch.no_grad():
        expected = model(torch.where(keep, x[:, None], 0.5))[..., 0]
    torch.testing.assert_close(explanation.values, expected)
    sums = explanation.shapley_values().sum(-1)
    torch.testing.assert_close(sums, expected[:, -1] - expected[:, 0])


def test_masks_of_all_kinds_against_captum() -> None:
    model = network(12, 2)
    x = inputs(2, 3, 4)

    def forward(rows: Tensor) -> Tensor:
        return model(rows.flatten(1))

    masks = [
        torch.tensor([0, 1, 2, 3]),
        torch.tensor([[0], [1], [1]]),
        (torch.arange(12).view(1, 3, 4) // 3),
        torch.stack([torch.arange(12).view(3, 4) // 4, torch.arange(12).view(3, 4) % 4]),
    ]
    for mask in masks:
        for baseline in (0, 0.25, inputs(1, 3, 4), inputs(2, 3, 4)):
            full = mask.expand(len(mask) if mask.ndim == 3 else 1, 3, 4).contiguous()
            theirs = ShapleyValues(forward).attribute(x, baselines=baseline, target=1, feature_mask=full)
            ours = AndOrInteractions(forward).attribute(x, baselines=baseline, target=1, feature_mask=mask)
            torch.testing.assert_close(ours.float(), theirs, atol=1e-4, rtol=1e-4)


def test_tuples_of_mixed_dtypes_with_players_across_inputs_against_captum() -> None:
    table = inputs(10, 3)
    model = network(5, 2)

    def forward(words: Tensor, columns: Tensor, shift: Tensor) -> Tensor:
        return model(torch.cat([table[words].sum(1), columns], 1)) + shift[:, None]

    arguments: dict[str, Any] = {
        "inputs": (torch.tensor([[1, 2, 3], [4, 5, 6]]), inputs(2, 2)),
        "baselines": (9, 0.5),
        "target": torch.tensor([0, 1]),
        "feature_mask": (torch.tensor([[0, 1, 2]]), torch.tensor([[2, 3]])),
        "additional_forward_args": torch.tensor([1.0, 2.0], dtype=torch.float64),
    }
    ours = AndOrInteractions(forward).attribute(**arguments)
    theirs = ShapleyValues(forward).attribute(**arguments)
    assert isinstance(ours, tuple)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.float(), b, atol=1e-4, rtol=1e-4)


def test_the_form_of_the_inputs_is_mirrored() -> None:
    method = AndOrInteractions(lambda x: x.sum(1))
    x = torch.ones(2, 3)
    assert isinstance(method.attribute(x), Tensor)
    single = method.attribute((x,))
    assert isinstance(single, tuple)
    assert len(single) == 1
    assert isinstance(method.interactions((x,)).attributions(), tuple)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (3, 2)])
def test_without_a_target_every_output_is_explained_in_one_pass(shape: tuple[int, ...]) -> None:
    calls = []
    weights = inputs(4, *shape)

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return torch.tensordot(x, weights, 1)

    x = inputs(2, 4)
    explanation = AndOrInteractions(model, check_repeats=False).interactions(x)
    assert sum(calls) == 2 * 16
    assert explanation.shape == (2, *shape)
    expected = torch.einsum("np,p...->n...p", x, weights)
    torch.testing.assert_close(explanation.attributions(), expected)


@pytest.mark.parametrize(
    ("target", "picked"),
    [
        (1, [1, 1]), (-1, [2, 2]), (torch.tensor(2), [2, 2]), (torch.tensor([1]), [1, 1]), ((1,), [1, 1]),
        ([0, 2], [0, 2]), (torch.tensor([2, 0]), [2, 0]), ([(1,), (0,)], [1, 0]), (torch.tensor([1, 2]).numpy(), [1, 2]),
        (torch.tensor(1).numpy()[()], [1, 1]),
    ],
)  # fmt: skip
def test_target_forms(target: Any, picked: list[int]) -> None:
    weights, x = inputs(4, 3), inputs(2, 4)
    for per_eval in (None, 1, 3):
        ours = AndOrInteractions(lambda rows: rows @ weights).attribute(
            x, target=target, perturbations_per_eval=per_eval
        )
        torch.testing.assert_close(ours, x * weights.T[picked])


def test_tuple_targets_with_slices_keep_the_sliced_axis() -> None:
    weights, x = inputs(4, 3, 2), inputs(2, 4)
    method = AndOrInteractions(lambda rows: torch.tensordot(rows, weights, 1))
    assert method.attribute(x, target=(slice(None), 1)).shape == (2, 3, 4)
    torch.testing.assert_close(method.attribute(x, target=(2, 1)), x * weights[:, 2, 1])


@pytest.mark.parametrize("score", ["log_odds", "log_prob", "prob"])
def test_scores_of_a_classifier(score: Any) -> None:
    model, x = network(4, 3), inputs(2, 4)

    def by_hand(rows: Tensor) -> Tensor:
        p = model(rows).softmax(1)[:, 2]
        return {"log_odds": (p / (1 - p)).log(), "log_prob": p.log(), "prob": p}[score]

    ours = AndOrInteractions(model, score=score).attribute(x, target=2)
    torch.testing.assert_close(ours, brute_force(by_hand, x, torch.arange(4), 0.0, 4))


def test_dtype_of_the_attributions_follows_the_output() -> None:
    for dtype, expected in [(torch.double, torch.double), (torch.float, torch.float), (torch.bfloat16, torch.float)]:
        assert AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(1, 2, dtype=dtype)).dtype == expected


def test_too_many_players_name_the_cost_and_the_ways_out() -> None:
    with pytest.raises(ValueError, match=r"feature_mask gives 25 players.*2\^25 = 33,554,432.*max_players=25"):
        AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(1, 25))
    with pytest.raises(ValueError, match="3 players"):
        AndOrInteractions(lambda x: x.sum(1), max_players=2).interactions(torch.ones(1, 3))
    with pytest.raises(ValueError, match="150528 players"):
        AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(1, 3, 224, 224))


def test_split_options_are_checked_before_the_model_runs() -> None:
    def model(x: Tensor) -> Tensor:
        raise AssertionError("the model ran")

    with pytest.raises(ValueError, match="noise_bound"):
        AndOrInteractions(model).interactions(torch.ones(1, 2), split="even", noise_bound=0.1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"forward_func": 3}, TypeError),
        ({"score": "odds"}, ValueError),
        ({"max_players": 0}, TypeError),
        ({"max_players": True}, TypeError),
    ],
)
def test_constructor_errors_name_the_argument(arguments: dict[str, Any], error: type[Exception]) -> None:
    (name,) = arguments
    with pytest.raises(error, match=name):
        AndOrInteractions(**({"forward_func": torch.sum} | arguments))


def test_it_behaves_as_a_captum_class() -> None:
    method = AndOrInteractions(lambda x: x.sum(1))
    assert method.get_name() == "And Or Interactions"
    assert not method.has_convergence_delta()
    assert method.multiplies_by_inputs
    assert hasattr(AndOrInteractions.attribute, "__wrapped__")
    with pytest.raises(TypeError, match="n_samples"):
        method.attribute(torch.ones(1, 2), n_samples=3)  # type: ignore[call-arg]


def test_a_shallow_copy_with_another_model_is_independent() -> None:
    method = AndOrInteractions(lambda x: x.sum(1))
    other = copy.copy(method)
    other.forward_func = lambda x: 2 * x.sum(1)
    assert other.attribute(torch.ones(1, 2)).tolist() == [[2, 2]]
    assert method.attribute(torch.ones(1, 2)).tolist() == [[1, 1]]


def test_the_model_runs_as_it_is_without_gradients_and_random_state_is_untouched() -> None:
    model = nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.0)).train()
    states = []
    model.register_forward_hook(lambda *_: states.append((model.training, torch.is_grad_enabled())))
    before = torch.get_rng_state()
    x = torch.ones(1, 3, requires_grad=True)
    result = AndOrInteractions(model).attribute(x)
    assert set(states) == {(True, False)}
    assert not result.requires_grad
    assert torch.equal(before, torch.get_rng_state())


def test_automatic_noise_is_what_other_batches_move() -> None:
    """A model whose answers depend on the batch: each row gets a shift of up to 0.01 by its place in it."""

    def jittery(x: Tensor) -> Tensor:
        return x[:, 0] * x[:, 1] + x[:, 2] + 0.01 * (torch.arange(len(x)) % 2)

    with pytest.warns(UserWarning, match="from the (end|middle) of the first batch, asked alone, moved by 0.01"):
        ex = AndOrInteractions(jittery).interactions(
            torch.ones(1, 4).double(), noise_bound="auto", perturbations_per_eval=8
        )
    assert 0.01 <= float(ex.noise_limit) <= 0.0201
    assert float(ex.noise.abs().max()) <= float(ex.noise_limit) * (1 + 1e-12)
    quiet = AndOrInteractions(lambda x: x.prod(1)).interactions(torch.ones(1, 4).double(), noise_bound="auto")
    assert float(quiet.noise_limit) < 1e-15
    half = AndOrInteractions(lambda x: x.bfloat16().sum(1)).interactions(torch.ones(1, 4), noise_bound="auto")
    assert float(half.noise_limit) == pytest.approx(2 * 4 * torch.finfo(torch.bfloat16).eps)
    with pytest.raises(ValueError, match="noise_bound"):
        AndOrInteractions(jittery).interactions(torch.ones(1, 4), noise_bound="automatic")  # type: ignore[arg-type]
