"""The flight recorder: engine events, session life and an ASGI wrapper, written to a timeline."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import count
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from checks.observe import shown
from checks.observe.raised import described, said, sent_from, where
from checks.observe.timeline import Event, Timeline

_CONTROL = re.compile(
    r"BEGIN\b|SAVEPOINT\b|RELEASE SAVEPOINT\b|ROLLBACK TO SAVEPOINT\b", re.IGNORECASE
)
_SAVEPOINTS = {
    "SAVEPOINT": "savepoint",
    "RELEASE SAVEPOINT": "release",
    "ROLLBACK TO SAVEPOINT": "rollback_to",
}
_TRANSACTION = ("begin", "commit", "rollback")
_MOST_SETS = 3  # parameter sets kept of an executemany
_ASK = "give it your FastAPI app and your engines: trace(app, engine)."


def trace(*targets: object) -> Recorder:
    """Record what apps and engines do while a `with` block runs; `as` gives the timeline.

    A request takes some tenths of a millisecond longer while it is recorded; your machine's figure:
    `python -m checks.benchmarks.recorder`.

    What looks like a secret is left out: parameters and query values whose names speak of one and,
    in SQL that the app spelt out itself and that speaks of one, all values.

    Args:
        targets: FastAPI or Starlette apps, engines and async engines, in any order and number.

    Raises:
        TypeError: a target is neither an app nor an engine, or there is none.
    """
    return Recorder(*targets)


@dataclass(slots=True)
class _Request:
    """A request as one recorder counts it."""

    number: int
    error: BaseException | None = None  # the last one written down, so that it is so only once
    sent: list[Event] = field(default_factory=list)  # its statements, whose rows are counted

    @property
    def rows_read(self) -> int:
        """Rows fetched so far, by all its SELECTs."""
        return sum(one["rows"] or 0 for one in self.sent)


# What is being served here, by the key of each recorder that watches.
_serving: ContextVar[Mapping[int, _Request]] = ContextVar("serving", default=MappingProxyType({}))
_keys = count(1)


class Recorder:
    """Listens while its `with` block runs and leaves everything as it found it."""

    def __init__(self, *targets: object) -> None:
        apps: list[Starlette] = []
        engines: list[Engine] = []
        if not targets:
            raise TypeError(f"trace() got nothing to record; {_ASK}")
        for target in targets:
            if isinstance(target, AsyncEngine):
                engines.append(target.sync_engine)
            elif isinstance(target, Engine):
                engines.append(target)
            elif isinstance(target, Starlette):
                apps += _with_mounted(target)
            else:
                raise TypeError(f"trace() got {described(target)}; {_ASK}")
        self._apps = list(dict.fromkeys(apps))
        self._engines = list(dict.fromkeys(engines))
        self._undo: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._live = False
        self._in_flight = 0

    def __enter__(self) -> Timeline:
        if self._live or self._undo:
            raise RuntimeError("This trace is in use already; write trace(...) anew.")
        started = time.perf_counter()
        self.key = next(_keys)
        self.timeline = Timeline(
            clock=lambda: (time.perf_counter() - started) * 1000, serving=self._number_served
        )
        self._requests, self._session_numbers, self._task_numbers = count(1), count(1), count(1)
        self._connections: dict[int, tuple[int, object]] = {}
        self._out: dict[int, int] = {}
        self._sessions: WeakKeyDictionary[Session, int] = WeakKeyDictionary()
        self._closed: WeakKeyDictionary[Session, bool] = WeakKeyDictionary()
        self._tasks: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._live = True
        try:
            for engine in self._engines:
                self._listen_to(engine)
            for app in self._apps:
                _Tap.add(app, self)
                self._undo.append(partial(_Tap.remove, app, self))
            _SessionWatch.add(self)
            self._undo.append(partial(_SessionWatch.remove, self))
        except BaseException:
            self._stop()
            raise
        return self.timeline

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        """Write nothing more; leave once no request is under way.

        A listener must not be removed while another thread is calling it.
        """
        with self._lock:
            self._live = False
            leave = not self._in_flight
        if leave:
            self._leave()

    def _leave(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._connections.clear()

    def _add(self, kind: str, request: _Request | None = None, **detail: Any) -> Event:
        if not self._live:
            return Event(kind, 0.0, 0, detail)
        return self.timeline.add(
            kind, request.number if request else self._number_served(), **detail
        )

    def _number_served(self) -> int:
        request = _serving.get().get(self.key)
        return request.number if request else 0

    # -- engines ------------------------------------------------------------------------------
    def _listen_to(self, engine: Engine) -> None:
        def on(name: str, handler: Callable[..., object]) -> None:
            def listener(*args: Any) -> None:
                if self._live:
                    handler(*args)

            event.listen(engine, name, listener)

            def remove() -> None:
                with suppress(InvalidRequestError):  # the pool it was on is gone
                    event.remove(engine, name, listener)

            self._undo.append(remove)

        on("begin", self._begun)
        on("commit", self._committed)
        on("rollback", lambda conn: self._add("rollback", connection=self._number(conn)))
        on("checkout", self._taken)
        on("checkin", self._given_back)
        on("before_cursor_execute", self._before_sql)
        on("after_cursor_execute", self._after_sql)
        on("handle_error", self._refused)

    def _taken(self, dbapi: object, record: object, proxy: object) -> None:
        number = self._out[id(record)] = self._numbered(dbapi)
        self._add("checkout", connection=number)

    def _given_back(self, dbapi: object | None, record: object) -> None:
        number = self._out.pop(id(record), None)
        if dbapi is not None:  # else it was invalidated: it broke, or was thrown away
            number = self._numbered(dbapi)
        self._add("checkin", connection=number)

    def _numbered(self, dbapi: object) -> int:
        # The connection itself is kept beside its number, so that its id is not given out again.
        with self._lock:
            number, _ = self._connections.setdefault(id(dbapi), (len(self._connections) + 1, dbapi))
        return number

    def _number(self, conn: Connection) -> int | None:
        if conn.closed or conn.invalidated:  # asking it for its connection would raise
            return None
        return self._numbered(conn.connection.dbapi_connection)

    def _last_on(self, connection: int | None) -> Event | None:
        found = (past for past in reversed(self.timeline) if past["connection"] == connection)
        return next(found, None) if connection else None

    def _begun(self, conn: Connection, sql: str | None = None) -> Event:
        """One line for one transaction, whether the engine, its own listener or both say BEGIN."""
        number = self._number(conn)
        last = self._last_on(number)
        if last and last.kind == "begin" and not last["failed"]:
            last.detail["sql"] = last["sql"] or sql
            return last
        return self._add("begin", connection=number, sql=sql)

    def _committed(self, conn: Connection) -> None:
        self._add("commit", connection=self._number(conn), **self._blocking(conn))

    def _blocking(self, conn: Connection) -> dict[str, Any]:
        """What there is to add where the event loop stands still until the database answers.

        That is so when a sync engine is used on the loop's own thread. Only of requests: what a
        notebook's cell sends itself, it sends on the notebook's loop, and nobody minds.
        """
        on_a_loop = asyncio._get_running_loop() is not None
        if not on_a_loop or conn.dialect.is_async or not self._number_served():
            return {}
        return {"blocks": True, "where": sent_from()}

    def _before_sql(
        self,
        conn: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> None:
        sent: _Sent | None = getattr(context, "_sent", {}).get(self.key)
        done = sent.sets if sent else 0
        sets = _sets(statement, parameters, context, executemany, done)
        recorded = self._statement(conn, statement, sets, executemany, context)
        if context is not None:
            # Kept with the execution itself: it may be another thread's turn before it is done.
            known = getattr(context, "_sent", {})
            context._sent = {**known, self.key: _Sent(recorded, done + len(sets))}

    def _statement(
        self, conn: Connection, statement: str, sets: Sequence[Any], many: bool, context: Any
    ) -> Event:
        number = self._number(conn)
        if control := _CONTROL.match(statement):
            word = control[0].upper()
            if word == "BEGIN":  # an engine that says BEGIN itself, as SQLite's recipe does
                return self._begun(conn, statement)
            return self._add(_SAVEPOINTS[word], connection=number, name=statement.split()[-1])
        own = context is None or context.is_text
        withheld = own and shown.speaks_of_a_secret(statement)
        given = [shown.parameters(one, withheld) for one in sets[:_MOST_SETS]]
        streamed = context is not None and context.execution_options.get("stream_results")
        recorded = self._add(
            "sql",
            sql=shown.one_line(statement),
            params=given if many else (given[0] if given else {}),
            many=len(sets) if many else None,
            connection=number,
            ms=None,
            rows=None,
            **self._sent_by(conn),
            **self._blocking(conn),
        )
        if streamed:
            recorded.detail["streamed"] = True
        if request := _serving.get().get(self.key):
            request.sent.append(recorded)
        return recorded

    def _sent_by(self, conn: Connection) -> dict[str, Any]:
        """The number of the task that is running, as a detail; none with a sync driver."""
        task = None
        if conn.dialect.is_async:
            with suppress(RuntimeError):  # no loop here: the driver will have its say on that
                task = asyncio.current_task()
        if task is None:
            return {}
        if task not in self._tasks:
            self._tasks[task] = next(self._task_numbers)
        return {"task": self._tasks[task]}

    def _after_sql(
        self,
        conn: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> None:
        sent: _Sent | None = getattr(context, "_sent", {}).get(self.key)
        if sent is None or sent.event.kind != "sql":
            return
        recorded = sent.event
        recorded.detail["ms"] = round(self.timeline.now() - recorded.at_ms, 2)
        if not cursor.description:
            if cursor.rowcount >= 0:
                recorded.detail["rows"] = cursor.rowcount
            return
        recorded.detail["rows"] = 0
        if executemany:  # INSERT ... RETURNING in batches: SQLAlchemy fetches each for itself
            _count_returned(context, recorded)
        else:
            context.cursor = _CountingCursor(context.cursor, recorded)

    def _refused(self, failure: ExceptionContext) -> None:
        """Mark the statement, begin, commit or rollback that the database refused."""
        refused: Event | None = None
        if failure.execution_context is not None:
            sent = getattr(failure.execution_context, "_sent", {}).get(self.key)
            refused = sent.event if sent else None
        elif failure.statement is None and failure.connection is not None:
            last = self._last_on(self._number(failure.connection))
            refused = last if last and last.kind in _TRANSACTION else None
        if refused:  # else it never reached the database: no connection, or a parameter missing
            error = failure.sqlalchemy_exception or failure.original_exception
            refused.detail["failed"] = f"{type(error).__name__}: {said(failure.original_exception)}"

    # -- requests -----------------------------------------------------------------------------
    def request_begins(self, scope: Scope) -> _Request:
        """A request reached an app."""
        with self._lock:
            self._in_flight += 1
            request = _Request(next(self._requests))
        self._add("request", request, method=scope["method"], path=shown.path(scope))
        return request

    def request_ends(self) -> None:
        """The app is done with a request, background tasks included."""
        with self._lock:
            self._in_flight -= 1
            leave = not self._live and not self._in_flight
        if leave:
            self._leave()

    def message_sent(self, request: _Request, message: Message) -> None:
        """A part of the response has left."""
        if message["type"] == "http.response.start":
            self._add("response", request, status=message["status"])
        elif message["type"] == "http.response.body":
            size = len(message.get("body", b""))
            if not message.get("more_body"):
                self._add("body", request, size=size)
            elif size:
                self._add("chunk", request, size=size, read=request.rows_read)

    def app_failed(self, error: Exception) -> None:
        """The app let an exception out; it may pass here several times."""
        request = _serving.get().get(self.key)
        if request:
            if request.error is error:
                return
            request.error = error
        self._add(
            "error", request, type=type(error).__name__, message=said(error), where=where(error)
        )

    # -- sessions -----------------------------------------------------------------------------
    def _concerns(self, session: Session) -> bool:
        if session.bind is None:
            return True
        # An engine's variants (`engine.execution_options(...)`) share its pool.
        return any(session.bind.engine.pool is engine.pool for engine in self._engines)

    def session_opened(self, session: Session) -> None:
        """A session object was made."""
        if self._concerns(session):
            number = self._sessions[session] = next(self._session_numbers)
            self._add("session_open", session=number)

    def session_used(self, session: Session) -> None:
        """A session began a transaction; worth a line only when it had been closed before."""
        if self._closed.pop(session, False):
            self._add("session_open", session=self._sessions[session], reopened=True)

    def session_closed(self, session: Session) -> None:
        """A session was closed; closing twice is recorded once."""
        if session in self._sessions and session not in self._closed:
            self._closed[session] = True
            self._add("session_close", session=self._sessions[session])


@dataclass(slots=True)
class _Sent:
    """A statement on its way: its line, and how many sets of parameters are used up."""

    event: Event
    sets: int


def _sets(
    statement: str, parameters: Any, context: Any, executemany: bool, done: int
) -> Sequence[Any]:
    """The parameter sets of what is sent now, named where SQLAlchemy knows their names.

    Args:
        statement: The SQL.
        parameters: What is sent with it.
        context: SQLAlchemy's execution context, if the statement has one.
        executemany: Whether it is sent once for several sets.
        done: How many sets of the same execution have been sent before.
    """
    named: Sequence[Any] = getattr(context, "compiled_parameters", None) or ()
    if not named:
        return cast("Sequence[Any]", parameters) if executemany else [parameters]
    if not executemany:
        return named
    if statement == context.statement and parameters is context.parameters:
        return named
    if parameters is context.parameters[done]:
        return named[done : done + 1]  # "insertmanyvalues", one row at a time
    page = context.execution_options.get(
        "insertmanyvalues_page_size", context.dialect.insertmanyvalues_page_size
    )
    limit = context.dialect.insertmanyvalues_max_parameters
    if limit:
        page = min(page, limit // max(1, len(named[0])))
    return named[done : done + page]


def _count_returned(context: Any, recorded: Event) -> None:
    """Count the rows of the batch just sent, once SQLAlchemy fetches them."""
    if "_batch_of" not in vars(context):
        fetch = context.fetchall_for_returning
        context._batch_of = []

        def counted(cursor: Any) -> Any:
            rows = fetch(cursor)
            while context._batch_of:  # one for each recorder
                context._batch_of.pop().detail["rows"] = len(rows)
            return rows

        context.fetchall_for_returning = counted
    context._batch_of.append(recorded)


class _CountingCursor:
    """Counts the rows that are fetched, since SQLite does not say how many a SELECT found.

    Keeps none of them, and passes everything else on: a server-side cursor stays one.
    """

    __slots__ = ("_cursor", "_recorded")

    def __init__(self, cursor: Any, recorded: Event) -> None:
        object.__setattr__(self, "_cursor", cursor)
        object.__setattr__(self, "_recorded", recorded)

    def fetchone(self) -> Any:
        row = self._cursor.fetchone()
        if row is not None:
            self._recorded.detail["rows"] += 1
        return row

    def fetchmany(self, *args: Any, **options: Any) -> Any:
        rows = self._cursor.fetchmany(*args, **options)
        self._recorded.detail["rows"] += len(rows)
        return rows

    def fetchall(self) -> Any:
        rows = self._cursor.fetchall()
        self._recorded.detail["rows"] += len(rows)
        return rows

    def __iter__(self) -> Any:
        return iter(self.fetchone, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._cursor, name, value)


# -- apps --------------------------------------------------------------------------------------
def _with_mounted(app: Starlette) -> list[Starlette]:
    """An app and the apps mounted in it: each answers its own failures."""
    mounted = [route.app for route in app.routes if isinstance(route, Mount)]
    inner = [one for sub in mounted if isinstance(sub, Starlette) for one in _with_mounted(sub)]
    return [app, *inner]


class _Tap:
    """Stands in an app's way while it is recorded: one, however many recorders there are."""

    _all: ClassVar[dict[Starlette, _Tap]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _SEEN = "dog_eared.recorders"  # in a request's scope: who has counted it

    @classmethod
    def add(cls, app: Starlette, recorder: Recorder) -> None:
        """Let a recorder see the requests of an app."""
        with cls._lock:
            tap = cls._all.get(app)
            if tap is None:
                tap = cls._all[app] = cls(app)
            tap._recorders = (*tap._recorders, recorder)

    @classmethod
    def remove(cls, app: Starlette, recorder: Recorder) -> None:
        """Let it see them no longer; the last one to go puts the app back as it was."""
        with cls._lock:
            tap = cls._all[app]
            tap._recorders = tuple(one for one in tap._recorders if one is not recorder)
            if not tap._recorders:
                del cls._all[app]
                tap._put_back()

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._recorders: tuple[Recorder, ...] = ()
        self._stack: ASGIApp | None = None
        self._inner: ASGIApp | None = None
        self._recorded: Any = self._serve  # kept, since each look at a method makes a new one
        self._build = app.build_middleware_stack
        if app.middleware_stack is None:
            # Not used yet: middleware may still be added, so its stack is built when it would be.
            app.build_middleware_stack = self._built  # type: ignore[method-assign]
        else:
            app.middleware_stack = self._tapped(app.middleware_stack)

    def _built(self) -> Any:
        return self._tapped(self._build())

    def _tapped(self, stack: ASGIApp) -> Any:
        self._stack = stack
        if isinstance(stack, ServerErrorMiddleware):
            # Inside it an exception that nobody handled is seen before its 500 is sent.
            self._inner, stack.app = stack.app, self._watch
        return self._recorded

    def _put_back(self) -> None:
        vars(self._app).pop("build_middleware_stack", None)
        if self._inner is not None:
            cast(ServerErrorMiddleware, self._stack).app = self._inner
        if self._app.middleware_stack is self._recorded:
            self._app.middleware_stack = cast(Any, self._stack)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        stack = cast(ASGIApp, self._stack)
        counted: frozenset[int] = scope.get(self._SEEN, frozenset())
        watching = [one for one in self._recorders if one.key not in counted]
        if scope["type"] != "http" or not watching:
            await stack(scope, receive, send)
            return
        scope[self._SEEN] = counted | {one.key for one in watching}
        serving = [(recorder, recorder.request_begins(scope)) for recorder in watching]

        async def spy(message: Message) -> None:
            await send(message)
            for recorder, request in serving:
                recorder.message_sent(request, message)

        token = _serving.set({**_serving.get(), **{r.key: request for r, request in serving}})
        try:
            await stack(scope, receive, spy)
        except Exception as error:
            for recorder in watching:
                recorder.app_failed(error)
            raise
        finally:
            with suppress(ValueError):  # dropped half-way, and cleaned up by somebody else
                _serving.reset(token)
            for recorder, request in serving:
                request.error = None  # nor keep its frames alive
                recorder.request_ends()

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await cast(ASGIApp, self._inner)(scope, receive, send)
        except Exception as error:
            if scope["type"] == "http":
                for recorder in self._recorders:
                    recorder.app_failed(error)
            raise


# -- sessions ----------------------------------------------------------------------------------
class _SessionWatch:
    """Session has no event for being made or closed, so its methods are wrapped while needed."""

    recorders: ClassVar[tuple[Recorder, ...]] = ()
    _originals: ClassVar[tuple[Any, Any] | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def add(cls, recorder: Recorder) -> None:
        with cls._lock:
            if not cls.recorders:
                cls._install()
            cls.recorders = (*cls.recorders, recorder)

    @classmethod
    def remove(cls, recorder: Recorder) -> None:
        with cls._lock:
            cls.recorders = tuple(one for one in cls.recorders if one is not recorder)
            if not cls.recorders and cls._originals:
                Session.__init__, Session.close = cls._originals  # type: ignore[method-assign]
                cls._originals = None
                event.remove(Session, "after_begin", cls._used)

    @classmethod
    def _install(cls) -> None:
        init, close = Session.__init__, Session.close
        cls._originals = (init, close)

        @wraps(init)
        def recorded_init(self: Session, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **kwargs)
            for recorder in cls.recorders:
                recorder.session_opened(self)

        @wraps(close)
        def recorded_close(self: Session) -> None:
            close(self)
            for recorder in cls.recorders:
                recorder.session_closed(self)

        Session.__init__, Session.close = recorded_init, recorded_close  # type: ignore[method-assign]
        event.listen(Session, "after_begin", cls._used)

    @staticmethod
    def _used(session: Session, transaction: object, connection: object) -> None:
        for recorder in _SessionWatch.recorders:
            recorder.session_used(session)
