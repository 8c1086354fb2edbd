"""Graded submissions, made up: plain ones, and anything that may come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from checks.grading.graded import Graded
from checks.grading.outcome import Ended, Raised
from checks.observe.evidence import Attempt, Observation, Trouble
from checks.verdict import Finding, Report, Status, Verdict

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def verdict(status: Status = Status.PASSED, name: str = "one", **more: Any) -> Verdict:
    """A verdict on an exercise of two points."""
    points = {Status.PASSED: 2.0, Status.FAILED: 0.5}.get(status, 0.0)
    about: dict[str, Any] = {
        "lesson": "03",
        "exercise": f"03.{name}",
        "title": f"The {name}",
        "statement": "It works.",
        "status": status,
        "points": points,
        "max_points": 2.0,
        "message": f"It is {status.words}.",
        "findings": [
            Finding(
                name="it_works",
                text="It works.",
                met=status is Status.PASSED,
                points=points,
                max_points=2.0,
                saw="It did not.",
            )
        ],
        "evidence": Observation(
            exercise=f"03.{name}",
            attempt=Attempt(source="app = FastAPI()"),
            seen={"kept": {"status": 201, "body": {"id": 1, "é": None}}},
            ms=12.5,
        ),
    }
    return Verdict(**{**about, **more})


def graded(learner: str = "ada", *verdicts: Verdict, lesson: str = "03", **more: Any) -> Graded:
    """A submission, of the exercises given or of one that passed."""
    exercises = list(verdicts or [verdict()])
    report = Report(
        file=f"{learner}/{lesson}.ipynb",
        lesson=lesson,
        points=sum(one.points for one in exercises),
        max_points=sum(one.max_points for one in exercises),
        exercises=exercises,
    )
    about: dict[str, Any] = {
        "learner": learner,
        "lesson": lesson,
        "file": report.file,
        "digest": "0" * 64,
        "checks": "1" * 64,
        "report": report,
        "graded_at": NOON,
        "seconds": 1.25,
    }
    return Graded(**{**about, **more})


# -- anything -----------------------------------------------------------------------------------
text = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(), max_size=12),  # half characters, too
    st.sampled_from(["\0", "\ud800", "=1+1", "a;=1", "<script>", "\x1b[31m", "\uffff", "a\r\n@b"]),
)
_number = st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)
_maybe = st.one_of(st.none(), text)
_observations = st.builds(
    Observation,
    exercise=text,
    attempt=st.builds(Attempt, source=_maybe, missing=st.lists(text, max_size=2)),
    seen=st.dictionaries(text, _json, max_size=3),
    trouble=st.one_of(st.none(), st.builds(Trouble, type=text, message=text, where=_maybe)),
    obstacle=_maybe,
    fault=_maybe,
    seed=st.integers(),
    ms=st.floats(),
)
_findings = st.builds(
    Finding, name=text, text=text, met=st.booleans(), points=_number, max_points=_number, saw=text
)
_verdicts = st.builds(
    Verdict,
    lesson=text,
    exercise=text,
    title=text,
    statement=text,
    status=st.sampled_from(Status),
    points=st.floats(0, 100),
    max_points=st.floats(0, 100),
    message=text,
    mistake=_maybe,
    findings=st.lists(_findings, max_size=2),
    shows=_maybe,
    marks=st.lists(text, max_size=2),
    evidence=st.one_of(st.none(), _observations),
)
_reports = st.builds(
    Report,
    file=text,
    lesson=_maybe,
    points=_number,
    max_points=_number,
    message=text,
    exercises=st.lists(_verdicts, max_size=3),
)
anything = st.builds(
    Graded,
    learner=st.one_of(text, st.text(min_size=150, max_size=400)),
    lesson=text,
    file=text,
    digest=text,
    checks=text,
    report=_reports,
    graded_at=st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.timezones()),
    ended=st.sampled_from(Ended),
    seconds=st.floats(0, 1e6),
    raised=st.lists(
        st.builds(Raised, cell=st.integers(0, 99), type=text, message=text, at=_maybe), max_size=2
    ).map(tuple),
    answers=st.dictionaries(text, text, max_size=2),
    look=st.lists(text, max_size=2).map(tuple),
    notes=st.lists(text, max_size=2).map(tuple),
)
