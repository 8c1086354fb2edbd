# %% [markdown]
# # 06 Connection pools
#
# When you are through, you know at each moment who holds a connection and why; you can name the request that leaks,
# size a pool for a deployment with a short calculation, and let the database restart without a customer noticing.
#
# It is 2 a.m. Nobody has deployed anything since Thursday. The database is bored: two per cent CPU, no locks. And every
# request hangs for half a minute and then dies of *QueuePool limit of size 5 overflow 10 reached, connection timed out,
# timeout 30.00*. You restart the app, and all is well. Until Tuesday.

# %% [markdown]
# ## The shop
#
# Books, and orders for them. The engine is the one that matters in this lesson: its pool has **two** connections and
# waits a fifth of a second, so that what takes a busy day in production happens here at once.

# %% tags=["setup"]
import gc
import tempfile
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import CheckConstraint, Engine, ForeignKey, NullPool, QueuePool
from sqlalchemy import create_engine, delete, event, select, text, update
from sqlalchemy.exc import DBAPIError, InvalidRequestError, TimeoutError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from checks import TODO, check, hint, progress, solution, trace


# %% tags=["setup"]
class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (CheckConstraint("copies >= 0", name="ck_book_copies"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    copies: Mapped[int]


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    copies: Mapped[int]
    total: Mapped[int | None]  # in pence


# %% tags=["setup"]
URL = f"sqlite:///{Path(tempfile.mkdtemp()) / 'dog_eared.db'}"

engine = create_engine(URL, pool_size=2, max_overflow=0, pool_timeout=0.2)
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)


class NewOrder(BaseModel):
    book_id: int
    copies: int = 1


def restock() -> None:
    """The shop as it opens, behind a fresh pool."""
    engine.dispose()
    with SessionLocal.begin() as session:
        session.execute(delete(Order))
        session.execute(delete(Book))
        session.add(Book(id=1, isbn="9780141439600", title="Middlemarch", copies=30))
        session.add(Book(id=2, isbn="9780141439587", title="Emma", copies=10))


restock()

# %% [markdown]
# # 1. What a pool does
#
# ## What it saves
#
# Opening a connection to a server means a socket, a login, and on PostgreSQL
# [a process of its own](https://www.postgresql.org/docs/current/connect-estab.html). A pool opens it once and lends it
# out. Here is a real PostgreSQL, which comes out of a pip wheel and stops with this notebook.
#
# **Predict.** One `SELECT 1`, with a connection from the pool, and with a new one each time (`NullPool` keeps none).
# What is the factor?

# %% tags=["recorded"]
from checks.servers import start_postgresql

server = start_postgresql(max_connections=20)


def one_select(engine: Engine, times: int = 50) -> float:
    """Milliseconds for a SELECT 1, getting the connection included."""
    with engine.connect():
        pass  # the first one is always new
    started = time.perf_counter()
    for _ in range(times):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    return (time.perf_counter() - started) * 1000 / times


if server:
    for pool in (QueuePool, NullPool):
        postgres = create_engine(server.url, poolclass=pool)
        print(f"{pool.__name__:9} {one_select(postgres):5.2f} ms")
        postgres.dispose()

# %% [markdown]
# And that is a server on the same machine, without TLS. Across a network it is several round trips more.
#
# ## Out and back
#
# A pool tells what it does, through [events](https://docs.sqlalchemy.org/en/21/core/events.html#sqlalchemy.events.PoolEvents).
# This one keeps one connection (`pool_size=1`) and may lend one more when it must (`max_overflow=1`):

# %%
small = create_engine(URL, pool_size=1, max_overflow=1)


def say(word: str) -> None:
    print(f"    {word}")


event.listen(small, "connect", lambda dbapi, record: say("connect"))
event.listen(small, "checkout", lambda dbapi, record, proxy: say("checkout"))
event.listen(small, "checkin", lambda dbapi, record: say("checkin"))
event.listen(small, "close", lambda dbapi, record: say("close"))

# %% [markdown]
# **Predict.** Two requests, one after the other. How often is `connect` said?

# %%
for number in ("first", "second"):
    print(f"the {number} request")
    with small.connect() as connection:
        connection.execute(text("SELECT 1"))

# %% [markdown]
# Once. *Checkout* and *checkin* are the lending; *connect* and *close* are the expensive part.
#
# **Predict.** Now both at the same time. How many connections are in the pool afterwards?

# %%
with small.connect(), small.connect():
    print(small.pool.status())
print(small.pool.status())

# %% [markdown]
# The second one was an **overflow**: opened because there was need, and closed as soon as it came back. `pool_size` is
# how many are *kept*, not how many there can be. That is `pool_size + max_overflow`, and it counts for **one engine in
# one process**.
#
# (`Current Overflow` counts from `-pool_size` upwards; a pool that has opened nothing yet says -1 here. Nobody gets
# this on the first reading. `pool.checkedout()` is the number that you want.)
#
# | setting | default | says |
# | --- | --- | --- |
# | `pool_size` | 5 | how many are kept when nobody needs them; 0 means *no limit* |
# | `max_overflow` | 10 | how many more at a pinch, closed when they come back; -1 means no limit |
# | `pool_timeout` | 30 s | how long to wait for one when all are out |
# | `pool_pre_ping` | off | ask each connection whether it lives before it is lent: section 6 |
# | `pool_recycle` | never | replace a connection older than so many seconds: section 6 |
#
# ([Connection pooling](https://docs.sqlalchemy.org/en/21/core/pooling.html))

# %% [markdown]
# ## When a session holds one
#
# You rarely call `engine.connect()`; a session does it for you. The question of this whole lesson is *when*.
#
# **Predict**, for each line: how many connections are out, none or one?

# %%
restock()
with SessionLocal() as session:
    print("the session is open:    ", engine.pool.checkedout())
    book = session.get_one(Book, 1)
    print("a book has been read:   ", engine.pool.checkedout())
    session.commit()
    print("committed:              ", engine.pool.checkedout())
    book.title
    print("its title was looked at:", engine.pool.checkedout())
print("the session is closed:  ", engine.pool.checkedout())

# %% [markdown]
# It is not the session that holds a connection, it is the **transaction**. The first statement takes one, and `commit`,
# `rollback` or `close` gives it back. The fourth line is the trap: a commit expires what the session has loaded, so
# looking at `book.title` sends a SELECT, which begins a transaction, which takes a connection. Remember it for
# exercise 6.3.

# %% [markdown]
# ## Exercise 6.1: a gauge
#
# A number on a dashboard would have told you about Tuesday on Monday. Write `watch(engine)`, which gives a `Gauge` that
# keeps itself up to date:
#
# - `now`: how many of this engine's connections are out, this moment;
# - `most`: the most that have been out at the same time since you began to watch.


# %% exercise="06.gauge"
@dataclass
class Gauge:
    now: int = 0
    most: int = 0


def watch(engine: Engine) -> Gauge:
    gauge = Gauge()

    # BEGIN STARTER
    # @event.listens_for(engine, TODO)
    # def one_more(*args: Any) -> None:
    #     TODO
    #
    # @event.listens_for(engine, TODO)
    # def one_less(*args: Any) -> None:
    #     TODO
    # END STARTER
    # BEGIN SOLUTION
    @event.listens_for(engine, "checkout")
    def one_more(*args: Any) -> None:
        gauge.now += 1
        gauge.most = max(gauge.most, gauge.now)

    @event.listens_for(engine, "checkin")
    def one_less(*args: Any) -> None:
        gauge.now -= 1

    # END SOLUTION
    return gauge


# %% check="06.gauge"
check("06.gauge")

# %% [markdown]
# # 2. When it is empty
#
# The engine of this shop has two connections. Somebody holds both, and a customer comes:

# %% tags=["setup"]
shop = FastAPI()


def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


@shop.get("/books")
def list_books(session: SessionDep) -> list[str]:
    return list(session.scalars(select(Book.title).order_by(Book.title)))


# %%
restock()
client = TestClient(shop, raise_server_exceptions=False)
with trace(shop, engine) as seen, engine.connect(), engine.connect():
    client.get("/books")

seen

# %% [markdown]
# Two connections went out and did not come back while the customer was there. The endpoint waited for its 0.2 seconds,
# sent no SQL at all, and raised. The whole message, of which every production log has a few:

# %%
with engine.connect(), engine.connect():
    try:
        engine.connect()
    except TimeoutError as error:  # SQLAlchemy's, not Python's
        print(error)

# %% [markdown]
# Read it as it is meant. It does not say that the database is slow; nobody has asked the database. It says: *all my
# connections are out, and for `timeout` seconds none came back*. So the question is who has them. There are three
# answers, and they are the next three sections: somebody lost one (a leak), somebody sits on one (a slow call), or there
# are honestly too few.
#
# Raising `pool_size` helps against the third only. Against a leak it moves Tuesday to Friday.
#
# And the default of 30 seconds is long. A `def` endpoint waits in one of the
# [40 threads](https://www.starlette.io/threadpool/) that your worker has for all of them; soon all 40 wait, and not even
# `/health` answers. Fail early: a 503 after two seconds lets the others live.

# %% [markdown]
# # 3. Leaks
#
# ## The early return
#
# This endpoint was reviewed by two people.
#
# **Predict.** Which request takes a connection and does not bring it back?

# %%
leaky = FastAPI()


@leaky.get("/books/{book_id}")
def read_book(book_id: int) -> dict[str, str]:
    session = SessionLocal()
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    found = {"title": book.title}
    session.close()
    return found


# %%
restock()
gc.disable()  # why: in a moment
client = TestClient(leaky, raise_server_exceptions=False)
with trace(leaky, engine) as seen:
    client.get("/books/99")

print("out and not back:", seen.checked_out)
seen

# %% [markdown]
# The timeline says it by what is missing: no *connection back*, no *session closed*. The 404 is the way out that nobody
# walked in the review. One more, and the shop is shut:

# %%
for _ in range(3):
    print(client.get("/books/1").status_code, "then", client.get("/books/99").status_code)

# %% [markdown]
# ## Why it worked yesterday
#
# Nobody can reach that lost session any more, and Python clears away what nobody can reach. So we let it:

# %%
print("out before:", engine.pool.checkedout())
gc.enable()
gc.collect()
print("out after: ", engine.pool.checkedout())
print("and the customer hears", client.get("/books/1").status_code)

# %% [markdown]
# The garbage collector freed the sessions, and the pool got its connections back. This is what makes leaks so hard to
# catch: on a quiet day the collector comes round in time, in a rush it does not, and a test almost never shows it. (We
# had switched it off, so that you see the same each time.)
#
# That was luck, and async code has not even that. The collector cannot `await` a clean return, so the connection is
# thrown away, and the log gets this:

# %% tags=["recorded"]
import logging
import warnings

from sqlalchemy.ext.asyncio import create_async_engine

asynchronous = create_async_engine(URL.replace("sqlite", "sqlite+aiosqlite"))


async def lose_one() -> None:
    connection = await asynchronous.connect()
    await connection.execute(text("SELECT 1"))


await lose_one()
logging.disable()  # it is said twice, as a warning and in the log: once is enough here
with warnings.catch_warnings(record=True) as said:
    gc.collect()
logging.disable(logging.NOTSET)
print(*(warning.message for warning in said))
await asynchronous.dispose()

# %% [markdown]
# ## By its name
#
# A number tells you *that* you leak. To hear *who*, write down at each checkout which request is being served. A
# `ContextVar` knows that: it has a value of its own in each request, in the endpoint's thread as well.

# %%
serving: ContextVar[str] = ContextVar("serving", default="nobody's request")
holders: dict[int, str] = {}


async def name_the_request(request: Request) -> None:
    serving.set(f"{request.method} {request.url.path}")


@event.listens_for(engine, "checkout")
def remember(dbapi_connection: Any, record: Any, proxy: Any) -> None:
    holders[id(record)] = serving.get()


@event.listens_for(engine, "checkin")
def forget(dbapi_connection: Any, record: Any) -> None:
    holders.pop(id(record), None)


# %% [markdown]
# The same leaky routes, now behind that dependency:

# %%
watched = FastAPI(dependencies=[Depends(name_the_request)])
watched.include_router(leaky.router)

gc.disable()
client = TestClient(watched, raise_server_exceptions=False)
for path in ("/books/1", "/books/99", "/books/2"):
    client.get(path)
print("held by", list(holders.values()))
gc.enable()
gc.collect()
print("held by", list(holders.values()))

# %% [markdown]
# That is the one. In production you would note the time as well, and log what has been out for longer than a few
# seconds: two dictionary operations for each request, and the next Tuesday is over before breakfast.
#
# The cure is a shape that cannot forget: a `with` block, or a dependency that has one. A `session.close()` at the end is
# for code that never raises, of which there is none.

# %% [markdown]
# ## The session that came back from the dead
#
# Now a dependency that does everything right, and an endpoint that hands its session on to a background task:


# %%
def log_sale(session: Session, book_id: int) -> None:
    session.get_one(Book, book_id)  # and so on


@shop.post("/sales")
def sell(session: SessionDep, tasks: BackgroundTasks) -> None:
    session.get_one(Book, 1)
    tasks.add_task(log_sale, session, 1)


restock()
client = TestClient(shop, raise_server_exceptions=False)
with trace(shop, engine) as seen:
    client.post("/sales")

seen

# %% [markdown]
# In function scope the session is closed before the response leaves, as it should be. The task runs *after* it, with a
# closed session. And a closed session is not dead: it quietly begins anew, takes a connection, and now nobody is left
# who would close it. (In the default scope the task would still find it open. Then the connection is held until the
# task is done, however long that takes.)
#
# You can have it die properly:

# %%
MortalSession = sessionmaker(engine, close_resets_only=False)
with MortalSession() as session:
    pass

try:
    session.get(Book, 1)
except InvalidRequestError as error:
    print(error)

# %% [markdown]
# A loud error in place of a quiet leak: a good setting for a whole project. The rule behind it: **what runs after the
# response opens a session of its own**, and is given ids, not objects.
#
# ## The stream that holds on
#
# A streamed response is sent at the speed at which the client reads. Each line of these two says how many connections
# are out while it is sent.
#
# **Predict.** What do they say?

# %%
downloads = FastAPI()
WholeRequest = Annotated[Session, Depends(get_session)]  # default scope: open until the last byte


@downloads.get("/held")
def held(session: WholeRequest) -> StreamingResponse:
    def lines() -> Iterator[str]:
        for title in session.scalars(select(Book.title)):
            yield f"{title}, {engine.pool.checkedout()} out\n"

    return StreamingResponse(lines())


@downloads.get("/let-go")
def let_go() -> StreamingResponse:
    def lines() -> Iterator[str]:
        after = 0
        while True:
            with SessionLocal() as session:
                page = select(Book.id, Book.title).where(Book.id > after).order_by(Book.id)
                rows = session.execute(page.limit(1000)).all()
            if not rows:
                return
            for after, title in rows:
                yield f"{title}, {engine.pool.checkedout()} out\n"

    return StreamingResponse(lines())


# %%
restock()
for path in ("/held", "/let-go"):
    print(path)
    print(TestClient(downloads).get(path).text)

# %% [markdown]
# A customer on a train who downloads the catalogue over `/held` has one of your connections until Inverness. The second
# takes one for each page of a thousand rows and gives it back before a byte is sent. (Pages by key, not by `OFFSET`:
# lesson 10.)

# %% [markdown]
# ## Exercise 6.2: find the leak
#
# After some hours this app answers nothing but *QueuePool limit*. Its three endpoints look as if any could be the
# culprit; not all are. Find out by requests and timelines, not by staring, and mend what leaks. Whatever is asked of it,
# nothing is out when a request is over. What it answers, and the mails it sends, stay as they are; an order that could
# not be kept has none.

# %% exercise="06.leak"
app = FastAPI()
mails: list[str] = []


# BEGIN STARTER
# def confirm(session: Session, order_id: int) -> None:
#     order = session.get_one(Order, order_id)
#     mails.append(f"Order {order.id}: {order.copies} copies")
#
#
# @app.get("/books/{book_id}")
# def show_book(book_id: int) -> dict[str, Any]:
#     session = SessionLocal()
#     book = session.get(Book, book_id)
#     if book is None:
#         raise HTTPException(404, "No such book.")
#     shown = {"title": book.title, "copies": book.copies}
#     session.close()
#     return shown
# END STARTER
# BEGIN SOLUTION
def confirm(order_id: int) -> None:
    with SessionLocal() as session:
        order = session.get_one(Order, order_id)
        mails.append(f"Order {order.id}: {order.copies} copies")


@app.get("/books/{book_id}")
def show_book(book_id: int) -> dict[str, Any]:
    with SessionLocal() as session:
        book = session.get(Book, book_id)
        if book is None:
            raise HTTPException(404, "No such book.")
        return {"title": book.title, "copies": book.copies}


# END SOLUTION


@app.get("/stock.csv")
def export_stock() -> StreamingResponse:
    def lines() -> Iterator[str]:
        with SessionLocal() as session:
            for book in session.scalars(select(Book).order_by(Book.id)):
                yield f"{book.isbn},{book.copies}\n"

    return StreamingResponse(lines(), media_type="text/csv")


@app.post("/orders", status_code=201)
def place_order(new: NewOrder, session: SessionDep, tasks: BackgroundTasks) -> dict[str, int]:
    if session.get(Book, new.book_id) is None:
        raise HTTPException(404, "No such book.")
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    # BEGIN STARTER
    # tasks.add_task(confirm, session, order.id)
    # END STARTER
    # BEGIN SOLUTION
    tasks.add_task(confirm, order.id)
    # END SOLUTION
    return {"id": order.id}


# %% check="06.leak"
check("06.leak")

# %% [markdown]
# # 4. Held across a slow call
#
# Nothing leaks here. The price of a book is asked of a supplier, over the internet, and the supplier takes its time:


# %% tags=["setup"]
class Supplier:
    """Somebody else's service, as we see it."""

    seconds = 0.0  # how long it takes to answer

    def price(self, isbn: str) -> int:
        """What a copy costs, in pence."""
        time.sleep(self.seconds)
        return 500 + int(isbn) % 1000


supplier = Supplier()

# %%
quoting = FastAPI()


@quoting.get("/held/{book_id}")
def price_held(book_id: int, session: SessionDep) -> int:
    isbn = session.scalars(select(Book.isbn).where(Book.id == book_id)).one()
    return supplier.price(isbn)


@quoting.get("/let-go/{book_id}")
def price_let_go(book_id: int) -> int:
    with SessionLocal() as session:
        isbn = session.scalars(select(Book.isbn).where(Book.id == book_id)).one()
    return supplier.price(isbn)


# %% [markdown]
# The two differ by an indentation, more or less. Six customers come at once; the supplier needs a second, and the pool
# has two connections.
#
# **Predict.** How many of the six hear a price, from each?

# %%
from concurrent.futures import ThreadPoolExecutor

client = TestClient(quoting, raise_server_exceptions=False)


def six_at_once(path: str) -> str:
    """What six customers heard, in numbers."""
    with ThreadPoolExecutor(6) as customers:
        heard = list(customers.map(lambda _: client.get(path).status_code, range(6)))
    return f"{heard.count(200)} x 200, {heard.count(500)} x 500"


restock()
supplier.seconds = 1.0
print("held:  ", six_at_once("/held/1"))
print("let go:", six_at_once("/let-go/1"))
supplier.seconds = 0.0

# %% [markdown]
# The first two sat on their connections for a second and the other four gave up. A connection that waits for somebody
# else's server does nothing, and nobody else can have it. With it wait its transaction, its snapshot and, once it has
# written, its locks.
#
# How many connections do you need? Multiply: requests a second times the seconds that each **holds** one. (That is
# [Little's law](https://en.wikipedia.org/wiki/Little%27s_law), and it does not care about your framework.) Say the SELECT takes 4 ms,
# and the supplier a second:

# %%
for name, seconds in (("held:", 1.004), ("let go:", 0.004)):
    print(f"20 requests a second, {name:7} {20 * seconds:5.2f} connections in use on average")

# %% [markdown]
# Two hundred and fifty times fewer, for the same work. No setting of the pool can do that for you.
#
# The pattern: **read, let go, call, take another, write.** Its price is that the world moves on while you call. What you
# have read is stale by the time you write, so the second transaction has to decide again: a condition in the UPDATE,
# as in [lesson 03](03_transactions.ipynb).

# %% [markdown]
# ## Exercise 6.3: let go
#
# This endpoint holds a connection, and a lock, while the supplier thinks. Rewrite it:
#
# - a good order answers 201 with `{"id": ..., "total": ...}`; the stock has gone down, the order is there;
# - an unknown book is a 404, too few copies a 409, and neither changes anything;
# - **no connection is out while `supplier.price` runs**;
# - if the copies are sold to somebody else in the meantime: 409, and no order;
# - if the supplier raises: an error, the stock as it was, no order.

# %% exercise="06.let_go"
app = FastAPI()


@app.post("/orders", status_code=201)
def place_order(new: NewOrder) -> dict[str, int]:
    # BEGIN STARTER
    # with SessionLocal.begin() as session:
    #     book = session.get(Book, new.book_id)
    #     if book is None:
    #         raise HTTPException(404, "No such book.")
    #     if book.copies < new.copies:
    #         raise HTTPException(409, "Not enough copies.")
    #     book.copies -= new.copies
    #     session.flush()
    #     total = supplier.price(book.isbn) * new.copies
    #     order = Order(**new.model_dump(), total=total)
    #     session.add(order)
    #     session.flush()
    #     return {"id": order.id, "total": total}
    # END STARTER
    # BEGIN SOLUTION
    with SessionLocal() as session:
        isbn = session.scalar(select(Book.isbn).where(Book.id == new.book_id))
    if isbn is None:
        raise HTTPException(404, "No such book.")
    total = supplier.price(isbn) * new.copies
    with SessionLocal.begin() as session:
        take = (
            update(Book)
            .where(Book.id == new.book_id, Book.copies >= new.copies)
            .values(copies=Book.copies - new.copies)
        )
        if session.execute(take).rowcount == 0:
            raise HTTPException(409, "Not enough copies.")
        order = Order(**new.model_dump(), total=total)
        session.add(order)
        session.flush()
        return {"id": order.id, "total": total}
    # END SOLUTION


# %% check="06.let_go"
check("06.let_go")

# %% [markdown]
# # 5. How many?
#
# ## The other limit
#
# Each worker process has an engine, and each engine a pool. The server has `max_connections`. Our PostgreSQL takes 20,
# and keeps three of those for superusers, so that somebody can still get in and look. The app is no superuser:

# %% tags=["recorded"]
if server:
    with create_engine(server.url).begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS shop"))
        connection.execute(text("CREATE ROLE shop LOGIN"))
        for name in ("max_connections", "superuser_reserved_connections"):
            print(name, connection.scalar(text(f"SHOW {name}")))

# %% [markdown]
# Four workers, then, each with a pool as it comes: `5 + 10`. (They are four engines here; in four processes they would
# be no different.) The load is ten requests at once in each of them, and each holds a connection for 50 ms.
#
# **Predict.** The server takes 17 of this app's connections. What happens?

# %%
from concurrent.futures import ThreadPoolExecutor


def wait_until_they_have_left() -> None:
    """The server takes a moment to notice that a connection is closed."""
    here = text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'")
    with create_engine(server.url, isolation_level="AUTOCOMMIT").connect() as connection:
        while connection.scalar(here):
            time.sleep(0.01)


def under_load(workers: int, **settings: Any) -> None:
    """Ten requests at once in each worker, three times over; tell how they fared."""
    url = server.url.set(username="shop")
    engines = [create_engine(url, **settings) for _ in range(workers)]
    problems: set[str] = set()

    def request(engine: Engine) -> bool:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_sleep(0.05)"))
        except (DBAPIError, TimeoutError) as error:
            problems.add(str(error).splitlines()[0].rpartition("failed: ")[2])
            return False
        return True

    with ThreadPoolExecutor(10 * workers) as threads:
        served = list(threads.map(request, engines * 30))
    for engine in engines:
        engine.dispose()
    wait_until_they_have_left()
    print(settings or "as it comes:", "all served" if all(served) else "some were turned away")
    for problem in sorted(problems)[:1]:
        print(problem)


if server:
    under_load(4)

# %% [markdown]
# `4 x 15 = 60` connections are allowed by the pools and 17 by the server. Each pool believed that it had room, so it did
# not queue: it opened one more, and the **server** refused. That is not a wait, it is an error at once, and the report
# that accounting runs at night gets it as well.
#
# Now by calculation: 17 for four workers is 4 each.

# %% tags=["recorded"]
if server:
    under_load(4, pool_size=3, max_overflow=1)

# %% [markdown]
# The same load, on a quarter of the connections, and everybody is served. Those who found the pool empty waited some
# milliseconds **in the pool**, where waiting is cheap. A pool is a queue; that is what it is for.
#
# Would a bigger server help? `max_connections = 1000` is one line. But a connection is a process, and a machine with
# eight cores does eight things at a time; beyond a small multiple of the cores, more connections make everything slower.
# ([PostgreSQL wiki: number of database connections](https://wiki.postgresql.org/wiki/Number_Of_Database_Connections))

# %% [markdown]
# ## The calculation
#
# From both ends, and it has to meet in the middle:
#
# - **From above**, what you may: `(max_connections - reserved - everybody else) / processes`. *Everybody else* is
#   migrations, reports, a `psql` at 2 a.m. *Processes* is workers x machines, and during a **deploy** the new ones start
#   before the old ones have gone. The result is the ceiling for `pool_size + max_overflow`.
# - **From below**, what you need: requests a second in one process x seconds that each holds a connection. A normal day
#   gives `pool_size`, since those are kept; the rush gives `pool_size + max_overflow`.
# - Threads do not come into it. There are 40 in each worker, but a thread needs a connection only while it holds one.
#   `pool_size=40` is what you get by fearing the queue.
# - `pool_timeout` is shorter than the patience of whoever is in front: an answer that nobody waits for is wasted work.
#
# If below is more than above: shorten what holds (section 4), before you add machines. And if there are hundreds of
# processes, or functions that come and go, put a **pooler** such as PgBouncer between them and the server, and let the
# engine keep nothing:

# %%
behind_a_pooler = create_engine(URL, poolclass=NullPool)
event.listen(behind_a_pooler, "connect", lambda dbapi, record: say("connect"))
event.listen(behind_a_pooler, "close", lambda dbapi, record: say("close"))
for _ in range(2):
    with behind_a_pooler.connect() as connection:
        connection.execute(text("SELECT 1"))

# %% [markdown]
# Two pools in a row would each keep connections that the other could use. With `NullPool` every checkout is a new
# connection, to the pooler next door, which is cheap; on the far side it keeps the expensive ones. Read about its
# transaction mode first: what belongs to a connection, such as prepared statements, `SET` or advisory locks, does not
# survive it by itself. ([PgBouncer features](https://www.pgbouncer.org/features.html),
# [SQLAlchemy with asyncpg behind it](https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#prepared-statement-name-with-pgbouncer))

# %% [markdown]
# ## Exercise 6.4: size the pool
#
# Dog-Eared moves house. Write `make_engine(url)`, which gives each worker its engine, for this deployment:
#
# | | |
# | --- | --- |
# | PostgreSQL | `max_connections = 100`, three of them reserved for superusers |
# | others on it | migrations, reports and people: 25 connections |
# | the app | 2 machines, 4 workers on each |
# | a deploy | replaces one machine at a time: its 4 new workers start while all old ones still run |
# | a worker, on a normal day | 60 requests a second; each holds a connection for 50 ms |
# | a worker, in the evening rush | 100 requests a second |
# | the load balancer | gives up on a request after 10 s |
#
# The check tries your engine against that server, twelve of them when there is a deploy.


# %% exercise="06.sizing"
def make_engine(url: str) -> Engine:
    # BEGIN STARTER
    # return create_engine(url, pool_size=TODO, max_overflow=TODO, pool_timeout=TODO)
    # END STARTER
    # BEGIN SOLUTION
    # May: (100 - 3 - 25) / 12 = 6. Needs: 60 x 0.05 = 3, in the rush 100 x 0.05 = 5.
    return create_engine(url, pool_size=3, max_overflow=3, pool_timeout=3)
    # END SOLUTION


# %% check="06.sizing"
check("06.sizing")

# %% [markdown]
# # 6. The server restarts
#
# Minor upgrades, failovers, a cloud provider's Tuesday: the server goes away for a second and comes back. Your pool knows
# nothing of it. It holds connections to a server that is gone.
#
# **Predict.** Three connections are in the pool when PostgreSQL restarts. How many of the next four requests fail?


# %% tags=["recorded"]
def restart_under(**settings: Any) -> None:
    """Warm a pool with three connections, restart the server, send four requests."""
    postgres = create_engine(server.url, **settings)
    api = FastAPI()

    @api.get("/")
    def ask() -> int:
        with postgres.connect() as connection:
            return connection.scalars(text("SELECT 1")).one()

    with postgres.connect(), postgres.connect(), postgres.connect():
        pass
    server.restart()
    client = TestClient(api, raise_server_exceptions=False)
    with trace(api, postgres) as seen:
        for _ in range(4):
            client.get("/")
    print(settings or "as it comes:", seen.statuses)
    for error in seen.of("error"):
        print(error["message"])
    postgres.dispose()


if server:
    restart_under()

# %% [markdown]
# One. When SQLAlchemy sees that a connection is dead, it concludes that its contemporaries are, too, and replaces them
# all. But that is one customer for each *process*, and eight workers are eight angry mails.
#
# `pool_pre_ping=True` asks each connection whether it lives before lending it:

# %% tags=["recorded"]
if server:
    restart_under(pool_pre_ping=True)

# %% [markdown]
# Nobody noticed. What does the question cost? One trip to the server and back for each checkout:

# %% tags=["recorded"]
if server:
    for settings in ({}, {"pool_pre_ping": True}):
        postgres = create_engine(server.url, **settings)
        print(f"{settings!s:23} {one_select(postgres, 300):.2f} ms")
        postgres.dispose()

# %% [markdown]
# Nearly nothing next to a request, and a good default for every server. (As measured on one machine; add your
# network's round trip.)
#
# ## What it does not do
#
# It asks when a connection is *lent*. If the server goes while a request is under way, that request is lost, and it has
# to be: half its transaction went with the server.

# %% tags=["recorded"]
if server:
    postgres = create_engine(server.url, pool_pre_ping=True)
    with postgres.connect() as connection:
        connection.execute(text("SELECT 1"))
        server.restart()
        try:
            connection.execute(text("SELECT 2"))
        except DBAPIError as error:
            print(type(error).__name__, "-", error.orig)
            print("connection_invalidated:", error.connection_invalidated)
    postgres.dispose()

# %% [markdown]
# The class of the exception is the driver's affair and differs from one to the next. What you want to know is
# **`connection_invalidated`**: was it the connection, or the statement? If the connection, the same request may well
# succeed in a second, and the honest answer is 503. If the statement, it will fail again, and 500 is right.
#
# You can see all that without a server. A SQLite connection that is closed behind the pool's back is as dead:


# %% tags=["setup"]
def restart(engine: Engine) -> None:
    """What a restart leaves in a pool: connections that look alive."""
    lent = [engine.raw_connection() for _ in range(engine.pool.checkedin())]
    dying = [one.driver_connection for one in lent]
    for one in lent:
        one.close()  # back into the pool
    for connection in dying:
        connection.close()


# %%
for settings in ({}, {"pool_recycle": 3600}, {"pool_pre_ping": True}):
    tried = create_engine(URL, **settings)
    with tried.connect():
        pass
    restart(tried)
    try:
        with tried.connect() as connection:
            print(settings, "->", connection.scalar(text("SELECT 'all well'")))
    except DBAPIError as error:
        print(settings, "->", type(error).__name__, error.orig, error.connection_invalidated)
    tried.dispose()

# %% [markdown]
# `pool_recycle` is the setting that people reach for and that does not help: it goes by *age*, not by health. It is for
# middlemen that cut whatever is idle: set it below the firewall's patience, or MySQL's `wait_timeout`, and keep
# pre-ping beside it.
# ([Dealing with disconnects](https://docs.sqlalchemy.org/en/21/core/pooling.html#dealing-with-disconnects))

# %% [markdown]
# ## Exercise 6.5: survive a restart
#
# Finish this app:
#
# - after a restart of the database, **every** request gets its answer, the first one too;
# - a request whose connection dies under it hears **503** (or the right answer, if you try again), and nothing is half
#   done;
# - any other trouble with the database stays what it is: a 500 that somebody looks into.
#
# The check's driver is SQLite's. What it raises for a dead connection you have seen above; do not rely on its class.

# %% exercise="06.restart"
# BEGIN STARTER
# live_engine = create_engine(URL)
# END STARTER
# BEGIN SOLUTION
live_engine = create_engine(URL, pool_pre_ping=True)
# END SOLUTION
LiveSession = sessionmaker(live_engine)


def get_live_session() -> Iterator[Session]:
    with LiveSession.begin() as session:
        yield session


LiveDep = Annotated[Session, Depends(get_live_session, scope="function")]

app = FastAPI()


@app.get("/books/{book_id}")
def show_book(book_id: int, session: LiveDep) -> str:
    return session.scalars(select(Book.title).where(Book.id == book_id)).one()


@app.post("/orders", status_code=201)
def place_order(new: NewOrder, session: LiveDep) -> dict[str, int]:
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}


# BEGIN STARTER
# # What else?
# END STARTER
# BEGIN SOLUTION
@app.exception_handler(DBAPIError)
def database_failed(request: Request, error: DBAPIError) -> JSONResponse:
    if not error.connection_invalidated:
        raise error
    return JSONResponse({"detail": "Please try again."}, status_code=503)


# END SOLUTION


# %% check="06.restart"
check("06.restart")

# %% [markdown]
# # Recap
#
# ## The recipe

# %% tags=["recipe"]
import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.orm import Session, sessionmaker

# (max_connections - reserved - others) / processes, those of a deploy included: the ceiling.
recipe_engine = create_engine(
    os.environ.get("DATABASE_URL", URL),
    pool_size=3,  # requests a second x seconds held, on a normal day
    max_overflow=3,  # up to the ceiling
    pool_timeout=3,  # shorter than the load balancer's patience
    pool_pre_ping=True,
)
RecipeSession = sessionmaker(recipe_engine, close_resets_only=False)


def open_session() -> Iterator[Session]:
    with RecipeSession.begin() as session:
        yield session


RecipeDep = Annotated[Session, Depends(open_session, scope="function")]

api = FastAPI()


@api.exception_handler(TimeoutError)
def pool_is_empty(request: Request, error: TimeoutError) -> JSONResponse:
    return JSONResponse({"detail": "Busy. Please try again."}, 503, {"Retry-After": "1"})


@api.exception_handler(DBAPIError)
def database_failed(request: Request, error: DBAPIError) -> JSONResponse:
    if not error.connection_invalidated:
        raise error
    return JSONResponse({"detail": "Please try again."}, 503, {"Retry-After": "1"})


@api.get("/health")
def health(session: RecipeDep) -> dict[str, int]:
    session.execute(text("SELECT 1"))
    return {"connections_out": recipe_engine.pool.checkedout()}


# %% [markdown]
# `/health` is what your dashboard asks. (The one connection that it reports is its own.)

# %%
TestClient(api).get("/health").json()

# %% [markdown]
# ## The rules
#
# - A transaction holds a connection, from its first statement to commit, rollback or close.
# - `with`, always. A `close()` at the end is skipped by whatever raises.
# - What runs after the response (background tasks, streams) opens its own session. `close_resets_only=False` says so.
# - Never hold one while you wait for somebody else: read, let go, call, take another, write, and check again.
# - *QueuePool limit* asks **who has them**, not for a bigger pool.
# - `processes x (pool_size + max_overflow)` stays below what the server can spare, on the day of a deploy as well.
# - Connections needed = requests a second x seconds held.
# - `pool_pre_ping=True` for every server; 503 where `connection_invalidated`, 500 where not.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00` | all connections are out, and none came back in time; find out who has them |
# | `InvalidRequestError: This Session has been permanently closed and is unable to handle any more transaction requests.` | a task or a stream used the request's session, with `close_resets_only=False` |
# | `OperationalError: FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute`, or `FATAL: sorry, too many clients already` | more connections than the server takes; count processes x pools |
# | `OperationalError: terminating connection due to administrator command`, or `server closed the connection unexpectedly` | the server restarted; `pool_pre_ping`, and 503 for who was in the middle |
# | `The garbage collector is trying to clean up non-checked-in connection` | a leaked async session or connection; its `async with` is missing |
#
# ## In production
#
# - Put `checkedout()` and its maximum on a dashboard, one line for each worker, and alert well before the ceiling.
# - Name your connections: `connect_args={"application_name": "dog-eared"}` with psycopg. Then `pg_stat_activity` says
#   who holds what, and a row that is *idle in transaction* for a minute is section 3 or 4.
# - [`idle_in_transaction_session_timeout`](https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT)
#   on the server ends the ones that you did not find.
# - An engine does not survive `fork`. Workers that are forked after the engine has connected call
#   `engine.dispose(close=False)` first.
#   ([Pools with multiprocessing](https://docs.sqlalchemy.org/en/21/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork))
# - Async engines have the same pool with the same numbers, and the same message when it is empty.
#
# ## Read more
#
# - SQLAlchemy: [Connection pooling](https://docs.sqlalchemy.org/en/21/core/pooling.html),
#   [QueuePool limit reached](https://sqlalche.me/e/21/3o7r)
# - PostgreSQL: [Connections and authentication](https://www.postgresql.org/docs/current/runtime-config-connection.html),
#   [Monitoring activity](https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW)
