"""How the lab arranges interruptions and faults, and quiet meanwhile."""

from __future__ import annotations

import gc
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine

from checks.errors import StandstillError
from checks.observe.evidence import plain


def begin(act: Callable[[], None]) -> Callable[[float], bool]:
    """Begin what may have to wait for its beginner; gives a way to ask whether it is done."""
    thread = threading.Thread(target=act, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # a web page has one thread
        return _in_place(act)

    def done(seconds: float) -> bool:
        thread.join(seconds)
        return not thread.is_alive()

    return done


def _in_place(act: Callable[[], None]) -> Callable[[float], bool]:
    """Without threads: what cannot get on beside its beginner is tried again when asked for."""
    finished = False

    def done(seconds: float) -> bool:
        nonlocal finished
        if not finished:
            with suppress(StandstillError):
                act()
                finished = True
        return finished

    return done


@contextmanager
def loggers_are_quiet() -> Iterator[None]:
    """What goes wrong is on the card; a pool or a loop would log its traceback beside it."""
    loggers = [logging.getLogger(name) for name in ("sqlalchemy.pool", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def replaced(dialect: Any, **methods: Callable[..., Any]) -> Iterator[None]:
    """A dialect with methods shadowed on the instance; each is given the dialect first."""

    def bound(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: method(dialect, *args, **options)

    before = {name: vars(dialect)[name] for name in methods if name in vars(dialect)}
    vars(dialect).update({name: bound(method) for name, method in methods.items()})
    try:
        yield
    finally:
        for name in methods:
            del vars(dialect)[name]
        vars(dialect).update(before)


def watched(
    real: Callable[..., Any],
    name: str,
    with_self: bool,
    calls: list[dict[str, Any]],
    failing: Exception | None,
) -> Callable[..., Any]:
    """A method that writes down its calls, the object it is called on left out."""

    def call(*args: Any, **options: Any) -> Any:
        given = [*(args[1:] if with_self else args), *options.values()]
        made: dict[str, Any] = {"method": name, "args": plain(given), "value": None}
        calls.append(made)
        if failing is not None:
            raise failing
        value = real(*args, **options)
        made["value"] = plain(value)
        return value

    return call


@contextmanager
def between_read_and_write(
    engines: Sequence[Engine | AsyncEngine], act: Callable[[], None]
) -> Iterator[None]:
    """Call `act` once, right before the first write that follows a read."""
    has_read = done = False

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def execute(dialect: Any, cursor: Any, statement: str, *rest: Any) -> None:
            nonlocal has_read, done
            word = statement.lstrip().upper()
            if has_read and not done and word.startswith(("INSERT", "UPDATE", "DELETE")):
                done = True
                act()
            real(cursor, statement, *rest)
            has_read = has_read or word.startswith(("SELECT", "WITH"))

        return execute

    with ExitStack() as stack:
        for engine in engines:
            real = engine.dialect.do_execute
            stack.enter_context(replaced(engine.dialect, do_execute=wrap(real)))
        yield


@contextmanager
def short_lock_wait(engines: Sequence[Engine | AsyncEngine], patience: int) -> Iterator[None]:
    """Connections that SQLite hands out meanwhile wait so many milliseconds for a lock."""
    usual: dict[int, tuple[Any, int]] = {}

    def shorten(dbapi: Any, *_: Any) -> None:
        with suppress(sqlite3.Error):  # it is dead: whoever took it will be told so
            cursor = dbapi.cursor()
            cursor.execute("PRAGMA busy_timeout")
            usual[id(dbapi)] = (dbapi, cursor.fetchone()[0])
            cursor.execute(f"PRAGMA busy_timeout = {patience}")
            cursor.close()

    def put_back(dbapi: Any, *_: Any) -> None:
        if dbapi is not None and id(dbapi) in usual:
            _, milliseconds = usual.pop(id(dbapi))
            cursor = dbapi.cursor()
            cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
            cursor.close()

    with ExitStack() as stack:
        for engine in map(sync_engine_of, engines):
            if engine.dialect.name == "sqlite":
                event.listen(engine, "checkout", shorten)
                stack.callback(stop_listening, engine, "checkout", shorten)
                # First, so that the one which shortened last puts back first.
                event.listen(engine, "checkin", put_back, insert=True)
                stack.callback(stop_listening, engine, "checkin", put_back)
        yield
    for dbapi, _ in list(usual.values()):  # never given back
        if isinstance(dbapi, sqlite3.Connection):
            with suppress(sqlite3.Error):  # it is closed, or belongs to another thread
                put_back(dbapi)


@contextmanager
def no_garbage_collected() -> Iterator[None]:
    """A session that nobody closes stays open: a collection would close it, now and then."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def sync_engine_of(engine: Engine | AsyncEngine) -> Engine:
    """The engine that events are about: an async one's own sync engine."""
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


def stop_listening(engine: Engine, name: str, listener: Callable[..., None]) -> None:
    """Take a listener off an engine, whatever has become of its pool meanwhile."""
    with suppress(InvalidRequestError):  # the pool it was on has been disposed of
        event.remove(engine, name, listener)


def kill_those_that_wait(engine: Engine) -> None:
    """Close every connection that waits in a pool, behind the pool's back."""
    waiting = getattr(engine.pool, "checkedin", int)()
    proxies = [engine.raw_connection() for _ in range(waiting)]
    dying: list[Any] = [proxy.driver_connection for proxy in proxies]
    for proxy in proxies:
        proxy.close()  # back into the pool; only then does it die
    for connection in dying:
        connection.close()
