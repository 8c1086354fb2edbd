"""The report of a class: that it counts right, says what wants a look, and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Dialog

from checks.grading import classreport, feedback, page
from checks.grading.graded import Graded
from checks.grading.outcome import Ended, Raised
from checks.observe.evidence import Attempt, Observation
from checks.tests.browser import browser
from checks.tests.handed_in import FIRST, LESSON, SCRIPT, SECOND, finding, graded, texts, verdict
from checks.tests.markup import Page
from checks.tests.test_similar import OWN, RENAMED
from checks.verdict import Status, Verdict


def report(*class_: Graded, notices: Sequence[str] = (), out: Path) -> str:
    path = classreport.write(iter(class_), notices, out)
    assert path == out / "report.html"
    return path.read_text(encoding="utf-8")


def second(status: Status, **more: object) -> Verdict:
    return verdict(status, SECOND, **{"title": "The book", "points": 0, "max_points": 3} | more)


def passed(learner: str) -> Graded:
    return graded(
        verdict(Status.PASSED), second(Status.PASSED, points=3), learner=learner, seconds=1.5
    )


def figure(source: str, caption: str) -> str:
    """A plot with its table."""
    found = re.search(rf"<figure><figcaption>{caption}</figcaption>.*?</figure>", source, re.DOTALL)
    assert found
    return found[0]


def table(source: str, caption: str) -> dict[str, list[str]]:
    """The rows of a plot's table."""
    body = figure(source, caption).partition("<tbody>")[2]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', body)
    return {unescape(label): re.findall(r"<td[^>]*>(.*?)</td>", cells) for label, cells in rows}


def box(source: str, title: str) -> str:
    """What is said of one kind that wants a look."""
    found = re.search(rf'<div class="box"><h3>[^/]*</b> {title}</h3>.*?</div>', source, re.DOTALL)
    assert found
    return found[0]


# -- counting -------------------------------------------------------------------------------------
def test_a_project_has_no_points_and_its_passes_count(tmp_path: Path) -> None:
    done, open_ = (
        finding(name="ticket", text="Ticket 1. Nothing leaks.", met=met, max_points=0)
        for met in (True, False)
    )
    whole = [
        verdict(Status.PASSED, points=0, max_points=0),
        second(Status.PASSED, max_points=0, findings=[done]),
    ]
    half = [whole[0], second(Status.FAILED, max_points=0, findings=[open_])]
    made = report(graded(*whole, learner="Ann"), graded(*half, learner="Bob"), out=tmp_path)
    text = Page(made).text
    assert "of 0" not in text and "no points" in text
    assert "50%" in text  # all passed: Ann
    assert "<figcaption>Points</figcaption>" not in made
    assert "Ticket 1. Nothing leaks. 1 of 2" in text


def test_it_counts(tmp_path: Path) -> None:
    failed = second(Status.FAILED, mistake="no_commit", message="Nobody committed.")
    made = report(
        passed("Ann"),
        graded(verdict(Status.PASSED), failed, learner="Bob", seconds=3),
        graded(verdict(), second(Status.NOT_ATTEMPTED), learner="Cyn", seconds=3.5),
        graded(
            verdict(Status.NOT_ATTEMPTED, points=0),
            second(Status.NOT_ATTEMPTED),
            learner="Dan",
            seconds=70,
        ),
        out=tmp_path,
    )
    text = Page(made).text
    assert "4 learners, 4 submissions" in text
    points = table(made, "Points")
    assert points.pop("all") == ["1"]
    assert points.pop("50") == ["1"]  # 3 of 6
    assert points.pop("10") == ["1"]  # 1 of 6
    assert points.pop("0") == ["1"]
    assert set(map(tuple, points.values())) == {("0",)}
    verdicts = table(made, "Verdicts of each exercise, in %")
    assert verdicts == {
        "The opening hours": ["50", "25", "25"],
        "The book": ["25", "25", "50"],
    }
    assert table(made, "The last exercise attempted") == {
        "nothing attempted": ["1"],
        "The opening hours": ["1"],
        "The book": ["2"],
    }
    times = table(made, "Run times")
    assert (times["<2"], times["<5"], times["60+"]) == (["1"], ["2"], ["1"])


def test_shares_have_one_decimal_at_most(tmp_path: Path) -> None:
    others = [graded(verdict(), second(Status.FAILED), learner=name) for name in ("Ben", "Cyn")]
    made = report(passed("Ann"), *others, out=tmp_path)
    shares = table(made, "Verdicts of each exercise, in %")
    assert shares["The opening hours"] == ["33.3", "66.7"]


def test_an_answer_that_waits_for_an_earlier_exercise_is_an_attempt(tmp_path: Path) -> None:
    waits = second(
        Status.NOT_RUN, evidence=Observation(exercise=SECOND, attempt=Attempt(source="x = 1"))
    )
    made = report(
        graded(verdict(), waits, learner="Ann"),
        graded(verdict(), second(Status.NOT_RUN), learner="Bob"),
        out=tmp_path,
    )
    stops = table(made, "The last exercise attempted")
    assert (stops["The opening hours"], stops["The book"]) == (["1"], ["1"])


def test_mistakes_are_counted_with_their_message_and_where(tmp_path: Path) -> None:
    named = second(Status.FAILED, mistake="no_commit", message="Nobody `committed`.")
    missed = second(Status.FAILED, findings=[finding(text="It is kept.")])
    class_ = [graded(named, learner=f"learner-{number}") for number in range(7)]
    made = report(*class_, graded(missed, learner="zoe"), out=tmp_path)
    first, other = re.findall(
        r'<li><b class="times">.*?</div></div></li>|<li><b class="times">.*?</li>', made
    )
    assert Page(page.head("x") + f"<ul>{first}</ul>" + page.FOOT).text.startswith(
        "x 7 The book. Nobody committed."
    )
    assert "<summary>2 more</summary>" in first
    assert 'href="feedback/learner-0/00_start_here.html"' in first
    assert "no named mistake fits: </span>It is kept." in other


# -- what wants a look ----------------------------------------------------------------------------
def test_what_wants_a_look_comes_first(tmp_path: Path) -> None:
    died = "Cell 4 ended Python itself."
    unreadable = "This is not a notebook."
    made = report(
        passed("Ann"),
        replace(passed("Bob"), look=("It replaced print.", "It wrote to the grader's line.")),
        graded(verdict(Status.DIED), learner="Cyn", message=died, ended=Ended.DIED, look=(died,)),
        graded(
            verdict(Status.UNREADABLE),
            learner="Dan",
            message=unreadable,
            look=(f"It could not be read: {unreadable}",),
        ),
        graded(verdict(Status.FAULT), learner="Eve", look=(f"The check of {FIRST} broke.",)),
        replace(passed("Fay"), notes=("A second copy was not graded.",)),
        notices=("notes.docx is not a notebook.",),
        out=tmp_path,
    )
    signs = box(made, "Signs of tampering")
    assert signs.count("<li>") == 1
    assert "It replaced print. It wrote to the grader&#x27;s line." in signs
    assert ">Bob<" in signs
    assert died in box(made, "Ended before their time")
    assert unreadable in box(made, "Could not be read")
    assert ">Eve<" in box(made, "Checks that broke")
    assert FIRST in box(made, "Checks that broke")
    assert "A second copy was not graded." in box(made, "Graded, but not as they came")
    assert "notes.docx" in box(made, "Not graded")
    assert made.index("Signs of tampering") < made.index('id="lesson-00"')
    assert made.count("⚑</b>") == 4  # Bob, Cyn, Dan and Eve


def test_when_nothing_wants_a_look_it_says_so(tmp_path: Path) -> None:
    made = report(passed("Ann"), passed("Bob"), out=tmp_path)
    assert "Nothing asks for a human's eye" in Page(made).text
    assert 'class="box"' not in made
    assert "⚑</b>" not in made


def test_answers_that_are_alike_are_shown_side_by_side(tmp_path: Path) -> None:
    made = report(
        replace(passed("Ann"), answers={SECOND: OWN}),
        replace(passed("Bob"), answers={SECOND: RENAMED, "99.unknown": "x"}),
        replace(passed("Cyn"), answers={SECOND: "x = 1"}),
        out=tmp_path,
    )
    listed = box(made, "Answers that are alike")
    assert "<bdi>Ann</bdi> and <bdi>Bob</bdi>" in listed
    assert "a hint to look, never a verdict" in listed.lower()
    sides = made.partition('<table class="sides">')[2].partition("</table>")[0]
    text = unescape(re.sub("<[^>]*>", "\n", sides))
    for line in [*OWN.split("\n"), *RENAMED.split("\n")]:
        assert line in text
    assert 'class="differs"' in sides


# -- the list of learners -------------------------------------------------------------------------
def test_every_link_leads_to_a_page(tmp_path: Path) -> None:
    names = ["Ann", "a/b", "..", "李小明", "\ud800", SCRIPT, "Ann ", "con", "#x?y%20"]
    class_ = [passed(name) for name in names]
    for one in class_:
        feedback.write(one, LESSON, tmp_path / "feedback")
    links = {link for link in Page(report(*class_, out=tmp_path)).links if link[0] != "#"}
    assert len(links) == len(names)
    for link in links:
        assert (tmp_path / unquote(link)).is_file(), link


def test_learners_stand_by_name_and_a_large_class_is_folded(tmp_path: Path) -> None:
    made = report(*(passed(name) for name in ("Zoe", "élan", "Eve", "adam")), out=tmp_path)
    listed = made.partition('id="learners"')[2]
    assert re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', listed) == ["adam", "élan", "Eve", "Zoe"]
    large = report(*(passed(f"learner {n:04}") for n in range(600)), out=tmp_path)
    folded = large.partition('id="learners"')[2]
    assert "<summary><bdi>learner 0250</bdi> to <bdi>learner 0499</bdi></summary>" in folded
    assert len(Page(large).links) > 600


def test_the_report_streams(tmp_path: Path) -> None:
    """Each submission is let go before the next is taken: none is held on to."""
    alive: list[int] = []

    class Counted(Graded):  # weak references need a class without slots
        def __init__(self, **given: object) -> None:
            super().__init__(**given)  # type: ignore[arg-type]
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    def class_() -> Iterator[Graded]:
        for number in range(50):
            assert len(alive) <= 2
            one = passed(f"learner {number}")
            yield Counted(**{name: getattr(one, name) for name in Graded.__slots__})

    classreport.write(class_(), (), tmp_path)
    assert not alive


def test_an_empty_class_has_a_report(tmp_path: Path) -> None:
    assert "0 learners, 0 submissions" in Page(report(out=tmp_path)).text


# -- hostile --------------------------------------------------------------------------------------
hostile = st.builds(
    lambda learner, message, title, told, line, answer, ended, status, late: replace(
        graded(
            verdict(status, title=title, message=message, findings=[finding(text=told)]),
            second(Status.FAILED, mistake="some", message=told),
            learner=learner,
            message=message,
            ended=ended,
            raised=(Raised(1, told, message, line),),
            look=(told,),
            notes=(line,),
        ),
        answers={FIRST: answer, SECOND: f"{OWN}# {told}", line: answer},
        seconds=late,
    ),
    texts,
    texts,
    texts,
    texts,
    texts,
    texts | st.just(OWN),
    st.sampled_from(Ended),
    st.sampled_from(Status),
    st.floats(0, 1e6),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(hostile, max_size=4), st.lists(texts, max_size=3))
def test_whatever_comes_in_the_report_is_ours(
    tmp_path_factory: pytest.TempPathFactory, class_: list[Graded], notices: list[str]
) -> None:
    Page(report(*class_, notices=notices, out=tmp_path_factory.getbasetemp()))


@pytest.mark.browser
def test_nothing_runs_in_a_browser(tmp_path: Path) -> None:
    loud = SCRIPT + '<svg onload="alert(3)"><style>@import "http://example.invalid/x.css"</style>'
    one = graded(
        verdict(title=loud, message=loud, findings=[finding(text=loud, saw=loud)]),
        second(Status.FAILED, message=loud, mistake="some"),
        learner=loud,
        message=loud,
        raised=(Raised(1, loud, loud, loud),),
        look=(loud,),
        notes=(loud,),
        answers={SECOND: OWN + f"# {loud}"},
    )
    other = replace(one, learner="Bob", graded_at=one.graded_at + timedelta(minutes=1))
    pages = [
        feedback.write(one, LESSON, tmp_path / "feedback"),
        classreport.write([one, other], [loud], tmp_path),
    ]
    happened: list[str] = []

    def note_dialog(dialog: Dialog) -> None:
        happened.append(dialog.message)
        dialog.dismiss()

    with browser() as shown:
        shown.on("dialog", note_dialog)
        shown.on("request", lambda request: happened.append(request.url))
        shown.on("console", lambda message: happened.append(message.text))
        for path in pages:
            shown.goto(path.as_uri())
            assert "alert(1)" in shown.locator("main").inner_text()
            shown.locator("summary").first.click()
            assert shown.evaluate("document.scripts.length") == 0
            # The sheet is in force, so the policy lets it through; nothing lies beside the page.
            assert (
                shown.evaluate("getComputedStyle(document.querySelector('main')).maxWidth")
                != "none"
            )
            width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert shown.evaluate(width) == 0
        assert happened == [path.as_uri() for path in pages]
        # What if something slipped through all the same: the policy refuses it.
        shown.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"alert(4)\">')"
        )
        shown.wait_for_function("document.images[0].complete")
        refused = [said for said in happened if "Content Security Policy" in said]
        assert len(refused) == 2  # the image and its handler
        assert "alert(4)" not in happened
