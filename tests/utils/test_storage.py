"""Files are checked before they are believed, and written so that nothing is lost."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel
from captum_andor._utils.storage import Stored

Edit = Callable[[dict[str, Any], dict[str, Any]], None]


def explanation() -> AndOrExplanation:
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, 1.0, 0.0]])
    return AndOrInteractions(lambda x: x.prod(1) + x.sum(1)).interactions(x)


def edited(path: Path, edit: Edit) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("header")))
    edit(header, arrays)
    np.savez(path, header=np.array(json.dumps(header)), **arrays)


def put(key: str, value: Any) -> Edit:
    return lambda header, arrays: header.__setitem__(key, value)


def change(name: str, function: Callable[[Any], Any]) -> Edit:
    return lambda header, arrays: arrays.__setitem__(name, function(arrays[name]))


WRONG: dict[str, Edit] = {
    "version 0": put("version", 0),
    "version -3": put("version", -3),
    "version True": put("version", True),
    "version 1.0": put("version", 1.0),
    "another kind": put("format", "captum_andor.LogicalModel"),
    "a field that there is not": put("more", 1),
    "a part that there is not": put("players", {"of": "Nothing", "fields": {}}),
    "a function as dtype": put("players", {"dtype": "rand"}),
    "axes of another shape": put("axes", {"of": "Axes", "fields": {"positions": {"tuple": [{"range": [0, 3, 1]}]}}}),
    "values of another shape": change("values", lambda a: a[:, :4]),
    "values of another dtype": change("values", lambda a: a.astype(np.float32)),
    "players as floats": change("players.layout.indices.0", lambda a: a.astype(float)),
    "an array too few": lambda header, arrays: arrays.__delitem__("noise"),
    "objects": lambda header, arrays: arrays.__setitem__("values", np.array([["a"]], dtype="U1")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_contradicts_itself_is_an_error(tmp_path: Path, case: str) -> None:
    path = tmp_path / "ex.npz"
    explanation().save(path)
    edited(path, lambda header, arrays: None)
    AndOrExplanation.load(path)
    edited(path, WRONG[case])
    with pytest.raises(ValueError, match=r"ex\.npz is not a file that AndOrExplanation.save wrote"):
        AndOrExplanation.load(path)


def test_damaged_files_are_one_kind_of_error(tmp_path: Path) -> None:
    """Bytes changed or cut at random: the same explanation, or a ValueError that names the file."""
    path = tmp_path / "ex.npz"
    explanation().save(path)
    whole = path.read_bytes()
    generator = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged[: generator.choice([len(damaged), generator.randrange(len(damaged))])])
        try:
            AndOrExplanation.load(path)
        except ValueError as error:
            refused += "ex.npz" in str(error)
    assert refused > 100


def test_many_saves_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    ex = explanation()
    path = tmp_path / ("x" * 250)  # as long as names can be
    failed: list[BaseException] = []

    def save() -> None:
        try:
            for _ in range(10):
                ex.save(path)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert os.listdir(tmp_path) == [path.name]
    assert torch.equal(AndOrExplanation.load(path).values, ex.values)


def test_links_are_followed_and_permissions_are_the_usual(tmp_path: Path) -> None:
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    link.symlink_to(real)
    LogicalModel.from_values([0.0, 1.0, 1.0, 2.0]).save(link)
    assert link.is_symlink() and real.is_file()
    plain = tmp_path / "plain"
    plain.write_text("")
    assert real.stat().st_mode == plain.stat().st_mode
    LogicalModel.load(link)


def test_what_another_class_wrote_is_refused_and_every_field_comes_back(tmp_path: Path) -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, 1.0, 0.0]])
    names = {0: "a", 1: "b", 2: "c"}
    saved = AndOrInteractions(lambda x: x.prod(1) + x.sum(1)).logical_model(x, player_names=names)
    saved.save(tmp_path / "model")
    with pytest.raises(ValueError, match="is not a file that AndOrExplanation.save wrote"):
        AndOrExplanation.load(tmp_path / "model")
    loaded = LogicalModel.load(tmp_path / "model")
    assert loaded.options == saved.options and loaded.axes == saved.axes and loaded.player_names == ("a", "b", "c")
    assert loaded.players.layout is not None and loaded.players.layout.shapes == ((3,),)
    assert loaded.coalitions is None and loaded.estimate is None
    for name in ("t", "constant", "r2", "r2_interval", "r2_path", "values"):
        assert torch.equal(getattr(loaded, name), getattr(saved, name))


def test_what_a_file_cannot_hold_is_named(tmp_path: Path) -> None:
    class Other:
        pass

    @dataclass
    class Holder(Stored):
        inner: list[Any]

    Holder([1, {"a": (2.5, None)}, range(3), torch.float16, np.arange(2)]).save(tmp_path / "fine")
    loaded = Holder.load(tmp_path / "fine")
    assert loaded.inner[:4] == [1, {"a": (2.5, None)}, range(3), torch.float16]
    assert loaded.inner[4].tolist() == [0, 1]
    with pytest.raises(TypeError, match=r"inner.0 is a Other, which a file does not hold"):
        Holder([Other()]).save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
