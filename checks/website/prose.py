"""A lesson's prose as Python-Markdown reads it: notebooks speak CommonMark, which is laxer."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FENCE = re.compile(r"^\s*(```+|~~~+)")
_HEADING = re.compile(r"^(#{1,5}) (.+?)\s*$")
_ITEM = re.compile(r"^(\s*)([-*+]|\d+[.)]) +\S")
_PREDICT = "**Predict.**"
_NOT_TEXT = re.compile(r"[*_`]|!?\[([^\]]*)\]\([^)]*\)")


def for_site(source: str, deeper: int) -> str:
    """A prose cell for a page.

    Its title goes, since the page has one; other headings go `deeper`; a prediction becomes an
    admonition; lists get the blank line and the four spaces that Python-Markdown wants.
    """
    lines: list[str] = []
    fenced = False
    for line in source.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            line = _heading(line, deeper)
            if (item := _ITEM.match(line)) and lines and _is_paragraph(lines[-1], item):
                lines.append("")
            line = _indented(line)
        lines.append(line)
    return _predictions("\n".join(lines)).strip()


def fence(code: str, language: str = "python", title: str = "") -> str:
    """A block of code that no backtick in it can close."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    ticks = "`" * (longest + 1)
    named = f' title="{title}"' if title else ""
    return f"{ticks}{language}{named}\n{code.strip(chr(10))}\n{ticks}"


def plain(markdown: str) -> str:
    """Markdown as one line of plain text."""
    return " ".join(_NOT_TEXT.sub(lambda found: found[1] or "", markdown).split())


def headings(sources: Iterable[str]) -> list[tuple[int, str]]:
    """The headings of prose cells: level and text."""
    found = []
    for source in sources:
        fenced = False
        for line in source.splitlines():
            if _FENCE.match(line):
                fenced = not fenced
            elif not fenced and (match := _HEADING.match(line)):
                found.append((len(match[1]), match[2]))
    return found


def _heading(line: str, deeper: int) -> str:
    match = _HEADING.match(line)
    return f"{'#' * (len(match[1]) + deeper)} {match[2]}" if match else line


def _is_paragraph(line: str, item: re.Match[str]) -> bool:
    """Whether a list that begins here would be taken as a part of the paragraph above it.

    Only bullets and a 1 begin one there: a line may well start with "503. Retry only ...".
    """
    begins = not item[1] and (not item[2][0].isdigit() or item[2][:-1] == "1")
    return begins and bool(line.strip()) and not _ITEM.match(line) and not line[0].isspace()


def _indented(line: str) -> str:
    """Two spaces of a list's continuation as four."""
    depth = len(line) - len(line.lstrip(" "))
    return " " * (4 * -(-depth // 3)) + line.lstrip(" ") if 0 < depth < 7 else line


def _predictions(markdown: str) -> str:
    paragraphs = re.split(r"\n{2,}", markdown)
    for place, paragraph in enumerate(paragraphs):
        if paragraph.startswith(_PREDICT):
            said = paragraph.removeprefix(_PREDICT).strip().splitlines()
            body = "\n".join(f"    {line}" for line in said)
            paragraphs[place] = f'!!! question "Predict"\n\n{body}'
    return "\n\n".join(paragraphs)
