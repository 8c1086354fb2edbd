"""A small app with every kind of database behind it, for tests of the lab and the judge.

No postponed annotations here: FastAPI could not resolve those of endpoints local to a function.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import StaticPool, create_engine, event, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker


class Base(DeclarativeBase):
    """Its tables."""


class Book(Base):
    """A title and how many copies of it there are."""

    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    stock: Mapped[int] = mapped_column(default=1)


class NewBook(BaseModel):
    """What POST /books takes."""

    title: str


def names(kind: str, folder: Path, scope: Any = "function", buy: str = "naive") -> dict[str, Any]:
    """A learner's names: `app`, `engine`, `Book`, with one book called Emma.

    Args:
        kind: `memory`, `file`, `async memory` or `async file`.
        folder: Where files go.
        scope: The scope of the session dependency.
        buy: How the last copy is sold: `naive`, `conditional` or `immediate`.
    """
    built = _async(kind, folder, scope) if kind.startswith("async") else _sync(kind, folder, scope)
    if not kind.startswith("async"):
        _add_buying(built, buy)
    return built


def _sync(kind: str, folder: Path, scope: Any) -> dict[str, Any]:
    if kind == "memory":
        engine = create_engine(
            "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
        )
    else:
        engine = create_engine(f"sqlite:///{folder / 'shop.db'}")
    Base.metadata.create_all(engine)
    factory = sessionmaker(engine)
    with factory.begin() as session:
        session.add(Book(title="Emma"))
    app = FastAPI()

    def get_db() -> Any:
        with factory() as session:
            try:
                yield session
                session.commit()
            except Exception:
                session.rollback()
                raise

    db = Annotated[Session, Depends(get_db, scope=scope)]

    @app.post("/books", status_code=201)
    def add(new: NewBook, session: db) -> dict[str, int]:
        book = Book(title=new.title)
        session.add(book)
        session.flush()
        return {"id": book.id}

    @app.get("/books")
    def titles(session: db) -> list[str]:
        return list(session.scalars(select(Book.title)))

    return {"app": app, "engine": engine, "Book": Book, "get_db": get_db, "factory": factory}


def _add_buying(built: dict[str, Any], buy: str) -> None:
    factory = built["factory"]
    if buy == "immediate":
        event.listen(built["engine"], "connect", _manual_begin)
        event.listen(built["engine"], "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
        built["engine"].dispose()

    app: FastAPI = built["app"]

    @app.post("/buy/{title}", status_code=201)
    def sell(title: str) -> dict[str, str]:
        with factory.begin() as session:
            book = session.scalar(select(Book).where(Book.title == title))
            if book is None or book.stock < 1:
                raise HTTPException(409, "Sold out.")
            if buy == "conditional":
                sold = session.execute(
                    update(Book)
                    .where(Book.id == book.id, Book.stock > 0)
                    .values(stock=Book.stock - 1)
                )
                if not sold.rowcount:
                    raise HTTPException(409, "Sold out.")
            else:
                session.execute(update(Book).where(Book.id == book.id).values(stock=book.stock - 1))
        return {"sold": title}


def _manual_begin(dbapi: Any, record: object) -> None:
    dbapi.isolation_level = None


def _async(kind: str, folder: Path, scope: Any) -> dict[str, Any]:
    place = "" if kind == "async memory" else f"/{folder / 'async.db'}"
    engine = create_async_engine(f"sqlite+aiosqlite://{place}")
    factory = async_sessionmaker(engine, expire_on_commit=False)

    async def prepare() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with factory.begin() as session:
            session.add(Book(title="Emma"))

    asyncio.run(prepare())
    app = FastAPI()

    async def get_db() -> Any:
        async with factory.begin() as session:
            yield session

    db = Annotated[AsyncSession, Depends(get_db, scope=scope)]

    @app.post("/books", status_code=201)
    async def add(new: NewBook, session: db) -> dict[str, int]:
        book = Book(title=new.title)
        session.add(book)
        await session.flush()
        return {"id": book.id}

    @app.get("/books")
    async def titles(session: db) -> list[str]:
        return list(await session.scalars(select(Book.title)))

    return {"app": app, "engine": engine, "Book": Book, "get_db": get_db, "factory": factory}
