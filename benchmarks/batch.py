"""Which batch is fastest? Seconds for 2^8 or 2^10 coalitions by rows per forward pass, and where the automatic choice stands.

python -m benchmarks.batch
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from captum_andor import AndOrInteractions

REPEATS = 3
ROWS = (4, 16, 64, 256, 1023, None)


def main() -> None:
    from torchvision.models import mobilenet_v3_small, resnet18

    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(10))
    last = torch.channels_last
    cases: dict[str, tuple[nn.Module, tuple[int, ...], int, int]] = {  # model, input, samples, players
        "MLP, 10 columns": (nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 1)), (10,), 1, 10),
        "CNN, 1x28x28": (small, (1, 28, 28), 1, 10),
        "CNN, 1x28x28, 48 samples": (small, (1, 28, 28), 48, 8),
        "CNN, 3x32x32": (nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)), (3, 32, 32), 1, 10),
        "CNN, 3x96x96": (nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.LazyLinear(10)), (3, 96, 96), 1, 10),
        "mobilenet_v3_small, 64 px": (mobilenet_v3_small(), (3, 64, 64), 1, 10),
        "  channels_last": (mobilenet_v3_small().to(memory_format=last), (3, 64, 64), 1, 10),
        "resnet18, 64 px": (resnet18(), (3, 64, 64), 1, 8),
        "  channels_last ": (resnet18().to(memory_format=last), (3, 64, 64), 1, 8),
    }  # fmt: skip
    print(f"{torch.get_num_threads()} thread(s), median of {REPEATS}; time relative to the fastest of the row")
    print(f"{'model (untrained)':28}" + "".join(f"{rows or 'automatic':>11}" for rows in ROWS))
    for name, (model, shape, samples, players) in cases.items():
        model.eval()
        x = torch.rand(samples, *shape)
        model(x)
        mask = (torch.arange(x[0].numel()) * players // x[0].numel()).view(1, *shape)
        method = AndOrInteractions(model)
        seconds = [time_call(method, x, mask, rows and max(rows // samples, 1)) for rows in ROWS]
        print(f"{name:28}" + "".join(f"{s / min(seconds):11.2f}" for s in seconds), flush=True)


def time_call(method: AndOrInteractions, x: torch.Tensor, mask: torch.Tensor, rows: int | None) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        method.attribute(x, target=0, feature_mask=mask, perturbations_per_eval=rows)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
