"""The model page: what is offered for the drug, what the chosen model is, and every model's answer side by side."""

from __future__ import annotations

from typing import Any

from auctor.models.domain import domain_text, inside
from auctor.models.model import Covariate, DrugModel
from auctor.report.comparison import STATES
from auctor.report.shown import covariate_value
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed
from auctor.web.pages.language import Language
from auctor.web.pages.rendering import Blank
from auctor.web.pages.views.inputs import number_of
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read
from auctor.web.service.models import Offer, offers
from auctor.web.service.targets import entry_text, target_text


def model_page(file: CourseFile, actor: Actor, language: Language) -> dict[str, Any]:
    """The context of the model page."""
    chosen = file.course.model or ""
    target = entry_text(file.course.target) if file.course.target else ""
    return {
        "offers": [_offer(offer) for offer in offers(file.course.drug)],
        "chosen": chosen,
        "model": _model(read(chosen), file, language) if chosen else None,
        "form": Blank(target=target),
        "may_enter": allowed(actor, Verb.CORRECT) and file.course.closed_at is None,
        "may_compare": bool(chosen) and bool(file.of_kind("dose")) and allowed(actor, Verb.TRY),
        "has_course_model": bool(chosen),
    }


def _offer(offer: Offer) -> dict[str, Any]:
    model = offer.model
    named = {"name": model.name, "title": model.title, "status": model.status, "population": model.population}
    return named | {"usable": offer.usable}


def _model(model: DrugModel, file: CourseFile, language: Language) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "population": model.population,
        "status": model.status,
        "sha256": model.sha256,
        "cite": model.reference.get("cite", ""),
        "doi": model.reference.get("doi", ""),
        "targets": [language.local(target_text(target, model)) + f" ({target.source})" for target in model.targets],
        "dosing": _dosing(model, language),
        "covariates": [_covariate(c, file, model, language) for c in model.covariates.values()],
        "warnings": model.warnings,
        "notes": model.notes,
        "questions": model.questions,
    }


def _dosing(model: DrugModel, language: Language) -> str:
    table = model.dosing
    if table is None:
        return ""
    n = language.number
    unit = "mg/kg" if table.per_kg else "mg"
    strengths = ", ".join(n(value) for value in table.strengths_mg)
    intervals = ", ".join(n(value) for value in table.intervals_h)
    return language.say(
        "%(strengths)s %(unit)s every %(intervals)s h; at most %(dose)s %(unit)s a dose and %(daily)s %(unit)s a day",
        strengths=strengths,
        unit=unit,
        intervals=intervals,
        dose=n(table.max_dose_mg, 6),
        daily=n(table.max_daily_mg, 6),
    )


def _covariate(covariate: Covariate, file: CourseFile, model: DrugModel, language: Language) -> dict[str, str]:
    given = [fact for fact in file.of_kind("covariate") if fact.body["name"] == covariate.name]
    value = number_of(covariate, given[-1].body["value"], model) if given else None
    shown = {"label": covariate.label, "name": covariate.name, "range": language.local(domain_text(covariate)), "note": covariate.note}
    if value is None:
        text = language.say("not given: %(value)s is used", value=language.local(covariate_value(covariate, covariate.reference)))
        return shown | {"value": text, "tag": f"▲ {language.say('not given')}", "tone": "warn"}
    fits = inside(covariate, value)
    tag = f"✔ {language.say('inside')}" if fits else f"✖ {language.say('outside')}"
    return shown | {"value": language.local(covariate_value(covariate, value)), "tag": tag, "tone": "good" if fits else "bad"}


def comparison_view(found: dict[str, Any], language: Language) -> dict[str, Any]:
    """A comparison of models as rows."""
    return {
        "about": found["about"],
        "metric": found["auc_metric"],
        "unit": found["units"]["auc"].replace("*", "·"),
        "rows": [_row(row, language) for row in found["models"]],
        "average": None if found["average"] is None else _numbers(found["average"], language),
    }


def _row(row: dict[str, Any], language: Language) -> dict[str, Any]:
    odd = [f"{c['name']}: {STATES[c['state']]}" for c in row["covariates"] if c["state"] not in ("inside", "unlimited")]
    shown = {"name": row["name"], "refused": row["refused"], "fits": "; ".join(odd) or f"✔ {language.say('yes')}"}
    exposure = row["posterior"] or row["prior"]
    if exposure is None:
        return shown | {"refused": row["refused"] or "–"}
    weight = "–" if row["weight"] is None else language.number(row["weight"], 2)
    return shown | _numbers(exposure, language) | {"weight": weight}


def _numbers(exposure: dict[str, Any], language: Language) -> dict[str, str]:
    low, high = exposure["auc"]["interval90"]
    inside_target = exposure["in_target"]
    return {
        "point": language.number(exposure["auc"]["point"]),
        "interval": f"{language.number(low)}–{language.number(high)}",
        "inside": "–" if inside_target is None else f"{100 * inside_target:.0f}",
    }
