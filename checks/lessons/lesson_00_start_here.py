"""Lesson 00, start here: a first endpoint, and a book that was never kept."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine

from checks.exercise import Exercise, Seen, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.words import counted

HOURS = {"open": "09:00", "close": "18:00"}


class OpeningHours(Exercise):
    """`GET /hours` answers with the shop's opening hours as JSON."""

    id = "00.opening_hours"
    title = "The opening hours"
    needs = {"app": FastAPI}
    hints = (
        "The function under `@app.get(...)` returns a Python dict, and FastAPI turns it into JSON.",
        'Return a dict with two keys, "open" and "close", and the times as strings.',
        'return {"open": "09:00", "close": "18:00"}',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        return {"hours": lab.request("GET", "/hours")}

    @requirement(1, shows="hours")
    def the_path_answers(self, seen: Seen) -> None:
        """`GET /hours` is answered with 200."""
        hours = seen.step("hours")
        expect(
            hours.status == 200,
            saw=f"{hours.heard}.",
            wanted="It should answer 200, which FastAPI does by itself when a function returns.",
        )

    @requirement(1, shows="hours")
    def the_hours_are_right(self, seen: Seen) -> None:
        """The body says when the shop opens and closes."""
        hours = seen.step("hours")
        expect(
            hours.body == HOURS,
            saw=f"The body was `{json.dumps(hours.body)}`."
            if hours.status == 200
            else "There are no hours in that answer.",
            wanted=f"It should be `{json.dumps(HOURS)}`.",
        )

    @mistake(shows="hours")
    def another_method(self, seen: Seen) -> bool:
        """The path is there, but not for GET: the app answered 405, Method Not Allowed. Put
        `@app.get("/hours")` on the function."""
        return seen.step("hours").status == 405

    @mistake(shows="hours")
    def another_path(self, seen: Seen) -> bool:
        """The app has no `/hours`: it answered 404. Compare the path in `@app.get("...")` letter by
        letter with the one in the exercise, the slash included."""
        return seen.step("hours").status == 404

    @mistake(shows="hours")
    def returned_nothing(self, seen: Seen) -> bool:
        """The body was `null`: the function ran to its end without a `return`, perhaps because it
        prints the hours. What a client gets is what the function returns."""
        hours = seen.step("hours")
        refused = hours.error == "ResponseValidationError" and "it is None" in hours.error_message
        return refused or (hours.body is None and hours.status in (200, 500))

    @mistake(shows="hours", marks=("error",))
    def not_as_announced(self, seen: Seen) -> bool:
        """The function returned something else than the `dict[str, str]` that it announces, so
        FastAPI refused to send it and answered 500; the exception says what it found. Return a
        dict whose keys and values are strings, in quotation marks."""
        return seen.step("hours").error == "ResponseValidationError"

    @mistake(shows="hours", marks=("error",))
    def raised(self, seen: Seen) -> bool:
        """Your function raised an exception, so the client heard 500. The timeline names the
        exception and your line: mend that line, run the cell, check again."""
        return seen.step("hours").status == 500

    @mistake(shows="hours")
    def a_string_of_json(self, seen: Seen) -> bool:
        """The body was a string that looks like JSON: it was encoded twice, once by you and once by
        FastAPI. Return the dict itself."""
        body = seen.step("hours").body
        return isinstance(body, str) and "09:00" in body and "{" in body


class KeepTheBook(Exercise):
    """A book that `POST /books` has answered with 201 is in the database and stays there."""

    id = "00.keep_the_book"
    title = "The book that was not there"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "On the timeline, look at what follows the INSERT. Is that how a change is kept?",
        "A transaction ends in `commit` or in `rollback`. Leaving the `with` block picks for you.",
        "Call `session.commit()` after `session.add(...)`, before the `with` block ends.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        title, pence = lab.word().title(), lab.number(100, 900)
        added = lab.request("POST", "/books", json={"title": title, "pence": pence})
        listed = lab.request("GET", "/books")
        rows = lab.rows("SELECT title, pence FROM book WHERE title = :title", title=title)
        return {"title": title, "pence": pence, "added": added, "listed": listed, "rows": rows}

    @requirement(1, shows="added")
    def answers_created(self, seen: Seen) -> None:
        """`POST /books` answers 201."""
        added = seen.step("added")
        expect(
            added.status == 201,
            saw=f"{added.heard}.",
            wanted="A new book should be answered with 201 Created.",
        )

    @requirement(2, shows="added")
    def the_row_is_there(self, seen: Seen) -> None:
        """Afterwards the book is a row in the database."""
        wanted = {"title": seen["title"], "pence": seen["pence"]}
        expect(
            seen["rows"] == [wanted],
            saw=f"The table `book` holds {_rows(seen['rows'])} for that title.",
            wanted=f"It should hold exactly one, with {seen['pence']} pence.",
            why="A 201 is a promise. The client will not ask again.",
        )

    @requirement(1, shows="listed")
    def the_list_shows_it(self, seen: Seen) -> None:
        """The next `GET /books` shows it."""
        listed = seen.step("listed")
        titles = listed.body if isinstance(listed.body, list) else []
        expect(
            listed.status == 200 and seen["title"] in titles,
            saw=f"{listed.heard}, and the new title is not in the list.",
            wanted=f"`{seen['title']}` should be in it.",
        )

    @mistake(shows="added", marks=("commit",))
    def committed_before_adding(self, seen: Seen) -> bool:
        """There is a commit, but the INSERT comes after it, if at all: whatever was added later was
        rolled back at the end. Commit once, last, when everything has been added."""
        timeline = seen.step("added").timeline
        return not seen["rows"] and bool(timeline.writes) and timeline.commits > 0

    @mistake(shows="added", marks=("rollback",))
    def never_committed(self, seen: Seen) -> bool:
        """The INSERT was sent and then rolled back: nobody committed, so leaving the `with` block
        threw the change away. `flush()` sends SQL, `commit()` keeps it."""
        timeline = seen.step("added").timeline
        return bool(timeline.writes) and not timeline.commits

    @mistake(shows="added")
    def never_sent(self, seen: Seen) -> bool:
        """No INSERT reached the database at all: the book was made, but the session was closed, or
        never told of it, before it could send anything. Between `session.add(...)` and the end of
        the `with` block there must be a `commit()`, brackets included: without them nothing is
        called."""
        added = seen.step("added")
        return added.status == 201 and not added.timeline.writes

    @mistake(shows="added")
    def written_twice(self, seen: Seen) -> bool:
        """The book was written more than once: the timeline shows more than one INSERT. Add it to
        the session once, commit once."""
        return len(seen["rows"]) > 1

    @mistake(shows="added", marks=("error",))
    def used_after_closing(self, seen: Seen) -> bool:
        """The book was kept, and then your function looked at it once more, outside the `with`
        block. After a commit an object has to be read again, and its session was closed. Return
        `new.title`, or read the title before the block ends."""
        return seen.step("added").error == "DetachedInstanceError"

    @mistake(shows="added", marks=("error",))
    def fell_over(self, seen: Seen) -> bool:
        """Your function raised an exception, so the client heard 500. The timeline names the
        exception and your line: mend that line, run the cell, check again."""
        return seen.step("added").status == 500


def _rows(rows: list[Any]) -> str:
    return counted(len(rows), "row") if rows else "no row"


EXERCISES = (OpeningHours, KeepTheBook)
