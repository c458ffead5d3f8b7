from __future__ import annotations

import math
import warnings

import oracles
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from captum_andor import AndOrExplanation
from captum_andor.games.scores import log_odds
from captum_andor.games.transforms import coalition_members, orders
from captum_andor.split import split as split_module
from captum_andor.split.certificate import dual_bound, order_costs, relative_gap
from captum_andor.split.split import check_split, split_game

SPLITS = ["sparse", "and", "or", "even"]


def random_game(n: int, seed: int = 0, rows: tuple[int, ...] = ()) -> Tensor:
    return torch.randn(*rows, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def toy() -> Tensor:
    """x1x2x3 + x2x3 + x3x4 + (x4 or x5), method.md §2; players counted from 1."""
    wholes, either = [{1, 2, 3}, {2, 3}, {3, 4}], {4, 5}
    return oracles.set_function(
        5,
        lambda s: sum(term <= {i + 1 for i in s} for term in wholes) + bool(either & {i + 1 for i in s}),
    )


def terms(values: Tensor) -> dict[frozenset[int], float]:
    """Non-zero terms over T ≠ ∅, with players counted from 1."""
    found = {}
    for t in oracles.subsets(range(oracles.n_players(values))):
        value = float(values[oracles.code(t)])
        if t and abs(value) > 1e-7:
            found[frozenset(i + 1 for i in t)] = value
    return found


def matching_error(v: Tensor, result: split_module.SplitResult) -> float:
    """Largest |h(S) - v(S) - q(S)|, by the definition of h."""
    parts = (result.and_values, result.or_values, v + result.noise)
    rows = zip(*(x.reshape(-1, v.shape[-1]) for x in parts), strict=True)
    return max(float((oracles.surrogate(a, b) - vq).abs().max()) for a, b, vq in rows)


@pytest.mark.parametrize(("split", "n_terms", "l1"), [("and", 6, 6), ("or", 10, 14), ("sparse", 4, 4)])
def test_toy_of_the_paper_has_the_known_terms_and_strength(split: str, n_terms: int, l1: float) -> None:
    result = split_game(toy(), split)
    assert float(result.l1) == pytest.approx(l1, abs=1e-9)
    assert len(terms(result.and_values)) + len(terms(result.or_values)) == n_terms


def test_toy_of_the_paper_split_evenly_has_strength_10() -> None:
    assert float(split_game(toy(), "even").l1) == pytest.approx(10, abs=1e-9)


def test_sparse_split_of_the_toy_finds_the_formula() -> None:
    result = split_game(toy())
    assert terms(result.and_values) == pytest.approx(
        {frozenset({1, 2, 3}): 1.0, frozenset({2, 3}): 1.0, frozenset({3, 4}): 1.0}
    )
    assert terms(result.or_values) == pytest.approx({frozenset({4, 5}): 1.0})
    assert float(result.duality_gap) <= 1e-6


def test_and_split_is_the_mobius_transform_and_or_split_its_mirror() -> None:
    v = random_game(4)
    single = orders(4) == 1
    as_and, as_or = split_game(v, "and"), split_game(v, "or")
    torch.testing.assert_close(as_and.and_values, oracles.mobius(v))
    assert not as_and.or_values.any()
    expected = oracles.or_mobius(v)
    torch.testing.assert_close(as_or.and_values[single], expected[single])
    torch.testing.assert_close(as_or.or_values[~single], expected[~single])
    assert not as_or.and_values[orders(4) > 1].any()


@pytest.mark.parametrize("split", SPLITS)
def test_constant_stands_under_and_and_single_players_too(split: str) -> None:
    v = random_game(4)
    result = split_game(v, split)
    assert float(result.and_values[0]) == float(v[0])
    assert not result.or_values[orders(4) <= 1].any()


@pytest.mark.parametrize("split", ["and", "or", "even"])
def test_only_the_sparse_split_has_a_certificate_and_noise(split: str) -> None:
    result = split_game(random_game(3), split)
    assert math.isnan(float(result.duality_gap)) and not result.noise.any()


@pytest.mark.parametrize("noise_bound", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_sparse_split_is_the_optimum_of_an_independent_program(n: int, noise_bound: float) -> None:
    for seed in range(2):
        v = random_game(n, seed=10 * n + seed)
        result = split_game(v, noise_bound=noise_bound)
        assert float(result.l1) == pytest.approx(oracles.least_l1(v, noise_bound), rel=1.1e-6, abs=1e-9)
        assert float(result.duality_gap) <= 1e-6


@pytest.mark.parametrize("noise_bound", [0.0, 0.02, 0.3, 2.0])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_noise_stays_within_its_bound_and_spares_the_empty_set(n: int, noise_bound: float) -> None:
    v = random_game(n, seed=n, rows=(2,)) * 7 + 3
    result = split_game(v, noise_bound=noise_bound)
    bound = noise_bound * (v[:, -1] - v[:, 0]).abs()
    assert (result.noise.abs().amax(-1) <= bound * (1 + 1e-12)).all()
    assert not result.noise[:, 0].any()
    assert matching_error(v, result) <= 1e-9 * float(v.abs().max())


def test_more_noise_never_costs_strength() -> None:
    v = random_game(5)
    strengths = [float(split_game(v, noise_bound=bound).l1) for bound in (0.0, 0.1, 0.5, 2.0)]
    assert strengths == sorted(strengths, reverse=True) and strengths[-1] < strengths[0]


def assert_honest(v: Tensor, result: split_module.SplitResult, noise_bound: float = 0.0) -> None:
    for game, l1, gap in zip(v, result.l1.tolist(), result.duality_gap.tolist(), strict=True):
        optimum = oracles.least_l1(game, noise_bound)
        assert 0.0 <= gap <= 1.0
        assert (1 - gap) * l1 * (1 - 1e-8) <= optimum <= l1 * (1 + 1e-8)


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_gaps_are_honest(n: int, tolerance: float, noise_bound: float) -> None:
    v = random_game(n, seed=n, rows=(3,))
    result = split_game(v, noise_bound=noise_bound, tolerance=tolerance)
    assert (result.duality_gap <= tolerance).all()
    assert_honest(v, result, noise_bound)
    assert matching_error(v, result) <= 1e-9 * float(v.abs().max())


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 6),
    seed=st.integers(0, 2**31),
    noise_bound=st.sampled_from([0.0, 0.01, 0.04, 0.3, 1.5]),
    tolerance=st.sampled_from([1e-2, 1e-3, 1e-6]),
)
def test_l1_is_that_of_the_linear_program(n: int, seed: int, noise_bound: float, tolerance: float) -> None:
    v = random_game(n, seed)
    result = split_game(v, noise_bound=noise_bound, tolerance=tolerance)
    optimum = oracles.least_l1(v, noise_bound)
    assert optimum * (1 - 1e-8) - 1e-12 <= float(result.l1) <= optimum / (1 - 1.01 * tolerance) + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_certificate_holds_for_any_dual_point_and_any_split(seed: int) -> None:
    v = random_game(4, seed=seed)[None]
    v = v - v[:, :1]
    epsilon = 0.3 * v[:, -1].abs()
    best = split_game(v, tolerance=1e-8).dual
    plain = split_game(v, "and")
    for y in (best, 3 * best, random_game(4, seed=seed + 10)[None]):
        bound, _ = dual_bound(y, v, epsilon, order_costs(4, 0.0, v.device))
        assert_honest(v, plain._replace(duality_gap=relative_gap(plain.l1, bound)), noise_bound=0.3)


def test_what_is_no_number_proves_nothing() -> None:
    v = random_game(3)[None]
    y = torch.full_like(v, math.nan)
    bound, feasible = dual_bound(y, v - v[:, :1], torch.zeros(1).double(), order_costs(3, 0.0, v.device))
    assert float(bound) == 0 and not feasible.any()
    assert float(relative_gap(torch.tensor(math.nan), torch.tensor(0.0))) == math.inf
    assert float(relative_gap(torch.tensor(0.0), torch.tensor(0.0))) == 0
    assert float(relative_gap(torch.tensor(2.0), torch.tensor(1.5))) == 0.25


def test_gap_stays_honest_when_the_search_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_module, "_MOST_ITERATIONS", 20)
    monkeypatch.setattr(split_module, "INTERIOR_PLAYERS", 0)
    v = random_game(5, rows=(3,))
    v[1] = 4.0
    with pytest.warns(UserWarning, match=r"game\(s\) \[0, 2\] missed tolerance=1e-09: duality gap up to .* are honest"):
        result = split_game(v, tolerance=1e-9)
    assert (result.duality_gap[[0, 2]] > 1e-9).all() and float(result.duality_gap[1]) == 0
    assert_honest(v, result)
    assert matching_error(v, result) <= 1e-9 * float(v.abs().max())


@pytest.mark.parametrize("noise_bound", [0.0, 0.04])
def test_first_order_and_interior_point_agree(noise_bound: float) -> None:
    v, planted = oracles.planted_game(9, n_terms=5, seed=0)
    both = torch.stack([v, random_game(9)])
    rough = split_game(both, noise_bound=noise_bound, tolerance=1e-3)
    fine = split_game(both, noise_bound=noise_bound, tolerance=1e-6)
    assert (rough.duality_gap <= 1e-3).all() and (fine.duality_gap <= 1e-6).all()
    assert ((fine.l1 * (1 - 1e-6) <= rough.l1) & (rough.l1 <= fine.l1 / (1 - 1e-3))).all()
    assert float(fine.l1[0]) <= planted * (1 + 1e-6)


@pytest.mark.parametrize("n", range(1, 13))
def test_additive_games_are_single_players(n: int) -> None:
    weights = torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    v = coalition_members(torch.arange(2**n), n).double() @ weights
    result = split_game(torch.stack([v, 1e-6 * v + 1e3]))
    for row, scale in ((0, 1.0), (1, 1e-6)):
        assert result.l1[row].item() == pytest.approx(scale * weights.abs().sum().item(), rel=1e-5)
        assert (result.and_values[row, 1:].abs() > 1e-6 * scale).sum() == n
        assert not (result.or_values[row].abs() > 1e-6 * scale).any()


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_single_terms_stay_single(n: int) -> None:
    members = coalition_members(torch.arange(2**n), n).double()
    result = split_game(torch.stack([3 * members.prod(1), -2 * members.amax(1)]))
    assert ((result.and_values[:, 1:] != 0).sum(1) + (result.or_values != 0).sum(1)).tolist() == [1, 1]
    assert result.l1.tolist() == pytest.approx([3, 2])


@pytest.mark.parametrize("n", [8, 10])
def test_planted_games_come_back_term_by_term(n: int) -> None:
    v, planted = oracles.planted_game(n, n_terms=8, seed=3)
    result = split_game(v)
    n_terms = int((result.and_values[1:] != 0).sum() + (result.or_values != 0).sum())
    assert n_terms <= 12 and float(result.l1) <= planted * (1 + 1e-9)  # equals of lower order may be a few more
    assert matching_error(v, result) <= 1e-9


@pytest.mark.parametrize("n", [6, 9])
def test_additive_models_in_float32_are_single_players(n: int) -> None:
    weights = torch.randn(n, generator=torch.Generator().manual_seed(n))
    v = (coalition_members(torch.arange(2**n), n).float() @ weights + 3).double()
    result = split_game(v)
    single = orders(n) == 1
    others = result.and_values[1:][~single[1:]].abs().max(), result.or_values.abs().max()
    assert max(float(x) for x in others) < 1e-5 * float(result.l1)


@pytest.mark.parametrize("n", [6, 9])
def test_low_order_is_preferred_among_equals(n: int) -> None:
    """Additive games with a little noise: pairs AND + OR would cost the same as singles."""
    generator = torch.Generator().manual_seed(0)
    v = coalition_members(torch.arange(2**n), n).double() @ torch.ones(n, dtype=torch.float64)
    v = v + 1e-3 * torch.randn(2**n, dtype=torch.float64, generator=generator)
    result = split_game(v)
    sizes = orders(n)
    pairs = (result.and_values.abs() + result.or_values.abs())[sizes == 2].sum()
    assert float(pairs) < 0.15 * float(result.l1)


@pytest.mark.parametrize("noise_bound", [0.0, 0.05])
@pytest.mark.parametrize("n", [4, 7, 9])
def test_no_fixed_split_is_shorter(n: int, noise_bound: float) -> None:
    v = torch.stack([random_game(n), oracles.planted_game(n, 3, 1)[0]])
    result = split_game(v, noise_bound=noise_bound, tolerance=0.3)
    for split in ("and", "or", "even"):
        assert (result.l1 <= split_game(v, split).l1 * (1 + 1e-8)).all()


def test_noise_that_explains_everything_leaves_no_interactions() -> None:
    v = random_game(5)
    result = split_game(v, noise_bound=1e3)
    assert float(result.l1) == 0 and float(result.duality_gap) == 0
    assert torch.allclose(result.noise, v[0] - v)


def test_every_game_is_counted_once_when_done() -> None:
    for tolerance, split in ((1e-2, "sparse"), (1e-6, "sparse"), (1e-3, "even")):
        counts: list[int] = []
        split_game(
            torch.cat([random_game(7, rows=(5,)), torch.zeros(2, 128).double()]),
            split,
            tolerance=tolerance,
            on_done=counts.append,
        )
        assert sum(counts) == 7


def test_games_go_through_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    v = random_game(6, rows=(7,))
    whole = split_game(v)
    monkeypatch.setattr(split_module, "_CHUNK", 2 * 64)
    parts = split_game(v)
    torch.testing.assert_close(parts.l1, whole.l1, rtol=2e-6, atol=0)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("value", [0.0, 3.0, -1e8])
def test_constant_game_has_no_interactions(split: str, value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = split_game(torch.full((2, 8), value, dtype=torch.float64), split)
    assert result.l1.tolist() == [0.0, 0.0]
    assert not result.noise.any()
    assert split != "sparse" or result.duality_gap.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("split", SPLITS)
def test_one_player_has_one_interaction(split: str) -> None:
    result = split_game(torch.tensor([1.0, 4.0], dtype=torch.float64), split)
    assert result.and_values.tolist() == pytest.approx([1.0, 3.0])
    assert result.or_values.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_no_players_leave_only_the_constant(split: str, shape: tuple[int, ...]) -> None:
    v = torch.full((*shape, 1), 2.5, dtype=torch.float64)
    result = split_game(v, split)
    assert torch.equal(result.and_values, v) and not result.or_values.any()
    assert not result.l1.any() and result.l1.shape == shape


def test_a_relative_noise_bound_is_zero_where_the_whole_effect_is() -> None:
    v = random_game(4)
    v[-1] = v[0]
    result = split_game(v, noise_bound=0.2)
    assert not result.noise.any()
    assert float(result.l1) == pytest.approx(oracles.least_l1(v), rel=1e-6)


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4, 1e8])
def test_strength_follows_the_scale_of_the_game(scale: float, noise_bound: float) -> None:
    v = random_game(4)
    result = split_game(v * scale, noise_bound=noise_bound)
    assert float(result.l1) == pytest.approx(scale * float(split_game(v, noise_bound=noise_bound).l1), rel=1e-7)
    assert float(result.duality_gap) <= 1e-6
    assert matching_error(v * scale, result) <= 1e-9 * scale


@pytest.mark.parametrize("seed", range(4))
def test_planted_sparse_game_is_found_at_its_own_strength(seed: int) -> None:
    v, planted = oracles.planted_game(7, n_terms=4, seed=seed)
    result = split_game(v)
    assert float(result.l1) <= planted * (1 + 1e-9)
    assert len(terms(result.and_values)) + len(terms(result.or_values)) <= 8


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 5),
    seed=st.integers(0, 2**31),
    split=st.sampled_from(SPLITS),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    offset=st.sampled_from([0.0, 1.0, -1e3]),
)
def test_every_split_matches_the_game_everywhere(n: int, seed: int, split: str, scale: float, offset: float) -> None:
    v = (random_game(n, seed) + offset) * scale
    assert matching_error(v, split_game(v, split)) <= 1e-9 * float(v.abs().max())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0)])
def test_leading_axes_are_a_batch_of_games(split: str, shape: tuple[int, ...]) -> None:
    v = random_game(3, rows=shape)
    result = split_game(v, split)
    assert all(part.shape == v.shape for part in (result.and_values, result.or_values, result.noise))
    assert result.l1.shape == result.duality_gap.shape == shape
    for i, game in enumerate(v.reshape(-1, 8)):
        alone = split_game(game, split)
        torch.testing.assert_close(result.l1.reshape(-1)[i], alone.l1, rtol=2e-6, atol=0.0)
        if split != "sparse":  # whose terms are not unique: rounding may choose among equals
            torch.testing.assert_close(result.and_values.reshape(-1, 8)[i], alone.and_values)


def test_games_of_a_batch_are_treated_apart() -> None:
    v = torch.cat([random_game(4, rows=(2,)), random_game(4, seed=1, rows=(2,)) * 1e6, toy()[None, :16]])
    together = split_game(v)
    for i, game in enumerate(v):
        torch.testing.assert_close(together.l1[i], split_game(game).l1, rtol=1e-6, atol=0.0)
    assert split_game(v[:0]).l1.shape == (0,)


@pytest.mark.parametrize("split", SPLITS)
def test_the_game_is_not_modified(split: str) -> None:
    v = random_game(3, rows=(2,))
    before = v.clone()
    for part in split_game(v, split):
        part.fill_(9.0)
    assert torch.equal(v, before)


def test_an_unknown_split_is_an_error() -> None:
    with pytest.raises(ValueError, match="split must be one of .*'sparse'.*; got 'sparsest'"):
        split_game(random_game(2), "sparsest")


@pytest.mark.parametrize("noise_bound", [-0.1, math.inf, math.nan, "0.1", None])
def test_a_bad_noise_bound_is_an_error(noise_bound: object) -> None:
    with pytest.raises(ValueError, match="noise_bound must be a finite number ≥ 0; got"):
        split_game(random_game(2), noise_bound=noise_bound)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1e-3, math.nan, "tight"])
def test_a_bad_tolerance_is_an_error(tolerance: object) -> None:
    with pytest.raises(ValueError, match=r"tolerance must lie in \(0, 1\); got"):
        split_game(random_game(2), tolerance=tolerance)


@pytest.mark.parametrize("split", ["and", "or", "even"])
def test_noise_needs_the_sparse_split(split: str) -> None:
    with pytest.raises(ValueError, match='noise_bound=0.1 needs split="sparse"'):
        split_game(random_game(2), split, noise_bound=0.1)


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
def test_too_many_players_are_an_error_before_any_work(noise_bound: float) -> None:
    check_split("sparse", noise_bound, 1e-3, 16)
    with pytest.raises(ValueError, match="handles up to 16 players; got 17"):
        check_split("sparse", noise_bound, 1e-3, 17)
    check_split("even", 0.0, 1e-3, 24)


def test_ctrl_c_keeps_the_games(monkeypatch: pytest.MonkeyPatch) -> None:
    v = random_game(5, rows=(4,))
    monkeypatch.setattr(split_module, "_CHUNK", 2 * 32)
    done: list[int] = []

    def on_done(count: int) -> None:
        done.append(count)
        if sum(done) > 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=r"game\(s\) \[2, 3\] was interrupted and missed"):
        result = split_game(v, on_done=on_done)
    assert (result.duality_gap[:2] <= 1e-3).all() and result.duality_gap[2:].tolist() == [1.0, 1.0]
    assert matching_error(v, result) <= 1e-9 * float(v.abs().max())


def real_games(n: int, count: int) -> Tensor:
    """Log-odds of scikit-learn's digits on masked images, a small network trained for a second; n bands of rows."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    x, y = torch.tensor(data.data / 16), torch.tensor(data.target)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    members = coalition_members(torch.arange(2**n), n)[:, torch.arange(64) * n // 64]
    with torch.no_grad():
        return torch.stack([log_odds(model(x[i] * members))[:, y[i]] for i in range(count)])


@pytest.mark.parametrize("noise_bound", [0.0, 0.04])
def test_real_games_have_the_l1_of_the_linear_program(noise_bound: float) -> None:
    v = real_games(6, 12)
    for tolerance in (1e-3, 1e-6):
        result = split_game(v, noise_bound=noise_bound, tolerance=tolerance)
        for game, l1 in zip(v, result.l1.tolist(), strict=True):
            optimum = oracles.least_l1(game, noise_bound)
            assert optimum * (1 - 1e-8) <= l1 <= optimum / (1 - 1.01 * tolerance)


@pytest.mark.parametrize("noise_bound", [0.0, 0.1])
def test_settings_agree_on_what_is_certain(noise_bound: float, monkeypatch: pytest.MonkeyPatch) -> None:
    v = torch.cat([real_games(6, 4), oracles.planted_game(6, 4, 2)[0][None]])
    explanations = []
    for preference in (0.03, 0.0):
        monkeypatch.setattr(split_module, "_PREFERENCE", preference)
        explanations.append(AndOrExplanation.from_values(v, noise_bound=noise_bound, tolerance=1e-7))
    one, other = explanations
    both = one.certainty().status + other.certainty().status == 2
    first, second = (torch.stack([ex.and_values, ex.or_values], dim=1) for ex in (one, other))
    assert bool(both.any())
    strongest = first[..., 1:].abs().amax((1, 2))[:, None, None]
    assert ((first - second).abs() <= 1e-2 * strongest)[both].all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [14, 16])
def test_large_additive_games_are_single_players(n: int) -> None:
    v = coalition_members(torch.arange(2**n), n).double() @ torch.arange(1.0, n + 1, dtype=torch.float64)
    result = split_game(v)
    assert int((result.and_values[1:] != 0).sum()) == n and not result.or_values.any()
    assert float(result.duality_gap) <= 1e-3


@pytest.mark.slow
def test_noise_at_fourteen_players() -> None:
    v = oracles.planted_game(14, 8, 0)[0]
    v = v + 1e-3 * random_game(14)
    result = split_game(v, noise_bound=0.05, tolerance=1e-2)
    assert float(result.duality_gap) <= 1e-2
    assert float(result.noise.abs().max()) <= 0.05 * float((v[-1] - v[0]).abs()) * (1 + 1e-12)
