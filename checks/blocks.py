"""An exercise's cell in its master: what a lesson ships of it, and how the course solves it."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from checks import filecells

_BLOCK = re.compile(
    r"^[ \t]*# BEGIN (?P<kind>STARTER|SOLUTION)[ \t]*\n"
    r"(?P<body>.*?)"
    r"^[ \t]*# END (?P=kind)[ \t]*\n?",
    re.DOTALL | re.MULTILINE,
)
_BORDER = re.compile(r"^[ \t]*(# (?:BEGIN|END) (?:STARTER|SOLUTION)\b.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Texts:
    """The two texts of one cell.

    Attributes:
        blanked: As the lesson ships it.
        solved: As the course solves it.
    """

    blanked: str
    solved: str


def marked(exercise: str, source: str) -> str:
    """A cell's text with the visible line that says which exercise it answers.

    It comes first, but for a cell that is a file: there the first line is the magic's.
    """
    mark = f"# exercise: {exercise}\n"
    if not filecells.parse(source):
        return mark + source
    magic, _, text = source.partition("\n")
    return f"{magic}\n{mark}{text}"


def texts(exercise: str, source: str) -> Texts | None:
    """What a master's cell comes to in the two notebooks; None where a block is missing."""
    source += "\n"
    if {match["kind"] for match in _BLOCK.finditer(source)} != {"STARTER", "SOLUTION"}:
        return None

    def keep(kind: str) -> str:
        def block(match: re.Match[str]) -> str:
            if match["kind"] != kind:
                return ""
            return _uncommented(match["body"]) if kind == "STARTER" else match["body"]

        return marked(exercise, re.sub(r"\n{4,}", "\n\n\n", _BLOCK.sub(block, source)).strip())

    return Texts(blanked=keep("STARTER").rstrip(), solved=keep("SOLUTION").rstrip())


def stray(text: str) -> str | None:
    """The first line of a block's border that stands in a text, if any."""
    found = _BORDER.search(text)
    return found[1].strip() if found else None


def cell_in(script: str, exercise: str) -> str | None:
    """An exercise's cell in a master's text, which is a jupytext percent script."""
    opening = rf'^# %%([^\n]* exercise="{re.escape(exercise)}"[^\n]*)\n(.*?)(?=^# %%|\Z)'
    found = re.search(opening, script, re.DOTALL | re.MULTILINE)
    if found is None:
        return None
    file = re.search(r' file="([^"]+)"', found[1])
    return (filecells.magic(file[1]) if file else "") + found[2]


def tagged(script: str, tag: str) -> list[str]:
    """The cells of a master that have a tag, as texts without blanks around them."""
    cells = re.findall(r"^# %%([^\n]*)\n(.*?)(?=^# %%|\Z)", script, re.DOTALL | re.MULTILINE)
    return [text.strip() for options, text in cells if f'"{tag}"' in options]


def _uncommented(body: str) -> str:
    """Starter lines stand in the master behind `# `, at whatever depth the block has."""
    depth = len(body) - len(body.lstrip(" \t"))
    lines = textwrap.dedent(body).splitlines()
    bare = [line[2:] if line.startswith("# ") else line.lstrip("#") for line in lines]
    return textwrap.indent("\n".join(bare) + "\n", " " * depth)
