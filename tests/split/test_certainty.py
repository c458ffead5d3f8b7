"""What is certain of a split, against the range of every interaction over all optimal splits, by linear programs."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from captum_andor import AndOrExplanation
from captum_andor.games.transforms import coalition_members
from captum_andor.split.certainty import bounds, largest_differences
from captum_andor.split.split import split_game


def ranges(v: Tensor, noise_bound: float, terms: list[tuple[bool, int]]) -> list[tuple[float, float]]:
    """Least and largest value of given terms over all splits whose l1 is optimal."""
    n = oracles.n_players(v)
    everything = oracles.subsets(range(n))
    columns = [(False, t) for t in everything if t] + [(True, t) for t in everything if len(t) > 1]
    game = np.array([float(v[oracles.code(s)]) - float(v[0]) for s in everything])
    matrix = np.array([[bool(t & s) if is_or else t <= s for is_or, t in columns] for s in everything], dtype=float)
    room = np.full(len(game), noise_bound * abs(float(v[-1]) - float(v[0])))
    room[0] = 0
    optimum = oracles.least_l1(v, noise_bound)
    k = len(columns)
    a_ub = np.vstack([np.hstack([matrix, -matrix]), np.hstack([-matrix, matrix]), np.ones((1, 2 * k))])
    b_ub = np.concatenate([game + room, room - game, [optimum * (1 + 1e-9) + 1e-12]])
    found = []
    for is_or, code in terms:
        position = next(i for i, (o, t) in enumerate(columns) if o == is_or and oracles.code(t) == code)
        cost = np.zeros(2 * k)
        cost[position], cost[k + position] = 1, -1
        low, high = (linprog(sign * cost, A_ub=a_ub, b_ub=b_ub, method="highs").fun for sign in (1, -1))
        found.append((low, -high))
    return found


def games() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    members = coalition_members(torch.arange(16), 4).double()
    return {
        "random": torch.randn(16, dtype=torch.float64, generator=generator),
        "additive": members @ torch.arange(1.0, 5.0, dtype=torch.float64),
        "pair": 2 * members[:, :2].prod(1) + members[:, 2],
        "sums of pairs": (members[:, 0] + members[:, 1]) * (1 + members[:, 2]),
    }


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
@pytest.mark.parametrize("name", games())
def test_bounds_hold_for_every_optimum(name: str, noise_bound: float) -> None:
    v = games()[name]
    result = split_game(v, noise_bound=noise_bound, tolerance=1e-8)
    excess = float(result.l1 * result.duality_gap)
    found = bounds(result.dual[None], torch.tensor([excess], dtype=torch.float64))
    terms = [(is_or, code) for is_or in (False, True) for code in range(1, 16) if not is_or or code.bit_count() > 1]
    positions = torch.tensor([16 * is_or + code for is_or, code in terms])
    epsilon = noise_bound * abs(float(v[-1] - v[0]))
    differ = largest_differences(result.dual, float(result.l1), excess, epsilon, positions)
    slack = 1e-6
    for (is_or, code), difference, (low, high) in zip(
        terms, differ.tolist(), ranges(v, noise_bound, terms), strict=True
    ):
        assert (
            float(found.lower[0, int(is_or), code]) - slack
            <= low
            <= high
            <= float(found.upper[0, int(is_or), code]) + slack
        )
        assert high - low <= difference + slack


def test_what_is_unique_is_proven_and_what_is_not_is_not() -> None:
    v, _ = oracles.planted_game(6, n_terms=4, seed=2)
    result = split_game(v, tolerance=1e-8)
    both = torch.cat([result.and_values, result.or_values]).abs()
    both[0] = 0
    chosen = (both > 0.05 * both.max()).nonzero()[:, 0]
    excess = float(result.l1 * result.duality_gap)
    assert len(chosen) == 4
    assert (largest_differences(result.dual, float(result.l1), excess, 0.0, chosen) < 1e-2 * both[chosen]).all()
    additive = split_game(games()["additive"], tolerance=1e-9)
    excess = float(additive.l1 * additive.duality_gap)
    single = torch.tensor([1, 2, 4, 8])
    assert (
        largest_differences(additive.dual, float(additive.l1), excess, 0.0, single) > additive.and_values[single]
    ).all()


def test_an_explanation_says_what_is_certain() -> None:
    v, _ = oracles.planted_game(6, n_terms=4, seed=2)
    ex = AndOrExplanation.from_values(torch.stack([v, games_of_six()]), tolerance=1e-7)
    found = ex.certainty()
    assert found.status.shape == found.lower.shape == found.upper.shape == (2, 2, 64)
    values = torch.stack([ex.and_values, ex.or_values], dim=1)
    values[..., 0] = 0
    assert ((found.lower <= values + 1e-9) & (values - 1e-9 <= found.upper)).all()
    present = found.status == 1
    assert int(present[0].sum()) == 4 and float(found.multiplicity[0]) == 0
    assert not (present & (values == 0)).any()
    assert bool(found.sign_certain[present].all()) and found.sign_certain.shape == (2, 2, 64)
    assert float(found.multiplicity[1]) == 1  # additive: pairs would do as well
    table = ex[0].to_dataframe(certainty=True)
    assert table.certain.tolist() == ["present"] * 4
    assert ((table.lower <= table.value) & (table.value <= table.upper)).all()
    again = ex[1].certainty(threshold=0.5)
    assert (again.status[found.status[1] == -1] == -1).all()  # a higher threshold: what was absent stays so
    assert int((again.status == -1).sum()) >= int((found.status[1] == -1).sum())


def games_of_six() -> Tensor:
    return coalition_members(torch.arange(64), 6).double().sum(1)


def test_certainty_needs_a_proof() -> None:
    with pytest.raises(ValueError, match="needs a sparse split"):
        AndOrExplanation.from_values(games_of_six(), split="and").certainty()
    with pytest.raises(ValueError, match="up to 12 players"):
        AndOrExplanation.from_values(torch.zeros(2**13)).certainty()
