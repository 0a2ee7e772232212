"""One row of everything that belongs to a ward, for the tests of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from auctor.web.accounts.actor import Actor
from auctor.web.store import Store, documents, results
from auctor.web.store.tables import Message, Outbox, Prediction, Score
from web_people import DOCTOR, correct, hire, know, open_course

DOSE = {"amount": "1000 mg", "route": "iv", "duration": "1 h", "at": "2026-03-01T08:00:00+01:00"}
SAMPLE = {"value": "12.1 mg/L", "at": "2026-03-01T19:30:00+01:00", "matrix": "serum"}
NOW = datetime(2026, 3, 1, 20, tzinfo=UTC)
REGIMEN = {"dose": "1250 mg", "every": "12 h"}


@dataclass(frozen=True)
class Answer:
    """What an engine hands over."""

    result: str = '{"signing_blocked": false}'
    model: str = "vancomycin_goti_2018"
    model_sha256: str = "0" * 64
    engine: str = "0.1.0"
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=lambda: {"draws": 2000})


@dataclass(frozen=True)
class Kept:
    """A course with a dose, a sample and a signer."""

    id: str
    dose: str
    sample: str
    signer: Actor


def begun(store: Store) -> Kept:
    """A course with what an analysis needs."""
    opened = open_course(store)
    return Kept(id=opened, dose=know(store, opened, "dose", DOSE), sample=know(store, opened, "sample", SAMPLE), signer=hire(store))


def keep(store: Store, course: str, answer: Answer | None = None, now: datetime | None = NOW) -> str:
    """An analysis of the course as it stands; its id."""
    with store.work(DOCTOR) as work:
        result = results.keep(work, course, taken=documents.document(work, course, now=now), computed=answer or Answer())
        work.record("result.keep", "result", result.id, ward="icu", after={"sha256": result.result_sha256})
    return result.id


def sign(store: Store, course: Kept, result: str, *, reason: str = "") -> str:
    """The result signed by the signer; the signature's id."""
    with store.work(course.signer) as work:
        signature = results.sign(work, result, regimen=REGIMEN, text="what the page said", reason=reason)
        work.session.add(Outbox(result_id=result, destination="https://fhir.example/"))
        work.record("result.sign", "result", result, ward="icu", after=signature.as_data(), reason=reason)
    return signature.id


def kept_and_signed(store: Store) -> Kept:
    """A course with a result that was signed and re-opened, a prediction with its score, a message."""
    course = begun(store)
    result = keep(store, course.id)
    sign(store, course, result)
    correct(store, course.sample, SAMPLE | {"value": "21.1 mg/L"}, made_from=1, reason="typed wrongly")
    with store.work(DOCTOR) as work:
        said = {"course_id": course.id, "result_id": result, "method": "map", "model": "m", "inputs_sha256": "0" * 64}
        prediction = Prediction(**said, for_at=NOW, quantiles={"0.5": 11.0}, made_at=NOW)
        work.session.add(prediction)
        work.session.flush()
        seen = {"prediction_id": prediction.id, "fact_id": course.sample, "fact_revision": 2}
        work.session.add(Score(**seen, observed=21.1, error=-0.4787, percentile=99.0, scored_at=NOW))
        received = {"channel": "hl7v2", "sender": "LAB", "control_id": "1", "digest": "0" * 64, "state": "done"}
        work.session.add(Message(**received, ward_id="icu"))
        work.record("silent.score", "prediction", prediction.id, ward="icu")
    return course
