"""What a budget must not claim: cases that once gave an R² of 1, patterns of rounding, or another sample's model."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pattern_oracles
import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.games.transforms import all_coalitions, coalition_codes
from captum_andor.sampling.coalitions import paired_design


def true_r2(model: LogicalModel, v: Tensor) -> Tensor:
    h = model.predict(all_coalitions(model.n_players))
    return 1 - (v - h).square().mean(-1) / v.var(-1, unbiased=False)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [16, 24])
def test_a_rare_conjunction_is_not_explained(n: int, seed: int) -> None:
    """An AND of eight players is 0 nearly everywhere: whatever is fitted, R² is unknown."""
    model = lambda x: (x[:, :8] != 0).all(1).double()  # noqa: E731
    lm = AndOrInteractions(model).logical_model(torch.ones(1, n), budget=256, seed=seed, max_order=4)
    assert bool(lm.r2.isnan().all()) or float(lm.r2_interval[0, 0]) < 0.5
    assert "R² unknown" in repr(lm) or float(lm.r2) < 0.9


def test_an_automatic_budget_is_not_satisfied_by_it() -> None:
    model = lambda x: (x[:, :8] != 0).all(1).double()  # noqa: E731
    lm = AndOrInteractions(model).logical_model(torch.ones(1, 14), budget="auto", max_order=2)
    assert lm.n_evaluations >= 4096 or float(lm.r2.max()) < 0.5


@pytest.mark.parametrize("effort", ["stable", "accurate", "high"])
def test_constant_games_at_every_effort(effort: str) -> None:
    lm = AndOrInteractions(lambda x: torch.relu(x.sum(1) - 100)).logical_model(
        torch.ones(2, 12),
        budget=256,
        effort=effort,  # type: ignore[arg-type]
    )
    assert lm.patterns == [] and lm.r2.tolist() == [1.0, 1.0]
    many = AndOrInteractions(lambda x: torch.relu(x.sum(1) - 100)).logical_model(
        torch.ones(2, 24),
        budget=256,
        effort=effort,  # type: ignore[arg-type]
    )
    assert many.patterns == []


@pytest.mark.parametrize("n", [14, 24])
def test_terms_at_the_level_of_rounding_are_no_patterns(n: int) -> None:
    weights = torch.zeros(n)
    weights[:3] = torch.tensor([1.0, -2.0, 0.5])
    lm = AndOrInteractions(lambda x: x @ weights).logical_model(torch.ones(1, n), budget=400)
    assert {p.players: round(p.value, 5) for p in lm.patterns} == {(0,): 1.0, (1,): -2.0, (2,): 0.5}


@pytest.mark.parametrize("n", [12, 24])
def test_a_model_is_its_own_whoever_is_in_the_batch(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4096, generator=generator)

    def model(x: Tensor) -> Tensor:
        codes = (x > 0).long() @ (1 << torch.arange(x.shape[1]) % 12)
        sparse = 2 * x[:, 0] * x[:, 1] - x[:, 2]
        return torch.stack([sparse, sparse + 0.3 * noise[codes % 4096], x[:, 3] * x[:, 4] + x[:, 5]], dim=1)

    method = AndOrInteractions(model, check_repeats=False)
    together = method.logical_model(torch.ones(1, n), budget=200, max_patterns=None)
    for k in range(3):
        alone = method.logical_model(torch.ones(1, n), budget=200, max_patterns=None, target=k)
        assert [(p.kind, p.players) for p in together[0, k].patterns] == [
            (p.kind, p.players) for p in alone[0].patterns
        ]


def test_another_game_as_previous_is_refused() -> None:
    method = AndOrInteractions(lambda x: x.prod(1) + x.sum(1))
    for n in (12, 24):
        small = method.logical_model(torch.ones(1, n), budget=64, max_patterns=3)
        with pytest.raises(ValueError, match=r"previous is of another game: v\(∅\) and v\(N\) were"):
            method.logical_model(2 * torch.ones(1, n), budget=128, max_patterns=3, previous=small)


def test_r2_with_a_goal_is_that_of_the_model_returned() -> None:
    """Stated .835, true .596 it was: the number of patterns was chosen on the coalitions that then judged."""
    stated, true, inside = [], [], []
    for seed in range(16):
        v = torch.from_numpy(pattern_oracles.planted(10, 30, seed)[1])
        v = v + 0.3 * v.std() * torch.randn(1024, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        rows = torch.from_numpy(paired_design(10, 128, seed=seed))
        lm = LogicalModel.from_values(v[coalition_codes(rows)], rows, min_r2=0.8, max_patterns=30)
        stated.append(float(lm.r2))
        true.append(float(true_r2(lm, v)))
        inside.append(float(lm.r2_interval[0]) <= true[-1] <= float(lm.r2_interval[1]))
    assert abs(np.mean(np.array(stated) - np.array(true))) < 0.08
    assert sum(inside) >= 14


def test_the_t_of_pure_noise_is_told_and_seldom_passed() -> None:
    largest, level = [], 0.0
    for seed in range(5):
        rows = torch.from_numpy(paired_design(12, 256, seed=seed))
        y = torch.randn(256, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        lm = LogicalModel.from_values(y, rows, max_patterns=10, exact_ends=False)
        largest.append(float(lm.t.max()))
        level = lm.noise_t
        assert float(lm.r2_interval[0]) <= 0.2
    assert 4.0 < level < 4.5
    assert np.median(largest) < 1.5 * level
    assert f"noise alone has candidates up to |t| {level:.1f}" in repr(lm)


def test_what_no_coalition_had_is_said() -> None:
    rows = torch.from_numpy(paired_design(14, 200, seed=0))
    some = rows[(rows.sum(1) < 11)]
    lm = LogicalModel.from_values(some.double().sum(1) ** 1.5, some, exact_ends=False)
    assert "none of 11 to 13 players" in repr(lm)


@pytest.mark.parametrize(("n", "budget"), [(12, 512), (24, 512), (9, None)])
def test_ctrl_c_during_the_search_keeps_what_was_evaluated(
    n: int, budget: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 048 evaluated coalitions were lost."""
    module, name = importlib.import_module("captum_andor.explain.logical_model"), "models_of_estimates"
    original = getattr(module, name)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(module, name, original)
        raise KeyboardInterrupt

    method, x = AndOrInteractions(lambda z: z[:, :3].prod(1) + 3 * z[:, 4] + z.sum(1) / n), torch.ones(1, n)
    expected = method.logical_model(x, budget=budget)
    monkeypatch.setattr(module, name, interrupted)
    with pytest.warns(UserWarning, match="interrupted during the search: the model is of single players, from all"):
        found = method.logical_model(x, budget=budget)
    assert found.n_evaluations == expected.n_evaluations
    assert found[0].patterns[0].players == (4,) and found.order_strength().shape == expected.order_strength().shape
    assert 0 < float(found.r2) <= float(expected.r2) + 1e-9
    again = method.logical_model(x, budget=budget, previous=found) if budget else expected
    assert [p.players for p in again[0].patterns] == [p.players for p in expected[0].patterns]


@pytest.mark.parametrize("effort", ["stable", "accurate", "high"])
@pytest.mark.parametrize("n", [12, 24])
def test_constant_games_from_a_budget_have_no_patterns(n: int, effort: Any) -> None:
    """ "cannot reshape tensor of 0 elements" at the higher efforts."""
    method = AndOrInteractions(lambda x: torch.relu(x.sum(1) - 100))
    found = method.logical_model(torch.ones(2, n), budget=256, effort=effort)
    assert (
        not found[0].patterns and found.r2.tolist() == [1.0, 1.0] and found.predict(torch.ones(1, n).bool()).sum() == 0
    )


def test_a_logical_model_of_thousands_of_players_says_so_and_ends() -> None:
    """12 288 players were unfinished after seven minutes, without a word."""
    calls = []

    def model(z: Tensor) -> Tensor:
        calls.append(len(z))
        return 3 * z[:, 7] * z[:, 1500] + z[:, 40] + 0.01 * z.sum(1)

    method, x = AndOrInteractions(model), torch.ones(1, 1600)
    with pytest.warns(UserWarning, match="there are 1,600 players: .*games.masks"):
        found = method.logical_model(x, budget=256, max_patterns=3)
    assert {(p.kind, p.players) for p in found[0].patterns} >= {("and", (7, 1500))}
