"""Lesson 04, async setup: the port, MissingGreenlet, one session for each task, async clients."""

from __future__ import annotations

import asyncio
import inspect as inspect_code
import re
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, get_args

from fastapi import Depends, FastAPI, HTTPException, params
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import sessionmaker

from checks.exercise import Exercise, Model, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab, LearnersError
from checks.observe.timeline import Timeline

NOBODY = 999_999  # an id that no author has
BUDGET = 3  # SELECTs that a list of authors with their books may take


class AsyncSetup(Exercise):
    """`engine`, `SessionLocal` and `make_tables()` are async, and work together."""

    id = "04.setup"
    title = "Port the setup"
    needs = {
        "engine": AsyncEngine,
        "SessionLocal": (async_sessionmaker, sessionmaker),
        "make_tables": Callable,
        "User": Model,
    }
    hints = (
        "Three lines change: the URL names aiosqlite, the factory is `async_sessionmaker` with one "
        "flag, and `create_all` is plain code that has to go over the bridge.",
        "`async with engine.begin() as connection:` opens a connection. `connection.run_sync(...)` "
        "calls a plain function with it, and is awaited.",
        'create_async_engine("sqlite+aiosqlite://"), async_sessionmaker(engine, '
        "expire_on_commit=False), await connection.run_sync(Base.metadata.create_all)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        factory, make_tables, user = lab["SessionLocal"], lab["make_tables"], lab["User"]
        name, count = lab.word(), text("SELECT count(*) FROM user WHERE username = :name")
        probe = FastAPI()

        @probe.post("/users")
        async def add() -> Any:
            async with factory() as session:
                added = user(username=name, hashed_password="x")
                session.add(added)
                await session.commit()
                return {"username": added.username}

        @probe.get("/users")
        async def look() -> Any:
            async with factory() as session:
                return (await session.execute(count, {"name": name})).scalar_one()

        async def call() -> None:
            made = make_tables()
            if inspect_code.isawaitable(made):
                await made

        return {
            "name": name,
            "made": lab.call("make_tables()", call),
            "again": lab.call("make_tables()", call),
            "added": lab.request("POST", "/users", app=probe),
            "found": lab.request("GET", "/users", app=probe),
        }

    @requirement(1, shows="made")
    def makes_the_tables(self, seen: Seen) -> None:
        """`make_tables()` makes all tables, and a second call does no harm."""
        for name, which in (("made", ""), ("again", " a second time")):
            made = seen.step(name)
            expect(
                made.error is None,
                saw=f"`await make_tables()`{which} raised {made.error}: {made.error_message}.",
                wanted="It should make the tables that are not there yet.",
            )
        expect(
            not _says(seen.step("added"), "no such table"),
            saw="After `await make_tables()` the first session found no table.",
            wanted="The tables should be there, in the database of `engine`.",
        )
        timeline = seen.step("made").timeline
        expect(
            not any("CREATE TABLE" in one for one in timeline.statements) or timeline.commits > 0,
            saw="The tables were made in a transaction that was rolled back. SQLite keeps them all "
            "the same; PostgreSQL does not.",
            wanted="It should be committed, as `async with engine.begin()` does at its end.",
        )

    @requirement(2, shows="found")
    def one_database(self, seen: Seen) -> None:
        """What one session commits, the next one sees, in async endpoints."""
        found = seen.step("found")
        expect(
            found.body == 1,
            saw=f"An endpoint kept a user, and another one looked for it: {found.heard}, with "
            f"`{found.body}`.",
            wanted="It should find one.",
        )

    @requirement(2, shows="added")
    def objects_keep_their_values(self, seen: Seen) -> None:
        """An object can be read after the commit, without another question to the database."""
        added = seen.step("added")
        expect(
            added.body == {"username": seen["name"]},
            saw=f"An endpoint committed a user and then read `user.username`: {added.heard}.",
            wanted="It should answer with the name.",
        )
        expect(
            not added.timeline.selects,
            saw="After the commit, another SELECT was sent for what the object had held.",
            wanted="It should keep its values: `expire_on_commit=False`.",
        )

    @mistake(shows="made")
    def outside_the_bridge(self, seen: Seen) -> bool:
        """`create_all` was called on the sync engine inside the async one. It wants a connection,
        which is a wait, and no `await` of SQLAlchemy's is around it. Take it over the bridge:
        `async with engine.begin() as connection`, and in it
        `await connection.run_sync(Base.metadata.create_all)`."""
        made = seen.step("made")
        return made.error == "MissingGreenlet" or _says(made, "greenlet_spawn")

    @mistake(shows="made")
    def create_all_on_the_async_engine(self, seen: Seen) -> bool:
        """`create_all` is plain code and does not know async engines. Lend it to `run_sync`, which
        calls it with a connection that it understands:
        `await connection.run_sync(Base.metadata.create_all)`."""
        return _says(seen.step("made"), "_run_ddl_visitor")

    @mistake(shows="made")
    def called_instead_of_lent(self, seen: Seen) -> bool:
        """`create_all()` was called on the spot, without a connection. `run_sync` wants the
        function itself, to call it on the other side: write `Base.metadata.create_all`, without
        the brackets."""
        made = seen.step("made")
        return made.error == "TypeError" and "'bind'" in made.error_message

    @mistake(shows="made")
    def opened_with_a_plain_with(self, seen: Seen) -> bool:
        """`with engine.begin()` finds no door: an async connection is opened with `async with`."""
        return _says(seen.step("made"), "the context manager protocol")

    @mistake(shows="made")
    def run_sync_of_the_engine(self, seen: Seen) -> bool:
        """`run_sync` is a method of a connection, and not of the engine. Open one first: `async
        with engine.begin() as connection: await connection.run_sync(...)`."""
        return _says(seen.step("made"), "no attribute 'run_sync'")

    @mistake(shows="made", marks=("rollback",))
    def connected_without_a_commit(self, seen: Seen) -> bool:
        """`engine.connect()` only opens a connection. Nobody committed what was done on it, so it
        was rolled back. SQLite keeps its tables all the same; PostgreSQL does not. Take
        `engine.begin()`, which commits."""
        made = seen.step("made")
        told = made.error or _says(seen.step("added"), "no such table")
        created = any("CREATE TABLE" in one for one in made.timeline.statements)
        return created and not told and not made.timeline.commits

    @mistake(shows="made")
    def a_loop_inside_a_loop(self, seen: Seen) -> bool:
        """`make_tables` starts an event loop of its own, with `asyncio.run`, while one is running:
        FastAPI's, or this notebook's. Make it an `async def` and await inside it."""
        return _says(seen.step("made"), "running event loop")

    @mistake(shows="added")
    def a_sync_factory(self, seen: Seen) -> bool:
        """`SessionLocal` makes plain sessions, which know no `async with`. An async engine needs
        `async_sessionmaker(engine, expire_on_commit=False)`."""
        return _says(seen.step("added"), "asynchronous context manager")

    @mistake(shows="added")
    def not_bound(self, seen: Seen) -> bool:
        """`SessionLocal()` makes sessions that do not know any database: the factory was not given
        the engine. Write `async_sessionmaker(engine, ...)`."""
        return seen.step("added").error == "UnboundExecutionError"

    @mistake(shows="added", marks=("commit",))
    def expired(self, seen: Seen) -> bool:
        """The commit expired the user, so the look at `user.username` wanted to send a SELECT, and
        an attribute cannot be awaited: a `MissingGreenlet`, wrapped in a `StatementError`. Give the
        factory `expire_on_commit=False`."""
        return _says(seen.step("added"), "MissingGreenlet")

    @mistake(shows="made")
    def nothing_awaited(self, seen: Seen) -> bool:
        """`make_tables()` came to its end and nothing was sent to the database: see the timeline.
        A call without `await` never happens. Put it before `connection.run_sync(...)`."""
        made = seen.step("made")
        return made.error is None and not made.timeline.statements

    @mistake(shows="added")
    def gone_with_the_connection(self, seen: Seen) -> bool:
        """The tables were made, and the next connection did not find them: a database in memory
        belongs to one connection, and this engine opens a new one each time. Leave the `poolclass`
        out, and SQLAlchemy takes `StaticPool`; or use a file. If there are two engines, make it
        one."""
        made = seen.step("made")
        return bool(made.timeline.statements) and _says(seen.step("added"), "no such table")


class AsyncSessionForEachRequest(Exercise):
    """Each request has an async session of its own, committed on success, rolled back on any
    error, and always closed."""

    id = "04.get_db"
    title = "A session for each request, async"
    needs = {"get_db": Callable, "SessionDep": object, "SessionLocal": object}
    after = ("04.setup",)
    hints = (
        "It is `async def`, it opens the session with `async with`, and whatever talks to the "
        "database is awaited.",
        "`SessionLocal.begin()` is an `async with` block that commits, or rolls back, and closes.",
        "async with SessionLocal.begin() as session: yield session, and Depends(get_db, "
        'scope="function")',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        table = f"probe_{lab.word()}"
        words = {name: lab.word() for name in ("kept", "broke", "turned_away", "refused")}
        put = text(f"INSERT INTO {table} VALUES (:word)")
        lab.write(f"CREATE TABLE {table} (word TEXT)")
        found = [one for one in get_args(lab["SessionDep"]) if isinstance(one, params.Depends)]
        given: Any = found[0] if found else None
        called = given is not None and not callable(given.dependency)
        if given is None or called:  # the dependency itself can be tried all the same
            given = Depends(lab["get_db"], scope="function")
        probe = FastAPI()

        @probe.post("/kept")
        async def keep(session: Any = given) -> None:
            await session.execute(put, {"word": words["kept"]})

        @probe.post("/broke")
        async def fail(session: Any = given) -> None:
            await session.execute(put, {"word": words["broke"]})
            raise RuntimeError("the endpoint failed on purpose")

        @probe.post("/turned-away")
        async def turn_away(session: Any = given) -> None:
            await session.execute(put, {"word": words["turned_away"]})
            raise HTTPException(409, "the endpoint turned you away on purpose")

        @probe.post("/refused")
        async def refuse(session: Any = given) -> None:
            await session.execute(put, {"word": words["refused"]})

        get_db = inspect_code.unwrap(lab["get_db"])
        yields = inspect_code.isgeneratorfunction(get_db) or inspect_code.isasyncgenfunction(get_db)
        seen: dict[str, Any] = {
            "words": words,
            "alias": bool(found) and not called,
            "called": called,
            "yields": yields,
        }
        with _never_awaited() as dropped:
            for name in ("kept", "broke", "turned_away"):
                seen[name] = lab.request("POST", f"/{name.replace('_', '-')}", app=probe)
        seen["dropped"] = sorted(dropped)
        seen["rows"] = []
        with suppress(LearnersError):  # a connection thrown away takes a database in memory along
            seen["rows"] = [row["word"] for row in lab.rows(f"SELECT word FROM {table}")]
        with lab.commit_fails():
            seen["refused"] = lab.request("POST", "/refused", app=probe)
        return seen

    @requirement(2, shows="kept")
    def commits(self, seen: Seen) -> None:
        """When the endpoint succeeds, its changes are committed."""
        kept = seen.step("kept")
        expect(
            seen["alias"],
            saw="`SessionDep` does not say where the session comes from.",
            wanted="It should be `Annotated[AsyncSession, Depends(...)]`.",
        )
        expect(
            kept.status == 200,
            saw=f"An endpoint used `SessionDep` to write a row: {kept.heard}.",
            wanted="It should be able to, and answer 200.",
        )
        expect(
            seen["words"]["kept"] in seen["rows"] and kept.timeline.commits > 0,
            saw="The endpoint wrote a row and succeeded, and no commit kept it.",
            wanted="It should have been committed.",
        )

    @requirement(1, shows="kept")
    def before_the_answer(self, seen: Seen) -> None:
        """The commit comes before the answer; when it fails, the client hears so."""
        expect(
            seen.step("kept").timeline.order("commit", "response"),
            saw="The commit does not stand above the response on the timeline.",
            wanted="It should be made before the client has its answer.",
        )
        refused = seen.step("refused")
        expect(
            refused.status >= 400,
            saw=f"The commit failed, and the client heard {refused.status}.",
            wanted="It should hear an error.",
        )

    @requirement(2, shows="turned_away")
    def rolls_back(self, seen: Seen) -> None:
        """When the endpoint raises, nothing is kept, and the client hears what it should."""
        for name, status in (("broke", 500), ("turned_away", 409)):
            step = seen.step(name)
            expect(
                bool(step.timeline.writes),
                saw=f"{step.heard}, before it could write anything.",
                wanted=f"It should write a row and then raise, which means {status}.",
            )
            expect(
                seen["words"][name] not in seen["rows"],
                saw=f"`{step.asked}` wrote a row and then raised, and the row is there.",
                wanted="It should have been rolled back.",
            )
            expect(
                step.status == status,
                saw=f"{step.heard}, though the endpoint's own exception means {status}.",
                wanted="The exception should pass through `get_db` unchanged.",
            )

    @requirement(1, shows="broke")
    def closes(self, seen: Seen) -> None:
        """Each request opens a session, closes it and gives its connection back, whatever
        happened."""
        for name in ("kept", "broke", "turned_away"):
            step = seen.step(name)
            opened, closed = _sessions(step.timeline)
            expect(
                0 < opened <= closed and step.timeline.checked_out == 0,
                saw=f"During `{step.asked}`, sessions opened: {opened}, closed: {closed}.",
                wanted="Each request should open one, and close it.",
                why="A session that nobody closes keeps a connection until the pool has none left.",
            )

    @mistake()
    def called_it(self, seen: Seen) -> bool:
        """`Depends(get_db())` calls your function once, while the app is built, and hands FastAPI
        what came out. FastAPI wants the function, to call it for each request: write
        `Depends(get_db, ...)`, without the brackets."""
        return bool(seen["called"])

    @mistake()
    def no_alias(self, seen: Seen) -> bool:
        """`SessionDep` is not what an endpoint can put behind a parameter: it should be an
        `Annotated[AsyncSession, Depends(get_db, ...)]`, the type and where it comes from together.
        """
        return not seen["alias"]

    @mistake(shows="kept")
    def plain_with(self, seen: Seen) -> bool:
        """An async session is opened with `async with`; a plain `with` finds no door. For that the
        function has to be an `async def`."""
        kept = seen.step("kept")
        return kept.error == "TypeError" and "the context manager protocol" in kept.error_message

    @mistake(shows="kept")
    def decorated(self, seen: Seen) -> bool:
        """The endpoint got a context manager and not a session: `get_db` is decorated with
        `@asynccontextmanager`. FastAPI wraps a generator function itself; take the decorator off.
        """
        return "GeneratorContextManager" in seen.step("kept").error_message

    @mistake(shows="kept")
    def a_transaction_for_a_session(self, seen: Seen) -> bool:
        """The endpoint got a transaction and not a session: `SessionLocal().begin()` makes a
        session and hands you only what it began. Take the first pair of brackets away:
        `SessionLocal.begin()`."""
        return "AsyncSessionTransaction" in seen.step("kept").error_message

    @mistake(shows="kept")
    def awaited_a_session(self, seen: Seen) -> bool:
        """A session is not awaited, only what it does: `SessionLocal()` makes one at once, without
        a word to the database. Take that `await` away."""
        told = ("AsyncSession can't be used in 'await'", "AsyncSession' object can't be awaited")
        return _says(seen.step("kept"), *told)  # as Pythons of several ages say it

    @mistake(shows="kept")
    def another_factory(self, seen: Seen) -> bool:
        """`get_db` opens its sessions on another database than that of `SessionLocal`, and what was
        to be written to was not there. Open them with your own `SessionLocal`."""
        return _says(seen.step("kept"), "no such table: probe_")

    @mistake(shows="kept")
    def returned_it(self, seen: Seen) -> bool:
        """`get_db` returns a session, and that is the end of the function: nothing is left that
        could commit or close. `yield` the session instead; what follows the `yield` runs when the
        endpoint is done."""
        return not seen["yields"]

    @mistake(shows="kept")
    def nobody_awaited_it(self, seen: Seen) -> bool:
        """`commit`, `rollback` or `close` was called and never awaited, so it never happened: the
        call only makes a coroutine. Nothing raises; Python puts a RuntimeWarning on stderr. Write
        `await` before each of them, in an `async def`."""
        return any(
            name.partition(".")[0] in ("AsyncSession", "AsyncSessionTransaction")
            for name in seen["dropped"]
        )

    @mistake(shows="kept")
    def one_for_all(self, seen: Seen) -> bool:
        """Several requests were served by one and the same session, made outside the function. In
        async that is two mistakes in one: everybody's changes in one transaction, and one session
        in many tasks. Make the session inside `get_db`."""
        return not any(_sessions(seen.step(name).timeline)[0] for name in ("kept", "broke"))

    @mistake(shows="turned_away")
    def swallowed(self, seen: Seen) -> bool:
        """`get_db` catches the endpoint's exception and does not pass it on. FastAPI then waits for
        a response that nobody makes. After the rollback, `raise`."""
        told = ("FastAPIError", "UnboundLocalError")  # by the dependency's scope
        return any(seen.step(name).error in told for name in ("broke", "turned_away"))

    @mistake(shows="kept", marks=("response", "commit"))
    def after_the_answer(self, seen: Seen) -> bool:
        """The commit stands below the response: the client has its answer before anybody knows
        whether the changes are kept. `async` changes nothing about that. Give `Depends` the
        argument `scope="function"`."""
        return seen.step("kept").timeline.order("response", "commit")

    @mistake(shows="kept")
    def never_committed(self, seen: Seen) -> bool:
        """Nothing is ever committed: the row was sent, and rolled back when the session was let go.
        `async with SessionLocal()` only closes; `async with SessionLocal.begin()` commits as well.
        """
        kept = seen.step("kept")
        return bool(kept.timeline.writes) and not kept.timeline.commits

    @mistake(shows="turned_away", marks=("commit",))
    def committed_anyway(self, seen: Seen) -> bool:
        """The endpoint raised, and its changes were committed all the same: the commit stands where
        it runs in any case, as in a `finally`. Commit right after the `yield`, which an exception
        does not get past."""
        steps = (seen.step("broke"), seen.step("turned_away"))
        return any(step.timeline.writes and step.timeline.commits for step in steps)

    @mistake(shows="broke")
    def not_closed(self, seen: Seen) -> bool:
        """A session was opened and not closed, at least when the endpoint raised. Sooner or later
        Python lets go of it, with a warning; under load the pool runs dry first. Open it with
        `async with`, or `await session.close()` in a `finally`."""
        opened, closed = _sessions(seen.step("broke").timeline)
        return closed < opened


class MendTheDeploy(Exercise):
    """Both endpoints answer with the authors' books, and the list sends no more SELECTs for many
    authors than for few."""

    id = "04.missing_greenlet"
    title = "Mend the deploy"
    needs = {"app": FastAPI, "shop_engine": AsyncEngine, "Author": Model, "Book": Model}
    hints = (
        "For a list: which of the four cures costs the same for three authors and three hundred?",
        "For the new author: what does a collection hold that nobody has set, and what does one "
        "that was set to `[]`?",
        "select(Author).options(selectinload(Author.books)), and Author(name=new.name, books=[])",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        author, book = lab["Author"].__table__, lab["Book"].__table__
        first = lab.number(1_000, 9_000)
        authors = [{"id": first + number, "name": lab.word()} for number in range(4)]
        books = [
            {"title": lab.word(), "author_id": one["id"]}
            for one in authors
            for _ in range(lab.number(1, 3))
        ]
        lab.write(insert(author).values(authors), engine="shop_engine")
        lab.write(insert(book).values(books), engine="shop_engine")
        by_author: dict[int, list[str]] = defaultdict(list)
        for row in lab.rows(book.select().order_by(book.c.id), engine="shop_engine"):
            by_author[row["author_id"]].append(row["title"])
        rows = lab.rows(author.select().order_by(author.c.id), engine="shop_engine")
        new = lab.word()
        listed = lab.request("GET", "/authors")
        added = lab.request("POST", "/authors", json={"name": new})
        kept = lab.rows(author.select().where(author.c.name == new), engine="shop_engine")
        return {
            "expected": [[row["name"], by_author[row["id"]]] for row in rows],
            "new": new,
            "listed": listed,
            "added": added,
            "kept": len(kept),
        }

    @requirement(2, shows="listed")
    def lists(self, seen: Seen) -> None:
        """`GET /authors` answers with every author and their books."""
        listed = seen.step("listed")
        expect(
            listed.status == 200,
            saw=f"{listed.heard}.",
            wanted="It should answer 200.",
        )
        expect(
            _authors(listed) == seen["expected"],
            saw="The answer does not hold every author, in order of id, with the titles of their "
            "books.",
            wanted="Each should have an `id`, a `name` and their `books`.",
        )

    @requirement(2, shows="listed")
    def within_budget(self, seen: Seen) -> None:
        """The list takes at most three SELECTs."""
        listed = seen.step("listed")
        sent, many = len(listed.timeline.selects), len(seen["expected"])
        expect(
            _authors(listed) == seen["expected"],
            saw="There is no right answer whose SELECTs could be counted.",
            wanted="The answer first, then its price.",
        )
        expect(
            sent <= BUDGET,
            saw=f"For {many} authors {sent} SELECTs were sent.",
            wanted=f"{BUDGET} should do, however many authors there are.",
            why="A query for each row is quick with ten rows and an outage with ten thousand.",
        )

    @requirement(2, shows="added")
    def adds(self, seen: Seen) -> None:
        """`POST /authors` answers 201 with the new author, who has no books, and keeps her."""
        added = seen.step("added")
        body = added.body if isinstance(added.body, dict) else {}
        expect(
            added.status == 201,
            saw=f"{added.heard}.",
            wanted="A new author should be answered with 201.",
        )
        expect(
            body.get("name") == seen["new"]
            and body.get("books") == []
            and isinstance(body.get("id"), int),
            saw=f"The body was `{added.body}`.",
            wanted="It should hold her `id`, her `name`, and `books`, an empty list.",
        )
        expect(
            seen["kept"] == 1,
            saw=f"The client heard 201, and the table has her {seen['kept']} times.",
            wanted="She should be kept, once.",
        )

    @mistake(shows="listed", marks=("error",))
    def still_lazy(self, seen: Seen) -> bool:
        """`author.books` is still loaded when somebody looks at it, here while the response is
        made, and no `await` is around that. `expire_on_commit=False` does not help, for nothing
        has expired; nor does reading the attribute earlier. Let the query bring the books:
        `.options(selectinload(Author.books))`."""
        return _says(seen.step("listed"), "MissingGreenlet")

    @mistake(shows="listed", marks=("error",))
    def closed_too_early(self, seen: Seen) -> bool:
        """The session was closed before the response was made, and the objects it left behind can
        load nothing more. Use the session that the endpoint is given, which lives until the
        response is made, and load the books in the query."""
        return _says(seen.step("listed"), "DetachedInstanceError")

    @mistake(shows="listed", marks=("error",))
    def not_made_unique(self, seen: Seen) -> bool:
        """`joinedload` of a collection repeats each author for every book, and SQLAlchemy wants to
        hear that you know: `(await session.scalars(query)).unique().all()`. Or take
        `selectinload`, which repeats nothing."""
        return _says(seen.step("listed"), "unique()")

    @mistake(shows="listed", marks=("error",))
    def awaited_elsewhere(self, seen: Seen) -> bool:
        """An `await` is missing or too many. `session.scalars(...)` has to be awaited; `.all()` on
        what comes of it has not: `(await session.scalars(query)).all()`."""
        told = ("'coroutine' object has no", "used in 'await' expression", "can't be awaited")
        return _says(seen.step("listed"), *told)

    @mistake(shows="listed")
    def field_dropped(self, seen: Seen) -> bool:
        """The error is gone because `books` is: it has left the response. That is what the front
        end had asked for. Keep `AuthorOut`, and load what it shows."""
        body = seen.step("listed").body
        return isinstance(body, list) and any(
            isinstance(one, dict) and "books" not in one for one in body
        )

    @mistake(shows="listed")
    def empty_handed(self, seen: Seen) -> bool:
        """Every author comes without books, though the table has some: the error was avoided by not
        loading them (`noload`, an empty list, an exception caught). Load them with
        `selectinload(Author.books)`."""
        found = _authors(seen.step("listed")) or []
        return bool(found) and all(not titles for _, titles in found)

    @mistake(shows="listed", marks=("sql",))
    def one_for_each(self, seen: Seen) -> bool:
        """The answer is right, and the books were fetched author by author: count the SELECTs on
        the timeline. That cures one object; for a list, let the query load all of them at once,
        `selectinload(Author.books)`."""
        listed = seen.step("listed")
        right = _authors(listed) == seen["expected"]
        return right and len(listed.timeline.selects) > BUDGET

    @mistake(shows="added", marks=("error",))
    def fresh_but_not_loaded(self, seen: Seen) -> bool:
        """The list is mended, the new author is not. After the flush she is a row like any other,
        and nobody has asked for her books, so the look at `author.books` wants to load them. Make
        her with `books=[]`, or `await session.refresh(author, ["books"])`; a `refresh` without
        names loads only columns."""
        return seen.step("listed").status == 200 and _says(seen.step("added"), "MissingGreenlet")


class OneTask(Exercise):
    """The desk answers as before, and no session is used by two tasks."""

    id = "04.one_task"
    title = "Three questions"
    needs = {
        "app": FastAPI,
        "shop_engine": AsyncEngine,
        "Author": Model,
        "Book": Model,
        "Review": Model,
    }
    hints = (
        "There are two ways: ask one after the other, or give each task a session that it opens "
        "itself. Which is less to write?",
        "Without tasks: `books = await count_books(session, author_id)`, and so on. With tasks: "
        "each opens `async with ShopSession() as own:` and asks with that.",
        "Take `asyncio.gather` away and await the three in three lines.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        author, book = lab["Author"].__table__, lab["Book"].__table__
        review = lab["Review"].__table__
        author_id, title = lab.number(1_000, 9_000), lab.word()
        books = [
            {"id": author_id * 10 + number, "title": lab.word(), "author_id": author_id}
            for number in range(lab.number(2, 4))
        ]
        books[0]["title"] = title
        reviews = [
            {"words": lab.word(), "book_id": one["id"]}
            for one in books
            for _ in range(lab.number(1, 3))
        ]
        own = {"id": author_id, "name": lab.word()}
        for table, rows in ((author, [own]), (book, books), (review, reviews)):
            lab.write(insert(table).values(rows), engine="shop_engine")
        lab.run(partial(_warm, lab["shop_engine"]))
        with _never_awaited():
            return {
                "expected": {"books": len(books), "reviews": len(reviews), "first": title},
                "desk": lab.request("GET", f"/authors/{author_id}/desk"),
                "unknown": lab.request("GET", f"/authors/{NOBODY}/desk"),
            }

    @requirement(2, shows="desk")
    def answers(self, seen: Seen) -> None:
        """The desk tells the number of books, of reviews, and the first title; or 404."""
        desk, unknown = seen.step("desk"), seen.step("unknown")
        expect(
            desk.status == 200,
            saw=f"{desk.heard}.",
            wanted="It should answer 200.",
        )
        expect(
            desk.body == seen["expected"],
            saw=f"The body was `{desk.body}`.",
            wanted=f"Of this author there is `{seen['expected']}`.",
        )
        expect(
            unknown.status == 404,
            saw=f"{unknown.heard}, for an author who does not exist.",
            wanted="That should be a 404.",
        )

    @requirement(3, shows="desk")
    def one_task_a_session(self, seen: Seen) -> None:
        """No session is used by two tasks."""
        desk = seen.step("desk")
        expect(
            desk.status == 200 and bool(desk.timeline.statements),
            saw="The database was not asked for an answer, so there is nothing to look at."
            if desk.status == 200
            else f"{desk.heard}, so there is nothing to look at.",
            wanted="The desk should answer, from the database.",
        )
        most = desk.timeline.most_tasks
        expect(
            most <= 1,
            saw=f"One session's transaction was used by {most} tasks.",
            wanted="A session should be used by the one task that opened it.",
            why="They wait for each other at best, and at worst corrupt one another's transaction.",
        )

    @requirement(1, shows="desk")
    def closes(self, seen: Seen) -> None:
        """Every session that is opened is closed, and its connection given back."""
        desk = seen.step("desk")
        opened, closed = _sessions(desk.timeline)
        expect(
            0 < opened <= closed and desk.timeline.checked_out == 0,
            saw=f"{opened} sessions were opened and {closed} closed.",
            wanted="What is opened in a request should be closed in it.",
        )

    @mistake(shows="desk", marks=("error",))
    def forgot_to_await(self, seen: Seen) -> bool:
        """A question was asked and its answer never awaited: what is there is a coroutine, a task
        or a future. Put `await` before it."""
        told = "coroutine|_asyncio.Task|Future|await wasn't used"
        return bool(re.search(told, seen.step("desk").error_message))

    @mistake(shows="desk", marks=("sql",))
    def shared(self, seen: Seen) -> bool:
        """Several tasks sent their statements through one session: see the numbers of the tasks.
        Today they only stand in line for its one connection, so nothing is gained; on a cold pool,
        or when one of them writes, it raises. Another session for all of them, a lock or a
        TaskGroup does not change that. Await them in turn, or let each task open its own with
        `async with ShopSession() as own:`."""
        desk = seen.step("desk")
        told = ("concurrent operations are not permitted", "IllegalStateChangeError")
        return desk.timeline.most_tasks > 1 or _says(desk, *told)

    @mistake(shows="desk")
    def left_open(self, seen: Seen) -> bool:
        """Each task has a session, and nobody closes it: the connection stays out until Python
        happens to clean up. Open it with `async with ShopSession() as own:`."""
        opened, closed = _sessions(seen.step("desk").timeline)
        return closed < opened


class ClientForTests(Exercise):
    """`async with client_for(app) as client` asks the app in the test's own loop, with the lifespan
    running around it."""

    id = "04.client"
    title = "A client for async tests"
    needs = {"client_for": Callable}
    hints = (
        "Two things have to be open while the block runs: the app's lifespan, and the client.",
        "`httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=...)` is the client. "
        "Both are opened with `async with`, and the `yield` stands inside both.",
        "async with app.router.lifespan_context(app): and in it the client's `async with`, and in "
        "that `yield client`",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        client_for, word = lab["client_for"], lab.word()
        log: list[str] = []
        open_now: list[int] = []

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            log.append("started")
            try:
                yield
            except GeneratorExit:  # dropped, and cleaned up whenever Python comes to it
                raise
            except BaseException:
                log.append("ended")
                raise
            log.append("ended")

        probe = FastAPI(lifespan=lifespan)

        @probe.get("/word")
        async def answer() -> str:
            log.append("served")
            return word

        @probe.get("/together")
        async def together() -> int:
            open_now.append(1)
            for _ in range(20):  # as long as it takes the others to arrive
                await asyncio.sleep(0)
            at_once = len(open_now)
            open_now.pop()
            return at_once

        async def use() -> Any:
            async with client_for(probe) as client:
                log.append("entered")
                replies = [await client.get("/word")]
                replies += await asyncio.gather(*(client.get("/together") for _ in range(3)))
                log.append("left")
            return [one.json() for one in replies]

        async def fail() -> None:
            async with client_for(probe):
                raise RuntimeError("the test failed on purpose")

        with _never_awaited():
            used = lab.call("async with client_for(app)", use)
            life, log[:] = list(log), []
            failed = lab.call("a test that fails", fail)
        return {"word": word, "used": used, "life": life, "failed": failed, "after": list(log)}

    @requirement(2)
    def is_answered(self, seen: Seen) -> None:
        """`await client.get("/...")` is answered by the app."""
        used = seen.step("used")
        expect(
            used.error is None,
            saw="`async with client_for(app) as client: await client.get(...)` raised "
            f"{used.error}: {used.error_message}.",
            wanted="The app should have answered.",
        )
        expect(
            isinstance(used.body, list) and used.body[:1] == [seen["word"]],
            saw=f"The app was asked for a word and the client got `{used.body}`.",
            wanted=f"It should be what the app answered, here `{seen['word']}`.",
        )

    @requirement(1)
    def several_at_once(self, seen: Seen) -> None:
        """Requests that are sent together are under way together."""
        used = seen.step("used")
        expect(
            isinstance(used.body, list),
            saw="No request was answered, so there are none at once.",
            wanted="They should be served together, in the loop of the test.",
        )
        most = max(used.body[1:]) if used.body[1:] else 0
        expect(
            most > 1,
            saw=f"Three requests were sent with `asyncio.gather`; at most {most} was being served "
            "at a time.",
            wanted="They should be served together, in the loop of the test.",
        )

    @requirement(2)
    def lives(self, seen: Seen) -> None:
        """The lifespan starts before the block and ends after it."""
        life = seen["life"]
        order = [one for one in life if one != "served"]
        expect(
            order == ["started", "entered", "left", "ended"],
            saw=f"In order, it went: {', '.join(life) or 'nothing at all'}.",
            wanted="It should go: started, entered, served, left, ended; each once.",
            why="An app whose lifespan has not run has no tables, no pool and no settings.",
        )

    @requirement(1)
    def ends_on_errors(self, seen: Seen) -> None:
        """When the block raises, the lifespan ends all the same, and the exception goes on."""
        failed = seen.step("failed")
        expect(
            bool(seen["after"]) or "on purpose" in failed.error_message,
            saw=f"The block was never entered: {failed.error}, {failed.error_message}.",
            wanted="It should be, with the lifespan running.",
        )
        expect(
            seen["after"][-1:] == ["ended"],
            saw="A test raised inside the block, and the app's lifespan did not come to its end.",
            wanted="It should end, whatever happens.",
        )
        expect(
            "on purpose" in failed.error_message,
            saw=f"A test raised inside the block, and outside {failed.error or 'nothing'} arrived.",
            wanted="The exception should pass through; or the test would be green.",
        )

    @mistake()
    def not_a_context_manager(self, seen: Seen) -> bool:
        """`client_for` is a generator function and no context manager yet. Put
        `@asynccontextmanager` above it."""
        used = seen.step("used")
        return used.error in ("TypeError", "AttributeError") and _says(
            used, "generator", "coroutine' object does not support"
        )

    @mistake()
    def returned_it(self, seen: Seen) -> bool:
        """`client_for` returns the client, and with that its blocks are left: the client is closed
        and the app has ended. Write `yield client`, inside both."""
        return _says(seen.step("used"), "'coroutine' object is not an async iterator")

    @mistake()
    def not_called(self, seen: Seen) -> bool:
        """`app.router.lifespan_context` makes a context manager and is none itself. Call it with
        the app: `app.router.lifespan_context(app)`."""
        return _says(seen.step("used"), "'function' object does not support", "'method' object")

    @mistake()
    def opened_with_a_plain_with(self, seen: Seen) -> bool:
        """A plain `with` finds no door: the lifespan and the client are both opened with `async
        with`."""
        return _says(seen.step("used"), "does not support the context manager protocol")

    @mistake()
    def the_old_argument(self, seen: Seen) -> bool:
        """`AsyncClient(app=app)` is from older tutorials; httpx has taken it away. Give it
        `transport=httpx.ASGITransport(app=app)`."""
        return _says(seen.step("used"), "unexpected keyword argument 'app'")

    @mistake()
    def a_sync_client(self, seen: Seen) -> bool:
        """This client is not async: its `get` gives a response and nothing to await. `TestClient`
        runs the app in a loop of its own; an async test wants `httpx.AsyncClient` with
        `httpx.ASGITransport(app=app)`."""
        told = ("'await' expression", "can't be awaited", "has no attribute '__enter__'")
        return _says(seen.step("used"), *told)

    @mistake()
    def no_base_url(self, seen: Seen) -> bool:
        """The client does not know what `/word` is relative to, for nothing is: give it a
        `base_url="http://test"`. Any name will do; it never reaches a network."""
        return _says(seen.step("used"), "UnsupportedProtocol", "unknown url type")

    @mistake()
    def not_the_app(self, seen: Seen) -> bool:
        """The request went out to the network and not to the app. Give the client
        `transport=httpx.ASGITransport(app=app)`."""
        return _says(seen.step("used"), "Connect", "httpcore")  # pages have no network at all

    @mistake()
    def no_lifespan(self, seen: Seen) -> bool:
        """The app answered, and its lifespan never ran: `ASGITransport` does not start it. Open
        `app.router.lifespan_context(app)` around the client."""
        return "served" in seen["life"] and "started" not in seen["life"]

    @mistake()
    def never_ended(self, seen: Seen) -> bool:
        """The lifespan was started and, when the block raised, not ended: what stands after a bare
        `yield` is skipped by an exception. Use `async with`, which no exception gets past."""
        return "started" in seen["after"] and "ended" not in seen["after"]


# -- what is observed --------------------------------------------------------------------------
@contextmanager
def _never_awaited() -> Iterator[set[str]]:
    """The coroutines that were dropped without being awaited, by name, once the block is over."""
    names: set[str] = set()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield names
    for one in heard:
        if found := re.match("coroutine '(.+)' was never awaited", str(one.message)):
            names.add(found[1])


async def _warm(engine: AsyncEngine) -> None:
    """A new pool, and full: what a shared session comes to does not hang on what ran before."""
    await engine.dispose()
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(engine.connect())


# -- reading the evidence ----------------------------------------------------------------------
def _says(step: Step, *words: str) -> bool:
    return any(word in f"{step.error}: {step.error_message}" for word in words)


def _sessions(timeline: Timeline) -> tuple[int, int]:
    """How many sessions were opened, and how many closed."""
    return len(timeline.of("session_open")), len(timeline.of("session_close"))


def _authors(step: Step) -> list[list[Any]] | None:
    """Names and titles in an answer of the right shape; None for any other."""
    if not isinstance(step.body, list):
        return None
    found: list[list[Any]] = []
    for one in step.body:
        books = one.get("books") if isinstance(one, dict) else None
        if not isinstance(books, list) or not all(isinstance(book, dict) for book in books):
            return None
        found.append([one.get("name"), [book.get("title") for book in books]])
    return found


EXERCISES = (AsyncSetup, AsyncSessionForEachRequest, MendTheDeploy, OneTask, ClientForTests)
