"""The layer-swap study: it says what is so where the answer is known, and keeps what it computed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer, LayerSwapResult, LayerSwapStudy
from captum_andor._utils.statistics import partial_spearman, spearman
from captum_andor.study.cell_agreement import Agreement
from captum_andor.study.cells import NEW, OTHER_ORDER, Cell, Network, cells_of
from captum_andor.study.contrasts import at_equal_shares, confidence_of, judged
from captum_andor.study.estimates import Estimate, Measured, correlation, overlap_of_sets, residuals
from captum_andor.study.network_tables import NetworkTable

LOW, HIGH = Cell("low", "trainable", "high"), Cell("high", "trainable", "high")
CELLS = (NEW, OTHER_ORDER, LOW, HIGH)


# --- worlds of known answer ------------------------------------------------------------------------------------------


def world(
    low: float, high: float, n_pairs: int, n_samples: int, seed: int, whole: float = 0.0, accuracy: float = 0.95
) -> LayerSwapResult:
    """A study whose scores are sums by construction: what all share, a low and a high part of each network, noise.

    ``whole`` is how much the similarity of v and the score have in common from pair to pair.
    """
    draw = np.random.default_rng(seed)
    common = draw.normal(size=n_samples)
    tables, similarity = {}, {}
    for pair in range(n_pairs):
        parts = {"low": draw.normal(size=(2, n_samples)), "high": draw.normal(size=(2, n_samples))}
        for cell in (None, *CELLS):
            same = {"low": cell in (None, LOW, OTHER_ORDER), "high": cell in (None, HIGH, OTHER_ORDER)}
            own = {part: parts[part][0 if same[part] else 1] for part in parts}
            score = common + low * own["low"] + high * own["high"] + 0.5 * draw.normal(size=n_samples)
            noise = {name: draw.normal(size=n_samples) for name in ("loss", "margin", "ink", "n_active")}
            noise["loss"] = np.abs(noise["loss"]) + 0.1
            tables[Network(pair, cell)] = NetworkTable(
                {"net_order": score[None]}, noise, 0.5 if cell == HIGH and accuracy < 0.9 else 0.95, float("nan"), []
            )
            if cell is not None:
                agree = low**2 * same["low"] + high**2 * same["high"]
                similarity[Network(pair, cell)] = 0.5 + whole * agree + 0.05 * draw.normal(size=n_samples)
    agreement = Agreement(tables, similarity, CELLS, n_pairs)
    shares = {LOW: 0.5, HIGH: 0.5, NEW: 0.0, OTHER_ORDER: 1.0}
    return LayerSwapResult(agreement, {"parameters": shares, "layers": shares}, ["net_order"], 0.02, None)


def test_low_parts_that_decide_are_supported_and_high_ones_are_not() -> None:
    assert [world(1.0, 0.2, 6, 300, seed).verdict().outcome for seed in range(5)] == ["supported"] * 5
    found = [world(0.2, 1.0, 6, 300, seed).verdict() for seed in range(5)]
    assert {(v.outcome, v.decides) for v in found} == {("not supported", "high")}


def test_where_neither_decides_enough_data_say_neither_and_few_say_nothing() -> None:
    found = [world(0.5, 0.5, 20, 600, seed).verdict() for seed in range(3)]
    assert {(v.outcome, v.decides) for v in found} <= {("not supported", "neither"), ("not supported", "high")}
    small = world(0.5, 0.5, 3, 60, 0).verdict()
    assert small.outcome == "cannot be judged" and "pairs" in small.text


def test_scores_beside_the_primary_share_five_percent() -> None:
    assert confidence_of("a", ["a", "b", "c"]) == 0.95
    assert confidence_of("b", ["a", "b", "c"]) == confidence_of("loss", ["a", "b", "c"]) == pytest.approx(1 - 0.05 / 3)
    made = world(0.7, 0.4, 4, 100, 1)
    made.scores = ("other", "net_order")
    first = world(0.7, 0.4, 4, 100, 1).verdict("net_order")
    beside = made.verdict("net_order")
    assert "(97.5%)" in beside.text and beside.contrast.mean == first.contrast.mean
    assert beside.contrast.high - beside.contrast.low > 1.1 * (first.contrast.high - first.contrast.low)


@pytest.mark.parametrize(("n_pairs", "n_samples"), [(3, 200), (8, 100)])
def test_a_false_verdict_is_as_rare_as_stated(n_pairs: int, n_samples: int) -> None:
    worlds = (world(0.6, 0.6, n_pairs, n_samples, seed)._agreement for seed in range(200))
    found = [w.contrast({LOW: 1.0, HIGH: -1.0}, "net_order", "given_shared") for w in worlds]
    for confidence in (0.95, 1 - 0.05 / 6):  # the second judges one of six scores
        each = [contrast.estimate(confidence) for contrast in found]
        assert sum(c.low > 0 for c in each) <= stats.binom.ppf(0.999, 200, (1 - confidence) / 2)
        assert stats.binom.ppf(0.001, 200, confidence) <= sum(c.low <= 0 <= c.high for c in each)


def test_a_supported_verdict_does_not_say_that_it_is_about_confusion() -> None:
    for seed in range(3):
        verdict = world(0.9, 0.3, 8, 400, seed).verdict()
        assert verdict.outcome == "supported" and "FactorialStudy tells" in verdict.text
        assert not hasattr(verdict, "about_confusion")


def test_equal_shares_across_a_wide_gap_are_refused() -> None:
    result = world(1.0, 0.2, 6, 300, 0)
    result._shares["parameters"] = {LOW: 0.45, HIGH: 0.95, NEW: 0.0, OTHER_ORDER: 1.0}
    verdict = result.verdict()
    assert verdict.outcome == "cannot be judged" and "across a gap of 0.95" in verdict.text
    table = result.contrasts().set_index(["compared", "measure"])
    refused = table.loc[("equal shares of parameters", "given_shared")]
    assert np.isnan(refused["difference"]) and "cut it there, too" in refused["note"]
    assert not table.loc[f"cut at {LOW.layer}", "difference"].isna().any()


def test_a_row_for_every_pair_from_which_means_can_be_recomputed(tmp_path) -> None:
    result = world(0.9, 0.3, 5, 200, 0)
    pairs = result.pairs()
    assert len(pairs) == 5 * len(CELLS)
    means = pairs.groupby("cell")[["spearman", "given_shared", "given_loss", "iou", "values"]].mean()
    cells = result.cells().set_index("cell")
    for name in means:
        np.testing.assert_allclose(means[name], cells.loc[means.index, name], atol=1e-12)
    result.save(tmp_path)
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) > len(pairs)


def test_cells_of_another_accuracy_are_not_compared() -> None:
    result = world(1.0, 0.2, 6, 300, 0, accuracy=0.5)
    assert result.verdict().outcome == "cannot be judged"
    assert not result.cells().set_index("cell").loc[HIGH.name, "matched"]
    table = result.contrasts()
    assert table["difference"].isna().all() and table["note"].str.contains("accuracy").all()


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_agreement_is_the_partial_rank_correlation_of_scipys_ranks() -> None:
    agreement = world(0.8, 0.4, 4, 200, 0)._agreement
    tables = agreement.tables
    for pair in range(4):
        a, b = tables[Network(pair)], tables[Network(pair, LOW)]
        plain = spearman(a.scores["net_order"][0], b.scores["net_order"][0])
        assert agreement.of(LOW, "net_order", "spearman").values[pair] == pytest.approx(plain, abs=1e-12)
        others = [tables[Network(p, c)].scores["net_order"][0] for p in range(4) if p != pair for c in (None, NEW)]
        shared = np.mean([stats.rankdata(x) for x in others], axis=0)
        given = [shared, a.columns["n_active"], b.columns["n_active"], a.columns["ink"]]
        expected = partial_spearman(a.scores["net_order"][0], b.scores["net_order"][0], given)
        assert agreement.of(LOW, "net_order", "given_shared").values[pair] == pytest.approx(expected, abs=1e-9)


def test_influence_predicts_what_leaving_a_sample_out_does() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=400)
    y = x + draw.normal(size=400)
    a, b = (residuals(stats.rankdata(z), []) for z in (x, y))
    whole = correlation([a], [b])
    moved = [np.corrcoef(np.delete(a, i), np.delete(b, i))[0, 1] - whole.values[0] for i in range(400)]
    assert np.corrcoef(moved, -whole.influence[0])[0, 1] > 0.999
    assert np.polyfit(-whole.influence[0] / 400, moved, 1)[0] == pytest.approx(1.0, abs=0.02)
    s, t = ((z > 1.0).astype(float) for z in (x, y))
    sets = overlap_of_sets([s], [t])
    assert sets.values[0] == (s * t).sum() / np.maximum(s, t).sum()
    assert sets.influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 6])  # the second judges one of six scores
def test_an_interval_over_pairs_and_samples_covers_both(confidence: float) -> None:
    """Values with an effect of each pair, of each sample and of both, whose mean is known to be 0."""
    draw, covered = np.random.default_rng(0), 0
    for _ in range(400):
        table = 0.3 * draw.normal(size=(6, 1)) + 2 * draw.normal(size=(1, 40)) + draw.normal(size=(6, 40))
        means = table.mean(1)
        estimate = Measured(means, table - means[:, None]).estimate(confidence)
        covered += estimate.low <= 0 <= estimate.high
    assert stats.binom.ppf(0.001, 400, confidence) <= covered <= stats.binom.ppf(0.9999, 400, (1 + confidence) / 2)


def test_pairs_needed_give_the_power_that_they_promise() -> None:
    spread, difference = 0.2, 0.1
    pairs = int(Estimate(0.0, -1.0, 1.0, spread, 0.0, 5).pairs_needed(difference))
    draw = np.random.default_rng(0)
    seen = [stats.ttest_1samp(draw.normal(difference, spread, pairs), 0).pvalue < 0.05 for _ in range(2000)]
    assert 0.78 <= np.mean(seen) <= 0.86
    assert Estimate(0.0, -1.0, 1.0, spread, 0.01, 5).pairs_needed(difference) == np.inf
    assert Estimate(0.0, -1.0, 1.0, spread, 0.0, 5).pairs_needed(difference, confidence=0.99) > pairs


def test_a_verdict_names_the_pairs_that_its_own_intervals_take() -> None:
    clear, unclear = Estimate(0.12, 0.02, 0.22, 0.1, 0.0, 6), Estimate(0.2, -0.1, 0.5, 0.3, 0.0, 6)
    beyond = judged(clear, unclear, 0.1, "margin")
    assert beyond.outcome == "cannot be judged" and beyond.pairs_needed == unclear.pairs_needed(0.1) > 60
    assert f"takes {beyond.pairs_needed:.0f} pairs; there are 6" in str(beyond)
    both = judged(Estimate(0.05, -0.1, 0.2, 0.2, 0.0, 6), clear, 0.1, "margin", confidence=0.99)
    assert both.pairs_needed == Estimate(0.05, -0.1, 0.2, 0.2, 0.0, 6).pairs_needed(0.1, confidence=0.99)


def test_equal_shares_are_interpolated_between_cuts_and_nothing_is_extrapolated() -> None:
    cells = list(cells_of(["a", "b"], ["trainable"], None))
    low = {layer: Cell("low", "trainable", layer) for layer in "ab"}
    high = {layer: Cell("high", "trainable", layer) for layer in "ab"}
    shares = {low["a"]: 0.2, low["b"]: 0.6, high["b"]: 0.4, high["a"]: 0.8}
    left, right, gap = at_equal_shares(shares, cells, "trainable")  # type: ignore[misc]
    assert gap == pytest.approx(0.4)  # at shares .2, .4, .6
    assert left == pytest.approx({NEW: 0.0, low["a"]: 0.5, low["b"]: 0.5})
    assert right == pytest.approx({NEW: 0.5 / 3, high["b"]: 1 / 3 * (0.5 + 1 + 0.5), high["a"]: 0.5 / 3})
    assert at_equal_shares(shares, [NEW, low["a"]], "trainable") is None


# --- networks by construction -----------------------------------------------------------------------------------------


class Branches(nn.Module):
    """The sum of a common part, a low and a high one: what is drawn at random in the heavier one decides."""

    def __init__(self, weights: tuple[float, float], width: int = 8) -> None:
        super().__init__()
        self.weights = weights
        self.low = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
        self.high = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.weights
        logit = 3 * x[:, :1] + low * self.low(2 * x) + high * self.high(2 * x)
        return torch.cat([-logit, logit], dim=1)


def data(n: int = 120) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


def as_it_is(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> nn.Module:
    return model


ANALYZER = ConfusingSampleAnalyzer(scores=("net_order", "masked_margin"), baselines=[0, 0.5])
LOOSE = {"accuracy_within": 0.2, "loss_within": None}


def study(folder: Path, weights: tuple[float, float] = (1.5, 0.2), **options: object) -> LayerSwapStudy:
    options = {"n_pairs": 5, "variants": ("trainable", "initialisation"), "train": as_it_is, **options}
    return LayerSwapStudy(lambda seed: Branches(weights), layers=["high"], folder=folder, **options)  # type: ignore[arg-type]


def test_networks_whose_low_branch_decides_are_found_out(tmp_path: Path) -> None:
    result = study(tmp_path / "low").run(data(), ANALYZER, data(50), **LOOSE)
    assert result.verdict().outcome == "supported"
    assert result.verdict("masked_margin", "initialisation").decides == "low"
    other = study(tmp_path / "high", (0.2, 1.5)).run(data(), ANALYZER, **LOOSE)
    assert (other.verdict().outcome, other.verdict().decides) == ("not supported", "high")
    cells = result.cells()
    # trained values are the initial ones here, so that both ways of sharing are one
    pair = cells.set_index("cell").loc[["same low, trainable, cut at high", "same low, initialisation, cut at high"]]
    assert pair["spearman"].nunique() == 1
    same = cells.set_index("cell").loc["other order"]
    assert same[["spearman", "values"]].tolist() == pytest.approx([1, 1])
    assert 0.9 < same["iou"] <= 1 and 0 <= same["tied"] < 0.1  # ties at the cut are broken in each network by itself
    assert (cells["spearman_low"] <= cells["spearman"]).all() and (cells["spearman"] <= cells["spearman_high"]).all()
    assert "Supported" in str(result) and repr(result).startswith("LayerSwapResult of 35 networks")
    assert result.ceilings()["reliability"].between(0, 1).all()


def test_a_wider_upper_part_is_another_architecture(tmp_path: Path) -> None:
    result = study(tmp_path, make_other=lambda seed: Branches((1.5, 0.2), 12)).run(data(), ANALYZER, **LOOSE)
    cells = result.cells().set_index("cell")
    assert (
        cells.loc["same low, trainable, cut at high, other architecture", "spearman"]
        > cells.loc["both new", "spearman"]
    )
    with pytest.raises(ValueError, match="make_other must share"):
        study(tmp_path / "no", make_other=lambda seed: nn.Sequential(nn.Linear(6, 2)))


def test_all_second_networks_of_a_pair_see_one_order_and_differ_in_what_they_share(tmp_path: Path) -> None:
    orders: list[int] = []

    def train(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> nn.Module:
        orders.append(seed_order)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(1.0)
        return model

    made = study(tmp_path, train=train, n_pairs=3, variants=("trainable", "frozen", "initialisation"))
    made.train()
    assert len(orders) == 3 * 9 and [len(set(orders[i * 9 + 1 : i * 9 + 9])) for i in range(3)] == [1, 1, 1]
    assert len(set(orders)) == 6
    first, second, new = (made.network(f"pair000-{k}").state_dict() for k in ("first", "low-frozen-high", "none"))
    started = made.network("pair000-low-initialisation-high").state_dict()
    copied = made.network("pair000-low-trainable-high").state_dict()
    for name in first:
        if name.startswith("low"):
            assert torch.equal(second[name], first[name]) and torch.equal(started[name], first[name])
            assert torch.allclose(copied[name], first[name] + 1.0) and not torch.equal(new[name], first[name])
        else:
            assert torch.equal(second[name], new[name]) and torch.equal(started[name], new[name])


def test_a_training_that_moves_what_is_frozen_is_refused(tmp_path: Path) -> None:
    def decays(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> nn.Module:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
        return model

    with pytest.raises(RuntimeError, match="which are frozen"):
        study(tmp_path, train=decays, variants=("frozen",)).train()


def test_columns_of_training_stand_beside_the_scores(tmp_path: Path) -> None:
    def train(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> tuple[nn.Module, dict[str, object]]:
        return model, {"early_loss": np.linspace(0, 1, 120) + np.sin(np.arange(120) * (seed_order % 7))}

    result = study(tmp_path, train=train).run(data(), ANALYZER, **LOOSE)
    assert result.columns == ("loss", "margin", "early_loss")
    assert result.cells()["early_loss_given_shared"].notna().all()
    assert result.cells("early_loss")["spearman_corrected"].isna().all()
    with pytest.raises(ValueError, match="120 numbers in column 'early_loss'; the study has 60"):
        study(tmp_path, train=train).run(data(60), ANALYZER, **LOOSE)


# --- the folder -------------------------------------------------------------------------------------------------------


def test_what_is_finished_is_not_done_again_and_damage_is_noticed(tmp_path: Path) -> None:
    trained: list[int] = []

    def train(model: nn.Module, seed_order: int, frozen: tuple[str, ...]) -> nn.Module:
        trained.append(seed_order)
        return model

    first = study(tmp_path, train=train, n_pairs=3).run(data(), ANALYZER, **LOOSE)
    assert len(trained) == 21
    again = study(tmp_path, train=train, n_pairs=3).run(data(), ANALYZER, **LOOSE)
    assert len(trained) == 21
    pd.testing.assert_frame_equal(first.cells(), again.cells())
    path = next((tmp_path / "networks").glob("pair001-low-trainable-high.pt"))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.warns(UserWarning, match="trained again"):
        mended = study(tmp_path, train=train, n_pairs=3).run(data(), ANALYZER, **LOOSE)
    assert len(trained) == 22
    pd.testing.assert_frame_equal(first.cells(), mended.cells())
    more = study(tmp_path, train=train, n_pairs=4).run(data(), ANALYZER, **LOOSE)
    assert len(trained) == 29 and more.n_pairs == 4


def test_given_networks_are_taken_as_they_are(tmp_path: Path) -> None:
    made = study(tmp_path, n_pairs=3)
    mine = Branches((1.5, 0.2))
    made.add("pair002-first", mine)
    assert all(
        torch.equal(a, b) for a, b in zip(made.network("pair002-first").parameters(), mine.parameters(), strict=True)
    )
    with pytest.raises(ValueError, match="name must be one of"):
        made.add("mine", mine)
    with pytest.raises(ValueError, match=r"\['high.0.weight'.*differ"):
        made.add("pair002-first", Branches((1.5, 0.2), 9))


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    study(tmp_path, settings={"epochs": 4})  # never run
    study(tmp_path, settings={"epochs": 5}, n_pairs=3).train()
    with pytest.raises(ValueError, match="settings: {'epochs': 5}, now {'epochs': 6}"):
        study(tmp_path, settings={"epochs": 6})
    with pytest.raises(ValueError, match="seed"):
        study(tmp_path, settings={"epochs": 5}, seed=1)
    study(tmp_path, settings={"epochs": 5}, n_pairs=9)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        study(tmp_path, settings={"epochs": 5})


SCRIPT = """
import sys, time, torch
sys.path.insert(0, {tests!r})
from test_study import ANALYZER, LOOSE, data, study
def train(model, seed_order, frozen):
    time.sleep(float(sys.argv[2]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model
result = study(sys.argv[1], train=train, n_pairs=3).run(data(), ANALYZER, **LOOSE)
result.save(sys.argv[1] + "/" + sys.argv[3])
"""


def start(folder: Path, pause: float, out: str, **environment: str) -> subprocess.Popen[bytes]:
    code = SCRIPT.format(tests=str(Path(__file__).parent))
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, "-c", code, str(folder), str(pause), out], env=env)


def results(folder: Path, out: str = "results") -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((folder / out).iterdir())}


@pytest.mark.slow
def test_killed_in_the_middle_and_shared_by_two_processes_it_gives_the_same_bits(tmp_path: Path) -> None:
    whole, killed, shared = (tmp_path / name for name in ("whole", "killed", "shared"))
    assert start(whole, 0.0, "results").wait() == 0
    process = start(killed, 0.3, "results")
    while len(list((killed / "networks").glob("*.pt"))) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list((killed / "networks").glob("*.pt"))) < 21 and not (killed / "results").exists()
    assert start(killed, 0.0, "results").wait() == 0
    assert results(killed) == results(whole)
    pair = [start(shared, 0.05, f"results{rank}", RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert results(shared, "results0") == results(shared, "results1") == results(whole)


# --- figures and errors -----------------------------------------------------------------------------------------------


def test_figures_show_every_cell_and_every_score(tmp_path: Path) -> None:
    result = study(tmp_path / "study", n_pairs=3).run(data(), ANALYZER, **LOOSE)
    _, axis = result.plot_agreement(use_pyplot=False)
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {
        f"same {part}, {variant}" for part in ("low", "high") for variant in ("trainable", "initialisation")
    }
    _, axis = result.plot_contrasts(use_pyplot=False)
    assert [t.get_text() for t in axis.get_yticklabels()] == ["net_order", "masked_margin", "loss", "margin"]
    _, axis = result.plot_agreement("loss", "iou", "layers", use_pyplot=False)
    assert axis.get_ylabel() == "agreement by loss"
    result.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "networks.csv", "ceilings.csv", "cells.csv", "contrasts.csv", "pairs.csv", "verdicts.txt",
    }  # fmt: skip
    assert json.loads((tmp_path / "study" / "study.json").read_text())["format"] == "captum_andor.study"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_pairs": 2}, "n_pairs must be at least 3"),
        ({"variants": ("copied",)}, "variants must be some of"),
        ({"variants": ()}, "variants must be some of"),
        ({"layers": ["middle"]}, "layer 'middle' is no module"),
        ({"layers": []}, "layers must name"),
        ({"layers": ["high", "high"]}, "layers must name"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    given = {"layers": ["high"], "n_pairs": 3, **options}
    with pytest.raises(ValueError, match=message):
        LayerSwapStudy(lambda seed: Branches((1, 1)), as_it_is, folder=tmp_path, **given)  # type: ignore[arg-type]


def test_bad_questions_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="accuracy_within must lie between 0 and 1"):
        study(tmp_path).run(data(), accuracy_within=2.0)
    with pytest.raises(ValueError, match="has no labels"):
        study(tmp_path).run(data()[0])
    result = world(1.0, 0.2, 3, 60, 0)
    with pytest.raises(ValueError, match="score must be one of"):
        result.verdict("offset")
    with pytest.raises(ValueError, match="variant must be one of"):
        result.verdict(variant="frozen")
    with pytest.raises(ValueError, match="by must be"):
        result.verdict(by="depth")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smallest_effect must be positive"):
        result.verdict(smallest_effect=0.0)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        study(file)


@pytest.mark.parametrize("correlation", [0.9, 0.5, 0.0])
def test_reliability_of_what_is_beyond_the_shared_part_is_not_biased_by_how_views_differ(correlation: float) -> None:
    """What each network adds is the same under both baselines, so it is 1; it came out as .84, .23 and −.19."""
    draw, n = np.random.default_rng(0), 400
    first, other = draw.normal(size=(2, n))
    common = [first, correlation * first + (1 - correlation**2) ** 0.5 * other]
    tables = {}
    for pair, cell in itertools.product(range(12), (None, NEW)):
        own = draw.normal(size=n)
        columns = {name: draw.normal(size=n) for name in ("loss", "margin", "ink", "n_active")}
        scores = {"net_order": np.stack([2 * view + own for view in common])}
        tables[Network(pair, cell)] = NetworkTable(scores, columns, 0.9, float("nan"), [])
    agreement = Agreement(tables, {}, [NEW], 12)
    found = [agreement.reliability(Network(pair), "net_order", "given_shared") for pair in range(12)]
    assert np.mean(found) > 0.85
