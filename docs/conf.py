"""How sphinx-build makes the documentation: ``make docs``.

Pages that say what the source or the results say are written by :mod:`making` into ``generated``
before the others are read.
"""

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import making  # noqa: E402

import emoscope  # noqa: E402

# The kernels of the notebooks look for RAVDESS here; without it they say so.
os.environ.setdefault("EMOSCOPE_DATA", str(HERE.parents[1] / "shared" / "data"))
warnings.filterwarnings("ignore", category=DeprecationWarning)

project = "emoscope"
author = "The emoscope authors"
copyright = "the emoscope authors, MIT licence"
version = release = emoscope.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = [
    "making",
    "generated/measured/example.md",
    "generated/measured/diarisation.md",
    "accuracy.md",
    "guarantees.md",
]
# Several classes have an attribute of the same name; a short reference may mean any.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 240
nb_execution_raise_on_error = True
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_use_type_comments = False  # there are none; looking for them takes long
napoleon_google_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = "emoscope"
html_static_path = ["_static", "generated/static"]
html_css_files = ["site.css", "colours.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_copy_source = html_show_sourcelink = html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def skip(app, what, name, member, skipped, options):
    """Leave out what scikit-learn adds to every estimator by itself."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    """Write the generated pages before Sphinx looks for pages."""
    app.connect("autodoc-skip-member", skip)
    app.connect("config-inited", lambda *_: making.write(HERE / "generated"), priority=1)
