"""Whose a file is: learners' names as folders, nbgrader, Moodle and Canvas write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from checks import course
from checks.grading.files import breaks, hidden, shown

_MOODLE = re.compile(
    r"(?P<name>.*?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)", re.DOTALL
)
_CANVAS = re.compile(
    r"(?P<name>(?=.*[^\W\d_]).+?)_(?P<late>late_)?(?P<id>\d+)_(?P<upload>\d{3,})_(?P<file>.+)",
    re.DOTALL | re.IGNORECASE,
)
_CANVAS_ANONYMOUS = re.compile(
    r"anon_(?P<id>[A-Za-z0-9]{5})_(?P<late>late_)?(?P<upload>\d{3,})_(?P<file>.+)",
    re.DOTALL | re.IGNORECASE,
)
_NBGRADER = {"source", "release", "autograded", "feedback", "downloaded", "exchange"}
_COPY = re.compile(r"[ _.-]*(?:\(\d+\)|-\d+|copy[ _-]?\d*)$", re.IGNORECASE)
_LONGEST = 120  # characters of a name

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a file is, before names are told apart.

    Attributes:
        name: The name, cleaned.
        key: What tells two owners of one name apart: the name as it stood, or the system's number.
        id: The number that Moodle or Canvas gave; empty where there is none.
        download: The folder or zip that holds the learners: one name there twice is two people.
        lasting: Whether the number is the same in every download, as Canvas's is.
        file: The name that the learner gave the file, or a folder of it.
        upload: Canvas's number of the file: the higher, the later.
        late: Whether Canvas marked it as late.
    """

    name: str
    key: str
    id: str = ""
    download: Parts = ()
    lasting: bool = False
    file: str = ""
    upload: int = 0
    late: bool = False


class Layout:
    """How a set of files is laid out: where the learners' names stand.

    A learner decides what lies in their own folder, so names that look like Moodle's or Canvas's
    count only where all names of that place can have been written by the system.
    """

    def __init__(self, files: Iterable[Parts], top: str) -> None:
        """Look at all of them.

        Args:
            files: The ways to the notebooks.
            top: What the folder or zip that holds them is called.
        """
        self.top = top
        self._within: dict[Parts, dict[str, None]] = {}
        for parts in files:
            for depth in range(len(parts)):
                self._within.setdefault(parts[:depth], {})[parts[depth]] = None
        self.notices: list[str] = []
        self.base = self._base()
        if any((*self.base, "submitted", one) in self._within for one in self._inside("submitted")):
            self.notices.append(
                f"{shown('/'.join((*self.base, 'submitted')))} was read as one learner's, since "
                "there are others beside it. If it is nbgrader's, grade it by itself."
            )
        self._downloads = {self.base, *self._classes(self.base)}

    def owner(self, parts: Parts) -> Owner | None:
        """Whose a file is; None for one that stands beside the submissions."""
        depth = max((d for d in range(len(parts)) if parts[:d] in self._downloads), default=-1)
        if depth < 0:
            return None
        download, name = parts[:depth], parts[depth]
        if match := _matched(name):
            return _of_system(match, download)
        if depth < len(parts) - 1 and not _is_zip(name):
            return Owner(cleaned(name), name, download=download)
        stem = _without_lesson(_stem(name))
        if not stem:  # the file is called after the lesson: its folder says whose it is
            above = [_without_lesson(_stem(one)) for one in (self.top, *download)]
            stem = next((one for one in reversed(above) if one), self.top)
        return Owner(cleaned(stem), stem, download=download)

    def _inside(self, name: str) -> Iterable[str]:
        return self._within.get((*self.base, name), ())

    def _base(self) -> Parts:
        base: Parts = ()
        while True:
            names = list(self._within.get(base, ()))
            if "submitted" in names and self._within.get((*base, "submitted")):
                others = set(names) - {"submitted"}
                if not others or others & _NBGRADER:
                    return (*base, "submitted")
            if len(names) != 1 or _matched(names[0]) or len(base) > 3:
                return base
            inside = (*base, names[0])
            called = _COPY.sub("", _stem(base[-1] if base else self.top))
            same = _COPY.sub("", names[0]) == called
            if not self._within.get(inside) or not (
                self._is_class(inside)
                or (same and self._holds_people(inside))
                or "submitted" in self._within[inside]
            ):
                return base
            base = inside

    def _classes(self, base: Parts) -> list[Parts]:
        """The downloads of whole classes among what stands beside each other."""
        names = list(self._within.get(base, ()))
        held = [(*base, name) for name in names if self._within.get((*base, name))]
        plain = [place for place in held if not _matched(place[-1])]
        # No learner names what stands here: a folder called after a lesson holds a class.
        lessons = [place for place in plain if not _without_lesson(_stem(place[-1]))]
        rest = [place for place in plain if place not in lessons]
        classes = [inside for place in rest if self._is_class(inside := self._down(place))]
        elsewhere = len(names) - len(lessons) - len(rest)  # notebooks, and names by a system
        if not classes and not elsewhere and len(rest) > 1:
            classes = rest if all(self._is_packed_class(place) for place in rest) else []
        elif not any(map(_matched, names)) and classes and (elsewhere or len(rest) > len(classes)):
            self.notices.extend(
                f"{shown(place[len(base)])} was read as one learner's, though names in it are as "
                "Moodle or Canvas write them. If it is the download of a class, grade it by itself."
                for place in classes
            )
            classes = []
        return [*lessons, *classes]

    def _down(self, place: Parts) -> Parts:
        """The first place from here that holds more than one folder."""
        while len(names := list(self._within[place])) == 1 and not _matched(names[0]):
            if not self._within.get((*place, names[0])):
                break
            place = (*place, names[0])
        return place

    def _is_class(self, place: Parts) -> bool:
        names = list(self._within[place])
        return bool(names) and all(_matched(name) for name in names)

    def _is_packed_class(self, place: Parts) -> bool:
        return _is_zip(place[-1]) and self._holds_people(place) and self._only_folders(place)

    def _holds_people(self, place: Parts) -> bool:
        names = [_without_lesson(_stem(name)) for name in self._within[place]]
        return len(names) > 1 and all(names)

    def _only_folders(self, place: Parts) -> bool:
        return all(self._within.get((*place, name)) for name in self._within[place])


def labels(owners: Iterable[tuple[Owner, str | None]]) -> Mapping[tuple[str, str], str]:
    """What each owner is called in the gradebook, by name and key: one label for each person.

    Owners of one name are one person, unless two of them stood in one download, handed in one
    lesson under two of Moodle's numbers, or have two of Canvas's.

    Args:
        owners: Each with the lesson that they handed in, where that is known.
    """
    keys: dict[str, dict[str, Owner]] = {}
    apart: dict[tuple[object, ...], set[str]] = {}
    for owner, lesson in owners:
        keys.setdefault(owner.name, {})[owner.key] = owner
        apart.setdefault((owner.name, owner.download), set()).add(owner.key)
        if owner.id and (owner.lasting or lesson):
            told = None if owner.lasting else lesson
            apart.setdefault((owner.name, "by", told), set()).add(owner.key)
    several = {str(where[0]) for where, found in apart.items() if len(found) > 1}
    taken = set(keys)
    result: dict[tuple[str, str], str] = {}
    for name in sorted(keys):
        first = True
        for key, owner in sorted(keys[name].items()):
            label = name
            if name in several and (owner.id or not first):
                label = _free(name, owner.id, taken)
            first = first and bool(owner.id)
            result[name, key] = label
    return result


def _free(name: str, id_: str, taken: set[str]) -> str:
    number = 2
    label = f"{name} ({id_ or number})"
    while label in taken:
        label = f"{name} ({id_}, {number})" if id_ else f"{name} ({number})"
        number += 1
    taken.add(label)
    return label


def cleaned(name: str) -> str:
    """A name as text for people: composed, in one line, of bounded length, never empty."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    kept = "".join(" " if breaks(one) else one for one in text[: 4 * _LONGEST] if not hidden(one))
    composed = unicodedata.normalize("NFC", " ".join(kept.split()))
    return composed[:_LONGEST].strip() or "(no name)"


def _matched(name: str) -> re.Match[str] | None:
    return _MOODLE.fullmatch(name) or _CANVAS_ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name)


def _of_system(match: re.Match[str], download: Parts) -> Owner:
    found = match.groupdict()
    canvas = "upload" in found
    id_ = found["id"]
    name = cleaned(found.get("name", f"anon {id_}"))
    return Owner(
        name=name,
        key=f"{found.get('name', '')}\0{id_}",
        id=id_[:30],
        download=download,
        lasting=canvas,
        file=found["file"],
        upload=int(found["upload"][:18]) if canvas else 0,
        late=bool(found.get("late")),
    )


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _stem(name: str) -> str:
    return re.sub(r"(\.ipynb(\.(txt|json))?|\.zip)$", "", name, flags=re.IGNORECASE)


def _without_lesson(stem: str) -> str:
    """What a name says beside the lesson's; a name that says no lesson stays whole."""
    number, said = _lessons()
    if number.fullmatch(_COPY.sub("", stem)):
        return ""
    found = said.search(stem)
    if not found:
        return stem
    rest = _COPY.sub("", f"{stem[: found.start()]}{stem[found.end() :]}".strip(" _.-"))
    return rest.strip(" _.-")


@cache
def _lessons() -> tuple[re.Pattern[str], re.Pattern[str]]:
    known = course.catalogue()
    names = "|".join(f"{one.name}|{one.name.replace('_', '-')}" for one in known)
    return (
        re.compile("|".join(one.number for one in known)),
        re.compile(rf"(?<![^\W_])(?:{names})(?![^\W_])", re.IGNORECASE),
    )
