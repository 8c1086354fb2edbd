"""Single keys from a terminal, on POSIX and Windows alike."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
            yield _posix_key
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _posix_key(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1).lower() if ready else ""


def _windows_key(seconds: float) -> str:
    import msvcrt

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            return str(msvcrt.getwch()).lower()  # type: ignore[attr-defined,unused-ignore]
        time.sleep(0.02)
    return ""
