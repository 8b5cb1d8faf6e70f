"""The site: ``make docs`` builds it into docs/_build, with every warning an error and without the network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # generated.py

import generated

from dynamap_opt import __version__

project = "dynamap-opt"
copyright = "the authors of dynamap-opt; Apache-2.0"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "README.md"]  # README.md is GitHub's index; index.md includes it
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "dollarmath"]

autodoc_member_order = "bysource"  # of a package: the order of __all__
autodoc_default_options = {"members": True, "imported-members": True}
autodoc_typehints = "none"  # signatures show names; docstrings say what the types mean
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
add_module_names = False

html_theme = "furo"
html_title = f"dynamap-opt {version}"
html_static_path = ["_static"]
html_css_files = ["dynamap.css"]
html_show_sourcelink = False
html_copy_source = False


def setup(app: generated.App) -> None:
    """What is made of the code: the command line, the units' contracts, whose names a package shows."""
    generated.setup(app)
