"""Silent mode: each level is foretold from what was known before it, by every method, kept with the hash of those inputs, and scored.

A `Follower` looks for levels that nobody foretold yet. For each it takes the course as it stood the moment before the level was entered,
without any level drawn later, and keeps what each method says of that time; then it scores the level against what was kept. The level is
never among the inputs, which their hash shows: `inputs` makes it again from the append-only facts. A corrected level is scored again, a
level whose time was corrected is foretold again, and what cannot be foretold is kept as such: nothing is left out silently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, Select, func, select

from auctor import __version__
from auctor.errors import AuctorError
from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.service import engine
from auctor.web.service.clinic import Clinic
from auctor.web.service.workers import WorkerStopped
from auctor.web.store import Reading, StoreError, Work, facts
from auctor.web.store.documents import assembled
from auctor.web.store.tables import Audit, Course, Fact, Patient, Prediction, Result, Score, canonical, iso

if TYPE_CHECKING:
    from auctor.case import Sample

FOLLOWER = Actor.system("silent", wards=frozenset({EVERY_WARD}))
NONE = "none"  # the method of a prediction that no method could make
INSTANT = timedelta(microseconds=1)
AT_A_TIME = 500  # names in one query
LEAST_SHARE = 0.01  # of the foretold median: what a level of nothing is compared with


@dataclass(frozen=True, kw_only=True)
class Level:
    """A level to be foretold: its last revision, the course, and the document of what was known before it."""

    fact: Fact
    course: Course
    ward: str
    document: dict[str, Any]
    result: str | None


class Follower:
    """Looks for levels that wait, again and again: the first time among all, then among those that were left and those that came.

    The audit trail says what came: its numbers rise in the order in which changes are committed, whichever process made them.
    """

    def __init__(self) -> None:
        self._seen: int | None = None
        self._left: list[str] = []

    def follow(self, clinic: Clinic, *, most: int = 1000) -> int:
        """Foretell and score levels that wait, in the order in which they became known; how many. Each is a unit of work."""
        done = 0
        for fact_id in self.look(clinic)[:most]:
            with clinic.store.read(FOLLOWER) as reading:
                level = _level(reading, fact_id)
            try:
                _keep(clinic, level, _foretold(clinic, level))
            except (StoreError, WorkerStopped):
                continue  # another process was first, the course changed, or none computed: the next call looks again
            done += 1
        return done

    def look(self, clinic: Clinic) -> list[str]:
        """The levels that wait now."""
        with clinic.store.read(FOLLOWER) as reading:
            end = reading.session.scalar(select(func.max(Audit.sequence))) or 0
            among = None if self._seen is None else {*self._left, *_changed(reading, after=self._seen)}
            self._seen, self._left = end, waiting(reading, among)
        return self._left


def follow(clinic: Clinic, *, most: int = 1000) -> int:
    """Foretell and score the levels that wait, once; how many."""
    return Follower().follow(clinic, most=most)


def _changed(reading: Reading, *, after: int) -> Iterator[str]:
    """The facts of which a revision was written since that entry of the trail."""
    for rows in reading.session.scalars(select(Audit.rows).where(Audit.sequence > after)):
        yield from (key.partition("/")[0] for table, key, _ in rows if table == Fact.__tablename__)


def waiting(reading: Reading, among: Iterable[str] | None = None) -> list[str]:
    """Levels (among these facts) whose last revision was not scored, nor found impossible to foretell, the first that was known first."""
    scored = select(Score.id).where(Score.fact_id == Fact.id, Score.fact_revision == Fact.revision).correlate(Fact).exists()
    parts = [standing()] if among is None else [standing(part) for part in _parts(among)]
    rows = [row for query in parts for row in reading.session.execute(query.where(~scored))]
    refused = refusals(reading, rows)
    return [row.id for row in sorted(rows, key=lambda row: (row.first, row.id)) if row.id not in refused]


def standing(among: Sequence[str] | None = None) -> Select[Any]:
    """A query of the last revision of each level that stands (among these facts): id, revision, at, body, when it was `first` known.

    The other revisions are looked up in the table itself: the level that they are of is of the reader's wards.
    """
    later, first = Fact.__table__.alias("later"), Fact.__table__.alias("earliest")
    corrected = select(later.c.id).where(later.c.id == Fact.id, later.c.revision > Fact.revision).correlate(Fact).exists()
    query = select(Fact.id, Fact.revision, Fact.at, Fact.body, first.c.entered_at.label("first"))
    query = query.join(first, (first.c.id == Fact.id) & (first.c.revision == 1))
    query = query.where(Fact.kind == "sample", ~Fact.withdrawn, ~corrected)
    return query if among is None else query.where(Fact.id.in_(among))


def refusals(reading: Reading, rows: Iterable[Row[Any]]) -> set[str]:
    """The levels among `standing` ones that no method could foretell at their time."""
    names = {prediction_id(row, NONE): row.id for row in rows}
    found = (reading.session.scalars(select(Prediction.id).where(Prediction.id.in_(part))) for part in _parts(names))
    return {names[name] for part in found for name in part}


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    """As many at a time as a query takes."""
    every = sorted(names)
    yield from (every[k : k + AT_A_TIME] for k in range(0, len(every), AT_A_TIME))


def prediction_id(fact: Fact | Row[Any], method: str) -> str:
    """The identifier of what a method said of a level: of the level and its time, so that it can be kept only once."""
    moment = iso(fact.at) if fact.at else str(fact.body.get("time_h"))
    return hashlib.sha256(f"{fact.id}|{moment}|{method}".encode()).hexdigest()[:32]


def _level(reading: Reading, fact_id: str) -> Level:
    revisions = facts.history(reading, fact_id)
    fact, first = revisions[-1], revisions[0]
    course = reading.get(Course, fact.course_id)
    known = facts.as_of(reading, course.id, first.entered_at - INSTANT)
    document = assembled(course, [one for one in known if one.id != fact_id and _before(one, fact)])
    ward = reading.get(Patient, course.patient_id).ward_id
    return Level(fact=fact, course=course, ward=ward, document=document, result=_latest(reading, course.id, first.entered_at))


def _before(one: Fact, level: Fact) -> bool:
    """Whether a fact may be used: anything but a level that was drawn at the same time or later."""
    if one.kind != "sample":
        return True
    if one.at is not None and level.at is not None:
        return one.at < level.at
    return float(one.body.get("time_h", 0.0)) < float(level.body.get("time_h", 0.0))


def _latest(reading: Reading, course_id: str, moment: datetime) -> str | None:
    """The last result that was kept before that moment, for the reader: the prediction itself is made from the document."""
    made = select(Result.id).where(Result.course_id == course_id, Result.made_at < moment)
    return reading.session.scalar(made.order_by(Result.made_at.desc()).limit(1))


def inputs(level: Level) -> str:
    """SHA-256 of all that a prediction of this level is made from: the document, the level's time, the model file, version, draws, seed."""
    time = {key: level.fact.body[key] for key in ("at", "time_h") if key in level.fact.body}
    model = engine.read(str(level.course.model)).sha256 if level.course.model else None
    return hashlib.sha256(canonical([level.document, time, model, __version__, engine.DRAWS, engine.SEED]).encode()).hexdigest()


def _foretold(clinic: Clinic, level: Level) -> dict[str, Mapping[str, float]]:
    """Quantiles by method, from the database where they were kept already; {NONE: {}} where no method can say anything."""
    with clinic.store.read(FOLLOWER) as reading:
        kept = [reading.session.get(Prediction, prediction_id(level.fact, method)) for method in METHODS]
    if any(kept):
        return {row.method: row.quantiles for row in kept if row is not None}
    try:
        return clinic.engine.workers.run(_compute, level.document, str(level.course.model), _time(level.fact))
    except WorkerStopped:
        raise
    except AuctorError:
        return {NONE: {}}


METHODS = ("a_priori", "map", "posterior")


def _compute(document: dict[str, Any], name: str, time: dict[str, Any]) -> dict[str, Mapping[str, float]]:
    """In a worker: the document without the level to quantiles at the level's time."""
    from auctor.analysis.foretell import foretell
    from auctor.data.casefile import case_of
    from auctor.data.clock import Clock, moment
    from auctor.data.document import check_document
    from auctor.data.schema import SampleEntry

    checked = check_document(document)
    model = engine.read(name)
    time_h = Clock.of(checked).hours(moment(SampleEntry(**time), "sample"))
    return foretell(case_of(checked, model), model, time_h, n_draws=engine.DRAWS, seed=engine.SEED)


def _time(fact: Fact) -> dict[str, Any]:
    return {key: fact.body[key] for key in ("at", "time_h") if key in fact.body}


def _keep(clinic: Clinic, level: Level, found: Mapping[str, Mapping[str, float]]) -> None:
    seen = _seen(level) if NONE not in found else None
    with clinic.store.work(FOLLOWER) as work:
        said: dict[str, Any] = {}
        for method, quantiles in found.items():
            prediction = _prediction(work, level, method, quantiles)
            if seen is not None:
                score = judged(prediction, level.fact, seen, at=work.at)
                work.session.add(score)
                said[method] = score.percentile
        after = {"course": level.course.id, "inputs": inputs(level), "percentiles": said}
        work.record("silent.score", "fact", level.fact.id, ward=level.ward, after=after)


def _prediction(work: Work, level: Level, method: str, quantiles: Mapping[str, float]) -> Prediction:
    known = work.session.get(Prediction, prediction_id(level.fact, method))
    if known is not None:
        return known
    row = Prediction(
        id=prediction_id(level.fact, method),
        course_id=level.course.id,
        result_id=level.result,
        method=method,
        model=level.course.model or "",
        for_at=level.fact.at or level.fact.entered_at,
        quantiles=dict(quantiles),
        inputs_sha256=inputs(level),
        made_at=work.at,
    )
    work.session.add(row)
    work.session.flush()
    return row


def _seen(level: Level) -> Sample:
    """The level as the engine reads it, in mg/L."""
    from auctor.data.casefile import case_of
    from auctor.data.document import check_document

    document = {**level.document, "samples": [level.fact.body]}
    return case_of(check_document(document), engine.read(str(level.course.model))).samples[0]


def judged(prediction: Prediction, fact: Fact, seen: Sample, *, at: datetime) -> Score:
    """The score of a level: relative error of the foretold median, and the percentile at which it lies.

    Of a level outside the assay's limits only the limit is known: its percentile is drawn from those it may have, by a number that the
    prediction's identifier gives (Dunn PK, Smyth GK, J Comput Graph Stat 1996;5:236), and its error is 0 where the median is outside too.
    """
    from auctor.analysis.foretell import percentile

    median, limit = prediction.quantiles["0.5"], (seen.uloq if seen.above_uloq else seen.lloq) if seen.censored else None
    observed = float(limit if limit is not None else seen.value)
    place, error = percentile(prediction.quantiles, observed), _error(median, observed)
    if seen.censored:
        share = int(prediction.id[:8], 16) / 16**8
        place = place + (100.0 - place) * share if seen.above_uloq else place * share
        error = min(error, 0.0) if seen.above_uloq else max(error, 0.0)
    return Score(
        prediction_id=prediction.id,
        fact_id=fact.id,
        fact_revision=fact.revision,
        observed=observed,
        error=error,
        percentile=place,
        scored_at=at,
    )


def _error(median: float, observed: float) -> float:
    return (median - observed) / max(observed, LEAST_SHARE * abs(median), 1e-9)
