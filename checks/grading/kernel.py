"""Notebooks in Jupyter kernels, run as Jupyter would run them. Nothing of theirs is shut in."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from pydantic import ValidationError

from checks import course, kernels
from checks.errors import CourseError
from checks.grading import assess, plan, read
from checks.grading.outcome import Ended, Job, Limits, Outcome, Raised
from checks.grading.plan import Part, Plan
from checks.grading.read import UnreadableError
from checks.observe.evidence import OBSERVATION_TYPE, Observation
from checks.verdict import Report

Progress = Callable[[int, int], None]


# -- one file, for its learner --------------------------------------------------------------------
def check_notebook(
    path: Path, timeout: float = 60, progress: Progress = lambda done, total: None
) -> Report:
    """Run a notebook from top to bottom and judge every exercise of its lesson.

    A cell that raises does not stop the run; one that outlasts its time or kills the kernel does,
    and what stands below it is marked as not run.

    Args:
        path: The notebook.
        timeout: The most that one cell may take, in seconds.
        progress: Told after each cell how many of how many are done.

    Raises:
        UnreadableError: the file is no notebook, or of no lesson.
    """
    notebook = read_file(path)
    try:
        lesson = course.lesson_of_notebook(notebook, path.name)
    except CourseError as error:
        raise UnreadableError(str(error)) from error
    if lesson is None:
        raise UnreadableError(
            f"{path} is not a lesson of this course: no cell says `# exercise: ...` and its name "
            "does not begin with a lesson's number. Give the file of a lesson."
        )
    planned = plan.make(notebook, lesson)
    limits = Limits(cell=timeout, total=float("inf"))
    outcome = run(planned, limits, path.resolve().parent, progress)
    return assess.report(lesson, planned, outcome, path.name)


def read_file(path: Path) -> dict[str, Any]:
    """A notebook file as nbformat 4 JSON.

    Raises:
        UnreadableError: it is missing, too large, not JSON, or not a notebook.
    """
    try:
        if path.is_dir():
            raise UnreadableError(f"{path} is a folder. Name one notebook in it.")
        if path.exists() and not path.is_file():
            raise UnreadableError(f"{path} is not a file. Name a notebook.")
        size = path.stat().st_size
        if size > read.LARGEST:
            raise UnreadableError(f"{path}: {read.too_large(size)}")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableError(f"There is no file {path}. Check the name.") from error
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return read.notebook(data)
    except UnreadableError as error:
        raise UnreadableError(f"{path}: {error}") from error


def unreadable(path: Path, why: str) -> Report:
    """The report on a file that could not be run: its name may still tell the lesson."""
    return assess.unreadable(course.lesson_of_notebook(None, path.name), path.name, why)


# -- a class --------------------------------------------------------------------------------------
class KernelRunner:
    """Runs submissions in kernels, where they cannot be shut in. A context manager.

    Args:
        limits: What each submission may use; only its times can be held to.
        workers: How many run at once.
    """

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits, self._workers = limits, workers

    def __enter__(self) -> Self:
        """Get ready."""
        self._pool = ThreadPoolExecutor(self._workers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for what still runs, and begin nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Run submissions, yielding each as it ends."""
        waiting = iter(jobs)
        live: dict[Future[Outcome], Job] = {}
        while True:
            while len(live) < self._workers and (job := next(waiting, None)):
                live[self._pool.submit(self._run_one, job)] = job
            if not live:
                return
            for done in wait(live, return_when=FIRST_COMPLETED).done:
                yield live.pop(done), done.result()

    def _run_one(self, job: Job) -> Outcome:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return run(job.plan, self._limits, Path(folder))


# -- one run --------------------------------------------------------------------------------------
def run(
    planned: Plan,
    limits: Limits,
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Run a planned notebook in a kernel of its own.

    Args:
        planned: What to run.
        limits: How long it may take.
        folder: Where it runs.
        progress: Told after each cell how many of how many are done.
    """
    return _Run(planned, limits, folder, progress).go()


class _Run:
    def __init__(self, planned: Plan, limits: Limits, folder: Path, progress: Progress) -> None:
        self._plan, self._limits, self._progress = planned, limits, progress
        self._client = kernels.client(nbformat.v4.new_notebook(), limits.cell)
        self._client.resources = {"metadata": {"path": str(folder)}}
        self._outcome = Outcome()
        self._started = time.monotonic()

    def go(self) -> Outcome:
        """Run the cells in order until one of them ends the kernel."""
        environment = os.environ | {"CHECKS_COLLECT": "1", "CHECKS_PROGRESS": "off"}
        with self._client.setup_kernel(env=environment):
            self._run_all()
        self._outcome.seconds = round(time.monotonic() - self._started, 3)
        return self._outcome

    def _run_all(self) -> None:
        total = len(self._plan.parts)
        for done, part in enumerate(self._plan.parts, 1):
            if not self._run_part(part):
                return
            self._progress(done, total)
        self._outcome.cell = None
        seen = {one.exercise for one in self._outcome.observed}
        for exercise in self._plan.exercises:
            if exercise not in seen and self._check(exercise) is None:
                return

    def _run_part(self, part: Part) -> bool:
        """Run a cell, and the checks that are due after it; False when the kernel is gone."""
        self._outcome.cell = part.place
        seen = self._execute(part.source, part.checks, part.place)
        if seen is None:
            return False
        return all(
            self._check(exercise) is not None for exercise in part.observe if exercise not in seen
        )

    def _check(self, exercise: str) -> set[str] | None:
        """Check an exercise whose own check has not done so."""
        source = f'from checks.notebook import check as _check\n_check("{exercise}")'
        return self._execute(source, (exercise,))

    def _execute(
        self, source: str, checks: tuple[str, ...], place: int | None = None
    ) -> set[str] | None:
        """Run one cell.

        Returns:
            The exercises that were observed in it; None when the kernel is gone for good.
        """
        cell = nbformat.v4.new_code_cell(source)
        self._client.nb.cells = [cell]
        if time.monotonic() - self._started > self._limits.total:
            self._stop(Ended.TIMED_OUT, f"the notebook took more than {self._limits.total:g} s")
            return None
        try:
            self._client.execute_cell(cell, 0)
        except CellTimeoutError:
            self._stop(Ended.TIMED_OUT, f"{self._limits.cell:g} s")
        except DeadKernelError:
            self._stop(Ended.DIED)
        found = set()
        for output in cell.outputs:
            if output.output_type == "error" and place is not None:
                self._outcome.raised.append(
                    Raised(place, str(output.ename)[:100], str(output.evalue)[:300])
                )
            found |= self._take(output.get("data", {}), checks)
        return found if self._outcome.ended is Ended.WELL else None

    def _take(self, data: Mapping[str, Any], checks: tuple[str, ...]) -> set[str]:
        """Keep what was observed of the exercises that this cell checks."""
        if OBSERVATION_TYPE not in data:
            return set()
        try:
            observed = Observation.model_validate(data[OBSERVATION_TYPE])
        except ValidationError:
            return set()
        if observed.exercise not in checks:
            return set()
        self._outcome.observed.append(observed)
        return {observed.exercise}

    def _stop(self, how: Ended, why: str = "") -> None:
        self._outcome.ended, self._outcome.why = how, why
