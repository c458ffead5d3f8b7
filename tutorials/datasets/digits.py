"""Real digits that come with scikit-learn, and a small CNN for them: data and model of most tutorials.

For CIFAR-10 take ``cifar10.cifar10(train=True)``, for Fashion-MNIST ``fashion.fashion_mnist(train=True)``; each
returns images and labels as here.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

N_TRAIN = 1300


def digits(train: bool) -> tuple[Tensor, Tensor]:
    """Images ``(N, 1, 8, 8)`` in [0, 1] and labels ``(N,)`` of 1 300 digits to train on, or of 497 others."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    rows = order[:N_TRAIN] if train else order[N_TRAIN:]
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    return images[rows], torch.tensor(data.target)[rows]


def small_cnn() -> nn.Sequential:
    """Three convolutions and a linear layer; about 14 000 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24 * 2 * 2, 10),
    )  # fmt: skip


def trained(images: Tensor, labels: Tensor, seed: int = 0, epochs: int = 12) -> nn.Sequential:
    """The CNN, trained with Adam, in evaluation mode; a few seconds."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = small_cnn()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(32):
                loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest output is their label."""
    return float((model(images).argmax(1) == labels).float().mean())
