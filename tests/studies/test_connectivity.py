"""Barriers, bypasses, scores and detection: closed forms, brute force, laws, bad input."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from networks import rows
from sklearn.datasets import make_moons
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor, nn

from captum_andor.studies.witnesses.barriers import losses_of
from captum_andor.studies.witnesses.connectivity import barrier, connect, connectivity_score
from captum_andor.studies.witnesses.detection import (
    Detection,
    attack_beside_references,
    detect,
    visualize_class,
)


def linear(seed: int = 0) -> nn.Module:
    model = nn.Linear(3, 4).double().eval()
    for parameter in model.parameters():
        parameter.data = rows(*parameter.shape, seed=seed)
    return model


def hill(x: Tensor) -> Tensor:
    """Class 0 is unlikely near the origin: log-odds 3 − 6 exp(−|x|²)."""
    height = 6 * torch.exp(-x.flatten(1).square().sum(1))
    return torch.stack([3 - height, torch.zeros_like(height)], dim=1)


@pytest.fixture(scope="module")
def moons() -> tuple[nn.Module, Tensor, Tensor]:
    points, labels = make_moons(400, noise=0.05, random_state=0)
    x, y = torch.tensor(points), torch.tensor(labels)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), x, y


# Lines


@given(st.integers(0, 500), st.integers(1, 4), st.integers(2, 30))
@settings(max_examples=30, deadline=None)
def test_a_linear_model_has_its_worst_point_at_an_end(seed: int, pairs: int, points: int) -> None:
    a, b = rows(pairs, 3, seed=seed), rows(pairs, 3, seed=seed + 1)
    found = barrier(linear(seed), a, b, target=seed % 4, n_points=points)
    assert float(found.gap.abs().max()) < 1e-9 and float(found.area.abs().max()) < 1e-9
    torch.testing.assert_close(found.maximum, torch.maximum(found.losses[:, 0], found.losses[:, -1]))
    assert set(found.argmax.tolist()) <= {0.0, 1.0}


def test_the_height_of_a_hill_is_known() -> None:
    a = torch.tensor([[-3.0, 0.0]], dtype=torch.float64)
    found = barrier(hill, a, -a, target=0, n_points=101)
    assert float(found.maximum) == pytest.approx(math.log1p(math.exp(3)))
    ends = math.log1p(math.exp(-3 + 6 * math.exp(-9)))
    assert float(found.gap) == pytest.approx(math.log1p(math.exp(3)) - ends)
    assert float(found.argmax) == 0.5
    by_hand = np.linspace(-3, 3, 101)
    losses = np.log1p(np.exp(-3 + 6 * np.exp(-(by_hand**2))))
    assert found.losses[0].numpy() == pytest.approx(losses)
    assert float(found.area) == pytest.approx(np.convolve(np.maximum(losses - ends, 0), [0.5, 0.5], "valid").mean())


def test_two_moons_against_a_finer_line(moons: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, y = moons
    moon = x[y == 0]
    a, b = moon[moon[:, 0].argmin()][None], moon[moon[:, 0].argmax()][None]  # the line crosses the other moon
    found = barrier(model, a, b, 0)
    fine = torch.stack([(1 - t) * a[0] + t * b[0] for t in torch.linspace(0, 1, 5001, dtype=torch.float64)])
    expected = nn.functional.cross_entropy(model(fine), torch.zeros(5001).long(), reduction="none").detach()
    assert float(found.gap) == pytest.approx(float(expected.max() - max(expected[0], expected[-1])), rel=1e-2)
    assert float(found.gap) > 1
    paths = connect(model, a, b, 0, steps=400, lr=0.02, closeness=0.01)
    assert float(paths.gap) < 0.2 * float(found.gap)


@given(st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_lines_are_mirrored_and_do_not_depend_on_batches(seed: int) -> None:
    a, b = rows(3, 2, seed=seed), rows(3, 2, seed=seed + 1)
    one, other = barrier(hill, a, b, 0, n_points=17), barrier(hill, b, a, 0, n_points=17, batch_size=5)
    torch.testing.assert_close(one.losses, other.losses.flip(1))
    torch.testing.assert_close(one.gap, other.gap)
    assert (one.gap >= 0).all() and (one.area >= 0).all()


def test_targets_per_pair_other_losses_and_tables() -> None:
    a, b = rows(2, 3), rows(2, 3, seed=1)
    model = linear()
    both = barrier(model, a, b, torch.tensor([0, 3]))
    for i, target in enumerate((0, 3)):
        torch.testing.assert_close(both.losses[i], barrier(model, a[i : i + 1], b[i : i + 1], target).losses[0])
    squared = barrier(model, a, b, 0, loss=lambda output, target: output[:, 0] ** 2)
    assert squared.losses[0, 0] == pytest.approx(float(model(a)[0, 0].detach() ** 2))
    assert list(both.to_dataframe()) == ["maximum", "gap", "area", "argmax", "loss_a", "loss_b"]


# Bypasses


def pair() -> tuple[Tensor, Tensor]:
    a = torch.tensor([[-3.0, 0.05], [-2.5, 0.1]], dtype=torch.float64)
    return a, a * torch.tensor([-1.0, 1.0])  # past the top of the hill, where the gradient is not zero


def test_a_bypass_stays_in_the_hyperplane_of_the_worst_point() -> None:
    def ridge(x: Tensor) -> Tensor:  # oblique: off the line, the gradient has a part along it
        return hill(x @ torch.tensor([[1.0, 0.6], [0.0, 0.5]], dtype=x.dtype))

    a, b = pair()
    paths = connect(ridge, a, b, 0, steps=200, lr=0.05, closeness=1e-3, max_depth=1)
    for i in range(2):
        start, bypass, end = paths.points[i]
        worst = torch.lerp(start, end, float(paths.straight.alphas[paths.straight.losses[i].argmax()]))
        along = (bypass - worst) @ (end - start)
        assert abs(float(along)) < 1e-9 and float((bypass - worst).norm()) > 0.5
    assert (paths.maximum < paths.straight.maximum).all()


def test_paths_avoid_the_hill_and_say_how_far_they_went() -> None:
    a, b = pair()
    paths = connect(hill, a, b, 0, steps=300, lr=0.05, closeness=1e-3)
    assert (paths.maximum < 0.3).all() and (paths.straight.maximum > 2.9).all()
    table = paths.to_dataframe()
    assert list(table) == ["before", "after", "gap_before", "gap", "bypasses", "change"]
    assert (table["bypasses"] >= 1).all() and (table["change"] > 0).all()
    span = float(torch.cat([a, b]).max() - torch.cat([a, b]).min())
    one = connect(hill, a, b, 0, steps=300, lr=0.05, closeness=1e-3, max_depth=1)
    worst = torch.lerp(a[0], b[0], float(one.straight.argmax[0]))
    assert float(one.change[0]) == pytest.approx(float((one.points[0][1] - worst).abs().mean()) / span, rel=1e-6)
    for path, curve in zip(paths.points, paths.curves, strict=True):
        assert len(curve) == (len(path) - 1) * 100 + 1
        again = losses_of(hill, path, torch.zeros(len(path)).long()).double()
        torch.testing.assert_close(curve[::100], again)


def test_closeness_holds_bypasses_back() -> None:
    a, b = pair()
    near, far = (connect(hill, a, b, 0, steps=300, lr=0.05, closeness=c, max_depth=1).change for c in (3.0, 1e-3))
    assert (near < far).all()


def test_without_a_barrier_there_is_nothing_to_do_and_paths_are_never_worse() -> None:
    a, b = rows(3, 3), rows(3, 3, seed=1)
    paths = connect(linear(), a, b, 0, steps=5)
    assert [len(path) for path in paths.points] == [2, 2, 2] and (paths.change == 0).all()
    a, b = pair()
    wild = connect(hill, a, b, 0, steps=1, lr=1e-6)
    assert (wild.maximum <= wild.straight.maximum).all()


def test_pairs_do_not_influence_each_other_and_runs_repeat() -> None:
    a, b = pair()
    together = connect(hill, a, b, 0, steps=100, lr=0.05)
    alone = connect(hill, a[1:], b[1:], 0, steps=100, lr=0.05, batch_size=3)
    torch.testing.assert_close(together.points[1], alone.points[0])
    again = connect(hill, a, b, 0, steps=100, lr=0.05)
    assert all(torch.equal(x, y) for x, y in zip(together.points, again.points, strict=True))


def test_ctrl_c_returns_the_paths_so_far() -> None:
    calls = 0

    def impatient(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 60:
            raise KeyboardInterrupt
        return hill(x)

    a, b = pair()
    with pytest.warns(UserWarning, match="paths so far"):
        paths = connect(impatient, a, b, 0, steps=100, lr=0.05, closeness=1e-3, max_depth=2)
    assert (paths.maximum <= paths.straight.maximum).all() and len(paths.points) == 2


def test_an_untrained_network_connects_inputs_it_is_sure_of() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    model.eval()
    ends = visualize_class(model, rows(6, 1, 8, 8).float(), 1, steps=400)
    assert float(losses_of(model, ends, torch.ones(6).long()).detach().max()) < 0.1
    paths = connect(model, ends[:3], ends[3:], 1, steps=150, lr=0.02)
    assert (paths.gap <= paths.straight.gap).all() and float(paths.gap.max()) < 0.2


# Scores


def test_scores_by_hand(moons: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, y = moons
    table = connectivity_score(model, (x[:6], y[:6]), (x[6:], y[6:]), n_references=2, n_points=21)
    losses = nn.functional.cross_entropy(model(x[6:]), y[6:], reduction="none").detach()
    for i in range(6):
        candidates = (y[6:] == y[i]).nonzero()[:, 0]
        best = candidates[losses[candidates].argsort(stable=True)[:2]]
        lines = barrier(model, x[i].expand(2, 2), x[6:][best], int(y[i]), 21)
        assert table["barrier"][i] == pytest.approx(float(lines.maximum.mean()))
        assert table["lowest"][i] == pytest.approx(float(lines.maximum.min()))
        assert table["gap"][i] == pytest.approx(float(lines.gap.mean()))
    # a sample that is among the references is not its own
    own = connectivity_score(model, (x, y), (x, y), n_references=1, n_points=5)
    assert (own["barrier"] >= own["loss"] - 1e-12).all()
    predicted = connectivity_score(model, x[:6], (x[6:], y[6:]), labels="predicted", n_points=5)
    assert predicted["label"].tolist() == model(x[:6]).argmax(1).tolist()


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.lists(st.integers(0, 5), min_size=2, max_size=20))
@settings(max_examples=30, deadline=None)
def test_roc_and_auc_are_those_of_sklearn(clean: list[int], suspect: list[int]) -> None:
    detection = Detection(np.array(clean, dtype=float), np.array(suspect, dtype=float))
    members = [0] * len(clean) + [1] * len(suspect)
    assert detection.auc == pytest.approx(roc_auc_score(members, clean + suspect))
    curve = detection.roc()
    false, true, _ = roc_curve(members, clean + suspect, drop_intermediate=False)
    assert curve["false_positives"].to_numpy() == pytest.approx(false)
    assert curve["true_positives"].to_numpy() == pytest.approx(true)
    low, high = detection.interval(200)
    assert low <= high


def test_attacks_beside_references_have_lower_barriers(moons: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, y = moons
    clean, reference = x[y == 0][:20], x[y == 1][:1].expand(20, 2)
    plain, knowing = (
        attack_beside_references(model, clean, 1, reference, radius=0.7, steps=60, weight=w) for w in (0.0, 1.0)
    )
    for attacked in (plain, knowing):
        assert float((attacked - clean).abs().max()) <= 0.7 + 1e-9
    heights = [float(barrier(model, attacked, reference, 1).maximum.mean()) for attacked in (plain, knowing)]
    assert heights[1] < heights[0] - 0.01
    found = detect(model, clean, plain, (x[200:], y[200:]), n_references=2)
    assert 0 <= found.auc <= 1 and len(found.clean) == len(found.suspect) == 20


def test_figures() -> None:
    a = rows(2, 1, 6, 6)
    paths = connect(hill, a * 0.3, -a * 0.3, 0, steps=20, lr=0.05, max_depth=1)
    for draw in (paths.plot, paths.straight.plot, Detection(np.arange(3.0), np.arange(1.0, 4)).plot):
        fig, axis = draw(use_pyplot=False)
        assert fig is not None and axis.get_xlabel()
    fig, axes = paths.plot_strip(use_pyplot=False, count=4)
    assert axes.shape == (2, 4)
    with pytest.raises(ValueError, match="must be pictures"):
        connect(hill, rows(1, 2), rows(1, 2, seed=1), 0, steps=1).plot_strip()
    plt.close("all")


def test_bad_input() -> None:
    a, b = rows(2, 3), rows(2, 3, seed=1)
    with pytest.raises(TypeError, match="a must be a floating-point tensor"):
        barrier(linear(), a.long(), b, 0)
    with pytest.raises(ValueError, match="of one shape"):
        barrier(linear(), a, b[:1], 0)
    with pytest.raises(ValueError, match="one per pair"):
        barrier(linear(), a, b, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="within the 4 classes; got 7"):
        barrier(linear(), a, b, 7)
    with pytest.raises(ValueError, match="n_points must be at least 2"):
        barrier(linear(), a, b, 0, n_points=1)
    with pytest.raises(ValueError, match="training mode"):
        barrier(linear().train(), a, b, 0)
    with pytest.raises(ValueError, match="need finite losses"):
        barrier(lambda x: x * math.inf, a, b, 0)
    with pytest.raises(ValueError, match=r"class scores \(N, C\)"):
        barrier(lambda x: x.sum(1), a, b, 0)
    with pytest.raises(ValueError, match="lr must be a finite number > 0"):
        connect(linear(), a, b, 0, lr=0)
    with pytest.raises(ValueError, match="class 3 has 0 references"):
        connectivity_score(linear(), (a, torch.tensor([3, 3])), (b, torch.tensor([0, 1])))
    with pytest.raises(ValueError, match='"given" or "predicted"'):
        connectivity_score(linear(), a, (b, torch.tensor([0, 1])), labels="true")
    with pytest.raises(ValueError, match="column must be"):
        detect(linear(), a, b, (b, torch.tensor([0, 1])), column="height")
    with pytest.raises(ValueError, match="radius must be positive"):
        attack_beside_references(linear(), a, 0, b, radius=0)


def test_copies_of_a_sample_among_the_references_are_passed_over() -> None:
    """With more copies than one the others of the class were not looked at: "0 references"."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2).eval()
    x, y = torch.rand(12, 3), torch.arange(12) % 2
    best = int(nn.functional.cross_entropy(model(x), y, reduction="none")[y == 0].argmin()) * 2
    copies = (torch.cat([x, x[best].expand(6, 3)]), torch.cat([y, torch.zeros(6, dtype=torch.long)]))
    found = connectivity_score(model, (x[best : best + 1], y[best : best + 1]), copies, n_references=3)
    others = [i for i in range(12) if i != best]
    expected = connectivity_score(
        model, (x[best : best + 1], y[best : best + 1]), (x[others], y[others]), n_references=3
    )
    assert found.equals(expected)
