"""Every entry point on an emulated accelerator: the answers of the CPU, results where the docs say.

``make test-device``. Three ways: models and inputs on the device; the device as torch's default while data are on it or
on the CPU; a device without float64, as Apple's GPUs are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import NoiseTunnel, Saliency, TextTemplateInput
from emulated_device import emulated_device, without_float64
from language_models import tiny, word_tokenizer
from torch import Tensor, nn

from captum_andor import AndOrExplanation, AndOrInteractions, ConfusingSampleAnalyzer, LogicalModel
from captum_andor.explain import GameEstimate, averaged_interactions, deletion_curve, similarity
from captum_andor.games import Background, RemovedTokens
from captum_andor.llm import AndOrLLMAttribution
from captum_andor.studies import (
    FactorialStudy,
    LayerCodes,
    SelfOrganizingMap,
    attack_beside_references,
    barrier,
    connect,
    connectivity_score,
    learn_baselines,
)

pytestmark = pytest.mark.device


def network(inputs: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(inputs, 12, device="cpu"), nn.Tanh(), nn.Linear(12, 3, device="cpu")).to(dtype)
    for parameter in model.parameters():
        draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64, device="cpu")
        parameter.data = draw.to(dtype)
    return model.eval()


def numbers(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64, device="cpu").to(dtype)


class Place:
    """Where models and data are, and in which precision."""

    def __init__(self, device: torch.device | str, dtype: torch.dtype = torch.float64) -> None:
        self.device, self.dtype = torch.device(device), dtype

    def method(self, inputs: int = 6, seed: int = 0, **options: Any) -> AndOrInteractions:
        return AndOrInteractions(self.model(inputs, seed), **options)

    def model(self, inputs: int = 6, seed: int = 0) -> nn.Module:
        return network(inputs, seed, self.dtype).to(self.device)

    def x(self, *shape: int, seed: int = 1) -> Tensor:
        return numbers(*shape, seed=seed, dtype=self.dtype).to(self.device)


def attribute(at: Place) -> Any:
    method, x = at.method(), at.x(3, 6)
    mask = torch.tensor([[0, 0, 1, 1, 2, 2]], device="cpu")
    return [
        method.attribute(x, target=1),
        method.attribute(x, target=torch.tensor([0, 1, 2], device="cpu")),
        method.attribute(x, target=torch.tensor([0, 1, 2], device="cpu").to(at.device)),
        method.attribute(x, target=[0, 1, 2], baselines=numbers(1, 6, seed=2, dtype=at.dtype)),
        method.attribute(x, target=0, baselines=0.5, feature_mask=mask),
        method.attribute(x, target=0, feature_mask=mask.to(at.device), return_standard_error=True),
    ]


def from_a_budget(at: Place) -> Any:
    method, x = at.method(14), at.x(2, 14)
    mean, error = method.attribute(x, target=1, budget=64, return_standard_error=True)
    estimate = method.estimate(x, target=1, budget=64)
    rows = torch.ones(3, 14, dtype=torch.bool, device="cpu")
    rows[1, 3:] = False
    more = estimate.more(100)
    return [
        mean, error, estimate.attributions(), estimate.shapley_values(return_std=True), estimate.banzhaf_values(),
        estimate.predict(rows.to(at.device)), estimate.predict(rows, return_std=True), estimate.r2_interval,
        more.shapley_values(), more.n_evaluations, method.estimate(x, target=1, budget=100, previous=estimate).r2,
    ]  # fmt: skip


def logical_models(at: Place) -> Any:
    found = []
    for inputs, budget in ((7, None), (12, 128), (24, 128)):
        model = at.method(inputs).logical_model(at.x(1, inputs), target=0, budget=budget, max_patterns=4)
        effects = model.effects()
        found += [
            [(p.kind, p.players) for p in model.patterns], model.r2, model.attributions(), model.rules(),
            model.shapley_values(), effects["together"].to_numpy(), str(model), model[0].stability(2),
            model.predict(torch.ones(1, inputs, dtype=torch.bool, device="cpu").to(at.device)),
        ]  # fmt: skip
    return found


def interactions(at: Place) -> Any:
    method, x = at.method(), at.x(2, 6)
    found = []
    for split in ("sparse", "and", "even"):
        one = method.interactions(x, target=1, split=split)  # type: ignore[arg-type]
        found += [
            one.values,
            one.attributions(),
            one.order_strength(),
            one.fidelity().amax() < 1e-6,
            one.effects(2)["alone"],
        ]
    noisy = method.interactions(x, target=1, noise_bound=0.05)
    return [*found, noisy.l1, averaged_interactions(method, x, [0.0, 0.5], target=1).values]


def kept_outputs(at: Place) -> Any:
    x = at.x(2, 6)
    kept = at.method().outputs(x)
    return [kept.interactions(x, target=1).attributions(), kept.attribute(x, target=0)]


def answers_on_the_cpu(at: Place) -> Any:
    model = network(6, 0, at.dtype)
    method, x = AndOrInteractions(lambda z: model(z.cpu())), at.x(2, 6)
    return [
        method.attribute(x, target=1), method.attribute(x, target=1, budget=32),
        method.logical_model(x, target=1, max_patterns=3).attributions(), method.interactions(x, target=1).attributions(),
    ]  # fmt: skip


def backgrounds_and_groups(at: Place) -> Any:
    method, x, rows = at.method(), at.x(2, 6), at.x(5, 6, seed=5)
    groups = torch.tensor([[0, 0, 1, 1, 1, 2]], device="cpu")
    estimate = method.estimate(x, Background(rows), target=1, budget=60)
    coarse = method.estimate(x, target=1, feature_mask=groups, budget=8)
    curve = deletion_curve(method, x, method.attribute(x, target=1), target=1)
    return [
        method.attribute(x, Background(rows.cpu()), target=1), estimate.shapley_values(return_std=True), estimate.r2,
        estimate.owen_values(groups), method.attribute(x, target=1, groups=groups.to(at.device), budget=40),
        method.refine(coarse, x, target=1, top=2, budget=40).attributions(), curve.deletion, curve.insertion_area,
        estimate.logical_model(max_patterns=3).r2,
    ]  # fmt: skip


class Pooled(nn.Module):
    """A text encoder: embeddings with positions, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.head = nn.Embedding(20, 8), nn.Embedding(9, 8), nn.Linear(8, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        both = torch.tanh(self.words(input_ids) * self.places(position_ids)) * attention_mask[..., None]
        found: Tensor = self.head(both.sum(1))
        return found


def removed_tokens(at: Place) -> Any:
    torch.manual_seed(0)
    encoder = Pooled().eval().to(at.dtype).to(at.device)
    tokens = (torch.arange(12, device="cpu").view(2, 6) % 7 + 1).to(at.device)
    mask = torch.tensor([[-1, 0, 1, 1, 2, 3]], device="cpu")
    return AndOrInteractions(RemovedTokens(encoder)).attribute(tokens, -1, target=1, feature_mask=mask)


def losses(at: Place) -> Any:
    method, x = at.method(score=nn.CrossEntropyLoss(reduction="none")), at.x(2, 6)
    targets: list[Any] = [
        1,
        [1, 2],
        torch.tensor([1, 2], device="cpu"),
        torch.tensor([1, 2], device="cpu").to(at.device),
    ]
    return [method.attribute(x, target=target) for target in targets]


def frames_and_arrays(at: Place) -> Any:
    frame = pd.DataFrame(numbers(2, 6).numpy(), columns=list("abcdef"))
    method = at.method()
    return [
        method.attribute(frame, target=1), method.attribute(frame.to_numpy(), target=1),
        method.logical_model(frame, frame.mean(), target=1, max_patterns=3).r2,
    ]  # fmt: skip


def games_of_values(at: Place) -> Any:
    v = at.x(2, 32)
    return [
        AndOrExplanation.from_values(v).l1, LogicalModel.from_values(v, max_patterns=3).r2,
        GameEstimate.from_values(v).shapley_values(),
        similarity(*(LogicalModel.from_values(part, max_patterns=3) for part in (v[0], v[1])))["cosine"].to_numpy(),
    ]  # fmt: skip


def captum(at: Place) -> Any:
    return [NoiseTunnel(at.method()).attribute(at.x(1, 6), target=1, nt_samples=1, stdevs=0.0)]


def analyzer(at: Place) -> Any:
    analyzer = ConfusingSampleAnalyzer(baselines=[0, 0.5]).add_model("a", at.model()).add_model("b", at.model(seed=1))
    labels = torch.arange(16, device="cpu") % 3
    report = analyzer.evaluate((numbers(16, 6, seed=3, dtype=at.dtype), labels), batch_size=6)
    other = analyzer.evaluate((at.x(16, 6, seed=3), labels.to(at.device)))
    names = ["net_order", "loss", "margin"]
    return [
        report.scores[names].to_numpy(),
        other.scores[names].to_numpy(),
        report.overlap(n_resamples=5)["iou"].to_numpy(),
    ]


def factorial_study(at: Place) -> Any:
    x, y = numbers(24, 6, seed=3, dtype=at.dtype), torch.arange(24, device="cpu") % 3

    def train(model: nn.Module, seed: int, frozen: Any) -> nn.Module:
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        order = torch.Generator("cpu").manual_seed(seed)
        for _ in range(3):
            rows = torch.randperm(len(x), generator=order, device="cpu")[:12]
            loss = nn.functional.cross_entropy(model(x[rows].to(at.device)), y[rows].to(at.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model

    with tempfile.TemporaryDirectory() as folder:
        study = FactorialStudy(
            lambda seed: at.model(seed=seed),
            train,
            ["2"],
            folder,
            levels=4,
            grids=["initialisation"],
            perturbations=[0.1],
        )
        result = study.run((x[:12], y[:12]), ConfusingSampleAnalyzer())
        return [result.shares("margin")["share"].to_numpy()]


def language_models(at: Place) -> Any:
    model = tiny("llama").to(at.dtype).to(at.device)
    method = AndOrLLMAttribution(AndOrInteractions(model), word_tokenizer())
    inp = TextTemplateInput("{} the {} {} e {} {}", ["a", "b", "c", "d", "who"])
    lm = method.logical_model(inp, "yes no g", max_patterns=3)
    estimate = method.estimate(inp, "yes no g", budget=16)
    own = method.logical_model(inp, gen_args={"max_new_tokens": 2, "do_sample": False}, max_patterns=2)
    return [method.attribute(inp, "yes no g").seq_attr, lm.r2, estimate.shapley_values(), own.r2]


def evidence_beside_interactions(at: Place) -> Any:
    x, other = at.x(1, 6), at.x(1, 6, seed=4)
    data = (numbers(24, 6, seed=3, dtype=at.dtype), torch.arange(24, device="cpu") % 3)
    codes = LayerCodes(at.model(), ["1"], grid=(3, 3), epochs=2).fit_transform(data)
    walls = barrier(at.model(), x, other, 0, n_points=5)
    way = connect(at.model(), x, other, 0, steps=3, n_points=5)
    attacked = attack_beside_references(at.model(), x, torch.tensor([0], device="cpu"), other, radius=0.1, steps=2)
    return [
        len(codes.columns) if hasattr(codes, "columns") else codes, walls.losses, way.straight.losses,
        connectivity_score(at.model(), (data[0][:4], data[1][:4]), data, n_references=2, n_points=5),
        SelfOrganizingMap((2, 2), 2).fit(at.x(24, 6)).transform(at.x(24, 6)).tolist(), attacked,
        learn_baselines(at.model(), at.x(6, 6), target=1, steps=2).baselines,
    ]  # fmt: skip


def attributions_of_captum(at: Place) -> Any:
    analyzer = ConfusingSampleAnalyzer().add_model("a", at.model())
    data = (numbers(12, 6, seed=3, dtype=at.dtype), torch.arange(12, device="cpu") % 3)
    report = analyzer.evaluate(data, attributions={"saliency": Saliency})
    return report.scores["net_order"].to_numpy()


ENTRIES = [
    attribute, from_a_budget, logical_models, interactions, kept_outputs, answers_on_the_cpu, losses, frames_and_arrays,
    games_of_values, captum, analyzer, factorial_study, language_models, evidence_beside_interactions,
    attributions_of_captum, backgrounds_and_groups, removed_tokens,
]  # fmt: skip


def flat(found: Any) -> Iterator[Any]:
    if isinstance(found, (list, tuple)):
        for part in found:
            yield from flat(part)
    else:
        yield found


def assert_alike(there: Any, here: Any, tolerance: float) -> None:
    for one, other in zip(flat(there), flat(here), strict=True):
        if isinstance(other, Tensor):
            torch.testing.assert_close(one.cpu().double(), other.cpu().double(), rtol=tolerance, atol=tolerance)
        elif isinstance(other, np.ndarray) and other.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
        elif isinstance(other, str):
            assert tolerance > 1e-4 or one == other
        else:
            assert str(one) == str(other) or tolerance > 1e-4


@pytest.fixture(scope="module")
def device() -> torch.device:
    return emulated_device()


@pytest.mark.parametrize("entry", ENTRIES)
def test_answers_are_those_of_the_cpu(entry: Callable[[Place], Any], device: torch.device) -> None:
    assert_alike(entry(Place(device)), entry(Place("cpu")), 1e-6)


@pytest.mark.parametrize("entry", [attribute, answers_on_the_cpu, losses, captum, frames_and_arrays])
def test_attributions_are_where_the_inputs_are(entry: Callable[[Place], Any], device: torch.device) -> None:
    assert {x.device for x in flat(entry(Place(device))) if isinstance(x, Tensor) and x.ndim > 1} == {device}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("data", ["cpu", "emulated:0"])
def test_the_default_device_changes_nothing(entry: Callable[[Place], Any], data: str, device: torch.device) -> None:
    expected = entry(Place("cpu"))
    torch.set_default_device(device)
    try:
        found = entry(Place(data))
    finally:
        torch.set_default_device(None)
    assert_alike(found, expected, 1e-6)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_device_without_float64_works(entry: Callable[[Place], Any], device: torch.device) -> None:
    expected = entry(Place("cpu", torch.float32))
    with without_float64():
        found = entry(Place(device, torch.float32))
    assert_alike(found, expected, 2e-3)


def test_a_model_and_inputs_on_different_devices_are_named(device: torch.device) -> None:
    with pytest.raises(ValueError, match="the model is on emulated:0, inputs are on cpu: move one of them"):
        AndOrInteractions(Place(device).model()).attribute(Place("cpu").x(1, 6), target=0)
    with pytest.raises(ValueError, match="the model is on cpu, inputs are on emulated:0"):
        AndOrInteractions(Place("cpu").model()).attribute(Place(device).x(1, 6), target=0)


def test_models_on_two_devices_are_compared(device: torch.device) -> None:
    labels = torch.arange(12) % 3
    reports = []
    for places in (("cpu", "cpu", "cpu"), ("cpu", "emulated:0", "emulated:1")):
        analyzer = ConfusingSampleAnalyzer()
        for seed, place in enumerate(places):
            analyzer.add_model(f"model {seed}", Place(place).model(seed=seed))
        reports.append(analyzer.evaluate((numbers(12, 6, seed=3), labels)))
    np.testing.assert_allclose(reports[1].scores["net_order"], reports[0].scores["net_order"], rtol=1e-6, atol=1e-9)
