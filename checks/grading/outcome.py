"""What running one submission came to, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from checks.grading.plan import Plan
from checks.observe.evidence import Observation


@dataclass(frozen=True, slots=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell: Seconds that one cell may take.
        total: Seconds that the whole notebook may take.
        memory: Megabytes that each of its processes may have.
        folder: Megabytes that its folder may hold, and the most that one file may.
        processes: Processes and threads that it may have at once.
        files: Files that a process of it may have open.
        output: Megabytes of evidence and messages that it may send.
    """

    cell: float = 30.0
    total: float = 150.0
    memory: int = 1024
    folder: int = 64
    processes: int = 128
    files: int = 256
    output: int = 16


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
