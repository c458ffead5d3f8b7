"""Reports from tables of batches: what rows hold, in which form and order they come, and what is refused."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.confusing.evaluation.evaluator import Evaluator
from captum_andor.games.masks import image_grid

N = 20
X = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 10


def analyzer(seed=0, **options):
    made = ConfusingSampleAnalyzer(
        **{
            "scores": ("net_order", "masked_margin"),
            "baselines": [0, 0.5],
            "feature_mask": image_grid(6, 6, 3, 3),
            **options,
        }
    )
    for name in "ab":
        torch.manual_seed(seed + ord(name))
        made.add_model(name, nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 10)).eval())
    return made


def batches(size=6):
    return [{"sample": i.numpy(), "input": X[i].numpy(), "label": Y[i].numpy()} for i in torch.arange(N).split(size)]


def tables(made, keep="scores", **options):
    return [made.explain_batch(batch, keep=keep, **options) for batch in batches()]


@pytest.mark.parametrize("keep", ["scores", "outputs"])
@pytest.mark.parametrize("labels", ["given", "predicted"])
def test_the_report_is_that_of_one_evaluation(keep, labels) -> None:
    made = analyzer()
    whole = made.evaluate((X, Y), labels=labels, batch_size=6)
    found = made.collect(reversed(tables(made, keep, labels=labels)), (X, Y), labels=labels)
    pd.testing.assert_frame_equal(found.scores, whole.scores)
    assert found.overlap()["iou"].tolist() == whole.overlap()["iou"].tolist()
    assert found.rank("a")["reasons"].tolist() == whole.rank("a")["reasons"].tolist()


def test_rows_of_scores_are_small() -> None:
    made = analyzer()
    table = tables(made)[0]
    size = sum(len(pickle.dumps(row._asdict())) for row in table.itertuples(index=False)) / len(table)
    arrow = pytest.importorskip("pyarrow")
    columns = arrow.Table.from_pandas(table, schema=made.arrow_schema("scores"), preserve_index=False)
    assert columns.nbytes / len(table) < 700 and size < 1500
    assert len(table["values"][0]) == 47 and len(table["logits"][0]) == 10


def test_labels_alone_are_enough_for_a_report(tmp_path) -> None:
    made = analyzer()
    whole = made.evaluate((X, Y))
    for labels in (Y, Y.numpy(), Y.tolist(), pd.Series(Y.numpy())):
        found = made.collect(tables(made), labels)
        pd.testing.assert_frame_equal(found.scores, whole.scores, rtol=1e-4, atol=1e-5)
    found.to_html(tmp_path / "page.html", k=2)
    assert "LOST {3}" in (tmp_path / "page.html").read_text()
    with pytest.raises(RuntimeError, match="models are not at hand"):
        found.similarity()
    assert found.value_similarity()["value_correlation"].notna().all()


def test_parquet_folders_and_arrow_tables(tmp_path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    made = analyzer()
    expected = made.collect(tables(made), Y).scores
    for keep in ("scores", "outputs"):
        as_arrow = [
            arrow.Table.from_pandas(t, schema=made.arrow_schema(keep), preserve_index=False) for t in tables(made, keep)
        ]
        folder = tmp_path / keep
        folder.mkdir()
        for number, table in enumerate(as_arrow):
            parquet.write_table(table, folder / f"part-{number}.parquet")
        for given in (folder, str(folder), as_arrow, iter(as_arrow), [folder / f"part-{i}.parquet" for i in range(4)]):
            pd.testing.assert_frame_equal(made.collect(given, Y).scores, expected, rtol=1e-4, atol=1e-5)
    half = (folder / "part-1.parquet").read_bytes()
    (folder / "part-1.parquet").write_bytes(half[: len(half) // 2])
    with pytest.raises(ValueError, match=r"part-1.parquet cannot be read"):
        made.collect(folder, Y)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file"):
        made.collect(tmp_path / "empty", Y)


def test_batches_of_arrow_pandas_and_nothing() -> None:
    arrow = pytest.importorskip("pyarrow")
    made = analyzer()
    flat = pd.DataFrame({"sample": range(N), "input": X.numpy().tolist(), "label": Y.numpy()})
    expected = made.explain_batch({"sample": range(N), "input": X.numpy(), "label": Y.numpy()}, keep="scores")
    for batch in (flat, arrow.Table.from_pandas(flat)):
        pd.testing.assert_frame_equal(made.explain_batch(batch, keep="scores"), expected)
    empty = made.explain_batch({"sample": [], "input": [], "label": []}, keep="scores")
    assert list(empty.columns) == list(expected.columns) and not len(empty)
    assert made.arrow_schema("scores").names == list(expected.columns)
    arrow.Table.from_pandas(empty, schema=made.arrow_schema("scores"), preserve_index=False)


def test_other_models_and_settings_are_refused() -> None:
    made = analyzer()
    for other in (
        analyzer(seed=5),
        analyzer(baselines=[0, 0.4]),
        analyzer(score="log_prob"),
        analyzer(coalitions="all"),
    ):
        rows = tables(other, "scores" if other._only_scored else "outputs")
        with pytest.raises(ValueError, match="of another analyzer"):
            made.collect(rows, Y)
    for dataset in (Y, (X, Y)):  # the fingerprint of an input does not tell of which score or label v is
        with pytest.raises(ValueError, match="of another analyzer"):
            made.collect(tables(made, labels="predicted"), dataset)
        with pytest.raises(ValueError, match="of another analyzer"):
            made.collect(tables(analyzer(score="log_prob")), dataset)
    with pytest.raises(ValueError, match="v of label 0 for sample 0, which is labelled 1"):
        made.collect(tables(made), (Y + 1) % 10)
    mixed = [*tables(made)[:2], *tables(made, "outputs")[2:]]
    with pytest.raises(ValueError, match="keep="):
        made.collect(mixed, Y)
    with pytest.raises(ValueError, match=r"sample 6, 7, 8, 9, 10, … is missing \(6 in all\)"):
        made.collect([tables(made)[i] for i in (0, 2, 3)], Y)
    with pytest.raises(ValueError, match="the data set has 10 samples"):
        made.collect(tables(made), Y[:10])
    with pytest.raises(ValueError, match="hold v of score"):
        made.collect(tables(made), Y).rescore(score="log_prob")


def test_bad_arguments() -> None:
    made = analyzer()
    with pytest.raises(ValueError, match="keep must be"):
        made.explain_batch(batches()[0], keep="logits")
    with pytest.raises(ValueError, match='needs a column "label"'):
        made.explain_batch({"sample": [0], "input": X[:1].numpy()}, keep="scores")
    with pytest.raises(ValueError, match="its scores are .*'offset'"):
        analyzer(scores="all").explain_batch(batches()[0], keep="scores")
    with pytest.raises(TypeError, match="tables must be"):
        made.collect({"sample": [1]}, Y)
    with pytest.raises(ValueError, match="training mode"):
        made._models["a"].train()
        made.explain_batch(batches()[0])


def test_what_workers_are_sent_holds_no_report() -> None:
    made = analyzer()
    before = len(pickle.dumps(made))
    made.evaluate((X, Y))
    assert len(pickle.dumps(made)) <= before + 200
    assert pickle.loads(pickle.dumps(made))._report is None


def test_what_a_folder_lacks_is_evaluated_and_nothing_else(tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    made, folder = analyzer(), tmp_path / "scores"
    assert made.missing(folder, N) == list(range(N))
    folder.mkdir()

    def write(name, table):
        parquet.write_table(
            arrow.Table.from_pandas(table, schema=made.arrow_schema("scores"), preserve_index=False), folder / name
        )

    first, second, *_ = tables(made)
    write("0.parquet", first)
    write("1.parquet", second[second["model"] == "a"])  # the other model's rows were not written
    assert made.missing(folder, N) == list(range(6, N))
    (folder / "2.parquet").write_bytes((folder / "0.parquet").read_bytes()[:200])
    with pytest.warns(UserWarning, match=r"2.parquet cannot be read.*Delete it"):
        assert made.missing(folder, N) == list(range(6, N))
    for name in ("1.parquet", "2.parquet"):
        (folder / name).unlink()
    rows = made.missing(folder, N)
    batch = {"sample": rows, "input": X[rows].numpy(), "label": Y[rows].numpy()}
    write("rest.parquet", made.explain_batch(batch, keep="scores"))
    assert made.missing(folder, N) == []
    whole = made.evaluate((X, Y)).scores
    pd.testing.assert_frame_equal(made.collect(folder, Y).scores, whole, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="of another analyzer"):
        analyzer(seed=3).missing(folder, N)
    with pytest.raises(ValueError, match="the data set has 5 samples"):
        made.missing(folder, 5)


def test_some_samples_keep_their_indices() -> None:
    made = analyzer()
    whole = made.collect(tables(made, "outputs"), (X, Y))
    some = made.collect(tables(made, "outputs"), (X, Y), samples=[17, 3, 4, 9, 12])
    assert some.samples.tolist() == [3, 4, 9, 12, 17] and len(some) == 5
    of_all = whole.scores[whole.scores["sample"].isin(some.samples)].reset_index(drop=True)
    for column in ("sample", "label", "value", "loss", "ink"):  # net_order is in units of the mean effect
        pd.testing.assert_series_equal(some.scores[column], of_all[column])
    assert set(some.confusing_sets(0.4)["a"]) <= set(some.samples.tolist())
    assert set(some.rank("b")["sample"]) == set(some.samples.tolist())
    assert some.similarity()["sample"].tolist() == [3, 4, 9, 12, 17]
    assert some.to_cleanlab("a").index.tolist() == [3, 4, 9, 12, 17]
    grouped = some.value_similarity(by_group=True)
    assert grouped["n"].sum() == 5
    fig, _ = some.compare(17, use_pyplot=False)
    assert "label 7" in " ".join(axis.get_title() for axis in fig.axes)
    with pytest.raises(IndexError, match="one of 5 3 to 17; got 5"):
        some.compare(5)


def test_known_samples_of_a_part_are_named_by_their_indices() -> None:
    made = analyzer()
    some = made.collect(tables(made), Y, samples=range(4, 18))
    by_mask = some.label_noise([number in (5, 9) for number in some.samples], "a", n_resamples=20)
    pd.testing.assert_frame_equal(some.label_noise([5, 9], "a", n_resamples=20), by_mask)
    with pytest.raises(ValueError, match="known names sample 2, which the report is not about"):
        some.label_noise([2, 5])


def test_a_draw_of_samples_is_random_and_repeats() -> None:
    made = analyzer()
    rows = tables(made)
    first, again, other = (made.collect(rows, Y, samples=8, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 8 and first.samples.tolist() == again.samples.tolist() != other.samples.tolist()


@pytest.mark.parametrize("score", ["net_order", "flip_rate"])  # without ties, and with many
def test_intervals_of_overlap_hold_what_all_samples_say(score) -> None:
    n = 1500
    x, y = torch.rand(n, 4, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 3
    made = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"))
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
        with torch.no_grad():
            for weights in model.parameters():
                weights *= 6  # decisions that masks can turn
        made.add_model(str(seed), model)
    rows = made.explain_batch({"sample": range(n), "input": x, "label": y}, keep="scores")
    truth = made.collect(rows, y).overlap(score, fraction=0.2, n_resamples=10).iloc[0]
    held, rank_held = [], []
    for seed in range(60):
        found = made.collect(rows, y, samples=150, seed=seed).overlap(score, fraction=0.2, n_resamples=200).iloc[0]
        held.append(found["iou_low"] <= truth["iou"] <= found["iou_high"])
        rank_held.append(found["spearman_low"] <= truth["spearman"] <= found["spearman_high"])
    assert sum(held) >= 0.88 * 60 and sum(rank_held) >= 0.88 * 60


def test_an_unfinished_folder_gives_the_report_of_what_is_there() -> None:
    made = analyzer()
    rows = pd.concat(tables(made))
    lacking = rows[~(rows["sample"].isin([0, 11]) & (rows["model"] == "b"))]
    with pytest.raises(ValueError, match='sample 0, 11 is missing.*samples="finished"'):
        made.collect(lacking, Y)
    found = made.collect(lacking, Y, samples="finished")
    assert sorted(set(range(N)) - set(found.samples.tolist())) == [0, 11]
    of_these = made.collect(rows, Y, samples=found.samples.tolist())
    pd.testing.assert_frame_equal(found.scores, of_these.scores)
    with pytest.raises(ValueError, match="hold no sample for every model"):
        made.collect(rows[rows["model"] == "a"], Y, samples="finished")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (0, "samples must be 1 to 20"),
        (21, "samples must be 1 to 20"),
        ([1, 1], "each sample once"),
        ([-1, 2], "names sample -1"),
        ([20], "names sample 20"),
        ([], "samples must be a number of samples"),
        ("all", "samples must be a number of samples"),
        (0.5, "samples must be a number of samples"),
        (True, "samples must be a number of samples"),
    ],
)
def test_samples_that_are_none_of_the_data_set(samples, message) -> None:
    made = analyzer()
    with pytest.raises((TypeError, ValueError), match=message):
        made.collect(tables(made), Y, samples=samples)


def test_a_folder_keeps_what_is_explained(tmp_path) -> None:
    made = analyzer()
    folder = tmp_path / "new" / "rows"
    first = [made.explain_batch(batch, keep="scores", folder=folder) for batch in batches()]
    second = [analyzer().explain_batch(batch, keep="scores", folder=folder) for batch in batches()]
    for a, b in zip(first, second, strict=True):
        assert a.dtypes.tolist() == b.dtypes.tolist()
        pd.testing.assert_frame_equal(a.drop(columns=["logits", "values"]), b.drop(columns=["logits", "values"]))
        assert [list(row) for row in a["values"]] == [list(row) for row in b["values"]]
    assert analyzer().missing(folder, N) == []
    pd.testing.assert_frame_equal(made.collect(folder, (X, Y)).scores, made.evaluate((X, Y), batch_size=6).scores)


def test_a_batch_in_a_folder_is_not_evaluated_again(tmp_path, monkeypatch) -> None:
    made, batch = analyzer(), batches()[0]
    made.explain_batch(batch, keep="scores", folder=tmp_path)
    monkeypatch.setattr(Evaluator, "run", lambda *_: pytest.fail("evaluated again"))
    assert len(made.explain_batch(batch, keep="scores", folder=tmp_path)) == 6 * 2 * 2


def test_a_damaged_part_is_evaluated_again(tmp_path) -> None:
    made, batch = analyzer(), batches()[0]
    whole = made.explain_batch(batch, keep="scores", folder=tmp_path)
    (part,) = tmp_path.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    with pytest.warns(UserWarning, match="cannot be read.*evaluated again"):
        found = made.explain_batch(batch, keep="scores", folder=tmp_path)
    assert found["fingerprint"].tolist() == whole["fingerprint"].tolist()
    assert len(pd.read_parquet(part)) == len(whole)


def test_a_folder_of_other_models_is_refused(tmp_path) -> None:
    batch = batches()[0]
    analyzer().explain_batch(batch, keep="scores", folder=tmp_path)
    with pytest.raises(ValueError, match="folder .* is of another evaluation .*another model"):
        analyzer(seed=5).explain_batch(batch, keep="scores", folder=tmp_path)
    with pytest.raises(ValueError, match="keep scores, now outputs"):
        analyzer().explain_batch(batch, folder=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="folder must be a folder"):
        analyzer().explain_batch(batch, folder=tmp_path / "file")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 1, 2, 3, 4, 77]}, "label 77 of sample 17 is outside the 10 classes of model 'a'"),
        ({"label": [0.5] * 6}, "column 'label' of batch must hold one whole number a row; got float64"),
        ({"sample": [float("nan")] * 6}, "column 'sample' of batch must hold one whole number a row"),
        ({"sample": list("abcdef")}, "column 'sample' of batch must hold one whole number a row; got <U1"),
        ({"input": [*X[:5], X[5][:, :5]]}, "column 'input' of batch must hold an array of one shape in every row"),
    ],
)
def test_batches_that_are_wrong(columns, message) -> None:
    with pytest.raises(ValueError, match=message):
        analyzer().explain_batch({**batches()[2], **columns}, keep="scores")


def test_whole_numbers_may_come_as_floats() -> None:
    batch = batches()[0]
    found = analyzer().explain_batch({**batch, "sample": batch["sample"].astype(float)}, keep="scores")
    assert found["sample"].dtype == "int64"


def test_labels_alone_must_be_classes() -> None:
    made = analyzer()
    with pytest.raises(ValueError, match="label 88 of sample 19 is outside the 10 classes"):
        made.collect(tables(made, "outputs"), [0] * 19 + [88])
