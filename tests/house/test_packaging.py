"""What is shipped: the description on an index page, and the lowest versions that are tested."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_index_page_holds_no_link_into_the_repository() -> None:
    index_page = runpy.run_path(str(ROOT / "setup.py"))["index_page"]
    given = "# T\n\n![a picture](docs/a.png)\n\n<img src='docs/b.jpg' width='420'>\n\nSee [the docs](docs/x.rst), [Captum](https://captum.ai), [below](#b)."
    assert index_page(given) == "# T\n\nSee the docs, [Captum](https://captum.ai), [below](#b)."
    page = index_page((ROOT / "README.md").read_text(encoding="utf-8"))
    assert not re.search(r"\]\((?!https?:|#)", page) and "<img" not in page and len(page) > 2000


def test_the_lowest_versions_tested_are_those_admitted() -> None:
    tomllib = pytest.importorskip("tomllib")  # in Python 3.11 and above
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    admitted = [*project["dependencies"], *extras["test"], *(e for e in extras["tutorials"] if "torchvision" in e)]
    tested = dict(
        line.split("==")
        for line in (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    for requirement in admitted:
        name, lowest = requirement.split(">=")
        assert (tested[name] + ".0.0").startswith(lowest + "."), requirement
    assert set(tested) == {requirement.split(">=")[0] for requirement in admitted}
