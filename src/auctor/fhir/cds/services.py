"""The cards of the three services: at most one a drug, never critical on machine learning's word, none where there is nothing to say."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auctor.dosing.candidates import Option
from auctor.dosing.recommend import Forecast
from auctor.fhir.cds.cards import OVERRIDE_REASONS, Action, Card, Coding, Indicator, Link, Suggestion, name_of
from auctor.fhir.cds.judgement import Draft, Ready
from auctor.fhir.cds.request import Call
from auctor.report.shown import exposure, frequency

LIKELY = 0.5  # a draft that more likely than not misses the target is warned about
NEARLY_SURE = 0.8  # above a cap and this likely above the target: critical
WORTH = 0.2  # a better candidate is mentioned when it raises the chance to reach the target by this much
CHOICES = 3
SOURCE = "auctor (research software, not a medical device)"
TOPIC = "urn:auctor:code"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is known of one open course at this moment, without its numbers: which drug, and what waits."""

    course: str
    drug: str
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where the cards' links lead: the SMART launch address of this installation."""

    launch: str

    def link(self, chart: Chart) -> Link:
        """The course in auctor, opened from the record."""
        context = json.dumps({"course": chart.course}, separators=(",", ":"))
        return Link(label=f"Open {chart.drug} in auctor", url=self.launch, smart=True, context=context)


WAITING = {
    "pending": "a level that is not interpreted yet",
    "changed": "data that changed after the interpretation was signed",
    "asked": "a question about the record that came up after the interpretation was signed",
    "unsigned": "an interpretation that nobody signed",
}


def patient_view(call: Call, chart: Chart, desk: Desk) -> Card | None:
    """An `info` card for what waits; None where nothing does."""
    said = [WAITING[word] for word in chart.waiting if word in WAITING]
    if not said:
        return None
    detail = "\n".join(f"- {line[0].upper()}{line[1:]}." for line in said)
    return _card(call, chart, desk, summary=f"{chart.drug.capitalize()}: {said[0]}", indicator=Indicator.INFO, detail=detail)


def order_select(call: Call, chart: Chart, desk: Desk, ready: Ready, draft: Mapping[str, Any]) -> Card | None:
    """The doses most likely to reach the target, as suggestions on the chosen draft; None where none may be suggested."""
    found = ready.ranked(CHOICES)
    if not found:
        return None
    best = found[0]
    suggestions = tuple(_suggestion(call, draft, forecast, ready, recommended=forecast is best) for forecast in found)
    summary = f"{chart.drug.capitalize()}: {best.option.label} reaches the target in {frequency(best.inside)} patients like this one"
    detail = f"{_basis(ready)}\n\n{_table(found, ready)}\n\n{_caveats(ready)}"
    return _card(call, chart, desk, summary=summary, indicator=Indicator.INFO, detail=detail, suggestions=suggestions)


def order_sign(call: Call, chart: Chart, desk: Desk, ready: Ready, draft: Draft) -> Card | None:
    """The drafted dose simulated in this patient: a warning where it likely misses the target, with the better dose as an update."""
    judged, proposed = ready.forecast(draft), ready.proposed()
    indicator = _urgency(judged, ready, draft)
    better = proposed is not None and proposed.inside - judged.inside >= WORTH and _differs(proposed.option, draft.option)
    if judged.exposure is None or (indicator is Indicator.INFO and not better):
        return None
    suggestions = (_suggestion(call, draft.resource, proposed, ready, recommended=True),) if better and proposed is not None else ()
    shown = (judged, proposed) if better and proposed is not None else (judged,)
    detail = f"{_basis(ready)}\n\n{_table(shown, ready)}\n\n{_of_draft(draft, ready)}{_caveats(ready)}"
    summary = _summary(chart, judged, ready)
    return _card(call, chart, desk, summary=summary, indicator=indicator, detail=detail, suggestions=suggestions)


def _urgency(judged: Forecast, ready: Ready, draft: Draft) -> Indicator:
    """Critical only above a cap and, by the population model and not machine learning, nearly surely above the target."""
    if draft.option.over_cap and judged.above >= NEARLY_SURE and not ready.leading.doubt:
        return Indicator.CRITICAL
    if draft.option.over_cap or ready.too_far(draft) or max(judged.above, judged.below) >= LIKELY:
        return Indicator.WARNING
    return Indicator.INFO


def _summary(chart: Chart, judged: Forecast, ready: Ready) -> str:
    drug = chart.drug.capitalize()
    if max(judged.above, judged.below) < LIKELY:
        return f"{drug}: this order reaches the target in {frequency(judged.inside)} patients like this one"
    side, share = ("above", judged.above) if judged.above >= judged.below else ("below", judged.below)
    return f"{drug}: this order ends {side} the target in {frequency(share)} patients like this one"


def _differs(one: Option, other: Option) -> bool:
    return any(abs(a - b) > 1e-6 * max(a, b) for a, b in ((one.dose_mg, other.dose_mg), (one.every_h, other.every_h)))


def _basis(ready: Ready) -> str:
    target = ready.what_if.question.target
    shown = exposure(ready.what_if.question.model, target.metric)
    span = f"{shown.text(target.low)}–{shown.text(target.high)} {shown.pretty}"
    return f"Target {target.metric.name} {span} at steady state. Computed by: {ready.leading.title} ({ready.what_if.question.model.name})."


def _table(forecasts: tuple[Forecast, ...], ready: Ready) -> str:
    """A Markdown table of regimens: exposure with its interval, and natural frequencies."""
    metric = ready.what_if.question.target.metric
    shown = exposure(ready.what_if.question.model, metric)
    rows = [f"| {f.option.label} | {shown.text(f.median)} ({shown.span(f.interval90)}) | {_shares(f)} |" for f in forecasts]
    head = f"| Regimen | {metric.name} {shown.pretty} (90 %) | below | in target | above |"
    return "\n".join((head, "| --- | --- | --- | --- | --- |", *rows))


def _shares(forecast: Forecast) -> str:
    return " | ".join(frequency(share) for share in (forecast.below, forecast.inside, forecast.above))


def _of_draft(draft: Draft, ready: Ready) -> str:
    said = []
    if draft.option.over_cap:
        said.append("The order exceeds a cap of the dosing table.")
    if ready.too_far(draft):
        said.append("The order changes the dose more than twofold.")
    if draft.assumed_h is not None:
        length = f"{draft.assumed_h:g} h" if draft.assumed_h else "a push"
        said.append(f"The order does not say how long the infusion runs; {length} of the dosing table was used.")
    return "".join(f"{line}\n\n" for line in said)


def _caveats(ready: Ready) -> str:
    said = [f"Methods: {ready.agreement.state.value}."]
    if not ready.settled:
        said.append("No dose is suggested: read the reasons in auctor before relying on a number.")
    said.append("Decide after reading the inputs; this is advice, not an order.")
    return " ".join(said)


def _suggestion(call: Call, draft: Mapping[str, Any], forecast: Forecast, ready: Ready, *, recommended: bool) -> Suggestion:
    label = f"Change to {forecast.option.label}"
    resource = updated(draft, forecast.option)
    action = Action(type="update" if draft.get("id") else "create", description=label, resource=resource)
    name = name_of(call.instance, str(draft.get("id", "")), forecast.option.label)
    return Suggestion(label=label, uuid=name, actions=(action,), recommended=recommended)


def updated(draft: Mapping[str, Any], option: Option) -> dict[str, Any]:
    """The drafted MedicationRequest in its entirety with this option's dose, interval and length; nothing else is changed.

    What said the old dose in words or in another way (`text`, `patientInstruction`, `rateQuantity`) would contradict the new one and goes.
    """
    resource: dict[str, Any] = copy.deepcopy(dict(draft))
    lines = resource.get("dosageInstruction")
    line = dict(lines[0]) if isinstance(lines, list) and lines and isinstance(lines[0], Mapping) else {}
    for key in ("text", "patientInstruction", "additionalInstruction", "maxDosePerPeriod", "maxDosePerAdministration"):
        line.pop(key, None)
    repeat = {"frequency": 1, "period": _plain(option.every_h), "periodUnit": "h"}
    if option.duration_h > 0:
        repeat |= {"duration": _plain(60 * option.duration_h), "durationUnit": "min"}
    line["timing"] = {"repeat": {**_bounds(line.get("timing")), **repeat}}
    dose = {"value": _plain(option.dose_mg), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    line["doseAndRate"] = [{"doseQuantity": dose}]
    resource["dosageInstruction"] = [line]
    resource.pop("dispenseRequest", None)
    return resource


def _bounds(timing: Any) -> dict[str, Any]:
    """For how long the order runs, which stays."""
    repeat = timing.get("repeat") if isinstance(timing, Mapping) else None
    return {key: value for key, value in repeat.items() if key.startswith("bounds")} if isinstance(repeat, Mapping) else {}


def _plain(value: float) -> float | int:
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _card(
    call: Call, chart: Chart, desk: Desk, *, summary: str, indicator: Indicator, detail: str, suggestions: tuple[Suggestion, ...] = ()
) -> Card:
    return Card(
        uuid=name_of(call.service.id, call.instance, chart.course),
        summary=summary,
        indicator=indicator,
        source=SOURCE,
        topic=Coding(system=TOPIC, code="exposure-report", display="Drug exposure and dose"),
        detail=detail,
        suggestions=suggestions,
        reasons=OVERRIDE_REASONS if call.service.hook != "patient-view" else (),
        links=(desk.link(chart),),
    )
