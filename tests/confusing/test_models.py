"""Models that have no single answer, or another one than is read: refused or warned of before anything is reported."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer

X = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 3


def analyzer(model: Any, **options: Any) -> ConfusingSampleAnalyzer:
    return ConfusingSampleAnalyzer(scores=("net_order",), **options).add_model("m", model)


def batches() -> list[dict[str, Any]]:
    return [{"sample": rows.numpy(), "input": X[rows].numpy()} for rows in torch.arange(20).split(5)]


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))


def test_batch_norm_in_training_mode_behind_a_function_is_refused_everywhere() -> None:
    """Scores changed with the batch size, and running statistics moved."""
    model = normed()
    for call in (
        lambda: analyzer(lambda x: model(x)).evaluate((X, Y)),
        lambda: analyzer(lambda x: model(x)).explain_batch(batches()[0]),
    ):
        with pytest.raises(ValueError, match="answers .*differently"):
            call()


def test_a_module_in_training_mode_is_refused_by_the_map_and_the_report() -> None:
    model = normed()
    made = analyzer(model.eval())
    tables = [made.explain_batch(batch) for batch in batches()]
    assert len(made.collect(tables, (X, Y)).scores) == 20
    model.train()
    with pytest.raises(ValueError, match="training mode"):
        made.explain_batch(batches()[0])
    with pytest.raises(ValueError, match="training mode"):
        made.collect(tables, (X, Y))


def test_rows_that_depend_on_their_place_in_the_batch_are_refused() -> None:
    def by_place(x: Tensor) -> Tensor:
        return torch.stack([x.sum(1), x[:, 0], x[:, 1]], dim=1) * (1 + (torch.arange(len(x)) > 20)[:, None])

    with pytest.raises(ValueError, match="answers differently when asked again: v.* moved by"):
        analyzer(by_place).evaluate((X, Y))


@pytest.mark.parametrize("last", [nn.Softmax(dim=1), nn.Sigmoid()])
def test_probabilities_read_as_logits_are_warned_of(last: nn.Module) -> None:
    """Every sample was of class 1 behind a sigmoid."""
    torch.manual_seed(0)
    linear = nn.Linear(4, 1 if isinstance(last, nn.Sigmoid) else 3)
    model, labels = nn.Sequential(linear, last).eval(), Y % 2
    with pytest.warns(UserWarning, match="seems to return probabilities"):
        analyzer(model).evaluate((X, labels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if linear.out_features > 1:
            analyzer(model, score="output").evaluate((X, labels))
            analyzer(nn.Sequential(linear, nn.LogSoftmax(1)).eval()).evaluate((X, labels))
            AndOrInteractions(model).attribute(X, target=0)
    if linear.out_features > 1:
        with pytest.warns(UserWarning, match="seems to return probabilities"):
            AndOrInteractions(model, score="log_odds").attribute(X, target=0)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.sum(1), x[:, 0] - x[:, 1], x.prod(1)], dim=1)


def test_exported_and_frozen_modules_are_taken() -> None:
    """The first was told to call eval(), which raises; the second has no flag."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).eval()
    expected = analyzer(model).evaluate((X, Y)).scores["net_order"]
    exported = torch.export.export(model, (X,), dynamic_shapes=({0: torch.export.Dim("rows")},)).module()
    frozen = torch.jit.freeze(torch.jit.script(model))
    for other in (exported, frozen):
        np.testing.assert_allclose(analyzer(other).evaluate((X, Y)).scores["net_order"], expected, rtol=1e-4)
