"""Logical models of many players: patterns chosen on what the process predicts, or by the search."""

import warnings
from itertools import combinations

import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.sampling import paired_design
from captum_andor.search.options import Options
from captum_andor.search.process_pursuit import pursued_patterns
from captum_andor.search.sampled_games import pattern_columns, searched_patterns

N = 24


def network(z: Tensor, seed: int = 0) -> Tensor:
    """A dense tanh network: a game of many weak patterns."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(N, 16, generator=generator, dtype=torch.float64) / N**0.5 * 2
    second = torch.randn(16, generator=generator, dtype=torch.float64)
    return torch.tanh(z.double() @ first) @ second


def planted(z: Tensor) -> Tensor:
    return 2.0 * z[:, [1, 4]].all(1) - 3.0 * z[:, [2, 7, 9]].any(1) + 1.0 * z[:, [0, 3, 5]].all(1) + 0.5 * z[:, 8]


def random_rows(count: int, n: int = N) -> Tensor:
    rows = torch.rand(count, n, generator=torch.Generator().manual_seed(1)) < 0.5
    rows[0], rows[1] = False, True
    return rows


def r2(truth: Tensor, guess: Tensor) -> float:
    return 1 - float((truth - guess).square().mean() / truth.var(unbiased=False))


def test_a_dense_game_is_explained_better_than_by_the_search_alone() -> None:
    z = torch.from_numpy(paired_design(N, 256, 0.0, 0))
    fresh = random_rows(4000)
    gains, inside = [], 0
    for seed in (0, 1, 2):
        v = network(z, seed)
        nobody = torch.zeros(len(z) + len(fresh), dtype=torch.bool)
        nobody[len(z) :] = True
        both, strata = torch.cat([z, fresh]), torch.zeros(len(nobody), dtype=torch.long)
        by_search, _ = searched_patterns(torch.cat([v, network(fresh, seed)]), both, nobody, strata, Options(20))
        lm = LogicalModel.from_values(v, z, max_patterns=20)
        mine = r2(network(fresh, seed), lm.predict(fresh))
        gains.append(mine - r2(network(fresh, seed), by_search))
        inside += int(lm.r2_interval[0] <= mine <= lm.r2_interval[1])
        torch.testing.assert_close(lm.predict(z[:2]), v[:2])  # exact ends
    assert inside >= 2 and min(gains) > -0.01
    assert max(gains) > 0.02


def test_a_sparse_game_is_its_patterns() -> None:
    z = torch.from_numpy(paired_design(N, 512, 0.0, 0))
    lm = LogicalModel.from_values(planted(z).double(), z, max_patterns=8)
    assert lm.r2 == 1 and len(lm.patterns) == 4
    assert {(p.kind, p.players): round(p.value, 9) for p in lm.patterns} == {
        ("and", (1, 4)): 2.0,
        ("or", (2, 7, 9)): -3.0,
        ("and", (0, 3, 5)): 1.0,
        ("and", (8,)): 0.5,
    }


def test_fewer_patterns_than_a_sparse_game_has_are_the_best_of_them() -> None:
    z = torch.from_numpy(paired_design(N, 512, 0.0, 0))
    lm = LogicalModel.from_values(planted(z).double(), z, max_patterns=2, exact_ends=False)
    fresh = random_rows(4000)
    assert len(lm.patterns) == 2 and float(lm.r2) == pytest.approx(
        r2(planted(fresh).double(), lm.predict(fresh)), abs=0.05
    )
    assert float(lm.r2) > 0.6


def test_each_game_has_its_own_model_whoever_else_is_in_the_batch() -> None:
    z = torch.from_numpy(paired_design(N, 128, 0.0, 0))
    v = torch.stack([network(z, 0), planted(z).double(), network(z, 1)])
    together = LogicalModel.from_values(v, z, max_patterns=6)
    fresh = random_rows(100)
    for game in range(3):
        alone = LogicalModel.from_values(v[game], z, max_patterns=6)
        torch.testing.assert_close(together.predict(fresh)[game], alone.predict(fresh))
        torch.testing.assert_close(together.r2_interval[game], alone.r2_interval)


@pytest.mark.parametrize("exact_ends", [True, False])
def test_pursuit_finds_planted_patterns(exact_ends: bool) -> None:
    z = random_rows(1500)
    found = pursued_patterns(planted(z).double()[None], z, torch.ones(N), 4, Options(4, exact_ends=exact_ends))[0]
    assert set(found) == {(False, (1, 4)), (True, (2, 7, 9)), (False, (0, 3, 5)), (False, (8,))}


def test_pursuit_keeps_to_the_kinds_and_orders_asked_for() -> None:
    z = random_rows(600)
    for options in (Options(9, kinds="and"), Options(9, kinds="or"), Options(9, max_order=2), Options(9, max_order=1)):
        found = pursued_patterns(network(z)[None], z, torch.ones(N), 9, options)[0]
        assert len(found) == len(set(found)) == 9
        for is_or, players in found:
            assert len(players) <= (options.max_order or N)
            assert len(players) == 1 or ("or" if is_or else "and") in options.kinds


def test_with_exact_ends_the_weights_are_chosen_with_the_ends_in_view() -> None:
    """Against brute force: the best pair of candidates under h(∅) = v(∅) and h(N) = v(N)."""
    z = all_coalitions(6)
    v = torch.tanh(z.double() @ torch.tensor([2.0, -1.0, 1.5, 0.5, -0.5, 1.0], dtype=torch.float64))
    base, span = v[0], v[-1] - v[0]
    candidates = [(False, (i,)) for i in range(6)] + [
        (is_or, pair) for is_or in (False, True) for pair in combinations(range(6), 2)
    ]
    columns = pattern_columns(z, [*candidates, (False, tuple(range(6))), (True, tuple(range(6)))])

    def error(i: int, j: int) -> float:
        difference = columns[:, j] - columns[:, i]
        left = v - base - span * columns[:, i]
        weight = (difference @ left) / difference.square().sum().clamp(min=1e-9)
        return float((left - weight * difference).square().sum())

    best = min(error(i, j) for i, j in combinations(range(columns.shape[1]), 2))
    found = pursued_patterns(v[None], z, torch.ones(6), 2, Options(2))[0]
    places = [([*candidates, (False, tuple(range(6))), (True, tuple(range(6)))]).index(pattern) for pattern in found]
    assert error(*places) <= 1.1 * best


@pytest.mark.parametrize("scale", [1e30, 1e-160])
def test_units_of_v_choose_the_same_patterns_above_twenty_players(scale: float) -> None:
    """The search works in float32, where squares of such values overflow or vanish."""
    first = torch.randn(24, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def patterns(by: float) -> list[object]:
        method = AndOrInteractions(lambda z: torch.tanh(z.double() @ first).sum(1) * by)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = method.logical_model(torch.ones(1, 24).double(), budget=200, max_patterns=6)
        return [(p.kind, p.players, round(p.value / by, 6)) for p in model[0].patterns]

    assert patterns(1.0) == patterns(scale)
