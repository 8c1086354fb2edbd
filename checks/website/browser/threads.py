"""Threads in name only, for what asks in which one it runs: SQLite's driver and SQLAlchemy's pool.

A connection that was opened in one thread and is used in another raises, and a database in memory
is another one in each thread, exactly where they do so with threads that are real.
"""

from __future__ import annotations

import importlib
import itertools
import sqlite3
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

from checks.errors import StandstillError

_numbers = itertools.count(1)
_running = [next(_numbers)]


def new() -> int:
    """A number that no thread has had."""
    return next(_numbers)


@contextmanager
def inside(thread: int) -> Iterator[None]:
    """What the block does, it does in this thread."""
    _running.append(thread)
    try:
        yield
    finally:
        _running.pop()


class Local:
    """Stand in for `threading.local`."""

    def __init__(self) -> None:
        vars(self)["_values"] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self._here()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._here()[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._here()[name]
        except KeyError:
            raise AttributeError(name) from None

    def _here(self) -> dict[str, Any]:
        values: dict[int, dict[str, Any]] = vars(self)["_values"]
        return values.setdefault(_running[-1], {})


class Lock:
    """Stand in for `threading.Lock`: to wait for one that is held would be to wait for ever."""

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it.

        Raises:
            StandstillError: it is held, and there is no other thread to give it back.
        """
        if not self._held:
            self._held = True
            return True
        if blocking and timeout < 0:
            raise StandstillError(
                "This lock is held already, and a web page has no second thread to release it."
            )
        if blocking:
            time.sleep(timeout)
        return False

    def release(self) -> None:
        """Give it back."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


def _at_home(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that refuses to be called in another thread than its object's own."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **options: Any) -> Any:
        home, here = self.home, _running[-1]
        if home is not None and home != here:
            raise sqlite3.ProgrammingError(
                "SQLite objects created in a thread can only be used in that same thread. "
                f"The object was created in thread id {home} and this is thread id {here}."
            )
        return method(self, *args, **options)

    return guarded


class _Cursor(sqlite3.Cursor):
    home: int | None

    def __init__(self, connection: _Connection) -> None:
        super().__init__(connection)
        self.home = connection.home

    execute = _at_home(sqlite3.Cursor.execute)
    executemany = _at_home(sqlite3.Cursor.executemany)
    executescript = _at_home(sqlite3.Cursor.executescript)
    fetchone = _at_home(sqlite3.Cursor.fetchone)
    fetchmany = _at_home(sqlite3.Cursor.fetchmany)
    fetchall = _at_home(sqlite3.Cursor.fetchall)


class _Connection(sqlite3.Connection):
    home: int | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.home = _running[-1] if options.get("check_same_thread", True) else None

    def _cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    cursor = _at_home(_cursor)
    close = _at_home(sqlite3.Connection.close)
    commit = _at_home(sqlite3.Connection.commit)
    rollback = _at_home(sqlite3.Connection.rollback)
    execute = _at_home(sqlite3.Connection.execute)
    executemany = _at_home(sqlite3.Connection.executemany)
    executescript = _at_home(sqlite3.Connection.executescript)
    create_function = _at_home(sqlite3.Connection.create_function)


def install() -> None:
    """Put the stand-ins in place."""
    connect = sqlite3.connect

    @wraps(connect)
    def in_a_thread(*args: Any, **options: Any) -> sqlite3.Connection:
        if len(args) < 5:  # more, by position, is nobody's way, and would say it twice
            options.setdefault("factory", _Connection)
        return cast(sqlite3.Connection, connect(*args, **options))

    for module in ("sqlite3", "sqlite3.dbapi2"):
        cast(Any, importlib.import_module(module)).connect = in_a_thread
    threading.Lock = cast(Any, Lock)
    pools = cast(Any, importlib.import_module("sqlalchemy.pool.impl"))
    pools.threading = types.SimpleNamespace(**{**vars(threading), "local": Local})
