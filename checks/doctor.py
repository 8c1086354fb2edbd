"""What is installed on this machine, what is optional and missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from checks import course, workspace
from checks.setup.environment import BASE, TEST

_SHOWN = ("fastapi", "sqlalchemy", "alembic", "pydantic", "httpx", "jupyterlab")
_OLDEST_SQLITE = (3, 35)  # the first with RETURNING
_ROOM = 200  # MB that a learner's databases and notebooks should have
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_AGAIN = "Run `python3 checks lab`; it installs what is pinned."


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: What.
        value: How it is.
        ok: True when fine, None when it is optional and missing, False when it must be mended.
        advice: What to do; empty when there is nothing to do.
    """

    name: str
    value: str
    ok: bool | None = True
    advice: str = ""


def report() -> list[Finding]:
    """Look at everything, the needed things first."""
    root = course.root()
    return [
        Finding("Python", f"{platform.python_version()} in {sys.prefix}"),
        *(Finding(name, _version(name) or "missing", *_needed(name)) for name in _SHOWN),
        _pinned(root / BASE),
        _sqlite(),
        _work_folder(),
        _room(),
        _tests_packages(root / TEST),
        _browser(),
        _git(),
    ]


def find_chromium() -> str | None:
    """A Chromium or Chrome on this machine; CHECKS_CHROMIUM names one that is elsewhere."""
    named = os.environ.get("CHECKS_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    return found or (str(mac) if mac.exists() else None)


def _needed(name: str) -> tuple[bool, str]:
    return (True, "") if _version(name) else (False, _AGAIN)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def pinned(requirements: Path) -> Iterator[tuple[str, str]]:
    """The packages that a requirements file pins for this platform, each with its version."""
    for line in requirements.read_text(encoding="utf-8").splitlines():
        try:
            one = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:  # a comment or an empty line
            continue
        if one.marker is None or one.marker.evaluate():
            yield one.name, str(one.specifier).removeprefix("==")


def _strangers(requirements: Path) -> list[str]:
    return [
        f"{name} {_version(name) or 'missing'}, not {wanted}"
        for name, wanted in pinned(requirements)
        if _version(name) != wanted
    ]


def _pinned(requirements: Path) -> Finding:
    strangers = _strangers(requirements)
    if not strangers:
        return Finding("Pinned packages", "all as pinned")
    return Finding("Pinned packages", _some(strangers), False, _AGAIN)


def _some(things: list[str]) -> str:
    more = f" and {len(things) - 3} more" if len(things) > 3 else ""
    return "; ".join(things[:3]) + more


def _sqlite() -> Finding:
    fine = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    advice = "" if fine else "Use a newer Python build: RETURNING needs SQLite 3.35."
    return Finding("SQLite", sqlite3.sqlite_version, fine, advice)


def _work_folder() -> Finding:
    folder = workspace.folder()
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(above, os.W_OK):
        return Finding("Your copies", str(folder))
    advice = f"Give yourself write access to {above}, or set CHECKS_WORK to another folder."
    return Finding("Your copies", f"{above} cannot be written", False, advice)


def _room() -> Finding:
    free = shutil.disk_usage(course.root()).free // 2**20
    if free >= _ROOM:
        return Finding("Free disk space", f"{free / 1024:.1f} GB")
    return Finding("Free disk space", f"{free} MB", False, "Free some: databases and notebooks.")


def _tests_packages(requirements: Path) -> Finding:
    strangers = _strangers(requirements)
    if not strangers:
        return Finding("For the tests", "all as pinned")
    return Finding(
        "For the tests", _some(strangers), None, "`python3 checks test` installs what is missing."
    )


def _browser() -> Finding:
    found = find_chromium()
    if found:
        return Finding("Chromium", found)
    return Finding(
        "Chromium",
        "not found",
        None,
        "Only browser tests need it: install chromium or Chrome, or set CHECKS_CHROMIUM to it.",
    )


def _git() -> Finding:
    found = shutil.which("git")
    if found:
        return Finding("git", found)
    return Finding("git", "not found", None, "Updates of the course come through it.")
