"""The lab: what it writes down, what it breaks on purpose, and that it leaves no trace."""

from __future__ import annotations

import gc
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, event, text

from checks.observe.lab import Lab, LearnersError
from checks.observe.snapshot import ObstacleError
from checks.tests import shop

KINDS = ("memory", "file", "async memory", "async file")

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """The shop's names, in a folder of their own."""
    return lambda kind, **more: shop.names(kind, tmp_path, **more)


def lab_on(names: dict[str, Any], *needs: str) -> Lab:
    return Lab(names, needs or tuple(names), seed=1)


def titles(names: dict[str, Any]) -> list[str]:
    """The learner's rows, as a later lab finds them."""
    with lab_on(names) as lab:
        return [row["title"] for row in lab.rows("SELECT title FROM book ORDER BY id")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_learners_rows_are_put_back(build: Build, kind: str) -> None:
    names = build(kind)
    with lab_on(names) as lab:
        step = lab.request("POST", "/books", json={"title": "Persuasion"})
        assert step["status"] == 201
        assert {"title": "Persuasion"} in lab.rows("SELECT title FROM book")
    assert titles(names) == ["Emma"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_put_back_after_an_exception(build: Build, kind: str) -> None:
    names = build(kind)
    with pytest.raises(ZeroDivisionError), lab_on(names) as lab:
        lab.request("POST", "/books", json={"title": "Persuasion"})
        raise ZeroDivisionError
    assert titles(names) == ["Emma"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:The garbage collector is trying")  # the leak, told
def test_rows_are_put_back_after_a_session_is_leaked(build: Build, kind: str) -> None:
    names = build(kind)
    leaked = []

    def leak() -> None:
        session = names["factory"]()
        leaked.append(session)
        session.add(shop.Book(title="Sanditon"))
        session.flush()

    async def leak_async() -> None:
        session = names["factory"]()
        leaked.append(session)
        session.add(shop.Book(title="Sanditon"))
        await session.flush()

    with lab_on(names) as lab:
        step = lab.call("leak()", leak_async if kind.startswith("async") else leak)
        assert step["error"] is None
        leaked.clear()
    assert titles(names) == ["Emma"]


def test_a_database_file_that_was_not_there_is_not_left_behind(tmp_path: Path) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with Lab({"engine": engine}, ("engine",), 1) as lab:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x)"))
        assert lab.rows("SELECT * FROM t") == []
    assert not (tmp_path / "new.db").exists()


def test_an_unfinished_write_of_the_learners_is_named(build: Build, tmp_path: Path) -> None:
    names = build("file")
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ObstacleError, match=r"rollback\(\) and close\(\)"), lab_on(names):
            pass
    assert titles(names) == ["Emma"]


def test_lists_and_overrides_that_an_exercise_needs_are_put_back(build: Build) -> None:
    names = build("memory") | {"sent": ["welcome"], "prices": {"Emma": 300}}
    with lab_on(names) as lab:
        lab["sent"].append("spam")
        lab["prices"].clear()
        lab["app"].dependency_overrides[names["get_db"]] = lambda: None
    assert names["sent"] == ["welcome"]
    assert names["prices"] == {"Emma": 300}
    assert names["app"].dependency_overrides == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_commit_reaches_the_client_as_an_error(build: Build, kind: str) -> None:
    names = build(kind)
    with lab_on(names) as lab:
        with lab.commit_fails():
            step = lab.request("POST", "/books", json={"title": "Persuasion"})
        assert step["status"] == 500
        assert step["error"]["type"] == "IntegrityError"
        assert lab.request("POST", "/books", json={"title": "Mansfield Park"})["status"] == 201
    assert titles(names) == ["Emma"]


def test_a_refused_commit_after_the_response_is_a_201_that_lied(build: Build) -> None:
    with lab_on(build("memory", scope="request")) as lab, lab.commit_fails():
        step = lab.request("POST", "/books", json={"title": "Persuasion"})
    assert step["status"] == 201
    commit = next(event for event in step["timeline"] if event["kind"] == "commit")
    assert "FOREIGN KEY" in commit["detail"]["failed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_flush_fails_writes_but_not_reads(build: Build, kind: str) -> None:
    with lab_on(build(kind)) as lab, lab.flush_fails():
        assert lab.request("POST", "/books", json={"title": "Persuasion"})["status"] == 500
        assert lab.request("GET", "/books")["body"] == ["Emma"]


def test_a_dependency_that_raises(build: Build) -> None:
    names = build("memory")
    with lab_on(names) as lab:
        with lab.raises_in("get_db"):
            assert lab.request("GET", "/books")["status"] == 500
        assert lab.request("GET", "/books")["status"] == 200


class Mailer:
    """Something of the learner's that a check looks over the shoulder of."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, to: str, body: str = "") -> int:
        self.sent.append(to)
        return len(self.sent)


def test_calls_are_written_down_whoever_makes_them() -> None:
    mailer = Mailer()
    with lab_on({"mailer": mailer}) as lab, lab.watching(lab["mailer"], "send") as calls:
        mailer.send("ada", body="Welcome")
        Mailer().send("bob")
    assert calls == [{"method": "send", "args": ["ada", "Welcome"], "value": 1}]
    assert vars(mailer) == {"sent": ["ada"]}


def test_calls_on_any_object_of_a_class_are_written_down() -> None:
    before = Mailer.send
    with lab_on({}) as lab, lab.watching(Mailer, "send") as calls:
        Mailer().send("ada")
        Mailer().send("bob")
    assert [one["args"] for one in calls] == [["ada"], ["bob"]]
    assert Mailer.send is before


def test_a_method_that_fails_does_nothing_and_is_written_down() -> None:
    mailer = Mailer()
    down = ConnectionError("the mail server is down")
    with lab_on({}) as lab, lab.watching(mailer, "send", failing=down) as calls:
        with pytest.raises(ConnectionError):
            mailer.send("ada")
        assert calls == [{"method": "send", "args": ["ada"], "value": None}]
    assert mailer.send("bob") == 1


def test_watching_a_method_that_is_missing_is_the_learners_error() -> None:
    missing = pytest.raises(LearnersError, match=r"no method post\(\)")
    with lab_on({}) as lab, missing, lab.watching(Mailer(), "post"):
        pass


@pytest.mark.parametrize(
    ("buy", "statuses", "left"),
    [("naive", [201, 201], 0), ("conditional", [201, 409], 0), ("immediate", [201, 409], 0)],
)
def test_two_buyers_between_read_and_write(
    build: Build, buy: str, statuses: list[int], left: int
) -> None:
    """The naive sale sells one copy twice; the others do not, whoever has to wait."""
    names = build("file", buy=buy)
    with lab_on(names) as lab:
        sale = ("POST", "/buy/Emma", None)
        replies = lab.interleave(sale, sale)
        assert sorted(reply["status"] for reply in replies) == statuses
        assert lab.rows("SELECT stock FROM book") == [{"stock": left}]
    assert titles(names) == ["Emma"]


@pytest.mark.parametrize(
    ("buy", "sold"),
    [("naive", 2), ("conditional", 1), ("immediate", 1)],
)
def test_another_process_between_read_and_write(build: Build, buy: str, sold: int) -> None:
    names = build("file", buy=buy)
    with lab_on(names) as lab:
        step, taken = lab.overtaken(
            ("POST", "/buy/Emma", None), "UPDATE book SET stock = stock - 1 WHERE stock >= 1"
        )
        assert (step["status"] == 201) + taken == sold
    assert titles(names) == ["Emma"]


def test_a_lock_of_the_learners_own_makes_the_second_wait(build: Build) -> None:
    names = build("file", buy="naive")
    app: FastAPI = names["app"]
    sell = next(r.endpoint for r in names["app"].routes if r.path == "/buy/{title}")
    till = threading.Lock()

    @app.post("/queue/{title}", status_code=201)
    def queue(title: str) -> dict[str, str]:
        with till:
            answer: dict[str, str] = sell(title)
            return answer

    with lab_on(names) as lab:
        replies = lab.interleave(("POST", "/queue/Emma", None), ("POST", "/queue/Emma", None))
    assert sorted(reply["status"] for reply in replies) == [201, 409]


@pytest.mark.parametrize("kind", KINDS)
def test_writing_past_the_app(build: Build, kind: str) -> None:
    names = build(kind)
    with lab_on(names) as lab:
        changed = lab.write("UPDATE book SET title = :title", title="Villette")
        assert changed == 1
        assert lab.request("GET", "/books")["body"] == ["Villette"]
    assert titles(names) == ["Emma"]


@pytest.mark.parametrize("kind", KINDS)
def test_how_the_database_answers_a_request(build: Build, kind: str) -> None:
    with lab_on(build(kind)) as lab:
        lab.write("DROP TABLE book")
        lab.write("CREATE TABLE book (id integer primary key, title text, stock int)")
        found = []
        for index in (False, True):
            if index:
                lab.write("CREATE INDEX by_title ON book (title)")
            with lab.plans() as plans:
                lab.request("GET", "/books")
                assert plans == []
            found += plans
    assert [one["sql"].split()[0] for one in found] == ["SELECT", "SELECT"]
    before, after = (one["plan"] for one in found)
    assert "by_title" not in str(before)
    assert "by_title" in str(after)


def test_a_transaction_left_open_by_a_refused_commit_is_ended(build: Build) -> None:
    names = build("file")
    book = names["Book"]
    with lab_on(names) as lab:

        def add_and_commit() -> None:
            with names["factory"]() as session:
                session.add(book(title="Persuasion"))
                session.commit()

        with lab.commit_fails():
            assert lab.call("add()", add_and_commit)["error"]["type"] == "IntegrityError"
    with names["factory"].begin() as session:
        session.add(book(title="Villette"))
    assert titles(names) == ["Emma", "Villette"]


@pytest.mark.parametrize("kind", ("file", "async file"))
def test_requests_at_once_are_told_apart(build: Build, kind: str) -> None:
    with lab_on(build(kind)) as lab:
        seen = lab.together([("GET", "/books", None)] * 3)
    assert [reply["status"] for reply in seen["replies"]] == [200] * 3
    numbers = {event["request"] for event in seen["timeline"] if event["kind"] == "sql"}
    assert numbers == {1, 2, 3}


def test_the_evidence_is_json_whatever_the_app_returns(build: Build) -> None:
    names = build("memory")

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("never call me")

    with lab_on(names) as lab:
        step = lab.call("odd()", lambda: {"odd": Odd(), "book": shop.Book(title="x"), 1: {2, 3}})
    assert json.loads(json.dumps(step))["body"]["odd"] == {"type": "Odd"}
    assert step["body"]["book"]["title"] == "x"


def test_a_call_that_raises_is_written_down(build: Build) -> None:
    with lab_on(build("memory")) as lab:
        step = lab.call("divide()", lambda: 1 // 0)
    assert step["error"]["type"] == "ZeroDivisionError"


@pytest.mark.parametrize("give_up", [pytest.fail, pytest.skip])
def test_a_call_may_be_a_test_that_gives_up(build: Build, give_up: Callable[[str], None]) -> None:
    with lab_on(build("memory")) as lab:
        step = lab.call("test_books()", give_up, "eleven statements")
        assert step["error"]["message"] == "eleven statements"
        with pytest.raises(KeyboardInterrupt):
            lab.call("test_books()", interrupted)


def interrupted() -> None:
    raise KeyboardInterrupt


def test_a_call_records_the_engines_and_apps_that_it_is_given(build: Build, tmp_path: Path) -> None:
    other = shop.names("memory", tmp_path)

    def ask(app: FastAPI, engine: Engine) -> None:
        TestClient(app).get("/books/1")
        with engine.connect() as connection:
            connection.execute(text("SELECT 17"))

    with lab_on(build("memory")) as lab:
        step = lab.call("ask(app, engine)", ask, other["app"], other["engine"])
    sent = [one["detail"]["sql"] for one in step["timeline"] if one["kind"] == "sql"]
    assert sent[-1] == "SELECT 17"
    assert [one["detail"]["path"] for one in step["timeline"] if one["kind"] == "request"] == [
        "/books/1"
    ]


def test_a_lifespan_that_raises_is_the_learners_error() -> None:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        raise RuntimeError("no database today")
        yield

    app = FastAPI(lifespan=lifespan)
    with pytest.raises(LearnersError, match="no database today"), Lab({"app": app}, (), 1) as lab:
        lab.request("GET", "/")


def test_rows_of_a_table_that_is_missing_are_the_learners_error(build: Build) -> None:
    with lab_on(build("memory")) as lab, pytest.raises(LearnersError, match="no such table"):
        lab.rows("SELECT * FROM nowhere")


def test_random_data_follows_the_seed() -> None:
    assert Lab({}, (), 5).word() == Lab({}, (), 5).word() != Lab({}, (), 6).word()


def busy_timeout(connection: Any) -> int:
    """For how many milliseconds SQLite waits for a lock."""
    return int(connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one())


def test_a_leaked_lock_is_not_waited_out(build: Build) -> None:
    """SQLite is told to wait 200 ms in the lab and five seconds outside; asked, not timed."""
    engine = build("file")["engine"]
    with Lab({"engine": engine}, (), 1), engine.connect() as connection:
        assert busy_timeout(connection) == 200
    with engine.connect() as connection:
        assert busy_timeout(connection) == 5000


def test_an_async_one_is_not_waited_out_either(build: Build) -> None:
    engine = build("async file")["engine"]

    async def patience() -> int:
        async with engine.connect() as connection:
            found: int = await connection.run_sync(busy_timeout)
            return found

    with Lab({"engine": engine}, (), 1) as lab:
        assert lab.run(patience) == 200
    with Lab({}, (), 1) as lab:  # knows no engine, so it changes none
        assert lab.run(patience) == 5000


def test_a_race_within_the_lab_leaves_the_wait_as_it_was(build: Build) -> None:
    names = build("file", buy="naive")
    sale = ("POST", "/buy/Emma", None)
    with lab_on(names) as lab:
        lab.interleave(sale, sale)
    with names["engine"].connect() as connection:
        assert busy_timeout(connection) == 5000


def test_a_connection_that_is_never_given_back_gets_its_usual_wait_back(build: Build) -> None:
    names = build("file")
    with lab_on(names):
        leaked = names["engine"].connect()
    assert busy_timeout(leaked) == 5000
    leaked.close()


def test_an_empty_pool_is_not_waited_for(build: Build) -> None:
    names = build("file")
    engine = names["engine"]
    with lab_on(names) as lab, lab.pools_do_not_wait():
        held = [engine.connect() for _ in range(15)]
        step = lab.call("connect()", engine.connect)
        assert step["error"]["type"] == "TimeoutError"
        for one in held:
            one.close()
    assert engine.pool.timeout() == 30


def test_after_a_restart_the_first_request_fails_unless_the_pool_asks(build: Build) -> None:
    from sqlalchemy import create_engine

    names = build("file")
    asking = create_engine(names["engine"].url, pool_pre_ping=True)

    def read(engine: Any) -> int:
        with engine.connect() as connection:
            return int(connection.exec_driver_sql("SELECT 1").scalar_one())

    with lab_on({**names, "asking": asking}) as lab:
        for engine in (names["engine"], asking):
            assert lab.call("read()", read, engine)["error"] is None
        lab.server_restarts()
        plain = [lab.call("read()", read, names["engine"])["error"] for _ in range(2)]
        assert [error and error["type"] for error in plain] == ["ProgrammingError", None]
        assert lab.call("read()", read, asking)["error"] is None


def test_a_restart_says_nothing_through_the_learners_listeners(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    names = build("file")
    event.listen(names["engine"], "checkout", lambda *_: print("checkout"))
    with lab_on(names) as lab:
        with names["engine"].connect():
            pass
        assert capsys.readouterr().out == "checkout\n"
        lab.server_restarts()
        assert capsys.readouterr().out == ""


def test_a_connection_that_dies_in_use_fails_one_request(build: Build) -> None:
    names = build("file")
    with lab_on(names) as lab:
        with lab.connection_dies():
            assert lab.request("GET", "/books")["status"] == 500
            assert lab.request("GET", "/books")["status"] == 200
        assert lab.request("GET", "/books")["status"] == 200


def test_a_remark_of_the_labs_stands_in_its_place_on_the_timeline(build: Build) -> None:
    names = build("file")
    engine = names["engine"]

    def read() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        lab.note("called")

    with lab_on(names) as lab:
        lab.note("nothing is being tried")
        kinds = [event["kind"] for event in lab.call("read()", read)["timeline"]]
    assert kinds.index("checkin") < kinds.index("note")


def test_a_leak_in_the_lab_is_not_mended_by_luck(build: Build) -> None:
    with lab_on(build("file")):
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_engine_of_the_exercises_own_is_watched() -> None:
    own = create_engine("sqlite://")

    def ask() -> None:
        with own.connect() as connection:
            connection.execute(text("SELECT 1"))

    with Lab({}, (), 1) as lab:
        lab.watch(own)
        step = lab.call("ask()", ask)
    assert "sql" in [one["kind"] for one in step["timeline"]]
