"""Running submissions in forks of a warm process, shut in, several at once. Linux."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from checks.errors import CourseError
from checks.grading import wire
from checks.grading.outcome import Ended, Job, Limits, Outcome, Raised
from checks.observe.evidence import Observation

_STARTING = 60.0  # seconds that the warm process may take to warm up
_LOOKS_AT_MEMORY = 0.5  # seconds between looks at what a submission uses
_MOST_OBSERVED = 10  # times that one exercise is observed in one run
_MOST_SIGNS = 20
_MEGA = 1 << 20


class NoIsolationError(CourseError):
    """Submissions cannot be shut in on this machine."""


class ForkRunner:
    """Runs submissions in forks. A context manager; inside, `run` may be called again and again.

    Args:
        limits: What each submission may use.
        workers: How many run at once.
    """

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits, self._workers = limits, workers

    def __enter__(self) -> Self:
        """Start the warm process.

        Raises:
            NoIsolationError: it cannot shut submissions in.
        """
        self._root = tempfile.TemporaryDirectory(prefix="dog-eared-")
        self._selector = selectors.DefaultSelector()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._warm = _start_warm(theirs)
        self._control.send(
            json.dumps({"root": self._root.name, "limits": asdict(self._limits)}).encode()
        )
        self._control.settimeout(_STARTING)
        try:
            said = json.loads(self._control.recv(1 << 16) or b'{"cannot": "it ended at once"}')
        except (TimeoutError, ConnectionError) as error:
            said = {"cannot": f"the warm process does not answer ({error})"}
        if why := said.get("cannot"):
            self.__exit__(None, None, None)
            raise NoIsolationError(
                f"Submissions cannot be shut in on this machine: {why}. Run as root, allow user "
                "namespaces (Ubuntu: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`),"
                " or accept the risk with --no-isolation."
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the warm process, and with it whatever still runs."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Submission):
                key.data.kill()
        self._control.close()
        self._warm.kill()
        self._warm.wait()
        self._selector.close()
        self._root.cleanup()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Run submissions, yielding each as it ends."""
        waiting = iter(jobs)
        live: set[_Submission] = set()
        while True:
            while len(live) < self._workers and (job := next(waiting, None)):
                live.add(self._start(job))
            if not live:
                return
            for key, _ in self._selector.select(timeout=0.1):
                key.data.hear()
            for one in [one for one in live if one.is_over()]:
                live.discard(one)
                yield one.job, one.close()

    def _start(self, job: Job) -> _Submission:
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"go"], [theirs.fileno()])
        return _Submission(job, ours, self._limits, self._selector)


def _start_warm(theirs: socket.socket) -> subprocess.Popen[bytes]:
    environment = {
        "LANG": "C.UTF-8",
        "HOME": "/lesson",
        "TMPDIR": "/lesson",
        "MALLOC_ARENA_MAX": "2",  # else each thread reserves 64 MB of its address space
        "OPENBLAS_NUM_THREADS": "1",
        "CHECKS_PROGRESS": "off",
    }
    control = theirs.fileno()

    def place() -> None:
        os.dup2(control, 3)

    return subprocess.Popen(
        [sys.executable, "-P", "-m", "checks.grading.warm"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("CHECKS_DEBUG") else subprocess.DEVNULL,
        env=environment,
        pass_fds=(3,),
        preexec_fn=place,
        cwd="/",
    )


class _Submission:
    """One submission while it runs, as the grader sees it."""

    def __init__(
        self,
        job: Job,
        channel: socket.socket,
        limits: Limits,
        selector: selectors.BaseSelector,
    ) -> None:
        self.job = job
        self._channel, self._limits, self._selector = channel, limits, selector
        self._started = time.monotonic()
        self._cell_started = self._started
        self._memory_seen = self._started
        self._outcome = Outcome()
        self._secret = secrets.token_bytes(wire.SECRET)
        self._sign = wire.signer(self._secret)
        self._pid = 0
        self._pidfd: int | None = None
        self._buffer = bytearray()
        self._received = 0
        self._asked: tuple[str, str, int] | None = None  # exercise, nonce, seed
        self._looked: dict[str, int] = {}
        self._forged = 0
        self._over = False
        channel.setblocking(False)
        selector.register(channel, selectors.EVENT_READ, self)

    # -- what it says -------------------------------------------------------------------------
    def hear(self) -> None:
        """Read what has come."""
        while not self._over:
            try:
                data = self._channel.recv(1 << 18)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            if not data:
                self._gone()
                return
            self._received += len(data)
            self._buffer += data
            if self._received > self._limits.output * _MEGA or len(self._buffer) > wire.LONGEST:
                self._stop(Ended.TOO_MUCH, "it sent more than it may")
                return
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = bytearray(rest)
            for line in filter(None, lines):
                self._take(bytes(line))
        if self._pidfd is not None and not self._over and _has_ended(self._pidfd):
            self._gone()

    def _take(self, line: bytes) -> None:
        if self._over:
            return
        if not self._pid:
            self._begin(line)
            return
        said = wire.unpack(self._sign, line)
        if said is None:
            self._forged += 1
        elif "cell" in said and "raised" not in said:
            self._cell_started = time.monotonic()
            cell = said["cell"]
            self._outcome.cell = cell if isinstance(cell, int) else None
        elif "raised" in said:
            self._note_error(said)
        elif "reached" in said:
            self._allow(str(said["reached"]))
        elif "observed" in said:
            self._note_observation(said)
        elif said.get("done") is True:
            self._over = True

    def _begin(self, line: bytes) -> None:
        """The first line comes before anything of the submission's: it is to be believed."""
        said = json.loads(line)
        if "cannot" in said:
            self._stop(Ended.DIED, f"it could not be shut in: {said['cannot']}")
            return
        self._pid = int(said["pid"])
        self._pidfd = os.pidfd_open(self._pid)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self)
        self._tell({"secret": self._secret.hex()})
        self._tell({"plan": self.job.plan.to_json()})

    def _allow(self, exercise: str) -> None:
        """Give out what the check draws its data from, now that it is reached."""
        times = self._looked[exercise] = self._looked.get(exercise, 0) + 1
        if times > _MOST_OBSERVED:
            self._tell({"enough": True})
            return
        nonce, seed = secrets.token_hex(16), secrets.randbits(32)
        self._asked = (exercise, nonce, seed)
        self._tell({"nonce": nonce, "seed": seed})

    def _note_observation(self, said: dict[str, Any]) -> None:
        asked, self._asked = self._asked, None
        try:
            observed = Observation.model_validate(said["observed"])
        except (ValidationError, RecursionError):
            self._forged += 1
            return
        if asked is None or (observed.exercise, said.get("nonce")) != asked[:2]:
            self._forged += 1
            return
        self._outcome.observed.append(observed)
        replaced = said.get("replaced")
        for name in replaced if isinstance(replaced, list) else []:
            self._sign_of(f"It replaced {str(name)[:100]}.")

    def _note_error(self, said: dict[str, Any]) -> None:
        if len(self._outcome.raised) < 200 and isinstance(said["cell"], int):
            at = said.get("at")
            self._outcome.raised.append(
                Raised(
                    said["cell"],
                    str(said["raised"])[:100],
                    str(said.get("message"))[:300],
                    str(at)[:300] if at else None,
                )
            )

    def _sign_of(self, sentence: str) -> None:
        if sentence not in self._outcome.signs and len(self._outcome.signs) < _MOST_SIGNS:
            self._outcome.signs.append(sentence)

    def _tell(self, message: dict[str, Any]) -> None:
        self._channel.setblocking(True)
        self._channel.settimeout(5)
        try:
            self._channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._stop(Ended.DIED, "it closed the grader's line")
        finally:
            self._channel.setblocking(False)

    # -- how it ends --------------------------------------------------------------------------
    def is_over(self) -> bool:
        """Whether it has ended; ends it where it is out of time or memory."""
        now = time.monotonic()
        if self._over:
            return True
        if now - self._cell_started > self._limits.cell:
            self._stop(Ended.TIMED_OUT)
        elif now - self._started > self._limits.total:
            self._stop(Ended.TIMED_OUT, f"the notebook took more than {self._limits.total:g} s")
        elif self._pid and now - self._memory_seen > _LOOKS_AT_MEMORY:
            self._memory_seen = now
            if _memory_of(self._pid) > 2 * self._limits.memory * _MEGA:
                self._stop(Ended.TOO_MUCH, "its processes took more memory than they may")
        return self._over

    def close(self) -> Outcome:
        """End what still runs and give the outcome."""
        self.kill()
        if self._forged:
            self._sign_of("It wrote to the grader's line.")
        self._selector.unregister(self._channel)
        self._channel.close()
        if self._pidfd is not None:
            self._selector.unregister(self._pidfd)
            os.close(self._pidfd)
        self._outcome.seconds = round(time.monotonic() - self._started, 3)
        return self._outcome

    def kill(self) -> None:
        """End process 1 of its namespace, and so all that it ever started."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _gone(self) -> None:
        if not self._over:
            self._stop(Ended.DIED)

    def _stop(self, how: Ended, why: str = "") -> None:
        self._outcome.ended, self._outcome.why = how, why
        self._over = True


def _has_ended(pidfd: int) -> bool:
    with selectors.DefaultSelector() as one:
        one.register(pidfd, selectors.EVENT_READ)
        return bool(one.select(0))


def _memory_of(pid: int) -> int:
    """Bytes of memory that a process and all below it use."""
    total, todo = 0, [pid]
    while todo:
        here = Path("/proc", str(todo.pop()))
        try:
            total += int((here / "statm").read_text().split()[1]) * 4096
            for thread in (here / "task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue
    return total
