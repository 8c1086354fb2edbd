"""Alembic's command line in a project's folder, from a cell: what it shows, what it leaves be."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from checks.shell import alembic, inside

MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
WIRED = """\
import os
from shop.models import Base

target_metadata = Base.metadata
config.set_main_option("sqlalchemy.url", os.environ["SHOP_URL"])
"""


@pytest.fixture(params=["generic", "async"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo/shop").mkdir(parents=True)  # a package without an __init__.py
    models = tmp_path / "demo/shop/models.py"
    models.write_text(MODELS, encoding="utf-8")
    alembic(f"init -t {request.param} migrations", "demo")
    env = tmp_path / "demo/migrations/env.py"
    text = env.read_text(encoding="utf-8")
    env.write_text(text.replace("target_metadata = None", WIRED), encoding="utf-8")
    driver = "sqlite+aiosqlite" if request.param == "async" else "sqlite"
    monkeypatch.setenv("SHOP_URL", f"{driver}:///shop.db")
    return models


def test_it_shows_what_a_terminal_would(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    alembic('revision --autogenerate -m "first" --rev-id 0001', "demo")
    alembic("check", "demo")
    alembic("upgrade head", "demo")
    alembic("current", "demo")
    alembic("upgrade nowhere", "demo")
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        '$ alembic revision --autogenerate -m "first" --rev-id 0001',
        "INFO  [alembic.autogenerate.compare.tables] Detected added table 'book'",
        f"Generating {Path('migrations/versions/0001_first.py')} ...  done",
        "$ alembic check",
        "FAILED: Target database is not up to date.",
        "$ alembic upgrade head",
        "INFO  [alembic.runtime.migration] Running upgrade  -> 0001, first",
        "$ alembic current",
        "0001 (head)",
        "$ alembic upgrade nowhere",
        "FAILED: Can't locate revision identified by 'nowhere'",
    ]


def test_an_error_is_the_end_of_its_traceback(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alembic("current", "demo", SHOP_URL="nosuch://")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "$ SHOP_URL=nosuch:// alembic current",
        "sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:nosuch",
    ]


def test_a_long_line_is_broken_between_words(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = "".join(f"    column_{number}: Mapped[int]\n" for number in range(9))
    alembic("stamp head", "demo")
    capsys.readouterr()
    shop.write_text(MODELS + columns, encoding="utf-8")
    alembic("check", "demo")
    _, _, *failed = capsys.readouterr().out.splitlines()
    assert len(failed) > 2 and max(map(len, failed)) <= 100
    assert " ".join(map(str.strip, failed)).endswith("schema=None))]")
    assert failed[1].startswith("  ")


def test_files_are_read_as_they_are_now(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alembic('revision --autogenerate -m "first" --rev-id 0001', "demo")
    alembic("upgrade head", "demo")
    shop.write_text(MODELS + "    pages: Mapped[int | None]\n", encoding="utf-8")
    alembic("check", "demo")
    assert "book.pages" in capsys.readouterr().out
    with inside("demo"):
        assert "pages" in import_module("shop.models").Book.__table__.columns


def test_it_works_while_a_loop_is_running(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def in_a_notebook() -> None:
        alembic("current", "demo")

    asyncio.run(in_a_notebook())
    assert capsys.readouterr().out.endswith("$ alembic current\n")


def test_the_process_stays_as_it_was(shop: Path) -> None:
    def state() -> tuple[object, ...]:
        logger = logging.getLogger("alembic")
        return (
            Path.cwd(),
            list(sys.path),
            "SHOP_LIVE" in os.environ,
            [name for name in sys.modules if name.partition(".")[0] == "shop"],
            (logger.level, list(logger.handlers), logger.propagate),
            list(logging.getLogger().handlers),
        )

    before = state()
    alembic("current", "demo", SHOP_LIVE="yes")
    with pytest.raises(ValueError, match="mine"), inside("demo"):
        import_module("shop.models")
        raise ValueError("mine")
    assert state() == before
