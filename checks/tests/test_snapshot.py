"""The snapshot of a learner's database: which kind it is, and that it is put back."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncResult, create_async_engine

from checks.observe.snapshot import file_of, take

IN_MEMORY = ["sqlite://", "sqlite:///file:shop?mode=memory&uri=true"]


def never(function: Any) -> None:
    """For snapshots that need no event loop."""
    raise AssertionError


def numbers(engine: Engine) -> list[int]:
    """The rows of the table that the tests fill."""
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT n FROM t ORDER BY n").scalars())


def change(engine: Engine, *statements: str) -> None:
    """Send statements and commit."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////var/shop.db", "/var/shop.db"),
        ("sqlite:///file:shop.db?uri=true", "shop.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file::memory:?cache=shared&uri=true", None),
        ("sqlite:///file:shop?mode=memory&cache=shared&uri=true", None),
    ],
)
def test_which_databases_are_files(url: str, file: str | None) -> None:
    found = Path(file) if file else None
    assert file_of(create_engine(url, poolclass=StaticPool)) == found
    other = url.replace("sqlite:", "sqlite+aiosqlite:")
    assert file_of(create_async_engine(other, poolclass=StaticPool)) == found


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_file_is_put_back(tmp_path: Path, journal: str) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA journal_mode = {journal}")
    change(engine, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)")
    snapshot = take(engine, never)
    assert snapshot
    change(engine, "INSERT INTO t VALUES (2)", "CREATE TABLE u (n INTEGER)")
    snapshot.restore()
    assert numbers(engine) == [1]
    change(engine, "CREATE TABLE u (n INTEGER)")
    engine.dispose()


def test_a_session_that_was_dropped_in_a_transaction_is_not_in_the_way(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    change(engine, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)")
    gc.disable()
    try:
        dropped = engine.connect()
        dropped.exec_driver_sql("INSERT INTO t VALUES (2)")
        ring = [dropped]
        ring.append(ring)  # type: ignore[arg-type]
        del dropped, ring
        snapshot = take(engine, never)
    finally:
        gc.enable()
    assert snapshot
    change(engine, "INSERT INTO t VALUES (3)")
    snapshot.restore()
    assert numbers(engine) == [1]
    engine.dispose()


def test_a_file_that_was_not_there_is_not_left_behind_nor_what_sqlite_put_beside_it(
    tmp_path: Path,
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    snapshot = take(engine, never)
    assert snapshot
    held = engine.connect()
    held.exec_driver_sql("PRAGMA journal_mode = WAL")
    held.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    held.commit()
    snapshot.restore()
    assert list(tmp_path.iterdir()) == []
    held.close()
    engine.dispose()


@pytest.mark.parametrize("url", IN_MEMORY)
def test_memory_is_put_back(url: str) -> None:
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    change(engine, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)")
    snapshot = take(engine, never)
    assert snapshot
    change(engine, "INSERT INTO t VALUES (2)")
    snapshot.restore()
    assert numbers(engine) == [1]
    engine.dispose()


@pytest.mark.parametrize("url", IN_MEMORY)
def test_memory_is_put_back_under_a_half_read_result(url: str) -> None:
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    change(engine, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1), (2), (3)")
    snapshot = take(engine, never)
    assert snapshot
    change(engine, "INSERT INTO t VALUES (4)")
    half_read = engine.connect().exec_driver_sql("SELECT n FROM t")
    assert half_read.fetchone() == (1,)
    snapshot.restore()
    assert numbers(engine) == [1, 2, 3]
    engine.dispose()


def test_memory_behind_an_async_engine_is_put_back_under_a_half_read_result() -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    with asyncio.Runner() as runner:

        def run(function: Any) -> Any:
            return runner.run(function())

        async def numbers() -> list[int]:
            async with engine.connect() as connection:
                return list((await connection.exec_driver_sql("SELECT n FROM t")).scalars())

        async def fill() -> None:
            async with engine.begin() as connection:
                await connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
                await connection.exec_driver_sql("INSERT INTO t VALUES (1), (2), (3)")

        async def half_read() -> AsyncResult[Any]:
            connection = await engine.connect()
            result = await connection.stream(text("SELECT n FROM t"))
            assert await result.fetchone() == (1,)
            return result

        run(fill)
        snapshot = take(engine, run)
        assert snapshot
        result = run(half_read)
        snapshot.restore()
        assert run(numbers) == [1, 2, 3]
        del result
        run(engine.dispose)
