"""The judge: evidence in, verdict out. Pure: it never sees an object of the learner's."""

from __future__ import annotations

import ast
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from checks import filecells
from checks.exercise import Exercise, MissError, Requirement, Seen
from checks.observe.evidence import Attempt, Observation, Trouble, same_code
from checks.verdict import Finding, Status, Verdict


def judge(
    exercise: type[Exercise],
    observed: Observation,
    starter: str,
    open_before: Sequence[str] = (),
) -> Verdict:
    """What the evidence of one exercise comes to.

    Args:
        exercise: The exercise.
        observed: Its evidence. A forged or broken one gives a fault, never an exception.
        starter: The cell as the lesson ships it, which counts as not attempted.
        open_before: Those of `exercise.after` that have not passed; the first is named instead of
            whatever obscure failure they cause here.
    """

    def verdict(status: Status, message: str, **more: Any) -> Verdict:
        return unjudged(exercise, status, message).model_copy(update={"evidence": observed, **more})

    attempt = observed.attempt
    if reason := _not_attempted(observed, starter):
        return verdict(Status.NOT_ATTEMPTED, reason)
    if other := _not_this_file(attempt, starter):
        return verdict(**other)
    if observed.fault:
        return verdict(Status.FAULT, _OURS)
    if observed.obstacle:
        return verdict(Status.NOT_RUN, observed.obstacle)
    if attempt.complete and not _outdated(attempt) and not observed.trouble:
        try:
            judged = _judge_seen(exercise, Seen(observed.seen))
        except Exception:  # the judging code's own defect, or evidence that nobody observed
            observed = observed.model_copy(update={"fault": traceback.format_exc()})
            return verdict(Status.FAULT, _OURS)
        if judged["status"] is Status.PASSED:
            return verdict(**judged)
        if attempt.source is not None and not open_before:
            return verdict(**_not_this_cell(observed, judged))
    if attempt.source is None:  # whatever names there are, they are some other cell's
        return verdict(Status.NOT_ATTEMPTED, _not_run(observed))
    if open_before:
        first = open_before[0]
        return verdict(
            Status.NOT_RUN,
            f'This one stands on {first}, which has not passed yet. Get check("{first}") green '
            "first, then check again.",
        )
    if other := _not_this_cell(observed, {}):
        return verdict(**other)
    if attempt.complete and observed.trouble:
        trouble = observed.trouble
        at = f" at {trouble.where}" if trouble.where else ""
        return verdict(
            Status.FAILED,
            f"Your code raised {trouble.type}: {trouble.message}{at}. Mend that, run the cell, "
            "and check again.",
        )
    return verdict(Status.FAILED, _unusable(observed))


def unjudged(exercise: type[Exercise], status: Status, message: str) -> Verdict:
    """A verdict without evidence: on an exercise that nobody could observe."""
    return Verdict(
        lesson=exercise.lesson(),
        exercise=exercise.id,
        title=exercise.title,
        statement=exercise.statement(),
        status=status,
        points=0,
        max_points=exercise.points(),
        message=message,
    )


_OURS = (
    "This check broke, not your code. Nothing is held against you: go on, and report the exercise "
    "and the evidence it names (`checks check FILE --json` has both)."
)


def _not_attempted(observed: Observation, starter: str) -> str | None:
    attempt = observed.attempt
    if attempt.source is None:
        return _not_run(observed) if attempt.missing or attempt.unfilled else None
    if same_code(attempt.source, starter):
        below = f" below its line `# exercise: {observed.exercise}`" if attempt.stale else ""
        return f"The cell is as it came. Change it{below}, run it, then check again."
    if lines := _placeholders(attempt.source):
        at = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(map(str, lines))}"
        return f"There is still a TODO on {at} of your cell. Fill it in, run it, check again."
    if attempt.unfilled and not attempt.stopped:
        return f"`{attempt.unfilled[0]}` is still a placeholder. Give it a value, run, check again."
    return None


def _not_run(observed: Observation) -> str:
    return (
        f"The exercise's cell has not been run: it begins with `# exercise: {observed.exercise}`. "
        "Write your answer there, run it, check again."
    )


def _not_this_file(attempt: Attempt, starter: str) -> dict[str, Any]:
    """Why a cell that should be a file of the project is none that can be tried; empty if it is."""
    asked = filecells.parse(starter)
    if asked is None or attempt.source is None:
        return {}
    given = filecells.parse(attempt.source)
    if given is None or PurePath(given.path) != PurePath(asked.path):
        return {
            "status": Status.NOT_RUN,
            "message": f"This cell should write the file `{asked.path}`. Make its first line "
            f"`{filecells.magic(asked.path).strip()}` again, run it, check again.",
        }
    if asked.path.endswith(".py") and isinstance(unreadable := _parsed(attempt.source), str):
        return {"status": Status.FAILED, "message": unreadable}
    if attempt.stopped and attempt.stopped.type == "FileNotFoundError":
        return {
            "status": Status.NOT_RUN,
            "message": f"The folder `{PurePath(asked.path).parent}` is not there yet, so the cell "
            "could not write its file. Run the cells above, then this one, and check again.",
        }
    return {}


def _not_this_cell(observed: Observation, judged: Mapping[str, Any]) -> dict[str, Any]:
    """What was judged, unless that is not what stands in the cell: then why it is not."""
    attempt = observed.attempt
    if attempt.stopped:
        return {
            **judged,
            "status": Status.FAILED,
            "message": _stopped(attempt.stopped, attempt.source or ""),
            "mistake": None,
            "shows": None,
            "marks": [],
        }
    if attempt.edited:
        return {
            "status": Status.NOT_RUN,
            "message": f"The file `{attempt.edited}` is not what this cell says. The cell is what "
            "you hand in: write your answer there, run it, check again.",
        }
    if attempt.stale:
        names = " and ".join(f"`{name}`" for name in attempt.stale)
        return {
            "status": Status.NOT_RUN,
            "message": f"Another cell has made {names} anew since this exercise's cell ran. Run "
            "the exercise's cell again, then check.",
        }
    return dict(judged)


_UNREADABLE = ("SyntaxError", "IndentationError", "TabError")  # nothing of the cell ran


def _outdated(attempt: Attempt) -> bool:
    """Whether the names come from an earlier run: this one made nothing of them, or not all."""
    if attempt.stopped is None:
        return False
    return bool(attempt.unmade) or attempt.stopped.type in _UNREADABLE


def _stopped(stopped: Trouble, source: str) -> str:
    if stopped.type in _UNREADABLE and isinstance(unreadable := _parsed(source), str):
        return unreadable
    what = f"{stopped.type}: {stopped.message}" if stopped.message else stopped.type
    line, _, code = (stopped.where or "").partition(": ")
    at = f" at {line}, `{code}`" if code else ""
    return f"Your cell stopped{at}: {what.rstrip('.')}. Mend that, run the cell, check again."


def _placeholders(source: str) -> list[int]:
    parsed = _parsed(source)
    nodes = ast.walk(parsed) if isinstance(parsed, ast.Module) else ()
    return sorted({n.lineno for n in nodes if isinstance(n, ast.Name) and n.id == "TODO"})


def _parsed(source: str) -> ast.Module | str:
    """A cell as Python reads it, or a sentence on why it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the learner saw them when the cell ran
            return ast.parse(filecells.as_python(source))
    except SyntaxError as error:
        at = f", line {error.lineno}. Mend that line" if error.lineno else ". Mend that"
        return f"Python cannot read your cell: {error.msg}{at}, run the cell, check again."
    except ValueError:
        return "Your cell holds a character that Python cannot read. Retype it and check again."
    except (RecursionError, MemoryError):
        return "Your cell is nested too deeply for Python. Make it simpler and check again."


def _unusable(observed: Observation) -> str:
    attempt = observed.attempt
    if isinstance(unreadable := _parsed(attempt.source or ""), str):
        return unreadable
    if attempt.missing:
        names = ", ".join(f"`{name}`" for name in attempt.missing)
        return (
            f"{names} {'is' if len(attempt.missing) == 1 else 'are'} not defined after your cell "
            "ran. If the cell ended in an error, mend that; after a restart, run the cells above "
            "it first. If it did not, the exercise asks for exactly that name. Then run the cell, "
            "and check again."
        )
    return " ".join(attempt.wrong) + " Change it, run the cell, check again."


def _judge_seen(exercise: type[Exercise], seen: Seen) -> dict[str, Any]:
    card = exercise()
    findings = [_find(card, one, seen) for one in exercise.requirements()]
    points = sum(finding.points for finding in findings)
    missed = [
        (one, finding)
        for one, finding in zip(exercise.requirements(), findings, strict=True)
        if not finding.met
    ]
    if not missed:
        return {
            "status": Status.PASSED,
            "message": exercise.statement(),
            "points": points,
            "findings": findings,
        }
    requirement, finding = missed[0]
    failed: dict[str, Any] = {
        "status": Status.FAILED,
        "message": f"{finding.saw} {finding.wanted}",
        "points": points,
        "findings": findings,
        "shows": requirement.shows,
    }
    for mistake in exercise.mistakes():
        if mistake.fits(card, seen):
            failed |= {
                "mistake": mistake.name,
                "message": mistake.message,
                "shows": mistake.shows or requirement.shows,
                "marks": list(mistake.marks),
            }
            break
    return failed


def _find(card: Exercise, one: Requirement, seen: Seen) -> Finding:
    finding = Finding(
        name=one.name, text=one.text, met=True, points=one.points, max_points=one.points
    )
    try:
        one.judge(card, seen)
    except MissError as miss:
        return finding.model_copy(
            update={
                "met": False,
                "points": 0,
                "saw": miss.saw,
                "wanted": miss.wanted,
                "why": miss.why,
            }
        )
    return finding
