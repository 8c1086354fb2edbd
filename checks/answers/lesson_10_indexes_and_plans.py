"""Answers to lesson 10, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

_BASE = """\
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
"""


def _parcel(
    customer: str = 'mapped_column(ForeignKey("customer.id"), index=True)',
    barcode: str = "mapped_column(unique=True)",
    grams: str = "mapped_column()",
    table_args: str = "",
    later: str = "",
) -> str:
    return f"""{_BASE}

class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)


class Parcel(Base):
    __tablename__ = "parcel"
    {table_args}
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = {customer}
    barcode: Mapped[str] = {barcode}
    grams: Mapped[int] = {grams}


engine = memory()
Base.metadata.create_all(engine)
{later}
app = parcel_desk(engine, Parcel)
"""


_FOREIGN = 'mapped_column(ForeignKey("customer.id"))'


def _order(*indexes: str, columns: str = "") -> str:
    listed = "".join(f"        {one},\n" for one in indexes)
    table_args = f"    __table_args__ = (\n{listed}    )\n" if indexes else ""
    index = {name: f"mapped_column(index={name in columns})" for name in _COLUMNS}
    return f"""{_BASE}

class Order(Base):
    __tablename__ = "orders"
{table_args}
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = {index["customer_id"]}
    status: Mapped[str] = {index["status"]}
    placed: Mapped[datetime] = {index["placed"]}


engine = memory()
Base.metadata.create_all(engine)
app = order_desk(engine, Order)
"""


_COLUMNS = ("customer_id", "status", "placed")


def _under(head: str, body: str) -> str:
    return head + "".join(f"    {line}\n" if line else "\n" for line in body.strip().split("\n"))


def _pages(body: str, order: str = "Order.placed.desc(), Order.id.desc()") -> str:
    head = f"""{_BASE}

class Order(Base):
    __tablename__ = "orders"
    __table_args__ = (Index(None, "placed", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    placed: Mapped[datetime]
    total: Mapped[int]


engine = memory()
Base.metadata.create_all(engine)
app = FastAPI()


@app.get("/orders")
def list_orders(
    limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None
) -> dict[str, Any]:
"""
    return _under(head, body.replace("ORDER", order))


_WHERE = "query.where(tuple_(Order.placed, Order.id) < tuple_(*place(after)))"

_KEYSET = """
query = select(Order).order_by(ORDER)
if after is not None:
    placed, id = place(after)
    query = WHERE
with Session(engine) as session:
    found = session.scalars(query.limit(limit + 1)).all()
page = found[:limit]
return {
    "orders": [{"id": one.id, "total": one.total} for one in page],
    "next": bookmark(page[-1].placed, page[-1].id) if len(found) > limit else None,
}
"""


def _keyset(where: str, **changed: str) -> str:
    return _pages(_KEYSET.replace("WHERE", where), **changed)


def _export(body: str, head: str = "def export_orders() -> StreamingResponse:") -> str:
    return _under(
        f"""{_BASE}

class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    total: Mapped[int]


engine = memory()
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)
app = FastAPI()


def get_db() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


@app.get("/export.csv")
{head}
""",
        body,
    )


_PIECES = """
def pieces() -> Iterator[str]:
    yield "id,customer_id,total\\n"
    with SessionLocal() as session:
        READ

return StreamingResponse(pieces(), media_type="text/csv")
"""

_LINE = 'f"{one.id},{one.customer_id},{one.total}\\n"'


def _streamed(read: str) -> str:
    lines = read.strip().replace("LINE", _LINE).replace("\n", "\n        ")
    return _export(_PIECES.replace("READ", lines))


_PIECES_OF_ROWS = """
def pieces():
    yield "id,customer_id,total\\n"
    query = select(Order.id, Order.customer_id, Order.total).order_by(Order.id)
    with SessionLocal() as session:
        for part in session.execute(query.execution_options(yield_per=500)).partitions():
            yield part

return StreamingResponse(pieces(), media_type="text/csv")
"""

_WITH_DEPENDENCY = """
def pieces() -> Iterator[str]:
    yield "id,customer_id,total\\n"
    orders = session.scalars(select(Order).order_by(Order.id).execution_options(yield_per=500))
    for one in orders:
        yield LINE

return StreamingResponse(pieces(), media_type="text/csv")
""".replace("LINE", _LINE)

ANSWERS: tuple[Answer, ...] = (
    # -- 10.two_filters ---------------------------------------------------------------------------
    right("10.two_filters", "index and unique in the columns", _parcel()),
    right(
        "10.two_filters",
        "all in __table_args__",
        _parcel(
            customer=_FOREIGN,
            barcode="mapped_column()",
            table_args='__table_args__ = (Index("by_customer", "customer_id"), '
            'Index("by_barcode", "barcode", unique=True))\n',
        ),
    ),
    right(
        "10.two_filters",
        "unique and index, which is one unique index",
        _parcel(barcode="mapped_column(String(40), unique=True, index=True)").replace(
            "class Base", "from sqlalchemy import String\n\n\nclass Base", 1
        ),
    ),
    right(
        "10.two_filters",
        "the customer's index holds the barcode as well",
        _parcel(
            customer=_FOREIGN,
            table_args='__table_args__ = (Index("by_customer", "customer_id", "barcode"),)\n',
        ),
    ),
    wrong(
        "10.two_filters",
        "a foreign key is indexed, surely",
        _parcel(customer=_FOREIGN),
        "a_foreign_key_is_no_index",
    ),
    wrong(
        "10.two_filters",
        "an index where it should be unique",
        _parcel(barcode="mapped_column(index=True)"),
        "found_but_not_unique",
    ),
    wrong(
        "10.two_filters",
        "an index on everything",
        _parcel(grams="mapped_column(index=True)"),
        "index_everything",
    ),
    wrong(
        "10.two_filters",
        "one index on both",
        _parcel(
            customer=_FOREIGN,
            barcode="mapped_column()",
            table_args='__table_args__ = (Index("both", "barcode", "customer_id"),)\n',
        ),
        "one_for_both",
    ),
    wrong(
        "10.two_filters",
        "unique, and an index beside it",
        _parcel(table_args='__table_args__ = (Index("by_barcode", "barcode"),)\n'),
        "the_same_twice",
    ),
    wrong(
        "10.two_filters",
        "an index when the tables are made",
        _parcel(customer=_FOREIGN, later='Index("by_customer", Parcel.customer_id)'),
        "never_made",
    ),
    wrong(
        "10.two_filters",
        "only the customer's",
        _parcel(barcode="mapped_column()"),
        "no_index_on_barcode",
    ),
    # -- 10.right_order ---------------------------------------------------------------------------
    right(
        "10.right_order",
        "= first, then the date",
        _order(
            'Index("by_customer", "customer_id", "placed")',
            'Index("by_status", "status", "placed")',
        ),
    ),
    right(
        "10.right_order",
        "with the id, and downwards",
        _order(
            'Index("by_customer", "customer_id", text("placed DESC"), text("id DESC"))',
            'Index("by_status", "status", "placed", "id")',
        ),
    ),
    right(
        "10.right_order",
        "one of them covering",
        _order(
            'Index("by_customer", "customer_id", "placed", "status")',
            'Index("by_status", "status", "placed")',
        ).replace("mapped_column(index=False)", "mapped_column()"),
    ),
    wrong(
        "10.right_order",
        "a column where the name goes",
        _order('Index("customer_id", "placed")', 'Index("status", "placed")'),
        "a_column_for_a_name",
    ),
    wrong(
        "10.right_order",
        "two, and one of them on all three",
        _order(
            'Index("ix_one", "customer_id", "status", "placed")',
            'Index("ix_two", "status", "placed")',
        ),
        "one_for_both",
    ),
    wrong(
        "10.right_order",
        "the date first, since it is in both",
        _order(
            'Index("a", "placed", "customer_id")',
            'Index("b", "placed", "status")',
        ),
        "the_date_first",
    ),
    wrong(
        "10.right_order",
        "one index a column",
        _order(columns="customer_id status"),
        "single_columns",
    ),
    wrong(
        "10.right_order",
        "three single columns",
        _order(columns="customer_id status placed"),
        "too_many",
    ),
    wrong(
        "10.right_order",
        "everything in one",
        _order('Index("all_of_it", "customer_id", "status", "placed")'),
        "one_for_both",
    ),
    wrong(
        "10.right_order",
        "the right two, and the left part of one",
        _order(
            'Index("by_customer", "customer_id", "placed")',
            'Index("by_status", "status", "placed")',
            columns="customer_id",
        ),
        "too_many",
    ),
    wrong(
        "10.right_order",
        "a partial one, for the status that was in the lesson",
        _order(
            'Index("by_customer", "customer_id", "placed")',
            'Index("by_status", "placed", sqlite_where=text("status = \'open\'"))',
        ),
        "only_some_statuses",
    ),
    wrong(
        "10.right_order",
        "only one of the two",
        _order('Index("by_customer", "customer_id", "placed")'),
    ),
    # -- 10.keyset --------------------------------------------------------------------------------
    right("10.keyset", "a row value", _keyset(_WHERE)),
    right(
        "10.keyset",
        "OR with a beginning in front",
        _keyset(
            "query.where(Order.placed <= placed, or_(Order.placed < placed, Order.id < id))",
        ),
    ),
    right(
        "10.keyset",
        "columns, and an empty page at the end",
        _pages(
            """
query = select(Order.id, Order.total, Order.placed)
if after:
    query = query.where(tuple_(Order.placed, Order.id) < place(after))
with Session(engine) as session:
    page = session.execute(query.order_by(ORDER).limit(limit)).all()
following = bookmark(page[-1].placed, page[-1].id) if page else None
return {"orders": [{"id": o.id, "total": o.total} for o in page], "next": following}
"""
        ),
    ),
    wrong(
        "10.keyset",
        "OFFSET in a bookmark's clothes",
        _pages(
            """
skipped = 0
if after is not None:
    if not after.isdigit():
        raise HTTPException(422, "That is no bookmark of ours.")
    skipped = int(after)
query = select(Order).order_by(ORDER).offset(skipped).limit(limit + 1)
with Session(engine) as session:
    found = session.scalars(query).all()
return {
    "orders": [{"id": one.id, "total": one.total} for one in found[:limit]],
    "next": str(skipped + limit) if len(found) > limit else None,
}
"""
        ),
        "counted_off",
    ),
    wrong(
        "10.keyset",
        "word by word, with OR",
        _keyset(
            "query.where(or_(Order.placed < placed, and_(Order.placed == placed, Order.id < id)))"
        ),
        "said_with_or",
    ),
    wrong(
        "10.keyset",
        "by the date alone",
        _keyset("query.where(Order.placed < placed)"),
        "equals_are_lost",
    ),
    wrong(
        "10.keyset",
        "by the id alone",
        _keyset("query.where(Order.id < id)"),
        "by_the_id_alone",
    ),
    wrong(
        "10.keyset",
        "the bookmark of an empty page",
        _pages(
            """
query = select(Order).order_by(ORDER)
if after is not None:
    query = WHERE
with Session(engine) as session:
    page = session.scalars(query.limit(limit)).all()
following = bookmark(page[-1].placed, page[-1].id)
return {"orders": [{"id": o.id, "total": o.total} for o in page], "next": following}
""".replace("WHERE", _WHERE)
        ),
        "the_last_of_none",
    ),
    wrong(
        "10.keyset",
        "each for itself",
        _keyset("query.where(Order.placed < placed, Order.id < id)"),
        "equals_are_lost",
    ),
    wrong(
        "10.keyset",
        "the place itself again",
        _keyset(_WHERE.replace("<", "<=")),
        "the_last_one_again",
    ),
    wrong(
        "10.keyset",
        "larger instead of smaller",
        _keyset(_WHERE.replace("<", ">")),
        "the_other_way",
    ),
    wrong(
        "10.keyset",
        "a page cut in Python",
        _pages(
            """
with Session(engine) as session:
    rest = session.scalars(select(Order).order_by(ORDER)).all()
if after is not None:
    rest = [one for one in rest if (one.placed, one.id) < place(after)]
page = rest[:limit]
return {
    "orders": [{"id": one.id, "total": one.total} for one in page],
    "next": bookmark(page[-1].placed, page[-1].id) if len(rest) > limit else None,
}
"""
        ),
        "read_them_all",
    ),
    wrong(
        "10.keyset",
        "counted, to know whether there is more",
        _pages(
            """
query = select(Order).order_by(ORDER)
if after is not None:
    query = WHERE
with Session(engine) as session:
    total = session.scalar(select(func.count()).select_from(Order))
    oldest = session.scalar(select(Order.id).order_by(Order.placed, Order.id).limit(1))
    page = session.scalars(query.limit(limit)).all()
more = total > limit and page[-1].id != oldest
return {
    "orders": [{"id": one.id, "total": one.total} for one in page],
    "next": bookmark(page[-1].placed, page[-1].id) if more else None,
}
""".replace("WHERE", _WHERE)
        ),
        "counted",
    ),
    wrong(
        "10.keyset",
        "always a next",
        _pages(
            """
query = select(Order).order_by(ORDER)
if after is not None:
    query = WHERE
with Session(engine) as session:
    page = session.scalars(query.limit(limit)).all()
following = bookmark(page[-1].placed, page[-1].id) if page else after
return {"orders": [{"id": o.id, "total": o.total} for o in page], "next": following}
""".replace("WHERE", _WHERE)
        ),
        "never_ends",
    ),
    wrong(
        "10.keyset",
        "sorted by the date alone",
        _keyset(_WHERE, order="Order.placed.desc(), Order.id"),
        "a_place_for_two",
    ),
    # -- 10.export --------------------------------------------------------------------------------
    right(
        "10.export",
        "columns, in partitions",
        _streamed(
            """
query = select(Order.id, Order.customer_id, Order.total).order_by(Order.id)
for part in session.execute(query, execution_options={"yield_per": 500}).partitions():
    yield "".join(LINE for one in part)
"""
        ),
    ),
    right(
        "10.export",
        "objects, a piece a row",
        _streamed(
            """
query = select(Order).order_by(Order.id).execution_options(yield_per=100)
for one in session.scalars(query):
    yield LINE
"""
        ),
    ),
    right(
        "10.export",
        "page by page",
        _streamed(
            """
last = 0
query = select(Order).order_by(Order.id).limit(500)
while part := session.scalars(query.where(Order.id > last)).all():
    yield "".join(LINE for one in part)
    last = part[-1].id
    session.expunge_all()
"""
        ),
    ),
    right(
        "10.export",
        "a dependency in the default scope",
        _export(
            _WITH_DEPENDENCY,
            "def export(session: Annotated[Session, Depends(get_db)]) -> StreamingResponse:",
        ),
    ),
    wrong(
        "10.export",
        "one long text",
        _export(
            """
with SessionLocal() as session:
    orders = session.scalars(select(Order).order_by(Order.id)).all()
lines = [LINE for one in orders]
text = "id,customer_id,total\\n" + "".join(lines)
return Response(text, media_type="text/csv")
""".replace("LINE", _LINE),
            "def export_orders():",
        ).replace("class Base", "from fastapi import Response\n\n\nclass Base", 1),
        "made_in_one_piece",
    ),
    wrong(
        "10.export",
        "all(), and then it streams",
        _streamed(
            """
for one in session.scalars(select(Order).order_by(Order.id)).all():
    yield LINE
"""
        ),
        "read_before_it_sent",
    ),
    wrong(
        "10.export",
        "a loop over objects, without yield_per",
        _streamed(
            """
for one in session.scalars(select(Order).order_by(Order.id)):
    yield LINE
"""
        ),
        "read_before_it_sent",
    ),
    wrong(
        "10.export",
        "a loop over columns, without yield_per",
        _streamed(
            """
for one in session.execute(select(Order.id, Order.customer_id, Order.total).order_by(Order.id)):
    yield LINE
"""
        ),
        "read_before_it_sent",
    ),
    wrong(
        "10.export",
        "yield_per when it has been asked",
        _streamed(
            """
orders = session.scalars(select(Order).order_by(Order.id)).yield_per(500)
for one in orders:
    yield LINE
"""
        ),
        "left_to_the_driver",
    ),
    wrong(
        "10.export",
        "a bare connection",
        _streamed(
            """
query = select(Order.id, Order.customer_id, Order.total).order_by(Order.id)
for one in session.connection().execute(query):
    yield LINE
"""
        ),
        "left_to_the_driver",
    ),
    wrong(
        "10.export",
        "a thousand at a time",
        _streamed(
            """
for one in session.scalars(select(Order).order_by(Order.id).execution_options(yield_per=1000)):
    yield LINE
"""
        ),
        "too_large_a_part",
    ),
    wrong(
        "10.export",
        "the session of the request",
        _export(
            _WITH_DEPENDENCY,
            'def export(session: Annotated[Session, Depends(get_db, scope="function")])'
            " -> StreamingResponse:",
        ),
        "asked_a_closed_session",
    ),
    wrong(
        "10.export",
        "asked in the endpoint, read in the body",
        _export(
            """
query = select(Order.id, Order.customer_id, Order.total).order_by(Order.id)
with SessionLocal() as session:
    orders = session.execute(query.execution_options(yield_per=500))

def pieces() -> Iterator[str]:
    yield "id,customer_id,total\\n"
    for part in orders.partitions():
        yield "".join(LINE for one in part)

return StreamingResponse(pieces(), media_type="text/csv")
""".replace("LINE", _LINE)
        ),
        "read_a_borrowed_result",
    ),
    wrong(
        "10.export",
        "yields rows",
        _export(_PIECES_OF_ROWS),
        "pieces_that_are_no_text",
    ),
    wrong(
        "10.export",
        "no line ends",
        _export(
            _PIECES_OF_ROWS.replace(
                "yield part", 'yield "".join(f"{one.id}" for one in part)'
            ).replace("\\n", "")
        ),
        "lines_without_an_end",
    ),
    wrong(
        "10.export",
        "never closed",
        _export(
            """
session = SessionLocal()
app.state.session = session

def pieces() -> Iterator[str]:
    yield "id,customer_id,total\\n"
    query = select(Order).order_by(Order.id).execution_options(yield_per=500)
    for one in session.scalars(query):
        yield LINE

return StreamingResponse(pieces(), media_type="text/csv")
""".replace("LINE", _LINE)
        ),
        "never_closed",
    ),
    wrong(
        "10.export",
        "no first line",
        _streamed(
            """
for one in session.scalars(select(Order).order_by(Order.id).execution_options(yield_per=500)):
    yield LINE
"""
        ).replace('        yield "id,customer_id,total\\n"\n', ""),
    ),
)
