"""The half-way project: ten faults from lessons 01 to 09, each of them a requirement here.

A requirement is met by a piece in which all other faults are still there, and what its cure must
not break is part of it. The piece that is a file is tried in a copy of its project.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI
from sqlalchemy import Engine, column, insert, table
from sqlalchemy.ext.asyncio import AsyncEngine

from checks.exercise import Exercise, Seen, expect, mistake, requirement
from checks.observe.lab import Lab, LearnersError
from checks.observe.project import Project
from checks.words import counted

NOBODY = 999_999  # an id that no member, book or author has

Outcome = Mapping[str, Any]


class Members(Exercise):
    """Whoever hears 201 is a member, and nobody who is looked up in vain costs a connection."""

    id = "09p.members"
    title = "Members"
    needs = {"members": FastAPI, "engine": Engine}
    hints = (
        "Ticket 1: let member 99 invite somebody; there is no member 99. Where does `commit` stand "
        "on the timeline? Ticket 2: look up member 99 and print `seen.checked_out`.",
        "Both are in `get_db`. When does the code after its `yield` run, and when does it not run "
        "at all?",
        "`with SessionLocal.begin() as db: yield db` closes whatever happens; "
        '`Depends(get_db, scope="function")` has it commit before the answer leaves.',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        lab["engine"].dispose()  # what was leaked before is not this check's to count
        name, never = lab.word().title(), lab.word().title()
        member = _member(lab)
        ask = partial(lab.request, app="members")
        seen: dict[str, Any] = {"name": name}
        with lab.pools_do_not_wait():
            seen["known"] = ask("GET", f"/members/{member}")
            seen["joined"] = ask("POST", "/members", json={"full_name": name})
            seen["after_joined"] = _members(lab, name)
            seen["missing"] = ask("GET", f"/members/{NOBODY}")
            with lab.commit_fails():
                seen["refused"] = ask("POST", "/members", json={"full_name": never})
            seen["after_refused"] = _members(lab, never)
        return seen

    @requirement(0, shows="refused")
    def the_201_is_true(self, seen: Seen) -> None:
        """Ticket 1. A client hears 201 only when the member is kept."""
        joined, refused = seen.step("joined"), seen.step("refused")
        expect(
            joined.status == 201 and seen["after_joined"] == 1,
            saw=f"{joined.heard}, and the table has {seen['after_joined']} of that name.",
            wanted="Joining should be answered with 201, and be kept.",
        )
        expect(
            _names(joined.body) == {seen["name"]} and _id(joined.body) is not None,
            saw=f"The body was `{joined.body}`.",
            wanted="It should hold the member's `id` and `full_name`, as before.",
        )
        expect(
            refused.status >= 400 and not seen["after_refused"],
            saw=f"The database refused the commit, and {refused.heard}."
            if refused.status < 400
            else "The client heard an error, and the member is there all the same.",
            wanted="The client should hear an error, and there should be no such member.",
            why="A lady with her number in writing is right to insist on it.",
        )

    @requirement(0, shows="missing")
    def nothing_stays_out(self, seen: Seen) -> None:
        """Ticket 2. Every connection comes back, on the bad paths too."""
        known, missing = seen.step("known"), seen.step("missing")
        expect(
            known.status == 200 and missing.status == 404,
            saw=f"{known.heard}, for a member, and {missing.heard}, for nobody.",
            wanted="It should be 200 and 404, as before.",
        )
        for step in (known, seen.step("joined"), missing, seen.step("refused")):
            out = step.timeline.checked_out
            expect(
                out == 0,
                saw=f"{step.heard}, and {_connections(out)} not given back.",
                wanted="Whatever happens to a request, what it took should come back.",
                why="The pool has fifteen; after as many crawlers it has none.",
            )

    @mistake(shows="missing")
    def swallowed(self, seen: Seen) -> bool:
        """The dependency catches the endpoint's exception and keeps it to itself, so that the 404
        became a 500. An exception that comes out of the `yield` has to be raised again: `raise`."""
        missing = seen.step("missing")
        return missing.error in ("FastAPIError", "UnboundLocalError")

    @mistake(shows="joined", marks=("error", "commit"))
    def committed_within_begin(self, seen: Seen) -> bool:
        """The endpoint commits, inside a `SessionLocal.begin()`, which means to do it itself and
        finds its transaction gone. One of the two: `with SessionLocal() as db:` when the endpoint
        commits, or `begin()` in a dependency with `scope="function"`."""
        return "closed transaction inside context manager" in seen.step("joined").error_message

    @mistake(shows="joined")
    def never_committed(self, seen: Seen) -> bool:
        """The new member was sent to the database and not kept: there is no commit on the timeline.
        `SessionLocal()` only opens a session; `SessionLocal.begin()` commits as well."""
        joined = seen.step("joined")
        return joined.status == 201 and bool(joined.timeline.writes) and not joined.timeline.commits

    @mistake(shows="refused", marks=("response", "commit"))
    def answered_first(self, seen: Seen) -> bool:
        """The response had left when the commit failed; look at the order of the two. What stands
        after a `yield` is clean-up, and runs when the client has its answer, in a `with` block just
        as well. Commit in the endpoint, or give the dependency `scope="function"`."""
        refused = seen.step("refused")
        return 0 < refused.status < 400 and refused.timeline.order("response", "commit")

    @mistake(shows="refused", marks=("checkout", "commit"))
    def the_commit_fails_too(self, seen: Seen) -> bool:
        """A 404 gives its connection back by now, and a commit that fails does not: what closes the
        session is not reached then. Only a `finally`, or a `with` block, is reached always."""
        missing, refused = seen.step("missing"), seen.step("refused")
        return not missing.timeline.checked_out and bool(refused.timeline.checked_out)

    @mistake(shows="missing", marks=("checkout", "response"))
    def never_given_back(self, seen: Seen) -> bool:
        """A connection went out and did not come back. The 404 is raised inside the endpoint, comes
        out of the `yield` in `get_db`, and nothing below that line runs: no `close()`. Put it
        into a `finally`, or open the session in a `with` block."""
        missing = seen.step("missing")
        return missing.status == 404 and bool(missing.timeline.checked_out)


class Catalogue(Exercise):
    """A change changes what was sent, and a list costs the same however long it is."""

    id = "09p.catalogue"
    title = "Catalogue"
    needs = {"catalogue": FastAPI, "engine": Engine}
    hints = (
        "Ticket 3: what is in the UPDATE when only `shelf` was sent? Ticket 4: count the SELECTs; "
        "the code has one, so who sends the others, and when?",
        "Ticket 3: what Pydantic fills in by itself and what the client has sent are different "
        "things, and the model knows which is which. Ticket 4: `response_model` reads "
        "`author.books`.",
        "`change.model_dump(exclude_unset=True)`, and "
        "`select(Author).options(selectinload(Author.books))`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        lab["engine"].dispose()
        ask = partial(lab.request, app="catalogue")
        blurb, first, second = lab.word(), lab.word(3).upper(), lab.word()
        book = lab.number(10_000, 900_000)
        author, _ = _authors(lab, 2)  # the other one has not written anything yet
        own = {"id": book, "title": "Emma", "copies": 3, "author_id": author}
        _insert(lab, "book", own | {"blurb": blurb, "shelf": "A1"})
        seen: dict[str, Any] = {"blurb": blurb, "shelf": first, "second": second}
        seen["moved"] = ask("PATCH", f"/books/{book}", json={"shelf": first})
        seen["after_moved"] = _book(lab, book)
        seen["told"] = ask("PATCH", f"/books/{book}", json={"blurb": second})
        seen["after_told"] = _book(lab, book)
        seen["cleared"] = ask("PATCH", f"/books/{book}", json={"blurb": None})
        seen["after_cleared"] = _book(lab, book)
        seen["no_book"] = ask("PATCH", f"/books/{NOBODY}", json={"shelf": first})
        seen["few"] = ask("GET", "/authors")
        seen["expected_few"] = _shelves(lab)
        _authors(lab, lab.number(12, 15), books=2)
        seen["many"] = ask("GET", "/authors")
        seen["expected_many"] = _shelves(lab)
        return seen

    @requirement(0, shows="moved")
    def only_what_was_sent(self, seen: Seen) -> None:
        """Ticket 3. A change changes what was sent, be it to nothing, and leaves the rest alone."""
        moved, told, cleared = (seen.step(name) for name in ("moved", "told", "cleared"))
        for step in (moved, told, cleared):
            expect(
                step.status == 200,
                saw=f"{step.heard}.",
                wanted="A change to a book should be answered with 200.",
            )
        expect(
            seen["after_moved"] == {"blurb": seen["blurb"], "shelf": seen["shelf"]},
            saw=f"`shelf` was sent, and the book went from `blurb` {seen['blurb']!r} and `shelf` "
            f"'A1' to {_told(seen['after_moved'])}.",
            wanted=f"Only the shelf should change, to {seen['shelf']!r}.",
        )
        expect(
            seen["after_told"] == {"blurb": seen["second"], "shelf": seen["shelf"]},
            saw=f"`blurb` was sent, and the book came to have {_told(seen['after_told'])}.",
            wanted="Only the blurb should change.",
        )
        expect(
            seen["after_cleared"] == {"blurb": None, "shelf": seen["shelf"]},
            saw='`{"blurb": null}` was sent, and the book came to have '
            f"{_told(seen['after_cleared'])}.",
            wanted="The blurb should be gone, and nothing else: null is a value that was sent.",
        )
        body = moved.body if isinstance(moved.body, dict) else {}
        expect(
            body.get("shelf") == seen["shelf"] and body.get("blurb") == seen["blurb"],
            saw=f"The answer was `{moved.body}`.",
            wanted="It should be the book as it is now.",
        )
        no_book = seen.step("no_book")
        expect(
            no_book.status == 404,
            saw=f"{no_book.heard}, for a book that does not exist.",
            wanted="That should be a 404, as before.",
        )

    @requirement(0, shows="many")
    def the_same_for_any_number(self, seen: Seen) -> None:
        """Ticket 4. The list of authors sends as many statements for twenty as for a few."""
        few, many = seen.step("few"), seen.step("many")
        for step, expected in ((few, seen["expected_few"]), (many, seen["expected_many"])):
            expect(
                step.status == 200,
                saw=f"{step.heard}.",
                wanted="The list should be answered with 200.",
            )
            expect(
                _listed(step.body) == expected,
                saw=f"The list is not what it was: {_difference(_listed(step.body), expected)}.",
                wanted="It should have every author, in order, with all books.",
            )
        before, after = len(few.timeline.statements), len(many.timeline.statements)
        expect(
            after <= before,
            saw=f"{counted(before, 'statement')} for {len(seen['expected_few'])} authors, "
            f"{counted(after, 'statement')} for {len(seen['expected_many'])}.",
            wanted="It should be the same number for both, and two will do.",
            why="Each statement is a way to the database and back, and there are nine hundred "
            "authors.",
        )

    @mistake(shows="cleared")
    def cannot_be_cleared(self, seen: Seen) -> bool:
        """A field that was not sent stays as it is by now, and one that was sent as null stays as
        well: nobody can take a blurb away any more. `is not None` and `exclude_none` cannot tell
        the two apart; `exclude_unset` can."""
        kept, left = seen["after_moved"], seen["after_cleared"]
        moved_well = kept == {"blurb": seen["blurb"], "shelf": seen["shelf"]}
        return moved_well and bool(left) and left["blurb"] is not None

    @mistake(shows="moved", marks=("sql UPDATE",))
    def overwrote_the_rest(self, seen: Seen) -> bool:
        """Only `shelf` was sent, and the UPDATE has `blurb` in it: `model_dump()` gives every field
        of the model, those that the client left out at their default, None. Ask for what was sent:
        `model_dump(exclude_unset=True)`."""
        return bool(seen["after_moved"]) and seen["after_moved"]["blurb"] is None

    @mistake(shows="many")
    def not_unique(self, seen: Seen) -> bool:
        """A joined collection gives each author once for each book, and SQLAlchemy insists that you
        say what to do with that: `.unique()` on the result. Or `selectinload`, which does not
        join."""
        return "unique() method" in seen.step("many").error_message

    @mistake(shows="many")
    def refused_to_load(self, seen: Seen) -> bool:
        """The books are not loaded any more, and `response_model` still wants them, so the list is
        an error. Load them beforehand: `selectinload(Author.books)`."""
        many = seen.step("many")
        told = ("lazy='raise'", "lazy='raise_on_sql'", "is not bound to a Session", "detached")
        return any(one in many.error_message for one in told)

    @mistake(shows="many")
    def left_out(self, seen: Seen) -> bool:
        """The list is quick, and it is not the list any more: authors or their books are missing
        from it. Whoever reads it still needs them. Keep the answer, and load it in fewer
        statements."""
        many = seen.step("many")
        return many.status == 200 and _listed(many.body) != seen["expected_many"]

    @mistake(shows="many", marks=("sql",))
    def one_by_one(self, seen: Seen) -> bool:
        """One SELECT for the authors, and then one for each: `response_model` looks at
        `author.books` of one author after the other, and each look loads. (`immediateload` only
        does it sooner.) Load all books in one go: `selectinload(Author.books)`."""
        few, many = seen.step("few"), seen.step("many")
        grown = len(many.timeline.statements) > len(few.timeline.statements)
        return grown and many.status == 200


class Till(Exercise):
    """A copy is sold once, and nobody waits for the courier but the one who ordered."""

    id = "09p.till"
    title = "The till"
    needs = {"till": FastAPI, "engine": Engine, "courier": object}
    hints = (
        "Ticket 5: what if another buyer comes between the line that reads `copies` and the one "
        "that writes it? Ticket 6: what is held while the courier thinks?",
        "Ticket 5: an UPDATE can have a condition, and its `rowcount` says whether it found a row. "
        "Ticket 6: the courier needs nothing but the postcode, and that is there from the start.",
        "`postage = courier.quote(new.postcode)` above the `with`; in it, "
        "`update(Book).where(Book.id == new.book_id, Book.copies >= 1)` and a 409 where `rowcount` "
        "is 0.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        lab["engine"].dispose()
        postage, postcode = lab.number(300, 900), lab.word(6).upper()
        copies, member = lab.number(3, 9), _member(lab)
        plenty, none, one, other = _stock(lab, copies, 0, 1, 1)
        courier = type(lab["courier"])
        if not callable(getattr(courier, "quote", None)):
            raise LearnersError(AttributeError("`courier` has no method `quote` any more"))
        asked: list[str] = []

        def quote(_: Any, postcode: Any = None) -> int:
            lab.note("the courier is asked")
            asked.append(str(postcode))
            return postage

        def order(book: int) -> tuple[str, str, Any]:
            sent = {"book_id": book, "member_id": member, "postcode": postcode}
            return "POST", "/orders", sent

        def buy(book: int) -> Any:
            method, path, sent = order(book)
            return lab.request(method, path, json=sent, app="till")

        seen: dict[str, Any] = {"postage": postage, "postcode": postcode, "copies": copies}
        with lab.pools_do_not_wait(), patch.object(courier, "quote", quote):
            seen["good"] = buy(plenty)
            seen["asked"] = list(asked)
            seen["after_good"] = _shelf(lab, plenty)
            seen["no_book"] = buy(NOBODY)
            seen["sold_out"] = buy(none)
            seen["after_sold_out"] = _shelf(lab, none)
            seen["first"], seen["second"] = lab.interleave(order(one), order(one), app="till")
            seen["after_race"] = _shelf(lab, one)
            seen["overtaken"], seen["rival_got"] = lab.overtaken(
                order(other),
                "UPDATE book SET copies = copies - 1 WHERE id = :book AND copies >= 1",
                app="till",
                book=other,
            )
            seen["after_overtaken"] = _shelf(lab, other)
        return seen

    @requirement(0, shows="first")
    def sold_once(self, seen: Seen) -> None:
        """Ticket 5. A copy is sold once, in four processes as well, and who is late hears 409."""
        good, no_book, sold_out = (seen.step(one) for one in ("good", "no_book", "sold_out"))
        after = {"copies": seen["copies"] - 1, "orders": 1}
        expect(
            good.status == 201 and seen["after_good"] == after,
            saw=f"There were {seen['copies']} copies. {good.heard}; now "
            f"{_in_words(seen['after_good'])}.",
            wanted=f"It should be 201, {after['copies']} copies and 1 order.",
        )
        expect(
            no_book.status == 404,
            saw=f"{no_book.heard}, for a book that does not exist.",
            wanted="That should be a 404, as before.",
        )
        expect(
            sold_out.status == 409 and not seen["after_sold_out"]["orders"],
            saw=f"{sold_out.heard}, for a book without a copy; now "
            f"{_in_words(seen['after_sold_out'])}.",
            wanted="That should be a 409 and no order.",
        )
        expect(
            sorted(_heard(seen)) == [201, 409] and seen["after_race"] == {"copies": 0, "orders": 1},
            saw="Two buyers met at the last copy. They heard "
            f"{' and '.join(map(str, _heard(seen)))}; now {_in_words(seen['after_race'])}.",
            wanted="One should hear 201, the other 409, and there should be one order.",
        )
        sold = (seen.step("overtaken").status == 201) + seen["rival_got"]
        expect(
            sold == 1 and seen["after_overtaken"]["orders"] + seen["rival_got"] == 1,
            saw=f"Another process sold {seen['rival_got']} of 1 copy while the till was at it; its "
            f"own buyer heard {seen.step('overtaken').status}, and "
            f"{_in_words(seen['after_overtaken'])}.",
            wanted="One of the two should get the copy.",
            why="Four processes share nothing but the database.",
        )

    @requirement(0, shows="good")
    def nothing_is_held(self, seen: Seen) -> None:
        """Ticket 6. No connection is out while the courier is asked."""
        good, held = seen.step("good"), seen.step("good").timeline.held_at("note")
        expect(
            good.status == 201 and bool(held),
            saw=f"{good.heard}, and the courier was {'asked' if held else 'never asked'}.",
            wanted="An order should be answered with 201, with the postage that "
            "`courier.quote(postcode)` gives.",
        )
        expect(
            set(seen["asked"]) == {seen["postcode"]}
            and isinstance(good.body, dict)
            and good.body.get("postage") == seen["postage"],
            saw=f"The courier was asked for {', '.join(seen['asked'])} and said "
            f"{seen['postage']}; the body was `{good.body}`.",
            wanted="It should be asked for the order's postcode, and the answer should have what "
            "it said as `postage`.",
        )
        expect(
            max(held) == 0,
            saw=f"While the courier was asked, {_connections(max(held))} out.",
            wanted="None should be: that may take as long as it likes.",
            why="The pool is one for the whole shop. Fifteen buyers on hold, and nobody reads a "
            "page.",
        )

    @mistake(shows="sold_out", marks=("sql UPDATE",))
    def ignored_the_count(self, seen: Seen) -> bool:
        """The conditional UPDATE is right, and found no row: there was nothing left. The order was
        written all the same. Its `rowcount` is the answer to your question; where it is 0, raise
        the 409."""
        steps = (seen.step(name) for name in ("sold_out", "overtaken"))
        return any(
            step.status == 201
            and any(one["rows"] == 0 and _updates(one["sql"]) for one in step.timeline.of("sql"))
            for step in steps
        )

    @mistake(shows="first", marks=("sql",))
    def read_then_wrote(self, seen: Seen) -> bool:
        """Both buyers bought the one copy: each read 1, worked out 0 and wrote that down. On the
        timeline the second purchase stands between the first one's SELECT and its UPDATE. To look
        again in Python only moves the gap, and `with_for_update` is left out of what SQLite is
        sent. Put the condition into the UPDATE."""
        return _heard(seen) == [201, 201]

    @mistake(shows="overtaken", marks=("sql",))
    def locked_in_python(self, seen: Seen) -> bool:
        """Two requests to this process are kept apart, and a sale by another process went straight
        through. A lock in Python guards one of your four. Let the database decide."""
        sold = (seen.step("overtaken").status == 201) + seen["rival_got"]
        return sold > 1 and _heard(seen).count(201) == 1

    @mistake(shows="first", marks=("error",))
    def loser_heard_500(self, seen: Seen) -> bool:
        """The copy was sold once, which is the main thing, and the other buyer heard 500. The
        database said no with an exception; catch it around the whole transaction and answer 409,
        or look at the `rowcount` of a conditional UPDATE."""
        return sorted(_heard(seen)) == [201, 500]

    @mistake(shows="good")
    def never_asked(self, seen: Seen) -> bool:
        """The till does not wait for the courier any more because it does not ask. The postage is
        part of the order, so ask, at a moment when no connection is out."""
        good = seen.step("good")
        return good.status == 201 and not good.timeline.held_at("note")

    @mistake(shows="good", marks=("checkout", "note", "checkin"))
    def held_across_the_call(self, seen: Seen) -> bool:
        """The courier is asked in the middle of a transaction: on the timeline, *connection out*
        stands above the call and *connection back* below it. Ask before you open the session; the
        postcode is in the request."""
        return any(seen.step("good").timeline.held_at("note"))


class Dashboard(Exercise):
    """The dashboard tells the same numbers, and no session is used by two tasks."""

    id = "09p.dashboard"
    title = "The dashboard"
    needs = {"dashboard": FastAPI, "engine": Engine, "async_engine": AsyncEngine}
    hints = (
        "Look at the numbers of the tasks beside the SQL. How many sessions are there?",
        "A session is one transaction on one connection, and belongs to one task. SQLite's driver "
        "has the tasks stand in line; PostgreSQL's refuses.",
        "Await the counts one after the other; or let each task open a session of its own.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        book, *_ = _stock(lab, *range(lab.number(2, 5)))
        member, *_ = [_member(lab) for _ in range(lab.number(2, 5))]
        order = {"book_id": book, "member_id": member, "postage": 1, "status": "placed"}
        _insert(lab, "orders", *[order] * lab.number(2, 5))
        expected = {
            name: lab.rows(f"SELECT count(*) AS n FROM {of}")[0]["n"]
            for name, of in (("books", "book"), ("members", "member"), ("orders", "orders"))
        }
        return {
            "expected": expected,
            "numbers": lab.request("GET", "/dashboard", app="dashboard"),
        }

    @requirement(0, shows="numbers")
    def one_task_a_session(self, seen: Seen) -> None:
        """Ticket 7. No session is used by two tasks."""
        numbers = seen.step("numbers")
        expect(
            numbers.status == 200 and numbers.body == seen["expected"],
            saw=f"{numbers.heard}: `{numbers.body}`.",
            wanted=f"It should be 200, with `{seen['expected']}`.",
        )
        opened = len(numbers.timeline.of("session_open"))
        closed = len(numbers.timeline.of("session_close"))
        expect(
            closed >= opened and not numbers.timeline.checked_out,
            saw=f"{opened} sessions were opened, {closed} closed.",
            wanted="What is opened in a request should be closed in it.",
        )
        most = numbers.timeline.most_tasks
        expect(
            most <= 1,
            saw=f"One session was used by {most} tasks.",
            wanted="It should be used by the one that opened it.",
            why="A driver with a wire to a server has one conversation on it at a time.",
        )

    @mistake(shows="numbers", marks=("sql",))
    def shared(self, seen: Seen) -> bool:
        """Several tasks sent their statements through one session: see their numbers. A lock or a
        TaskGroup does not change whose session it is. Await the counts in turn, or let each task
        open its own with `async with AsyncSessionLocal() as own:`."""
        numbers = seen.step("numbers")
        told = ("concurrent operations are not permitted", "IllegalStateChangeError")
        return numbers.timeline.most_tasks > 1 or any(
            one in f"{numbers.error} {numbers.error_message}" for one in told
        )

    @mistake(shows="numbers")
    def left_open(self, seen: Seen) -> bool:
        """Each task has a session, and nobody closes it, so its connection is not given back. Open
        it with `async with AsyncSessionLocal() as own:`."""
        timeline = seen.step("numbers").timeline
        return len(timeline.of("session_close")) < len(timeline.of("session_open"))

    @mistake(shows="numbers", marks=("error",))
    def forgot_to_await(self, seen: Seen) -> bool:
        """The answer holds a coroutine, and not what it would have come to: one of the counts is
        never awaited. Put `await` before it."""
        return "coroutine" in seen.step("numbers").error_message


class Release(Exercise):
    """The release keeps every row and every name, up and down, and makes what the models say."""

    id = "09p.release"
    title = "Tonight's release"
    needs = {}
    hints = (
        "Ticket 8: what becomes of the values in `name`? Ticket 9: what do the old rows have in "
        "`status`, and what is `NULL <> 'cancelled'`? Ticket 10: who was to make the index?",
        "A rename is one operation. A column that must have a value takes three steps: add it, "
        "fill it, tighten it. An index is an operation of its own.",
        '`op.alter_column("member", "name", new_column_name="full_name")`; `op.execute("UPDATE '
        "orders SET status = 'sent'\")` and then `batch_alter_table` with `nullable=False`; "
        '`op.create_index("ix_orders_member_id", "orders", ["member_id"])`.',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        names = [f"{lab.word().title()} {lab.word().title()}" for _ in range(3)]
        many = lab.number(2, 5)
        seen: dict[str, Any] = {"names": names, "many": many}
        with _project(lab) as project:
            project.upgrade("0001")
            for name in names:
                project.write("INSERT INTO member (name) VALUES (:name)", name=name)
            for _ in range(many):
                project.write("INSERT INTO orders (member_id, postage) VALUES (1, 250)")
            seen["upgrade"] = project.upgrade()
            seen["schema"] = project.schema()
            seen["up_names"] = _column(project, "SELECT full_name FROM member ORDER BY id")
            seen["statuses"] = _column(project, "SELECT status FROM orders ORDER BY id")
            seen["placed"] = project.write(
                "INSERT INTO orders (id, member_id, postage, status) VALUES (900, 1, 1, 'placed')"
            )
            seen["without"] = project.write(
                "INSERT INTO orders (id, member_id, postage, status) VALUES (901, 1, 1, NULL)"
            )
            seen["downgrade"] = project.downgrade("0001")
            seen["down_names"] = _column(project, "SELECT name FROM member ORDER BY id")
            seen["down_schema"] = project.schema()
            seen["again"] = project.upgrade()
        return seen

    @requirement(0)
    def the_names_survive(self, seen: Seen) -> None:
        """Ticket 8. Every member has their name, after `upgrade` and after `downgrade`."""
        _runs(seen["upgrade"])
        up, down = _columns(seen["schema"], "member"), _columns(seen["down_schema"], "member")
        expect(
            seen["up_names"] == seen["names"] and "name" not in up,
            saw="Three members had names. After `upgrade`, `full_name` holds "
            f"{_values(seen['up_names'])}"
            f"{', and `name` is still there' if 'name' in up else ''}.",
            wanted=f"It should hold {_values(seen['names'])}, and `name` should be gone.",
        )
        expect(
            not up["full_name"]["nullable"],
            saw="After `upgrade`, a member may be without a name.",
            wanted="`full_name` should be as strict as `name` was: NOT NULL.",
        )
        expect(
            seen["downgrade"]["ok"] and seen["down_names"] == seen["names"],
            saw="After that, `downgrade` "
            + _came_to(seen["downgrade"], f"left {_values(seen['down_names'])} in `name`")
            + ".",
            wanted=f"It should hold {_values(seen['names'])} again.",
        )
        expect(
            "full_name" not in down,
            saw="After `downgrade`, `full_name` is still there.",
            wanted="It should be gone, so that `upgrade` can come again.",
        )

    @requirement(0)
    def every_order_has_a_status(self, seen: Seen) -> None:
        """Ticket 9. Orders from before are `sent`, and none can be without a status."""
        _runs(seen["upgrade"])
        expect(
            seen["statuses"] == ["sent"] * seen["many"],
            saw=f"{seen['many']} orders were there before. After `upgrade` their `status` is "
            f"{_values(seen['statuses'])}.",
            wanted="All of them should be `sent`.",
            why="NULL is not `cancelled`, and it is not *not* `cancelled` either.",
        )
        expect(
            seen["placed"]["ok"] and not seen["without"]["ok"],
            saw="After `upgrade`, an order whose status is NULL was accepted."
            if seen["placed"]["ok"]
            else "After `upgrade`, an order that is `placed` was refused "
            f"({_error(seen['placed'])}).",
            wanted="The database should take the one with a status and refuse the other.",
            why="Else the next old row is only a bug away.",
        )
        expect(
            seen["downgrade"]["ok"] and "status" not in _columns(seen["down_schema"], "orders"),
            saw=f"After that, `downgrade` {_came_to(seen['downgrade'], 'left `status` there')}.",
            wanted="The column should be gone.",
        )

    @requirement(0)
    def the_index_is_there(self, seen: Seen) -> None:
        """Ticket 10. There is an index on `orders.member_id`, and the release can come again."""
        _runs(seen["upgrade"])
        indexes = seen["schema"].get("orders", {}).get("indexes", [])
        expect(
            any(index[:1] == ["member_id"] for index in indexes),
            saw="After `upgrade`, "
            + (
                f"the indexes of `orders` are on {', '.join(map(str, indexes))}."
                if indexes
                else "`orders` has no index."
            ),
            wanted="There should be one that begins with `member_id`.",
            why="`index=True` in a model makes nothing. A migration does.",
        )
        expect(
            not seen["downgrade"]["ok"] or seen["again"]["ok"],
            saw=f"After `downgrade`, a second `upgrade` {_came_to(seen['again'], 'went through')}.",
            wanted="It should run again: `downgrade` has to take away what `upgrade` made.",
        )

    @mistake()
    def no_value_for_the_rows(self, seen: Seen) -> bool:
        """A column that must have a value was added to, or tightened on, a table with rows that
        have none, and `upgrade` stopped. For a rename, the value is in the other column. For
        `status`: add it, fill it with an UPDATE, tighten it."""
        error = _error(seen["upgrade"])
        return "Cannot add a NOT NULL column" in error or "NOT NULL constraint failed" in error

    @mistake()
    def altered_in_place(self, seen: Seen) -> bool:
        """SQLite cannot alter a column where it stands, and `upgrade` stopped with a syntax error.
        `with op.batch_alter_table("orders") as orders:` makes the table anew and copies the rows:
        `orders.alter_column(...)`."""
        return 'near "ALTER"' in _error(seen["upgrade"])

    @mistake()
    def lost_the_names(self, seen: Seen) -> bool:
        """All went through, and nobody has a name any more: a column was added, and another dropped
        with its values in it. Alembic cannot see that you meant the same one. Say so:
        `op.alter_column(..., new_column_name=...)`, both ways."""
        return _ok(seen["upgrade"]) and _blank(seen["up_names"])

    @mistake()
    def lost_on_the_way_back(self, seen: Seen) -> bool:
        """Up is right. On the way down all names are lost, by the mirror of the old mistake. Rename
        it back."""
        return _ok(seen["downgrade"]) and _blank(seen["down_names"])

    @mistake()
    def old_rows_without(self, seen: Seen) -> bool:
        """The orders from before have no status: a new column that may be NULL is NULL in every row
        that is there. An `UPDATE orders SET status = 'sent'` after adding it fills them."""
        rows = seen["statuses"]
        return _ok(seen["upgrade"]) and isinstance(rows, list) and None in rows

    @mistake()
    def never_tightened(self, seen: Seen) -> bool:
        """The old orders have their status, and a new one may still be without: the column was left
        nullable. Third step: `with op.batch_alter_table("orders") as orders:
        orders.alter_column("status", existing_type=sa.String(), nullable=False)`."""
        return _ok(seen["without"]) and seen["statuses"] == ["sent"] * seen["many"]

    @mistake()
    def the_index_stayed(self, seen: Seen) -> bool:
        """The release came, went, and cannot come again: the index is there already, since
        `downgrade` left it. Drop there what `upgrade` creates."""
        error = _error(seen["again"])
        return "index" in error and "already exists" in error

    @mistake()
    def no_index(self, seen: Seen) -> bool:
        """Nothing in the release makes the index. `index=True` in the model is a wish; in a
        revision it is an operation: `op.create_index("ix_orders_member_id", "orders",
        ["member_id"])`."""
        indexes = seen["schema"].get("orders", {}).get("indexes", [])
        return _ok(seen["upgrade"]) and not any("member_id" in index for index in indexes)


# -- what the evidence is made of --------------------------------------------------------------
def _members(lab: Lab, name: str) -> int:
    """How many members of a name there are."""
    return len(lab.rows("SELECT id FROM member WHERE full_name = :name", name=name))


def _insert(lab: Lab, into: str, *rows: Mapping[str, Any]) -> None:
    lab.write(insert(table(into, *map(column, rows[0]))).values(rows))


def _member(lab: Lab) -> int:
    """A member of our own; their id."""
    member = lab.number(10_000, 900_000)
    _insert(lab, "member", {"id": member, "full_name": lab.word().title()})
    return member


def _authors(lab: Lab, count: int, books: int = 0) -> list[int]:
    """Authors of our own, each with so many books; their ids."""
    first = lab.number(1_000, 90_000) * 10
    ids = list(range(first, first + count))
    _insert(lab, "author", *({"id": one, "name": lab.word()} for one in ids))
    if books:
        by_each = [one for one in ids for _ in range(books)]
        rows = ({"title": lab.word(), "copies": 1, "author_id": one} for one in by_each)
        _insert(lab, "book", *rows)
    return ids


def _stock(lab: Lab, *copies: int) -> list[int]:
    """Books of our own, each with so many copies; their ids."""
    first = lab.number(1_000, 90_000) * 10
    (author,) = _authors(lab, 1)
    ids = list(range(first, first + len(copies)))
    same = {"title": "Emma", "author_id": author}
    rows = ({"id": id, "copies": n, **same} for id, n in zip(ids, copies, strict=True))
    _insert(lab, "book", *rows)
    return ids


def _book(lab: Lab, book: int) -> dict[str, Any]:
    found = lab.rows("SELECT blurb, shelf FROM book WHERE id = :book", book=book)
    return found[0] if found else {"blurb": None, "shelf": None}


def _shelf(lab: Lab, book: int) -> dict[str, Any]:
    """The copies of a book, and how many orders there are for it."""
    copies = lab.rows("SELECT copies FROM book WHERE id = :book", book=book)
    orders = lab.rows("SELECT id FROM orders WHERE book_id = :book", book=book)
    return {"copies": copies[0]["copies"] if copies else 0, "orders": len(orders)}


def _shelves(lab: Lab) -> list[list[Any]]:
    """Each author's name and titles, in order."""
    books = defaultdict(list)
    for one in lab.rows("SELECT author_id, title FROM book ORDER BY id"):
        books[one["author_id"]].append(one["title"])
    authors = lab.rows("SELECT id, name FROM author ORDER BY id")
    return [[one["name"], books[one["id"]]] for one in authors]


@contextmanager
def _project(lab: Lab) -> Iterator[Project]:
    """A copy of the project, in which everything but the release is the course's."""
    with lab.project("paper_moth_09p") as project:
        versions = project.path / "migrations" / "versions"
        for path in versions.glob("*.py"):
            if path.name != "0002_release.py":
                path.unlink()
        (versions / "0001_live.py").write_text(_LIVE, encoding="utf-8")
        (project.path / "migrations" / "env.py").write_text(_ENV, encoding="utf-8")
        yield project


_ENV = """\
from pathlib import Path

from alembic import context
from sqlalchemy import NullPool, create_engine

DATABASE = Path(__file__).parent.parent / "bookshop.db"

with create_engine(f"sqlite:///{DATABASE}", poolclass=NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

_LIVE = """\
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "member",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("member_id", sa.Integer(), sa.ForeignKey("member.id"), nullable=False),
        sa.Column("postage", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("orders")
    op.drop_table("member")
"""


def _column(project: Project, statement: str) -> Any:
    rows = project.rows(statement)
    return [value for row in rows for value in row.values()] if isinstance(rows, list) else None


# -- what is asked of it -----------------------------------------------------------------------
def _id(body: Any) -> int | None:
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, int) else None


def _names(body: Any) -> set[str]:
    found = body.get("full_name") if isinstance(body, dict) else None
    return {found} if isinstance(found, str) else set()


def _listed(body: Any) -> list[list[Any]] | None:
    """Names and titles in a list of authors; None where it is of another shape."""
    if not isinstance(body, list):
        return None
    found: list[list[Any]] = []
    for one in body:
        books = one.get("books") if isinstance(one, dict) else None
        if not isinstance(books, list):
            return None
        titles = [book.get("title") if isinstance(book, dict) else None for book in books]
        found.append([one.get("name"), titles])
    return found


def _heard(seen: Seen) -> list[int]:
    return [seen.step("first").status, seen.step("second").status]


def _updates(sql: str) -> bool:
    return sql.upper().startswith("UPDATE")


def _ok(outcome: Outcome) -> bool:
    return outcome["ok"] is True


def _blank(values: Any) -> bool:
    """Whether there are rows, and nothing in any of them."""
    return isinstance(values, list) and bool(values) and not any(values)


def _runs(upgrade: Outcome) -> None:
    expect(
        upgrade["ok"],
        saw=f"With rows in the tables, `alembic upgrade head` {_came_to(upgrade, '')}.",
        wanted="It should run.",
    )


def _columns(schema: Mapping[str, Any], table: str) -> Mapping[str, Any]:
    columns: Mapping[str, Any] = schema.get(table, {}).get("columns", {})
    return columns


# -- how it is put -----------------------------------------------------------------------------
def _connections(count: int) -> str:
    return counted(count, "connection was", "connections were")


def _told(book: Mapping[str, Any]) -> str:
    return f"`blurb` {book['blurb']!r} and `shelf` {book['shelf']!r}"


def _in_words(shelf: Mapping[str, Any]) -> str:
    copies = counted(shelf["copies"], "copy", "copies")
    orders = counted(shelf["orders"], "order")
    return f"there are {copies} and {orders}"


def _difference(found: list[list[Any]] | None, expected: list[list[Any]]) -> str:
    if found is None:
        return "it is no list of authors with a list of `books` each"
    if len(found) != len(expected):
        return f"it has {len(found)} authors of {len(expected)}"
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if one != other]
    if not pairs:
        return "it is the same"
    (name, books), (wanted, all_books) = pairs[0]
    return f"it has {name!r} with the books {books}, where {wanted!r} has {all_books}"


def _values(values: Any) -> str:
    if not isinstance(values, list):
        return "nothing that can be read"
    return ", ".join("NULL" if one is None else repr(one) for one in values) or "nothing"


def _error(outcome: Outcome) -> str:
    error = outcome["error"]
    return f"{error['type']}: {error['message']}" if error else ""


def _came_to(outcome: Outcome, otherwise: str) -> str:
    return otherwise if outcome["ok"] else f"ended in {_error(outcome)}"


EXERCISES = (Members, Catalogue, Till, Dashboard, Release)
