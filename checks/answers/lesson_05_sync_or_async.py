"""Answers to lesson 05, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

# -- 05.predict --------------------------------------------------------------------------------


def _prediction(**said: str) -> str:
    truth = {
        "a": '("thread", 40)',
        "b": '("thread", 10)',
        "c": '("blocked", 1)',
        "d": '("thread", 10)',
        "e": '("awaited", 10)',
        "f": '("blocked", 1)',
    }
    lines = "".join(f'    "/{path}": {pair},\n' for path, pair in (truth | said).items())
    return f"prediction = {{\n{lines}}}\n"


# -- 05.least_change ---------------------------------------------------------------------------
_SESSION = """\
def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


def in_stock(session: Session, isbn: str) -> int:
    return session.scalar(select(Book.copies).where(Book.isbn == isbn)) or 0


app = FastAPI()

"""

_ORDERING = """\
    if in_stock(session, isbn) == 0:
        raise HTTPException(409, "Sold out.")
    session.execute(update(Book).where(Book.isbn == isbn).values(copies=Book.copies - 1))
    order = Order(isbn=isbn)
    session.add(order)
    session.flush()
    return {"id": order.id}
"""


def _shop(copies: str, order: str, before: str = _SESSION) -> str:
    return (
        before
        + f'@app.get("/books/{{isbn}}/copies")\n{copies}\n\n'
        + f'@app.post("/books/{{isbn}}/orders", status_code=201)\n{order}'
    )


_DEF_COPIES = """\
def read_copies(isbn: str, session: SessionDep) -> int:
    return in_stock(session, isbn)
"""

_ASYNC_COPIES = "async " + _DEF_COPIES

_DEF_ORDER = "def place_order(isbn: str, session: SessionDep) -> dict[str, int]:\n" + _ORDERING

_ASYNC_ORDER = "async " + _DEF_ORDER

# -- 05.find_it --------------------------------------------------------------------------------
_COPIES_LEFT = """\
def copies_left(isbn: str) -> int:
    with SessionLocal() as session:
        return session.scalar(select(Book.copies).where(Book.isbn == isbn)) or 0

"""

_HOURS = """\
def opening_hours() -> str:
    with SessionLocal() as session:
        books = session.scalar(select(func.count()).select_from(Book)) or 0
    return "open" if books else "closed"

"""

_ASYNC_DEP = """\
async def get_async_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSessionLocal.begin() as session:
        yield session


AsyncDep = Annotated[AsyncSession, Depends(get_async_session, scope="function")]

"""

_VISIT_AS_IT_WAS = """\
async def remember_visit(isbn: str) -> None:
    with SessionLocal.begin() as session:
        session.add(Visit(page=isbn))

"""

_VISIT_IN_A_THREAD = _VISIT_AS_IT_WAS.removeprefix("async ")

_VISIT_AWAITED = """\
async def remember_visit(isbn: str, session: AsyncDep) -> None:
    session.add(Visit(page=isbn))

"""

_BOOK_PAGE = """\
app = FastAPI()


@app.get("/hours")
async def hours(today: Annotated[str, Depends(opening_hours)]) -> str:
    return today


@app.get("/books/{isbn}", dependencies=[Depends(remember_visit)])
async def book_page(isbn: str, session: AsyncDep) -> dict[str, Any]:
    book = await session.get(Book, isbn)
    if book is None:
        raise HTTPException(404, "No such book.")
    return {"title": book.title, "copies": COPIES}
"""


def _front(
    copies: str,
    visit: str = _VISIT_AWAITED,
    helper: str = _COPIES_LEFT,
    hours: str = _HOURS,
) -> str:
    return helper + hours + _ASYNC_DEP + visit + _BOOK_PAGE.replace("COPIES", copies)


_HANDED_OVER = "await run_in_threadpool(copies_left, isbn)"

# -- 05.ask_them_all ---------------------------------------------------------------------------


def _quote(body: str, head: str = "async def quote() -> dict[str, Any]:") -> str:
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.strip().splitlines())
    return f'app = FastAPI()\n\n\n@app.get("/quote")\n{head}\n{indented}'


_GATHERED = "answers = await asyncio.gather(*map(ask_supplier, PRICES), return_exceptions=True)\n"

_OFFERS = "offers = [(a, n) for n, a in zip(PRICES, answers) if isinstance(a, int)]\n"

_OR_503 = """\
if not offers:
    raise HTTPException(503, "No supplier answers.")
"""

_KEEP = """\
price, supplier = min(offers)
async with AsyncSessionLocal.begin() as session:
    session.add(Quote(supplier=supplier, price=price))
return {"supplier": supplier, "price": price}
"""

# -- 05.choose ---------------------------------------------------------------------------------


def _choices(**said: str) -> str:
    truth = {
        "checkout": '("sync", "the pool is the limit")',
        "price_watch": '("async", "many waits in one request")',
        "order_board": '("async", "many open connections")',
        "covers": '("another process", "it computes")',
    }
    lines = "".join(
        f'    "{service.replace("_", " ")}": {pair},\n' for service, pair in (truth | said).items()
    )
    return f"choices = {{\n{lines}}}\n"


ANSWERS: tuple[Answer, ...] = (
    right("05.predict", "as it is", _prediction()),
    right(
        "05.predict",
        "worked out from the supplies",
        """\
threads, small, large = 40, 10, 60
in_a_thread, on_the_loop = "thread", "awaited"
prediction = {}
prediction["/a"] = [in_a_thread, min(threads, large)]
for path in ("/b", "/d"):
    prediction[path] = [in_a_thread, min(threads, small)]
for path in ("/c", "/f"):
    prediction[path] = ["blocked", 1]
prediction["/e"] = [on_the_loop, small]
""",
    ),
    wrong(
        "05.predict",
        "goes by the endpoint's word",
        _prediction(b='("blocked", 1)', c='("thread", 10)'),
        "went_by_the_endpoint",
    ),
    wrong(
        "05.predict",
        "thinks that async all around is async enough",
        _prediction(c='("awaited", 10)', f='("awaited", 60)'),
        "async_all_through",
    ),
    wrong(
        "05.predict",
        "thinks that run_sync is a thread",
        _prediction(e='("thread", 10)'),
        "run_sync_is_no_thread",
    ),
    wrong(
        "05.predict",
        "sixty connections are sixty",
        _prediction(a='("thread", 60)'),
        "forgot_the_threads",
    ),
    wrong(
        "05.predict",
        "forty threads are forty",
        _prediction(b='("thread", 40)', d='("thread", 40)'),
        "forgot_the_connections",
    ),
    wrong(
        "05.predict",
        "blocks the loop ten at a time",
        _prediction(c='("blocked", 10)', f='("blocked", 60)'),
        "the_loop_is_one",
    ),
    wrong("05.predict", "where only", _prediction(a='"thread"'), "not_a_pair"),
    wrong("05.predict", "words of one's own", _prediction(a='("threadpool", 40)'), "not_a_pair"),
    wrong("05.predict", "the wrong number", _prediction(e='("awaited", 12)')),
    right(
        "05.least_change",
        "without a type in sight",
        _shop(
            "def read_copies(isbn: str, session: SessionDep):\n"
            "    return in_stock(session, isbn)\n",
            "def place_order(isbn: str, session: SessionDep):\n" + _ORDERING,
        ),
    ),
    right("05.least_change", "takes two words away", _shop(_DEF_COPIES, _DEF_ORDER)),
    right(
        "05.least_change",
        "hands the work over",
        _shop(
            """\
async def read_copies(isbn: str) -> int:
    def work() -> int:
        with SessionLocal() as session:
            return in_stock(session, isbn)

    return await asyncio.to_thread(work)
""",
            f"""\
async def place_order(isbn: str, session: SessionDep) -> dict[str, int]:
    return await run_in_threadpool(ordered, session, isbn)


def ordered(session: Session, isbn: str) -> dict[str, int]:
{_ORDERING}""",
        ),
    ),
    right(
        "05.least_change",
        "ported to the async session, the helper through run_sync",
        _shop(
            """\
async def read_copies(isbn: str, session: AsyncDep) -> int:
    return await session.run_sync(in_stock, isbn)
""",
            """\
async def place_order(isbn: str, session: AsyncDep) -> dict[str, int]:
    if await session.run_sync(in_stock, isbn) == 0:
        raise HTTPException(409, "Sold out.")
    await session.execute(update(Book).where(Book.isbn == isbn).values(copies=Book.copies - 1))
    order = Order(isbn=isbn)
    session.add(order)
    await session.flush()
    return {"id": order.id}
""",
            _ASYNC_DEP + _SESSION,
        ),
    ),
    wrong(
        "05.least_change",
        "changes a name and not the word",
        _shop(_ASYNC_COPIES.replace("read_copies", "copies"), _ASYNC_ORDER),
        "still_on_the_loop",
    ),
    wrong(
        "05.least_change",
        "wraps it in a task",
        _shop(
            """\
async def read_copies(isbn: str, session: SessionDep) -> int:
    async def work() -> int:
        return in_stock(session, isbn)

    return await asyncio.create_task(work())
""",
            _ASYNC_ORDER,
        ),
        "still_on_the_loop",
    ),
    wrong(
        "05.least_change",
        "cures the endpoint that was complained about",
        _shop(_ASYNC_COPIES, _DEF_ORDER),
        "only_one_of_them",
    ),
    wrong(
        "05.least_change",
        "an async dependency for def endpoints",
        _shop(
            _DEF_COPIES,
            _DEF_ORDER,
            _SESSION.replace("def get_session", "async def get_session").replace(
                "Iterator", "AsyncIterator"
            ),
        ),
        "async_dependency",
    ),
    wrong(
        "05.least_change",
        "awaits a number",
        _shop(
            _ASYNC_COPIES.replace("return in_stock", "return await in_stock"),
            _ASYNC_ORDER.replace("if in_stock", "if await in_stock"),
        ),
        "awaited_what_cannot_be",
    ),
    wrong(
        "05.least_change",
        "makes the helper async, all the way down",
        _shop(
            _ASYNC_COPIES.replace("return in_stock", "return await in_stock"),
            _ASYNC_ORDER.replace("if in_stock", "if await in_stock"),
            _SESSION.replace("def in_stock", "async def in_stock"),
        ),
        "made_the_helper_async",
    ),
    wrong(
        "05.least_change",
        "hands it over and forgets to await it",
        _shop(
            _ASYNC_COPIES.replace(
                "return in_stock(session, isbn)",
                "return run_in_threadpool(in_stock, session, isbn)",
            ),
            _DEF_ORDER,
        ),
        "forgot_to_await",
    ),
    wrong(
        "05.least_change",
        "loses the scope on the way",
        _shop(_DEF_COPIES, _DEF_ORDER, _SESSION.replace(', scope="function"', "")),
        "answers_too_soon",
    ),
    right("05.find_it", "the visit awaited, the number from a thread", _front(_HANDED_OVER)),
    right(
        "05.find_it",
        "both in threads",
        _front("await asyncio.to_thread(copies_left, isbn)", _VISIT_IN_A_THREAD),
    ),
    right(
        "05.find_it",
        "the number had been there all along",
        _front("book.copies", _VISIT_IN_A_THREAD),
    ),
    right(
        "05.find_it",
        "a session of its own for the visit",
        _front(
            "await session.scalar(select(Book.copies).where(Book.isbn == isbn))",
            """\
async def remember_visit(isbn: str) -> None:
    async with AsyncSessionLocal() as session:
        session.add(Visit(page=isbn))
        await session.commit()

""",
        ),
    ),
    wrong("05.find_it", "mends the visit only", _front("copies_left(isbn)"), "one_of_two"),
    wrong(
        "05.find_it", "mends the number only", _front(_HANDED_OVER, _VISIT_AS_IT_WAS), "one_of_two"
    ),
    wrong(
        "05.find_it",
        "makes the helper async and leaves its session sync",
        _front(
            "await copies_left(isbn)",
            helper=_COPIES_LEFT.replace("def copies_left", "async def copies_left"),
        ),
        "made_the_helper_async",
    ),
    wrong(
        "05.find_it",
        "wraps both in coroutines",
        _front(
            "await left(isbn)",
            _VISIT_AS_IT_WAS
            + "async def left(isbn: str) -> int:\n    return copies_left(isbn)\n\n",
        ),
        "still_on_the_loop",
    ),
    wrong(
        "05.find_it",
        "takes the async off the page",
        _front("copies_left(isbn)", _VISIT_IN_A_THREAD)
        .replace("async def book_page", "def book_page")
        .replace("await session.get", "session.get"),
        "async_session_in_a_def",
    ),
    wrong(
        "05.find_it",
        "stops counting visits",
        _front(_HANDED_OVER, "def remember_visit(isbn: str) -> None:\n    pass\n\n"),
        "visits_are_gone",
    ),
    wrong(
        "05.find_it",
        "adds the visit to a session that nobody commits",
        _front(
            _HANDED_OVER,
            """\
async def remember_visit(isbn: str) -> None:
    async with AsyncSessionLocal() as session:
        session.add(Visit(page=isbn))

""",
        ),
        "visits_are_gone",
    ),
    wrong(
        "05.find_it",
        "makes everything async, the decoy too",
        _front(_HANDED_OVER, hours=_HOURS.replace("def opening", "async def opening")),
        "spoiled_the_decoy",
    ),
    right("05.ask_them_all", "gather", _quote(_GATHERED + _OFFERS + _OR_503 + _KEEP)),
    right(
        "05.ask_them_all",
        "a task group, each call guarded",
        _quote(
            """\
offers: list[tuple[int, str]] = []

async def ask(name: str) -> None:
    try:
        offers.append((await ask_supplier(name), name))
    except SupplierDown:
        pass

async with asyncio.TaskGroup() as group:
    for name in PRICES:
        group.create_task(ask(name))
if not offers:
    raise HTTPException(status_code=503)
"""
            + _KEEP
        ),
    ),
    right(
        "05.ask_them_all",
        "tasks started first, awaited in turn; a dependency keeps the quote",
        _ASYNC_DEP
        + _quote(
            """\
tasks = {name: asyncio.create_task(ask_supplier(name)) for name in PRICES}
best: tuple[int, str] | None = None
for name, task in tasks.items():
    try:
        price = await task
    except SupplierDown:
        continue
    if best is None or price < best[0]:
        best = price, name
if best is None:
    raise HTTPException(503, "Nobody is up.")
row = Quote(price=best[0], supplier=best[1])
session.add(row)
return {"supplier": row.supplier, "price": row.price}
""",
            "async def quote(session: AsyncDep):",
        ),
    ),
    wrong(
        "05.ask_them_all",
        "await in the loop",
        _quote(
            """\
offers = []
for name in PRICES:
    try:
        offers.append((await ask_supplier(name), name))
    except SupplierDown:
        continue
"""
            + _OR_503
            + _KEEP
        ),
        "one_after_the_other",
    ),
    wrong(
        "05.ask_them_all",
        "gather as it comes",
        _quote(
            "answers = await asyncio.gather(*map(ask_supplier, PRICES))\n"
            + _OFFERS
            + _OR_503
            + _KEEP
        ),
        "one_fails_all",
    ),
    wrong(
        "05.ask_them_all",
        "nothing for the day when all are down",
        _quote(_GATHERED + _OFFERS + _KEEP),
        "nothing_to_choose_from",
    ),
    wrong(
        "05.ask_them_all",
        "the smallest of prices and exceptions",
        _quote(_GATHERED + "offers = list(zip(answers, PRICES))\n" + _OR_503 + _KEEP),
        "compared_exceptions",
    ),
    wrong(
        "05.ask_them_all",
        "coroutines that nobody awaits",
        _quote(
            "answers = [ask_supplier(name) for name in PRICES]\n"
            "for one in answers:\n    one.close()\n" + _OFFERS + _OR_503 + _KEEP
        ),
        "never_awaited",
    ),
    wrong(
        "05.ask_them_all",
        "a sync session at the end",
        _quote(
            _GATHERED
            + _OFFERS
            + _OR_503
            + _KEEP.replace("async with AsyncSessionLocal", "with SessionLocal")
        ),
        "kept_on_the_loop",
    ),
    wrong(
        "05.ask_them_all",
        "adds and does not commit",
        _quote(
            _GATHERED
            + _OFFERS
            + _OR_503
            + _KEEP.replace("AsyncSessionLocal.begin()", "AsyncSessionLocal()")
        ),
        "not_kept",
    ),
    wrong(
        "05.ask_them_all",
        "the first by name",
        _quote(_GATHERED + _OFFERS + _OR_503 + _KEEP.replace("min(offers)", "max(offers)")),
        "not_the_cheapest",
    ),
    right("05.choose", "as it is", _choices()),
    right(
        "05.choose",
        "the checkout for its library, and lists",
        _choices(
            checkout='["sync", "its libraries are sync"]',
            covers='["another process", "it computes"]',
        ),
    ),
    wrong(
        "05.choose",
        "async is faster",
        _choices(checkout='("async", "async is faster")'),
        "async_is_faster",
    ),
    wrong(
        "05.choose",
        "computes on the loop",
        _choices(covers='("async", "many waits in one request")'),
        "loop_for_computing",
    ),
    wrong(
        "05.choose",
        "computes in threads",
        _choices(covers='("sync", "it computes")'),
        "loop_for_computing",
    ),
    wrong(
        "05.choose",
        "a thread for each stream",
        _choices(order_board='("sync", "its libraries are sync")'),
        "thread_for_a_stream",
    ),
    wrong(
        "05.choose",
        "reasons swapped",
        _choices(
            price_watch='("async", "many open connections")',
            order_board='("async", "many waits in one request")',
        ),
        "right_for_the_wrong_reason",
    ),
    wrong(
        "05.choose",
        "words of one's own",
        _choices(covers='("a queue", "it computes")'),
        "unknown_words",
    ),
    wrong(
        "05.choose",
        "more connections from async",
        _choices(checkout='("async", "many open connections")'),
    ),
)
