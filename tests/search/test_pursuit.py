"""Selection, elimination and swaps against replicas that refit every candidate by least squares."""

from __future__ import annotations

import numpy as np
import pattern_oracles
import pytest
import torch
from torch import Tensor

from captum_andor.search.dictionary import complete_columns
from captum_andor.search.least_squares import GameBatch
from captum_andor.search.pursuit import grow, rank, swap

CPU = torch.device("cpu")


def games(n: int = 4, batch: int = 3, seed: int = 0, by_size: tuple[float, ...] | None = None) -> GameBatch:
    v = torch.randn(batch, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return GameBatch(complete_columns(n, by_size or (1.0,) * (n + 1), CPU), v)


def allowed(some: GameBatch) -> Tensor:
    order, half = some.columns.order, some.columns.n_coalitions
    columns = torch.arange(2 * half)
    return (order >= 1) & ((columns < half) | (order >= 2))


def explained(some: GameBatch, row: int, chosen: list[int]) -> float:
    """Weighted R² of a least-squares fit, by brute force."""
    n = some.columns.n_players
    v = (some.centred + some.mean)[row].numpy()
    weights = some.columns.row_weights.numpy()
    columns = pattern_oracles.matrix(pattern_oracles.rows(n))[:, chosen]
    fitted = pattern_oracles.least_squares(columns, v, weights)
    return pattern_oracles.r2(v, fitted[0] + columns @ fitted[1:], weights)


@pytest.mark.parametrize("by_size", [None, (6.0, 1.0, 1.0, 2.0, 6.0)])
@pytest.mark.parametrize("preference", [0.0, 0.3, 1.0])
def test_each_step_takes_the_column_of_most_discounted_gain(
    preference: float, by_size: tuple[float, ...] | None
) -> None:
    some = games(by_size=by_size)
    discount = allowed(some) / (1 + preference * (some.columns.order - 1).clamp(min=0).double())
    chosen = grow(some, 5, discount)
    for row in range(len(some)):
        before: list[int] = []
        for pick in chosen[row].tolist():
            base = explained(some, row, before) if before else 0.0
            gains = {
                j: (explained(some, row, [*before, j]) - base) * float(discount[j])
                for j in allowed(some).nonzero()[:, 0].tolist()
                if j % 16 not in {i % 16 for i in before}  # a set of players has one pattern
            }
            assert gains[pick] == pytest.approx(max(gains.values()), abs=1e-9)
            before.append(pick)


def test_growing_on_from_columns_is_growing_through() -> None:
    some = games()
    discount = allowed(some).double()
    whole = grow(some, 6, discount)
    assert torch.equal(grow(some, 6, discount, whole[:, :2]), whole)


def test_a_game_that_is_explained_takes_no_more() -> None:
    v = torch.zeros(2, 16, dtype=torch.float64)
    v[0] = torch.from_numpy(pattern_oracles.rows(4)[:, 0].astype(float))
    some = GameBatch(complete_columns(4, (1.0,) * 5, CPU), v)
    assert grow(some, 4, allowed(some).double()).tolist() == [[1, -1, -1, -1], [-1, -1, -1, -1]]


@pytest.mark.parametrize("n", [5, 7])
def test_shortlists_find_what_the_whole_dictionary_has(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    some = games(n, 2)
    discount = allowed(some).double()
    whole, swapped = grow(some, 12, discount), swap(some, grow(some, 6, discount), allowed(some))
    monkeypatch.setattr("captum_andor.search.dictionary._WHOLE_PLAYERS", 0)
    assert torch.equal(grow(some, 12, discount), whole)
    assert torch.equal(swap(some, grow(some, 6, discount), allowed(some)), swapped)


def test_backward_elimination_drops_what_is_missed_least() -> None:
    some = games()
    chosen = grow(some, 6, allowed(some).double())
    ranked = rank(some, chosen)
    for row in range(len(some)):
        left = chosen[row].tolist()
        for last in reversed(ranked[row].tolist()[1:]):
            missed = {j: explained(some, row, [i for i in left if i != j]) for j in left}
            assert missed[last] == pytest.approx(max(missed.values()), abs=1e-9)
            left.remove(last)
        assert left == ranked[row, :1].tolist()
    kept = rank(some, chosen, keep=3)
    assert [set(row) for row in kept.tolist()] == [set(row) for row in ranked[:, :3].tolist()]


def test_elimination_puts_none_last() -> None:
    some = games(batch=1)
    ranked = rank(some, torch.tensor([[5, -1, 3, -1]]))
    assert set(ranked[0, :2].tolist()) == {3, 5} and ranked[0, 2:].tolist() == [-1, -1]


def test_a_swap_is_the_best_of_all_pairs_and_swaps_end_at_an_optimum() -> None:
    some = games(batch=2)
    columns = allowed(some).nonzero()[:, 0].tolist()
    chosen = torch.tensor([[1, 2, 4], [3, 20, 8]])
    final = swap(some, chosen, allowed(some))
    for row in range(2):
        before, after = explained(some, row, chosen[row].tolist()), explained(some, row, final[row].tolist())
        assert after > before
        left = final[row].tolist()
        best = max(
            explained(some, row, [*(i for i in left if i != out), into])
            for out in left
            for into in columns
            if into % 16 not in {i % 16 for i in left if i != out}
        )
        assert best <= after + 1e-4


def test_swaps_leave_games_with_missing_columns_alone() -> None:
    some = games(batch=2)
    chosen = torch.tensor([[1, -1], [1, 2]])
    assert swap(some, chosen, allowed(some))[0].tolist() == [1, -1]


def test_swaps_keep_to_what_is_allowed() -> None:
    some = games(batch=2)
    singles = allowed(some) & (some.columns.order == 1)
    chosen = grow(some, 2, singles.double())
    assert bool(singles[swap(some, chosen, singles)].all())


def test_large_games_are_chosen_by_shortlists_in_batches_as_alone() -> None:
    v = pattern_oracles.planted(11, 6, 0)[1]
    other = pattern_oracles.planted(11, 5, 1)[1]
    batch = GameBatch(complete_columns(11, (1.0,) * 12, CPU), torch.from_numpy(np.stack([v, other])))
    discount = allowed(batch).double()
    together = grow(batch, 9, discount)
    for row in range(2):
        alone = grow(batch.select(torch.tensor([row])), 9, discount)
        assert torch.equal(alone[0], together[row])
