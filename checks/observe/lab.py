"""What an exercise observes with: the learner's names, a client, fresh data, faults; no opinion."""

from __future__ import annotations

import asyncio
import io
import random
import string
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from functools import partial
from itertools import count
from typing import Any, Self, TypeVar

import anyio.from_thread
import httpx
from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    NullPool,
    QueuePool,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.testclient import TestClient

from checks.observe.arranged import (
    begin,
    between_read_and_write,
    kill_those_that_wait,
    loggers_are_quiet,
    no_garbage_collected,
    replaced,
    short_lock_wait,
    stop_listening,
    sync_engine_of,
    watched,
)
from checks.observe.evidence import Trouble, plain
from checks.observe.project import Project
from checks.observe.raised import said, where
from checks.observe.shown import one_line
from checks.observe.snapshot import file_of, take
from checks.observe.timeline import Timeline
from checks.observe.trace import Recorder

Step = dict[str, Any]
Result = TypeVar("Result")

_HEADERS = (
    "content-type",
    "location",
    "retry-after",
    "www-authenticate",
    "set-cookie",
    "allow",
)
_LONGEST_BODY = 20_000  # characters of a response that is not JSON
_LOCK_WAIT = 200  # milliseconds for a lock of SQLite's: whoever leaks one is not waited out
_RACE_WAIT = 20  # the same in a race, where the second is known to have to give way
_WAITS = 1.0  # seconds after which a request counts as waiting for the one that it interrupted
_asked = count(1)  # plans, in this process
_GIVEN_UP = 3.0  # seconds after which it is not waited for any more


def _is_pytests(error: BaseException) -> bool:
    """Whether it is what `pytest.fail()` or `pytest.skip()` raise, which is no `Exception`."""
    return any(kind.__module__.startswith("_pytest.") for kind in type(error).__mro__)


class LearnersError(Exception):
    """Carries an exception of the learner's code out of `observe`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.trouble = trouble(error)


def trouble(error: BaseException) -> Trouble:
    """An exception of the learner's as evidence."""
    return Trouble(type=type(error).__name__, message=said(error), where=where(error))


class Lab:
    """A place to try the learner's code in, left as it was found.

    Used as a context manager: on the way in it keeps the content of every SQLite database among the
    learner's engines and of the lists, dicts and sets that the exercise needs; on the way out it
    puts them back.
    """

    def __init__(self, names: Mapping[str, Any], needs: Sequence[str], seed: int) -> None:
        self._names = dict(names)
        self._needs = needs
        self.random = random.Random(seed)
        self._stack = ExitStack()
        self._clients: dict[int, TestClient] = {}
        self._watched: list[Engine | AsyncEngine] = []
        self._portal: Any = None
        self._recording: Timeline | None = None

    # -- the learner's things -----------------------------------------------------------------
    def __getitem__(self, name: str) -> Any:
        """One of the names that the learner defined."""
        return self._names[name]

    @property
    def engines(self) -> list[Engine | AsyncEngine]:
        """Every engine among the learner's names, and those that are watched."""
        found: dict[int, Engine | AsyncEngine] = {}
        for value in (*self._names.values(), *self._watched):
            if isinstance(value, Engine | AsyncEngine):
                found[id(value)] = value
        return list(found.values())

    def watch(self, engine: Engine | AsyncEngine) -> None:
        """Have an engine that the exercise itself made in the timelines to come."""
        self._watched.append(engine)

    # -- fresh data ---------------------------------------------------------------------------
    def word(self, length: int = 8) -> str:
        """A made-up lower-case word that no answer can have foreseen."""
        return "".join(self.random.choices(string.ascii_lowercase, k=length))

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self.random.randint(low, high)

    # -- requests and calls -------------------------------------------------------------------
    def request(
        self, method: str, path: str, *, app: str | Starlette = "app", **options: Any
    ) -> Step:
        """Send one request to the learner's app and write down the answer and the timeline.

        Args:
            method: The HTTP method.
            path: The path, with its query if any.
            app: The name under which the learner defined the app; or an app that the exercise made
                to try a part of the learner's in.
            options: What TestClient's `request` takes: `json`, `params`, `headers`, `data`, ...
        """
        target = self._names[app] if isinstance(app, str) else app
        client = self._client(target)
        with Recorder(target, *self.engines) as timeline, self._noting_on(timeline):
            response = _ask(client, method, path, **options)
        return _reply(f"{method} {path}", response, timeline, options.get("json"))

    def interleave(
        self,
        first: tuple[str, str, Any],
        second: tuple[str, str, Any],
        *,
        app: str = "app",
    ) -> tuple[Step, Step]:
        """Two requests at once, the second between the first one's reading and its writing.

        Each is (method, path, json). Where the first already holds the database's write lock, the
        second waits its turn, as it would in life. Works without threads, so in a browser as well.
        """
        target = self._names[app]
        client = self._client(target)
        asked = f"{second[0]} {second[1]}"
        replies: list[Step] = []
        responses: list[Any] = []
        waiting: list[tuple[Callable[[float], bool], Timeline]] = []
        engines = self.engines

        def ask() -> None:
            with self._fresh_client(target) as other:
                responses.append(other.request(second[0], second[1], json=second[2]))

        def cut_in() -> None:
            with ExitStack() as meanwhile:
                meanwhile.enter_context(short_lock_wait(engines, _RACE_WAIT))
                timeline = meanwhile.enter_context(Recorder(target, *engines))
                done = begin(ask)
                if not done(_WAITS):  # held up by a lock of the learner's own, in Python
                    waiting.append((done, Timeline(timeline)))
                    # Listeners stay until it is done: removing one while it is called is an error.
                    later.push(meanwhile.pop_all())
                elif responses and not _was_locked_out(timeline):
                    replies.append(_reply(asked, responses[0], timeline, second[2]))

        with ExitStack() as later:
            with (
                between_read_and_write(engines, cut_in),
                Recorder(target, *engines) as timeline,
            ):
                response = _ask(client, first[0], first[1], json=first[2])
                one = _reply(f"{first[0]} {first[1]}", response, timeline, first[2])
                for done, _ in waiting:
                    done(_GIVEN_UP)
            for _, until_then in waiting:
                answer = responses[0] if responses else httpx.Response(504, text="no answer")
                replies.append(_reply(asked, answer, until_then, second[2]))
        if not replies:  # never read, or locked: the second had to wait
            replies.append(self.request(second[0], second[1], json=second[2], app=app))
        return one, replies[0]

    def overtaken(
        self,
        request: tuple[str, str, Any],
        statement: str,
        *,
        app: str = "app",
        engine: str = "engine",
        **params: Any,
    ) -> tuple[Step, int]:
        """One request, and a statement of another process between its reading and its writing.

        Where the request holds the database's write lock, or never reads, the statement comes after
        it. What the learner's app keeps in Python is no protection from it.

        Args:
            request: (method, path, json).
            statement: What the other process sends and commits.
            app: The name under which the learner defined the app.
            engine: The name of an engine on the database; it must be on a file.
            params: The statement's parameters.

        Returns:
            The request's step, and how many rows the statement changed.
        """
        target = self._names[app]
        client = self._client(target)
        changed: list[int] = []

        def cut_in() -> None:
            with suppress(LearnersError):  # locked
                changed.append(self.write(statement, engine=engine, patience=0.02, **params))

        with (
            between_read_and_write(self.engines, cut_in),
            Recorder(target, *self.engines) as timeline,
        ):
            response = _ask(client, request[0], request[1], json=request[2])
        step = _reply(f"{request[0]} {request[1]}", response, timeline, request[2])
        if not changed:
            changed.append(self.write(statement, engine=engine, **params))
        return step, changed[0]

    def together(
        self, requests: Sequence[tuple[str, str, Any]], *, app: str = "app"
    ) -> dict[str, Any]:
        """Requests sent at the same time, each (method, path, json); one timeline for all.

        Returns:
            `replies`, a list of steps without timelines, and `timeline`.
        """
        target = self._names[app]
        self._client(target)  # its lifespan runs

        async def send_all() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=target, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://lab") as client:
                return await asyncio.gather(
                    *(client.request(m, path, json=body) for m, path, body in requests)
                )

        with Recorder(target, *self.engines) as timeline:
            responses = self.run(send_all)
        replies = [
            _reply(f"{asked[0]} {asked[1]}", response, Timeline(), asked[2])
            for asked, response in zip(requests, responses, strict=True)
        ]
        return {"replies": replies, "timeline": timeline.to_json()}

    def call(self, asked: str, function: Callable[..., Any], *args: Any, **options: Any) -> Step:
        """Call the learner's function; write down its value or its exception, and the timeline.

        A coroutine is awaited. `asked` names the call in cards: `get_db()`. Engines and apps that
        the function is given are recorded, too. It may be a test: `pytest.fail()` is an exception
        like others here.
        """
        value, error = None, None
        given = [one for one in args if isinstance(one, Engine | AsyncEngine | Starlette)]
        recorder = Recorder(*self.engines, *given)
        with recorder as timeline, self._noting_on(timeline):
            try:
                value = function(*args, **options)
                if asyncio.iscoroutine(value):
                    coroutine = value
                    value = self.run(lambda: coroutine)
            except BaseException as raised:
                if not isinstance(raised, Exception) and not _is_pytests(raised):
                    raise
                error = trouble(raised).model_dump()
        return {
            "asked": asked,
            "status": 0,
            "body": plain(value),
            "error": error,
            "timeline": timeline.to_json(),
        }

    def note(self, remark: str) -> None:
        """Put a remark on the timeline of the request or call that is being tried, if one is.

        For what stands in for a part of the learner's world: it says when it was called.
        """
        if self._recording is not None:
            self._recording.note(remark)

    def rows(
        self, statement: str | Executable, *, engine: str = "engine", **params: Any
    ) -> list[dict[str, Any]]:
        """What the database holds now, asked past the learner's app and pool.

        Raises:
            LearnersError: the statement fails on the learner's tables.
        """
        query = text(statement) if isinstance(statement, str) else statement
        found = self._past_the_app(
            engine, lambda connection: connection.execute(query, params).mappings().all()
        )
        return [{key: plain(value) for key, value in row.items()} for row in found]

    @contextmanager
    def plans(self, *, engine: str = "engine") -> Iterator[list[dict[str, Any]]]:
        """Ask SQLite afterwards how it went about each SELECT that is sent meanwhile.

        The list is filled on the way out, with `sql` and `plan`: the lines of EXPLAIN QUERY PLAN,
        for the same statement with the same values.
        """
        target = self._names[engine]
        sync = target.sync_engine if isinstance(target, AsyncEngine) else target
        sent: list[tuple[str, Any]] = []

        def keep(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.lstrip().upper().startswith(("SELECT", "WITH")):
                sent.append((statement, parameters))

        found: list[dict[str, Any]] = []
        event.listen(sync, "before_cursor_execute", keep)
        try:
            yield found
        finally:
            event.remove(sync, "before_cursor_execute", keep)
        for statement, parameters in sent:
            # The driver keeps prepared statements, and an EXPLAIN that is kept tells the plan of
            # before an index was made: so no two are spelt alike.
            asked = f"EXPLAIN QUERY PLAN {statement}\n-- {next(_asked)}"
            lines = self._past_the_app(engine, partial(_explained, asked, parameters))
            found.append({"sql": one_line(statement), "plan": lines})

    def write(
        self,
        statement: str | Executable,
        *,
        engine: str = "engine",
        patience: float = 1.0,
        **params: Any,
    ) -> int:
        """Change the database past the learner's app and pool, and commit.

        Args:
            statement: An INSERT, UPDATE or DELETE.
            engine: The name of an engine on the database.
            patience: For how many seconds to wait for a lock on a SQLite file.
            params: The statement's parameters.

        Returns:
            How many rows it changed.

        Raises:
            LearnersError: the statement fails on the learner's tables, or they are locked.
        """
        query = text(statement) if isinstance(statement, str) else statement

        def change(connection: Connection) -> int:
            changed = connection.execute(query, params).rowcount
            connection.commit()
            return changed

        return self._past_the_app(engine, change, patience)

    def _past_the_app(
        self, engine: str, act: Callable[[Connection], Result], patience: float = 1.0
    ) -> Result:
        target = self._names[engine]
        try:
            if path := file_of(target) if target.dialect.name == "sqlite" else None:
                own = create_engine(
                    f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": patience}
                )
                with own.connect() as connection:
                    return act(connection)
            if isinstance(target, AsyncEngine):

                async def ask() -> Result:
                    async with target.connect() as connection:
                        return await connection.run_sync(act)

                return self.run(ask)
            with target.connect() as connection:
                return act(connection)
        except DBAPIError as error:
            raise LearnersError(error) from error

    def project(
        self, folder: str, *, database: str = "bookshop.db", **environment: str | None
    ) -> Project:
        """A copy of a project folder of the learner's, to run Alembic on; a context manager.

        Args:
            folder: The folder, relative to the notebook's.
            database: The SQLite file that the project's URL names, relative to the project.
            environment: Environment variables to set meanwhile; None takes one away.

        Raises:
            ObstacleError: on entering, where there is no such folder.
        """
        return Project(folder, self.run, database, environment)

    def run(self, function: Callable[[], Awaitable[Result]]) -> Result:
        """Run an async function to its end, on one event loop that lasts as long as the lab."""
        if self._portal is None:
            self._portal = self._stack.enter_context(anyio.from_thread.start_blocking_portal())
        result: Result = self._portal.call(function)
        return result

    # -- faults -------------------------------------------------------------------------------
    @contextmanager
    def commit_fails(self) -> Iterator[None]:
        """Every commit is refused by the database, as a deferred constraint would."""

        def refuse(dialect: Any, *args: Any) -> None:
            raise dialect.loaded_dbapi.IntegrityError("FOREIGN KEY constraint failed")

        with self._dialects_do(do_commit=refuse):
            yield

    @contextmanager
    def flush_fails(self) -> Iterator[None]:
        """Every INSERT, UPDATE and DELETE fails, as on a full disk."""

        def guard(real: Callable[..., None]) -> Callable[..., None]:
            def execute(dialect: Any, cursor: Any, statement: str, *rest: Any) -> None:
                if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
                    raise dialect.loaded_dbapi.OperationalError("database or disk is full")
                real(cursor, statement, *rest)

            return execute

        with ExitStack() as stack:
            for dialect in self._dialects:
                stack.enter_context(
                    replaced(
                        dialect,
                        do_execute=guard(dialect.do_execute),
                        do_executemany=guard(dialect.do_executemany),
                    )
                )
            yield

    @contextmanager
    def pools_do_not_wait(self) -> Iterator[None]:
        """Whoever finds a pool of the learner's empty is refused at once, whatever its timeout.

        For requests sent one after the other: there, what is out does not come back by waiting.
        """
        usual: list[tuple[Engine, float]] = []
        for engine in map(sync_engine_of, self.engines):
            if isinstance(engine.pool, QueuePool):
                usual.append((engine, engine.pool._timeout))
                engine.pool._timeout = 0
        try:
            yield
        finally:
            for engine, timeout in usual:
                if isinstance(engine.pool, QueuePool):  # by now perhaps another one
                    engine.pool._timeout = timeout

    def server_restarts(self) -> None:
        """Every connection that waits in a pool of the learner's is dead from now on.

        On SQLite, whose driver says of such a connection what a server's says after a restart. Not
        for async engines.
        """
        for engine in self.engines:
            if isinstance(engine, Engine):
                with redirect_stdout(io.StringIO()):  # the learner's listeners may print
                    kill_those_that_wait(engine)

    @contextmanager
    def connection_dies(self) -> Iterator[None]:
        """The next statement finds its connection dead, as when the server goes in mid-request.

        On SQLite, and not for async engines.
        """
        to_do = [True]

        def kill(connection: Connection, *_: Any) -> None:
            if to_do:
                to_do.clear()
                driver: Any = connection.connection.driver_connection
                driver.close()

        with ExitStack() as stack:
            for engine in self.engines:
                if isinstance(engine, Engine):
                    event.listen(engine, "before_cursor_execute", kill)
                    stack.callback(stop_listening, engine, "before_cursor_execute", kill)
            yield

    @contextmanager
    def raises_in(
        self, dependency: str, error: Exception | None = None, *, app: str = "app"
    ) -> Iterator[None]:
        """The named dependency of the learner's raises instead of running."""
        problem = error or RuntimeError("the lab broke this dependency on purpose")

        def broken() -> None:
            raise problem

        overrides = self._names[app].dependency_overrides
        kept = dict(overrides)
        overrides[self._names[dependency]] = broken
        try:
            yield
        finally:
            overrides.clear()
            overrides.update(kept)

    @contextmanager
    def watching(
        self, owner: Any, *methods: str, failing: Exception | None = None
    ) -> Iterator[list[Step]]:
        """Write down each call of some methods, whoever makes it; they work on, or fail.

        Args:
            owner: An object, the learner's mailer say; or a class, for all of its objects.
            methods: The names of the methods.
            failing: What each call raises instead of doing anything: the mail server is down.

        Yields:
            The calls so far: `method`, `args` and `value`, the last None where it raised.

        Raises:
            LearnersError: there is no such method.
        """
        calls: list[Step] = []
        with ExitStack() as stack:
            for name in methods:
                real = getattr(owner, name, None)
                if not callable(real):
                    missing = f"{type(owner).__name__} has no method {name}()"
                    raise LearnersError(AttributeError(missing))
                kept = vars(owner).get(name)  # None: it is the class's, and comes back by itself
                put_back = (delattr, owner, name) if kept is None else (setattr, owner, name, kept)
                setattr(owner, name, watched(real, name, isinstance(owner, type), calls, failing))
                stack.callback(*put_back)
            yield calls

    @property
    def _dialects(self) -> list[Any]:
        return [engine.dialect for engine in self.engines]

    @contextmanager
    def _dialects_do(self, **methods: Callable[..., Any]) -> Iterator[None]:
        with ExitStack() as stack:
            for dialect in self._dialects:
                stack.enter_context(replaced(dialect, **methods))
            yield

    # -- coming and going ---------------------------------------------------------------------
    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(loggers_are_quiet())
            for engine in self.engines:
                if snapshot := take(engine, self.run):
                    self._stack.callback(snapshot.restore)
            self._stack.enter_context(self._leaks_rolled_back())
            self._stack.enter_context(short_lock_wait(self.engines, _LOCK_WAIT))
            self._stack.enter_context(no_garbage_collected())
            for name in self._needs:
                self._keep(self._names.get(name))
            self._stack.callback(self._close_clients)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _keep(self, value: Any) -> None:
        if type(value) in (list, deque):
            kept = list(value)
            self._stack.callback(lambda: (value.clear(), value.extend(kept)))
        elif type(value) in (dict, set):
            copied = value.copy()
            self._stack.callback(lambda: (value.clear(), value.update(copied)))
        elif isinstance(value, Starlette) and hasattr(value, "dependency_overrides"):
            self._keep(value.dependency_overrides)

    @contextmanager
    def _leaks_rolled_back(self) -> Iterator[None]:
        """End the transactions that connections taken meanwhile still hold open.

        They were never given back, or given back so: SQLite goes on when it refuses a commit.
        """
        out: dict[int, Any] = {}

        def taken(dbapi: Any, *_: Any) -> None:
            out[id(dbapi)] = dbapi

        def returned(dbapi: Any, *_: Any) -> None:
            if not getattr(getattr(dbapi, "driver_connection", dbapi), "in_transaction", False):
                out.pop(id(dbapi), None)

        with ExitStack() as stack:
            for engine in self.engines:
                for name, listener in (("checkout", taken), ("checkin", returned)):
                    event.listen(sync_engine_of(engine), name, listener)
                    stack.callback(stop_listening, sync_engine_of(engine), name, listener)
            yield
        for dbapi in out.values():
            driver = getattr(dbapi, "driver_connection", dbapi)
            with suppress(Exception):  # already closed, or a driver that cannot: nothing to end
                if driver is dbapi:
                    dbapi.rollback()
                else:
                    self.run(driver.rollback)

    @contextmanager
    def _noting_on(self, timeline: Timeline) -> Iterator[None]:
        before, self._recording = self._recording, timeline
        try:
            yield
        finally:
            self._recording = before

    def _client(self, app: Any) -> TestClient:
        """One client an app, with its lifespan running as under a server."""
        if id(app) not in self._clients:
            client = TestClient(app, raise_server_exceptions=False, base_url="http://lab")
            try:
                self._clients[id(app)] = client.__enter__()
            except Exception as error:  # the learner's lifespan
                raise LearnersError(error) from error
        return self._clients[id(app)]

    @contextmanager
    def _fresh_client(self, app: Any) -> Iterator[TestClient]:
        # Without `with`: the lifespan is already running.
        client = TestClient(app, raise_server_exceptions=False, base_url="http://lab")
        try:
            yield client
        finally:
            client.close()

    def _close_clients(self) -> None:
        for client in self._clients.values():
            with suppress(CancelledError, RuntimeError):  # the learner's app has ended its loop
                client.__exit__(None, None, None)
        self._clients.clear()


def _ask(client: TestClient, method: str, path: str, **options: Any) -> Any:
    try:
        return client.request(method, path, **options)
    except (CancelledError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "portal is not running" not in str(error):
            raise
        ended = RuntimeError("the app was ended while it answered, as exit() in an endpoint does")
        raise LearnersError(ended) from error


def _explained(asked: str, parameters: Any, connection: Connection) -> list[str]:
    return [str(row[-1]) for row in connection.exec_driver_sql(asked, parameters)]


# -- how a reply is written down ---------------------------------------------------------------
def _reply(asked: str, response: Any, timeline: Timeline, sent: Any) -> Step:
    try:
        body = plain(response.json())
    except (ValueError, RecursionError):
        body = response.text[:_LONGEST_BODY]
    errors = timeline.of("error")
    return {
        "asked": asked,
        "sent": plain(sent),
        "status": response.status_code,
        "body": body,
        "headers": {name: response.headers[name] for name in _HEADERS if name in response.headers},
        "error": errors[-1].detail if errors else None,
        "timeline": timeline.to_json(),
    }


def _was_locked_out(timeline: Timeline) -> bool:
    return any("locked" in str(event["failed"]) for event in timeline if event["failed"])
