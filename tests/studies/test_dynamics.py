"""Dynamics of training: phases, orders and samples where the answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.studies import TrainingDynamics, trace_training


class Product(nn.Module):
    """Log-odds of class 1: a sum of all inputs and, in time, a product of the first three."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor) -> Tensor:
        logit = x.sum(1) + self.weight * x[:, :3].prod(1)
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def data(seed: int, n: int = 40) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 5, generator=torch.Generator().manual_seed(seed)) + 0.5
    return x, torch.arange(n) % 2


def traced(weights: dict[int, float], **options: object) -> TrainingDynamics:
    models = {step: Product(weight).eval() for step, weight in weights.items()}
    return trace_training(models, data(0), data(1), **options)  # type: ignore[arg-type]


def test_strength_appears_at_the_order_at_which_it_is_learned() -> None:
    table = traced({1: 0.0, 5: 2.0, 10: 4.0}).table
    train = table[table["set"] == "train"].set_index("step")
    strength = train["positive_3"] + train["negative_3"]
    assert strength[1] == 0 and strength[10] == pytest.approx(2 * strength[5], rel=1e-3)
    x, labels = data(0)
    assert strength[5] == pytest.approx(float((2 * x[:, :3].prod(1)).mean()), rel=1e-3)
    assert (train["positive_2"] + train["negative_2"]).max() == pytest.approx(0, abs=1e-6)
    logits = Product(2.0)(x).detach()
    assert train["loss"][5] == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-6)
    assert set(table["set"]) == {"train", "test"} and len(table) == 6


def test_train_and_test_samples_share_what_is_one_function() -> None:
    table = traced({1: 0.0, 5: 2.0}).similarity
    final = table[table["step"] == 5].set_index("order")
    assert final.loc[1, "between"] > 0.85 and final.loc[3, "between"] > 0.8
    assert np.isnan(final.loc[4, "between"]) and np.isnan(final.loc[4, "within"])


class Remembers(nn.Module):
    """Knows train samples (last input 1) from test samples (−1), ever better."""

    def __init__(self, gap: float) -> None:
        super().__init__()
        self.gap = gap

    def forward(self, x: Tensor) -> Tensor:
        logit = 1 + x[:, 0] + self.gap * x[:, 1]
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def remembered(gaps: list[float], test: bool = True) -> TrainingDynamics:
    draw = torch.Generator().manual_seed(0)
    sets = []
    for side in (1.0, -1.0):
        x = torch.stack([0.1 * torch.randn(30, generator=draw), torch.full((30,), side)], dim=1)
        sets.append((x, torch.ones(30, dtype=torch.long)))
    pairs = ((10 * step, Remembers(gap).eval()) for step, gap in enumerate(gaps, 1))
    return trace_training(pairs, sets[0], sets[1] if test else None)


@pytest.mark.parametrize(
    ("gaps", "boundary"),
    [([0, 0, 0.5, 1], 30), ([0, 0, 0, 0], None), ([0, 0.5, 0, 1], 40), ([0.5, 0.5, 0, 0.5], 40), ([0, 1, 1, 0], None)],
)
def test_the_second_phase_begins_where_the_gap_has_grown_for_good(gaps: list[float], boundary: int | None) -> None:
    found = remembered(gaps)
    assert found.boundary == boundary
    gap = found.table[found.table["set"] == "test"]["gap"]
    losses = found.table.pivot(index="step", columns="set", values="loss")
    assert gap.to_numpy() == pytest.approx((losses["test"] - losses["train"]).to_numpy())


def test_without_test_samples_there_is_no_phase() -> None:
    found = remembered([0, 1], test=False)
    assert found.boundary is None and found.table["gap"].isna().all() and found.similarity["between"].isna().all()
    assert "no second phase" in str(found)


class Picks(nn.Module):
    """Confused by some samples: where x is among them, the decision hangs on all inputs together."""

    def __init__(self, confusing: set[int]) -> None:
        super().__init__()
        self.confusing = torch.tensor(sorted(confusing))

    def forward(self, x: Tensor) -> Tensor:
        odd = torch.isin(x[:, 3].round().long(), self.confusing)
        together = (x[:, :3] > 0).all(1)
        logit = torch.where(odd & together, 5.0, x[:, :3].sum(1))
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def test_it_is_told_when_each_sample_turned_confusing() -> None:
    x = torch.cat([torch.ones(20, 3), torch.arange(1.0, 21)[:, None]], dim=1)
    mask = torch.tensor([[0, 1, 2, 2]])
    models = [(1, Picks({3, 4})), (2, Picks({4, 7})), (3, Picks({4, 3})), (4, Picks({4, 3}))]
    found = trace_training(
        ((step, model.eval()) for step, model in models),
        (x, torch.ones(20, dtype=torch.long)),
        analyzer=ConfusingSampleAnalyzer(feature_mask=mask, scores=("net_order", "masked_margin")),
    )
    samples = found.samples.set_index("sample")
    assert samples.index[samples["confusing"]].tolist() == [2, 3]
    assert samples.loc[[2, 3], "turned"].tolist() == [3, 1] and samples.loc[[2, 3, 6], "first"].tolist() == [1, 1, 2]
    assert samples.loc[[2, 3, 6], "share"].tolist() == [0.75, 1.0, 0.25]
    assert samples["turned"].isna().sum() == 18 and not samples["in_second_phase"].any()
    table = found.table.set_index("step")
    assert table["iou_final"].tolist() == pytest.approx([1, 1 / 3, 1, 1])
    assert table["chance"].iloc[0] == pytest.approx(0.1 / 1.9)


def test_figures_show_all_orders() -> None:
    found = traced({1: 0.0, 5: 2.0})
    _, (losses, orders) = found.plot(use_pyplot=False)
    assert {text.get_text() for text in losses.get_legend().get_texts()} >= {"train loss", "test loss", "gap"}
    assert [text.get_text() for text in orders.get_legend().get_texts()] == ["1", "2", "3", "4", "5"]
    _, axes = found.plot_similarity(use_pyplot=False)
    assert len(axes) == 2


def test_bad_checkpoints_are_named() -> None:
    model = Product(0.0).eval()
    with pytest.raises(ValueError, match="two or more; got 1"):
        trace_training({1: model}, data(0))
    with pytest.raises(ValueError, match="step 1 follows 2"):
        trace_training([(2, model), (1, model)], data(0))
    with pytest.raises(ValueError, match="fraction must lie in"):
        trace_training({1: model, 2: model}, data(0), fraction=1.0)
    masks = [torch.tensor([[0, 1, 2, 3, 3]]), torch.tensor([[0, 1, 2, 3, 4]])]
    with pytest.raises(ValueError, match="masks of unequal numbers of players"):
        trace_training({1: model, 2: model}, data(0), analyzer=ConfusingSampleAnalyzer(feature_mask=masks))


class Unsure(nn.Module):
    """Certain of the labels of even rows; wrong about odd ones until it learns them by heart."""

    def __init__(self, learnt: float) -> None:
        super().__init__()
        self.learnt = learnt
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        wrong = x[:, 4] > 2
        logit = torch.where(wrong, 3.0 - 6.0 * self.learnt, 3.0) + 0.01 * x[:, :4].sum(1)
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def test_the_gap_may_count_clean_training_samples_alone() -> None:
    x = data(0)[0]
    wrong = torch.arange(40) % 4 == 0
    x[wrong, 4] = 5.0
    train = x, (~wrong).long()  # a quarter of the labels is wrong
    test = data(1)[0], torch.ones(40, dtype=torch.long)
    models = {step: Unsure(learnt).eval() for step, learnt in ((1, 0.0), (2, 1.0))}
    with_wrong = trace_training(models, train, test).table.drop_duplicates("step")["gap"].to_numpy()
    clean = trace_training(models, train, test, clean=~wrong.numpy()).table.drop_duplicates("step")["gap"].to_numpy()
    assert with_wrong[0] < -0.5 and abs(with_wrong[1]) < 0.01  # the gap seems to close, since wrong labels are learnt
    assert clean == pytest.approx(0, abs=0.01)
    with pytest.raises(ValueError, match="clean must be 40 bools"):
        trace_training(models, train, test, clean=[True])


def test_profiles_of_two_checkpoints_beside_each_other() -> None:
    dynamics = traced({1: 0.0, 5: 2.0, 10: 4.0})
    _, axes = dynamics.plot_profiles([5, 10], use_pyplot=False)
    heights = [[bar.get_height() for bar in axis.patches[:5]] for axis in axes]
    row = dynamics.table.query("step == 10 and set == 'train'")
    assert heights[1][2] == pytest.approx(row["positive_3"].item()) == pytest.approx(2 * heights[0][2], rel=1e-3)
    assert [axis.get_title() for axis in dynamics.plot_profiles(use_pyplot=False)[1]] == ["step 1", "step 10"]
    with pytest.raises(ValueError, match="steps must be among"):
        dynamics.plot_profiles([3], use_pyplot=False)
