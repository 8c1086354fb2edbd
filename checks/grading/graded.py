"""One submission, graded: what the gradebook keeps and every output is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from checks.grading.outcome import Ended, Raised
from checks.verdict import Report


@dataclass(frozen=True, slots=True)
class Graded:
    """One learner's submission of one lesson.

    Attributes:
        learner: Whose it is, as the folder or the file's name says.
        lesson: The lesson's number: `03`.
        file: Where it lay among the submissions; never a path of this machine.
        digest: The notebook's SHA-256, by which an unchanged one is known again.
        checks: The digest of the checks that it was observed and judged with.
        report: Every exercise's verdict, with its evidence.
        graded_at: When, in UTC.
        ended: How the run ended.
        seconds: How long the run took.
        raised: What its cells raised, in order.
        answers: The text of each exercise's cell, by the exercise's id.
        look: Sentences on what a human should look at; empty when nothing.
        notes: Sentences on how it came in, such as a second copy that was not graded.
    """

    learner: str
    lesson: str
    file: str
    digest: str
    checks: str
    report: Report
    graded_at: datetime
    ended: Ended = Ended.WELL
    seconds: float = 0.0
    raised: tuple[Raised, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    look: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
