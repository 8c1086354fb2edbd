"""One notebook, run in a Jupyter kernel as Jupyter would run it, every exercise judged outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from pydantic import ValidationError

from checks import course, kernels
from checks.environment import variables
from checks.errors import CourseError
from checks.judge import judge, unjudged
from checks.observe.evidence import OBSERVATION_TYPE, Observation
from checks.verdict import Report, Status, Verdict

Progress = Callable[[int, int], None]

_LARGEST = 50_000_000  # bytes of a notebook that is still read
_FORMAT = 4  # of notebooks, since 2015
_AGAIN = "Save it again from JupyterLab, or take a fresh copy with `checks reset`."


class UnreadableError(CourseError):
    """A file that is not a notebook of this course, as a sentence."""


def check_notebook(
    path: Path, timeout: float = 60, progress: Progress = lambda done, total: None
) -> Report:
    """Run a notebook from top to bottom and judge every exercise of its lesson.

    A cell that raises does not stop the run; one that outlasts its time or kills the kernel does,
    and what stands below it is marked as not run. An exercise is observed where its check stands;
    where that is gone or stands above the answer, after its own cell, else at the end.

    Args:
        path: The notebook.
        timeout: The most that one cell may take, in seconds.
        progress: Told after each cell how many of how many are done.

    Raises:
        UnreadableError: the file is no notebook, or of no lesson.
    """
    notebook = read(path)
    try:
        lesson = course.lesson_of_notebook(notebook, path.name)
    except CourseError as error:
        raise UnreadableError(str(error)) from error
    if lesson is None:
        raise UnreadableError(
            f"{path} is not a lesson of this course: no cell says `# exercise: ...` and its name "
            "does not begin with a lesson's number. Give the file of a lesson."
        )
    run = _Run(lesson, notebook, timeout, progress)
    run.go(path.resolve().parent)
    return _report(path, lesson, run.verdicts(), run.trouble)


def read(path: Path) -> Any:
    """A notebook file as nbformat 4.

    Raises:
        UnreadableError: it is missing, too large, not JSON, or not a notebook.
    """
    try:
        if path.is_dir():
            raise UnreadableError(f"{path} is a folder. Name one notebook in it.")
        if path.exists() and not path.is_file():
            raise UnreadableError(f"{path} is not a file. Name a notebook.")
        if path.stat().st_size > _LARGEST:
            raise UnreadableError(
                f"{path} is larger than {_LARGEST // 1_000_000} MB. Clear its outputs, save it, "
                "and try again."
            )
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UnreadableError(f"There is no file {path}. Check the name.") from error
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise UnreadableError(f"{path} is not text, so it is no notebook. {_AGAIN}") from error
    return _notebook(path, text)


def _notebook(path: Path, text: str) -> Any:
    if not text.strip():
        raise UnreadableError(f"{path} is empty. {_AGAIN}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableError(f"{path} is not JSON{at}, so it is no notebook. {_AGAIN}") from error
    version = found.get("nbformat") if isinstance(found, dict) else None
    cells = found.get("cells") if isinstance(found, dict) else None
    if type(version) is int and version != _FORMAT:
        raise UnreadableError(
            f"{path} is a notebook of format {version}; this course reads format {_FORMAT}. Open "
            "it in JupyterLab and save it again."
        )
    if version is None or not isinstance(cells, list):
        raise UnreadableError(f"{path} is JSON, but not a Jupyter notebook. {_AGAIN}")
    metadata = found.get("metadata")
    return nbformat.v4.new_notebook(
        cells=[_cell(one) for one in cells if isinstance(one, dict)],
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def _cell(cell: dict[str, Any]) -> Any:
    """A cell's text, without what some earlier run has printed: only this run's outputs count."""
    metadata = cell.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    if cell.get("cell_type") == "code":
        return nbformat.v4.new_code_cell(course.source_of(cell), metadata=kept)
    return nbformat.v4.new_markdown_cell(course.source_of(cell), metadata=kept)


def unreadable(path: Path, why: str) -> Report:
    """The report on a file that could not be run: its name may still tell the lesson."""
    lesson = course.lesson_of_notebook(None, path.name)
    verdicts = [
        unjudged(entry.card, Status.UNREADABLE, why)
        for entry in (lesson.exercises if lesson else ())
    ]
    return _report(path, lesson, verdicts, why)


def _report(
    path: Path, lesson: course.Lesson | None, verdicts: list[Verdict], message: str
) -> Report:
    return Report(
        file=path.name,
        lesson=lesson.number if lesson else None,
        points=sum(one.points for one in verdicts),
        max_points=sum(one.max_points for one in verdicts),
        message=message,
        exercises=verdicts,
    )


def _forget_what_waits() -> None:
    """End nbclient's waiting for an interrupted cell, which would be reported as an error later."""
    loop = ensure_event_loop()
    waiting = asyncio.all_tasks(loop)
    for one in waiting:
        one.cancel()
    if waiting:
        loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))


class _Run:
    def __init__(
        self, lesson: course.Lesson, notebook: Any, timeout: float, progress: Progress
    ) -> None:
        self._lesson, self._notebook, self._progress = lesson, notebook, progress
        self._cells = course.exercise_cells(notebook)
        self._observed: dict[str, Observation] = {}
        self._stopped: tuple[Status, set[str]] | None = None
        self.trouble = ""
        self._client = kernels.client(notebook, timeout)

    def go(self, folder: Path) -> None:
        """Run the cells in order until one of them ends the kernel."""
        self._client.resources = {"metadata": {"path": str(folder)}}
        quiet = variables(CHECKS_COLLECT="1", CHECKS_PROGRESS="off")
        with quiet, self._client.setup_kernel():
            try:
                self._run_cells()
            except KeyboardInterrupt:
                _forget_what_waits()
                raise

    def _run_cells(self) -> None:
        cells = list(self._notebook.cells)  # checks of our own are added meanwhile
        total = len(cells)
        for place, cell in enumerate(cells):
            concerned, checked = self._cells.at(place), self._cells.checked_at(place)
            if cell.cell_type == "code" and not self._execute(cell, place, concerned, checked):
                return
            for exercise in sorted(concerned):
                if self._is_last(exercise, place) and not self._check(exercise, place):
                    return
            self._progress(place + 1, total)
        for entry in self._lesson.exercises:
            if entry.id not in self._observed and not self._check(entry.id, total):
                return

    def _is_last(self, exercise: str, place: int) -> bool:
        """Whether this cell answers an exercise that no cell from here on answers or checks."""
        checks = self._cells.checks.get(exercise, [])
        answers = self._cells.answers.get(exercise, [])
        return place in answers and place not in checks and place == max(checks + answers)

    def _check(self, exercise: str, place: int) -> bool:
        """Check an exercise whose own check cell is gone, or stands above the answer."""
        source = f'from checks.notebook import check as _check\n_check("{exercise}")'
        cell = nbformat.v4.new_code_cell(source)
        self._notebook.cells.append(cell)
        return self._execute(cell, place, {exercise}, {exercise})

    def _execute(self, cell: Any, place: int, concerned: set[str], checked: set[str]) -> bool:
        """Run one cell; False when the kernel is gone for good."""
        try:
            self._client.execute_cell(cell, self._notebook.cells.index(cell))
        except CellTimeoutError:
            self._stopped = (Status.TIMED_OUT, concerned)
            self.trouble = (
                f"Cell {place + 1} ran longer than {self._client.timeout:g} s; the cells below it "
                "were not run. Look for a loop that never ends."
            )
        except DeadKernelError:
            self._stopped = (Status.DIED, concerned)
            self.trouble = (
                f"Cell {place + 1} ended the kernel; the cells below it were not run. Look for an "
                "exit(), or for memory that runs out."
            )
        for output in cell.get("outputs", ()):
            self._take(output.get("data", {}), checked)
        return self._stopped is None

    def _take(self, data: Mapping[str, Any], checked: set[str]) -> None:
        """Keep what was observed of the exercises that this cell checks."""
        if OBSERVATION_TYPE not in data:
            return
        try:
            observed = Observation.model_validate(data[OBSERVATION_TYPE])
        except ValidationError:
            return
        if observed.exercise in checked:
            self._observed[observed.exercise] = observed

    def verdicts(self) -> list[Verdict]:
        """Every exercise of the lesson, judged in order on what was observed."""
        judged: dict[str, Verdict] = {}
        for entry in self._lesson.exercises:
            observed = self._observed.get(entry.id)
            if observed is None:
                judged[entry.id] = self._unseen(entry)
                continue
            open_before = [
                one
                for one in entry.card.after
                if one in judged and judged[one].status is not Status.PASSED
            ]
            judged[entry.id] = judge(entry.card, observed, entry.starter, open_before)
        return list(judged.values())

    def _unseen(self, entry: course.ExerciseEntry) -> Verdict:
        status, concerned = self._stopped or (Status.NOT_RUN, set())
        if entry.id not in concerned:
            status = Status.NOT_RUN
        message = self.trouble or "Nothing was observed of this exercise. Run the notebook again."
        return unjudged(entry.card, status, message)
