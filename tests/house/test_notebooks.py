"""Tutorials as notebooks run in a fresh kernel: the first one wherever it is put, the others in a clone."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
nbformat = pytest.importorskip("nbformat", reason="notebooks need nbclient and ipykernel: pip install -e '.[docs]'")
nbclient = pytest.importorskip("nbclient", reason="notebooks need nbclient and ipykernel: pip install -e '.[docs]'")
pytest.importorskip("ipykernel")
parser = pytest.importorskip("sphinx_gallery.py_source_parser")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def notebook_of(name: str):
    """As the page of a tutorial offers it."""
    _, blocks = parser.split_code_and_text_blocks(str(ROOT / "tutorials" / "gallery" / f"{name}.py"))
    made = nbformat.v4.new_notebook()
    kinds = {"code": nbformat.v4.new_code_cell, "text": nbformat.v4.new_markdown_cell}
    made.cells = [kinds[block[0]](block[1]) for block in blocks]
    return made


@pytest.mark.parametrize(("name", "in_clone"), [("tables/own_model", False), ("pictures/first_explanation", True)])
def test_the_notebook_runs_in_a_fresh_kernel(name: str, in_clone: bool, tmp_path: Path) -> None:
    made = notebook_of(name)
    folder = ROOT if in_clone else tmp_path
    nbclient.NotebookClient(made, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    printed = "".join(
        output.get("text", "") for cell in made.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert "LogicalModel of one output" in printed and "R²" in printed
    assert list(tmp_path.iterdir()) == []
