# %% [markdown]
# # 05 Sync or async, measured
#
# When you are through, you know what a slow query stops in each of the ways to write an endpoint, you have measured
# what each of them costs, and you can choose between them with numbers instead of opinions.
#
# It is 2 a.m., and the orchestrator has just restarted Dog-Eared for the ninth time tonight. Its health check, which
# touches no database, timed out again. There is no exception in the log. The processor is idle, and so is the database.
# The last change was one word: somebody put `async` in front of an endpoint, because async is faster.

# %% tags=["setup"]
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy import (
    Engine,
    Integer,
    MetaData,
    Select,
    create_engine,
    event,
    func,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from checks import TODO, check, hint, progress, solution, trace
from checks.charts import plot

# %% [markdown]
# ## The shop
#
# Books, orders for them, a list of visits, and the prices that suppliers quote.


# %% tags=["setup"]
class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Book(Base):
    __tablename__ = "book"

    isbn: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    copies: Mapped[int]


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str]


class Visit(Base):
    __tablename__ = "visit"

    id: Mapped[int] = mapped_column(primary_key=True)
    page: Mapped[str]


class Quote(Base):
    __tablename__ = "quote"

    id: Mapped[int] = mapped_column(primary_key=True)
    supplier: Mapped[str]
    price: Mapped[int]


# %% [markdown]
# To see who waits for whom, we need a query that takes its time. A real one would miss an index, or wait for a lock.
# Ours calls a function that SQLite is going to learn from us: `slow(50)` takes 50 milliseconds. It also notes how many
# of its kind are under way at the same moment; we shall want that later.

# %% tags=["setup"]
in_hand: list[int] = []  # the slow queries that run now
at_once: list[int] = []  # how many there were, whenever one began


def slow(ms: int) -> int:
    in_hand.append(ms)
    at_once.append(len(in_hand))
    time.sleep(ms / 1000)
    in_hand.pop()
    return ms


def slow_query(ms: int) -> Select[tuple[int]]:
    return select(func.slow(ms, type_=Integer))


def teach_slow(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.create_function("slow", 1, slow)


# %% [markdown]
# Two engines on one database, a sync one and an async one. Each has a pool of ten connections and not one more, so that
# they can be compared.

# %% tags=["setup"]
FILE = Path(tempfile.mkdtemp()) / "dog_eared.db"

engine = create_engine(f"sqlite:///{FILE}", pool_size=10, max_overflow=0)
async_engine = create_async_engine(f"sqlite+aiosqlite:///{FILE}", pool_size=10, max_overflow=0)
event.listen(engine, "connect", teach_slow)
event.listen(async_engine.sync_engine, "connect", teach_slow)

SessionLocal = sessionmaker(engine)
AsyncSessionLocal = async_sessionmaker(async_engine, expire_on_commit=False)

Base.metadata.create_all(engine)
with SessionLocal.begin() as session:
    session.merge(Book(isbn="9780141439600", title="Middlemarch", copies=3))
    session.merge(Book(isbn="9780141439587", title="Emma", copies=1))

# %% [markdown]
# # 1. One word apart
#
# The same query, three times. Look at the words in front of `def`, and at the kind of session.

# %%
shop = FastAPI()


@shop.get("/def")
def in_a_thread(ms: int = 50) -> int | None:
    with SessionLocal() as session:
        return session.scalar(slow_query(ms))


@shop.get("/async")
async def awaited(ms: int = 50) -> int | None:
    async with AsyncSessionLocal() as session:
        return await session.scalar(slow_query(ms))


@shop.get("/mix")
async def on_the_loop(ms: int = 50) -> int | None:
    with SessionLocal() as session:
        return session.scalar(slow_query(ms))


@shop.get("/health")
async def health() -> str:
    return "fine"


# %% [markdown]
# **Predict.** One request to each of the first three, one after the other. Which is fastest, and which raises?

# %%
transport = httpx.ASGITransport(app=shop)
client = httpx.AsyncClient(transport=transport, base_url="http://shop")

for path in ("/def", "/async", "/mix"):  # the first time a thread starts, connections are opened
    await client.get(path)

with trace(shop, engine, async_engine) as seen:
    for path in ("/def", "/async", "/mix"):
        await client.get(path)

seen

# %% [markdown]
# None is faster to speak of, none raises, and all three return the same. On your own machine, with one browser tab, you
# would never know. The recorder does: it has put a line of red on the third.
#
# What it means takes one fact about FastAPI. A process has one **event loop**: a single thread that runs every
# `async def`, one step at a time, from `await` to `await`. At an `await` it turns to somebody else.
#
# - `/def` is not `async`, so FastAPI
#   [hands it to a thread of its pool](https://fastapi.tiangolo.com/async/#path-operation-functions). The thread waits
#   for the database. The loop does not.
# - `/async` runs on the loop, and says `await` where it waits. Meanwhile the loop serves others.
# - `/mix` runs on the loop and waits *without* `await`. A sync session knows no other way. There is no point at which the
#   loop could turn to somebody else, so nobody else is served: no other request, no health check, no timeout.
#
# ## Two at once
#
# Now one request arrives that wants 400 ms of the database, and a moment later one that wants only 50.


# %%
async def a_moment_later(path: str) -> None:
    await asyncio.sleep(0.1)
    await client.get(path)


# %% [markdown]
# **Predict.** Which of them is answered first, by `/async` and by `/mix`?

# %% tags=["recorded"]
with trace(shop, async_engine) as seen:
    await asyncio.gather(client.get("/async?ms=400"), a_moment_later("/async?ms=50"))

seen

# %% tags=["recorded"]
with trace(shop, engine) as seen:
    await asyncio.gather(client.get("/mix?ms=400"), a_moment_later("/mix?ms=50"))

seen

# %% [markdown]
# With `/async` the second query is sent while the first is still under way, and overtakes it. With `/mix` the second
# request does not even *begin* before the first is over. It was there all along. Nobody had the time to take it in.

# %% [markdown]
# # 2. The heartbeat
#
# How long is a loop gone? Give it a pulse and listen. This task asks to be woken every 5 milliseconds and writes down
# when it really was:


# %%
async def heartbeat(silences: list[float]) -> None:
    """Beat for ever; write down the time between two beats, in milliseconds."""
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        silences.append((now - last) * 1000)
        last = now


# %% [markdown]
# And this is the lesson's instrument. It lets a number of requests arrive at the same moment, and reports when each had
# its answer, and the heart's longest silence.


# %%
@dataclass
class Wave:
    """What became of requests that arrived together, in milliseconds."""

    answered: list[float]  # after how long each had its answer
    silence: float  # the longest time between two heartbeats
    statuses: list[int]


async def send(app: FastAPI, path: str, requests: int) -> Wave:
    """Send requests that all arrive at the same moment."""
    wave, silences = Wave([], 0, []), list[float]()
    heart = asyncio.create_task(heartbeat(silences))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        await asyncio.sleep(0.01)  # the heart begins to beat
        began = time.perf_counter()

        async def one() -> None:
            answer = await client.get(path)
            wave.answered.append((time.perf_counter() - began) * 1000)
            wave.statuses.append(answer.status_code)

        await asyncio.gather(*(one() for _ in range(requests)))
        await asyncio.sleep(0.01)  # and beats once more
    heart.cancel()
    wave.silence = max(silences)
    return wave


# %% [markdown]
# Note where the clock starts: when the wave arrives, for all of them. A clock that starts inside each request, as most
# middleware does, starts only once the loop gets round to it, and on a blocked loop it reports a healthy 50 ms for
# every request while customers wait for seconds.
#
# **Predict.** Twenty requests, 50 ms each, ten connections. When has the last one its answer, and how long is the
# longest silence?

# %% tags=["recorded"]
for path in ("/def", "/async", "/mix"):
    wave = await send(shop, path, 20)
    print(f"{path:7} last answer {max(wave.answered):6.0f} ms   silence {wave.silence:6.0f} ms")

# %% [markdown]
# Twenty queries through ten connections are two rounds of 50 ms; what the first two variants take beyond that is
# Python's own work. The third is twenty rounds, and in all that time the heart does not beat once.
#
# ## What the orchestrator sees
#
# Over a real socket now: uvicorn, sixty customers, and a health check that gives up after a second. Remember that
# `/health` does nothing but say "fine".

# %%
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import uvicorn


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A real server for as long as the block lasts; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


# %%
def health_under_load(address: str, path: str) -> str:
    """Sixty customers ask for the path; what does the health check say meanwhile?"""
    with httpx.Client(base_url=address, timeout=30) as customers, ThreadPoolExecutor(60) as crowd:
        for _ in range(60):
            crowd.submit(customers.get, path)
        time.sleep(0.3)
        try:
            return httpx.get(f"{address}/health", timeout=1).json()
        except httpx.TimeoutException as error:
            return type(error).__name__


# %%
with served(shop) as address:
    for path in ("/def", "/async", "/mix"):
        print(f"{path:7} the health check hears: {health_under_load(address, path)}")

# %% [markdown]
# There is the restart. The process was well, and busy with one thing at a time. An orchestrator cannot tell that from
# dead, so it kills it, with sixty customers in it, and they come back to the next one.
#
# ## Who holds the loop?
#
# In a lesson the recorder tells you. In production a thread can: it watches the pulse from outside, and when the heart
# has been silent for too long, it looks at what the loop's thread is doing **at that moment**.

# %% tags=["recorded"]
import sys
import traceback
from collections import Counter


CELLS = Path(slow.__code__.co_filename).parent  # where a notebook's code says that it is from


class Watchdog(threading.Thread):
    """Notes which functions hold up the event loop of the thread that makes it."""

    def __init__(self, patience: float) -> None:
        super().__init__(daemon=True)
        self.patience, self.watched = patience, threading.get_ident()
        self.last_beat, self.caught = time.perf_counter(), Counter[str]()
        self.dismissed = threading.Event()

    def run(self) -> None:
        while not self.dismissed.wait(self.patience / 4):
            if time.perf_counter() - self.last_beat > self.patience:
                self.caught[self.where_it_is()] += 1

    def where_it_is(self) -> str:
        """The notebook's functions that the watched thread is in, the outermost first."""
        stack = traceback.extract_stack(sys._current_frames()[self.watched])
        return " > ".join(one.name for one in stack if Path(one.filename).parent == CELLS)


# %% tags=["recorded"]
watchdog = Watchdog(patience=0.3)


async def feed() -> None:
    while True:
        watchdog.last_beat = time.perf_counter()
        await asyncio.sleep(0.01)


feeding = asyncio.create_task(feed())
watchdog.start()
for path in ("/def", "/async", "/mix"):
    watchdog.caught.clear()
    await send(shop, path, 20)
    print(f"{path:7}", [where for where, times in watchdog.caught.most_common(1) if times > 3])

feeding.cancel()
watchdog.dismissed.set()

# %% [markdown]
# Read it from the left: our own sender, the endpoint that is to blame, and `slow`, where our stand-in for a database
# sleeps. Twenty lines, and at 2 a.m. you have a name. It finds whatever blocks, not only databases: `requests.get`,
# `time.sleep`, a password hash. For development, asyncio has a slower and more talkative relative,
# `PYTHONASYNCIODEBUG=1`, which
# [logs every step of the loop that takes longer than 100 ms](https://docs.python.org/3/library/asyncio-dev.html#debug-mode).
#
# ## Worse than slow
#
# `/mix` opens its session by itself. Most apps let a dependency do it, as they should, and then the same mistake has a
# second face. A pool of five this time, and a pool that gives up after half a second instead of thirty:

# %%
small_engine = create_engine(f"sqlite:///{FILE}", pool_size=5, max_overflow=0, pool_timeout=0.5)
event.listen(small_engine, "connect", teach_slow)
SmallSession = sessionmaker(small_engine)


def get_small_session() -> Iterator[Session]:
    with SmallSession() as session:
        yield session


stuck = FastAPI()


@stuck.get("/mix")
async def on_the_loop_again(session: Annotated[Session, Depends(get_small_session)]) -> int | None:
    return session.scalar(slow_query(50))


# %% [markdown]
# **Predict.** Twelve requests, five connections. How many are answered with 200?

# %% tags=["recorded"]
wave = await send(stuck, "/mix", 12)
print({status: wave.statuses.count(status) for status in sorted(set(wave.statuses))})
print(f"last answer {max(wave.answered):6.0f} ms   silence {wave.silence:6.0f} ms")

# %% [markdown]
# Five, and seven errors, and it took far longer than all twelve one after the other. What do the seven say?

# %% tags=["recorded"]
try:
    transport = httpx.ASGITransport(app=stuck)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as twelve:
        await asyncio.gather(*(twelve.get("/mix") for _ in range(12)))
except Exception as error:
    print(f"{type(error).__name__}: {str(error).split(' (')[0]}")

await asyncio.sleep(0.1)

# %% [markdown]
# The pool is empty and stays so. The code that gives a connection back stands after the `yield`, and to run it FastAPI
# needs the event loop. The loop stands in request number six, waiting for a connection. Each waits for the other, until
# the pool loses patience, and then number seven does the same. With the default `pool_timeout` of thirty seconds that
# is a silence of three and a half minutes, and then a restart.
#
# So when you meet `QueuePool limit ... reached` under an `async def`, do not make the pool larger. Look for the mix.

# %% [markdown]
# # 3. Measured
#
# Enough of single waves. From one request at a time to a hundred. Of three waves the fastest counts, because whatever
# else your machine was doing is not what we want to know:

# %%
LEVELS = [1, 3, 10, 30, 100]


@dataclass
class Curve:
    """What an endpoint does at each level of load."""

    per_second: list[float]
    typical: list[float]  # ms until half of them had their answer
    silence: list[float]  # ms


async def measured(app: FastAPI, path: str) -> Curve:
    """The fastest of three waves of each size; of fewer where they take long."""
    curve = Curve([], [], [])
    for _ in range(2):
        await send(app, path, 10)  # connections are opened, threads started
    for level in LEVELS:
        waves: list[Wave] = []
        while len(waves) < 3 and sum(max(wave.answered) for wave in waves) < 1500:
            waves.append(await send(app, path, level))
        best = min(waves, key=lambda wave: max(wave.answered))
        curve.per_second.append(level / max(best.answered) * 1000)
        curve.typical.append(median(best.answered))
        curve.silence.append(best.silence)
    return curve


# %% [markdown]
# **Predict.** Ten connections, 50 ms a query: what is the most that anybody could serve in a second? Which of the
# three gets there?

# %% tags=["recorded"]
NAMES = {"/def": "def, Session", "/async": "async def, AsyncSession", "/mix": "async def, Session"}
curves = {name: await measured(shop, path) for path, name in NAMES.items()}

plot(
    "Throughput, SQLite",
    LEVELS,
    {name: curve.per_second for name, curve in curves.items()},
    x_label="requests at once",
    y_label="answers per second",
    log_x=True,
)

# %% tags=["recorded"]
plot(
    "The longest silence of the event loop, SQLite",
    LEVELS,
    {name: curve.silence for name, curve in curves.items()},
    x_label="requests at once",
    y_label="milliseconds",
    log_x=True,
    log_y=True,
)

# %% [markdown]
# Ten connections of 50 ms each make 200 answers a second at best. The first two variants rise towards that, side by
# side, as far as the processor lets them, and then the curve is flat: more customers do not get more out of ten
# connections, they only stand in line. The third does not even rise. It has twenty to the second, whatever you do,
# because it uses *one* of its ten connections.
#
# ## On a real PostgreSQL
#
# SQLite is no server, and aiosqlite no async driver: it keeps a thread for each connection. So let us not draw
# conclusions from it. Here is PostgreSQL, started from a wheel that came with the course, and three drivers' worth of
# engines, ten connections each.

# %% tags=["recorded"]
from checks.servers import start_postgresql

server = start_postgresql()

# %% tags=["recorded"]
if server:
    ten = {"pool_size": 10, "max_overflow": 0}
    pg_engine = create_engine(server.url, **ten)
    psycopg_engine = create_async_engine(server.url, **ten)
    asyncpg_engine = create_async_engine(server.url.set(drivername="postgresql+asyncpg"), **ten)

    with pg_engine.begin() as connection:
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION slow(ms integer) RETURNS integer LANGUAGE sql VOLATILE "
                "AS 'SELECT pg_sleep(ms / 1000.0); SELECT ms'"
            )
        )


# %% tags=["recorded"]
def endpoints_on(engine: Any, async_engine: Any) -> FastAPI:
    """The three endpoints again, on other engines."""
    app = FastAPI()

    @app.get("/def")
    def in_a_thread(ms: int = 50) -> int | None:
        with Session(engine) as session:
            return session.scalar(slow_query(ms))

    @app.get("/async")
    async def awaited(ms: int = 50) -> int | None:
        async with AsyncSession(async_engine) as session:
            return await session.scalar(slow_query(ms))

    @app.get("/mix")
    async def on_the_loop(ms: int = 50) -> int | None:
        with Session(engine) as session:
            return session.scalar(slow_query(ms))

    return app


# %% tags=["recorded"]
if server:
    on_psycopg = endpoints_on(pg_engine, psycopg_engine)
    on_asyncpg = endpoints_on(pg_engine, asyncpg_engine)
    pg_curves = {
        "def, psycopg": await measured(on_psycopg, "/def"),
        "async def, psycopg": await measured(on_psycopg, "/async"),
        "async def, psycopg, sync Session": await measured(on_psycopg, "/mix"),
        "async def, asyncpg": await measured(on_asyncpg, "/async"),
    }

# %% tags=["recorded"]
plot(
    "Throughput, PostgreSQL",
    LEVELS,
    {name: curve.per_second for name, curve in pg_curves.items()},
    x_label="requests at once",
    y_label="answers per second",
    log_x=True,
) if server else None

# %% tags=["recorded"]
plot(
    "Until half of them had their answer, PostgreSQL",
    LEVELS,
    {name: curve.typical for name, curve in pg_curves.items()},
    x_label="requests at once",
    y_label="milliseconds",
    log_x=True,
    log_y=True,
) if server else None

# %% [markdown]
# The same picture, with another database and two real async drivers:
#
# - **Behind the same pool, sync and async come to the same.** The three upper curves rise together and go flat
#   together; which of them is a little ahead hangs on your machine, and on the run. What limits them is ten connections,
#   and it limits them alike.
# - **The mix costs about as much as your pool is large.** It uses one connection of ten, so the others answer up to ten
#   times as much. The gap grows with the pool, until the processor is the limit.
# - **The driver is no reason either.** asyncpg and psycopg go the same way.
#
# The 50 ms make this easy to see, and they are a choice: with queries of half a millisecond you would mostly measure
# Python, and the mood of your machine. Put your own query in and look; that is what the cells are for.

# %% tags=["recorded"]
if server:
    pg_engine.dispose()
    await psycopg_engine.dispose()
    await asyncpg_engine.dispose()
    server.stop()

# %% [markdown]
# # 4. Two queues
#
# A flat curve means a queue. A `def` endpoint can stand in two of them.
#
# 1. **For a thread.** FastAPI's pool, which is AnyIO's, has
#    [40 threads](https://anyio.readthedocs.io/en/stable/threads.html#adjusting-the-default-maximum-worker-thread-count),
#    for everything in the process that is `def`: endpoints, dependencies, and whatever an `async def` hands over with
#    `await run_in_threadpool(function, ...)`.
# 2. **For a connection.** `pool_size + max_overflow` of them, for the engine.
#
# An `async def` with an async session stands in the second only. Which is the longer line? Let the database count how
# many queries it has in hand at once. Sixty requests, first with the ten connections, then with a pool for a hundred.
#
# So that a busy machine does not spoil the count, a `slow` of the larger pool waits for company: it is done when nobody
# else has come in for that long.


# %% tags=["setup"]
def slow_in_company(ms: int) -> int:
    in_hand.append(ms)
    at_once.append(len(in_hand))
    met = 0
    while met < len(at_once):
        met = len(at_once)
        time.sleep(ms / 1000)
    in_hand.pop()
    return ms


def teach_company(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.create_function("slow", 1, slow_in_company)


# %%
roomy_engine = create_engine(f"sqlite:///{FILE}", pool_size=100)
roomy_async_engine = create_async_engine(f"sqlite+aiosqlite:///{FILE}", pool_size=100)
event.listen(roomy_engine, "connect", teach_company)
event.listen(roomy_async_engine.sync_engine, "connect", teach_company)


# %% tags=["recorded"]
async def most_at_once(app: FastAPI, path: str, ms: int) -> int:
    """How many slow queries the database had in hand at the same moment, of sixty requests."""
    at_once.clear()
    await send(app, f"{path}?ms={ms}", 60)
    return max(at_once)


roomy_shop = endpoints_on(roomy_engine, roomy_async_engine)

# %% [markdown]
# **Predict** four numbers.

# %% tags=["recorded"]
for path in ("/def", "/async"):
    ten = await most_at_once(shop, path, ms=200)
    hundred = await most_at_once(roomy_shop, path, ms=200)
    print(f"{path:7} with 10 connections: {ten:3}     with room for 100: {hundred:3}")

# %% [markdown]
# Ten and ten: with a small pool, both stand in the same line, the one for connections. With a large one, `def` stops at
# forty, since the forty-first request has no thread to run in.
#
# The number of threads can be changed, for the event loop in which you ask; a lifespan is the place:

# %% tags=["recorded"]
from anyio.to_thread import current_default_thread_limiter

limiter = current_default_thread_limiter()
print("threads:", limiter.total_tokens)

limiter.total_tokens = 80
print("at once:", await most_at_once(roomy_shop, "/def", ms=200))
limiter.total_tokens = 40

await roomy_async_engine.dispose()
roomy_engine.dispose()

# %% [markdown]
# Before you do that in production: eighty threads that can all reach the database want eighty connections, in each of
# your worker processes, and a PostgreSQL
# [takes a hundred in all](https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-MAX-CONNECTIONS)
# unless somebody has raised it. Lesson 06 does that sum. A pool smaller than forty is the usual case, so the usual queue
# is the one for connections, and there sync and async wait alike.
#
# The queue for threads has one more property: everything that is `def` stands in it, whether it wants a database or
# not.
#
# **Predict.** Sixty slow requests come in, and behind them two health checks, one `async def` and one `def`. How many
# of the sixty are answered before each of the two: a good many, or hardly any?


# %% tags=["recorded"]
@shop.get("/def-health")
def health_in_a_thread() -> str:
    return "fine"


order: list[str] = []


async def note_when_answered(path: str) -> None:
    await client.get(path)
    order.append(path)


sixty = [asyncio.create_task(note_when_answered("/def?ms=400")) for _ in range(60)]
await asyncio.sleep(0.1)  # they have all come in
await asyncio.gather(*map(note_when_answered, ["/health", "/def-health"]), *sixty)

for path in ("/health", "/def-health"):
    print(f"before {path:12}", "20 or more" if order.index(path) >= 20 else "hardly any")

# %% [markdown]
# The one in a thread has nothing to do and waits all the same, until twenty of the sixty are through and there is a
# thread for it. A health check is `async def`, and touches nothing that can block.

# %% [markdown]
# ## Exercise 5.1: predict, then measure
#
# Six endpoints. For each, say **where its query runs** and **how many of them the database has in hand at once** when 60
# requests arrive together:
#
# - `"thread"`: in a thread of the pool; `"awaited"`: on the loop, awaited; `"blocked"`: on the loop, and everybody waits;
# - the number follows from the queues: 40 threads, 10 connections of `engine` and 10 of `async_engine`. `large_engine`
#   has 60.
#
# Read the words in front of each `def`, the dependencies' too.

# %% tags=["setup"]
large_engine = create_engine(f"sqlite:///{FILE}", pool_size=50, max_overflow=10)
event.listen(large_engine, "connect", teach_company)

puzzle = FastAPI()


def query_on(engine: Engine, ms: int) -> int | None:
    with Session(engine) as session:
        return session.scalar(slow_query(ms))


def plain_answer(ms: int = 5) -> int | None:
    return query_on(engine, ms)


async def eager_answer(ms: int = 5) -> int | None:
    return query_on(engine, ms)


# %% tags=["setup"]
@puzzle.get("/a")
def a(ms: int = 5) -> int | None:
    return query_on(large_engine, ms)


@puzzle.get("/b")
async def b(answer: Annotated[int | None, Depends(plain_answer)]) -> int | None:
    return answer


@puzzle.get("/c")
def c(answer: Annotated[int | None, Depends(eager_answer)]) -> int | None:
    return answer


@puzzle.get("/d")
async def d(ms: int = 5) -> int | None:
    return await run_in_threadpool(query_on, engine, ms)


@puzzle.get("/e")
async def e(ms: int = 5) -> int | None:
    async with AsyncSessionLocal() as session:
        return await session.run_sync(lambda inner: inner.scalar(slow_query(ms)))


@puzzle.get("/f")
async def f(ms: int = 5) -> int | None:
    async with AsyncSessionLocal() as session:
        await session.connection()
        return query_on(large_engine, ms)


# %% exercise="05.predict"
prediction = {
    # BEGIN STARTER
    # "/a": TODO,  # ("thread", 12), say
    # "/b": TODO,
    # "/c": TODO,
    # "/d": TODO,
    # "/e": TODO,
    # "/f": TODO,
    # END STARTER
    # BEGIN SOLUTION
    "/a": ("thread", 40),  # 60 connections, but 40 threads
    "/b": ("thread", 10),  # a `def` dependency has a thread, whoever asks for it
    "/c": ("blocked", 1),  # and an `async def` one has not
    "/d": ("thread", 10),
    "/e": ("awaited", 10),  # run_sync awaits under the hood
    "/f": ("blocked", 1),  # an AsyncSession nearby does not help
    # END SOLUTION
}

# %% check="05.predict"
check("05.predict")

# %% [markdown]
# And now the measurement, by the same instrument as above:

# %% tags=["recorded"]
for path, ms in {"/a": 200, "/b": 200, "/c": 5, "/d": 200, "/e": 200, "/f": 5}.items():
    print(path, await most_at_once(puzzle, path, ms))

large_engine.dispose()

# %% [markdown]
# # 5. Three cures
#
# You have an `async def` with a sync session in it. What do you do?
#
# | cure | what changes | what it costs |
# | --- | --- | --- |
# | take `async` away | one word an endpoint | nothing, if the endpoint awaits nothing |
# | hand the work over: `await run_in_threadpool(work, ...)` | a function and a line | the session stays inside that function, from opening to closing |
# | port it to `AsyncSession` | engine, sessions, dependencies, every lazy load | lesson 04; for the whole app, not for one endpoint |
#
# The first is the one that people overlook, because it looks like going back. It is not: `def` *is* how FastAPI spells
# concurrency for sync code. The second is for an endpoint that awaits something else as well. `asyncio.to_thread` does
# the same in a pool of its own, with a limit of its own.
#
# Two things do not work. One is the word `await`, in front of what was sync:

# %%
with SessionLocal() as session:
    try:
        await session.scalar(select(func.count()).select_from(Book))
    except TypeError as error:
        print("TypeError:", error)

# %% [markdown]
# The `int` in that message is the answer. It was there before `await` looked at it, and until then the loop stood still.
#
# The other is half a cure. **Predict**: the endpoint is `def` now, the dependency `async def`, for good measure.
# Which statements are in red?

# %%
halfway = FastAPI()


async def half_async_session() -> AsyncIterator[Session]:
    with SessionLocal.begin() as session:
        yield session


@halfway.post("/orders", status_code=201)
def half_an_order(
    session: Annotated[Session, Depends(half_async_session, scope="function")],
) -> None:
    session.scalar(select(Book.copies).where(Book.isbn == "9780141439587"))
    session.add(Order(isbn="9780141439587"))


# %%
transport = httpx.ASGITransport(app=halfway)
with trace(halfway, engine) as seen:
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as customer:
        await customer.post("/orders")

seen

# %% [markdown]
# The SELECT is sent by the endpoint, in a thread. The INSERT and the COMMIT are sent where the `with` block ends, which
# is in the dependency, which is on the loop. And a commit is the statement that waits for the disk.

# %% [markdown]
# ## Exercise 5.2: the least change
#
# This is the app of the ninth restart. Mend it with as little change as you can (one right answer changes two words):
#
# - `GET /books/{isbn}/copies` answers with a number, `POST /books/{isbn}/orders` with 201 and the order's id, or 409
#   when the book is sold out; an order is kept, and its copy gone from the shelf, before the client has its answer;
# - nothing holds up the event loop, in either of them;
# - `in_stock(session, isbn)` is called by the nightly report too, with a `Session`, and goes on working there.


# %% exercise="05.least_change"
def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


def in_stock(session: Session, isbn: str) -> int:
    return session.scalar(select(Book.copies).where(Book.isbn == isbn)) or 0


app = FastAPI()


@app.get("/books/{isbn}/copies")
# BEGIN STARTER
# async def read_copies(isbn: str, session: SessionDep) -> int:
# END STARTER
# BEGIN SOLUTION
def read_copies(isbn: str, session: SessionDep) -> int:  # in a thread, where it may wait
    # END SOLUTION
    return in_stock(session, isbn)


@app.post("/books/{isbn}/orders", status_code=201)
# BEGIN STARTER
# async def place_order(isbn: str, session: SessionDep) -> dict[str, int]:
# END STARTER
# BEGIN SOLUTION
def place_order(isbn: str, session: SessionDep) -> dict[str, int]:  # and so is this
    # END SOLUTION
    take = update(Book).where(Book.isbn == isbn, Book.copies > 0).values(copies=Book.copies - 1)
    if session.execute(take).rowcount == 0:
        raise HTTPException(409, "Sold out.")
    order = Order(isbn=isbn)
    session.add(order)
    session.flush()
    return {"id": order.id}


# %% check="05.least_change"
check("05.least_change")

# %% [markdown]
# One thing the freeze had hidden: requests that come one at a time never race. Now they meet, up to forty of them. This
# order bears that, since its UPDATE looks and takes in one statement (lesson 03); a look first and an UPDATE after it
# would have sold the last copy twice, from the day of the cure.

# %% [markdown]
# ## Exercise 5.3: find what freezes it
#
# Dog-Eared's shop front went async last quarter, session and all, and it still freezes. Find what holds up the event
# loop, and mend it:
#
# - each request is answered as before, and each visit of a book's page is kept;
# - **nothing** holds up the event loop any more;
# - `copies_left(isbn)` is also called by the nightly stock report, which is an ordinary script. It must go on working
#   as a plain function: `copies_left("9780141439587")` is a number.
#
# `with trace(app, engine, async_engine) as seen:` is your friend. Not every sync session in here is a problem.


# %% exercise="05.find_it"
def copies_left(isbn: str) -> int:
    with SessionLocal() as session:
        return session.scalar(select(Book.copies).where(Book.isbn == isbn)) or 0


def opening_hours() -> str:
    with SessionLocal() as session:
        books = session.scalar(select(func.count()).select_from(Book)) or 0
    return "open" if books else "closed"


async def get_async_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSessionLocal.begin() as session:
        yield session


AsyncDep = Annotated[AsyncSession, Depends(get_async_session, scope="function")]


# BEGIN STARTER
# async def remember_visit(isbn: str) -> None:
#     with SessionLocal.begin() as session:
#         session.add(Visit(page=isbn))
# END STARTER
# BEGIN SOLUTION
async def remember_visit(isbn: str, session: AsyncDep) -> None:
    session.add(Visit(page=isbn))


# END SOLUTION


app = FastAPI()


@app.get("/hours")
async def hours(today: Annotated[str, Depends(opening_hours)]) -> str:
    return today


@app.get("/books/{isbn}", dependencies=[Depends(remember_visit)])
async def book_page(isbn: str, session: AsyncDep) -> dict[str, Any]:
    book = await session.get(Book, isbn)
    if book is None:
        raise HTTPException(404, "No such book.")
    # BEGIN STARTER
    # return {"title": book.title, "copies": copies_left(isbn)}
    # END STARTER
    # BEGIN SOLUTION
    return {"title": book.title, "copies": await run_in_threadpool(copies_left, isbn)}
    # END SOLUTION


# %% check="05.find_it"
check("05.find_it")

# %% [markdown]
# # 6. Where async wins
#
# Behind one pool it does not. It wins where a request waits for **many things at once**, or for something **long**, and
# most of that is not the database. Dog-Eared asks its suppliers for a price, over the network; each takes a moment, and
# sometimes one is down.

# %% tags=["setup"]
PRICES: dict[str, int | None] = {"Folio": 14, "Quarto": 12, "Octavo": None, "Duodecimo": 13}
calls: list[str] = []  # what the suppliers have seen of us


class SupplierDown(Exception):
    pass


async def ask_supplier(name: str) -> int:
    """A supplier's price.

    Raises:
        SupplierDown: it has none for us today.
    """
    calls.append(f"{name} is asked")
    await asyncio.sleep(0.05)  # the network
    calls.append(f"{name} answers")
    price = PRICES[name]
    if price is None:
        raise SupplierDown(name)
    return price


# %% [markdown]
# **Predict.** Four suppliers, 50 ms each, asked in a loop and asked together. How long does each take, and what becomes
# of the one that is down?

# %%
began = time.perf_counter()
in_turn: list[int] = []
for name in PRICES:
    try:
        in_turn.append(await ask_supplier(name))
    except SupplierDown:
        pass
print(f"in turn:  {(time.perf_counter() - began) * 1000:6.1f} ms", in_turn)

began = time.perf_counter()
together = await asyncio.gather(*map(ask_supplier, PRICES), return_exceptions=True)
print(f"together: {(time.perf_counter() - began) * 1000:6.1f} ms", together)

# %% [markdown]
# About a quarter of the time, in one thread, in one line. And a request that waits like this costs a task, not a thread: three
# thousand open streams are no trouble for a loop, and seventy-five times too many for forty threads.
#
# `await` in a loop, as in the first half, is the most common way to write async code that gains nothing. Nothing blocks,
# nobody else waits; it is only slow.

# %% [markdown]
# ## Exercise 5.4: ask them all
#
# Write `GET /quote`:
#
# - it asks every supplier in `PRICES`, **all at the same time**, with `ask_supplier(name)`;
# - it answers 200 with the cheapest: `{"supplier": ..., "price": ...}`; whoever is down is left out;
# - the quote is kept, as a row of `Quote`, committed before the answer; through `AsyncSessionLocal`, so that the loop is
#   not held up;
# - when all of them are down: 503, and no row.


# %% exercise="05.ask_them_all"
app = FastAPI()


# BEGIN STARTER
# @app.get("/quote")
# async def quote() -> dict[str, Any]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
@app.get("/quote")
async def quote() -> dict[str, Any]:
    answers = await asyncio.gather(*map(ask_supplier, PRICES), return_exceptions=True)
    offers = [(a, name) for name, a in zip(PRICES, answers, strict=True) if isinstance(a, int)]
    if not offers:
        raise HTTPException(503, "No supplier answers.")
    price, supplier = min(offers)
    async with AsyncSessionLocal.begin() as session:
        session.add(Quote(supplier=supplier, price=price))
    return {"supplier": supplier, "price": price}


# END SOLUTION

# %% check="05.ask_them_all"
check("05.ask_them_all")

# %% [markdown]
# See what the solution does *not* do: hold a session while it waits for the suppliers. Lesson 06 shows what that would
# cost.

# %% [markdown]
# # 7. Choosing
#
# A number says which part has shown it.
#
# | your service | take | because |
# | --- | --- | --- |
# | talks to its database, and little else | sync: `def`, `Session` | the pool is the limit in both (3), and sync is less to know |
# | uses libraries that are sync | sync | an `async def` that calls them stops everybody (2) |
# | asks several services for each request | async: `async def`, `AsyncSession` | waits overlap within the request (6) |
# | holds connections open: streams, web sockets | async | a task each (6), where forty threads (4) are soon taken |
# | computes: images, passwords, reports | `def` for little, another process for much | threads and tasks take turns in [one interpreter](https://docs.python.org/3/glossary.html#term-global-interpreter-lock) |
# | is one, and works | what it is | neither change pays for itself (3) |
#
# **Drivers.** On PostgreSQL, psycopg 3 does both: the URL `postgresql://` gives it to `create_engine` and to
# `create_async_engine` alike, on SQLAlchemy 2.1. asyncpg is async only, and a good one; mind that an engine of it
# [belongs to one event loop](https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html#using-multiple-asyncio-event-loops).
# On SQLite, `aiosqlite` is a thread behind each connection: the async spelling, for tests and small things.
#
# Whatever you take, take it for the whole app. The trouble in this lesson came from having both.

# %% [markdown]
# ## Exercise 5.5: choose
#
# Four services. For each, a way and the reason that carries it.
#
# - **`"checkout"`**: three queries a request, PostgreSQL, a pool of 20, and an invoice library that is sync. At noon 150
#   requests wait for a connection.
# - **`"price watch"`**: each request asks eight suppliers over HTTP, 300 ms each, and then writes one row.
# - **`"order board"`**: three thousand bookshops keep an event stream open all day. Every minute or so each is sent a
#   line.
# - **`"covers"`**: makes print-ready covers, two seconds of computing each. At peak there are twenty to make.
#
# Ways: `"sync"`, `"async"`, `"another process"`.
#
# Reasons: `"async is faster"`, `"the pool is the limit"`, `"its libraries are sync"`, `"many waits in one request"`,
# `"many open connections"`, `"it computes"`.

# %% exercise="05.choose"
choices = {
    # BEGIN STARTER
    # "checkout": TODO,  # ("sync", "it computes"), say
    # "price watch": TODO,
    # "order board": TODO,
    # "covers": TODO,
    # END STARTER
    # BEGIN SOLUTION
    "checkout": ("sync", "the pool is the limit"),
    "price watch": ("async", "many waits in one request"),
    "order board": ("async", "many open connections"),
    "covers": ("another process", "it computes"),
    # END SOLUTION
}

# %% check="05.choose"
check("05.choose")

# %% [markdown]
# # Recap
#
# ## The recipe
#
# A test that fails on the day somebody adds the word. It sends every request that you give it and asks one thing: was a
# sync statement sent from the event loop's thread? It needs nothing of this course.

# %% tags=["recipe"]
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, text
from sqlalchemy.orm import Session, sessionmaker


@contextmanager
def loop_stays_free(*engines: Engine) -> Iterator[None]:
    """Fail when a sync engine is used on the thread of a running event loop."""
    offences: list[str] = []

    def look(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # a thread of its own: as it should be
        offences.append(statement)

    for one in engines:
        event.listen(one, "before_cursor_execute", look)
    try:
        yield
    finally:
        for one in engines:
            event.remove(one, "before_cursor_execute", look)
    assert not offences, f"sent from the event loop: {offences}"


recipe_engine = create_engine(
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)
RecipeSession = sessionmaker(recipe_engine)


def open_session() -> Iterator[Session]:
    with RecipeSession.begin() as session:
        yield session


DatabaseDep = Annotated[Session, Depends(open_session, scope="function")]

api = FastAPI()


@api.get("/sound")
def sound(session: DatabaseDep) -> int | None:
    return session.scalar(text("SELECT 1"))


@api.get("/unsound")
async def unsound(session: DatabaseDep) -> int | None:
    return session.scalar(text("SELECT 1"))


def test_nothing_holds_up_the_loop(path: str) -> None:
    with TestClient(api) as client, loop_stays_free(recipe_engine):
        assert client.get(path).status_code == 200


test_nothing_holds_up_the_loop("/sound")
try:
    test_nothing_holds_up_the_loop("/unsound")
except AssertionError as error:
    print(error)

# %% [markdown]
# ## The rules
#
# - `def` with `Session`, or `async def` with `AsyncSession`. Never `async def` with `Session`.
# - That goes for dependencies too, and for the helper three calls down.
# - Behind the same pool, sync and async are about equally fast. The mix is slower by about as much as the pool is large.
# - `def` waits for a thread (40), then for a connection. `async def` only for a connection.
# - The smallest cure is to take the word `async` away.
# - An `await` in a loop waits in turn. `gather` waits once.
# - Measure from when a request arrives, and listen to the heartbeat.
# - A health check is `async def` and touches nothing.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `TimeoutError: QueuePool limit of size 5 overflow 0 reached, connection timed out, timeout 0.50` | here: `async def` with a sync session from a dependency; the loop waits for a connection that only the loop can give back. Elsewhere: lesson 06 |
# | `ReadTimeout`, at a health check of a process that is well | something holds up its event loop |
# | `TypeError: object int can't be used in 'await' expression`, or `'int' object can't be awaited` | `await` in front of a sync session's method; it makes nothing async |
#
# ## In production
#
# - Workers are processes, each with a loop, 40 threads and a pool of its own. More workers hide a blocked loop; they do
#   not free it.
# - Put the watchdog in, or an exporter of the loop's lag. Latencies that are measured inside the process look well.
# - `pool_timeout` of thirty seconds is longer than anybody's patience. Make it shorter than the client's timeout.
# - Hashing a password takes a tenth of a second of computing (lesson 12): in a `def` endpoint.
#
# ## Read more
#
# - FastAPI: [Concurrency and async / await](https://fastapi.tiangolo.com/async/)
# - SQLAlchemy: [Asynchronous I/O](https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html),
#   [Connection pooling](https://docs.sqlalchemy.org/en/21/core/pooling.html)
# - AnyIO: [Working with threads](https://anyio.readthedocs.io/en/stable/threads.html)
# - Python: [Developing with asyncio](https://docs.python.org/3/library/asyncio-dev.html)
