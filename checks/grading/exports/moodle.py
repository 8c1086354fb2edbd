"""`moodle/NN-*.csv`: grades and feedback as Moodle imports them, a file a lesson."""

from __future__ import annotations

import re
from contextlib import ExitStack
from html import escape
from pathlib import Path

from checks.grading.exports import identity
from checks.grading.exports.out import Table, number, shortened, table
from checks.grading.exports.rows import Row, Spool

_NO_NAME = re.compile(r"\W+")  # what a file's name had better not hold
_LONGEST = 20_000  # characters of feedback
_GRADES = ("Grade", "Maximum grade", "Last modified (grade)", "Feedback comments")


def write(spool: Spool, titles: dict[str, str], folder: Path) -> None:
    """Write, for each lesson, up to two tables; one without rows is not written.

    `NN-worksheet.csv` holds those whose files came from Moodle. It is the assignment's own offline
    grading worksheet, whose importer (mod/assign/feedback/offline/importgradeslib.php of
    github.com/moodle/moodle) demands `Identifier` (`Participant 1234`, the number that Moodle put
    into the folder's name), `Grade` and `Last modified (grade)`. Upload it with "Upload grading
    worksheet", Moodle's language set to English, the assignment's maximum grade equal to the
    lesson's. A grade that was changed in Moodle after the grading is not overwritten unless one
    ticks that it shall be, and a blank one changes nothing. A project, which earns no points, has
    blank ones and its feedback.

    `NN-gradebook.csv` holds everybody else, the folder's name as `Username`: it is for Grades,
    Import, CSV file, where each column is mapped by hand; map the feedback too, for Moodle empties
    the grades of an activity that gets feedback alone (docs.moodle.org/en/Grade_import).

    Feedback is HTML to Moodle, so all of it is escaped.

    Raises:
        CourseError: a file cannot be written.
    """
    with ExitStack() as open_files:
        tables: dict[str, Table] = {}

        def into(lesson: str, kind: str, *who: str) -> Table:
            name = f"{_NO_NAME.sub('_', lesson)}-{kind}.csv"
            if name not in tables:
                tables[name] = open_files.enter_context(table(folder / name))
                tables[name]([*who, *_GRADES])
            return tables[name]

        for row in spool:
            known = identity.moodle(row.learner, row.file)
            if known:
                add = into(row.lesson, "worksheet", "Identifier", "Full name")
                add([f"Participant {known.number}", known.name, *_grade(row, titles)])
            else:
                add = into(row.lesson, "gradebook", "Username")
                add([row.learner, *_grade(row, titles)])


def _grade(row: Row, titles: dict[str, str]) -> list[str | float | None]:
    return [
        number(row.points if row.max_points else None),
        number(row.max_points or None),
        row.graded_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        _feedback(row, titles),
    ]


def _feedback(row: Row, titles: dict[str, str]) -> str:
    title = f"Lesson {row.lesson} {titles.get(row.lesson, '')}".strip()
    told = row.points is not None and row.max_points > 0
    lines = [f"{title}: {_of(row.points or 0, row.max_points)}" if told else title]
    for one in row.marks:
        told = one.points is not None and one.max_points > 0
        points = _of(one.points or 0, one.max_points) if told else one.status.words
        lines.append(f"{one.title}: {points}. {one.message}")
    return shortened("<br>".join(escape(one, quote=False) for one in lines), _LONGEST)


def _of(points: float, most: float) -> str:
    return f"{number(points)} of {number(most)} points"
