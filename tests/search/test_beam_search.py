"""The search above 20 players: planted games, and the pieces of its arithmetic."""

from __future__ import annotations

import numpy as np
import pattern_oracles
import pytest

from captum_andor.sampling.coalitions import paired_design, size_strata
from captum_andor.search.beam_search import CoalitionSample, Search

Terms = dict[tuple[bool, tuple[int, ...]], float]


def planted(n: int, n_patterns: int, seed: int, largest: int = 6) -> Terms:
    generator = np.random.default_rng(seed)
    terms: Terms = {}
    while len(terms) < n_patterns:
        order = int(generator.integers(1, largest + 1))
        players = tuple(sorted(int(i) for i in generator.choice(n, order, replace=False)))
        terms.setdefault((bool(order > 1 and generator.random() < 0.5), players), float(generator.uniform(0.5, 2)))
    return terms


def search(terms: Terms, n: int, budget: int, seed: int = 0, noise: float = 0.0, max_order: int = 7) -> Search:
    rows = paired_design(n, budget, seed=seed)
    v = pattern_oracles.values(terms, rows)
    v += noise * v.std() * np.random.default_rng(seed).standard_normal(len(v))
    return Search(CoalitionSample(rows, size_strata(rows), max_order, ("and", "or")), v)


@pytest.mark.parametrize(("n", "budget"), [(24, 768), (64, 640), (128, 768)])
@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_planted_patterns_come_back(n: int, budget: int, seed: int) -> None:
    terms = planted(n, 20, seed)
    found = search(terms, n, budget, seed).run(60)
    assert pattern_oracles.canonical(set(found)) == pattern_oracles.canonical(set(terms))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_forty_planted_patterns_come_back(seed: int) -> None:
    terms = planted(64, 40, seed)
    found = search(terms, 64, 1200, seed).run(80)
    assert pattern_oracles.canonical(set(found)) == pattern_oracles.canonical(set(terms))


def test_noise_is_not_taken_for_patterns() -> None:
    terms = planted(40, 10, 0)
    found = set(search(terms, 40, 800, noise=0.02).run(60))
    assert pattern_oracles.canonical(set(terms)) <= pattern_oracles.canonical(found) and len(found) <= 11
    assert len(search({}, 40, 400, noise=0.0).run(10)) == 0


def test_pure_noise_gives_at_most_a_stray_pattern() -> None:
    one = search(planted(30, 3, 0), 30, 400)
    one.target = one.sample.centred(np.random.default_rng(1).standard_normal(one.sample.m))
    one.total = float(one.target @ one.target)
    one._refit()
    assert len(one.run(20)) <= 1


def test_a_limit_is_kept() -> None:
    assert len(search(planted(30, 12, 0), 30, 400).run(5)) == 5


def test_kinds_and_orders_are_kept() -> None:
    rows = paired_design(30, 500)
    v = pattern_oracles.values(planted(30, 10, 1), rows)
    for kinds, is_or in ((("and",), False), (("or",), True)):
        found = Search(CoalitionSample(rows, size_strata(rows), 3, kinds), v).run(15)
        assert found and all(len(players) <= 3 and (kind == is_or or len(players) == 1) for kind, players in found)


def test_a_pair_that_is_an_or_is_not_left_as_two_players_and_an_and() -> None:
    terms: Terms = {(True, (3, 5)): 1.0, (False, (1,)): 2.0, (False, (3, 8, 9)): -1.0}
    one = search(terms, 24, 400)
    one.patterns = [(False, (3,)), (False, (5,)), (False, (3, 5)), (False, (1,)), (False, (3, 8, 9))]
    one._refit()
    one._rewrite_pairs()
    assert set(one.patterns) == set(terms)


def test_losses_are_what_leaving_a_pattern_out_costs() -> None:
    one = search(planted(24, 8, 2), 24, 300, noise=0.2)
    one.run(6)
    residual, losses, patterns = one.residual, one.losses.copy(), list(one.patterns)
    for place in range(len(patterns)):
        one.patterns = patterns[:place] + patterns[place + 1 :]
        one._refit()
        assert one.residual - residual == pytest.approx(losses[place], rel=1e-6)
