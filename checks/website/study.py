"""Cards and quiz questions: read from beside the masters, checked, written for the study pages."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import markdown
from markdown.blockprocessors import ParagraphProcessor
from markdown.util import Registry
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from checks import course
from checks.authoring import master
from checks.errors import CourseError
from checks.website import anki, bundle, computed, files, scheduler

DECK = "dog-eared.apkg"

_TOOLS = ("fastapi", "genanki", "markdown", "pydantic", "pygments", "sqlalchemy")


class StudyError(CourseError):
    """Study data that does not hold, as a sentence for its author."""


def _in_words(text: str) -> str:
    prose = re.sub(r"`[^`]*`", "", text)
    if "<" in prose:
        raise ValueError("has a `<` outside backticks; these texts are Markdown without HTML")
    if "\n\n" in text:
        raise ValueError("has several paragraphs; say it in one")
    return text


Text = Annotated[str, Field(min_length=1)]
Id = Annotated[str, Field(pattern=rf"^{course.NUMBER}\.[a-z0-9_]+$")]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Card(_Data):
    """One thing worth remembering.

    Attributes:
        id: `NN.name`. It stays when the words change: learners' schedules hang on it.
        heading: The lesson's heading that explains it.
        question: What the front asks, as Markdown.
        answer: What the back says, as Markdown.
    """

    id: Id
    heading: Text
    question: Text
    answer: Text

    @model_validator(mode="after")
    def _speaks_markdown(self) -> Card:
        for text in (self.question, self.answer):
            _in_words(text)
        return self


class Question(_Data):
    """One question with several answers, of which one is right.

    Attributes:
        id: `NN.name`, stable as a card's.
        heading: The lesson's heading that explains it.
        level: 1 for what was said, 2 for what was shown, 3 for what must be worked out.
        question: What is asked, as Markdown.
        code: Code to read, where none of the lesson's own is shown.
        cells: A piece of the text of each cell of the lesson that is shown.
        ask: An expression; the right answer is its value after the last of the cells has run.
        right: The right answer, where it is not computed.
        wrong: Answers that are real mistakes.
        because: Why the right one is right, and how one comes by the others.
    """

    id: Id
    heading: Text
    level: Literal[1, 2, 3]
    question: Text
    code: str | None = None
    cells: tuple[Text, ...] = ()
    ask: str | None = None
    right: str | None = None
    wrong: tuple[Text, ...] = Field(min_length=2, max_length=5)
    because: Text

    @model_validator(mode="after")
    def _has_one_right_answer(self) -> Question:
        for text in (self.question, self.because, self.right or "", *self.wrong):
            _in_words(text)
        if (self.ask is None) == (self.right is None):
            raise ValueError("needs one right answer: either `right`, or `ask` to compute it")
        if self.ask is not None and not self.cells:
            raise ValueError("`ask` needs `cells`: what is to run before it is asked")
        if self.code is not None and self.cells:
            raise ValueError("shows either `code` or the lesson's `cells`, not both")
        self.options(self.right or "")
        return self

    def options(self, right: str) -> list[str]:
        """The right answer, then the wrong ones.

        Raises:
            ValueError: two of them say the same.
        """
        options = [right, *self.wrong]
        said = [re.sub(r"[\W_]+", " ", option).strip().lower() or option for option in options]
        if twice := [option for n, option in enumerate(options) if said[n] in said[:n]]:
            raise ValueError(f"the answer {twice[0]!r} is there twice; change the wrong one")
        return options


class Study(_Data):
    """What there is to study in one lesson."""

    cards: tuple[Card, ...] = Field(min_length=5, max_length=10)
    quiz: tuple[Question, ...] = Field(min_length=3, max_length=5)

    @model_validator(mode="after")
    def _names_each_once(self) -> Study:
        ids = [card.id for card in self.cards] + [one.id for one in self.quiz]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"the id {twice[0]} is there twice; rename one of them")
        return self


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a lesson's page: what it says, and its anchor."""

    title: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to study in a lesson, and the lesson that it leads into.

    Attributes:
        lesson: The lesson.
        study: Its cards and questions.
        cells: The cells of its master.
        headings: The headings of its page, in order.
    """

    lesson: course.Lesson
    study: Study
    cells: list[master.Cell]
    headings: list[Heading]

    def heading(self, title: str) -> Heading:
        """The heading that says this, backticks or not."""
        return next(one for one in self.headings if _plain(one.title) == _plain(title))


def path_of(lesson: course.Lesson) -> Path:
    """Where a lesson's cards and questions are."""
    return lesson.master.with_suffix(".toml")


def read(lesson: course.Lesson) -> Material:
    """A lesson's cards and questions.

    Raises:
        StudyError: the file is missing or does not hold what it must, or a link leads nowhere.
    """
    path = path_of(lesson)
    try:
        study = parse(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise StudyError(f"solutions/{path.name} is missing; write the lesson's cards.") from error
    cells = master.read(lesson.master)
    found = headings(cell.solved for cell in cells if cell.role == "prose")
    known = {_plain(one.title) for one in found}
    linked: tuple[Card | Question, ...] = (*study.cards, *study.quiz)
    for one in linked:
        if not one.id.startswith(f"{lesson.number}."):
            raise StudyError(f"{path.name}: {one.id} must begin with {lesson.number}.")
        if _plain(one.heading) not in known:
            raise StudyError(
                f"{path.name}: {one.id} leads to {one.heading!r}, which is no heading of "
                f"{lesson.master.name}; choose one of the lesson's headings."
            )
    return Material(lesson, study, cells, found)


def parse(text: str, name: str) -> Study:
    """Study data from a TOML text.

    Args:
        text: The text.
        name: What to call it in a complaint.

    Raises:
        StudyError: it is not TOML, or not study data.
    """
    try:
        return Study.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{name} is not TOML: {error}. Mend that line.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        what = first["msg"].removeprefix("Value error, ")
        raise StudyError(f"{name}: {place}: {what}.") from error


def headings(prose: Iterable[str]) -> list[Heading]:
    """The headings of a lesson's prose, in order, with the anchors that its page gives them."""
    reader = markdown.Markdown(extensions=["fenced_code", "toc"])
    reader.convert("\n\n".join(prose))
    tokens: list[dict[str, Any]] = reader.toc_tokens
    return [Heading(_backticks(one["html"]), one["id"]) for one in _flat(tokens)]


def write(root: Path, docs: Path) -> Path:
    """Write `generated/study.json` and the Anki deck; quick when nothing has changed.

    The cards' scheduler comes by npm. Without it the page of the cards says so; what to do about
    it is said where the rest is built that needs npm.

    Args:
        root: The repository.
        docs: The pages' folder.

    Returns:
        The JSON file.

    Raises:
        StudyError: a lesson has no data, or they do not hold.
    """
    lessons = course.catalogue(root)
    target, deck = docs / "generated" / "study.json", docs / "generated" / DECK
    made_from = _fingerprint(root, lessons)
    with contextlib.suppress(bundle.BundleError):
        scheduler.write(root, docs)
    if deck.exists() and _made_from(target) == made_from:
        return target
    materials = [read(lesson) for lesson in lessons]
    answers = _answers(materials)
    data: dict[str, Any] = {
        "version": 1,
        "made_from": made_from,
        "parts": list(dict.fromkeys(lesson.part.title for lesson in lessons)),
        "lessons": [_lesson(material, answers) for material in materials],
    }
    anki.write(deck, [_notes(one) for one in data["lessons"]])
    files.write(target, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    return target


# -- answers --------------------------------------------------------------------------------------
def _answers(materials: Iterable[Material]) -> dict[str, str]:
    """The computed answers by question; each lesson runs in a process of its own."""
    asked: dict[Path, list[computed.Ask]] = {}
    for material in materials:
        found = [
            computed.Ask(one.id, _places(material, one)[-1], one.ask)
            for one in material.study.quiz
            if one.ask is not None
        ]
        if found:
            asked[material.lesson.master] = found
    return computed.answers(asked)


def _places(material: Material, question: Question) -> list[int]:
    places = []
    name = path_of(material.lesson).name
    for piece in question.cells:
        found = [
            place
            for place, cell in enumerate(material.cells)
            if cell.role in ("code", "exercise") and piece in cell.solved
        ]
        if len(found) != 1:
            raise StudyError(
                f"{name}: {question.id} shows the cell with {piece!r}, and "
                f"{material.lesson.master.name} has {len(found)} of them; quote what only one "
                "cell says."
            )
        places += found
    if places != sorted(places):
        raise StudyError(f"{name}: {question.id} shows cells out of order; list them as they run.")
    return places


# -- JSON -----------------------------------------------------------------------------------------
def _lesson(material: Material, answers: dict[str, str]) -> dict[str, Any]:
    lesson, study = material.lesson, material.study
    page = f"lessons/{lesson.name}/"

    def link(title: str) -> dict[str, str]:
        found = material.heading(title)
        return {"page": page, "anchor": found.anchor, "title": _inline(found.title)}

    return {
        "lesson": lesson.number,
        "name": lesson.name,
        "title": lesson.title,
        "part": lesson.part.title,
        "page": page,
        "exercises": _exercises(material),
        "cards": [
            {
                "id": card.id,
                "question": _inline(card.question),
                "answer": _inline(card.answer),
                "link": link(card.heading),
            }
            for card in study.cards
        ],
        "quiz": [
            _question(material, one, answers) | {"link": link(one.heading)} for one in study.quiz
        ],
    }


def _question(material: Material, question: Question, answers: dict[str, str]) -> dict[str, Any]:
    right = question.right if question.ask is None else answers[question.id]
    try:
        options = question.options(right or "")
    except ValueError as error:
        raise StudyError(f"{path_of(material.lesson).name}: {question.id}: {error}.") from error
    code = question.code or "\n\n".join(
        _shown(material.cells[place].solved) for place in _places(material, question)
    )
    return {
        "id": question.id,
        "level": question.level,
        "question": _inline(question.question),
        "code": _code(code) if code else "",
        "computed": question.ask is not None,
        "options": [
            {"html": _inline(option), "right": place == 0} for place, option in enumerate(options)
        ],
        "because": _inline(question.because),
    }


def _exercises(material: Material) -> list[dict[str, Any]]:
    """Each exercise with the heading that it stands under."""
    under: dict[str, str] = {}
    passed = 0  # headings above
    for cell in material.cells:
        if cell.role == "prose":
            passed += len(headings([cell.solved]))
        elif cell.role == "exercise" and cell.exercise:
            under[cell.exercise] = material.headings[passed - 1].anchor
    return [
        {
            "exercise": entry.id,
            "title": entry.card.title,
            "points": entry.card.points(),
            "anchor": under[entry.id],
        }
        for entry in material.lesson.exercises
    ]


def _notes(lesson: dict[str, Any]) -> anki.Lesson:
    return anki.Lesson(
        number=lesson["lesson"],
        title=lesson["title"],
        notes=[
            anki.Note(card["id"], card["question"], card["answer"], card["link"]["title"])
            for card in lesson["cards"]
        ],
    )


def _shown(source: str) -> str:
    """A cell's text as one reads it: without the line that only draws the timeline."""
    lines = source.rstrip().splitlines()
    return "\n".join(lines[:-1] if lines[-1] == "seen" else lines).rstrip()


def _backticks(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"</?code>", "`", text)))


def _flat(tokens: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for token in tokens:
        yield token
        yield from _flat(token["children"])


def _plain(title: str) -> str:
    return title.replace("`", "").strip()


def _inline(text: str) -> str:
    """One paragraph of Markdown as HTML, without the paragraph: `4. Deleting` is no list here."""
    reader = markdown.Markdown()
    reader.parser.blockprocessors = Registry()
    reader.parser.blockprocessors.register(ParagraphProcessor(reader.parser), "paragraph", 10)
    made: str = reader.convert(text)
    return made.removeprefix("<p>").removesuffix("</p>")


def _code(source: str) -> str:
    made: str = highlight(
        source.strip("\n"), PythonLexer(), HtmlFormatter(cssclass="highlight", wrapcode=True)
    )
    return made


# -- whether anything has changed -----------------------------------------------------------------
def _fingerprint(root: Path, lessons: list[course.Lesson]) -> str:
    package = root / "checks"
    sources = [
        *(path for one in lessons for path in (one.master, path_of(one)) if path.exists()),
        package / "course.py",
        *sorted((package / "authoring").glob("*.py")),
        *sorted((package / "observe").glob("*.py")),
        *sorted((package / "lessons").glob("*.py")),
        *(Path(module.__file__ or "") for module in (anki, computed)),
        Path(__file__),
    ]
    made = hashlib.sha256()
    for path in sources:
        made.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for tool in _TOOLS:
        made.update(f"{tool} {metadata.version(tool)}\0".encode())
    return made.hexdigest()


def _made_from(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["made_from"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""
