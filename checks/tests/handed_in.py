"""Graded submissions for tests of what is made from them, and the texts that hostile ones hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from checks import course
from checks.grading.graded import Graded
from checks.verdict import Finding, Report, Status, Verdict

LESSON = course.lesson("00")
FIRST, SECOND = (entry.id for entry in LESSON.exercises)
SCRIPT = '<script>alert(1)</script><img src=x onerror="alert(2)">'


def graded(*verdicts: Verdict, learner: str = "Ann Lee", **more: Any) -> Graded:
    report = Report(
        file="x.ipynb",
        lesson="00",
        points=sum(one.points for one in verdicts),
        max_points=sum(one.max_points for one in verdicts),
        message=more.pop("message", ""),
        exercises=list(verdicts),
    )
    return Graded(
        learner=learner,
        lesson="00",
        file=more.pop("file", "Ann Lee/00_start_here.ipynb"),
        digest="d" * 64,
        checks="c" * 64,
        report=report,
        graded_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        **more,
    )


def verdict(status: Status = Status.FAILED, exercise: str = FIRST, **more: Any) -> Verdict:
    return Verdict(
        **{
            "lesson": "00",
            "exercise": exercise,
            "title": "The opening hours",
            "statement": "It says when it opens.",
            "status": status,
            "points": 3 if status is Status.PASSED else 1,
            "max_points": 3,
            "message": "It says nothing. Return the hours.",
            **more,
        }
    )


def event(**detail: Any) -> dict[str, Any]:
    return {"kind": "note", "at_ms": 1.0, "request": 0, "detail": detail}


def finding(**more: Any) -> Finding:
    given = {"name": "one", "text": "One", "met": False, "points": 0, "max_points": 1}
    return Finding(**{**given, **more})


texts = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="<>&\"'`/=! \n\x00\u202e\ud800script", max_size=30),
    st.sampled_from([SCRIPT, '"><svg onload=alert(1)>', "]]><!--", "</style><script>", "a" * 5000]),
)
