"""The cards of the three services: at most one a drug, never critical on machine learning's word, none where there is nothing to say."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from auctor.dosing.candidates import Option
from auctor.dosing.recommend import Forecast
from auctor.fhir.cds.cards import OVERRIDE_REASONS, Action, Card, Coding, Indicator, Link, Suggestion, name_of
from auctor.fhir.cds.judgement import Draft, Ready
from auctor.fhir.cds.level_due import LevelDue, lines, summary
from auctor.fhir.cds.request import Call
from auctor.report.shown import exposure, frequencies
from auctor.report.voice import ENGLISH, N_, Voice

LIKELY = 0.5  # a draft that more likely than not misses the target is warned about
NEARLY_SURE = 0.8  # above a cap and this likely above the target: critical
WORTH = 0.2  # a better candidate is mentioned when it raises the chance to reach the target by this much
CHOICES = 3
SOURCE = N_("auctor (research software, not a medical device)")
TOPIC = "urn:auctor:code"
WAITS = N_("%(drug)s: %(what)s")
REGIMEN_REACHES = N_("%(drug)s: %(regimen)s reaches the target in %(share)s patients like this one")
ORDER_REACHES = N_("%(drug)s: this order reaches the target in %(share)s patients like this one")
ENDS_ABOVE = N_("%(drug)s: this order ends above the target in %(share)s patients like this one")
ENDS_BELOW = N_("%(drug)s: this order ends below the target in %(share)s patients like this one")
BASIS = N_("Target %(metric)s %(span)s at steady state. Computed by: %(method)s (%(model)s).")
LENGTH_ASSUMED = N_("The order does not say how long the infusion runs; %(length)s of the dosing table was used.")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is known of one open course at this moment, without its numbers: which drug, what waits, and a level that is overdue."""

    course: str
    drug: str
    waiting: tuple[str, ...] = ()
    overdue: LevelDue | None = None


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where the cards' links lead (the SMART launch address of this installation), and in which language they are."""

    launch: str
    voice: Voice = ENGLISH

    def link(self, chart: Chart) -> Link:
        """The course in auctor, opened from the record."""
        context = json.dumps({"course": chart.course}, separators=(",", ":"))
        return Link(label=self.voice.say(N_("Open %(drug)s in auctor"), drug=chart.drug), url=self.launch, smart=True, context=context)


WAITING = {
    "pending": N_("a level that is not interpreted yet"),
    "changed": N_("data that changed after the interpretation was signed"),
    "asked": N_("a question about the record that came up after the interpretation was signed"),
    "unsigned": N_("an interpretation that nobody signed"),
}


def patient_view(call: Call, chart: Chart, desk: Desk) -> Card | None:
    """An `info` card for what waits, and for a level that did not come; None where neither is known."""
    waiting = [word for word in chart.waiting if word in WAITING]
    late = lines(chart.overdue, desk.voice) if chart.overdue is not None else []
    said = [desk.voice.say(WAITING[word]) for word in waiting]
    if chart.overdue is None and not waiting:
        return None
    if said or chart.overdue is None:
        top = desk.voice.say(WAITS, drug=chart.drug.capitalize(), what=said[0])
    else:
        top = summary(chart.drug, chart.overdue, desk.voice)
    detail = "\n".join(f"- {line[0].upper()}{line[1:]}" for line in [*(f"{one}." for one in said), *late])
    return _card(call, chart, desk, kind=(*waiting, "overdue")[0], summary=top, indicator=Indicator.INFO, detail=detail)


def order_select(call: Call, chart: Chart, desk: Desk, ready: Ready, draft: Mapping[str, Any]) -> Card | None:
    """The doses most likely to reach the target, as suggestions on the chosen draft; None where none may be suggested."""
    found = ready.ranked(CHOICES)
    if not found:
        return None
    best = found[0]
    suggestions = tuple(_suggestion(call, draft, forecast, desk.voice, recommended=forecast is best) for forecast in found)
    regimen, share = desk.voice.engine(best.option.label), desk.voice.engine(frequencies(best.shares)[1])
    top = desk.voice.say(REGIMEN_REACHES, drug=chart.drug.capitalize(), regimen=regimen, share=share)
    detail = f"{_basis(ready, desk.voice)}\n\n{_table(found, ready, desk.voice)}\n\n{_caveats(ready, desk.voice)}"
    return _card(call, chart, desk, kind="doses", summary=top, indicator=Indicator.INFO, detail=detail, suggestions=suggestions)


def order_sign(call: Call, chart: Chart, desk: Desk, ready: Ready, draft: Draft) -> Card | None:
    """The drafted dose simulated in this patient: a warning where it likely misses the target, with the better dose as an update."""
    judged, proposed = ready.forecast(draft), ready.proposed()
    indicator = _urgency(judged, ready, draft)
    better = proposed is not None and proposed.inside - judged.inside >= WORTH and _differs(proposed.option, draft.option)
    if judged.exposure is None or (indicator is Indicator.INFO and not better):
        return None
    suggestions = (_suggestion(call, draft.resource, proposed, desk.voice, recommended=True),) if better and proposed is not None else ()
    shown = (judged, proposed) if better and proposed is not None else (judged,)
    basis, table = _basis(ready, desk.voice), _table(shown, ready, desk.voice)
    detail = f"{basis}\n\n{table}\n\n{_of_draft(draft, ready, desk.voice)}{_caveats(ready, desk.voice)}"
    top = _summary(chart, judged, desk.voice)
    return _card(call, chart, desk, kind="draft", summary=top, indicator=indicator, detail=detail, suggestions=suggestions)


def _urgency(judged: Forecast, ready: Ready, draft: Draft) -> Indicator:
    """Critical only above a cap and, by the population model and not machine learning, nearly surely above the target."""
    if draft.option.over_cap and judged.above >= NEARLY_SURE and not ready.leading.doubt:
        return Indicator.CRITICAL
    if draft.option.over_cap or ready.too_far(draft) or max(judged.above, judged.below) >= LIKELY:
        return Indicator.WARNING
    return Indicator.INFO


def _summary(chart: Chart, judged: Forecast, voice: Voice) -> str:
    drug, (below, inside, above) = chart.drug.capitalize(), frequencies(judged.shares)
    if max(judged.above, judged.below) < LIKELY:
        return voice.say(ORDER_REACHES, drug=drug, share=voice.engine(inside))
    message, share = (ENDS_ABOVE, above) if judged.above >= judged.below else (ENDS_BELOW, below)
    return voice.say(message, drug=drug, share=voice.engine(share))


def _differs(one: Option, other: Option) -> bool:
    return any(abs(a - b) > 1e-6 * max(a, b) for a, b in ((one.dose_mg, other.dose_mg), (one.every_h, other.every_h)))


def _basis(ready: Ready, voice: Voice) -> str:
    target, model = ready.what_if.question.target, ready.what_if.question.model
    shown = exposure(model, target.metric)
    span = voice.local(f"{shown.text(target.low)}–{shown.text(target.high)} {shown.pretty}")
    return voice.say(BASIS, metric=target.metric.name, span=span, method=voice.engine(ready.leading.title), model=model.name)


def _table(forecasts: tuple[Forecast, ...], ready: Ready, voice: Voice) -> str:
    """A Markdown table of regimens: exposure with its interval, and natural frequencies."""
    metric, say = ready.what_if.question.target.metric, voice.say
    shown = exposure(ready.what_if.question.model, metric)
    rows = [
        f"| {voice.engine(f.option.label)} | {voice.local(f'{shown.text(f.median)} ({shown.span(f.interval90)})')} | {_shares(f, voice)} |"
        for f in forecasts
    ]
    sides = " | ".join((say(N_("below")), say(N_("in target")), say(N_("above"))))
    head = f"| {say(N_('Regimen'))} | {metric.name} {shown.pretty} (90 %) | {sides} |"
    return "\n".join((head, "| --- | --- | --- | --- | --- |", *rows))


def _shares(forecast: Forecast, voice: Voice) -> str:
    return " | ".join(voice.engine(share) for share in frequencies(forecast.shares))


def _of_draft(draft: Draft, ready: Ready, voice: Voice) -> str:
    said = []
    if draft.option.over_cap:
        said.append(voice.say(N_("The order exceeds a cap of the dosing table.")))
    if ready.too_far(draft):
        said.append(voice.say(N_("The order changes the dose more than twofold.")))
    if draft.assumed_h is not None:
        length = voice.local(f"{draft.assumed_h:g} h") if draft.assumed_h else voice.say(N_("a push"))
        said.append(voice.say(LENGTH_ASSUMED, length=length))
    return "".join(f"{line}\n\n" for line in said)


def _caveats(ready: Ready, voice: Voice) -> str:
    said = [voice.say(N_("Methods: %(state)s."), state=voice.engine(ready.agreement.state.value))]
    if not ready.settled:
        said.append(voice.say(N_("No dose is suggested: read the reasons in auctor before relying on a number.")))
    said.append(voice.say(N_("Decide after reading the inputs; this is advice, not an order.")))
    return " ".join(said)


def _suggestion(call: Call, draft: Mapping[str, Any], forecast: Forecast, voice: Voice, *, recommended: bool) -> Suggestion:
    label = voice.say(N_("Change to %(regimen)s"), regimen=voice.engine(forecast.option.label))
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


def _card(call: Call, chart: Chart, desk: Desk, *, detail: str, suggestions: tuple[Suggestion, ...] = (), **said: Any) -> Card:
    """A card of this call. Its UUID is of what it is about too, in whatever language: an answer to it is an answer to what it said."""
    about = (said["kind"], said["indicator"].value, json.dumps([dict(draft) for draft in call.drafts], sort_keys=True))
    reasons = OVERRIDE_REASONS if call.service.hook != "patient-view" else ()
    return Card(
        uuid=name_of(call.service.id, call.instance, chart.course, *about),
        source=desk.voice.say(SOURCE),
        topic=Coding(system=TOPIC, code="exposure-report", display=desk.voice.say(N_("Drug exposure and dose"))),
        detail=detail,
        suggestions=suggestions,
        reasons=tuple(replace(one, display=desk.voice.say(one.display)) for one in reasons),
        links=(desk.link(chart),),
        drug=chart.drug,
        **said,
    )
