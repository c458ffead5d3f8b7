"""What an exact explanation costs beside the model's own forward passes, n = 12, a small CNN on MNIST.

    python -m benchmarks.overhead

Both times come from one run: the clock runs inside the model for the forward passes and around the call for the total.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_andor import AndOrInteractions
from tutorials.datasets.mnist import grid_mask, mnist, train

REPEATS = 7


class TimedModel:
    """A model that adds up the seconds spent in it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.seconds = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        start = time.perf_counter()
        output: Tensor = self.model(x)
        self.seconds += time.perf_counter() - start
        return output


def ratio(model: TimedModel, call: Callable[[], Any]) -> tuple[float, float]:
    """Median seconds in the model, and median of (total - model) / model."""
    forward, ratios = [], []
    for _ in range(REPEATS):
        model.seconds = 0.0
        start = time.perf_counter()
        call()
        total = time.perf_counter() - start
        forward.append(model.seconds)
        ratios.append((total - model.seconds) / model.seconds)
    return statistics.median(forward), statistics.median(ratios)


def main() -> None:
    images, labels = mnist(train=True)
    model = TimedModel(train(images[:20_000], labels[:20_000]))
    images, labels = mnist(train=False)
    method = AndOrInteractions(model, score="log_odds")
    mask = grid_mask(4, 3)
    print(f"{torch.get_num_threads()} thread(s); median of {REPEATS}")
    print(f"{'images':>6}  {'call':28} {'forward s':>10} {'beside it':>10}")
    for n_images in (1, 4, 16):
        x, y = images[:n_images], labels[:n_images]
        calls: dict[str, Callable[[], Any]] = {
            "attribute": lambda x=x, y=y: method.attribute(x, target=y, feature_mask=mask),
            'interactions(split="even")': lambda x=x, y=y: method.interactions(
                x, target=y, feature_mask=mask, split="even"
            ),
            'interactions(split="sparse")': lambda x=x, y=y: method.interactions(x, target=y, feature_mask=mask),
        }
        for name, call in calls.items():
            if n_images == 16 and "sparse" in name:
                continue
            seconds, beside = ratio(model, call)
            print(f"{n_images:6}  {name:28} {seconds:10.2f} {beside:10.1%}", flush=True)


if __name__ == "__main__":
    main()
