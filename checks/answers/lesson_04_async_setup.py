"""Answers to lesson 04, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

_ENGINE = 'engine = create_async_engine("sqlite+aiosqlite://")\n'
_FACTORY = "SessionLocal = async_sessionmaker(engine, expire_on_commit=False)\n"
_TABLES = """
async def make_tables() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
"""

_DEP = '\n\nSessionDep = Annotated[AsyncSession, Depends(get_db, scope="function")]\n'

_NEW_AUTHOR = """\
class NewAuthor(BaseModel):
    name: str


app = FastAPI()

"""

_LIST = """
@app.get("/authors", response_model=list[AuthorOut])
async def list_authors(session: ShopDep) -> Any:
    query = select(Author).options(selectinload(Author.books)).order_by(Author.id)
    return (await session.scalars(query)).all()

"""

_ADD = """
@app.post("/authors", status_code=201, response_model=AuthorOut)
async def add_author(new: NewAuthor, session: ShopDep) -> Any:
    author = Author(name=new.name, books=[])
    session.add(author)
    await session.flush()
    return author
"""

_QUESTIONS = """\
async def count_books(session, author_id):
    query = select(func.count(Book.id)).where(Book.author_id == author_id)
    return (await session.scalars(query)).one()


async def count_reviews(session, author_id):
    query = select(func.count(Review.id)).join(Book, Book.id == Review.book_id)
    return (await session.scalars(query.where(Book.author_id == author_id))).one()


async def first_title(session, author_id):
    query = select(Book.title).where(Book.author_id == author_id).order_by(Book.id).limit(1)
    return await session.scalar(query)


app = FastAPI()


@app.get("/authors/{author_id}/desk")
async def desk(author_id: int, session: ShopDep) -> dict[str, Any]:
    if await session.get(Author, author_id) is None:
        raise HTTPException(404, "No such author.")
"""

_TELL = '    return {"books": books, "reviews": reviews, "first": first}\n'

_CLIENT = "httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url='http://test')"

ANSWERS: tuple[Answer, ...] = (
    # -- 04.setup -------------------------------------------------------------------------------
    right(
        "04.setup",
        "a file, and the flags said once more",
        """
engine = create_async_engine("sqlite+aiosqlite:///" + str(Path(tempfile.mkdtemp()) / "users.db"))
SessionLocal = async_sessionmaker(bind=engine, class_=AsyncSession, expire_on_commit=False)

async def make_tables():
    async with engine.begin() as conn:
        await conn.run_sync(lambda sync_conn: Base.metadata.create_all(sync_conn))
""",
    ),
    right(
        "04.setup",
        "the spelling before async_sessionmaker",
        _ENGINE.replace("://", ":///:memory:")
        + "SessionLocal = sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)\n"
        + _TABLES,
    ),
    right(
        "04.setup",
        "through a session",
        _ENGINE
        + _FACTORY
        + """
async def make_tables():
    async with SessionLocal.begin() as session:
        await session.run_sync(lambda s: Base.metadata.create_all(s.connection()))
""",
    ),
    wrong(
        "04.setup",
        "the flag forgotten",
        _ENGINE + "SessionLocal = async_sessionmaker(engine)\n" + _TABLES,
        "expired",
    ),
    wrong(
        "04.setup",
        "a sync factory",
        _ENGINE + "SessionLocal = sessionmaker(engine, expire_on_commit=False)\n" + _TABLES,
        "a_sync_factory",
    ),
    wrong(
        "04.setup",
        "create_all on the engine",
        _ENGINE + _FACTORY + "async def make_tables():\n    Base.metadata.create_all(engine)\n",
        "create_all_on_the_async_engine",
    ),
    wrong(
        "04.setup",
        "create_all on the sync engine inside",
        _ENGINE
        + _FACTORY
        + "async def make_tables():\n    Base.metadata.create_all(engine.sync_engine)\n",
        "outside_the_bridge",
    ),
    wrong(
        "04.setup",
        "create_all on the connection itself",
        _ENGINE
        + _FACTORY
        + """
async def make_tables():
    async with engine.begin() as connection:
        Base.metadata.create_all(connection.sync_connection)
""",
        "outside_the_bridge",
    ),
    wrong(
        "04.setup",
        "called on the spot",
        _ENGINE + _FACTORY + _TABLES.replace("create_all)", "create_all())"),
        "called_instead_of_lent",
    ),
    wrong(
        "04.setup",
        "not awaited",
        _ENGINE + _FACTORY + _TABLES.replace("await connection", "connection"),
        "nothing_awaited",
    ),
    wrong(
        "04.setup",
        "asyncio.run inside",
        _ENGINE
        + _FACTORY
        + _TABLES.replace("make_tables", "_make")
        + "\ndef make_tables():\n    asyncio.run(_make())\n",
        "a_loop_inside_a_loop",
    ),
    wrong(
        "04.setup",
        "memory without a pool",
        _ENGINE.replace('")', '", poolclass=NullPool)') + _FACTORY + _TABLES,
        "gone_with_the_connection",
    ),
    wrong(
        "04.setup",
        "the factory knows no engine",
        _ENGINE + "SessionLocal = async_sessionmaker(expire_on_commit=False)\n" + _TABLES,
        "not_bound",
    ),
    wrong(
        "04.setup",
        "a plain with",
        _ENGINE + _FACTORY + _TABLES.replace("async with", "with"),
        "opened_with_a_plain_with",
    ),
    wrong(
        "04.setup",
        "the engine's run_sync",
        _ENGINE
        + _FACTORY
        + "async def make_tables():\n    await engine.run_sync(Base.metadata.create_all)\n",
        "run_sync_of_the_engine",
    ),
    wrong(
        "04.setup",
        "connected, and not committed",
        _ENGINE + _FACTORY + _TABLES.replace("begin", "connect"),
        "connected_without_a_commit",
    ),
    wrong(
        "04.setup",
        "only the endpoints to come are async",
        """
engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)

async def make_tables():
    Base.metadata.create_all(engine)
""",
    ),
    wrong(
        "04.setup",
        "an async word before a sync driver",
        'engine = create_async_engine("sqlite://")\n' + _FACTORY + _TABLES,
    ),
    # -- 04.get_db ------------------------------------------------------------------------------
    right(
        "04.get_db",
        "the long form, ported",
        """
async def get_db() -> AsyncIterator[AsyncSession]:
    session = SessionLocal()
    try:
        yield session
        await session.commit()
    except BaseException:
        await session.rollback()
        raise
    finally:
        await session.close()
"""
        + _DEP,
    ),
    right(
        "04.get_db",
        "two blocks",
        """
async def get_db():
    async with SessionLocal() as session, session.begin():
        yield session
"""
        + _DEP,
    ),
    right(
        "04.get_db",
        "a commit by hand in a block that closes",
        """
async def get_db():
    async with SessionLocal() as session:
        yield session
        await session.commit()
"""
        + _DEP,
    ),
    wrong(
        "04.get_db",
        "only the types changed",
        """
def get_db() -> AsyncIterator[AsyncSession]:
    session = SessionLocal()
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()
"""
        + _DEP,
        "nobody_awaited_it",
    ),
    wrong(
        "04.get_db",
        "async, and the commit not awaited",
        """
async def get_db():
    async with SessionLocal() as session:
        yield session
        session.commit()
"""
        + _DEP,
        "nobody_awaited_it",
    ),
    wrong(
        "04.get_db",
        "a plain with",
        """
def get_db():
    with SessionLocal.begin() as session:
        yield session
"""
        + _DEP,
        "plain_with",
    ),
    wrong(
        "04.get_db",
        "async def and a plain with",
        """
async def get_db():
    with SessionLocal() as session:
        yield session
        await session.commit()
"""
        + _DEP,
        "plain_with",
    ),
    wrong(
        "04.get_db",
        "only closes",
        """
async def get_db():
    async with SessionLocal() as session:
        yield session
"""
        + _DEP,
        "never_committed",
    ),
    wrong(
        "04.get_db",
        "default scope",
        """
async def get_db():
    async with SessionLocal.begin() as session:
        yield session

SessionDep = Annotated[AsyncSession, Depends(get_db)]
""",
        "after_the_answer",
    ),
    wrong(
        "04.get_db",
        "swallows",
        """
async def get_db():
    async with SessionLocal() as session:
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
"""
        + _DEP,
        "swallowed",
    ),
    wrong(
        "04.get_db",
        "commits in finally",
        """
async def get_db():
    async with SessionLocal() as session:
        try:
            yield session
        finally:
            await session.commit()
"""
        + _DEP,
        "committed_anyway",
    ),
    wrong(
        "04.get_db",
        "one for all",
        """
session = SessionLocal()

async def get_db():
    try:
        yield session
        await session.commit()
    except BaseException:
        await session.rollback()
        raise
"""
        + _DEP,
        "one_for_all",
    ),
    wrong(
        "04.get_db",
        "returns it",
        "async def get_db():\n    return SessionLocal()\n" + _DEP,
        "returned_it",
    ),
    wrong(
        "04.get_db",
        "decorated",
        """
@asynccontextmanager
async def get_db():
    async with SessionLocal.begin() as session:
        yield session
"""
        + _DEP,
        "decorated",
    ),
    wrong(
        "04.get_db",
        "a transaction for a session",
        """
async def get_db():
    async with SessionLocal().begin() as session:
        yield session
"""
        + _DEP,
        "a_transaction_for_a_session",
    ),
    wrong(
        "04.get_db",
        "the session awaited",
        """
async def get_db():
    session = await SessionLocal()
    try:
        yield session
        await session.commit()
    finally:
        await session.close()
"""
        + _DEP,
        "awaited_a_session",
    ),
    wrong(
        "04.get_db",
        "the demonstration's factory",
        """
async def get_db():
    async with ShopSession.begin() as session:
        yield session
"""
        + _DEP,
        "another_factory",
    ),
    wrong(
        "04.get_db",
        "called",
        """
async def get_db():
    async with SessionLocal.begin() as session:
        yield session

SessionDep = Annotated[AsyncSession, Depends(get_db())]
""",
        "called_it",
    ),
    wrong(
        "04.get_db",
        "no alias",
        """
async def get_db():
    async with SessionLocal.begin() as session:
        yield session

SessionDep = AsyncSession
""",
        "no_alias",
    ),
    wrong(
        "04.get_db",
        "closed on success only",
        """
async def get_db():
    session = SessionLocal()
    try:
        yield session
        await session.commit()
        await session.close()
    except BaseException:
        await session.rollback()
        raise
"""
        + _DEP,
        "not_closed",
    ),
    # -- 04.missing_greenlet --------------------------------------------------------------------
    right(
        "04.missing_greenlet",
        "joined, and refreshed by name",
        _NEW_AUTHOR
        + """
@app.get("/authors", response_model=list[AuthorOut])
async def list_authors(session: ShopDep) -> Any:
    query = select(Author).options(joinedload(Author.books)).order_by(Author.id)
    return (await session.scalars(query)).unique().all()

@app.post("/authors", status_code=201, response_model=AuthorOut)
async def add_author(new: NewAuthor, session: ShopDep) -> Any:
    author = Author(name=new.name)
    session.add(author)
    await session.flush()
    await session.refresh(author, ["books"])
    return author
""",
    ),
    right(
        "04.missing_greenlet",
        "schemas made by hand",
        _NEW_AUTHOR
        + """
@app.get("/authors")
async def list_authors(session: ShopDep) -> list[AuthorOut]:
    query = select(Author).options(selectinload(Author.books)).order_by(Author.id)
    return [AuthorOut.model_validate(one) for one in await session.scalars(query)]

@app.post("/authors", status_code=201)
async def add_author(new: NewAuthor, session: ShopDep) -> AuthorOut:
    author = Author(name=new.name)
    session.add(author)
    await session.flush()
    return AuthorOut(id=author.id, name=author.name, books=[])
""",
    ),
    right(
        "04.missing_greenlet",
        "plain code over the bridge, with an eager query",
        _NEW_AUTHOR
        + """
@app.get("/authors")
async def list_authors(session: ShopDep) -> list[AuthorOut]:
    def work(sync):
        query = select(Author).options(selectinload(Author.books)).order_by(Author.id)
        return [AuthorOut.model_validate(one) for one in sync.scalars(query)]
    return await session.run_sync(work)

@app.post("/authors", status_code=201, response_model=AuthorOut)
async def add_author(new: NewAuthor, session: ShopDep) -> Any:
    author = Author(name=new.name)
    session.add(author)
    await session.flush()
    await author.awaitable_attrs.books
    return author
""",
    ),
    wrong(
        "04.missing_greenlet",
        "blamed on the commit",
        _NEW_AUTHOR
        + _LIST.replace(".options(selectinload(Author.books))", "")
        + _ADD.replace("flush", "commit"),
        "still_lazy",
    ),
    wrong(
        "04.missing_greenlet",
        "read earlier",
        _NEW_AUTHOR
        + """
@app.get("/authors", response_model=list[AuthorOut])
async def list_authors(session: ShopDep) -> Any:
    authors = (await session.scalars(select(Author).order_by(Author.id))).all()
    for author in authors:
        author.books
    return authors
"""
        + _ADD,
        "still_lazy",
    ),
    wrong(
        "04.missing_greenlet",
        "only the list",
        _NEW_AUTHOR + _LIST + _ADD.replace(", books=[]", ""),
        "fresh_but_not_loaded",
    ),
    wrong(
        "04.missing_greenlet",
        "refreshed without names",
        _NEW_AUTHOR
        + _LIST
        + _ADD.replace(", books=[]", "").replace(
            "    return author", "    await session.refresh(author)\n    return author"
        ),
        "fresh_but_not_loaded",
    ),
    wrong(
        "04.missing_greenlet",
        "one for each, awaited",
        _NEW_AUTHOR
        + """
@app.get("/authors", response_model=list[AuthorOut])
async def list_authors(session: ShopDep) -> Any:
    authors = (await session.scalars(select(Author).order_by(Author.id))).all()
    for author in authors:
        await author.awaitable_attrs.books
    return authors
"""
        + _ADD,
        "one_for_each",
    ),
    wrong(
        "04.missing_greenlet",
        "one for each, over the bridge",
        _NEW_AUTHOR
        + """
@app.get("/authors")
async def list_authors(session: ShopDep) -> list[AuthorOut]:
    def work(sync):
        query = select(Author).order_by(Author.id)
        return [AuthorOut.model_validate(one) for one in sync.scalars(query)]
    return await session.run_sync(work)
"""
        + _ADD,
        "one_for_each",
    ),
    wrong(
        "04.missing_greenlet",
        "joined and not unique",
        _NEW_AUTHOR + _LIST.replace("selectinload", "joinedload") + _ADD,
        "not_made_unique",
    ),
    wrong(
        "04.missing_greenlet",
        "the field dropped",
        _NEW_AUTHOR
        + """
class Slim(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str

"""
        + _LIST.replace("AuthorOut", "Slim").replace(".options(selectinload(Author.books))", "")
        + _ADD.replace("AuthorOut", "Slim"),
        "field_dropped",
    ),
    wrong(
        "04.missing_greenlet",
        "an exception caught",
        _NEW_AUTHOR
        + """
def shown(author):
    try:
        books = [BookOut.model_validate(book) for book in author.books]
    except Exception:
        books = []
    return AuthorOut(id=author.id, name=author.name, books=books)

@app.get("/authors")
async def list_authors(session: ShopDep) -> list[AuthorOut]:
    return [shown(one) for one in await session.scalars(select(Author).order_by(Author.id))]
"""
        + _ADD,
        "empty_handed",
    ),
    wrong(
        "04.missing_greenlet",
        "a session closed too early",
        _NEW_AUTHOR
        + """
@app.get("/authors", response_model=list[AuthorOut])
async def list_authors() -> Any:
    async with ShopSession() as session:
        authors = (await session.scalars(select(Author).order_by(Author.id))).all()
    return authors
"""
        + _ADD,
        "closed_too_early",
    ),
    wrong(
        "04.missing_greenlet",
        "the second endpoint gone",
        _NEW_AUTHOR + _LIST,
    ),
    wrong(
        "04.missing_greenlet",
        "awaited at the end of the line",
        _NEW_AUTHOR
        + _LIST.replace(
            "(await session.scalars(query)).all()", "await session.scalars(query).all()"
        )
        + _ADD,
        "awaited_elsewhere",
    ),
    wrong(
        "04.missing_greenlet",
        "awaited twice, and the new author as she was",
        _NEW_AUTHOR
        + _LIST.replace("(await session", "await (await session")
        + _ADD.replace(", books=[]", ""),
        "awaited_elsewhere",
    ),
    # -- 04.one_task ----------------------------------------------------------------------------
    right(
        "04.one_task",
        "a session for each task",
        _QUESTIONS
        + """
    async def alone(ask):
        async with ShopSession() as own:
            return await ask(own, author_id)

    books, reviews, first = await asyncio.gather(
        alone(count_books), alone(count_reviews), alone(first_title)
    )
"""
        + _TELL,
    ),
    right(
        "04.one_task",
        "a task group, each with its session",
        _QUESTIONS
        + """
    async def alone(ask):
        async with ShopSession.begin() as own:
            return await ask(own, author_id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(alone(ask)) for ask in (count_books, count_reviews, first_title)]
    books, reviews, first = [task.result() for task in tasks]
"""
        + _TELL,
    ),
    right(
        "04.one_task",
        "one statement",
        _QUESTIONS
        + """
    mine = Book.author_id == author_id
    row = (
        await session.execute(
            select(
                select(func.count(Book.id)).where(mine).scalar_subquery(),
                select(func.count(Review.id)).join(Book, Book.id == Review.book_id).where(mine)
                .scalar_subquery(),
                select(Book.title).where(mine).order_by(Book.id).limit(1).scalar_subquery(),
            )
        )
    ).one()
    books, reviews, first = row
"""
        + _TELL,
    ),
    wrong(
        "04.one_task",
        "a task group on the same session",
        _QUESTIONS
        + """
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ask(session, author_id))
            for ask in (count_books, count_reviews, first_title)
        ]
    books, reviews, first = [task.result() for task in tasks]
"""
        + _TELL,
        "shared",
    ),
    wrong(
        "04.one_task",
        "a second session for all of them",
        _QUESTIONS
        + """
    async with ShopSession() as own:
        await own.connection()
        books, reviews, first = await asyncio.gather(
            count_books(own, author_id), count_reviews(own, author_id), first_title(own, author_id)
        )
"""
        + _TELL,
        "shared",
    ),
    wrong(
        "04.one_task",
        "a second session for all of them, not yet connected",
        _QUESTIONS
        + """
    async with ShopSession() as own:
        books, reviews, first = await asyncio.gather(
            count_books(own, author_id), count_reviews(own, author_id), first_title(own, author_id)
        )
"""
        + _TELL,
        "shared",
    ),
    wrong(
        "04.one_task",
        "a lock",
        _QUESTIONS
        + """
    lock = asyncio.Lock()

    async def in_turn(ask):
        async with lock:
            return await ask(session, author_id)

    books, reviews, first = await asyncio.gather(
        in_turn(count_books), in_turn(count_reviews), in_turn(first_title)
    )
"""
        + _TELL,
        "shared",
    ),
    wrong(
        "04.one_task",
        "two in turn, one beside",
        _QUESTIONS
        + """
    later = asyncio.create_task(first_title(session, author_id))
    books = await count_books(session, author_id)
    reviews = await count_reviews(session, author_id)
    first = await later
"""
        + _TELL,
        "shared",
    ),
    wrong(
        "04.one_task",
        "sessions that nobody closes",
        _QUESTIONS
        + """
    books, reviews, first = await asyncio.gather(
        count_books(ShopSession(), author_id),
        count_reviews(ShopSession(), author_id),
        first_title(ShopSession(), author_id),
    )
"""
        + _TELL,
        "left_open",
    ),
    wrong(
        "04.one_task",
        "not awaited",
        _QUESTIONS
        + """
    books = count_books(session, author_id)
    reviews = count_reviews(session, author_id)
    first = first_title(session, author_id)
"""
        + _TELL,
        "forgot_to_await",
    ),
    wrong(
        "04.one_task",
        "an unknown author has no books",
        _QUESTIONS.replace("    if await session.get(Author, author_id) is None:\n", "").replace(
            '        raise HTTPException(404, "No such author.")\n', ""
        )
        + """
    books = await count_books(session, author_id)
    reviews = await count_reviews(session, author_id)
    first = await first_title(session, author_id)
"""
        + _TELL,
    ),
    wrong(
        "04.one_task",
        "a field gone",
        _QUESTIONS
        + """
    books = await count_books(session, author_id)
    return {"books": books, "first": await first_title(session, author_id)}
""",
    ),
    wrong(
        "04.one_task",
        "gather without an await",
        _QUESTIONS
        + """
    books, reviews, first = asyncio.gather(
        count_books(session, author_id),
        count_reviews(session, author_id),
        first_title(session, author_id),
    )
"""
        + _TELL,
        "forgot_to_await",
    ),
    # -- 04.client ------------------------------------------------------------------------------
    right(
        "04.client",
        "one block in the other",
        f"""
@asynccontextmanager
async def client_for(app):
    async with {_CLIENT} as client:
        async with app.router.lifespan_context(app):
            yield client
""",
    ),
    right(
        "04.client",
        "a class",
        f"""
class client_for:
    def __init__(self, app):
        self.life = app.router.lifespan_context(app)
        self.client = {_CLIENT}

    async def __aenter__(self):
        await self.life.__aenter__()
        return await self.client.__aenter__()

    async def __aexit__(self, *error):
        await self.client.__aexit__(*error)
        await self.life.__aexit__(*error)
""",
    ),
    wrong(
        "04.client",
        "without the lifespan",
        f"""
@asynccontextmanager
async def client_for(app):
    async with {_CLIENT} as client:
        yield client
""",
        "no_lifespan",
    ),
    wrong(
        "04.client",
        "TestClient inside",
        """
@asynccontextmanager
async def client_for(app):
    with TestClient(app) as client:
        yield client
""",
        "a_sync_client",
    ),
    wrong(
        "04.client",
        "httpx's sync client",
        """
@asynccontextmanager
async def client_for(app):
    async with app.router.lifespan_context(app):
        with httpx.Client(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            yield client
""",
        "a_sync_client",
    ),
    wrong(
        "04.client",
        "no decorator",
        f"""
async def client_for(app):
    async with app.router.lifespan_context(app), {_CLIENT} as client:
        yield client
""",
        "not_a_context_manager",
    ),
    wrong(
        "04.client",
        "returned from a coroutine",
        f"""
async def client_for(app):
    async with app.router.lifespan_context(app):
        return {_CLIENT}
""",
        "not_a_context_manager",
    ),
    wrong(
        "04.client",
        "returned, under the decorator",
        f"""
@asynccontextmanager
async def client_for(app):
    async with app.router.lifespan_context(app), {_CLIENT} as client:
        return client
""",
        "returned_it",
    ),
    wrong(
        "04.client",
        "the lifespan not called",
        f"""
@asynccontextmanager
async def client_for(app):
    async with app.router.lifespan_context, {_CLIENT} as client:
        yield client
""",
        "not_called",
    ),
    wrong(
        "04.client",
        "a plain with",
        f"""
@asynccontextmanager
async def client_for(app):
    with app.router.lifespan_context(app):
        async with {_CLIENT} as client:
            yield client
""",
        "opened_with_a_plain_with",
    ),
    wrong(
        "04.client",
        "as in older tutorials",
        """
@asynccontextmanager
async def client_for(app):
    async with httpx.AsyncClient(app=app, base_url="http://test") as client:
        yield client
""",
        "the_old_argument",
    ),
    wrong(
        "04.client",
        "no base_url",
        """
@asynccontextmanager
async def client_for(app):
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            yield client
""",
        "no_base_url",
    ),
    wrong(
        "04.client",
        "out to the network",
        """
@asynccontextmanager
async def client_for(app):
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
            yield client
""",
        "not_the_app",
    ),
    wrong(
        "04.client",
        "ended by hand, without a finally",
        f"""
@asynccontextmanager
async def client_for(app):
    life = app.router.lifespan_context(app)
    await life.__aenter__()
    async with {_CLIENT} as client:
        yield client
    await life.__aexit__(None, None, None)
""",
        "never_ended",
    ),
    wrong(
        "04.client",
        "the exception swallowed",
        f"""
@asynccontextmanager
async def client_for(app):
    async with app.router.lifespan_context(app), {_CLIENT} as client:
        try:
            yield client
        except Exception:
            pass
""",
    ),
)
