"""Lessons as pages of a small site with the one bundle in it, served below a sub-path."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from checks import course
from checks.verdict import VERDICT_TYPE
from checks.website import bundle
from checks.website.lesson import read


@dataclass(frozen=True, slots=True)
class PageCell:
    """A code cell as the site's pages describe it."""

    id: str
    role: str
    source: str
    exercise: str | None = None
    recorded: bool = False


def site(folder: Path) -> Path:
    """A site without pages as yet, below a sub-path; gives its folder."""
    docs = folder / "course"
    sources = course.root() / "site"
    shutil.copytree(sources / "assets" / "run", docs / "assets" / "run")
    made = bundle.write(course.root(), sources)
    shutil.copytree(made.folder, docs / "generated" / "run")
    return docs


def write(docs: Path, name: str, cells: list[PageCell]) -> None:
    """A page with these cells, marked up as the site does it."""
    data = json.dumps(
        {"lesson": name.partition("_")[0], "name": name, "cells": [asdict(one) for one in cells]}
    )
    blocks = "".join(
        f'<div class="de-cell" id="cell-{one.id}" data-cell="{one.id}" data-role="{one.role}">'
        f'<div class="highlight"><pre><code>{escape(one.source)}</code></pre></div>'
        f'<div class="de-output" data-output>recorded {one.id}</div></div>{_folded(one)}'
        for one in cells
    )
    page = docs / "lessons" / name / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{name}</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<link rel='icon' href='data:,'><main>{blocks}</main>"
        f"<script type='application/json' id='de-lesson'>{data.replace('<', chr(92) + 'u003c')}"
        "</script><script type='module' src='../../assets/run/boot.mjs'></script></html>",
        encoding="utf-8",
    )


def _folded(one: PageCell) -> str:
    """Hints and solution, between an exercise's cell and its check."""
    if one.role != "exercise":
        return ""
    hints = "".join(
        f'<details class="de-hint" data-hint="{number}"><summary>Hint {number}</summary></details>'
        for number in (1, 2)
    )
    solution = '<details class="de-solution"><summary>Solution</summary></details>'
    return f'<section data-exercise="{one.exercise}">{hints}{solution}</section>'


def cells_of(lesson: course.Lesson, solved: bool = False) -> list[PageCell]:
    """A lesson's code cells, as shipped or as solved."""
    content = read(lesson)
    return [
        PageCell(
            cell.id,
            cell.role,
            cell.solved if solved else cell.shipped,
            cell.exercise,
            cell.id in content.recorded,
        )
        for cell in content.cells
        if cell.role != "prose"
    ]


_HARNESS = """([base, file]) => {
  const worker = new Worker(base + "assets/run/" + file, { type: "module" });
  let heard = [], wake;
  worker.onmessage = ({ data }) => {
    if (data.type !== "loading") heard.push(data);
    if (["ready", "done", "broken"].includes(data.type)) wake(heard);
  };
  worker.onerror = ({ message }) => wake([{ type: "broken", reason: message }]);
  window.ask = (message) => new Promise((resolve) => {
    heard = [];
    wake = resolve;
    worker.postMessage(message);
  });
}"""


class PagePython:
    """The page's Python without the page: messages in, messages out."""

    def __init__(self, page: Page, address: str, worker: str = "worker.mjs") -> None:
        self._page = page
        page.goto(f"{address}generated/run/manifest.json")
        page.evaluate(_HARNESS, [address, worker])
        kept = {"version": 1, "attempts": [], "hints": {}}
        boot = {"type": "boot", "base": f"{address}generated/run/", "kept": kept}
        (ready,) = [one for one in self._ask(boot) if one["type"] in ("ready", "broken")]
        assert ready["type"] == "ready", ready
        self.marks: dict[str, float] = ready["marks"]

    def restart(self) -> None:
        """Forget every name."""
        self._page.evaluate("ask({ type: 'restart' }), 0")

    def run(self, source: str, cell: str = "cell") -> list[dict[str, Any]]:
        """What one cell makes of itself."""
        return self._ask({"type": "run", "cell": cell, "source": source})

    def verdict(self, exercise: str) -> tuple[str, str | None]:
        """Status and named mistake, as `check` says."""
        return verdict_in(self.run(f'from checks import check\ncheck("{exercise}")'))

    def _ask(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = self._page.evaluate("(message) => ask(message)", message)
        return heard


def verdict_in(messages: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Status and named mistake of the card among these messages."""
    found = [one["data"][VERDICT_TYPE] for one in messages if VERDICT_TYPE in one.get("data", {})]
    assert found, messages
    return found[-1]["status"], found[-1]["mistake"]
