"""Lesson 03, transactions: all or nothing, told truthfully, in parts, and under contention."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine

from checks.exercise import Exercise, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.words import counted

NOBODY = 999_999  # an id that no book and no customer has


class AtomicOrder(Exercise):
    """An order takes its copies off the shelf and is written down, in one transaction; or neither
    happens."""

    id = "03.atomic_order"
    title = "The atomic order"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "Count the commits on the timeline of a good order. What if the power fails between them?",
        "Open one `with SessionLocal.begin() as session:` and do everything inside: read the book, "
        "raise the 404 or the 409, change the stock, add the order.",
        "Inside the block, last: `session.flush()` gives the order its id, and then "
        '`return {"id": order.id, "copies_left": book.copies}`. Leaving the block commits.',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        copies, wanted = lab.number(6, 9), lab.number(2, 4)
        book, customer = _book(lab, copies), _customer(lab)
        seen: dict[str, Any] = {"copies": copies, "wanted": wanted}

        def order(**changed: int) -> Any:
            new = {"book_id": book, "customer_id": customer, "copies": wanted} | changed
            return lab.request("POST", "/orders", json=new)

        seen["good"] = order()
        seen["after_good"] = _shelf(lab, book)
        seen["no_book"] = order(book_id=NOBODY)
        seen["too_many"] = order(copies=copies + 1)
        seen["exactly"] = order(book_id=_book(lab, wanted))
        seen["after_turned_away"] = _shelf(lab, book)
        seen["refused"] = order(customer_id=NOBODY, copies=1)
        seen["after_refused"] = _shelf(lab, book)
        seen["next"] = order(copies=1)
        return seen

    @requirement(2, shows="good")
    def a_good_order(self, seen: Seen) -> None:
        """A good order answers 201; the stock has gone down and the order is there."""
        good, left = seen.step("good"), seen["copies"] - seen["wanted"]
        expect(
            good.status == 201,
            saw=f"{good.heard}.",
            wanted="An order for copies that are in stock should be answered with 201.",
        )
        expect(
            seen["after_good"] == {"copies": left, "orders": [seen["wanted"]]},
            saw=f"{seen['wanted']} of {seen['copies']} copies were ordered. "
            f"Afterwards {_shelf_in_words(seen['after_good'])}.",
            wanted=f"It should be {left} and one, of {seen['wanted']}.",
        )
        body = good.body if isinstance(good.body, dict) else {}
        expect(
            isinstance(body.get("id"), int) and body.get("copies_left") == left,
            saw=f"The body was `{good.body}`.",
            wanted=f"It should hold the order's `id` and `copies_left`, here {left}.",
        )
        exactly = seen.step("exactly")
        expect(
            exactly.status == 201,
            saw=f"{exactly.heard}, for exactly as many copies of a book as there were.",
            wanted="There are enough, so that should be a 201 as well.",
        )

    @requirement(1, shows="too_many")
    def turned_away(self, seen: Seen) -> None:
        """An unknown book is a 404 and too few copies a 409, and neither changes anything."""
        no_book, too_many = seen.step("no_book"), seen.step("too_many")
        expect(
            no_book.status == 404,
            saw=f"{no_book.heard}, for a book that does not exist.",
            wanted="That should be a 404.",
        )
        expect(
            too_many.status == 409,
            saw=f"{too_many.heard}, for one copy more than the shop ever had.",
            wanted="That should be a 409.",
        )
        expect(
            seen["after_turned_away"] == seen["after_good"],
            saw="The refused orders left something behind: "
            f"{_shelf_in_words(seen['after_turned_away'])}.",
            wanted=f"It should be as before: {_shelf_in_words(seen['after_good'])}.",
        )

    @requirement(2, shows="refused")
    def all_or_nothing(self, seen: Seen) -> None:
        """An order that the database refuses at the commit is an error, and changes nothing."""
        refused = seen.step("refused")
        expect(
            refused.status >= 400,
            saw=f"{refused.heard}, for a customer who does not exist.",
            wanted="The database refuses that order at the commit, so it should be an error.",
        )
        expect(
            seen["after_refused"] == seen["after_turned_away"],
            saw="The database refused the order, and yet something had changed: "
            f"{_shelf_in_words(seen['after_refused'])}.",
            wanted=f"It should be as before: {_shelf_in_words(seen['after_turned_away'])}.",
        )
        following = seen.step("next")
        expect(
            following.status == 201 or seen.step("good").status != 201,
            saw=f"The order after it was a good one again, and {following.heard}.",
            wanted="It should not notice what happened to the one before.",
        )

    @requirement(1, shows="good")
    def one_transaction(self, seen: Seen) -> None:
        """Stock and order are kept by one and the same commit."""
        commits = seen.step("good").timeline.commits_keeping()
        expect(
            commits == 1,
            saw=f"The good order needed {counted(commits, 'commit')}.",
            wanted="There should be exactly one, with everything in it.",
            why="Whatever dies between two commits leaves half an order.",
        )

    @mistake(shows="refused", marks=("commit",))
    def half_an_order(self, seen: Seen) -> bool:
        """The order was refused, but its copies had already left the shelf: the stock was committed
        first, the order second, and only the second failed. Look for the two commits on the
        timeline, and make them one, at the end."""
        before, after = seen["after_turned_away"], seen["after_refused"]
        split = after["copies"] < before["copies"] and after["orders"] == before["orders"]
        return bool(split and after["orders"])

    @mistake(shows="good", marks=("sql UPDATE",))
    def no_order(self, seen: Seen) -> bool:
        """The copies left the shelf, and no order says for whom: there is no INSERT on the
        timeline. An `Order(...)` is only an object until `session.add(order)`."""
        good = seen.step("good")
        inserts = [sql for sql in good.timeline.writes if "INTO orders" in sql]
        return good.status == 201 and bool(good.timeline.writes) and not inserts

    @mistake(shows="refused", marks=("response", "commit"))
    def answered_too_soon(self, seen: Seen) -> bool:
        """The client heard 201 and only then did the commit fail: it stands below the response on
        the timeline, because your session dependency commits after its `yield`. Part 2 is about
        that. Here, open a `with SessionLocal.begin()` block inside the endpoint."""
        return _said_yes_before_a_failed_commit(seen.step("refused"))

    @mistake(shows="good", marks=("savepoint", "release"))
    def kept_by_a_savepoint(self, seen: Seen) -> bool:
        """Nothing was committed on purpose: the order stayed because SQLite keeps what an outermost
        savepoint releases. On any other database it would be gone. `begin_nested()` is a savepoint
        *inside* a transaction; the transaction is `SessionLocal.begin()`."""
        good = seen.step("good").timeline
        savepoint = "savepoint" in good.kinds and not good.commits
        return savepoint and bool(seen["after_good"]["orders"])

    @mistake(shows="good")
    def never_committed(self, seen: Seen) -> bool:
        """The client heard 201, but nothing was committed, so leaving the session threw the order
        away. `SessionLocal()` only opens a session; `SessionLocal.begin()` commits as well."""
        good = seen.step("good")
        return good.status == 201 and bool(good.timeline.writes) and not good.timeline.commits

    @mistake(shows="good")
    def committed_inside_the_block(self, seen: Seen) -> bool:
        """The session was made by `SessionLocal.begin()`, whose block commits when it ends; after a
        `commit()` of your own, the session refuses to go on inside the block. For the id,
        `session.flush()` is enough."""
        return _block_is_over(seen.step("good"))

    @mistake(shows="good")
    def returned_not_raised(self, seen: Seen) -> bool:
        """An HTTPException was *returned*, and to FastAPI that is an answer like any other: it was
        to be the JSON. `raise` it."""
        return any(seen.step(name).returned_the_exception for name in ("no_book", "too_many"))

    @mistake(shows="exactly")
    def refuses_the_last(self, seen: Seen) -> bool:
        """An order for exactly as many copies as there were was turned away. Too few means fewer
        than were ordered: `book.copies < new.copies`."""
        return seen.step("exactly").status == 409 and seen.step("good").status == 201

    @mistake(shows="good")
    def read_after_the_end(self, seen: Seen) -> bool:
        """The order was kept, and then the answer failed with a DetachedInstanceError: a commit
        expires what the session holds, and your `return` reads it when the session is closed. Make
        the answer inside the block, after a `session.flush()`."""
        return seen.step("good").error == "DetachedInstanceError"

    @mistake(shows="too_many")
    def left_it_to_the_check(self, seen: Seen) -> bool:
        """Too large an order is a 500: the CHECK on the table saved the stock, but nobody told the
        client so. Compare `book.copies` with `new.copies` and raise `HTTPException(409, ...)`, or
        catch the IntegrityError around the whole transaction and raise it there."""
        return seen.step("too_many").error == "IntegrityError"

    @mistake(shows="good", marks=("commit",))
    def two_transactions(self, seen: Seen) -> bool:
        """Everything came out right this time, but stock and order were kept by separate commits.
        Pull the plug between them and one is there without the other. Commit once, at the end."""
        return seen.step("good").timeline.commits_keeping() > 1

    @mistake(shows="next")
    def the_next_inherits_it(self, seen: Seen) -> bool:
        """The refused order was answered with an error, and then the **next**, good one failed
        too: SQLite leaves a transaction open when its commit fails, nobody rolled it back, and the
        next request inherited it from the pool. A `with SessionLocal.begin()` block rolls back by
        itself; after a `commit()` of your own it takes `except: session.rollback(); raise`."""
        refused, following = seen.step("refused"), seen.step("next")
        good = seen.step("good").body
        answered = isinstance(good, dict) and "copies_left" in good
        return answered and refused.status >= 400 and "FOREIGN KEY" in following.error_message


class TellTheTruth(Exercise):
    """A client hears 201 only when its order is kept; when the commit fails it hears an error, and
    the order never turns up."""

    id = "03.tell_the_truth"
    title = "Tell the truth"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "On the timeline, `commit` must come to stand above `response`. Who commits, and when?",
        "Either the dependency finishes before the response is sent, which `Depends` can be told "
        "with its `scope` argument, or the endpoint commits before it returns.",
        'SessionDep = Annotated[Session, Depends(get_db, scope="function")]',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        book, customer = _book(lab, 1000), _customer(lab)
        sizes = lab.random.sample(range(2, 100), 3)

        def order(copies: int) -> Any:
            new = {"book_id": book, "customer_id": customer, "copies": copies}
            return lab.request("POST", "/orders", json=new)

        seen: dict[str, Any] = {"sizes": sizes, "good": order(sizes[0])}
        seen["after_good"] = _shelf(lab, book)["orders"]
        with lab.commit_fails():
            seen["refused"] = order(sizes[1])
        seen["after_refused"] = _shelf(lab, book)["orders"]
        seen["next"] = order(sizes[2])
        seen["after_next"] = _shelf(lab, book)["orders"]
        return seen

    @requirement(1, shows="good")
    def a_good_order(self, seen: Seen) -> None:
        """A good order answers 201 and is kept."""
        good, size = seen.step("good"), seen["sizes"][0]
        expect(
            good.status == 201,
            saw=f"{good.heard}.",
            wanted="A good order should be answered with 201, as before.",
        )
        expect(
            seen["after_good"] == [size],
            saw=f"The client heard 201, and the table holds {_orders(seen['after_good'])} "
            "of that book.",
            wanted=f"It should hold one, for {size} copies.",
        )

    @requirement(3, shows="refused")
    def a_failed_commit_is_heard(self, seen: Seen) -> None:
        """When the commit fails, the client hears an error."""
        refused = seen.step("refused")
        expect(
            refused.status >= 400,
            saw=f"The commit failed, and the client heard {refused.status}.",
            wanted="It should hear an error: a status of 400 or above.",
            why="A client that has heard 201 will not ask again.",
        )

    @requirement(1, shows="next")
    def it_stays_refused(self, seen: Seen) -> None:
        """The order whose commit failed is not in the table, and the next order is."""
        size = seen["sizes"]
        following = seen.step("next")
        expect(
            not seen.step("refused").timeline.checked_out,
            saw="When the commit failed, its connection was not given back.",
            wanted="A session that is opened should be closed, whatever happens in between.",
            why="Its transaction is still open, and keeps everybody else waiting.",
        )
        expect(
            size[1] not in seen["after_refused"],
            saw="The order was reported as failed, and it is in the table.",
            wanted="An order whose commit failed should not be there.",
        )
        expect(
            following.status == 201 and size[2] in seen["after_next"],
            saw=f"After the failed commit, the next, good order did not get through: "
            f"{following.heard}.",
            wanted="It should be answered with 201 and be kept.",
        )
        expect(
            size[1] not in seen["after_next"],
            saw="The next order was kept, and the failed one came along with it.",
            wanted="An order that failed should stay away.",
        )

    @mistake(shows="refused", marks=("response", "commit"))
    def raised_too_late(self, seen: Seen) -> bool:
        """You turn the failed commit into an HTTPException, but after the `yield`, when the 201 is
        already out. FastAPI can only complain: "Caught handled exception, but response already
        started." Nothing said down there can reach the client; let the commit happen earlier."""
        refused = seen.step("refused")
        return refused.status < 400 and "response already started" in refused.error_message

    @mistake(shows="refused", marks=("response", "commit"))
    def after_the_answer(self, seen: Seen) -> bool:
        """The commit still stands below the response on the timeline: the client had its 201 before
        anybody knew whether it was true. A dependency's code after `yield` runs when the response
        has gone, unless its scope is `"function"`; so does a background task."""
        return _said_yes_before_a_failed_commit(seen.step("refused"))

    @mistake(shows="refused", marks=("commit",))
    def swallowed(self, seen: Seen) -> bool:
        """The commit now comes before the response, which is half of it. But somebody catches its
        exception and does not pass it on, so the endpoint's 201 goes out regardless. After
        `rollback()`, `raise`; or raise an HTTPException."""
        refused = seen.step("refused")
        failed = [e for e in refused.timeline.of("commit") if e["failed"]]
        return 0 < refused.status < 400 and bool(failed)

    @mistake(shows="good")
    def never_committed(self, seen: Seen) -> bool:
        """Now no commit follows the INSERT: it was sent, and rolled back when the session closed.
        `flush()` sends, `commit()` keeps. Commit after the one and before the response."""
        good = seen.step("good")
        return bool(good.timeline.writes) and not good.timeline.commits

    @mistake(shows="good")
    def committed_inside_the_block(self, seen: Seen) -> bool:
        """The session was made by `SessionLocal.begin()`, whose block commits when it ends; after a
        `commit()` of your own, the session refuses to go on inside the block. Take out one of the
        two."""
        return _block_is_over(seen.step("good"))

    @mistake(shows="refused")
    def never_closed(self, seen: Seen) -> bool:
        """The session is not closed: on the timeline a connection goes out and does not come back,
        and after the failed commit it keeps the database locked for everybody. Either nothing
        closes it, or a `commit()` that raises jumps over the `close()`. A `with SessionLocal() as
        db:` around the `yield` closes it in any case."""
        return seen.step("refused").timeline.checked_out > 0

    @mistake(shows="next", marks=("commit",))
    def came_back(self, seen: Seen) -> bool:
        """The client heard an error, and then the failed order was kept after all, by the commit of
        the **next** request: SQLite leaves a transaction open when its commit fails, and nobody
        rolled it back before the connection returned to the pool. Whoever commits must also roll
        back: use `with SessionLocal.begin()`, or `except: db.rollback(); raise`."""
        size = seen["sizes"][1]
        return size in seen["after_next"] and size not in seen["after_refused"]


class SavepointImport(Exercise):
    """An import keeps every good book and reports every bad one, in one transaction."""

    id = "03.savepoint_import"
    title = "The import that keeps the good rows"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "A failed row must take back only itself. `session.rollback()` takes back everything.",
        "Loop inside one `with HonestSession.begin() as session:`, and give each row a savepoint: "
        "`with session.begin_nested():`.",
        "try: / with session.begin_nested(): / session.add(Book(**new.model_dump())) / "
        "except IntegrityError: / rejected.append(new.isbn)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        isbns = [f"978{lab.number(10**9, 10**10 - 1)}" for _ in range(8)]
        copies = lab.number(3, 9)
        lab.write(
            "INSERT INTO book (isbn, title, copies, version) VALUES (:isbn, 'Kept', :copies, 1)",
            isbn=isbns[0],
            copies=copies,
        )

        def new(which: int, copies: int) -> dict[str, Any]:
            return {"isbn": isbns[which], "title": lab.word().title(), "copies": copies}

        bad = [new(0, 1), new(4, -lab.number(1, 9)), new(1, 2)]
        good = [new(1, lab.number(1, 9)), new(2, lab.number(1, 9)), new(3, 1)]
        mixed = [good[0], bad[0], good[1], bad[1], bad[2], good[2]]
        seen: dict[str, Any] = {
            "known": {"isbn": isbns[0], "title": "Kept", "copies": copies},
            "good": good,
            "bad": [one["isbn"] for one in bad],
            "sent": len(mixed),
        }
        seen["mixed"] = lab.request("POST", "/imports", json=mixed)
        seen["after_mixed"] = _books(lab, isbns)
        seen["second"] = [new(5, 1), new(6, 1)]
        with lab.commit_fails():
            seen["failed"] = lab.request("POST", "/imports", json=[*seen["second"], new(0, 1)])
        seen["after_failed"] = _books(lab, isbns[5:])
        return seen

    @requirement(2, shows="mixed")
    def the_report(self, seen: Seen) -> None:
        """The answer is 200, with how many were added and the ISBN of each that was refused."""
        mixed = seen.step("mixed")
        expect(
            mixed.status == 200,
            saw=f"{mixed.heard}, for a list of {seen['sent']} books, of which 3 are good.",
            wanted="An import with bad rows in it should still be answered with 200.",
        )
        wanted = {"imported": 3, "rejected": seen["bad"]}
        expect(
            mixed.body == wanted,
            saw=f"The body was `{mixed.body}`.",
            wanted=f"It should be `{wanted}`, in the order of the list.",
            why="The publisher corrects what you name, and nothing else.",
        )

    @requirement(2, shows="mixed")
    def the_good_ones(self, seen: Seen) -> None:
        """Every good book of the list is in the shop."""
        there = [one for one in seen["after_mixed"] if one["isbn"] != seen["known"]["isbn"]]
        missing = [one["isbn"] for one in seen["good"] if one not in there]
        expect(
            not missing,
            saw=f"Of the 3 good books in the list, {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not in the shop as sent: "
            f"{', '.join(missing)}.",
            wanted="All of them should be there.",
        )
        extra = [one for one in there if one not in seen["good"]]
        expect(
            not extra,
            saw=f"The shop now has books that it should have refused: {extra}.",
            wanted="A bad row should be reported and left out.",
        )

    @requirement(1, shows="mixed")
    def the_old_ones(self, seen: Seen) -> None:
        """A book that was in the shop before is as it was."""
        now = [one for one in seen["after_mixed"] if one["isbn"] == seen["known"]["isbn"]]
        expect(
            now == [seen["known"]],
            saw=f"The book `{seen['known']}` was there before the import; now there is `{now}`.",
            wanted="It should be untouched.",
        )

    @requirement(2, shows="failed")
    def one_transaction(self, seen: Seen) -> None:
        """The import is one transaction: when its commit fails, none of it is kept."""
        commits = seen.step("mixed").timeline.commits_keeping()
        expect(
            commits == 1,
            saw=f"The import was kept in {counted(commits, 'commit')}.",
            wanted="There should be exactly one, at the end.",
        )
        failed = seen.step("failed")
        expect(
            failed.status >= 400,
            saw=f"The commit failed, and the client heard {failed.status}.",
            wanted="It should hear an error.",
        )
        expect(
            not seen["after_failed"],
            saw=f"The commit failed, and {counted(len(seen['after_failed']), 'book')} of that "
            "import stayed all the same.",
            wanted="None should.",
        )

    @mistake(shows="mixed", marks=("error",))
    def pending_rollback(self, seen: Seen) -> bool:
        """After the first bad row the session refused to go on: PendingRollbackError. The failed
        flush has to be rolled back, and only as far as its own row. Put a
        `with session.begin_nested():` around each `session.add(...)`, and the `try` around that."""
        return seen.step("mixed").error == "PendingRollbackError"

    @mistake(shows="mixed")
    def turned_away_at_the_door(self, seen: Seen) -> bool:
        """FastAPI answered 422 before your endpoint ran: what was sent is not what its signature
        asks for. The body is a list of books, `delivery: list[NewBook]`; and leave `NewBook` as it
        is, since a row that the *schema* refuses takes the whole list with it."""
        mixed = seen.step("mixed")
        return mixed.status == 422 and not mixed.timeline.of("sql")

    @mistake(shows="mixed", marks=("sql INSERT",))
    def first_bad_row_ends_it(self, seen: Seen) -> bool:
        """One bad row brought the whole import down. Catch its IntegrityError for each row,
        around a savepoint (`session.begin_nested()`) that takes back only that row. If you do have
        a `try`: the INSERT is sent at the flush, which must happen inside it."""
        mixed = seen.step("mixed")
        return mixed.error == "IntegrityError" or (
            mixed.status in (400, 409, 422) and not mixed.timeline.commits
        )

    @mistake(shows="mixed", marks=("commit",))
    def commit_per_row(self, seen: Seen) -> bool:
        """Each good row was committed by itself, as the timeline shows. That keeps the good rows,
        but an import that breaks off in the middle has half happened. Use savepoints inside one
        transaction, and commit once, at the end."""
        return seen.step("mixed").timeline.commits_keeping() > 1

    @mistake(shows="mixed", marks=("rollback",))
    def rolled_back_everything(self, seen: Seen) -> bool:
        """Good rows that came before a bad one are gone: `rollback()` on the session ends the whole
        transaction, savepoints and all. Take back one row only: put the `with
        session.begin_nested():` around it, which rolls back to its savepoint by itself."""
        mixed = seen.step("mixed")
        kept = [one for one in seen["good"] if one in seen["after_mixed"]]
        ended = bool(mixed.timeline.commits) or _block_is_over(mixed)
        return bool(mixed.timeline.rollbacks) and ended and len(kept) < 3

    @mistake(shows="mixed", marks=("savepoint", "rollback_to"))
    def one_savepoint_for_all(self, seen: Seen) -> bool:
        """There was one savepoint around all rows, so the first bad row took the good ones back
        with it. Open a new savepoint for each row: the `with session.begin_nested():` belongs
        inside the loop."""
        kept = [one for one in seen["good"] if one in seen["after_mixed"]]
        return not kept and seen.step("mixed").timeline.kinds.count("savepoint") == 1

    @mistake(shows="mixed")
    def never_committed(self, seen: Seen) -> bool:
        """The rows were sent and then lost: nothing was committed. A savepoint that is released is
        not a commit. Open the session with `HonestSession.begin()`, or call `session.commit()` at
        the end."""
        mixed = seen.step("mixed")
        return not mixed.error and bool(mixed.timeline.writes) and not mixed.timeline.commits

    @mistake(shows="failed", marks=("savepoint", "release", "commit"))
    def savepoint_without_begin(self, seen: Seen) -> bool:
        """The commit failed and rows stayed: they were kept when their savepoints were released,
        since on this engine there was no transaction around them. Python's sqlite3 had not said
        BEGIN yet. Use `HonestSession`, whose engine says it first."""
        return bool(seen["after_failed"]) and "savepoint" in seen.step("failed").timeline.kinds

    @mistake(shows="mixed")
    def overwrote(self, seen: Seen) -> bool:
        """A book that was in the shop already has been overwritten with the publisher's row: that
        is what `merge()` and an upsert that updates do. A known ISBN is to be rejected."""
        return seen["known"] not in seen["after_mixed"]

    @mistake(shows="mixed")
    def not_reported(self, seen: Seen) -> bool:
        """The good books are in, and the bad ones were dropped without a word: `rejected` does not
        name them all. Collect the ISBN of each row that was refused, the one that came twice and
        the one with copies below zero included."""
        body = seen.step("mixed").body
        rejected = body.get("rejected") if isinstance(body, dict) else None
        in_the_shop = all(one in seen["after_mixed"] for one in seen["good"])
        return isinstance(rejected, list) and len(rejected) < len(seen["bad"]) and in_the_shop

    @mistake(shows="failed", marks=("response", "commit"))
    def answered_too_soon(self, seen: Seen) -> bool:
        """The import is right, but its commit runs after the response: when it failed, the client
        had already heard 200. Commit before you return, or give the dependency
        `scope="function"`."""
        return _said_yes_before_a_failed_commit(seen.step("failed"))


class LastCopy(Exercise):
    """However close the race, a copy is sold once, and whoever comes too late hears 409."""

    id = "03.last_copy"
    title = "Two buyers, one copy"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "Between your SELECT and your UPDATE there is room for somebody else. Can the database do "
        "both in one statement?",
        "`update(Book).where(...)` may name the condition too: `Book.copies >= new.copies`. The "
        "`rowcount` of its result says whether it found the row. (A version counter with a 409 for "
        "StaleDataError, or `BEGIN IMMEDIATE`, does as well.)",
        "taken = session.execute(update(Book).where(Book.id == new.book_id, Book.copies >= "
        "new.copies).values(copies=Book.copies - new.copies)), and a 409 if `taken.rowcount == 0`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        copies = lab.number(3, 9)
        plenty, beside, none, one, other = (_book(lab, n) for n in (copies, copies, 0, 1, 1))
        customer = _customer(lab)

        def buy(book: int, copies: int = 1) -> tuple[str, str, Any]:
            return "POST", "/orders", {"book_id": book, "customer_id": customer, "copies": copies}

        def sent(book: int, copies: int = 1) -> Any:
            method, path, body = buy(book, copies)
            return lab.request(method, path, json=body)

        seen: dict[str, Any] = {"copies": copies, "plenty": sent(plenty, 2)}
        seen["after_plenty"] = _shelf(lab, plenty)
        seen["neighbour"] = _shelf(lab, beside)["copies"]
        seen["no_book"] = sent(NOBODY)
        seen["sold_out"] = sent(none)
        seen["after_sold_out"] = _shelf(lab, none)
        seen["first"], seen["second"] = lab.interleave(buy(one), buy(one))
        seen["after_race"] = _shelf(lab, one)
        seen["overtaken"], seen["rival_got"] = lab.overtaken(
            buy(other),
            "UPDATE book SET copies = copies - 1, version = version + 1 "
            "WHERE id = :book AND copies >= 1",
            book=other,
        )
        seen["after_overtaken"] = _shelf(lab, other)
        return seen

    @requirement(1, shows="plenty")
    def it_sells(self, seen: Seen) -> None:
        """While there are copies, an order answers 201 and takes its copies off the shelf."""
        plenty, left = seen.step("plenty"), seen["copies"] - 2
        expect(
            plenty.status == 201,
            saw=f"{plenty.heard}, with {seen['copies']} copies in stock.",
            wanted="That should be a 201.",
        )
        expect(
            seen["after_plenty"] == {"copies": left, "orders": [2]},
            saw=f"There were {seen['copies']} copies, and two were sold. "
            f"Now {_shelf_in_words(seen['after_plenty'])}.",
            wanted=f"There should be {left} left and one order, of 2.",
        )
        expect(
            seen["neighbour"] == seen["copies"],
            saw="An order for one book also took copies of another.",
            wanted="Each book should be counted by itself.",
        )
        body = plenty.body if isinstance(plenty.body, dict) else {}
        expect(
            isinstance(body.get("id"), int),
            saw=f"The body was `{plenty.body}`.",
            wanted="It should hold the order's `id`.",
        )

    @requirement(1, shows="sold_out")
    def it_turns_away(self, seen: Seen) -> None:
        """An unknown book is a 404, and one that is sold out a 409."""
        no_book, sold_out = seen.step("no_book"), seen.step("sold_out")
        expect(
            no_book.status == 404,
            saw=f"{no_book.heard}, for a book that does not exist.",
            wanted="That should be a 404.",
        )
        expect(
            sold_out.status == 409 and not seen["after_sold_out"]["orders"],
            saw=f"{sold_out.heard}, for a book with no copy left, and the table holds "
            f"{_orders(seen['after_sold_out']['orders'])} of it.",
            wanted="That should be a 409 and no order.",
        )

    @requirement(2, shows="first")
    def sold_once(self, seen: Seen) -> None:
        """Of two buyers who meet at the last copy, one gets it."""
        heard = _statuses(seen)
        expect(
            heard.count(201) == 1,
            saw=f"Two buyers met at the last copy. They heard {heard[0]} and {heard[1]}.",
            wanted="Exactly one should hear 201.",
            why="Each 201 is a parcel to be sent, and there is one book.",
        )
        expect(
            seen["after_race"] == {"copies": 0, "orders": [1]},
            saw=f"Two buyers met at the last copy. Now {_shelf_in_words(seen['after_race'])}.",
            wanted="There should be no copy left and one order.",
        )

    @requirement(1, shows="first")
    def the_other_hears_409(self, seen: Seen) -> None:
        """The other one hears 409."""
        heard = _statuses(seen)
        expect(
            sorted(heard) == [201, 409],
            saw=f"Two buyers met at the last copy. They heard {heard[0]} and {heard[1]}.",
            wanted="The one who got it should hear 201, the other 409.",
        )

    @requirement(2, shows="overtaken")
    def across_processes(self, seen: Seen) -> None:
        """When another process takes the last copy in between, it is not sold again."""
        overtaken, rival = seen.step("overtaken"), seen["rival_got"]
        sold = (overtaken.status == 201) + rival
        expect(
            sold == 1 and len(seen["after_overtaken"]["orders"]) + rival == 1,
            saw=f"Another process sold {rival} of 1 copy while your app was at it; your buyer "
            f"heard {overtaken.status}, and "
            f"{_shelf_in_words(seen['after_overtaken'])}.",
            wanted="One of the two should get the copy, and the other should not.",
            why="Dog-Eared runs in four processes, which share nothing but the database.",
        )

    @mistake(shows="sold_out", marks=("sql UPDATE",))
    def ignored_the_count(self, seen: Seen) -> bool:
        """The conditional UPDATE is right, and found no row: there was nothing left to take. But
        the order was written all the same. Its `rowcount` is the answer to your question: where it
        is 0, raise the 409."""
        steps = (seen.step(name) for name in ("sold_out", "overtaken"))
        return any(
            step.status == 201
            and any("INTO orders" in sql for sql in step.timeline.writes)
            and any(
                e["rows"] == 0 and e["sql"].startswith("UPDATE") for e in step.timeline.of("sql")
            )
            for step in steps
        )

    @mistake(shows="sold_out")
    def returned_not_raised(self, seen: Seen) -> bool:
        """An HTTPException was *returned*, and to FastAPI that is an answer like any other: it was
        to be the JSON. `raise` it."""
        return any(seen.step(name).returned_the_exception for name in ("no_book", "sold_out"))

    @mistake(shows="plenty", marks=("sql UPDATE",))
    def from_every_shelf(self, seen: Seen) -> bool:
        """One book was sold, and others lost copies too: the UPDATE asks for enough copies, and not
        for *this* book. Both belong into its `where`: `Book.id == new.book_id, Book.copies >=
        new.copies`."""
        return bool(seen["neighbour"] != seen["copies"])

    @mistake(shows="plenty")
    def never_committed(self, seen: Seen) -> bool:
        """The order was sent and not kept: there is no commit on the timeline. Leave the work in a
        `with SessionLocal.begin()` block, or commit at its end."""
        plenty = seen.step("plenty")
        return bool(plenty.timeline.writes) and not plenty.timeline.commits

    @mistake(shows="first", marks=("sql",))
    def read_then_wrote(self, seen: Seen) -> bool:
        """Both buyers bought the one copy. Each read "1 copy", worked out "0", and wrote that down;
        on the timeline the second purchase stands between the first one's SELECT and its UPDATE.
        Checking again in Python moves the gap and does not close it, and `with_for_update()` is
        left out on SQLite. Put the condition into the UPDATE, or use a version, or a lock in the
        database."""
        return _statuses(seen) == [201, 201] and len(seen["after_race"]["orders"]) == 2

    @mistake(shows="overtaken", marks=("sql",))
    def locked_in_python(self, seen: Seen) -> bool:
        """Two requests to this process are kept apart, but a sale by another process went straight
        through between the SELECT and the UPDATE, and the copy was sold twice. A lock in Python
        guards one process; let the database decide."""
        sold = (seen.step("overtaken").status == 201) + seen["rival_got"]
        return sold > 1 and _statuses(seen).count(201) == 1

    @mistake(shows="first", marks=("error",))
    def loser_heard_500(self, seen: Seen) -> bool:
        """The copy was sold once, which is the main thing, but the other buyer heard 500. The
        database said no with an exception (the card shows which); catch it around the whole
        transaction, not inside, and answer 409."""
        return sorted(_statuses(seen)) == [201, 500]


# -- what the evidence is made of --------------------------------------------------------------
def _book(lab: Lab, copies: int) -> int:
    """A book of our own; its id."""
    book = lab.number(10_000, 900_000)
    lab.write(
        "INSERT INTO book (id, isbn, title, copies, version) VALUES (:id, :isbn, :title, :n, 1)",
        id=book,
        isbn=f"979{book:010}",
        title=lab.word().title(),
        n=copies,
    )
    return book


def _customer(lab: Lab) -> int:
    customer = lab.number(10_000, 900_000)
    lab.write(
        "INSERT INTO customer (id, name) VALUES (:id, :name)", id=customer, name=lab.word().title()
    )
    return customer


def _shelf(lab: Lab, book: int) -> dict[str, Any]:
    """The copies of a book, and the size of each order for it."""
    copies = lab.rows("SELECT copies FROM book WHERE id = :book", book=book)
    orders = lab.rows("SELECT copies FROM orders WHERE book_id = :book ORDER BY id", book=book)
    return {
        "copies": copies[0]["copies"] if copies else 0,
        "orders": [one["copies"] for one in orders],
    }


def _books(lab: Lab, isbns: list[str]) -> list[dict[str, Any]]:
    rows = lab.rows("SELECT isbn, title, copies FROM book ORDER BY id")
    return [row for row in rows if row["isbn"] in isbns]


# -- what is asked of it -----------------------------------------------------------------------
def _said_yes_before_a_failed_commit(step: Step) -> bool:
    if not 0 < step.status < 400:
        return False
    kinds = [e.kind for e in step.timeline if e.kind != "commit" or e["failed"]]
    return "commit" in kinds and "response" in kinds[: kinds.index("commit")]


def _block_is_over(step: Step) -> bool:
    """Whether a session was used on after its `begin()` block's transaction had been ended."""
    return "closed transaction inside context manager" in step.error_message


def _statuses(seen: Seen) -> list[int]:
    return [seen.step("first").status, seen.step("second").status]


# -- how it is put ------------------------------------------------------------------------------


def _orders(sizes: list[int]) -> str:
    return "no order" if not sizes else counted(len(sizes), "order")


def _shelf_in_words(shelf: dict[str, Any]) -> str:
    sizes = shelf["orders"]
    of = f" (of {', '.join(map(str, sizes))})" if sizes else ""
    copies = counted(shelf["copies"], "copy", "copies")
    return f"the shop has {copies} and {_orders(sizes)}{of}"


EXERCISES = (AtomicOrder, TellTheTruth, SavepointImport, LastCopy)
