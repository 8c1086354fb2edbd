"""The flight recorder: what it writes down, in which order, and that it leaves no trace of its own.

No postponed annotations here: FastAPI could not resolve those of endpoints local to a function.
"""

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    StaticPool,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from checks import trace
from checks.observe.timeline import Timeline
from checks.tests import shop
from checks.tests.shop import Book

KINDS = ("memory", "file", "async memory", "async file")

# The life of a request that writes, in the function scope of its session.
WRITING = [
    "request",
    "session_open",
    "checkout",
    "begin",
    "sql",
    "commit",
    "checkin",
    "session_close",
    "response",
    "body",
]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database in a file, with one book in it."""
    made = create_engine(f"sqlite:///{tmp_path / 'trace.db'}")
    shop.Base.metadata.create_all(made)
    with Session(made) as session, session.begin():
        session.add(Book(title="Emma"))
    yield made
    made.dispose()


def manual(engine: Engine, begin: str = "BEGIN") -> None:
    """The recipe by which pysqlite leaves transactions to SQLAlchemy."""
    event.listen(engine, "connect", lambda dbapi, _: setattr(dbapi, "isolation_level", None))
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))
    engine.dispose()


def calm(app: ASGIApp) -> TestClient:
    """A client that gets a 500 where a test would get the exception."""
    return TestClient(app, raise_server_exceptions=False)


def ask(app: ASGIApp, *paths: str) -> list[int]:
    """GET all the paths at once, in this thread."""

    async def all_of_them() -> list[int]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [r.status_code for r in await asyncio.gather(*map(client.get, paths))]

    return asyncio.run(all_of_them())


# -- what holds up the event loop ------------------------------------------------------------------
def test_a_sync_engine_on_the_event_loop_holds_it_up(engine: Engine) -> None:
    app = FastAPI()

    def ask_for_books() -> int:
        with engine.begin() as connection:
            return connection.scalar(select(func.count()).select_from(Book)) or 0

    @app.get("/loop")
    async def on_the_loop() -> int:
        return ask_for_books()

    @app.get("/thread")
    def in_a_thread() -> int:
        return ask_for_books()

    @app.get("/handed-over")
    async def handed_over() -> int:
        return await asyncio.to_thread(ask_for_books)

    with trace(app, engine) as seen:
        assert ask(app, "/loop", "/thread", "/handed-over") == [200, 200, 200]
        assert TestClient(app).get("/loop").is_success
    assert seen.blocking == ["SELECT count(*) AS count_1 FROM book", "COMMIT"] * 2
    assert {one.request for one in seen if one["blocks"]} == {1, 4}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_awaited_or_done_in_a_thread_holds_up_nobody(tmp_path: Path, kind: str) -> None:
    names = shop.names(kind, tmp_path)
    with trace(names["app"], names["engine"]) as seen:
        assert TestClient(names["app"]).post("/books", json={"title": "Persuasion"}).is_success
    assert seen.blocking == []


def test_what_a_cell_sends_itself_is_no_requests_trouble(engine: Engine) -> None:
    async def cell() -> None:
        with engine.begin() as connection:
            connection.execute(select(Book.id))

    with trace(engine) as seen:
        asyncio.run(cell())
    assert seen.commits == 1
    assert seen.blocking == []


def test_it_says_which_line_of_a_notebook_holds_up_the_loop(engine: Engine) -> None:
    names: dict[str, Any] = {"engine": engine, "select": select, "Book": Book}
    source = (
        "def count():\n    with engine.connect() as c:\n        return c.scalar(select(Book.id))\n"
    )
    exec(compile(source, "<ipython-input-3-abcdef>", "exec"), names)
    app = FastAPI()

    @app.get("/loop")
    async def on_the_loop() -> int:
        return int(names["count"]())

    with trace(app, engine) as seen:
        TestClient(app).get("/loop")
    assert seen.of("sql")[0]["where"].startswith("line 3")


# -- a request's life, on every kind of engine -----------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_a_writing_request_in_order(tmp_path: Path, kind: str) -> None:
    names = shop.names(kind, tmp_path)
    with trace(names["app"], names["engine"]) as seen:
        assert TestClient(names["app"]).post("/books", json={"title": "Persuasion"}).is_success
    assert seen.kinds == WRITING
    assert {one.request for one in seen} == {1}
    assert seen.of("sql")[0]["rows"] == 1
    assert seen.of("sql")[0]["params"] == {"title": "Persuasion", "stock": 1}
    assert [one.at_ms for one in seen] == sorted(one.at_ms for one in seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_commit_after_the_body_shows_as_such(tmp_path: Path, kind: str) -> None:
    names = shop.names(kind, tmp_path, scope="request")
    with trace(names["app"], names["engine"]) as seen:
        assert TestClient(names["app"]).post("/books", json={"title": "Persuasion"}).is_success
    assert seen.order("response", "body", "commit", "checkin", "session_close")


@pytest.mark.parametrize("kind", ["async memory", "async file"])
def test_an_async_client_in_the_loop_of_the_app(tmp_path: Path, kind: str) -> None:
    names = shop.names(kind, tmp_path)
    with trace(names["app"], names["engine"]) as seen:
        assert ask(names["app"], "/books") == [200]
    assert seen.selects == ["SELECT book.title FROM book"]
    assert seen.of("sql")[0]["rows"] == 1
    assert seen.checked_out == 0


@pytest.mark.parametrize("kind", ["file", "async file"])
def test_requests_at_once_keep_their_events_apart(tmp_path: Path, kind: str) -> None:
    names = shop.names(kind, tmp_path)
    with trace(names["app"], names["engine"]) as seen:
        assert ask(names["app"], *["/books"] * 5) == [200] * 5
    assert {one.request for one in seen} == {1, 2, 3, 4, 5}
    reading = [one if one != "commit" else None for one in WRITING]
    for number in range(1, 6):
        own = seen.request(number).kinds
        assert [one if one not in ("commit", "rollback") else None for one in own] == reading


def test_sync_endpoints_that_overlap_in_threads(engine: Engine) -> None:
    app = FastAPI()
    both_are_in = threading.Barrier(2, timeout=5)

    def dependency() -> int:
        with engine.connect() as connection:
            both_are_in.wait()
            return connection.scalar(select(func.count()).select_from(Book)) or 0

    @app.get("/{number}")
    def count(number: int, found: Annotated[int, Depends(dependency)]) -> int:
        with engine.connect() as connection:
            both_are_in.wait()
            connection.execute(select(Book.id + number))
        return found

    with trace(app, engine) as seen:
        assert ask(app, "/10", "/20") == [200, 200]
    for number in (1, 2):
        own = seen.request(number)
        asked = int(own[0]["path"].removeprefix("/"))
        assert own.of("sql")[1]["params"] == {"id_1": asked}
        assert own.kinds.count("checkout") == own.kinds.count("checkin") == 2
    assert len({one["connection"] for one in seen.of("checkout")[:2]}) == 2


def test_several_engines(engine: Engine) -> None:
    other = create_engine("sqlite://")
    with trace(engine, other) as seen:
        with engine.connect() as one, other.connect() as two:
            one.execute(text("SELECT 1"))
            two.execute(text("SELECT 2"))
        other.dispose()
    assert seen.statements == ["SELECT 1", "SELECT 2"]
    assert [one["connection"] for one in seen.of("sql")] == [1, 2]
    assert {one.request for one in seen} == {0}


def test_an_engine_given_twice_is_recorded_once(engine: Engine) -> None:
    with trace(engine, engine) as seen, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert seen.statements == ["SELECT 1"]


def test_a_variant_of_an_engine_belongs_to_it(engine: Engine) -> None:
    variant = engine.execution_options(isolation_level="AUTOCOMMIT")
    with trace(engine) as seen, Session(variant) as session:
        session.scalars(select(Book)).all()
    assert seen.order("session_open", "checkout", "sql", "checkin", "session_close")


@pytest.mark.parametrize(
    "options",
    [
        {"poolclass": NullPool},
        {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}},
    ],
    ids=["NullPool", "StaticPool"],
)
def test_other_pools(tmp_path: Path, options: dict[str, Any]) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'pool.db'}", **options)
    with trace(engine) as seen:
        for _ in range(2):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
    engine.dispose()
    assert seen.kinds == ["checkout", "begin", "sql", "rollback", "checkin"] * 2
    numbers = [one["connection"] for one in seen.of("checkout")]
    assert numbers == ([1, 2] if options["poolclass"] is NullPool else [1, 1])


def test_an_engine_with_its_own_creator() -> None:
    import sqlite3

    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(":memory:"))
    with trace(engine) as seen, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert seen.kinds == ["checkout", "begin", "sql", "rollback", "checkin"]


def test_an_engine_disposed_of_meanwhile_is_recorded_on(engine: Engine) -> None:
    with trace(engine) as seen:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
        with engine.connect() as connection:
            connection.execute(text("SELECT 2"))
    with engine.connect() as connection:
        connection.execute(text("SELECT 3"))
    assert seen.kinds == ["checkout", "begin", "sql", "rollback", "checkin"] * 2


def test_a_connection_thrown_away_breaks_nothing(engine: Engine) -> None:
    with trace(engine) as seen:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            connection.invalidate()
        with engine.connect() as connection:
            connection.execute(text("SELECT 2"))
    assert seen.checked_out == 0
    assert [one["connection"] for one in seen.of("checkout")] == [1, 2]


def test_a_connection_kept_is_held(engine: Engine) -> None:
    with trace(engine) as seen:
        kept = engine.connect()
        kept.execute(text("SELECT 1"))
    kept.close()
    assert seen.checked_out == 1


# -- statements ------------------------------------------------------------------------------------
def test_rows_are_those_fetched_or_changed(engine: Engine) -> None:
    with trace(engine) as seen, Session(engine) as session:
        session.execute(insert(Book), [{"title": f"Volume {n}"} for n in range(4)])
        session.scalars(select(Book)).all()
        session.scalars(select(Book).where(Book.title == "nowhere")).all()
        session.execute(text("UPDATE book SET stock = 2"))
        session.rollback()
    rows = [(sql.split()[0], one["rows"]) for sql, one in zip(seen.statements, seen.of("sql"))]  # noqa: B905
    assert rows == [("INSERT", 4), ("SELECT", 5), ("SELECT", 0), ("UPDATE", 5)]


def test_executemany_says_how_many_and_shows_a_few(engine: Engine) -> None:
    with trace(engine) as seen, engine.begin() as connection:
        connection.execute(insert(Book), [{"title": str(n), "stock": n} for n in range(1, 9)])
        connection.exec_driver_sql("UPDATE book SET stock = ? WHERE id = ?", [(5, 1), (6, 2)])
    first, second = seen.of("sql")
    assert (first["many"], len(first["params"])) == (8, 3)
    assert first["params"][0] == {"title": "1", "stock": 1}
    assert (second["many"], second["params"]) == (2, [[5, 1], [6, 2]])


def test_returning_counts_its_rows_and_its_batches(engine: Engine) -> None:
    with trace(engine) as seen, trace(engine) as inner, engine.begin() as connection:
        one = insert(Book).values(title="One").returning(Book.id)
        assert connection.execute(one).scalar_one() == 2
        many = insert(Book).returning(Book.id).execution_options(insertmanyvalues_page_size=2)
        assert len(connection.execute(many, [{"title": f"{n}"} for n in range(5)]).all()) == 5
    sent = seen.of("sql")
    assert [event["rows"] for event in sent] == [1, 2, 2, 1]
    assert [event["many"] for event in sent] == [None, 2, 2, 1]
    assert [event["params"][-1]["title"] for event in sent[1:]] == ["1", "3", "4"]
    assert [event["rows"] for event in inner.of("sql")] == [1, 2, 2, 1]


def test_new_objects_inserted_together(engine: Engine) -> None:
    with trace(engine) as seen, Session(engine) as session, session.begin():
        session.add_all([Book(title="One"), Book(title="Two"), Book(title="Three")])
    told = [one["params"] for one in seen.of("sql")]
    assert [one["title"] for sets in told for one in sets] == ["One", "Two", "Three"]
    assert sum(one["rows"] for one in seen.of("sql")) == 3


def test_results_read_in_parts(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.add_all([Book(title=f"Volume {n}") for n in range(9)])

    def read() -> list[Any]:
        with engine.connect() as connection:
            result = connection.execute(select(Book.id).order_by(Book.id))
            parts: list[Any] = [result.fetchone(), result.fetchmany(3), result.fetchall()]
            streaming = connection.execution_options(yield_per=4)
            for part in streaming.execute(select(Book.id)).partitions():
                parts.append(list(part))
            raw: Any = connection.exec_driver_sql("SELECT id FROM book").cursor
            raw.arraysize = 2
            parts += [raw.fetchmany(), list(raw), raw.arraysize]
            return parts

    without = read()
    with trace(engine) as seen:
        assert read() == without
    assert [one["rows"] for one in seen.of("sql")] == [10, 10, 10]


def test_an_async_result_read_in_parts(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'stream.db'}")
    counting = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 10) "

    async def read() -> list[Any]:
        async with engine.connect() as connection:
            result = await connection.stream(text(counting + "SELECT x FROM n"))
            parts = [list(part) async for part in result.partitions(4)]
        await engine.dispose()
        return parts

    without = asyncio.run(read())
    with trace(engine) as seen:
        assert asyncio.run(read()) == without
    assert [len(part) for part in without] == [4, 4, 2]
    assert seen.of("sql")[0]["rows"] == 10
    assert seen.selects


def test_statements_say_which_task_sent_them(tmp_path: Path) -> None:
    async def ask(session: AsyncSession, number: int) -> None:
        await session.scalar(text("SELECT :number"), {"number": number})

    async def one_session_two_tasks() -> Timeline:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
        with trace(engine) as seen:
            async with AsyncSession(engine) as session:
                await ask(session, 1)
                await asyncio.gather(ask(session, 2), ask(session, 3))
                await ask(session, 4)
        await engine.dispose()
        return seen

    seen = asyncio.run(one_session_two_tasks())
    sent = {event["params"]["number"]: event["task"] for event in seen.of("sql")}
    assert sent[1] == sent[4]
    assert len(set(sent.values())) == 3
    assert "SELECT ?  task 2  with number=2" in str(seen)
    assert "<b>task 3</b>" in seen._repr_html_()


def test_a_sync_driver_has_no_tasks_to_tell_of(engine: Engine) -> None:
    async def ask() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    with trace(engine) as seen:
        asyncio.run(ask())
    assert "task" not in seen.of("sql")[0].detail


def test_results_and_sessions_are_not_kept_alive(engine: Engine) -> None:
    def read() -> list[weakref.ref[Any]]:
        with Session(engine) as session:
            return [weakref.ref(session), weakref.ref(session.scalars(select(Book)).one())]

    with trace(engine) as seen:
        references = read()
        gc.collect()
        assert [one() for one in references] == [None, None]
    assert "Emma" not in json.dumps(seen.to_json())


def test_layout_goes_and_quotes_stay(engine: Engine) -> None:
    with trace(engine) as seen, engine.connect() as connection:
        connection.execute(text("SELECT\n   'two  spaces',\n\t1"))
    assert seen.statements == ["SELECT 'two  spaces', 1"]


def test_the_statement_that_failed_is_marked(engine: Engine) -> None:
    with trace(engine) as seen, Session(engine) as session:
        session.scalars(select(Book)).all()
        with suppress(IntegrityError):
            session.execute(insert(Book), {"title": "Emma"})
    assert [one["failed"] for one in seen.of("sql")] == [
        None,
        "IntegrityError: UNIQUE constraint failed: book.title",
    ]


def test_what_never_reached_the_database_marks_nothing(engine: Engine, tmp_path: Path) -> None:
    nowhere = create_engine(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    with trace(engine, nowhere) as seen:
        with Session(engine) as session:
            session.scalars(select(Book)).all()
            session.commit()
            with pytest.raises(StatementError, match="bind parameter"):
                session.execute(text("SELECT :missing"))
        with pytest.raises(OperationalError):
            nowhere.connect()
    assert not [one for one in seen if one["failed"]]


def test_a_commit_that_fails_is_marked(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'deferred.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)"
        )

    @event.listens_for(engine, "connect")
    def enforce(dbapi: Any, record: object) -> None:
        dbapi.execute("PRAGMA foreign_keys = ON")

    engine.dispose()
    with trace(engine) as seen, suppress(IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO b VALUES (7)")
    engine.dispose()
    (commit,) = seen.of("commit")
    assert commit["failed"] == "IntegrityError: FOREIGN KEY constraint failed"
    assert seen.commits == 0
    assert seen.order("commit", "checkin")


def test_a_begin_that_fails_is_marked(engine: Engine, tmp_path: Path) -> None:
    hurried = create_engine(engine.url, connect_args={"timeout": 0.01})
    manual(hurried, "BEGIN IMMEDIATE")
    with engine.begin() as holding:
        holding.exec_driver_sql("UPDATE book SET stock = 3")
        with trace(hurried) as seen, suppress(OperationalError), hurried.begin():
            pass
    hurried.dispose()
    (begin,) = seen.of("begin")
    assert begin["failed"] == "OperationalError: database is locked"
    assert begin["sql"] == "BEGIN IMMEDIATE"


# -- transactions ----------------------------------------------------------------------------------
@pytest.mark.parametrize("recipe", [False, True], ids=["legacy pysqlite", "BEGIN event"])
@pytest.mark.parametrize("end", ["release", "rollback_to"])
def test_savepoints(engine: Engine, recipe: bool, end: str) -> None:
    if recipe:
        manual(engine)
    with trace(engine) as seen, Session(engine) as session:
        with suppress(ZeroDivisionError), session.begin_nested():
            session.add(Book(title="Persuasion"))
            session.flush()
            if end == "rollback_to":
                raise ZeroDivisionError
        session.commit()
    inner = seen.of("begin", "savepoint", "sql", "release", "rollback_to", "commit")
    assert inner.kinds == ["begin", "savepoint", "sql", end, "commit"]
    assert inner[1]["name"] == inner[3]["name"]
    assert inner[0]["sql"] == ("BEGIN" if recipe else None)
    assert seen.rollbacks == 0


def test_one_begin_a_transaction_whoever_says_it(engine: Engine) -> None:
    manual(engine, "BEGIN IMMEDIATE")
    with trace(engine) as seen, engine.connect() as connection:
        for _ in range(2):
            connection.execute(text("SELECT 1"))
            connection.rollback()
    assert [one["sql"] for one in seen.of("begin")] == ["BEGIN IMMEDIATE"] * 2


def test_autobegin(engine: Engine) -> None:
    with trace(engine) as seen, Session(engine) as session:
        seen.note("a session alone takes no connection")
        session.scalars(select(Book)).all()
        session.commit()
        session.scalars(select(Book)).all()
    assert seen.kinds == [
        "session_open",
        "note",
        *("checkout", "begin", "sql", "commit", "checkin"),
        *("checkout", "begin", "sql", "rollback", "checkin"),
        "session_close",
    ]


def test_a_session_used_again_after_it_was_closed(engine: Engine) -> None:
    with trace(engine) as seen:
        session = Session(engine)
        session.close()
        session.close()
        session.scalars(select(Book)).all()
        assert seen.checked_out == 1
        session.close()
    opened = seen.of("session_open")
    assert [one["reopened"] for one in opened] == [None, True]
    assert [one["session"] for one in seen.of("session_open", "session_close")] == [1] * 4


def test_sessions_of_other_engines_are_left_out(engine: Engine) -> None:
    other = create_engine("sqlite://")
    with trace(engine) as seen, Session(other) as session:
        session.execute(text("SELECT 1"))
    other.dispose()
    assert seen.kinds == []


# -- responses -------------------------------------------------------------------------------------
def test_a_streaming_response_holds_its_connection(engine: Engine) -> None:
    app = FastAPI()

    @app.get("/export")
    def export() -> StreamingResponse:
        def lines() -> Iterator[str]:
            with Session(engine) as session:
                for title in session.scalars(select(Book.title)):
                    yield f"{title}\n"
                yield "end\n"

        return StreamingResponse(lines())

    with trace(app, engine) as seen:
        assert TestClient(app).get("/export").text == "Emma\nend\n"
    assert seen.of("response", "checkout", "sql", "chunk", "checkin", "body").kinds == [
        "response",
        "checkout",
        "sql",
        "chunk",
        "chunk",
        "checkin",
        "body",
    ]
    assert [one["size"] for one in seen.of("chunk", "body")] == [5, 4, 0]
    assert {one.request for one in seen} == {1}


@pytest.mark.parametrize(
    ("parts", "read", "streamed"),
    [(None, [5, 5, 5, 5, 5], None), (2, [2, 2, 4, 4, 5], True)],
)
def test_a_chunk_tells_how_many_rows_had_been_read(
    engine: Engine, parts: int | None, read: list[int], streamed: bool | None
) -> None:
    app = FastAPI()
    with Session(engine) as session, session.begin():
        session.add_all(Book(title=title) for title in "ABCD")

    @app.get("/export")
    def export() -> StreamingResponse:
        def lines() -> Iterator[str]:
            options = {"yield_per": parts} if parts else {}
            with Session(engine) as session:
                for book in session.scalars(select(Book), execution_options=options):
                    yield f"{book.title}\n"

        return StreamingResponse(lines())

    with trace(app, engine) as seen:
        TestClient(app).get("/export")
    assert [one["read"] for one in seen.of("chunk")] == read
    assert [one["streamed"] for one in seen.of("sql")] == [streamed]


def test_a_background_task_comes_after_the_body(engine: Engine) -> None:
    app = FastAPI()

    def report() -> None:
        with Session(engine) as session:
            session.scalars(select(Book)).all()

    @app.post("/orders")
    async def order(tasks: BackgroundTasks) -> None:
        tasks.add_task(report)

    with trace(app, engine) as seen:
        TestClient(app).post("/orders")
    assert seen.order("body", "session_open", "sql", "session_close")
    assert {one.request for one in seen} == {1}


def test_a_task_outlives_its_request(engine: Engine) -> None:
    app = FastAPI()
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await asyncio.sleep(0)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    @app.get("/")
    async def start() -> None:
        tasks.append(asyncio.create_task(later()))

    async def run() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.get("/")
            await tasks[0]

    with trace(app, engine) as seen:
        asyncio.run(run())
    assert seen.of("sql")[0].request == 1


def test_notes_stand_where_they_were_made(engine: Engine) -> None:
    app = FastAPI()
    record: list[Timeline] = []

    @app.get("/")
    def mail() -> None:
        record[0].note("mail sent")

    with trace(app, engine) as seen:
        record.append(seen)
        seen.note("before")
        TestClient(app).get("/")
    assert [(one["text"], one.request) for one in seen.of("note")] == [
        ("before", 0),
        ("mail sent", 1),
    ]
    assert seen.order("request", "response")


def test_the_path_has_its_query_without_secrets(engine: Engine) -> None:
    app = FastAPI()
    with trace(app, engine) as seen:
        TestClient(app).get("/books?limit=3&access_token=s3cret&q=a%26b")
    assert seen[0]["path"] == "/books?limit=3&access_token=•••&q=a%26b"
    assert seen[0]["method"] == "GET"


def test_websockets_are_left_alone(engine: Engine) -> None:
    app = FastAPI()

    @app.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    with trace(app, engine) as seen, TestClient(app).websocket_connect("/talk") as socket:
        assert socket.receive_text() == "hello"
    assert seen.kinds == []


def test_the_lifespan_is_no_request(engine: Engine) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        yield

    app = FastAPI(lifespan=lifespan)
    with trace(app, engine) as seen, TestClient(app) as client:
        client.get("/nothing")
    assert seen.of("sql")[0].request == 0
    assert seen.order("sql", "request", "response")


# -- exceptions ------------------------------------------------------------------------------------
def failing() -> FastAPI:
    """An app whose endpoints raise, each in its way."""
    app = FastAPI()

    class ExpectedError(Exception):
        pass

    @app.exception_handler(ExpectedError)
    async def answer(request: Request, error: ExpectedError) -> JSONResponse:
        return JSONResponse({}, 418)

    @app.get("/http")
    def http() -> None:
        raise HTTPException(409)

    @app.get("/expected")
    def expected() -> None:
        raise ExpectedError

    @app.get("/unexpected")
    def unexpected() -> None:
        raise ZeroDivisionError("by zero\nand more")

    return app


@pytest.mark.parametrize(
    ("path", "status"), [("/http", 409), ("/expected", 418), ("/nowhere", 404), ("/http?", 409)]
)
def test_an_exception_that_has_an_answer_is_no_error(path: str, status: int) -> None:
    app = failing()
    with trace(app) as seen:
        assert TestClient(app).get(path).status_code == status
    assert seen.kinds == ["request", "response", "body"]


def test_an_exception_stands_before_its_500() -> None:
    app = failing()
    with trace(app) as seen:
        assert calm(app).get("/unexpected").status_code == 500
    assert seen.kinds == ["request", "error", "response", "body"]
    assert seen.of("error")[0].detail == {
        "type": "ZeroDivisionError",
        "message": "by zero",
        "where": None,
    }


def test_an_exception_in_middleware_is_seen_too() -> None:
    app = failing()

    @app.middleware("http")
    async def broken(request: Request, call_next: Any) -> Any:
        raise LookupError("no")

    with trace(app) as seen:
        assert calm(app).get("/http").status_code == 500
    assert seen.order("error", "response")
    assert seen.errors == ["LookupError"]


def test_a_handler_of_last_resort_answers_and_it_still_is_an_error() -> None:
    app = failing()

    @app.exception_handler(Exception)
    async def sorry(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({}, 503)

    with trace(app) as seen:
        assert calm(app).get("/unexpected").status_code == 503
    assert seen.kinds == ["request", "error", "response", "body"]


def test_an_exception_that_cannot_speak_breaks_nothing() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    app = FastAPI()

    @app.get("/")
    def fail() -> None:
        raise MuteError

    with trace(app) as seen, pytest.raises(MuteError):
        TestClient(app).get("/")
    assert seen.errors == ["MuteError"]


def test_an_exception_after_the_body(engine: Engine) -> None:
    app = FastAPI()

    def late() -> Iterator[None]:
        yield
        raise ZeroDivisionError

    @app.get("/", dependencies=[Depends(late)])
    def fine() -> None: ...

    with trace(app, engine) as seen:
        assert calm(app).get("/").status_code == 200
    assert seen.kinds == ["request", "response", "body", "error"]


def test_a_failure_in_a_mounted_app_is_seen_once_and_in_time() -> None:
    app, inner = FastAPI(), failing()
    app.mount("/inner", inner)
    with trace(app) as seen:
        assert calm(app).get("/inner/unexpected").status_code == 500
        assert calm(app).get("/inner/http").status_code == 409
    assert seen.request(1).kinds == ["request", "error", "response", "body"]
    assert seen.request(2).kinds == ["request", "response", "body"]
    assert seen[0]["path"] == "/inner/unexpected"


def test_a_mounted_app_given_by_itself(engine: Engine) -> None:
    app, inner = FastAPI(), failing()
    app.mount("/inner", inner)
    with trace(inner) as seen:
        calm(app).get("/inner/http")
        calm(app).get("/elsewhere")
    assert seen.statuses == [409]
    with trace(app, inner) as seen:
        calm(app).get("/inner/http")
    assert seen.statuses == [409]


def test_an_app_that_asks_another(engine: Engine) -> None:
    inner, outer = failing(), FastAPI()

    @outer.get("/")
    async def pass_on() -> int:
        transport = httpx.ASGITransport(app=inner)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/http")).status_code

    with trace(inner, outer) as seen:
        assert TestClient(outer).get("/").json() == 409
    assert [(one.kind, one.request) for one in seen] == [
        ("request", 1),
        ("request", 2),
        ("response", 2),
        ("body", 2),
        ("response", 1),
        ("body", 1),
    ]


# -- secrets ---------------------------------------------------------------------------------------
class Colour(Enum):
    """A value that a driver cannot send by itself."""

    RED = "r"


class Sly:
    """Would rather not be looked at."""

    def __str__(self) -> str:
        raise AssertionError("a parameter was asked to describe itself")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("statement", "params", "shown"),
    [
        ("SELECT :name, :password", {"name": "Ann", "password": "x"}, {"Ann", "•••"}),
        ("SELECT :name, :pw AS hashed_password", {"name": "Ann", "pw": "x"}, {"•••"}),
        ("SELECT :name, :pages", {"name": "Ann", "pages": 3}, {"Ann", 3}),
        ("SELECT :name, :api_key", {"name": "Ann", "api_key": "x"}, {"Ann", "•••"}),
    ],
)
def test_secrets_are_left_out(
    engine: Engine, statement: str, params: dict[str, Any], shown: set[Any]
) -> None:
    with trace(engine) as seen, engine.connect() as connection:
        connection.execute(text(statement), params)
    assert set(seen.of("sql")[0]["params"].values()) == shown


def test_positional_values_are_left_out_where_the_statement_speaks_of_secrets(
    engine: Engine,
) -> None:
    with trace(engine) as seen, engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE user (username TEXT, hashed_password TEXT)")
        adding = "INSERT INTO user (username, hashed_password) VALUES (?, ?)"
        connection.exec_driver_sql(adding, ("ann", "argon2-of-ann"))
        connection.exec_driver_sql(adding, [("bob", "argon2-of-bob"), ("cy", "argon2-of-cy")])
        connection.exec_driver_sql("SELECT * FROM user WHERE username = ?", ("ann",))
    _, one, many, last = seen.of("sql")
    assert one["params"] == ["•••", "•••"]
    assert many["params"] == [["•••", "•••"]] * 2
    assert last["params"] == ["ann"]
    assert "argon2" not in json.dumps(seen.to_json())


def test_a_select_that_names_a_secret_column_still_shows_what_it_looked_for(
    engine: Engine,
) -> None:
    from sqlalchemy import column, table

    user = table("user", column("username"), column("hashed_password"))
    with trace(engine) as seen, engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE user (username TEXT, hashed_password TEXT)")
        connection.execute(select(user).where(user.c.username == "ann"))
        connection.execute(select(user.c.username).where(user.c.hashed_password == "h"))
    assert seen.of("sql")[1]["params"] == {"username_1": "ann"}
    assert seen.of("sql")[2]["params"] == {"hashed_password_1": "•••"}


def test_parameters_are_plain_short_and_never_asked(engine: Engine) -> None:
    odd = {
        "list": [1, 2],
        "bytes": b"1234",
        "long": "x" * 500,
        "surrogate": "\ud800",
        "infinite": float("inf"),
        "huge": 10**5000,
        "enum": Colour.RED,
        "sly": Sly(),
        "none": None,
    }
    with trace(engine) as seen, engine.connect() as connection:
        for name, value in odd.items():
            with suppress(Exception):
                connection.execute(text(f"SELECT :{name}"), {name: value})
        connection.execute(select(Book).where(Book.id.in_([1, 2, 3])))
    shown: dict[str, Any] = {}
    for one in seen.of("sql"):
        shown |= one["params"]
    assert shown["list"] == [1, 2]
    assert shown["bytes"] == "<4 bytes>"
    assert len(shown["long"]) == 120
    assert shown["surrogate"] == "\ufffd"
    assert shown["infinite"] == "inf"
    assert shown["huge"] == "<an integer of 16610 bits>"
    assert (shown["enum"], shown["sly"], shown["none"]) == ("RED", "<Sly>", None)
    assert [shown[f"id_1_{n}"] for n in (1, 2, 3)] == [1, 2, 3]
    json.dumps(seen.to_json(), allow_nan=False).encode()


# -- everything as it was found --------------------------------------------------------------------
POOL = ("checkout", "checkin")
CONNECTION = (
    "begin",
    "commit",
    "rollback",
    "before_cursor_execute",
    "after_cursor_execute",
)


def listeners(engine: Engine) -> list[int]:
    """How many listen to an engine, its pool and its dialect, by event."""
    heard = [len(list(engine.dialect.dispatch.handle_error))]
    heard += [len(list(getattr(engine.dispatch, name))) for name in CONNECTION]
    return heard + [len(list(getattr(engine.pool.dispatch, name))) for name in POOL]


def condition(app: FastAPI, engine: Engine) -> list[Any]:
    """All that a recorder touches, as it is now."""
    return [
        *listeners(engine),
        len(list(Session().dispatch.after_begin)),
        vars(Session)["__init__"],
        vars(Session)["close"],
        app.middleware_stack,
        getattr(app.middleware_stack, "app", None),
        "build_middleware_stack" in vars(app),
    ]


@pytest.fixture(params=["unused", "used"])
def app(request: pytest.FixtureRequest, engine: Engine) -> FastAPI:
    """An app with a list of titles, new or already running."""
    made = failing()

    @made.get("/titles")
    def titles() -> list[str]:
        with Session(engine) as session:
            return list(session.scalars(select(Book.title)))

    if request.param == "used":
        TestClient(made).get("/titles")
    return made


def test_nothing_recorded_nothing_changed(app: FastAPI, engine: Engine) -> None:
    before = condition(app, engine)
    with trace(app, engine):
        pass
    assert condition(app, engine) == before


def test_all_is_put_back_after_an_exception(app: FastAPI, engine: Engine) -> None:
    TestClient(app).get("/titles")
    before = condition(app, engine)
    with pytest.raises(ZeroDivisionError), trace(app, engine):
        TestClient(app).get("/titles")
        raise ZeroDivisionError
    assert condition(app, engine) == before
    with pytest.raises(ZeroDivisionError), trace(app, engine):
        TestClient(app).get("/unexpected")
    assert condition(app, engine) == before


def test_all_is_put_back_when_the_engine_was_disposed_of(app: FastAPI, engine: Engine) -> None:
    before = listeners(engine)
    with trace(app, engine):
        TestClient(app).get("/titles")
        engine.dispose()
    assert listeners(engine) == before
    assert TestClient(app).get("/titles").json() == ["Emma"]


def test_answers_are_the_same_with_and_without(app: FastAPI, engine: Engine) -> None:
    def answers() -> list[tuple[int, str]]:
        got = [calm(app).get(path) for path in ("/titles", "/http", "/unexpected", "/nowhere")]
        return [(one.status_code, one.text) for one in got]

    without = answers()
    with trace(app, engine):
        assert answers() == without
    assert answers() == without


def test_an_app_first_used_in_a_trace_keeps_the_middleware_that_it_then_made() -> None:
    made: list[object] = []

    class Counting(BaseHTTPMiddleware):
        def __init__(self, app: ASGIApp) -> None:
            super().__init__(app)
            made.append(self)

        async def dispatch(self, request: Request, call_next: Any) -> Any:
            return await call_next(request)

    app = failing()
    with trace(app) as seen:
        app.add_middleware(Counting)  # as without a trace: still possible before the first request
        TestClient(app).get("/http")
    TestClient(app).get("/http")
    assert len(made) == 1
    assert seen.statuses == [409]
    assert type(app.middleware_stack).__name__ == "ServerErrorMiddleware"


def test_traces_in_each_other_count_for_themselves(app: FastAPI, engine: Engine) -> None:
    TestClient(app).get("/titles")
    before = condition(app, engine)
    with trace(app, engine) as outer:
        TestClient(app).get("/titles")
        with trace(app, engine) as inner:
            TestClient(app).get("/titles")
    assert {one.request for one in inner} == {1}
    assert {one.request for one in outer} == {1, 2}
    assert inner.kinds == outer.request(2).kinds == outer.request(1).kinds
    assert condition(app, engine) == before


def test_traces_that_end_in_the_order_in_which_they_began(app: FastAPI, engine: Engine) -> None:
    before = condition(app, engine)
    one, two = trace(app, engine), trace(app, engine)
    first, second = one.__enter__(), two.__enter__()
    one.__exit__(None, None, None)
    second.note("still on")
    two.__exit__(None, None, None)
    assert condition(app, engine) == before
    assert (len(first), len(second)) == (0, 1)


def test_a_trace_is_used_again_but_not_within_itself(app: FastAPI, engine: Engine) -> None:
    recorder = trace(app, engine)
    with recorder as first:
        TestClient(app).get("/titles")
        with pytest.raises(RuntimeError, match="anew"):
            recorder.__enter__()
    with recorder as second:
        TestClient(app).get("/titles")
    assert first.kinds == second.kinds


def test_a_request_that_outlasts_the_trace_is_left_in_peace(engine: Engine) -> None:
    app = FastAPI()
    inside, go_on = threading.Event(), threading.Event()

    @app.get("/")
    def slow() -> None:
        with engine.connect() as connection:
            inside.set()
            go_on.wait(5)
            connection.execute(text("SELECT 1"))

    before = listeners(engine)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(TestClient(app).get("/").status_code))
    with trace(app, engine) as seen:
        thread.start()
        assert inside.wait(5)
    go_on.set()
    thread.join(5)
    assert answers == [200]
    assert seen.kinds == ["request", "checkout"]
    assert listeners(engine) == before


def test_an_outsiders_own_listeners_stay(engine: Engine) -> None:
    heard: list[str] = []

    def listen(conn: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        heard.append(statement)

    event.listen(engine, "before_cursor_execute", listen)
    with trace(engine), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert event.contains(engine, "before_cursor_execute", listen)
    assert heard == ["SELECT 1"]


def test_many_threads_number_what_they_do_without_gaps(engine: Engine) -> None:
    def work() -> None:
        for _ in range(20):
            with Session(engine) as session:
                session.scalars(select(Book)).all()

    with trace(engine) as seen:
        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(one["session"] for one in seen.of("session_open")) == list(range(1, 101))
    assert [one["rows"] for one in seen.of("sql")] == [1] * 100
    assert [one.at_ms for one in seen] == sorted(one.at_ms for one in seen)
    assert seen.checked_out == 0


# -- wrong use -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ((), "trace() got nothing to record; give it"),
        (("app",), "trace() got a str; give it"),
        ((FastAPI,), "trace() got the class FastAPI; give it"),
        ((sessionmaker(),), "trace() got a sessionmaker; give it"),
        ((async_sessionmaker(class_=AsyncSession),), "trace() got an async_sessionmaker; give it"),
    ],
)
def test_a_wrong_target_is_told_what_to_give(targets: tuple[Any, ...], said: str) -> None:
    with pytest.raises(TypeError) as raised:
        trace(*targets)
    assert str(raised.value).startswith(said)
    assert str(raised.value).endswith("trace(app, engine).")


def test_a_plain_function_is_no_app() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    made: Callable[..., Any] = app
    with pytest.raises(TypeError, match="got a function"):
        trace(made)
