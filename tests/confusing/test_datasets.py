"""Data sets as people have them: the samples are numbered as they come, with their own labels, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)
from torch.utils.data.distributed import DistributedSampler

from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.datasets import read_samples

X = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 3
DATA = TensorDataset(X, Y)


def analyzer(model: Any = None) -> ConfusingSampleAnalyzer:
    torch.manual_seed(0)
    return ConfusingSampleAnalyzer(scores=("net_order",)).add_model("m", model or nn.Linear(4, 3).eval())


class Backwards(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(19, -1, -1))

    def __len__(self) -> int:
        return 20


class Shuffling(Backwards):
    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng().permutation(20).tolist())


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": Backwards()},
        {"sampler": Shuffling()},
        {"sampler": DistributedSampler(DATA, num_replicas=1, rank=0)},
        {"batch_sampler": BatchSampler(Backwards(), 5, False)},
        {"batch_size": 6, "drop_last": True},
        {"shuffle": True, "num_workers": 1},
    ],
)
def test_the_data_set_of_a_loader_is_read_in_its_own_order(options: dict[str, Any]) -> None:
    """Sample i of a report is sample i of the data set, whatever order a training loop wants."""
    samples = read_samples(DataLoader(DATA, **options), labelled=True)
    assert samples.labels is not None
    assert torch.equal(samples.inputs[0], X) and torch.equal(samples.labels, Y)


def test_what_a_loader_makes_of_items_is_kept() -> None:
    def doubled(items: list[Any]) -> tuple[Tensor, Tensor]:
        return 2 * torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])

    samples = read_samples(DataLoader(DATA, batch_size=6, shuffle=True, collate_fn=doubled), labelled=True)
    assert torch.equal(samples.inputs[0], 2 * X)


@pytest.mark.parametrize("sampler", [[3, 1, 2], DistributedSampler(DATA, num_replicas=2, rank=0, shuffle=False)])
def test_a_loader_of_some_samples_is_refused_with_the_remedy(sampler: Any) -> None:
    with pytest.raises(ValueError, match=rf"gives {len(sampler)} of 20 samples.*pass the data set itself.*Subset"):
        analyzer().evaluate(DataLoader(DATA, sampler=sampler))


def test_a_loader_in_order_gives_each_sample_its_label() -> None:
    expected = analyzer().evaluate((X, Y)).scores
    for loader in (
        DataLoader(DATA, batch_size=7),
        DataLoader(DATA, batch_size=None),
        DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 6, False)),
        DataLoader(DATA, sampler=DistributedSampler(DATA, num_replicas=1, rank=0, shuffle=False), batch_size=5),
    ):
        report = analyzer().evaluate(loader).scores
        assert report["label"].tolist() == Y.tolist()
        np.testing.assert_allclose(report["net_order"], expected["net_order"], rtol=1e-5)
    some = Subset(DATA, [7, 2, 11])
    assert analyzer().evaluate(DataLoader(some, batch_size=2)).scores["label"].tolist() == [1, 2, 2]


class RandomTransform(Dataset[Any]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> Any:
        return X[i] + torch.rand(4), int(Y[i])


class Stream(IterableDataset[Any]):
    def __init__(self, random: bool = False) -> None:
        self.random = random

    def __len__(self) -> int:
        return 20

    def __iter__(self) -> Iterator[Any]:
        return ((X[i] + self.random * torch.rand(4), int(Y[i])) for i in range(20))


@pytest.mark.parametrize("data", [RandomTransform(), Stream(random=True)])
def test_random_transforms_behind_a_loader_are_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="another input for sample 0"):
        analyzer().evaluate(DataLoader(data, batch_size=5))


def test_iterable_data_sets_are_read_in_their_order() -> None:
    for data in (Stream(), ChainDataset([Stream()]), DataLoader(Stream(), batch_size=6)):
        report = analyzer().evaluate(data).scores
        assert report["label"].tolist() == Y.tolist()


@pytest.mark.parametrize(
    "labels",
    [
        Y[:, None],
        Y[:, None].numpy(),
        pd.Series(Y.numpy(), index=range(100, 120)),
        tuple(Y.tolist()),
        list(Y),
        [np.int64(y) for y in Y],
        Y.numpy().astype(np.uint8),
        Y.numpy().astype(">i4"),
    ],
)
def test_labels_of_every_form_are_themselves(labels: Any) -> None:
    """Shape (N, 1) was advised .argmax(1), which makes all labels 0."""
    assert read_samples((X, labels), True).labels.tolist() == Y.tolist()


def test_one_hot_labels_are_refused_and_names_of_classes_numbered_as_is_said() -> None:
    with pytest.raises(ValueError, match="argmax"):
        analyzer().evaluate((X, nn.functional.one_hot(Y)))
    names = ("cow", "ant", "bee")
    for data in (
        (X, [names[y] for y in Y]),
        (X, np.array([names[y] for y in Y])),
        (X, pd.Series([names[y] for y in Y])),
        [(x, names[y]) for x, y in zip(X, Y, strict=True)],
        DataLoader([(x, names[y]) for x, y in zip(X, Y, strict=True)], batch_size=3),  # type: ignore[arg-type]
    ):
        with pytest.warns(UserWarning, match="alphabetical order: 'ant' = 0, 'bee' = 1, 'cow' = 2"):
            found = analyzer().evaluate(data).scores["label"]
        assert found.tolist() == [(2, 0, 1)[y] for y in Y]
    with pytest.warns(UserWarning, match="alphabetical"), pytest.raises(ValueError, match=r"are 1 names, \['cat'\]"):
        analyzer().evaluate((X, ["cat"] * 20))
    with pytest.raises(TypeError, match="all be names of classes or all be integers"):
        analyzer().evaluate((X, ["cat", 1] * 10))

    class Named(Dataset[Any]):
        class_to_idx: ClassVar = {"dog": 2, "cat": 0, "cow": 1}

        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int) -> Any:
            return X[i], ("cat", "cow", "dog")[int(Y[i])]

    assert analyzer().evaluate(Named()).scores["label"].tolist() == Y.tolist()
    assert analyzer().evaluate(DataLoader(Named(), batch_size=8)).scores["label"].tolist() == Y.tolist()


def test_one_number_per_sample_is_an_input_like_others() -> None:
    """It was an IndexError."""

    class Scaled(nn.Module):
        def forward(self, x: Tensor, scale: Tensor) -> Tensor:
            return torch.stack([x.sum(1) * scale, x[:, 0]], dim=1)

    report = analyzer(Scaled().eval()).evaluate(((X, torch.arange(1, 21).float()), Y % 2))
    assert report.scores["ink"].tolist() == [1.0] * 20 and len(report.scores) == 20


class Classifier(nn.Module):
    """Takes what a tokenizer gives; the mask of attention is passed along."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(20, 6), nn.Linear(6, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        weight = attention_mask[..., None].float()
        return {"logits": self.head(torch.tanh((self.embedding(input_ids) * weight).sum(1) / weight.sum(1)))}


def test_data_sets_of_dicts_have_players_where_the_mask_names_them() -> None:
    """As tokenized data sets of Hugging Face are."""
    ids = torch.randint(3, 20, (8, 5), generator=torch.Generator().manual_seed(0))
    attention, labels = torch.ones_like(ids), torch.arange(8) % 3
    attention[::2, 4] = 0
    mask = torch.tensor([[-1, 0, 1, 2, -1]])
    model = Classifier().eval()

    def scores(data: Any, feature_mask: Any, of: Any = model, baselines: Any = None) -> Any:
        made = ConfusingSampleAnalyzer(
            scores=("net_order", "flip_rate"), feature_mask=feature_mask, baselines=baselines
        )
        return made.add_model("m", of).evaluate(data).scores

    rows = [
        {"input_ids": i, "attention_mask": a, "label": int(y)} for i, a, y in zip(ids, attention, labels, strict=True)
    ]
    lists = [{k: v.tolist() if isinstance(v, Tensor) else v for k, v in row.items()} for row in rows]
    whole = {"input_ids": ids, "attention_mask": attention}
    nobody = torch.full((1, 5), -1)
    expected = scores(((ids, attention), labels), (mask, nobody), lambda i, a: model(i, a), (2, 0))
    for data in (rows, lists, DataLoader(rows, batch_size=3), {**whole, "labels": labels}, (whole, labels)):
        found = scores(data, {"input_ids": mask}, baselines={"input_ids": 2})
        assert found["label"].tolist() == labels.tolist()
        np.testing.assert_allclose(found["net_order"], expected["net_order"], rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="name those that hold players by feature_mask="):
        scores(rows, None)
    with pytest.raises(ValueError, match=r"feature_mask names \['ids'\]"):
        scores(rows, {"ids": mask})
    with pytest.raises(ValueError, match="have no names"):
        scores((X, Y), {"x": mask}, nn.Linear(4, 3).eval())


def test_elements_of_no_player_in_masks_of_each_sample() -> None:
    """Renumbering the players of each sample made one of them."""
    masks = torch.tensor([[-1, 0, 1, 1], [0, -1, 1, 1]]).repeat(10, 1)
    linear = nn.Linear(4, 3).eval()
    report = ConfusingSampleAnalyzer(scores=("net_order",), feature_mask=masks).add_model("m", linear).evaluate((X, Y))
    assert (report.scores["n_active"] == 2).all()
    assert report.scoring.views and report.scoring.values("m", report.scoring.views[0]).shape == (20, 4)


def test_a_distributed_sampler_is_refused_with_the_way_to_go() -> None:
    data = TensorDataset(X, Y)
    for shuffle in (False, True):
        sampler = DistributedSampler(data, num_replicas=2, rank=1, shuffle=shuffle)
        with pytest.raises(ValueError, match=r"checkpoint_dir.*DistributedSampler"):
            analyzer().evaluate(DataLoader(data, batch_size=4, sampler=sampler))
