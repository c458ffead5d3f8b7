"""Backgrounds: v is the mean over rows, by brute force, for tensors, tuples, frames and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import ShapleyValues
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.explain import averaged_interactions
from captum_andor.games import Background, FrameModel
from captum_andor.games.transforms import all_coalitions

torch.manual_seed(0)
NET = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 3)).double().eval()
X = torch.rand(2, 5, dtype=torch.float64)
ROWS = torch.rand(7, 5, dtype=torch.float64)


def brute_force(model: Any, x: Tensor, rows: Tensor) -> Tensor:
    """Values ``(N, 2^n)``, one masked row at a time."""
    found = torch.zeros(len(x), 1 << x.shape[1], dtype=torch.float64)
    for code, present in enumerate(all_coalitions(x.shape[1])):
        for i, example in enumerate(x):
            found[i, code] = torch.stack([model(torch.where(present, example, row)[None])[0] for row in rows]).mean()
    return found


def output(z: Tensor) -> Tensor:
    return NET(z)[:, 1]


def log_odds(z: Tensor) -> Tensor:
    logits = NET(z)
    return logits[:, 1] - logits[:, [0, 2]].logsumexp(1)


@pytest.mark.parametrize("score", ["output", "log_odds"])
@torch.no_grad()
def test_values_are_means_of_scores_over_rows(score: str) -> None:
    method = AndOrInteractions(NET, score=score)  # type: ignore[arg-type]
    expected = brute_force(output if score == "output" else log_odds, X, ROWS)
    found = method.interactions(X, Background(ROWS), target=1, split="and")
    torch.testing.assert_close(found.values, expected)
    model = method.logical_model(X, Background(ROWS), target=1, max_patterns=4)
    torch.testing.assert_close(model.values, found.values)
    torch.testing.assert_close(method.attribute(X, Background(ROWS), target=1).double(), found.shapley_values())
    for step in (1, 3):
        one = method.attribute(X, Background(ROWS), target=1, perturbations_per_eval=step)
        torch.testing.assert_close(one.double(), found.shapley_values())
    assert str(model).endswith("absent: drawn from the background, the mean over its 7 rows")


def test_attributions_are_the_mean_of_captums_over_rows() -> None:
    each = [ShapleyValues(NET).attribute(X, row[None], target=2, perturbations_per_eval=8) for row in ROWS]
    # captum samples orders of arrival: of five players 25 leave sampling noise, so compare with ours row by row, too.
    ours = AndOrInteractions(NET).attribute(X, Background(ROWS), target=2)
    mean = torch.stack([AndOrInteractions(NET).attribute(X, row[None], target=2) for row in ROWS]).mean(0)
    torch.testing.assert_close(ours, mean)
    assert (torch.stack(each).mean(0) - ours).abs().max() < 0.1


def test_one_row_is_a_baseline() -> None:
    method = AndOrInteractions(NET)
    torch.testing.assert_close(
        method.attribute(X, Background(ROWS[:1]), target=0), method.attribute(X, ROWS[:1], target=0)
    )


def test_tuples_masks_dtypes_and_dicts() -> None:
    def two(a: Tensor, b: Tensor) -> Tensor:
        return a.sum(1) * b.double().prod(1)

    a, b = torch.rand(2, 2, dtype=torch.float64), torch.randint(0, 4, (2, 2))
    rows = torch.rand(5, 2, dtype=torch.float64), torch.randint(0, 4, (5, 2))
    masks = torch.tensor([[0, 1]]), torch.tensor([[1, 2]])
    method = AndOrInteractions(two)
    found = method.interactions((a, b), Background(rows), feature_mask=masks, split="and").values
    each = [
        method.interactions((a, b), (rows[0][i : i + 1], rows[1][i : i + 1]), feature_mask=masks, split="and").values
        for i in range(5)
    ]
    torch.testing.assert_close(found, torch.stack(each).mean(0))
    named = AndOrInteractions(lambda x: NET(x)).attribute({"x": X}, Background(ROWS), target=1)["x"]
    torch.testing.assert_close(named, AndOrInteractions(NET).attribute(X, Background(ROWS), target=1))
    arrays = AndOrInteractions(NET).attribute(X.numpy(), Background(ROWS.numpy()), target=1)
    torch.testing.assert_close(arrays, AndOrInteractions(NET).attribute(X, Background(ROWS), target=1))


def test_frames_and_models_of_frames() -> None:
    frame = pd.DataFrame(X.numpy(), columns=list("abcde"))
    rows = pd.DataFrame(ROWS.numpy(), columns=list("abcde"))
    expected = AndOrInteractions(NET).attribute(X, Background(ROWS), target=1)
    found = AndOrInteractions(NET).attribute(frame, Background(rows[list("edcba")]), target=1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(AndOrInteractions(NET).attribute(X, Background(rows), target=1), expected)
    mixed = pd.DataFrame({"city": ["Lyon", "Paris", "Nice", "Lyon"], "rooms": [2, 4, 1, 3]})
    method = AndOrInteractions(FrameModel(lambda f: f["rooms"] * (1.0 + (f["city"] == "Paris"))))
    ours = method.interactions(mixed.iloc[[1]], Background(mixed.iloc[[0, 2, 3]]), split="and")
    theirs = averaged_interactions(method, mixed.iloc[[1]], mixed.iloc[[0, 2, 3]], split="and")
    torch.testing.assert_close(ours.values, theirs.values)
    assert ours.player_names == ("city = Paris", "rooms = 4")


def test_the_difference_of_models_over_a_background() -> None:
    other = nn.Linear(5, 3).double()
    found = AndOrInteractions(NET, reference=other).attribute(X, Background(ROWS), target=1)
    apart = [AndOrInteractions(m).attribute(X, Background(ROWS), target=1) for m in (NET, other)]
    torch.testing.assert_close(found, apart[0] - apart[1])


def test_rows_that_are_drawn() -> None:
    def noise(count: int) -> Tensor:
        return torch.randn(count, 5, dtype=torch.float64)

    state = torch.random.get_rng_state()
    first, again = Background(noise, n_rows=6, seed=3), Background(noise, n_rows=6, seed=3)
    assert torch.equal(first.rows, again.rows) and len(first) == 6
    assert not torch.equal(Background(noise, n_rows=6).rows, first.rows)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (3, TypeError, "rows must be a tensor, an array, a frame or a tuple of these; got int"),
        (pd.Series([1.0, 2.0]), TypeError, r"got Series. Of one row: series.to_frame\(\).T"),
        ((), TypeError, "got nothing"),
        (torch.zeros(0, 5), ValueError, "rows must be one or more"),
        ((torch.zeros(2, 5), torch.zeros(3, 5)), ValueError, "as many in each input; got 2, 3"),
        (lambda count: torch.zeros(count + 1, 5), ValueError, "rows drew 101 rows when asked for 100"),
    ],
)
def test_rows_that_cannot_be(rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Background(rows)


@pytest.mark.parametrize(
    ("background", "error", "message"),
    [
        (
            Background(torch.rand(4, 6)),
            ValueError,
            r"rows of the background have shape \(6,\), those of its input \(5,\)",
        ),
        (Background((ROWS, ROWS)), ValueError, "has rows of 2 inputs, and there are 1"),
        (Background(torch.rand(4, 5).to(torch.complex64)), TypeError, "baselines"),
    ],
)
def test_backgrounds_that_do_not_fit(background: Background, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AndOrInteractions(NET).attribute(X, background, target=1)
    frame = pd.DataFrame(X.numpy(), columns=list("abcde"))
    with pytest.raises(ValueError, match="baselines must have the columns of inputs"):
        AndOrInteractions(NET).attribute(frame, Background(frame.rename(columns={"a": "z"})), target=1)
    with pytest.raises(TypeError, match=r"of a frame the background is a frame, too"):
        AndOrInteractions(NET).attribute(frame, Background(ROWS), target=1)
    with pytest.raises(ValueError, match=r"pass games.Background\(rows\)"):
        AndOrInteractions(NET).attribute(X, ROWS, target=1)


def test_integers_are_not_rounded() -> None:
    with pytest.raises(TypeError, match="baselines"):
        AndOrInteractions(lambda z: z.sum(1)).attribute(torch.ones(1, 2, dtype=torch.int64), Background(ROWS[:, :2]))
    found = AndOrInteractions(lambda z: z.double().sum(1)).attribute(
        torch.ones(1, 2, dtype=torch.int64), Background(np.zeros((3, 2)))
    )
    assert found.tolist() == [[1.0, 1.0]]


def test_missing_values_are_named() -> None:
    rows = ROWS.clone()
    rows[3, 1] = torch.nan
    with pytest.raises(ValueError, match="Row 3 of the background holds NaN"):
        AndOrInteractions(NET).attribute(X, Background(rows), target=0)
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame(X.numpy(), columns=list("abcde"))
    gaps = pd.DataFrame(rows.numpy(), columns=list("abcde"))
    fitted = LinearRegression().fit(frame, [1.0, 2.0])
    with pytest.raises(ValueError, match="missing values in column 'b', of inputs or baselines"):
        AndOrInteractions(FrameModel(fitted.predict)).attribute(frame, Background(gaps))


def test_the_analyzer_takes_single_rows() -> None:
    from captum_andor import ConfusingSampleAnalyzer

    with pytest.raises(ValueError, match=r"baselines cannot be a Background here.*rows.split\(1\)"):
        ConfusingSampleAnalyzer(baselines=Background(ROWS))
