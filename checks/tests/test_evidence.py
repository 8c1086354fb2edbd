"""Evidence: any value as data that can be stored, without asking the value anything."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from checks.observe.evidence import plain, same_code, storable
from checks.tests.shop import Book


class Sly:
    """Answers whatever one asks of it, and wrongly."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked up")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("it was compared")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise AssertionError("it was described")

    __str__ = __repr__


class Slotted:
    """Has no attributes of its own."""

    __slots__ = ()


class NewUser(BaseModel):
    """What an endpoint may return."""

    name: str
    tags: list[str]


@pytest.mark.parametrize(
    ("value", "as_data"),
    [
        (None, None),
        (True, True),
        (3, 3),
        ("text", "text"),
        ("half a pair: \ud800", "half a pair: \ufffd"),
        (b"1234", "<4 bytes>"),
        ((1, [2]), [1, [2]]),
        ({"a": {1: 2}}, {"a": {"1": 2}}),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Slotted(), {"type": "Slotted"}),
        (NewUser(name="Ann", tags=["a"]), {"type": "NewUser", "name": "Ann", "tags": ["a"]}),
        (Book(id=1, title="Emma"), {"type": "Book", "id": 1, "title": "Emma"}),
        (Book, {"type": "DeclarativeAttributeIntercept"}),
    ],
)
def test_any_value_as_data(value: Any, as_data: Any) -> None:
    assert plain(value) == as_data


def test_nothing_is_asked_of_an_object() -> None:
    assert plain([Sly(), {"a": Sly()}]) == [{"type": "Sly"}, {"a": {"type": "Sly"}}]


def test_what_is_endless_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    json.dumps(plain(loop))
    assert len(str(plain("x" * 10**6))) == 20_000
    assert len(json.loads(json.dumps(plain(list(range(10**5)))))) == 1000


@given(st.text(st.characters(categories=["L", "Cs"])))
def test_stored_text_is_utf8_and_else_the_same(text: str) -> None:
    stored = storable(text)
    stored.encode()
    assert len(stored) == len(text)
    kept = [(a, b) for a, b in zip(text, stored, strict=True) if not "\ud800" <= a <= "\udfff"]
    assert all(a == b for a, b in kept)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a = 1", "a=1  # one", True),
        ("a = 1", "a = 2", False),
        ("def f(:", "def  f(:", True),
        ("def f(:", "def g(:", False),
        ("a\x00", "a\x00", True),
    ],
)
def test_same_code(one: str, other: str, same: bool) -> None:
    assert same_code(one, other) is same
