"""Answers to the half-way project: whole cures, and all kinds of half ones."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

# -- members ------------------------------------------------------------------------------------
_LEFT_DB = """\
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    yield db
    db.commit()
    db.close()
"""

_FINALLY_DB = """\
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

_LATE = "SessionDep = Annotated[Session, Depends(get_db)]\n"
_SOON = 'SessionDep = Annotated[Session, Depends(get_db, scope="function")]\n'


def _members(get_db: str = _LEFT_DB, dep: str = _LATE, end: str = "db.flush()") -> str:
    return f"""\
members = FastAPI()


{get_db}

{dep}

class NewMember(BaseModel):
    full_name: str
    invited_by: int | None = None


@members.post("/members", status_code=201)
def join(new: NewMember, db: SessionDep) -> dict[str, Any]:
    member = Member(**new.model_dump())
    db.add(member)
    {end}
    return {{"id": member.id, "full_name": member.full_name}}


@members.get("/members/{{member_id}}")
def look_up(member_id: int, db: SessionDep) -> dict[str, Any]:
    member = db.get(Member, member_id)
    if member is None:
        raise HTTPException(404, "No such member.")
    return {{"id": member.id, "full_name": member.full_name}}
"""


_MEMBERS = (
    right("09p.members", "try, except, finally, and the scope", _members(_FINALLY_DB, _SOON)),
    right(
        "09p.members",
        "the endpoint commits, the dependency only closes",
        _members(
            """\
def get_db() -> Iterator[Session]:
    with SessionLocal() as db:
        yield db
""",
            end="db.commit()",
        ),
    ),
    right(
        "09p.members",
        "no dependency at all",
        """\
members = FastAPI()

class NewMember(BaseModel):
    full_name: str
    invited_by: int | None = None

@members.post("/members", status_code=201)
def join(new: NewMember) -> dict[str, Any]:
    with SessionLocal.begin() as db:
        member = Member(full_name=new.full_name, invited_by=new.invited_by)
        db.add(member)
        db.flush()
        kept = {"id": member.id, "full_name": member.full_name}
    return kept

@members.get("/members/{member_id}")
def look_up(member_id: int) -> dict[str, Any]:
    with SessionLocal() as db:
        if (member := db.get(Member, member_id)) is None:
            raise HTTPException(404)
        return {"id": member.id, "full_name": member.full_name}
""",
    ),
    wrong("09p.members", "only the scope", _members(dep=_SOON), "never_given_back"),
    wrong(
        "09p.members",
        "only a commit in the endpoint",
        _members(end="db.commit()"),
        "never_given_back",
    ),
    wrong("09p.members", "only a finally", _members(_FINALLY_DB), "answered_first"),
    wrong(
        "09p.members",
        "a commit in the endpoint, within begin()",
        _members(
            """\
def get_db() -> Iterator[Session]:
    with SessionLocal.begin() as db:
        yield db
""",
            end="db.commit()",
        ),
        "committed_within_begin",
    ),
    wrong(
        "09p.members",
        "the safe block in the default scope",
        _members("""\
def get_db() -> Iterator[Session]:
    with SessionLocal.begin() as db:
        yield db
"""),
        "answered_first",
    ),
    wrong(
        "09p.members",
        "closes on an HTTPException only",
        _members(
            """\
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    except HTTPException:
        db.close()
        raise
    db.commit()
    db.close()
""",
            _SOON,
        ),
        "the_commit_fails_too",
    ),
    wrong(
        "09p.members",
        "keeps the exception to itself",
        _members(
            """\
def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
    finally:
        db.close()
""",
            _SOON,
        ),
        "swallowed",
    ),
    wrong(
        "09p.members",
        "a session that nobody commits",
        _members(
            """\
def get_db() -> Iterator[Session]:
    with SessionLocal() as db:
        yield db
""",
            _SOON,
        ),
        "never_committed",
    ),
    wrong(
        "09p.members",
        "no member is a 200 now",
        _members(_FINALLY_DB, _SOON).replace(
            'raise HTTPException(404, "No such member.")', 'return {"detail": "No such member."}'
        ),
    ),
)

# -- catalogue ----------------------------------------------------------------------------------
_LEFT_CHANGE = """\
        for field, value in change.model_dump().items():
            setattr(book, field, value)
"""

_SENT = """\
        for field, value in change.model_dump(exclude_unset=True).items():
            setattr(book, field, value)
"""

_LEFT_LIST = "    return session.scalars(select(Author).order_by(Author.id)).all()\n"

_SELECTIN = """\
    return session.scalars(
        select(Author).options(selectinload(Author.books)).order_by(Author.id)
    ).all()
"""


def _catalogue(change: str = _LEFT_CHANGE, listing: str = _LEFT_LIST) -> str:
    return f"""\
catalogue = FastAPI()


def reading() -> Iterator[Session]:
    with SessionLocal() as session:
        yield session


class BookChange(BaseModel):
    blurb: str | None = None
    shelf: str | None = None


class BookOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    blurb: str | None
    shelf: str | None


class AuthorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    books: list[BookOut]


@catalogue.patch("/books/{{book_id}}")
def change_book(book_id: int, change: BookChange) -> BookOut:
    with SessionLocal.begin() as session:
        book = session.get(Book, book_id)
        if book is None:
            raise HTTPException(404, "No such book.")
{change}\
        return BookOut.model_validate(book)


@catalogue.get("/authors", response_model=list[AuthorOut])
def list_authors(session: Annotated[Session, Depends(reading)]) -> Any:
{listing}"""


_CATALOGUE = (
    right("09p.catalogue", "exclude_unset, selectinload", _catalogue(_SENT, _SELECTIN)),
    right(
        "09p.catalogue",
        "model_fields_set, and one joined query",
        _catalogue(
            """\
        for field in change.model_fields_set:
            setattr(book, field, getattr(change, field))
""",
            """\
    query = select(Author).options(joinedload(Author.books)).order_by(Author.id)
    return session.scalars(query).unique().all()
""",
        ),
    ),
    right(
        "09p.catalogue",
        "an UPDATE of its own, and the list put together by hand",
        _catalogue(
            """\
        if sent := change.model_dump(exclude_unset=True):
            session.execute(update(Book).where(Book.id == book_id).values(**sent))
            session.refresh(book)
""",
            """\
    shelves: dict[int, list[Book]] = {}
    for book in session.scalars(select(Book).order_by(Book.id)):
        shelves.setdefault(book.author_id, []).append(book)
    authors = session.execute(select(Author.id, Author.name).order_by(Author.id))
    return [{"name": name, "books": shelves.get(id, [])} for id, name in authors]
""",
        ),
    ),
    wrong("09p.catalogue", "only the change", _catalogue(_SENT), "one_by_one"),
    wrong("09p.catalogue", "only the list", _catalogue(listing=_SELECTIN), "overwrote_the_rest"),
    wrong(
        "09p.catalogue",
        "is not None",
        _catalogue(
            """\
        for field, value in change.model_dump().items():
            if value is not None:
                setattr(book, field, value)
""",
            _SELECTIN,
        ),
        "cannot_be_cleared",
    ),
    wrong(
        "09p.catalogue",
        "exclude_none, and a list that still loads one by one",
        _catalogue(_SENT.replace("exclude_unset", "exclude_none")),
        "cannot_be_cleared",
    ),
    wrong(
        "09p.catalogue",
        "immediateload",
        "from sqlalchemy.orm import immediateload\n\n"
        + _catalogue(_SENT, _SELECTIN.replace("selectinload", "immediateload")),
        "one_by_one",
    ),
    wrong(
        "09p.catalogue",
        "joined, and not unique",
        _catalogue(_SENT, _SELECTIN.replace("selectinload", "joinedload")),
        "not_unique",
    ),
    wrong(
        "09p.catalogue",
        "raiseload",
        "from sqlalchemy.orm import raiseload\n\n"
        + _catalogue(_SENT, _SELECTIN.replace("selectinload", "raiseload")),
        "refused_to_load",
    ),
    wrong(
        "09p.catalogue",
        "the books have left the answer",
        _catalogue(_SENT, _LEFT_LIST).replace("    books: list[BookOut]\n", ""),
        "left_out",
    ),
    wrong(
        "09p.catalogue",
        "an inner join, so that authors without books are gone",
        _catalogue(
            _SENT,
            """\
    query = select(Author).options(joinedload(Author.books, innerjoin=True)).order_by(Author.id)
    return session.scalars(query).unique().all()
""",
        ),
        "left_out",
    ),
    wrong(
        "09p.catalogue",
        "a change that changes nothing",
        _catalogue("        session.flush()\n", _SELECTIN),
    ),
)

# -- till ---------------------------------------------------------------------------------------
_NEW_ORDER = """\
till = FastAPI()


class NewOrder(BaseModel):
    book_id: int
    member_id: int
    postcode: str


"""

_LOOK = """\
        book = session.get(Book, new.book_id)
        if book is None:
            raise HTTPException(404, "No such book.")
        if book.copies < 1:
            raise HTTPException(409, "Sold out.")
"""

_WRITE = """\
        order = Order(book_id=new.book_id, member_id=new.member_id, postage=postage)
        session.add(order)
        session.flush()
        return {"id": order.id, "postage": postage}
"""

_QUOTE = "postage = courier.quote(new.postcode)\n"

_TAKE = """\
        if session.get(Book, new.book_id) is None:
            raise HTTPException(404, "No such book.")
        taken = session.execute(
            update(Book)
            .where(Book.id == new.book_id, Book.copies >= 1)
            .values(copies=Book.copies - 1)
        )
        if taken.rowcount == 0:
            raise HTTPException(409, "Sold out.")
"""


def _till(inside: str, before: str = "", head: str = "") -> str:
    return f"""\
{head}{_NEW_ORDER}\
@till.post("/orders", status_code=201)
def buy(new: NewOrder) -> dict[str, int]:
{"    " + before if before else ""}\
    with SessionLocal.begin() as session:
{inside}{_WRITE}"""


_TILL = (
    right("09p.till", "asked first, taken on condition", _till(_TAKE, _QUOTE)),
    right(
        "09p.till",
        "a look, the courier, and a write that returns",
        _NEW_ORDER
        + """\
@till.post("/orders", status_code=201)
def buy(new: NewOrder) -> dict[str, int]:
    with SessionLocal() as session:
        copies = session.scalar(select(Book.copies).where(Book.id == new.book_id))
    if copies is None:
        raise HTTPException(status_code=404)
    if not copies:
        raise HTTPException(status_code=409)
    postage = courier.quote(new.postcode)
    with SessionLocal() as session:
        left = session.scalar(
            update(Book)
            .where(Book.id == new.book_id)
            .where(Book.copies > 0)
            .values(copies=Book.copies - 1)
            .returning(Book.copies)
        )
        if left is None:
            raise HTTPException(status_code=409)
        new_id = session.execute(
            insert(Order).values(
                book_id=new.book_id, member_id=new.member_id, postage=postage, status="placed"
            )
        ).inserted_primary_key[0]
        session.commit()
    return {"id": new_id, "postage": postage}
""",
    ),
    right(
        "09p.till",
        "the CHECK decides, and is heard",
        _NEW_ORDER
        + """\
@till.post("/orders", status_code=201)
def buy(new: NewOrder) -> dict[str, int]:
    postage = courier.quote(new.postcode)
    try:
        with SessionLocal.begin() as session:
            if session.get(Book, new.book_id) is None:
                raise HTTPException(404)
            session.execute(
                update(Book).where(Book.id == new.book_id).values(copies=Book.copies - 1)
            )
            order = Order(book_id=new.book_id, member_id=new.member_id, postage=postage)
            session.add(order)
            session.flush()
            return {"id": order.id, "postage": postage}
    except IntegrityError:
        raise HTTPException(409, "Sold out.")
""",
    ),
    wrong(
        "09p.till",
        "only the race",
        _till(f"{_TAKE}        {_QUOTE}"),
        "held_across_the_call",
    ),
    wrong(
        "09p.till",
        "only the courier",
        _till(f"{_LOOK}        book.copies -= 1\n", _QUOTE),
        "read_then_wrote",
    ),
    wrong(
        "09p.till",
        "looked at it again, in Python",
        _till(
            f"{_LOOK}        session.refresh(book)\n        if book.copies < 1:\n"
            "            raise HTTPException(409)\n        book.copies -= 1\n",
            _QUOTE,
        ),
        "read_then_wrote",
    ),
    wrong(
        "09p.till",
        "with_for_update, which SQLite leaves out",
        _till(
            _LOOK.replace("new.book_id)\n", "new.book_id, with_for_update=True)\n", 1)
            + "        book.copies -= 1\n",
            _QUOTE,
        ),
        "read_then_wrote",
    ),
    wrong(
        "09p.till",
        "a lock in Python",
        _till(
            f"{_LOOK}        book.copies -= 1\n",
            _QUOTE,
            "one_at_a_time = threading.Lock()\n",
        )
        .replace("    with SessionLocal.begin()", "    with one_at_a_time, SessionLocal.begin()")
        .replace("class NewOrder", "class NewOrder"),
        "locked_in_python",
    ),
    wrong(
        "09p.till",
        "nobody looks at the rowcount",
        _till(
            "\n".join(_TAKE.splitlines()[:-2]).replace("taken = ", "") + "\n",
            _QUOTE,
        ),
        "ignored_the_count",
    ),
    wrong(
        "09p.till",
        "the CHECK decides, and the loser hears 500",
        _till(
            f"{_LOOK}        session.execute(\n            update(Book).where(Book.id == new.book_id)"
            ".values(copies=Book.copies - 1)\n        )\n",
            _QUOTE,
        ),
        "loser_heard_500",
    ),
    wrong(
        "09p.till",
        "a flat rate",
        _till(_TAKE, "postage = 250\n"),
        "never_asked",
    ),
    wrong(
        "09p.till",
        "two sessions, the courier in the first",
        _NEW_ORDER
        + f"""\
@till.post("/orders", status_code=201)
def buy(new: NewOrder) -> dict[str, int]:
    with SessionLocal() as session:
        if session.get(Book, new.book_id) is None:
            raise HTTPException(404)
        {_QUOTE}\
    with SessionLocal.begin() as session:
{_TAKE}{_WRITE}""",
        "held_across_the_call",
    ),
)

# -- dashboard ----------------------------------------------------------------------------------
_COUNT = """\
dashboard = FastAPI()


async def get_async_db() -> AsyncIterator[AsyncSession]:
    async with AsyncSessionLocal() as session:
        yield session


async def count(session: AsyncSession, model: type[Base]) -> int:
    return await session.scalar(select(func.count()).select_from(model)) or 0


"""


def _dashboard(body: str) -> str:
    return f"""\
{_COUNT}\
@dashboard.get("/dashboard")
async def numbers(session: Annotated[AsyncSession, Depends(get_async_db)]) -> dict[str, int]:
{body}\
    return {{"books": titles, "members": people, "orders": sold}}
"""


_DASHBOARD = (
    right(
        "09p.dashboard",
        "one after the other",
        _dashboard("""\
    titles = await count(session, Book)
    people = await count(session, Member)
    sold = await count(session, Order)
"""),
    ),
    right(
        "09p.dashboard",
        "a session for each task",
        """\
dashboard = FastAPI()

async def count(model: type[Base]) -> int:
    async with AsyncSessionLocal() as own:
        return await own.scalar(select(func.count()).select_from(model))

@dashboard.get("/dashboard")
async def numbers() -> dict[str, int]:
    titles, people, sold = await asyncio.gather(count(Book), count(Member), count(Order))
    return {"books": titles, "members": people, "orders": sold}
""",
    ),
    right(
        "09p.dashboard",
        "one statement",
        _dashboard("""\
    counts = [select(func.count()).select_from(one).scalar_subquery() for one in (Book, Member, Order)]
    titles, people, sold = (await session.execute(select(*counts))).one()
"""),
    ),
    right(
        "09p.dashboard",
        "sync, in the thread pool",
        """\
dashboard = FastAPI()

@dashboard.get("/dashboard")
def numbers() -> dict[str, int]:
    with SessionLocal() as session:
        tables = {"books": Book, "members": Member, "orders": Order}
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in tables.items()
        }
""",
    ),
    wrong(
        "09p.dashboard",
        "all three at once, to be fair",
        _dashboard("""\
    titles, people, sold = await asyncio.gather(
        count(session, Book), count(session, Member), count(session, Order)
    )
"""),
        "shared",
    ),
    wrong(
        "09p.dashboard",
        "a task group",
        _dashboard("""\
    titles = await count(session, Book)
    async with asyncio.TaskGroup() as group:
        second = group.create_task(count(session, Member))
        third = group.create_task(count(session, Order))
    people, sold = second.result(), third.result()
"""),
        "shared",
    ),
    wrong(
        "09p.dashboard",
        "a lock around the shared session",
        _dashboard("""\
    lock = asyncio.Lock()

    async def in_turn(model: type[Base]) -> int:
        async with lock:
            return await count(session, model)

    titles = await count(session, Book)
    people, sold = await asyncio.gather(in_turn(Member), in_turn(Order))
"""),
        "shared",
    ),
    wrong(
        "09p.dashboard",
        "own sessions that nobody closes",
        _dashboard("""\
    titles = await count(session, Book)
    people, sold = await asyncio.gather(
        count(AsyncSessionLocal(), Member), count(AsyncSessionLocal(), Order)
    )
"""),
        "left_open",
    ),
    wrong(
        "09p.dashboard",
        "an await too few",
        _dashboard("""\
    titles = await count(session, Book)
    people = await count(session, Member)
    sold = count(session, Order)
"""),
        "forgot_to_await",
    ),
    wrong(
        "09p.dashboard",
        "a number made up",
        _dashboard("""\
    titles = await count(session, Book)
    people = await count(session, Member)
    sold = 0
"""),
    ),
)

# -- release ------------------------------------------------------------------------------------
_FILE = "%%writefile paper_moth_09p/migrations/versions/0002_release.py\n"

_LOSE = """\
    op.add_column(
        "member", sa.Column("full_name", sa.String(), nullable=False, server_default="")
    )
    op.drop_column("member", "name")
"""
_LOSE_BACK = """\
    op.add_column("member", sa.Column("name", sa.String(), nullable=False, server_default=""))
    op.drop_column("member", "full_name")
"""
_RENAME = '    op.alter_column("member", "name", new_column_name="full_name")\n'
_RENAME_BACK = '    op.alter_column("member", "full_name", new_column_name="name")\n'

_LOOSE = '    op.add_column("orders", sa.Column("status", sa.String(), nullable=True))\n'
_FILL = "    op.execute(\"UPDATE orders SET status = 'sent'\")\n"
_TIGHTEN = """\
    with op.batch_alter_table("orders") as orders:
        orders.alter_column("status", existing_type=sa.String(), nullable=False)
"""
_NO_STATUS = '    op.drop_column("orders", "status")\n'

_INDEX = '    op.create_index("ix_orders_member_id", "orders", ["member_id"])\n'
_NO_INDEX = '    op.drop_index("ix_orders_member_id", table_name="orders")\n'


def _release(up: str, down: str) -> str:
    return f"""{_FILE}\
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
{up}

def downgrade() -> None:
{down}"""


_RELEASE = (
    right(
        "09p.release",
        "rename; add, fill, tighten; index",
        _release(
            _RENAME + _LOOSE + _FILL + _TIGHTEN + _INDEX,
            _NO_INDEX + _NO_STATUS + _RENAME_BACK,
        ),
    ),
    right(
        "09p.release",
        "copied, and a default for the old rows; all in batches",
        _release(
            """\
    op.add_column("member", sa.Column("full_name", sa.String()))
    op.execute("UPDATE member SET full_name = name")
    with op.batch_alter_table("member") as member:
        member.alter_column("full_name", existing_type=sa.String(), nullable=False)
        member.drop_column("name")
    with op.batch_alter_table("orders") as orders:
        orders.add_column(
            sa.Column("status", sa.String(), nullable=False, server_default=sa.text("'sent'"))
        )
        orders.create_index("ix_orders_member_id", ["member_id"])
    with op.batch_alter_table("orders") as orders:
        orders.alter_column("status", existing_type=sa.String(), server_default=None)
""",
            """\
    with op.batch_alter_table("orders") as orders:
        orders.drop_index("ix_orders_member_id")
        orders.drop_column("status")
    with op.batch_alter_table("member") as member:
        member.alter_column("full_name", new_column_name="name", existing_type=sa.String())
""",
        ),
    ),
    right(
        "09p.release",
        "in SQL, with a default that stays",
        _release(
            """\
    op.execute("ALTER TABLE member RENAME COLUMN name TO full_name")
    op.execute("ALTER TABLE orders ADD COLUMN status VARCHAR NOT NULL DEFAULT 'sent'")
    op.execute("CREATE INDEX ix_orders_member_id ON orders (member_id, status)")
""",
            """\
    op.execute("DROP INDEX ix_orders_member_id")
    op.execute("ALTER TABLE orders DROP COLUMN status")
    op.execute("ALTER TABLE member RENAME COLUMN full_name TO name")
""",
        ),
    ),
    wrong(
        "09p.release",
        "all but the rename",
        _release(_LOSE + _LOOSE + _FILL + _TIGHTEN + _INDEX, _NO_INDEX + _NO_STATUS + _LOSE_BACK),
        "lost_the_names",
    ),
    wrong(
        "09p.release",
        "all but the way back",
        _release(_RENAME + _LOOSE + _FILL + _TIGHTEN + _INDEX, _NO_INDEX + _NO_STATUS + _LOSE_BACK),
        "lost_on_the_way_back",
    ),
    wrong(
        "09p.release",
        "all but the old rows",
        _release(_RENAME + _LOOSE + _INDEX, _NO_INDEX + _NO_STATUS + _RENAME_BACK),
        "old_rows_without",
    ),
    wrong(
        "09p.release",
        "filled, and left open",
        _release(_RENAME + _LOOSE + _FILL + _INDEX, _NO_INDEX + _NO_STATUS + _RENAME_BACK),
        "never_tightened",
    ),
    wrong(
        "09p.release",
        "all but the index",
        _release(_RENAME + _LOOSE + _FILL + _TIGHTEN, _NO_STATUS + _RENAME_BACK),
        "no_index",
    ),
    wrong(
        "09p.release",
        "an index that stays when the release goes",
        _release(_RENAME + _LOOSE + _FILL + _TIGHTEN + _INDEX, _NO_STATUS + _RENAME_BACK),
        "the_index_stayed",
    ),
    wrong(
        "09p.release",
        "only the index",
        _release(_LOSE + _LOOSE + _INDEX, _NO_INDEX + _NO_STATUS + _LOSE_BACK),
        "lost_the_names",
    ),
    wrong(
        "09p.release",
        "tightened before it was filled",
        _release(
            _RENAME + _LOOSE + _TIGHTEN + _FILL + _INDEX, _NO_INDEX + _NO_STATUS + _RENAME_BACK
        ),
        "no_value_for_the_rows",
    ),
    wrong(
        "09p.release",
        "NOT NULL at once",
        _release(
            _RENAME + _LOOSE.replace("nullable=True", "nullable=False") + _INDEX,
            _NO_INDEX + _NO_STATUS + _RENAME_BACK,
        ),
        "no_value_for_the_rows",
    ),
    wrong(
        "09p.release",
        "altered where it stands",
        _release(
            _RENAME
            + _LOOSE
            + _FILL
            + '    op.alter_column("orders", "status", nullable=False)\n'
            + _INDEX,
            _NO_INDEX + _NO_STATUS + _RENAME_BACK,
        ),
        "altered_in_place",
    ),
    wrong(
        "09p.release",
        "both names",
        _release(
            '    op.add_column("member", sa.Column("full_name", sa.String()))\n'
            '    op.execute("UPDATE member SET full_name = name")\n'
            + _LOOSE
            + _FILL
            + _TIGHTEN
            + _INDEX,
            _NO_INDEX + _NO_STATUS + '    op.drop_column("member", "full_name")\n',
        ),
    ),
)

ANSWERS: tuple[Answer, ...] = _MEMBERS + _CATALOGUE + _TILL + _DASHBOARD + _RELEASE
