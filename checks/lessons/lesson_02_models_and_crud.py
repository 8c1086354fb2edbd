"""Lesson 02, models and CRUD: what belongs together, in pages, changed in part, deleted whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine, StaticPool, column, create_engine, event, insert, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, WriteOnlyCollection

from checks.exercise import Exercise, Model, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab, LearnersError
from checks.words import counted

NOBODY = 999_999  # an id that nothing has


class Relationship(Exercise):
    """A review is by a customer who exists, a customer has reviews, and the two ends are tied."""

    id = "02.relationship"
    title = "The relationship"
    needs = {"Customer": Model, "Review": Model}
    hints = (
        "`Author` and `Book`, at the top of the lesson, are tied in just this way.",
        "Three lines: a column `customer_id` with a `ForeignKey`, and a `relationship` in each "
        "class whose `back_populates` names the other.",
        'customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id")); '
        'customer: Mapped["Customer"] = relationship(back_populates="reviews"); '
        'reviews: Mapped[list["Review"]] = relationship(back_populates="customer")',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        customer_class, review_class = lab["Customer"], lab["Review"]
        people, reviews = customer_class.__table__, review_class.__table__
        name, words = lab.word(), [lab.word(), lab.word()]
        own = _strict_engine()

        def by_the_list() -> bool:
            customer, review = customer_class(name=name), review_class(words=words[0])
            _put_into(customer.reviews, review)
            return review.customer is customer

        def by_the_customer() -> bool | None:
            customer = customer_class(name=name)
            review = review_class(words=words[0], customer=customer)
            there = _members(customer.reviews)
            return None if there is None else any(one is review for one in there)

        def keep() -> None:
            with Session(own) as session, session.begin():
                customer = customer_class(name=name)
                session.add(customer)
                session.add_all(review_class(words=one, customer=customer) for one in words)

        def read_back() -> dict[str, Any]:
            with Session(own) as session:
                customer = session.scalars(
                    select(customer_class).where(people.c.name == name)
                ).one()
                held = customer.reviews
                members = (
                    session.scalars(held.select()).all()
                    if isinstance(held, WriteOnlyCollection)
                    else _members(held)
                )
                back = session.scalars(select(review_class).order_by(review_class.id)).all()
                return {
                    "many": members is not None,
                    "words": sorted(str(one.words) for one in members or ()),
                    "by": [getattr(one.customer, "name", None) for one in back],
                }

        def said_to(**values: Any) -> str | None:
            """Put in a review past the models; tell what the database said against it."""
            try:
                with own.begin() as connection:
                    connection.execute(insert(reviews).values(words=lab.word(), **values))
            except SQLAlchemyError as error:
                return f"{type(error).__name__}: {str(error).splitlines()[0]}"
            return None

        with warnings.catch_warnings(action="ignore"):
            seen: dict[str, Any] = {
                "name": name,
                "words": sorted(words),
                "columns": list(reviews.c.keys()),
                "wrong_side": any(key.references(reviews) for key in people.foreign_keys),
                "set_up": lab.call(
                    "setting up the models", lambda: customer_class.registry.configure(cascade=True)
                ),
                "made": lab.call("create_all()", lambda: reviews.metadata.create_all(own)),
                "by_the_list": lab.call("customer.reviews", by_the_list),
                "by_the_customer": lab.call("Review(customer=...)", by_the_customer),
                "kept": lab.call("saving two reviews", keep),
                "read": lab.call("reading them back", read_back),
            }
            referring = [one.key for one in reviews.c if one.foreign_keys or "customer" in one.key]
            seen["key"] = referring[0] if referring else None
            seen["of_nobody"] = said_to(**{referring[0]: NOBODY}) if referring else None
            seen["by_none"] = said_to()
        own.dispose()
        return seen

    @requirement(1)
    def both_ways(self, seen: Seen) -> None:
        """From a customer you get to all their reviews, and from a review to its customer."""
        for name in ("set_up", "made", "kept", "read"):
            step = seen.step(name)
            expect(
                step.error is None,
                saw=f"A customer and two reviews were tried out, and {step.asked} ended in "
                f"{step.error}: {step.error_message.rstrip('.')}.",
                wanted="They should be saved and found again.",
            )
        read = seen.step("read").body
        expect(
            read["many"] and read["words"] == seen["words"],
            saw="A customer wrote two reviews. Read back, `customer.reviews` "
            + (f"holds {len(read['words'])}." if read["many"] else "is not a collection."),
            wanted="It should hold both.",
        )
        expect(
            read["by"] == [seen["name"]] * 2,
            saw="Read back from the database, `review.customer` is not the customer who wrote it.",
            wanted="It should be, for both reviews.",
        )

    @requirement(1)
    def tied(self, seen: Seen) -> None:
        """Setting one end sets the other, before the database is asked."""
        expect(
            seen.step("set_up").error is None,
            saw="The models could not be set up, so neither end could be tried.",
            wanted="Mend that first.",
        )
        for name, saw in (
            ("by_the_list", "A review was put into `customer.reviews`, and its `customer`"),
            ("by_the_customer", "A review was given its `customer`, whose `reviews`"),
        ):
            step = seen.step(name)
            expect(
                step.error is None,
                saw=f"{step.asked} ended in {step.error}: {step.error_message}.",
                wanted="Both ends should be there to be set.",
            )
            expect(
                step.body is not False,
                saw=f"{saw} did not know of it.",
                wanted="Each end should set the other.",
                why="Until it is read back, your code would believe the wrong one.",
            )

    @requirement(2)
    def must_exist(self, seen: Seen) -> None:
        """The database refuses a review by nobody, and one without a customer."""
        expect(
            seen["key"] is not None,
            saw=f"The table `review` has the columns {', '.join(seen['columns'])}, and none of "
            "them says whose review it is.",
            wanted='There should be one with a foreign key, `ForeignKey("customer.id")`.',
        )
        for said, what in (
            (seen["of_nobody"], "by a customer who does not exist"),
            (seen["by_none"], "without a customer"),
        ):
            expect(
                "constraint failed" in (said or ""),
                saw=f"A review {what} was put in, and "
                + (f"the database said `{said}`." if said else "the database took it."),
                wanted="A constraint should refuse it.",
            )

    @mistake()
    def no_foreign_key(self, seen: Seen) -> bool:
        """SQLAlchemy does not see how the two tables hang together: no column of `review` has a
        foreign key to `customer`. Write `customer_id: Mapped[int] =
        mapped_column(ForeignKey("customer.id"))`: the `ForeignKey` inside `mapped_column`, and in
        it the table and its column, in small letters."""
        said = _set_up_said(seen)
        return "Could not determine join condition" in said or "for ForeignKey" in said

    @mistake()
    def the_column_by_that_name(self, seen: Seen) -> bool:
        """`customer` is a column here, and so it holds a number. It takes two attributes: the
        column is `customer_id`, and `customer` is the way to walk,
        `Mapped["Customer"] = relationship(...)`."""
        return "customer" in seen["columns"]

    @mistake()
    def the_wrong_name(self, seen: Seen) -> bool:
        """A `back_populates` names something that is not there. It wants the name of the *other*
        class's attribute: `reviews` when it stands in `Review`, `customer` when it stands in
        `Customer`."""
        return "has no property" in _set_up_said(seen)

    @mistake()
    def on_the_wrong_side(self, seen: Seen) -> bool:
        """The foreign key stands in `Customer`, so that a customer has room for one review. It
        belongs where the many are: each review says whose it is, with a `customer_id` in `Review`.
        """
        return bool(seen["wrong_side"])

    @mistake()
    def one_and_not_many(self, seen: Seen) -> bool:
        """`customer.reviews` holds one review at most, and the others cannot be reached: the
        annotation says so. A list is `Mapped[list["Review"]]`."""
        read = seen.step("read")
        return bool(read.error is None and read.body["many"] is False)

    @mistake()
    def not_tied(self, seen: Seen) -> bool:
        """The two ends do not know each other: one was set, and the other did not follow. Each
        `relationship` must name the other: `back_populates="customer"` in `Customer`,
        `back_populates="reviews"` in `Review`."""
        return False in (seen.step("by_the_list").body, seen.step("by_the_customer").body)

    @mistake()
    def may_be_missing(self, seen: Seen) -> bool:
        """A review without a customer was taken: its foreign key may be NULL. Write `Mapped[int]`,
        without `| None`; in a classic `Column` it takes `nullable=False`."""
        return seen["by_none"] is None and seen["of_nobody"] is not None


class BookList(Exercise):
    """Books are listed filtered, sorted and in pages; each is on one page, and the total is that of
    all."""

    id = "02.list"
    title = "The list"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "The signature does half of it: `int | None = None` for what may be left out, `Literal` "
        "for `sort`, `Annotated[int, Query(ge=..., le=...)]` for the numbers.",
        "Start with `query = select(Book)`, narrow it with `where` for each filter that `is not "
        "None`, count it, and only then put order, limit and offset on it.",
        "query.order_by(Book.price.desc(), Book.id).limit(limit).offset(offset), and "
        "total = session.scalar(select(func.count()).select_from(query.subquery()))",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        _empty_shop(lab)
        here, there, *ids = lab.random.sample(range(10_000, 900_000), 28)
        _author(lab, here)
        _author(lab, there)
        price = lab.number(500, 900)
        names = [lab.word().title() for _ in range(3)]
        makeup = [
            (here if number < 16 else there, names[number % 3], number % 3 * price)
            for number in range(26)
        ]
        lab.random.shuffle(makeup)
        books = _put_books(lab, ids, makeup)

        def asked(query: str) -> Any:
            return lab.request("GET", f"/books{query}")

        def paged(sort: str, by: str) -> list[Any]:
            """Both pages; after the first one the database finds another order for equals."""
            way = "DESC" if sort.startswith("-") else "ASC"
            first = asked(f"?sort={sort}&limit=13")
            lab.write(f"CREATE INDEX lab_order ON book ({by} {way}, id DESC)")
            second = asked(f"?sort={sort}&limit=13&offset=13")
            lab.write("DROP INDEX lab_order")
            return [first, second]

        return {
            "books": books,
            "author": there,
            "other": here,
            "price": price,
            "plain": asked(""),
            "by_author": asked(f"?author_id={there}&limit=100"),
            "free": asked("?max_price=0&limit=100"),
            "cheap": asked(f"?max_price={price}&limit=100"),
            "both": asked(f"?author_id={here}&max_price={price}&limit=100"),
            # Sorted so that those which do not match would come first.
            "three": asked(f"?author_id={here}&max_price={price}&sort=-price&limit=3"),
            "nobodys": asked(f"?author_id={NOBODY}"),
            "by_title": paged("title", "title"),
            "by_price": paged("price", "price"),
            "by_price_down": paged("-price", "price"),
            "refused": [
                asked(query)
                for query in ("?limit=-1", "?limit=0", "?limit=101", "?offset=-1", "?sort=isbn")
            ],
        }

    @requirement(1, shows="plain")
    def a_page(self, seen: Seen) -> None:
        """Without parameters, the answer is 200 with `total` and the first 20 `books`."""
        plain = seen.step("plain")
        expect(
            plain.status == 200,
            saw=f"{plain.heard}.",
            wanted="It should answer 200 with a page.",
        )
        books = _books_in(plain)
        expect(
            len(books) == 20 and all(_as_stored(seen, one) for one in books),
            saw=f"There are 26 books, and the answer holds {len(books)} under `books`"
            + (", not all of them as they are in the table." if len(books) == 20 else "."),
            wanted="It should hold 20, each as `BookOut` says.",
        )

    @requirement(2, shows="both")
    def filters(self, seen: Seen) -> None:
        """`author_id` and `max_price` narrow the list, alone or together; a price of 0 counts."""
        for name, text in (
            ("by_author", "of that author"),
            ("cheap", f"for {seen['price']} cents or less"),
            ("free", "at a price of 0"),
            ("both", f"of that author for {seen['price']} cents or less"),
            ("nobodys", "of an author who does not exist"),
        ):
            step = seen.step(name)
            wanted, found = _matching(seen, name), _ids(step)
            expect(
                step.status == 200 and set(found) == set(wanted) and len(found) == len(wanted),
                saw=f"{step.heard}, with {len(found)} books.",
                wanted=f"It should list the {len(wanted)} books {text}, and no others."
                if wanted
                else f"There is no book {text}, so the list should be empty.",
            )
        three = seen.step("three")
        expect(
            three.status == 200 and len(_ids(three)) == 3 and _fits(seen, three, "three"),
            saw=f"{three.heard}, with {len(_ids(three))} books, "
            f"{len(set(_ids(three)) & set(_matching(seen, 'three')))} of which match both filters.",
            wanted="It should hold 3 books, and all of them should match.",
        )

    @requirement(1, shows="three")
    def total(self, seen: Seen) -> None:
        """`total` counts all books that match, on whatever page you are."""
        for name in ("plain", "three", "nobodys"):
            step, wanted = seen.step(name), len(_matching(seen, name))
            expect(
                _total(step) == wanted,
                saw=f"`{step.asked}` matches {wanted} books, and `total` was {_total(step)!r}.",
                wanted=f"It should be {wanted}.",
            )

    @requirement(2, shows="by_price_down")
    def each_once(self, seen: Seen) -> None:
        """In every order, going through the pages gives each book once, sorted throughout."""
        for name, key, down in _ORDERS:
            pages = seen.steps(name)
            for page in pages:
                expect(
                    page.status == 200,
                    saw=f"{page.heard}.",
                    wanted="It should answer 200 with a page.",
                )
            ids = [one for page in pages for one in _ids(page)]
            expect(
                _in_order(seen, ids, key, down),
                saw=f"From page to page, the books of `{pages[0].asked}` are not in order.",
                wanted=f"They should be sorted by {key}, "
                f"{'the largest' if down else 'the smallest'} first.",
            )
            doubled, missing = len(ids) - len(set(ids)), len(seen["books"]) - len(set(ids))
            expect(
                not doubled and not missing,
                saw=f"There are 26 books, and a reader of both pages of `{pages[0].asked}` met "
                f"{doubled} a second time and {missing} never.",
                wanted="Each book should be on exactly one page.",
            )

    @requirement(1, shows="plain")
    def bounded(self, seen: Seen) -> None:
        """A limit outside 1 to 100, an offset below 0 and an unknown sort are answered with 422."""
        for step in seen.steps("refused"):
            expect(
                step.status in (400, 422),
                saw=f"{step.heard}.",
                wanted="That should be a 422.",
            )

    @requirement(1, shows="plain")
    def cut_by_the_database(self, seen: Seen) -> None:
        """The database does the counting and the cutting: no more books are read than are shown."""
        plain = seen.step("plain")
        read = _most_read(plain)
        expect(
            plain.status == 200 and read <= 20,
            saw=f"For a page of 20 books, one SELECT read {read} rows."
            if plain.status == 200
            else f"{plain.heard}.",
            wanted="It should read no more than it shows.",
            why="With 100,000 books, each page would read them all.",
        )

    @mistake(shows="free")
    def zero_is_something(self, seen: Seen) -> bool:
        """`max_price=0` was taken for *not given*: 0 is false in Python, and so `if max_price:`
        does not let it in. Ask what you mean: `if max_price is not None:`."""
        return _exact(seen, "cheap") and len(_ids(seen.step("free"))) == len(seen["books"])

    @mistake(shows="both")
    def one_filter_at_a_time(self, seen: Seen) -> bool:
        """Each filter works, but together only one of them does: the other was dropped, as by an
        `elif`, or by a second `select(Book)`. Narrow what is there: `query = query.where(...)`."""
        alone = _exact(seen, "by_author") and _exact(seen, "cheap")
        return alone and not _fits(seen, seen.step("both"), "both")

    @mistake(shows="by_author", marks=("sql",))
    def narrowed_nothing(self, seen: Seen) -> bool:
        """No filter had any effect: all books came, for an author and for a price. A query does not
        change: `query.where(...)` gives a *new* one, which has to be kept, as in
        `query = query.where(...)`."""
        everything = sorted(book["id"] for book in seen["books"])
        return all(sorted(_ids(seen.step(name))) == everything for name in ("by_author", "cheap"))

    @mistake(shows="three")
    def total_of_everything(self, seen: Seen) -> bool:
        """`total` counts the whole table, whatever was asked for: the SELECT that counts knows
        nothing of the filters. Count the query that you have narrowed:
        `select(func.count()).select_from(query.subquery())`."""
        counted = [_total(seen.step(name)) for name in ("plain", "three", "nobodys")]
        return _exact(seen, "by_author") and counted == [len(seen["books"])] * 3

    @mistake(shows="plain")
    def total_of_the_page(self, seen: Seen) -> bool:
        """`total` is the number of books on this page, so that a reader thinks there are no others.
        Count all that match, before `limit` and `offset`."""
        return len(_ids(seen.step("plain"))) == 20 and bool(_total(seen.step("plain")) == 20)

    @mistake(shows="plain", marks=("sql SELECT book",))
    def not_cut(self, seen: Seen) -> bool:
        """All 26 books came, where 20 were due: nothing cut the list. A query does not change:
        `query.limit(...)` gives a *new* one, which has to be kept, or passed on at once."""
        plain, (first, second) = seen.step("plain"), seen.steps("by_price")
        return len(_ids(plain)) == len(_ids(first)) == len(_ids(second)) == len(seen["books"])

    @mistake(shows="by_price", marks=("sql SELECT book",))
    def by_id_instead(self, seen: Seen) -> bool:
        """Whatever was asked for, the books came in the order of their ids. Either `Book.id` stands
        first in `order_by`, and leaves nothing for the rest to decide: put it last. Or the order
        was not kept: `query.order_by(...)` gives a *new* query."""
        return all(
            len(ids := [one for page in seen.steps(name) for one in _ids(page)]) > 1
            and ids == sorted(ids)
            for name, _, _ in _ORDERS
        )

    @mistake(shows="by_price")
    def offset_is_not_a_page(self, seen: Seen) -> bool:
        """The second page is empty, and there are more books. `offset` is how many books to leave
        out of the whole list: not the number of a page, to be multiplied by `limit`, and not a
        slice of a page that is cut already. Give it to the query: `.limit(limit).offset(offset)`.
        """
        pages = seen.steps("by_price")
        return [len(_ids(page)) for page in pages] == [13, 0]

    @mistake(shows="by_price")
    def always_the_first_page(self, seen: Seen) -> bool:
        """Every page is the first one: `offset` is asked for and not used. Give it to the query:
        `.limit(limit).offset(offset)`."""
        first, second = (_ids(page) for page in seen.steps("by_price"))
        return bool(first) and first == second

    @mistake(shows="three")
    def cut_first(self, seen: Seen) -> bool:
        """The page was cut first, and only then filtered or sorted: what is on it is right, and
        what should be on it is somewhere else. First `where`, then `order_by`, then `limit`, all
        of them in one SELECT."""
        three, whole = seen.step("three"), _exact(seen, "both")
        short = whole and len(_ids(three)) < 3 and _fits(seen, three, "three")
        return short or any(
            all(_in_order(seen, _ids(page), key, down) for page in seen.steps(name))
            and all(len(_ids(page)) for page in seen.steps(name))
            and not _in_order(
                seen, [one for page in seen.steps(name) for one in _ids(page)], key, down
            )
            for name, key, down in _ORDERS
        )

    @mistake(shows="by_price")
    def no_total_order(self, seen: Seen) -> bool:
        """Some books were on two pages and others on none. Equal prices, or equal titles, may come
        in any order, and the database took another one for the next page (the lab gave it an
        index meanwhile). Leave nothing open: put `Book.id` at the end of `order_by`."""
        return any(
            (ids := [one for page in seen.steps(name) for one in _ids(page)])
            and len(ids) == len(seen["books"])
            and len(set(ids)) < len(ids)
            and _in_order(seen, ids, key, down)
            for name, key, down in _ORDERS
        )

    @mistake(shows="plain")
    def no_ceiling(self, seen: Seen) -> bool:
        """A `limit` of -1, of 0 or of 101, or an `offset` of -1, was accepted. Where there is no
        bound, whoever asks for everything gets it, and SQLite takes -1 for just that. Bound both in
        the signature, as the exercise says:
        `limit: Annotated[int, Query(ge=1, le=100)] = 20`."""
        accepted = [step for step in seen.steps("refused")[:4] if step.status == 200]
        return bool(accepted) and len(_ids(seen.step("plain"))) == 20

    @mistake(shows="plain")
    def any_sort_goes(self, seen: Seen) -> bool:
        """An unknown `sort` was not turned away: it was ignored, or became a 500. A choice from a
        list is said in the signature: `Literal["title", "price", "-price"]`."""
        sort = seen.steps("refused")[4]
        return sort.status in (200, 500) and len(_ids(seen.step("plain"))) == 20

    @mistake(shows="plain", marks=("sql SELECT book",))
    def cut_in_python(self, seen: Seen) -> bool:
        """The page is right, and for it all books were read: see the rows of the SELECT. A slice,
        or a `len()`, cuts what has been fetched already. Let the database do it, with `limit`,
        `offset` and `func.count()`."""
        return seen.step("plain").status == 200 and _most_read(seen.step("plain")) > 20


class ChangeWhatWasSent(Exercise):
    """A PATCH changes what was sent, erases what was sent as null, and leaves the rest alone."""

    id = "02.patch"
    title = "Change only what was sent"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "In the schema every field may be left out. Which of the four may also be null?",
        "`change.model_dump(exclude_unset=True)` has what was sent, and nothing else; `setattr` "
        "each on the book. Then `session.flush()` inside a `try`, for the 409.",
        "title: str | MISSING = MISSING, but blurb: str | None = None. And for name, value in "
        "change.model_dump(exclude_unset=True).items(): setattr(book, name, value)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        _empty_shop(lab)
        # Each attempt has a book of its own, so that one mistake does not show in the next.
        names = "all", "one", "several", "erase", "free", "null", "taken", "own", "more"
        author, other, *ids = lab.random.sample(range(10_000, 900_000), 2 + len(names))
        _author(lab, author)
        _author(lab, other)
        makeup = [(author, lab.word().title(), lab.number(500, 900)) for _ in names]
        books = dict(zip(names, _put_books(lab, ids, makeup), strict=True))
        title, price = lab.word().title(), lab.number(1000, 2000)
        isbn, blurb = f"978{lab.number(10**9, 10**10 - 1)}", lab.word()
        whole = {"isbn": f"977{isbn[3:]}", "title": title, "blurb": blurb, "price": price}
        sent: dict[str, dict[str, Any]] = {
            "all": whole,
            "one": {"title": title},
            "several": {"isbn": isbn, "blurb": blurb, "price": price},
            "erase": {"blurb": None},
            "free": {"price": 0},
            "null": {"title": None},
            "taken": {"isbn": books["one"]["isbn"]},
            "own": {"isbn": books["own"]["isbn"], "price": price},
            "more": {"price": price, "id": NOBODY, "author_id": other},
        }
        seen: dict[str, Any] = {"before": books, "sent": sent}
        for name in names:
            seen[name] = lab.request("PATCH", f"/books/{books[name]['id']}", json=sent[name])
        seen["unknown"] = lab.request("PATCH", f"/books/{NOBODY + 1}", json={"price": price})
        rows = lab.rows("SELECT id, isbn, title, blurb, price, author_id FROM book")
        seen["after"] = {
            name: next((row for row in rows if row["id"] == books[name]["id"]), None)
            for name in names
        }
        return seen

    @requirement(2, shows="one")
    def changes(self, seen: Seen) -> None:
        """What was sent is changed, and the answer is the whole book as it now is."""
        for name in ("all", "one", "several", "own"):
            step, row = seen.step(name), seen["after"][name] or {}
            expect(
                step.status == 200,
                saw=f"{step.heard} to {_fields(seen, name)}.",
                wanted="It should be answered with 200.",
            )
            kept = all(row.get(field) == value for field, value in seen["sent"][name].items())
            expect(
                kept,
                saw=f"{step.heard} to {_fields(seen, name)}, and afterwards that is not what is in "
                "the table.",
                wanted="What was sent should be kept.",
            )
            expect(
                row != {} and _same(step.body, row),
                saw=f"The body was `{step.body}`.",
                wanted=f"It should be the whole book: `{row}`.",
            )

    @requirement(2, shows="one")
    def leaves_the_rest(self, seen: Seen) -> None:
        """What was not sent stays as it is."""
        for name in ("one", "several", "erase", "free", "own"):
            before, after = seen["before"][name], seen["after"][name] or {}
            lost = [
                field
                for field, value in before.items()
                if field not in seen["sent"][name] and after.get(field) != value
            ]
            expect(
                not lost,
                saw=f"A PATCH with {_fields(seen, name)} also changed {' and '.join(lost)}.",
                wanted="What was not sent should be as it was.",
            )
        one = seen.step("one")
        expect(
            one.status == 200,
            saw=f"{one.heard} to {_fields(seen, 'one')}.",
            wanted="A PATCH with only a title should be possible.",
        )

    @requirement(1, shows="erase")
    def erases(self, seen: Seen) -> None:
        """Null erases the blurb, and a price can be set to 0."""
        for name, field, value in (("erase", "blurb", None), ("free", "price", 0)):
            step, row = seen.step(name), seen["after"][name] or {field: "gone"}
            expect(
                step.status == 200 and row[field] == value,
                saw=f"{step.heard} to {_fields(seen, name)}, and `{field}` is now {row[field]!r}.",
                wanted=f"It should be {value!r}.",
            )

    @requirement(1, shows="null")
    def refuses_null(self, seen: Seen) -> None:
        """Null for a title is answered with 422, and changes nothing."""
        null = seen.step("null")
        expect(
            null.status in (400, 422),
            saw=f"{null.heard} to a title of null.",
            wanted="That should be a 422.",
        )
        expect(
            seen["after"]["null"] == seen["before"]["null"],
            saw="The client heard that it was wrong, and the book has changed all the same.",
            wanted="It should be as it was.",
        )

    @requirement(1, shows="taken")
    def turns_away(self, seen: Seen) -> None:
        """An unknown book is a 404; another book's ISBN is a 409, and changes nothing."""
        unknown, taken = seen.step("unknown"), seen.step("taken")
        routed = seen.step("all").status != 404  # FastAPI's own 404 is no credit
        expect(
            unknown.status == 404 and routed,
            saw=f"{unknown.heard}, for a book that does not exist"
            + ("." if routed else ", as for one that does."),
            wanted="That should be a 404, and only that.",
        )
        expect(
            taken.status == 409 and seen["after"]["taken"] == seen["before"]["taken"],
            saw=f"{taken.heard} to the ISBN of another book.",
            wanted="That should be a 409, and the book should be as it was.",
        )

    @requirement(1, shows="more")
    def nothing_else(self, seen: Seen) -> None:
        """Only those four can be changed: neither the id nor the author."""
        more = seen["after"]["more"] or {}
        step, before = seen.step("more"), seen["before"]["more"]
        expect(
            more.get("author_id") == before["author_id"],
            saw=f"{step.heard} to {_fields(seen, 'more')}, and the book has another "
            f"{'author' if more else 'id'} now.",
            wanted="What cannot be changed should be ignored, or be refused with a 422.",
        )
        expect(
            step.status in (200, 400, 422),
            saw=f"{step.heard} to {_fields(seen, 'more')}.",
            wanted="What cannot be changed should be ignored, or be refused with a 422.",
        )

    @mistake(shows="one")
    def asks_for_everything(self, seen: Seen) -> bool:
        """A PATCH with only a title was refused: the schema demands the other fields too. A type
        with `| None` may be null and must still be sent; what may be left out has a default."""
        one = seen.step("one")
        return one.status == 422 and any(
            complaint["type"] == "missing" and "body" in str(complaint["loc"])
            for complaint in _complaints(one.body)
        )

    @mistake(shows="all", marks=("commit",))
    def commits_itself(self, seen: Seen) -> bool:
        """Your endpoint commits. That ends the transaction whose `with ... begin()` block stands in
        `get_session`, and the book can no longer be read for the answer. Leave the commit to that
        block; for the complaint, `session.flush()` is enough."""
        every = seen.step("all")
        unread = every.error == "ResponseValidationError" or every.body == {}
        return unread and every.timeline.commits > 0

    @mistake(shows="all")
    def not_a_book(self, seen: Seen) -> bool:
        """The endpoint ran to its end, and what it returned is not what `BookOut` asks for: a
        ResponseValidationError. So the client heard 500, and the change was rolled back. Return
        the book, the object itself."""
        return seen.step("all").error == "ResponseValidationError"

    @mistake(shows="more", marks=("sql UPDATE",))
    def took_everything(self, seen: Seen) -> bool:
        """A client has changed the id or the author of a book, simply by sending one: whatever
        came in was set. The schema is the list of what may be changed; take those four into it,
        and set nothing that has not been through it."""
        more, before = seen["after"]["more"], seen["before"]["more"]
        return more is None or more["author_id"] != before["author_id"]

    @mistake(shows="one", marks=("sql UPDATE",))
    def every_book(self, seen: Seen) -> bool:
        """One book was to be changed, and the UPDATE has no WHERE: it changes all of them. Write
        `update(Book).where(Book.id == book_id)`, or get the book and set its attributes."""
        return any(
            sql.startswith("UPDATE book") and " WHERE " not in sql
            for sql in seen.step("one").timeline.writes
        )

    @mistake(shows="one", marks=("sql UPDATE",))
    def changed_the_rest(self, seen: Seen) -> bool:
        """Only a title was sent, and your endpoint set the rest as well: `model_dump()` gives out
        the schema's defaults for what was not sent, as if it had been. Ask for what was sent:
        `model_dump(exclude_unset=True)`."""
        before, after = seen["before"]["one"], seen["after"]["one"] or {}
        one = seen.step("one")
        lost = any(after.get(name) != before[name] for name in ("isbn", "blurb", "price"))
        # Or nothing was lost, since NOT NULL or the answer's schema stood in the way.
        stopped = one.status == 409 or one.error in ("IntegrityError", "ResponseValidationError")
        return lost or (stopped and seen.step("all").status == 200)

    @mistake(shows="free")
    def zero_is_something(self, seen: Seen) -> bool:
        """A price of 0 was sent, and ignored: 0 is false in Python, as null and an empty text are,
        so `if change.price:` does not let it in. Ask whether it was sent:
        `model_dump(exclude_unset=True)`."""
        free, row = seen.step("free"), seen["after"]["free"]
        ignored = free.status == 200 and row == seen["before"]["free"]
        return ignored and (seen["after"]["all"] or {}).get("price") == seen["sent"]["all"]["price"]

    @mistake(shows="all")
    def not_all_four(self, seen: Seen) -> bool:
        """All four fields were sent at once, and only some of them arrived. What is not in the
        schema is dropped without a word: `isbn`, `title`, `blurb` and `price` must all be in it.
        """
        step, row = seen.step("all"), seen["after"]["all"] or {}
        kept = [row.get(name) == value for name, value in seen["sent"]["all"].items()]
        return step.status == 200 and any(kept) and not all(kept)

    @mistake(shows="erase")
    def cannot_erase(self, seen: Seen) -> bool:
        """A blurb of null was sent, to erase it, and was ignored: `exclude_none`,
        `exclude_defaults` and `if value is not None` all take null for *not sent*. They are two
        wishes. Ask whether it was sent: `model_dump(exclude_unset=True)`."""
        erase, row = seen.step("erase"), seen["after"]["erase"]
        return erase.status == 200 and row == seen["before"]["erase"] and _title_was_changed(seen)

    @mistake(shows="one")
    def not_kept(self, seen: Seen) -> bool:
        """The answer shows the new title, and the table has the old one: something else was
        changed than the object that the session watches, or in a session that nobody commits. Get
        the book with `session.get`, from the `SessionDep`, and set its attributes."""
        one, row = seen.step("one"), seen["after"]["one"] or {}
        answered = isinstance(one.body, dict) and one.body.get("title")
        return (
            one.status == 200
            and answered == seen["sent"]["one"]["title"]
            and row.get("title") == seen["before"]["one"]["title"]
        )

    @mistake(shows="null")
    def null_is_a_500(self, seen: Seen) -> bool:
        """A title of null came as far as the database, or as the answer, and became a 500: the
        schema lets it in, because its type says `| None`. What may be left out but not be null is
        `title: str | MISSING = MISSING`."""
        return seen.step("null").status == 500 and _title_was_changed(seen)

    @mistake(shows="null")
    def null_is_a_conflict(self, seen: Seen) -> bool:
        """A title of null was answered with 409, in the words for a taken ISBN: the schema let it
        in, the database refused it, and one `except IntegrityError` caught both. Let the schema
        refuse it: `title: str | MISSING = MISSING`."""
        return seen.step("null").status == 409 and _title_was_changed(seen)

    @mistake(shows="null")
    def null_is_ignored(self, seen: Seen) -> bool:
        """A title of null was answered with 200, and nothing was done. The client asked for
        something that cannot be, and should hear that: 422, from a schema whose type does not
        allow null, `title: str | MISSING = MISSING`."""
        ignored = bool(seen["after"]["null"] == seen["before"]["null"])
        return seen.step("null").status == 200 and ignored and _title_was_changed(seen)

    @mistake(shows="own")
    def taken_by_itself(self, seen: Seen) -> bool:
        """A book was sent with the ISBN that it has already, and was told that it is taken, by
        itself. Leave the book out of your search (`Book.id != book_id`), or let the database
        decide: `session.flush()` in a `try`."""
        return seen.step("own").status == 409 and _title_was_changed(seen)

    @mistake(shows="taken")
    def taken_is_a_500(self, seen: Seen) -> bool:
        """The database refused the ISBN, as it should, and nobody told the client what that means:
        the IntegrityError became a 500. Catch it where the UPDATE is sent, around
        `session.flush()`, and raise `HTTPException(409, ...)`."""
        return "UNIQUE constraint failed" in seen.step("taken").error_message

    @mistake(shows="unknown")
    def returned_not_raised(self, seen: Seen) -> bool:
        """An HTTPException was *returned*, and to FastAPI that is an answer like any other: it was
        to be the JSON. `raise` it."""
        return any(seen.step(name).returned_the_exception for name in ("unknown", "taken"))

    @mistake(shows="unknown")
    def nobody_at_home(self, seen: Seen) -> bool:
        """There is no such book, and your endpoint went on without it. Look at what you got
        (`session.get` gives None), and raise `HTTPException(404, ...)`."""
        unknown = seen.step("unknown")
        told = ("AttributeError", "NoResultFound", "ResponseValidationError")
        stumbled = unknown.status == 200 or unknown.error in told
        return stumbled and _title_was_changed(seen)


class NoOrphans(Exercise):
    """A club goes together with its meetings and their notes, whoever deletes it."""

    id = "02.delete"
    title = "No orphans"
    needs = {"app": FastAPI, "club_engine": Engine}
    hints = (
        "On the timeline, what comes between the SELECT and the DELETE? Which column lets it?",
        "Two relationships and two foreign keys decide. Who shall delete, the ORM "
        "(`cascade=...`), the database (`ondelete=...`), or your endpoint?",
        'relationship(..., cascade="all, delete-orphan", passive_deletes=True) in `Club` and in '
        '`Meeting`; ForeignKey(..., ondelete="CASCADE") and `Mapped[int]` in `Meeting` and `Note`.',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        ids = lab.random.sample(range(10_000, 900_000), len(_CLUBS))
        clubs = dict(zip(_CLUBS, ids, strict=True))
        for name, club in clubs.items():
            _club(lab, club, _CLUBS[name])
        seen: dict[str, Any] = {
            "deleted": lab.request("DELETE", f"/clubs/{clubs['deleted']}"),
            "empty": lab.request("DELETE", f"/clubs/{clubs['empty']}"),
            "unknown": lab.request("DELETE", f"/clubs/{NOBODY}"),
            "after": {name: _of_club(lab, club) for name, club in clubs.items()},
            "orphans": _orphans(lab),
            "plain_said": None,
        }
        try:
            lab.write(
                "DELETE FROM club WHERE id = :club", engine="club_engine", club=clubs["plain"]
            )
        except LearnersError as error:
            seen["plain_said"] = f"{error.trouble.type}: {error.trouble.message}"
        seen["after_plain"] = _of_club(lab, clubs["plain"])
        seen["orphans_after_plain"] = _orphans(lab)
        seen["nulls_after_plain"] = sum(
            len(lab.rows(f"SELECT 1 FROM {child} WHERE {key} IS NULL", engine="club_engine"))
            for child, key in (("meeting", "club_id"), ("note", "meeting_id"))
        )
        return seen

    @requirement(1, shows="deleted")
    def it_goes(self, seen: Seen) -> None:
        """A club is deleted, with 204; an unknown one is a 404."""
        for name in ("deleted", "empty"):
            step = seen.step(name)
            expect(
                step.status in (200, 204) and not seen["after"][name]["club"],
                saw=f"{step.heard}, and the club is "
                f"{'still there' if seen['after'][name]['club'] else 'gone'}.",
                wanted="It should be answered with 204, and the club should be gone.",
            )
        unknown = seen.step("unknown")
        expect(
            unknown.status == 404,
            saw=f"{unknown.heard}, for a club that does not exist.",
            wanted="That should be a 404.",
        )

    @requirement(2, shows="deleted")
    def nothing_is_left(self, seen: Seen) -> None:
        """With the club go its meetings and their notes."""
        deleted, orphans = seen["after"]["deleted"], seen["orphans"]
        expect(
            not deleted["club"] and not deleted["meeting"] and not deleted["note"],
            saw=f"A club with 2 meetings and 4 notes was deleted. {seen.step('deleted').heard}, "
            f"and the tables still hold {counted(deleted['meeting'], 'meeting')} of it and "
            f"{counted(deleted['note'], 'note')}, "
            f"{orphans['meeting'] + orphans['note']} of them orphans.",
            wanted="None of it should be left.",
        )

    @requirement(1, shows="deleted")
    def the_others_stay(self, seen: Seen) -> None:
        """Other clubs keep their meetings and notes."""
        other = seen["after"]["other"]
        expect(
            other == {"club": 1, "meeting": 2, "note": 4},
            saw="Another club had 2 meetings and 4 notes. Now it has "
            f"{counted(other['meeting'], 'meeting')} and {counted(other['note'], 'note')}.",
            wanted="It should have what it had.",
        )

    @requirement(1)
    def whoever_deletes(self, seen: Seen) -> None:
        """A club that is deleted in plain SQL leaves no orphans either, or is refused."""
        orphans = seen["orphans_after_plain"]["meeting"] + seen["orphans_after_plain"]["note"]
        new = orphans - seen["orphans"]["meeting"] - seen["orphans"]["note"]
        expect(
            new <= 0,
            saw=f"`DELETE FROM club WHERE id = ...` left {counted(new, 'orphan')}.",
            wanted="Either nothing of the club should be left, or the database should refuse.",
        )

    @mistake(shows="deleted")
    def on_the_side_of_the_many(self, seen: Seen) -> bool:
        """The cascade stands on the wrong side: there it says that a *club* goes with its meeting,
        and SQLAlchemy refuses. It belongs on the side of the *one*: on `Club.meetings` and on
        `Meeting.notes`."""
        return "For many-to-one relationship" in seen.step("deleted").error_message

    @mistake(shows="deleted", marks=("sql UPDATE",))
    def the_orm_got_there_first(self, seen: Seen) -> bool:
        """The foreign key says `ondelete="CASCADE"`, and a plain DELETE does take everything along.
        But the ORM does not know that, and got there first: see the UPDATE that takes the children
        away from their parent. Tell it to leave them alone, with `passive_deletes=True` on the
        relationship, or to delete them, with `cascade="all, delete-orphan"`."""
        gone = {"club": 0, "meeting": 0, "note": 0}
        return _takes_away(seen) and seen["plain_said"] is None and seen["after_plain"] == gone

    @mistake(shows="deleted", marks=("sql UPDATE",))
    def refused_by_not_null(self, seen: Seen) -> bool:
        """NOT NULL now saves the children, and with them the club, which cannot be deleted any
        more. The ORM still takes the children away first, with the UPDATE on the timeline. Say on
        the relationship what shall become of them: `cascade="all, delete-orphan"`."""
        return _refused(seen, "NOT NULL constraint failed")

    @mistake(shows="deleted", marks=("sql DELETE",))
    def parents_first(self, seen: Seen) -> bool:
        """The database refused: a parent was to be deleted while it still had children. Delete
        from the bottom (notes, meetings, club), or have the database take them along, with
        `ondelete="CASCADE"` on **both** foreign keys."""
        return _refused(seen, "FOREIGN KEY constraint failed")

    @mistake(shows="deleted", marks=("sql UPDATE note",))
    def only_one_step_down(self, seen: Seen) -> bool:
        """The meetings are gone, and their notes are left without a meeting: the first step is
        mended, the second is not. What `Club` says of its meetings, `Meeting` must say of its
        notes."""
        after = seen["after"]["deleted"]
        return not after["club"] and not after["meeting"] and after["note"] > 0

    @mistake(shows="deleted", marks=("sql UPDATE meeting",))
    def taken_away(self, seen: Seen) -> bool:
        """The meetings are still there, and belong to no club. Nobody deleted them: the ORM took
        them away from the club, with the UPDATE on the timeline that sets `club_id` to NULL. That
        is the default of a relationship. Say what you want instead, on `Club.meetings` and on
        `Meeting.notes`: `cascade="all, delete-orphan"`; and a `club_id` that cannot be NULL would
        have told you."""
        return _takes_away(seen) and seen["orphans"]["meeting"] > 0

    @mistake(shows="deleted")
    def set_to_null(self, seen: Seen) -> bool:
        """The database made the orphans itself: a foreign key with `ondelete="SET NULL"` keeps the
        children and empties their column. For parts of a whole it is `ondelete="CASCADE"`, and a
        column that cannot be NULL."""
        return bool(
            not _takes_away(seen) and seen["plain_said"] is None and seen["nulls_after_plain"]
        )

    @mistake(shows="deleted")
    def nobody_looks(self, seen: Seen) -> bool:
        """There are meetings of a club that does not exist, so the database does not look at its
        foreign keys. Keep `club_engine = strict_engine()`, which says `PRAGMA foreign_keys = ON` on
        each connection, and `create_all` on that."""
        orphans = seen["orphans_after_plain"]
        return bool(orphans["meeting"] + orphans["note"] > seen["nulls_after_plain"])

    @mistake(shows="deleted", marks=("sql DELETE",))
    def deleted_too_much(self, seen: Seen) -> bool:
        """Another club has lost its meetings or its notes: a DELETE on the timeline has no WHERE,
        or the wrong one. Delete the meetings of *this* club, and the notes of *those* meetings."""
        return bool(seen["after"]["other"] != {"club": 1, "meeting": 2, "note": 4})

    @mistake(shows="deleted")
    def never_committed(self, seen: Seen) -> bool:
        """The DELETE was sent, and rolled back when the session closed: there is no commit on the
        timeline. Leave the work in a `with ClubSession.begin()` block."""
        deleted = seen.step("deleted")
        sent = bool(deleted.timeline.writes) and deleted.timeline.commits == 0
        return sent and deleted.status < 400


# -- what the evidence is made of --------------------------------------------------------------
def _strict_engine() -> Engine:
    """A database of the check's own, which looks at its foreign keys."""
    made = create_engine(
        "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
    )
    event.listen(made, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = ON"))
    return made


def _put_into(held: Any, one: Any) -> None:
    """Put an object into a relationship's collection, of whichever kind it is."""
    if adapter := getattr(held, "_sa_adapter", None):  # a list, a set, a dict, or one's own
        adapter.append_with_event(one)
    else:  # dynamic, or write-only
        held.add(one)


def _members(held: Any) -> Iterable[Any] | None:
    """What a relationship holds; None where it is not a collection that can be read."""
    if adapter := getattr(held, "_sa_adapter", None):
        return list(adapter)
    return list(held) if hasattr(held, "filter_by") else None  # dynamic: a query


def _empty_shop(lab: Lab) -> None:
    for name in ("book", "author"):
        lab.write(f"DELETE FROM {name}")


def _author(lab: Lab, author: int) -> None:
    lab.write(
        "INSERT INTO author (id, name) VALUES (:id, :name)", id=author, name=lab.word().title()
    )


def _put_books(
    lab: Lab, ids: Sequence[int], makeup: Sequence[tuple[int, str, int]]
) -> list[dict[str, Any]]:
    """Books of our own, each of an author, a title and a price; as they are in the table."""
    books: list[dict[str, Any]] = [
        {
            "id": book,
            "isbn": f"979{lab.number(10**9, 10**10 - 1)}",
            "title": title,
            "blurb": lab.word(),
            "price": price,
            "author_id": author,
        }
        for book, (author, title, price) in zip(ids, makeup, strict=True)
    ]
    lab.write(insert(table("book", *map(column, books[0]))).values(books))
    return books


_CLUBS = {"deleted": 2, "other": 2, "empty": 0, "plain": 2}  # how many meetings each has


def _club(lab: Lab, club: int, meetings: int) -> None:
    """A club of our own, with two notes on each meeting.

    Meetings and notes carry the club's id in their text, by which orphans are still known.
    """

    def put(statement: str, **values: Any) -> None:
        lab.write(statement, engine="club_engine", **values)

    put("INSERT INTO club (id, name) VALUES (:id, :name)", id=club, name=lab.word().title())
    for number in range(meetings):
        meeting = club * 10 + number
        put(
            "INSERT INTO meeting (id, topic, club_id) VALUES (:id, :topic, :club)",
            id=meeting,
            topic=f"club {club}",
            club=club,
        )
        for _ in range(2):
            put(
                "INSERT INTO note (words, meeting_id) VALUES (:words, :meeting)",
                words=f"club {club}",
                meeting=meeting,
            )


def _of_club(lab: Lab, club: int) -> dict[str, int]:
    """How much is left of a club, orphans included."""

    def count(what: str, **values: Any) -> int:
        found = lab.rows(f"SELECT count(*) AS n FROM {what}", engine="club_engine", **values)
        return int(found[0]["n"])

    return {
        "club": count("club WHERE id = :club", club=club),
        "meeting": count("meeting WHERE topic = :mark", mark=f"club {club}"),
        "note": count("note WHERE words = :mark", mark=f"club {club}"),
    }


def _orphans(lab: Lab) -> dict[str, int]:
    """How many meetings are of no club that exists, and notes of no meeting."""

    def count(child: str, parent: str) -> int:
        found = lab.rows(
            f"SELECT count(*) AS n FROM {child} LEFT JOIN {parent} "
            f"ON {child}.{parent}_id = {parent}.id WHERE {parent}.id IS NULL",
            engine="club_engine",
        )
        return int(found[0]["n"])

    return {"meeting": count("meeting", "club"), "note": count("note", "meeting")}


# -- what is asked of it -----------------------------------------------------------------------
_ORDERS = (
    ("by_title", "title", False),
    ("by_price", "price", False),
    ("by_price_down", "price", True),
)


def _set_up_said(seen: Seen) -> str:
    return seen.step("set_up").error_message


def _books_in(step: Step) -> list[dict[str, Any]]:
    books = step.body.get("books") if isinstance(step.body, dict) else None
    return [one for one in books if isinstance(one, dict)] if isinstance(books, list) else []


def _ids(step: Step) -> list[int]:
    return [one["id"] for one in _books_in(step) if isinstance(one.get("id"), int)]


def _total(step: Step) -> Any:
    return step.body.get("total") if isinstance(step.body, dict) else None


def _same(one: Any, row: dict[str, Any] | None) -> bool:
    """Whether an answer holds all that `BookOut` says of a row, perhaps more."""
    return isinstance(one, dict) and row is not None and all(one.get(k) == row[k] for k in row)


def _as_stored(seen: Seen, one: dict[str, Any]) -> bool:
    return any(_same(one, row) for row in seen["books"])


def _matching(seen: Seen, name: str) -> list[int]:
    """The ids that the request of that name should find."""

    def cheap(book: dict[str, Any]) -> bool:
        return bool(book["price"] <= seen["price"])

    wanted: dict[str, Callable[[dict[str, Any]], bool]] = {
        "plain": lambda book: True,
        "by_author": lambda book: book["author_id"] == seen["author"],
        "cheap": cheap,
        "free": lambda book: book["price"] == 0,
        "both": lambda book: book["author_id"] == seen["other"] and cheap(book),
        "three": lambda book: book["author_id"] == seen["other"] and cheap(book),
        "nobodys": lambda book: False,
    }
    return [book["id"] for book in seen["books"] if wanted[name](book)]


def _fits(seen: Seen, step: Step, name: str) -> bool:
    return set(_ids(step)) <= set(_matching(seen, name))


def _exact(seen: Seen, name: str) -> bool:
    """Whether the request of that name found just what it should, on one page."""
    return sorted(_ids(seen.step(name))) == sorted(_matching(seen, name))


def _in_order(seen: Seen, ids: list[int], key: str, down: bool) -> bool:
    known = {book["id"]: book[key] for book in seen["books"]}
    keys = [known[one] for one in ids if one in known]
    return keys == sorted(keys, reverse=down)


def _most_read(step: Step) -> int:
    """The most rows that one SELECT has read."""
    return max((entry["rows"] or 0 for entry in step.timeline.of("sql")), default=0)


def _title_was_changed(seen: Seen) -> bool:
    row = seen["after"]["one"] or {}
    return bool(row.get("title") == seen["sent"]["one"]["title"])


def _takes_away(seen: Seen) -> bool:
    """Whether the ORM sent its UPDATE that sets the children's foreign keys to NULL."""
    return any(
        sql.startswith(("UPDATE meeting SET club_id", "UPDATE note SET meeting_id"))
        for sql in seen.step("deleted").timeline.writes
    )


def _refused(seen: Seen, constraint: str) -> bool:
    """Whether the database refused a statement of the DELETE for that reason."""
    sent = seen.step("deleted").timeline.of("sql")
    return any(constraint in str(entry["failed"]) for entry in sent)


def _complaints(body: Any) -> list[dict[str, Any]]:
    """What FastAPI's own 422 complains of."""
    detail = body.get("detail") if isinstance(body, dict) else None
    entries = detail if isinstance(detail, list) else []
    return [one for one in entries if isinstance(one, dict) and {"type", "loc"} <= set(one)]


# -- how it is put ------------------------------------------------------------------------------
def _fields(seen: Seen, name: str) -> str:
    return " and ".join(f"`{field}`" for field in seen["sent"][name])


EXERCISES = (Relationship, BookList, ChangeWhatWasSent, NoOrphans)
