# %% [markdown]
# # 01 Sync setup
#
# When you are through, you can wire SQLAlchemy into FastAPI from an empty file: an engine, a session for each request,
# a model, and a first `POST /users` that keeps the password hash to itself.
#
# It is 2 a.m. A customer has tried to register a name that was taken. That is nothing special; it was answered with an
# error. But since then **every** request is answered with an error, whoever sends it and whatever it asks, and it stays
# so until somebody restarts the server. You will build that server below, and then a better one.

# %% tags=["setup"]
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, MetaData, StaticPool, create_engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from checks import TODO, check, hint, progress, solution, trace

# %% [markdown]
# # 1. The engine
#
# An **engine** is an address, a dialect (how to speak to that database) and a pool of connections. Making one connects
# to nothing; the first connection is opened when the first statement needs it. There is one engine for each database
# and process, made once, at the top of a module.
#
# ## A database for each thread
#
# `sqlite://` without a path is a database in memory: nothing to install, nothing to clean up, gone when you are. Here
# is a table in one, and an endpoint that reads it.


# %%
def try_it(engine: Engine) -> str:
    """Make a table here, read it in an endpoint, and tell what happened."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS motto (words TEXT)"))

    app = FastAPI()

    @app.get("/")
    def read() -> int:
        with engine.connect() as connection:
            return len(connection.execute(text("SELECT words FROM motto")).all())

    logging.disable()  # a pool in trouble logs whole tracebacks; one line is enough
    try:
        return f"answered {TestClient(app).get('/').status_code}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0].split('. ')[0]}"
    finally:
        logging.disable(logging.NOTSET)


# %% [markdown]
# **Predict.** The table is made one line before it is read, on the same engine. Does the endpoint find it?

# %%
try_it(create_engine("sqlite://"))

# %% [markdown]
# It does not, and the message has cost many an evening. A SQLite database in memory belongs to **one connection**, and
# SQLAlchemy keeps a connection for each thread, since SQLite's driver refuses to use one in a thread that did not open
# it. FastAPI runs a `def` endpoint in a thread of its own. There it got a connection of its own, with a database of its
# own, which is empty.
#
# Two settings are offered for this in every forum. `check_same_thread=False` tells the driver to stop refusing.
# `StaticPool` tells SQLAlchemy to have one connection and give it to everybody. **Predict** which is needed:

# %%
loose = {"check_same_thread": False}
print("check_same_thread=False:", try_it(create_engine("sqlite://", connect_args=loose)))
print("StaticPool:             ", try_it(create_engine("sqlite://", poolclass=StaticPool)))
both = create_engine("sqlite://", connect_args=loose, poolclass=StaticPool)
print("both:                   ", try_it(both))

# %% [markdown]
# Both: one connection for all, and the permission to pass it around. The rule that many tutorials make of it, "SQLite
# needs `check_same_thread=False`", is half a rule. With a **file** it needs neither, because SQLAlchemy already passes
# that setting for files, and every connection to a file sees the same data:

# %%
import tempfile
from pathlib import Path

on_disk = f"sqlite:///{Path(tempfile.mkdtemp()) / 'shop.db'}"
try_it(create_engine(on_disk))

# %% [markdown]
# So: memory for lessons and quick tests, where one shared connection is no hardship; a file, or a server, as soon as
# two requests are to be kept apart. Lesson 03 needs that, and uses a file.
# ([SQLAlchemy on SQLite: threading and pooling](https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#threading-pooling-behavior))

# %% [markdown]
# ## Exercise 1.1: engine and factory
#
# This is the first piece of a small service that you build in this lesson. Make
#
# - `engine`: on a SQLite database **in memory** that endpoints can use as well as this notebook (a file is fine, too);
# - `SessionLocal`: a session factory on that engine. `sessionmaker(engine)` is such a thing: each time you call it, it
#   gives you a new session.

# %% exercise="01.engine"
# BEGIN STARTER
# engine = TODO
# SessionLocal = TODO
# END STARTER
# BEGIN SOLUTION
engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
SessionLocal = sessionmaker(engine)
# END SOLUTION

# %% check="01.engine"
check("01.engine")

# %% [markdown]
# # 2. Models
#
# The demonstrations go on with a database of their own, so that a slip in an exercise does not follow you around. It
# holds authors:

# %% tags=["setup"]
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class ShopBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Author(ShopBase):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    born: Mapped[int | None]


shop_engine = create_engine(
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)
ShopBase.metadata.create_all(shop_engine)
ShopSession = sessionmaker(shop_engine)

# %% [markdown]
# A class on a `DeclarativeBase` is a table, and the annotations are the columns. `Mapped[str]` is text that must be
# there, `Mapped[int | None]` a number that may be missing. `mapped_column(...)` adds what a type cannot say: a primary
# key, unique, an index. Your editor and your type checker read the same annotations that the database gets:

# %%
from sqlalchemy.schema import CreateTable

print(CreateTable(Author.__table__).compile(shop_engine))

# %% [markdown]
# Every constraint has a name, thanks to the naming convention. You will not miss it until the day a migration has to
# drop a constraint that has none. It is five lines now and a long evening then; lesson 08 has the evening.
#
# The Base and all models stand in **one cell**. Run it twice and you get a fresh Base. Put them in two, and the second
# run of the models finds them "already defined for this MetaData instance".
#
# ## What the old tutorials say
#
# Half of what you find online was written for another decade's SQLAlchemy. Some of it still works, without a word:

# %%
from sqlalchemy import Column, Integer, String
from sqlalchemy.orm import declarative_base

OldBase = declarative_base()


class OldAuthor(OldBase):
    __tablename__ = "author"

    id = Column(Integer, primary_key=True)
    name = Column(String)


OldSession = sessionmaker(autocommit=False, autoflush=False, bind=shop_engine)
with OldSession() as session:
    print(session.query(OldAuthor).filter(OldAuthor.name == "George Eliot").first())

# %% [markdown]
# It runs, and it hides three things. A `Column` may be NULL unless you say otherwise. No type checker knows what
# `OldAuthor.name` is. And `autoflush=False`, which everybody copies, makes your own unsaved changes invisible to your
# own queries. Others are no longer served:


# %%
def old_ways() -> Iterator[tuple[str, object]]:
    yield "sessionmaker(autocommit=True)", lambda: sessionmaker(shop_engine, autocommit=True)()
    yield "engine.execute(...)", lambda: shop_engine.execute("SELECT 1")
    yield "connection.execute('...')", lambda: shop_engine.connect().execute("SELECT 1")
    yield "select([...])", lambda: select([Author.id])


for spelling, attempt in old_ways():
    try:
        attempt()
    except Exception as error:
        print(f"{spelling:30} {type(error).__name__}: {str(error).splitlines()[0][:66]}")

# %% [markdown]
# | in old tutorials | today | why |
# | --- | --- | --- |
# | `declarative_base()` | `class Base(DeclarativeBase)` | types |
# | `name = Column(String)` | `name: Mapped[str]` | types, and NOT NULL unless you say so |
# | `sessionmaker(autocommit=False, autoflush=False, bind=engine)` | `sessionmaker(engine)` | the defaults are right |
# | `session.query(User).filter(...).first()` | `session.scalar(select(User).where(...))` | one language for sync and async |
# | `session.query(User).get(1)` | `session.get(User, 1)` | the old one warns |
# | `db: Session = Depends(get_db)` | `session: SessionDep`, an `Annotated` alias | said once: section 4 |
# | `class Config: orm_mode = True` | `model_config = ConfigDict(from_attributes=True)` | Pydantic 2: section 5 |
# | `engine.execute("...")` | `with engine.begin() as c: c.execute(text("..."))` | somebody must own the transaction |
#
# ([What's new in SQLAlchemy 2.1](https://docs.sqlalchemy.org/en/21/changelog/whatsnew_21.html),
# [2.0 migration guide](https://docs.sqlalchemy.org/en/21/changelog/migration_20.html))

# %% [markdown]
# ## Exercise 1.2: the user
#
# Write the model `User` for your service, on the table `user`, with
#
# - `id`, numbered by the database;
# - `username`, which must be there, cannot be taken twice, and is found through an index;
# - `hashed_password`, which must be there.


# %% exercise="01.user_model"
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


# BEGIN STARTER
# User = TODO  # class User(Base): ...
# END STARTER
# BEGIN SOLUTION
class User(Base):
    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str]


# END SOLUTION


# %% check="01.user_model"
check("01.user_model")

# %% [markdown]
# # 3. What a session is
#
# A **session** is your end of a conversation with the database. It keeps two things: the objects that it has loaded
# (the *identity map*) and the changes that it still has to send (the *unit of work*). Both are easier seen than told.

# %%
with ShopSession.begin() as session:
    session.add(Author(name="George Eliot", born=1819))
    session.add(Author(name="Jane Austen", born=1775))

# %% [markdown]
# **Predict.** The same author is asked for twice. How many SELECTs?

# %%
with trace(shop_engine) as seen, ShopSession() as session:
    once = session.get(Author, 1)
    again = session.get(Author, 1)
    print("the same object:", once is again)

print("SELECTs:", len(seen.selects))

# %% [markdown]
# One. Within a session a row is one object, however often and on whatever way you load it. That is the identity map,
# and it is why two parts of a request that both change George Eliot do not overwrite each other.
#
# It is also why a session must not live long: the second `get` did not ask the database whether anything had changed.
# Shared by all requests, it would serve yesterday's rows and mix everybody's changes.
#
# ## Nothing is sent until it must be
#
# **Predict.** When is the UPDATE sent, at the assignment, the query, or the commit?

# %%
with trace(shop_engine) as seen, ShopSession() as session:
    eliot = session.get(Author, 1)
    seen.note("name her year of birth, wrongly")
    eliot.born = 1820
    seen.note("ask who was born after 1800")
    session.scalars(select(Author.name).where(Author.born > 1800)).all()
    seen.note("roll back")
    session.rollback()

seen

# %% [markdown]
# At the query. Before it asks, the session sends what is due, so that your question sees your own changes: *autoflush*.
# Between the two it only remembers. And the rollback took everything back, as if the year had never been wrong.
#
# So there are two verbs, and they are not the same:
#
# - **`flush()`** sends the SQL, inside the open transaction. Ids are handed out, constraints complain. Nobody else sees
#   anything.
# - **`commit()`** flushes, and then makes it so for everybody.
#
# ## After the commit
#
# **Predict.** An author is added and committed. Then her name is printed, which was set two lines before. How many
# SELECTs?

# %%
with trace(shop_engine) as seen, ShopSession() as session:
    bronte = Author(name="Anne Brontë", born=1820)
    session.add(bronte)
    session.commit()
    print(bronte.name, "has the id", bronte.id)

seen

# %% [markdown]
# One, after the commit, and it comes with a second transaction to run in. A commit *expires* what the session holds,
# since from now on others may change it; the next look at an attribute loads it again. That is right when you go on
# working. It is wasteful when you only want the id, which you have from a `flush()` for nothing. And once the session
# is closed there is no loading at all:

# %%
with ShopSession() as session:
    gaskell = Author(name="Elizabeth Gaskell", born=1810)
    session.add(gaskell)
    session.commit()

try:
    gaskell.name
except Exception as error:
    print(type(error).__name__, "...", str(error).split("> ")[1].split(" (")[0])

# %% [markdown]
# You will meet `DetachedInstanceError` again. It always says the same: *you are looking at an object whose session has
# gone home*. ([Session basics](https://docs.sqlalchemy.org/en/21/orm/session_basics.html))

# %% [markdown]
# # 4. A session for each request
#
# ## One for all
#
# Now the server from 2 a.m. Its author wrote a line that looks like thrift: one session, at the top, for everybody.


# %%
class NewAuthor(BaseModel):
    name: str
    born: int | None = None


shared = ShopSession()
thrifty = FastAPI()


@thrifty.post("/authors", status_code=201)
def add_author(new: NewAuthor) -> None:
    shared.add(Author(**new.model_dump()))
    shared.commit()


@thrifty.get("/authors")
def list_authors() -> list[str]:
    return list(shared.scalars(select(Author.name).order_by(Author.name)))


# %% [markdown]
# **Predict** four status codes: a new author, the same author again, and then two people who only want the list.

# %%
client = TestClient(thrifty, raise_server_exceptions=False)
mary = "Mary Shelley"
for method, sent in (("POST", mary), ("POST", mary), ("GET", None), ("GET", None)):
    answer = client.request(method, "/authors", json={"name": sent} if sent else None)
    print(f"{method:4} {sent or '':12} {answer.status_code}")

# %% [markdown]
# 500, 500, and so on until the restart. What do they hear?

# %%
try:
    TestClient(thrifty).get("/authors")
except Exception as error:
    print(f"{type(error).__name__}: {str(error).splitlines()[0][:180]}")

shared.close()

# %% [markdown]
# The failed commit left the session in a transaction that can only be rolled back, and nobody did. That is one person's
# mistake in everybody's way. The rule is short: **a session belongs to one request**, and whoever opens it also ends
# it.
#
# ## A dependency that ends what it began
#
# A dependency with `yield` is the place. What stands before the `yield` runs before your endpoint, what follows it
# runs afterwards, and an exception of the endpoint comes up *at* the `yield`:


# %%
def shop_session() -> Iterator[Session]:
    session = ShopSession()
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()


ShopDep = Annotated[Session, Depends(shop_session, scope="function")]

sound = FastAPI()


@sound.post("/authors", status_code=201)
def add_one(new: NewAuthor, session: ShopDep) -> dict[str, int]:
    author = Author(**new.model_dump())
    session.add(author)
    session.flush()
    return {"id": author.id}


@sound.get("/authors")
def list_them(session: ShopDep) -> list[str]:
    return list(session.scalars(select(Author.name).order_by(Author.name)))


# %%
client = TestClient(sound, raise_server_exceptions=False)
with trace(sound, shop_engine) as seen:
    client.post("/authors", json={"name": "Mary Shelley"})
    client.get("/authors")

seen

# %% [markdown]
# The first request fails, is rolled back, and its session closed. The second knows nothing of it. Read the timeline
# of each: a session opened and closed, a connection taken and given back. What is opened in a request is closed in it.
#
# The `get_db` that most tutorials show has only the `yield` and the `close()`. Every endpoint must then remember to
# commit, and the one that forgets answers 201 and keeps nothing, like the bookshop in lesson 00.
#
# Three details, each there for a reason:
#
# - **`raise`** in the `except`. Swallow the exception, and FastAPI, which waits for a response, trips over having none.
# - **`finally`**. A session that is not closed keeps its connection. Lesson 06 runs a pool dry that way.
# - **`scope="function"`**. It makes the code after `yield` run *before* the response is sent. Without it the client
#   hears "201 Created" first, and then the commit is tried. Lesson 03 shows what becomes of that 201.
#
# SQLAlchemy has a spelling of the same thing that cannot forget any of it: `SessionLocal.begin()` is a `with` block that
# commits, or rolls back, and closes.

# %% [markdown]
# ## Exercise 1.3: a session for each request
#
# Write `get_db` for your service, on your `SessionLocal`, and the alias `SessionDep` that endpoints use:
#
# - each request has a session of its own;
# - when the endpoint succeeds, it is committed, **before** the client has its answer;
# - whatever the endpoint raises, `HTTPException` included, it is rolled back, and the exception goes on its way;
# - it is always closed.


# %% exercise="01.get_db"
# BEGIN STARTER
# def get_db() -> Iterator[Session]:
#     yield TODO
#
#
# SessionDep = TODO
# END STARTER
# BEGIN SOLUTION
def get_db() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db, scope="function")]
# END SOLUTION

# %% check="01.get_db"
check("01.get_db")

# %% [markdown]
# # 5. In and out
#
# ## What goes out by itself
#
# The last trap of the day needs one endpoint, and a table with something to hide:


# %% tags=["setup"]
def hash_password(password: str) -> str:
    """A salted hash. A stand-in, far too quick for real life: lesson 12 does it properly."""
    salt = os.urandom(16)
    return f"{salt.hex()}:{hashlib.blake2b(password.encode(), salt=salt).hexdigest()}"


# %%
class StaffBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Staff(StaffBase):
    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[str]


StaffBase.metadata.create_all(shop_engine)
with ShopSession.begin() as session:
    session.merge(Staff(id=1, username="ada", hashed_password="(a hash that nobody should see)"))

talkative = FastAPI()


@talkative.get("/staff/{staff_id}")
def read_staff(staff_id: int, session: ShopDep):
    return session.get(Staff, staff_id)


# %% [markdown]
# **Predict.** No schema, no return type, only the object. What does the client get?

# %%
sorted(TestClient(talkative).get("/staff/1").json().items())

# %% [markdown]
# Everything. FastAPI turns the object into JSON, and the object is the row. The cure is to say what goes out, and to say
# it in the place that both FastAPI and the reader look at, the return type:


# %%
class StaffOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)  # may be filled from an object's attributes

    id: int
    username: str


discreet = FastAPI()


@discreet.get("/staff/{staff_id}", response_model=StaffOut)
def read_one(staff_id: int, session: ShopDep) -> Staff:
    member = session.get(Staff, staff_id)
    if member is None:
        raise HTTPException(404, "No such member of staff.")
    return member


client = TestClient(discreet)
client.get("/staff/1").json(), client.get("/staff/2").status_code

# %% [markdown]
# `response_model` filters: what is not in the schema does not leave. (`-> StaffOut` as the return type does the same;
# then a type checker wants a `StaffOut` from you, which `StaffOut.model_validate(member)` makes.) In the other direction
# a schema such as `NewAuthor` says what may come **in**. So a resource has at least two: one in, one out, and neither is
# the model. ([FastAPI: response model](https://fastapi.tiangolo.com/tutorial/response-model/))
#
# ## When a name is taken
#
# There are two ways to answer 409 instead of 500, and you may use either here:
#
# - *look first*: `select` the name, and raise the 409 when it is there;
# - *let the database decide*: `flush()`, and turn its `IntegrityError` into the 409.
#
# The second is the better habit. Between a look and an INSERT there is room for another request, and then the first way
# answers 500 after all; lesson 12 closes that gap for good. Whichever you take, look at what `get_db` does when your
# endpoint raises: the failed transaction is rolled back without a line from you.

# %% [markdown]
# ## Exercise 1.4: the users' API
#
# Put your pieces together. The cell makes the tables when the app starts (`create_all` does nothing for tables that
# exist; from lesson 07 on, migrations do this).
#
# - `POST /users` takes `{"username": ..., "password": ...}`, keeps the user with `hash_password(password)`, and answers
#   201 with `{"id": ..., "username": ...}`;
# - a taken username is answered with 409;
# - `GET /users/{user_id}` answers with the same two fields, or 404;
# - neither the password nor its hash ever goes out.


# %% exercise="01.users_api"
class NewUser(BaseModel):
    username: str
    password: str


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    username: str


@asynccontextmanager
async def make_tables(app: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine)
    yield


app = FastAPI(lifespan=make_tables)

# BEGIN STARTER
# # @app.post("/users", ...)
# # def add_user(new: NewUser, session: SessionDep): ...
# #
# # @app.get("/users/{user_id}", ...)
# # def read_user(user_id: int, session: SessionDep): ...
# END STARTER
# BEGIN SOLUTION


@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep) -> User:
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    try:
        session.flush()  # gives the id, or the complaint
    except IntegrityError as error:
        raise HTTPException(409, "That name is taken.") from error
    return user


@app.get("/users/{user_id}", response_model=UserOut)
def read_user(user_id: int, session: SessionDep) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise HTTPException(404, "No such user.")
    return user


# END SOLUTION


# %% check="01.users_api"
check("01.users_api")

# %% [markdown]
# # Recap
#
# ## The recipe
#
# One file, whole. Rename what you like and keep the shape.

# %% tags=["recipe"]
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import MetaData, StaticPool, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

database = create_engine(  # a file or a server needs neither of the two arguments
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)
DatabaseSession = sessionmaker(database)


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


class Tag(Model):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(unique=True, index=True)


def open_session() -> Iterator[Session]:
    with DatabaseSession.begin() as session:  # commits or rolls back, and closes
        yield session


DatabaseDep = Annotated[Session, Depends(open_session, scope="function")]


class TagIn(BaseModel):
    word: str


class TagOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    word: str


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    Model.metadata.create_all(database)  # until you have migrations: lesson 07
    yield
    database.dispose()


api = FastAPI(lifespan=lifespan)


@api.post("/tags", status_code=201, response_model=TagOut)
def create_tag(new: TagIn, session: DatabaseDep) -> Tag:
    tag = Tag(word=new.word)
    session.add(tag)
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "There is such a tag already.") from error
    return tag


@api.get("/tags/{tag_id}", response_model=TagOut)
def read_tag(tag_id: int, session: DatabaseDep) -> Tag:
    tag = session.get(Tag, tag_id)
    if tag is None:
        raise HTTPException(404, "No such tag.")
    return tag


with TestClient(api) as client:
    for word in ("gothic", "gothic"):
        print(client.post("/tags", json={"word": word}).status_code)

# %% [markdown]
# ## The rules
#
# - One engine for each database and process; one session for each request.
# - SQLite in memory under FastAPI: `StaticPool` **and** `check_same_thread=False`. In a file: neither.
# - `sessionmaker(engine)`, without flags.
# - `Mapped[...]` and `mapped_column`; a naming convention from the first model on.
# - `flush` sends, `commit` keeps. What only needs an id needs a flush.
# - Whoever opens a session ends it: `with SessionLocal.begin()` in a `yield` dependency, `scope="function"`.
# - A schema in, a schema out, and neither is the model.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `OperationalError: no such table` | memory without `StaticPool`: another thread, another database |
# | `ProgrammingError: SQLite objects created in a thread can only be used in that same thread` | `StaticPool` without `check_same_thread=False` |
# | `InvalidRequestError: Table '...' is already defined for this MetaData instance` | models run twice on one Base |
# | `PendingRollbackError: This Session's transaction has been rolled back ...` | a flush failed, and the session was used on |
# | `DetachedInstanceError: Instance ... is not bound to a Session` | an expired attribute, and the session is closed |
# | `UnboundLocalError: cannot access local variable 'response'`, or `FastAPIError: Response not awaited` | a `yield` dependency has swallowed the endpoint's exception |
# | `FastAPIError: Invalid args for response field!` | a SQLAlchemy class as return type (`-> User`) without a `response_model`, or as a parameter's type without `Depends` |
# | `ObjectNotExecutableError: Not an executable object: 'SELECT 1'` | a plain string; wrap it in `text(...)` |
#
# ## In production
#
# - PostgreSQL is `create_engine("postgresql://...")`, from a setting and not from the source; on 2.1 that means psycopg 3.
#   Neither `StaticPool` nor `check_same_thread` belongs there.
# - Several workers are several processes, each with an engine and a pool of its own: lesson 06 does the sum.
# - `create_all` never changes a table that exists: lesson 07.
#
# ## Read more
#
# - SQLAlchemy: [ORM quick start](https://docs.sqlalchemy.org/en/21/orm/quickstart.html),
#   [Session basics](https://docs.sqlalchemy.org/en/21/orm/session_basics.html),
#   [Naming conventions](https://docs.sqlalchemy.org/en/21/core/constraints.html#configuring-constraint-naming-conventions)
# - FastAPI: [Dependencies with yield](https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/)
