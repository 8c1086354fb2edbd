"""`grades.csv`: a row a learner, for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from checks.grading.exports.out import Cell, number, shortened, table
from checks.grading.exports.rows import Columns, Row, Spool, total
from checks.verdict import Status

NEEDS_A_LOOK = "needs a look"


def write(spool: Spool, path: Path) -> None:
    """Write the table.

    Its columns, in this order: `learner`; for each lesson that somebody handed in, `NN points` and
    `NN max`, then for each of its exercises `NN.name points` and `NN.name status`; `total` and
    `total max`; `needs a look`, which is blank or begins with these words and says why.

    What a learner has not handed in is blank and adds nothing to the total. The points of a check
    that broke (status `fault`) are blank, and so are its lesson's and the total.

    UTF-8, with the mark at its start by which Excel knows it: read it as `utf-8-sig`.

    Raises:
        CourseError: it cannot be written.
    """
    columns = spool.columns()
    with table(path, "utf-8-sig") as row:
        row(_header(columns))
        most = number(sum(one.max_points for _, one in columns))
        for learner, rows in spool.learners():
            cells: list[Cell] = [learner]
            for lesson, wanted in columns:
                cells.extend(_lesson(rows.get(lesson), wanted))
            cells.extend([number(total(one.points for one in rows.values())), most])
            cells.append(_look(rows))
            row(cells)


def _header(columns: list[tuple[str, Columns]]) -> Iterator[Cell]:
    yield "learner"
    for lesson, wanted in columns:
        yield from (f"{lesson} points", f"{lesson} max")
        for exercise in wanted.exercises:
            yield from (f"{exercise} points", f"{exercise} status")
    yield from ("total", "total max", NEEDS_A_LOOK)


def _lesson(row: Row | None, wanted: Columns) -> Iterator[Cell]:
    yield from (number(row.points if row else None), number(wanted.max_points))
    marks = {one.exercise: one for one in row.marks} if row else {}
    for exercise in wanted.exercises:
        mark = marks.get(exercise)
        yield from (number(mark.points), mark.status.words) if mark else (None, None)


def _look(rows: Mapping[str, Row]) -> str | None:
    reasons = [f"{lesson}: {one}" for lesson, row in rows.items() for one in row.look] or [
        f"{lesson}: the check of {one.exercise} broke"
        for lesson, row in rows.items()
        for one in row.marks
        if one.status is Status.FAULT
    ]
    return shortened(f"{NEEDS_A_LOOK}: {' '.join(reasons)}", 1000) if reasons else None
