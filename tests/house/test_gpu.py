"""On a GPU, or on an emulated one (``make test-device``): the same answers as on the CPU. Skipped where there is none."""

from __future__ import annotations

import os

import pytest
import torch
from captum.attr import ShapleyValues
from emulated_device import emulated_device
from torch import Tensor, nn

from captum_andor import AndOrExplanation, AndOrInteractions, ConfusingSampleAnalyzer, LogicalModel
from captum_andor.games.transforms import mobius, or_mobius
from captum_andor.studies.witnesses.codes import LayerCodes
from captum_andor.studies.witnesses.connectivity import connect, connectivity_score

GPU = os.environ.get("TEST_GPU", "cuda")
if GPU == "emulated":
    emulated_device()
    pytestmark = pytest.mark.device
else:
    pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MASK = (torch.arange(8)[:, None] // 4 * 2 + torch.arange(8)[None] // 4).view(1, 1, 8, 8) * 2
MASK = MASK + (torch.arange(8) % 4 // 2).view(1, 1, 1, 8)  # 2 x 4 cells


def network(classes: int = 3) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    ).double()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model.eval()


def images(count: int) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def models() -> tuple[nn.Module, nn.Module]:
    return network(), network().to(GPU)


@pytest.mark.parametrize(("split", "noise_bound"), [("sparse", 0.0), ("sparse", 0.05), ("even", 0.0)])
def test_interactions_are_those_of_the_cpu(models: tuple[nn.Module, nn.Module], split: str, noise_bound: float) -> None:
    here, there = (
        AndOrInteractions(model).interactions(
            images(3).to(device), target=1, feature_mask=MASK.to(device), split=split, noise_bound=noise_bound
        )
        for model, device in zip(models, ("cpu", GPU), strict=True)
    )
    torch.testing.assert_close(there.values.cpu(), here.values)
    torch.testing.assert_close(there.l1.cpu(), here.l1, rtol=2e-3, atol=0)
    if split == "sparse":
        assert float(there.duality_gap.max()) <= 1e-3
    assert there.attributions().device.type == GPU
    torch.testing.assert_close(there.attributions().cpu(), here.attributions())
    assert there.salient(0.1)[0].value == pytest.approx(here.salient(0.1)[0].value, rel=0.05)


@pytest.mark.parametrize("budget", [None, 128])
def test_logical_models_are_those_of_the_cpu(models: tuple[nn.Module, nn.Module], budget: int | None) -> None:
    here, there = (
        AndOrInteractions(model).logical_model(
            images(2).to(device), target=0, feature_mask=MASK.to(device), max_patterns=5, budget=budget
        )
        for model, device in zip(models, ("cpu", GPU), strict=True)
    )
    assert [(p.kind, p.players) for p in there.patterns] == [(p.kind, p.players) for p in here.patterns]
    torch.testing.assert_close(there.r2.cpu(), here.r2)


def test_many_players_are_those_of_the_cpu() -> None:
    weights = torch.randn(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def model(x: Tensor) -> Tensor:
        return x @ weights.to(x.device) + 3 * x[:, 0] * x[:, 1] * x[:, 2]

    x = torch.ones(1, 40, dtype=torch.float64)
    here, there = (
        AndOrInteractions(model).logical_model(x.to(device), max_patterns=8, budget=600) for device in ("cpu", GPU)
    )
    assert [(p.kind, p.players) for p in there.patterns] == [(p.kind, p.players) for p in here.patterns]


def test_attributions_are_captums_and_stay_on_the_device(models: tuple[nn.Module, nn.Module]) -> None:
    x, mask = images(2).to(GPU), MASK.to(GPU) // 2  # four players: Captum runs n·n! passes
    ours = AndOrInteractions(models[1]).attribute(x, baselines=0.25, target=2, feature_mask=mask)
    assert ours.device == x.device
    torch.manual_seed(0)
    theirs = ShapleyValues(models[1]).attribute(x[:1], baselines=0.25, target=2, feature_mask=mask)
    torch.testing.assert_close(ours[:1].float(), theirs.float(), atol=1e-4, rtol=1e-4)


def test_games_on_the_device_are_those_of_the_cpu() -> None:
    v = torch.randn(4, 2**7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(mobius(v.to(GPU)).cpu(), mobius(v))
    torch.testing.assert_close(or_mobius(v.to(GPU)).cpu(), or_mobius(v))
    here, there = (AndOrExplanation.from_values(x, tolerance=1e-6) for x in (v, v.to(GPU)))
    torch.testing.assert_close(there.l1.cpu(), here.l1, rtol=2e-6, atol=0)
    one, other = (LogicalModel.from_values(x, max_patterns=6) for x in (v, v.to(GPU)))
    torch.testing.assert_close(other.r2.cpu(), one.r2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_and_autocast(dtype: torch.dtype) -> None:
    x, mask = images(1).float().to(GPU), MASK.to(GPU)
    exact = AndOrInteractions(network().float().to(GPU)).attribute(x, target=0, feature_mask=mask)
    scale = float(exact.abs().max())
    half = AndOrInteractions(network().to(GPU, dtype)).attribute(x.to(dtype), target=0, feature_mask=mask)
    torch.testing.assert_close(half.float(), exact, atol=0.05 * scale, rtol=0)
    with torch.autocast(GPU, dtype=dtype):
        cast = AndOrInteractions(network().float().to(GPU)).attribute(x, target=0, feature_mask=mask)
    torch.testing.assert_close(cast.float(), exact, atol=0.05 * scale, rtol=0)


def test_nothing_follows_the_default_device(models: tuple[nn.Module, nn.Module]) -> None:
    x = images(1)
    x_there, mask_there = x.to(GPU), MASK.to(GPU)
    expected = AndOrInteractions(models[0]).interactions(x, target=0, feature_mask=MASK)
    torch.set_default_device(GPU)
    try:
        found = AndOrInteractions(models[0]).interactions(x, target=0, feature_mask=MASK)
        lm = AndOrInteractions(models[1]).logical_model(x_there, target=0, feature_mask=mask_there)
    finally:
        torch.set_default_device("cpu")
    torch.testing.assert_close(found.values.cpu(), expected.values)
    assert lm.patterns


def test_the_analyzer_moves_samples_to_the_model(models: tuple[nn.Module, nn.Module]) -> None:
    data = (images(24), torch.arange(24) % 3)
    reports = [
        ConfusingSampleAnalyzer(feature_mask=MASK, baselines=[0, 0.5]).add_model("net", model).evaluate(data)
        for model in models
    ]
    here, there = (report.scores for report in reports)
    assert list(here.columns) == list(there.columns)
    for column in ("loss", "flip_rate", "masked_margin"):
        assert there[column].to_numpy() == pytest.approx(here[column].to_numpy(), rel=1e-6, abs=1e-9)
    assert there["net_order"].corr(here["net_order"]) > 0.99


def test_witnesses_are_those_of_the_cpu(models: tuple[nn.Module, nn.Module]) -> None:
    x, y = images(24), torch.arange(24) % 3
    units = [LayerCodes(model, ["1", "4"], grid=(3, 3)).fit_transform((x, y)) for model in models]
    assert units[0].equal(units[1])
    found = [connect(model, x[:4], x[4:8], 0, steps=20, n_points=11) for model in models]
    torch.testing.assert_close(found[1].straight.losses, found[0].straight.losses)
    torch.testing.assert_close(found[1].maximum, found[0].maximum, rtol=1e-6, atol=1e-9)
    tables = [connectivity_score(model, (x, y), (x, y), n_references=2, n_points=11) for model in models]
    assert tables[1]["barrier"].to_numpy() == pytest.approx(tables[0]["barrier"].to_numpy())


def test_estimates_are_those_of_the_cpu() -> None:
    x = torch.rand(1, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.randn(12, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    answers = []
    for device in ("cpu", GPU):
        moved = weights.to(device)
        method = AndOrInteractions(lambda z, w=moved: torch.tanh(z @ w).sum(1))
        estimate = method.estimate(x.to(device), budget=128)
        mean, std = estimate.shapley_values(return_std=True)
        model = estimate.logical_model(max_patterns=5)
        answers.append((mean.cpu(), std.cpu(), estimate.r2.cpu(), model.r2.cpu()))
    for cpu, gpu in zip(*answers, strict=True):
        torch.testing.assert_close(cpu, gpu, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_language_model_on_the_gpu(dtype: torch.dtype) -> None:
    pytest.importorskip("transformers")
    from captum.attr import TextTemplateInput
    from language_models import tiny, word_tokenizer

    from captum_andor.llm import AndOrLLMAttribution

    inp = TextTemplateInput("{} the {} {} e {} {}", ["a", "b", "c", "d", "who"])
    on_cpu = AndOrLLMAttribution(AndOrInteractions(tiny("llama")), word_tokenizer()).attribute(inp, "yes no g")
    method = AndOrLLMAttribution(AndOrInteractions(tiny("llama").to(GPU, dtype)), word_tokenizer())
    found = method.attribute(inp, "yes no g")
    assert found.seq_attr.device.type == GPU and method.way == "tree"
    tolerance = 1e-3 if dtype == torch.float32 else 0.5
    torch.testing.assert_close(found.seq_attr.cpu(), on_cpu.seq_attr, atol=tolerance, rtol=tolerance)
