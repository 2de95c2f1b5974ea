"""How `make site` makes the site: this repository's pages and executed notebooks, by Sphinx, without a network.

The source folder is the repository, so that a page's links to pages, pictures and notebooks are those of the site.
"""

import re
import shutil
import textwrap
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
PAGES = "papermill_runs/desk"  # the executed notebooks that are evidence

project = "ECG paper companion"
author = "The ECG paper companion authors"
root_doc = "README"
include_patterns = ["*.md", "docs/**", "benchmarks/README.md", f"{PAGES}/*.ipynb"]
exclude_patterns = [".*", "build", "ecglib", "figures", "notebooks", "tests", f"{PAGES}/runs", "**/__pycache__"]
extensions = [
    "myst_nb",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]

nb_execution_mode = "off"  # what was run stays as it is
nb_merge_streams = True
nb_ipywidgets_js = {}  # it would be fetched from elsewhere
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

apidoc_modules = [{"path": "../ecglib", "destination": "docs/api", "separate_modules": True, "max_depth": 2}]
autodoc_member_order = "bysource"
default_role = "code"  # a name in single backticks, as docstrings write it

html_theme = "furo"
html_title = project
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False

CONTENTS = """
```{toctree}
:hidden:
:caption: Chapters

%(chapters)s
```

```{toctree}
:hidden:
:caption: To look up

RESULTS
EVIDENCE
GLOSSARY
docs/map
docs/running
docs/own_record
docs/faults
docs/teaching
docs/licences
benchmarks/README
CONTRIBUTING
API reference <docs/api/modules>
README.ko
```
"""


def adapt_text(_app: Sphinx, page: str, source: list[str]) -> None:
    """Lead links to a module to its page, and give the first page the contents, which GitHub would show as code."""
    source[0] = re.sub(
        r"\]\((?:\.\./)*(ecglib/[\w/]+)\.py\)",
        lambda link: f"](/docs/api/{link[1].replace('/', '.')}.rst)",
        source[0],
    )
    if page == root_doc:
        chapters = "\n".join(f"{PAGES}/{path.stem}" for path in sorted((ROOT / PAGES).glob("*.ipynb")))
        source[0] += CONTENTS % {"chapters": chapters}


def describe_pictures(_app: Sphinx, document: nodes.document) -> None:
    """Give a notebook's figures a text: the paragraph that leads to them."""
    said = ""
    for node in document.findall(lambda found: isinstance(found, nodes.paragraph | nodes.image)):
        if isinstance(node, nodes.paragraph):
            said = node.astext() or said
        elif node["uri"] in node.get("alt", node["uri"]):  # none was given
            node["alt"] = textwrap.shorten(said, 250)


def show_formula(self, node: nodes.Element) -> None:
    """Write a formula as MathML, which browsers show without a script."""
    shown = "block" if isinstance(node, nodes.math_block) else "inline"
    self.body.append(convert(node.astext(), display=shown))
    raise nodes.SkipNode


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Give the first page the name that a browser opens."""
    if error is None:
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Register the above with Sphinx."""
    app.connect("source-read", adapt_text)
    app.connect("doctree-read", describe_pictures)
    app.connect("build-finished", add_index)
    app.add_html_math_renderer("mathml", (show_formula, None), (show_formula, None))
