"""Files that are there whole or not at all, and cells that are read as text."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol

from checks.errors import CourseError
from checks.grading.wire import clean

Cell = str | float | None

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FORMULA = re.compile(r"(^|;)(\s*)([=+\-@\uff1d\uff0b\uff0d\uff20])")


class Table(Protocol):
    """Takes one row after the other."""

    def __call__(self, cells: Iterable[Cell]) -> None:
        """Write one row."""
        ...


@contextmanager
def written(path: Path, encoding: str = "utf-8") -> Iterator[TextIOWrapper]:
    """A text file under a temporary name, given its own when the block has ended well.

    Raises:
        CourseError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding=encoding, newline="") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror}): see that there is room, and that no "
            "other program has it open; then run this again."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def table(path: Path, encoding: str = "utf-8") -> Iterator[Table]:
    """A CSV file (RFC 4180) in which text is quoted and none of it is a formula.

    Raises:
        CourseError: it cannot be written.
    """
    with written(path, encoding) as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)

        def row(cells: Iterable[Cell]) -> None:
            writer.writerow([one if isinstance(one, int | float) else text(one) for one in cells])

        yield row


def text(value: str | None) -> str:
    """Text as a cell that a spreadsheet shows and does not compute.

    As OWASP advises: an apostrophe before whatever begins a formula, in one line; also after a
    semicolon, which is where a cell begins in much of Europe, whatever the quotes.
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return _FORMULA.sub(r"\1\2'\3", one_line(value or ""))


def one_line(value: str) -> str:
    """Text without what breaks lines or files."""
    cleaned: str = clean(value)
    return _CONTROL.sub(" ", cleaned)


def shortened(value: str, most: int) -> str:
    """Text of bounded length."""
    return value if len(value) <= most else f"{value[: most - 1]}…"


def number(value: float | None) -> float | None:
    """Points as one writes them: `2`, `2.5`; None stays blank."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 4)
