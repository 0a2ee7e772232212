"""Patient to an identity, and to the covariates that follow from it: age and sex. The rest of auctor never sees a name."""

from __future__ import annotations

from datetime import date
from typing import Any

from auctor.errors import Notice, RecordError
from auctor.fhir.bundle import source_of
from auctor.fhir.found import Fact, Identity, Question
from auctor.fhir.node import Node
from auctor.fhir.reading import unusable
from auctor.fhir.when import When, day_of, read_date

SEXES = ("male", "female", "other", "unknown")
_YEAR_D = 365.25


def read_patient(node: Node) -> Identity:
    """Name, date of birth, sex and identifiers. RecordError for a record that another one replaces, or that cannot be read as FHIR."""
    unusable(node)
    if any(link.text("type") == "replaced-by" for link in node.nodes("link")):
        raise RecordError(where=node.at("link"), what="replaced by another record", remedy="export the record that replaces it")
    sex = node.text("gender")
    if sex and sex not in SEXES:
        raise RecordError(where=node.at("gender"), what="not one of FHIR's words", remedy="correct it at its source")
    pairs = tuple((i.text("system"), i.text("value")) for i in node.nodes("identifier") if i.text("value"))
    return Identity(reference=node.where, name=_name(node), born=_born(node), sex=sex, identifiers=pairs, notices=tuple(_doubts(node)))


def _born(node: Node) -> date | None:
    text = node.text("birthDate")
    return read_date(text, where=node.at("birthDate")) if len(text) > len("2026-03") else None


def _name(node: Node) -> str:
    """The official name, else the first one, as text."""
    names = [name for name in node.nodes("name") if name.text("use") != "old"]
    chosen = next((name for name in names if name.text("use") == "official"), names[0] if names else None)
    if chosen is None:
        return ""
    return chosen.text("text") or " ".join([*chosen.texts("given"), chosen.text("family")]).strip()


def _doubts(node: Node) -> list[Notice]:
    found = []
    if node.data.get("active") is False:
        found.append(Notice(code="inactive", where=node.at("active"), what="an inactive record", remedy="check that it is the right one"))
    if node.data.get("deceasedBoolean") is True or node.has("deceasedDateTime"):
        found.append(Notice(code="deceased", where=node.at("deceased"), what="recorded as dead", remedy="check that it is the right one"))
    return found


def age_years(identity: Identity, at: When, zone: str) -> float | None:
    """Age in years of 365.25 days, None without a whole date of birth; RecordError for a birth after that day."""
    if identity.born is None:
        return None
    days = (day_of(at, zone) - identity.born).days
    if days < 0:
        raise RecordError(where=f"{identity.reference}.birthDate", what="after the first entry", remedy="correct it at its source")
    return days / _YEAR_D


def personal_facts(node: Node, identity: Identity, first: When, zone: str, wanted: set[str]) -> tuple[list[Fact], list[Question]]:
    """AGE, PNA and SEX where the models want them, at the time of the first entry; questions for what the record does not say."""
    facts, questions = [], []
    age = age_years(identity, first, zone)
    found: dict[str, Any] = {
        "AGE": None if age is None else f"{age:.6g} a",
        "PNA": None if age is None else f"{age * _YEAR_D:.6g} d",
        "SEX": identity.sex if identity.sex in ("male", "female") else None,
    }
    for name in sorted(found.keys() & wanted):
        if found[name] is not None:
            facts.append(Fact(kind="covariate", body={"name": name, "value": found[name]}, sources=(source_of(node),)))
            continue
        key, what = ("gender", "neither male nor female") if name == "SEX" else ("birthDate", "not a whole date")
        questions.append(Question("identity", where=node.at(key), what=what, remedy=f"give {name} by hand"))
    return facts, questions
