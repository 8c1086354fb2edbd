"""What pip says, understood: how far it is, and why it failed. Pure; standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
_IGNORED = re.compile(rf"Ignoring {_NAME}: markers")
_FOUND = re.compile(rf"(?:Collecting|Requirement already satisfied:) {_NAME}")
_FILE = re.compile(r"Processing (?:.*[/\\])?([^/\\-]+)-[^/\\]*\.(?:whl|zip|tar\.gz)")
_INSTALLING = re.compile(r"Installing collected packages: (.+)")
_WAITING = re.compile(r"WARNING: Retrying \(")
_WELL = re.compile(r"\s*(?:Collecting|Processing|Downloading|Using cached|Requirement already) ")
_ERROR = re.compile(r"\s*(?:ERROR|error): *(.+)")


@dataclass(frozen=True, slots=True)
class Step:
    """How far an installation is.

    Attributes:
        doing: `Downloading` or `Installing`; pip does the second when all of the first is done.
        done: Packages reached so far, from 1.
        total: How many there are in all.
        name: The package reached.
    """

    doing: str
    done: int
    total: int
    name: str

    def __str__(self) -> str:
        return f"{self.doing} {self.done} of {self.total}: {self.name}"


class Reader:
    """Follows pip's output.

    Attributes:
        installing: The packages that pip installs, in its order; empty while it still collects
            them. Until then pip has changed nothing in the environment.
        waiting: Whether the last line says that pip tries to reach the index again.
    """

    def __init__(self, total: int) -> None:
        """Begin with the number of pinned packages, those for other platforms included."""
        self._total = total
        self._done = 0
        self.installing: tuple[str, ...] = ()
        self.waiting = False

    def feed(self, line: str) -> Step | None:
        """The step that a line of pip's output stands for, if any."""
        self.waiting = bool(_WAITING.match(line))
        if _IGNORED.match(line):
            self._total -= 1
        elif found := _INSTALLING.match(line):
            self.installing = tuple(found[1].strip().split(", "))
            return self.installed(0)
        elif (found := _FOUND.match(line) or _FILE.match(line)) and not self.installing:
            self._done += 1
            self._total = max(self._total, self._done)
            return Step("Downloading", self._done, self._total, found[1])
        return None

    def installed(self, count: int) -> Step:
        """The step when so many of `installing` are in place."""
        total = len(self.installing)
        at = min(count, total - 1)
        return Step("Installing", at + 1, total, self.installing[at])


def pins(requirements: str) -> int:
    """How many packages a requirements file pins, for all platforms together."""
    return len(re.findall(r"^[A-Za-z0-9]", requirements, re.MULTILINE))


# Tried in order: what leaves no doubt first, since a machine without space or network also says
# many other things.
_CAUSES = (
    (
        r"\[?Errno (?:28|122)\b|No space left on device|WinError 112|[Dd]isk quota exceeded",
        "The disk is full: free about 1 GB, also where temporary files go ({temporary}), "
        "and run the command again.",
    ),
    (
        r"\[?Errno (?:30|13|1)\b|Read-only file system|Permission denied|WinError 5\b",
        "{folder} cannot be written: give yourself write access to it, or clone the course into a "
        "folder of your own, and run the command again.",
    ),
    (
        r"SSLError|CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "The package index was reached but its certificate is not trusted, as behind some company "
        "proxies: set PIP_CERT to your company's certificate file and run the command again.",
    ),
    (
        r"ConnectionError|ConnectTimeout|ReadTimeout|Read timed out|Connection refused"
        r"|Max retries exceeded|Failed to establish a new connection|getaddrinfo failed"
        r"|Name or service not known|name resolution|unreachable|ProxyError|ProtocolError"
        r"|Connection (?:aborted|broken|reset)|connection broken|IncompleteRead|RemoteDisconnected"
        r"|\(from versions: none\)",  # all that pip says when it is not to try again
        "The package index cannot be reached: check your network connection (behind a proxy set "
        "HTTPS_PROXY) and run the command again.",
    ),
    (
        r"HTTP error \d+|\b(?:4\d\d|5\d\d) (?:Client|Server) Error",
        "The package index answered with an error ({error}): check pip's index settings with "
        "`pip config list`, or wait a little, and run the command again.",
    ),
    (
        r"No matching distribution found|Could not find a version",
        "The package index has nothing that fits Python {python} on this machine ({error}): run "
        "the command with another Python of 3.11 or newer.",
    ),
    (
        r"Failed (?:building|to build)|subprocess-exited-with-error|metadata-generation-failed",
        "A package has no ready-made build for Python {python} on this machine and compiling it "
        "failed ({error}): run the command with another Python of 3.11 or newer.",
    ),
)


def explain(lines: Sequence[str], *, folder: str, temporary: str, python: str) -> str | None:
    """Why an installation failed: one sentence that ends in what to do, or None when unclear.

    Args:
        lines: All that pip said.
        folder: The environment that it installed into.
        temporary: Where temporary files go.
        python: The version of the environment's Python.
    """
    said = "\n".join(_last_stretch(lines))
    for pattern, sentence in _CAUSES:
        if re.search(pattern, said):
            return sentence.format(
                folder=folder, temporary=temporary, python=python, error=last_error(lines)
            )
    return None


def last_error(lines: Iterable[str]) -> str:
    """The last line that pip calls an error, without that word; otherwise its last line."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [found[1].strip() for line in said if (found := _ERROR.match(line))]
    return (errors or said or ["it said nothing"])[-1].rstrip(".")


def _last_stretch(lines: Sequence[str]) -> Sequence[str]:
    """What came after the last good news: earlier trouble was got over."""
    good = [at for at, line in enumerate(lines) if _WELL.match(line)]
    return lines[good[-1] :] if good else lines
