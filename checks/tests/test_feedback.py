"""The page that a learner gets back, and what both pages share: names, cards, colours."""

from __future__ import annotations

import re
import sys
import tempfile
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import charts, course, show
from checks.authoring.rehearse import Rehearsal
from checks.grading import feedback, page
from checks.grading.graded import Graded
from checks.grading.outcome import Ended, Raised
from checks.observe.evidence import Attempt, Observation
from checks.observe.timeline import KINDS
from checks.tests.handed_in import FIRST, LESSON, SECOND, event, finding, graded, texts, verdict
from checks.tests.markup import Page
from checks.verdict import Status, Verdict


@cache
def rehearsed(exercise: str, code: str | None) -> Verdict:
    """What the check says of an answer; of the course's solution when there is none."""
    cards = {entry.id: entry.card for entry in LESSON.exercises}
    rehearsal = Rehearsal(LESSON.master, cards)
    return rehearsal.verdict(exercise, rehearsal.solution(exercise) if code is None else code)


# -- what it says ---------------------------------------------------------------------------------
def test_a_pass_and_a_failure_are_the_cards_of_the_notebook() -> None:
    passed = rehearsed(FIRST, None)
    failed = rehearsed(SECOND, "app = FastAPI()\n")
    assert (passed.status, failed.status) == (Status.PASSED, Status.FAILED)
    made = feedback.page(graded(passed, failed), LESSON)
    for one in (passed, failed):
        assert re.sub("<style>.*?</style>", "", show.card_html(one)) in made
    read = Page(made)
    assert "Ann Lee" in read.text
    assert f"{passed.points:g} of {passed.max_points + failed.max_points:g} points" in read.text
    assert "1 of 2 exercises passed" in read.text
    for each in passed.findings:
        assert each.text.replace("`", "") in read.text


def test_a_project_is_told_without_points() -> None:
    met = finding(met=True, max_points=0)
    passed = verdict(Status.PASSED, points=0, max_points=0, findings=[met])
    failed = verdict(Status.FAILED, SECOND, points=0, max_points=0)
    text = Page(feedback.page(graded(passed, failed), LESSON)).text
    assert "For no points: 1 of 2 exercises passed." in text
    assert "0 of 0" not in text and "0/0" not in text


def test_hints_are_folded_below_a_failure_and_the_solution_is_nowhere() -> None:
    made = feedback.page(graded(verdict(), verdict(Status.PASSED, SECOND)), LESSON)
    first, second = LESSON.exercises
    for number, hint in enumerate(first.card.hints, 1):
        folded = f"<details><summary>Hint {number} of {len(first.card.hints)}</summary>"
        assert f"{folded}<p>{page.prose(hint)}</p></details>" in made
    assert page.prose(second.card.hints[0]) not in made
    assert first.solution not in Page(made).text


def test_it_says_what_stopped_the_notebook_and_what_its_cells_raised() -> None:
    one = graded(
        verdict(Status.TIMED_OUT),
        message="Cell 3 ran longer than it may.",
        ended=Ended.TIMED_OUT,
        raised=(Raised(4, "NameError", "name 'sesion' is not defined", "line 2: sesion.add(u)"),),
    )
    text = Page(feedback.page(one, LESSON)).text
    assert "What stopped your notebook Cell 3 ran longer than it may." in text
    assert "Cell 5: NameError: name 'sesion' is not defined line 2: sesion.add(u)" in text


def test_of_many_exceptions_the_first_are_shown_and_the_rest_is_folded() -> None:
    raised = tuple(Raised(number, "KeyError", f"'key {number}'") for number in range(37))
    made = feedback.page(graded(verdict(), raised=raised), LESSON)
    before, _, folded = made.partition("<summary>32 more</summary>")
    assert "&#x27;key 4&#x27;" in before and "&#x27;key 5&#x27;" not in before
    assert "&#x27;key 29&#x27;" in folded and "And 7 more." in folded


def test_a_fault_is_ours_and_its_traceback_stays_here() -> None:
    broken = rehearsed(FIRST, None).model_copy(
        update={
            "status": Status.FAULT,
            "message": "This check broke, not your code.",
            "evidence": Observation(
                exercise=FIRST, attempt=Attempt(), fault="Traceback of ours", seed=987_654_321
            ),
        }
    )
    made = feedback.page(graded(broken), LESSON)
    assert "This check broke, not your code." in made
    assert "Traceback" not in made
    assert "987654321" not in made


def test_nothing_of_others_and_nothing_for_the_grader_alone() -> None:
    one = graded(
        verdict(),
        file="group of Bob and Cyn.zip!Cyn Moe/00_start_here.ipynb",
        look=("It replaced print.",),
        notes=("Another copy lay in Bob's folder.",),
    )
    text = Page(feedback.page(one, LESSON)).text
    assert "00_start_here.ipynb" in text
    for secret in ("Bob", "Cyn", "replaced"):
        assert secret not in text


@pytest.mark.parametrize(
    "place",
    [str(course.root()), sys.prefix, str(Path(tempfile.gettempdir(), "checks-1"))],
)
def test_no_path_of_this_machine(place: str) -> None:
    said = f"No such file: '{place}/lessons/x.db'"
    step: dict[str, Any] = {
        "asked": "GET /",
        "status": 500,
        "body": said,
        "timeline": [event(text=said)],
    }
    one = graded(
        verdict(
            message=said,
            shows="step",
            findings=[finding(saw=said)],
            evidence=Observation(exercise=FIRST, attempt=Attempt(), seen={"step": step}),
        ),
        message=said,
        raised=(Raised(1, "OSError", said, said),),
    )
    made = feedback.page(one, LESSON)
    assert place not in made
    assert "…" in made


# -- hostile --------------------------------------------------------------------------------------
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400)])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(st.sampled_from(["sql", "params", "ms", "many", "rows"]), inner | numbers)
    ),
    max_leaves=12,
)
events = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(KINDS) | texts | values,
        "at_ms": numbers | values,
        "request": st.integers(0, 3) | values,
        "detail": values,
        "other": values,
    },
)
steps = st.fixed_dictionaries(
    {"asked": values, "timeline": st.lists(events | values, max_size=6) | values},
    optional={"status": values, "sent": values, "body": values},
)
verdicts = st.builds(
    verdict,
    status=st.sampled_from(Status),
    title=texts,
    statement=texts,
    message=texts,
    shows=st.just("step") | st.none() | texts,
    marks=st.lists(st.sampled_from(KINDS), max_size=2),
    findings=st.lists(
        st.builds(finding, text=texts, saw=texts, wanted=texts, why=texts, met=st.booleans())
    ),
    evidence=st.none()
    | st.builds(
        lambda seen: Observation.model_construct(exercise=FIRST, attempt=Attempt(), seen=seen),
        st.dictionaries(st.just("step") | texts, steps | values, max_size=2),
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    one=st.builds(
        lambda learner, each, message, file, raised: graded(
            *each, learner=learner, message=message, file=file, raised=tuple(raised)
        ),
        texts,
        st.lists(verdicts, max_size=2),
        texts,
        texts,
        st.lists(st.builds(Raised, st.integers(), texts, texts, st.none() | texts), max_size=3),
    )
)
def test_whatever_comes_in_the_page_is_ours(one: Graded) -> None:
    Page(feedback.page(one, LESSON)).text.encode()


def test_what_is_shown_of_evidence_is_bounded() -> None:
    endless = [event(text="x" * 10_000) for _ in range(5000)]
    step: dict[str, Any] = {
        "asked": "y" * 100_000,
        "status": 200,
        "body": ["z"] * 100_000,
        "timeline": endless,
    }
    one = verdict(
        message="m" * 1_000_000,
        shows="step",
        evidence=Observation(exercise=FIRST, attempt=Attempt(), seen={"step": step}),
    )
    made = feedback.page(graded(one, learner="n" * 100_000), LESSON)
    assert len(made) < 1_000_000
    assert "4700 more events are not shown." in made


# -- names of files -------------------------------------------------------------------------------
names = st.text(max_size=300) | st.text(alphabet="abAB. -_/\\é\u0301:*", max_size=6)


@settings(max_examples=500)
@given(names, names)
def test_two_learners_never_share_a_file(one: str, other: str) -> None:
    if one != other:
        files = (page.file_name(one), page.file_name(other))
        alike = {unicodedata.normalize("NFD", name).casefold() for name in files}
        assert len(alike) == 2


@settings(max_examples=500)
@given(names | st.text(alphabet=st.characters(), max_size=50))
def test_every_file_system_takes_the_name(learner: str) -> None:
    name = page.file_name(learner)
    assert name == page.file_name(learner)
    assert 0 < len(name.encode()) <= 200
    assert not set(name) & set('<>:"/\\|?*\0 ')
    assert name[0] not in ".-"
    assert name[-1] not in "."
    assert name.isprintable()


@pytest.mark.parametrize(
    "learner",
    ["..", ".", "", "/etc/passwd", "con", "AUX", "com1", "lpt9.txt", "nul.html", "a" * 300],
)
def test_names_that_mean_something_to_a_file_system(learner: str) -> None:
    name = page.file_name(learner)
    stem = name.partition(".")[0]
    assert stem not in ("con", "aux", "nul", "com1", "lpt9", "")
    assert "/" not in name


def test_a_plain_name_stays_and_a_made_up_one_cannot_take_anothers_place() -> None:
    assert page.file_name("ann.lee-2") == "ann.lee-2"
    assert page.file_name("李小明").startswith("李小明-")
    theirs = page.file_name("Ann")
    assert page.file_name(theirs) != theirs


# -- writing --------------------------------------------------------------------------------------
def test_written_whole(tmp_path: Path) -> None:
    one = graded(verdict(), learner="../../Ann")
    path = feedback.write(one, LESSON, tmp_path)
    assert path.is_relative_to(tmp_path)
    assert path == tmp_path / page.feedback_file("../../Ann", "00")
    assert path.name == "00_start_here.html"
    assert path.read_text(encoding="utf-8") == feedback.page(one, LESSON)
    with pytest.raises(KeyboardInterrupt), page.writing(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == feedback.page(one, LESSON)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


# -- colours --------------------------------------------------------------------------------------
def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_read_can_be_read(theme: str) -> None:
    (sheet,) = Page(page.head("x") + page.FOOT).styles
    light, dark = re.findall(r"\.page\{(--[^}]*)\}", sheet)[:2]
    colours = dict(
        pair.removeprefix("--").split(":")
        for pair in (light if theme == "light" else dark).split(";")
    )
    for ink in ("ink", "soft", "good", "bad", "odd", "key", "value"):
        assert contrast(colours[ink], page.PAPER[theme]) >= 4.5, ink
    for ground in ("late", "mark"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5, ground
    for kind, colour in (charts.LIGHT if theme == "light" else charts.DARK).items():
        assert contrast(colour, page.PAPER[theme]) >= 3, kind
