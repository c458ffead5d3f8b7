"""Sphinx configuration. Needs no network, except npm once for formulas that show offline."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from importlib.metadata import version as installed_version
from pathlib import Path

# As in tests/conftest.py: tutorials are many small tensors, and two threads on two busy cores wait for each other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]  # gallery_order; tutorials.datasets

from gallery_order import SECTIONS  # noqa: E402

project = "captum_andor"
author = "captum_andor contributors"
copyright = "2026, captum_andor contributors"
version = release = installed_version("captum_andor")

extensions = [
    "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode",
    "sphinx.ext.mathjax", "sphinx.ext.intersphinx", "sphinx_copybutton", "sphinx_gallery.gen_gallery", "myst_parser",
]  # fmt: skip
autosummary_generate = False  # its tables link to entries of our own pages
autodoc_typehints = "none"  # the docstrings give types, with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_prompt_text = ">>> |\\.\\.\\. "  # doctests are copied without prompts and outputs
copybutton_prompt_is_regexp = True
source_suffix = {".rst": "restructuredtext"}  # Markdown is included, never a page of its own
myst_heading_anchors = 2
exclude_patterns = [
    "_build",
    "estimates_results.rst",
    "estimates_methods.rst",
]

sphinx_gallery_conf = {
    "examples_dirs": "../tutorials/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "subsection_order": [f"../tutorials/gallery/{section}" for section in SECTIONS],
    "within_subsection_order": "gallery_order.position",
    "parallel": 2,  # scripts at once, of one thread each (make docs): two cores are busy throughout
    "thumbnail_size": (560, 392),  # that can be read
    "abort_on_example_error": True,
    "backreferences_dir": "gallery/backreferences",  # from a class to the tutorials that use it
    "doc_module": ("captum_andor",),
    "capture_repr": ("_repr_html_",),  # what a tutorial shows it prints or draws, or it is HTML
    "download_all_examples": False,
    "show_signature": False,
    "default_thumb_file": str(Path(__file__).parent / "_static" / "story.jpg"),
}

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = ["wide_figures.js"]
html_title = f"captum_andor {release}"


def reachable(address: str) -> bool:
    """Whether a site answers; where none does, links to other projects stay plain text."""
    try:
        with urllib.request.urlopen(f"{address}objects.inv", timeout=3):
            return True
    except OSError:
        return False


others = {
    "python": "https://docs.python.org/3/",
    "torch": "https://docs.pytorch.org/docs/stable/",
    "captum": "https://captum.ai/api/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
}
intersphinx_mapping = {name: (address, None) for name, address in others.items() if reachable(address)}


def local_mathjax(script: Path) -> bool:
    """Whether MathJax is at hand in one file, unpacked from its npm package if need be."""
    npm = shutil.which("npm")
    if script.exists() or npm is None:
        return script.exists()
    with tempfile.TemporaryDirectory() as folder:
        try:
            packed = subprocess.run([npm, "pack", "mathjax@3.2.2"], cwd=folder, capture_output=True, timeout=300)
        except subprocess.TimeoutExpired:
            return False
        if packed.returncode:
            return False
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as files:
            member = files.extractfile("package/es5/tex-svg.js")
            assert member is not None
            script.write_bytes(member.read())
    return True


if local_mathjax(Path(__file__).parent / "_static" / "mathjax-tex-svg.js"):
    mathjax_path = "mathjax-tex-svg.js"  # else Sphinx's own default, which needs the reader to be online
