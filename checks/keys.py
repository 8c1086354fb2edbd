"""Single keys from a terminal, on POSIX and Windows alike."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIT = "q"

# What arrows and function keys send: they end in letters that mean something else here.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")

NextKey = Callable[[float], str]


@contextmanager
def pressed() -> Iterator[NextKey]:
    """Read keys without Enter while the block runs.

    Yields:
        A function that waits up to so many seconds and returns the key, or "" when none came.
        Where there is no terminal it only waits.
    """
    if not sys.stdin.isatty():
        yield _no_key
    elif sys.platform == "win32":
        yield _windows_key
    else:
        import termios
        import tty

        before = termios.tcgetattr(sys.stdin)
        try:
            tty.setcbreak(sys.stdin)
            yield _Keys(sys.stdin.fileno())
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


class _Keys:
    """Keys of a POSIX terminal, read past Python's own buffer, which `select` cannot see into."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._waiting: deque[str] = deque()

    def __call__(self, seconds: float) -> str:
        if not self._waiting and select.select([self._terminal], [], [], seconds)[0]:
            typed = os.read(self._terminal, 1024)
            if not typed:  # the terminal is gone
                return QUIT
            text = _SEQUENCE.sub("", typed.decode(errors="ignore"))
            self._waiting.extend(text.lower())
        return self._waiting.popleft() if self._waiting else ""


def _windows_key(seconds: float) -> str:
    import msvcrt

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            key = str(msvcrt.getwch()).lower()  # type: ignore[attr-defined,unused-ignore]
            if key not in "\0\xe0":
                return key
            msvcrt.getwch()  # type: ignore[attr-defined,unused-ignore]  # of an arrow, and the like
        time.sleep(0.02)
    return ""
