"""Files in folders and in zips: listed and read within bounds, no link followed, none extracted."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import threading
import unicodedata
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from checks.errors import CourseError

PACKED = 100  # times its packed size that a file may have
MOST_FILES = 50_000  # in one zip

_ANYWAY = 1_000_000  # bytes that a file may have however well it is packed
_LARGEST_ZIP_IN_ZIP = 64_000_000  # bytes: it is held in memory
_LARGEST_INDEX = 8_000_000  # bytes of a zip's table of contents
_ALL_ANYWAY = 100_000_000  # bytes that may come out of a zip however well it is packed
_CHUNK = 1 << 16
_DEEPEST = 30  # folders within each other
_OPEN_ZIPS = 4

_UNSHOWN = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # in emoji and in Persian names
_QUIET = re.compile(r"\.(?!\.).*|__MACOSX|__pycache__|Thumbs\.db|desktop\.ini", re.IGNORECASE)


class FileError(CourseError):
    """A file or zip that cannot be read: what is wrong and what to do, after its name."""


class BombError(FileError):
    """A file that unpacks to far more than it takes in its zip."""


class LargeError(FileError):
    """A file that is larger than what is read."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file's bytes are.

    Attributes:
        path: A file of this machine.
        members: The way from there through zips: each one's place in its table of contents.
    """

    path: Path
    members: tuple[int, ...] = ()

    @property
    def zip(self) -> Source:
        """The zip that the file is in."""
        return Source(self.path, self.members[:-1])

    def read(self, most: int) -> bytes:
        """The file's bytes.

        Args:
            most: How many it may have.

        Raises:
            FileError: it cannot be read, or has more.
        """
        try:
            if not self.members:
                with _plain(self.path) as file:
                    data = file.read(most + 1)
                if len(data) > most:
                    raise LargeError(_larger(most))
                return data
            with _ZIPS.open(self.zip) as archive:
                return _unpacked(archive, self.members[-1], most)
        except OSError as error:
            reason = error.strerror or "it is damaged"
            raise FileError(
                f"cannot be read ({reason}). See to its permissions, or get it again."
            ) from error


@dataclass(frozen=True, slots=True)
class Found:
    """One file.

    Attributes:
        parts: The names of the folders and zips that it is in and its own, from the top.
        source: Where its bytes are.
        size: How many bytes it is said to have.
        saved: When it was saved, in seconds since the epoch; 0 where that is not known.
    """

    parts: tuple[str, ...]
    source: Source
    size: int
    saved: float

    @property
    def shown(self) -> str:
        """The file for people: its way from the top, in one line of bounded length."""
        return shown("/".join(self.parts))


@dataclass(frozen=True, slots=True)
class Trouble:
    """What could not be looked into, or was not.

    Attributes:
        parts: Where.
        why: The rest of a sentence that begins with where.
    """

    parts: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{shown('/'.join(self.parts))} {self.why}"


class Allowance:
    """What may be unpacked of each zip in all: members that share their bytes add up unseen."""

    def __init__(self) -> None:
        self._left: dict[Source, int] = {}

    def take(self, source: Source, size: int) -> None:
        """Set aside what a member says that it has, before it is read.

        Raises:
            BombError: its zip has nothing left.
        """
        if not source.members:
            return
        archive = source.zip
        if archive not in self._left:
            packed = 0 if archive.members else archive.path.stat().st_size
            self._left[archive] = _ALL_ANYWAY + PACKED * packed
        self._left[archive] -= size
        if self._left[archive] < 0:
            raise BombError("was not read: its zip unpacks to far too much. Pack it again.")


def found(place: Path, allowance: Allowance) -> Iterator[Found | Trouble]:
    """Every file in a folder or a zip and in the zips there, in order; what is noise is left out.

    A zip within a zip is opened, one within that is not. Links are not followed.

    Raises:
        FileError: the place itself cannot be read.
    """
    if place.is_dir():
        yield from _in_folder(place, allowance)
    else:
        source = Source(place)
        yield from _in_zip(_members(source), source, (), allowance)


def shown(name: str, most: int = 240) -> str:
    """A name from elsewhere for people: in one line of bounded length, and of honest direction."""
    short = name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 :]}"
    return "".join(_UNSHOWN if breaks(one) or hidden(one) else one for one in short)


def breaks(character: str) -> bool:
    """Whether it would break a line, or steer a terminal."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def hidden(character: str) -> bool:
    """Whether it is not seen and only changes how its neighbours are, or is half a character."""
    return unicodedata.category(character) in ("Cf", "Cs") and character not in _JOINERS


def _larger(most: int) -> str:
    return f"is larger than the {most // 1_000_000} MB that are read. Make it smaller."


def _plain(path: Path) -> io.BufferedReader:
    """An ordinary file, opened: no link, and no pipe that waits for a writer."""
    flags = os.O_RDONLY
    for one in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, one, 0)
    return os.fdopen(os.open(path, flags), "rb")


def _in_folder(top: Path, allowance: Allowance) -> Iterator[Found | Trouble]:
    todo: list[tuple[Path, tuple[str, ...]]] = [(top, ())]
    while todo:
        folder, above = todo.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda one: one.name)
        except OSError as error:
            reason = error.strerror or "unknown"
            yield Trouble(above, f"cannot be opened ({reason}). See to its permissions.")
            continue
        within: list[tuple[Path, tuple[str, ...]]] = []
        for entry in entries:
            if _QUIET.fullmatch(entry.name):
                continue
            parts = (*above, entry.name)
            try:
                facts = entry.stat(follow_symlinks=False)
            except OSError as error:
                yield Trouble(parts, f"cannot be looked at ({error.strerror}).")
                continue
            if stat.S_ISLNK(facts.st_mode):
                yield Trouble(parts, "is a link and was not followed. Put the file itself there.")
            elif stat.S_ISDIR(facts.st_mode):
                if len(parts) > _DEEPEST:
                    yield Trouble(parts, "is too many folders deep and was not opened.")
                else:
                    within.append((Path(entry.path), parts))
            elif not stat.S_ISREG(facts.st_mode):
                yield Trouble(parts, "is no ordinary file and was not read.")
            else:
                file = Found(parts, Source(Path(entry.path)), facts.st_size, facts.st_mtime)
                yield from _opened(file, allowance)
        todo.extend(reversed(within))


def _opened(file: Found, allowance: Allowance) -> Iterator[Found | Trouble]:
    """What is in a file that is a zip, else the file."""
    if not file.parts[-1].lower().endswith(".zip"):
        yield file
        return
    try:
        allowance.take(file.source, min(file.size, _LARGEST_ZIP_IN_ZIP))
        members = _members(file.source)
    except FileError as error:
        yield Trouble(file.parts, str(error))
        return
    yield from _in_zip(members, file.source, file.parts, allowance)


@dataclass(frozen=True, slots=True)
class _Member:
    number: int
    name: str
    size: int
    saved: float
    link: bool


def _members(source: Source) -> list[_Member]:
    """What a zip holds.

    Raises:
        FileError: it cannot be opened.
    """
    try:
        with _ZIPS.open(source) as archive:
            return [
                _Member(
                    number,
                    _member_name(info),
                    info.file_size,
                    _member_saved(info),
                    stat.S_ISLNK(info.external_attr >> 16),
                )
                for number, info in enumerate(archive.infolist())
                if not info.filename.endswith(("/", "\\"))
            ]
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise FileError(f"cannot be opened ({reason}). See to its permissions.") from error


def _in_zip(
    members: list[_Member], source: Source, above: tuple[str, ...], allowance: Allowance
) -> Iterator[Found | Trouble]:
    if len(members) > MOST_FILES:
        yield Trouble(
            above,
            f"holds {len(members):,} files, of which the first {MOST_FILES:,} were looked at. "
            "Split it.",
        )
    for member in members[:MOST_FILES]:
        names = [one for one in re.split(r"[/\\]", member.name) if one not in ("", ".")]
        inside = [one for one in names if one != ".." and not re.fullmatch("[A-Za-z]:", one)]
        if not inside or any(_QUIET.fullmatch(one) for one in inside):
            continue
        if len(inside) > _DEEPEST:
            inside = [*inside[: _DEEPEST - 1], inside[-1]]
        parts = (*above, *inside)
        if len(inside) < len(names) or member.name.startswith(("/", "\\")):
            yield Trouble(
                above or parts[:1],
                f"names a place outside itself, {shown(member.name)}; it was read as "
                f"{shown('/'.join(parts))}. Ask its maker for a plain zip.",
            )
        if member.link:
            yield Trouble(parts, "is a link and was not followed. Put the file itself there.")
            continue
        file = Found(
            parts, Source(source.path, (*source.members, member.number)), member.size, member.saved
        )
        if parts[-1].lower().endswith(".zip") and source.members:
            yield Trouble(parts, "is a zip in a zip in a zip and was not opened. Unpack it once.")
        else:
            yield from _opened(file, allowance)


def _member_name(info: zipfile.ZipInfo) -> str:
    """The name; macOS writes UTF-8 without saying so, and it is read as the code page of DOS."""
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return info.filename.encode("cp437").decode()
    return info.filename


def _member_saved(info: zipfile.ZipInfo) -> float:
    try:
        return datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _unpacked(archive: zipfile.ZipFile, number: int, most: int) -> bytes:
    """A member's bytes, counted as they come: what the zip says of their number is not believed."""
    try:
        info = archive.infolist()[number]
    except IndexError as error:
        raise FileError("is no longer in its zip. Start again.") from error
    if info.flag_bits & 0x1:
        raise FileError("is locked with a password. Pack it without one.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(
            f"is packed in an unusual way (method {info.compress_type}). Pack it as a plain zip."
        )
    if info.file_size > most:
        raise LargeError(_larger(most))
    allowed = max(_ANYWAY, PACKED * info.compress_size)
    pieces, size = [], 0
    try:
        with archive.open(info) as file:
            while piece := file.read(_CHUNK):
                size += len(piece)
                if size > most:
                    raise LargeError(_larger(most))
                if size > allowed:
                    raise BombError(
                        f"unpacks to more than {PACKED} times its size in the zip and was not "
                        "read. Clear the notebook's outputs and pack it again."
                    )
                pieces.append(piece)
    except FileError:
        raise
    except Exception as error:  # zipfile raises many kinds on damaged members
        raise FileError("is damaged in its zip. Pack it again.") from error
    return b"".join(pieces)


class _Bounded(io.BufferedReader):
    """A zip whose table of contents is not read when it would fill the memory.

    `zipfile` reads the table in one piece, as long as the file says, and all else in small ones.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_INDEX:
            raise zipfile.BadZipFile("too many files")
        return super().read(size)


class _Zips:
    """The zips opened last, kept open: to open one again is to read its whole table again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: OrderedDict[tuple[Source, int, int], tuple[zipfile.ZipFile, io.IOBase]] = (
            OrderedDict()
        )

    @contextlib.contextmanager
    def open(self, source: Source) -> Iterator[zipfile.ZipFile]:
        """One zip, for as long as nobody else has one.

        Raises:
            FileError: it is damaged, or too large, or holds too much.
        """
        with self._lock:
            facts = source.path.stat()
            key = (source, facts.st_mtime_ns, facts.st_size)
            if key not in self._open:
                self._open[key] = self._opened(source)
            self._open.move_to_end(key)
            while len(self._open) > _OPEN_ZIPS:
                _, (archive, file) = self._open.popitem(last=False)
                archive.close()
                file.close()
            yield self._open[key][0]

    def _opened(self, source: Source) -> tuple[zipfile.ZipFile, io.IOBase]:
        raw: io.RawIOBase | io.BytesIO
        if source.members:
            try:
                raw = io.BytesIO(source.read(_LARGEST_ZIP_IN_ZIP))
            except BombError as error:
                raise BombError("is a zip bomb and was not opened. Ask for a plain zip.") from error
        else:
            raw = _plain(source.path).detach()
        file = _Bounded(raw)
        try:
            return zipfile.ZipFile(file), file
        except Exception as error:  # zipfile raises many kinds on what is no zip
            file.close()
            raise FileError(
                "is no zip, or a damaged one, and was not opened. Get it again."
            ) from error


_ZIPS = _Zips()
