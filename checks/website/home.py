"""The cell on the home page, and what the flight recorder draws when it runs."""

from __future__ import annotations

import ast
import hashlib
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checks.observe import picture, trace
from checks.website import outputs
from checks.website.lessonpage import cell_html, cells_data
from checks.website.outputs import Drawn

NAME = "home"

_KEY = "<!-- {} -->"


def draw(source: str) -> Drawn:
    """Run the cell and draw what its last line is worth."""
    names = types.ModuleType(NAME).__dict__
    tree = ast.parse(source)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, f"{NAME}.py", "exec", dont_inherit=True), names)
    value: Any = eval(
        compile(ast.Expression(last.value), f"{NAME}.py", "eval", dont_inherit=True), names
    )
    return outputs.draw(
        [{"output_type": "display_data", "data": {"text/html": value._repr_html_()}}]
    )


def cell(source: str, drawn: Drawn) -> str:
    """The cell with its output, as on a lesson's page."""
    data = {"id": NAME, "role": "code", "exercise": None, "source": source, "recorded": False}
    return cell_html(NAME, "code", source, drawn.html) + "\n\n" + cells_data(NAME, "index", [data])


def key(source: str) -> str:
    """What the drawing depends on; while it stays, what was drawn stays, times and all."""
    parts = [source, version("fastapi"), version("sqlalchemy")]
    parts += [
        Path(module.__file__ or "").read_text(encoding="utf-8") for module in (picture, trace)
    ]
    return _KEY.format(hashlib.sha256("\0".join(parts).encode()).hexdigest())
