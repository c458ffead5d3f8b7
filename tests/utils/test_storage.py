"""Files are checked before they are believed, and written so that nothing is lost."""

from __future__ import annotations

import json
import os
import random
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captum_andor import AndOrExplanation, AndOrInteractions, LogicalModel

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


def poisoned(array: Any) -> Any:
    array = array.copy()
    array.flat[-1] = np.nan
    return array


WRONG: dict[str, Edit] = {
    "fewer ids": put("feature_ids", [0, 1]),
    "repeated ids": put("feature_ids", [0, 1, 1]),
    "ids in another order": put("feature_ids", [2, 1, 0]),
    "ids that are no integers": put("feature_ids", [0, 1, "2"]),
    "ids that are bools": put("feature_ids", [False, True, 2]),
    "ids that are no list": put("feature_ids", 3),
    "unknown split": put("split", "sparsest"),
    "a dtype that is a function": put("attribution_dtype", "rand"),
    "an integer dtype": put("attribution_dtype", "int64"),
    "version 0": put("version", 0),
    "version -3": put("version", -3),
    "version True": put("version", True),
    "version 1.0": put("version", 1.0),
    "input shapes of another input": put("input_shapes", [[7]]),
    "input shapes that are none": put("input_shapes", [[-3]]),
    "two inputs": put("input_shapes", [[3], [3]]),
    "is_tuple": put("is_tuple", "yes"),
    "values of another shape": change("values", lambda a: a[:, :4]),
    "values of another dtype": change("values", lambda a: a.astype(np.float32)),
    "values that are no numbers": change("values", poisoned),
    "interactions that are no numbers": change("or_values", poisoned),
    "values of another game": change("values", lambda a: a + np.arange(8)),
    "another l1": change("l1", lambda a: a + 1),
    "players out of range": change("players_0", lambda a: a + 1),
    "negative players": change("players_0", lambda a: a - 2),
    "players as floats": change("players_0", lambda a: a.astype(float)),
    "an array too many": lambda header, arrays: arrays.__setitem__("more", np.zeros(2)),
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
    with pytest.raises(ValueError, match=r"ex\.npz (is not a file|does not hold)"):
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


def test_what_would_not_fit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A megabyte that would expand to a gigabyte: its header says 3 players."""
    path = tmp_path / "ex.npz"
    explanation().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            if name != "values.npy":
                archive.writestr(name, content)
        with archive.open("values.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(
                member, {"descr": "<f8", "fortran_order": False, "shape": (2, 1 << 22)}
            )
            for _ in range(64):
                member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"its values has shape \(2, 4194304\)"):
        AndOrExplanation.load(path)


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


OLD_FILES = Path(__file__).parent / "files_before_rooms"  # saved by commit 064a37a


@pytest.mark.parametrize(
    ("name", "kind"),
    [("explanation", AndOrExplanation), ("logical_model", LogicalModel), ("from_budget", LogicalModel)],
)
def test_files_saved_before_the_package_had_rooms_load(
    name: str, kind: type[AndOrExplanation] | type[LogicalModel]
) -> None:
    expected = json.loads((OLD_FILES / "expected.json").read_text(encoding="utf-8"))
    loaded = kind.load(OLD_FILES / f"{name}.npz")
    assert loaded.attributions().tolist() == expected[name]
    text = repr(loaded).replace(
        f"   (noise alone reaches |t| {loaded.noise_t:.1f})" if name == "from_budget" else "\0", ""
    )
    assert text in expected["texts"]
