"""`pytest checks/lessons --submission FILE.ipynb`: the one judge, with pytest's own reporting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from checks import course, show
from checks.errors import CourseError
from checks.grading import kernel
from checks.verdict import Status, Verdict

_NOT_ASKED = Path()
_HANDED_IN = pytest.StashKey[tuple[course.Lesson, Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The notebook to judge."""
    parser.addoption(
        "--submission", type=Path, metavar="FILE.ipynb", help="judge this notebook's exercises"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Find out which lesson was handed in, before anything is collected."""
    submission: Path | None = config.getoption("--submission", _NOT_ASKED)
    if submission is _NOT_ASKED:  # another folder's tests are run
        return
    if submission is None:
        raise pytest.UsageError("Say which notebook to judge: --submission FILE.ipynb")
    submission = Path(os.environ.get("CHECKS_CALLED_FROM", ""), submission)
    try:
        lesson = course.lesson_of_notebook(kernel.read_file(submission), submission.name)
    except CourseError as error:
        raise pytest.UsageError(str(error)) from error
    if lesson is None:
        raise pytest.UsageError(f"{submission} is not a lesson of this course; name one that is.")
    config.stash[_HANDED_IN] = (lesson, submission.resolve())


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The module of the submission's lesson stands for its exercises."""
    lesson, submission = parent.config.stash.get(_HANDED_IN, (None, None))
    if lesson is None or submission is None or file_path.name != f"lesson_{lesson.name}.py":
        return None
    found: SubmittedLesson = SubmittedLesson.from_parent(parent, path=file_path)
    found.lesson, found.submission = lesson, submission
    return found


class SubmittedLesson(pytest.File):
    """One lesson as somebody handed it in."""

    lesson: course.Lesson
    submission: Path

    def collect(self) -> Iterator[pytest.Item]:
        """One item an exercise."""
        for entry in self.lesson.exercises:
            item: SubmittedExercise = SubmittedExercise.from_parent(self, name=entry.id)
            item.submission = self.submission
            yield item


class SubmittedExercise(pytest.Item):
    """One exercise of the submission."""

    submission: Path

    def runtest(self) -> None:
        """Fail unless the exercise passed."""
        verdict = _verdicts(self.submission)[self.name]
        if verdict.status is not Status.PASSED:
            raise NotPassedError(verdict)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        """The card, not a traceback."""
        if isinstance(excinfo.value, NotPassedError):
            return str(show.card_text(excinfo.value.verdict))
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What pytest's headings call the item."""
        return self.path, None, self.name


class NotPassedError(Exception):
    """An exercise that did not pass, with its verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


@cache
def _verdicts(submission: Path) -> dict[str, Verdict]:
    return {one.exercise: one for one in kernel.check_notebook(submission).exercises}
