"""Answers to lesson 09, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong


def _under(head: str, body: str) -> str:
    indented = "\n".join(f"    {line}" if line else "" for line in body.strip().splitlines())
    return f"{head}\n{indented}\n"


def _counter(body: str, head: str = "@contextmanager\ndef count_statements(engine):") -> str:
    return _under(head, body)


_SCHEMAS = """\
class NameOut(Out):
    name: str

class TagOut(Out):
    word: str

class ReviewOut(Out):
    stars: int

class BookOut(Out):
    title: str
    author: NameOut
    tags: list[TagOut]
    reviews: list[ReviewOut]

class Sold(BaseModel):
    name: str
    books: int
    copies: int

app = FastAPI()
"""

_AUTHORS = "return session.scalars(select(Author).options(selectinload(Author.books))).all()"

_BOOKS = """
query = select(Book).options(
    selectinload(Book.author), selectinload(Book.tags), selectinload(Book.reviews)
)
return session.scalars(query).all()
"""

_SALES = """
query = (
    select(
        Author.name,
        func.count(Book.id.distinct()).label("books"),
        func.coalesce(func.sum(Sale.copies), 0).label("copies"),
    )
    .outerjoin(Author.books)
    .outerjoin(Book.sales)
    .group_by(Author.id)
)
return [Sold(**row) for row in session.execute(query).mappings()]
"""


def _budgets(
    authors: str = _AUTHORS, books: str = _BOOKS, sales: str = _SALES, schemas: str = _SCHEMAS
) -> str:
    return "\n".join(
        [
            schemas,
            _under(
                '@app.get("/authors", response_model=list[AuthorOut])\n'
                "def list_authors(session: SessionDep):",
                authors,
            ),
            _under(
                '@app.get("/books", response_model=list[BookOut])\n'
                "def list_books(session: SessionDep):",
                books,
            ),
            _under('@app.get("/sales")\ndef list_sales(session: SessionDep) -> list[Sold]:', sales),
        ]
    )


def _sales(*columns: str, joins: str = "", group: str = "Author.id") -> str:
    joins = joins or ".outerjoin(Author.books).outerjoin(Book.sales)"
    return f"""
query = select(Author.name, {", ".join(columns)}){joins}.group_by({group})
return [Sold(name=name, books=books, copies=copies) for name, books, copies in session.execute(query)]
"""


_COUNT, _SUM = "func.count(Book.id.distinct())", "func.coalesce(func.sum(Sale.copies), 0)"

_CARD = """\
class BookCard(Out):
    byline: str
    stars: float | None
    tags: list[TagOut]
"""


def _hidden(body: str, card: str = _CARD) -> str:
    head = f"""\
{card}
app = FastAPI()

@app.get("/books", response_model=list[BookCard])
def page_of_books(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
):"""
    return _under(head, body)


def _page(*options: str) -> str:
    return _hidden(
        f"""
page = select(Book).order_by(Book.id).limit(limit).offset(offset)
return session.scalars(page.options({", ".join(options)})).all()
"""
    )


_AUTHOR, _TAGS, _REVIEWS = (
    "joinedload(Book.author)",
    "selectinload(Book.tags)",
    "selectinload(Book.reviews)",
)


def _guard(body: str) -> str:
    return _under("def check_growth(app, engine):", body)


ANSWERS: tuple[Answer, ...] = (
    # -- 09.counter -------------------------------------------------------------------------------
    right(
        "09.counter",
        "a class, after the statement, spelt out",
        """
class count_statements:
    def __init__(self, engine):
        self.engine = engine

    def __enter__(self):
        self.sent = []
        event.listen(self.engine, "after_cursor_execute", self.write_down)
        return self.sent

    def write_down(self, conn, cursor, statement, parameters, context, executemany):
        self.sent.append(statement)

    def __exit__(self, *error):
        event.remove(self.engine, "after_cursor_execute", self.write_down)
""",
    ),
    right(
        "09.counter",
        "on top of the flight recorder",
        _counter(
            """
sent = []
with trace(engine) as seen:
    try:
        yield sent
    finally:
        sent.extend(seen.statements)
"""
        ),
    ),
    right(
        "09.counter",
        "a decorated listener, named arguments left to the stars",
        _counter(
            """
counted = list()

@event.listens_for(engine, "before_cursor_execute")
def listener(*args):
    counted.append(args[2])

try:
    yield counted
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
    ),
    wrong(
        "09.counter",
        "not a context manager",
        _counter(
            """
sent = []
event.listen(engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
yield sent
""",
            "def count_statements(engine):",
        ),
        "no_context_manager",
    ),
    wrong(
        "09.counter",
        "yields the number",
        _counter(
            """
count = 0

def listener(*args):
    nonlocal count
    count += 1

event.listen(engine, "before_cursor_execute", listener)
try:
    yield count
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "a_number",
    ),
    wrong(
        "09.counter",
        "makes a new list at each statement",
        _counter(
            """
sent = []

def listener(conn, cursor, statement, parameters, context, executemany):
    nonlocal sent
    sent = sent + [statement]

event.listen(engine, "before_cursor_execute", listener)
try:
    yield sent
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "handed_out_too_soon",
    ),
    wrong(
        "09.counter",
        "yields what the recorder has by then",
        _counter("with trace(engine) as seen:\n    yield seen.statements"),
        "handed_out_too_soon",
    ),
    wrong(
        "09.counter",
        "keeps the connection instead of the statement",
        _counter(
            """
sent = []

def listener(*args):
    sent.append(args[0])

event.listen(engine, "before_cursor_execute", listener)
try:
    yield sent
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "not_the_text",
    ),
    wrong(
        "09.counter",
        "listens to the class",
        _counter(
            """
sent = []

def listener(conn, cursor, statement, parameters, context, executemany):
    sent.append(statement)

event.listen(Engine, "before_cursor_execute", listener)
try:
    yield sent
finally:
    event.remove(Engine, "before_cursor_execute", listener)
"""
        ),
        "every_engine",
    ),
    wrong(
        "09.counter",
        "never stops",
        _counter(
            """
sent = []

@event.listens_for(engine, "before_cursor_execute")
def listener(conn, cursor, statement, parameters, context, executemany):
    sent.append(statement)

yield sent
"""
        ),
        "never_stopped",
    ),
    wrong(
        "09.counter",
        "counts SELECTs only",
        _counter(
            """
sent = []

def listener(conn, cursor, statement, parameters, context, executemany):
    if statement.startswith("SELECT"):
        sent.append(statement)

event.listen(engine, "before_cursor_execute", listener)
try:
    yield sent
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "only_selects",
    ),
    wrong(
        "09.counter",
        "no finally",
        _counter(
            """
sent = []

def listener(conn, cursor, statement, parameters, context, executemany):
    sent.append(statement)

event.listen(engine, "before_cursor_execute", listener)
yield sent
event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "left_when_it_raised",
    ),
    wrong(
        "09.counter",
        "an except that keeps the exception",
        _counter(
            """
sent = []

def listener(conn, cursor, statement, parameters, context, executemany):
    sent.append(statement)

event.listen(engine, "before_cursor_execute", listener)
try:
    yield sent
except Exception as error:
    print(error)
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "swallowed",
    ),
    wrong(
        "09.counter",
        "one list at the top, emptied at each use",
        "SENT = []\n\n"
        + _counter(
            """
SENT.clear()

def listener(conn, cursor, statement, parameters, context, executemany):
    SENT.append(statement)

event.listen(engine, "before_cursor_execute", listener)
try:
    yield SENT
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "one_list_for_all",
    ),
    wrong(
        "09.counter",
        "one list and one listener at the top",
        "SENT = []\n\ndef listener(conn, cursor, statement, parameters, context, executemany):\n"
        "    SENT.append(statement)\n\n"
        + _counter(
            """
SENT.clear()
event.listen(engine, "before_cursor_execute", listener)
try:
    yield SENT
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "one_list_for_all",
    ),
    wrong(
        "09.counter",
        "a listener that takes the statement only",
        _counter(
            """
sent = []

def listener(statement):
    sent.append(statement)

event.listen(engine, "before_cursor_execute", listener)
try:
    yield sent
finally:
    event.remove(engine, "before_cursor_execute", listener)
"""
        ),
        "other_arguments",
    ),
    # -- 09.budgets -------------------------------------------------------------------------------
    right("09.budgets", "selectin everywhere, joins for the numbers", _budgets()),
    right(
        "09.budgets",
        "one collection joined, numbers by subquery",
        _budgets(
            "return session.scalars(\n"
            "    select(Author).options(joinedload(Author.books)).order_by(Author.id)\n"
            ").unique().all()",
            """
query = select(Book).order_by(Book.id).options(
    joinedload(Book.author, innerjoin=True), subqueryload(Book.tags), selectinload(Book.reviews)
)
return session.scalars(query).unique().all()
""",
            """
books = (
    select(func.count(Book.id))
    .where(Book.author_id == Author.id)
    .correlate(Author)
    .scalar_subquery()
)
copies = (
    select(func.sum(Sale.copies))
    .join(Book, Book.id == Sale.book_id)
    .where(Book.author_id == Author.id)
    .correlate(Author)
    .scalar_subquery()
)
rows = session.execute(select(Author.name, books, copies).order_by(Author.id)).all()
return [Sold(name=name, books=n, copies=total or 0) for name, n, total in rows]
""",
        ),
    ),
    right(
        "09.budgets",
        "grouped subqueries that are joined",
        _budgets(
            sales="""
counts = (
    select(Book.author_id, func.count().label("books")).group_by(Book.author_id).subquery()
)
sums = (
    select(Book.author_id, func.sum(Sale.copies).label("copies"))
    .join(Sale, Sale.book_id == Book.id)
    .group_by(Book.author_id)
    .subquery()
)
query = (
    select(
        Author.name,
        func.coalesce(counts.c.books, 0).label("books"),
        func.coalesce(sums.c.copies, 0).label("copies"),
    )
    .outerjoin(counts, counts.c.author_id == Author.id)
    .outerjoin(sums, sums.c.author_id == Author.id)
)
return [Sold(**row) for row in session.execute(query).mappings()]
"""
        ),
    ),
    wrong(
        "09.budgets",
        "joined without unique",
        _budgets("return session.scalars(select(Author).options(joinedload(Author.books))).all()"),
        "not_unique",
    ),
    wrong(
        "09.budgets",
        "raiseload, and one forgotten",
        _budgets(
            books="return session.scalars(\n"
            "    select(Book).options(joinedload(Book.author), selectinload(Book.tags), raiseload('*'))\n"
            ").all()"
        ),
        "refused",
    ),
    wrong(
        "09.budgets",
        "the reviews left out of the schema",
        _budgets(
            books="return session.scalars(\n"
            "    select(Book).options(joinedload(Book.author), selectinload(Book.tags))\n"
            ").all()",
            schemas=_SCHEMAS.replace("    reviews: list[ReviewOut]\n", ""),
        ),
        "dropped",
    ),
    wrong(
        "09.budgets",
        "the authors as they were",
        _budgets("return session.scalars(select(Author)).all()"),
        "authors_one_by_one",
    ),
    wrong(
        "09.budgets",
        "only the tags of the books",
        _budgets(
            books="return session.scalars(select(Book).options(selectinload(Book.tags))).all()"
        ),
        "books_one_by_one",
    ),
    wrong(
        "09.budgets",
        "immediateload",
        _budgets(
            books="""
query = select(Book).options(
    joinedload(Book.author), immediateload(Book.tags), selectinload(Book.reviews)
)
return session.scalars(query).all()
"""
        ),
        "books_one_by_one",
    ),
    wrong(
        "09.budgets",
        "everything joined",
        _budgets(
            books="""
query = select(Book).options(
    joinedload(Book.author), joinedload(Book.tags), joinedload(Book.reviews)
)
return session.scalars(query).unique().all()
"""
        ),
        "a_product",
    ),
    wrong(
        "09.budgets",
        "the numbers as they were",
        _budgets(
            sales="""
return [
    Sold(
        name=author.name,
        books=len(author.books),
        copies=sum(sale.copies for book in author.books for sale in book.sales),
    )
    for author in session.scalars(select(Author))
]
"""
        ),
        "sales_one_by_one",
    ),
    wrong(
        "09.budgets",
        "a query for each author",
        _budgets(
            sales="""
sold = []
for author in session.scalars(select(Author)):
    books = session.scalar(select(func.count(Book.id)).where(Book.author_id == author.id))
    copies = session.scalar(
        select(func.sum(Sale.copies)).join(Sale.book).where(Book.author_id == author.id)
    )
    sold.append(Sold(name=author.name, books=books, copies=copies or 0))
return sold
"""
        ),
        "sales_one_by_one",
    ),
    wrong(
        "09.budgets",
        "eagerly loaded, and counted here",
        _budgets(
            sales="""
query = select(Author).options(selectinload(Author.books).selectinload(Book.sales))
return [
    Sold(
        name=author.name,
        books=len(author.books),
        copies=sum(sale.copies for book in author.books for sale in book.sales),
    )
    for author in session.scalars(query)
]
"""
        ),
        "counted_in_python",
    ),
    wrong(
        "09.budgets",
        "no coalesce",
        _budgets(sales=_sales(_COUNT, "func.sum(Sale.copies)")),
        "sum_of_nothing",
    ),
    wrong(
        "09.budgets",
        "grouped by the name",
        _budgets(sales=_sales(_COUNT, _SUM, group="Author.name")),
        "namesakes",
    ),
    wrong(
        "09.budgets",
        "three statements, put together in Python",
        _budgets(
            sales="""
books = dict(
    session.execute(select(Book.author_id, func.count()).group_by(Book.author_id)).all()
)
copies = dict(
    session.execute(
        select(Book.author_id, func.sum(Sale.copies)).join(Sale.book).group_by(Book.author_id)
    ).all()
)
return [
    Sold(name=one.name, books=books.get(one.id, 0), copies=copies.get(one.id, 0))
    for one in session.scalars(select(Author))
]
"""
        ),
        "in_several_statements",
    ),
    wrong(
        "09.budgets",
        "grouped by the book",
        _budgets(sales=_SALES.replace("group_by(Author.id)", "group_by(Author.id, Book.id)")),
        "groups_too_small",
    ),
    wrong(
        "09.budgets",
        "not grouped",
        _budgets(sales=_SALES.replace("    .group_by(Author.id)\n", "")),
        "one_group",
    ),
    wrong(
        "09.budgets",
        "nothing joined",
        "import warnings\n\nfrom sqlalchemy.exc import SAWarning\n\n"
        'warnings.simplefilter("ignore", SAWarning)\n'
        + _budgets(
            sales=_SALES.replace("    .outerjoin(Author.books)\n    .outerjoin(Book.sales)\n", "")
        ),
        "nothing_joins_them",
    ),
    wrong(
        "09.budgets",
        "sales counted for copies",
        _budgets(sales=_SALES.replace("func.sum(Sale.copies)", "func.count(Sale.id)")),
        "sales_for_copies",
    ),
    wrong(
        "09.budgets",
        "rows for the schema",
        _budgets(
            sales=_SALES.replace(
                "[Sold(**row) for row in session.execute(query).mappings()]",
                "session.execute(query).all()",
            )
            .replace('.label("books")', "")
            .replace('.label("copies")', "")
        ).replace('@app.get("/sales")', '@app.get("/sales", response_model=list[Sold])'),
        "rows_as_they_come",
    ),
    wrong(
        "09.budgets",
        "one level too deep",
        _budgets(
            "return session.scalars(\n"
            "    select(Author).options(selectinload(Author.books).selectinload(Book.tags))\n"
            ").all()"
        ),
        "more_than_shown",
    ),
    wrong(
        "09.budgets",
        "two relationships in one option",
        _budgets(
            books="return session.scalars(\n"
            "    select(Book).options(selectinload(Book.tags, Book.reviews))\n"
            ").all()"
        ),
        "options_in_a_row",
    ),
    wrong(
        "09.budgets",
        "inner joins",
        _budgets(sales=_sales(_COUNT, _SUM, joins=".join(Author.books).outerjoin(Book.sales)")),
        "left_out",
    ),
    wrong(
        "09.budgets",
        "counts rows",
        _budgets(sales=_sales("func.count()", _SUM)),
        "counted_the_empty_row",
    ),
    wrong(
        "09.budgets",
        "each book once for each sale",
        _budgets(sales=_sales("func.count(Book.id)", _SUM)),
        "counted_twice",
    ),
    wrong(
        "09.budgets",
        "the reviews joined as well",
        _budgets(
            sales=_sales(
                _COUNT,
                _SUM,
                joins=".outerjoin(Author.books).outerjoin(Book.sales).outerjoin(Book.reviews)",
            )
        ),
        "counted_twice",
    ),
    wrong(
        "09.budgets",
        "the numbers made up",
        _budgets(sales="return []"),
    ),
    # -- 09.hidden --------------------------------------------------------------------------------
    right("09.hidden", "one option for each", _page(_AUTHOR, _TAGS, _REVIEWS)),
    right(
        "09.hidden",
        "joined tags, which have the limit inside",
        _hidden(
            """
query = (
    select(Book)
    .options(selectinload(Book.author), joinedload(Book.tags), subqueryload(Book.reviews))
    .order_by(Book.id)
    .slice(offset, offset + limit)
)
return session.scalars(query).unique().all()
"""
        ),
    ),
    right(
        "09.hidden",
        "cards made by hand, the stars worked out in SQL",
        _hidden(
            """
stars = select(func.avg(Review.stars)).where(Review.book_id == Book.id).scalar_subquery()
query = (
    select(Book, Author.name, stars)
    .join(Book.author)
    .options(selectinload(Book.tags))
    .order_by(Book.id)
    .limit(limit)
    .offset(offset)
)
return [
    {"byline": f"{book.title}, by {name}", "stars": average, "tags": book.tags}
    for book, name, average in session.execute(query)
]
"""
        ),
    ),
    wrong(
        "09.hidden",
        "what the schema shows, not what the properties read",
        _page(_TAGS),
        "behind_the_byline",
    ),
    wrong("09.hidden", "the author and the tags", _page(_AUTHOR, _TAGS), "behind_the_stars"),
    wrong(
        "09.hidden",
        "the two properties, and no tags",
        _page(_AUTHOR, _REVIEWS),
        "behind_the_schema",
    ),
    wrong(
        "09.hidden",
        "raiseload, and one forgotten",
        _page(_TAGS, _REVIEWS, "raiseload('*')"),
        "refused",
    ),
    wrong(
        "09.hidden",
        "joined without unique",
        _page(_AUTHOR, "joinedload(Book.tags)", _REVIEWS),
        "not_unique",
    ),
    wrong(
        "09.hidden",
        "the field that was slow, left out",
        _hidden(
            f"""
page = select(Book).order_by(Book.id).limit(limit).offset(offset)
return session.scalars(page.options({_AUTHOR}, {_TAGS})).all()
""",
            card=_CARD.replace("    stars: float | None\n", ""),
        ),
        "dropped",
    ),
    wrong(
        "09.hidden",
        "contains_eager under a limit",
        _hidden(
            f"""
page = (
    select(Book)
    .outerjoin(Book.tags)
    .options(contains_eager(Book.tags), {_AUTHOR}, {_REVIEWS})
    .order_by(Book.id)
    .limit(limit)
    .offset(offset)
)
return session.scalars(page).unique().all()
"""
        ),
        "cut_short",
    ),
    wrong(
        "09.hidden",
        "options for the properties",
        _page("selectinload(Book.byline)", "selectinload(Book.stars)", _TAGS),
        "not_a_relationship",
    ),
    wrong(
        "09.hidden",
        "no offset",
        _page(_AUTHOR, _REVIEWS, _TAGS).replace(".offset(offset)", ""),
        "always_the_first_page",
    ),
    wrong(
        "09.hidden",
        "the average of an inner join",
        _hidden(
            f"""
page = (
    select(Book, func.avg(Review.stars))
    .join(Book.reviews)
    .options({_AUTHOR}, {_TAGS})
    .group_by(Book.id)
    .order_by(Book.id)
    .limit(limit)
    .offset(offset)
)
return [
    {{"byline": book.byline, "stars": average, "tags": book.tags}}
    for book, average in session.execute(page)
]
"""
        ),
        "lost_the_bare",
    ),
    wrong(
        "09.hidden",
        "both collections joined",
        _hidden(
            """
page = select(Book).order_by(Book.id).limit(limit).offset(offset).options(
    joinedload(Book.author), joinedload(Book.tags), joinedload(Book.reviews)
)
return session.scalars(page).unique().all()
"""
        ),
        "a_product",
    ),
    wrong(
        "09.hidden",
        "all books, cut in Python",
        _hidden(
            f"""
books = session.scalars(select(Book).order_by(Book.id).options({_AUTHOR}, {_TAGS}, {_REVIEWS}))
return books.all()[offset : offset + limit]
"""
        ),
        "more_than_the_page",
    ),
    wrong(
        "09.hidden",
        "the sales as well, to be on the safe side",
        _page(
            "joinedload(Book.author)",
            "selectinload(Book.tags)",
            "selectinload(Book.reviews)",
            "joinedload(Book.sales)",
        ).replace(").all()", ").unique().all()"),
        "more_than_the_page",
    ),
    # -- 09.guard ---------------------------------------------------------------------------------
    right(
        "09.guard",
        "a fixed budget, and a full shop",
        _guard(
            """
fill(engine, 12)
client = TestClient(app)
for path, methods in app.openapi()["paths"].items():
    if "{" in path or "get" not in methods:
        continue
    with budget(engine, most=4):
        response = client.get(path)
    response.raise_for_status()
"""
        ),
    ),
    right(
        "09.guard",
        "few against many, one path after the other, errors as answers",
        _guard(
            """
client = TestClient(app, raise_server_exceptions=False)

def cost_of(path):
    sent = []
    listener = lambda *args: sent.append(args[2])
    event.listen(engine, "before_cursor_execute", listener)
    try:
        assert client.get(path).status_code == 200, path
    finally:
        event.remove(engine, "before_cursor_execute", listener)
    return len(sent)

fill(engine, 3)
for path in app.openapi()["paths"]:
    if "{" not in path and "get" in app.openapi()["paths"][path]:
        before = cost_of(path)
        fill(engine, 4)
        after = cost_of(path)
        if after > before:
            raise AssertionError(f"{path} grows from {before} to {after}")
"""
        ),
    ),
    right(
        "09.guard",
        "apps and engines recorded together",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with trace(app, engine) as seen:
            TestClient(app).get(path)
        if seen.statuses != [200] or len(seen.statements) > 5:
            raise RuntimeError(f"{path}: {seen.statuses}, {len(seen.statements)} statements")
"""
        ),
    ),
    wrong(
        "09.guard",
        "returns whether all is well",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with trace(engine) as seen:
            TestClient(app).get(path)
        if len(seen.statements) > 4:
            return False
return True
"""
        ),
        "returned_a_verdict",
    ),
    wrong(
        "09.guard",
        "asks for a book called {book_id}",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations:
        with budget(engine, most=4):
            assert TestClient(app).get(path).status_code == 200
"""
        ),
        "asked_without_an_id",
    ),
    wrong(
        "09.guard",
        "knows the paths by heart",
        _guard(
            """
fill(engine, 10)
for path in ("/authors", "/books"):
    with budget(engine, most=4):
        assert TestClient(app).get(path).status_code == 200
"""
        ),
        "asked_what_is_not_there",
    ),
    wrong(
        "09.guard",
        "asks what is only posted to",
        _guard(
            """
fill(engine, 10)
for path in app.openapi()["paths"]:
    if "{" not in path:
        with budget(engine, most=4):
            assert TestClient(app).get(path).status_code == 200
"""
        ),
        "asked_what_is_not_there",
    ),
    wrong(
        "09.guard",
        "two statements and no more",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with budget(engine, most=2):
            assert TestClient(app).get(path).status_code == 200
"""
        ),
        "too_strict",
    ),
    wrong(
        "09.guard",
        "one budget for all endpoints together",
        _guard(
            """
fill(engine, 10)
with budget(engine, most=4):
    for path, operations in app.openapi()["paths"].items():
        if "get" in operations and "{" not in path:
            assert TestClient(app).get(path).status_code == 200
"""
        ),
        "too_strict",
    ),
    wrong(
        "09.guard",
        "from none to ten",
        _guard(
            """
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        counts = []
        for more in (0, 10):
            if more:
                fill(engine, more)
            with trace(engine) as seen:
                assert TestClient(app).get(path).status_code == 200
            counts.append(len(seen.statements))
        assert counts[0] == counts[1]
"""
        ),
        "grew_from_nothing",
    ),
    wrong(
        "09.guard",
        "an empty shop",
        _guard(
            """
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with budget(engine, most=4):
            assert TestClient(app).get(path).status_code == 200
"""
        ),
        "an_empty_shop",
    ),
    wrong(
        "09.guard",
        "one author",
        _guard(
            """
fill(engine, 1)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with budget(engine, most=4):
            assert TestClient(app).get(path).status_code == 200
"""
        ),
        "too_few",
    ),
    wrong(
        "09.guard",
        "the same twice",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        counts = []
        for _ in range(2):
            with trace(engine) as seen:
                assert TestClient(app).get(path).status_code == 200
            counts.append(len(seen.statements))
        assert counts[0] == counts[1]
"""
        ),
        "compared_like_with_like",
    ),
    wrong(
        "09.guard",
        "the first path only",
        _guard(
            """
fill(engine, 10)
path = next(iter(app.openapi()["paths"]))
with budget(engine, most=4):
    assert TestClient(app).get(path).status_code == 200
"""
        ),
        "one_endpoint",
    ),
    wrong(
        "09.guard",
        "walks the routes",
        _guard(
            """
fill(engine, 10)
for route in app.routes:
    if "GET" in getattr(route, "methods", ()) and "{" not in route.path:
        with budget(engine, most=4):
            assert TestClient(app).get(route.path).status_code == 200
"""
        ),
        "passed_over_the_router",
    ),
    wrong(
        "09.guard",
        "does not look at the status",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with budget(engine, most=4):
            TestClient(app).get(path)
"""
        ),
        "counted_an_error_page",
    ),
    wrong(
        "09.guard",
        "asserts nothing",
        _guard(
            """
fill(engine, 10)
for path, operations in app.openapi()["paths"].items():
    if "get" in operations and "{" not in path:
        with trace(engine) as seen:
            TestClient(app).get(path)
        print(path, len(seen.statements))
"""
        ),
        "raised_nothing",
    ),
)
