"""What recording costs a request: `python -m checks.benchmarks.recorder`.

A typical request (one SELECT, one INSERT, one commit) on SQLite in memory, with the recorder and
without it in turns, so that whatever else the machine does falls on both.

No postponed annotations here: FastAPI could not resolve those of endpoints local to a function.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import httpx
import typer
from fastapi import Depends, FastAPI
from sqlalchemy import Engine, StaticPool, create_engine, func, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from checks.observe.trace import trace


class Base(DeclarativeBase):
    """The tables of the benchmark."""


class Book(Base):
    """What is read and written."""

    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


def sync_app() -> tuple[FastAPI, Engine]:
    """A `def` endpoint over a sync engine."""
    engine = create_engine(
        "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
    )
    Base.metadata.create_all(engine)
    factory = sessionmaker(engine)
    app = FastAPI()

    def get_session() -> Iterator[Session]:
        with factory.begin() as session:
            yield session

    @app.post("/books")
    def add(session: Annotated[Session, Depends(get_session, scope="function")]) -> int:
        known = session.scalar(select(func.count()).select_from(Book)) or 0
        session.add(Book(title=f"Volume {known}"))
        return known

    return app, engine


async def async_app() -> tuple[FastAPI, AsyncEngine]:
    """An `async def` endpoint over an async engine."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    factory = async_sessionmaker(engine)
    app = FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with factory.begin() as session:
            yield session

    @app.post("/books")
    async def add(session: Annotated[AsyncSession, Depends(get_session, scope="function")]) -> int:
        known = await session.scalar(select(func.count()).select_from(Book)) or 0
        session.add(Book(title=f"Volume {known}"))
        return known

    return app, engine


async def measure(app: FastAPI, engine: Engine | AsyncEngine, requests: int) -> tuple[float, float]:
    """The median milliseconds of a request, without the recorder and with it."""
    without: list[float] = []
    recorded: list[float] = []
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://benchmark") as client:
        for _ in range(requests + 20):
            without.append(await _timed(client))
            with trace(app, engine):
                recorded.append(await _timed(client))
    return statistics.median(without[20:]), statistics.median(recorded[20:])


async def _timed(client: httpx.AsyncClient) -> float:
    started = time.perf_counter()
    (await client.post("/books")).raise_for_status()
    return (time.perf_counter() - started) * 1000


def main(requests: int = 1000) -> None:
    """Print what a request costs without and with the recorder."""

    async def both() -> None:
        print(f"{'':8}{'without':>10}{'recorded':>10}{'more':>10}{'ratio':>8}")
        app, engine = sync_app()
        _line("sync", *await measure(app, engine, requests))
        other, async_engine = await async_app()
        _line("async", *await measure(other, async_engine, requests))
        await async_engine.dispose()
        engine.dispose()

    asyncio.run(both())


def _line(name: str, without: float, recorded: float) -> None:
    print(
        f"{name:8}{without:7.2f} ms{recorded:7.2f} ms{recorded - without:7.2f} ms"
        f"{recorded / without:8.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
