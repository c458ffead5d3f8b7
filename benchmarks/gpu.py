"""What explanations cost on a GPU beside the model's own passes, and what solving costs there and on the CPU.

    python -m benchmarks.gpu [--device cuda]

A ResNet-50 of random weights on noise, 224 x 224, twelve players (4 096 masked images): for time, weights do not
matter. All times are medians of one run, synchronised.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torchvision.models import resnet50

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from captum_andor.games.masks import image_grid

REPEATS = 3


def seconds(call: Callable[[], Any], device: str) -> float:
    """Median, after one call to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def explanations(device: str) -> None:
    torch.manual_seed(0)
    model, image = resnet50().eval().to(device), torch.randn(1, 3, 224, 224, device=device)
    method, mask = AndOrInteractions(model), image_grid(224, 224, 3, 4).to(device)
    rows = torch.randn(128, 3, 224, 224, device=device)

    @torch.no_grad()
    def passes() -> None:
        for _ in range(4096 // len(rows)):
            model(rows)

    alone = seconds(passes, device)
    print(f"{'4 096 passes of the model alone, batches of 128':58}{alone:8.2f} s")
    for name, call in (
        ("attribute (Shapley values)", lambda: method.attribute(image, target=0, feature_mask=mask)),
        *(
            (
                f"logical model of ten patterns, budget {budget}",
                partial(method.logical_model, image, target=0, feature_mask=mask, budget=budget),
            )
            for budget in (4096, 1024, 512)
        ),
        ("split to gap 1e-3", lambda: method.interactions(image, target=0, feature_mask=mask)),
    ):
        time_taken = seconds(call, device)
        print(f"{name:58}{time_taken:8.2f} s{time_taken / alone:8.2f} of the passes")


def solving(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    print(f"\n{'games, players':20}{'what':28}{'cpu':>10}{device:>10}   (s)")
    for count, n in ((256, 9), (64, 12)):
        v = torch.randn(count, 1 << n, generator=generator, dtype=torch.float64).cumsum(-1)
        for name, solve in (
            ("split to gap 1e-3", AndOrExplanation.from_values),
            ("ten patterns", LogicalModel.from_values),
        ):
            times = [seconds(partial(solve, v.to(place)), place) for place in ("cpu", device)]
            print(f"{f'{count}, {n}':20}{name:28}{times[0]:10.2f}{times[1]:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu runs the same on the processor")
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(f"{name}, torch {torch.__version__}\n")
    explanations(device)
    solving(device)


if __name__ == "__main__":
    main()
