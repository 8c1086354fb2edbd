"""The error index: every message that the lessons meet, what it means and what to do about it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from checks.errors import CourseError
from checks.website import outputs, prose
from checks.website.lesson import Content
from checks.website.lessonpage import front_matter

TABLE = "Messages met"

_ROW = re.compile(r"^\|(.+)\|(.+)\|\s*$")
_QUOTED = re.compile(r"`([^`]+)`")
_LISTED = re.compile(r"`[^`]+`(?:(?:,| or|, or) `[^`]+`)*")  # `This` or `that`, at a `PATCH`
_LONGEST = 400  # characters of a line worth quoting
_FIELDS = {"message", "means", "cause", "cure"}


@dataclass
class Met:
    """One message.

    Attributes:
        message: As the lessons' tables write it.
        also: What the same thing says elsewhere.
        told: What happened, in the words of each lesson's table, with the lesson.
        seen: Lines of stored outputs in which it stands, word for word, with lesson and cell.
    """

    message: str
    also: list[str] = field(default_factory=list)
    told: list[tuple[Content, str]] = field(default_factory=list)
    seen: list[tuple[Content, str, str]] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The name of its heading on the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.message.lower()).strip("-")


@dataclass(frozen=True)
class Remedy:
    """What `site/errors.toml` says of a message: its meaning, its cause, its cure."""

    message: str
    means: str
    cause: str
    cure: str


def met(contents: Iterable[Content]) -> list[Met]:
    """Every message in the lessons' tables, once, in the order in which it is met."""
    lessons = list(contents)
    found: dict[str, Met] = {}
    for content in lessons:
        for message, what in _rows(content):
            listed = _LISTED.match(message)
            quoted = _QUOTED.findall(listed[0]) if listed else [prose.plain(message)]
            one = found.setdefault(quoted[0], Met(quoted[0]))
            one.also += [also for also in quoted[1:] if also not in one.also]
            # Where it was met, `at a commit`, belongs to what happened.
            where = message[listed.end() :].strip(" ,") if listed else ""
            one.told.append((content, f"{where}: {what}" if where else what))
    for one in found.values():
        one.seen = list(_seen(one.message, lessons))
    return list(found.values())


def remedies(path: Path) -> dict[str, Remedy]:
    """What is known of each message, by message.

    Raises:
        CourseError: an entry lacks a field, has one too many, or is there twice.
    """
    found: dict[str, Remedy] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("error", []):
        if set(entry) != _FIELDS:
            raise CourseError(
                f"{path.name}: the entry {entry.get('message', entry)!r} must have exactly "
                f"{', '.join(sorted(_FIELDS))}."
            )
        if entry["message"] in found:
            raise CourseError(f"{path.name}: {entry['message']!r} is there twice; keep one.")
        found[entry["message"]] = Remedy(**entry)
    return found


def page(messages: Iterable[Met], known: dict[str, Remedy]) -> str:
    """The page."""
    blocks = [
        front_matter(
            "Error index",
            "SQLAlchemy and FastAPI error messages, word for word: meaning, cause, cure.",
        ),
        "# Error index",
        "Paste a piece of your message into the search above, or use your browser's own. Every "
        "message below was met in a lesson, where you can make it happen yourself.",
    ]
    by_type: dict[str, list[Met]] = {}
    for one in messages:
        by_type.setdefault(one.message.partition(":")[0], []).append(one)
    for kind in sorted(by_type, key=str.lower):
        blocks.append(f"## {kind}")
        for one in by_type[kind]:
            blocks.append(_entry(one, known.get(one.message)))
    return "\n\n".join(blocks) + "\n"


def _entry(one: Met, known: Remedy | None) -> str:
    said = one.message.partition(": ")[2] or one.message
    lines = [f"### `{said}` {{ #{one.anchor} }}"]
    words = [f"{kind}" for kind in one.also]
    if words:
        lines.append("Also: " + ", ".join(f"`{word}`" for word in words))
    # The one that says most, since lessons print messages in parts as well.
    exact = max((line for _, _, line in one.seen), key=len, default="")
    if exact not in ("", said):
        listed = escape(exact, quote=False)
        lines.append(f'<pre class="de-raised" tabindex="0">{listed}</pre>')
    if known:
        lines += [
            f"**It means** {known.means}",
            f"**The cause** {known.cause}",
            f"**The cure** {known.cure}",
        ]
    links = []
    for content, told in one.told:
        cell = next((cell for where, cell, _ in one.seen if where is content), None)
        target = f"lessons/{content.lesson.name}.md" + (f"#cell-{cell}" if cell else "")
        links.append(f"- [Lesson {content.heading}]({target}): {told}")
    lines.append("\n".join(links))
    return "\n\n".join(lines)


def _rows(content: Content) -> Iterator[tuple[str, str]]:
    """The rows of the lesson's table, without its head."""
    for source in content.prose:
        _, found, below = source.partition(f"# {TABLE}\n")
        if not found:
            continue
        rows = [match for line in below.splitlines() if (match := _ROW.match(line))]
        yield from ((one[1].strip(), one[2].strip()) for one in rows[2:])


def _seen(message: str, contents: Iterable[Content]) -> Iterator[tuple[Content, str, str]]:
    """Where a message stands in stored outputs: lesson, cell, the line."""
    kind, _, said = message.partition(": ")
    pieces = [re.escape(piece.strip()) for piece in (said or kind).split("...") if piece.strip()]
    if not pieces:
        return
    pattern = re.compile(r".*?".join(pieces))
    for content in contents:
        for cell in content.cells:
            if cell.role != "code":
                continue
            printed = [one for one in cell.outputs if "text/html" not in one.get("data", {})]
            for line in "\n".join(map(outputs.text, printed)).splitlines():
                if (found := pattern.search(line)) and len(line) < _LONGEST:
                    # What a lesson prints before a message is no part of it.
                    start = line.find(kind)
                    yield content, cell.id, line[start if start >= 0 else found.start() :].strip()
