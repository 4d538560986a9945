# SPDX-License-Identifier: Apache-2.0
"""How the site is built: ``make docs``, every warning an error."""

from __future__ import annotations

import synjit

project = "synjit"
author = "The synjit maintainers"
copyright = author  # noqa: A001, Sphinx' name
release = synjit.__version__
version = release.partition("+")[0]

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
nitpicky = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Signatures show defaults; docstrings say types, in words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
default_role = "code"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

linkcheck_timeout = 20
linkcheck_retries = 2

html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme = "pydata_sphinx_theme"
html_title = "synjit"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_exclude = ".linenos, .gp, .go"
