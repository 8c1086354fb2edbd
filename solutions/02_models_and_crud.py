# %% [markdown]
# # 02 Models and CRUD
#
# When you are through, your shop has a catalogue: authors and books that belong together, listed in pages, changed in
# part, and deleted without leaving anything behind.
#
# It is 2 a.m. A script has just corrected the spelling of three hundred titles, one `PATCH` each, and each was answered
# with 200. Those three hundred books no longer have a blurb. Nobody is woken up: there is nothing in the log, since
# nothing has failed. Most bugs in this lesson are of that kind. They raise nothing, so you will look at what was really
# sent.

# %% tags=["setup"]
import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.testclient import TestClient
from pydantic import MISSING, BaseModel, ConfigDict
from sqlalchemy import Engine, ForeignKey, MetaData, StaticPool, create_engine
from sqlalchemy import delete, event, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session
from sqlalchemy.orm import mapped_column, relationship, sessionmaker

from checks import TODO, check, hint, progress, solution, trace

# %% [markdown]
# # 1. Things that belong together
#
# A book has an author. In the database that is a column with a **foreign key**; in Python it is a **relationship**,
# which is not a column but a way to walk: from a book to its author, and from an author to her books.

# %% tags=["setup"]
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    blurb: Mapped[str | None]
    price: Mapped[int]  # in cents
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"), index=True)
    author: Mapped["Author"] = relationship(back_populates="books")


# %% tags=["setup"]
def in_memory() -> Engine:
    anybody = {"check_same_thread": False}
    return create_engine("sqlite://", connect_args=anybody, poolclass=StaticPool)


# %% [markdown]
# ## A book by nobody
#
# **Predict.** There is no author 99. What does the database say to this book?

# %%
careless = in_memory()
Base.metadata.create_all(careless)

with Session(careless) as session, session.begin():
    session.add(Book(isbn="9780141439600", title="Middlemarch", price=1299, author_id=99))

with Session(careless) as session:
    book = session.scalars(select(Book)).one()
    print(book.title, "is by", book.author)

# %% [markdown]
# Nothing. The table has the foreign key, and SQLite does not look at it. The same goes for the other end: two books
# lose their author, and nobody minds.

# %%
with Session(careless) as session, session.begin():
    eliot = Author(name="George Eliot")
    eliot.books = [
        Book(isbn="9780141439747", title="Adam Bede", price=1099),
        Book(isbn="9780141439624", title="Silas Marner", price=899),
    ]
    session.add(eliot)

with Session(careless) as session, session.begin():
    session.execute(delete(Author))

with Session(careless) as session:
    print([(book.title, book.author) for book in session.scalars(select(Book))])

# %% [markdown]
# Three orphans. From now on whatever says `book.author.name` answers 500.
#
# SQLite [enforces foreign keys only where it is told to](https://www.sqlite.org/foreignkeys.html#fk_enable), and it
# must be told on **every connection**, since the setting is not kept in the database. The pool opens the connections,
# so the place to say it is the engine's `connect` event:


# %% tags=["setup"]
def strict_engine() -> Engine:
    """A database in memory that looks at its foreign keys."""
    made = in_memory()

    @event.listens_for(made, "connect")
    def enforce_foreign_keys(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.execute("PRAGMA foreign_keys = ON")

    return made


engine = strict_engine()
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)

# %%
try:
    with SessionLocal.begin() as session:
        session.add(Book(isbn="9780141439600", title="Middlemarch", price=1299, author_id=99))
except IntegrityError as error:
    print(error.orig)

# %% [markdown]
# Some put the `PRAGMA` where they need it instead, at the top of a function, say. **Predict** what it is set to at the
# end of this:

# %%
with Session(careless) as session:
    session.add(Author(name="Jane Austen"))
    session.flush()
    session.execute(text("PRAGMA foreign_keys = ON"))
    print("foreign_keys =", session.scalar(text("PRAGMA foreign_keys")))

# %% [markdown]
# Off. Within a transaction the `PRAGMA` does [nothing, and without a
# word](https://www.sqlite.org/pragma.html#pragma_foreign_keys). The event runs before there can be a transaction.
# (PostgreSQL always looks. You only have to do this for SQLite, and only notice when it is missing.)
#
# ## Both ends of a string
#
# `author.books` and `book.author` are two ends of one thing. `back_populates` is what ties them:

# %%
austen, emma = Author(name="Jane Austen"), Book(isbn="9780141439587", title="Emma", price=999)
austen.books.append(emma)
print("the book knows its author:", emma.author is austen)

# %% [markdown]
# No database was involved: setting one end sets the other, here in Python. **Predict** the same for two relationships
# that do not name each other:


# %%
class UntiedBase(DeclarativeBase):
    pass


class Painter(UntiedBase):
    __tablename__ = "painter"

    id: Mapped[int] = mapped_column(primary_key=True)
    covers: Mapped[list["Cover"]] = relationship()


class Cover(UntiedBase):
    __tablename__ = "cover"

    id: Mapped[int] = mapped_column(primary_key=True)
    painter_id: Mapped[int] = mapped_column(ForeignKey("painter.id"))
    painter: Mapped["Painter"] = relationship()


with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    painter, cover = Painter(), Cover()
    painter.covers.append(cover)
    print("the cover knows its painter:", cover.painter is painter)

print(*(str(one.message).split(". ")[0] for one in said), sep="\n")

# %% [markdown]
# Not until it has been to the database and back, and your code in between believes the wrong end. The warning says so
# in its own way: both ends write to one column, and neither knows of the other. Read it as *tie these two*.
#
# (A book with several tags, a tag on several books: that takes a table in between and `relationship(secondary=...)`;
# [Basic relationship patterns](https://docs.sqlalchemy.org/en/21/orm/basic_relationships.html#many-to-many) has it.)

# %% [markdown]
# ## Exercise 2.1: the relationship
#
# Customers write reviews. Complete the two models:
#
# - each review is by one customer, `review.customer`, who must exist, and must be there at all;
# - `customer.reviews` are all of theirs;
# - the two ends are tied: setting one sets the other.


# %% exercise="02.relationship"
class ReviewBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Customer(ReviewBase):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    # BEGIN STARTER
    # # reviews: ...
    # END STARTER
    # BEGIN SOLUTION
    reviews: Mapped[list["Review"]] = relationship(back_populates="customer")
    # END SOLUTION


class Review(ReviewBase):
    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    # BEGIN STARTER
    # # customer_id: ...
    # # customer: ...
    # END STARTER
    # BEGIN SOLUTION
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    customer: Mapped["Customer"] = relationship(back_populates="reviews")
    # END SOLUTION


# %% check="02.relationship"
check("02.relationship")

# %% [markdown]
# # 2. In, out, and in pages
#
# Creating and reading you know from lesson 01: a schema in, a schema out, and a `flush` for the id and the complaint.


# %% tags=["setup"]
def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


class AuthorNew(BaseModel):
    name: str


class AuthorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


class BookNew(BaseModel):
    isbn: str
    title: str
    blurb: str | None = None
    price: int
    author_id: int


class BookOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    isbn: str
    title: str
    blurb: str | None
    price: int
    author_id: int


def restock() -> None:
    """The shop as it opens: three authors, and eight books at two prices."""
    names = "George Eliot", "Jane Austen", "Emily Brontë"
    by_eliot = "Middlemarch", "Romola", "Adam Bede", "Silas Marner", "Felix Holt"
    books = [("Emma", 2), ("Persuasion", 2), *((title, 1) for title in by_eliot), ("Poems", 3)]
    with SessionLocal.begin() as session:
        session.execute(delete(Book))
        session.execute(delete(Author))
        session.add_all(Author(id=number, name=name) for number, name in enumerate(names, 1))
        for number, (title, author) in enumerate(books, 1):
            session.add(
                Book(
                    id=number,
                    isbn=f"97801{number:08}",
                    title=title,
                    blurb=f"{title}, as you have never read it.",
                    price=900 + number % 2 * 300,
                    author_id=author,
                )
            )


restock()

# %%
catalogue = FastAPI()


@catalogue.post("/authors", status_code=201, response_model=AuthorOut)
def add_author(new: AuthorNew, session: SessionDep) -> Author:
    author = Author(**new.model_dump())
    session.add(author)
    session.flush()
    return author


@catalogue.post("/books", status_code=201, response_model=BookOut)
def add_book(new: BookNew, session: SessionDep) -> Book:
    book = Book(**new.model_dump())
    session.add(book)
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "That ISBN is taken, or there is no such author.") from error
    return book


@catalogue.get("/books/{book_id}", response_model=BookOut)
def read_book(book_id: int, session: SessionDep) -> Book:
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    return book


# %% [markdown]
# **Predict** five status codes: a good book, the same book again, a book by author 99, a price that is no number, and
# book 99.

# %%
restock()
client = TestClient(catalogue)
charlotte = client.post("/authors", json={"name": "Charlotte Brontë"}).json()
print(charlotte)

villette = {"isbn": "9780140434798", "title": "Villette", "price": 1099, "author_id": 4}
for changed in ({}, {}, {"isbn": "9780141441146", "author_id": 99}, {"price": "a lot"}):
    answer = client.post("/books", json=villette | changed)
    print(answer.status_code, answer.json()["detail"] if answer.status_code == 409 else "")
print(client.get("/books/99").status_code)

# %% [markdown]
# Who is to blame decides the number. **404**: the address names nothing. **422**: the body is not what the schema asks
# for; FastAPI says that for you. **409**: all is well with the request, and the shop as it is now does not permit it.
# (For the author who is not there, some teams prefer 404 or 422. Choose once.) Both complaints come as the same
# `IntegrityError`; where the client must know which, look first, and still let the database decide.
#
# ## An answer that asks
#
# Schemas nest as relationships do. **Predict** the number of SELECTs for three books, each with its author's name:


# %%
class BookAndAuthor(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    title: str
    author: AuthorOut


nested = FastAPI()


@nested.get("/books", response_model=list[BookAndAuthor])
def three_books(session: SessionDep) -> list[Book]:
    return list(session.scalars(select(Book).where(Book.id.in_((1, 3, 8))).order_by(Book.id)))


with trace(nested, engine) as seen:
    print(TestClient(nested).get("/books").json())

seen

# %% [markdown]
# Four, and three of them after your `return`: a relationship is loaded when somebody looks, and `response_model` looks.
# With three books you do not feel it; with three hundred you do. It is called N+1, and lesson 09 cures it. Until then
# keep answers flat, as `BookOut` is.
#
# ## Turning the page
#
# The dearest books first, four to a page. This is how nearly everybody writes it:


# %%
def titles(query: Any) -> list[str]:
    with SessionLocal() as session:
        return [book.title for book in session.scalars(query)]


restock()
dearest = select(Book).order_by(Book.price.desc())
print("page 1:", titles(dearest.limit(4)))
print("page 2:", titles(dearest.limit(4).offset(4)))

# %% [markdown]
# Eight books, each once. Now two to a page; and when you have read page 1, somebody adds an index on the price, to make
# this very list quicker. No book has changed, and no price. **Predict** page 2.

# %%
print("page 1:", titles(dearest.limit(2)))

with engine.begin() as connection:
    connection.execute(text("CREATE INDEX IF NOT EXISTS quicker ON book (price)"))

print("page 2:", titles(dearest.limit(2).offset(2)))

# %% [markdown]
# The two that you have just seen, and the other two at that price you will never see. Four books cost 1200, and you did
# not say in which order *those* were to come. So any order is right, and it need not be the same one twice.
# ([PostgreSQL's manual](https://www.postgresql.org/docs/current/queries-limit.html) says the same of PostgreSQL, index
# or no index.) What you want leaves nothing open: a **total order**. The primary key at its end makes any order total:

# %%
total_order = select(Book).order_by(Book.price.desc(), Book.id)
print("page 1:", titles(total_order.limit(2)))

with engine.begin() as connection:
    connection.execute(text("DROP INDEX IF EXISTS quicker"))

print("page 2:", titles(total_order.limit(2).offset(2)))

# %% [markdown]
# One thing it does not cure. **Predict** page 2 of *newest first*, when a book comes in between:

# %%
newest = select(Book).order_by(Book.id.desc())
print("page 1:", titles(newest.limit(3)))

with SessionLocal.begin() as session:
    session.add(Book(isbn="9780141439662", title="Villette", price=1099, author_id=3))

print("page 2:", titles(newest.limit(3).offset(3)))

# %% [markdown]
# *Silas Marner*, again. `OFFSET 3` does not mean "after those that I have seen" but "three from the top, as of now".
# And the database does count them off: page 1000 reads the 999 before it. That is the price of pages that one can jump
# to by number. "After the last one that I have seen" is keyset paging, and lesson 10 builds it.
#
# ## How much is a page?
#
# **Predict.** Somebody asks for `limit=-1`.

# %%
restock()
print(len(titles(select(Book).limit(-1))), "books")

# %% [markdown]
# To SQLite a negative limit is [no limit](https://www.sqlite.org/lang_select.html#limitoffset), and the whole table
# goes out; with `limit=1000000` it goes out of any database. A number from outside needs a floor and a ceiling, and a
# sort order is a choice from a list. Both are said in the signature, and FastAPI answers 422 for you:

# %%
bounded = FastAPI()


@bounded.get("/")
def what_was_asked(
    sort: Literal["title", "price"] = "title",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> str:
    return f"{limit} by {sort}"


client = TestClient(bounded)
for query in ("", "?limit=5&sort=price", "?limit=-1", "?limit=101", "?sort=hashed_password"):
    print(f"{query:22} {client.get('/' + query).status_code}")

# %% [markdown]
# ## Exercise 2.2: the list
#
# Write `GET /books`. All of its parameters may be left out:
#
# - `author_id` and `max_price` (in cents) narrow the list, alone or together;
# - `sort` is `title` (unless said otherwise), `price`, or `-price` for the dearest first; anything else is a 422;
# - `limit`, from 1 to 100, is 20 unless said otherwise; `offset`, from 0, is 0. Anything else is a 422;
# - going through the pages gives each book once, whatever the database makes of equal prices and titles;
# - the answer is a `Page`, whose `total` counts **all** books that match;
# - the database does the counting and the cutting: no more books are read than are shown.
#
# A `query = query.where(...)` narrows what was there before, and `select(func.count()).select_from(query.subquery())`
# counts it.


# %% exercise="02.list"
class Page(BaseModel):
    total: int
    books: list[BookOut]


app = FastAPI()

# BEGIN STARTER
# # @app.get("/books", response_model=Page)
# # def list_books(session: SessionDep, ...): ...
# END STARTER
# BEGIN SOLUTION
ORDERS = {"title": Book.title.asc(), "price": Book.price.asc(), "-price": Book.price.desc()}


@app.get("/books", response_model=Page)
def list_books(
    session: SessionDep,
    author_id: int | None = None,
    max_price: int | None = None,
    sort: Literal["title", "price", "-price"] = "title",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    query = select(Book)
    if author_id is not None:
        query = query.where(Book.author_id == author_id)
    if max_price is not None:
        query = query.where(Book.price <= max_price)
    total = session.scalar(select(func.count()).select_from(query.subquery()))
    page = query.order_by(ORDERS[sort], Book.id).limit(limit).offset(offset)
    return {"total": total, "books": session.scalars(page).all()}


# END SOLUTION


# %% check="02.list"
check("02.list")

# %% [markdown]
# An envelope, with `total` beside `books`, or a bare list and an `X-Total-Count` header? The envelope can grow, and
# shows in the docs. The header leaves the body a plain list, and browsers hide it from other origins unless you [expose
# it](https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Access-Control-Expose-Headers). Both count all
# matches at each page. When that gets slow, ask whether anybody reads the number.

# %% [markdown]
# # 3. Changing a part
#
# `PUT` replaces the whole book, `PATCH` changes what was sent. Here is the endpoint that the script talked to at 2 a.m.
# Both fields may be left out, so both have a default:


# %%
class Correction(BaseModel):
    title: str | None = None
    blurb: str | None = None


night = FastAPI()


@night.patch("/books/{book_id}", response_model=BookOut)
def correct(book_id: int, change: Correction, session: SessionDep) -> Book:
    book = session.get_one(Book, book_id)
    for name, value in change.model_dump().items():
        setattr(book, name, value)
    return book


# %%
restock()
with trace(night, engine) as seen:
    TestClient(night).patch("/books/3", json={"title": "Middlemarch!"})

seen

# %% [markdown]
# Read the UPDATE. The script sent a title. The schema filled in what was not sent, `model_dump()` gave that out as if
# somebody had asked for it, and the answer is 200.
#
# There are three ways to dump. **Predict** what each makes of a new title and a blurb that is to be *erased*:

# %%
change = Correction.model_validate({"title": "Romola", "blurb": None})
print("model_dump()                  ", change.model_dump())
print("model_dump(exclude_none=True) ", change.model_dump(exclude_none=True))
print("model_dump(exclude_unset=True)", change.model_dump(exclude_unset=True))

change = Correction.model_validate({"title": "Romola"})
print("not sent at all:              ", change.model_dump(exclude_unset=True))

# %% [markdown]
# `exclude_none` is offered as the cure in many a forum, and it cannot erase: `null` and *not sent* are different
# wishes. Pydantic remembers which fields were set, and `exclude_unset` asks it.
#
# That leaves one hole. A title may be left out, but it may not be `null`:

# %%
mended = FastAPI()


@mended.patch("/books/{book_id}", status_code=204)
def correct_some(book_id: int, change: Correction, session: SessionDep) -> None:
    book = session.get_one(Book, book_id)
    for name, value in change.model_dump(exclude_unset=True).items():
        setattr(book, name, value)


try:
    TestClient(mended).patch("/books/3", json={"title": None})
except IntegrityError as error:
    print(error.orig)

# %% [markdown]
# That is a 500 for a client's mistake. The type says that `null` is fine, only because something had to stand behind
# the `=`. But there is a value for *nothing was said*, and it is not `None`. It is `MISSING`, in Pydantic since 2.14.
# (Before, people wrote `title: str = ""`. That does as well: `exclude_unset` never lets the default out.)


# %%
class Change(BaseModel):
    title: str | MISSING = MISSING  # may be left out, may not be null
    blurb: str | None = None  # may be left out, may be null


for sent in ({"blurb": None}, {"title": None}):
    try:
        print(sent, "->", Change.model_validate(sent).model_dump(exclude_unset=True))
    except ValueError as error:
        print(sent, "->", str(error).splitlines()[2].strip())

# %% [markdown]
# One more thing about that loop: it sets whatever the schema lets in. Keep `id`, `is_admin` and their like out of the
# schema, and never loop over a bare `dict`; lesson 11 attacks an endpoint that does. And what is not in it is ignored,
# misspelt fields included: `{"titel": ...}` is answered with 200 and changes nothing, unless the schema [forbids
# extras](https://docs.pydantic.dev/latest/api/config/#pydantic.config.ConfigDict.extra).

# %% [markdown]
# ## Exercise 2.3: change only what was sent
#
# Write `PATCH /books/{book_id}`, and its schema:
#
# - `isbn`, `title`, `blurb` and `price` can be changed, one, some or all, and nothing else can;
# - what was not sent stays as it is; `"blurb": null` erases the blurb; `null` for any of the others is a 422;
# - the answer is the whole book as it now is, a `BookOut`;
# - 404 for an unknown book, 409 for another book's ISBN.

# %% exercise="02.patch"
app = FastAPI()

# BEGIN STARTER
# # class BookChange(BaseModel): ...
# #
# # @app.patch("/books/{book_id}", response_model=BookOut)
# # def change_book(book_id: int, ...): ...
# END STARTER
# BEGIN SOLUTION


class BookChange(BaseModel):
    isbn: str | MISSING = MISSING
    title: str | MISSING = MISSING
    blurb: str | None = None
    price: int | MISSING = MISSING


@app.patch("/books/{book_id}", response_model=BookOut)
def change_book(book_id: int, change: BookChange, session: SessionDep) -> Book:
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    for name, value in change.model_dump(exclude_unset=True).items():
        setattr(book, name, value)
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "Another book has that ISBN.") from error
    return book


# END SOLUTION


# %% check="02.patch"
check("02.patch")

# %% [markdown]
# # 4. Deleting
#
# An author goes. What becomes of her books? You decide that in two places, the relationship and the foreign key, and
# both have a default. Here are the two tables again, made to order:


# %%
def delete_an_author(nullable: bool = False, ondelete: str | None = None, **options: Any) -> Any:
    """Make two tables with these settings, delete an author of three books; what was sent?"""

    class Base(DeclarativeBase):
        metadata = MetaData(naming_convention=NAMING)

    class Author(Base):
        __tablename__ = "author"

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        books: Mapped[list["Book"]] = relationship(back_populates="author", **options)

    class Book(Base):
        __tablename__ = "book"

        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        author_id: Mapped[int] = mapped_column(
            ForeignKey("author.id", ondelete=ondelete), nullable=nullable
        )
        author: Mapped["Author"] = relationship(back_populates="books")

    engine = strict_engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        titles = "Emma", "Persuasion", "Sanditon"
        session.add(Author(id=1, name="Jane Austen", books=[Book(title=title) for title in titles]))

    with trace(engine) as seen:
        try:
            with Session(engine) as session, session.begin():
                session.delete(session.get_one(Author, 1))
        except IntegrityError as error:
            print("refused:", error.orig)

    with Session(engine) as session:
        print("books left, by author:", list(session.scalars(select(Book.author_id))))
    return seen


# %% [markdown]
# **Predict**, for the models as they are, without any setting: do the books go too, or is it refused?

# %%
delete_an_author()

# %% [markdown]
# Refused, but look at what was. There is an **UPDATE** that you never wrote: before it deletes the author, the ORM
# takes her books away from her, by setting their `author_id` to NULL. Only the `NOT NULL` stood in the way. **Predict**
# what happens without it:

# %%
delete_an_author(nullable=True)

# %% [markdown]
# No error, and three orphans, in a database that enforces its foreign keys. NULL refers to nothing, so there is nothing
# to enforce.
#
# ## The ORM deletes
#
# `cascade="all, delete-orphan"`, on the side of the *one*, says that books are parts of their author: deleted with her,
# and also when taken off her list.

# %%
delete_an_author(cascade="all, delete-orphan")

# %% [markdown]
# Right, and thorough: it loads every book, and deletes each by its id. A thousand books are a thousand rows, loaded in
# order to be deleted. And it happens only here, in a session: `session.execute(delete(Author))` knows nothing of it,
# nor does a colleague with `psql`.
#
# ## The database deletes
#
# `ondelete="CASCADE"` on the foreign key has the database do it, whoever asks. **Predict** what the session sends:

# %%
delete_an_author(ondelete="CASCADE")

# %% [markdown]
# The same UPDATE, and the same refusal. The database would have seen to it, and the ORM got there first.
# `passive_deletes=True` tells it to leave alone what it has not loaded:

# %%
delete_an_author(ondelete="CASCADE", cascade="all, delete-orphan", passive_deletes=True)

# %% [markdown]
# One DELETE, and the books went without passing through Python.
#
# ## Nobody deletes
#
# Often the right answer is no. Whoever deletes an author whose books are in open orders has clicked on the wrong
# button. With `passive_deletes="all"` the ORM keeps its hands off, and the foreign key refuses:

# %%
delete_an_author(passive_deletes="all")

# %% [markdown]
# Catch that where it is sent, and it is a 409, with a reason that somebody can read:

# %%
firm = FastAPI()


@firm.delete("/authors/{author_id}", status_code=204)
def delete_author(author_id: int, session: SessionDep) -> None:
    author = session.get(Author, author_id)
    if author is None:
        raise HTTPException(404, "No such author.")
    session.delete(author)
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "There are books by that author.") from error


restock()
with SessionLocal.begin() as session:
    session.add(Author(id=4, name="Anonymous"))

client = TestClient(firm)
for author_id in (1, 4, 4):
    print(author_id, "->", client.delete(f"/authors/{author_id}").status_code)

# %% [markdown]
# | the children are ... | relationship (the *one* side) | foreign key |
# | --- | --- | --- |
# | parts of the parent: reviews of a book, lines of an order | `cascade="all, delete-orphan", passive_deletes=True` | `ondelete="CASCADE"` |
# | worth more than the click: orders of a customer | `passive_deletes="all"` | nothing, or `ondelete="RESTRICT"` |
# | fine on their own: books on a shelf that is taken down | `passive_deletes=True` | `ondelete="SET NULL"`, nullable |
#
# `ondelete` is a part of the table: where the table exists already, it takes a migration.
# ([Cascades](https://docs.sqlalchemy.org/en/21/orm/cascades.html#using-foreign-key-on-delete-cascade-with-orm-relationships))

# %% [markdown]
# ## Exercise 2.4: no orphans
#
# Dog-Eared has reading clubs; clubs have meetings, and of meetings there are notes. `DELETE /clubs/{club_id}` answers
# 204, and since it went live there are more and more meetings of no club. Find out why, and mend it, in the models, in
# the endpoint, or in both:
#
# - a club goes together with its meetings and their notes; 204;
# - other clubs keep theirs; an unknown club is a 404;
# - no orphans either when somebody deletes a club in plain SQL: then the rest goes as well, or the database refuses.


# %% exercise="02.delete"
class ClubBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


# BEGIN STARTER
# class Club(ClubBase):
#     __tablename__ = "club"
#
#     id: Mapped[int] = mapped_column(primary_key=True)
#     name: Mapped[str]
#     meetings: Mapped[list["Meeting"]] = relationship(back_populates="club")
#
#
# class Meeting(ClubBase):
#     __tablename__ = "meeting"
#
#     id: Mapped[int] = mapped_column(primary_key=True)
#     topic: Mapped[str]
#     club_id: Mapped[int | None] = mapped_column(ForeignKey("club.id"), index=True)
#     club: Mapped["Club | None"] = relationship(back_populates="meetings")
#     notes: Mapped[list["Note"]] = relationship(back_populates="meeting")
#
#
# class Note(ClubBase):
#     __tablename__ = "note"
#
#     id: Mapped[int] = mapped_column(primary_key=True)
#     words: Mapped[str]
#     meeting_id: Mapped[int | None] = mapped_column(ForeignKey("meeting.id"), index=True)
#     meeting: Mapped["Meeting | None"] = relationship(back_populates="notes")
# END STARTER
# BEGIN SOLUTION
class Club(ClubBase):
    __tablename__ = "club"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    meetings: Mapped[list["Meeting"]] = relationship(
        back_populates="club", cascade="all, delete-orphan", passive_deletes=True
    )


class Meeting(ClubBase):
    __tablename__ = "meeting"

    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str]
    club_id: Mapped[int] = mapped_column(ForeignKey("club.id", ondelete="CASCADE"), index=True)
    club: Mapped["Club"] = relationship(back_populates="meetings")
    notes: Mapped[list["Note"]] = relationship(
        back_populates="meeting", cascade="all, delete-orphan", passive_deletes=True
    )


class Note(ClubBase):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    meeting_id: Mapped[int] = mapped_column(
        ForeignKey("meeting.id", ondelete="CASCADE"), index=True
    )
    meeting: Mapped["Meeting"] = relationship(back_populates="notes")


# END SOLUTION


club_engine = strict_engine()
ClubBase.metadata.create_all(club_engine)
ClubSession = sessionmaker(club_engine)

app = FastAPI()


@app.delete("/clubs/{club_id}", status_code=204)
def delete_club(club_id: int) -> None:
    with ClubSession.begin() as session:
        club = session.get(Club, club_id)
        if club is None:
            raise HTTPException(404, "No such club.")
        session.delete(club)


# %% check="02.delete"
check("02.delete")

# %% [markdown]
# # Recap
#
# ## The recipe

# %% tags=["recipe"]
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import MISSING, BaseModel, ConfigDict
from sqlalchemy import ColumnElement, ForeignKey, MetaData, StaticPool
from sqlalchemy import create_engine, event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session
from sqlalchemy.orm import mapped_column, relationship, sessionmaker


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
    name: Mapped[str] = mapped_column(unique=True)
    copies: Mapped[list["Copy"]] = relationship(
        back_populates="shelf", cascade="all, delete-orphan", passive_deletes=True
    )


class Copy(Model):
    __tablename__ = "copy"

    id: Mapped[int] = mapped_column(primary_key=True)
    barcode: Mapped[str] = mapped_column(unique=True)
    remark: Mapped[str | None]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id", ondelete="CASCADE"), index=True)
    shelf: Mapped["Shelf"] = relationship(back_populates="copies")


database = create_engine(
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)


@event.listens_for(database, "connect")  # SQLite only
def look_at_foreign_keys(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


Model.metadata.create_all(database)
DatabaseSession = sessionmaker(database)


def open_session() -> Iterator[Session]:
    with DatabaseSession.begin() as session:
        yield session


DatabaseDep = Annotated[Session, Depends(open_session, scope="function")]


class ShelfNew(BaseModel):
    name: str


class ShelfOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


class CopyNew(BaseModel):
    barcode: str
    remark: str | None = None
    shelf_id: int


class CopyChange(BaseModel):
    barcode: str | MISSING = MISSING
    remark: str | None = None
    shelf_id: int | MISSING = MISSING


class CopyOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    barcode: str
    remark: str | None
    shelf_id: int


class CopyPage(BaseModel):
    total: int
    copies: list[CopyOut]


SORTS: dict[str, ColumnElement[Any]] = {
    "barcode": Copy.barcode.asc(),
    "-barcode": Copy.barcode.desc(),
    "shelf": Copy.shelf_id.asc(),
}

api = FastAPI()


def the_shelf(shelf_id: int, session: DatabaseDep) -> Shelf:
    shelf = session.get(Shelf, shelf_id)
    if shelf is None:
        raise HTTPException(404, "No such shelf.")
    return shelf


def the_copy(copy_id: int, session: DatabaseDep) -> Copy:
    copy = session.get(Copy, copy_id)
    if copy is None:
        raise HTTPException(404, "No such copy.")
    return copy


ShelfDep = Annotated[Shelf, Depends(the_shelf)]
CopyDep = Annotated[Copy, Depends(the_copy)]


def flush_or_409(session: Session, reason: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, reason) from error


@api.post("/shelves", status_code=201, response_model=ShelfOut)
def create_shelf(new: ShelfNew, session: DatabaseDep) -> Shelf:
    shelf = Shelf(**new.model_dump())
    session.add(shelf)
    flush_or_409(session, "There is such a shelf already.")
    return shelf


@api.delete("/shelves/{shelf_id}", status_code=204)
def delete_shelf(shelf: ShelfDep, session: DatabaseDep) -> None:
    session.delete(shelf)  # and the database deletes its copies


@api.post("/copies", status_code=201, response_model=CopyOut)
def create_copy(new: CopyNew, session: DatabaseDep) -> Copy:
    copy = Copy(**new.model_dump())
    session.add(copy)
    flush_or_409(session, "That barcode is taken, or there is no such shelf.")
    return copy


@api.get("/copies", response_model=CopyPage)
def list_copies(
    session: DatabaseDep,
    shelf_id: int | None = None,
    sort: Literal["barcode", "-barcode", "shelf"] = "barcode",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    query = select(Copy)
    if shelf_id is not None:
        query = query.where(Copy.shelf_id == shelf_id)
    total = session.scalar(select(func.count()).select_from(query.subquery()))
    page = query.order_by(SORTS[sort], Copy.id).limit(limit).offset(offset)
    return {"total": total, "copies": session.scalars(page).all()}


@api.get("/copies/{copy_id}", response_model=CopyOut)
def read_copy(copy: CopyDep) -> Copy:
    return copy


@api.patch("/copies/{copy_id}", response_model=CopyOut)
def change_copy(copy: CopyDep, change: CopyChange, session: DatabaseDep) -> Copy:
    for name, value in change.model_dump(exclude_unset=True).items():
        setattr(copy, name, value)
    flush_or_409(session, "That barcode is taken, or there is no such shelf.")
    return copy


@api.delete("/copies/{copy_id}", status_code=204)
def delete_copy(copy: CopyDep, session: DatabaseDep) -> None:
    session.delete(copy)


client = TestClient(api)
print(client.post("/shelves", json={"name": "Classics"}).json())
print(client.post("/copies", json={"barcode": "M-1", "remark": "signed", "shelf_id": 1}).json())
print(client.patch("/copies/1", json={"barcode": "M-2"}).json())
print(client.get("/copies", params={"shelf_id": 1, "sort": "-barcode"}).json())
print(client.delete("/shelves/1").status_code, client.get("/copies/1").status_code)

# %% [markdown]
# ## The rules
#
# - SQLite looks at foreign keys when a `connect` event tells it to. Not in a transaction, not once for all.
# - Tie both ends with `back_populates`.
# - A schema for creating, one for changing, one for reading.
# - 404: the address. 422: the body. 409: the state of things.
# - A page needs a total order: end every `order_by` with the primary key.
# - Bound what comes from outside: `limit` by a ceiling, `sort` by a list.
# - `PATCH`: `model_dump(exclude_unset=True)`. *Null* and *not sent* are two wishes.
# - `is not None`, not truth: 0 is a price.
# - Say what becomes of the children, in the relationship *and* in the foreign key. The default makes orphans.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `IntegrityError: FOREIGN KEY constraint failed` | a reference to nothing, or a parent deleted from under its children |
# | `IntegrityError: NOT NULL constraint failed: book.author_id`, at a delete | the ORM takes the children away first; say what becomes of them |
# | `IntegrityError: NOT NULL constraint failed: book.title`, at a `PATCH` | the schema lets `null` in, or `exclude_unset` is missing |
# | `SAWarning: relationship ... will copy column ... which conflicts with relationship(s)` | two ends that are not tied: `back_populates` |
# | `NoForeignKeysError: Could not determine join condition ...` | a relationship between tables without a `ForeignKey` |
# | `InvalidRequestError: One or more mappers failed to initialize ...` | the same, from the second time on; read its end |
#
# ## In production
#
# - PostgreSQL always looks at foreign keys, and [makes no index for
#   them](https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK): hence `index=True`. Without
#   it, to delete a parent is to read the whole table of children.
# - NULLs sort [first on SQLite](https://www.sqlite.org/lang_select.html#orderby) and [last on
#   PostgreSQL](https://www.postgresql.org/docs/current/queries-order.html). Say `.nulls_last()` where it matters.
# - `Book.title.icontains(...)` searches whatever the case, but on SQLite that ends with ASCII: *émile* does not find
#   *Émile*.
# - Many a shop never deletes: a column `deleted_at`, and a filter in every query. Nothing is lost, and the price is
#   that no query may forget, and that `UNIQUE` counts the dead as well.
#
# ## Read more
#
# - SQLAlchemy: [Basic relationship patterns](https://docs.sqlalchemy.org/en/21/orm/basic_relationships.html),
#   [Cascades](https://docs.sqlalchemy.org/en/21/orm/cascades.html)
# - FastAPI: [Body updates](https://fastapi.tiangolo.com/tutorial/body-updates/), [Query parameters and
#   validation](https://fastapi.tiangolo.com/tutorial/query-params-str-validations/)
# - SQLite: [Foreign key support](https://www.sqlite.org/foreignkeys.html)
