"""Learned baselines lower the interactions and stay in their bounds; averaged games are means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.explain import averaged_interactions
from captum_andor.games.masks import image_grid
from captum_andor.games.transforms import mobius
from captum_andor.studies import learn_baselines


def centred(x: Tensor) -> Tensor:
    """A product around (0.06, …): there, absent players leave nothing but the product itself."""
    return (x - 0.06).prod(1)


def inputs(n: int = 12) -> Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) + 1.0


def test_interactions_that_offset_each_other_go_and_the_bounds_hold() -> None:
    """Below the centre signs alternate; from it on all are positive and add up to the effect: their L1 is least, 1."""
    learned = learn_baselines(centred, inputs(), steps=150)
    assert learned.baselines.shape == (1, 3) and float(learned.baselines.min()) > 0.05
    assert learned.after == pytest.approx(1.0, abs=0.02) and learned.before > 1.2
    assert len(learned.l1) == 150
    narrow = learn_baselines(centred, inputs(), steps=60, bound=0.03)
    assert float(narrow.baselines.abs().max()) <= 0.03 + 1e-6 and narrow.after < narrow.before


def test_the_number_is_the_l1_of_the_interactions() -> None:
    x = inputs(4)
    learned = learn_baselines(centred, x, steps=1, batch_size=3)
    ex = AndOrInteractions(centred).interactions(x, split="and")
    relative = ex.l1 / (ex.values[:, -1] - ex.values[:, 0]).abs()
    assert learned.before == pytest.approx(float(relative.mean()), rel=1e-5)


def test_seeds_repeat_and_the_model_keeps_its_gradients() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    x = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    options = {"target": torch.arange(6) % 3, "feature_mask": image_grid(6, 6, 2, 2), "score": "log_odds", "steps": 5}
    a, b = (learn_baselines(net, x, **options) for _ in range(2))  # type: ignore[arg-type]
    assert torch.equal(a.baselines, b.baselines) and a.l1 == b.l1
    assert all(p.grad is None for p in net.parameters())
    with torch.no_grad():
        learn_baselines(net, x, **options)  # type: ignore[arg-type]
    _, axes = a.plot(use_pyplot=False)
    assert axes[1].get_title().startswith("before") and len(axes[2].images) == 1
    _, axes = learn_baselines(centred, inputs(), steps=2).plot(use_pyplot=False)
    assert len(axes[1].lines) == 1


def test_averaged_games_are_means_over_the_baselines() -> None:
    x, draws = inputs(2), [0.0, torch.full((1, 3), 0.5), torch.rand(2, 3)]
    method = AndOrInteractions(centred)
    found = averaged_interactions(method, x, draws, player_names=["a", "b", "c"])
    each = torch.stack([method.interactions(x, baselines=b, split="and").values for b in draws])
    assert torch.allclose(found.values, each.mean(0)) and found.player_names == ("a", "b", "c")
    assert float(found.fidelity().max()) < 1e-9 and found.attributions().shape == (2, 3)
    assert torch.allclose(averaged_interactions(method, x, draws, split="and").and_values, mobius(each.mean(0)))


def test_bad_arguments_are_named() -> None:
    x = inputs()
    for options, message in (
        ({"bound": 0.0}, "bound and lr must be positive"),
        ({"steps": 0}, "steps must be an int"),
        ({"initial": torch.zeros(12, 3)}, "one baseline for all examples"),
    ):
        with pytest.raises(ValueError, match=message):
            learn_baselines(centred, x, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="makes 13 players"):
        learn_baselines(lambda z: z.sum(1), torch.rand(1, 13))
    with pytest.raises(TypeError, match="one floating tensor"):
        learn_baselines(centred, torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="must be differentiable"):
        learn_baselines(lambda z: z.sum(1).detach(), x)
    with pytest.raises(ValueError, match="sequence of one or several"):
        averaged_interactions(AndOrInteractions(centred), x, [])


def test_rows_of_a_frame_are_baselines() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((4, 3)), columns=["a", "b", "c"])
    method = AndOrInteractions(lambda x: x[:, 0] * x[:, 1] + x[:, 2])
    found = averaged_interactions(method, frame.iloc[[0]], frame)
    rows = torch.tensor(frame.to_numpy())
    expected = averaged_interactions(method, rows[:1], list(rows.split(1)))
    torch.testing.assert_close(found.values, expected.values)
    for beside in (rows[:1], rows[:1].numpy()):  # whose columns have no names
        for base in (frame.mean(), frame.iloc[[1]]):
            numbers = torch.tensor(base.to_numpy()).reshape(1, -1)
            ours = method.attribute(beside, baselines=base)
            torch.testing.assert_close(ours, method.attribute(rows[:1], baselines=numbers))
        assert torch.equal(averaged_interactions(method, beside, frame).values, expected.values)
    with pytest.raises(ValueError, match="baselines"):
        method.attribute(rows[:1], baselines=frame.mean()[["a", "b"]])
    for one in (frame.mean(), rows, 0.5):
        with pytest.raises(ValueError, match=r"a frame, a row each; got (Series|Tensor|float).*background.split\(1\)"):
            averaged_interactions(method, rows[:1], one)  # type: ignore[arg-type]
