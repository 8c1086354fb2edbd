"""What a learner calls in a notebook: `check`, `hint`, `solution`, `progress`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

from checks import cells, course, show, workspace
from checks.errors import CourseError
from checks.exercise import Exercise
from checks.journal import Journal, journal
from checks.judge import judge
from checks.observe import collecting, tracebacks
from checks.observe.evidence import OBSERVATION_TYPE, Observation
from checks.observe.run import observe
from checks.verdict import VERDICT_TYPE, Status, Verdict
from checks.words import counted

Names = Mapping[str, Any]


def check(exercise: str, traceback: bool = False) -> float | None:
    """Judge one exercise on what your code does now, and show the card.

    Given a lesson's number, `check("01")`, it judges all of its exercises and shows a report: what
    is met and what is open, and the card of the first that fails.

    Args:
        exercise: Its id, as in the notebook: `check("01.engine")`.
        traceback: Whether to print Python's traceback below the card, where your code raised.

    Returns:
        Nothing; under nbgrader the points, which it reads as partial credit.
    """
    names = _callers_names()
    if isinstance(exercise, str) and re.fullmatch(course.NUMBER, exercise.strip()):
        _report(exercise, names)
        return None
    if collecting.collector is not None:  # a grader judges elsewhere
        collecting.collector(exercise, names)
        return None
    try:
        entry = _found(exercise)
    except CourseError as error:
        _display(str(error))
        return None
    source = _cell_of(entry.id, names)
    if os.environ.get("CHECKS_COLLECT"):  # a grader judges elsewhere
        observed = _observed(entry, names, source)
        _display("", extra={OBSERVATION_TYPE: observed.model_dump(mode="json")})
        return None
    with tracebacks.kept() if traceback else nullcontext(()) as kept:
        verdict = _judged(entry, names, source)
    _journal().record(verdict)
    _show(verdict, entry)
    if traceback:
        _display(_traceback_of(verdict, kept))
    return _points_for_nbgrader(verdict) if os.environ.get("NBGRADER_EXECUTION") else None


def _report(number: str, names: Names) -> None:
    if collecting.collector is not None or os.environ.get("CHECKS_COLLECT"):
        return  # a grader asks exercise by exercise
    try:
        lesson = course.lesson(number)
    except CourseError as error:
        _display(str(error))
        return
    judged = [
        (entry, _judged(entry, names, _cell_of(entry.id, names))) for entry in lesson.exercises
    ]
    for _, verdict in judged:
        _journal().record(verdict)
    about = (
        f"{lesson.number} {lesson.title}",
        [verdict for _, verdict in judged],
        {entry.id: [one.text for one in entry.card.requirements()] for entry, _ in judged},
    )
    _display(show.report_text(*about), show.report_html(*about))
    for entry, verdict in judged:
        if verdict.status is Status.FAILED:
            _show(verdict, entry)
            return


def _show(verdict: Verdict, entry: course.ExerciseEntry) -> None:
    following = _next_step(verdict, entry.card)
    _display(
        show.card_text(verdict, following),
        show.card_html(verdict, following),
        {VERDICT_TYPE: verdict.model_dump(mode="json", exclude={"evidence"})},
    )


def hint(exercise: str) -> None:
    """Show one more hint, from a nudge to nearly the answer.

    Args:
        exercise: Its id, as in the notebook.
    """
    try:
        card = _found(exercise).card
    except CourseError as error:
        _display(str(error))
        return
    total = len(card.hints)
    number = _journal().next_hint(card.id, total)
    text = card.hints[number - 1]
    _display(
        show.hint_text(card.title, number, total, text),
        show.hint_html(card.title, number, total, text),
    )
    if number == total:
        _display(f'That was the last hint. solution("{card.id}") is open to you now.')


def solution(exercise: str) -> None:
    """Show the course's solution beside your cell, once you have passed or read every hint.

    Args:
        exercise: Its id, as in the notebook.
    """
    names = _callers_names()
    try:
        entry = _found(exercise)
        solved = entry.solution
    except CourseError as error:
        _display(str(error))
        return
    standing = _journal().standing(entry.id)
    left = len(entry.card.hints) - standing.hints
    if standing.status is not Status.PASSED and left > 0:
        hints = counted(left, "hint")
        _display(
            f"There {'is' if left == 1 else 'are'} still {hints} to read. Try "
            f'hint("{entry.id}") first; the solution opens after a pass or after the last hint.'
        )
        return
    own = _cell_of(entry.id, names) or ""
    _display(
        show.solution_text(entry.card.title, own, solved),
        show.solution_html(entry.card.title, own, solved),
    )


def progress(lesson: str | None = None) -> None:
    """Show how far you have come: in one lesson, `progress("03")`, or in the whole course."""
    try:
        lessons = [course.lesson(lesson)] if lesson else course.catalogue()
    except CourseError as error:
        _display(str(error))
        return
    kept = _journal()
    rows = show.progress_rows(lessons, kept.standings())
    _display(show.progress_text(rows), show.progress_html(rows))
    if not kept.kept and os.environ.get("CHECKS_PROGRESS") != "off":
        _display(
            f"Progress cannot be written in {workspace.folder()}, so it lasts until the kernel "
            "stops. Give yourself write access to that folder; if .progress.sqlite in it is "
            "broken, delete it."
        )


def _found(exercise: object) -> course.ExerciseEntry:
    if not isinstance(exercise, str):
        raise CourseError(
            "An exercise is named by its id, in quotation marks, as in the cell's first line: "
            'check("01.engine").'
        )
    return course.find(exercise.strip())


# -- the learner's side ------------------------------------------------------------------------
def _callers_names() -> Names:
    """The globals of the cell that called: the notebook's names, in a kernel and outside one."""
    return sys._getframe(2).f_globals


def _cell_of(exercise: str, names: Names) -> str | None:
    """The exercise's cell as last run, found by its visible mark in the session's history."""
    shell = _shell()
    history = shell.history_manager.input_hist_raw if shell else names.get("In", ())
    return next((one for one in reversed(history) if exercise in course.answered_in(one)), None)


def _observed(entry: course.ExerciseEntry, names: Names, source: str | None) -> Observation:
    return observe(entry.card, names, source, _seed(), cells.last_run(entry.id, source))


def _judged(entry: course.ExerciseEntry, names: Names, source: str | None) -> Verdict:
    observed = _observed(entry, names, source)
    verdict = judge(entry.card, observed, entry.starter)
    if verdict.status not in (Status.FAILED, Status.NOT_RUN) or not entry.card.after:
        return verdict
    open_before = [one for one in entry.card.after if not _passes(one, names)]
    return judge(entry.card, observed, entry.starter, open_before)


def _passes(exercise: str, names: Names) -> bool:
    verdict = _judged(course.find(exercise), names, _cell_of(exercise, names))
    return verdict.status is Status.PASSED


def _seed() -> int | None:
    """CHECKS_SEED fixes the random data, for notebooks whose stored outputs are compared."""
    seed = os.environ.get("CHECKS_SEED")
    return int(seed) if seed else None


def _next_step(verdict: Verdict, card: type[Exercise]) -> str:
    standing = _journal().standing(card.id)
    left = len(card.hints) - standing.hints
    if verdict.status is Status.PASSED:
        return f'See the course\'s own way: solution("{card.id}")'
    if verdict.status is not Status.FAILED:
        return ""
    if left > 0:
        read = f" ({standing.hints} of {len(card.hints)} read)" if standing.hints else ""
        return f'Stuck? hint("{card.id}"){read}'
    return f'All hints read: solution("{card.id}")'


@cache
def _journal() -> Journal:
    return journal(workspace.folder())


def _traceback_of(verdict: Verdict, kept: Sequence[tracebacks.Kept]) -> str:
    """The traceback of what the card tells: the check's own defect, or the learner's exception."""
    evidence = verdict.evidence
    if evidence and evidence.fault:
        return evidence.fault
    type_, message = show.exception_of(verdict)
    told = [one.text for one in kept if one.type == type_ and message in one.text]
    return told[-1] if told else "No exception of your code is behind this card."


# -- showing -----------------------------------------------------------------------------------
def _shell() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _display(text: str, html: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
    """Show a card where there is a notebook, plain text elsewhere."""
    data: dict[str, Any] = {"text/plain": text, **(extra or {})}
    if html is not None:
        data["text/html"] = html
    if show.front_end is not None:
        show.front_end(data)
    elif _shell() is None:
        print(text)
    else:
        from IPython.display import publish_display_data

        publish_display_data(data)


def _points_for_nbgrader(verdict: Verdict) -> float:
    if verdict.status is Status.PASSED or verdict.points:
        return verdict.points
    raise AssertionError(verdict.message)  # how nbgrader hears of no points


if (_running := _shell()) is not None:  # from the cell that imports this
    cells.follow(_running)
