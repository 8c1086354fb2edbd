"""The learner's own copies of the lessons, in `work/`: filled, refreshed, reset, never lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from checks import course
from checks.errors import CourseError
from checks.words import counted

_SHIPPED = ".shipped.json"  # what each copy looked like when it was handed out


class WorkspaceError(CourseError):
    """Something about the work folder, as a sentence for the learner."""


@dataclass(frozen=True, slots=True)
class Change:
    """What filling the folder did with one lesson.

    Attributes:
        notebook: The file's name.
        what: `copied`, `refreshed`, or `offered` when the learner's copy was kept and the new one
            laid beside it.
        cells: In how many cells an offered one differs, in words.
        beside: What the offered one is called.
    """

    notebook: str
    what: str
    cells: str = ""
    beside: str = ""

    @property
    def sentence(self) -> str:
        """The change as one line."""
        if self.what == "offered":
            return (
                f"{self.notebook} has an update ({self.cells}). Yours is untouched; the new one is "
                f"beside it as {self.beside}."
            )
        return f"{self.notebook} {self.what}."


def folder() -> Path:
    """Where the learner's copies are: `work/` in the repository, or where CHECKS_WORK says."""
    place = os.environ.get("CHECKS_WORK")
    return Path(place) if place else course.root() / "work"


def fill() -> list[Change]:
    """Copy lessons that are not there yet and refresh those that the learner has not touched.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    work = folder()
    try:
        work.mkdir(parents=True, exist_ok=True)
        shipped = _read_shipped(work)
        changes = [
            change
            for lesson in course.files(course.root() / "lessons", ".ipynb")
            if (change := _bring(lesson, work / lesson.name, shipped))
        ]
        if changes:
            _write_whole(work / _SHIPPED, json.dumps(shipped, indent=1).encode())
    except OSError as error:
        raise WorkspaceError(
            f"{work} cannot be written ({error.strerror or error}). Free some space or give "
            "yourself write access to it, then run the command again."
        ) from error
    return changes


def reset(lesson: course.Lesson, exercises: list[str] | None = None) -> Path | None:
    """Give a lesson, or some of its exercises, back as shipped.

    Returns:
        Where the old copy was kept; None when there was none, or it was as it came.

    Raises:
        WorkspaceError: the copy cannot be read or written, or an exercise's cell is not in it.
    """
    work = folder()
    copy, kept = work / lesson.lesson_notebook.name, None
    new = lesson.lesson_notebook.read_bytes()
    try:
        work.mkdir(parents=True, exist_ok=True)
        if exercises:
            new = _with_starters(copy, exercises)
        if copy.exists() and copy.read_bytes() != new:
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            kept = copy.with_name(f"{copy.stem}.before-reset-{stamp}.ipynb")
            while kept.exists():
                kept = _next_name(kept)
            _write_whole(kept, copy.read_bytes())
        _write_whole(copy, new)
        if not exercises:
            shipped = _read_shipped(work)
            shipped[copy.name] = fingerprint(new)
            _write_whole(work / _SHIPPED, json.dumps(shipped, indent=1).encode())
    except OSError as error:
        raise WorkspaceError(
            f"{copy} cannot be written ({error.strerror or error}); nothing was changed. Give "
            "yourself write access to it, then run the command again."
        ) from error
    return kept


def fingerprint(notebook: bytes) -> str:
    """What a notebook's cells say, whatever was run in it; its bytes where it is not a notebook."""
    try:
        cells = [_source(cell) for cell in json.loads(notebook)["cells"]]
        said = json.dumps(cells).encode()
    except (ValueError, KeyError, TypeError):
        said = notebook
    return hashlib.sha256(said).hexdigest()


def _bring(lesson: Path, copy: Path, shipped: dict[str, str]) -> Change | None:
    new = lesson.read_bytes()
    if not copy.exists():
        _write_whole(copy, new)
        shipped[copy.name] = fingerprint(new)
        return Change(copy.name, "copied")
    known = shipped.get(copy.name)
    if known == fingerprint(new):
        return None
    old = copy.read_bytes()
    if fingerprint(old) in (known, fingerprint(new)):
        _write_whole(copy, new)
        shipped[copy.name] = fingerprint(new)
        return Change(copy.name, "refreshed")
    offered = _place_beside(copy, shipped)
    _write_whole(offered, new)
    shipped[copy.name] = shipped[offered.name] = fingerprint(new)  # offered once, not at each start
    return Change(copy.name, "offered", _difference(old, new), offered.name)


def _place_beside(copy: Path, shipped: dict[str, str]) -> Path:
    """Where a new version is laid: over an earlier one only if nobody has worked in that."""
    place = copy.with_name(f"{copy.stem}.updated.ipynb")
    while place.exists() and fingerprint(place.read_bytes()) != shipped.get(place.name):
        place = _next_name(place)
    return place


def _next_name(path: Path) -> Path:
    """`a.ipynb`, `a (2).ipynb`, `a (3).ipynb`, ..."""
    counted = re.fullmatch(r"(.*) \((\d+)\)", path.stem)
    stem, number = (counted[1], int(counted[2])) if counted else (path.stem, 1)
    return path.with_name(f"{stem} ({number + 1}){path.suffix}")


def _difference(old: bytes, new: bytes) -> str:
    def cells(notebook: bytes) -> list[str]:
        try:
            return [_source(cell) for cell in json.loads(notebook)["cells"]]
        except (ValueError, KeyError, TypeError):
            return []

    ours, theirs = cells(old), cells(new)
    count = sum(cell not in ours for cell in theirs)
    return counted(count, "cell is new or changed", "cells are new or changed")


def _with_starters(copy: Path, exercises: list[str]) -> bytes:
    try:
        notebook = json.loads(copy.read_bytes())
        cells = course.exercise_cells(notebook)
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"There is no {copy.name} in {copy.parent} yet; run `checks lab` to get one."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{copy} is not a readable notebook. Reset the whole lesson instead: leave out "
            "--exercise. The old file is kept."
        ) from error
    for exercise in exercises:
        entry = course.find(exercise)
        places = cells.answers.get(exercise, [])
        if not places:
            raise WorkspaceError(
                f"{copy.name} has no cell for {exercise} any more. Reset the whole lesson instead: "
                "leave out --exercise. The old file is kept."
            )
        for place in places:
            cell = notebook["cells"][place]
            cell["source"] = entry.starter.splitlines(keepends=True)
            cell.update(outputs=[], execution_count=None)
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _source(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _read_shipped(work: Path) -> dict[str, str]:
    try:
        found = json.loads((work / _SHIPPED).read_bytes())
        return {str(k): str(v) for k, v in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside and move into place: a full disk never leaves half a notebook."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
