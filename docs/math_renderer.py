"""Formulas of the site: `figures.mathml`, at build; browsers set MathML without scripts, fonts or network."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from figures.mathml import formula


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_set(node, node.astext(), display=False))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math-block">{_set(node, node.astext(), display=True)}</div>')
    raise nodes.SkipNode


def _set(node: nodes.Element, latex: str, display: bool) -> str:
    return formula(latex, display=display, strict=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads this file."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
