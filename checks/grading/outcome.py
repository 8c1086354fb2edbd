"""What running one submission came to, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from checks.grading.plan import Plan
from checks.observe.evidence import Observation


class Ended(StrEnum):
    """How a run ended."""

    WELL = "well"
    TIMED_OUT = "timed_out"
    DIED = "died"
    TOO_MUCH = "too_much"  # memory or output beyond its limits


@dataclass(frozen=True, slots=True)
class Raised:
    """What a cell raised.

    Attributes:
        cell: The cell's number, from 0.
        type: The exception's type.
        message: What it said.
        at: The learner's line.
    """

    cell: int
    type: str
    message: str
    at: str | None = None


@dataclass(slots=True)
class Outcome:
    """One run.

    Attributes:
        ended: How it ended.
        cell: The cell that was running when it did; None after the last.
        observed: What was seen of the exercises, in order; an exercise may be there several times.
        raised: What cells raised, in order.
        signs: What a human should look at: things replaced, lines forged.
        seconds: How long it took.
        why: What stopped it, where that is not plain.
    """

    ended: Ended = Ended.WELL
    cell: int | None = None
    observed: list[Observation] = field(default_factory=list)
    raised: list[Raised] = field(default_factory=list)
    signs: list[str] = field(default_factory=list)
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One submission to run.

    Attributes:
        key: What the caller knows it by.
        plan: What to run.
    """

    key: str
    plan: Plan
