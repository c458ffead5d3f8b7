"""Fashion-MNIST: from Debian's package where apt is at hand (no hub), else by torchvision's download."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from pathlib import Path

from torch import Tensor

from tutorials.datasets.mnist import CACHE, check_digest, fetched, images_and_labels

_PACKAGE = "dataset-fashion-mnist"
_FILES = {  # sha256 of the unpacked IDX files
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def fashion_mnist(train: bool, root: Path = CACHE) -> tuple[Tensor, Tensor]:
    """Images ``(N, 1, 28, 28)`` float32 in [0, 1] and labels ``(N,)``."""
    from torchvision.datasets import FashionMNIST

    return images_and_labels(FashionMNIST, train, root, _unpack_debian_package)


def _unpack_debian_package(raw: Path) -> bool:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        if not fetched(["apt-get", "download", _PACKAGE], folder):
            return False
        package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        raw.mkdir(parents=True, exist_ok=True)
        for name, expected in _FILES.items():
            content = gzip.decompress(next(Path(folder).rglob(f"{name}.gz")).read_bytes())
            check_digest(name, content, expected)
            (raw / name).write_bytes(content)
    return True
