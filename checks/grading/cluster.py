"""Running submissions on other machines: the same work, sent to a Dask cluster.

Each worker process of the cluster keeps one warm process and runs one submission at a time in a
fork of it, shut in as on this machine. Plans travel out and outcomes come back, both as JSON:
bytes are all that a worker may answer with, and they are checked as if a submission had written
them. Judging and recording stay here.

Start workers with one thread each, `dask worker ADDRESS --nworkers auto --nthreads 1`. One with
more threads is asked for more at once, but runs one submission after the other all the same.
"""

from __future__ import annotations

import json
import logging
import platform
import queue
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from checks import course
from checks.errors import CourseError
from checks.grading.fork import ForkRunner, NoIsolationError
from checks.grading.outcome import Ended, Job, Limits, Outcome
from checks.grading.plan import Plan

if TYPE_CHECKING:
    from distributed import Client, Future

_CONNECTING = 10.0  # seconds that the scheduler has to answer, and a first worker to be there
_PATIENCE = 60.0  # seconds to go on without any worker
_LOOKS = 5.0  # seconds between looks at how many workers there are
_WINDOW = 3  # submissions on their way for each worker, so that none waits for its next
_MEGA = 1 << 20

_PACKAGES = ("distributed", "fastapi", "pydantic", "sqlalchemy", "starlette")


class ClusterRunner:
    """Runs submissions on a Dask cluster. A context manager, as `ForkRunner` is.

    A worker that is lost costs time: the scheduler sends what it had to another one. A submission
    whose every run lost its worker is tried once more alone, so that none pays for a neighbour,
    and has then died.

    Args:
        scheduler: The scheduler's address: `tcp://host:8786`.
        limits: What each submission may use.
    """

    def __init__(self, scheduler: str, limits: Limits) -> None:
        self._address, self._limits = scheduler, limits

    def __enter__(self) -> Self:
        """Connect, and see that every worker would run what this machine would.

        Raises:
            CourseError: no scheduler or no worker answers, or one has other checks or versions.
        """
        self._client = _connect(self._address)
        try:
            self._own = about()
            self._compare_workers()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the warm processes, hang up. The cluster stays."""
        if self._client.status == "running":
            with suppress(Exception):  # workers on their way out
                self._client.run(cool_down, on_error="ignore")
        self._close()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Run submissions, yielding each as it ends; no more are read than are on their way.

        Raises:
            CourseError: the scheduler is gone, or all workers are, or one refuses.
        """
        lost = []
        for job, outcome in self._spread(jobs):
            if outcome is None:
                lost.append(job)
            else:
                yield job, outcome
        gone = Outcome(Ended.DIED, why="each worker of the cluster that ran it was lost")
        for job in lost:
            for _, outcome in self._spread([job]):
                yield job, outcome or gone

    # -- one window of submissions ------------------------------------------------------------
    def _spread(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome | None]]:
        """Keep every worker busy; None where a submission lost its workers."""
        waiting = iter(jobs)
        ended: queue.SimpleQueue[Future[bytes]] = queue.SimpleQueue()
        live: dict[object, tuple[Job, Future[bytes]]] = {}
        workers = _Workers(self._client, self._address)
        try:
            while True:
                room = _WINDOW * max(1, workers.count()) - len(live)
                for job in islice(waiting, max(0, room)):
                    future = self._send(job)
                    live[future.key] = job, future
                    future.add_done_callback(ended.put)
                if not live:
                    return
                with suppress(queue.Empty):
                    future = ended.get(timeout=_LOOKS)
                    if future.key in live:
                        job, _ = live.pop(future.key)
                        yield job, self._outcome(future)
        finally:
            for _, future in live.values():
                with suppress(Exception):  # there may be nobody left to tell
                    future.cancel()

    def _send(self, job: Job) -> Future[bytes]:
        limits = json.dumps(asdict(self._limits)).encode()
        return self._client.submit(
            run_here, job.plan.to_json().encode(), limits, self._own, pure=False
        )

    def _outcome(self, future: Future[bytes]) -> Outcome | None:
        from distributed.scheduler import KilledWorker

        if future.cancelled():  # as all are when the scheduler goes or is restarted
            raise CourseError(_gone(self._address))
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return None
            raise CourseError(_cannot(self._address, error))
        try:
            # At once, unless its worker was lost just now: then it is run again.
            answer = future.result(timeout=self._limits.total + _PATIENCE)
        except (OSError, CancelledError) as error:
            raise CourseError(_gone(self._address)) from error
        except Exception as error:  # an answer that is no bytes
            raise CourseError(_cannot(self._address, error)) from error
        finally:
            future.release()
        if isinstance(answer, bytes) and answer.startswith(_REFUSED):
            raise CourseError(answer[1:].decode("utf-8", "replace")[:2000])
        try:
            return Outcome.from_json(answer[1:], (self._limits.output + 1) * _MEGA)
        except (TypeError, ValueError):
            return Outcome(Ended.DIED, why="the worker that ran it sent what is no outcome")

    # -- before anything is sent --------------------------------------------------------------
    def _compare_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_CONNECTING)
        except TimeoutError as error:
            raise CourseError(
                f"The scheduler at {self._address} has no workers: start some with "
                f"`dask worker {self._address} --nworkers auto --nthreads 1`."
            ) from error
        ours = json.loads(self._own)
        for worker, said in self._client.run(about, on_error="return").items():
            if isinstance(said, BaseException):
                raise CourseError(_cannot(worker, said))
            if trouble := _difference(ours, json.loads(said), worker):
                raise CourseError(trouble)

    def _close(self) -> None:
        with suppress(Exception):
            self._client.close(timeout=2)


class _Workers:
    """How many workers there are, looked at now and then."""

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address
        self._looked, self._there, self._count = 0.0, time.monotonic(), 1

    def count(self) -> int:
        """The workers at the last look.

        Raises:
            CourseError: there has been none for long, or the scheduler is gone.
        """
        now = time.monotonic()
        if now - self._looked < _LOOKS:
            return self._count
        self._looked = now
        try:
            self._count = len(self._client.nthreads())
        except (OSError, RuntimeError) as error:
            raise CourseError(_gone(self._address)) from error
        if self._client.status != "running":
            raise CourseError(_gone(self._address))
        if self._count:
            self._there = now
        elif now - self._there > _PATIENCE:
            raise CourseError(
                f"All workers of {self._address} are gone. Start some and run the command again: "
                "it goes on where it stopped."
            )
        return self._count


def _connect(address: str) -> Client:
    if find_spec("distributed") is None:
        raise CourseError(
            'Grading on a cluster needs Dask: `pip install -e ".[cluster]"`, then run the command '
            "again."
        )
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    for logger in ("distributed", "distributed.client"):  # what matters is said here
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # compared in `about`
            return Client(
                address,
                timeout=_CONNECTING,
                set_as_default=False,
                deserializers=["dask", "msgpack"],  # results are bytes; nothing is unpickled
            )
    except (OSError, ValueError, ImportError) as error:
        raise CourseError(
            f"No Dask scheduler answers at {address} ({type(error).__name__}). Start one with "
            "`dask scheduler`, and give the address that it prints: tcp://HOST:8786."
        ) from error


def _gone(address: str) -> str:
    return (
        f"The scheduler at {address} is gone. Start it and run the command again: it goes on "
        "where it stopped."
    )


def _cannot(where: str, error: BaseException | None) -> str:
    first = (str(error).splitlines() or [""])[0][:200]
    return (
        f"{where} cannot run the grader ({type(error).__name__}: {first}). Set up the course "
        "there as here, and start its workers from that environment."
    )


# -- what a worker does ---------------------------------------------------------------------------
_RAN, _REFUSED = b"+", b"-"

# The warm process ends with the thread that started it, so that is one that stays; being the only
# one, it also sees to it that submissions take turns.
_turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grading")
_warm: tuple[Limits, ForkRunner] | None = None


@cache
def about() -> str:
    """What verdicts depend on, beside the submission: versions, and each lesson's checks."""
    from checks.grading.grade import checks_digest

    return json.dumps(
        {
            "Python": ".".join(platform.python_version_tuple()[:2]),
            **{name: _version(name) for name in _PACKAGES},
            "checks": {one.number: checks_digest(one.number) for one in course.catalogue()},
        }
    )


def run_here(plan: bytes, limits: bytes, wanted: str) -> bytes:
    """Run one submission in this process's warm process; never raises.

    Args:
        plan: What to run, as JSON.
        limits: What it may use, as JSON.
        wanted: What the grader's machine says of itself; a worker that came late is compared too.

    Returns:
        A sign, then the outcome as JSON or the reason why there is none.
    """
    try:
        if trouble := _difference(json.loads(wanted), json.loads(about()), platform.node()):
            return _REFUSED + trouble.encode()
        job = Job("", Plan.from_json(plan))
        return _RAN + _turns.submit(_run, job, Limits(**json.loads(limits))).result().to_json()
    except NoIsolationError as error:
        return _REFUSED + f"{platform.node()}: {error}".encode()
    except Exception as error:
        return _REFUSED + _cannot(platform.node(), error).encode()


def cool_down() -> None:
    """End this process's warm process; the next submission starts another."""
    _turns.submit(_cool_down)


def _run(job: Job, limits: Limits) -> Outcome:
    global _warm
    if _warm is None or _warm[0] != limits:
        _cool_down()
        runner = ForkRunner(limits, workers=1)
        _warm = limits, runner.__enter__()
    (_, outcome), *_ = _warm[1].run([job])
    return outcome


def _cool_down() -> None:
    global _warm
    if _warm is not None:
        _, runner = _warm
        _warm = None
        runner.__exit__(None, None, None)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _difference(ours: dict[str, Any], theirs: dict[str, Any], worker: str) -> str:
    """What sets a worker apart from this machine, as a sentence; empty when nothing does."""
    for name in ("Python", *_PACKAGES):
        if ours[name] != theirs.get(name):
            return (
                f"{worker} has {name} {theirs.get(name)}, the grading machine {ours[name]}: "
                "verdicts might differ. Set the course up alike on both and restart its workers."
            )
    said = theirs.get("checks", {})
    differing = [number for number, digest in ours["checks"].items() if digest != said.get(number)]
    if differing:
        return (
            f"{worker} has other checks for lesson {', '.join(differing)} than the grading "
            "machine: bring both to the same commit (`git pull`) and restart its workers."
        )
    return ""
