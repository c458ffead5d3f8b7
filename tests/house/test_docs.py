"""What the pages tell a reader to type exists: scripts and their options, make targets, files, code that parses."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
import urllib.parse
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.rst"))]
SCRIPTS = {
    str(p.relative_to(ROOT).with_suffix("")).replace("/", "."): p
    for folder in ("tutorials", "benchmarks")
    for p in (ROOT / folder).rglob("*.py")
}

tomllib = pytest.importorskip("tomllib")  # Python 3.11

pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="only in a checkout")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_scripts_and_their_words_exist(page: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    named = re.findall(r"python -m ((?:tutorials|benchmarks)[\w.]+\w)((?: [\w-]+| --[\w-]+)*)", text)
    named += [(path.replace("/", "."), "") for path in re.findall(r"((?:tutorials|benchmarks)/[\w/]+)\.py", text)]
    for script, rest in named:
        assert script in SCRIPTS, f"{page.name} names {script}"
        for option in re.findall(r"--[\w-]+", rest):
            assert f'"{option}"' in SCRIPTS[script].read_text(encoding="utf-8"), (
                f"{page.name}: {script} has no {option}"
            )
    assert not re.search(r"python (?:tutorials|benchmarks)/", text), f"{page.name}: scripts start with python -m"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in re.findall(
        r"(?:``|`|^ *)make ((?:[\w-]+ ?)+)(?=``|`| *#|$)", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert set(words.split()) <= targets, f"{page.name}: make {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_parses(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    blocks += re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    for block in blocks:
        ast.parse(textwrap.dedent(block))


def test_badges_are_true() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lowest = dict(re.findall(r"^([\w-]+)>=([\d.]+)$", "\n".join(project["project"]["dependencies"]), re.MULTILINE))
    assert f"![Licence: {project['project']['license']}]" in readme
    assert f"![Python {project['project']['requires-python'].replace('>=', '≥ ')}]" in readme
    assert f"![PyTorch ≥ {lowest['torch']}]" in readme
    assert f"![Captum ≥ {lowest['captum']}]" in readme
    assert project["tool"]["mypy"]["strict"] and "![typed: mypy strict]" in readme
    for name, address in re.findall(r"!\[([^\]]+)\]\(https://img.shields.io/badge/([^)]+)\)", readme):
        words = urllib.parse.unquote(address).replace("--", "‐").split("-")
        assert re.sub(r"[:\s]", "", name).replace("-", "‐").lower().endswith(words[1].replace(" ", "").lower())


def numbers_of(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text)]


def test_the_snippet_of_the_readme_prints_what_stands_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\s+```\n(.*?)```\n\n(.*?)\n##", readme, re.DOTALL)
    assert found is not None
    snippet, shown, words = found.groups()
    exec(compile(snippet, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    for mine, theirs in zip(printed.splitlines()[:5], shown.splitlines()[:5], strict=True):
        assert re.sub(r"[-+\d. %]", "", mine) == re.sub(r"[-+\d. %]", "", theirs)
    assert numbers_of(printed)[:12] == pytest.approx(numbers_of(shown)[:12], rel=0.02)
    mine, theirs = (  # the estimate: players with their Shapley values and standard errors
        {name: float(value) for value, name in re.findall(r"^ +(\S+) +[\d.]+  (\w.* = \S+)$", text, re.MULTILINE)}
        for text in (printed[printed.index("GameEstimate") :], shown[shown.index("GameEstimate") :])
    )
    assert len(theirs) == 10 and mine == pytest.approx(theirs, abs=0.05)
    words = words.replace("\n", " ").replace("−", "-")
    lines = printed.splitlines()
    assert f"reproduce {numbers_of(lines[1])[0]:.2f}".replace("0.", ".") in words
    assert lines[4].endswith("area = 1.719") and f"tumour by {numbers_of(lines[4])[1]:.1f}" in words
    one, other, both = numbers_of(lines[5])[1:4]
    assert "AND {concavity" in lines[5] and "fractal dimension" in lines[5]
    assert f"concavity alone {one:+.1f}, fractal dimension alone {other:+.1f}, both {both:+.1f}" in words


ROOMS = ("explain", "games", "split", "results", "visualization", "llm", "confusing", "studies")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_reference(room: str) -> None:
    module = importlib.import_module(f"captum_andor.{room}")
    reference = (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8")
    own = reference[reference.index(f"``from captum_andor.{room} import …``") :].split("\n\n``from", 1)[0]
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.suffix == ".rst")
    whole = set(re.findall(r"automodule:: (\S+)", pages))
    for name in module.__all__:
        assert re.search(rf"[`.]{name}[`\n]", own), f"docs/reference.rst lacks {name}"
        found = getattr(module, name)
        if callable(found):  # modules and constants stand in the table alone
            documented = re.search(rf"auto(class|function):: captum_andor\.(\w+\.)*{name}\n", pages)
            listed = f"captum_andor.{room}" in whole and re.search(rf"[:,] {name}[,\n]", pages)
            assert documented or listed, f"no page documents {name}"


def test_files_that_the_readme_links_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_every_page_is_in_the_table_of_contents() -> None:
    pages = ("index", "reference", "benchmarks")  # that have one: the first, and two that hold others
    contents = "\n".join((ROOT / "docs" / f"{page}.rst").read_text(encoding="utf-8") for page in pages)
    included = {
        "index",
        "estimates_results",
        "estimates_methods",
        "sg_execution_times",
    }
    for page in (ROOT / "docs").glob("*.rst"):
        entry = rf"^   (.*<)?{page.stem}>?$"
        assert page.stem in included or re.search(entry, contents, re.MULTILINE), page.name


def documented_classes() -> list[tuple[str, dict[str, str]]]:
    """Every class of a reference page with the options of its directive."""
    found = []
    for page in sorted((ROOT / "docs").glob("*.rst")):
        for name, options in re.findall(
            r"^\.\. autoclass:: (\S+)\n((?:   :.*\n)*)", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found.append((name, dict(re.findall(r"^   :([\w-]+):(.*)$", options, re.MULTILINE))))
    return found


@pytest.mark.parametrize(("name", "options"), documented_classes())
def test_the_reference_has_every_public_method_of_a_class(name: str, options: dict[str, str]) -> None:
    room, _, class_name = name.rpartition(".")
    found = getattr(importlib.import_module(room), class_name)
    listed = {entry.strip() for entry in options.get("members", "").split(",")} - {""}
    for method, value in inspect.getmembers(found):
        owner = next(base for base in found.__mro__ if method in vars(base)) if method[0] != "_" else object
        if not owner.__module__.startswith("captum_andor") or not (callable(value) or isinstance(value, property)):
            continue
        shown = method in listed if listed else owner is found or "inherited-members" in options
        shown = shown or (isinstance(value, property) and f"{method} (" in str(found.__doc__))  # among its attributes
        assert shown, f"{name} has {method}, which its directive leaves out"
