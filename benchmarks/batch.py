"""Which batch is fastest? Seconds for 2^10 coalitions by rows per forward pass, and where the automatic choice stands.

python benchmarks/batch.py
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from captum_andor import AndOrInteractions

REPEATS = 5
ROWS = (4, 16, 64, 256, 1023, None)


def main() -> None:
    torch.manual_seed(0)
    cases = {
        "MLP, 10 columns": (nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 1)), (10,)),
        "CNN, 1x28x28": (nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(10)), (1, 28, 28)),
        "CNN, 3x32x32": (nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)), (3, 32, 32)),
        "CNN, 3x96x96": (nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.LazyLinear(10)), (3, 96, 96)),
    }  # fmt: skip
    print(f"{torch.get_num_threads()} thread(s), median of {REPEATS}; time relative to the fastest of the row")
    print(f"{'model (untrained)':20}" + "".join(f"{rows or 'automatic':>11}" for rows in ROWS))
    for name, (model, shape) in cases.items():
        x = torch.rand(1, *shape)
        model(x)
        mask = (torch.arange(x.numel()) * 10 // x.numel()).view(1, *shape)
        method = AndOrInteractions(model)
        seconds = [time_call(method, x, mask, rows) for rows in ROWS]
        print(f"{name:20}" + "".join(f"{s / min(seconds):11.2f}" for s in seconds), flush=True)


def time_call(method: AndOrInteractions, x: torch.Tensor, mask: torch.Tensor, rows: int | None) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        method.attribute(x, target=0, feature_mask=mask, perturbations_per_eval=rows)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
