"""Right and wrong answers to every exercise, each with the verdict it must get."""

from __future__ import annotations

from dataclasses import dataclass

from checks.verdict import Status


@dataclass(frozen=True, slots=True)
class Answer:
    """What some learner might put into an exercise's cell.

    Attributes:
        exercise: The exercise's id.
        name: What sets this answer apart, in a few words.
        code: The text of the cell.
        status: How it must be judged.
        mistake: The named mistake that must be found; None where the requirement's own message
            stands.
    """

    exercise: str
    name: str
    code: str
    status: Status
    mistake: str | None = None


def right(exercise: str, name: str, code: str) -> Answer:
    """An answer that must pass."""
    return Answer(exercise, name, code, Status.PASSED)


def wrong(
    exercise: str,
    name: str,
    code: str,
    mistake: str | None = None,
    status: Status = Status.FAILED,
) -> Answer:
    """An answer that must not pass, and the named mistake that it must be told."""
    return Answer(exercise, name, code, status, mistake)
