"""Sphinx configuration. Needs no network."""

from importlib.metadata import version as installed_version

project = "captum_andor"
author = "captum_andor contributors"
copyright = "2026, captum_andor contributors"
version = release = installed_version("captum_andor")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx.ext.mathjax"]
autodoc_typehints = "none"  # the docstrings give types, with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
exclude_patterns = ["_build"]

html_theme = "furo"
html_static_path = ["_static"]
html_title = f"captum_andor {release}"
