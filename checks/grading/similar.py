"""Answers that are the same, or nearly: a hint where to look, never a verdict.

Two answers are compared as Python reads them. Comments, docstrings, imports and layout are gone;
names of the answer's own are numbered in the order of their first use, so that renaming changes
nothing; what the exercise asks for by name, and what comes from elsewhere, keeps its name.

People who were taught the same write the same, so most likeness says nothing. What counts is
likeness in what hardly anybody else has:

- The starter and the course's solution are in everybody's hands: what an answer shares with them is
  not counted, and an answer with little else (fewer than `OWN` passages, three lines or so) is left
  out.
- A form that more than a few of the class have (more than 4, and more than 5 in 100) is where
  everybody arrives, and is left out.
- Two different forms are called nearly the same when three quarters of what is their own, together,
  are in both, and at least `RARE` passages of it are in no more than a few answers of the class.

A passage is `WINDOW` symbols in a row. Answers are hostile: each is cut at `LONGEST` characters,
what Python cannot read is compared word by word, and nothing here raises or recurses.
"""

from __future__ import annotations

import ast
import re
import tempfile
import warnings
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from typing import IO, Self

from checks import filecells

LONGEST = 20_000  # characters of an answer
WINDOW = 5  # symbols of a passage
OWN = 24  # passages of an answer's own, below which it is too short to tell
RARE = 10  # passages that hardly anybody else has, below which likeness is chance
ALIKE = 0.75  # of what is two answers' own, the part that is in both
FEW, SHARE = 4, 0.05  # how many may share something that is still rare: the greater of the two
_MOST_PASSAGES = 1500  # of an answer
_MOST_SHARING = 12  # answers: a passage in more of them pairs nobody, so that time stays in bounds
_MOST_FORMS = 20_000  # forms of an exercise of which every passage is looked at
_MOST_KEPT = 40  # learners remembered of one form


@dataclass(frozen=True, slots=True)
class Alike:
    """Learners whose answers to one exercise are the same, or nearly.

    Attributes:
        exercise: The exercise's id.
        learners: Who, by name.
        sides: Two of the answers as they were handed in, the first two learners'.
        likeness: The part of their own that the two share, at most 1.
        to_the_letter: Whether the two are the same text, layout and comments included.
    """

    exercise: str
    learners: tuple[str, ...]
    sides: tuple[str, str]
    likeness: float
    to_the_letter: bool


@dataclass(slots=True)
class _Form:
    """One normal form: how often it came, who handed it in, and where its record waits."""

    count: int = 0
    learners: list[str] = field(default_factory=list)
    texts: list[tuple[int, int]] = field(default_factory=list)  # offset and size in the store
    passages: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class _Exercise:
    """What everybody has, and the forms that came in."""

    base: frozenset[int]
    given: frozenset[bytes]
    needs: frozenset[str]
    forms: dict[bytes, _Form] = field(default_factory=dict)
    answers: int = 0


class Comparison:
    """Collects answers one by one and compares them at the end.

    What it keeps in memory is a few hundred bytes an answer; texts and passages wait in a temporary
    file, which goes with the object.
    """

    def __init__(self) -> None:
        self._exercises: dict[str, _Exercise] = {}
        self._store: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def expects(self, exercise: str) -> bool:
        """True when it knows what the exercise is."""
        return exercise in self._exercises

    def expect(self, exercise: str, needs: Collection[str], given: Iterable[str]) -> None:
        """Say what an exercise is before its first answer.

        Args:
            exercise: The exercise's id.
            needs: The names that it asks for.
            given: What everybody has: the starter and the course's solution.
        """
        names = frozenset(needs)
        forms = [symbols(text, names) for text in given]
        self._exercises[exercise] = _Exercise(
            base=frozenset(one for form in forms for one in passages(form)),
            given=frozenset(_digest(form) for form in forms),
            needs=names,
        )

    def add(self, exercise: str, learner: str, answer: str) -> None:
        """Take an answer to an exercise that is expected; others are not compared."""
        known = self._exercises.get(exercise)
        text = answer[:LONGEST]
        if known is None or not text.strip():
            return
        form = symbols(text, known.needs)
        digest = _digest(form)
        if digest in known.given:
            return
        known.answers += 1
        same = known.forms.get(digest)
        if same is None:
            same = known.forms[digest] = _Form()
            same.passages = self._keep(array("L", sorted(passages(form))).tobytes())
        same.count += 1
        if len(same.learners) < _MOST_KEPT:
            same.learners.append(learner)
            same.texts.append(self._keep(text.encode("utf-8", "replace")))

    def alike(self) -> list[Alike]:
        """What is the same or nearly, the most alike first."""
        found = [
            one
            for exercise, known in self._exercises.items()
            for one in self._compare(exercise, known)
        ]
        return sorted(found, key=lambda one: (-one.likeness, one.exercise, one.learners))

    def _keep(self, record: bytes) -> tuple[int, int]:
        self._store.seek(self._end)
        self._store.write(record)
        place = self._end, len(record)
        self._end += len(record)
        return place

    def _read(self, place: tuple[int, int]) -> bytes:
        self._store.seek(place[0])
        return self._store.read(place[1])

    def _compare(self, exercise: str, known: _Exercise) -> Iterator[Alike]:
        few = max(FEW, int(known.answers * SHARE))
        forms = [one for one in known.forms.values() if one.count <= few]
        own = [self._own(form, known.base) for form in forms]
        told = [place for place, passages in enumerate(own) if len(passages) >= OWN]
        # Of a very large class every second or third passage will do to find pairs.
        step = 1 + len(known.forms) // _MOST_FORMS
        rare = self._rare(known, few, step)
        having = [(place, [one for one in own[place] if one in rare]) for place in told]
        joined = _Groups()
        likeness: dict[tuple[int, int], float] = {}
        for pair in _candidates(having, max(2, RARE // step)):
            one, other = (frozenset(own[place]) for place in pair)
            part = len(one & other) / len(one | other)
            if part >= ALIKE:
                likeness[pair] = part
                joined.join(*pair)
        best: dict[int, tuple[int, int]] = {}  # of each group the pair that is most alike
        for pair in likeness:
            top = joined.top(pair[0])
            best[top] = max(best.get(top, pair), pair, key=lambda one: (likeness[one], one))
        for top, group in joined.groups(told).items():
            members = [forms[place] for place in group]
            if top in best:
                nearest = [forms[place] for place in best[top]]
                yield self._told(exercise, members, nearest, likeness[best[top]])
            elif members[0].count > 1:
                yield self._told(exercise, members, members, 1.0)

    def _told(
        self, exercise: str, group: Sequence[_Form], nearest: Sequence[_Form], part: float
    ) -> Alike:
        """A group as the report tells it: first the two that are most alike."""
        same = next((form for form in group if form.count > 1), None)
        if same is not None:
            shown, part = list(zip(same.learners, same.texts, strict=True))[:2], 1.0
        else:
            shown = [(form.learners[0], form.texts[0]) for form in nearest]
        shown.sort()
        first, second = (self._read(place).decode() for _, place in shown)
        others = sorted(
            learner
            for form in group
            for learner, place in zip(form.learners, form.texts, strict=True)
            if (learner, place) not in shown
        )
        return Alike(
            exercise=exercise,
            learners=(*(learner for learner, _ in shown), *others),
            sides=(first, second),
            likeness=part,
            to_the_letter=first.strip() == second.strip(),
        )

    def _own(self, form: _Form, base: frozenset[int]) -> array[int]:
        kept = array("L")
        kept.frombytes(self._read(form.passages))
        return array("L", (one for one in kept if one not in base))

    def _rare(self, known: _Exercise, few: int, step: int) -> frozenset[int]:
        """Passages that more than one of the answers have, and no more than a few."""
        seen: Counter[int] = Counter()
        for form in known.forms.values():
            for one in self._own(form, known.base):
                if one % step == 0:
                    seen[one] += form.count
        return frozenset(one for one, count in seen.items() if 1 < count <= few)


class _Groups:
    """Which places have been joined, directly or through others."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def join(self, one: int, other: int) -> None:
        self._above[self.top(one)] = self.top(other)

    def groups(self, places: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for place in places:
            found[self.top(place)].append(place)
        return found

    def top(self, place: int) -> int:
        while (above := self._above.get(place, place)) != place:
            self._above[place] = self._above.get(above, above)
            place = above
        return place


def _candidates(
    answers: Iterable[tuple[int, Sequence[int]]], enough: int
) -> Iterator[tuple[int, int]]:
    """Pairs that share enough of what is rare, found through who has each passage."""
    having: dict[int, list[int]] = defaultdict(list)
    for place, rare in answers:
        for one in rare:
            having[one].append(place)
    shared: Counter[tuple[int, int]] = Counter()
    for places in having.values():
        if 1 < len(places) <= _MOST_SHARING:
            shared.update(combinations(places, 2))
    return (pair for pair, count in shared.items() if count >= enough)


# -- normal forms ---------------------------------------------------------------------------------
_WORD = re.compile(r"\w+|[^\w\s]")
_END = object()


def symbols(source: str, needs: Collection[str] = ()) -> list[str]:
    """An answer's normal form: its syntax tree as a list of symbols; never raises.

    Args:
        source: The answer.
        needs: Names that keep their names.
    """
    text = source[:LONGEST]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(filecells.as_python(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _WORD.findall(re.sub(r"#.*", "", text))
    return list(_Reader(tree, frozenset(needs)).symbols())


class _Reader:
    """Walks a tree with a stack of its own: a hostile one is deeper than Python may recurse."""

    def __init__(self, tree: ast.Module, needs: frozenset[str]) -> None:
        self._tree = tree
        self._imported: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._bound = self._bound_names() - needs

    def _bound_names(self) -> set[str]:
        """The answer's own names, but for those that stand in a class: those are attributes."""
        names: set[str] = set()
        within_class: set[int] = set()
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef):
                within_class.update(map(id, node.body))
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node)
            if id(node) in within_class:
                targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
                within_class.update(map(id, targets))
                continue
            match node:
                case ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.arg(arg=name):
                    names.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names.add(name)
                case ast.ClassDef(name=name):
                    names.add(name)
                case ast.ExceptHandler(name=str(name)):
                    names.add(name)
        return names

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                self._imported[alias.asname or alias.name] = alias.name
            elif alias.asname:
                self._imported[alias.asname] = alias.name

    def symbols(self) -> Iterator[str]:
        stack: list[object] = [self._tree]
        while stack:
            node = stack.pop()
            if node is _END:
                yield ")"
            elif isinstance(node, list):
                stack.append(_END)
                stack.extend(reversed(node))
            elif isinstance(node, ast.AST):
                if isinstance(node, ast.Import | ast.ImportFrom | ast.expr_context | ast.Load):
                    continue
                yield type(node).__name__
                stack.extend(reversed(self._parts(node)))
            elif node is not None:
                yield self._word(node)

    def _parts(self, node: ast.AST) -> list[object]:
        match node:
            case ast.Constant(value=value):
                return [value if isinstance(value, str) else _constant(value)]
            case ast.Name(id=name):
                return [self._name(name)]
        parts: list[object] = []
        for field_name, value in ast.iter_fields(node):
            if field_name in ("type_comment", "type_ignores", "kind"):
                continue
            if field_name == "body" and isinstance(value, list):
                parts.append([one for one in value if not _is_docstring(one)])
            elif field_name == "keywords" and isinstance(value, list):
                parts.append(sorted(value, key=lambda one: one.arg or ""))
            elif field_name in ("name", "arg") and isinstance(value, str):
                keyword = isinstance(node, ast.keyword)
                parts.append(value if keyword else self._name(value))
            elif isinstance(value, list | ast.AST):
                parts.append(value)
            elif value is not None:
                parts.append(str(value))
        return parts

    def _name(self, name: str) -> str:
        if name in self._bound:
            return f"n{self._numbers.setdefault(name, len(self._numbers))}"
        return self._imported.get(name, name)

    def _word(self, value: object) -> str:
        text = value if isinstance(value, str) else str(value)
        return text if len(text) <= 80 else _short(text)


def _constant(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:x}"  # decimal digits of a huge one would be refused
    return repr(value)


def _short(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def passages(form: Sequence[str]) -> set[int]:
    """Every run of `WINDOW` symbols of a normal form, as a number."""
    coded = [one.encode("utf-8", "replace") for one in form[: _MOST_PASSAGES + WINDOW - 1]]
    runs = range(max(1, len(coded) - WINDOW + 1))
    return {zlib.crc32(b"\0".join(coded[start : start + WINDOW])) for start in runs}


def _digest(form: Sequence[str]) -> bytes:
    return blake2b("\0".join(form).encode("utf-8", "replace"), digest_size=16).digest()
