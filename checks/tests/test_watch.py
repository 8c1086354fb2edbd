"""`checks watch` in a real terminal: what is saved is checked, keys do what README says."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="There are no pseudo-terminals on this system.")
import psutil  # noqa: E402

PATIENCE = 60  # seconds; what is waited for takes about two
HOURS = "00.opening_hours"

# The child makes the pseudo-terminal its own, as a shell in a window does: Ctrl-C comes from it.
BECOME = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Terminal:
    """A terminal with `checks watch` in it."""

    def __init__(self, work: Path) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = self.settings()
        env = os.environ | {"CHECKS_WORK": str(work), "TERM": "xterm", "COLUMNS": "100"}
        env.pop("CHECKS_PROGRESS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", BECOME, "-m", "checks.cli", "watch", "--timeout", "30"],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env=env,
        )
        self.said = ""

    def settings(self) -> list[object]:
        import termios

        return list(termios.tcgetattr(self.theirs))

    def type(self, keys: str) -> None:
        """Press keys; what was said before is forgotten."""
        self.said = ""
        os.write(self.ours, keys.encode())

    def reads(self, *wanted: str) -> str:
        """Wait until all of this has been printed; returns what has."""
        until = time.monotonic() + PATIENCE
        while not all(one in self.text() for one in wanted):
            assert time.monotonic() < until, f"{wanted} is not in: {self.text()}"
            self.hear()
        return self.text()

    def hear(self) -> None:
        """Read what has been printed, waiting a moment for it."""
        while select.select([self.ours], [], [], 0.1)[0]:
            self.said += os.read(self.ours, 65536).decode(errors="replace")

    def text(self) -> str:
        """What was said, without colours, frames and line breaks."""
        return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[│╭╮╰╯─]", "", self.said).split())

    def ends(self) -> int:
        """Wait until the command has ended; returns its exit code."""
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < until, self.text()
            self.hear()
        self.hear()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path / "work")
    yield opened
    opened.close()


def save(work: Path, old: str, new: str) -> None:
    """Save lesson 00 as an editor does."""
    path = work / "00_start_here.ipynb"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


ROW = "h hint · n next · l list · c check · r reset · q quit"


def test_a_session_at_the_terminal(terminal: Terminal, tmp_path: Path) -> None:
    work = tmp_path / "work"
    welcome = terminal.reads(f"Watching {work}"[:40], ROW)
    assert welcome.startswith("0 of ")
    terminal.type("hc")  # both are heard, though typed at once
    terminal.reads("Nothing is waiting for a hint here.", "There is nothing to check again yet.")
    terminal.type("\x1b[C\x1b[H")  # an arrow and Home are not c and h
    terminal.type("n")
    next_one = terminal.reads("Next:", ROW)
    assert f"Next: {HOURS} The opening hours, in 00_start_here.ipynb." in next_one
    assert "Nothing is" not in next_one
    save(work, "return TODO", "return {}")
    said = terminal.reads("✗ failed: The opening hours", "points in 00_start_here.ipynb.", ROW)
    assert "✗ failed 00.opening_hours" in said and "○ not attempted 00.keep_the_book" in said
    terminal.type("h")
    terminal.reads("Hint 1 of 3: The opening hours", ROW)
    terminal.type("h")
    terminal.reads("Hint 2 of 3: The opening hours", ROW)
    terminal.type("l")
    terminal.reads("✗ failed The opening hours, 2 hints read", ROW)
    terminal.type("r")
    terminal.reads(f"Press r again to get {HOURS} back as it came.", ROW)
    terminal.type("r")
    reset = terminal.reads(f"{HOURS} is as it came. Your old copy is 00_start_here.before", ROW)
    assert "beside it. If the notebook is open in an editor, reload it." in reset
    (kept,) = work.glob("*.before-reset-*.ipynb")
    assert "return {}" in kept.read_text(encoding="utf-8")
    assert "return TODO" in (work / "00_start_here.ipynb").read_text(encoding="utf-8")
    terminal.type("c")
    terminal.reads("○ not attempted: The opening hours", ROW)
    terminal.type("q")
    assert terminal.ends() == 0
    assert terminal.settings() == terminal.before


def test_ctrl_c_ends_it_and_gives_the_terminal_back(terminal: Terminal) -> None:
    terminal.reads(ROW)
    assert terminal.settings() != terminal.before  # single keys, unseen
    terminal.type("\x03")
    assert terminal.ends() == 130
    assert terminal.text().endswith("Stopped.")
    assert "Traceback" not in terminal.text()
    assert terminal.settings() == terminal.before


def test_ctrl_c_during_a_check_leaves_no_kernel_behind(terminal: Terminal, tmp_path: Path) -> None:
    terminal.reads(ROW)
    watching = psutil.Process(terminal.process.pid)
    save(tmp_path / "work", "return TODO", 'return TODO\\n",\n    "while True: pass\\n')
    terminal.reads("Checking 00_start_here.ipynb")
    until = time.monotonic() + PATIENCE
    while not (kernels := watching.children(recursive=True)):
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(1)  # well into the loop
    terminal.type("\x03")
    assert terminal.ends() == 130
    assert "Traceback" not in terminal.text(), terminal.text()
    assert terminal.settings() == terminal.before
    _, alive = psutil.wait_procs(kernels, timeout=PATIENCE)
    assert alive == []
