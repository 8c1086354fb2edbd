"""The gradebook: what goes in comes out, whoever writes, whatever ends it, on both databases."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import IntegrityError

from checks.errors import CourseError
from checks.grading.gradebook import Gradebook, Known, engine, file_url, migrate, storable
from checks.grading.outcome import Ended, Raised
from checks.tests import servers
from checks.tests.graded import anything, graded, verdict
from checks.verdict import Status

KINDS = ("sqlite", "postgresql")

_NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    with servers.postgresql() as url:
        yield url


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[URL]:
    """An empty PostgreSQL database."""
    url: URL = request.getfixturevalue("server")
    name = f"class_{next(_NUMBERS)}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(database=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return file_url(tmp_path / "gradebook.sqlite")
    found: URL = request.getfixturevalue("database")
    return found


@pytest.fixture
def book(url: URL) -> Iterator[Gradebook]:
    with Gradebook.open(url) as opened:
        yield opened


@contextlib.contextmanager
def selects() -> Iterator[list[str]]:
    """The queries that are sent meanwhile, by anybody."""
    seen: list[str] = []

    def note(connection: Connection, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


# -- what goes in comes out -----------------------------------------------------------------------
def test_a_submission_comes_back_as_it_was(book: Gradebook) -> None:
    one = graded(
        "ada",
        verdict(Status.PASSED, "one"),
        verdict(Status.FAILED, "two", mistake="forgot", shows="kept", marks=["commit"]),
        verdict(Status.DIED, "three", evidence=None),
        ended=Ended.DIED,
        raised=(Raised(3, "ValueError", "no", "x = 1"), Raised(4, "KeyError", "")),
        answers={"03.one": "app = FastAPI()\n"},
        look=("It ended Python.",),
        notes=("A second copy was not graded.",),
    )
    book.record(one)
    assert list(book.each()) == [one]


@given(one=anything)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_storable_comes_back_as_it_was(book: Gradebook, one: Any) -> None:
    try:
        book.record(one)
        [back] = book.each()
        assert back == storable(one)
        assert storable(back) == back
        assert book.known(one.learner, one.lesson) is not None
    finally:
        assert book.forget(one.learner) == 1


def test_evidence_as_deep_and_long_as_any_gets_comes_back(book: Gradebook) -> None:
    seen: Any = 10**300
    for _ in range(200):
        seen = [seen]
    deep = verdict()
    assert deep.evidence is not None
    deep.evidence.seen = {"deep": seen, "long": "é" * 1_000_000}
    book.record(graded("ada", deep))
    assert [one.report.exercises[0] for one in book.each()] == [deep]


def test_learners_whose_names_cannot_be_stored_stay_apart(book: Gradebook) -> None:
    names = ["Jos\udce9", "Jos\udce8", "Jos\0", "Jos?", "a" * 5000, "a" * 5001]
    for name in names:
        book.record(graded(name))
    assert len(list(book.each())) == len(names)
    assert all(book.known(name, "03") for name in names)


def test_a_moment_without_a_zone_is_refused(book: Gradebook) -> None:
    with pytest.raises(CourseError, match="no time zone"):
        book.record(graded(graded_at=datetime(2026, 11, 24, 12, 0)))
    assert list(book.each()) == []


# -- one of several -------------------------------------------------------------------------------
def test_what_is_known_is_of_the_current_one(book: Gradebook) -> None:
    assert book.known("ada", "03") is None
    book.record(graded(digest="a", checks="b", ended=Ended.TIMED_OUT))
    assert book.known("ada", "03") == Known("a", "b", ended_well=False)
    assert book.known("ada", "04") is None
    assert book.known("adam", "03") is None
    book.record(graded(digest="c", checks="d"))
    assert book.known("ada", "03") == Known("c", "d", ended_well=True)


def test_an_earlier_one_stays_as_history_without_evidence(book: Gradebook) -> None:
    raised = (Raised(0, "ValueError", "no"),)
    first = graded("ada", verdict(Status.FAILED), answers={"03.one": "x"}, raised=raised)
    second, third = graded(digest="2"), graded(digest="3")
    for one in (first, second, third, graded("bob")):
        book.record(one)
    assert list(book.each()) == [third, graded("bob")]
    earlier = book.earlier("ada", "03")
    assert [one.digest for one in earlier] == ["2", "0" * 64]
    assert earlier[1].report.exercises[0].points == 0.5
    assert all(v.evidence is None for one in earlier for v in one.report.exercises)
    assert not earlier[1].answers
    assert not earlier[1].raised


def test_forgetting_a_learner_leaves_nothing_of_them(book: Gradebook, url: URL) -> None:
    for one in (graded(), graded(digest="2"), graded(lesson="04"), graded("bob")):
        book.record(one)
    assert book.forget("ada") == 3
    assert book.forget("ada") == 0
    assert [one.learner for one in book.each()] == ["bob"]
    with engine.make(url).connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM verdict")) == 1


def test_no_verdict_stands_without_its_submission(book: Gradebook, url: URL) -> None:
    book.record(graded())
    with engine.make(url).connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("UPDATE verdict SET submission_id = 12345"))
        connection.commit()


# -- all of them ----------------------------------------------------------------------------------
def test_all_come_in_the_order_of_code_points(book: Gradebook) -> None:
    names = ["a", "B", "é", "e", "Z", "z", "_", "ß", "中", "a b", "a-b", "", "😀", "\uffee"]
    for name in names:
        for lesson in ("03", "00", "11"):
            book.record(graded(name, lesson=lesson))
    found = [(one.learner, one.lesson) for one in book.each()]
    assert found == sorted((name, lesson) for name in names for lesson in ("00", "03", "11"))


def test_reading_a_class_takes_a_constant_number_of_queries_a_batch(book: Gradebook) -> None:
    for number in range(120):
        book.record(graded(f"{number:03}", verdict(name="one"), verdict(name="two")))
    with selects() as seen:
        everybody = book.each()
        next(everybody)
        assert len(seen) == 2  # one batch: its submissions, their verdicts
        assert sum(1 for _ in everybody) == 119
    assert len(seen) == 2 * 3 + 1  # and a question to which the answer is: no more


def test_recording_goes_on_while_all_are_read(book: Gradebook) -> None:
    for number in range(120):
        book.record(graded(f"{number:03}"))
    for one in book.each():
        book.record(replace(one, checks="again"))
    assert [one.checks for one in book.each()] == ["again"] * 120


def test_what_is_asked_by_learner_is_answered_from_an_index(tmp_path: Path) -> None:
    url = file_url(tmp_path / "gradebook.sqlite")
    with Gradebook.open(url) as book:
        book.record(graded())
        asked: list[tuple[str, Any]] = []

        def note(
            connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any
        ) -> None:
            asked.append((statement, parameters))

        event.listen(Engine, "before_cursor_execute", note)
        try:
            book.known("ada", "03")
            list(book.each())
            book.earlier("ada", "03")
            book.record(graded())
            book.forget("ada")
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    with closing(sqlite3.connect(tmp_path / "gradebook.sqlite")) as connection:
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                assert "SCAN verdict" not in str(plan), (statement, plan)
                assert "SCAN submission" not in str(plan).replace(
                    "SCAN submission USING INDEX uq_submission_current",
                    "",  # in order, from the top
                ), (statement, plan)


# -- killed, and several at once ------------------------------------------------------------------
RECORDS = """
import sys
from checks.grading.gradebook import Gradebook
from checks.tests.graded import graded, verdict

url, prefix, learners, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Gradebook.open(url) as book:
    for time in range(times):
        for number in range(learners):
            exercises = [verdict(name=name) for name in ("one", "two", "three", "four")]
            book.record(graded(f"{prefix}{number}", *exercises, digest=str(time)))
            print(f"{prefix}{number}", flush=True)
"""


def recorder(url: URL, prefix: str, learners: int, times: int = 1) -> subprocess.Popen[str]:
    """A process that records."""
    where = url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-c", RECORDS, where, prefix, str(learners), str(times)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("after", [1, 7, 23])
def test_killed_in_the_middle_nothing_is_half_written(url: URL, after: int) -> None:
    with recorder(url, "ada", 10_000) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(after)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.read().split()
    with Gradebook.open(url) as book:
        kept = list(book.each())
        assert {one.learner for one in kept} >= set(told)  # told only after the commit
        assert len(kept) - len(told) in (0, 1)
        assert all(len(one.report.exercises) == 4 for one in kept)
        assert all(v.evidence for one in kept for v in one.report.exercises)
        book.record(graded("bob"))
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_graders_at_once_take_turns(url: URL) -> None:
    """Both make the database and record the same learners: the last is current, none is lost."""
    processes = [recorder(url, "ada", 10, 6) for _ in range(2)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    with Gradebook.open(url) as book:
        current = list(book.each())
        assert len(current) == 10
        assert {one.digest for one in current} == {"5"}
        assert {len(book.earlier(one.learner, "03")) for one in current} == {11}


# -- opening --------------------------------------------------------------------------------------
def sentence(url: str | URL, patience: float = 0.1) -> str:
    """What opening a gradebook says."""
    with pytest.raises(CourseError) as caught:
        Gradebook.open(url, patience).close()
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


@pytest.mark.parametrize("url", ["", "grades.sqlite", "http://a b", "://", "sqlite:/x:y:z"])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "--gradebook takes" in sentence(url)


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "postgresql+asyncpg://h/d", "sqlite+aiosqlite://"]
)
def test_other_databases_are_refused(url: str) -> None:
    assert "cannot be kept in" in sentence(url)


def test_a_path_may_hold_what_a_url_may_not(tmp_path: Path) -> None:
    path = tmp_path / "who? 100% #1.sqlite"
    with Gradebook.open(file_url(path)) as book:
        book.record(graded())
    assert path.exists()


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    assert "cannot be opened" in sentence(file_url(tmp_path / "missing" / "g.sqlite"))
    assert "cannot be opened" in sentence(file_url(tmp_path))


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a database at all. " * 100)
    assert "is not a SQLite database" in sentence(file_url(path))
    assert path.read_text().startswith("Not a database")


def test_a_read_only_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    Gradebook.open(file_url(path)).close()
    said = sentence(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert "cannot be written to" in said


def test_a_database_of_something_else_is_left_alone(url: URL) -> None:
    with engine.make(url).begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
    assert "is a database of something else (it holds orders)" in sentence(url)
    assert inspect(engine.make(url)).get_table_names() == ["orders"]


def test_a_newer_gradebook_is_left_alone(url: URL) -> None:
    Gradebook.open(url).close()
    with engine.make(url).begin() as connection:
        connection.execute(text(f"UPDATE {engine.VERSION_TABLE} SET version_num = '9999'"))
    assert "newer than this program (it is at 9999)" in sentence(url)


def test_a_locked_gradebook_is_said(url: URL) -> None:
    with Gradebook.open(url, patience=0.2) as book:
        with engine.make(url).connect() as other:
            if other.dialect.name == "postgresql":
                other.execute(text("LOCK TABLE submission IN ACCESS EXCLUSIVE MODE"))
            else:
                other.execute(text("SELECT 1"))  # our BEGIN is IMMEDIATE
            with pytest.raises(CourseError, match="is locked: another program"):
                book.record(graded())
        book.record(graded())


def test_two_do_not_migrate_at_once(url: URL) -> None:
    with engine.make(url).begin() as connection:
        migrate.upgrade(connection)
        assert "is locked" in sentence(url, patience=0.2)
    Gradebook.open(url).close()


def test_an_unreachable_server_is_said_and_no_password(tmp_path: Path) -> None:
    said = sentence(f"postgresql://ada:secret@/grades?host={tmp_path}")
    assert "cannot be reached" in said
    assert "secret" not in said


def test_a_server_that_refuses_to_make_tables_is_said(database: URL) -> None:
    with create_engine(database).begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS guest"))
        connection.execute(text("CREATE ROLE guest LOGIN"))
    said = sentence(database.set(username="guest"))
    assert "cannot be written to (permission denied" in said


# -- migrations -----------------------------------------------------------------------------------
def test_the_models_and_the_migrations_say_the_same(url: URL) -> None:
    Gradebook.open(url).close()
    with engine.make(url).begin() as connection:
        command.check(migrate.config(connection))


def test_migrations_go_down_and_up_again(url: URL) -> None:
    Gradebook.open(url).close()
    with engine.make(url).begin() as connection:
        command.downgrade(migrate.config(connection), "base")
        assert inspect(connection).get_table_names() == [engine.VERSION_TABLE]
    with Gradebook.open(url) as book:
        book.record(graded())


def test_a_migration_that_fails_leaves_nothing_behind(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(config: Any, revision: str) -> None:
        real(config, revision)
        raise CourseError("The power went out.")

    real: Callable[..., None] = command.upgrade
    monkeypatch.setattr(command, "upgrade", half)
    assert sentence(url) == "The power went out."
    assert inspect(engine.make(url)).get_table_names() == []
    monkeypatch.undo()
    Gradebook.open(url).close()


def test_every_constraint_has_a_name(url: URL) -> None:
    Gradebook.open(url).close()
    found = inspect(engine.make(url))
    for table in ("submission", "verdict"):
        named = [
            found.get_pk_constraint(table),
            *found.get_foreign_keys(table),
            *found.get_unique_constraints(table),
            *found.get_indexes(table),
        ]
        assert all(one["name"] for one in named), table


def test_contributors_use_the_same_migrations_from_a_terminal(tmp_path: Path) -> None:
    scratch = f"url={file_url(tmp_path / 'scratch.sqlite')}"
    ini = str(Path(migrate.__file__).with_name("alembic.ini"))
    for what in (["upgrade", "head"], ["check"]):
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", ini, "-x", scratch, *what],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )


def test_times_are_in_utc_whatever_the_zone(book: Gradebook) -> None:
    there = datetime.fromisoformat("2026-11-24T23:30:00-05:00")
    book.record(graded(graded_at=there))
    [back] = book.each()
    assert back.graded_at == there
    assert back.graded_at.tzinfo is UTC
