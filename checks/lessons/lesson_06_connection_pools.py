"""Lesson 06, connection pools: who holds a connection, for how long, how many, and dead ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI
from sqlalchemy import Engine, QueuePool, create_engine, event
from sqlalchemy.exc import OperationalError, TimeoutError

from checks.exercise import Exercise, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab, LearnersError
from checks.observe.timeline import Timeline
from checks.words import counted

NOBODY = 999_999  # an id that no book has

# The deployment of 06.sizing, as the lesson describes it.
SERVER = 100
RESERVED = 3
OTHERS = 25
ROOM = SERVER - RESERVED - OTHERS
WORKERS, STARTING = 8, 4
CEILING = ROOM // (WORKERS + STARTING)
NORMAL, RUSH = 3, 5  # connections that a worker needs at once
PATIENCE = 10  # seconds, the load balancer's
THREADS = 40


class GaugeExercise(Exercise):
    """`watch(engine)` gives a gauge that keeps count: the connections that are out now, and the
    most that have been out at once."""

    id = "06.gauge"
    title = "A gauge"
    needs = {"watch": Callable}
    hints = (
        "You heard four words from the small pool: connect, checkout, checkin, close. Two of them "
        "are about lending.",
        'A connection goes out at "checkout" and comes back at "checkin".',
        "At a checkout: `gauge.now += 1` and `gauge.most = max(gauge.most, gauge.now)`. At a "
        "checkin: `gauge.now -= 1`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        many = lab.number(3, 4)  # with two, a gauge of what is opened is right by accident
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            watched, other = (
                stack.enter_context(_pool(f"{folder}/{name}.db")) for name in ("watched", "other")
            )
            with watched.connect():
                pass  # a pool that has been in use already
            try:  # what runs in there is SQLAlchemy's, and the learner's listeners
                return {"many": many} | self._watched(lab["watch"], watched, other, many)
            except Exception as error:
                raise LearnersError(error) from error

    @staticmethod
    def _watched(
        watch: Callable[[Engine], Any], watched: Engine, other: Engine, many: int
    ) -> dict[str, Any]:
        """What the gauge says, at each moment."""
        gauge = watch(watched)
        seen: dict[str, Any] = {"reads": _reading(gauge) is not None, "idle": _reading(gauge)}
        with ExitStack() as out:
            for _ in range(many):
                out.enter_context(watched.connect())
            seen["out"] = _reading(gauge)
        seen["back"] = _reading(gauge)
        for _ in range(3):
            with watched.connect():
                pass
        seen["one_by_one"] = _reading(gauge)
        with other.connect(), other.connect(), other.connect(), other.connect():
            with other.connect():
                pass
            seen["other"] = _reading(gauge)
        with watched.connect() as broken:
            broken.invalidate()
        seen["broken"] = _reading(gauge)
        return seen

    @requirement(1)
    def counts_what_is_out(self, seen: Seen) -> None:
        """`now` is how many connections are out, and comes down when they come back."""
        many = seen["many"]
        expect(
            seen["reads"],
            saw="What `watch(engine)` gave back has no numbers `now` and `most`.",
            wanted="It should be a `Gauge`.",
        )
        expect(
            _now(seen["out"]) == many,
            saw=f"{many} connections were out, and the gauge said now={_now(seen['out'])}.",
            wanted=f"It should say {many}.",
        )
        expect(
            _now(seen["back"]) == _now(seen["one_by_one"]) == 0,
            saw=f"All were back, and the gauge said now={_now(seen['back'])}; after three more "
            f"had gone out and come back, now={_now(seen['one_by_one'])}.",
            wanted="It should say 0, both times.",
        )

    @requirement(1)
    def remembers_the_most(self, seen: Seen) -> None:
        """`most` is the most that were out at the same time, and stays."""
        many, most = seen["many"], _most(seen["one_by_one"])
        expect(
            _most(seen["out"]) == most == many,
            saw=f"{many} were out at once, then none, then one at a time, three times. The gauge "
            f"said most={_most(seen['out'])} and, at the end, most={most}.",
            wanted=f"It should say {many}, both times.",
        )

    @requirement(1)
    def minds_its_own_engine(self, seen: Seen) -> None:
        """Other engines do not count, and neither does a connection that broke while it was out."""
        expect(
            seen["other"] == seen["one_by_one"],
            saw="Five connections of **another** engine went out, and this gauge went from "
            f"{_said(seen['one_by_one'])} to {_said(seen['other'])}.",
            wanted="It should not move: it watches one engine.",
        )
        expect(
            _now(seen["broken"]) == 0,
            saw="A connection broke while it was out and was replaced; afterwards the gauge said "
            f"now={_now(seen['broken'])}.",
            wanted="Nothing is out, so it should say 0.",
        )

    @mistake()
    def counted_the_opened(self, seen: Seen) -> bool:
        """The gauge counts connections that are *opened*: it listens to `connect` and `close`. One
        that lies in the pool is open and nobody has it. Lending is `checkout` and `checkin`."""
        out, back = _now(seen["out"]), _now(seen["back"])
        return out == back == int(seen["many"]) - 1

    @mistake()
    def listens_to_everybody(self, seen: Seen) -> bool:
        """The gauge moved when another engine lent connections: it listens to `Engine` or `Pool`,
        the classes, and so to all there are. Listen to the `engine` that `watch` was given."""
        return bool(seen["reads"] and seen["other"] != seen["one_by_one"])

    @mistake()
    def asked_the_pool_too_early(self, seen: Seen) -> bool:
        """The gauge is right while connections go out, and one too high when they come back: it
        asks `engine.pool.checkedout()` at the `checkin`, and the pool says `checkin` just *before*
        it puts the connection back. Count for yourself: one more at the checkout, one less at the
        checkin."""
        right_while_out = _now(seen["out"]) == seen["many"]
        return right_while_out and _now(seen["back"]) == _now(seen["one_by_one"]) == 1

    @mistake()
    def never_comes_down(self, seen: Seen) -> bool:
        """Connections went out and came back, and `now` only ever rises: nobody listens to
        `checkin`. There, take one away."""
        many = int(seen["many"])
        return _now(seen["back"]) == many < _now(seen["one_by_one"])

    @mistake()
    def looked_once(self, seen: Seen) -> bool:
        """The gauge says what was so when `watch` was called, and stands still since. A number
        taken once is not a gauge: change it each time the pool says `checkout` or `checkin`."""
        return bool(seen["reads"] and seen["idle"] == seen["out"] == seen["one_by_one"])

    @mistake()
    def most_is_a_total(self, seen: Seen) -> bool:
        """`most` grows with every connection that is lent, so it is how many were lent *in all*.
        The most at once is `max(gauge.most, gauge.now)`."""
        return _most(seen["one_by_one"]) > int(seen["many"])

    @mistake()
    def most_forgets(self, seen: Seen) -> bool:
        """`most` went down again when connections came back. It should remember the worst moment:
        set it at the checkout only, to `max(gauge.most, gauge.now)`."""
        return _most(seen["out"]) == int(seen["many"]) > _most(seen["one_by_one"])


class FindTheLeak(Exercise):
    """Whatever is asked of the app, no connection is out when the request is over, and it answers
    as before."""

    id = "06.leak"
    title = "Find the leak"
    needs = {"app": FastAPI, "engine": Engine, "mails": list}
    hints = (
        "Send each endpoint a request that goes well and one that does not, each within "
        "`with trace(app, engine) as seen:`, and print `seen.checked_out`.",
        "There are two leaks: a way out that skips `close()`, and a session that is used again "
        "after it has been closed.",
        "`with SessionLocal() as session:` around the whole body of `show_book`. `confirm` takes "
        "only the order's id and opens a session of its own.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        lab["engine"].dispose()  # what was leaked before is not this check's to count
        copies = lab.number(5, 50)
        book, isbn = _book(lab, copies)
        seen: dict[str, Any] = {"copies": copies, "isbn": isbn}
        with lab.pools_do_not_wait():
            seen["found"] = lab.request("GET", f"/books/{book}")
            seen["exported"] = lab.request("GET", "/stock.csv")
            seen["refused"] = lab.request("POST", "/orders", json={"book_id": NOBODY, "copies": 1})
            seen["missing"] = lab.request("GET", f"/books/{NOBODY}")
            seen["ordered"] = lab.request("POST", "/orders", json={"book_id": book, "copies": 2})
            seen["mails"] = [str(mail) for mail in lab["mails"][-3:]]
            for _ in range(3):
                lab.request("GET", f"/books/{NOBODY}")
                lab.request("POST", "/orders", json={"book_id": book, "copies": 1})
            seen["later"] = lab.request("GET", f"/books/{book}")
        seen["orders"] = len(lab.rows("SELECT id FROM orders WHERE book_id = :book", book=book))
        before = len(lab["mails"])
        with lab.commit_fails():
            seen["lost"] = lab.request("POST", "/orders", json={"book_id": book, "copies": 1})
        seen["mails_of_the_lost"] = len(lab["mails"]) - before
        return seen

    _ASKED = (
        ("found", "a book that is there"),
        ("exported", "the stock list"),
        ("refused", "an order for a book that does not exist"),
        ("missing", "a book that does not exist"),
        ("ordered", "an order"),
    )

    @requirement(2, shows="missing")
    def a_404_gives_back(self, seen: Seen) -> None:
        """A request for what is not there leaves no connection out, and neither does one for what
        is."""
        for name, asked in self._ASKED[:-1]:
            self._gave_back(seen.step(name), asked)

    @requirement(2, shows="ordered")
    def an_order_gives_back(self, seen: Seen) -> None:
        """An order leaves no connection out, when its mail has been sent as well."""
        self._gave_back(seen.step("ordered"), "an order")

    @requirement(1, shows="ordered")
    def answers_as_before(self, seen: Seen) -> None:
        """The answers and the mails are what they were."""
        found, missing, refused = seen.step("found"), seen.step("missing"), seen.step("refused")
        exported, ordered = seen.step("exported"), seen.step("ordered")
        expect(
            found.status == 200 and isinstance(found.body, dict) and found.body.get("title") != "",
            saw=f"{found.heard}.",
            wanted="A book that is there should be shown, as before.",
        )
        expect(
            isinstance(found.body, dict) and found.body.get("copies") == seen["copies"],
            saw=f"A book was shown as `{found.body}`.",
            wanted="It should have its `title` and `copies`, as before.",
        )
        expect(
            missing.status == 404 and refused.status == 404,
            saw=f"{missing.heard}, and {refused.heard}, for a book that does not exist.",
            wanted="Both should be 404, as before.",
        )
        line = f"{seen['isbn']},{seen['copies']}\n"
        expect(
            exported.status == 200 and line in str(exported.body),
            saw=f"{exported.heard}, and its text was `{str(exported.body)[:80]}`.",
            wanted=f"There should be a line `{line.strip()}`, as before.",
        )
        number = ordered.body.get("id") if isinstance(ordered.body, dict) else None
        expect(
            ordered.status == 201 and isinstance(number, int),
            saw=f"{ordered.heard}, with `{ordered.body}`.",
            wanted="An order should be answered with 201 and its id, as before.",
        )
        mail = f"Order {number}: 2 copies"
        expect(
            mail in seen["mails"],
            saw=f"After the order, the last mails were `{seen['mails']}`.",
            wanted=f"There should be one that says `{mail}`, as before.",
        )
        expect(
            seen["mails_of_the_lost"] == 0,
            saw="The commit of an order failed, and its mail was sent all the same.",
            wanted="An order that is not kept should have none, as before.",
        )

    @requirement(1, shows="later")
    def still_there_in_the_evening(self, seen: Seen) -> None:
        """After many such requests the app still answers."""
        later = seen.step("later")
        expect(
            later.status == 200 and seen["orders"] == 4,
            saw=f"After three more rounds of a 404 and an order, {later.heard}, and "
            f"{seen['orders']} of the 4 orders are in the table.",
            wanted="It should answer 200, and all four should be there.",
        )

    @staticmethod
    def _gave_back(step: Step, asked: str) -> None:
        expect(
            bool(step.timeline.statements),
            saw=f"{step.heard}, for {asked}, and sent no statement through any engine of yours.",
            wanted="It should ask the database, on the pool that it always had.",
        )
        out = step.timeline.checked_out
        expect(
            out == 0,
            saw=f"{step.asked}, {asked}, answered {step.status}, and when it was over, "
            f"{_connections(out)} still out.",
            wanted="None should be.",
            why="Each one lost is one fewer for everybody, until somebody restarts the app.",
        )

    @mistake(shows="found")
    def another_pool(self, seen: Seen) -> bool:
        """The book is shown, and not one connection of `engine` went out: `SessionLocal` has an
        engine of its own now. On a larger pool a leak takes longer to be noticed, and is one. Leave
        the pool alone, and give back what was taken."""
        found = seen.step("found")
        return found.status == 200 and found.body is not None and not found.timeline.statements

    @mistake(shows="missing", marks=("checkout",))
    def raised_past_close(self, seen: Seen) -> bool:
        """The 404 left through `raise`, and the `session.close()` further down was never reached:
        a connection went out and none came back. A `with SessionLocal() as session:` block closes
        on every way out; so does `try ... finally`."""
        return bool(seen.step("missing").timeline.checked_out)

    @mistake(shows="ordered", marks=("session_open again",))
    def used_after_it_was_closed(self, seen: Seen) -> bool:
        """The mail's task runs after the response, when the request's session has been closed. It
        used it all the same, the session began anew (*again, after it was closed*), and nobody
        closes it a second time. Give the task the order's id, and let it open a session itself."""
        timeline = seen.step("ordered").timeline
        return _revived_by_the_task(timeline, late=False) and bool(timeline.checked_out)

    @mistake(shows="ordered", marks=("session_open again",))
    def dropped_its_generator(self, seen: Seen) -> bool:
        """The task took its session out of `next(get_session())`. Nobody keeps that generator, so
        it ends at once and closes the session; used again (*again, after it was closed*), the
        session takes a connection that nobody gives back. In a task, write `with SessionLocal() as
        session:`."""
        timeline = seen.step("ordered").timeline
        return _revived_by_the_task(timeline, late=True) and bool(timeline.checked_out)

    @mistake(shows="ordered", marks=("session_open", "checkout"))
    def task_forgets_to_close(self, seen: Seen) -> bool:
        """The task has a session of its own now, which is right, and does not close it. Write
        `with SessionLocal() as session:` there as well."""
        timeline = seen.step("ordered").timeline
        return len(timeline.of("session_open")) > 1 and bool(timeline.checked_out)

    @mistake(shows="ordered", marks=("error",))
    def a_dependency_in_a_task(self, seen: Seen) -> bool:
        """The task was called without an argument that it needs (TypeError). FastAPI fills in
        dependencies for endpoints, and calls a task with what `add_task` was given and nothing
        else. Let the task open its session itself."""
        message = seen.step("ordered").error_message
        return seen.step("ordered").error == "TypeError" and "missing" in message

    @mistake(shows="ordered", marks=("error",))
    def the_task_has_no_session(self, seen: Seen) -> bool:
        """Nothing leaks, and no mail is sent: the task raised, because the session that it was
        given has been closed for good. A loud error in place of a quiet leak is half the cure; the
        other half is that the task opens its own."""
        return "permanently closed" in seen.step("ordered").error_message

    @mistake(shows="ordered", marks=("error",))
    def mailed_a_ghost(self, seen: Seen) -> bool:
        """The task was given an order whose session is closed, and could not read it any more
        (DetachedInstanceError). Give it the order's **id**, and let it read the order itself."""
        return "DetachedInstanceError" in seen.step("ordered").timeline.errors

    @mistake(shows="ordered")
    def looked_too_early(self, seen: Seen) -> bool:
        """The mail was to be written from another session *before* the order was committed, where
        the order cannot be seen. A background task runs after the commit: leave it one, with the
        order's id."""
        ordered = seen.step("ordered")
        return "NoResultFound" in ordered.timeline.errors

    @mistake(shows="lost", marks=("commit",))
    def mailed_before_it_was_kept(self, seen: Seen) -> bool:
        """The commit of an order failed, and its mail had been sent by then. Leave the mail to a
        background task, and the session in function scope: then the commit comes before both, and
        an order that fails at it never gets to its mail."""
        return bool(seen["mails_of_the_lost"])


class LetGo(Exercise):
    """No connection is out while the supplier is asked, and an order is still kept whole or not at
    all, on what is true when it is written."""

    id = "06.let_go"
    title = "Let go"
    needs = {"app": FastAPI, "engine": Engine, "supplier": object}
    hints = (
        "Three parts: a short read, the call, a short write. What does the call need to know? Only "
        "the ISBN.",
        "Read the ISBN in a `with SessionLocal()` block and leave it. Then call. Then open "
        "`with SessionLocal.begin()`.",
        "The stock may have changed meanwhile, so let the UPDATE decide: "
        "`.where(Book.id == ..., Book.copies >= new.copies)`; where `rowcount` is 0, raise 409.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        lab["engine"].dispose()  # what was leaked before is not this check's to count
        copies, wanted, price = lab.number(6, 9), lab.number(2, 4), lab.number(300, 3000)
        book, isbn = _book(lab, copies)
        last, _ = _book(lab, wanted)
        seen: dict[str, Any] = {"copies": copies, "wanted": wanted, "price": price, "isbn": isbn}
        supplier = type(lab["supplier"])
        if not callable(getattr(supplier, "price", None)):
            raise LearnersError(AttributeError("`supplier` has no method `price` any more"))
        asked: list[str] = []

        def answer(_: Any, isbn: Any = None) -> int:
            lab.note("the supplier is asked")
            asked.append(str(isbn))
            return price

        def rival(_: Any, isbn: Any = None) -> int:
            try:
                lab.write("UPDATE book SET copies = 0 WHERE id = :book", patience=0.02, book=last)
            except LearnersError:  # locked
                lab.note("somebody else wants to buy, and has to wait")
            else:
                lab.note("somebody else buys all there are")
            return price

        def fail(_: Any, isbn: Any = None) -> int:
            lab.note("the supplier does not answer")
            raise RuntimeError("the supplier does not answer")

        def order(book: int, copies: int, price: Callable[..., int] = answer) -> Any:
            with patch.object(supplier, "price", price):
                return lab.request("POST", "/orders", json={"book_id": book, "copies": copies})

        with lab.pools_do_not_wait():
            seen["good"] = order(book, wanted)
            seen["asked"] = list(asked)
            seen["after_good"] = _shelf(lab, book)
            seen["no_book"] = order(NOBODY, 1)
            seen["too_many"] = order(book, copies + 1)
            seen["after_turned_away"] = _shelf(lab, book)
            seen["failed"] = order(book, 1, fail)
            seen["after_failed"] = _shelf(lab, book)
            seen["overtaken"] = order(last, wanted, rival)
            seen["after_overtaken"] = _shelf(lab, last)
        return seen

    @requirement(1, shows="good")
    def a_good_order(self, seen: Seen) -> None:
        """A good order answers 201 with its total; the stock has gone down, the order is there."""
        good, wanted = seen.step("good"), seen["wanted"]
        total = seen["price"] * wanted
        expect(
            good.status == 201,
            saw=f"{good.heard}.",
            wanted="An order for copies that are in stock should be answered with 201.",
        )
        expect(
            set(seen["asked"]) == {seen["isbn"]},
            saw=f"The supplier was asked for {_list(seen['asked'])}.",
            wanted="It should be asked for the price of the book that was ordered, by its ISBN.",
        )
        body = good.body if isinstance(good.body, dict) else {}
        expect(
            isinstance(body.get("id"), int) and body.get("total") == total,
            saw=f"{wanted} copies at {seen['price']} were ordered. The body was `{good.body}`.",
            wanted=f"It should hold the order's `id` and `total`, {total}.",
        )
        expect(
            seen["after_good"] == {"copies": seen["copies"] - wanted, "orders": [[wanted, total]]},
            saw=f"{wanted} of {seen['copies']} copies were ordered. Afterwards "
            f"{_in_words(seen['after_good'])}.",
            wanted=f"It should be {seen['copies'] - wanted} copies, and one order of {wanted} "
            f"copies for {total}.",
        )

    @requirement(3, shows="good")
    def nothing_is_held(self, seen: Seen) -> None:
        """No connection is out while the supplier is asked."""
        held = seen.step("good").timeline.held_at("note")
        expect(
            max(held, default=0) == 0 and bool(held),
            saw=f"While the supplier was asked, {_connections(max(held))} out."
            if held
            else "The supplier was never asked.",
            wanted="None should be, since that may take as long as it likes."
            if held
            else "`supplier.price(isbn)` gives the price.",
            why="With two connections and a supplier that needs a second, two customers a second "
            "is all you serve.",
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
            saw=f"{too_many.heard}, for more copies than there are.",
            wanted="That should be a 409.",
        )
        expect(
            seen["after_turned_away"] == seen["after_good"],
            saw=f"Afterwards {_in_words(seen['after_turned_away'])}.",
            wanted=f"It should be as before: {_in_words(seen['after_good'])}.",
        )

    @requirement(2, shows="overtaken")
    def decides_on_what_is_true(self, seen: Seen) -> None:
        """When the copies are sold while the supplier is asked, the answer is 409, and no order."""
        overtaken, shelf = seen.step("overtaken"), seen["after_overtaken"]
        expect(
            overtaken.status == 409 and shelf == {"copies": 0, "orders": []},
            saw="While the supplier was asked, somebody else wanted to buy all there were of the "
            f"book. {overtaken.heard}, and {_in_words(shelf)}.",
            wanted="They should get them, and your customer a 409; no order, and no copies.",
            why="What was read before the call is old news after it.",
        )

    @requirement(1, shows="failed")
    def all_or_nothing(self, seen: Seen) -> None:
        """When the supplier does not answer, the client hears an error and nothing has changed."""
        good, failed = seen.step("good"), seen.step("failed")
        expect(
            good.status == 201,
            saw=f"{good.heard}, when the supplier does answer.",
            wanted="A good order comes first.",
        )
        expect(
            failed.status >= 400,
            saw=f"The supplier raised, and {failed.heard}.",
            wanted="The client should hear an error.",
        )
        expect(
            seen["after_failed"] == seen["after_turned_away"],
            saw=f"The supplier raised, and afterwards {_in_words(seen['after_failed'])}.",
            wanted=f"It should be as before: {_in_words(seen['after_turned_away'])}.",
        )
        expect(
            not failed.timeline.checked_out,
            saw=f"The supplier raised, and {_connections(failed.timeline.checked_out)} never "
            "given back.",
            wanted="Whatever happens, what was taken should come back.",
        )

    @mistake(shows="good", marks=("checkin", "checkout", "note"))
    def took_it_again(self, seen: Seen) -> bool:
        """You let go of the connection, and took it again before the call: after a commit the
        book's attributes have expired, so reading `book.isbn` sends a SELECT, which takes a
        connection. Keep the ISBN in a variable before you let go."""
        before = _before_the_call(seen.step("good").timeline)
        held = any(seen.step("good").timeline.held_at("note"))
        return held and "checkin" in before and before.count("checkout") > before.count("checkin")

    @mistake(shows="good", marks=("checkout", "note", "checkin"))
    def held_across_the_call(self, seen: Seen) -> bool:
        """The supplier is asked in the middle of a transaction: on the timeline, *connection out*
        stands above the call and *connection back* below it. Read the ISBN in one short
        transaction, end it, call, and write in another."""
        return any(seen.step("good").timeline.held_at("note"))

    @mistake(shows="good", marks=("error",))
    def committed_inside_begin(self, seen: Seen) -> bool:
        """A `commit` inside `with SessionLocal.begin()` ends the transaction that the block is
        about, and the block allows nothing after it. Use two blocks: read in one and leave it,
        call, write in the other."""
        return "closed transaction inside context manager" in seen.step("good").error_message

    @mistake(shows="good")
    def read_after_the_end(self, seen: Seen) -> bool:
        """The session was closed, and then an attribute of the book was to be loaded
        (DetachedInstanceError). Take out what you need, the ISBN, before you leave the block."""
        return seen.step("good").error == "DetachedInstanceError"

    @mistake(shows="failed", marks=("commit", "note"))
    def took_the_copies_first(self, seen: Seen) -> bool:
        """The copies left the shelf, committed, before the supplier was asked; then the supplier
        failed, and nobody put them back. Ask first, and write everything in one transaction after
        it."""
        before, after = seen["after_turned_away"], seen["after_failed"]
        return _asked(seen.step("failed")) and bool(after["copies"] < before["copies"])

    @mistake(shows="failed", marks=("commit", "note"))
    def ordered_before_the_price(self, seen: Seen) -> bool:
        """The order was committed before the supplier was asked, and is there although the supplier
        failed. Ask first, and write everything in one transaction after it."""
        before, after = seen["after_turned_away"], seen["after_failed"]
        return _asked(seen.step("failed")) and len(after["orders"]) > len(before["orders"])

    @mistake(shows="good", marks=("commit",))
    def changed_what_nobody_keeps(self, seen: Seen) -> bool:
        """The order was written, and the copies are all still there: no UPDATE was sent. The book
        was read by a session that is closed, and what is changed in it afterwards no session keeps.
        Change it with an UPDATE in the second transaction."""
        good = seen.step("good")
        writes = [sql for sql in good.timeline.writes if sql.startswith("UPDATE")]
        return good.status == 201 and not writes and bool(good.timeline.writes)

    @mistake(shows="overtaken", marks=("note", "sql UPDATE"))
    def sold_what_was_gone(self, seen: Seen) -> bool:
        """You let go of the connection, and somebody else bought the last copies while you were on
        the phone. Your order was written all the same, from a stock that you had read before. Put
        the condition into the UPDATE, `Book.copies >= new.copies`, and look at `rowcount`."""
        return _asked(seen.step("overtaken")) and seen.step("overtaken").status == 201

    @mistake(shows="overtaken", marks=("error",))
    def left_it_to_the_check(self, seen: Seen) -> bool:
        """Somebody else bought the last copies during the call. The CHECK on the table saved the
        stock, and your customer heard 500. Look again in the second transaction and raise 409, or
        catch the IntegrityError around it."""
        return seen.step("overtaken").error == "IntegrityError"


class SizeThePool(Exercise):
    """Each worker's engine has what the worker needs, and all of them together never ask for more
    than the server can spare."""

    id = "06.sizing"
    title = "Size the pool"
    needs = {"make_engine": Callable}
    hints = (
        "From above: 100 connections, less 3, less 25, for how many processes at the worst moment?",
        "From below: 60 requests a second, 0.05 s each, makes 3 connections in use; 100 make 5.",
        "`pool_size + max_overflow` is 5 or 6 and `pool_size` at least 3. Say `max_overflow` "
        "yourself, since 10 is its default; and `pool_timeout` below 10.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'server.db'}"
            one = _worker(lab, url)
            if one is None:
                return {"engine": False}
            seen["engine"] = True
            pool = one.pool
            seen["kept"] = pool.size() if isinstance(pool, QueuePool) else None
            seen["timeout"] = pool.timeout() if isinstance(pool, QueuePool) else 0
            seen["alone"] = _take(_Server(ROOM), [one], ROOM + 1)
            seen["rush"] = _take(_Server(ROOM), [_worker(lab, url)], RUSH)
            everybody = [_worker(lab, url) for _ in range(WORKERS + STARTING)]
            seen["deploy"] = _take(_Server(ROOM), everybody, THREADS)
            seen["opened"] = _opened_by_rounds(_worker(lab, url))
        return seen

    @requirement(2)
    def the_server_can_take_it(self, seen: Seen) -> None:
        """During a deploy, with every pool stretched to its limit, the server refuses nobody."""
        expect(
            seen["engine"],
            saw="`make_engine(url)` gave back something that is no Engine.",
            wanted="It should return what `create_engine` made.",
        )
        most, processes = seen["alone"]["got"][0], WORKERS + STARTING
        server = seen["alone"]["refused"]
        expect(
            not seen["deploy"]["refused"],
            saw="Your pool has no limit that the server would not reach first."
            if server
            else f"Each of your pools may open {most} connections; {processes} processes during a "
            f"deploy make {processes * most}.",
            wanted=f"{SERVER} less {RESERVED} reserved, less {OTHERS} for others, leaves {ROOM}: "
            f"{CEILING} for each process.",
            why="A server that is full refuses at once, and it refuses everybody's.",
        )

    @requirement(2)
    def enough_for_the_rush(self, seen: Seen) -> None:
        """In the rush, nobody waits for a connection."""
        expect(seen["engine"], saw="There is no engine to try.", wanted="Return one.")
        got = seen["rush"]["got"][0]
        expect(
            got >= RUSH,
            saw=f"In the rush {RUSH} requests in a worker need a connection at once; your pool "
            f"lends {got}.",
            wanted=f"It should lend {RUSH}: 100 requests a second, each for 0.05 s.",
        )

    @requirement(1)
    def keeps_what_it_needs(self, seen: Seen) -> None:
        """On a normal day, no connections are opened and closed all the time."""
        expect(seen["engine"], saw="There is no engine to try.", wanted="Return one.")
        again = seen["opened"][1:]
        expect(
            not any(again),
            saw=f"On a normal day {NORMAL} are in use at once. Five times {NORMAL} went out and "
            f"came back, and after the first time {sum(again)} new ones had to be opened.",
            wanted="None should be.",
            why="An overflow connection is closed when it comes back, and opening one is the "
            "expensive part.",
        )

    @requirement(1)
    def gives_up_in_time(self, seen: Seen) -> None:
        """Whoever waits for a connection gives up before the load balancer does."""
        expect(seen["engine"], saw="There is no engine to try.", wanted="Return one.")
        timeout = seen["timeout"]
        waits = "for ever" if timeout is None else f"for up to {timeout:g} s"
        expect(
            timeout is not None and timeout < PATIENCE,
            saw=f"A request waits for a connection {waits}; the load balancer gives up after "
            f"{PATIENCE} s.",
            wanted=f"`pool_timeout` should be below {PATIENCE}.",
            why="What is worked out after that, nobody reads.",
        )

    @mistake()
    def has_no_limit(self, seen: Seen) -> bool:
        """This pool opens connections until the **server** refuses: with `NullPool`,
        `max_overflow=-1` or `pool_size=0` there is no limit, and with a pool as large as the server
        there might as well be none. Every worker has a pool of its own; divide."""
        if not seen["engine"]:
            return False
        return bool(seen["alone"]["refused"] or seen["alone"]["got"][0] >= ROOM)

    @mistake()
    def forgot_the_overflow(self, seen: Seen) -> bool:
        """`pool_size` fits, and the pool opens more: `max_overflow` is 10 unless you say otherwise,
        and the ceiling is for `pool_size + max_overflow`."""
        if not seen["engine"] or not seen["kept"]:
            return False
        most = seen["alone"]["got"][0]
        return bool(seen["kept"] <= CEILING < most and most - seen["kept"] == 10)

    @mistake()
    def one_for_each_thread(self, seen: Seen) -> bool:
        """The pool has a connection for each of the 40 threads. A thread needs one only while it
        holds one, 0.05 s of each request; 3 are in use on a normal day and 5 in the rush. And there
        are twelve such pools."""
        return bool(seen["engine"] and seen["alone"]["got"][0] == THREADS)

    @mistake()
    def forgot_the_deploy(self, seen: Seen) -> bool:
        """For eight workers this fits exactly; but while one machine is being replaced its four new
        workers run beside all eight old ones. Divide by twelve."""
        fits = SERVER // WORKERS, (SERVER - RESERVED) // WORKERS, ROOM // WORKERS
        return bool(seen["engine"] and seen["alone"]["got"][0] in fits)

    @mistake()
    def forgot_the_others(self, seen: Seen) -> bool:
        """You have given the app all hundred connections. Three are reserved for superusers, and
        migrations, reports and people take 25; what is left for your twelve processes is 72."""
        return bool(
            seen["engine"] and seen["alone"]["got"][0] == SERVER // (WORKERS + STARTING) > CEILING
        )

    @mistake()
    def starves_in_the_rush(self, seen: Seen) -> bool:
        """The server is safe, and in the rush customers queue for a connection: five are needed at
        once (100 requests a second, 0.05 s each). The ceiling is six; use it, as overflow."""
        return bool(
            seen["engine"] and not seen["deploy"]["refused"] and seen["rush"]["got"][0] < RUSH
        )

    @mistake()
    def opens_all_day(self, seen: Seen) -> bool:
        """The limit is right, and too little of it is kept: on a normal day three are in use, and
        what goes beyond `pool_size` is opened and closed each time. `pool_size=3` at least; only
        the rest is `max_overflow`."""
        return bool(seen["engine"] and not seen["deploy"]["refused"] and any(seen["opened"][1:]))

    @mistake()
    def waits_too_long(self, seen: Seen) -> bool:
        """The numbers fit. But whoever finds the pool empty waits longer than the load balancer
        does (30 s is the default), and then works for nobody. Set `pool_timeout` below 10."""
        return bool(seen["engine"] and (seen["timeout"] is None or seen["timeout"] >= PATIENCE))


class SurviveARestart(Exercise):
    """After a restart of the database every request is answered; one that is cut off in the middle
    hears 503; other trouble stays a 500."""

    id = "06.restart"
    title = "Survive a restart"
    needs = {"app": FastAPI, "live_engine": Engine}
    hints = (
        "The engine can ask each connection whether it lives before it lends it: `pool_pre_ping`.",
        "For a connection that dies in use: `@app.exception_handler(DBAPIError)`, which returns a "
        "`JSONResponse(..., status_code=503)`.",
        "Not every DBAPIError is one: `if not error.connection_invalidated: raise error`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        engine: Engine = lab["live_engine"]
        book, _ = _book(lab, 5, engine="live_engine")
        read = ("GET", f"/books/{book}")
        new = {"book_id": book, "copies": 1}
        seen: dict[str, Any] = {
            "recycles": getattr(engine.pool, "_recycle", -1) > -1,
            "read": lab.request(*read),
            "written": lab.request("POST", "/orders", json=new),
        }
        seen["after"] = []
        for _ in range(2):
            lab.server_restarts()
            seen["after"] += [lab.request(*read), lab.request("POST", "/orders", json=new)]
        seen["first"] = seen["after"][0]
        before = _orders(lab, book)
        with lab.connection_dies():
            seen["cut_off"] = lab.request("POST", "/orders", json=new)
        seen["kept"] = _orders(lab, book) - before
        seen["next"] = lab.request(*read)
        with lab.flush_fails():
            seen["refused"] = lab.request("POST", "/orders", json=new)
        seen["last"] = lab.request(*read)
        return seen

    @requirement(1, shows="read")
    def works(self, seen: Seen) -> None:
        """Without a restart, everything is as before."""
        read, written = seen.step("read"), seen.step("written")
        expect(
            read.status == 200 and isinstance(read.body, str),
            saw=f"{read.heard}, with `{read.body}`.",
            wanted="It should be 200, with the book's title.",
        )
        expect(written.status == 201, saw=f"{written.heard}.", wanted="It should be 201.")

    @requirement(2, shows="first")
    def nobody_notices(self, seen: Seen) -> None:
        """After a restart, every request is answered, the first one too."""
        heard = [step.status for step in seen.steps("after")]
        expect(
            heard == [200, 201, 200, 201],
            saw="The database restarted, a GET and a POST were sent, and the same once more. They "
            f"heard {', '.join(map(str, heard))}.",
            wanted="It should be 200 and 201, both times.",
        )

    @requirement(2, shows="cut_off")
    def cut_off_is_503(self, seen: Seen) -> None:
        """A request whose connection dies in the middle hears 503, and nothing is half done; or it
        is tried again and succeeds."""
        cut, kept, following = seen.step("cut_off"), seen["kept"], seen.step("next")
        expect(
            cut.status in (201, 503),
            saw=f"The connection died while an order was written: {cut.heard}.",
            wanted="It should be 503, or 201 if you try again.",
            why="503 says: not your fault, not now, try again. 500 says that something is broken.",
        )
        expect(
            kept == (cut.status == 201),
            saw=f"{cut.heard}, and {kept} such orders are in the table.",
            wanted="With a 503 there should be none, with a 201 exactly one.",
        )
        expect(
            following.status == 200,
            saw=f"After it, {following.heard}.",
            wanted="It should be 200: there are other connections.",
        )

    @requirement(1, shows="refused")
    def other_trouble_is_500(self, seen: Seen) -> None:
        """Trouble that trying again will not mend stays an error of yours: 500."""
        refused, last = seen.step("refused"), seen.step("last")
        expect(
            refused.status >= 400 and refused.status != 503,
            saw=f"The database said that its disk is full, and {refused.heard}.",
            wanted="It should be a 500: the connection is well, and the next try will fail, too.",
            why="A 503 for everything hides what somebody has to mend.",
        )
        expect(
            last.status == 200,
            saw=f"After it, {last.heard}.",
            wanted="It should be 200.",
        )

    @mistake(shows="first")
    def replaced_by_age(self, seen: Seen) -> bool:
        """The first request after the restart met a dead connection. `pool_recycle` replaces
        connections by their *age*, and a restart does not ask how old they are. Have the pool ask
        each one whether it lives: `pool_pre_ping=True`."""
        return bool(seen["recycles"]) and self._somebody_noticed(seen)

    @mistake(shows="first", marks=("error", "response"))
    def the_first_one_pays(self, seen: Seen) -> bool:
        """After the restart the first request met a dead connection from the pool and failed; only
        then did the pool replace them. With eight workers that is eight customers, 500 or 503
        alike. Have the pool ask before it lends: `pool_pre_ping=True`."""
        return self._somebody_noticed(seen) and seen.step("read").status == 200

    @mistake(shows="refused", marks=("response",))
    def every_error_a_503(self, seen: Seen) -> bool:
        """A full disk was answered with 503, "try again": the handler takes every error of the
        database for a lost connection. Ask `error.connection_invalidated`, and raise the others
        again."""
        return seen.step("refused").status == 503

    @mistake(shows="cut_off", marks=("error", "response"))
    def went_by_its_class(self, seen: Seen) -> bool:
        """The connection died in the middle of a request and the client heard 500. Pre-ping asks
        before a connection is lent and cannot help with that one. Answer it in an exception handler
        for `DBAPIError` that asks `error.connection_invalidated`: which subclass it is, the driver
        decides (here it is a ProgrammingError, with psycopg an OperationalError)."""
        return seen.step("cut_off").status == 500

    @mistake(shows="cut_off", marks=("response",))
    def said_yes_to_a_lost_order(self, seen: Seen) -> bool:
        """The connection died, the order is not in the table, and the client heard a success. The
        error was swallowed. An answer may say 201 only when the commit has come back."""
        cut = seen.step("cut_off")
        return 200 <= cut.status < 300 and seen["kept"] == 0

    @staticmethod
    def _somebody_noticed(seen: Seen) -> bool:
        return any(step.status >= 400 for step in seen.steps("after"))


# -- what is tried ------------------------------------------------------------------------------
@contextmanager
def _pool(path: str) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}", poolclass=QueuePool)
    try:
        yield engine
    finally:
        engine.dispose()


def _reading(gauge: Any) -> list[int] | None:
    """What a gauge says: now and most."""
    try:
        now, most = gauge.now, gauge.most
    except Exception:  # whatever the learner gave back
        return None
    return [now, most] if type(now) is type(most) is int else None


def _book(lab: Lab, copies: int, engine: str = "engine") -> tuple[int, str]:
    """A book of our own; its id and ISBN."""
    book = lab.number(10_000, 900_000)
    isbn = f"979{book:010}"
    lab.write(
        "INSERT INTO book (id, isbn, title, copies) VALUES (:id, :isbn, :title, :copies)",
        engine=engine,
        id=book,
        isbn=isbn,
        title=lab.word().title(),
        copies=copies,
    )
    return book, isbn


def _shelf(lab: Lab, book: int) -> dict[str, Any]:
    """The copies of a book, and copies and total of each order for it."""
    copies = lab.rows("SELECT copies FROM book WHERE id = :book", book=book)
    orders = lab.rows("SELECT copies, total FROM orders WHERE book_id = :book", book=book)
    return {
        "copies": copies[0]["copies"] if copies else 0,
        "orders": [[one["copies"], one["total"]] for one in orders],
    }


def _orders(lab: Lab, book: int) -> int:
    found = lab.rows(
        "SELECT count(*) AS n FROM orders WHERE book_id = :book", engine="live_engine", book=book
    )
    return int(found[0]["n"])


def _worker(lab: Lab, url: str) -> Engine | None:
    """A worker's engine as the learner makes it; None where it is no engine."""
    try:
        made = lab["make_engine"](url)
    except Exception as error:
        raise LearnersError(error) from error
    return made if isinstance(made, Engine) else None


class _Server:
    """A database server that takes so many connections and then refuses, as PostgreSQL does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.open = self.opened = self.refused = 0

    def serve(self, engine: Engine) -> None:
        """Be the server of this engine."""

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, record: Any, args: Any, options: Any) -> Any:
            if self.open >= self.room:
                self.refused += 1
                raise dialect.loaded_dbapi.OperationalError("FATAL: too many clients already")
            connection = dialect.connect(*args, **options)
            self.open += 1
            self.opened += 1
            return connection

        @event.listens_for(engine, "close")
        def close(dbapi: Any, record: Any) -> None:
            self.open -= 1


def _take(server: _Server, engines: list[Engine | None], most: int) -> dict[str, Any]:
    """How many connections each engine lends at once, and how often the server had to refuse."""
    got: list[int] = []
    with ExitStack() as stack:
        for engine in engines:
            assert engine is not None  # the first one was an engine
            engine.dispose()
            server.serve(engine)
            if isinstance(engine.pool, QueuePool):
                engine.pool._timeout = 0  # what is out does not come back by waiting
            stack.callback(engine.dispose)
            got.append(0)
            try:
                for _ in range(most):
                    stack.enter_context(engine.connect())
                    got[-1] += 1
            except TimeoutError:  # the pool's own limit
                pass
            except OperationalError as error:
                if not server.refused:
                    raise LearnersError(error) from error
            except Exception as error:  # an option that this driver does not know
                raise LearnersError(error) from error
    return {"got": got, "refused": server.refused}


def _opened_by_rounds(engine: Engine | None) -> list[int]:
    """How many connections each of five rounds on a normal day opens."""
    assert engine is not None
    server, rounds = _Server(ROOM), []
    server.serve(engine)
    if isinstance(engine.pool, QueuePool):
        engine.pool._timeout = 0
    for _ in range(5):
        before = server.opened
        with ExitStack() as out:
            for _ in range(NORMAL):
                try:
                    out.enter_context(engine.connect())
                except TimeoutError:
                    break
        rounds.append(server.opened - before)
    engine.dispose()
    return rounds


# -- what is asked of it -----------------------------------------------------------------------
def _now(reading: list[int] | None) -> int:
    return reading[0] if reading else -1


def _most(reading: list[int] | None) -> int:
    return reading[1] if reading else -1


def _revived_by_the_task(timeline: Timeline, late: bool) -> bool:
    """Whether a session was used after it had been closed.

    Args:
        timeline: An order's.
        late: Whether it was first opened after the response, by the task itself.
    """
    answered = False
    opened_late: dict[Any, bool] = {}
    for one in timeline:
        if one.kind == "response":
            answered = True
        elif one.kind == "session_open":
            if one["reopened"] and opened_late.get(one["session"], False) is late:
                return True
            opened_late.setdefault(one["session"], answered)
    return False


def _asked(step: Step) -> bool:
    """Whether the supplier was asked at all."""
    return "note" in step.timeline.kinds


def _before_the_call(timeline: Timeline) -> list[str]:
    kinds = timeline.kinds
    return kinds[: kinds.index("note")] if "note" in kinds else []


# -- how it is put ------------------------------------------------------------------------------
def _said(reading: list[int] | None) -> str:
    return f"now={_now(reading)}, most={_most(reading)}"


def _connections(count: int) -> str:
    return counted(count, "connection was", "connections were")


def _list(values: list[str]) -> str:
    return ", ".join(f"`{one}`" for one in values) or "nothing"


def _in_words(shelf: dict[str, Any]) -> str:
    copies = counted(shelf["copies"], "copy", "copies")
    orders = ", ".join(f"{copies} for {total}" for copies, total in shelf["orders"])
    return f"the shop has {copies} and {f'orders of {orders}' if orders else 'no order'}"


EXERCISES = (GaugeExercise, FindTheLeak, LetGo, SizeThePool, SurviveARestart)
