"""Libraries that evaluate attributions take ours like any other: captum.metrics, and Quantus where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, KernelShap
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.games.masks import image_grid

MASK = image_grid(8, 8, 2, 2)
GROUPED = {"feature_mask": MASK}


class Corners(nn.Module):
    """Class 0: the product of two corners' means, and a third one; class 1: nothing."""

    def forward(self, x: Tensor) -> Tensor:
        corners = nn.functional.avg_pool2d(x, 4).flatten(1)
        score = 4 * corners[:, 0] * corners[:, 1] + corners[:, 2]
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def take_patches(inputs: Tensor) -> tuple[Tensor, Tensor]:
    taken = torch.rand(len(inputs), 4).round()[:, MASK.flatten()].view_as(inputs)
    return taken, inputs * (1 - taken)


def infidelity_of(method: type, x: Tensor) -> float:
    torch.manual_seed(0)
    per_pixel = method(Corners()).attribute(x, target=0, **GROUPED).float() / 16
    return float(infidelity(Corners(), take_patches, x, per_pixel, target=0, n_perturb_samples=500).mean())


def test_infidelity_of_shapley_values_is_below_that_of_single_ablations() -> None:
    x = pictures(3)
    ours = infidelity_of(AndOrInteractions, x)
    assert ours < infidelity_of(FeatureAblation, x)
    # Infidelity measured by the interactions themselves: half of the product is missed by any additive attribution.
    explanation = AndOrInteractions(Corners()).interactions(x, target=0, split="and", **GROUPED)
    product = explanation.and_values[:, 0b11]
    assert ours == pytest.approx(float((product**2).mean()) / 8, rel=0.25)


def test_sensitivity_of_exact_values_is_that_of_the_model() -> None:
    x = pictures(1)

    def explain(inputs: tuple[Tensor, ...]) -> Tensor:
        return AndOrInteractions(Corners()).attribute(inputs[0], target=0, **GROUPED)

    def sampled(inputs: tuple[Tensor, ...]) -> Tensor:
        return KernelShap(Corners()).attribute(inputs[0], target=0, n_samples=12, **GROUPED)

    torch.manual_seed(0)
    ours = float(sensitivity_max(explain, x, perturb_radius=0.01))
    torch.manual_seed(0)
    theirs = float(sensitivity_max(sampled, x, perturb_radius=0.01, max_examples_per_batch=1))
    assert 0 < ours < 0.05 < theirs


def test_quantus_scores_our_attributions_above_random_ones() -> None:
    quantus = pytest.importorskip("quantus")
    x, y = pictures(4), np.zeros(4, dtype=int)
    ours = AndOrInteractions(Corners()).attribute(x, target=0, **GROUPED).float().numpy()
    random = np.random.default_rng(0).normal(size=ours.shape).astype(np.float32)
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=200, subset_size=24, perturb_baseline="black", return_aggregate=False, disable_warnings=True
    )
    scores = {}
    for name, attributions in (("ours", ours), ("random", random)):
        np.random.seed(0)  # noqa: NPY002 (Quantus draws from numpy's global generator)
        found = metric(model=Corners().eval(), x_batch=x.numpy(), y_batch=y, a_batch=attributions, device="cpu")
        scores[name] = float(np.mean(found))
    assert scores["ours"] > 0.3 > abs(scores["random"]) + 0.1
