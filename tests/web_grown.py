"""A store that has grown for years, for the tests and the benchmark: one course through the verbs, its rows copied under new names.

A copy is what the application would have written for another patient: identifiers, the hashes that follow from them, row digests and
the audit chain are made anew, so that `verify` finds nothing. Only its moments are those of the first course, and so is the hash of
what its predictions were made from.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Date, insert, select

from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.service import analyses, courses, entering, patients, sending, signing, silent
from auctor.web.service.clinic import Clinic
from auctor.web.service.entering import Entered
from auctor.web.service.signing import CHANGE, Wish
from auctor.web.store import questions
from auctor.web.store.audit import _end
from auctor.web.store.checkpoint import Mark
from auctor.web.store.questions import Asked
from auctor.web.store.results import sha256
from auctor.web.store.tables import (
    Audit,
    Course,
    Fact,
    Feedback,
    Outbox,
    Patient,
    Prediction,
    Question,
    Reopening,
    Result,
    Score,
    Settlement,
    ShownCard,
    Signature,
    Table,
    canonical,
    iso,
    new_id,
    now,
)
from auctor.web.store.tables.columns import Moment, content_sha256
from auctor.web.store.work import as_application
from web_silent import AUTHOR, Neonate, admit, at, simulate

COPIED: tuple[type[Table], ...] = (
    Patient, Course, Fact, Result, Signature, Question, Settlement, Reopening, Outbox, Prediction, Score,
)  # fmt: skip
EVERYBODY = Actor.system("grown", wards=frozenset({EVERY_WARD}))
FAMILY, NUMBER = "Doe", "the-first-of-all"
FAMILIES = ("Alder", "Birch", "Cedar", "Elm", "Fern", "Hazel", "Ivy", "Juniper", "Larch", "Maple", "Oak", "Rowan", "Sorrel", "Willow")
DOSES_H, LEVELS_H = tuple(12.0 * k for k in range(10)), (10.0, 23.5, 47.0, 71.0, 95.0)
AT_ONCE = 200  # copies in one transaction
SERVICES = (("tdm-order-sign", "draft", "warning"), ("tdm-patient-view", "overdue", "info"), ("tdm-patient-view", "unsigned", "info"))
OPEN = ("quiet", "unsigned", "asked", "changed")  # the stages of an open course; `closed` is the other one
_HEX = re.compile("[0-9a-f]{64}|[0-9a-f]{32}")

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Every row of the first course as it stood, as text cut at the identifiers and hashes that a copy has anew."""

    pieces: tuple[str, ...]
    named: tuple[str, ...]
    derived: tuple[tuple[str, str], ...]  # a hash, and the text that it is of

    @classmethod
    def of(cls, clinic: Clinic, *, after: int) -> Stage:
        """The rows as they are, with the audit entries after that number."""
        with clinic.store.read(EVERYBODY) as reading:
            rows = {table.__tablename__: [row.as_data() for row in reading.session.scalars(select(table))] for table in COPIED}
            query = select(Audit).where(Audit.sequence > after).order_by(Audit.sequence)
            trail = [row.as_data() for row in reading.session.scalars(query)]
        derived = {name: text for name, text in _foretold(rows) if name in {row["id"] for row in rows["prediction"]}}
        derived |= {row[f"{name}_sha256"]: row[name] for row in rows["result"] for name in ("document", "result")}
        derived |= {row["text_sha256"]: row["text"] for row in rows["signature"]}
        named = (*({row["id"] for found in rows.values() for row in found} - set(derived)), NUMBER)
        pattern = "|".join([*named, *derived, f'(?<="){FAMILY}(?=")'])
        text = canonical({"rows": rows, "trail": trail})
        return cls(pieces=tuple(re.split(f"({pattern})", text)), named=named, derived=tuple(derived.items()))

    def copy(self, *, family: str) -> tuple[Rows, list[dict[str, Any]]]:
        """The rows of another patient, by table, and the audit entries, which are still to be chained."""
        names = {name: new_id() for name in self.named} | {FAMILY: family}
        for old, text in self.derived:
            names[old] = sha256(_HEX.sub(lambda found: names.get(found[0], found[0]), text))[: len(old)]
        made = json.loads("".join(names.get(piece, piece) for piece in self.pieces))
        return made["rows"], made["trail"]


def _foretold(rows: Rows) -> Iterator[tuple[str, str]]:
    """What the identifiers of predictions are made of (`silent.prediction_id`)."""
    for fact in rows["fact"]:
        for method in silent.METHODS:
            text = f"{fact['id']}|{fact['at']}|{method}"
            yield sha256(text)[:32], text


@dataclass
class Trail:
    """The end of an audit trail that grows past the verbs."""

    sequence: int
    hash: str
    at: str = ""

    def add(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The entry as the next one."""
        self.sequence += 1
        linked = {**entry, "sequence": self.sequence, "previous": self.hash}
        linked.pop("hash", None)
        self.hash, self.at = content_sha256(linked), entry["at"]
        return {**linked, "hash": self.hash}


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A clinic, and the first course of it at each of its stages; copies are added to the store."""

    clinic: Clinic
    stages: Mapping[str, Stage]
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    @classmethod
    def begun(cls, clinic: Clinic, signer: Actor) -> Grown:
        """Go through the first course by the verbs, in the ward `icu`, which has to be there; it ends closed."""
        return cls(clinic=clinic, stages=dict(_stages(clinic, signer)))

    def add(self, stage: str, n: int) -> None:
        """So many copies of a stage."""
        for start in range(0, n, AT_ONCE):
            with self._writing() as (connection, trail):
                rows: Rows = {"audit": []}
                for _ in range(min(AT_ONCE, n - start)):
                    made, entries = self.stages[stage].copy(family=self.chance.choice(FAMILIES))
                    rows["audit"].extend(trail.add(entry) for entry in _told(entries, made))
                    for name, found in made.items():
                        rows.setdefault(name, []).extend(found)
                _insert(connection, rows)

    def add_cards(self, n: int, *, days: float) -> None:
        """So many cards shown over the last days, three to a call; a third of them answered, a fifth of those with an override."""
        for start in range(0, n, 20 * AT_ONCE):
            with self._writing() as (connection, trail):
                cards = [self._card(days) for _ in range(min(20 * AT_ONCE, n - start))]
                answers = [self._answer(card) for card in cards if self.chance.random() < 1 / 3]
                told = [_entry("cds.shown", ShownCard, cards[k : k + 3]) for k in range(0, len(cards), 3)]
                told += [_entry("cds.feedback", Feedback, [answer]) for answer in answers]
                _insert(connection, {"card": cards, "feedback": answers, "audit": [trail.add(entry) for entry in told]})

    def _card(self, days: float) -> dict[str, Any]:
        service, kind, indicator = self.chance.choice(SERVICES)
        said = {"id": str(uuid4()), "service": service, "kind": kind, "indicator": indicator, "drug": "phenobarbital"}
        return said | {"shown_at": iso(now() - timedelta(days=self.chance.uniform(0, days)))}

    def _answer(self, card: Mapping[str, Any]) -> dict[str, Any]:
        outcome = "overridden" if self.chance.random() < 0.2 else "accepted"
        reason = {"code": "not-convenient-feasible"} if outcome == "overridden" else {}
        detail = {"suggestions": [], "reason": reason, "comment": ""}
        told = {"outcome": outcome, "detail": detail, "outcome_at": card["shown_at"], "received_at": card["shown_at"]}
        return {"id": new_id(), "service": card["service"], "card": card["id"]} | told

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, Trail]]:
        """One transaction past the verbs, with the end of the trail, whose checkpoint is written after it."""
        store = self.clinic.store
        with store.writes() as session:
            connection = session.connection()
            as_application(connection, EVERYBODY)
            trail = Trail(*_end(session))
            yield connection, trail
            session.commit()
        store.checkpoints.write(Mark(sequence=trail.sequence, hash=trail.hash, at=trail.at))


def _digests(rows: Rows) -> dict[tuple[str, str], str]:
    """The row digests of the rows that are written once."""
    found = {}
    for table in COPIED:
        for row in rows[table.__tablename__] if table.append_only else ():
            key = f"{row['id']}/{row['revision']}" if table is Fact else row["id"]
            found[table.__tablename__, key] = content_sha256(row)
    return found


def _told(entries: Iterable[dict[str, Any]], made: Rows) -> Iterator[dict[str, Any]]:
    """Audit entries with the digests of the rows as they are now."""
    digests = _digests(made)
    for entry in entries:
        yield entry | {"rows": sorted([table, key, digests[table, key]] for table, key, _ in entry["rows"])}


def _entry(action: str, table: type[Table], rows: list[dict[str, Any]]) -> dict[str, Any]:
    told = {"account_id": None, "login": "grown", "channel": "fhir", "action": action, "kind": "service", "ward": None, "before": None}
    written = sorted([table.__tablename__, row["id"], content_sha256(row)] for row in rows)
    more = {"object_id": rows[0]["service"], "after": {"entries": len(rows)}, "reason": "", "rows": written}
    return told | more | {"at": max(row.get("shown_at", row.get("received_at")) for row in rows)}


def _insert(connection: Connection, rows: Rows) -> None:
    for table in Table.metadata.sorted_tables:
        if found := rows.get(table.name):
            moments = [column.key for column in table.columns if isinstance(column.type, Moment)]
            days = [column.key for column in table.columns if isinstance(column.type, Date)]
            for row in found:
                row |= {key: datetime.fromisoformat(row[key]) for key in moments if row[key]}
                row |= {key: date.fromisoformat(row[key]) for key in days if row[key]}
            connection.execute(insert(table), found)


def _stages(clinic: Clinic, signer: Actor) -> Iterator[tuple[str, Stage]]:
    """The first course, from its opening to its end, and the rows at each stage."""
    (neonate,) = simulate(1, seed=1)
    with clinic.store.read(EVERYBODY) as reading:
        before = _end(reading.session)[0]
    course = admit(clinic, NUMBER, neonate)
    _given(clinic, course, neonate, DOSES_H[:5], LEVELS_H[:2])
    _sign(clinic, signer, analyses.analyse(clinic, AUTHOR, course))
    _given(clinic, course, neonate, DOSES_H[5:], LEVELS_H[2:])
    silent.follow(clinic)
    result = analyses.analyse(clinic, AUTHOR, course)
    yield "unsigned", Stage.of(clinic, after=before)
    _sign(clinic, signer, result)
    _send(clinic, signer, result)
    yield "quiet", Stage.of(clinic, after=before)
    courses.close_course(clinic, AUTHOR, course, reason="discharged")
    yield "closed", Stage.of(clinic, after=before)
    courses.reopen_course(clinic, AUTHOR, course, reason="back again")
    _ask(clinic, course)
    yield "asked", Stage.of(clinic, after=before)
    _given(clinic, course, neonate, (), (107.0,))
    silent.follow(clinic)
    yield "changed", Stage.of(clinic, after=before)
    courses.close_course(clinic, AUTHOR, course, reason="discharged")


def _given(clinic: Clinic, course: str, neonate: Neonate, doses: Iterable[float], levels: Iterable[float]) -> None:
    """Doses and levels, each entered by itself, and somebody who looks at them."""
    for hours in doses:
        body = {"amount": f"{neonate.weight * (20 if hours == 0 else 2.5):.1f} mg", "route": "iv", "bolus": True, "at": at(hours)}
        entering.enter(clinic, AUTHOR, course, [Entered(kind="dose", body=body)])
    for hours in levels:
        body = {"value": "21 mg/L", "at": at(hours), "matrix": "serum"}
        entering.enter(clinic, AUTHOR, course, [Entered(kind="sample", body=body)])
    patients.open_patient(clinic, AUTHOR, courses.look(clinic, AUTHOR, course, audited=True).patient.id)


def _sign(clinic: Clinic, signer: Actor, result_id: str) -> None:
    """The first candidate of a result, with a reason for whatever needs one."""
    file, result = signing.result_file(clinic, signer, result_id)
    data = json.loads(result.result)
    label = data["methods"][data["preferred"]]["candidates"][0]["option"]["label"]
    choice = signing.choose(clinic, signer, file, result, label=label, typed=None)
    reasons = dict.fromkeys([*signing.blocking(result), CHANGE], "seen at the bedside")
    signing.sign(clinic, signer, result_id, Wish(choice=choice, meaning="recommended", reasons=reasons), confirm=lambda: None)


def _send(clinic: Clinic, signer: Actor, result_id: str) -> None:
    row = sending.put(clinic, signer, result_id, "https://ehr.example/fhir")
    sending.sent(clinic, sending.COURIER, row, reference="DiagnosticReport/1")


def _ask(clinic: Clinic, course: str) -> None:
    asked = Asked(source="fhir", reference="Observation/1", kind="sample", code="no-unit", place="sample", what="no unit", remedy="ask")
    with clinic.store.work(AUTHOR) as work:
        questions.ask(work, course, asked)
        work.record("import.fhir", "course", course, ward="icu")
