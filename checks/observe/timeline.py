"""The timeline: what happened while requests were served, in order, as plain data."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, overload

from checks.observe import picture

KINDS = (
    "request",  # method, path
    "session_open",  # session; reopened=True when a closed session was used again
    "checkout",  # connection
    "begin",  # connection; sql where the engine spells it out, such as BEGIN IMMEDIATE
    "sql",  # sql, params, many, ms, rows, connection; failed where the database refused it; task
    # where the driver is async: which asyncio task sent it, counted from 1; blocks=True and where,
    # if the driver is sync and the event loop stood still meanwhile; streamed=True where the rows
    # were asked for in parts
    "savepoint",  # connection, name
    "release",  # connection, name
    "rollback_to",  # connection, name
    "commit",  # connection; failed where the database refused it; blocks and where, as with sql
    "rollback",  # connection
    "error",  # type, message, where: an exception that the app did not handle
    "response",  # status: the first byte has left
    "chunk",  # size: a part of a streamed body; read: rows that the request had fetched by then
    "body",  # size: the last byte has left
    "checkin",  # connection
    "session_close",  # session
    "note",  # text: something the lesson or the app wanted on the record
)


@dataclass(slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: One of `KINDS`.
        at_ms: Milliseconds since the recording began.
        request: Which request it belongs to, from 1; 0 for anything outside a request.
        detail: What there is to know about it, by kind; JSON values only.
    """

    kind: str
    at_ms: float
    request: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """A detail by name; None where this event has no such detail."""
        return self.detail.get(name)


class Timeline(Sequence[Event]):
    """Events in the order in which they happened, and the questions one asks of them."""

    def __init__(
        self,
        events: Iterable[Event] = (),
        clock: Callable[[], float] | None = None,
        serving: Callable[[], int] | None = None,
    ) -> None:
        """Events that happened, or a recording about to begin.

        Args:
            events: What there is already.
            clock: Gives the milliseconds since the recording began.
            serving: Gives the number of the request that its caller serves, 0 outside one.
        """
        self._events = list(events)
        self._clock = clock
        self._serving = serving
        self._lock = threading.Lock()

    # -- making -------------------------------------------------------------------------------
    def now(self) -> float:
        """Milliseconds since the recording began."""
        return self._clock() if self._clock else 0.0

    def add(self, kind: str, request: int = 0, **detail: Any) -> Event:
        """Append an event, stamped by the recording's clock; any thread may."""
        with self._lock:  # so that events stand in the order of their times
            event = Event(kind, round(self.now(), 2), request, detail)
            self._events.append(event)
        return event

    def note(self, text: str) -> None:
        """Put a remark on the record: `seen.note("e-mail sent")` shows when that happened."""
        self.add("note", self._serving() if self._serving else 0, text=str(text))

    @classmethod
    def from_json(cls, data: Iterable[dict[str, Any]]) -> Timeline:
        """The timeline that `to_json` wrote.

        Raises:
            TypeError: an entry is not an event.
        """
        return cls(_event(entry) for entry in data)

    def to_json(self) -> list[dict[str, Any]]:
        """The timeline as JSON values: a list with one object for each event."""
        return [asdict(event) for event in self._events]

    # -- asking -------------------------------------------------------------------------------
    def of(self, *kinds: str) -> Timeline:
        """Only the events of these kinds."""
        for kind in kinds:
            _known(kind)
        return Timeline(event for event in self._events if event.kind in kinds)

    def request(self, number: int) -> Timeline:
        """Only what belongs to one request, counted from 1."""
        return Timeline(event for event in self._events if event.request == number)

    @property
    def kinds(self) -> list[str]:
        """What happened, in order, without details."""
        return [event.kind for event in self._events]

    @property
    def statements(self) -> list[str]:
        """Every SQL statement sent, in order. BEGIN, COMMIT and ROLLBACK are not among them."""
        return [event.detail["sql"] for event in self._events if event.kind == "sql"]

    @property
    def selects(self) -> list[str]:
        """The statements that only read: SELECT, VALUES, and WITH where nothing in it writes."""
        return [sql for sql in self.statements if _reads(sql)]

    @property
    def writes(self) -> list[str]:
        """The statements that write rows: INSERT, UPDATE, DELETE, MERGE, REPLACE."""
        return [sql for sql in self.statements if _writes(sql)]

    @property
    def commits(self) -> int:
        """How many commits the database accepted."""
        return sum(e.kind == "commit" and not e["failed"] for e in self._events)

    def commits_keeping(self, *verbs: str) -> int:
        """How many commits kept something that was written by statements with these verbs.

        Args:
            verbs: `INSERT`, `UPDATE` or `DELETE`; all three where none is named.
        """
        wanted = verbs or ("INSERT", "UPDATE", "DELETE")
        commits, written = 0, set()
        for event in self._events:
            if event.kind == "sql" and event["sql"].upper().startswith(wanted):
                written.add(event["connection"])
            elif event.kind == "rollback":
                written.discard(event["connection"])
            elif event.kind == "commit" and event["connection"] in written:
                written.discard(event["connection"])
                commits += not event["failed"]
        return commits

    @property
    def rollbacks(self) -> int:
        """How many transactions were rolled back."""
        return sum(e.kind == "rollback" for e in self._events)

    @property
    def blocking(self) -> list[str]:
        """What a sync engine sent on the event loop's own thread, COMMIT included.

        While the database was at it, that process served nobody else.
        """
        return [
            event.detail.get("sql", "COMMIT")
            for event in self._events
            if event.detail.get("blocks")
        ]

    @property
    def checked_out(self) -> int:
        """Connections taken from the pool and not given back: anything but 0 is held or leaked."""
        out: list[int] = []
        for event in self._events:
            if event.kind == "checkout":
                out.append(event["connection"])
            elif event.kind == "checkin" and event["connection"] in out:
                out.remove(event["connection"])
        return len(out)

    def held_at(self, kind: str) -> list[int]:
        """How many connections were out at each event of a kind."""
        _known(kind)
        return [self[:place].checked_out for place, one in enumerate(self) if one.kind == kind]

    @property
    def most_tasks(self) -> int:
        """How many asyncio tasks sent statements in one connection's turn, at most.

        A turn goes from its check-out to its check-in; more than 1 is a session that tasks share.
        """
        most = 0
        tasks: dict[Any, set[int]] = {}
        for event in self._events:
            if event.kind == "checkout":
                tasks[event["connection"]] = set()
            elif event.kind == "sql" and event["task"] is not None:
                turn = tasks.setdefault(event["connection"], set())
                turn.add(event["task"])
                most = max(most, len(turn))
        return most

    @property
    def rows(self) -> int:
        """How many rows all statements together brought or changed."""
        return sum(event["rows"] or 0 for event in self._events if event.kind == "sql")

    @property
    def statuses(self) -> list[int]:
        """The status code of each response, in the order in which they left."""
        return [event.detail["status"] for event in self._events if event.kind == "response"]

    @property
    def errors(self) -> list[str]:
        """The type names of the exceptions that left the app, in order."""
        return [event.detail["type"] for event in self._events if event.kind == "error"]

    def order(self, *kinds: str) -> bool:
        """True when all these kinds happened and each one's last stands before the next's first.

        `seen.order("commit", "response")`: everything was committed before the client heard.
        """
        for kind in kinds:
            _known(kind)
        seen = self.kinds
        if any(kind not in seen for kind in kinds):
            return False
        last = {kind: len(seen) - 1 - seen[::-1].index(kind) for kind in kinds}
        return all(last[first] < seen.index(second) for first, second in pairwise(kinds))

    # -- being a sequence ---------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Timeline: ...
    def __getitem__(self, index: int | slice) -> Event | Timeline:
        if isinstance(index, slice):
            return Timeline(self._events[index])
        return self._events[index]

    # -- being looked at ----------------------------------------------------------------------
    def __repr__(self) -> str:
        return picture.as_text(self)

    def _repr_html_(self) -> str:
        return picture.as_html(self)


_LEADING = re.compile(r"^(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_WRITING = re.compile(
    r"(?<!FOR )(?<!FOR NO KEY )\b(?:INSERT|UPDATE|DELETE|MERGE|REPLACE)\b(?!\s*\()"
)


def _start(sql: str) -> str:
    """A statement from its first word on, in capitals."""
    return _LEADING.sub("", sql, count=1).upper()


def _writes(sql: str) -> bool:
    """Whether a statement changes rows, be it in a part of a WITH."""
    start = _start(sql)
    if start.startswith("WITH"):
        return bool(_WRITING.search(_QUOTED.sub("", start)))
    return bool(_WRITING.match(start))


def _reads(sql: str) -> bool:
    return _start(sql).startswith(("SELECT", "VALUES", "WITH")) and not _writes(sql)


def _event(entry: Any) -> Event:
    try:
        event = Event(**entry)
    except TypeError:
        event = Event("", 0.0)
    sound = (
        isinstance(event.kind, str)
        and isinstance(event.at_ms, int | float)
        and isinstance(event.request, int)
        and isinstance(event.detail, dict)
    )
    if not event.kind or not sound:
        raise TypeError(
            "An entry of a timeline is an object with kind, at_ms, request and detail; "
            f"this is not one: {str(entry)[:80]}"
        )
    return event


def _known(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(
            f"There is no event {kind!r} in a timeline; use one of {', '.join(KINDS)}."
        )
