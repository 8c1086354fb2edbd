"""Answers to lesson 00, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong
from checks.verdict import Status

_ADD = """\
app = FastAPI()


@app.post("/books", status_code=201)
def add_book(new: NewBook) -> dict[str, str]:
{body}


@app.get("/books")
def list_books() -> list[str]:
    with Session(engine) as session:
        return list(session.scalars(select(Book.title).order_by(Book.id)))
"""


def _add(body: str) -> str:
    indented = "\n".join(f"    {line}" if line else "" for line in body.strip().splitlines())
    return _ADD.replace("{body}", indented)


ANSWERS: tuple[Answer, ...] = (
    # -- 00.opening_hours -----------------------------------------------------------------------
    right(
        "00.opening_hours",
        "async, a dict built up",
        """
app = FastAPI()

@app.get("/hours")
async def opening():
    times = {}
    times["close"] = "18:00"
    times["open"] = "09:00"
    return times
""",
    ),
    right(
        "00.opening_hours",
        "a model",
        """
from pydantic import BaseModel

class Hours(BaseModel):
    open: str = "09:00"
    close: str = "18:00"

app = FastAPI()
app.add_api_route("/hours", lambda: Hours(), response_model=Hours)
""",
    ),
    wrong(
        "00.opening_hours",
        "another path",
        """
app = FastAPI()

@app.get("/hour")
def hours():
    return {"open": "09:00", "close": "18:00"}
""",
        "another_path",
    ),
    wrong(
        "00.opening_hours",
        "post",
        """
app = FastAPI()

@app.post("/hours")
def hours():
    return {"open": "09:00", "close": "18:00"}
""",
        "another_method",
    ),
    wrong(
        "00.opening_hours",
        "prints instead of returning",
        """
app = FastAPI()

@app.get("/hours")
def hours():
    print({"open": "09:00", "close": "18:00"})
""",
        "returned_nothing",
    ),
    wrong(
        "00.opening_hours",
        "encodes it by hand",
        """
import json

app = FastAPI()

@app.get("/hours")
def hours():
    return json.dumps({"open": "09:00", "close": "18:00"})
""",
        "a_string_of_json",
    ),
    wrong(
        "00.opening_hours",
        "the wrong hour",
        """
app = FastAPI()

@app.get("/hours")
def hours() -> dict[str, str]:
    return {"open": "09:00", "close": "81:00"}
""",
    ),
    wrong(
        "00.opening_hours",
        "a list",
        """
app = FastAPI()

@app.get("/hours")
def hours():
    return ["09:00", "18:00"]
""",
    ),
    wrong(
        "00.opening_hours",
        "one TODO left",
        """
app = FastAPI()

@app.get("/hours")
def hours():
    return {"open": "09:00", "close": TODO}
""",
        status=Status.NOT_ATTEMPTED,
    ),
    wrong(
        "00.opening_hours",
        "prints, under the announced type",
        """
app = FastAPI()

@app.get("/hours")
def hours() -> dict[str, str]:
    print({"open": "09:00", "close": "18:00"})
""",
        "returned_nothing",
    ),
    wrong(
        "00.opening_hours",
        "numbers, under the announced type",
        """
app = FastAPI()

@app.get("/hours")
def hours() -> dict[str, str]:
    return {"open": 9, "close": 18}
""",
        "not_as_announced",
    ),
    wrong(
        "00.opening_hours",
        "a name without quotation marks",
        """
app = FastAPI()

@app.get("/hours")
def hours() -> dict[str, str]:
    return {"open": opening, "close": "18:00"}
""",
        "raised",
    ),
    # -- 00.keep_the_book -----------------------------------------------------------------------
    right(
        "00.keep_the_book",
        "a transaction block",
        _add(
            """
with Session(engine) as session, session.begin():
    session.add(Book(title=new.title, pence=new.pence))
return {"title": new.title}
"""
        ),
    ),
    right(
        "00.keep_the_book",
        "an insert of its own",
        _add(
            """
from sqlalchemy import insert

with engine.begin() as connection:
    connection.execute(insert(Book).values(title=new.title, pence=new.pence))
return {"title": new.title}
"""
        ),
    ),
    wrong(
        "00.keep_the_book",
        "refreshes instead",
        _add(
            """
with Session(engine) as session:
    book = Book(title=new.title, pence=new.pence)
    session.add(book)
    session.flush()
    session.refresh(book)
    return {"title": book.title}
"""
        ),
        "never_committed",
    ),
    wrong(
        "00.keep_the_book",
        "commits first",
        _add(
            """
with Session(engine) as session:
    session.execute(select(Book))
    session.commit()
    session.add(Book(title=new.title, pence=new.pence))
    session.flush()
return {"title": new.title}
"""
        ),
        "committed_before_adding",
    ),
    wrong(
        "00.keep_the_book",
        "commits when the session is closed",
        _add(
            """
with Session(engine) as session:
    session.add(Book(title=new.title, pence=new.pence))
session.commit()
return {"title": new.title}
"""
        ),
        "never_sent",
    ),
    wrong(
        "00.keep_the_book",
        "forgets to add",
        _add(
            """
with Session(engine) as session:
    book = Book(title=new.title, pence=new.pence)
    session.commit()
return {"title": new.title}
"""
        ),
        "never_sent",
    ),
    wrong(
        "00.keep_the_book",
        "adds it twice to be sure",
        _add(
            """
for attempt in range(2):
    with Session(engine) as session:
        session.add(Book(title=new.title, pence=new.pence))
        session.commit()
return {"title": new.title}
"""
        ),
        "written_twice",
    ),
    wrong(
        "00.keep_the_book",
        "reads the book when the session is closed",
        _add(
            """
with Session(engine) as session:
    book = Book(title=new.title, pence=new.pence)
    session.add(book)
    session.commit()
return {"title": book.title}
"""
        ),
        "used_after_closing",
    ),
    wrong(
        "00.keep_the_book",
        "commits the engine",
        _add(
            """
with Session(engine) as session:
    session.add(Book(title=new.title, pence=new.pence))
    engine.commit()
return {"title": new.title}
"""
        ),
        "fell_over",
    ),
    wrong(
        "00.keep_the_book",
        "names commit without calling it",
        _add(
            """
with Session(engine) as session:
    session.add(Book(title=new.title, pence=new.pence))
    session.commit
return {"title": new.title}
"""
        ),
        "never_sent",
    ),
)
