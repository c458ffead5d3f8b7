"""The sparse split: seconds to a gap, beside the SGD of published practice, and what noise does to salient sets.

    python -m benchmarks.split time sgd noise

One thread, batches of real games (``real_games.py`` makes and caches them), seconds per sample. ``sgd`` follows the
authors' settings (momentum 0.9, step 1e-5 falling to 1e-6, 10 000 steps, bound 0.04); its time is that of 100 steps,
times 100.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.real_games import real_games
from captum_andor import AndOrExplanation
from captum_andor.games.transforms import mobius, mobius_adjoint, or_mobius, or_mobius_adjoint
from captum_andor.split import split_game

torch.set_num_threads(1)

STEPS, TIMED_STEPS, BOUND = 10_000, 100, 0.04
CASES = {
    "digits8": [(0, 1e-3), (0, 1e-6), (0.04, 1e-3), (0.04, 1e-6)],
    "digits10": [(0, 1e-3), (0, 1e-6), (0.04, 1e-3), (0.04, 1e-6)],
    "digits12": [(0, 1e-3), (0.04, 1e-3)],
    "news14": [(0, 1e-3), (0.04, 1e-3)],
    "mnist16": [(0, 1e-2), (0, 1e-3), (0.04, 1e-2)],
}


def games(name: str) -> Tensor:
    return torch.as_tensor(real_games()[name], dtype=torch.float64)[:20]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def time_to_gap() -> None:
    """Seconds per sample, largest gap, by number of players, noise bound and tolerance."""
    print(f"{'games':12}{'samples':>8}{'bound':>7}{'gap asked':>11}{'largest gap':>13}{'s a sample':>12}")
    for name, cases in CASES.items():
        v = games(name)
        split_game(v[:1], noise_bound=BOUND, tolerance=0.5)
        for bound, tolerance in cases:
            result, seconds = timed(lambda v=v, b=bound, t=tolerance: split_game(v, noise_bound=b, tolerance=t))
            gap = float(result.duality_gap.max())
            print(f"{name:12}{len(v):8}{bound:7.2f}{tolerance:11.0e}{gap:13.1e}{seconds / len(v):12.4f}", flush=True)


def sgd() -> None:
    """Our time to a gap of 1e-3, and to what SGD ends at, against SGD's."""
    print(
        f"\n{'games':12}{'SGD, dense':>12}{'fast':>9}{'its l1 / ours':>15}{'ours, 1e-3':>12}{'dense / ours':>14}{'fast / ours':>13}"
    )
    for name in ("digits8", "digits10", "digits12"):
        v = games(name)
        ours, seconds = timed(lambda v=v: split_game(v, noise_bound=BOUND, tolerance=1e-3))
        _, rough = timed(lambda v=v: split_game(v, noise_bound=BOUND, tolerance=0.3))
        steps = STEPS if name != "digits12" else 2_000
        (l1, _), fast = timed(lambda v=v, s=steps: descent(v, s, Fast(v.shape[1])))
        fast *= STEPS / steps
        _, dense = timed(lambda v=v: descent(v[:1], TIMED_STEPS, Dense(v.shape[1])))
        dense, fast, seconds, rough = dense * STEPS / TIMED_STEPS, fast / len(v), seconds / len(v), rough / len(v)
        ratio = float((l1 / ours.l1).mean())
        note = "" if steps == STEPS else f" ({steps} steps)"
        print(
            f"{name:12}{dense:10.1f} s{fast:7.2f} s{ratio:15.2f}{seconds:10.4f} s{dense / seconds:14.0f}{fast / rough:13.0f}{note}",
            flush=True,
        )


class Fast:
    """Transforms of the package."""

    def __init__(self, size: int) -> None:
        self.pair = (mobius, or_mobius, mobius_adjoint, or_mobius_adjoint)

    def __call__(self, ands: Tensor, ors: Tensor) -> tuple[Tensor, Tensor]:
        return self.pair[0](ands), self.pair[1](ors)

    def adjoint(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.pair[2](a), self.pair[3](b)


class Dense(Fast):
    """The same as 2^n x 2^n matrices."""

    def __init__(self, size: int) -> None:
        eye = torch.eye(size, dtype=torch.float64)
        self.matrices = mobius(eye), or_mobius(eye)

    def __call__(self, ands: Tensor, ors: Tensor) -> tuple[Tensor, Tensor]:
        return ands @ self.matrices[0], ors @ self.matrices[1]

    def adjoint(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return a @ self.matrices[0].T, b @ self.matrices[1].T


def descent(v: Tensor, steps: int, transform: Fast) -> tuple[Tensor, Tensor]:
    """Subgradient descent with momentum on γ and q: final l1, and q."""
    v = v - v[:, :1]
    bound = BOUND * (v[:, -1:] - v[:, :1]).abs()
    gamma, q = torch.zeros_like(v), torch.zeros_like(v)
    momentum, q_momentum = torch.zeros_like(v), torch.zeros_like(v)
    for step in range(steps):
        rate = 1e-5 + (1e-6 - 1e-5) * step / max(steps - 1, 1)
        a, b = transform((v + q) / 2 + gamma, (v + q) / 2 - gamma)
        grad_and, grad_or = transform.adjoint(a.sign(), b.sign())
        momentum = 0.9 * momentum + grad_and - grad_or
        q_momentum = 0.9 * q_momentum + (grad_and + grad_or) / 2
        gamma = gamma - rate * momentum
        q = torch.minimum(torch.maximum(q - rate * q_momentum, -bound), bound)
        q[:, 0] = 0.0
    a, b = transform((v + q) / 2 + gamma, (v + q) / 2 - gamma)
    return a[:, 1:].abs().sum(1) + b[:, 1:].abs().sum(1), q


def noise() -> None:
    """Salient sets of two solves under 3 % output noise, by noise bound: Jaccard index, and share of flipped signs."""
    v = games("digits8")
    effect = (v[:, -1:] - v[:, :1]).abs()
    generator = torch.Generator().manual_seed(0)
    noisy = [v + 0.03 * effect * torch.randn(v.shape, dtype=torch.float64, generator=generator) for _ in range(2)]
    print(f"\n{'bound':>7}{'salient sets shared':>21}{'signs flipped':>15}{'salient, mean':>15}")
    for bound in (0.0, 0.02, 0.04, 0.08):
        found = [AndOrExplanation.from_values(x, noise_bound=bound, tolerance=1e-3) for x in noisy]
        shared, flipped, counts = [], 0, []
        for one, other in zip(*found, strict=True):
            first, second = ({(i.kind, i.players): i.value for i in ex.salient()} for ex in (one, other))
            both = first.keys() & second.keys()
            shared.append(len(both) / len(first.keys() | second.keys()))
            flipped += sum(first[key] * second[key] < 0 for key in both)
            counts += [len(first), len(second)]
        print(f"{bound:7.2f}{np.mean(shared):21.2f}{flipped:15}{np.mean(counts):15.1f}", flush=True)


if __name__ == "__main__":
    parts = {"time": time_to_gap, "sgd": sgd, "noise": noise}
    for part in sys.argv[1:] or parts:
        parts[part]()
