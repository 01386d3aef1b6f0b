"""The site: `python -m sphinx -W docs target/site`, with sphinx, myst-parser and furo; no network."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bindings" / "python"))

project = "nepal"
author = "the nepal developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "nepal"
html_show_copyright = False
exclude_patterns = ["figures"]
myst_heading_anchors = 3
# The reference of commands links to headings as its generator names them.
suppress_warnings = ["myst.xref_missing", "myst.header"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
# Documentation needs the package's texts, not its library.
autodoc_mock_imports = ["ase"]
