"""Small networks, inputs and analyzers that several test files use; every one from a seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer

V_SCORES = ("net_order", "flip_rate", "masked_margin")


def network(seed: int = 0, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return (
        nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.Tanh(), nn.Linear(24, classes))
        .double()
        .eval()
        .requires_grad_(False)
    )


def images(count: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 6, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (count,), generator=generator)


def analyzer(**options: Any) -> ConfusingSampleAnalyzer:
    options = {"scores": V_SCORES, **options}
    return ConfusingSampleAnalyzer(**options).add_model("a", network(0)).add_model("b", network(1))


def rows(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
