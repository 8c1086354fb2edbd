"""What is studied on the site: its data, its Anki deck, the certificate, and the pages in use."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect, sync_playwright
from typer.testing import CliRunner

from checks import certificate, cli, course
from checks.authoring import scaffold
from checks.errors import CourseError
from checks.journal import Journal, Standing
from checks.tests import browser, servers
from checks.tests.conftest import require
from checks.verdict import Status, Verdict
from checks.website import anki, bundle, computed, study

LESSONS = course.catalogue()

CARD = """
[[cards]]
id = "00.card_{number}"
heading = "Recap"
question = "What is it?"
answer = "It is `this`."
"""

QUESTION = """
[[quiz]]
id = "00.quiz_{number}"
level = 1
heading = "Recap"
question = "Which one?"
right = "This one"
wrong = ["That one", "Neither"]
because = "It is."
"""

WHOLE = "".join(CARD.format(number=n) for n in range(5)) + "".join(
    QUESTION.format(number=n) for n in range(3)
)

Edit = Callable[[str], str]


# -- data -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda one: one.name)
def test_every_lesson_has_cards_and_questions_that_lead_into_it(lesson: course.Lesson) -> None:
    material = study.read(lesson)
    assert any(one.ask for one in material.study.quiz), "no answer is computed"
    assert {one.level for one in material.study.quiz} >= {1, 2}


def test_the_sample_of_study_data_is_whole() -> None:
    assert len(study.parse(WHOLE, "00.toml").cards) == 5


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda text: text.replace("00.card_1", "00.card_2"), "00.card_2 is there twice"),
        (lambda text: text.replace("That one", "this ONE"), "is there twice"),
        (lambda text: text.replace('right = "This one"', ""), "needs one right answer"),
        (lambda text: text.replace("right =", 'ask = "1"\nright ='), "needs one right answer"),
        (lambda text: text.replace("right =", "ask ="), "needs `cells`"),
        (lambda text: text.replace("level = 1", "level = 4"), "quiz.0.level"),
        (lambda text: text.replace("It is `this`", "It is <b>this</b>"), "outside backticks"),
        (lambda text: text.replace("because", "reason"), "quiz.0.because"),
        (lambda text: text.replace("It is `", r"Well.\n\nIt is `"), "several paragraphs"),
        (lambda text: text.replace(CARD.format(number=0), ""), "at least 5"),
        (lambda text: text.replace('"00.card_1"', '"card 1"'), "cards.1.id"),
        (lambda text: text + "[[", "is not TOML"),
    ],
)
def test_study_data_that_does_not_hold_is_refused_in_a_sentence(edit: Edit, complaint: str) -> None:
    with pytest.raises(study.StudyError) as refused:
        study.parse(edit(WHOLE), "00.toml")
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("00.toml")
    assert "\n" not in str(refused.value)


@given(st.text())
def test_whatever_the_file_says_is_data_or_a_sentence(text: str) -> None:
    try:
        study.parse(text, "00.toml")
    except study.StudyError as error:
        assert "00.toml" in str(error)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda text: text.replace('"Recap"', '"Nowhere"', 1), "leads to 'Nowhere'"),
        (lambda text: text.replace("00.card_1", "01.card_1"), "must begin with 00."),
    ],
)
def test_a_link_to_nowhere_is_refused(tmp_path: Path, edit: Edit, complaint: str) -> None:
    lesson = in_a_folder(tmp_path, edit(WHOLE))
    with pytest.raises(study.StudyError, match=re.escape(complaint)):
        study.read(lesson)


def in_a_folder(root: Path, data: str) -> course.Lesson:
    """Lesson 00 in another repository, with this study data."""
    place = root / "solutions"
    place.mkdir()
    shutil.copy(course.lesson("00").master, place)
    lesson = course.Lesson("00", "start_here", root)
    study.path_of(lesson).write_text(data, encoding="utf-8")
    return lesson


def test_a_lesson_that_was_just_begun_has_data_that_holds(tmp_path: Path) -> None:
    scaffold.new("42_begun", tmp_path)
    material = study.read(course.Lesson("42", "begun", tmp_path))
    (asked,) = [one for one in material.study.quiz if one.ask]
    assert asked.cells == ("def greeting(",)
    (place,) = [n for n, cell in enumerate(material.cells) if "def greeting(" in cell.solved]
    ask = computed.Ask(asked.id, place, str(asked.ask))
    assert computed.answers({material.lesson.master: [ask]}) == {asked.id: "200"}


# -- answers that are computed --------------------------------------------------------------------
@pytest.fixture(scope="module")
def docs() -> Path:
    """Where the site's build writes, so that the lessons are run once for all tests."""
    folder = course.root() / "site"
    study.write(course.root(), folder)
    return folder


@pytest.fixture(scope="module")
def data(docs: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((docs / "generated" / "study.json").read_text("utf-8"))
    return found


def test_each_question_has_one_right_answer_and_none_twice(data: dict[str, Any]) -> None:
    for question in [one for lesson in data["lessons"] for one in lesson["quiz"]]:
        options = [one["html"] for one in question["options"]]
        assert len(set(options)) == len(options) >= 3
        assert sum(one["right"] for one in question["options"]) == 1


def test_every_text_is_one_paragraph_whatever_it_begins_with(data: dict[str, Any]) -> None:
    """`4. Deleting` is a heading's title, no list."""
    text = json.dumps(data)
    assert "4. Deleting" in text
    assert not re.search(r"<(p|ol|ul|li|h\d|blockquote)\b", text)


def test_ids_are_nobody_elses(data: dict[str, Any]) -> None:
    ids = [
        one["id"]
        for lesson in data["lessons"]
        for part in ("cards", "quiz")
        for one in lesson[part]
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("question", "answer"),
    [("01.quiz_identity", "1"), ("02.quiz_n_plus_one", "4"), ("03.quiz_retry", "3")],
)
def test_computed_answers_are_what_the_lesson_prints(
    data: dict[str, Any], question: str, answer: str
) -> None:
    """The lessons' own prose says these three, beside the cell that was run."""
    (found,) = [
        one for lesson in data["lessons"] for one in lesson["quiz"] if one["id"] == question
    ]
    assert [one["html"] for one in found["options"] if one["right"]] == [answer]
    assert found["computed"]
    assert "trace" in found["code"]


def test_the_lesson_is_run_and_asked_where_the_question_stands(tmp_path: Path) -> None:
    master = tmp_path / "00_counting.py"
    master.write_text(
        "# %%\ncount = 1\n\n# %% [markdown]\n# # More\n\n# %%\ncount += 1\nawait_it = count\n\n"
        "# %%\nraise RuntimeError('never reached')\n",
        encoding="utf-8",
    )
    asks = [computed.Ask("00.early", 0, "count"), computed.Ask("00.late", 2, "count * 10")]
    assert computed.answers({master: asks}) == {"00.early": "1", "00.late": "20"}


def test_a_cell_that_raises_on_the_way_is_named(tmp_path: Path) -> None:
    master = tmp_path / "00_breaking.py"
    master.write_text("# %%\n1 / 0\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"00_breaking.py: ZeroDivisionError .*00\.why"):
        computed.answers({master: [computed.Ask("00.why", 0, "1")]})


def test_a_wrong_option_that_turns_out_right_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        computed, "answers", lambda asked: {one.id: "2" for asks in asked.values() for one in asks}
    )
    with pytest.raises(study.StudyError, match=r"00_start_here.toml: .*'2' is there twice"):
        study.write(course.root(), tmp_path)


def test_writing_again_runs_nothing_and_changes_nothing(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [docs / "generated" / name for name in ("study.json", study.DECK)]
    before = {path: path.stat().st_mtime_ns for path in made}
    monkeypatch.setattr(computed, "answers", lambda asked: pytest.fail("the lessons were run"))
    study.write(course.root(), docs)
    assert {path: path.stat().st_mtime_ns for path in before} == before


# -- the Anki deck --------------------------------------------------------------------------------
def notes_in(deck: Path, folder: Path) -> list[tuple[str, str]]:
    """Identity and fields of each note, read as Anki reads them."""
    with zipfile.ZipFile(deck) as archive:
        assert archive.testzip() is None
        archive.extract("collection.anki2", folder)
    connection = sqlite3.connect(folder / "collection.anki2")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        notes = connection.execute("SELECT guid, flds FROM notes ORDER BY id").fetchall()
        assert connection.execute("SELECT count(*) FROM cards").fetchone() == (len(notes),)
        (decks,) = connection.execute("SELECT decks FROM col").fetchone()
        assert sum("Dog-Eared::" in one["name"] for one in json.loads(decks).values()) > 0
    finally:
        connection.close()
    return notes


def test_the_anki_deck_holds_every_card(docs: Path, data: dict[str, Any], tmp_path: Path) -> None:
    notes = notes_in(docs / "generated" / study.DECK, tmp_path)
    cards = [card for lesson in data["lessons"] for card in lesson["cards"]]
    assert sorted(fields.split("\x1f")[0] for _, fields in notes) == sorted(
        card["question"] for card in cards
    )


def test_a_card_in_other_words_is_the_same_note(tmp_path: Path) -> None:
    guids = []
    for words in ("What is it?", "And what is it?"):
        note = anki.Note("00.same", words, "This.", "Recap")
        anki.write(tmp_path / "deck.apkg", [anki.Lesson("00", "Start here", [note])])
        ((guid, fields),) = notes_in(tmp_path / "deck.apkg", tmp_path)
        assert words in fields
        guids.append(guid)
    assert guids[0] == guids[1]


# -- the certificate ------------------------------------------------------------------------------
EXERCISES = [entry for lesson in LESSONS for entry in lesson.exercises]

GRADED = [entry for entry in EXERCISES if entry.lesson.graded]  # those that a certificate is about

ALL = len(EXERCISES)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)

STANDINGS = {
    entry.id: Standing(
        Status.PASSED, entry.card.points(), 1, 0, (NOON + timedelta(minutes=n)).isoformat()
    )
    for n, entry in enumerate(EXERCISES)
}


def test_a_certificate_names_all_that_was_passed_and_is_read_back() -> None:
    made = certificate.award(" Ada\u00a0 Lovelace\n", STANDINGS)
    assert made.name == "Ada Lovelace"
    assert certificate.parse(made.text) == made
    assert certificate.parse("Hello,\r\n" + made.text.replace("\n", "\r\n") + "\r\n") == made
    assert certificate.differences(made, STANDINGS) == []
    assert [one.exercise for one in made.passed] == [one.id for one in GRADED]


def test_an_open_exercise_is_named_instead() -> None:
    some = {id_: one for id_, one in STANDINGS.items() if id_ != "01.get_db"}
    with pytest.raises(certificate.CertificateError, match=r"Not yet: .* 01\.get_db\."):
        certificate.award("Ada", some)


@pytest.mark.parametrize("name", ["", " \n\t", "x" * 101])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(certificate.CertificateError, match="1 to 100 characters"):
        certificate.award(name, STANDINGS)


@given(st.text(min_size=1, max_size=100))
def test_whatever_the_name_the_certificate_is_read_back(name: str) -> None:
    try:
        made = certificate.award(name, STANDINGS)
    except certificate.CertificateError:
        assume(False)
        raise
    assert certificate.parse(made.text) == made


@given(st.data())
def test_a_certificate_that_was_altered_is_refused(draw: st.DataObject) -> None:
    """Any change of a letter or digit in what it certifies."""
    text = certificate.award("Ada Lovelace", STANDINGS).text
    lines = text.splitlines()
    certified = [n for n, line in enumerate(lines) if line.startswith(("Name:", "  "))]
    row = draw.draw(st.sampled_from([*certified, len(lines) - 3]))
    start = 6 if lines[row].startswith("Name:") else 0
    signs = [n for n, sign in enumerate(lines[row]) if n >= start and sign.isalnum()]
    column = draw.draw(st.sampled_from(signs))
    other = draw.draw(st.sampled_from("abcXYZ0189").filter(lambda one: one != lines[row][column]))
    lines[row] = lines[row][:column] + other + lines[row][column + 1 :]
    with pytest.raises(certificate.CertificateError):
        certificate.parse("\n".join(lines))


def test_a_line_taken_out_is_noticed() -> None:
    text = certificate.award("Ada", STANDINGS).text
    shorter = "\n".join(line for line in text.splitlines() if "03.last_copy" not in line)
    with pytest.raises(certificate.CertificateError, match="checksum does not fit"):
        certificate.parse(shorter)


@given(st.text())
def test_no_text_whatever_breaks_the_reading(text: str) -> None:
    with pytest.raises(certificate.CertificateError):
        certificate.parse(text)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    place = tmp_path / "progress.sqlite"
    monkeypatch.setenv("CHECKS_PROGRESS", str(place))
    return Journal(place)


def passed(exercise: course.ExerciseEntry) -> Verdict:
    points = exercise.card.points()
    return Verdict(
        lesson=exercise.card.lesson(),
        exercise=exercise.id,
        title=exercise.card.title,
        status=Status.PASSED,
        points=points,
        max_points=points,
        message="",
    )


def test_in_the_terminal_from_the_last_pass_to_the_verification(
    journal: Journal, tmp_path: Path
) -> None:
    runner = CliRunner()
    for entry in GRADED[:-1]:
        journal.record(passed(entry))
    early = runner.invoke(cli.app, ["certificate"])
    assert isinstance(early.exception, CourseError)
    assert GRADED[-1].id in str(early.exception)

    journal.record(passed(GRADED[-1]))
    made = runner.invoke(cli.app, ["certificate", "--name", "Ada Lovelace"])
    assert made.exit_code == 0
    kept = tmp_path / "certificate.txt"
    kept.write_text(made.stdout, encoding="utf-8")
    for given_as in ([str(kept)], [made.stdout], ["-"]):
        confirmed = runner.invoke(
            cli.app, ["certificate", "--verify", *given_as], input=made.stdout
        )
        assert confirmed.exit_code == 0, confirmed.output
        assert f"confirms all {len(GRADED)} passes of Ada Lovelace" in confirmed.stdout
        assert "not who did the work" in confirmed.stdout

    forged = runner.invoke(cli.app, ["certificate", "--verify", made.stdout.replace("Ada", "Eve")])
    assert isinstance(forged.exception, certificate.CertificateError)

    assert journal.path
    journal.path.unlink()
    elsewhere = runner.invoke(cli.app, ["certificate", "--verify", str(kept)])
    assert elsewhere.exit_code == 1
    assert "does not confirm" in elsewhere.stdout


# -- the pages ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from checks.website import build

    require(shutil.which("npm"), "There is no npm to get the cards' scheduler with.")
    return build.build(tmp_path_factory.mktemp("site") / "course").out


@pytest.fixture(scope="module")
def chromium(built: Path) -> Iterator[Browser]:
    with sync_playwright() as driver, browser.chromium(driver) as running:
        yield running


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with servers.static(built, below="/course/") as address:
        yield address


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page of a reader who was never here; what goes wrong in it or leaves the site fails."""
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    made = context.new_page()
    made.set_default_timeout(20_000)
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    made.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((address, "data:", "blob:")) else wrong.append(asked.url)
        ),
    )
    yield made
    assert made.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"
    context.close()
    assert wrong == []


def kept(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("JSON.parse(localStorage.getItem('dog-eared') ?? '{}')")
    return found


def all_passed() -> dict[str, Any]:
    """What a browser keeps of somebody who has passed everything."""
    return {
        "version": 1,
        "attempts": [
            {
                "exercise": id_,
                "status": "passed",
                "points": one.points,
                "mistake": None,
                "at": (one.passed_at or "").replace("+00:00", ".417Z"),
            }
            for id_, one in STANDINGS.items()
        ],
        "hints": {},
    }


def keep(page: Page, address: str, store: dict[str, Any]) -> None:
    page.goto(f"{address}study/")
    page.evaluate("store => localStorage.setItem('dog-eared', JSON.stringify(store))", store)


@pytest.mark.browser
def test_every_link_of_cards_questions_and_map_leads_to_a_heading(
    built: Path, data: dict[str, Any]
) -> None:
    for lesson in data["lessons"]:
        html = (built / lesson["page"] / "index.html").read_text(encoding="utf-8")
        ids = set(re.findall(r'\bid="([^"]+)"', html))
        anchors = {one["anchor"] for one in lesson["exercises"]}
        anchors |= {one["link"]["anchor"] for one in (*lesson["cards"], *lesson["quiz"])}
        assert anchors <= ids, lesson["name"]


@pytest.mark.browser
def test_cards_are_reviewed_by_keyboard_and_come_again_later_each_time(
    page: Page, address: str
) -> None:
    page.goto(f"{address}study/cards/")
    page.get_by_label("Cards of").select_option("00")
    expect(page.locator(".study-counts")).to_contain_text("0 due, 7 new")
    page.locator("h1").click()
    intervals = []
    for rating in ("3", "3", "3"):
        page.keyboard.press("Space")
        page.locator(".study-answer").wait_for()
        page.keyboard.press(rating)
        page.locator(".study-answer").wait_for(state="detached")
        card = kept(page)["cards"]["00.in_process"]
        intervals.append(
            page.evaluate("card => new Date(card.due) - new Date(card.last_review)", card)
        )
        # The time comes, without anybody waiting for it.
        page.evaluate(
            """() => {
              const store = JSON.parse(localStorage.getItem("dog-eared"));
              const card = store.cards["00.in_process"];
              const span = new Date(card.due) - new Date(card.last_review);
              card.last_review = new Date(Date.now() - span - 1000).toISOString();
              card.due = new Date(Date.now() - 1000).toISOString();
              localStorage.setItem("dog-eared", JSON.stringify(store));
            }"""
        )
        page.reload()
        page.get_by_label("Cards of").select_option("00")
        expect(page.locator(".study-counts")).to_contain_text("1 due, 6 new")
        page.locator("h1").click()
    assert intervals == sorted(set(intervals))
    assert intervals[-1] > 24 * 3600 * 1000  # milliseconds

    page.keyboard.press("Space")
    page.keyboard.press("1")
    expect(page.locator(".study-said")).to_contain_text("Again: it comes again in")
    assert kept(page)["cards"]["00.in_process"]["lapses"] == 1


@pytest.mark.browser
def test_the_deck_can_be_downloaded_from_the_page_of_the_cards(
    page: Page, address: str, tmp_path: Path
) -> None:
    page.goto(f"{address}study/cards/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the Anki deck").click()
    download.value.save_as(tmp_path / "deck.apkg")
    assert notes_in(tmp_path / "deck.apkg", tmp_path)


@pytest.mark.browser
def test_a_challenge_is_finished_by_keyboard_and_its_score_kept(
    page: Page, address: str, data: dict[str, Any]
) -> None:
    quiz = {one["question"]: one for lesson in data["lessons"] for one in lesson["quiz"]}
    page.goto(f"{address}study/challenge/")
    page.get_by_role("button", name="Start").press("Enter")
    levels, points = [], 0
    for number in range(12):
        expect(page.locator(".study-where")).to_contain_text(f"Question {number + 1} of 12")
        expect(page.locator(".study-clock")).to_contain_text("s left")
        asked = quiz[page.locator(".study-question").inner_html()]
        levels.append(asked["level"])
        options = page.locator(".study-option > span").evaluate_all(
            "all => all.map(o => o.innerHTML)"
        )
        (right,) = [
            n
            for n, option in enumerate(options)
            if {"html": option, "right": True} in asked["options"]
        ]
        wrong_one = number == 3
        page.keyboard.press(str((right + wrong_one) % len(options) + 1))
        verdict = page.locator(".study-verdict")
        expect(verdict).to_contain_text("No." if wrong_one else "Right,")
        expect(verdict.get_by_role("link")).to_have_attribute(
            "href", re.compile(re.escape(asked["link"]["anchor"]))
        )
        points += 0 if wrong_one else 10 * asked["level"]
        page.keyboard.press("Enter")
    assert levels == sorted(levels)
    expect(page.get_by_role("heading", level=2).first).to_contain_text("11 of 12 right")
    (score,) = kept(page)["scores"]
    assert (score["right"], score["of"], score["lesson"]) == (11, 12, "all")
    assert score["score"] > points  # the seconds left
    page.reload()
    expect(page.locator(".study-scores")).to_contain_text(f"{score['score']} points")


@pytest.mark.browser
def test_time_runs_out_as_a_wrong_answer(page: Page, address: str) -> None:
    page.clock.install()
    page.goto(f"{address}study/challenge/")
    page.get_by_role("button", name="Start").click()
    page.clock.fast_forward(60_000)
    expect(page.locator(".study-verdict")).to_contain_text("Time is up.")
    expect(page.locator(".study-option").first).to_be_disabled()


@pytest.mark.browser
def test_the_map_has_every_node_as_a_link_that_resolves(
    page: Page, address: str, built: Path
) -> None:
    store = all_passed()
    store["attempts"] = store["attempts"][:3]
    keep(page, address, store)
    page.goto(f"{address}study/map/")
    nodes = page.locator(".study-map a")
    parts = {lesson.part.title for lesson in LESSONS}
    expect(nodes).to_have_count(1 + len(parts) + len(LESSONS) + len(EXERCISES))
    links = nodes.evaluate_all("all => all.map(one => one.getAttribute('href'))")
    for link in links:
        path, _, anchor = link.removeprefix(address).partition("#")
        html = (built / path / "index.html").read_text(encoding="utf-8")
        assert not anchor or f'id="{anchor}"' in html
    expect(page.locator(".study-map a.study-passed")).to_have_count(4)  # lesson 00 is all passed
    expect(page.locator('.study-map a[aria-label^="01 Sync setup: 1 of 4"]')).to_have_count(1)
    assert page.locator(".study-tree a").count() == len(links)

    page.locator(".study-map").focus()
    wide = page.locator(".study-map svg").bounding_box()
    page.keyboard.press("+")
    wider = page.locator(".study-map svg").bounding_box()
    assert wide and wider and wider["width"] > wide["width"]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert "00 Start here" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/lessons/00_start_here/")


@pytest.mark.browser
def test_a_bookmark_and_the_place_where_one_stopped_are_found_again(
    page: Page, address: str
) -> None:
    page.goto(f"{address}lessons/03_transactions/")
    mark = page.get_by_role("button", name="Bookmark: Half an order")
    mark.focus()
    page.keyboard.press("Enter")
    expect(mark).to_have_attribute("aria-pressed", "true")
    page.locator("#the-mail-that-cannot-be-rolled-back").scroll_into_view_if_needed()
    page.wait_for_function("JSON.parse(localStorage.getItem('dog-eared')).last?.anchor")
    stopped = kept(page)["last"]

    page.goto(f"{address}study/progress/")
    expect(page.get_by_role("link", name=stopped["title"]).first).to_have_attribute(
        "href", f"{address}lessons/03_transactions/#{stopped['anchor']}"
    )
    page.get_by_role("link", name="Half an order").click()
    page.wait_for_url("**/lessons/03_transactions/#half-an-order")
    page.go_back()
    page.get_by_role("button", name="Remove the bookmark Half an order").press("Enter")
    expect(page.get_by_text("None yet.")).to_be_visible()
    assert kept(page)["bookmarks"] == []


@pytest.mark.browser
def test_a_lesson_shows_what_was_passed_and_keeps_which_hints_were_read(
    page: Page, address: str
) -> None:
    keep(page, address, all_passed())
    page.goto(f"{address}lessons/00_start_here/")
    expect(page.get_by_text("You have passed this.")).to_have_count(2)
    keep(page, address, {"version": 1, "attempts": [], "hints": {}})
    page.goto(f"{address}lessons/00_start_here/")
    first = page.locator(".de-exercise").first
    first.get_by_text("Hint 2 of").click()
    page.wait_for_function("localStorage.getItem('dog-eared').includes('opening_hours')")
    first.get_by_text("Hint 1 of").click()
    assert kept(page)["hints"] == {"00.opening_hours": 2}
    expect(page.get_by_text("You have passed this.").first).to_be_hidden()


@pytest.mark.browser
def test_the_solved_lesson_opens_in_its_page(page: Page, address: str) -> None:
    page.goto(f"{address}lessons/00_start_here/")
    solved = course.find("00.opening_hours").solution.strip().splitlines()[-1].strip()
    first = page.locator(".de-exercise").first
    shown = first.locator("details.de-solution pre")
    button = page.get_by_role("button", name="Show it solved")
    expect(shown).to_be_hidden()
    button.press("Enter")
    expect(shown).to_contain_text(solved)
    expect(first.locator(".de-solved .de-card")).to_contain_text("passed")
    button.press("Enter")
    expect(shown).to_be_hidden()


@pytest.mark.browser
def test_progress_goes_out_to_a_file_and_into_another_browser(
    page: Page, address: str, chromium: Browser, tmp_path: Path
) -> None:
    keep(page, address, all_passed() | {"scores": [], "bookmarks": [], "cards": {}})
    page.goto(f"{address}study/progress/")
    expect(page.get_by_text(f"{ALL} of {ALL} exercises passed.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export to a file").click()
    file = tmp_path / "progress.json"
    download.value.save_as(file)

    other = chromium.new_context().new_page()
    other.goto(f"{address}study/progress/")
    expect(other.get_by_text(f"0 of {ALL} exercises passed.")).to_be_visible()
    other.get_by_label("Import from a file").set_input_files(file)
    expect(other.get_by_text(f"{ALL} of {ALL} exercises passed.")).to_be_visible()
    assert kept(other)["attempts"] == kept(page)["attempts"]
    file.write_text("[]", encoding="utf-8")
    other.get_by_label("Import from a file").set_input_files(file)
    expect(other.get_by_text("This is not a progress file")).to_be_visible()
    other.context.close()


@pytest.mark.browser
def test_of_two_states_of_a_card_the_one_reviewed_later_is_kept(
    page: Page, address: str, tmp_path: Path
) -> None:
    def reviewed(day: int, due: int) -> dict[str, Any]:
        times = {"last_review": f"2026-01-{day:02}T08:00:00Z", "due": f"2026-02-{due:02}T08:00:00Z"}
        return {**times, "stability": 3.2, "difficulty": 5.0, "reps": 1, "lapses": 0, "state": 2}

    here = {"00.older_here": reviewed(1, 1), "00.newer_here": reviewed(3, 3)}
    file = {
        "00.older_here": reviewed(2, 2),
        "00.newer_here": reviewed(2, 2),
        "00.only_there": reviewed(2, 2),
    }
    keep(page, address, all_passed() | {"cards": here})
    page.goto(f"{address}study/progress/")
    path = tmp_path / "progress.json"
    path.write_text(json.dumps(all_passed() | {"cards": file}), encoding="utf-8")
    page.get_by_label("Import from a file").set_input_files(path)
    expect(page.get_by_text("Imported: 0 attempts are new.")).to_be_visible()
    assert kept(page)["cards"] == file | {"00.newer_here": reviewed(3, 3)}


@pytest.mark.browser
def test_a_file_that_lies_breaks_no_page_and_leads_nowhere_else(page: Page, address: str) -> None:
    store = {
        "version": 1,
        "attempts": [{"exercise": "00.opening_hours", "status": "passed", "at": "soon"}, None],
        "cards": {"00.in_process": 5, "00.timeline": {"due": "x"}},
        "scores": [None, {"score": "many"}],
        "bookmarks": [
            None,
            {"page": "javascript:alert(1)", "anchor": "", "title": "Elsewhere", "at": ""},
            {"page": "//elsewhere.test/", "anchor": "x", "title": "<img src=x>", "at": ""},
        ],
        "last": {"page": "https://elsewhere.test/", "anchor": "", "at": ""},
    }
    keep(page, address, store)
    for name in ("progress", "cards", "challenge", "map", "certificate"):
        page.goto(f"{address}study/{name}/")
        expect(page.locator(".study")).not_to_contain_text("Loading")
        expect(page.get_by_role("alert")).to_have_count(0)
        links = page.locator(".study a").evaluate_all(
            "all => all.map(one => String(one.href.baseVal ?? one.href))"
        )
        assert all(link.startswith(address) for link in links)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_study_pages_are_for_everybody(chromium: Browser, address: str, scheme: Any) -> None:
    axe = bundle.node_modules(course.root(), tests=True) / "axe-core" / "axe.min.js"
    context = chromium.new_context(
        viewport={"width": 390, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()

    def look() -> None:
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run('.study')")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []

    keep(page, address, all_passed())
    for name in ("progress", "cards", "challenge", "map", "certificate"):
        page.goto(f"{address}study/{name}/")
        expect(page.locator(".study")).not_to_contain_text("Loading")
        look()
        if name == "cards":
            page.keyboard.press("Space")
            look()
        if name == "challenge":
            page.get_by_role("button", name="Start").click()
            for _ in range(12):
                look()
                page.keyboard.press("1")
                look()
                page.keyboard.press("Enter")
            look()
    context.close()


@pytest.mark.browser
def test_the_page_and_the_terminal_give_one_certificate(
    page: Page, address: str, tmp_path: Path
) -> None:
    page.goto(f"{address}study/certificate/")
    expect(page.get_by_text(f"Not yet: 0 of {len(GRADED)}")).to_be_visible()
    keep(page, address, all_passed())
    page.goto(f"{address}study/certificate/")
    page.get_by_label("Name on the certificate").fill("  Zoe\u0308  Ångström ")
    expect(page.locator(".study-sheet-name")).to_have_text("Zoë Ångström")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as text").click()
    download.value.save_as(tmp_path / "certificate.txt")
    made = certificate.award("Zoe\u0308 Ångström", STANDINGS)
    assert (tmp_path / "certificate.txt").read_text(encoding="utf-8") == f"{made.text}\n"
