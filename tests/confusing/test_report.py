"""What one can ask of a report, against independent computations."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from networks import analyzer, images, network
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from captum_andor import AndOrInteractions, ConfusingReport, ConfusingSampleAnalyzer, LogicalModel
from captum_andor.confusing.scores.score_formulas import SCORES
from captum_andor.confusing.scores.similarity import cosine, cross_r2, jaccard, matched_players, row_spearman
from captum_andor.games.masks import image_grid

N = 40


@pytest.fixture(scope="module")
def report() -> ConfusingReport:
    return analyzer(scores=None, primary="net_order").evaluate(images(N))


@pytest.fixture(scope="module")
def views_report() -> ConfusingReport:
    x, y = images(N)
    masks = [image_grid(6, 6), image_grid(6, 6, offset=(1, 1))]
    return analyzer(scores=("net_order", "masked_margin", "offset"), baselines=[0, 0.5], feature_mask=masks).evaluate(
        (x, y)
    )


def column(report: ConfusingReport, name: str, score: str) -> Any:
    return report.scores.loc[report.scores.model == name, score].to_numpy()


# Planted terms: samples 0 to 4 of 60 hold AND{0..5} − AND{3..8}, which cancel in v(N).
PLANTED, STRENGTH = 5, 3.0


def planted_model(seed: int) -> Any:
    weight = torch.rand(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5

    def model(x: Tensor) -> Tensor:
        z, tag = (x[:, :9] != 0).double(), x[:, 9]
        plain = (
            weight[0] * z[:, 0] + weight[1] * z[:, 1] * z[:, 2] + weight[2] * z[:, 3:5].amax(1) + weight[3] * z[:, 7]
        )
        offsetting = z[:, :6].prod(1) - z[:, 3:9].prod(1)
        v = (0.5 + tag.frac()) * plain + STRENGTH * (tag >= 1) * offsetting
        return torch.stack([v, torch.zeros_like(v)], dim=1)

    return model


def planted_report(**options: Any) -> ConfusingReport:
    tag = torch.rand(60, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tag[:PLANTED] += 1
    x = torch.cat([torch.ones(60, 9, dtype=torch.float64), tag], dim=1)

    def baseline(one: Tensor) -> Tensor:  # the tag stays
        return torch.cat([torch.zeros(1, 9), one[:, 9:]], dim=1)

    mask = torch.tensor([*range(9), 0])
    made = ConfusingSampleAnalyzer(
        feature_mask=mask, baselines=baseline, primary="offset", **{"scores": SCORES, **options}
    )
    made.add_model("a", planted_model(0)).add_model("b", planted_model(1))
    made.add_reference("without", lambda x: planted_model(2)(torch.cat([x[:, :9], x[:, 9:].frac()], dim=1)))
    return made.evaluate((x, torch.zeros(60, dtype=torch.long)))


def test_every_split_score_ranks_planted_offsetting_terms_first() -> None:
    report = planted_report()
    for score in (
        "offset",
        "offset_strength",
        "mean_order",
        "high_order_share",
        "cancellation",
        "non_generalizable_share",
    ):
        sets = report.confusing_sets(fraction=PLANTED / 60, score=score)
        assert {name: sorted(found) for name, found in sets.items()} == {m: list(range(PLANTED)) for m in "ab"}, score
    overlap = report.overlap(fraction=PLANTED / 60).iloc[0]
    assert overlap.iou == 1 and overlap.auc_a_for_b == 1
    assert column(report, "a", "offset")[PLANTED:].max() < 1e-6
    expected = 2 * STRENGTH / column(report, "a", "effect").mean()
    assert column(report, "a", "offset_strength")[0] == pytest.approx(expected, rel=0.05)


def test_sets_by_fraction_and_by_threshold(report: ConfusingReport) -> None:
    scores = column(report, "a", "net_order")
    order = np.argsort(-scores, kind="stable")
    assert report.confusing_sets()["a"] == order[:4].tolist()
    assert report.confusing_sets(fraction=0.001)["a"] == order[:1].tolist()
    theta = float(np.median(scores))
    found = report.confusing_sets(threshold=theta)
    assert found["a"] == [i for i in order.tolist() if scores[i] >= theta]
    assert set(found["b"]) == set(np.flatnonzero(column(report, "b", "net_order") >= theta).tolist())
    assert report.confusing_sets(threshold=1e9) == {"a": [], "b": []}
    assert (
        report.confusing_sets(score="loss")["a"] == np.argsort(-column(report, "a", "loss"), kind="stable")[:4].tolist()
    )
    assert (
        report.confusing_sets(score="margin")["a"]
        == np.argsort(column(report, "a", "margin"), kind="stable")[:4].tolist()
    )


@pytest.mark.parametrize("score", [None, "flip_rate", "loss"])
def test_overlap_is_its_definitions(report: ConfusingReport, score: str | None) -> None:
    row = report.overlap(score, fraction=0.25).iloc[0]
    name = score or "net_order"
    sets = report.confusing_sets(0.25, score=score)
    a, b = (column(report, m, name) for m in "ab")
    one, two = set(sets["a"]), set(sets["b"])
    assert row.pair == ("a", "b") and row.n_a == row.n_b == 10
    assert row.iou == pytest.approx(len(one & two) / len(one | two))
    assert row.chance == pytest.approx(0.25 / 1.75)
    assert row.iou_low <= row.iou <= row.iou_high
    assert row.spearman == pytest.approx(spearmanr(a, b).statistic)
    assert row.spearman_low <= row.spearman <= row.spearman_high
    assert row.auc_a_for_b == pytest.approx(roc_auc_score(np.isin(range(N), list(two)), a))
    losses = [set(found) for found in report.confusing_sets(0.25, score="loss").values()]
    assert row.loss_iou == pytest.approx(len(losses[0] & losses[1]) / len(losses[0] | losses[1]))
    assert np.isnan(row.ceiling_mask) and np.isnan(row.spearman_corrected)


def test_partial_correlation_holds_the_named_columns_fixed(report: ConfusingReport) -> None:
    plain = report.overlap(controls=()).iloc[0]
    assert plain.partial_spearman == pytest.approx(plain.spearman)
    itself = report.overlap("loss", controls=("loss",)).iloc[0]
    assert np.isnan(itself.partial_spearman)
    a, b = (spearmanr_ranks(column(report, m, "net_order")) for m in "ab")
    given = np.stack([np.ones(N), *(spearmanr_ranks(-column(report, m, "margin")) for m in "ab")], axis=1)
    left = [r - given @ np.linalg.lstsq(given, r, rcond=None)[0] for r in (a, b)]
    assert report.overlap(controls=("margin",)).iloc[0].partial_spearman == pytest.approx(np.corrcoef(*left)[0, 1])


def spearmanr_ranks(values: Any) -> Any:
    return pd.Series(values).rank().to_numpy()


def test_ceilings_compare_a_model_with_itself(views_report: ConfusingReport) -> None:
    row = views_report.overlap("masked_margin").iloc[0]
    table = views_report.view_scores

    def members(name: str, baseline: int, mask: int) -> set[int]:
        rows = table[(table.model == name) & (table.baseline == baseline) & (table["mask"] == mask)]
        return set(np.argsort(-rows.masked_margin.to_numpy(), kind="stable")[:4].tolist())

    def iou(x: set[int], y: set[int]) -> float:
        return len(x & y) / len(x | y)

    masks = [iou(members(m, b, 0), members(m, b, 1)) for m in "ab" for b in (0, 1)]
    baselines = [iou(members(m, 0, k), members(m, 1, k)) for m in "ab" for k in (0, 1)]
    between = [iou(members("a", b, k), members("b", b, k)) for b in (0, 1) for k in (0, 1)]
    assert row.ceiling_mask == pytest.approx(np.mean(masks))
    assert row.ceiling_baseline == pytest.approx(np.mean(baselines))
    assert row.iou_one_view == pytest.approx(np.mean(between))
    row = views_report.overlap("masked_margin").iloc[0]
    assert row.reliability_a > 0 < row.reliability_b
    assert row.spearman_corrected == pytest.approx(row.spearman / np.sqrt(row.reliability_a * row.reliability_b))


def test_the_noise_ceiling_compares_splits_with_and_without_noise() -> None:
    x, y = images(10)
    report = analyzer(scores=("offset", "net_order"), feature_mask=image_grid(6, 6, 2, 2), tolerance=1e-3).evaluate(
        (x, y)
    )
    assert report.overlap("offset", fraction=0.3, noise_bound=1e-9).iloc[0].ceiling_noise == 1
    assert 0 <= report.overlap("offset", fraction=0.3, noise_bound=0.2).iloc[0].ceiling_noise <= 1
    assert np.isnan(report.overlap("net_order", noise_bound=0.2).iloc[0].ceiling_noise)
    assert np.isnan(report.overlap("offset").iloc[0].ceiling_noise)


def test_the_score_that_ranks_is_the_first_named() -> None:
    """Without names it is masked_margin; the warning about net_order is given where that ranks."""
    x, y = images(N)
    usual = analyzer(scores=None).evaluate((x, y))
    assert usual.scoring.primary == "masked_margin" and "masked_margin" in usual.rank("a")
    assert not usual.rank("a")["reasons"].str.contains("net_order").any()
    for scores, primary in ((("flip_rate", "net_order"), "flip_rate"), ("offset", "offset"), ("all", "masked_margin")):
        assert ConfusingSampleAnalyzer(scores=scores).primary == primary
    again = usual.rescore(scores=("net_order",))
    assert again.scoring.primary == "net_order" and usual.rescore(scores="all").scoring.primary == "masked_margin"
    assert usual.rescore(scores=("net_order", "masked_margin")).scoring.primary == "masked_margin"


def test_rank_gives_reasons_in_numbers(report: ConfusingReport) -> None:
    ranked = report.rank("a")
    scores = report.scores[report.scores.model == "a"]
    assert ranked["rank"].tolist() == list(range(1, N + 1))
    assert ranked["sample"].tolist() == np.argsort(-scores.net_order.to_numpy(), kind="stable").tolist()
    for row in ranked.itertuples():
        own = scores.iloc[row.sample]
        flips = re.search(r"decision flips on (\d+) of 36 masks", row.reasons)
        assert flips is not None and int(flips[1]) == round(own.flip_rate * 36)
        assert ("net_order is unreliable" in row.reasons) == (not own.trusted)
        assert (f"predicted as {own.predicted}, labelled {own.label}" in row.reasons) == (not own.correct)
        place = int((scores.loss > own.loss).sum()) + 1
        assert row.loss_rank == place and re.search(rf"rank it {place}(st|nd|rd|th)", row.reasons)
        if own.value > 0:
            lost = own.value + own.masked_margin
            word = f"{'loses' if lost > 0 else 'gains'} {abs(lost):.1f} log-odds"
            assert word in row.reasons
            if lost > 0:
                assert f"goes, from {own.value:.1f} to {own.value - lost:.1f}" in row.reasons
    assert "rank_sum" not in ranked
    assert report.rank("a", "loss")["sample"].iloc[0] == scores.loss.to_numpy().argmax()


def test_models_and_scores_are_checked(report: ConfusingReport) -> None:
    for call in (report.rank, report.to_cleanlab, report.plot_gallery):
        with pytest.raises(ValueError, match="model must be one of"):
            call()
    for bad in (
        lambda: report.rank("c"),
        lambda: report.confusing_sets(score="oddness"),
        lambda: report.confusing_sets(fraction=0),
        lambda: report.confusing_sets(fraction=1.0),
        lambda: report.confusing_sets(threshold=float("nan")),
        lambda: report.overlap("oddness"),
        lambda: report.overlap(controls=("oddness",)),
        lambda: report.overlap(n_resamples=0),
        lambda: report.label_noise([], "a"),
        lambda: report.label_noise(range(N), "a"),
        lambda: report.label_noise([N], "a"),
        lambda: report.label_noise([0.5], "a"),
        lambda: report.label_noise([1], "a", columns={"loss": np.zeros(N)}),
        lambda: report.label_noise([1], "a", columns={"mine": np.zeros(N - 1)}),
        lambda: report.label_noise([1], "a", pred_probs=np.zeros((N, 1))),
        lambda: report.to_html("x.html", k=0),
    ):
        with pytest.raises(ValueError, match=r"must|names|has"):
            bad()
    for index in (-1, N, 1.0, True):
        with pytest.raises(IndexError, match="index"):
            report.compare(index)  # type: ignore[arg-type]
    alone = ConfusingSampleAnalyzer().add_model("a", network()).evaluate(images(4))
    assert alone.rank()["sample"].nunique() == 4
    for compare in (alone.overlap, alone.similarity):
        with pytest.raises(ValueError, match="only 'a'"):
            compare()


def test_similarity_is_its_definitions(report: ConfusingReport) -> None:
    x, y = images(N)
    table = report.similarity()
    assert len(table) == N and table.pair.tolist() == [("a", "b")] * N
    mask = image_grid(6, 6)
    methods = [AndOrInteractions(network(s), score="log_odds") for s in (0, 1)]
    phi = [m.interactions(x, target=y, feature_mask=mask, split="and").shapley_values() for m in methods]
    assert table.attribution_cosine.tolist() == pytest.approx(nn.functional.cosine_similarity(*phi).tolist())
    expected = [spearmanr(p, q).statistic for p, q in zip(*phi, strict=True)]
    assert table.attribution_spearman.tolist() == pytest.approx(expected)
    models = [m.logical_model(x, target=y, feature_mask=mask) for m in methods]
    everything = (torch.arange(512)[:, None] >> torch.arange(9)) & 1 > 0
    h, v = models[0].predict(everything)[3], models[1].values[3]
    assert table.cross_r2_a_for_b[3] == pytest.approx(max(np.corrcoef(h, v)[0, 1], 0) ** 2)
    own = np.mean([m.r2.numpy() for m in models], axis=0)
    refitted = table.own_r2 - own  # by scale and shift, which exact ends hold fixed
    assert refitted.between(-1e-9, 0.02).all()
    assert table.interaction_jaccard.between(0, 1).all() and table.attribution_cosine_ceiling.isna().all()


def test_similarity_by_group(views_report: ConfusingReport) -> None:
    table = views_report.similarity(by_group=True)
    assert table.group.tolist() == ["confusing", "ordinary"] and table.n.sum() == N
    sets = views_report.confusing_sets()
    each = views_report.similarity()
    confusing = each["sample"].isin({*sets["a"], *sets["b"]})
    assert table.cross_r2[0] == pytest.approx(each.cross_r2[confusing].mean())
    assert each.filter(like="_ceiling").notna().all().all()


def test_identical_models_are_identical() -> None:
    x, y = images(5)
    report = ConfusingSampleAnalyzer().add_model("a", network()).add_model("b", network()).evaluate((x, y))
    row = report.overlap().iloc[0]
    assert row.iou == 1 and row.spearman == pytest.approx(1)
    table = report.similarity()
    for name in ("attribution_cosine", "attribution_spearman", "interaction_jaccard", "interaction_jaccard_3"):
        assert table[name].tolist() == pytest.approx([1] * 5)
    assert table.cross_r2.tolist() == pytest.approx(table.own_r2.tolist())


def test_jaccard_by_hand() -> None:
    """Shares: AND {0} .5 and .25, AND {1} .5 and −.25, OR {0, 1} 0 and .5."""
    a, b = torch.zeros(2, 1, 2, 4, dtype=torch.float64)
    a[0, 0, 1], a[0, 0, 2] = 3, 3
    b[0, 0, 1], b[0, 0, 2], b[0, 1, 3] = 1, -1, 2
    everything, first, second = jaccard(a, b)[0].tolist()
    assert everything == pytest.approx(0.25 / (0.5 + 0.5 + 0.25 + 0.5))
    assert first == pytest.approx(0.25 / (0.5 + 0.5 + 0.25))
    assert second == 0
    assert jaccard(torch.zeros_like(a), torch.zeros_like(a)).isnan().all()


def test_small_similarities() -> None:
    a = torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]).double()
    b = torch.tensor([[2.0, 4.0, 8.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).double()
    assert cosine(a, b).tolist()[0] == pytest.approx(1) and cosine(a, b)[2].isnan()
    assert row_spearman(a, b).tolist()[0] == pytest.approx(1) and row_spearman(a, b)[1].isnan()
    assert cross_r2(a, b).tolist() == pytest.approx([1, 0, 0])
    assert cross_r2(-a, b).tolist()[0] == 0
    assert cross_r2(b, a)[1].isnan()


def test_players_of_moved_grids_are_matched() -> None:
    grid, moved = image_grid(6, 6)[0], image_grid(6, 6, offset=(1, 0))[0]
    assert matched_players([grid], [moved]) == list(range(9))
    renamed = torch.tensor([3, 1, 2, 0, 4, 5, 6, 8, 7])
    assert matched_players([grid], [renamed[moved]]) == renamed.tolist()
    assert matched_players([grid], [image_grid(6, 6, 2, 2)[0]]) is None


def test_masks_in_another_order_are_the_same_players() -> None:
    """Ceilings do not depend on how a mask numbers its patches."""
    x, y = images(6)
    renamed = torch.tensor([3, 1, 2, 0, 4, 5, 6, 8, 7])[image_grid(6, 6)]
    report = analyzer(feature_mask=[image_grid(6, 6), renamed]).evaluate((x, y))
    table = report.similarity()
    for name in ("attribution_cosine_ceiling", "interaction_jaccard_ceiling"):
        assert table[name].tolist() == pytest.approx([1] * 6, abs=1e-2)
    unequal = analyzer(feature_mask=[image_grid(6, 6), lambda one: image_grid(6, 6, 2, 2)]).evaluate((x, y))
    assert unequal.similarity().attribution_cosine_ceiling.isna().all()


def test_label_noise_tells_what_each_score_finds(report: ConfusingReport) -> None:
    known = np.zeros(N, dtype=bool)
    known[[1, 4, 9, 16, 25, 30]] = True
    early = known + np.random.default_rng(0).normal(size=N) * 0.3
    probabilities = np.full((N, 3), 1 / 3)
    table = report.label_noise(known, "a", columns={"early loss": early}, pred_probs=probabilities).set_index("score")
    for name in ("net_order", "loss"):
        assert table.auc[name] == pytest.approx(roc_auc_score(known, column(report, "a", name)))
    top = np.argsort(-column(report, "a", "loss"), kind="stable")[:6]
    assert table.precision_at_k["loss"] == pytest.approx(known[top].mean())
    assert table.auc["early loss"] > 0.9 and table.added["early loss"] > 0.1
    assert table.added_low["early loss"] > 0
    assert table.auc["pred_probs margin"] == 0.5
    assert np.isnan(table.added["loss"])
    assert (table.auc_low <= table.auc).all() and (table.auc <= table.auc_high).all()
    same = report.label_noise(np.flatnonzero(known), "a", columns={"early loss": early}, pred_probs=probabilities)
    assert same.set_index("score").equals(table)
    assert set(report.label_noise(known).model) == {"a", "b"}


def test_the_cleanlab_frame_is_low_where_bad(report: ConfusingReport) -> None:
    frame = report.to_cleanlab("a", scores=["net_order", "loss"], fraction=0.25)
    assert list(frame) == ["is_net_order_issue", "net_order_score", "is_loss_issue", "loss_score"]
    assert frame.is_net_order_issue.sum() == 10 and frame.is_net_order_issue.dtype == bool
    assert frame.net_order_score.between(0, 1).all()
    assert (
        frame.net_order_score[frame.is_net_order_issue].max() < frame.net_order_score[~frame.is_net_order_issue].min()
    )
    assert frame.index.tolist() == list(range(N))


def test_figures_need_no_display(report: ConfusingReport, views_report: ConfusingReport) -> None:
    matplotlib.use("Agg")
    for some in (report, views_report):
        drawn = [
            some.plot_order_profile("a", use_pyplot=False),
            some.plot_overlap(use_pyplot=False),
            some.plot_overlap("loss", use_pyplot=False),
            some.plot_scores("a", "b", use_pyplot=False),
            some.plot_gallery("b", k=2, n_patterns=2, use_pyplot=False),
            some.compare(3, use_pyplot=False),
        ]
        for fig, _ in drawn:
            assert isinstance(fig, Figure)
            fig.canvas.draw()
    fig = Figure()
    axis = fig.add_subplot()
    assert report.plot_overlap(plt_fig_axis=(fig, axis))[1] is axis
    assert report.compare(3, models=["b"], use_pyplot=False)[1].shape[0] == 1


def test_samples_that_are_no_images_have_bars(tmp_path: Path) -> None:
    report = planted_report()
    _, axes = report.compare(0, use_pyplot=False)
    assert axes[0, 1].patches and axes[0, 2].patches
    report.to_html(tmp_path / "page.html", k=2)
    assert "<td><img" not in (tmp_path / "page.html").read_text()


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [str(values[key]) for key in ("src", "href") if key in values]
        self.rows += tag == "tr"
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(views_report: ConfusingReport, tmp_path: Path) -> None:
    views_report.to_html(tmp_path / "page.html", title="Seeds <0> & 1", k=2)
    text = (tmp_path / "page.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.open
    assert all(source.startswith(("data:image/png;base64,", "#model-")) for source in page.sources)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "<title>Seeds &lt;0&gt; &amp; 1</title>" in text and "<0>" not in text
    assert page.rows == 2 + 4 + (1 + 20) + 2 * (1 + N)  # agreement, reliability, changes, samples
    assert "prefers-color-scheme: dark" in text
    assert "What was asked" in text and "2 models saw 40 inputs" in text.replace("2 Models", "2 models")
    overlap = views_report.overlap(n_resamples=10)["iou"].iloc[0]
    assert f"overlap by {overlap:.2f} (intersection" in text
    share = views_report.scores.query("model == 'a'")["correct"].mean()
    assert f"a: {share:.1%} decided as labelled" in text
    first = views_report.rank("a").iloc[0]
    assert f"#{first['sample']} (a): " in text and html.escape(first["reasons"]) in text
    for heading in ("net order", "n active", "loss rank"):  # said on hover, and again at the end
        assert re.search(rf'title="[^"]+">{heading}</button>', text) and f"<dt>{heading}</dt>" in text


def test_figures_of_tables_name_columns_and_values(tmp_path: Path) -> None:
    frame = pd.DataFrame(torch.rand(20, 4, generator=torch.Generator().manual_seed(0)).numpy(), columns=list("pqrs"))
    torch.manual_seed(0)
    made = ConfusingSampleAnalyzer().add_model("net", nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval())
    report = made.evaluate((frame, pd.Series([0, 1] * 10)))
    same = made.evaluate((torch.tensor(frame.to_numpy()), torch.tensor([0, 1] * 10)))
    pd.testing.assert_frame_equal(report.scores, same.scores)
    report.to_html(tmp_path / "page.html", k=1)
    first = report.confusing_sets()["net"][0]
    text = (tmp_path / "page.html").read_text()
    assert any(f"{column} = {frame[column][first]:.4g}" in text for column in "pqrs")
    _, axes = report.compare(first, use_pyplot=False)
    assert f"q = {frame['q'][first]:.4g}" in [tick.get_text() for tick in axes[0, 1].get_yticklabels()]
    named = ConfusingSampleAnalyzer(player_names=["one", "two", "three", "four"]).add_model("net", made._models["net"])
    named.evaluate((frame, [0, 1] * 10)).to_html(tmp_path / "named.html", k=1)
    assert "q = " not in (tmp_path / "named.html").read_text()
    with pytest.raises(ValueError, match="player_names has 1 names for 4 players"):
        ConfusingSampleAnalyzer(player_names=["one"]).add_model("net", made._models["net"]).evaluate(
            (frame, [0, 1] * 10)
        )


def test_ranks_of_several_views_run_with_their_sum(views_report: ConfusingReport) -> None:
    ranked = views_report.rank("a")
    assert ranked["rank_sum"].is_monotonic_decreasing
    by_hand = sum(
        rows.sort_values("sample")["net_order"].rank().to_numpy()
        for _, rows in views_report.view_scores.query("model == 'a'").groupby(["baseline", "mask"])
    )
    assert ranked.sort_values("sample")["rank_sum"].to_numpy() == pytest.approx(by_hand)
    assert "rank_sum" not in views_report.rank("a", "loss")


def test_the_summary_fits_a_page(views_report: ConfusingReport, capsys: pytest.CaptureFixture[str]) -> None:
    text = views_report.summary()
    assert capsys.readouterr().out == text + "\n"
    assert isinstance(text, str) and repr(text) == ""  # a notebook does not show it twice
    assert "40 samples, 2 model(s), 2 baseline(s), 2 mask(s), 9 players" in text
    assert "Overlap of the top 10 % by net_order" in text and "Look at first, a:" in text
    assert text.count("\n") < 60


def test_logical_models_of_samples_are_those_of_the_attribution_class(report: ConfusingReport) -> None:
    from captum_andor.confusing.report.sample_figures import explained

    x, y = images(N)
    scoring = report.scoring
    mine = explained(scoring, "a", 3, scoring.views[0], 4)
    theirs = AndOrInteractions(network(), score="log_odds").logical_model(
        x[3:4], target=int(y[3]), feature_mask=image_grid(6, 6), max_patterns=4
    )
    assert isinstance(mine, LogicalModel)
    assert [p.players for p in mine.patterns] == [p.players for p in theirs.patterns]


def test_another_reading_costs_no_forward_pass() -> None:
    x, y = images(8)
    calls = []
    inner = network()

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return inner(x)

    report = ConfusingSampleAnalyzer(coalitions="all").add_model("a", model).evaluate((x, y))
    count = len(calls)
    for options in (
        {"score": "output"},
        {"labels": "predicted"},
        {"scores": ("offset",), "high_order": 3},
        {"primary": "offset"},
    ):
        expected = ConfusingSampleAnalyzer(
            **{k: v for k, v in options.items() if k != "labels"}  # type: ignore[arg-type]
        ).add_model("a", inner)
        fresh = expected.evaluate((x, y), labels=options.get("labels", "given"))  # type: ignore[arg-type]
        found = report.rescore(**options)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(found.scores, fresh.scores, atol=1e-5)
    assert len(calls) == count
    for bad in (
        {"labels": "true"},
        {"score": "logits"},
        {"primary": "oddness"},
        {"scores": ("unshared_effect",)},
        {"score": "prob", "scores": ("flip_rate",)},
        {"high_order": 0},
    ):
        with pytest.raises(ValueError, match=r"must|need|flip_rate"):
            report.rescore(**bad)  # type: ignore[arg-type]


def test_controls_may_be_numbers_of_the_users(report: ConfusingReport) -> None:
    ink = column(report, "a", "margin")
    both = report.overlap(controls=("margin",)).iloc[0].partial_spearman
    arrays = report.overlap(controls=(ink, column(report, "b", "margin"))).iloc[0].partial_spearman
    assert arrays == pytest.approx(both)
    with pytest.raises(ValueError, match="controls must"):
        report.overlap(controls=(np.zeros(N - 1),))


@pytest.mark.parametrize(
    ("data", "options"),
    [
        pytest.param((torch.rand(1, 3, 8, 8), torch.tensor([2])), {}, id="one sample"),
        pytest.param((torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])), {}, id="all equal to the baseline"),
        pytest.param(
            (torch.rand(6, 5), torch.arange(6) % 3), {"feature_mask": torch.zeros(5, dtype=torch.long)}, id="one player"
        ),
        pytest.param(
            (torch.rand(6, 5), torch.arange(6) % 3),
            {"feature_mask": [torch.arange(5), torch.tensor([0, 0, 1, 1, 2])]},
            id="masks of unequal numbers",
        ),
        pytest.param((torch.rand(6, 2, 3), torch.arange(6) % 3), {"baselines": [0, 1]}, id="sequences"),
    ],
)
def test_nothing_fails_on_odd_data(data: tuple[Tensor, Tensor], options: dict[str, Any], tmp_path: Path) -> None:
    x, y = data
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3)).eval() for _ in range(2)]
    made = (
        ConfusingSampleAnalyzer(**options)
        .add_model("<b>", models[0])
        .add_model("constant", lambda x: torch.ones(len(x), 3))
    )
    report = made.evaluate((x, y))
    report.summary()
    report.overlap(n_resamples=5)
    report.similarity(by_group=True)
    report.compare(0, use_pyplot=False)
    report.to_html(tmp_path / "page.html", k=1)
    assert "<b>" not in (tmp_path / "page.html").read_text()
    for name in report.models:
        assert len(report.rank(name)) == len(x)
        report.plot_gallery(name, k=1, use_pyplot=False)[0].canvas.draw()


def test_a_report_shows_its_first_samples_in_notebooks(report: ConfusingReport) -> None:
    text = report._repr_html_()
    count = max(1, 20 // len(report.models))
    assert f"the first {count} of each by net_order" in text
    assert text.count("<tr>") == min(count, report.n_samples) * len(report.models)  # the head has a style
    for name in report.models:
        assert f"<td>{report.rank(name)['sample'][0]}</td>" in text
