# %% [markdown]
# # 09 N+1
#
# When you are through, you know how many statements a request will send before it sends them, you get them down to two
# or three however long the list is, and you keep them there: a test of yours turns red when the next N+1 comes in.
#
# It is 2 a.m., and the front page takes ten seconds. The slow-query log is empty, for no query is slow. There are only
# so many of them, thousands in a single request, each as quick as a query can be. On Friday there were two. Nobody has
# touched the endpoint since. Somebody has added one line to a schema.

# %% tags=["setup"]
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, Engine, ForeignKey, StaticPool, Table
from sqlalchemy import create_engine, event, func, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm import contains_eager, immediateload, joinedload, lazyload
from sqlalchemy.orm import raiseload, selectinload, sessionmaker, subqueryload

from checks import TODO, check, hint, progress, solution, trace

# %% [markdown]
# ## The shop
#
# An author has books. A book has an author, tags (which it shares with other books), reviews and sales. Note the two
# properties of `Book`; they look harmless.


# %% tags=["setup"]
class Base(DeclarativeBase):
    pass


book_tag = Table(
    "book_tag",
    Base.metadata,
    Column("book_id", ForeignKey("book.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    price: Mapped[int]  # in cents
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"), index=True)
    author: Mapped["Author"] = relationship(back_populates="books")
    tags: Mapped[list["Tag"]] = relationship(secondary=book_tag, back_populates="books")
    reviews: Mapped[list["Review"]] = relationship(back_populates="book")
    sales: Mapped[list["Sale"]] = relationship(back_populates="book")

    @property
    def byline(self) -> str:
        return f"{self.title}, by {self.author.name}"

    @property
    def stars(self) -> float | None:
        given = [review.stars for review in self.reviews]
        return sum(given) / len(given) if given else None


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]
    books: Mapped[list["Book"]] = relationship(secondary=book_tag, back_populates="tags")


class Review(Base):
    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), index=True)
    stars: Mapped[int]
    book: Mapped["Book"] = relationship(back_populates="reviews")


class Sale(Base):
    __tablename__ = "sale"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), index=True)
    copies: Mapped[int]
    book: Mapped["Book"] = relationship(back_populates="sales")


# %% [markdown]
# A shop comes in any size. `fill` adds authors, three books to each, and to each book two tags, two reviews and two
# sales.


# %% tags=["setup"]
def fill(engine: Engine, authors: int) -> None:
    """Add so many authors with all that belongs to them."""
    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    with engine.begin() as connection:
        newest = [select(func.coalesce(func.max(one.id), 0)) for one in (Author, Book, Tag)]
        author, book, novel = (connection.scalar(one) or 0 for one in newest)
        novel += 1
        rows[Tag] += [{"id": novel + n, "word": f"tag {novel + n}"} for n in range(authors + 1)]
        for own in range(novel + 1, novel + authors + 1):
            author += 1
            rows[Author] += [{"id": author, "name": f"Author {author}"}]
            for part in (1, 2, 3):
                book += 1
                title, price = f"Book {author}.{part}", 700 + 200 * part
                rows[Book] += [{"id": book, "author_id": author, "title": title, "price": price}]
                rows[book_tag] += [{"book_id": book, "tag_id": tag} for tag in (own, novel)]
                rows[Review] += [{"book_id": book, "stars": stars} for stars in (part, 5)]
                rows[Sale] += [{"book_id": book, "copies": copies} for copies in (part, 10)]
        for table, content in rows.items():
            connection.execute(insert(table), content)


def shop(authors: int) -> Engine:
    """A shop of its own, in memory, with so many authors."""
    anybody = {"check_same_thread": False}
    engine = create_engine("sqlite://", connect_args=anybody, poolclass=StaticPool)
    Base.metadata.create_all(engine)
    fill(engine, authors)
    return engine


engine = shop(10)
SessionLocal = sessionmaker(engine)


def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


# %% [markdown]
# And what goes out: an author with her books.


# %% tags=["setup"]
class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)  # may be filled from an object's attributes


class TitleOut(Out):
    title: str
    price: int


class AuthorOut(Out):
    name: str
    books: list[TitleOut]


# %% [markdown]
# # 1. See it, count it
#
# ## One for the list
#
# An endpoint could hardly be shorter.
#
# **Predict.** Ten authors, three books each. How many SELECTs?

# %%
naive = FastAPI()


@naive.get("/authors", response_model=list[AuthorOut])
def every_author(session: SessionDep) -> list[Author]:
    return list(session.scalars(select(Author)))


with trace(naive, engine) as seen:
    TestClient(naive).get("/authors")

print(len(seen.selects), "SELECTs")
seen

# %% [markdown]
# Eleven: **one** for the list and **N** more, one for each of its members. A relationship is loaded when somebody first
# looks at it, and each author is looked at by herself. With one author it would have been two, and nobody would ever
# know. With a thousand it is a thousand and one.
#
# ## N is not always the number of rows
#
# The other direction. There are thirty books.
#
# **Predict.** How many SELECTs do the names of their authors take?

# %%
with trace(engine) as seen, SessionLocal() as session:
    names = [book.author.name for book in session.scalars(select(Book))]

print(len(names), "names,", len(seen.selects), "SELECTs")

# %% [markdown]
# Eleven again, and not thirty-one. The session knows an author whom it has met (the *identity map* of lesson 01), so
# N is the number of **different** authors. Remember that for your test data: thirty books by one author need two
# SELECTs, and the N+1 goes unseen.
#
# ## A counter
#
# An engine tells you about each statement, if you ask. `before_cursor_execute` is the last stop before the driver.
# Whatever is sent comes by, whoever sends it: your query, a lazy load, a flush.

# %%
sent: list[str] = []


def write_down(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> None:
    sent.append(statement)


event.listen(engine, "before_cursor_execute", write_down)
TestClient(naive).get("/authors")
event.remove(engine, "before_cursor_execute", write_down)

print(len(sent), "statements; two of them:")
for statement in sent[-2:]:
    print("  ", " ".join(statement.split())[:96])

# %% [markdown]
# The last two are the same to the letter. That is what an N+1 looks like from below: **one statement, again and
# again**, with another id each time. (An `AsyncEngine` takes its listeners on `engine.sync_engine`. [Core
# events](https://docs.sqlalchemy.org/en/21/core/events.html#sqlalchemy.events.ConnectionEvents.before_cursor_execute))
#
# Three lines that one will not want to repeat in each test, and if the middle one raises, the listener stays.

# %% [markdown]
# ## Exercise 9.1: the counter
#
# Write `count_statements(engine)`, to be used like this:
#
# ```python
# with count_statements(engine) as sent:
#     client.get("/authors")
# print(len(sent))
# ```
#
# - `sent` is a list with the SQL of every statement sent through that engine while the block runs, in order;
# - what is sent before or after, or through another engine, is not in it;
# - when the block raises, the exception goes on its way, and nothing is counted from then on;
# - two may run at once, one inside the other, and each counts for itself.


# %% exercise="09.counter"
@contextmanager
def count_statements(engine: Engine) -> Iterator[list[str]]:
    # BEGIN STARTER
    # yield TODO
    # END STARTER
    # BEGIN SOLUTION
    sent: list[str] = []

    def write_down(
        connection: Any, cursor: Any, statement: str, params: Any, context: Any, many: bool
    ) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", write_down)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", write_down)
    # END SOLUTION


# %% check="09.counter"
check("09.counter")

# %% [markdown]
# The flight recorder that you have used since lesson 00 hangs on the same hook. `seen.statements` is your list. It also
# knows how many **rows** each statement brought, and you will want that presently, for a cure can be worse than the
# disease. From here on:


# %% tags=["setup"]
def cost(seen: Any) -> str:
    """What a recording came to: statements sent, and rows that they brought."""
    rows = sum(event["rows"] or 0 for event in seen.of("sql"))
    return f"{len(seen.statements):5,} sent {rows:6,} rows"


# %% [markdown]
# # 2. Five ways to load
#
# You can tell a query beforehand what you will look at, by an *option*. So here is the same endpoint, again and again,
# with nothing changed but the option:


# %% tags=["setup"]
def app_with(*options: Any, engine: Engine = engine) -> FastAPI:
    """The endpoint of part 1, on a shop, loading as the options say."""

    def open_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    app = FastAPI()

    @app.get("/authors", response_model=list[AuthorOut])
    def every_author(
        session: Annotated[Session, Depends(open_session, scope="function")],
    ) -> list[Author]:
        found = session.scalars(select(Author).order_by(Author.id).options(*options))
        return list(found.unique())

    return app


def recorded(app: FastAPI, engine: Engine = engine, path: str = "/authors") -> Any:
    """What one request does."""
    with trace(app, engine) as seen:
        TestClient(app, raise_server_exceptions=False).get(path)
    return seen


# %% [markdown]
# ## `selectinload`: a second query for all

# %%
recorded(app_with(selectinload(Author.books)))

# %% [markdown]
# Two. The authors, and then **all** their books at once, `WHERE book.author_id IN (...)`. The session hands each book
# to its author. Nothing is sent twice and nothing is carried twice. (The rollback is no accident: this session only
# reads, and closing it ends the transaction.)
#
# ## `joinedload`: all in one

# %%
recorded(app_with(joinedload(Author.books)))

# %% [markdown]
# One. The database joins, and the session takes the result apart. Look at the number of rows: thirty, for ten authors.
# This is what arrives:

# %%
with SessionLocal() as session:
    rows = session.execute(select(Author.name, Book.title).outerjoin(Author.books)).all()

rows[:4]

# %% [markdown]
# The author comes **with each book**. A name is cheap. If she has a biography, or a portrait in a column, that comes
# with each book too. Since one author is several rows, SQLAlchemy insists that you say `unique()`, which `app_with`
# does. If you do not:

# %%
try:
    with SessionLocal() as session:
        session.scalars(select(Author).options(joinedload(Author.books))).all()
except Exception as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## The others
#
# `subqueryload` is the elder sister of `selectinload`: a second query too, but it asks "the books of those who came out
# of *that* query" and so runs your first query again, inside the second.
#
# `immediateload` sounds like a cure. `raiseload` sounds like none.
#
# **Predict.** How many statements does each send for ten authors?

# %%
LOADERS = {
    "lazy": lazyload,
    "selectin": selectinload,
    "joined": joinedload,
    "subquery": subqueryload,
    "immediate": immediateload,
    "raise": raiseload,
}

for name, load in LOADERS.items():
    seen = recorded(app_with(load(Author.books)))
    print(f"{name:10} {cost(seen)}   {seen.statuses[0]}")

# %% [markdown]
# `immediateload` is an N+1 that does not wait to be asked: it loads author by author, only sooner. And `raiseload`
# answers 500, with one statement. It loads nothing and **refuses to**. Keep it in mind; part 5 makes it the best of
# them.
#
# ([Relationship loading techniques](https://docs.sqlalchemy.org/en/21/orm/queryguide/relationships.html))
#
# ## Ten, a hundred, a thousand
#
# Now let the shop grow. (`raise` does not run in this race; it has answered 500 long ago.) `selectin` sent two
# statements for ten authors.
#
# **Predict.** How many does it send for a thousand?

# %%
SIZES = (10, 100, 1_000)
SHOPS = {size: shop(size) for size in SIZES}
RIVALS = ("lazy", "selectin", "joined", "subquery")

statements: dict[str, list[int]] = {name: [] for name in RIVALS}
for size, grown in SHOPS.items():
    for name in RIVALS:
        seen = recorded(app_with(LOADERS[name](Author.books), engine=grown), grown)
        statements[name].append(len(seen.statements))
        print(f"{size:5,} authors  {name:9}{cost(seen)}")

# %%
from checks.charts import plot

plot(
    "Statements sent for one request",
    SIZES,
    statements,
    x_label="authors",
    y_label="statements",
    log_x=True,
    log_y=True,
)

# %% [markdown]
# Three, not two: `selectinload` asks for [five hundred at a
# time](https://docs.sqlalchemy.org/en/21/orm/queryguide/relationships.html#select-in-loading), since a list after `IN`
# cannot be as long as you like. That still grows, if you wish, but five hundred times slower. The lazy one climbs
# straight up.
#
# What does it cost? The quickest of three requests, each with everything in it: SQL, objects, JSON.


# %%
def quickest(app: FastAPI, requests: int) -> float:
    """Milliseconds that the quickest of some requests took, after one to warm up."""
    client = TestClient(app)
    client.get("/authors")
    spans = []
    for _ in range(requests):
        started = time.perf_counter()
        client.get("/authors")
        spans.append(time.perf_counter() - started)
    return min(spans) * 1_000


def timed(requests: int) -> dict[str, list[float]]:
    """How long each way takes in each shop, in milliseconds."""
    ways = {name: LOADERS[name](Author.books) for name in RIVALS}
    return {
        name: [quickest(app_with(way, engine=grown), requests) for grown in SHOPS.values()]
        for name, way in ways.items()
    }


# %%
here = timed(requests=3)

plot(
    "The database in this process",
    SIZES,
    here,
    x_label="authors",
    y_label="milliseconds",
    log_x=True,
    log_y=True,
)

# %% [markdown]
# The lazy way loses, and not by as much as you may have expected. That is SQLite. It is a library in your own process,
# a statement is a function call, and its makers say so themselves: [many small queries are efficient in
# SQLite](https://sqlite.org/np1queryprob.html). So a laptop with SQLite is the place where an N+1 goes unnoticed.
#
# Your production database is somewhere else. Let each statement take a millisecond to get there and back, which is a
# network in the same city, made of `sleep`:


# %%
def move_away(engine: Engine) -> Callable[[], None]:
    """Put a millisecond of network before each statement; gives a way to undo it."""

    def travel(*_: Any) -> None:
        time.sleep(0.001)

    event.listen(engine, "before_cursor_execute", travel)
    return lambda: event.remove(engine, "before_cursor_execute", travel)


# %%
come_back = [move_away(grown) for grown in SHOPS.values()]
far = timed(requests=2)
for undo in come_back:
    undo()

plot(
    "The database a millisecond away",
    SIZES,
    far,
    x_label="authors",
    y_label="milliseconds",
    log_x=True,
    log_y=True,
)

# %% [markdown]
# There is the front page from 2 a.m., on its way to ten seconds. The other three have hardly moved. With an N+1 you pay
# **per row what you should pay per request**: the way there and back. No index cures that, for none of the statements
# is slow.
#
# And without `sleep`? Here is a real PostgreSQL, on this machine, which is as near as a server can be:

# %% tags=["recorded"]
from checks.servers import start_postgresql

server = start_postgresql()
if server:
    postgresql = create_engine(server.url)
    Base.metadata.create_all(postgresql)
    fill(postgresql, 1_000)
    for name in RIVALS:
        app = app_with(LOADERS[name](Author.books), engine=postgresql)
        seen = recorded(app, postgresql)
        print(f"{name:9}{cost(seen)} {quickest(app, requests=3):8.1f} ms")
    postgresql.dispose()
    server.stop()

# %% [markdown]
# Even next door, a thousand and one statements take many times as long as two or three.
#
# ## Where each wins
#
# | from one to | such as | take | for |
# | --- | --- | --- | --- |
# | one | `book.author` | `joinedload(Book.author)` | no row more than there were: the join costs one column or two |
# | one, of a few | thirty books by ten authors | `selectinload` does as well | each author travels once |
# | many | `author.books` | `selectinload(Author.books)` | no row twice; works with `LIMIT`; several side by side |
# | many, through a table | `book.tags` | `selectinload(Book.tags)` | the same |
# | many, one level deeper | `author.books`, `book.tags` | `selectinload(Author.books).selectinload(Book.tags)` | one statement a level |
# | many, of a single object | one author's page | either; even lazy is two | there is no N |
# | many, by a composite key, on SQL Server | | `subqueryload` | it needs no `IN` of tuples |
# | anything you did not plan for | | `raiseload` | part 5 |
#
# When in doubt, `selectinload`. Where the column that points to the one is never empty, say
# `joinedload(Book.author, innerjoin=True)`, and the database may start from either end.

# %% [markdown]
# # 3. Cures that are worse
#
# ## Two joins are a product
#
# A book's page shows its tags and its reviews. Somebody has learnt that one statement is better than three.
#
# **Predict.** Thirty books, each with two tags and two reviews: how many rows, by two joins?

# %%
for name, load in {"joined": joinedload, "selectin": selectinload}.items():
    with trace(engine) as seen, SessionLocal() as session:
        query = select(Book).options(load(Book.tags), load(Book.reviews))
        session.scalars(query).unique().all()
    print(f"{name:10}{cost(seen)}")

# %% [markdown]
# Here the two are close: each tag comes with each review, 2 × 2, and a hundred and twenty rows stand against a hundred
# and fifty. So let one book become popular:

# %%
with SessionLocal.begin() as session:
    hit = session.get_one(Book, 1)
    hit.tags += [Tag(word=f"shelf {number}") for number in range(18)]
    session.execute(insert(Review), [{"book_id": 1, "stars": 5} for _ in range(98)])

for name, load in {"joined": joinedload, "selectin": selectinload}.items():
    with trace(engine) as seen, SessionLocal() as session:
        query = select(Book).options(load(Book.tags), load(Book.reviews))
        session.scalars(query).unique().all()
    print(f"{name:10}{cost(seen)}")

# %% [markdown]
# Twenty tags and a hundred reviews **multiply** to two thousand rows, of one book. `selectin` adds them. Join **at most
# one** collection; better, none. So rows belong into a budget as well as statements.
#
# ## Loading everything, always
#
# Another cure, found in many a code base: say it once, on the relationship, and never think of it again.


# %%
class GreedyBase(DeclarativeBase):
    metadata = Base.metadata


class GreedyAuthor(GreedyBase):
    __table__ = Author.__table__
    books: Mapped[list["GreedyBook"]] = relationship(lazy="selectin", viewonly=True)


class GreedyBook(GreedyBase):
    __table__ = Book.__table__
    tags: Mapped[list["GreedyTag"]] = relationship(
        secondary=book_tag, lazy="selectin", viewonly=True
    )
    reviews: Mapped[list["GreedyReview"]] = relationship(lazy="selectin", viewonly=True)


class GreedyTag(GreedyBase):
    __table__ = Tag.__table__


class GreedyReview(GreedyBase):
    __table__ = Review.__table__


# %% [markdown]
# (The same tables, seen by greedier classes.)
#
# **Predict.** What do ten names for a drop-down list cost?

# %%
with trace(engine) as seen, SessionLocal() as session:
    names = [author.name for author in session.scalars(select(GreedyAuthor))]

print(len(names), "names:", cost(seen))

with trace(engine) as seen, SessionLocal() as session:
    names = session.scalars(select(Author.name)).all()

print(len(names), "names:", cost(seen))

# %% [markdown]
# Four statements and most of the shop, to show ten names. The number of statements does not grow, so a counter is
# content; the rows do. What an endpoint shows is known by the endpoint. **Say it in the query**, and where you only
# want columns, ask for columns.
#
# ## Ten to a page
#
# **Predict.** A page of two authors, each with three books, by join. The database cuts with `LIMIT 2`. Two what?

# %%
page = select(Author).order_by(Author.id).limit(2)

with SessionLocal() as session:
    cut = session.execute(page.outerjoin(Author.books).add_columns(Book.title)).all()
    print("join:      ", [(author.name, title) for author, title in cut])

with trace(engine) as seen, SessionLocal() as session:
    found = session.scalars(page.options(joinedload(Author.books))).unique()
    print("joinedload:", [(author.name, len(author.books)) for author in found])

print(seen.statements[0][:40], "...", seen.statements[0][-141:])

# %% [markdown]
# A join of your own is cut at two **rows**: one author, twice. `joinedload` knows better. It puts your query, limit and
# all, into a subquery, and joins the books to what is left. So `joinedload` with `LIMIT` is right; it is only not as
# cheap as it looks.
#
# Now somebody wants to filter by the books, joins them, and has read that `contains_eager` makes use of a join that is
# there already.
#
# **Predict.** Which books has each author?

# %%
with SessionLocal() as session:
    joined = select(Author).join(Author.books).order_by(Author.id, Book.id).limit(5)
    found = session.scalars(joined.options(contains_eager(Author.books))).unique()
    print([(author.name, [book.title for book in author.books]) for author in found])

# %% [markdown]
# Five rows are an author and two thirds. The last one has lost a book, **without a word**, and `len(author.books)` is
# simply wrong. `contains_eager` means: *what is in these rows is the whole collection, take my word for it*. With a
# `LIMIT` that is not true, and with a `WHERE` it is not either:

# %%
with SessionLocal() as session:
    cheap = select(Author).join(Author.books).where(Book.price < 1_000)
    found = session.scalars(cheap.options(contains_eager(Author.books))).unique().all()
    print("by contains_eager:", [book.title for book in found[0].books])

    again = session.scalars(select(Author).options(selectinload(Author.books))).all()
    print("selectin, later:  ", [book.title for book in again[0].books])
    print("the same author:  ", again[0] is found[0])

# %% [markdown]
# The second query asked for all books, and did not get them: the collection counts as loaded, and a session does not
# load twice. The wrong answer sits in the identity map for the rest of the request. Use `contains_eager` for a join to
# **one** (`book.author`, when you sort by the author's name), and for a collection only where a part of it is what you
# want to show. To filter, use `where(Author.books.any(...))`, and load with `selectinload`.

# %% [markdown]
# # 4. Count in SQL
#
# How many books has each author? One can load them and count.
#
# **Predict.** How many rows does that take for a thousand authors?

# %%
large = SHOPS[1_000]

with trace(large) as seen, Session(large) as session:
    found = session.scalars(select(Author).options(selectinload(Author.books)))
    by_python = {author.name: len(author.books) for author in found}
print("in Python:", cost(seen))

counted = (
    select(Author.name, func.count(Book.id))
    .outerjoin(Author.books)
    .group_by(Author.id)
    .order_by(Author.id)
)
with trace(large) as seen, Session(large) as session:
    by_sql = {name: books for name, books in session.execute(counted)}
print("in SQL:   ", cost(seen))
print("the same: ", by_python == by_sql)

# %% [markdown]
# No N+1 in either. But the first carries three thousand books here to be counted and thrown away. Each part of the
# second is there for a reason:
#
# - **`outerjoin`**: with `join` an author without books is not listed with 0; she is not listed;
# - **`count(Book.id)`**, not `count()`: it counts the books that are there, and not the empty row of her who has none;
# - **`group_by(Author.id)`**: by the name, two people called John Smith become one.
#
# ## A sum that is too good to be true
#
# Book 4 has two reviews and has sold eleven copies.
#
# **Predict.** What does this say of it?

# %%
with SessionLocal() as session:
    both = (
        select(func.count(Review.id), func.sum(Sale.copies))
        .select_from(Book)
        .outerjoin(Book.reviews)
        .outerjoin(Book.sales)
        .where(Book.id == 4)
    )
    print(session.execute(both).one())

# %% [markdown]
# Four reviews and twenty-two copies: the product from part 3, and this time nobody runs `unique()` over it. Each sale
# was counted once for each review. `count(Review.id.distinct())` mends the count; nothing mends the sum, for two sales
# of ten copies are not the same sale. **Add up each collection by itself**, in a subquery:

# %%
reviews = select(func.count(Review.id)).where(Review.book_id == Book.id).scalar_subquery()
copies = select(func.sum(Sale.copies)).where(Sale.book_id == Book.id).scalar_subquery()

with SessionLocal() as session:
    apart = select(Book.title, reviews, func.coalesce(copies, 0)).where(Book.id == 4)
    print(session.execute(apart).one())

# %% [markdown]
# One statement, one row, the right numbers. `coalesce(..., 0)` is for the book that nobody has bought: the sum of
# nothing is not 0, it is NULL. ([Scalar and correlated
# subqueries](https://docs.sqlalchemy.org/en/21/tutorial/data_select.html#scalar-and-correlated-subqueries))

# %% [markdown]
# ## Exercise 9.2: three endpoints and their budgets
#
# All three answer rightly, and all three ask far too much. Change them so that they answer as they do now, within this
# budget, however many authors, books, tags and reviews there are:
#
# | endpoint | shows | statements | rows |
# | --- | --- | --- | --- |
# | `GET /authors` | each author with the books | 2 | an author or a book, each |
# | `GET /books` | each book with author, tags and reviews | 4 | no more than authors, books, tags on books and reviews together |
# | `GET /sales` | each author with the number of books and of copies sold | 1 | one an author |
#
# An author without books is listed too, with 0 and 0. Two authors may share a name. These are the schemas:


# %% tags=["setup"]
class NameOut(Out):
    name: str


class TagOut(Out):
    word: str


class ReviewOut(Out):
    stars: int


class BookOut(Out):
    title: str
    author: NameOut
    tags: list[TagOut]
    reviews: list[ReviewOut]


class Sold(BaseModel):
    name: str
    books: int
    copies: int


# %% exercise="09.budgets"
app = FastAPI()


@app.get("/authors", response_model=list[AuthorOut])
def list_authors(session: SessionDep) -> list[Author]:
    # BEGIN STARTER
    # return list(session.scalars(select(Author).order_by(Author.id)))
    # END STARTER
    # BEGIN SOLUTION
    query = select(Author).order_by(Author.id).options(selectinload(Author.books))
    return list(session.scalars(query))
    # END SOLUTION


@app.get("/books", response_model=list[BookOut])
def list_books(session: SessionDep) -> list[Book]:
    # BEGIN STARTER
    # return list(session.scalars(select(Book).order_by(Book.id)))
    # END STARTER
    # BEGIN SOLUTION
    query = (
        select(Book)
        .order_by(Book.id)
        .options(
            joinedload(Book.author, innerjoin=True),
            selectinload(Book.tags),
            selectinload(Book.reviews),
        )
    )
    return list(session.scalars(query))
    # END SOLUTION


@app.get("/sales")
def list_sales(session: SessionDep) -> list[Sold]:
    # BEGIN STARTER
    # return [
    #     Sold(
    #         name=author.name,
    #         books=len(author.books),
    #         copies=sum(sale.copies for book in author.books for sale in book.sales),
    #     )
    #     for author in session.scalars(select(Author).order_by(Author.id))
    # ]
    # END STARTER
    # BEGIN SOLUTION
    query = (
        select(
            Author.name,
            func.count(Book.id.distinct()).label("books"),  # a book comes once for each sale
            func.coalesce(func.sum(Sale.copies), 0).label("copies"),
        )
        .outerjoin(Author.books)
        .outerjoin(Book.sales)
        .group_by(Author.id)
        .order_by(Author.id)
    )
    return [Sold(**row) for row in session.execute(query).mappings()]
    # END SOLUTION


# %% check="09.budgets"
check("09.budgets")

# %% [markdown]
# # 5. The one that no line shows
#
# ## Friday afternoon
#
# The authors' list has been cured, as in part 2, and it has a test. Then the shop's front end asks for tags. Somebody
# adds one field to the schema, and none to the endpoint:


# %% tags=["setup"]
class TitleAndTags(TitleOut):
    tags: list[TagOut]  # the new line


class AuthorAndMore(Out):
    name: str
    books: list[TitleAndTags]


def listing(schema: Any, *options: Any) -> FastAPI:
    """The cured endpoint, answering with a schema."""
    app = FastAPI()

    @app.get("/authors", response_model=list[schema])
    def every_author(session: SessionDep) -> list[Author]:
        return list(session.scalars(select(Author).options(*options)))

    return app


# %% [markdown]
# **Predict.** How many statements on each day?

# %%
print("on Thursday:", cost(recorded(listing(AuthorOut, selectinload(Author.books)))))
print("on Friday:  ", cost(recorded(listing(AuthorAndMore, selectinload(Author.books)))))

# %% [markdown]
# Thirty more, one for each book. There is no `book.tags` in the diff, nor anywhere in the code. `response_model` reads
# every field of the schema from the object, and *reading is asking*. You have reviewed such a change; everybody has.
#
# Properties hide it as well. `Book.byline` was in the very first cell, and a schema with `byline: str` does not even
# have the look of a relationship. So do `__repr__`, a `computed_field`, a template, a log line.
#
# ## Turn it into an error
#
# An N+1 is silent, and that is all that is wrong with it. `raiseload` makes it loud:

# %%
friday = listing(AuthorAndMore, selectinload(Author.books), raiseload("*"))
try:
    TestClient(friday).get("/authors")
except Exception as error:
    print(type(error).__name__)
    print(str(error).splitlines()[1].strip()[:150])

# %% [markdown]
# `raiseload("*")`: *what I have not named, I do not want*. The test from Thursday fails on Friday at noon and says
# which attribute, and the cure is one option, `.selectinload(Book.tags)`, on the books:

# %%
cured = selectinload(Author.books).selectinload(Book.tags)
print("on Monday:  ", cost(recorded(listing(AuthorAndMore, cured, raiseload("*")))))

# %% [markdown]
# Three statements for three levels.
#
# You can also say it on the models, `relationship(lazy="raise")`, and many teams that were bitten do: then nothing is
# ever loaded that nobody asked for, and each query says what it needs. In async code it is the sane default, since
# there a lazy load cannot work in any case (lesson 04). The price: it turns a slow page into a broken one, so it wants
# tests that touch every field. And the odd single object has to name what it needs, too. A gentler variant,
# `lazy="raise_on_sql"`, lets pass what the session knows already. ([Preventing unwanted lazy
# loads](https://docs.sqlalchemy.org/en/21/orm/queryguide/relationships.html#preventing-unwanted-lazy-loads-using-raiseload))

# %% [markdown]
# ## Exercise 9.3: the hidden one
#
# The endpoint below has no relationship in it, and neither, at first sight, has its schema. It is slow. Make it
#
# - send at most **four** statements, however long the page is;
# - answer as it does now: a page of `limit` books from `offset` on, each complete;
# - read nothing that it does not show, neither other tables nor other pages.


# %% exercise="09.hidden"
class BookCard(Out):
    byline: str
    stars: float | None
    tags: list[TagOut]


app = FastAPI()


@app.get("/books", response_model=list[BookCard])
def page_of_books(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> list[Book]:
    # BEGIN STARTER
    # page = select(Book).order_by(Book.id).limit(limit).offset(offset)
    # END STARTER
    # BEGIN SOLUTION
    shown = joinedload(Book.author), selectinload(Book.reviews), selectinload(Book.tags)
    page = select(Book).order_by(Book.id).limit(limit).offset(offset)
    page = page.options(*shown, raiseload("*"))
    # END SOLUTION
    return list(session.scalars(page))


# %% check="09.hidden"
check("09.hidden")

# %% [markdown]
# # 6. Keep it fixed
#
# ## A budget is a test
#
# A cure without a test is a cure until Friday. The test is short: so many statements, and not one more.


# %% tags=["setup"]
@contextmanager
def budget(engine: Engine, most: int) -> Iterator[None]:
    """Let no more statements through than there is money for.

    Raises:
        AssertionError: there were more; it says which came again and again.
    """
    with trace(engine) as seen:
        yield
    sent = seen.statements
    usual, times = Counter(sent).most_common(1)[0] if sent else ("", 0)
    assert len(sent) <= most, f"{len(sent)} statements, {most} allowed; {times} times {usual[:60]}"


# %%
def thursdays_test(app: FastAPI) -> str:
    try:
        with budget(engine, most=2):
            TestClient(app).get("/authors")
    except AssertionError as error:
        return f"failed: {error}"
    return "passed"


print(thursdays_test(listing(AuthorOut, selectinload(Author.books))))
print(thursdays_test(listing(AuthorAndMore, selectinload(Author.books))))

# %% [markdown]
# ## Three ways to test nothing
#
# **Predict.** What does the same test say of three bad apps? The first is as naive as can be, and runs on a fresh, empty
# database, as tests do. The second has one author in it. The third is broken.


# %%
def verdict_on(authors: int, app_on: Callable[[Engine], FastAPI]) -> str:
    tried = shop(authors)
    try:
        with budget(tried, most=2):
            TestClient(app_on(tried)).get("/authors")
    except AssertionError:
        return "failed"
    return "passed"


def broken(engine: Engine) -> FastAPI:
    app = FastAPI()

    @app.get("/authors")
    def every_author() -> None:
        raise HTTPException(503, "Not today.")

    return app


print("an N+1, no author: ", verdict_on(0, lambda tried: app_with(engine=tried)))
print("an N+1, one author:", verdict_on(1, lambda tried: app_with(engine=tried)))
print("answers 503:       ", verdict_on(10, broken))
print("an N+1, ten:       ", verdict_on(10, lambda tried: app_with(engine=tried)))

# %% [markdown]
# With N = 0 an N+1 is one statement, with N = 1 it is two, and an error page is the leanest page of all. A budget test
# needs **several parents that differ**, and a look at the status.
#
# A fixed number also has to be looked up, and raised, with each honest new statement. What makes an N+1 an N+1 is not
# that it is much, but that it **grows**. So let the shop grow, and compare:


# %%
def growth(app_on: Callable[[Engine], FastAPI]) -> list[int]:
    tried = shop(2)
    app = app_on(tried)
    before = len(recorded(app, tried).statements)
    fill(tried, 5)
    return [before, len(recorded(app, tried).statements)]


print("lazy:    ", growth(lambda tried: app_with(engine=tried)))
print("selectin:", growth(lambda tried: app_with(selectinload(Author.books), engine=tried)))

# %% [markdown]
# ## Endpoints that do not exist yet
#
# The next N+1 comes in an endpoint that somebody has yet to write, and they will not write your test for it. So ask the
# app which endpoints it has.
#
# **Predict.** How many of three does each line find?

# %%
from fastapi import APIRouter
from fastapi.routing import APIRoute

books = APIRouter(prefix="/books")


@books.get("")
def all_books() -> None: ...


@books.get("/{book_id}")
def one_book(book_id: int) -> None: ...


staffed = FastAPI()
staffed.include_router(books)


@staffed.get("/authors")
def all_authors() -> None: ...


print("app.routes:   ", [one.path for one in staffed.routes if isinstance(one, APIRoute)])
print("app.openapi():", list(staffed.openapi()["paths"]))

# %% [markdown]
# One. What came in by a router is folded up inside `app.routes` on this FastAPI, and a guard that walks them passes
# over most of your app without a word. The app's own description has them all, but for those that were hidden with
# `include_in_schema=False`: a dictionary of paths, each with its operations, `{"/books": {"get": ...}, ...}`.

# %% [markdown]
# ## Exercise 9.4: the guard
#
# Write `check_growth(app, engine)`, a test of any app on this shop's tables. The database that it is given is
# **empty**.
#
# - It returns when all is well: every `GET` endpoint without parameters in its path sends no more statements for many
#   authors than for few;
# - it raises an `AssertionError` when one of them grows, however deep the N+1 is hidden,
# - and when one does not answer 200.
#
# `fill(engine, n)` adds authors with all that belongs to them. The lean endpoints of this shop need four statements at
# most, should you rather have a fixed budget. The grader lets your guard loose on apps of its own: it must pass the
# lean ones and stop all the others.


# %% exercise="09.guard"
def check_growth(app: FastAPI, engine: Engine) -> None:
    # BEGIN STARTER
    # TODO
    # END STARTER
    # BEGIN SOLUTION
    client = TestClient(app)
    paths = [
        path
        for path, operations in app.openapi()["paths"].items()
        if "get" in operations and "{" not in path
    ]

    def statements(path: str) -> int:
        with trace(engine) as seen:
            answer = client.get(path)
        assert answer.status_code == 200, f"{path} answers {answer.status_code}"
        return len(seen.statements)

    fill(engine, 2)
    few = {path: statements(path) for path in paths}
    fill(engine, 8)
    for path in paths:
        many = statements(path)
        assert many <= few[path], f"{path}: {few[path]} statements for few, {many} for many"
    # END SOLUTION


# %% check="09.guard"
check("09.guard")

# %% [markdown]
# ## In a test suite
#
# Wrapped in a test, a budget stands guard in every run from now on. Here is a real pytest with one, first on the app
# from Friday, then on its cure. (The fixtures hand over what the notebook has; a project imports it.)

# %% tags=["recorded"]
import tempfile
from pathlib import Path

import pytest

TEST = """
import pytest
from fastapi.testclient import TestClient

@pytest.mark.parametrize("path", ["/authors"])
def test_a_list_stays_within_its_budget(shop_app, shop_budget, path):
    with shop_budget:
        assert TestClient(shop_app).get(path).status_code == 200
"""


# %% tags=["recorded"]
class Fixtures:
    """Hands the notebook's app to the tests, and says what became of each."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    @pytest.fixture
    def shop_app(self) -> FastAPI:
        return self.app

    @pytest.fixture
    def shop_budget(self) -> Any:
        return budget(engine, most=3)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            print(report.outcome.upper(), report.nodeid)
        if report.failed:
            print("  ", report.longrepr.reprcrash.message.splitlines()[0])


# %% tags=["recorded"]
with tempfile.TemporaryDirectory() as folder:
    tests = Path(folder) / "test_budgets.py"
    tests.write_text(TEST)
    quietly = ["-p", "no:terminal", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    for app in (listing(AuthorAndMore, selectinload(Author.books)), listing(AuthorAndMore, cured)):
        pytest.main([*quietly, str(tests)], plugins=[Fixtures(app)])

# %% [markdown]
# Red on Friday at noon instead of at 2 a.m. Lesson 17 makes a whole suite of such tests.

# %% [markdown]
# # Recap
#
# ## The recipe
#
# Three things to keep: a budget for tests, a list that says what it loads and refuses the rest, and figures that the
# database works out.

# %% tags=["recipe"]
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, ForeignKey, StaticPool, create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm import raiseload, selectinload, sessionmaker


@contextmanager
def at_most(most: int, engine: Engine) -> Iterator[list[str]]:
    """Fail when a block sends more statements than this; for an AsyncEngine, its sync_engine."""
    sent: list[str] = []

    def write_down(
        connection: Any, cursor: Any, statement: str, params: Any, context: Any, many: bool
    ) -> None:
        sent.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", write_down)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", write_down)
    listed = "\n".join(f"{times} x {one}" for one, times in Counter(sent).most_common())
    assert len(sent) <= most, f"{len(sent)} statements, {most} allowed:\n{listed}"


class Model(DeclarativeBase):
    pass


class Shelf(Model):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    items: Mapped[list["Item"]] = relationship(back_populates="shelf", lazy="raise")


class Item(Model):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"), index=True)
    shelf: Mapped["Shelf"] = relationship(back_populates="items", lazy="raise")


database = create_engine(  # a file or a server needs neither of the two arguments
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)
Model.metadata.create_all(database)
DatabaseSession = sessionmaker(database)


def open_session() -> Iterator[Session]:
    with DatabaseSession.begin() as session:
        yield session


DatabaseDep = Annotated[Session, Depends(open_session, scope="function")]


class ItemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    title: str


class ShelfOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    items: list[ItemOut]


api = FastAPI()


@api.get("/shelves", response_model=list[ShelfOut])
def list_shelves(session: DatabaseDep) -> list[Shelf]:
    named = selectinload(Shelf.items), raiseload("*")  # this, and nothing else
    return list(session.scalars(select(Shelf).order_by(Shelf.id).options(*named)))


@api.get("/shelves/sizes")
def sizes_of_shelves(session: DatabaseDep) -> dict[str, int]:
    size = select(func.count(Item.id)).where(Item.shelf_id == Shelf.id).scalar_subquery()
    return {name: items for name, items in session.execute(select(Shelf.name, size))}


def test_lists_stay_lean() -> None:
    with DatabaseSession.begin() as session:  # several parents, which differ
        for name in "abc":
            session.add(Shelf(name=name, items=[Item(title=f"{name}{part}") for part in (1, 2)]))
    client = TestClient(api)
    with at_most(2, database):
        assert len(client.get("/shelves").json()) == 3
    with at_most(1, database):
        assert client.get("/shelves/sizes").json() == {"a": 2, "b": 2, "c": 2}


test_lists_stay_lean()

# %% [markdown]
# ## The rules
#
# - N+1: one statement for the list, one more for each different member. It grows; that is how to know it.
# - No index helps, and no slow-query log shows it: what you pay is the way there and back, once for each row.
# - To one: `joinedload`. To many: `selectinload`. When in doubt: `selectinload`.
# - Never join two collections; they multiply. A budget counts rows, too.
# - `joinedload` with `LIMIT` is right, a join of your own is not, and `contains_eager` loses rows in silence.
# - Say what to load in the query, not for ever on the model. On the model, say `raise`.
# - Counting and summing is the database's work: `outerjoin`, `group_by` the key, `coalesce`, each collection by itself.
# - A schema's field, a property, a log line: whoever reads an attribute asks the database.
# - Test with several parents that differ, look at the status, and compare few with many.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `InvalidRequestError: The unique() method must be invoked on this Result ...` | `joinedload` of a collection: an author comes once for each book. Say `.unique()`, or take `selectinload` |
# | `InvalidRequestError: 'Author.books' is not available due to lazy='raise'` | nobody asked for it in the query; add the option |
# | `ResponseValidationError: Error extracting attribute: InvalidRequestError: ...` | the same, met by `response_model`: a field of the schema is not loaded |
# | `AssertionError: 11 statements, 2 allowed` | your own budget: the list grew a lazy load |
#
# ## In production
#
# - The further the database, the dearer the N+1: measure with production's distance, or count, which is the same
#   everywhere.
# - PostgreSQL's [pg_stat_statements](https://www.postgresql.org/docs/current/pgstatstatements.html) shows it from the
#   other side: an enormous `calls` beside a tiny `mean_exec_time`. Sort by `calls`.
# - The counter also fits into a middleware: log the number of statements of each request, and look at whoever sends
#   more than twenty.
# - Even two statements are too many for a list without `LIMIT`: lesson 02 bounds the page, lesson 10 makes its depth
#   cheap.
# - A collection that may have a hundred thousand members should not be loadable by accident: `WriteOnlyMapped`
#   (lesson 04).
#
# ## Read more
#
# - SQLAlchemy: [Relationship loading techniques](https://docs.sqlalchemy.org/en/21/orm/queryguide/relationships.html),
#   [The zen of joined eager loading](https://docs.sqlalchemy.org/en/21/orm/queryguide/relationships.html#the-zen-of-joined-eager-loading),
#   [contains_eager](https://docs.sqlalchemy.org/en/21/orm/queryguide/relationships.html#contains-eager)
# - SQLite: [Many small queries are efficient in SQLite](https://sqlite.org/np1queryprob.html)
