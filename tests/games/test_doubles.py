"""Numbers as they came: doubles stay doubles unless a parameter asks for less, and what is lost is said."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer
from captum_andor._utils.running import dtype_of

SECONDS = 1_700_000_000.0


def frame(rows: int = 40) -> pd.DataFrame:
    """Seconds since 1970 that differ by some, and a small number."""
    generator = np.random.default_rng(0)
    return pd.DataFrame({"time": SECONDS + generator.permutation(rows), "size": generator.random(rows)})


def late(x: Tensor) -> Tensor:
    return x[:, 0] - SECONDS + x[:, 1]


def test_a_function_sees_a_frame_in_doubles() -> None:
    table = frame()
    row, base = table.iloc[[0]], table.iloc[[1]]
    method = AndOrInteractions(late)
    expected = row.to_numpy() - base.to_numpy()
    np.testing.assert_allclose(method.attribute(row, baselines=base), expected)
    found = method.attribute(row.to_numpy(), baselines=torch.tensor(base.to_numpy()))
    np.testing.assert_allclose(found, expected)


def test_frames_of_single_precision_stay_so() -> None:
    seen = []
    AndOrInteractions(lambda x: seen.append(x.dtype) or x.sum(1)).attribute(frame().iloc[[0]].astype("float32"))
    assert set(seen) == {torch.float32}
    AndOrInteractions(lambda x: seen.append(x.dtype) or x.sum(1)).attribute(np.ones((1, 2), dtype=np.float32))
    assert set(seen) == {torch.float32}


def test_the_analyzer_sees_what_a_function_sees() -> None:
    table = frame()
    labels = (table["time"] > SECONDS + 19.5).astype(int)

    def decision(x: Tensor) -> Tensor:
        return 20 * (x[:, 0] - SECONDS - 19.5)

    report = (
        ConfusingSampleAnalyzer(baselines=torch.tensor([[SECONDS, 0.0]], dtype=torch.float64))
        .add_model("f", decision)
        .evaluate((table, labels))
    )
    assert bool((report.scores["predicted"] == report.scores["label"]).all())


def test_modules_get_their_own_precision_beside_functions() -> None:
    torch.manual_seed(0)
    net = nn.Linear(2, 2).eval()
    table = pd.DataFrame(np.random.default_rng(0).random((8, 2)), columns=["a", "b"])
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return torch.stack([x[:, 0], x[:, 1]], 1)

    analyzer = ConfusingSampleAnalyzer().add_model("net", net).add_model("function", function)
    report = analyzer.evaluate((table, np.arange(8) % 2))
    assert set(seen) == {torch.float64} and len(report.scores) == 16
    alone = ConfusingSampleAnalyzer().add_model("net", net).evaluate((table, np.arange(8) % 2)).scores
    both = report.scores[report.scores["model"] == "net"]
    np.testing.assert_allclose(both["net_order"], alone["net_order"], rtol=1e-5)


@pytest.mark.parametrize("what", ["attribute", "analyzer"])
def test_what_a_model_cannot_tell_apart_is_warned_of(what: str) -> None:
    table, net = frame(), nn.Linear(2, 2).eval()

    def run() -> None:
        if what == "attribute":
            AndOrInteractions(net).attribute(table.iloc[[0]], baselines=table.mean(), target=0)
        else:
            ConfusingSampleAnalyzer().add_model("net", net).evaluate((table, np.arange(40) % 2))

    with pytest.warns(UserWarning, match=r"column 'time' changes by up to .* in float32.*Subtract its mean"):
        run()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AndOrInteractions(net).attribute(table[["size", "size"]].set_axis(["a", "b"], axis=1).iloc[[0]], target=0)


def test_the_dtype_of_a_function_is_that_of_the_module_it_holds() -> None:
    net = nn.Linear(2, 1)

    def outer(x: Tensor) -> Tensor:
        return net(x)

    class Wrapper:
        def __init__(self) -> None:
            self.net = net

        def predict(self, x: Tensor) -> Tensor:
            return self.net(x)

    for function in (net, outer, lambda x: outer(x), functools.partial(outer), Wrapper().predict, net.forward):
        assert dtype_of(function) == torch.float32
    assert dtype_of(late) is None and dtype_of(torch.sum) is None
    assert AndOrInteractions(lambda x: net(x)[:, 0]).attribute(
        frame()[["size", "size"]].iloc[[0]].set_axis(["a", "b"], axis=1)
    ).shape == (1, 2)
