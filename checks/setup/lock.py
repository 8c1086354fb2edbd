"""One set-up of a folder at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from checks.setup.progress import say


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[int | None]:
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
                say("Another set-up of this folder is running; waiting for it to end.")
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
