"""A stand-in for argon2-cffi, as far as pwdlib uses it: the same hashes, by the page's own code.

The page hands over a module `argon2_in_page` with `compute(parameters) -> Uint8Array`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import importlib
import re
import secrets
import sys
from collections.abc import Callable
from enum import Enum
from types import ModuleType
from typing import Any

Compute = Callable[[bytes, bytes, int, int, int, int], bytes]
_compute: Compute

DEFAULT_TIME_COST = 3
DEFAULT_MEMORY_COST = 65536  # KiB
DEFAULT_PARALLELISM = 4
DEFAULT_HASH_LENGTH = 32  # bytes
DEFAULT_RANDOM_SALT_LENGTH = 16  # bytes

_ENCODED = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>\d+),t=(?P<time>\d+),p=(?P<lanes>\d+)"
    r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<tag>[A-Za-z0-9+/]+)"
)


class Type(Enum):
    """Which Argon2; pages know only the one that everybody should use."""

    ID = 2


class VerificationError(Exception):
    """A password that cannot be told to match."""


class VerifyMismatchError(VerificationError):
    """A password that does not match."""


class InvalidHashError(ValueError):
    """No hash of Argon2id, version 19."""


class PasswordHasher:
    """argon2-cffi's `PasswordHasher`.

    Args:
        time_cost: Passes.
        memory_cost: KiB.
        parallelism: Lanes.
        hash_len: Bytes of the hash.
        salt_len: Bytes of its salt.
        encoding: How text becomes bytes.
        type: Argon2id.
    """

    def __init__(
        self,
        time_cost: int = DEFAULT_TIME_COST,
        memory_cost: int = DEFAULT_MEMORY_COST,
        parallelism: int = DEFAULT_PARALLELISM,
        hash_len: int = DEFAULT_HASH_LENGTH,
        salt_len: int = DEFAULT_RANDOM_SALT_LENGTH,
        encoding: str = "utf-8",
        type: Type = Type.ID,
    ) -> None:
        self._costs = memory_cost, time_cost, parallelism
        self._lengths = hash_len, salt_len
        self._encoding = encoding

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """The encoded hash of a password, with a salt of its own."""
        length, salt_length = self._lengths
        salt = salt or secrets.token_bytes(salt_length)
        tag = _compute(self._bytes(password), salt, *self._costs, length)
        memory, time, lanes = self._costs
        return f"$argon2id$v=19$m={memory},t={time},p={lanes}${_encoded(salt)}${_encoded(tag)}"

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        """True where the password is the one.

        Raises:
            VerifyMismatchError: it is another one.
            InvalidHashError: this is no hash.
        """
        found = _parsed(hash)
        tag = _decoded(found["tag"])
        costs = int(found["memory"]), int(found["time"]), int(found["lanes"])
        again = _compute(self._bytes(password), _decoded(found["salt"]), *costs, len(tag))
        if not hmac.compare_digest(tag, again):
            raise VerifyMismatchError("The password does not match the supplied hash")
        return True

    def check_needs_rehash(self, hash: str | bytes) -> bool:
        """Whether a hash was made with other costs than these."""
        found = _parsed(hash)
        costs = int(found["memory"]), int(found["time"]), int(found["lanes"])
        lengths = len(_decoded(found["tag"])), len(_decoded(found["salt"]))
        return (costs, lengths) != (self._costs, self._lengths)

    def _bytes(self, password: str | bytes) -> bytes:
        return password.encode(self._encoding) if isinstance(password, str) else password


def install(compute: Compute) -> None:
    """Be `argon2` from now on.

    Args:
        compute: Password, salt, KiB, passes, lanes and length to the raw hash.
    """
    global _compute
    _compute = compute
    exceptions = ModuleType("argon2.exceptions")
    for error in (VerificationError, VerifyMismatchError, InvalidHashError):
        setattr(exceptions, error.__name__, error)
    this: Any = sys.modules[__name__]
    this.exceptions = exceptions
    sys.modules["argon2"], sys.modules["argon2.exceptions"] = this, exceptions


def of_the_page() -> Compute:
    """Argon2 as the page computes it."""
    page = importlib.import_module("argon2_in_page")

    def compute(
        password: bytes, salt: bytes, memory: int, time: int, lanes: int, length: int
    ) -> bytes:
        raw: bytes = page.compute(password, salt, memory, time, lanes, length).to_bytes()
        return raw

    return compute


def _parsed(hash: str | bytes) -> re.Match[str]:
    text = hash.decode("ascii", "replace") if isinstance(hash, bytes) else hash
    found = _ENCODED.fullmatch(text)
    if found is None:
        raise InvalidHashError("This is not an Argon2id hash.")
    return found


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise InvalidHashError("This is not an Argon2id hash.") from error
