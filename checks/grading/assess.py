"""A run to a report: every exercise judged on what was observed, here, where nothing of it ran."""

from __future__ import annotations

from collections.abc import Mapping

from checks import course
from checks.grading.outcome import Ended, Outcome
from checks.grading.plan import Plan
from checks.judge import judge, unjudged
from checks.verdict import Report, Status, Verdict

_ENDED = {
    Ended.TIMED_OUT: (
        Status.TIMED_OUT,
        "{place} ran longer than it may{why}; the cells below it were not run. Look for a loop "
        "that never ends.",
    ),
    Ended.DIED: (
        Status.DIED,
        "{place} ended Python itself{why}; the cells below it were not run. Look for an exit(), or "
        "for memory that runs out.",
    ),
    Ended.TOO_MUCH: (
        Status.DIED,
        "{place} used more than it may{why}; the cells below it were not run. Look for data that "
        "grows without end.",
    ),
}


def report(lesson: course.Lesson, plan: Plan, outcome: Outcome, file: str) -> Report:
    """Judge every exercise of a lesson. One observed several times counts as its best.

    Args:
        lesson: The lesson.
        plan: What was run.
        outcome: What came of it.
        file: What to call the notebook.
    """
    verdicts: dict[str, Verdict] = {}
    for entry in lesson.exercises:
        open_before = _open_before(entry, verdicts)
        judged = [
            judge(entry.card, seen, entry.starter, open_before)
            for seen in outcome.observed
            if seen.exercise == entry.id
        ]
        verdicts[entry.id] = max(judged, key=_rank) if judged else _unseen(entry, plan, outcome)
    return Report(
        file=file,
        lesson=lesson.number,
        points=sum(one.points for one in verdicts.values()),
        max_points=sum(one.max_points for one in verdicts.values()),
        message=trouble(outcome),
        exercises=list(verdicts.values()),
    )


def again(lesson: course.Lesson, before: Report) -> Report:
    """Judge an earlier report's evidence again; what had none stays as it was."""
    verdicts: dict[str, Verdict] = {one.exercise: one for one in before.exercises}
    for entry in lesson.exercises:
        old = verdicts.get(entry.id)
        if old is not None and old.evidence is not None:
            verdicts[entry.id] = judge(
                entry.card, old.evidence, entry.starter, _open_before(entry, verdicts)
            )
    return before.model_copy(
        update={
            "points": sum(one.points for one in verdicts.values()),
            "max_points": sum(one.max_points for one in verdicts.values()),
            "exercises": list(verdicts.values()),
        }
    )


def unreadable(lesson: course.Lesson | None, file: str, why: str) -> Report:
    """The report of a file that is no readable notebook; `lesson` is what it claims to be."""
    verdicts = [
        unjudged(entry.card, Status.UNREADABLE, why)
        for entry in (lesson.exercises if lesson else ())
    ]
    return Report(
        file=file,
        lesson=lesson.number if lesson else None,
        points=0,
        max_points=sum(one.max_points for one in verdicts),
        message=why,
        exercises=verdicts,
    )


def trouble(outcome: Outcome) -> str:
    """Why a run ended before its time, as a sentence for the learner; empty when it did not."""
    if outcome.ended is Ended.WELL:
        return ""
    if outcome.cell is not None:
        place = f"Cell {outcome.cell + 1}"
    elif outcome.observed:
        place = "A check at the end"
    else:  # whoever ran it was lost with it
        place = "A cell, nobody knows which,"
    why = f" ({outcome.why})" if outcome.why else ""
    return _ENDED[outcome.ended][1].format(place=place, why=why)


def _open_before(entry: course.ExerciseEntry, verdicts: Mapping[str, Verdict]) -> list[str]:
    """The exercises that this one stands on and that have not passed."""
    return [
        one
        for one in entry.card.after
        if one in verdicts and verdicts[one].status is not Status.PASSED
    ]


def _rank(verdict: Verdict) -> tuple[bool, float, int, bool]:
    """By what an exercise's verdicts are compared, the best being the highest."""
    return (
        verdict.status is Status.PASSED,
        verdict.points,
        sum(one.met for one in verdict.findings),  # a project's requirements earn no points
        verdict.status is not Status.NOT_ATTEMPTED,
    )


def _unseen(entry: course.ExerciseEntry, plan: Plan, outcome: Outcome) -> Verdict:
    status, message = Status.NOT_RUN, trouble(outcome)
    if outcome.ended is not Ended.WELL and entry.id in _concerned(plan, outcome.cell):
        status = _ENDED[outcome.ended][0]
    return unjudged(
        entry.card,
        status,
        message or "Nothing was observed of this exercise. Run the notebook again.",
    )


def _concerned(plan: Plan, cell: int | None) -> tuple[str, ...]:
    return next((part.concerns for part in plan.parts if part.place == cell), ())
