"""`junit.xml`: a suite a submission, a test case an exercise, for whatever reads test results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from xml.sax.saxutils import XMLGenerator

from checks.grading.exports.out import shortened, written
from checks.grading.graded import Graded
from checks.grading.wire import clean
from checks.verdict import Status, Verdict

_LONGEST = 4000  # characters of one message

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_OUTCOME = {
    Status.FAILED: "failure",
    Status.NOT_ATTEMPTED: "skipped",
    Status.NOT_RUN: "skipped",
    Status.TIMED_OUT: "error",
    Status.DIED: "error",
    Status.UNREADABLE: "error",
    Status.FAULT: "error",
}


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Graded], None]]:
    """Open the file and take submissions.

    It holds to the schema of Ant's JUnit task, the strictest in use, and to Jenkins's. A case's
    class name is `learner/lesson`. Failed is a failure; not attempted and not run are skipped;
    timed out, died, unreadable and a fault of the check are errors.

    Raises:
        CourseError: it cannot be written.
    """
    with written(path) as file:
        xml = _Xml(file, encoding="utf-8", short_empty_elements=True)
        xml.startDocument()
        xml.startElement("testsuites", {})
        numbers = iter(range(1 << 31))
        yield lambda graded: _suite(xml, graded, next(numbers))
        xml.endElement("testsuites")
        xml.endDocument()


class _Xml(XMLGenerator):
    """Writes only what XML may hold."""

    def element(self, name: str, attributes: dict[str, str], content: str = "") -> None:
        self.startElement(name, attributes)
        if content:
            self.characters(_text(content))
        self.endElement(name)

    def startElement(self, name: str, attrs: object) -> None:  # noqa: N802 (the base class's name)
        assert isinstance(attrs, dict)
        super().startElement(name, {key: _text(value) for key, value in attrs.items()})  # type: ignore[arg-type]


def _text(value: str) -> str:
    cleaned: str = clean(value)
    return shortened(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", cleaned), _LONGEST)


def _suite(xml: _Xml, graded: Graded, number: int) -> None:
    exercises = graded.report.exercises
    outcomes = Counter(_OUTCOME.get(one.status) for one in exercises)
    name = f"{graded.learner}/{graded.lesson}"
    attributes = {
        "name": name,
        "package": name,
        "id": str(number),
        "timestamp": graded.graded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "hostname": "localhost",
        "tests": str(len(exercises)),
        "failures": str(outcomes["failure"]),
        "errors": str(outcomes["error"]),
        "skipped": str(outcomes["skipped"]),
        "time": f"{graded.seconds:.3f}",
    }
    xml.startElement("testsuite", attributes)
    xml.startElement("properties", {})
    for key, value in (
        ("lesson", graded.lesson),
        ("file", graded.file),
        ("points", f"{graded.report.points:g}"),
        ("max_points", f"{graded.report.max_points:g}"),
    ):
        xml.element("property", {"name": key, "value": value})
    xml.endElement("properties")
    for one in exercises:
        _case(xml, one, name)
    xml.element("system-out", {})
    xml.element("system-err", {}, "\n".join(graded.look))
    xml.endElement("testsuite")


def _case(xml: _Xml, verdict: Verdict, classname: str) -> None:
    took = verdict.evidence.ms if verdict.evidence else 0.0  # as the submission says it
    seconds = min(max(took, 0.0), 1e9) / 1000
    xml.startElement(
        "testcase",
        {"name": verdict.exercise, "classname": classname, "time": f"{seconds:.3f}"},
    )
    outcome = _OUTCOME.get(verdict.status)
    if outcome == "skipped":
        xml.element("skipped", {"message": verdict.message})
    elif outcome:
        kind = verdict.mistake or verdict.status.value
        findings = "\n".join(
            f"{one.text} {one.saw} {one.wanted} {one.why}"
            for one in verdict.findings
            if not one.met
        )
        xml.element(outcome, {"message": verdict.message, "type": kind}, findings)
    xml.endElement("testcase")
