"""The verdict: what judging one exercise came to, and the report that holds a notebook's."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from checks.observe.evidence import Observation

VERDICT_TYPE = "application/vnd.dog-eared.verdict+json"  # a verdict as a notebook's output


class Status(StrEnum):
    """How an exercise stands."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"
    NOT_RUN = "not_run"  # an earlier cell died, or an exercise that it stands on has not passed
    TIMED_OUT = "timed_out"
    DIED = "died"
    UNREADABLE = "unreadable"
    FAULT = "fault"  # a defect of the check, never the learner's zero

    @property
    def words(self) -> str:
        """The status as one says it: `not attempted`."""
        return self.value.replace("_", " ")


class _Data(BaseModel):
    # Every field is in the JSON, also one that holds its default; the published schema says so.
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Finding(_Data):
    """How one requirement came out.

    Attributes:
        name: The requirement's name in the check.
        text: The requirement as the learner reads it.
        met: Whether the evidence meets it.
        points: What was earned of `max_points`.
        saw: What the evidence shows instead, when it is not met.
        wanted: What should have been there.
        why: Why it matters.
    """

    name: str
    text: str
    met: bool
    points: float
    max_points: float
    saw: str = ""
    wanted: str = ""
    why: str = ""


class Verdict(_Data):
    """One exercise, judged.

    Attributes:
        lesson: The lesson's number: `03`.
        exercise: The exercise's id: `03.tell_the_truth`.
        title: Its short name.
        statement: What it asks for, in a sentence.
        status: How it stands.
        points: What was earned of `max_points`.
        message: What to tell the learner; ends in what to do next unless passed.
        mistake: The named mistake that the evidence shows, if one fits.
        findings: Each requirement's outcome.
        shows: The step of the evidence whose timeline explains the message.
        marks: Kinds of event to point at in that timeline.
        evidence: What was observed; None where nothing could be.
    """

    lesson: str
    exercise: str
    title: str
    statement: str = ""
    status: Status
    points: float
    max_points: float
    message: str
    mistake: str | None = None
    findings: list[Finding] = []
    shows: str | None = None
    marks: list[str] = []
    evidence: Observation | None = None


class Report(_Data):
    """Every exercise of one notebook, as `checks check --json` prints it."""

    version: Literal[1] = 1
    file: str
    lesson: str | None
    points: float
    max_points: float
    message: str = ""
    exercises: list[Verdict]
