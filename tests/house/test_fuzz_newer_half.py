"""Calls of the analyzer, of games from values, of the study, of witnesses and of files, at random.

Each is right by an independent computation, or an error that names the argument. No third outcome.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import oracles
import pytest
import torch
from random_evaluations import Drawn, analyzer_call, outcome
from torch import nn

from captum_andor import GameEstimate, LogicalModel
from captum_andor.studies.networks.surgery import copy_part, split_at
from captum_andor.studies.witnesses.barriers import barrier

DAMAGED = r"is not a file that|does not hold|damaged"


def game_call(seed: int) -> bool:
    """Estimates and models from values on some coalitions, beside brute force over all."""
    drawn = Drawn(seed)
    n = drawn.random.randint(1, 5)
    every = torch.tensor(list(itertools.product([False, True], repeat=n))).flip(1)
    v = torch.tanh(every.double() @ drawn.normal(n, 2).double()).sum(1) * drawn.one_of(1.0, 1e-12, 1e12)
    if drawn.random.random() < 0.15:
        v = torch.full_like(v, 3.0)
    count = drawn.random.randint(2, len(every))
    rows = torch.randperm(len(every), generator=drawn.generator)[:count]
    if drawn.random.random() < 0.7:
        rows = torch.cat([torch.tensor([0, len(every) - 1]), rows]).unique()
    known, coalitions = v[rows], every[rows]
    if drawn.random.random() < 0.3:  # some twice
        known, coalitions = torch.cat([known, known[:2]]), torch.cat([coalitions, coalitions[:2]])
    given: Any = drawn.one_of(known, known.numpy(), known.tolist())
    options: dict[str, Any] = {}
    if drawn.spoilt:
        what = drawn.random.randrange(4)
        if what == 0:
            given = drawn.one_of(known * torch.nan, known[:-1], "a", known.to(torch.complex64), known[:0])
        elif what == 1:
            coalitions = drawn.one_of(coalitions.long(), coalitions[:, :0], coalitions[:1], coalitions[0])
        else:
            options = drawn.one_of({"player_names": ["a"] * (n + 1)}, {"seed": 1.5}, {"seed": -1})
    names = r"\bv\b|coalitions|player_names|seed|values"
    estimate = outcome(lambda: GameEstimate.from_values(given, coalitions, **options), names, seed)
    if estimate is None:
        return False
    mean, _ = estimate.predict(coalitions, return_std=True)
    scale = float((v - v.mean()).abs().max()) or 3.0
    assert float((mean - known).abs().max()) < 0.2 * scale + 1e-9 * float(v.abs().max()), f"seed {seed}"
    shapley, std = estimate.shapley_values(return_std=True)
    if {0, len(every) - 1} <= set(rows.tolist()):
        total = float(v[-1] - v[0])
        assert float(shapley.sum()) == pytest.approx(total, rel=1e-6, abs=1e-6 * scale), f"seed {seed}"
    if len(set(rows.tolist())) == len(every):
        torch.testing.assert_close(shapley, oracles.shapley_values(v), rtol=1e-6, atol=1e-9 * scale)
        assert float(std.abs().max()) == 0
    model = outcome(
        lambda: LogicalModel.from_values(given, coalitions, max_patterns=drawn.one_of(1, 2, None), exact_ends=False),
        names + "|max_patterns",
        seed,
    )
    if model is not None and len(set(rows.tolist())) == len(every):
        h = model.predict(every)
        left, spread = float((v - h).square().sum()), float((v - v.mean()).square().sum())
        expected = 1 - left / spread if spread > 1e-18 * scale**2 else 1.0
        assert float(model.r2) == pytest.approx(expected, abs=1e-6), f"seed {seed}"
    assert model is None or not float(model.r2) > 1, f"seed {seed}"
    return True


def surgery_call(seed: int) -> bool:
    """What is cut, copied and frozen, beside names counted by hand."""
    drawn = Drawn(seed)

    def layers() -> list[nn.Module]:
        return [drawn.one_of(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout()) for _ in range(count)]

    count = drawn.random.randint(2, 5)
    model = nn.Sequential(*layers())
    layer = str(drawn.random.randrange(count)) if not drawn.spoilt else drawn.one_of("9", "", "a", 0)
    cut = outcome(lambda: split_at(model, layer), "layer", seed)
    if cut is None:
        return False
    names = list(model.state_dict())
    assert [*cut.low, *cut.high] == names and all(int(name[0]) < int(layer) for name in cut.low), f"seed {seed}"
    source = nn.Sequential(*(type(m)(3, 3) if isinstance(m, nn.Linear) else type(m)(3) if isinstance(m, nn.BatchNorm1d)
                             else m for m in model))  # fmt: skip
    with torch.no_grad():
        for tensor in source.state_dict().values():
            tensor.add_(1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copy_part(source, model, cut.low)
    for name, tensor in model.state_dict().items():
        expected = source.state_dict()[name] if name in cut.low else before[name]
        assert torch.equal(tensor, expected), f"seed {seed}: {name}"
    return True


def barrier_call(seed: int) -> bool:
    """Barriers beside losses computed point by point."""
    drawn = Drawn(seed)
    pairs, features, classes = drawn.random.randint(1, 4), drawn.random.randint(1, 3), drawn.random.randint(2, 3)
    weight = drawn.normal(classes, features)
    model = lambda z: torch.tanh(z) @ weight.T * 3  # noqa: E731
    a, b = drawn.normal(pairs, features), drawn.normal(pairs, features)
    target: Any = drawn.one_of(0, torch.zeros(pairs, dtype=torch.long))
    points: Any = drawn.random.randint(2, 9)
    if drawn.spoilt:
        what = drawn.random.randrange(4)
        if what == 0:
            target = drawn.one_of(classes, -1, torch.zeros(pairs + 1, dtype=torch.long), 0.5, "a")
        elif what == 1:
            points = drawn.one_of(1, 0, 2.5, True)
        elif what == 2:
            b = drawn.one_of(b[:, :0], torch.cat([b, b]), b.long(), "a")
        else:
            a = drawn.one_of(a * torch.nan, a.long(), None)
    found = outcome(lambda: barrier(model, a, b, target, points), r"\ba\b|\bb\b|target|n_points|loss", seed)
    if found is None:
        return False
    at = torch.linspace(0, 1, points, dtype=torch.float64)
    for i in range(pairs):
        line = torch.stack([(1 - float(t)) * a[i].double() + float(t) * b[i].double() for t in at])
        logits = torch.tanh(line) @ weight.double().T * 3
        losses = logits.logsumexp(1) - logits[:, 0]
        assert float(found.maximum[i]) == pytest.approx(float(losses.max()), rel=1e-3, abs=1e-4), f"seed {seed}"
        worse = max(float(losses[0]), float(losses[-1]))
        assert float(found.gap[i]) == pytest.approx(float(losses.max()) - worse, rel=1e-3, abs=1e-4), f"seed {seed}"
    return True


V = torch.tanh(torch.randn(3, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def file_call(seed: int, folder: Path) -> bool:
    """A file that was damaged at random is read as it was, or refused by its name."""
    drawn = Drawn(seed)
    kind: Any = drawn.one_of(LogicalModel, GameEstimate)
    saved = kind.from_values(V[drawn.random.randrange(3)])
    path = folder / f"file{seed}"
    saved.save(path)
    content = bytearray(path.read_bytes())
    for _ in range(drawn.random.randint(0, 3)):
        what = drawn.random.randrange(3)
        place = drawn.random.randrange(len(content))
        if what == 0:
            content[place] ^= 1 << drawn.random.randrange(8)
        elif what == 1:
            del content[place : place + drawn.random.randint(1, 50)]
        else:
            content[place:place] = bytes(drawn.random.randrange(256) for _ in range(drawn.random.randint(1, 9)))
        if not content:
            break
    path.write_bytes(bytes(content))
    found = outcome(lambda: kind.load(path), DAMAGED, seed)
    path.unlink()
    if found is None:
        return False
    assert torch.equal(found.values, saved.values) and torch.equal(found.shapley_values(), saved.shapley_values())
    return True


def run(seeds: range) -> dict[str, int]:
    """How many calls of each kind gave a result."""
    kinds = {f.__name__: f for f in (analyzer_call, game_call, surgery_call, barrier_call)}
    found = {name: sum(call(seed) for seed in seeds) for name, call in kinds.items()}
    with tempfile.TemporaryDirectory() as folder:
        found["file_call"] = sum(file_call(seed, Path(folder)) for seed in seeds)
    return found


def test_calls_of_the_newer_half_are_right_or_named() -> None:
    results = run(range(60))
    assert all(8 < count < 60 for count in results.values()), results


@pytest.mark.slow
def test_a_thousand_calls_of_the_newer_half_are_right_or_named() -> None:
    results = run(range(1000, 1200))
    assert all(40 <= count < 200 for count in results.values()), results
