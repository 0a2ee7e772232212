"""Who is on the page, always visible: the patient, the ward, the drug, the model with its version, the target."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from auctor.web.pages.language import N_, Language
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read
from auctor.web.service.targets import entry_text, target_text
from auctor.web.store.tables import Patient

SEXES = {"female": N_("female"), "male": N_("male"), "other": N_("other"), "unknown": N_("unknown")}


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What every form and fragment of a page carries, so that nothing of one patient is done or shown on the page of another."""

    patient: str
    course: str = ""
    revision: str = ""


def guard_of(file: CourseFile) -> Guard:
    """The guard of a course's pages."""
    return Guard(patient=file.patient.id, course=file.course.id, revision=file.revision)


def patient_banner(patient: Patient, ward: str, language: Language) -> dict[str, Any]:
    """The banner of a page without a course."""
    born = patient.birth_date
    return {
        "id": patient.id,
        "family": patient.family,
        "given": patient.given,
        "identifier": patient.identifier,
        "born": language.day(born),
        "age": "" if born is None else _age(born, date.today(), language),
        "sex": language.say(SEXES.get(patient.sex or "unknown", "unknown")),
        "ward": ward,
        "demo": patient.demo,
        "today": language.day(date.today()),
        "weight": "",
        "drug": "",
    }


def course_banner(file: CourseFile, language: Language) -> dict[str, Any]:
    """The banner of a course: with the weight as it is used, the drug, the model and its version, the target."""
    model = read(file.course.model) if file.course.model else None
    target = entry_text(file.course.target) if file.course.target else ""
    if not target and model is not None and model.targets:
        target = target_text(model.targets[0], model)
    weights = [fact for fact in file.of_kind("covariate") if fact.body["name"] == "WT"]
    return patient_banner(file.patient, file.ward, language) | {
        "weight": language.local(str(weights[-1].body["value"])) if weights else "",
        "drug": file.course.drug,
        "model": file.course.model,
        "model_version": "" if model is None else model.sha256[:8],
        "target": language.local(target).replace("*", "·"),
        "today": language.moment(datetime.now().astimezone(), file.zone),
    }


def _age(born: date, today: date, language: Language) -> str:
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    if months < 1:
        return language.say("%(n)s days", n=(today - born).days)
    if months < 24:
        return language.say("%(n)s months", n=months)
    return language.say("%(n)s years", n=months // 12)
