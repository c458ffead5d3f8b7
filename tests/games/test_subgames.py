"""Dummy players: reported, and left out of what is solved; the split and its proof are those of the whole game."""

from __future__ import annotations

from typing import Any

import oracles
import pytest
import torch
from torch import Tensor

from captum_andor import AndOrExplanation, AndOrInteractions
from captum_andor.games.transforms import coalition_members
from captum_andor.split import split
from captum_andor.split.certificate import dual_bound, order_costs


def with_dummies(small: Tensor, players: tuple[int, ...], n: int) -> Tensor:
    """A game in which only some of n players count, as those of a smaller game."""
    members = coalition_members(torch.arange(1 << n), n)[:, list(players)]
    return small[..., (members * (1 << torch.arange(len(players)))).sum(1)]


def random_game(k: int, seed: int = 0) -> Tensor:
    return torch.randn(1 << k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("noise_bound", [0.0, 0.2])
@pytest.mark.parametrize(("players", "n"), [((0, 2), 4), ((1, 3, 4), 5), ((4,), 5), ((0, 1, 2), 3)])
def test_the_split_is_that_of_the_active_players_and_its_proof_holds(
    players: tuple[int, ...], n: int, noise_bound: float
) -> None:
    v = with_dummies(random_game(len(players)), players, n)
    ex = AndOrExplanation.from_values(v, noise_bound=noise_bound, tolerance=1e-6)
    assert ex.active_players.tolist() == [i in players for i in range(n)]
    assert all(set(i.players) <= set(players) for i in ex.salient(0.0))
    assert float(ex.l1) == pytest.approx(oracles.least_l1(v, noise_bound), rel=2e-6)
    assert float(ex.fidelity()) < 1e-12 and float(ex.noise.abs().max()) <= float(ex.noise_limit) * (1 + 1e-9)
    scale = (v - v[0]).abs().amax()
    bound, _ = dual_bound(
        ex.dual[None], ((v - v[0]) / scale)[None], ex.noise_limit[None] / scale, order_costs(n, 0.0, v.device)
    )
    assert float(bound * scale) == pytest.approx(float(ex.l1), rel=2e-6)


def test_games_of_one_batch_have_dummies_of_their_own() -> None:
    small = random_game(3)
    games = torch.stack(
        [with_dummies(small, (0, 1, 3), 4), random_game(4), torch.full((16,), 2.0), with_dummies(small, (1, 2, 3), 4)]
    ).double()
    ex = AndOrExplanation.from_values(games)
    assert ex.active_players.long().tolist() == [[1, 1, 0, 1], [1] * 4, [0] * 4, [0, 1, 1, 1]]
    for game, part in zip(games, ex, strict=True):
        alone = AndOrExplanation.from_values(game)
        assert torch.equal(part.and_values, alone.and_values) and torch.equal(part.or_values, alone.or_values)
    assert ex.l1[0] == ex.l1[3] and ex.l1[2] == 0


def test_the_solver_sees_the_active_players_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, solve = [], split._search

    def watched(games: Tensor, *rest: Any) -> Any:
        sizes.append(games.shape[1])
        return solve(games, *rest)

    monkeypatch.setattr(split, "_search", watched)
    AndOrExplanation.from_values(with_dummies(random_game(3), (2, 5, 11), 12))
    AndOrExplanation.from_values(random_game(5))
    assert sizes == [8, 32]


def test_a_float32_model_rounds_and_its_dummies_stay_dummies() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    x = torch.rand(2, 6)
    x[0, 2] = 0.0  # as the baseline
    ex = AndOrInteractions(net).interactions(x, target=0, split="even")
    assert ex.active_players.tolist() == [[True, True, False, True, True, True], [True] * 6]
