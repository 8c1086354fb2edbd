# %% [markdown]
# # 04 Async setup
#
# When you are through, you can port a sync app to async line by line and say why each line changes; you know
# `MissingGreenlet` in its three disguises, and what each cure costs; and no two tasks of yours share a session.
#
# It is 2 a.m. The front end had asked for each author's books in the answer, so somebody added one field to a schema.
# One line, reviewed by two. Since the deploy every author is a 500, and the log shows a hundred lines that end in
# *greenlet_spawn has not been called; can't call await_() here*. Nobody on the team has ever typed the word greenlet.
#
# (Whether async is worth it at all is lesson 05's question, and it is measured there. Here you make it work.)

# %% tags=["setup"]
import asyncio
import tempfile
import textwrap
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException
from fastapi.exceptions import ResponseValidationError
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, MetaData, NullPool, StaticPool, create_engine, event
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, WriteOnlyMapped, joinedload
from sqlalchemy.orm import mapped_column, raiseload, relationship, selectinload, sessionmaker

from checks import TODO, check, hint, progress, solution, trace

warnings.filterwarnings("ignore", "coroutine .* was never awaited")  # the third part shows it once

# %% [markdown]
# A helper for the errors to come, of which there are many:


# %% tags=["setup"]
def told(error: BaseException) -> str:
    """What an error is called, and the first thing that it says."""
    first = str(error).split("\n")[0].split(" (Background")[0]
    return textwrap.fill(f"{type(error).__name__}: {first}", 100)


# %% [markdown]
# The shop: authors write books, books have reviews. The Base and all models stand in one cell, as always. `AsyncAttrs`
# and `WriteOnlyMapped` are new; they wait for the third part. `User` is lesson 01's, to the letter.


# %% tags=["setup"]
class Base(AsyncAttrs, DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Base):
    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str]


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", order_by="Book.id")


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")
    reviews: WriteOnlyMapped["Review"] = relationship(order_by="Review.id")


class Review(Base):
    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))


# %% [markdown]
# # 1. The engine, and a bridge
#
# ## The word in the URL
#
# **Predict.** Lesson 01's URL, and an `async` in front of the function. Does it connect?

# %%
try:
    create_async_engine("sqlite://")
except Exception as error:
    print(told(error))

# %% [markdown]
# No, and it says why. Async is not a way of calling a driver; it is another driver, one that gives way while it waits.
# For SQLite that is [aiosqlite](https://aiosqlite.omnilib.dev/), for PostgreSQL
# [asyncpg](https://magicstack.github.io/asyncpg/) or psycopg, which can do both. The URL names it:

# %% tags=["setup"]
folder = Path(tempfile.mkdtemp())
shop_engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'shop.db'}")


@event.listens_for(shop_engine.sync_engine, "connect")
def enforce_foreign_keys(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


# %% [markdown]
# Look at `shop_engine.sync_engine`. Inside every async engine sits a sync one, and that is where events are heard. It
# is tempting to use it for more. Tables, say.
#
# **Predict.** Which of the two makes them?

# %%
for target in (shop_engine, shop_engine.sync_engine):
    try:
        Base.metadata.create_all(target)
    except Exception as error:
        print(told(error), end="\n\n")

# %% [markdown]
# Neither. And there is the sentence from 2 a.m., at the first attempt to do anything. Time to see what it means.
#
# ## What a greenlet is for
#
# SQLAlchemy's ORM is twenty years of plain functions that call each other. Nobody has written it again with `await` in
# every line. Instead, each awaitable method of the async API does the following. It runs the plain code in a **greenlet**,
# which is a call stack that can be put aside. When, deep down, the driver has to wait, the greenlet is put aside, your
# event loop gets the wait as something to `await`, and other tasks get on. When the answer is there, the greenlet goes
# on as if it had been a plain call.
#
# So there is a bridge between the two worlds, and you are on it **as long as you are inside an `await` of
# SQLAlchemy's**. Database work anywhere else finds nobody to hand its wait to, and that is all that `MissingGreenlet`
# says: *there is a wait here, and no `await` around it.* Read its last sentence again. It even asks: "Was IO attempted
# in an unexpected place?"
#
# `create_all` is such plain code. `run_sync` takes it over the bridge; it calls the function that you give it, with the
# sync connection as its argument:

# %%
async with shop_engine.begin() as connection:
    await connection.run_sync(Base.metadata.create_all)

# %% [markdown]
# Without brackets after `create_all`: you lend the function, and it is called on the other side.
# ([SQLAlchemy: asyncio](https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html))

# %% [markdown]
# ## Exercise 4.1: port the setup
#
# This is how lesson 01's service begins. It works, and it is sync. Port it:
#
# - `engine`: an async engine on SQLite, in memory or in a file;
# - `SessionLocal`: a factory, `async_sessionmaker`, whose sessions keep the values of their objects after a commit:
#   `expire_on_commit=False` (the next part shows what happens otherwise);
# - `make_tables()`: a coroutine function (`async def`) that makes all tables, however often it is called.

# %% exercise="04.setup"
# BEGIN STARTER
# engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
# SessionLocal = sessionmaker(engine)
#
#
# def make_tables() -> None:
#     Base.metadata.create_all(engine)
# END STARTER
# BEGIN SOLUTION
engine = create_async_engine("sqlite+aiosqlite://")
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)


async def make_tables() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


# END SOLUTION

# %% check="04.setup"
check("04.setup")

# %% [markdown]
# Did you miss `StaticPool` and `check_same_thread`? An aiosqlite connection lives in a thread of its own, whoever asks,
# so there is nothing to permit. And for memory SQLAlchemy takes the `StaticPool` by itself:

# %%
for url in ("sqlite+aiosqlite://", f"sqlite+aiosqlite:///{folder / 'shop.db'}"):
    print(type(create_async_engine(url).pool).__name__)

# %% [markdown]
# Mind what that means: in memory there is **one** connection for everybody, and so one transaction. Two requests at
# once would commit each other's half-done work. That is fine for a first exercise. This lesson's shop is in a file.

# %% [markdown]
# # 2. The session
#
# ## What is awaited
#
# Whatever may talk to the database is awaited; whatever only talks to the session is not.
#
# | with `await` | without |
# | --- | --- |
# | `execute`, `scalars`, `scalar`, `get` | `add`, `add_all`, `expunge` |
# | `flush`, `commit`, `rollback`, `close`, `refresh`, `merge` | `.all()`, `.one()`, `.first()` on a result that you have |
# | `delete`, which may have to load what goes along | `select(...)`, `update(...)`: they only describe |
#
# **Predict.** One `await` is missing. What does the database have, and what do you hear?

# %%
with warnings.catch_warnings(record=True) as heard:
    warnings.filterwarnings("always", "coroutine 'AsyncSession")
    async with AsyncSession(shop_engine) as session:
        session.add(Author(name="Nobody"))
        session.commit()

async with AsyncSession(shop_engine) as session:
    print("authors:", await session.scalar(select(func.count(Author.id))))
print("heard:  ", [str(one.message) for one in heard])

# %% [markdown]
# Nothing is kept, and nothing raised. A coroutine that nobody awaits is a call that never happens, and all you get is a
# `RuntimeWarning` between the lines of a log. mypy finds it without being asked:
# [`unused-coroutine`](https://mypy.readthedocs.io/en/stable/error_code_list.html#check-that-coroutine-return-value-is-used-unused-coroutine).
# pytest only counts it among its warnings, unless you run it with `-W error`.
#
# ## After the commit
#
# In lesson 01 a commit expired the objects, and the next look at an attribute sent a SELECT.
#
# **Predict.** What does that look do here, with a factory that was given nothing but the engine?


# %%
async def add_author(factory: Callable[[], AsyncSession], name: str) -> None:
    async with factory() as session:
        author = Author(name=name)
        session.add(author)
        await session.commit()
        try:
            print(author.name, "has the id", author.id)
        except Exception as error:
            print(told(error))


await add_author(async_sessionmaker(shop_engine), "Mary Shelley")

# %% [markdown]
# `author.name` wanted to send a SELECT. An attribute cannot be awaited, so there is no bridge, and there is our message,
# in the second of its disguises. Hence the one flag that every async factory has:

# %% tags=["setup"]
ShopSession = async_sessionmaker(shop_engine, expire_on_commit=False)

# %%
with trace(shop_engine) as seen:
    await add_author(ShopSession, "Anne Brontë")

seen

# %% [markdown]
# The objects keep what they hold, and nothing more is sent. The price: they hold what *you* wrote. What a trigger made
# of it, or somebody else since, you see only after an `await session.refresh(author)`. In a request that ends after its
# commit, that is no price at all.

# %% [markdown]
# ## Exercise 4.2: a session for each request, async
#
# Here is the dependency of lesson 01, its long form. Port it to your `SessionLocal`, and keep all its promises: commit
# when the endpoint succeeds, **before** the client has its answer; roll back and pass the exception on when it does not;
# close always. Shorter is welcome.


# %% exercise="04.get_db"
# BEGIN STARTER
# def get_db() -> Iterator[Session]:
#     session = SessionLocal()
#     try:
#         yield session
#         session.commit()
#     except BaseException:
#         session.rollback()
#         raise
#     finally:
#         session.close()
#
#
# SessionDep = Annotated[Session, Depends(get_db, scope="function")]
# END STARTER
# BEGIN SOLUTION
async def get_db() -> AsyncIterator[AsyncSession]:
    async with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_db, scope="function")]
# END SOLUTION

# %% check="04.get_db"
check("04.get_db")

# %% [markdown]
# ## The whole port
#
# Lesson 01's service, on the demonstration's own session:


# %% tags=["setup"]
async def shop_session() -> AsyncIterator[AsyncSession]:
    async with ShopSession.begin() as session:
        yield session


ShopDep = Annotated[AsyncSession, Depends(shop_session, scope="function")]


# %%
class NewUser(BaseModel):
    username: str


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    username: str


ported = FastAPI()


@ported.post("/users", status_code=201, response_model=UserOut)
async def add_user(new: NewUser, session: ShopDep) -> User:
    user = User(username=new.username, hashed_password="(lesson 12)")
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "That name is taken.") from error
    return user


@ported.get("/users/{user_id}", response_model=UserOut)
async def read_user(user_id: int, session: ShopDep) -> User:
    user = await session.get(User, user_id)
    if user is None:
        raise HTTPException(404, "No such user.")
    return user


# %% [markdown]
# **Predict.** Four status codes: a new name, the same name again, the user, and one who does not exist.

# %%
client = TestClient(ported)
with trace(ported, shop_engine) as seen:
    for _ in range(2):
        print(client.post("/users", json={"username": "ada"}).status_code)
    for user_id in (1, 99):
        print(client.get(f"/users/{user_id}").status_code)

seen

# %% [markdown]
# The timelines are those of lesson 01, event for event: a transaction is a transaction. Here is every kind of line that
# changed.
#
# | lesson 01 | now | why |
# | --- | --- | --- |
# | `create_engine("sqlite://", connect_args=..., poolclass=...)` | `create_async_engine("sqlite+aiosqlite://")` | another driver; its pool needs no help |
# | `sessionmaker(engine)` | `async_sessionmaker(engine, expire_on_commit=False)` | an attribute cannot be awaited |
# | `class Base(DeclarativeBase)` | `class Base(AsyncAttrs, DeclarativeBase)` | only if you want `awaitable_attrs` |
# | `Base.metadata.create_all(engine)` | `await connection.run_sync(Base.metadata.create_all)` | plain code goes over the bridge |
# | `listens_for(engine, ...)` | `listens_for(engine.sync_engine, ...)` | the events are the sync engine's |
# | `def get_db() -> Iterator[Session]` | `async def get_db() -> AsyncIterator[AsyncSession]` | its end awaits, too |
# | `with SessionLocal.begin() as session` | `async with SessionLocal.begin() as session` | begin, commit, rollback and close wait for the database |
# | `Annotated[Session, Depends(...)]` | `Annotated[AsyncSession, Depends(...)]` | the type; `scope="function"` stays, for lesson 03's reasons |
# | `def add_user(...)` | `async def add_user(...)` | or there is nowhere to put an `await` |
# | `session.flush()`, `session.get(...)`, `session.scalars(...)` | `await` in front | they may talk to the database |
# | `session.scalars(...).all()` | `(await session.scalars(...)).all()` | await the result, then read it |
# | `engine.dispose()` | `await engine.dispose()` | it closes connections |
# | `author.books` | loaded beforehand | the rest of this lesson |
#
# And these did not: the models, the schemas, `select(...)`, `session.add(...)`, the constraints and their
# `IntegrityError`, and what the client hears.

# %% [markdown]
# # 3. MissingGreenlet
#
# ## One field more
#
# The shop opens with three authors:


# %% tags=["setup"]
async def open_shop() -> None:
    """Empty tables, then three authors with their books."""
    async with shop_engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    async with ShopSession.begin() as session:
        session.add_all(
            Author(name=name, books=[Book(title=title) for title in titles])
            for name, titles in (
                ("George Eliot", ["Middlemarch", "Silas Marner"]),
                ("Jane Austen", ["Emma"]),
                ("Mary Shelley", ["Frankenstein", "The Last Man"]),
            )
        )


await open_shop()


# %% [markdown]
# And here is the deploy. `books` is new in `AuthorOut`; the endpoint is as it was.


# %% tags=["setup"]
class BookOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    title: str


class AuthorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    books: list[BookOut]


# %%
deployed = FastAPI()


@deployed.get("/authors", response_model=list[AuthorOut])
async def list_authors(session: ShopDep) -> Any:
    return (await session.scalars(select(Author).order_by(Author.id))).all()


# %% [markdown]
# **Predict.** In lesson 01's world this is a slow answer, since each author's books are fetched when they are looked
# at. And here?

# %%
print(TestClient(deployed, raise_server_exceptions=False).get("/authors").status_code)

try:
    TestClient(deployed).get("/authors")
except ResponseValidationError as error:
    first = error.errors()[0]
    print(type(error).__name__, first["loc"])
    print(textwrap.fill(first["msg"].splitlines()[0], 100))

# %% [markdown]
# A 500. Pydantic read `author.books` to put it into the answer, the relationship wanted to load it, and there was no
# `await` in sight. The name at the top of the log is `ResponseValidationError`, and people go and look at their schema,
# where nothing is wrong.
#
# ## Three disguises
#
# You have met all three by now:
#
# | you see | when |
# | --- | --- |
# | `MissingGreenlet` itself | a connection was wanted (`create_all` above); or the driver is asyncpg |
# | `StatementError: (sqlalchemy.exc.MissingGreenlet) ...` | a statement was on its way, and the driver is aiosqlite or psycopg |
# | `ResponseValidationError ... MissingGreenlet` | either of them, while FastAPI was making the response |
#
# It matters for whoever catches exceptions.
#
# **Predict.** Which `except` gets this one?

# %%
async with ShopSession() as session:
    author = await session.get(Author, 1)
    try:
        author.books
    except MissingGreenlet:
        print("except MissingGreenlet")
    except StatementError as error:
        print("except StatementError; inside it:", type(error.orig).__name__)

# %% [markdown]
# The wrapped one is not a `MissingGreenlet`; it *carries* one, in `orig`. On a real PostgreSQL, asyncpg shows it bare.
# The next cell starts one, if there is a wheel for your machine; where it cannot run you see what was recorded:

# %% tags=["recorded"]
from checks.servers import start_postgresql

server = start_postgresql()


async def touch_lazily(url: Any) -> str:
    """Make the tables there, load an author, look at the books; what it came to."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add(author := Author(name="Jane Austen"))
        await session.flush()
        try:
            author.books
        except Exception as error:
            found = f"{type(error).__name__}: {str(error)[:56]}..."
    await engine.dispose()
    return found


if server:
    for driver in ("asyncpg", "psycopg"):
        url = server.url.set(drivername=f"postgresql+{driver}")
        print(f"{driver:8}", await touch_lazily(url))

# %% [markdown]
# And there is a fourth voice, which speaks on stderr, at some later time, and seems to be about something else. (It has
# been kept quiet in this notebook since the first cell. In your own log it will not be.)

# %%
import gc

with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    async with ShopSession() as session:
        author = await session.get(Author, 1)
        try:
            author.books
        except StatementError:
            pass
    gc.collect()

print({str(one.message) for one in heard})

# %% [markdown]
# aiosqlite had made the coroutine before it turned out that nobody could await it. It is the same mistake, told by
# Python. Mend the attribute and the warning goes.
#
# ## Four cures, and what they cost
#
# You can load the books **beforehand**, with the query, or **afterwards**, with an await. Each of these gives the
# titles of all three authors:

# %%
Work = Callable[[AsyncSession], Awaitable[list[list[str]]]]
all_authors = select(Author).order_by(Author.id)


def titles(author: Author) -> list[str]:
    return [book.title for book in author.books]


async def with_selectinload(session: AsyncSession) -> list[list[str]]:
    query = all_authors.options(selectinload(Author.books))
    return [titles(author) for author in await session.scalars(query)]


async def with_joinedload(session: AsyncSession) -> list[list[str]]:
    query = all_authors.options(joinedload(Author.books))
    return [titles(author) for author in (await session.scalars(query)).unique()]


# %% [markdown]
# Afterwards: `awaitable_attrs`, which a Base with `AsyncAttrs` has, makes the attribute something to await. `refresh`
# with names loads them. And `run_sync` takes a whole plain function over the bridge, in which lazy loading works as it
# always did:


# %%
async def with_awaitable_attrs(session: AsyncSession) -> list[list[str]]:
    authors = (await session.scalars(all_authors)).all()
    return [[book.title for book in await author.awaitable_attrs.books] for author in authors]


async def with_refresh(session: AsyncSession) -> list[list[str]]:
    authors = (await session.scalars(all_authors)).all()
    for author in authors:
        await session.refresh(author, ["books"])
    return [titles(author) for author in authors]


async def with_run_sync(session: AsyncSession) -> list[list[str]]:
    def as_ever(sync_session: Session) -> list[list[str]]:
        return [titles(author) for author in sync_session.scalars(all_authors)]

    return await session.run_sync(as_ever)


# %% [markdown]
# **Predict.** How many SELECTs does each send, for three authors? And for three hundred?

# %%
timelines = {}
for cure in (with_selectinload, with_joinedload, with_awaitable_attrs, with_refresh, with_run_sync):
    async with ShopSession() as session:
        with trace(shop_engine) as seen:
            found = await cure(session)
    timelines[cure] = seen
    print(f"{cure.__name__:22}{len(seen.selects)} SELECTs, {sum(map(len, found))} titles")

# %% [markdown]
# Beforehand it is two, or one, however many authors there are. Afterwards it is one more for each author (`refresh` sends
# two: it reads the author's own row again), so for three hundred authors it is three hundred and one. The cure that
# mends one object makes an N+1 of a list, which is lesson 09's subject. Two of them side by side:

# %%
timelines[with_selectinload]

# %%
timelines[with_awaitable_attrs]

# %% [markdown]
# | cure | SELECTs for a list | take it when |
# | --- | --- | --- |
# | `selectinload` | 2 | you know what the answer needs: nearly always |
# | `joinedload` | 1, needs `.unique()` for a collection | many-to-one: `Book.author` |
# | `awaitable_attrs` | 1 + one for each | there is one object, or you cannot know beforehand |
# | `refresh(obj, ["books"])` | 1 + two for each | the same, and the object's own row may have changed |
# | `run_sync` | as many as the code inside sends | sync code that you port a piece at a time |
#
# ## A collection that cannot be loaded by accident
#
# A book may have a hundred thousand reviews, and no answer wants them all. `WriteOnlyMapped` is a relationship that never
# loads. You add to it, and you ask it for a query:

# %%
async with ShopSession.begin() as session:
    emma = (await session.scalars(select(Book).where(Book.title == "Emma"))).one()
    emma.reviews.add_all([Review(words="Badly done."), Review(words="Seldom, very seldom.")])
    await session.flush()
    print(await session.scalar(select(func.count()).select_from(emma.reviews.select().subquery())))
    try:
        list(emma.reviews)
    except TypeError as error:
        print(f"TypeError: {str(error).split('; ')[0]}")

# %% [markdown]
# ## A better message
#
# Better than a cure is a message that names the attribute, in the test and not at 2 a.m. With `lazy="raise"` on a
# relationship (or `raiseload` in a query, as here) nothing loads by itself, ever:

# %%
async with ShopSession() as session:
    author = await session.get(Author, 1, options=[raiseload("*")])
    try:
        author.books
    except Exception as error:
        print(told(error))

# %% [markdown]
# One name, one attribute, the same on every driver, and no warning afterwards. In an async project, put `lazy="raise"`
# on every relationship; whoever needs one says so in the query.
# ([Preventing implicit IO](https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html#preventing-implicit-io-when-using-asyncsession))
#
# ## An object that is brand new
#
# One more trap.
#
# **Predict.** The author was made a line ago; nothing has been committed, nothing has expired. Are her books there?

# %%
async with ShopSession() as session:
    session.add(gaskell := Author(name="Elizabeth Gaskell"))
    await session.flush()
    try:
        print(gaskell.books)
    except StatementError as error:
        print("StatementError, with a", type(error.orig).__name__, "inside")

    session.add(bronte := Author(name="Emily Brontë", books=[]))
    await session.flush()
    print(bronte.books)

# %% [markdown]
# After the `flush` she is a row like any other, and rows may have books; nobody has asked yet. A collection that you
# set yourself, even to `[]`, is loaded, and there is nothing to ask.

# %% [markdown]
# ## Exercise 4.3: mend the deploy
#
# Both endpoints below answer 500. Cure them; the answers keep their `books`.
#
# - `GET /authors`: every author with their books, in order of `id`, in **at most three SELECTs** however many authors
#   there are;
# - `POST /authors`: 201, with the new author's `id`, `name`, and `books`, which are none so far.


# %% exercise="04.missing_greenlet"
class NewAuthor(BaseModel):
    name: str


app = FastAPI()


@app.get("/authors", response_model=list[AuthorOut])
async def list_authors(session: ShopDep) -> Any:
    # BEGIN STARTER
    # authors = await session.scalars(select(Author).order_by(Author.id))
    # END STARTER
    # BEGIN SOLUTION
    query = select(Author).options(selectinload(Author.books)).order_by(Author.id)
    authors = await session.scalars(query)
    # END SOLUTION
    return authors.all()


@app.post("/authors", status_code=201, response_model=AuthorOut)
async def add_author(new: NewAuthor, session: ShopDep) -> Any:
    # BEGIN STARTER
    # author = Author(name=new.name)
    # END STARTER
    # BEGIN SOLUTION
    author = Author(name=new.name, books=[])
    # END SOLUTION
    session.add(author)
    await session.flush()
    return author


# %% check="04.missing_greenlet"
check("04.missing_greenlet")

# %% [markdown]
# # 4. One session, one task
#
# ## The error that goes away
#
# Async invites you to do things at once, and `asyncio.gather` is right there. Dog-Eared's dashboard asks three questions,
# each of which takes a tenth of a second; a SQL function that sleeps stands in for a big table.

# %% tags=["recorded"]
import time
from functools import partial

slow_engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'shop.db'}")
SlowSession = async_sessionmaker(slow_engine, expire_on_commit=False)


@event.listens_for(slow_engine.sync_engine, "connect")
def add_a_slow_function(dbapi_connection: Any, record: Any) -> None:
    nap = partial(time.sleep, 0.1)
    dbapi_connection.run_async(lambda raw: raw.create_function("nap", 0, nap))


async def slow_count(session: AsyncSession, model: type[Base]) -> int:
    rows = await session.execute(select(func.count(), func.nap()).select_from(model))
    return rows.scalar_one()


# %% [markdown]
# **Predict.** Three tasks, one session. What do the three come to?


# %% tags=["recorded"]
async def dashboard() -> None:
    async with SlowSession() as session:
        counts = [slow_count(session, model) for model in (Author, Book, Review)]
        for one in await asyncio.gather(*counts, return_exceptions=True):
            print(one if isinstance(one, int) else told(one))


await dashboard()

# %% [markdown]
# One answer and two refusals: while the first task was still getting the session a connection, the others came along.
# That is the lucky case, since you hear of it.
#
# **Predict.** What does the same line do the second time?

# %% tags=["recorded"]
with trace(slow_engine) as seen:
    await dashboard()

seen.of("session_open", "checkout", "sql")

# %% [markdown]
# No error! Now the pool has a connection at hand, and nothing has to be waited for while the session gets it. So the
# error shows when the pool is cold, or has to grow, or pings: on Monday morning and under load, and never when you look.
#
# And see what it costs. Three tasks, one connection, and the times form a **staircase**: a tenth of a second, two
# tenths, three. A connection does one thing at a time; each task stood in line behind the one before. Nothing was raised,
# nothing was wrong in the answer, and nothing happened at once. This is what most "parallel" code on one session is.
#
# A session for each task is what was meant:


# %% tags=["recorded"]
async def count_alone(model: type[Base]) -> int:
    async with SlowSession() as session:
        return await slow_count(session, model)


with trace(slow_engine) as seen:
    await asyncio.gather(*(count_alone(model) for model in (Author, Book, Review)))

for sent in sorted(seen.of("sql"), key=lambda event: event["sql"]):
    print(f"{sent['sql'].split()[-1]:8}{sent['ms']:6.1f} ms")
print("connections:", len({sent["connection"] for sent in seen.of("sql")}))

# %% [markdown]
# Three sessions, three connections, and the staircase is gone: each took its own tenth of a second.
#
# When the tasks *write*, one session for all is not merely slow. The first flush is under way, and the second finds it:


# %% tags=["recorded"]
async def review(session: AsyncSession, words: str) -> None:
    session.add(Review(words=words, book_id=1))
    await session.flush()


with warnings.catch_warnings(action="ignore"):
    async with SlowSession() as session:
        work = [review(session, words) for words in ("Long.", "Longer.")]
        for one in await asyncio.gather(*work, return_exceptions=True):
            print(one if one is None else told(one))

await slow_engine.dispose()

# %% [markdown]
# The rule, in
# [SQLAlchemy's words](https://docs.sqlalchemy.org/en/21/orm/session_basics.html#is-the-session-thread-safe-is-asyncsession-safe-to-share-in-concurrent-tasks):
# an `AsyncSession` is one transaction in progress, and belongs to one task. So there are two honest ways, and you should
# know what each costs:
#
# - **One after the other, on the one session.** One connection, one transaction, so all answers are of the same moment.
#   Slower, by what the questions take together. For three quick ones you will not be able to measure it.
# - **A session for each task.** As quick as the slowest question. But each is a transaction of its own, none sees what the
#   request has not committed, and one request now holds four connections. Ten such requests want forty, and the pool has
#   fifteen. Lesson 06 shows how that ends.
#
# Often there is something better than both: one statement that asks all three.

# %% [markdown]
# ## Exercise 4.4: three questions
#
# `GET /authors/{author_id}/desk` tells what there is of an author: how many books, how many reviews of them, and the
# first title. It works, today. Cure it, so that **no session is used by two tasks**, in any way you like:
#
# - the answer is the same: `{"books": ..., "reviews": ..., "first": ...}`, and 404 for an unknown author;
# - every session that is opened is closed.


# %% exercise="04.one_task"
async def count_books(session: AsyncSession, author_id: int) -> int:
    query = select(func.count(Book.id)).where(Book.author_id == author_id)
    return (await session.scalars(query)).one()


async def count_reviews(session: AsyncSession, author_id: int) -> int:
    query = select(func.count(Review.id)).join(Book, Book.id == Review.book_id)
    return (await session.scalars(query.where(Book.author_id == author_id))).one()


async def first_title(session: AsyncSession, author_id: int) -> str | None:
    query = select(Book.title).where(Book.author_id == author_id).order_by(Book.id).limit(1)
    return await session.scalar(query)


app = FastAPI()


@app.get("/authors/{author_id}/desk")
async def desk(author_id: int, session: ShopDep) -> dict[str, Any]:
    if await session.get(Author, author_id) is None:
        raise HTTPException(404, "No such author.")
    # BEGIN STARTER
    # books, reviews, first = await asyncio.gather(
    #     count_books(session, author_id),
    #     count_reviews(session, author_id),
    #     first_title(session, author_id),
    # )
    # END STARTER
    # BEGIN SOLUTION
    books = await count_books(session, author_id)
    reviews = await count_reviews(session, author_id)
    first = await first_title(session, author_id)
    # END SOLUTION
    return {"books": books, "reviews": reviews, "first": first}


# %% check="04.one_task"
check("04.one_task")

# %% [markdown]
# # 5. Clients and loops
#
# ## Two clients
#
# `TestClient` has served async endpoints all along. There is another client,
# [httpx](https://www.python-httpx.org/)'s `AsyncClient` with a transport that calls the app instead of the network. They
# hide different things. Here is an app that tells when it starts and ends:


# %%
@asynccontextmanager
async def telling(app: FastAPI) -> AsyncIterator[None]:
    print("  the app starts")
    yield
    print("  the app ends")


spoken = FastAPI(lifespan=telling)
loops: set[asyncio.AbstractEventLoop] = set()


@spoken.get("/")
async def note_the_loop() -> None:
    loops.add(asyncio.get_running_loop())


def ask_twice(client: TestClient) -> None:
    loops.clear()
    kept = [client.get("/").status_code for _ in range(2)]
    print(f"  {kept}, event loops: {len(loops)}")


# %% [markdown]
# **Predict.** For each of the three: does the lifespan run?

# %%
print("TestClient(app)")
ask_twice(TestClient(spoken))

print("with TestClient(app)")
with TestClient(spoken) as client:
    ask_twice(client)

print("AsyncClient")
transport = httpx.ASGITransport(app=spoken)
async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
    loops.clear()
    both = await asyncio.gather(client.get("/"), client.get("/"))
    mine = loops == {asyncio.get_running_loop()}
    print(f"  {[one.status_code for one in both]}, in this notebook's own loop: {mine}")

# %% [markdown]
# | | `TestClient` | `AsyncClient` with `ASGITransport` |
# | --- | --- | --- |
# | the app runs | in a thread and a loop of its own; without `with`, a new loop **for each request** | in your loop |
# | lifespan | inside `with TestClient(app)` | never: start it yourself |
# | requests at once | no | `asyncio.gather` |
# | the test is | `def` | `async def`, so it can `await` your session as well |
# | an exception in the app | is raised in the test; `raise_server_exceptions=False` makes it a 500 | the same; `raise_app_exceptions=False` |
# | a response that leaves too early | hidden: it returns when the whole app is done | hidden, for the same reason |
# | the response is | an `httpx2.Response` | an `httpx.Response` |
#
# The last line is a recent one: Starlette's `TestClient` has moved to httpx2, a fork. An `except httpx.HTTPStatusError`
# around it catches nothing. And the line before it is lesson 03's: for *when* an answer leaves, neither will do, only a
# real socket. ([Starlette: TestClient](https://www.starlette.io/testclient/),
# [FastAPI: async tests](https://fastapi.tiangolo.com/advanced/async-tests/))

# %% [markdown]
# ## An engine belongs to a loop
#
# Why care how many loops there are? Because a connection in the pool is bound to the loop that opened it. aiosqlite does
# not mind, having a thread of its own, and so SQLite will never show you this. asyncpg does.


# %%
def app_on(engine: Any) -> FastAPI:
    made = FastAPI()

    @made.get("/")
    async def answer() -> int:
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT 42"))

    return made


def twice(client: TestClient) -> str:
    """What two requests come to."""
    try:
        return str([client.get("/").json() for _ in range(2)])
    except Exception as error:
        return f"{type(error).__name__}: ... {str(error).rpartition('> ')[2]}"


async def use_here(engine: Any) -> Any:
    """One statement in this notebook's loop, so that the pool holds a connection of it."""
    async with engine.connect() as connection:
        await connection.scalar(text("SELECT 1"))
    return engine


# %% [markdown]
# **Predict.** Which of these six fail? The last one is psycopg's.

# %% tags=["recorded"]
import logging

if server:
    asyncpg = server.url.set(drivername="postgresql+asyncpg")
    logging.disable()  # a pool in trouble logs whole tracebacks; one line is enough

    print("TestClient(app)              ", twice(TestClient(app_on(create_async_engine(asyncpg)))))
    with TestClient(app_on(create_async_engine(asyncpg))) as client:
        print("with TestClient(app)         ", twice(client))

    used = await use_here(create_async_engine(asyncpg))
    with TestClient(app_on(used)) as client:
        print("used here, then in TestClient", twice(client))

    unpooled = await use_here(create_async_engine(asyncpg, poolclass=NullPool))
    with TestClient(app_on(unpooled)) as client:
        print("the same, with NullPool      ", twice(client))

    transport = httpx.ASGITransport(app=app_on(await use_here(create_async_engine(asyncpg))))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        print("used here, then AsyncClient  ", (await client.get("/")).json())

    psycopg = await use_here(create_async_engine(server.url))
    with TestClient(app_on(psycopg)) as client:
        print("psycopg: here, then there    ", twice(client))
    logging.disable(logging.NOTSET)

# %% [markdown]
# The first and the third. In the first each request has a loop of its own, and the second request is handed the first
# one's connection. The third is how most test suites meet this: a fixture fills the tables in its loop, and the app under
# test uses the same engine in another. psycopg forgives it.
#
# uvicorn has one loop for as long as it runs, so in production an engine at the top of a module is right. In tests:
#
# - `AsyncClient` in an `async def` test: app, session and test in one loop, and nothing to think of;
# - or `with TestClient(app)`, and nobody else touches that engine;
# - or `NullPool`, which keeps no connection that could be of another loop; a new one each time, so for tests only.
#
# Whichever it is, `await engine.dispose()` in the loop in which it was used, before that loop ends.
# ([Using multiple asyncio event loops](https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html#using-multiple-asyncio-event-loops))

# %% [markdown]
# ## Exercise 4.5: a client for async tests
#
# `AsyncClient` forgets the lifespan, and every test would have to spell the transport. Write `client_for`, so that
# `async with client_for(app) as client:` gives an `httpx.AsyncClient` with which
#
# - `await client.get("/books")` is answered by the app, in the loop of the test, and several may be under way at once;
# - the app's lifespan has started when the block begins, and has ended when the block is left, by an exception, too.
#
# `app.router.lifespan_context(app)` is an async context manager: the app is alive inside it.


# %% exercise="04.client"
# BEGIN STARTER
# @asynccontextmanager
# async def client_for(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
#     yield TODO
# END STARTER
# BEGIN SOLUTION
@asynccontextmanager
async def client_for(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


# END SOLUTION

# %% check="04.client"
check("04.client")

# %% [markdown]
# # Recap
#
# ## The recipe
#
# Lesson 01's file, ported. Lay the two side by side.

# %% tags=["recipe"]
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, MetaData, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

database = create_async_engine("sqlite+aiosqlite://")  # or postgresql+asyncpg://...
DatabaseSession = async_sessionmaker(database, expire_on_commit=False)


class Model(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Shelf(Model):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(unique=True, index=True)
    tags: Mapped[list["Tag"]] = relationship(lazy="raise")  # the query says what it needs


class Tag(Model):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))


async def open_session() -> AsyncIterator[AsyncSession]:
    async with DatabaseSession.begin() as session:  # commits or rolls back, and closes
        yield session


DatabaseDep = Annotated[AsyncSession, Depends(open_session, scope="function")]


class ShelfIn(BaseModel):
    label: str
    tags: list[str] = []


class TagOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    word: str


class ShelfOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    label: str
    tags: list[TagOut]


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    async with database.begin() as connection:  # until you have migrations: lesson 07
        await connection.run_sync(Model.metadata.create_all)
    yield
    await database.dispose()


api = FastAPI(lifespan=lifespan)


@api.post("/shelves", status_code=201, response_model=ShelfOut)
async def create_shelf(new: ShelfIn, session: DatabaseDep) -> Shelf:
    shelf = Shelf(label=new.label, tags=[Tag(word=word) for word in new.tags])
    session.add(shelf)
    try:
        await session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "There is such a shelf already.") from error
    return shelf


@api.get("/shelves/{shelf_id}", response_model=ShelfOut)
async def read_shelf(shelf_id: int, session: DatabaseDep) -> Shelf:
    query = select(Shelf).where(Shelf.id == shelf_id).options(selectinload(Shelf.tags))
    shelf = (await session.scalars(query)).one_or_none()
    if shelf is None:
        raise HTTPException(404, "No such shelf.")
    return shelf


with TestClient(api) as client:
    for label in ("gothic", "gothic"):
        print(client.post("/shelves", json={"label": label, "tags": ["fog"]}).status_code)
    print(client.get("/shelves/1").json())

# %% [markdown]
# ## The rules
#
# - An async driver in the URL, `async_sessionmaker(engine, expire_on_commit=False)`, and `await` before whatever may talk
#   to the database.
# - An attribute cannot be awaited. What the answer needs is loaded by the query: `selectinload`.
# - `lazy="raise"` on relationships: the message then names the attribute.
# - A new object's collections: set them, if only to `[]`.
# - Plain code goes over the bridge with `run_sync`.
# - One session, one task. In a row on one session, or a session each; never `gather` on one.
# - One engine, one loop. Async tests use `AsyncClient`, and start the lifespan themselves.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `MissingGreenlet: greenlet_spawn has not been called; can't call await_() here` | database work outside an `await` of SQLAlchemy's |
# | `StatementError: (sqlalchemy.exc.MissingGreenlet) greenlet_spawn has not been called` | the same, with a driver whose errors SQLAlchemy wraps: aiosqlite, psycopg |
# | `ResponseValidationError: ... Error extracting attribute: StatementError: (sqlalchemy.exc.MissingGreenlet)` | the same, while the response was made |
# | `InvalidRequestError: 'Author.books' is not available due to lazy='raise'` | the same mistake, with its name: the query did not load it |
# | `RuntimeWarning: coroutine ... was never awaited` | a forgotten `await`; of `Connection.cursor`, the echo of a `MissingGreenlet` |
# | `InvalidRequestError: The asyncio extension requires an async driver to be used` | a sync driver in the URL of `create_async_engine` |
# | `AttributeError: 'AsyncEngine' object has no attribute '_run_ddl_visitor'` | `create_all(engine)`; use `run_sync` |
# | `AttributeError: 'coroutine' object has no attribute 'all'` | `session.scalars(...).all()`; await first, in brackets |
# | `TypeError: 'AsyncSession' object does not support the context manager protocol` | `with` for `async with` |
# | `TypeError: WriteOnly collections don't support iteration in-place` | a `WriteOnlyMapped`; ask `.select()` for a query |
# | `InvalidRequestError: This session is provisioning a new connection; concurrent operations are not permitted` | one session, several tasks |
# | `InvalidRequestError: Session is already flushing` | the same, and they write |
# | `IllegalStateChangeError: Method 'commit()' can't be called here` | the same, and they commit |
# | `RuntimeError: ... got Future ... attached to a different loop` | asyncpg, one engine, two event loops |
#
# ## In production
#
# - `postgresql+asyncpg://`, or `postgresql://`, which on 2.1 is psycopg for sync and async alike. Lesson 05 measures both.
# - Behind PgBouncer, asyncpg's prepared statements need
#   [settings of their own](https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#prepared-statement-name-with-pgbouncer).
# - Never a sync session, `time.sleep` or `requests` in an `async def`: it stops every request of the process. Lesson 05
#   makes that visible.
# - `pip install "sqlalchemy[asyncio]"`: without the extra, 2.1 brings no greenlet.
# - `create_all` stays in the lessons; an async `env.py` for migrations is in lesson 07.
#
# ## Read more
#
# - SQLAlchemy: [Asynchronous I/O](https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html),
#   [Write-only relationships](https://docs.sqlalchemy.org/en/21/orm/large_collections.html)
# - FastAPI: [Concurrency and async / await](https://fastapi.tiangolo.com/async/)
# - Python: [asyncio.gather](https://docs.python.org/3/library/asyncio-task.html#asyncio.gather)
