"""Networks, data and settings of the factorial study on real images."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tutorials.datasets.fashion import fashion_mnist


@dataclass(frozen=True)
class Setting:
    """One study."""

    network: str = "six"  # "six": six convolutions and global pooling; "mlp": dense layers; "resnet": a ResNet-8
    wrong_labels: float = 0.0
    images: int = 1000
    samples: int = 500
    train_loss: float = 0.05  # mean loss of the training images at which training stops
    max_epochs: int = 120

    @property
    def layers(self) -> tuple[str, ...]:
        """Every cut: the low part ends before the module that is named."""
        if self.network == "mlp":
            return "layer2", "layer3", "layer4"
        if self.network == "resnet":
            return "stage1", "stage2", "stage3", "head"
        return "block2", "block3", "block4", "block5", "block6", "head"


def data(setting: Setting) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fashion-MNIST at 14 x 14: training images and their labels, some of them wrong where asked; test images, labels."""
    images, true_labels = fashion_mnist(train=True)
    images, true_labels = images[: setting.images], true_labels[: setting.images]
    test_images, test_labels = fashion_mnist(train=False)
    test_images, test_labels = test_images[:2000], test_labels[:2000]
    images, test_images = (nn.functional.avg_pool2d(x, 2) for x in (images, test_images))
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(len(images), generator=generator) < setting.wrong_labels
    shift = torch.randint(1, 10, (len(images),), generator=generator)
    labels = torch.where(wrong, (true_labels + shift) % 10, true_labels)
    return images, labels, test_images, test_labels


def six_convolutions(channels: int) -> nn.Sequential:
    """Six blocks of 3 x 3 convolutions, pooled after the second and the fourth, and a head."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before = channels
    for number, width in enumerate((16, 16, 32, 32, 32, 32), 1):
        layers: list[nn.Module] = [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        parts[f"block{number}"] = nn.Sequential(*layers, *([nn.MaxPool2d(2)] if number in (2, 4) else []))
        before = width
    parts["head"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))
    return nn.Sequential(parts)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = (
            nn.Conv2d(before, width, 1, stride, bias=False) if (before, stride) != (width, 1) else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


def small_resnet(channels: int, widths: tuple[int, int, int]) -> nn.Sequential:
    """ResNet-8: a stem, three residual blocks, a head."""
    first, second, third = widths
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(channels, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()),
            stage1=Residual(first, first, 1),
            stage2=Residual(first, second, 2),
            stage3=Residual(second, third, 2),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(third, 10)),
        )
    )


@torch.no_grad()
def losses_of(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Loss of every image, in evaluation mode."""
    model.eval()
    parts = zip(images.split(500), labels.split(500), strict=True)
    return torch.cat([nn.functional.cross_entropy(model(x), y, reduction="none") for x, y in parts])
