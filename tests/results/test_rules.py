"""Models in sentences, and the smallest sets that keep a prediction, against brute force over all sets."""

from __future__ import annotations

import itertools
from typing import Literal

import pytest
import torch
from hypothesis import example, given, settings, strategies as st

from captum_andor import LogicalModel
from captum_andor.games.transforms import all_coalitions
from captum_andor.results import Axes, Interaction, PatternEffect, rule_of


@pytest.mark.parametrize(
    ("kind", "players", "weight", "alone", "together", "error", "sentence"),
    [
        ("or", (1, 3, 7), 16.07, (16.07,) * 3, 16.07, 0.0, "any one of d2, d4, d8: +16.1"),
        ("or", (1, 3), 16.0, (15.0, 15.5), 15.6, 0.1, "any one of d2, d4: about +15.6"),
        ("and", (1, 4), 3.2, (0.0, 0.0), 3.2, 0.0, "d2 and d5 only together: +3.2"),
        ("and", (1, 4), 3.2, (0.1, -0.2), 3.3, 0.0, "d2 and d5 only together: about +3.3"),
        ("and", (0, 1, 2), -0.5, (0.0, 0.0, 0.0), -0.5, 0.0, "d1, d2 and d3 only together: −0.5"),
        ("and", (6,), 1.4, (1.4,), 1.4, 0.0, "d7: +1.4"),
        ("and", (6,), -1.4, (-1.4,), -1.4, 0.0, "d7: −1.4"),
        ("and", (6,), -2.2, (0.4,), 0.4, 0.0, "d7: +0.4 (beside the other patterns −2.2)"),
        ("or", tuple(range(9)), -2.0, (-2.0,) * 9, -2.0, 0.0, "any one of all 9: −2"),
        ("and", tuple(range(9)), 2.0, (0.0,) * 9, 2.0, 0.0, "all 9 only together: +2"),
        # neither: the effects themselves
        ("or", (0, 1), 5.87, (5.2, 2.16), 7.55, 0.0, "d1 alone +5.2, d2 alone +2.16, both +7.55"),
        ("and", (0, 1), 2.3, (4.37, 4.37), 11.04, 0.0, "d1 alone +4.37, d2 alone +4.37, both +11 (+2.3 more together)"),
        ("or", (0, 1), -0.9, (-0.4, -0.5), -0.6, 0.0, "d1 alone −0.4, d2 alone −0.5, both −0.6 (−0.3 of it already by one)"),
        ("or", (1, 4, 5), -9.0, (9.9, 8.8, 9.9), 16.2, 0.0, "d2 alone +9.9, d5 alone +8.8, d6 alone +9.9, all 3 +16.2 (less than the sum; beside the other patterns −9)"),
        ("and", tuple(range(5)), 2.0, (0.0, 0.5, 1.0, 0.2, 0.3), 3.0, 0.0, "d1, d2, d3, d4 and d5: each alone 0 to +1, all of them +3 (+1 more together)"),
        ("or", (0, 1), 2.7, (-2.7, -1.8), -1.2, 0.0, "d1 alone −2.7, d2 alone −1.8, both −1.2 (together less than one alone; beside the other patterns +2.7)"),
        ("and", (0, 1), 2.5, (0.0, -1.2), 1.3, 0.0, "d1 alone 0, d2 alone −1.2, both +1.3 (+2.5 more together)"),
        # errors that hold both readings are no evidence for either
        ("and", (1, 4), 3.2, (0.1, 0.2), 3.2, 1.0, "d2 alone +0.1 ± 2, d5 alone +0.2 ± 2, both +3.2 ± 2"),
        # all of a triple, and a pair of it already: singles near 0 alone do not make "only together"
        ("and", (0, 1, 2), 2.0, (0.0, 0.0, 0.0), 5.0, 0.0, "d1 alone 0, d2 alone 0, d3 alone 0, all 3 +5 (+5 more together)"),
    ],
)  # fmt: skip
def test_sentences(
    kind: Literal["and", "or"],
    players: tuple[int, ...],
    weight: float,
    alone: tuple[float, ...],
    together: float,
    error: float,
    sentence: str,
) -> None:
    names = [f"d{i + 1}" for i in range(9)]
    pattern = Interaction((), kind, players, weight, tuple(names[i] for i in players))
    assert rule_of(pattern, PatternEffect(alone, together, (error,) * len(alone), error), names) == sentence


def test_rules_are_strongest_first_with_what_is_left_over() -> None:
    z = all_coalitions(5).double()
    v = 1 + 3 * z[:, 0] * z[:, 1] - 5 * z[:, [2, 3]].amax(1) + z[:, 4]
    rules = LogicalModel.from_values(v, player_names=list("abcde")).rules()
    assert rules == [
        "any one of c, d: −5", "a and b only together: +3", "e: +1",
        "score with everything removed 1, with everything present 0", "left over: 0.0% of the variance",
    ]  # fmt: skip


def test_rules_of_several_outputs_name_them() -> None:
    z = all_coalitions(3).double()
    model = LogicalModel.from_values(torch.stack([z[:, 0], 2 * z[:, 1]]))
    assert "[1]: 1: +2" in model.rules()
    from dataclasses import replace

    named = replace(model, axes=Axes.labelled(("yes", "no")))
    assert "no: 1: +2" in named.rules() and named[1].rules()[0] == "1: +2"


@settings(max_examples=40)
@example([(False, {0}, 2), (False, {1}, -1), (True, {0, 2}, -1)], 0.0)  # v(N) - v(∅) is rounding
@given(
    st.lists(
        st.tuples(st.booleans(), st.sets(st.integers(0, 5), min_size=1, max_size=3), st.integers(-4, 4).filter(bool)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0.0, 0.1, 0.4]),
)
def test_minimal_sets_are_those_of_brute_force(terms, tolerance) -> None:
    n = 6
    z = all_coalitions(n)
    v = torch.zeros(1 << n, dtype=torch.float64)
    for is_or, players, weight in terms:
        mine = z[:, sorted(players)]
        v += weight * (mine.any(1) if is_or else mine.all(1)).double()
    model = LogicalModel.from_values(v, max_patterns=None)
    h = model.predict(z)
    effect = h[-1] - h[0]
    keeps = (h >= h[-1] - tolerance * effect - 1e-9) if effect >= 0 else (h <= h[-1] - tolerance * effect + 1e-9)
    sets = [frozenset(i for i in range(n) if c >> i & 1) for c in range(1 << n) if keeps[c]]
    minimal = {s for s in sets if not any(other < s for other in sets)}
    found = model.minimal_sources(tolerance, max_sets=1000)
    used = {p for pattern in model.patterns for p in pattern.players}
    assert {frozenset(s) for s in found["players"]} == {s for s in minimal if s <= used}
    assert found["size"].is_monotonic_increasing and "v" not in found


def test_minimal_sets_ask_the_model_where_they_can() -> None:
    from dataclasses import replace

    z = all_coalitions(4)
    v = (z[:, 0] | z[:, 1]).double() * 4 + z[:, 2].double()
    asked = []

    def evaluate(rows: torch.Tensor) -> torch.Tensor:
        asked.extend(rows.tolist())
        return torch.stack([v[(row.long() * (1 << torch.arange(4))).sum()] for row in rows])[None]

    model = replace(LogicalModel.from_values(v[None], max_patterns=1), evaluate=evaluate)
    found = model.minimal_sources(missing_share=0.1)
    assert list(found.columns) == ["players", "names", "size", "predicted", "v", "kept"]
    # one pattern does not know of player 2, which the model says is missed
    assert set(found["players"]) == {(0,), (1,)} and found["v"].tolist() == [4.0, 4.0] and not found["kept"].any()
    assert [True, True, True, True] in asked


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"missing_share": 1.0}, ValueError, r"missing_share must lie in \[0, 1\)"),
        ({"missing_share": "small"}, ValueError, "missing_share"),
        ({"max_sets": 0}, ValueError, "max_sets"),
    ],
)
def test_bad_options(options, error, message) -> None:
    with pytest.raises(error, match=message):
        LogicalModel.from_values([0.0, 1.0]).minimal_sources(**options)


def test_several_outputs_are_indexed_first() -> None:
    with pytest.raises(ValueError, match="Index it first"):
        LogicalModel.from_values(torch.rand(2, 8)).minimal_sources()


def test_all_sets_of_equal_size_are_found_before_larger_ones() -> None:
    pairs = list(itertools.combinations(range(5), 2))
    z = all_coalitions(5)
    v = (z.sum(1) >= 2).double()
    found = LogicalModel.from_values(v, max_patterns=None).minimal_sources(0.01)
    assert sorted(found["players"]) == pairs
