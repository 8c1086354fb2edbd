"""The gradebook's engine, and its errors as sentences."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from checks.errors import CourseError

VERSION_TABLE = "gradebook_version"  # our own name: an application's database has its own

PATIENCE = 30.0  # seconds to wait while somebody else is writing

_HOW = "--gradebook takes sqlite:///grades.sqlite or postgresql://user:password@host/database"
_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")


def file_url(path: Path) -> URL:
    """The URL of a gradebook in a file; a path may hold characters that a URL in text may not."""
    return URL.create("sqlite", database=str(path))


def make(url: str | URL, patience: float = PATIENCE) -> Engine:
    """An engine on which transactions are what they say they are.

    Args:
        url: The database.
        patience: For how many seconds to wait while somebody else is writing.

    Raises:
        CourseError: it is no URL, or of a database that the gradebook cannot live in.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise CourseError(f"That is not the URL of a database: {_HOW}.") from error
    if parsed.drivername not in _DRIVERS:
        raise CourseError(f"A gradebook cannot be kept in {parsed.drivername!r}: {_HOW}.")
    sqlite = _is_sqlite(parsed)
    try:
        engine = create_engine(
            parsed,
            connect_args={"timeout": patience} if sqlite else {"connect_timeout": 10},
            json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),
        )
    except ModuleNotFoundError as error:
        raise CourseError(
            "PostgreSQL needs its driver: pip install 'psycopg[binary]', then run this again."
        ) from error
    if sqlite:
        _own_the_transactions(engine)
    else:
        _wait_no_longer_than(engine, patience)
    return engine


def _own_the_transactions(engine: Engine) -> None:
    """Python's sqlite3 begins transactions late and not before DDL: BEGIN is ours to say.

    IMMEDIATE, because a transaction that reads and then writes can otherwise fail although it
    would only have had to wait its turn.
    """

    @event.listens_for(engine, "connect")
    def take_over(dbapi_connection: Any, record: object) -> None:
        dbapi_connection.isolation_level = None
        dbapi_connection.execute("PRAGMA foreign_keys = ON")
        dbapi_connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def say_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def write_ahead(engine: Engine) -> None:
    """Let SQLite append to a log: a commit does not wait for the disk, and is four times as fast.

    A killed process loses nothing. A power cut may take the last few commits, never half of one:
    these submissions are graded again. The file remembers the mode, so only ours is ever set.
    """
    if _is_sqlite(engine.url):
        with closing(engine.raw_connection()) as connection, suppress(sqlite3.OperationalError):
            # In use by another grader, or on a disk that cannot: it stays as it is, and slower.
            connection.cursor().execute("PRAGMA journal_mode = WAL")


def _wait_no_longer_than(engine: Engine, patience: float) -> None:
    @event.listens_for(engine, "connect")
    def set_timeout(dbapi_connection: Any, record: object) -> None:
        dbapi_connection.execute(f"SET lock_timeout = {int(patience * 1000)}")
        dbapi_connection.commit()


@contextmanager
def in_sentences(url: URL) -> Iterator[None]:
    """Say what a database refused in one sentence.

    Raises:
        CourseError: the block raised an error of the database.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise CourseError(_sentence(url, error)) from error


def _sentence(url: URL, error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    reason = " ".join(str(original or error).split())[:300].rstrip(".")
    state = getattr(original, "sqlstate", None)  # PostgreSQL's code; None where none was reached
    where = f"The gradebook {url.render_as_string()}"
    if "readonly" in reason or state in ("42501", "25006"):
        return (
            f"{where} cannot be written to ({reason}): get the right to, or name another with "
            "--gradebook."
        )
    if "locked" in reason or state in ("55P03", "40P01"):
        return (
            f"{where} is locked: another program is writing to it. Close that, and run this "
            "again; what is on record is not graded twice."
        )
    if "not a database" in reason or "malformed" in reason:
        return (
            f"{where} is not a SQLite database ({reason}): name another with --gradebook, or move "
            "that file away."
        )
    if "unable to open" in reason:
        return (
            f"{where} cannot be opened: see that its folder exists and may be written to, or name "
            "another with --gradebook."
        )
    if isinstance(error, OperationalError) and state is None and not _is_sqlite(url):
        return (
            f"{where} cannot be reached ({reason}): see that the server runs, and that address, "
            "user and password are right."
        )
    return f"{where} failed ({reason}): mend that, and run this again."


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
