"""Lesson 09, N+1: counted, cured within a budget, found where no line shows it, and kept away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, StaticPool, column, create_engine, insert, select, table, text
from sqlalchemy.orm import Session, joinedload, lazyload, selectinload

from checks.exercise import Exercise, Model, Seen, Step, expect, mistake, requirement
from checks.observe.evidence import plain
from checks.observe.lab import Lab
from checks.words import counted


class CountStatements(Exercise):
    """`count_statements(engine)` lists the statements of a block, those alone, and stops with
    it."""

    id = "09.counter"
    title = "The counter"
    needs = {"count_statements": Callable}
    hints = (
        "Make the list, begin to listen, `yield` the list, and stop listening. Which of the four "
        "must happen even when the block raises?",
        '`event.listen(engine, "before_cursor_execute", listener)` and `event.remove` with the '
        "same three. The listener takes six arguments, and the third is the SQL.",
        'try:\n    yield sent\nfinally:\n    event.remove(engine, "before_cursor_execute", '
        "write_down)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        counting = lab["count_statements"]
        engine, other = _memory(), _memory()
        numbers = lab.random.sample(range(1_000, 10_000), 6)
        queries = [f"SELECT {number}" for number in numbers]
        a, b, c, before, after, elsewhere = queries
        writing = f"INSERT INTO words VALUES ('{lab.word()}')"
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE words (word TEXT)"))

        def ask(statement: str, on: Engine = engine) -> None:
            with on.begin() as connection:
                connection.execute(text(statement))

        def a_block(engine: Engine) -> Any:
            ask(before)
            with counting(engine) as sent:
                ask(a)
                ask(writing)
                ask(elsewhere, on=other)
                ask(b)
            ask(after)
            return sent

        def a_request(engine: Engine) -> Any:
            app = FastAPI()

            def two_queries() -> None:
                ask(a)
                ask(b)

            app.add_api_route("/", two_queries)
            with counting(engine) as sent:
                lab.request("GET", "/", app=app)
            return sent

        def a_block_that_raises(engine: Engine) -> Any:
            sent, came_through = None, False
            try:
                with counting(engine) as sent:
                    ask(a)
                    raise LookupError("raised in the block")
            except LookupError:
                came_through = True
            ask(after)
            return {"came_through": came_through, "sent": sent}

        listed: dict[str, Any] = {}  # filled on the way, which may end in an exception

        def two_at_once(engine: Engine) -> None:
            with counting(engine) as listed["outer"]:
                ask(a)
                with counting(engine) as listed["inner"]:
                    ask(b)
                ask(c)

        asked = "with count_statements(engine) as sent: ..."
        trials = {
            "block": a_block,
            "request": a_request,
            "raising": a_block_that_raises,
            "two": two_at_once,
        }
        seen: dict[str, Any] = {"queries": queries, "writing": writing}
        for name, trial in trials.items():
            seen[name] = lab.call(asked, trial, engine)
        seen["listed"] = plain(listed)
        engine.dispose()
        other.dispose()
        return seen

    @requirement(2, shows="block")
    def what_was_sent(self, seen: Seen) -> None:
        """The list holds the SQL of each statement that was sent, in order."""
        block, request = seen.step("block"), seen.step("request")
        a, b = seen["queries"][:2]
        expect(
            not block.error and _holds(block.body, [a, seen["writing"], b]),
            saw=f"The block sent `{a}`, `{seen['writing']}` and `{b}`, and {_came(block)}.",
            wanted="The list should hold these three, in this order.",
        )
        expect(
            not request.error and _holds(request.body, [a, b]),
            saw=f"An endpoint, asked within the block, sent `{a}` and `{b}`, and {_came(request)}.",
            wanted="The list should hold these two.",
            why="An endpoint runs in a thread of its own, and that is where you want to count.",
        )

    @requirement(1, shows="block")
    def and_nothing_else(self, seen: Seen) -> None:
        """What is sent before or after, or through another engine, is not in it."""
        block = seen.step("block")
        body = block.body if isinstance(block.body, list) else []
        strangers = [one for one in seen["queries"][3:] if one in body]
        expect(
            isinstance(block.body, list) and not strangers,
            saw=f"The block: {_came(block)}. "
            f"It has {', '.join(f'`{one}`' for one in strangers) or 'no list'} in it.",
            wanted="Only what this engine sent while the block ran should be in it.",
        )

    @requirement(2, shows="raising")
    def it_stops_in_any_case(self, seen: Seen) -> None:
        """When the block raises, the exception comes out, and nothing is counted from then on."""
        raising = seen.step("raising")
        body = raising.body if isinstance(raising.body, dict) else {}
        expect(
            not raising.error and body.get("came_through") is True,
            saw="The block raised a LookupError, and it did not come out"
            f"{f': {raising.error}: {raising.error_message}' if raising.error else ''}.",
            wanted="A counter should not touch exceptions.",
            why="A test that swallows them is green for ever.",
        )
        expect(
            _holds(body.get("sent"), seen["queries"][:1]),
            saw="One statement was sent before the block raised, and one when it was over. The "
            f"list: `{body.get('sent')}`.",
            wanted="The list should hold the first.",
        )

    @requirement(1, shows="two")
    def each_for_itself(self, seen: Seen) -> None:
        """Of two that run at once, each counts for itself."""
        two, listed = seen.step("two"), seen["listed"]
        a, b, c = seen["queries"][:3]
        outer, inner = listed.get("outer"), listed.get("inner")
        ended = f", and it ended in {two.error}: {two.error_message}" if two.error else ""
        expect(
            not two.error and _holds(outer, [a, b, c]) and _holds(inner, [b]),
            saw=f"An outer block sent `{a}` and `{c}`, and an inner one between them `{b}`. They "
            f"listed `{outer}` and `{inner}`{ended.rstrip('.')}.",
            wanted="The outer one should list all three, the inner one its own.",
        )

    @mistake(shows="block")
    def no_context_manager(self, seen: Seen) -> bool:
        """It cannot be used in a `with`. A generator function becomes a context manager by the
        decorator `@contextmanager` above it, and a class by `__enter__` and `__exit__`."""
        block = seen.step("block")
        return "context manager protocol" in block.error_message

    @mistake(shows="block")
    def other_arguments(self, seen: Seen) -> bool:
        """The listener is called with six arguments and takes others: its own error stopped the
        statement. Write all six, `(connection, cursor, statement, parameters, context,
        executemany)`, also those that you have no use for."""
        block = seen.step("block")
        return block.error == "TypeError" and "positional argument" in block.error_message

    @mistake(shows="block")
    def a_number(self, seen: Seen) -> bool:
        """The block was given a number, and a number that is handed out cannot grow any more. Hand
        out the list; whoever wants the number says `len(sent)`."""
        return type(seen.step("block").body) is int

    @mistake(shows="block")
    def handed_out_too_soon(self, seen: Seen) -> bool:
        """Statements were sent, and the list stayed empty. What the block holds must be the very
        list that is appended to: `sent.append(...)`. A `sent = sent + [...]` makes another, and a
        `yield seen.statements` gives what had been sent by then, which was nothing."""
        return _holds(seen.step("block").body, []) and _holds(seen.step("request").body, [])

    @mistake(shows="block")
    def not_the_text(self, seen: Seen) -> bool:
        """The list holds something other than the SQL. Of the listener's six arguments,
        `(connection, cursor, statement, parameters, context, executemany)`, the third is the
        text."""
        body = seen.step("block").body
        return isinstance(body, list) and bool(body) and not all(isinstance(e, str) for e in body)

    @mistake(shows="block")
    def every_engine(self, seen: Seen) -> bool:
        """A statement that went through **another** engine was counted too: the listener is on the
        class `Engine`, and so on all of them. Listen to the `engine` that you were given."""
        body = seen.step("block").body
        return isinstance(body, list) and seen["queries"][5] in body

    @mistake(shows="block")
    def never_stopped(self, seen: Seen) -> bool:
        """What was sent when the block was over has been counted as well: the listener is still
        there. After the `yield`, take it away: `event.remove` with the three arguments that
        `event.listen` had."""
        body = seen.step("block").body
        return isinstance(body, list) and seen["queries"][4] in body

    @mistake(shows="block")
    def only_selects(self, seen: Seen) -> bool:
        """The INSERT is not in the list. An N+1 may just as well be one of INSERTs or UPDATEs:
        count whatever comes by."""
        return _holds(seen.step("block").body, seen["queries"][:2])

    @mistake(shows="raising")
    def swallowed(self, seen: Seen) -> bool:
        """The block raised, and nobody heard of it: an `except` around the `yield` took the
        exception, or `__exit__` returned something true. `finally` cleans up and lets it pass."""
        body = seen.step("raising").body
        return isinstance(body, dict) and body.get("came_through") is False

    @mistake(shows="raising")
    def left_when_it_raised(self, seen: Seen) -> bool:
        """The block raised, and the counter went on counting: an exception comes up *at* the
        `yield`, so what follows it did not run. Put the `yield` into a `try`, and the
        `event.remove` into its `finally`."""
        body = seen.step("raising").body
        sent = body.get("sent") if isinstance(body, dict) else None
        return isinstance(sent, list) and seen["queries"][4] in sent

    @mistake(shows="two")
    def one_list_for_all(self, seen: Seen) -> bool:
        """Two counters ran at once, and they share one list, or one listener, which the first to
        leave takes away from both. Make list and listener inside `count_statements`, so that each
        call has its own."""
        outer, inner = seen["listed"].get("outer"), seen["listed"].get("inner")
        return isinstance(outer, list) and bool(outer) and outer == inner


class Budgets(Exercise):
    """Three endpoints answer as before, each within its budget of statements and rows."""

    id = "09.budgets"
    title = "Three endpoints and their budgets"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "For each endpoint: what does its answer show? That is what the query has to name, by an "
        "option for each relationship; and where it shows numbers, by functions instead.",
        "`/authors`: `selectinload(Author.books)`. `/books`: `joinedload(Book.author)` and a "
        "`selectinload` each for tags and reviews. `/sales`: select a name and two aggregates, "
        "`outerjoin` twice, `group_by(Author.id)`.",
        "A book comes once for each of its sales: `func.count(Book.id.distinct())`. The sum of "
        "nothing is NULL: `func.coalesce(func.sum(Sale.copies), 0)`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        stock = _stock(lab)
        return {
            "stock": stock,
            "authors": lab.request("GET", "/authors"),
            "books": lab.request("GET", "/books"),
            "sales": lab.request("GET", "/sales"),
        }

    @requirement(1, shows="authors")
    def authors(self, seen: Seen) -> None:
        """`GET /authors` answers as before, with two statements, and each row comes once."""
        stock = Stock(seen["stock"])
        _answers(seen.step("authors"), stock.with_books())
        _keeps_to(seen.step("authors"), 2, len(stock.authors) + len(stock.books))

    @requirement(2, shows="books")
    def books(self, seen: Seen) -> None:
        """`GET /books` answers as before, with four statements, and each row comes once."""
        stock = Stock(seen["stock"])
        _answers(seen.step("books"), stock.in_full())
        _keeps_to(seen.step("books"), 4, stock.most_rows(stock.books))

    @requirement(2, shows="sales")
    def sales(self, seen: Seen) -> None:
        """`GET /sales` answers as before, with one statement and a row for each author."""
        stock = Stock(seen["stock"])
        _answers(seen.step("sales"), stock.sold())
        _keeps_to(seen.step("sales"), 1, len(stock.authors))

    @mistake(shows="books", marks=("error",))
    def not_unique(self, seen: Seen) -> bool:
        """SQLAlchemy asks for `unique()`: by a join, an author or a book comes once for each thing
        that is joined to it. Say `session.scalars(query).unique()`, or take `selectinload`, which
        brings nothing twice."""
        return any("unique() method" in seen.step(name).error_message for name in _THREE)

    @mistake(shows="books", marks=("error",))
    def refused(self, seen: Seen) -> bool:
        """A `raiseload` did its work: the answer shows something that the query does not name. It
        stands in the error, as `'Book.tags' is not available`. Add an option that loads it."""
        return any("lazy='raise'" in seen.step(name).error_message for name in _THREE)

    @mistake(shows="books")
    def dropped(self, seen: Seen) -> bool:
        """The budget is kept because the answer has lost a part: whoever reads the shop's pages
        will miss it. Leave the schemas as they are, and let the query load what they show."""
        body = seen.step("books").body
        first = body[0] if isinstance(body, list) and body and isinstance(body[0], dict) else None
        return first is not None and not {"title", "author", "tags", "reviews"} <= set(first)

    @mistake(shows="authors", marks=("sql SELECT",))
    def authors_one_by_one(self, seen: Seen) -> bool:
        """`GET /authors` still asks for the books of each author by herself: the same SELECT comes
        again and again. Name them in the query: `.options(selectinload(Author.books))`."""
        return _repeats(seen.step("authors"), "book")

    @mistake(shows="books", marks=("sql SELECT",))
    def books_one_by_one(self, seen: Seen) -> bool:
        """`GET /books` still loads something book by book: the timeline shows one SELECT that comes
        again and again, and of which table. Each of author, tags and reviews needs an option of its
        own. A `join` loads nothing, and what does not wait (`immediateload`) is no cure."""
        return _repeats(seen.step("books"), "")

    @mistake(shows="books", marks=("sql SELECT",))
    def a_product(self, seen: Seen) -> bool:
        """Two collections were joined, and so each tag of a book came with each of its reviews:
        look at the number of rows. Join one collection at most, and load the others with
        `selectinload`."""
        return any(_joins_both(sql) for sql in seen.step("books").timeline.selects)

    @mistake(shows="sales", marks=("sql SELECT",))
    def sales_one_by_one(self, seen: Seen) -> bool:
        """`GET /sales` still asks for each author by herself. It shows two numbers and no book:
        have the database count and sum, in one `select(Author.name, func.count(...), ...)` with
        `group_by(Author.id)`."""
        return _repeats(seen.step("sales"), "")

    @mistake(shows="books", marks=("error",))
    def options_in_a_row(self, seen: Seen) -> bool:
        """One option was given two relationships, and goes from the first on to the second, which
        is not there. Side by side stand two options: `selectinload(Book.tags),
        selectinload(Book.reviews)`."""
        return any("does not link from" in seen.step(name).error_message for name in _THREE)

    @mistake(shows="authors", marks=("sql SELECT",))
    def more_than_shown(self, seen: Seen) -> bool:
        """`GET /authors` loads what it does not show: look at the tables in its statements. Name
        and books are the whole answer, so stop at `selectinload(Author.books)`."""
        tables = ("tag", "review", "sale")
        selects = seen.step("authors").timeline.selects
        return any(f"{word} {one}" in sql for sql in selects for word in _READS for one in tables)

    @mistake(shows="sales", marks=("sql SELECT",))
    def in_several_statements(self, seen: Seen) -> bool:
        """The database did the counting, in several statements, and Python put them together. One
        can do it all: two scalar subqueries beside `Author.name`, or two `outerjoin` and a
        `group_by(Author.id)`."""
        stock, sales = Stock(seen["stock"]), seen.step("sales")
        most = max((event["rows"] or 0 for event in sales.timeline.of("sql")), default=0)
        several = len(sales.timeline.statements) > 1 and most <= len(stock.authors)
        return several and _same(sales.body, stock.sold())

    @mistake(shows="sales", marks=("sql SELECT",))
    def counted_in_python(self, seen: Seen) -> bool:
        """The numbers are right, and every book and every sale was carried here to be counted: look
        at the rows. `func.count` and `func.sum` count where the rows are, and send one row for each
        author."""
        stock, sales = Stock(seen["stock"]), seen.step("sales")
        return _same(sales.body, stock.sold()) and sales.timeline.rows > len(stock.authors)

    @mistake(shows="sales")
    def sum_of_nothing(self, seen: Seen) -> bool:
        """An author has sold nothing, and the sum of nothing is not 0 but NULL, in Python None.
        Say what to put instead: `func.coalesce(func.sum(Sale.copies), 0)`."""
        sales = seen.step("sales")
        nones = any(one.get("copies", 0) is None for one in _objects(sales.body))
        return nones or ("copies" in sales.error_message and "valid int" in sales.error_message)

    @mistake(shows="sales", marks=("error",))
    def rows_as_they_come(self, seen: Seen) -> bool:
        """A row is not yet a `Sold`: it lacks the names `books` and `copies`. Label the two,
        `.label("books")` and `.label("copies")`, and make the objects: `Sold(**row)` for each of
        `session.execute(query).mappings()`."""
        return "Field required" in seen.step("sales").error_message

    @mistake(shows="sales", marks=("sql SELECT",))
    def nothing_joins_them(self, seen: Seen) -> bool:
        """Authors, books and sales stand side by side in the FROM, and nothing says which belong
        together, so everybody has everything: SQLAlchemy warns of a *cartesian product*. Say how
        they hang together: `.outerjoin(Author.books).outerjoin(Book.sales)`."""
        return any(
            ", " in sql.partition(" FROM ")[2].partition(" GROUP BY ")[0]
            and not any(word in sql for word in (" JOIN ", " WHERE ", "(SELECT"))
            for sql in seen.step("sales").timeline.selects
        )

    @mistake(shows="sales", marks=("sql SELECT",))
    def one_group(self, seen: Seen) -> bool:
        """The whole shop has become one entry: without a `group_by`, `count` and `sum` make one row
        of all there are. Say for whom to count: `group_by(Author.id)`."""
        sales = seen.step("sales")
        grouped = any(" GROUP BY " in sql for sql in sales.timeline.selects)
        return len(_objects(sales.body)) == 1 and not grouped

    @mistake(shows="sales", marks=("sql SELECT",))
    def groups_too_small(self, seen: Seen) -> bool:
        """There are more entries than authors: what is grouped by is smaller than an author, who
        comes once for each group. For a row an author: `group_by(Author.id)`."""
        stock, listed = Stock(seen["stock"]), _objects(seen.step("sales").body)
        return len(listed) > len(stock.authors)

    @mistake(shows="sales", marks=("sql SELECT",))
    def sales_for_copies(self, seen: Seen) -> bool:
        """`copies` is the number of sales, and a sale may be of several copies. Add them up:
        `func.sum(Sale.copies)`."""
        stock, listed = Stock(seen["stock"]), _objects(seen.step("sales").body)
        made = sorted(stock.sales_of(author) for author in stock.authors)
        return sorted(_number(one.get("copies")) for one in listed) == made

    @mistake(shows="sales", marks=("sql SELECT",))
    def namesakes(self, seen: Seen) -> bool:
        """Two authors with the same name have become one: they were grouped by it. Group by what
        tells them apart: `group_by(Author.id)`."""
        stock, listed = Stock(seen["stock"]), _objects(seen.step("sales").body)
        everybody = {author["name"] for author in stock.authors}
        complete = _same([one.get("name") for one in listed], list(everybody))
        return complete and len(everybody) < len(stock.authors)

    @mistake(shows="sales", marks=("sql SELECT",))
    def left_out(self, seen: Seen) -> bool:
        """An author without books, or whose books nobody has bought, is not in the list at all: a
        `join` keeps only those who have both. `outerjoin` keeps everybody."""
        stock, listed = Stock(seen["stock"]), _objects(seen.step("sales").body)
        return seen.step("sales").status == 200 and 0 < len(listed) < len(stock.authors)

    @mistake(shows="sales", marks=("sql SELECT",))
    def counted_the_empty_row(self, seen: Seen) -> bool:
        """An author without books has one, it says: an outer join gives her a row with nothing in
        it, and `count()` counts rows. `func.count(Book.id.distinct())` counts books."""
        stock = Stock(seen["stock"])
        bookless = [one["name"] for one in stock.sold() if one["books"] == 0]
        return any(
            one.get("name") in bookless and one.get("books") == 1
            for one in _objects(seen.step("sales").body)
        )

    @mistake(shows="sales", marks=("sql SELECT",))
    def counted_twice(self, seen: Seen) -> bool:
        """Some numbers are too large. Each book stands in the joined rows once for each sale, and
        with the reviews joined, each sale once for each review. Count each book once,
        `func.count(Book.id.distinct())`, and join nothing that you do not need for the sum."""
        right = {"books": 0, "copies": 0}
        found = dict(right)
        for one in Stock(seen["stock"]).sold():
            right = {key: right[key] + one[key] for key in right}
        for one in _objects(seen.step("sales").body):
            found = {key: found[key] + _number(one.get(key)) for key in found}
        return any(found[key] > right[key] for key in right)


class Hidden(Exercise):
    """A page of books sends four statements at most, is complete, and reads nothing but itself."""

    id = "09.hidden"
    title = "The hidden one"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "Record a request and look at what repeats: `with trace(app, engine) as seen:`. Which "
        "field of the schema asks for that table?",
        "`byline` and `stars` are properties of `Book`, in the cell with the models. Read what "
        "each looks at: the author, and the reviews. `tags` is what it says.",
        "page.options(joinedload(Book.author), selectinload(Book.reviews), "
        "selectinload(Book.tags))",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        stock = _stock(lab)
        # The card of a pass shows the first step. SQLAlchemy loads two collections in an order of
        # its own, which differs from process to process; of an empty page it loads none.
        return {
            "stock": stock,
            "beyond": lab.request("GET", "/books?offset=1000"),
            "page": lab.request("GET", "/books?limit=4"),
            "next": lab.request("GET", "/books?limit=4&offset=4"),
            "all": lab.request("GET", "/books?limit=100"),
        }

    @requirement(1, shows="page")
    def as_before(self, seen: Seen) -> None:
        """The pages show what they did: so many books from there on, each complete."""
        stock = Stock(seen["stock"])
        for name, books in _pages(stock).items():
            step = seen.step(name)
            expect(step.status == 200, saw=f"{step.heard}.", wanted="It should be a 200.")
            expect(
                _same(step.body, [stock.card(book) for book in books]),
                saw=f"`{step.asked}` does not answer as it did. "
                f"{_difference(step.body, [stock.card(book) for book in books])}",
                wanted=f"It should be the same {counted(len(books), 'book')} as before, with "
                "`byline`, `stars` and all their `tags`.",
            )

    @requirement(3, shows="all")
    def four_statements(self, seen: Seen) -> None:
        """At most four statements are sent, however long the page is."""
        for name in ("page", "all"):
            step = seen.step(name)
            sent, books = len(step.timeline.statements), len(_objects(step.body))
            expect(
                step.status == 200 and 0 < sent <= 4,
                saw=f"`{step.asked}` answered {step.status} with {counted(books, 'book')}, "
                f"and sent {counted(sent, 'statement')}.",
                wanted="It should be a 200 with at most four.",
            )

    @requirement(1, shows="page")
    def nothing_else(self, seen: Seen) -> None:
        """No other table is read, and no row of another page."""
        stock, page = Stock(seen["stock"]), seen.step("page")
        most = stock.most_rows(_pages(stock)["page"])
        expect(
            page.timeline.rows <= most,
            saw=f"`{page.asked}` shows 4 books, and read {counted(page.timeline.rows, 'row')}.",
            wanted=f"These books, with all that is shown of them, are {most}.",
        )
        expect(
            not any("sale" in sql for sql in page.timeline.selects),
            saw=f"For `{page.asked}`, sales were read, and none are shown.",
            wanted="Load what the answer shows.",
        )

    @mistake(shows="page", marks=("error",))
    def not_unique(self, seen: Seen) -> bool:
        """SQLAlchemy asks for `unique()`: by a join, a book comes once for each tag or review. Say
        `session.scalars(page).unique()`, or take `selectinload`, which brings nothing twice."""
        return "unique() method" in seen.step("page").error_message

    @mistake(shows="page", marks=("error",))
    def refused(self, seen: Seen) -> bool:
        """`raiseload` did its work: the schema reads something that the query does not name. It
        stands in the error, as `'Book.tags' is not available`. Name that one, too."""
        return "lazy='raise'" in seen.step("page").error_message

    @mistake(shows="page", marks=("error",))
    def not_a_relationship(self, seen: Seen) -> bool:
        """An option takes a relationship, and was given a property: the database knows no `byline`
        and no `stars`. Look up what the two read in `Book`, and name that: `Book.author`,
        `Book.reviews`."""
        return "expected ORM mapped attribute" in seen.step("page").error_message

    @mistake(shows="next", marks=("sql SELECT",))
    def always_the_first_page(self, seen: Seen) -> bool:
        """`offset=4` gives the same books as no offset: the query has lost its
        `.offset(offset)`."""
        first, second = seen.step("page").body, seen.step("next").body
        return bool(_objects(first)) and first == second

    @mistake(shows="next", marks=("sql SELECT",))
    def lost_the_bare(self, seen: Seen) -> bool:
        """A book without reviews or tags is on no page any more: a `join` keeps only those that
        have both sides. `outerjoin` keeps every book, and so does an option that loads."""
        stock, listed = Stock(seen["stock"]), _objects(seen.step("all").body)
        cards, found = map(stock.card, stock.books), {one.get("byline") for one in listed}
        missing = [card for card in cards if card["byline"] not in found]
        return bool(missing and listed) and all(card["stars"] is None for card in missing)

    @mistake(shows="page")
    def dropped(self, seen: Seen) -> bool:
        """The answer has lost a field, and with it the statements. That is quick, and it is another
        page. Leave `BookCard` as it is, and let the query load what it shows."""
        listed = _objects(seen.step("page").body)
        return bool(listed) and not {"byline", "stars", "tags"} <= set(listed[0])

    @mistake(shows="page", marks=("sql SELECT",))
    def cut_short(self, seen: Seen) -> bool:
        """The page has lost books, or books have lost tags: the `LIMIT` cuts the *joined rows*, and
        a book is as many of them as it has tags or reviews. `contains_eager` believes whatever is
        left. Let `selectinload` fetch collections, and the `LIMIT` counts books."""
        stock, body = Stock(seen["stock"]), seen.step("page").body
        listed = _objects(body)
        right = [stock.card(book) for book in _pages(stock)["page"]]
        fewer = len(listed) < len(right)
        poorer = sum(len(_objects(one.get("tags"))) for one in listed) < sum(
            len(one["tags"]) for one in right
        )
        return listed == body and (fewer or poorer)

    @mistake(shows="all", marks=("sql SELECT",))
    def behind_the_byline(self, seen: Seen) -> bool:
        """An author is fetched for book after book. `byline` is text to the schema, and a property
        of `Book` that reads `self.author.name`. Load the author with the books:
        `joinedload(Book.author)`."""
        return _repeats(seen.step("all"), "author")

    @mistake(shows="all", marks=("sql SELECT",))
    def behind_the_stars(self, seen: Seen) -> bool:
        """Reviews are fetched book by book. `stars` is a number to the schema, and a property of
        `Book` that goes through `self.reviews`. Load them with the books:
        `selectinload(Book.reviews)`."""
        return _repeats(seen.step("all"), "review")

    @mistake(shows="all", marks=("sql SELECT",))
    def behind_the_schema(self, seen: Seen) -> bool:
        """Tags are fetched book by book, after your `return`: `response_model` reads the field
        `tags` from each book. Load them with the books: `selectinload(Book.tags)`."""
        return _repeats(seen.step("all"), "tag")

    @mistake(shows="page", marks=("sql SELECT",))
    def a_product(self, seen: Seen) -> bool:
        """Tags and reviews were both joined, so each tag of a book came with each of its reviews:
        look at the number of rows. Load each with a `selectinload` of its own."""
        return any(_joins_both(sql) for sql in seen.step("page").timeline.selects)

    @mistake(shows="page", marks=("sql SELECT",))
    def more_than_the_page(self, seen: Seen) -> bool:
        """More was read than the page shows: other pages, cut off in Python, or tables that the
        answer does not have. Leave `limit` and `offset` in the query, and name only what
        `BookCard` reads."""
        stock, page = Stock(seen["stock"]), seen.step("page")
        too_many = page.timeline.rows > stock.most_rows(_pages(stock)["page"])
        return too_many or any("sale" in sql for sql in page.timeline.selects)


class Guard(Exercise):
    """`check_growth(app, engine)` passes lean apps and stops every other."""

    id = "09.guard"
    title = "The guard"
    needs = {"check_growth": Callable, "Base": type, "Author": Model, "Book": Model, "Tag": Model}
    hints = (
        "Fill the shop a little, count each endpoint's statements, fill it up, count again. Where "
        "do the paths come from, and what if one answers 503?",
        '`app.openapi()["paths"]` has them all, routers included: take those with a `get` whose '
        "path has no `{` in it. `with trace(engine) as seen:` counts, in `seen.statements`.",
        "fill(engine, 2); few = {path: statements(path) for path in paths}; fill(engine, 8); and "
        "then assert statements(path) <= few[path] for each, and a status of 200 on every answer.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        apps = _Apps(lab["Author"], lab["Book"], lab["Tag"])
        seen: dict[str, Any] = {"authors": {}}
        for name in (*_LEAN, *_BAD):
            engine = _memory()
            lab["Base"].metadata.create_all(engine)
            app = getattr(apps, name)(engine)
            seen[name] = lab.call("check_growth(app, engine)", lab["check_growth"], app, engine)
            with engine.connect() as connection:
                filled = connection.execute(text("SELECT count(*) FROM author")).scalar_one()
            seen["authors"][name] = filled
            engine.dispose()
        return seen

    @requirement(1, shows="lean")
    def lean_apps_pass(self, seen: Seen) -> None:
        """An app whose endpoints do not grow passes."""
        for name in _LEAN:
            step = seen.step(name)
            expect(
                not step.error,
                saw=f"On an app whose endpoints send four statements at most, {_raised(step)}.",
                wanted="It should return.",
                why="A guard that cries wolf is switched off within the week.",
            )

    @requirement(2, shows="lazy")
    def an_n_plus_one_is_stopped(self, seen: Seen) -> None:
        """An endpoint with an N+1 is stopped, be it one level down or two, to many or to one."""
        for name in ("lazy", "deep", "to_one"):
            self._stops(seen, name)

    @requirement(2, shows="router")
    def whatever_the_endpoint(self, seen: Seen) -> None:
        """It is stopped in any endpoint, be it the app's second or one that came by a router."""
        for name in ("second", "router"):
            self._stops(seen, name)

    @requirement(1, shows="broken")
    def an_error_is_stopped(self, seen: Seen) -> None:
        """An endpoint that answers with an error is stopped."""
        self._stops(seen, "broken")

    def _stops(self, seen: Seen, name: str) -> None:
        expect(
            bool(seen.step(name).error),
            saw=f"`check_growth` let an app through {_BAD[name]}.",
            wanted="It should raise an AssertionError.",
        )

    @mistake(shows="lazy")
    def returned_a_verdict(self, seen: Seen) -> bool:
        """`check_growth` *returns* what it found, and nobody looks: to pytest, a test that returns
        has passed. `assert` it."""
        return not seen.step("lazy").error and seen.step("lazy").body is not None

    @mistake(shows="lean", marks=("request",))
    def asked_without_an_id(self, seen: Seen) -> bool:
        """A lean app was stopped, because of `/books/{book_id}`: that path needs an id, and none
        was put in, so it answered 422. Leave out the paths that have a `{` in them."""
        step = seen.step("lean")
        asked = " ".join(str(one["path"]) for one in step.timeline.of("request"))
        return bool(step.error) and ("{" in asked or "%7B" in asked.upper())

    @mistake(shows="lean", marks=("request",))
    def asked_what_is_not_there(self, seen: Seen) -> bool:
        """A lean app was stopped because it has no such endpoint as your guard asks for, or none
        that answers to GET: it knows the paths of one app by heart. Ask the app for them:
        `app.openapi()["paths"]`, and of these, those with a `get`."""
        steps = [seen.step(name) for name in _LEAN]
        return any(one.error and {404, 405} & set(one.timeline.statuses) for one in steps)

    @mistake(shows="lean", marks=("request",))
    def grew_from_nothing(self, seen: Seen) -> bool:
        """A lean app was stopped, since its first count was taken in an empty shop. Where there are
        no authors, `selectinload` has no books to ask for and sends one statement less. `fill` a
        little before the first count, too."""
        step = seen.step("lean")
        kinds = _fills_and_requests(step)
        return step.error == "AssertionError" and kinds[:1] == ["request"] and "fill" in kinds

    @mistake(shows="lean")
    def too_strict(self, seen: Seen) -> bool:
        """A lean app was stopped. It sends the same few statements for many authors as for few, one
        for each level of its answer. Do not ask that they be one or two; ask that they do not
        grow, or allow four, to each endpoint and not to all together."""
        steps = [seen.step(name) for name in _LEAN]
        return any(one.error == "AssertionError" for one in steps)

    @mistake(shows="lazy", marks=("request",))
    def an_empty_shop(self, seen: Seen) -> bool:
        """The worst of N+1s went through, because the shop was empty: with N = 0 it is one
        statement. Fill the shop before you count: `fill(engine, 10)`."""
        return not seen.step("lazy").error and seen["authors"].get("lazy") == 0

    @mistake(shows="lazy", marks=("request",))
    def too_few(self, seen: Seen) -> bool:
        """The shop was filled, but so sparsely that 1 + N was still within your budget. Take ten
        authors, say, or compare few with many."""
        return not seen.step("lazy").error and 0 < seen["authors"].get("lazy", 0) <= 3

    @mistake(shows="lazy", marks=("request",))
    def compared_like_with_like(self, seen: Seen) -> bool:
        """Each endpoint was asked twice, and between the two the shop had not grown: of course the
        numbers are equal. Ask, then `fill`, then ask again."""
        kinds = _fills_and_requests(seen.step("lazy"))
        asked = [place for place, kind in enumerate(kinds) if kind == "request"]
        grew = len(asked) > 1 and "fill" in kinds[asked[0] : asked[-1]]
        return not seen.step("lazy").error and len(asked) > 1 and not grew

    @mistake(shows="lazy", marks=("request",))
    def raised_nothing(self, seen: Seen) -> bool:
        """No app was stopped, not even the one that answers 503, though the shop was filled and the
        endpoints were asked. A `print` stops nobody: `assert`. And count on the `engine` that you
        were given, for that is what these apps use."""
        asked = bool(seen.step("lazy").timeline.of("request"))
        return asked and not any(seen.step(name).error for name in (*_LEAN, *_BAD))

    @mistake(shows="second", marks=("request",))
    def one_endpoint(self, seen: Seen) -> bool:
        """An N+1 in one endpoint was stopped, and one in another went through: your guard does not
        look at every path. Go through all of `app.openapi()["paths"]`."""
        return _stops_some(seen) and not seen.step("second").error

    @mistake(shows="router", marks=("request",))
    def passed_over_the_router(self, seen: Seen) -> bool:
        """An endpoint that came by `include_router` was never asked: on this FastAPI `app.routes`
        keeps it folded up inside one entry, which has no path. `app.openapi()["paths"]` has it."""
        asked = [one["path"] for one in seen.step("router").timeline.of("request")]
        overlooked = not seen.step("router").error and "/shelf/tags" not in asked
        return _stops_some(seen) and overlooked

    @mistake(shows="broken", marks=("request", "response"))
    def counted_an_error_page(self, seen: Seen) -> bool:
        """An endpoint that answers 503 went through. An error page sends the fewest statements of
        all. Look at the status as well: `assert answer.status_code == 200`."""
        return _stops_some(seen) and not seen.step("broken").error


# -- 09.counter ----------------------------------------------------------------------------------
def _memory() -> Engine:
    return create_engine(
        "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
    )


def _holds(found: Any, statements: list[str]) -> bool:
    return isinstance(found, list) and bool(found == statements)


def _came(step: Step) -> str:
    if step.error:
        return f"it ended in {step.error}: {step.error_message}"
    return f"what the block was given is `{step.body}`"


# -- a shop of the check's own --------------------------------------------------------------------
_THREE = ("authors", "books", "sales")
_READS = ("FROM", "JOIN")  # what stands before a table in a SELECT


class Stock:
    """What is in the shop, and what its endpoints should make of it."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        self.authors, self.books, self._tags = rows["author"], rows["book"], rows["tag"]
        self._tagged, self._reviews, self._sales = rows["book_tag"], rows["review"], rows["sale"]

    def _of(self, rows: list[dict[str, Any]], book: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in rows if one["book_id"] == book["id"]]

    def _words(self, book: dict[str, Any]) -> list[dict[str, Any]]:
        words = {one["id"]: one["word"] for one in self._tags}
        return [{"word": words[one["tag_id"]]} for one in self._of(self._tagged, book)]

    def _name(self, book: dict[str, Any]) -> str:
        names = [one["name"] for one in self.authors if one["id"] == book["author_id"]]
        return str(names[0])

    def _by(self, author: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in self.books if one["author_id"] == author["id"]]

    def with_books(self) -> list[dict[str, Any]]:
        """What `GET /authors` shows."""
        return [
            {
                "name": author["name"],
                "books": [{"title": b["title"], "price": b["price"]} for b in self._by(author)],
            }
            for author in self.authors
        ]

    def in_full(self) -> list[dict[str, Any]]:
        """What `GET /books` shows."""
        return [
            {
                "title": book["title"],
                "author": {"name": self._name(book)},
                "tags": self._words(book),
                "reviews": [{"stars": one["stars"]} for one in self._of(self._reviews, book)],
            }
            for book in self.books
        ]

    def sold(self) -> list[dict[str, Any]]:
        """What `GET /sales` shows."""
        return [
            {
                "name": author["name"],
                "books": len(self._by(author)),
                "copies": sum(sale["copies"] for sale in self._sold_by(author)),
            }
            for author in self.authors
        ]

    def sales_of(self, author: dict[str, Any]) -> int:
        """How many sales there were of an author's books, of however many copies each."""
        return len(self._sold_by(author))

    def _sold_by(self, author: dict[str, Any]) -> list[dict[str, Any]]:
        return [sale for book in self._by(author) for sale in self._of(self._sales, book)]

    def card(self, book: dict[str, Any]) -> dict[str, Any]:
        """What a page of books shows of one."""
        given = [one["stars"] for one in self._of(self._reviews, book)]
        return {
            "byline": f"{book['title']}, by {self._name(book)}",
            "stars": sum(given) / len(given) if given else None,
            "tags": self._words(book),
        }

    def most_rows(self, books: list[dict[str, Any]]) -> int:
        """How many rows these books are, with authors, tags and reviews, when each comes once."""
        authors = {one["author_id"] for one in books}
        hung = sum(
            len(self._of(self._tagged, one)) + len(self._of(self._reviews, one)) for one in books
        )
        return len(books) + len(authors) + hung


def _stock(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """Empty the learner's shop and fill it anew: namesakes, a bookless author, an unsold one."""
    names = [lab.word().title() for _ in range(4)]
    authors = [{"id": n, "name": name} for n, name in enumerate([*names, names[0], lab.word()], 1)]
    tags = [{"id": number, "word": lab.word()} for number in range(1, 9)]
    rows: dict[str, list[dict[str, Any]]] = {
        "author": authors,
        "book": [],
        "tag": tags,
        "book_tag": [],
        "review": [],
        "sale": [],
    }
    for number in range(1, 12):  # the sixth author has none
        book = {"id": number, "author_id": (number - 1) % 5 + 1}
        rows["book"].append(book | {"title": lab.word().title(), "price": lab.number(500, 3_000)})
        if number == 6:  # and this book has nothing but a title
            continue
        chosen = lab.random.sample(tags, lab.number(3, 4))
        rows["book_tag"] += [{"book_id": number, "tag_id": one["id"]} for one in chosen]
        rows["review"] += [
            {"book_id": number, "stars": lab.number(1, 5)} for _ in range(lab.number(4, 5))
        ]
        if book["author_id"] != 3:  # whose books nobody buys
            rows["sale"] += [
                {"book_id": number, "copies": lab.number(2, 9)} for _ in range(lab.number(2, 3))
            ]
    for name in reversed(rows):
        lab.write(f"DELETE FROM {name}")
    for name, content in rows.items():
        target = table(name, *(column(one) for one in content[0]))
        lab.write(insert(target).values(content))
    return rows


def _pages(stock: Stock) -> dict[str, list[dict[str, Any]]]:
    """The books that belong on each page that was asked for."""
    books = stock.books
    return {"page": books[:4], "next": books[4:8], "all": books, "beyond": []}


# -- what is asked of an answer --------------------------------------------------------------------
def _same(found: Any, wanted: Any) -> bool:
    """Whether two answers hold the same, in whatever order their lists are."""
    return bool(_sorted(found) == _sorted(wanted))


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return sorted((_sorted(one) for one in value), key=repr)
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=repr)}
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> int:
    return value if type(value) is int else 0


def _repeats(step: Step, table: str) -> bool:
    """Whether one SELECT, of this table or any, was sent three times or more."""
    wanted = [sql for sql in step.timeline.selects if f"FROM {table}" in sql]
    return bool(wanted) and max(Counter(wanted).values()) > 2


def _joins_both(sql: str) -> bool:
    """Whether a statement joins two collections of a book."""
    joined = sql.partition(" FROM ")[2]
    return "book_tag" in joined and " review" in joined


def _answers(step: Step, wanted: Any) -> None:
    expect(
        step.status == 200,
        saw=f"{step.heard}.",
        wanted="It should be a 200, as before.",
    )
    expect(
        _same(step.body, wanted),
        saw=f"`{step.asked}` does not answer as it did. {_difference(step.body, wanted)}",
        wanted="Only the number of statements and rows should change.",
    )


def _difference(found: Any, wanted: list[Any]) -> str:
    listed = [_sorted(one) for one in found] if isinstance(found, list) else []
    missing = [one for one in wanted if _sorted(one) not in listed]
    example = f"`{missing[0]}` is missing" if missing else "There is more in it than there was"
    return f"{example}; it has {_told(found)}."


def _told(body: Any) -> str:
    return counted(len(body), "entry", "entries") if isinstance(body, list) else f"`{body}`"


def _keeps_to(step: Step, statements: int, rows: int) -> None:
    sent = len(step.timeline.statements)
    expect(
        0 < sent <= statements,
        saw=f"`{step.asked}` sent {counted(sent, 'statement')}.",
        wanted=f"Its budget is {statements}." if sent else "It should ask the database.",
    )
    expect(
        step.timeline.rows <= rows,
        saw=f"`{step.asked}` sent {counted(sent, 'statement')}, and "
        f"{counted(step.timeline.rows, 'row')} came back.",
        wanted=f"{rows} are enough for what it shows.",
    )


# -- 09.guard --------------------------------------------------------------------------------------
_LEAN = ("lean", "lean_by_join")
_BAD = {
    "lazy": "that asks for the books of each author by herself",
    "deep": "that loads the books at once, and the tags of each book by itself",
    "to_one": "that asks for the author of book after book",
    "second": "whose first endpoint is lean and whose second is an N+1",
    "router": "whose N+1 is in an endpoint that came by `include_router`",
    "broken": "whose endpoint answers 503",
}


def _stops_some(seen: Seen) -> bool:
    """Whether the guard tells lean apps from the worst one."""
    return bool(seen.step("lazy").error) and not any(seen.step(name).error for name in _LEAN)


def _fills_and_requests(step: Step) -> list[str]:
    """In which order a guard filled the shop and asked."""
    return [
        "fill" if event.kind == "sql" else "request"
        for event in step.timeline.of("request", "sql")
        if event.kind == "request" or event["sql"].startswith("INSERT")
    ]


def _raised(step: Step) -> str:
    return f"`check_growth` raised {step.error}: {step.error_message.rstrip('.')}"


def _one_book(book_id: int) -> dict[str, int]:
    return {"id": book_id}


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _WordOut(_Out):
    word: str


class _TitleOut(_Out):
    title: str


class _TaggedOut(_TitleOut):
    tags: list[_WordOut]


class _AuthorOut(_Out):
    name: str
    books: list[_TitleOut]


class _AuthorInFull(_Out):
    name: str
    books: list[_TaggedOut]


class _NameOut(_Out):
    name: str


class _ByOut(_TitleOut):
    author: _NameOut


class _TagOut(_Out):
    word: str
    books: list[_TitleOut]


class _Apps:
    """Apps on the lesson's tables to let a guard loose on, lean ones and others.

    Each query says how everything is loaded, so that it does not matter what the models say.
    """

    def __init__(self, author: Any, book: Any, tag: Any) -> None:
        self._author, self._book, self._tag = author, book, tag

    def lean(self, engine: Engine) -> FastAPI:
        app = FastAPI()
        self._authors(app, engine, _AuthorInFull, self._in_full(tags="selectinload"))
        self._books(app, engine, selectinload)
        app.add_api_route("/books/{book_id}", _one_book)
        app.add_api_route("/authors", lambda: None, methods=["POST"])
        return app

    def lean_by_join(self, engine: Engine) -> FastAPI:
        app, router = FastAPI(), APIRouter(prefix="/shelf")
        self._books(app, engine, joinedload)
        self._tags(router, engine, selectinload)
        app.include_router(router)
        app.add_api_route("/orders", lambda: None, methods=["POST"])
        return app

    def lazy(self, engine: Engine) -> FastAPI:
        app = FastAPI()
        self._authors(app, engine, _AuthorOut, lazyload(self._author.books))
        return app

    def deep(self, engine: Engine) -> FastAPI:
        app = FastAPI()
        self._authors(app, engine, _AuthorInFull, self._in_full(tags="lazyload"))
        return app

    def to_one(self, engine: Engine) -> FastAPI:
        app = FastAPI()
        self._books(app, engine, lazyload)
        return app

    def second(self, engine: Engine) -> FastAPI:
        app = FastAPI()
        self._authors(app, engine, _AuthorOut, selectinload(self._author.books))
        self._books(app, engine, lazyload)
        return app

    def router(self, engine: Engine) -> FastAPI:
        app, router = FastAPI(), APIRouter(prefix="/shelf")
        self._authors(app, engine, _AuthorOut, selectinload(self._author.books))
        self._tags(router, engine, lazyload)
        app.include_router(router)
        return app

    def broken(self, engine: Engine) -> FastAPI:
        app = FastAPI()

        def closed() -> None:
            raise HTTPException(503, "Not today.")

        app.add_api_route("/authors", closed)
        return app

    def _in_full(self, *, tags: str) -> Any:
        return getattr(selectinload(self._author.books), tags)(self._book.tags)

    def _authors(self, app: Any, engine: Engine, schema: type[BaseModel], option: Any) -> None:
        _list(app, engine, "/authors", schema, select(self._author).options(option))

    def _books(self, app: Any, engine: Engine, load: Any) -> None:
        _list(app, engine, "/books", _ByOut, select(self._book).options(load(self._book.author)))

    def _tags(self, app: Any, engine: Engine, load: Any) -> None:
        _list(app, engine, "/tags", _TagOut, select(self._tag).options(load(self._tag.books)))


def _list(app: Any, engine: Engine, path: str, schema: type[BaseModel], query: Any) -> None:
    def listed() -> Any:
        with Session(engine) as session:
            return [schema.model_validate(one) for one in session.scalars(query).unique()]

    app.add_api_route(path, listed)


EXERCISES = (CountStatements, Budgets, Hidden, Guard)
