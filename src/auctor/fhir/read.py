"""read_bundle: a FHIR R4 Bundle to an identity and the facts of one course; what was left out and what has to be asked, listed with why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from auctor.errors import AuctorError, RecordError
from auctor.fhir.administrations import OpenRate, join_rates, read_administration
from auctor.fhir.bundle import read_record
from auctor.fhir.found import Fact, Imported, Left, LeftOut, Open, Question, question_of
from auctor.fhir.labels import with_label_notices
from auctor.fhir.node import Node
from auctor.fhir.observations import read_observation
from auctor.fhir.orders import Order, assumed_doses, current_of, differs, read_order
from auctor.fhir.patient import personal_facts, read_patient
from auctor.fhir.reading import Reading, Wanted
from auctor.fhir.renal import filtration_facts
from auctor.fhir.transplants import COVARIATE as POD
from auctor.fhir.transplants import Transplant, days_after, read_transplant
from auctor.fhir.when import read_when
from auctor.models.reader import list_models, read_model

Found = Fact | OpenRate | Order | Transplant
READERS: dict[str, tuple[str, Callable[[Node, Reading], Found]]] = {
    "MedicationAdministration": ("dose", read_administration),
    "MedicationRequest": ("current", read_order),
    "Observation": ("observation", read_observation),
    "Procedure": ("covariate", read_transplant),
}
SUPPORTING = ("Medication", "Specimen")


class _Desk:
    """Piles of one import; not kept after it."""

    def __init__(self, left: tuple[Left, ...], questions: tuple[Open, ...]) -> None:
        self.facts: list[Fact] = []
        self.rates: list[OpenRate] = []
        self.orders: list[Order] = []
        self.transplants: list[Transplant] = []
        self.withdrawn: list[str] = []
        self.left, self.questions = list(left), list(questions)

    def put(self, found: Found) -> None:
        """Onto the pile it belongs to."""
        if isinstance(found, Fact):
            self.facts.append(found)
        elif isinstance(found, OpenRate):
            self.rates.append(found)
        elif isinstance(found, Transplant):
            self.transplants.append(found)
        else:
            self.orders.append(found)

    def ask(self, *errors: AuctorError, kind: str) -> None:
        """Onto the pile of questions."""
        self.questions += [question_of(error, kind) for error in errors]


def read_bundle(raw: Mapping[str, Any], wanted: Wanted) -> Imported:
    """Everything that one patient's Bundle says for one course.

    A resource that cannot be used is a question or is left out, and listed. RecordError only for what makes the whole untrustworthy: no
    Bundle, no Patient or several, a resource about somebody else; ModelError for a drug without a drug file.
    """
    record = read_record(raw)
    patient = record.patient()
    reading, identity = Reading(wanted=wanted, record=record), read_patient(patient)
    names, desk = _covariate_names(wanted, reading.drug.drug), _Desk(record.left, record.questions)
    for node in record.resources:
        _one(node, reading, desk)
    facts, left, questions = join_rates(desk.rates)
    desk.facts, desk.left, desk.questions = [*desk.facts, *facts], [*desk.left, *left], [*desk.questions, *questions]
    _ordered(desk, reading)
    _derived(desk, patient, identity, wanted, names)
    _wanted_only(desk, names)
    return Imported(
        identity=identity, facts=tuple(with_label_notices(desk.facts)), left=tuple(desk.left), questions=tuple(desk.questions),
        withdrawn=tuple(desk.withdrawn),
    )  # fmt: skip


def _one(node: Node, reading: Reading, desk: _Desk) -> None:
    """One resource onto its pile."""
    name = str(node.data["resourceType"])
    if name == "OperationOutcome":
        _outcome(node, desk)
        return
    if name not in READERS:
        if name != "Patient":
            code = "supporting" if name in SUPPORTING else "not-read"
            what = "read where another resource names it" if name in SUPPORTING else "a type of resource that is not read"
            desk.left.append(Left(source=node.where, code=code, what=what))
        return
    if node.where in reading.wanted.leave:
        desk.left.append(Left(source=node.where, code="left-by-hand", what="left out by who imports it"))
        return
    kind, read = READERS[name]
    try:
        found = read(node, reading)
        if reading.record.about_nobody(node):
            raise Question("no-subject", where=node.at("subject"), what="does not say whom it is about", remedy="correct it at its source")
        desk.put(found)
    except LeftOut as reason:
        desk.left.append(Left(source=node.where, code=reason.code, what=reason.what))
        desk.withdrawn += [node.where] if reason.code == "entered-in-error" else []
    except AuctorError as error:
        desk.ask(error, kind=kind)


def _outcome(node: Node, desk: _Desk) -> None:
    """What the server says about its own answer: an error means that something is missing."""
    try:
        severe = any(issue.text("severity") in ("error", "fatal") for issue in node.nodes("issue"))
    except RecordError as error:
        desk.ask(error, kind="record")
        return
    if severe:
        what, remedy = "the server reports an error beside its answer", "read it again when the server answers without one"
        desk.ask(Question("server-error", where=node.where, what=what, remedy=remedy), kind="record")
    else:
        desk.left.append(Left(source=node.where, code="server-note", what="a note of the server"))


def _ordered(desk: _Desk, reading: Reading) -> None:
    """Orders: the current regimen, and assumed doses only where nothing is on record as given and no dose is in question."""
    try:
        current = current_of(desk.orders)
    except Question as question:
        desk.ask(question, kind="current")
        current = None
    given = any(fact.kind == "dose" for fact in desk.facts) or any(question.kind == "dose" for question in desk.questions)
    for order in desk.orders:
        if given:
            if not order.active:
                desk.left.append(Left(source=order.node.where, code="order-given", what="doses on record count, not the order"))
            continue
        try:
            desk.facts.append(assumed_doses(order, reading))
        except AuctorError as error:
            desk.ask(error, kind="dose")
    if current is not None:
        doses = tuple(fact for fact in desk.facts if fact.kind == "dose")
        desk.facts.append(Fact(kind="current", body=current.body, sources=current.sources, notices=differs(current, doses)))


def _derived(desk: _Desk, patient: Node, identity: Any, wanted: Wanted, names: set[str]) -> None:
    """Age and sex at the first dated entry; filtration rates from creatinine."""
    moments = [read_when(str(fact.body["at"]), "", where=fact.sources[0].reference) for fact in desk.facts if "at" in fact.body]
    if not moments:
        return
    try:
        found, asked = personal_facts(patient, identity, min(moments, key=lambda when: when.moment), wanted.time_zone, names)
        rates, more = filtration_facts(desk.facts, identity, wanted, names)
        days, late = days_after(desk.transplants if POD in names else [], desk.facts, wanted.time_zone)
    except AuctorError as error:
        desk.ask(error, kind="covariate")
        return
    desk.facts += [*found, *rates, *days]
    desk.ask(*asked, *more, *late, kind="covariate")
    if POD not in names:
        desk.left += [
            Left(source=one.source.reference, code="covariate-not-used", what=f"{POD} is not a covariate of the models")
            for one in desk.transplants
        ]


def _covariate_names(wanted: Wanted, drug: str) -> set[str]:
    """The covariates of the models that were named, else of every model of the drug."""
    if not wanted.models:
        return set(_of_library(drug))
    return {name for model in wanted.models for name in read_model(model).covariates}


@lru_cache(maxsize=64)
def _of_library(drug: str) -> frozenset[str]:
    return frozenset(name for model in list_models() if model.startswith(f"{drug}_") for name in read_model(model).covariates)


def _wanted_only(desk: _Desk, names: set[str]) -> None:
    """Covariates that no model uses are left out, and said; of two equal values at one time one is kept, two that differ are a question."""
    kept: dict[tuple[str, str], Fact] = {}
    for fact in [fact for fact in desk.facts if fact.kind == "covariate"]:
        name, reference = str(fact.body["name"]), fact.sources[0].reference
        if name not in names:
            desk.left.append(Left(source=reference, code="covariate-not-used", what=f"{name} is not a covariate of the models"))
            continue
        first = kept.setdefault((name, _instant(fact)), fact)
        if first is fact:
            continue
        if first.body["value"] == fact.body["value"]:
            desk.left.append(Left(source=reference, code="same-value", what="the same value at the same time as another resource"))
        else:
            error = Question("two-values", where=reference, what="two values at one time", remedy="find out which is right")
            desk.ask(error, kind="covariate")
    desk.facts = [*(fact for fact in desk.facts if fact.kind != "covariate"), *kept.values()]


def _instant(fact: Fact) -> str:
    if "at" not in fact.body:
        return ""
    return str(read_when(str(fact.body["at"]), "", where=fact.sources[0].reference).moment.timestamp())
