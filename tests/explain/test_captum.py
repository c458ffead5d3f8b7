"""Captum's own tools on our class, and the places where Captum 0.9.0 goes wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import captum
import matplotlib
import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel, ShapleyValues, visualization as viz
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn

from captum_andor import AndOrInteractions

matplotlib.use("Agg")

MASK = (torch.arange(4)[:, None] // 2 * 2 + torch.arange(4) // 2)[None, None]


@pytest.fixture
def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_noise_tunnel_averages_our_attributions(cnn: nn.Module, image: Tensor) -> None:
    method = AndOrInteractions(cnn)
    plain = method.attribute(image, target=1, feature_mask=MASK)
    smooth = NoiseTunnel(method).attribute(
        image, nt_type="smoothgrad", nt_samples=3, stdevs=0.0, target=1, feature_mask=MASK
    )
    torch.testing.assert_close(smooth, plain)


def test_infidelity_of_an_additive_model_is_zero() -> None:
    x = torch.rand(2, 3)

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn_like(inputs) * 0.1
        return noise, inputs - noise

    def model(inputs: Tensor) -> Tensor:
        return inputs @ torch.tensor([1.0, 2.0, 3.0])

    attributions = AndOrInteractions(model).attribute(x) / x
    assert infidelity(model, perturb, x, attributions).abs().max() < 1e-6


def test_sensitivity_max_takes_our_attribute(cnn: nn.Module, image: Tensor) -> None:
    result = sensitivity_max(AndOrInteractions(cnn).attribute, image, target=1, feature_mask=MASK)
    assert result.shape == (2,)
    assert bool((result > 0).all())


def test_visualize_image_attr_draws_our_attributions(cnn: nn.Module, image: Tensor) -> None:
    attributions = AndOrInteractions(cnn).attribute(image, target=1, feature_mask=MASK)
    picture = attributions[0].permute(1, 2, 0).numpy()
    fig, axis = viz.visualize_image_attr(picture, np.ones((4, 4, 3)), "heat_map", "all", use_pyplot=False)
    assert len(axis.images) == 1
    assert fig is axis.figure


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("form", ["trace", "compile", "channels_last", "double"])
def test_models_in_other_forms_get_the_same_attributions(cnn: nn.Module, image: Tensor, form: str) -> None:
    expected = AndOrInteractions(cnn).attribute(image, target=1, feature_mask=MASK)
    x: Tensor = image
    model: Any = cnn
    if form == "trace":
        model = torch.jit.trace(cnn, image)
    elif form == "compile":
        model = torch.compile(cnn, backend="eager")
    elif form == "channels_last":
        model, x = cnn.to(memory_format=torch.channels_last), image.to(memory_format=torch.channels_last)
    else:
        model, x = cnn.double(), image.double()
    result = AndOrInteractions(model).attribute(x, target=1, feature_mask=MASK)
    torch.testing.assert_close(result.float(), expected, atol=1e-5, rtol=1e-4)


def test_bfloat16_models_are_explained_in_their_own_precision(cnn: nn.Module, image: Tensor) -> None:
    expected = AndOrInteractions(cnn).attribute(image, target=1, feature_mask=MASK)
    method = AndOrInteractions(cnn.bfloat16())
    result = method.attribute(image.bfloat16(), target=1, feature_mask=MASK)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, atol=0.02, rtol=0.05)
    explanation = method.interactions(image.bfloat16(), target=1, feature_mask=MASK)
    assert explanation.fidelity().max() <= 1e-9 * explanation.values.abs().max()


class TestTraps:
    """ "Where Captum 0.9.0 itself goes wrong", a case each."""

    def test_seven_players_take_128_evaluations(self) -> None:
        rows: list[int] = []

        def model(x: Tensor) -> Tensor:
            rows.append(len(x))
            return x.sum(1)

        AndOrInteractions(model, check_repeats=False).attribute(torch.ones(1, 7))
        assert sum(rows) == 128

    def test_efficiency_holds_on_large_values(self) -> None:
        def model(x: Tensor) -> Tensor:
            return 1e3 * (x.prod(1) + x.sum(1) / 3)

        x = torch.rand(1, 6, dtype=torch.float64) + 1
        total = AndOrInteractions(model).attribute(x).sum()
        assert abs(float(total - model(x))) <= 1e-9 * float(model(x))

    def test_a_large_mask_is_indexed_once_for_each_batch(self) -> None:
        mask = (torch.arange(224)[:, None] // 112 * 2 + torch.arange(224) // 112)[None, None]
        calls: list[int] = []

        def model(x: Tensor) -> Tensor:
            calls.append(len(x))
            return x.mean((1, 2, 3))

        result = AndOrInteractions(model, check_repeats=False).attribute(torch.ones(1, 3, 224, 224), feature_mask=mask)
        assert calls == [1, 15]
        torch.testing.assert_close(result, torch.full((1, 3, 224, 224), 0.25))

    def test_negative_ids_are_no_players(self) -> None:
        result = AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(1, 2), feature_mask=torch.tensor([-1, 0]))
        assert result.tolist() == [[0, 1]]  # the first element is kept in every coalition

    def test_baselines_of_one_element_broadcast(self) -> None:
        result = AndOrInteractions(lambda x: x.sum(1)).attribute(torch.ones(2, 3), baselines=torch.full((1, 1), 0.5))
        assert result.tolist() == [[0.5] * 3] * 2

    @pytest.mark.parametrize("baseline", [float("nan"), float("inf")])
    def test_baselines_that_are_not_finite_touch_absent_players_only(self, baseline: float) -> None:
        def finite_sum(x: Tensor) -> Tensor:
            return torch.where(x.isfinite(), x, 0.0).sum(1)

        result = AndOrInteractions(finite_sum).attribute(torch.ones(1, 3), baselines=baseline)
        assert result.tolist() == [[1, 1, 1]]

    def test_output_shape_is_checked_on_every_call(self) -> None:
        method = AndOrInteractions(lambda x: x.sum().reshape(1))
        x = torch.ones(1, 2)
        for _ in range(2):
            method.attribute(x, perturbations_per_eval=1)
            with pytest.raises(ValueError, match="perturbations_per_eval=1"):
                method.attribute(x, perturbations_per_eval=2)

    @pytest.mark.skipif(captum.__version__.startswith("0.8"), reason="named for Captum 0.9")
    def test_captum_still_has_the_faults_we_name(self) -> None:
        """When one of these fails, Captum has mended it: correct docs/coming_from.rst."""
        theirs = ShapleyValues(lambda x: x.sum(1))
        x = torch.ones(1, 2)
        assert theirs.attribute(x.double()).dtype == torch.float32
        with pytest.raises(RuntimeError, match="view"):
            theirs.attribute(torch.ones(1, 2, 2).flatten(2), feature_mask=torch.arange(4).view(1, 2, 2).mT)

    def test_constant_models_give_zeros_that_our_figure_draws(self) -> None:
        explanation = AndOrInteractions(lambda x: 0 * x.sum((1, 2, 3))).interactions(
            torch.ones(1, 1, 4, 4), feature_mask=MASK
        )
        assert not explanation.attributions().any()
        explanation.plot_image(np.ones((4, 4)), use_pyplot=False)


@pytest.mark.slow
def test_twenty_players_stay_within_two_gigabytes() -> None:
    code = (
        "import resource, torch\n"
        "from captum_andor import AndOrInteractions\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "w = torch.arange(20.0)\n"
        "ex = AndOrInteractions(lambda x: x @ w + x[:, 0] * x[:, 1]).interactions(torch.ones(1, 20), split='even')\n"
        "assert ex.fidelity().max() < 1e-6\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 2**20)\n"
    )
    used = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert float(used) < 2.0
