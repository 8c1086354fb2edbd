"""Submissions as they arrive: layouts, names, zips, and what is no notebook at all."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import tempfile
import unicodedata
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checks.errors import CourseError
from checks.grading import files, read
from checks.grading.collect import Collected, Submission, collect

TREES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DAY = 24 * 3600


def notebook(*sources: str, lesson: str | None = None, **extra: Any) -> bytes:
    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": one}
        for one in sources
    ]
    metadata = {"course": {"lesson": lesson}} if lesson else {}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    return json.dumps({**content, **extra}).encode()


NB = notebook("x = 1")
NB3 = notebook("x = 1", lesson="03")


def folder(at: Path, tree: Mapping[str, bytes]) -> Path:
    """A folder of files, each saved a day after the one before."""
    at.mkdir(parents=True, exist_ok=True)
    for number, (name, data) in enumerate(tree.items()):
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (number * DAY, number * DAY))
    return at


def packed(tree: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of files, each saved a day after the one before."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for number, (name, data) in enumerate(tree.items()):
            archive.writestr(_info(name, (2026, 1, 1 + number % 28, 0, 0, 0), method), data)
    return held.getvalue()


def _info(name: str, when: tuple[int, ...], method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x", when)  # type: ignore[arg-type]
    info.filename = name  # as it is: the constructor cleans names
    info.compress_type = method
    return info


def zipped(at: Path, tree: Mapping[str, bytes]) -> Path:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(packed(tree))
    return at


def who(got: Collected) -> list[tuple[str, str]]:
    return [(one.learner, one.lesson) for one in got.submissions]


def one(got: Collected) -> Submission:
    (found,) = got.submissions
    return found


# --- layouts ----------------------------------------------------------------------------------

MOODLE = "_assignsubmission_file_"
LAYOUTS: dict[str, tuple[dict[str, bytes], list[tuple[str, str]]]] = {
    "a folder for each learner": (
        {"ada/03_transactions.ipynb": NB, "bob/01_sync_setup.ipynb": NB, "bob/03.ipynb": NB},
        [("ada", "03"), ("bob", "01"), ("bob", "03")],
    ),
    "deeper": (
        {"ada/my/work/03_transactions.ipynb": NB, "bob/x/final.ipynb": NB3},
        [("ada", "03"), ("bob", "03")],
    ),
    "the folder says the lesson": (
        {"ada/03_transactions/answer.ipynb": NB, "bob/03/answer.ipynb": NB},
        [("ada", "03"), ("bob", "03")],
    ),
    "nbgrader, the course": (
        {
            "source/03_transactions/03_transactions.ipynb": NB,
            "release/03_transactions/03_transactions.ipynb": NB,
            "submitted/ada/03_transactions/answer.ipynb": NB,
            "submitted/ada/03_transactions/timestamp.txt": b"2026-01-01",
            "submitted/bob/ps1/03_transactions.ipynb": NB,
        },
        [("ada", "03"), ("bob", "03")],
    ),
    "nbgrader, one learner with two": (
        {"submitted/ada/ps1/01_sync_setup.ipynb": NB, "submitted/ada/ps2/answer.ipynb": NB3},
        [("ada", "01"), ("ada", "03")],
    ),
    "Moodle": (
        {
            f"Ada Lovelace_111{MOODLE}/03_transactions.ipynb": NB,
            f"Bob_222{MOODLE}/handin/03_transactions (1).ipynb": NB,
            f"Eve_333{MOODLE[:-1]}/03.ipynb": NB,
        },
        [("Ada Lovelace", "03"), ("Bob", "03"), ("Eve", "03")],
    ),
    "Moodle, flat": (
        {f"Ada_111{MOODLE}03_transactions.ipynb": NB, f"Ada_111{MOODLE}01_sync_setup.ipynb": NB},
        [("Ada", "01"), ("Ada", "03")],
    ),
    "Moodle, one of each name but twice": (
        {f"Ada_111{MOODLE}/a.ipynb": NB3, f"Ada_222{MOODLE}/a.ipynb": NB3},
        [("Ada (111)", "03"), ("Ada (222)", "03")],
    ),
    "Moodle, two downloads number afresh": (
        {
            f"hw1/Ada_111{MOODLE}/01_sync_setup.ipynb": NB,
            f"hw2/Ada_999{MOODLE}/03_transactions.ipynb": NB,
            f"hw2/Bob_998{MOODLE}/03_transactions.ipynb": NB,
        },
        [("Ada", "01"), ("Ada", "03"), ("Bob", "03")],
    ),
    "Moodle, a group and a zip of the learner's": (
        {f"Group A-Ada_111{MOODLE}/work.zip": packed({"x/03.ipynb": NB})},
        [("Group A-Ada", "03")],
    ),
    "Canvas": (
        {
            "lovelaceada_12345_67890_03_transactions.ipynb": NB,
            "lovelaceada_12345_67899_01_sync_setup-1.ipynb": NB,
            "byronbob_LATE_222_67891_03_transactions-2.ipynb": NB,
            "eve_333_67892_work-1.zip": packed({"03_transactions.ipynb": NB}),
        },
        [("byronbob", "03"), ("eve", "03"), ("lovelaceada", "01"), ("lovelaceada", "03")],
    ),
    "Canvas, two of one name": (
        {"a/smithjo_1_5555_03.ipynb": NB, "b/smithjo_2_5556_01_sync_setup.ipynb": NB},
        [("smithjo (1)", "03"), ("smithjo (2)", "01")],
    ),
    "Canvas, anonymous": (
        {"anon_aB3dE_5555_03.ipynb": NB, "anon_Xy7Zz_LATE_5556_03.ipynb": NB},
        [("anon Xy7Zz", "03"), ("anon aB3dE", "03")],
    ),
    "flat": (
        {"ada.ipynb": NB3, "bob_03_transactions.ipynb": NB, "03_transactions_eve (1).ipynb": NB},
        [("ada", "03"), ("bob", "03"), ("eve", "03")],
    ),
    "one learner's own folder": ({"03_transactions.ipynb": NB}, [("class", "03")]),
    "a folder for each lesson": (
        {"03_transactions/ada.ipynb": NB, "01_sync_setup/ada/x.ipynb": NB},
        [("ada", "01"), ("ada", "03")],
    ),
    "a folder for each lesson, and a stray": (
        {"03_transactions/ada.ipynb": NB, "bob.ipynb": NB3},
        [("ada", "03"), ("bob", "03")],
    ),
    "Canvas's files, beside a zip of more": (
        {
            "ada_1_5555_03.ipynb": NB,
            "submissions.zip": packed({"ada_1_7777_01_sync_setup.ipynb": NB}),
        },
        [("ada", "01"), ("ada", "03")],
    ),
    "a zip from each learner": (
        {
            "ada.zip": packed({"03_transactions.ipynb": NB, "01_sync_setup.ipynb": NB}),
            "bob_03.zip": packed({"lessons/03_transactions.ipynb": NB}),
        },
        [("ada", "01"), ("ada", "03"), ("bob_03", "03")],
    ),
    "a zip of the class for each lesson": (
        {
            "hw1.zip": packed({"ada/01_sync_setup.ipynb": NB, "bob/01_sync_setup.ipynb": NB}),
            "hw2.zip": packed({"ada/03_transactions.ipynb": NB, "bob/03_transactions.ipynb": NB}),
        },
        [("ada", "01"), ("ada", "03"), ("bob", "01"), ("bob", "03")],
    ),
    "Moodle's zips, beside each other": (
        {
            "CS1-hw1-11.zip": packed({f"Ada_11{MOODLE}/01_sync_setup.ipynb": NB}),
            "CS1-hw2-12.zip": packed({f"Ada_12{MOODLE}/03_transactions.ipynb": NB}),
        },
        [("Ada", "01"), ("Ada", "03")],
    ),
    "a folder in a folder of the same name": (
        {"class/ada/03.ipynb": NB, "class/bob/03.ipynb": NB},
        [("ada", "03"), ("bob", "03")],
    ),
    "noise": (
        {
            "ada/03.ipynb": NB,
            "ada/.ipynb_checkpoints/03_transactions-checkpoint.ipynb": NB,
            "ada/.DS_Store": b"x",
            "ada/solutions/01_sync_setup.ipynb": NB,
            "ada/solutions/01_sync_setup.py": b"x",
            "__MACOSX/ada/._03.ipynb": b"x",
        },
        [("ada", "03")],
    ),
    "saved by a browser": ({"ada/03_transactions.ipynb.txt": NB}, [("ada", "03")]),
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_gives_its_learners(name: str, kind: str, tmp_path: Path) -> None:
    tree, expected = LAYOUTS[name]
    if kind == "folder":
        place = folder(tmp_path / "class", tree)
    else:
        place = zipped(tmp_path / "class.zip", tree)
    got = collect(place)
    assert who(got) == expected
    for submission in got.submissions:
        assert not submission.trouble
        assert submission.read()["cells"][0]["source"] == "x = 1"
        assert str(tmp_path) not in submission.file
    unasked = [line for line in got.notices if "nbgrader" not in line and "called" not in line]
    assert unasked == []


def test_nbgraders_other_folders_are_named(tmp_path: Path) -> None:
    tree, _ = LAYOUTS["nbgrader, the course"]
    (line,) = collect(folder(tmp_path, tree)).notices
    assert "Only submitted was read" in line and "source/03_transactions" in line


def test_nbgraders_submissions_beside_others_are_told_of(tmp_path: Path) -> None:
    tree = {"submitted/ada/03_transactions/03.ipynb": NB, "Bob/03.ipynb": NB}
    [line] = collect(folder(tmp_path, tree)).notices
    assert line.startswith("submitted was read as one learner's") and "by itself" in line


def test_one_notebook(tmp_path: Path) -> None:
    at = folder(tmp_path / "ada", {"03_transactions.ipynb": NB}) / "03_transactions.ipynb"
    assert who(collect(at)) == [("ada", "03")]
    at = folder(tmp_path / "x", {"bob.ipynb": NB3}) / "bob.ipynb"
    assert who(collect(at)) == [("bob", "03")]


def test_late_work_says_so(tmp_path: Path) -> None:
    tree = {"bob_LATE_222_67891_03_transactions.ipynb": NB}
    assert one(collect(folder(tmp_path, tree))).notes == ("Canvas marked it as late.",)


@pytest.mark.parametrize("other", ["Bob/03.ipynb", "Bob_03_transactions.ipynb"])
def test_nobody_hands_in_for_somebody_else(other: str, tmp_path: Path) -> None:
    """A learner's own folder may hold names that look like Moodle's: they are still theirs."""
    forged = {f"Bob_1{MOODLE}/03.ipynb": NB, f"Eve_2{MOODLE}/03.ipynb": NB}
    tree = {f"mallory/{name}": data for name, data in forged.items()}
    tree |= {other: NB, "oscar.zip": packed(forged)}
    got = collect(folder(tmp_path / "class", tree))
    assert who(got) == [("Bob", "03"), ("mallory", "03"), ("oscar", "03")]
    assert one_of(got, "Bob").file == other
    assert sum("as one learner's" in line for line in got.notices) == 2

    inside = {f"Ada_1{MOODLE}/{name}": data for name, data in forged.items()}
    got = collect(folder(tmp_path / "moodle", inside | {f"Bob_3{MOODLE}/03.ipynb": NB}))
    assert who(got) == [("Ada", "03"), ("Bob", "03")]


def one_of(got: Collected, learner: str) -> Submission:
    (found,) = [one for one in got.submissions if one.learner == learner]
    return found


# --- which lesson, which copy -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "lesson"),
    [
        ("01_sync_setup.ipynb", NB3, "03"),
        ("x.ipynb", notebook("# exercise: 03.tell_the_truth\npass"), "03"),
        ("01_x.ipynb", notebook('check("03.tell_the_truth")'), "03"),
        ("03 final.ipynb", NB, "03"),
        ("my-03-transactions.ipynb", NB, "03"),
        ("09p_half_way.ipynb", NB, "09p"),
        ("09p.ipynb", NB, "09p"),
        ("09 part one.ipynb", NB, "09"),
        ("09part.ipynb", NB, "09"),
        ("x.ipynb", notebook("x", lesson="77"), None),
        ("03123.ipynb", NB, None),
    ],
)
def test_the_lesson_is_the_notebooks_then_the_names(
    name: str, data: bytes, lesson: str | None, tmp_path: Path
) -> None:
    got = collect(folder(tmp_path, {f"ada/{name}": data}))
    assert who(got) == ([("ada", lesson)] if lesson else [])
    assert len(got.notices) == (0 if lesson else 1)


def test_only_one_lesson_is_wanted(tmp_path: Path) -> None:
    tree = {
        "ada/03.ipynb": NB,
        "ada/01_sync_setup.ipynb": NB,
        "bob/junk.ipynb": b"{",
        "c/d.pdf": b"",
    }
    got = collect(folder(tmp_path, tree), lesson="3")
    assert who(got) == [("ada", "03"), ("bob", "03")]
    assert one_of(got, "bob").trouble
    line = "ada/01_sync_setup.ipynb is of another lesson than 03 and left out."
    assert line in got.notices and len(got.notices) == 2
    with pytest.raises(CourseError, match="no lesson"):
        collect(tmp_path, lesson="77")


@pytest.mark.parametrize(
    ("tree", "taken", "why"),
    [
        ({"03_transactions.ipynb": NB, "03 v2.ipynb": NB3}, "03 v2.ipynb", "saved later"),
        ({"03 v2.ipynb": NB3, "03_transactions.ipynb": NB}, "03_transactions.ipynb", "saved later"),
        ({"03.ipynb": NB, "03_transactions.ipynb": b"{"}, "03.ipynb", "can be read"),
        ({"03.ipynb": NB, "copy.zip": packed({"03.ipynb": NB3})}, "copy.zip/03.ipynb", "later"),
    ],
)
def test_of_two_copies_the_last_readable_is_graded(
    tree: dict[str, bytes], taken: str, why: str, tmp_path: Path
) -> None:
    got = one(collect(folder(tmp_path, {f"ada/{name}": data for name, data in tree.items()})))
    (other,) = set(tree) - {taken, taken.split("/")[0]}
    assert got.file == f"ada/{taken}"
    assert got.notes[0].startswith(f"A second copy, ada/{other}, was not graded:")
    assert why in got.notes[0]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["03 a.ipynb", "03_transactions.ipynb", "03.ipynb"], "03_transactions.ipynb"),
        (["03 bb.ipynb", "03 a.ipynb"], "03 a.ipynb"),
        (["03 b.ipynb", "03 a.ipynb"], "03 a.ipynb"),
    ],
)
def test_saved_at_one_time_the_name_decides(names: list[str], taken: str, tmp_path: Path) -> None:
    folder(tmp_path, {f"ada/{name}": NB for name in names})
    for name in names:
        os.utime(tmp_path / "ada" / name, (0, 0))
    got = one(collect(tmp_path))
    assert got.file == f"ada/{taken}"
    assert len(got.notes) == len(names) - 1
    assert got.notes[0].startswith("An identical second copy")


def test_a_file_that_nothing_ties_to_the_lesson_is_no_second_copy(tmp_path: Path) -> None:
    tree = {"ada/03.ipynb": b"{", "ada/scratch.ipynb": b"["}
    got = one(collect(folder(tmp_path, tree), lesson="03"))
    assert got.file == "ada/03.ipynb"


def test_many_copies_take_few_lines(tmp_path: Path) -> None:
    got = one(collect(folder(tmp_path, {f"ada/03 v{n}.ipynb": NB for n in range(30)})))
    assert got.file == "ada/03 v29.ipynb"
    assert len(got.notes) == 4 and "26 more" in got.notes[-1]


def test_a_folder_of_solutions_alone_is_named(tmp_path: Path) -> None:
    got = collect(folder(tmp_path, {"ada/solutions/03.ipynb": NB, "bob/03.ipynb": NB}))
    assert who(got) == [("bob", "03")]
    assert "nothing else came from ada" in got.notices[0]


def test_what_is_no_notebook_takes_a_line_for_each_learner(tmp_path: Path) -> None:
    tree = {"ada/03.ipynb": NB} | {f"ada/{n}.pdf": b"" for n in range(9)} | {"bob/a.docx": b""}
    tree |= {"ada/bookshop_07/shop/models.py": b"", "ada/bookshop_07/shop.db": b""}  # by the lesson
    pdfs, docx = collect(folder(tmp_path, tree)).notices
    assert "ada/0.pdf, ada/1.pdf, ada/2.pdf and 6 more are no notebooks" in pdfs
    assert "bob/a.docx is no notebook" in docx


# --- names ------------------------------------------------------------------------------------

NFC, NFD = unicodedata.normalize("NFC", "José"), unicodedata.normalize("NFD", "José")


@pytest.mark.parametrize(
    ("names", "learners"),
    [
        (["Ada", "ada", "ADA"], ["ADA", "Ada", "ada"]),
        ([NFC, NFD], [NFC, f"{NFC} (2)"]),
        ([NFC, NFD, f"{NFC} (2)"], [NFC, f"{NFC} (2)", f"{NFC} (3)"]),
        (["a\nb", "a b"], ["a b", "a b (2)"]),
        (["=cmd()", "+1", "@x"], ["+1", "=cmd()", "@x"]),
        (["-rf", "~", "$HOME", "%s"], ["$HOME", "%s", "-rf", "~"]),
        (["محمد", "🧑‍🎓", "李"], ["محمد", "李", "🧑‍🎓"]),
        (["\u202egnp.exe"], ["gnp.exe"]),
        (["\u200f"], ["(no name)"]),
        (["é" * 127], ["é" * 120]),
        (["e\u200b\u0301"], ["é"]),
        (["x\x1b[31m"], ["x [31m"]),
        (["C:"], ["C:"]),
        (["..\\..\\etc"], ["..\\..\\etc"]),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="names that Windows cannot have")
def test_odd_names_are_text(names: list[str], learners: list[str], tmp_path: Path) -> None:
    got = collect(folder(tmp_path, {f"{name}/03.ipynb": NB for name in names}))
    assert [one.learner for one in got.submissions] == learners
    assert all(one.read()["cells"] for one in got.submissions)
    assert not any("\n" in one.file or "\x1b" in one.file for one in got.submissions)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    try:
        folder(tmp_path, {os.fsdecode(b"caf\xe9") + "/03.ipynb": NB})
    except OSError:
        pytest.skip("this file system takes only text")
    got = one(collect(tmp_path))
    assert got.learner == "caf\N{REPLACEMENT CHARACTER}"
    got.file.encode()


def test_the_same_name_in_two_zips_is_one_person(tmp_path: Path) -> None:
    tree = {
        "hw1.zip": packed({f"{NFC}/01_sync_setup.ipynb": NB, "b/01_sync_setup.ipynb": NB}),
        "hw2.zip": packed({f"{NFD}/03_transactions.ipynb": NB, "b/03_transactions.ipynb": NB}),
    }
    got = collect(folder(tmp_path, tree))
    assert who(got) == [(NFC, "01"), (NFC, "03"), ("b", "01"), ("b", "03")] or who(got) == [
        ("b", "01"),
        ("b", "03"),
        (NFC, "01"),
        (NFC, "03"),
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/03.ipynb", "etc/03.ipynb"),
        ("/etc/03.ipynb", "etc/03.ipynb"),
        ("C:\\Users\\ada\\03.ipynb", "Users/ada/03.ipynb"),
        ("ada\\..\\03.ipynb", "ada/03.ipynb"),
    ],
)
def test_a_zip_reaches_nothing_outside_itself(name: str, file: str, tmp_path: Path) -> None:
    got = collect(zipped(tmp_path / "class.zip", {name: NB}))
    assert one(got).file == file and one(got).read()
    assert "names a place outside itself" in got.notices[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class.zip"]


def test_backslashes_in_zips_part_folders(tmp_path: Path) -> None:
    got = collect(zipped(tmp_path / "class.zip", {"ada\\": b"", "ada\\x\\03.ipynb": NB}))
    assert who(got) == [("ada", "03")] and got.notices == ()


def test_names_of_zips_from_a_mac(tmp_path: Path) -> None:
    data = packed({"Jos\N{LATIN SMALL LETTER E WITH ACUTE}/03.ipynb": NB})
    data = data.replace(struct.pack("<H", 0x800), struct.pack("<H", 0))  # not said to be UTF-8
    (tmp_path / "class.zip").write_bytes(data)
    assert who(collect(tmp_path / "class.zip")) == [(NFC, "03")]


# --- zips and files that bite -----------------------------------------------------------------


def damaged(data: bytes, **fields: int) -> bytes:
    """A zip of one member whose headers say something else: flags or method."""
    places = {"flags": (6, 8), "method": (8, 10)}
    changed = bytearray(data)
    directory = data.rindex(b"PK\x01\x02")
    for name, value in fields.items():
        for start, offset in zip((0, directory), places[name], strict=True):
            struct.pack_into("<H", changed, start + offset, value)
    return bytes(changed)


def bomb() -> bytes:
    return packed({"03.ipynb": b'{"nbformat": 4, "cells": []}' + b" " * 15_000_000})


def overlapping(times: int) -> bytes:
    """A zip in which many members are the same bytes: small, and without end when unpacked."""
    data = packed({"03.ipynb": notebook(os.urandom(200_000).hex())})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, times, times, (end - start) * times)
    return data[:start] + data[start:end] * times + bytes(tail)


WHOLE = packed({"03.ipynb": NB})
ZIPS = {
    "encrypted": (damaged(WHOLE, flags=1), "password"),
    "packed oddly": (damaged(WHOLE, method=14), "unusual way"),
    "damaged": (WHOLE.replace(b"PK\x03\x04", b"PK\x00\x00"), "damaged"),
    "another checksum": (
        packed({"03.ipynb": NB}, zipfile.ZIP_STORED).replace(b"x = 1", b"x = 2"),
        "damaged",
    ),
    "bomb": (bomb(), "unpacks to more than"),
    "larger than it may be": (packed({"03.ipynb": b"0" * 21_000_000}), "20 MB"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_a_notebook_that_cannot_be_unpacked_tells_its_learner(name: str, tmp_path: Path) -> None:
    data, said = ZIPS[name]
    got = collect(folder(tmp_path, {"ada.zip": data, "bob/03.ipynb": NB}))
    assert who(got) == [("ada", "03"), ("bob", "03")]
    trouble = one_of(got, "ada").trouble
    assert said in trouble and trouble.endswith(".")
    assert one_of(got, "bob").read()
    with pytest.raises(CourseError):
        one_of(got, "ada").read()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no zip"),
        (b"PK", "no zip"),
        (WHOLE[:-30], "no zip"),
        (os.urandom(5000), "no zip"),
        (b"Rar!\x1a\x07", "no zip"),
    ],
)
def test_a_zip_that_is_none_takes_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    got = collect(folder(tmp_path, {"ada.zip": data, "bob/03.ipynb": NB}))
    assert who(got) == [("bob", "03")]
    (line,) = got.notices
    assert line.startswith("ada.zip") and said in line
    with pytest.raises(CourseError, match=said):
        collect(tmp_path / "ada.zip")


def test_zips_in_zips(tmp_path: Path) -> None:
    third = packed({"01_sync_setup.ipynb": NB})
    second = packed({"03.ipynb": NB, "deep.zip": third})
    got = collect(folder(tmp_path, {"ada.zip": packed({"a/work.zip": second})}))
    assert one(got).file == "ada.zip/a/work.zip/03.ipynb" and one(got).read()
    (line,) = got.notices
    assert line.startswith("ada.zip/a/work.zip/deep.zip is a zip in a zip in a zip")


def test_a_zip_bomb_in_a_zip(tmp_path: Path) -> None:
    inner = packed({"pad": b"\0" * 5_000_000, "03.ipynb": NB}, zipfile.ZIP_STORED)
    got = collect(folder(tmp_path, {"ada.zip": packed({"a.zip": inner}), "bob/03.ipynb": NB}))
    assert who(got) == [("bob", "03")]
    assert "ada.zip/a.zip is a zip bomb" in got.notices[0]


def test_members_that_share_their_bytes_end_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_ALL_ANYWAY", 1_000_000)
    monkeypatch.setattr(files, "PACKED", 3)
    tree = {"ada.zip": overlapping(200), "bob.zip": packed({"03.ipynb": NB})}
    got = collect(folder(tmp_path, tree))
    assert who(got) == [("ada", "03"), ("bob", "03")]
    assert one_of(got, "ada").read() and one_of(got, "bob").read()
    assert any("unpacks to far too much" in line for line in got.notices)
    assert any("more lines like these about ada" in line for line in got.notices)
    assert len(got.notices) < 20


def test_a_table_of_contents_without_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LARGEST_INDEX", 2_000)
    tree = {"ada.zip": packed({f"{n:0200}": b"" for n in range(20)}), "bob/03.ipynb": NB}
    got = collect(folder(tmp_path, tree))
    assert who(got) == [("bob", "03")] and "ada.zip is no zip" in got.notices[0]


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 3)
    got = collect(folder(tmp_path, {"ada.zip": packed({f"03 v{n}.ipynb": NB for n in range(5)})}))
    assert one(got).file == "ada.zip/03 v2.ipynb"
    assert "holds 5 files, of which the first 3" in got.notices[0]


def test_links_in_zips_are_not_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        info = zipfile.ZipInfo("03.ipynb")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    (line,) = collect(tmp_path).notices
    assert "is a link" in line


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no links and pipes without rights")
def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", {"03.ipynb": NB})
    place = folder(tmp_path / "class", {"bob/03.ipynb": NB, "ada/x.txt": b""})
    (place / "ada" / "03.ipynb").symlink_to(outside / "03.ipynb")
    (place / "ada" / "round").symlink_to(place)
    (place / "eve").symlink_to(outside)
    os.mkfifo(place / "ada" / "03_transactions.ipynb")
    got = collect(place)
    assert who(got) == [("bob", "03")]
    assert sum("is a link and was not followed" in line for line in got.notices) == 3
    assert sum("no ordinary file" in line for line in got.notices) == 1


@pytest.mark.skipif(os.name == "nt", reason="rights work otherwise there")
def test_a_folder_that_cannot_be_opened(tmp_path: Path) -> None:
    folder(tmp_path, {"ada/03.ipynb": NB, "bob/03.ipynb": NB})
    (tmp_path / "ada").chmod(0)
    try:
        if os.access(tmp_path / "ada", os.R_OK):
            pytest.skip("this user may open everything")
        got = collect(tmp_path)
    finally:
        (tmp_path / "ada").chmod(0o700)
    assert who(got) == [("bob", "03")]
    assert "ada cannot be opened (Permission denied)" in got.notices[0]


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, {"ada/03.ipynb": b"", "bob/scan.ipynb": b""})
    for name in ("ada/03.ipynb", "bob/scan.ipynb"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(50_000_000)  # as large, without taking the room
    monkeypatch.setattr(files.Source, "read", lambda *_: pytest.fail("it was read"))
    got = collect(tmp_path)
    assert "50 MB" in one(got).trouble and "Clear the notebook's outputs" in one(got).trouble
    assert len(one(got).digest) == 64
    assert "bob/scan.ipynb is of no lesson" in got.notices[0]


def test_a_file_that_changes_is_not_graded_as_what_it_was(tmp_path: Path) -> None:
    got = one(collect(folder(tmp_path, {"ada/03.ipynb": NB})))
    (tmp_path / "ada" / "03.ipynb").write_bytes(NB3)
    with pytest.raises(CourseError, match="changed while it was graded"):
        got.read()
    (tmp_path / "ada" / "03.ipynb").unlink()
    with pytest.raises(CourseError, match="cannot be read"):
        got.read()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda at: at / "gone", "cannot be read"),
        (lambda at: at / ("x" * 5000), "cannot be read"),
        (lambda at: at / "a\0b", "cannot be read"),
        (lambda at: folder(at / "empty", {}), "is empty"),
        (lambda at: zipped(at / "empty.zip", {}), "is empty"),
        (lambda at: folder(at, {"x.pdf": b""}) / "x.pdf", "is no folder, zip or notebook"),
    ],
)
def test_nothing_to_read_is_one_sentence(make: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=said) as raised:
        collect(make(tmp_path))
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


# --- one notebook's bytes ---------------------------------------------------------------------

DEEP = b'{"nbformat": 4, "cells": [], "metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 901
VERSION_3 = json.dumps(
    {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "x"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {
                        "cell_type": "code",
                        "language": "python",
                        "input": "x = 1",
                        "metadata": {},
                        "outputs": [],
                        "collapsed": False,
                    }
                ],
            }
        ],
    }
).encode()


@pytest.mark.parametrize(
    "data",
    [
        NB,
        b"\xef\xbb\xbf" + NB,
        NB.decode().encode("utf-16"),
        NB.decode().encode("utf-16-le"),
        NB.decode().encode("utf-32"),
        notebook("x = 2", cells=[{"cell_type": "code", "source": ["x ", "= 1"]}]),
        notebook("x = 1", metadata=None),
        NB[:-1] + b', "nbformat": 4, "metadata": {"a": 1, "a": 2}}',
        VERSION_3,
    ],
    ids=["plain", "bom", "utf-16", "utf-16-le", "utf-32", "lines", "metadata", "twice", "3"],
)
def test_what_can_be_read_is(data: bytes) -> None:
    got = read.notebook(data)
    assert got["nbformat"] == 4 and isinstance(got["metadata"], dict)
    assert [cell["source"] for cell in got["cells"]] == ["x = 1"]
    json.dumps(got)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe\xfd\x00\x80", "not text"),
        (bytes(range(256)), "not"),
        (b"%PDF-1.7", "line 1 is not JSON"),
        (b'{"nbformat": 4,\n "cells": [', "line 2 is not JSON"),
        (b"null", "not a notebook"),
        (b"[]", "not a notebook"),
        (b"{}", "which notebook format"),
        (notebook(nbformat="4"), "which notebook format"),
        (notebook(nbformat=True), "which notebook format"),
        (notebook(nbformat=0), "which notebook format"),
        (notebook(nbformat=-1), "which notebook format"),
        (notebook(nbformat=5), "newer than 4"),
        (notebook(nbformat=10**300), "newer"),
        (notebook(nbformat=3), "old format 3|no list of cells"),
        (notebook(nbformat=3, worksheets=[{"cells": [7]}]), "old format 3"),
        (notebook(nbformat=3, worksheets=[{"cells": [7] * 6000}]), "6,000 cells"),
        (notebook(cells=None), "no list of cells"),
        (notebook(cells={"0": {}}), "no list of cells"),
        (notebook(cells=[{}] * 5001), "5,001 cells"),
        (DEEP, "nested too deep"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"nbformat": ' + b"4" * 9000 + b"}", "number too long"),
        (b"x" * 20_000_001, "20 MB"),
        (b"[" + b"[]," * 500_000, "lists and objects"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, said: str) -> None:
    with pytest.raises(read.UnreadableError, match=said) as raised:
        read.notebook(data)
    text = str(raised.value)
    assert text.endswith(("try again.", "take that file.", "take that."))
    assert len(text) < 400


def test_cells_that_are_none_keep_their_place() -> None:
    cells = [7, {"cell_type": "code", "source": 5, "outputs": 3}, {"cell_type": "x", "source": "y"}]
    got = read.notebook(notebook(cells=cells))["cells"]
    assert [(one["cell_type"], one["source"]) for one in got] == [
        ("raw", ""),
        ("code", ""),
        ("raw", "y"),
    ]
    assert got[1]["outputs"] == []


def test_half_a_character_can_still_be_written() -> None:
    got = read.notebook(notebook("'\ud83d'", metadata={"\udc00": ["\ud800"]}))
    json.dumps(got, ensure_ascii=False).encode()
    assert got["cells"][0]["source"] == "'?'"


# --- anything at all --------------------------------------------------------------------------

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = ("nbformat", "nbformat_minor", "metadata", "cells", "worksheets")
NOTEBOOKISH = st.dictionaries(st.sampled_from(KEYS), JSONS | st.sampled_from([1, 2, 3, 4, 5])).map(
    lambda content: json.dumps(content).encode()
)
CONTENTS = st.sampled_from([NB, NB3, WHOLE, b"{", b""]) | st.binary(max_size=50) | NOTEBOOKISH


@settings(max_examples=200, deadline=None)
@given(CONTENTS)
def test_any_bytes_are_a_notebook_or_a_sentence(data: bytes) -> None:
    try:
        got = read.notebook(data)
    except read.UnreadableError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    else:
        assert got["nbformat"] == 4
        for cell in got["cells"]:
            assert isinstance(cell["source"], str) and isinstance(cell["metadata"], dict)
        json.dumps(got).encode()


PART = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)
LOOKALIKE = st.sampled_from(
    ["..", ".", "C:", f"A_1{MOODLE}", f"A_2{MOODLE}03", "a_1_999_x", "03_transactions", "submitted"]
)
NAMES = st.lists(LOOKALIKE | PART, min_size=1, max_size=4).map("/".join)
FILES = st.tuples(
    NAMES, st.sampled_from([".ipynb", ".IPYNB", "/03.ipynb", ".zip", "", ".ipynb.txt"]), CONTENTS
)


@TREES
@given(st.lists(FILES, max_size=8), st.sampled_from([None, "03"]))
def test_any_zip_ends_in_submissions_and_lines(
    members: list[tuple[str, str, bytes]], lesson: str | None
) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, suffix, data in members:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a name twice: that is what is tried
                archive.writestr(_info(name + suffix, (2026, 1, 1, 0, 0, 0), 0), data)
    with tempfile.TemporaryDirectory() as place:
        at = Path(place, "class.zip")
        at.write_bytes(held.getvalue())
        try:
            got = collect(at, lesson)
        except CourseError as error:
            assert "is empty" in str(error)
            return
        everything(got)
        told = sum(len(one.notes) for one in got.submissions) + len(got.submissions)
        assert told + len(got.notices) > 0
        assert [path.name for path in Path(place).iterdir()] == ["class.zip"]


def everything(got: Collected) -> None:
    """What holds of all that is collected."""
    keys = who(got)
    assert keys == sorted(set(keys))
    for submission in got.submissions:
        assert submission.learner == unicodedata.normalize("NFC", submission.learner)
        assert 0 < len(submission.learner) <= 200
        assert not {"\n", "\r", "\x1b", "\u2028"} & set(submission.learner)
        submission.file.encode()
        assert "\n" not in submission.file and len(submission.file) <= 250
        assert not submission.trouble or submission.trouble.endswith(".")
        if not submission.trouble:
            assert submission.read()["nbformat"] == 4
    for line in (*got.notices, *(note for one in got.submissions for note in one.notes)):
        assert "\n" not in line and line.endswith(".") and len(line) < 1200
        line.encode()


@TREES
@given(st.lists(PART, min_size=1, max_size=6, unique=True))
def test_each_folder_is_a_learner_of_their_own(names: list[str]) -> None:
    tree = {f"z {one.replace('/', '_').replace(chr(92), '_')}/03.ipynb": NB for one in names}
    with tempfile.TemporaryDirectory() as place:
        got = collect(zipped(Path(place, "class.zip"), tree))
        everything(got)
        assert len(got.submissions) == len(tree)


@TREES
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x/", "03/"]), st.integers(0, 9)),
        CONTENTS,
        max_size=12,
    ),
    st.sampled_from([None, "03"]),
)
def test_every_notebook_is_a_submission_or_in_a_line(
    tree: dict[tuple[str, str, int], bytes], lesson: str | None
) -> None:
    paths = {f"{who}/{way}n{number}.ipynb": data for (who, way, number), data in tree.items()}
    with tempfile.TemporaryDirectory() as place:
        got = collect(folder(Path(place), {"ada/03.ipynb": NB, **paths}), lesson)
        everything(got)
    lines = [*got.notices, *(one.file for one in got.submissions)]
    for one in got.submissions:
        lines += one.notes
        if any("more copies" in note for note in one.notes):
            lines += [path for path in paths if path.startswith(one.learner)]
    assert [path for path in paths if not any(path in line for line in lines)] == []


@TREES
@given(st.binary(max_size=40), st.integers(0, len(WHOLE)), st.integers(0, 40))
def test_any_damage_to_a_zip_is_borne(junk: bytes, at: int, instead: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        data = WHOLE[:at] + junk + WHOLE[at + instead :]
        everything(collect(folder(Path(place), {"ada.zip": data, "bob/03.ipynb": NB})))
