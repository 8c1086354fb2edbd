"""`canvas.csv`: grades as the Canvas gradebook imports them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from checks.grading.exports import identity
from checks.grading.exports.out import Cell, number, table
from checks.grading.exports.rows import Row, Spool

_POINTS = "Points Possible"


def write(spool: Spool, titles: Mapping[str, str], path: Path) -> None:
    """Write the table: five columns on the student, then a column an assignment.

    As Canvas's own importer reads it (lib/gradebook_importer.rb in its repository,
    github.com/instructure/canvas-lms): the header is `Student`, `ID`, `SIS User ID`,
    `SIS Login ID`, `Section`; the row whose first cell says `Points Possible` holds what each
    assignment is worth. A student is looked for by `ID`, then by `SIS Login ID`, then by name.

    `ID` is the user's number in the name that Canvas gave the file. Where learners are folders,
    the folder's name stands as `SIS Login ID`. Canvas knows its assignments as `Name (number)`:
    an assignment called as the lesson is here (`03 Transactions`) is found by that name; for any
    other, write `Name (number)` from an export of yours into the header. Canvas shows what will
    change before it does; a blank changes nothing where there was no grade.

    A project, which earns no points, has no column: Canvas would show all of them as 0 of 0.

    Raises:
        CourseError: it cannot be written.
    """
    columns = [(lesson, one) for lesson, one in spool.columns() if one.max_points]
    with table(path) as row:
        names = [f"{lesson} {titles.get(lesson, '')}".strip() for lesson, _ in columns]
        row(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names])
        row([f"    {_POINTS}", *[None] * 4, *(number(one.max_points) for _, one in columns)])
        for learner, rows in spool.learners():
            points = (rows[lesson].points if lesson in rows else None for lesson, _ in columns)
            row([*_student(learner, rows), *map(number, points)])


def _student(learner: str, rows: Mapping[str, Row]) -> Iterator[Cell]:
    found = (identity.canvas(learner, row.file) for row in rows.values())
    known = next((one for one in found if one), None)
    # A learner of that name would set what assignments are worth.
    yield learner.replace(_POINTS, _POINTS.replace(" ", "_"))
    yield from (known.number, None, None, None) if known else (None, None, learner, None)
