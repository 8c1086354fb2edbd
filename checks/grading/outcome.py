"""What running one submission came to, before anybody judges it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Annotated, NoReturn

from pydantic import Field, TypeAdapter, ValidationError

from checks.grading import wire
from checks.grading.plan import Plan
from checks.observe.evidence import Observation

# What an outcome from another machine may hold at most; no runner writes more.
_Place = Annotated[int, Field(ge=0)]
_Name = Annotated[str, Field(max_length=100)]
_Sentence = Annotated[str, Field(max_length=1000)]


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

    cell: _Place
    type: _Name
    message: _Sentence
    at: _Sentence | None = None


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
    cell: _Place | None = None
    observed: Annotated[list[Observation], Field(max_length=500)] = field(default_factory=list)
    raised: Annotated[list[Raised], Field(max_length=200)] = field(default_factory=list)
    signs: Annotated[list[_Sentence], Field(max_length=50)] = field(default_factory=list)
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    why: _Sentence = ""

    def to_json(self) -> bytes:
        """The outcome as text, for another machine."""
        seen = [one.model_dump(mode="json") for one in self.observed]
        return json.dumps({**asdict(replace(self, observed=[])), "observed": seen}).encode()

    @classmethod
    def from_json(cls, text: bytes, most: int) -> Outcome:
        """The outcome that `to_json` wrote, on a machine that need not be believed.

        Args:
            text: What was sent.
            most: Bytes that it may have.

        Raises:
            ValueError: it is longer than that, or no outcome.
        """
        if len(text) > most:
            raise ValueError(f"{len(text)} bytes are more than an outcome has")
        try:
            data = wire.clean(json.loads(text, parse_constant=_refuse))
            return _OUTCOME.validate_python(data)
        except (ValidationError, RecursionError) as error:
            raise ValueError(f"no outcome: {error}") from error


_OUTCOME = TypeAdapter(Outcome)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


@dataclass(frozen=True, slots=True)
class Job:
    """One submission to run.

    Attributes:
        key: What the caller knows it by.
        plan: What to run.
    """

    key: str
    plan: Plan
