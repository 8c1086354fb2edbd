"""Answers to lesson 02, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong


def _models(
    reviews: str,
    column: str,
    customer: str,
    head: str = "",
) -> str:
    return f"""\
{head}
class ReviewBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)

class Customer(ReviewBase):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    {reviews}

class Review(ReviewBase):
    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    {column}
    {customer}
"""


_REVIEWS = 'reviews: Mapped[list["Review"]] = relationship(back_populates="customer")'
_COLUMN = 'customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))'
_CUSTOMER = 'customer: Mapped["Customer"] = relationship(back_populates="reviews")'

_PAGE = """\
class Page(BaseModel):
    total: int
    books: list[BookOut]

app = FastAPI()
"""

_HEAD = """\

@app.get("/books", response_model=Page)
def list_books(
    session: SessionDep,
    author_id: int | None = None,
    max_price: int | None = None,
    sort: Literal["title", "price", "-price"] = "title",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
):
"""

_NARROW = """\
    query = select(Book)
    if author_id is not None:
        query = query.where(Book.author_id == author_id)
    if max_price is not None:
        query = query.where(Book.price <= max_price)
"""

_COUNT = """\
    total = session.scalar(select(func.count()).select_from(query.subquery()))
"""

_ORDER = """\
    orders = {"title": Book.title, "price": Book.price, "-price": Book.price.desc()}
    query = query.order_by(orders[sort], Book.id)
"""

_CUT = """\
    books = session.scalars(query.limit(limit).offset(offset)).all()
    return {"total": total, "books": books}
"""


def _list(body: str = _NARROW + _COUNT + _ORDER + _CUT, head: str = _HEAD) -> str:
    return _PAGE + head + body


_CHANGE = """\
class BookChange(BaseModel):
    isbn: str | MISSING = MISSING
    title: str | MISSING = MISSING
    blurb: str | None = None
    price: int | MISSING = MISSING
"""

_ALL_OPTIONAL = """\
class BookChange(BaseModel):
    isbn: str | None = None
    title: str | None = None
    blurb: str | None = None
    price: int | None = None
"""

_SET = """\
    for name, value in change.model_dump(exclude_unset=True).items():
        setattr(book, name, value)
"""

_GET = """\
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
"""

_FLUSH = """\
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return book
"""


def _patch(body: str = _GET + _SET + _FLUSH, schema: str = _CHANGE) -> str:
    return f"""\
app = FastAPI()

{schema}

@app.patch("/books/{{book_id}}", response_model=BookOut)
def change_book(book_id: int, change: BookChange, session: SessionDep):
{body}"""


def _clubs(
    meetings: str = "",
    meeting_key: str = "",
    notes: str = "",
    note_key: str = "",
    null: str = " | None",
    body: str = "        session.delete(club)\n",
    engine: str = "strict_engine",
    session: str = "ClubSession.begin()",
) -> str:
    return f"""\
class ClubBase(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)

class Club(ClubBase):
    __tablename__ = "club"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    meetings: Mapped[list["Meeting"]] = relationship(back_populates="club"{meetings})

class Meeting(ClubBase):
    __tablename__ = "meeting"

    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str]
    club_id: Mapped[int{null}] = mapped_column(ForeignKey("club.id"{meeting_key}), index=True)
    club: Mapped["Club{null}"] = relationship(back_populates="meetings")
    notes: Mapped[list["Note"]] = relationship(back_populates="meeting"{notes})

class Note(ClubBase):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    meeting_id: Mapped[int{null}] = mapped_column(ForeignKey("meeting.id"{note_key}), index=True)
    meeting: Mapped["Meeting{null}"] = relationship(back_populates="notes")

club_engine = {engine}()
ClubBase.metadata.create_all(club_engine)
ClubSession = sessionmaker(club_engine)

app = FastAPI()

@app.delete("/clubs/{{club_id}}", status_code=204)
def delete_club(club_id: int) -> None:
    with {session} as session:
        club = session.get(Club, club_id)
        if club is None:
            raise HTTPException(404, "No such club.")
{body}"""


_PARTS = ', cascade="all, delete-orphan"'
_CASCADE = ', ondelete="CASCADE"'


ANSWERS: tuple[Answer, ...] = (
    # -- 02.relationship --------------------------------------------------------------------------
    right(
        "02.relationship",
        "a set, with a cascade",
        _models(
            'reviews: Mapped[set["Review"]] = relationship(back_populates="customer", '
            'cascade="all, delete-orphan")',
            "customer_id: Mapped[int] = "
            'mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), index=True)',
            "customer: Mapped[Customer] = relationship(back_populates='reviews')",
        ),
    ),
    right(
        "02.relationship",
        "backref, from one end",
        _models("", _COLUMN, 'customer: Mapped["Customer"] = relationship(backref="reviews")'),
    ),
    right(
        "02.relationship",
        "classic columns",
        _models(
            'reviews = relationship("Review", back_populates="customer")',
            'customer_id = Column(Integer, ForeignKey("customer.id"), nullable=False)',
            'customer = relationship("Customer", back_populates="reviews")',
            head="from sqlalchemy import Column, Integer",
        ),
    ),
    right(
        "02.relationship",
        "write-only",
        _models(
            'reviews: WriteOnlyMapped["Review"] = relationship(back_populates="customer")',
            _COLUMN,
            _CUSTOMER,
            head="from sqlalchemy.orm import WriteOnlyMapped",
        ),
    ),
    right(
        "02.relationship",
        "a dictionary by id",
        _models(
            'reviews: Mapped[dict[str, "Review"]] = relationship(back_populates="customer", '
            'collection_class=attribute_keyed_dict("words"))',
            _COLUMN,
            _CUSTOMER,
            head="from sqlalchemy.orm import attribute_keyed_dict",
        ),
    ),
    right(
        "02.relationship",
        "dynamic, as in old tutorials",
        _models(
            'reviews = relationship("Review", back_populates="customer", lazy="dynamic")',
            _COLUMN,
            _CUSTOMER,
        ),
    ),
    wrong(
        "02.relationship",
        "no foreign key",
        _models(_REVIEWS, "customer_id: Mapped[int]", _CUSTOMER),
        "no_foreign_key",
    ),
    wrong(
        "02.relationship",
        "the class's name in the foreign key",
        _models(
            _REVIEWS,
            'customer_id: Mapped[int] = mapped_column(ForeignKey("Customer.id"))',
            _CUSTOMER,
        ),
        "no_foreign_key",
    ),
    wrong(
        "02.relationship",
        "a column that is not there",
        _models(
            _REVIEWS,
            'customer_id: Mapped[int] = mapped_column(ForeignKey("customer.customer_id"))',
            _CUSTOMER,
        ),
        "no_foreign_key",
    ),
    wrong(
        "02.relationship",
        "names the table in back_populates",
        _models(
            'reviews: Mapped[list["Review"]] = relationship(back_populates="review")',
            _COLUMN,
            _CUSTOMER,
        ),
        "the_wrong_name",
    ),
    right(
        "02.relationship",
        "a column by another name",
        _models(
            _REVIEWS, 'by_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))', _CUSTOMER
        ),
    ),
    wrong(
        "02.relationship",
        "the foreign key in the customer",
        _models(
            'review_id: Mapped[int] = mapped_column(ForeignKey("review.id"))\n    ' + _REVIEWS,
            "",
            _CUSTOMER,
        ),
        "on_the_wrong_side",
    ),
    wrong(
        "02.relationship",
        "a class that does not exist",
        _models(
            'reviews: Mapped[list["Reviews"]] = relationship(back_populates="customer")',
            _COLUMN,
            _CUSTOMER,
        ),
    ),
    wrong(
        "02.relationship",
        "one review, by its annotation",
        _models(
            'reviews: Mapped["Review"] = relationship(back_populates="customer")',
            _COLUMN,
            _CUSTOMER,
        ),
        "one_and_not_many",
    ),
    wrong(
        "02.relationship",
        "two ends that are not tied",
        _models(
            'reviews: Mapped[list["Review"]] = relationship()',
            _COLUMN,
            'customer: Mapped["Customer"] = relationship()',
        ),
        "not_tied",
    ),
    wrong(
        "02.relationship",
        "tied at one end only",
        _models(_REVIEWS, _COLUMN, 'customer: Mapped["Customer"] = relationship()'),
        "not_tied",
    ),
    wrong(
        "02.relationship",
        "view only",
        _models(
            'reviews: Mapped[list["Review"]] = relationship(viewonly=True)',
            _COLUMN,
            'customer: Mapped["Customer"] = relationship()',
        ),
        "not_tied",
    ),
    wrong(
        "02.relationship",
        "a customer may be missing",
        _models(
            _REVIEWS,
            'customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))',
            _CUSTOMER,
        ),
        "may_be_missing",
    ),
    wrong(
        "02.relationship",
        "only one end",
        _models("", _COLUMN, 'customer: Mapped["Customer"] = relationship()'),
    ),
    wrong(
        "02.relationship",
        "only the column",
        _models("", _COLUMN, ""),
    ),
    right(
        "02.relationship",
        "a constraint of the table, a list from typing",
        _models(
            _REVIEWS.replace("list", "List"),
            "customer_id: Mapped[int]\n"
            '    __table_args__ = (ForeignKeyConstraint(["customer_id"], ["customer.id"]),)',
            _CUSTOMER,
            head="from typing import List\nfrom sqlalchemy import ForeignKeyConstraint\n",
        ),
    ),
    wrong(
        "02.relationship",
        "a foreign key that is no column",
        _models(_REVIEWS, 'customer_id = ForeignKey("customer.id")', _CUSTOMER),
        "no_foreign_key",
    ),
    wrong(
        "02.relationship",
        "the column by the name of the relationship",
        _models(_REVIEWS, "", 'customer: Mapped[int] = mapped_column(ForeignKey("customer.id"))'),
        "the_column_by_that_name",
    ),
    wrong(
        "02.relationship",
        "copied from the author's books",
        _models(
            _REVIEWS.replace('"customer"', '"author"'),
            _COLUMN,
            _CUSTOMER.replace('"reviews"', '"books"'),
        ),
        "the_wrong_name",
    ),
    wrong(
        "02.relationship",
        "one review for each customer, by a unique column",
        _models(_REVIEWS, _COLUMN.replace('"))', '"), unique=True)'), _CUSTOMER),
    ),
    # -- 02.list ----------------------------------------------------------------------------------
    right(
        "02.list",
        "a list of conditions, counted apart; an enum",
        """
from enum import Enum

class Sort(str, Enum):
    title = "title"
    cheap = "price"
    dear = "-price"

class Page(BaseModel):
    total: int
    books: list[BookOut]

app = FastAPI()

@app.get("/books")
def books(
    session: SessionDep,
    author_id: int | None = None,
    max_price: int | None = None,
    sort: Sort = Sort.title,
    limit: int = Query(20, ge=1, le=100),
    offset: int = Query(0, ge=0),
) -> Page:
    conditions = []
    if author_id is not None:
        conditions.append(Book.author_id == author_id)
    if max_price is not None:
        conditions.append(Book.price <= max_price)
    order = {Sort.title: [Book.title], Sort.cheap: [Book.price], Sort.dear: [Book.price.desc()]}
    total = session.scalars(select(func.count(Book.id)).where(*conditions)).one()
    rows = session.scalars(
        select(Book).where(*conditions).order_by(*order[sort], Book.id.desc()).slice(offset, offset + limit)
    )
    return Page(total=total, books=[BookOut.model_validate(row) for row in rows])
""",
    ),
    right(
        "02.list",
        "the classic query, in a session of its own",
        """
class Page(BaseModel):
    total: int
    books: list[BookOut]

app = FastAPI()

@app.get("/books", response_model=Page)
def list_books(author_id: int = None, max_price: int = None, sort: str = "title",
               limit: int = 20, offset: int = 0):
    if not 1 <= limit <= 100 or offset < 0 or sort not in ("title", "price", "-price"):
        raise HTTPException(422, "Out of range.")
    with SessionLocal() as db:
        q = db.query(Book)
        if author_id is not None:
            q = q.filter(Book.author_id == author_id)
        if max_price is not None:
            q = q.filter(Book.price <= max_price)
        count = q.count()
        column = getattr(Book, sort.lstrip("-"))
        q = q.order_by(column.desc() if sort.startswith("-") else column.asc(), Book.isbn)
        found = q.offset(offset).limit(limit).all()
        return {"total": count, "books": [BookOut.model_validate(one) for one in found]}
""",
    ),
    right(
        "02.list",
        "a model for the parameters, async, a window function",
        """
class Page(BaseModel):
    total: int
    books: list[BookOut]

class Asked(BaseModel):
    author_id: int | None = None
    max_price: int | None = None
    sort: Literal["title", "price", "-price"] = "title"
    limit: int = Query(20, ge=1, le=100)
    offset: int = Query(0, ge=0)

app = FastAPI()

@app.get("/books", response_model=Page)
async def list_books(asked: Annotated[Asked, Query()], session: SessionDep):
    q = select(Book, func.count().over())
    if asked.author_id is not None:
        q = q.filter_by(author_id=asked.author_id)
    if asked.max_price is not None:
        q = q.where(Book.price <= asked.max_price)
    if asked.sort == "title":
        q = q.order_by(Book.title, Book.id)
    elif asked.sort == "price":
        q = q.order_by(Book.price, Book.id)
    else:
        q = q.order_by(Book.price.desc(), Book.id)
    rows = session.execute(q.limit(asked.limit).offset(asked.offset)).all()
    return {"total": rows[0][1] if rows else 0, "books": [row[0] for row in rows]}
""",
    ),
    wrong(
        "02.list",
        "asks whether the filter is true",
        _list(
            """\
    query = select(Book)
    if author_id:
        query = query.where(Book.author_id == author_id)
    if max_price:
        query = query.where(Book.price <= max_price)
"""
            + _COUNT
            + _ORDER
            + _CUT
        ),
        "zero_is_something",
    ),
    wrong(
        "02.list",
        "elif between the filters",
        _list(_NARROW.replace("    if max_price", "    elif max_price") + _COUNT + _ORDER + _CUT),
        "one_filter_at_a_time",
    ),
    wrong(
        "02.list",
        "a filter that starts afresh",
        _list(
            _NARROW.replace(
                "query.where(Book.price <= max_price)",
                "select(Book).where(Book.price <= max_price)",
            )
            + _COUNT
            + _ORDER
            + _CUT
        ),
        "one_filter_at_a_time",
    ),
    wrong(
        "02.list",
        "throws the narrowed query away",
        _list(_NARROW.replace("query = query.where", "query.where") + _COUNT + _ORDER + _CUT),
        "narrowed_nothing",
    ),
    wrong(
        "02.list",
        "counts the table",
        _list(
            _NARROW
            + "    total = session.scalar(select(func.count()).select_from(Book))\n"
            + _ORDER
            + _CUT
        ),
        "total_of_everything",
    ),
    wrong(
        "02.list",
        "counts the page",
        _list(_NARROW + _ORDER + _CUT.replace('"total": total', '"total": len(books)')),
        "total_of_the_page",
    ),
    wrong(
        "02.list",
        "takes the offset for a page",
        _list(_NARROW + _COUNT + _ORDER + _CUT.replace("offset(offset)", "offset(offset * limit)")),
        "offset_is_not_a_page",
    ),
    wrong(
        "02.list",
        "slices a page that is cut already",
        _list(
            _NARROW
            + _COUNT
            + _ORDER
            + _CUT.replace(".limit(limit).offset(offset)).all()", ".limit(limit)).all()[offset:]")
        ),
        "offset_is_not_a_page",
    ),
    wrong(
        "02.list",
        "forgets the offset",
        _list(_NARROW + _COUNT + _ORDER + _CUT.replace(".offset(offset)", "")),
        "always_the_first_page",
    ),
    wrong(
        "02.list",
        "filters what is on the page",
        _list(
            """\
    orders = {"title": Book.title, "price": Book.price, "-price": Book.price.desc()}
    query = select(Book).order_by(orders[sort], Book.id)
"""
            + _COUNT
            + """\
    books = session.scalars(query.limit(limit).offset(offset)).all()
    if author_id is not None:
        books = [book for book in books if book.author_id == author_id]
    if max_price is not None:
        books = [book for book in books if book.price <= max_price]
    if author_id is not None or max_price is not None:
        total = len(books)
    return {"total": total, "books": books}
"""
        ),
        "cut_first",
    ),
    wrong(
        "02.list",
        "sorts what is on the page",
        _list(
            _NARROW
            + _COUNT
            + """\
    books = session.scalars(query.order_by(Book.id).limit(limit).offset(offset)).all()
    key = sort.lstrip("-")
    books = sorted(books, key=lambda book: getattr(book, key), reverse=sort != key)
    return {"total": total, "books": books}
"""
        ),
        "cut_first",
    ),
    wrong(
        "02.list",
        "no tie-breaker",
        _list(_NARROW + _COUNT + _ORDER.replace(", Book.id", "") + _CUT),
        "no_total_order",
    ),
    wrong(
        "02.list",
        "a tie-breaker that ties",
        _list(_NARROW + _COUNT + _ORDER.replace(", Book.id", ", Book.title") + _CUT),
        "no_total_order",
    ),
    wrong(
        "02.list",
        "any limit",
        _list(head=_HEAD.replace("Annotated[int, Query(ge=1, le=100)]", "int")),
        "no_ceiling",
    ),
    wrong(
        "02.list",
        "a floor and no ceiling",
        _list(head=_HEAD.replace("ge=1, le=100", "ge=1")),
        "no_ceiling",
    ),
    wrong(
        "02.list",
        "silently less than was asked for",
        _list(
            _NARROW + _COUNT + _ORDER + _CUT.replace("limit(limit)", "limit(min(limit, 100))"),
            head=_HEAD.replace("ge=1, le=100", "ge=1"),
        ),
        "no_ceiling",
    ),
    wrong(
        "02.list",
        "any sort, looked up",
        _list(head=_HEAD.replace('Literal["title", "price", "-price"]', "str")),
        "any_sort_goes",
    ),
    wrong(
        "02.list",
        "any sort, ignored",
        _list(
            _NARROW
            + _COUNT
            + _ORDER.replace("orders[sort]", "orders.get(sort, Book.title)")
            + _CUT,
            head=_HEAD.replace('Literal["title", "price", "-price"]', "str"),
        ),
        "any_sort_goes",
    ),
    wrong(
        "02.list",
        "all books, cut in Python",
        _list(
            _NARROW
            + _ORDER
            + """\
    books = session.scalars(query).all()
    return {"total": len(books), "books": books[offset : offset + limit]}
"""
        ),
        "cut_in_python",
    ),
    wrong(
        "02.list",
        "counts by fetching",
        _list(_NARROW + "    total = len(session.scalars(query).all())\n" + _ORDER + _CUT),
        "cut_in_python",
    ),
    wrong(
        "02.list",
        "no filter by price yet",
        _list(
            _NARROW.replace("if max_price is not None", "if False") + _COUNT + _ORDER + _CUT,
        ),
    ),
    wrong(
        "02.list",
        "a bare list",
        _list()
        .replace("response_model=Page", "")
        .replace('{"total": total, "books": books}', "books"),
    ),
    wrong(
        "02.list",
        "endless pages",
        _list('    return {"total": 26, "books": session.scalars(select(Book).limit(20)).all()}\n'),
        "always_the_first_page",
    ),
    wrong("02.list", "no route", _PAGE + "\nnothing = 1\n"),
    wrong("02.list", "a word", _list('    return "books"\n').replace(", response_model=Page", "")),
    wrong(
        "02.list",
        "books that are not books",
        _list('    return {"total": "many", "books": [{"id": []}, 7, None] * 10}\n').replace(
            ", response_model=Page", ""
        ),
    ),
    wrong("02.list", "raises", _list('    raise RuntimeError("later")\n')),
    right(
        "02.list",
        "a slice of the query, the ISBN as the tie-breaker",
        _list(
            _NARROW
            + _COUNT
            + _ORDER.replace("Book.id", "Book.isbn")
            + """\
    books = session.scalars(query.slice(offset, offset + limit)).all()
    return {"total": total, "books": books}
"""
        ),
    ),
    right(
        "02.list",
        "in plain SQL",
        _list(
            """\
    where = "(:author IS NULL OR author_id = :author) AND (:price IS NULL OR price <= :price)"
    given = {"author": author_id, "price": max_price}
    total = session.scalar(text(f"SELECT count(*) FROM book WHERE {where}"), given)
    order = {"title": "title", "price": "price", "-price": "price DESC"}[sort]
    page = text(f"SELECT * FROM book WHERE {where} ORDER BY {order}, id LIMIT :limit OFFSET :skip")
    rows = session.execute(page, {**given, "limit": limit, "skip": offset}).mappings().all()
    return {"total": total, "books": rows}
"""
        ),
    ),
    wrong(
        "02.list",
        "a ceiling that is too high",
        _list(head=_HEAD.replace("le=100", "le=1000")),
        "no_ceiling",
    ),
    wrong(
        "02.list",
        "the tie-breaker first",
        _list(
            _NARROW
            + _COUNT
            + _ORDER.replace("(orders[sort], Book.id)", "(Book.id, orders[sort])")
            + _CUT
        ),
        "by_id_instead",
    ),
    wrong(
        "02.list",
        "throws the order away",
        _list(_NARROW + _COUNT + _ORDER.replace("query = query", "query") + _CUT),
        "by_id_instead",
    ),
    wrong(
        "02.list",
        "throws the cut away",
        _list(
            _NARROW
            + _COUNT
            + _ORDER
            + """\
    query.limit(limit).offset(offset)
    return {"total": total, "books": session.scalars(query).all()}
"""
        ),
        "not_cut",
    ),
    wrong(
        "02.list",
        "less than, not at most",
        _list(_NARROW.replace("<=", "<") + _COUNT + _ORDER + _CUT),
    ),
    wrong(
        "02.list",
        "rows where books should be",
        _list(_NARROW + _COUNT + _ORDER + _CUT.replace("scalars", "execute")),
    ),
    # -- 02.patch ---------------------------------------------------------------------------------
    right(
        "02.patch",
        "defaults that are never used; an UPDATE",
        _patch(
            """\
    sent = change.model_dump(exclude_unset=True)
    try:
        if sent:
            session.execute(update(Book).where(Book.id == book_id).values(**sent))
    except IntegrityError as error:
        raise HTTPException(409, "That ISBN is taken.") from error
    book = session.get(Book, book_id)
    if book is None:
        raise HTTPException(404, "No such book.")
    return book
""",
            """\
from sqlalchemy import update

class BookChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    isbn: str = ""
    title: str = ""
    blurb: str | None = None
    price: int = 0
""",
        ),
    ),
    right(
        "02.patch",
        "looks first, and at the fields that were set; a session of its own",
        """
from pydantic import field_validator

app = FastAPI()

class BookChange(BaseModel):
    isbn: str | None = None
    title: str | None = None
    blurb: str | None = None
    price: int | None = None

    @field_validator("isbn", "title", "price")
    @classmethod
    def not_null(cls, value):
        if value is None:
            raise ValueError("may be left out, may not be null")
        return value

@app.patch("/books/{book_id}")
async def change_book(book_id: int, change: BookChange) -> BookOut:
    with SessionLocal() as db:
        book = db.get(Book, book_id)
        if not book:
            raise HTTPException(status_code=404, detail="Book not found")
        if "isbn" in change.model_fields_set:
            other = db.scalar(select(Book).where(Book.isbn == change.isbn, Book.id != book_id))
            if other:
                raise HTTPException(status_code=409, detail="ISBN taken")
        for name in change.model_fields_set:
            setattr(book, name, getattr(change, name))
        db.commit()
        db.refresh(book)
        return BookOut.model_validate(book)
""",
    ),
    right(
        "02.patch",
        "MISSING everywhere, and no exclude_unset",
        _patch(
            _GET + _SET.replace("exclude_unset=True", "") + _FLUSH,
            _CHANGE.replace("str | None = None", "str | None | MISSING = MISSING"),
        ),
    ),
    right(
        "02.patch",
        "looks first, then merges",
        _patch(
            _GET
            + """\
    sent = change.model_dump(exclude_unset=True)
    if isbn := sent.get("isbn"):
        if session.scalar(select(Book.id).where(Book.isbn == isbn, Book.id != book_id)):
            raise HTTPException(409, "Taken.")
    return session.merge(Book(id=book_id, **sent))
"""
        ),
    ),
    right(
        "02.patch",
        "null refused by hand",
        _patch(
            _GET
            + """\
    sent = change.model_dump(exclude_unset=True)
    if any(value is None for name, value in sent.items() if name != "blurb"):
        raise HTTPException(422, "Only a blurb can be erased.")
    for name, value in sent.items():
        setattr(book, name, value)
"""
            + _FLUSH,
            _ALL_OPTIONAL,
        ),
    ),
    wrong(
        "02.patch",
        "sets the defaults as well; NOT NULL says no",
        _patch(
            _GET
            + _SET.replace("exclude_unset=True", "")
            + "    session.flush()\n    return book\n",
            _ALL_OPTIONAL,
        ),
        "changed_the_rest",
    ),
    wrong(
        "02.patch",
        "sets the defaults as well; the answer's schema says no",
        _patch(
            _GET + _SET.replace("exclude_unset=True", "") + "    return book\n",
            _ALL_OPTIONAL,
        ),
        "changed_the_rest",
    ),
    wrong(
        "02.patch",
        "sets the defaults as well, and calls it a conflict",
        _patch(_GET + _SET.replace("exclude_unset=True", "") + _FLUSH, _ALL_OPTIONAL),
        "changed_the_rest",
    ),
    wrong(
        "02.patch",
        "erases the blurb only",
        _patch(_GET + _SET.replace("exclude_unset=True", "") + _FLUSH),
        "changed_the_rest",
    ),
    wrong(
        "02.patch",
        "assigns field by field",
        _patch(
            _GET
            + """\
    book.isbn = change.isbn
    book.title = change.title
    book.blurb = change.blurb
    book.price = change.price
"""
            + _FLUSH,
            _ALL_OPTIONAL,
        ),
        "changed_the_rest",
    ),
    wrong(
        "02.patch",
        "exclude_none",
        _patch(_GET + _SET.replace("exclude_unset", "exclude_none") + _FLUSH, _ALL_OPTIONAL),
        "cannot_erase",
    ),
    wrong(
        "02.patch",
        "exclude_defaults",
        _patch(_GET + _SET.replace("exclude_unset", "exclude_defaults") + _FLUSH),
        "cannot_erase",
    ),
    wrong(
        "02.patch",
        "asks whether it is true",
        _patch(
            _GET
            + """\
    if change.isbn:
        book.isbn = change.isbn
    if change.title:
        book.title = change.title
    if change.blurb:
        book.blurb = change.blurb
    if change.price:
        book.price = change.price
"""
            + _FLUSH,
            _ALL_OPTIONAL,
        ),
        "zero_is_something",
    ),
    wrong(
        "02.patch",
        "keeps the old where nothing came",
        _patch(
            _GET
            + """\
    for name, value in change.model_dump().items():
        setattr(book, name, value or getattr(book, name))
"""
            + _FLUSH,
            _ALL_OPTIONAL,
        ),
        "zero_is_something",
    ),
    wrong(
        "02.patch",
        "skips null for what cannot be null",
        _patch(
            _GET
            + """\
    for name, value in change.model_dump(exclude_unset=True).items():
        if value is not None or name == "blurb":
            setattr(book, name, value)
"""
            + _FLUSH,
            _ALL_OPTIONAL,
        ),
        "null_is_ignored",
    ),
    wrong(
        "02.patch",
        "the schema for new books",
        _patch(schema="class BookChange(BookNew):\n    pass\n"),
        "asks_for_everything",
    ),
    wrong(
        "02.patch",
        "optional without a default",
        _patch(schema=_ALL_OPTIONAL.replace(" = None", "")),
        "asks_for_everything",
    ),
    wrong(
        "02.patch",
        "null for a title is a 500",
        _patch(_GET + _SET + "    return book\n", _ALL_OPTIONAL),
        "null_is_a_500",
    ),
    wrong(
        "02.patch",
        "null for a title is a conflict",
        _patch(schema=_ALL_OPTIONAL),
        "null_is_a_conflict",
    ),
    wrong(
        "02.patch",
        "a taken ISBN is a 500",
        _patch(_GET + _SET + "    session.flush()\n    return book\n"),
        "taken_is_a_500",
    ),
    wrong(
        "02.patch",
        "tries, but does not flush",
        _patch(
            _GET
            + """\
    try:
        for name, value in change.model_dump(exclude_unset=True).items():
            setattr(book, name, value)
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return book
"""
        ),
        "taken_is_a_500",
    ),
    wrong(
        "02.patch",
        "looks first, and finds itself",
        _patch(
            _GET
            + """\
    sent = change.model_dump(exclude_unset=True)
    if session.scalar(select(Book.id).where(Book.isbn == sent.get("isbn"))):
        raise HTTPException(409, "Taken.")
    for name, value in sent.items():
        setattr(book, name, value)
    return book
"""
        ),
        "taken_by_itself",
    ),
    wrong(
        "02.patch",
        "commits in the endpoint",
        _patch(_GET + _SET + _FLUSH.replace("session.flush()", "session.commit()")),
        "commits_itself",
    ),
    wrong(
        "02.patch",
        "commits in the endpoint, and answers with an expired object",
        _patch(_GET + _SET + "    session.commit()\n    return book\n").replace(
            ", response_model=BookOut", ""
        ),
        "commits_itself",
    ),
    wrong(
        "02.patch",
        "no 404",
        _patch("    book = session.get(Book, book_id)\n" + _SET + _FLUSH),
        "nobody_at_home",
    ),
    wrong(
        "02.patch",
        "get_one, uncaught",
        _patch("    book = session.get_one(Book, book_id)\n" + _SET + _FLUSH),
        "nobody_at_home",
    ),
    wrong(
        "02.patch",
        "whatever the client sends",
        """
app = FastAPI()

@app.patch("/books/{book_id}", response_model=BookOut)
def change_book(book_id: int, change: dict[str, Any], session: SessionDep):
"""
        + _GET
        + """\
    for name, value in change.items():
        setattr(book, name, value)
"""
        + _FLUSH,
        "took_everything",
    ),
    wrong(
        "02.patch",
        "the author as well",
        _patch(schema=_CHANGE + "    author_id: int | MISSING = MISSING\n"),
        "took_everything",
    ),
    wrong(
        "02.patch",
        "changes a copy",
        _patch(
            _GET
            + """\
    old = BookOut.model_validate(book)
    return old.model_copy(update=change.model_dump(exclude_unset=True))
"""
        ),
        "not_kept",
    ),
    wrong(
        "02.patch",
        "a session that nobody commits",
        """
app = FastAPI()

"""
        + _CHANGE
        + """
@app.patch("/books/{book_id}", response_model=BookOut)
def change_book(book_id: int, change: BookChange):
    with SessionLocal() as session:
"""
        + "".join(f"    {line}\n" for line in (_GET + _SET + _FLUSH).splitlines()),
        "not_kept",
    ),
    wrong(
        "02.patch",
        "answers only what was changed",
        _patch(_GET + _SET + _FLUSH.replace("return book", "return change")).replace(
            ", response_model=BookOut", ""
        ),
    ),
    wrong(
        "02.patch", "forgets to return", _patch(_GET + _SET + "    session.flush()\n"), "not_a_book"
    ),
    wrong("02.patch", "no route", "app = FastAPI()\nnothing = 1\n"),
    wrong("02.patch", "another method", _patch().replace("app.patch", "app.put")),
    wrong("02.patch", "always raises", _patch('    raise AttributeError("later")\n')),
    wrong(
        "02.patch",
        "always a conflict",
        _patch('    raise HTTPException(409, "No.")\n'),
    ),
    wrong(
        "02.patch",
        "a word",
        _patch('    return "changed"\n').replace(", response_model=BookOut", ""),
    ),
    right(
        "02.patch",
        "a bare 404",
        _patch(_GET.replace('(404, "No such book.")', "(404)") + _SET + _FLUSH),
    ),
    wrong(
        "02.patch",
        "returns the exception",
        _patch(_GET.replace("raise", "return") + _SET + _FLUSH),
        "returned_not_raised",
    ),
    wrong(
        "02.patch",
        "returns the exception, and nothing checks the answer",
        _patch(_GET.replace("raise", "return") + _SET + _FLUSH).replace(
            ", response_model=BookOut", ""
        ),
        "returned_not_raised",
    ),
    wrong(
        "02.patch",
        "changes every book",
        _patch(
            """\
    sent = change.model_dump(exclude_unset=True)
    try:
        session.execute(update(Book).values(**sent))
    except IntegrityError as error:
        raise HTTPException(409, "That ISBN is taken.") from error
"""
            + _GET
            + "    return book\n",
            "from sqlalchemy import update\n" + _CHANGE,
        ),
        "every_book",
    ),
    wrong(
        "02.patch",
        "forgets the price",
        _patch(schema=_CHANGE.replace("    price: int | MISSING = MISSING\n", "")),
        "not_all_four",
    ),
    wrong(
        "02.patch",
        "sets the attributes of the schema",
        _patch(_GET + _SET.replace("setattr(book", "setattr(change") + _FLUSH),
    ),
    # -- 02.delete --------------------------------------------------------------------------------
    right(
        "02.delete", "the ORM deletes, and the column still takes NULL", _clubs(_PARTS, "", _PARTS)
    ),
    right(
        "02.delete",
        "the database deletes, the ORM keeps its hands off",
        _clubs(", passive_deletes=True", _CASCADE, ", passive_deletes='all'", _CASCADE, null=""),
    ),
    right(
        "02.delete",
        "one DELETE past the ORM",
        _clubs(
            "",
            _CASCADE,
            "",
            _CASCADE,
            body="        session.execute(delete(Club).where(Club.id == club_id))\n",
        ),
    ),
    right(
        "02.delete",
        "by hand, from the bottom",
        _clubs(
            body="""\
        meetings = select(Meeting.id).where(Meeting.club_id == club_id)
        session.execute(delete(Note).where(Note.meeting_id.in_(meetings)))
        session.execute(delete(Meeting).where(Meeting.club_id == club_id))
        session.delete(club)
"""
        ),
    ),
    right(
        "02.delete",
        "by hand, object by object",
        _clubs(
            body="""\
        for meeting in club.meetings:
            for note in meeting.notes:
                session.delete(note)
            session.delete(meeting)
        session.delete(club)
"""
        ),
    ),
    wrong("02.delete", "no NULL, and nothing else", _clubs(null=""), "refused_by_not_null"),
    wrong(
        "02.delete",
        "ondelete, and a column without NULL",
        _clubs("", _CASCADE, "", _CASCADE, null=""),
        "the_orm_got_there_first",
    ),
    wrong(
        "02.delete",
        "ondelete alone",
        _clubs("", _CASCADE, "", _CASCADE),
        "the_orm_got_there_first",
    ),
    wrong(
        "02.delete",
        "deletes the club past the ORM",
        _clubs(body="        session.execute(delete(Club).where(Club.id == club_id))\n"),
        "parents_first",
    ),
    wrong(
        "02.delete",
        "deletes the meetings, and leaves the notes in the way",
        _clubs(
            body="""\
        session.execute(delete(Meeting).where(Meeting.club_id == club_id))
        session.delete(club)
"""
        ),
        "parents_first",
    ),
    wrong(
        "02.delete",
        "no NULL, and the refusal put politely",
        _clubs(
            null="",
            body="""\
        try:
            session.delete(club)
            session.flush()
        except IntegrityError as error:
            raise HTTPException(409, "The club still has meetings.") from error
""",
        ),
        "refused_by_not_null",
    ),
    wrong(
        "02.delete",
        "leaves it to the database, which was not told",
        _clubs(", passive_deletes=True", "", ", passive_deletes=True", ""),
        "parents_first",
    ),
    wrong("02.delete", "a cascade of one step", _clubs(_PARTS), "only_one_step_down"),
    wrong(
        "02.delete",
        "the cascade on the wrong side",
        _clubs().replace(
            'relationship(back_populates="meetings")',
            'relationship(back_populates="meetings", cascade="save-update, merge")',
        ),
        "taken_away",
    ),
    wrong(
        "02.delete",
        "the cascade at the notes only",
        _clubs("", "", _PARTS),
        "taken_away",
    ),
    wrong(
        "02.delete",
        "empties the list",
        _clubs(body="        club.meetings.clear()\n        session.delete(club)\n"),
        "taken_away",
    ),
    wrong(
        "02.delete",
        "set to NULL by the database",
        _clubs(
            ", passive_deletes=True",
            ', ondelete="SET NULL"',
            ", passive_deletes=True",
            ', ondelete="SET NULL"',
        ),
        "set_to_null",
    ),
    wrong(
        "02.delete",
        "the ORM deletes, the database sets to NULL",
        _clubs(_PARTS, ', ondelete="SET NULL"', _PARTS, ', ondelete="SET NULL"'),
        "set_to_null",
    ),
    wrong(
        "02.delete",
        "on an engine that does not look",
        _clubs(
            engine="in_memory",
            body="        session.execute(delete(Club).where(Club.id == club_id))\n",
        ),
        "nobody_looks",
    ),
    wrong(
        "02.delete",
        "deletes all orphans-to-be, of all clubs",
        _clubs(
            body="""\
        session.execute(delete(Note))
        session.execute(delete(Meeting))
        session.delete(club)
"""
        ),
        "deleted_too_much",
    ),
    wrong(
        "02.delete",
        "nobody commits",
        _clubs(
            _PARTS,
            "",
            _PARTS,
            body="        session.delete(club)\n        session.flush()\n",
            session="ClubSession()",
        ),
        "never_committed",
    ),
    wrong(
        "02.delete",
        "refuses instead",
        _clubs(
            body="""\
        if club.meetings:
            raise HTTPException(409, "The club still has meetings.")
        session.delete(club)
"""
        ),
    ),
    wrong(
        "02.delete",
        "marked as deleted only",
        _clubs(body='        club.name = "(deleted)"\n'),
    ),
    wrong(
        "02.delete",
        "a cascade from the many to the one",
        _clubs().replace(
            'relationship(back_populates="meetings")',
            'relationship(back_populates="meetings", cascade="all, delete-orphan")',
        ),
        "on_the_side_of_the_many",
    ),
    right(
        "02.delete",
        "without delete-orphan, and the database restricts",
        _clubs(
            ', cascade="all, delete"',
            ', ondelete="RESTRICT"',
            ', cascade="all, delete"',
            ', ondelete="RESTRICT"',
            null="",
        ),
    ),
    wrong(
        "02.delete",
        "goes along from the many to the one",
        _clubs()
        .replace('populates="meetings")', 'populates="meetings", cascade="all, delete")')
        .replace('populates="notes")', 'populates="notes", cascade="all, delete")'),
        "taken_away",
    ),
    wrong(
        "02.delete",
        "the database takes along one step, and is left alone",
        _clubs(_PARTS + ", passive_deletes=True", _CASCADE),
        "parents_first",
    ),
    wrong(
        "02.delete",
        "the notes of another meeting",
        _clubs(
            body="""\
        session.execute(delete(Note).where(Note.meeting_id == club_id))
        session.execute(delete(Meeting).where(Meeting.club_id == club_id))
        session.delete(club)
"""
        ),
        "parents_first",
    ),
    wrong(
        "02.delete",
        "empties the club's name",
        _clubs(body='        club.name = "(deleted)"\n'),
    ),
    wrong("02.delete", "raises", _clubs(body='        raise RuntimeError("later")\n')),
    wrong("02.delete", "another route", _clubs(_PARTS, "", _PARTS).replace("/clubs/", "/club/")),
)
