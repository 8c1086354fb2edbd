"""Cells that are files: they begin with `%%writefile path`, IPython's own magic.

A notebook so carries the files of a project, and whoever hands it in hands them in with it. Here is
what the magic does, for wherever cells run without IPython, and how such a cell reads as Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MAGIC = re.compile(r"%%(?:write)?file[ \t]+(?P<path>[^\s-]\S*)[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class FileCell:
    """A cell that is a file.

    Attributes:
        path: Where it is written, relative to the notebook's folder.
        text: What is written.
    """

    path: str
    text: str

    def write(self) -> str:
        """Write the file; gives what IPython says of it.

        Raises:
            OSError: its folder is not there, or may not be written to.
        """
        path = Path(self.path)
        said = f"{'Overwriting' if path.exists() else 'Writing'} {path}"
        path.write_text(self.text, encoding="utf-8")
        return said

    @property
    def differs(self) -> bool:
        """Whether the file holds something else by now, or is gone."""
        try:
            found = Path(self.path).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return True
        return found.split() != self.text.split()


def parse(source: str) -> FileCell | None:
    """The file that a cell's text writes; None for all other cells."""
    match = _MAGIC.match(source)
    if match is None:
        return None
    text = source[match.end() :]
    return FileCell(match["path"], text if text.endswith("\n") else text + "\n")


def magic(path: str) -> str:
    """The line that makes a cell a file."""
    return f"%%writefile {path}\n"


def as_python(source: str) -> str:
    """A cell's text as Python reads it, line for line: the magic becomes a comment."""
    return f"# {source}" if parse(source) else source
