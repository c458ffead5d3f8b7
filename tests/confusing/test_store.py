"""One store for every way to evaluate: batches of any size, any caller, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.confusing.evaluation.evaluator import Evaluator

N = 11
X = torch.rand(N, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3


def analyzer(**options: object) -> ConfusingSampleAnalyzer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    made = ConfusingSampleAnalyzer(scores=("net_order", "flip_rate"), baselines=[0, 0.5], **options)  # type: ignore[arg-type]
    return made.add_model("a", model).add_model("b", nn.Linear(5, 3).eval())


def batches(size: int) -> list[dict[str, np.ndarray]]:
    parts = torch.arange(N).split(size)
    return [{"sample": rows.numpy(), "input": X[rows].numpy(), "label": Y[rows].numpy()} for rows in parts]


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of samples that models were run on, call by call."""
    counts: list[int] = []
    run = Evaluator.run

    def counted(self: Evaluator, name: str, players: object) -> torch.Tensor:
        counts.append(players.n_examples)  # type: ignore[attr-defined]
        return run(self, name, players)  # type: ignore[arg-type]

    monkeypatch.setattr(Evaluator, "run", counted)
    return counts


@pytest.mark.parametrize(("first", "second"), [(3, 4), (4, 3), (2, 64), (64, 1)])
def test_another_batch_size_goes_on_from_what_is_there(tmp_path, evaluated, first, second) -> None:
    expected = analyzer().evaluate((X, Y)).scores
    evaluated.clear()
    part = analyzer().evaluate((X[:7], Y[:7]), checkpoint_dir=tmp_path, batch_size=first)
    assert sum(evaluated) == 7 * 4  # two models, two baselines
    found = analyzer().evaluate((X, Y), checkpoint_dir=tmp_path, batch_size=second).scores
    assert sum(evaluated) == N * 4 and len(part.scores) == 14
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5)


def test_every_caller_reads_what_another_has_kept(tmp_path, evaluated) -> None:
    made = analyzer()
    for batch in batches(4)[:2]:
        made.explain_batch(batch, folder=tmp_path)
    assert made.missing(tmp_path, N) == list(range(8, N))
    done = sum(evaluated)
    report = made.evaluate((X, Y), checkpoint_dir=tmp_path, batch_size=3)
    assert sum(evaluated) == done + 3 * 4
    assert made.missing(tmp_path, N) == []
    for batch in batches(5):
        assert len(made.explain_batch(batch, folder=tmp_path)) == len(batch["sample"]) * 4
    assert sum(evaluated) == done + 3 * 4
    collected = made.collect(tmp_path, (X, Y)).scores
    pd.testing.assert_frame_equal(collected, report.scores)
    pd.testing.assert_frame_equal(made.collect(str(tmp_path), Y).scores, report.scores)


def test_rows_that_two_processes_have_both_kept_count_once(tmp_path) -> None:
    made = analyzer()
    for batch in (*batches(4), *batches(3)):
        table = made.explain_batch(batch)
        first, last = (int(f(batch["sample"])) for f in (min, max))
        frame = table.astype({"model": "object"})
        parquet.write_table(
            __import__("pyarrow").Table.from_pandas(frame, schema=made.arrow_schema(), preserve_index=False),
            tmp_path / f"{first:012d}-{last:012d}-{len(batch['sample']):016x}.parquet",
        )
    pd.testing.assert_frame_equal(
        made.collect(tmp_path, (X, Y)).scores, made.evaluate((X, Y)).scores, rtol=1e-4, atol=1e-5
    )
    assert made.missing(tmp_path, N) == []
    pd.testing.assert_frame_equal(
        made.evaluate((X, Y), checkpoint_dir=tmp_path).scores, made.evaluate((X, Y)).scores, rtol=1e-4, atol=1e-5
    )


def test_scores_of_v_and_of_patterns_share_a_folder(tmp_path, evaluated) -> None:
    """Rows of other masked inputs are passed over, not taken for these."""
    few = analyzer().evaluate((X, Y), checkpoint_dir=tmp_path)
    every = analyzer(coalitions="all").evaluate((X, Y), checkpoint_dir=tmp_path)
    pd.testing.assert_frame_equal(few.scores, every.scores, rtol=1e-4, atol=1e-5)
    done = sum(evaluated)
    analyzer().evaluate((X, Y), checkpoint_dir=tmp_path, batch_size=3)
    analyzer(coalitions="all").evaluate((X, Y), checkpoint_dir=tmp_path, batch_size=5)
    assert sum(evaluated) == done


def test_double_precision_stays_and_single_takes_no_more(tmp_path) -> None:
    for dtype in (torch.float32, torch.float64):
        model = nn.Linear(5, 3).eval().to(dtype)
        made = ConfusingSampleAnalyzer(scores=("net_order",)).add_model("m", model)
        for _ in range(2):
            report = made.evaluate((X.to(dtype), Y), checkpoint_dir=tmp_path / str(dtype))
            outputs = next(iter(report.scoring.evaluation.outputs.values()))
            assert outputs.dtype == dtype
        pd.testing.assert_frame_equal(report.scores, made.evaluate((X.to(dtype), Y)).scores)


def test_samples_of_a_folder_that_are_other_ones_are_named(tmp_path) -> None:
    analyzer().explain_batch(batches(4)[0], folder=tmp_path)
    moved = {**batches(4)[0], "input": X[[0, 1, 3, 2]].numpy()}
    with pytest.raises(ValueError, match=r"folder .* is of another evaluation \(another sample 2\)"):
        analyzer().explain_batch(moved, folder=tmp_path)


def test_without_pyarrow_the_package_to_install_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"checkpoint_dir .* need pyarrow: pip install .captum_andor.parquet"):
        analyzer().evaluate((X, Y), checkpoint_dir=tmp_path)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from captum_andor.confusing.evaluation.evaluator import Evaluator
import test_store as t
run = Evaluator.run
def slow(self, name, players):
    time.sleep(0.02)
    return run(self, name, players)
Evaluator.run = slow
print("ready", flush=True)
t.analyzer().evaluate((t.X, t.Y), checkpoint_dir=sys.argv[1], batch_size=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.05, 0.15, 0.3, 0.45])
def test_killed_anywhere_it_goes_on(tmp_path: Path, pause: float, evaluated: list[int]) -> None:
    code = SCRIPT.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "kept")],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for file in (tmp_path / "kept").glob("*.parquet"):
        assert len(pd.read_parquet(file)) > 0  # whole
    expected = analyzer().evaluate((X, Y)).scores
    found = analyzer().evaluate((X, Y), checkpoint_dir=tmp_path / "kept", batch_size=5).scores
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5)
