"""The gradebook's tables: a submission, and a verdict for each of its exercises.

What is filtered, sorted or added up has a column of its own. What is only ever read back whole,
with the verdict that it explains (findings, evidence), is JSON in one column: a table for each
would cost a join and answer no question that anybody asks in SQL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from checks.grading.outcome import Ended
from checks.verdict import Status

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_CURRENT = text("superseded_at IS NULL")


class Utc(TypeDecorator[datetime]):
    """A moment, aware on both sides: SQLite forgets the zone, so it is kept in UTC and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a moment without a zone is refused, for it could be any of twenty-four."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} says no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _word(kind: type[StrEnum]) -> Enum:
    """One of a few words, stored as text: a new one needs no migration of a type."""
    return Enum(kind, native_enum=False, length=20, values_callable=lambda all_: [*map(str, all_)])


# By code point on every server, as Python sorts: PostgreSQL would otherwise go by its own language.
_SORTED = String(300).with_variant(String(300, collation="C"), "postgresql")


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        str: Text(),
        datetime: Utc(),
        Ended: _word(Ended),
        Status: _word(Status),
        list[str]: JSON(),
        list[dict[str, Any]]: JSON(),
        dict[str, str]: JSON(),
        dict[str, Any]: JSON(none_as_null=True),
    }


class Submission(Base):
    """One learner's submission of one lesson, as graded once.

    A later grading supersedes it: it stays as history, without evidence, answers and exceptions.
    The unique index lets one be current, whoever writes.
    """

    __tablename__ = "submission"
    __table_args__ = (
        Index("ix_submission_learner_lesson", "learner", "lesson"),
        Index(
            "uq_submission_current",
            "learner",
            "lesson",
            unique=True,
            sqlite_where=_CURRENT,
            postgresql_where=_CURRENT,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    learner: Mapped[str] = mapped_column(_SORTED)
    lesson: Mapped[str] = mapped_column(_SORTED)
    superseded_at: Mapped[datetime | None]
    file: Mapped[str]
    digest: Mapped[str]
    checks: Mapped[str]
    graded_at: Mapped[datetime]
    ended: Mapped[Ended]
    seconds: Mapped[float]
    raised: Mapped[list[dict[str, Any]]]
    answers: Mapped[dict[str, str]]
    look: Mapped[list[str]]
    notes: Mapped[list[str]]
    report_version: Mapped[int]
    report_file: Mapped[str]
    report_lesson: Mapped[str | None]
    points: Mapped[float]
    max_points: Mapped[float]
    message: Mapped[str]

    # `lazy="raise"`: who needs the verdicts says so in the query, so no N+1 can creep in.
    verdicts: Mapped[list[ExerciseVerdict]] = relationship(
        order_by="ExerciseVerdict.place",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise",
    )


class ExerciseVerdict(Base):
    """How one exercise of a submission stands."""

    __tablename__ = "verdict"
    __table_args__ = (UniqueConstraint("submission_id", "place"),)  # also the index of its FK

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"))
    place: Mapped[int]
    lesson: Mapped[str]
    exercise: Mapped[str]
    title: Mapped[str]
    statement: Mapped[str]
    status: Mapped[Status]
    points: Mapped[float]
    max_points: Mapped[float]
    message: Mapped[str]
    mistake: Mapped[str | None]
    shows: Mapped[str | None]
    marks: Mapped[list[str]]
    findings: Mapped[list[dict[str, Any]]]
    evidence: Mapped[dict[str, Any] | None]
