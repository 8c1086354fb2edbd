"""Which environment the course runs in, and whether it is what the pinned files ask for.

A stamp inside it tells that it is current; a marker, that an installation began and did not end.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.errors import CourseError

BASE, TEST = "requirements.txt", "checks/tests/requirements.txt"  # the second holds the first
OLDEST = (3, 11)
STAMP, MARKER = "dog-eared.json", "dog-eared.installing"


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


# -- the stamp -------------------------------------------------------------------------------------
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


# -- what may be wrong with it ---------------------------------------------------------------------
def what_is_broken(env: Environment, root: Path) -> str | None:
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


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
