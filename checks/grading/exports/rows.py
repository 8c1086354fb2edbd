"""What tables need of a submission, kept in a temporary file until their columns are known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import IO

from pydantic import BaseModel

from checks.grading.exports.out import one_line, shortened
from checks.grading.graded import Graded
from checks.verdict import Status

_LONGEST = 600  # characters of one message


class Mark(BaseModel):
    """One exercise in a table.

    Attributes:
        exercise: Its id.
        title: Its short name.
        status: How it stands.
        points: What was earned of `max_points`; None when the check broke, which earns no zero.
        max_points: What could have been.
        message: What the learner was told.
    """

    exercise: str
    title: str
    status: Status
    points: float | None
    max_points: float
    message: str


class Row(BaseModel):
    """One submission in a table."""

    learner: str
    lesson: str
    file: str
    graded_at: datetime
    max_points: float
    marks: list[Mark]
    look: list[str]

    @property
    def points(self) -> float | None:
        """What the lesson earned; None while a check of it is broken."""
        return total(one.points for one in self.marks)


@dataclass(slots=True)
class Columns:
    """What a lesson needs in a table.

    Attributes:
        max_points: The most that any submission of it could earn.
        exercises: The ids of its exercises, in order.
    """

    max_points: float = 0
    exercises: dict[str, None] = field(default_factory=dict)


@contextmanager
def spooling() -> Iterator[Spool]:
    """A spool for as long as it is needed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        yield Spool(file)


class Spool:
    """The rows, in a file.

    Args:
        file: Where they wait.
    """

    def __init__(self, file: IO[str]) -> None:
        self._lessons: dict[str, Columns] = {}
        self._file = file

    def add(self, graded: Graded) -> None:
        """Keep what tables need of a submission."""
        row = _row(graded)
        columns = self._lessons.setdefault(row.lesson, Columns())
        columns.max_points = max(columns.max_points, row.max_points)
        columns.exercises.update(dict.fromkeys(one.exercise for one in row.marks))
        self._file.write(row.model_dump_json() + "\n")

    def __iter__(self) -> Iterator[Row]:
        """The rows, as they came."""
        self._file.seek(0)
        return map(Row.model_validate_json, self._file)

    def learners(self) -> Iterator[tuple[str, dict[str, Row]]]:
        """Each learner with their rows by lesson."""
        for learner, rows in groupby(self, key=lambda row: row.learner):
            yield learner, {row.lesson: row for row in rows}

    def columns(self) -> list[tuple[str, Columns]]:
        """The lessons that somebody handed in, in order."""
        return sorted(self._lessons.items())


def total(points: Iterator[float | None]) -> float | None:
    """A sum; None when a part of it is not known."""
    known = list(points)
    return None if None in known else sum(one for one in known if one is not None)


def _row(graded: Graded) -> Row:
    report = graded.report
    return Row(
        learner=one_line(graded.learner),
        lesson=one_line(graded.lesson),
        file=one_line(graded.file),
        graded_at=graded.graded_at,
        max_points=report.max_points,
        marks=[
            Mark(
                exercise=one_line(one.exercise),
                title=one_line(one.title),
                status=one.status,
                points=None if one.status is Status.FAULT else one.points,
                max_points=one.max_points,
                message=shortened(one_line(one.message), _LONGEST),
            )
            for one in report.exercises
        ],
        look=[shortened(one_line(one), _LONGEST) for one in graded.look],
    )
