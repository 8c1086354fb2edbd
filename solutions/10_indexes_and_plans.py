# %% [markdown]
# # 10 Indexes and query plans
#
# When you are through, you can ask a database how it means to answer a query, read what it says, and give it the index
# that changes the answer; your last page is as quick as your first; and an export of everything takes a megabyte.
#
# Friday, 2 a.m. "My orders" takes four seconds. In spring it took four milliseconds. Nobody has touched that endpoint
# since, which is exactly what is wrong with it: the code has stayed as it was, and the table has not.

# %% [markdown]
# ## The shop, grown up
#
# A hundred thousand orders by five thousand customers. No index but the primary keys.

# %% tags=["setup"]
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy import ClauseElement, Engine, Executable, ForeignKey, Index, MetaData, Select
from sqlalchemy import StaticPool, and_, create_engine, func, insert, or_, select, text, tuple_
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, load_only
from sqlalchemy.orm import mapped_column, relationship, sessionmaker

from checks import TODO, check, hint, progress, solution, trace
from checks.charts import plot

NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


# %% tags=["setup"]
class ShopBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Buyer(ShopBase):
    __tablename__ = "buyer"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    sales: Mapped[list["Sale"]] = relationship(back_populates="buyer")


class Sale(ShopBase):
    __tablename__ = "sale"

    id: Mapped[int] = mapped_column(primary_key=True)
    buyer_id: Mapped[int] = mapped_column(ForeignKey("buyer.id"))
    status: Mapped[str]
    placed: Mapped[datetime]
    total: Mapped[int]  # cents
    note: Mapped[str]
    buyer: Mapped[Buyer] = relationship(back_populates="sales")


# %% tags=["setup"]
def memory(**options: Any) -> Engine:
    """A database in memory that endpoints can use as well: lesson 01."""
    return create_engine(
        "sqlite://", connect_args={"check_same_thread": False} | options, poolclass=StaticPool
    )


COUNT = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows)"
BUYERS = f"{COUNT} INSERT INTO buyer (email) SELECT 'reader' || i || '@example.com' FROM n"
SALES = f"""{COUNT} INSERT INTO sale (buyer_id, status, placed, total, note)
SELECT 1 + i * 7919 % 5000,
       CASE WHEN i % 50 THEN 'sent' ELSE 'open' END,
       strftime('%Y-%m-%d %H:%M:%S.000000', 1735689600 + i / 5 * 1500, 'unixepoch'),
       500 + i * 31 % 9000,
       'Leave it with the neighbour, who reads as well.'
FROM n"""


def fill(engine: Engine, sales: int) -> None:
    """Five thousand buyers, and their sales: five at a time, every 25 minutes of 2025."""
    ShopBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text(BUYERS), {"rows": 5_000})
        connection.execute(text(SALES), {"rows": sales})


# %% tags=["setup"]
shop = memory(cached_statements=0)  # why: see the first plan
started = time.perf_counter()
fill(shop, 100_000)
print(f"100,000 sales made in {(time.perf_counter() - started) * 1000:.0f} ms")
ShopSession = sessionmaker(shop)

# %% [markdown]
# That is quick because no row ever was in Python: one INSERT counts to a hundred thousand and writes what it counts.
# We come back to writing many rows.
#
# # 1. Ask before you guess
#
# ## The plan
#
# "My orders" sends this:

# %% tags=["setup"]
NEWEST = (Sale.placed.desc(), Sale.id.desc())


def latest_of(buyer_id: int) -> Select[Any]:
    """The twenty latest sales to somebody."""
    return select(Sale).where(Sale.buyer_id == buyer_id).order_by(*NEWEST).limit(20)


# %% [markdown]
# Put `EXPLAIN QUERY PLAN` in front of a query, and SQLite says how it *would* go about it, without doing it. SQLAlchemy
# has no word for that, but it can be taught one. The class is a statement that holds another; the functions say how it is
# spelt, here and on PostgreSQL:


# %% tags=["setup"]
class Explain(Executable, ClauseElement):
    """How the database would answer a query, as a statement."""

    inherit_cache = False

    def __init__(self, query: Select[Any]) -> None:
        self.query = query


@compiles(Explain)
def spell_it(asked: Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN QUERY PLAN {compiler.process(asked.query, **options)}"


@compiles(Explain, "postgresql")
def spell_it_there(asked: Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (COSTS OFF) {compiler.process(asked.query, **options)}"


# %% [markdown]
# Why not paste the query and its values into a text? Because that asks about another query: yours has `?` where the
# values belong, and part 3 has one that is planned differently for it. Now the plan beside the time:


# %% tags=["setup"]
def ms(query: Select[Any]) -> float:
    """How many milliseconds it takes, asked again and again for a twentieth of a second."""
    with shop.connect() as connection:
        connection.execute(query).all()
        runs, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < 0.05:
            connection.execute(query).all()
            runs += 1
    return took / runs * 1000


def look(what: str, query: Select[Any]) -> None:
    """Print how long a query takes, and how SQLite goes about it."""
    with shop.connect() as connection:
        steps = [step.detail for step in connection.execute(Explain(query))]
    print(f"{what:28} {ms(query):7.2f} ms ", *steps[:1])
    for step in steps[1:]:
        print(" " * 40, step)


# %%
look("as it is", latest_of(7))

# %% [markdown]
# Read it aloud. **SCAN sale**: go through every row. **USE TEMP B-TREE FOR ORDER BY**: collect what fits, then sort it.
# A hundred thousand rows are read so that twenty can be shown. Twice the orders, twice the time; that was your spring.
#
# (`cached_statements=0` above: Python's driver keeps prepared statements, an EXPLAIN among them, and would tell us
# yesterday's plan when there is an index since today. An app does not ask for plans, and leaves it out.)
#
# ## An index
#
# An index is a second, small table: the columns you name, **sorted**, each with the number of its row. To find 7 in
# something sorted you open it in the middle. Here is one to try on and take off again:


# %% tags=["setup"]
@contextmanager
def index(columns: str, where: str = "") -> Iterator[None]:
    """An index on `sale`, for as long as the block lasts."""
    with shop.begin() as connection:
        connection.execute(text(f"CREATE INDEX tried ON sale ({columns}) {where}"))
    try:
        yield
    finally:
        with shop.begin() as connection:
            connection.execute(text("DROP INDEX tried"))


# %% [markdown]
# **Predict.** `buyer_id` gets an index. Which of the two parts of that plan goes away?

# %%
look("without", latest_of(7))
with index("buyer_id"):
    look("with an index on buyer_id", latest_of(7))

# %% [markdown]
# The **SEARCH** has come: some twenty rows are touched and not a hundred thousand. The sorting has stayed, since those
# rows come out in the order of the index, not of `placed`. Sorting twenty is nothing; part 2 gets rid of it all the same.
#
# Did you notice that `buyer_id` is a **foreign key**, and was scanned for like any other column? A foreign key is a
# promise, not an index. SQLite makes none for it and
# [neither does PostgreSQL](https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK). There is a
# second bill for that, when a *buyer* is deleted: the database then has to look whether any sale points at them.
# `unique=True` and a primary key do bring an index, for they could not be kept otherwise.
#
# In a model it is one word, `mapped_column(..., index=True)`, and in a running shop it is a migration (lesson 07).

# %% [markdown]
# ## Exercise 10.1: two filters
#
# The parcel desk asks two things, all day: *which parcels has this customer?* and *which parcel is this?*, with a
# scanner. The endpoints are written:


# %% tags=["setup"]
def parcel_desk(engine: Engine, model: Any) -> FastAPI:
    """What the desk asks, of any class with `customer_id`, `barcode` and `grams`."""
    desk = FastAPI()

    @desk.get("/parcels")
    def parcels_of(customer_id: int) -> list[str]:
        with Session(engine) as session:
            mine = select(model.barcode, model.grams).where(model.customer_id == customer_id)
            return [parcel.barcode for parcel in session.execute(mine.order_by(model.id))]

    @desk.get("/parcels/{barcode}")
    def parcel(barcode: str) -> dict[str, int]:
        with Session(engine) as session:
            found = session.scalars(select(model).where(model.barcode == barcode)).first()
            if found is None:
                raise HTTPException(404, "No such parcel.")
            return {"customer_id": found.customer_id, "grams": found.grams}

    return desk


# %% [markdown]
# Complete the model, so that
#
# - both questions are answered with a SEARCH;
# - the database never takes the same barcode twice;
# - there is **no index that neither question needs**: each one is paid for with every parcel.


# %% exercise="10.two_filters"
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)


class Parcel(Base):
    __tablename__ = "parcel"

    id: Mapped[int] = mapped_column(primary_key=True)
    # BEGIN STARTER
    # customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    # barcode: Mapped[str]
    # grams: Mapped[int]
    # END STARTER
    # BEGIN SOLUTION
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    barcode: Mapped[str] = mapped_column(unique=True)
    grams: Mapped[int]
    # END SOLUTION


engine = memory()
Base.metadata.create_all(engine)
app = parcel_desk(engine, Parcel)

# %% check="10.two_filters"
check("10.two_filters")

# %% [markdown]
# ## An index that cannot help
#
# All of these ask about a column that has an index now. **Predict** which of them use it.

# %%
JUNE = datetime(2025, 6, 1)

with index("placed"):
    look(
        "in a range", select(Sale.id).where(Sale.placed >= JUNE, Sale.placed < JUNE + timedelta(1))
    )
    look("inside a function", select(Sale.id).where(func.date(Sale.placed) == "2025-06-01"))
with index("buyer_id"):
    look("after arithmetic", select(Sale.id).where(Sale.buyer_id * 10 == 70))
    look("anything but", select(func.count()).where(Sale.buyer_id != 7))
with index("status"):
    look("by its beginning", select(Sale.id).where(Sale.status >= "op", Sale.status < "oq"))
    look("by its end", select(Sale.id).where(Sale.status.like("%pen")))

# %% [markdown]
# Two of the six: the range, and the beginning. The index is sorted by `placed`, not by what `date()` makes of it, and to
# find words by their end in a dictionary you read the dictionary. (`SCAN ... USING COVERING INDEX` looks like a success.
# It is still a SCAN: it reads the whole index instead of the whole table, since that is thinner.)
#
# So: leave the **column alone on its side** of the comparison, and do the arithmetic on the other. Where that cannot be
# done, the *expression* can be indexed:

# %%
by_day = select(Sale.id).where(func.date(Sale.placed) == "2025-06-01")
with index("date(placed)"):
    look("the expression itself", by_day)

# %% [markdown]
# The usual one is `lower(email)`, and lesson 12 makes it unique. The expression in the query has to be the one in the
# index, to the letter. ([SQLite: indexes on expressions](https://www.sqlite.org/expridx.html))

# %% [markdown]
# # 2. Two columns, one order
#
# ## Both ways
#
# "My orders" filters by `buyer_id` and sorts by `placed`. One index can hold both, and there are two ways to write it
# down. **Predict**: does it matter?

# %%
for columns in ("buyer_id", "placed", "placed, buyer_id", "buyer_id, placed"):
    with index(columns):
        look(columns, latest_of(7))

# %% [markdown]
# A telephone book is sorted by surname, then by first name. Everybody called *Woolf*: one place, and the Virginias are
# in order there. Everybody called *Virginia*: the whole book.
#
# `(buyer_id, placed)` has all sales of buyer 7 next to each other, by date: go to their end, take twenty backwards, stop.
# No sorting is left. `(placed, buyer_id)` has them strewn over the whole year. And `placed` alone is worse than no index
# at all: to save itself the sorting, the planner walks the index from its end and jumps to the table for each entry, in
# the hope of twenty that fit. A wrong index is not always idle; it can be in the way.
#
# ## A value and a range
#
# The packers ask for what is still open and was placed since some day, oldest first:

# %%
due = (
    select(Sale.id, Sale.placed, Sale.total)
    .where(Sale.status == "open", Sale.placed >= datetime(2025, 9, 1))
    .order_by(Sale.placed, Sale.id)
)
for columns in ("status", "placed", "placed, status", "status, placed"):
    with index(columns):
        look(columns, due)

# %% [markdown]
# The brackets of a SEARCH say what the index narrowed by. `(placed, status)` shows `(placed>?)` alone: it goes to
# September and reads on to the end, looking at each status on the way. `(status, placed)` shows both. The rule that comes
# of it:
#
# 1. columns compared with `=` first, in any order;
# 2. then **one** column with a range, or the columns of the ORDER BY in their order;
# 3. behind a range, nothing is narrowed any more.
#
# And the *left part* of an index is an index: with `(buyer_id, placed)` you need none on `buyer_id`.
# ([SQLite's query planner](https://www.sqlite.org/queryplanner.html), [Use The Index, Luke](https://use-the-index-luke.com/sql/where-clause/the-equals-operator/concatenated-keys))
#
# ## Covering
#
# When the index holds every column that the query needs, the table is not opened at all:

# %%
amounts = select(func.sum(Sale.total)).where(Sale.status == "sent")
for columns in ("status", "status, total"):
    with index(columns):
        look(columns, amounts)

# %% [markdown]
# `COVERING` has saved 98,000 jumps from the index to the table. That works only while you select those columns and no
# others: `select(Sale)` asks for all of them, and then no index covers. On PostgreSQL, columns that are only along for
# the ride go into `postgresql_include=["total"]`.
#
# ## Partial, and unique
#
# Two sales in a hundred are open, and nobody asks for the others by date. An index may leave rows out:

# %%
for columns, where in (("status, placed", ""), ("placed", "WHERE status = 'open'")):
    with index(columns, where):
        look(f"{columns} {where}", due)

# %% [markdown]
# About the same work for the query, and an index of two thousand entries in place of a hundred thousand. A sale that is
# `sent` costs it nothing. It serves only queries that say `status = 'open'`.
#
# Partial **and** unique is a rule that no constraint can state: *one basket for each buyer, and as many sales as they
# like.*

# %%
with shop.begin() as connection:
    connection.execute(text("CREATE UNIQUE INDEX one ON sale (buyer_id) WHERE status = 'basket'"))

basket = {"buyer_id": 7, "status": "basket", "placed": JUNE, "total": 0, "note": ""}
with ShopSession() as session:
    session.execute(insert(Sale), basket)
    try:
        session.execute(insert(Sale), basket)
    except IntegrityError as error:
        print(type(error).__name__, error.orig)

with shop.begin() as connection:
    connection.execute(text("DROP INDEX one"))

# %% [markdown]
# In a model: `Index("ix_...", "buyer_id", unique=True, sqlite_where=..., postgresql_where=...)`, once for each database.
# ([Partial indexes](https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#partial-indexes))

# %% [markdown]
# ## What it costs
#
# Then why not index everything? Because every INSERT writes the row *and* an entry into each index, each at its own
# place. **Predict** how much longer the same 30,000 sales take with six indexes than with none.

# %%
SIX = ("buyer_id", "status, placed", "placed", "total", "buyer_id, placed", "total, status")


def written(indexes: tuple[str, ...]) -> tuple[float, float]:
    """The milliseconds that 30,000 sales take with these indexes, and the MB that they fill."""
    trial = memory()
    ShopBase.metadata.create_all(trial)
    with trial.begin() as connection:
        for number, columns in enumerate(indexes):
            connection.execute(text(f"CREATE INDEX ix_{number} ON sale ({columns})"))
    started = time.process_time()
    fill(trial, 30_000)
    took = time.process_time() - started
    with trial.connect() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
    return took * 1000, pages * 4096 / 1e6


for number in (0, 1, 3, 6):
    took, size = min(written(SIX[:number]) for _ in range(3))
    print(f"indexes: {number} {took:6.0f} ms │ {size:6.1f} MB")

# %% [markdown]
# Several times the work, and more room for the indexes than for the table. It is worth it for a question that is asked a
# thousand times a day. It is not for one that nobody asks, which is why the next check counts your indexes.
#
# ## Exercise 10.2: the right order
#
# The order desk asks two things:


# %% tags=["setup"]
def order_desk(engine: Engine, model: Any) -> FastAPI:
    """What the desk asks, of any class with `customer_id`, `status` and `placed`."""
    desk = FastAPI()

    @desk.get("/latest")
    def latest(customer_id: int) -> list[int]:
        with Session(engine) as session:
            mine = select(model).where(model.customer_id == customer_id)
            newest = mine.order_by(model.placed.desc(), model.id.desc()).limit(20)
            return [order.id for order in session.scalars(newest)]

    @desk.get("/due")
    def due(status: str, since: datetime) -> list[int]:
        with Session(engine) as session:
            wanted = select(model).where(model.status == status, model.placed >= since)
            return [order.id for order in session.scalars(wanted.order_by(model.placed, model.id))]

    return desk


# %% [markdown]
# Give `Order` **two indexes and no more**, so that
#
# - `/latest` touches only that customer's orders, and sorts nothing;
# - `/due` is narrowed by the status *and* by the date, whatever the status, and sorts nothing.
#
# `Index("a name", "one_column", "another")` goes into `__table_args__`, a tuple.


# %% exercise="10.right_order"
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Order(Base):
    __tablename__ = "orders"
    # BEGIN STARTER
    # __table_args__ = ()
    # END STARTER
    # BEGIN SOLUTION
    __table_args__ = (
        Index("ix_orders_customer_id_placed", "customer_id", "placed"),
        Index("ix_orders_status_placed", "status", "placed"),
    )
    # END SOLUTION

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    status: Mapped[str]
    placed: Mapped[datetime]


engine = memory()
Base.metadata.create_all(engine)
app = order_desk(engine, Order)

# %% check="10.right_order"
check("10.right_order")

# %% [markdown]
# The `id` behind `placed` needed no room in the index: in SQLite every index ends with the row's id. PostgreSQL's do not,
# and there you write `("customer_id", "placed", "id")`.

# %% [markdown]
# # 3. Page nine thousand
#
# ## Counting off
#
# Lesson 02 made pages stable with a total order, and left a bill: `OFFSET` counts off what it skips. Here is all of
# Dog-Eared's year, newest first, ten to a page. It gets the best index that there is, and it stays:

# %% tags=["setup"]
with shop.begin() as connection:
    connection.execute(text("CREATE INDEX IF NOT EXISTS ix_sale_placed_id ON sale (placed, id)"))

newest = select(Sale.id, Sale.placed, Sale.total).order_by(*NEWEST).limit(10)

# %% [markdown]
# **Predict.** Page 9,000 against page 1: the same, twice, a hundred times?

# %%
for page in (1, 10, 100, 1_000, 9_000):
    look(f"page {page:5,}", newest.offset((page - 1) * 10))

# %% [markdown]
# The plan is the same on every page, and that is what is wrong with it: SCAN, from the top, ninety thousand rows, thrown
# away one by one. A crawler that reads your pages to the end makes your database read the table thousands of times.
#
# ## Begin where the last page ended
#
# What does the client know that page 8,999 ended with? The `placed` of its last sale. So ask for what comes *after*
# that. **Predict** what is wrong with this one:

# %%
with ShopSession() as session:
    page_one = session.execute(newest).all()
    last = page_one[7]  # suppose that a page had eight
    page_two = session.execute(newest.where(Sale.placed < last.placed)).all()

print("page one:", [sale.id for sale in page_one[:8]])
print("page two:", [sale.id for sale in page_two])

# %% [markdown]
# Two sales are on no page. Five were placed in the same moment, and `<` skipped those that page one had no room for. With
# `<=` they would be there, and others twice. The place in a total order is the **whole** sort key, here `placed` and `id`:
# *earlier, or at the same moment with a smaller id.*
#
# ## Two ways to say it
#
# That sentence can be translated word by word. SQL also compares whole rows, like Python compares tuples. **Predict**
# which of the two uses the index.

# %%
with ShopSession() as session:
    deep = session.execute(newest.offset(89_989).limit(1)).one()

word_by_word = newest.where(
    or_(Sale.placed < deep.placed, and_(Sale.placed == deep.placed, Sale.id < deep.id))
)
as_a_row = newest.where(tuple_(Sale.placed, Sale.id) < tuple_(deep.placed, deep.id))

look("with OR", word_by_word)
look("with tuple_", as_a_row)
with ShopSession() as session:
    print("the same rows:", session.execute(word_by_word).all() == session.execute(as_a_row).all())

# %% [markdown]
# The same rows, the same index, and one of them is worse than the OFFSET it was to replace. An `OR` is two conditions to
# the planner, and neither says where to begin; so it walks from the top and asks each row. `(placed, id) < (?, ?)` is a
# *place*, and the index is opened there. ([Row values](https://www.sqlite.org/rowvalue.html#scrolling_window_queries);
# PostgreSQL [compares rows](https://www.postgresql.org/docs/current/functions-comparisons.html#ROW-WISE-COMPARISON) in
# the same way.)
#
# (With the values pasted in, SQLite sees that both `placed` are the same value and finds the beginning by itself. With `?`,
# as an app sends it, it cannot know. So the plan that you try out in a console may not be yours:)

# %%
pasted = word_by_word.compile(shop, compile_kwargs={"literal_binds": True})
with shop.connect() as connection:
    print(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {pasted}").one().detail)

# %% [markdown]
# One limit of comparing rows: the columns all run in the same direction. For `placed` downwards and `total` upwards,
# keep the `OR` and put `Sale.placed <= last.placed` in front of it. That says where to begin.

# %%
look("with OR, and a beginning", word_by_word.where(Sale.placed <= deep.placed))

# %% [markdown]
# ## Measured

# %%
PAGES = (1, 10, 100, 1_000, 9_000)


def after(skipped: int) -> Select[Any]:
    """The page that begins behind so many sales, found by its place."""
    if not skipped:
        return newest
    with ShopSession() as session:
        last = session.execute(newest.offset(skipped - 1).limit(1)).one()
    return newest.where(tuple_(Sale.placed, Sale.id) < tuple_(last.placed, last.id))


plot(
    "One page of ten, as pages go deep",
    PAGES,
    {
        "OFFSET": [ms(newest.offset((page - 1) * 10)) for page in PAGES],
        "keyset": [ms(after((page - 1) * 10)) for page in PAGES],
    },
    x_label="page",
    y_label="milliseconds",
    log_x=True,
    log_y=True,
)

# %% [markdown]
# One rises with the page, the other does not know which page it is on. And a sale that comes in at the top shifts
# nothing, which is the other bill of lesson 02.
#
# The price: one can go on, not jump. No "page 57 of 9,000". The sort order is the index, so each order that you offer
# wants its own. A catalogue of two hundred books with page numbers is well served by OFFSET; a feed, an export or an API
# that is read by programs is not.
#
# The client should not have to know your sort key. It is handed a **bookmark** and brings it back:


# %% tags=["setup"]
def bookmark(placed: datetime, id: int) -> str:
    """A place in the list, for the client to keep."""
    return f"{placed.isoformat()}_{id}"


def place(bookmark: str) -> tuple[datetime, int]:
    """What a bookmark says.

    Raises:
        HTTPException: 422, it is not one of ours.
    """
    placed, _, id = bookmark.partition("_")
    try:
        return datetime.fromisoformat(placed), int(id)
    except ValueError as error:
        raise HTTPException(422, "That is no bookmark of ours.") from error


# %% [markdown]
# ## Exercise 10.3: keyset paging
#
# Write `GET /orders`, newest first: by `placed`, and by `id` where that is equal, both downwards.
#
# - It answers `{"orders": [{"id": ..., "total": ...}, ...], "next": ...}` with at most `limit` orders.
# - `next` is a bookmark, and `/orders?after=<bookmark>` goes on from there. When there is nothing more, it is `null`. (An
#   empty page at the end, with `null`, is fine.)
# - Whoever goes through the pages meets each order once, even when a new one comes in meanwhile.
# - A page that begins at a bookmark is *found*: a SEARCH, no sorting, and no more rows fetched than `limit + 1`.
# - Rubbish for a bookmark is a 422. (`place` sees to that.)


# %% exercise="10.keyset"
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = (Index(None, "placed", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    placed: Mapped[datetime]
    total: Mapped[int]


engine = memory()
Base.metadata.create_all(engine)
app = FastAPI()


@app.get("/orders")
# BEGIN STARTER
# def list_orders(
#     limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None
# ) -> dict[str, Any]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def list_orders(
    limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None
) -> dict[str, Any]:
    query = select(Order.id, Order.placed, Order.total)
    if after is not None:
        query = query.where(tuple_(Order.placed, Order.id) < tuple_(*place(after)))
    with Session(engine) as session:
        newest = query.order_by(Order.placed.desc(), Order.id.desc())
        found = session.execute(newest.limit(limit + 1)).all()
    page = found[:limit]  # the one more says whether there is more
    return {
        "orders": [{"id": order.id, "total": order.total} for order in page],
        "next": bookmark(page[-1].placed, page[-1].id) if len(found) > limit else None,
    }


# END SOLUTION


# %% check="10.keyset"
check("10.keyset")

# %% [markdown]
# # 4. No more than you need
#
# ## Columns
#
# An index finds rows. What you do with them costs as well: `select(Sale)` reads every column and makes an object of each
# row, tracked by the session, ready to be changed. For a list that is only shown, that is a lot of ceremony. **Predict**
# the order of these three:


# %%
def read(query: Select[Any]) -> str:
    """How long it takes to have all rows, as a session gives them."""
    started = time.perf_counter()
    with ShopSession() as session:
        session.execute(query).all()
    return f"{(time.perf_counter() - started) * 1000:6.0f} ms"


print("objects:        ", read(select(Sale).limit(20_000)))
print("load_only:      ", read(select(Sale).options(load_only(Sale.total)).limit(20_000)))
print("columns:        ", read(select(Sale.id, Sale.total).limit(20_000)))

# %% [markdown]
# Columns win by a wide margin, and not because they are fewer: `load_only` reads just as few, and still makes twenty
# thousand objects. So, to show or to sum: **columns**. To change: objects. `load_only` is for objects with a heavy
# column that you do not want along, a scan of the invoice, say. Then ask that whoever does touch it hears about it:

# %%
light = select(Sale).options(load_only(Sale.total, raiseload=True)).limit(1)
with ShopSession() as session:
    sale = session.scalars(light).one()
    try:
        sale.note
    except InvalidRequestError as error:
        print(type(error).__name__, error)

# %% [markdown]
# Without `raiseload=True` it would have been loaded, silently, one SELECT a row. That is lesson 09's N+1 by another door.
#
# ## All of it, at once
#
# The bookkeeper wants the year as CSV. The obvious way, and its memory at the worst moment:

# %%
import tracemalloc


def peak(work: Callable[[int], Any], rows: int) -> float:
    """The most memory that Python held meanwhile, in MB."""
    tracemalloc.start()
    try:
        work(rows)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def all_at_once(rows: int) -> int:
    with ShopSession() as session:
        return sum(sale.total for sale in session.scalars(select(Sale).limit(rows)).all())


def in_parts(rows: int) -> int:
    with ShopSession() as session:
        sales = select(Sale).limit(rows).execution_options(yield_per=500)
        return sum(sale.total for sale in session.scalars(sales))


# %% [markdown]
# `yield_per=500`: fetch five hundred rows, make five hundred objects, hand them out, forget them, fetch the next.
# **Predict** both lines.

# %%
ROWS = (500, 1_000, 5_000, 20_000)
plot(
    "Memory to read so many sales",
    ROWS,
    {
        "all()": [peak(all_at_once, rows) for rows in ROWS],
        "yield_per": [peak(in_parts, rows) for rows in ROWS],
    },
    x_label="sales",
    y_label="MB at the worst moment",
)

# %% [markdown]
# One line is your table, and the day it is larger than the machine is the day of the outage. The other is flat. A
# `for` loop over the result *looks* as careful, and is not: without `yield_per`, a session has read everything before you
# get the first.
#
# It does not go with a `joinedload` of a collection. What belongs to one buyer may stand on both sides of the cut:

# %%
everybody = select(Buyer).options(joinedload(Buyer.sales)).execution_options(yield_per=500)
with ShopSession() as session:
    try:
        session.scalars(everybody).unique().first()
    except InvalidRequestError as error:
        print(type(error).__name__, "-", str(error).split(". ")[0])

# %% [markdown]
# `selectinload` does go: one more SELECT for each part.
# ([Fetching large result sets](https://docs.sqlalchemy.org/en/21/orm/queryguide/api.html#fetching-large-result-sets-with-yield-per))
#
# ## Out of the door
#
# Reading in parts helps nobody if the answer is then put together in memory. A `StreamingResponse` takes an iterator and
# sends each piece as it comes. **Predict**: how many rows had been read when the first piece left?

# %%
export = FastAPI()


@export.get("/first")
def first_sales() -> StreamingResponse:
    def pieces() -> Iterator[str]:
        columns = select(Sale.id, Sale.total).order_by(Sale.id).limit(2_000)
        with ShopSession() as session:
            sales = session.execute(columns, execution_options={"yield_per": 500})
            for part in sales.partitions():
                yield "".join(f"{sale.id},{sale.total}\n" for sale in part)

    return StreamingResponse(pieces(), media_type="text/csv")


with trace(export, shop) as seen:
    TestClient(export).get("/first")

for chunk in seen.of("chunk"):
    print(f"{chunk['size']} bytes leave, {chunk['read']:,} rows have been read")
seen

# %% [markdown]
# Five hundred, then a thousand, and so on: pieces leave while rows come in. And look where the connection goes back:
# *after* the last piece. An export holds one for as long as the slowest client reads, so give it an engine with a small
# pool of its own (lesson 06).
#
# A piece a row would work, too. But each piece is a trip to the thread pool and back; `partitions()` makes it one trip
# for five hundred.
#
# ## The session that had gone home
#
# You have a `SessionDep`. Why not use that?


# %%
def get_db() -> Iterator[Session]:
    with ShopSession.begin() as session:
        yield session


@export.get("/borrowed")
def borrowed(session: Annotated[Session, Depends(get_db, scope="function")]) -> StreamingResponse:
    def pieces() -> Iterator[str]:
        columns = select(Sale.id, Sale.total).limit(2_000).execution_options(yield_per=500)
        for part in session.execute(columns).partitions():
            yield "".join(f"{sale.id},{sale.total}\n" for sale in part)

    return StreamingResponse(pieces(), media_type="text/csv")


with trace(export, shop) as seen:
    TestClient(export).get("/borrowed")

seen

# %% [markdown]
# **Session opened, again, after it was closed.** With `scope="function"` the dependency ends before the response, as it
# should. The body is made afterwards, asks a closed session, and a closed session opens itself again. Nobody closes it a
# second time: at the end of that timeline a connection is out, and no line brings it back.
#
# A body that streams opens its own session, inside the generator. (A dependency in the default scope would last long
# enough, if you can be sure that nobody changes that for good reasons: lesson 03.)

# %% [markdown]
# ## Exercise 10.4: the export
#
# Write `GET /export.csv`: a line `id,customer_id,total` first, then one for each order, by `id`, every line ended by a
# `\n`.
#
# - It streams: at no time are more than **500** rows read that have not left yet.
# - The rows are **asked for** in parts, with `yield_per` or page by page: *On a server*, below, shows why that is not the
#   same.
# - When the last piece has left, the session is closed and the connection is back; and not before.


# %% exercise="10.export"
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    total: Mapped[int]


engine = memory()
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)
app = FastAPI()


@app.get("/export.csv")
# BEGIN STARTER
# def export_orders() -> StreamingResponse:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def export_orders() -> StreamingResponse:
    def pieces() -> Iterator[str]:
        yield "id,customer_id,total\n"
        columns = select(Order.id, Order.customer_id, Order.total).order_by(Order.id)
        with SessionLocal() as session:
            orders = session.execute(columns.execution_options(yield_per=500))
            for part in orders.partitions():
                yield "".join(f"{one.id},{one.customer_id},{one.total}\n" for one in part)

    return StreamingResponse(pieces(), media_type="text/csv")


# END SOLUTION


# %% check="10.export"
check("10.export")

# %% [markdown]
# ## Writing many rows
#
# The other direction. Five thousand sales that a partner sends, four ways. **Predict** which stands out.


# %%
partner = [
    {"buyer_id": 1 + i % 5000, "status": "sent", "placed": JUNE, "total": i, "note": ""}
    for i in range(5_000)
]


def one_by_one(session: Session) -> None:
    for sale in partner:
        session.execute(insert(Sale).values(**sale))


def as_objects(session: Session) -> None:
    session.add_all(Sale(**sale) for sale in partner)
    session.flush()


def in_bulk(session: Session) -> None:
    session.execute(insert(Sale), partner)


def by_the_database(session: Session) -> None:
    session.execute(text(SALES), {"rows": 5_000})


# %%
for write in (one_by_one, as_objects, in_bulk, by_the_database):
    with trace(shop) as seen, ShopSession() as session:
        started = time.perf_counter()
        write(session)
        took = (time.perf_counter() - started) * 1000
        session.rollback()
    print(f"{write.__name__:16} {took:7.0f} ms  {len(seen.writes):6,} statements")

# %% [markdown]
# A statement a row is what loops do, and over a network each is a round trip. Objects need their ids back, each the right
# one; SQLite does not promise an order for those, so SQLAlchemy sends them singly as well (PostgreSQL gets them in
# batches: see below). `insert(Sale)` with a list of dicts is the ordinary answer, and takes `.returning(Sale.id)` when
# you need the ids. Rows that are already in the database are best left there.
# ([Bulk INSERT](https://docs.sqlalchemy.org/en/21/orm/queryguide/dml.html#orm-bulk-insert-statements))

# %% [markdown]
# ## On a server
#
# As many sales on a real PostgreSQL. Its word is `EXPLAIN`; a scan is a *Seq Scan*, and the plan is a tree, read from
# the inside out.

# %% tags=["recorded"]
from checks.servers import start_postgresql


if server := start_postgresql():
    postgresql = create_engine(server.url)
    ShopBase.metadata.drop_all(postgresql)  # if this cell has run before
    ShopBase.metadata.create_all(postgresql)
    with postgresql.begin() as connection:
        connection.execute(text("INSERT INTO buyer SELECT i, '' FROM generate_series(1, 5000) i"))
        connection.execute(
            text(
                "INSERT INTO sale (buyer_id, status, placed, total, note) SELECT 1 + i % 50, 'sent', timestamp '2025-01-01' "
                "+ i / 5 * interval '25 min', 500, '' FROM generate_series(1, 100000) i"
            )
        )

# %% tags=["recorded"]
if server:
    with postgresql.begin() as connection:
        connection.execute(text("ANALYZE sale"))
        for columns in ("", "buyer_id", "buyer_id, placed, id"):
            connection.execute(text("DROP INDEX IF EXISTS tried"))
            if columns:
                connection.execute(text(f"CREATE INDEX tried ON sale ({columns})"))
            print(columns or "no index")
            for line in connection.scalars(Explain(latest_of(7))):
                print("   ", line)

# %% [markdown]
# The same three plans in another accent: sequential and sorted, found and sorted, found in order. (A *bitmap* is a list of
# places, put in order before the table is visited.)
#
# A server's planner also looks at the *data*. It keeps statistics, which `ANALYZE` renews and a background job keeps up;
# and when half the table matches, it rightly prefers a Seq Scan to fifty thousand jumps. So ask for plans on a copy with real
# data in it, not on your laptop's three rows.
#
# **Predict.** A hundred thousand rows are asked for, and no loop has begun. How many of them has the driver already,
# without `yield_per` and with it?

# %% tags=["recorded"]
if server:
    with postgresql.connect() as connection:
        for options in ({}, {"yield_per": 500}):
            found = connection.execution_options(**options).execute(select(Sale.id))
            cursor = found.cursor
            print(f"{type(cursor).__name__:13} has {cursor.pgresult.ntuples:,} rows")
            found.close()

# %% [markdown]
# PostgreSQL's driver takes the whole answer before your loop sees a row, unless it is told not to. `yield_per` opens a
# *server-side cursor*, and the rows stay where they are. SQLite's driver reads as it goes in any case, so a loop over a
# bare connection is flat there and on no server. That is why the exercise asked *how* you ask.
#
# A server is also less forgiving with the borrowed session. Its cursor lives in the transaction, and goes with it:

# %% tags=["recorded"]
if server:
    with Session(postgresql) as session:
        sales = session.execute(select(Sale.id).execution_options(yield_per=500))
        session.commit()  # as a dependency does, before the body
        try:
            sales.fetchall()
        except DBAPIError as error:
            print(type(error).__name__, re.sub('".*"', '"..."', str(error.orig)))

# %% [markdown]
# And the five thousand objects?

# %% tags=["recorded"]
if server:
    with trace(postgresql) as seen, Session(postgresql) as session:
        session.add_all(Sale(**sale) for sale in partner)
        session.flush()
        session.rollback()
    print(len(seen.writes), "statements")
    server.stop()

# %% [markdown]
# # Recap
#
# ## The recipe
#
# A feed that is found and an export that is flat, whole.

# %% tags=["recipe"]
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy import Index, MetaData, StaticPool, create_engine, insert, select, tuple_
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

database = create_engine(
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)
DatabaseSession = sessionmaker(database)


class Model(DeclarativeBase):
    metadata = MetaData(naming_convention={"ix": "ix_%(column_0_N_label)s"})


class Visit(Model):
    __tablename__ = "visit"
    __table_args__ = (
        Index(None, "shop", "at", "id"),  # compared with =, then the order of the list
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop: Mapped[str]
    at: Mapped[datetime]
    spent: Mapped[int]


def open_session() -> Iterator[Session]:
    with DatabaseSession.begin() as session:
        yield session


DatabaseDep = Annotated[Session, Depends(open_session, scope="function")]
api = FastAPI()


def to_bookmark(at: datetime, id: int) -> str:
    return f"{at.isoformat()}_{id}"


def from_bookmark(bookmark: str) -> tuple[datetime, int]:
    at, _, id = bookmark.partition("_")
    try:
        return datetime.fromisoformat(at), int(id)
    except ValueError as error:
        raise HTTPException(422, "That is no bookmark of ours.") from error


@api.get("/shops/{shop}/visits")
def visits(
    session: DatabaseDep,
    shop: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str | None = None,
) -> dict[str, Any]:
    query = select(Visit.id, Visit.at, Visit.spent).where(Visit.shop == shop)
    if after is not None:
        query = query.where(tuple_(Visit.at, Visit.id) < tuple_(*from_bookmark(after)))
    newest = query.order_by(Visit.at.desc(), Visit.id.desc()).limit(limit + 1)
    found = session.execute(newest).all()
    page = found[:limit]
    more = len(found) > limit
    return {
        "visits": [{"id": visit.id, "spent": visit.spent} for visit in page],
        "next": to_bookmark(page[-1].at, page[-1].id) if more else None,
    }


@api.get("/visits.csv")
def all_visits() -> StreamingResponse:
    def pieces() -> Iterator[str]:
        yield "id,spent\n"
        columns = select(Visit.id, Visit.spent).order_by(Visit.id)
        with DatabaseSession() as session:  # its own: the body outlives the request's
            rows = session.execute(columns, execution_options={"yield_per": 500})
            for part in rows.partitions():
                yield "".join(f"{row.id},{row.spent}\n" for row in part)

    return StreamingResponse(pieces(), media_type="text/csv")


Model.metadata.create_all(database)
with DatabaseSession.begin() as session:
    today = datetime(2025, 6, 1)
    session.execute(insert(Visit), [{"shop": "Bath", "at": today, "spent": i} for i in range(5)])

client = TestClient(api)
first = client.get("/shops/Bath/visits", params={"limit": 3}).json()
print(first)
print(client.get("/shops/Bath/visits", params={"limit": 3, "after": first["next"]}).json())
print(client.get("/visits.csv").text.splitlines()[:3])

# %% [markdown]
# ## The rules
#
# - Ask for the plan. SCAN reads everything, SEARCH finds; TEMP B-TREE sorts what an index could have had in order.
# - A foreign key is no index. Index what you filter and join on, and no more.
# - Columns with `=` first, then one range or the order of the list. The left part of an index is an index.
# - The column stands alone on its side of the comparison.
# - Page by place, `tuple_(placed, id) < tuple_(...)`, where pages go deep.
# - Columns to show, objects to change.
# - An export: `yield_per`, `StreamingResponse`, and a session of its own.
# - Many rows: `insert(Model)` with a list.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `InvalidRequestError: '...' is not available due to raiseload=True` | a column that `load_only` left out was read |
# | `InvalidRequestError: Can't use yield_per with eager loaders that require uniquing or row buffering` | `yield_per` with `joinedload` of a collection, or with `subqueryload` |
# | `ProgrammingError: cursor "..." does not exist` | a server-side cursor, read when its transaction had ended |
#
# ## In production
#
# - An index is made by a migration. On PostgreSQL an ordinary `CREATE INDEX` keeps writers waiting until it is done:
#   `postgresql_concurrently=True`, outside a transaction (lesson 08).
# - PostgreSQL counts how often each index is used, in
#   [`pg_stat_user_indexes`](https://www.postgresql.org/docs/current/monitoring-stats.html). One that has stood at zero for
#   a month is a cost and nothing else.
# - `EXPLAIN (ANALYZE, BUFFERS)` runs the query and says what it took. Mind that it *runs* it, a DELETE included.
# - Log slow statements (`log_min_duration_statement`); those are the ones to ask about.
#
# ## Read more
#
# - [Use The Index, Luke](https://use-the-index-luke.com/), for every database
# - SQLite: [EXPLAIN QUERY PLAN](https://www.sqlite.org/eqp.html), [The query planner](https://www.sqlite.org/queryplanner.html)
# - PostgreSQL: [Using EXPLAIN](https://www.postgresql.org/docs/current/using-explain.html),
#   [Multicolumn indexes](https://www.postgresql.org/docs/current/indexes-multicolumn.html)
# - SQLAlchemy: [`Index`](https://docs.sqlalchemy.org/en/21/core/constraints.html#indexes),
#   [`load_only`](https://docs.sqlalchemy.org/en/21/orm/queryguide/columns.html)
