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
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from checks.errors import CourseError
from checks.grading import wire
from checks.grading.outcome import Ended, Job, Limits, Outcome, Raised
from checks.observe.evidence import Observation
from checks.servers import NO_SERVERS

_STARTING = 60.0  # seconds that the warm process may take to warm up
_LOOKS = 0.1  # seconds between looks at the clock and at what submissions use
_DYING = 0.05  # seconds in which the warm process's end is noticed after its forks'
_AT_ONCE = 16  # reads from one submission before others have their turn
_MOST_OBSERVED = 10  # times that one exercise is observed in one run
_MOST_SIGNS = 20
_MOST_FORGED = 1000  # lines that nobody signed
_MEGA = 1 << 20


class NoIsolationError(CourseError):
    """Submissions cannot be shut in on this machine."""


class ForkRunner:
    """Runs submissions in forks. A context manager; inside, `run` may be called again and again.

    The warm process ends with the thread that has started it, however that ends, and its forks end
    with it.

    Args:
        limits: What each submission may use.
        workers: How many run at once.
    """

    warm = "checks.grading.warm"  # the module that the warm process runs

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits, self._workers = limits, workers

    def __enter__(self) -> Self:
        """Start the warm process.

        Raises:
            NoIsolationError: it cannot shut submissions in.
        """
        self._root = tempfile.TemporaryDirectory(prefix="dog-eared-")
        self._selector = selectors.DefaultSelector()
        try:
            self._start_warm()
        except BaseException:
            self._selector.close()
            self._root.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the warm process, and with it whatever still runs."""
        self._end_warm()
        self._selector.close()
        self._root.cleanup()

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        """Run submissions, yielding each as it ends.

        Should the warm process die, another takes its place, and what was in flight is run again,
        once.

        Raises:
            NoIsolationError: the warm process has died and no other can be started.
        """
        waiting, again = iter(jobs), deque[Job]()
        live: set[_Submission] = set()
        interrupted: set[int] = set()  # jobs whose warm process has died
        try:
            while True:
                if self._warm.poll() is not None:
                    self._end_warm()
                    self._start_warm()
                while len(live) < self._workers and (
                    job := again.popleft() if again else next(waiting, None)
                ):
                    live.add(self._start(job))
                if not live:
                    return
                for key, _ in self._selector.select(timeout=_LOOKS):
                    key.data.hear()
                for one in [one for one in live if one.is_over()]:
                    live.discard(one)
                    outcome = one.close()
                    if outcome.ended is Ended.DIED and _has_died(one.warm):
                        if id(one.job) not in interrupted:
                            interrupted.add(id(one.job))
                            again.append(one.job)
                            continue
                        outcome.why = "what runs submissions died under it, twice"
                    interrupted.discard(id(one.job))
                    yield one.job, outcome
        finally:
            for one in live:
                one.close()

    def _start(self, job: Job) -> _Submission:
        ours, theirs = socket.socketpair()
        with theirs, contextlib.suppress(OSError):  # dead: then this one ends, and is run again
            socket.send_fds(self._control, [b"go"], [theirs.fileno()])
        return _Submission(job, ours, self._warm, self._limits, self._selector)

    @property
    def process(self) -> int:
        """The process below which everything runs."""
        return self._warm.pid

    # -- the warm process ---------------------------------------------------------------------
    def _start_warm(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._warm = _spawn(self.warm, theirs.fileno())
        self._control.settimeout(_STARTING)
        try:
            self._control.send(
                json.dumps({"root": self._root.name, "limits": asdict(self._limits)}).encode()
            )
            said = json.loads(self._control.recv(1 << 16) or b'{"cannot": "it ended at once"}')
        except OSError as error:
            said = {"cannot": f"the warm process does not answer ({error})"}
        except BaseException:
            self._end_warm()
            raise
        if why := said.get("cannot"):
            self._end_warm()
            raise NoIsolationError(
                f"Submissions cannot be shut in on this machine: {why}. Run as root, allow user "
                "namespaces (Ubuntu: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`),"
                " or accept the risk with --no-isolation."
            )

    def _end_warm(self) -> None:
        self._control.close()
        self._warm.kill()
        self._warm.wait()


def _has_died(warm: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        warm.wait(_DYING)
    return warm.returncode is not None


def _spawn(module: str, control: int) -> subprocess.Popen[bytes]:
    environment = {
        "LANG": "C.UTF-8",
        "HOME": "/lesson",
        "TMPDIR": "/lesson",
        "MALLOC_ARENA_MAX": "2",  # else each thread reserves 64 MB of its address space
        "OPENBLAS_NUM_THREADS": "1",
        "CHECKS_PROGRESS": "off",
        NO_SERVERS: "1",
    }
    # Not as __main__: whatever observing stands on is known by its module's name.
    start = f"from {module} import main; main({control})"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", start],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("CHECKS_DEBUG") else subprocess.DEVNULL,
        env=environment,
        pass_fds=(control,),
        cwd="/",
        start_new_session=True,
    )


class _Submission:
    """One submission while it runs, as the grader sees it."""

    def __init__(
        self,
        job: Job,
        channel: socket.socket,
        warm: subprocess.Popen[bytes],
        limits: Limits,
        selector: selectors.BaseSelector,
    ) -> None:
        self.job, self.warm = job, warm
        self._channel, self._limits, self._selector = channel, limits, selector
        self._started = time.monotonic()
        self._cell_started = self._started
        self._memory_seen = self._started
        self._outcome = Outcome()
        self._secret = secrets.token_bytes(wire.SECRET)
        self._reader = wire.Reader(self._secret)
        self._pid = 0
        self._pidfd: int | None = None
        self._in, self._out = bytearray(), bytearray()
        self._received = 0
        self._has_begun = False  # something of the submission's may have run
        self._asked: tuple[str, str, int] | None = None  # exercise, nonce, seed
        self._looked: dict[str, int] = {}
        self._forged = 0
        self._over = False
        channel.setblocking(False)
        selector.register(channel, selectors.EVENT_READ, self)

    # -- what it says -------------------------------------------------------------------------
    def hear(self) -> None:
        """Read what has come and send what has not gone yet; never raises."""
        try:
            self._send()
            for _ in range(_AT_ONCE):
                if self._over or not self._read():
                    break
            if not self._over and self._pidfd is not None and _has_ended(self._pidfd):
                while not self._over and self._read():  # what it said last
                    pass
                self._gone()
        except Exception as error:  # of whatever it sent: its own end, nobody else's
            self._stop(Ended.DIED, f"what it said broke the grader's reading ({error!r:.200})")

    def _read(self) -> bool:
        """Take what can be had at once; False when there was nothing."""
        try:
            data = self._receive()
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        if not data:
            self._gone()
            return False
        self._received += len(data)
        complete, end, rest = data.rpartition(b"\n")
        if end:
            lines, self._in = bytes(self._in + complete), bytearray(rest)
            for line in filter(None, lines.split(b"\n")):
                self._take(line)
        else:
            self._in += data
        if self._received > self._limits.output * _MEGA or len(self._in) > wire.LONGEST:
            self._stop(Ended.TOO_MUCH, "it sent more than it may")
        elif self._forged > _MOST_FORGED:
            self._stop(Ended.TOO_MUCH, "it flooded the grader's line")
        return True

    def _receive(self) -> bytes:
        if self._pidfd is not None:
            return self._channel.recv(1 << 18)  # descriptors that it may send are thrown away
        data, handed, _, _ = socket.recv_fds(self._channel, 1 << 12, 1)
        if handed:
            self._pidfd = handed[0]
            self._pid = _number_of(self._pidfd)
            self._selector.register(self._pidfd, selectors.EVENT_READ, self)
            opening = {"secret": self._secret.hex(), "plan": self.job.plan.to_json()}
            self._tell(opening)
        return data

    def _take(self, line: bytes) -> None:
        if self._over:
            return
        said = self._reader.read(line)
        if said is None:
            if self._has_begun or not self._take_unsigned(line):
                self._forged += 1
            return
        self._has_begun = True
        if "cell" in said:
            self._cell_started = time.monotonic()
            cell = said["cell"]
            self._outcome.cell = cell if isinstance(cell, int) and cell >= 0 else None
        elif "raised" in said:
            self._note_error(said["raised"])
        elif "sign" in said:
            self._sign_of(f"It reached for {str(said['sign'])[:100]}.")
        elif "reached" in said:
            self._allow(str(said["reached"]))
        elif "observed" in said:
            self._note_observation(said)
        elif said.get("done") is True:
            self._over = True

    def _take_unsigned(self, line: bytes) -> bool:
        """What comes before anything of the submission's has run: it is to be believed."""
        said = json.loads(line)
        if "cannot" in said:
            self._stop(Ended.DIED, f"it could not be shut in: {said['cannot']}")
        return True

    def _allow(self, exercise: str) -> None:
        """Give out what the check draws its data from, now that it is reached."""
        times = self._looked[exercise] = self._looked.get(exercise, 0) + 1
        if times > _MOST_OBSERVED or exercise not in self.job.plan.exercises:
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
        if asked != (observed.exercise, said.get("nonce"), observed.seed):
            self._forged += 1
            return
        self._outcome.observed.append(observed)
        for kind, sentence in (
            ("replaced", "It replaced {}."),
            ("made_up", "Its `{}` is not what SQLAlchemy makes."),
            ("reaches", "It reached for {}."),
        ):
            names = said.get(kind)
            for name in names if isinstance(names, list) else []:
                self._sign_of(sentence.format(str(name)[:100]))

    def _note_error(self, said: Any) -> None:
        if len(self._outcome.raised) < 200 and _is_place(said["cell"]):
            at = said.get("at")
            self._outcome.raised.append(
                Raised(
                    said["cell"],
                    str(said.get("type"))[:100],
                    str(said.get("message"))[:300],
                    str(at)[:300] if at else None,
                )
            )

    def _sign_of(self, sentence: str) -> None:
        if sentence not in self._outcome.signs and len(self._outcome.signs) < _MOST_SIGNS:
            self._outcome.signs.append(sentence)

    def _tell(self, message: dict[str, Any]) -> None:
        self._out += json.dumps(message).encode() + b"\n"
        self._send()

    def _send(self) -> None:
        """Send what its end takes now, and the rest when it takes more."""
        had = bool(self._out)
        try:
            while self._out and not self._over:
                del self._out[: self._channel.send(self._out[: 1 << 18])]
        except BlockingIOError:
            pass
        except OSError:
            self._stop(Ended.DIED, "it closed the grader's line")
        if had:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
            self._selector.modify(self._channel, wanted, self)

    # -- how it ends --------------------------------------------------------------------------
    def is_over(self) -> bool:
        """Whether it has ended; ends it where it is out of time or memory."""
        now = time.monotonic()
        if self._over:
            return True
        if now - self._cell_started > self._limits.cell:
            self._stop(Ended.TIMED_OUT, f"{self._limits.cell:g} s")
        elif now - self._started > self._limits.total:
            self._stop(Ended.TIMED_OUT, f"the notebook took more than {self._limits.total:g} s")
        elif self._pid and now - self._memory_seen > _LOOKS:
            self._memory_seen = now
            family, threads = _family_of(self._pid)
            if threads > 2 * self._limits.processes:  # root's are not limited by the kernel
                self._stop(Ended.TOO_MUCH, "it started more processes than it may")
            elif _takes_more_than(2 * self._limits.memory * _MEGA, family):
                self._stop(Ended.TOO_MUCH, "its processes took more memory than they may")
        return self._over

    def close(self) -> Outcome:
        """End what still runs and give the outcome."""
        if self._forged:
            self._sign_of("It wrote to the grader's line.")
        self._selector.unregister(self._channel)
        self._channel.close()
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)  # and so all in its namespace
            self._selector.unregister(self._pidfd)
            os.close(self._pidfd)
        self._outcome.seconds = round(time.monotonic() - self._started, 3)
        return self._outcome

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


def _number_of(pidfd: int) -> int:
    """The process's id as seen from here; 0 when it has ended."""
    told = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
    return max(next((int(line.split()[1]) for line in told if line.startswith("Pid:")), 0), 0)


def _takes_more_than(bound: int, family: list[Path]) -> bool:
    """Whether some processes use more bytes of memory than that.

    What they share counts once, but that takes long to find out, so it is only looked at when it
    may matter.
    """
    return _sum(family, _resident) > bound and _sum(family, _proportional) > bound


def _family_of(pid: int) -> tuple[list[Path], int]:
    """A process and all below it, and how many threads they have."""
    family, todo, threads = [], [pid], 0
    while todo:
        here = Path("/proc", str(todo.pop()))
        family.append(here)
        with contextlib.suppress(OSError, ValueError):
            for thread in (here / "task").iterdir():
                threads += 1
                todo += map(int, (thread / "children").read_text().split())
    return family, threads


def _sum(family: list[Path], measure: Any) -> int:
    total = 0
    for one in family:
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += measure(one)
    return total


def _resident(process: Path) -> int:
    return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _proportional(process: Path) -> int:
    try:
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not ours to read, or an old kernel
        pass
    return _resident(process)


def _is_place(value: object) -> bool:
    """Whether a submission's word for a cell's number can be one."""
    return isinstance(value, int) and 0 <= value < 100_000
