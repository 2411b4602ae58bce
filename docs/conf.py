"""Sphinx settings of the documentation: built by `make docs`, warnings are errors."""

import passerby

project = "Passerby"
author = "the Passerby authors"
release = passerby.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_use_ivar = True  # attributes of dataclasses are described once
# these stand in signatures by name, not as the long unions that they are
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Features", "Matrix", "Metric")}
nitpicky = False
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Passerby"
