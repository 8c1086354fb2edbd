"""Servers that tests start for themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from checks.servers import start_postgresql
from checks.tests.conftest import require


@contextmanager
def postgresql() -> Iterator[URL]:
    """A PostgreSQL of our own; gone afterwards."""
    server = start_postgresql()
    require(server is not None, "PostgreSQL does not start here: look at what is printed above.")
    assert server is not None
    try:
        yield server.url
    finally:
        server.stop()


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
