"""The learner's progress: attempts, hints used, first passes; a small database next to the work."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError, field_validator

from checks.course import EXERCISE
from checks.errors import CourseError
from checks.verdict import Status, Verdict

_PATIENCE = 5  # seconds to wait for another kernel that is writing
_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempt (
    id INTEGER PRIMARY KEY,
    exercise TEXT NOT NULL,
    status TEXT NOT NULL,
    points REAL NOT NULL,
    mistake TEXT,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS attempt_exercise ON attempt (exercise);
CREATE TABLE IF NOT EXISTS hint (
    exercise TEXT PRIMARY KEY,
    shown INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a learner has come with one exercise.

    Attributes:
        status: The last verdict's, except that a pass once earned stays.
        points: The most ever earned.
        attempts: Verdicts given, not counting those on an untouched cell.
        hints: Hints shown.
        passed_at: When it first passed, ISO 8601 in UTC; None when it never did.
        last_at: When it was last checked.
    """

    status: Status = Status.NOT_ATTEMPTED
    points: float = 0
    attempts: int = 0
    hints: int = 0
    passed_at: str | None = None
    last_at: str | None = None


ExerciseId = Annotated[str, StringConstraints(pattern=rf"^{EXERCISE}$", max_length=100)]


class Attempt(BaseModel):
    """One attempt, as the journal and the page's progress file hold it.

    Attributes:
        exercise: The exercise's id.
        status: How it was judged.
        points: The points that it got.
        mistake: The named mistake that was found.
        at: When, ISO 8601 in UTC.
    """

    exercise: ExerciseId
    status: Status
    points: float = Field(ge=0, le=1000, allow_inf_nan=False)
    mistake: Annotated[str, StringConstraints(max_length=200)] | None = None
    at: Annotated[str, StringConstraints(max_length=40)]

    @field_validator("at")
    @classmethod
    def _in_utc(cls, at: str) -> str:
        """To the second, as the journal writes it, so that one attempt is one wherever it is."""
        when = datetime.fromisoformat(at)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        return when.isoformat(timespec="seconds")


class Record(BaseModel):
    """What of a learner's progress can go from place to place: from a page to the journal and back.

    Attributes:
        version: Of this format.
        attempts: Every attempt, the oldest first.
        hints: How many hints were shown, by exercise.
    """

    version: Literal[1] = 1
    attempts: list[Attempt] = []
    hints: dict[ExerciseId, Annotated[int, Field(ge=0, le=100)]] = {}


class Journal:
    """Reads and writes progress. A journal that cannot be written goes on in memory.

    Args:
        path: The database file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._memory: sqlite3.Connection | None = None

    @property
    def kept(self) -> bool:
        """Whether what is written survives this process, as far as is known by now."""
        return self.path is not None

    def record(self, verdict: Verdict) -> None:
        """Write down a verdict; an untouched cell or a broken check is no attempt."""
        if verdict.status in (Status.NOT_ATTEMPTED, Status.NOT_RUN, Status.FAULT):
            return
        with self._open() as connection:
            connection.execute(
                "INSERT INTO attempt (exercise, status, points, mistake, at) VALUES (?,?,?,?,?)",
                (
                    verdict.exercise,
                    verdict.status.value,
                    verdict.points,
                    verdict.mistake,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                ),
            )

    def next_hint(self, exercise: str, total: int) -> int:
        """Count one more hint as shown; returns its number from 1, at most `total`."""
        with self._open() as connection:
            connection.execute(
                "INSERT INTO hint (exercise, shown) VALUES (:exercise, 1) "
                "ON CONFLICT (exercise) DO UPDATE SET shown = min(shown + 1, :total)",
                {"exercise": exercise, "total": total},
            )
            row = connection.execute("SELECT shown FROM hint WHERE exercise = ?", (exercise,))
            return int(row.fetchone()[0])

    def standing(self, exercise: str) -> Standing:
        """How far the learner has come with one exercise."""
        return self.standings().get(exercise, Standing())

    def standings(self) -> dict[str, Standing]:
        """How far the learner has come, by exercise; those never touched are left out."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT exercise, max(points), count(*), "
                "min(CASE WHEN status = 'passed' THEN at END), max(at), "
                "(SELECT status FROM attempt AS last WHERE last.exercise = attempt.exercise "
                " ORDER BY id DESC LIMIT 1) "
                "FROM attempt GROUP BY exercise"
            ).fetchall()
            hints = dict(connection.execute("SELECT exercise, shown FROM hint").fetchall())
        found = {
            exercise: Standing(
                status=Status.PASSED if passed_at else Status(status),
                points=points,
                attempts=attempts,
                hints=hints.pop(exercise, 0),
                passed_at=passed_at,
                last_at=last_at,
            )
            for exercise, points, attempts, passed_at, last_at, status in rows
        }
        return found | {exercise: Standing(hints=shown) for exercise, shown in hints.items()}

    def kept_record(self) -> Record:
        """Everything that is written down."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT exercise, status, points, mistake, at FROM attempt ORDER BY id"
            ).fetchall()
            hints = dict(connection.execute("SELECT exercise, shown FROM hint").fetchall())
        attempts = [
            Attempt(exercise=exercise, status=status, points=points, mistake=mistake, at=at)
            for exercise, status, points, mistake, at in rows
        ]
        return Record(attempts=attempts, hints=hints)

    def take_in(self, record: Record) -> int:
        """Add what was written down elsewhere; what is here already is not doubled.

        Returns:
            How many attempts were new.
        """
        known = {(one.exercise, one.status, one.at) for one in self.kept_record().attempts}
        fresh = [one for one in record.attempts if (one.exercise, one.status, one.at) not in known]
        fresh.sort(key=lambda one: one.at)
        with self._open() as connection:
            connection.executemany(
                "INSERT INTO attempt (exercise, status, points, mistake, at) VALUES (?,?,?,?,?)",
                [(a.exercise, a.status.value, a.points, a.mistake, a.at) for a in fresh],
            )
            connection.executemany(
                "INSERT INTO hint (exercise, shown) VALUES (:exercise, :shown) "
                "ON CONFLICT (exercise) DO UPDATE SET shown = max(shown, :shown)",
                [{"exercise": id_, "shown": shown} for id_, shown in record.hints.items()],
            )
        return len(fresh)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = self._connected()
        try:
            with connection:
                yield connection
        finally:
            if connection is not self._memory:
                connection.close()

    def _connected(self) -> sqlite3.Connection:
        """A connection ready to be written to: to the file, or else to what memory holds."""
        if self.path is not None:
            try:
                if not self.path.parent.is_dir():
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                return _ready(sqlite3.connect(self.path, timeout=_PATIENCE))
            except (OSError, sqlite3.Error):
                self.path = None
        if self._memory is None:
            self._memory = _ready(sqlite3.connect(":memory:", check_same_thread=False))
        return self._memory


def _ready(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A connection that holds the write lock and the tables; closed where it cannot.

    Asked for each time: the learner may have deleted the file while the kernel runs.
    """
    connection.isolation_level = None
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


# -- as a file, which pages read and write too ---------------------------------------------------
def read_record(path: Path) -> Record:
    """Attempts and hints from a file that a page or a journal was exported to.

    Raises:
        CourseError: it cannot be read, or is no such file.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CourseError(
            f"{path} cannot be read ({error.strerror or error}). Name a progress file."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        where = f" (at {at})" if at else ""
        raise CourseError(
            f"{path} is not a progress file of this course{where}. Export one on a lesson's page, "
            "or with `checks progress --export`."
        ) from error


def write_record(path: Path, record: Record) -> None:
    """Write attempts and hints into a file; what a page has put there besides stays there.

    Raises:
        CourseError: it cannot be written, or holds something else.
    """
    kept: dict[str, Any] = {}
    if path.exists():
        read_record(path)  # nobody else's file is overwritten
        kept = json.loads(path.read_bytes())
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(json.dumps(kept | record.model_dump(mode="json"), indent=1) + "\n")
        beside.replace(path)
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror or error}). Name another file."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def journal(folder: Path) -> Journal:
    """The learner's journal: a file next to the work in its folder, or where CHECKS_PROGRESS says.

    CHECKS_PROGRESS=off keeps nothing, for tests and graders; nor is anything kept under nbgrader,
    where other people's work is run.
    """
    place = os.environ.get("CHECKS_PROGRESS")
    if place == "off" or os.environ.get("NBGRADER_EXECUTION"):
        return Journal(None)
    return Journal(Path(place) if place else folder / ".progress.sqlite")
