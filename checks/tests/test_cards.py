"""Cards: safe whatever they hold, complete as text, readable in light and dark."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import course, show
from checks.journal import Standing
from checks.observe import picture
from checks.observe.evidence import Attempt, Observation
from checks.observe.timeline import Timeline
from checks.verdict import Finding, Status, Verdict

TAGS = {
    *("div", "style", "p", "b", "i", "span", "code", "ul", "ol", "li", "pre", "section"),
    *("details", "summary", "progress", "em", "strong", "br"),
}
ATTRIBUTES = {"class", "role", "title", "open", "max", "value", "aria-label", "aria-hidden"}
EMPTY = {"br"}
HOSTILE = ("<script>alert(1)</script>", '" onload="x', "</div></style>", "&lt;b&gt;", "`<img>`")


class Reader(HTMLParser):
    """Reads a card as a browser would, and refuses what a card must not hold."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert {name for name, _ in attrs} <= ATTRIBUTES, attrs
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if "style" in self.open else self.texts).append(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def read(html: str) -> str:
    """What a card says, once it has been found harmless."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert set(reader.styles) <= {show._STYLE[7:-8], picture.STYLE[7:-8]}
    return "".join(reader.texts)


# Control characters have a test of their own: they are shown by number, or are white space.
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"])
TEXT = st.text(CHARACTERS, max_size=40) | st.sampled_from(HOSTILE)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["request", "sql", "commit", "error", "response", "body"]),
            "at_ms": st.floats(0, 1000),
            "request": st.integers(0, 3),
            "detail": st.dictionaries(
                st.sampled_from(["method", "path", "sql", "params", "message", "status"]), ANY_JSON
            ),
        }
    )
    | ANY_JSON,
    max_size=4,
)
STEPS = st.fixed_dictionaries(
    {"asked": ANY_JSON, "timeline": EVENTS | ANY_JSON},
    optional={"status": ANY_JSON, "sent": ANY_JSON, "body": ANY_JSON, "error": ANY_JSON},
)
FINDINGS = st.builds(
    Finding,
    name=TEXT,
    text=TEXT,
    met=st.booleans(),
    points=st.floats(0, 9),
    max_points=st.floats(0, 9),
    saw=TEXT,
    wanted=TEXT,
    why=TEXT,
)
VERDICTS = st.builds(
    Verdict,
    lesson=st.just("90"),
    exercise=TEXT,
    title=TEXT,
    statement=TEXT,
    status=st.sampled_from(Status),
    points=st.floats(0, 9),
    max_points=st.floats(0, 9),
    message=TEXT,
    mistake=st.none() | TEXT,
    findings=st.lists(FINDINGS, max_size=3),
    shows=st.none() | st.just("step"),
    marks=st.lists(st.sampled_from(["commit", "sql"]), max_size=1),
    evidence=st.none()
    | st.builds(
        Observation,
        exercise=TEXT,
        attempt=st.builds(Attempt, source=TEXT),
        seen=st.dictionaries(st.just("step"), STEPS | ANY_JSON),
    ),
)


def letters(text: str) -> str:
    """A text without what marks code or stress, breaks lines, or is shown by its number."""
    return re.sub(r"[\s`*]+", "", show._printable(text))


@given(verdict=VERDICTS, next_step=TEXT)
def test_a_card_is_harmless_whatever_it_holds(verdict: Verdict, next_step: str) -> None:
    said = letters(read(show.card_html(verdict, next_step)))
    assert letters(verdict.status.words) in said
    assert letters(verdict.title) in said
    assert letters(next_step) in said
    if verdict.status is not Status.PASSED:
        assert letters(verdict.message) in said


@given(verdict=VERDICTS, next_step=TEXT, width=st.integers(20, 120))
def test_the_text_says_what_the_card_says(verdict: Verdict, next_step: str, width: int) -> None:
    text = show.card_text(verdict, next_step, width)
    said = letters(text)
    for part in (verdict.status.words, verdict.title, verdict.message, next_step):
        assert letters(part) in said
    if verdict.status is Status.FAILED:
        for finding in verdict.findings:
            assert letters(finding.text) in said
            if not finding.met:
                assert letters(finding.why) in said


@given(title=TEXT, text=TEXT, own=TEXT, solved=TEXT)
def test_hints_and_solutions_are_harmless_too(title: str, text: str, own: str, solved: str) -> None:
    said = read(show.hint_html(title, 1, 3, text))
    assert "Hint 1 of 3" in said and letters(text) in letters(said)
    assert title in read(show.solution_html(title, own, solved))


@pytest.mark.parametrize("evil", ["\ud800", "\x1b[2J\x07", "\u202egnp", "\x00", "\x9b1m"])
def test_what_steers_a_terminal_or_cannot_be_encoded_is_shown_by_its_number(evil: str) -> None:
    verdict = a_verdict(Status.FAILED, message=f"You said {evil}.")
    for card in (show.card_html(verdict), show.card_text(verdict)):
        assert evil not in card
        assert "You said \\" in card
        card.encode()


def a_verdict(status: Status, **more: Any) -> Verdict:
    finding = Finding(name="a", text="Every book.", met=False, points=0, max_points=2, why="So.")
    fields: dict[str, Any] = {
        "lesson": "90",
        "exercise": "90.shelf",
        "title": "The shelf",
        "statement": "A shelf holds every book.",
        "points": 1,
        "max_points": 3,
        "message": "Sort it.",
        "findings": [finding],
    }
    return Verdict(status=status, **(fields | more))


@pytest.mark.parametrize("status", Status)
def test_a_status_is_said_in_the_same_words_everywhere_and_not_by_colour_alone(
    status: Status,
) -> None:
    verdict = a_verdict(status)
    sign, _ = show.status_style(status)
    head = f"{sign} {status.words}"
    assert read(show.card_html(verdict)).startswith(head)
    assert show.card_text(verdict).startswith(f"{head}: The shelf (1 of 3 points)")
    rows = show.progress_rows([course.lesson("00")], {"00.opening_hours": Standing(status=status)})
    assert head in show.progress_text(rows)
    assert f"{sign} The opening hours {status.words}" in read(show.progress_html(rows))


def test_progress_counts_what_passed_and_names_the_hints_read() -> None:
    standings = {"00.opening_hours": Standing(status=Status.PASSED, points=2, hints=1)}
    rows = show.progress_rows([course.lesson("00")], standings)
    for said in (show.progress_text(rows), read(show.progress_html(rows))):
        assert "1 of 2 exercises passed, 2 of 6 points." in said
        assert "1 hint read" in said


def test_a_requirement_that_is_not_met_is_so_for_the_ear_too() -> None:
    assert 'aria-label="not met">✗</b>' in show.card_html(a_verdict(Status.FAILED))


def test_words_are_stressed_as_in_markdown_and_code_is_left_alone() -> None:
    card = show.card_html(
        a_verdict(
            Status.FAILED,
            message="A **wrong** one, on *both* sides (*twice*): count(*), `a * b * c`, "
            "Book(**new), f(*args, x*y), 2 * 3.",
        )
    )
    assert (
        "A <strong>wrong</strong> one, on <em>both</em> sides (<em>twice</em>): count(*), "
        "<code>a * b * c</code>, Book(**new), f(*args, x*y), 2 * 3." in card
    )


def test_an_answer_without_a_body_is_said_to_have_none() -> None:
    timeline = Timeline()
    timeline.add("commit")
    step: Any = {
        "asked": "DELETE /clubs/1",
        "status": 204,
        "body": "",
        "timeline": timeline.to_json(),
    }
    seen = Observation(exercise="90.shelf", attempt=Attempt(source="x"), seen={"gone": step})
    failed = a_verdict(Status.FAILED, evidence=seen, shows="gone")
    assert "`DELETE /clubs/1` answered 204, without a body." in show.card_text(failed)


def test_a_terminals_frame_is_as_wide_as_the_terminal() -> None:
    from rich.console import Console

    console = Console(width=50, record=True, force_terminal=False)
    long = "A shelf holds every book that there is, however long it takes to say so. " * 3
    console.print(show.card_rich(a_verdict(Status.FAILED, message=long), console.width))
    lines = console.export_text().splitlines()
    assert {len(line) for line in lines} == {50}
    inside = [line.strip("│ ") for line in lines[3:6]]
    assert all(len(line) > 35 for line in inside)  # no line is broken twice


# -- colours --------------------------------------------------------------------------------------
BACKGROUNDS = {"light": ("#ffffff",), "dark": ("#111111", "#1f1f1f")}  # JupyterLab's, VS Code's
INKS = ("ink", "soft", "good", "bad", "odd", "key", "value")


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("theme", "ink"), [*product(BACKGROUNDS, INKS)])
def test_every_ink_can_be_read_on_its_background(theme: str, ink: str) -> None:
    first, rest = re.findall(r"\{(--ink[^}]*)\}", picture.themed(".x"))[:2]
    colours = dict(re.findall(r"--(\w+):(#\w{6})", first if theme == "light" else rest))
    for background in (*BACKGROUNDS[theme], colours["mark"], colours["late"]):
        pair = sorted((luminance(colours[ink]), luminance(background)), reverse=True)
        assert (pair[0] + 0.05) / (pair[1] + 0.05) >= 4.5, background


@pytest.mark.parametrize(
    "page", ["[data-jp-theme-light=false]", ".vscode-dark", "[data-md-color-scheme=slate]"]
)
def test_dark_where_the_page_is_dark(page: str) -> None:
    assert f"{page} .de-card" in show._STYLE
    assert "prefers-color-scheme:dark" in show._STYLE
