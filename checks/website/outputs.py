"""A cell's stored outputs as HTML that Markdown leaves alone: one line, no styles of its own."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from typing import Any

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_SENT = re.compile(r'<li class="sql[^"]*">.*?</li>(?!</ul>)')
_STATEMENT = re.compile(r'<span class="what">.*?<code>(.*?)</code>', re.DOTALL)
_TIMES = re.compile(r"<b>× (\d+)</b>")
_TAG = re.compile(r"<[^>]+>")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}


@dataclass
class Drawn:
    """Outputs, drawn.

    Attributes:
        html: One line of HTML; empty where there is nothing to see.
        styles: The style sheets that the outputs brought along.
        pictures: Files that the HTML shows, by name, from the folder `generated/pictures`.
        statements: The SQL in their timelines, in order; the same one repeated stands once.
    """

    html: str = ""
    styles: set[str] = field(default_factory=set)
    pictures: dict[str, bytes] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)


def draw(outputs: Iterable[Mapping[str, Any]], up: str = "../../") -> Drawn:
    """Draw a cell's outputs as Jupyter would.

    Args:
        outputs: As the notebook stores them.
        up: The way from the page's address to the site's root.
    """
    drawn = Drawn()
    drawn.html = "".join(_one(output, drawn, up) for output in outputs)
    return drawn


def text(output: Mapping[str, Any]) -> str:
    """An output as plain text."""
    if output.get("output_type") == "stream":
        return _joined(output.get("text"))
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return _joined(output.get("data", {}).get("text/plain"))


def _one(output: Mapping[str, Any], drawn: Drawn, up: str) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return _rich(_joined(data["text/html"]), drawn)
    for kind, suffix in _PICTURES.items():
        if kind in data:
            return _picture(_joined(data[kind]), suffix, drawn, up)
    said = _ANSI.sub("", text(output)).rstrip("\n")
    if not said.strip():
        return ""
    tone = {"stream": "said", "error": "raised"}.get(str(output.get("output_type")), "result")
    return f'<pre class="de-{tone}" tabindex="0">{_line(escape(said, quote=False))}</pre>'


def _rich(html: str, drawn: Drawn) -> str:
    drawn.styles |= set(_STYLE.findall(html))
    bare = _STYLE.sub("", html)
    for row in _SENT.findall(bare):
        if found := _STATEMENT.search(row):
            times = _TIMES.search(row)
            repeated = f"  -- {times[1]} times" if times else ""
            drawn.statements.append(unescape(_TAG.sub("", found[1])) + repeated)
    return _line(bare)


def _picture(content: str, suffix: str, drawn: Drawn, up: str) -> str:
    data = content.encode() if suffix == "svg" else b64decode(content)
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
    drawn.pictures[name] = data
    alt = "The figure that the cell above draws; the text below says what it shows."
    return f'<p><img src="{up}generated/pictures/{name}" alt="{alt}" loading="lazy"></p>'


def _line(html: str) -> str:
    """The same HTML without line breaks and tabs: Markdown takes one line of it as it is."""
    return html.replace("\r", "").replace("\n", "&#10;").replace("\t", "&#9;")


def _joined(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value or "")
