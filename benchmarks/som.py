"""Our batch map beside MiniSom's: seconds, quantization and topographic error on the digits of scikit-learn.

    python -m benchmarks.som

20 x 20 units, 20 epochs, one thread; both start on the plane of the two first principal components.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time

import torch
from minisom import MiniSom
from sklearn.datasets import load_digits

from captum_andor.studies import SelfOrganizingMap

torch.set_num_threads(1)


def main() -> None:
    data = torch.tensor(load_digits().data, dtype=torch.float64)
    data = (data - data.mean(0)) / data.std()
    print(f"{len(data)} digits, 64 features\n{'':28}{'seconds':>9}{'quantization':>14}{'topographic':>13}")
    start = time.perf_counter()
    ours = SelfOrganizingMap((20, 20)).fit(data)
    row("ours", time.perf_counter() - start, ours.quantization_error(data), ours.topographic_error(data))
    for decay in ("asymptotic_decay", "linear_decay_to_one"):
        theirs = MiniSom(20, 20, 64, sigma=10, learning_rate=0.5, sigma_decay_function=decay, random_seed=0)
        theirs.pca_weights_init(data.numpy())
        start = time.perf_counter()
        theirs.train_batch_offline(data.numpy(), 20)
        seconds = time.perf_counter() - start
        row(
            f"MiniSom, {decay}",
            seconds,
            theirs.quantization_error(data.numpy()),
            theirs.topographic_error(data.numpy()),
        )


def row(name: str, seconds: float, quantization: float, topographic: float) -> None:
    print(f"{name:28}{seconds:9.2f}{quantization:14.3f}{topographic:13.3f}")


if __name__ == "__main__":
    main()
