"""A newcomer's first minutes: a fresh clone, one command, a lesson; then the same in a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checks import course

PYTHON = getattr(sys, "_base_executable", sys.executable)  # the one that no environment is around
NOT_CLONED = (
    *(".git", ".venv", ".artifacts", "work", "__pycache__", ".*_cache", ".hypothesis"),
    *(".site*", "generated", "node_modules"),
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course as a newcomer gets it, under a path that is not plain ASCII."""
    root = tmp_path_factory.mktemp("first") / "Dog Eared é"
    shutil.copytree(course.root(), root, ignore=shutil.ignore_patterns(*NOT_CLONED))
    return root


@contextmanager
def lab(root: Path) -> Iterator[tuple[str, str]]:
    """JupyterLab as `python3 checks lab` starts it.

    Yields:
        Its address, and what was said before it was printed.
    """
    without = ("VIRTUAL_ENV", "CHECKS_PROGRESS", "CHECKS_SEED", "CHECKS_WORK")
    command = [PYTHON, str(root / "checks"), "lab", "--no-browser"]
    with subprocess.Popen(
        command,
        cwd=root.parent,
        env={name: value for name, value in os.environ.items() if name not in without},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as server:
        assert server.stdout is not None
        said = ""
        try:
            for line in server.stdout:
                said += line
                if found := re.search(r"http://\S+", line):
                    yield found[0], said
                    break
            else:
                pytest.fail(f"No address was printed: {said}")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a signal.")
def test_a_fresh_clone_reaches_jupyterlab_with_one_command(clone: Path) -> None:
    with lab(clone) as (address, said):
        assert "Making .venv" in said
        assert "00_start_here.ipynb" in address
        with urllib.request.urlopen(address) as page:
            assert page.status == 200
        shipped = {path.name for path in (clone / "lessons").glob("*.ipynb")}
        assert {path.name for path in (clone / "work").glob("*.ipynb")} == shipped
    stamp = (clone / ".venv" / "dog-eared.json").stat().st_mtime_ns
    with lab(clone) as (_, said):
        assert not re.search("Making|Downloading|Installing", said)
    assert (clone / ".venv" / "dog-eared.json").stat().st_mtime_ns == stamp
    installed = clone / ".venv" / "bin" / "checks"
    same = subprocess.run([installed, "exercises"], capture_output=True, text=True, check=True)
    assert "00.opening_hours" in same.stdout


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "checks.cli", "lab", "--no-browser", f"--port={port}"],
            env=os.environ | {"CHECKS_WORK": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"Port {port} is taken by another program. Leave out --port" in done.stderr
    assert "Traceback" not in done.stderr


# -- one exercise in a real browser -------------------------------------------------------------
WRONG = 'return {"open": "09:00", "close": "81:00"}'
RIGHT = 'return {"open": "09:00", "close": "18:00"}'
STARTER = "return TODO"


@pytest.mark.browser
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a signal.")
def test_wrong_then_right_in_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("playwright")
    from checks.tests.browser import Notebook, browser

    monkeypatch.setenv("CHECKS_WORK", str(tmp_path / "work"))
    monkeypatch.delenv("CHECKS_PROGRESS")
    pictures = course.root() / ".artifacts"
    pictures.mkdir(exist_ok=True)
    with installed_lab() as address, browser() as page:
        notebook = Notebook(page, address)
        notebook.open()
        notebook.run_until("00.opening_hours")
        assert "not attempted" in notebook.card("00.opening_hours").lower()
        notebook.replace(STARTER, WRONG)
        notebook.run_until("00.opening_hours")
        card = notebook.card("00.opening_hours")
        assert "81:00" in card and "The body says when the shop opens and closes." in card
        assert "GET /hours" in card  # the timeline
        page.screenshot(path=pictures / "wrong.png")
        notebook.replace(WRONG, RIGHT)
        notebook.run_until("00.opening_hours")
        card = notebook.card("00.opening_hours")
        assert "passed" in card.lower() and "2 of 2 points" in card
        page.screenshot(path=pictures / "right.png")
        assert not notebook.popups()
        notebook.in_a_terminal("checks exercises --json > listed.json && mv listed.json done.json")
        listed = tmp_path / "work" / "done.json"  # a terminal opens in the learner's folder
        for _ in range(200):
            if listed.exists():
                break
            page.wait_for_timeout(100)
        assert "00.opening_hours" in listed.read_text(encoding="utf-8")
    assert (tmp_path / "work" / "00_start_here.ipynb").exists()


@contextmanager
def installed_lab() -> Iterator[str]:
    """JupyterLab from the environment that the tests run in."""
    command = [sys.executable, "-m", "checks.cli", "lab", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as server:
        assert server.stdout is not None
        try:
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found
            yield found[0]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
