"""JupyterLab on the learner's work folder: started, announced, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

from checks.errors import CourseError

_PATIENCE = 60  # seconds for the server to answer

# Leaves out what lessons do not need: extensions that cost start-up time (nbgrader's more than a
# second), and the question about news. It is read before the user's own settings, which stand.
_SETTINGS = Path(__file__).parent / "jupyter"


class ServerError(CourseError):
    """Why JupyterLab is not running, as a sentence for the learner."""


def serve(folder: Path, notebook: str, port: int | None, browser: bool) -> int:
    """Serve a folder with JupyterLab until interrupted; returns the exit code.

    Args:
        folder: What JupyterLab shows.
        notebook: The notebook it opens on.
        port: The port to use; None takes 8888 or the next free one.
        browser: Whether to open the address, or only to print it.

    Raises:
        ServerError: the port is taken, or the server does not start.
    """
    port = _port(port)
    token = secrets.token_urlsafe(16)
    log = folder / ".jupyter.log"
    address = f"http://127.0.0.1:{port}/lab/tree/{notebook}?token={token}"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [
                sys.executable,
                "-P",  # the folder that it starts in is the learner's: no modules from there
                "-m",
                "jupyterlab",
                "--no-browser",
                f"--ServerApp.root_dir={folder}",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                # Which tabs are open is kept here: those of other folders do not exist in this one.
                f"--LabApp.workspaces_dir={folder / '.lab'}",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                *(["--allow-root"] if _is_root() else []),
                *_terminals(),
            ],
            cwd=folder,  # where its terminals open
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"JUPYTER_CONFIG_PATH": _settings_path(), "PATH": _search_path()},
        )
    stop = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _wait(server, port, token, log)
        print(f"JupyterLab is open at {address}\nStop it with Ctrl-C.", flush=True)
        if browser:
            webbrowser.open(address)
        return server.wait()
    except KeyboardInterrupt:
        print("\nStopped. Your work is saved in", folder)
        return 0
    finally:
        signal.signal(signal.SIGTERM, stop)
        _end(server)


def _port(wanted: int | None) -> int:
    if wanted:
        if not _is_free(wanted):
            raise ServerError(
                f"Port {wanted} is taken by another program. Leave out --port to use a free one, "
                "or name another."
            )
        return wanted
    for port in range(8888, 8988):
        if _is_free(port):
            return port
    raise ServerError("Ports 8888 to 8987 are all taken. Name a free one with --port.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if sys.platform != "win32":  # there it would let two programs share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait(server: subprocess.Popen[bytes], port: int, token: str, log: Path) -> None:
    url = f"http://127.0.0.1:{port}/api/status?token={token}"
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.05)
    raise ServerError(
        f"JupyterLab did not start. What it said is in {log}; `checks doctor` tells whether "
        "something is missing."
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _settings_path() -> str:
    return os.pathsep.join(filter(None, (str(_SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH"))))


def _search_path() -> str:
    """The PATH with `checks` on it, for JupyterLab's own terminals."""
    return os.pathsep.join(filter(None, (str(Path(sys.executable).parent), os.environ.get("PATH"))))


def _terminals() -> list[str]:
    """Have terminals run the learner's shell as it is: a login shell would set its own PATH."""
    shell = os.environ.get("SHELL") or shutil.which("bash") or "/bin/sh"
    settings = json.dumps({"shell_command": [shell]})
    return [] if os.name == "nt" else [f"--ServerApp.terminado_settings={settings}"]


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
