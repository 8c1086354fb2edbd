"""Answers to lesson 03, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong
from checks.verdict import Status


def _under(head: str, body: str) -> str:
    indented = "\n".join(f"    {line}" if line else "" for line in body.strip().splitlines())
    return f"{head}\n{indented}\n"


def _order(body: str) -> str:
    return _under(
        """\
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder) -> dict[str, int]:""",
        body,
    )


def _import(body: str, session: str = "HonestSession") -> str:
    return _under(
        """\
class NewBook(BaseModel):
    isbn: str
    title: str
    copies: int

app = FastAPI()

@app.post("/imports")
def import_books(delivery: list[NewBook]) -> dict[str, Any]:""",
        body.replace("MakeSession", session),
    )


_GET_DB = """\
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
"""

_OPENS = """\
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    except Exception:
        db.rollback()
        raise
    finally:
        db.close()
"""

_DEFAULT = "SessionDep = Annotated[Session, Depends(get_db)]\n"

_FUNCTION = 'SessionDep = Annotated[Session, Depends(get_db, scope="function")]\n'

_PLACE = """\
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: SessionDep) -> dict[str, int]:
    order = Order(**new.model_dump())
    db.add(order)
    db.flush()
    return {"id": order.id}
"""

_PLACE_AND_COMMIT = """\
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: SessionDep) -> dict[str, int]:
    order = Order(**new.model_dump())
    db.add(order)
    db.commit()
    return {"id": order.id}
"""

_READ_AND_CHECK = """\
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    if book.copies < new.copies:
        raise HTTPException(409, "Not enough copies.")
"""


_ROW_BY_ROW = """
rejected = []
with HonestSession.begin() as session:
    for new in delivery:
        try:
            with session.begin_nested():
                session.add(Book(**new.model_dump()))
        except IntegrityError:
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""

_TAKE = """
with SessionLocal.begin() as session:
    if session.get(Book, new.book_id) is None:
        raise HTTPException(404)
    taken = session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    if taken.rowcount == 0:
        raise HTTPException(409)
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""

_SELL = """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id, "copies_left": book.copies}
"""

ANSWERS: tuple[Answer, ...] = (
    # -- 03.atomic_order --------------------------------------------------------------------------
    right(
        "03.atomic_order",
        "explicit commit and rollback",
        _order(
            """
session = SessionLocal()
try:
    book = session.get(Book, new.book_id)
    if not book:
        raise HTTPException(status_code=404)
    if new.copies > book.copies:
        raise HTTPException(status_code=409)
    order = Order(book_id=book.id, customer_id=new.customer_id, copies=new.copies)
    session.add(order)
    book.copies = book.copies - new.copies
    session.commit()
    return {"id": order.id, "copies_left": book.copies}
except IntegrityError:
    session.rollback()
    raise HTTPException(status_code=422, detail="No such customer.")
finally:
    session.close()
"""
        ),
    ),
    right(
        "03.atomic_order",
        "a dependency in function scope, a conditional update",
        """
def get_session():
    with SessionLocal.begin() as session:
        yield session

class Placed(BaseModel):
    id: int
    copies_left: int

app = FastAPI()

@app.post("/orders", status_code=201)
def place(
    new: NewOrder, session: Annotated[Session, Depends(get_session, scope="function")]
) -> Placed:
    left = session.scalar(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
        .returning(Book.copies)
    )
    if left is None:
        there = session.scalar(select(Book.id).where(Book.id == new.book_id))
        raise HTTPException(409 if there else 404)
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return Placed(id=order.id, copies_left=left)
""",
    ),
    right(
        "03.atomic_order",
        "helpers that are given the session; the check left to the database",
        """
def take(session, book_id, copies):
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    book.copies -= copies
    return book

def write(session, new):
    order = Order(**new.model_dump())
    session.add(order)
    return order

app = FastAPI()

@app.post("/orders", status_code=201)
def place(new: NewOrder):
    try:
        with SessionLocal() as session, session.begin():
            book = take(session, new.book_id, new.copies)
            order = write(session, new)
            session.flush()
            return {"id": order.id, "copies_left": book.copies}
    except IntegrityError as error:
        raise HTTPException(409, "The database said no.") from error
""",
    ),
    wrong(
        "03.atomic_order",
        "commits the stock, then the order",
        _order(
            "with SessionLocal() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    session.commit()
    order = Order(**new.model_dump())
    session.add(order)
    session.commit()
    return {"id": order.id, "copies_left": book.copies}
"""
        ),
        "half_an_order",
    ),
    wrong(
        "03.atomic_order",
        "commits the order, then the stock",
        _order(
            "with SessionLocal() as session:\n"
            + _READ_AND_CHECK
            + """\
    order = Order(**new.model_dump())
    session.add(order)
    session.commit()
    book.copies -= new.copies
    session.commit()
    return {"id": order.id, "copies_left": book.copies}
"""
        ),
        "two_transactions",
    ),
    wrong(
        "03.atomic_order",
        "two sessions",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    left = book.copies
with SessionLocal.begin() as session:
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id, "copies_left": left}
"""
        ),
        "half_an_order",
    ),
    wrong(
        "03.atomic_order",
        "the dependency of lesson 01, in the default scope",
        _GET_DB
        + """
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, session: Session = Depends(get_db)):
"""
        + _READ_AND_CHECK
        + """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id, "copies_left": book.copies}
""",
        "answered_too_soon",
    ),
    wrong(
        "03.atomic_order",
        "flushes only",
        _order(
            "with SessionLocal() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id, "copies_left": book.copies}
"""
        ),
        "never_committed",
    ),
    wrong(
        "03.atomic_order",
        "answers after the block",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
return {"id": order.id, "copies_left": book.copies}
"""
        ),
        "read_after_the_end",
    ),
    wrong(
        "03.atomic_order",
        "forgets to look at the stock",
        _order(
            """
with SessionLocal.begin() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404)
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id, "copies_left": book.copies}
"""
        ),
        "left_it_to_the_check",
    ),
    wrong(
        "03.atomic_order",
        "takes one copy, whatever was ordered",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= 1
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id, "copies_left": book.copies}
"""
        ),
    ),
    wrong(
        "03.atomic_order",
        "returns the order itself",
        """
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder):
    with SessionLocal(expire_on_commit=False) as session:
"""
        + "\n".join(f"    {line}" for line in _READ_AND_CHECK.splitlines())
        + """
        book.copies -= new.copies
        order = Order(**new.model_dump())
        session.add(order)
        session.commit()
        return order
""",
    ),
    wrong(
        "03.atomic_order",
        "nonsense",
        _order('return "ordered"'),
    ),
    right(
        "03.atomic_order",
        "without the ORM",
        _order(
            """
from sqlalchemy import insert
with engine.begin() as connection:
    left = connection.scalar(select(Book.copies).where(Book.id == new.book_id))
    if left is None:
        raise HTTPException(404)
    left -= new.copies
    if left < 0:
        raise HTTPException(409)
    connection.execute(update(Book).where(Book.id == new.book_id).values(copies=left))
    made = connection.execute(insert(Order).values(**new.model_dump()))
    return {"id": made.inserted_primary_key[0], "copies_left": left}
"""
        ),
    ),
    wrong(
        "03.atomic_order",
        "a savepoint for a transaction",
        _order(
            "with SessionLocal() as session, session.begin_nested():\n" + _READ_AND_CHECK + _SELL
        ),
        "kept_by_a_savepoint",
    ),
    wrong(
        "03.atomic_order",
        "makes an order and adds none",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + _SELL.replace("    session.add(order)\n", "").replace("order.id", "1")
        ),
        "no_order",
    ),
    wrong(
        "03.atomic_order",
        "commits inside the block",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + _SELL.replace("session.flush()", "session.commit()")
        ),
        "committed_inside_the_block",
    ),
    wrong(
        "03.atomic_order",
        "commits, and nobody rolls back",
        _order(
            "with SessionLocal() as session:\n"
            + _READ_AND_CHECK
            + _SELL.replace("session.flush()", "session.commit()")
        ),
        "the_next_inherits_it",
    ),
    wrong(
        "03.atomic_order",
        "returns the exceptions",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK.replace("raise", "return")
            + _SELL
        ),
        "returned_not_raised",
    ),
    wrong(
        "03.atomic_order",
        "keeps one copy back",
        _order(
            "with SessionLocal.begin() as session:\n" + _READ_AND_CHECK.replace("<", "<=") + _SELL
        ),
        "refuses_the_last",
    ),
    wrong(
        "03.atomic_order",
        "puts the copies back by hand",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    left = book.copies
try:
    with SessionLocal.begin() as session:
        order = Order(**new.model_dump())
        session.add(order)
        session.flush()
        return {"id": order.id, "copies_left": left}
except IntegrityError as error:
    with SessionLocal.begin() as session:
        session.get_one(Book, new.book_id).copies += new.copies
    raise HTTPException(409) from error
"""
        ),
        "two_transactions",
    ),
    wrong(
        "03.atomic_order",
        "does not flush, so there is no id",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + _SELL.replace("    session.flush()\n", "")
        ),
    ),
    # -- 03.tell_the_truth ------------------------------------------------------------------------
    right(
        "03.tell_the_truth",
        "commits in the endpoint",
        _OPENS + _DEFAULT + _PLACE_AND_COMMIT,
    ),
    right(
        "03.tell_the_truth",
        "a block as the dependency, in function scope",
        """
def get_db():
    with SessionLocal.begin() as db:
        yield db

app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: Session = Depends(get_db, scope="function")):
    order = Order(**new.model_dump())
    db.add(order)
    db.flush()
    return {"id": order.id}
""",
    ),
    right(
        "03.tell_the_truth",
        "no dependency; the failure made a 409",
        """
app = FastAPI()

@app.post("/orders", status_code=201)
async def place_order(new: NewOrder):
    try:
        with SessionLocal.begin() as db:
            order = Order(**new.model_dump())
            db.add(order)
            db.flush()
            answer = {"id": order.id}
    except IntegrityError:
        raise HTTPException(409, "Please try again.")
    return answer
""",
    ),
    right(
        "03.tell_the_truth",
        "an explicit commit, and the old one left in",
        _GET_DB + _DEFAULT + _PLACE_AND_COMMIT,
    ),
    wrong(
        "03.tell_the_truth",
        "the wrong half of the release notes",
        _GET_DB + 'SessionDep = Annotated[Session, Depends(get_db, scope="request")]\n' + _PLACE,
        "after_the_answer",
    ),
    wrong(
        "03.tell_the_truth",
        "a begin block in the default scope",
        """
def get_db():
    with SessionLocal.begin() as db:
        yield db

"""
        + _DEFAULT
        + _PLACE,
        "after_the_answer",
    ),
    wrong(
        "03.tell_the_truth",
        "commits in a background task",
        _OPENS
        + _DEFAULT
        + """
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: SessionDep, tasks: BackgroundTasks) -> dict[str, int]:
    order = Order(**new.model_dump())
    db.add(order)
    db.flush()
    tasks.add_task(db.commit)
    return {"id": order.id}
""",
        "after_the_answer",
    ),
    wrong(
        "03.tell_the_truth",
        "an HTTPException after the yield",
        """
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except IntegrityError:
        db.rollback()
        raise HTTPException(409, "The order could not be kept.")
    finally:
        db.close()

"""
        + _DEFAULT
        + _PLACE,
        "raised_too_late",
    ),
    wrong(
        "03.tell_the_truth",
        "function scope, and the exception swallowed",
        """
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
    finally:
        db.close()

"""
        + _FUNCTION
        + _PLACE,
        "swallowed",
    ),
    wrong(
        "03.tell_the_truth",
        "commits in the endpoint and logs the failure",
        _OPENS
        + _DEFAULT
        + """
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: SessionDep) -> dict[str, int]:
    order = Order(**new.model_dump())
    db.add(order)
    db.flush()
    made = order.id
    try:
        db.commit()
    except IntegrityError:
        db.rollback()
    return {"id": made}
""",
        "swallowed",
    ),
    wrong(
        "03.tell_the_truth",
        "takes the commit out and relies on the flush",
        _OPENS + _FUNCTION + _PLACE,
        "never_committed",
    ),
    wrong(
        "03.tell_the_truth",
        "commits inside a begin block",
        """
def get_db():
    with SessionLocal.begin() as db:
        yield db

"""
        + _FUNCTION
        + _PLACE_AND_COMMIT,
        "committed_inside_the_block",
    ),
    wrong(
        "03.tell_the_truth",
        "closes without a rollback",
        """
def get_db():
    with SessionLocal() as db:
        yield db
        db.commit()

"""
        + _FUNCTION
        + _PLACE,
        "came_back",
    ),
    wrong(
        "03.tell_the_truth",
        "answers 500 to everybody",
        _GET_DB
        + _DEFAULT
        + """
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, db: SessionDep) -> dict[str, int]:
    raise HTTPException(500)
""",
    ),
    right(
        "03.tell_the_truth",
        "a generator that is async",
        """
async def get_db():
    with SessionLocal.begin() as db:
        yield db
"""
        + _FUNCTION
        + _PLACE,
    ),
    wrong(
        "03.tell_the_truth",
        "a scope that does not exist",
        _GET_DB + 'SessionDep = Annotated[Session, Depends(get_db, scope="endpoint")]\n' + _PLACE,
        "after_the_answer",
    ),
    wrong(
        "03.tell_the_truth",
        "reads the order back, in its own transaction",
        _GET_DB
        + _DEFAULT
        + _PLACE.replace(
            "    return",
            "    if db.get(Order, order.id) is None:\n        raise HTTPException(409)\n    return",
        ),
        "after_the_answer",
    ),
    wrong(
        "03.tell_the_truth",
        "two sessions, one of them in time",
        _GET_DB
        + _DEFAULT
        + _PLACE.replace(
            "db: SessionDep",
            'db: SessionDep, sound: Annotated[Session, Depends(get_db, scope="function")]',
        ),
        "after_the_answer",
    ),
    wrong(
        "03.tell_the_truth",
        "commits before the yield",
        _GET_DB.replace(
            "        yield db\n        db.commit()\n", "        db.commit()\n        yield db\n"
        )
        + _DEFAULT
        + _PLACE,
        "never_committed",
    ),
    wrong(
        "03.tell_the_truth",
        "returns a session, which nobody closes",
        "def get_db():\n    return SessionLocal()\n\n" + _DEFAULT + _PLACE_AND_COMMIT,
        "never_closed",
    ),
    wrong(
        "03.tell_the_truth",
        "a commit that jumps over the close",
        """
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.commit()
        db.close()
"""
        + _FUNCTION
        + _PLACE,
        "never_closed",
    ),
    # -- 03.savepoint_import ----------------------------------------------------------------------
    right(
        "03.savepoint_import",
        "savepoints by hand",
        _import(
            """
rejected = []
imported = 0
with HonestSession() as session:
    session.begin()
    for new in delivery:
        savepoint = session.begin_nested()
        try:
            session.add(Book(isbn=new.isbn, title=new.title, copies=new.copies))
            session.flush()
        except IntegrityError:
            savepoint.rollback()
            rejected.append(new.isbn)
        else:
            savepoint.commit()
            imported += 1
    try:
        session.commit()
    except Exception:
        session.rollback()
        raise
return {"imported": imported, "rejected": rejected}
"""
        ),
    ),
    right(
        "03.savepoint_import",
        "looks first, no savepoint",
        _import(
            """
from sqlalchemy import insert

with SessionLocal.begin() as session:
    isbns = [new.isbn for new in delivery]
    known = set(session.scalars(select(Book.isbn).where(Book.isbn.in_(isbns))))
    good, rejected = [], []
    for new in delivery:
        if new.isbn in known or new.copies < 0:
            rejected.append(new.isbn)
        else:
            known.add(new.isbn)
            good.append(new.model_dump())
    if good:
        session.execute(insert(Book), good)
return {"imported": len(good), "rejected": rejected}
"""
        ),
    ),
    right(
        "03.savepoint_import",
        "on conflict do nothing, counted",
        _import(
            """
from sqlalchemy.dialects.sqlite import insert

rejected = []
with engine.begin() as connection:
    for new in delivery:
        row = insert(Book).values(**new.model_dump(), version=1).on_conflict_do_nothing()
        if new.copies < 0 or connection.execute(row).rowcount == 0:
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
    ),
    right(
        "03.savepoint_import",
        "the try inside the savepoint",
        _import(
            """
rejected = []
with HonestSession.begin() as session:
    for new in delivery:
        with session.begin_nested():
            try:
                session.add(Book(**new.model_dump()))
                session.flush()
            except IntegrityError:
                rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
    ),
    wrong(
        "03.savepoint_import",
        "no try at all",
        _import(
            """
with HonestSession.begin() as session:
    for new in delivery:
        session.add(Book(**new.model_dump()))
return {"imported": len(delivery), "rejected": []}
"""
        ),
        "first_bad_row_ends_it",
    ),
    wrong(
        "03.savepoint_import",
        "a try around the add, where nothing is sent",
        _import(
            """
rejected = []
with HonestSession.begin() as session:
    for new in delivery:
        try:
            session.add(Book(**new.model_dump()))
        except IntegrityError:
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "first_bad_row_ends_it",
    ),
    wrong(
        "03.savepoint_import",
        "refuses the whole list",
        _import(
            """
try:
    with HonestSession.begin() as session:
        session.add_all(Book(**new.model_dump()) for new in delivery)
except IntegrityError:
    raise HTTPException(409, "There is a bad row in your list.")
return {"imported": len(delivery), "rejected": []}
"""
        ),
        "first_bad_row_ends_it",
    ),
    wrong(
        "03.savepoint_import",
        "rolls the session back",
        _import(
            """
rejected = []
with HonestSession() as session:
    for new in delivery:
        session.add(Book(**new.model_dump()))
        try:
            session.flush()
        except IntegrityError:
            session.rollback()
            rejected.append(new.isbn)
    session.commit()
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "rolled_back_everything",
    ),
    wrong(
        "03.savepoint_import",
        "goes on without a rollback",
        _import(
            """
rejected = []
with HonestSession.begin() as session:
    for new in delivery:
        session.add(Book(**new.model_dump()))
        try:
            session.flush()
        except IntegrityError:
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "pending_rollback",
    ),
    wrong(
        "03.savepoint_import",
        "one savepoint around the loop",
        _import(
            """
rejected = []
with HonestSession.begin() as session:
    try:
        with session.begin_nested():
            for new in delivery:
                session.add(Book(**new.model_dump()))
                session.flush()
    except IntegrityError:
        rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "one_savepoint_for_all",
    ),
    wrong(
        "03.savepoint_import",
        "a commit for each row",
        _import(
            """
rejected = []
with HonestSession() as session:
    for new in delivery:
        try:
            session.add(Book(**new.model_dump()))
            session.commit()
        except IntegrityError:
            session.rollback()
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "commit_per_row",
    ),
    wrong(
        "03.savepoint_import",
        "a transaction for each row",
        _import(
            """
rejected = []
for new in delivery:
    try:
        with HonestSession.begin() as session:
            session.add(Book(**new.model_dump()))
    except IntegrityError:
        rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "commit_per_row",
    ),
    wrong(
        "03.savepoint_import",
        "savepoints on the first engine",
        _import(
            """
rejected = []
with SessionLocal.begin() as session:
    for new in delivery:
        try:
            with session.begin_nested():
                session.add(Book(**new.model_dump()))
        except IntegrityError:
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "savepoint_without_begin",
    ),
    wrong(
        "03.savepoint_import",
        "forgets to commit",
        _import(
            """
rejected = []
with HonestSession() as session:
    for new in delivery:
        try:
            with session.begin_nested():
                session.add(Book(**new.model_dump()))
        except IntegrityError:
            rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "never_committed",
    ),
    wrong(
        "03.savepoint_import",
        "an upsert",
        _import(
            """
from sqlalchemy.dialects.sqlite import insert

rejected = []
with HonestSession.begin() as session:
    for new in delivery:
        if new.copies < 0:
            rejected.append(new.isbn)
            continue
        row = insert(Book).values(**new.model_dump(), version=1)
        session.execute(
            row.on_conflict_do_update(
                index_elements=["isbn"], set_={"title": new.title, "copies": new.copies}
            )
        )
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
        "overwrote",
    ),
    wrong(
        "03.savepoint_import",
        "insert or ignore, unreported",
        _import(
            """
from sqlalchemy import insert

with HonestSession.begin() as session:
    for new in delivery:
        session.execute(insert(Book).prefix_with("OR IGNORE"), [new.model_dump()])
return {"imported": len(delivery), "rejected": []}
"""
        ),
        "not_reported",
    ),
    wrong(
        "03.savepoint_import",
        "savepoints, with the commit in the default scope",
        """
class NewBook(BaseModel):
    isbn: str
    title: str
    copies: int

def honest_db():
    with HonestSession.begin() as session:
        yield session

app = FastAPI()

@app.post("/imports")
def import_books(delivery: list[NewBook], session: Annotated[Session, Depends(honest_db)]):
    rejected = []
    for new in delivery:
        try:
            with session.begin_nested():
                session.add(Book(**new.model_dump()))
        except IntegrityError:
            rejected.append(new.isbn)
    return {"imported": len(delivery) - len(rejected), "rejected": rejected}
""",
        "answered_too_soon",
    ),
    wrong(
        "03.savepoint_import",
        "reports in another shape",
        _import(
            """
rejected = []
with HonestSession.begin() as session:
    for new in delivery:
        try:
            with session.begin_nested():
                session.add(Book(**new.model_dump()))
        except IntegrityError as error:
            rejected.append({"isbn": new.isbn, "why": str(error.orig)})
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
    ),
    right(
        "03.savepoint_import",
        "all at once, and row by row where that fails",
        _import(
            """
rejected = []
with HonestSession.begin() as session:
    try:
        with session.begin_nested():
            session.add_all(Book(**new.model_dump()) for new in delivery)
    except IntegrityError:
        for new in delivery:
            try:
                with session.begin_nested():
                    session.add(Book(**new.model_dump()))
            except IntegrityError:
                rejected.append(new.isbn)
return {"imported": len(delivery) - len(rejected), "rejected": rejected}
"""
        ),
    ),
    wrong(
        "03.savepoint_import",
        "a savepoint, and a rollback of everything",
        _import(
            _ROW_BY_ROW.replace(
                "            rejected.append",
                "            session.rollback()\n            rejected.append",
            )
        ),
        "rolled_back_everything",
    ),
    wrong(
        "03.savepoint_import",
        "a savepoint without a try",
        _import(
            """
with HonestSession.begin() as session:
    for new in delivery:
        with session.begin_nested():
            session.add(Book(**new.model_dump()))
return {"imported": len(delivery), "rejected": []}
"""
        ),
        "first_bad_row_ends_it",
    ),
    wrong(
        "03.savepoint_import",
        "a schema that turns the list away",
        _import(_ROW_BY_ROW)
        .replace("copies: int\n", "copies: int = Field(ge=0)\n")
        .replace("class NewBook", "from pydantic import Field\n\nclass NewBook"),
        "turned_away_at_the_door",
    ),
    wrong(
        "03.savepoint_import",
        "one book, not a list",
        _import(_ROW_BY_ROW).replace("list[NewBook]", "NewBook"),
        "turned_away_at_the_door",
    ),
    wrong(
        "03.savepoint_import",
        "returns inside the loop",
        _import(_ROW_BY_ROW.replace("return", "        return")),
    ),
    wrong(
        "03.savepoint_import",
        "the last of two with one ISBN",
        _import(
            _ROW_BY_ROW.replace("in delivery:", "in {one.isbn: one for one in delivery}.values():")
        ),
    ),
    # -- 03.last_copy -----------------------------------------------------------------------------
    right(
        "03.last_copy",
        "a version, and 409 for the stale",
        _order(
            """
try:
    with SessionLocal.begin() as session:
        book = session.get(GuardedBook, new.book_id)
        if book is None:
            raise HTTPException(404, "No such book.")
        if book.copies < new.copies:
            raise HTTPException(409, "Sold out.")
        book.copies -= new.copies
        order = Order(**new.model_dump())
        session.add(order)
        session.flush()
        return {"id": order.id}
except StaleDataError:
    raise HTTPException(409, "Somebody was quicker.")
"""
        ),
    ),
    right(
        "03.last_copy",
        "a version, and another try",
        _order(
            """
for attempt in range(3):
    try:
        with SessionLocal.begin() as session:
            book = session.get(GuardedBook, new.book_id)
            if book is None:
                raise HTTPException(404, "No such book.")
            if book.copies < new.copies:
                raise HTTPException(409, "Sold out.")
            book.copies -= new.copies
            order = Order(**new.model_dump())
            session.add(order)
            session.flush()
            return {"id": order.id}
    except StaleDataError:
        continue
raise HTTPException(503, "Too busy.")
"""
        ),
    ),
    right(
        "03.last_copy",
        "BEGIN IMMEDIATE",
        """
counter_engine = make_engine("BEGIN IMMEDIATE")
CounterSession = sessionmaker(counter_engine)

"""
        + _order(
            "with CounterSession.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
    ),
    right(
        "03.last_copy",
        "BEGIN IMMEDIATE, said by hand",
        _order(
            "with SessionLocal.begin() as session:\n"
            '    session.connection().exec_driver_sql("BEGIN IMMEDIATE")\n'
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
    ),
    right(
        "03.last_copy",
        "subtracts in SQL and lets the CHECK decide",
        _order(
            """
try:
    with SessionLocal.begin() as session:
        book = session.get(Book, new.book_id)
        if book is None:
            raise HTTPException(404)
        book.copies = Book.copies - new.copies
        order = Order(**new.model_dump())
        session.add(order)
        session.flush()
        return {"id": order.id}
except IntegrityError:
    raise HTTPException(409, "Sold out.")
"""
        ),
    ),
    wrong(
        "03.last_copy",
        "asks for a row lock, which SQLite has not",
        _order(
            """
with SessionLocal.begin() as session:
    book = session.get(Book, new.book_id, with_for_update=True)
    if book is None:
        raise HTTPException(404)
    if book.copies < new.copies:
        raise HTTPException(409)
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "read_then_wrote",
    ),
    wrong(
        "03.last_copy",
        "looks twice",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    session.refresh(book)
    if book.copies < new.copies:
        raise HTTPException(409)
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "read_then_wrote",
    ),
    wrong(
        "03.last_copy",
        "ignores the row count",
        _order(
            """
with SessionLocal.begin() as session:
    if session.get(Book, new.book_id) is None:
        raise HTTPException(404)
    session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "ignored_the_count",
    ),
    wrong(
        "03.last_copy",
        "checks first, then ignores the row count",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "ignored_the_count",
    ),
    wrong(
        "03.last_copy",
        "a lock in Python",
        """
import threading

till = threading.Lock()

"""
        + _order(
            "with till, SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "locked_in_python",
    ),
    wrong(
        "03.last_copy",
        "a version, and nobody catches it",
        _order(
            """
with SessionLocal.begin() as session:
    book = session.get(GuardedBook, new.book_id)
    if book is None:
        raise HTTPException(404)
    if book.copies < new.copies:
        raise HTTPException(409)
    book.copies -= new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "loser_heard_500",
    ),
    wrong(
        "03.last_copy",
        "subtracts in SQL after a look, and nobody catches the CHECK",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    book.copies = Book.copies - new.copies
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "loser_heard_500",
    ),
    wrong(
        "03.last_copy",
        "forgets to commit",
        _order(
            """
with SessionLocal() as session:
    taken = session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    if taken.rowcount == 0:
        there = session.get(Book, new.book_id)
        raise HTTPException(409 if there else 404)
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
        "never_committed",
    ),
    wrong(
        "03.last_copy",
        "a 409 for a book that never was",
        _order(
            """
with SessionLocal.begin() as session:
    taken = session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    if taken.rowcount == 0:
        raise HTTPException(409)
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
    ),
    right(
        "03.last_copy",
        "compares the copies with those it has read",
        _order(
            "with SessionLocal.begin() as session:\n"
            + _READ_AND_CHECK
            + """\
    taken = session.execute(
        update(Book)
        .where(Book.id == book.id, Book.copies == book.copies)
        .values(copies=book.copies - new.copies)
    )
    if taken.rowcount != 1:
        raise HTTPException(409)
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {"id": order.id}
"""
        ),
    ),
    wrong(
        "03.last_copy",
        "takes one, whatever was ordered",
        _order(_TAKE.replace(">= new.copies", ">= 1").replace("- new.copies", "- 1")),
    ),
    wrong(
        "03.last_copy",
        "never sells the last",
        _order(_TAKE.replace(">= new.copies", "> new.copies")),
    ),
    wrong(
        "03.last_copy",
        "from whichever shelf has enough",
        _order(_TAKE.replace("Book.id == new.book_id, ", "")),
        "from_every_shelf",
    ),
    wrong(
        "03.last_copy",
        "returns the exceptions",
        _order(_TAKE.replace("raise", "return")),
        "returned_not_raised",
    ),
    wrong(
        "03.last_copy",
        "a 201 for nothing",
        _order(_TAKE.replace("raise HTTPException(409)", 'return {"id": 0}')),
    ),
    wrong(
        "03.last_copy",
        "answers without an id",
        _order(_TAKE.replace('{"id": order.id}', "{}")),
    ),
    wrong(
        "03.last_copy",
        "remembers what it has sold",
        "sold = set()\n\n"
        + _order(
            """
if new.book_id in sold:
    raise HTTPException(409)
sold.add(new.book_id)
with SessionLocal.begin() as session:
"""
            + _READ_AND_CHECK
            + _SELL.replace(', "copies_left": book.copies', "")
        ),
        "locked_in_python",
    ),
    wrong(
        "03.last_copy",
        "a TODO left",
        _order("return {'id': TODO}"),
        status=Status.NOT_ATTEMPTED,
    ),
)
