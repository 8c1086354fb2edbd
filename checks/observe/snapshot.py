"""The learner's database as it was, put back whatever happened in between."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

RunAsync = Callable[[Callable[[], Awaitable[Any]]], Any]

_PATIENCE = 1.0  # seconds to wait for a lock


class ObstacleError(Exception):
    """Something of the learner's that stands in the way of observing, as a sentence for them."""


class Snapshot(Protocol):
    """A database's content at one moment."""

    def restore(self) -> None:
        """Put the content back.

        Raises:
            ObstacleError: the database is locked.
        """


def take(engine: Engine | AsyncEngine, run: RunAsync) -> Snapshot | None:
    """Keep the content of an engine's database; None where it is not SQLite.

    Args:
        engine: A SQLite engine, sync or async, on a file or in memory.
        run: Runs an async function to its end on an event loop.

    Raises:
        ObstacleError: the database cannot be read, or somebody holds a lock on it.
    """
    if engine.dialect.name != "sqlite":
        return None
    if path := file_of(engine):
        return _File(path, engine)
    if isinstance(engine, AsyncEngine):
        return _AsyncMemory(engine, run)
    return _Memory(engine)


def file_of(engine: Engine | AsyncEngine) -> Path | None:
    """The file behind a SQLite engine; None for one in memory."""
    name = (engine.url.database or "").removeprefix("file:")
    if name in ("", ":memory:") or engine.url.query.get("mode") == "memory":
        return None
    return Path(name)


class _File:
    """A file is copied through connections of our own, past the learner's pool."""

    def __init__(self, path: Path, engine: Engine | AsyncEngine) -> None:
        self._path, self._engine = path, engine
        self._kept: sqlite3.Connection | None = None
        if not path.exists():
            return
        kept = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            try:
                self._copy_into(kept)
            except sqlite3.OperationalError:
                gc.collect()  # the lock may be that of a session that was dropped, not closed
                self._copy_into(kept)
        except sqlite3.OperationalError as error:
            raise ObstacleError(
                f"Your database {path.name} cannot be used ({error}): a session of yours is still "
                "in a transaction. Call its rollback() and close(), or restart the kernel and run "
                "all cells above; then check again."
            ) from error
        self._kept = kept

    def _copy_into(self, kept: sqlite3.Connection) -> None:
        with closing(
            sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        ) as source:
            source.execute("BEGIN IMMEDIATE")  # somebody's unfinished write shows here
            source.execute("ROLLBACK")
            source.backup(kept)

    def restore(self) -> None:
        for tries_left in (1, 0):
            try:
                if self._kept is None:
                    self._dispose()
                    for suffix in ("", "-wal", "-shm", "-journal"):
                        self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                else:
                    with _unlocked(self._path) as target:
                        self._kept.backup(target)
                break
            except (sqlite3.OperationalError, PermissionError) as error:
                if not tries_left:
                    raise ObstacleError(
                        f"Your app left {self._path.name} locked, so the check could not put it "
                        "back as it was: some session is never closed. Restart the kernel, run all "
                        "cells above, and see that every session is closed."
                    ) from error
                self._dispose()
        if self._kept is not None:
            self._kept.close()

    def _dispose(self) -> None:
        """Take the file out of the hands of sessions that were dropped without being closed."""
        gc.collect()
        engine = self._engine
        (engine.sync_engine if isinstance(engine, AsyncEngine) else engine).pool.dispose()


@contextmanager
def _unlocked(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of our own to a file that nobody is writing to.

    Asked first, since sqlite3's `backup` waits for a lock without end.
    """
    with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")
        yield connection


class _Memory:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept = sqlite3.connect(":memory:", check_same_thread=False)
        self._copy(lambda raw: raw.backup(self._kept))

    def restore(self) -> None:
        def put_back(raw: sqlite3.Connection) -> None:
            raw.rollback()
            self._kept.backup(raw)

        try:
            self._copy(put_back)
        except (sqlite3.ProgrammingError, sqlite3.OperationalError):
            # The learner's app replaced the connection in its thread, or a result is half read.
            gc.collect()
            self._engine.dispose()
            self._copy(put_back)
        self._kept.close()

    def _copy(self, act: Callable[[sqlite3.Connection], None]) -> None:
        with closing(self._engine.raw_connection()) as connection:
            raw = connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            act(raw)


class _AsyncMemory:
    """aiosqlite's connection lives in its own thread: its own `backup` goes there."""

    def __init__(self, engine: AsyncEngine, run: RunAsync) -> None:
        self._engine, self._run = engine, run
        self._kept = sqlite3.connect(":memory:", check_same_thread=False)
        run(self._keep)

    async def _keep(self) -> None:
        async with self._engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.backup(self._kept)

    def restore(self) -> None:
        try:
            self._run(self._put_back)
        except sqlite3.OperationalError:  # a result is half read
            gc.collect()
            self._run(self._engine.dispose)
            self._run(self._put_back)
        self._kept.close()

    async def _put_back(self) -> None:
        async with self._engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.rollback()
            # Only aiosqlite's thread may touch its connection; this is how it is handed work.
            await raw._execute(lambda: self._kept.backup(raw._conn))
