"""What an exercise is: a card that observes and judges, and the words it is written in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from checks.observe.timeline import Timeline

if TYPE_CHECKING:
    from checks.observe.lab import Lab


class Placeholder:
    """What a starter cell holds where the learner's own code goes. Equal to nothing but itself."""

    def __repr__(self) -> str:
        return "TODO"


TODO: Any = Placeholder()


class MissError(Exception):
    """A requirement that was not met: what was seen, what was wanted, and why it matters."""

    def __init__(self, saw: str, wanted: str, why: str = "") -> None:
        super().__init__(saw)
        self.saw, self.wanted, self.why = saw, wanted, why


def expect(condition: bool, *, saw: str, wanted: str, why: str = "") -> None:
    """State one thing that must hold of the evidence.

    Args:
        condition: Whether it holds.
        saw: A sentence on what the evidence shows instead: "The client heard 201."
        wanted: A sentence on what should have been there: "An error status, 400 or above."
        why: A sentence on why it matters, for whoever asks.

    Raises:
        MissError: it does not hold.
    """
    if not condition:
        raise MissError(saw, wanted, why)


@dataclass(frozen=True, slots=True)
class Step:
    """One request or call, as the evidence holds it.

    Attributes:
        asked: What was tried: `POST /users`, or `get_db()`.
        status: The response's status code; 0 for a call.
        body: The response's JSON (or text), or the call's value.
        headers: The response headers worth judging, by lower-case name.
        error: The exception's type name where one left the app or the call.
        error_message: Its first line.
        where: The learner's line it passed through.
        timeline: What happened meanwhile.
    """

    asked: str
    status: int
    body: Any
    headers: Mapping[str, str]
    error: str | None
    error_message: str
    where: str | None
    timeline: Timeline

    @property
    def heard(self) -> str:
        """A sentence for a card: `POST /users answered 500 (IntegrityError: ...)`."""
        cause = f" ({self.error}: {self.error_message})" if self.error else ""
        unmatched = {404: {"detail": "Not Found"}, 405: {"detail": "Method Not Allowed"}}
        if self.body == unmatched.get(self.status, ...) and not self.timeline.of("sql"):
            cause = " (as FastAPI does where no route has that method and path)"
        return f"`{self.asked}` answered {self.status}{cause}"

    @property
    def returned_the_exception(self) -> bool:
        """Whether the endpoint returned an HTTPException instead of raising it."""
        if self.error == "ResponseValidationError":
            return "HTTPException" in self.error_message
        keys = {"status_code", "detail", "headers"}
        return isinstance(self.body, dict) and self.status < 400 and set(self.body) == keys


class Seen(dict[str, Any]):
    """The evidence of one exercise: what its `observe` returned, as JSON."""

    def step(self, name: str) -> Step:
        """A request or call that `observe` recorded under this name."""
        data = self[name]
        error = data.get("error") or {}
        return Step(
            asked=data["asked"],
            status=data.get("status") or 0,
            body=data.get("body"),
            headers=data.get("headers") or {},
            error=error.get("type"),
            error_message=error.get("message", ""),
            where=error.get("where"),
            timeline=Timeline.from_json(data["timeline"]),
        )

    def steps(self, name: str) -> list[Step]:
        """The requests or calls of a list that `observe` recorded under this name."""
        return [Seen({"one": one}).step("one") for one in self[name]]


Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing the exercise demands: its judging method and what it is worth."""

    name: str
    text: str
    points: float
    judge: Callable[[Any, Seen], None]
    shows: str | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A named mistake: how it shows in the evidence, and what to tell whoever made it."""

    name: str
    message: str
    fits: Callable[[Any, Seen], bool]
    shows: str | None
    marks: tuple[str, ...]


def requirement(points: float = 1, *, shows: str | None = None) -> Callable[[Method], Method]:
    """Mark a judging method. Its docstring's first paragraph is the line that the learner reads.

    Args:
        points: What meeting it is worth.
        shows: The step whose timeline is drawn when it is not met.
    """

    def mark(method: Method) -> Method:
        method.__dict__["requirement"] = (points, shows)
        return method

    return mark


def mistake(*, shows: str | None = None, marks: tuple[str, ...] = ()) -> Callable[[Method], Method]:
    """Mark a diagnosis: True when the evidence shows this mistake. Its docstring is the message.

    Args:
        shows: The step whose timeline is drawn with the message.
        marks: The kinds of event to point at in that timeline: `commit`, `sql UPDATE`, or
            `session_open again`.
    """

    def mark(method: Method) -> Method:
        method.__dict__["mistake"] = (shows, marks)
        return method

    return mark


class Exercise:
    """One exercise. The docstring's first paragraph is its requirement as the learner reads it.

    Attributes:
        id: Lesson and name: `03.tell_the_truth`.
        title: A short name for lists.
        needs: The names that the learner defines, and the kind of thing each must be: a class,
            `Callable`, or `Model` for a mapped class.
        after: Exercises that this one stands on.
        hints: From a nudge to nearly the answer; two or three.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[Mapping[str, Any]]
    after: ClassVar[tuple[str, ...]] = ()
    hints: ClassVar[tuple[str, ...]]

    def observe(self, lab: Lab) -> dict[str, Any]:
        """Try the learner's code and write down what it did. Decides nothing."""
        raise NotImplementedError

    @classmethod
    def lesson(cls) -> str:
        """The lesson's number: `03`."""
        return cls.id.partition(".")[0]

    @classmethod
    def statement(cls) -> str:
        """The requirement as the learner reads it."""
        return _paragraph(cls)

    @classmethod
    def points(cls) -> float:
        """What the whole exercise is worth."""
        return sum(one.points for one in cls.requirements())

    @classmethod
    def requirements(cls) -> list[Requirement]:
        """What is demanded, in the order in which it is written."""
        return [
            Requirement(name, _paragraph(method), points, method, shows)
            for name, method, (points, shows) in cls._marked("requirement")
        ]

    @classmethod
    def mistakes(cls) -> list[Mistake]:
        """The named mistakes, in the order in which they are tried."""
        return [
            Mistake(name, " ".join((method.__doc__ or "").split()), method, shows, marks)
            for name, method, (shows, marks) in cls._marked("mistake")
        ]

    @classmethod
    def _marked(cls, mark: str) -> Iterator[tuple[str, Callable[..., Any], Any]]:
        for name, method in vars(cls).items():
            if mark in getattr(method, "__dict__", {}):
                yield name, method, method.__dict__[mark]


class Model:
    """Stands in `needs` for: a class mapped by SQLAlchemy."""


def _paragraph(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
