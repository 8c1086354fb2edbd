"""Answers to lesson 06, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong
from checks.verdict import Status


def _under(head: str, body: str) -> str:
    indented = "\n".join(f"    {line}" if line else "" for line in body.strip().splitlines())
    return f"{head}\n{indented}\n"


# -- 06.gauge -----------------------------------------------------------------------------------
_GAUGE = """\
@dataclass
class Gauge:
    now: int = 0
    most: int = 0

"""


def _watch(body: str) -> str:
    return _GAUGE + _under("def watch(engine: Engine) -> Gauge:", body)


_COUNTING = """
gauge = Gauge()

@event.listens_for(TARGET, "OUT")
def one_more(*args):
    gauge.now += 1
    gauge.most = max(gauge.most, gauge.now)

@event.listens_for(TARGET, "BACK")
def one_less(*args):
    gauge.now -= 1

return gauge
"""


def _counting(target: str = "engine", out: str = "checkout", back: str = "checkin") -> str:
    return _watch(_COUNTING.replace("TARGET", target).replace("OUT", out).replace("BACK", back))


# -- 06.leak ------------------------------------------------------------------------------------
_MAILS = """\
app = FastAPI()
mails: list[str] = []

"""

_CONFIRM = """\
def confirm(order_id: int) -> None:
    with SessionLocal() as session:
        order = session.get_one(Order, order_id)
        mails.append(f"Order {order.id}: {order.copies} copies")

"""

_CONFIRM_WITH_THEIRS = """\
def confirm(session: Session, order_id: int) -> None:
    order = session.get_one(Order, order_id)
    mails.append(f"Order {order.id}: {order.copies} copies")

"""

_SHOW = """\
@app.get("/books/{book_id}")
def show_book(book_id: int) -> dict[str, Any]:
    with SessionLocal() as session:
        book = session.get(Book, book_id)
        if book is None:
            raise HTTPException(404, "No such book.")
        return {"title": book.title, "copies": book.copies}

"""

_SHOW_LEAKING = """\
@app.get("/books/{book_id}")
def show_book(book_id: int) -> dict[str, Any]:
    session = SessionLocal()
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    shown = {"title": book.title, "copies": book.copies}
    session.close()
    return shown

"""

_EXPORT = """\
@app.get("/stock.csv")
def export_stock() -> StreamingResponse:
    def lines() -> Iterator[str]:
        with SessionLocal() as session:
            for book in session.scalars(select(Book).order_by(Book.id)):
                yield f"{book.isbn},{book.copies}\\n"

    return StreamingResponse(lines(), media_type="text/csv")

"""

_PLACE = """\
@app.post("/orders", status_code=201)
def place_order(new: NewOrder, session: SessionDep, tasks: BackgroundTasks) -> dict[str, int]:
    if session.get(Book, new.book_id) is None:
        raise HTTPException(404, "No such book.")
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    tasks.add_task(confirm, order.id)
    return {"id": order.id}
"""

_PLACE_HANDING_ON = _PLACE.replace("confirm, order.id", "confirm, session, order.id")


def _leak(
    confirm: str = _CONFIRM, show: str = _SHOW, place: str = _PLACE, export: str = _EXPORT
) -> str:
    return _MAILS + confirm + show + export + place


# -- 06.let_go ----------------------------------------------------------------------------------
def _order(body: str) -> str:
    return _under(
        """\
app = FastAPI()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder) -> dict[str, int]:""",
        body,
    )


_READ = """\
with SessionLocal() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    if book.copies < new.copies:
        raise HTTPException(409, "Not enough copies.")
    isbn = book.isbn
"""

_ASK = "total = supplier.price(isbn) * new.copies\n"

_TAKE = """\
with SessionLocal.begin() as session:
    taken = session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    if taken.rowcount == 0:
        raise HTTPException(409, "Not enough copies.")
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""

_HELD = """\
with SessionLocal.begin() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    if book.copies < new.copies:
        raise HTTPException(409, "Not enough copies.")
    book.copies -= new.copies
    total = supplier.price(book.isbn) * new.copies
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""


# -- 06.sizing ----------------------------------------------------------------------------------
def _sized(settings: str) -> str:
    return f"def make_engine(url: str) -> Engine:\n    return create_engine(url, {settings})\n"


# -- 06.restart ---------------------------------------------------------------------------------
def _live(
    engine: str = "create_engine(URL, pool_pre_ping=True)",
    handler: str = "",
    dependency: str = """\
def get_live_session() -> Iterator[Session]:
    with LiveSession.begin() as session:
        yield session
""",
) -> str:
    return f"""\
live_engine = {engine}
LiveSession = sessionmaker(live_engine)

{dependency}
LiveDep = Annotated[Session, Depends(get_live_session, scope="function")]

app = FastAPI()

@app.get("/books/{{book_id}}")
def show_book(book_id: int, session: LiveDep) -> str:
    return session.scalars(select(Book.title).where(Book.id == book_id)).one()

@app.post("/orders", status_code=201)
def place_order(new: NewOrder, session: LiveDep) -> dict[str, int]:
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    return {{"id": order.id}}

{handler}"""


_HANDLER = """\
@app.exception_handler(DBAPIError)
def database_failed(request: Request, error: DBAPIError) -> JSONResponse:
    if not error.connection_invalidated:
        raise error
    return JSONResponse({"detail": "Please try again."}, status_code=503)
"""

_ALL_503 = """\
@app.exception_handler(DBAPIError)
def database_failed(request: Request, error: DBAPIError) -> JSONResponse:
    return JSONResponse({"detail": "Please try again."}, status_code=503)
"""

ANSWERS: tuple[Answer, ...] = (
    # -- 06.gauge ---------------------------------------------------------------------------------
    right("06.gauge", "listens to the pool", _counting("engine.pool")),
    right(
        "06.gauge",
        "keeps the set of those that are out",
        _watch(
            """
gauge = Gauge()
out = set()

def took(dbapi_connection, record, proxy):
    out.add(id(record))
    gauge.now = len(out)
    if gauge.now > gauge.most:
        gauge.most = gauge.now

def returned(dbapi_connection, record):
    out.discard(id(record))
    gauge.now = len(out)

event.listen(engine, "checkout", took)
event.listen(engine, "checkin", returned)
return gauge
"""
        ),
    ),
    right(
        "06.gauge",
        "a gauge that asks the pool",
        """
class Gauge:
    def __init__(self, engine):
        self.engine = engine
        self.most = 0
        event.listen(engine, "checkout", self.look)

    @property
    def now(self):
        return self.engine.pool.checkedout()

    def look(self, *args):
        self.most = max(self.most, self.now)

def watch(engine):
    return Gauge(engine)
""",
    ),
    wrong(
        "06.gauge",
        "connect and close",
        _counting(out="connect", back="close"),
        "counted_the_opened",
    ),
    wrong("06.gauge", "connect and checkin", _counting(out="connect")),
    wrong("06.gauge", "all engines there are", _counting("Engine"), "listens_to_everybody"),
    wrong(
        "06.gauge",
        "nobody listens to checkin",
        _watch(
            """
gauge = Gauge()

@event.listens_for(engine, "checkout")
def one_more(*args):
    gauge.now += 1
    gauge.most = max(gauge.most, gauge.now)

return gauge
"""
        ),
        "never_comes_down",
    ),
    wrong(
        "06.gauge",
        "asks the pool once",
        _watch("return Gauge(engine.pool.checkedout(), engine.pool.checkedout())"),
        "looked_once",
    ),
    wrong(
        "06.gauge",
        "asks the pool at each event",
        _counting()
        .replace("gauge.now += 1", "gauge.now = engine.pool.checkedout()")
        .replace("gauge.now -= 1", "gauge.now = engine.pool.checkedout()"),
        "asked_the_pool_too_early",
    ),
    wrong(
        "06.gauge",
        "counts all that were ever lent",
        _counting().replace("gauge.most = max(gauge.most, gauge.now)", "gauge.most += 1"),
        "most_is_a_total",
    ),
    wrong(
        "06.gauge",
        "the most is the current",
        _counting()
        .replace("max(gauge.most, gauge.now)", "gauge.now")
        .replace("    gauge.now -= 1", "    gauge.now -= 1\n        gauge.most = gauge.now"),
        "most_forgets",
    ),
    wrong(
        "06.gauge",
        "a listener without arguments",
        _counting().replace("one_more(*args)", "one_more()"),
    ),
    wrong(
        "06.gauge",
        "nothing for checkin to hand over",
        _counting().replace("one_less(*args)", "one_less()"),
    ),
    wrong("06.gauge", "gives nothing back", _counting().replace("return gauge", "")),
    wrong("06.gauge", "gives a dictionary back", _watch('return {"now": 0, "most": 0}')),
    wrong(
        "06.gauge",
        "needs two arguments",
        _GAUGE + "def watch(engine, gauge):\n    return gauge\n",
    ),
    wrong(
        "06.gauge",
        "a TODO left",
        _counting(out="checkout").replace('"checkin"', "TODO"),
        status=Status.NOT_ATTEMPTED,
    ),
    # -- 06.leak ----------------------------------------------------------------------------------
    right(
        "06.leak",
        "try and finally",
        _leak(
            confirm="""\
def confirm(order_id):
    session = SessionLocal()
    try:
        order = session.get_one(Order, order_id)
        mails.append(f"Order {order.id}: {order.copies} copies")
    finally:
        session.close()

""",
            show="""\
@app.get("/books/{book_id}")
def show_book(book_id: int):
    session = SessionLocal()
    try:
        book = session.get(Book, book_id)
        if book is None:
            raise HTTPException(404)
        return {"title": book.title, "copies": book.copies}
    finally:
        session.close()

""",
        ),
    ),
    right(
        "06.leak",
        "the dependency everywhere; the task is given what it needs to say",
        _leak(
            confirm="""\
def confirm(order_id, copies):
    mails.append(f"Order {order_id}: {copies} copies")

""",
            show="""\
@app.get("/books/{book_id}")
def show_book(book_id: int, session: SessionDep):
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404)
    return {"title": book.title, "copies": book.copies}

""",
            place=_PLACE.replace("confirm, order.id", "confirm, order.id, order.copies"),
        ),
    ),
    right(
        "06.leak",
        "closes before it raises, and the task closes what it was given",
        _leak(
            confirm=_CONFIRM_WITH_THEIRS.rstrip("\n") + "\n    session.close()\n\n",
            show=_SHOW_LEAKING.replace("        raise", "        session.close()\n        raise"),
            place=_PLACE_HANDING_ON,
        ),
    ),
    wrong(
        "06.leak",
        "mends the task only",
        _leak(show=_SHOW_LEAKING),
        "raised_past_close",
    ),
    wrong(
        "06.leak",
        "mends the book only",
        _leak(confirm=_CONFIRM_WITH_THEIRS, place=_PLACE_HANDING_ON),
        "used_after_it_was_closed",
    ),
    wrong(
        "06.leak",
        "the task takes the dependency's first",
        _leak(
            confirm="""\
def confirm(order_id):
    session = next(get_session())
    order = session.get_one(Order, order_id)
    mails.append(f"Order {order.id}: {order.copies} copies")

"""
        ),
        "dropped_its_generator",
    ),
    wrong(
        "06.leak",
        "the task asks for a dependency",
        _leak(
            confirm="""\
def confirm(order_id: int, session: SessionDep):
    order = session.get_one(Order, order_id)
    mails.append(f"Order {order.id}: {order.copies} copies")

"""
        ),
        "a_dependency_in_a_task",
    ),
    wrong(
        "06.leak",
        "a larger pool",
        "SessionLocal = sessionmaker(create_engine(URL, pool_size=50))\n"
        + _leak(_CONFIRM_WITH_THEIRS, _SHOW_LEAKING, _PLACE_HANDING_ON),
        "another_pool",
    ),
    wrong(
        "06.leak",
        "an engine of its own with a larger pool",
        "roomy = create_engine(URL, pool_size=50)\nSessionLocal = sessionmaker(roomy)\n"
        + _leak(_CONFIRM_WITH_THEIRS, _SHOW_LEAKING, _PLACE_HANDING_ON),
        "raised_past_close",
    ),
    wrong(
        "06.leak",
        "the task opens one and does not close it",
        _leak(
            confirm="""\
def confirm(order_id):
    session = SessionLocal()
    order = session.get_one(Order, order_id)
    mails.append(f"Order {order.id}: {order.copies} copies")

"""
        ),
        "task_forgets_to_close",
    ),
    wrong(
        "06.leak",
        "sessions that stay closed, and a task that does not know",
        """\
Mortal = sessionmaker(engine, close_resets_only=False)

def get_mortal():
    with Mortal.begin() as session:
        yield session

MortalDep = Annotated[Session, Depends(get_mortal, scope="function")]
"""
        + _leak(
            confirm=_CONFIRM_WITH_THEIRS,
            place=_PLACE_HANDING_ON.replace("SessionDep", "MortalDep"),
        ),
        "the_task_has_no_session",
    ),
    wrong(
        "06.leak",
        "the task is given the order",
        _leak(
            confirm="""\
def confirm(order):
    mails.append(f"Order {order.id}: {order.copies} copies")

""",
            place=_PLACE.replace("confirm, order.id", "confirm, order"),
        ),
        "mailed_a_ghost",
    ),
    wrong(
        "06.leak",
        "in the default scope, where the session is still open",
        """\
LateDep = Annotated[Session, Depends(get_session)]
"""
        + _leak(
            confirm=_CONFIRM_WITH_THEIRS,
            place=_PLACE_HANDING_ON.replace("SessionDep", "LateDep"),
        ),
        "mailed_before_it_was_kept",
    ),
    wrong(
        "06.leak",
        "the mail is sent at once, through the session that is there",
        _leak(
            confirm=_CONFIRM_WITH_THEIRS,
            place=_PLACE_HANDING_ON.replace(
                "tasks.add_task(confirm, session, order.id)", "confirm(session, order.id)"
            ),
        ),
        "mailed_before_it_was_kept",
    ),
    wrong(
        "06.leak",
        "no task any more",
        _leak(place=_PLACE.replace("tasks.add_task(confirm, order.id)", "confirm(order.id)")),
        "looked_too_early",
    ),
    wrong(
        "06.leak",
        "no mail any more",
        _leak(place=_PLACE.replace("    tasks.add_task(confirm, order.id)\n", "")),
    ),
    wrong(
        "06.leak",
        "nothing is a 404",
        _leak(show=_SHOW.replace('raise HTTPException(404, "No such book.")', "return {}")),
    ),
    wrong(
        "06.leak",
        "collects garbage instead",
        _leak(
            show=_SHOW_LEAKING.replace("        raise", "        gc.collect()\n        raise"),
        ),
        "raised_past_close",
    ),
    wrong(
        "06.leak",
        "the stock list leaks now",
        _leak(
            export="""\
@app.get("/stock.csv")
def export_stock() -> StreamingResponse:
    session = SessionLocal()
    books = session.scalars(select(Book).order_by(Book.id))
    return StreamingResponse(f"{book.isbn},{book.copies}\\n" for book in books)

"""
        ),
    ),
    wrong(
        "06.leak",
        "answers nonsense",
        _MAILS + '@app.get("/books/{b}")\ndef show(b: int):\n    return None\n',
    ),
    # -- 06.let_go --------------------------------------------------------------------------------
    right("06.let_go", "looks twice; the UPDATE decides", _order(_READ + _ASK + _TAKE)),
    right(
        "06.let_go",
        "one session, committed before the call, and a fresh look after it",
        _order(
            """
with SessionLocal() as session:
    isbn = session.scalar(select(Book.isbn).where(Book.id == new.book_id))
    session.commit()
    if isbn is None:
        raise HTTPException(404)
    total = supplier.price(isbn) * new.copies
    book = session.get_one(Book, new.book_id)
    if book.copies < new.copies:
        raise HTTPException(409)
    book.copies -= new.copies
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.commit()
    return {"id": order.id, "total": total}
"""
        ),
    ),
    right(
        "06.let_go",
        "the session's objects kept after the commit; the CHECK decides",
        _order(
            """
with SessionLocal(expire_on_commit=False) as session:
    book = session.get(Book, new.book_id)
    if not book:
        raise HTTPException(404)
if book.copies < new.copies:
    raise HTTPException(409)
total = supplier.price(book.isbn) * new.copies
try:
    with SessionLocal.begin() as session:
        session.execute(
            update(Book).where(Book.id == book.id).values(copies=Book.copies - new.copies)
        )
        order = Order(book_id=book.id, copies=new.copies, total=total)
        session.add(order)
        session.flush()
        return {"id": order.id, "total": total}
except DBAPIError:
    raise HTTPException(409)
"""
        ),
    ),
    right(
        "06.let_go",
        "an async endpoint that calls elsewhere",
        """
from fastapi.concurrency import run_in_threadpool

app = FastAPI()

def read(book_id):
    with engine.connect() as connection:
        return connection.scalar(select(Book.isbn).where(Book.id == book_id))

def write(new, total):
"""
        + "\n".join(f"    {line}" for line in _TAKE.splitlines())
        + """

@app.post("/orders", status_code=201)
async def place_order(new: NewOrder):
    isbn = await run_in_threadpool(read, new.book_id)
    if isbn is None:
        raise HTTPException(404)
    price = await run_in_threadpool(supplier.price, isbn=isbn)
    return await run_in_threadpool(write, new, price * new.copies)
""",
    ),
    right(
        "06.let_go",
        "takes the copies first and puts them back when the supplier fails",
        _order(
            """
take = (
    update(Book)
    .where(Book.id == new.book_id, Book.copies >= new.copies)
    .values(copies=Book.copies - new.copies)
)
with SessionLocal() as session:
    isbn = session.scalar(select(Book.isbn).where(Book.id == new.book_id))
if isbn is None:
    raise HTTPException(404)
total = supplier.price(isbn) * new.copies
with engine.begin() as connection:
    if connection.execute(take).rowcount == 0:
        raise HTTPException(409)
    values = new.model_dump() | {"total": total}
    from sqlalchemy import insert
    made = connection.execute(insert(Order).values(**values))
    return {"id": made.inserted_primary_key[0], "total": total}
"""
        ),
    ),
    wrong("06.let_go", "as it came, without the flush", _order(_HELD), "held_across_the_call"),
    wrong(
        "06.let_go",
        "asks first thing inside the block",
        _order(
            """
with SessionLocal.begin() as session:
    isbn = session.scalar(select(Book.isbn).where(Book.id == new.book_id))
    if isbn is None:
        raise HTTPException(404)
    total = supplier.price(isbn) * new.copies
"""
            + "\n".join(f"    {line}" for line in _TAKE.splitlines()[1:])
            .replace("        ", "    ", 1)
            .replace("\n        ", "\n    ")
        ),
        "held_across_the_call",
    ),
    wrong(
        "06.let_go",
        "a session for each step, and the first one open all along",
        _order(
            _READ.replace(
                "    isbn = book.isbn\n", "    total = supplier.price(book.isbn) * new.copies\n"
            )
            + _TAKE
        ),
        "held_across_the_call",
    ),
    wrong(
        "06.let_go",
        "commits, then reads the book's ISBN",
        _order(
            """
with SessionLocal() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404)
    session.commit()
    total = supplier.price(book.isbn) * new.copies
    if book.copies < new.copies:
        raise HTTPException(409)
    book.copies -= new.copies
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.commit()
    return {"id": order.id, "total": total}
"""
        ),
        "took_it_again",
    ),
    wrong(
        "06.let_go",
        "changes the book that was read",
        _order(
            _READ
            + _ASK
            + """\
with SessionLocal.begin() as session:
    book.copies -= new.copies
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""
        ),
        "changed_what_nobody_keeps",
    ),
    wrong(
        "06.let_go",
        "lets go, and writes what it had worked out",
        _order(
            """
with SessionLocal() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404)
    if book.copies < new.copies:
        raise HTTPException(409)
    isbn, left = book.isbn, book.copies - new.copies
total = supplier.price(isbn) * new.copies
with SessionLocal.begin() as session:
    session.execute(update(Book).where(Book.id == new.book_id).values(copies=left))
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""
        ),
        "sold_what_was_gone",
    ),
    wrong(
        "06.let_go",
        "lets go, and subtracts from whatever is there",
        _order(
            _READ
            + _ASK
            + """\
with SessionLocal.begin() as session:
    session.get_one(Book, new.book_id).copies -= new.copies
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""
        ),
        "left_it_to_the_check",
    ),
    wrong(
        "06.let_go",
        "commits inside begin",
        _order(
            """
with SessionLocal.begin() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404)
    if book.copies < new.copies:
        raise HTTPException(409)
    book.copies -= new.copies
    session.commit()
    total = supplier.price(book.isbn) * new.copies
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""
        ),
        "committed_inside_begin",
    ),
    wrong(
        "06.let_go",
        "reads after the block",
        _order(
            """
with SessionLocal() as session:
    book = session.get(Book, new.book_id)
    if book is None:
        raise HTTPException(404)
    if book.copies < new.copies:
        raise HTTPException(409)
    session.commit()
total = supplier.price(book.isbn) * new.copies
"""
            + _TAKE
        ),
        "read_after_the_end",
    ),
    wrong(
        "06.let_go",
        "takes the copies, calls, then writes the order",
        _order(
            """
with SessionLocal.begin() as session:
    isbn = session.scalar(select(Book.isbn).where(Book.id == new.book_id))
    if isbn is None:
        raise HTTPException(404)
    taken = session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    if taken.rowcount == 0:
        raise HTTPException(409)
total = supplier.price(isbn) * new.copies
with SessionLocal.begin() as session:
    order = Order(**new.model_dump(), total=total)
    session.add(order)
    session.flush()
    return {"id": order.id, "total": total}
"""
        ),
        "took_the_copies_first",
    ),
    wrong(
        "06.let_go",
        "orders first, and enters the price later",
        _order(
            """
with SessionLocal() as session:
    isbn = session.scalar(select(Book.isbn).where(Book.id == new.book_id))
if isbn is None:
    raise HTTPException(404)
with SessionLocal.begin() as session:
    if session.get_one(Book, new.book_id).copies < new.copies:
        raise HTTPException(409)
    order = Order(**new.model_dump())
    session.add(order)
    session.flush()
    number = order.id
total = supplier.price(isbn) * new.copies
with SessionLocal.begin() as session:
    taken = session.execute(
        update(Book)
        .where(Book.id == new.book_id, Book.copies >= new.copies)
        .values(copies=Book.copies - new.copies)
    )
    if taken.rowcount == 0:
        session.delete(session.get_one(Order, number))
        session.commit()
        raise HTTPException(409)
    session.get_one(Order, number).total = total
return {"id": number, "total": total}
"""
        ),
        "ordered_before_the_price",
    ),
    wrong("06.let_go", "makes the price up", _order(_READ + "total = 0\n" + _TAKE)),
    wrong("06.let_go", "nonsense", _order("return None")),
    # -- 06.sizing --------------------------------------------------------------------------------
    right(
        "06.sizing", "all kept, no overflow", _sized("pool_size=6, max_overflow=0, pool_timeout=2")
    ),
    right(
        "06.sizing",
        "five, and quick to refuse",
        _sized("pool_size=4, max_overflow=1, pool_timeout=0.5, pool_pre_ping=True"),
    ),
    right(
        "06.sizing",
        "worked out in the function",
        """
def make_engine(url):
    may = (100 - 3 - 25) // (2 * 4 + 4)
    kept = round(60 * 0.05)
    return create_engine(
        url, poolclass=QueuePool, pool_size=kept, max_overflow=may - kept, pool_timeout=5
    )
""",
    ),
    wrong(
        "06.sizing",
        "as it comes",
        "def make_engine(url):\n    return create_engine(url)\n",
        "forgot_the_overflow",
    ),
    wrong(
        "06.sizing",
        "forgets the overflow",
        _sized("pool_size=6, pool_timeout=3"),
        "forgot_the_overflow",
    ),
    wrong("06.sizing", "no pool at all", _sized("poolclass=NullPool"), "has_no_limit"),
    wrong(
        "06.sizing",
        "overflow without end",
        _sized("pool_size=3, max_overflow=-1, pool_timeout=3"),
        "has_no_limit",
    ),
    wrong(
        "06.sizing",
        "zero, to be safe",
        _sized("pool_size=0, max_overflow=0, pool_timeout=3"),
        "has_no_limit",
    ),
    wrong(
        "06.sizing",
        "the whole server in each",
        _sized("pool_size=72, max_overflow=0, pool_timeout=3"),
        "has_no_limit",
    ),
    wrong(
        "06.sizing",
        "one for each thread",
        _sized("pool_size=40, max_overflow=0, pool_timeout=3"),
        "one_for_each_thread",
    ),
    wrong(
        "06.sizing",
        "divides by eight",
        _sized("pool_size=5, max_overflow=4, pool_timeout=3"),
        "forgot_the_deploy",
    ),
    wrong(
        "06.sizing",
        "divides a hundred by twelve",
        _sized("pool_size=8, max_overflow=0, pool_timeout=3"),
        "forgot_the_others",
    ),
    wrong(
        "06.sizing",
        "for a normal day only",
        _sized("pool_size=3, max_overflow=0, pool_timeout=3"),
        "starves_in_the_rush",
    ),
    wrong(
        "06.sizing",
        "almost all overflow",
        _sized("pool_size=1, max_overflow=5, pool_timeout=3"),
        "opens_all_day",
    ),
    wrong(
        "06.sizing",
        "waits as long as it comes",
        _sized("pool_size=3, max_overflow=3"),
        "waits_too_long",
    ),
    wrong(
        "06.sizing",
        "waits for ever",
        _sized("pool_size=3, max_overflow=3, pool_timeout=None"),
        "waits_too_long",
    ),
    wrong("06.sizing", "twenty each", _sized("pool_size=20, max_overflow=0, pool_timeout=3")),
    wrong("06.sizing", "gives nothing back", "def make_engine(url):\n    create_engine(url)\n"),
    wrong(
        "06.sizing",
        "an option of another driver",
        _sized("pool_size=5, max_overflow=1, pool_timeout=3, connect_args={'connect_timeout': 3}"),
    ),
    wrong("06.sizing", "a TODO left", _sized("pool_size=TODO"), status=Status.NOT_ATTEMPTED),
    # -- 06.restart -------------------------------------------------------------------------------
    right(
        "06.restart",
        "the dependency answers",
        _live(
            dependency="""\
def get_live_session():
    try:
        with LiveSession.begin() as session:
            yield session
    except DBAPIError as error:
        if error.connection_invalidated:
            raise HTTPException(503, "Please try again.") from error
        raise
"""
        ),
    ),
    right(
        "06.restart",
        "no pool, so nothing dead in it",
        _live("create_engine(URL, poolclass=NullPool)", _HANDLER),
    ),
    right(
        "06.restart",
        "asks by itself when a connection is lent",
        _live(
            """create_engine(URL)

@event.listens_for(live_engine, "checkout")
def alive(dbapi_connection, record, proxy):
    from sqlalchemy.exc import DisconnectionError
    try:
        dbapi_connection.execute("SELECT 1")
    except Exception:
        raise DisconnectionError()
""",
            _HANDLER,
        ),
    ),
    right(
        "06.restart",
        "tries the request again",
        """
live_engine = create_engine(URL, pool_pre_ping=True)
LiveSession = sessionmaker(live_engine)

def in_transaction(work):
    for attempt in (1, 2):
        try:
            with LiveSession.begin() as session:
                return work(session)
        except DBAPIError as error:
            if attempt == 2 or not error.connection_invalidated:
                raise

app = FastAPI()

@app.get("/books/{book_id}")
def show_book(book_id: int) -> str:
    return in_transaction(
        lambda session: session.scalars(select(Book.title).where(Book.id == book_id)).one()
    )

@app.post("/orders", status_code=201)
def place_order(new: NewOrder) -> dict[str, int]:
    def work(session):
        order = Order(**new.model_dump())
        session.add(order)
        session.flush()
        return {"id": order.id}

    return in_transaction(work)
""",
    ),
    wrong(
        "06.restart",
        "recycles",
        _live("create_engine(URL, pool_recycle=300)", _HANDLER),
        "replaced_by_age",
    ),
    wrong(
        "06.restart",
        "a 503 for the first one",
        _live("create_engine(URL)", _HANDLER),
        "the_first_one_pays",
    ),
    wrong(
        "06.restart",
        "throws the pool away when it hears of it",
        _live(
            "create_engine(URL)",
            """\
@app.exception_handler(DBAPIError)
def database_failed(request: Request, error: DBAPIError) -> JSONResponse:
    if not error.connection_invalidated:
        raise error
    live_engine.dispose()
    return JSONResponse({"detail": "Please try again."}, status_code=503)
""",
        ),
        "the_first_one_pays",
    ),
    wrong("06.restart", "pre-ping alone", _live(), "went_by_its_class"),
    wrong(
        "06.restart",
        "an OperationalError, as with PostgreSQL",
        "from sqlalchemy.exc import OperationalError\n"
        + _live(handler=_HANDLER.replace("DBAPIError", "OperationalError")),
        "went_by_its_class",
    ),
    wrong("06.restart", "503 for everything", _live(handler=_ALL_503), "every_error_a_503"),
    wrong(
        "06.restart",
        "swallows it",
        _live(
            dependency="""\
def get_live_session():
    try:
        with LiveSession.begin() as session:
            yield session
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
""",
        ).replace(
            """\
    session.add(order)
    session.flush()
    return""",
            """\
    session.add(order)
    try:
        session.flush()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return {"id": 0}
    return""",
        ),
        "said_yes_to_a_lost_order",
    ),
    wrong(
        "06.restart",
        "reads from nowhere",
        _live(handler=_HANDLER)
        .replace("select(Book.title)", "select(Book.isbn)")
        .replace(".one()", ".one().nothing"),
    ),
)
