"""Servers that tests start for themselves."""

from __future__ import annotations

import gzip
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


class _Host(SimpleHTTPRequestHandler):
    """Plain hosting below a sub-path that keeps connections and compresses text, as Pages does."""

    protocol_version = "HTTP/1.1"
    # Named here: what a machine's own tables say of these differs.
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *args: Any, below: str, **options: Any) -> None:
        self._below = below
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        asked = self.path.partition("?")[0]
        if not asked.startswith(self._below):
            self.send_error(404)
            return
        file = Path(self.translate_path("/" + asked.removeprefix(self._below)))
        if asked.endswith("/"):
            file = file / "index.html"
        if not file.is_file():
            self.send_error(404)
            return
        kind, data = self.guess_type(file), file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if kind.startswith("text/") or kind.endswith(("json", "javascript", "xml")):
            data = gzip.compress(data, 6)
            self.send_header("Content-Encoding", "gzip")
        # A page may be written anew within a second.
        cached = "no-cache" if file.suffix == ".html" else "max-age=600"
        self.send_header("Cache-Control", cached)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def static(folder: Path, below: str = "/") -> Iterator[str]:
    """A folder on plain static hosting, its root at the path `below`; gives that address."""
    handler = partial(_Host, directory=str(folder), below=below)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{below}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
