"""From a fresh clone to a running command: an environment with exactly what is pinned.

Runs before anything is installed, so it uses the standard library alone. The environment is the
one that the user has activated, otherwise `.venv` in the repository. A stamp inside it tells that
it is current; a marker tells that an installation began and did not end. All that is said here goes
to standard error: standard output belongs to the command, which may be printing JSON.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from checks import pip_output
from checks.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
BASE, TEST = "requirements.txt", "checks/tests/requirements.txt"  # the second holds the first
OLDEST = (3, 11)
STAMP, MARKER = "dog-eared.json", "dog-eared.installing"
FAILED, INTERRUPTED = 2, 130
_TICK = 0.2  # seconds between looks at how much pip has installed


class SetupError(CourseError):
    """Why there is no environment to run in: one sentence that ends in what to do."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the course is installed.

    Attributes:
        prefix: The environment's folder.
        python: Its interpreter.
        running: Whether this process runs in it. Then it is repaired in place, never removed.
        own: Whether it is the repository's `.venv`.
    """

    prefix: Path
    python: Path
    running: bool
    own: bool

    @property
    def stamp(self) -> Path:
        """The file that says what is installed here."""
        return self.prefix / STAMP

    @property
    def marker(self) -> Path:
        """The file that exists while something is being installed."""
        return self.prefix / MARKER

    @property
    def disposable(self) -> bool:
        """Whether it may be removed and made anew."""
        return self.own and not self.running


# -- the command ------------------------------------------------------------------------------------
def main(argv: Sequence[str]) -> int:
    """Set up what the command needs, then become the command; returns the exit code."""
    test = list(argv[:1]) == ["test"]
    env = choose(ROOT)
    if list(argv) in ([], ["-h"], ["--help"]) and not is_current(env, ROOT, test):
        print(
            "python3 checks lab     set up, then open the lessons in JupyterLab\n"
            "python3 checks test    set up, then run the tests\n"
            "There are more commands; after set-up, `python3 checks --help` lists them."
        )
        return 0
    try:
        return _become(ensure(test), argv)
    except SetupError as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nStopped before the set-up was done: run the command again.", file=sys.stderr)
        return INTERRUPTED


def ensure(test: bool = False, root: Path = ROOT) -> Path:
    """Make the environment current, if it is not, and return its interpreter.

    Args:
        test: Whether also to install what only the tests need.
        root: The repository.

    Raises:
        SetupError: It could not be done. A `.venv` begun by this call is gone again.
    """
    env = choose(root)
    if is_current(env, root, test):
        return env.python
    with _only_one(root if env.own else env.prefix) as lock:
        if not is_current(env, root, test):  # otherwise another run did it while this one waited
            _Setup(env, root, test, lock).run()
    return env.python


def choose(root: Path) -> Environment:
    """The environment that this process runs in, or else the repository's `.venv`.

    Conda's `base` does not count as activated: it is so by default, and it holds conda itself.
    """
    prefix, own = Path(sys.prefix), root / ".venv"
    conda = os.environ.get("CONDA_PREFIX")
    in_conda = conda is not None and _same(Path(conda), prefix)
    if sys.prefix != sys.base_prefix or (
        in_conda and (os.environ.get("CONDA_DEFAULT_ENV") != "base")
    ):
        return Environment(prefix, Path(sys.executable), running=True, own=_same(prefix, own))
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return Environment(own, own.joinpath(*inside), running=False, own=True)


def is_current(env: Environment, root: Path, test: bool) -> bool:
    """Whether there is nothing to do. Reads three small files and starts nothing."""
    try:
        if env.marker.exists():
            return False
        stamp = read_stamp(env)
        wanted = make_stamp(env, root, test)
    except OSError:
        return False
    if not test:  # the tests' packages include all others
        wanted["test"] = stamp.get("test")
    return stamp == wanted


# -- the stamp --------------------------------------------------------------------------------------
def make_stamp(env: Environment, root: Path, test: bool) -> dict[str, Any]:
    """What the stamp says when everything is installed.

    Raises:
        OSError: A requirements file or the interpreter is missing.
    """
    python = env.python.resolve()
    seen = python.stat()
    return {
        "requirements": _hash(root / BASE),
        "test": _hash(root / TEST) if test else None,
        "root": str(root),
        # Changes when the system's Python is replaced: then a look at the environment is due.
        "interpreter": [str(python), seen.st_size, seen.st_mtime_ns],
    }


def read_stamp(env: Environment) -> dict[str, Any]:
    """What the stamp says; nothing when it is missing or unreadable."""
    try:
        stamp = json.loads(env.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


# -- setting up -------------------------------------------------------------------------------------
class _Setup:
    """One set-up of one environment, while holding its lock."""

    def __init__(self, env: Environment, root: Path, test: bool, lock: int | None) -> None:
        self.env, self.root, self.test, self.lock = env, root, test, lock
        self.made = False  # by this run
        self.changed = False  # packages in it, by this run

    def run(self) -> None:
        before = None
        try:
            if self.env.disposable:
                self._remove_if_broken()
            again = self.env.marker.exists()
            before = _text_or_none(self.env.stamp)
            self._begin()
            if self.made:
                self._make()
            elif self.env.running and not self.env.own:
                _say(f"Using the active environment, {self.env.prefix}.")
            self._install(again)
            self._end()
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._undo(before)
            if isinstance(error, OSError):
                raise SetupError(_explain_os(error, self.env.prefix)) from error
            raise

    def _remove_if_broken(self) -> None:
        why = _what_is_broken(self.env, self.root)
        if why:
            _say(f"{why} It is made anew.")
            _remove(self.env.prefix)

    def _begin(self) -> None:
        if not self.env.prefix.exists():
            self.env.prefix.mkdir()
            self.made = True
        self.env.marker.touch()
        self.env.stamp.unlink(missing_ok=True)

    def _make(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        _say(f"Making .venv with Python {version}.")
        missing = [name for name in ("venv", "ensurepip") if find_spec(name) is None]
        command = [sys.executable, "-I", "-m", "venv", str(self.env.prefix)]
        done = missing or _quiet(command, self.lock)
        if missing or "ensurepip is not" in str(done):
            raise SetupError(
                f"This Python {version} comes without {' and '.join(missing) or 'ensurepip'}: "
                "install the rest of it (Debian, Ubuntu: `sudo apt-get install "
                f"python{sys.version_info[0]}.{sys.version_info[1]}-venv`) and run the command "
                "again."
            )
        if done:
            self._give_up("venv", done)

    def _install(self, again: bool) -> None:
        if not _has_pip(self.env.python):
            said = _quiet([str(self.env.python), "-I", "-m", "ensurepip"], self.lock)
            if said:
                self._give_up("ensurepip", said)
        pinned = self.root / (TEST if self.test else BASE)
        # All is pinned, so there is nothing to resolve.
        self._pip("--no-deps", *(["--force-reinstall"] if again else []), "-r", str(pinned))
        self._pip("--no-deps", "--no-build-isolation", "-e", str(self.root))
        _make_path_file_ascii(self.env.prefix, self.root)

    def _pip(self, *arguments: str) -> None:
        total = 1 if "-e" in arguments else pip_output.pins(Path(arguments[-1]).read_text("utf-8"))
        reader, progress = pip_output.Reader(total), Progress(sys.stderr)
        lines: list[str] = []
        command = _pip_command(self.env.python, *arguments)
        with _started(command, self.lock) as pip, _ticking(self.env.prefix, reader, progress):
            assert pip.stdout is not None
            for line in pip.stdout:
                lines.append(line.rstrip("\n"))
                step = reader.feed(line)
                self.changed = self.changed or bool(reader.installing)
                if os.environ.get("CHECKS_DEBUG"):
                    print(line, end="", file=sys.stderr)
                elif total > 1:
                    progress.show(step, reader.waiting)
        progress.clear()
        if pip.returncode:
            self._give_up("pip", lines)

    def _give_up(self, who: str, lines: list[str]) -> None:
        why = pip_output.explain(
            lines,
            folder=str(self.env.prefix),
            temporary=tempfile.gettempdir(),
            python=".".join(map(str, sys.version_info[:2])),
        )
        if why is None:
            why = (
                f"{who} failed ({pip_output.last_error(lines)}): what it said is in "
                f"{_keep(lines)}; mend that and run the command again."
            )
        raise SetupError(why)

    def _end(self) -> None:
        temporary = self.env.prefix / f"{STAMP}.new"
        stamp = make_stamp(self.env, self.root, self.test)
        temporary.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        temporary.replace(self.env.stamp)
        self.env.marker.unlink()

    def _undo(self, before: str | None) -> None:
        if self.made or (self.changed and self.env.disposable):
            _remove(self.env.prefix)
        elif not self.changed and self.env.prefix.is_dir():
            if before is not None:  # it is still what it was
                self.env.stamp.write_text(before, encoding="utf-8")
            self.env.marker.unlink(missing_ok=True)
        # Otherwise the marker stays: the next run installs everything again.


def _what_is_broken(env: Environment, root: Path) -> str | None:
    """Why the repository's `.venv` cannot be used as it is; None when it can or there is none."""
    if not env.prefix.exists() and not env.prefix.is_symlink():
        return None
    if not env.prefix.is_dir():
        raise SetupError(
            f"{env.prefix} is not a folder: move it away, or activate another environment, and run "
            "the command again."
        )
    if env.marker.exists():
        return "The last set-up of .venv was interrupted."
    version = _version(env.python)
    if version is None:
        return ".venv is broken: its Python does not start."
    if version < OLDEST:
        return f".venv holds Python {version[0]}.{version[1]}, which is too old."
    if read_stamp(env).get("root", str(root)) != str(root):
        return ".venv was made elsewhere: this folder has moved."
    if not any(env.prefix.glob(f"[Ll]ib/python{version[0]}.{version[1]}")) and os.name != "nt":
        return (
            f".venv was made with another Python than {version[0]}.{version[1]}, which it has now."
        )
    return None


def _version(python: Path) -> tuple[int, int] | None:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        major, minor = map(int, said.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return major, minor


def _has_pip(python: Path) -> bool:
    code = "import sys, importlib.util as u; sys.exit(u.find_spec('pip') is None)"
    return subprocess.run([python, "-I", "-c", code], check=False).returncode == 0


def _remove(folder: Path) -> None:
    """Remove an environment.

    Raises:
        SetupError: It cannot be removed.
    """
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be removed ({error.strerror or error}): close what uses it, delete "
            "it by hand and run the command again."
        ) from error


def _make_path_file_ascii(prefix: Path, root: Path) -> None:
    """Let the environment find a repository whose path has letters beyond ASCII.

    The build backend writes the path as UTF-8, and Pythons before 3.13 read it in the system's own
    encoding: where that is another one, they would not find the course or not even start.
    """
    if str(root).isascii():
        return
    for folder in ("lib/python*/site-packages", "Lib/site-packages"):
        for file in prefix.glob(f"{folder}/dog_eared.pth"):
            line = f"import sys; sys.path.append({ascii(str(root))})\n"
            file.write_text(line, encoding="ascii")


def _explain_os(error: OSError, folder: Path) -> str:
    said = f"[Errno {error.errno}] {error.strerror}"
    known = pip_output.explain(
        [said], folder=str(folder), temporary=tempfile.gettempdir(), python=""
    )
    return known or f"{folder} cannot be set up ({error}): mend that and run the command again."


# -- processes --------------------------------------------------------------------------------------
def _pip_command(python: Path, *arguments: str) -> list[str]:
    return [
        *(str(python), "-I", "-X", "utf8", "-m", "pip", "install"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
        *arguments,
    ]


def _quiet(command: Sequence[str], lock: int | None) -> list[str]:
    """Run a command without showing what it says; returns that, if it failed."""
    lines: list[str] = []
    with _started(command, lock) as process:
        assert process.stdout is not None
        lines += (line.rstrip("\n") for line in process.stdout)
    if os.environ.get("CHECKS_DEBUG"):
        print(*lines, sep="\n", file=sys.stderr)
    return (lines or [f"exit code {process.returncode}"]) if process.returncode else []


@contextlib.contextmanager
def _started(command: Sequence[str], lock: int | None) -> Iterator[subprocess.Popen[str]]:
    """A process whose output is read as lines; ended with this one when that is interrupted."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PIP_USER": "0"},  # a setting that no environment accepts
        # A child that outlives this process, killed, keeps the lock until it is done: nobody
        # removes the folder that it is still writing to.
        pass_fds=() if lock is None else (lock,),
    )
    try:
        yield process
        process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[int | None]:
    """Let one set-up of a folder run at a time: a second one says so and waits.

    The system drops the lock with the process that holds it, however it ends. Where locks are not
    to be had (some network drives), there is none: yields its descriptor, or None.
    """
    path = folder
    if os.name == "nt":  # folders cannot be opened there
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir(), f"dog-eared-{name}.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT if os.name == "nt" else os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        told = False
        while not _try_lock(handle):
            if not told:
                _say("Another set-up of this folder is running; waiting for it to end.")
                told = True
            time.sleep(0.2)
        yield None if os.name == "nt" else handle
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    """Whether the lock is ours, or there are no locks here."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def _become(python: Path, argv: Sequence[str]) -> int:
    """Run the command in the environment, in place of this process where that is possible."""
    # -P: the user's folder is not where modules come from, whatever it holds.
    command = [str(python), "-P", "-m", "checks.cli", *argv]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        try:
            os.execv(command[0], command)
        except OSError as error:
            raise SetupError(
                f"{python} does not start ({error.strerror}): delete its environment and run the "
                "command again."
            ) from error
    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the child got it too, and decides
            continue


# -- what is shown ----------------------------------------------------------------------------------
class Progress:
    """One line that changes on a terminal; anywhere else a few lines, one each quarter."""

    def __init__(self, out: TextIO) -> None:
        """Show on this stream."""
        self._out = out
        self._line = out.isatty()
        self._width = 0
        self._told: tuple[str, int] | None = None
        self._lock = threading.Lock()

    def show(self, step: pip_output.Step | None, waiting: bool = False) -> None:
        """Show a step, or that the index does not answer; nothing when there is neither."""
        text = str(step) if step else "The package index does not answer; trying again."
        quarter = (step.doing, 4 * step.done // step.total) if step else ("waiting", 0)
        if not (step or waiting):
            return
        with self._lock:
            if self._line:
                text = text[: shutil.get_terminal_size().columns - 1]
                self._out.write(f"\r{text.ljust(self._width)}")
                self._width = len(text)
            elif quarter != self._told:
                self._out.write(f"{text}\n")
            self._told = quarter
            self._out.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._line and self._width:
            self._out.write(f"\r{' ' * self._width}\r")
            self._out.flush()
            self._width = 0


@contextlib.contextmanager
def _ticking(prefix: Path, reader: pip_output.Reader, progress: Progress) -> Iterator[None]:
    """Show what pip has installed so far: it says nothing between its first and its last package."""
    begun, over = time.time(), threading.Event()

    def look() -> None:
        while not over.wait(_TICK):
            if reader.installing and len(reader.installing) > 1:
                progress.show(reader.installed(count_installed(prefix, begun)))

    thread = threading.Thread(target=look, daemon=True)
    if not os.environ.get("CHECKS_DEBUG"):
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.is_alive():
            thread.join()


def count_installed(prefix: Path, since: float) -> int:
    """How many packages an environment got since a moment, in seconds of `time.time()`."""
    count = 0
    for pattern in ("lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info"):
        for folder in prefix.glob(pattern):
            with contextlib.suppress(OSError):  # pip moves them about
                count += folder.stat().st_mtime >= since
        if count:  # where letters' case does not matter, both patterns find the same
            break
    return count


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


# -- small things -----------------------------------------------------------------------------------
def _keep(lines: Sequence[str]) -> Path:
    handle, name = tempfile.mkstemp(prefix="dog-eared-", suffix=".log", text=True)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return Path(name)


def _text_or_none(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
