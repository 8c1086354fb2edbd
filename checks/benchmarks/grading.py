"""Grading beside its peers: `python -m checks.benchmarks.grading [--submissions 50] [--peers ...]`.

The same made-up class is graded by `checks grade`, by nbclient one kernel after the other, by
nbgrader and by otter-grader, in turn, a few submissions at a time, so that a busy machine weighs on
all alike. Peers are installed into environments of their own, which are kept.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from checks import course
from checks.answers import Answer
from checks.benchmarks import peers
from checks.benchmarks.peers import Advance, Graded, Points, Submission
from checks.environment import variables
from checks.errors import CourseError
from checks.grading import grade
from checks.grading.fork import ForkRunner
from checks.grading.gradebook import Gradebook, file_url
from checks.grading.kernel import check_notebook
from checks.grading.outcome import Limits
from checks.verdict import Report

SEED = 20
BATCH = 10  # submissions that one grader gets before the next has its turn
BARS = {"nbgrader": 8, "otter-grader": 20}  # times our time that each must take at least
PEERS = ("nbclient", "nbgrader", "otter")
MOST_DIFFERENCES = 10  # lines


class Grader(Protocol):
    """One way to grade."""

    package: str
    version: str
    walls: str

    def grade(self, submissions: Sequence[Submission], advance: Advance) -> Graded:
        """Grade a batch, telling of each that is done."""
        ...


# -- the class ------------------------------------------------------------------------------------
def draw(lesson: course.Lesson, number: int, seed: int) -> list[Submission]:
    """A class: each learner has left each exercise as it came, or has some answer to it."""
    module = import_module(f"checks.answers.lesson_{lesson.name}")
    answers: tuple[Answer, ...] = module.ANSWERS
    dice = random.Random(seed)
    blank = json.loads(lesson.lesson_notebook.read_bytes())
    places = course.exercise_cells(blank).answers
    drawn = []
    for one in range(number):
        notebook = json.loads(json.dumps(blank))
        put = {}
        for entry in lesson.exercises:
            own = [answer for answer in answers if answer.exercise == entry.id]
            answer = dice.choice([None, *own])
            put[entry.id] = answer.name if answer else "as it came"
            if answer:
                cell = notebook["cells"][places[entry.id][0]]
                cell["source"] = f"# exercise: {entry.id}\n{answer.code}"
        drawn.append(Submission(f"b{one // BATCH}-s{one:03}", notebook, put))
    return drawn


# -- our own --------------------------------------------------------------------------------------
class _Timed(ForkRunner):
    """Says when its warm process was warm."""

    warm_at = 0.0

    def __enter__(self) -> Self:
        entered = super().__enter__()
        self.warm_at = time.monotonic()
        return entered


class Ours:
    """`checks grade` without its terminal: collected, run, judged, recorded, all pages written."""

    package = "checks grade"
    version = version("dog-eared")
    walls = "own namespaces, system calls filtered, limits; judged in another process"

    def __init__(self, lesson: course.Lesson, folder: Path, workers: int) -> None:
        self._lesson, self._workers = lesson, workers
        self._folder = folder / f"ours-{workers}"
        if workers > 1:
            self.package = f"{self.package}, {workers} workers"

    def grade(self, submissions: Sequence[Submission], advance: Advance) -> Graded:
        """Grade a batch; each is done when it is in the gradebook and has its page."""
        batch = self._folder / submissions[0].learner
        place, out = batch / "submissions", batch / "out"
        _write(submissions, place, self._lesson)
        runner = _Timed(Limits(), self._workers)
        done: list[float] = []

        def progress(tally: grade.Tally) -> None:
            if tally.done > len(done):
                done.append(time.monotonic())
                advance()

        started = time.monotonic()
        grade.grade(grade.Options(place, out), lambda: runner, progress)
        took = time.monotonic() - started
        found = Graded([b - a for a, b in zip([runner.warm_at, *done], done, strict=False)])
        found.around = took - sum(found.seconds)
        with Gradebook.open(file_url(out / "gradebook.sqlite")) as book:
            found.points = {one.learner: _points(one.report) for one in book.each()}
        return found


class Nbclient:
    """nbclient, a kernel for each, as `checks check` runs a notebook: what faithful means."""

    package, version = "nbclient", version("nbclient")
    walls = "none; cells run as the grader's user; judged in another process"

    def __init__(self, lesson: course.Lesson, folder: Path) -> None:
        self._lesson, self._folder = lesson, folder / self.package

    def grade(self, submissions: Sequence[Submission], advance: Advance) -> Graded:
        """Grade a batch, one after the other."""
        found = Graded()
        for one, file in zip(
            submissions, _write(submissions, self._folder, self._lesson), strict=True
        ):
            started = time.monotonic()
            report = check_notebook(file)
            found.seconds.append(time.monotonic() - started)
            found.points[one.learner] = _points(report)
            advance()
        return found


def _write(submissions: Sequence[Submission], folder: Path, lesson: course.Lesson) -> list[Path]:
    files = []
    for one in submissions:
        file = folder / one.learner / f"{lesson.name}.ipynb"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(one.notebook), encoding="utf-8")
        files.append(file)
    return files


def _points(report: Report) -> Points:
    return {one.exercise: one.points for one in report.exercises}


# -- the race -------------------------------------------------------------------------------------
@dataclass(slots=True)
class Lane:
    """One grader and what it has done so far.

    Attributes:
        grader: The grader.
        batches: What each batch came to.
        trouble: Why it was taken out; empty while it runs.
    """

    grader: Grader
    batches: list[Graded] = field(default_factory=list)
    trouble: str = ""

    @property
    def seconds(self) -> list[float]:
        """What each submission took."""
        return [one for batch in self.batches for one in batch.seconds]

    @property
    def around(self) -> float:
        """What is done once for a batch took, the median."""
        return median(batch.around for batch in self.batches)

    @property
    def points(self) -> dict[str, Points]:
        """By learner and exercise."""
        return {who: one for batch in self.batches for who, one in batch.points.items()}

    def each(self) -> float:
        """Seconds for each submission, with what is done once spread over all of them."""
        return (sum(self.seconds) + self.around) / len(self.seconds)


def race(lanes: Sequence[Lane], submissions: Sequence[Submission]) -> None:
    """Give each grader a batch in turn; one that fails is out."""
    batches = [submissions[at : at + BATCH] for at in range(0, len(submissions), BATCH)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        tasks = [progress.add_task(one.grader.package, total=len(submissions)) for one in lanes]
        for number, batch in enumerate(batches, 1):
            for lane, task in zip(lanes, tasks, strict=True):
                if lane.trouble:
                    continue
                if not console.is_terminal:
                    print(f"{number} of {len(batches)}: {lane.grader.package}", file=sys.stderr)
                try:
                    lane.batches.append(lane.grader.grade(batch, partial(progress.advance, task)))
                except (CourseError, OSError, ValueError, LookupError) as error:
                    lane.trouble = f"{lane.grader.package} is left out: {error}"


def enter(names: Sequence[str], lesson: course.Lesson, folder: Path, cache: Path) -> Iterator[Lane]:
    """The graders, ours first; one that cannot be installed has its trouble at once."""
    yield Lane(Ours(lesson, folder, 1))
    yield Lane(Ours(lesson, folder, 2))
    if "nbclient" in names:
        yield Lane(Nbclient(lesson, folder))
    peer: type[peers.Nbgrader] | type[peers.Otter]
    for name, peer in (("nbgrader", peers.Nbgrader), ("otter", peers.Otter)):
        if name in names:
            try:
                yield Lane(peer(lesson, cache, folder))
            except (CourseError, OSError) as error:
                trouble = f"{peer.package} is left out: {error}"
                print(trouble, file=sys.stderr)
                yield Lane(_Absent(peer), trouble=trouble)


class _Absent:
    """A peer that is not there."""

    def __init__(self, peer: Any) -> None:
        self.package, self.version, self.walls = peer.package, peer.version, peer.walls

    def grade(self, submissions: Sequence[Submission], advance: Advance) -> Graded:
        """It cannot."""
        raise CourseError("it is not installed")


# -- the result -----------------------------------------------------------------------------------
def table(lanes: Sequence[Lane], submissions: Sequence[Submission]) -> Table:
    """What each took and how that compares with ours."""
    ours = lanes[0]
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (
        "grader",
        "version",
        "median",
        "once",
        "each",
        "× median",
        "× each",
        "bar",
        "same",
    ):
        left = heading in ("grader", "version")
        made.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for lane in lanes:
        if lane.trouble:
            continue
        bar = BARS.get(lane.grader.package)
        same = sum(not _differences(ours, lane, one) for one in submissions)
        made.add_row(
            lane.grader.package,
            lane.grader.version,
            f"{median(lane.seconds):.3f} s",
            f"{lane.around:.1f} s",
            f"{lane.each():.3f} s",
            f"{median(lane.seconds) / median(ours.seconds):.1f}x",
            f"{lane.each() / ours.each():.1f}x",
            f"{bar}x" if bar else "",
            f"{same} of {len(submissions)}",
        )
    return made


def differing(lanes: Sequence[Lane], submissions: Sequence[Submission]) -> Iterator[str]:
    """A line for each grade that is not ours."""
    ours = lanes[0]
    for lane in lanes:
        for one in submissions if not lane.trouble else ():
            for exercise in _differences(ours, lane, one):
                yield (
                    f"{lane.grader.package}, {one.learner}, {exercise} ({one.answers[exercise]}): "
                    f"{lane.points[one.learner][exercise]:g} points, "
                    f"ours {ours.points[one.learner][exercise]:g}"
                )


def _differences(ours: Lane, lane: Lane, submission: Submission) -> list[str]:
    own, other = ours.points[submission.learner], lane.points[submission.learner]
    return [exercise for exercise in own if own[exercise] != other.get(exercise)]


def _print(lanes: Sequence[Lane], submissions: Sequence[Submission]) -> bool:
    """Print everything; True when every bar is met."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table(lanes, submissions))
    console.print(
        "\nmedian: one submission. once: starting, finding them, writing the results. each: one "
        "submission with its\nshare of what is done once. Then the same as multiples of the first "
        "line, and the least that they should be.\nsame: submissions whose every exercise has the "
        "points of the first line.\n"
    )
    for lane in (one for one in lanes if not one.trouble):
        console.print(f"{lane.grader.package}: isolation: {lane.grader.walls}.", markup=False)
    lines = list(differing(lanes, submissions))
    for line in lines[:MOST_DIFFERENCES]:
        console.print(line, markup=False)
    if len(lines) > MOST_DIFFERENCES:
        console.print(f"... and {len(lines) - MOST_DIFFERENCES} more grades that differ.")
    ours = median(lanes[0].seconds)
    return all(
        median(lane.seconds) >= BARS.get(lane.grader.package, 0) * ours
        for lane in lanes
        if not lane.trouble
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m checks.benchmarks.grading",
        description="Grade one made-up class by this course's grader and by others.",
    )
    parser.add_argument("--submissions", type=int, default=50)
    parser.add_argument("--peers", default=",".join(PEERS), help="some of nbclient,nbgrader,otter")
    parser.add_argument("--lesson", default="00")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--cache", type=Path, default=peers.default_cache())
    said = parser.parse_args()
    said.peers = tuple(filter(None, said.peers.split(",")))
    if unknown := set(said.peers) - set(PEERS):
        parser.error(f"there is no peer {', '.join(sorted(unknown))}; choose among {PEERS}")
    if said.submissions < 1:
        parser.error("--submissions must be 1 or more")
    return said


def main() -> int:
    """Run the benchmark: 0 all ran and met their bars, 1 not all, 130 interrupted."""
    said = _arguments()
    try:
        lesson = course.lesson(said.lesson)
        submissions = draw(lesson, said.submissions, said.seed)
        print(f"{len(submissions)} submissions of lesson {lesson.number}, seed {said.seed}.")
        with (
            tempfile.TemporaryDirectory(prefix="dog-eared-") as folder,
            variables(CHECKS_PROGRESS="off"),
        ):
            lanes = list(enter(said.peers, lesson, Path(folder).resolve(), said.cache))
            race(lanes, submissions)
            if lanes[0].trouble:
                raise CourseError(lanes[0].trouble)
            met = _print(lanes, submissions)
        for lane in lanes:
            if lane.trouble:
                print(lane.trouble, file=sys.stderr)
        return 0 if met and not any(lane.trouble for lane in lanes) else 1
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the peers' environments are kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
