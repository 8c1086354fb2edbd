"""What the grader and a submission's process say to each other: signed lines of JSON.

The submission shares the process with one end of this, so whatever comes out of it is hostile
input: lines that are not signed are counted, not read; the rest is size-limited and schema-checked
by whoever reads it, and never unpickled.
"""

from __future__ import annotations

import hmac
import json
import socket
from typing import Any

SECRET = 32  # bytes
LONGEST = 4 << 20  # bytes of one line

Signer = hmac.HMAC


def signer(secret: bytes) -> Signer:
    """What signs the lines of one run."""
    return hmac.new(secret, digestmod="sha256")


def pack(sign: Signer, body: dict[str, Any]) -> bytes:
    """A line, with a line break before it as well, so that noise on the wire cannot spoil it."""
    text = json.dumps(body).encode()
    return b"\n" + _mac(sign, text) + b" " + text + b"\n"


def unpack(sign: Signer, line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is not signed or not JSON."""
    mac, _, text = line.partition(b" ")
    if not hmac.compare_digest(mac, _mac(sign, text)):
        return None
    try:
        body = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return clean(body) if isinstance(body, dict) else None


def clean(value: Any) -> Any:
    """JSON without what some database or file cannot hold: NUL and half characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "�")
    if isinstance(value, list):
        return [clean(one) for one in value]
    if isinstance(value, dict):
        return {clean(key): clean(one) for key, one in value.items()}
    return value


def _mac(sign: Signer, text: bytes) -> bytes:
    one = sign.copy()
    one.update(text)
    return one.hexdigest().encode()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


class Line:
    """The submission's end: sends at once, waits for answers.

    Args:
        channel: A connected socket.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._file = channel, channel.makefile("rb")

    def receive(self) -> dict[str, Any]:
        """The grader's next message.

        Raises:
            EOFError: it has hung up.
        """
        line = self._file.readline()
        if not line:
            raise EOFError
        message: dict[str, Any] = json.loads(line)
        return message

    def send(self, sign: Signer, body: dict[str, Any]) -> None:
        """Send one signed message."""
        self._channel.sendall(pack(sign, body))
