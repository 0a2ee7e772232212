"""The report of a stored result: everything from the record of its making, so that an old report reads as it did."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from markupsafe import Markup

from auctor.web.pages.entries import entry_text
from auctor.web.pages.language import Language
from auctor.web.pages.views.banner import course_banner
from auctor.web.pages.views.course import chart_of, shown_result
from auctor.web.pages.views.finding import finding_rows
from auctor.web.pages.views.record import question_rows
from auctor.web.pages.views.shown_result import ShownResult
from auctor.web.pages.words import SOURCES
from auctor.web.service.courses import CourseFile
from auctor.web.service.findings import reported
from auctor.web.service.signing import MEANINGS
from auctor.web.store.tables import Fact, Result

MOST_DOSES = 8


def report_view(file: CourseFile, result: Result, language: Language) -> dict[str, Any]:
    """The context of the report. Inputs are those of the result's own document, not the present ones."""
    shown = shown_result(file, result, language)
    signature = file.signatures.get(result.id)
    reopened = file.reopenings.get(result.id)
    when = result.made_at if signature is None else signature.signed_at
    return {
        "banner": course_banner(file, language) | _as_used(shown, language),
        "course_id": file.course.id,
        "result_id": result.id,
        "shown": shown,
        "svg": Markup(chart_of(file, result, language, now=when).svg()),
        "signature": None if signature is None else _signature(file, result, shown, language),
        "reopened": "" if reopened is None else language.moment(reopened.reopened_at, file.zone),
        "asked": reopened is not None and reopened.question_id is not None,
        "questions": [] if signature is not None else question_rows(file, language),
        "findings": finding_rows(reported(file, None if signature is None else signature.signed_at), file, language),
        "inputs": _inputs(file, result, shown, language),
        "inputs_sha": result.document_sha256,
        "result_sha": result.result_sha256,
        "made": language.moment(result.made_at, file.zone),
    }


def _as_used(shown: ShownResult, language: Language) -> dict[str, str]:
    weight = next((c for c in shown.result["case"]["covariates"] if c["name"] == "WT"), None)
    if weight is None or weight["default_used"]:
        return {"weight": ""}
    return {"weight": f"{language.number(weight['series'][-1][1], 4)} {weight['unit']}"}


def _signature(file: CourseFile, result: Result, shown: ShownResult, language: Language) -> dict[str, Any]:
    signature = file.signatures[result.id]
    forecast = signature.regimen["forecast"]
    return {
        "who": signature.signer,
        "when": language.moment(signature.signed_at, file.zone),
        "meaning": MEANINGS.get(signature.meaning, signature.meaning),
        "label": signature.regimen["label"],
        "regimen": shown.regimen(forecast["option"]),
        "shown": shown.forecast(forecast) if "exposure" in forecast else None,
        "reasons": signature.regimen["reasons"],
    }


def _inputs(file: CourseFile, result: Result, shown: ShownResult, language: Language) -> dict[str, Any]:
    document = json.loads(result.document)
    sources = {json.dumps(fact.body, sort_keys=True): fact for fact in file.facts}
    doses = [_dose(body, sources, file, language) for body in document["doses"]]
    return {
        "doses": doses[-MOST_DOSES:],
        "more_doses": max(0, len(doses) - MOST_DOSES),
        "covariates": [_covariate(c, shown, language) for c in shown.result["case"]["covariates"]],
        "notes": [fact.body["text"] for fact in file.of_kind("note")],
    }


def _dose(body: dict[str, Any], sources: dict[str, Fact], file: CourseFile, language: Language) -> dict[str, str]:
    fact = sources.get(json.dumps(body, sort_keys=True))
    time = language.moment(datetime.fromisoformat(str(body["at"])), file.zone)
    source = language.say(SOURCES[fact.source]) if fact else language.say("since changed")
    return {"time": time, "text": entry_text("dose", body, language, file.zone), "source": source}


def _covariate(found: dict[str, Any], shown: ShownResult, language: Language) -> dict[str, Any]:
    from auctor.report.shown import covariate_value
    from auctor.web.service.engine import read

    covariate = read(shown.result["model"]["name"]).covariates.get(found["name"])
    last = float(found["series"][-1][1])
    value = f"{last:g} {found['unit']}" if covariate is None else covariate_value(covariate, last)
    changes = len(found["series"]) - 1
    text = language.local(value) + (f" ({language.say('%(n)s change(s)', n=changes)})" if changes else "")
    return {"label": found["label"], "value": text, "default": found["default_used"]}
