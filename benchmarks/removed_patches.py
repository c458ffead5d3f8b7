"""Patches of a vision transformer left out, against a full pass: time by the share that is left.

    python -m benchmarks.removed_patches        # 3 minutes; writes benchmarks/results/removed_patches.txt

ViT-B/16 of torchvision, random weights, 32 pictures of 224 x 224 pixels, two threads, median of five passes each, in
turn.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import torch
from torchvision.models import vit_b_16

from captum_andor.games import RemovedPatches
from captum_andor.games.masks import image_grid

FILE = Path(__file__).resolve().parent / "results" / "removed_patches.txt"
SHARES, REPEATS = (1.0, 0.75, 0.5, 0.25), 5


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    vit = vit_b_16().eval()
    model = RemovedPatches(vit)
    pictures = torch.rand(32, 3, 224, 224)
    patches = image_grid(224, 224, 14, 14)
    batches = {}
    for share in SHARES:
        order = torch.rand(32, 196).argsort(1)
        kept = order < round(196 * share)
        batches[share] = torch.where(kept[:, patches.flatten()].view(32, 1, 224, 224), pictures, torch.nan)
    seconds: dict[str, list[float]] = {"full pass": []} | {f"{share:.0%} left": [] for share in SHARES}
    for _ in range(REPEATS):
        start = time.perf_counter()
        vit(pictures)
        seconds["full pass"].append(time.perf_counter() - start)
        for share, batch in batches.items():
            start = time.perf_counter()
            model(batch)
            seconds[f"{share:.0%} left"].append(time.perf_counter() - start)
    full = median(seconds["full pass"])
    lines = ["what                  seconds  of a full pass"]
    lines += [f"{name:<20}  {median(each):>7.2f}  {median(each) / full:>14.2f}" for name, each in seconds.items()]
    print("\n".join(lines))
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
