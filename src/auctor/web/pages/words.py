"""What fields, notices and kinds of fact are called on the pages; engine texts without a translation are marked as English."""

from __future__ import annotations

import re
from typing import Any

from auctor.web.pages.language import N_, Language

FIELDS = {
    "amount": N_("Amount"),
    "at": N_("Time"),
    "additional": N_("Further doses"),
    "assay": N_("Assay"),
    "birth_date": N_("Date of birth"),
    "below_lloq": N_("Below the limit"),
    "bolus": N_("Bolus"),
    "concordance": N_("Agreement of the methods"),
    "course": N_("Course"),
    "covariates": N_("Covariate"),
    "current": N_("Order"),
    "dose": N_("Dose"),
    "doses": N_("Doses"),
    "dosing": N_("Dosing table"),
    "database": N_("Database"),
    "drug": N_("Drug"),
    "duration": N_("Infusion"),
    "every": N_("Interval"),
    "family": N_("Family name"),
    "file": N_("File"),
    "given": N_("Given name"),
    "identifier": N_("Hospital number"),
    "lloq": N_("Limit of quantification"),
    "matrix": N_("Matrix"),
    "meaning": N_("Meaning"),
    "ml": N_("Machine learning"),
    "model": N_("Model"),
    "object": N_("Object"),
    "order": N_("Order"),
    "page": N_("This page"),
    "questions": N_("Questions"),
    "record": N_("Hospital record"),
    "result": N_("Result"),
    "password": N_("Password"),
    "patient": N_("Patient"),
    "reason": N_("Reason"),
    "received_at": N_("Received"),
    "recommendation": N_("Recommendation"),
    "regimen": N_("Regimen"),
    "route": N_("Route"),
    "samples": N_("Sample"),
    "sex": N_("Sex"),
    "stop_at": N_("Infusion stop"),
    "target": N_("Target"),
    "text": N_("Note"),
    "time_zone": N_("Clock"),
    "unit": N_("Unit"),
    "until_at": N_("Until"),
    "value": N_("Value"),
    "ward": N_("Ward"),
    "why": N_("Reason"),
}
KINDS = {"dose": N_("Dose"), "sample": N_("Sample"), "covariate": N_("Covariate"), "order": N_("Order"), "note": N_("Note")}
SOURCES = {
    "manual": N_("typed"),
    "fhir": N_("hospital record (FHIR)"),
    "hl7v2": N_("hospital record (HL7)"),
    "import": N_("imported"),
    "api": N_("program"),
}
NOTICES = {
    "default-used": (N_("not given: the model's reference stands in"), N_("measure it and analyse again")),
    "outside-domain": (N_("outside the population the model was built in"), N_("choose another model, or say why this one holds")),
    "bad-fit": (N_("a level is far from what the fitted curve says"), N_("check times, doses and the unit")),
    "unexpected-level": (
        N_("a level is far from what was expected beforehand"),
        N_("check the sampling and dosing times, the dose really taken and the unit"),
    ),
    "methods-disagree": (N_("the methods disagree, or one of them cannot be trusted here"), N_("read the reasons beside the state")),
    "model-status": (N_("the model file is not validated and has open questions"), N_("read the questions before relying on a number")),
    "no-candidates": (
        N_("only the current regimen and hold are compared"),
        N_("give what the dosing table needs, or choose another model"),
    ),
    "current-over-cap": (N_("the current regimen exceeds a cap of the dosing table"), N_("check the dose; it is shown and never selected")),
    "during-infusion": (N_("drawn while an infusion ran"), N_("check both times, and that it was not drawn from the line of the infusion")),
    "gap-before-sample": (
        N_("no dose on record for more than one and a half intervals before it"),
        N_("add the doses given since, if any"),
    ),
    "doses-at-one-time": (N_("two doses at one time"), N_("remove one if it was entered twice")),
    "overlapping-infusions": (N_("an infusion starts before the one before it ended"), N_("check the times")),
    "samples-at-one-time": (N_("two levels at one time"), N_("check both times; leave one out with a reason")),
    "dose-above-cap": (N_("above the largest dose of the model's dosing table"), N_("check it; a loading dose may be right")),
    "current-from-history": (N_("no order: the last series of doses is taken as going on"), N_("enter the order when it is another one")),
}


def field_name(where: str, language: Language) -> str:
    """A field path as people say it: `samples[1].value` becomes `Sample 2`.

    >>> from auctor.web.pages.language import language
    >>> field_name("samples[1].value", language("en")), field_name("covariates.WT", language("en"))
    ('Sample 2', 'Covariate WT')
    """
    head, *rest = where.split(".")
    number = re.fullmatch(r"(\w+)\[(\d+)\]", head)
    name, index = (number[1], f" {int(number[2]) + 1}") if number else (head, "")
    if name == "doses" and index:
        name = "dose"
    word = language.say(FIELDS[name]) if name in FIELDS else name
    inner = f" {rest[0]}" if rest and name in ("covariates", "model") else ""
    return f"{word}{index}{inner}"


def notice_words(notice: dict[str, Any], language: Language) -> dict[str, str]:
    """A notice in this language: its own sentences, else those of its code, else in English and marked so."""
    from auctor.web.pages.engine_words import translated

    where, by_code = field_name(notice["where"], language), NOTICES.get(notice["code"])
    (what, in_what), (remedy, in_remedy) = (translated(notice[key], language) for key in ("what", "remedy"))
    if in_what == in_remedy == language.code:
        return {"where": where, "what": what, "remedy": remedy, "lang": language.code}
    if by_code is None:
        return {"where": where, "what": notice["what"], "remedy": notice["remedy"], "lang": "en"}
    return {"where": where, "what": language.say(by_code[0]), "remedy": language.say(by_code[1]), "lang": language.code}
