"""A report in a file: what comes back is equal, whatever the data set, the baselines and the scores."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from captum.attr import FeatureAblation
from torch import nn

from captum_andor import ConfusingReport, ConfusingSampleAnalyzer, LogicalModel
from captum_andor._utils.datasets import Samples
from captum_andor.games.masks import image_grid

X = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


def network(seed: int, n: int = 36) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(n, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def evaluated(x=X, y=Y, n: int = 36, labels="given", **options) -> ConfusingReport:
    analyzer = ConfusingSampleAnalyzer(**{"baselines": [0, 0.5], "feature_mask": image_grid(6, 6, 2, 3)} | options)
    for seed in range(2):
        analyzer.add_model(f"seed {seed}", network(seed, n))
    return analyzer.evaluate((x, y), labels=labels)


def samples() -> Samples:
    return Samples((X,), Y, is_tuple=False)


def again(report: ConfusingReport, tmp_path) -> ConfusingReport:
    report.save(tmp_path / "report")
    return ConfusingReport.load(tmp_path / "report")


def test_tables_sets_and_pages_are_those_of_the_saved_report(tmp_path, capsys):
    report = evaluated(scores="all", player_names={i: f"patch {i}" for i in range(6)})
    report.add_column("age", range(12))
    loaded = again(report, tmp_path)
    pd.testing.assert_frame_equal(loaded.scores, report.scores, check_exact=True)
    pd.testing.assert_frame_equal(loaded.view_scores, report.view_scores, check_exact=True)
    pd.testing.assert_frame_equal(loaded.overlap(n_resamples=20), report.overlap(n_resamples=20), check_exact=True)
    pd.testing.assert_frame_equal(loaded.similarity(), report.similarity(), check_exact=True)
    assert loaded.confusing_sets() == report.confusing_sets()
    assert loaded.summary() == report.summary()
    for of, name in ((report, "a"), (loaded, "b")):
        of.to_html(tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text()


def test_a_report_of_v_alone_keeps_its_scores_and_says_that_models_are_gone(tmp_path):
    report = evaluated()
    loaded = again(report, tmp_path)
    pd.testing.assert_frame_equal(loaded.scores, report.scores, check_exact=True)
    with pytest.raises(RuntimeError, match='coalitions="all"'):
        loaded.similarity()


def test_functions_among_baselines_and_masks_are_called_for_every_sample(tmp_path):
    def mask(x):
        ids = image_grid(6, 6, 2, 3) * 2
        return ids if x.mean() > X.mean() else ids.flip(3)

    report = evaluated(baselines=[lambda x: x.mean(), 0], feature_mask=mask, coalitions="all")
    loaded = again(report, tmp_path)
    pd.testing.assert_frame_equal(loaded.scores, report.scores, check_exact=True)
    for view in report.scoring.views:
        maps = [list(of.scoring.evaluation.views.player_maps(samples(), view)) for of in (report, loaded)]
        assert all(torch.equal(x, y) for (x,), (y,) in zip(*maps, strict=True)) and len(maps[0]) == 12
        players = [of.scoring.evaluation.views.players(samples(), 3, 7, view) for of in (report, loaded)]
        assert torch.equal(players[0].baselines[0].expand(4, 1, 6, 6), players[1].baselines[0].expand(4, 1, 6, 6))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_inputs_keep_their_dtype_to_the_bit(dtype, tmp_path):
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(0)

        def forward(self, x):
            return self.inner(x.float())

    x = (X * 9).to(dtype)
    analyzer = ConfusingSampleAnalyzer(feature_mask=image_grid(6, 6, 2, 3)).add_model("reads", Reads().eval())
    loaded = again(analyzer.evaluate((x, Y)), tmp_path)
    (kept,) = loaded.scoring.evaluation.samples.inputs
    assert kept.dtype == dtype and torch.equal(kept, x)


def test_tables_keep_names_of_columns_and_some_samples_their_indices(tmp_path):
    frame = pd.DataFrame(X.flatten(1)[:, :5].numpy(), columns=list("abcde"))
    analyzer = ConfusingSampleAnalyzer().add_model("net", network(0, 5))
    report = analyzer.evaluate((frame, Y))
    assert again(report, tmp_path).scoring.evaluation.samples.columns == tuple("abcde")
    analyzer = ConfusingSampleAnalyzer(feature_mask=image_grid(6, 6, 2, 3)).add_model("net", network(0))
    rows = analyzer.explain_batch({"sample": range(12), "input": X.numpy(), "label": Y.numpy()}, keep="scores")
    some = analyzer.collect(rows, (X, Y), samples=[2, 3, 5, 7])
    loaded = again(some, tmp_path)
    assert loaded.samples.tolist() == [2, 3, 5, 7] and loaded.confusing_sets() == some.confusing_sets()


def test_named_inputs_come_back(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(0, 4)

        def forward(self, a, b):
            return self.inner(torch.cat([a, b], 1))

    inputs = {"a": torch.rand(6, 2), "b": torch.rand(6, 2)}
    analyzer = ConfusingSampleAnalyzer(baselines={"a": 0}, feature_mask={"a": torch.tensor([[0, 1]])})
    report = analyzer.add_model("two", Two().eval()).evaluate((inputs, Y[:6]))
    loaded = again(report, tmp_path)
    pd.testing.assert_frame_equal(loaded.scores, report.scores, check_exact=True)
    assert loaded.scoring.evaluation.samples.names == ("a", "b")


def test_attributions_of_other_methods_come_back(tmp_path):
    analyzer = ConfusingSampleAnalyzer(feature_mask=image_grid(6, 6, 2, 3), coalitions="all")
    analyzer.add_model("a", network(0)).add_model("b", network(1))
    methods = {"ablation": lambda model: FeatureAblation(model)}
    report = analyzer.evaluate((X, Y), attributions=methods)
    similarity = again(report, tmp_path).similarity()
    pd.testing.assert_frame_equal(similarity, report.similarity(), check_exact=True)
    assert "ablation_cosine" in similarity


def test_a_score_that_is_a_function_is_refused(tmp_path):
    def spread(output, target):
        return output.amax(1) - output.amin(1)

    with pytest.raises(TypeError, match="score is a function"):
        evaluated(score=spread).save(tmp_path / "report")
    assert not list(tmp_path.iterdir())


def test_other_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        ConfusingReport.load(tmp_path / "nothing")
    LogicalModel.from_values(torch.rand(8)).save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"not a file that ConfusingReport\.save wrote"):
        ConfusingReport.load(tmp_path / "model")
    report = evaluated()
    report.save(tmp_path / "report")
    whole = (tmp_path / "report").read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "report").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="damaged"):
            ConfusingReport.load(tmp_path / "report")
