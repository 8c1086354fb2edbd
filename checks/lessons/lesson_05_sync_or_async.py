"""Lesson 05, sync or async: who runs on the event loop, who waits in which queue, and what follows.

Nothing here looks at a clock. That a statement held up the event loop is told by where it was sent
from, which is the same in a web page, where all is one thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from checks.exercise import Exercise, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.observe.trace import Recorder
from checks.words import counted

PATHS = ("/a", "/b", "/c", "/d", "/e", "/f")
WHERE = ("thread", "awaited", "blocked")
_CLUES = {
    "thread": "Find the function that sends it: a plain `def`, or handed to a thread.",
    "awaited": "Look which session sends it: an async one, and the loop served others meanwhile.",
    "blocked": "Look which session sends it, and where from: a sync one, in the loop's own thread.",
}


class Predict(Exercise):
    """For each of the six endpoints: where its query runs, and how many of them the database has in
    hand at once."""

    id = "05.predict"
    title = "Predict, then measure"
    needs = {"prediction": dict, "puzzle": FastAPI}
    hints = (
        "A function without `async` has a thread, and one with it runs on the loop. That goes for "
        "each function by itself: an endpoint and its dependency may differ.",
        "On the loop, only an async session awaits, however far down the other one is called. And "
        "what blocks the loop is alone by definition.",
        "In a thread: 40, or the engine's connections where those are fewer. Awaited: the engine's "
        "connections. Blocked: 1.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        puzzle = lab["puzzle"]
        prediction = {str(path): _listed(said) for path, said in lab["prediction"].items()}

        async def threads() -> float:
            return current_default_thread_limiter().total_tokens

        seen: dict[str, Any] = {"prediction": prediction, "threads": lab.run(threads)}
        for path in PATHS:
            with ExitStack() as stack:
                timelines = [
                    (engine, stack.enter_context(Recorder(puzzle, engine)))
                    for engine in lab.engines
                ]
                seen[path] = lab.request("GET", path, app=puzzle)
            senders = [engine for engine, timeline in timelines if timeline.statements]
            seen[f"{path} sent by"] = [_described(engine) for engine in senders]
        return seen

    @requirement(3)
    def where_it_runs(self, seen: Seen) -> None:
        """Where each query runs is as it was predicted."""
        for path, truth in _truths(seen).items():
            said = _said(seen, path)[0]
            expect(
                said in WHERE,
                saw=f"`{path}`: you said {_quoted(said)} for where its query runs.",
                wanted='Say "thread", "awaited" or "blocked".',
            )
            expect(
                said == truth[0],
                saw=f"`{path}`: you said {said!r}.",
                wanted=f"Its query did not run there. {_CLUES[truth[0]]}",
                why="`async` says where a function runs; only an async session waits by awaiting.",
            )

    @requirement(2)
    def how_many_at_once(self, seen: Seen) -> None:
        """How many the database has in hand at once is as it was predicted."""
        for path, truth in _truths(seen).items():
            said = _said(seen, path)[1]
            expect(
                not isinstance(said, bool) and said == truth[1],
                saw=f"`{path}`: you said {_quoted(said)} at once.",
                wanted="That is not what its queues let through. Count what it needs (a thread, a "
                "connection, the loop itself), and take the smallest number.",
                why="The shorter supply decides how long the line is.",
            )

    @mistake()
    def not_a_pair(self, seen: Seen) -> bool:
        """Each path needs a pair, where and how many: `"/a": ("thread", 12)`. Where is one of
        "thread", "awaited" and "blocked", to the letter; how many is a number."""
        return any(
            _said(seen, path)[0] not in WHERE or not isinstance(_said(seen, path)[1], int | float)
            for path in _truths(seen)
        )

    @mistake(shows="/c")
    def went_by_the_endpoint(self, seen: Seen) -> bool:
        """You went by the word in front of the endpoint, but in `/b` and `/c` it is the dependency
        that sends the query, and a dependency runs by its own word: `def` in a thread, `async def`
        on the loop. Follow the timeline of `/c`."""
        return bool(_said(seen, "/b")[0] != "thread" or _said(seen, "/c")[0] == "thread")

    @mistake(shows="/f")
    def async_all_through(self, seen: Seen) -> bool:
        """You took a sync session's query for awaited, because what stands around it is async. It
        is not: it has no `await` in it, so the loop stands still until it is done. Look at the
        timeline of `/f`."""
        truths = _truths(seen)
        return any(
            _said(seen, path)[0] == "awaited" and truths[path][0] == "blocked" for path in truths
        )

    @mistake(shows="/d")
    def awaits_a_thread(self, seen: Seen) -> bool:
        """What `/d` awaits is a thread: `run_in_threadpool` hands the function over, and there a
        sync session sends the query. Say where the *query* runs, not who waits for it."""
        return bool(_said(seen, "/d")[0] == "awaited")

    @mistake(shows="/e")
    def run_sync_is_no_thread(self, seen: Seen) -> bool:
        """`/e` looks sync and is not: `run_sync` calls the function on the loop, with a session
        that awaits under the hood whenever it talks to the database. No thread, and nobody else
        waits. Look for red in its timeline: there is none."""
        return bool(_said(seen, "/e")[0] != "awaited")

    @mistake()
    def forgot_the_threads(self, seen: Seen) -> bool:
        """`/a` has 60 connections and you let them all be used. But it is a `def`: each of its
        requests needs a thread first, and there are fewer of those. Count threads."""
        return _said(seen, "/a") == ("thread", 60)

    @mistake()
    def forgot_the_connections(self, seen: Seen) -> bool:
        """You counted the threads and stopped there. Having one, a request queues again, for a
        connection. Count what `engine` has."""
        return any(_said(seen, path)[1] == seen["threads"] for path in ("/b", "/d"))

    @mistake()
    def the_loop_is_one(self, seen: Seen) -> bool:
        """You said that a query blocks the loop, and that the database has several of its kind in
        hand. But the loop is one thread, and while it waits for the first query nobody can send a
        second. Count again."""
        return any(
            _said(seen, path)[0] == "blocked" and _said(seen, path)[1] != 1
            for path in _truths(seen)
        )


class LeastChange(Exercise):
    """Both endpoints answer as before, nothing holds up the event loop, and the nightly report
    still works."""

    id = "05.least_change"
    title = "The least change"
    needs = {"app": FastAPI, "engine": Engine, "in_stock": Callable}
    hints = (
        "Which functions run on the event loop, and which of those have anything to `await`?",
        "None of them awaits anything. What is `async` good for, then?",
        "Write `def read_copies(...)` and `def place_order(...)`, and leave everything else as it "
        "is, `get_session` above all.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        isbn, sold_out = _book(lab, 3), _book(lab, 0)
        seen: dict[str, Any] = {
            "copies": lab.request("GET", f"/books/{isbn}/copies"),
            "order": lab.request("POST", f"/books/{isbn}/orders"),
            "after": _shelf(lab, isbn),
            "sold_out": lab.request("POST", f"/books/{sold_out}/orders"),
            "after_sold_out": _shelf(lab, sold_out),
        }
        with lab.commit_fails():
            seen["refused"] = lab.request("POST", f"/books/{isbn}/orders")
        with Session(lab["engine"]) as session:
            seen["nightly"] = lab.call("in_stock(session, isbn)", lab["in_stock"], session, isbn)
        seen["was_awaited"] = _is_coroutine_function(lab["in_stock"])
        return seen

    @requirement(1, shows="order")
    def answers_as_before(self, seen: Seen) -> None:
        """Both endpoints answer as they did, and an order is kept."""
        copies, order, sold_out = (seen.step(name) for name in ("copies", "order", "sold_out"))
        expect(
            copies.status == 200 and copies.body == 3,
            saw=f"{copies.heard}, with {copies.body!r}, for a book of which there are 3.",
            wanted="It should be a 200 with the number 3.",
        )
        expect(
            order.status == 201 and isinstance(order.body, dict) and bool(order.body.get("id")),
            saw=f"{order.heard}, with {order.body!r}.",
            wanted="It should be a 201 with the order's `id`.",
        )
        expect(
            seen["after"] == {"copies": 2, "orders": 1},
            saw=f"After one order of a book with 3 copies, there are {_in_words(seen['after'])}.",
            wanted="There should be 2 copies and 1 order.",
        )
        expect(
            sold_out.status == 409 and not seen["after_sold_out"]["orders"],
            saw=f"{sold_out.heard}, for a book that is sold out.",
            wanted="That should be a 409, and no order.",
        )

    @requirement(1, shows="refused")
    def before_the_answer(self, seen: Seen) -> None:
        """An order is committed before the client has its answer."""
        refused = seen.step("refused")
        expect(
            refused.status >= 400,
            saw=f"The commit failed, and {refused.heard}.",
            wanted="Then the client should hear an error.",
            why='Lesson 03: `scope="function"` is what makes a 201 true.',
        )

    @requirement(3, shows="order")
    def the_loop_stays_free(self, seen: Seen) -> None:
        """Nothing holds up the event loop, in either endpoint."""
        for name in ("copies", "order"):
            step = seen.step(name)
            expect(
                bool(step.timeline.statements),
                saw=f"`{step.asked}` sent nothing to the database.",
                wanted="It should ask it, as before.",
            )
            _expect_free(step)

    @requirement(1, shows="nightly")
    def the_report_still_works(self, seen: Seen) -> None:
        """`in_stock(session, isbn)` still takes a `Session` and returns a number."""
        _expect_plain(seen.step("nightly"), seen["was_awaited"], seen["after"]["copies"])

    @mistake(shows="nightly")
    def made_the_helper_async(self, seen: Seen) -> bool:
        """`in_stock` has become an `async def`, and the nightly report, which calls it without
        `await`, now holds a coroutine instead of a number. Put it back: the helper was never the
        trouble, it runs where the endpoint runs."""
        return bool(seen["was_awaited"])

    @mistake(shows="copies")
    def awaited_what_cannot_be(self, seen: Seen) -> bool:
        """You put `await` in front of something that is not awaitable. A sync session answers with
        the value itself, when it has it; `await` cannot make it wait in another way. Take the
        `async` away, or hand the whole work to `run_in_threadpool`."""
        steps = [seen.step(name) for name in ("copies", "order")]
        return any(step.error == "TypeError" and "await" in step.error_message for step in steps)

    @mistake(shows="order", marks=("sql INSERT", "commit"))
    def async_dependency(self, seen: Seen) -> bool:
        """The endpoint has a thread now, but its session ends on the event loop: `get_session` is
        `async def`, so the COMMIT, and whatever was not flushed before, is sent from there. Make it
        a plain `def`."""
        order = seen.step("order").timeline
        sent_in_a_thread = any(not event["blocks"] for event in order.of("sql"))
        return "COMMIT" in order.blocking and sent_in_a_thread

    @mistake(shows="copies")
    def called_it_first(self, seen: Seen) -> bool:
        """You called the function and handed over what it gave: `run_in_threadpool(f(x))` calls `f`
        where you stand, on the loop. Hand over the function and its arguments:
        `await run_in_threadpool(f, x)`."""
        return any(_is_not_callable(seen.step(name)) for name in ("copies", "order"))

    @mistake(shows="copies")
    def only_the_order(self, seen: Seen) -> bool:
        """`place_order` is cured and `read_copies` is not: its statement still comes from the event
        loop, which is enough to freeze both, and every health check with them. Mend it, too."""
        copies, order = (seen.step(name).timeline.blocking for name in ("copies", "order"))
        return bool(copies) and not order

    @mistake(shows="order")
    def only_the_copies(self, seen: Seen) -> bool:
        """`read_copies` is cured and `place_order` is not: its statements still come from the event
        loop, which is enough to freeze both, and every health check with them. Mend it, too."""
        copies, order = (seen.step(name).timeline.blocking for name in ("copies", "order"))
        return bool(order) and not copies

    @mistake(shows="order")
    def still_on_the_loop(self, seen: Seen) -> bool:
        """The statements are still sent from the event loop, the lines in red. An `async def` runs
        there, and so does everything that it calls; a task or a `sleep(0)` changes nothing. Take
        the `async` away, or hand the work to a thread."""
        return all(seen.step(name).timeline.blocking for name in ("copies", "order"))

    @mistake(shows="copies")
    def forgot_to_await(self, seen: Seen) -> bool:
        """The endpoint returned something that was still to be awaited, and FastAPI could not make
        JSON of it. `run_in_threadpool`, `asyncio.to_thread` and what an AsyncSession does all give
        a coroutine: `return await ...`."""
        steps = [seen.step(name) for name in ("copies", "order")]
        return any("coroutine" in step.error_message for step in steps)

    @mistake(shows="refused", marks=("response", "commit"))
    def answers_too_soon(self, seen: Seen) -> bool:
        """The loop is free, and the 201 lies again: the commit comes after the response, since the
        dependency has lost its `scope="function"`. Give it back."""
        refused = seen.step("refused")
        return refused.status == 201 and refused.timeline.order("response", "commit")


class FindIt(Exercise):
    """Every request is answered as before, and nothing holds up the event loop."""

    id = "05.find_it"
    title = "Find what freezes it"
    needs = {
        "app": FastAPI,
        "engine": Engine,
        "async_engine": AsyncEngine,
        "copies_left": Callable,
    }
    hints = (
        "Record `GET /books/...` with both engines and look for red. There are two places.",
        "`opening_hours` is a `def` dependency: FastAPI gives it a thread. `remember_visit` is "
        "not, and `book_page` calls `copies_left` right on the loop.",
        "Take the `async` off `remember_visit`, or give it the AsyncDep. And in `book_page`: "
        "`await run_in_threadpool(copies_left, isbn)`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        copies = lab.number(3, 90)
        isbn = _book(lab, copies)
        seen: dict[str, Any] = {
            "isbn": isbn,
            "copies": copies,
            "page": lab.request("GET", f"/books/{isbn}"),
            "visits": _visits(lab, isbn),
            "hours": lab.request("GET", "/hours"),
            "unknown": lab.request("GET", f"/books/{lab.word()}"),
        }
        seen["nightly"] = lab.call("copies_left(isbn)", lab["copies_left"], isbn)
        seen["was_awaited"] = _is_coroutine_function(lab["copies_left"])
        return seen

    @requirement(1, shows="page")
    def answers_as_before(self, seen: Seen) -> None:
        """A book's page, the opening hours and an unknown book are answered as before."""
        page, hours, unknown = (seen.step(name) for name in ("page", "hours", "unknown"))
        body = page.body if isinstance(page.body, dict) else {}
        expect(
            page.status == 200 and isinstance(body.get("title"), str),
            saw=f"{page.heard}, with {page.body!r}.",
            wanted="It should be a 200 with the book's `title` and `copies`.",
        )
        expect(
            body.get("copies") == seen["copies"],
            saw=f"The page says {body.get('copies')!r} copies, and there are {seen['copies']}.",
            wanted="It should say how many there are.",
        )
        expect(
            hours.status == 200 and hours.body == "open",
            saw=f"{hours.heard}, with {hours.body!r}.",
            wanted='It should be a 200 with "open", as before.',
        )
        expect(
            unknown.status == 404,
            saw=f"{unknown.heard}, for a book that does not exist.",
            wanted="That should be a 404.",
        )

    @requirement(1, shows="page")
    def visits_are_kept(self, seen: Seen) -> None:
        """Each visit of a page is kept, once."""
        expect(
            seen["visits"] == 1,
            saw=f"The page was visited once, and the table holds {seen['visits']} visits of it.",
            wanted="It should hold one.",
        )

    @requirement(3, shows="page")
    def the_loop_stays_free(self, seen: Seen) -> None:
        """Nothing holds up the event loop."""
        for name in ("page", "hours"):
            _expect_free(seen.step(name))

    @requirement(1, shows="nightly")
    def the_report_still_works(self, seen: Seen) -> None:
        """`copies_left(isbn)` is still a plain function that returns a number."""
        _expect_plain(seen.step("nightly"), seen["was_awaited"], seen["copies"])

    @mistake(shows="nightly")
    def made_the_helper_async(self, seen: Seen) -> bool:
        """`copies_left` has become an `async def`, and the nightly report, which calls it without
        `await`, gets a coroutine instead of a number. Leave it plain, and hand it to a thread
        where you call it: `await run_in_threadpool(copies_left, isbn)`."""
        return bool(seen["was_awaited"])

    @mistake(shows="page")
    def visits_are_gone(self, seen: Seen) -> bool:
        """Nobody waits for the visits any more, because nobody keeps them: the table stayed empty.
        Leaving work out is one way to make it fast, but this work was asked for. Add the visit, and
        see that it is committed."""
        return seen.step("page").status == 200 and seen["visits"] == 0

    @mistake(shows="page")
    def called_it_first(self, seen: Seen) -> bool:
        """You called `copies_left` and handed over the number: `run_in_threadpool(f(x))` calls `f`
        where you stand, on the loop. Hand over the function and its arguments:
        `await run_in_threadpool(f, x)`."""
        return _is_not_callable(seen.step("page"))

    @mistake(shows="page")
    def forgot_to_await(self, seen: Seen) -> bool:
        """The page holds something that is still to be awaited, and FastAPI could not make JSON of
        it. `run_in_threadpool` and `asyncio.to_thread` give a coroutine: write `await` in front."""
        return "<class 'coroutine'>" in seen.step("page").error_message

    @mistake(shows="page")
    def one_of_two(self, seen: Seen) -> bool:
        """One of the two is mended: the visit, or the number of copies. The other is the line that
        is still red. Have it awaited, or hand it to a thread."""
        page = seen.step("page")
        wrote = any("INTO visit" in sql for sql in page.timeline.blocking)
        read = any("copies" in sql for sql in page.timeline.blocking)
        return page.status == 200 and wrote is not read

    @mistake(shows="page")
    def async_session_in_a_def(self, seen: Seen) -> bool:
        """`book_page` has become a `def`, but it has an AsyncSession, whose answers are to be
        awaited, and a `def` cannot. Leave it `async def`, and hand only the sync work to a
        thread."""
        page = seen.step("page")
        return page.error == "AttributeError" and "'coroutine' object" in page.error_message

    @mistake(shows="page")
    def still_on_the_loop(self, seen: Seen) -> bool:
        """The red lines are still there: sync statements, sent from the event loop. An `async def`
        around them, or a task, leaves them where they are. Take an async session and await it, or
        let the function run in a thread."""
        return bool(seen.step("page").timeline.blocking)

    @mistake(shows="hours")
    def spoiled_the_decoy(self, seen: Seen) -> bool:
        """`/hours` was in order, and now it holds up the loop: `opening_hours` is a plain `def`
        dependency, which FastAPI runs in a thread. Made `async def`, it runs on the loop, sync
        session and all. Put it back."""
        return bool(seen.step("hours").timeline.blocking)


class AskThemAll(Exercise):
    """All suppliers are asked at the same time; the cheapest quote is kept and answered."""

    id = "05.ask_them_all"
    title = "Ask them all"
    needs = {"app": FastAPI, "async_engine": AsyncEngine, "PRICES": dict, "calls": list}
    hints = (
        "`asyncio.gather(*[ask_supplier(name) for name in PRICES])` starts them all, and waits "
        "once. What does it do when one of them raises?",
        "With `return_exceptions=True` the exceptions come back in the list, in their places; "
        "`zip(PRICES, answers)` says whose they are. Leave those out that are no `int`.",
        "`if not offers: raise HTTPException(503)`; else `price, supplier = min(offers)`, and "
        "`async with AsyncSessionLocal.begin() as session: session.add(Quote(...))`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        prices, calls = lab["PRICES"], lab["calls"]
        # The cheapest stands in the middle, by the alphabet as well: no luck in taking either end.
        third, second, first = sorted(lab.word().title() for _ in range(3))
        down = lab.word().title()
        seen: dict[str, Any] = {}
        low = lab.number(5, 40)
        quoted = {first: low + 7, second: low, third: low + 3, down: None}

        def ask(name: str, offered: Mapping[str, int | None]) -> None:
            prices.clear()
            prices.update(offered)
            calls.clear()
            before = _quotes(lab)
            seen[name] = lab.request("GET", "/quote")
            seen[f"{name} kept"] = _quotes(lab)[len(before) :]
            seen[f"{name} calls"] = [str(call) for call in calls]

        seen["cheapest"] = {"supplier": second, "price": low}
        ask("all_up", {name: price for name, price in quoted.items() if price is not None})
        ask("one_down", quoted)
        ask("all_down", dict.fromkeys(quoted, None))
        with lab.commit_fails():
            ask("refused", quoted)
        return seen

    @requirement(1, shows="all_up")
    def the_cheapest(self, seen: Seen) -> None:
        """The answer is the cheapest quote."""
        self._expect_cheapest(seen, "all_up", "three suppliers with a price")

    @requirement(2, shows="all_up")
    def at_the_same_time(self, seen: Seen) -> None:
        """All suppliers are asked before the first of them answers."""
        calls = seen["all_up calls"]
        most, asked = _most_in_flight(calls), sum(call.endswith("is asked") for call in calls)
        expect(
            asked == 3,
            saw=f"There were three suppliers, and {asked} calls were made.",
            wanted="Each should be asked once.",
        )
        expect(
            most == 3,
            saw=f"At most {most} of the three had been asked and not yet answered.",
            wanted="All three should be under way at the same time.",
            why="Waits that overlap cost as much as the longest, not as their sum.",
        )

    @requirement(1, shows="one_down")
    def one_is_down(self, seen: Seen) -> None:
        """A supplier that is down is left out."""
        self._expect_cheapest(seen, "one_down", "three suppliers with a price and one that is down")

    @requirement(1, shows="all_down")
    def all_are_down(self, seen: Seen) -> None:
        """When all are down: 503, and no quote is kept."""
        step = seen.step("all_down")
        expect(
            step.status == 503,
            saw=f"{step.heard}, with every supplier down.",
            wanted="That should be a 503.",
        )
        expect(
            not seen["all_down kept"],
            saw=f"All suppliers were down, and {seen['all_down kept']} was kept.",
            wanted="Nothing should be.",
        )

    @requirement(1, shows="all_up")
    def the_quote_is_kept(self, seen: Seen) -> None:
        """The quote is a row of `Quote`, committed before the answer, without holding up the
        loop."""
        expect(
            seen["all_up kept"] == [seen["cheapest"]],
            saw=f"Afterwards the table `quote` had these new rows: {seen['all_up kept']}.",
            wanted=f"It should be {seen['cheapest']} and nothing else.",
        )
        refused = seen.step("refused")
        expect(
            refused.status >= 400,
            saw=f"The commit failed, and {refused.heard}.",
            wanted="Then the client should hear an error.",
        )
        _expect_free(seen.step("all_up"))

    def _expect_cheapest(self, seen: Seen, name: str, of: str) -> None:
        step, cheapest = seen.step(name), seen["cheapest"]
        expect(
            step.status == 200,
            saw=f"{step.heard}, with {of}.",
            wanted="That should be a 200.",
        )
        expect(
            step.body == cheapest,
            saw=f"With {of}, the answer was {step.body!r}.",
            wanted=f"The cheapest was {cheapest}.",
        )

    @mistake(shows="all_up")
    def one_after_the_other(self, seen: Seen) -> bool:
        """Right, and several times as long as it needs: each supplier is asked when the one before
        has answered. An `await` inside the loop waits there. Start them all, with `asyncio.gather`
        or a TaskGroup, and wait once."""
        calls = seen["all_up calls"]
        return len(calls) > 2 and _most_in_flight(calls) == 1

    @mistake(shows="one_down", marks=("error",))
    def one_fails_all(self, seen: Seen) -> bool:
        """One supplier was down, and the whole request failed with it. By default `gather` raises
        the first exception that it meets. Give it `return_exceptions=True`, or catch SupplierDown
        around each call."""
        step = seen.step("one_down")
        return step.status == 500 and step.error in ("SupplierDown", "ExceptionGroup")

    @mistake(shows="one_down")
    def one_closes_the_shop(self, seen: Seen) -> bool:
        """One supplier was down, and the client heard 503, although three others had a price. Leave
        out that one: `gather(..., return_exceptions=True)`, or catch SupplierDown around each
        call, not around all of them."""
        return seen.step("one_down").status == 503 and seen.step("all_up").status == 200

    @mistake(shows="all_down", marks=("error",))
    def nothing_to_choose_from(self, seen: Seen) -> bool:
        """With every supplier down there was no offer to take the smallest of, and the client
        heard 500. Look whether there is any, and raise `HTTPException(503)` if not."""
        step = seen.step("all_down")
        return step.status == 500 and seen.step("one_down").status == 200

    @mistake(shows="one_down", marks=("error",))
    def compared_exceptions(self, seen: Seen) -> bool:
        """With `return_exceptions=True` the list holds prices and exceptions, and they cannot be
        compared. Leave out whatever is no price: `isinstance(answer, int)`."""
        step = seen.step("one_down")
        return step.error == "TypeError" and "SupplierDown" in step.error_message

    @mistake(shows="all_up", marks=("error",))
    def gathered_and_went_on(self, seen: Seen) -> bool:
        """`gather` starts them all and gives you something to wait for, not the answers. Write
        `answers = await asyncio.gather(...)`."""
        step = seen.step("all_up")
        return step.status == 500 and "future" in step.error_message.lower()

    @mistake(shows="all_up")
    def never_awaited(self, seen: Seen) -> bool:
        """Calling `ask_supplier(name)` asks nobody yet: it makes a coroutine, and no supplier has
        heard of you. Await them, all at once: `await asyncio.gather(...)`."""
        step = seen.step("all_up")
        lost = step.status == 503 or "coroutine" in step.error_message
        return lost and not seen["all_up calls"]

    @mistake(shows="all_up")
    def asked_nobody(self, seen: Seen) -> bool:
        """The answer is right, and no supplier was asked: you read `PRICES`, which stands in for
        what *they* know. Ask each with `ask_supplier(name)`."""
        return seen.step("all_up").status == 200 and not seen["all_up calls"]

    @mistake(shows="all_up", marks=("sql INSERT", "commit"))
    def kept_on_the_loop(self, seen: Seen) -> bool:
        """The suppliers are awaited, and then the quote is written with a sync session, on the
        event loop: the lines in red. This endpoint has to be `async def`, so its session must be
        async, too: `async with AsyncSessionLocal.begin() as session:`."""
        return bool(seen.step("all_up").timeline.blocking)

    @mistake(shows="all_up")
    def not_kept(self, seen: Seen) -> bool:
        """The client has an answer and the quote is not kept. Add a `Quote` to a session, and have
        it committed: `async with AsyncSessionLocal.begin()` does that by itself,
        `AsyncSessionLocal()` does not."""
        return seen.step("all_up").status == 200 and not seen["all_up kept"]

    @mistake(shows="all_up")
    def not_the_cheapest(self, seen: Seen) -> bool:
        """All were asked, and another than the cheapest was chosen. `min` of pairs compares what
        comes first in them: `(price, name)`, in this order."""
        body = seen.step("all_up").body
        return isinstance(body, dict) and body.get("supplier") not in (
            None,
            seen["cheapest"]["supplier"],
        )


class Choose(Exercise):
    """For each service, the way that suits it, and the reason that carries it."""

    id = "05.choose"
    title = "Choose"
    needs = {"choices": dict}
    hints = (
        "For each service: what does a request wait for, and does it wait for one thing at a time?",
        "What 150 requests queue for at noon, async cannot give them. What 3,000 open streams "
        "need, 40 threads cannot. And a loop that computes serves nobody.",
        "One is sync, two are async, for different reasons, and one belongs out of the web "
        "process.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        return {"choices": {str(key): _listed(value) for key, value in lab["choices"].items()}}

    @requirement(1)
    def checkout(self, seen: Seen) -> None:
        """The checkout."""
        _expect_choice(
            seen,
            "checkout",
            ("sync",),
            ("the pool is the limit", "its libraries are sync"),
            "Its requests wait for one of 20 connections, whichever way it is written, and its "
            "invoice library would stop the loop.",
        )

    @requirement(1)
    def price_watch(self, seen: Seen) -> None:
        """The price watch."""
        _expect_choice(
            seen,
            "price watch",
            ("async",),
            ("many waits in one request",),
            "Eight waits of 300 ms in turn are 2.4 seconds; together they are 0.3.",
        )

    @requirement(1)
    def order_board(self, seen: Seen) -> None:
        """The order board."""
        _expect_choice(
            seen,
            "order board",
            ("async",),
            ("many open connections",),
            "A stream that is open all day would keep a thread all day, and there are forty.",
        )

    @requirement(1)
    def covers(self, seen: Seen) -> None:
        """The covers."""
        _expect_choice(
            seen,
            "covers",
            ("another process",),
            ("it computes",),
            "Two seconds of computing hold up a loop, and twenty threads of it share one "
            "interpreter. A queue and a worker process leave the web process to its requests.",
        )

    @mistake()
    def unknown_words(self, seen: Seen) -> bool:
        """Each choice is a pair of a way and a reason, in the words of the exercise, to the letter:
        `"checkout": ("sync", "it computes")`, say. Look for a typing error."""
        return any(
            way not in _WAYS or reason not in _REASONS
            for way, reason in (_pair(seen["choices"].get(name)) for name in _SERVICES)
        )

    @mistake()
    def async_is_faster(self, seen: Seen) -> bool:
        """That async is faster carries nothing here: look at the plots of part 3. Behind the same
        pool the two curves rise and go flat together. Where async wins, it wins for another reason;
        say which."""
        return any(_pair(said)[1] == "async is faster" for said in seen["choices"].values())

    @mistake()
    def loop_for_computing(self, seen: Seen) -> bool:
        """The covers compute for two seconds each. On the event loop, that is two seconds in which
        nobody is served; in threads, twenty of them share one interpreter with every other request.
        Neither word helps; take another process."""
        return _pair(seen["choices"].get("covers"))[0] in ("sync", "async")

    @mistake()
    def thread_for_a_stream(self, seen: Seen) -> bool:
        """Three thousand streams, open all day, and forty threads: with sync code the forty-first
        bookshop never sees its board. A waiting task costs next to nothing: take the loop."""
        return bool(_pair(seen["choices"].get("order board"))[0] == "sync")

    @mistake()
    def right_for_the_wrong_reason(self, seen: Seen) -> bool:
        """The ways are right, and a reason does not carry its way. Ask what the service would run
        short of, written the other way: connections, threads, time, or the processor?"""
        right = {"checkout": "sync", "price watch": "async", "order board": "async"}
        right["covers"] = "another process"
        return all(_pair(seen["choices"].get(name))[0] == way for name, way in right.items())


_SERVICES = ("checkout", "price watch", "order board", "covers")
_WAYS = ("sync", "async", "another process")
_REASONS = (
    "async is faster",
    "the pool is the limit",
    "its libraries are sync",
    "many waits in one request",
    "many open connections",
    "it computes",
)


# -- what the evidence is made of --------------------------------------------------------------
def _listed(value: Any) -> Any:
    """A pair as evidence can hold it."""
    return list(value) if isinstance(value, list | tuple) else str(value)


def _described(engine: Engine | AsyncEngine) -> dict[str, Any]:
    """How an engine waits, and how many connections it has at most."""
    pool: Any = engine.pool
    return {"async": isinstance(engine, AsyncEngine), "most": pool.size() + pool._max_overflow}


def _is_coroutine_function(function: Any) -> bool:
    return inspect.iscoroutinefunction(function)


def _book(lab: Lab, copies: int) -> str:
    """A book of our own; its ISBN."""
    isbn = f"979{lab.number(10**9, 10**10 - 1)}"
    lab.write(
        "INSERT INTO book (isbn, title, copies) VALUES (:isbn, :title, :copies)",
        isbn=isbn,
        title=lab.word().title(),
        copies=copies,
    )
    return isbn


def _shelf(lab: Lab, isbn: str) -> dict[str, int]:
    copies = lab.rows("SELECT copies FROM book WHERE isbn = :isbn", isbn=isbn)
    orders = lab.rows("SELECT id FROM orders WHERE isbn = :isbn", isbn=isbn)
    return {"copies": copies[0]["copies"] if copies else 0, "orders": len(orders)}


def _visits(lab: Lab, isbn: str) -> int:
    return len(lab.rows("SELECT id FROM visit WHERE page = :isbn", isbn=isbn))


def _quotes(lab: Lab) -> list[dict[str, Any]]:
    return lab.rows("SELECT supplier, price FROM quote ORDER BY id", engine="async_engine")


# -- what is asked of it -----------------------------------------------------------------------
def _truths(seen: Seen) -> dict[str, tuple[str, float]]:
    """For each path, where its query ran and how many of them its queues let through."""
    found: dict[str, tuple[str, float]] = {}
    for path in PATHS:
        senders = seen[f"{path} sent by"]
        if not senders:
            continue
        most = senders[-1]["most"]
        if seen.step(path).timeline.blocking:
            found[path] = ("blocked", 1)
        elif senders[-1]["async"]:
            found[path] = ("awaited", most)
        else:
            found[path] = ("thread", min(most, seen["threads"]))
    return found


def _said(seen: Seen, path: str) -> tuple[Any, Any]:
    return _pair(seen["prediction"].get(path))


def _pair(said: Any) -> tuple[Any, Any]:
    return (said[0], said[1]) if isinstance(said, list) and len(said) == 2 else (said, None)


def _quoted(said: Any) -> str:
    return "nothing" if said is None or said == "None" else repr(said)


def _is_not_callable(step: Step) -> bool:
    """Whether somebody wanted to call what is no function: a number, say, or a dict."""
    return step.error == "TypeError" and "callable" in step.error_message


def _most_in_flight(calls: list[str]) -> int:
    """How many suppliers had been asked and had not answered, at most."""
    now = most = 0
    for call in calls:
        now += 1 if call.endswith("is asked") else -1
        most = max(most, now)
    return most


# -- what is demanded more than once -------------------------------------------------------------
def _expect_free(step: Step) -> None:
    held = step.timeline.blocking
    expect(
        not held,
        saw=f"`{step.asked}` sent {counted(len(held), 'statement')} from the event loop: "
        f"`{held[0] if held else ''}`{' and more' if len(held) > 1 else ''}.",
        wanted="A sync session should be used in a thread, an async one should be awaited.",
        why="While the loop waits, no other request is served, health checks included.",
    )


def _expect_plain(nightly: Step, is_async: bool, right: int) -> None:
    expect(
        not is_async and nightly.error is None and nightly.body == right,
        saw=f"`{nightly.asked}` "
        + (
            "is an `async def` now, which gives a coroutine."
            if is_async
            else f"raised {nightly.error}: {nightly.error_message}."
            if nightly.error
            else f"returned {nightly.body!r}."
        ),
        wanted=f"Called without `await`, it should return the number of copies, here {right}.",
        why="The nightly report is an ordinary script.",
    )


def _expect_choice(
    seen: Seen, name: str, ways: tuple[str, ...], reasons: tuple[str, ...], why: str
) -> None:
    way, reason = _pair(seen["choices"].get(name))
    expect(
        way in _WAYS and reason in _REASONS,
        saw=f"For {name!r} you took {_quoted(way)}, because {_quoted(reason)}.",
        wanted="Take a way and a reason from the lists of the exercise.",
    )
    expect(
        way in ways,
        saw=f"For {name!r} you took {way!r}.",
        wanted="Ask what it would run short of, written that way.",
        why=why,
    )
    expect(
        reason in reasons,
        saw=f"For {name!r} you took {way!r}, because {reason!r}.",
        wanted="The way suits it, and that is not why: take another reason.",
        why=why,
    )


# -- how it is put ------------------------------------------------------------------------------


def _in_words(shelf: Mapping[str, int]) -> str:
    copies = counted(shelf["copies"], "copy", "copies")
    return f"{copies} and {counted(shelf['orders'], 'order')}"


EXERCISES = (Predict, LeastChange, FindIt, AskThemAll, Choose)
