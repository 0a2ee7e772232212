"""Between a form and the entry of a case file: what was typed becomes the body of a fact, and a body fills a form again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from auctor.errors import CaseError
from auctor.models.model import Covariate, DrugModel
from auctor.web.pages.language import N_, Language
from auctor.web.pages.rendering import Blank
from auctor.web.pages.typed import Form, read_number

DOSE_UNITS = ["mg", "g", "ug"]
LEVEL_UNITS = ["ng/mL", "ug/L", "mg/L", "ug/mL"]
MOLAR_LEVELS = ["umol/L", "nmol/L", "mmol/L"]
ALSO = {
    "g/L": ["g/dL"],
    "mg/dL": ["umol/L"],
    "umol/L": ["mg/dL"],
    "kg": ["g"],
    "cm": ["m"],
    "d": ["wk", "mo", "a"],
    "a": ["mo"],
    "mo": ["a", "wk"],
}
Body = dict[str, Any]


def units_of(model: DrugModel | None) -> dict[str, list[str]]:
    """Units that doses and levels may be typed in, the model's own first; molar ones only where the molar mass is known."""
    own = [] if model is None else [model.units["concentration"]]
    molar = MOLAR_LEVELS if model is not None and model.molar_mass else []
    return {"dose": DOSE_UNITS, "level": list(dict.fromkeys([*own, *LEVEL_UNITS, *molar]))}


def covariate_units(covariate: Covariate) -> list[str]:
    """Units of one covariate, the model's own first."""
    return [covariate.unit, *ALSO.get(covariate.unit, [])]


def read_entry(kind: str, form: Form) -> Body:
    """The body of a fact from its form; CaseError naming the field for whatever is missing or cannot be read."""
    return _READERS[kind](form)


def _dose(form: Form) -> Body:
    body: Body = {"amount": form.quantity("amount"), "route": form.required("route"), "at": form.moment("at")}
    for name in ("stop_at", "until_at"):
        if found := form.maybe_moment(name):
            body[name] = found
    for name in ("duration", "every"):
        if found := form.maybe_quantity(name, "h"):
            body[name] = found
    if form.text("additional"):
        body["additional"] = _whole(form, "additional")
    body |= {name: True for name in ("bolus", "steady_state") if form.on(name)}
    if note := form.text("note"):
        body["note"] = note
    return body


def _whole(form: Form, name: str) -> int:
    text = form.number(name)
    if not text.isdecimal():
        raise CaseError(where=name, what=N_("not a whole number"), remedy=N_("write a whole number"))
    return int(text)


def _sample(form: Form) -> Body:
    unit = form.required("value_unit")
    below, limit = form.on("below_lloq"), form.text("lloq")
    body: Body = {"at": form.moment("at"), "matrix": form.required("matrix")}
    if below and not limit:
        raise CaseError(where="lloq", what=N_("missing"), remedy=N_("give the limit that the level is below"))
    if below:
        body["below_lloq"] = True
    else:
        body["value"] = f"{form.number('value')} {unit}"
    if limit:
        body["lloq"] = f"{form.number('lloq')} {unit}"
    if received := form.maybe_moment("received_at"):
        body["received_at"] = received
    if assay := form.text("assay"):
        body["assay"] = assay
    return body


def _order(form: Form) -> Body:
    body: Body = {"amount": form.quantity("amount"), "every": form.quantity("every", "h"), "route": form.required("route")}
    if found := form.maybe_quantity("duration", "h"):
        body["duration"] = found
    if form.on("bolus"):
        body["bolus"] = True
    return body


def _note(form: Form) -> Body:
    return {"text": form.required("text", most=2000)}


_READERS = {"dose": _dose, "sample": _sample, "order": _order, "note": _note}


def read_covariates(form: Form, model: DrugModel) -> list[Body]:
    """One body for each covariate of the model that was filled in; CaseError when none was."""
    time = form.maybe_moment("at")
    found = [_covariate(form, c, f"c_{c.name}", time) for c in model.covariates.values() if form.text(f"c_{c.name}")]
    if not found:
        raise CaseError(where="covariates", what=N_("nothing filled in"), remedy=N_("give at least one value"))
    return found


def read_covariate(form: Form, covariate: Covariate) -> Body:
    """One covariate from its correction form."""
    return _covariate(form, covariate, "value", form.maybe_moment("at"))


def _covariate(form: Form, covariate: Covariate, field: str, time: str | None) -> Body:
    body: Body = {"name": covariate.name}
    if covariate.levels is not None:
        body["value"] = form.required(field)
    else:
        number, unit = read_number(form.required(field), form.language, where=field), form.text(f"{field}_unit") or covariate.unit
        body["value"] = float(number) if unit in ("", "1") else f"{number} {unit}"
    if time:
        body["at"] = time
    return body


def filled(kind: str, body: Body, language: Language, zone: Any) -> Blank:
    """A body as the values of its form."""
    form = Blank({key: value for key, value in body.items() if isinstance(value, str | bool)})
    for name in ("at", "stop_at", "until_at", "received_at"):
        if body.get(name):
            form[name] = language.moment(datetime.fromisoformat(str(body[name])), zone)
    for name in ("amount", "value"):
        number, _, unit = str(body.get(name, "")).partition(" ")
        form |= {name: language.local(number), f"{name}_unit": unit} if unit or kind != "covariate" else {}
    for name in ("duration", "every", "lloq"):
        form[name] = language.local(str(body.get(name, "")).partition(" ")[0])
    if kind == "covariate" and not form["value_unit"]:
        form["value"] = language.local(str(body["value"]))
    if kind == "sample" and not form["value_unit"]:
        form["value_unit"] = str(body.get("lloq", "")).partition(" ")[2]
    form["additional"] = str(body["additional"]) if body.get("additional") else ""
    return form


def entry_text(kind: str, body: Body, language: Language, zone: Any) -> str:
    """A body in one phrase, its unit beside every number."""
    return _TEXTS[kind](body, language, zone)


def _dose_text(body: Body, language: Language, zone: Any) -> str:
    say, parts = (
        language.say,
        [language.local(str(body["amount"])), language.say("iv") if body["route"] == "iv" else language.say("by mouth")],
    )
    if body.get("stop_at"):
        parts.append(say("until %(time)s", time=language.moment(datetime.fromisoformat(str(body["stop_at"])), zone)[-5:]))
    if body.get("duration"):
        parts.append(say("over %(length)s", length=language.local(str(body["duration"]))))
    if body.get("bolus"):
        parts.append(say("bolus"))
    if body.get("every"):
        parts.append(say("every %(length)s", length=language.local(str(body["every"]))))
    if body.get("additional"):
        parts.append(say("%(n)s further", n=body["additional"]))
    if body.get("until_at"):
        parts.append(say("until %(time)s", time=language.moment(datetime.fromisoformat(str(body["until_at"])), zone)))
    if body.get("steady_state"):
        parts.append(say("steady state"))
    return ", ".join(parts)


def _sample_text(body: Body, language: Language, zone: Any) -> str:
    value = f"< {body['lloq']}" if body.get("below_lloq") else str(body["value"])
    return ", ".join(
        part for part in (language.local(value), language.say(str(body.get("matrix") or "")), str(body.get("assay", ""))) if part
    )


def _covariate_text(body: Body, language: Language, zone: Any) -> str:
    value = body["value"]
    return f"{body['name']} {language.say(value) if isinstance(value, str) and not value[:1].isdigit() else language.local(str(value))}"


def _note_text(body: Body, language: Language, zone: Any) -> str:
    return str(body["text"])


_TEXTS = {"dose": _dose_text, "sample": _sample_text, "order": _dose_text, "covariate": _covariate_text, "note": _note_text}
