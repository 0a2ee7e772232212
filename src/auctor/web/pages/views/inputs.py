"""The inputs of a course on one time axis: doses, samples, covariates and notes by day, and the covariates as strips."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any

from auctor.errors import AuctorError
from auctor.models.domain import domain_text, encode, inside
from auctor.models.model import Covariate, DrugModel
from auctor.report.shown import covariate_value
from auctor.web.pages.entries import entry_text
from auctor.web.pages.language import Language
from auctor.web.pages.words import KINDS, SOURCES
from auctor.web.service.courses import CourseFile
from auctor.web.store.tables import Fact

SIGNS = {"dose": "▲", "sample": "●", "covariate": "◆", "order": "■", "note": "✎"}


def timeline(file: CourseFile, language: Language) -> list[dict[str, Any]]:
    """The facts by day, the ones without a time first."""
    rows = [(language.day(_local(fact, file)) if fact.at else language.say("Always"), _row(fact, file, language)) for fact in file.facts]
    return [{"day": day, "facts": [row for _, row in group]} for day, group in groupby(rows, key=lambda pair: pair[0])]


def _local(fact: Fact, file: CourseFile) -> datetime:
    assert fact.at is not None
    return fact.at.astimezone(file.zone)


def _row(fact: Fact, file: CourseFile, language: Language) -> dict[str, Any]:
    say, tags = language.say, []
    off = fact.kind == "sample" and fact.body.get("used") is False
    if off:
        tags.append({"tone": "warn", "words": f"▲ {say('not used')}"})
    return {
        "id": fact.id,
        "sign": SIGNS[fact.kind],
        "word": say(KINDS[fact.kind]),
        "time": f"{_local(fact, file):%H:%M}" if fact.at else "",
        "text": entry_text(fact.kind, fact.body, language, file.zone),
        "source": say(SOURCES[fact.source]),
        "revision": fact.revision,
        "reason": fact.body.get("reason", "") if off else "",
        "off": off,
        "tags": tags,
    }


def order_row(file: CourseFile, language: Language) -> dict[str, Any] | None:
    """What is prescribed now."""
    order = file.order
    if order is None:
        return None
    text = entry_text("order", order.body, language, file.zone)
    return {"id": order.id, "text": text, "source": language.say(SOURCES[order.source])}


def missing(file: CourseFile, model: DrugModel | None, language: Language) -> list[dict[str, str]]:
    """Covariates of the model that were not given, with the reference that stands in."""
    given = {fact.body["name"] for fact in file.of_kind("covariate")}
    every = [] if model is None else list(model.covariates.values())
    return [{"label": c.label, "reference": language.local(covariate_value(c, c.reference))} for c in every if c.name not in given]


def strips(file: CourseFile, model: DrugModel | None, language: Language) -> list[dict[str, Any]]:
    """Each covariate that was given: its last value, the model's range, and a strip over time where it changed."""
    if model is None:
        return []
    found = []
    for covariate in model.covariates.values():
        facts = [fact for fact in file.of_kind("covariate") if fact.body["name"] == covariate.name]
        if facts:
            found.append(_strip(covariate, facts, model, language))
    return found


def _strip(covariate: Covariate, facts: list[Fact], model: DrugModel, language: Language) -> dict[str, Any]:
    points = [(fact.at, value) for fact in facts if (value := number_of(covariate, fact.body["value"], model)) is not None]
    last = points[-1][1] if points else None
    state = "" if last is None else "inside" if inside(covariate, last) else "outside"
    return {
        "label": covariate.label,
        "last": "–" if last is None else language.local(covariate_value(covariate, last)),
        "range": language.local(domain_text(covariate)),
        "state": state if covariate.low is not None or covariate.high is not None or covariate.levels else "",
        "svg": _svg(covariate, points) if len(points) > 1 and covariate.levels is None else "",
    }


def number_of(covariate: Covariate, value: Any, model: DrugModel) -> float | None:
    """A covariate's value as the model counts it; None for what the engine will refuse."""
    from auctor.data.measure import measure

    try:
        if covariate.levels is not None:
            return encode(covariate, value)
        return (
            measure(value, covariate.unit, where=covariate.name, beside=None, molar_mass=None) if isinstance(value, str) else float(value)
        )
    except (AuctorError, ValueError):
        return None


def _svg(covariate: Covariate, points: list[tuple[datetime | None, float]]) -> str:
    """A small step line with a dot for each value; the values stand in the list above it."""
    timed = [(at.timestamp(), value) for at, value in points if at is not None]
    if len(timed) < 2 or timed[0][0] == timed[-1][0]:
        return ""
    (first, _), (last, _) = timed[0], timed[-1]
    low, high = min(v for _, v in timed), max(v for _, v in timed)
    place = [(4 + 152 * (t - first) / (last - first), 28 - 22 * ((v - low) / (high - low) if high > low else 0.5)) for t, v in timed]
    line = f"M{place[0][0]:.1f} {place[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in place[1:])
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="currentColor"/>' for x, y in place)
    return f'<svg class="strip" viewBox="0 0 160 34" aria-hidden="true"><path d="{line}" fill="none" stroke="currentColor"/>{dots}</svg>'
