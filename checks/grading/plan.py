"""What of a submitted notebook is run, and where its exercises are observed: never by position."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from checks import course, filecells


@dataclass(frozen=True, slots=True)
class Part:
    """One cell to run.

    Attributes:
        place: Its number in the notebook, from 0.
        source: Its text.
        concerns: The exercises that it answers or checks.
        checks: The exercises that it checks.
        observe: The exercises to observe after it, unless its own check has done so.
    """

    place: int
    source: str
    concerns: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    observe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A notebook to run.

    Attributes:
        lesson: The lesson's name: `03_transactions`.
        parts: The cells, in order.
        exercises: Every exercise of the lesson; those never observed are, at the end.
    """

    lesson: str
    parts: tuple[Part, ...] = ()
    exercises: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """The plan as text, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """The plan that `to_json` wrote."""
        data = json.loads(text)
        parts = tuple(
            Part(
                one["place"],
                one["source"],
                tuple(one["concerns"]),
                tuple(one["checks"]),
                tuple(one["observe"]),
            )
            for one in data["parts"]
        )
        return cls(data["lesson"], parts, tuple(data["exercises"]))


def make(notebook: Mapping[str, Any], lesson: course.Lesson) -> Plan:
    """Plan a notebook of a lesson; never raises on any JSON whatever.

    An exercise is observed where its check stands; where that is gone or stands above the answer,
    after its own cell, else at the end. An answer in a cell that an editor has turned into text is
    run as the code that it is. Demonstrations that need a server or a crowd of threads are left
    out, by their tag or, where an editor has lost it, by their text: no exercise stands on them, as
    none may in a web page.
    """
    mended = {"cells": [_as_code(cell) for cell in _cells(notebook)]}
    found = course.exercise_cells(mended)
    known = tuple(entry.id for entry in lesson.exercises)
    parts = []
    for place, cell in enumerate(mended["cells"]):
        if cell.get("cell_type") != "code":
            continue
        here, checked = found.at(place), found.checked_at(place)
        if _is_recorded(cell, lesson) and not here | checked:
            continue
        last = {one for one in here - checked if place == max(found.places(one))}
        parts.append(
            Part(
                place,
                course.source_of(cell),
                _in_order(here, known),
                _in_order(checked, known),
                _in_order(checked | last, known),
            )
        )
    return Plan(lesson.name, tuple(parts), known)


def sources(plan: Plan, exercise: str) -> list[str]:
    """The cells that answer an exercise, in order."""
    return [part.source for part in plan.parts if exercise in course.answered_in(part.source)]


def _cells(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        return []
    return [cell if isinstance(cell, Mapping) else {} for cell in cells]


def _is_recorded(cell: Mapping[str, Any], lesson: course.Lesson) -> bool:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    tagged = isinstance(tags, list) and "recorded" in tags
    return tagged or course.source_of(cell).strip() in lesson.recorded


def _as_code(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    source = course.source_of(cell)
    if cell.get("cell_type") == "code" or not course.answered_in(source):
        return cell
    try:
        ast.parse(filecells.as_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return cell
    return {**cell, "cell_type": "code"}


def _in_order(exercises: Iterable[str], known: tuple[str, ...]) -> tuple[str, ...]:
    wanted = set(exercises)
    return tuple(one for one in known if one in wanted)
