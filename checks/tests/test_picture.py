"""The timeline as a picture: what a beginner reads, and that no content can break out of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.observe import picture
from checks.observe.timeline import KINDS, Event, Timeline

INSERT = "INSERT INTO book (title, author_id) VALUES (?, ?)"


def timeline(*events: tuple[Any, ...], request: int = 1) -> Timeline:
    """A timeline of (kind, details), one millisecond apart; a third item is the request."""
    return Timeline(
        Event(one[0], float(n), one[2] if len(one) > 2 else request, one[1])
        for n, one in enumerate(events)
    )


LIED = timeline(
    ("request", {"method": "POST", "path": "/books"}),
    ("session_open", {"session": 1}),
    ("checkout", {"connection": 1}),
    ("begin", {"connection": 1, "sql": None}),
    (
        "sql",
        {
            "sql": INSERT,
            "params": {"title": "Emma", "author_id": 9},
            "rows": 1,
            "ms": 0.4,
            "connection": 1,
        },
    ),
    ("response", {"status": 201}),
    ("body", {"size": 8}),
    ("commit", {"connection": 1, "failed": "IntegrityError: FOREIGN KEY constraint failed"}),
    ("rollback", {"connection": 1}),
    ("checkin", {"connection": 1}),
    ("session_close", {"session": 1}),
    (
        "error",
        {
            "type": "IntegrityError",
            "message": "(sqlite3.IntegrityError) FOREIGN KEY constraint failed",
            "where": "line 9: session.commit()",
        },
    ),
)

ASKED_FIFTY_TIMES = timeline(
    ("request", {"method": "GET", "path": "/authors"}),
    ("begin", {"connection": 1, "sql": None}),
    ("sql", {"sql": "SELECT id FROM author", "params": {}, "rows": 50, "ms": 1.0}),
    *(
        (
            "sql",
            {
                "sql": "SELECT title FROM book WHERE ? = author_id",
                "params": {"param_1": n},
                "rows": 3,
                "ms": 0.5,
            },
        )
        for n in range(50)
    ),
    ("rollback", {"connection": 1}),
    ("response", {"status": 200}),
    ("body", {"size": 3000}),
)

AT_ONCE = timeline(
    ("request", {"method": "POST", "path": "/buy"}, 1),
    ("sql", {"sql": "SELECT stock FROM book", "params": {}}, 1),
    ("request", {"method": "POST", "path": "/buy"}, 2),
    ("sql", {"sql": "SELECT stock FROM book", "params": {}}, 2),
    ("response", {"status": 201}, 1),
    ("body", {"size": 2}, 1),
    ("response", {"status": 409}, 2),
    ("body", {"size": 2}, 2),
    ("commit", {"connection": 1}, 1),
)


# -- plain text ------------------------------------------------------------------------------------
def test_the_201_that_lied_in_text() -> None:
    assert str(LIED) == (
        "POST /books  201  1 statement, 11.0 ms\n"
        "    +1.0 ms   ◇ session opened\n"
        "    +2.0 ms   ↗ connection out\n"
        "    +3.0 ms ┌ ○ begin\n"
        "    +4.0 ms │ ≡ SQL             INSERT INTO book (title, author_id) VALUES (?, ?)\n"
        "                                with title='Emma', author_id=9  (1 row, 0.4 ms)\n"
        "    +5.0 ms │ ◀ response        201\n"
        "    +6.0 ms │ ■ body sent       8 bytes\n"
        "            │ -------- the client has its answer ---------\n"
        "    +7.0 ms └ ✖ commit          REFUSED: IntegrityError: FOREIGN KEY constraint failed\n"
        "    +8.0 ms   ↩ rollback\n"
        "    +9.0 ms   ↙ connection back\n"
        "   +10.0 ms   ◆ session closed\n"
        "   +11.0 ms   ✖ exception       IntegrityError: FOREIGN KEY constraint failed at line 9:\n"
        "                                session.commit()"
    )


def test_a_statement_asked_fifty_times_in_text() -> None:
    assert str(ASKED_FIFTY_TIMES) == (
        "GET /authors  200  51 statements, 55.0 ms\n"
        "    +1.0 ms ┌ ○ begin\n"
        "    +2.0 ms │ ≡ SQL             SELECT id FROM author  (50 rows, 1.0 ms)\n"
        "    +3.0 ms │ ≡ SQL × 50        SELECT title FROM book WHERE ? = author_id  "
        "(150 rows, 25.0 ms)\n"
        "   +53.0 ms └ ↩ rollback\n"
        "   +54.0 ms   ◀ response        200\n"
        "   +55.0 ms   ■ body sent       3000 bytes"
    )


def test_requests_at_once_stand_side_by_side_in_text() -> None:
    assert str(AT_ONCE) == (
        "    +0.0 ms #1    ▶ request         POST /buy\n"
        "    +1.0 ms #1    ≡ SQL             SELECT stock FROM book\n"
        "    +2.0 ms    #2 ▶ request         POST /buy\n"
        "    +3.0 ms    #2 ≡ SQL             SELECT stock FROM book\n"
        "    +4.0 ms #1    ◀ response        201\n"
        "    +5.0 ms #1    ■ body sent       2 bytes\n"
        "            ----- the client of #1 has its answer ------\n"
        "    +6.0 ms    #2 ◀ response        409\n"
        "    +7.0 ms    #2 ■ body sent       2 bytes\n"
        "    +8.0 ms #1    ✔ commit"
    )


def test_requests_one_after_the_other_each_have_their_heading() -> None:
    two = timeline(
        ("request", {"method": "GET", "path": "/a"}, 1),
        ("response", {"status": 200}, 1),
        ("note", {"text": "between"}, 0),
        ("request", {"method": "GET", "path": "/b"}, 2),
    )
    assert str(two) == (
        "GET /a  200  1.0 ms\n"
        "    +1.0 ms   ◀ response        200\n"
        "\n"
        "    +0.0 ms   ✎ note            between\n"
        "\n"
        "GET /b  no response  0.0 ms"
    )


def test_marks_point_in_text_and_html() -> None:
    text = picture.as_text(LIED, marks=("commit",))
    assert [line for line in text.splitlines() if line.startswith("→")] == [
        "→   +7.0 ms └ ✖ commit          REFUSED: IntegrityError: FOREIGN KEY constraint failed"
    ]
    assert picture.as_html(LIED, marks=("commit",)).count("→") == 1


def test_a_mark_can_name_how_the_statement_begins() -> None:
    timeline = Timeline()
    for sql in ("SELECT 1", "UPDATE book SET copies=?", "UPDATE orders SET copies=?"):
        timeline.add("sql", sql=sql, parameters=None, rows=1, ms=0.1, failed=None, connection=1)
    for mark, pointed in (("sql", 3), ("sql update", 2), ("sql UPDATE book", 1), ("sql DELETE", 0)):
        assert picture.as_text(timeline, marks=(mark,)).count("→") == pointed
        assert picture.as_html(timeline, marks=(mark,)).count("→") == pointed


def test_a_mark_can_point_at_a_session_that_was_used_again() -> None:
    timeline = Timeline()
    timeline.add("session_open", session=1)
    timeline.add("session_open", session=1, reopened=True)
    for mark, pointed in (("session_open", 2), ("session_open again", 1)):
        assert picture.as_text(timeline, marks=(mark,)).count("→") == pointed


def test_an_empty_timeline_says_what_to_do() -> None:
    assert "Send a request inside the `with trace(app, engine)" in str(Timeline())
    assert "<code>with trace(app, engine) as seen:</code>" in Timeline()._repr_html_()


def test_lines_break_alike_however_long_things_took() -> None:
    def lines(ms: float) -> list[str]:
        seen = timeline(("sql", {"sql": "SELECT " + "a" * 50, "params": {}, "rows": 1, "ms": ms}))
        return [re.sub(r"\d+\.\d ms", "N ms", line) for line in str(seen).splitlines()]

    assert lines(0.1) == lines(1234.5)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (("chunk", {"size": 5}), "chunk           5 bytes"),
        (("chunk", {"size": 1}), "chunk           1 byte"),
        (("chunk", {"size": 5, "read": 1}), "chunk           5 bytes, the first after 1 row"),
        (("body", {"size": 0}), "body sent"),
        (("begin", {"sql": "BEGIN IMMEDIATE"}), "begin           BEGIN IMMEDIATE"),
        (("begin", {"sql": "BEGIN"}), "begin"),
        (("session_open", {"session": 1, "reopened": True}), "again, after it was closed"),
        (("savepoint", {"name": "sa_savepoint_1"}), "savepoint       sa_savepoint_1"),
        (("rollback", {"connection": None}), "rollback"),
        (("sql", {"sql": "X", "params": [1, "a"]}), "X  with 1, 'a'"),
        (("sql", {"sql": "X", "params": ["•••"]}), "X  with •••"),
        (("sql", {"sql": "X", "params": [[1], [2]], "many": 9}), "X  with 9 sets: 1; 2; …"),
        (("sql", {"sql": "VALUES (?, ?)" + ", (?, ?)" * 9}), "VALUES (?, ?), … × 10"),
    ],
)
def test_what_is_said_of_an_event(event: tuple[str, dict[str, Any]], said: str) -> None:
    assert str(timeline(event)).endswith(said)


def test_sessions_and_connections_are_numbered_only_where_there_are_several() -> None:
    one = timeline(("checkout", {"connection": 1}), ("checkin", {"connection": 1}))
    two = timeline(("checkout", {"connection": 1}), ("checkout", {"connection": 2}))
    assert "connection 1" not in str(one)
    assert "connection 2" in str(two)


BLOCKED = timeline(
    ("request", {"method": "GET", "path": "/books/1"}),
    ("sql", {"sql": "SELECT 1", "blocks": True, "where": "line 3: db.scalar(one)"}),
    ("sql", {"sql": "SELECT 1"}),
    ("commit", {"connection": 1, "blocks": True, "where": None, "failed": "IntegrityError: no"}),
)


def test_what_holds_up_the_event_loop_says_so_and_where() -> None:
    assert str(BLOCKED) == (
        "GET /books/1  no response  2 statements, 3.0 ms\n"
        "    +1.0 ms   ≡ SQL             SELECT 1  "
        "ON THE EVENT LOOP: everybody waits, line 3: db.scalar(one)\n"
        "    +2.0 ms   ≡ SQL             SELECT 1\n"
        "    +3.0 ms   ✖ commit          ON THE EVENT LOOP: everybody waits  REFUSED: "
        "IntegrityError: no"
    )


# -- HTML ------------------------------------------------------------------------------------------
ALLOWED = {
    *("div", "style", "section", "p", "ol", "ul", "li"),
    *("span", "b", "i", "em", "strong", "code", "details", "summary"),
}


class Page(HTMLParser):
    """Reads a picture as a browser would, and notes what should not be there."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []
        self.seen: list[str] = []
        self.feed(html)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        if tag not in ALLOWED:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            known = name == "class" and re.fullmatch(r"[a-z0-9_ -]*", value or "")
            if not known and (name, value) != ("aria-hidden", "true"):
                self.wrong.append(f"{name}={value!r}")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append("a comment")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append("a declaration")

    def handle_pi(self, data: str) -> None:
        self.wrong.append("a processing instruction")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append("a declaration")

    @property
    def text(self) -> str:
        """What is read without any styles."""
        return " ".join("".join(self.seen).split())


@pytest.mark.parametrize("seen", [LIED, ASKED_FIFTY_TIMES, AT_ONCE], ids=["lied", "n+1", "two"])
def test_html_is_well_formed(seen: Timeline) -> None:
    assert Page(seen._repr_html_()).wrong == []


def test_html_reads_without_styles_and_without_colours() -> None:
    """As in a notebook that is not trusted, or read aloud."""
    read = Page(LIED._repr_html_()).text
    for said in (
        "POST /books 201 1 statement, 11.0 ms",
        f"+4.0 ms ≡ SQL {INSERT} with title='Emma', author_id=9 1 row, 0.4 ms",
        "+6.0 ms ■ body sent 8 bytes",
        "the client has its answer",
        "+7.0 ms ✖ commit refused: IntegrityError: FOREIGN KEY constraint failed",
        "✖ exception IntegrityError: FOREIGN KEY constraint failed at line 9: session.commit()",
    ):
        assert said in read
    assert "#1 ■ body sent" in Page(AT_ONCE._repr_html_()).text


def test_html_says_what_holds_up_the_event_loop() -> None:
    read = Page(BLOCKED._repr_html_())
    assert read.wrong == []
    assert "SELECT 1 on the event loop: everybody waits, line 3: db.scalar(one)" in read.text


def test_html_tells_what_of_a_statement_is_a_comment() -> None:
    pasted = "SELECT id FROM staff WHERE name = 'ada' --' AND password = 'no idea'"
    shown = timeline(("sql", {"sql": pasted, "params": {}}))._repr_html_()
    assert "<em>&#x27;ada&#x27;</em> <i>--&#x27; AND password = &#x27;no idea&#x27;</i>" in shown


def test_a_repeated_statement_is_one_row_with_all_its_parameters() -> None:
    html = ASKED_FIFTY_TIMES._repr_html_()
    read = Page(html).text
    assert "SQL × 50 SELECT title FROM book WHERE ? = author_id" in read
    assert html.count("SELECT</b> title") == 1
    assert "param_1=0" in read and "param_1=49" in read
    assert "150 rows, 25.0 ms" in read


def test_only_equal_neighbours_of_one_request_are_folded() -> None:
    apart = timeline(
        ("sql", {"sql": "SELECT 1"}),
        ("sql", {"sql": "SELECT 2"}),
        ("sql", {"sql": "SELECT 1"}),
        ("sql", {"sql": "SELECT 1", "failed": "no"}),
        ("sql", {"sql": "SELECT 1"}, 2),
    )
    assert "×" not in str(apart)
    assert "×" not in Page(apart._repr_html_()).text


def test_very_many_events_are_folded_away_but_there() -> None:
    many = timeline(*(("note", {"text": f"note {n}"}) for n in range(100)))
    page = Page(many._repr_html_())
    assert page.wrong == []
    assert "40 more events" in page.text
    assert "note 99" in page.text


def test_a_picture_is_small() -> None:
    """Each output carries its styles, so that any of them stands alone; they must stay few."""
    assert len(picture.STYLE) < 5000
    assert len(LIED._repr_html_()) - len(picture.STYLE) < 4000


def test_the_styles_touch_nothing_but_the_picture() -> None:
    rules = re.sub(r"@\w+\([^)]*\)\{", "", picture.STYLE).removeprefix("<style>")
    selectors = re.findall(r"([^{}]+)\{", rules)
    assert selectors
    for selector in selectors:
        assert all(".de-timeline" in part for part in selector.split(",")), selector


# Whatever may be found in a database, an address or an error.
NASTY = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</code></li><img src=x onerror=alert(1)>",
            "'\"><svg/onload=alert(1)>",
            "</style><style>*{display:none}",
            "<!-- ", "]]>", "&lt;script&gt;", "&#60;b&#62;",
            "\ud800", "\x00\x1b[31mred\x07", "\u202egnp.exe", "\r\n\t",
            "'unclosed", "/* unclosed", "--", "`", "$$", "\\",
            "SELECT '" + "<b>" * 500,
            "(?, ?)" + ", (?, ?)" * 300,
        ]
    ),
    st.text(max_size=60),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=10),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**310) | st.floats() | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    *("method", "path", "session", "reopened", "connection", "sql", "params", "many", "ms"),
    *("rows", "failed", "name", "type", "message", "where", "status", "size", "text"),
)
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(KINDS) | NASTY,
    at_ms=st.floats() | st.integers(0, 10**400),
    request=st.integers(0, 3) | st.integers(),
    detail=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
)


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=8), st.lists(st.sampled_from(KINDS) | NASTY, max_size=2))
def test_no_content_breaks_out_of_the_html(events: list[Event], marks: list[str]) -> None:
    html = picture.as_html(Timeline(events), marks)
    html.encode()  # it can be stored
    assert Page(html).wrong == []


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=8), st.integers(20, 120))
def test_no_content_steers_a_terminal(events: list[Event], width: int) -> None:
    text = picture.as_text(Timeline(events), width=width)
    text.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@given(NASTY)
def test_text_is_shown_and_not_obeyed(content: str) -> None:
    seen = timeline(("note", {"text": content}), ("sql", {"sql": "SELECT 1", "params": [content]}))
    assert set(Page(seen._repr_html_()).tags) <= {
        *("div", "style", "section", "ol", "li", "span", "i", "code", "b", "em"),
    }


def test_huge_content_stays_small() -> None:
    seen = timeline(
        ("request", {"method": "GET", "path": "/" + "a" * 10**6}),
        ("sql", {"sql": "SELECT " + "b" * 10**6, "params": ["c" * 10**6]}),
        ("note", {"text": "d" * 10**6}),
    )
    assert len(str(seen)) < 10_000
    assert len(seen._repr_html_()) < 10_000


# -- colours ---------------------------------------------------------------------------------------
# The grounds on which a picture is drawn: a white page, JupyterLab, VS Code and the site, and its
# own two tints.
GROUNDS = {
    "light": ("#ffffff", picture.LIGHT["late"], picture.LIGHT["mark"]),
    "dark": (
        "#111111",
        "#1e1e1e",
        "#212121",
        "#1e2129",
        picture.DARK["late"],
        picture.DARK["mark"],
    ),
}
INKS = ("ink", "soft", "good", "bad", "odd", "key", "value")


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_reckoned_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("theme", GROUNDS)
def test_every_colour_can_be_read_on_every_ground(theme: str) -> None:
    colours = picture.LIGHT if theme == "light" else picture.DARK
    weak = {
        f"{ink} on {ground}": round(contrast(colours[ink], ground), 2)
        for ink, ground in product(INKS, GROUNDS[theme])
        if contrast(colours[ink], ground) < 4.5
    }
    assert weak == {}
