"""The factorial study: its networks are what they say, it resumes bit for bit, and known worlds come out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.studies import FactorialResult, FactorialStudy, seed_shares
from captum_andor.studies.factorial.grids import GridNetwork, cells_of_grid
from captum_andor.studies.factorial.variance_shares import Instability, grouped_products, shares_of, standardised

INPUTS = torch.rand(60, 6, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] * INPUTS[:, 1] + INPUTS[:, 2] > 0.7).long()


def make_model(seed):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def train(model, seed_order, frozen):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    order = torch.Generator().manual_seed(seed_order)
    for _ in range(12):
        rows = torch.randperm(len(INPUTS), generator=order)[:30]
        loss = nn.functional.cross_entropy(model(INPUTS[rows]), LABELS[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def analyzer():
    return ConfusingSampleAnalyzer(baselines=[0, 0.5], scores=("net_order", "flip_rate"))


def study(folder, **options):
    settings = {"levels": 4, "perturbations": (1e-2,), **options}
    return FactorialStudy(make_model, train, ["2", "4"], folder, **settings)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study")).run((INPUTS, LABELS), analyzer(), (INPUTS[:20], LABELS[:20]))


def same(a: nn.Module, b: nn.Module, names) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return all(torch.equal(one[name], two[name]) for name in names)


def test_cells_share_what_they_say(tmp_path) -> None:
    own = study(tmp_path)._networks
    low, high = own.cut("2")
    a, b, c = (own.start(GridNetwork("initialisation", "2", i, j, 4)) for i, j in ((1, 2), (1, 3), (0, 2)))
    assert same(a, b, low) and not same(a, b, high) and same(a, c, high) and not same(a, c, low)
    donor = own.donor(1, 4)
    trained = own.start(GridNetwork("trained low", "2", 1, 2, 4))
    assert same(trained, donor, low) and same(trained, a, high) and not same(donor, a, low)
    upper = own.start(GridNetwork("trained high", "2", 1, 3, 4))
    assert same(upper, own.donor(3, 4), high) and same(upper, a, low)
    first, moved = (
        own.start(GridNetwork("initialisation", "2", 2, 2, 4)),
        own.start(GridNetwork("moved", "2", 0, 2, 4, 0.01)),
    )
    ratio = moved.state_dict()["2.weight"] / first.state_dict()["2.weight"] - 1
    assert 0.005 < float(ratio.std()) < 0.02
    orders = [n.order_seed(0) - 1_000_000 for n in cells_of_grid("initialisation", "2", 4)]
    assert orders[:4] == [0, 1, 2, 3] and orders[4:8] == [1, 2, 3, 0]
    assert [GridNetwork("moved", "2", 3, i, 4, 0.01).order_seed(0) - 1_000_000 for i in range(4)] == [0, 2, 0, 2]


def test_tables_and_shares(result) -> None:
    n_cells = 3 * 2 * 16
    assert len(result.networks) == n_cells + 4 + 4 * 4  # four donors; four copies of each of four cells
    assert {"network", "kind", "layer", "low", "high", "accuracy", "loss", "low_moved"} <= set(result.networks.columns)
    cells = result.networks[result.networks["kind"] == "trained low"]
    assert (cells["low_moved"] > 0).all() and cells["test_accuracy"].between(0, 1).all()
    shares = result.shares()
    assert len(shares) == 3 * 2 * 4 and set(shares["factor"]) == {"low", "high", "order", "rest"}
    assert shares.groupby(["grid", "layer"])["share"].sum().to_numpy() == pytest.approx(1.0)
    first = shares.query("grid == 'initialisation' and layer == '2'")
    place = {n: i for i, n in enumerate(result.members)}
    cells = [place[n] for n in cells_of_grid("initialisation", "2", 4)]
    scores = result.arrays["score/net_order"][cells].swapaxes(0, 1).reshape(2, 4, 4, -1)
    wanted = seed_shares(scores)
    np.testing.assert_allclose(first[["share", "lower", "upper"]], wanted.to_numpy(), atol=1e-9)
    assert first["parameters"].unique() == pytest.approx(56 / (56 + 72 + 18))


def test_contrasts_values_instability_and_the_verdict(result) -> None:
    margin, score = result.shares("margin"), result.shares()
    both = result.contrast("flip_rate")["share"]
    np.testing.assert_allclose(both, score["share"] - result.shares("flip_rate")["share"], atol=1e-12)
    # the margin has one view: each view of the score counts by itself, as if all were one view's
    place = {n: i for i, n in enumerate(result.members)}
    cells = [place[n] for n in cells_of_grid("initialisation", "2", 4)]
    views = result.arrays["score/net_order"][cells].swapaxes(0, 1).reshape(2, 4, 4, -1)
    alone = np.concatenate(list(views), axis=-1)
    assert alone.shape == (4, 4, 120)
    low = result.contrast().iloc[0]["share"] + margin.iloc[0]["share"]
    each = [standardised(view[None].astype(float), True)[0] for view in views]
    assert low == pytest.approx(seed_shares(np.concatenate(each, -1), ranked=False).loc["low", "share"], abs=1e-9)
    assert len(result.shares("values")) == len(result.shares("flip_rate")) == len(score)
    assert list(result.low_less_high().columns) == ["grid", "layer", "share", "lower", "upper"]
    instability = result.instability()
    assert instability["size"].tolist() == [1e-2] and instability["cells"].tolist() == [4]
    assert instability["share"].between(-0.5, 2).all()
    assert (instability["lower"] < instability["share"]).all() and (instability["share"] < instability["upper"]).all()
    verdict = result.verdict()
    assert verdict.outcome in ("supported", "not supported", "cannot be judged") and "initial low layers" in str(
        verdict
    )


def test_retest_is_the_correlation_between_views(result) -> None:
    table = result.retest().set_index("score")
    ranked = standardised(result.arrays["score/flip_rate"].astype(float).swapaxes(0, 1), True)
    by_network = [np.corrcoef(a, b)[0, 1] for a, b in zip(*ranked, strict=True)]
    assert table.loc["flip_rate", "retest"] == pytest.approx(np.mean(by_network), abs=1e-9)
    differences = (ranked - ranked.mean(1, keepdims=True)).reshape(2, -1)
    wanted = 2 * (differences[0] @ differences[1]) / np.square(differences).sum()
    assert table.loc["flip_rate", "of_differences"] == pytest.approx(wanted, abs=1e-9)


def test_ranks_are_all_that_shares_need(result, tmp_path) -> None:
    small = result.in_ranks()
    assert small.arrays["score/net_order"].dtype == np.uint16
    small.save(tmp_path / "ranks.npz")
    again = FactorialResult.load(tmp_path / "ranks.npz")
    for score in ("net_order", "flip_rate", "margin", "values"):
        pd.testing.assert_frame_equal(again.shares(score), result.shares(score))
    assert again.verdict().text == result.verdict().text


def known(result: FactorialResult, low: float, seed: int = 0, unstable: float = 0.0) -> FactorialResult:
    """The same study with scores of which initial low parts decide a share, and copies differ by another."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(20, 400)) / np.sqrt(20)
    parts = {name: rng.normal(size=(4, 20)) @ basis for name in ("2", "4")}
    scores = rng.normal(size=(len(result.members), 1, 20)) @ basis * np.sqrt(1 - low)
    for i, network in enumerate(result.members):
        if network.kind == "initialisation":
            scores[i] += np.sqrt(low) * parts[network.layer][network.low]
        if network.kind == "moved":
            scores[i] = parts["2"][0] + np.sqrt(unstable / (1 - low)) * scores[i]
    scores = scores + rng.normal(size=400)
    arrays = {**result.arrays, "score/net_order": np.repeat(scores, 2, axis=1)}
    arrays["column/margin"] = rng.normal(size=(len(scores), 400))
    return FactorialResult(result.members, arrays, result.of_networks, result.scores, result.parameters)


@pytest.mark.parametrize(("low", "outcome"), [(0.97, "supported"), (0.0, "not supported")])
def test_verdicts_of_known_worlds(result, low, outcome) -> None:
    assert known(result, low).verdict().outcome == outcome


def test_claims_of_some_cut_or_another_score_need_wider_intervals(result) -> None:
    """Twice the levels of chance: two cuts of the initialisation grid; two scores, of which one was named first."""
    made = known(result, 0.85)
    made.arrays["score/flip_rate"] = made.arrays["score/net_order"]
    usual, wide = made.shares(), made.shares(confidence=0.9875)
    half = lambda table: (table["upper"] - table["lower"]) / 2  # noqa: E731
    assert (half(wide) >= 1.2 * half(usual)).all() and np.allclose(wide["share"], usual["share"])
    low = {c: made.shares(confidence=c).query("grid == 'initialisation' and factor == 'low'") for c in (0.975, 0.9875)}
    for score, confidence in (("net_order", 0.975), ("flip_rate", 0.9875)):
        supported = bool((low[confidence]["lower"] > 0.5).any())
        assert (made.verdict(score).outcome == "supported") == supported
    with pytest.raises(ValueError, match="confidence"):
        made.shares(confidence=95)


def test_shares_of_what_is_no_instability(result) -> None:
    made = known(result, 0.3, unstable=0.4)
    stable = made.shares(of="stable")
    assert set(stable["grid"]) == {"initialisation"}  # whose first cell the copies are of
    every = made.shares().query("grid == 'initialisation'").reset_index(drop=True)
    sums = stable.groupby(["grid", "layer"])["share"].sum()
    np.testing.assert_allclose(sums, 1.0)
    first = (every["grid"] == "initialisation") & (every["layer"] == "2")
    unstable = float(made.instability()["share"].iloc[0])
    kept = first & (every["factor"] != "rest")
    np.testing.assert_allclose(stable[kept]["share"], every[kept]["share"] / (1 - unstable))
    assert (stable["upper"] - stable["lower"] >= every["upper"] - every["lower"])[kept].all()
    verdict = made.verdict()
    assert "of what is no instability" in verdict.text and "so that no part can decide more than" in verdict.text
    lost = known(result, 0.3, unstable=3.0).verdict()
    assert lost.outcome == "cannot be judged" and "there is nothing to share out" in lost.text


def test_stable_shares_of_simulated_worlds_are_right() -> None:
    """.2 of all that differs and .4 of what is no instability, in the mean of 20 worlds."""
    found, held = [], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low, rest, copies = (
            rng.normal(size=(1, 8, 1, 300)),
            rng.normal(size=(1, 8, 8, 300)),
            rng.normal(size=(1, 8, 300)),
        )
        cells = np.sqrt(0.2) * low + np.sqrt(0.8) * rest
        groups = np.arange(300)
        instability = Instability.of(grouped_products(np.sqrt(0.5) * copies, groups), np.zeros(8, dtype=int))
        table = shares_of(cells, "latin", False, of_sample=groups, instability=instability).table()
        found.append(table.loc["low", "share"])
        held += bool(table.loc["low", "lower"] <= 0.4 <= table.loc["low", "upper"])
    assert np.mean(found) == pytest.approx(0.4, abs=0.02) and held >= 18


def test_trained_parts_of_different_donors_are_crossed(tmp_path) -> None:
    crossed = study(tmp_path, grids=["trained both"])
    own = crossed._networks
    low, high = own.cut("2")
    one, other = (own.start(GridNetwork("trained both", "2", i, j, 4)) for i, j in ((1, 2), (1, 1)))
    assert same(one, own.donor(1, 4), low) and same(one, own.donor(4 + 2, 4), high)
    assert same(other, own.donor(1, 4), low) and same(other, own.donor(4 + 1, 4), high)
    copy = own.start(GridNetwork("moved both", "2", 3, 1, 4, 0.01))
    ratio = copy.state_dict()["2.weight"] / own.donor(5, 4).state_dict()["2.weight"] - 1
    assert 0.003 < float(ratio.std()) < 0.03
    assert len(crossed.networks) == 8 + 2 * 16 + 16
    found = crossed.run((INPUTS, LABELS), analyzer(), (INPUTS[:20], LABELS[:20]))
    assert set(found.shares()["grid"]) == {"trained both"}
    with pytest.raises(ValueError, match="needs the grid 'initialisation'"):
        found.verdict()
    both = study(tmp_path / "two", grids=["initialisation", "trained both"])
    result = both.run((INPUTS, LABELS), analyzer())
    assert "With trained parts crossed, low ones decide up to" in result.verdict().text
    result.save(tmp_path / "two.npz")
    assert FactorialResult.load(tmp_path / "two.npz").verdict().text == result.verdict().text


def test_stable_shares_need_copies(result) -> None:
    kept = [i for i, n in enumerate(result.members) if n.kind != "moved"]
    arrays = {name: array[kept] for name, array in result.arrays.items()}
    numbers = {name: column[kept] for name, column in result.of_networks.items()}
    bare = FactorialResult(tuple(result.members[i] for i in kept), arrays, numbers, result.scores, result.parameters)
    with pytest.raises(ValueError, match=r'of="stable" needs 3 copies.*has fewer.*perturbations='):
        bare.shares(of="stable")
    assert "instability was not measured" in bare.verdict().text
    with pytest.raises(ValueError, match='of must be "all" or "stable"'):
        result.shares(of="most")


def test_a_world_that_leaves_the_question_open(result) -> None:
    verdict = known(result, 0.5).verdict()
    assert verdict.outcome in ("cannot be judged", "not supported", "supported")
    assert "net_order" in verdict.text


def test_files_hold_everything(result, tmp_path) -> None:
    result.save(tmp_path / "result.npz")
    again = FactorialResult.load(tmp_path / "result.npz")
    pd.testing.assert_frame_equal(again.shares(), result.shares())
    pd.testing.assert_frame_equal(again.networks, result.networks)
    assert again.verdict().text == result.verdict().text
    (tmp_path / "other.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="other.npz"):
        FactorialResult.load(tmp_path / "other.npz")


def test_mean_products_are_all_that_shares_need(result, tmp_path) -> None:
    """To 5e-4 in this study of four levels: 16-bit products are off by 1.5e-5, which few pairs of cells average out."""
    result.in_products("values", "flip_rate").in_ranks().save(tmp_path / "small.npz")
    small = FactorialResult.load(tmp_path / "small.npz")
    assert "values" not in small.arrays and "score/flip_rate" not in small.arrays
    for score in ("net_order", "values", "flip_rate"):
        for of in ("all", "stable"):
            pd.testing.assert_frame_equal(small.shares(score, of=of), result.shares(score, of=of), atol=5e-4)
        pd.testing.assert_frame_equal(small.instability(score), result.instability(score), atol=5e-4)
    for other in ("values", "flip_rate"):
        pd.testing.assert_frame_equal(small.contrast(other), result.contrast(other), atol=5e-4)
        pd.testing.assert_frame_equal(small.contrast("margin", other), result.contrast("margin", other), atol=5e-4)
    assert small.verdict("flip_rate").outcome == result.verdict("flip_rate").outcome
    assert small.retest()["score"].tolist() == ["net_order"]
    with pytest.raises(ValueError, match="score must be one of"):
        small.in_products("luck")
    with pytest.raises(ValueError, match="score must be one of"):
        small.shares("luck")


def test_sets_are_the_most_suspicious_samples(result) -> None:
    sets = result.in_sets(0.1)
    score, own = result.arrays["score/net_order"], sets.arrays["score/net_order"]
    np.testing.assert_allclose(own.sum(-1), 6.0, rtol=1e-6)  # of 60 samples, also where they are tied
    assert set(np.argsort(score[3, 1])[-6:]) == set(np.flatnonzero(own[3, 1]))
    tied = sets.arrays["score/flip_rate"]
    edge = result.arrays["score/flip_rate"] == np.sort(result.arrays["score/flip_rate"], -1)[..., -6, None]
    assert ((tied > 0) & (tied < 1) <= edge).all()
    place = {n: i for i, n in enumerate(result.members)}
    cells = [place[n] for n in cells_of_grid("trained low", "2", 4)]
    wanted = seed_shares(own[cells].swapaxes(0, 1).reshape(2, 4, 4, -1))
    found = sets.shares().query("grid == 'trained low' and layer == '2'")
    np.testing.assert_allclose(found[["share", "lower", "upper"]], wanted.to_numpy(), atol=1e-9)
    for fraction in (0.001, 0.999):
        with pytest.raises(ValueError, match="fraction=.* of 60 samples makes a set of"):
            result.in_sets(fraction)
    with pytest.raises(ValueError, match="fraction must"):
        result.in_sets(1.0)


def test_the_figure(result) -> None:
    fig, axes = result.plot(use_pyplot=False)
    assert [axis.get_title() for axis in axes] == ["initialisation", "trained low", "trained high"]
    assert [t.get_text() for t in axes[0].get_xticklabels()] == ["2", "4"] and fig is axes[0].figure


def test_an_interrupted_study_goes_on_bit_for_bit(tmp_path, result) -> None:
    class StoppedError(Exception):
        pass

    calls = []

    def stops(model, seed_order, frozen):
        calls.append(seed_order)
        if len(calls) == 10:
            raise StoppedError
        return train(model, seed_order, frozen)

    own = FactorialStudy(make_model, stops, ["2", "4"], tmp_path, levels=4, perturbations=(1e-2,))
    with pytest.raises(StoppedError):
        own.train()
    again = study(tmp_path).run((INPUTS, LABELS), analyzer(), (INPUTS[:20], LABELS[:20]))
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    assert len(calls) == 10


def test_two_processes_share_a_study(tmp_path, result) -> None:
    code = (
        f"import sys; sys.path[:0] = [r'{Path(__file__).parent}']; import test_factorial as t; "
        f"t.study(r'{tmp_path}').run((t.INPUTS, t.LABELS), t.analyzer(), (t.INPUTS[:20], t.LABELS[:20]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"})
        for rank in range(2)
    ]
    assert [process.wait(300) for process in processes] == [0, 0]
    again = study(tmp_path).run((INPUTS, LABELS), analyzer(), (INPUTS[:20], LABELS[:20]))
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


def test_networks_trained_elsewhere(tmp_path) -> None:
    own = study(tmp_path)
    given = make_model(5)
    own.add(own.networks[0], given)
    assert same(own.network(own.networks[0]), given, given.state_dict())
    with pytest.raises(ValueError, match="name must be one of"):
        own.network("nothing")
    with pytest.raises(ValueError, match="parameters and buffers"):
        own.add(own.networks[0], nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 3}, "levels must be 4"),
        ({"grids": ["trained"]}, "grids must be some of"),
        ({"grids": []}, "grids must be some of"),
        ({"perturbations": (2.0,)}, "perturbations must lie"),
    ],
)
def test_bad_settings(tmp_path, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        study(tmp_path, **options)


def test_other_settings_are_refused(tmp_path) -> None:
    study(tmp_path, settings={"epochs": 3}).add("donor-000", make_model(0))
    with pytest.raises(ValueError, match="study of other settings"):
        study(tmp_path, settings={"epochs": 4})
    with pytest.raises(ValueError, match="score must be one of"):
        known_result = FactorialResult((), {}, {}, ("net_order",), {})
        known_result.shares("nothing")


def test_what_is_evaluated_may_be_a_faster_form_of_the_network(tmp_path) -> None:
    """Batch norm folded into convolutions: scores stay, tables lie in a folder of their own."""

    def make_convolution(seed):
        norm = nn.BatchNorm2d(4)
        nn.init.uniform_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        return nn.Sequential(nn.Conv2d(1, 4, 2), norm, nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).double()

    def folded(model):
        norms.append(sum(isinstance(part, nn.BatchNorm2d) for part in model.modules()))
        folded_once = nn.utils.fusion.fuse_conv_bn_eval(model[0], model[1])
        return nn.Sequential(folded_once, *model[2:]).eval()

    norms: list[int] = []
    images = INPUTS.reshape(60, 1, 2, 3).double()  # in float32 the bound would depend on the processor
    small = FactorialStudy(
        make_convolution, lambda model, order, frozen: model, ["3"], tmp_path, 4, ["initialisation"], ()
    )
    plain = small.run((images, LABELS), analyzer())
    fast = small.run((images, LABELS), analyzer(), evaluated_as=folded)
    assert norms == [1] * 16 and len(list(tmp_path.glob("tables-*"))) == 2
    for name in ("score/net_order", "score/flip_rate"):
        assert fast.arrays[name] == pytest.approx(plain.arrays[name], abs=1e-9)


def test_a_damaged_network_is_trained_again_and_nothing_else_is(tmp_path) -> None:
    orders = []

    def counted(model, seed_order, frozen):
        orders.append(seed_order)
        return model

    def run():
        small = FactorialStudy(make_model, counted, ["2"], tmp_path, 4, ["initialisation"], ())
        return small.run((INPUTS, LABELS), analyzer())

    first = run()
    assert len(orders) == 16
    run()
    assert len(orders) == 16
    path = tmp_path / "networks" / "initialisation-2-001-002.pt"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.warns(UserWarning, match="trained again"):
        mended = run()
    assert len(orders) == 17
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, mended.arrays[name])


def test_columns_of_training_have_shares_and_the_right_length(tmp_path) -> None:
    def early(model, seed_order, frozen):
        return model, {"early_loss": np.arange(60.0) * (1 + seed_order % 7)}

    small = FactorialStudy(make_model, early, ["2"], tmp_path, 4, ["initialisation"], ())
    with pytest.raises(ValueError, match="60 numbers in column 'early_loss'; the study has 50"):
        small.run((INPUTS[:50], LABELS[:50]), analyzer())
    with pytest.raises(TypeError, match="train must return"):
        FactorialStudy(make_model, lambda *_: 1, ["2"], tmp_path / "other", 4, ["initialisation"], ()).train()


def test_a_cut_that_does_not_part_the_network_is_named(tmp_path) -> None:
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.body = nn.Linear(8, 2), nn.Linear(6, 8)

        def forward(self, x):
            return self.head(self.body(x).relu())

    own = FactorialStudy(lambda seed: Backwards(), train, "body", tmp_path, levels=4, grids=["initialisation"])
    with pytest.raises(
        ValueError, match="layer 'body' does not part the network: 'head' is registered below it and ru"
    ):
        own.run((INPUTS, LABELS), analyzer())
    assert not (tmp_path / "networks").exists()


def test_unequal_levels_are_named() -> None:
    with pytest.raises(ValueError, match="of 6 low and 8 high levels; a Latin square .* has as many of each"):
        seed_shares(np.random.default_rng(0).normal(size=(6, 8, 50)))
    assert len(seed_shares(np.random.default_rng(0).normal(size=(6, 8, 50)), order=None)) == 3
