"""Deletion and insertion curves against masked inputs asked one by one, for any attributions."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, ShapleyValueSampling
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.explain import DeletionCurve, deletion_curve
from captum_andor.games import Background

torch.manual_seed(0)
NET = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).double().eval()
X = torch.rand(3, 6, dtype=torch.float64)
BASE = torch.full((1, 6), 0.3, dtype=torch.float64)


def by_hand(x: Tensor, owner: Tensor, values: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Curves of one example, a pass each."""
    order = values.argsort(descending=True, stable=True)
    ways: tuple[list[Tensor], list[Tensor]] = ([], [])
    for count in range(len(values) + 1):
        gone = torch.isin(owner, order[:count])
        for way, absent in zip(ways, (gone, ~gone), strict=True):
            way.append(NET(torch.where(absent, BASE[0], x)[None])[0, target].detach())
    return torch.stack(ways[0]), torch.stack(ways[1])


@pytest.mark.parametrize("attribute", [IntegratedGradients(NET).attribute, InputXGradient(NET).attribute])
def test_curves_are_masked_inputs_asked_one_by_one(attribute: Any) -> None:
    attributions = attribute(X, target=2)
    curve = deletion_curve(AndOrInteractions(NET), X, attributions, BASE, 2)
    for i in range(3):
        deletion, insertion = by_hand(X[i], torch.arange(6), attributions[i], 2)
        torch.testing.assert_close(curve.deletion[i], deletion)
        torch.testing.assert_close(curve.insertion[i], insertion)
    assert curve.n_evaluations == 12 and curve.counts.tolist() == list(range(7))
    assert torch.equal(curve.order, attributions.argsort(dim=1, descending=True))
    areas = (curve.deletion[:, 1:] + curve.deletion[:, :-1]).sum(1) / 12
    torch.testing.assert_close(curve.deletion_area, areas)
    torch.testing.assert_close(curve.insertion_area, (curve.insertion[:, 1:] + curve.insertion[:, :-1]).sum(1) / 12)


def test_players_of_several_elements_have_their_sum_or_their_one_value() -> None:
    mask = torch.tensor([[0, 0, 7, 7, 7, 3]])
    owner = torch.tensor([0, 0, 2, 2, 2, 1])
    by_element = IntegratedGradients(NET).attribute(X, target=0)
    sums = torch.zeros(3, 3, dtype=torch.float64).index_add_(1, owner, by_element)
    method = AndOrInteractions(NET)
    curve = deletion_curve(method, X, by_element, BASE, 0, feature_mask=mask)
    by_player = ShapleyValueSampling(NET).attribute(X, BASE, target=0, feature_mask=mask)
    other = deletion_curve(method, X, by_player, BASE, 0, feature_mask=mask)
    for i in range(3):
        torch.testing.assert_close(curve.deletion[i], by_hand(X[i], owner, sums[i], 0)[0])
        torch.testing.assert_close(other.deletion[i], by_hand(X[i], owner, by_player[i, [0, 5, 2]], 0)[0])
    assert set(curve.order.flatten().tolist()) == {0, 3, 7}


def test_own_results_are_not_asked_again() -> None:
    method = AndOrInteractions(NET)
    exact = method.interactions(X, BASE, 1)
    plain = deletion_curve(method, X, exact.attributions(), BASE, 1)
    for result, most in (
        (exact, 0),
        (method.logical_model(X, BASE, 1, max_patterns=63), 0),
        (method.estimate(X, BASE, 1, budget=30), 9),
        (method.logical_model(X, BASE, 1, budget=40, max_patterns=5), 12),
    ):
        curve = deletion_curve(method, X, result, BASE, 1)
        assert curve.n_evaluations <= most
        again = deletion_curve(method, X, result.attributions(), BASE, 1)
        torch.testing.assert_close(curve.deletion, again.deletion)
        torch.testing.assert_close(curve.insertion, again.insertion)
    torch.testing.assert_close(deletion_curve(method, X, exact, BASE, 1).deletion, plain.deletion)
    background = method.estimate(X, Background(X), 1, budget=60)
    curve = deletion_curve(method, X, background, Background(X), 1)
    torch.testing.assert_close(curve.deletion[:, -1], NET(X)[:, 1].mean().expand(3).detach())


def test_many_players_masks_of_examples_frames_dicts_and_tuples() -> None:
    wide = torch.rand(2, 200)
    curve = deletion_curve(AndOrInteractions(lambda x: x.sum(1)), wide, wide)
    assert curve.deletion.shape == (2, 65) and curve.counts[-1] == 200 and curve.n_evaluations == 128
    five = deletion_curve(AndOrInteractions(lambda x: x.sum(1)), wide, wide, steps=5)
    assert five.counts.tolist() == [0, 40, 80, 120, 160, 200]
    own = torch.stack([torch.arange(6).div(2, rounding_mode="floor"), 2 - torch.arange(6) // 2])
    attributions = IntegratedGradients(NET).attribute(X[:2], target=0)
    curve = deletion_curve(AndOrInteractions(NET), X[:2], attributions, BASE, 0, feature_mask=own)
    for i in range(2):
        sums = torch.zeros(3, dtype=torch.float64).index_add_(0, own[i], attributions[i])
        torch.testing.assert_close(curve.deletion[i], by_hand(X[i], own[i], sums, 0)[0])
    frame = pd.DataFrame(X.numpy(), columns=list("abcdef"))
    whole = IntegratedGradients(NET).attribute(X, target=0)
    expected = deletion_curve(AndOrInteractions(NET), X, whole, BASE, 0)
    by_frame = deletion_curve(AndOrInteractions(NET), frame, whole, BASE, 0)
    torch.testing.assert_close(by_frame.deletion, expected.deletion)
    parts = {"a": X[:, :2], "b": X[:, 2:]}

    def named(a: Tensor, b: Tensor) -> Tensor:
        return NET(torch.cat([a, b], 1))

    baselines = {"a": BASE[:, :2], "b": BASE[:, 2:]}
    of_dict = deletion_curve(AndOrInteractions(named), parts, {"a": whole[:, :2], "b": whole[:, 2:]}, baselines, 0)  # type: ignore[arg-type]
    torch.testing.assert_close(of_dict.insertion, expected.insertion)
    of_tuple = deletion_curve(
        AndOrInteractions(named), tuple(parts.values()), (whole[:, :2], whole[:, 2:]), tuple(baselines.values()), 0
    )
    torch.testing.assert_close(of_tuple.insertion, expected.insertion)


def test_shapley_values_delete_faster_than_their_reverse() -> None:
    method = AndOrInteractions(NET)
    values = method.attribute(X, BASE, 1)
    best, worst = (deletion_curve(method, X, sign * values, BASE, 1) for sign in (1, -1))
    assert bool((best.deletion_area < worst.deletion_area).all())
    torch.testing.assert_close(best.deletion, worst.insertion.flip(1))


def test_elements_of_nobody_stay() -> None:
    mask = torch.tensor([[0, 1, 2, -1, -1, 3]])
    attributions = torch.tensor([[4.0, 3, 2, 9, 9, 1]], dtype=torch.float64)
    curve = deletion_curve(
        AndOrInteractions(lambda x: x.sum(1)), torch.ones(1, 6).double(), attributions, feature_mask=mask
    )
    assert curve.deletion[0].tolist() == [6, 5, 4, 3, 2] and curve.order[0].tolist() == [0, 1, 2, 3]


def test_tables_prints_and_figures() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    method = AndOrInteractions(NET, score="log_odds")
    curve = deletion_curve(method, X, method.attribute(X, 0.3, 1), 0.3, 1)
    table = curve.to_dataframe()
    assert list(table) == ["sample", "count", "share", "deletion", "insertion"] and len(table) == 21
    assert "3 examples, 6 players" in str(curve) and str(curve).endswith("absent: 0.3")
    _, axis = curve.plot(use_pyplot=False)
    assert axis.get_ylabel() == "v (log-odds)" and len(axis.lines) == 8 and "absent: 0.3" in axis.get_title()
    one = deletion_curve(method, X[:1], method.attribute(X[:1], 0.3, 1), 0.3, 1)
    assert isinstance(one, DeletionCurve)
    assert len(one.plot(use_pyplot=False)[1].lines) == 2


@pytest.mark.parametrize(
    ("attributions", "options", "error", "message"),
    [
        (X[:, :5], {}, ValueError, r"shaped like the inputs, \(3, 6\); got \(3, 5\)"),
        (X.tolist(), {}, TypeError, "attributions must be a tensor.*got list"),
        (X.where(X > 0.5, torch.nan), {}, ValueError, "attributions must be finite"),
        (X, {"target": None}, ValueError, "v must be one number for each of 3 examples"),
        (X, {"steps": 7}, ValueError, "steps must be 1 to the number of players, 6; got 7"),
        (X, {"steps": 0}, ValueError, "steps"),
        (AndOrInteractions(NET).interactions(X[:2], target=1), {}, ValueError, r"shape \(2,\).*have 3 examples"),
    ],
)
def test_what_cannot_be(attributions: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        deletion_curve(AndOrInteractions(NET), X, attributions, **{"target": 1, **options})
