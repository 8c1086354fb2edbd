# %% [markdown]
# # 11 Safe SQL
#
# When you are through, nothing that a client sends can become SQL in your API, no client can write a column that you
# did not open, and your errors tell an attacker nothing.
#
# Sunday, 2 a.m. Nobody is woken. The search box of Dog-Eared has been answering questions all night, one a second, each
# with a polite 200: *which tables have you got? which columns? what is in them?* On Monday the passwords of the staff
# are for sale. Nothing crashed; that is rather the point.
#
# You are going to do it yourself, to your own app, in your own process. Then you will close it.

# %% [markdown]
# ## The shop
#
# Passwords stand in the table as they are, so that you can see what gets out. (Lesson 12 has them hashed; what leaks
# here would leak there.) `cost` is what Dog-Eared paid for a book, which is nobody's business.

# %% tags=["setup"]
from typing import Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import MISSING, BaseModel, ConfigDict
from sqlalchemy import MetaData, StaticPool, create_engine, delete, select, text
from sqlalchemy.exc import ArgumentError, CompileError, DBAPIError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from checks import TODO, check, hint, progress, solution, trace


# %% tags=["setup"]
class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(index=True)
    price: Mapped[int] = mapped_column(index=True)
    cost: Mapped[int] = mapped_column(default=0)


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    credit: Mapped[int] = mapped_column(default=0)
    is_staff: Mapped[bool] = mapped_column(default=False)


class Staff(Base):
    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str]


# %% tags=["setup"]
engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)


def restock() -> None:
    """The shop as it opens."""
    with SessionLocal.begin() as session:
        for model in (Book, Customer, Staff):
            session.execute(delete(model))
        session.add(Book(id=1, title="Emma", price=9, cost=4))
        session.add(Book(id=2, title="Ulysses", price=12, cost=11))
        session.add(Book(id=3, title="100% Wolf", price=5, cost=1))
        session.add(Book(id=4, title="The Handmaid's Tale", price=9, cost=2))
        session.add(Customer(id=1, name="Eve", email="eve@example.com"))
        session.add(Staff(id=1, name="ada", password="fallingleaf"))
        session.add(Staff(id=2, name="grace", password="hopper1906"))


restock()

# %% [markdown]
# # 1. You attack
#
# ## A search box
#
# A team in a hurry wrote this. It works, it was reviewed, it is short:

# %% tags=["setup"]
leaky = FastAPI()


@leaky.get("/search")
def leaky_search(q: str) -> list[dict[str, Any]]:
    wanted = f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'"
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(text(wanted)).mappings()]


# %%
client = TestClient(leaky, raise_server_exceptions=False)


def search(q: str) -> None:
    answer = client.get("/search", params={"q": q})
    print(f"{q!r}: {answer.status_code}")
    for row in answer.json() if answer.status_code == 200 else ():
        print("   ", row)


search("Emma")
search("e")

# %% [markdown]
# **Predict.** An honest customer looks for *The Handmaid's Tale*. What does she hear?

# %%
with trace(leaky, engine) as seen:
    search("Handmaid's")

seen

# %% [markdown]
# Her apostrophe ended the string, and the database tried to read `s%'` as SQL. To her this is a bug. To somebody else
# it is an invitation: *whatever I type behind the apostrophe, your database reads as a command.*
#
# **Predict.** `--` begins a comment in SQL. Which books does this find: `' OR 1=1 --`?

# %%
search("' OR 1=1 --")

# %% [markdown]
# All of them. The condition is now `title LIKE '%' OR 1=1`, and the rest of your line is a comment. No harm yet; books
# are for sale. But `OR` is not the only word that SQL has.
#
# ## A login
#
# The same team wrote the door of the staff room:


# %% tags=["setup"]
class Credentials(BaseModel):
    name: str
    password: str


@leaky.post("/login")
def leaky_login(given: Credentials) -> dict[str, Any]:
    wanted = (
        f"SELECT id, name FROM staff WHERE name = '{given.name}' AND password = '{given.password}'"
    )
    with SessionLocal() as session:
        person = session.execute(text(wanted)).mappings().first()
    if person is None:
        raise HTTPException(401, "Wrong name or password.")
    return dict(person)


# %%
def log_in(name: str, password: str) -> None:
    answer = client.post("/login", json={"name": name, "password": password})
    print(f"{name!r:12} {password!r:16} {answer.status_code} {answer.json()}")


log_in("ada", "a guess")
log_in("ada", "fallingleaf")

# %% [markdown]
# **Predict.** You know one name and no password. What do you type?

# %%
with trace(leaky, engine) as seen:
    log_in("ada' --", "no idea")

seen

# %% [markdown]
# Read the statement on the timeline. The password is in it, behind the `--`: a comment, at which nobody looks.
#
# ## Another table
#
# `UNION` puts the rows of a second SELECT below those of the first, as long as both have the same number of columns.
# The search has three. SQLite keeps its table of contents in a table called `sqlite_master` (elsewhere it is
# `information_schema`). Four letters nobody searches for keep the books out of the way:

# %%
search("zzzz' UNION SELECT 1, name, sql FROM sqlite_master WHERE type = 'table' --")

# %% [markdown]
# There it is: every table, every column, from a box that looks for titles. What the attacker does next is your first
# exercise.
#
# ## Exercise 11.1: the exploit
#
# Give `attack` a value, so that `GET /search?q=<attack>` of the app `leaky` answers with the name **and** the password
# of everybody in `staff`. The check fills that table with people you have not met, so the value must read them.

# %% exercise="11.exploit"
# BEGIN STARTER
# attack: str = TODO
# END STARTER
# BEGIN SOLUTION
attack = "zzzz' UNION SELECT id, name, password FROM staff --"
# END SOLUTION

# %% check="11.exploit"
check("11.exploit")

# %% [markdown]
# It took one line and no tools, and the log says 200. Injection has been in
# [OWASP's ten](https://owasp.org/www-project-top-ten/) since the first edition, of 2003; the
# [one of 2025](https://owasp.org/Top10/2025/A05_2025-Injection/) counts more than 14,000 published holes of the SQL
# kind. Few things on that list are so easy to close.
#
# ## On a server it gets worse
#
# Can the attacker *write*, too? End the SELECT with a `;`, and begin another statement:

# %%
try:
    with SessionLocal() as session:
        session.execute(text("SELECT title FROM book WHERE title = ''; DELETE FROM book; --'"))
except DBAPIError as error:
    print(f"{type(error).__name__}: {error.orig}")

# %% [markdown]
# Python's `sqlite3` takes one statement at a time. That is its merit, not yours. PostgreSQL, asked through `psycopg`
# and without parameters, runs as many as it is handed.
#
# **Predict.** What is left of the table after this search?

# %% tags=["recorded"]
from checks.servers import start_postgresql

if server := start_postgresql():
    postgresql = create_engine(server.url)
    with postgresql.begin() as connection:
        connection.execute(text("CREATE TABLE book (id int, title text, price int)"))
        connection.execute(text("INSERT INTO book VALUES (1, 'Emma', 9), (2, 'Ulysses', 12)"))
    q = "'; DELETE FROM book; --"
    with postgresql.begin() as connection:
        connection.execute(text(f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'"))
    with postgresql.connect() as connection:
        print("books left:", connection.scalar(text("SELECT count(*) FROM book")))

# %% [markdown]
# One search, and the shelf is empty. **One** bound value would have saved the books, even one that has nothing to do
# with the attack:

# %% tags=["recorded"]
if server:
    try:
        with postgresql.begin() as connection:
            connection.execute(text("SELECT :n; DELETE FROM book"), {"n": 1})
    except DBAPIError as error:
        print(f"{type(error).__name__}: {error.orig}")

# %% [markdown]
# A statement with parameters is *prepared*, and the server prepares one at a time. (asyncpg
# [prepares them all](https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#asyncpg-prepared-statement-cache), and
# so refuses always.) That is still luck. Now for the cure.

# %% [markdown]
# # 2. Values travel beside the statement
#
# The mistake is not a missing filter. It is that a *value* was pasted into a *program*. So do not paste it.

# %%
sound = FastAPI()


@sound.get("/search")
def sound_search(q: str) -> list[dict[str, Any]]:
    wanted = text("SELECT id, title, price FROM book WHERE title LIKE '%' || :q || '%'")
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(wanted, {"q": q}).mappings()]


# %% [markdown]
# **Predict.** What does `' OR 1=1 --` find now?

# %%
client = TestClient(sound, raise_server_exceptions=False)
with trace(sound, engine) as seen:
    search("' OR 1=1 --")
    search("Handmaid's")

seen

# %% [markdown]
# A title that contains `' OR 1=1 --`, of which there is none. On the timeline the statement has a `?` where the value
# belongs, and the value stands *beside* it. The database reads the statement first, works out what to do, and only
# then is handed the value. By that time there is nothing left to break out of.
#
# Everything that you write with `select()`, `where()`, `values()` binds by itself, which is why you have not heard of
# this for ten lessons:

# %%
print(select(Book.id, Book.title).where(Book.title == "' OR 1=1 --"))

# %% [markdown]
# A list binds as well: `Book.id.in_(ids)`. In a `text()` it needs
# [`bindparam("ids", expanding=True)`](https://docs.sqlalchemy.org/en/21/core/sqlelement.html#sqlalchemy.sql.expression.bindparam),
# and is the place where people go back to pasting.
#
# ## Half-cures
#
# Each of these was written by somebody who knew about injection.
#
# **Predict.** Which of them hold?


# %%
def doubled(value: str) -> str:
    """Two apostrophes are one, inside a string."""
    return value.replace("'", "''")


def no_bad_words(value: str) -> str:
    """Take the dangerous words away."""
    for word in ("UNION", "SELECT", "--", ";"):
        value = value.replace(word, "")
    return value


def backslashed(value: str) -> str:
    """As in Python."""
    return value.replace("'", "\\'")


def rows(statement: str) -> int | str:
    try:
        with engine.connect() as connection:
            return len(connection.execute(text(statement)).all())
    except StatementError as error:
        return f"{type(error).__name__}: {error.orig}"


# %%
QUOTED = "SELECT title FROM book WHERE title = '{}'"
CHEAPER = "SELECT title FROM book WHERE price < {}"

for name, statement, value in (
    ("doubled, in quotes", QUOTED, doubled("' OR 1=1 --")),
    ("doubled, a number", CHEAPER, doubled("0 UNION SELECT password FROM staff")),
    ("no bad words", QUOTED, no_bad_words("' union select password from staff -;-")),
    ("backslashed", QUOTED, backslashed("' OR 1=1 --")),
    ("doubled, and a colon", QUOTED, doubled("Notes on :a fugue")),
):
    print(f"{name:21} {rows(statement.format(value))}")

# %% [markdown]
# Doubling holds where there are quotes around the value, on this database, if nobody ever forgets it. Around a number
# there are none, and it does nothing. (Declared as an `int`, FastAPI would have refused that one; the next is a `str`.)
# Taking words away fails on small letters, and `-;-` *becomes* `--` by losing its middle. A backslash is no escape in
# standard SQL. And the last one was not even an attack: `text()` takes `:a` for a parameter.
#
# A cure that needs you to think of every trick is a list of the tricks that you know. Binding needs no list.
#
# ## SQLAlchemy asks you to sign
#
# Hand it a plain string where SQL is expected, and it refuses:

# %%
for clause in (
    lambda: select(Book.title).where("price < 10"),
    lambda: select(Book.title).order_by("price desc"),
):
    try:
        print(clause().compile())
    except (ArgumentError, CompileError) as error:
        print(f"{type(error).__name__}: {error}\n")

# %% [markdown]
# *Explicitly declared as text* means: sign here that this is a program and not a value. So every `text(f"...")` in a
# code base is a finding, and so is every `literal_column(f"...")`. `grep -rn 'text(f' app/` finds them, but not the
# search that you attacked: it had pasted one line earlier. Ruff's rule
# [S608](https://docs.astral.sh/ruff/rules/hardcoded-sql-expression/) finds that one too, be it pasted with `f`, `+`, `%`
# or `format`. It knows a statement by its first word, though, and what is coming in part 3 does not have one.
#
# ## LIKE has an alphabet of its own
#
# Bound or not, `%` and `_` mean *anything* and *any one character* to LIKE.
#
# **Predict.** Which books contain a `%`?

# %%
with SessionLocal() as session:
    for condition in (Book.title.contains("%"), Book.title.contains("%", autoescape=True)):
        print(session.scalars(select(Book.title).where(condition)).all())

# %% [markdown]
# This is no break-in: nobody reads what is not theirs. But the customer got a wrong answer, and `%a%e%i%o%u%` makes the
# database work for it. `contains`, `startswith` and `endswith` take `autoescape=True`, and a test in your suite should
# search for `100%`.
# ([Documentation](https://docs.sqlalchemy.org/en/21/core/sqlelement.html#sqlalchemy.sql.expression.ColumnOperators.contains))

# %% [markdown]
# ## Exercise 11.2: close both
#
# The app below is the leaky one. Make it safe, so that
#
# - honest people notice nothing: a search finds every title that contains `q`, apostrophes and all, and the right
#   password opens the door;
# - no value of `q`, `name` or `password` is ever part of a statement;
# - `%` and `_` in `q` stand for themselves.

# %% exercise="11.close_both"
app = FastAPI()


@app.get("/search")
def search_books(q: str) -> list[dict[str, Any]]:
    # BEGIN STARTER
    # wanted = text(f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'")
    # END STARTER
    # BEGIN SOLUTION
    wanted = select(Book.id, Book.title, Book.price).where(Book.title.contains(q, autoescape=True))
    # END SOLUTION
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(wanted).mappings()]


@app.post("/login")
def login(given: Credentials) -> dict[str, Any]:
    # BEGIN STARTER
    # wanted = text(
    #     f"SELECT id, name FROM staff WHERE name = '{given.name}' "
    #     f"AND password = '{given.password}'"
    # )
    # END STARTER
    # BEGIN SOLUTION
    wanted = select(Staff.id, Staff.name).where(
        Staff.name == given.name, Staff.password == given.password
    )
    # END SOLUTION
    with SessionLocal() as session:
        person = session.execute(wanted).mappings().first()
    if person is None:
        raise HTTPException(401, "Wrong name or password.")
    return dict(person)


# %% check="11.close_both"
check("11.close_both")

# %% [markdown]
# # 3. What cannot be a value
#
# ## A parameter that does nothing
#
# Customers want to choose the order. You have learned to bind.
#
# **Predict.** In which order do the titles come?

# %%
with engine.connect() as connection:
    wanted = text("SELECT title, price FROM book ORDER BY :column")
    print(connection.execute(wanted, {"column": "title"}).scalars().all())

# %% [markdown]
# In the order of their ids: `?` is a *value*, the text `'title'`, the same for each row, and sorting by a constant
# sorts nothing. No error, and no order. Names of tables and columns are part of the program, and a program cannot be
# bound. So people go back to pasting:

# %%
sorting = FastAPI()


@sorting.get("/books")
def pasted_order(sort: str) -> list[str]:
    wanted = select(Book.title).order_by(text(sort))
    with SessionLocal() as session:
        return list(session.scalars(wanted))


client = TestClient(sorting, raise_server_exceptions=False)
print(client.get("/books", params={"sort": "price DESC"}).json())

# %% [markdown]
# The answer holds nothing but titles, whatever you put in there. `UNION` may not follow an `ORDER BY`. What is there to
# steal?
#
# ## The order of the books
#
# Ask a question, and have the books stand one way for *yes* and the other way for *no*. (*Emma* has the id 1. `GLOB` is
# SQLite's LIKE for people who mind about capitals; its `*` stands for anything.)


# %%
def starts_with(guess: str) -> bool:
    """Whether ada's password begins like that, as told by a list of titles."""
    asked = (
        "(CASE WHEN (SELECT password FROM staff WHERE name = 'ada') "
        f"GLOB '{guess}*' THEN book.id ELSE -book.id END)"
    )
    return client.get("/books", params={"sort": asked}).json()[0] == "Emma"


print(starts_with("a"), starts_with("f"))

# %% [markdown]
# **Predict.** How many such questions does a password of eleven small letters take?

# %%
found, asked = "", 0
while True:
    for letter in "abcdefghijklmnopqrstuvwxyz":
        asked += 1
        if starts_with(found + letter):
            found += letter
            break
    else:
        break

print(f"{found!r} after {asked} lists of books")

# %% [markdown]
# It never printed a password. It *sorted* by one. This is called blind injection, and it is why "but they only see the
# titles" is no defence.
#
# ## `getattr` is not a list
#
# The next idea: let Python look the column up.
#
# **Predict.** Three status codes.

# %%
looked_up = FastAPI()


@looked_up.get("/books")
def any_attribute(sort: str) -> list[str]:
    with SessionLocal() as session:
        return list(session.scalars(select(Book.title).order_by(getattr(Book, sort))))


client = TestClient(looked_up, raise_server_exceptions=False)
for sort in ("price", "metadata", "cost"):
    answer = client.get("/books", params={"sort": sort})
    print(f"{sort:10}", answer.status_code, answer.json() if answer.status_code == 200 else "")

# %% [markdown]
# No SQL gets in, which is a great deal. But `metadata` is an attribute too, and a 500. And `cost` sorts the catalogue
# by what Dog-Eared paid: competitors will like that. On a `User` it would be `hashed_password`, and you have just seen
# what an order gives away.
#
# The cure is a list of what you *do* offer. In FastAPI a `Literal` or an enum does the refusing, and a dictionary the
# translating:
#
# ```python
# SORTS = {"title": Book.title, "price": Book.price}
# ```
#
# ## Equal is not equal enough
#
# One more thing before you write it. *Emma* and *The Handmaid's Tale* both cost 9.
#
# **Predict.** Which comes first, going up and going down?

# %%
with SessionLocal() as session:
    for order in (Book.price, Book.price.desc()):
        found = session.execute(select(Book.title, Book.price).order_by(order))
        print([title for title, price in found if price == 9])

# %% [markdown]
# The database walked its index on `price`, once from each end. Nobody promised you an order among equals, and with
# pages it means that a book is shown twice or never (lesson 02). So the order ends in something unique.

# %% [markdown]
# ## Exercise 11.3: sorting by allow-list
#
# Write `GET /books?sort=...`, which answers with a list of `{"id", "title", "price"}`:
#
# - `title` and `price` sort upwards, `-title` and `-price` downwards, and without `sort` it is by title;
# - whatever else comes is refused with 422 or 400, `cost` included;
# - books that are equal come in the order of their ids, both ways.

# %% exercise="11.allow_list"
app = FastAPI()


@app.get("/books")
# BEGIN STARTER
# def list_books(sort: str = "title") -> list[dict[str, Any]]:
#     order = text(sort)
# END STARTER
# BEGIN SOLUTION
def list_books(sort: str = "title") -> list[dict[str, Any]]:
    sorts = {
        "title": Book.title.asc(),
        "-title": Book.title.desc(),
        "price": Book.price.asc(),
        "-price": Book.price.desc(),
    }
    if sort not in sorts:
        raise HTTPException(422, f"Sort by one of {', '.join(sorts)}.")
    order = sorts[sort]
    # END SOLUTION
    # BEGIN STARTER
    # wanted = select(Book.id, Book.title, Book.price).order_by(order)
    # END STARTER
    # BEGIN SOLUTION
    wanted = select(Book.id, Book.title, Book.price).order_by(order, Book.id)
    # END SOLUTION
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(wanted).mappings()]


# %% check="11.allow_list"
check("11.allow_list")

# %% [markdown]
# # 4. Columns that nobody opened
#
# No SQL gets in any more. Every value is bound, and the attacker still becomes a member of staff.

# %%
open_house = FastAPI()


@open_house.patch("/customers/{customer_id}")
def change_anything(customer_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise HTTPException(404, "No such customer.")
        for name, value in changes.items():
            setattr(customer, name, value)
        return {"id": customer.id, "name": customer.name, "email": customer.email}


# %% [markdown]
# Generic, short, and a joy to extend: a new column works on the day it is added.
#
# **Predict.** What may Eve change?

# %%
restock()
client = TestClient(open_house, raise_server_exceptions=False)
with trace(open_house, engine) as seen:
    answer = client.patch("/customers/1", json={"name": "Eve", "is_staff": True, "credit": 500})

print(answer.status_code, answer.json())
seen

# %% [markdown]
# The answer looks innocent. The UPDATE does not. This is called **mass assignment**, and a column that is added next
# year is open from its first day.
#
# The half-cure is a list of what is forbidden:
#
# ```python
# if name not in ("is_staff", "credit"): setattr(customer, name, value)
# ```
#
# It must be remembered with every new column, and it forgot `id`. Turn it round. **What may be changed is a schema**,
# and FastAPI drops, or with `extra="forbid"` refuses, whatever is not in it. (`MISSING` is lesson 02's: may be left out,
# may not be `null`.)


# %%
class CustomerChanges(BaseModel):
    name: str | MISSING = MISSING
    email: str | MISSING = MISSING


class StrictChanges(CustomerChanges):
    model_config = ConfigDict(extra="forbid")


sent = {"name": "Eve", "is_staff": True}
print(CustomerChanges(**sent).model_dump(exclude_unset=True))
try:
    StrictChanges(**sent)
except ValueError as error:
    print(str(error).splitlines()[2].strip())

# %% [markdown]
# Dropping is kind to clients that are older or newer than your API. Refusing tells an honest client about its typo:
# `{"e-mail": ...}` would otherwise answer 200 and change nothing. Refuse where you control the clients.
#
# And do not reuse one schema for reading and for writing. The one that is read has `id`, and soon `credit`.

# %% [markdown]
# ## Exercise 11.4: open two columns
#
# Change both endpoints, so that a client may set `name` and `email`, and nothing else:
#
# - `POST /customers` makes a customer with both, 201; `PATCH /customers/{id}` changes what was sent and leaves the rest;
# - `is_staff`, `credit` and `id` stay as they are, or as they begin, whatever is sent along. Drop it or refuse it.

# %% exercise="11.two_columns"
app = FastAPI()


# BEGIN SOLUTION
class NewCustomer(BaseModel):
    name: str
    email: str


class Changes(BaseModel):
    name: str | MISSING = MISSING
    email: str | MISSING = MISSING


# END SOLUTION
@app.post("/customers", status_code=201)
# BEGIN STARTER
# def sign_up(new: dict[str, Any]) -> dict[str, Any]:
#     with SessionLocal.begin() as session:
#         customer = Customer(**new)
# END STARTER
# BEGIN SOLUTION
def sign_up(new: NewCustomer) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = Customer(**new.model_dump())
        # END SOLUTION
        session.add(customer)
        session.flush()
        return {"id": customer.id, "name": customer.name, "email": customer.email}


@app.patch("/customers/{customer_id}")
# BEGIN STARTER
# def change_customer(customer_id: int, changes: dict[str, Any]) -> dict[str, Any]:
#     with SessionLocal.begin() as session:
#         customer = session.get(Customer, customer_id)
#         if customer is None:
#             raise HTTPException(404, "No such customer.")
#         for name, value in changes.items():
#             setattr(customer, name, value)
# END STARTER
# BEGIN SOLUTION
def change_customer(customer_id: int, changes: Changes) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise HTTPException(404, "No such customer.")
        for name, value in changes.model_dump(exclude_unset=True).items():
            setattr(customer, name, value)
        # END SOLUTION
        return {"id": customer.id, "name": customer.name, "email": customer.email}


# %% check="11.two_columns"
check("11.two_columns")

# %% [markdown]
# # 5. Errors that tell too much
#
# In part 1 you knew that the search has three columns, because I told you. An attacker asks.
#
# **Predict.** What does this friendly handler say about a name that is taken?

# %%
talkative = FastAPI()


@talkative.exception_handler(DBAPIError)
def explain(request: Request, error: DBAPIError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=500)


@talkative.post("/staff", status_code=201)
def hire(new: Credentials) -> None:
    with SessionLocal.begin() as session:
        session.add(Staff(**new.model_dump()))


restock()
client = TestClient(talkative, raise_server_exceptions=False)
print(client.post("/staff", json={"name": "ada", "password": "opensesame"}).json()["detail"])

# %% [markdown]
# The table, its columns, the database, and the password that was just sent: to the client, and into every log on the
# way. SQLAlchemy's message is written for *you*.
#
# So the client gets a sentence and a reference, under which you find the rest in your log. And what is the rest? Logs
# are read by more people than databases are, so no values. `hide_parameters` keeps them out of SQLAlchemy's messages:

# %%
import hashlib

log: list[str] = []  # stands for your logger

discreet_engine = create_engine(
    "sqlite://",
    connect_args={"check_same_thread": False},
    poolclass=StaticPool,
    hide_parameters=True,
)
Base.metadata.create_all(discreet_engine)
DiscreetSession = sessionmaker(discreet_engine)

# %%
discreet = FastAPI()


@discreet.exception_handler(DBAPIError)
def say_little(request: Request, error: DBAPIError) -> JSONResponse:
    what = f"{type(error.orig).__name__}: {error.statement}"
    reference = hashlib.sha256(what.encode()).hexdigest()[:8]
    log.append(f"{reference} {request.method} {request.url.path} {what}")
    return JSONResponse({"detail": f"That did not work. Tell us: {reference}"}, status_code=500)


@discreet.post("/staff", status_code=201)
def hire_quietly(new: Credentials) -> None:
    with DiscreetSession.begin() as session:
        session.add(Staff(**new.model_dump()))


# %%
client = TestClient(discreet, raise_server_exceptions=False)
for _ in range(3):
    answer = client.post("/staff", json={"name": "ada", "password": "opensesame"})

print("the client hears:", answer.json())
print("the log says:", *log, sep="\n  ")

# %% [markdown]
# The kind of error, and the statement. Nobody's password is in a statement whose values travel beside it: binding pays
# a second time here. And since the reference is a hash of the two, the same failure has the same one however often it
# happens.
#
# Why not the whole message, now that its parameters are hidden? PostgreSQL is asked to keep a member of staff who has
# no name.
#
# **Predict.** Is the password in the message?

# %% tags=["recorded"]
if server:
    hiding = create_engine(server.url, hide_parameters=True)
    new = {"name": None, "password": "opensesame"}
    try:
        with hiding.begin() as connection:
            connection.execute(text("CREATE TABLE staff (name text NOT NULL, password text)"))
            connection.execute(text("INSERT INTO staff VALUES (:name, :password)"), new)
    except DBAPIError as error:
        print(error)
    server.stop()

# %% [markdown]
# *SQL parameters hidden*, says SQLAlchemy, and two lines above it the server has quoted the row. Through `psycopg` a
# message of PostgreSQL's, and so every traceback that ends in one, is as secret as the table.
#
# A name that is taken is no 500 at all, of course: catch *that* IntegrityError where it happens and answer 409, as in
# lesson 01. The handler is for what you did not foresee.
#
# Two doors that stand open by themselves:
#
# - `FastAPI(debug=True)` answers every exception with the whole traceback, source lines included. Take it from a
#   setting that production does not have.
# - A search that answers 500 to an apostrophe tells an attacker where to dig, whatever its text says. Look for 500s in
#   your log before others do.

# %% [markdown]
# # Recap
#
# ## The recipe

# %% tags=["recipe"]
import hashlib
import logging
from enum import StrEnum

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import StaticPool, create_engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

logger = logging.getLogger(__name__)
quiet_engine = create_engine(
    "sqlite://",
    connect_args={"check_same_thread": False},
    poolclass=StaticPool,
    hide_parameters=True,  # none in SQLAlchemy's messages, nor in what `echo=True` prints
)
QuietSession = sessionmaker(quiet_engine)


class Sort(StrEnum):
    """What may be sorted by; FastAPI refuses the rest with 422."""

    TITLE = "title"
    CHEAPEST = "price"
    DEAREST = "-price"


ORDERS = {
    Sort.TITLE: Book.title.asc(),
    Sort.CHEAPEST: Book.price.asc(),
    Sort.DEAREST: Book.price.desc(),
}


class BookOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    price: int


api = FastAPI()


@api.get("/books")
def find_books(q: str = "", sort: Sort = Sort.TITLE) -> list[BookOut]:
    wanted = (
        select(Book)
        .where(Book.title.contains(q, autoescape=True))
        .order_by(ORDERS[sort], Book.id)
        .limit(50)
    )
    with QuietSession() as session:
        return [BookOut.model_validate(book) for book in session.scalars(wanted)]


@api.exception_handler(DBAPIError)
def unforeseen(request: Request, error: DBAPIError) -> JSONResponse:
    what = f"{type(error.orig).__name__}: {error.statement}"  # no message: it may quote the row
    reference = hashlib.sha256(what.encode()).hexdigest()[:8]
    logger.error("%s %s %s", reference, request.url.path, what)
    return JSONResponse({"detail": f"That did not work. Tell us: {reference}"}, status_code=500)


Base.metadata.create_all(quiet_engine)
with QuietSession.begin() as session:
    session.add_all([Book(title="Emma", price=9), Book(title="100% Wolf", price=5)])

client = TestClient(api, raise_server_exceptions=False)
for params in ({"q": "%"}, {"sort": "-price"}, {"sort": "cost"}, {"q": "' OR 1=1 --"}):
    answer = client.get("/books", params=params)
    found = [book["title"] for book in answer.json()] if answer.is_success else "refused"
    print(f"{params!s:24} {answer.status_code} {found}")

# %% [markdown]
# ## The rules
#
# - A value never becomes part of a statement. Bind it: `select()` does, and `text()` with `:name`.
# - Filters on input (doubled quotes, forbidden words) are lists of the tricks that you know. Binding needs no list.
# - Every `text(f"...")` is a finding, until somebody has shown that nothing in the braces comes from outside.
# - Names cannot be bound. Offer a list and look up in it; `getattr` is not a list.
# - `LIKE` with a value from outside: `autoescape=True`.
# - What a client may write is a schema of its own, with those fields and no others.
# - Clients hear a sentence and a reference. The log gets the kind of error and the statement. Values go to neither.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `OperationalError: near "s": syntax error` | an apostrophe from outside ended a string: a value is part of the statement |
# | `ArgumentError: Textual SQL expression ... should be explicitly declared as text(...)` | a string where SQL is expected; bind the value instead of signing |
# | `CompileError: Can't resolve label reference for ORDER BY` | an order that SQLAlchemy does not know as a column; look it up in a list |
# | `StatementError: A value is required for bind parameter 'a'` | `text()` took a colon in pasted text for a parameter |
# | `ProgrammingError: You can only execute one statement at a time.` | SQLite refuses a second statement behind a `;`; others do not |
# | `ProgrammingError: cannot insert multiple commands into a prepared statement` | PostgreSQL refuses it too, where the statement has parameters |
#
# ## In production
#
# - The database's user that the app connects as owns no tables and cannot `DROP`; migrations run as another. A service
#   that only reads connects as one who may only read. What got in then finds less to do.
# - PostgreSQL's LIKE minds case, SQLite's does not. `icontains` finds *Emma* for `emma` on both.
# - Attack yourself in the test suite: one test that sends an apostrophe, a `%` and an unknown field to every endpoint.
# - A length limit (`Query(max_length=100)`) does not stop an injection, and stops much else.
#
# ## Read more
#
# - SQLAlchemy: [Using textual SQL](https://docs.sqlalchemy.org/en/21/core/sqlelement.html#sqlalchemy.sql.expression.text),
#   [hide_parameters](https://docs.sqlalchemy.org/en/21/core/engines.html#sqlalchemy.create_engine.params.hide_parameters)
# - OWASP: [SQL injection prevention](https://cheatsheetseries.owasp.org/cheatsheets/SQL_Injection_Prevention_Cheat_Sheet.html),
#   [Mass assignment](https://cheatsheetseries.owasp.org/cheatsheets/Mass_Assignment_Cheat_Sheet.html)
# - FastAPI: [Handling errors](https://fastapi.tiangolo.com/tutorial/handling-errors/)
