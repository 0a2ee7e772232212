"""Everything a course's page shows, from its file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from auctor.case import Route
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed
from auctor.web.pages.language import Language
from auctor.web.pages.rendering import Blank
from auctor.web.pages.views.axis import axis_of
from auctor.web.pages.views.banner import course_banner, guard_of
from auctor.web.pages.views.chart import Chart
from auctor.web.pages.views.doses import dose_flags
from auctor.web.pages.views.finding import check_row, open_findings
from auctor.web.pages.views.inputs import missing, order_row, strips, timeline
from auctor.web.pages.views.record import freshness, question_rows
from auctor.web.pages.views.shown_result import TITLES, ShownResult
from auctor.web.service.analyses import not_ready
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read
from auctor.web.store.tables import Result


def shown_result(file: CourseFile, result: Result, language: Language) -> ShownResult:
    """A stored result ready to be shown."""
    data = json.loads(result.result)
    return ShownResult(data, language, axis_of(json.loads(result.document), data, file.zone))


def chart_of(file: CourseFile, result: Result, language: Language, *, now: datetime | None = None) -> Chart:
    """The curve of a stored result, with the present moment marked."""
    found = shown_result(file, result, language)
    return Chart(result=found.result, axis=found.axis, language=language, now=now or datetime.now(UTC))


def course_view(file: CourseFile, actor: Actor, language: Language) -> dict[str, Any]:
    """The context of the course's page."""
    model = read(file.course.model) if file.course.model else None
    latest = file.latest
    view: dict[str, Any] = {
        "banner": course_banner(file, language),
        "guard": guard_of(file),
        "model": model,
        "timeline": timeline(file, language),
        "order": order_row(file, language),
        "dose_flags": dose_flags(file, language, datetime.now(UTC)),
        "missing": missing(file, model, language),
        "strips": strips(file, model, language),
        "not_ready": not_ready(file),
        "closed": file.course.closed_at is not None,
        "infused": model is not None and model.dosing is not None and model.dosing.route == Route.IV.value,
        "signed": signed_view(file, language),
        "shown": None,
        "stale": False,
        "in_doubt": False,
        "typed": _regimen_fields(file, language),
        "questions": question_rows(file, language),
        "findings": open_findings(file, language),
        "checked": check_row(file, language),
        "may_close": allowed(actor, Verb.CORRECT),
        "fresh": freshness(file, language),
        "may_import": allowed(actor, Verb.IMPORT) and file.course.closed_at is None,
        "may_enter": allowed(actor, Verb.ENTER),
        "may_analyse": allowed(actor, Verb.ANALYSE),
        "may_sign": allowed(actor, Verb.SIGN),
    }
    return view if latest is None else view | _latest(file, latest, language)


def _latest(file: CourseFile, latest: Result, language: Language) -> dict[str, Any]:
    chart = chart_of(file, latest, language)
    return {
        "shown": shown_result(file, latest, language),
        "stale": file.stale(latest),
        "in_doubt": not file.stands(latest) and not file.stale(latest),
        "result_id": latest.id,
        "svg": chart.svg(),
        "curve_rows": chart.rows(),
        "has_measured": chart.measured is not None,
        "made": language.moment(latest.made_at, file.zone),
        "maker": latest.made_by,
        "inputs_sha": latest.document_sha256,
    }


def signed_view(file: CourseFile, language: Language) -> dict[str, Any] | None:
    """The newest signature of the course; None without any."""
    result = file.signed
    if result is None:
        return None
    signature = file.signatures[result.id]
    shown = shown_result(file, result, language)
    return {
        "result": result.id,
        "who": signature.signer,
        "when": language.moment(signature.signed_at, file.zone),
        "regimen": shown.regimen(signature.regimen["forecast"]["option"]),
        "reopened": why_reopened(file, result, language),
    }


def why_reopened(file: CourseFile, result: Result, language: Language) -> str:
    """Why a signed result does not stand; "" where it does."""
    if file.stands(result):
        return ""
    if file.reopenings[result.id].question_id is None:
        return language.say("data changed after signing")
    return language.say("a question about the record came up after signing")


def _regimen_fields(file: CourseFile, language: Language) -> Blank:
    """The order as the what-if form starts with it, where it is in mg."""
    if file.order is None:
        return Blank()
    body = file.order.body
    amount, _, unit = str(body["amount"]).partition(" ")
    numbers = {"dose": amount if unit == "mg" else "", "every": str(body["every"]).partition(" ")[0]}
    numbers["duration"] = str(body.get("duration", "")).partition(" ")[0]
    return Blank({name: language.local(text) for name, text in numbers.items()})


def tried_view(file: CourseFile, result: Result, tried: dict[str, dict[str, Any]], language: Language) -> dict[str, Any]:
    """A typed regimen's forecasts, the methods in the order of the cards, the a-priori one last."""
    shown = shown_result(file, result, language)
    rows = [
        {
            "title": language.say(TITLES[key]),
            "shown": shown.forecast(found) if "exposure" in found else None,
            "abstained": found.get("abstained", ""),
        }
        for key, found in sorted(tried.items(), key=lambda pair: pair[0] == "a_priori")
    ]
    first = tried.get(shown.result["preferred"]) or next(iter(tried.values()))
    return {
        "regimen": shown.regimen(first["option"]),
        "unit": shown.unit,
        "rows": rows,
        "confirm": bool(first.get("needs_confirmation")),
    }
