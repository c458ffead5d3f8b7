"""Similarity of results with their ceilings, comparisons of models, common patterns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from captum_andor.explain.comparison import common_patterns, compare, similarity


def game(n: int, *terms: tuple[str, tuple[int, ...], float]) -> Tensor:
    """Sum of AND and OR terms on all coalitions."""
    present = (torch.arange(1 << n)[:, None] >> torch.arange(n) & 1).bool()
    v = torch.zeros(1 << n, dtype=torch.float64)
    for kind, players, value in terms:
        held = present[:, list(players)]
        v += value * (held.all(1) if kind == "and" else held.any(1))
    return v


A = game(4, ("and", (0, 1), 2.0), ("or", (2, 3), 1.0))
B = game(4, ("and", (0, 1), 2.0), ("and", (2, 3), 1.0))
C = game(4, ("and", (0, 1), -2.0), ("or", (2, 3), 1.0))


def test_kind_and_sign_count() -> None:
    a, b, c = (LogicalModel.from_values(v, max_patterns=2) for v in (A, B, C))
    same = similarity(a, a, noise=0).iloc[0]
    assert [same[m] for m in ("jaccard", "weighted_jaccard", "cosine")] == pytest.approx([1, 1, 1])
    kinds = similarity(a, b, noise=0).iloc[0]
    assert kinds["jaccard"] == pytest.approx(1 / 3)
    assert kinds["weighted_jaccard"] == pytest.approx((2 / 3) / (2 / 3 + 1 / 3 + 1 / 3))
    assert kinds["cosine"] == pytest.approx(4 / 5)
    signs = similarity(a, c, noise=0).iloc[0]
    assert signs["jaccard"] == pytest.approx(1 / 2) and signs["cosine"] == pytest.approx(-3 / 5)
    assert math.isnan(signs["jaccard_ceiling"])


def test_ceilings_fall_with_noise_and_orders_stand_apart() -> None:
    draw = torch.Generator().manual_seed(0)
    v = torch.randn(2, 64, generator=draw, dtype=torch.float64)
    model = LogicalModel.from_values(v, max_patterns=8)
    small, large = (similarity(model, model, noise=noise)["jaccard_ceiling"] for noise in (1e-9, 1.0))
    assert (small > large).all() and small.min() > 0.99
    table = similarity(model, model, by_order=True, noise=0)
    assert table["sample"].tolist() == [0] * 7 + [1] * 7 and table["order"].tolist()[:3] == ["all", 1, 2]
    assert table.loc[table["order"] == "all", "jaccard"].tolist() == [1.0, 1.0]
    explanation = AndOrExplanation.from_values(v[0], noise_bound=0.05)
    found = similarity(explanation, explanation).iloc[0]
    assert found["jaccard"] == 1 and 0 < found["jaccard_ceiling"] <= 1


def test_a_budget_has_its_ceiling_too() -> None:
    rows = torch.rand(80, 12, generator=torch.Generator().manual_seed(0)) < 0.5
    v = 2.0 * rows[:, :2].all(1) + rows[:, 3].double() + 0.5 * rows[:, 5:7].any(1)
    model = LogicalModel.from_values(v, rows, max_patterns=3, exact_ends=False)
    assert similarity(model, model).iloc[0]["jaccard_ceiling"] > 0.9


def test_common_patterns_are_counted_by_sign() -> None:
    model = LogicalModel.from_values(torch.stack([A, B, C]), max_patterns=2, player_names=["a", "b", "c", "d"])
    table = common_patterns(model)
    assert table["count"].tolist() == [2, 2, 1, 1] and table["share"].max() == pytest.approx(2 / 3)
    first = table.iloc[0]
    assert (first["kind"], first["players"], first["names"], first["sign"]) == ("and", (0, 1), ("a", "b"), 1)
    assert first["mean"] == pytest.approx(2.0) and first["spread"] == pytest.approx(0.0, abs=1e-9)
    twice = common_patterns([model, model[:1]])
    assert twice.iloc[0]["count"] == 3 and twice.iloc[0]["share"] == pytest.approx(3 / 4)


class Linear(nn.Module):
    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = torch.tensor(weights)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weights + x[:, 0] * x[:, 1]


def test_models_stand_side_by_side() -> None:
    models = {"one": Linear(1.0, 0.0, 2.0), "two": Linear(1.0, 0.0, -2.0)}
    found = compare(models, torch.ones(1, 3), player_names=["x", "y", "z"])
    table = found.table.set_index("names")
    assert table.loc[[("z",)], ["one", "two", "models"]].values[0].tolist() == pytest.approx([2.0, -2.0, 1])
    assert table.loc[[("x", "y")], ["one", "two", "models"]].values[0].tolist() == pytest.approx([1.0, 1.0, 2])
    assert found.similarity["model_a"].tolist() == ["one"] and "R²: one 1.00" in str(found)
    with pytest.raises(ValueError, match="two or more"):
        compare({"one": models["one"]}, torch.ones(1, 3))
    with pytest.raises(ValueError, match="one example"):
        compare(models, torch.ones(2, 3))


def test_bad_results_are_named() -> None:
    a = LogicalModel.from_values(A)
    with pytest.raises(TypeError, match="b must be a LogicalModel"):
        similarity(a, A)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same players and leading shape"):
        similarity(a, LogicalModel.from_values(torch.stack([A, A])))
    with pytest.raises(ValueError, match="noise must be at least 0"):
        similarity(a, a, noise=-1)
    with pytest.raises(TypeError, match="results must be LogicalModels"):
        common_patterns([A])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one"):
        common_patterns([])


def test_kept_parts_know_where_they_stood() -> None:
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    whole = AndOrInteractions(Linear(1.0, 2.0, 3.0, 4.0)).logical_model(x)
    assert similarity(whole[1:], whole[1:], noise=0)["sample"].tolist() == [1, 2]


def test_a_comparison_prints_in_notebooks_with_names_escaped() -> None:
    models = {"a<b": lambda x: x[:, 0] * x[:, 1], "c": lambda x: x[:, 0]}
    found = compare(models, torch.ones(1, 2))
    text = found._repr_html_()
    assert text.startswith("<p>R²: a&lt;b 1.00, c 1.00</p>") and text.count("<table") == 2 and "a<b" not in text
    assert repr(found) == str(found) and str(found).startswith("R²: a<b 1.00, c 1.00")
