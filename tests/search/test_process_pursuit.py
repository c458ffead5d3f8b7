"""Logical models of many players: chosen on what the process predicts, where that predicts unseen coalitions better."""

import warnings
from itertools import combinations

import pytest
import torch
from torch import Tensor

from captum_andor import AndOrInteractions
from captum_andor.sampling import held_out_at_random, paired_design, size_strata
from captum_andor.search.beam_search import Pattern
from captum_andor.search.options import Options
from captum_andor.search.process_pursuit import _Pool, budgeted_models, pursued_patterns
from captum_andor.search.sampled_games import sampled_models

N = 24


def network(z: Tensor, seed: int = 0) -> Tensor:
    """A dense tanh network: a game of many weak patterns."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(N, 16, generator=generator, dtype=torch.float64) / N**0.5 * 2
    second = torch.randn(16, generator=generator, dtype=torch.float64)
    return torch.tanh(z.double() @ first) @ second


def planted(z: Tensor) -> Tensor:
    return 2.0 * z[:, [1, 4]].all(1) - 3.0 * z[:, [2, 7, 9]].any(1) + 1.0 * z[:, [0, 3, 5]].all(1) + 0.5 * z[:, 8]


def budgeted(budget: int) -> tuple[Tensor, Tensor, Tensor]:
    rows = paired_design(N, budget, 0.0, 0)
    held_out = held_out_at_random(rows, 0)
    return torch.from_numpy(rows), torch.from_numpy(held_out), torch.from_numpy(size_strata(rows))


def random_rows(count: int, n: int = N) -> Tensor:
    rows = torch.rand(count, n, generator=torch.Generator().manual_seed(1)) < 0.5
    rows[0], rows[1] = False, True
    return rows


def predicted(models: object, z: Tensor, game: int = 0) -> Tensor:
    h = models.constant[game].expand(len(z)).clone()  # type: ignore[attr-defined]
    mine = models.game == game  # type: ignore[attr-defined]
    for is_or, members, value in zip(models.is_or[mine], models.members[mine], models.value[mine], strict=True):  # type: ignore[attr-defined]
        some = z[:, members]
        h += value * (some.any(1) if is_or else some.all(1))
    return h


def r2(truth: Tensor, guess: Tensor) -> float:
    return 1 - float((truth - guess).square().mean() / truth.var(unbiased=False))


def test_a_dense_game_is_explained_better_than_by_the_search_alone() -> None:
    z, held_out, strata = budgeted(256)
    fresh, options = random_rows(4000), Options(20)
    gains, inside = [], 0
    for seed in (0, 1, 2):
        v = network(z, seed)[None]
        of_search = r2(network(fresh, seed), predicted(sampled_models(v, z, held_out, strata, options), fresh))
        models = budgeted_models(v, z, held_out, strata, options)
        mine = r2(network(fresh, seed), predicted(models, fresh))
        gains.append(mine - of_search)
        inside += int(models.r2_interval[0, 0] <= mine <= models.r2_interval[0, 1])
        torch.testing.assert_close(predicted(models, z[:2]), v[0, :2])  # exact ends
    assert inside >= 2 and min(gains) > -0.01
    assert max(gains) > 0.02


def test_a_sparse_game_keeps_the_model_of_the_search() -> None:
    z, held_out, strata = budgeted(512)
    v = planted(z)[None].double()
    found, expected = (make(v, z, held_out, strata, Options(8)) for make in (budgeted_models, sampled_models))
    assert found.r2 == 1
    torch.testing.assert_close(found.members, expected.members)
    torch.testing.assert_close(found.value, expected.value)


def test_each_game_has_its_own_model_whoever_else_is_in_the_batch() -> None:
    z, held_out, strata = budgeted(128)
    v = torch.stack([network(z, 0), planted(z).double(), network(z, 1)])
    together = budgeted_models(v, z, held_out, strata, Options(6))
    fresh = random_rows(100)
    for game in range(3):
        alone = budgeted_models(v[game : game + 1], z, held_out, strata, Options(6))
        torch.testing.assert_close(predicted(together, fresh, game), predicted(alone, fresh))
        torch.testing.assert_close(together.r2[game], alone.r2[0])


@pytest.mark.parametrize("exact_ends", [True, False])
def test_pursuit_finds_planted_patterns(exact_ends: bool) -> None:
    z = random_rows(1500)
    found = pursued_patterns(planted(z).double(), z, list(range(N)), 4, Options(4, exact_ends=exact_ends))
    assert set(found) == {(False, (1, 4)), (True, (2, 7, 9)), (False, (0, 3, 5)), (False, (8,))}


def test_pursuit_keeps_to_the_kinds_and_orders_asked_for() -> None:
    z = random_rows(600)
    for options in (Options(9, kinds="and"), Options(9, kinds="or"), Options(9, max_order=2), Options(9, max_order=1)):
        found = pursued_patterns(network(z), z, list(range(N)), 9, options)
        assert len(found) == len(set(found)) == 9
        for is_or, players in found:
            assert len(players) <= (options.max_order or N)
            assert len(players) == 1 or ("or" if is_or else "and") in options.kinds


@pytest.mark.parametrize("total", [None, 0.7])
def test_gains_are_what_least_squares_saves(total: float | None) -> None:
    z = random_rows(200, 6)
    candidates: list[Pattern] = [(False, (i,)) for i in range(6)] + [(True, pair) for pair in combinations(range(6), 2)]
    y = torch.randn(200, generator=torch.Generator().manual_seed(2))
    y = y - y.mean()
    pool = _Pool(z, y, candidates, list(range(6)), 2, total)

    def error(places: list[int]) -> float:
        columns, target = pool.columns[:, places].double(), y.double()
        if total is not None:
            base = columns[:, 0]
            columns, target = columns[:, 1:] - base[:, None], target - total * base
        if not columns.shape[1]:
            return float(target.square().sum())
        fitted = columns @ torch.linalg.lstsq(columns, target[:, None]).solution
        return float((target - fitted[:, 0]).square().sum())

    taken = [3, 8, 12]
    gains = pool._gains(taken)
    for place in (0, 1, 7, 10, 20):
        assert float(gains[place]) == pytest.approx(error(taken) - error([*taken, place]), abs=1e-3)


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
