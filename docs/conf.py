"""Settings of Sphinx; `make docs` builds with warnings as errors. Nothing on a page asks the network."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docs.example_pages import FOLDER, write_examples  # noqa: E402
from docs.kept_tutorials import KEPT  # noqa: E402
from docs.pages import write_pages  # noqa: E402
from docs.repository_links import site_text  # noqa: E402

project = "gsi-theory"
author = "the gsi-theory authors"
copyright = f"%Y, {author}"
release = version = installed("gsi-theory")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx_design",
    "sphinx_copybutton",
    "myst_nb",
    "docs.math_renderer",
    "docs.docstrings",
]
# a tutorial of KEPT is shown as it was run
exclude_patterns = [
    "_build",
    FOLDER.name,
    "**/.ipynb_checkpoints",
    *(f"tutorials/{name}.md" for name in KEPT),
]
suppress_warnings = ["config.cache"]  # a function among the settings: the environment is not kept between builds

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
# tutorials run at every build; what one raises or prints to stderr is an error of the build
nb_execution_mode = "force"
nb_execution_excludepatterns = ["tutorials/*.ipynb"]  # those keep what they printed: docs/kept_tutorials.py
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "error"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# as the source calls them; their page says what they are
autodoc_type_aliases = {name: name for name in ("Array", "ArrayLike", "Flags", "Floats", "Ints", "Json", "Record")}
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

html_theme = "furo"
html_title = "gsi-theory"
html_static_path = ["_static"]
html_extra_path = [FOLDER.name]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = "$ "

write_pages()
write_examples()


def _on_the_site(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = site_text(page, source[0])


def setup(app: Sphinx) -> None:
    """What Sphinx calls when it loads this file."""
    app.connect("source-read", _on_the_site)
