"""Answers that are alike: what counts, what does not, and that nothing hostile gets far."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.grading import similar
from checks.grading.similar import Alike, Comparison, symbols

NEEDS = ("get_db",)
STARTER = "def get_db():\n    ...  # yours\n"
SOLUTION = """
def get_db():
    with SessionLocal() as session:
        try:
            yield session
            session.commit()
        except BaseException:
            session.rollback()
            raise
"""
OWN = '''
def get_db():
    """Mine."""
    session = SessionLocal()
    print("opening", session)
    try:
        yield session
        if session.new or session.dirty:
            print("something to keep")
        session.commit()
    except BaseException as problem:
        print("undoing", problem)
        session.rollback()
        raise
    finally:
        session.close()
'''
RENAMED = """
# all of it my own work
import sqlalchemy
def get_db():
    s = SessionLocal(); print('opening', s)
    try:
        yield s
        if (s.new or
                s.dirty):
            print( "something to keep" )
        s.commit()
    except BaseException as e:
        print("undoing", e); s.rollback(); raise
    finally: s.close()
"""
OTHER = """
class Opened:
    def __init__(self):
        self.held = SessionLocal(autoflush=False)
        self.count = 0
    def __enter__(self):
        self.count += 1
        return self.held
    def __exit__(self, kind, value, trace):
        self.held.rollback() if kind else self.held.commit()
        self.held.close()
def get_db():
    with Opened() as held:
        yield held
"""


def compare(*answers: str, given: Sequence[str] = (STARTER, SOLUTION)) -> list[Alike]:
    with Comparison() as comparison:
        comparison.expect("01.get_db", NEEDS, given)
        for number, answer in enumerate(answers):
            comparison.add("01.get_db", f"learner {number}", answer)
        return comparison.alike()


def variations(count: int) -> list[str]:
    """Answers that have nothing of their own in common."""
    return [
        "def get_db():\n"
        + "".join(
            f"    step_{n}.{'abcdefgh'[at]}{n}({n * 10 + at}, x{n}={at})\n" for at in range(8)
        )
        for n in range(count)
    ]


def test_renamed_and_laid_out_anew_it_is_the_same() -> None:
    assert symbols(OWN, NEEDS) == symbols(RENAMED, NEEDS)
    (found,) = compare(OWN, OTHER, RENAMED)
    assert found.learners == ("learner 0", "learner 2")
    assert found.sides == (OWN, RENAMED)
    assert found.likeness == 1
    assert not found.to_the_letter


def test_the_same_text_is_said_to_be() -> None:
    (found,) = compare(OWN, OWN + "\n")
    assert found.to_the_letter


def test_a_few_changes_do_not_hide_it() -> None:
    changed = RENAMED.replace("something to keep", "writing").replace("import", "import json,")
    (found,) = compare(OWN, changed, OTHER)
    assert found.learners == ("learner 0", "learner 1")
    assert similar.ALIKE <= found.likeness < 1


def test_a_chain_of_copies_is_one_group() -> None:
    second = OWN.replace("something to keep", "writing")
    third = second.replace("undoing", "back")
    (found,) = compare(OWN, second, third, OTHER)
    assert sorted(found.learners) == ["learner 0", "learner 1", "learner 2"]


def test_different_answers_are_not_alike() -> None:
    assert compare(OWN, OTHER, *variations(20)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x.a(1)", "x.b(1)"),
        ("f(a=1)", "f(b=1)"),
        ("class A:\n    name = 1", "class A:\n    title = 1"),
        ("get_db = 1", "get_it = 1"),
        ("f(1)", "f(2)"),
        ("a = b = 1\na(b)", "a = b = 1\nb(b)"),
        ("if x:\n    y()\nz()", "if x:\n    y()\n    z()"),
        ("from a import b\nb()", "from a import c\nc()"),
    ],
)
def test_what_makes_a_difference(one: str, other: str) -> None:
    assert symbols(one, NEEDS) != symbols(other, NEEDS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1\nprint(x)", "y=1  # why\nprint(y)"),
        ("f(a=1, b=2)", "f(b=2, a=1)"),
        ('def f():\n    "Doc."\n    return 1', "def g():\n    return 1"),
        ("from a import b as c\nc()", "from a import b\nb()"),
        ("[x for x in y]", "[each for each in y]"),
    ],
)
def test_what_makes_none(one: str, other: str) -> None:
    assert symbols(one, NEEDS) == symbols(other, NEEDS)


def test_what_everybody_has_is_no_likeness() -> None:
    assert compare(*[STARTER] * 2, *[SOLUTION] * 3) == []
    renamed = SOLUTION.replace("session", "db")
    assert compare(renamed, renamed) == []


def test_what_is_short_is_no_likeness() -> None:
    short = SOLUTION.replace("raise", "print(1)\n            raise")
    assert compare(short, short) == []


def test_where_many_arrive_is_no_likeness() -> None:
    few = similar.FEW
    assert [len(one.learners) for one in compare(*[OWN] * few, *variations(20))] == [few]
    assert compare(*[OWN] * (few + 1), *variations(20)) == []
    share = int(200 * similar.SHARE)
    (found,) = compare(*[OWN] * share, *variations(200 - share))
    assert len(found.learners) == share


def test_the_most_alike_come_first() -> None:
    first = OTHER.replace("Opened", "Held")
    near = OWN.replace("something to keep", "writing")
    assert [one.likeness == 1 for one in compare(OWN, OTHER, near, first)] == [True, False]


def test_an_exercise_that_nobody_expects_is_left_out() -> None:
    with Comparison() as comparison:
        comparison.add("09.unknown", "Ann", OWN)
        assert not comparison.expects("09.unknown")
        assert comparison.alike() == []


HOSTILE = {
    "nested": "(" * 5000,
    "signs": "-" * 19_000 + "1",
    "attributes": "a" + ".b" * 9_000,
    "sum": "1" + "+1" * 9_000,
    "lambdas": "lambda:" * 2_500 + "1",
    "else ifs": "if a:\n p\n" + "elif a:\n p\n" * 1_500,
    "zeros": "x = 1\0\n",
    "surrogates": "x = '\ud800'",
    "a huge number": "x = 0x" + "f" * 15_000,
    "huge": "x = 1\n" * 1_000_000,
    "not Python": "def def def",
    "empty": " \n\t",
    "a warning": "x = '\\d' is 1",
    "symbols": "match x:\n    case {'a': [1, *rest], **more} | A(b=c) as d: pass\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_are_compared_all_the_same(name: str, recwarn: object) -> None:
    answer = HOSTILE[name]
    found = compare(answer, answer, OWN, RENAMED)
    assert ("learner 2", "learner 3") in [one.learners for one in found]
    assert all(len(side) <= similar.LONGEST for one in found for side in one.sides)
    assert not list(recwarn)  # type: ignore[call-overload]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="def if:()=.x1,\n \"'[]{}#\\", max_size=200))
def test_nothing_raises(answer: str) -> None:
    assert symbols(answer) == symbols(answer)
    compare(answer, answer)


@settings(deadline=None)
@given(st.sampled_from([OWN, OTHER, SOLUTION]), st.data())
def test_renaming_changes_nothing(source: str, data: st.DataObject) -> None:
    own = sorted(
        {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        & {"session", "problem", "held", "Opened"}
    )
    fresh = data.draw(
        st.lists(
            st.from_regex(r"q[a-z]{1,6}", fullmatch=True),
            min_size=len(own),
            max_size=len(own),
            unique=True,
        )
    )

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            node.id = dict(zip(own, fresh, strict=True)).get(node.id, node.id)
            return node

        def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
            node.name = dict(zip(own, fresh, strict=True)).get(node.name, node.name)
            return self.generic_visit(node)

        def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
            if node.name:
                node.name = dict(zip(own, fresh, strict=True)).get(node.name, node.name)
            return self.generic_visit(node)

    renamed = ast.unparse(Rename().visit(ast.parse(source)))
    assert symbols(renamed, NEEDS) == symbols(source, NEEDS)
