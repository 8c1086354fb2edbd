"""What was graded, written down and read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from sqlalchemy import URL, Engine, Select, delete, false, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload, sessionmaker

from checks.grading.gradebook import migrate
from checks.grading.gradebook.engine import PATIENCE, in_sentences, make, write_ahead
from checks.grading.gradebook.models import ExerciseVerdict, Submission
from checks.grading.gradebook.storable import name_of, storable
from checks.grading.graded import Graded
from checks.grading.outcome import Ended, Raised
from checks.verdict import Report, Verdict

_BATCH = 50  # submissions that are in memory at once while all are read
_TRIES = 5  # two graders may be at the same submission; the later one takes its turn


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record of one submission, as far as resuming needs it.

    Attributes:
        digest: The notebook's SHA-256.
        checks: The digest of the checks that it was judged with.
        ended_well: Whether its run came to its end by itself.
    """

    digest: str
    checks: str
    ended_well: bool


class Gradebook:
    """The record of a class. Use it as a context manager, or close it.

    Several programs may use one at the same time: each submission is one transaction, and the
    last to record a learner's lesson is the current one.

    Args:
        engine: A database that has the gradebook's tables; `open` makes them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine)

    @classmethod
    def open(cls, url: str | URL, patience: float = PATIENCE) -> Self:
        """Open a gradebook; make it where there is none, migrate it where it is older.

        Args:
            url: The database: `sqlite:///grades.sqlite`, `postgresql://host/database`.
            patience: For how many seconds to wait while somebody else is writing.

        Raises:
            CourseError: it cannot be reached or written to, is locked, newer than this program,
                or holds something else.
        """
        engine = make(url, patience)
        try:
            with in_sentences(engine.url), engine.begin() as connection:
                migrate.upgrade(connection)
                connection.execute(delete(Submission).where(false()))  # may we write at all?
            write_ahead(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def known(self, learner: str, lesson: str) -> Known | None:
        """What is on record of a learner's lesson; None where nothing is.

        Raises:
            CourseError: the database failed.
        """
        query = select(Submission.digest, Submission.checks, Submission.ended).where(
            Submission.learner == name_of(learner),
            Submission.lesson == name_of(lesson),
            Submission.superseded_at.is_(None),
        )
        with in_sentences(self._engine.url), self._sessions() as session:
            found = session.execute(query).one_or_none()
        return Known(found.digest, found.checks, found.ended is Ended.WELL) if found else None

    def record(self, graded: Graded) -> None:
        """Write one submission down, all of it or nothing.

        An earlier one of the same learner and lesson stays as history without its evidence, so
        that the record grows with the class and not with every grading.

        Raises:
            CourseError: the database failed; nothing was written.
        """
        graded = storable(graded)
        with in_sentences(self._engine.url):
            for last in (*[False] * (_TRIES - 1), True):
                try:
                    with self._sessions.begin() as session:
                        _supersede(session, graded)
                        session.add(_to_row(graded))
                    return
                except IntegrityError:  # another grader recorded the same one in between
                    if last:
                        raise

    def each(self) -> Iterator[Graded]:
        """Every current submission, by learner and lesson in the order of their code points.

        Reads in batches, each of a constant number of queries and in a transaction of its own: a
        class of any size needs the memory of one batch, and recording may go on meanwhile.

        Raises:
            CourseError: the database failed.
        """
        place = tuple_(Submission.learner, Submission.lesson)
        query = (
            select(Submission)
            .where(Submission.superseded_at.is_(None))
            .order_by(Submission.learner, Submission.lesson)
            .limit(_BATCH)
        )
        batch = self._read(query)
        while batch:
            yield from batch
            batch = self._read(query.where(place > (batch[-1].learner, batch[-1].lesson)))

    def earlier(self, learner: str, lesson: str) -> Sequence[Graded]:
        """What a learner's lesson was graded before, the latest first; evidence is not kept.

        Raises:
            CourseError: the database failed.
        """
        return self._read(
            select(Submission)
            .where(
                Submission.learner == name_of(learner),
                Submission.lesson == name_of(lesson),
                Submission.superseded_at.is_not(None),
            )
            .order_by(Submission.id.desc())
        )

    def forget(self, learner: str) -> int:
        """Delete all that is on record of a learner, history included; returns how many gradings.

        Raises:
            CourseError: the database failed; nothing was deleted.
        """
        with in_sentences(self._engine.url), self._sessions.begin() as session:
            gone = session.scalars(
                delete(Submission)
                .where(Submission.learner == name_of(learner))
                .returning(Submission.id)
            )
            return len(gone.all())

    def _read(self, query: Select[Submission]) -> list[Graded]:
        with in_sentences(self._engine.url), self._sessions() as session:
            rows = session.scalars(query.options(selectinload(Submission.verdicts)))
            return [_from_row(row) for row in rows]


def _supersede(session: Session, graded: Graded) -> None:
    """Turn the current record of the same learner and lesson into history."""
    current = session.scalars(
        update(Submission)
        .where(
            Submission.learner == graded.learner,
            Submission.lesson == graded.lesson,
            Submission.superseded_at.is_(None),
        )
        .values(superseded_at=graded.graded_at, raised=[], answers={})
        .returning(Submission.id)
    ).one_or_none()
    if current is not None:
        session.execute(
            update(ExerciseVerdict)
            .where(ExerciseVerdict.submission_id == current)
            .values(evidence=None)
        )


def _to_row(graded: Graded) -> Submission:
    report = graded.report
    return Submission(
        learner=graded.learner,
        lesson=graded.lesson,
        file=graded.file,
        digest=graded.digest,
        checks=graded.checks,
        graded_at=graded.graded_at,
        ended=graded.ended,
        seconds=graded.seconds,
        raised=[asdict(one) for one in graded.raised],
        answers=dict(graded.answers),
        look=list(graded.look),
        notes=list(graded.notes),
        report_version=report.version,
        report_file=report.file,
        report_lesson=report.lesson,
        points=report.points,
        max_points=report.max_points,
        message=report.message,
        verdicts=[
            ExerciseVerdict(place=place, **one.model_dump())
            for place, one in enumerate(report.exercises)
        ],
    )


def _from_row(row: Submission) -> Graded:
    report = Report.model_validate(
        {
            "version": row.report_version,
            "file": row.report_file,
            "lesson": row.report_lesson,
            "points": row.points,
            "max_points": row.max_points,
            "message": row.message,
            "exercises": [
                {name: getattr(one, name) for name in Verdict.model_fields} for one in row.verdicts
            ],
        }
    )
    return Graded(
        learner=row.learner,
        lesson=row.lesson,
        file=row.file,
        digest=row.digest,
        checks=row.checks,
        report=report,
        graded_at=row.graded_at,
        ended=row.ended,
        seconds=row.seconds,
        raised=tuple(Raised(**one) for one in row.raised),
        answers=row.answers,
        look=tuple(row.look),
        notes=tuple(row.notes),
    )
