"""Making the environment and installing what is pinned; what was half made is taken away again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from checks.setup import pip_output
from checks.setup.environment import (
    BASE,
    STAMP,
    TEST,
    Environment,
    SetupError,
    make_stamp,
    what_is_broken,
)
from checks.setup.progress import Progress, say, ticking


class Installation:
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
                say(f"Using the active environment, {self.env.prefix}.")
            self._install(again)
            self._end()
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._undo(before)
            if isinstance(error, OSError):
                raise SetupError(_explain_os(error, self.env.prefix)) from error
            raise

    def _remove_if_broken(self) -> None:
        why = what_is_broken(self.env, self.root)
        if why:
            say(f"{why} It is made anew.")
            _remove(self.env.prefix)

    def _begin(self) -> None:
        if not self.env.prefix.exists():
            self.env.prefix.mkdir()
            self.made = True
        self.env.marker.touch()
        self.env.stamp.unlink(missing_ok=True)

    def _make(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        say(f"Making .venv with Python {version}.")
        missing = [name for name in ("venv", "ensurepip") if find_spec(name) is None]
        if missing:
            raise SetupError(
                f"This Python {version} comes without {' and '.join(missing)}: install the rest of "
                "it (Debian, Ubuntu: `sudo apt-get install "
                f"python{sys.version_info[0]}.{sys.version_info[1]}-venv`) and run the command "
                "again."
            )
        # pip comes in a step of its own, which says why it failed; venv would swallow that.
        command = [sys.executable, "-I", "-m", "venv", "--without-pip", str(self.env.prefix)]
        if said := _quiet(command, self.lock):
            self._give_up("venv", said)

    def _install(self, again: bool) -> None:
        if not _has_pip(self.env.python):
            command = [str(self.env.python), "-I", "-m", "ensurepip", "--default-pip"]
            if said := _quiet(command, self.lock):
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
        with _started(command, self.lock) as pip, ticking(self.env.prefix, reader, progress):
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
            line = f"import sys; sys.path.append({str(root)!a})\n"
            file.write_text(line, encoding="ascii")


def _explain_os(error: OSError, folder: Path) -> str:
    said = f"[Errno {error.errno}] {error.strerror}"
    known = pip_output.explain(
        [said], folder=str(folder), temporary=tempfile.gettempdir(), python=""
    )
    return known or f"{folder} cannot be set up ({error}): mend that and run the command again."


# -- processes -------------------------------------------------------------------------------------
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


# -- small things ----------------------------------------------------------------------------------
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
