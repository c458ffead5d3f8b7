"""Owen values against sums over all orders of groups, exact and from a budget; refinement keeps what was evaluated."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from captum_andor import AndOrInteractions, GameEstimate
from captum_andor.games import Background
from captum_andor.games.transforms import all_coalitions, shapley_values
from captum_andor.process import CompleteGame, ProcessPosterior, SparseGame, owen_values
from captum_andor.results import PatternTable
from captum_andor.sampling import nested_design

torch.manual_seed(0)
NET = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 3)).double().eval()
X = torch.randn(2, 8, dtype=torch.float64)
GROUPS = torch.tensor([[0, 0, 0, 5, 5, 2, 2, 2]])
MEMBERS = [[0, 1, 2], [5, 6, 7], [3, 4]]  # by id


def by_orders(v: Tensor, groups: list[list[int]]) -> Tensor:
    """Means of marginal contributions over all orders in which groups stay together."""
    n = sum(map(len, groups))
    found, count = torch.zeros(n, dtype=torch.float64), 0
    for order in permutations(groups):
        inside = [list(permutations(group)) for group in order]
        for choice in np.ndindex(*map(len, inside)):
            code = 0
            count += 1
            for which, orders in zip(choice, inside, strict=True):
                for player in orders[which]:
                    found[player] += v[code | 1 << player] - v[code]
                    code |= 1 << player
    return found / count


def owen_weights(n: int, groups: list[list[int]]) -> Tensor:
    return torch.stack([by_orders(row, groups) for row in torch.eye(1 << n, dtype=torch.float64)]).T


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 100))
def test_exact_values_are_means_over_orders(ids: list[int], seed: int) -> None:
    n = len(ids)
    v = torch.randn(1 << n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    groups = [[i for i, one in enumerate(ids) if one == its] for its in sorted(set(ids))]
    found = GameEstimate.from_values(v).owen_values(ids)
    torch.testing.assert_close(found, by_orders(v, groups))
    bits = torch.tensor([sum(1 << i for i in group) for group in groups])
    of_groups = v[(all_coalitions(len(groups)).long() * bits).sum(1)]
    sums = torch.stack([torch.as_tensor(found)[group].sum() for group in groups])
    torch.testing.assert_close(sums, shapley_values(of_groups))


def test_alone_or_all_together_they_are_shapley_values() -> None:
    v = torch.randn(32, dtype=torch.float64)
    for ids in ([0, 1, 2, 3, 4], [7, 7, 7, 7, 7]):
        torch.testing.assert_close(GameEstimate.from_values(v).owen_values(ids), shapley_values(v))


def test_patterns_share_by_groups_first() -> None:
    members = torch.tensor([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 0]], dtype=torch.bool)
    table = PatternTable(
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([False, True, False]),
        members,
        torch.tensor([2.0, -1, 3]).double(),
    )
    game = SparseGame(torch.zeros((), dtype=torch.float64), table)
    groups = [[0, 1], [2, 3, 4], [5]]
    found, std = owen_values(game, [torch.tensor(group) for group in groups])
    torch.testing.assert_close(found, by_orders(game.all_values(), groups))
    assert not bool(std.any())


def test_posteriors_by_quadrature_are_weighted_sums() -> None:
    """Against the posterior of all 64 values times the weights of all orders."""
    v = torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = torch.from_numpy(nested_design([[0, 3], [1, 2, 4], [5]], 30))
    posterior = ProcessPosterior.of(rows, v[(rows.long() << torch.arange(6)).sum(1)])
    for groups in ([[0, 3], [1, 2, 4], [5]], [[0, 1, 2, 3, 4, 5]], [[i] for i in range(6)]):
        weights = owen_weights(6, groups)
        expected, spread = posterior.functionals(weights)
        mean, std = owen_values(posterior, [torch.tensor(group) for group in groups])
        torch.testing.assert_close(mean, posterior.efficient(expected), rtol=1e-6, atol=1e-8)
        least = posterior.player_errors(spread / posterior.widening)
        torch.testing.assert_close(std, least, rtol=1e-4, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=7), st.integers(2, 140), st.integers(0, 3))
def test_designs(ids: list[int], budget: int, seed: int) -> None:
    groups = [[i for i, one in enumerate(ids) if one == its] for its in sorted(set(ids))]
    rows = nested_design(groups, budget, seed)
    assert rows.shape == (min(budget, 2 ** len(ids)), len(ids))
    assert len({row.tobytes() for row in rows}) == len(rows)
    assert not rows[0].any() and rows[1].all()
    smaller = nested_design(groups, max(budget // 2, 2), seed)
    np.testing.assert_array_equal(rows[: len(smaller)], smaller)


def exact() -> Tensor:
    values = AndOrInteractions(NET).interactions(X, target=1, split="and").values
    return torch.stack([by_orders(v, MEMBERS) for v in values])


def test_attribute_with_groups() -> None:
    method = AndOrInteractions(NET)
    found = method.attribute(X, target=1, groups=GROUPS)
    torch.testing.assert_close(found, exact())
    values, errors = method.attribute(X, target=1, groups=GROUPS, return_standard_error=True)
    torch.testing.assert_close(values, found)
    assert not bool(errors.any())
    mean, std = method.attribute(X, target=1, groups=GROUPS, budget=100, return_standard_error=True)
    assert float((mean - found).square().sum() / found.square().sum()) < 0.02
    assert bool((std > 0).all()) and bool(((mean - found).abs() < 4 * std).all())
    everything = method.attribute(X, target=1, groups=GROUPS, budget=256)
    torch.testing.assert_close(everything, found)
    frame = pd.DataFrame(X.numpy(), columns=list("abcdefgh"))
    torch.testing.assert_close(method.attribute(frame, target=1, groups=GROUPS), found)
    mask = torch.tensor([[9, 9, 4, 4, 1, 1, 1, 0]])
    of_players = method.attribute(X, target=1, feature_mask=mask, groups=torch.tensor([[1, 1, 1, 1, 0, 0, 0, 1]]))
    values = method.interactions(X, target=1, feature_mask=mask, split="and").values
    expected = torch.stack([by_orders(v, [[1], [0, 2, 3]]) for v in values])
    torch.testing.assert_close(of_players[:, [7, 4, 2, 0]], expected)


def test_estimates_answer_for_any_groups() -> None:
    estimate = AndOrInteractions(NET).estimate(X, target=1, budget=120)
    mean, std = estimate.owen_values(GROUPS, return_std=True)
    assert mean.shape == std.shape == (2, 8)
    torch.testing.assert_close(estimate.owen_values([0, 0, 0, 5, 5, 2, 2, 2]), mean)
    torch.testing.assert_close(mean.sum(1), estimate.values[:, 1] - estimate.values[:, 0])
    assert float((mean - exact()).square().sum() / exact().square().sum()) < 0.05
    background = AndOrInteractions(NET).estimate(X, Background(X), target=1, budget=200)
    truth = AndOrInteractions(NET).attribute(X, Background(X), target=1, groups=GROUPS)
    mean, std = background.owen_values(GROUPS, return_std=True)
    assert bool(((mean - truth).abs() < 4 * std + 1e-3).all())


def test_less_error_than_nested_permutations() -> None:
    truth = exact()
    ours = AndOrInteractions(NET).attribute(X, target=1, groups=GROUPS, budget=96)
    values = AndOrInteractions(NET).interactions(X, target=1, split="and").values
    errors = []
    for seed in range(10):
        generator, total, count = np.random.default_rng(seed), torch.zeros(2, 8, dtype=torch.float64), 0
        while count * 7 < 96:  # passes between ∅ and N
            order = [i for g in generator.permutation(3) for i in generator.permutation(MEMBERS[g])]
            for way in (order, order[::-1]):
                code = 0
                for player in way:
                    total[:, player] += values[:, code | 1 << int(player)] - values[:, code]
                    code |= 1 << int(player)
                count += 1
        errors.append((total / count - truth).square().sum())
    assert (ours - truth).square().sum() < 0.5 * torch.stack(errors).mean()


class Counted:
    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return NET(x)


def test_refinement_splits_the_strongest_and_keeps_passes() -> None:
    model = Counted()
    method = AndOrInteractions(model, check_repeats=False)
    coarse = method.estimate(X[:1], target=1, feature_mask=GROUPS, budget=8)
    strongest = torch.as_tensor(coarse.shapley_values())[0].abs().argsort(descending=True)
    model.rows = 0
    fine = method.refine(coarse, X[:1], target=1, top=1, budget=30)
    assert fine.n_evaluations == 30 and model.rows == 30 - 8 + 3
    split = coarse.feature_ids[int(strongest[0])]
    sizes = {0: 3, 5: 2, 2: 3}
    assert fine.n_players == 2 + sizes[split]
    assert {f"{split} ({i})" for i in range(1, sizes[split] + 1)} <= set(fine.player_names or ())
    assert {str(i) for i in sizes if i != split} <= set(fine.player_names or ())
    kept = method.estimate(X[:1], target=1, feature_mask=GROUPS, budget=8).shapley_values()
    of_groups = fine.owen_values(GROUPS)
    assert fine.players.layout is not None
    owner = GROUPS[0][[int(i) for i in fine.feature_ids]]
    sums = torch.stack([of_groups[0, owner == one].sum() for one in (0, 2, 5)])
    torch.testing.assert_close(sums[None], torch.as_tensor(kept), rtol=1e-2, atol=1e-3)
    model.rows = 0
    more = fine.more(40)
    assert more.n_evaluations == 32 or model.rows == 10 + 3
    whole = method.refine(coarse, X[:1], target=1, top=3, budget=256)
    assert whole.is_exact and whole.n_players == 8
    torch.testing.assert_close(whole.shapley_values(), shapley_values(method.interactions(X[:1], target=1).values))


def test_refinement_of_refinements_pictures_names_and_dicts() -> None:
    picture = torch.rand(1, 1, 8, 8)
    quarters = torch.arange(4).view(1, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    sixteen = torch.arange(16).view(1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    method = AndOrInteractions(
        lambda x: x[:, 0, :2, :2].sum((1, 2)) * x[:, 0, 2:4, 2:4].sum((1, 2)) + x.mean((1, 2, 3))
    )
    coarse = method.estimate(picture, feature_mask=quarters, budget=16, player_names=["nw", "ne", "sw", "se"])
    fine = method.refine(coarse, picture, feature_mask=sixteen, top=1, budget=60)
    assert fine.n_players == 7 and fine.feature_ids == (0, 1, 2, 4, 5, 8, 10)
    assert fine.player_names == ("nw (1)", "nw (2)", "ne", "nw (3)", "nw (4)", "sw", "se")
    pixels = torch.arange(64).view(1, 1, 8, 8)
    finest = method.refine(fine, picture, feature_mask=pixels, top=2, budget=200)
    assert finest.n_players == 5 + 8 and finest.n_evaluations == 200
    attributions = finest.attributions()
    expected = method.attribute(picture, feature_mask=quarters)
    torch.testing.assert_close(attributions[0, 0, 7, 7], expected[0, 0, 7, 7], rtol=1e-2, atol=1e-3)

    def named(a: Tensor, b: Tensor) -> Tensor:
        return NET(torch.cat([a, b], 1))[:, 0]

    parts = {"a": X[:1, :3], "b": X[:1, 3:]}
    masks = {"a": torch.tensor([[0, 0, 0]]), "b": torch.tensor([[1, 1, 2, 2, 2]])}
    elements = {"a": torch.tensor([[0, 1, 2]]), "b": torch.tensor([[3, 4, 5, 6, 7]])}
    coarse = AndOrInteractions(named).estimate(parts, feature_mask=masks, budget=8)  # type: ignore[arg-type]
    fine = AndOrInteractions(named).refine(coarse, parts, feature_mask=elements, top=3, budget=100)  # type: ignore[arg-type]
    assert fine.n_players == 8 and fine.n_evaluations == 100


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"feature_mask": torch.tensor([[0, 0, 1, 1, 2, 3, 4, 5]])}, ValueError, "must be finer.*in 0 and in 5|in 0"),
        ({"feature_mask": GROUPS}, ValueError, "splits none of its players"),
        ({"target": 2}, ValueError, "estimate is of another game: v.*were.*and are"),
        ({"budget": 8}, ValueError, "more than the estimate had, 8 coalitions, which count; got 8"),
        ({"inputs": X[:1, :4]}, ValueError, r"inputs of shapes \(\(8,\),\); these have \(\(4,\),\)"),
        ({"estimate": GameEstimate.from_values(torch.randn(8))}, ValueError, "made from values"),
        ({"estimate": 3}, TypeError, "estimate must be a GameEstimate; got int"),
        ({"top": 0}, ValueError, "top"),
    ],
)
def test_refinements_that_cannot_be(options: dict[str, Any], error: type[Exception], message: str) -> None:
    method = AndOrInteractions(NET)
    coarse = method.estimate(X[:1], target=1, feature_mask=GROUPS, budget=8)
    with pytest.raises(error, match=message):
        method.refine(**{"estimate": coarse, "inputs": X[:1], "target": 1, **options})


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (
            torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]]),
            ValueError,
            "must not cut a player: elements of player 0 are in 0 and in 1",
        ),
        (torch.tensor([[0, 0, 0, 1, 1, -1, -1, -1]]), ValueError, "player 2 are in none"),
        (torch.tensor([[0, 0, 1]]), ValueError, "does not broadcast|shape"),
        (torch.rand(1, 8), TypeError, "integer"),
        ([0, 1], ValueError, "an id, an int, for each of 3 players"),
        ("all", TypeError, "groups must be an integer tensor"),
    ],
)
def test_groups_that_cannot_be(groups: Any, error: type[Exception], message: str) -> None:
    method = AndOrInteractions(NET)
    estimate = method.estimate(X[:1], target=1, feature_mask=GROUPS, budget=6)
    with pytest.raises(error, match=message):
        estimate.owen_values(groups)
    if isinstance(groups, Tensor) and groups.shape[1] == 8 and not groups.is_floating_point():
        for options in ({}, {"budget": 6}):
            with pytest.raises(error, match=message):
                method.attribute(X[:1], target=1, feature_mask=GROUPS, groups=groups, **options)  # type: ignore[arg-type]


def test_groups_of_results_made_from_values() -> None:
    estimate = GameEstimate.from_values(torch.randn(8, dtype=torch.float64))
    torch.testing.assert_close(estimate.owen_values(torch.tensor([4, 4, 1])), estimate.owen_values([4, 4, 1]))
    with pytest.raises(ValueError, match="an id for each of 3 players"):
        estimate.owen_values(torch.tensor([1, 2]))
    assert isinstance(estimate.posteriors[0], CompleteGame)
