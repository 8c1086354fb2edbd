"""The timeline: the questions one asks of it, and its way to JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.observe.timeline import KINDS, Event, Timeline


def timeline(*events: tuple[str, dict[str, Any]] | str, request: int = 1) -> Timeline:
    """A timeline of kinds, or of kinds with details."""
    pairs = [(one, {}) if isinstance(one, str) else one for one in events]
    return Timeline(Event(kind, n, request, detail) for n, (kind, detail) in enumerate(pairs))


def sql(*statements: str) -> Timeline:
    """A timeline of statements alone."""
    return timeline(*(("sql", {"sql": statement}) for statement in statements))


# -- statements ------------------------------------------------------------------------------------
READING = [
    "SELECT 1",
    "select book.id from book",
    "(SELECT 1) UNION (SELECT 2)",
    "VALUES (1)",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "WITH a AS (SELECT 'INSERT INTO b') SELECT * FROM a",
    'WITH a AS (SELECT "update" FROM b) SELECT replace(c, 1, 2) FROM a FOR UPDATE',
    "/* of the catalogue */ SELECT 1",
    "-- a remark\nSELECT 1",
    "SELECT id FROM book FOR UPDATE",
]
WRITING = [
    "INSERT INTO book (title) VALUES (?)",
    "insert into book default values",
    "UPDATE book SET stock = 1",
    "DELETE FROM book",
    "REPLACE INTO book VALUES (1)",
    "MERGE INTO book USING other ON 1 = 1 WHEN MATCHED THEN DO NOTHING",
    "WITH old AS (SELECT 1) DELETE FROM book",
    "WITH gone AS (DELETE FROM book RETURNING id) SELECT * FROM gone",
    "/* by hand */ UPDATE book SET stock = 1",
]
NEITHER = ["PRAGMA foreign_keys = ON", "CREATE TABLE a (id INTEGER)", "EXPLAIN SELECT 1", ""]


@pytest.mark.parametrize("statement", READING)
def test_what_reads(statement: str) -> None:
    seen = sql(statement)
    assert (seen.selects, seen.writes, seen.statements) == ([statement], [], [statement])


@pytest.mark.parametrize("statement", WRITING)
def test_what_writes(statement: str) -> None:
    seen = sql(statement)
    assert (seen.selects, seen.writes, seen.statements) == ([], [statement], [statement])


@pytest.mark.parametrize("statement", NEITHER)
def test_what_does_neither(statement: str) -> None:
    seen = sql(statement)
    assert (seen.selects, seen.writes, seen.statements) == ([], [], [statement])


# -- counts ----------------------------------------------------------------------------------------
def test_a_refused_commit_does_not_count() -> None:
    seen = timeline("commit", ("commit", {"failed": "IntegrityError: no"}), "rollback", "rollback")
    assert (seen.commits, seen.rollbacks) == (1, 2)


def test_commits_that_kept_something() -> None:
    def event(kind: str, sql: str = "", connection: int = 1) -> tuple[str, dict[str, Any]]:
        return kind, {"connection": connection} | ({"sql": sql} if sql else {})

    found = timeline(
        *(event("sql", "SELECT 1"), event("commit")),
        *(event("sql", "INSERT INTO a VALUES (1)"), event("rollback"), event("commit")),
        *(event("sql", "INSERT INTO a VALUES (1)"), event("commit", connection=2)),
        *(event("commit"), event("sql", "update a SET b = 1"), event("commit")),
        *(event("sql", "DELETE FROM a"), ("commit", {"connection": 1, "failed": "no"})),
    )
    assert found.commits_keeping() == 2
    assert found.commits_keeping("INSERT") == 1


def test_connections_held() -> None:
    out, back = [("checkout", {"connection": n}) for n in (1, 2)], ("checkin", {"connection": 1})
    assert timeline(*out, back).checked_out == 1
    assert timeline(*out).checked_out == 2
    assert timeline().checked_out == 0


def test_a_connection_taken_before_the_recording_is_no_debt() -> None:
    back = ("checkin", {"connection": 9})
    assert timeline(back).checked_out == 0
    assert timeline(back, ("checkout", {"connection": 1})).checked_out == 1


def test_connections_held_at_each_note() -> None:
    seen = timeline(
        "note", ("checkout", {"connection": 1}), "note", ("checkin", {"connection": 1}), "note"
    )
    assert seen.held_at("note") == [0, 1, 0]
    assert seen.held_at("response") == []


def test_tasks_that_share_a_connections_turn() -> None:
    one, other = (("sql", {"connection": 1, "task": task}) for task in (1, 2))
    out, back = ("checkout", {"connection": 1}), ("checkin", {"connection": 1})
    assert timeline(out, one, back, out, other, back).most_tasks == 1
    assert timeline(out, one, other, one, back).most_tasks == 2
    assert timeline(out, ("sql", {"connection": 1}), back).most_tasks == 0


def test_rows_of_all_statements() -> None:
    assert timeline(("sql", {"rows": 2}), "begin", ("sql", {"rows": None}), "sql").rows == 2


def test_statuses_and_errors_in_order() -> None:
    seen = timeline(
        ("response", {"status": 201}),
        ("error", {"type": "KeyError"}),
        ("response", {"status": 500}),
    )
    assert (seen.statuses, seen.errors) == ([201, 500], ["KeyError"])


# -- order -----------------------------------------------------------------------------------------
def test_order() -> None:
    seen = timeline("request", "sql", "sql", "commit", "response", "body")
    assert seen.order("commit", "response")
    assert seen.order("request", "sql", "commit", "response", "body")
    assert seen.order("sql")
    assert not seen.order("response", "commit")
    assert not seen.order("commit", "error")
    assert not seen.order("error")


def test_order_means_all_of_one_before_any_of_the_next() -> None:
    seen = timeline("sql", "commit", "response", "commit")
    assert not seen.order("commit", "response")
    assert not seen.order("response", "commit")
    assert seen.order("sql", "commit")


@given(
    st.lists(st.sampled_from(KINDS), max_size=12), st.sampled_from(KINDS), st.sampled_from(KINDS)
)
def test_order_is_what_it_says(kinds: list[str], first: str, second: str) -> None:
    wanted = (
        first in kinds
        and second in kinds
        and all(a < b for a in places(kinds, first) for b in places(kinds, second))
    )
    assert timeline(*kinds).order(first, second) == wanted


def places(kinds: list[str], kind: str) -> list[int]:
    """Where a kind stands."""
    return [place for place, one in enumerate(kinds) if one == kind]


@pytest.mark.parametrize("ask", ["of", "order"])
def test_an_unknown_kind_is_told_which_there_are(ask: str) -> None:
    with pytest.raises(ValueError, match="There is no event 'comit' in a timeline; use one of"):
        getattr(timeline("commit"), ask)("commit", "comit")


# -- parts -----------------------------------------------------------------------------------------
def test_of_and_request_give_timelines() -> None:
    seen = Timeline([*timeline("sql", "commit"), *timeline("sql", request=2)])
    assert seen.of("sql").kinds == ["sql", "sql"]
    assert seen.of("sql", "commit").request(1).kinds == ["sql", "commit"]
    assert seen.request(2).kinds == ["sql"]
    assert seen.request(7).kinds == []


def test_it_is_a_sequence() -> None:
    seen = timeline("request", "sql", "response")
    assert (len(seen), seen[0].kind, seen[-1].kind) == (3, "request", "response")
    assert isinstance(seen[1:], Timeline)
    assert seen[1:].kinds == ["sql", "response"]
    assert [one.kind for one in reversed(seen)] == ["response", "sql", "request"]


def test_a_detail_that_an_event_lacks_is_none() -> None:
    (event,) = timeline(("sql", {"rows": 3}))
    assert (event["rows"], event["nothing"]) == (3, None)


def test_a_note_without_a_recording() -> None:
    seen = Timeline()
    seen.note("here")
    assert [(one.kind, one["text"], one.request) for one in seen] == [("note", "here", 0)]


# -- JSON ------------------------------------------------------------------------------------------
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    kind=st.sampled_from(KINDS),
    at_ms=st.floats(0, 1e6),
    request=st.integers(0, 9),
    detail=st.dictionaries(st.text(), VALUES, max_size=4),
)


@given(st.lists(EVENTS, max_size=8))
def test_to_json_and_back(events: list[Event]) -> None:
    written = json.dumps(Timeline(events).to_json())
    again = Timeline.from_json(json.loads(written))
    assert list(again) == events
    assert json.dumps(again.to_json()) == written


def test_what_is_written_is_a_copy() -> None:
    seen = timeline(("sql", {"params": {"id": 1}}))
    seen.to_json()[0]["detail"]["params"]["id"] = 2
    assert seen[0]["params"] == {"id": 1}


@pytest.mark.parametrize("entry", [{"kind": "sql"}, {"kind": "sql", "at": 1}, "sql", 3, None, {}])
def test_what_is_no_event_is_told_so(entry: Any) -> None:
    with pytest.raises(TypeError, match="An entry of a timeline is an object with kind, at_ms"):
        Timeline.from_json([entry])
