# %% [markdown]
# # 03 Transactions
#
# When you are through, your API changes everything that a request was meant to change, or nothing; it answers 201
# only when the row is really there; and it sells its last copy once.
#
# Tuesday, 2 a.m. Support forwards a screenshot: *"Your API said 201 Created. My order is not there."* The access log
# has the 201. The table has no order. Both are right, and by the end of the second part you will have made it happen
# yourself, over a real socket.

# %% [markdown]
# ## The shop
#
# Customers order copies of books. All models in one cell, as always. Two things to notice: the shelf cannot hold fewer
# than zero copies, and the database checks an order's customer **when the transaction commits**, not when the row goes
# in (`DEFERRABLE INITIALLY DEFERRED`): Dog-Eared's sign-up writes order and customer in one transaction, in that order.

# %% tags=["setup"]
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import CheckConstraint, Engine, ForeignKey, MetaData
from sqlalchemy import create_engine, delete, event, func, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from checks import TODO, check, hint, progress, solution, trace


# %% tags=["setup"]
class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (CheckConstraint("copies >= 0", name="copies_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    copies: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)  # idle until the fourth part


class GuardedBook(Base):  # the same table, watched over: see the fourth part
    __table__ = Book.__table__
    __mapper_args__ = {"version_id_col": Book.__table__.c.version}


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    customer_id: Mapped[int] = mapped_column(
        ForeignKey("customer.id", deferrable=True, initially="DEFERRED")
    )
    copies: Mapped[int] = mapped_column(default=1)


# %% [markdown]
# This lesson needs a database in a **file**. With one in memory there is a single connection that everybody shares,
# and a transaction is about what the *others* see.

# %% tags=["setup"]
URL = f"sqlite:///{Path(tempfile.mkdtemp()) / 'dog_eared.db'}"

engine = create_engine(URL)


@event.listens_for(engine, "connect")
def enforce_foreign_keys(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)


def restock() -> None:
    """The shop as it opens: one customer, two books, no orders."""
    engine.dispose()
    with SessionLocal.begin() as session:
        for model in (Order, Book, Customer):
            session.execute(delete(model))
        session.add(Customer(id=1, name="Ada"))
        session.add(Book(id=1, isbn="9780141439600", title="Middlemarch", copies=3))
        session.add(Book(id=2, isbn="9780141439587", title="Emma", copies=1))


def count() -> dict[str, int | None]:
    """What is in the database now, seen from another session."""
    with SessionLocal() as session:
        return {
            "copies of Middlemarch": session.scalar(select(Book.copies).where(Book.id == 1)),
            "orders": session.scalar(select(func.count()).select_from(Order)),
        }


restock()

# %% [markdown]
# # 1. All of it or none of it
#
# ## `flush` talks, `commit` keeps
#
# **Predict.** Between `flush` and `commit` the order has an id. Does anybody else see it?

# %%
with SessionLocal() as session:
    order = Order(book_id=1, customer_id=1)
    session.add(order)
    session.flush()
    print("after flush:    order", order.id, "and the others see", count())
    session.rollback()

print("after rollback:", count())

# %% [markdown]
# `flush` sends the SQL that is due, inside the open transaction. The database checks it and hands out ids, but to
# everybody else nothing has happened. `commit` flushes what is left, then makes all of it true for everybody at once.
# `rollback` makes none of it true.
#
# You rarely call `flush` yourself: the session does it before each query (*autoflush*) and before each commit. Call it
# when you need the id, or when you want a constraint to complain *here*.
# ([Session basics: flushing](https://docs.sqlalchemy.org/en/21/orm/session_basics.html#flushing))
#
# ## Half an order
#
# What a customer sends:


# %% tags=["setup"]
class NewOrder(BaseModel):
    book_id: int
    customer_id: int
    copies: int = 1


# %% [markdown]
# A tidy mind has put each step into a function of its own, and each function saves its work:


# %%
def take_from_shelf(new: NewOrder) -> None:
    with SessionLocal.begin() as session:  # a transaction: committed at the end of the block
        session.get_one(Book, new.book_id).copies -= new.copies


def write_order(new: NewOrder) -> None:
    with SessionLocal.begin() as session:
        session.add(Order(**new.model_dump()))


half = FastAPI()


@half.post("/orders", status_code=201)
def half_an_order(new: NewOrder) -> None:
    take_from_shelf(new)
    write_order(new)


# %% [markdown]
# **Predict.** There is no customer 99, so the database will refuse the order. How many copies are left of three?

# %%
restock()
client = TestClient(half, raise_server_exceptions=False)
with trace(half, engine) as seen:
    client.post("/orders", json={"book_id": 1, "customer_id": 99})

print(count())
seen

# %% [markdown]
# Two commits, two transactions. The first was kept, the second refused, and a copy has left the shelf for nobody. The
# client heard 500 and will try again: one copy fewer each time. Each function is right; their sum is not.
#
# The rule: **one request, one transaction.** A `begin()` block is the spelling that is hard to get wrong. It commits
# when you leave it, and rolls back when an exception does, `HTTPException` included. Functions that do a part of the
# work take the session as an argument, and leave the ending to whoever began.
# ([Framing out a begin / commit / rollback block](https://docs.sqlalchemy.org/en/21/orm/session_basics.html#framing-out-a-begin-commit-rollback-block))

# %% [markdown]
# ## Exercise 3.1: the atomic order
#
# Write `POST /orders`, which takes a `NewOrder`:
#
# - it answers 201 with `{"id": ..., "copies_left": ...}`; the stock has gone down by `copies` and the order is there;
# - an unknown book is a 404, and too few copies a 409;
# - whatever goes wrong, even at the commit (customer 99 again): an error status, the stock as it was, no order, and the
#   next customer does not notice.

# %% exercise="03.atomic_order"
app = FastAPI()


@app.post("/orders", status_code=201)
# BEGIN STARTER
# def place_order(new: NewOrder) -> dict[str, int]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def place_order(new: NewOrder) -> dict[str, int]:
    with SessionLocal.begin() as session:
        book = session.get(Book, new.book_id)
        if book is None:
            raise HTTPException(404, "No such book.")
        if book.copies < new.copies:
            raise HTTPException(409, f"Only {book.copies} left.")
        book.copies -= new.copies
        order = Order(**new.model_dump())
        session.add(order)
        session.flush()  # the id is needed for the answer
        return {"id": order.id, "copies_left": book.copies}


# END SOLUTION


# %% check="03.atomic_order"
check("03.atomic_order")

# %% [markdown]
# # 2. The 201 that lied
#
# Most applications do not open a block in each endpoint; they have a dependency do it. Here is the one that half the
# tutorials on the internet hand you. Read it, then commit yourself:


# %%
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
        raise
    finally:
        db.close()


# %%
liar = FastAPI()


@liar.post("/orders", status_code=201)
def order_politely(new: NewOrder, db: Annotated[Session, Depends(get_db)]) -> dict[str, int]:
    order = Order(**new.model_dump())
    db.add(order)
    db.flush()
    return {"id": order.id}


@liar.get("/orders/{order_id}")
def read_order(order_id: int, db: Annotated[Session, Depends(get_db)]) -> dict[str, int]:
    order = db.get(Order, order_id)
    if order is None:
        raise HTTPException(404, "No such order.")
    return {"id": order.id, "book_id": order.book_id}


# %% [markdown]
# **Predict.** A perfectly good order comes in. Which happens first: the commit, or the moment the client holds its 201?

# %%
restock()
client = TestClient(liar, raise_server_exceptions=False)
with trace(liar, engine) as seen:
    client.post("/orders", json={"book_id": 1, "customer_id": 1})

seen

# %% [markdown]
# The commit stands below the line *the client has its answer*. Code after `yield` is clean-up, and FastAPI
# [cleans up when the response has gone out](https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/).
# So this dependency promises first and then finds out whether it can keep the promise.
#
# Almost always it can. Customer 99 is the other time:

# %%
restock()
with trace(liar, engine) as seen:
    answer = client.post("/orders", json={"book_id": 1, "customer_id": 99})

print("the client heard", answer.status_code, answer.json(), "and the shop has", count())
seen

# %% [markdown]
# A 201, an id, and no order. The exception did come, and there was nobody left to tell.
#
# ## Over a real socket
#
# Is that an artefact of `TestClient`, perhaps? Let a real server and a real HTTP client settle it: uvicorn on a free
# port, and [httpx](https://www.python-httpx.org/), which knows nothing of FastAPI. The customer asks for the order that
# it was just told about.

# %%
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A real server for as long as the block lasts; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


# %%
restock()
with served(liar) as shop:
    answer = httpx.post(f"{shop}/orders", json={"book_id": 1, "customer_id": 99})
    print("POST /orders   ", answer.status_code, answer.json())
    again = httpx.get(f"{shop}/orders/{answer.json()['id']}")
    print("GET  /orders/1 ", again.status_code, again.json())

# %% [markdown]
# That is the screenshot from 2 a.m., made to order.
#
# The commit need not even fail. Let it be *slow*, as commits are when a disk or a replica is busy, and let the customer
# look at once, as front ends do:


# %%
def get_slow_db() -> Iterator[Session]:
    with SessionLocal.begin() as db:
        yield db
        time.sleep(1)  # a busy disk


restock()
liar.dependency_overrides[get_db] = get_slow_db
with served(liar) as shop:
    answer = httpx.post(f"{shop}/orders", json={"book_id": 1, "customer_id": 1})
    print("POST /orders   ", answer.status_code)
    print("GET  /orders/1 ", httpx.get(f"{shop}/orders/1").status_code, "at once")
    time.sleep(2)
    print("GET  /orders/1 ", httpx.get(f"{shop}/orders/1").status_code, "two seconds later")
liar.dependency_overrides.clear()

# %% [markdown]
# See the `with SessionLocal.begin()` in there: the safe block, and the same lie. It is not *how* the transaction ends
# that matters here, but *when*.
#
# ## Why your tests may not tell you
#
# `TestClient` waits for the whole app, clean-up included, and by default raises whatever was raised anywhere:

# %%
restock()
try:
    TestClient(liar).post("/orders", json={"book_id": 1, "customer_id": 99})
except IntegrityError as error:
    print(type(error).__name__, error.orig)

# %% [markdown]
# The test sees an exception and you think "a 500, then". The customer saw a 201. With `raise_server_exceptions=False`
# you see what the customer saw.
#
# The history explains the many tutorials. Until FastAPI 0.105 clean-up ran after the response; from 0.106 to 0.117
# *before* it, so that this very dependency told the truth; since 0.118 after it again; and since 0.121 `Depends` takes
# a `scope` that says which.
# ([Release notes](https://fastapi.tiangolo.com/release-notes/), [Advanced Dependencies](https://fastapi.tiangolo.com/advanced/advanced-dependencies/))
#
# ## Exercise 3.2: tell the truth
#
# Below is the app as it went live. Change it, as little as you can, so that a client hears 201 **only** when the
# order is kept. When the commit fails, the client hears an error, and the order that failed does not turn up later.
# Several cures are right.


# %% exercise="03.tell_the_truth"
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
        raise
    finally:
        db.close()


# BEGIN STARTER
# SessionDep = Annotated[Session, Depends(get_db)]
# END STARTER
# BEGIN SOLUTION
SessionDep = Annotated[Session, Depends(get_db, scope="function")]
# END SOLUTION

app = FastAPI()


@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: SessionDep) -> dict[str, int]:
    order = Order(**new.model_dump())
    db.add(order)
    db.flush()
    return {"id": order.id}


# %% check="03.tell_the_truth"
check("03.tell_the_truth")

# %% [markdown]
# ## Three cures and a placebo
#
# Four endpoints, each trying to sell a book to customer 99. **Predict** the four status codes.


# %%
def whole_request() -> Iterator[Session]:
    with SessionLocal.begin() as db:
        yield db


def only_a_session() -> Iterator[Session]:
    with SessionLocal() as db:
        yield db


trial = FastAPI()


@trial.post("/default-scope", status_code=201)
def default_scope(db: Annotated[Session, Depends(whole_request)]) -> None:
    db.add(Order(book_id=1, customer_id=99))


@trial.post("/function-scope", status_code=201)
def function_scope(db: Annotated[Session, Depends(whole_request, scope="function")]) -> None:
    db.add(Order(book_id=1, customer_id=99))


@trial.post("/own-block", status_code=201)
def own_block() -> None:
    with SessionLocal.begin() as db:
        db.add(Order(book_id=1, customer_id=99))


@trial.post("/explicit-commit", status_code=201)
def explicit_commit(db: Annotated[Session, Depends(only_a_session)]) -> None:
    db.add(Order(book_id=1, customer_id=99))
    db.commit()


# %%
restock()
client = TestClient(trial, raise_server_exceptions=False)
for path in ("/default-scope", "/function-scope", "/own-block", "/explicit-commit"):
    print(f"{path:18}", client.post(path).status_code)

# %% [markdown]
# Which to take?
#
# - **`scope="function"`**: one word, every endpoint cured. FastAPI serialises the answer, runs the clean-up, *then*
#   sends. The price: a streamed body and a background task run after the session is gone and must open their own. The
#   scope is part of the dependency's identity: `Depends(get_db)` and `Depends(get_db, scope="function")` in one request
#   are two sessions and two transactions. So define one `SessionDep` and use nothing else.
# - **A block of your own**: needs no dependency, and you can wrap a retry around it (part 5 does). The price: nothing
#   stops you from opening two, and then you are back at half an order.
# - **An explicit `commit()`**: plain to read, works on every version. The price: every writing endpoint must remember
#   it (lesson 00 forgot), and after it every attribute you touch is read again. And there is one thing more, below.
#
# A 500 is true, but not kind. To turn a refused commit into a 409, the code around the `yield` may raise an
# `HTTPException`, and once more it depends on *when*:


# %%
def with_manners() -> Iterator[Session]:
    try:
        with SessionLocal.begin() as db:
            yield db
    except IntegrityError as error:
        raise HTTPException(409, "The order could not be kept.") from error


polite = FastAPI()


@polite.post("/function-scope", status_code=201)
def polite_in_time(db: Annotated[Session, Depends(with_manners, scope="function")]) -> None:
    db.add(Order(book_id=1, customer_id=99))


@polite.post("/default-scope", status_code=201)
def polite_too_late(db: Annotated[Session, Depends(with_manners)]) -> None:
    db.add(Order(book_id=1, customer_id=99))


restock()
print("function scope:", TestClient(polite).post("/function-scope").status_code)
try:
    TestClient(polite).post("/default-scope")
except RuntimeError as error:
    print("default scope: ", type(error).__name__, error)

# %% [markdown]
# ## The order that came back
#
# Back to `/explicit-commit`, whose client honestly heard 500. One second later, in another request, customer 99 signs up.
# **Predict** the number of orders.

# %%
restock()
client.post("/explicit-commit")
with SessionLocal.begin() as session:
    session.add(Customer(id=99, name="Grace"))

count()

# %% [markdown]
# Grace finds an order waiting that somebody was told had failed.
#
# When SQLite refuses a COMMIT, the transaction stays **open**. Leaving `with SessionLocal() as db:` closes the
# session, and on SQLAlchemy 2.1 the connection goes back to the pool as it is, insert and all. The next request inherits
# it. Had the next request been anybody but customer 99, it would have failed for a reason that it had no part in:

# %%
restock()
client.post("/explicit-commit")
try:
    with SessionLocal.begin() as session:
        session.add(Customer(name="Charles"))
except IntegrityError as error:
    print("Charles cannot sign up:", error.orig)

# %% [markdown]
# A `begin()` block rolls back when its commit fails, and so does an `except: session.rollback(); raise`. PostgreSQL
# ends the transaction itself, so you would never see this there. **Whoever commits also rolls back**, and the block is
# the spelling that cannot forget. The proof:

# %%
restock()
client.post("/own-block")
with SessionLocal.begin() as session:
    session.add(Customer(id=99, name="Grace"))

count()

# %% [markdown]
# # 3. Keep the good rows
#
# A publisher sends a list of books. One ISBN is already in the shop. Here is the loop that everybody writes first.
# **Predict**: how many of the two new ones survive?

# %%
restock()
delivery = [
    ("9780140430721", "Persuasion"),
    ("9780141439600", "Middlemarch"),  # already there
    ("9780141439662", "Villette"),
]

with SessionLocal() as session:
    for isbn, title in delivery:
        session.add(Book(isbn=isbn, title=title, copies=1))
        try:
            session.flush()
        except IntegrityError as error:
            print(title, "->", error.orig)
            session.rollback()
    session.commit()
    print(session.scalars(select(Book.title).order_by(Book.id)).all())

# %% [markdown]
# *Persuasion* was good, had been flushed, and is gone: `rollback()` ends the whole transaction, not the last statement.
# And without the `rollback()` the session refuses to go on at all:

# %%
with SessionLocal() as session:
    for isbn, title in delivery:
        session.add(Book(isbn=isbn, title=title, copies=1))
        try:
            session.flush()
        except Exception as error:
            print(title, "->", type(error).__name__)

# %% [markdown]
# ([PendingRollbackError](https://docs.sqlalchemy.org/en/21/faq/sessions.html#this-session-s-transaction-has-been-rolled-back-due-to-a-previous-exception-during-flush-or-similar):
# "This Session's transaction has been rolled back due to a previous exception during flush.")
#
# What is wanted is a rollback to a point *inside* the transaction: a **savepoint**, which SQLAlchemy calls
# `begin_nested()`. One for each row:

# %%
restock()
with trace(engine) as seen, SessionLocal.begin() as session:
    for isbn, title in delivery:
        try:
            with session.begin_nested():
                session.add(Book(isbn=isbn, title=title, copies=1))
        except IntegrityError:
            pass

seen

# %% [markdown]
# Read the middle: `savepoint`, an insert that fails, `roll back to`. The failure stays in its own row, and the one
# commit at the end keeps the rest. The `try` stands around the `with`, because the INSERT is sent where the block ends.
#
# ## A savepoint that saves too much
#
# **Predict.** The shop opens with two books. A third goes in behind a savepoint, and then the whole transaction is rolled
# back. How many are there?

# %%
restock()
with SessionLocal() as session:
    with session.begin_nested():
        session.add(Book(isbn="9780140430721", title="Persuasion", copies=1))
    session.rollback()

with SessionLocal() as session:
    print(session.scalars(select(Book.title).order_by(Book.id)).all())

# %% [markdown]
# Rolled back, and still there. Python's `sqlite3` does not say BEGIN until it sees an INSERT, so the SAVEPOINT came
# first, outside any transaction; and SQLite treats
# [releasing an outermost savepoint as a COMMIT](https://www.sqlite.org/lang_savepoint.html). The `begin` on the timeline
# above is what SQLAlchemy believed.
#
# The cure is in [SQLAlchemy's notes on SQLite](https://docs.sqlalchemy.org/en/21/dialects/sqlite.html): keep the driver
# from guessing, and say BEGIN yourself. It is worth having in every SQLite project:


# %% tags=["setup"]
def make_engine(begin: str, patience: float = 5.0) -> Engine:
    """An engine on the same file, whose transactions begin when they say so.

    Args:
        begin: What to begin a transaction with.
        patience: For how many seconds to wait when somebody else is writing.
    """
    made = create_engine(URL, connect_args={"timeout": patience})

    @event.listens_for(made, "connect")
    def take_over(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.isolation_level = None  # the driver sends no BEGIN of its own
        dbapi_connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(made, "begin")
    def say_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return made


honest_engine = make_engine("BEGIN")
HonestSession = sessionmaker(honest_engine)

# %%
restock()
with HonestSession() as session:
    with session.begin_nested():
        session.add(Book(isbn="9780140430721", title="Persuasion", copies=1))
    session.rollback()

with HonestSession() as session:
    print(session.scalars(select(Book.title).order_by(Book.id)).all())

# %% [markdown]
# ## Exercise 3.3: the import that keeps the good rows
#
# Write `POST /imports`, which takes a list of `NewBook`:
#
# - it answers 200 with `{"imported": 2, "rejected": ["978..."]}`: how many books were added, and the ISBN of each that
#   the database refused (one already in the shop, one twice in the list, a number of copies below zero), in order;
# - the good ones are in the shop afterwards, and the books that were there are as they were;
# - the import is **one transaction**: if its commit fails, none of it is kept. `HonestSession` is yours to use.


# %% exercise="03.savepoint_import"
class NewBook(BaseModel):
    isbn: str
    title: str
    copies: int


app = FastAPI()


@app.post("/imports")
# BEGIN STARTER
# def import_books(delivery: list[NewBook]) -> dict[str, Any]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def import_books(delivery: list[NewBook]) -> dict[str, Any]:
    rejected = []
    with HonestSession.begin() as session:
        for new in delivery:
            try:
                with session.begin_nested():
                    session.add(Book(**new.model_dump()))
            except IntegrityError:
                rejected.append(new.isbn)
    return {"imported": len(delivery) - len(rejected), "rejected": rejected}


# END SOLUTION


# %% check="03.savepoint_import"
check("03.savepoint_import")

# %% [markdown]
# A savepoint costs two small statements a row. For a hundred thousand rows, try them all in one savepoint first and go
# row by row only when that fails; or let the database skip duplicates with `insert(...).on_conflict_do_nothing()`.

# %% [markdown]
# # 4. Two buyers, one copy
#
# There is one *Emma*. Two requests arrive together. Here they are as two sessions in one cell, so that you can see each
# step; in life the scheduler does the shuffling.

# %%
restock()
alice, bob = SessionLocal(), SessionLocal()

for_alice = alice.get_one(Book, 2)
for_bob = bob.get_one(Book, 2)
print("Alice sees", for_alice.copies, "copy; Bob sees", for_bob.copies)

for buyer, book in ((bob, for_bob), (alice, for_alice)):
    if book.copies >= 1:
        book.copies -= 1
        buyer.add(Order(book_id=book.id, customer_id=1))
    buyer.commit()
    buyer.close()

with SessionLocal() as session:
    print("orders for Emma:", session.scalar(select(func.count()).where(Order.book_id == 2)))
    print("copies left:    ", session.get_one(Book, 2).copies)

# %% [markdown]
# One copy, two orders, and a shelf that says 0: no exception, no CHECK violated. Both transactions are atomic. That is
# no help, for each wrote down an answer that it had worked out from a number which was no longer true. This is a **lost
# update**, and PostgreSQL does the same in its default isolation, READ COMMITTED.
#
# ## Cure 1: let the database decide
#
# Do not read, think and write. Ask for the change *on condition*, in one statement, and look at how many rows it hit:

# %%
restock()
take_one = update(Book).where(Book.id == 2, Book.copies >= 1).values(copies=Book.copies - 1)
for buyer in ("Alice", "Bob"):
    with SessionLocal.begin() as session:
        print(buyer, "got", session.execute(take_one).rowcount)

# %% [markdown]
# Nothing to hold while you think, nothing to retry, and right on every database as it comes. The number of rows is the
# answer; whoever ignores it sells air.
#
# ## Cure 2: notice, and refuse
#
# When the new value has to be worked out in Python (a form that two members of staff have open), give the row a
# version. `version_id_col` adds it to every UPDATE. `GuardedBook` is the table `book` with that one line; in a project
# you would put it on `Book` itself.

# %%
restock()
alice, bob = SessionLocal(), SessionLocal()
for_alice, for_bob = alice.get_one(GuardedBook, 2), bob.get_one(GuardedBook, 2)

for_bob.copies -= 1
bob.commit()
bob.close()

with trace(engine) as seen:
    for_alice.copies -= 1
    try:
        alice.commit()
    except StaleDataError as error:
        print(type(error).__name__, "-", error)
    finally:
        alice.close()

seen

# %% [markdown]
# `WHERE book.id = ? AND book.version = ?` found no row, and SQLAlchemy raised before anything was kept. Nothing was
# locked while Alice was thinking. ([Configuring a version counter](https://docs.sqlalchemy.org/en/21/orm/versioning.html))
#
# ## Cure 3: make the others wait
#
# On PostgreSQL, `with_for_update()` locks the row from the moment it is read; the second buyer's SELECT waits until the
# first has committed, and then sees 0. What it compiles to there, and here:

# %%
from sqlalchemy.dialects import postgresql, sqlite

locked = select(Book.copies).where(Book.id == 2).with_for_update()
for dialect in (postgresql.dialect(), sqlite.dialect()):
    print(f"{dialect.name:10}", " ".join(str(locked.compile(dialect=dialect)).split()))

# %% [markdown]
# SQLite has no row locks and SQLAlchemy leaves the words out **in silence**: code that is right on PostgreSQL oversells
# on SQLite. (The PostgreSQL side is not run here; lesson 05 starts a real one. Its own account:
# [Explicit locking](https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS).)
#
# SQLite's way to make others wait is to take the one write lock at the start: `BEGIN IMMEDIATE`.

# %%
restock()
one_writer = make_engine("BEGIN IMMEDIATE", patience=0.1)

with Session(one_writer) as alice, Session(one_writer) as bob:
    print("Alice sees", alice.get_one(Book, 2).copies, "copy")
    try:
        bob.get_one(Book, 2)
    except OperationalError as error:
        print("Bob waits, and then hears:", error.orig)

one_writer.dispose()

# %% [markdown]
# Waiting is simple and right, and it has a price: while Alice thinks, nobody writes. With SQLite that is the whole
# database, on PostgreSQL one row, and in both cases for as long as your transaction is open. So never call a payment
# provider inside.
#
# | | locks while you think | needs a retry | use it when |
# | --- | --- | --- | --- |
# | conditional `UPDATE` | no | no | the change fits in one statement: stock, counters, states |
# | `version_id_col` | no | yes | Python, or a person, works out the new value; conflicts are rare |
# | `with_for_update()` / `BEGIN IMMEDIATE` | yes | for deadlocks | Python works it out, conflicts are common |
#
# A lock in Python (`threading.Lock`) is not in the table. It guards one process, and you will deploy four.

# %% [markdown]
# ## Exercise 3.4: the last copy
#
# This endpoint sells the last *Emma* twice when two requests meet between its SELECT and its UPDATE. Dog-Eared runs in
# four processes. Cure it, in any way you like:
#
# - 201 with `{"id": ...}` while there are enough copies; 404 for an unknown book;
# - a buyer who comes too late hears **409**, however close the race, and no order of theirs exists;
# - never more orders than copies, even when the rival is in another process.

# %% exercise="03.last_copy"
app = FastAPI()


@app.post("/orders", status_code=201)
def buy(new: NewOrder) -> dict[str, int]:
    with SessionLocal.begin() as session:
        # BEGIN STARTER
        # book = session.get(Book, new.book_id)
        # if book is None:
        #     raise HTTPException(404, "No such book.")
        # if book.copies < new.copies:
        #     raise HTTPException(409, "Sold out.")
        # book.copies -= new.copies
        # END STARTER
        # BEGIN SOLUTION
        if session.get(Book, new.book_id) is None:
            raise HTTPException(404, "No such book.")
        take = (
            update(Book)
            .where(Book.id == new.book_id, Book.copies >= new.copies)
            .values(copies=Book.copies - new.copies)
        )
        if session.execute(take).rowcount == 0:
            raise HTTPException(409, "Sold out.")
        # END SOLUTION
        order = Order(**new.model_dump())
        session.add(order)
        session.flush()
        return {"id": order.id}


# %% check="03.last_copy"
check("03.last_copy")

# %% [markdown]
# # 5. Around the transaction
#
# ## Try again, from the top
#
# Cures 2 and 3 end in exceptions that mean *not now*: `StaleDataError`, "database is locked", and on PostgreSQL
# serialization failures and deadlocks (SQLSTATE 40001 and 40P01), which its manual says
# [you must be prepared to retry](https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html).
#
# What is repeated must be the **whole transaction**, reads included, in a fresh session: the reads are what went stale.
# So the work is a function:

# %%
import random
import time
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

Result = TypeVar("Result")


def passes(error: Exception) -> bool:
    """Whether the same transaction may well succeed in a moment."""
    if isinstance(error, StaleDataError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if "database is locked" in str(error.orig):  # SQLite
        return True
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")  # PostgreSQL


def in_transaction(work: Callable[[Session], Result], attempts: int = 3) -> Result:
    """Do the work in a transaction of its own; once more when somebody got in between."""
    for attempt in range(1, attempts + 1):
        try:
            with SessionLocal.begin() as session:
                return work(session)
        except Exception as error:
            if attempt == attempts or not passes(error):
                raise
            time.sleep(random.uniform(0, 0.01) * 2**attempt)  # not all at the same moment
    raise AssertionError("unreachable")


# %% [markdown]
# There are three copies of *Middlemarch*. On the first attempt, and only then, a rival buys one between our read and
# our write:

# %%
rivals = ["Bob"]


def sell_one(session: Session) -> int:
    book = session.get_one(GuardedBook, 1)
    if rivals:
        rivals.pop()
        with SessionLocal.begin() as other:
            other.get_one(GuardedBook, 1).copies -= 1
    book.copies -= 1
    session.flush()
    return book.copies


restock()
with trace(engine) as seen:
    left = in_transaction(sell_one)

print(left, "left,", len(seen.selects), "SELECTs")
print(seen.commits, "commits,", seen.rollbacks, "rollback")

# %% [markdown]
# Three SELECTs: ours, the rival's, ours again. Retry a few times, with a random pause, and then let the error out as a
# 503. Retry only what a transaction can undo, which brings us to the last trap.
#
# ## The mail that cannot be rolled back
#
# Customer 99 tries three endpoints that confirm orders by mail. **Predict**, for each: does a mail go out?

# %%
post_box: list[str] = []

mailing = FastAPI()
LateSession = Annotated[Session, Depends(whole_request)]
SoundSession = Annotated[Session, Depends(whole_request, scope="function")]


@mailing.post("/mail-in-the-middle", status_code=201)
def mail_in_the_middle(db: SoundSession) -> None:
    db.add(Order(book_id=1, customer_id=99))
    post_box.append("Your order is confirmed.")


@mailing.post("/background-default", status_code=201)
def background_default(db: LateSession, tasks: BackgroundTasks) -> None:
    db.add(Order(book_id=1, customer_id=99))
    tasks.add_task(post_box.append, "Your order is confirmed.")


@mailing.post("/background-function", status_code=201)
def background_function(db: SoundSession, tasks: BackgroundTasks) -> None:
    db.add(Order(book_id=1, customer_id=99))
    tasks.add_task(post_box.append, "Your order is confirmed.")


# %%
client = TestClient(mailing, raise_server_exceptions=False)
for path in ("/mail-in-the-middle", "/background-default", "/background-function"):
    restock()
    post_box.clear()
    status = client.post(path).status_code
    print(f"{path:22} {status}  mails: {len(post_box)}  orders: {count()['orders']}")

# %% [markdown]
# In the middle, the mail has gone before the database was asked: the client hears 500, and reads that all is well. A
# background task runs after the response and, in the default scope, still *before* the clean-up: its mail confirms an
# order that was about to fail. With `scope="function"` the commit comes first, and without it there is no mail.
#
# **Side effects come after the commit**: mails, webhooks, charges, cache entries, messages to a queue. What if the
# process dies between commit and mail? Then the mail is lost, and the cure is to write the mail *into the transaction*
# as a row that somebody else delivers: the outbox, in lesson 12.

# %% [markdown]
# # Recap
#
# ## The recipe

# %% tags=["recipe"]
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import create_engine, event, update
from sqlalchemy.orm import Session, sessionmaker

recipe_engine = create_engine(URL)


@event.listens_for(recipe_engine, "connect")  # these two listeners: SQLite only
def prepare_sqlite(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.isolation_level = None
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


@event.listens_for(recipe_engine, "begin")
def begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


RecipeSession = sessionmaker(recipe_engine)


def get_session() -> Iterator[Session]:
    with RecipeSession.begin() as session:  # commits; rolls back, also when the commit fails
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]  # before the response


class OrderIn(BaseModel):
    book_id: int
    customer_id: int


class OrderOut(BaseModel):
    id: int


api = FastAPI()


@api.post("/orders", status_code=201)
def create_order(new: OrderIn, session: SessionDep) -> OrderOut:
    left = session.scalar(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= 1)
        .values(copies=Book.copies - 1)
        .returning(Book.copies)
    )
    if left is None:  # no such row
        raise HTTPException(409, "Sold out, or never on our shelves.")
    order = Order(book_id=new.book_id, customer_id=new.customer_id)
    session.add(order)
    session.flush()
    return OrderOut(id=order.id)


restock()
client = TestClient(api, raise_server_exceptions=False)
for customer_id in (99, 1, 1):
    answer = client.post("/orders", json={"book_id": 2, "customer_id": customer_id})
    print(customer_id, "->", answer.status_code)

# %% [markdown]
# ## The rules
#
# - One request, one transaction. Helpers take the session; whoever began it ends it.
# - `flush` sends, `commit` keeps, and a commit can still say no.
# - Never commit after `yield` in the default scope. `scope="function"`, or commit before you return.
# - One `SessionDep`, defined once.
# - Whoever commits rolls back when that fails: write `with SessionLocal.begin()`.
# - One savepoint for each thing that may fail alone, and the `try` around it.
# - Do not read, think, write. Change on condition, check a version, or hold a lock.
# - Retry whole transactions, in fresh sessions, a few times.
# - Mail after the commit.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `IntegrityError: FOREIGN KEY constraint failed`, at a commit | a deferred constraint; whoever answered before it lied |
# | `IntegrityError: UNIQUE constraint failed: book.isbn` | a duplicate; a savepoint keeps the rest alive |
# | `PendingRollbackError: This Session's transaction has been rolled back ...` | a flush failed and the session was used on |
# | `StaleDataError: UPDATE statement on table 'book' expected to update 1 row(s); 0 were matched.` | somebody else was quicker; read again |
# | `OperationalError: database is locked` | SQLite's write lock is taken and patience ran out; retry |
# | `RuntimeError: Caught handled exception, but response already started.` | an HTTPException raised after `yield`, in the default scope |
#
# ## In production
#
# - PostgreSQL needs no listeners: it says BEGIN, has real savepoints, and ends a transaction whose commit failed.
#   Its default isolation, READ COMMITTED, permits the lost update; REPEATABLE READ and SERIALIZABLE turn it into error
#   40001, so choose them together with a retry.
#   ([Transaction isolation](https://www.postgresql.org/docs/current/transaction-iso.html))
# - `BEGIN IMMEDIATE` makes every SQLite transaction a writer, readers too. Give pages that only read an engine with
#   plain `BEGIN`.
# - Short transactions: no HTTP call, no e-mail, no password hashing inside.
# - Several workers share nothing but the database. What must be decided once is decided there.
#
# ## Read more
#
# - SQLAlchemy: [Transactions and connection management](https://docs.sqlalchemy.org/en/21/orm/session_transaction.html),
#   [Using SAVEPOINT](https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#using-savepoint)
# - FastAPI: [Dependencies with yield](https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/)
# - SQLite: [Transactions](https://www.sqlite.org/lang_transaction.html),
#   [Isolation](https://www.sqlite.org/isolation.html)
