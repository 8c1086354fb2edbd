"""A new lesson that already runs: master, checks, answers and cards, with one exercise."""

from __future__ import annotations

from pathlib import Path
from string import Template

from checks import course
from checks.errors import CourseError


class ScaffoldError(CourseError):
    """Why a lesson cannot be begun, as a sentence for its author."""


def new(name: str, root: Path) -> list[Path]:
    """Write the four files of a lesson.

    Args:
        name: Number and slug: `04_async_setup`.
        root: The repository.

    Returns:
        The files written.

    Raises:
        ScaffoldError: the name is not one for a lesson, or its number is taken.
    """
    match = course.NAME.fullmatch(name)
    if match is None:
        raise ScaffoldError(
            f"{name!r} cannot name a lesson. Use two digits and words in lower case, all joined "
            "by underscores: 04_async_setup."
        )
    number = match["number"]
    taken = sorted((root / "solutions").glob(f"{number}_*.py"))
    if taken:
        raise ScaffoldError(
            f"Lesson {number} is there already: {taken[0].name}. Take another number, or edit that."
        )
    said = {
        "number": number,
        "name": name,
        "title": match["slug"].replace("_", " ").capitalize(),
    }
    files = {
        root / "solutions" / f"{name}.py": _MASTER,
        root / "solutions" / f"{name}.toml": _STUDY,
        root / "checks" / "lessons" / f"lesson_{name}.py": _CHECKS,
        root / "checks" / "answers" / f"lesson_{name}.py": _ANSWERS,
    }
    for path in files:
        if path.exists():
            raise ScaffoldError(f"{path} is there already; move it away first.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(text).substitute(said), encoding="utf-8", newline="\n")
    return list(files)


_MASTER = """\
# %% [markdown]
# # $number $title
#
# The promise, in two or three lines: what the learner will be able to do. Then the incident at
# 2 a.m. that this lesson prevents.

# %% tags=["setup"]
from fastapi import FastAPI
from fastapi.testclient import TestClient

from checks import TODO, check, hint, progress, solution, trace

# %% [markdown]
# ### Exercise 1: the greeting
#
# Make `GET /greeting` answer with the JSON string `"Welcome to Dog-Eared"`.

# %% exercise="$number.greeting"
app = FastAPI()


@app.get("/greeting")
def greeting() -> str:
    # BEGIN STARTER
    # return TODO
    # END STARTER
    # BEGIN SOLUTION
    return "Welcome to Dog-Eared"
    # END SOLUTION


# %% check="$number.greeting"
check("$number.greeting")
"""

_STUDY = (
    """\
# What to remember of lesson $number, as cards and as quiz questions. An id stays when the words
# change: learners' schedules and scores hang on it.
"""
    + "".join(
        f"""
[[cards]]
id = "$number.card_{number}"
heading = "Exercise 1: the greeting"
question = "{number}: one idea worth remembering, as a question?"
answer = "Its answer, in plain words."
"""
        for number in range(1, 6)
    )
    + """
[[quiz]]
id = "$number.quiz_said"
level = 1
heading = "Exercise 1: the greeting"
question = "What does `GET /greeting` answer with?"
right = "A JSON string"
wrong = ["A JSON object", "HTML"]
because = "What a function returns is what becomes JSON."

[[quiz]]
id = "$number.quiz_shown"
level = 2
heading = "Exercise 1: the greeting"
question = "This function returns a string. Which status does the client get?"
cells = ["def greeting("]
ask = "TestClient(app).get('/greeting').status_code"
wrong = ["201", "204", "404"]
because = "Nothing else was said, so it is 200. The answer comes from running the cell."

[[quiz]]
id = "$number.quiz_worked_out"
level = 3
heading = "Exercise 1: the greeting"
question = "And when the function ends without a `return`?"
right = "200, with the body `null`"
wrong = ["204, without a body", "500"]
because = "`None` is a value like any other, and JSON spells it `null`."
"""
)

_CHECKS = '''\
"""Lesson $number, $title: what its exercises demand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from checks.exercise import Exercise, Seen, expect, mistake, requirement
from checks.observe.lab import Lab


class Greeting(Exercise):
    """`GET /greeting` answers with the shop's greeting."""

    id = "$number.greeting"
    title = "The greeting"
    needs = {"app": FastAPI}
    hints = (
        "What a client gets is what the function returns.",
        'return "Welcome to Dog-Eared"',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        return {"greeting": lab.request("GET", "/greeting")}

    @requirement(1, shows="greeting")
    def greets(self, seen: Seen) -> None:
        """The body is the greeting, word for word."""
        greeting = seen.step("greeting")
        expect(
            greeting.status == 200 and greeting.body == "Welcome to Dog-Eared",
            saw=f"{greeting.heard} with `{greeting.body}`.",
            wanted="It should answer 200 with `Welcome to Dog-Eared`.",
        )

    @mistake(shows="greeting")
    def returned_nothing(self, seen: Seen) -> bool:
        """The body was `null`: the function ended without a `return`. Return the greeting."""
        return seen.step("greeting").body is None


EXERCISES = (Greeting,)
'''

_ANSWERS = '''\
"""Answers to lesson $number, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

ANSWERS: tuple[Answer, ...] = (
    right(
        "$number.greeting",
        "async",
        """
app = FastAPI()

@app.get("/greeting")
async def greet():
    return "Welcome to Dog-Eared"
""",
    ),
    right(
        "$number.greeting",
        "a router's way",
        """
app = FastAPI()
app.add_api_route("/greeting", lambda: "Welcome " + "to Dog-Eared")
""",
    ),
    wrong(
        "$number.greeting",
        "prints it",
        """
app = FastAPI()

@app.get("/greeting")
def greeting():
    print("Welcome to Dog-Eared")
""",
        "returned_nothing",
    ),
    wrong(
        "$number.greeting",
        "misspelt",
        """
app = FastAPI()

@app.get("/greeting")
def greeting():
    return "Welcome to Dogeared"
""",
    ),
    wrong(
        "$number.greeting",
        "another path",
        """
app = FastAPI()

@app.get("/greet")
def greeting():
    return "Welcome to Dog-Eared"
""",
    ),
    wrong(
        "$number.greeting",
        "an object",
        """
app = FastAPI()

@app.get("/greeting")
def greeting():
    return {"greeting": "Welcome to Dog-Eared"}
""",
    ),
)
'''
