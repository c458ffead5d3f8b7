"""Surgery changes exactly what was asked, and says so where it cannot."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from captum_andor.studies.networks.surgery import copy_part, criticality, reinitialise, split_at


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


def made(seed: int = 0) -> nn.Sequential:
    net = network(seed)
    net(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return net


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def test_the_cut_parts_all_tensors_in_their_order() -> None:
    cut = split_at(made(), "3")
    assert cut.low == (
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    )
    assert [*cut.low, *cut.high] == list(made().state_dict())


@pytest.mark.parametrize(
    ("name", "layer", "first"),
    [
        ("resnet18", "layer2", "layer2.0.conv1.weight"),
        ("resnet18", "layer2.1", "layer2.1.conv1.weight"),
        ("vgg11", "classifier", "classifier.0.weight"),
        ("vit_b_16", "encoder.layers.encoder_layer_6", "encoder.layers.encoder_layer_6.ln_1.weight"),
    ],
)
def test_torchvision_models_are_cut_by_module_names(name: str, layer: str, first: str) -> None:
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        model = getattr(models, name)(weights=None)
    cut = split_at(model, layer)
    assert cut.high[0] == first and [*cut.low, *cut.high] == list(model.state_dict())


def test_only_what_was_asked_is_copied() -> None:
    one, other = made(0), made(1)
    cut, before = split_at(one, "3"), state(other)
    copy_part(one, other, cut.low)
    assert changed(before, other) == changed(before, one) & set(cut.low)
    assert all(torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in cut.low)


def test_a_part_gets_the_start_of_another_seed_and_the_global_generator_is_left_alone() -> None:
    model = made(0)
    cut, before, generator = split_at(model, "6"), state(model), torch.get_rng_state()
    reinitialise(model, cut.high, made, 7)
    assert changed(before, model) == {"6.weight", "6.bias"} and torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(model[6].weight, made(7)[6].weight)


def test_rewinding_a_part_shows_what_hangs_on_it() -> None:
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    x = torch.randn(64, 1, 8, 8) * (1 + 3 * labels.view(-1, 1, 1, 1))
    model = made()
    initial = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(x), labels).backward()
        optimizer.step()
    before = state(model)
    loader = list(zip(x.split(32), labels.split(32), strict=True))
    table = criticality(model, initial, loader, {"nothing": [], "low": split_at(model, "3").low, "all": list(before)})
    assert not changed(before, model)
    accuracy = table.set_index("part")["accuracy"]
    assert accuracy["nothing"] == pytest.approx(accuracy["trained"], abs=0.1) and accuracy["trained"] > 0.8
    assert accuracy["all"] < accuracy["trained"] and table["drop"][0] == 0
    assert list(criticality(model, initial, loader)["part"]) == ["trained", "0", "1", "3", "4", "6"]


def test_what_cannot_be_done_is_named() -> None:
    model = made()
    with pytest.raises(ValueError, match="layer 'fc' is no module"):
        split_at(model, "fc")
    with pytest.raises(ValueError, match="no parameters below layer '0'"):
        split_at(model, "0")
    tied = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    tied[2].weight = tied[0].weight
    with pytest.raises(ValueError, match="tied weights"):
        split_at(tied, "2")
    with pytest.raises(RuntimeError, match=r"\['2.weight'\] changed, too"):
        copy_part(nn.Sequential(nn.Linear(3, 3)), tied, ["0.weight"])
    with pytest.raises(ValueError, match="'9.weight' is no parameter or buffer of the target"):
        copy_part(model, model, ["9.weight"])
    with pytest.raises(ValueError, match="0.weight.* in the source and"):
        copy_part(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(3, 2)), ["0.weight"])
    with pytest.raises(ValueError, match="loader has no samples"):
        criticality(model, model, iter([]))


class WithState(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


def test_shared_statistics_extra_states_and_lazy_modules() -> None:
    norm = nn.BatchNorm1d(3, affine=False)
    with pytest.raises(ValueError, match="tied weights or statistics"):
        split_at(nn.Sequential(nn.Linear(3, 3), norm, nn.Linear(3, 3), norm), "2")
    with pytest.raises(ValueError, match=r"6.weight', '6.bias'\] have no shape before the first call"):
        split_at(network(), "3")
    assert split_at(nn.Sequential(WithState(2, 2), nn.Linear(2, 1)), "1").low == ("0.weight", "0.bias")
