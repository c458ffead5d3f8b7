"""A folder of Parquet pictures through Ray Data or Spark to a report: seconds and memory as samples grow.

    python -m benchmarks.engines ray       # 1 000 to 20 000 images, four models (needs the extra "ray")
    python -m benchmarks.engines spark     # the same (needs the extra "spark" and a Java runtime)

Fashion-MNIST at 14 x 14, four small CNNs (untrained: only time counts), nine patches, one baseline, scores of v. Pictures lie in
a folder of Parquet files of 250 rows; an engine of two workers of one thread maps ``explain_batch`` over them and writes rows to
another; ``collect`` reads these and the labels. One process of one thread does the same, in turn. Memory is that of the process
and all that it started, beyond what they need before the first picture, shared pages counted once (Linux).
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.scale import BATCH, MODELS, SIZES, analyzer_of
from captum_andor import ConfusingSampleAnalyzer
from tutorials.datasets.fashion import fashion_mnist
from tutorials.scripts.confusing_samples import smaller

OVERHEAD_SIZE, REPEATS = 5_000, 3


def write_pictures(folder: Path, size: int) -> torch.Tensor:
    """Write the pictures as Parquet files of columns sample, input and label; returns the labels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, labels = fashion_mnist(train=True)
    folder.mkdir()
    for start in range(0, size, BATCH):
        rows = range(start, min(start + BATCH, size))
        pixels = smaller(images[rows.start : rows.stop]).numpy().reshape(len(rows), -1)
        columns = {"sample": list(rows), "input": list(pixels), "label": labels[rows.start : rows.stop].numpy()}
        pq.write_table(pa.table(columns), folder / f"{start:08d}.parquet")
    return labels[:size].clone()


class Explain:
    """What a worker does with a batch of columns: pictures in, rows of scores out."""

    def __init__(self, analyzer: ConfusingSampleAnalyzer) -> None:
        self.analyzer = analyzer

    def __call__(self, batch: Any) -> Any:
        pixels = np.stack([np.asarray(row, dtype=np.float32) for row in batch["input"]])
        pictures = {"sample": batch["sample"], "input": pixels.reshape(-1, 1, 14, 14), "label": batch["label"]}
        return self.analyzer.explain_batch(pictures, keep="scores")


def with_ray(analyzer: ConfusingSampleAnalyzer, pictures: Path, scores: Path) -> None:
    """Ray Data."""
    import ray

    data = ray.data.read_parquet(str(pictures))
    data = data.repartition(target_num_rows_per_block=2 * BATCH)  # small files would make one block: one worker
    tables = data.map_batches(Explain(analyzer).__call__, batch_size=BATCH)
    tables.write_parquet(str(scores))


def with_spark(analyzer: ConfusingSampleAnalyzer, pictures: Path, scores: Path) -> None:
    """Spark."""
    from pyspark.sql import SparkSession
    from pyspark.sql.pandas.types import from_arrow_schema

    explain = Explain(analyzer)

    def explained(batches):
        for batch in batches:
            yield explain(batch)

    files = len(list(pictures.glob("*.parquet")))
    frame = SparkSession.active().read.parquet(str(pictures)).repartition(max(files // 2, 2))  # even shares
    tables = frame.mapInPandas(explained, from_arrow_schema(analyzer.arrow_schema("scores")))
    tables.write.parquet(str(scores))


def alone(analyzer: ConfusingSampleAnalyzer, pictures: Path, scores: Path) -> None:
    """One process, file by file."""
    import pandas as pd

    explain = Explain(analyzer)
    scores.mkdir()
    for file in sorted(pictures.glob("*.parquet")):
        explain(pd.read_parquet(file)).to_parquet(scores / file.name)


def start_ray() -> None:
    import ray

    root = str(Path(__file__).parents[1])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=512 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": root}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False


def start_spark() -> None:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise SystemExit("Spark needs a Java runtime (Debian: default-jre-headless).")
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH)).getOrCreate()


def memory() -> float:
    """MB of this process and its descendants, a page that several share counted once."""

    def read(file: Path) -> str:
        try:
            return file.read_text()
        except OSError:  # it has ended
            return ""

    stats = {int(file.parent.name): read(file) for file in Path("/proc").glob("[0-9]*/stat")}
    parents = {process: int(text.rsplit(")", 1)[1].split()[1]) for process, text in stats.items() if text}
    own: set[int] = set()
    more = {os.getpid()}
    while more:
        own |= more
        more = {child for child, parent in parents.items() if parent in more}
    kept = [read(Path(f"/proc/{process}/smaps_rollup")).splitlines() for process in own]
    return sum(int(line.split()[1]) for lines in kept for line in lines if line.startswith("Pss:")) / 1024


class Peak(threading.Thread):
    """The largest memory while a block runs, looked at every half second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest, self.over = 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.largest = max(self.largest, memory())

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def timed(run: Callable[..., None], analyzer: ConfusingSampleAnalyzer, pictures: Path, labels: torch.Tensor):
    """Seconds of explaining and of collecting, with the largest memory."""
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        start = time.perf_counter()
        run(analyzer, pictures, Path(folder) / "scores")
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        analyzer.collect(Path(folder) / "scores", labels)
        return seconds, time.perf_counter() - start, peak


def main(engine: str) -> None:
    run, begin = {"ray": (with_ray, start_ray), "spark": (with_spark, start_spark)}[engine]
    analyzer = analyzer_of(MODELS)
    start = time.perf_counter()
    begin()
    print(f"{engine} with two workers of one thread, {MODELS} models; started in {time.perf_counter() - start:.1f} s")
    with tempfile.TemporaryDirectory() as root:
        few = Path(root) / "few"
        timed(run, analyzer, few, write_pictures(few, 2 * BATCH))  # workers start and load their libraries
        base = memory()
        print(f"{'samples':>8}{engine + ', s':>11}{'ms a sample':>13}{'collect, s':>12}{'MB beyond start':>17}")
        found = []
        for size in SIZES:
            pictures = Path(root) / str(size)
            labels = write_pictures(pictures, size)
            seconds, collect, peak = timed(run, analyzer, pictures, labels)
            found.append((size, seconds))
            largest = peak.largest - base
            print(f"{size:8}{seconds:11.1f}{seconds / size * 1e3:13.2f}{collect:12.1f}{largest:17.0f}", flush=True)
        sizes, times = np.array(found).T
        slope, first = np.polyfit(sizes, times, 1)
        off = np.abs(times - first - slope * sizes).max() / times.max()
        print(f"time: {first:.1f} s + {slope * 1e3:.2f} s a thousand samples, off the line by {off:.1%} at most")
        print(f"ten million samples, computed, not run: {slope * 1e7 / 3600:.0f} hours on two cores")
        pictures = Path(root) / str(OVERHEAD_SIZE)
        labels = torch.from_numpy(fashion_mnist(train=True)[1][:OVERHEAD_SIZE].numpy())
        ratios = []
        for _ in range(REPEATS):
            one = timed(alone, analyzer, pictures, labels)[0]
            both = timed(run, analyzer, pictures, labels)[0]
            ratios.append(2 * both / one)
        print(
            f"core-seconds beside one process, {OVERHEAD_SIZE:,} samples: {statistics.median(ratios):.2f} "
            f"(median of {', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))})"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 and sys.argv[1] in ("ray", "spark") else sys.exit(__doc__))
