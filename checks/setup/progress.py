"""What the set-up says while it works."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from checks.setup import pip_output

_TICK = 0.2  # seconds between looks at how much pip has installed


def say(sentence: str) -> None:
    """Say something to the person at the keyboard."""
    print(sentence, file=sys.stderr, flush=True)


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
def ticking(prefix: Path, reader: pip_output.Reader, progress: Progress) -> Iterator[None]:
    """Show how much pip has installed: it says nothing from its first package to its last."""
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
