"""Every generated page and file of the site, written among the sources that are ours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from checks import course
from checks.website import files, home, lesson, lessonpage, messages, outputs, recipes
from checks.website.lesson import Content
from checks.website.outputs import Drawn


def write(root: Path, docs: Path) -> list[Content]:
    """Write what is made from the lessons; what would say the same is left alone.

    Args:
        root: The repository.
        docs: The folder of the site's sources.

    Returns:
        The lessons.

    Raises:
        CourseError: a notebook is missing, or `errors.toml` cannot be read as one.
    """
    contents = [lesson.read(one) for one in course.catalogue(root)]
    drawn = {
        one.lesson.number: {cell.id: outputs.draw(cell.outputs) for cell in one.cells}
        for one in contents
    }
    every = [shown for cells in drawn.values() for shown in cells.values()]
    every.append(_home(docs))

    made: dict[str, str | bytes] = {"index.md": lessonpage.index(contents)}
    for one in contents:
        name = one.lesson.name
        made[f"{name}.md"] = lessonpage.render(one, drawn[one.lesson.number])
        made[f"{name}.ipynb"] = one.lesson.lesson_notebook.read_bytes()
        made[f"{name}.solved.ipynb"] = one.lesson.solved_notebook.read_bytes()
    files.keep_only(docs / "lessons", made)
    files.keep_only(
        docs / "generated" / "pictures",
        {name: data for shown in every for name, data in shown.pictures.items()},
    )

    met = messages.met(contents)
    files.write(docs / "recipes.md", recipes.page(contents, drawn))
    files.write(docs / "errors.md", messages.page(met, messages.remedies(docs / "errors.toml")))
    files.write(docs / "generated" / "parts.md", lessonpage.part_cards(contents) + "\n")
    files.write(docs / "generated" / "outputs.css", _styles(every))
    files.write(
        docs / "generated" / "catalogue.json",
        json.dumps([_entry(one) for one in contents], indent=1, ensure_ascii=False) + "\n",
    )
    return contents


def _home(docs: Path) -> Drawn:
    """The home page's cell; drawn anew only when what it depends on has changed."""
    source = (docs / "home.py").read_text(encoding="utf-8").strip()
    key = home.key(source)
    made, styles = docs / "generated" / "home.md", docs / "generated" / "home.css"
    if made.is_file() and styles.is_file() and made.read_text(encoding="utf-8").startswith(key):
        return Drawn(styles={styles.read_text(encoding="utf-8")})
    drawn = home.draw(source)
    files.write(styles, "".join(sorted(drawn.styles)))
    files.write(made, f"{key}\n\n{home.cell(source, drawn)}\n")
    files.write(docs / "generated" / "hero.html", f"{drawn.html}\n")
    return Drawn(styles={styles.read_text(encoding="utf-8")})


def _styles(every: Iterable[Drawn]) -> str:
    """The styles that the outputs brought along, each once."""
    return "\n".join(sorted({style for shown in every for style in shown.styles})) + "\n"


def _entry(content: Content) -> dict[str, Any]:
    return {
        "lesson": content.lesson.number,
        "name": content.lesson.name,
        "title": content.lesson.title,
        "part": content.lesson.part.title,
        "page": f"lessons/{content.lesson.name}/",
        "exercises": [
            {
                "exercise": entry.id,
                "title": entry.card.title,
                "points": entry.card.points(),
                "statement": entry.card.statement(),
            }
            for entry in content.lesson.exercises
        ],
    }
