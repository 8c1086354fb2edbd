"""The flight recorder: engine events, session life and an ASGI wrapper, written to a timeline."""

from __future__ import annotations

import linecache
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from checks.observe import tracebacks
from checks.observe.timeline import Event, Timeline

_request: ContextVar[int] = ContextVar("request", default=0)

_SECRET = re.compile(r"passw|secret|token|hash|api_?key", re.IGNORECASE)
_CONTROL = re.compile(
    r"BEGIN\b|SAVEPOINT\b|RELEASE SAVEPOINT\b|ROLLBACK TO SAVEPOINT\b", re.IGNORECASE
)
_SAVEPOINTS = {
    "SAVEPOINT": "savepoint",
    "RELEASE SAVEPOINT": "release",
    "ROLLBACK TO SAVEPOINT": "rollback_to",
}
_STATEMENTS = ("sql", "begin", *_SAVEPOINTS.values())
_ENDINGS = ("commit", "rollback")
_LONGEST_VALUE = 120  # characters of one parameter
_MOST_ROWS = 3  # parameter sets shown of an executemany


def current_request() -> int:
    """The number of the request that the calling code serves; 0 outside one."""
    return _request.get()


def trace(*targets: object) -> Recorder:
    """Record what apps and engines do while a `with` block runs; `as` gives the timeline.

    Args:
        targets: FastAPI or Starlette apps, engines and async engines, in any order and number.

    Raises:
        TypeError: a target is neither an app nor an engine.
    """
    return Recorder(*targets)


class Recorder:
    """Listens while its `with` block runs and leaves everything as it found it."""

    def __init__(self, *targets: object) -> None:
        self._apps: list[Starlette] = []
        self._engines: list[Engine] = []
        for target in targets:
            if isinstance(target, AsyncEngine):
                self._engines.append(target.sync_engine)
            elif isinstance(target, Engine):
                self._engines.append(target)
            elif isinstance(target, Starlette):
                self._apps.append(target)
            else:
                raise TypeError(
                    f"trace() got {type(target).__name__}; give it your FastAPI app and your "
                    "engines: trace(app, engine)."
                )
        self._undo: list[Callable[[], None]] = []
        self._live = False

    def __enter__(self) -> Timeline:
        started = time.perf_counter()
        self.timeline = Timeline(clock=lambda: (time.perf_counter() - started) * 1000)
        self._requests = self._session_count = 0
        self._connections: dict[int, tuple[int, object]] = {}
        self._sessions: WeakKeyDictionary[Session, int] = WeakKeyDictionary()
        self._closed: WeakKeyDictionary[Session, bool] = WeakKeyDictionary()
        self._live = True
        try:
            for engine in self._engines:
                self._listen_to(engine)
            for app in self._apps:
                self._wrap(app)
        except BaseException:
            self._stop()
            raise
        _SessionWatch.add(self)
        self._undo.append(lambda: _SessionWatch.remove(self))
        return self.timeline

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._live = False
        while self._undo:
            self._undo.pop()()

    def _add(self, kind: str, **detail: Any) -> Event:
        return self.timeline.add(kind, _request.get(), **detail)

    # -- engines ------------------------------------------------------------------------------
    def _listen_to(self, engine: Engine) -> None:
        def on(name: str, handler: Callable[..., object]) -> None:
            def listener(*args: Any) -> None:
                if self._live:  # a disposed engine's new pool may keep a listener
                    handler(*args)

            event.listen(engine, name, listener)

            def remove() -> None:
                with suppress(InvalidRequestError):  # the pool it was on is gone
                    event.remove(engine, name, listener)

            self._undo.append(remove)

        on("begin", self._begun)
        for kind in ("commit", "rollback"):
            on(
                kind,
                lambda conn, kind=kind: self._add(kind, connection=self._number(conn)),
            )
        on(
            "checkout",
            lambda dbapi, *_: self._add("checkout", connection=self._numbered(dbapi)),
        )
        on(
            "checkin",
            lambda dbapi, *_: self._add("checkin", connection=self._numbered(dbapi)),
        )
        on("before_cursor_execute", self._before_sql)
        on("after_cursor_execute", self._after_sql)
        on("handle_error", self._sql_failed)

    def _numbered(self, dbapi: object) -> int:
        # The connection itself is kept beside its number, so that its id is not given out again.
        number, _ = self._connections.setdefault(id(dbapi), (len(self._connections) + 1, dbapi))
        return number

    def _number(self, conn: Connection) -> int:
        return self._numbered(conn.connection.dbapi_connection)

    def _begun(self, conn: Connection, sql: str | None = None) -> None:
        """One line for one transaction, whether the engine, its own listener or both say BEGIN."""
        number = self._number(conn)
        last = self.timeline[-1] if self.timeline else None
        if last and last.kind == "begin" and last["connection"] == number:
            last.detail["sql"] = last["sql"] or sql
        else:
            self._add("begin", connection=number, sql=sql)

    def _before_sql(
        self,
        conn: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> None:
        number = self._number(conn)
        if control := _CONTROL.match(statement):
            word = control[0].upper()
            if word == "BEGIN":  # an engine that says BEGIN itself, as SQLite's recipe does
                self._begun(conn, statement)
            else:
                self._add(_SAVEPOINTS[word], connection=number, name=statement.split()[-1])
            return
        compiled = getattr(context, "compiled_parameters", None)
        sets = compiled if compiled else parameters if executemany else [parameters]
        shown = [_shown(one) for one in sets[:_MOST_ROWS]]
        recorded = self._add(
            "sql",
            sql=" ".join(statement.split()),
            params=shown if executemany else (shown[0] if shown else {}),
            many=len(sets) if executemany else None,
            connection=number,
            ms=None,
            rows=None,
        )
        if context is None:  # a sequence or default fetched on its own
            return
        context._recorded_by = {
            **getattr(context, "_recorded_by", {}),
            id(self): recorded,
        }

    def _after_sql(
        self,
        conn: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,
    ) -> None:
        recorded: Event | None = getattr(context, "_recorded_by", {}).get(id(self))
        if recorded is None:
            return
        now = self.timeline._clock() if self.timeline._clock else 0.0
        recorded.detail["ms"] = round(now - recorded.at_ms, 2)
        if cursor.description:
            recorded.detail["rows"] = 0
            context.cursor = _CountingCursor(context.cursor, recorded)
        elif cursor.rowcount >= 0:
            recorded.detail["rows"] = cursor.rowcount

    def _sql_failed(self, context: ExceptionContext) -> None:
        """Mark the statement, commit or rollback that the database refused."""
        error = context.sqlalchemy_exception or context.original_exception
        message = first_line(str(context.original_exception))
        refused = _ENDINGS if context.statement is None else _STATEMENTS
        for past in reversed(self.timeline):
            if past.request == _request.get() and past.kind in refused:
                past.detail["failed"] = f"{type(error).__name__}: {message}"
                break

    # -- apps ---------------------------------------------------------------------------------
    def _wrap(self, app: Starlette) -> None:
        stack, router, routed = (
            app.middleware_stack,
            app.router,
            app.router.middleware_stack,
        )
        outer = stack or app.build_middleware_stack()

        async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await outer(scope, receive, send)
                return
            self._requests += 1
            token = _request.set(self._requests)
            query = scope.get("query_string", b"").decode("latin-1")
            path = scope["path"] + (f"?{query}" if query else "")
            self._add("request", method=scope["method"], path=path)

            async def spy(message: Message) -> None:
                await send(message)
                if message["type"] == "http.response.start":
                    self._add("response", status=message["status"])
                elif message["type"] == "http.response.body":
                    kind = "chunk" if message.get("more_body") else "body"
                    if kind == "body" or message.get("body"):
                        self._add(kind, size=len(message.get("body", b"")))

            try:
                await outer(scope, receive, spy)
            finally:
                _request.reset(token)

        app.middleware_stack = cast(Any, recorded)
        router.middleware_stack = cast(Any, self._watch_errors(routed))

        def put_back() -> None:
            app.middleware_stack = stack
            router.middleware_stack = cast(Any, routed)

        self._undo.append(put_back)

    def _watch_errors(self, inner: ASGIApp) -> ASGIApp:
        """Inside the server's own error handling, an exception is seen before its 500 is."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await inner(scope, receive, send)
            except Exception as error:
                if scope["type"] == "http":
                    self._add(
                        "error",
                        type=type(error).__name__,
                        message=first_line(str(error)),
                        where=where(error),
                    )
                raise

        return watched

    # -- sessions -----------------------------------------------------------------------------
    def _concerns(self, session: Session) -> bool:
        bind = session.bind
        return bind is None or bind.engine in self._engines

    def session_opened(self, session: Session) -> None:
        """A session object was made."""
        if self._concerns(session):
            self._session_count += 1
            self._sessions[session] = self._session_count
            self._add("session_open", session=self._session_count)

    def session_used(self, session: Session) -> None:
        """A session began a transaction; worth a line only when it had been closed before."""
        if self._closed.pop(session, False):
            self._add("session_open", session=self._sessions[session], reopened=True)

    def session_closed(self, session: Session) -> None:
        """A session was closed; closing twice is recorded once."""
        if session in self._sessions and session not in self._closed:
            self._closed[session] = True
            self._add("session_close", session=self._sessions[session])


class _CountingCursor:
    """Counts the rows that are fetched, since SQLite does not say how many a SELECT found."""

    def __init__(self, cursor: Any, recorded: Event) -> None:
        self._cursor, self._recorded = cursor, recorded

    def fetchone(self) -> Any:
        row = self._cursor.fetchone()
        if row is not None:
            self._recorded.detail["rows"] += 1
        return row

    def fetchmany(self, *args: Any) -> Any:
        rows = self._cursor.fetchmany(*args)
        self._recorded.detail["rows"] += len(rows)
        return rows

    def fetchall(self) -> Any:
        rows = self._cursor.fetchall()
        self._recorded.detail["rows"] += len(rows)
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class _SessionWatch:
    """Session has no event for being made or closed, so its methods are wrapped while needed."""

    recorders: tuple[Recorder, ...] = ()
    _originals: tuple[Any, Any] | None = None
    _lock = threading.Lock()

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


# -- what may be shown -------------------------------------------------------------------------
def _shown(params: Any) -> Any:
    """Parameters as JSON values, with what looks like a secret left out."""
    if isinstance(params, Mapping):
        return {
            str(name): "•••" if _SECRET.search(str(name)) else _plain(value)
            for name, value in params.items()
        }
    if isinstance(params, Sequence) and not isinstance(params, str | bytes):
        return [_plain(value) for value in params]
    return _plain(params)


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = value if type(value) is str else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def first_line(text: str) -> str:
    """A text's first line, at most 300 characters of it."""
    return text.strip().splitlines()[0][:300] if text.strip() else ""


_LEARNERS = re.compile(r"ipykernel_\d+|<ipython-input|<cell")


def is_learners(filename: str) -> bool:
    """True for code typed into a notebook cell, by the name that its compiler gave it."""
    return bool(_LEARNERS.search(filename))


def where(error: BaseException) -> str | None:
    """The learner's own line that an exception passed through last, or None.

    The deepest frame that belongs to a notebook cell or, outside a notebook, to no installed
    package: `line 12: user.books.append(book)`.
    """
    found = None
    walk = error.__traceback__
    tracebacks.keep(error)
    while walk is not None:
        name = walk.tb_frame.f_code.co_filename
        if is_learners(name):
            found = (name, walk.tb_lineno)
        walk = walk.tb_next
    if found is None:
        return None
    line = linecache.getline(*found).strip()
    return f"line {found[1]}: {line}" if line else f"line {found[1]} of {Path(found[0]).name}"
