"""Submissions to grades: collect, run, judge, record; then the files and pages of the record."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol, Self

from checks import course, judge
from checks.errors import CourseError
from checks.grading import assess, classreport, exports, feedback, plan
from checks.grading.collect import Collected, Submission, collect
from checks.grading.gradebook import Gradebook, file_url
from checks.grading.graded import Graded
from checks.grading.outcome import Ended, Job, Outcome
from checks.verdict import Report, Status, Verdict


class Runner(AbstractContextManager["Runner"], Protocol):
    """Something that runs submissions, several at once, and yields each as it ends."""

    def __enter__(self) -> Self: ...

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Run submissions."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What the instructor asked for.

    Attributes:
        place: The folder or zip of submissions.
        out: Where results go.
        lesson: Only this lesson; None for all.
        only: Only this learner; None for all.
        gradebook: The gradebook's URL; None for a file in `out`.
        formats: What else to export: `canvas`, `moodle`.
        rejudge: Judge stored evidence again, run nothing.
        again: Run also what has been graded and has not changed.
    """

    place: Path
    out: Path
    lesson: str | None = None
    only: str | None = None
    gradebook: str | None = None
    formats: tuple[str, ...] = ()
    rejudge: bool = False
    again: bool = False


@dataclass(slots=True)
class Tally:
    """How far a grading is, and what it came to.

    Attributes:
        total: Submissions in all.
        kept: Of these, the ones graded before and unchanged.
        done: Graded now.
        statuses: Exercises by status, of those graded now.
        look: What a human should look at, a line each.
        notices: What was found among the submissions that is none, a line each.
        stale: Submissions whose lesson's checks have changed since they were graded.
        compared: Submissions run in Jupyter as well, to see whether it says the same.
        differing: Verdicts of these that it does not say.
    """

    total: int = 0
    kept: int = 0
    done: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    look: list[str] = field(default_factory=list)
    notices: tuple[str, ...] = ()
    stale: int = 0
    compared: int = 0
    differing: int = 0

    def add(self, graded: Graded) -> None:
        """Count one more."""
        self.done += 1
        self.statuses.update(one.status for one in graded.report.exercises)


Progress = Callable[[Tally], None]


def grade(
    options: Options,
    runner: Callable[[], Runner],
    progress: Progress,
    reference: Callable[[], Runner] | None = None,
) -> Tally:
    """Grade what is new or changed, then write every output from the whole record.

    Each submission is recorded as soon as it is judged, so an interrupted grading goes on where it
    stopped and loses what was in flight.

    Args:
        options: What the instructor asked for.
        runner: Makes what runs the submissions; called only when there is something to run.
        progress: Told after each submission.
        reference: Makes what runs a sample of them a second time. Verdicts that differ need a look.

    Raises:
        CourseError: there is nothing to grade, or nowhere to write to.
    """
    _prepare(options.out)
    with Gradebook.open(options.gradebook or file_url(_record(options.out))) as book:
        if options.rejudge:
            tally = _rejudge(book, options, progress)
        else:
            tally = _run_new(book, options, runner, reference, progress)
        _write_all(book, options, tally)
    return tally


# -- running --------------------------------------------------------------------------------------
def _run_new(
    book: Gradebook,
    options: Options,
    runner: Callable[[], Runner],
    reference: Callable[[], Runner] | None,
    progress: Progress,
) -> Tally:
    collected = _wanted(collect(options.place, options.lesson), options.only)
    tally = Tally(total=len(collected.submissions), notices=collected.notices)
    waiting: list[Submission] = []
    for submission in collected.submissions:
        known = book.known(submission.learner, submission.lesson)
        if known and known.digest == submission.digest and not options.again:
            tally.kept += 1
            tally.stale += known.checks != checks_digest(submission.lesson)
        elif submission.trouble:
            lesson = course.lesson(submission.lesson)
            report = assess.unreadable(lesson, submission.file, submission.trouble)
            _keep(book, options, tally, _graded(submission, report, Outcome(), {}))
            progress(tally)
        else:
            waiting.append(submission)
    progress(tally)
    by_key = {str(number): one for number, one in enumerate(waiting)}
    sample = set(list(by_key)[:: max(1, min(10, len(by_key) // 5))]) if reference else set()
    said: dict[str, Graded] = {}
    if waiting:
        with runner() as running:
            for job, outcome in running.run(_jobs(by_key.items())):
                graded = _judged(by_key[job.key], job.plan, outcome)
                _keep(book, options, tally, graded)
                if job.key in sample:
                    said[job.key] = graded
                progress(tally)
    if reference and said:
        with reference() as running:
            for job, outcome in running.run(_jobs((key, by_key[key]) for key in said)):
                again = _judged(by_key[job.key], job.plan, outcome)
                differing = differences(said[job.key], again)
                tally.look += differing
                tally.differing += len(differing)
                tally.compared += 1
    return tally


def differences(one: Graded, other: Graded) -> list[str]:
    """Where two runs of one submission came to different verdicts, a sentence each."""
    return [
        f"{one.learner}, lesson {one.lesson}: {here.exercise} {_said(here)}, in Jupyter "
        f"{_said(there)}."
        for here, there in zip(one.report.exercises, other.report.exercises, strict=True)
        if (here.status, here.mistake) != (there.status, there.mistake)
    ]


def _said(verdict: Verdict) -> str:
    return f"{verdict.status.words}{f' ({verdict.mistake})' if verdict.mistake else ''}"


def _wanted(collected: Collected, only: str | None) -> Collected:
    if only is None:
        return collected
    chosen = tuple(one for one in collected.submissions if one.learner == only)
    if not chosen:
        some = ", ".join(sorted({one.learner for one in collected.submissions})[:10])
        raise CourseError(f"Nothing was handed in by {only!r}; among those who did are {some}.")
    return replace(collected, submissions=chosen)


def _jobs(submissions: Iterable[tuple[str, Submission]]) -> Iterator[Job]:
    """Notebooks are read as they are run, so that a class never stands in memory."""
    for key, submission in submissions:
        yield Job(key, plan.make(submission.read(), course.lesson(submission.lesson)))


def _judged(submission: Submission, planned: plan.Plan, outcome: Outcome) -> Graded:
    report = assess.report(course.lesson(submission.lesson), planned, outcome, submission.file)
    answers = {
        one: sources[-1] for one in planned.exercises if (sources := plan.sources(planned, one))
    }
    return _graded(submission, report, outcome, answers)


def _graded(
    submission: Submission, report: Report, outcome: Outcome, answers: dict[str, str]
) -> Graded:
    return Graded(
        learner=submission.learner,
        lesson=submission.lesson,
        file=submission.file,
        digest=submission.digest,
        checks=checks_digest(submission.lesson),
        report=report,
        graded_at=datetime.now(UTC).replace(microsecond=0),
        ended=outcome.ended,
        seconds=outcome.seconds,
        raised=tuple(outcome.raised),
        answers=answers,
        look=(*outcome.signs, *_to_look_at(report, outcome.ended)),
        notes=submission.notes,
    )


def _to_look_at(report: Report, ended: Ended) -> Iterator[str]:
    faults = [one.exercise for one in report.exercises if one.status is Status.FAULT]
    if faults:
        yield f"The check of {', '.join(faults)} broke; its points are not the learner's to lose."
    if any(one.status is Status.UNREADABLE for one in report.exercises):
        yield f"It could not be read: {report.message}"
    if ended in (Ended.DIED, Ended.TOO_MUCH):
        yield report.message


def _keep(book: Gradebook, options: Options, tally: Tally, graded: Graded) -> None:
    book.record(graded)
    feedback.write(graded, course.lesson(graded.lesson), options.out / "feedback")
    tally.add(graded)


# -- judging again --------------------------------------------------------------------------------
def _rejudge(book: Gradebook, options: Options, progress: Progress) -> Tally:
    tally = Tally(total=sum(1 for _ in _stored(book, options)), notices=_notices(options.place))
    for graded in _stored(book, options):
        lesson = course.lesson(graded.lesson)
        report = assess.again(lesson, graded.report)
        signs = [one for one in graded.look if one not in _to_look_at(graded.report, graded.ended)]
        _keep(
            book,
            options,
            tally,
            replace(
                graded,
                report=report,
                checks=checks_digest(graded.lesson),
                look=(*signs, *_to_look_at(report, graded.ended)),
            ),
        )
        progress(tally)
    if not tally.done:
        raise CourseError(
            "There is no evidence to judge again: grade once without --rejudge, into this --out."
        )
    return tally


def _notices(place: Path) -> tuple[str, ...]:
    """What lay among the submissions, where they are still there: the record has only grades."""
    try:
        return collect(place).notices
    except CourseError:
        return ()


def _stored(book: Gradebook, options: Options) -> Iterator[Graded]:
    for graded in book.each():
        if options.only in (None, graded.learner) and (
            options.lesson is None or course.lesson(options.lesson).number == graded.lesson
        ):
            yield graded


@cache
def checks_digest(number: str) -> str:
    """What a lesson is judged by, in short: changes when its checks or the judge do."""
    lesson = course.lesson(number)
    package = course.root() / "checks"
    read = (package / "lessons" / f"lesson_{lesson.name}.py", Path(judge.__file__))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in read)).hexdigest()


# -- writing --------------------------------------------------------------------------------------
def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        writable = os.access(out, os.W_OK)
    except OSError as error:
        raise CourseError(
            f"{out} cannot be made ({error.strerror}): name another --out."
        ) from error
    if not writable:
        raise CourseError(f"{out} cannot be written to: name another --out.")


def _record(out: Path) -> Path:
    return (out / "gradebook.sqlite").resolve()


def _write_all(book: Gradebook, options: Options, tally: Tally) -> None:
    lessons: Sequence[course.Lesson] = course.catalogue()
    exports.write(book.each, lessons, options.out, options.formats)
    classreport.write(book.each(), tally.notices, options.out)
    for graded in book.each():
        tally.look += [f"{graded.learner}, lesson {graded.lesson}: {one}" for one in graded.look]
