"""Self-organizing maps and codes of layers: closed forms, brute force, laws, controls, bad input."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from networks import rows
from sklearn.metrics import mutual_info_score
from torch import Tensor, nn

from captum_andor.studies.witnesses.code_measures import (
    class_compactness,
    cosine_distance,
    effective_units,
    mutual_information,
    normalised_entropy,
    participation_ratio,
    unit_labels,
)
from captum_andor.studies.witnesses.codes import LayerCodes
from captum_andor.studies.witnesses.self_organizing_map import SelfOrganizingMap


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 3)
    ).eval()


def blobs(count: int = 120, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % 3
    x = rows(count, 1, 6, 6, seed=seed).float() * 0.3
    for c in range(3):
        x[labels == c, :, c * 2 : c * 2 + 2] += 1.5
    return x, labels


def trained() -> nn.Sequential:
    model, (x, y) = network(), blobs()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


# Maps


@pytest.mark.parametrize("grid", [(1, 12), (12, 1)])
def test_a_line_keeps_its_order(grid: tuple[int, int]) -> None:
    line = rows(300, 1).sort(dim=0).values @ torch.tensor([[3.0, -2.0, 1.0]]).double()
    units = SelfOrganizingMap(grid).fit(line).transform(line)
    steps = units.diff()
    assert bool((steps >= 0).all() or (steps <= 0).all())
    assert len(units.unique()) >= 11


def test_a_square_is_mapped_without_folds() -> None:
    square = torch.rand(1500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    som = SelfOrganizingMap((8, 8)).fit(square)
    assert som.topographic_error(square) < 0.05
    assert som.quantization_error(square) < 0.07  # a cell is 1/8 wide: 0.048 on average from its centre
    assert len(som.transform(square).unique()) == 64


def test_units_are_the_nearest_by_brute_force() -> None:
    data = rows(40, 5)
    som = SelfOrganizingMap((3, 4), epochs=3).fit(data)
    assert som.weights is not None
    expected = [min(range(12), key=lambda u: float((x - som.weights[u]).norm())) for x in data]
    assert som.transform(data).tolist() == expected
    assert som.quantization_error(data) == pytest.approx(
        np.mean([float((x - som.weights[u]).norm()) for x, u in zip(data, expected, strict=True)])
    )


def test_the_last_epoch_is_the_batch_rule() -> None:
    data = rows(30, 3)
    before, after = (SelfOrganizingMap((3, 3), epochs=e) for e in (1, 1))
    before.fit(data)
    start = before._start(data)
    units = torch.cdist(data, start).argmin(1)
    width = 1.5
    for u in range(9):
        near = torch.tensor(
            [math.exp(-((u // 3 - int(b) // 3) ** 2 + (u % 3 - int(b) % 3) ** 2) / (2 * width**2)) for b in units]
        ).double()
        torch.testing.assert_close(after.fit(data).weights[u], (near[:, None] * data).sum(0) / near.sum())


def test_it_fits_better_than_minisom() -> None:
    minisom = pytest.importorskip("minisom")
    data = rows(200, 6)
    theirs = minisom.MiniSom(6, 6, 6, sigma=3, random_seed=0)
    theirs._weights = SelfOrganizingMap((6, 6))._start(data).numpy().reshape(6, 6, 6)
    theirs.train_batch_offline(data.numpy(), 20)
    ours = SelfOrganizingMap((6, 6)).fit(data)
    assert ours.quantization_error(data) <= theirs.quantization_error(data.numpy())
    theirs._weights = ours.weights.numpy().reshape(6, 6, 6)  # the same weights: the same errors
    assert ours.quantization_error(data) == pytest.approx(theirs.quantization_error(data.numpy()))
    assert ours.topographic_error(data) == pytest.approx(theirs.topographic_error(data.numpy()))


@given(st.integers(0, 1000), st.integers(6, 30), st.integers(2, 4))  # fewer samples leave units at equal distances
@settings(max_examples=25, deadline=None)
def test_maps_do_not_depend_on_the_order_of_the_data(seed: int, count: int, features: int) -> None:
    data = rows(count, features, seed=seed)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    one, other = (SelfOrganizingMap((3, 3), epochs=5).fit(x) for x in (data, data[order]))
    torch.testing.assert_close(one.weights, other.weights, atol=1e-6, rtol=1e-6)


def test_constant_data_and_one_unit() -> None:
    same = torch.ones(5, 3, dtype=torch.float64)
    assert SelfOrganizingMap((2, 2)).fit(same).quantization_error(same) < 1e-12
    assert SelfOrganizingMap((1, 1)).fit(rows(5, 3)).topographic_error(rows(5, 3)) == 0


def test_bad_data_of_maps() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, features\); got \(3,\)"):
        SelfOrganizingMap().fit(torch.ones(3))
    with pytest.raises(ValueError, match="finite; row 1 is not"):
        SelfOrganizingMap().fit(torch.tensor([[0.0], [math.nan]]))
    with pytest.raises(RuntimeError, match=r"call fit\(data\) first"):
        SelfOrganizingMap().transform(torch.ones(2, 2))
    with pytest.raises(ValueError, match="the 2 features"):
        SelfOrganizingMap((2, 2)).fit(rows(5, 2)).transform(rows(5, 3))
    with pytest.raises(ValueError, match="two samples at least"):
        SelfOrganizingMap().fit(rows(1, 2))


# Measures


def test_measures_against_closed_forms() -> None:
    units = torch.tensor([0, 1, 2, 3])
    assert normalised_entropy(units, 400) == pytest.approx(1)
    assert effective_units(units) == pytest.approx(4)
    assert normalised_entropy(torch.zeros(4, dtype=torch.int64), 400) == 0
    assert cosine_distance(torch.tensor([[1.0, 0.0], [0.0, 2.0]])) == pytest.approx(1)
    assert cosine_distance(torch.tensor([[1.0, 0.0], [3.0, 0.0]])) == pytest.approx(0)
    assert participation_ratio(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])) == pytest.approx(2)
    assert participation_ratio(torch.tensor([[1.0, 5.0], [-1.0, 5.0]])) == pytest.approx(1)
    assert mutual_information(torch.tensor([0, 0, 3, 3]), torch.tensor([1, 1, 0, 0])) == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=3, max_size=40))
@settings(max_examples=50, deadline=None)
def test_measures_against_brute_force(pairs: list[tuple[int, int]]) -> None:
    units, labels = (torch.tensor(column) for column in zip(*pairs, strict=True))
    distances = SelfOrganizingMap((3, 3))._grid_distances()
    entropy = mutual_info_score(labels, labels)
    if entropy > 0:
        assert mutual_information(units, labels) == pytest.approx(mutual_info_score(units, labels) / entropy, abs=1e-9)
    every = [(i, j) for i in range(len(pairs)) for j in range(len(pairs)) if i != j]
    within = [float(distances[units[i], units[j]]) for i, j in every if labels[i] == labels[j]]
    overall = np.mean([float(distances[units[i], units[j]]) for i, j in every])
    found = class_compactness(units, labels, distances)
    assert math.isnan(found) if not within or not overall else found == pytest.approx(np.mean(within) / overall)
    votes = unit_labels(units, labels, distances)
    for u in range(9):
        here = labels[units == u]
        if len(here):
            assert votes[u] == torch.bincount(here).argmax()
        else:
            filled = [w for w in range(9) if bool((units == w).any())]
            nearest = min(float(distances[u, w]) for w in filled)
            assert votes[u] in [votes[w] for w in filled if float(distances[u, w]) == nearest]


def test_the_cosine_distance_is_that_of_all_pairs() -> None:
    x = rows(20, 4)
    pairs = [1 - float(nn.functional.cosine_similarity(x[i], x[j], dim=0)) for i in range(20) for j in range(i)]
    assert cosine_distance(x) == pytest.approx(np.mean(pairs))


# Codes


def test_codes_are_those_of_the_pooled_layer() -> None:
    model, (x, _) = network(), blobs()
    codes = LayerCodes(model, ["1", "3"], grid=(4, 5)).fit(x)
    features = model[:4](x).detach().double().mean((2, 3))
    standard = (features - features.mean(0)) / features.std(0, unbiased=False)
    expected = SelfOrganizingMap((4, 5)).fit(standard).transform(standard)
    assert codes.transform(x)[:, 1].equal(expected)
    assert LayerCodes(model, ["1", "3"], grid=(4, 5), batch_size=7).fit_transform(x).equal(codes.transform(x))


@pytest.mark.parametrize("pooling", ["mean", "max", "flatten", lambda x: x.flatten(2).std(2)])
def test_poolings(pooling: Any) -> None:
    assert LayerCodes(network(), ["0"], pooling=pooling, grid=(3, 3)).fit_transform(blobs()[0]).shape == (120, 1)


def test_homogeneity_and_other_labels_by_hand() -> None:
    codes = LayerCodes(network(), ["0"], grid=(2, 2))
    codes._trained = (torch.tensor([[0], [0], [0], [1]]), torch.tensor([0, 0, 1, 1]))
    units = torch.tensor([[0], [1], [2]])
    assert codes._homogeneity(units)[:, 0].tolist() == [0.75, 0.25, 0]
    other = codes.other_labels(units, torch.tensor([0, 0, 0]))[:, 0]
    assert other[:2].tolist() == pytest.approx([1 / 3, 1]) and math.isnan(float(other[2]))
    own = codes.other_labels(codes._trained[0], codes._trained[1], trained=True)[:, 0]
    assert own[:3].tolist() == [0.5, 0.5, 1] and math.isnan(float(own[3]))


def test_training_brings_label_information_and_shuffling_takes_it() -> None:
    table = LayerCodes(trained(), ["1", "3", "5"], grid=(5, 5)).measures(blobs(240), untrained=network(1))
    assert list(table["network"]) == ["trained"] * 3 + ["untrained"] * 3
    last = table[table["layer"] == "5"].set_index("network")
    assert last.loc["trained", "label_vote"] > 0.95
    assert last.loc["trained", "label_vote_shuffled"] < 0.5
    assert last.loc["trained", "mutual_information"] > last.loc["trained", "mutual_information_shuffled"] + 0.2
    assert last.loc["trained", "compactness"] < 0.7
    assert last.loc["trained", "compactness_shuffled"] == pytest.approx(1, abs=0.05)
    assert (table[["quantization_error", "bmu_entropy", "participation_ratio"]] > 0).all(axis=None)
    again = LayerCodes(trained(), ["1", "3", "5"], grid=(5, 5)).measures(blobs(240), untrained=network(1))
    assert table.equals(again)


def test_a_vote_is_held_out() -> None:
    x, y = rows(200, 4).float(), torch.arange(200) % 2  # labels that no code can know
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).eval()
    table = LayerCodes(model, ["0"], grid=(12, 12)).measures((x, y))
    assert 0.3 < table["label_vote"][0] < 0.7


def test_attacks_move_codes_further_than_noise_of_the_same_size() -> None:
    model, data = trained(), blobs(seed=1)
    codes = LayerCodes(model, ["1", "5"], grid=(6, 6)).fit(data)

    def attack(x: Tensor, y: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        gradient = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), x)[0]
        return (x + 0.4 * gradient.sign()).detach()

    table = codes.attack(data, attack).set_index("layer")
    assert table.loc["5", "changed"] > table.loc["5", "changed_noise"]
    assert table.loc["5", "low"] <= table.loc["5", "difference"] <= table.loc["5", "high"]
    assert table.loc["5", "distance"] > table.loc["5", "distance_noise"]
    assert table.attrs["success"] >= table.attrs["success_noise"]
    still = codes.attack(data, lambda x, y: x)
    assert (still[["changed", "changed_noise", "distance"]] == 0).all(axis=None)


def test_the_noise_has_the_norms_of_the_attack() -> None:
    from captum_andor._utils.datasets import read_samples
    from captum_andor.studies.witnesses.perturbed_inputs import perturbed

    change = rows(10, 1, 6, 6).float()
    x, _ = blobs(10)
    samples = read_samples((x, torch.zeros(10).long()), labelled=True)
    _, after, noisy = perturbed(network(), samples, lambda rows, _: rows + change, 64, 0, False)
    for order in (1, 2, math.inf):
        norms = [torch.linalg.vector_norm((z - x).flatten(1), order, dim=1) for z in (after, noisy)]
        torch.testing.assert_close(*norms, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(after, noisy)


def test_figures() -> None:
    codes = LayerCodes(trained(), ["1", "5"], grid=(4, 4)).fit(blobs())
    fig, axes = codes.plot_maps(blobs(), use_pyplot=False)
    assert [axis.get_title() for axis in axes] == ["1", "5"] and fig is not None
    table = codes.measures(blobs(), untrained=network(2), n_shuffles=2)
    fig, axes = LayerCodes.plot_measures(table, use_pyplot=False)
    assert len(axes) == 9
    fig, axes = LayerCodes.plot_measures(table, ["label_vote"], use_pyplot=False)
    assert len(axes[0].lines) == 4
    plt.close("all")


def test_bad_input() -> None:
    model = network()
    with pytest.raises(ValueError, match="no 'conv9'"):
        LayerCodes(model, ["conv9"])
    with pytest.raises(ValueError, match="each once"):
        LayerCodes(model, ["0", "0"])
    with pytest.raises(TypeError, match="torch.nn.Module"):
        LayerCodes(lambda x: x, ["0"])
    with pytest.raises(ValueError, match="pooling must be one of"):
        LayerCodes(model, ["0"], pooling="median")
    with pytest.raises(ValueError, match="training mode"):
        LayerCodes(network().train(), ["0"]).fit(blobs()[0])
    with pytest.raises(RuntimeError, match=r"call fit\(dataset\) first"):
        LayerCodes(model, ["0"]).transform(blobs()[0])
    with pytest.raises(ValueError, match="fitted without labels"):
        LayerCodes(model, ["0"], grid=(2, 2)).fit(blobs()[0]).other_labels(torch.zeros(1, 1).long(), torch.tensor([0]))
    with pytest.raises(ValueError, match="no labels"):
        LayerCodes(model, ["0"]).measures(blobs()[0])
    with pytest.raises(ValueError, match="held_out must lie between"):
        LayerCodes(model, ["0"]).measures(blobs(), held_out=1.0)
    with pytest.raises(ValueError, match="attack must return inputs of shape"):
        LayerCodes(model, ["0"], grid=(2, 2)).fit(blobs()).attack(blobs(), lambda x, y: x[:1])
    with pytest.raises(ValueError, match="columns must be among"):
        LayerCodes.plot_measures(LayerCodes(model, ["0"], grid=(2, 2)).measures(blobs()), ["entropy"])

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.part(self.part(x))

    with pytest.raises(ValueError, match="several times in a pass"):
        LayerCodes(Twice().eval(), ["part"]).fit(torch.rand(5, 4))
