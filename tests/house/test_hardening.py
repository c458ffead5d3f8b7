"""What once passed in silence or crashed: now it works, or an error names the argument."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrExplanation, AndOrInteractions, ConfusingSampleAnalyzer, LogicalModel
from captum_andor.games.transforms import mobius
from captum_andor.split.joint import joint_split
from captum_andor.split.split import split_game

X = torch.ones(2, 3)


def logits(x: Tensor) -> Tensor:
    return torch.stack([x.sum(1), x.prod(1)], dim=1)


def test_lists_are_float64() -> None:
    v = [0.0, 0.1, 16777217.0, 1e39]
    for made in (AndOrExplanation.from_values(v, split="and"), LogicalModel.from_values(v)):
        assert made.values.tolist() == v


@pytest.mark.parametrize("inputs", [torch.ones(2), (torch.ones(2), torch.ones(2, 3))])
def test_rank_1_inputs_may_have_an_id_per_example(inputs: Any) -> None:
    mask: Any = torch.tensor([0, 1])
    if isinstance(inputs, tuple):
        mask = (mask, torch.tensor([[2, 3, 4]]))
    found = AndOrInteractions(lambda *x: sum(part.reshape(len(part), -1).sum(1) for part in x)).attribute(
        inputs, feature_mask=mask
    )
    for part, x in zip(
        found if isinstance(found, tuple) else (found,), inputs if isinstance(inputs, tuple) else (inputs,), strict=True
    ):
        assert torch.allclose(part, torch.ones_like(x))


def test_a_callable_score_gets_float64() -> None:
    seen = []

    def score(output: Tensor) -> Tensor:
        seen.append(output.dtype)
        return output

    AndOrInteractions(lambda x: x.bfloat16().sum(1), score=score).attribute(X)
    assert set(seen) == {torch.float64}


def test_a_loss_module_is_a_score_of_output_and_target() -> None:
    loss = nn.CrossEntropyLoss(reduction="none")
    found = AndOrInteractions(logits, score=loss).interactions(X, target=[0, 1], split="and")
    expected = loss(logits(X).double(), torch.tensor([0, 1]))
    assert found.values[:, -1].tolist() == pytest.approx(expected.tolist())


ARRAYS = {
    "array": np.zeros((1, 3), dtype=np.float32),
    "big-endian": np.zeros((1, 3), dtype=">f8"),
    "negative strides": np.zeros((1, 3))[:, ::-1],
    "0-d": np.array(0.0),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_numpy_baselines_and_masks_work(name: str) -> None:
    expected = AndOrInteractions(logits).attribute(X, target=0, baselines=0, feature_mask=torch.tensor([[0, 0, 1]]))
    found = AndOrInteractions(logits).attribute(X, target=0, baselines=ARRAYS[name], feature_mask=np.array([[0, 0, 1]]))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "v", [np.arange(4.0)[::-1], np.arange(4, dtype=">f8"), np.arange(4, dtype=np.int8), (0, 1, 2, 3)]
)
def test_any_array_of_numbers_is_a_game(v: Any) -> None:
    assert AndOrExplanation.from_values(v).values.tolist() == [float(x) for x in v]


def test_parts_share_no_memory_with_the_whole() -> None:
    ex = AndOrExplanation.from_values(torch.rand(2, 8))
    before = ex.shapley_values().clone()
    ex[0].values.fill_(9.0)
    assert torch.equal(ex.shapley_values(), before)


def test_numpy_numbers_are_numbers() -> None:
    method = AndOrInteractions(logits, max_players=np.int64(25))  # type: ignore[arg-type]
    assert method.max_players == 25


def game() -> AndOrExplanation:
    return AndOrExplanation.from_values(torch.rand(2, 8))


def set_score() -> Any:
    method = AndOrInteractions(logits)
    method.score = "bogus"  # type: ignore[assignment]
    return method.attribute(X, target=0)


def attribute(**arguments: Any) -> Callable[[], Any]:
    return lambda: AndOrInteractions(logits).attribute(X, **{"target": 0, **arguments})


def scored(score: Any) -> Callable[[], Any]:
    return lambda: AndOrInteractions(logits, score=score).attribute(X, target=0)


BAD: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "target (None,)": (TypeError, "target", attribute(target=(None,))),
    "target (...,)": (TypeError, "target", attribute(target=(...,))),
    "target (1.5,)": (TypeError, "target", attribute(target=(1.5,))),
    "target ('a',)": (TypeError, "target", attribute(target=("a",))),
    "target (True,)": (TypeError, "target", attribute(target=(True,))),
    "targets of unequal slices": (ValueError, "target's slices", attribute(target=[(slice(0, 1),), (slice(0, 2),)])),
    "huge baseline": (TypeError, "baselines", attribute(baselines=10**30)),
    "list baseline": (TypeError, "baselines", attribute(baselines=[0.0])),
    "string array baseline": (TypeError, "baselines", attribute(baselines=np.array(["a"]))),
    "sparse baseline": (
        TypeError,
        r"baselines is sparse.*to_dense",
        attribute(baselines=torch.zeros(1, 3).to_sparse()),
    ),
    "sparse mask": (TypeError, "feature_mask is sparse", attribute(feature_mask=torch.tensor([[0, 1, 2]]).to_sparse())),
    "sparse inputs": (
        TypeError,
        "inputs is sparse",
        lambda: AndOrInteractions(logits).attribute(X.to_sparse(), target=0),
    ),
    "float ids above 2^53": (
        TypeError,
        r"feature_mask holds ids above 2\^53",
        attribute(feature_mask=torch.tensor([[2.0**60, 0, 1]])),
    ),
    "uint64 ids": (
        TypeError,
        r"feature_mask holds ids of 2\^63",
        attribute(feature_mask=torch.from_numpy(np.array([[2**63, 0, 1]], dtype=np.uint64))),
    ),
    "values of the batch, a mask for each example": (
        ValueError,
        "feature_mask differs between examples",
        lambda: AndOrInteractions(lambda x: x.mean(0)[:2]).attribute(
            X, feature_mask=torch.tensor([[0, 0, 1], [0, 1, 1]]), perturbations_per_eval=1
        ),
    ),
    "score set afterwards": (ValueError, "score must be", set_score),
    "score of one number": (ValueError, "score must keep the rows", scored(lambda out: out.sum())),
    "score of one number with target": (
        ValueError,
        "score must return one value per row",
        scored(lambda out, y: out.sum()),
    ),
    "complex score": (TypeError, "score must return real", scored(lambda out: out + 1j)),
    "score of another shape": (ValueError, "score must keep the rows", scored(lambda out: out[:1])),
    "threshold of another shape": (ValueError, "threshold", lambda: game().salient(torch.zeros(3))),
    "index True": (IndexError, "index", lambda: game()[True]),
    "values None": (TypeError, "v must be", lambda: AndOrExplanation.from_values(None)),  # type: ignore[arg-type]
    "ragged values": (TypeError, "v must be", lambda: AndOrExplanation.from_values([[0.0, 1.0], [0.0]])),
    "string values": (TypeError, "v must be", lambda: AndOrExplanation.from_values(["a", "b"])),
    "values near overflow": (ValueError, "v must not exceed", lambda: AndOrExplanation.from_values([0.0, 1e308])),
    "sparse values": (TypeError, "v is sparse", lambda: AndOrExplanation.from_values(torch.zeros(4).to_sparse())),
    "a model of 10**400": (ValueError, "forward_func", lambda: AndOrInteractions(lambda x: 10**400).attribute(X[:1])),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    error, message, call = BAD[case]
    with pytest.raises(error, match=message):
        call()


def test_errors_are_public_classes() -> None:
    fixed = torch.ones(4)
    with pytest.raises(ValueError, match="does not grow") as caught:
        AndOrInteractions(lambda x: fixed[: len(X)] * x.sum()).attribute(X, perturbations_per_eval=3)
    assert type(caught.value) is ValueError


def test_nothing_moves_to_the_default_device() -> None:
    """Tensors of the meta device hold no numbers: whatever went there would fail."""
    x, y = torch.rand(6, 4), torch.arange(6) % 2
    try:
        torch.set_default_device("meta")
        method = AndOrInteractions(logits)
        method.attribute(x, target=0)
        method.interactions(x, target=0, noise_bound="auto").certainty()
        method.interactions(x, target=y, split="even").to_dataframe()
        method.logical_model(x, target=0)
        AndOrInteractions(lambda x: x[:, :3].prod(1)).logical_model(torch.ones(1, 30, device="cpu"))
        AndOrExplanation.from_values(list(range(16))).top(3)
        LogicalModel.from_values(list(range(256))).stability(3)
        analyzer = ConfusingSampleAnalyzer().add_model("a", logits).add_model("b", lambda x: 2 * logits(x))
        analyzer.evaluate((x, y)).similarity()
    finally:
        torch.set_default_device(None)


def test_warnings_point_at_the_callers_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captum_andor.split.split._MOST_ITERATIONS", 10)
    monkeypatch.setattr("captum_andor.split.split.INTERIOR_PLAYERS", 0)
    v = torch.randn(1, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = torch.stack([v, v.flip(-1)])
    for call in (
        lambda: AndOrExplanation.from_values(v, tolerance=1e-9),
        lambda: AndOrInteractions(lambda x: v[0, (x.long() @ (2 ** torch.arange(8)))]).interactions(
            torch.ones(1, 8), tolerance=1e-9
        ),
        lambda: split_game(v, tolerance=1e-9),
    ):
        with pytest.warns(UserWarning, match="missed tolerance") as caught:
            call()
        assert caught[0].filename == __file__
    monkeypatch.setattr("captum_andor.split.joint._MOST_ITERATIONS", 60)
    with pytest.warns(UserWarning, match="joint split missed") as caught:
        joint_split(both, tolerance=1e-9)
    assert caught[0].filename == __file__


class Counting(nn.Module):
    """Keeps state: every call adds to its answers."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.calls = by, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.sum(1) + self.by * self.calls


@pytest.mark.parametrize("call", ["attribute", "interactions", "logical_model"])
@pytest.mark.parametrize(
    "model",
    [Counting(0.01), nn.Sequential(nn.Linear(3, 1), nn.Dropout()), nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))],
)
def test_models_that_answer_otherwise_when_asked_again_are_warned_of(model: Any, call: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="answered differently when asked again.* moved by") as caught:
        getattr(AndOrInteractions(model), call)(x)
    assert caught[0].filename == __file__
    getattr(AndOrInteractions(model, check_repeats=False), call)(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_rounding_is_no_change(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 3)).to(dtype)
    x = 5 * torch.randn(3, 8, dtype=dtype, generator=torch.Generator().manual_seed(0))
    AndOrInteractions(model, score="log_odds").attribute(x)


def test_asking_again_takes_eight_passes_at_most() -> None:
    model = Counting(0.0)
    AndOrInteractions(model, check_repeats=False).attribute(X, perturbations_per_eval=1)
    assert model.calls == 8
    for n, budget in ((3, None), (10, None), (12, 256), (24, 256)):
        calls = []
        for check in (True, False):
            model = Counting(0.0)
            method = AndOrInteractions(model, check_repeats=check)
            if budget is None:
                method.attribute(torch.rand(3, n), perturbations_per_eval=16)
            else:
                method.logical_model(torch.rand(3, n), budget=budget, perturbations_per_eval=16)
            calls.append(model.calls)
        assert 2 <= calls[0] - calls[1] <= 8
    with pytest.raises(TypeError, match="check_repeats must be True or False"):
        AndOrInteractions(model, check_repeats=2)


class Padded(nn.Module):
    """Embeddings of right-padded text, averaged over the longest row of the batch: the answer depends on the others."""

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(1)
        return x[:, : max(int(lengths.max()), 1)].mean(1)


ROWS = torch.arange(1.0, 21).view(5, 4)


@pytest.mark.parametrize("call", ["attribute", "interactions", "logical_model", "estimate"])
def test_models_whose_rows_depend_on_their_place_or_on_others_are_warned_of(call: str) -> None:
    """∅ and N go first: they alone saw nothing."""

    def rows(z: Tensor, keep: list[int]) -> Tensor:
        return (z * torch.stack([torch.arange(4) < k for k in (keep + [4] * len(z))[: len(z)]])).sum(1)

    def warned(model: Any, x: Tensor, further: Any = None) -> str:
        with pytest.warns(UserWarning, match="answered differently when asked again") as caught:
            getattr(AndOrInteractions(model), call)(x, additional_forward_args=further)
        return str(caught[0].message)

    assert "alone, moved by" in warned(rows, torch.ones(1, 4), ([2],))
    assert "moved by" in warned(Padded(), torch.rand(1, 4, generator=torch.Generator().manual_seed(1)))
    ranked = lambda z: z.sum(1) - z.sum(1).mean()  # noqa: E731
    assert "moved by" in warned(ranked, ROWS)

    def beside_the_first(z: Tensor) -> Tensor:  # the examples of one coalition look at each other
        groups = z.view(-1, len(ROWS) if len(z) % len(ROWS) == 0 else len(z), 4)
        return (groups + groups[:, :1]).sum(2).flatten()

    assert "without the others" in warned(beside_the_first, ROWS)


def test_what_lacks_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shapiq", None)
    with pytest.raises(ImportError, match="needs shapiq: pip install shapiq"):
        AndOrExplanation.from_values([0.0, 1.0]).to_shapiq()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_transforms_keep_their_dtype_under_autocast(dtype: torch.dtype) -> None:
    v = torch.rand(64, generator=torch.Generator().manual_seed(0)).to(dtype)
    plain = mobius(v)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert mobius(v).dtype == dtype and torch.equal(mobius(v), plain)
    assert mobius(torch.empty(64, device="meta")).shape == (64,)  # a device without autocast
