"""Models as libraries write them: outputs with fields, inputs by name."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer, GameEstimate, LogicalModel


class ModelOutput(OrderedDict[str, Any]):
    """As that of transformers: a dict whose entries are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


class TextClassifier(nn.Module):
    """Takes what a tokenizer gives, and returns what a model of transformers does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(30, 8), nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, return_dict: bool = True) -> Any:
        weight = attention_mask[..., None].float()
        pooled = (self.embedding(input_ids) * weight).sum(1) / weight.sum(1).clamp(min=1)
        logits = self.head(torch.tanh(pooled))
        return ModelOutput(logits=logits, pooled=pooled) if return_dict else (logits, pooled)


MODEL = TextClassifier().eval()
IDS = torch.tensor([[1, 7, 8, 9, 2], [1, 5, 6, 2, 0]])
ATTENTION = (IDS > 0).long()
MASK = torch.tensor([[-1, 0, 1, 2, -1], [-1, 0, 1, -1, -1]])


def plain(ids: Tensor, attention: Tensor) -> Tensor:
    return MODEL(ids, attention)["logits"]


def test_logits_are_taken_where_there_are_some_or_the_field_that_was_named() -> None:
    x = torch.rand(2, 4)
    linear = nn.Linear(4, 3)
    model = lambda z: ModelOutput(loss=torch.tensor(0.0), logits=linear(z), other=2 * linear(z))  # noqa: E731
    expected = AndOrInteractions(linear).attribute(x, target=1)
    torch.testing.assert_close(AndOrInteractions(model).attribute(x, target=1), expected)
    torch.testing.assert_close(AndOrInteractions(model, output="other").attribute(x, target=1), 2 * expected)
    both = lambda z: (linear(z), 3 * linear(z))  # noqa: E731
    torch.testing.assert_close(AndOrInteractions(both, output=1).attribute(x, target=1), 3 * expected)
    with pytest.raises(ValueError, match=r"output='score' is no part .* fields \['loss', 'logits', 'other'\]"):
        AndOrInteractions(model, output="score").attribute(x)
    with pytest.raises(TypeError, match=r"tuple of 2 parts .* by output="):
        AndOrInteractions(both).attribute(x)
    with pytest.raises(TypeError, match=r"fields \['scores'\].* by output="):
        AndOrInteractions(lambda z: {"scores": linear(z)}).attribute(x)
    with pytest.raises(TypeError, match="output must be None, the name of a field"):
        AndOrInteractions(both, output=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [dict, UserDict])  # BatchEncoding is a UserDict
def test_inputs_by_name_have_players_where_a_mask_names_them(kind: Any, tmp_path: Path) -> None:
    encoding = kind({"input_ids": IDS, "attention_mask": ATTENTION})
    baseline = torch.full((1, 1), 3)
    method = AndOrInteractions(MODEL)
    found = method.attribute(encoding, {"input_ids": baseline}, 1, feature_mask={"input_ids": MASK})
    expected = AndOrInteractions(plain).attribute(IDS, baseline, 1, ATTENTION, MASK)
    assert list(found) == ["input_ids"]
    torch.testing.assert_close(found["input_ids"], expected)
    assert found["input_ids"][0, 0] == 0  # of no player
    further = kind({**encoding, "return_dict": False})
    again = AndOrInteractions(MODEL, output=0).attribute(
        further, {"input_ids": baseline}, 1, feature_mask={"input_ids": MASK}
    )
    torch.testing.assert_close(again["input_ids"], expected)
    for name, kind_of_result in (("logical_model", LogicalModel), ("estimate", GameEstimate)):
        result = getattr(method, name)(encoding, {"input_ids": baseline}, 1, feature_mask={"input_ids": MASK})
        torch.testing.assert_close(result.attributions()["input_ids"], expected, atol=1e-5, rtol=1e-4)
        result.save(tmp_path / "result")
        torch.testing.assert_close(
            kind_of_result.load(tmp_path / "result").attributions()["input_ids"], expected, atol=1e-5, rtol=1e-4
        )
    assert method.interactions(encoding, target=1, feature_mask={"input_ids": MASK}).top(1)


def test_several_named_tensors_hold_players_together() -> None:
    model = lambda a, b: (a.sum(1) * b.sum(1))[:, None]  # noqa: E731
    a, b = torch.rand(2, 2), torch.rand(2, 3)
    found = AndOrInteractions(model).attribute({"a": a, "b": b}, feature_mask={"a": torch.tensor([[0, 1]]), "b": None})
    expected = AndOrInteractions(model).attribute((a, b))
    torch.testing.assert_close((found["a"], found["b"]), expected)  # type: ignore[call-overload]


def test_inputs_by_name_are_not_guessed() -> None:
    method, encoding = AndOrInteractions(MODEL), {"input_ids": IDS, "attention_mask": ATTENTION}
    with pytest.raises(ValueError, match="name those that hold players, e.g. feature_mask={'input_ids': mask}"):
        method.attribute(encoding)
    with pytest.raises(ValueError, match=r"feature_mask name \['ids'\], but inputs has"):
        method.attribute(encoding, feature_mask={"ids": MASK})
    with pytest.raises(TypeError, match=r"inputs\['return_dict'\] must be a tensor"):
        method.attribute({**encoding, "return_dict": True}, feature_mask={"return_dict": MASK})
    with pytest.raises(ValueError, match="put them into inputs"):
        method.attribute(encoding, additional_forward_args=ATTENTION, feature_mask={"input_ids": MASK})
    only = AndOrInteractions(lambda x: x.sum(1)).attribute({"x": torch.ones(1, 3)})
    assert only["x"].tolist() == [[1.0, 1.0, 1.0]]


def test_the_analyzer_takes_outputs_with_fields() -> None:
    x, y = torch.rand(12, 4), torch.arange(12) % 3
    linear = nn.Linear(4, 3).eval()

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, x: Tensor) -> Any:
            return ModelOutput(hidden=x, logits=self.linear(x), scores=-self.linear(x))

    def scores(model: nn.Module, **options: Any) -> Any:
        made = ConfusingSampleAnalyzer(scores=("net_order",), **options).add_model("m", model.eval())
        return made.evaluate((x, y)).scores["margin"].tolist()

    assert scores(Wrapped()) == pytest.approx(scores(linear))
    assert scores(Wrapped(), output="scores") != pytest.approx(scores(linear))
