"""The record as files: for a spreadsheet, for programs, for CI, for a learning management system.

| file | is |
| --- | --- |
| `grades.csv` | a row a learner |
| `results.jsonl` | an object a submission, with the schema of `checks check --json` |
| `junit.xml` | a suite a submission, a test case an exercise |
| `canvas.csv` | what Canvas imports |
| `moodle/NN-*.csv` | what Moodle imports, by lesson |

A *fault* is a defect of a check and never the learner's zero. In every table its points are left
blank, and with them each sum that they belong to: a sum with a hole in it is no grade. The row
says `needs a look` until the check is mended and its evidence judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path

from checks.course import Lesson
from checks.grading.exports import canvas, grades, junit, moodle, results
from checks.grading.exports.rows import spooling
from checks.grading.gradebook import storable
from checks.grading.graded import Graded


class Format(StrEnum):
    """A learning management system that grades are exported for."""

    CANVAS = "canvas"
    MOODLE = "moodle"


def write(
    each: Callable[[], Iterable[Graded]],
    lessons: Sequence[Lesson],
    out: Path,
    formats: Collection[str] = (),
) -> None:
    """Write every file, each of them whole or not at all.

    The record is read once and never held: what tables need of it waits in a temporary file, for
    their columns are known only when all has been seen.

    Args:
        each: Gives the submissions, all of a learner's together; called once.
        lessons: The catalogue, for the lessons' titles.
        out: The folder to write to.
        formats: What to write for besides, of `Format`.

    Raises:
        CourseError: a file cannot be written.
    """
    titles = {one.number: one.title for one in lessons}
    with spooling() as spool:
        with ExitStack() as open_files:
            line = open_files.enter_context(results.writing(out / "results.jsonl"))
            suite = open_files.enter_context(junit.writing(out / "junit.xml"))
            for graded in map(storable, each()):
                line(graded)
                suite(graded)
                spool.add(graded)
        grades.write(spool, out / "grades.csv")
        if Format.CANVAS in formats:
            canvas.write(spool, titles, out / "canvas.csv")
        if Format.MOODLE in formats:
            moodle.write(spool, titles, out / "moodle")
