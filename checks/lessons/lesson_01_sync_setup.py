"""Lesson 01, sync setup: an engine, a model, a session for each request, a first API."""

from __future__ import annotations

import inspect as inspect_code
import json
import warnings
from collections.abc import Callable
from typing import Any, get_args

from fastapi import Depends, FastAPI, HTTPException, params
from sqlalchemy import Engine, StaticPool, create_engine, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import sessionmaker

from checks.exercise import Exercise, Model, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab

NOBODY = 999_999  # an id that no user has


class EngineAndFactory(Exercise):
    """`engine` has a database that endpoints and this notebook share, and `SessionLocal` makes
    sessions on it."""

    id = "01.engine"
    title = "Engine and factory"
    needs = {"engine": Engine, "SessionLocal": sessionmaker}
    hints = (
        "Section 1 tried three engines in memory. Which one did the endpoint find the table with?",
        "`create_engine` takes `connect_args={...}` for the driver and `poolclass=...` for the "
        "pool; memory needs both. And `sessionmaker` is given the engine.",
        'create_engine("sqlite://", connect_args={"check_same_thread": False}, '
        "poolclass=StaticPool), and sessionmaker(engine)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        engine, factory = lab["engine"], lab["SessionLocal"]
        table, kept, unsaved = f"probe_{lab.word()}", lab.word(), lab.word()
        put = text(f"INSERT INTO {table} VALUES (:word)")
        probe = FastAPI()

        @probe.post("/kept")
        def keep() -> None:
            with factory() as session:
                session.execute(put, {"word": kept})
                session.commit()

        @probe.post("/unsaved")
        def leave() -> None:
            with factory() as session:
                session.execute(put, {"word": unsaved})

        @probe.get("/words")
        def words() -> Any:
            with factory() as session:
                return list(session.scalars(text(f"SELECT word FROM {table}")))

        def make_table() -> None:
            with engine.begin() as connection:
                connection.execute(text(f"CREATE TABLE {table} (word TEXT)"))

        return {
            "kept_word": kept,
            "unsaved_word": unsaved,
            "made": lab.call("CREATE TABLE", make_table),
            "kept": lab.request("POST", "/kept", app=probe),
            "unsaved": lab.request("POST", "/unsaved", app=probe),
            "words": lab.request("GET", "/words", app=probe),
        }

    @requirement(2, shows="kept")
    def one_database_for_all(self, seen: Seen) -> None:
        """A table that is made here can be written to in an endpoint."""
        made, kept = seen.step("made"), seen.step("kept")
        expect(
            made.error is None,
            saw=f"A table could not be made on `engine`: {made.error}: {made.error_message}.",
            wanted="`engine` should be connected to a database.",
        )
        expect(
            kept.status == 200,
            saw="A table was made here; an endpoint that wrote to it through `SessionLocal()` "
            f"ended in {kept.error}: {kept.error_message}.",
            wanted="The endpoint should find the table and write to it.",
        )

    @requirement(1, shows="words")
    def the_next_session_sees_it(self, seen: Seen) -> None:
        """What one session commits, the next one sees."""
        words = seen.step("words")
        found = words.body if isinstance(words.body, list) else []
        kept = seen.step("kept").status == 200
        expect(
            seen["kept_word"] in found,
            saw="A session committed a row, and the next one did not find it."
            if kept
            else "No session could commit a row, so there was none to find.",
            wanted="Both should be on the same database.",
        )

    @requirement(1, shows="unsaved")
    def nothing_is_kept_unasked(self, seen: Seen) -> None:
        """What no one commits is not kept."""
        words = seen.step("words")
        found = words.body if isinstance(words.body, list) else None
        expect(
            found is not None and seen["unsaved_word"] not in found,
            saw="A session wrote a row and was closed without a commit, and the row is there."
            if found
            else "No session could write a row, so nothing can be said of its end.",
            wanted="It should be gone; or there is nothing to roll back to when a request fails.",
        )

    @mistake(shows="kept")
    def not_bound(self, seen: Seen) -> bool:
        """`SessionLocal()` makes sessions that do not know any database: the factory was not given
        the engine. Write `sessionmaker(engine)`."""
        return seen.step("kept").error == "UnboundExecutionError"

    @mistake(shows="kept")
    def old_autocommit(self, seen: Seen) -> bool:
        """`SessionLocal()` refuses to make a session: `autocommit=True` is from old tutorials and
        no longer supported. Leave the flags out: `sessionmaker(engine)`."""
        return seen.step("kept").error == "ArgumentError"

    @mistake(shows="kept")
    def another_engine(self, seen: Seen) -> bool:
        """There are two engines: the sessions of `SessionLocal` work on another one than `engine`,
        so each has a database of its own. The timeline of the endpoint does not show your
        `engine` at all. Make one engine, and give that to `sessionmaker`."""
        kept = seen.step("kept")
        return seen.step("made").error is None and not kept.timeline.of("checkout")

    @mistake(shows="kept")
    def one_thread_only(self, seen: Seen) -> bool:
        """The driver refused: it will not use a connection in another thread than the one that
        opened it, and an endpoint runs in a thread of its own. Give permission with
        `connect_args={"check_same_thread": False}`."""
        return seen.step("kept").error == "ProgrammingError"

    @mistake(shows="kept")
    def a_database_for_each_thread(self, seen: Seen) -> bool:
        """The endpoint does not find the table: it runs in another thread, got another connection,
        and a database in memory belongs to one connection. Add `poolclass=StaticPool`, so that
        there is one connection for all."""
        return "no such table" in seen.step("kept").error_message

    @mistake(shows="unsaved")
    def keeps_everything(self, seen: Seen) -> bool:
        """Each statement is kept at once, without a commit, so nothing can be rolled back. That is
        what the isolation level AUTOCOMMIT does. Leave it out."""
        found = seen.step("words").body
        return isinstance(found, list) and seen["unsaved_word"] in found


class UserModel(Exercise):
    """`User` is a table whose usernames are present, unique and quickly found."""

    id = "01.user_model"
    title = "The user"
    needs = {"User": Model}
    hints = (
        "`Author`, in the demonstration above, has all you need but the index.",
        "A column is `name: Mapped[type] = mapped_column(...)`. What is unique is said in the "
        "brackets, and so is the index; that it must be there is said by the type.",
        "username: Mapped[str] = mapped_column(unique=True, index=True)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        table = lab["User"].__table__
        own = create_engine(
            "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
        )
        name, hashed = lab.word(), lab.word()

        def attempt(**values: Any) -> str | None:
            """Insert a row; tell what the database said against it."""
            try:
                with warnings.catch_warnings(action="ignore"), own.begin() as connection:
                    connection.execute(insert(table).values(**values))
            except SQLAlchemyError as error:
                return f"{type(error).__name__}: {str(error).splitlines()[0]}"
            return None

        made = lab.call("create_all()", table.metadata.create_all, own)
        seen: dict[str, Any] = {"made": made, "table": table.name, "columns": list(table.c.keys())}
        seen["good"] = attempt(username=name, hashed_password=hashed)
        seen["twice"] = attempt(username=name, hashed_password=lab.word())
        seen["no_name"] = attempt(hashed_password=lab.word())
        seen["no_hash"] = attempt(username=lab.word())
        seen["together"], seen["plan"] = [], ""
        if seen["good"] is None:
            found = inspect(own)
            unique = [one["column_names"] for one in found.get_unique_constraints(table.name)]
            seen["together"] = [names for names in unique if len(names) > 1]
            query = select(table).where(table.c.username == name)
            plan = query.compile(own, compile_kwargs={"literal_binds": True})
            with own.connect() as connection:
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {plan}").all()
            seen["plan"] = "; ".join(str(row[-1]) for row in rows)
        own.dispose()
        return seen

    @requirement(1)
    def has_the_columns(self, seen: Seen) -> None:
        """The table `user` takes a username and a hash, and numbers its rows itself."""
        missing = {"id", "username", "hashed_password"} - set(seen["columns"])
        expect(
            not missing,
            saw=f"Your model has the columns {', '.join(seen['columns'])}.",
            wanted=f"{' and '.join(f'`{name}`' for name in sorted(missing))} should be there too.",
        )
        expect(
            seen["table"] == "user",
            saw=f"Your model is on the table `{seen['table']}`.",
            wanted='It should be on `user`: `__tablename__ = "user"`.',
        )
        expect(
            seen["good"] is None,
            saw=f"A user with a username and a hash was refused ({seen['good']}).",
            wanted="Those two should be enough; the database gives the `id`.",
        )

    @requirement(2)
    def unique(self, seen: Seen) -> None:
        """The same username is refused the second time."""
        expect(
            "UNIQUE" in (seen["twice"] or ""),
            saw=f"The same username was put in twice, and {_verdict_of(seen['twice'])}.",
            wanted="The database itself should refuse the second.",
            why="Two requests can look at the same moment; only the database sees both.",
        )

    @requirement(1)
    def present(self, seen: Seen) -> None:
        """A user without a username, or without a hash, is refused."""
        for what, said in (("username", seen["no_name"]), ("hashed_password", seen["no_hash"])):
            expect(
                "NOT NULL" in (said or ""),
                saw=f"A user without a `{what}` was put in, and {_verdict_of(said)}.",
                wanted="The database should refuse it with NOT NULL.",
            )

    @requirement(1)
    def found_by_index(self, seen: Seen) -> None:
        """Looking up a username uses an index."""
        expect(
            "INDEX" in seen["plan"],
            saw=f"SQLite's plan for finding a username is `{seen['plan'] or 'nothing'}`.",
            wanted="It should say that it searches with an index.",
            why="A SCAN reads every user at each login.",
        )

    @mistake()
    def unique_together(self, seen: Seen) -> bool:
        """It is the *pair* that is unique, not the name: the same username went in twice, with
        another hash. Put `unique=True` on `username` alone."""
        return seen["twice"] is None and any("username" in pair for pair in seen["together"])

    @mistake()
    def not_unique(self, seen: Seen) -> bool:
        """The same username went in twice. `index=True` makes a name quick to find and does not
        keep it from being taken again; `unique=True` does."""
        return seen["good"] is None and seen["twice"] is None

    @mistake()
    def may_be_null(self, seen: Seen) -> bool:
        """A column that must be there may be NULL. `Mapped[str | None]` asks for that, and so does
        a classic `Column(String)` without `nullable=False`. Write `Mapped[str]`."""
        return seen["good"] is None and None in (seen["no_name"], seen["no_hash"])

    @mistake()
    def not_numbered(self, seen: Seen) -> bool:
        """The database does not number the rows: the `id` is not the kind of primary key that it
        fills in. Write `id: Mapped[int] = mapped_column(primary_key=True)`."""
        return "NOT NULL constraint failed: user.id" in (seen["good"] or "")


class SessionForEachRequest(Exercise):
    """Each request has a session of its own, committed on success, rolled back on any error, and
    always closed."""

    id = "01.get_db"
    title = "A session for each request"
    needs = {"get_db": Callable, "SessionDep": object, "SessionLocal": sessionmaker}
    after = ("01.engine",)
    hints = (
        "`shop_session` and `ShopDep`, in the demonstration, do all of this for another factory.",
        "Around the `yield`: commit after it, roll back and `raise` when an exception comes up at "
        "it, close in a `finally`. One `with SessionLocal.begin() as session:` does all three.",
        'SessionDep = Annotated[Session, Depends(get_db, scope="function")]',
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
        def keep(session: Any = given) -> None:
            session.execute(put, {"word": words["kept"]})

        @probe.post("/broke")
        def fail(session: Any = given) -> None:
            session.execute(put, {"word": words["broke"]})
            raise RuntimeError("the endpoint failed on purpose")

        @probe.post("/turned-away")
        def turn_away(session: Any = given) -> None:
            session.execute(put, {"word": words["turned_away"]})
            raise HTTPException(409, "the endpoint turned you away on purpose")

        @probe.post("/refused")
        def refuse(session: Any = given) -> None:
            session.execute(put, {"word": words["refused"]})

        get_db = inspect_code.unwrap(lab["get_db"])
        yields = inspect_code.isgeneratorfunction(get_db) or inspect_code.isasyncgenfunction(get_db)
        seen: dict[str, Any] = {
            "words": words,
            "alias": bool(found) and not called,
            "called": called,
            "yields": yields,
        }
        for name in ("kept", "broke", "turned_away"):
            seen[name] = lab.request("POST", f"/{name.replace('_', '-')}", app=probe)
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
            wanted="It should be `Annotated[Session, Depends(...)]`.",
        )
        expect(
            kept.status == 200,
            saw=f"An endpoint used `SessionDep` to write a row: {kept.heard}.",
            wanted="It should be able to, and answer 200.",
        )
        expect(
            seen["words"]["kept"] in seen["rows"] and kept.timeline.commits > 0,
            saw="The endpoint wrote a row and succeeded, and afterwards the row is not there.",
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
        """The session is closed and its connection given back, whatever happened."""
        for name in ("kept", "broke", "turned_away"):
            step = seen.step(name)
            opened, closed = _sessions(step)
            expect(
                closed >= opened and step.timeline.checked_out == 0,
                saw=f"During `{step.asked}` {opened} session was opened and {closed} closed.",
                wanted="What is opened in a request should be closed in it.",
                why="A session that nobody closes keeps a connection until the pool has none left.",
            )

    @requirement(1, shows="kept")
    def one_each(self, seen: Seen) -> None:
        """Each request has a session of its own."""
        opened = [_sessions(seen.step(name))[0] for name in ("kept", "broke", "turned_away")]
        expect(
            all(opened),
            saw="A request was served without a session being opened for it.",
            wanted="Each should open one, and close it.",
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
        `Annotated[Session, Depends(get_db, ...)]`, the type and where it comes from together."""
        return not seen["alias"]

    @mistake(shows="kept")
    def decorated(self, seen: Seen) -> bool:
        """The endpoint got a context manager and not a session: `get_db` is decorated with
        `@contextmanager`. FastAPI wraps a generator function itself; take the decorator off."""
        return "_GeneratorContextManager" in seen.step("kept").error_message

    @mistake(shows="kept")
    def a_factory_for_a_session(self, seen: Seen) -> bool:
        """The endpoint got the factory and not a session: `SessionLocal` makes one each time it is
        called. Add the brackets: `SessionLocal()`."""
        return "'sessionmaker' object" in seen.step("kept").error_message

    @mistake(shows="kept")
    def asynchronous(self, seen: Seen) -> bool:
        """`SessionLocal` makes a plain session, which knows no `async with` and no `await`; those
        come with lesson 04. Write `def get_db()` and a plain `with`."""
        kept = seen.step("kept")
        return kept.error == "TypeError" and "async" in kept.error_message

    @mistake(shows="kept")
    def returned_it(self, seen: Seen) -> bool:
        """`get_db` returns a session, and that is the end of the function: nothing is left that
        could commit or close. `yield` the session instead; what follows the `yield` runs when the
        endpoint is done."""
        return not seen["yields"]

    @mistake(shows="kept")
    def a_transaction_for_a_session(self, seen: Seen) -> bool:
        """The endpoint got a transaction and not a session: `SessionLocal().begin()` makes a
        session and hands you only what it began. Take the first pair of brackets away:
        `SessionLocal.begin()`."""
        return "SessionTransaction" in seen.step("kept").error_message

    @mistake(shows="kept")
    def one_for_all(self, seen: Seen) -> bool:
        """Several requests were served by one and the same session, made outside the function. That
        is the server from 2 a.m.: one failed request and nobody can use it any more. Make the
        session inside `get_db`."""
        return not any(_sessions(seen.step(name))[0] for name in ("kept", "broke"))

    @mistake(shows="turned_away")
    def swallowed(self, seen: Seen) -> bool:
        """`get_db` catches the endpoint's exception and does not pass it on. FastAPI then waits for
        a response that nobody makes. After the rollback, `raise`."""
        # What FastAPI says to that depends on the dependency's scope.
        told = ("FastAPIError", "UnboundLocalError")
        return any(seen.step(name).error in told for name in ("broke", "turned_away"))

    @mistake(shows="kept", marks=("response", "commit"))
    def after_the_answer(self, seen: Seen) -> bool:
        """The commit stands below the response: the client has its answer before anybody knows
        whether the changes are kept. Give `Depends` the argument `scope="function"`."""
        return seen.step("kept").timeline.order("response", "commit")

    @mistake(shows="kept")
    def never_committed(self, seen: Seen) -> bool:
        """Nothing is ever committed: the row was sent, and rolled back when the session was let go.
        Commit after the `yield`."""
        kept = seen.step("kept")
        return bool(kept.timeline.writes) and not kept.timeline.commits

    @mistake(shows="broke")
    def not_closed_on_errors(self, seen: Seen) -> bool:
        """On success the session is closed, but not when the endpoint raises: the exception comes
        up at the `yield`, and what stands below is skipped. Put `close()` in a `finally`, or open
        the session with a `with` block."""
        opened, closed = _sessions(seen.step("broke"))
        return _sessions(seen.step("kept"))[1] > 0 and closed < opened

    @mistake(shows="turned_away", marks=("commit",))
    def committed_anyway(self, seen: Seen) -> bool:
        """The endpoint raised, and its changes were committed all the same: the commit stands where
        it runs in any case, as in a `finally`. Commit right after the `yield`, which an exception
        does not get past."""
        steps = (seen.step("broke"), seen.step("turned_away"))
        return any(step.timeline.writes and step.timeline.commits for step in steps)

    @mistake(shows="kept")
    def never_closed(self, seen: Seen) -> bool:
        """No session is ever closed. Here Python tidies up behind you; under load the pool runs dry
        first. Close it in a `finally`, or open it with a `with` block."""
        opened, closed = _sessions(seen.step("kept"))
        return opened > 0 and closed == 0


class UsersApi(Exercise):
    """Users can be added and read; a taken name is a 409; no password and no hash goes out."""

    id = "01.users_api"
    title = "The users' API"
    needs = {"app": FastAPI, "User": Model, "engine": Engine}
    after = ("01.engine", "01.user_model", "01.get_db")
    hints = (
        "Two functions with `session: SessionDep`. What goes out is said by "
        "`response_model=UserOut`; what is not in `UserOut` stays in.",
        "`session.add(user)`, then `session.flush()` inside a `try`. On `IntegrityError` raise "
        "`HTTPException(409, ...)`. Leave the commit to `get_db`.",
        "user = session.get(User, user_id), and when that is None, raise "
        'HTTPException(404, "No such user.")',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        name, other, password = lab.word(), lab.word(), lab.word(12)
        table = lab["User"].__table__

        def add(username: str, secret: str) -> Any:
            return lab.request("POST", "/users", json={"username": username, "password": secret})

        made = add(name, password)
        taken = add(name, lab.word(12))
        following = add(other, lab.word(12))
        body = made["body"]
        made_id = body.get("id") if isinstance(body, dict) else None
        return {
            "name": name,
            "password": password,
            "made": made,
            "taken": taken,
            "following": following,
            "read": lab.request("GET", f"/users/{made_id if made_id is not None else 1}"),
            "unknown": lab.request("GET", f"/users/{NOBODY}"),
            "rows": lab.rows(select(table).where(table.c.username == name)),
        }

    @requirement(2, shows="made")
    def adds(self, seen: Seen) -> None:
        """`POST /users` answers 201 with `id` and `username`, and the user is kept."""
        made = seen.step("made")
        expect(
            made.status == 201,
            saw=f"{made.heard}.",
            wanted="A new user should be answered with 201.",
        )
        body = made.body if isinstance(made.body, dict) else {}
        expect(
            isinstance(body.get("id"), int) and body.get("username") == seen["name"],
            saw=f"The body was `{made.body}`.",
            wanted=f"It should hold the user's `id` and the `username`, here `{seen['name']}`.",
        )
        expect(
            bool(seen["rows"]),
            saw="The client heard 201, and the user is not in the table.",
            wanted="The user should be kept.",
        )

    @requirement(2, shows="made")
    def keeps_secrets(self, seen: Seen) -> None:
        """The password is kept as a hash, and neither of the two goes out."""
        for step in (seen.step("made"), seen.step("read")):
            said = _secrets_in(step, seen)
            expect(
                not said,
                saw=f"The answer to `{step.asked}` holds {said}.",
                wanted="It should hold `id` and `username`, and nothing else.",
            )
        hashed = str(seen["rows"][0].get("hashed_password")) if seen["rows"] else ""
        expect(
            bool(hashed) and seen["password"] not in hashed,
            saw="What is in `hashed_password` is not a hash of the password."
            if seen["rows"]
            else "No user was kept, so there is no hash to look at.",
            wanted="It should be what `hash_password(password)` returns.",
        )

    @requirement(2, shows="taken")
    def tells_that_it_is_taken(self, seen: Seen) -> None:
        """A taken username is answered with 409, and the next request is served."""
        taken, following = seen.step("taken"), seen.step("following")
        expect(
            taken.status == 409,
            saw=f"The name was taken, and {taken.heard}."
            if seen["rows"]
            else "No user was kept, so no name could be taken.",
            wanted="That should be a 409, Conflict.",
        )
        expect(
            len(seen["rows"]) == 1 and following.status == 201,
            saw=f"After that, the table has the name {len(seen['rows'])} times, and the next, good "
            f"user was answered with {following.status}.",
            wanted="It should be there once, and the next user should be added.",
        )

    @requirement(1, shows="read")
    def reads(self, seen: Seen) -> None:
        """`GET /users/{user_id}` answers with the user, or 404."""
        read, unknown = seen.step("read"), seen.step("unknown")
        body = read.body if isinstance(read.body, dict) else {}
        expect(
            read.status == 200 and body.get("username") == seen["name"],
            saw=f"{read.heard}, with `{read.body}`.",
            wanted=f"It should answer 200 with the user `{seen['name']}`.",
        )
        expect(
            unknown.status == 404,
            saw=f"{unknown.heard}, for a user who does not exist.",
            wanted="That should be a 404.",
        )

    @mistake(shows="made")
    def leaked(self, seen: Seen) -> bool:
        """A secret went out: look at the answer on this card. What an endpoint returns is sent
        whole, unless `response_model=UserOut` (or the return type `UserOut`) says what may leave.
        """
        return any(_secrets_in(seen.step(name), seen) for name in ("made", "read"))

    @mistake(shows="made")
    def kept_the_password(self, seen: Seen) -> bool:
        """The password itself is in the table: see the INSERT on the timeline. Whoever gets a copy
        of this database has all of them. Keep `hash_password(new.password)`."""
        return any(seen["password"] in str(row.get("hashed_password")) for row in seen["rows"])

    @mistake(shows="made", marks=("error",))
    def fields_of_the_request(self, seen: Seen) -> bool:
        """`User` was given a field of the request that its table does not have: it knows no
        `password`. Name what you keep: `User(username=new.username,
        hashed_password=hash_password(new.password))`."""
        made = seen.step("made")
        return made.error == "TypeError" and "invalid keyword argument" in made.error_message

    @mistake(shows="made")
    def never_flushed(self, seen: Seen) -> bool:
        """The answer was made before the user had an id: an object gets it when its INSERT is sent,
        and that had not happened yet. Call `session.flush()` before you return."""
        made = seen.step("made")
        answered = isinstance(made.body, dict) and made.body.get("id", 0) is None
        return answered or (made.error == "ResponseValidationError" and not made.timeline.writes)

    @mistake(shows="made", marks=("commit",))
    def commits_itself(self, seen: Seen) -> bool:
        """Your endpoint commits, and then goes on in a session whose `with ... begin()` block in
        `get_db` was to do that: "Can't operate on closed transaction". Leave the commit to
        `get_db`; for the id, `session.flush()` is enough."""
        return "closed transaction" in seen.step("made").error_message

    @mistake(shows="taken")
    def taken_is_a_500(self, seen: Seen) -> bool:
        """The database refused the second user, as it should, and nobody told the client what that
        means: the IntegrityError became a 500. Catch it around `session.flush()`, where the
        INSERT is sent, and raise `HTTPException(409, ...)`."""
        return seen.step("taken").error == "IntegrityError"

    @mistake(shows="unknown")
    def nobody_at_home(self, seen: Seen) -> bool:
        """`session.get` returns None for an id that is not there, and your endpoint went on with
        it. Look at what you got, and raise `HTTPException(404, ...)`."""
        unknown = seen.step("unknown")
        told = ("ResponseValidationError", "AttributeError")
        return (unknown.status == 200 and unknown.body is None) or unknown.error in told


# -- reading the evidence ----------------------------------------------------------------------
def _verdict_of(said: str | None) -> str:
    return "it was taken" if said is None else f"the database said `{said}`"


def _sessions(step: Step) -> tuple[int, int]:
    """How many sessions were opened, and how many closed."""
    return len(step.timeline.of("session_open")), len(step.timeline.of("session_close"))


def _secrets_in(step: Step, seen: Seen) -> str:
    """What an answer holds that it should not, in words; empty when it is discreet."""
    said = json.dumps(step.body)
    if seen["password"] in said:
        return "the password"
    hashes = [str(row.get("hashed_password")) for row in seen["rows"]]
    if "hashed_password" in said or any(one and one in said for one in hashes):
        return "the hash"
    return "a field called `password`" if '"password"' in said and step.status < 400 else ""


EXERCISES = (EngineAndFactory, UserModel, SessionForEachRequest, UsersApi)
