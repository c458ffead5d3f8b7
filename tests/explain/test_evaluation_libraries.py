"""Libraries that evaluate attributions take ours like any other: captum.metrics; Quantus and PyG where they are installed."""

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


def test_pyg_explains_the_edges_of_a_graph_network_with_our_class() -> None:
    """PyG asks for a class by one of six names of Captum's, and for one graph a pass."""
    geometric = pytest.importorskip("torch_geometric.explain")
    layers = pytest.importorskip("torch_geometric.nn")

    class ShapleyValueSampling(AndOrInteractions):
        pass

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.GCNConv(3, 8), layers.GCNConv(8, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            hidden: Tensor = self.second(self.first(x, edge_index).relu(), edge_index)
            return hidden

    torch.manual_seed(0)
    network, x = Network().eval(), torch.randn(4, 3)
    edges = torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 0, 0]])

    explained = {}
    for name, algorithm in (
        ("ours", geometric.CaptumExplainer(ShapleyValueSampling, perturbations_per_eval=1)),
        ("Captum's", geometric.CaptumExplainer("ShapleyValueSampling", n_samples=400)),
    ):
        explainer = geometric.Explainer(
            network,
            algorithm,
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
        )
        explained[name] = explainer(x, edges, index=0).edge_mask
    torch.testing.assert_close(explained["ours"], explained["Captum's"], atol=0.03, rtol=0)
    assert explained["ours"].abs().max() > 0.1
