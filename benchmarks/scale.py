"""Does an evaluation grow as its samples do?

    python -m benchmarks.scale growth       # 1 000 to 20 000 images, four models: seconds, memory, bytes a row
    python -m benchmarks.scale report       # overlaps of 30 models, memory, pages of 2 x 1 000 and 10 x 50 000 samples

Fashion-MNIST at 14 x 14, small CNNs (untrained: only time counts), nine patches, scores of v. ``growth`` writes images to
Parquet, maps ``explain_batch`` over batches read from there, writes the rows to Parquet, and collects with labels alone; each
size runs in a process of its own, whose largest memory is read at the end. One thread.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import gc
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from tutorials.datasets.fashion import fashion_mnist
from tutorials.scripts.confusing_samples import small_network, smaller

SIZES, MODELS, BATCH = (1_000, 5_000, 10_000, 20_000), 4, 250
SCORES = ("net_order", "flip_rate", "masked_margin")


def analyzer_of(models: int, view: bool = False) -> ConfusingSampleAnalyzer:
    """An analyzer of small CNNs."""
    made = ConfusingSampleAnalyzer(feature_mask=image_grid(14, 14, 3, 3), scores=SCORES, baselines=[0, 0.5][: 1 + view])
    for seed in range(models):
        torch.manual_seed(seed)
        made.add_model(f"seed {seed}", small_network().eval())
    return made


def growth() -> None:
    """Seconds and memory by number of samples, and the straight line through them."""
    print(
        f"{MODELS} models, one baseline, one thread: images from Parquet, rows to Parquet, the report from labels alone"
    )
    print(
        f"{'samples':>8}{'evaluate, s':>13}{'ms a sample':>13}{'collect, s':>12}{'page, s':>9}{'peak MB':>9}{'bytes a row':>13}"
    )
    found = []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.scale", "one", str(size)]
        numbers = [float(x) for x in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]
        seconds, collect, page, peak, row = numbers
        found.append((size, seconds, peak))
        print(
            f"{size:8}{seconds:13.1f}{seconds / size * 1e3:13.2f}{collect:12.1f}{page:9.1f}{peak:9.0f}{row:13.0f}",
            flush=True,
        )
    sizes, times, peaks = np.array(found).T
    slope, start = np.polyfit(sizes, times, 1)
    off = np.abs(times - start - slope * sizes).max() / times.max()
    print(f"time: {start:.1f} s + {slope * 1e3:.2f} s a thousand samples, off the line by {off:.1%} at most")
    print(f"ten million samples, computed, not run: {slope * 1e7 / 3600:.0f} hours on one core")
    grown = peaks.max() - peaks.min()
    print(
        f"memory: the peak is that of loading the pictures; it grows by {grown:.0f} MB from the fewest to the most samples"
    )


def one(size: int) -> None:
    """One size, in a process of its own."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, labels = fashion_mnist(train=True)
    made = analyzer_of(MODELS)
    with tempfile.TemporaryDirectory() as folder:
        pictures, rows = Path(folder) / "images.parquet", Path(folder) / "rows"
        rows.mkdir()
        flat = smaller(images[:size]).numpy().reshape(size, -1)
        pq.write_table(
            pa.table({"sample": np.arange(size), "input": list(flat), "label": labels[:size].numpy()}),
            pictures,
            row_group_size=BATCH,
        )
        known = labels[:size].clone()
        del images, flat
        start = time.perf_counter()
        schema = made.arrow_schema("scores")
        for number, batch in enumerate(pq.ParquetFile(pictures).iter_batches(BATCH)):
            frame = batch.to_pandas()
            inputs = np.stack(frame["input"]).reshape(-1, 1, 14, 14).astype(np.float32)
            table = made.explain_batch(
                {"sample": frame["sample"], "input": inputs, "label": frame["label"]}, keep="scores"
            )
            pq.write_table(
                pa.Table.from_pandas(table, schema=schema, preserve_index=False), rows / f"{number:05d}.parquet"
            )
        seconds = time.perf_counter() - start
        size_of_row = sum(file.stat().st_size for file in rows.iterdir()) / (size * MODELS)
        start = time.perf_counter()
        report = made.collect(rows, known)
        collect = time.perf_counter() - start
        assert isinstance(report.scores, pd.DataFrame)
        start = time.perf_counter()
        report.to_html(Path(folder) / "page.html")
        page = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, collect, page, peak, size_of_row)


def resident() -> float:
    """Bytes that this process holds (Linux)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def report() -> None:
    """Seconds of overlaps and pages."""

    class Dense(nn.Sequential):
        pass

    def evaluated(models: int, samples: int, views: int = 2):
        torch.manual_seed(0)
        x, y = torch.rand(samples, 6), torch.arange(samples) % 3
        made = ConfusingSampleAnalyzer(scores=SCORES, baselines=[0, 0.5][:views])
        for seed in range(models):
            torch.manual_seed(seed)
            made.add_model(f"seed {seed}", Dense(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
        return made.evaluate((x, y), batch_size=2000)

    found = evaluated(30, 1000)
    start = time.perf_counter()
    found.overlap()
    first = time.perf_counter() - start
    start = time.perf_counter()
    found.overlap()
    print(f"overlap of 30 models, 1 000 samples: {first:.2f} s, again {time.perf_counter() - start:.4f} s")
    before = resident()
    models, samples = 4, 20_000
    found = evaluated(models, samples, views=1)
    each = (resident() - before) / models / samples
    print(
        f"memory of a report of {models} models, {samples:,} samples, inputs included: {each:.0f} bytes a sample and model"
    )
    for models, samples in ((2, 1_000), (10, 50_000)):
        found = evaluated(models, samples)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            found.to_html(Path(folder) / "page.html")
            seconds = time.perf_counter() - start
            size = (Path(folder) / "page.html").stat().st_size / 1e6
        print(f"page of {models} models, {samples:,} samples: {seconds:.1f} s, {size:.1f} MB")


if __name__ == "__main__":
    parts = {"growth": growth, "report": report}
    if sys.argv[1:2] == ["one"]:
        one(int(sys.argv[2]))
    else:
        for part in sys.argv[1:] or ["growth", "report"]:
            parts[part]()
