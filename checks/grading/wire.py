"""What the grader and a submission's process say to each other: signed lines of JSON.

The submission shares the process with one end of this, so whatever comes out of it is hostile
input: lines that are not signed, or signed once before, are counted, not read; the rest is limited
in size and depth, checked by whoever reads it, and never unpickled.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable, Generator, Mapping
from hashlib import blake2b
from hmac import compare_digest
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

SECRET = 32  # bytes
LONGEST = 4 << 20  # bytes of one line
_DEEPEST = 64  # containers within each other
_LARGEST = 1024  # bits of a whole number
_MAC = 64  # characters before a line's text

Body = dict[str, Any]
Names = Mapping[str, Any] | None
Say = tuple[str, Any, Names]  # what kind of message, what it says, names to observe
Look = Callable[[str, Names, Body], Body]  # exercise, names, what the grader gave


class Reader:
    """The grader's end: tells lines that the run itself has sent from all others.

    Args:
        secret: What the run was given to sign with.
    """

    def __init__(self, secret: bytes) -> None:
        self._key, self._number = blake2b(key=secret, digest_size=_MAC // 2), 0

    def read(self, line: bytes) -> Body | None:
        """What a line says; None where it is not the run's next one, or no JSON."""
        mac, text = line[:_MAC], line[_MAC + 1 :]
        if len(mac) < _MAC or not text:
            return None
        key = self._key.copy()
        key.update(b"%d %s" % (self._number, text))
        if not compare_digest(mac, key.hexdigest().encode()):
            return None
        self._number += 1
        try:
            body = clean(json.loads(text, parse_constant=_refuse))
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None


def clean(value: Any, depth: int = 0) -> Any:
    """JSON without what some database, file or browser cannot hold.

    That is NUL, half characters, numbers that are none, and numbers longer than a line; the latter
    become text.

    Raises:
        ValueError: it is nested too deep, or no JSON.
    """
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "�")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > _LARGEST:
            return f"a whole number of {value.bit_length()} bits"
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [clean(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {clean(key, depth): clean(one, depth + 1) for key, one in value.items()}
    raise ValueError(f"{type(value).__name__} is not JSON")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def speak(
    channel: socket.socket, readline: Callable[[], bytes], secret: bytes, look: Look
) -> Generator[None, Say, None]:
    """The submission's end: sent what to say, it signs and sends it; it observes when asked to.

    A generator, started and then sent to, because of what surrounds it: its key is in none of the
    objects that a submission can walk to, only in this frame. Whatever it needs meanwhile it takes
    hold of beforehand, and all of that is written in C: what a submission has put in the place of
    `json.dumps` never sees the key. It takes orders from anybody, but says `observed` of nothing
    but what `look` returns.

    Args:
        channel: A connected socket.
        readline: Reads the grader's next line from it.
        secret: What to sign with.
        look: Observes an exercise when the grader has given leave and the data to do it with.
    """
    key = blake2b(key=secret, digest_size=_MAC // 2)
    secret = b""
    number = 0
    send, loads = channel.sendall, json.loads
    encode = c_make_encoder(None, id, encode_basestring_ascii, None, ":", ",", False, False, False)
    kinds = {kind: kind for kind in ("cell", "raised", "sign", "reached", "done")}
    while True:
        kind, value, names = yield
        bodies: list[Body] = [{kinds[kind]: value}]
        for body in bodies:
            text = b"".join([part.encode() for part in encode(body, 0)])
            mac = key.copy()
            mac.update(b"%d %s" % (number, text))
            number += 1
            # A line break before it as well, so that noise on the line cannot spoil it.
            send(b"\n%s %s\n" % (mac.hexdigest().encode(), text))
            if "reached" in body:
                told = loads(readline())
                if "seed" in told:
                    bodies.append(look(value, names, told))
