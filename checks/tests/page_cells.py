"""Cells of lessons to come, which the page's Python has to run as any Python does."""

ASYNC = """
import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.exc import IntegrityError, MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship()


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))


class AuthorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    name: str


engine = create_async_engine("sqlite+aiosqlite://")
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)
async with engine.begin() as connection:
    await connection.run_sync(Base.metadata.create_all)
async with SessionLocal() as session:
    session.add(Author(name="Ursula", books=[Book(title="A"), Book(title="B")]))
    await session.commit()
async with SessionLocal() as session:
    author = (await session.scalars(select(Author))).one()
    try:
        author.books
    except (MissingGreenlet, StatementError) as error:
        print(type(error).__name__)
    loaded = select(Author).options(selectinload(Author.books))
    author = (await session.scalars(loaded.execution_options(populate_existing=True))).one()
    print([book.title for book in author.books])
    print([book.title async for book in await session.stream_scalars(select(Book))])
    print(await session.run_sync(lambda sync: sync.scalar(select(func.count(Book.id)))))
    session.add(Author(id=1, name="again"))
    try:
        await session.commit()
    except IntegrityError as error:
        print(error.orig)


async def get_db() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        yield session


app = FastAPI()


@app.get("/authors", response_model=list[AuthorOut])
async def authors(db: Annotated[AsyncSession, Depends(get_db)]):
    return (await db.scalars(select(Author))).all()


async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
    answers = await asyncio.gather(client.get("/authors"), client.get("/authors"))
    print([answer.json() for answer in answers])
with TestClient(app) as client:
    print(client.get("/authors").json())
await engine.dispose()
print("done")
"""

MIGRATION = '''
import contextlib
import io
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

folder = Path(tempfile.mkdtemp())
config = Config(str(folder / "alembic.ini"))
with contextlib.redirect_stdout(io.StringIO()):
    command.init(config, str(folder / "migrations"))
config = Config(str(folder / "alembic.ini"))
config.set_main_option("sqlalchemy.url", f"sqlite:///{folder}/shop.db")
(folder / "migrations" / "env.py").write_text("""
from alembic import context
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine

metadata = MetaData()
Table("book", metadata, Column("id", Integer, primary_key=True), Column("title", String))
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
""")
with contextlib.redirect_stdout(io.StringIO()):
    command.revision(config, message="books", autogenerate=True)
    command.upgrade(config, "head")
engine = create_engine(f"sqlite:///{folder}/shop.db")
print(sorted(inspect(engine).get_table_names()))
command.downgrade(config, "base")
print(sorted(inspect(engine).get_table_names()))
print("done")
'''

SOCKET = """
from fastapi import BackgroundTasks, FastAPI, WebSocket
from fastapi.testclient import TestClient

app = FastAPI()
log = []


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


@app.post("/later")
def later(tasks: BackgroundTasks):
    tasks.add_task(log.append, "later")
    return {}


with TestClient(app) as client:
    with client.websocket_connect("/echo") as socket:
        socket.send_text("hello")
        print(socket.receive_text())
    print(client.post("/later").json(), log)
print("done")
"""

BLOCKING = """
import asyncio

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from checks import trace

engine = create_engine("sqlite:///blocking.db")
app = FastAPI()


def ask() -> int:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT 1"))


@app.get("/thread")
def in_a_thread() -> int:
    return ask()


@app.get("/loop")
async def on_the_loop() -> int:
    return ask()


@app.get("/handed-over")
async def handed_over() -> int:
    return await run_in_threadpool(ask) + await asyncio.to_thread(ask)


with trace(app, engine) as seen:
    client = TestClient(app)
    for path in ("/thread", "/loop", "/handed-over"):
        print(path, client.get(path).json())
print(seen.blocking, [one.request for one in seen.of("sql") if one["blocks"]])


async def beside(result: list[int]) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, int, "no number")
    except ValueError as error:
        print(error)
    result.append(await loop.run_in_executor(None, int, "7"))


@app.get("/executor")
async def executor() -> list[int]:
    found: list[int] = []
    await asyncio.gather(beside(found), beside(found))
    return found


print(client.get("/executor").json())
print("done")
"""

ALL = {"blocking": BLOCKING, "async": ASYNC, "migration": MIGRATION, "websocket": SOCKET}
