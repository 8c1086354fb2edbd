"""The cards as an Anki deck: one file, a subdeck for each lesson."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import genanki

from checks.website import files

_MODEL = 1_608_203_417  # any number, and always this one: Anki knows a note's type by it
_STYLE = """
.card { font: 20px/1.5 system-ui, sans-serif; text-align: left; max-width: 34em; margin: auto; }
code { font-size: .9em; }
.where { margin-top: 1.5em; font-size: .75em; opacity: .7; }
"""


@dataclass(frozen=True, slots=True)
class Note:
    """One card, its texts as HTML.

    Attributes:
        id: The card's id.
        question: The front.
        answer: The back.
        where: The lesson's heading that explains it.
    """

    id: str
    question: str
    answer: str
    where: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson's notes."""

    number: str
    title: str
    notes: Sequence[Note]


def write(path: Path, lessons: Sequence[Lesson]) -> None:
    """Write the deck.

    A card keeps its identity when its words change, so importing a newer deck updates the cards
    and leaves their schedules alone.
    """
    model = genanki.Model(
        _MODEL,
        "Dog-Eared",
        fields=[{"name": "Question"}, {"name": "Answer"}, {"name": "Where"}],
        templates=[
            {
                "name": "Card",
                "qfmt": "{{Question}}",
                "afmt": '{{FrontSide}}<hr id="answer">{{Answer}}<p class="where">{{Where}}</p>',
            }
        ],
        css=_STYLE,
    )
    decks = []
    for lesson in lessons:
        name = f"Dog-Eared::{lesson.number} {lesson.title}"
        deck = genanki.Deck(_number(f"lesson {lesson.number}"), name)
        for note in lesson.notes:
            where = f"Lesson {lesson.number}: {note.where}"
            deck.add_note(
                genanki.Note(
                    model=model,
                    fields=[note.question, note.answer, where],
                    guid=genanki.guid_for("dog-eared", note.id),
                    tags=[f"lesson-{lesson.number}"],
                )
            )
        decks.append(deck)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / path.name
        genanki.Package(decks).write_to_file(str(made))
        files.write(path, made.read_bytes())


def _number(name: str) -> int:
    """A deck's number: always the same for a name, and below 2 to the 31st."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1
