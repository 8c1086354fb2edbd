"""Lesson 10, indexes and query plans: rows are found, paged through by place, and sent in parts."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine

from checks.exercise import Exercise, Model, Seen, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.observe.timeline import Timeline

AHEAD = 500  # rows that an export may have read and not sent
NEWER = 10_000  # the id of an order that comes in between two pages
EXPORTED = 1_200  # orders that it is tried with


class TwoFilters(Exercise):
    """Both questions are answered with a SEARCH, a barcode is there once, and no index is idle."""

    id = "10.two_filters"
    title = "Two filters"
    needs = {"app": FastAPI, "engine": Engine, "Parcel": Model}
    hints = (
        "Which column stands in the WHERE of each endpoint? Which of the two has an index so far?",
        "`index=True` makes an index. `unique=True` makes one as well, and a rule with it.",
        'customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True), and '
        "barcode: Mapped[str] = mapped_column(unique=True)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        customer, other = lab.number(10, 99), lab.number(100, 199)
        barcodes = [lab.word() for _ in range(3)]
        grams = lab.number(100, 900)
        for number in (customer, other):
            lab.write("INSERT INTO customer (id) VALUES (:id)", id=number)
        for code, whose in zip(barcodes, (customer, other, customer), strict=True):
            lab.write(_PARCEL, customer_id=whose, barcode=code, grams=grams)
        table = lab["Parcel"].__table__
        with lab.plans() as by_customer:
            parcels = lab.request("GET", f"/parcels?customer_id={customer}")
        with lab.plans() as by_barcode:
            parcel = lab.request("GET", f"/parcels/{barcodes[1]}")
        return {
            "barcodes": [barcodes[0], barcodes[2]],
            "parcel_is": {"customer_id": other, "grams": grams},
            "parcels": parcels,
            "by_customer": by_customer,
            "parcel": parcel,
            "by_barcode": by_barcode,
            "twice": lab.call(
                "a parcel with a barcode that is there",
                lambda: lab.write(_PARCEL, customer_id=other, barcode=barcodes[0], grams=grams),
            ),
            "indexes": _indexes(lab, "parcel"),
            "in_the_model": sorted(column.name for one in table.indexes for column in one.columns),
        }

    @requirement(1, shows="parcels")
    def still_answers(self, seen: Seen) -> None:
        """The desk answers as before."""
        for step, wanted in (
            (seen.step("parcels"), seen["barcodes"]),
            (seen.step("parcel"), seen["parcel_is"]),
        ):
            expect(
                step.status == 200 and step.body == wanted,
                saw=f"{step.heard}, with `{step.body}`.",
                wanted=f"It should answer 200 with `{wanted}`.",
            )

    @requirement(1, shows="parcels")
    def a_customers_parcels(self, seen: Seen) -> None:
        """A customer's parcels are found with a SEARCH."""
        _expect_search(seen["by_customer"], "The parcels of one customer were looked for")

    @requirement(1, shows="parcel")
    def one_parcel(self, seen: Seen) -> None:
        """A parcel is found by its barcode with a SEARCH."""
        _expect_search(seen["by_barcode"], "One parcel was looked for by its barcode")

    @requirement(1)
    def a_barcode_once(self, seen: Seen) -> None:
        """The database refuses a barcode that it has already."""
        refused = seen.step("twice")
        expect(
            refused.error is not None and "UNIQUE" in refused.error_message,
            saw="A second parcel with the same barcode was put in past the app, and the database "
            + (f"said `{refused.error_message}`." if refused.error else "took it."),
            wanted="It should refuse: two parcels, one label, and the scanner finds either.",
        )

    @requirement(1)
    def no_idle_index(self, seen: Seen) -> None:
        """Every index is used by one of the two questions."""
        _expect_no_idle_index(seen["indexes"], seen["by_customer"] + seen["by_barcode"])

    @mistake()
    def never_made(self, seen: Seen) -> bool:
        """The model names an index that the database does not have: it was declared when the tables
        had been made. `create_all` makes the indexes together with their table, so they have to
        stand in the class, above it. (In a running shop, that is a migration you forgot.)"""
        made = [column for one in seen["indexes"] for column in one["columns"]]
        return any(column not in made for column in seen["in_the_model"])

    @mistake()
    def index_everything(self, seen: Seen) -> bool:
        """`grams` has an index, and nobody asks for parcels by weight. It is written with every
        parcel and read with none. Take it off."""
        return any(one["columns"][:1] == ["grams"] for one in seen["indexes"])

    @mistake()
    def the_same_twice(self, seen: Seen) -> bool:
        """Two indexes begin with the same column, and one of them does the work of both: a unique
        constraint *is* an index already. Keep the unique one."""
        first = [one["columns"][:1] for one in seen["indexes"]]
        return any(first.count(one) > 1 for one in first)

    @mistake(shows="parcels")
    def a_foreign_key_is_no_index(self, seen: Seen) -> bool:
        """A customer's parcels are still a SCAN: there is no index on `customer_id`. Its
        `ForeignKey` is a promise that the customer exists, and makes no index. Add `index=True`
        to the `mapped_column`."""
        named = [column for one in seen["indexes"] for column in one["columns"]]
        return "customer_id" not in named and _scans(seen["by_customer"])

    @mistake()
    def one_for_both(self, seen: Seen) -> bool:
        """There is one index for both columns, and it serves the question whose column comes first.
        To find the second column alone, all of it must be read. These are two questions, so make
        two indexes."""
        return any(
            {"barcode", "customer_id"} <= set(one["columns"]) for one in seen["indexes"]
        ) and (_scans(seen["by_customer"]) or _scans(seen["by_barcode"]))

    @mistake(shows="parcel")
    def no_index_on_barcode(self, seen: Seen) -> bool:
        """The scanner's question is a SCAN: nothing sorts the parcels by `barcode`.
        `mapped_column(unique=True)` brings the index, and the rule that a barcode is there once."""
        named = [column for one in seen["indexes"] for column in one["columns"]]
        return "barcode" not in named and _scans(seen["by_barcode"])

    @mistake()
    def found_but_not_unique(self, seen: Seen) -> bool:
        """`barcode` has an index and is found at once; but nothing keeps two parcels from having
        the same one. An `index=True` only sorts. Say `unique=True`."""
        return seen.step("twice").error is None and not _scans(seen["by_barcode"])


class RightOrder(Exercise):
    """With two indexes, both questions are narrowed by all they can be, and nothing is sorted."""

    id = "10.right_order"
    title = "The right order"
    needs = {"app": FastAPI, "engine": Engine, "Order": Model}
    hints = (
        "For each question, write down what is compared with `=`, and then what is a range or is "
        "sorted by.",
        "`/latest`: one customer, by `placed`. `/due`: one status, from a `placed` on. The columns "
        "with `=` come first.",
        '__table_args__ = (Index("ix_one", "customer_id", "placed"), '
        'Index("ix_two", "status", "placed"))',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        customer, status, other = lab.number(10, 99), lab.word(), lab.word()
        ids = sorted(lab.random.sample(range(1_000, 9_000), 8))
        days = [5, 2, 2, 7, 1, 6, 3, 4]
        for number, (one, day) in enumerate(zip(ids, days, strict=True)):
            lab.write(
                "INSERT INTO orders (id, customer_id, status, placed) "
                "VALUES (:id, :customer_id, :status, :placed)",
                id=one,
                customer_id=customer if number < 4 else customer + number,
                status=other if number == 3 else status,
                placed=f"2025-06-0{day} 00:00:00.000000",
            )
        with lab.plans() as of_latest:
            latest = lab.request("GET", f"/latest?customer_id={customer}")
        with lab.plans() as of_due:
            due = lab.request("GET", f"/due?status={status}&since=2025-06-04T00:00:00")
        return {
            "latest": latest,
            "latest_is": [ids[3], ids[0], ids[2], ids[1]],
            "of_latest": of_latest,
            "due": due,
            "due_is": [ids[7], ids[0], ids[5]],
            "of_due": of_due,
            "indexes": _indexes(lab, "orders"),
        }

    @requirement(1, shows="latest")
    def still_answers(self, seen: Seen) -> None:
        """The desk answers as before."""
        for name in ("latest", "due"):
            step, wanted = seen.step(name), seen[f"{name}_is"]
            expect(
                step.status == 200 and step.body == wanted,
                saw=f"{step.heard}, with `{step.body}`.",
                wanted=f"It should answer 200 with the ids `{wanted}`.",
            )

    @requirement(1, shows="latest")
    def latest_is_found(self, seen: Seen) -> None:
        """`/latest` touches only that customer's orders, and sorts nothing."""
        _expect_search(seen["of_latest"], "`/latest`", "customer_id")
        _expect_no_sorting(seen["of_latest"], "`/latest`")

    @requirement(2, shows="due")
    def due_is_narrowed_by_both(self, seen: Seen) -> None:
        """`/due` is narrowed by status and date, and sorts nothing."""
        _expect_search(seen["of_due"], "`/due`", "status", "placed")
        _expect_no_sorting(seen["of_due"], "`/due`")

    @requirement(1)
    def two_indexes(self, seen: Seen) -> None:
        """There are two indexes at most, and both are used."""
        indexes = seen["indexes"]
        expect(
            len(indexes) <= 2,
            saw=f"The table has {len(indexes)} indexes: {_named(indexes)}.",
            wanted="Two are enough for two questions.",
            why="Each one is written with every order.",
        )
        _expect_no_idle_index(indexes, seen["of_latest"] + seen["of_due"])

    @mistake()
    def too_many(self, seen: Seen) -> bool:
        """More than two indexes. The left part of an index is an index, so one on `customer_id`
        beside one on `customer_id, placed` is only a cost. Keep one for each question."""
        return len(seen["indexes"]) > 2

    @mistake(shows="due")
    def only_some_statuses(self, seen: Seen) -> bool:
        """An index with a WHERE serves only queries that say the same, and `/due` is asked for any
        status. Put `status` into the index as its first column instead."""
        return any(one["partial"] for one in seen["indexes"]) and _scans(seen["of_due"])

    @mistake()
    def a_column_for_a_name(self, seen: Seen) -> bool:
        """The first argument of `Index` is its name: `Index("customer_id", "placed")` is an index
        on `placed` alone, and is called customer_id. Give it a name, or None for the convention's,
        and then the columns."""
        return any(one["name"] in ("customer_id", "status", "placed") for one in seen["indexes"])

    @mistake()
    def the_date_first(self, seen: Seen) -> bool:
        """`placed` stands first in an index. That sorts *all* orders by date, and those of one
        customer, or of one status, are strewn over the whole of it: look at what the plan narrows
        by. What is compared with `=` goes first, the range and the sorting behind it."""
        return any(one["columns"][:1] == ["placed"] for one in seen["indexes"])

    @mistake()
    def one_for_both(self, seen: Seen) -> bool:
        """An index has both `customer_id` and `status`. It begins with one of the two questions,
        and to the other it is no help: only the left part of an index is an index. Make two, one
        for each question, with `placed` right behind its column."""
        return any({"customer_id", "status"} <= set(one["columns"]) for one in seen["indexes"])

    @mistake()
    def single_columns(self, seen: Seen) -> bool:
        """Each index has one column, and the database takes one of them for each table of a query:
        the orders are found, and then sorted (TEMP B-TREE) or looked through for their date. Put
        `placed` behind the other column, in the same `Index(...)`."""
        indexes = seen["indexes"]
        return bool(indexes) and any(len(one["columns"]) == 1 for one in indexes)


class Keyset(Exercise):
    """Pages are found by the place where the last one ended, and each order is on one of them."""

    id = "10.keyset"
    title = "Keyset paging"
    needs = {"app": FastAPI, "engine": Engine, "Order": Model}
    hints = (
        "What follows a bookmark? What was placed earlier, or in the same moment with a smaller "
        "id. `place(after)` gives you both.",
        "`tuple_(Order.placed, Order.id) < tuple_(*place(after))` says it in a way that the index "
        "understands; the ORDER BY names the same two columns, both `.desc()`.",
        "Fetch `limit(limit + 1)`. If there are more than `limit`, "
        "`bookmark(page[-1].placed, page[-1].id)` of the last one **shown** is `next`; else None.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        ids = lab.random.sample(range(1_000, 9_000), 17)
        # Four at a time, so that each page but the last ends among equals.
        orders = [
            (f"2025-06-{9 - n // 4:02}", one, lab.number(1, 9_999)) for n, one in enumerate(ids)
        ]
        for day, number, total in orders:
            _put_order(lab, day, number, total)
        in_order = sorted(orders, reverse=True)
        first = lab.request("GET", "/orders?limit=5")
        seen: dict[str, Any] = {
            "orders": [{"id": number, "total": total} for _, number, total in in_order],
            "first": first,
            "rubbish": lab.request("GET", "/orders", params={"limit": 5, "after": lab.word()}),
        }
        _put_order(lab, "2025-07-01", NEWER, 1)
        pages, plans = [first], []
        while len(pages) < 7 and isinstance(place := _next(pages[-1]["body"]), str):
            with lab.plans() as plan:
                pages.append(lab.request("GET", "/orders", params={"limit": 5, "after": place}))
            plans += plan
        second = pages[1] if pages[1:] else first
        return seen | {"pages": pages, "second": second, "last": pages[-1], "plans": plans}

    @requirement(1, shows="first")
    def a_page(self, seen: Seen) -> None:
        """A page is 200, with at most `limit` orders, newest first, and a bookmark."""
        first, wanted = seen.step("first"), seen["orders"][:5]
        expect(
            first.status == 200 and _shown(first.body) == [one["id"] for one in wanted],
            saw=f"{first.heard}, with the orders {_shown(first.body)}.",
            wanted=f"It should hold the newest five: {[one['id'] for one in wanted]}.",
        )
        body = first.body if isinstance(first.body, dict) else {}
        expect(
            body.get("orders") == wanted,
            saw=f"The first order was `{(body.get('orders') or [None])[0]}`.",
            wanted=f"It should be `{wanted[0]}`.",
        )
        expect(
            isinstance(body.get("next"), str),
            saw=f"There are {len(seen['orders'])} orders and five were asked for, and `next` was "
            f"`{body.get('next')!r}`.",
            wanted="It should be a bookmark, to go on from.",
        )

    @requirement(2, shows="second")
    def each_once(self, seen: Seen) -> None:
        """Going through the pages gives each order once, while a new one comes in."""
        found, wanted = _read_through(seen), [one["id"] for one in seen["orders"]]
        missing = [one for one in wanted if one not in found]
        doubled = sorted({one for one in found if found.count(one) > 1})
        expect(
            found == wanted,
            saw=f"Five to a page, {len(seen.steps('pages'))} pages, and a newer order came in "
            "after the first. "
            + (
                f"{len(missing)} orders were on no page, and {len(doubled)} on more than one."
                if missing or doubled
                else f"They came as {found}."
            ),
            wanted=f"All {len(wanted)} should come once, newest first"
            + ("." if missing or doubled else f": {wanted}."),
        )

    @requirement(2, shows="second")
    def found_by_its_place(self, seen: Seen) -> None:
        """A page behind a bookmark is found: a SEARCH, no sorting, at most `limit + 1` rows."""
        expect(
            bool(seen["plans"]),
            saw="There was no second page to look at.",
            wanted="`next` should lead to one.",
        )
        _expect_search(seen["plans"], "A page behind a bookmark")
        _expect_no_sorting(seen["plans"], "A page behind a bookmark")
        rows = max(step.timeline.rows for step in seen.steps("pages"))
        expect(
            rows <= 6,
            saw=f"For a page of five, {rows} rows were fetched.",
            wanted="It should be six at most: the one more says whether there is more.",
        )

    @requirement(1, shows="last")
    def the_end(self, seen: Seen) -> None:
        """On the last page, `next` is null."""
        last = seen.step("last")
        body = last.body if isinstance(last.body, dict) else {}
        expect(
            "next" in body and body["next"] is None,
            saw=f"On the last page that was asked for, {last.heard}, and "
            + (f"`next` was `{body['next']!r}`." if "next" in body else "there was no `next`."),
            wanted="Where nothing follows, `next` should be null.",
            why="A program that follows `next` would never stop.",
        )

    @requirement(1, shows="rubbish")
    def rubbish(self, seen: Seen) -> None:
        """Rubbish for a bookmark is a 422."""
        refused = seen.step("rubbish")
        expect(
            refused.status == 422,
            saw=f"{refused.heard}, where `after` was rubbish.",
            wanted="That should be a 422; `place(after)` raises it.",
        )

    @mistake(shows="first")
    def a_place_for_two(self, seen: Seen) -> bool:
        """A page is not shown in the order in which it is continued: among equal `placed` the `id`
        must run downwards, too. `order_by(Order.placed.desc(), Order.id.desc())`."""
        first = _shown(seen.step("first").body)
        wanted = [one["id"] for one in seen["orders"][:5]]
        return len(first) == 5 and first != wanted

    @mistake(shows="second")
    def counted(self, seen: Seen) -> bool:
        """The orders are counted on every page, and counting reads them all: that is the SCAN. To
        know whether there is more, fetch one more than you show."""
        return any("count(" in one["sql"].lower() for one in seen["plans"])

    @mistake(shows="second")
    def read_them_all(self, seen: Seen) -> bool:
        """More rows were fetched than are shown, and Python took its pick: with a hundred thousand
        orders that is a hundred thousand rows for each page. `where`, `order_by` and `limit` belong
        into the statement."""
        return any(step.timeline.rows > 6 for step in seen.steps("pages"))

    @mistake(shows="second", marks=("sql SELECT",))
    def counted_off(self, seen: Seen) -> bool:
        """The statement of the second page has no WHERE: it begins at the top and skips, which is
        OFFSET by another name, and a new order at the top shifts everything. A bookmark is a place:
        turn it into a condition."""
        return any(" WHERE " not in one["sql"] and _scans([one]) for one in seen["plans"])

    @mistake(shows="second", marks=("sql SELECT",))
    def by_the_id_alone(self, seen: Seen) -> bool:
        """The second page is asked for by `id` alone, and the list is not sorted by `id`: an older
        order may have a larger one. The place is all that is sorted by, `(placed, id)`:
        `tuple_(Order.placed, Order.id) < tuple_(*place(after))`."""
        asked = [one["sql"].partition(" WHERE ")[2] for one in seen["plans"]]
        conditions = [one.partition(" ORDER BY ")[0] for one in asked if one]
        return any("placed" not in one for one in conditions)

    @mistake(shows="second")
    def the_other_way(self, seen: Seen) -> bool:
        """The second page holds orders that are *newer* than the bookmark. The list runs downwards,
        so what follows is smaller: `<`."""
        second = _shown(seen.step("second").body)
        first = [one["id"] for one in seen["orders"][:5]]
        return bool(seen["plans"]) and bool({*second} & {*first[:-1], NEWER})

    @mistake(shows="second")
    def the_last_one_again(self, seen: Seen) -> bool:
        """A page begins with the order that the last one ended with: `<=` includes the place
        itself. What follows it is `<`."""
        first, second = (_shown(seen.step(name).body) for name in ("first", "second"))
        return bool(seen["plans"]) and second[:1] == first[-1:]

    @mistake(shows="second")
    def equals_are_lost(self, seen: Seen) -> bool:
        """Orders are missing that were placed in the same moment as the last of a page: a
        comparison with `placed` alone skips all its equals, and one with the wrong bookmark, those
        that were fetched and not shown. Compare `(placed, id)`, with the place of the last order
        that was shown."""
        found, wanted = _read_through(seen), [one["id"] for one in seen["orders"]]
        return len(found) > 5 and {*found} < {*wanted}

    @mistake(shows="second", marks=("sql SELECT",))
    def said_with_or(self, seen: Seen) -> bool:
        """The right orders, and still a SCAN: `earlier, OR in the same moment with a smaller id` is
        two conditions, and neither tells where in the index to begin. Say it as one place,
        `tuple_(Order.placed, Order.id) < tuple_(...)`, or put `Order.placed <= ...` in front."""
        return any(" OR " in one["sql"] and _scans([one]) for one in seen["plans"])

    @mistake(shows="last", marks=("error",))
    def the_last_of_none(self, seen: Seen) -> bool:
        """The page after the last is empty, and its last order was asked for a bookmark
        (IndexError). Where nothing follows, `next` is None: look first whether more than `limit`
        orders came."""
        return seen.step("last").error == "IndexError"

    @mistake(shows="last")
    def never_ends(self, seen: Seen) -> bool:
        """There is always a `next`, on the last page as well, and who follows it goes round and
        round. When a page has no more behind it, `next` is None."""
        return len(seen["pages"]) == 7


class Export(Exercise):
    """An export leaves while it is read, and gives back its connection when it has left."""

    id = "10.export"
    title = "The flat export"
    needs = {"app": FastAPI, "engine": Engine, "Order": Model}
    hints = (
        "A generator that opens a session, reads, and yields text; a `StreamingResponse` of it.",
        "`session.execute(query.execution_options(yield_per=500))` reads in parts, and "
        "`.partitions()` hands you each part as a list.",
        "def pieces(): / yield the first line / with SessionLocal() as session: / for part in "
        'orders.partitions(): / yield "".join(...); and `return StreamingResponse(pieces(), '
        'media_type="text/csv")`.',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        start, customer = lab.number(100, 900), lab.number(10, 99)
        lab.write(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows) "
            "INSERT INTO orders (id, customer_id, total) "
            "SELECT :start + i, :customer + i % 7, i * 3 FROM n",
            rows=EXPORTED,
            start=start,
            customer=customer,
        )
        text = "id,customer_id,total\n" + "".join(
            f"{start + i},{customer + i % 7},{i * 3}\n" for i in range(EXPORTED)
        )
        step = lab.request("GET", "/export.csv")
        body = step["body"] if isinstance(step["body"], str) else str(step["body"])
        pieces = [
            event["detail"] for event in step["timeline"] if event["kind"] in ("chunk", "body")
        ]
        ahead, gone = 0, 0
        for piece in pieces:
            lines_gone = body[:gone].count("\n")
            ahead = max(ahead, piece.get("read", EXPORTED) - lines_gone if piece["size"] else 0)
            gone += piece["size"]
        return {
            # A line of each is enough to show; a piece a row would be twelve hundred events.
            "export": step | {"body": body[:200], "timeline": _without_repeats(step["timeline"])},
            "right": body == text,
            "differs": _first_difference(body, text),
            "lines": body.count("\n"),
            "pieces": len([piece for piece in pieces if piece["size"]]),
            "ahead": ahead,
            "read_after_return": _read_after_it_went_back(Timeline.from_json(step["timeline"])),
        }

    @requirement(1, shows="export")
    def every_order(self, seen: Seen) -> None:
        """The answer is 200: the first line, and one for each order, by id."""
        export = seen.step("export")
        expect(
            export.status == 200 and export.error is None,
            saw=f"{export.heard}.",
            wanted="It should be 200, and the body should come to its end.",
        )
        said, wanted = seen["differs"] or ("", "")
        expect(
            bool(seen["right"]),
            saw=f"For {EXPORTED} orders, the text has `{said}` in a place.",
            wanted=f"There it should have `{wanted}`.",
        )

    @requirement(2, shows="export")
    def flat(self, seen: Seen) -> None:
        """At no time are more than 500 rows read that have not left yet."""
        expect(
            seen["ahead"] <= AHEAD,
            saw=f"At one moment {seen['ahead']} of {EXPORTED} rows had been read and had not left.",
            wanted=f"It should be {AHEAD} at most, however many there are in the table.",
            why="What has been read and has not left is in memory.",
        )

    @requirement(1, shows="export")
    def asked_in_parts(self, seen: Seen) -> None:
        """The rows are asked for in parts: with `yield_per`, or page by page."""
        whole = [
            event
            for event in seen.step("export").timeline.of("sql")
            if (event["rows"] or 0) > AHEAD and not event["streamed"]
        ]
        expect(
            not whole,
            saw=f"One statement brought {(whole[0]['rows'] if whole else 0)} rows, without "
            "`yield_per`.",
            wanted=f"It should say `yield_per`, or ask for {AHEAD} at most.",
            why="PostgreSQL's driver takes the whole answer before your loop sees its first row.",
        )

    @requirement(1, shows="export")
    def goes_home(self, seen: Seen) -> None:
        """The connection is held until the last row is read, and then given back."""
        timeline = seen.step("export").timeline
        back = [place for place, kind in enumerate(timeline.kinds) if kind == "checkin"]
        expect(
            timeline.checked_out == 0 and bool(back),
            saw="When the answer had left, a connection was still out.",
            wanted="The session that reads should be closed at the end of the body.",
        )
        expect(
            not seen["read_after_return"],
            saw="The connection went back, and rows were read from it all the same.",
            wanted="It should go back when the last row has been read.",
            why="On a server the rows are gone with the transaction.",
        )

    @mistake(shows="export", marks=("error",))
    def pieces_that_are_no_text(self, seen: Seen) -> bool:
        """What the generator yields is no text, but rows or a list of them, and a response cannot
        send those. Yield a string: `"".join(...)` of a line for each row."""
        return "has no attribute 'encode'" in seen.step("export").error_message

    @mistake(shows="export")
    def lines_without_an_end(self, seen: Seen) -> bool:
        r"""All of it is one long line. `yield` and `join` add nothing between two lines: end each
        of them with a `\n`, the first one too."""
        export = seen.step("export")
        return export.status == 200 and export.error is None and seen["lines"] <= 1

    @mistake(shows="export", marks=("session_open",))
    def asked_a_closed_session(self, seen: Seen) -> bool:
        """The session had been closed when the body asked it, and it opened itself again: look for
        `again` on the timeline. Nobody closes it a second time, and its connection stays out. A
        body is made when the endpoint, and its `with`, and its dependency are over. Open the
        session inside the generator."""
        opened = seen.step("export").timeline.of("session_open")
        return any(event["reopened"] for event in opened)

    @mistake(shows="export", marks=("checkin",))
    def read_a_borrowed_result(self, seen: Seen) -> bool:
        """The endpoint asked, its session went home, and the body read on from what it had asked.
        SQLite let that pass; a server says that the cursor does not exist. Ask inside the
        generator, in a session that is opened there."""
        return bool(seen["read_after_return"])

    @mistake(shows="export")
    def never_closed(self, seen: Seen) -> bool:
        """The session is never closed: its connection goes out and does not come back, and after a
        few exports the pool is empty. Inside the generator, `with SessionLocal() as session:`
        around all that reads."""
        return seen.step("export").timeline.checked_out > 0

    @mistake(shows="export")
    def made_in_one_piece(self, seen: Seen) -> bool:
        """The answer left in one piece, so all of it had been put together before: the rows, or the
        text, or both. Yield a piece for each part, and return a `StreamingResponse`."""
        return bool(seen["pieces"] == 1 and seen["ahead"] > AHEAD)

    @mistake(shows="export", marks=("sql SELECT",))
    def read_before_it_sent(self, seen: Seen) -> bool:
        """It streams, and what it streams had been read to the last row before the first one left:
        `all()`, a list, or a loop without `yield_per`, for which a session reads everything first.
        Add `execution_options(yield_per=500)` and loop over the result itself."""
        return bool(seen["ahead"] >= EXPORTED - 1)  # the first line has left

    @mistake(shows="export", marks=("sql SELECT",))
    def too_large_a_part(self, seen: Seen) -> bool:
        """It is read in parts, and a part is larger than agreed. The number in `yield_per` is how
        many rows are in memory at once: 500."""
        return bool(seen["ahead"] > AHEAD)

    @mistake(shows="export", marks=("sql SELECT",))
    def left_to_the_driver(self, seen: Seen) -> bool:
        """It is flat since SQLite's driver reads as it goes, and nobody asked it to: the loop runs
        over a bare connection, or `yield_per` came when the statement had been sent. PostgreSQL's
        driver would have all rows by then. Give it to the statement,
        `execution_options(yield_per=500)`."""
        asked = seen.step("export").timeline.of("sql")
        return any((one["rows"] or 0) > AHEAD and not one["streamed"] for one in asked)


# -- plans -----------------------------------------------------------------------------------------
_Plans = list[dict[str, Any]]
_SCAN = re.compile(r"SCAN (?:TABLE )?(?:parcel|orders)\b")
_NARROWED = re.compile(r"SEARCH .*\((.*)\)")


def _scans(plans: _Plans) -> bool:
    """Whether a table of the exercise is read from end to end, be it by way of an index."""
    return any(_SCAN.match(line) for one in plans for line in one["plan"])


def _expect_search(plans: _Plans, what: str, *columns: str) -> None:
    expect(
        bool(plans),
        saw=f"{what}: no SELECT was sent.",
        wanted="The database should be asked.",
    )
    for one in plans:
        lines = "; ".join(one["plan"])
        expect(
            not _scans([one]) and any(line.startswith("SEARCH") for line in one["plan"]),
            saw=f"{what}: the plan is `{lines}`.",
            wanted="It should be a SEARCH.",
            why="A SCAN reads every row, and takes longer with each one that is added.",
        )
        narrowed = " ".join(found[1] for line in one["plan"] if (found := _NARROWED.match(line)))
        missing = [column for column in columns if column not in narrowed]
        expect(
            not missing,
            saw=f"{what}: the plan is `{lines}`, so it is narrowed by `{narrowed}`.",
            wanted=f"It should be narrowed by {' and '.join(columns)}.",
        )


def _expect_no_sorting(plans: _Plans, what: str) -> None:
    for one in plans:
        expect(
            not any("TEMP B-TREE FOR ORDER BY" in line for line in one["plan"]),
            saw=f"{what}: the plan is `{'; '.join(one['plan'])}`.",
            wanted="Nothing should be left to sort: the index can have the rows in that order.",
        )


def _indexes(lab: Lab, table: str) -> list[dict[str, Any]]:
    """The indexes that the database has on a table, but that of its primary key."""
    return [
        {
            "name": one["name"],
            "partial": bool(one["partial"]),
            "columns": [
                str(row["name"]) for row in lab.rows(f"PRAGMA index_info({one['name']!r})")
            ],
        }
        for one in lab.rows(f"PRAGMA index_list({table})")
        if one["origin"] != "pk"
    ]


def _expect_no_idle_index(indexes: list[dict[str, Any]], plans: _Plans) -> None:
    used = [line.split() for one in plans for line in one["plan"]]
    idle = [one for one in indexes if not any(one["name"] in words for words in used)]
    expect(
        not idle,
        saw=f"No question was answered with the index on {_named(idle)}.",
        wanted="An index that nobody reads by should not be there.",
        why="It is written with every row.",
    )


def _named(indexes: list[dict[str, Any]]) -> str:
    return ", ".join(f"`({', '.join(one['columns'])})`" for one in indexes)


# -- pages -----------------------------------------------------------------------------------------
def _put_order(lab: Lab, day: str, number: int, total: int) -> None:
    lab.write(
        "INSERT INTO orders (id, placed, total) VALUES (:id, :placed, :total)",
        id=number,
        placed=f"{day} 08:00:00.000000",
        total=total,
    )


def _next(body: Any) -> Any:
    return body.get("next") if isinstance(body, dict) else None


def _shown(body: Any) -> list[int]:
    """The ids on a page, in its order."""
    orders = body.get("orders") if isinstance(body, dict) else None
    rows = orders if isinstance(orders, list) else []
    ids = [one.get("id") for one in rows if isinstance(one, dict)]
    return [one for one in ids if isinstance(one, int)]


def _read_through(seen: Seen) -> list[int]:
    return [one for step in seen.steps("pages") for one in _shown(step.body)]


# -- pieces ----------------------------------------------------------------------------------------
def _read_after_it_went_back(timeline: Timeline) -> bool:
    """Whether rows were fetched when no connection was out any more."""
    out, before = 0, 0
    for event in timeline:
        out += {"checkout": 1, "checkin": -1}.get(event.kind, 0)
        if event.kind == "chunk":
            read = int(event["read"] or 0)
            if out == 0 and 0 < before < read:
                return True
            before = read
    return False


def _without_repeats(timeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A timeline with three of the pieces that follow one another, at most."""
    kept: list[dict[str, Any]] = []
    for event in timeline:
        if any(one["kind"] != "chunk" for one in [*kept[-3:], event]) or len(kept) < 3:
            kept.append(event)
    return kept


def _first_difference(said: str, wanted: str) -> list[str] | None:
    """The lines in which two texts differ first."""
    for one, other in zip_longest(said.split("\n"), wanted.split("\n"), fillvalue="(nothing)"):
        if one != other:
            return [one[:80], other[:80]]
    return None


_PARCEL = "INSERT INTO parcel (customer_id, barcode, grams) VALUES (:customer_id, :barcode, :grams)"

EXERCISES = (TwoFilters, RightOrder, Keyset, Export)
