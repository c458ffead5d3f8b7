"""What was computed before is taken for current only where model, inputs, baselines and masks are the same."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor._utils.hashing import hash_of

X = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


class Model(nn.Module):
    """All that outputs can depend on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)
        self.register_buffer("shift", torch.zeros(3), persistent=False)
        self.temperature = 1.0
        self.activation: Callable[[Tensor], Tensor] = torch.tanh
        self.settings = {"scale": [1.0, 1.0, 1.0]}
        self.calls = 0
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.cache = x.sum() if self.cache is None else self.cache
        scale = torch.tensor(self.settings["scale"])
        return self.activation(self.linear(x)) / self.temperature * scale + self.shift


def changed_buffer(model: Any) -> None:
    model.shift += 1


def changed_temperature(model: Any) -> None:
    model.temperature = 3.0


def changed_activation(model: Any) -> None:
    model.activation = torch.relu


def changed_setting(model: Any) -> None:
    model.settings["scale"][1] = 2.0


def changed_hook(model: Any) -> None:
    model.linear.register_forward_hook(lambda module, arguments, output: -output)


CHANGES = [
    (changed_buffer, "another model 'm', whose parameters, buffers or code differ"),
    *((c, "answers the first samples differently") for c in (changed_temperature, changed_activation, changed_setting)),
    (changed_hook, "answers the first samples differently"),
]


def analyzer(model: Any, **options: Any) -> ConfusingSampleAnalyzer:
    return ConfusingSampleAnalyzer(scores=("net_order",), **options).add_model("m", model)


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_folder_of_another_model_is_refused(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    """Only weights counted: a changed temperature gave the scores of before, off by up to 3.1."""
    model = Model().eval()
    first = analyzer(model).evaluate((X, Y), checkpoint_dir=tmp_path).scores
    again = analyzer(copy.deepcopy(model)).evaluate((X, Y), checkpoint_dir=tmp_path).scores
    assert again.equals(first)  # its counter and its cache have changed, and are none of it
    assert analyzer(Model().eval()).evaluate((X, Y), checkpoint_dir=tmp_path).scores.equals(first)
    change(model)
    with pytest.raises(ValueError, match=message):
        analyzer(model).evaluate((X, Y), checkpoint_dir=tmp_path)


def test_functions_are_known_by_code_closure_defaults_and_globals() -> None:
    def scaled(by: float) -> Callable[[Tensor], Tensor]:
        return lambda x: x * by

    def twice(x: Tensor, by: float = 2.0) -> Tensor:
        return x * by

    def thrice(x: Tensor, by: float = 3.0) -> Tensor:
        return x * by

    assert hash_of(scaled(2.0)) == hash_of(scaled(2.0)) != hash_of(scaled(3.0))
    assert hash_of(twice) != hash_of(thrice)
    assert hash_of(functools.partial(twice, by=1.0)) != hash_of(functools.partial(twice, by=2.0))
    weight = torch.ones(3)
    inner = lambda x: x * weight  # noqa: E731
    before = hash_of(inner)
    weight += 1
    assert hash_of(inner) != before
    loop: list[Any] = []
    loop.append(loop)
    assert hash_of(lambda x: loop)  # ends
    assert hash_of(lambda x: handle)  # what cannot be read is passed over


def test_the_digest_of_a_function_is_the_same_in_every_process() -> None:
    """Sets print in another order, and loggers refer to all others."""
    code = (
        "import logging, torch\n"
        "from captum_andor._utils.hashing import hash_of\n"
        "logger, settings = logging.getLogger('mine'), {'of': {'a', 'b', 'c', 'd'}}\n"
        "def model(x):\n"
        "    logger.debug('called')\n"
        "    return x if 'a' in {'a', 'b', 'c', 'd', 'e'} and settings else -x\n"
        "torch.manual_seed(0)\n"
        "net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.1))\n"
        "print(hash_of(model), hash_of(net))\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


handle = (i for i in range(3))  # a generator can be neither read nor pickled


def test_what_cannot_be_hashed_the_answers_tell(tmp_path: Path) -> None:
    class Opaque:
        """Pickles to nothing, as handles of other libraries do."""

        __slots__ = ("by",)

        def __reduce__(self) -> Any:
            raise TypeError("no")

    holder = Opaque()
    holder.by = 1.0
    linear = nn.Linear(4, 3)
    model = lambda x: linear(x) * holder.by  # noqa: E731
    analyzer(model).evaluate((X, Y), checkpoint_dir=tmp_path)
    holder.by = 2.0
    with pytest.raises(ValueError, match="answers the first samples differently"):
        analyzer(model).evaluate((X, Y), checkpoint_dir=tmp_path)


def test_files_are_bound_to_their_names(tmp_path: Path) -> None:
    """Files that changed places gave wrong scores."""
    model = Model().eval()
    expected = analyzer(model).evaluate((X, Y), batch_size=3, checkpoint_dir=tmp_path).scores
    a, b = sorted(tmp_path.glob("*.parquet"))
    shutil.move(a, tmp_path / "c")
    shutil.move(b, a)
    shutil.move(tmp_path / "c", b)
    found = analyzer(model).evaluate((X, Y), batch_size=3, checkpoint_dir=tmp_path).scores
    assert found.equals(expected)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "damaged"),
        ('{"format": "captum_andor.parts", "version": 1}', "it lacks"),
        ('{"format": "captum_andor.study", "version": 1}', "not of the kind"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str, fault: str) -> None:
    """One without a key was a KeyError."""
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=rf"manifest.json .*{fault}"):
        analyzer(Model().eval()).evaluate((X, Y), checkpoint_dir=tmp_path)
    analyzer(Model().eval()).evaluate((X, Y), checkpoint_dir=tmp_path / "new")
    kept = json.loads((tmp_path / "new" / "manifest.json").read_text())
    for key in ("models", "settings"):
        (tmp_path / "new" / "manifest.json").write_text(json.dumps({**kept, key: 3}))
        with pytest.raises(ValueError, match="it lacks"):
            analyzer(Model().eval()).evaluate((X, Y), checkpoint_dir=tmp_path / "new")


def test_tables_of_other_weights_baselines_or_inputs_are_refused() -> None:
    model = Model().eval()
    made = analyzer(model)
    batch = {"sample": np.arange(6), "input": X.numpy()}
    table = made.explain_batch(batch)
    report = made.collect(table, (X, Y))
    pd.testing.assert_frame_equal(report.scores, made.evaluate((X, Y)).scores, check_exact=False, rtol=1e-5)
    with pytest.raises(ValueError, match="tables are of another evaluation: .* sample 2"):
        made.collect(table, (torch.cat([X[:2], X[:1], X[3:]]), Y))
    with pytest.raises(ValueError, match="tables are of another evaluation"):
        analyzer(model, baselines=0.5).collect(table, (X, Y))
    with pytest.raises(ValueError, match="tables lack the columns"):
        made.collect(table.drop(columns="fingerprint"), (X, Y))
    changed_temperature(model)
    with pytest.raises(ValueError, match="tables are of another evaluation"):
        made.collect(table, (X, Y))


def test_arrow_tables_and_batches_without_rows() -> None:
    class ArrowTable:
        """The two methods by which a pyarrow.Table is known; pyarrow is not needed."""

        column_names = ("sample", "input")
        columns = ()

        def to_pandas(self) -> pd.DataFrame:
            return pd.DataFrame({"sample": range(6), "input": list(X.numpy())})

    made = analyzer(Model().eval())
    tables = [made.explain_batch(ArrowTable()), made.explain_batch({"sample": [], "input": []})]
    assert len(tables[1]) == 0 and list(tables[1].columns) == list(tables[0].columns)
    assert len(made.collect(tables, (X, Y)).scores) == 6
