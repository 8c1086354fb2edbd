"""Lessons in a web page, in a real browser: run, stop, edit, be checked, come back to it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Playwright, expect, sync_playwright

from checks import blocks, course
from checks.answers import Answer
from checks.authoring import master
from checks.journal import read_record
from checks.tests import browser, page_cells, pages, servers
from checks.tests.conftest import require
from checks.tests.pages import PageCell, PagePython

pytestmark = pytest.mark.browser

LOADED = 120_000  # milliseconds that a busy machine may take to load Python
ENDED = {"firefox": "undefined"}  # what it logs of a worker that was ended, where no page hears it
SAMPLE = 12  # answers that a plain run tries


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(shutil.which("npm"), "There is no npm to get the page's Python with.")
    return pages.site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def address(docs: Path) -> Iterator[str]:
    with servers.static(docs, below="/course/") as address:
        yield address


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def chromium(driver: Playwright) -> Iterator[Browser]:
    with browser.chromium(driver) as running:
        yield running


@pytest.fixture(scope="module")
def firefox(driver: Playwright) -> Iterator[Browser]:
    with browser.firefox(driver) as running:
        yield running


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with visited(chromium, address) as page:
        yield page


@pytest.fixture(params=["chromium", "firefox"])
def either_page(request: pytest.FixtureRequest, address: str) -> Iterator[Page]:
    with visited(request.getfixturevalue(request.param), address) as page:
        yield page


@contextmanager
def visited(running: Browser, address: str) -> Iterator[Page]:
    """A page of a reader who was never here; what goes wrong in it or leaves the site fails."""
    context = running.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((address, "data:", "blob:")) else wrong.append(asked.url)
        ),
    )
    yield page
    context.close()
    assert [one for one in wrong if one != ENDED.get(running.browser_type.name)] == []


@pytest.fixture(scope="module")
def python(chromium: Browser, address: str) -> Iterator[PagePython]:
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(LOADED)
    yield PagePython(page, address)
    context.close()


def cell(page: Page, identity: str) -> Locator:
    return page.locator(f"#cell-{identity}")


def run(page: Page, identity: str, name: str = "Run cell") -> None:
    """Click and wait until the cell has come to an end."""
    cell(page, identity).get_by_role("button", name=name).first.click()
    expect(cell(page, identity)).to_have_attribute(
        "data-state", re.compile("done|failed"), timeout=LOADED
    )


def live(page: Page, identity: str) -> Locator:
    return cell(page, identity).locator(".de-live")


def kept(page: Page) -> dict[str, object]:
    found: dict[str, object] = json.loads(page.evaluate("localStorage.getItem('dog-eared')"))
    return found


# -- the same verdicts ---------------------------------------------------------------------------
LESSONS = course.catalogue()


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_a_solved_lesson_runs_in_the_page_and_passes(
    python: PagePython, lesson: course.Lesson
) -> None:
    python.restart()
    for one in pages.cells_of(lesson, solved=True):
        if one.recorded:
            continue
        heard = python.run(one.source, one.id)
        raised = [message["traceback"] for message in heard if message["type"] == "error"]
        assert raised == [], one.source
        if one.role == "check":
            assert pages.verdict_in(heard) == ("passed", None), one.exercise


def test_each_answer_gets_its_verdict_in_the_page_too(python: PagePython) -> None:
    answers: list[Answer] = [
        answer
        for lesson in LESSONS
        for answer in import_module(f"checks.answers.lesson_{lesson.name}").ANSWERS
    ]
    if not os.environ.get("CHECKS_REQUIRE_ALL"):
        seed = random.SystemRandom().randrange(2**32)
        print(f"answers drawn with seed {seed}")
        answers = random.Random(seed).sample(answers, SAMPLE)
    differ = []
    for answer in answers:
        python.restart()
        for source in before(answer.exercise):
            python.run(source)
        python.run(blocks.marked(answer.exercise, answer.code))
        told = python.verdict(answer.exercise)
        if told != (answer.status.value, answer.mistake):
            differ.append((answer.exercise, answer.name, told))
    assert differ == []


def before(exercise: str) -> Iterator[str]:
    """What an exercise stands on: the setup cells above it, and the exercises it follows."""
    entry = course.find(exercise)
    for one in master.read(entry.lesson.master):
        if one.role == "exercise":
            if one.exercise == exercise:
                return
            if one.exercise in entry.card.after:
                yield one.solved
        elif "setup" in one.tags:
            yield one.solved


# -- what lessons to come need ---------------------------------------------------------------------
def test_passwords_are_hashed_as_everywhere(python: PagePython) -> None:
    elsewhere = (  # by argon2-cffi, of "secret"
        "$argon2id$v=19$m=19456,t=2,p=1$alGjGiDrwJZTkB4CLdKq9w"
        "$pHAbrKYSPzrXc3TyzBaraW/MktRfT8+F44G/v9ERJa4"
    )
    heard = python.run(
        "from pwdlib import PasswordHash\n"
        "hashing = PasswordHash.recommended()\n"
        "own = hashing.hash('secret')\n"
        f"[hashing.verify(p, h) for p in ('secret', 'other') for h in (own, {elsewhere!r})]"
    )
    shown = [one["data"]["text/plain"] for one in heard if one["type"] == "display"]
    assert shown == ["[True, True, False, False]"], heard


def test_async_sessions_and_migrations_work(python: PagePython) -> None:
    for source in (page_cells.ASYNC, page_cells.MIGRATION, page_cells.SOCKET):
        heard = python.run(source)
        assert [one["traceback"] for one in heard if one["type"] == "error"] == []
        printed = "".join(one["text"] for one in heard if one.get("name") == "stdout")
        assert printed.endswith("done\n"), printed


def test_browsers_that_cannot_suspend_webassembly_run_it_as_well(
    docs: Path, chromium: Browser, address: str
) -> None:
    folder = docs / "assets" / "run"
    without = "for (const name of ['Suspending', 'promising', 'SuspendError'])\n"
    without += "  delete WebAssembly[name];\n"
    worker = (folder / "worker.mjs").read_text(encoding="utf-8")
    (folder / "plain.mjs").write_text(without + worker, encoding="utf-8")
    page = chromium.new_context().new_page()
    page.set_default_timeout(LOADED)
    python = PagePython(page, address, "plain.mjs")
    for source in page_cells.ALL.values():
        heard = python.run(source)
        assert [one["traceback"] for one in heard if one["type"] == "error"] == []
    page.context.close()


def test_what_needs_a_thread_says_so(python: PagePython) -> None:
    heard = python.run("import threading\nthreading.Thread(target=print).start()")
    assert [one["type"] for one in heard] == ["error", "note", "done"]
    assert "one thread" in heard[1]["text"]


# -- as its reader uses it -----------------------------------------------------------------------
def test_before_a_click_nothing_is_loaded_but_the_buttons(
    docs: Path, page: Page, address: str
) -> None:
    pages.write(docs, "00_quiet", [PageCell("one", "code", "1 + 1")])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}lessons/00_quiet/")
    expect(cell(page, "one").get_by_role("button", name="Run cell 1")).to_be_visible()
    page.wait_for_load_state("networkidle")
    loaded = [url for url in asked if not url.startswith("data:")]
    assert [url.removeprefix(address) for url in loaded] == [
        "lessons/00_quiet/",
        "assets/run/boot.mjs",
    ]
    assert (docs / "assets/run/boot.mjs").stat().st_size < 5_000
    manifest = json.loads((docs / "generated/run/manifest.json").read_text())
    megabytes = round(manifest["download"] / 1e6)
    assert page.get_by_text(f"about {megabytes} MB").is_visible()


def test_run_stop_fail_pass_and_come_back(docs: Path, either_page: Page, address: str) -> None:
    page = either_page
    lesson = course.lesson("00")
    cells = pages.cells_of(lesson)
    endless = PageCell("endless", "code", "while True:\n    pass")
    pages.write(docs, "00_start_here", [*cells, endless])
    page.goto(f"{address}lessons/00_start_here/")
    exercise = "00.opening_hours"
    answered = next(one.id for one in cells if one.role == "exercise")
    checked = next(one.id for one in cells if one.role == "check")

    started = time.perf_counter()
    run(page, checked, name="Run all cells above")
    expect(live(page, checked).locator(".de-card")).to_contain_text("not attempted")
    print(f"click to first verdict, cold: {time.perf_counter() - started:.1f} s")
    assert cell(page, checked).locator("[data-output]").is_hidden()

    wrong = f"# exercise: {exercise}\n" + next(
        answer.code
        for answer in import_module("checks.answers.lesson_00_start_here").ANSWERS
        if answer.exercise == exercise and answer.status.value == "failed" and answer.mistake
    )
    retype(page, answered, wrong)
    page.keyboard.press("Shift+Enter")
    expect(cell(page, answered)).to_have_attribute("data-state", "done")
    expect(cell(page, checked).locator(".cm-content")).to_be_focused()  # on to the next
    run(page, checked)
    expect(live(page, checked).locator(".de-card")).to_contain_text("failed")
    folded = page.locator(f'section[data-exercise="{exercise}"]')
    opens = live(page, checked).get_by_role("button", name=f'hint("{exercise}")')
    for number in (1, 2):
        opens.click()
        expect(folded.locator("summary", has_text=f"Hint {number}")).to_be_focused()
        assert folded.locator("details[open]").count() == number

    cell(page, "endless").get_by_role("button", name="Run cell").click()
    expect(cell(page, "endless")).to_have_attribute("data-state", "running")
    page.get_by_role("button", name="Stop").click()
    expect(live(page, "endless")).to_contain_text("Stopped")

    retype(page, answered, course.find(exercise).solution)
    run(page, checked, name="Run all cells above")
    expect(live(page, checked).locator(".de-card")).to_contain_text("passed")
    live(page, checked).get_by_role("button", name=f'solution("{exercise}")').click()
    expect(folded.locator("details.de-solution")).to_have_attribute("open", "")

    page.reload()
    expect(cell(page, answered).locator(".cm-content")).to_contain_text("09:00")
    statuses = [one["status"] for one in kept(page)["attempts"]]  # type: ignore[attr-defined]
    assert statuses == ["failed", "passed"]
    cell(page, answered).get_by_role("button", name="Reset").click()
    expect(cell(page, answered).locator(".cm-content")).to_contain_text("TODO")
    assert kept(page)["edits"] == {}


def retype(page: Page, identity: str, source: str) -> None:
    """Put another text into a cell's editor, as by pasting it."""
    code = cell(page, identity).locator(".cm-content, .highlight:not([hidden]) pre").first
    code.click()
    expect(cell(page, identity).locator(".cm-content")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def test_a_cell_that_the_course_has_changed_is_not_shadowed(
    docs: Path, page: Page, address: str
) -> None:
    place = f"{address}lessons/00_moving/"
    pages.write(docs, "00_moving", [PageCell("one", "code", "'first edition'")])
    page.goto(place)
    retype(page, "one", "'mine'")
    page.keyboard.press("Shift+Enter")
    expect(live(page, "one")).to_contain_text("mine", timeout=LOADED)

    pages.write(docs, "00_moving", [PageCell("one", "code", "'second edition'")])
    page.goto(place)
    offer = cell(page, "one").get_by_role("note")
    expect(offer).to_contain_text("has changed this cell")
    retype(page, "one", "'mine still'")
    page.wait_for_function("localStorage.getItem('dog-eared').includes('mine still')")
    page.reload()
    expect(offer).to_contain_text("has changed this cell")  # nobody has chosen yet
    expect(cell(page, "one").locator(".cm-content")).to_contain_text("mine")
    offer.get_by_role("button", name="Keep mine").click()
    expect(offer).to_have_count(0)
    page.reload()
    expect(cell(page, "one").locator(".cm-content")).to_contain_text("mine")
    expect(offer).to_have_count(0)

    pages.write(docs, "00_moving", [PageCell("one", "code", "'third edition'")])
    page.goto(place)
    offer.get_by_role("button", name="Take the new one").click()
    expect(cell(page, "one").locator(".cm-content")).to_contain_text("third")
    assert kept(page)["edits"] == {}


def test_by_keyboard_alone_on_a_small_screen(docs: Path, page: Page, address: str) -> None:
    source = "for number in range(2):\n    print(number)"
    pages.write(docs, "00_keys", [PageCell("one", "code", source)])
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{address}lessons/00_keys/")
    cell(page, "one").get_by_role("button", name="Edit cell 1").focus()
    page.keyboard.press("Enter")
    code = cell(page, "one").get_by_role("textbox", name=re.compile("Code of cell 1"))
    expect(code).to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.keyboard.type("if number:")
    page.keyboard.press("Enter")
    page.keyboard.type("print('indented')")
    page.keyboard.press("Shift+Enter")
    expect(live(page, "one")).to_have_text("0\n1\nindented\n", timeout=LOADED)
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(code).not_to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_outputs_look_as_in_jupyter(docs: Path, page: Page, address: str) -> None:
    cells = [
        PageCell("rich", "code", "class B:\n def _repr_html_(self): return '<b>bold</b>'\nB()"),
        PageCell("wrong", "code", "def f():\n    raise ValueError('no')\nf()"),
        PageCell("later", "code", "x"),
        PageCell("recorded", "code", "import socket", recorded=True),
        PageCell("much", "code", "while True: print('x' * 1000)"),
    ]
    pages.write(docs, "00_looks", cells)
    page.goto(f"{address}lessons/00_looks/")
    assert cell(page, "recorded").get_by_role("button").count() == 0
    expect(cell(page, "recorded")).to_contain_text("none")
    run(page, "rich")
    expect(live(page, "rich").locator("b")).to_have_text("bold")
    run(page, "wrong")
    expect(live(page, "wrong")).to_contain_text("Line 2, in f:")
    expect(live(page, "wrong")).to_contain_text("ValueError: no")
    run(page, "later")
    expect(live(page, "later")).to_contain_text("NameError")
    cell(page, "much").get_by_role("button", name="Run cell").click()
    expect(live(page, "much")).to_contain_text("not shown")
    page.get_by_role("button", name="Stop").click()
    expect(live(page, "much")).to_contain_text("Stopped")


def test_what_is_kept_goes_into_a_file_and_comes_back(
    docs: Path, page: Page, address: str, tmp_path: Path
) -> None:
    pages.write(docs, "00_file", [PageCell("x", "code", "x = 1"), PageCell("y", "code", "x + 1")])
    page.goto(f"{address}lessons/00_file/")
    retype(page, "x", "x = 41")
    run(page, "y")
    expect(live(page, "y")).to_contain_text("NameError")
    cell(page, "y").get_by_role("button", name="Run them and this one").click()
    expect(live(page, "y")).to_have_text("42")

    page.get_by_text("More").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export progress").click()
    file = tmp_path / "progress.json"
    download.value.save_as(file)
    assert read_record(file).version == 1  # what the terminal reads

    page.evaluate("localStorage.clear()")
    page.reload()
    expect(cell(page, "x").locator("code")).to_contain_text("x = 1")
    cell(page, "x").get_by_role("button", name="Edit cell 1").click()
    run(page, "x")
    with page.expect_file_chooser() as chooser:
        page.get_by_text("More").click()
        page.get_by_role("button", name="Import progress").click()
    chooser.value.set_files(file)
    expect(page.get_by_role("status")).to_contain_text("Imported: 0 attempts are new.")
    expect(cell(page, "x").locator(".cm-content")).to_contain_text("x = 41")
    file.write_text("[]")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import progress").click()
    chooser.value.set_files(file)
    expect(page.get_by_role("status")).to_contain_text("not a progress file")
