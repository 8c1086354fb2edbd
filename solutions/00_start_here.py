# %% [markdown]
# # 00 Start here
#
# Ten minutes from now you will have run an API without a server, earned a green check, and read a red one without
# flinching. Nothing else is asked of you today.
#
# The incident that this lesson prevents is the oldest there is. It is 2 a.m., the code *looks* right, three people
# are staring at it, and nobody has looked at what it **did**. This course is about looking at what it did.

# %% [markdown]
# ## A cell, and what it answers
#
# A lesson is a list of cells. Click into the one below and press **Shift+Enter**: it runs, and the next one is
# selected. That is the whole user manual. Work from top to bottom; most cells need the ones above them.

# %% tags=["setup"]
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from checks import TODO, check, hint, progress, solution, trace

# %% [markdown]
# Here is a complete web application. It belongs to **Dog-Eared**, a second-hand bookshop whose API you will build,
# break, secure and speed up over the next nineteen lessons.

# %%
app = FastAPI()


@app.get("/")
def welcome() -> dict[str, str]:
    return {"shop": "Dog-Eared", "motto": "Every book has a past."}


# %% [markdown]
# No server is running and no port is open. `TestClient` calls the app directly, in this very process, and gives you
# what a real client would get:

# %%
client = TestClient(app)
response = client.get("/")
response.status_code, response.json()

# %% [markdown]
# **Predict.** What does the app answer to a path that it does not have? A number is enough. Then run:

# %%
client.get("/wine-list").status_code

# %% [markdown]
# 404, as the web has it. You will predict often in this course, usually right before a surprise. Say your answer out
# loud or write it down: a surprise you were sure about is one you remember.

# %% [markdown]
# ## Exercise 0.1: the opening hours
#
# The shop opens at `09:00` and closes at `18:00`. Make `GET /hours` say so, with this JSON:
#
# ```json
# {"open": "09:00", "close": "18:00"}
# ```
#
# Replace the `TODO`, run the cell, then run the check below it. The first line of the cell is how the check finds
# your answer; leave it there.

# %% exercise="00.opening_hours"
app = FastAPI()


@app.get("/hours")
# BEGIN STARTER
# def hours() -> dict[str, str]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def hours() -> dict[str, str]:
    return {"open": "09:00", "close": "18:00"}


# END SOLUTION


# %% check="00.opening_hours"
check("00.opening_hours")

# %% [markdown]
# Green? Good. Now **get it wrong on purpose**: change `18:00` to `81:00` and run both cells again. The card tells you
# what was asked for, what your app answered instead, and what to try next. That is how every check in this course
# fails: with evidence, not with an opinion. Then put the hours right.
#
# The cell starts with a new `app = FastAPI()` for a reason. FastAPI keeps every route it is given, and the first one
# that matches answers. Run `@app.get("/hours")` twice on one app and your corrected version waits politely behind the
# old one, forever. A fresh app each time the cell runs means that what you see is what you wrote.

# %% [markdown]
# ## The flight recorder
#
# Now the instrument that makes this course different. Below is an app with a database behind it. Lessons 01 and 02
# take every line of it apart; today, read it as you would read a recipe for a dish that somebody else is cooking.

# %% tags=["setup"]
from pydantic import BaseModel
from sqlalchemy import StaticPool, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    pence: Mapped[int]


class NewBook(BaseModel):
    title: str
    pence: int


engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
Base.metadata.create_all(engine)

with Session(engine) as session:
    session.add_all([Book(title="Middlemarch", pence=450), Book(title="Emma", pence=300)])
    session.commit()

# %%
shop = FastAPI()


@shop.get("/books/{book_id}")
def read_book(book_id: int) -> dict[str, str | int]:
    with Session(engine) as session:
        book = session.get(Book, book_id)
        if book is None:
            raise HTTPException(404, "No such book on our shelves.")
        return {"title": book.title, "pence": book.pence}


# %% [markdown]
# **Predict.** Somebody asks for book 1. How many statements does the app send to the database?
#
# `trace` writes down everything that happens while its block runs, in order:

# %%
with trace(shop, engine) as seen:
    TestClient(shop).get("/books/1")

seen

# %% [markdown]
# Read it from the top. The request comes in; a session opens, takes a connection from the pool and begins a
# transaction; one `SELECT` goes out, with its parameter, and one row comes back; the transaction ends in a rollback,
# which is the tidy way to end one that changed nothing; and then the response leaves. That list is called the
# **timeline**, and you will learn to read it as a pilot reads the tape.
#
# You can also ask it questions:

# %%
len(seen.selects), seen.commits, seen.statuses

# %% [markdown]
# ## Exercise 0.2: the book that was not there
#
# A member of staff adds books all morning. Every request answers 201. At noon the list is empty.
#
# The cell below holds the app as it went live. Run it and the check as they are if you like: nothing counts until you
# change something. Then change one line, wrongly if need be, check again, and **read the timeline on the card**. Which
# event do you miss between the `INSERT` and the response?

# %% exercise="00.keep_the_book"
app = FastAPI()


@app.post("/books", status_code=201)
# BEGIN STARTER
# def add_book(new: NewBook) -> dict[str, str]:
#     with Session(engine) as session:
#         session.add(Book(title=new.title, pence=new.pence))
#         session.flush()
#     return {"title": new.title}
# END STARTER
# BEGIN SOLUTION
def add_book(new: NewBook) -> dict[str, str]:
    with Session(engine) as session:
        session.add(Book(title=new.title, pence=new.pence))
        session.commit()
    return {"title": new.title}


# END SOLUTION


@app.get("/books")
def list_books() -> list[str]:
    with Session(engine) as session:
        return list(session.scalars(select(Book.title).order_by(Book.id)))


# %% check="00.keep_the_book"
check("00.keep_the_book")

# %% [markdown]
# ## When you are stuck
#
# Every exercise has two or three hints, from a nudge to nearly the answer. They cost nothing but the pleasure of
# finding it yourself. After a pass, or after the last hint, the course shows its own solution beside yours:
#
# ```python
# hint("00.keep_the_book")
# solution("00.keep_the_book")
# ```
#
# Try them in a cell of your own: the **+** button adds one below. Three more things go wrong for everybody, once:
#
# - **The card speaks of code that you have changed.** A check looks at what your cell did when it last *ran*. Run it
#   again, then check.
# - **`NameError: name 'check' is not defined`.** The kernel is new and has run nothing. Choose **Run > Run All Above
#   Selected Cell**; when all else is confusing, **Kernel > Restart Kernel and Run All Cells**.
# - **The cell is beyond repair.** In a terminal (**File > New > Terminal**) type `checks reset 00` and the lesson is as
#   it came, with your copy kept beside it; `checks reset 00 --exercise keep_the_book` does that for one cell.
#
# Where do you stand? `progress()` shows the whole course, and with a number one lesson:

# %%
progress("00")

# %% [markdown]
# ## Recap
#
# - **Shift+Enter** runs a cell; `check("...")` judges an exercise on what your app did, never on how you spelled it.
# - A red card names what was required, what was seen instead, and where in the timeline it shows.
# - `with trace(app, engine) as seen:` records any request that you care about.
# - `session.flush()` sends SQL. `session.commit()` keeps it. Whole careers fit between the two, and so does lesson 03.
#
# Prefer your own editor? `checks watch`, in that terminal, checks a notebook each time you save it.
#
# **Next:** `01_sync_setup`, in the list of files on the left.
#
# **Read more:** [FastAPI: Testing](https://fastapi.tiangolo.com/tutorial/testing/) on `TestClient`, and
# [SQLAlchemy: Session basics](https://docs.sqlalchemy.org/en/21/orm/session_basics.html), where lesson 01 begins.
